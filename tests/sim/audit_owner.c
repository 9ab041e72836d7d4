/* SPDX-License-Identifier: Apache-2.0 */
/* audit_owner.c -- looks into an owner's books. */
#include "audit.h"

#include "common/channel_layout.h"
#include "worker/core.h"

size_t audit_pushed(const struct mob_owner *o, struct audit_pushed *ret, size_t room)
{
    struct lease *l;
    size_t count = 0;

    mob_list_each(l, &o->leases.all, struct lease, link)
        if (l->count > 0 && count < room)
            ret[count++] = (struct audit_pushed){ .lease = l->number, .node = l->worker.node };
    return count;
}

bool audit_leased(const struct mob_owner *o, uint32_t node, uint64_t lease)
{
    return mob_owner_lease_find(o, node, lease) != NULL;
}

enum audit_rest audit_rest(const struct mob_owner *o, uint32_t node, uint64_t lease)
{
    const struct lease *l = mob_owner_lease_find(o, node, lease);

    return l == NULL || l->count == 0 ? AUDIT_NOTHING : l->batch.count == 0 ? AUDIT_SENT : AUDIT_UNSENT;
}

bool audit_counts_on(const struct mob_owner *o, uint32_t node, uint64_t lease, uint64_t task)
{
    const struct object *b = mob_owner_object_at(o, task);
    const struct task *t = b != NULL ? b->maker : NULL;

    return t != NULL && t->number == task && t->lease != NULL && t->lease->worker.node == node && t->lease->number == lease
        && !t->cancelled;
}

static bool waits_in_ring(const struct lease *l, const struct task *t)
{
    const struct mob_channel *ring = l->channel->ring;

    return ring->error == NULL
        && atomic_load(&ring->shared->tasks[t->sequence % SLOTS].claim) == claim_word(t->sequence, CLAIM_QUEUED);
}

static bool has_cancelled(const struct lease *l)
{
    const struct task *t;

    mob_list_each(t, &l->tasks, const struct task, link)
        if (t->cancelled && waits_in_ring(l, t))
            return true;
    return false;
}

bool audit_leaves_cancelled(const struct mob_owner *o)
{
    const struct lease *l;

    mob_list_each(l, &o->leases.all, const struct lease, link)
        if (l->channel != NULL && has_cancelled(l))
            return true;
    return false;
}

static bool is_among(const struct change *list, size_t count, uint64_t ticket)
{
    for (size_t i = 0; i < count; i++)
        if (list[i].held && list[i].ticket == ticket)
            return true;
    return false;
}

/* Its owner has still to be told, or to confirm it. */
static bool is_unconfirmed(const struct mob_owner *o, const struct borrow *w)
{
    const struct outbox *box = mob_map_get(&o->borrows.outboxes, mob_address_key((struct mob_address){ w->id.node, w->id.process }));
    const struct sent *s;

    if (box == NULL || !mob_address_eq(w->issuer, o->config.self))
        return false;
    mob_list_each(s, &box->sent, const struct sent, link)
        if (is_among(s->changes, s->count, w->ticket))
            return true;
    return is_among(box->changes, box->count, w->ticket);
}

size_t audit_tickets(const struct mob_owner *o, struct audit_ticket *ret, size_t room)
{
    const struct borrow *w;
    size_t count = 0;

    for (size_t at = 0; count < room && !o->lost && (w = mob_map_next(&o->borrows.by_number, &at, NULL)) != NULL;)
        if (w->ticket != 0 && !is_unconfirmed(o, w))
            ret[count++] = (struct audit_ticket){ .id = w->id, .issuer = w->issuer, .holder = o->config.self, .ticket = w->ticket };
    return count;
}

enum audit_hold audit_hold(const struct mob_owner *o, const struct audit_ticket *t)
{
    const struct object *b = mob_owner_object_find(o, &t->id);
    const struct hold *h;

    for (size_t at = 0; (h = mob_map_next(&o->holds.by_ticket, &at, NULL)) != NULL;)
        for (; h != NULL; h = h->same_key)
            if (h->ticket == t->ticket && mob_address_eq(h->issuer, t->issuer))
                return h->object == b && mob_address_eq(h->holder->address, t->holder) ? AUDIT_HELD : AUDIT_WRONG;
    return b != NULL ? AUDIT_WRONG : AUDIT_UNKNOWN;
}
