/* SPDX-License-Identifier: Apache-2.0 */
/* want.c -- levels, and the queue.
 *
 * A want counts in `outstanding` what its owner can use besides the grants it has. The owner's Want sets it, each Grant that
 * passes lowers it; Want.grants_seen makes crossing ones exact. It is in the queue while this node should lend more of it: a
 * local want that is served here first with all that is not in the making, less what other nodes shall serve (near.c); any other
 * with what the head placed here.
 *
 * Order: deeper first (a child before the parents that wait for it), then who waits longest. Being served counts as a new
 * arrival, so equal wants take turns.
 *
 * A want that has no lease here and waits for RESERVE_NS reserves, one at a time: what it needs is set aside as it comes free, and
 * those behind it get only what is left. Deeper ones are not behind it: it may wait for what their parents hold. And it reserves
 * only while all it needs would come back from workers that run: what a blocked one holds may wait for just those that
 * would be held back.
 */
#include "raylet/want.h"

#include <stdlib.h>

#include "raylet/core.h"

#define RESERVE_NS (2000 * MS)
#define SHAPES_MAX 4096                 /* of one owner */
#define COUNT_MAX (1u << 24)            /* of one want: an owner with more tasks says so later */
#define AGE_MS_MAX (UINT64_C(1) << 40)

void mob_wants_init(struct mob_raylet *r)
{
    mob_list_init(&r->wants.all);
    mob_list_init(&r->wants.demands);
    mob_list_init(&r->wants.levels);
    mob_list_init(&r->wants.near_held);
}

void mob_wants_fini(struct mob_raylet *r)
{
    struct wanter *wanter;
    struct level *level;
    struct want *w;

    mob_list_each(w, &r->wants.all, struct want, all) {
        free(w->demand.placed);
        free(w->placings);
        free(w);
    }
    for (size_t at = 0; (wanter = mob_map_next(&r->wants.wanters, &at, NULL)) != NULL;) {
        mob_map_fini(&wanter->wants);
        free(wanter);
    }
    mob_map_fini(&r->wants.wanters);
    mob_list_each(level, &r->wants.levels, struct level, link)
        free(level);
}

/* -- the table ----------------------------------------------------------------------------------------------------------- */

struct want *mob_want_find(const struct mob_raylet *r, struct mob_address owner, uint32_t number)
{
    struct wanter *wanter = mob_map_get(&r->wants.wanters, mob_address_key(owner));

    return wanter == NULL ? NULL : mob_map_get(&wanter->wants, number);
}

static struct wanter *wanter_of(struct mob_raylet *r, struct mob_address owner, struct process *process)
{
    struct wanter *wanter = mob_map_get(&r->wants.wanters, mob_address_key(owner));

    if (wanter == NULL) {
        wanter = mob_new(struct wanter);
        wanter->address = owner;
        wanter->process = process;
        mob_map_set(&r->wants.wanters, mob_address_key(owner), wanter);
    }
    return wanter;
}

/* May this raylet serve a local want of the shape by itself? The head does, where the whole cluster must be seen. */
static bool is_here_first(const struct mob_raylet *r, const struct mob_shape *s)
{
    return s->strategy == MOB_HYBRID || (s->strategy != MOB_SPREAD && s->node == r->self.node);
}

static struct want *add_want(struct mob_raylet *r, struct wanter *wanter, uint32_t number, const struct mob_shape *shape,
                             uint32_t depth)
{
    struct want *w = mob_new(struct want);

    w->wanter = wanter;
    w->number = number;
    w->shape = *shape;
    w->cpu = mob_resources_get(&shape->resources, "CPU");
    w->here_first = wanter->process != NULL && is_here_first(r, shape);
    w->avoided = mob_full_avoids(r, shape);
    w->depth = depth;
    w->since = r->now;
    w->kind = mob_pool_kind(r, shape->job, &shape->executable, shape->executable_node);
    w->kind->wants++;
    w->feasible = !r->config.driver_only && !r->drain.on && w->kind->unfit == NULL
        && mob_node_resources_feasible(&r->resources, &shape->resources) && mob_labels_match(&r->config.labels, &shape->labels);
    mob_list_init(&w->leases);
    mob_list_init(&w->demand.changed);
    mob_list_init(&w->near.held);
    mob_list_init(&w->queued);
    mob_list_append(&r->wants.all, &w->all);
    mob_map_set(&wanter->wants, number, w);
    return w;
}

