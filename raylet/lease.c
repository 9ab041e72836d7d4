/* SPDX-License-Identifier: Apache-2.0 */
/* lease.c -- one lease, from the resources it takes to the resources it gives back.
 *
 *   MATCHING --> HELD --> RECALLED
 *      |          |          |  '------.
 *      |          '----------+-------. |
 *      v                     v       v v
 *     OVER <----------------'------ ENDING
 *
 *   MATCHING  has its resources; waits for a worker (pool.c), or to be wanted no more
 *   HELD      granted; waits for Return, or for the end of its owner or worker
 *   RECALLED  the same, after the owner was asked for it
 *   ENDING    its worker was told to die: waits until that is reaped, for a dying process still uses memory and GPUs
 *   OVER      gives back the resources, once, and frees the lease
 *
 * A worker with GPUs serves one lease: after Return it is ended, and the lease waits in ENDING for its indices.
 */
#include "raylet/lease.h"

#include <stdlib.h>

#include "raylet/core.h"

#define UNUSED_NS (1 * MS)              /* returned sooner: nothing ran */

static const struct mob_state lease_states[] = {
    [LEASE_MATCHING] = { "matching", NULL, MOB_TO(LEASE_HELD) | MOB_TO(LEASE_OVER) },
    [LEASE_HELD]     = { "held",     NULL, MOB_TO(LEASE_RECALLED) | MOB_TO(LEASE_ENDING) | MOB_TO(LEASE_OVER) },
    [LEASE_RECALLED] = { "recalled", NULL, MOB_TO(LEASE_ENDING) | MOB_TO(LEASE_OVER) },
    [LEASE_ENDING]   = { "ending",   NULL, MOB_TO(LEASE_OVER) },
    [LEASE_OVER]     = { "over",     NULL, 0 },
};

static bool lease_holds(const struct mob_machine *m)
{
    const struct lease *l = MOB_CONTAINER(m, struct lease, machine);

    if (m->now == LEASE_HELD || m->now == LEASE_RECALLED)
        return l->worker != NULL && l->worker->lease == l;
    return m->now != LEASE_OVER || (l->share.held.count == 0 && l->worker == NULL);
}

void mob_leases_init(struct mob_raylet *r)
{
    mob_list_init(&r->leases.held);
}

void mob_leases_fini(struct mob_raylet *r)
{
    struct lease *l;

    for (size_t at = 0; (l = mob_map_next(&r->leases.by_number, &at, NULL)) != NULL;) {
        if (l->proxy != NULL)
            mob_proxy_destroy(r, l->proxy);
        free(l);
    }
    mob_map_fini(&r->leases.by_number);
}

struct mob_address mob_lease_owner(const struct lease *l)
{
    return l->want->wanter->address;
}

struct lease *mob_lease_of(const struct mob_raylet *r, uint64_t number, struct mob_address owner)
{
    struct lease *l = mob_map_get(&r->leases.by_number, number);

    if (l == NULL || (l->machine.now != LEASE_HELD && l->machine.now != LEASE_RECALLED)
        || !mob_address_eq(mob_lease_owner(l), owner))
        return NULL;
    return l;
}

/* -- matching ------------------------------------------------------------------------------------------------------------ */

bool mob_lease_make(struct mob_raylet *r, struct want *w)
{
    struct share share;
    struct lease *l;

    if (mob_pressure_holds(r) || !mob_pool_may_lend(r, w->kind) || !mob_node_resources_take(&r->resources, &w->shape.resources, &share))
        return false;
    l = mob_new(struct lease);
    l->number = ++r->leases.next;
    l->want = w;
    l->share = share;
    l->asked_since = w->since;
    l->last_resort = w->avoided;
    mob_machine_init(&l->machine, "lease", l->number, lease_states, LEASE_MATCHING, lease_holds);
    mob_list_init(&l->in_line);
    mob_list_append(&w->leases, &l->of_want);
    mob_map_set(&r->leases.by_number, l->number, l);
    w->making++;
    if (w->wanter->process != NULL && !mob_claim_made(r, w))
        mob_demand_unplace(r, w, r->self.node, 1);      /* what the head placed here is used up now, not when the worker is there */
    mob_want_served(r, w);
    mob_pool_match(r, l);
    return true;
}

