/* SPDX-License-Identifier: Apache-2.0 */
/* test_raylet_claim.c -- who waits long: asks that reserve, and claims of demands that wait at the head. */
#include "raylet_fake.h"

static struct fake f;
static uint32_t small, large;           /* drivers */
static uint64_t peer;                   /* of node 3 */
static const struct mob_address other = { 3, 9 };

/* Node 2 with these resources: `held` leases of CPU=1 for `small`, who wants none for now. */
static void setup(const char *resources, uint32_t held, struct fake_grant *ret)
{
    fake_open(&f, resources);
    small = fake_driver(&f);
    large = fake_driver(&f);
    peer = fake_peer(&f, 3);
    for (int i = 0; i < 8; i++)
        fake_all_up(&f);
    if (held > 0)
        fake_want(&f, small, (struct fake_ask){ .count = held });
    for (int i = 0; i < 8; i++)
        fake_all_up(&f);
    for (uint32_t i = 0; i < held; i++)
        ck_assert(fake_grant(&f, f.process[small].link, &ret[i]));
}

static size_t grants(uint64_t link)
{
    for (int i = 0; i < 8; i++)
        fake_all_up(&f);
    return fake_count(&f, link, MOBULA__ENVELOPE__BODY_GRANT);
}

static size_t recalls(void)
{
    return fake_count(&f, f.process[small].link, MOBULA__ENVELOPE__BODY_RECALL);
}

/* -- reserving ----------------------------------------------------------------------------------------------------------- */

/* On 2 CPUs with gold=1, `small` holds one CPU when the large one asks. It waits `waits` ms; then `small` returns its lease, and someone
 * asks for a CPU. Who gets one? */
static const struct {
    const char *name, *large;
    int64_t waits;
    bool blocked;                       /* the worker of the lease (CPU=1,gold=1), which is not returned */
    bool leaves;                        /* the large one wants nothing any more */
    uint32_t depth;                     /* of who asks */
    size_t large_gets, small_gets;
} reserves[] = {
    { "young: overtaken", "CPU=2", 1000, false, false, 0, 0, 1 },
    { "old: nothing overtakes it", "CPU=2", 2100, false, false, 0, 1, 0 },
    { "but what is deeper", "CPU=2", 2100, false, false, 1, 0, 1 },
    { "it waits for what a blocked one holds: it reserves nothing", "CPU=2,gold=1", 2100, true, false, 0, 0, 1 },
    { "only the CPU of the blocked one, which is back", "CPU=2", 2100, true, false, 0, 1, 0 },
    { "it goes away: nothing is kept", "CPU=2", 2100, false, true, 0, 0, 1 },
};

START_TEST(test_reserve)
{
    struct fake_grant g;

    fake_open(&f, "CPU=2,gold=1");
    small = fake_driver(&f);
    large = fake_driver(&f);
    for (int i = 0; i < 4; i++)
        fake_all_up(&f);
    fake_want(&f, small, (struct fake_ask){ .shape = 1, .count = 1, .resources = "CPU=1,gold=1" });
    ck_assert(fake_grant(&f, f.process[small].link, &g));
    fake_want(&f, large, (struct fake_ask){ .count = 1, .resources = reserves[_i].large });
    fake_pass(&f, reserves[_i].waits);
    if (reserves[_i].blocked)
        fake_blocked(&f, g.worker, true);
    fake_want(&f, small, (struct fake_ask){ .count = 1, .seen = 0, .depth = reserves[_i].depth });
    if (reserves[_i].leaves)
        fake_want(&f, large, (struct fake_ask){ .count = 0, .resources = reserves[_i].large });
    fake_pass(&f, 1);
    ck_assert_msg(grants(f.process[small].link) == reserves[_i].small_gets, "%s: small", reserves[_i].name);
    if (!reserves[_i].blocked)
        fake_return(&f, small, g.lease);
    ck_assert_msg(grants(f.process[large].link) == reserves[_i].large_gets, "%s: large", reserves[_i].name);
    fake_fini(&f);
}
END_TEST

