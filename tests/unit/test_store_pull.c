/* SPDX-License-Identifier: Apache-2.0 */
/* test_store_pull.c -- bringing objects from other nodes: who is asked for what, what failures do, who is referred to whom. */
#include "store_pull.h"

/* -- ranges ---------------------------------------------------------------------------------------------------------------- */

START_TEST(test_a_large_object_comes_in_ranges)
{
    uint64_t size = 10 * MIB + 7, got = 0;

    send_fetch(f, ME, far(1), size, ELSEWHERE);
    ck_range(0, ELSEWHERE, 0, MIB);             /* until it has a place in line */
    ck_assert_uint_eq(f->flights, 1);
    ck_assert(flight(0)->ask.position == 0 && flight(0)->ask.root == ELSEWHERE && !flight(0)->referred);
    fly(f, 0, (struct mob_range_result){ .got = MIB, .position = 4 });
    ck_range(0, ELSEWHERE, MIB, 4 * MIB);
    ck_range(1, ELSEWHERE, 5 * MIB, 4 * MIB);
    ck_assert_uint_eq(f->flights, 2);
    ck_assert_uint_eq(flight(1)->ask.position, 4);
    fly(f, 1, (struct mob_range_result){ .got = 4 * MIB });     /* the later one is faster */
    ck_range(1, ELSEWHERE, 9 * MIB, MIB + 7);
    for (got = 0; f->flights > 0;) {
        got += flight(0)->ask.length;
        ck_assert_uint_eq(f->answers, 0);
        land(f);
    }
    ck_assert_uint_eq(got, 5 * MIB + 7);
    ck_assert_uint_eq(f->answers, 1);
    ck_assert_uint_eq(f->last.size, size);
    ck_assert_uint_eq(mob_store_usage(f->store).pulls, 0);
}
END_TEST

START_TEST(test_what_has_come_stays_when_its_node_dies)
{
    send_fetch_with(f, ME, object_of(20, 3, 1), 7 * MIB, ELSEWHERE, (struct fetch_words){ .copies = { 4, HERE, 5 }, .copy_count = 3 });
    ck_range(0, ELSEWHERE, 0, 4 * MIB);
    ck_range(1, ELSEWHERE, 4 * MIB, 3 * MIB);
    fly(f, 1, (struct mob_range_result){ .got = 3 * MIB });
    mob_store_node_died(f->store, ELSEWHERE);
    ck_assert_uint_eq(f->answers, 0);
    ck_assert_uint_eq(f->flights, 1);           /* its bytes are still bulk's: not asked for twice at once */
    struct mob_error err;
    mob_error_set(&err, MOB_ERR_NODE_DIED, "gone");
    fly(f, 0, (struct mob_range_result){ .got = 2 * MIB, .err = &err });
    ck_range(0, 4, 2 * MIB, 2 * MIB);
    ck_assert_uint_eq(f->flights, 1);
    land(f);
    ck_assert_int_eq(f->last.err.code, MOB_OK);
    ck_assert_uint_eq(f->answers, 1);
}
END_TEST

START_TEST(test_an_altered_chunk_is_asked_for_again)
{
    send_fetch(f, ME, far(1), 1000, ELSEWHERE);
    crash(f, MOB_ERR_PROTOCOL, "altered", false);
    ck_range(0, ELSEWHERE, 0, 1000);
    land(f);
    ck_assert_int_eq(f->last.err.code, MOB_OK);
    send_fetch_with(f, ME, far(2), 1000, ELSEWHERE, (struct fetch_words){ .copies = { 4 }, .copy_count = 1 });
    crash(f, MOB_ERR_PROTOCOL, "altered", false);
    ck_range(0, 4, 0, 1000);                    /* another node first */
    crash(f, MOB_ERR_OBJECT_LOST, "not here", true);
    ck_range(0, ELSEWHERE, 0, 1000);
    crash(f, MOB_ERR_PROTOCOL, "altered again", false);
    ck_assert_uint_eq(f->answers, 2);
    ck_assert_int_eq(f->last.err.code, MOB_ERR_PROTOCOL);
    ck_assert_str_eq(f->last.err.text, "o-2.3-2.0 cannot be brought here: node 2: altered again; node 4: not here");
    ck_assert_uint_eq(mob_store_usage(f->store).used, 1024);
}
END_TEST

START_TEST(test_a_liar_is_not_asked_again)
{
    send_fetch_with(f, ME, far(1), 7 * MIB, 9, (struct fetch_words){ .copies = { 4 }, .copy_count = 1 });
    crash(f, MOB_ERR_PROTOCOL, "offered 21 bytes", true);
    ck_range(1, 4, 0, 4 * MIB);
    crash(f, MOB_ERR_PROTOCOL, "offered 21 bytes", true);       /* its other flight: no second failure of anybody */
    ck_range(1, 4, 4 * MIB, 3 * MIB);
    land_all();
    ck_assert_int_eq(f->last.err.code, MOB_OK);
}
END_TEST

