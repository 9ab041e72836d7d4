/* SPDX-License-Identifier: Apache-2.0 */
/* full.c -- a task that finds no room for what it makes or takes goes to another node, and others keep away until there is room.
 *
 *   the store refuses (objstore/store_wait.c) --> the error says HERE: the task ends by it, rests, and is QUEUED again (worker/task.c)
 *                                             '--> full: Report says so, what is lent is asked back --> room again, for some seconds: over
 *
 * While the store is full this raylet lends nothing that another node may serve: wants of its own processes are the head's, and what the
 * head places here, not knowing it yet, goes back. The head places nothing here. A demand for which it has no other node, or only such as
 * are full, too, claims this one (Claim.full), and is served in its turn. A task under such a lease that finds no room gets the plain
 * error, without HERE, as no other node could do better. So do tasks that ask for this node alone, and drivers. And a node that is alone,
 * or without its head, goes on as if there were room, for nobody could take its work.
 */
#include "raylet/full.h"

#include "raylet/core.h"

bool mob_full_avoids(const struct mob_raylet *r, const struct mob_shape *shape)
{
    return r->full.on && shape->strategy != MOB_NODE;
}

static bool others_live(const struct mob_raylet *r)
{
    struct peer *peer;

    for (size_t at = 0; (peer = mob_map_next(&r->routes.peers, &at, NULL)) != NULL;)
        if (peer->is.alive)
            return true;
    return false;
}

bool mob_raylet_may_run_elsewhere(const struct mob_raylet *r, uint32_t process)
{
    const struct process *p = mob_process_find(r, process);
    const struct lease *l = p != NULL && p->worker != NULL ? p->worker->lease : NULL;

    return l != NULL && l->want->shape.strategy != MOB_NODE && !l->last_resort && others_live(r);
}

static void turn(struct mob_raylet *r, bool on)
{
    struct want *w;
    struct lease *l;

    r->full.on = on;
    if (on)
        mob_warn("the object store is full, and so is its disk: this node leaves work to others until there is room");
    else
        mob_info("the object store has room again");
    mob_list_each(w, &r->wants.all, struct want, all)
        if (w->shape.strategy != MOB_NODE)
            mob_want_avoid(r, w, on);
    mob_list_each(l, &r->leases.held, struct lease, in_line)
        if (l->want->avoided)
            mob_lease_recall(r, l);
    r->resources.version++;             /* a newer Report */
    mob_wants_serve(r);
}

void mob_full_look(struct mob_raylet *r)
{
    bool on = r->config.store != NULL && mob_store_full(r->config.store) && mob_membership_joined(r) && others_live(r);

    if (on != r->full.on)
        turn(r, on);
}
