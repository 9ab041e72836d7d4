/* SPDX-License-Identifier: Apache-2.0 */
/* test_store_serve.c -- giving objects to other nodes, who stand in a line; and what their owners hear of copies. */
#include "store_pull.h"

/* -- giving ---------------------------------------------------------------------------------------------------------------------- */

static enum mob_serve ask(struct mob_asked asked, struct mob_served *ret)
{
    struct mob_error err;
    enum mob_serve how = mob_store_serve(f->store, &asked, ret, &err);

    if (how == MOB_SERVE_HERE)
        mob_store_serve_done(f->store, ret->ticket);
    return how;
}

START_TEST(test_a_line_of_receivers)
{
    struct mob_asked asked = { .id = object_of(HERE, ME, 1), .size = 16 * MIB, .length = MIB, .root = HERE };
    struct mob_served served;
    uint32_t position[6];

    introduce(ME);
    make(f, NULL, ME, asked.id, asked.size, 0);
    for (asked.asker = 11; asked.asker <= 15; asked.asker++) {
        ck_assert_int_eq(ask(asked, &served), asked.asker == 11 ? MOB_SERVE_HERE : MOB_SERVE_REFER);
        ck_assert_uint_eq(served.refer, asked.asker == 11 ? 0 : asked.asker - 1);
        position[asked.asker - 10] = served.position;
        ck_assert(asked.asker == 11 || served.position > position[asked.asker - 11]);
    }
    asked.asker = 13, asked.position = position[3], asked.failed = 12;          /* 12 failed: 13 goes behind 11 */
    ck_assert_int_eq(ask(asked, &served), MOB_SERVE_REFER);
    ck_assert_uint_eq(served.refer, 11);
    ck_assert_uint_eq(served.position, position[3]);
    asked.failed = 11;
    ck_assert_int_eq(ask(asked, &served), MOB_SERVE_HERE);                      /* nobody is left before it */
    asked.asker = 14, asked.position = position[4], asked.failed = 0;           /* it insists on what it was told */
    ck_assert_int_eq(ask(asked, &served), MOB_SERVE_REFER);
    ck_assert_uint_eq(served.refer, 13);
    asked.direct = true;
    ck_assert_int_eq(ask(asked, &served), MOB_SERVE_HERE);
    asked.direct = false;
    mob_store_node_died(f->store, 15);
    asked.asker = 16, asked.position = 0;
    ck_assert_int_eq(ask(asked, &served), MOB_SERVE_REFER);
    ck_assert_uint_eq(served.refer, 14);
    asked.asker = 13;                                                           /* a new pull: its copy was dropped */
    ck_assert_int_eq(ask(asked, &served), MOB_SERVE_REFER);
    ck_assert_uint_eq(served.refer, 16);
    ck_assert_uint_gt(served.position, position[5]);
    asked.asker = 19, asked.root = 9, asked.position = 2;                       /* in the line of another node: referred here by it */
    ck_assert_int_eq(ask(asked, &served), MOB_SERVE_HERE);
    asked.root = HERE, asked.position = 0;
    asked.asker = 0;                                                            /* a stranger cannot be found by others */
    ck_assert_int_eq(ask(asked, &served), MOB_SERVE_HERE);
}
END_TEST

START_TEST(test_small_objects_have_no_line)
{
    struct mob_asked asked = { .id = object_of(HERE, ME, 1), .size = MIB, .length = MIB };
    struct mob_served served;

    introduce(ME);
    make(f, NULL, ME, asked.id, asked.size, 0);
    for (asked.asker = 11; asked.asker <= 15; asked.asker++)
        ck_assert_int_eq(ask(asked, &served), MOB_SERVE_HERE);
}
END_TEST

/* A node that still receives it waits only for those behind it: a ring of nodes that wait for each other cannot be. */
START_TEST(test_given_on_to_those_behind)
{
    struct mob_asked asked = { .id = far(1), .size = 9 * MIB, .offset = 4 * MIB, .length = 4 * MIB, .asker = 11, .root = ELSEWHERE };
    struct mob_served served;
    struct mob_error err;

    send_fetch(f, ME, far(1), 9 * MIB, ELSEWHERE);
    fly(f, 0, (struct mob_range_result){ .got = MIB, .position = 5 });
    asked.position = 6;
    ck_assert_int_eq(ask(asked, &served), MOB_SERVE_HERE);
    ck_assert_ptr_nonnull(served.incoming);
    ck_assert_uint_eq(served.offset, f->pull_offset);
    asked.position = 5;
    ck_assert_int_eq(ask(asked, &served), MOB_SERVE_GONE);
    asked.position = 6, asked.root = 9;
    ck_assert_int_eq(ask(asked, &served), MOB_SERVE_GONE);
    asked.offset = 0, asked.length = MIB;                       /* but what is here is given to anyone */
    ck_assert_int_eq(ask(asked, &served), MOB_SERVE_HERE);

    /* It is given up while it is given on: its bytes stay until that ends. */
    ck_assert_int_eq(mob_store_serve(f->store, &asked, &served, &err), MOB_SERVE_HERE);
    send_free(f, 0, far(1));
    ck_assert_uint_eq(f->answers, 1);
    land_all();
    ck_assert_uint_eq(f->incomings, 0);
    ck_assert_uint_eq(mob_store_usage(f->store).used, 9 * MIB);
    mob_store_check(f->store);
    mob_store_serve_done(f->store, served.ticket);
    ck_assert_uint_eq(mob_store_usage(f->store).used, 0);
}
END_TEST

/* -- what owners hear -------------------------------------------------------------------------------------------------------------- */

START_TEST(test_owners_hear_of_copies)
{
    introduce(ME);
    for (uint64_t i = 1; i <= 3; i++)
        send_fetch(f, ME, object_of(4, 3, i), 20 * MIB, i < 3 ? ELSEWHERE : 9);
    land_all();
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
    land_all();
    send_free(f, 0, object_of(4, 3, 3));
    mob_store_flush(f->store);
    ck_assert_uint_eq(f->added, 3);
    ck_assert_uint_eq(mob_store_usage(f->store).objects, 1);
}
END_TEST

/* What owners there said may be lost with a link: they hear of all that is here, what was made here for them, too. */
START_TEST(test_owners_hear_after_a_lost_link)
{
    introduce(ME);
    make(f, NULL, ME, object_of(4, 3, 1), MIB, 0);
    make(f, NULL, ME, object_of(5, 3, 1), MIB, 0);
    make(f, NULL, ME, object_of(HERE, ME, 1), MIB, 0);
    send_create(f, ME, object_of(4, 3, 2), MIB);                /* its end is to come */
    send_fetch(f, ME, object_of(4, 3, 3), MIB, ELSEWHERE);
    land_all();
    make(f, NULL, ME, object_of(4, 3, 4), MIB, 0);
    mob_store_link_lost(f->store, 4);
    send_free(f, 0, object_of(4, 3, 4));                        /* this one did come */
    mob_store_flush(f->store);
    ck_assert(f->have == 2 && f->added == 1 && f->told.node == 4 && f->told.process == 3);
}
END_TEST

UNIT_CASE("store_serve", tcase)
{
    tcase_add_checked_fixture(tcase, open_store, close_store);
    UNIT_TESTS(tcase, test_a_line_of_receivers, test_small_objects_have_no_line, test_given_on_to_those_behind,
               test_owners_hear_of_copies, test_owners_hear_after_a_lost_link);
}
