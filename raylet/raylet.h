/* SPDX-License-Identifier: Apache-2.0 */
/* raylet.h -- the raylet's core: what a node owns and lends, to whom, and on which workers. Pure: world.h.
 *
 * Its shell (raylet/main.c and the files it builds) feeds it links: one to the head, one to each peer raylet, one to each local
 * process. Envelopes not addressed to it are forwarded.
 */
#ifndef MOB_RAYLET_RAYLET_H
#define MOB_RAYLET_RAYLET_H

#include <stdbool.h>

#include "common/channel.h"
#include "common/resources.h"
#include "common/world.h"
#include "common/wire.h"
#include "objstore/store.h"

struct mob_raylet;

struct mob_raylet_config {
    struct mob_resources resources;     /* CPU, GPU, memory, object_store_memory, node:<ip>, custom */
    struct mob_labels labels;
    uint32_t gpus[64];                  /* the indices behind GPU, in order */
    char ip[64], host[64];
    uint32_t port, bulk_port, pid;
    uint8_t incarnation[16];
    char head_ip[64];
    uint32_t head_port;
    bool driver_only;                   /* lends nothing; not shown as a node that serves */
    int64_t headless_ms;                /* without its head for so long: give up (60,000) */
    int64_t idle_worker_ms;             /* a warm worker beyond the CPU count is ended after this (1,000) */
    int64_t cancel_grace_ms;            /* flag -> SIGTERM, and SIGTERM -> SIGKILL (5,000) */
    uint64_t memory_limit;              /* of all workers and what they started; 0: none */
    uint64_t memory_reserve;            /* of the node's, kept free, as mob_memory_reserve() takes it; 0: it is not watched */
    bool memory_strict;                 /* a task that has more memory than it asked for is ended */
    struct mob_store *store;            /* the node's; NULL in simulations without big objects */
    const char *session_dir;
    /* Facts for the shell. */
    void (*registered)(void *arg, uint32_t node, const uint8_t cluster[16]);
    void (*over)(void *arg, const struct mob_error *why);       /* refused, declared dead, headless too long, or (MOB_OK) drained: end */
    void (*flush_output)(void *arg, struct mob_address job);    /* send what the job's workers have printed, now */
    void (*job_over)(void *arg, struct mob_address job);        /* nothing is started for it any more; process 0: for any of that node */
    void *arg;
};

struct mob_raylet *mob_raylet_create(struct mob_world *w, const struct mob_raylet_config *config);
void mob_raylet_destroy(struct mob_raylet *r);

/* -- facts --------------------------------------------------------------------------------------------------------------- */

enum mob_link_kind { MOB_LINK_HEAD, MOB_LINK_PEER, MOB_LINK_LOCAL };
void mob_raylet_link_up(struct mob_raylet *r, uint64_t link, enum mob_link_kind kind);
void mob_raylet_receive(struct mob_raylet *r, uint64_t link, const void *frame, size_t size);
void mob_raylet_link_lost(struct mob_raylet *r, uint64_t link, const struct mob_error *why);

/* A driver or worker said a good Hello on `link` (the shell checked version, nonce and user, read the descriptors, hashed the
 * executable). The core numbers a driver, or finds the worker; the shell then sends Welcome with the descriptors. */
struct mob_hello {
    bool driver;
    uint32_t process;                   /* a worker's */
    uint32_t pid;
    struct mob_hash executable;
    char name[64];
};
int mob_raylet_process_up(struct mob_raylet *r, uint64_t link, const struct mob_hello *hello, struct mob_address *ret_self,
                          struct mob_address *ret_job, uint32_t *ret_depth, struct mob_error *err);

/* The process is gone: reaped (worker) or its pidfd or socket ended (driver), and its socket was read to the end. */
struct mob_exit {
    int status;                         /* as of waitpid(); -1: never started, `why` says the reason */
    bool unfit;                         /* ... and this node can never run the program */
    bool late;                          /* it was ending already when world->kill() was called first */
    bool out_of_memory;                 /* the kernel has just killed a process for that */
    const char *core;                   /* where its core dump is, see struct mob_death; NULL: there is none */
    int64_t peak_rss_bytes, cpu_ns;
    const char *why;
    const char *last_lines;             /* of its stderr, or "" */
};
void mob_raylet_process_exited(struct mob_raylet *r, uint32_t process, const struct mob_exit *exit);

/* What world->prepare() waited for is there, or will not come: start workers that nobody waits for yet. */
void mob_raylet_prepared(struct mob_raylet *r, struct mob_address job);

/* A channel the core asked for with world->connect(0, worker) is mapped: the raylet is its owner side. Taken over. */
void mob_raylet_channel(struct mob_raylet *r, uint32_t worker, struct mob_channel *channel);
/* The raylet's doorbell was rung: take the answers out of its own channels. */
void mob_raylet_drain(struct mob_raylet *r);
/* The page of a local process, mapped by the shell: whether it is blocked, what runs since when, what it holds. */
void mob_raylet_page(struct mob_raylet *r, uint32_t process, struct mob_page *page);

/* Do what time makes due; returns when to come again (ns; INT64_MAX: not by itself). Call after each batch of facts. */
int64_t mob_raylet_tick(struct mob_raylet *r);

/* -- asked --------------------------------------------------------------------------------------------------------------- */

struct mob_peer {
    uint32_t node;
    char ip[64], host[64];
    uint32_t port, bulk_port;
    bool alive;
    char *died;                         /* why it is dead; NULL: it is not, or nobody said */
};
/* NULL if never heard of. */
const struct mob_peer *mob_raylet_peer(const struct mob_raylet *r, uint32_t node);
/* What a store asks its shell (config.reach), and then about one that is DEAD (config.mourn). */
enum mob_reach mob_raylet_reach(const struct mob_raylet *r, uint32_t node);
void mob_raylet_mourn(const struct mob_raylet *r, uint32_t node, struct mob_error *ret_why);
struct mob_address mob_raylet_self(const struct mob_raylet *r);
/* Send an envelope on behalf of the shell or the store, routed as any other. */
void mob_raylet_send(struct mob_raylet *r, const Mobula__Envelope *e);
/* Bytes that wait on the way to a process, or to its node. */
size_t mob_raylet_queued(const struct mob_raylet *r, struct mob_address to);
/* Where so many bytes wait, what workers print is dropped and counted: a driver that is stopped, or a network that is slower than they
 * print, must not end a link that carries leases. */
#define MOB_OUTPUT_QUEUE_MAX (4u << 20)
/* A little has more room than much: who prints a line now and then loses none to who prints without end. */
#define MOB_OUTPUT_ROOM(size) ((size) <= 16u << 10 ? 2 * MOB_OUTPUT_QUEUE_MAX : MOB_OUTPUT_QUEUE_MAX)
/* For the store's `elsewhere`: does that process run a task that another node may serve? */
bool mob_raylet_may_run_elsewhere(const struct mob_raylet *r, uint32_t process);
/* For the store's `seek`. */
void mob_raylet_seek(struct mob_raylet *r, const struct mob_object_id *id);
/* Has a job that wants or has workers here this program? */
bool mob_raylet_uses(const struct mob_raylet *r, const struct mob_hash *executable);

/* For tests and the simulator: aborts if an invariant is broken (lent + free = owned; one holder a lease; ...). */
void mob_raylet_check(const struct mob_raylet *r);
/* True when nothing is lent, wanted or kept for anyone. */
bool mob_raylet_quiet(const struct mob_raylet *r);

#endif