static void remove_want(struct mob_raylet *r, struct want *w)
{
    struct wanter *wanter = w->wanter;

    assert(mob_list_empty(&w->leases) && mob_list_empty(&w->queued) && w->claimed == 0 && w != r->wants.reserver);
    mob_list_remove(&w->demand.changed);
    mob_list_remove(&w->near.held);
    mob_list_remove(&w->all);
    mob_map_remove(&wanter->wants, w->number);
    if (wanter->wants.count == 0) {
        mob_map_remove(&r->wants.wanters, mob_address_key(wanter->address));
        mob_map_fini(&wanter->wants);
        free(wanter);
    }
    w->kind->wants--;
    mob_pool_kind_release(r, w->kind);
    free(w->demand.placed);
    free(w->placings);
    free(w);
}

void mob_want_release(struct mob_raylet *r, struct want *w)
{
    bool is_local = w->wanter->process != NULL;

    if (!is_local && w->outstanding == 0 && mob_list_empty(&w->leases))
        remove_want(r, w);
}

/* -- levels -------------------------------------------------------------------------------------------------------------- */

uint32_t mob_want_servable(const struct want *w)
{
    uint32_t open = w->outstanding - w->making;
    uint32_t placed;

    assert(w->outstanding >= w->making);
    if (!w->feasible)
        return 0;
    if (w->avoided)
        return w->claimed < open ? w->claimed : open;
    if (w->wanter->process == NULL)
        return open;
    if (w->here_first)
        return open - mob_near_elsewhere(w, open);
    placed = mob_demand_placed_at(w, w->wanter->process->address.node) + w->claimed;
    return placed < open ? placed : open;
}

static struct level *level_of(struct mob_raylet *r, uint32_t depth)
{
    struct mob_link *at = r->wants.levels.next;
    struct level *level;

    for (; at != &r->wants.levels; at = at->next) {
        level = MOB_CONTAINER(at, struct level, link);
        if (level->depth == depth)
            return level;
        if (level->depth < depth)
            break;
    }
    level = mob_new(struct level);
    level->depth = depth;
    mob_list_init(&level->wants);
    mob_list_append(at, &level->link);
    return level;
}

static void enqueue(struct mob_raylet *r, struct want *w)
{
    struct level *level = level_of(r, w->depth);
    struct mob_link *at = level->wants.prev;

    while (at != &level->wants && MOB_CONTAINER(at, struct want, queued)->since > w->since)
        at = at->prev;
    mob_list_prepend(at, &w->queued);
}

/* The queue's two counts hold what each queued want can still be served; they follow by difference. */
static void recount(struct mob_raylet *r, struct want *w)
{
    uint32_t servable = mob_want_servable(w);

    r->wants.queued += servable - w->counted;
    if (w->wanter->process == NULL)
        r->wants.placed_queued += servable - w->counted;
    w->counted = servable;
}

/* What was set aside is free for the next who is served. */
static void unreserve(struct mob_raylet *r)
{
    r->resources.version++;             /* the head sees it free again */
    r->wants.reserver = NULL;
    r->wants.aside.count = 0;
}

void mob_want_changed(struct mob_raylet *r, struct want *w)
{
    recount(r, w);
    if (w->counted == 0) {
        mob_list_remove(&w->queued);
        if (w == r->wants.reserver)
            unreserve(r);
    } else if (mob_list_empty(&w->queued)) {
        enqueue(r, w);
    }
    if (w->wanter->process != NULL)
        mob_demand_changed(r, w);
}

/* The owner wants fewer than are in the making: the youngest of them end. */
static void unmake_surplus(struct mob_raylet *r, struct want *w, uint32_t outstanding)
{
    struct mob_link *at = w->leases.prev, *before;

    for (; at != &w->leases && w->making > outstanding; at = before) {
        before = at->prev;
        mob_lease_unmake(r, MOB_CONTAINER(at, struct lease, of_want));
    }
}

void mob_want_served(struct mob_raylet *r, struct want *w)
{
    w->since = r->now;
    mob_list_remove(&w->queued);
    mob_want_changed(r, w);
}

