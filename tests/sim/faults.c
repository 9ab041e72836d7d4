/* SPDX-License-Identifier: Apache-2.0 */
/* faults.c -- what goes wrong: something each 100 ms or so for the first seconds, then nothing, so that everything must come to its end.
 *
 * A kind has a name, by which it is had alone (--faults kill,drop), and, if it strikes out of the blue, a weight among those that do.
 * Other kinds are asked for at their moments: a message is sent, a disk is written.
 */
#include "faults.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stores.h"

#define REDIAL_NS (500 * SIM_MS)        /* as raylet/membership.c */

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

    while (count < MOB_COUNT(links) && (number = link_next(s, &at)) != 0) {
        if (link_is_between_daemons(s, number))
            links[count++] = number;
    }
    if (count > 0)
        link_break(s, links[sim_below(s, count)]);
}

/* What the head is late by, it is late with whatever it has to say of them. */
static void head_is_late(struct sim *s, int64_t span)
{
    for (unsigned i = 1; i <= s->config.nodes; i++)
        if (s->hosts[i].excused_until > s->now)
            s->hosts[i].excused_until += span;
}

static void freeze_host(struct host *h)
{
    struct sim *s = h->sim;
    int64_t span = (int64_t)sim_below(s, sim_chance(s, 30) ? 6 * SIM_S : 500 * SIM_MS);

    sim_trace(s, "host %u freezes for %ld ms", h->index, (long)(span / SIM_MS));
    if (h->frozen_until < s->now + span)        /* what waits for its thaw keeps its place before what comes later */
        h->frozen_until = s->now + span;
    faults_trouble(s, h->frozen_until);
    if (h->index == 0)
        head_is_late(s, span);
    else if (h->excused_until < h->frozen_until + 5 * SIM_S)
        h->excused_until = h->frozen_until + 5 * SIM_S;
}

static void freeze(struct sim *s)
{
    freeze_host(some_host(s));
}

static void freeze_head(struct sim *s)
{
    freeze_host(&s->hosts[0]);
}

static void kill_someone(struct sim *s)
{
    if (sim_chance(s, 5))
        program_crash(s);
    else
        kill_worker(s);
}

static void slow_host(struct sim *s)
{
    some_host(s)->slow_until = s->now + SIM_S;
}

static void restart_head(struct sim *s)
{
    head_is_late(s, 5 * SIM_S);
    if (faults_now(s, FAULT_REORDER))
        links_hold_up(s, REDIAL_NS, sim_chance(s, 50) ? 5 * SIM_MS : SIM_S);    /* until all have just registered again, or long after */
    head_kill(s);
}

static void slow_disk(struct sim *s)
{
    some_host(s)->slow_disk_until = s->now + (int64_t)sim_below(s, 3 * SIM_S);
}

static void restart_node(struct sim *s)
{
    struct host *h = some_host(s);

    if (h->raylet != NULL)
        raylet_kill(h, sim_chance(s, 30));
}

static void cut(struct sim *s)
{
    cut_begin(s, false);
}

static void cut_one_way(struct sim *s)
{
    cut_begin(s, true);
}

/* In the order of their bits. */
static const struct {
    const char *name;
    unsigned weight;
    void (*strike)(struct sim *s);      /* NULL: it has its own moments */
} kinds[] = {
    { "drop", 25, break_link },
    { "delay", 15, slow_host },
    { "repeat", 0, NULL },
    { "reorder", 0, NULL },
    { "partition", 3, cut },
    { "partition-one-way", 3, cut_one_way },
    { "kill", 40, kill_someone },
    { "freeze", 8, freeze },
    { "freeze-head", 2, freeze_head },
    { "restart-head", 6, restart_head },
    { "restart-node", 10, restart_node },
    { "slow-disk", 5, slow_disk },
    { "full-disk", 0, NULL },
    { "bad-disk", 0, NULL },
    { "clock-step", 0, NULL },
    { "aim", 0, NULL },
    { "lose-answer", 0, NULL },
    { "old-state", 0, NULL },
};

bool faults_parse(const char *list, unsigned *ret)
{
    *ret = strcmp(list, "all") == 0 ? FAULTS_ALL : 0;
    while (*ret != FAULTS_ALL && *list != '\0') {
        size_t length = strcspn(list, ","), i = 0;

        while (i < MOB_COUNT(kinds) && (strlen(kinds[i].name) != length || strncmp(kinds[i].name, list, length) != 0))
            i++;
        if (i == MOB_COUNT(kinds))
            return false;
        *ret |= 1u << i;
        list += length + (list[length] == ',');
    }
    return true;
}

