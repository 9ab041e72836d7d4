/* SPDX-License-Identifier: Apache-2.0 */
/* test_raylet_demand.c -- the arithmetic between owner's raylet, head and lender: Demand, Placed, Declined, Withdraw,
 * Grants that cross. */
#include "raylet_fake.h"

static struct fake f;

static uint32_t driver_with(const char *resources, struct fake_ask ask)
{
    fake_open(&f, resources);
    uint32_t p = fake_driver(&f);
    for (int i = 0; i < 4; i++)
        fake_all_up(&f);
    fake_want(&f, p, ask);
    return p;
}

/* A Grant of the peer, which has heard all Places up to this one, passes to process p. */
static void pass_grant(uint64_t link, uint32_t node, uint32_t p, uint64_t lease, uint64_t place_seq)
{
    Mobula__Grant m = MOBULA__GRANT__INIT;
    Mobula__Address worker;

    mob_wire_put_address(&worker, fake_at(node, 50));
    m.lease = lease;
    m.worker = &worker;
    m.place_seq = place_seq;
    fake_say(&f, link, fake_at(node, 0), fake_at(FAKE_NODE, p), MOBULA__ENVELOPE__BODY_GRANT, &m);
}

static void decline(uint64_t link, uint32_t node, uint32_t p, uint32_t count, uint64_t place_seq)
{
    Mobula__Declined m = MOBULA__DECLINED__INIT;
    Mobula__Address owner;

    mob_wire_put_address(&owner, fake_at(FAKE_NODE, p));
    m.owner = &owner;
    m.count = count;
    m.place_seq = place_seq;
    fake_say(&f, link, fake_at(node, 0), fake_at(FAKE_NODE, 0), MOBULA__ENVELOPE__BODY_DECLINED, &m);
}

/* Who serves what: the level that the head hears, and the grants from here, of a want for 5 on a node with 2 CPUs. */
static const struct { enum mob_strategy strategy; uint32_t node; const char *ask; int64_t demand; size_t here; } strategies[] = {
    { MOB_HYBRID, 0, "CPU=1", 3, 2 },
    { MOB_HYBRID, 0, "GPU=1", 5, 0 },           /* never here */
    { MOB_SPREAD, 0, "CPU=1", 5, 0 },
    { MOB_NODE, FAKE_NODE, "CPU=1", -1, 2 },    /* only here */
    { MOB_NODE, FAKE_NODE, "GPU=1", 5, 0 },     /* only here, and never: the head says so */
    { MOB_NODE, 3, "CPU=1", 5, 0 },
    { MOB_NODE_SOFT, FAKE_NODE, "CPU=1", 3, 2 },
    { MOB_NODE_SOFT, 3, "CPU=1", 5, 0 },
};

START_TEST(test_strategies)
{
    uint32_t p = driver_with("CPU=2", (struct fake_ask){ .count = 5, .resources = strategies[_i].ask,
        .strategy = strategies[_i].strategy, .node = strategies[_i].node });
    ck_assert_int_eq(fake_demand(&f), strategies[_i].demand);
    ck_assert_uint_eq(fake_count(&f, f.process[p].link, MOBULA__ENVELOPE__BODY_GRANT), strategies[_i].here);
    fake_fini(&f);
}
END_TEST

START_TEST(test_placed_granted_declined)
{
    uint32_t p = driver_with("CPU=2", (struct fake_ask){ .count = 8 });
    struct fake_grant g;

    ck_assert(fake_grant(&f, f.process[p].link, &g));
    ck_assert_int_eq(fake_demand(&f), 6);
    fake_placed(&f, p, 0, 3, 4);        /* the head's level went down by itself */
    ck_assert_int_eq(fake_demand(&f), -1);
    uint64_t link = fake_peer(&f, 3);
    pass_grant(link, 3, p, 1, 1);
    pass_grant(link, 3, p, 2, 1);
    ck_assert_int_eq(fake_demand(&f), -1);
    decline(link, 3, p, 2, 1);
    ck_assert_int_eq(fake_demand(&f), 4);
    decline(link, 3, p, 2, 2);          /* more than was placed: settled by the next Placed */
    ck_assert_int_eq(fake_demand(&f), -1);
    fake_placed(&f, p, 0, 3, 2);
    ck_assert_int_eq(fake_demand(&f), 4);
    fake_want(&f, p, (struct fake_ask){ .count = 0, .seen = 4 });
    ck_assert_int_eq(fake_demand(&f), 0);
    fake_fini(&f);
}
END_TEST