void mob_want_set_outstanding(struct mob_raylet *r, struct want *w, uint32_t outstanding)
{
    if (w->outstanding == 0 && w->wanter->process != NULL)
        w->since = r->now;
    unmake_surplus(r, w, outstanding);
    w->outstanding = outstanding;
    mob_want_changed(r, w);
}

void mob_want_granted(struct mob_raylet *r, struct want *w)
{
    w->passed++;
    if (w->outstanding > 0)             /* else the owner changed its mind meanwhile, and will return it */
        mob_want_set_outstanding(r, w, w->outstanding - 1);
}

void mob_wants_forget(struct mob_raylet *r, struct mob_address owner)
{
    struct wanter *wanter = mob_map_get(&r->wants.wanters, mob_address_key(owner));
    struct want **wants, *w;
    size_t count = 0;

    if (wanter == NULL)
        return;
    wants = mob_alloc(wanter->wants.count * sizeof(struct want *));
    for (size_t at = 0; (w = mob_map_next(&wanter->wants, &at, NULL)) != NULL;)
        wants[count++] = w;
    for (size_t i = 0; i < count; i++) {
        mob_claim_drop(r, wants[i]);
        mob_near_drop(wants[i]);
        mob_want_set_outstanding(r, wants[i], 0);
        if (wanter->process != NULL)
            mob_demand_end(r, wants[i]);
    }
    wanter->process = NULL;             /* from now on a want lasts as long as its leases */
    for (size_t i = 0; i < count; i++)
        mob_want_release(r, wants[i]);
    free(wants);
}

/* -- serving ------------------------------------------------------------------------------------------------------------- */

/* Would all that it needs be free, if what runs came to its end? */
static bool comes_back(const struct mob_raylet *r, const struct mob_resources *ask)
{
    struct mob_resources left = r->resources.owned;
    struct lease *l;

    for (size_t at = 0; r->pool.blocked > 0 && (l = mob_map_next(&r->leases.by_number, &at, NULL)) != NULL;)
        if (l->worker != NULL && l->worker->machine.now == WORKER_BLOCKED)
            mob_resources_subtract(&left, &l->share.held);
    return mob_resources_fit(&left, ask);
}

/* A want that could not be served, and has waited long: nothing behind it may take what it needs. At most one a pass. */
static void reserve(struct mob_raylet *r, struct want *w)
{
    if (r->wants.reserver != NULL || r->now - w->since < RESERVE_NS || w->held + w->making > 0
        || !mob_pool_may_lend(r, w->kind) || !comes_back(r, &w->shape.resources))
        return;
    r->wants.reserver = w;
    r->wants.aside = w->shape.resources;
    mob_resources_subtract(&r->resources.free, &r->wants.aside);
}

static bool serve_one(struct mob_raylet *r, struct want *w)
{
    if (w->cpu > 0 && mob_resources_get(&r->resources.free, "CPU") < w->cpu)
        return false;                   /* the common case, without looking further */
    return mob_lease_make(r, w);
}

/* Round after round, one lease for each want that fits, until none does. */
static void serve_level(struct mob_raylet *r, struct level *level)
{
    bool progress;

    do {
        struct want *w;

        progress = false;
        mob_list_each(w, &level->wants, struct want, queued) {
            if (serve_one(r, w))
                progress = true;
            else
                reserve(r, w);
        }
    } while (progress);
}

void mob_wants_serve(struct mob_raylet *r)
{
    const struct want *before = r->wants.reserver;
    struct level *level;

    if (r->over)
        return;
    r->wants.reserver = NULL;
    r->wants.aside.count = 0;
    mob_list_each(level, &r->wants.levels, struct level, link) {
        serve_level(r, level);
        if (mob_list_empty(&level->wants)) {
            mob_list_remove(&level->link);
            free(level);
        }
    }
    mob_resources_add(&r->resources.free, &r->wants.aside);
    if (before != r->wants.reserver)
        r->resources.version++;         /* the head sees what is set aside as taken */
}

/* -- what owners and the head say ---------------------------------------------------------------------------------------- */

/* The want that a local process speaks of: known, or made from its definition. NULL: it may not want this. */
static struct want *local_want(struct mob_raylet *r, struct process *p, const Mobula__Want *m)
{
    struct want *w = mob_want_find(r, p->address, m->shape);
    struct wanter *wanter;
    struct mob_shape shape;

