/* SPDX-License-Identifier: Apache-2.0 */
/* node.c -- membership, one machine a node.
 *
 *   (Register) --> ALIVE <--> CUT
 *                    |         ^ '--> DEAD        (so do ALIVE and DRAINING)
 *                    '--> DRAINING --> LEFT
 *
 *   ALIVE  has a link. Waits for its loss, or for dead_ms without a message (the raylet reports each beat_ms).
 *   DRAINING  the same, but somebody wants it to leave (drain.c): nothing is placed there. Waits for its raylet to say that it may.
 *   LEFT   it said so; everybody was told as of a death. Like DEAD, but its raylet does not come again.
 *   CUT    has none. Its port is dialed each beat: refused, and it is dead at once; answered, and it has until dead_ms of silence
 *          to dial us again with its number.
 *   DEAD   everybody was told, itself too if it can be reached. It stays here to be shown and to be recognised: the raylet that
 *          registers with a dead number is told again, and must come as a new node. Waits for ever; the oldest are forgotten.
 *
 * No new node is taken while one of the state is awaited: that may have heard of numbers that the state does not have (state.c).
 *
 * Silence is counted in the time that this process lived (core.h): a head that was stopped, or did not come to its tick, buries nobody.
 * Nodes stand in `heard`, longest silent first, so that a tick looks at the first alone.
 */
#include "head/node.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/event.h"
#include "common/log.h"
#include "head/core.h"
#include "head/registration.h"

#define DEAD_KEPT 256

static enum mob_next node_linked(struct mob_machine *m);
static enum mob_next node_cut(struct mob_machine *m);
static bool node_holds(const struct mob_machine *m);

static const struct mob_state node_states[] = {
    [NODE_ALIVE] = { "alive", node_linked, MOB_TO(NODE_DRAINING) | MOB_TO(NODE_CUT) | MOB_TO(NODE_DEAD) },
    [NODE_DRAINING] = { "draining", node_linked, MOB_TO(NODE_CUT) | MOB_TO(NODE_DEAD) | MOB_TO(NODE_LEFT) },
    [NODE_CUT] = { "cut", node_cut, MOB_TO(NODE_ALIVE) | MOB_TO(NODE_DRAINING) | MOB_TO(NODE_DEAD) },
    [NODE_DEAD] = { "dead", NULL, 0 },
    [NODE_LEFT] = { "drained", NULL, 0 },
};

static uint64_t incarnation_key(const uint8_t incarnation[16])
{
    uint64_t halves[2];

    memcpy(halves, incarnation, sizeof halves);
    return halves[0] ^ halves[1] * UINT64_C(0x9e3779b97f4a7c15);
}

/* -- what is said --------------------------------------------------------------------------------------------------------- */

static void put_peer(Mobula__Peer *ret, struct node *n)
{
    mobula__peer__init(ret);
    ret->node = n->place.number;
    ret->ip = n->place.ip;
    ret->port = n->facts.port;
    ret->bulk_port = n->facts.bulk_port;
    ret->host = n->facts.host;
}

/* Its number, and all that live but itself. */
static void tell_registered(struct node *n)
{
    struct mob_head *h = n->head;
    size_t room = h->nodes.alive + h->nodes.cut_count, count = 0;
    Mobula__Registered m = MOBULA__REGISTERED__INIT;
    Mobula__Peer *peers = mob_alloc(room * sizeof *peers);
    Mobula__Peer **list = mob_alloc(room * sizeof(Mobula__Peer *));
    struct mob_envelope env;
    struct node *other;

    mob_list_each(other, &h->nodes.heard, struct node, by_heard) {
        if (other == n)
            continue;
        put_peer(&peers[count], other);
        list[count] = &peers[count];
        count++;
    }
    assert(count < room);
    m.node = n->place.number;
    m.cluster = (ProtobufCBinaryData){ .len = sizeof h->config.cluster, .data = h->config.cluster };
    m.beat_ms = (uint32_t)h->config.beat_ms;
    m.generation = h->config.generation;
    m.last = h->nodes.next - 1;
    m.events_heard = n->events_heard;
    m.nodes = list;
    m.n_nodes = count;
    mob_envelope_init(&env, (struct mob_address){ 0, 0 }, (struct mob_address){ n->place.number, 0 },
                      MOBULA__ENVELOPE__BODY_REGISTERED);
    env.e.registered = &m;
    mob_head_send(h, n->link, &env.e);
    free(list);
    free(peers);
}

