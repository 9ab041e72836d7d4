/* SPDX-License-Identifier: Apache-2.0 */
/* store_fixture.h -- a store whose answers and pulls are noted, and messages to it in one line. */
#ifndef MOB_TESTS_STORE_FIXTURE_H
#define MOB_TESTS_STORE_FIXTURE_H

#include "unit.h"

#include <unistd.h>

#include "common/wire.h"
#include "objstore/client.h"
#include "objstore/store.h"

#define HERE 1u                 /* the store's node */
#define ELSEWHERE 2u
#define FLIGHTS_MAX 64

struct answer {
    uint32_t process, entry, generation;
    uint64_t offset, size;
    struct mob_object_id id;
    struct mob_error err;       /* code MOB_OK: it worked */
};

struct fixture {
    struct mob_store *store;
    struct answer last;
    int64_t now;
    unsigned answers, pulls, bads;
    struct mob_flight *flight[FLIGHTS_MAX];     /* under way, the oldest first */
    unsigned flights, incomings, restored;
    int restored_code;
    uint32_t pull_node;
    uint64_t pull_offset, pull_size;
    enum mob_reach reach[32];   /* of a node */
    struct mob_address told;    /* the owner that was told last of copies */
    size_t added, gone, last_copies, have;
    struct mob_error bad;
    bool deaf;                  /* its clients read no answer yet; else at once */
};

static inline void fixture_answer(void *arg, uint32_t process, const Mobula__Envelope *e)
{
    struct fixture *f = arg;
    struct mob_pin_page *pins = mob_store_pins(f->store, process);
    const Mobula__Error *err;

    f->answers++;
    memset(&f->last, 0, sizeof(f->last));
    f->last.process = process;
    if (e->body_case == MOBULA__ENVELOPE__BODY_CREATED) {
        f->last.entry = e->created->entry;
        f->last.generation = e->created->generation;
        f->last.offset = e->created->offset;
        f->last.id = mob_wire_object(e->created->object);
        err = e->created->error;
    } else {
        ck_assert_int_eq(e->body_case, MOBULA__ENVELOPE__BODY_FETCHED);
        f->last.entry = e->fetched->entry;
        f->last.generation = e->fetched->generation;
        f->last.offset = e->fetched->offset;
        f->last.size = e->fetched->size;
        f->last.id = mob_wire_object(e->fetched->object);
        err = e->fetched->error;
        if (pins != NULL && !f->deaf)
            atomic_fetch_add(&pins->heard, 1);
    }
    if (err != NULL)
        mob_wire_error(err, &f->last.err);
}

static inline void fixture_pull(void *arg, struct mob_flight *flight)
{
    struct fixture *f = arg;

    f->pulls++;
    f->pull_node = flight->range.node;
    ck_assert_uint_lt(f->flights, FLIGHTS_MAX);
    f->flight[f->flights++] = flight;
}

static inline void *fixture_incoming(void *arg, uint64_t offset, uint64_t size)
{
    struct fixture *f = arg;

    f->pull_offset = offset;
    f->pull_size = size;
    f->incomings++;
    return f;
}

static inline void fixture_incoming_end(void *arg, void *incoming)
{
    struct fixture *f = arg;

    ck_assert_ptr_eq(incoming, f);
    f->incomings--;
}

static inline enum mob_reach fixture_reach(void *arg, uint32_t node)
{
    struct fixture *f = arg;

    return f->reach[node % 32];
}

static inline void fixture_mourn(void *arg, uint32_t node, struct mob_error *ret_why)
{
    (void)arg;
    mob_error_set(ret_why, MOB_ERR_NODE_DIED, "it has died: silence");
    snprintf(ret_why->node, sizeof ret_why->node, "10.0.0.%u", node);
}

static inline void fixture_restored(void *arg, const struct mob_object_id *id, const struct mob_error *err)
{
    struct fixture *f = arg;

    (void)id;
    f->restored++;
    f->restored_code = err != NULL ? err->code : MOB_OK;
}

