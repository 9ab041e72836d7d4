/* SPDX-License-Identifier: Apache-2.0 */
/* near.c -- a shape's leases are asked first of the nodes that have the arguments of its tasks (docs/protocol.md, Leases).
 *
 * A look at the first tasks of the queue counts, for each node, those that have most bytes of their stored arguments there. These, and
 * the tasks that the leases at that node have already, say how many leases there could be used; what is missing to that number is asked
 * of the node: Want says so. For HOLD_NS from then on, the tasks that those leases would run are not given to leases elsewhere, which
 * would have to bring the arguments first. No more tasks are held than the wanted leases could run: when leases come from elsewhere
 * instead, fewer are wanted, and the tasks that this sets free go to them.
 *
 * Only if the strategy is HYBRID; a shape whose tasks have no stored arguments pays nothing.
 */
#include "worker/near.h"

#include <string.h>

#include "worker/core.h"

#define LOOKS 128                       /* tasks, each time */
#define HOLD_NS INT64_C(500000000)

void mob_owner_near_see(const struct mob_owner *o, struct task *t)
{
    t->has_stored = t->refs > 0 && mob_owner_body_near(o, t) != 0;
    t->shape->near.look |= t->has_stored;
}

void mob_owner_near_add(const struct mob_owner *o, struct task *t)
{
    mob_owner_near_see(o, t);
    t->shape->near.queued += t->has_stored;
}

void mob_owner_near_remove(const struct mob_owner *o, struct task *t)
{
    struct near *n = &t->shape->near;

    if (!t->has_stored)
        return;
    n->queued--;
    for (uint32_t i = 0, node = n->count > 0 ? mob_owner_body_near(o, t) : 0; i < n->count; i++)
        if (n->of[i].node == node && n->of[i].tasks > 0)
            n->of[i].tasks--;
}

static struct near_node *find(struct near *n, uint32_t node)
{
    for (uint32_t i = 0; i < n->count; i++)
        if (n->of[i].node == node)
            return &n->of[i];
    return NULL;
}

/* NULL: there are enough others, or it is none. */
static struct near_node *make(struct near *n, uint32_t node)
{
    struct near_node *found = find(n, node);

    if (found != NULL || node == 0 || n->count == MOB_NEAR_MAX)
        return found;
    n->of[n->count] = (struct near_node){ .node = node };
    return &n->of[n->count++];
}

static void tally_queue(const struct mob_owner *o, struct shape *sh)
{
    int looks = LOOKS;
    struct task *t;

    mob_list_each(t, &sh->queue, struct task, link) {
        struct near_node *at;

        if (looks-- == 0)
            return;
        if (t->has_stored && (at = make(&sh->near, mob_owner_body_near(o, t))) != NULL)
            at->tasks++;
    }
}

/* One that stands behind another one would be better off with a lease of its own there. */
static void tally_leases(const struct mob_owner *o, struct shape *sh)
{
    struct lease *l;

    mob_list_each(l, &sh->leases, struct lease, in_shape) {
        uint32_t node = l->worker.node;
        const struct task *last = l->count >= 2 ? MOB_CONTAINER(l->tasks.prev, struct task, link) : NULL;
        bool behind = last != NULL && last->has_stored && mob_owner_body_near(o, last) == node;
        struct near_node *at = l->stalled ? NULL : behind ? make(&sh->near, node) : find(&sh->near, node);

        if (at == NULL)
            continue;
        at->pushed += l->count;
        at->leases++;
    }
}

/* How many leases so many of the shape's tasks could use: one each, unless they are short. */
static uint32_t leases_for(const struct shape *sh, size_t tasks)
{
    size_t total = sh->queued + sh->staging_count + sh->pushed - sh->stalled;

    return total == 0 ? 0 : (uint32_t)((tasks * mob_owner_shape_useful(sh) + total - 1) / total);
}

void mob_owner_near_look(const struct mob_owner *o, struct shape *sh, uint32_t wanted)
{
    struct near before = sh->near, *n = &sh->near;

    n->count = 0;
    if (!n->look || wanted == 0 || sh->definition.strategy != MOB_HYBRID)
        return;
    tally_queue(o, sh);
    tally_leases(o, sh);
    for (uint32_t i = 0; i < n->count; i++) {
        struct near_node *at = &n->of[i];
        const struct near_node *old = find(&before, at->node);
        uint32_t useful = leases_for(sh, at->tasks + at->pushed), more = useful > at->leases ? useful - at->leases : 0;

        at->wanted = more < wanted ? more : wanted;
        at->since_ns = old != NULL && old->wanted > 0 ? old->since_ns : o->now_ns;
        wanted -= at->wanted;
    }
    n->look = n->queued > 0 || n->count > 0;
}

bool mob_owner_near_waits(const struct mob_owner *o, const struct task *t, const struct lease *l)
{
    struct near *n = &t->shape->near;
    const struct near_node *at = n->count > 0 && t->has_stored ? find(n, mob_owner_body_near(o, t)) : NULL;

    if (at == NULL || at->wanted == 0 || at->node == l->worker.node || o->now_ns - at->since_ns >= HOLD_NS)
        return false;
    return leases_for(t->shape, at->tasks) <= at->wanted;
}

int64_t mob_owner_near_due_ns(const struct mob_owner *o, const struct shape *sh)
{
    int64_t due_ns = INT64_MAX;

    for (uint32_t i = 0; i < sh->near.count; i++) {
        const struct near_node *at = &sh->near.of[i];

        if (at->wanted > 0 && o->now_ns - at->since_ns < HOLD_NS && at->since_ns + HOLD_NS < due_ns)
            due_ns = at->since_ns + HOLD_NS;
    }
    return due_ns;
}

/* -- the Want ---------------------------------------------------------------------------------------------------------------- */

/* What there is to say: the nodes of which something is wanted. */
static uint32_t sayable(const struct near *n, struct mob_near ret[MOB_NEAR_MAX])
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < n->count; i++)
        if (n->of[i].wanted > 0)
            ret[count++] = (struct mob_near){ n->of[i].node, n->of[i].wanted };
    return count;
}

bool mob_owner_near_is_said(const struct shape *sh)
{
    struct mob_near now[MOB_NEAR_MAX];
    uint32_t count = sayable(&sh->near, now);

    return count == sh->near.said_count && (count == 0 || memcmp(now, sh->near.said, count * sizeof *now) == 0);
}

void mob_owner_near_say(struct shape *sh, Mobula__Want *m, struct mob_near_room *room)
{
    struct near *n = &sh->near;

    n->said_count = sayable(n, n->said);
    m->n_near = mob_wire_put_near(room, n->said, n->said_count);
    m->near = room->list;
}

void mob_owner_near_granted(struct shape *sh, uint32_t node)
{
    for (uint32_t i = 0; i < sh->near.said_count; i++)
        if (sh->near.said[i].node == node && sh->near.said[i].count > 0)
            sh->near.said[i].count--;
}
