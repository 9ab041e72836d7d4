/* SPDX-License-Identifier: Apache-2.0 */
/* check.c -- after each step: the invariants of the core that ran, now and then of all. At the end: nothing is left of anybody. */
#include "sim.h"

#include <assert.h>

#include "audit.h"
#include "head/core.h"

#define ALL_EACH_STEPS 256

static void check_actor(struct actor *a)
{
    if (!a->alive)
        return;
    if (a->kind == ACTOR_HEAD)
        mob_head_check(a->sim->head);
    else if (a->kind == ACTOR_RAYLET)
        mob_raylet_check(MOB_CONTAINER(a, struct raylet, a)->core);
    else if (MOB_CONTAINER(a, struct process, a)->owner != NULL)
        mob_owner_check(MOB_CONTAINER(a, struct process, a)->owner);
}

/* What runs, runs on the lease that its raylet lent last, and the CPU of that lease is taken from what the node has. */
static void check_running(const struct raylet *r)
{
    struct process *p;

    mob_list_each(p, &r->a.host->processes, struct process, by_host) {
        const struct mob_executor_lease *l = p->a.alive && p->raylet == r ? work_running(p) : NULL;
        struct audit_lent lent;

        if (l == NULL || !audit_lent(r->core, p->number, &lent))
            continue;
        assert(lent.lease == l->lease);
        assert(lent.cpu == mob_resources_get(&l->resources, "CPU"));
    }
}

void check_step(struct sim *s)
{
    struct actor *a = s->stepped;

    if (a != NULL)
        check_actor(a);
    if (a != NULL && a->kind == ACTOR_RAYLET && a->alive)
        check_running(MOB_CONTAINER(a, struct raylet, a));
    if (s->steps % ALL_EACH_STEPS != 0)
        return;
    mob_list_each(a, &s->actors, struct actor, link)
        check_actor(a);
}

/* What runs at this moment on a host shares no GPU beyond the whole of it. */
void check_gpus(const struct host *h)
{
    int64_t used[SIM_GPUS] = { 0 };
    struct process *p;

    mob_list_each(p, &h->processes, struct process, by_host) {
        const uint32_t *gpus;
        size_t count;
        int64_t units;

        if (!p->a.alive || !work_gpus(p, &gpus, &count, &units))
            continue;
        for (size_t i = 0; i < count; i++) {
            assert(gpus[i] < SIM_GPUS);
            used[gpus[i]] += units;
        }
    }
    for (size_t i = 0; i < SIM_GPUS; i++)
        assert(used[i] <= MOB_UNITS);
}

/* A job that ended has no process, want or lease anywhere. */
void check_job_gone(const struct sim *s, struct mob_address job)
{
    for (unsigned i = 1; i <= s->config.nodes; i++)
        assert(audit_job_gone(s->hosts[i].raylet->core, job));
}

/* The head knows of no job, wants nothing for anyone, and sees all that is owned free again. */
static void check_head_empty(const struct sim *s)
{
    const struct mob_head *h = s->head;
    struct node *n;

    assert(h->demands.kinds.count == 0);
    assert(h->jobs.running_count == 0);
    assert(h->nodes.alive == s->config.nodes && h->nodes.cut_count == 0);
    mob_list_each(n, &h->nodes.heard, struct node, by_heard)
        assert(mob_resources_eq(&n->place.free, &n->place.total));
}

void check_end(struct sim *s)
{
    struct actor *a;

    assert(s->programs_running == 0);   /* every call ended */
    for (unsigned i = 1; i <= s->config.nodes; i++) {
        struct process *p;

        assert(s->hosts[i].raylet != NULL && s->hosts[i].raylet->node != 0);
        assert(mob_raylet_quiet(s->hosts[i].raylet->core));
        mob_list_each(p, &s->hosts[i].processes, struct process, by_host)
            assert(p->state == PROCESS_GONE);           /* no worker outlives its job */
    }
    check_head_empty(s);
    mob_list_each(a, &s->actors, struct actor, link)
        check_actor(a);
}
