/* SPDX-License-Identifier: Apache-2.0 */
/* head.c -- the life of the head's core, its links, and who gets which envelope.
 *
 *   link: NEW --(Register)--> RAYLET        what it may say then: Report, Demand, JobStarted, JobOver, Unfit, NodeDown, Reply; its
 *            |                              processes: Query, Events
 *            '--(Query)-----> ASKER         Query
 *   PROBE is a dial of ours (node.c). A link that says what it must not is hung up, with one line in the log: OVER.
 *
 * A call is: note the time, hand the fact to its noun. What follows from many facts together (placing, answering who waits) is done
 * once, in mob_head_tick().
 */
#include "head/head.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "common/event.h"
#include "common/log.h"
#include "head/core.h"

#define LATE_NS INT64_C(50000000)       /* a tick that comes later than that after its time is a stall ... */
#define STALL_SAID_NS INT64_C(200000000)        /* ... and one as long as that is worth a line in the log */

/* -- time ---------------------------------------------------------------------------------------------------------------- */

/* Silence counts from tick to tick, and no further than the loop was late by a little: a process that was stopped, waited for its disk, or
 * had so much to read that it did not come to its tick, has not heard what waits in its sockets. */
static void note_time(struct mob_head *h)
{
    int64_t now_ns = h->world->now_ns(h->world);
    int64_t most_ns = h->config.beat_ms * MOB_NS_OF_MS / 2, planned_ns = h->due_ns - h->ticked_ns;

    assert(now_ns >= h->now_ns);
    h->now_ns = now_ns;
    most_ns = (planned_ns < most_ns ? planned_ns : most_ns) + LATE_NS;
    h->unticked_ns = now_ns - h->ticked_ns < most_ns ? now_ns - h->ticked_ns : most_ns;
}

static void begin_tick(struct mob_head *h)
{
    int64_t stall_ns;

    note_time(h);
    stall_ns = h->now_ns - h->ticked_ns - h->unticked_ns;
    if (stall_ns >= STALL_SAID_NS && !mob_list_empty(&h->nodes.heard))
        mob_warn("did not come to look at its nodes for %" PRId64 " ms: silence in that time counts for nobody", stall_ns / MOB_NS_OF_MS);
    h->lived_ns += h->unticked_ns;
    h->unticked_ns = 0;
    h->ticked_ns = h->now_ns;
}

/* -- links --------------------------------------------------------------------------------------------------------------- */

struct link *mob_head_link(const struct mob_head *h, uint64_t number)
{
    return mob_map_get(&h->links, number);
}

struct link *mob_head_link_add(struct mob_head *h, uint64_t number)
{
    struct link *l = mob_head_link(h, number);

    if (l == NULL) {
        l = mob_new(struct link);
        l->number = number;
        mob_map_set(&h->links, number, l);
    }
    return l;
}

void mob_head_hang_up(struct mob_head *h, struct link *l)
{
    if (l->kind == LINK_OVER)
        return;
    l->kind = LINK_OVER;
    l->node = NULL;
    mob_head_query_link_lost(h, l->number);
    mob_head_gather_link_lost(h, l->number);
    h->world->hang_up(h->world, l->number);
}

void mob_head_end_link(struct mob_head *h, struct link *l)
{
    if (l->kind == LINK_RAYLET)
        mob_head_node_link_lost(l->node, false);
    mob_head_hang_up(h, l);
}

void mob_head_send(struct mob_head *h, uint64_t link, const Mobula__Envelope *e)
{
    size_t size;
    const void *frame = mob_wire_pack(h->wire, e, &size);

    h->world->send(h->world, link, frame, size);
}

void mob_head_broadcast(struct mob_head *h, const Mobula__Envelope *e, const struct node *except)
{
    struct node *n;

    mob_list_each(n, &h->nodes.heard, struct node, by_heard) {
        if (n->link == 0 || n == except)
            continue;
        mob_wire_put_address(e->to, (struct mob_address){ n->place.number, 0 });
        mob_head_send(h, n->link, e);
    }
}

/* -- envelopes ----------------------------------------------------------------------------------------------------------- */

