/* SPDX-License-Identifier: Apache-2.0 */
/* demand.c -- what waits for a node, and who gets what comes free.
 *
 *   raylet A -- Demand(level) -->  demand  -- place() -->  Placed to A, Place to the chosen node
 *
 * A Demand is a level (docs/protocol.md, Leases): its count less the Placed that A had not seen is what is still wanted. A repeat
 * changes nothing; a demand that is not there starts with the counter its raylet has seen, so a lost link or head costs nothing.
 *
 * Deeper demands come first, then older ones. Demands that any node serves equally form a `kind`. A kind that fits nowhere is
 * `exhausted`: from then on only nodes whose view changed are looked at for it, so that a report costs a look at one node for each
 * waiting kind, however many demands and nodes there are.
 *
 * What waits long at the head waits at a node, too: claim.c.
 *
 * A kind that no node could serve even if it were empty waits for one that can, and its owners are told what each node lacks: at
 * once, and again when nodes joined or died, at most once a second. Two things are final, and end the demand: hard affinity to a node
 * that is gone; and a program that no node can run which could serve it otherwise (raylets find that out and say Unfit).
 */
#include "head/demand.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "head/core.h"

#define EXPLAIN_AGAIN_NS INT64_C(1000000000)
#define AGE_MS_MAX (UINT64_C(1) << 40)

/* -- kinds --------------------------------------------------------------------------------------------------------------- */

static uint64_t kind_key(const struct mob_shape *ask)
{
    uint64_t hash = MOB_FNV_START;

    for (uint32_t i = 0; i < ask->resources.count; i++) {
        hash = mob_fnv(hash, ask->resources.of[i].name, strlen(ask->resources.of[i].name) + 1);
        hash = mob_fnv(hash, &ask->resources.of[i].units, sizeof ask->resources.of[i].units);
    }
    for (uint32_t i = 0; i < ask->labels.count; i++) {
        hash = mob_fnv(hash, ask->labels.of[i].key, strlen(ask->labels.of[i].key) + 1);
        hash = mob_fnv(hash, ask->labels.of[i].value, strlen(ask->labels.of[i].value) + 1);
    }
    hash = mob_fnv(hash, &ask->executable, sizeof ask->executable);
    hash = mob_fnv(hash, &ask->strategy, sizeof ask->strategy);
    return mob_fnv(hash, &ask->node, sizeof ask->node);
}

/* 1: the node could serve it if it were idle. */
static size_t serves(const struct node *n, const struct mob_shape *ask)
{
    return !n->facts.driver_only && mob_placement_feasible(&n->place, ask);
}

size_t mob_head_demand_feasible(const struct mob_head *h, const struct mob_shape *ask)
{
    size_t feasible = 0;
    struct node *n;

    mob_list_each(n, &h->nodes.heard, struct node, by_heard)
        feasible += serves(n, ask);
    return feasible;
}

static struct kind *kind_ref(struct mob_head *h, const struct mob_shape *shape)
{
    struct mob_shape ask = *shape;
    struct kind *k;
    uint64_t key;

    ask.executable_node = 0;
    ask.job = (struct mob_address){ 0, 0 };
    for (key = kind_key(&ask); (k = mob_map_get(&h->demands.kinds, key)) != NULL; key++) {
        if (mob_shape_eq(&k->ask, &ask)) {
            k->refs++;
            return k;
        }
    }
    k = mob_new(struct kind);
    k->key = key;
    k->refs = 1;
    k->ask = ask;
    k->feasible = mob_head_demand_feasible(h, &ask);
    mob_list_init(&k->waiting);
    mob_map_set(&h->demands.kinds, key, k);
    return k;
}

static void kind_unref(struct mob_head *h, struct kind *k)
{
    assert(k->refs > 0);
    if (--k->refs > 0)
        return;
    assert(mob_list_empty(&k->waiting));
    mob_map_remove(&h->demands.kinds, k->key);
    free(k);
}

/* -- demands ------------------------------------------------------------------------------------------------------------- */

static uint64_t demand_key(uint32_t process, uint32_t number)
{
    return (uint64_t)process << 32 | number;
}

static struct demand *demand_create(struct node *origin, struct mob_address owner, uint32_t number, const struct mob_shape *shape)
{
    struct demand *d = mob_new(struct demand);