static void tell_node_up(struct node *n)
{
    Mobula__NodeUp m = MOBULA__NODE_UP__INIT;
    Mobula__Peer peer;
    struct mob_envelope env;

    put_peer(&peer, n);
    m.node = &peer;
    mob_envelope_init(&env, (struct mob_address){ 0, 0 }, (struct mob_address){ 0, 0 }, MOBULA__ENVELOPE__BODY_NODE_UP);
    env.e.node_up = &m;
    mob_head_broadcast(n->head, &env.e, n);
}

/* To itself, as it stands here; a broadcast has other receivers. */
static void put_node_down(struct mob_envelope *env, Mobula__NodeDown *m, uint32_t number, char *reason, bool left)
{
    mobula__node_down__init(m);
    m->node = number;
    m->reason = reason;
    m->left = left;
    mob_envelope_init(env, (struct mob_address){ 0, 0 }, (struct mob_address){ number, 0 }, MOBULA__ENVELOPE__BODY_NODE_DOWN);
    env->e.node_down = m;
}

/* `number` is what the raylet believes to be, 0 if it has no number yet. */
static void tell_refused(struct mob_head *h, struct link *l, uint32_t number, const struct mob_error *why)
{
    Mobula__Refused m = MOBULA__REFUSED__INIT;
    Mobula__Error error;
    struct mob_envelope env;

    mob_warn("link %" PRIu64 ": a raylet is refused: %s", l->number, why->text);
    mob_wire_put_error(&error, why);
    m.error = &error;
    mob_envelope_init(&env, (struct mob_address){ 0, 0 }, (struct mob_address){ number, 0 }, MOBULA__ENVELOPE__BODY_REFUSED);
    env.e.refused = &m;
    mob_head_send(h, l->number, &env.e);
    mob_head_hang_up(h, l);
}

/* ALIVE: the caller gives it its link. */
static struct node *node_create(struct mob_head *h, const struct registration *reg, uint32_t number, enum node_state state)
{
    struct node *n = mob_new(struct node);
    struct node_table *t = &h->nodes;
    bool gone = state == NODE_DEAD || state == NODE_LEFT;

    n->head = h;
    n->facts = reg->facts;
    n->place.number = number;
    n->place_seq = n->claim_number = mob_head_first_seq(h);
    n->heard_ns = n->probe_ns = mob_head_lived_ns(h);
    mob_copy(n->place.ip, sizeof n->place.ip, reg->ip);
    n->place.total = n->place.free = n->reported = reg->resources;
    n->place.labels = reg->labels;
    mob_list_init(&n->places);
    mob_list_init(&n->by_cut);
    mob_list_init(&n->by_heard);
    mob_list_append(gone ? &t->dead : &t->heard, &n->by_heard);
    if (state == NODE_CUT)
        mob_list_append(&t->cut, &n->by_cut);
    mob_map_set(&t->by_number, number, n);
    mob_map_set(&t->by_incarnation, incarnation_key(n->facts.incarnation), n);
    t->alive += state == NODE_ALIVE;
    t->cut_count += state == NODE_CUT;
    t->dead_count += gone;
    t->serving += !gone && !n->facts.driver_only;
    if (number >= t->next)
        t->next = number + 1;
    mob_machine_init(&n->m, "node", number, node_states, state, node_holds);
    return n;
}

