/* SPDX-License-Identifier: Apache-2.0 */
/* test_owner_lease.c -- how many leases are wanted, what each gets, and how each ends. */
#include "tests/unit/owner_fake.h"
#include "tests/unit/unit.h"

static uint32_t last_want(const struct fake *f)
{
    return f->last[MOBULA__ENVELOPE__BODY_WANT]->want->count;
}

/* Worker i runs one task that takes `took_ns` of the fake clock. False: it has none. */
static bool run_one(struct fake *f, unsigned i, int64_t took_ns)
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
static void give_workers(struct fake *f, uint32_t shape, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        fake_open(f, i);
        fake_grant(f, shape, 1 + i, i);
    }
}

static size_t claimable(struct fake *f, unsigned i)
{
    struct mob_task_frame t;
    const void *body;
    size_t n = 0;

    for (; fake_claim(f, i, &t, &body); n++)
        fake_reply_value(f, i, &t, 0, 1000);
    return n;
}

START_TEST(test_wants_are_levels)
{
    struct fake f;

    fake_init(&f);
    uint32_t shape = fake_shape(&f);

    ck_assert_uint_eq(fake_shape(&f), shape);
    for (int i = 0; i < 8; i++)
        fake_submit(&f, shape, 3, NULL, 0);
    mob_owner_flush(f.o);
    ck_assert_uint_eq(last_want(&f), 8);
    ck_assert_uint_eq(f.last[MOBULA__ENVELOPE__BODY_WANT]->want->grants_seen, 0);
    mob_owner_flush(f.o);
    ck_assert_uint_eq(f.sent[MOBULA__ENVELOPE__BODY_WANT], 1);
    give_workers(&f, shape, 2);
    mob_owner_flush(f.o);
    ck_assert_uint_eq(f.sent[MOBULA__ENVELOPE__BODY_WANT], 1);      /* 8 less 2 grants: the level is right */
    while (run_one(&f, 0, 1000) || run_one(&f, 1, 1000))
        mob_owner_flush(f.o);
    ck_assert_uint_eq(last_want(&f), 0);
    ck_assert_uint_eq(f.last[MOBULA__ENVELOPE__BODY_WANT]->want->grants_seen, 2);
    ck_assert_uint_eq(mob_owner_counts(f.o).done, 8);
    fake_fini(&f);
}
END_TEST

/* Found by the simulator: what a grant that is of no use had lowered was never wanted again. */
START_TEST(test_a_useless_grant_is_wanted_again)
{
    struct fake f;

    fake_init(&f);
    uint32_t shape = fake_shape(&f);

    fake_submit(&f, shape, 3, NULL, 0);
    mob_owner_flush(f.o);
    ck_assert_uint_eq(last_want(&f), 1);
    fake_grant(&f, shape, 10, 7);       /* there is no channel to it */
    ck_assert_uint_eq(f.sent[MOBULA__ENVELOPE__BODY_RETURN_LEASE], 1);
    mob_owner_flush(f.o);
    ck_assert_uint_eq(f.sent[MOBULA__ENVELOPE__BODY_WANT], 2);
    ck_assert_uint_eq(last_want(&f), 1);
    ck_assert_uint_eq(f.last[MOBULA__ENVELOPE__BODY_WANT]->want->grants_seen, 1);
    fake_fini(&f);
}
END_TEST

START_TEST(test_short_tasks_want_few_leases_and_deep_pipelines)
{
    struct fake f;
    uint32_t shape = fake_start(&f);

    fake_submit(&f, shape, 3, NULL, 0);
    mob_owner_flush(f.o);
    ck_assert(run_one(&f, 0, 1000));
    for (int i = 0; i < 1500; i++)
        fake_submit(&f, shape, 3, NULL, 0);
    mob_owner_flush(f.o);
    ck_assert_uint_eq(mob_owner_counts(f.o).pushed, 1000);
    ck_assert_uint_eq(last_want(&f), 1);            /* 1.5 ms of work: a second lease is worth it */
    fake_fini(&f);
}
END_TEST