void faults_list(void)
{
    for (size_t i = 0; i < MOB_COUNT(kinds); i++)
        fprintf(stderr, "  %s\n", kinds[i].name);
}

bool faults_now(const struct sim *s, unsigned of)
{
    return s->now < s->faults_until && (s->config.faults & of) != 0;
}

bool faults_chance(struct sim *s, unsigned of, unsigned percent)
{
    return faults_now(s, of) && sim_chance(s, percent);
}

bool faults_may_cost(const struct sim *s)
{
    return (s->config.faults & ~(unsigned)FAULTS_HARMLESS) != 0;
}

void faults_trouble(struct sim *s, int64_t until)
{
    if (s->trouble_until < until)
        s->trouble_until = until;
}

int64_t faults_over(const struct sim *s)
{
    int64_t over = s->trouble_until > s->faults_until ? s->trouble_until : s->faults_until;

    return over > s->memory_until ? over : s->memory_until;
}

/* Whoever reports twice a second, and whom nothing was done to, is not buried: whatever happened to the head, or to others. */
void faults_judge_death(struct raylet *r)
{
    if (r->a.sim->now <= r->a.host->excused_until)
        return;
    fprintf(stderr, "node %u on host %u was declared dead without a reason\n", r->node, r->a.host->index);
    abort();
}

static void run_middle(struct event *e)
{
    struct host *h = e->arg;
    unsigned dice = (unsigned)sim_below(h->sim, 100);

    if (h->raylet == NULL || h->raylet->node == 0)
        return;
    h->sim->misfortunes++;
    if (dice < 40 && faults_now(h->sim, FAULT_RESTART_NODE)) {
        raylet_kill(h, dice < 10);
        return;
    }
    if (!faults_now(h->sim, FAULT_DROP))
        return;
    sim_trace(h->sim, "host %u is cut off", h->index);
    shelf_cut(h->raylet->shelf);
    if (dice < 70)
        link_break_all(&h->raylet->a);
}

void faults_middle(struct host *h)
{
    struct sim *s = h->sim;

    if (faults_chance(s, FAULT_DROP | FAULT_RESTART_NODE, 20))
        sim_after(s, (int64_t)sim_below(s, 8 * SIM_MS), NULL, run_middle, h);
}

