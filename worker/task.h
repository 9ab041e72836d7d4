/* SPDX-License-Identifier: Apache-2.0 */
/* task.h -- a submitted task, from its arguments to its end. */
#ifndef MOB_WORKER_TASK_H
#define MOB_WORKER_TASK_H

#include <assert.h>

#include "common/frame.h"
#include "common/list.h"
#include "common/machine.h"
#include "worker/object.h"
#include "worker/owner.h"

struct kind;
struct lease;
struct shape;

enum task_state { TASK_WAITING, TASK_QUEUED, TASK_STAGING, TASK_PUSHED, TASK_RESTING, TASK_KEPT, TASK_DONE, TASK_STATES };

#define TASK_KILLS_TOLD 3u
/* What came of earlier attempts of a task. */
struct history {
    struct deaths *deaths;              /* how workers ended under it; NULL: none did, or nobody said */
    uint32_t killed_count;
    struct mob_address killed[TASK_KILLS_TOLD];             /* workers that it killed: different ones */
    uint32_t starved;                   /* attempts that were ended for want of memory or room */
    uint32_t refused;                   /* of them: for want of room in a node's object store */
    uint32_t rested;                    /* pauses after others */
    size_t place;                       /* RESTING: in the heap of backoff.c */
    int64_t due_ns;                     /* ... until then */
    enum mob_code why;                  /* how its last attempt ended, there; MOB_OK: that did not run */
    char node[48];
};

struct task {
    struct mob_link link;               /* QUEUED: in its shape's queue; STAGING: in its staging; PUSHED: in its lease's tasks;
                                           KEPT: see lineage.c */
    uint64_t number;                    /* of its first return */
    struct kind *kind;
    struct shape *shape;
    struct lease *lease;                /* PUSHED */
    uint64_t sequence;                  /* PUSHED to a channel: for take-back */
    int64_t submitted_ns, pushed_ns;
    struct history *history;            /* NULL: all went well so far */
    uint8_t *body;                      /* `small`, or from the bodies */
    uint32_t body_size;
    uint32_t args, refs;                /* arguments; those of them that are references, each pinned */
    uint32_t waiting;                   /* references that are not ready: each has us as a follower */
    union {
        uint32_t expected_ns;           /* PUSHED: counted in the lease's load */
        uint32_t stored;                /* KEPT: returns that lie in stores, or did */
    };
    int32_t retries;                    /* left; -1: no end */
    uint32_t run;                       /* of the task that called it, in this process; 0: none did */
    uint32_t pushed_losses;             /* lineage.losses when it was PUSHED: what it was told is of before that */
    uint16_t attempt, returns;
    uint16_t retry;                     /* of the owner's rules for it: backoff.c */
    uint8_t state : 4;                  /* enum task_state */
    uint8_t told : 4;                   /* enum event_told */
    bool cancelled : 1;                 /* PUSHED: its end will be MOB_ERR_CANCELLED; KEPT: that was its last */
    bool carries : 1;                   /* some arguments carry references */
    bool has_stored : 1;                /* QUEUED: some arguments are in the store: see near.c */
    bool staged : 1;                    /* there is a struct stage of it: see stage.c */
    bool streams : 1;                   /* it yields items: see stream.c */
    bool again : 1;                     /* it runs again for what was lost */
    bool once : 1;                      /* it is never tried again, whatever ended it */
    uint8_t small[64];
};
_Static_assert(sizeof(struct task) + sizeof(struct object) <= 300, "memory per queued task");

struct tasks {
    struct slab slab;
    uint64_t in_state[TASK_STATES];     /* DONE: all that ever ended */
    uint32_t cancelled_run;             /* can call no more */
};

/* -- task.c -------------------------------------------------------------------------------------------------------------- */

/* An argument became ready. */
void mob_owner_task_arg_ready(struct mob_owner *o, struct task *t, struct object *arg);
/* Is an argument an error? Then the task has failed by it. Or is it pending, since its stored value was lost? Then it is WAITING for it. It
 * is WAITING, or in no queue. */
bool mob_owner_task_lost_argument(struct mob_owner *o, struct task *t);
/* QUEUED and in no queue: its arguments are brought to a node; or it is QUEUED again, in front. */
void mob_owner_task_staging(struct mob_owner *o, struct task *t);
void mob_owner_task_unstaged(struct mob_owner *o, struct task *t);
/* It stands in a ring or in a batch for a lender. */
void mob_owner_task_pushed(struct mob_owner *o, struct task *t, struct lease *l);
/* Out of its lease (which forgot it) without an answer: QUEUED again, in front; or over, if it was cancelled. */
void mob_owner_task_unpushed(struct mob_owner *o, struct task *t);
/* Its worker died under it: charged an attempt, unless it was ended for want of memory and `charged` does not say that it is to blame.
 * death: how; NULL: nobody said. */
void mob_owner_task_killed(struct mob_owner *o, struct task *t, const struct lease *l, const struct mob_error *cause,
                           struct mob_death *death, bool charged);
