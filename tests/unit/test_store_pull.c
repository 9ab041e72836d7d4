/* SPDX-License-Identifier: Apache-2.0 */
/* test_store_pull.c -- bringing objects from other nodes, and giving them on: who is asked for what, what failures do, who waits for room,
 * who is referred to whom, what owners hear. */
#include "store_fixture.h"

#define MIB (UINT64_C(1) << 20)
#define STORE (64 * MIB)
#define ME 5u
#define OTHER 6u
#define ARGUMENT MOBULA__FETCH__PRIORITY__ARGUMENT
#define GET MOBULA__FETCH__PRIORITY__GET

static struct mob_object_id far(uint64_t task)
{
    return object_of(ELSEWHERE, 3, task);
}

static const struct mob_range *flight(const struct fixture *f, unsigned i)
{
    ck_assert_uint_lt(i, f->flights);
    return &f->flight[i]->range;
}

static void ck_range(const struct fixture *f, unsigned i, uint32_t node, uint64_t offset, uint64_t length)
{
    const struct mob_range *range = flight(f, i);

    ck_assert_msg(range->node == node && range->ask.offset == offset && range->ask.length == length, "node %u, %llu MiB at %llu",
                  range->node, (unsigned long long)(range->ask.length / MIB), (unsigned long long)(range->ask.offset / MIB));
}

static void land_all(struct fixture *f)
{
    while (f->flights > 0)
        land(f);
}

/* -- ranges ---------------------------------------------------------------------------------------------------------------- */

START_TEST(test_a_large_object_comes_in_ranges)
{
    struct fixture *f = fixture_create_in(STORE, true);
    uint64_t size = 10 * MIB + 7, got = 0;

    send_fetch(f, ME, far(1), size, ELSEWHERE);
    ck_range(f, 0, ELSEWHERE, 0, MIB);          /* until it has a place in line */
    ck_assert_uint_eq(f->flights, 1);
    ck_assert(flight(f, 0)->ask.position == 0 && flight(f, 0)->ask.root == ELSEWHERE && !flight(f, 0)->referred);
    fly(f, 0, (struct mob_range_result){ .got = MIB, .position = 4 });
    ck_range(f, 0, ELSEWHERE, MIB, 4 * MIB);
    ck_range(f, 1, ELSEWHERE, 5 * MIB, 4 * MIB);
    ck_assert_uint_eq(f->flights, 2);
    ck_assert_uint_eq(flight(f, 1)->ask.position, 4);
    fly(f, 1, (struct mob_range_result){ .got = 4 * MIB });     /* the later one is faster */
    ck_range(f, 1, ELSEWHERE, 9 * MIB, MIB + 7);
    for (got = 0; f->flights > 0;) {
        got += flight(f, 0)->ask.length;
        ck_assert_uint_eq(f->answers, 0);
        land(f);
    }
    ck_assert_uint_eq(got, 5 * MIB + 7);
    ck_assert_uint_eq(f->answers, 1);
    ck_assert_uint_eq(f->last.size, size);
    ck_assert_uint_eq(mob_store_usage(f->store).pulls, 0);
    fixture_destroy(f);
}
END_TEST

START_TEST(test_what_has_come_stays_when_its_node_dies)
{
    struct fixture *f = fixture_create_in(STORE, true);

    send_fetch_with(f, ME, object_of(20, 3, 1), 7 * MIB, ELSEWHERE, (struct fetch_words){ .copies = { 4, HERE, 5 }, .copy_count = 3 });
    ck_range(f, 0, ELSEWHERE, 0, 4 * MIB);
    ck_range(f, 1, ELSEWHERE, 4 * MIB, 3 * MIB);
    fly(f, 1, (struct mob_range_result){ .got = 3 * MIB });
    mob_store_node_died(f->store, ELSEWHERE);
    ck_assert_uint_eq(f->answers, 0);
    ck_assert_uint_eq(f->flights, 1);           /* its bytes are still bulk's: not asked for twice at once */
    struct mob_error err;
    mob_error_set(&err, MOB_ERR_NODE_DIED, "gone");
    fly(f, 0, (struct mob_range_result){ .got = 2 * MIB, .err = &err });
    ck_range(f, 0, 4, 2 * MIB, 2 * MIB);
    ck_assert_uint_eq(f->flights, 1);
    land(f);
    ck_assert_int_eq(f->last.err.code, MOB_OK);
    ck_assert_uint_eq(f->answers, 1);
    fixture_destroy(f);
}
END_TEST