static void run_fault(struct event *e)
{
    struct sim *s = e->arg;
    uint64_t all = 0, dice;
    size_t i;

    for (i = 0; i < MOB_COUNT(kinds); i++)
        all += s->config.faults & 1u << i ? kinds[i].weight : 0;
    if (all == 0)
        return;
    for (i = 0, dice = sim_below(s, all); ; i++) {
        unsigned weight = s->config.faults & 1u << i ? kinds[i].weight : 0;
        if (dice < weight)
            break;
        dice -= weight;
    }
    s->misfortunes++;
    kinds[i].strike(s);
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

/* A store has something no more, and nobody is told. */
static void run_loss(struct event *e)
{
    struct sim *s = e->arg;
    struct host *h = some_host(s);

    if (h->raylet != NULL && h->raylet->shelf != NULL)
        s->misfortunes += shelf_lose(h->raylet->shelf);
    if (s->now < s->faults_until)
        sim_after(s, (int64_t)sim_below(s, 20 * SIM_MS), NULL, run_loss, s);
}

/* -- the worst moments ------------------------------------------------------------------------------------------------------ */

static void run_killed(struct event *e)
{
    e->actor->sim->misfortunes++;
    process_die(e->arg, SIGKILL, false);
}

/* So many of a hundred get lost with their link. Random ones are nearly all of other kinds. */
static unsigned lost_percent(uint32_t body)
{
    switch (body) {
    case MOBULA__ENVELOPE__BODY_ORPHANS:
        return 100;
    case MOBULA__ENVELOPE__BODY_REFERENCES:
    case MOBULA__ENVELOPE__BODY_REFERENCES_DONE:
    case MOBULA__ENVELOPE__BODY_MOURN:
    case MOBULA__ENVELOPE__BODY_MOURNED:
        return 5;
    default:
        return 0;
    }
}

/* Is a value in a store among these? */
static bool names_stored(const Mobula__AnswerFrames *m)
{
    struct mob_answer_frame f;
    struct mob_arg_head head;

    for (size_t at = 0; at + sizeof f <= m->frames.len; at += mob_frame_pad(f.body_size)) {
        memcpy(&f, m->frames.data + at, sizeof f);
        at += sizeof f;
        for (size_t in = 0; mob_answer_has_values(&f) && in + sizeof head <= f.body_size; in += sizeof head + mob_frame_pad(head.size)) {
            memcpy(&head, m->frames.data + at + in, sizeof head);
            if (head.kind == MOB_VALUE_STORED)
                return true;
        }
    }
    return false;
}

static void lose_answer(struct raylet *r, uint64_t link, const void *frame, size_t size)
{
    struct mob_wire *wire = mob_wire_create();
    const Mobula__Envelope *e = mob_wire_unpack(wire, frame, size, NULL);
    struct sim *s = r->a.sim;

    if (e != NULL && e->body_case == MOBULA__ENVELOPE__BODY_ANSWER_FRAMES && e->from->node == r->node && names_stored(e->answer_frames)
        && sim_chance(s, 20) && link_is_between_daemons(s, link)) {
        s->misfortunes++;
        link_break(s, link);
        s->faults_until = s->now;
    }
    mob_wire_destroy(wire);
}

/* A worker that had owners confirm what goes with its answer dies before it answers; and who is asked what has come of it does not hear. */
void faults_said(struct raylet *r, uint64_t link, const void *frame, size_t size)
{
    struct sim *s = r->a.sim;
    struct process *p;
    uint32_t body;

    if (faults_now(s, FAULT_LOSE_ANSWER))
        lose_answer(r, link, frame, size);
    if (!s->config.stores || !faults_chance(s, FAULT_KILL | FAULT_DROP, 30))
        return;
    body = mob_wire_body(frame, size);
    if (faults_chance(s, FAULT_DROP, lost_percent(body)) && link_is_between_daemons(s, link)) {
        s->misfortunes++;
        link_break(s, link);
    }
    if (body != MOBULA__ENVELOPE__BODY_REFERENCES_DONE || !faults_chance(s, FAULT_KILL, 30))
        return;
    mob_list_each(p, &r->a.host->processes, struct process, by_host)
        if (p->raylet_link == link && p->state == PROCESS_UP && !p->driver)
            sim_after(s, 0, &p->a, run_killed, p);
}

/* It dies before anybody has read that. */
void faults_answered(struct process *p)
{
    if (faults_chance(p->a.sim, FAULT_KILL, 10))
        sim_after(p->a.sim, 0, &p->a, run_killed, p);
    aim_answered(p);
}

static void run_restart_head(struct event *e)
{
    struct sim *s = e->arg;

    s->misfortunes++;
    restart_head(s);
}

static bool all_have_joined(const struct sim *s)
{
    for (unsigned i = 1; i <= s->config.nodes; i++)
        if (s->hosts[i].raylet == NULL || s->hosts[i].raylet->node == 0)
            return false;
    return true;
}

/* It dies between Placed and Place, or before they are answered: the next one knows of neither. */
void faults_head_said(struct sim *s, const void *frame, size_t size)
{
    uint32_t body;

    if (!faults_now(s, FAULT_RESTART_HEAD) || !all_have_joined(s))
        return;
    body = mob_wire_body(frame, size);
    if ((body == MOBULA__ENVELOPE__BODY_PLACE || body == MOBULA__ENVELOPE__BODY_CLAIM) && sim_chance(s, 4))
        sim_after(s, (int64_t)sim_below(s, sim_chance(s, 50) ? 20 * SIM_US : 2 * SIM_MS), NULL, run_restart_head, s);
}

static void run_break(struct event *e)
{
    struct sim *s = e->arg;

    if (!link_is_between_daemons(s, e->n))
        return;
    s->misfortunes++;
    link_break(s, e->n);
}

/* It breaks before that has arrived, or has been answered. */
void faults_sent(struct sim *s, uint64_t link)
{
    if (faults_chance(s, FAULT_DROP, 25))
        sim_after(s, (int64_t)sim_below(s, SIM_MS), NULL, run_break, s)->n = link;
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
    [MOBULA__ENVELOPE__BODY_NODE_DOWN]         = { REPEAT_LATER,    REPEAT_LATER,      REPEAT_NOT },
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

    if (!faults_chance(s, FAULT_REPEAT, 4))
        return REPEAT_NOT;
    body = mob_wire_body(frame, size);
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
    if (s->config.faults != 0 || s->config.losses)
        s->faults_until = s->now + 6 * SIM_S;
    if (s->config.faults != 0)
        sim_after(s, SIM_S / 2, NULL, run_fault, s);
    aim_plan(s);
    if (s->config.losses)
        sim_after(s, SIM_S / 2, NULL, run_loss, s);
}
