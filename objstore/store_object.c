/* SPDX-License-Identifier: Apache-2.0 */
/* store_object.c -- the life of one object in this store.
 *
 *   CREATED ----> SEALED ----> DOOMED --.        CREATED    waits for its maker's Seal or Abandon, or for the maker's death
 *      |  '-> UNWANTED --.       |      |        UNWANTED   the same; a Seal then ends it
 *      |                 v       v      |        PULLING    waits for its pull (store_pull.c)
 *      '--------------> GONE <----------'        DISCARDED  the same, and for mob_store_serve_done(): bulk still works on its bytes
 *                        ^  ^                    SEALED     for ever: until its owner frees it, or room is needed
 *   PULLING -> SEALED    |  |                    DOOMED     waits for its last pin (mob_room_retry), mob_store_serve_done() and the
 *      |-----------------'  |                               end of its writing to the disk
 *      '-> DISCARDED -------'                    SPILLED    for ever: until its owner frees it, or somebody asks for it
 *                                                RESTORING  waits for mob_store_disk_done()
 *   SEALED --> SPILLED --> RESTORING --> SEALED  DROPPED    the same: the disk still writes into its bytes
 *                 |            |'--> DROPPED --> GONE
 *                 '------------'---------------> GONE
 *
 * One id may have several objects here: two attempts of a task that write, an old value that is pinned beside its new one. At most
 * one of them is SEALED, at most one PULLING.
 *
 * Clients see an entry's word alone: {generation, CREATED} until it is sealed, SEALED, for moments EVICTING, then the next
 * generation's FREE. Its other fields are written while it is no client's business, before the word says SEALED.
 */
#include <assert.h>
#include <stdlib.h>

#include "common/error.h"
#include "objstore/store_private.h"

/* Where it waits for its end, or for its turn to make room. NULL: it does not. */
static struct mob_link *list_of(const struct object *o)
{
    if (o->m.now == OBJECT_DOOMED)
        return &o->store->doomed;
    if (o->m.now != OBJECT_SEALED || o->writing)
        return NULL;
    if (mob_overflow_has(o->store, o->extent))
        return &o->store->overflow.sealed;
    if (o->copy || o->file != NULL)
        return &o->store->evictable;
    return o->size > 0 ? &o->store->primaries : NULL;
}

static bool object_holds(const struct mob_machine *m)
{
    const struct object *o = MOB_CONTAINER(m, const struct object, m);
    bool has = o->size > 0 && m->now != OBJECT_SPILLED, quiet = mob_list_empty(&o->waiters);

    if ((m->now != OBJECT_GONE && has != (o->extent != NULL)) || (o->ask != NULL && m->now != OBJECT_SPILLED) || o->listed != list_of(o))
        return false;
    switch ((enum object_state)m->now) {
    case OBJECT_UNWANTED:
        return quiet && o->maker != 0;
    case OBJECT_SEALED:
    case OBJECT_DOOMED:
        return quiet;
    case OBJECT_SPILLED:
        return o->entry == ENTRY_NONE && o->file != NULL && o->serving == 0;
    case OBJECT_RESTORING:
        return o->entry != ENTRY_NONE && o->file != NULL && o->serving == 0;
    case OBJECT_DROPPED:
        return o->entry != ENTRY_NONE && quiet && o->serving == 0;
    case OBJECT_GONE:
        return quiet && o->serving == 0 && !o->writing;
    case OBJECT_PULLING:
    case OBJECT_DISCARDED:
        return quiet;
    default:
        return o->serving == 0 && o->file == NULL;
    }
}