START_TEST(test_an_altered_chunk_is_asked_for_again)
{
    struct fixture *f = fixture_create_in(STORE, true);

    send_fetch(f, ME, far(1), 1000, ELSEWHERE);
    crash(f, MOB_ERR_PROTOCOL, "altered", false);
    ck_range(f, 0, ELSEWHERE, 0, 1000);
    land(f);
    ck_assert_int_eq(f->last.err.code, MOB_OK);
    send_fetch_with(f, ME, far(2), 1000, ELSEWHERE, (struct fetch_words){ .copies = { 4 }, .copy_count = 1 });
    crash(f, MOB_ERR_PROTOCOL, "altered", false);
    ck_range(f, 0, 4, 0, 1000);                 /* another node first */
    crash(f, MOB_ERR_OBJECT_LOST, "not here", true);
    ck_range(f, 0, ELSEWHERE, 0, 1000);
    crash(f, MOB_ERR_PROTOCOL, "altered again", false);
    ck_assert_uint_eq(f->answers, 2);
    ck_assert_int_eq(f->last.err.code, MOB_ERR_PROTOCOL);
    ck_assert_str_eq(f->last.err.text, "o-2.3-2.0 cannot be brought here: node 2: altered again; node 4: not here");
    ck_assert_uint_eq(mob_store_usage(f->store).used, 1024);
    fixture_destroy(f);
}
END_TEST

START_TEST(test_a_liar_is_not_asked_again)
{
    struct fixture *f = fixture_create_in(STORE, true);

    send_fetch_with(f, ME, far(1), 7 * MIB, 9, (struct fetch_words){ .copies = { 4 }, .copy_count = 1 });
    crash(f, MOB_ERR_PROTOCOL, "offered 21 bytes", true);
    ck_range(f, 1, 4, 0, 4 * MIB);
    crash(f, MOB_ERR_PROTOCOL, "offered 21 bytes", true);       /* its other flight: no second failure of anybody */
    ck_range(f, 1, 4, 4 * MIB, 3 * MIB);
    land_all(f);
    ck_assert_int_eq(f->last.err.code, MOB_OK);
    fixture_destroy(f);
}
END_TEST

START_TEST(test_one_who_asks_later_knows_more_nodes)
{
    struct fixture *f = fixture_create_in(STORE, true);

    send_fetch(f, ME, far(1), 1000, 9);
    send_fetch(f, OTHER, far(1), 1000, 4);
    ck_assert_uint_eq(f->flights, 1);
    crash(f, MOB_ERR_OBJECT_LOST, "not here", true);
    ck_range(f, 0, 4, 0, 1000);
    land(f);
    ck_assert_uint_eq(f->answers, 2);
    fixture_destroy(f);
}
END_TEST

/* -- referred ---------------------------------------------------------------------------------------------------------------- */

START_TEST(test_referred_and_back)
{
    struct fixture *f = fixture_create_in(STORE, true);

    send_fetch(f, ME, far(1), 9 * MIB, ELSEWHERE);
    fly(f, 0, (struct mob_range_result){ .refer = 7, .position = 3 });
    ck_range(f, 0, 7, 0, 4 * MIB);
    ck_assert(flight(f, 0)->referred && flight(f, 0)->ask.root == ELSEWHERE && flight(f, 0)->ask.position == 3);
    land(f);
    crash(f, MOB_ERR_TIMEOUT, "not yet", false);
    ck_range(f, 1, ELSEWHERE, 4 * MIB, 4 * MIB);
    ck_assert(flight(f, 1)->ask.failed == 7 && flight(f, 1)->ask.position == 3 && !flight(f, 1)->referred);
    fly(f, 1, (struct mob_range_result){ .refer = 7, .position = 3 });          /* it insists */
    ck_assert(flight(f, 1)->node == ELSEWHERE && flight(f, 1)->ask.direct);
    land_all(f);
    ck_assert_int_eq(f->last.err.code, MOB_OK);
    fixture_destroy(f);
}
END_TEST

