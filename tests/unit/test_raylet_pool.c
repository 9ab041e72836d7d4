/* SPDX-License-Identifier: Apache-2.0 */
/* test_raylet_pool.c -- workers: started in time and not in herds, kept warm, reaped; blocked CPU; GPUs by index; programs
 * that do not start. */
#include <signal.h>

#include "raylet/node_resources.h"
#include "raylet/core.h"
#include "raylet_fake.h"

static struct fake f;

static uint32_t starting(void)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < f.spawned; i++)
        n += f.process[i].spawned && !f.process[i].up && !f.process[i].gone;
    return n;
}

static uint32_t alive(void)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < f.spawned; i++)
        n += f.process[i].spawned && !f.process[i].gone;
    return n;
}

START_TEST(test_an_idle_worker_that_is_needed_stays)
{
    fake_open(&f, "CPU=1");
    fake_driver(&f);
    fake_driver(&f);
    fake_all_up(&f);
    ck_assert_uint_eq(alive(), 2);
    for (uint32_t i = 0; i < f.spawned; i++)
        atomic_store(&f.process[i].page.held, 1);
    fake_pass(&f, 5000);
    fake_reap(&f);
    ck_assert_uint_eq(alive(), 2);      /* one more than CPUs */
    for (uint32_t i = 0; i < f.spawned; i++)
        atomic_store(&f.process[i].page.held, 0);
    fake_pass(&f, 1100);
    fake_reap(&f);
    ck_assert_uint_eq(alive(), 1);
    fake_fini(&f);
}
END_TEST

START_TEST(test_prestart_and_reaping)
{
    fake_open(&f, "CPU=3");
    fake_driver(&f);
    ck_assert_uint_eq(starting(), 3);
    uint32_t other = fake_driver(&f);
    ck_assert_uint_eq(starting(), 3);   /* one a CPU at a time */
    fake_all_up(&f);
    ck_assert_uint_eq(alive(), 6);
    fake_pass(&f, 900);
    fake_reap(&f);
    ck_assert_uint_eq(alive(), 6);
    fake_pass(&f, 200);
    fake_reap(&f);
    ck_assert_uint_eq(alive(), 3);      /* the oldest idle ones beyond the CPU count */
    fake_pass(&f, 5000);
    fake_reap(&f);
    ck_assert_uint_eq(alive(), 3);
    fake_exit(&f, other, 0);
    fake_reap(&f);
    ck_assert_uint_eq(alive(), 0);      /* a job's workers end with it */
    fake_fini(&f);
}
END_TEST

/* Each start takes a moment in which no beat leaves the node: however many CPUs, some are started, the next when these are up. */
START_TEST(test_very_many_are_started_in_turn)
{
    fake_open(&f, "CPU=40");
    fake_driver(&f);
    ck_assert_uint_eq(starting(), 32);
    fake_all_up(&f);
    ck_assert_uint_eq(alive(), 40);
    fake_fini(&f);
}
END_TEST

START_TEST(test_only_who_waits_gets_a_worker_while_the_world_prepares)
{
    fake_open(&f, "CPU=3");
    f.prepares = true;
    uint32_t p = fake_driver(&f);
    struct mob_address job = { 2, p };
    ck_assert_uint_eq(starting(), 0);
    fake_want(&f, p, (struct fake_ask){ .count = 1 });
    ck_assert_uint_eq(starting(), 1);
    fake_all_up(&f);
    ck_assert_uint_eq(fake_count(&f, f.process[p].link, MOBULA__ENVELOPE__BODY_GRANT), 1);
    mob_raylet_prepared(f.raylet, job);
    ck_assert_uint_eq(starting(), 2);
    fake_all_up(&f);
    mob_raylet_prepared(f.raylet, job);
    ck_assert_uint_eq(alive(), 3);
    fake_exit(&f, p, 0);
    fake_reap(&f);
    ck_assert_uint_eq(alive(), 0);
    mob_raylet_prepared(f.raylet, job);           /* of a job that is over */
    uint32_t other = fake_driver(&f);           /* one that ends before anything was started for it */
    fake_exit(&f, other, 0);
    ck_assert(mob_raylet_quiet(f.raylet));
    ck_assert_uint_eq(f.raylet->pool.kinds.count, 0);
    fake_fini(&f);
}
END_TEST