static void on_events(struct node *n, const Mobula__Events *m)
{
    struct mob_head *h = n->head;

    n->events_heard++;
    if (m->records.len % sizeof(struct mob_event) != 0)
        mob_warn("events of %zu bytes are no whole records: dropped", m->records.len);
    else if (h->config.record != NULL)
        h->config.record(h->config.arg, m->records.data, m->records.len, m->dropped);
}

/* What a node's raylet says for itself. */
static int dispatch_raylet(struct node *n, const Mobula__Envelope *e, struct mob_error *err)
{
    struct mob_head *h = n->head;
    struct mob_address job;

    switch (e->body_case) {
    case MOBULA__ENVELOPE__BODY_REPLY:
        mob_head_gathered(h, n->place.number, e->reply);
        return 0;
    case MOBULA__ENVELOPE__BODY_REPORT:
        if (n->named_link != n->link)
            mob_head_job_all_named(n);
        n->named_link = n->link;
        if (mob_head_view_report(n, e->report, err) < 0)
            return -1;
        mob_head_node_look(n);          /* it may be that it leaves */
        return 0;
    case MOBULA__ENVELOPE__BODY_DEMAND:
        return mob_head_demand_state(n, e->demand, err);
    case MOBULA__ENVELOPE__BODY_UNFIT:
        if (e->unfit->executable.len != sizeof(struct mob_hash))
            return mob_error_set(err, MOB_ERR_PROTOCOL, "Unfit names no program");
        mob_head_demand_unfit(n, (const struct mob_hash *)e->unfit->executable.data, e->unfit->why);
        return 0;
    case MOBULA__ENVELOPE__BODY_NODE_DOWN:
        return mob_head_node_told_dead(h, e->node_down->node, err);
    case MOBULA__ENVELOPE__BODY_JOB_STARTED:
        job = mob_wire_address(e->job_started->job);
        if (job.node == n->place.number)
            mob_head_job_started(n, job, e->job_started->name, e->job_started->pid);
        else
            mob_head_job_served(h, job);
        return 0;
    case MOBULA__ENVELOPE__BODY_JOB_OVER:
        job = mob_wire_address(e->job_over->job);
        if (job.node != n->place.number)
            return mob_error_set(err, MOB_ERR_PROTOCOL, "job %u.%u is not of this node", job.node, job.process);
        mob_head_job_over(h, job);
        return 0;
    default:
        return mob_error_set(err, MOB_ERR_PROTOCOL, "body %d is not for a head", (int)e->body_case);
    }
}

static int dispatch_from_raylet(struct mob_head *h, struct link *l, struct mob_address from, const Mobula__Envelope *e,
                                struct mob_error *err)
{
    struct node *n = l->node;

    mob_head_node_heard(n);
    if (from.node != n->place.number)
        return mob_error_set(err, MOB_ERR_PROTOCOL, "it speaks for node %u", from.node);
    if (e->body_case == MOBULA__ENVELOPE__BODY_QUERY)
        mob_head_query_ask(h, l, from, e->query);
    else if (e->body_case == MOBULA__ENVELOPE__BODY_EVENTS)
        on_events(n, e->events);
    else if (from.process != 0)         /* a user's process: its raylet is not to blame */
        mob_warn("process %u.%u sent body %d: dropped", from.node, from.process, (int)e->body_case);
    else
        return dispatch_raylet(n, e, err);
    return 0;
}

static int dispatch(struct mob_head *h, struct link *l, const Mobula__Envelope *e, struct mob_error *err)
{
    struct mob_address from = mob_wire_address(e->from);

    if (l->kind == LINK_RAYLET)
        return dispatch_from_raylet(h, l, from, e, err);
    if (e->body_case == MOBULA__ENVELOPE__BODY_QUERY && l->kind != LINK_PROBE) {
        l->kind = LINK_ASKER;
        mob_head_query_ask(h, l, from, e->query);
        return 0;
    }
    if (e->body_case == MOBULA__ENVELOPE__BODY_REGISTER_NODE && l->kind == LINK_NEW) {
        mob_head_node_register(h, l, e->register_node);
        return 0;
    }
    if (l->kind == LINK_PROBE)          /* a raylet greets whoever calls */
        return 0;
    return mob_error_set(err, MOB_ERR_PROTOCOL, "body %d before Register", (int)e->body_case);
}