START_TEST(test_served_here_later)
{
    uint32_t p = driver_with("CPU=1", (struct fake_ask){ .count = 3 });
    struct fake_grant g;
    Mobula__Envelope *e;

    ck_assert(fake_grant(&f, f.process[p].link, &g));
    ck_assert_int_eq(fake_demand(&f), 2);
    fake_return(&f, p, g.lease);        /* free again: served here, the head hears it */
    ck_assert(fake_grant(&f, f.process[p].link, &g));
    ck_assert_int_eq(fake_demand(&f), 1);
    fake_placed(&f, p, 0, 3, 1);
    fake_return(&f, p, g.lease);        /* and the last one is withdrawn from the node it was placed at */
    ck_assert(fake_grant(&f, f.process[p].link, &g));
    fake_tick(&f);
    mob_raylet_link_up(f.raylet, f.dialed, MOB_LINK_PEER);
    e = fake_expect(&f, f.dialed, MOBULA__ENVELOPE__BODY_WITHDRAW);
    ck_assert_uint_eq(e->withdraw->count, 1);
    ck_assert_int_eq(fake_demand(&f), -1);
    fake_fini(&f);
}
END_TEST

START_TEST(test_placed_here)
{
    uint32_t p = driver_with("CPU=2", (struct fake_ask){ .count = 3, .strategy = MOB_SPREAD });
    struct fake_grant g;

    ck_assert(!fake_grant(&f, f.process[p].link, &g));
    ck_assert_int_eq(fake_demand(&f), 3);
    fake_placed(&f, p, 0, FAKE_NODE, 1);
    fake_placed(&f, p, 0, 3, 2);
    ck_assert_uint_eq(fake_count(&f, f.process[p].link, MOBULA__ENVELOPE__BODY_GRANT), 1);
    ck_assert_int_eq(fake_demand(&f), -1);
    fake_fini(&f);
}
END_TEST

/* A Grant that crossed the Withdraw for it is of a Place that was heard of: no later one is taken for settled by it. Once each such Grant
 * made all that was placed there from then on be asked for twice. */
START_TEST(test_a_grant_that_crossed_a_withdraw_settles_nothing)
{
    uint32_t p = driver_with("CPU=2", (struct fake_ask){ .count = 3, .resources = "GPU=1" });
    uint64_t link = fake_peer(&f, 3);

    ck_assert_int_eq(fake_demand(&f), 3);
    fake_placed(&f, p, 0, 3, 1);
    fake_want(&f, p, (struct fake_ask){ .count = 0, .resources = "GPU=1" });
    ck_assert_int_eq(fake_demand(&f), 0);
    pass_grant(link, 3, p, 1, 1);
    for (uint64_t i = 1; i <= 3; i++) {
        fake_want(&f, p, (struct fake_ask){ .count = 2, .seen = i, .resources = "GPU=1" });
        ck_assert_int_eq(fake_demand(&f), 2);
        fake_placed(&f, p, 0, 3, 1);
        ck_assert_int_eq(fake_demand(&f), -1);
        pass_grant(link, 3, p, 1 + i, 1 + i);
    }
    fake_fini(&f);
}
END_TEST

