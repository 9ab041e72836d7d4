/* SPDX-License-Identifier: Apache-2.0 */
/* store_receive.c -- messages to the store. A client can ask for anything, but it can write, seal, abandon and free only what it made
 * or owns: all else is reported as bad, and nothing is done. */
#include <assert.h>

#include "common/error.h"
#include "common/wire.h"
#include "objstore/store_private.h"

#define RETRY_LOOKS 8                   /* doomed objects looked at for one message */

static void bad(struct mob_store *s, uint32_t process, const char *verb, const struct mob_object_id *id, const char *why)
{
    char name[MOB_OBJECT_NAME_SIZE];
    struct mob_error err;

    mob_error_set(&err, MOB_ERR_PROTOCOL, "%s of %s by process %u: %s", verb, mob_object_id_name(id, name), process, why);
    if (s->config.bad != NULL)
        s->config.bad(s->config.arg, process, &err);
}

void mob_answer_created(struct mob_store *s, uint32_t process, const struct mob_object_id *id, const struct object *o,
                        const struct mob_error *err)
{
    const struct mob_address here = { s->config.node, 0 }, there = { s->config.node, process };
    Mobula__Created created = MOBULA__CREATED__INIT;
    Mobula__ObjectId object;
    struct mob_error told;
    Mobula__Error error;
    struct mob_envelope e;

    mob_wire_put_object(&object, id);
    created.object = &object;
    if (o != NULL) {
        created.entry = o->entry;
        created.generation = o->generation;
        created.offset = o->extent != NULL ? o->extent->offset : 0;
    } else {
        told = mob_room_error_for(s, process, err);
        mob_wire_put_error(&error, &told);
        created.error = &error;
    }
    mob_envelope_init(&e, here, there, MOBULA__ENVELOPE__BODY_CREATED);
    e.e.created = &created;
    s->config.answer(s->config.arg, process, &e.e);
}

static void on_create(struct mob_store *s, uint32_t process, const Mobula__Create *m)
{
    struct mob_object_id id = mob_wire_object(m->object);

    if (process == 0 || mob_map_get(&s->clients, process) == NULL) {
        bad(s, process, "Create", &id, "not a client of this store");
        return;
    }
    if (m->behind > m->size) {
        bad(s, process, "Create", &id, "more stands behind the value than it has bytes in all");
        return;
    }
    mob_wait_create(s, process, &id, m);
}

/* The object that `process` writes at `entry`, or NULL after saying what is wrong. */
static struct object *being_written(struct mob_store *s, uint32_t process, const char *verb, const struct mob_object_id *id,
                                    uint32_t entry)
{
    struct object *o = entry < s->entries_used ? s->objects[entry] : NULL;

    if (o == NULL || !mob_object_id_eq(&o->id, id))
        bad(s, process, verb, id, "that entry has another object, or none");
    else if (process == 0 || o->maker != process)
        bad(s, process, verb, id, "another process makes it");
    else if (o->m.now != OBJECT_CREATED && o->m.now != OBJECT_UNWANTED)
        bad(s, process, verb, id, "it is sealed already");
    else
        return o;
    return NULL;
}

static void on_seal(struct mob_store *s, uint32_t process, const Mobula__Seal *m)
{
    struct mob_object_id id = mob_wire_object(m->object);
    struct object *o = being_written(s, process, "Seal", &id, m->entry);

    if (o == NULL)
        return;
    if (m->as != NULL) {
        id = mob_wire_object(m->as);
        mob_object_rename(o, &id);
    }
    if (o->m.now == OBJECT_UNWANTED)
        mob_object_retire(o);
    else
        mob_object_seal(o);
}

static void on_abandon(struct mob_store *s, uint32_t process, const Mobula__Abandon *m)
{
    struct mob_object_id id = mob_wire_object(m->object);
    struct object *o = being_written(s, process, "Abandon", &id, m->entry);
    char name[MOB_OBJECT_NAME_SIZE];
    struct mob_error err;

    if (o == NULL)
        return;
    mob_error_set(&err, MOB_ERR_OBJECT_LOST, "%s was given up by its maker", mob_object_id_name(&id, name));
    mob_fetch_answer_all(o, NULL, &err);
    mob_object_retire(o);
}

/* Nobody may have it brought here any more; that it comes from elsewhere is no reason for its maker here. */
static void free_pull(struct mob_store *s, const struct mob_object_id *id)
{
    struct pull *p = mob_pull_find(s, id);
    char name[MOB_OBJECT_NAME_SIZE];
    struct mob_error why;

    if (p == NULL)
        return;
    mob_error_set(&why, MOB_ERR_OBJECT_LOST, "%s was freed by its owner", mob_object_id_name(id, name));
    mob_pull_end(p, NULL, &why);
}

/* All of one id, in whatever state: its owner says so, or a maker of what it made itself (another return of its task failed). */
static void on_free(struct mob_store *s, uint32_t process, const Mobula__Free *m)
{
    uint64_t freed = 0;

    for (size_t i = 0; i < m->n_objects; i++) {
        struct mob_object_id id = mob_wire_object(m->objects[i]);
        bool owner = process == 0 || (id.node == s->config.node && id.process == process), own = false, others = false;
        struct object *o, *next;

        if (owner)
            free_pull(s, &id);
        o = mob_map_get(&s->by_id, mob_object_id_hash(&id));
        for (; o != NULL; o = next) {
            next = o->next_same;
            if (!mob_object_id_eq(&o->id, &id) || (m->maker != 0 && o->maker != m->maker) || (m->before != 0 && o->attempt >= m->before))
                continue;
            if (!owner && o->maker != process) {    /* one of an earlier attempt may still be read, and so be on its way out */
                others |= o->m.now != OBJECT_DOOMED;
                continue;
            }
            own = true;
            freed += o->m.now == OBJECT_SEALED;
            mob_object_free(o);
        }
        if (others && !own)
            bad(s, process, "Free", &id, "it is not its own");
    }
    mob_room_retry(s, freed);
}

void mob_store_receive(struct mob_store *s, uint32_t process, const Mobula__Envelope *e)
{
    switch (e->body_case) {
    case MOBULA__ENVELOPE__BODY_CREATE:
        on_create(s, process, e->create);
        break;
    case MOBULA__ENVELOPE__BODY_SEAL:
        on_seal(s, process, e->seal);
        break;
    case MOBULA__ENVELOPE__BODY_ABANDON:
        on_abandon(s, process, e->abandon);
        break;
    case MOBULA__ENVELOPE__BODY_FETCH:
        mob_fetch(s, process, e->fetch);
        break;
    case MOBULA__ENVELOPE__BODY_FREE:
        on_free(s, process, e->free);
        break;
    default:
        assert(!"the raylet brings the store its own messages only");
    }
    mob_room_retry(s, RETRY_LOOKS);
    mob_store_settle(s);
}
