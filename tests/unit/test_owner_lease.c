/* SPDX-License-Identifier: Apache-2.0 */
/* test_owner_lease.c -- what the worker of a lease gets to run, what is taken back from it, and how the lease ends. */
#include "tests/unit/owner_lease.h"

static size_t claimable(struct fake *f, unsigned i)
{
    struct mob_task_frame t;
    const void *body;
    size_t n = 0;

    for (; fake_claim(f, i, &t, &body); n++)
        fake_reply_value(f, i, &t, 0, 1000);
    return n;
}

START_TEST(test_eight_long_tasks_on_four_leases_run_two_rounds)
{
    struct fake f;
    struct mob_task_frame t[4];
    const void *body;

    fake_init(&f);
    uint32_t shape = fake_shape(&f);

    submit(&f, shape, 8);
    give_workers(&f, shape, 4);
    for (int round = 0; round < 2; round++) {
        mob_owner_flush(f.o);
        for (unsigned i = 0; i < 4; i++)
            ck_assert(fake_claim(&f, i, &t[i], &body));
        f.now_ns += 1000 * FAKE_MS;
        for (unsigned i = 0; i < 4; i++)
            fake_reply_value(&f, i, &t[i], 0, 1000 * FAKE_MS);
        fake_drain(&f);
        mob_owner_check(f.o);
    }
    ck_assert_uint_eq(mob_owner_counts(f.o).done, 8);
    fake_fini(&f);
}
END_TEST

START_TEST(test_recall_takes_back_and_returns_after_the_running_task)
{
    struct fake f;
    struct mob_task_frame t, other;
    const void *body;
    uint32_t shape = fake_start(&f);

    submit(&f, shape, 2);
    t = begin(&f, 0);
    fake_recall(&f, 1, FAKE_NODE);
    fake_recall(&f, 1, FAKE_NODE);
    ck_assert_uint_eq(mob_owner_counts(f.o).queued, 1);
    mob_owner_flush(f.o);
    ck_assert_uint_eq(mob_owner_counts(f.o).leases, 1);
    end(&f, 0, &t);
    ck_assert_uint_eq(mob_owner_counts(f.o).leases, 0);
    ck_assert_uint_eq(last_want(&f), 1);            /* another, in its place */
    ck_assert(!fake_claim(&f, 0, &other, &body));
    fake_recall(&f, 1, FAKE_NODE);                  /* of a lease that is over: ignored */
    fake_over(&f, 1, 0, FAKE_NODE, MOB_ERR_WORKER_CRASHED, NULL);
    mob_owner_check(f.o);
    fake_fini(&f);
}
END_TEST

START_TEST(test_nothing_stays_behind_a_blocked_task)
{
    struct fake f;
    struct mob_task_frame t;
    uint32_t shape = fake_start(&f);

    submit(&f, shape, 2);
    t = begin(&f, 0);
    atomic_store(&f.workers[0].page.state, MOB_WORKER_BLOCKED);
    f.now_ns = mob_owner_flush(f.o);
    while (mob_owner_counts(f.o).queued == 0)
        f.now_ns = mob_owner_flush(f.o);
    mob_owner_flush(f.o);
    ck_assert_uint_eq(mob_owner_counts(f.o).pushed, 1);     /* not pushed there again */
    ck_assert_uint_ge(last_want(&f), 1);
    mob_owner_check(f.o);
    end(&f, 0, &t);
    ck_assert(run_one(&f, 0, 1000));
    fake_fini(&f);
}
END_TEST

/* A worker rings as it blocks: what stands behind is taken back by the flush after it, not when the next look is due. */
START_TEST(test_a_ring_of_a_blocked_worker)
{
    struct fake f;
    uint64_t dirty[MOB_DIRTY_BITS / 64] = { 0 };
    uint32_t shape = fake_start(&f);

    submit(&f, shape, 2);
    begin(&f, 0);
    atomic_store(&f.workers[0].page.state, MOB_WORKER_BLOCKED);
    mob_channel_ring_all(f.workers[0].end);
    for (unsigned i = 0; i < MOB_DIRTY_BITS / 64; i++)
        dirty[i] = atomic_exchange(&f.page.dirty[i], 0);
    mob_owner_drain(f.o, dirty, SIZE_MAX);
    mob_owner_flush(f.o);
    ck_assert_uint_eq(mob_owner_counts(f.o).queued, 1);
    ck_assert_uint_eq(mob_owner_counts(f.o).pushed, 1);
    mob_owner_check(f.o);
    fake_fini(&f);
}
END_TEST

/* The second task comes when the first sleeps already, and nobody rings any more. */
START_TEST(test_nothing_is_left_with_one_that_sleeps)
{
    struct fake f;
    uint32_t shape = fake_start(&f);

    submit(&f, shape, 1);
    begin(&f, 0);
    atomic_store(&f.workers[0].page.state, MOB_WORKER_BLOCKED);
    submit(&f, shape, 1);
    ck_assert_uint_eq(mob_owner_counts(f.o).queued, 1);
    fake_fini(&f);
}
END_TEST