static inline void fixture_tell(void *arg, struct mob_address owner, const Mobula__Envelope *e)
{
    struct fixture *f = arg;

    ck_assert_int_eq(e->body_case, MOBULA__ENVELOPE__BODY_COPIES);
    f->told = owner;
    f->added += e->copies->n_added;
    f->gone += e->copies->n_gone;
    f->last_copies += e->copies->n_last;
    f->have += e->copies->n_have;
}

/* The flight of this place in f->flight ends. */
static inline void fly(struct fixture *f, unsigned i, struct mob_range_result result)
{
    struct mob_flight *flight;

    ck_assert_uint_lt(i, f->flights);
    flight = f->flight[i];
    f->flights--;
    memmove(&f->flight[i], &f->flight[i + 1], (f->flights - i) * sizeof f->flight[0]);
    mob_store_pulled(f->store, flight, &result);
}

/* The oldest flight brings all it was asked for. */
static inline void land(struct fixture *f)
{
    ck_assert_uint_gt(f->flights, 0);
    fly(f, 0, (struct mob_range_result){ .got = f->flight[0]->range.ask.length });
}

/* The oldest flight fails. */
static inline void crash(struct fixture *f, int code, const char *text, bool final)
{
    struct mob_error err;

    mob_error_set(&err, code, "%s", text);
    fly(f, 0, (struct mob_range_result){ .err = &err, .final = final });
}

static inline void fixture_bad(void *arg, uint32_t process, const struct mob_error *err)
{
    struct fixture *f = arg;

    (void)process;
    f->bads++;
    f->bad = *err;
}

/* Without other nodes. */
static inline struct fixture *fixture_create_elsewhere(uint64_t bytes, bool (*elsewhere)(void *arg, uint32_t process))
{
    struct fixture *f = mob_new(struct fixture);
    struct mob_store_config config = { .bytes = bytes, .node = HERE, .answer = fixture_answer, .elsewhere = elsewhere, .bad = fixture_bad,
                                       .arg = f };

    f->store = mob_store_create(&config, false, NULL);
    ck_assert_ptr_nonnull(f->store);
    return f;
}

static inline struct fixture *fixture_create_with(uint64_t bytes, uint64_t behind, bool in_memory)
{
    struct fixture *f = mob_new(struct fixture);
    struct mob_store_config config = { .bytes = bytes, .behind = behind, .node = HERE, .answer = fixture_answer, .pull = fixture_pull,
                                       .incoming = fixture_incoming, .incoming_end = fixture_incoming_end, .reach = fixture_reach, .mourn = fixture_mourn,
                                       .restored = fixture_restored, .tell = fixture_tell, .bad = fixture_bad, .arg = f };
    struct mob_error err;

    f->store = mob_store_create(&config, in_memory, &err);
    ck_assert_msg(f->store != NULL, "%s", err.text);
    return f;
}

static inline struct fixture *fixture_create_in(uint64_t bytes, bool in_memory)
{
    return fixture_create_with(bytes, 0, in_memory);
}

static inline struct fixture *fixture_create(uint64_t bytes)
{
    return fixture_create_in(bytes, false);
}

static inline void fixture_destroy(struct fixture *f)
{
    mob_store_check(f->store);
    mob_store_destroy(f->store);
    while (f->flights > 0)
        free(f->flight[--f->flights]);
    free(f);
}

static inline struct mob_store_client *fixture_client(struct fixture *f, uint32_t process)
{
    struct mob_store_client *c;
    struct mob_error err;
    int arena, meta, pins, overflow;

    ck_assert_msg(mob_store_client(f->store, process, &arena, &meta, &pins, &err) == 0, "%s", err.text);
    if (arena < 0)
        return mob_store_client_on_memory(mob_store_arena(f->store), mob_store_metadata(f->store), mob_store_pins(f->store, process));
    overflow = mob_store_overflow_fd(f->store);
    c = mob_store_client_open(&(struct mob_store_fds){ dup(arena), dup(meta), pins, overflow >= 0 ? dup(overflow) : -1 }, &err);
    ck_assert_msg(c != NULL, "%s", err.text);
    return c;
}

/* Owned by `process` of `node`. */
static inline struct mob_object_id object_of(uint32_t node, uint32_t process, uint64_t task)
{
    return (struct mob_object_id){ .cluster = 9, .node = node, .process = process, .task = task };
}

