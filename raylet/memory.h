/* SPDX-License-Identifier: Apache-2.0 */
/* memory.h -- the question "memory". */
#ifndef MOB_RAYLET_MEMORY_H
#define MOB_RAYLET_MEMORY_H

#include "raylet/raylet.h"

/* The Reply follows when the processes of this node have said what they know, or have had the time. */
void mob_memory_answer(struct mob_raylet *r, struct mob_address to, const Mobula__Query *m);

#endif