START_TEST(test_long_task_loses_what_is_behind_it_to_another_lease)
{
    struct fake f;
    uint32_t shape = fake_start(&f);

    run_a_short_one(&f, shape);
    submit(&f, shape, 100);
    begin(&f, 0);
    f.now_ns += 3 * FAKE_MS;
    mob_owner_flush(f.o);
    ck_assert_uint_eq(mob_owner_counts(f.o).pushed, 100);   /* nobody could take them, but somebody is asked for */
    ck_assert_uint_ge(last_want(&f), 1);
    fake_open(&f, 1);
    fake_grant(&f, shape, 2, 1);
    mob_owner_flush(f.o);
    ck_assert_uint_eq(claimable(&f, 1), 99);
    mob_owner_check(f.o);
    fake_fini(&f);
}
END_TEST

START_TEST(test_idle_lease_takes_over_a_prefetched_long_task)
{
    struct fake f;
    struct mob_task_frame t[2];
    uint32_t shape = fake_start(&f);

    submit(&f, shape, 1);
    ck_assert(run_one(&f, 0, 1000 * FAKE_MS));
    submit(&f, shape, 2);
    t[0] = begin(&f, 0);
    ck_assert_uint_eq(mob_owner_counts(f.o).pushed, 2);
    fake_open(&f, 1);
    fake_grant(&f, shape, 2, 1);
    mob_owner_flush(f.o);
    t[1] = begin(&f, 1);
    ck_assert_uint_ne(t[0].task, t[1].task);
    mob_owner_check(f.o);
    fake_fini(&f);
}
END_TEST

START_TEST(test_death_keeps_order_and_answers)
{
    struct fake f;
    struct mob_task_frame t, dead, next;
    uint64_t refs[4];
    uint32_t shape = fake_start(&f);

    run_a_short_one(&f, shape);
    for (int i = 0; i < 4; i++)
        refs[i] = fake_submit(&f, shape, 0, NULL, 0);
    mob_owner_flush(f.o);
    t = begin(&f, 0);
    fake_reply_value(&f, 0, &t, 5, 1000);           /* lies in the ring when the worker dies */
    dead = begin(&f, 0);
    fake_over(&f, 1, 0, FAKE_NODE, MOB_ERR_WORKER_CRASHED, &dead);
    ck_assert_int_eq(fake_look(&f, refs[0]).state, MOB_OBJECT_INLINE);
    ck_assert_int_eq(fake_look(&f, refs[1]).error->code, MOB_ERR_WORKER_CRASHED);
    ck_assert_uint_eq(mob_owner_counts(f.o).queued, 2);     /* not charged */
    ck_assert_uint_eq(f.sent[MOBULA__ENVELOPE__BODY_FREE], 1);      /* of what it may have sealed */
    ck_assert_uint_eq(f.last[MOBULA__ENVELOPE__BODY_FREE]->free->objects[0]->task, dead.task);
    ck_assert_uint_ne(f.last[MOBULA__ENVELOPE__BODY_FREE]->free->maker, 0);
    fake_open(&f, 1);
    fake_grant(&f, shape, 2, 1);
    mob_owner_flush(f.o);
    next = begin(&f, 1);
    ck_assert_uint_eq(next.task, refs[2]);
    ck_assert_uint_eq(next.attempt, 0);
    mob_owner_check(f.o);
    fake_fini(&f);
}
END_TEST

START_TEST(test_recalled_lease_is_no_help_to_what_is_queued)
{
    struct fake f;
    struct mob_task_frame t;
    uint32_t shape = fake_start(&f);

    run_a_short_one(&f, shape);
    submit(&f, shape, 1);
    t = begin(&f, 0);                               /* but this one runs on and on */
    fake_recall(&f, 1, FAKE_NODE);
    for (int i = 0; i < 5; i++)
        fake_submit(&f, shape, 3, NULL, 0);
    f.now_ns += 2 * FAKE_MS;
    mob_owner_flush(f.o);
    ck_assert_uint_eq(mob_owner_counts(f.o).queued, 5);
    ck_assert_uint_eq(last_want(&f), 1);
    mob_owner_check(f.o);
    end(&f, 0, &t);
    ck_assert_uint_eq(mob_owner_counts(f.o).leases, 0);
    mob_owner_check(f.o);
    fake_fini(&f);
}
END_TEST

START_TEST(test_tasks_that_turn_out_long_are_shared_out)
{
    struct fake f;
    uint32_t shape = fake_start(&f);

    submit(&f, shape, 1);
    ck_assert(run_one(&f, 0, FAKE_MS));
    fake_open(&f, 1);
    fake_grant(&f, shape, 2, 1);
    submit(&f, shape, 6);                           /* 1 ms each, it seems: three a lease */
    ck_assert(run_one(&f, 0, 180 * FAKE_MS));
    begin(&f, 0);
    for (int i = 0; i < 3; i++)
        ck_assert(run_one(&f, 1, 10 * FAKE_MS));
    mob_owner_flush(f.o);
    begin(&f, 1);                                   /* it was behind the one that the first runs */
    mob_owner_check(f.o);
    fake_fini(&f);
}
END_TEST

UNIT_MAIN("owner_lease", test_eight_long_tasks_on_four_leases_run_two_rounds,
          test_recall_takes_back_and_returns_after_the_running_task, test_nothing_stays_behind_a_blocked_task,
          test_a_ring_of_a_blocked_worker, test_nothing_is_left_with_one_that_sleeps,
          test_long_task_loses_what_is_behind_it_to_another_lease, test_idle_lease_takes_over_a_prefetched_long_task,
          test_death_keeps_order_and_answers, test_recalled_lease_is_no_help_to_what_is_queued,
          test_tasks_that_turn_out_long_are_shared_out)
