/* SPDX-License-Identifier: Apache-2.0 */
/* room.c -- which lease of a shape gets the next task: a heap of those that have room. It is told of each change of a lease, and moves
 * those that changed when it is asked, once each: a lease that has its turn for many tasks, or the only one, costs next to nothing. Of
 * equals the one that was granted first is next, so the order does not depend on the heap's shape. */
#include "worker/room.h"

#include <assert.h>
#include <stdlib.h>

#include "worker/core.h"

#define CHILDREN 4u
#define GRANT_BITS 44                   /* of room_slot.order; above them the count of tasks */

static struct room_slot slot_of(struct lease *l)
{
    return (struct room_slot){ l->load_ns, (uint64_t)l->count << GRANT_BITS | l->grant, l };
}

static bool before(const struct room_slot *a, const struct room_slot *b)
{
    return a->load_ns != b->load_ns ? a->load_ns < b->load_ns : a->order < b->order;
}

static void put(struct room *r, size_t i, struct room_slot slot)
{
    r->of[i] = slot;
    slot.lease->room_at = i;
}

/* The slot's place is at i, or above. */
static void rise(struct room *r, size_t i, struct room_slot slot)
{
    for (; i > 0 && before(&slot, &r->of[(i - 1) / CHILDREN]); i = (i - 1) / CHILDREN)
        put(r, i, r->of[(i - 1) / CHILDREN]);
    put(r, i, slot);
}

/* At i, or below. */
static void sink(struct room *r, size_t i, struct room_slot slot)
{
    size_t child;

    while ((child = CHILDREN * i + 1) < r->count) {
        size_t end = child + CHILDREN < r->count ? child + CHILDREN : r->count;

        for (size_t other = child + 1; other < end; other++)
            if (before(&r->of[other], &r->of[child]))
                child = other;
        if (!before(&r->of[child], &slot))
            break;
        put(r, i, r->of[child]);
        i = child;
    }
    put(r, i, slot);
}

static void move(struct room *r, size_t i, struct room_slot slot)
{
    if (i > 0 && before(&slot, &r->of[(i - 1) / CHILDREN]))
        rise(r, i, slot);
    else
        sink(r, i, slot);
}

static void enter(struct room *r, struct lease *l)
{
    if (r->count == r->size) {
        r->size = 2 * r->size + 8;
        r->of = mob_realloc(r->of, r->size * sizeof *r->of);
    }
    l->roomy = true;
    rise(r, r->count++, slot_of(l));
}

static void leave(struct room *r, struct lease *l)
{
    struct room_slot last = r->of[--r->count];

    l->roomy = false;
    if (last.lease != l)
        move(r, l->room_at, last);
}

static void settle(struct room *r)
{
    while (!mob_list_empty(&r->changed)) {
        struct lease *l = mob_list_first(&r->changed, struct lease, changed);
        bool roomy = mob_owner_lease_has_room(l);

        mob_list_remove(&l->changed);
        if (roomy && l->roomy)
            move(r, l->room_at, slot_of(l));
        else if (roomy)
            enter(r, l);
        else if (l->roomy)
            leave(r, l);
    }
}

void mob_owner_room_init(struct room *r)
{
    *r = (struct room){ 0 };
    mob_list_init(&r->changed);
}

void mob_owner_room_fini(struct room *r)
{
    free(r->of);
}

void mob_owner_room_note(struct lease *l)
{
    if (mob_list_empty(&l->changed))
        mob_list_append(&l->shape->room.changed, &l->changed);
}

void mob_owner_room_leave(struct lease *l)
{
    mob_list_remove(&l->changed);
    if (l->roomy)
        leave(&l->shape->room, l);
}

struct lease *mob_owner_room_first(struct shape *sh)
{
    settle(&sh->room);
    return sh->room.count > 0 ? sh->room.of[0].lease : NULL;
}

bool mob_owner_room_beside(const struct lease *l)
{
    settle(&l->shape->room);
    return l->shape->room.count > l->roomy;
}

void mob_owner_room_check(const struct shape *sh)
{
    const struct room *r = &sh->room;
    struct lease *l;
    size_t roomy = 0;

    mob_list_each(l, &sh->leases, struct lease, in_shape) {
        assert(l->roomy == mob_owner_lease_has_room(l) || !mob_list_empty(&l->changed));
        roomy += l->roomy;
    }
    assert(roomy == r->count);
    for (size_t i = 0; i < r->count; i++) {
        struct room_slot now = slot_of(r->of[i].lease);

        assert(now.lease->roomy && now.lease->room_at == i);
        assert((now.load_ns == r->of[i].load_ns && now.order == r->of[i].order) || !mob_list_empty(&now.lease->changed));
        assert(i == 0 || !before(&r->of[i], &r->of[(i - 1) / CHILDREN]));
    }
}