    d->origin = origin;
    d->owner = owner;
    d->number = number;
    d->shape = mob_new(struct shape);
    d->shape->refs = 1;
    d->shape->of = *shape;
    d->kind = kind_ref(origin->head, shape);
    mob_list_init(&d->by_kind);
    mob_map_set(&origin->demands, demand_key(owner.process, number), d);
    return d;
}

static void demand_end(struct demand *d)
{
    mob_head_claim_end(d);
    mob_map_remove(&d->origin->demands, demand_key(d->owner.process, d->number));
    mob_list_remove(&d->by_kind);
    kind_unref(d->origin->head, d->kind);
    mob_head_shape_unref(d->shape);
    free(d);
}

static void set_count(struct demand *d, uint32_t count)
{
    d->count = count;
    if (count == 0) {
        mob_head_claim_end(d);
        mob_list_remove(&d->by_kind);
    } else if (mob_list_empty(&d->by_kind)) {
        mob_list_append(&d->kind->waiting, &d->by_kind);
    }
}

static void tell_unplaceable(struct demand *d, const char *text, bool final)
{
    struct mob_head *h = d->origin->head;
    Mobula__Unplaceable m = MOBULA__UNPLACEABLE__INIT;
    struct mob_envelope env;

    m.shape = d->number;
    m.text = (char *)text;
    m.final = final;
    mob_envelope_init(&env, (struct mob_address){ 0, 0 }, d->owner, MOBULA__ENVELOPE__BODY_UNPLACEABLE);
    env.e.unplaceable = &m;
    mob_head_send(h, d->origin->link, &env.e);
}

/* The node that was asked for alone is gone, or never was: the demand ends, its tasks fail. */
static void end_for_want_of_node(struct demand *d)
{
    uint32_t number = d->kind->ask.node;
    const struct node *n = mob_head_node_find(d->origin->head, number);
    char *text = mob_printf("node %u, which the task asked for alone, does not exist%s%s; \"node~=%u\" (in Python soft=True) would let it "
                            "run elsewhere", number, n != NULL ? " any more: " : "", n != NULL ? n->reason : "", number);

    tell_unplaceable(d, text, true);
    free(text);
    demand_end(d);
}

static bool wants_gone_node(const struct mob_head *h, const struct mob_shape *ask)
{
    const struct node *n = mob_head_node_find(h, ask->node);

    return ask->strategy == MOB_NODE && (n == NULL || node_is_gone(n));
}

/* A Demand as plain values. */
struct statement {
    struct mob_address owner;
    uint32_t number, count, depth;
    uint64_t placed_seen, age_ms;
    struct mob_near near[MOB_NEAR_MAX];
    uint32_t near_count;
    struct mob_shape shape;
};

static int statement_unpack(struct statement *ret, const Mobula__Demand *m, struct mob_error *err)
{
    *ret = (struct statement){
        .owner = mob_wire_address(m->owner), .number = m->shape, .count = m->count, .depth = m->depth,
        .placed_seen = m->placed_seen, .age_ms = m->age_ms,
    };
    ret->near_count = mob_wire_near(ret->near, m->near, m->n_near);
    if (m->count == 0)
        return 0;                       /* needs no definition */
    if (m->definition == NULL)
        return mob_error_set(err, MOB_ERR_PROTOCOL, "a demand without a definition");
    if (m->age_ms > AGE_MS_MAX)
        return mob_error_set(err, MOB_ERR_PROTOCOL, "a demand of age %" PRIu64 " ms", m->age_ms);
    return mob_wire_shape(m->definition, &ret->shape, err);
}

int mob_head_demand_state(struct node *origin, const Mobula__Demand *m, struct mob_error *err)
{
    struct mob_head *h = origin->head;
    struct statement s;
    struct demand *d;
    uint64_t under_way;

    if (statement_unpack(&s, m, err) < 0)
        return -1;
    if (s.owner.node != origin->place.number)
        return mob_error_set(err, MOB_ERR_PROTOCOL, "a demand for node %u from node %u", s.owner.node, origin->place.number);
    d = mob_map_get(&origin->demands, demand_key(s.owner.process, s.number));
    if (s.count == 0 || mob_head_job_is_over(h, s.shape.job)) {        /* who does not know of its end yet is told of it */
        if (d != NULL)
            demand_end(d);
        return 0;
    }
    if (d == NULL) {
        d = demand_create(origin, s.owner, s.number, &s.shape);
        d->placed = s.placed_seen;
    }
    if (d->placed < s.placed_seen)
        d->placed = s.placed_seen;      /* from before a count of 0 */
    under_way = d->placed - s.placed_seen;
    d->depth = s.depth;
    memcpy(d->near, s.near, sizeof d->near);
    d->near_count = s.near_count;
    d->since_ns = h->now_ns - (int64_t)s.age_ms * MOB_NS_OF_MS;
    set_count(d, s.count > under_way ? s.count - (uint32_t)under_way : 0);
    if (wants_gone_node(h, &d->kind->ask))
        end_for_want_of_node(d);
    else if (d->kind->feasible == 0 && d->told == 0)
        h->demands.explain = true;
    return 0;
}

