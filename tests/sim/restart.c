/* SPDX-License-Identifier: Apache-2.0 */
/* restart.c -- how long is a cluster without its head, and what does the next one have to do? The head is killed while drivers ask for more
 * than there is, and is started again at once on its state. Normal service: each node has registered again, and a task has been placed.
 * Virtual time is what a user waits: raylets dial each 500 ms. The head's CPU is real: that of its core, without sockets.
 */
#include <stdio.h>
#include <time.h>

#include "head/core.h"
#include "sim.h"

#define KILL_AT (102500 * SIM_MS)       /* the clock begins at 100 s; drivers ask from 101 s on */
#define DOWN_NS (50 * SIM_MS)
#define LOST_NS (60 * SIM_S)

static double cpu_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* The numbers of what a head places begin anew with it. */
static bool has_placed(const struct mob_head *h)
{
    struct node *n;

    mob_list_each(n, &h->nodes.heard, struct node, by_heard)
        if ((n->place_seq & UINT32_MAX) != 0)
            return true;
    return false;
}

bool restart_measure(struct sim *s)
{
    int64_t killed, registered = 0, placed = 0;
    double in_head = 0;

    while (s->now < KILL_AT)
        if (!sim_step(s))
            return false;
    head_kill_for(s, DOWN_NS);
    killed = s->now;
    while ((registered == 0 || placed == 0) && s->now < killed + LOST_NS) {
        double before = cpu_ms();

        if (!sim_step(s))
            return false;
        if (s->head == NULL || (s->stepped != s->head_actor && s->now != killed + DOWN_NS))
            continue;
        in_head += cpu_ms() - before;
        if (registered == 0 && s->head->nodes.alive == s->config.nodes)
            registered = s->now;
        if (placed == 0 && has_placed(s->head))
            placed = s->now;
    }
    printf("  the head of %u nodes was killed: a task was placed after %.0f ms, all were there after %.0f ms; %.1f ms of its CPU\n",
           s->config.nodes, (double)(placed - killed) / 1e6, (double)(registered - killed) / 1e6, in_head);
    return registered != 0 && placed != 0;
}
