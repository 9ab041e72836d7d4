/* SPDX-License-Identifier: Apache-2.0 */
/* drains.c -- nodes are asked to leave, while programs run: hosts without a driver, so that nobody need be ended for it. What its workers
 * keep for later tasks they let go, by and by, or the node would wait for them until the programs end. Each comes back as a new node. When
 * nothing else goes wrong all leave, nothing is lost and nothing runs twice; with a deadline that may be.
 */
#include "stores.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define AGAIN_NS (100 * SIM_MS)

static void run_drain(struct event *e);

/* As `mobula drain` does; nobody reads the answer. */
static void ask(struct sim *s, uint32_t node, int64_t deadline_ms)
{
    Mobula__Query m = MOBULA__QUERY__INIT;
    struct mob_wire *wire = mob_wire_create();
    uint64_t link = ++s->next_link;     /* which no end has */
    struct mob_envelope e;
    char argument[96];
    const void *bytes;
    size_t size;

    snprintf(argument, sizeof argument, deadline_ms < 0 ? "{\"node\":\"%u\"}" : "{\"node\":\"%u\",\"deadline_ms\":%ld}", node,
             (long)deadline_ms);
    m.verb = (char *)"drain";
    m.argument = argument;
    mob_envelope_init(&e, (struct mob_address){ 0, 0 }, (struct mob_address){ 0, 0 }, MOBULA__ENVELOPE__BODY_QUERY);
    e.e.query = &m;
    bytes = mob_wire_pack(wire, &e.e, &size);
    mob_head_link_up(s->head, link);
    mob_head_receive(s->head, link, bytes, size);
    mob_head_link_lost(s->head, link, false);
    actor_poke(s->head_actor);
    mob_wire_destroy(wire);
}

static bool was_asked(const struct sim *s, uint32_t node)
{
    for (unsigned i = 0; i < s->drained_count; i++)
        if (s->drained[i] == node)
            return true;
    return false;
}

static void let_go(struct host *h)
{
    struct process *p;

    mob_list_each(p, &h->processes, struct process, by_host)
        if (p->state == PROCESS_UP && !p->driver && p->user != NULL)
            user_let_go(p);
}

static void drain(struct sim *s, struct host *h)
{
    uint32_t node = h->raylet->node;
    int64_t deadline_ms = -1;

    if (s->config.faults && sim_chance(s, 30)) {
        deadline_ms = (int64_t)sim_below(s, 3000);
        s->misfortunes++;
    }
    sim_trace(s, "node %u on host %u is to leave", node, h->index);
    ask(s, node, deadline_ms);
    let_go(h);
    if (!was_asked(s, node))
        s->drained[s->drained_count++] = node;
    else
        s->misfortunes += deadline_ms >= 0;
}

static void run_drain(struct event *e)
{
    struct sim *s = e->arg;
    unsigned spare = s->config.nodes - s->config.drivers;
    struct host *h = &s->hosts[1 + s->config.drivers + sim_below(s, spare)];

    if (s->programs_running == 0)
        return;
    if (s->head == NULL || h->raylet == NULL || h->raylet->node == 0 || s->now < h->frozen_until) {
        sim_after(s, AGAIN_NS, NULL, run_drain, s);
        return;
    }
    drain(s, h);
    if (s->drained_count < DRAINS_MAX)
        sim_after(s, (int64_t)sim_below(s, 400 * SIM_MS), NULL, run_drain, s);
}

void drains_plan(struct sim *s)
{
    if (!s->config.drains)
        return;
    assert(s->config.nodes > s->config.drivers);
    sim_after(s, (int64_t)sim_below(s, 300 * SIM_MS), NULL, run_drain, s);
}

void drains_check(const struct sim *s)
{
    assert(s->left <= s->drained_count);
    assert(s->config.faults || s->left == s->drained_count);
}