START_TEST(test_one_who_asks_later_knows_more_nodes)
{
    send_fetch(f, ME, far(1), 1000, 9);
    send_fetch(f, OTHER, far(1), 1000, 4);
    ck_assert_uint_eq(f->flights, 1);
    crash(f, MOB_ERR_OBJECT_LOST, "not here", true);
    ck_range(0, 4, 0, 1000);
    land(f);
    ck_assert_uint_eq(f->answers, 2);
}
END_TEST

/* -- referred ---------------------------------------------------------------------------------------------------------------- */

START_TEST(test_referred_and_back)
{
    send_fetch(f, ME, far(1), 9 * MIB, ELSEWHERE);
    fly(f, 0, (struct mob_range_result){ .refer = 7, .position = 3 });
    ck_range(0, 7, 0, 4 * MIB);
    ck_assert(flight(0)->referred && flight(0)->ask.root == ELSEWHERE && flight(0)->ask.position == 3);
    land(f);
    crash(f, MOB_ERR_TIMEOUT, "not yet", false);
    ck_range(1, ELSEWHERE, 4 * MIB, 4 * MIB);
    ck_assert(flight(1)->ask.failed == 7 && flight(1)->ask.position == 3 && !flight(1)->referred);
    fly(f, 1, (struct mob_range_result){ .refer = 7, .position = 3 });          /* it insists */
    ck_assert(flight(1)->node == ELSEWHERE && flight(1)->ask.direct);
    land_all();
    ck_assert_int_eq(f->last.err.code, MOB_OK);
}
END_TEST

/* Nodes that refer to each other do not keep us going round. */
START_TEST(test_referred_on)
{
    send_fetch_with(f, ME, far(1), 9 * MIB, ELSEWHERE, (struct fetch_words){ .copies = { 7 }, .copy_count = 1 });
    fly(f, 0, (struct mob_range_result){ .refer = 7, .position = 3 });
    ck_assert(flight(0)->node == 7 && flight(0)->referred && flight(0)->ask.root == ELSEWHERE);
    fly(f, 0, (struct mob_range_result){ .refer = ELSEWHERE, .position = 9 });
    ck_assert(flight(1)->node == ELSEWHERE && flight(1)->ask.position == 3 && flight(1)->ask.failed == 7);
    fly(f, 0, (struct mob_range_result){ .refer = 8 });         /* the other flight: no news of whom we ask now */
    fly(f, 0, (struct mob_range_result){ .refer = 7, .position = 3 });
    ck_assert(flight(1)->node == ELSEWHERE && flight(1)->ask.direct);
    land_all();
    ck_assert_int_eq(f->last.err.code, MOB_OK);
}
END_TEST

START_TEST(test_not_referred_for_ever)
{
    unsigned referred = 0;

    send_fetch(f, ME, far(1), 9 * MIB, ELSEWHERE);
    while (!flight(0)->ask.direct) {
        ck_assert_uint_lt(referred, 10);
        fly(f, 0, (struct mob_range_result){ .refer = 10 + ++referred, .position = 3 });
        while (f->flights > 0 && flight(0)->referred)
            crash(f, MOB_ERR_UNREACHABLE, "cut", false);
    }
    ck_assert_uint_eq(flight(0)->node, ELSEWHERE);
    land_all();
    ck_assert_int_eq(f->last.err.code, MOB_OK);
}
END_TEST

START_TEST(test_a_node_that_is_not_known_yet)
{
    f->reach[4] = f->reach[5] = MOB_REACH_NOT_YET;
    send_fetch(f, ME, far(1), 1000, 4);
    send_fetch(f, ME, far(2), 1000, 5);
    ck_assert_uint_eq(f->flights, 0);
    ck_assert(mob_store_waits(f->store));
    ck_assert_int_lt(mob_store_tick(f->store, 1), INT64_MAX);
    f->reach[4] = MOB_REACH_UP;
    mob_store_tick(f->store, 1000000000);
    ck_range(0, 4, 0, 1000);
    land(f);
    ck_assert_int_lt(mob_store_tick(f->store, 4900000000), INT64_MAX);
    ck_assert_uint_eq(f->answers, 1);
    ck_assert_int_eq(mob_store_tick(f->store, 5100000000), INT64_MAX);
    ck_assert_uint_eq(f->answers, 2);
    ck_assert_int_eq(f->last.err.code, MOB_ERR_NODE_DIED);
    f->reach[5] = MOB_REACH_DEAD;
    send_fetch(f, ME, far(2), 1000, 5);
    ck_assert_uint_eq(f->answers, 3);
    ck_assert_int_eq(f->last.err.code, MOB_ERR_NODE_DIED);
    ck_assert_str_eq(f->last.err.node, "10.0.0.5");
    ck_assert_ptr_nonnull(strstr(f->last.err.text, "node 5: it has died: silence"));
}
END_TEST