/* Nodes that refer to each other do not keep us going round. */
START_TEST(test_referred_on)
{
    struct fixture *f = fixture_create_in(STORE, true);

    send_fetch_with(f, ME, far(1), 9 * MIB, ELSEWHERE, (struct fetch_words){ .copies = { 7 }, .copy_count = 1 });
    fly(f, 0, (struct mob_range_result){ .refer = 7, .position = 3 });
    ck_assert(flight(f, 0)->node == 7 && flight(f, 0)->referred && flight(f, 0)->ask.root == ELSEWHERE);
    fly(f, 0, (struct mob_range_result){ .refer = ELSEWHERE, .position = 9 });
    ck_assert(flight(f, 1)->node == ELSEWHERE && flight(f, 1)->ask.position == 3 && flight(f, 1)->ask.failed == 7);
    fly(f, 0, (struct mob_range_result){ .refer = 8 });         /* the other flight: no news of whom we ask now */
    fly(f, 0, (struct mob_range_result){ .refer = 7, .position = 3 });
    ck_assert(flight(f, 1)->node == ELSEWHERE && flight(f, 1)->ask.direct);
    land_all(f);
    ck_assert_int_eq(f->last.err.code, MOB_OK);
    fixture_destroy(f);
}
END_TEST

START_TEST(test_not_referred_for_ever)
{
    struct fixture *f = fixture_create_in(STORE, true);
    unsigned referred = 0;

    send_fetch(f, ME, far(1), 9 * MIB, ELSEWHERE);
    while (!flight(f, 0)->ask.direct) {
        ck_assert_uint_lt(referred, 10);
        fly(f, 0, (struct mob_range_result){ .refer = 10 + ++referred, .position = 3 });
        while (f->flights > 0 && flight(f, 0)->referred)
            crash(f, MOB_ERR_UNREACHABLE, "cut", false);
    }
    ck_assert_uint_eq(flight(f, 0)->node, ELSEWHERE);
    land_all(f);
    ck_assert_int_eq(f->last.err.code, MOB_OK);
    fixture_destroy(f);
}
END_TEST

START_TEST(test_a_node_that_is_not_known_yet)
{
    struct fixture *f = fixture_create_in(STORE, true);

    f->reach[4] = f->reach[5] = MOB_REACH_NOT_YET;
    send_fetch(f, ME, far(1), 1000, 4);
    send_fetch(f, ME, far(2), 1000, 5);
    ck_assert_uint_eq(f->flights, 0);
    ck_assert(mob_store_waits(f->store));
    ck_assert_int_lt(mob_store_tick(f->store, 1), INT64_MAX);
    f->reach[4] = MOB_REACH_UP;
    mob_store_tick(f->store, 1000000000);
    ck_range(f, 0, 4, 0, 1000);
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
    fixture_destroy(f);
}
END_TEST

/* -- turns --------------------------------------------------------------------------------------------------------------------- */

