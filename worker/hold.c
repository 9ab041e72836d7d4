/* SPDX-License-Identifier: Apache-2.0 */
/* hold.c -- the owner's side of references that other processes hold (docs/protocol.md, References).
 *
 * A hold comes into being with a ticket, and ends with its release, or with its holder: the first hold of a process makes us ask its
 * raylet for its death (Mourn), whose one answer comes when it is gone. A ticket's number is never used twice by its issuer, and a
 * holder learns of a hold after we did, so a release never comes before its hold. What is held for ourselves, because a task of ours
 * returns it, ends with the worker that issues it, too, until we have its answer: that may be lost with a link, and then nobody would
 * ever take it. For the same reason we ask (Orphans) who holds by tickets of a worker that is gone whether its answers came; and ask again
 * for as long as he does, whenever a link was lost, maybe with the question (Mourned says so): who has the tickets keeps them.
 *
 * References are numbered by their sender and sent again until answered: one that was heard before is answered and nothing more, one
 * that comes too early is refused.
 */
#include "worker/hold.h"

#include <assert.h>
#include <stdlib.h>

#include "worker/core.h"

#define MOURN_AGAIN_NS INT64_C(500000000)
#define ORPHANS_MAX 500u                /* tickets in one message */

void mob_owner_holds_init(struct mob_owner *o)
{
    mob_list_init(&o->holds.unsure);
    mob_list_init(&o->holds.gone);
    o->holds.again_ns = INT64_MAX;
}

void mob_owner_holds_fini(struct mob_owner *o)
{
    struct holds *hs = &o->holds;
    struct hold *h, *next;
    void *p;

    for (size_t at = 0; (h = mob_map_next(&hs->by_ticket, &at, NULL)) != NULL;)
        for (; h != NULL; h = next) {
            next = h->same_key;
            free(h);
        }
    for (size_t at = 0; (p = mob_map_next(&hs->holders, &at, NULL)) != NULL;)
        free(p);
    mob_map_fini(&hs->by_ticket);
    mob_map_fini(&hs->holders);
}

void mob_owner_holds_tally(const struct mob_owner *o, mob_owner_note *note, void *arg)
{
    const struct hold *h;

    for (size_t at = 0; (h = mob_map_next(&o->holds.by_ticket, &at, NULL)) != NULL;)
        for (; h != NULL; h = h->same_key)
            note(arg, object_number(h->object));
}

/* -- holds ------------------------------------------------------------------------------------------------------------------- */

static uint64_t key_of(struct mob_address issuer, uint64_t ticket)
{
    return mob_address_key(issuer) * UINT64_C(0x9e3779b97f4a7c15) ^ ticket;
}

static void send_mourn(struct mob_owner *o, const struct holder *holder)
{
    Mobula__Mourn m = MOBULA__MOURN__INIT;

    m.process = holder->address.process;
    mob_owner_send(o, (struct mob_address){ holder->address.node, 0 }, MOBULA__ENVELOPE__BODY_MOURN, &m);
}

static struct holder *holder_of(struct mob_owner *o, struct mob_address address)
{
    struct holder *holder = mob_map_get(&o->holds.holders, mob_address_key(address));

    if (holder != NULL && !holder->gone)
        return holder;
    if (holder != NULL) {               /* late news of it: it is asked for again, so that what it is said to hold has an end */
        holder->gone = false;
        mob_list_remove(&holder->link);
        send_mourn(o, holder);
        return holder;
    }
    holder = mob_new(struct holder);
    holder->address = address;
    mob_list_init(&holder->link);
    mob_list_init(&holder->holds);
    mob_list_init(&holder->given);
    mob_map_set(&o->holds.holders, mob_address_key(address), holder);
    if (!mob_address_eq(address, o->config.self))
        send_mourn(o, holder);
    return holder;
}

void mob_owner_hold(struct mob_owner *o, struct object *b, struct mob_address issuer, uint64_t ticket, struct mob_address holder)
{
    struct hold *h = mob_new(struct hold);
    uint64_t key = key_of(issuer, ticket);

    if (mob_address_eq(holder, o->config.self))
        holder = issuer;
    *h = (struct hold){ .issuer = issuer, .ticket = ticket, .object = b, .holder = holder_of(o, holder),
                        .same_key = mob_map_get(&o->holds.by_ticket, key) };
    mob_map_set(&o->holds.by_ticket, key, h);
    mob_list_append(&h->holder->holds, &h->of_holder);
    mob_list_init(&h->of_issuer);
    if (!mob_address_eq(issuer, holder) && !mob_address_eq(issuer, o->config.self))
        mob_list_append(&holder_of(o, issuer)->given, &h->of_issuer);
    b->pins++;
    o->holds.count++;
}