static const struct mob_state object_states[] = {
    [OBJECT_CREATED] = { "created", NULL, MOB_TO(OBJECT_SEALED) | MOB_TO(OBJECT_UNWANTED) | MOB_TO(OBJECT_GONE) },
    [OBJECT_UNWANTED] = { "unwanted", NULL, MOB_TO(OBJECT_GONE) },
    [OBJECT_PULLING] = { "pulling", NULL, MOB_TO(OBJECT_SEALED) | MOB_TO(OBJECT_DISCARDED) | MOB_TO(OBJECT_GONE) },
    [OBJECT_DISCARDED] = { "discarded", NULL, MOB_TO(OBJECT_GONE) },
    [OBJECT_SEALED] = { "sealed", NULL, MOB_TO(OBJECT_DOOMED) | MOB_TO(OBJECT_SPILLED) | MOB_TO(OBJECT_GONE) },
    [OBJECT_SPILLED] = { "spilled", NULL, MOB_TO(OBJECT_RESTORING) | MOB_TO(OBJECT_GONE) },
    [OBJECT_RESTORING] = { "restoring", NULL, MOB_TO(OBJECT_SEALED) | MOB_TO(OBJECT_DROPPED) | MOB_TO(OBJECT_GONE) },
    [OBJECT_DROPPED] = { "dropped", NULL, MOB_TO(OBJECT_GONE) },
    [OBJECT_DOOMED] = { "doomed", NULL, MOB_TO(OBJECT_GONE) },
    [OBJECT_GONE] = { "gone", NULL, 0 },
};

const char *mob_object_state(const struct object *o)
{
    return object_states[o->m.now].name;
}

struct mob_store_entry *mob_object_entry(const struct object *o)
{
    assert(o->entry != ENTRY_NONE);
    return &o->store->meta->entry[o->entry];
}

static uint64_t bytes_of(const struct object *o)
{
    return o->extent != NULL ? o->extent->size : 0;
}

static void count(struct object *o, int64_t sign)
{
    o->store->count[o->m.now] += (uint64_t)sign;
    o->store->bytes[o->m.now] += (uint64_t)sign * bytes_of(o);
}

static void count_listed(struct object *o, int64_t sign)
{
    if (o->listed == &o->store->evictable)
        o->store->evictable_bytes += (uint64_t)sign * bytes_of(o);
    else if (o->listed == &o->store->primaries)
        o->store->primary_bytes += (uint64_t)sign * bytes_of(o);
}

void mob_object_relist(struct object *o)
{
    const struct mob_link *before = o->listed;

    count_listed(o, -1);
    mob_list_remove(&o->link);
    o->listed = list_of(o);
    if (o->listed == NULL)
        return;
    if (o->listed != before && o->listed == &o->store->evictable)
        mob_room_came(o->store);
    if (o->m.now == OBJECT_DOOMED)
        mob_list_prepend(o->listed, &o->link);
    else
        mob_list_append(o->listed, &o->link);
    count_listed(o, 1);
}

/* The lists follow the state. Bytes and entry are those of the new state, if they differ: the caller has seen to it. */
void mob_object_goto(struct object *o, enum object_state state)
{
    unsigned before = o->m.now;

    count(o, -1);
    if (before == OBJECT_SPILLED)
        o->store->spill.bytes -= o->size;
    if (state == OBJECT_SPILLED)
        mob_spill_note(o);
    o->m.now = state;
    mob_object_relist(o);
    o->m.now = before;
    mob_machine_goto(&o->m, state);
    count(o, 1);
}

struct object *mob_object_find(const struct mob_store *s, const struct mob_object_id *id, enum object_state a, enum object_state b)
{
    struct object *o = mob_map_get(&s->by_id, mob_object_id_hash(id));

    while (o != NULL && !((o->m.now == a || o->m.now == b) && mob_object_id_eq(&o->id, id)))
        o = o->next_same;
    return o;
}

static void chain_add(struct mob_store *s, struct object *o)
{
    uint64_t hash = mob_object_id_hash(&o->id);

    o->next_same = mob_map_get(&s->by_id, hash);
    mob_map_set(&s->by_id, hash, o);
}

