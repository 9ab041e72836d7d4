/* SPDX-License-Identifier: Apache-2.0 */
/* owner_fake.h -- an owner core in a world made of memory: a clock that a test moves, a raylet that remembers what was sent to
 * it, and workers whose channels are plain memory and whose claims and answers are scripted. Without Check, for fuzzer and bench. */
#ifndef MOB_TESTS_OWNER_FAKE_H
#define MOB_TESTS_OWNER_FAKE_H

#include <assert.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "common/wire.h"
#include "worker/owner.h"

#define FAKE_WORKERS 8
#define FAKE_NODE 2u
#define FAKE_PROCESS 5u
#define FAKE_MS INT64_C(1000000)

struct fake_worker {
    void *memory;
    struct mob_page page;
    struct mob_channel *end;            /* the worker's */
    uint32_t epoch;
};

struct fake {
    struct mob_world world;             /* first: the world's functions find us by it */
    struct mob_owner *o;
    struct mob_wire *wire;
    int64_t now_ns;
    struct mob_page page;               /* the owner's */
    struct fake_worker workers[FAKE_WORKERS];
    unsigned sent[80];                  /* envelopes by body */
    Mobula__Envelope *last[80];         /* the last of each */
    unsigned warnings;
    char warning[256];                  /* the last one */
    bool hung_up;
    bool forget;                        /* keep no envelopes (bench) */
    uint64_t chance;                    /* what world->random() says */
    uint16_t retry;                     /* of what is submitted */
    bool beyond_ask;                    /* what the next LeaseOver says */
};

static inline int64_t fake_now(struct mob_world *w)
{
    return ((struct fake *)w)->now_ns;
}

static inline uint64_t fake_random(struct mob_world *w)
{
    return ((struct fake *)w)->chance;
}

static inline void fake_send(struct mob_world *w, uint64_t link, const void *frame, size_t size)
{
    struct fake *f = (struct fake *)w;

    assert(link == 1);
    if (f->forget)
        return;
    Mobula__Envelope *e = mobula__envelope__unpack(NULL, size, frame);

    assert(e != NULL && (size_t)e->body_case < 80);
    f->sent[e->body_case]++;
    mobula__envelope__free_unpacked(f->last[e->body_case], NULL);
    f->last[e->body_case] = e;
}

static inline void fake_hang_up(struct mob_world *w, uint64_t link)
{
    (void)link;
    ((struct fake *)w)->hung_up = true;
}

static inline void fake_warn(void *arg, const char *text)
{
    struct fake *f = arg;

    mob_copy(f->warning, sizeof f->warning, text);
    f->warnings++;
}

static inline void fake_init_with(struct fake *f, uint64_t lineage_bytes)
{
    struct mob_owner_config config = { .cluster = 77, .self = { FAKE_NODE, FAKE_PROCESS }, .job = { FAKE_NODE, FAKE_PROCESS },
                                       .raylet = 1, .lineage_bytes = lineage_bytes, .warn = fake_warn, .arg = f };

    memset(f, 0, sizeof *f);
    f->world.now_ns = fake_now;
    f->world.random = fake_random;
    f->world.send = fake_send;
    f->world.hang_up = fake_hang_up;
    f->now_ns = 1000 * FAKE_MS;
    f->wire = mob_wire_create();
    f->o = mob_owner_create(&f->world, &config);
}

static inline void fake_init(struct fake *f)
{
    fake_init_with(f, 0);
}

static inline void fake_fini(struct fake *f)
{
    mob_owner_destroy(f->o);
    for (unsigned i = 0; i < FAKE_WORKERS; i++) {
        mob_channel_close(f->workers[i].end);
        free(f->workers[i].memory);
    }
    for (unsigned i = 0; i < 80; i++)
        mobula__envelope__free_unpacked(f->last[i], NULL);
    mob_wire_destroy(f->wire);
}

static inline uint32_t fake_shape(struct fake *f)
{
    struct mob_shape shape = { .strategy = MOB_HYBRID };

    mob_resources_set(&shape.resources, "CPU", MOB_UNITS);
    return mob_owner_shape(f->o, &shape);
}

/* An envelope from a process to the owner. */
static inline void fake_tell_from(struct fake *f, struct mob_address from, Mobula__Envelope__BodyCase body, void *message)
{
    struct mob_envelope e;
    size_t size;

    mob_envelope_init(&e, from, (struct mob_address){ FAKE_NODE, FAKE_PROCESS }, body);
    e.e.want = message;
    const void *bytes = mob_wire_pack(f->wire, &e.e, &size);

    mob_owner_receive(f->o, bytes, size);
}

/* The same from a node's raylet. */
static inline void fake_tell(struct fake *f, uint32_t node, Mobula__Envelope__BodyCase body, void *message)
{
    fake_tell_from(f, (struct mob_address){ node, 0 }, body, message);
}

/* What a node's raylet says of one object or another. */
struct fake_copies {
    const struct mob_object_id *added, *gone, *have, *leaving;
    uint32_t to;
};

