/* SPDX-License-Identifier: Apache-2.0 */
/* membership.c -- the node and its head.
 *
 *   dial -> Register -> Registered -> Report ... stream lost -> (500 ms) dial -> Register with the number we have -> Registered
 *
 * Without its head the node works on with what it has. After a new Registered everything the head may have forgotten, or
 * missed, is said again: drivers (a job that is not named before the Report is over), demands as full levels. If it is a new head on the
 * old one's state (its generation is another), what the old one had placed here and elsewhere is void: nobody knows any more which of
 * it has arrived.
 *
 * After headless_ms without it the node gives up; a node that was declared dead gives up at once: its shell starts anew. One that has
 * left (drain.c) hears of it in the same way, and ends.
 */
#include "raylet/membership.h"

#include "raylet/core.h"

#define REDIAL_NS (500 * MS)

void mob_membership_init(struct mob_raylet *r)
{
    r->membership.alone_since = r->now;
    r->membership.dial_at = r->now;
    r->membership.beat_ns = 500 * MS;
    mob_list_init(&r->membership.questions);
}

bool mob_membership_joined(const struct mob_raylet *r)
{
    return r->membership.registered;
}

/* Numbers rise, and are told in order. */
bool mob_membership_was_told(const struct mob_raylet *r, uint32_t node)
{
    return node <= r->membership.told;
}

/* Of nodes that the head told of, or that said themselves who they are; not of those that somebody named. */
static uint32_t highest_node(const struct mob_raylet *r)
{
    uint32_t highest = r->membership.told;
    struct peer *peer;

    for (size_t at = 0; (peer = mob_map_next(&r->routes.peers, &at, NULL)) != NULL;)
        if (peer->is.node > highest && !mob_list_empty(&peer->connections))
            highest = peer->is.node;
    return highest;
}

void mob_membership_up(struct mob_raylet *r, struct connection *c)
{
    Mobula__Register m = MOBULA__REGISTER__INIT;
    Mobula__Resource resources[MOB_RESOURCES_MAX], *resource_list[MOB_RESOURCES_MAX];
    Mobula__Label labels[MOB_LABELS_MAX], *label_list[MOB_LABELS_MAX];
    const struct mob_raylet_config *config = &r->config;
    struct mob_envelope e;
    const void *bytes;
    size_t size;

    r->membership.head = c;
    m.protocol = MOB_PROTOCOL;
    m.incarnation.data = (uint8_t *)config->incarnation;
    m.incarnation.len = sizeof config->incarnation;
    m.ip = (char *)config->ip;
    m.port = config->port;
    m.bulk_port = config->bulk_port;
    m.host = (char *)config->host;
    m.n_resources = mob_wire_put_resources(resources, resource_list, &r->resources.owned);
    m.resources = resource_list;
    m.n_labels = mob_wire_put_labels(labels, label_list, &config->labels);
    m.labels = label_list;
    m.pid = config->pid;
    m.driver_only = config->driver_only;
    if (r->self.node != 0) {
        m.node = r->self.node;
        m.cluster = (ProtobufCBinaryData){ sizeof r->membership.cluster, r->membership.cluster };
        m.generation = r->membership.generation;
        m.highest_node = highest_node(r);
    }
    m.session_dir = (char *)(config->session_dir != NULL ? config->session_dir : "");
    mob_envelope_init(&e, r->self, (struct mob_address){ 0, 0 }, MOBULA__ENVELOPE__BODY_REGISTER_NODE);
    e.e.register_node = &m;
    bytes = mob_wire_pack(r->wire, &e.e, &size);
    r->world->send(r->world, c->number, bytes, size);
}

void mob_membership_lost(struct mob_raylet *r, struct connection *c, const struct mob_error *why)
{
    struct membership *m = &r->membership;

    if (m->head != c)
        return;
    if (m->registered) {
        if (!r->over)
            mob_warn("the head is away (%s): this node works on alone", why->text);
        m->alone_since = r->now;
    }
    m->head = NULL;
    m->registered = false;
    mob_questions_gone(r, &m->questions, MOB_ERR_UNREACHABLE, "the link to the head broke; ask again later", NULL);
    m->dial_at = r->now + REDIAL_NS;
    if (why->code == MOB_ERR_DENIED || why->code == MOB_ERR_VERSION)
        mob_raylet_end(r, why);
}

