/* SPDX-License-Identifier: Apache-2.0 */
/* cuts.c -- a network in two parts, as TCP shows it.
 *
 * What is sent across a cut is sent again and again, and arrives in order when the way is free: nothing is lost out of the middle. A
 * connection that is cut for longer than ten seconds is given up by both its ends, each at its time, and what was under way is lost with
 * it. A dial across waits, and is given up after its patience. In a cut of one direction what is sent the other way arrives; but nobody
 * there hears an answer, so it ends in the same way.
 */
#include "faults.h"
#include "stores.h"

#define SILENCE_NS (10 * SIM_S)

int64_t cut_until(const struct sim *s, const struct host *a, const struct host *b)
{
    int64_t until = a->side != b->side ? s->cut_until[a->side] : 0;

    return until > s->now ? until : 0;
}

int64_t cut_either(const struct sim *s, const struct host *a, const struct host *b)
{
    int64_t there = cut_until(s, a, b), back = cut_until(s, b, a);

    return there > back ? there : back;
}

/* So long after its beginning: what crosses it is given up. */
static void run_silence(struct event *e)
{
    struct sim *s = e->arg;

    if (e->n == s->cuts)
        links_break_across(s);
}

/* Each host goes to a side by chance, and at least one to each. */
static void choose_sides(struct sim *s)
{
    unsigned alone = (unsigned)sim_below(s, s->config.nodes + 1);

    for (unsigned i = 0; i <= s->config.nodes; i++)
        s->hosts[i].side = (unsigned)sim_below(s, 2);
    if (sim_chance(s, 50))              /* often one host is cut off from all others */
        for (unsigned i = 0; i <= s->config.nodes; i++)
            s->hosts[i].side = 0;
    s->hosts[alone].side = !s->hosts[(alone + 1) % (s->config.nodes + 1)].side;
}

void cut_begin(struct sim *s, bool one_way)
{
    int64_t span = (int64_t)sim_below(s, sim_chance(s, 50) ? SIM_S : sim_chance(s, 70) ? 6 * SIM_S : 14 * SIM_S);
    unsigned free_way = one_way ? (unsigned)sim_below(s, 2) : 2;

    if (s->cut_until[0] > s->now || s->cut_until[1] > s->now)
        return;                         /* one at a time */
    choose_sides(s);
    for (unsigned side = 0; side < 2; side++)
        s->cut_until[side] = side == free_way ? 0 : s->now + span;
    sim_trace(s, "the network is cut for %ld ms%s:", (long)(span / SIM_MS), one_way ? ", one way" : "");
    for (unsigned i = 0; i <= s->config.nodes; i++) {
        struct host *h = &s->hosts[i];
        sim_trace(s, "    host %u is on side %u%s", i, h->side, h->side == free_way ? ", and is heard" : "");
        if (h->excused_until < s->now + span + 5 * SIM_S)
            h->excused_until = s->now + span + 5 * SIM_S;
    }
    faults_trouble(s, s->now + span);
    shelves_cut_across(s, span < SILENCE_NS ? span : SILENCE_NS);
    s->cuts++;
    if (span > SILENCE_NS)
        sim_after(s, SILENCE_NS, NULL, run_silence, s)->n = s->cuts;
}
