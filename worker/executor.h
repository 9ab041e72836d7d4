/* SPDX-License-Identifier: Apache-2.0 */
/* executor.h -- the worker's side of a lease: which task runs next, and how its answer travels. Pure: world.h.
 *
 * One task at a time: claim, run it (worker/worker_main.c, or the simulator's pretended function), finish or fail, claim again.
 * Facts (Assign, channels) may arrive at any time, also while a task runs: a new epoch begins between tasks.
 */
#ifndef MOB_WORKER_EXECUTOR_H
#define MOB_WORKER_EXECUTOR_H

#include <stdbool.h>

#include "common/channel.h"
#include "common/resources.h"
#include "common/wire.h"
#include "common/world.h"

struct mob_executor;

struct mob_executor_config {
    uint64_t cluster;
    struct mob_address self;
    uint64_t raylet;                    /* the link to the own raylet */
    struct mob_page *page;              /* the own one: state, epoch, task, attempt, claimed_ns are written, cancel is read */
};

struct mob_executor *mob_executor_create(struct mob_world *w, const struct mob_executor_config *config);
void mob_executor_destroy(struct mob_executor *e);      /* closes its channels */

/* -- facts ----------------------------------------------------------------------------------------------------------------- */

/* Owners whose channels are kept; not fewer than a raylet counts on (CHANNELS_OF_WORKER in raylet/pool.h). */
#define MOB_EXECUTOR_CHANNELS 16

/* A channel from `owner` (process 0 of this node: the raylet), opened with role WORKER. Taken over; replaces an older one of
 * the pair. */
void mob_executor_channel(struct mob_executor *e, struct mob_address owner, struct mob_channel *channel);

/* Assign from the raylet, packed. The new epoch begins at once, or when the running task has ended; then Assigned is sent. */
void mob_executor_receive(struct mob_executor *e, const void *frame, size_t size);

/* -- the life of a task ------------------------------------------------------------------------------------------------------ */

/* What the current lease lends. */
struct mob_executor_lease {
    uint64_t lease;
    uint32_t epoch, depth;              /* depth of its tasks; what they submit has one more */
    struct mob_address channel_owner;   /* produces the frames */
    struct mob_address owner;           /* submitted them: names their objects */
    struct mob_resources resources;
    uint32_t gpus[64];
    size_t gpu_count;
};

struct mob_run_arg {
    uint32_t kind;                      /* MOB_VALUE_INLINE, _PACKED: data; _STORED: stored; _FORWARD: forward, its owner has the value */
    const void *data;                   /* in the ring, until the task is finished */
    size_t size;
    struct mob_stored_value stored;
    struct mob_object_id forward;
};

/* A claimed task; what it points to lives until finish or fail. */
struct mob_run {
    uint64_t task, function;
    uint32_t attempt, returns;
    const struct mob_executor_lease *lease;
    const struct mob_run_arg *args;
    size_t arg_count;
    uint32_t number;                    /* of this worker's runs, from 1 */
    bool streams;                       /* it may yield items */
    bool raised;                        /* false, for the caller to change: the results say that it failed */
};

/* Claim the next task: its page says so from here on. False: nothing to do. Tasks cancelled before they started, and malformed
 * ones, are answered here and not shown. */
bool mob_executor_claim(struct mob_executor *e, struct mob_run *ret_run);
bool mob_executor_pending(struct mob_executor *e);      /* does a task stand there, unclaimed? (cheap) */

struct mob_result {
    uint32_t kind;                      /* enum mob_value_kind */
    const void *data;                   /* INLINE, PACKED: size bytes */
    size_t size;
    struct mob_stored_value stored;     /* STORED */
    struct mob_object_id forward;       /* FORWARD: another object's value */
    uint64_t ticket;                    /* of the first of `lent` ... */
    const struct mob_object_id *lent;   /* ... the references that go with it; of a FORWARD: itself */
    size_t lent_count;
};

/* Do its bytes travel in the answer? */
static inline bool mob_result_is_bytes(const struct mob_result *r)
{
    return r->kind == MOB_VALUE_INLINE || r->kind == MOB_VALUE_PACKED;
}

/* Answer with `run->returns` results. False: the answer ring has no room for so many bytes now, nothing happened: seal the large
 * values in the store and come again. What is within MOB_CHANNEL_REPLY_MAX fits at last, if the worker is BLOCKED meanwhile. */
bool mob_executor_finish(struct mob_executor *e, const struct mob_run *run, const struct mob_result *results);
/* Bytes of such an answer. */
size_t mob_executor_answer_size(const struct mob_run *run, const struct mob_result *results);
/* Answer with an error; always fits (its text is cut to what the ring keeps free for each task). */
void mob_executor_fail(struct mob_executor *e, const struct mob_run *run, const struct mob_error *why);
/* The same of one that did not run, as an argument, which its frame names `object`, could not be had: its owner may have it made again. */
void mob_executor_lost(struct mob_executor *e, const struct mob_run *run, const struct mob_object_id *object, const struct mob_error *why);

/* -- the items of a stream --------------------------------------------------------------------------------------------------- */

/* What the next item may do: be sent; come again later (the owner rings), as so many are not allowed yet, or the answer ring has no room
 * for it; not be sent, as its owner has it of an earlier attempt, or nobody will read it; or nothing any more: the task is cancelled, or
 * the ring broken. */
enum mob_yield { MOB_YIELD_SEND, MOB_YIELD_WAIT, MOB_YIELD_SKIP, MOB_YIELD_STOP };
enum mob_yield mob_executor_may_yield(const struct mob_executor *e);
/* Send it, if it may be: else the same answers, and of a SKIP it counts as sent. */
enum mob_yield mob_executor_yield(struct mob_executor *e, const struct mob_run *run, const struct mob_result *item);
/* Would an item of so many bytes find room in the ring now? Or the ring is broken. */
bool mob_executor_has_room(struct mob_executor *e, size_t size);
/* It is return so many of its task: the name of what is stored for it. */
uint32_t mob_executor_item_index(const struct mob_executor *e);
/* Bytes of an answer with this one result. */
size_t mob_executor_item_size(const struct mob_result *item);

/* The running task sleeps: its page says so, and an owner that pushed others behind it is woken, to take them back. Or it goes on. */
void mob_executor_block(struct mob_executor *e);
void mob_executor_unblock(struct mob_executor *e);

/* The name of return `index` of a running task. */
struct mob_object_id mob_executor_result_id(const struct mob_executor *e, const struct mob_run *run, uint32_t index);
/* Was the running task cancelled? */
bool mob_executor_cancelled(const struct mob_executor *e, const struct mob_run *run);
/* The number of the run that the raylet's Cancel means, if it goes on; else 0. */
uint32_t mob_executor_cancels(const struct mob_executor *e, const Mobula__Cancel *m);
/* When the last answer was made. */
int64_t mob_executor_ended_ns(const struct mob_executor *e);
const struct mob_executor_lease *mob_executor_lease(const struct mob_executor *e);

#endif