/* The head is another one: what the one before had placed at node 3 is granted, all the same, and returned. */
START_TEST(test_a_grant_of_an_old_head_settles_nothing)
{
    uint32_t p = driver_with("CPU=2", (struct fake_ask){ .count = 3, .resources = "GPU=1" });
    uint64_t link = fake_peer(&f, 3);

    fake_placed(&f, p, 0, 3, 1);
    fake_lose(&f, f.head);
    fake_pass(&f, 500);
    f.head = f.dialed;
    f.generation++;
    fake_join(&f);
    ck_assert_int_eq(fake_demand(&f), 3);
    pass_grant(link, 3, p, 1, f.places);
    ck_assert_int_eq(fake_demand(&f), 2);
    fake_placed(&f, p, 0, 3, 1);
    ck_assert_int_eq(fake_demand(&f), -1);
    fake_fini(&f);
}
END_TEST

START_TEST(test_as_lender)
{
    struct fake_grant g;
    Mobula__Envelope *e;

    fake_open(&f, "CPU=2");
    uint64_t link = fake_peer(&f, 3);
    fake_place(&f, fake_at(3, 9), (struct fake_ask){ .count = 7 });
    e = fake_take(&f, link, MOBULA__ENVELOPE__BODY_DECLINED);
    ck_assert_ptr_nonnull(e);           /* 2 in the making; what does not fit now may fit elsewhere */
    ck_assert_uint_eq(e->declined->count, 5);
    ck_assert_uint_eq(e->declined->place_seq, 1);
    fake_place(&f, fake_at(3, 9), (struct fake_ask){ .count = 1 });
    e = fake_expect(&f, link, MOBULA__ENVELOPE__BODY_DECLINED);
    ck_assert_uint_eq(e->declined->count, 1);
    fake_place(&f, fake_at(3, 8), (struct fake_ask){ .count = 1 });    /* another owner's */
    fake_all_up(&f);
    ck_assert(fake_grant(&f, link, &g));
    ck_assert_uint_eq(g.place_seq, 2);
    ck_assert(fake_grant(&f, link, &g));
    Mobula__Return back = MOBULA__RETURN__INIT;
    back.lease = g.lease;
    fake_forget_sent(&f);
    fake_say(&f, link, fake_at(3, 9), fake_at(FAKE_NODE, 0), MOBULA__ENVELOPE__BODY_RETURN_LEASE, &back);
    ck_assert(!fake_grant(&f, link, &g));       /* nothing was kept in a queue */
    fake_place(&f, fake_at(3, 9), (struct fake_ask){ .count = 1 });
    ck_assert(fake_grant(&f, link, &g));
    fake_place(&f, fake_at(3, 9), (struct fake_ask){ .shape = 1, .count = 2, .resources = "GPU=1" });
    e = fake_take(&f, link, MOBULA__ENVELOPE__BODY_DECLINED);
    ck_assert_uint_eq(e->declined->count, 2);
    fake_fini(&f);
}
END_TEST

/* One place of the head on the owner's own node makes one lease, however long its worker takes to start. */
START_TEST(test_placed_here_is_used_once)
{
    struct fake_grant g;

    fake_open(&f, "CPU=4");
    uint32_t p = fake_driver(&f);       /* its workers are not there yet */
    fake_want(&f, p, (struct fake_ask){ .count = 2, .strategy = MOB_SPREAD });
    ck_assert_int_eq(fake_demand(&f), 2);
    fake_placed(&f, p, 0, FAKE_NODE, 1);
    fake_all_up(&f);
    ck_assert(fake_grant(&f, f.process[p].link, &g));
    ck_assert(!fake_grant(&f, f.process[p].link, &g));
    ck_assert_int_eq(fake_demand(&f), -1);      /* the other one is still the head's to place */
    fake_fini(&f);
}
END_TEST

START_TEST(test_head_goes_and_comes_back)
{
    uint32_t p = driver_with("CPU=1", (struct fake_ask){ .count = 3 });
    struct fake_grant g;

    ck_assert(fake_grant(&f, f.process[p].link, &g));
    ck_assert_int_eq(fake_demand(&f), 2);
    fake_lose(&f, f.head);
    fake_return(&f, p, g.lease);        /* local work goes on */
    ck_assert(fake_grant(&f, f.process[p].link, &g));
    fake_want(&f, p, (struct fake_ask){ .count = 5, .seen = 2 });
    ck_assert_int_eq(fake_demand(&f), -1);
    fake_forget_sent(&f);
    fake_pass(&f, 500);
    ck_assert_uint_ne(f.head, f.dialed);
    f.head = f.dialed;
    fake_join(&f);
    ck_assert_ptr_nonnull(fake_take(&f, f.head, MOBULA__ENVELOPE__BODY_JOB_STARTED));
    ck_assert_int_eq(fake_demand(&f), 5);
    fake_lose(&f, f.head);
    fake_pass(&f, 61000);
    ck_assert_int_eq(f.over.code, MOB_ERR_UNREACHABLE);
    fake_fini(&f);
}
END_TEST

