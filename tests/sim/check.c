/* SPDX-License-Identifier: Apache-2.0 */
/* check.c -- after each step: the invariants of the core that ran; of all, with few nodes or after a fault. At the end: nothing is left of anybody. */
#include "sim.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit.h"
#include "faults.h"
#include "head/core.h"
#include "stores.h"

#define FEW_NODES 5                     /* all of so few, without stores, is looked at after each step */
#define ALL_EACH_STEPS 256
#define BEHIND_NS_MAX (100 * SIM_MS)    /* twice as long as an owner waits, if it missed the word, until it looks */
#define GONE_MS_MAX 1000
#define UNKNOWN_MS_MAX 30000            /* silence of a machine, a freeze, slow links: the word of a death is there by then */

static void check_raylet(const struct raylet *r)
{
    mob_raylet_check(r->core);
    if (r->shelf != NULL)
        mob_store_check(r->shelf->store);
}

/* What is cancelled, and not claimed, comes back at once: the page of a worker can name but one. */
static void check_owner(const struct mob_owner *o)
{
    mob_owner_check(o);
    assert(!audit_leaves_cancelled(o));
}

static void check_actor(struct actor *a)
{
    if (!a->alive)
        return;
    if (a->kind == ACTOR_HEAD)
        mob_head_check(a->sim->head);
    else if (a->kind == ACTOR_RAYLET)
        check_raylet(MOB_CONTAINER(a, const struct raylet, a));
    else if (MOB_CONTAINER(a, struct process, a)->owner != NULL)
        check_owner(MOB_CONTAINER(a, struct process, a)->owner);
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

/* It may be lent to one who is dead, and nobody has heard of that yet. */
static bool has_owner(const struct process *worker)
{
    const struct host *h = worker->a.host;
    struct audit_lent lent;

    if (!audit_lent(worker->raylet->core, worker->number, &lent))
        return false;
    for (size_t i = 0; i < h->living_count; i++)
        if (mob_address_eq(h->living[i].process->self, lent.owner))
            return true;
    return lent.owner.node != worker->self.node;
}

/* The raylet leaves no task behind one that sleeps, for owners elsewhere; an owner on the node looks at the page of its worker again and
 * again, and does the same. */
static void check_asleep(const struct host *h)
{
    const struct sim *s = h->sim;

    for (size_t i = 0; i < h->living_count; i++) {
        struct process *p = h->living[i].process;
        bool behind = p->executor != NULL && atomic_load(&p->bell.page->state) == MOB_WORKER_BLOCKED && mob_executor_pending(p->executor);

        if (!behind)
            p->behind_since = 0;
        else if (p->behind_since == 0 || p->behind_since < h->frozen_until || p->unheard > 0)
            p->behind_since = s->now;
        if (!behind || !p->raylet->a.alive || !has_owner(p))
            continue;
        assert(!audit_sleeps(p->raylet->core, p->number));
        if (s->now - p->behind_since > BEHIND_NS_MAX) {
            fprintf(stderr, "process %u of node %u sleeps, and for %ld ms a task has stood behind the one that it runs\n", p->number,
                    p->self.node, (long)((s->now - p->behind_since) / SIM_MS));
            abort();
        }
    }
}

/* While a want reserves, nothing behind it takes what it waits for. */
static void check_reserve(struct raylet *r)
{
    if (r->reserve == NULL)
        r->reserve = sim_memory(r->a.sim, sizeof *r->reserve);
    assert(!audit_overtaken(r->core, r->reserve));
    audit_reserve(r->core, r->reserve);
}

static const struct raylet *raylet_of_node(const struct sim *s, uint32_t node)
{
    for (unsigned i = 1; i <= s->config.nodes; i++) {
        if (s->hosts[i].raylet != NULL && s->hosts[i].raylet->node == node)
            return s->hosts[i].raylet;
    }
    return NULL;
}

/* The tasks of a lease that its lender does not have, or that is dead: word of it is under way, or they are lost. */
static void check_pushed(struct sim *s, const struct process *p)
{
    struct audit_pushed pushed[64];
    size_t count = audit_pushed(p->owner, pushed, MOB_COUNT(pushed));

    for (size_t i = 0; i < count; i++) {
        const struct raylet *lender = raylet_of_node(s, pushed[i].node);
        uint64_t key = (uint64_t)p->pid << 40 ^ (uint64_t)pushed[i].node << 32 ^ pushed[i].lease;
        uintptr_t since_ms = (uintptr_t)mob_map_get(&s->unknown, key);

        if (lender != NULL && audit_knows(lender->core, pushed[i].lease, p->self)) {
            mob_map_remove(&s->unknown, key);
        } else if (since_ms == 0) {
            mob_map_set(&s->unknown, key, (void *)(uintptr_t)(s->now / SIM_MS));
        } else if (s->now / SIM_MS - (int64_t)since_ms > UNKNOWN_MS_MAX) {
            fprintf(stderr, "lease %lu of node %u, where process %u of node %u has tasks, is over, and it was not told\n",
                    (unsigned long)pushed[i].lease, pushed[i].node, p->self.process, p->self.node);
            abort();
        }
    }
}

/* Does its owner, on the node of r, live and know of it? */
static bool is_owned(const struct raylet *r, const struct audit_lease *l, uint32_t lender)
{
    for (size_t i = 0; i < r->a.host->living_count; i++) {
        const struct process *p = r->a.host->living[i].process;

        if (p->raylet == r && p->self.process == l->owner.process)
            return p->owner != NULL && audit_leased(p->owner, lender, l->number);
    }
    return false;
}

/* Where nothing goes wrong any more, nobody lends for long to one who is gone, or knows of no lease. */
static void check_lent(struct sim *s, const struct raylet *r)
{
    struct audit_lease leases[64];
    size_t count = audit_leases(r->core, leases, MOB_COUNT(leases));

    for (size_t i = 0; i < count; i++) {
        const struct raylet *of = raylet_of_node(s, leases[i].owner.node);
        uint64_t key = UINT64_C(1) << 63 | (uint64_t)r->node << 32 | leases[i].number;
        uintptr_t since_ms = (uintptr_t)mob_map_get(&s->unknown, key);

        if (s->now < faults_over(s) || of == NULL || is_owned(of, &leases[i], r->node)) {
            mob_map_remove(&s->unknown, key);
        } else if (since_ms == 0) {
            mob_map_set(&s->unknown, key, (void *)(uintptr_t)(s->now / SIM_MS));
        } else if (s->now / SIM_MS - (int64_t)since_ms > GONE_MS_MAX) {
            fprintf(stderr, "lease %lu of node %u is lent to process %u of node %u, which is gone, or knows nothing of it\n",
                    (unsigned long)leases[i].number, r->node, leases[i].owner.process, of->node);
            abort();
        }
    }
}

/* NULL: it is gone, or its node is to one of the two. */
static const struct process *owner_of(const struct sim *s, const struct process *p, struct mob_address is)
{
    const struct raylet *r = raylet_of_node(s, is.node);

    if (r == NULL || audit_buried(r->core, p->self.node) || audit_buried(p->raylet->core, is.node))
        return NULL;
    for (size_t i = 0; i < r->a.host->living_count; i++) {
        const struct process *owner = r->a.host->living[i].process;

        if (owner->raylet == r && owner->self.process == is.process && owner->owner != NULL)
            return owner;
    }
    return NULL;
}

/* Whoever is on a lease that goes on is sent a signal for a Cancel: of what it runs now, and no other. */
void check_signal(const struct process *p)
{
    const struct mob_page *page = p->bell.page;
    const struct process *owner;
    struct audit_lent lent;

    if (!audit_lent(p->raylet->core, p->number, &lent) || lent.lease == 0
        || (owner = owner_of(p->a.sim, p, lent.owner)) == NULL)
        return;
    assert(atomic_load(&page->claimed_ns) != 0);
    assert(!audit_counts_on(owner->owner, p->self.node, lent.lease, atomic_load(&page->task)));
}

/* Who gave it says of its owner's node that it is dead, and asked it for nothing any more. */
static bool was_given_in_vain(const struct sim *s, const struct audit_ticket *t)
{
    const struct raylet *issuer = raylet_of_node(s, t->issuer.node);

    return issuer != NULL && audit_buried(issuer->core, t->id.node);
}

/* What a process holds, its owner has in its books. One may hold what is gone if a process died: who has the value of one that is dead still
 * reads the names in it, and nobody pins for them any more. */
static void check_held(const struct sim *s, const struct process *p)
{
    struct audit_ticket tickets[256];
    size_t count = audit_tickets(p->owner, tickets, MOB_COUNT(tickets));

    for (size_t i = 0; i < count; i++) {
        const struct process *owner = owner_of(s, p, (struct mob_address){ tickets[i].id.node, tickets[i].id.process });
        enum audit_hold hold = owner != NULL ? audit_hold(owner->owner, &tickets[i]) : AUDIT_HELD;
        char name[MOB_OBJECT_NAME_SIZE];

        if (hold == AUDIT_HELD || (hold == AUDIT_UNKNOWN && s->misfortunes > 0) || was_given_in_vain(s, &tickets[i]))
            continue;
        fprintf(stderr, "process %u of node %u has %s by ticket %lu of %u.%u, and its owner does not know\n", p->self.process, p->self.node,
                mob_object_id_name(&tickets[i].id, name), (unsigned long)tickets[i].ticket, tickets[i].issuer.node,
                tickets[i].issuer.process);
        abort();
    }
}

/* With nothing under way between them, a raylet lends the other's processes nothing that this one does not know of. And with nothing from the
 * head, either, it waits there for nothing that the lender does not have. */
static void check_lender(const struct sim *s, const struct raylet *r, const struct raylet *lender)
{
    if (!links_are_quiet(&r->a, &lender->a))
        return;
    assert(!audit_lends_in_vain(lender->core, r->core));
    if (s->head != NULL && links_are_quiet(&lender->a, s->head_actor) && links_are_quiet(&r->a, s->head_actor))
        assert(!audit_waits_in_vain(r->core, lender->core, s->head->config.generation));
}

/* Who has not heard of a death keeps nobody for dead: it would refuse that one for good. A head whose state has lost a death hears it again. */
static void check_buried(const struct sim *s, const struct raylet *r, const struct raylet *other)
{
    const struct node *n = s->head != NULL ? mob_head_node_find(s->head, other->node) : NULL;

    assert(n == NULL || node_is_gone(n) || s->head_forgot || !audit_buried(r->core, other->node));
}

static void check_lenders(const struct sim *s, const struct raylet *r)
{
    for (unsigned i = 1; i <= s->config.nodes; i++)
        if (s->hosts[i].raylet != NULL && s->hosts[i].raylet != r) {
            check_lender(s, r, s->hosts[i].raylet);
            check_buried(s, r, s->hosts[i].raylet);
        }
}

static void check_all(struct sim *s)
{
    struct actor *a;

    mob_list_each(a, &s->actors, struct actor, link)
        check_actor(a);
    for (unsigned i = 1; i <= s->config.nodes; i++) {
        struct process *p;

        if (s->hosts[i].raylet != NULL && s->steps % ALL_EACH_STEPS == 0)
            check_lent(s, s->hosts[i].raylet);
        if (s->hosts[i].raylet != NULL)
            check_lenders(s, s->hosts[i].raylet);
        mob_list_each(p, &s->hosts[i].processes, struct process, by_host) {
            if (!p->a.alive || p->owner == NULL || !p->raylet->a.alive)
                continue;
            check_pushed(s, p);
            if (s->config.stores)
                check_held(s, p);
        }
    }
}

void check_step(struct sim *s)
{
    struct actor *a = s->stepped;

    if (s->config.unchecked)
        return;
    if (a != NULL)
        check_actor(a);
    if (a != NULL && a->alive)
        check_asleep(a->host);
    if (a != NULL && a->kind == ACTOR_RAYLET && a->alive) {
        check_running(MOB_CONTAINER(a, struct raylet, a));
        check_reserve(MOB_CONTAINER(a, struct raylet, a));
    }
    if ((s->config.nodes <= FEW_NODES && !s->config.stores) || s->steps % ALL_EACH_STEPS == 0 || s->misfortunes != s->checked_misfortunes)
        check_all(s);
    s->checked_misfortunes = s->misfortunes;
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

static bool has_registered(const struct sim *s, const struct raylet *r)
{
    const struct node *n = s->head != NULL ? mob_head_node_find(s->head, r->node) : NULL;

    return n != NULL && memcmp(n->facts.incarnation, r->config.incarnation, sizeof n->facts.incarnation) == 0;
}

/* A number means one node to all that serve with it, though the head may have forgotten some. (Who is to hear yet that it is dead may have
 * the same number: nobody listens to it.) */
void check_number(const struct raylet *r, uint32_t node)
{
    const struct sim *s = r->a.sim;

    for (unsigned i = 1; i <= s->config.nodes; i++) {
        const struct raylet *other = s->hosts[i].raylet;

        if (other != NULL && other != r && has_registered(s, other))
            assert(!audit_mistakes(other->core, s->head->config.generation, node, r->config.ip, r->config.port));
    }
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

void check_no_objects(const struct sim *s)
{
    for (unsigned i = 1; i <= s->config.nodes; i++) {
        const struct raylet *r = s->hosts[i].raylet;
        struct process *p;

        mob_list_each(p, &s->hosts[i].processes, struct process, by_host) {
            struct mob_owner_counts c;

            if (!p->a.alive || p->owner == NULL || !p->raylet->a.alive)
                continue;
            c = mob_owner_counts(p->owner);
            if (c.objects + c.held > 0)
                fprintf(stderr, "process %u of node %u has %lu objects and %lu holds, though nobody has a reference: %s\n", p->number,
                        p->self.node, (unsigned long)c.objects, (unsigned long)c.held, mob_owner_references(p->owner, 10));
            assert(c.objects == 0 && c.held == 0);
        }
        if (r != NULL)
            shelf_check_empty(r, true);
    }
}

void check_end(struct sim *s)
{
    assert(s->programs_running == 0);   /* every call ended */
    for (unsigned i = 1; i <= s->config.nodes; i++) {
        struct process *p;

        assert(s->hosts[i].raylet != NULL && s->hosts[i].raylet->node != 0);
        assert(mob_raylet_quiet(s->hosts[i].raylet->core));
        if (s->config.stores)
            shelf_check_empty(s->hosts[i].raylet, false);
        mob_list_each(p, &s->hosts[i].processes, struct process, by_host)
            assert(p->state == PROCESS_GONE);           /* no worker outlives its job */
    }
    check_head_empty(s);
    s->head_forgot = false;             /* it has been told of all by now */
    check_all(s);
}
