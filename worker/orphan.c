/* SPDX-License-Identifier: Apache-2.0 */
/* orphan.c -- tickets in our name that we may never have heard of.
 *
 * A worker that runs a task of ours has the owners confirm what goes with its answer, and then answers. If it dies in between, or its
 * answer is lost with a link, they hold objects for us that we do not know of. So an owner that hears of the worker's death asks us about
 * each such ticket (Orphans). While that worker is still lent to us, its answer may be on its way: we look when the lease is over. What
 * we do not have then, nobody will ever have, and it is released.
 */
#include <stdlib.h>

#include "worker/core.h"

struct orphans {
    struct mob_link link;               /* in borrows.orphans */
    struct mob_address issuer;
    size_t count;
    struct { uint64_t ticket; struct mob_object_id id; } of[];
};

void mob_owner_on_orphans(struct mob_owner *o, struct mob_address from, const Mobula__Orphans *m)
{
    size_t n = m->n_tickets < m->n_objects ? m->n_tickets : m->n_objects;
    struct orphans *all = mob_alloc(sizeof *all + n * sizeof all->of[0]);

    all->issuer = mob_wire_address(m->issuer);
    all->count = 0;
    for (size_t i = 0; i < n; i++) {
        struct mob_object_id id = mob_wire_object(m->objects[i]);

        if (id.node != from.node || id.process != from.process)
            continue;                   /* it speaks of its own alone */
        all->of[all->count].ticket = m->tickets[i];
        all->of[all->count++].id = id;
    }
    mob_list_init(&all->link);
    mob_list_append(&o->borrows.orphans, &all->link);
}

static bool is_lent(const struct mob_owner *o, struct mob_address worker)
{
    const struct lease *l;

    mob_list_each(l, &o->leases.all, const struct lease, link)
        if (mob_address_eq(l->worker, worker))
            return true;
    return false;
}

static void release(struct mob_owner *o, const struct orphans *all)
{
    struct mob_map known = { 0 };

    mob_owner_borrows_of(o, all->issuer, &known);
    for (size_t i = 0; i < all->count; i++)
        if (mob_map_get(&known, all->of[i].ticket) == NULL)
            mob_owner_ticket_drop(o, &all->of[i].id, all->issuer, all->of[i].ticket);
    mob_map_fini(&known);
}

void mob_owner_orphans_flush(struct mob_owner *o)
{
    struct orphans *all;

    mob_list_each(all, &o->borrows.orphans, struct orphans, link) {
        if (is_lent(o, all->issuer))
            continue;
        mob_list_remove(&all->link);
        release(o, all);
        free(all);
    }
}

void mob_owner_orphans_fini(struct mob_owner *o)
{
    struct orphans *all;

    mob_list_each(all, &o->borrows.orphans, struct orphans, link)
        free(all);
}
