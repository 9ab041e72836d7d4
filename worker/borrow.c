/* SPDX-License-Identifier: Apache-2.0 */
/* borrow.c -- the borrower's side of references (docs/protocol.md, References).
 *
 *   LOOSE  --keep-->  TICKETED  --last count-->  released           (a loose one that is dropped within its task ends unsaid)
 *
 *   LOOSE     met in an argument of the running task: whoever submitted that holds it until our answer
 *   TICKETED  its owner knows of it, or will before that could matter: a new ticket of ours is in an outbox, with what keeps the
 *             object alive until it is confirmed (`source`); one that came with an answer was confirmed before it was sent
 *
 * A process may give a reference away in the same manner: the ticket is then in the name of who gets it (mob_owner_lend).
 *
 * An outbox is the one way to an owner, also for the wish that it cancels a task: numbered messages, kept until answered. UNREACHABLE or
 * NODE_DIED says that a link was lost, maybe with them: all are said again, in order. OWNER_DIED ends them.
 *
 * The value is asked for (Watch) when somebody wants it, not before: a list of ten thousand references costs no message each.
 */
#include "worker/borrow.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "worker/core.h"

#define CHANGES_MAX 2048u               /* of one message */
#define AGAIN_NS INT64_C(200000000)

void mob_owner_borrows_init(struct mob_owner *o)
{
    mob_list_init(&o->borrows.orphans);
    mob_list_init(&o->borrows.loose);
    mob_list_init(&o->borrows.unsent);
    mob_list_init(&o->borrows.waiters);
}

static void outbox_destroy(struct outbox *box)
{
    struct sent *s;

    mob_list_each(s, &box->sent, struct sent, link)
        free(s);
    free(box->changes);
    free(box);
}

void mob_owner_borrows_fini(struct mob_owner *o)
{
    struct borrows *bs = &o->borrows;
    struct outbox *box;
    struct borrow *w;

    mob_owner_orphans_fini(o);
    for (size_t at = 0; (w = mob_map_next(&bs->by_number, &at, NULL)) != NULL;)
        free(w);
    for (size_t at = 0; (box = mob_map_next(&bs->outboxes, &at, NULL)) != NULL;)
        outbox_destroy(box);
    mob_map_fini(&bs->by_number);
    mob_map_fini(&bs->outboxes);
}

/* -- outboxes ---------------------------------------------------------------------------------------------------------------- */

static struct outbox *outbox_of(struct mob_owner *o, struct mob_address owner)
{
    struct outbox *box = mob_map_get(&o->borrows.outboxes, mob_address_key(owner));

    if (box != NULL)
        return box;
    box = mob_new(struct outbox);
    box->owner = owner;
    mob_list_init(&box->link);
    mob_list_init(&box->sent);
    mob_map_set(&o->borrows.outboxes, mob_address_key(owner), box);
    return box;
}

static void say(struct mob_owner *o, const struct change *c)
{
    struct outbox *box = outbox_of(o, (struct mob_address){ c->id.node, c->id.process });

    if (o->lost)
        return;
    if (box->count == box->room)
        box->changes = mob_realloc(box->changes, (box->room = 2 * box->room + 16) * sizeof *box->changes);
    box->changes[box->count++] = *c;
    if (mob_list_empty(&box->link))
        mob_list_append(&o->borrows.unsent, &box->link);
    if (!c->held)
        return;
    o->borrows.unconfirmed++;
    if (c->source != 0)
        mob_owner_object_at(o, c->source)->pins++;
}