static inline void fake_copies(struct fake *f, uint32_t node, struct fake_copies c)
{
    const struct mob_object_id *said[] = { c.added, c.gone, c.have, c.leaving };
    Mobula__ObjectId id[4], *list[] = { &id[0], &id[1], &id[2], &id[3] };
    Mobula__Copies m = MOBULA__COPIES__INIT;

    for (unsigned i = 0; i < 4; i++)
        if (said[i] != NULL)
            mob_wire_put_object(&id[i], said[i]);
    m.n_added = c.added != NULL;
    m.added = &list[0];
    m.n_gone = c.gone != NULL;
    m.gone = &list[1];
    m.n_have = c.have != NULL;
    m.have = &list[2];
    m.n_leaving = c.leaving != NULL;
    m.leaving = &list[3];
    m.to = c.to;
    fake_tell(f, node, MOBULA__ENVELOPE__BODY_COPIES, &m);
    mob_owner_flush(f->o);
}

/* The answer of another owner, on `node`, to a Watch: its object, or what it stands for, lies in the store of node `at`. */
static inline void fake_found(struct fake *f, uint32_t node, const struct mob_object_id *theirs, uint32_t at, uint32_t making)
{
    Mobula__Watched__Place place = MOBULA__WATCHED__PLACE__INIT;
    Mobula__Watched m;
    Mobula__ObjectId object;

    mobula__watched__init(&m);
    mob_wire_put_object(&object, theirs);
    m.object = place.object = &object;
    m.state_case = MOBULA__WATCHED__STATE_PLACE;
    m.place = &place;
    place.node = at;
    place.size = 1000;
    place.making = making;
    fake_tell(f, node, MOBULA__ENVELOPE__BODY_WATCHED, &m);
}

/* For a test that opens many channels, of two megabytes each: what is freed stays with the process, and costs no new pages. */
static inline void fake_keep_memory(void)
{
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    mallopt(M_TRIM_THRESHOLD, 256 << 20);
}

/* A channel to worker i (process 100 + i), dirty bit i. */
static inline void fake_open(struct fake *f, unsigned i)
{
    struct fake_worker *w = &f->workers[i];
    struct mob_doorbell to_worker = { .page = &w->page, .fd = -1 }, to_owner = { .page = &f->page, .fd = -1 };

    mob_channel_close(w->end);
    free(w->memory);
    w->memory = aligned_alloc(4096, (mob_channel_memory_size() + 4095) & ~(size_t)4095);
    assert(w->memory != NULL);
    memset(w->memory, 0, mob_channel_memory_size());
    memset(&w->page, 0, sizeof w->page);
    w->epoch = 0;
    w->end = mob_channel_on_memory(w->memory, &to_owner, MOB_CHANNEL_WORKER, 0);
    mob_owner_channel(f->o, 100 + i, mob_channel_on_memory(w->memory, &to_worker, MOB_CHANNEL_OWNER, i), i);
}

/* Lease `number` on worker i of this node, or on process 100 + i of `node`. */
static inline void fake_grant_on(struct fake *f, uint32_t shape, uint64_t number, unsigned i, uint32_t node)
{
    Mobula__Grant m = MOBULA__GRANT__INIT;
    Mobula__Address worker;

    mob_wire_put_address(&worker, (struct mob_address){ node, 100 + i });
    m.shape = shape;
    m.lease = number;
    m.worker = &worker;
    m.epoch = ++f->workers[i].epoch;
    m.window_tasks = 1024;
    m.window_bytes = 1 << 20;
    m.ip = (char *)"10.0.0.7";
    m.pid = 4711 + i;
    fake_tell(f, node, MOBULA__ENVELOPE__BODY_GRANT, &m);
}

static inline void fake_grant(struct fake *f, uint32_t shape, uint64_t number, unsigned i)
{
    fake_grant_on(f, shape, number, i, FAKE_NODE);
}

static inline void fake_recall(struct fake *f, uint64_t number, uint32_t node)
{
    Mobula__Recall m = MOBULA__RECALL__INIT;

    m.lease = number;
    fake_tell(f, node, MOBULA__ENVELOPE__BODY_RECALL, &m);
}

/* The lease is over; `claimed`: the task that ran, or NULL. */
static inline void fake_over(struct fake *f, uint64_t number, unsigned i, uint32_t node, enum mob_code code,
                             const struct mob_task_frame *claimed)
{
    Mobula__LeaseOver m = MOBULA__LEASE_OVER__INIT;
    Mobula__Error cause = MOBULA__ERROR__INIT;
    Mobula__Address worker;

    mob_wire_put_address(&worker, (struct mob_address){ node, 100 + i });
    cause.code = code;
    cause.pid = 4711;
    cause.node = (char *)"host-b";
    cause.text = (char *)"the worker was killed by signal 9";
    m.lease = number;
    m.worker = &worker;
    m.cause = &cause;
    m.claimed = claimed != NULL;
    m.task = claimed != NULL ? claimed->task : 0;
    m.attempt = claimed != NULL ? claimed->attempt : 0;
    m.beyond_ask = f->beyond_ask;
    fake_tell(f, FAKE_NODE, MOBULA__ENVELOPE__BODY_LEASE_OVER, &m);
}

