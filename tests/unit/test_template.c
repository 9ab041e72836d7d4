/* SPDX-License-Identifier: Apache-2.0 */
/* test_template.c -- when workers are forked, when they are started anew, and what ends a template for good. */
#include "raylet/template.h"
#include "unit.h"

#define S INT64_C(1000000000)

static struct mob_template t;

static void expect(enum mob_template_state state, enum mob_template_way way)
{
    ck_assert_uint_eq(t.machine.now, state);
    ck_assert_uint_eq(mob_template_way(&t), way);
}

static void make_ready(int64_t now)
{
    mob_template_started(&t, now);
    ck_assert(mob_template_begun(&t, now));
    ck_assert(mob_template_loads(&t, now));
    ck_assert(mob_template_ready(&t, now));
    expect(MOB_TEMPLATE_READY, MOB_TEMPLATE_ASK);
}

START_TEST(test_workers_wait_for_its_start_and_not_for_its_imports)
{
    mob_template_init(&t, 1);
    expect(MOB_TEMPLATE_ABSENT, MOB_TEMPLATE_START);
    ck_assert_int_eq(mob_template_deadline(&t), INT64_MAX);
    mob_template_started(&t, 1 * S);
    expect(MOB_TEMPLATE_STARTING, MOB_TEMPLATE_ASK);
    mob_template_asked(&t, 2 * S);
    ck_assert_int_eq(mob_template_deadline(&t), 11 * S);
    ck_assert(mob_template_begun(&t, 5 * S));
    expect(MOB_TEMPLATE_BARE, MOB_TEMPLATE_ASK);
    ck_assert_int_eq(mob_template_deadline(&t), 10 * S);
    ck_assert_int_eq(mob_template_due(&t), 6 * S);          /* whom it forks has the CPUs first */
    ck_assert(!mob_template_loads(&t, 6 * S - 1));
    ck_assert(mob_template_loads(&t, 6 * S));
    expect(MOB_TEMPLATE_LOADING, MOB_TEMPLATE_PLAINLY);
    ck_assert(!mob_template_loads(&t, 6 * S));
    ck_assert_int_eq(mob_template_deadline(&t), 10 * S);    /* who asked before is forked first */
    ck_assert(!mob_template_ready(&t, 6 * S));
    ck_assert(mob_template_answered(&t, true, 6 * S));
    ck_assert_int_eq(mob_template_deadline(&t), 126 * S);
    ck_assert(mob_template_ready(&t, 7 * S));
    expect(MOB_TEMPLATE_READY, MOB_TEMPLATE_ASK);
    ck_assert_int_eq(mob_template_deadline(&t), INT64_MAX);
}
END_TEST

START_TEST(test_each_answer_gives_time_for_the_next)
{
    mob_template_init(&t, 1);
    make_ready(0);
    mob_template_asked(&t, 10 * S);
    mob_template_asked(&t, 11 * S);
    ck_assert_int_eq(mob_template_deadline(&t), 15 * S);
    ck_assert(mob_template_answered(&t, true, 11 * S));
    ck_assert_int_eq(mob_template_deadline(&t), 16 * S);
    mob_template_ended(&t, 16 * S);
    expect(MOB_TEMPLATE_ENDING, MOB_TEMPLATE_PLAINLY);
    ck_assert_uint_eq(t.asked, 0);
    ck_assert(!mob_template_answered(&t, true, 16 * S));
    mob_template_gone(&t, 17 * S);
    expect(MOB_TEMPLATE_ABSENT, MOB_TEMPLATE_START);
}
END_TEST

START_TEST(test_three_ends_without_a_fork_are_enough)
{
    mob_template_init(&t, 1);
    for (int i = 0; i < 2; i++) {
        make_ready(i * S);
        mob_template_gone(&t, i * S);
    }
    make_ready(5 * S);
    mob_template_asked(&t, 5 * S);
    ck_assert(mob_template_answered(&t, true, 5 * S));
    mob_template_gone(&t, 5 * S);       /* it has been of use: counted anew */
    for (int i = 6; i < 8; i++) {
        expect(MOB_TEMPLATE_ABSENT, MOB_TEMPLATE_START);
        make_ready(i * S);
        mob_template_asked(&t, i * S);
        ck_assert(mob_template_answered(&t, false, i * S));
        mob_template_gone(&t, i * S);
    }
    expect(MOB_TEMPLATE_FAILED, MOB_TEMPLATE_PLAINLY);
    ck_assert_int_eq(mob_template_deadline(&t), INT64_MAX);
}
END_TEST

START_TEST(test_an_import_that_ends_it_is_not_tried_again)
{
    mob_template_init(&t, 1);
    mob_template_started(&t, 0);
    ck_assert(mob_template_begun(&t, 0));
    ck_assert_int_eq(mob_template_due(&t), 0);              /* nobody waits: it loads at once */
    ck_assert(mob_template_loads(&t, 0));
    mob_template_gone(&t, 1);
    expect(MOB_TEMPLATE_FAILED, MOB_TEMPLATE_PLAINLY);

    mob_template_init(&t, 1);
    mob_template_started(&t, 0);
    ck_assert(mob_template_begun(&t, 0));
    ck_assert(mob_template_loads(&t, 0));
    ck_assert(mob_template_cannot(&t, 0));
    expect(MOB_TEMPLATE_ENDING, MOB_TEMPLATE_PLAINLY);
    mob_template_ended(&t, 1);
    mob_template_gone(&t, 1);
    expect(MOB_TEMPLATE_FAILED, MOB_TEMPLATE_PLAINLY);
}
END_TEST

START_TEST(test_what_it_may_not_say)
{
    mob_template_init(&t, 1);
    mob_template_started(&t, 0);
    ck_assert(!mob_template_ready(&t, 0));
    ck_assert(!mob_template_cannot(&t, 0));
    ck_assert(!mob_template_answered(&t, true, 0));
    ck_assert(mob_template_begun(&t, 0));
    ck_assert(!mob_template_begun(&t, 0));
    ck_assert(!mob_template_ready(&t, 0));
    ck_assert(mob_template_loads(&t, 0));
    ck_assert(mob_template_ready(&t, 0));
    ck_assert(!mob_template_ready(&t, 0));
    ck_assert(!mob_template_cannot(&t, 0));
    mob_template_ended(&t, 0);
    ck_assert(!mob_template_begun(&t, 0));
}
END_TEST

UNIT_MAIN("template", test_workers_wait_for_its_start_and_not_for_its_imports, test_each_answer_gives_time_for_the_next,
          test_three_ends_without_a_fork_are_enough, test_an_import_that_ends_it_is_not_tried_again, test_what_it_may_not_say)
