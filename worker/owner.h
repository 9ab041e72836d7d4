/* SPDX-License-Identifier: Apache-2.0 */
/* owner.h -- the owner core: the tasks a process submitted, the leases it holds, the objects it owns. Pure: world.h.
 *
 * No lock and no thread: whoever holds libmobula's lock calls it (worker/runtime.c), or the simulator. No allocation or message
 * per task on the hot path: tasks, objects and small bodies come from slabs, frames are written into the ring itself.
 *
 * A ref is a number {generation, slot}; 0 is none. A number that was dropped, or never given out, is refused by name.
 */
#ifndef MOB_WORKER_OWNER_H
#define MOB_WORKER_OWNER_H

#include <stdbool.h>

#include "common/channel.h"
#include "common/list.h"
#include "common/packed.h"
#include "common/resources.h"
#include "common/world.h"

struct mob_owner;

#define MOB_OWNER_LINEAGE_BYTES (UINT64_C(1) << 30)

struct mob_owner_config {
    uint64_t cluster;
    struct mob_address self, job;
    struct mob_hash executable;
    uint64_t raylet;                    /* the link to the own raylet */
    int64_t wall_offset_ns;             /* CLOCK_REALTIME - CLOCK_BOOTTIME here: task events carry wall times */
    uint32_t generation;                /* of the first refs: an earlier owner's of this process are all below; 0: 1 */
    uint64_t lineage_bytes;             /* keep so much of finished tasks for their results' sake (lineage.c); 0: the above, 1: nothing */
    int64_t linger_ns;                  /* keep a lease without tasks so long; 0: 100 ms. Inside tasks short: others wait for its CPU */
    void (*warn)(void *arg, const char *text);          /* to tell the user: a shape that fits no node, ... */
    void *arg;
};

struct mob_owner *mob_owner_create(struct mob_world *w, const struct mob_owner_config *config);
void mob_owner_destroy(struct mob_owner *o);
uint32_t mob_owner_next_generation(const struct mob_owner *o);          /* for the owner after this one */

/* -- the user's calls ---------------------------------------------------------------------------------------------------- */

/* Intern a shape (job, executable filled in by the core): its number. */
uint32_t mob_owner_shape(struct mob_owner *o, const struct mob_shape *shape);
/* One whose tasks fail when no node could ever serve them. */
uint32_t mob_owner_shape_failing(struct mob_owner *o, const struct mob_shape *shape);

/* When tasks are tried again besides after deaths, and how soon. */
struct mob_retry {
    int64_t delay_ns;                   /* before the first retry, doubled with each; 0: none */
    const int32_t *codes;               /* user codes of failures of their own after which they are; NULL and a count: after any */
    size_t code_count;
};
/* Its number, the same for equal ones; -1: there are too many different ones. */
int mob_owner_retry(struct mob_owner *o, const struct mob_retry *retry, uint16_t *ret_number, struct mob_error *err);

struct mob_arg {
    const void *data;                   /* at most MOB_INLINE_MAX bytes; copied */
    size_t size;
    uint64_t ref;                       /* not 0: this instead */
    const uint64_t *carried;            /* refs that a packed `data` carries */
    size_t carried_count;
};
struct mob_submit {
    uint32_t shape;
    uint32_t depth;                     /* 0 from a driver, the running task's depth + 1 inside one */
    uint32_t run;                       /* mob_run's number of the running task; 0: none */
    uint64_t function;
    const char *name;                   /* for people; borrowed for the call */
    uint32_t returns;                   /* 1..MOB_RETURNS_MAX */
    int32_t max_retries;                /* -1 for ever */
    uint16_t retry;                     /* what mob_owner_retry() said; 0: at once, and only after deaths */
    bool streams;                       /* it yields items: its one return is the end of a stream, its ref the reader's until close */
    uint32_t unread_max;                /* items that may wait to be read; 0: 64 MiB of them */
    const struct mob_arg *args;
    size_t arg_count;
};
int mob_owner_submit(struct mob_owner *o, const struct mob_submit *s, uint64_t *ret_refs, struct mob_error *err);
int mob_owner_cancel(struct mob_owner *o, uint64_t ref, int how /* of mob_cancel() */, struct mob_error *err);
/* The task that runs here is cancelled: so are those that it called, and it can call no more. */
void mob_owner_cancel_run(struct mob_owner *o, uint32_t run);