/* Worker i claims its next task, and its page says so. */
static inline bool fake_claim(struct fake *f, unsigned i, struct mob_task_frame *ret, const void **ret_body)
{
    struct fake_worker *w = &f->workers[i];

    if (!mob_channel_claim(w->end, w->epoch, ret, ret_body))
        return false;
    atomic_store_explicit(&w->page.task, ret->task, memory_order_relaxed);
    atomic_store_explicit(&w->page.claimed_ns, f->now_ns, memory_order_relaxed);
    atomic_store_explicit(&w->page.state, MOB_WORKER_RUNNING, memory_order_relaxed);
    return true;
}

/* It answers what it claimed: any body; took `took_ns`. */
static inline void fake_reply(struct fake *f, unsigned i, const struct mob_task_frame *t, int status, const void *body,
                              size_t size, int64_t took_ns)
{
    struct fake_worker *w = &f->workers[i];
    void *to;
    struct mob_answer_frame *a = mob_channel_reply(w->end, size, &to);

    assert(a != NULL);
    *a = (struct mob_answer_frame){ .task = t->task, .started_ns = f->now_ns - took_ns, .ended_ns = f->now_ns,
                                    .body_size = (uint32_t)size, .attempt = t->attempt, .returns = t->returns,
                                    .status = status };
    if (size > 0)
        memcpy(to, body, size);
    mob_channel_reply_commit(w->end);
    atomic_store_explicit(&w->page.claimed_ns, 0, memory_order_relaxed);
}

/* Worker i, which runs the task, is gone; so the lender says it. */
static inline void fake_dies(struct fake *f, uint64_t lease, unsigned i, const struct mob_task_frame *t, const struct mob_death *death)
{
    Mobula__LeaseOver m = MOBULA__LEASE_OVER__INIT;
    Mobula__Error cause = MOBULA__ERROR__INIT;
    Mobula__Death said, *list = &said;
    Mobula__Address worker;

    mob_wire_put_address(&worker, (struct mob_address){ FAKE_NODE, 100 + i });
    mob_wire_put_death(&said, death);
    cause.code = MOB_ERR_WORKER_CRASHED;
    cause.text = (char *)"it died";
    cause.n_deaths = 1;
    cause.deaths = &list;
    m.lease = lease;
    m.worker = &worker;
    m.cause = &cause;
    m.claimed = true;
    m.task = t->task;
    m.attempt = t->attempt;
    fake_tell(f, FAKE_NODE, MOBULA__ENVELOPE__BODY_LEASE_OVER, &m);
}

/* One inline value of 8 bytes. */
static inline void fake_reply_value(struct fake *f, unsigned i, const struct mob_task_frame *t, uint64_t value, int64_t took_ns)
{
    struct { struct mob_arg_head head; uint64_t value; } body = { { MOB_VALUE_INLINE, 8 }, value };

    fake_reply(f, i, t, MOB_OK, &body, sizeof body, took_ns);
}

static inline void fake_drain(struct fake *f)
{
    const uint64_t all[MOB_DIRTY_BITS / 64] = { 0xff };

    mob_owner_drain(f->o, all, SIZE_MAX);
}

/* Submit one task with these arguments. */
static inline uint64_t fake_submit(struct fake *f, uint32_t shape, int retries, const struct mob_arg *args, size_t count)
{
    struct mob_submit s = { .shape = shape, .function = 42, .name = "work", .returns = 1, .max_retries = retries, .retry = f->retry, .args = args,
                            .arg_count = count };
    struct mob_error err;
    uint64_t ref = 0;

    if (mob_owner_submit(f->o, &s, &ref, &err) < 0)
        return 0;
    return ref;
}

static inline struct mob_object_info fake_look(struct fake *f, uint64_t ref)
{
    struct mob_object_info info = { 0 };

    assert(mob_owner_look(f->o, ref, &info, NULL) == 0);
    return info;
}

/* Who waits for an object, and how often he was told. */
struct fake_waiter {
    struct mob_waiter w;
    int calls;
};

static inline void fake_told(struct mob_waiter *w)
{
    ((struct fake_waiter *)w)->calls++;
}

static inline void fake_waiter_init(struct fake_waiter *w)
{
    *w = (struct fake_waiter){ .w.ready = fake_told };
    mob_list_init(&w->w.link);
}

/* Not there any more. True: it is pending again. */
static inline bool fake_lose(struct fake *f, uint64_t ref)
{
    struct mob_error why = { .code = MOB_ERR_OBJECT_LOST, .text = "node 9 has died" };
    bool again = mob_owner_lost(f->o, ref, fake_look(f, ref).since, &why);

    mob_owner_check(f->o);
    return again;
}

/* One owner with one worker that has a lease. */
static inline uint32_t fake_start(struct fake *f)
{
    fake_init(f);
    uint32_t shape = fake_shape(f);

    fake_open(f, 0);
    fake_grant(f, shape, 1, 0);
    return shape;
}

static inline void fake_finish(struct fake *f)
{
    mob_owner_check(f->o);
    fake_fini(f);
}

#endif
