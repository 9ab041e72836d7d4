/* SPDX-License-Identifier: Apache-2.0 */
/* aim.c -- misfortune that is aimed: a run chooses kinds of messages, and strikes when such a one is said.
 *
 * Out of the blue next to nothing happens to a message of which there are few, and a rule that is there for its loss alone could be broken
 * unseen. What a strike does:
 *
 *   between two raylets         its link breaks under it; or, now and then, who said it dies, or who is to hear it
 *   from the head               what it says next is late for some of those that it speaks to: so a node may be heard of from others first
 *   between one and a process   who is to hear it dies, or who said it
 *   then, in most cases         what is said next on that host is late: on some of its links, and not on the others
 *
 * So news of one thing take several ways, and arrive in any order that links allow. Drivers live: they have what is to be looked at in the
 * end. And a kind is struck so often and no more: so there is somebody left.
 */
#include "faults.h"

#include <assert.h>
#include <signal.h>

#define PAUSE_NS (20 * SIM_MS)          /* between two strikes at a kind, on the average */
#define LATE_NS (300 * SIM_MS)
#define STRIKES_MAX 20                  /* at a kind */

/* They are said when somebody is gone or out of reach, or for his case; and so many of a hundred are struck: between two raylets; or
 * between one and a process, where only somebody's death can lose them. */
static const struct { uint32_t body; unsigned between, on_host; } aims[] = {
    { MOBULA__ENVELOPE__BODY_REFERENCES,       30, 1 },
    { MOBULA__ENVELOPE__BODY_REFERENCES_DONE,  10, 30 },
    { MOBULA__ENVELOPE__BODY_MOURN,            30, 1 },
    { MOBULA__ENVELOPE__BODY_MOURNED,          30, 1 },
    { MOBULA__ENVELOPE__BODY_ORPHANS,          90, 0 },
    { MOBULA__ENVELOPE__BODY_OWNER_OVER,       60, 0 },
    { MOBULA__ENVELOPE__BODY_ANSWER_FRAMES,    30, 1 },
    { MOBULA__ENVELOPE__BODY_LEASE_OVER,       60, 1 },
    { MOBULA__ENVELOPE__BODY_REGISTERED,       90, 0 },
};
_Static_assert(MOB_COUNT(aims) <= AIMS_MAX, "there is room for each");

void aim_plan(struct sim *s)
{
    for (size_t i = 0; i < MOB_COUNT(aims) && (s->config.faults & FAULT_AIM); i++)
        s->aims_left[i] = sim_chance(s, 60) ? 1 + (unsigned)sim_below(s, STRIKES_MAX) : 0;
}

static uint64_t read_varint(const uint8_t **at, const uint8_t *end)
{
    uint64_t n = 0;

    for (unsigned shift = 0; *at < end && shift < 64; shift += 7) {
        uint8_t byte = *(*at)++;

        n |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            break;
    }
    return n;
}

/* Each frame is looked at: its body is the first field that is not an address, and all have a length. */
static uint32_t body_of(const void *frame, size_t size)
{
    const uint8_t *at = frame, *end = at + size;

    while (at < end) {
        uint64_t field = read_varint(&at, end) >> 3, length = read_varint(&at, end);

        if (field >= MOBULA__ENVELOPE__BODY_HELLO)
            return (uint32_t)field;
        at += length;
    }
    return 0;
}

static void run_killed(struct event *e)
{
    process_die(e->arg, SIGKILL, false);
}

static struct process *worker_at(struct sim *s, struct mob_address address)
{
    for (unsigned i = 1; i <= s->config.nodes; i++)
        for (size_t n = 0; n < s->hosts[i].living_count; n++) {
            struct process *p = s->hosts[i].living[n].process;

            if (p->state == PROCESS_UP && !p->driver && mob_address_eq(p->self, address))
                return p;
        }
    return NULL;
}

/* After what it says now; or, if it is to hear, before or after it has heard. */
static void kill_soon(struct sim *s, struct process *p, int64_t span)
{
    if (p != NULL)
        sim_after(s, span > 0 ? (int64_t)sim_below(s, (uint64_t)span) : 0, &p->a, run_killed, p);
}

static void strike(struct actor *a, uint64_t link, const Mobula__Envelope *e)
{
    struct sim *s = a->sim;
    unsigned dice = (unsigned)sim_below(s, 100);

    if (a->kind == ACTOR_HEAD)
        links_hold_up_some(a, LATE_NS);
    else if (!link_is_between_daemons(s, link))
        kill_soon(s, worker_at(s, mob_wire_address(dice < 80 ? e->to : e->from)), 0);
    else if (dice < 80)
        link_break(s, link);
    else if (dice < 85)
        kill_soon(s, worker_at(s, mob_wire_address(e->from)), 0);
    else if (dice < 90)
        kill_soon(s, worker_at(s, mob_wire_address(e->to)), SIM_MS);
    if (a->host->raylet != NULL && sim_chance(s, 70))
        links_hold_up_some(&a->host->raylet->a, LATE_NS);
}

/* Is one of these struck now? */
static bool is_due(struct sim *s, uint32_t body, bool on_host)
{
    size_t i = 0;

    while (i < MOB_COUNT(aims) && aims[i].body != body)
        i++;
    if (i == MOB_COUNT(aims) || s->aims_left[i] == 0 || s->now < s->aim_at[i] || !sim_chance(s, on_host ? aims[i].on_host : aims[i].between))
        return false;
    s->aims_left[i]--;
    s->aim_at[i] = s->now + (int64_t)sim_below(s, 2 * PAUSE_NS);
    s->misfortunes++;
    return true;
}

void aim_said(struct actor *a, uint64_t link, const void *frame, size_t size)
{
    struct mob_wire *wire;
    const Mobula__Envelope *e;

    if (!faults_now(a->sim, FAULT_AIM) || !is_due(a->sim, body_of(frame, size), !link_is_between_daemons(a->sim, link)))
        return;
    wire = mob_wire_create();
    e = mob_wire_unpack(wire, frame, size, NULL);
    assert(e != NULL && (uint32_t)e->body_case == body_of(frame, size));
    strike(a, link, e);
    mob_wire_destroy(wire);
}

void aim_answered(struct process *p)
{
    if (!faults_now(p->a.sim, FAULT_AIM) || !is_due(p->a.sim, MOBULA__ENVELOPE__BODY_ANSWER_FRAMES, false))
        return;
    kill_soon(p->a.sim, p, 0);
    links_hold_up_some(&p->raylet->a, LATE_NS);
}
