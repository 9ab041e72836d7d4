/* SPDX-License-Identifier: Apache-2.0 */
/* view.c -- the resource view.
 *
 * A node's free resources are what it last reported, less the Places it had not seen when it reported: so the head may place many
 * leases before the first report shows one, and never lends the same thing twice by itself. A Place is remembered until a report
 * has its number; when the link breaks, those not seen are sent again under their old numbers, and the raylet skips what it knows.
 *
 * `changed` collects the nodes that may have more than before: placement looks at these alone for demands that fitted nowhere.
 */
#include "head/view.h"

#include <assert.h>
#include <stdlib.h>

#include "common/log.h"
#include "head/core.h"

/* A Place that no report shows yet. */
struct place {
    uint64_t seq;
    struct shape *shape;
    struct mob_address owner;
    uint32_t number;
    uint32_t count;
    uint32_t depth;
    int64_t since_ns;
    struct mob_link link;               /* in node.places, by seq */
};

void mob_head_shape_unref(struct shape *s)
{
    assert(s->refs > 0);
    if (--s->refs == 0)
        free(s);
}

static void note_changed(struct node *n)
{
    struct view *v = &n->head->view;

    if (n->changed || n->open == 0)
        return;
    if (v->changed_count == v->changed_room) {
        v->changed_room = v->changed_room * 2 + 16;
        v->changed = mob_realloc(v->changed, v->changed_room * sizeof(struct node *));
    }
    v->changed[v->changed_count++] = n;
    n->changed = true;
}

void mob_head_view_looked(struct mob_head *h)
{
    for (size_t i = 0; i < h->view.changed_count; i++)
        h->view.changed[i]->changed = false;
    h->view.changed_count = 0;
}

static void place_destroy(struct node *n, struct place *p)
{
    assert(n->place.unseen >= p->count);
    n->place.unseen -= p->count;
    mob_list_remove(&p->link);
    mob_head_shape_unref(p->shape);
    free(p);
}

static void subtract(struct mob_resources *from, const struct mob_resources *each, uint32_t times)
{
    struct mob_resources all = *each;

    for (uint32_t i = 0; i < all.count; i++)
        all.of[i].units *= times;       /* fits: it was taken from one node's total */
    mob_resources_subtract(from, &all);
}

/* What it has free: as reported, less what it did not know of then. */
static void free_of(const struct node *n, struct mob_resources *ret)
{
    struct place *p;

    *ret = n->reported;
    mob_list_each(p, &n->places, struct place, link)
        subtract(ret, &p->shape->of.resources, p->count);
}

/* The node of its owner, or NULL: then nobody waits for it any more. */
static struct node *place_origin(const struct mob_head *h, const struct place *p)
{
    struct node *origin = mob_head_node_find(h, p->owner.node);

    return origin != NULL && !node_is_gone(origin) ? origin : NULL;
}

static void send_place(struct node *n, const struct place *p)
{
    struct mob_head *h = n->head;
    const struct node *origin = place_origin(h, p);
    Mobula__Place m = MOBULA__PLACE__INIT;
    Mobula__Peer peer = MOBULA__PEER__INIT;
    Mobula__Address owner = MOBULA__ADDRESS__INIT;
    Mobula__Shape shape = MOBULA__SHAPE__INIT;
    struct mob_shape_room room;
    struct mob_envelope env;

    assert(origin != NULL);
    mob_wire_put_address(&owner, p->owner);
    mob_wire_put_shape(&shape, &room, &p->shape->of);
    peer.node = origin->place.number;
    peer.ip = (char *)origin->place.ip;
    peer.port = origin->facts.port;
    peer.bulk_port = origin->facts.bulk_port;
    m.seq = p->seq;
    m.owner = &owner;
    m.shape = p->number;
    m.definition = &shape;
    m.count = p->count;
    m.owner_node = &peer;
    m.age_ms = (uint64_t)((h->now_ns - p->since_ns) / MOB_NS_OF_MS);
    m.depth = p->depth;
    mob_envelope_init(&env, (struct mob_address){ 0, 0 }, (struct mob_address){ n->place.number, 0 },
                      MOBULA__ENVELOPE__BODY_PLACE);
    env.e.place = &m;
    mob_head_send(h, n->link, &env.e);
}

void mob_head_view_place(struct node *n, const struct demand *d, uint32_t count)
{
    struct place *p = mob_new(struct place);

    p->seq = ++n->place_seq;
    p->shape = d->shape;
    p->shape->refs++;
    p->owner = d->owner;
    p->number = d->number;
    p->count = count;
    p->depth = d->depth;
    p->since_ns = d->since_ns;
    mob_list_append(&n->places, &p->link);
    send_place(n, p);
}

