/* SPDX-License-Identifier: Apache-2.0 */
/* stage.h -- arguments of tasks that will run here: brought before the task comes, and kept until its owner says Unstage. */
#ifndef MOB_RAYLET_STAGE_H
#define MOB_RAYLET_STAGE_H

#include "common/list.h"
#include "common/map.h"
#include "raylet/raylet.h"

struct arrival;

struct stages {
    struct mob_map by_task;             /* hash of (owner, task) -> struct stage, chained */
    struct mob_link waiting;            /* for room, in the order of coming */
    struct mob_link coming, here;
    struct mob_link facts;              /* what the store said, to be looked at by the next tick */
    uint64_t bytes;                     /* of all that are coming and here */
};

void mob_stages_init(struct mob_raylet *r);
void mob_stages_fini(struct mob_raylet *r);

void mob_stage_on_stage(struct mob_raylet *r, const struct arrival *a);
void mob_stage_on_unstage(struct mob_raylet *r, const struct arrival *a);
/* Have the store bring an object for the raylet itself, in the name of `job`; `m` says the rest, and mob_stage_fetched() or
 * mob_move_fetched() how it ended. */
void mob_stage_fetch(struct mob_raylet *r, const struct mob_object_id *id, struct mob_address job, Mobula__Fetch *m);
/* The store's answer to a Fetch of this raylet's own. */
void mob_stage_fetched(struct mob_raylet *r, const Mobula__Fetched *m);
/* Stages of an owner that is gone; of all owners at a node (process 0). */
void mob_stages_owner_gone(struct mob_raylet *r, struct mob_address owner);
void mob_stages_tick(struct mob_raylet *r);
void mob_stages_check(const struct mob_raylet *r);

#endif