const struct mob_shape *mob_head_demand_ask(const struct mob_head *h, struct mob_address owner, uint32_t number)
{
    const struct node *origin = mob_head_node_find(h, owner.node);
    const struct demand *d = origin != NULL ? mob_map_get(&origin->demands, demand_key(owner.process, number)) : NULL;

    return d != NULL ? &d->kind->ask : NULL;
}

void mob_head_demand_drop_node(struct node *n)
{
    struct demand *d;
    size_t at = 0;

    while ((d = mob_map_next(&n->demands, &at, NULL)) != NULL)
        demand_end(d);
}

void mob_head_demand_drop_job(struct mob_head *h, struct mob_address job)
{
    struct node *n;

    mob_list_each(n, &h->nodes.heard, struct node, by_heard) {
        struct demand *d;
        size_t at = 0;

        while ((d = mob_map_next(&n->demands, &at, NULL)) != NULL) {
            if (mob_address_eq(d->shape->of.job, job))
                demand_end(d);
        }
    }
}

void mob_head_demand_node_joined(struct node *n)
{
    struct demand_table *t = &n->head->demands;
    struct kind *k;
    size_t at = 0;

    while ((k = mob_map_next(&t->kinds, &at, NULL)) != NULL)
        k->feasible += mob_placement_feasible(&n->place, &k->ask);
    t->generation++;
    t->explain = true;
}

void mob_head_demand_node_dead(struct node *n)
{
    struct demand_table *t = &n->head->demands;
    struct mob_link gone;               /* ended after the walk: ending may end the kind */
    struct demand *d;
    struct kind *k;
    size_t at = 0;

    mob_list_init(&gone);
    while ((k = mob_map_next(&t->kinds, &at, NULL)) != NULL) {
        k->feasible -= serves(n, &k->ask);
        if (k->ask.strategy != MOB_NODE || k->ask.node != n->place.number)
            continue;
        mob_list_each(d, &k->waiting, struct demand, by_kind) {
            mob_list_remove(&d->by_kind);
            mob_list_append(&gone, &d->by_kind);
        }
    }
    mob_list_each(d, &gone, struct demand, by_kind)
        end_for_want_of_node(d);
    t->generation++;
    t->explain = true;
}

void mob_head_demand_unfit(struct node *n, const struct mob_hash *program, const char *why)
{
    struct demand_table *t = &n->head->demands;
    struct kind *k;

    for (size_t at = 0; (k = mob_map_next(&t->kinds, &at, NULL)) != NULL;)
        k->feasible -= serves(n, &k->ask);
    bool is_new = mob_placement_note_unfit(&n->place, program, why);
    for (size_t at = 0; (k = mob_map_next(&t->kinds, &at, NULL)) != NULL;) {
        k->feasible += serves(n, &k->ask);
        k->exhausted = false;           /* it may have forgotten another program for this one */
    }
    if (!is_new)
        return;
    mob_info("node %u is left out for a program: %s", n->place.number, why);
    t->generation++;
    t->explain = true;
}

void mob_head_demand_drain(struct node *n, bool draining)
{
    struct demand_table *t = &n->head->demands;
    struct kind *k;

    for (size_t at = 0; (k = mob_map_next(&t->kinds, &at, NULL)) != NULL;)
        k->feasible -= serves(n, &k->ask);
    n->place.draining = draining;
    for (size_t at = 0; (k = mob_map_next(&t->kinds, &at, NULL)) != NULL;)
        k->feasible += serves(n, &k->ask);
    t->generation++;
    t->explain = true;
}

/* -- placing ------------------------------------------------------------------------------------------------------------- */