int64_t mob_membership_tick(struct mob_raylet *r)
{
    struct membership *m = &r->membership;
    int64_t give_up_at = m->alone_since + r->config.headless_ms * MS;
    struct mob_error why;

    if (m->registered)
        return INT64_MAX;
    if (r->now >= give_up_at) {
        mob_error_set(&why, MOB_ERR_UNREACHABLE, "no head at %s:%u for %lld s", r->config.head_ip, r->config.head_port,
                      (long long)(r->config.headless_ms / 1000));
        mob_raylet_end(r, &why);
        return INT64_MAX;
    }
    if (m->head == NULL && r->now >= m->dial_at)
        m->head = mob_route_dial(r, MOB_LINK_HEAD, r->config.head_ip, r->config.head_port);
    return m->head != NULL || give_up_at < m->dial_at ? give_up_at : m->dial_at;
}

/* -- what we tell -------------------------------------------------------------------------------------------------------- */

static void say_job(struct mob_raylet *r, struct mob_address driver, const char *name, uint32_t pid)
{
    Mobula__JobStarted m = MOBULA__JOB_STARTED__INIT;
    Mobula__Address job;
    struct mob_envelope e;

    mob_wire_put_address(&job, driver);
    m.job = &job;
    m.name = (char *)(uintptr_t)name;
    m.pid = pid;
    mob_envelope_init(&e, r->self, (struct mob_address){ 0, 0 }, MOBULA__ENVELOPE__BODY_JOB_STARTED);
    e.e.job_started = &m;
    mob_route_send(r, &e.e);            /* the head away: said again when it is back */
}

void mob_membership_job_started(struct mob_raylet *r, const struct process *driver)
{
    say_job(r, driver->job, driver->name, driver->pid);
}

void mob_membership_job_over(struct mob_raylet *r, struct mob_address job)
{
    Mobula__JobOver m = MOBULA__JOB_OVER__INIT;
    Mobula__Address address;
    struct mob_envelope e;

    mob_wire_put_address(&address, job);
    m.job = &address;
    mob_envelope_init(&e, r->self, (struct mob_address){ 0, 0 }, MOBULA__ENVELOPE__BODY_JOB_OVER);
    e.e.job_over = &m;
    mob_route_send(r, &e.e);            /* the head away: the job is not named when it is back, and so over */
}

/* Jobs of other nodes that have work here: their ends may have been lost with the head before this one. */
static void say_what_is_served(struct mob_raylet *r)
{
    struct kind *k;

    for (size_t at = 0; (k = mob_map_next(&r->pool.kinds, &at, NULL)) != NULL;)
        if (k->job.node != r->self.node && !k->over)
            say_job(r, k->job, "", 0);
}

/* The head may be a new one that knows but nodes and jobs, or the old one that missed a while. */
static void say_everything_again(struct mob_raylet *r)
{
    struct process *p;

    for (size_t at = 0; (p = mob_map_next(&r->processes.by_number, &at, NULL)) != NULL;)
        if (p->worker == NULL)
            mob_membership_job_started(r, p);
    mob_demand_say_again(r);
    mob_report_again(r);
}

/* Its record of tasks is empty. */
static void ask_for_events(struct mob_raylet *r)
{
    Mobula__EventsAgain m = MOBULA__EVENTS_AGAIN__INIT;
    struct mob_envelope e;
    struct process *p;

    for (size_t at = 0; (p = mob_map_next(&r->processes.by_number, &at, NULL)) != NULL;) {
        mob_envelope_init(&e, r->self, p->address, MOBULA__ENVELOPE__BODY_EVENTS_AGAIN);
        e.e.events_again = &m;
        mob_route_send(r, &e.e);
    }
}

/* -- what the head tells ------------------------------------------------------------------------------------------------- */

static void note_told(struct mob_raylet *r, uint32_t node)
{
    if (node > r->membership.told)
        r->membership.told = node;
}

/* Peers that lived when we last heard, and are not in the head's list, died meanwhile. Not those that joined after it was made: their
 * NodeUp comes behind it, and they themselves may have come before it. */