/* Not held any more: returned, or its worker ends. */
static void unhold(struct mob_raylet *r, struct lease *l)
{
    if (l->machine.now == LEASE_RECALLED) {
        r->leases.recalled--;
        l->want->recalled--;
    }
    l->want->held--;
    mob_list_remove(&l->in_line);
}

/* Nobody holds it, no worker serves it. The want may go with it. */
static void over(struct mob_raylet *r, struct lease *l)
{
    struct want *w = l->want;

    mob_node_resources_give(&r->resources, &l->share);
    mob_machine_goto(&l->machine, LEASE_OVER);
    if (l->proxy != NULL)
        mob_proxy_destroy(r, l->proxy);
    mob_list_remove(&l->of_want);
    mob_map_remove(&r->leases.by_number, l->number);
    free(l);
    mob_want_release(r, w);
}

void mob_lease_unmake(struct mob_raylet *r, struct lease *l)
{
    struct want *w = l->want;

    if (l->machine.now != LEASE_MATCHING)
        return;
    mob_pool_unmatch(r, l);
    w->making--;
    mob_node_resources_give(&r->resources, &l->share);
    mob_machine_goto(&l->machine, LEASE_OVER);
    mob_list_remove(&l->of_want);
    mob_map_remove(&r->leases.by_number, l->number);
    free(l);
    mob_want_changed(r, w);
}

/* -- held ---------------------------------------------------------------------------------------------------------------- */

static void say_assign(struct mob_raylet *r, const struct lease *l)
{
    Mobula__Assign m = MOBULA__ASSIGN__INIT;
    Mobula__Address owner, real_owner;
    Mobula__Resource resources[MOB_RESOURCES_MAX], *resource_list[MOB_RESOURCES_MAX];
    uint32_t gpus[MOB_GPUS_MAX];
    struct mob_envelope e;

    mob_wire_put_address(&owner, l->proxy != NULL ? r->self : mob_lease_owner(l));
    mob_wire_put_address(&real_owner, mob_lease_owner(l));
    m.epoch = l->epoch;
    m.owner = &owner;
    m.lease = l->number;
    m.n_resources = mob_wire_put_resources(resources, resource_list, &l->share.held);
    m.resources = resource_list;
    m.n_gpus = mob_node_resources_gpus(&r->resources, &l->share, gpus);
    m.gpus = gpus;
    m.real_owner = &real_owner;
    m.depth = l->want->depth;
    mob_envelope_init(&e, r->self, l->worker->process->address, MOBULA__ENVELOPE__BODY_ASSIGN);
    e.e.assign = &m;
    mob_route_send(r, &e.e);
}

static void say_grant(struct mob_raylet *r, const struct lease *l, bool claimed)
{
    Mobula__Grant m = MOBULA__GRANT__INIT;
    Mobula__Address worker;
    uint32_t gpus[MOB_GPUS_MAX];
    struct mob_envelope e;

    mob_wire_put_address(&worker, l->worker->process->address);
    m.shape = l->want->number;
    m.lease = l->number;
    m.claimed = claimed;
    m.place_seq = l->want->place_seq;
    m.worker = &worker;
    m.epoch = l->epoch;
    m.window_tasks = WINDOW_TASKS;
    m.window_bytes = WINDOW_BYTES;
    m.ip = r->config.ip;
    m.pid = l->worker->process->pid;
    m.n_gpus = mob_node_resources_gpus(&r->resources, &l->share, gpus);
    m.gpus = gpus;
    mob_envelope_init(&e, r->self, mob_lease_owner(l), MOBULA__ENVELOPE__BODY_GRANT);
    e.e.grant = &m;
    mob_route_send(r, &e.e);
}

