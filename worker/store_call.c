/* SPDX-License-Identifier: Apache-2.0 */
/* store_call.c -- Create and Fetch, and the hints that make a second look at a sealed local object free of messages.
 *
 *   room:   Create --> Created (in order of asking) --> [written] --> Seal | Abandon
 *   fetch:  hint --> pin --ok--> over
 *             '--no--> Fetch --> Fetched --> pin --ok--> over
 *                        ^---------------------no, moved meanwhile (at most FETCH_TRIES_MAX times)
 *
 * A hint {entry, generation} may be of an object long gone: the pin then fails, by the generation or by the id, and we ask.
 * Pinning is done at once when Fetched arrives, and then counted: until then the store keeps the copy (objstore/store_loan.c).
 */
#include "worker/store_call.h"

#include <assert.h>
#include <string.h>

#include "worker/value.h"

#define FETCH_TRIES_MAX 100

struct store_call {
    struct mob_link link;               /* in r->store_calls */
    struct mob_wait wait;
    struct mob_room room;
    struct mob_error why;               /* code MOB_OK: the room is good */
};

/* -- room -------------------------------------------------------------------------------------------------------------------- */

static void send_create(struct mob_runtime *r, const struct mob_room *room, uint64_t behind)
{
    Mobula__Create create = MOBULA__CREATE__INIT;
    Mobula__ObjectId object;
    struct mob_envelope out;

    mob_wire_put_object(&object, &room->id);
    create.object = &object;
    create.size = room->size;
    create.behind = behind;
    create.attempt = r->attempt;
    mob_envelope_init(&out, r->self, mob_runtime_raylet(r), MOBULA__ENVELOPE__BODY_CREATE);
    out.e.create = &create;
    mob_runtime_send(r, &out.e);
}

static void send_object(struct mob_runtime *r, Mobula__Envelope__BodyCase body, const struct mob_object_id *id, uint32_t entry)
{
    Mobula__Seal seal = MOBULA__SEAL__INIT;
    Mobula__Abandon abandon = MOBULA__ABANDON__INIT;
    Mobula__ObjectId object;
    struct mob_envelope out;

    mob_wire_put_object(&object, id);
    mob_envelope_init(&out, r->self, mob_runtime_raylet(r), body);
    seal.object = abandon.object = &object;
    seal.entry = abandon.entry = entry;
    if (body == MOBULA__ENVELOPE__BODY_SEAL)
        out.e.seal = &seal;
    else
        out.e.abandon = &abandon;
    mob_runtime_send(r, &out.e);
}

int mob_store_room(struct mob_runtime *r, const struct mob_object_id *id, uint64_t size, size_t count, struct mob_room *ret,
                   struct mob_error *err)
{
    struct store_call call = { .room = { .id = *id, .size = mob_packed_size(size, count) } };

    mob_wait_init(&call.wait);
    call.wait.may_stop = true;
    call.wait.keeps_ns = MOB_NEVER;     /* who ran instead would want room, too */
    mob_list_append(&r->store_calls, &call.link);
    send_create(r, &call.room, call.room.size - size);
    mob_wait_until(r, &call.wait, MOB_NEVER);
    mob_list_remove(&call.link);
    if (!call.wait.done)                /* if it is stopped: mob_store_call_created() gives back what comes later */
        return mob_wait_ended(r, "the program stopped the call, which waited for room in the store", err);
    if (call.why.code != MOB_OK) {
        if (err != NULL)
            *err = call.why;
        return -1;
    }
    *ret = call.room;
    return 0;
}

void mob_store_call_created(struct mob_runtime *r, const Mobula__Created *m)
{
    struct mob_object_id id = mob_wire_object(m->object);
    struct store_call *call;

    mob_list_each(call, &r->store_calls, struct store_call, link) {
        if (!mob_object_id_eq(&call->room.id, &id))
            continue;
        if (m->error != NULL)
            mob_wire_error(m->error, &call->why);
        else if ((call->room.data = mob_store_client_write(r->store, m->offset, call->room.size)) == NULL)
            mob_error_set(&call->why, MOB_ERR_PROTOCOL, "the store gave room outside of its arena");
        call->room.entry = m->entry;
        mob_list_remove(&call->link);
        mob_wait_done(r, &call->wait);
        return;
    }
    if (m->error == NULL)               /* who asked has left */
        send_object(r, MOBULA__ENVELOPE__BODY_ABANDON, &id, m->entry);
}

