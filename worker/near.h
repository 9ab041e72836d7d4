/* SPDX-License-Identifier: Apache-2.0 */
/* near.h -- where the arguments of a shape's queued tasks are, and how many leases are asked first of which node. */
#ifndef MOB_WORKER_NEAR_H
#define MOB_WORKER_NEAR_H

#include "common/wire.h"

struct lease;
struct mob_owner;
struct shape;
struct task;

struct near_node {
    uint32_t node;
    uint32_t tasks;                     /* queued, of those looked at, that have most of their arguments there */
    uint32_t pushed, leases;            /* to leases there, which are not stalled */
    uint32_t wanted;                    /* leases, besides those it has there */
    int64_t since_ns;                   /* wanted since then */
};

struct near {
    size_t queued;                      /* tasks in the queue with stored arguments */
    bool look;                          /* such tasks came since a look found none */
    struct near_node of[MOB_NEAR_MAX];
    uint32_t count;
    struct mob_near said[MOB_NEAR_MAX]; /* in the Want that stands, less the grants since */
    uint32_t said_count;
};

/* A task is QUEUED: does it have stored arguments? It enters the queue, or leaves it. */
void mob_owner_near_see(const struct mob_owner *o, struct task *t);
void mob_owner_near_add(const struct mob_owner *o, struct task *t);
void mob_owner_near_remove(const struct mob_owner *o, struct task *t);

/* Look at the queue again, when `wanted` leases are. */
void mob_owner_near_look(const struct mob_owner *o, struct shape *sh, uint32_t wanted);
/* Does t, whose arguments are not at the node of l, wait for a lease at theirs? */
bool mob_owner_near_waits(const struct mob_owner *o, const struct task *t, const struct lease *l);
/* When one that waits may go elsewhere. INT64_MAX: none waits. */
int64_t mob_owner_near_due_ns(const struct mob_owner *o, const struct shape *sh);

/* For the Want: is what was said still so? Say it. A lease at `node` was granted. */
bool mob_owner_near_is_said(const struct shape *sh);
void mob_owner_near_say(struct shape *sh, Mobula__Want *m, struct mob_near_room *room);
void mob_owner_near_granted(struct shape *sh, uint32_t node);

#endif
