/* SPDX-License-Identifier: Apache-2.0 */
/* watch.h -- questions for an owner's objects on their way through this raylet: each gets exactly one answer, from the owner or,
 * when that is gone, from here. */
#ifndef MOB_RAYLET_WATCH_H
#define MOB_RAYLET_WATCH_H

#include "common/list.h"
#include "raylet/raylet.h"

struct arrival;

/* A Watch passes. True: send it on; false: it was answered here, for the owner is gone. */
bool mob_watch_asked(struct mob_raylet *r, const struct arrival *a);
/* A Watched passes. True: send it on; false: nobody waits for it. */
bool mob_watch_answered(struct mob_raylet *r, const struct arrival *a);

/* All owners behind `watches` are gone (or cannot be reached): answer each. */
void mob_watch_owner_gone(struct mob_raylet *r, struct mob_link *watches, enum mob_code code, const char *why);

void mob_watches_fini(struct mob_raylet *r);

#endif
