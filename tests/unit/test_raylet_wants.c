/* SPDX-License-Identifier: Apache-2.0 */
/* test_raylet_wants.c -- wants of local owners, served by this node: levels, order, fairness. */
#include <signal.h>

#include "raylet_fake.h"

static struct fake f;

/* Grants that process p got since. */
static size_t grants(uint32_t p)
{
    return fake_count(&f, f.process[p].link, MOBULA__ENVELOPE__BODY_GRANT);
}

/* Level, grants that its sender had counted, grants that follow, on a node with 4 CPUs where the same owner got `before`. */
static const struct { uint32_t before, count; uint64_t seen; size_t more; } levels[] = {
    { 0, 0, 0, 0 }, { 0, 1, 0, 1 }, { 0, 4, 0, 4 }, { 0, 9, 0, 4 },
    { 2, 2, 2, 2 },     /* two more */
    { 2, 2, 0, 0 },     /* the same two, said before they came */
    { 2, 3, 1, 2 },     /* one of the two crossed it */
    { 2, 0, 2, 0 },
};

START_TEST(test_levels)
{
    fake_open(&f, "CPU=4");
    uint32_t p = fake_driver(&f);
    fake_all_up(&f);
    fake_want(&f, p, (struct fake_ask){ .count = levels[_i].before });
    ck_assert_uint_eq(grants(p), levels[_i].before);
    fake_want(&f, p, (struct fake_ask){ .count = levels[_i].count, .seen = levels[_i].seen });
    ck_assert_uint_eq(grants(p), levels[_i].more);
    fake_want(&f, p, (struct fake_ask){ .count = levels[_i].count, .seen = levels[_i].seen });
    ck_assert_uint_eq(grants(p), 0);    /* a repeat does nothing */
    fake_fini(&f);
}
END_TEST

START_TEST(test_assign_comes_before_grant)
{
    struct fake_grant g;

    fake_open(&f, "CPU=2,licence=1");
    uint32_t p = fake_driver(&f);
    fake_all_up(&f);
    fake_want(&f, p, (struct fake_ask){ .count = 1, .depth = 3, .resources = "CPU=1,licence=1" });
    ck_assert(fake_grant(&f, f.process[p].link, &g));
    ck_assert_uint_eq(f.connected, 1);
    Mobula__Envelope *e = fake_expect(&f, f.process[g.worker].link, MOBULA__ENVELOPE__BODY_ASSIGN);
    ck_assert_uint_eq(e->assign->epoch, g.epoch);
    ck_assert_uint_eq(e->assign->owner->process, p);
    ck_assert_uint_eq(e->assign->depth, 3);
    ck_assert_uint_eq(e->assign->n_resources, 2);
    ck_assert_int_eq(fake_free(&f, "licence"), 0);
    fake_pass(&f, 10);
    fake_return(&f, p, g.lease);
    ck_assert_int_eq(fake_free(&f, "licence"), MOB_UNITS);
    fake_want(&f, p, (struct fake_ask){ .count = 1, .seen = 1, .resources = "CPU=1,licence=1" });
    ck_assert(fake_grant(&f, f.process[p].link, &g));
    ck_assert_uint_eq(g.epoch, 2);
    ck_assert_uint_eq(f.connected, 1);  /* the channel was kept */
    fake_fini(&f);
}
END_TEST

START_TEST(test_a_lower_level_ends_what_is_in_the_making)
{
    fake_open(&f, "CPU=4");
    uint32_t p = fake_driver(&f);
    fake_want(&f, p, (struct fake_ask){ .count = 4 });
    ck_assert_int_eq(fake_free(&f, "CPU"), 0);  /* held, while workers start */
    fake_want(&f, p, (struct fake_ask){ .count = 1 });
    ck_assert_int_eq(fake_free(&f, "CPU"), 3 * MOB_UNITS);
    fake_all_up(&f);
    ck_assert_uint_eq(grants(p), 1);
    fake_fini(&f);
}
END_TEST

START_TEST(test_deeper_is_served_first_then_older)
{
    struct fake_grant g;

    fake_open(&f, "CPU=1");
    uint32_t old = fake_driver(&f), deep = fake_driver(&f), holder = fake_driver(&f);
    fake_want(&f, holder, (struct fake_ask){ .count = 1 });
    fake_all_up(&f);
    fake_all_up(&f);
    fake_all_up(&f);
    ck_assert(fake_grant(&f, f.process[holder].link, &g));
    fake_pass(&f, 5);
    fake_want(&f, old, (struct fake_ask){ .count = 2 });
    fake_pass(&f, 5);
    fake_want(&f, deep, (struct fake_ask){ .count = 1, .depth = 1 });
    fake_return(&f, holder, g.lease);
    fake_all_up(&f);
    ck_assert_uint_eq(grants(old), 0);
    ck_assert(fake_grant(&f, f.process[deep].link, &g));
    fake_want(&f, holder, (struct fake_ask){ .count = 1, .seen = 1 });
    fake_return(&f, deep, g.lease);
    fake_all_up(&f);
    ck_assert_uint_eq(grants(old), 1);
    ck_assert_uint_eq(grants(holder), 0);
    fake_fini(&f);
}
END_TEST

