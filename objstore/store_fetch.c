/* SPDX-License-Identifier: Apache-2.0 */
/* store_fetch.c -- who waits for an object, and what they are told.
 *
 * A Fetch is answered at once if the object is sealed here. If somebody makes it here, and its owner places it on this very node, it waits
 * for the Seal, which may still be in its maker's socket while the news of it went by a faster way; the maker's death answers it. Else it
 * is pulled (store_pull.c): the first Fetch starts the pull, equal ones wait with it. What is on the disk here is restored.
 *
 * A copy of another size than is asked for may be an old value: the new one is brought, and takes its place.
 */
#include <stdlib.h>

#include "common/wire.h"
#include "objstore/store_private.h"

static void answer(struct mob_store *s, uint32_t process, const struct mob_object_id *id, struct object *o,
                   const struct mob_error *err)
{
    const struct mob_address here = { s->config.node, 0 }, there = { s->config.node, process };
    Mobula__Fetched fetched = MOBULA__FETCHED__INIT;
    Mobula__ObjectId object;
    struct mob_error told;
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
        told = mob_room_error_for(s, process, err);
        mob_wire_put_error(&error, &told);
        fetched.error = &error;
    }
    mob_envelope_init(&e, here, there, MOBULA__ENVELOPE__BODY_FETCHED);
    e.e.fetched = &fetched;
    mob_loan_note(s, process, o);
    s->config.answer(s->config.arg, process, &e.e);
}

void mob_fetch_wait(struct mob_link *waiters, uint32_t process, bool bulk)
{
    struct waiter *w = mob_new(struct waiter);

    w->process = process;
    w->bulk = bulk;
    mob_list_append(waiters, &w->link);
}

void mob_fetch_answer_list(struct mob_store *s, struct mob_link *waiters, const struct mob_object_id *id, struct object *sealed,
                           const struct mob_error *err)
{
    while (!mob_list_empty(waiters)) {
        struct waiter *w = mob_list_first(waiters, struct waiter, link);

        mob_list_remove(&w->link);
        if (!w->bulk)
            answer(s, w->process, id, sealed, err);
        else if (s->config.restored != NULL)
            s->config.restored(s->config.arg, id, sealed != NULL ? NULL : err);
        free(w);
    }
}

void mob_fetch_answer_all(struct object *o, struct object *sealed, const struct mob_error *err)
{
    mob_fetch_answer_list(o->store, &o->waiters, &o->id, sealed, err);
}

/* `from` is empty then. */
static void move_all(struct mob_link *from, struct mob_link *to)
{
    mob_list_init(to);
    while (!mob_list_empty(from)) {
        struct mob_link *first = from->next;

        mob_list_remove(first);
        mob_list_append(to, first);
    }
}

void mob_fetch_seal(struct object *o)
{
    struct mob_link waiters;

    move_all(&o->waiters, &waiters);
    mob_object_goto(o, OBJECT_SEALED);
    mob_fetch_answer_list(o->store, &waiters, &o->id, o, NULL);
}

static void forget_waiter(struct mob_link *waiters, uint32_t process)
{
    struct waiter *w;

    mob_list_each(w, waiters, struct waiter, link) {
        if (w->process == process && !w->bulk) {
            mob_list_remove(&w->link);
            free(w);
        }
    }
}

void mob_fetch_forget(struct mob_store *s, uint32_t process)
{
    struct mob_error why;
    struct object *o;
    struct pull *p;

    mob_list_each(o, &s->all, struct object, all)
        forget_waiter(&o->waiters, process);
    mob_error_set(&why, MOB_ERR_CANCELLED, "nobody waits for it any more");
    mob_list_each(p, &s->pulls.all, struct pull, all) {
        forget_waiter(&p->waiters, process);
        if (mob_list_empty(&p->waiters))
            mob_pull_end(p, NULL, &why);
    }
}

static void fetch_from_here(struct mob_store *s, uint32_t process, const struct mob_object_id *id)
{
    struct object *o = mob_object_find(s, id, OBJECT_CREATED, OBJECT_CREATED);
    struct pull *p = mob_pull_find(s, id);
    char name[MOB_OBJECT_NAME_SIZE];
    struct mob_error err;

    if (o != NULL) {
        mob_fetch_wait(&o->waiters, process, false);
        return;
    }
    if (p != NULL) {
        mob_fetch_wait(&p->waiters, process, false);
        return;
    }
    mob_error_set(&err, MOB_ERR_OBJECT_LOST, "%s is not in the store of node %u any more", mob_object_id_name(id, name),
                  s->config.node);
    answer(s, process, id, NULL, &err);
}

static void fetch_from_others(struct mob_store *s, uint32_t process, const struct mob_object_id *id, const Mobula__Fetch *m)
{
    enum priority priority = (uint32_t)m->priority < PRIORITIES ? (enum priority)m->priority : PRIORITY_GET;
    struct pull *p = mob_pull_find_sized(s, id, m->size);
    uint32_t nodes[PULL_SOURCES_MAX];
    size_t count = 0;

    nodes[count++] = m->node;
    for (size_t i = 0; i < m->n_copies && count < PULL_SOURCES_MAX; i++)
        if (m->copies[i] != s->config.node)
            nodes[count++] = m->copies[i];
    if (p != NULL)
        mob_pull_join(p, process, nodes, count, priority);
    else
        mob_pull_start(s, process, process == 0 ? mob_wire_address(m->job) : mob_client_job(s, process), id, m->size, nodes, count,
                       priority);
}

void mob_fetch(struct mob_store *s, uint32_t process, const Mobula__Fetch *m)
{
    struct mob_object_id id = mob_wire_object(m->object);
    struct object *o = mob_object_find(s, &id, OBJECT_SEALED, OBJECT_SEALED);

    if (o != NULL && (o->size == m->size || m->node == s->config.node)) {
        mob_object_relist(o);           /* used last */
        answer(s, process, &id, o, NULL);
    } else if ((o = mob_object_find(s, &id, OBJECT_SPILLED, OBJECT_RESTORING)) != NULL
               && (o->size == m->size || m->node == s->config.node)) {
        mob_fetch_wait(&o->waiters, process, false);
        mob_wait_restore(o);
    } else if (m->node == s->config.node) {
        fetch_from_here(s, process, &id);
    } else {
        fetch_from_others(s, process, &id, m);
    }
}

/* Of one object, when a node is dead: nobody is referred to it, and a copy that was named to come from there may be the last one. */
static void source_died(struct object *o, uint32_t node)
{
    mob_line_node_died(o, node);
    if (o->m.now != OBJECT_SEALED || !o->copy || o->source != node)
        return;
    o->copy = false;
    mob_object_relist(o);
    mob_copies_note(o, COPY_LAST);
}

static bool pull_is_owned_at(const struct pull *p, struct mob_address owner)
{
    return p->id.node == owner.node;
}

void mob_store_node_died(struct mob_store *s, uint32_t node)
{
    struct mob_error why;
    struct object *o;
    uint64_t freed = 0;

    mob_error_set(&why, MOB_ERR_OWNER_DIED, "its owner's node %u died", node);
    mob_pulls_end(s, pull_is_owned_at, (struct mob_address){ node, 0 }, &why);

    mob_list_each(o, &s->all, struct object, all) {
        source_died(o, node);
        if (o->id.node == node) {       /* so is its owner */
            freed += o->m.now == OBJECT_SEALED;
            mob_object_free(o);
        }
    }
    mob_room_retry(s, freed);
    mob_pulls_node_died(s, node);
    mob_store_settle(s);
}
