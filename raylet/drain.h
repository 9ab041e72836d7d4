/* SPDX-License-Identifier: Apache-2.0 */
/* drain.h -- this node is to leave. */
#ifndef MOB_RAYLET_DRAIN_H
#define MOB_RAYLET_DRAIN_H

#include "raylet/raylet.h"

struct arrival;

/* What keeps it here. */
struct drain_left {
    uint32_t tasks, owners, drivers;
    uint64_t objects, bytes;
    uint64_t refused;                   /* objects that each node which might take them has refused, of those that are offered */
    bool over, late;                    /* over: nothing does, it may leave; late: as its time is over */
};

struct drain {
    bool on;
    bool force;                         /* objects that no node can take keep it no longer */
    uint64_t number;                    /* of the deadline that counts */
    int64_t deadline_at, look_at;       /* ns */
    struct drain_left left;
};

void mob_drain_init(struct mob_raylet *r);
void mob_drain_on_drain(struct mob_raylet *r, const struct arrival *a);
/* Look at what is left. Returns when to come again. */
int64_t mob_drain_tick(struct mob_raylet *r);
/* For a Report, if it is on. */
void mob_drain_put(const struct mob_raylet *r, Mobula__Draining *ret);

#endif
