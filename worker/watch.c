/* SPDX-License-Identifier: Apache-2.0 */
/* watch.c -- Watch and Watched (docs/protocol.md, Objects), both ways.
 *
 * Out: a task returned a reference. Our object stays PENDING and pinned until its owner's Watched; exactly one comes, if need be
 * OWNER_DIED from a raylet, so there is no deadline. Objects that wait for the same id share one Watch.
 *
 * In: another process asks for an object of ours. A pending one is pinned by its task, and the asker follows it. The asker holds what
 * it asks for (hold.c, or it is an argument of its task), so the place of a stored one stays true as long as that matters to it.
 */
#include "worker/watch.h"

#include <assert.h>
#include <stdlib.h>

#include "worker/core.h"

struct watch {
    struct watch *next;                 /* equal hash */
    struct object *object;
    struct mob_object_id id;
};

static void send_watch(struct mob_owner *o, const struct mob_object_id *id, const struct lost *lost)
{
    Mobula__Watch m = MOBULA__WATCH__INIT;
    Mobula__Watch__Lost said = MOBULA__WATCH__LOST__INIT;
    Mobula__Error error = MOBULA__ERROR__INIT;
    Mobula__ObjectId object;

    mob_wire_put_object(&object, id);
    m.object = &object;
    if (lost != NULL) {
        mob_wire_put_error(&error, &lost->why);
        said.node = lost->node;
        said.making = lost->making;
        said.error = &error;
        m.lost = &said;
    }
    mob_owner_send(o, (struct mob_address){ id->node, id->process }, MOBULA__ENVELOPE__BODY_WATCH, &m);
}

static void watch(struct mob_owner *o, struct object *b, const struct mob_object_id *id, const struct lost *lost)
{
    uint64_t hash = mob_object_id_hash(id);
    struct watch *chain = mob_map_get(&o->watches.by_hash, hash), *w = mob_new(struct watch);
    bool asked = false;

    assert(b->state == MOB_OBJECT_PENDING);
    for (struct watch *other = chain; other != NULL; other = other->next)
        asked |= mob_object_id_eq(&other->id, id);
    *w = (struct watch){ .next = chain, .object = b, .id = *id };
    mob_map_set(&o->watches.by_hash, hash, w);
    b->pins++;
    if (!asked)
        send_watch(o, id, lost);
}

void mob_owner_watch(struct mob_owner *o, struct object *b, const struct mob_object_id *id)
{
    watch(o, b, id, NULL);
}

void mob_owner_watch_again(struct mob_owner *o, struct object *b, const struct mob_object_id *id, const struct lost *lost)
{
    watch(o, b, id, lost);
}

static void fail(struct mob_owner *o, struct object *b, const struct mob_error *why, struct deaths *deaths)
{
    struct fault *f = mob_owner_fault_of(o, why, deaths);

    mob_owner_object_set_fault(o, b, f);
    mob_owner_fault_drop(f);
}

static void take_value(struct mob_owner *o, struct object *b, const struct mob_object_id *id, const Mobula__Watched *m)
{
    struct mob_error err = { 0 };
    struct deaths *deaths = NULL;

    if (m->state_case == MOBULA__WATCHED__STATE_PLACE) {
        struct mob_object_id stored = m->place->object != NULL ? mob_wire_object(m->place->object) : *id;

        mob_owner_object_set_stored(o, b, &stored, m->place->node, m->place->size);
        b->stored->making = m->place->making;
        return;
    }
    if (m->state_case == MOBULA__WATCHED__STATE_VALUE) {
        struct mob_packed packed;

        if (m->packed && !mob_packed_read(m->value.data, m->value.len, &packed))
            mob_error_set(&err, MOB_ERR_PROTOCOL, "the value that its owner told is malformed");
        else if (mob_owner_object_set_inline(o, b, m->value.data, m->value.len, m->packed) == 0)
            return;
        else
            mob_error_set(&err, MOB_ERR_NO_SPACE, "no memory for a value of %zu bytes", m->value.len);
    } else if (m->state_case == MOBULA__WATCHED__STATE_ERROR && m->error->code != MOB_OK) {
        mob_wire_error(m->error, &err);
        deaths = mob_owner_deaths_of(m->error);
    } else {
        mob_error_set(&err, MOB_ERR_PROTOCOL, "the owner of a returned reference answered neither a value nor an error");
    }
    fail(o, b, &err, deaths);
    mob_owner_deaths_drop(deaths);
}