START_TEST(test_driver_only_node_lends_nothing)
{
    fake_init(&f, "CPU=8");
    f.config.driver_only = true;
    fake_start(&f);
    fake_join(&f);
    uint32_t p = fake_driver(&f);
    fake_want(&f, p, (struct fake_ask){ .count = 2 });
    ck_assert_int_eq(fake_demand(&f), 2);
    ck_assert_uint_eq(f.spawned, 0);
    fake_fini(&f);
}
END_TEST

/* That no node can serve it the head says once for each demand. Both Wants may be read before the next tick. */
START_TEST(test_a_want_that_begins_anew_is_a_new_demand)
{
    uint32_t p = driver_with("CPU=2", (struct fake_ask){ .count = 1, .strategy = MOB_NODE, .node = 9 });
    struct fake_ask again = { .count = 1, .strategy = MOB_NODE, .node = 9 };
    Mobula__Envelope *e;

    ck_assert_int_eq(fake_demand(&f), 1);
    fake_want(&f, p, (struct fake_ask){ .count = 0 });
    fake_want(&f, p, again);
    fake_tick(&f);
    e = fake_take(&f, f.head, MOBULA__ENVELOPE__BODY_DEMAND);
    ck_assert(e != NULL && e->demand->count == 0);
    ck_assert_int_eq(fake_demand(&f), 1);
    fake_fini(&f);
}
END_TEST

START_TEST(test_owner_dies_while_placed)
{
    uint32_t p = driver_with("CPU=1", (struct fake_ask){ .count = 3 });
    uint64_t link = fake_peer(&f, 3);

    ck_assert_int_eq(fake_demand(&f), 2);
    fake_placed(&f, p, 0, 3, 2);
    fake_exit(&f, p, 0);
    Mobula__Envelope *e = fake_expect(&f, link, MOBULA__ENVELOPE__BODY_WITHDRAW);
    ck_assert_uint_eq(e->withdraw->count, 2);
    ck_assert_ptr_nonnull(fake_take(&f, f.head, MOBULA__ENVELOPE__BODY_JOB_OVER));
    pass_grant(link, 3, p, 8, 1);          /* it crossed: its lender learns that nobody is there */
    e = fake_expect(&f, link, MOBULA__ENVELOPE__BODY_LEASE_OVER);
    ck_assert_uint_eq(e->lease_over->lease, 8);
    fake_placed(&f, p, 0, 3, 1);        /* so did this */
    ck_assert_int_eq(fake_demand(&f), 0);
    fake_fini(&f);
}
END_TEST

/* The link to node 3 breaks. We notice first; what the head places there before node 3 notices is forgotten there: its PeerHello says
 * up to which Place. Found by the simulator: we waited for it for ever. */
static const struct { uint64_t forgot; uint32_t demand; } forgotten[] = { { 0, 0 }, { 1, 6 }, { 2, 6 + 2 } };

