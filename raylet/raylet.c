/* SPDX-License-Identifier: Apache-2.0 */
/* raylet.c -- the life of the raylet's core, and its facts.
 *
 * A fact enters here (or as mob_raylet_process_up, _process_exited), reads the clock once, and is followed by mob_raylet_tick()
 * after the batch. What can be answered at once is: a Want on a warm node gets its Grants within the call. What only must be
 * said eventually, and may change again within the batch, waits for the tick: demands, reports, recalls.
 */
#include "raylet/raylet.h"

#include <stdlib.h>

#include "raylet/core.h"

#define STORE_LOOK_NS (100 * MS)
#define STORE_IDLE_NS (60000 * MS)

struct mob_raylet *mob_raylet_create(struct mob_world *w, const struct mob_raylet_config *config)
{
    struct mob_raylet *r = mob_new(struct mob_raylet);
    const struct mob_resources nothing = { 0 };

    r->world = w;
    r->config = *config;
    r->wire = mob_wire_create();
    r->now = r->started = w->now_ns(w);
    r->store_look_at = INT64_MAX;
    mob_membership_init(r);
    mob_routes_init(r);
    mob_outbox_init(r);
    mob_wants_init(r);
    mob_drain_init(r);
    mob_moves_init(r);
    mob_node_resources_init(&r->resources, config->driver_only ? &nothing : &config->resources, config->gpus);
    mob_leases_init(r);
    mob_pool_init(r);
    mob_pressure_init(r);
    mob_proxies_init(r);
    mob_stages_init(r);
    mob_polls_init(r);
    mob_list_init(&r->cancels);
    mob_list_init(&r->sought);
    return r;
}

void mob_raylet_destroy(struct mob_raylet *r)
{
    if (r == NULL)
        return;
    mob_proxies_fini(r);
    mob_stages_fini(r);
    mob_moves_fini(r);
    mob_seeks_fini(r);
    mob_polls_fini(r);
    mob_questions_fini(r);
    mob_leases_fini(r);
    mob_wants_fini(r);
    mob_pool_fini(r);
    mob_processes_fini(r);
    mob_routes_fini(r);
    mob_outbox_fini(r);
    mob_wire_destroy(r->wire);
    free(r);
}

/* What they hear next is that their connection has ended. */
static void tell_drivers(struct mob_raylet *r, const struct mob_error *why)
{
    Mobula__Refused m = MOBULA__REFUSED__INIT;
    struct mob_error told = *why;
    Mobula__Error error;
    struct process *p;

    if (why->code == MOB_OK)
        mob_error_set(&told, MOB_ERR_NODE_DIED, "node %u was %s", r->self.node, why->text);
    mob_wire_put_error(&error, &told);
    m.error = &error;
    for (size_t at = 0; (p = mob_map_next(&r->processes.by_number, &at, NULL)) != NULL;) {
        struct mob_envelope e;

        if (p->worker != NULL)
            continue;
        mob_envelope_init(&e, r->self, p->address, MOBULA__ENVELOPE__BODY_REFUSED);
        e.e.refused = &m;
        mob_route_send(r, &e.e);
    }
}

void mob_raylet_end(struct mob_raylet *r, const struct mob_error *why)
{
    if (r->over)
        return;
    r->over = true;
    if (why->code == MOB_OK)
        mob_info("this node has left: %s", why->text);
    else
        mob_warn("this node ends: %s", why->text);
    mob_pool_kill_all(r);
    tell_drivers(r, why);
    if (r->config.over != NULL)
        r->config.over(r->config.arg, why);
}

void mob_raylet_blame(struct mob_raylet *r, struct connection *c, const char *what)
{
    if (c->process != NULL)
        mob_warn("process %u (pid %u) %s: its connection is ended", c->process->address.process, c->process->pid, what);
    else if (c->peer != NULL)
        mob_warn("node %u %s: its connection is ended", c->peer->is.node, what);
    else
        mob_warn("%s %s: its connection is ended", c->kind == MOB_LINK_HEAD ? "the head" : "a stranger", what);
    mob_route_hang_up(r, c);
}

/* -- facts --------------------------------------------------------------------------------------------------------------- */

void mob_raylet_link_up(struct mob_raylet *r, uint64_t link, enum mob_link_kind kind)
{
    struct connection *c;

    r->now = r->world->now_ns(r->world);
    if (r->over)
        return;
    c = mob_route_up(r, link, kind);
    if (c->kind == MOB_LINK_HEAD && !c->ended)
        mob_membership_up(r, c);
}

void mob_raylet_receive(struct mob_raylet *r, uint64_t link, const void *frame, size_t size)
{
    struct connection *c = mob_route_connection(r, link);

    if (r->over || c == NULL)
        return;
    r->now = r->world->now_ns(r->world);
    mob_dispatch(r, c, frame, size);
}

void mob_raylet_link_lost(struct mob_raylet *r, uint64_t link, const struct mob_error *why)
{
    static const struct mob_error unknown = { .code = MOB_ERR_UNREACHABLE, .text = "no reason is known" };

    r->now = r->world->now_ns(r->world);
    mob_route_lost(r, link, why != NULL ? why : &unknown);
}