static void send_changes(struct mob_owner *o, const struct outbox *box, const struct sent *s)
{
    Mobula__References m = MOBULA__REFERENCES__INIT;
    struct wire_change { Mobula__References__Change c; Mobula__ObjectId id; Mobula__Address issuer, holder; }
        *each = mob_alloc(s->count * sizeof *each);
    Mobula__References__Change **list = mob_alloc(s->count * sizeof *list);

    for (size_t i = 0; i < s->count; i++) {
        const struct change *c = &s->changes[i];

        mobula__references__change__init(&each[i].c);
        mob_wire_put_address(&each[i].issuer, c->issuer);
        each[i].c.held = c->held;
        each[i].c.cancel = c->cancel;
        each[i].c.force = (c->how & MOB_CANCEL_FORCE) != 0;
        each[i].c.alone = (c->how & MOB_CANCEL_ALONE) != 0;
        each[i].c.ticket = c->ticket;
        each[i].c.issuer = &each[i].issuer;
        mob_wire_put_object(&each[i].id, &c->id);
        mob_wire_put_address(&each[i].holder, c->holder);
        each[i].c.object = c->held || c->cancel ? &each[i].id : NULL;
        each[i].c.holder = c->held ? &each[i].holder : NULL;
        list[i] = &each[i].c;
    }
    m.seq = s->seq;
    m.n_changes = s->count;
    m.changes = list;
    mob_owner_send(o, box->owner, MOBULA__ENVELOPE__BODY_REFERENCES, &m);
    free(list);
    free(each);
}

static void send_new(struct mob_owner *o, struct outbox *box)
{
    for (size_t at = 0, n; at < box->count; at += n) {
        struct sent *s;

        n = box->count - at < CHANGES_MAX ? box->count - at : CHANGES_MAX;
        s = mob_alloc(sizeof *s + n * sizeof s->changes[0]);
        s->seq = ++box->seq;
        s->count = n;
        memcpy(s->changes, box->changes + at, n * sizeof s->changes[0]);
        mob_list_append(&box->sent, &s->link);
        send_changes(o, box, s);
    }
    box->count = 0;
}

static void send_due(struct mob_owner *o, struct outbox *box)
{
    struct sent *s;

    mob_list_remove(&box->link);
    if (box->again_ns != 0)
        mob_list_each(s, &box->sent, struct sent, link)
            send_changes(o, box, s);
    box->again_ns = 0;
    send_new(o, box);
}

int64_t mob_owner_borrows_flush(struct mob_owner *o)
{
    int64_t next_ns = INT64_MAX;
    struct outbox *box;

    mob_owner_orphans_flush(o);
    mob_list_each(box, &o->borrows.unsent, struct outbox, link) {
        if (o->now_ns >= box->again_ns)
            send_due(o, box);
        else if (box->again_ns < next_ns)
            next_ns = box->again_ns;
    }
    return next_ns;
}

/* It is confirmed, or its owner is gone. */
static void settle(struct mob_owner *o, const struct change *list, size_t count)
{
    struct borrows *bs = &o->borrows;

    for (size_t i = 0; i < count; i++) {
        if (!list[i].held)
            continue;
        bs->unconfirmed--;
        if (list[i].source != 0)
            object_unpin(o, mob_owner_object_at(o, list[i].source));
    }
    while (bs->unconfirmed == 0 && !mob_list_empty(&bs->waiters)) {
        struct mob_waiter *w = mob_list_first(&bs->waiters, struct mob_waiter, link);

        mob_list_remove(&w->link);
        w->ready(w);
    }
}

void mob_owner_on_references_done(struct mob_owner *o, struct mob_address owner, const Mobula__ReferencesDone *m)
{
    struct outbox *box = mob_map_get(&o->borrows.outboxes, mob_address_key(owner));
    struct sent *s;

    if (box == NULL)
        return;
    if (m->error != NULL && m->error->code != MOB_ERR_OWNER_DIED) {
        if (box->again_ns == 0)
            box->again_ns = o->now_ns + AGAIN_NS;
        if (mob_list_empty(&box->link))
            mob_list_append(&o->borrows.unsent, &box->link);
        return;
    }
    mob_list_each(s, &box->sent, struct sent, link)
        if (s->seq == m->seq) {
            mob_list_remove(&s->link);
            settle(o, s->changes, s->count);
            free(s);
            return;
        }
}

