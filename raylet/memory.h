/* SPDX-License-Identifier: Apache-2.0 */
/* memory.h -- the question "memory". */
#ifndef MOB_RAYLET_MEMORY_H
#define MOB_RAYLET_MEMORY_H

#include "common/list.h"
#include "raylet/raylet.h"

struct arrival;

struct memory_questions {
    struct mob_link all;                /* the oldest first */
    uint64_t last;                      /* number */
    size_t count;
};

void mob_memory_init(struct mob_raylet *r);
void mob_memory_fini(struct mob_raylet *r);
/* The Reply follows when the processes of this node have said what they know, or have had the time. */
void mob_memory_answer(struct mob_raylet *r, struct mob_address to, const Mobula__Query *m);
void mob_memory_on_reply(struct mob_raylet *r, const struct arrival *a);
/* Returns when to come again; INT64_MAX: not by itself. */
int64_t mob_memory_tick(struct mob_raylet *r);

#endif
