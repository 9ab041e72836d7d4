/* SPDX-License-Identifier: Apache-2.0 */
/* owner_stream.h -- a stream of an owner core in a world of memory (owner_fake.h), and a worker that yields its items. */
#ifndef MOB_TESTS_OWNER_STREAM_H
#define MOB_TESTS_OWNER_STREAM_H

#include "tests/unit/owner_fake.h"
#include "tests/unit/unit.h"

static inline uint64_t submit(struct fake *f, uint32_t shape, int retries, uint32_t unread_max)
{
    struct mob_submit s = { .shape = shape, .function = 42, .name = "work", .returns = 1, .max_retries = retries, .streams = true,
                            .unread_max = unread_max };
    uint64_t stream;
    struct mob_error err;

    ck_assert_int_eq(mob_owner_submit(f->o, &s, &stream, &err), 0);
    return stream;
}

/* A task that worker 0 has claimed. */
static inline uint64_t running(struct fake *f, uint32_t shape, int retries, uint32_t unread_max, struct mob_task_frame *ret)
{
    uint64_t stream = submit(f, shape, retries, unread_max);
    const void *body;

    mob_owner_flush(f->o);
    ck_assert(fake_claim(f, 0, ret, &body));
    ck_assert_uint_eq(ret->task, stream);
    ck_assert(ret->flags & MOB_TASK_STREAM);
    return stream;
}

/* Worker i sends an item, in bytes as a value stands in an answer. */
static inline bool send_item(struct fake *f, unsigned i, const struct mob_task_frame *t, uint32_t item, const void *body, size_t size)
{
    void *to;
    struct mob_answer_frame *a = mob_channel_item(f->workers[i].end, size, &to);

    if (a == NULL)
        return false;
    *a = (struct mob_answer_frame){ .task = t->task, .attempt = t->attempt, .returns = 1, .status = MOB_ANSWER_ITEM, .item = item };
    memcpy(to, body, size);
    mob_channel_item_commit(f->workers[i].end);
    return true;
}

static inline void item(struct fake *f, const struct mob_task_frame *t, uint32_t n, uint64_t value)
{
    struct { struct mob_arg_head head; uint64_t value; } body = { { MOB_VALUE_INLINE, 8 }, value };

    ck_assert(send_item(f, 0, t, n, &body, sizeof body));
    fake_drain(f);
}

static inline void stored_item_at(struct fake *f, const struct mob_task_frame *t, uint32_t n, uint32_t node)
{
    struct { struct mob_arg_head head; struct mob_stored_value value; } body = { { MOB_VALUE_STORED, sizeof body.value }, {
        .object = { .cluster = 77, .node = FAKE_NODE, .process = FAKE_PROCESS, .task = t->task, .index = n + 1 }, .size = 500000,
        .node = node } };

    ck_assert(send_item(f, 0, t, n, &body, sizeof body));
    fake_drain(f);
}

static inline void stored_item(struct fake *f, const struct mob_task_frame *t, uint32_t n)
{
    stored_item_at(f, t, n, FAKE_NODE);
}

/* The next item's value; its ref is dropped. */
static inline uint64_t take(struct fake *f, uint64_t stream)
{
    struct mob_error err;
    uint64_t ref, value;

    ck_assert_int_eq(mob_owner_stream_take(f->o, stream, &ref, &err), 1);
    ck_assert_uint_ne(ref, 0);
    memcpy(&value, fake_look(f, ref).data, sizeof value);
    mob_owner_drop(f->o, ref, NULL);
    return value;
}

static inline bool nothing_yet(struct fake *f, uint64_t stream)
{
    uint64_t ref = 1;

    return mob_owner_stream_take(f->o, stream, &ref, NULL) == 1 && ref == 0;
}

/* Every item, and the stream, is gone. */
static inline void all_gone(struct fake *f)
{
    mob_owner_check(f->o);
    ck_assert_uint_eq(mob_owner_counts(f->o).objects, 0);
    fake_fini(f);
}

#endif
