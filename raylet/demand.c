/* SPDX-License-Identifier: Apache-2.0 */
/* demand.c -- what this raylet asks of the head for its processes.
 *
 *   open = outstanding - making         what no lease of this node is in the making for
 *        = at_head + placed_sum         asked of the head, and promised by it
 *
 * flush() restores the second line: open grew -> Demand with a higher level; fell, because this node served some itself or
 * the owner wants less -> Demand with a lower one, and what is still too much is withdrawn from the nodes. The head lowers
 * its level by itself with each Placed; Demand.placed_seen makes crossing ones exact. A Grant that crosses a Withdraw is one
 * too many: its owner returns it.
 *
 * This node can be among those the head chose. Then nothing goes by message: the want is served from the own queue.
 */
#include "raylet/demand.h"


#include "raylet/core.h"

#define LEVEL_UNKNOWN UINT32_MAX        /* the head may have any */
#define YOUNGER_NS (50 * MS)            /* a want that was served so much later than the head knows is said again: others are older now */

void mob_demand_changed(struct mob_raylet *r, struct want *w)
{
    if (mob_list_empty(&w->demand.changed))
        mob_list_append(&r->wants.demands, &w->demand.changed);
}

static struct placed *find_placed(const struct want *w, uint32_t node)
{
    for (size_t i = 0; i < w->demand.placed_count; i++)
        if (w->demand.placed[i].node == node)
            return &w->demand.placed[i];
    return NULL;
}

uint32_t mob_demand_placed_at(const struct want *w, uint32_t node)
{
    const struct placed *p = find_placed(w, node);

    return p == NULL ? 0 : p->count;
}

static struct placed *make_placed(struct want *w, uint32_t node)
{
    struct demand *d = &w->demand;
    struct placed *p = find_placed(w, node);

    if (p != NULL)
        return p;
    d->placed = mob_realloc(d->placed, (d->placed_count + 1) * sizeof *d->placed);
    p = &d->placed[d->placed_count++];
    *p = (struct placed){ .node = node };
    return p;
}

static void forget_if_empty(struct demand *d, struct placed *p)
{
    if (p->count == 0 && p->early == 0)
        *p = d->placed[--d->placed_count];
}

/* What was answered early is settled by this: unless that spoke of older Places, all of which have been heard of by now. Then it crossed
 * a Withdraw, or an end of the head's link, and is settled long since. */
static void place(struct want *w, uint32_t node, uint32_t count, uint64_t seq)
{
    struct placed *p = make_placed(w, node);
    uint32_t settled;

    if (seq > p->early_seq)
        p->early = 0;
    settled = p->early < count ? p->early : count;
    if (p->count == 0)
        p->seq = seq;
    p->last = seq;
    p->early -= settled;
    p->count += count - settled;
    w->demand.placed_sum += count - settled;
    forget_if_empty(&w->demand, p);
}

/* Take up to `count` off; returns how many. */
static uint32_t unplace(struct want *w, uint32_t node, uint32_t count)
{
    struct demand *d = &w->demand;
    struct placed *p = find_placed(w, node);

    if (p == NULL)
        return 0;
    if (count > p->count)
        count = p->count;
    p->count -= count;
    d->placed_sum -= count;
    forget_if_empty(d, p);
    return count;
}

void mob_demand_unplace(struct mob_raylet *r, struct want *w, uint32_t node, uint32_t count)
{
    if (unplace(w, node, count) > 0)
        mob_want_changed(r, w);
}

/* A Grant that crossed a Withdraw counts as early, too, until a later Placed shows that it was not. */
void mob_demand_answered(struct mob_raylet *r, struct want *w, uint32_t node, uint32_t count, uint64_t place_seq)
{
    uint32_t expected = unplace(w, node, count);

    if (expected < count) {
        struct placed *p = make_placed(w, node);

        p->early += count - expected;
        p->early_seq = place_seq;
    }
    if (expected > 0)
        mob_want_changed(r, w);
}

/* -- saying -------------------------------------------------------------------------------------------------------------- */

/* A number and no level: it may cross a later Place, which comes from the head, and must not undo that: it says up to which one it takes
 * back. So that holds, too, if it crosses a Grant, or waited for a link and what it takes back was forgotten with the one before. */