void mob_owner_borrows_fail(struct mob_owner *o)
{
    struct outbox *box;
    struct sent *s;

    for (size_t at = 0; (box = mob_map_next(&o->borrows.outboxes, &at, NULL)) != NULL;) {
        size_t count = box->count;

        mob_list_remove(&box->link);
        box->count = 0;
        mob_list_each(s, &box->sent, struct sent, link) {
            mob_list_remove(&s->link);
            settle(o, s->changes, s->count);
            free(s);
        }
        settle(o, box->changes, count);
    }
}

bool mob_owner_unconfirmed(struct mob_owner *o, struct mob_waiter *w)
{
    if (o->borrows.unconfirmed == 0)
        return false;
    mob_list_append(&o->borrows.waiters, &w->link);
    return true;
}

/* -- borrowed ones ----------------------------------------------------------------------------------------------------------- */

static struct borrow *borrow_of(const struct mob_owner *o, const struct object *b)
{
    return b->borrowed ? mob_map_get(&o->borrows.by_number, object_number(b)) : NULL;
}

static struct borrow *borrow_create(struct mob_owner *o, struct object *b, const struct mob_object_id *id)
{
    struct borrow *w = mob_new(struct borrow);

    assert(!b->borrowed && b->state == MOB_OBJECT_PENDING);
    w->object = b;
    w->id = *id;
    mob_list_init(&w->link);
    mob_map_set(&o->borrows.by_number, object_number(b), w);
    b->borrowed = true;
    return w;
}

static bool is_own(const struct mob_owner *o, const struct mob_object_id *id)
{
    return id->node == o->config.self.node && id->process == o->config.self.process && id->cluster == o->config.cluster;
}

void mob_owner_borrow_as(struct mob_owner *o, struct object *b, const struct mob_object_id *id, struct mob_address issuer,
                         uint64_t ticket, bool alias)
{
    struct borrow *w = borrow_create(o, b, id);

    w->issuer = issuer;
    w->ticket = ticket;
    w->alias = alias;
    if (is_own(o, id))
        mob_owner_hold_take(o, issuer, ticket);
}

/* An own one is counted once more; one that is gone becomes an error. */
static uint64_t own(struct mob_owner *o, const struct mob_object_id *id)
{
    struct object *b = mob_owner_object_find(o, id);
    struct mob_error why = { 0 };

    if (b != NULL) {
        b->refs++;
        return object_number(b);
    }
    b = mob_owner_object_create(o, NULL);
    mob_error_set(&why, MOB_ERR_OBJECT_LOST, "the object was dropped by this process, its owner");
    why.user_code = MOB_LOST_REF_NOT_FOUND;
    struct fault *f = mob_owner_fault(o, &why);

    mob_owner_object_set_fault(o, b, f);
    mob_owner_fault_drop(f);
    return object_number(b);
}

/* A ticket of ours for w: its owner hears of it, and until it did, `source` keeps the object alive. */
static void take_ticket(struct mob_owner *o, struct borrow *w, uint64_t source)
{
    struct change c = { .id = w->id, .issuer = o->config.self, .holder = o->config.self, .ticket = ++o->borrows.last_ticket,
                        .source = source, .held = true };

    mob_list_remove(&w->link);
    w->issuer = c.issuer;
    w->ticket = c.ticket;
    say(o, &c);
}

uint64_t mob_owner_meet(struct mob_owner *o, const struct mob_object_id *id, uint64_t source)
{
    struct object *b;
    struct borrow *w;

    if (is_own(o, id))
        return own(o, id);
    b = mob_owner_object_create(o, NULL);
    w = borrow_create(o, b, id);
    if (source != 0)
        take_ticket(o, w, source);
    else
        mob_list_append(&o->borrows.loose, &w->link);
    return object_number(b);
}

uint64_t mob_owner_accept(struct mob_owner *o, const struct mob_object_id *id, struct mob_address issuer, uint64_t ticket)
{
    struct object *b;

    if (is_own(o, id)) {
        uint64_t number = own(o, id);

        mob_owner_unhold(o, issuer, ticket);
        return number;
    }
    b = mob_owner_object_create(o, NULL);
    mob_owner_borrow_as(o, b, id, issuer, ticket, false);
    return object_number(b);
}

