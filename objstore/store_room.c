/* SPDX-License-Identifier: Apache-2.0 */
/* store_room.c -- who must go when room is needed, and who cannot because it is pinned.
 *
 * Evicting is the raylet's half of the hazard pointers (objstore/layout.h): mark all that shall go EVICTING, look once through the
 * used part of every pin page, put back what was found there, retire the rest. A client that pins after our mark sees the mark; one
 * that pinned before it is seen by our look.
 *
 * Room is made in this order: freed objects whose pin may be gone; objects that are elsewhere or on the disk, too, longest unused
 * first. What must be written to the disk before is store_spill.c's.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "objstore/store_private.h"

#define EVICT_AT_ONCE 64                /* objects a scan */

/* What a slot says comes from the client: it can only name one of our entries, or nothing. */
static void note_pin(struct mob_store *s, const struct client *c, uint32_t slot, uint64_t value)
{
    uint64_t entry = (value >> 32) - 1;
    struct object *o;

    if (value >> 32 == 0 || entry >= s->entries_used || (o = s->objects[entry]) == NULL || o->generation != (uint32_t)value)
        return;
    o->pinned_at = s->looks;
    o->pin_process = c->process;
    o->pin_slot = slot;
}

void mob_room_look(struct mob_store *s)
{
    const struct client *c;
    size_t at = 0;

    s->looks++;
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
    size_t chosen = 0;

    mob_loans_look(s);                  /* who has read its answer pinned before it said so: seen below */
    for (size_t i = 0; i < count; i++) {
        assert((list[i]->m.now == OBJECT_SEALED || list[i]->m.now == OBJECT_DOOMED) && !list[i]->writing);
        if (list[i]->serving > 0 || list[i]->lent > 0)
            continue;
        atomic_store(&mob_object_entry(list[i])->word, mob_entry_word(list[i]->generation, MOB_ENTRY_EVICTING));
        list[chosen++] = list[i];
    }
    mob_room_look(s);
    for (size_t i = 0; i < chosen; i++) {
        if (mob_room_seen_pinned(list[i]))
            atomic_store(&mob_object_entry(list[i])->word, mob_entry_word(list[i]->generation, MOB_ENTRY_SEALED));
        else if (list[i]->m.now == OBJECT_SEALED && !list[i]->copy)
            mob_object_leave(list[i]);
        else
            mob_object_retire(list[i]);
    }
}

/* The pin that kept it was seen in one slot: only when that one is gone a scan is worth it. */
static bool worth_a_scan(const struct object *o)
{
    const struct client *c = mob_map_get(&o->store->clients, o->pin_process);

    if (o->writing || o->serving > 0 || o->lent > 0)
        return false;
    return o->pinned_at == 0 || c == NULL || atomic_load(&c->pins->slot[o->pin_slot]) != mob_pin_value(o->entry, o->generation);
}