START_TEST(test_what_a_peer_forgot_is_asked_again)
{
    uint32_t p = driver_with("CPU=2", (struct fake_ask){ .count = 8 }), again = 0;
    uint64_t link = fake_peer(&f, 3);
    Mobula__Envelope *e;

    ck_assert_int_eq(fake_demand(&f), 6);
    fake_lose(&f, link);
    fake_want(&f, p, (struct fake_ask){ .shape = 1, .count = 2, .strategy = MOB_SPREAD });
    ck_assert_int_eq(fake_demand(&f), 2);
    fake_placed(&f, p, 0, 3, 4);
    fake_placed(&f, p, 1, 3, 2);
    ck_assert_int_eq(fake_demand(&f), -1);
    f.forgot_seq = forgotten[_i].forgot;
    fake_peer(&f, 3);
    fake_tick(&f);
    while ((e = fake_take(&f, f.head, MOBULA__ENVELOPE__BODY_DEMAND)) != NULL)
        again += e->demand->count;
    ck_assert_uint_eq(again, forgotten[_i].demand);
    fake_fini(&f);
}
END_TEST

/* The first word of a new node: it has dialed us in vain, and forgot. Found by the simulator: nothing had broken here, and we waited. */
START_TEST(test_what_a_new_peer_forgot_is_asked_again)
{
    uint32_t p = driver_with("CPU=2", (struct fake_ask){ .count = 8 });

    ck_assert_int_eq(fake_demand(&f), 6);
    fake_node_up(&f, 3);
    fake_placed(&f, p, 0, 3, 2);
    fake_placed(&f, p, 0, 3, 2);
    ck_assert_int_eq(fake_demand(&f), -1);
    f.forgot_seq = 1;
    fake_peer(&f, 3);
    fake_tick(&f);
    ck_assert_int_eq(fake_demand(&f), 6);       /* of two Places that were remembered as one */
    fake_peer(&f, 3);
    fake_tick(&f);
    ck_assert_int_eq(fake_demand(&f), -1);      /* once */
    fake_fini(&f);
}
END_TEST

/* And the other way round. */
START_TEST(test_we_say_what_we_forgot)
{
    uint64_t link;
    Mobula__Envelope *e;

    fake_open(&f, "CPU=2");
    link = fake_peer(&f, 3);
    for (int i = 0; i < 3; i++)
        fake_place(&f, fake_at(3, 9), (struct fake_ask){ .count = 1 });
    fake_lose(&f, link);
    link = fake_peer(&f, 3);
    e = fake_take(&f, link, MOBULA__ENVELOPE__BODY_PEER_HELLO);
    ck_assert(e != NULL && !e->peer_hello->known);      /* before it heard who dialed */
    e = fake_take(&f, link, MOBULA__ENVELOPE__BODY_PEER_HELLO);
    ck_assert(e != NULL && e->peer_hello->known);
    ck_assert_uint_eq(e->peer_hello->forgot_seq, 3);
    fake_fini(&f);
}
END_TEST

/* The level of the Demand that was said, what of it is at node 3, and the grants from here. */
static void near_is(uint32_t p, int64_t level, uint32_t near, size_t grants)
{
    Mobula__Envelope *e;
    int64_t said = -1;
    uint32_t at = 0;

    fake_tick(&f);
    while ((e = fake_take(&f, f.head, MOBULA__ENVELOPE__BODY_DEMAND)) != NULL) {
        said = e->demand->count;
        at = e->demand->n_near > 0 ? e->demand->near[0]->count : 0;
        ck_assert(e->demand->n_near == 0 || (e->demand->n_near == 1 && e->demand->near[0]->node == 3));
    }
    ck_assert_int_eq(said, level);
    ck_assert_uint_eq(at, near);
    ck_assert_uint_eq(fake_count(&f, f.process[p].link, MOBULA__ENVELOPE__BODY_GRANT), grants);
}

/* Node 2 (ours) has 4 CPUs and 4 workers, node 3 is there. */
static uint32_t near_start(uint64_t *ret_link)
{
    uint32_t p;

    p = driver_with("CPU=4", (struct fake_ask){ .count = 0 });
    *ret_link = fake_peer(&f, 3);
    return p;
}

/* What is near another node is asked of the head, and served here when that says so, or when it can place none in time. */
START_TEST(test_near_elsewhere_is_asked_of_the_head)
{
    uint64_t link;
    uint32_t p = near_start(&link);

    fake_want(&f, p, (struct fake_ask){ .count = 4, .near = { { 3, 2 }, { FAKE_NODE, 1 } } });
    fake_all_up(&f);
    near_is(p, 2, 2, 2);
    fake_placed(&f, p, 0, FAKE_NODE, 1);        /* full there */
    fake_all_up(&f);
    near_is(p, -1, 0, 1);
    fake_pass(&f, 20);
    fake_all_up(&f);
    near_is(p, 0, 0, 1);
    fake_fini(&f);
}
END_TEST