static void chain_remove(struct mob_store *s, struct object *o)
{
    uint64_t hash = mob_object_id_hash(&o->id);
    struct object *first = mob_map_get(&s->by_id, hash), **at = &first;

    while (*at != o)
        at = &(*at)->next_same;
    *at = o->next_same;
    if (first != NULL)
        mob_map_set(&s->by_id, hash, first);
    else
        mob_map_remove(&s->by_id, hash);
}

static bool take_entry(struct mob_store *s, uint32_t *ret_entry)
{
    if (s->free_count > 0)
        *ret_entry = s->free_entries[--s->free_count];
    else if (s->entries_used < s->entries)
        *ret_entry = s->entries_used++;
    else
        return false;
    return true;
}

/* Bytes for `size` and an entry. All or nothing. */
static bool take_room(struct mob_store *s, uint32_t maker, uint64_t size, bool evict, struct mob_extent **ret_extent, uint32_t *ret_entry)
{
    struct mob_extent *extent = NULL;

    if (s->overflow.ready != NULL)
        extent = mob_overflow_take(s);  /* which is for this one */
    else if (size > 0 && (extent = mob_pages_take(s, maker, size, evict)) == NULL)
        return false;
    assert(extent == NULL || extent->size >= size);
    if (take_entry(s, ret_entry) || (evict && mob_room_entry(s) && take_entry(s, ret_entry))) {
        *ret_extent = extent;
        return true;
    }
    if (extent != NULL)
        mob_pages_give(s, 0, extent);
    return false;
}

/* Its room is there: show it in the entry. */
static void settle_in(struct object *o, struct mob_extent *extent, uint32_t entry)
{
    struct mob_store_entry *e;

    o->extent = extent;
    o->entry = entry;
    e = mob_object_entry(o);
    o->generation = (uint32_t)(atomic_load_explicit(&e->word, memory_order_relaxed) >> 8);
    e->object = o->id;
    e->offset = extent != NULL ? extent->offset : 0;
    e->size = o->size;
    atomic_store(&e->word, mob_entry_word(o->generation, MOB_ENTRY_CREATED));
    o->store->objects[entry] = o;
}

/* Its room is free again. */
static void move_out(struct object *o)
{
    struct mob_store *s = o->store;

    atomic_store(&mob_object_entry(o)->word, mob_entry_word(o->generation + 1, MOB_ENTRY_FREE));
    s->objects[o->entry] = NULL;
    s->free_entries[s->free_count++] = o->entry;
    o->entry = ENTRY_NONE;
    if (o->extent != NULL)
        mob_pages_give(s, o->maker, o->extent);
    o->extent = NULL;
    mob_room_came(s);
    s->asks.gifts++;
}

struct object *mob_object_try(struct mob_store *s, const struct mob_object_id *id, uint64_t size, enum object_state first,
                              uint32_t maker, bool evict)
{
    struct mob_extent *extent;
    struct object *o;
    uint32_t entry;

    if (!take_room(s, maker, size, evict, &extent, &entry))
        return NULL;
    o = mob_new(struct object);
    *o = (struct object){ .store = s, .id = *id, .size = size, .maker = maker };
    mob_list_init(&o->link);
    mob_list_init(&o->waiters);
    mob_list_init(&o->all);
    mob_list_append(&s->all, &o->all);
    settle_in(o, extent, entry);
    mob_machine_init(&o->m, "object", id->task, object_states, first, object_holds);
    chain_add(s, o);
    count(o, 1);
    return o;
}

struct object *mob_object_create(struct mob_store *s, const struct mob_object_id *id, uint64_t size, enum object_state first,
                                 struct mob_error *err)
{
    struct object *o = mob_object_try(s, id, size, first, 0, true);

    if (o == NULL)
        mob_room_refuse(s, id, size, false, err);
    return o;
}

bool mob_object_place(struct object *o, bool evict)
{
    struct mob_extent *extent;
    uint32_t entry;

    assert(o->m.now == OBJECT_SPILLED);
    if (!take_room(o->store, 0, o->size, evict, &extent, &entry))
        return false;
    count(o, -1);
    settle_in(o, extent, entry);
    count(o, 1);
    mob_object_goto(o, OBJECT_RESTORING);
    return true;
}