START_TEST(test_small_ones_do_not_wait_for_large_ones)
{
    struct fixture *f = fixture_create_in(STORE, true);

    for (uint64_t i = 1; i <= 3; i++)
        send_fetch(f, ME, far(i), 7 * MIB, ELSEWHERE);
    ck_assert_uint_eq(f->flights, 3);           /* of large ones, no more */
    ck_assert_uint_eq(flight(f, 2)->ask.id.task, 2);
    send_fetch(f, ME, far(4), 1000, ELSEWHERE);
    send_fetch(f, ME, far(5), 1000, ELSEWHERE);
    ck_assert_uint_eq(f->flights, 4);
    ck_assert_uint_eq(flight(f, 3)->ask.id.task, 4);
    fly(f, 3, (struct mob_range_result){ .got = 1000 });
    ck_assert_uint_eq(flight(f, 3)->ask.id.task, 5);
    land(f);
    ck_assert_uint_eq(flight(f, 3)->ask.id.task, 2);
    land(f);                                    /* each in turn */
    ck_assert_uint_eq(flight(f, 3)->ask.id.task, 3);
    land_all(f);
    ck_assert_uint_eq(f->answers, 5);
    fixture_destroy(f);
}
END_TEST

START_TEST(test_gets_come_first_and_a_later_one_raises)
{
    struct fixture *f = fixture_create_in(STORE, true);
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
        ck_assert_uint_eq(flight(f, 3)->ask.id.task, order[i]);
    }
    land_all(f);
    ck_assert_uint_eq(f->answers, 11);
    fixture_destroy(f);
}
END_TEST

/* -- room ---------------------------------------------------------------------------------------------------------------------- */

START_TEST(test_what_does_not_fit_now_waits)
{
    struct fixture *f = fixture_create_in(STORE, true);
    struct mob_object_id mine = object_of(HERE, ME, 1);

    mob_store_client_close(fixture_client(f, ME));      /* known to the store; it pins nothing */
    make(f, NULL, ME, mine, 40 * MIB, 0);
    f->answers = 0;
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
    ck_assert_uint_eq(flight(f, 0)->ask.id.task, 2);    /* the get */
    land_all(f);
    ck_assert_uint_eq(f->answers, 4);
    fixture_destroy(f);
}
END_TEST

/* What fills the store is pinned for ever: first the pull whose turn is last is told, soon after it the next. */
START_TEST(test_no_pull_waits_for_ever)
{
    struct fixture *f = fixture_create_in(STORE, true);
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
    fixture_destroy(f);
}
END_TEST

START_TEST(test_small_ones_do_not_starve_a_large_one)
{
    struct fixture *f = fixture_create_in(STORE, true);
    uint64_t task = 10;

    mob_store_client_close(fixture_client(f, ME));      /* known to the store; it pins nothing */
    make(f, NULL, ME, object_of(HERE, ME, 1), 40 * MIB, 0);
    send_fetch(f, ME, far(1), 30 * MIB, ELSEWHERE);
    while (mob_store_usage(f->store).waiting == 1) {    /* copies, which make room for each other */
        ck_assert_uint_lt(task, 60);
        send_fetch(f, ME, far(++task), MIB, ELSEWHERE);
        if (f->flights > 0)
            land(f);
    }
    ck_assert_uint_eq(task, 10 + 31);
    send_free(f, ME, object_of(HERE, ME, 1));
    ck_assert_uint_eq(flight(f, 0)->ask.id.task, 1);
    land_all(f);
    fixture_destroy(f);
}
END_TEST

/* Whoever does not want it any more ends it, whatever its state. */
START_TEST(test_unwanted_pulls_end)
{
    struct fixture *f = fixture_create_in(STORE, true);

    mob_store_client_close(fixture_client(f, ME));      /* known to the store; it pins nothing */
    make(f, NULL, ME, object_of(HERE, ME, 1), 40 * MIB, 0);
    f->answers = 0;
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
    land_all(f);
    ck_assert_uint_eq(mob_store_usage(f->store).pulls, 0);
    ck_assert_uint_eq(mob_store_usage(f->store).used, _i < 3 ? 40 * MIB : 0);
    ck_assert_uint_eq(f->incomings, 0);
    fixture_destroy(f);
}
END_TEST