static void say_withdraw(struct mob_raylet *r, struct mob_address owner, uint32_t shape, uint32_t node, uint32_t count, uint64_t seq)
{
    Mobula__Withdraw m = MOBULA__WITHDRAW__INIT;
    Mobula__Address address;
    struct mob_envelope e;

    mob_wire_put_address(&address, owner);
    m.owner = &address;
    m.shape = shape;
    m.count = count;
    m.generation = r->membership.generation;
    m.seq = seq;
    mob_envelope_init(&e, r->self, (struct mob_address){ node, 0 }, MOBULA__ENVELOPE__BODY_WITHDRAW);
    e.e.withdraw = &m;
    mob_route_send(r, &e.e);
}

static void say_demand(struct mob_raylet *r, struct mob_address owner, uint32_t shape, const struct want *w, uint32_t level)
{
    Mobula__Demand m = MOBULA__DEMAND__INIT;
    Mobula__Shape definition = MOBULA__SHAPE__INIT;
    const struct mob_shape gone = { .job = owner };
    Mobula__Address address;
    struct mob_near near[MOB_NEAR_MAX];
    struct mob_near_room near_room;
    struct mob_shape_room room;
    struct mob_envelope e;

    mob_wire_put_address(&address, owner);
    m.owner = &address;
    m.shape = shape;
    m.count = level;
    m.definition = &definition;
    if (w != NULL) {
        m.n_near = mob_wire_put_near(&near_room, near, mob_near_open(w, level, near));
        m.near = near_room.list;
        mob_wire_put_shape(&definition, &room, &w->shape);
        m.placed_seen = w->demand.placed_seen;
        m.age_ms = (uint64_t)((r->now - w->since) / MS);
        m.depth = w->depth;
    } else {                            /* of an owner that is gone: only its name matters */
        mob_wire_put_shape(&definition, &room, &gone);
        m.placed_seen = UINT64_MAX;
    }
    mob_envelope_init(&e, r->self, (struct mob_address){ 0, 0 }, MOBULA__ENVELOPE__BODY_DEMAND);
    e.e.demand = &m;
    mob_route_send(r, &e.e);
}

/* One that the arguments are not at, if there is any. There is one at all: the sum is not 0. */
static uint32_t last_placed(const struct want *w)
{
    const struct demand *d = &w->demand;
    uint32_t node = 0;

    for (size_t i = 0; i < d->placed_count; i++)
        if (d->placed[i].count > 0 && (node == 0 || d->placed[i].count > mob_near_at(w, d->placed[i].node)))
            node = d->placed[i].node;
    return node;
}

static void withdraw_surplus(struct mob_raylet *r, struct want *w, uint32_t open)
{
    while (w->demand.placed_sum > open) {
        uint32_t surplus = w->demand.placed_sum - open;
        uint32_t node = last_placed(w);
        uint64_t last = find_placed(w, node)->last;

        surplus = unplace(w, node, surplus);
        if (node != r->self.node)
            say_withdraw(r, w->wanter->address, w->number, node, surplus, last);
        mob_want_changed(r, w);         /* what is not wanted there any more may be wanted here */
    }
}

static void flush_one(struct mob_raylet *r, struct want *w)
{
    uint32_t open = w->outstanding - w->making, level;

    withdraw_surplus(r, w, open);
    level = open - w->demand.placed_sum;
    if (w->feasible && w->here_first && w->shape.strategy == MOB_NODE)
        level = 0;                      /* nobody else may serve it */
    bool news = level > 0 && (w->demand.near_changed || w->since - w->demand.said_since >= YOUNGER_NS);

    if ((level == w->demand.at_head && !news) || !mob_membership_joined(r))
        return;
    w->demand.near_changed = false;
    w->demand.at_head = level;
    w->demand.said_since = w->since;
    say_demand(r, w->wanter->address, w->number, w, level);
}

void mob_demand_flush(struct mob_raylet *r)
{
    while (!mob_list_empty(&r->wants.demands)) {
        struct want *w = mob_list_first(&r->wants.demands, struct want, demand.changed);

        mob_list_remove(&w->demand.changed);
        flush_one(r, w);
    }
}

static void withdraw_all(struct mob_raylet *r, struct want *w)
{
    withdraw_surplus(r, w, 0);
    assert(w->demand.placed_sum == 0);
    w->demand.placed_count = 0;
}

void mob_demand_forget(struct mob_raylet *r)
{
    struct want *w;

    mob_list_each(w, &r->wants.all, struct want, all) {
        w->demand.placed_count = 0;
        w->demand.placed_sum = 0;
        if (w->wanter->process != NULL)
            mob_want_changed(r, w);
    }
}

