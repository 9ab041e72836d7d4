/* SPDX-License-Identifier: Apache-2.0 */
/* watch.c -- a Watch is remembered where its owner's death will be noticed: with the owner's process on the owner's node,
 * and with the peer on the asker's node. (Two records when they are on different nodes, one when not.) Watched, in passing,
 * takes it out.
 *
 * Records are found by a hash of (asker, object); equal hashes are chained. An asker may ask twice and is answered twice.
 */
#include "raylet/watch.h"

#include <stdlib.h>

#include "raylet/core.h"

struct watch {
    struct mob_link link;               /* with the owner's process or peer */
    struct watch *same_key;             /* next in the chain */
    struct mob_address asker;
    struct mob_object_id object;
};

static uint64_t key_of(struct mob_address asker, const struct mob_object_id *object)
{
    return mob_object_id_hash(object) ^ mob_address_key(asker) * UINT64_C(0x9e3779b97f4a7c15);
}

static void remember(struct mob_raylet *r, struct mob_link *watches, struct mob_address asker, const struct mob_object_id *object)
{
    struct watch *w = mob_new(struct watch);
    uint64_t key = key_of(asker, object);

    w->asker = asker;
    w->object = *object;
    w->same_key = mob_map_get(&r->watches, key);
    mob_map_set(&r->watches, key, w);
    mob_list_append(watches, &w->link);
}

/* Take one question of `asker` for `object` out. False: there is none. */
static bool forget(struct mob_raylet *r, struct mob_address asker, const struct mob_object_id *object)
{
    uint64_t key = key_of(asker, object);
    struct watch *first = mob_map_get(&r->watches, key), **at = &first, *w;

    while (*at != NULL && !(mob_address_eq((*at)->asker, asker) && mob_object_id_eq(&(*at)->object, object)))
        at = &(*at)->same_key;
    if ((w = *at) == NULL)
        return false;
    *at = w->same_key;
    if (first != NULL)
        mob_map_set(&r->watches, key, first);
    else
        mob_map_remove(&r->watches, key);
    mob_list_remove(&w->link);
    free(w);
    return true;
}

/* Where the questions for `owner` are kept on this node; NULL: it is gone. */
static struct mob_link *watches_of(struct mob_raylet *r, struct mob_address owner)
{
    struct process *p;
    struct peer *peer;

    if (owner.node == r->self.node)
        return (p = mob_process_find(r, owner.process)) != NULL && p->connection != NULL ? &p->watches : NULL;
    return (peer = mob_route_peer(r, owner.node)) != NULL && peer->is.alive ? &peer->watches : NULL;
}

static void answer_gone(struct mob_raylet *r, struct mob_address asker, const struct mob_object_id *object, enum mob_code code,
                        const char *why)
{
    Mobula__Watched m;
    Mobula__ObjectId id = MOBULA__OBJECT_ID__INIT;
    Mobula__Error error = MOBULA__ERROR__INIT;
    struct mob_error err;
    char name[MOB_OBJECT_NAME_SIZE];
    struct mob_envelope e;

    mob_error_set(&err, code, "object %s: %s", mob_object_id_name(object, name), why);
    mob_wire_put_error(&error, &err);
    mob_wire_put_object(&id, object);
    mobula__watched__init(&m);
    m.object = &id;
    m.state_case = MOBULA__WATCHED__STATE_ERROR;
    m.error = &error;
    mob_envelope_init(&e, r->self, asker, MOBULA__ENVELOPE__BODY_WATCHED);
    e.e.watched = &m;
    mob_route_send(r, &e.e);
}

bool mob_watch_asked(struct mob_raylet *r, const struct arrival *a)
{
    struct mob_object_id object = mob_wire_object(a->e->watch->object);
    struct mob_link *watches = watches_of(r, a->to);

    if (watches == NULL) {
        answer_gone(r, a->from, &object, MOB_ERR_OWNER_DIED, "the process that owned it is gone");
        return false;
    }
    remember(r, watches, a->from, &object);
    return true;
}

bool mob_watch_answered(struct mob_raylet *r, const struct arrival *a)
{
    struct mob_object_id object = mob_wire_object(a->e->watched->object);
    struct mob_address owner = { object.node, object.process };

    /* The owner speaks for itself; when it is gone, its raylet does. */
    if (!mob_address_eq(a->from, owner) && !(a->from.node == owner.node && a->from.process == 0))
        return false;
    return forget(r, a->to, &object);
}

void mob_watch_owner_gone(struct mob_raylet *r, struct mob_link *watches, enum mob_code code, const char *why)
{
    while (!mob_list_empty(watches)) {
        struct watch *w = mob_list_first(watches, struct watch, link);
        struct mob_address asker = w->asker;
        struct mob_object_id object = w->object;

        forget(r, asker, &object);
        answer_gone(r, asker, &object, code, why);
    }
}

void mob_watches_fini(struct mob_raylet *r)
{
    struct watch *w, *next;

    for (size_t at = 0; (w = mob_map_next(&r->watches, &at, NULL)) != NULL;)
        for (; w != NULL; w = next) {
            next = w->same_key;
            free(w);
        }
    mob_map_fini(&r->watches);
}