static void node_destroy(struct node *n)
{
    struct node_table *t = &n->head->nodes;

    if (mob_map_get(&t->by_incarnation, incarnation_key(n->facts.incarnation)) == n)
        mob_map_remove(&t->by_incarnation, incarnation_key(n->facts.incarnation));
    mob_map_remove(&t->by_number, n->place.number);
    mob_list_remove(&n->by_heard);
    mob_list_remove(&n->by_cut);
    mob_map_fini(&n->demands);
    free(n->place.unfit);
    free(n);
}

static void take_link(struct node *n, struct link *l)
{
    l->kind = LINK_RAYLET;
    l->node = n;
    n->link = l->number;
    n->refused = false;
    mob_head_node_heard(n);
}

static void came(struct node *n)
{
    n->head->nodes.awaited -= n->awaited;
    n->awaited = false;
}

static void join(struct mob_head *h, struct link *l, const struct registration *reg)
{
    struct node *n = node_create(h, reg, h->nodes.next, NODE_ALIVE);
    struct mob_error err;
    char text[256];

    if (mob_head_state_keep(h, MOB_HEAD_COUNTERS, 0, &err) < 0
        || mob_head_state_keep(h, MOB_HEAD_NODE, n->place.number, &err) < 0) {
        h->nodes.alive--;
        h->nodes.serving -= !n->facts.driver_only;
        node_destroy(n);
        tell_refused(h, l, 0, &err);
        return;
    }
    take_link(n, l);
    mob_info("node %u joins: %s (%s), %s", n->place.number, n->place.ip, n->facts.host,
             mob_resources_print(&n->place.total, text, sizeof text));
    tell_registered(n);
    tell_node_up(n);
    mob_head_view_open(n);
    if (!n->facts.driver_only)
        mob_head_demand_node_joined(n);
}

/* The same raylet on a new link. What the old one carried last may be lost: its owners' demands are stated anew by it, our
 * places and the ends of jobs are sent again by us. */
static void come_back(struct node *n, struct link *l, uint64_t generation)
{
    bool first = n->awaited;
    struct link *old = n->link != 0 ? mob_head_link(n->head, n->link) : NULL;

    if (old != NULL) {
        mob_head_hang_up(n->head, old);
        mob_head_view_close(n);
        mob_head_demand_drop_node(n);
    }
    came(n);
    if (first)
        mob_head_state_heard_head(n->head, generation);
    take_link(n, l);
    mob_machine_run(&n->m);
    mob_info("node %u is back", n->place.number);
    tell_registered(n);
    mob_head_drain_tell(n);
    mob_head_view_open(n);
    mob_head_job_tell(n);               /* after the places, which may be of such jobs */
}

void mob_head_node_register(struct mob_head *h, struct link *l, const Mobula__Register *m)
{
    struct registration reg;
    struct mob_error err;
    struct node *n;

    if (mob_head_registration_unpack(&reg, m, &err) < 0) {
        tell_refused(h, l, m->node, &err);
        return;
    }
    mob_head_state_heard_node(h, m);
    n = mob_map_get(&h->nodes.by_incarnation, incarnation_key(reg.facts.incarnation));
    if (n != NULL && !node_is_gone(n)) {
        come_back(n, l, m->generation);
    } else if (reg.node != 0) {
        struct mob_envelope env;
        Mobula__NodeDown down;

        put_node_down(&env, &down, reg.node, n != NULL ? n->reason : (char *)"this head does not know the node",
                      n != NULL && n->m.now == NODE_LEFT);
        mob_info("node %u is gone and came back: it is told so", reg.node);
        mob_head_send(h, l->number, &env.e);
        mob_head_hang_up(h, l);
    } else if (h->nodes.awaited > 0) {
        mob_info("a new node at %s waits: nodes of the state have not come yet, and may know of numbers that it does not", reg.ip);
        mob_head_hang_up(h, l);         /* it dials again */
    } else {
        join(h, l, &reg);               /* or one that died before it heard its number: it has nothing to end */
    }
}

