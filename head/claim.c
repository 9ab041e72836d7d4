/* SPDX-License-Identifier: Apache-2.0 */
/* claim.c -- demands that fit nowhere wait at a node, too.
 *
 * While every owner keeps its leases busy nothing comes free, and the head has nothing to place: only a raylet can ask leases back,
 * and only what waits in its queue is waited for. So a demand that fits nowhere for WAIT_NS claims a node: the raylet queues it as
 * one of its own, by its age, until it is served, the head ends the claim, or another should have its turn (raylet/claim.c). One
 * claim a node, one node a demand; the demand stays here and is placed wherever it fits first.
 *
 * A claim that is older than 2 s reserves there: nothing overtakes it (raylet/want.c). What its owner's own node serves by itself
 * waits in that queue already, and claims another one only when it is that old.
 *
 * A node whose object store is full gets no work but by this, and only if no other one could ever do it: the Claim says so.
 *
 * The next claim is of the demand that had none for longest: so a demand that claims in vain, as no node can serve it for now, does not
 * keep the others from claiming.
 */
#include "head/claim.h"

#include <stdlib.h>

#include "head/core.h"

#define WAIT_NS (50 * MOB_NS_OF_MS)     /* until it claims; and between two claims */
#define WAIT_AT_HOME_NS (2000 * MOB_NS_OF_MS)
#define PACE_NS (10 * MOB_NS_OF_MS)

/* -- one claim ----------------------------------------------------------------------------------------------------------- */

static void say_claim(struct node *n, const struct demand *d, uint32_t count)
{
    struct mob_head *h = n->head;
    Mobula__Claim m = MOBULA__CLAIM__INIT;
    Mobula__Peer peer = MOBULA__PEER__INIT;
    Mobula__Address owner = MOBULA__ADDRESS__INIT;
    Mobula__Shape shape = MOBULA__SHAPE__INIT;
    struct mob_shape_room room;
    struct mob_envelope env;

    mob_wire_put_address(&owner, d->owner);
    m.number = ++n->claim_number;
    m.owner = &owner;
    m.shape = d->number;
    m.count = count;
    m.full = mob_placement_avoids(&n->place, &d->shape->of);
    if (count > 0) {
        mob_wire_put_shape(&shape, &room, &d->shape->of);
        m.definition = &shape;
        peer.node = d->origin->place.number;
        peer.ip = d->origin->place.ip;
        peer.port = d->origin->facts.port;
        peer.bulk_port = d->origin->facts.bulk_port;
        m.owner_node = &peer;
        m.age_ms = (uint64_t)((h->now_ns - d->since_ns) / MOB_NS_OF_MS);
        m.depth = d->depth;
    }
    mob_envelope_init(&env, (struct mob_address){ 0, 0 }, (struct mob_address){ n->place.number, 0 },
                      MOBULA__ENVELOPE__BODY_CLAIM);
    env.e.claim = &m;
    mob_head_send(h, n->link, &env.e);
}

void mob_head_claim_end(struct demand *d)
{
    struct node *n = d->claim;

    if (n == NULL)
        return;
    say_claim(n, d, 0);
    n->claim = NULL;
    d->claim = NULL;
}

void mob_head_claim_over(struct node *n, uint64_t number)
{
    if (n->claim == NULL || number < n->claim_number)
        return;
    n->claim->claim = NULL;
    n->claim = NULL;
}

/* One at a time goes round the cluster; for what only one node may serve, as many as it has CPUs. */
static void claim(struct demand *d, struct node *n)
{
    int64_t cpus = mob_resources_get(&n->place.total, "CPU") / MOB_UNITS;
    uint32_t most = d->kind->ask.strategy == MOB_NODE && cpus > 1 ? (uint32_t)cpus : 1;

    n->claim = d;
    d->claim = n;
    say_claim(n, d, d->count < most ? d->count : most);
}

/* -- whose turn ---------------------------------------------------------------------------------------------------------- */

/* Does the raylet of its owner serve it by itself? (As is_here_first() of raylet/want.c.) */
static bool is_at_home(const struct demand *d)
{
    const struct mob_shape *ask = &d->kind->ask;
    const struct node *n = d->origin;

    if (ask->strategy == MOB_SPREAD || (ask->strategy != MOB_HYBRID && ask->node != n->place.number))
        return false;
    return !n->facts.driver_only && mob_placement_feasible(&n->place, ask) && !mob_placement_avoids(&n->place, ask);
}