void mob_demand_say_again(struct mob_raylet *r)
{
    struct want *w;

    mob_list_each(w, &r->wants.all, struct want, all) {
        if (w->wanter->process == NULL || (w->outstanding == 0 && w->demand.at_head == 0))
            continue;
        withdraw_all(r, w);
        w->demand.at_head = LEVEL_UNKNOWN;
        mob_want_changed(r, w);
    }
    mob_wants_serve(r);
}

void mob_demand_end(struct mob_raylet *r, struct want *w)
{
    withdraw_all(r, w);
    mob_list_remove(&w->demand.changed);
    if (w->demand.at_head != 0)
        say_demand(r, w->wanter->address, w->number, w, 0);
    w->demand.at_head = 0;
}

void mob_demand_node_lost(struct mob_raylet *r, uint32_t node)
{
    struct want *w;

    mob_list_each(w, &r->wants.all, struct want, all) {
        struct placed *p = find_placed(w, node);

        if (p != NULL)
            p->early = 0;
        mob_demand_unplace(r, w, node, UINT32_MAX);
    }
    mob_wants_serve(r);
}

/* Of several Places that were remembered as one, those after it are asked for again, too: such leases come to too many, and go back. */
void mob_demand_forgotten(struct mob_raylet *r, const struct peer *peer)
{
    struct want *w;

    mob_list_each(w, &r->wants.all, struct want, all) {
        const struct placed *p = find_placed(w, peer->is.node);

        if (p != NULL && p->seq <= peer->forgot_seq)
            mob_demand_unplace(r, w, peer->is.node, UINT32_MAX);
    }
    mob_wants_serve(r);
}

/* -- hearing ------------------------------------------------------------------------------------------------------------- */

/* Promised here: as much as the queue may hold is kept, the rest is asked of the head again. */
static uint32_t room_here(const struct mob_raylet *r, uint32_t count)
{
    uint32_t cpus = mob_node_resources_cpus(&r->resources);

    return count < cpus ? count : cpus;
}

/* Until the peer says what it has forgotten, one Placed a want is remembered with its number; a second one is asked for again. */
static void place_at_peer(struct mob_raylet *r, struct want *w, const struct peer *peer, const Mobula__Placed *m)
{
    if (peer == NULL || !peer->is.alive)
        return;
    if (m->seq > peer->forgot_seq && !(peer->was_reset && mob_demand_placed_at(w, m->node) > 0))
        place(w, m->node, m->count, m->seq);
    mob_route_open(r, m->node);
}

void mob_demand_on_placed(struct mob_raylet *r, const struct arrival *a)
{
    const Mobula__Placed *m = a->e->placed;
    struct mob_address owner = mob_wire_address(m->owner);
    struct want *w = mob_want_find(r, owner, m->shape);

    if (w == NULL || w->wanter->process == NULL) {      /* its owner died while this was under way */
        say_demand(r, owner, m->shape, NULL, 0);
        if (m->node != r->self.node)
            say_withdraw(r, owner, m->shape, m->node, m->count, m->seq);
        return;
    }
    w->demand.placed_seen += m->count;
    mob_near_placed(w, m->count);
    if (w->demand.at_head != LEVEL_UNKNOWN)
        w->demand.at_head -= m->count < w->demand.at_head ? m->count : w->demand.at_head;
    if (m->node == r->self.node) {
        if (w->kind->unfit != NULL)
            mob_death_tell_unfit(r, w->kind);
        place(w, m->node, room_here(r, m->count), m->seq);
    } else {
        place_at_peer(r, w, mob_route_peer(r, m->node), m);
    }
    mob_want_changed(r, w);
    mob_wants_serve(r);
    if (!mob_want_fits_now(r, w))       /* the head's view was old: another node may be free meanwhile, so it is asked again */
        mob_demand_unplace(r, w, r->self.node, UINT32_MAX);
}

void mob_demand_on_declined(struct mob_raylet *r, const struct arrival *a)
{
    const Mobula__Declined *m = a->e->declined;
    struct want *w = mob_want_find(r, mob_wire_address(m->owner), m->shape);

    if (w != NULL && w->wanter->process != NULL)
        mob_demand_answered(r, w, a->from.node, m->count, m->place_seq);
    mob_wants_serve(r);                 /* what was left to that node may be served here, if it is near there */
}