START_TEST(test_eight_long_tasks_on_four_leases_run_two_rounds)
{
    struct fake f;
    struct mob_task_frame t[4];
    const void *body;

    fake_init(&f);
    uint32_t shape = fake_shape(&f);

    for (int i = 0; i < 8; i++)
        fake_submit(&f, shape, 3, NULL, 0);
    mob_owner_flush(f.o);
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

/* Whoever ends this process now ends these, too. */
START_TEST(test_who_has_tasks_or_leases_is_needed)
{
    struct fake f;

    fake_init(&f);
    uint32_t shape = fake_shape(&f);

    ck_assert(!mob_owner_is_needed(f.o));
    uint64_t ref = fake_submit(&f, shape, 3, NULL, 0);

    mob_owner_drop(f.o, ref, NULL);                 /* it runs all the same */
    ck_assert(mob_owner_is_needed(f.o));
    give_workers(&f, shape, 1);
    mob_owner_flush(f.o);
    ck_assert(run_one(&f, 0, 1000));
    ck_assert_uint_eq(mob_owner_counts(f.o).done, 1);
    ck_assert(mob_owner_is_needed(f.o));            /* the lease lingers */
    f.now_ns += 200 * FAKE_MS;
    mob_owner_flush(f.o);
    ck_assert(!mob_owner_is_needed(f.o));
    fake_fini(&f);
}
END_TEST

START_TEST(test_idle_lease_lingers_and_surplus_goes_at_once)
{
    struct fake f;

    fake_init(&f);
    uint32_t shape = fake_shape(&f);

    fake_submit(&f, shape, 3, NULL, 0);
    give_workers(&f, shape, 2);
    mob_owner_flush(f.o);
    ck_assert_uint_eq(f.sent[MOBULA__ENVELOPE__BODY_RETURN_LEASE], 1);
    ck_assert_uint_eq(mob_owner_counts(f.o).leases, 1);
    ck_assert(run_one(&f, 0, 1000) || run_one(&f, 1, 1000));
    ck_assert_int_eq(mob_owner_flush(f.o), f.now_ns + 100 * FAKE_MS);
    ck_assert_uint_eq(mob_owner_counts(f.o).leases, 1);
    f.now_ns += 100 * FAKE_MS;
    mob_owner_flush(f.o);
    ck_assert_uint_eq(mob_owner_counts(f.o).leases, 0);
    fake_grant(&f, shape, 9, 0);                    /* its channel was kept */
    fake_submit(&f, shape, 3, NULL, 0);
    mob_owner_flush(f.o);
    ck_assert(run_one(&f, 0, 1000));
    fake_recall(&f, 9, FAKE_NODE);
    mob_owner_flush(f.o);
    ck_assert_uint_eq(mob_owner_counts(f.o).leases, 0);
    fake_grant(&f, shape, 10, 7);                   /* no channel to it: of no use */
    fake_grant(&f, 99, 11, 0);
    ck_assert_uint_eq(f.sent[MOBULA__ENVELOPE__BODY_RETURN_LEASE], 5);
    mob_owner_check(f.o);
    fake_fini(&f);
}
END_TEST

START_TEST(test_recall_takes_back_and_returns_after_the_running_task)
{
    struct fake f;
    struct mob_task_frame t, other;
    const void *body;
    uint32_t shape = fake_start(&f);

    fake_submit(&f, shape, 3, NULL, 0);
    fake_submit(&f, shape, 3, NULL, 0);
    mob_owner_flush(f.o);
    ck_assert(fake_claim(&f, 0, &t, &body));
    fake_recall(&f, 1, FAKE_NODE);
    fake_recall(&f, 1, FAKE_NODE);
    ck_assert_uint_eq(mob_owner_counts(f.o).queued, 1);
    mob_owner_flush(f.o);
    ck_assert_uint_eq(mob_owner_counts(f.o).leases, 1);
    fake_reply_value(&f, 0, &t, 0, 1000);
    fake_drain(&f);
    mob_owner_flush(f.o);
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
    const void *body;
    uint32_t shape = fake_start(&f);

    fake_submit(&f, shape, 3, NULL, 0);
    fake_submit(&f, shape, 3, NULL, 0);
    mob_owner_flush(f.o);
    ck_assert(fake_claim(&f, 0, &t, &body));
    atomic_store(&f.workers[0].page.state, MOB_WORKER_BLOCKED);
    f.now_ns = mob_owner_flush(f.o);
    while (mob_owner_counts(f.o).queued == 0)
        f.now_ns = mob_owner_flush(f.o);
    mob_owner_flush(f.o);
    ck_assert_uint_eq(mob_owner_counts(f.o).pushed, 1);     /* not pushed there again */
    ck_assert_uint_ge(last_want(&f), 1);
    mob_owner_check(f.o);
    fake_reply_value(&f, 0, &t, 0, 1000);
    fake_drain(&f);
    mob_owner_flush(f.o);
    ck_assert(run_one(&f, 0, 1000));
    fake_fini(&f);
}
END_TEST

/* A worker rings as it blocks: what stands behind is taken back by the flush after it, not when the next look is due. */
START_TEST(test_a_ring_of_a_blocked_worker)
{
    struct fake f;
    struct mob_task_frame t;
    const void *body;
    uint64_t dirty[MOB_DIRTY_BITS / 64] = { 0 };
    uint32_t shape = fake_start(&f);

    fake_submit(&f, shape, 3, NULL, 0);
    fake_submit(&f, shape, 3, NULL, 0);
    mob_owner_flush(f.o);
    ck_assert(fake_claim(&f, 0, &t, &body));
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
    struct mob_task_frame t;
    const void *body;
    uint32_t shape = fake_start(&f);

    fake_submit(&f, shape, 3, NULL, 0);
    mob_owner_flush(f.o);
    ck_assert(fake_claim(&f, 0, &t, &body));
    atomic_store(&f.workers[0].page.state, MOB_WORKER_BLOCKED);
    fake_submit(&f, shape, 3, NULL, 0);
    mob_owner_flush(f.o);
    ck_assert_uint_eq(mob_owner_counts(f.o).queued, 1);
    fake_fini(&f);
}
END_TEST

START_TEST(test_long_task_loses_what_is_behind_it_to_another_lease)
{
    struct fake f;
    struct mob_task_frame t;
    const void *body;
    uint32_t shape = fake_start(&f);

    fake_submit(&f, shape, 3, NULL, 0);
    mob_owner_flush(f.o);
    ck_assert(run_one(&f, 0, 1000));
    for (int i = 0; i < 100; i++)
        fake_submit(&f, shape, 3, NULL, 0);
    mob_owner_flush(f.o);
    ck_assert(fake_claim(&f, 0, &t, &body));
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
    const void *body;
    uint32_t shape = fake_start(&f);

    fake_submit(&f, shape, 3, NULL, 0);
    mob_owner_flush(f.o);
    ck_assert(run_one(&f, 0, 1000 * FAKE_MS));
    fake_submit(&f, shape, 3, NULL, 0);
    fake_submit(&f, shape, 3, NULL, 0);
    mob_owner_flush(f.o);
    ck_assert(fake_claim(&f, 0, &t[0], &body));
    ck_assert_uint_eq(mob_owner_counts(f.o).pushed, 2);
    fake_open(&f, 1);
    fake_grant(&f, shape, 2, 1);
    mob_owner_flush(f.o);
    ck_assert(fake_claim(&f, 1, &t[1], &body));
    ck_assert_uint_ne(t[0].task, t[1].task);
    mob_owner_check(f.o);
    fake_fini(&f);
}
END_TEST

START_TEST(test_death_keeps_order_and_answers)
{
    struct fake f;
    struct mob_task_frame t, dead, next;
    const void *body;
    uint64_t refs[4];
    uint32_t shape = fake_start(&f);

    fake_submit(&f, shape, 3, NULL, 0);
    mob_owner_flush(f.o);
    ck_assert(run_one(&f, 0, 1000));
    for (int i = 0; i < 4; i++)
        refs[i] = fake_submit(&f, shape, 0, NULL, 0);
    mob_owner_flush(f.o);
    ck_assert(fake_claim(&f, 0, &t, &body));
    fake_reply_value(&f, 0, &t, 5, 1000);           /* lies in the ring when the worker dies */
    ck_assert(fake_claim(&f, 0, &dead, &body));
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
    ck_assert(fake_claim(&f, 1, &next, &body));
    ck_assert_uint_eq(next.task, refs[2]);
    ck_assert_uint_eq(next.attempt, 0);
    mob_owner_check(f.o);
    fake_fini(&f);
}
END_TEST

/* Of two shapes that ask for the same, the tasks of one shall fail where those of the other wait. */
START_TEST(test_unplaceable_fails_who_asked_for_that)
{
    struct fake f;
    struct mob_shape shape = { .strategy = MOB_HYBRID };
    Mobula__Unplaceable m = MOBULA__UNPLACEABLE__INIT;
    uint32_t waiting, failing;
    uint64_t waits, fails;

    fake_init(&f);
    mob_resources_set(&shape.resources, "CPU", 100 * MOB_UNITS);
    waiting = mob_owner_shape(f.o, &shape);
    failing = mob_owner_shape_failing(f.o, &shape);
    ck_assert_uint_ne(waiting, failing);
    ck_assert_uint_eq(mob_owner_shape_failing(f.o, &shape), failing);
    waits = fake_submit(&f, waiting, 3, NULL, 0);
    fails = fake_submit(&f, failing, 3, NULL, 0);
    m.text = (char *)"no node has 100 CPU";
    m.shape = waiting;
    fake_tell(&f, FAKE_NODE, MOBULA__ENVELOPE__BODY_UNPLACEABLE, &m);
    m.shape = failing;
    fake_tell(&f, FAKE_NODE, MOBULA__ENVELOPE__BODY_UNPLACEABLE, &m);
    ck_assert_int_eq(fake_look(&f, waits).state, MOB_OBJECT_PENDING);
    ck_assert_int_eq(fake_look(&f, fails).error->code, MOB_ERR_INFEASIBLE);
    ck_assert_uint_eq(f.warnings, 1);
    mob_owner_check(f.o);
    fake_fini(&f);
}
END_TEST

START_TEST(test_unplaceable_warns_once_and_final_fails)
{
    struct fake f;
    Mobula__Unplaceable m = MOBULA__UNPLACEABLE__INIT;

    fake_init(&f);
    m.shape = fake_shape(&f);
    uint64_t ref = fake_submit(&f, m.shape, 3, NULL, 0);

    m.text = (char *)"no node has 100 CPU";
    fake_tell(&f, FAKE_NODE, MOBULA__ENVELOPE__BODY_UNPLACEABLE, &m);
    fake_tell(&f, FAKE_NODE, MOBULA__ENVELOPE__BODY_UNPLACEABLE, &m);
    ck_assert_uint_eq(f.warnings, 1);
    ck_assert_str_eq(f.warning, "'work' cannot run: no node has 100 CPU");
    ck_assert_int_eq(fake_look(&f, ref).state, MOB_OBJECT_PENDING);
    m.final = true;
    mob_owner_flush(f.o);
    fake_tell(&f, FAKE_NODE, MOBULA__ENVELOPE__BODY_UNPLACEABLE, &m);
    ck_assert_int_eq(fake_look(&f, ref).error->code, MOB_ERR_INFEASIBLE);
    ck_assert_str_eq(fake_look(&f, ref).error->text, "no node has 100 CPU");
    ck_assert_uint_eq(f.last[MOBULA__ENVELOPE__BODY_WANT]->want->count, 0);
    fake_submit(&f, m.shape, 3, NULL, 0);       /* as many as before: they are wanted anew */
    mob_owner_flush(f.o);
    ck_assert_uint_eq(f.last[MOBULA__ENVELOPE__BODY_WANT]->want->count, 1);
    mob_owner_check(f.o);
    fake_fini(&f);
}
END_TEST

static void submit_named(struct fake *f, uint32_t shape, const char *name)
{
    struct mob_submit s = { .shape = shape, .function = mob_name_hash(name), .name = name, .returns = 1 };
    uint64_t ref;

    ck_assert_int_eq(mob_owner_submit(f->o, &s, &ref, NULL), 0);
}

START_TEST(test_unknown_kind_among_short_ones_wants_a_lease_each)
{
    struct fake f;
    uint32_t shape = fake_start(&f);

    fake_submit(&f, shape, 3, NULL, 0);
    mob_owner_flush(f.o);
    ck_assert(run_one(&f, 0, 1000));
    for (int i = 0; i < 8; i++)
        submit_named(&f, shape, "perhaps long");
    mob_owner_flush(f.o);
    ck_assert_uint_eq(last_want(&f), 7);
    fake_fini(&f);
}
END_TEST

START_TEST(test_recalled_lease_is_no_help_to_what_is_queued)
{
    struct fake f;
    struct mob_task_frame t;
    const void *body;
    uint32_t shape = fake_start(&f);

    fake_submit(&f, shape, 3, NULL, 0);
    mob_owner_flush(f.o);
    ck_assert(run_one(&f, 0, 1000));                /* so short that one lease is enough for all */
    fake_submit(&f, shape, 3, NULL, 0);
    mob_owner_flush(f.o);
    ck_assert(fake_claim(&f, 0, &t, &body));        /* but this one runs on and on */
    fake_recall(&f, 1, FAKE_NODE);
    for (int i = 0; i < 5; i++)
        fake_submit(&f, shape, 3, NULL, 0);
    f.now_ns += 2 * FAKE_MS;
    mob_owner_flush(f.o);
    ck_assert_uint_eq(mob_owner_counts(f.o).queued, 5);
    ck_assert_uint_eq(last_want(&f), 1);
    mob_owner_check(f.o);
    fake_reply_value(&f, 0, &t, 0, 1000);
    fake_drain(&f);
    mob_owner_flush(f.o);
    ck_assert_uint_eq(mob_owner_counts(f.o).leases, 0);
    mob_owner_check(f.o);
    fake_fini(&f);
}
END_TEST

START_TEST(test_idle_lease_lingers_little_while_another_shape_waits)
{
    struct fake f;
    struct mob_shape other = { .strategy = MOB_HYBRID };

    fake_init(&f);
    uint32_t shape = fake_shape(&f), second;

    mob_resources_set(&other.resources, "CPU", 2 * MOB_UNITS);
    second = mob_owner_shape(f.o, &other);
    give_workers(&f, shape, 1);
    fake_submit(&f, shape, 3, NULL, 0);
    mob_owner_flush(f.o);
    ck_assert(run_one(&f, 0, 1000));
    f.now_ns += 50 * FAKE_MS;
    mob_owner_flush(f.o);
    ck_assert_uint_eq(mob_owner_counts(f.o).leases, 1);
    fake_submit(&f, second, 3, NULL, 0);
    mob_owner_flush(f.o);                           /* says Want */
    mob_owner_flush(f.o);
    ck_assert_uint_eq(mob_owner_counts(f.o).leases, 0);
    mob_owner_check(f.o);
    fake_fini(&f);
}
END_TEST

START_TEST(test_tasks_that_turn_out_long_are_shared_out)
{
    struct fake f;
    struct mob_task_frame t;
    const void *body;
    uint32_t shape = fake_start(&f);

    fake_submit(&f, shape, 3, NULL, 0);
    mob_owner_flush(f.o);
    ck_assert(run_one(&f, 0, FAKE_MS));
    fake_open(&f, 1);
    fake_grant(&f, shape, 2, 1);
    for (int i = 0; i < 6; i++)                     /* 1 ms each, it seems: three a lease */
        fake_submit(&f, shape, 3, NULL, 0);
    mob_owner_flush(f.o);
    ck_assert(run_one(&f, 0, 180 * FAKE_MS));
    ck_assert(fake_claim(&f, 0, &t, &body));
    for (int i = 0; i < 3; i++)
        ck_assert(run_one(&f, 1, 10 * FAKE_MS));
    mob_owner_flush(f.o);
    ck_assert(fake_claim(&f, 1, &t, &body));        /* it was behind the one that the first runs */
    mob_owner_check(f.o);
    fake_fini(&f);
}
END_TEST

UNIT_MAIN("owner_lease", test_wants_are_levels, test_a_useless_grant_is_wanted_again,
          test_short_tasks_want_few_leases_and_deep_pipelines,
          test_eight_long_tasks_on_four_leases_run_two_rounds, test_idle_lease_lingers_and_surplus_goes_at_once,
          test_who_has_tasks_or_leases_is_needed,
          test_recall_takes_back_and_returns_after_the_running_task, test_nothing_stays_behind_a_blocked_task,
          test_a_ring_of_a_blocked_worker, test_nothing_is_left_with_one_that_sleeps,
          test_long_task_loses_what_is_behind_it_to_another_lease, test_idle_lease_takes_over_a_prefetched_long_task,
          test_death_keeps_order_and_answers, test_unplaceable_warns_once_and_final_fails,
          test_unplaceable_fails_who_asked_for_that,
          test_unknown_kind_among_short_ones_wants_a_lease_each, test_recalled_lease_is_no_help_to_what_is_queued,
          test_idle_lease_lingers_little_while_another_shape_waits,
          test_tasks_that_turn_out_long_are_shared_out)