START_TEST(test_blocked_cpu)
{
    struct fake_grant g, child;

    fake_open(&f, "CPU=1,licence=1");
    uint32_t p = fake_driver(&f);
    fake_all_up(&f);
    fake_want(&f, p, (struct fake_ask){ .count = 1, .resources = "CPU=1,licence=1" });
    ck_assert(fake_grant(&f, f.process[p].link, &g));
    fake_want(&f, g.worker, (struct fake_ask){ .count = 1, .depth = 1 });
    fake_blocked(&f, g.worker, true);
    fake_blocked(&f, g.worker, true);   /* a repeat frees nothing more */
    fake_all_up(&f);
    ck_assert(fake_grant(&f, f.process[g.worker].link, &child));
    ck_assert_int_eq(fake_free(&f, "CPU"), 0);
    ck_assert_int_eq(fake_free(&f, "licence"), -1);
    fake_blocked(&f, g.worker, false);
    ck_assert_int_le(fake_free(&f, "CPU"), 0);  /* below zero, but never on the wire */
    fake_blocked(&f, g.worker, false);
    fake_want(&f, g.worker, (struct fake_ask){ .count = 1, .depth = 1, .seen = 1 });
    ck_assert(!fake_grant(&f, f.process[g.worker].link, &child));
    fake_return(&f, g.worker, child.lease);     /* the debt is paid first */
    ck_assert(!fake_grant(&f, f.process[g.worker].link, &child));
    fake_want(&f, g.worker, (struct fake_ask){ .count = 0, .depth = 1, .seen = 1 });
    fake_return(&f, p, g.lease);
    ck_assert_int_eq(fake_free(&f, "CPU"), MOB_UNITS);
    fake_fini(&f);
}
END_TEST

/* A chain of tasks, each waiting for its child: it goes on until 1,024 workers are blocked, and comes all the way back. */
START_TEST(test_deep_chain)
{
    static struct fake_grant chain[1100];
    uint32_t owner, depth = 0;

    fake_open(&f, "CPU=1");
    owner = fake_driver(&f);
    for (; depth < MOB_COUNT(chain); depth++) {
        fake_want(&f, owner, (struct fake_ask){ .count = 1, .depth = depth });
        fake_all_up(&f);
        if (!fake_grant(&f, f.process[owner].link, &chain[depth]))
            break;
        owner = chain[depth].worker;
        fake_blocked(&f, owner, true);
        fake_forget_sent(&f);
    }
    ck_assert_uint_eq(depth, 1025);     /* the last one waits without lending its CPU */
    fake_want(&f, owner, (struct fake_ask){ .count = 0, .depth = depth });
    for (; depth > 1; depth--) {
        fake_return(&f, chain[depth - 2].worker, chain[depth - 1].lease);
        fake_blocked(&f, chain[depth - 2].worker, false);
        fake_forget_sent(&f);
    }
    ck_assert_int_eq(fake_free(&f, "CPU"), 0);
    fake_fini(&f);
}
END_TEST

START_TEST(test_blocked_worker_dies)
{
    struct fake_grant g;

    fake_open(&f, "CPU=2");
    uint32_t p = fake_driver(&f);
    fake_all_up(&f);
    fake_want(&f, p, (struct fake_ask){ .count = 1 });
    ck_assert(fake_grant(&f, f.process[p].link, &g));
    fake_blocked(&f, g.worker, true);
    fake_exit(&f, g.worker, SIGKILL);
    ck_assert_int_eq(fake_free(&f, "CPU"), 2 * MOB_UNITS);      /* not given back twice */
    fake_fini(&f);
}
END_TEST

