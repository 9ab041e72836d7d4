/* SPDX-License-Identifier: Apache-2.0 */
/* test_owner_want.c -- how many leases are wanted, how long one is kept that nothing needs, and what is said where none can be had. */
#include "tests/unit/owner_lease.h"

START_TEST(test_wants_are_levels)
{
    struct fake f;

    fake_init(&f);
    uint32_t shape = fake_shape(&f);

    ck_assert_uint_eq(fake_shape(&f), shape);
    submit(&f, shape, 8);
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

    submit(&f, shape, 1);
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

    run_a_short_one(&f, shape);
    submit(&f, shape, 1500);
    ck_assert_uint_eq(mob_owner_counts(f.o).pushed, 1000);
    ck_assert_uint_eq(last_want(&f), 1);            /* 1.5 ms of work: a second lease is worth it */
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

    run_a_short_one(&f, shape);
    for (int i = 0; i < 8; i++)
        submit_named(&f, shape, "perhaps long");
    mob_owner_flush(f.o);
    ck_assert_uint_eq(last_want(&f), 7);
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
    run_a_short_one(&f, shape);
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

START_TEST(test_idle_lease_lingers_little_while_another_shape_waits)
{
    struct fake f;
    struct mob_shape other = { .strategy = MOB_HYBRID };

    fake_init(&f);
    uint32_t shape = fake_shape(&f), second;

    mob_resources_set(&other.resources, "CPU", 2 * MOB_UNITS);
    second = mob_owner_shape(f.o, &other);
    give_workers(&f, shape, 1);
    run_a_short_one(&f, shape);
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
    ck_assert_uint_eq(last_want(&f), 0);
    submit(&f, m.shape, 1);                         /* as many as before: they are wanted anew */
    ck_assert_uint_eq(last_want(&f), 1);
    mob_owner_check(f.o);
    fake_fini(&f);
}
END_TEST

UNIT_MAIN("owner_want", test_wants_are_levels, test_a_useless_grant_is_wanted_again,
          test_short_tasks_want_few_leases_and_deep_pipelines, test_unknown_kind_among_short_ones_wants_a_lease_each,
          test_who_has_tasks_or_leases_is_needed, test_idle_lease_lingers_and_surplus_goes_at_once,
          test_idle_lease_lingers_little_while_another_shape_waits, test_unplaceable_fails_who_asked_for_that,
          test_unplaceable_warns_once_and_final_fails)
