/* SPDX-License-Identifier: Apache-2.0 */
/* lease.h -- a worker lent to this owner: what it was given, how much more it may get, and when it goes back. */
#ifndef MOB_WORKER_LEASE_H
#define MOB_WORKER_LEASE_H

#include "common/list.h"
#include "common/machine.h"
#include "common/map.h"
#include "common/wire.h"
#include "worker/owner.h"

struct channel;
struct shape;
struct task;

enum lease_state { LEASE_HELD, LEASE_RECALLED, LEASE_OVER };

/* Frames for a worker elsewhere, not sent yet. */
struct batch {
    uint8_t *bytes;
    size_t size, room;
    uint32_t count;
};

struct lease {
    struct mob_machine m;
    struct mob_link link;               /* leases.all */
    struct mob_link in_shape;
    struct mob_link idle;               /* leases.idle, while it has no task */
    struct mob_link unsent;             /* leases.unsent, while its batch is not empty */
    uint64_t number;                    /* unique with worker.node, the lender's */
    struct mob_address worker;
    uint32_t epoch, window_tasks, window_bytes, pid;
    char ip[64];
    struct shape *shape;
    uint64_t grant;                     /* which one of its shape it was */
    size_t room_at;                     /* where in shape->room, if `roomy` */
    struct mob_link changed;            /* shape->room.changed */
    struct channel *channel;            /* NULL: the worker is on another node */
    struct batch batch;
    struct mob_link tasks;              /* struct task, in the order of pushing */
    uint32_t count;
    int64_t load_ns;                    /* their expected durations */
    uint64_t bytes;                     /* elsewhere: of their frames */
    int64_t idle_since_ns, check_ns, answered_ns;       /* answered_ns: when its last answer came; 0: none did */
    /* facts */
    bool recalled, over;
    bool used;                          /* it had a task */
    bool full;                          /* its ring refused a task; until its next answer */
    bool stalled;                       /* it runs one long task, or is blocked in one; until its next answer. Or it is recalled */
    bool asked_back;                    /* elsewhere: TakeBack was sent, Taken will come */
    bool roomy;
};

struct leases {
    struct mob_map by_number;           /* see key() in lease.c */
    struct mob_link all, idle, unsent;
    int64_t check_ns;                   /* when to look for long tasks; INT64_MAX: nothing stands behind another */
};

/* -- facts: lease.c ------------------------------------------------------------------------------------------------------- */

void mob_owner_on_grant(struct mob_owner *o, const Mobula__Grant *m);
void mob_owner_on_recall(struct mob_owner *o, uint32_t node, const Mobula__Recall *m);
void mob_owner_on_lease_over(struct mob_owner *o, const Mobula__LeaseOver *m);
struct lease *mob_owner_lease_find(const struct mob_owner *o, uint32_t node, uint64_t number);
/* Its worker or lender sent what it must not: no more tasks for it, and the lender is asked to end the worker. */
void mob_owner_lease_broken(struct mob_owner *o, struct lease *l, const char *why);
/* All leases end, their tasks fail. */
void mob_owner_leases_fail(struct mob_owner *o, const struct mob_error *why);
void mob_owner_leases_fini(struct mob_owner *o);
/* Give back what is idle for long, or recalled. Returns when to come again. */
int64_t mob_owner_leases_flush(struct mob_owner *o);

void mob_owner_leases_check(const struct mob_owner *o);

/* -- giving and taking tasks: push.c ---------------------------------------------------------------------------------------- */

bool mob_owner_lease_has_room(const struct lease *l);
/* The lease of this shape that should get the task, at a node that has its arguments if there is one; NULL: none has room. */
struct lease *mob_owner_lease_pick(struct mob_owner *o, struct shape *sh, const struct task *t);
/* False: no room after all (and l->full). Then the task is as it was. */
bool mob_owner_lease_push(struct mob_owner *o, struct lease *l, struct task *t);
/* The task is not with the lease any more. The caller says what becomes of it. */
void mob_owner_lease_forget(struct mob_owner *o, struct lease *l, struct task *t);
/* It gave a sign of life: it may get more. */
void mob_owner_lease_answered(struct mob_owner *o, struct lease *l);
void mob_owner_lease_stall(struct mob_owner *o, struct lease *l, bool stalled);
/* Take all unstarted tasks back to the queue. True if there were any (elsewhere: false, Taken says). */
bool mob_owner_lease_take_back(struct mob_owner *o, struct lease *l);
/* Let an idle lease have a task that stands behind a long one. True if something is QUEUED now. */
bool mob_owner_lease_rebalance(struct mob_owner *o, struct shape *sh);
/* Somebody's page says BLOCKED: the next check looks at all that do. */
void mob_owner_leases_look(struct mob_owner *o);
/* Look at workers with tasks behind a running one. Returns when to come again. */
int64_t mob_owner_leases_check_stalled(struct mob_owner *o);
void mob_owner_lease_cancel(struct mob_owner *o, struct task *t, int how);

/* -- elsewhere: remote.c ---------------------------------------------------------------------------------------------------- */

bool mob_owner_remote_push(struct mob_owner *o, struct lease *l, struct task *t);
void mob_owner_remote_flush(struct mob_owner *o);
/* The task, a stream, may send so many items in all. */
void mob_owner_remote_allow(struct mob_owner *o, struct lease *l, const struct task *t, uint32_t items);
/* NULL: all. */
void mob_owner_remote_take_back(struct mob_owner *o, struct lease *l, const struct task *only);
void mob_owner_on_answer_frames(struct mob_owner *o, uint32_t node, const Mobula__AnswerFrames *m);
void mob_owner_on_taken(struct mob_owner *o, uint32_t node, const Mobula__Taken *m);

/* -- answer.c --------------------------------------------------------------------------------------------------------------- */

/* An answer by the worker of `l`. Ignored unless it is of an attempt that l has now. Both are foreign bytes: only
 * frame->body_size is known to be true of `body`. */
void mob_owner_answer(struct mob_owner *o, struct lease *l, const struct mob_answer_frame *frame, const void *body);

#endif