static struct hold *find(const struct mob_owner *o, struct mob_address issuer, uint64_t ticket)
{
    struct hold *h = mob_map_get(&o->holds.by_ticket, key_of(issuer, ticket));

    while (h != NULL && !(mob_address_eq(h->issuer, issuer) && h->ticket == ticket))
        h = h->same_key;
    return h;
}

/* Nobody has a ticket of one that is gone. */
static void forget_if_done(struct mob_owner *o, struct holder *holder)
{
    if (holder == NULL || !holder->gone || !mob_list_empty(&holder->given))
        return;
    mob_list_remove(&holder->link);
    mob_map_remove(&o->holds.holders, mob_address_key(holder->address));
    free(holder);
}

static void end(struct mob_owner *o, struct hold *h)
{
    struct holder *issuer = mob_list_empty(&h->of_issuer) ? NULL : mob_map_get(&o->holds.holders, mob_address_key(h->issuer));
    uint64_t key = key_of(h->issuer, h->ticket);
    struct hold *first = mob_map_get(&o->holds.by_ticket, key), **at = &first;
    struct object *b = h->object;

    while (*at != h)
        at = &(*at)->same_key;
    *at = h->same_key;
    if (first != NULL)
        mob_map_set(&o->holds.by_ticket, key, first);
    else
        mob_map_remove(&o->holds.by_ticket, key);
    mob_list_remove(&h->of_holder);
    mob_list_remove(&h->of_issuer);
    free(h);
    forget_if_done(o, issuer);
    o->holds.count--;
    object_unpin(o, b);
}

void mob_owner_unhold(struct mob_owner *o, struct mob_address issuer, uint64_t ticket)
{
    struct hold *h = find(o, issuer, ticket);

    if (h != NULL)
        end(o, h);
}

void mob_owner_hold_take(struct mob_owner *o, struct mob_address issuer, uint64_t ticket)
{
    struct hold *h = find(o, issuer, ticket);

    if (h == NULL)
        return;
    mob_list_remove(&h->of_holder);
    h->holder = holder_of(o, o->config.self);
    mob_list_append(&h->holder->holds, &h->of_holder);
}

/* -- heard ------------------------------------------------------------------------------------------------------------------- */

/* A sender speaks for tickets that it gave out, or that are in its name. */
static void change(struct mob_owner *o, struct mob_address from, const Mobula__References__Change *c)
{
    struct mob_address issuer = mob_wire_address(c->issuer);
    struct hold *h = find(o, issuer, c->ticket);

    if (c->cancel) {                    /* whoever has a reference may */
        struct mob_object_id made = mob_wire_object(c->object);
        struct object *unmade = mob_owner_object_find(o, &made);

        if (unmade != NULL)
            mob_owner_cancel_object(o, unmade, (c->force ? MOB_CANCEL_FORCE : 0) | (c->alone ? MOB_CANCEL_ALONE : 0));
        return;
    }
    if (!c->held) {
        if (h != NULL && (mob_address_eq(from, issuer) || mob_address_eq(from, h->holder->address)))
            end(o, h);
        return;
    }
    struct mob_object_id id = mob_wire_object(c->object);
    struct object *b = mob_owner_object_find(o, &id);

    if (b != NULL && h == NULL && mob_address_eq(from, issuer))
        mob_owner_hold(o, b, issuer, c->ticket, mob_wire_address(c->holder));
}

void mob_owner_on_references(struct mob_owner *o, struct mob_address from, const Mobula__References *m)
{
    Mobula__ReferencesDone done = MOBULA__REFERENCES_DONE__INIT;
    Mobula__Error error = MOBULA__ERROR__INIT;
    struct holder *sender = holder_of(o, from);
    struct mob_error why;

    if (m->seq > sender->heard + 1) {           /* what was before it was lost with a link: all of it must come again */
        mob_error_set(&why, MOB_ERR_UNREACHABLE, "References %llu came, %llu did not", (unsigned long long)m->seq,
                      (unsigned long long)sender->heard + 1);
        mob_wire_put_error(&error, &why);
        done.error = &error;
    } else if (m->seq == sender->heard + 1) {
        sender->heard++;
        for (size_t i = 0; i < m->n_changes; i++)
            change(o, from, m->changes[i]);
    }
    done.seq = m->seq;
    mob_owner_send(o, from, MOBULA__ENVELOPE__BODY_REFERENCES_DONE, &done);
}

