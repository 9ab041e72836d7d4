/* SPDX-License-Identifier: Apache-2.0 */
/* copies.c -- where our stored objects are: raylets tell which they have, and are told which nobody needs (docs/protocol.md, Copies).
 *
 * What is to be freed is gathered till the flush, and goes in one message a node.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "worker/core.h"

#define FREE_BATCH 4096u                /* objects in one Free message */

static bool is_known_at(const struct stored *s, uint32_t node)
{
    bool known = s->node == node;

    for (uint32_t i = 0; i < s->more_count && !known; i++)
        known = s->more[i] == node;
    return known;
}

bool mob_owner_object_stays_at(const struct mob_owner *o, const struct object *b, uint32_t node)
{
    return b != NULL && mob_owner_object_is_own(o, b) && is_known_at(b->stored, node);
}

void mob_owner_object_copied(struct object *b, uint32_t node)
{
    struct stored *s = b->stored;

    if (is_known_at(s, node))
        return;
    s->more = mob_realloc(s->more, (s->more_count + 1) * sizeof *s->more);
    s->more[s->more_count++] = node;
}

void mob_owner_object_forget_places(struct mob_owner *o, struct object *b, size_t count, uint32_t before)
{
    struct stored *s = b->stored;

    assert(count > 0 && s->more_count >= count);
    if (mob_owner_object_is_own(o, b)) {
        mob_owner_copy_free(o, s->node, &s->id, before);
        for (size_t i = 0; i + 1 < count; i++)
            mob_owner_copy_free(o, s->more[i], &s->id, before);
    }
    s->node = s->more[count - 1];
    s->more_count -= (uint32_t)count;
    memmove(s->more, s->more + count, s->more_count * sizeof *s->more);
    s->since = ++o->lineage.losses;
}

/* Of copies that we do not count with: all, unless the value is made again just now, perhaps there. */
static uint32_t stale_before(const struct mob_owner *o, const struct object *b)
{
    return b != NULL && object_is_unmade(b) ? mob_owner_lineage_next(o, b) : 0;
}

static void copy_came(struct mob_owner *o, uint32_t node, const Mobula__ObjectId *said)
{
    struct mob_object_id id = mob_wire_object(said);
    struct object *b = mob_owner_object_find(o, &id);

    if (b != NULL && b->state == MOB_OBJECT_STORED && mob_object_id_eq(&b->stored->id, &id))
        mob_owner_object_copied(b, node);
    else
        mob_owner_copy_free(o, node, &id, stale_before(o, b));
}

static void forget_copy(struct stored *s, uint32_t node)
{
    for (uint32_t i = 0; i < s->more_count; i++)
        if (s->more[i] == node)
            s->more[i--] = s->more[--s->more_count];
}

static void copy_went(struct mob_owner *o, uint32_t node, const Mobula__ObjectId *said)
{
    struct mob_object_id id = mob_wire_object(said);
    struct object *b = mob_owner_object_find(o, &id);
    struct stored *s = b != NULL && b->state == MOB_OBJECT_STORED ? b->stored : NULL;

    if (s != NULL)
        forget_copy(s, node);
}

/* A task that does not stand there now has left that there in an attempt whose answer was lost; and so has one whose other attempt gave
 * somebody else's object for it. */
static bool may_be_answered(const struct object *b, uint32_t node)
{
    return b->maker == NULL ? !b->borrowed : b->maker->state == TASK_PUSHED && b->maker->lease->worker.node == node;
}

/* After a link broke. Free may have been lost, or Copies; one that we do not know of we do not need. What is pending may yet be heard
 * of. */
static void node_has(struct mob_owner *o, uint32_t node, const Mobula__ObjectId *said)
{
    struct mob_object_id id = mob_wire_object(said);
    const struct object *b = mob_owner_object_find(o, &id), *end = id.index > 0 ? mob_owner_object_at(o, id.task) : NULL;
    bool early = b != NULL ? b->state == MOB_OBJECT_PENDING && stale_before(o, b) == 0 && may_be_answered(b, node)
                           : end != NULL && end->streams && mob_owner_stream_may_come(end, id.index);

    if (early)
        return;
    if (b == NULL || b->state != MOB_OBJECT_STORED || !mob_object_id_eq(&b->stored->id, &id) || !is_known_at(b->stored, node))
        mob_owner_copy_free(o, node, &id, stale_before(o, b));
}

