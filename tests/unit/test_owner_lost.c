/* SPDX-License-Identifier: Apache-2.0 */
/* test_owner_lost.c -- who finds that a value is lost, and what it hears: a task whose argument it is, a borrower, whoever stands for another's. */
#include "tests/unit/owner_lineage.h"

/* The worker says that it could not have an argument. */
static void answer_lost(const struct mob_task_frame *t, uint64_t arg)
{
    struct { struct mob_object_id id; struct mob_error why; } body = { stored(arg, 0, 9).object, { .code = MOB_ERR_NODE_DIED } };

    fake_reply(&f, 0, t, MOB_ANSWER_LOST, &body, sizeof body, 1000);
    fake_drain(&f);
    mob_owner_flush(f.o);
    mob_owner_check(f.o);
}

START_TEST(test_a_task_waits_for_its_lost_argument)
{
    struct mob_task_frame t;

    start(0);
    uint64_t arg = made(1, 0), one, other;

    mob_owner_copied(f.o, arg, FAKE_NODE);      /* nothing is staged */
    one = fake_submit(&f, shape, 0, &(struct mob_arg){ .ref = arg }, 1);
    other = fake_submit(&f, shape, 0, &(struct mob_arg){ .ref = arg }, 1);
    t = claim(one, 0);
    answer_lost(&t, arg);                       /* it was told of one place; there is another */
    ck_assert_uint_eq(fake_look(&f, arg).node, FAKE_NODE);
    t = claim(other, 0);
    answer_lost(&t, arg);                       /* told of the same, before that: no news */
    ck_assert_uint_eq(fake_look(&f, arg).node, FAKE_NODE);
    t = claim(one, 1);
    answer_lost(&t, arg);
    ck_assert_int_eq(fake_look(&f, arg).state, MOB_OBJECT_PENDING);
    t = claim(other, 1);
    answer_lost(&t, arg);
    ck_assert_uint_eq(mob_owner_counts(f.o).waiting, 2);
    t = claim(arg, 1);
    answer_stored(&t, FAKE_NODE);
    for (int i = 0; i < 2; i++) {
        t = claim(i == 0 ? one : other, 2);
        fake_reply_value(&f, 0, &t, 7, 1000);
        fake_drain(&f);
    }
    mob_owner_drop(f.o, arg, NULL);
    mob_owner_drop(f.o, one, NULL);
    mob_owner_drop(f.o, other, NULL);
    finish();
}
END_TEST

/* One that cannot be made again fails the task, by its reason. */
START_TEST(test_an_argument_that_is_lost_for_good_fails_its_task)
{
    struct mob_task_frame t;

    start(0);
    uint64_t arg = made(0, 0), put, one, other;
    struct mob_object_id id;

    put = mob_owner_put_begin(f.o, &id);
    mob_owner_put_stored(f.o, put, FAKE_NODE, 1000);
    one = fake_submit(&f, shape, 3, &(struct mob_arg){ .ref = put }, 1);
    t = claim(one, 0);
    answer_lost(&t, put);
    ck_assert_int_eq(reason_of(one), MOB_LOST_PUT);
    ck_assert(!lose(arg));
    other = fake_submit(&f, shape, 3, &(struct mob_arg){ .ref = arg }, 1);
    ck_assert_int_eq(reason_of(other), MOB_LOST_RETRIES_DISABLED);
    mob_owner_drop(f.o, arg, NULL);
    mob_owner_drop(f.o, put, NULL);
    mob_owner_drop(f.o, one, NULL);
    mob_owner_drop(f.o, other, NULL);
    finish();
}
END_TEST

/* A borrower says that it could not have it. */
static void watch(uint64_t ref, uint32_t node, uint32_t making, enum mob_code code)
{
    Mobula__Watch m = MOBULA__WATCH__INIT;
    Mobula__Watch__Lost lost = MOBULA__WATCH__LOST__INIT;
    Mobula__Error error = MOBULA__ERROR__INIT;
    struct mob_object_id id = stored(ref, 0, 9).object;
    Mobula__ObjectId object;

    mob_wire_put_object(&object, &id);
    error.code = (int32_t)code;
    error.text = (char *)"not there";
    lost.node = node;
    lost.making = making;
    lost.error = &error;
    m.object = &object;
    m.lost = &lost;
    fake_tell(&f, 7, MOBULA__ENVELOPE__BODY_WATCH, &m);
    mob_owner_check(f.o);
}