START_TEST(test_equal_wants_take_turns)
{
    fake_open(&f, "CPU=4");
    uint32_t a = fake_driver(&f), b = fake_driver(&f), c = fake_driver(&f);
    struct fake_grant g[4];
    fake_want(&f, c, (struct fake_ask){ .count = 4 });
    for (int i = 0; i < 4; i++)
        fake_all_up(&f);
    for (int i = 0; i < 4; i++)
        ck_assert(fake_grant(&f, f.process[c].link, &g[i]));
    fake_want(&f, a, (struct fake_ask){ .count = 4 });
    fake_pass(&f, 1);
    fake_want(&f, b, (struct fake_ask){ .count = 4 });
    for (int i = 0; i < 4; i++)
        fake_return(&f, c, g[i].lease);
    for (int i = 0; i < 4; i++)
        fake_all_up(&f);
    ck_assert_uint_eq(grants(a), 2);
    ck_assert_uint_eq(grants(b), 2);
    fake_fini(&f);
}
END_TEST

START_TEST(test_a_large_want_is_not_passed_over_for_ever)
{
    struct fake_grant g;

    fake_open(&f, "CPU=2");
    uint32_t large = fake_driver(&f), small = fake_driver(&f);
    fake_want(&f, small, (struct fake_ask){ .count = 1 });
    for (int i = 0; i < 3; i++)
        fake_all_up(&f);
    ck_assert(fake_grant(&f, f.process[small].link, &g));
    fake_want(&f, large, (struct fake_ask){ .count = 1, .resources = "CPU=2" });
    fake_want(&f, small, (struct fake_ask){ .count = 1, .seen = 1 });
    ck_assert_uint_eq(grants(small), 1);        /* it overtakes */
    fake_pass(&f, 2100);
    fake_return(&f, small, g.lease);
    fake_want(&f, small, (struct fake_ask){ .count = 1, .seen = 2 });
    ck_assert_uint_eq(grants(small), 0);        /* not any more */
    fake_fini(&f);
}
END_TEST

/* Leases of the one who has most, wanted by the other; how many that has in the end (one that came back may go round again). */
static const struct { uint32_t cpus, has, waits; size_t share; } recalls[] = {
    { 4, 4, 4, 2 }, { 4, 4, 1, 1 }, { 1, 1, 3, 1 }, { 2, 2, 9, 1 },
};

START_TEST(test_recall)
{
    fake_open(&f, recalls[_i].cpus == 4 ? "CPU=4" : recalls[_i].cpus == 2 ? "CPU=2" : "CPU=1");
    uint32_t rich = fake_driver(&f), poor = fake_driver(&f);
    size_t asked = 0;
    fake_want(&f, rich, (struct fake_ask){ .count = 100 });
    for (int i = 0; i < 5; i++)
        fake_all_up(&f);
    ck_assert_uint_eq(grants(rich), recalls[_i].has);
    fake_pass(&f, 20);
    fake_want(&f, poor, (struct fake_ask){ .count = recalls[_i].waits });
    fake_pass(&f, 20);
    ck_assert_uint_eq(fake_count(&f, f.process[rich].link, MOBULA__ENVELOPE__BODY_RECALL), 0);  /* not held for 50 ms yet */
    for (int i = 0; i < 30; i++) {
        Mobula__Envelope *e;

        fake_pass(&f, 10);
        while ((e = fake_take(&f, f.process[rich].link, MOBULA__ENVELOPE__BODY_RECALL)) != NULL) {
            asked++;
            fake_return(&f, rich, e->recall->lease);
        }
        fake_all_up(&f);
        if (recalls[_i].cpus == 1 && asked == 1)
            break;                      /* with one CPU they take turns */
    }
    ck_assert_uint_ge(asked, recalls[_i].share);
    ck_assert_uint_le(asked, recalls[_i].share + 1);
    ck_assert_uint_eq(grants(poor), recalls[_i].share);
    fake_fini(&f);
}
END_TEST

START_TEST(test_many_wants_are_cheap)
{
    fake_open(&f, "CPU=8");
    uint32_t p = fake_driver(&f);
    uint64_t seen = 0;
    for (int i = 0; i < 8; i++)
        fake_all_up(&f);
    for (int round = 0; round < 200; round++) {
        struct fake_grant g;

        fake_want(&f, p, (struct fake_ask){ .count = 8, .seen = seen });
        for (size_t i = 0; i < 8; i++, seen++) {
            ck_assert(fake_grant(&f, f.process[p].link, &g));
            fake_pass(&f, 2);
            fake_return(&f, p, g.lease);
            fake_want(&f, p, (struct fake_ask){ .count = (uint32_t)(7 - i), .seen = seen + 1 });
        }
        fake_forget_sent(&f);
    }
    ck_assert_uint_le(f.spawned, 12);   /* always the same workers */
    fake_fini(&f);
}
END_TEST

UNIT_CASE("raylet_wants", tcase)
{
    UNIT_TESTS(tcase, test_assign_comes_before_grant, test_a_lower_level_ends_what_is_in_the_making,
               test_deeper_is_served_first_then_older, test_equal_wants_take_turns,
               test_a_large_want_is_not_passed_over_for_ever, test_many_wants_are_cheap);
    tcase_add_loop_test(tcase, test_levels, 0, (int)MOB_COUNT(levels));
    tcase_add_loop_test(tcase, test_recall, 0, (int)MOB_COUNT(recalls));
}
