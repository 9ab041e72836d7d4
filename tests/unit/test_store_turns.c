/* SPDX-License-Identifier: Apache-2.0 */
/* test_store_turns.c -- pulls that wait: which comes first, which waits for room, and how each ends, wanted or not. */
#include "store_pull.h"

/* -- turns --------------------------------------------------------------------------------------------------------------------- */

START_TEST(test_small_ones_do_not_wait_for_large_ones)
{
    for (uint64_t i = 1; i <= 3; i++)
        send_fetch(f, ME, far(i), 7 * MIB, ELSEWHERE);
    ck_assert_uint_eq(f->flights, 3);           /* of large ones, no more */
    ck_assert_uint_eq(flight(2)->ask.id.task, 2);
    send_fetch(f, ME, far(4), 1000, ELSEWHERE);
    send_fetch(f, ME, far(5), 1000, ELSEWHERE);
    ck_assert_uint_eq(f->flights, 4);
    ck_assert_uint_eq(flight(3)->ask.id.task, 4);
    fly(f, 3, (struct mob_range_result){ .got = 1000 });
    ck_assert_uint_eq(flight(3)->ask.id.task, 5);
    land(f);
    ck_assert_uint_eq(flight(3)->ask.id.task, 2);
    land(f);                                    /* each in turn */
    ck_assert_uint_eq(flight(3)->ask.id.task, 3);
    land_all();
    ck_assert_uint_eq(f->answers, 5);
}
END_TEST

START_TEST(test_gets_come_first_and_a_later_one_raises)
{
    uint64_t task;

    for (task = 1; task <= 8; task++)
        send_fetch_with(f, ME, far(task), 1000, ELSEWHERE, (struct fetch_words){ .priority = ARGUMENT });
    ck_assert_uint_eq(f->flights, 4);
    send_fetch_with(f, ME, far(9), 1000, ELSEWHERE, (struct fetch_words){ .priority = MOBULA__FETCH__PRIORITY__WAIT });
    send_fetch_with(f, ME, far(10), 1000, ELSEWHERE, (struct fetch_words){ .priority = GET });
    send_fetch_with(f, OTHER, far(8), 1000, ELSEWHERE, (struct fetch_words){ .priority = GET });
    static const uint64_t order[] = { 10, 8, 9, 5, 6, 7 };
    for (size_t i = 0; i < MOB_COUNT(order); i++) {
        land(f);
        ck_assert_uint_eq(flight(3)->ask.id.task, order[i]);
    }
    land_all();
    ck_assert_uint_eq(f->answers, 11);
}
END_TEST

/* -- room ---------------------------------------------------------------------------------------------------------------------- */

START_TEST(test_what_does_not_fit_now_waits)
{
    struct mob_object_id mine = fill();

    send_fetch_with(f, ME, far(1), 30 * MIB, ELSEWHERE, (struct fetch_words){ .priority = ARGUMENT });
    send_fetch(f, ME, far(2), 30 * MIB, ELSEWHERE);
    ck_assert_uint_eq(f->flights + f->answers, 0);
    ck_assert_uint_eq(mob_store_usage(f->store).waiting, 2);
    ck_assert_int_lt(mob_store_tick(f->store, 1), INT64_MAX);
    send_fetch(f, ME, far(3), MIB, ELSEWHERE);          /* a small one passes */
    ck_assert_uint_eq(f->flights, 1);
    land(f);
    send_fetch(f, ME, far(4), STORE + 1, ELSEWHERE);    /* never */
    ck_assert_uint_eq(f->answers, 2);
    ck_assert_int_eq(f->last.err.code, MOB_ERR_NO_SPACE);
    send_free(f, ME, mine);
    ck_assert_uint_eq(mob_store_usage(f->store).waiting, 0);
    ck_assert_uint_eq(flight(0)->ask.id.task, 2);       /* the get */
    land_all();
    ck_assert_uint_eq(f->answers, 4);
}
END_TEST

