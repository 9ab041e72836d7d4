/* SPDX-License-Identifier: Apache-2.0 */
/* borrowed.c -- from a Grant that passes to the Return or LeaseOver that passes. Only the process that got the Grant may use
 * the lease.
 *
 * When an owner ends, each node that has lent to it once, or has told it of copies, is told (OwnerOver), as what is left in the store
 * there is of no use to anyone. That must not be lost with a stream: it waits for one that is up, and is said again if the stream breaks
 * before it can be thought to have arrived. It is forgotten with the node, or with the job, whose end says the same.
 */
#include "raylet/borrowed.h"

#include <stdlib.h>

#include "raylet/certificate.h"
#include "raylet/core.h"

#define ARRIVED_NS (30000 * MS)         /* a stream is found broken after 15 s of silence (rpc.h): what is older has been read */

/* An owner that is gone, for a node that may hold what it owned. */
struct gone {
    struct mob_link link;               /* in peer->gone, the first said first */
    uint32_t process;
    struct mob_address job;
    int64_t said_at;                    /* 0: not on the stream that is up now */
};

static void forget(struct borrowed *b)
{
    mob_map_remove(&b->lender->borrowed, b->lease);
    mob_list_remove(&b->of_owner);
    free(b);
}

static void gone_forget(struct mob_raylet *r, struct gone *g)
{
    mob_list_remove(&g->link);
    free(g);
    r->routes.gone_count--;
}

void mob_borrowed_fini(struct mob_raylet *r, struct peer *lender)
{
    struct borrowed *b;
    struct gone *g;

    mob_list_each(g, &lender->gone, struct gone, link)
        gone_forget(r, g);
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

/* -- owners that are gone ------------------------------------------------------------------------------------------------ */

void mob_borrowed_say_gone(struct mob_raylet *r, struct peer *lender)
{
    Mobula__OwnerOver m = MOBULA__OWNER_OVER__INIT;
    struct mob_envelope e;
    struct gone *g;

    mob_envelope_init(&e, r->self, (struct mob_address){ lender->is.node, 0 }, MOBULA__ENVELOPE__BODY_OWNER_OVER);
    e.e.owner_over = &m;
    mob_list_each(g, &lender->gone, struct gone, link) {
        if (g->said_at != 0 && r->now - g->said_at > ARRIVED_NS) {
            gone_forget(r, g);
        } else if (g->said_at == 0 && lender->out != NULL) {
            m.process = g->process;
            mob_route_send(r, &e.e);
            g->said_at = r->now;
        }
    }
}

/* The stream that carried it broke. */
static void say_gone_again(struct mob_raylet *r, struct peer *lender)
{
    struct gone *g;

    mob_list_each(g, &lender->gone, struct gone, link) {
        if (!lender->is.alive || (g->said_at != 0 && r->now - g->said_at > ARRIVED_NS))
            gone_forget(r, g);
        else
            g->said_at = 0;
    }
}

void mob_borrowed_job_over(struct mob_raylet *r, struct mob_address job)
{
    struct peer *lender;
    struct gone *g;

    for (size_t at = 0; r->routes.gone_count > 0 && (lender = mob_map_next(&r->routes.peers, &at, NULL)) != NULL;)
        mob_list_each(g, &lender->gone, struct gone, link)
            if (mob_address_eq(g->job, job))
                gone_forget(r, g);
}

static void note_gone(struct mob_raylet *r, struct peer *lender, const struct process *owner)
{
    struct gone *g;

    if (!lender->is.alive)
        return;
    g = mob_new(struct gone);
    g->process = owner->address.process;
    g->job = owner->job;
    mob_list_append(&lender->gone, &g->link);
    r->routes.gone_count++;
    mob_borrowed_say_gone(r, lender);
    mob_route_open(r, lender->is.node);
}

/* -- ends ---------------------------------------------------------------------------------------------------------------- */

void mob_borrowed_lender_lost(struct mob_raylet *r, struct peer *lender, const char *why)
{
    struct borrowed *b;

    for (size_t at = 0; (b = mob_map_next(&lender->borrowed, &at, NULL)) != NULL;) {
        say_over(r, b->owner->address, b, MOB_ERR_NODE_DIED, why);
        forget(b);
    }
    say_gone_again(r, lender);
}

void mob_borrowed_owner_gone(struct mob_raylet *r, struct process *owner)
{
    struct peer *lender;
    struct borrowed *b;

    for (size_t at = 0; (lender = mob_map_next(&owner->lenders, &at, NULL)) != NULL;)
        note_gone(r, lender, owner);
    mob_list_each(b, &owner->borrowed, struct borrowed, of_owner) {
        say_over(r, (struct mob_address){ b->lender->is.node, 0 }, b, MOB_ERR_OWNER_DIED, "the owner is gone");
        forget(b);
    }
}