/* What is placed there is left to it, and comes or is declined; then it is like any other. */
START_TEST(test_near_is_left_to_its_node)
{
    uint64_t link;
    uint32_t p = near_start(&link);

    fake_want(&f, p, (struct fake_ask){ .count = 2, .near = { { 3, 2 } } });
    near_is(p, 2, 2, 0);
    fake_placed(&f, p, 0, 3, 2);
    fake_pass(&f, 1000);
    near_is(p, -1, 0, 0);
    pass_grant(link, 3, p, 1, 1);
    near_is(p, -1, 0, 1);
    decline(link, 3, p, 1, 1);
    fake_all_up(&f);
    near_is(p, -1, 0, 1);
    fake_fini(&f);
}
END_TEST

/* A stream of new ones does not keep back for longer; a node that is gone, or a strategy, keeps nothing. */
START_TEST(test_near_is_kept_for_so_long)
{
    uint64_t link;
    uint32_t p = near_start(&link);

    for (uint32_t i = 1; i <= 3; i++) {
        fake_want(&f, p, (struct fake_ask){ .count = i, .near = { { 3, i } } });
        near_is(p, i, i, 0);
        fake_pass(&f, 6);
    }
    fake_pass(&f, 2);
    fake_all_up(&f);
    near_is(p, 0, 0, 3);
    fake_want(&f, p, (struct fake_ask){ .count = 1, .seen = 3, .near = { { 77, 1 } } });
    fake_all_up(&f);
    near_is(p, -1, 0, 1);
    fake_want(&f, p, (struct fake_ask){ .shape = 1, .count = 1, .strategy = MOB_SPREAD, .near = { { 3, 1 } } });
    near_is(p, 1, 0, 0);
    fake_fini(&f);
}
END_TEST

/* Its head is gone: nobody could say where it goes. */
START_TEST(test_near_without_a_head)
{
    uint64_t link;
    uint32_t p = near_start(&link);

    fake_want(&f, p, (struct fake_ask){ .count = 1, .near = { { 3, 1 } } });
    near_is(p, 1, 1, 0);
    fake_lose(&f, f.head);
    fake_tick(&f);
    fake_all_up(&f);
    ck_assert_uint_eq(fake_count(&f, f.process[p].link, MOBULA__ENVELOPE__BODY_GRANT), 1);
    fake_want(&f, p, (struct fake_ask){ .count = 1, .seen = 1, .near = { { 3, 1 } } });
    fake_all_up(&f);
    ck_assert_uint_eq(fake_count(&f, f.process[p].link, MOBULA__ENVELOPE__BODY_GRANT), 1);
    fake_fini(&f);
}
END_TEST

UNIT_CASE("raylet_demand", tcase)
{
    UNIT_TESTS(tcase, test_what_a_new_peer_forgot_is_asked_again, test_we_say_what_we_forgot,
               test_near_elsewhere_is_asked_of_the_head, test_near_is_left_to_its_node, test_near_is_kept_for_so_long,
               test_near_without_a_head, test_placed_granted_declined, test_placed_here_is_used_once, test_served_here_later,
               test_placed_here, test_a_grant_that_crossed_a_withdraw_settles_nothing,
               test_a_grant_of_an_old_head_settles_nothing, test_as_lender, test_head_goes_and_comes_back,
               test_driver_only_node_lends_nothing, test_a_want_that_begins_anew_is_a_new_demand, test_owner_dies_while_placed);
    tcase_add_loop_test(tcase, test_strategies, 0, (int)MOB_COUNT(strategies));
    tcase_add_loop_test(tcase, test_what_a_peer_forgot_is_asked_again, 0, (int)MOB_COUNT(forgotten));
}
