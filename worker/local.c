/* SPDX-License-Identifier: Apache-2.0 */
/* local.c -- tasks into, and answers out of, the rings shared with the workers of this node.
 *
 * A channel comes before the first Grant of its worker and is kept when the lease ends, for the raylet lends the same worker
 * again without opening another. It is closed when its worker died, when a newer one replaces it, or, being idle, when there
 * are more than IDLE_MAX. Doorbells ring once a flush; early when RING_EARLY tasks are in a ring, so that a sleeping worker
 * starts meanwhile.
 */
#include "worker/local.h"

#include <assert.h>
#include <stdlib.h>

#include "worker/core.h"

#define RING_EARLY 32u
#define IDLE_MAX 256u

struct channel *mob_owner_channel_of(const struct mob_owner *o, uint32_t worker)
{
    return mob_map_get(&o->channels.by_worker, worker);
}

void mob_owner_channel_close(struct mob_owner *o, struct channel *c)
{
    struct channel **at = &o->channels.on_bit[c->bit];

    assert(c->lease == NULL);
    while (*at != c)
        at = &(*at)->next_on_bit;
    *at = c->next_on_bit;
    mob_list_remove(&c->link);
    mob_list_remove(&c->pushed);
    mob_map_remove(&o->channels.by_worker, c->worker);
    mob_channel_close(c->ring);
    free(c);
}

static void close_idle(struct mob_owner *o)
{
    struct channel *c;

    if (o->channels.by_worker.count <= IDLE_MAX)
        return;
    mob_list_each(c, &o->channels.all, struct channel, link)
        if (c->lease == NULL) {
            mob_owner_channel_close(o, c);
            return;
        }
}

void mob_owner_channel(struct mob_owner *o, uint32_t worker, struct mob_channel *ring, unsigned bit)
{
    struct channel *old = mob_owner_channel_of(o, worker);

    assert(bit < MOB_DIRTY_BITS);
    if (o->lost || (old != NULL && old->lease != NULL)) {   /* a raylet would not replace a channel in use */
        mob_channel_close(ring);
        return;
    }
    if (old != NULL)
        mob_owner_channel_close(o, old);
    close_idle(o);
    struct channel *c = mob_new(struct channel);

    *c = (struct channel){ .ring = ring, .worker = worker, .bit = bit, .next_on_bit = o->channels.on_bit[bit] };
    o->channels.on_bit[bit] = c;
    mob_list_append(&o->channels.all, &c->link);
    mob_list_init(&c->pushed);
    mob_map_set(&o->channels.by_worker, worker, c);
}

void mob_owner_channels_fini(struct mob_owner *o)
{
    struct channel *c;

    mob_list_each(c, &o->channels.all, struct channel, link) {
        c->lease = NULL;
        mob_owner_channel_close(o, c);
    }
    mob_map_fini(&o->channels.by_worker);
}

static void ring_later(struct mob_owner *o, struct channel *c)
{
    if (mob_list_empty(&c->pushed))
        mob_list_append(&o->channels.pushed, &c->pushed);
}

bool mob_owner_channel_push(struct mob_owner *o, struct lease *l, struct task *t)
{
    struct channel *c = l->channel;
    size_t size = mob_owner_body_frame_size(o, t);
    void *body;
    struct mob_task_frame *frame = mob_channel_reserve(c->ring, size, &body);

    if (frame == NULL)
        return false;
    mob_owner_frame_fill(o, t, l, size, frame);
    mob_owner_body_frame(o, t, body);
    t->sequence = mob_channel_commit(c->ring);
    ring_later(o, c);
    if (++c->unrung == RING_EARLY)
        mob_channel_ring(c->ring, false);
    return true;
}

void mob_owner_channel_allow(struct mob_owner *o, struct channel *c, uint64_t sequence, uint32_t items)
{
    mob_channel_allow(c->ring, sequence, items);
    ring_later(o, c);
}

void mob_owner_channels_flush(struct mob_owner *o)
{
    while (!mob_list_empty(&o->channels.pushed)) {
        struct channel *c = mob_list_first(&o->channels.pushed, struct channel, pushed);

        mob_list_remove(&c->pushed);
        c->unrung = 0;
        mob_channel_ring(c->ring, false);
    }
}

/* -- answers ----------------------------------------------------------------------------------------------------------------- */

size_t mob_owner_channel_drain(struct mob_owner *o, struct channel *c, size_t limit)
{
    struct mob_answer_frame frame;
    const void *body;
    size_t n = 0;

    while (n < limit && mob_channel_answer(c->ring, &frame, &body)) {
        if (c->lease != NULL)
            mob_owner_answer(o, c->lease, &frame, body);
        mob_channel_answer_done(c->ring);
        if (frame.status == MOB_ANSWER_ITEM)
            ring_later(o, c);           /* its worker may wait for the room */
        n++;
    }
    if (c->lease != NULL && mob_channel_error(c->ring) != NULL)
        mob_owner_lease_broken(o, c->lease, mob_channel_error(c->ring));
    return n;
}

static bool drain_all(struct mob_owner *o, size_t limit, size_t *ret_taken)
{
    struct channel *c;
    size_t taken = 0;

    mob_list_each(c, &o->channels.all, struct channel, link)
        if (c->lease != NULL && c->lease->count > 0)
            taken += mob_owner_channel_drain(o, c, limit - taken);
    *ret_taken = taken;
    return taken == limit;
}

bool mob_owner_drain(struct mob_owner *o, const uint64_t dirty[MOB_DIRTY_BITS / 64], size_t limit)
{
    size_t taken = 0;

    o->now_ns = o->world->now_ns(o->world);
    if (dirty[MOB_DIRTY_BITS / 64 - 1] >> 63) {             /* "look at all" */
        mob_owner_leases_look(o);
        return drain_all(o, limit, &taken);
    }
    for (unsigned i = 0; i < MOB_DIRTY_BITS / 64; i++)
        for (uint64_t bits = dirty[i]; bits != 0; bits &= bits - 1)
            for (struct channel *c = o->channels.on_bit[64 * i + (unsigned)__builtin_ctzll(bits)]; c != NULL; c = c->next_on_bit)
                taken += mob_owner_channel_drain(o, c, limit - taken);
    return taken == limit;
}

bool mob_owner_soon(const struct mob_owner *o, int64_t ns)
{
    struct channel *c;

    mob_list_each(c, &o->channels.all, struct channel, link) {
        if (c->lease == NULL || c->lease->count == 0)
            continue;
        const struct kind *k = mob_list_first(&c->lease->tasks, struct task, link)->kind;

        if (k->measured && k->mean_ns <= ns)
            return true;
    }
    return false;
}