/* `node` leaves; what it has is at `to`, too. Who has not heard of that copy yet says nothing, and is told again. */
static void copy_leaves(struct mob_owner *o, uint32_t node, uint32_t to, const Mobula__ObjectId *said)
{
    struct mob_object_id id = mob_wire_object(said);
    struct object *b = mob_owner_object_find(o, &id);
    struct stored *s = b != NULL && b->state == MOB_OBJECT_STORED ? b->stored : NULL;

    if (s == NULL || !mob_object_id_eq(&s->id, &id) || !is_known_at(s, node)) {
        node_has(o, node, said);
        return;
    }
    if (to == node || !is_known_at(s, to))
        return;
    if (s->node == node) {
        s->node = to;
        s->since = ++o->lineage.losses;
        forget_copy(s, to);
    } else {
        forget_copy(s, node);
    }
    mob_owner_copy_free(o, node, &id, 0);
}

void mob_owner_on_copies(struct mob_owner *o, uint32_t node, const Mobula__Copies *m)
{
    for (size_t i = 0; i < m->n_added; i++)
        copy_came(o, node, m->added[i]);
    for (size_t i = 0; i < m->n_gone; i++)
        copy_went(o, node, m->gone[i]);
    for (size_t i = 0; i < m->n_last; i++)
        copy_came(o, node, m->last[i]);
    for (size_t i = 0; i < m->n_have; i++)
        node_has(o, node, m->have[i]);
    for (size_t i = 0; i < m->n_leaving; i++)
        copy_leaves(o, node, m->to, m->leaving[i]);
}

/* -- freeing copies ------------------------------------------------------------------------------------------------------- */

void mob_owner_copy_free(struct mob_owner *o, uint32_t node, const struct mob_object_id *id, uint32_t before)
{
    struct objects *os = &o->objects;

    if (o->lost)
        return;
    if (os->copy_count == os->copy_room)
        os->copies = mob_realloc(os->copies, (os->copy_room = 2 * os->copy_room + 64) * sizeof *os->copies);
    os->copies[os->copy_count++] = (struct free_copy){ node, before, *id };
}

static uint64_t key_of(const struct free_copy *c)
{
    return (uint64_t)c->node << 32 | c->before;
}

static int by_node(const void *a, const void *b)
{
    uint64_t x = key_of(a), y = key_of(b);

    return (x > y) - (x < y);
}

static void send_free(struct mob_owner *o, const struct free_copy *copies, size_t n)
{
    Mobula__Free m = MOBULA__FREE__INIT;
    Mobula__ObjectId *ids = mob_alloc(n * sizeof *ids), **list = mob_alloc(n * sizeof *list);

    for (size_t i = 0; i < n; i++) {
        mob_wire_put_object(list[i] = &ids[i], &copies[i].id);
    }
    m.n_objects = n;
    m.objects = list;
    m.before = copies->before;
    mob_owner_send(o, (struct mob_address){ copies->node, 0 }, MOBULA__ENVELOPE__BODY_FREE, &m);
    free(ids);
    free(list);
}

void mob_owner_objects_flush(struct mob_owner *o)
{
    struct objects *os = &o->objects;

    if (os->copy_count == 0)
        return;
    qsort(os->copies, os->copy_count, sizeof *os->copies, by_node);
    for (size_t i = 0, n; i < os->copy_count; i += n) {
        for (n = 1; i + n < os->copy_count && n < FREE_BATCH && key_of(&os->copies[i + n]) == key_of(&os->copies[i]);)
            n++;
        send_free(o, &os->copies[i], n);
    }
    os->copy_count = 0;
}