/* What fills the store is pinned for ever: first the pull whose turn is last is told, soon after it the next. */
START_TEST(test_no_pull_waits_for_ever)
{
    struct mob_store_client *c = fixture_client(f, ME);
    int64_t now = 1;

    make(f, c, ME, object_of(HERE, ME, 1), 40 * MIB, 0);
    f->answers = 0;
    send_fetch(f, ME, far(1), 30 * MIB, ELSEWHERE);
    send_fetch_with(f, ME, far(2), 30 * MIB, ELSEWHERE, (struct fetch_words){ .priority = ARGUMENT });
    for (; f->answers == 0; now += INT64_C(1000000000)) {
        ck_assert_int_lt(now, INT64_C(70000000000));
        mob_store_tick(f->store, now);
    }
    ck_assert_int_gt(now, INT64_C(60000000000));
    ck_assert_int_eq(f->last.err.code, MOB_ERR_NO_SPACE);
    ck_assert_uint_eq(f->last.id.task, 2);
    for (; f->answers == 1; now += INT64_C(1000000000))
        mob_store_tick(f->store, now);
    ck_assert_int_lt(now, INT64_C(70000000000));
    ck_assert_uint_eq(f->last.id.task, 1);
    ck_assert_uint_eq(mob_store_usage(f->store).waiting, 0);
    mob_store_client_close(c);
}
END_TEST

START_TEST(test_small_ones_do_not_starve_a_large_one)
{
    struct mob_object_id mine = fill();
    uint64_t task = 10;

    send_fetch(f, ME, far(1), 30 * MIB, ELSEWHERE);
    while (mob_store_usage(f->store).waiting == 1) {    /* copies, which make room for each other */
        ck_assert_uint_lt(task, 60);
        send_fetch(f, ME, far(++task), MIB, ELSEWHERE);
        if (f->flights > 0)
            land(f);
    }
    ck_assert_uint_eq(task, 10 + 31);
    send_free(f, ME, mine);
    ck_assert_uint_eq(flight(0)->ask.id.task, 1);
    land_all();
}
END_TEST

/* Whoever does not want it any more ends it, whatever its state. */
START_TEST(test_unwanted_pulls_end)
{
    fill();
    f->reach[4] = MOB_REACH_NOT_YET;
    send_fetch(f, ME, far(1), 30 * MIB, ELSEWHERE);     /* waits for room */
    send_fetch(f, ME, far(2), MIB, 4);                  /* for a node */
    send_fetch(f, ME, far(3), 7 * MIB, ELSEWHERE);      /* for flights */
    switch (_i) {
    case 0:
        mob_store_owner_gone(f->store, (struct mob_address){ ELSEWHERE, 3 });
        ck_assert_int_eq(f->last.err.code, MOB_ERR_OWNER_DIED);
        break;
    case 1:
        for (uint64_t i = 1; i <= 3; i++)
            send_free(f, 0, far(i));
        ck_assert_int_eq(f->last.err.code, MOB_ERR_OBJECT_LOST);
        break;
    case 2:
        mob_store_node_died(f->store, ELSEWHERE);       /* source and owner */
        ck_assert_int_eq(f->last.err.code, MOB_ERR_OWNER_DIED);
        break;
    default:
        mob_store_client_gone(f->store, ME);
    }
    ck_assert_uint_eq(f->answers, _i < 3 ? 3 : 0);
    ck_assert_uint_eq(mob_store_usage(f->store).pulls, 1);
    land_all();
    ck_assert_uint_eq(mob_store_usage(f->store).pulls, 0);
    ck_assert_uint_eq(mob_store_usage(f->store).used, _i < 3 ? 40 * MIB : 0);
    ck_assert_uint_eq(f->incomings, 0);
}
END_TEST