static void note_full(struct node *n, bool full)
{
    if (full != n->place.full)
        mob_info("the object store of node %u %s", n->place.number, full ? "is full: work goes elsewhere" : "has room again");
    n->place.full = full;
}

int mob_head_view_report(struct node *n, const Mobula__Report *m, struct mob_error *err)
{
    struct mob_resources free_now;
    struct place *p;

    if (mob_wire_resources(m->free, m->n_free, &free_now, err) < 0)
        return -1;
    if (m->placed_seq > n->place_seq)
        return mob_error_set(err, MOB_ERR_PROTOCOL, "a report of place %llu; the last was %llu",
                             (unsigned long long)m->placed_seq, (unsigned long long)n->place_seq);
    n->load = (struct node_load){
        .workers = m->workers, .blocked = m->blocked, .queued = m->queued,
        .store_used = m->store_used, .store_size = m->store_size, .uptime_ms = m->uptime_ms,
        .store_spilled = m->store_spilled, .store_pulled = m->store_pulled, .store_warm = m->store_warm, .store_asks = m->store_asks,
        .store_overflow = m->store_overflow,
    };
    mob_copy(n->load.store_trouble, sizeof n->load.store_trouble, m->store_trouble);
    mob_copy(n->load.store_pages, sizeof n->load.store_pages, m->store_pages);
    mob_head_claim_over(n, m->claim_over);
    mob_head_drain_report(n, m->draining);
    if (m->version < n->report_version)
        return 0;
    n->report_version = m->version;
    note_full(n, m->store_full);
    n->reported = free_now;
    mob_list_each(p, &n->places, struct place, link) {
        if (p->seq > m->placed_seq)
            break;
        place_destroy(n, p);
    }
    free_of(n, &n->place.free);
    note_changed(n);
    return 0;
}

void mob_head_view_open(struct node *n)
{
    struct view *v = &n->head->view;
    struct place *p;

    assert(n->open == 0 && n->link != 0);
    mob_list_each(p, &n->places, struct place, link) {
        if (place_origin(n->head, p) != NULL)
            send_place(n, p);
        else
            place_destroy(n, p);        /* it would be unseen for ever */
    }
    free_of(n, &n->place.free);
    if (n->facts.driver_only)
        return;
    if (v->open_count == v->open_room) {
        v->open_room = v->open_room * 2 + 16;
        v->open = mob_realloc(v->open, v->open_room * sizeof(struct placement_node *));
    }
    v->open[v->open_count++] = &n->place;
    n->open = v->open_count;
    note_changed(n);
}

void mob_head_view_close(struct node *n)
{
    struct view *v = &n->head->view;
    struct placement_node *last;

    mob_head_claim_over(n, n->claim_number);
    if (n->open == 0)
        return;
    last = v->open[--v->open_count];
    v->open[n->open - 1] = last;
    MOB_CONTAINER(last, struct node, place)->open = n->open;
    n->open = 0;
    for (size_t i = 0; n->changed && i < v->changed_count; i++) {
        if (v->changed[i] == n) {
            v->changed[i] = v->changed[--v->changed_count];
            n->changed = false;
        }
    }
}

size_t mob_head_view_serving(const struct mob_head *h)
{
    size_t serving = 0;

    for (size_t i = 0; i < h->view.open_count; i++)
        serving += !h->view.open[i]->draining;
    return serving;
}

void mob_head_view_forget(struct node *n)
{
    struct place *p;

    mob_head_view_close(n);
    mob_list_each(p, &n->places, struct place, link)
        place_destroy(n, p);
}

void mob_head_view_fini(struct mob_head *h)
{
    free(h->view.open);
    free(h->view.changed);
}

void mob_head_view_check(const struct node *n)
{
    struct mob_resources expected;
    uint32_t unseen = 0;
    uint64_t seq = 0;
    struct place *p;

    free_of(n, &expected);
    assert(mob_resources_eq(&expected, &n->place.free));
    mob_list_each(p, &n->places, struct place, link) {
        assert(p->seq > seq && p->seq <= n->place_seq && p->count > 0);
        seq = p->seq;
        unseen += p->count;
    }
    assert(unseen == n->place.unseen);
    assert(n->open == 0 || n->head->view.open[n->open - 1] == &n->place);
    assert(n->claim == NULL || (n->open != 0 && n->claim->claim == n && n->claim->count > 0));
}