/* Rank the nodes that may serve a kind: those that changed if nothing else fits, else all. */
static void kind_rank(struct mob_head *h, struct kind *k, struct placement_node *const *changed, size_t n)
{
    if (k->ask.strategy == MOB_NODE) {
        struct node *only = mob_head_node_find(h, k->ask.node);
        struct placement_node *place = only != NULL ? &only->place : NULL;
        bool look = only != NULL && only->open != 0 && (only->changed || !k->exhausted);
        mob_placement_init(&k->ranking, &k->ask, &place, look ? 1 : 0, 1);
    } else if (k->exhausted) {
        mob_placement_init(&k->ranking, &k->ask, changed, n, h->view.open_count);
    } else {
        mob_placement_init(&k->ranking, &k->ask, h->view.open, h->view.open_count, h->view.open_count);
    }
}

static void note_chosen(struct demand_table *t, struct node *n)
{
    if (n->batch++ > 0)
        return;
    if (t->chosen_count == t->chosen_room) {
        t->chosen_room = t->chosen_room * 2 + 16;
        t->chosen = mob_realloc(t->chosen, t->chosen_room * sizeof(struct node *));
    }
    t->chosen[t->chosen_count++] = n;
}

static void tell_placed(const struct demand *d, const struct node *n)
{
    struct mob_head *h = d->origin->head;
    Mobula__Placed m = MOBULA__PLACED__INIT;
    Mobula__Address owner = MOBULA__ADDRESS__INIT;
    struct mob_envelope env;

    mob_wire_put_address(&owner, d->owner);
    m.owner = &owner;
    m.shape = d->number;
    m.node = n->place.number;
    m.count = n->batch;
    m.seq = n->place_seq + 1;           /* said next */
    mob_envelope_init(&env, (struct mob_address){ 0, 0 }, (struct mob_address){ d->origin->place.number, 0 },
                      MOBULA__ENVELOPE__BODY_PLACED);
    env.e.placed = &m;
    mob_head_send(h, d->origin->link, &env.e);
}

/* At the nodes that have the arguments, as much as was asked for there and fits. Returns what is left. */
static uint32_t place_near(struct demand *d, uint32_t left)
{
    struct mob_head *h = d->origin->head;

    for (uint32_t i = 0; i < d->near_count; i++) {
        struct node *n = mob_head_node_find(h, d->near[i].node);

        if (n == NULL || n->open == 0)
            continue;
        for (; left > 0 && d->near[i].count > 0 && mob_placement_take_at(&d->kind->ranking, &n->place); left--) {
            note_chosen(&h->demands, n);
            d->near[i].count--;
        }
    }
    return left;
}

static void demand_place(struct demand *d)
{
    struct mob_head *h = d->origin->head;
    struct demand_table *t = &h->demands;
    struct placement_node *preferred = d->origin->open != 0 ? &d->origin->place : NULL;
    struct placement_node *place;
    uint32_t left;

    t->chosen_count = 0;
    left = place_near(d, d->count);
    while (left > 0 && (place = mob_placement_take(&d->kind->ranking, preferred, &t->round, h->world->random(h->world)))) {
        note_chosen(t, MOB_CONTAINER(place, struct node, place));
        left--;
    }
    d->placed += d->count - left;
    set_count(d, left);
    for (size_t i = 0; i < t->chosen_count; i++) {
        tell_placed(d, t->chosen[i]);
        mob_head_view_place(t->chosen[i], d, t->chosen[i]->batch);
        t->chosen[i]->batch = 0;
    }
}

