/* SPDX-License-Identifier: Apache-2.0 */
/* state.h -- what this head keeps for the one after it. */
#ifndef MOB_HEAD_STATE_H
#define MOB_HEAD_STATE_H

#include "common/error.h"
#include "common/map.h"
#include "common/wire.h"
#include "head/head.h"

#define HEAD_ROWS 3                     /* kinds */

struct state {
    struct mob_map behind[HEAD_ROWS];   /* by kind: keys of rows that could not be kept yet */
    int64_t again_ns;                   /* when that is tried again */
    char trouble[256];                  /* why it was not; "": nothing is behind */
};

void mob_head_state_fini(struct mob_head *h);
/* Keep the row of what has that key now, or none if nothing has. -1: it cannot be kept. */
int mob_head_state_keep(struct mob_head *h, enum mob_head_row kind, uint64_t key, struct mob_error *err);
/* The same of what has happened whether it can be kept or not: then it is kept later. */
void mob_head_state_changed(struct mob_head *h, enum mob_head_row kind, uint64_t key);
/* A raylet registers: no new node gets a number that this one has heard of in this cluster, or a lower one. */
void mob_head_state_heard_node(struct mob_head *h, const Mobula__Register *m);
/* A raylet that has not registered with this head yet has heard of one of that generation. */
void mob_head_state_heard_head(struct mob_head *h, uint64_t generation);
/* Returns when to come again. */
int64_t mob_head_state_tick(struct mob_head *h);

#endif
