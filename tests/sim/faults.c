/* SPDX-License-Identifier: Apache-2.0 */
/* faults.c -- what goes wrong: something each 100 ms or so for the first seconds, then nothing, so that everything must come to its end. */
#include "sim.h"

#include <signal.h>

static struct host *some_host(struct sim *s)
{
    return &s->hosts[1 + sim_below(s, s->config.nodes)];
}

static void kill_worker(struct sim *s)
{
    struct host *h = some_host(s);
    struct process *p, *chosen = NULL;
    unsigned seen = 0;

    mob_list_each(p, &h->processes, struct process, by_host) {
        if (p->state == PROCESS_UP && !p->driver && sim_below(s, ++seen) == 0)
            chosen = p;
    }
    if (chosen != NULL)
        process_die(chosen, SIGKILL, false);
}

static void break_link(struct sim *s)
{
    uint64_t links[64];
    size_t count = 0, at = 0;
    uint64_t number;

    while (count < MOB_COUNT(links) && mob_map_next(&s->ends, &at, &number) != NULL) {
        if (link_is_between_daemons(s, number))
            links[count++] = number;
    }
    if (count > 0)
        link_break(s, links[sim_below(s, count)]);
}

static void freeze(struct sim *s)
{
    struct host *h = sim_chance(s, 20) ? &s->hosts[0] : some_host(s);
    int64_t span = (int64_t)sim_below(s, sim_chance(s, 30) ? 6 * SIM_S : 500 * SIM_MS);

    sim_trace(s, "host %u freezes for %ld ms", h->index, (long)(span / SIM_MS));
    h->frozen_until = s->now + span;
}

static void run_fault(struct event *e)
{
    struct sim *s = e->arg;
    unsigned dice = (unsigned)sim_below(s, 100);
    struct host *h = some_host(s);

    if (dice < 2)
        program_crash(s);
    else if (dice < 40)
        kill_worker(s);
    else if (dice < 65)
        break_link(s);
    else if (dice < 75)
        freeze(s);
    else if (dice < 90)
        h->slow_until = s->now + SIM_S;
    else if (h->raylet != NULL)
        raylet_kill(h, dice >= 97);
    if (s->now < s->faults_until)
        sim_after(s, (int64_t)sim_below(s, 300 * SIM_MS), NULL, run_fault, s);
}

static void run_crash(struct event *e)
{
    program_crash(e->arg);
}

void faults_plan(struct sim *s)
{
    if (s->config.crash)
        sim_after(s, SIM_S / 2 + (int64_t)sim_below(s, 2 * SIM_S), NULL, run_crash, s);
    if (!s->config.faults)
        return;
    s->faults_until = s->now + 6 * SIM_S;
    sim_after(s, SIM_S / 2, NULL, run_fault, s);
}