/* `issuer` gave tickets to `holder` with answers, and is gone: did they come? */
static void ask(struct mob_owner *o, const struct holder *issuer, const struct holder *holder)
{
    uint64_t tickets[ORPHANS_MAX];
    Mobula__ObjectId ids[ORPHANS_MAX], *objects[ORPHANS_MAX];
    Mobula__Orphans m = MOBULA__ORPHANS__INIT;
    Mobula__Address address;
    struct hold *h;

    mob_wire_put_address(&address, issuer->address);
    m.issuer = &address;
    m.tickets = tickets;
    m.objects = objects;
    mob_list_each(h, &issuer->given, struct hold, of_issuer) {
        struct mob_object_id id = mob_owner_object_name(o, h->object);

        if (h->holder != holder)
            continue;
        mob_wire_put_object(objects[m.n_objects] = &ids[m.n_objects], &id);
        tickets[m.n_objects++] = h->ticket;
        m.n_tickets = m.n_objects;
        if (m.n_objects == ORPHANS_MAX) {
            mob_owner_send(o, holder->address, MOBULA__ENVELOPE__BODY_ORPHANS, &m);
            m.n_objects = m.n_tickets = 0;
        }
    }
    if (m.n_objects > 0)
        mob_owner_send(o, holder->address, MOBULA__ENVELOPE__BODY_ORPHANS, &m);
}

/* Each of those who hold by its tickets, once. */
static void ask_holders(struct mob_owner *o, const struct holder *issuer)
{
    struct mob_map asked = { 0 };
    struct hold *h;

    mob_list_each(h, &issuer->given, struct hold, of_issuer) {
        uint64_t key = mob_address_key(h->holder->address);

        if (mob_map_get(&asked, key) != NULL)
            continue;
        mob_map_set(&asked, key, h->holder);
        ask(o, issuer, h->holder);
    }
    mob_map_fini(&asked);
}

/* A link to it was lost, and with it perhaps what it was asked. */
static void ask_again(struct mob_owner *o, const struct holder *holder)
{
    const struct holder *issuer;

    send_mourn(o, holder);
    mob_list_each(issuer, &o->holds.gone, const struct holder, link)
        ask(o, issuer, holder);
}

/* The last answers of a worker that was lent to us have been read: its raylet says that the lease is over before it says this. */
void mob_owner_on_mourned(struct mob_owner *o, const Mobula__Mourned *m)
{
    struct mob_address address = mob_wire_address(m->process);
    struct holder *holder = mob_map_get(&o->holds.holders, mob_address_key(address));

    if (holder == NULL || holder->gone)
        return;
    mob_list_remove(&holder->link);
    if (m->unreachable) {
        mob_list_append(&o->holds.unsure, &holder->link);
        if (o->holds.again_ns == INT64_MAX)
            o->holds.again_ns = o->now_ns + MOURN_AGAIN_NS;
        return;
    }
    while (!mob_list_empty(&holder->holds))
        end(o, mob_list_first(&holder->holds, struct hold, of_holder));
    ask_holders(o, holder);
    holder->gone = true;
    mob_list_append(&o->holds.gone, &holder->link);
    forget_if_done(o, holder);
}

int64_t mob_owner_holds_flush(struct mob_owner *o)
{
    struct holds *hs = &o->holds;

    if (o->now_ns < hs->again_ns)
        return hs->again_ns;
    hs->again_ns = INT64_MAX;
    while (!mob_list_empty(&hs->unsure)) {
        struct holder *holder = mob_list_first(&hs->unsure, struct holder, link);

        mob_list_remove(&holder->link);
        ask_again(o, holder);
    }
    return INT64_MAX;
}

void mob_owner_holds_check(const struct mob_owner *o)
{
    const struct holds *hs = &o->holds;
    const struct holder *gone;
    const struct hold *h;
    uint64_t count = 0;

    for (size_t at = 0; (h = mob_map_next(&hs->by_ticket, &at, NULL)) != NULL;)
        for (; h != NULL; h = h->same_key) {
            assert(h->object->pins > 0);
            assert(mob_map_get(&hs->holders, mob_address_key(h->holder->address)) == h->holder);
            count++;
        }
    assert(count == hs->count);
    mob_list_each(gone, &hs->gone, const struct holder, link)
        assert(gone->gone && mob_list_empty(&gone->holds) && !mob_list_empty(&gone->given));
}
