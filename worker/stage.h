/* SPDX-License-Identifier: Apache-2.0 */
/* stage.h -- tasks whose stored arguments are brought to the node where they shall run, before they are pushed. */
#ifndef MOB_WORKER_STAGE_H
#define MOB_WORKER_STAGE_H

#include "common/map.h"
#include "common/wire.h"
#include "worker/owner.h"

struct lease;
struct shape;
struct task;

struct stages {
    struct mob_map by_task;             /* number of a task -> struct stage */
    uint32_t next;                      /* number of the next Stage */
};

void mob_owner_stages_fini(struct mob_owner *o);
/* Has t stored arguments that are not at the node of l? */
bool mob_owner_stage_needed(const struct mob_owner *o, const struct task *t, const struct lease *l);
/* t, which is QUEUED and in no queue, waits for its arguments at the node of l. False: as many wait there as may; nothing happened. */
bool mob_owner_stage_begin(struct mob_owner *o, struct task *t, const struct lease *l);
void mob_owner_on_staged(struct mob_owner *o, uint32_t node, const Mobula__Staged *m);
/* Push those whose arguments are there. */
void mob_owner_stages_push(struct mob_owner *o, struct shape *sh);
/* Does the lease, which is idle, wait for arguments on their way to its node? */
bool mob_owner_stage_waits(const struct mob_owner *o, const struct lease *l);
/* A lease of the shape at this node ended, or gets no more: if it was the last, what waits there is QUEUED again. */
void mob_owner_stage_lease_left(struct mob_owner *o, struct shape *sh, uint32_t node);
/* t is STAGING and will not be any more: out of its shape's list. */
void mob_owner_stage_leave(struct task *t);
/* Its arguments need not be kept at the node any more. No-op if they were not staged. */
void mob_owner_stage_end(struct mob_owner *o, struct task *t);
void mob_owner_stages_check(const struct mob_owner *o);

#endif
