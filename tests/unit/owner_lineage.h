/* SPDX-License-Identifier: Apache-2.0 */
/* owner_lineage.h -- an owner with one worker (owner_fake.h), whose values lie in stores and are lost; and one who wants them. */
#ifndef MOB_TESTS_OWNER_LINEAGE_H
#define MOB_TESTS_OWNER_LINEAGE_H

#include "mobula.h"
#include "tests/unit/owner_fake.h"
#include "tests/unit/unit.h"

#define FREE MOBULA__ENVELOPE__BODY_FREE
#define WATCHED MOBULA__ENVELOPE__BODY_WATCHED

static struct fake f;
static uint32_t shape;

static inline void start(uint64_t lineage_bytes)
{
    fake_init_with(&f, lineage_bytes);
    shape = fake_shape(&f);
    fake_open(&f, 0);
    fake_grant(&f, shape, 1, 0);
}

static inline struct mob_stored_value stored(uint64_t task, uint32_t index, uint32_t node)
{
    return (struct mob_stored_value){ .object = { .cluster = 77, .node = FAKE_NODE, .process = FAKE_PROCESS, .task = task, .index = index },
                                      .size = 1000, .node = node };
}

/* The worker claims the next task: of this number, and this attempt. */
static inline struct mob_task_frame claim(uint64_t task, unsigned attempt)
{
    struct mob_task_frame t;
    const void *body;

    mob_owner_flush(f.o);
    ck_assert(fake_claim(&f, 0, &t, &body));
    ck_assert_uint_eq(t.task, task);
    ck_assert_uint_eq(t.attempt, attempt);
    return t;
}

static inline void nothing_runs(void)
{
    struct mob_task_frame t;
    const void *body;

    mob_owner_flush(f.o);
    ck_assert(!fake_claim(&f, 0, &t, &body));
    mob_owner_check(f.o);
}

/* It answers with values that lie in the store of `node`. */
static inline void answer_stored(const struct mob_task_frame *t, uint32_t node)
{
    struct { struct mob_arg_head head; struct mob_stored_value value; } body[2];

    for (uint32_t i = 0; i < t->returns; i++) {
        body[i].head = (struct mob_arg_head){ MOB_VALUE_STORED, sizeof body[i].value };
        body[i].value = stored(t->task, i, node);
    }
    fake_reply(&f, 0, t, MOB_OK, body, t->returns * sizeof body[0], 1000);
    fake_drain(&f);
    mob_owner_flush(f.o);
    mob_owner_check(f.o);
}

/* A task runs, and leaves its one result at node 9. */
static inline uint64_t made(int retries, uint64_t arg)
{
    struct mob_arg args[] = { { .ref = arg } };
    uint64_t ref = fake_submit(&f, shape, retries, args, arg != 0);
    struct mob_task_frame t;

    if (arg != 0)
        mob_owner_copied(f.o, arg, FAKE_NODE);  /* nothing is to be staged */
    t = claim(ref, 0);
    answer_stored(&t, 9);
    ck_assert_int_eq(fake_look(&f, ref).state, MOB_OBJECT_STORED);
    return ref;
}

/* The same of an argument that is in memory. */
static inline uint64_t made_of(int retries, uint64_t arg)
{
    uint64_t ref = fake_submit(&f, shape, retries, &(struct mob_arg){ .ref = arg }, 1);
    struct mob_task_frame t = claim(ref, 0);

    answer_stored(&t, 9);
    return ref;
}

static inline bool lose(uint64_t ref)
{
    return fake_lose(&f, ref);
}

static struct mob_waiter waiter;

static inline void told(struct mob_waiter *w)
{
    w->ready = NULL;
}

static inline bool wants(uint64_t ref)
{
    bool waits;

    waiter = (struct mob_waiter){ .ready = told };
    mob_list_init(&waiter.link);
    waits = mob_owner_wait(f.o, ref, &waiter);
    mob_owner_check(f.o);
    return waits;
}

static inline bool is_told(void)
{
    return waiter.ready == NULL;
}

static inline enum mob_lost reason_of(uint64_t ref)
{
    struct mob_object_info info = fake_look(&f, ref);

    ck_assert_int_eq(info.state, MOB_OBJECT_ERROR);
    ck_assert_int_eq(info.error->code, MOB_ERR_OBJECT_LOST);
    return (enum mob_lost)info.error->user_code;
}

static inline void finish(void)
{
    mob_owner_flush(f.o);
    ck_assert_uint_eq(mob_owner_counts(f.o).objects, 0);
    ck_assert_uint_eq(mob_owner_counts(f.o).kept, 0);
    ck_assert_uint_eq(mob_owner_counts(f.o).kept_bytes, 0);
    fake_finish(&f);
}

#endif