/* Streams (worker/stream.c), by the ref of their end. peek: a ref to the next item, pending until it comes, or to the end. take: 1 and
 * the next item's ref, or 1 and 0 where it has not come; 0: there is none. If the end is an error, it comes last. end_ref: the end. Refs
 * are the caller's. close: nobody will read. */
uint64_t mob_owner_stream_peek(struct mob_owner *o, uint64_t stream, struct mob_error *err);
int mob_owner_stream_take(struct mob_owner *o, uint64_t stream, uint64_t *ret_ref, struct mob_error *err);
uint64_t mob_owner_stream_end_ref(struct mob_owner *o, uint64_t stream, struct mob_error *err);
/* 1: take() will say that there is none. */
int mob_owner_stream_is_over(struct mob_owner *o, uint64_t stream, struct mob_error *err);
int mob_owner_stream_close(struct mob_owner *o, uint64_t stream, struct mob_error *err);

/* A value that is there at once. */
uint64_t mob_owner_put(struct mob_owner *o, const void *data, size_t size, struct mob_error *err);
/* One that carries references (common/packed.h), `refs`. */
uint64_t mob_owner_put_packed(struct mob_owner *o, const void *packed, size_t size, const uint64_t *refs, size_t count,
                              struct mob_error *err);
/* A big one: a pending object and its id; then stored, or failed. */
uint64_t mob_owner_put_begin(struct mob_owner *o, struct mob_object_id *ret_id);
void mob_owner_put_stored(struct mob_owner *o, uint64_t ref, uint32_t node, uint64_t size);
void mob_owner_put_failed(struct mob_owner *o, uint64_t ref, const struct mob_error *why);

/* Another owner's object, by its name: pending until that owner has told. The ref is the caller's. Somebody holds it while the ref
 * lives: it is an argument of the running task. */
uint64_t mob_owner_borrow(struct mob_owner *o, const struct mob_object_id *id);

/* Is it another owner's, who is asked for it? */
bool mob_owner_borrowed(const struct mob_owner *o, uint64_t ref);
/* What other processes call it. */
int mob_owner_name(struct mob_owner *o, uint64_t ref, struct mob_object_id *ret, struct mob_error *err);
/* The value of `ref` carries `refs`: they live as long as it does. Once an object. */
void mob_owner_contain(struct mob_owner *o, uint64_t ref, const uint64_t *refs, size_t count);
/* The i-th reference that the value of `ref` carries, whose name is `id`: a ref that is the caller's. */
uint64_t mob_owner_inner(struct mob_owner *o, uint64_t ref, size_t i, const struct mob_object_id *id);

/* References to objects of other owners (worker/borrow.c). meet: a reference was found in a value, which `source`, an object of ours,
 * keeps; or 0: in an argument of the running task. Its value is asked for when it is waited for. The ref is the caller's. */
uint64_t mob_owner_meet(struct mob_owner *o, const struct mob_object_id *id, uint64_t source);
/* One that `issuer` gave us with a ticket. */
uint64_t mob_owner_accept(struct mob_owner *o, const struct mob_object_id *id, struct mob_address issuer, uint64_t ticket);
/* The running task ends: what it met in its arguments and still has, is held by this process from now on. False: nothing is
 * unconfirmed. */
bool mob_owner_keep(struct mob_owner *o);
/* Give another process a reference: its name, and the ticket it is held under, once nothing is unconfirmed; or not, after all. */
uint64_t mob_owner_lend(struct mob_owner *o, uint64_t ref, struct mob_address to, struct mob_object_id *ret_id);
void mob_owner_lend_undo(struct mob_owner *o, const struct mob_object_id *id, uint64_t ticket);

int mob_owner_clone(struct mob_owner *o, uint64_t ref, struct mob_error *err);      /* one more count on the same number */
int mob_owner_drop(struct mob_owner *o, uint64_t ref, struct mob_error *err);

enum mob_object_state { MOB_OBJECT_PENDING, MOB_OBJECT_INLINE, MOB_OBJECT_STORED, MOB_OBJECT_ERROR };
#define MOB_COPIES_SAID 4
struct mob_object_info {
    enum mob_object_state state;
    struct mob_object_id id;
    const void *data;                   /* INLINE: lives as long as the ref */
    struct mob_packed packed;           /* INLINE: the references that it carries */
    uint64_t size;                      /* of the value; STORED: with what it carries */
    uint32_t node, since;               /* STORED: holds it; for mob_owner_lost() */
    uint32_t copies[MOB_COPIES_SAID];   /* STORED: some of those that hold copies */
    uint32_t copy_count;
    const struct mob_error *error;      /* ERROR */
    const struct deaths *deaths;        /* ERROR: that it is of; or NULL */
};
int mob_owner_look(struct mob_owner *o, uint64_t ref, struct mob_object_info *ret, struct mob_error *err);
/* A stored object could not be had where look() said that it is, `since`. True: look again, and wait: there are other copies, or it is made
 * again (lineage.c), or its owner is asked what became of it. False: it cannot; if the object is an error now, that says why. */