void mob_lease_grant(struct mob_raylet *r, struct lease *l, struct worker *worker)
{
    struct want *w = l->want;
    struct mob_address owner = mob_lease_owner(l);

    l->worker = worker;
    l->epoch = mob_pool_lend(r, worker, l);
    l->held_since = r->now;
    mob_machine_goto(&l->machine, LEASE_HELD);
    mob_list_append(&r->leases.held, &l->in_line);
    if (owner.node != r->self.node)
        l->proxy = mob_proxy_create(r, l);
    mob_pressure_granted(r, l);
    mob_pool_connect(r, worker, l->proxy != NULL ? 0 : owner.process);
    say_assign(r, l);
    say_grant(r, l, mob_claim_granted(r, w));
    w->making--;
    w->held++;
    mob_want_granted(r, w);
}

void mob_lease_recall(struct mob_raylet *r, struct lease *l)
{
    Mobula__Recall m = MOBULA__RECALL__INIT;
    struct mob_envelope e;

    if (l->machine.now != LEASE_HELD)
        return;
    mob_machine_goto(&l->machine, LEASE_RECALLED);
    r->leases.recalled++;
    l->want->recalled++;
    m.lease = l->number;
    mob_envelope_init(&e, r->self, mob_lease_owner(l), MOBULA__ENVELOPE__BODY_RECALL);
    e.e.recall = &m;
    mob_route_send(r, &e.e);
}

void mob_lease_on_return(struct mob_raylet *r, const struct arrival *a)
{
    struct lease *l = mob_lease_of(r, a->e->return_lease->lease, a->from);
    struct worker *worker;

    if (l == NULL)
        return;
    worker = l->worker;
    if (l->share.gpu_count > 0) {
        mob_pool_retire(r, worker);     /* ENDING until it is reaped */
        return;
    }
    if (l->proxy == NULL && r->now - l->held_since < UNUSED_NS)
        mob_pool_disconnect(worker, a->from.process);
    unhold(r, l);
    worker->lease = NULL;
    l->worker = NULL;
    over(r, l);
    mob_pool_take_back(r, worker);
    mob_pool_start_next(r);
    mob_wants_serve(r);
}

/* -- ending -------------------------------------------------------------------------------------------------------------- */

void mob_lease_worker_ends(struct mob_raylet *r, struct lease *l)
{
    if (l->machine.now == LEASE_ENDING)
        return;
    unhold(r, l);
    mob_machine_goto(&l->machine, LEASE_ENDING);
}

void mob_lease_end(struct mob_raylet *r, struct lease *l, bool tell_owner, const struct mob_error *why)
{
    if (l->machine.now == LEASE_MATCHING) {
        mob_lease_unmake(r, l);
        return;
    }
    if (l->machine.now != LEASE_ENDING) {
        l->tell_owner = tell_owner;
        if (why != NULL)
            l->why = *why;
        mob_pool_doom(l->worker, tell_owner ? MOB_KILLED_BY_RAYLET : MOB_KILLED_BY_JOB);
    }
    if (!tell_owner)
        l->tell_owner = false;
    mob_pool_kill(r, l->worker);
}

void mob_lease_worker_gone(struct mob_raylet *r, struct lease *l)
{
    mob_lease_worker_ends(r, l);
    l->worker->lease = NULL;
    l->worker = NULL;
    over(r, l);
}

void mob_leases_end_of(struct mob_raylet *r, struct mob_address owner)
{
    struct wanter *wanter = mob_map_get(&r->wants.wanters, mob_address_key(owner));
    struct want *w;
    struct lease *l;

    if (wanter == NULL)
        return;
    for (size_t at = 0; (w = mob_map_next(&wanter->wants, &at, NULL)) != NULL;)
        mob_list_each(l, &w->leases, struct lease, of_want)
            mob_lease_end(r, l, false, NULL);
}

void mob_lease_on_owner_gone(struct mob_raylet *r, const struct arrival *a)
{
    struct lease *l = mob_map_get(&r->leases.by_number, a->e->lease_over->lease);

    if (l != NULL && l->machine.now != LEASE_MATCHING && a->from.process == 0 && mob_lease_owner(l).node == a->from.node) {
        l->owner_gone = true;
        mob_lease_end(r, l, false, NULL);
    }
}
