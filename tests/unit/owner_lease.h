/* SPDX-License-Identifier: Apache-2.0 */
/* owner_lease.h -- an owner's leases (owner_fake.h), and the tasks that its workers run on them. */
#ifndef MOB_TESTS_OWNER_LEASE_H
#define MOB_TESTS_OWNER_LEASE_H

#include "tests/unit/owner_fake.h"
#include "tests/unit/unit.h"

static inline uint32_t last_want(const struct fake *f)
{
    return f->last[MOBULA__ENVELOPE__BODY_WANT]->want->count;
}

/* Worker i runs one task that takes `took_ns` of the fake clock. False: it has none. */
static inline bool run_one(struct fake *f, unsigned i, int64_t took_ns)
{
    struct mob_task_frame t;
    const void *body;

    if (!fake_claim(f, i, &t, &body))
        return false;
    f->now_ns += took_ns;
    fake_reply_value(f, i, &t, t.task, took_ns);
    fake_drain(f);
    return true;
}

/* `n` workers with leases 1..n. */
static inline void give_workers(struct fake *f, uint32_t shape, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        fake_open(f, i);
        fake_grant(f, shape, 1 + i, i);
    }
}

/* `n` tasks, which go to whoever may have them. */
static inline void submit(struct fake *f, uint32_t shape, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        fake_submit(f, shape, 3, NULL, 0);
    mob_owner_flush(f->o);
}

/* What worker i begins. */
static inline struct mob_task_frame begin(struct fake *f, unsigned i)
{
    struct mob_task_frame t;
    const void *body;

    ck_assert(fake_claim(f, i, &t, &body));
    return t;
}

/* It answers, and the owner hears of it. */
static inline void end(struct fake *f, unsigned i, const struct mob_task_frame *t)
{
    fake_reply_value(f, i, t, 0, 1000);
    fake_drain(f);
    mob_owner_flush(f->o);
}

/* Worker 0 has run a task of this kind, so short that one lease is enough for many. */
static inline void run_a_short_one(struct fake *f, uint32_t shape)
{
    submit(f, shape, 1);
    ck_assert(run_one(f, 0, 1000));
}

#endif
