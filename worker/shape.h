/* SPDX-License-Identifier: Apache-2.0 */
/* shape.h -- the backlog: tasks that need the same kind of lease, and how many such leases are wanted. */
#ifndef MOB_WORKER_SHAPE_H
#define MOB_WORKER_SHAPE_H

#include "common/list.h"
#include "common/resources.h"
#include "common/wire.h"
#include "worker/near.h"
#include "worker/owner.h"
#include "worker/room.h"

struct kind;
struct lease;
struct task;

struct shape {
    uint32_t number;
    uint32_t depth;                     /* of the newest task: deeper is served first */
    struct mob_shape definition;
    struct mob_link queue;              /* struct task, QUEUED */
    size_t queued, pushed, staging_count;
    struct near near;                   /* where its tasks' arguments are */
    struct mob_link staging;            /* struct task, STAGING (stage.c) */
    struct mob_link leases;             /* struct lease */
    struct room room;                   /* those that may get a task */
    size_t lease_count, stalled;        /* stalled: leases that run one long task, or are blocked: no help to the rest */
    struct lease *cursor;               /* gets the next `run` tasks, if it has room */
    uint32_t run;
    bool hungry;                        /* a lease became idle, or is new: give it something at the next flush */
    int64_t mean_ns;                    /* of the durations of its tasks */
    bool measured;
    const struct kind *newest;          /* of the task that became ready last */
    uint64_t grants;                    /* seen so far */
    uint32_t said;                      /* Want as it stands: last count, less the grants since */
    int64_t said_ns;
    bool fails;                         /* its tasks do, when no node could ever serve them; else they wait for one that can */
    char *unplaceable;                  /* what the user was warned of last */
    struct mob_link dirty;              /* in shapes.dirty: to be looked at by the next flush */
};

struct shapes {
    struct shape **of;
    uint32_t count;
    uint32_t unserved;                  /* of which a Want stands */
    struct mob_link dirty;
};

void mob_owner_shapes_fini(struct mob_owner *o);
/* A task is QUEUED: pushed at once if nobody is before it and a lease has room. */
void mob_owner_shape_add(struct mob_owner *o, struct task *t);
void mob_owner_shape_add_front(struct mob_owner *o, struct task *t);
void mob_owner_shape_remove(struct mob_owner *o, struct task *t);
/* Push, rebalance, say Want: for each shape to which something happened. Returns when to come again. */
int64_t mob_owner_shapes_flush(struct mob_owner *o);
void mob_owner_on_unplaceable(struct mob_owner *o, const Mobula__Unplaceable *m);
/* Its queued tasks fail. */
void mob_owner_shape_fail(struct mob_owner *o, struct shape *sh, const struct mob_error *why);
void mob_owner_shapes_check(const struct mob_owner *o);

/* How many leases the tasks it has now could use. */
size_t mob_owner_shape_useful(const struct shape *sh);

static inline void shape_said(struct shapes *all, struct shape *sh, uint32_t count)
{
    all->unserved += count > 0 && sh->said == 0;
    all->unserved -= count == 0 && sh->said > 0;
    sh->said = count;
}

static inline void shape_touch(struct shapes *all, struct shape *sh)
{
    if (mob_list_empty(&sh->dirty))
        mob_list_append(&all->dirty, &sh->dirty);
}

#endif
