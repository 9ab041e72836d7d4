/* SPDX-License-Identifier: Apache-2.0 */
/* seek.h -- where is an object that none of the nodes has any more that are known to have had it? Its owner is asked. */
#ifndef MOB_RAYLET_SEEK_H
#define MOB_RAYLET_SEEK_H

#include "common/list.h"
#include "raylet/raylet.h"

struct arrival;

/* The owner's word, or (0) that there is none. */
void mob_seek_answered(struct mob_raylet *r, const struct mob_object_id *id, uint32_t node);
void mob_seek_on_watched(struct mob_raylet *r, const struct arrival *a);
/* Bring the answers to the store. */
void mob_seeks_tick(struct mob_raylet *r);
void mob_seeks_fini(struct mob_raylet *r);

#endif
