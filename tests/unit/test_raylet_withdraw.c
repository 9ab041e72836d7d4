/* SPDX-License-Identifier: Apache-2.0 */
/* test_raylet_withdraw.c -- what is not wanted any more of what the head has placed: it crosses Places and Grants, and waits for links. */
#include "raylet_fake.h"

static struct fake f;

static void withdraw_one(uint64_t link, uint64_t seq)
{
    Mobula__Withdraw w = MOBULA__WITHDRAW__INIT;
    Mobula__Address owner;

    mob_wire_put_address(&owner, fake_at(3, 9));
    w.owner = &owner;
    w.count = 1;
    w.seq = seq;
    fake_say(&f, link, fake_at(3, 0), fake_at(FAKE_NODE, 0), MOBULA__ENVELOPE__BODY_WITHDRAW, &w);
}

static void expect_one_grant(uint64_t link)
{
    struct fake_grant g;

    fake_all_up(&f);
    ck_assert(fake_grant(&f, link, &g));
    ck_assert(!fake_grant(&f, link, &g));
}

/* A Place of the head overtook the Withdraw for the one before it: the later one stands. */
START_TEST(test_withdraw_crosses_place)
{
    fake_open(&f, "CPU=2");
    uint64_t link = fake_peer(&f, 3);
    fake_place(&f, fake_at(3, 9), (struct fake_ask){ .count = 1 });
    fake_place(&f, fake_at(3, 9), (struct fake_ask){ .count = 1 });
    withdraw_one(link, 1);
    expect_one_grant(link);
    fake_fini(&f);
}
END_TEST

/* It waited while the link was away, with which that Place was forgotten: the later one stands. Found by the simulator: who had asked for it
 * waited for ever. */
START_TEST(test_withdraw_of_what_was_forgotten)
{
    fake_open(&f, "CPU=2");
    uint64_t link = fake_peer(&f, 3);
    fake_place(&f, fake_at(3, 9), (struct fake_ask){ .count = 1 });
    fake_lose(&f, link);
    fake_place(&f, fake_at(3, 9), (struct fake_ask){ .count = 2 });
    link = fake_peer(&f, 3);
    withdraw_one(link, 1);
    withdraw_one(link, 2);
    expect_one_grant(link);
    fake_fini(&f);
}
END_TEST

/* The lease for the Place before it is granted already: the Withdraw for that crossed the Grant, and takes nothing off the later one. */
START_TEST(test_withdraw_crosses_a_grant_and_a_place)
{
    struct fake_grant g;

    fake_open(&f, "CPU=4");
    uint64_t link = fake_peer(&f, 3);
    fake_place(&f, fake_at(3, 9), (struct fake_ask){ .count = 2 });
    fake_all_up(&f);
    ck_assert(fake_grant(&f, link, &g) && fake_grant(&f, link, &g));
    for (int i = 0; i < 2; i++)
        fake_place(&f, fake_at(3, 9), (struct fake_ask){ .count = 1 });
    withdraw_one(link, 1);
    withdraw_one(link, 2);              /* of the second, one */
    expect_one_grant(link);
    fake_fini(&f);
}
END_TEST

/* And the other way round: it says up to which Place it takes back. */
START_TEST(test_withdraw_names_its_place)
{
    Mobula__Envelope *e;

    fake_open(&f, "CPU=2");
    uint32_t p = fake_driver(&f);
    for (int i = 0; i < 4; i++)
        fake_all_up(&f);
    fake_want(&f, p, (struct fake_ask){ .count = 8 });
    uint64_t link = fake_peer(&f, 3);
    fake_placed(&f, p, 0, 3, 1);
    fake_placed(&f, p, 0, 3, 1);
    fake_lose(&f, link);
    fake_placed(&f, p, 0, 3, 2);
    fake_want(&f, p, (struct fake_ask){ .count = 2 });
    link = fake_peer(&f, 3);
    fake_tick(&f);
    e = fake_expect(&f, link, MOBULA__ENVELOPE__BODY_WITHDRAW);
    ck_assert_uint_eq(e->withdraw->count, 2);
    ck_assert_uint_eq(e->withdraw->seq, 3);
    fake_want(&f, p, (struct fake_ask){ .count = 8 });
    fake_tick(&f);
    fake_placed(&f, p, 0, 3, 1);
    fake_placed(&f, p, 0, 3, 1);
    fake_want(&f, p, (struct fake_ask){ .count = 2 });
    fake_tick(&f);
    e = fake_expect(&f, link, MOBULA__ENVELOPE__BODY_WITHDRAW);
    ck_assert_uint_eq(e->withdraw->count, 2);
    ck_assert_uint_eq(e->withdraw->seq, 5);
    fake_fini(&f);
}
END_TEST

UNIT_MAIN("raylet_withdraw", test_withdraw_crosses_place, test_withdraw_of_what_was_forgotten,
          test_withdraw_crosses_a_grant_and_a_place, test_withdraw_names_its_place)