void mob_raylet_channel(struct mob_raylet *r, uint32_t worker, struct mob_channel *channel)
{
    struct process *p = mob_process_find(r, worker);

    if (p == NULL || p->worker == NULL || p->worker->channel != NULL) {
        mob_channel_close(channel);
        return;
    }
    r->now = r->world->now_ns(r->world);
    p->worker->channel = channel;
    if (p->worker->machine.now == WORKER_LENT && p->worker->lease->proxy != NULL)
        mob_proxy_pump(r, p->worker->lease->proxy);
}

void mob_raylet_drain(struct mob_raylet *r)
{
    struct proxy *p;

    r->now = r->world->now_ns(r->world);
    if (r->over)
        return;
    /* To look into each ring with tasks under way is one load: cheaper than to know whose bit was dirty. */
    mob_list_each(p, &r->proxies.all, struct proxy, link)
        if (p->flights.count > 0)
            mob_proxy_drain(r, p);
}

/* Views that readers let go send no message: look for them while anything waits for that. Owners hear of copies. */
static int64_t tick_store(struct mob_raylet *r)
{
    if (r->config.store == NULL)
        return INT64_MAX;
    mob_store_flush(r->config.store);
    if (mob_store_waits(r->config.store))
        r->store_look_at = earlier(r->store_look_at, r->now + STORE_LOOK_NS);
    else if (mob_store_idles(r->config.store))
        r->store_look_at = earlier(r->store_look_at, r->now + STORE_IDLE_NS);
    if (r->now >= r->store_look_at)
        r->store_look_at = mob_store_tick(r->config.store, r->now);
    return r->store_look_at;
}

int64_t mob_raylet_tick(struct mob_raylet *r)
{
    int64_t next;

    if (r->over)
        return INT64_MAX;
    r->now = r->world->now_ns(r->world);
    next = mob_membership_tick(r);
    next = earlier(next, mob_routes_tick(r));
    next = earlier(next, mob_pool_tick(r));
    next = earlier(next, mob_pressure_tick(r));
    next = earlier(next, mob_cancel_tick(r));
    next = earlier(next, mob_proxies_tick(r));
    next = earlier(next, mob_recall_tick(r));
    next = earlier(next, mob_claim_tick(r));
    next = earlier(next, mob_near_tick(r));
    next = earlier(next, mob_polls_tick(r));
    next = earlier(next, tick_store(r));
    mob_seeks_tick(r);
    mob_stages_tick(r);
    mob_full_look(r);                   /* whose argument found no room is told that before its lease is asked back */
    mob_moves_tick(r);
    next = earlier(next, mob_drain_tick(r));
    mob_demand_flush(r);
    return earlier(next, mob_report_tick(r));
}

/* -- asked --------------------------------------------------------------------------------------------------------------- */

const struct mob_peer *mob_raylet_peer(const struct mob_raylet *r, uint32_t node)
{
    const struct peer *peer = mob_route_peer(r, node);

    return peer == NULL ? NULL : &peer->is;
}

static bool was_gone_before(const struct mob_raylet *r, uint32_t node)
{
    return node != r->self.node && mob_route_peer(r, node) == NULL && mob_membership_was_told(r, node);
}

enum mob_reach mob_raylet_reach(const struct mob_raylet *r, uint32_t node)
{
    const struct peer *peer = mob_route_peer(r, node);

    if (was_gone_before(r, node))
        return MOB_REACH_DEAD;
    if (peer == NULL || peer->is.ip[0] == '\0' || (peer->is.alive && peer->is.bulk_port == 0))
        return MOB_REACH_NOT_YET;
    return peer->is.alive ? MOB_REACH_UP : MOB_REACH_DEAD;
}

void mob_raylet_mourn(const struct mob_raylet *r, uint32_t node, struct mob_error *ret_why)
{
    const struct peer *peer = mob_route_peer(r, node);

    if (peer == NULL) {
        mob_error_set(ret_why, MOB_ERR_NODE_DIED, "it was gone before node %u, which asks for it, heard of it", r->self.node);
        return;
    }
    mob_error_set(ret_why, MOB_ERR_NODE_DIED, "it (%s, %s) has died: %s", peer->is.host, peer->is.ip,
                  peer->is.died != NULL ? peer->is.died : "nobody said how");
    mob_copy(ret_why->node, sizeof ret_why->node, peer->is.ip);
}

struct mob_address mob_raylet_self(const struct mob_raylet *r)
{
    return r->self;
}

size_t mob_raylet_queued(const struct mob_raylet *r, struct mob_address to)
{
    return mob_route_queued(r, to);
}

void mob_raylet_send(struct mob_raylet *r, const Mobula__Envelope *e)
{
    struct mob_address to = mob_wire_address(e->to);

    if (mob_address_eq(to, r->self) && e->body_case == MOBULA__ENVELOPE__BODY_FETCHED) {
        mob_stage_fetched(r, e->fetched);
        mob_move_fetched(r, e->fetched);
    } else if (!r->over) {
        mob_route_send(r, e);
    }
}
