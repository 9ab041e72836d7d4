/* SPDX-License-Identifier: Apache-2.0 */
/* faults.c -- what goes wrong: something each 100 ms or so for the first seconds, then nothing, so that everything must come to its end. */
#include "stores.h"

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
    if (h->frozen_until < s->now + span)        /* what waits for its thaw keeps its place before what comes later */
        h->frozen_until = s->now + span;
}

static void run_middle(struct event *e)
{
    struct host *h = e->arg;
    unsigned dice = (unsigned)sim_below(h->sim, 100);

    if (h->raylet == NULL || h->raylet->node == 0)
        return;
    h->sim->misfortunes++;
    if (dice < 40) {
        raylet_kill(h, dice < 10);
        return;
    }
    sim_trace(h->sim, "host %u is cut off", h->index);
    shelf_cut(h->raylet->shelf);
    if (dice < 70)
        link_break_all(&h->raylet->a);
}

void faults_middle(struct host *h)
{
    struct sim *s = h->sim;

    if (s->now < s->faults_until && sim_chance(s, 20))
        sim_after(s, (int64_t)sim_below(s, 8 * SIM_MS), NULL, run_middle, h);
}

static void run_fault(struct event *e)
{
    struct sim *s = e->arg;
    unsigned dice = (unsigned)sim_below(s, 100);
    struct host *h = some_host(s);

    s->misfortunes++;
    if (s->config.heads && sim_chance(s, 15))
        head_kill(s);
    else if (dice < 2)
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

/* -- memory ---------------------------------------------------------------------------------------------------------------- */

bool faults_memory(struct mob_world *w, struct mob_memory *ret)
{
    const struct actor *a = MOB_CONTAINER(w, struct actor, world);

    *ret = (struct mob_memory){ .limit = UINT64_C(1) << 30, .of = "the host's" };
    ret->used = a->host->short_until > a->sim->now ? ret->limit : 0;
    return true;
}

/* Some have so little that they are not worth their end. */
uint64_t faults_resident(struct mob_world *w, uint32_t process)
{
    (void)w;
    return (8 + process * UINT64_C(7919) % 64) << 20;
}

static void run_short(struct event *e)
{
    struct sim *s = e->arg;
    struct host *h = some_host(s);

    s->misfortunes++;
    h->short_until = s->now + (int64_t)sim_below(s, 600 * SIM_MS);
    sim_trace(s, "memory of host %u is short for %ld ms", h->index, (long)((h->short_until - s->now) / SIM_MS));
    if (s->now < s->memory_until)
        sim_after(s, (int64_t)sim_below(s, 400 * SIM_MS), NULL, run_short, s);
}

/* -- the worst moments ------------------------------------------------------------------------------------------------------ */

static uint32_t body_of(const void *frame, size_t size)
{
    struct mob_wire *wire = mob_wire_create();
    const Mobula__Envelope *e = mob_wire_unpack(wire, frame, size, NULL);
    uint32_t body = e != NULL ? (uint32_t)e->body_case : 0;

    mob_wire_destroy(wire);
    return body;
}

static void run_killed(struct event *e)
{
    e->actor->sim->misfortunes++;
    process_die(e->arg, SIGKILL, false);
}

/* A worker that had owners confirm what goes with its answer dies before it answers; and who is asked what has come of it does not hear. */
void faults_said(struct raylet *r, uint64_t link, const void *frame, size_t size)
{
    struct sim *s = r->a.sim;
    struct process *p;
    uint32_t body;

    if (s->now >= s->faults_until || !s->config.stores || !sim_chance(s, 30))
        return;
    body = body_of(frame, size);
    if (body == MOBULA__ENVELOPE__BODY_ORPHANS && link_is_between_daemons(s, link)) {
        s->misfortunes++;
        link_break(s, link);
    }
    if (body != MOBULA__ENVELOPE__BODY_REFERENCES_DONE || sim_chance(s, 70))
        return;
    mob_list_each(p, &r->a.host->processes, struct process, by_host)
        if (p->raylet_link == link && p->state == PROCESS_UP && !p->driver)
            sim_after(s, 0, &p->a, run_killed, p);
}

/* -- repeats --------------------------------------------------------------------------------------------------------------- */

/* What docs/protocol.md, "Every message", says of a repeat, put to the test where it says that one does no harm.
 *
 * A link delivers once: a repeat is what is said again after a reconnect. Only a raylet and its head reconnect and go on from where
 * they were; so what they say under a number, or once and for all, may come again when other things have been said since. A level is
 * said again as it is by then: at once, before any newer one. The links of processes and peers end as a whole; what may be
 * repeated there at all, is repeated at once. Not in the table, because the column forbids it: Placed, Withdraw, Declined, frames
 * and answers, objects under way, the first messages of a link. */
static const enum repeat repeats[][3] = {
    /*                                             END_HEAD         END_PEER         END_LOCAL: of whom the receiver hears it */
    [MOBULA__ENVELOPE__BODY_PLACE]             = { REPEAT_LATER,    REPEAT_NOT,      REPEAT_NOT },
    [MOBULA__ENVELOPE__BODY_CLAIM]             = { REPEAT_LATER,    REPEAT_NOT,      REPEAT_NOT },
    [MOBULA__ENVELOPE__BODY_NODE_UP]           = { REPEAT_LATER,    REPEAT_NOT,      REPEAT_NOT },
    [MOBULA__ENVELOPE__BODY_NODE_DOWN]         = { REPEAT_LATER,    REPEAT_NOT,      REPEAT_NOT },
    [MOBULA__ENVELOPE__BODY_DRAIN]             = { REPEAT_LATER,    REPEAT_NOT,      REPEAT_NOT },
    [MOBULA__ENVELOPE__BODY_MOVE]              = { REPEAT_NOT,      REPEAT_AT_ONCE,  REPEAT_NOT },
    [MOBULA__ENVELOPE__BODY_MOVED]             = { REPEAT_NOT,      REPEAT_AT_ONCE,  REPEAT_NOT },
    [MOBULA__ENVELOPE__BODY_JOB_OVER]          = { REPEAT_LATER,    REPEAT_LATER,    REPEAT_NOT },
    [MOBULA__ENVELOPE__BODY_JOB_STARTED]       = { REPEAT_NOT,      REPEAT_LATER,    REPEAT_NOT },
    [MOBULA__ENVELOPE__BODY_REPORT]            = { REPEAT_NOT,      REPEAT_LATER,    REPEAT_NOT },
    [MOBULA__ENVELOPE__BODY_DEMAND]            = { REPEAT_NOT,      REPEAT_AT_ONCE,  REPEAT_NOT },
    [MOBULA__ENVELOPE__BODY_UNPLACEABLE]       = { REPEAT_AT_ONCE,  REPEAT_AT_ONCE,  REPEAT_AT_ONCE },
    [MOBULA__ENVELOPE__BODY_WANT]              = { REPEAT_NOT,      REPEAT_NOT,      REPEAT_AT_ONCE },
    [MOBULA__ENVELOPE__BODY_GRANT]             = { REPEAT_NOT,      REPEAT_AT_ONCE,  REPEAT_NOT },
    [MOBULA__ENVELOPE__BODY_RETURN_LEASE]      = { REPEAT_NOT,      REPEAT_AT_ONCE,  REPEAT_AT_ONCE },
    [MOBULA__ENVELOPE__BODY_LEASE_OVER]        = { REPEAT_NOT,      REPEAT_AT_ONCE,  REPEAT_AT_ONCE },
    [MOBULA__ENVELOPE__BODY_OWNER_OVER]        = { REPEAT_NOT,      REPEAT_LATER,    REPEAT_NOT },
    [MOBULA__ENVELOPE__BODY_ASSIGNED]          = { REPEAT_NOT,      REPEAT_NOT,      REPEAT_AT_ONCE },
    [MOBULA__ENVELOPE__BODY_BLOCKED]           = { REPEAT_NOT,      REPEAT_NOT,      REPEAT_AT_ONCE },
    [MOBULA__ENVELOPE__BODY_UNBLOCKED]         = { REPEAT_NOT,      REPEAT_NOT,      REPEAT_AT_ONCE },
    [MOBULA__ENVELOPE__BODY_CANCEL]            = { REPEAT_NOT,      REPEAT_AT_ONCE,  REPEAT_AT_ONCE },
    [MOBULA__ENVELOPE__BODY_TAKE_BACK]         = { REPEAT_NOT,      REPEAT_AT_ONCE,  REPEAT_NOT },
    [MOBULA__ENVELOPE__BODY_WATCH]             = { REPEAT_NOT,      REPEAT_AT_ONCE,  REPEAT_AT_ONCE },
    [MOBULA__ENVELOPE__BODY_WATCHED]           = { REPEAT_NOT,      REPEAT_AT_ONCE,  REPEAT_AT_ONCE },
    [MOBULA__ENVELOPE__BODY_ORPHANS]           = { REPEAT_NOT,      REPEAT_AT_ONCE,  REPEAT_AT_ONCE },
};

enum repeat faults_repeat(struct sim *s, enum end_kind kind, const void *frame, size_t size)
{
    uint32_t body;

    if (s->now >= s->faults_until || !sim_chance(s, 4))
        return REPEAT_NOT;
    body = body_of(frame, size);
    return body < MOB_COUNT(repeats) ? repeats[body][kind] : REPEAT_NOT;
}

static void run_crash(struct event *e)
{
    struct sim *s = e->arg;

    s->misfortunes++;
    program_crash(s);
}

void faults_plan(struct sim *s)
{
    if (s->config.crash)
        sim_after(s, SIM_S / 2 + (int64_t)sim_below(s, 2 * SIM_S), NULL, run_crash, s);
    if (s->config.memory) {
        s->memory_until = s->now + 6 * SIM_S;
        sim_after(s, SIM_S / 4, NULL, run_short, s);
    }
    if (!s->config.faults)
        return;
    s->faults_until = s->now + 6 * SIM_S;
    sim_after(s, SIM_S / 2, NULL, run_fault, s);
}
