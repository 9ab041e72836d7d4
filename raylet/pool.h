/* SPDX-License-Identifier: Apache-2.0 */
/* pool.h -- worker processes: started for a job's program, kept warm, lent, ended. Jobs never share workers. */
#ifndef MOB_RAYLET_POOL_H
#define MOB_RAYLET_POOL_H

#include "common/list.h"
#include "common/machine.h"
#include "common/map.h"
#include "raylet/cancel.h"
#include "raylet/raylet.h"

#define CHANNELS_OF_WORKER 16           /* owners it keeps channels to */

struct arrival;
struct lease;
struct process;

enum worker_state { WORKER_STARTING, WORKER_IDLE, WORKER_LENT, WORKER_BLOCKED, WORKER_ENDING, WORKER_GONE };

struct worker {
    struct mob_machine machine;
    struct process *process;
    struct kind *kind;
    struct lease *lease;                /* LENT, BLOCKED, ENDING: what it serves; STARTING: the one it was started for, with GPUs */
    bool for_one;                       /* has GPUs: serves one lease and is ended after it */
    uint32_t epoch;
    int64_t since;                      /* ns; in this state */
    int64_t started_at;                 /* ns; asked for */
    enum mob_killed_by doom;            /* not UNKNOWN: why this raylet is about to kill it, or did */
    int64_t cpu_lent;                   /* BLOCKED: its CPU, lent to others meanwhile */
    uint32_t owners[CHANNELS_OF_WORKER];        /* processes of this node with a channel to it, newest replaces oldest */
    unsigned owners_next;
    bool channel_asked;                 /* the raylet's own, for owners elsewhere */
    struct mob_channel *channel;
    struct cancel cancel;
    struct mob_link of_kind;
    struct mob_link idle;               /* in kind->idle */
    struct mob_link in_state;           /* STARTING, IDLE, ENDING: oldest first */
};

/* All workers of one job. */
struct kind {
    struct mob_address job;
    struct mob_hash executable;
    uint32_t executable_node;
    struct mob_link workers;
    struct mob_link idle;               /* last used first: warm caches */
    struct mob_link waiting;            /* leases without a worker, oldest first */
    uint32_t waiting_count;             /* of them: that any worker can serve */
    uint32_t starting;                  /* workers that any lease can have */
    uint32_t general;                   /* workers without GPUs that live */
    uint32_t warm;                      /* keep starting until so many are `general` */
    bool preparing;                     /* ... but only for who waits: later they start faster */
    uint32_t wants;                     /* that point here */
    uint32_t failures;                  /* starts in a row that failed */
    int64_t retry_at;                   /* ns; start none before */
    char *unfit;                        /* why this node can never run the program; NULL: it may */
    bool over;                          /* the job is: start none */
};

struct pool {
    struct mob_map kinds;               /* job -> struct kind */
    struct mob_link starting, idle, ending;
    uint32_t starting_count, idle_count;
    uint32_t alive, blocked;
    uint32_t failing;                   /* kinds with failures */
};

void mob_pool_init(struct mob_raylet *r);
void mob_pool_fini(struct mob_raylet *r);

struct kind *mob_pool_kind(struct mob_raylet *r, struct mob_address job, const struct mob_hash *executable,
                           uint32_t executable_node);
/* Free it if nothing is left of it. */
void mob_pool_kind_release(struct mob_raylet *r, struct kind *k);
/* Have `count` workers, as fast as the CPUs allow; if the world prepares for their start, then those that nobody waits for after that. */
void mob_pool_prestart(struct mob_raylet *r, struct kind *k, uint32_t count);

/* Is a worker there, or may one be started? */
bool mob_pool_may_lend(const struct mob_raylet *r, const struct kind *k);
/* Find a worker for a lease: mob_lease_grant() follows, now or later. */
void mob_pool_match(struct mob_raylet *r, struct lease *l);
void mob_pool_unmatch(struct mob_raylet *r, struct lease *l);
/* IDLE -> LENT: its new epoch. */
uint32_t mob_pool_lend(struct mob_raylet *r, struct worker *w, struct lease *l);
/* A channel between `owner` (0: this raylet) and the worker, unless they have one. */
void mob_pool_connect(struct mob_raylet *r, struct worker *w, uint32_t owner);
/* The owner gave the lease back as soon as it had it: it may have closed the channel meanwhile. The next lease opens another. */
void mob_pool_disconnect(struct worker *w, uint32_t owner);
/* The lease is over: idle again, for whoever waits for one. */
void mob_pool_take_back(struct mob_raylet *r, struct worker *w);

/* A started worker said Hello. */
void mob_pool_worker_up(struct mob_raylet *r, struct worker *w);
/* Ask it to end; kill it if it does not. */
void mob_pool_retire(struct mob_raylet *r, struct worker *w);
void mob_pool_kill(struct mob_raylet *r, struct worker *w);
/* Say why before it is killed: its death certificate will. The first word counts. */
void mob_pool_doom(struct worker *w, enum mob_killed_by why);
/* Its socket broke, or it broke the rules: kill it; whoever has it on lease is told. */
void mob_pool_broken(struct mob_raylet *r, struct worker *w);
/* It was reaped, and its lease is over. `why`: for one that never came up. `unfit`: nor will any other of its program. */
void mob_pool_worker_gone(struct mob_raylet *r, struct worker *w, const char *why, bool unfit);
/* Kill all workers of a job, and start none any more. */
void mob_pool_end_job(struct mob_raylet *r, struct mob_address job);
void mob_pool_kill_all(struct mob_raylet *r);
/* Start whom leases wait for, as far as the bounds allow. */
void mob_pool_start_next(struct mob_raylet *r);

/* Others would lose what it made, or what it called. */
bool mob_pool_is_needed(const struct worker *w);
/* Reap what is warm beyond need, kill what does not end or start. Returns when to come again. */
int64_t mob_pool_tick(struct mob_raylet *r);

void mob_pool_on_blocked(struct mob_raylet *r, const struct arrival *a);
void mob_pool_on_unblocked(struct mob_raylet *r, const struct arrival *a);

#endif
