/* SPDX-License-Identifier: Apache-2.0 */
/* audit.c -- looks into a raylet's books, for check.c to compare them with what really runs. */
#include "audit.h"

#include "raylet/core.h"

bool audit_lent(const struct mob_raylet *r, uint32_t process, struct audit_lent *ret)
{
    const struct process *p = mob_process_find(r, process);

    if (p == NULL || p->worker == NULL || p->worker->machine.now == WORKER_ENDING || r->over)
        return false;
    *ret = (struct audit_lent){ 0 };
    if (p->worker->lease != NULL) {
        ret->lease = p->worker->lease->number;
        ret->cpu = mob_resources_get(&p->worker->lease->share.held, "CPU");
        ret->owner = mob_lease_owner(p->worker->lease);
    }
    return true;
}

bool audit_sleeps(const struct mob_raylet *r, uint32_t process)
{
    const struct process *p = mob_process_find(r, process);

    return p != NULL && p->worker != NULL && p->worker->machine.now == WORKER_BLOCKED && p->worker->lease->proxy != NULL;
}

bool audit_knows(const struct mob_raylet *r, uint64_t lease, struct mob_address owner)
{
    const struct lease *l = mob_map_get(&r->leases.by_number, lease);

    return l != NULL && mob_address_eq(mob_lease_owner(l), owner);
}

size_t audit_leases(const struct mob_raylet *r, struct audit_lease *ret, size_t room)
{
    const struct lease *l;
    size_t count = 0;

    mob_list_each(l, &r->leases.held, const struct lease, in_line)
        if (count < room)
            ret[count++] = (struct audit_lease){ .number = l->number, .owner = mob_lease_owner(l) };
    return count;
}

bool audit_buried(const struct mob_raylet *r, uint32_t node)
{
    const struct peer *peer = mob_route_peer(r, node);

    return peer != NULL && !peer->is.alive;
}

uint64_t audit_next_lease(const struct mob_raylet *r)
{
    return r->leases.next;
}

uint64_t audit_owed_elsewhere(const struct mob_raylet *r)
{
    uint64_t owed = 0;
    struct want *w;

    mob_list_each(w, &r->wants.all, struct want, all)
        owed += w->wanter->process == NULL ? w->outstanding : 0;
    return owed;
}

/* Nothing of the pair waits to be said. */
static bool is_in_touch(const struct mob_raylet *r, const struct mob_raylet *with)
{
    const struct peer *peer = mob_route_peer(r, with->self.node);

    return peer != NULL && peer->is.alive && peer->out != NULL && !peer->was_reset && mob_list_empty(&peer->queued);
}

static bool follows(const struct mob_raylet *r, uint64_t generation)
{
    return r->membership.registered && r->membership.generation == generation;
}

bool audit_mistakes(const struct mob_raylet *r, uint64_t generation, uint32_t node, const char *ip, uint32_t port)
{
    const struct peer *peer = mob_route_peer(r, node);
    bool elsewhere = peer != NULL && peer->is.port != 0 && (peer->is.port != port || strcmp(peer->is.ip, ip) != 0);

    return follows(r, generation) && (r->self.node == node || elsewhere);
}

bool audit_waits_in_vain(const struct mob_raylet *r, const struct mob_raylet *lender, uint64_t generation)
{
    struct want *w;

    if (!is_in_touch(r, lender) || !is_in_touch(lender, r) || !follows(r, generation) || !follows(lender, generation))
        return false;
    mob_list_each(w, &r->wants.all, struct want, all) {
        uint32_t waits = w->wanter->process != NULL ? mob_demand_placed_at(w, lender->self.node) : 0;
        const struct want *placed = waits > 0 ? mob_want_find(lender, w->wanter->address, w->number) : NULL;

        if (waits > (placed != NULL ? placed->outstanding - placed->claimed : 0))
            return true;
    }
    return false;
}

bool audit_lends_in_vain(const struct mob_raylet *lender, const struct mob_raylet *r)
{
    const struct peer *peer = mob_route_peer(r, lender->self.node);
    const struct lease *l;

    if (!is_in_touch(r, lender) || !is_in_touch(lender, r))
        return false;
    mob_list_each(l, &lender->leases.held, const struct lease, in_line)
        if (mob_lease_owner(l).node == r->self.node && mob_map_get(&peer->borrowed, l->number) == NULL)
            return true;
    return false;
}

static uint64_t key_of(const struct want *w)
{
    return mob_address_key(w->wanter->address) * UINT64_C(0x9e3779b97f4a7c15) ^ (w->number + 1);
}

void audit_reserve(const struct mob_raylet *r, struct audit_reserve *ret)
{
    const struct want *w = r->wants.reserver;

    *ret = (struct audit_reserve){ .leases = r->leases.next };
    if (w != NULL)
        *ret = (struct audit_reserve){ .key = key_of(w), .depth = w->depth, .since = w->since, .leases = r->leases.next };
}

/* Was it made since for one that is not deeper, and waited for less long? */
static bool is_behind(const struct audit_reserve *then, const struct lease *l)
{
    return l->number > then->leases && l->want->depth <= then->depth && l->asked_since > then->since;
}

bool audit_overtaken(const struct mob_raylet *r, const struct audit_reserve *then)
{
    const struct want *reserver = r->wants.reserver;
    struct lease *l;

    if (reserver == NULL || key_of(reserver) != then->key || reserver->since != then->since)
        return false;
    for (size_t at = 0; (l = mob_map_next(&r->leases.by_number, &at, NULL)) != NULL;)
        for (uint32_t i = 0; is_behind(then, l) && i < reserver->shape.resources.count; i++) {
            const struct mob_resource *ask = &reserver->shape.resources.of[i];
            if (mob_resources_get(&l->want->shape.resources, ask->name) > 0
                && mob_resources_get(&r->resources.free, ask->name) < ask->units)
                return true;
        }
    return false;
}

bool audit_job_gone(const struct mob_raylet *r, struct mob_address job)
{
    const struct process *p;
    struct want *w;

    for (size_t at = 0; (p = mob_map_next(&r->processes.by_number, &at, NULL)) != NULL;)
        if (mob_address_eq(p->job, job))
            return false;
    mob_list_each(w, &r->wants.all, struct want, all)   /* leases are of wants */
        if (mob_address_eq(w->shape.job, job))
            return false;
    return true;
}
