/* SPDX-License-Identifier: Apache-2.0 */
/* memory.h -- the question "memory". */
#ifndef MOB_RAYLET_MEMORY_H
#define MOB_RAYLET_MEMORY_H

#include "raylet/raylet.h"

void mob_memory_answer(struct mob_raylet *r, struct mob_address to, const Mobula__Query *m);

#endif