/* What is set aside is not reported as free, and what the head places beside it all the same is declined at once. */
START_TEST(test_reserved_is_not_free)
{
    struct fake_grant g;
    Mobula__Envelope *e;

    setup("CPU=3", 1, &g);
    fake_want(&f, large, (struct fake_ask){ .count = 1, .resources = "CPU=3" });
    ck_assert_int_eq(fake_free(&f, "CPU"), 2 * MOB_UNITS);
    fake_pass(&f, 2100);
    fake_place(&f, other, (struct fake_ask){ .count = 1 });
    e = fake_expect(&f, peer, MOBULA__ENVELOPE__BODY_DECLINED);
    ck_assert_uint_eq(e->declined->count, 1);
    ck_assert_int_eq(fake_free(&f, "CPU"), 0);
    fake_want(&f, large, (struct fake_ask){ .count = 0, .resources = "CPU=3" });
    ck_assert_int_eq(fake_free(&f, "CPU"), 2 * MOB_UNITS);
    fake_fini(&f);
}
END_TEST

/* One that has a lease here is served: it does not reserve for another. */
START_TEST(test_who_has_one_does_not_reserve)
{
    struct fake_grant g, big;

    setup("CPU=4", 1, &g);
    fake_want(&f, large, (struct fake_ask){ .count = 2, .resources = "CPU=2" });
    for (int i = 0; i < 4; i++)
        fake_all_up(&f);
    ck_assert(fake_grant(&f, f.process[large].link, &big));
    fake_pass(&f, 2500);
    fake_want(&f, small, (struct fake_ask){ .count = 1, .seen = 1 });
    ck_assert_uint_eq(grants(f.process[small].link), 1);
    fake_fini(&f);
}
END_TEST

/* Who needs more than one lease gives has one recalled at a time, until it reserves: then all that it takes. */
START_TEST(test_recall_for_a_reserve)
{
    struct fake_grant g[4];

    setup("CPU=4", 4, g);
    fake_want(&f, large, (struct fake_ask){ .count = 1, .resources = "CPU=3" });
    fake_pass(&f, 1900);
    ck_assert_uint_eq(recalls(), 1);
    fake_pass(&f, 200);
    ck_assert_uint_eq(recalls(), 2);
    fake_fini(&f);
}
END_TEST

/* The richest may hold nothing of what is wanted, or be served before who waits: then another gives. */
START_TEST(test_recall_from_who_helps)
{
    struct fake_grant g;

    setup("CPU=2,gold=4", 1, &g);
    fake_want(&f, large, (struct fake_ask){ .shape = 1, .count = 3, .resources = "gold=1" });
    fake_want(&f, large, (struct fake_ask){ .shape = 2, .count = 9, .depth = 1 });
    ck_assert_uint_eq(grants(f.process[large].link), 4);
    fake_place(&f, other, (struct fake_ask){ .count = 1 });
    fake_claim(&f, other, (struct fake_ask){ .count = 1 });
    fake_pass(&f, 70);
    ck_assert_ptr_nonnull(fake_take(&f, f.process[small].link, MOBULA__ENVELOPE__BODY_RECALL));
    ck_assert_uint_eq(fake_count(&f, f.process[large].link, MOBULA__ENVELOPE__BODY_RECALL), 0);
    fake_fini(&f);
}
END_TEST

/* -- claims -------------------------------------------------------------------------------------------------------------- */

static uint64_t claim_over(void)
{
    Mobula__Envelope *e;
    uint64_t over = 0;

    fake_pass(&f, 500);
    while ((e = fake_take(&f, f.head, MOBULA__ENVELOPE__BODY_REPORT)) != NULL)
        over = e->report->claim_over;
    return over;
}