bool mob_owner_lost(struct mob_owner *o, uint64_t ref, uint32_t since, const struct mob_error *why);
/* Does an error of a fetch say that the object is lost, or that it may be? */
bool mob_owner_is_loss(const struct mob_error *why);
/* This node fetched a copy: Free goes there, too. */
void mob_owner_copied(struct mob_owner *o, uint64_t ref, uint32_t node);

/* Called once, from inside the core, when the object is ready; then the waiter is out of all lists. Add: false if it is ready already. */
struct mob_waiter {
    struct mob_link link;
    void (*ready)(struct mob_waiter *w);
};
/* Wait until each owner has answered which of its objects we hold, or gave away. False: they all have. */
bool mob_owner_unconfirmed(struct mob_owner *o, struct mob_waiter *w);
bool mob_owner_wait(struct mob_owner *o, uint64_t ref, struct mob_waiter *w);
void mob_owner_wait_cancel(struct mob_owner *o, struct mob_waiter *w);

/* -- facts ----------------------------------------------------------------------------------------------------------------- */

void mob_owner_receive(struct mob_owner *o, const void *frame, size_t size);        /* an envelope from the raylet */
void mob_owner_raylet_lost(struct mob_owner *o, const struct mob_error *why);       /* everything pending fails with NODE_DIED */
const struct mob_error *mob_owner_lost_why(const struct mob_owner *o);              /* that, in full, after the above */
/* A channel to a worker of this node, opened with role OWNER and dirty bit `bit`. Taken over; closed when it is no more used. */
void mob_owner_channel(struct mob_owner *o, uint32_t worker, struct mob_channel *channel, unsigned bit);
/* Take answers out of the channels whose bits are set; at most `limit` of them. True if some may be left. */
bool mob_owner_drain(struct mob_owner *o, const uint64_t dirty[MOB_DIRTY_BITS / 64], size_t limit);
/* Push what can be pushed, ring what was pushed to, send what is due (Want, Return, events, take-back). Call after each batch of
 * calls and facts. Returns when to come again (ns; INT64_MAX: not by itself). */
int64_t mob_owner_flush(struct mob_owner *o);
/* For people: why its objects that lie in stores are kept, the largest `limit` of them, as JSON [{"object", "local", "tasks", "captured",
 * "holders", "lineage"}]: refs of this process, tasks under way that take it, values that carry it, holds of other processes, finished
 * tasks that took it. And, if there is any, what is kept of finished tasks (lineage.c): {"kept": tasks, "kept_bytes", "kept_max", "again":
 * runs for what was lost, "evicted": tasks that had to make room}. free() it. */
char *mob_owner_references(const struct mob_owner *o, size_t limit);
/* For people: why tasks of ours (`argument`: {"tasks": [names]}) are not over, and what calls of this process wait for, as JSON rows
 * (explain.c). free() it. */
char *mob_owner_explain(const struct mob_owner *o, const char *argument);
/* This process may be ended soon, by others: send what the record shall have of its tasks now, unless it did so very often. */
void mob_owner_hurry(struct mob_owner *o);

/* -- asked ----------------------------------------------------------------------------------------------------------------- */

/* Is an answer to be expected within `ns` (a task under way whose kind has taken less so far)? For spinning. */
bool mob_owner_soon(const struct mob_owner *o, int64_t ns);
struct mob_owner_counts {
    uint64_t waiting, queued, staging, pushed, resting, objects, leases, done;
    uint64_t held;                      /* objects, by other processes */
    uint64_t kept, kept_bytes, evicted, again;  /* lineage.c: tasks, what they cost, those that had to go, runs of them; of all: so far */
};
struct mob_owner_counts mob_owner_counts(const struct mob_owner *o);
/* Its end would cost others something: they hold objects of ours, tasks of ours are not over, or workers are lent to us (who are ended
 * with us). For the page's `held`. */
bool mob_owner_is_needed(const struct mob_owner *o);
/* Aborts if an invariant is broken. */
void mob_owner_check(const struct mob_owner *o);

#endif