    if (w != NULL)
        return w->wanter->process != NULL ? w : NULL;   /* NULL: its job is over */
    if (mob_wire_shape(m->definition, &shape, NULL) < 0 || !mob_address_eq(shape.job, p->job)
        || memcmp(&shape.executable, &p->executable, sizeof shape.executable) != 0)
        return NULL;
    wanter = wanter_of(r, p->address, p);
    return wanter->process != NULL && wanter->wants.count < SHAPES_MAX ? add_want(r, wanter, m->shape, &shape, m->depth) : NULL;
}

void mob_want_on_want(struct mob_raylet *r, const struct arrival *a)
{
    const Mobula__Want *m = a->e->want;
    struct process *p = a->connection->process;
    struct want *w = local_want(r, p, m);
    uint64_t crossing, more;

    if (w == NULL || m->grants_seen > w->passed) {
        mob_raylet_blame(r, a->connection, "wants what it cannot");
        return;
    }
    if (w->depth != m->depth) {
        mob_list_remove(&w->queued);
        w->depth = m->depth;
    }
    crossing = w->passed - m->grants_seen;
    more = m->count > crossing ? m->count - crossing : 0;
    mob_near_wanted(r, w, m);
    mob_want_set_outstanding(r, w, more < COUNT_MAX ? (uint32_t)more : COUNT_MAX);
    if (m->count == 0)
        mob_demand_flush(r);            /* so that a want for as many anew is one to the head, too, which answers it anew */
    mob_wants_serve(r);
    if (w->here_first && mob_want_servable(w) > 0)
        mob_pool_prestart(r, w->kind, mob_node_resources_cpus(&r->resources));
}

static void say_declined(struct mob_raylet *r, const struct want *w, uint32_t count)
{
    struct mob_address owner = w->wanter->address;
    Mobula__Declined m = MOBULA__DECLINED__INIT;
    Mobula__Address address;
    struct mob_envelope e;

    mob_wire_put_address(&address, owner);
    m.owner = &address;
    m.shape = w->number;
    m.count = count;
    m.place_seq = w->place_seq;
    mob_envelope_init(&e, r->self, (struct mob_address){ owner.node, 0 }, MOBULA__ENVELOPE__BODY_DECLINED);
    e.e.declined = &m;
    mob_route_send(r, &e.e);
}

bool mob_want_fits_now(const struct mob_raylet *r, const struct want *w)
{
    struct mob_resources left = r->resources.free;

    mob_resources_subtract(&left, &r->wants.aside);
    return w->feasible && !w->avoided && mob_resources_fit(&left, &w->shape.resources);
}

/* The head places by a view that may be old. What does not fit now goes back to it: another node may be free meanwhile. What fits
 * and was not served (its program rests) stays, but no more than the queue may hold. */
static void decline_surplus(struct mob_raylet *r, struct want *w)
{
    uint32_t room = mob_node_resources_cpus(&r->resources), placed = w->outstanding - w->claimed;
    uint32_t open = placed > w->making ? placed - w->making : 0;
    uint32_t surplus = r->wants.placed_queued > room ? r->wants.placed_queued - room : 0;

    if (!mob_want_fits_now(r, w))
        surplus = open;
    if (surplus > open)
        surplus = open;
    if (surplus == 0)
        return;
    say_declined(r, w, surplus);
    mob_want_set_outstanding(r, w, w->outstanding - surplus);
}

/* Of an age that its raylet knows; unless it was served here since. */
static void note_age(struct mob_raylet *r, struct want *w, int64_t since)
{
    if (since <= w->since)
        return;
    w->since = since;
    if (!mob_list_empty(&w->queued)) {
        mob_list_remove(&w->queued);
        mob_want_changed(r, w);
    }
}

struct want *mob_want_elsewhere(struct mob_raylet *r, const struct mob_want_said *said)
{
    struct want *w = mob_want_find(r, said->owner, said->number);
    struct mob_shape shape;
    struct peer *peer;

    if (said->owner_node != NULL)
        mob_route_know(r, said->owner_node);
    peer = mob_route_peer(r, said->owner.node);
    if (peer == NULL || !peer->is.alive || said->definition == NULL || mob_wire_shape(said->definition, &shape, NULL) < 0)
        return NULL;
    if (w == NULL) {
        w = add_want(r, wanter_of(r, said->owner, NULL), said->number, &shape, said->depth);
        w->since = INT64_MIN;
    }
    note_age(r, w, r->now - (int64_t)(said->age_ms < AGE_MS_MAX ? said->age_ms : AGE_MS_MAX) * MS);
    return w;
}