void mob_owner_watched(struct mob_owner *o, const Mobula__Watched *m)
{
    struct mob_object_id id = mob_wire_object(m->object);
    uint64_t hash = mob_object_id_hash(&id);
    struct watch *next, *others = NULL;

    for (struct watch *w = mob_map_remove(&o->watches.by_hash, hash); w != NULL; w = next) {
        next = w->next;
        if (!mob_object_id_eq(&w->id, &id)) {
            w->next = others;
            others = w;
            continue;
        }
        take_value(o, w->object, &id, m);
        object_unpin(o, w->object);
        free(w);
    }
    if (others != NULL)
        mob_map_set(&o->watches.by_hash, hash, others);
    mob_owner_objects_tell(o);
}

void mob_owner_watches_fail(struct mob_owner *o, const struct mob_error *why)
{
    struct watch *w, *next;
    size_t at = 0;

    while ((w = mob_map_next(&o->watches.by_hash, &at, NULL)) != NULL)
        for (; w != NULL; w = next) {
            next = w->next;
            fail(o, w->object, why, NULL);
            object_unpin(o, w->object);
            free(w);
        }
    mob_map_fini(&o->watches.by_hash);
    o->watches.by_hash = (struct mob_map){ 0 };
    mob_owner_objects_tell(o);
}

void mob_owner_watches_fini(struct mob_owner *o)
{
    struct watch *w, *next;
    size_t at = 0;

    while ((w = mob_map_next(&o->watches.by_hash, &at, NULL)) != NULL)
        for (; w != NULL; w = next) {
            next = w->next;
            free(w);
        }
    mob_map_fini(&o->watches.by_hash);
}

/* -- asked by others ------------------------------------------------------------------------------------------------------- */

static void answer_error(struct mob_owner *o, struct mob_address asker, const Mobula__Watch *m, const struct mob_error *why)
{
    Mobula__Watched watched;
    Mobula__Error error = MOBULA__ERROR__INIT;

    mob_wire_put_error(&error, why);
    mobula__watched__init(&watched);
    watched.object = m->object;
    watched.state_case = MOBULA__WATCHED__STATE_ERROR;
    watched.error = &error;
    mob_owner_send(o, asker, MOBULA__ENVELOPE__BODY_WATCHED, &watched);
}

static void answer_gone(struct mob_owner *o, struct mob_address asker, const Mobula__Watch *m)
{
    struct mob_error why = { 0 };

    mob_error_set(&why, MOB_ERR_OBJECT_LOST, "the object's owner has dropped it, or never had it");
    why.user_code = MOB_LOST_REF_NOT_FOUND;
    answer_error(o, asker, m, &why);
}

void mob_owner_on_watch(struct mob_owner *o, struct mob_address asker, const Mobula__Watch *m)
{
    struct mob_object_id id = mob_wire_object(m->object);
    struct object *b = mob_owner_object_find(o, &id);
    struct mob_error why = { 0 };

    if (b == NULL || (asker.process == 0 && mob_owner_lineage_is_idle(o, b)))
        answer_gone(o, asker, m);       /* a raylet seeks a place: that alone is no reason to make it again */
    else if (m->lost != NULL && !mob_owner_lineage_said_lost(o, b, m->lost, &why))
        answer_error(o, asker, m, &why);
    else if (b->state != MOB_OBJECT_PENDING || !mob_owner_object_follow(o, b, NULL, asker))
        mob_owner_watched_tell(o, b, asker);
}

void mob_owner_watched_tell(struct mob_owner *o, struct object *b, struct mob_address asker)
{
    Mobula__Watched watched;
    Mobula__Watched__Place place = MOBULA__WATCHED__PLACE__INIT;
    Mobula__Error error = MOBULA__ERROR__INIT;
    Mobula__ObjectId object, stored;
    struct mob_object_id id = { .cluster = o->config.cluster, .node = o->config.self.node, .process = o->config.self.process,
                                .task = b->task, .index = b->index };

    mob_wire_put_object(&object, &id);
    mobula__watched__init(&watched);
    watched.object = &object;
    if (b->state == MOB_OBJECT_INLINE) {
        watched.state_case = MOBULA__WATCHED__STATE_VALUE;
        watched.value = (ProtobufCBinaryData){ .len = b->size, .data = (uint8_t *)b->data };
        watched.packed = b->packed;
    } else if (b->state == MOB_OBJECT_STORED) {
        watched.state_case = MOBULA__WATCHED__STATE_PLACE;
        watched.place = &place;
        place.node = b->stored->node;
        place.size = b->size;
        place.making = b->stored->making;
        mob_wire_put_object(&stored, &b->stored->id);
        place.object = &stored;
    } else {
        assert(b->state == MOB_OBJECT_ERROR);
        watched.state_case = MOBULA__WATCHED__STATE_ERROR;
        mob_wire_put_error(&error, &b->fault->error);
        mob_owner_deaths_put(b->fault->deaths, &error);
        watched.error = &error;
    }
    mob_owner_send(o, asker, MOBULA__ENVELOPE__BODY_WATCHED, &watched);
    mob_owner_deaths_sent(&error);
}
