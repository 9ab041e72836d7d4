/* SPDX-License-Identifier: Apache-2.0 */
/* store_room.c -- who must go when room is needed, and who cannot because it is pinned.
 *
 * Evicting is the raylet's half of the hazard pointers (objstore/layout.h): mark all that shall go EVICTING, look once through the
 * used part of every pin page, put back what was found there, retire the rest. A client that pins after our mark sees the mark; one
 * that pinned before it is seen by our look.
 *
 * Room is made in this order: freed objects whose pin may be gone; copies that are elsewhere too, longest unused first.
 */
#include <assert.h>
#include <inttypes.h>

#include "objstore/store_private.h"

#define EVICT_AT_ONCE 64                /* objects a scan */

static bool being_evicted(const struct object *o)
{
    return (atomic_load_explicit(&mob_object_entry(o)->word, memory_order_relaxed) & 0xff) == MOB_ENTRY_EVICTING;
}

/* What a slot says comes from the client: it can only name one of our entries, or nothing. */
static void note_pin(struct mob_store *s, const struct client *c, uint32_t slot, uint64_t value)
{
    uint64_t entry = (value >> 32) - 1;
    struct object *o;

    if (value >> 32 == 0 || entry >= s->entries_used || (o = s->objects[entry]) == NULL || o->generation != (uint32_t)value
        || !being_evicted(o))
        return;
    o->pinned = true;
    o->pin_process = c->process;
    o->pin_slot = slot;
}

static void scan_pins(struct mob_store *s)
{
    const struct client *c;
    size_t at = 0;

    while ((c = mob_map_next(&s->clients, &at, NULL)) != NULL) {
        uint32_t top = atomic_load(&c->pins->top);

        for (uint32_t slot = 0; slot < top && slot < MOB_PIN_SLOTS; slot++) {
            uint64_t value = atomic_load(&c->pins->slot[slot]);

            if (value != 0)
                note_pin(s, c, slot, value);
        }
    }
}

void mob_room_evict(struct mob_store *s, struct object **list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert(list[i]->m.now == OBJECT_SEALED || list[i]->m.now == OBJECT_DOOMED);
        list[i]->pinned = false;
        atomic_store(&mob_object_entry(list[i])->word, mob_entry_word(list[i]->generation, MOB_ENTRY_EVICTING));
    }
    scan_pins(s);
    for (size_t i = 0; i < count; i++) {
        if (list[i]->pinned || list[i]->serving > 0)
            atomic_store(&mob_object_entry(list[i])->word, mob_entry_word(list[i]->generation, MOB_ENTRY_SEALED));
        else
            mob_object_retire(list[i]);
    }
}

/* The pin that kept it was seen in one slot: only when that one is gone a scan is worth it. */
static bool worth_a_scan(const struct object *o)
{
    const struct client *c = mob_map_get(&o->store->clients, o->pin_process);

    if (o->serving > 0)
        return false;
    return !o->pinned || c == NULL || atomic_load(&c->pins->slot[o->pin_slot]) != mob_pin_value(o->entry, o->generation);
}

void mob_room_retry(struct mob_store *s, uint64_t looks)
{
    struct object *list[EVICT_AT_ONCE];
    size_t found = 0;

    if (looks > s->count[OBJECT_DOOMED])
        looks = s->count[OBJECT_DOOMED];
    for (; looks > 0; looks--) {        /* as each goes to the end, none comes twice */
        struct object *o = mob_list_first(&s->doomed, struct object, link);

        mob_list_remove(&o->link);
        mob_list_append(&s->doomed, &o->link);
        if (worth_a_scan(o))
            list[found++] = o;
        if (found == EVICT_AT_ONCE) {
            mob_room_evict(s, list, found);
            found = 0;
        }
    }
    if (found > 0)
        mob_room_evict(s, list, found);
}

static uint64_t bytes_of(const struct object *o)
{
    return o->extent != NULL ? o->extent->size : 0;
}

/* Evict copies, longest unused first, until an extent of `size` can be had. Those that are pinned count as used now. */
static struct mob_extent *take_from_copies(struct mob_store *s, uint64_t size)
{
    uint64_t left = 0, gain = 0;
    struct mob_extent *extent;
    struct object *o;

    mob_list_each(o, &s->copies, struct object, link) {
        left++;
        gain += bytes_of(o);
    }
    if (mob_alloc_size(s->alloc) - mob_alloc_used(s->alloc) + gain < size)
        return NULL;                    /* all of them would go in vain */
    while (left > 0) {
        struct object *list[EVICT_AT_ONCE];
        size_t found = 0;

        for (gain = 0; left > 0 && found < EVICT_AT_ONCE && gain < size; left--) {
            o = mob_list_first(&s->copies, struct object, link);
            mob_list_remove(&o->link);
            mob_list_append(&s->copies, &o->link);
            gain += bytes_of(o);
            list[found++] = o;
        }
        mob_room_evict(s, list, found);
        if ((extent = mob_alloc_take(s->alloc, size)) != NULL)
            return extent;
    }
    return NULL;
}

struct mob_extent *mob_room_take(struct mob_store *s, uint64_t size)
{
    struct mob_extent *extent = mob_alloc_take(s->alloc, size);

    if (extent != NULL || size > mob_alloc_size(s->alloc))
        return extent;
    mob_room_retry(s, UINT64_MAX);
    if ((extent = mob_alloc_take(s->alloc, size)) != NULL)
        return extent;
    return take_from_copies(s, size);
}

int mob_room_refuse(const struct mob_store *s, const struct mob_object_id *id, uint64_t size, struct mob_error *err)
{
    uint64_t all = mob_alloc_size(s->alloc), copies = 0;
    char name[MOB_OBJECT_NAME_SIZE];
    const struct object *o;

    mob_object_id_name(id, name);
    if (size > all)
        return mob_error_set(err, MOB_ERR_NO_SPACE, "%s has %" PRIu64 " bytes, the whole store of node %u %" PRIu64
                             "; start the node with a larger object store, or make the object smaller", name, size,
                             s->config.node, all);
    mob_list_each(o, &s->copies, const struct object, link)
        copies += bytes_of(o);
    return mob_error_set(err, MOB_ERR_NO_SPACE, "no room for %s of %" PRIu64 " bytes: of the %" PRIu64 " bytes of the store of node %u, %"
                         PRIu64 " hold %" PRIu64 " sealed objects (%" PRIu64 " of them copies in use), %" PRIu64 " are being written, %"
                         PRIu64 " being pulled, %" PRIu64 " were freed but are still in use; the largest gap is %" PRIu64
                         "; drop refs or views, or start the node with a larger object store", name, size, all, s->config.node,
                         s->bytes[OBJECT_SEALED], s->count[OBJECT_SEALED], copies,
                         s->bytes[OBJECT_CREATED] + s->bytes[OBJECT_UNWANTED],
                         s->bytes[OBJECT_PULLING] + s->bytes[OBJECT_DISCARDED], s->bytes[OBJECT_DOOMED],
                         mob_alloc_largest_gap(s->alloc));
}