START_TEST(test_a_copy_of_another_size_is_old)
{
    struct mob_object_id both = far(2);

    send_fetch(f, ME, far(1), 1000, ELSEWHERE);
    land(f);
    send_fetch(f, ME, far(1), 2000, ELSEWHERE);
    ck_assert_uint_eq(f->answers, 1);
    land(f);
    ck_assert_uint_eq(f->last.size, 2000);
    ck_assert_uint_eq(mob_store_usage(f->store).objects, 1);
    send_fetch(f, ME, far(1), 3000, ELSEWHERE);         /* and while one is on its way */
    send_fetch(f, OTHER, far(1), 4000, ELSEWHERE);
    ck_assert_uint_eq(f->flights, 1);
    land(f);
    ck_assert_uint_eq(f->last.size, 3000);
    ck_assert_uint_eq(flight(0)->ask.size, 4000);
    land(f);
    ck_assert_uint_eq(f->last.size, 4000);
    ck_assert_uint_eq(mob_store_usage(f->store).objects, 1);

    /* Two nodes made it, each thinks its own is the one: the owner names the other. */
    mob_store_client_close(fixture_client(f, ME));      /* known to the store; it pins nothing */
    make(f, NULL, ME, both, 500, 0);
    send_fetch(f, ME, both, 500, ELSEWHERE);
    ck_assert_uint_eq(f->flights, 0);                   /* the same value, as far as can be seen */
    ck_assert_uint_eq(f->last.size, 500);
    send_fetch(f, ME, both, 600, ELSEWHERE);
    land(f);
    ck_assert_uint_eq(f->last.size, 600);
    send_fetch(f, ME, both, 600, ELSEWHERE);
    ck_assert_uint_eq(f->last.size, 600);
    ck_assert_uint_eq(mob_store_usage(f->store).objects, 2);
}
END_TEST

/* Whoever says a wrong size (a copy here, or one on its way, is of the right one) does harm to nobody but himself. */
START_TEST(test_a_wrong_size_ends_nothing)
{
    struct mob_error nonsense = { .code = MOB_ERR_PROTOCOL, .text = "it is of another size" };
    const struct mob_range_result refused = { .err = &nonsense, .final = true };

    send_fetch(f, ME, far(1), 1000, ELSEWHERE);
    send_fetch(f, OTHER, far(1), 7, ELSEWHERE);
    send_fetch(f, OTHER, far(1), 7, ELSEWHERE);
    send_fetch(f, ME, far(1), 1000, ELSEWHERE);
    ck_assert_uint_eq(f->answers, 0);
    land(f);
    ck_assert_uint_eq(f->answers, 2);
    ck_assert_uint_eq(f->last.size, 1000);
    fly(f, 0, refused);
    ck_assert_uint_eq(f->answers, 4);
    ck_assert_int_eq(f->last.err.code, MOB_ERR_PROTOCOL);
    send_fetch(f, OTHER, far(1), 7, ELSEWHERE);
    fly(f, 0, refused);
    send_fetch(f, ME, far(1), 1000, ELSEWHERE);         /* still here */
    ck_assert_uint_eq(f->flights, 0);
    ck_assert_uint_eq(f->last.size, 1000);

    send_fetch(f, ME, far(2), 1000, ELSEWHERE);         /* and one that is made here meanwhile */
    send_fetch(f, OTHER, far(2), 3000, ELSEWHERE);
    send_fetch(f, OTHER, far(2), 2000, ELSEWHERE);
    mob_store_client_close(fixture_client(f, ME));
    f->answers = 0;
    make(f, NULL, ME, far(2), 3000, 0);
    ck_assert_uint_eq(f->answers, 3);
    ck_assert_uint_eq(f->last.size, 3000);
    land(f);                                            /* of the one that is over */
    fly(f, 0, refused);
    ck_assert_uint_eq(f->answers, 4);
    ck_assert_uint_eq(mob_store_usage(f->store).objects, 2);
}
END_TEST

UNIT_CASE("store_turns", tcase)
{
    tcase_add_checked_fixture(tcase, open_store, close_store);
    UNIT_TESTS(tcase, test_small_ones_do_not_wait_for_large_ones, test_gets_come_first_and_a_later_one_raises,
               test_what_does_not_fit_now_waits, test_no_pull_waits_for_ever, test_small_ones_do_not_starve_a_large_one,
               test_a_copy_of_another_size_is_old, test_a_wrong_size_ends_nothing);
    tcase_add_loop_test(tcase, test_unwanted_pulls_end, 0, 4);
}