/* -- facts --------------------------------------------------------------------------------------------------------------- */

void mob_head_link_up(struct mob_head *h, uint64_t link)
{
    struct link *l = mob_head_link_add(h, link);

    note_time(h);
    if (l->kind == LINK_PROBE) {
        mob_head_node_probe_up(l->node);
        mob_head_hang_up(h, l);
    }
}

void mob_head_receive(struct mob_head *h, uint64_t link, const void *frame, size_t size)
{
    struct link *l = mob_head_link(h, link);
    Mobula__Envelope *e;
    struct mob_error err;

    note_time(h);
    if (l == NULL || l->kind == LINK_OVER)
        return;
    if ((e = mob_wire_unpack(h->wire, frame, size, &err)) != NULL && dispatch(h, l, e, &err) == 0)
        return;
    mob_warn("link %" PRIu64 " (node %u) is ended: %s", l->number, l->node != NULL ? l->node->place.number : 0, err.text);
    mob_head_end_link(h, l);
}

void mob_head_link_lost(struct mob_head *h, uint64_t link, bool refused)
{
    struct link *l = mob_map_remove(&h->links, link);

    note_time(h);
    if (l == NULL)
        return;
    mob_head_query_link_lost(h, link);
    mob_head_gather_link_lost(h, link);
    if (l->kind == LINK_PROBE)
        mob_head_node_probe_lost(l->node, refused);
    else if (l->kind == LINK_RAYLET)
        mob_head_node_link_lost(l->node, refused);
    free(l);
}

int64_t mob_head_tick(struct mob_head *h)
{
    int64_t due_ns, other_ns;

    begin_tick(h);
    due_ns = mob_head_node_tick(h);
    if ((other_ns = mob_head_demand_place(h)) < due_ns)
        due_ns = other_ns;
    if ((other_ns = mob_head_query_tick(h)) < due_ns)
        due_ns = other_ns;
    if ((other_ns = mob_head_gather_tick(h)) < due_ns)
        due_ns = other_ns;
    if ((other_ns = mob_head_state_tick(h)) < due_ns)
        due_ns = other_ns;
    /* Come often enough to see when this process did not run. */
    other_ns = h->now_ns + h->config.beat_ms * MOB_NS_OF_MS / 2;
    if (!mob_list_empty(&h->nodes.heard) && other_ns < due_ns)
        due_ns = other_ns;
    if (due_ns < h->now_ns)
        due_ns = h->now_ns;
    h->due_ns = due_ns;
    return due_ns;
}

/* -- life ---------------------------------------------------------------------------------------------------------------- */

struct mob_head *mob_head_create(struct mob_world *w, const struct mob_head_config *config)
{
    struct mob_head *h = mob_new(struct mob_head);

    h->world = w;
    h->config = *config;
    h->wire = mob_wire_create();
    h->now_ns = h->started_ns = h->ticked_ns = h->due_ns = w->now_ns(w);
    mob_head_node_init(h);
    mob_head_demand_init(h);
    mob_head_job_init(h);
    mob_head_query_init(h);
    mob_head_gather_init(h);
    return h;
}

void mob_head_destroy(struct mob_head *h)
{
    struct link *l;
    size_t at = 0;

    if (h == NULL)
        return;
    mob_head_query_fini(h);
    mob_head_gather_fini(h);
    mob_head_state_fini(h);
    mob_head_job_fini(h);
    mob_head_demand_fini(h);
    mob_head_node_fini(h);
    mob_head_view_fini(h);
    while ((l = mob_map_next(&h->links, &at, NULL)) != NULL)
        free(l);
    mob_map_fini(&h->links);
    mob_wire_destroy(h->wire);
    free(h);
}

void mob_head_check(const struct mob_head *h)
{
    const struct link *l;
    size_t at = 0;

    mob_head_node_check(h);
    mob_head_demand_check(h);
    while ((l = mob_map_next(&h->links, &at, NULL)) != NULL) {
        assert((l->node != NULL) == (l->kind == LINK_RAYLET || l->kind == LINK_PROBE));
        if (l->kind == LINK_RAYLET)
            assert(l->node->link == l->number);
        if (l->kind == LINK_PROBE)
            assert(l->node->probe == l->number);
    }
}