START_TEST(test_claim_is_served_in_its_turn)
{
    struct fake_grant g[2];
    Mobula__Envelope *e;

    setup("CPU=2", 2, g);
    fake_want(&f, large, (struct fake_ask){ .count = 1 });
    fake_pass(&f, 10);
    fake_claim(&f, other, (struct fake_ask){ .count = 1, .age_ms = 300 });
    ck_assert_ptr_null(fake_take(&f, peer, MOBULA__ENVELOPE__BODY_DECLINED));
    fake_pass(&f, 80);
    ck_assert_uint_eq(recalls(), 2);    /* one for each who waits */
    fake_return(&f, small, g[0].lease);
    for (int i = 0; i < 4; i++)
        fake_all_up(&f);
    e = fake_take(&f, peer, MOBULA__ENVELOPE__BODY_GRANT);
    ck_assert_ptr_nonnull(e);           /* it waits for longer than the local one */
    ck_assert(e->grant->claimed);
    ck_assert_uint_eq(grants(f.process[large].link), 0);
    fake_return(&f, small, g[1].lease);
    ck_assert_uint_eq(grants(f.process[large].link), 1);
    ck_assert_uint_eq(grants(peer), 0); /* a claim for one is used once */
    ck_assert_uint_eq(claim_over(), 1);
    fake_fini(&f);
}
END_TEST

START_TEST(test_claim_ends)
{
    struct fake_grant g[2];

    setup("CPU=2", 2, g);
    fake_claim(&f, other, (struct fake_ask){ .count = 1 });
    fake_claim(&f, other, (struct fake_ask){ .count = 0 });
    fake_return(&f, small, g[0].lease);
    ck_assert_uint_eq(grants(peer), 0);
    fake_claim(&f, other, (struct fake_ask){ .count = 1, .resources = "CPU=2" });
    f.claims--;                         /* the same number again: it is known */
    fake_claim(&f, other, (struct fake_ask){ .count = 0 });
    fake_return(&f, small, g[1].lease);
    ck_assert_uint_eq(grants(peer), 1);
    fake_claim(&f, other, (struct fake_ask){ .count = 1, .resources = "CPU=2" });
    fake_lose(&f, f.head);              /* a new stream knows of no claim */
    fake_pass(&f, 600);
    f.head = f.dialed_head;
    fake_join(&f);
    f.claims = 0;
    ck_assert_uint_eq(claim_over(), 0);
    fake_fini(&f);
}
END_TEST

/* It is given up when nothing comes of it, but not while a lease is on its way back, or resources are set aside. */
START_TEST(test_claim_is_given_up)
{
    struct fake_grant g;

    setup("CPU=1,gold=1", 1, &g);
    fake_claim(&f, other, (struct fake_ask){ .count = 1 });
    fake_pass(&f, 300);
    ck_assert_uint_eq(recalls(), 1);
    ck_assert_uint_eq(claim_over(), 0);
    fake_return(&f, small, g.lease);
    ck_assert_uint_eq(grants(peer), 1);
    ck_assert_uint_eq(claim_over(), 1);
    fake_claim(&f, other, (struct fake_ask){ .count = 1, .resources = "CPU=1" });
    ck_assert_uint_eq(claim_over(), 2); /* who has it all waits for itself */
    fake_claim(&f, fake_at(3, 8), (struct fake_ask){ .count = 1, .resources = "gold=2" });
    ck_assert_uint_eq(claim_over(), 3); /* never here */
    fake_fini(&f);
}
END_TEST

/* Nor while resources are set aside for it, though nobody gives up a lease. */
START_TEST(test_claim_that_reserves_stays)
{
    setup("CPU=1", 0, NULL);
    fake_want(&f, small, (struct fake_ask){ .count = 3, .depth = 1 });
    ck_assert_uint_eq(grants(f.process[small].link), 1);
    fake_claim(&f, other, (struct fake_ask){ .count = 1 });
    ck_assert_uint_eq(claim_over(), 1);
    fake_claim(&f, other, (struct fake_ask){ .count = 1, .age_ms = 3000 });
    ck_assert_uint_eq(claim_over(), 1);
    ck_assert_uint_eq(recalls(), 0);
    fake_fini(&f);
}
END_TEST