void mob_object_leave(struct object *o)
{
    assert(o->m.now == OBJECT_SEALED && o->file != NULL && !o->copy);
    count_listed(o, -1);
    count(o, -1);
    o->listed = NULL;                   /* its books are done with */
    move_out(o);
    count(o, 1);
    mob_object_goto(o, OBJECT_SPILLED);
}

struct mob_address mob_client_job(const struct mob_store *s, uint32_t process)
{
    const struct client *c = mob_map_get(&s->clients, process);

    return c != NULL ? c->job : (struct mob_address){ 0, 0 };
}

void mob_object_rename(struct object *o, const struct mob_object_id *id)
{
    assert(o->m.now == OBJECT_CREATED || o->m.now == OBJECT_UNWANTED);
    chain_remove(o->store, o);
    o->id = *id;
    mob_object_entry(o)->object = *id;
    chain_add(o->store, o);
}

/* Another of the same id is sealed: who waits for `other` is content with it. */
static void supersede(struct object *o, struct object *other)
{
    if (other == NULL)
        return;
    mob_fetch_answer_all(other, o, NULL);
    if (other->m.now != OBJECT_DISCARDED)
        mob_object_free(other);
}

void mob_object_seal(struct object *o)
{
    struct object *older = mob_object_find(o->store, &o->id, OBJECT_SEALED, OBJECT_SEALED);
    struct pull *pull;

    if (older != NULL) {
        mob_object_free(older);
        mob_room_retry(o->store, 1);
    }
    atomic_store(&mob_object_entry(o)->word, mob_entry_word(o->generation, MOB_ENTRY_SEALED));
    mob_fetch_seal(o);
    if ((pull = mob_pull_find(o->store, &o->id)) != NULL && (!o->copy || pull->size == o->size))
        mob_pull_end(pull, o, NULL);
    supersede(o, mob_object_find(o->store, &o->id, OBJECT_SPILLED, OBJECT_RESTORING));
}

/* Those who wait for it hear it. */
static void tell_freed(struct object *o)
{
    struct mob_error err;
    char name[MOB_OBJECT_NAME_SIZE];

    if (mob_list_empty(&o->waiters) && o->m.now != OBJECT_PULLING)
        return;
    mob_error_set(&err, MOB_ERR_OBJECT_LOST, "%s was freed by its owner", mob_object_id_name(&o->id, name));
    mob_fetch_answer_all(o, NULL, &err);
    if (o->m.now == OBJECT_PULLING)
        mob_pull_end(o->pull, NULL, &err);      /* which may be its end */
}

void mob_object_free(struct object *o)
{
    enum object_state state = o->m.now;

    tell_freed(o);
    switch (state) {
    case OBJECT_CREATED:
        mob_object_goto(o, OBJECT_UNWANTED);
        break;
    case OBJECT_RESTORING:
        mob_object_goto(o, OBJECT_DROPPED);
        break;
    case OBJECT_SPILLED:
        mob_object_retire(o);
        break;
    case OBJECT_SEALED:
        o->pinned_at = 0;              /* not known yet */
        mob_object_goto(o, OBJECT_DOOMED);
        break;
    default:
        break;                          /* it is on its way out */
    }
}

void mob_object_retire(struct object *o)
{
    struct mob_store *s = o->store;

    if (o->ask != NULL)
        mob_wait_cancel(o);
    if (o->file != NULL)
        mob_spill_forget(o);
    if (o->m.now == OBJECT_SEALED && o->copy)
        mob_copies_note(o, COPY_GONE);
    mob_line_free(o);
    mob_object_goto(o, OBJECT_GONE);
    count(o, -1);
    chain_remove(s, o);
    mob_list_remove(&o->all);
    if (o->entry != ENTRY_NONE)
        move_out(o);
    free(o);
}
