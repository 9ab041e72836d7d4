/* SPDX-License-Identifier: Apache-2.0 */
/* drain.c -- this node is to leave in good order: what others have begun here ends, what they need of it is somewhere else.
 *
 *   Drain --> nothing is lent any more, what is lent is asked back --> the last task ends, the last object is elsewhere, the last owner is
 *   not needed --> Report says "over" --> NodeDown from the head, and the raylet ends
 *
 * Wants of this node's own processes go to the head, as those that this node can never serve. Leases end as any that are recalled: after
 * the running task. Objects go to other nodes (move.c). What cannot go elsewhere are the objects that a process here owns: a worker that
 * is not idle, or is needed (docs/protocol.md, References), is waited for, and so is a driver. When the deadline is over nothing is waited
 * for: what still runs ends with the node, and is retried elsewhere as after a node's death.
 *
 * "Over" is said once and for all: nothing can come to a node without processes that do anything. It is said in each Report until the
 * head, or one that was started after it, answers.
 */
#include "raylet/drain.h"

#include "raylet/core.h"

#define LOOK_NS (50 * MS)
#define IDLE_NS (100 * MS)              /* so long a worker is idle before what its page says of its owner counts */

void mob_drain_init(struct mob_raylet *r)
{
    r->drain.deadline_at = r->drain.look_at = INT64_MAX;
}

/* -- the word -------------------------------------------------------------------------------------------------------------- */

static void end_making(struct mob_raylet *r, struct want *w)
{
    struct lease *l;

    mob_list_each(l, &w->leases, struct lease, of_want)
        mob_lease_unmake(r, l);         /* no-op of one that is granted */
}

static void stop_lending(struct mob_raylet *r)
{
    struct want *w;
    struct lease *l;

    mob_list_each(w, &r->wants.all, struct want, all) {
        end_making(r, w);
        mob_want_unfit(r, w);
    }
    mob_list_each(l, &r->leases.held, struct lease, in_line)
        mob_lease_recall(r, l);
}

void mob_drain_on_drain(struct mob_raylet *r, const struct arrival *a)
{
    const Mobula__Drain *m = a->e->drain;
    struct drain *d = &r->drain;
    int64_t most_ms = (INT64_MAX - r->now) / MS;

    d->force = m->force;
    if (m->number > d->number) {
        d->number = m->number;
        d->deadline_at = m->limited && m->deadline_ms < (uint64_t)most_ms ? r->now + (int64_t)m->deadline_ms * MS : INT64_MAX;
        d->look_at = r->now;
    }
    mob_moves_takers(r, m);
    if (d->on)
        return;
    d->on = true;
    mob_info("this node is to leave: it does no new work");
    stop_lending(r);
    mob_report_again(r);
}

/* -- what is left ---------------------------------------------------------------------------------------------------------- */

/* Those that others need. Returns how many have not been idle long enough to say. */
static uint32_t count_owners(const struct mob_raylet *r, struct drain_left *ret)
{
    uint32_t fresh = 0;
    struct process *p;

    for (size_t at = 0; (p = mob_map_next(&r->processes.by_number, &at, NULL)) != NULL;) {
        if (p->worker == NULL || p->worker->machine.now != WORKER_IDLE)
            continue;
        if (r->now - p->worker->since < IDLE_NS)
            fresh++;
        else
            ret->owners += mob_pool_is_needed(p->worker);
    }
    return fresh;
}

static struct drain_left count_left(struct mob_raylet *r)
{
    struct drain_left left = { .tasks = (uint32_t)r->leases.by_number.count, .drivers = r->processes.drivers };
    uint32_t fresh = count_owners(r, &left);

    if (r->config.store != NULL)
        mob_moves_look(r, &left);
    bool no_more = left.objects == 0 || (r->drain.force && left.refused == r->moves.count);
    left.late = r->now >= r->drain.deadline_at;
    left.over = left.late || (no_more && left.tasks + left.owners + left.drivers + fresh == 0);
    return left;
}

int64_t mob_drain_tick(struct mob_raylet *r)
{
    struct drain *d = &r->drain;

    if (!d->on || d->left.over)
        return INT64_MAX;
    if (r->now < d->look_at)
        return d->look_at;
    d->left = count_left(r);
    d->look_at = r->now + LOOK_NS;
    if (!d->left.over)
        return d->look_at;
    mob_info("this node may leave");
    mob_report_again(r);
    return INT64_MAX;
}

void mob_drain_put(const struct mob_raylet *r, Mobula__Draining *ret)
{
    const struct drain_left *left = &r->drain.left;

    mobula__draining__init(ret);
    ret->tasks = left->tasks;
    ret->objects = left->objects;
    ret->bytes = left->bytes;
    ret->owners = left->owners;
    ret->drivers = left->drivers;
    ret->over = left->over;
    ret->late = left->late;
    ret->number = r->drain.number;
    ret->force = r->drain.force;
}