/* -- life ---------------------------------------------------------------------------------------------------------------- */

static bool silent_too_long(const struct node *n)
{
    return mob_head_lived_ns(n->head) - n->heard_ns >= n->head->config.dead_ms * MOB_NS_OF_MS;
}

static void forget_oldest_dead(struct mob_head *h)
{
    struct node *n;
    uint32_t number;

    if (h->nodes.dead_count <= DEAD_KEPT)
        return;
    n = mob_list_first(&h->nodes.dead, struct node, by_heard);
    number = n->place.number;
    node_destroy(n);
    h->nodes.dead_count--;
    mob_head_state_changed(h, MOB_HEAD_NODE, number);
}

/* Owners on it say no more of their tasks. */
static void record_end(const struct node *n)
{
    struct mob_event record = { .kind = MOB_EVENT_OWNER_OVER, .owner_node = n->place.number };

    if (n->head->config.record != NULL)
        n->head->config.record(n->head->config.arg, &record, sizeof record, 0);
}

/* To all that live, and to itself, if it can be reached. */
static void tell_node_down(struct node *n, struct link *own)
{
    struct mob_head *h = n->head;
    Mobula__NodeDown m;
    struct mob_envelope env;

    put_node_down(&env, &m, n->place.number, n->reason, n->m.now == NODE_LEFT);
    if (own != NULL) {
        mob_head_send(h, own->number, &env.e);
        mob_head_hang_up(h, own);
    }
    mob_head_broadcast(h, &env.e, NULL);
}

/* Everything that follows from a death, once: then nothing points to the node but the record of it. The same of one that leaves. */
static enum mob_next node_end(struct node *n, enum node_state state, const char *reason)
{
    struct mob_head *h = n->head;
    struct link *own = n->link != 0 ? mob_head_link(h, n->link) : NULL, *probe;
    bool was_cut = n->m.now == NODE_CUT;

    mob_copy(n->reason, sizeof n->reason, reason);
    if (state == NODE_LEFT)
        mob_info("node %u (%s) has left: %s", n->place.number, n->place.ip, n->reason);
    else
        mob_warn("node %u (%s) is dead: %s; its leases end, its tasks run elsewhere", n->place.number, n->place.ip, n->reason);
    n->link = 0;
    if (n->probe != 0 && (probe = mob_head_link(h, n->probe)) != NULL)
        mob_head_hang_up(h, probe);
    n->probe = 0;
    mob_head_view_forget(n);
    came(n);
    mob_list_remove(&n->by_cut);
    mob_list_remove(&n->by_heard);
    mob_list_append(&h->nodes.dead, &n->by_heard);
    h->nodes.dead_count++;
    h->nodes.alive -= !was_cut;
    h->nodes.cut_count -= was_cut;
    h->nodes.serving -= !n->facts.driver_only;
    mob_machine_goto(&n->m, state);
    mob_head_state_changed(h, MOB_HEAD_NODE, n->place.number);
    tell_node_down(n, own);
    mob_head_demand_drop_node(n);
    mob_head_job_node_dead(n);
    record_end(n);
    mob_head_demand_node_dead(n);
    forget_oldest_dead(h);
    return MOB_WAIT;
}

static enum mob_next node_die(struct node *n, const char *reason)
{
    return node_end(n, NODE_DEAD, reason);
}

static enum mob_next node_die_silent(struct node *n, const char *what)
{
    char reason[96];

    snprintf(reason, sizeof reason, "%s for %.1f s", what, (double)(mob_head_lived_ns(n->head) - n->heard_ns) / 1e9);
    return node_die(n, reason);
}

static enum mob_next node_linked(struct mob_machine *m)
{
    struct node *n = MOB_CONTAINER(m, struct node, m);
    struct node_table *t = &n->head->nodes;

