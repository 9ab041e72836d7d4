/* SPDX-License-Identifier: Apache-2.0 */
/* borrowed.c -- a lease at another node, as the owner's raylet sees it: from the Grant that it passes on to its owner, to the Return or
 * LeaseOver that it passes on. Only the process that got the Grant may use the lease.
 *
 * When an owner ends, each node that has lent to it once, or has told it of copies, is told (OwnerOver), as what is left in the store
 * there is of no use to anyone. That may be lost with the link; then that node says all that it has, and is answered the same (dispatch.c).
 */
#include "raylet/borrowed.h"

#include <stdlib.h>

#include "raylet/certificate.h"
#include "raylet/core.h"

static void forget(struct borrowed *b)
{
    mob_map_remove(&b->lender->borrowed, b->lease);
    mob_list_remove(&b->of_owner);
    free(b);
}

void mob_borrowed_fini(struct peer *lender)
{
    struct borrowed *b;

    for (size_t at = 0; (b = mob_map_next(&lender->borrowed, &at, NULL)) != NULL;)
        free(b);
    mob_map_fini(&lender->borrowed);
}

/* Tell one end of a lease, for the other: to the owner that its lender is lost, to the lender that its owner is. */
static void say_over(struct mob_raylet *r, struct mob_address to, const struct borrowed *b, enum mob_code code, const char *why)
{
    Mobula__LeaseOver m = MOBULA__LEASE_OVER__INIT;
    Mobula__Error cause = MOBULA__ERROR__INIT;
    Mobula__Death death, *deaths = &death;
    struct mob_death certificate;
    Mobula__Address worker;
    struct mob_error err;
    struct mob_envelope e;

    mob_error_set(&err, code, "%s", why);
    mob_wire_put_error(&cause, &err);
    if (code == MOB_ERR_NODE_DIED) {
        mob_certificate_of_lost(b->lender, b->worker, &certificate);
        mob_wire_put_death(&death, &certificate);
        cause.n_deaths = 1;
        cause.deaths = &deaths;
    }
    mob_wire_put_address(&worker, b->worker);
    m.lease = b->lease;
    m.worker = &worker;
    m.cause = &cause;
    mob_envelope_init(&e, r->self, to, MOBULA__ENVELOPE__BODY_LEASE_OVER);
    e.e.lease_over = &m;
    mob_route_send(r, &e.e);
}

bool mob_borrowed_granted(struct mob_raylet *r, const struct arrival *a)
{
    const Mobula__Grant *m = a->e->grant;
    struct process *owner = mob_process_find(r, a->to.process);
    struct borrowed *b;
    struct want *w;

    if (a->from.process != 0 || mob_map_get(&a->connection->peer->borrowed, m->lease) != NULL)
        return false;
    b = mob_new(struct borrowed);
    b->lender = a->connection->peer;
    b->lease = m->lease;
    b->worker = mob_wire_address(m->worker);
    b->owner = owner;
    mob_list_init(&b->of_owner);
    if (owner == NULL) {                /* it died while this was under way */
        say_over(r, a->from, b, MOB_ERR_OWNER_DIED, "the owner is gone");
        free(b);
        return false;
    }
    mob_map_set(&b->lender->borrowed, b->lease, b);
    mob_list_append(&owner->borrowed, &b->of_owner);
    mob_map_set(&owner->lenders, b->lender->is.node, b->lender);
    w = mob_want_find(r, owner->address, m->shape);
    if (w != NULL) {
        if (!m->claimed)
            mob_demand_answered(r, w, a->from.node, 1, m->place_seq);
        mob_near_granted(w, a->from.node);
        mob_want_granted(r, w);
        mob_want_served(r, w);
    }
    return true;
}

/* The lease `number` at `node`, if it is `owner`'s. */
static struct borrowed *find(struct mob_raylet *r, uint32_t node, uint64_t number, struct mob_address owner)
{
    struct peer *lender = mob_route_peer(r, node);
    struct borrowed *b = lender == NULL ? NULL : mob_map_get(&lender->borrowed, number);

    return b != NULL && mob_address_eq(b->owner->address, owner) ? b : NULL;
}

bool mob_borrowed_returned(struct mob_raylet *r, const struct arrival *a)
{
    struct borrowed *b = find(r, a->to.node, a->e->return_lease->lease, a->from);

    if (b == NULL)
        return false;
    forget(b);
    return true;
}

bool mob_borrowed_over(struct mob_raylet *r, const struct arrival *a)
{
    struct borrowed *b = find(r, a->from.node, a->e->lease_over->lease, a->to);

    if (b == NULL || a->from.process != 0)
        return false;
    forget(b);
    return true;
}

bool mob_borrowed_used(struct mob_raylet *r, const struct arrival *a)
{
    uint64_t lease = a->e->body_case == MOBULA__ENVELOPE__BODY_TASK_FRAMES ? a->e->task_frames->lease
        : a->e->body_case == MOBULA__ENVELOPE__BODY_TAKE_BACK ? a->e->take_back->lease
        : a->e->body_case == MOBULA__ENVELOPE__BODY_ALLOW ? a->e->allow->lease : a->e->cancel->lease;

    return find(r, a->to.node, lease, a->from) != NULL;
}

bool mob_borrowed_from_lender(struct mob_raylet *r, const struct arrival *a)
{
    (void)r;
    return a->from.process == 0;
}

/* -- ends ---------------------------------------------------------------------------------------------------------------- */

void mob_borrowed_lender_lost(struct mob_raylet *r, struct peer *lender, const char *why)
{
    struct borrowed *b;

    for (size_t at = 0; (b = mob_map_next(&lender->borrowed, &at, NULL)) != NULL;) {
        say_over(r, b->owner->address, b, MOB_ERR_NODE_DIED, why);
        forget(b);
    }
}

static void say_owner_over(struct mob_raylet *r, const struct peer *lender, const struct process *owner)
{
    Mobula__OwnerOver m = MOBULA__OWNER_OVER__INIT;
    struct mob_envelope e;

    m.process = owner->address.process;
    mob_envelope_init(&e, r->self, (struct mob_address){ lender->is.node, 0 }, MOBULA__ENVELOPE__BODY_OWNER_OVER);
    e.e.owner_over = &m;
    mob_route_send(r, &e.e);
}

void mob_borrowed_owner_gone(struct mob_raylet *r, struct process *owner)
{
    struct peer *lender;
    struct borrowed *b;

    for (size_t at = 0; (lender = mob_map_next(&owner->lenders, &at, NULL)) != NULL;)
        say_owner_over(r, lender, owner);
    mob_list_each(b, &owner->borrowed, struct borrowed, of_owner) {
        say_over(r, (struct mob_address){ b->lender->is.node, 0 }, b, MOB_ERR_OWNER_DIED, "the owner is gone");
        forget(b);
    }
}