static inline void send_to(struct fixture *f, uint32_t process, Mobula__Envelope__BodyCase body, void *message)
{
    struct mob_envelope e;

    mob_envelope_init(&e, (struct mob_address){ HERE, process }, (struct mob_address){ HERE, 0 }, body);
    e.e.create = message;
    mob_store_receive(f->store, process, &e.e);
}

static inline void send_create_with(struct fixture *f, uint32_t process, struct mob_object_id id, uint64_t size, uint64_t behind)
{
    Mobula__Create m = MOBULA__CREATE__INIT;
    Mobula__ObjectId object;

    mob_wire_put_object(&object, &id);
    m.object = &object;
    m.size = size;
    m.behind = behind;
    send_to(f, process, MOBULA__ENVELOPE__BODY_CREATE, &m);
}

static inline void send_create(struct fixture *f, uint32_t process, struct mob_object_id id, uint64_t size)
{
    send_create_with(f, process, id, size, 0);
}

static inline void send_seal(struct fixture *f, uint32_t process, struct mob_object_id id, uint32_t entry)
{
    Mobula__Seal m = MOBULA__SEAL__INIT;
    Mobula__ObjectId object;

    mob_wire_put_object(&object, &id);
    m.object = &object;
    m.entry = entry;
    send_to(f, process, MOBULA__ENVELOPE__BODY_SEAL, &m);
}

static inline void send_abandon(struct fixture *f, uint32_t process, struct mob_object_id id, uint32_t entry)
{
    Mobula__Abandon m = MOBULA__ABANDON__INIT;
    Mobula__ObjectId object;

    mob_wire_put_object(&object, &id);
    m.object = &object;
    m.entry = entry;
    send_to(f, process, MOBULA__ENVELOPE__BODY_ABANDON, &m);
}

struct fetch_words {
    uint32_t copies[4];
    size_t copy_count;
    Mobula__Fetch__Priority priority;
};

static inline void send_fetch_with(struct fixture *f, uint32_t process, struct mob_object_id id, uint64_t size, uint32_t node,
                                   struct fetch_words words)
{
    Mobula__Fetch m = MOBULA__FETCH__INIT;
    Mobula__ObjectId object;

    mob_wire_put_object(&object, &id);
    m.object = &object;
    m.size = size;
    m.node = node;
    m.copies = words.copies;
    m.n_copies = words.copy_count;
    m.priority = words.priority;
    send_to(f, process, MOBULA__ENVELOPE__BODY_FETCH, &m);
}

static inline void send_fetch(struct fixture *f, uint32_t process, struct mob_object_id id, uint64_t size, uint32_t node)
{
    send_fetch_with(f, process, id, size, node, (struct fetch_words){ .priority = MOBULA__FETCH__PRIORITY__GET });
}

static inline void send_free_of(struct fixture *f, uint32_t process, struct mob_object_id id, uint32_t maker)
{
    Mobula__Free m = MOBULA__FREE__INIT;
    Mobula__ObjectId object, *list[] = { &object };

    mob_wire_put_object(&object, &id);
    m.n_objects = 1;
    m.objects = list;
    m.maker = maker;
    send_to(f, process, MOBULA__ENVELOPE__BODY_FREE, &m);
}

static inline void send_free(struct fixture *f, uint32_t process, struct mob_object_id id)
{
    send_free_of(f, process, id, 0);
}

/* So long that who waits for room in vain is told. */
static inline void wait_in_vain(struct fixture *f)
{
    mob_store_tick(f->store, f->now += INT64_C(1000000000));
    mob_store_tick(f->store, f->now += INT64_C(3000000000));
}

/* Create, fill with `byte` if there is a client, seal; the answer of Create. */
static inline struct answer make(struct fixture *f, struct mob_store_client *c, uint32_t process, struct mob_object_id id,
                                 uint64_t size, int byte)
{
    struct answer a;

    send_create(f, process, id, size);
    a = f->last;
    ck_assert_msg(a.err.code == MOB_OK, "%s", a.err.text);
    if (c != NULL)
        memset(mob_store_client_write(c, a.offset, size), byte, size);
    send_seal(f, process, id, a.entry);
    return a;
}

#endif