    if (n->link != 0 && silent_too_long(n))
        return node_die_silent(n, "no sign of life");
    if (n->link != 0 && m->now == NODE_ALIVE && n->place.draining)
        return mob_machine_goto(m, NODE_DRAINING);
    if (n->link != 0 && m->now == NODE_DRAINING && n->drain.left.over)
        return node_end(n, NODE_LEFT, n->drain.left.late ? "drained: the time that it was given is over" : "drained");
    if (n->link != 0)
        return MOB_WAIT;
    mob_head_view_close(n);
    mob_head_demand_drop_node(n);       /* stated anew when it is back */
    mob_list_append(&t->cut, &n->by_cut);
    t->alive--;
    t->cut_count++;
    n->probe_ns = mob_head_lived_ns(n->head);
    return mob_machine_goto(m, NODE_CUT);
}

static enum mob_next node_cut(struct mob_machine *m)
{
    struct node *n = MOB_CONTAINER(m, struct node, m);
    struct mob_head *h = n->head;

    if (n->link != 0) {
        mob_list_remove(&n->by_cut);
        h->nodes.cut_count--;
        h->nodes.alive++;
        return mob_machine_goto(m, n->place.draining ? NODE_DRAINING : NODE_ALIVE);
    }
    if (n->refused)
        return node_die(n, "its raylet is gone: the port refuses");
    if (silent_too_long(n))
        return node_die_silent(n, "the link broke, and it has not been heard of");
    if (n->probe == 0 && mob_head_lived_ns(h) >= n->probe_ns) {
        struct link *l;

        n->probe = h->world->dial(h->world, n->place.ip, n->facts.port);
        n->probe_ns = mob_head_lived_ns(h) + h->config.beat_ms * MOB_NS_OF_MS;
        l = mob_head_link_add(h, n->probe);
        l->kind = LINK_PROBE;
        l->node = n;
    }
    return MOB_WAIT;
}

static bool node_holds(const struct mob_machine *m)
{
    const struct node *n = MOB_CONTAINER(m, const struct node, m);

    if (m->now == NODE_ALIVE || m->now == NODE_DRAINING)
        return n->link != 0 && (m->now == NODE_ALIVE || n->place.draining);
    if (m->now == NODE_CUT)
        return n->link == 0 && n->open == 0;
    return n->link == 0 && n->probe == 0 && n->open == 0 && mob_list_empty(&n->places);
}

/* -- facts --------------------------------------------------------------------------------------------------------------- */

void mob_head_node_look(struct node *n)
{
    mob_machine_run(&n->m);
}

void mob_head_node_heard(struct node *n)
{
    int64_t lived_ns = mob_head_lived_ns(n->head);

    assert(!node_is_gone(n));
    if (lived_ns - n->heard_ns > n->most_silent_ns)
        n->most_silent_ns = lived_ns - n->heard_ns;
    n->heard_ns = lived_ns;
    mob_list_remove(&n->by_heard);
    mob_list_append(&n->head->nodes.heard, &n->by_heard);
}

void mob_head_node_link_lost(struct node *n, bool refused)
{
    assert(n->link != 0);
    n->link = 0;
    n->refused = refused;
    mob_machine_run(&n->m);
}

int mob_head_node_told_dead(struct mob_head *h, uint32_t number, struct mob_error *err)
{
    struct node *n = mob_head_node_find(h, number);

    if (n == NULL || node_is_gone(n))
        return 0;
    if (!n->inherited)
        return mob_error_set(err, MOB_ERR_PROTOCOL, "NodeDown of node %u, which only this head could have told of", number);
    node_die(n, "others have heard of its death from a head before this one");
    return 0;
}

/* Its port answers: it is alive and will dial us. */
void mob_head_node_probe_up(struct node *n)
{
    n->probe = 0;
}