void mob_store_seal(struct mob_runtime *r, const struct mob_room *room)
{
    send_object(r, MOBULA__ENVELOPE__BODY_SEAL, &room->id, room->entry);
    mob_runtime_flush(r);        /* before any frame that names it */
}

void mob_store_seal_as(struct mob_runtime *r, const struct mob_room *room, const struct mob_object_id *id)
{
    Mobula__ObjectId object, as;
    Mobula__Seal m = MOBULA__SEAL__INIT;
    struct mob_envelope out;

    mob_wire_put_object(&object, &room->id);
    mob_wire_put_object(&as, id);
    m.object = &object;
    m.entry = room->entry;
    m.as = &as;
    mob_envelope_init(&out, r->self, mob_runtime_raylet(r), MOBULA__ENVELOPE__BODY_SEAL);
    out.e.seal = &m;
    mob_runtime_send(r, &out.e);
    mob_runtime_flush(r);
}

void mob_store_await_name(struct mob_runtime *r, const struct mob_object_id *id, uint64_t size)
{
    struct mob_fetch f = { .id = *id, .size = size, .node = r->self.node };
    struct mob_wait wait;
    size_t left = 0;

    mob_wait_init(&wait);
    wait.keeps_ns = MOB_KEEPS_CPU_NS;
    mob_fetch_start(r, &f, &wait, &left);
    mob_wait_until(r, &wait, MOB_NEVER);
    mob_fetch_cancel(r, &f);
}

void mob_store_abandon(struct mob_runtime *r, const struct mob_room *room)
{
    send_object(r, MOBULA__ENVELOPE__BODY_ABANDON, &room->id, room->entry);
}

void mob_store_free(struct mob_runtime *r, const struct mob_object_id *id)
{
    Mobula__ObjectId object = MOBULA__OBJECT_ID__INIT, *list[1] = { &object };
    Mobula__Free m = MOBULA__FREE__INIT;
    struct mob_envelope out;

    mob_wire_put_object(&object, id);
    m.objects = list;
    m.n_objects = 1;
    mob_envelope_init(&out, r->self, mob_runtime_raylet(r), MOBULA__ENVELOPE__BODY_FREE);
    out.e.free = &m;
    mob_runtime_send(r, &out.e);
}

int mob_store_write(struct mob_runtime *r, const struct mob_object_id *id, const void *data, uint64_t size,
                    const struct mob_object_id *carried, size_t count, uint64_t *ret_size, struct mob_error *err)
{
    struct mob_room room;

    *ret_size = mob_packed_size(size, count);
    if (mob_store_room(r, id, size, count, &room, err) < 0)
        return -1;
    mob_runtime_unlock(r);
    mob_store_client_prepare(r->store, room.data, *ret_size);
    memcpy(room.data, data, size);
    for (size_t i = 0; i < count; i++)
        mob_packed_put_id(room.data, size, i, &carried[i]);
    mob_packed_finish(room.data, size, count);
    pthread_mutex_lock(&r->lock);
    if (r->state != MOB_RUNTIME_UP)
        return mob_error_set(err, MOB_ERR_NODE_DIED, "the raylet of this node ended meanwhile");
    mob_store_seal(r, &room);
    return 0;
}

/* -- fetch ------------------------------------------------------------------------------------------------------------------- */

static struct mob_hint *hint_of(struct mob_runtime *r, const struct mob_object_id *id)
{
    return &r->hints[mob_object_id_hash(id) & (MOB_HINTS - 1)];
}

static void fetch_over(struct mob_runtime *r, struct mob_fetch *f)
{
    assert(!f->over && *f->left > 0);
    mob_list_remove(&f->link);
    f->over = true;
    if (--*f->left == 0 && f->wait != NULL)
        mob_wait_done(r, f->wait);
}