/* When it may claim. */
static int64_t due_of(const struct demand *d)
{
    int64_t due_ns = d->since_ns + (is_at_home(d) ? WAIT_AT_HOME_NS : WAIT_NS);

    return d->claim_ns != 0 && d->claim_ns + WAIT_NS > due_ns ? d->claim_ns + WAIT_NS : due_ns;
}

static int by_turn(const void *a, const void *b)
{
    const struct demand *x = *(struct demand *const *)a, *y = *(struct demand *const *)b;

    if (x->claim_ns != y->claim_ns)
        return x->claim_ns < y->claim_ns ? -1 : 1;
    return mob_head_demand_first_come(a, b);
}

/* Those whose time has come, by turns. *due_ns: when the next one's comes. */
static size_t collect(struct mob_head *h, struct demand ***ret_list, int64_t *due_ns)
{
    struct demand **list = NULL, *d;
    size_t count = 0, room = 0, at = 0;
    struct kind *k;

    while ((k = mob_map_next(&h->demands.kinds, &at, NULL)) != NULL) {
        if (k->feasible == 0)
            continue;
        mob_list_each(d, &k->waiting, struct demand, by_kind) {
            int64_t due = due_of(d);
            if (d->claim != NULL)
                continue;
            if (due > h->now_ns) {
                *due_ns = due < *due_ns ? due : *due_ns;
                continue;
            }
            if (count == room) {
                room = room * 2 + 64;
                list = mob_realloc(list, room * sizeof *list);
            }
            list[count++] = d;
        }
    }
    if (count > 1)
        qsort(list, count, sizeof *list, by_turn);
    *ret_list = list;
    return count;
}

/* -- which node ---------------------------------------------------------------------------------------------------------- */

static size_t unclaimed(const struct mob_head *h, struct placement_node **nodes)
{
    size_t count = 0;

    for (size_t i = 0; i < h->view.open_count; i++) {
        if (MOB_CONTAINER(h->view.open[i], struct node, place)->claim == NULL)
            nodes[count++] = h->view.open[i];
    }
    return count;
}

/* It claims the best of the nodes, which leaves the list; or waits for its turn. */
static void take_turn(struct demand *d, struct placement_node **nodes, size_t *n)
{
    const struct placement_node *home = is_at_home(d) ? &d->origin->place : NULL;
    const struct mob_head *h = d->origin->head;
    bool last_resort = !mob_placement_has_other(&d->kind->ask, h->view.open, h->view.open_count);
    int64_t now_ns = h->now_ns;
    struct placement_node *chosen;

    if (d->kind->no_node_ns == now_ns)
        return;
    chosen = mob_placement_wait(&d->kind->ask, nodes, *n, home, last_resort, &d->claim_round);
    if (chosen == NULL) {
        d->kind->no_node_ns = home == NULL ? now_ns : 0;
        return;
    }
    d->claim_ns = now_ns;
    claim(d, MOB_CONTAINER(chosen, struct node, place));
    for (size_t i = 0; i < *n; i++) {
        if (nodes[i] == chosen)
            nodes[i] = nodes[--*n];
    }
}

int64_t mob_head_claims_look(struct mob_head *h)
{
    struct placement_node **nodes;
    struct demand **list;
    int64_t due_ns = INT64_MAX;
    size_t count, open;

    if (h->demands.kinds.count == 0)
        return INT64_MAX;
    if (h->now_ns < h->demands.claim_ns)
        return h->demands.claim_ns;
    h->demands.claim_ns = h->now_ns + PACE_NS;
    count = collect(h, &list, &due_ns);
    if (count > 0) {
        nodes = mob_alloc((h->view.open_count + 1) * sizeof *nodes);
        open = unclaimed(h, nodes);
        for (size_t i = 0; i < count && open > 0; i++)
            take_turn(list[i], nodes, &open);
        free(nodes);
        due_ns = h->now_ns + WAIT_NS;   /* of those left over, or for another turn */
    }
    free(list);
    return due_ns > h->demands.claim_ns ? due_ns : h->demands.claim_ns;
}
