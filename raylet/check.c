/* SPDX-License-Identifier: Apache-2.0 */
/* check.c -- what must be true between any two facts. Written from the rules, not from the code that keeps them. */
#include "raylet/core.h"

/* Resources: what leases hold and what is free make what the node owns; only CPU may be overdrawn. */
static void check_resources(const struct mob_raylet *r)
{
    const struct node_resources *n = &r->resources;
    int64_t gpu_lent[MOB_GPUS_MAX] = { 0 };
    struct mob_resources sum = n->free;
    struct lease *l;

    for (size_t at = 0; (l = mob_map_next(&r->leases.by_number, &at, NULL)) != NULL;) {
        mob_resources_add(&sum, &l->share.held);
        for (uint32_t i = 0; i < l->share.gpu_count; i++)
            gpu_lent[l->share.gpu_at[i]] += l->share.gpu_units;
    }
    for (uint32_t i = 0; i < sum.count; i++)
        assert(sum.of[i].units == mob_resources_get(&n->owned, sum.of[i].name));
    for (uint32_t i = 0; i < n->free.count; i++)
        assert(n->free.of[i].units >= 0 || strcmp(n->free.of[i].name, "CPU") == 0);
    for (uint32_t i = 0; i < n->gpu_count; i++)
        assert(gpu_lent[i] + n->gpu_free[i] == MOB_UNITS);
}

/* One holder a lease, one lease a worker. */
static void check_leases(const struct mob_raylet *r)
{
    uint32_t recalled = 0;
    struct lease *l;

    for (size_t at = 0; (l = mob_map_next(&r->leases.by_number, &at, NULL)) != NULL;) {
        assert(l->machine.now != LEASE_OVER);
        assert((l->worker == NULL) == (l->machine.now == LEASE_MATCHING));
        assert(l->worker == NULL || l->worker->lease == l);
        assert(l->machine.now == LEASE_ENDING || l->worker == NULL || l->worker->machine.now == WORKER_LENT
               || l->worker->machine.now == WORKER_BLOCKED);
        recalled += l->machine.now == LEASE_RECALLED;
    }
    assert(recalled == r->leases.recalled);
}

static void check_want(const struct mob_raylet *r, const struct want *w)
{
    uint32_t making = 0, held = 0, recalled = 0, placed = 0;
    struct lease *l;

    mob_list_each(l, &w->leases, struct lease, of_want) {
        making += l->machine.now == LEASE_MATCHING;
        held += l->machine.now == LEASE_HELD || l->machine.now == LEASE_RECALLED;
        recalled += l->machine.now == LEASE_RECALLED;
    }
    for (size_t i = 0; i < w->demand.placed_count; i++)
        placed += w->demand.placed[i].count;
    assert(making == w->making && held == w->held && recalled == w->recalled && placed == w->demand.placed_sum);
    assert(w->making <= w->outstanding);
    assert((w->claimed > 0) == (w == r->claim.want));
    assert(w->wanter->process != NULL || w->claimed <= w->outstanding);
    assert(w->counted == mob_want_servable(w));
    assert((w->counted > 0) == !mob_list_empty(&w->queued));
    assert(w->wanter->process == NULL || w->wanter->process == mob_process_find(r, w->wanter->address.process));
}

/* Something is set aside only for a want that waits here and has nothing. */
static void check_reserver(const struct mob_raylet *r)
{
    const struct want *w = r->wants.reserver;

    assert((w != NULL) == (r->wants.aside.count > 0));
    if (w == NULL)
        return;
    assert(w->counted > 0 && w->held + w->making == 0);
    assert(mob_resources_eq(&w->shape.resources, &r->wants.aside));
}

static void check_wants(const struct mob_raylet *r)
{
    uint32_t queued = 0, placed_queued = 0;
    struct want *w;

    mob_list_each(w, &r->wants.all, struct want, all) {
        check_want(r, w);
        queued += w->counted;
        placed_queued += w->wanter->process == NULL ? w->counted : 0;
    }
    assert(queued == r->wants.queued && placed_queued == r->wants.placed_queued);
}

static void check_kind(const struct kind *k, uint32_t seen[WORKER_GONE])
{
    uint32_t waiting = 0, starting = 0, general = 0;
    struct lease *l;
    struct worker *w;

    mob_list_each(l, &k->waiting, struct lease, in_line) {
        assert(l->machine.now == LEASE_MATCHING && l->want->kind == k);
        waiting += l->share.gpu_count == 0;
    }
    mob_list_each(w, &k->workers, struct worker, of_kind) {
        assert(w->machine.now < WORKER_GONE && w->process->worker == w && w->kind == k);
        assert(w->lease == NULL || w->machine.now == WORKER_STARTING || w->lease->worker == w);
        assert((w->machine.now != WORKER_LENT && w->machine.now != WORKER_BLOCKED) || w->lease != NULL);
        assert(w->machine.now != WORKER_IDLE || w->lease == NULL);
        seen[w->machine.now]++;
        starting += w->machine.now == WORKER_STARTING && !w->for_one;
        general += !w->for_one;
    }
    assert(waiting == k->waiting_count && starting == k->starting && general == k->general);
    assert(waiting == 0 || mob_list_empty(&k->idle));   /* nobody waits beside an idle worker */
}

static void check_pool(const struct mob_raylet *r)
{
    uint32_t seen[WORKER_GONE] = { 0 }, alive = 0, failing = 0;
    struct kind *k;

    for (size_t at = 0; (k = mob_map_next(&r->pool.kinds, &at, NULL)) != NULL;) {
        check_kind(k, seen);
        failing += k->failures > 0;
    }
    assert(failing == r->pool.failing);
    for (int i = 0; i < WORKER_GONE; i++)
        alive += seen[i];
    assert(alive == r->pool.alive && seen[WORKER_BLOCKED] == r->pool.blocked);
    assert(seen[WORKER_STARTING] == r->pool.starting_count && seen[WORKER_IDLE] == r->pool.idle_count);
    assert(r->pool.starting_count <= mob_node_resources_cpus(&r->resources));
}

/* Nothing is lent any more. */
static void check_drain(const struct mob_raylet *r)
{
    const struct want *w;

    mob_list_each(w, &r->wants.all, const struct want, all)
        assert(!r->drain.on || (!w->feasible && w->making == 0 && mob_list_empty(&w->queued)));
}

/* Nothing is lent but what was claimed. */
static void check_full(const struct mob_raylet *r)
{
    const struct want *w;

    mob_list_each(w, &r->wants.all, const struct want, all)
        assert(w->avoided == mob_full_avoids(r, &w->shape) && (!w->avoided || w->counted <= w->claimed));
}

void mob_raylet_check(const struct mob_raylet *r)
{
    check_drain(r);
    check_full(r);
    check_resources(r);
    check_leases(r);
    check_wants(r);
    check_reserver(r);
    check_pool(r);
    mob_stages_check(r);
}

bool mob_raylet_quiet(const struct mob_raylet *r)
{
    struct peer *peer;
    struct want *w;

    mob_list_each(w, &r->wants.all, struct want, all)
        if (w->outstanding > 0)
            return false;
    for (size_t at = 0; (peer = mob_map_next(&r->routes.peers, &at, NULL)) != NULL;)
        if (peer->borrowed.count > 0)
            return false;
    return r->claim.want == NULL && r->leases.by_number.count == 0 && !mob_questions_open(r);
}