/* What the head gave us of it, which is for another node now. */
static void give_back(struct mob_raylet *r, struct want *w)
{
    mob_claim_drop(r, w);
    mob_want_changed(r, w);
    if (w->wanter->process != NULL) {
        mob_demand_unplace(r, w, r->self.node, UINT32_MAX);
        return;
    }
    decline_surplus(r, w);
    mob_want_release(r, w);
}

void mob_want_unfit(struct mob_raylet *r, struct want *w)
{
    w->feasible = false;
    give_back(r, w);
}

void mob_want_avoid(struct mob_raylet *r, struct want *w, bool avoided)
{
    struct lease *l;

    w->avoided = avoided;
    if (!avoided) {
        mob_want_changed(r, w);
        return;
    }
    mob_list_each(l, &w->leases, struct lease, of_want)
        mob_lease_unmake(r, l);         /* no-op of one that is granted */
    give_back(r, w);
}

static uint64_t placed_after(const struct want *w, uint64_t seq)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < w->placing_count; i++)
        sum += w->placings[i].seq > seq ? w->placings[i].count : 0;
    return sum;
}

/* The oldest is served first: so those are over whose successors hold all that is outstanding. */
static void note_placing(struct want *w, uint64_t seq, uint32_t count)
{
    uint64_t after = placed_after(w, 0);
    size_t over = 0;

    for (; over < w->placing_count && after - w->placings[over].count >= w->outstanding - w->claimed; over++)
        after -= w->placings[over].count;
    w->placing_count -= over;
    if (over > 0)
        memmove(w->placings, w->placings + over, w->placing_count * sizeof *w->placings);
    w->placings = mob_realloc(w->placings, (w->placing_count + 1) * sizeof *w->placings);
    w->placings[w->placing_count++] = (struct placing){ seq, count };
    w->place_seq = seq;
}

void mob_want_on_place(struct mob_raylet *r, const struct arrival *a)
{
    const Mobula__Place *m = a->e->place;
    struct mob_want_said said = { mob_wire_address(m->owner), m->shape, m->depth, m->age_ms, m->definition, m->owner_node };
    struct want *w;
    uint32_t count;

    if (m->seq <= r->reporter.placed_seq)
        return;                         /* sent again over a new stream: it came the first time */
    r->reporter.placed_seq = m->seq;
    if (said.owner.node == r->self.node || (w = mob_want_elsewhere(r, &said)) == NULL)
        return;                         /* its own: Placed says it all, see demand.c */
    count = m->count > COUNT_MAX ? COUNT_MAX : m->count;
    note_placing(w, m->seq, count);
    mob_want_set_outstanding(r, w, w->outstanding + count);
    if (w->kind->unfit != NULL)
        mob_death_tell_unfit(r, w->kind);       /* the head does not know it, or not any more */
    mob_wants_serve(r);
    decline_surplus(r, w);
    mob_want_release(r, w);
}

void mob_want_forget_placed(struct mob_raylet *r)
{
    struct want *w;

    mob_list_each(w, &r->wants.all, struct want, all) {
        if (w->wanter->process != NULL)
            continue;
        mob_want_set_outstanding(r, w, 0);
        mob_want_release(r, w);
    }
}

void mob_want_on_withdraw(struct mob_raylet *r, const struct arrival *a)
{
    const Mobula__Withdraw *m = a->e->withdraw;
    struct mob_address owner = mob_wire_address(m->owner);
    struct want *w = mob_want_find(r, owner, m->shape);
    uint64_t placed = w != NULL ? w->outstanding - w->claimed : 0, later = w != NULL ? placed_after(w, m->seq) : 0;

    if (placed <= later || owner.node != a->from.node || m->generation != r->membership.generation
        || m->seq <= a->connection->peer->forgotten_seq)        /* it went with the link: what is placed now came later */
        return;
    placed -= later;
    mob_want_set_outstanding(r, w, w->outstanding - (uint32_t)(m->count < placed ? m->count : placed));
    mob_want_release(r, w);
    mob_wants_serve(r);
}
