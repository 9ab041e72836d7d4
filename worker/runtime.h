/* SPDX-License-Identifier: Apache-2.0 */
/* runtime.h -- libmobula inside a process: the one struct with its organs, the lock around the owner core, and how calls wait.
 *
 * An API call: r = mob_enter(err); ... ; mob_leave(r). Between them it holds the lock and may feed the core, send, and wait. */
#ifndef MOB_WORKER_RUNTIME_H
#define MOB_WORKER_RUNTIME_H

#include <pthread.h>
#include <stdbool.h>

#include "common/list.h"
#include "common/map.h"
#include "common/wire.h"
#include "common/world.h"
#include "objstore/client.h"
#include "worker/executor.h"
#include "worker/owner.h"
#include "worker/socket.h"

struct mob_cluster;
struct mob_fold;

#define MOB_NEVER INT64_MAX
#define MOB_OUTPUT_SOURCES 256          /* places for workers that print, and one for warnings of ours */
#define MOB_HINTS 1024                  /* remembered places of objects in the local store; a power of two */

enum mob_runtime_state {
    MOB_RUNTIME_DOWN,                   /* before mob_init(), after mob_shutdown() */
    MOB_RUNTIME_GREETING,               /* waits for Welcome */
    MOB_RUNTIME_UP,
    MOB_RUNTIME_LOST,                   /* the raylet is gone: every call fails, until mob_shutdown() */
    MOB_RUNTIME_ENDING,                 /* in mob_shutdown(): calls that wait come back */
};

/* One waiting call, on its caller's stack. Who completes it calls mob_wait_done() with the lock held. */
struct mob_wait {
    struct mob_link link;               /* in r->waits while it waits */
    pthread_cond_t turn;
    _Atomic bool done;                  /* written under the lock; a spinning waiter reads it without */
    bool heeds;                         /* ends when the running task is cancelled */
    bool blocked;                       /* it is a task's, and the raylet was told that it sleeps */
    int64_t keeps_ns;                   /* how long it sleeps before the raylet is told; MOB_NEVER: it is not */
    int64_t since_ns;                   /* when it began to sleep; 0: not yet */
    bool may_stop, stopped;             /* its call may come back before its time; it does, as the program wants that */
};

#define MOB_KEEPS_CPU_NS 20000000       /* of what is asked of somebody who most often answers at once */

struct mob_runtime {
    pthread_mutex_t lock;

    /* set before the state is UP, then only read */
    uint64_t era;                       /* which mob_init() this is: functions and views of another are refused */
    uint32_t generation;                /* of the first refs of this era: no ref of an earlier one is taken for a new one */
    struct mob_address self, job;
    uint64_t cluster;
    char ip[64], head[80];
    struct mob_hash executable;
    bool worker, quiet, can_spin, fold_said;
    int (*stop)(void);                  /* of the program (struct mob_init_options); NULL: nothing stops a call */
    int pid;
    pthread_t main_thread;              /* a worker's: runs the tasks */

    /* under the lock */
    enum mob_runtime_state state;
    struct mob_error why;               /* LOST: the reason */
    unsigned inside;                    /* calls between enter and leave */
    pthread_cond_t all_left;            /* ENDING: `inside` fell to 0 */
    struct mob_world world;
    struct mob_wire *wire;
    struct mob_socket *socket;
    struct mob_doorbell bell;
    struct mob_store_client *store;
    struct mob_owner *owner;
    struct mob_executor *executor;      /* a worker's */
    struct mob_cluster *cluster_of_ours;        /* daemons that end with us; join.c */
    uint64_t dirty[MOB_DIRTY_BITS / 64];        /* taken from the page, not drained yet */
    unsigned next_bit;
    bool own_half_open;                 /* of a channel to ourselves, the worker's end came */
    int64_t due_ns;                     /* when the owner core, or a full socket, wants to be flushed again */
    uint32_t depth;                     /* of what is submitted now */
    uint32_t run;                       /* mob_run's number of the task that submits it; 0: none runs */
    uint32_t attempt;                   /* of the task that runs, or did last */
    bool running;                       /* a worker's: inside a task */
    bool cancelled;                     /* ... which is cancelled */
    struct mob_link store_calls, fetches, queries;      /* asked, not answered */
    uint64_t last_query;
    int64_t explain_ns;                 /* a get that has waited so long says why; 0: none does */
    struct mob_link output;             /* of tasks, to be printed by the service thread */
    struct mob_fold *fold;              /* NULL: each line is printed. The service thread's, and of who ends it */
    size_t output_bytes, output_dropped, output_of[MOB_OUTPUT_SOURCES + 1];
    struct mob_map buffers;             /* of the program, by number: object_api.c */
    struct mob_map printers;            /* nodes that lent to us, or sent output: where tasks of ours may have printed */
    struct mob_hint { struct mob_object_id id; uint32_t entry, generation; } hints[MOB_HINTS];