START_TEST(test_a_borrower_is_answered_when_it_is_there_again)
{
    struct mob_task_frame t;

    start(0);
    uint64_t ref = made(1, 0);
    uint32_t making = fake_look(&f, ref).since;

    watch(ref, 8, making, MOB_ERR_NODE_DIED);   /* of another place */
    ck_assert_uint_eq(f.sent[WATCHED], 1);
    watch(ref, 9, making + 1, MOB_ERR_NODE_DIED);       /* of another making */
    ck_assert_uint_eq(f.sent[WATCHED], 2);
    ck_assert_uint_eq(f.last[WATCHED]->watched->place->node, 9);
    watch(ref, 9, making, MOB_ERR_UNREACHABLE);
    ck_assert_uint_eq(f.sent[WATCHED], 2);
    t = claim(ref, 1);
    answer_stored(&t, 4);
    ck_assert_uint_eq(f.sent[WATCHED], 3);
    ck_assert_uint_eq(f.last[WATCHED]->watched->place->node, 4);
    making = f.last[WATCHED]->watched->place->making;
    watch(ref, 4, making, MOB_ERR_UNREACHABLE); /* it is still there for others, and cannot be made again */
    ck_assert_int_eq(f.last[WATCHED]->watched->error->code, MOB_ERR_UNREACHABLE);
    ck_assert_int_eq(fake_look(&f, ref).state, MOB_OBJECT_STORED);
    watch(ref, 4, making, MOB_ERR_OBJECT_LOST);
    ck_assert_int_eq(f.last[WATCHED]->watched->error->code, MOB_ERR_OBJECT_LOST);
    ck_assert_int_eq(f.last[WATCHED]->watched->error->user_code, MOB_LOST_MAX_ATTEMPTS);
    mob_owner_drop(f.o, ref, NULL);
    finish();
}
END_TEST

/* Ours stands for another owner's: that one is asked, and told what we could not have. */
START_TEST(test_an_owner_is_asked_for_what_was_lost)
{
    const struct mob_object_id theirs = { .cluster = 77, .node = 4, .process = 6, .task = 1 };
    const Mobula__Watch *asked;

    start(0);
    uint64_t ref = mob_owner_borrow(f.o, &theirs);

    fake_found(&f, 4, &theirs, 9, 5);
    ck_assert_int_eq(fake_look(&f, ref).state, MOB_OBJECT_STORED);
    ck_assert(lose(ref));
    asked = f.last[MOBULA__ENVELOPE__BODY_WATCH]->watch;
    ck_assert(asked->lost != NULL && asked->lost->node == 9 && asked->lost->making == 5);
    ck_assert_int_eq(asked->lost->error->code, MOB_ERR_OBJECT_LOST);
    ck_assert(wants(ref));
    fake_found(&f, 4, &theirs, 3, 5);
    ck_assert(is_told());
    mob_owner_drop(f.o, ref, NULL);
    finish();
}
END_TEST

/* A raylet that seeks a place, as that of a node which leaves, does not want the value. */
START_TEST(test_a_place_that_is_sought_is_no_want)
{
    Mobula__Watch m = MOBULA__WATCH__INIT;
    struct mob_task_frame t;

    start(0);
    uint64_t ref = made(3, 0);
    struct mob_object_id id = stored(ref, 0, 9).object;
    Mobula__ObjectId object;

    mob_wire_put_object(&object, &id);
    m.object = &object;
    ck_assert(lose(ref));
    fake_tell(&f, 7, MOBULA__ENVELOPE__BODY_WATCH, &m);
    ck_assert_int_eq(f.last[WATCHED]->watched->error->code, MOB_ERR_OBJECT_LOST);
    nothing_runs();
    ck_assert(wants(ref));
    fake_tell(&f, 7, MOBULA__ENVELOPE__BODY_WATCH, &m);
    ck_assert_uint_eq(f.sent[WATCHED], 1);
    t = claim(ref, 1);
    answer_stored(&t, 4);
    ck_assert_uint_eq(f.last[WATCHED]->watched->place->node, 4);
    mob_owner_drop(f.o, ref, NULL);
    finish();
}
END_TEST

UNIT_MAIN("owner_lost", test_a_task_waits_for_its_lost_argument, test_an_argument_that_is_lost_for_good_fails_its_task,
          test_a_borrower_is_answered_when_it_is_there_again, test_an_owner_is_asked_for_what_was_lost,
          test_a_place_that_is_sought_is_no_want)