START_TEST(test_gpus)
{
    struct fake_grant whole, half[2];

    fake_open(&f, "CPU=8,GPU=3");
    uint32_t p = fake_driver(&f);
    for (int i = 0; i < 3; i++)
        fake_all_up(&f);
    fake_want(&f, p, (struct fake_ask){ .shape = 1, .count = 2, .resources = "CPU=1,GPU=0.5" });
    fake_want(&f, p, (struct fake_ask){ .shape = 2, .count = 2, .resources = "CPU=1,GPU=2" });
    for (int i = 0; i < 3; i++)
        fake_all_up(&f);
    ck_assert(fake_grant(&f, f.process[p].link, &half[0]));
    ck_assert(fake_grant(&f, f.process[p].link, &half[1]));
    ck_assert(fake_grant(&f, f.process[p].link, &whole));
    ck_assert_uint_eq(half[0].gpu_count, 1);
    ck_assert_uint_eq(half[0].gpus[0], half[1].gpus[0]);        /* two halves share one index */
    ck_assert_uint_ne(half[0].worker, half[1].worker);
    ck_assert_uint_eq(whole.gpu_count, 2);
    ck_assert_uint_eq(f.process[whole.worker].gpu_count, 2);    /* it was started with them */
    for (int i = 0; i < 2; i++)
        ck_assert_uint_ne(whole.gpus[i], half[0].gpus[0]);
    ck_assert_uint_ne(whole.gpus[0], whole.gpus[1]);
    fake_return(&f, p, whole.lease);
    ck_assert_int_eq(f.process[whole.worker].killed, SIGTERM);
    for (int i = 0; i < 3; i++)
        fake_all_up(&f);
    ck_assert(!fake_grant(&f, f.process[p].link, &whole));      /* its indices are not back yet */
    fake_pass(&f, 1000);
    ck_assert_int_eq(f.process[whole.worker].killed, SIGKILL);
    fake_exit(&f, whole.worker, SIGKILL);
    ck_assert_uint_eq(fake_count(&f, f.process[p].link, MOBULA__ENVELOPE__BODY_LEASE_OVER), 0);
    for (int i = 0; i < 3; i++)
        fake_all_up(&f);
    ck_assert(fake_grant(&f, f.process[p].link, &whole));
    fake_fini(&f);
}
END_TEST

START_TEST(test_fractions_leave_whole_gpus_whole)
{
    static const char *const asks[] = { "GPU=0.3", "GPU=1", "GPU=0.5", "GPU=0.6", "GPU=0.4", "GPU=0.3" };
    static const uint8_t at[] = { 0, 1, 0, 2, 2, 1 };
    const uint32_t gpus[MOB_GPUS_MAX] = { 0 };
    struct mob_resources owned, ask;
    struct node_resources n;
    struct share share[MOB_COUNT(asks)];

    mob_resources_parse("GPU=3", &owned, NULL);
    mob_node_resources_init(&n, &owned, gpus);
    for (size_t i = 0; i < MOB_COUNT(asks); i++) {
        if (i == 4)
            mob_node_resources_give(&n, &share[1]);
        mob_resources_parse(asks[i], &ask, NULL);
        ck_assert(mob_node_resources_take(&n, &ask, &share[i]));
        ck_assert_uint_eq(share[i].gpu_at[0], at[i]);
    }
    mob_resources_parse("GPU=1", &ask, NULL);
    ck_assert(!mob_node_resources_take(&n, &ask, &share[1]));
}
END_TEST

START_TEST(test_gpu_ask_is_given_up_while_its_worker_starts)
{
    fake_open(&f, "CPU=1,GPU=1");
    uint32_t p = fake_driver(&f);
    fake_all_up(&f);
    uint32_t before = f.spawned;
    fake_want(&f, p, (struct fake_ask){ .count = 1, .resources = "GPU=1" });
    ck_assert_uint_eq(f.spawned, before + 1);
    fake_want(&f, p, (struct fake_ask){ .count = 0, .resources = "GPU=1" });
    ck_assert_int_eq(f.process[before].killed, SIGKILL);
    fake_reap(&f);
    ck_assert(mob_raylet_quiet(f.raylet));
    fake_fini(&f);
}
END_TEST

START_TEST(test_program_that_does_not_start)
{
    Mobula__Envelope *e;

    fake_open(&f, "CPU=2");
    uint32_t p = fake_driver(&f);
    fake_want(&f, p, (struct fake_ask){ .count = 1 });
    uint32_t first = f.spawned;
    for (uint32_t i = 0; i < first; i++)
        if (f.process[i].spawned)
            fake_exit(&f, i, -1);
    e = fake_expect(&f, f.process[p].link, MOBULA__ENVELOPE__BODY_UNPLACEABLE);
    ck_assert_ptr_nonnull(strstr(e->unplaceable->text, "no reason"));
    ck_assert(!e->unplaceable->final);
    fake_tick(&f);
    ck_assert_uint_eq(f.spawned, first);        /* it rests */
    fake_pass(&f, 300);
    ck_assert_uint_gt(f.spawned, first);        /* and tries again */
    fake_all_up(&f);
    ck_assert_uint_eq(fake_count(&f, f.process[p].link, MOBULA__ENVELOPE__BODY_GRANT), 1);
    fake_fini(&f);
}
END_TEST

static void all_unfit(void)
{
    for (uint32_t i = 0; i < f.spawned; i++)
        if (f.process[i].spawned && !f.process[i].gone)
            fake_unfit(&f, i);
}