/* True: it is over, well or not. */
static bool fetch_pin(struct mob_runtime *r, struct mob_fetch *f, uint32_t entry, uint32_t generation)
{
    bool full = false;
    uint64_t size;
    const void *data = mob_store_client_pin(r->store, entry, generation, &f->id, &size, &f->slot, &full);

    if (data == NULL && !full)
        return false;
    if (data == NULL) {
        mob_error_set(&f->why, MOB_ERR_NO_SPACE, "this process holds %u views of stored objects; release some", MOB_PIN_SLOTS);
    } else if (!mob_packed_read(data, size, &f->packed)) {
        mob_error_set(&f->why, MOB_ERR_PROTOCOL, "the stored value is malformed: its maker wrote beyond it");
        mob_store_client_unpin(r->store, f->slot);
        data = NULL;
    }
    f->data = data;
    fetch_over(r, f);
    return true;
}

static void fetch_ask(struct mob_runtime *r, struct mob_fetch *f)
{
    Mobula__ObjectId object = MOBULA__OBJECT_ID__INIT;
    Mobula__Fetch m = MOBULA__FETCH__INIT;
    struct mob_envelope out;

    mob_wire_put_object(&object, &f->id);
    m.object = &object;
    m.size = f->size;
    m.node = f->node;
    m.copies = f->copies;
    m.n_copies = f->copy_count;
    m.priority = f->get ? MOBULA__FETCH__PRIORITY__GET : MOBULA__FETCH__PRIORITY__ARGUMENT;
    mob_envelope_init(&out, r->self, mob_runtime_raylet(r), MOBULA__ENVELOPE__BODY_FETCH);
    out.e.fetch = &m;
    mob_runtime_send(r, &out.e);
    f->tries++;
}

void mob_fetch_start(struct mob_runtime *r, struct mob_fetch *f, struct mob_wait *wait, size_t *left)
{
    const struct mob_hint *hint = hint_of(r, &f->id);

    f->wait = wait;
    f->left = left;
    ++*left;
    mob_list_init(&f->link);
    if (mob_object_id_eq(&hint->id, &f->id) && fetch_pin(r, f, hint->entry, hint->generation))
        return;
    mob_list_append(&r->fetches, &f->link);
    fetch_ask(r, f);
}

void mob_fetch_cancel(struct mob_runtime *r, struct mob_fetch *f)
{
    mob_list_remove(&f->link);
    if (f->data != NULL && r->store != NULL)
        mob_store_client_unpin(r->store, f->slot);
    f->data = NULL;
}

static void fetch_fail(struct mob_runtime *r, struct mob_fetch *f, const struct mob_error *why)
{
    f->why = *why;
    fetch_over(r, f);
}

void mob_store_call_fetched(struct mob_runtime *r, const Mobula__Fetched *m)
{
    struct mob_object_id id = mob_wire_object(m->object);
    struct mob_fetch *f;
    struct mob_error why;

    if (m->error != NULL)
        mob_wire_error(m->error, &why);
    else
        *hint_of(r, &id) = (struct mob_hint){ .id = id, .entry = m->entry, .generation = m->generation };
    mob_list_each(f, &r->fetches, struct mob_fetch, link) {
        if (!mob_object_id_eq(&f->id, &id))
            continue;
        if (m->error != NULL) {
            fetch_fail(r, f, &why);
        } else if (!fetch_pin(r, f, m->entry, m->generation)) {
            if (f->tries < FETCH_TRIES_MAX) {
                fetch_ask(r, f);
            } else {
                mob_error_set(&why, MOB_ERR_NO_SPACE,
                              "the object was evicted %d times before it could be read: the node's store is too small", f->tries);
                fetch_fail(r, f, &why);
            }
        }
    }
    mob_store_client_heard(r->store);
}

void mob_store_call_fail_all(struct mob_runtime *r, const struct mob_error *why)
{
    struct store_call *call;
    struct mob_fetch *f;

    mob_list_each(call, &r->store_calls, struct store_call, link) {
        call->why = *why;
        mob_list_remove(&call->link);
        mob_wait_done(r, &call->wait);
    }
    mob_list_each(f, &r->fetches, struct mob_fetch, link)
        fetch_fail(r, f, why);
}
