/* SPDX-License-Identifier: Apache-2.0 */
/* test_raylet_head.c -- the head was killed, and another one serves on its state: what the old one had placed is void, and what it may not
 * know is said. */
#include "raylet_fake.h"

#define DEMAND MOBULA__ENVELOPE__BODY_DEMAND
#define WITHDRAW MOBULA__ENVELOPE__BODY_WITHDRAW
#define JOB_STARTED MOBULA__ENVELOPE__BODY_JOB_STARTED

static struct fake f;

static void another_head(void)
{
    fake_lose(&f, f.head);
    fake_pass(&f, 600);
    f.head = f.dialed_head;
    f.generation++;
    fake_join(&f);
}

static void say_withdraw(uint64_t link, struct mob_address owner, uint32_t count, uint64_t generation)
{
    Mobula__Withdraw w = MOBULA__WITHDRAW__INIT;
    Mobula__Address address;

    mob_wire_put_address(&address, owner);
    w.owner = &address;
    w.count = count;
    w.generation = generation;
    w.seq = UINT64_MAX;
    fake_say(&f, link, fake_at(owner.node, 0), fake_at(FAKE_NODE, 0), WITHDRAW, &w);
}

/* The Place of what was Placed elsewhere may have died with the head: all is asked for again, and nothing is withdrawn by a number that
 * the other node may never have heard of. */
START_TEST(test_what_was_placed_elsewhere_is_asked_for_again)
{
    Mobula__Envelope *e;

    fake_open(&f, "CPU=1");
    uint64_t peer = fake_peer(&f, 3);
    uint32_t p = fake_driver(&f);

    fake_want(&f, p, (struct fake_ask){ .count = 4, .resources = "CPU=1,gold=1" });
    fake_placed(&f, p, 0, 3, 3);
    fake_forget_sent(&f);
    another_head();
    e = fake_take(&f, f.head, DEMAND);
    ck_assert_ptr_nonnull(e);
    ck_assert_uint_eq(e->demand->count, 4);
    ck_assert_uint_eq(e->demand->placed_seen, 3);
    ck_assert_ptr_null(fake_take(&f, peer, WITHDRAW));
    fake_placed(&f, p, 0, 3, 4);
    fake_want(&f, p, (struct fake_ask){ .count = 1, .resources = "CPU=1,gold=1" });
    fake_tick(&f);
    e = fake_take(&f, peer, WITHDRAW);          /* of what this head has placed it can be */
    ck_assert_ptr_nonnull(e);
    ck_assert_uint_eq(e->withdraw->count, 3);
    ck_assert_uint_eq(e->withdraw->generation, 1);
    fake_fini(&f);
}
END_TEST

/* What was placed here and is not granted yet goes; a Withdraw of that, still on its way, takes nothing of what the new head places. */
START_TEST(test_what_was_placed_here_is_void)
{
    struct fake_grant g;

    fake_open(&f, "CPU=3");
    uint64_t peer = fake_peer(&f, 3);

    fake_place(&f, fake_at(3, 9), (struct fake_ask){ .count = 1 });
    another_head();
    fake_all_up(&f);
    ck_assert(!fake_grant(&f, peer, &g));
    fake_place(&f, fake_at(3, 9), (struct fake_ask){ .count = 3 });     /* one worker is there already */
    say_withdraw(peer, fake_at(3, 9), 1, 0);
    say_withdraw(peer, fake_at(3, 9), 1, 1);
    fake_all_up(&f);
    ck_assert(fake_grant(&f, peer, &g));
    ck_assert(fake_grant(&f, peer, &g));
    ck_assert(!fake_grant(&f, peer, &g));
    fake_fini(&f);
}
END_TEST

/* The same head after a broken link: it sends again what may be lost, and all stands. */
START_TEST(test_the_same_head_again)
{
    struct fake_grant g;

    fake_open(&f, "CPU=1");
    uint64_t peer = fake_peer(&f, 3);

    fake_place(&f, fake_at(3, 9), (struct fake_ask){ .count = 1 });
    f.generation--;
    another_head();
    fake_all_up(&f);
    ck_assert(fake_grant(&f, peer, &g));
    ck_assert_ptr_null(fake_take(&f, f.head, JOB_STARTED));
    fake_fini(&f);
}
END_TEST

/* Its record of tasks is empty: the processes here tell of theirs again. */
START_TEST(test_owners_are_asked_for_their_tasks)
{
    fake_open(&f, "CPU=1");
    uint32_t p = fake_driver(&f);

    f.generation--;
    another_head();                     /* the same one */
    ck_assert_uint_eq(fake_count(&f, f.process[p].link, MOBULA__ENVELOPE__BODY_EVENTS_AGAIN), 0);
    another_head();
    ck_assert_uint_eq(fake_count(&f, f.process[p].link, MOBULA__ENVELOPE__BODY_EVENTS_AGAIN), 1);
    fake_fini(&f);
}
END_TEST

/* Jobs of other nodes that have work here are named to a new head: their ends may be lost. */
START_TEST(test_jobs_that_are_served_are_named)
{
    Mobula__Envelope *e;
    struct fake_grant g;

    fake_open(&f, "CPU=1");
    uint64_t peer = fake_peer(&f, 3);

    fake_place(&f, fake_at(3, 9), (struct fake_ask){ .count = 1 });
    fake_all_up(&f);
    ck_assert(fake_grant(&f, peer, &g));
    another_head();
    e = fake_take(&f, f.head, JOB_STARTED);
    ck_assert_ptr_nonnull(e);
    ck_assert_uint_eq(e->job_started->job->node, 3);
    ck_assert_uint_eq(e->job_started->job->process, 1);
    ck_assert_ptr_null(fake_take(&f, f.head, JOB_STARTED));
    fake_fini(&f);
}
END_TEST

UNIT_MAIN("raylet_head", test_what_was_placed_elsewhere_is_asked_for_again, test_what_was_placed_here_is_void, test_the_same_head_again, test_owners_are_asked_for_their_tasks,
          test_jobs_that_are_served_are_named)