/* RESTING, and it is time: QUEUED again, in front. */
void mob_owner_task_rested(struct mob_owner *o, struct task *t);
/* Out of its lease: it was ended for an item of its own that was lost. QUEUED again, charged an attempt. */
void mob_owner_task_restarted(struct mob_owner *o, struct task *t, int64_t started_ns);
/* Its function said that it failed: over, unless it is tried again after such a failure, or may find room
 * elsewhere. */
void mob_owner_task_failed(struct mob_owner *o, struct task *t, struct mob_error *why, int64_t started_ns);
/* Its node, from which its lease is asked back, had no room for an argument: as above. It did not run. */
void mob_owner_task_refused(struct mob_owner *o, struct task *t, const struct mob_error *no_room);
/* Out of its lease: it did not run, as an argument could not be had. Free of charge. */
void mob_owner_task_unfed(struct mob_owner *o, struct task *t);
/* It is over, and its returns are not set: all become this error. */
void mob_owner_task_fail(struct mob_owner *o, struct task *t, const struct mob_error *why, int64_t started_ns /* 0: it did not run */);
/* The same of a cancelled one. `cause`: how its worker ended for it, or NULL; `deaths`: if that was a death, or NULL. */
void mob_owner_task_fail_cancelled(struct mob_owner *o, struct task *t, const struct mob_error *cause, struct deaths *deaths,
                                   int64_t started_ns);
/* It is over, and its returns are set. */
void mob_owner_task_end(struct mob_owner *o, struct task *t);
struct object *mob_owner_task_return(const struct mob_owner *o, const struct task *t, uint32_t index);     /* NULL: it is gone */
/* One that it is to set; NULL: that has its value, or is gone. */
struct object *mob_owner_task_pending(const struct mob_owner *o, const struct task *t, uint32_t index);
/* KEPT: it is to run again, WAITING until task_looked(). Or it is over for good. */
void mob_owner_task_again(struct mob_owner *o, struct task *t);
void mob_owner_task_looked(struct mob_owner *o, struct task *t);
void mob_owner_task_unkept(struct mob_owner *o, struct task *t);
/* Cancel the task that makes it, or have its owner do that. */
void mob_owner_cancel_object(struct mob_owner *o, struct object *b, int how /* of mob_cancel() */);
void mob_owner_tasks_check(const struct mob_owner *o);
/* Does anything in this process wait for a return of it? */
bool mob_owner_task_urgent(const struct mob_owner *o, const struct task *t);

/* -- certificate.c: how its attempts ended --------------------------------------------------------------------------------- */

/* What the lender knew of its end, and we know besides. Returns all that is known; NULL: nobody said how it ended. */
struct deaths *mob_owner_task_note_death(struct task *t, const struct lease *l, struct mob_death *death);
/* "'name', attempt 2 of 4", for the text of its error; also whether it has killed three different workers. killed: one more; or NULL. */
void mob_owner_task_say_attempt(struct task *t, const struct mob_address *killed, char *ret, size_t size);
void mob_owner_task_history_free(struct task *t);

/* -- body.c: its arguments, as submitted and as a frame ------------------------------------------------------------------ */

/* Check what was submitted: 0, the bytes of the body; or -1 and *err. */
int mob_owner_body_check(const struct mob_owner *o, const struct mob_submit *s, size_t *ret_size, struct mob_error *err);
/* Write it into t->body, and pin the references. Returns how many of these are pending. */
uint32_t mob_owner_body_fill(struct mob_owner *o, struct task *t, const struct mob_submit *s);
/* The frame's body: its size, and its bytes. Only when no argument is waited for. */
size_t mob_owner_body_frame_size(const struct mob_owner *o, const struct task *t);
void mob_owner_body_frame(const struct mob_owner *o, const struct task *t, void *ret_bytes);
void mob_owner_frame_fill(const struct mob_owner *o, const struct task *t, const struct lease *l, size_t body_size,
                          struct mob_task_frame *ret);
/* Its stored arguments of which `node` has no copy: how many, and the objects, unless `ret` is NULL. */
size_t mob_owner_body_away(const struct mob_owner *o, const struct task *t, uint32_t node, const struct object **ret);
/* The node that has most bytes of its stored arguments, among equals this one; 0: it has none. */
uint32_t mob_owner_body_near(const struct mob_owner *o, const struct task *t);
/* An argument that is an error, or else one that is pending: NULL if there is none. */
const struct object *mob_owner_body_unready(const struct mob_owner *o, const struct task *t);
/* Follow those that are pending. */
void mob_owner_body_follow(struct mob_owner *o, struct task *t);
/* The argument that a frame calls so; NULL: none. */
struct object *mob_owner_body_named(const struct mob_owner *o, const struct task *t, const struct mob_object_id *id);
void mob_owner_body_unpin(struct mob_owner *o, struct task *t);
/* Each object that its arguments are, or carry. */
void mob_owner_body_tally(const struct mob_owner *o, const struct task *t, mob_owner_note *note, void *arg);

#endif