/* The head hears of it once, then all that is wanted; the owner hears nothing, as other nodes may do; nothing is started again. */
START_TEST(test_program_that_can_never_run_here)
{
    Mobula__Envelope *e;

    fake_open(&f, "CPU=2");
    uint32_t p = fake_driver(&f);
    fake_want(&f, p, (struct fake_ask){ .count = 3 });
    fake_forget_sent(&f);
    uint32_t before = f.spawned;
    all_unfit();
    fake_tick(&f);
    e = fake_expect(&f, f.head, MOBULA__ENVELOPE__BODY_UNFIT);
    ck_assert_ptr_nonnull(strstr(e->unfit->why, "node 2 (127.0.0.1): node here is a toaster"));
    ck_assert_mem_eq(e->unfit->executable.data, &f.executable, sizeof f.executable);
    ck_assert_ptr_null(fake_take(&f, f.head, MOBULA__ENVELOPE__BODY_UNFIT));
    ck_assert_int_eq(fake_demand(&f), 3);
    ck_assert_uint_eq(fake_count(&f, f.process[p].link, MOBULA__ENVELOPE__BODY_UNPLACEABLE), 0);
    fake_pass(&f, 10000);
    ck_assert_uint_eq(f.spawned, before);
    ck_assert_int_eq(fake_free(&f, "CPU"), 2 * MOB_UNITS);
    fake_placed(&f, p, 0, FAKE_NODE, 2);        /* by a head that does not know, or lost it */
    ck_assert_ptr_nonnull(fake_take(&f, f.head, MOBULA__ENVELOPE__BODY_UNFIT));
    fake_tick(&f);
    ck_assert_int_eq(fake_demand(&f), 3);
    ck_assert_uint_eq(f.spawned, before);
    fake_fini(&f);
}
END_TEST

START_TEST(test_placed_program_that_can_never_run_here_goes_back)
{
    fake_open(&f, "CPU=2");
    uint64_t link = fake_peer(&f, 3);
    for (int again = 0; again < 2; again++) {
        fake_place(&f, fake_at(3, 5), (struct fake_ask){ .shape = 1, .count = 2 });
        all_unfit();
        ck_assert_ptr_nonnull(fake_take(&f, f.head, MOBULA__ENVELOPE__BODY_UNFIT));
        Mobula__Envelope *e = fake_expect(&f, link, MOBULA__ENVELOPE__BODY_DECLINED);
        ck_assert_uint_eq(e->declined->count, 2);
        ck_assert(mob_raylet_quiet(f.raylet));
    }
    fake_fini(&f);
}
END_TEST

/* One start fails, another succeeds: the rest that the first one began ends with it, not never. */
START_TEST(test_rest_ends_when_a_worker_comes_up)
{
    fake_open(&f, "CPU=2");
    uint32_t p = fake_driver(&f);
    fake_want(&f, p, (struct fake_ask){ .count = 2 });
    for (uint32_t i = 0; i < f.spawned; i++)
        if (f.process[i].spawned) {
            fake_exit(&f, i, -1);
            break;
        }
    fake_all_up(&f);
    fake_pass(&f, 300);
    fake_all_up(&f);
    ck_assert_uint_eq(fake_count(&f, f.process[p].link, MOBULA__ENVELOPE__BODY_GRANT), 2);
    fake_fini(&f);
}
END_TEST

START_TEST(test_worker_that_hangs_at_its_start_is_killed)
{
    fake_open(&f, "CPU=1");
    fake_driver(&f);
    fake_pass(&f, 29000);
    ck_assert_int_eq(f.process[f.spawned - 1].killed, 0);
    fake_pass(&f, 1500);
    ck_assert_int_eq(f.process[f.spawned - 1].killed, SIGKILL);
    fake_fini(&f);
}
END_TEST

UNIT_MAIN("raylet_pool", test_an_idle_worker_that_is_needed_stays, test_prestart_and_reaping, test_very_many_are_started_in_turn,
          test_only_who_waits_gets_a_worker_while_the_world_prepares, test_blocked_cpu, test_deep_chain,
          test_blocked_worker_dies, test_gpus, test_fractions_leave_whole_gpus_whole,
          test_gpu_ask_is_given_up_while_its_worker_starts, test_program_that_does_not_start, test_program_that_can_never_run_here,
          test_placed_program_that_can_never_run_here_goes_back, test_rest_ends_when_a_worker_comes_up,
          test_worker_that_hangs_at_its_start_is_killed)