START_TEST(test_a_copy_of_another_size_is_old)
{
    struct fixture *f = fixture_create_in(STORE, true);
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
    ck_assert_int_eq(f->last.err.code, MOB_ERR_OBJECT_LOST);
    land_all(f);
    ck_assert_uint_eq(f->last.size, 4000);

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
    fixture_destroy(f);
}
END_TEST

/* -- giving ---------------------------------------------------------------------------------------------------------------------- */

static enum mob_serve ask(struct fixture *f, struct mob_asked asked, struct mob_served *ret)
{
    struct mob_error err;
    enum mob_serve how = mob_store_serve(f->store, &asked, ret, &err);

    if (how == MOB_SERVE_HERE)
        mob_store_serve_done(f->store, ret->ticket);
    return how;
}

START_TEST(test_a_line_of_receivers)
{
    struct fixture *f = fixture_create_in(STORE, true);
    struct mob_asked asked = { .id = object_of(HERE, ME, 1), .size = 16 * MIB, .length = MIB, .root = HERE };
    struct mob_served served;
    uint32_t position[6];

    mob_store_client_close(fixture_client(f, ME));      /* known to the store; it pins nothing */
    make(f, NULL, ME, asked.id, asked.size, 0);
    for (asked.asker = 11; asked.asker <= 15; asked.asker++) {
        ck_assert_int_eq(ask(f, asked, &served), asked.asker == 11 ? MOB_SERVE_HERE : MOB_SERVE_REFER);
        ck_assert_uint_eq(served.refer, asked.asker == 11 ? 0 : asked.asker - 1);
        position[asked.asker - 10] = served.position;
        ck_assert(asked.asker == 11 || served.position > position[asked.asker - 11]);
    }
    asked.asker = 13, asked.position = position[3], asked.failed = 12;          /* 12 failed: 13 goes behind 11 */
    ck_assert_int_eq(ask(f, asked, &served), MOB_SERVE_REFER);
    ck_assert_uint_eq(served.refer, 11);
    ck_assert_uint_eq(served.position, position[3]);
    asked.failed = 11;
    ck_assert_int_eq(ask(f, asked, &served), MOB_SERVE_HERE);                   /* nobody is left before it */
    asked.asker = 14, asked.position = position[4], asked.failed = 0;           /* it insists on what it was told */
    ck_assert_int_eq(ask(f, asked, &served), MOB_SERVE_REFER);
    ck_assert_uint_eq(served.refer, 13);
    asked.direct = true;
    ck_assert_int_eq(ask(f, asked, &served), MOB_SERVE_HERE);
    asked.direct = false;
    mob_store_node_died(f->store, 15);
    asked.asker = 16, asked.position = 0;
    ck_assert_int_eq(ask(f, asked, &served), MOB_SERVE_REFER);
    ck_assert_uint_eq(served.refer, 14);
    asked.asker = 13;                                                           /* a new pull: its copy was dropped */
    ck_assert_int_eq(ask(f, asked, &served), MOB_SERVE_REFER);
    ck_assert_uint_eq(served.refer, 16);
    ck_assert_uint_gt(served.position, position[5]);
    asked.asker = 19, asked.root = 9, asked.position = 2;                       /* in the line of another node: referred here by it */
    ck_assert_int_eq(ask(f, asked, &served), MOB_SERVE_HERE);
    asked.root = HERE, asked.position = 0;
    asked.asker = 0;                                                            /* a stranger cannot be found by others */
    ck_assert_int_eq(ask(f, asked, &served), MOB_SERVE_HERE);
    fixture_destroy(f);
}
END_TEST

START_TEST(test_small_objects_have_no_line)
{
    struct fixture *f = fixture_create_in(STORE, true);
    struct mob_asked asked = { .id = object_of(HERE, ME, 1), .size = MIB, .length = MIB };
    struct mob_served served;

    mob_store_client_close(fixture_client(f, ME));      /* known to the store; it pins nothing */
    make(f, NULL, ME, asked.id, asked.size, 0);
    for (asked.asker = 11; asked.asker <= 15; asked.asker++)
        ck_assert_int_eq(ask(f, asked, &served), MOB_SERVE_HERE);
    fixture_destroy(f);
}
END_TEST

