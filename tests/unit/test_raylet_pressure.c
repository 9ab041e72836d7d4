/* SPDX-License-Identifier: Apache-2.0 */
/* test_raylet_pressure.c -- memory is short: who is ended, what the owner hears, and how often anyone looks. */
#include <signal.h>

#include "raylet_fake.h"

#define MIB UINT64_C(1048576)
#define GIB (MIB << 10)

static struct fake f;

/* A driver with leases, each on a worker of its own, which runs this function with so much memory. */
struct work {
    const char *resources, *function;
    uint64_t mib;
    bool once;
};

static uint32_t begin(const struct work *works, size_t count, struct fake_grant *ret)
{
    fake_start(&f);
    fake_join(&f);
    uint32_t driver = fake_driver(&f);
    fake_all_up(&f);
    for (size_t i = 0; i < count; i++) {
        fake_want(&f, driver, (struct fake_ask){ .shape = (uint32_t)i, .count = 1, .resources = works[i].resources });
        fake_all_up(&f);
        ck_assert(fake_grant(&f, f.process[driver].link, &ret[i]));
        fake_runs(&f, &ret[i], 10 + i, 1);
        struct fake_process *p = &f.process[ret[i].worker];
        mob_page_set_name(&p->page, works[i].function);
        atomic_store(&p->page.once, works[i].once);
        p->resident = works[i].mib * MIB;
        f.now_ns += FAKE_MS;
    }
    return driver;
}

static void open_node(const char *resources)
{
    fake_init(&f, resources);
    fake_watch_memory(&f);
}

static const Mobula__LeaseOver *over(uint32_t driver)
{
    Mobula__Envelope *e = fake_take(&f, f.process[driver].link, MOBULA__ENVELOPE__BODY_LEASE_OVER);

    return e != NULL ? e->lease_over : NULL;
}

static void expect_words(const char *text, const char *const *words)
{
    for (; *words != NULL; words++)
        ck_assert_msg(strstr(text, *words) != NULL, "\"%s\" is not in:\n%s", *words, text);
}
#define WORDS(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* All but the reserve is in use: of the function that has most the newest is ended, alone; its memory is waited for; and then the next. */
/* Advice that helps: one that has nearly all by itself is not ended because many run at once. */
START_TEST(test_one_that_has_nearly_all)
{
    static const struct work works[] = { { "CPU=1", "giant", 13000, false } };
    struct fake_grant g[1];

    open_node("CPU=4");
    uint32_t driver = begin(works, 1, g);
    f.memory.used = 16 * GIB - 100 * MIB;
    fake_pass(&f, 250);
    ck_assert_int_eq(f.process[g[0].worker].killed, SIGKILL);
    fake_reap(&f);
    expect_words(over(driver)->cause->text, WORDS("most have 'giant' (pid ", ") 12.70 GiB. That is nearly all that there is, so that fewer at "
                                                  "once would hardly help: ", "--memory-reserve"));
    f.memory.used = 1 * GIB;
    fake_fini(&f);
}
END_TEST

START_TEST(test_machine)
{
    static const struct work works[] = { { "CPU=1", "work", 300, false }, { "CPU=1", "leak", 4000, false }, { "CPU=1", "leak", 4500, false } };
    struct fake_grant g[3];

    open_node("CPU=4");
    uint32_t driver = begin(works, 3, g);
    f.memory.used = 15 * GIB;
    fake_pass(&f, 1000);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(f.process[g[i].worker].killed, 0);
    f.memory.used = 16 * GIB - 700 * MIB;               /* of a reserve of 819 MiB */
    fake_pass(&f, 250);
    ck_assert_int_eq(f.process[g[2].worker].killed, SIGKILL);
    ck_assert_ptr_null(over(driver));
    fake_pass(&f, 1000);                                /* as long as it is not gone nobody else is ended */
    ck_assert_int_eq(f.process[g[1].worker].killed, 0);
    fake_reap(&f);
    const Mobula__LeaseOver *m = over(driver);
    ck_assert_ptr_nonnull(m);
    ck_assert_int_eq(m->cause->code, MOB_ERR_OUT_OF_MEMORY);
    ck_assert_uint_eq(m->cause->n_deaths, 1);
    ck_assert_int_eq(m->cause->deaths[0]->killed_by, MOB_KILLED_BY_MEMORY);
    ck_assert(m->claimed && m->task == 12 && m->attempt == 1 && !m->beyond_ask);
    expect_words(m->cause->text, WORDS("was ended with 4.39 GiB, as memory ran short: 15.32 GiB of the machine's 16.00 GiB are in use; most "
                                       "have 'leak' (pid ", ") 4.39 GiB, 'leak' (pid ", ") 3.91 GiB, 'work' (pid ", ") 300 MiB",
                                       "Ask for memory=, or for more CPUs a task", "--memory-reserve"));
    fake_pass(&f, 90);
    ck_assert_int_eq(f.process[g[1].worker].killed, 0);
    fake_pass(&f, 50);                                  /* it is still short */
    ck_assert_int_eq(f.process[g[1].worker].killed, SIGKILL);
    f.memory.used = 8 * GIB;
    fake_reap(&f);
    fake_pass(&f, 1000);
    ck_assert_int_eq(f.process[g[0].worker].killed, 0);
    fake_fini(&f);
}
END_TEST