bool mob_owner_keep(struct mob_owner *o)
{
    while (!mob_list_empty(&o->borrows.loose)) {
        struct borrow *w = mob_list_first(&o->borrows.loose, struct borrow, link);

        take_ticket(o, w, object_number(w->object));
    }
    return o->borrows.unconfirmed > 0;
}

void mob_owner_borrow_want(struct mob_owner *o, struct object *b)
{
    struct borrow *w = borrow_of(o, b);

    if (w == NULL || w->watched || b->state != MOB_OBJECT_PENDING)
        return;
    w->watched = true;
    mob_owner_watch(o, b, &w->id);
}

void mob_owner_borrow_cancel(struct mob_owner *o, struct object *b, int how)
{
    struct borrow *w = borrow_of(o, b);
    struct object *own_one;

    if (w == NULL || b->state != MOB_OBJECT_PENDING)
        return;
    struct change c = { .id = w->id, .issuer = o->config.self, .cancel = true, .how = how };

    if (!is_own(o, &w->id))
        say(o, &c);
    else if ((own_one = mob_owner_object_find(o, &w->id)) != NULL && !own_one->borrowed)
        mob_owner_cancel_object(o, own_one, how);
}

const struct mob_object_id *mob_owner_borrow_name(const struct mob_owner *o, const struct object *b)
{
    const struct borrow *w = borrow_of(o, b);

    return w != NULL && !w->alias ? &w->id : NULL;
}

const struct mob_object_id *mob_owner_borrow_id(const struct mob_owner *o, const struct object *b)
{
    const struct borrow *w = borrow_of(o, b);

    return w != NULL ? &w->id : NULL;
}

void mob_owner_ticket_drop(struct mob_owner *o, const struct mob_object_id *id, struct mob_address issuer, uint64_t ticket)
{
    struct change c = { .id = *id, .issuer = issuer, .ticket = ticket };

    if (is_own(o, id))
        mob_owner_unhold(o, issuer, ticket);
    else
        say(o, &c);
}

void mob_owner_borrow_end(struct mob_owner *o, struct object *b)
{
    struct borrow *w = mob_map_remove(&o->borrows.by_number, object_number(b));

    b->borrowed = false;
    mob_list_remove(&w->link);
    if (w->ticket != 0)
        mob_owner_ticket_drop(o, &w->id, w->issuer, w->ticket);
    free(w);
}

void mob_owner_borrows_of(const struct mob_owner *o, struct mob_address issuer, struct mob_map *ret_tickets)
{
    struct borrow *w;

    for (size_t at = 0; (w = mob_map_next(&o->borrows.by_number, &at, NULL)) != NULL;)
        if (w->ticket != 0 && mob_address_eq(w->issuer, issuer))
            mob_map_set(ret_tickets, w->ticket, w);
}

/* -- giving away ------------------------------------------------------------------------------------------------------------- */

uint64_t mob_owner_lend(struct mob_owner *o, uint64_t ref, struct mob_address to, struct mob_object_id *ret_id)
{
    struct object *b = mob_owner_object_at(o, ref);
    uint64_t ticket = ++o->borrows.last_ticket;

    assert(b != NULL);
    *ret_id = mob_owner_object_name(o, b);
    if (is_own(o, ret_id)) {
        mob_owner_hold(o, b, o->config.self, ticket, to);
        return ticket;
    }
    struct change c = { .id = *ret_id, .issuer = o->config.self, .holder = to, .ticket = ticket, .source = ref, .held = true };

    say(o, &c);
    return ticket;
}

void mob_owner_lend_undo(struct mob_owner *o, const struct mob_object_id *id, uint64_t ticket)
{
    mob_owner_ticket_drop(o, id, o->config.self, ticket);
}

void mob_owner_borrows_check(const struct mob_owner *o)
{
    const struct borrow *w;
    uint64_t number;

    for (size_t at = 0; (w = mob_map_next(&o->borrows.by_number, &at, &number)) != NULL;) {
        assert(w->object->borrowed && object_number(w->object) == number);
        assert((w->ticket == 0) != mob_list_empty(&w->link));
    }
}