int mob_head_demand_first_come(const void *a, const void *b)
{
    const struct demand *x = *(struct demand *const *)a, *y = *(struct demand *const *)b;

    if (x->depth != y->depth)
        return x->depth > y->depth ? -1 : 1;
    if (x->since_ns != y->since_ns)
        return x->since_ns < y->since_ns ? -1 : 1;
    if (x->owner.node != y->owner.node)
        return x->owner.node < y->owner.node ? -1 : 1;
    if (x->owner.process != y->owner.process)
        return x->owner.process < y->owner.process ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

/* Rank each kind that waits, and collect the demands of those that have a node, first come first. */
static size_t collect(struct mob_head *h, struct demand ***ret_list)
{
    struct placement_node **changed = mob_alloc((h->view.changed_count + 1) * sizeof *changed);
    struct demand **list = NULL, *d;
    size_t count = 0, room = 0, at = 0;
    struct kind *k;

    for (size_t i = 0; i < h->view.changed_count; i++)
        changed[i] = &h->view.changed[i]->place;
    while ((k = mob_map_next(&h->demands.kinds, &at, NULL)) != NULL) {
        if (mob_list_empty(&k->waiting))
            continue;
        kind_rank(h, k, changed, h->view.changed_count);
        k->exhausted = k->ranking.count == 0;
        mob_list_each(d, &k->waiting, struct demand, by_kind) {
            if (k->exhausted)
                break;
            if (count == room) {
                room = room * 2 + 64;
                list = mob_realloc(list, room * sizeof *list);
            }
            list[count++] = d;
        }
    }
    free(changed);
    if (count > 1)
        qsort(list, count, sizeof *list, mob_head_demand_first_come);
    *ret_list = list;
    return count;
}

/* Tell the owners of a kind that no node can serve. What is final goes to `gone`. Returns whether some are told later. */
static bool explain_kind(struct mob_head *h, struct kind *k, bool again, struct mob_link *gone)
{
    char *refusal = mob_placement_refusal(&k->ask, h->view.open, h->view.open_count), *text = refusal;
    bool left = false;
    struct demand *d;

    mob_list_each(d, &k->waiting, struct demand, by_kind) {
        if (d->told == h->demands.generation)
            continue;
        if (d->told != 0 && !again && refusal == NULL) {
            left = true;
            continue;
        }
        if (text == NULL)
            text = mob_placement_infeasible(&k->ask, h->view.open, h->view.open_count);
        tell_unplaceable(d, text, refusal != NULL);
        d->told = h->demands.generation;
        if (refusal != NULL) {
            mob_list_remove(&d->by_kind);
            mob_list_append(gone, &d->by_kind);
        }
    }
    free(text);
    return left;
}

/* Tell the owners whose shape no node can serve; new ones at once, all again when the nodes are others. */
static void explain(struct mob_head *h)
{
    struct demand_table *t = &h->demands;
    bool again = h->now_ns >= t->explain_ns, left = false;
    struct mob_link gone;               /* ended after the walk: ending may end the kind */
    struct demand *d;
    struct kind *k;
    size_t at = 0;

    mob_list_init(&gone);
    while ((k = mob_map_next(&t->kinds, &at, NULL)) != NULL)
        if (k->feasible == 0)
            left |= explain_kind(h, k, again, &gone);
    mob_list_each(d, &gone, struct demand, by_kind)
        demand_end(d);
    if (again)
        t->explain_ns = h->now_ns + EXPLAIN_AGAIN_NS;
    t->explain = left;
}

int64_t mob_head_demand_place(struct mob_head *h)
{
    struct demand **list;
    size_t count = collect(h, &list), at = 0;
    int64_t due_ns;
    struct kind *k;

    for (size_t i = 0; i < count; i++)
        demand_place(list[i]);
    free(list);
    while ((k = mob_map_next(&h->demands.kinds, &at, NULL)) != NULL) {
        /* A kind that nobody waits for was not looked at: what changed now is lost on it. */
        k->exhausted = k->ranking.ask != NULL && k->ranking.count == 0;
        mob_placement_fini(&k->ranking);
    }
    mob_head_view_looked(h);
    if (h->demands.explain)
        explain(h);
    due_ns = mob_head_claims_look(h);
    return h->demands.explain && h->demands.explain_ns < due_ns ? h->demands.explain_ns : due_ns;
}

/* -- the table ----------------------------------------------------------------------------------------------------------- */

void mob_head_demand_init(struct mob_head *h)
{
    h->demands.generation = 1;
}

void mob_head_demand_fini(struct mob_head *h)
{
    struct node *n;

    mob_list_each(n, &h->nodes.heard, struct node, by_heard)
        mob_head_demand_drop_node(n);
    assert(h->demands.kinds.count == 0);
    mob_map_fini(&h->demands.kinds);
    free(h->demands.chosen);
}

void mob_head_demand_check(const struct mob_head *h)
{
    struct kind *k;
    size_t at = 0;

    while ((k = mob_map_next(&h->demands.kinds, &at, NULL)) != NULL) {
        unsigned waiting = 0;
        struct demand *d;

        mob_list_each(d, &k->waiting, struct demand, by_kind) {
            assert(d->kind == k && d->count > 0 && d->origin->link != 0);
            assert(d->claim == NULL || d->claim->claim == d);
            waiting++;
        }
        assert(waiting <= k->refs);
        assert(k->feasible == mob_head_demand_feasible(h, &k->ask));
        for (size_t i = 0; k->exhausted && i < h->view.open_count; i++) {
            struct node *n = MOB_CONTAINER(h->view.open[i], struct node, place);
            assert(n->changed || !mob_placement_fits(&n->place, &k->ask));
        }
    }
}