/* One that cannot be reaped does not keep the node from ending the next. */
START_TEST(test_victim_that_stays)
{
    static const struct work works[] = { { "CPU=1", "leak", 4000, false }, { "CPU=1", "leak", 4500, false } };
    struct fake_grant g[2];

    open_node("CPU=2");
    begin(works, 2, g);
    f.memory.used = 16 * GIB;
    fake_pass(&f, 250);
    ck_assert_int_eq(f.process[g[1].worker].killed, SIGKILL);
    fake_pass(&f, 1500);
    ck_assert_int_eq(f.process[g[0].worker].killed, 0);
    fake_pass(&f, 600);
    ck_assert_int_eq(f.process[g[0].worker].killed, SIGKILL);
    fake_fini(&f);
}
END_TEST

/* What has stalled everybody is short of memory before its reserve is touched. */
START_TEST(test_stalled)
{
    static const struct work work = { "CPU=1", "leak", 4000, false };
    struct fake_grant g;

    open_node("CPU=1");
    begin(&work, 1, &g);
    f.memory.used = 16 * GIB - 1000 * MIB;
    f.memory.stalled = 150;
    fake_pass(&f, 1000);
    ck_assert_int_eq(f.process[g.worker].killed, 0);
    f.memory.stalled = 250;
    fake_pass(&f, 1000);
    ck_assert_int_eq(f.process[g.worker].killed, SIGKILL);
    fake_fini(&f);
}
END_TEST

/* Workers that idle go first, as many as it takes; but none whose objects others hold; and what may run but once goes last. */
START_TEST(test_order)
{
    static const struct work works[] = { { "CPU=1", "once", 5000, true }, { "CPU=1", "again", 400, false } };
    uint32_t idle[3];
    struct fake_grant g[2];
    size_t count = 0;

    open_node("CPU=5");
    uint32_t driver = begin(works, 2, g);
    for (uint32_t i = 0; i < f.spawned; i++)
        if (f.process[i].spawned && f.process[i].up && i != g[0].worker && i != g[1].worker)
            idle[count++] = i;
    ck_assert_uint_eq(count, 3);
    f.process[idle[0]].resident = 100 * MIB;
    f.process[idle[1]].resident = 90 * MIB;
    f.process[idle[2]].resident = 4000 * MIB;
    atomic_store(&f.process[idle[2]].page.held, 1);
    f.memory.used = 16 * GIB - 700 * MIB;               /* some 119 MiB too much */
    fake_pass(&f, 500);
    ck_assert_int_eq(f.process[idle[0]].killed, SIGKILL);
    ck_assert_int_eq(f.process[idle[1]].killed, SIGKILL);
    ck_assert_int_eq(f.process[g[1].worker].killed, 0);
    fake_reap(&f);
    fake_pass(&f, 150);
    ck_assert_int_eq(f.process[g[1].worker].killed, SIGKILL);
    fake_reap(&f);
    expect_words(over(driver)->cause->text, WORDS("most have 'once' (pid ", ", an idle worker (pid ", "'again' (pid "));
    fake_pass(&f, 150);
    ck_assert_int_eq(f.process[g[0].worker].killed, SIGKILL);
    ck_assert_int_eq(f.process[idle[2]].killed, 0);
    fake_reap(&f);
    fake_pass(&f, 150);
    ck_assert_int_eq(f.process[idle[2]].killed, SIGKILL);
    fake_fini(&f);
}
END_TEST

/* All workers together have a bound of their own, whatever the machine has. */
START_TEST(test_declared_limit)
{
    static const struct work works[] = { { "CPU=1", "work", 40, false }, { "CPU=1", "leak", 100, false }, { "CPU=1", "work", 40, false } };
    struct fake_grant g[3];

    open_node("CPU=3");
    f.config.memory_limit = 200 * MIB;
    f.config.memory_reserve = 0;
    f.memory.used = 17 * GIB;
    uint32_t driver = begin(works, 3, g);
    fake_pass(&f, 1000);
    ck_assert_int_eq(f.process[g[1].worker].killed, 0);
    f.process[g[1].worker].resident = 150 * MIB;
    fake_pass(&f, 250);
    ck_assert_int_eq(f.process[g[1].worker].killed, SIGKILL);
    fake_reap(&f);
    expect_words(over(driver)->cause->text, WORDS("230 MiB of the workers' 200 MiB are in use", "'leak'", "--memory-limit"));
    ck_assert_uint_eq(f.memory_looks, 0);
    fake_pass(&f, 1000);
    ck_assert_int_eq(f.process[g[0].worker].killed + f.process[g[2].worker].killed, 0);
    fake_fini(&f);
}
END_TEST

/* Who asked for memory and has more is ended before others; and where asks are strict, even if there is enough. What its worker had before
 * is not its own. */