void mob_head_node_probe_lost(struct node *n, bool refused)
{
    n->probe = 0;
    n->refused = refused && n->link == 0;
    mob_machine_run(&n->m);
}

int64_t mob_head_node_tick(struct mob_head *h)
{
    int64_t due_ns = INT64_MAX;
    struct node *n;

    mob_list_each(n, &h->nodes.cut, struct node, by_cut)
        mob_machine_run(&n->m);
    while (!mob_list_empty(&h->nodes.heard)) {
        n = mob_list_first(&h->nodes.heard, struct node, by_heard);
        if (!silent_too_long(n)) {
            due_ns = mob_head_lives_until(h, n->heard_ns + h->config.dead_ms * MOB_NS_OF_MS);
            break;
        }
        mob_machine_run(&n->m);
        assert(n->m.now == NODE_DEAD);
    }
    mob_list_each(n, &h->nodes.cut, struct node, by_cut) {
        if (n->probe == 0 && mob_head_lives_until(h, n->probe_ns) < due_ns)
            due_ns = mob_head_lives_until(h, n->probe_ns);
    }
    return due_ns;
}

/* -- the table ----------------------------------------------------------------------------------------------------------- */

void mob_head_node_init(struct mob_head *h)
{
    mob_list_init(&h->nodes.heard);
    mob_list_init(&h->nodes.cut);
    mob_list_init(&h->nodes.dead);
    h->nodes.next = 1;
}

int mob_head_node_load(struct mob_head *h, const Mobula__NodeRow *row)
{
    struct registration reg;
    struct node *n;

    if (mob_head_registration_unpack(&reg, row->registration, NULL) < 0 || row->node == 0 || mob_head_node_find(h, row->node) != NULL)
        return -1;
    n = node_create(h, &reg, row->node, row->left ? NODE_LEFT : row->dead ? NODE_DEAD : NODE_CUT);
    n->inherited = true;
    n->awaited = n->m.now == NODE_CUT;
    h->nodes.awaited += n->awaited;
    mob_copy(n->reason, sizeof n->reason, row->reason);
    if (row->drain != NULL && n->m.now == NODE_CUT)
        mob_head_drain_load(n, row->drain);
    return 0;
}

void mob_head_node_fini(struct mob_head *h)
{
    struct node *n;

    mob_list_each(n, &h->nodes.heard, struct node, by_heard) {
        mob_head_view_forget(n);
        node_destroy(n);
    }
    mob_list_each(n, &h->nodes.dead, struct node, by_heard)
        node_destroy(n);
    mob_map_fini(&h->nodes.by_number);
    mob_map_fini(&h->nodes.by_incarnation);
}

struct node *mob_head_node_find(const struct mob_head *h, uint32_t number)
{
    return mob_map_get(&h->nodes.by_number, number);
}

void mob_head_node_check(const struct mob_head *h)
{
    size_t alive = 0, cut = 0, serving = 0, open = 0, awaited = 0;
    int64_t heard_ns = INT64_MIN;
    struct node *n;

    mob_list_each(n, &h->nodes.heard, struct node, by_heard) {
        assert(!node_is_gone(n) && node_holds(&n->m));
        assert(mob_head_node_find(h, n->place.number) == n && n->place.number < h->nodes.next);
        assert(n->heard_ns >= heard_ns);
        assert((n->m.now == NODE_CUT) == !mob_list_empty(&n->by_cut));
        heard_ns = n->heard_ns;
        alive += n->link != 0;
        cut += n->m.now == NODE_CUT;
        serving += !n->facts.driver_only;
        open += n->open != 0;
        awaited += n->awaited;
        mob_head_view_check(n);
    }
    assert(alive == h->nodes.alive && cut == h->nodes.cut_count && serving == h->nodes.serving);
    assert(open == h->view.open_count && awaited == h->nodes.awaited);
    assert(alive + cut + h->nodes.dead_count == h->nodes.by_number.count);
}