/* Who asks again at once hears "refused" twice, and nothing of the death. */
START_TEST(test_a_node_whose_connection_broke_may_have_died)
{
    send_fetch(f, ME, far(1), 1000, 4);
    send_fetch(f, ME, far(2), 1000, 5);
    crash(f, MOB_ERR_UNREACHABLE, "cut", false);
    crash(f, MOB_ERR_UNREACHABLE, "cut", false);
    ck_assert_uint_eq(f->flights, 0);
    mob_store_tick(f->store, 1);
    f->reach[5] = MOB_REACH_DEAD;
    mob_store_tick(f->store, 100000000);
    ck_assert_uint_eq(f->answers, 1);
    ck_assert_int_eq(f->last.err.code, MOB_ERR_NODE_DIED);
    ck_assert_uint_eq(f->flights, 0);
    mob_store_tick(f->store, 300000001);
    ck_range(0, 4, 0, 1000);
    crash(f, MOB_ERR_UNREACHABLE, "cut", false);
    ck_assert_uint_eq(f->answers, 2);
    ck_assert_int_eq(f->last.err.code, MOB_ERR_UNREACHABLE);
}
END_TEST

/* -- anything ---------------------------------------------------------------------------------------------------------------------- */

/* Whatever happens in whatever order: each Fetch is answered once, no flight is lost, and in the end no byte is held. */
START_TEST(test_anything)
{
    uint64_t seed = (uint64_t)_i * 7919;
    unsigned asked = 0;

    for (unsigned step = 0; step < 2000; step++) {
        uint64_t task = 1 + unit_random(&seed) % 12, size = task % 3 == 0 ? 1000 : task * 2 * MIB;
        uint32_t node = 2 + (uint32_t)(unit_random(&seed) % 6);
        unsigned i = f->flights > 0 ? (unsigned)(unit_random(&seed) % f->flights) : 0;
        struct mob_range_result result = { .got = 0 };
        struct mob_error err;

        mob_error_set(&err, MOB_ERR_UNREACHABLE, "cut");
        switch (unit_random(&seed) % 12) {
        case 0: case 1: case 2:
            asked += f->flights < FLIGHTS_MAX / 2;
            if (f->flights < FLIGHTS_MAX / 2)
                send_fetch_with(f, ME, far(task), size, node, (struct fetch_words){ .copies = { 2 + task % 6 }, .copy_count = 1,
                                .priority = (Mobula__Fetch__Priority)(unit_random(&seed) % 3) });
            break;
        case 3:
            send_free(f, 0, far(task));
            break;
        case 4:
            f->reach[node] = (enum mob_reach)(unit_random(&seed) % 3);
            mob_store_tick(f->store, (int64_t)step * 50000000);
            break;
        case 5:
            if (f->flights > 0 && flight(i)->ask.size >= 8 * MIB && !flight(i)->referred)
                result.refer = node, result.position = step + 1, fly(f, i, result);
            break;
        case 6:
            if (f->flights > 0)
                result.err = &err, result.final = unit_random(&seed) % 2, fly(f, i, result);
            break;
        case 7:
            if (f->flights > 0 && flight(i)->ask.length > MIB)
                result.got = MIB, result.err = &err, fly(f, i, result);
            break;
        default:
            if (f->flights > 0)
                result.got = flight(i)->ask.length, fly(f, i, result);
        }
        mob_store_check(f->store);
    }
    for (unsigned i = 0; i < 32; i++)
        f->reach[i] = MOB_REACH_UP;
    for (unsigned i = 0; mob_store_usage(f->store).pulls > 0; i++) {
        ck_assert_uint_lt(i, 1000);
        land_all();
        mob_store_tick(f->store, (int64_t)(3000 + i) * 50000000);
    }
    ck_assert_uint_eq(f->answers, asked);
    ck_assert_uint_eq(f->incomings, 0);
    for (uint64_t task = 1; task <= 12; task++)
        send_free(f, 0, far(task));
    ck_assert_uint_eq(mob_store_usage(f->store).used, 0);
}
END_TEST

UNIT_CASE("store_pull", tcase)
{
    tcase_add_checked_fixture(tcase, open_store, close_store);
    UNIT_TESTS(tcase, test_a_large_object_comes_in_ranges, test_what_has_come_stays_when_its_node_dies,
               test_an_altered_chunk_is_asked_for_again, test_a_liar_is_not_asked_again, test_one_who_asks_later_knows_more_nodes,
               test_referred_and_back, test_referred_on, test_not_referred_for_ever, test_a_node_that_is_not_known_yet,
               test_a_node_whose_connection_broke_may_have_died);
    tcase_add_loop_test(tcase, test_anything, 1, 51);
}