void mob_room_retry(struct mob_store *s, uint64_t looks)
{
    struct object *list[EVICT_AT_ONCE];
    size_t found = 0;

    if (looks > s->count[OBJECT_DOOMED])
        looks = s->count[OBJECT_DOOMED];
    if (looks > 0)
        mob_loans_look(s);
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

/* Evict, longest unused first, until an extent of `size` can be had; `size` 0: until one is gone. Those that are pinned count as
 * used now. */
static struct mob_extent *take_from_evictable(struct mob_store *s, uint64_t size)
{
    const struct mob_link *last = s->evictable.prev;
    bool more = last != &s->evictable;
    struct mob_extent *extent;

    if (mob_alloc_size(s->alloc) - mob_alloc_used(s->alloc) + s->evictable_bytes < size)
        return NULL;                    /* all of them would go in vain */
    mob_loans_look(s);
    while (more) {
        struct object *list[EVICT_AT_ONCE];
        uint64_t gain = 0;
        size_t found = 0;

        while (more && found < EVICT_AT_ONCE && (gain < size || found == 0)) {
            struct object *o = mob_list_first(&s->evictable, struct object, link);

            more = &o->link != last;    /* each goes to the end, and is looked at once */
            mob_object_relist(o);
            if (!worth_a_scan(o))
                continue;               /* or ever so many that are pinned would be a scan of all pins each few */
            gain += o->extent != NULL ? o->extent->size : 0;
            list[found++] = o;
        }
        if (found == 0)
            return NULL;
        mob_room_evict(s, list, found);
        mob_pages_release_all(s);
        if (size == 0 && s->free_count > 0)
            return NULL;
        if (size > 0 && (extent = mob_alloc_take(s->alloc, size)) != NULL)
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
    mob_pages_release_all(s);
    if ((extent = mob_alloc_take(s->alloc, size)) != NULL)
        return extent;
    return take_from_evictable(s, size);
}

bool mob_room_entry(struct mob_store *s)
{
    if (s->free_count == 0)
        mob_room_retry(s, UINT64_MAX);
    if (s->free_count == 0)
        take_from_evictable(s, 0);
    return s->free_count > 0;
}

/* Who holds most of what cannot go: its name, or nothing. */
static void find_holder(struct mob_store *s, char *text, size_t size)
{
    struct mob_map bytes = { 0 };
    uint64_t most = 0, *sum;
    uint32_t who = 0;
    struct object *o;
    size_t at = 0;

    text[0] = '\0';
    mob_room_look(s);
    mob_list_each(o, &s->all, struct object, all) {
        bool written = o->m.now == OBJECT_CREATED || o->m.now == OBJECT_UNWANTED;
        uint32_t process = written ? o->maker : mob_room_seen_pinned(o) ? o->pin_process : 0;

        if (process == 0 || o->extent == NULL)
            continue;
        if ((sum = mob_map_get(&bytes, process)) == NULL)
            mob_map_set(&bytes, process, sum = mob_new(uint64_t));
        *sum += o->extent->size;
        if (*sum > most) {
            most = *sum;
            who = process;
        }
    }
    if (who != 0)
        snprintf(text, size, ", most of what is in use by process %" PRIu32 ": %" PRIu64 " bytes", who, most);
    while ((sum = mob_map_next(&bytes, &at, NULL)) != NULL)
        free(sum);
    mob_map_fini(&bytes);
}

static int refuse_for_entries(const struct mob_store *s, const char *name, struct mob_error *err)
{
    return mob_error_set(err, MOB_ERR_NO_SPACE, "no room for %s: the store of node %u holds %u objects, and can hold no more; free some,"
                         " or make them larger", name, s->config.node, s->entries);
}

int mob_room_check(const struct mob_store *s, const struct mob_object_id *id, uint64_t size, uint64_t behind, struct mob_error *err)
{
    uint64_t value = size - behind;
    char name[MOB_OBJECT_NAME_SIZE];

    if (size <= mob_alloc_size(s->alloc) && (value <= s->config.bytes || behind == 0))
        return 0;                       /* behind 0: of an object from elsewhere nobody said how much of it is the value */
    return mob_error_set(err, MOB_ERR_NO_SPACE, "%s has %" PRIu64 " bytes%s, the whole store of node %u %" PRIu64
                         "; start the node with a larger object store, or make the object smaller", mob_object_id_name(id, name),
                         value > s->config.bytes ? value : size, value > s->config.bytes ? "" : " with the names of what it carries",
                         s->config.node, s->config.bytes);
}

/* Of its bytes. */
static void say_contents(const struct mob_store *s, char *text, size_t size)
{
    const uint64_t *bytes = s->bytes;

    snprintf(text, size, "%" PRIu64 " hold %" PRIu64 " sealed objects (%" PRIu64 " of them elsewhere or on the disk, too), %" PRIu64
             " are being written, %" PRIu64 " being pulled or restored, %" PRIu64 " were freed but are still in use",
             bytes[OBJECT_SEALED], s->count[OBJECT_SEALED], s->evictable_bytes, bytes[OBJECT_CREATED] + bytes[OBJECT_UNWANTED],
             bytes[OBJECT_PULLING] + bytes[OBJECT_DISCARDED] + bytes[OBJECT_RESTORING] + bytes[OBJECT_DROPPED], bytes[OBJECT_DOOMED]);
}

/* Why the disk does not help; nothing, if it does. */
static void say_troubles(const struct mob_store *s, char *text, size_t size)
{
    const char *spill = s->spill.trouble.text, *overflow = s->overflow.trouble.text;

    snprintf(text, size, "%s%s%s%s", spill, spill[0] != '\0' ? "; " : "", overflow, overflow[0] != '\0' ? "; " : "");
}

struct mob_error mob_room_error_for(const struct mob_store *s, uint32_t process, const struct mob_error *why)
{
    struct mob_error e = *why;

    if (e.code == MOB_ERR_NO_SPACE && (s->config.elsewhere == NULL || !s->config.elsewhere(s->config.arg, process)))
        e.user_code = 0;
    return e;
}

int mob_room_refuse(struct mob_store *s, const struct mob_object_id *id, uint64_t size, bool who, struct mob_error *err)
{
    char name[MOB_OBJECT_NAME_SIZE], contents[384], holder[96] = "", overflow[96] = "", troubles[2 * sizeof err->text + 8];

    mob_object_id_name(id, name);
    if (mob_room_check(s, id, size, 0, err) < 0)
        return -1;
    if (s->free_count == 0 && s->entries_used == s->entries)
        return refuse_for_entries(s, name, err);
    if (who)
        find_holder(s, holder, sizeof holder);
    if (s->overflow.alloc != NULL)
        snprintf(overflow, sizeof overflow, " and of the %" PRIu64 " of its overflow on the disk", mob_alloc_size(s->overflow.alloc));
    say_contents(s, contents, sizeof contents);
    say_troubles(s, troubles, sizeof troubles);
    return mob_error_set(err, MOB_ERR_NO_SPACE, "no room for %s of %" PRIu64 " bytes: of the %" PRIu64 " bytes of the store of node %u"
                         "%s, %s%s; the largest gap is %" PRIu64 "; %sdrop refs or views, or start the node with a larger object store",
                         name, size, s->config.bytes, s->config.node, overflow, contents, holder, mob_alloc_largest_gap(s->alloc),
                         troubles);
}