/* A local want that the head places is claimed for where it lives, too. */
START_TEST(test_claim_at_home)
{
    struct fake_grant g[2];

    setup("CPU=2", 2, g);
    fake_want(&f, large, (struct fake_ask){ .count = 2, .strategy = MOB_SPREAD });
    fake_claim(&f, fake_at(FAKE_NODE, large), (struct fake_ask){ .count = 1 });
    fake_pass(&f, 80);
    ck_assert_uint_eq(recalls(), 1);
    ck_assert_int_eq(fake_demand(&f), 2);
    fake_return(&f, small, g[0].lease);
    fake_return(&f, small, g[1].lease);
    ck_assert_uint_eq(grants(f.process[large].link), 1);
    ck_assert_int_eq(fake_demand(&f), 1);
    ck_assert_uint_eq(claim_over(), 1);
    fake_claim(&f, fake_at(FAKE_NODE, small), (struct fake_ask){ .count = 1 });
    ck_assert_uint_eq(claim_over(), 2); /* this node serves it without the head */
    fake_fini(&f);
}
END_TEST

/* What was placed here is withdrawn; a claim is the head's to end. */
START_TEST(test_withdraw_leaves_the_claim)
{
    struct fake_grant g;
    Mobula__Withdraw w = MOBULA__WITHDRAW__INIT;
    Mobula__Address owner;

    setup("CPU=1", 1, &g);
    fake_claim(&f, other, (struct fake_ask){ .count = 1 });
    mob_wire_put_address(&owner, other);
    w.owner = &owner;
    w.count = 3;
    w.seq = 1;
    fake_say(&f, peer, fake_at(3, 0), fake_at(FAKE_NODE, 0), MOBULA__ENVELOPE__BODY_WITHDRAW, &w);
    fake_place(&f, other, (struct fake_ask){ .count = 1 });
    ck_assert_ptr_nonnull(fake_take(&f, peer, MOBULA__ENVELOPE__BODY_DECLINED));
    fake_return(&f, small, g.lease);
    ck_assert_uint_eq(grants(peer), 1);
    fake_fini(&f);
}
END_TEST

/* As the owner's raylet: a Grant for a claim lowers the level and settles nothing that was placed; and who was served waits anew. */
START_TEST(test_claimed_grant_passes)
{
    Mobula__Grant m = MOBULA__GRANT__INIT;
    Mobula__Address worker;
    Mobula__Envelope *e;

    setup("CPU=1", 0, NULL);
    fake_want(&f, large, (struct fake_ask){ .count = 3, .strategy = MOB_NODE, .node = 3 });
    ck_assert_int_eq(fake_demand(&f), 3);
    fake_placed(&f, large, 0, 3, 1);
    fake_pass(&f, 1000);
    mob_wire_put_address(&worker, fake_at(3, 50));
    m.lease = 1;
    m.worker = &worker;
    m.claimed = true;
    fake_say(&f, peer, fake_at(3, 0), fake_at(FAKE_NODE, large), MOBULA__ENVELOPE__BODY_GRANT, &m);
    fake_tick(&f);
    e = fake_expect(&f, f.head, MOBULA__ENVELOPE__BODY_DEMAND);
    ck_assert_uint_eq(e->demand->count, 1);
    ck_assert_uint_eq(e->demand->age_ms, 0);
    m.lease = 2;
    m.claimed = false;
    fake_pass(&f, 1000);
    fake_say(&f, peer, fake_at(3, 0), fake_at(FAKE_NODE, large), MOBULA__ENVELOPE__BODY_GRANT, &m);
    fake_tick(&f);
    e = fake_take(&f, f.head, MOBULA__ENVELOPE__BODY_DEMAND);
    ck_assert_ptr_nonnull(e);           /* the same level of a younger want: others are older now */
    ck_assert_uint_eq(e->demand->count, 1);
    ck_assert_uint_eq(e->demand->age_ms, 0);
    fake_fini(&f);
}
END_TEST

UNIT_CASE("raylet_claim", tcase)
{
    UNIT_TESTS(tcase, test_reserved_is_not_free, test_who_has_one_does_not_reserve, test_recall_for_a_reserve,
               test_recall_from_who_helps, test_claim_is_served_in_its_turn, test_claim_ends, test_claim_is_given_up,
               test_claim_that_reserves_stays, test_claim_at_home, test_withdraw_leaves_the_claim, test_claimed_grant_passes);
    tcase_add_loop_test(tcase, test_reserve, 0, (int)MOB_COUNT(reserves));
}
