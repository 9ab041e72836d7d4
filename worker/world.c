/* SPDX-License-Identifier: Apache-2.0 */
/* world.c -- the outside of the owner and executor cores in a real process: the clock, random numbers, one link (the
 * raylet's). */
#include <sys/random.h>

#include "worker/runtime.h"

static int64_t world_now(struct mob_world *w)
{
    (void)w;
    return mob_runtime_now();
}

static uint64_t world_random(struct mob_world *w)
{
    uint64_t n = 0;

    (void)w;
    if (getrandom(&n, sizeof n, 0) != sizeof n)
        n = (uint64_t)mob_runtime_now();        /* only spreads retries: need not be good */
    return n;
}

static void world_send(struct mob_world *w, uint64_t link, const void *frame, size_t size)
{
    struct mob_runtime *r = MOB_CONTAINER(w, struct mob_runtime, world);

    (void)link;
    mob_socket_send(r->socket, frame, size);
}

static void world_hang_up(struct mob_world *w, uint64_t link)
{
    (void)w;
    (void)link;                         /* the raylet hangs up, never we; mob_shutdown() closes the socket */
}

void mob_runtime_world(struct mob_world *w)
{
    *w = (struct mob_world){ .now_ns = world_now, .random = world_random, .send = world_send, .hang_up = world_hang_up };
}
