/* SPDX-License-Identifier: Apache-2.0 */
/* store_fetch.c -- bringing objects here for those who ask.
 *
 * A Fetch is answered at once if the object is sealed here. If its owner places it on this very node, it waits for the Seal, which
 * may still be in its maker's socket while the news of it went by a faster way; the maker's death answers it. Else it is pulled:
 * the first fetch starts the pull, equal ones wait with it, its end (mob_store_pulled) or the death of the node it comes from answers
 * all. The shell ends each pull, in the end by its own limit of silence.
 *
 * A pull cannot be stopped: the bytes of a DISCARDED one belong to bulk until its end. Whoever asks for the object meanwhile waits
 * for that end, and asks again then.
 */
#include <assert.h>
#include <stdlib.h>

#include "common/wire.h"
#include "objstore/store_private.h"

static void answer(struct mob_store *s, uint32_t process, const struct mob_object_id *id, const struct object *o,
                   const struct mob_error *err)
{
    const struct mob_address here = { s->config.node, 0 }, there = { s->config.node, process };
    Mobula__Fetched fetched = MOBULA__FETCHED__INIT;
    Mobula__ObjectId object;
    Mobula__Error error;
    struct mob_envelope e;

    mob_wire_put_object(&object, id);
    fetched.object = &object;
    if (o != NULL) {
        fetched.entry = o->entry;
        fetched.generation = o->generation;
        fetched.offset = o->extent != NULL ? o->extent->offset : 0;
        fetched.size = o->size;
    } else {
        mob_wire_put_error(&error, err);
        fetched.error = &error;
    }
    mob_envelope_init(&e, here, there, MOBULA__ENVELOPE__BODY_FETCHED);
    e.e.fetched = &fetched;
    s->config.answer(s->config.arg, process, &e.e);
}

static void wait_for(struct object *o, uint32_t process)
{
    struct waiter *w = mob_new(struct waiter);

    w->process = process;
    mob_list_append(&o->waiters, &w->link);
}

void mob_fetch_answer_all(struct object *o, const struct object *sealed, const struct mob_error *err)
{
    while (!mob_list_empty(&o->waiters)) {
        struct waiter *w = mob_list_first(&o->waiters, struct waiter, link);

        mob_list_remove(&w->link);
        answer(o->store, w->process, &o->id, sealed, err);
        free(w);
    }
}

void mob_fetch_forget(struct mob_store *s, uint32_t process)
{
    struct waiter *w;

    for (uint32_t i = 0; i < s->entries_used; i++) {
        if (s->objects[i] == NULL)
            continue;
        mob_list_each(w, &s->objects[i]->waiters, struct waiter, link) {
            if (w->process == process) {
                mob_list_remove(&w->link);
                free(w);
            }
        }
    }
}

static void start_pull(struct mob_store *s, uint32_t process, const struct mob_object_id *id, uint64_t size, uint32_t node)
{
    struct mob_error err;
    struct object *o = mob_object_create(s, id, size, OBJECT_PULLING, &err);

    if (o == NULL) {
        answer(s, process, id, NULL, &err);
        return;
    }
    o->copy = true;
    o->source = node;
    o->job = mob_client_job(s, process);
    wait_for(o, process);
    if (size == 0)
        mob_object_seal(o);             /* there is nothing to bring */
    else
        s->config.pull(s->config.arg, id, node, o->extent->offset, size);
}

static void fetch_from_here(struct mob_store *s, uint32_t process, const struct mob_object_id *id)
{
    struct object *o = mob_object_find(s, id, OBJECT_CREATED, OBJECT_PULLING);
    char name[MOB_OBJECT_NAME_SIZE];
    struct mob_error err;

    if (o != NULL) {
        wait_for(o, process);
        return;
    }
    mob_error_set(&err, MOB_ERR_OBJECT_LOST, "%s is not in the store of node %u any more", mob_object_id_name(id, name),
                  s->config.node);
    answer(s, process, id, NULL, &err);
}