    /* under the lock: who waits, who pumps (worker/pump.c) */
    struct mob_link waits;
    struct mob_wait *pump, *idle;       /* idle: a worker's main thread, between tasks */
    struct mob_wait *yielding;          /* the same, until it may send an item of yield_size bytes */
    size_t yield_size;
    bool pump_sleeps;
    pthread_t service;
    bool has_service;
    bool ticking;                       /* calls keep coming: the service thread looks each millisecond, nobody rings */
    uint64_t calls, calls_seen;         /* of the API; as of the service thread's last look */
    int64_t pump_due_ns, service_due_ns;        /* when they wake by themselves */
    int64_t spin_rest_ns, spin_rest_until;
    int pump_epoll, service_epoll;      /* both on doorbell and socket, exclusively: the kernel prefers the pump */
    int kick_fd, poke_fd;               /* wakes the pump; the service thread */
};

/* -- runtime.c --------------------------------------------------------------------------------------------------------------- */

/* Take the lock. NULL: not initialised, a forked child, or the raylet is gone; *err says which. */
struct mob_runtime *mob_enter(struct mob_error *err);
/* Take the lock even when the raylet is gone, or mob_shutdown() waits for others (to drop things, never to wait). NULL: there is
 * nothing. */
struct mob_runtime *mob_enter_any(void);
/* Flush what the call caused, drain a little, unlock. */
void mob_leave(struct mob_runtime *r);
/* The same after a call that caused nothing that cannot wait a millisecond. */
void mob_leave_lazily(struct mob_runtime *r);

/* For mob_init() and mob_shutdown() alone: the struct in state DOWN or any, locked. NULL: a forked child. */
struct mob_runtime *mob_runtime_lock(void);
struct mob_runtime *mob_runtime_lock_soon(void);       /* NULL as well if another keeps the lock for a second */
void mob_runtime_unlock(struct mob_runtime *r);
/* Make and end the organs that need no raylet: descriptors, world, lists. */
int mob_runtime_open(struct mob_runtime *r, struct mob_error *err);
void mob_runtime_close(struct mob_runtime *r);

/* Take dirty bits, drain at most `limit` answers, flush the core and the socket. True if something was there. */
bool mob_runtime_turn(struct mob_runtime *r, size_t limit);
/* Read the socket and act on what came. */
void mob_runtime_read(struct mob_runtime *r);
void mob_runtime_lost(struct mob_runtime *r, const struct mob_error *why);
/* Write what is queued for the raylet; what its socket has no room for, in a millisecond. */
void mob_runtime_flush(struct mob_runtime *r);
/* Pack and queue an envelope whose from and to are set. */
void mob_runtime_send(struct mob_runtime *r, const Mobula__Envelope *e);
struct mob_address mob_runtime_raylet(const struct mob_runtime *r);
int64_t mob_runtime_now(void);          /* CLOCK_BOOTTIME */
int64_t mob_runtime_deadline(int64_t timeout_ms);       /* MOB_FOREVER: MOB_NEVER */

