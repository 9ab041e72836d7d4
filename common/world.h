/* SPDX-License-Identifier: Apache-2.0 */
/* world.h -- everything a core may not do by itself: the clock, random numbers, talk to others, start and end processes.
 *
 * The cores (head/, raylet/, worker/owner and worker/executor) are state machines without threads, sockets, files or processes of
 * their own. They are fed packed envelopes and the facts below, and act through this table. The real tables are in head/world.c,
 * raylet/world.c and worker/world.c; the simulator's is tests/sim/world.c. A core is called by one thread at a time; a call of
 * the table never calls back into the core that made it: what follows from it arrives later, as a fact.
 *
 * A link is a connection to one other process, numbered by the transport. Facts about it: up (mob_<core>_link_up), a frame
 * (mob_<core>_receive), lost (mob_<core>_link_lost: last fact of that number). Frames of one link arrive once and in order.
 */
#ifndef MOB_COMMON_WORLD_H
#define MOB_COMMON_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/id.h"

/* What a raylet wants started: the program of a job, as worker number `process`. */
struct mob_spawn {
    uint32_t process;
    uint64_t nonce;                     /* the new process proves itself with it */
    struct mob_address job;
    struct mob_hash executable;
    uint32_t executable_node;           /* serves it, if it is not here yet */
    const uint32_t *gpus;               /* become CUDA_VISIBLE_DEVICES; NULL and 0: left as it is */
    size_t gpu_count;
};

/* The memory of a node: of its machine, or of the one of its cgroups that has least left. */
struct mob_memory {
    uint64_t used, limit;               /* bytes; used: what cannot be had by writing back or dropping caches */
    unsigned stalled;                   /* thousandths of the time since the last look in which all processes waited for memory (PSI) */
    char of[128];                       /* whose: "the machine's" */
};

/* Of a memory of `limit` bytes, what is kept free: what was said, or 5 %, 2 GiB at most. */
#define MOB_MEMORY_RESERVE UINT64_MAX
static inline uint64_t mob_memory_reserve(uint64_t said, uint64_t limit)
{
    uint64_t usual = limit / 20 < UINT64_C(2) << 30 ? limit / 20 : UINT64_C(2) << 30;

    return said == MOB_MEMORY_RESERVE ? usual : said < limit ? said : limit;
}

struct mob_world {
    /* all processes */
    int64_t (*now_ns)(struct mob_world *w);             /* CLOCK_BOOTTIME */
    uint64_t (*random)(struct mob_world *w);
    void (*send)(struct mob_world *w, uint64_t link, const void *frame, size_t size);   /* frame is copied or written */
    void (*hang_up)(struct mob_world *w, uint64_t link);                                /* link_lost follows */

    /* daemons */
    uint64_t (*dial)(struct mob_world *w, const char *ip, uint32_t port);   /* returns the link; up or lost follows */

    /* a raylet */
    void (*spawn)(struct mob_world *w, const struct mob_spawn *ask);        /* process_exited follows, even if it cannot start */
    bool (*prepare)(struct mob_world *w, const struct mob_spawn *ask);      /* workers of a job (no process yet): will they start faster
                                                                                later? mob_raylet_prepared() follows then */
    void (*kill)(struct mob_world *w, uint32_t process, int signal);
    void (*connect)(struct mob_world *w, uint32_t owner, uint32_t worker);  /* ChannelOpen to both; owner 0: the raylet itself */
    void (*cancel_mark)(struct mob_world *w, uint32_t process, uint64_t task, uint32_t attempt);   /* in its page */
    size_t (*queued)(struct mob_world *w, uint64_t link);                   /* bytes that wait to be written */
    bool (*memory)(struct mob_world *w, struct mob_memory *ret);            /* of this node; false: it cannot be read. NULL: nor watched */
    uint64_t (*resident)(struct mob_world *w, uint32_t process);            /* bytes that a worker and all that it started have for
                                                                                themselves: nothing of the store */
};

#endif