void mob_fetch(struct mob_store *s, uint32_t process, const struct mob_object_id *id, uint64_t size, uint32_t node)
{
    struct object *o = mob_object_find(s, id, OBJECT_SEALED, OBJECT_SEALED);

    if (o != NULL) {
        if (o->copy) {                  /* used last */
            mob_list_remove(&o->link);
            mob_list_append(&s->copies, &o->link);
        }
        answer(s, process, id, o, NULL);
    } else if (node == s->config.node) {
        fetch_from_here(s, process, id);
    } else if ((o = mob_object_find(s, id, OBJECT_PULLING, OBJECT_DISCARDED)) != NULL) {
        if (o->m.now == OBJECT_DISCARDED) {
            o->source = node;
            o->next_size = size;
        }
        wait_for(o, process);
    } else {
        start_pull(s, process, id, size, node);
    }
}

/* The bytes are the store's again. Who asked meanwhile asks again: the first of them starts a new pull. */
static void discarded_ended(struct object *o)
{
    struct mob_store *s = o->store;
    struct mob_object_id id = o->id;
    uint64_t size = o->next_size;
    uint32_t source = o->source;
    struct mob_link waiters;

    mob_list_init(&waiters);
    while (!mob_list_empty(&o->waiters)) {
        struct mob_link *first = o->waiters.next;

        mob_list_remove(first);
        mob_list_append(&waiters, first);
    }
    mob_object_retire(o);
    while (!mob_list_empty(&waiters)) {
        struct waiter *w = mob_list_first(&waiters, struct waiter, link);

        mob_list_remove(&w->link);
        mob_fetch(s, w->process, &id, size, source);
        free(w);
    }
}

void mob_store_pulled(struct mob_store *s, const struct mob_object_id *id, const struct mob_error *err)
{
    struct object *o = mob_object_find(s, id, OBJECT_PULLING, OBJECT_DISCARDED);

    assert(o != NULL);
    if (o->m.now == OBJECT_DISCARDED) {
        discarded_ended(o);
    } else if (err == NULL) {
        mob_object_seal(o);
    } else {
        mob_fetch_answer_all(o, NULL, err);
        mob_object_retire(o);
    }
}

/* Of one object, when a node is dead: a pull from there has failed, and a copy from there may be the last one. */
static void source_died(struct object *o, const struct mob_error *err)
{
    switch ((enum object_state)o->m.now) {
    case OBJECT_PULLING:
        mob_fetch_answer_all(o, NULL, err);
        mob_object_goto(o, OBJECT_DISCARDED);
        break;
    case OBJECT_DISCARDED:
        mob_fetch_answer_all(o, NULL, err);
        break;
    case OBJECT_SEALED:
        mob_list_remove(&o->link);
        o->copy = false;
        break;
    default:
        break;
    }
}

void mob_store_node_died(struct mob_store *s, uint32_t node)
{
    char name[MOB_OBJECT_NAME_SIZE];
    struct mob_error err;
    uint64_t freed = 0;

    for (uint32_t i = 0; i < s->entries_used; i++) {
        struct object *o = s->objects[i];

        if (o == NULL)
            continue;
        if (o->source == node && o->source != 0) {
            mob_error_set(&err, MOB_ERR_NODE_DIED, "node %u died, from which %s was to come", node, mob_object_id_name(&o->id, name));
            source_died(o, &err);
        }
        if (o->id.node == node) {       /* so is its owner */
            mob_object_free(o);
            freed++;
        }
    }
    mob_room_retry(s, freed);
}

bool mob_store_serve(struct mob_store *s, const struct mob_object_id *id, uint64_t *ret_offset, uint64_t *ret_size,
                     uint64_t *ret_ticket)
{
    struct object *o = mob_object_find(s, id, OBJECT_SEALED, OBJECT_SEALED);

    if (o == NULL)
        return false;
    o->serving++;
    *ret_offset = o->extent != NULL ? o->extent->offset : 0;
    *ret_size = o->size;
    *ret_ticket = o->entry;
    return true;
}

void mob_store_serve_done(struct mob_store *s, uint64_t ticket)
{
    struct object *o = s->objects[ticket];

    assert(o != NULL && o->serving > 0);
    o->serving--;
    mob_room_retry(s, UINT64_MAX);
}