/* -- inbox.c ----------------------------------------------------------------------------------------------------------------- */

/* Act on an envelope of the raylet. */
void mob_inbox_receive(struct mob_runtime *r, const void *bytes, size_t size);

/* -- pump.c ------------------------------------------------------------------------------------------------------------------ */

void mob_wait_init(struct mob_wait *w);
void mob_wait_done(struct mob_runtime *r, struct mob_wait *w);
/* The state changed: all who wait look at it. */
void mob_wait_wake_all(struct mob_runtime *r);
/* Wait, with the lock held before and after (not meanwhile). False: the time is over, or everything ends, or it heeds a cancel, or the
 * program stops it. */
bool mob_wait_until(struct mob_runtime *r, struct mob_wait *w, int64_t deadline_ns);
/* A worker between tasks: until there may be something to claim. False: the time is over. */
bool mob_wait_idle(struct mob_runtime *r, int64_t deadline_ns);
/* After a call of the API: make sure that whoever sleeps wakes when the core wants it. */
void mob_pump_arm(struct mob_runtime *r);
int mob_service_start(struct mob_runtime *r, struct mob_error *err);    /* no-op if it runs */
void mob_service_poke(struct mob_runtime *r);           /* there is something to print */
void mob_service_stop(struct mob_runtime *r);           /* lets go of the lock meanwhile */

/* -- world.c ----------------------------------------------------------------------------------------------------------------- */

void mob_runtime_world(struct mob_world *w);

/* -- output.c ---------------------------------------------------------------------------------------------------------------- */

/* "mobula: text" on stderr. */
void mob_output_warn(struct mob_runtime *r, const char *text);
void mob_output_receive(struct mob_runtime *r, const Mobula__Output *m);
/* Print what is queued; lets go of the lock while printing. */
void mob_output_print(struct mob_runtime *r);
int mob_output_open(struct mob_runtime *r, const struct mob_init_options *o, struct mob_error *err);
void mob_output_close(struct mob_runtime *r);           /* prints what is held */
int64_t mob_output_due_ns(const struct mob_runtime *r); /* print again then, whatever comes */

/* -- cluster_api.c ----------------------------------------------------------------------------------------------------------- */

/* Wait, 2 s at most, until all that the tasks have printed so far has come. Between mob_enter() and mob_leave(). */
void mob_query_output(struct mob_runtime *r);
/* The head's answer, under the lock: free() it; NULL: *err. */
char *mob_query_ask(struct mob_runtime *r, const char *verb, const char *argument, int64_t timeout_ms, struct mob_error *err);
/* A question to the head: could any node serve a task of this shape if it were idle? free() it. */
struct mob_shape;
char *mob_fits_question(const struct mob_shape *shape);
/* Ask it. -1: none could, and *err says what each lacks. 0: one can, or the head is away. Under the lock. */
int mob_fits(struct mob_runtime *r, const char *question, struct mob_error *err);
/* Tell the user, on stderr, why the object of a ref is not there. */
void mob_explain_print(struct mob_runtime *r, uint64_t ref, int64_t waited_ns);
void mob_query_receive(struct mob_runtime *r, const Mobula__Reply *m);
void mob_query_fail_all(struct mob_runtime *r, const struct mob_error *why);

/* -- object_api.c ------------------------------------------------------------------------------------------------------------ */

/* Those that the program has not ended. */
void mob_buffers_fini(struct mob_runtime *r);

/* -- stream_api.c ------------------------------------------------------------------------------------------------------------ */

/* May the running task send its item? */
bool mob_yield_is_due(const struct mob_runtime *r);

/* -- worker_main.c ----------------------------------------------------------------------------------------------------------- */

/* Run tasks until the raylet ends this process. Called with the lock held. */
_Noreturn void mob_worker_main(struct mob_runtime *r);

/* -- init.c ------------------------------------------------------------------------------------------------------------------ */

void mob_init_welcome(struct mob_runtime *r, const Mobula__Envelope *e);

#endif