/* A node that still receives it waits only for those behind it: a ring of nodes that wait for each other cannot be. */
START_TEST(test_given_on_to_those_behind)
{
    struct fixture *f = fixture_create_in(STORE, true);
    struct mob_asked asked = { .id = far(1), .size = 9 * MIB, .offset = 4 * MIB, .length = 4 * MIB, .asker = 11, .root = ELSEWHERE };
    struct mob_served served;
    struct mob_error err;

    send_fetch(f, ME, far(1), 9 * MIB, ELSEWHERE);
    fly(f, 0, (struct mob_range_result){ .got = MIB, .position = 5 });
    asked.position = 6;
    ck_assert_int_eq(ask(f, asked, &served), MOB_SERVE_HERE);
    ck_assert_ptr_nonnull(served.incoming);
    ck_assert_uint_eq(served.offset, f->pull_offset);
    asked.position = 5;
    ck_assert_int_eq(ask(f, asked, &served), MOB_SERVE_GONE);
    asked.position = 6, asked.root = 9;
    ck_assert_int_eq(ask(f, asked, &served), MOB_SERVE_GONE);
    asked.offset = 0, asked.length = MIB;                       /* but what is here is given to anyone */
    ck_assert_int_eq(ask(f, asked, &served), MOB_SERVE_HERE);

    /* It is given up while it is given on: its bytes stay until that ends. */
    ck_assert_int_eq(mob_store_serve(f->store, &asked, &served, &err), MOB_SERVE_HERE);
    send_free(f, 0, far(1));
    ck_assert_uint_eq(f->answers, 1);
    land_all(f);
    ck_assert_uint_eq(f->incomings, 0);
    ck_assert_uint_eq(mob_store_usage(f->store).used, 9 * MIB);
    mob_store_check(f->store);
    mob_store_serve_done(f->store, served.ticket);
    ck_assert_uint_eq(mob_store_usage(f->store).used, 0);
    fixture_destroy(f);
}
END_TEST

/* -- what owners hear -------------------------------------------------------------------------------------------------------------- */

START_TEST(test_owners_hear_of_copies)
{
    struct fixture *f = fixture_create_in(STORE, true);

    mob_store_client_close(fixture_client(f, ME));      /* known to the store; it pins nothing */
    for (uint64_t i = 1; i <= 3; i++)
        send_fetch(f, ME, object_of(4, 3, i), 20 * MIB, i < 3 ? ELSEWHERE : 9);
    land_all(f);
    ck_assert_uint_eq(f->added, 0);
    mob_store_flush(f->store);
    ck_assert(f->added == 3 && f->gone == 0 && f->told.node == 4 && f->told.process == 3);
    mob_store_flush(f->store);
    ck_assert_uint_eq(f->added, 3);
    make(f, NULL, ME, object_of(HERE, ME, 1), 20 * MIB, 0);     /* one goes */
    mob_store_flush(f->store);
    ck_assert(f->added == 3 && f->gone == 1);
    send_free(f, 0, object_of(4, 3, 2));                        /* the owner knows */
    mob_store_node_died(f->store, 9);
    mob_store_flush(f->store);
    ck_assert(f->added == 3 && f->gone == 1 && f->last_copies == 1);
    send_free(f, 0, object_of(4, 3, 3));
    send_fetch(f, ME, object_of(4, 3, 3), 20 * MIB, ELSEWHERE); /* came and went within one batch: nothing to say */
    land_all(f);
    send_free(f, 0, object_of(4, 3, 3));
    mob_store_flush(f->store);
    ck_assert_uint_eq(f->added, 3);
    ck_assert_uint_eq(mob_store_usage(f->store).objects, 1);
    fixture_destroy(f);
}
END_TEST

