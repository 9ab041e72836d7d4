/* SPDX-License-Identifier: Apache-2.0 */
/* world.h -- everything a core may not do by itself: the clock, random numbers, talk to others, start and end processes.
 *
 * The cores (head/, raylet/, worker/owner and worker/executor) are state machines without threads, sockets, files or processes of
 * their own. They are fed packed envelopes and the facts below, and act through this table. The real tables are in head/main.c,
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
};

#endif