static void bury_missing_peers(struct mob_raylet *r, const Mobula__Registered *m)
{
    struct mob_map living = { 0 };
    struct peer *peer;

    for (size_t i = 0; i < m->n_nodes; i++)
        mob_map_set(&living, m->nodes[i]->node, m->nodes[i]);
    for (size_t at = 0; (peer = mob_map_next(&r->routes.peers, &at, NULL)) != NULL;)
        if (peer->is.alive && mob_map_get(&living, peer->is.node) == NULL && mob_membership_was_told(r, peer->is.node))
            mob_death_of_node(r, peer, "it died while the head was away");
    mob_map_fini(&living);
}

/* A head whose state is older than such a death would take the node back, and no other node would speak with it. */
static void say_who_is_dead(struct mob_raylet *r, const Mobula__Registered *m)
{
    for (size_t i = 0; i < m->n_nodes; i++) {
        const struct peer *peer = mob_route_peer(r, m->nodes[i]->node);
        Mobula__NodeDown down = MOBULA__NODE_DOWN__INIT;
        struct mob_envelope e;

        if (peer == NULL || peer->is.alive)
            continue;
        down.node = peer->is.node;
        mob_envelope_init(&e, r->self, (struct mob_address){ 0, 0 }, MOBULA__ENVELOPE__BODY_NODE_DOWN);
        e.e.node_down = &down;
        mob_route_send(r, &e.e);
    }
}

void mob_membership_on_registered(struct mob_raylet *r, const struct arrival *a)
{
    const Mobula__Registered *m = a->e->registered;
    struct membership *ship = &r->membership;
    bool first = r->self.node == 0, other_head = !first && m->generation != ship->generation;
    struct mob_error why;

    if (ship->head != a->connection || m->node == 0 || m->cluster.len != sizeof ship->cluster) {
        mob_raylet_blame(r, a->connection, "answered Register with nonsense");
        return;
    }
    if (!first && (m->node != r->self.node || memcmp(m->cluster.data, ship->cluster, sizeof ship->cluster) != 0)) {
        mob_error_set(&why, MOB_ERR_NODE_DIED, "the head does not know node %u any more", r->self.node);
        mob_raylet_end(r, &why);
        return;
    }
    r->self.node = m->node;
    memcpy(ship->cluster, m->cluster.data, sizeof ship->cluster);
    if (m->beat_ms > 0)
        ship->beat_ns = m->beat_ms * MS;
    ship->registered = true;
    mob_claim_forget(r);                /* before the wants that are claimed for may go */
    if (other_head) {
        mob_demand_forget(r);
        mob_want_forget_placed(r);
    }
    ship->generation = m->generation;
    note_told(r, m->node > m->last ? m->node : m->last);
    for (size_t i = 0; i < m->n_nodes; i++)
        mob_route_know(r, m->nodes[i]);
    if (!first)
        bury_missing_peers(r, m);
    say_who_is_dead(r, m);
    say_everything_again(r);
    mob_outbox_registered(r, m->events_heard, other_head);
    if (other_head) {
        say_what_is_served(r);
        ask_for_events(r);
    }
    if (first && r->config.registered != NULL)
        r->config.registered(r->config.arg, r->self.node, ship->cluster);
}

void mob_membership_on_refused(struct mob_raylet *r, const struct arrival *a)
{
    struct mob_error why;

    mob_wire_error(a->e->refused->error, &why);
    mob_raylet_end(r, &why);
}

void mob_membership_on_node_up(struct mob_raylet *r, const struct arrival *a)
{
    if (a->e->node_up->node == NULL)
        return;
    note_told(r, a->e->node_up->node->node);
    mob_route_know(r, a->e->node_up->node);
}

void mob_membership_on_node_down(struct mob_raylet *r, const struct arrival *a)
{
    const Mobula__NodeDown *m = a->e->node_down;
    struct peer *peer = mob_route_peer(r, m->node);
    struct mob_error why;

    if (m->node == r->self.node && m->left) {
        mob_error_set(&why, MOB_OK, "%s", m->reason);
        mob_raylet_end(r, &why);
    } else if (m->node == r->self.node) {
        mob_error_set(&why, MOB_ERR_NODE_DIED, "node %u was declared dead by the head: %s", m->node, m->reason);
        mob_raylet_end(r, &why);
    } else if (peer != NULL && peer->is.alive) {
        mob_death_of_node(r, peer, m->reason);
    }
}

void mob_membership_on_job_over(struct mob_raylet *r, const struct arrival *a)
{
    mob_death_of_job(r, mob_wire_address(a->e->job_over->job));
}
