/* SPDX-License-Identifier: Apache-2.0 */
/* store_object.c -- the life of one object in this store.
 *
 *   CREATED ----> SEALED ----> DOOMED --.        CREATED    waits for its maker's Seal or Abandon, or for the maker's death
 *      |  '-> UNWANTED --.       |      |        UNWANTED   the same; a Seal then ends it
 *      |                 v       v      |        PULLING    waits for its pull (store_pull.c)
 *      '--------------> GONE <----------'        DISCARDED  the same, and for mob_store_serve_done(): bulk still works on its bytes
 *                        ^  ^                    SEALED     for ever: until its owner frees it, or, a copy, until room is needed
 *   PULLING -> SEALED    |  |                    DOOMED     waits for its last pin (mob_room_retry) and mob_store_serve_done()
 *      |-----------------'  |
 *      '-> DISCARDED -------'
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

static bool object_holds(const struct mob_machine *m)
{
    const struct object *o = MOB_CONTAINER(m, const struct object, m);
    bool listed = !mob_list_empty(&o->link);

    if ((o->size > 0) != (o->extent != NULL))
        return false;
    switch ((enum object_state)m->now) {
    case OBJECT_UNWANTED:
        return mob_list_empty(&o->waiters) && o->maker != 0 && !listed;
    case OBJECT_SEALED:
        return mob_list_empty(&o->waiters) && listed == o->copy;
    case OBJECT_DOOMED:
        return mob_list_empty(&o->waiters) && listed;
    case OBJECT_GONE:
        return mob_list_empty(&o->waiters) && o->serving == 0 && !listed;
    case OBJECT_PULLING:
    case OBJECT_DISCARDED:
        return mob_list_empty(&o->waiters) && !listed;
    default:
        return o->serving == 0 && !listed;
    }
}

static const struct mob_state object_states[] = {
    [OBJECT_CREATED] = { "created", NULL, MOB_TO(OBJECT_SEALED) | MOB_TO(OBJECT_UNWANTED) | MOB_TO(OBJECT_GONE) },
    [OBJECT_UNWANTED] = { "unwanted", NULL, MOB_TO(OBJECT_GONE) },
    [OBJECT_PULLING] = { "pulling", NULL, MOB_TO(OBJECT_SEALED) | MOB_TO(OBJECT_DISCARDED) | MOB_TO(OBJECT_GONE) },
    [OBJECT_DISCARDED] = { "discarded", NULL, MOB_TO(OBJECT_GONE) },
    [OBJECT_SEALED] = { "sealed", NULL, MOB_TO(OBJECT_DOOMED) | MOB_TO(OBJECT_GONE) },
    [OBJECT_DOOMED] = { "doomed", NULL, MOB_TO(OBJECT_GONE) },
    [OBJECT_GONE] = { "gone", NULL, 0 },
};

struct mob_store_entry *mob_object_entry(const struct object *o)
{
    return &o->store->meta->entry[o->entry];
}

static void count(struct object *o, int64_t sign)
{
    o->store->count[o->m.now] += (uint64_t)sign;
    o->store->bytes[o->m.now] += (uint64_t)sign * (o->extent != NULL ? o->extent->size : 0);
}

/* The lists follow the state: copies that may be evicted, doomed ones that wait for their pins. */
void mob_object_goto(struct object *o, enum object_state state)
{
    count(o, -1);
    mob_list_remove(&o->link);
    if (state == OBJECT_SEALED && o->copy)
        mob_list_append(&o->store->copies, &o->link);
    if (state == OBJECT_DOOMED)
        mob_list_prepend(&o->store->doomed, &o->link);
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

struct object *mob_object_create(struct mob_store *s, const struct mob_object_id *id, uint64_t size, enum object_state first,
                                 struct mob_error *err)
{
    struct mob_extent *extent = NULL;
    struct mob_store_entry *e;
    struct object *o;
    uint32_t entry;

    if (size > 0 && (extent = mob_room_take(s, size)) == NULL) {
        mob_room_refuse(s, id, size, err);
        return NULL;
    }
    if (!take_entry(s, &entry)) {
        if (extent != NULL)
            mob_alloc_give(s->alloc, extent);
        mob_error_set(err, MOB_ERR_NO_SPACE, "the store holds %u objects, and can hold no more; free some, or make them larger",
                      s->entries);
        return NULL;
    }
    o = mob_new(struct object);
    *o = (struct object){ .store = s, .id = *id, .entry = entry, .extent = extent, .size = size };
    mob_list_init(&o->link);
    mob_list_init(&o->waiters);
    mob_machine_init(&o->m, "object", id->task, object_states, first, object_holds);
    e = mob_object_entry(o);
    o->generation = (uint32_t)(atomic_load_explicit(&e->word, memory_order_relaxed) >> 8);
    e->object = *id;
    e->offset = extent != NULL ? extent->offset : 0;
    e->size = size;
    atomic_store(&e->word, mob_entry_word(o->generation, MOB_ENTRY_CREATED));
    s->objects[entry] = o;
    chain_add(s, o);
    count(o, 1);
    return o;
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

void mob_object_seal(struct object *o)
{
    struct object *older = mob_object_find(o->store, &o->id, OBJECT_SEALED, OBJECT_SEALED);
    struct pull *pull;

    if (older != NULL) {
        mob_object_free(older);
        mob_room_retry(o->store, 1);
    }
    atomic_store(&mob_object_entry(o)->word, mob_entry_word(o->generation, MOB_ENTRY_SEALED));
    mob_fetch_answer_all(o, o, NULL);
    mob_object_goto(o, OBJECT_SEALED);
    if ((pull = mob_pull_find(o->store, &o->id)) != NULL)
        mob_pull_end(pull, o, NULL);
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
    case OBJECT_SEALED:
        o->pinned = false;              /* not known yet */
        mob_object_goto(o, OBJECT_DOOMED);
        break;
    default:
        break;                          /* it is on its way out */
    }
}

void mob_object_retire(struct object *o)
{
    struct mob_store *s = o->store;
    struct mob_extent *extent = o->extent;

    if (o->m.now == OBJECT_SEALED && o->copy)
        mob_copies_note(o, COPY_GONE);
    mob_line_free(o);
    s->pulls.room_came = true;
    mob_object_goto(o, OBJECT_GONE);
    count(o, -1);
    chain_remove(s, o);
    s->objects[o->entry] = NULL;
    s->free_entries[s->free_count++] = o->entry;
    atomic_store(&mob_object_entry(o)->word, mob_entry_word(o->generation + 1, MOB_ENTRY_FREE));
    if (extent != NULL)
        mob_alloc_give(s->alloc, extent);
    free(o);
}