START_TEST(test_beyond_what_was_asked)
{
    static const struct work works[] = { { "CPU=1", "big", 4000, false }, { "CPU=1,memory=1GiB", "liar", 1100, false } };
    struct fake_grant g[2];
    bool strict = _i > 0;

    open_node("CPU=2,memory=4GiB");
    f.config.memory_strict = strict;
    uint32_t driver = begin(works, 2, g);
    fake_pass(&f, 1000);
    ck_assert_int_eq(f.process[g[1].worker].killed, strict ? SIGKILL : 0);
    f.memory.used = 16 * GIB;
    fake_pass(&f, 250);
    ck_assert_int_eq(f.process[g[1].worker].killed, SIGKILL);
    ck_assert_int_eq(f.process[g[0].worker].killed, 0);
    fake_reap(&f);
    const Mobula__LeaseOver *m = over(driver);
    ck_assert(m->beyond_ask && m->cause->code == MOB_ERR_OUT_OF_MEMORY);
    expect_words(m->cause->text, WORDS("was ended with 1.07 GiB, more than its task's memory=1.00 GiB", "Ask for as much memory="));
    fake_fini(&f);
}
END_TEST

START_TEST(test_what_the_worker_had_before)
{
    static const struct work works[] = { { "CPU=1,memory=100MiB", "first", 90, false } };
    struct fake_grant g, again;

    open_node("CPU=1,memory=4GiB");
    f.config.memory_strict = true;
    uint32_t driver = begin(works, 1, &g);
    fake_return(&f, driver, g.lease);
    fake_want(&f, driver, (struct fake_ask){ .shape = 0, .count = 1, .seen = 1, .resources = "CPU=1,memory=100MiB" });
    ck_assert(fake_grant(&f, f.process[driver].link, &again));
    ck_assert_uint_eq(again.worker, g.worker);
    f.process[g.worker].resident = 180 * MIB;
    fake_pass(&f, 500);
    ck_assert_int_eq(f.process[g.worker].killed, 0);
    f.process[g.worker].resident = 191 * MIB;
    fake_pass(&f, 500);
    ck_assert_int_eq(f.process[g.worker].killed, SIGKILL);
    fake_reap(&f);
    expect_words(over(driver)->cause->text, WORDS("with 191 MiB, more than its task's memory=100 MiB beside 90 MiB that it had before"));
    fake_fini(&f);
}
END_TEST

/* What came free is not lent before memory has come back, too. */
START_TEST(test_nothing_is_lent_in_between)
{
    static const struct work work = { "CPU=1", "leak", 4000, false };
    struct fake_grant g, next;

    open_node("CPU=1");
    uint32_t driver = begin(&work, 1, &g);
    fake_want(&f, driver, (struct fake_ask){ .shape = 0, .count = 1, .seen = 1 });
    f.memory.used = 16 * GIB;
    fake_pass(&f, 250);
    f.memory.used = 2 * GIB;
    fake_reap(&f);
    fake_all_up(&f);
    ck_assert(!fake_grant(&f, f.process[driver].link, &next));
    fake_pass(&f, 110);
    fake_all_up(&f);
    ck_assert(fake_grant(&f, f.process[driver].link, &next));
    fake_fini(&f);
}
END_TEST

/* The less is left, the more often it looks; seldom while nothing is lent, and never without a worker. When it is short and nobody is worth
 * ending, nobody is. */
START_TEST(test_pace)
{
    static const struct work work = { "CPU=1", "work", 5, false };
    struct fake_grant g;
    uint32_t before;

    open_node("CPU=1");
    fake_start(&f);
    fake_join(&f);
    fake_pass(&f, 10000);
    ck_assert_uint_eq(f.memory_looks, 0);
    fake_fini(&f);

    open_node("CPU=1");
    uint32_t driver = begin(&work, 1, &g);
    before = f.memory_looks;
    fake_pass(&f, 10000);
    ck_assert_uint_le(f.memory_looks - before, 41);
    ck_assert_uint_ge(f.memory_looks - before, 39);
    f.memory.used = 15 * GIB - 100 * MIB;
    fake_pass(&f, 1000);
    before = f.memory_looks;
    fake_pass(&f, 1000);
    ck_assert_uint_ge(f.memory_looks - before, 40);
    f.memory.used = 16 * GIB;
    fake_pass(&f, 10000);
    ck_assert_int_eq(f.process[g.worker].killed, 0);
    f.memory.used = 0;
    fake_return(&f, driver, g.lease);
    fake_pass(&f, 1000);
    before = f.memory_looks;
    fake_pass(&f, 10000);
    ck_assert_uint_le(f.memory_looks - before, 6);
    fake_fini(&f);
}
END_TEST

UNIT_CASE("raylet_pressure", tcase)
{
    UNIT_TESTS(tcase, test_machine, test_victim_that_stays, test_stalled, test_one_that_has_nearly_all, test_order, test_declared_limit,
               test_what_the_worker_had_before, test_nothing_is_lent_in_between, test_pace);
    tcase_add_loop_test(tcase, test_beyond_what_was_asked, 0, 2);
}