/* What owners there said may be lost with a link: they hear of all that is here, what was made here for them, too. */
START_TEST(test_owners_hear_after_a_lost_link)
{
    struct fixture *f = fixture_create_in(STORE, true);

    mob_store_client_close(fixture_client(f, ME));
    make(f, NULL, ME, object_of(4, 3, 1), MIB, 0);
    make(f, NULL, ME, object_of(5, 3, 1), MIB, 0);
    make(f, NULL, ME, object_of(HERE, ME, 1), MIB, 0);
    send_create(f, ME, object_of(4, 3, 2), MIB);                /* its end is to come */
    send_fetch(f, ME, object_of(4, 3, 3), MIB, ELSEWHERE);
    land_all(f);
    make(f, NULL, ME, object_of(4, 3, 4), MIB, 0);
    mob_store_link_lost(f->store, 4);
    send_free(f, 0, object_of(4, 3, 4));                        /* this one did come */
    mob_store_flush(f->store);
    ck_assert(f->have == 2 && f->added == 1 && f->told.node == 4 && f->told.process == 3);
    fixture_destroy(f);
}
END_TEST

/* -- anything ---------------------------------------------------------------------------------------------------------------------- */

/* Whatever happens in whatever order: each Fetch is answered once, no flight is lost, and in the end no byte is held. */
static void play(uint64_t seed)
{
    struct fixture *f = fixture_create_in(STORE, true);
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
            if (f->flights > 0 && flight(f, i)->ask.size >= 8 * MIB && !flight(f, i)->referred)
                result.refer = node, result.position = step + 1, fly(f, i, result);
            break;
        case 6:
            if (f->flights > 0)
                result.err = &err, result.final = unit_random(&seed) % 2, fly(f, i, result);
            break;
        case 7:
            if (f->flights > 0 && flight(f, i)->ask.length > MIB)
                result.got = MIB, result.err = &err, fly(f, i, result);
            break;
        default:
            if (f->flights > 0)
                result.got = flight(f, i)->ask.length, fly(f, i, result);
        }
        mob_store_check(f->store);
    }
    for (unsigned i = 0; i < 32; i++)
        f->reach[i] = MOB_REACH_UP;
    for (unsigned i = 0; mob_store_usage(f->store).pulls > 0; i++) {
        ck_assert_uint_lt(i, 1000);
        land_all(f);
        mob_store_tick(f->store, (int64_t)(3000 + i) * 50000000);
    }
    ck_assert_uint_eq(f->answers, asked);
    ck_assert_uint_eq(f->incomings, 0);
    for (uint64_t task = 1; task <= 12; task++)
        send_free(f, 0, far(task));
    ck_assert_uint_eq(mob_store_usage(f->store).used, 0);
    fixture_destroy(f);
}

START_TEST(test_anything)
{
    for (uint64_t seed = 1; seed <= 50; seed++)
        play(seed * 7919);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        test_a_large_object_comes_in_ranges, test_what_has_come_stays_when_its_node_dies, test_an_altered_chunk_is_asked_for_again,
        test_a_liar_is_not_asked_again, test_one_who_asks_later_knows_more_nodes, test_referred_and_back,
        test_referred_on, test_not_referred_for_ever,
        test_a_node_that_is_not_known_yet, test_small_ones_do_not_wait_for_large_ones, test_gets_come_first_and_a_later_one_raises,
        test_what_does_not_fit_now_waits, test_no_pull_waits_for_ever, test_small_ones_do_not_starve_a_large_one,
        test_a_copy_of_another_size_is_old,
        test_a_line_of_receivers, test_small_objects_have_no_line, test_given_on_to_those_behind, test_owners_hear_of_copies,
        test_owners_hear_after_a_lost_link, test_anything,
    };
    Suite *suite = suite_create("store_pull");
    TCase *tcase = tcase_create("store_pull");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 60);
    for (size_t i = 0; i < MOB_COUNT(tests); i++)
        tcase_add_test(tcase, tests[i]);
    tcase_add_loop_test(tcase, test_unwanted_pulls_end, 0, 4);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
