/* SPDX-License-Identifier: Apache-2.0 */
/* test_owner_stage.c -- tasks run where their stored arguments are; else these are brought first. */
#include "tests/unit/owner_fake.h"
#include "tests/unit/unit.h"

#define STAGE MOBULA__ENVELOPE__BODY_STAGE
#define STAGED MOBULA__ENVELOPE__BODY_STAGED
#define UNSTAGE MOBULA__ENVELOPE__BODY_UNSTAGE
#define WANT MOBULA__ENVELOPE__BODY_WANT
#define ELSEWHERE 6u

static struct fake f;
static uint32_t shape;

static void start(void)
{
    fake_init(&f);
    shape = fake_shape(&f);
}

static void finish(void)
{
    mob_owner_check(f.o);
    fake_fini(&f);
}

static uint64_t stored_at(uint32_t node)
{
    struct mob_object_id id;
    uint64_t ref = mob_owner_put_begin(f.o, &id);

    mob_owner_put_stored(f.o, ref, node, 1 << 20);
    return ref;
}

static uint64_t submit_with(uint64_t ref)
{
    uint64_t result = fake_submit(&f, shape, 3, &(struct mob_arg){ .ref = ref }, 1);

    ck_assert_uint_ne(result, 0);
    mob_owner_drop(f.o, ref, NULL);
    return result;
}

/* The last Stage is answered. */
static void staged(uint32_t node)
{
    const Mobula__Stage *stage = f.last[STAGE]->stage;
    Mobula__Staged m = MOBULA__STAGED__INIT;

    m.task = stage->task;
    m.number = stage->number;
    fake_tell(&f, node, STAGED, &m);
    mob_owner_flush(f.o);
    mob_owner_check(f.o);
}

static void flush(void)
{
    mob_owner_flush(f.o);
    mob_owner_check(f.o);
}

START_TEST(test_arguments_come_before_their_task)
{
    struct mob_task_frame t;
    const void *body;

    start();
    fake_open(&f, 0);
    fake_grant(&f, shape, 1, 0);
    uint64_t result = submit_with(stored_at(9));

    flush();
    ck_assert(!fake_claim(&f, 0, &t, &body));
    ck_assert_uint_eq(f.sent[STAGE], 1);
    ck_assert_uint_eq(f.last[STAGE]->to->node, FAKE_NODE);
    ck_assert_uint_eq(f.last[STAGE]->stage->n_items, 1);
    ck_assert_uint_eq(f.last[STAGE]->stage->items[0]->nodes[0], 9);
    f.now_ns += 60000 * FAKE_MS;                /* however long it takes, its lease waits for it */
    flush();
    ck_assert_uint_eq(mob_owner_counts(f.o).leases, 1);
    staged(9);                                  /* not from there */
    ck_assert(!fake_claim(&f, 0, &t, &body));
    staged(FAKE_NODE);
    ck_assert(fake_claim(&f, 0, &t, &body));
    ck_assert_uint_eq(f.sent[UNSTAGE], 0);
    fake_reply_value(&f, 0, &t, 1, 1000);
    fake_drain(&f);
    flush();
    ck_assert_uint_eq(f.sent[UNSTAGE], 1);
    mob_owner_drop(f.o, result, NULL);
    finish();
}
END_TEST

START_TEST(test_a_task_goes_where_its_arguments_are)
{
    struct mob_task_frame t;
    const void *body;

    start();
    fake_open(&f, 0);
    fake_open(&f, 1);
    fake_grant(&f, shape, 1, 0);
    fake_grant_on(&f, shape, 2, 1, ELSEWHERE);
    uint64_t there = submit_with(stored_at(ELSEWHERE)), here = submit_with(stored_at(FAKE_NODE));

    flush();
    ck_assert_uint_eq(f.sent[STAGE], 0);
    ck_assert(fake_claim(&f, 0, &t, &body));
    ck_assert_uint_eq(t.task, here);
    ck_assert_uint_eq(f.sent[MOBULA__ENVELOPE__BODY_TASK_FRAMES], 1);
    ck_assert_uint_eq(f.last[MOBULA__ENVELOPE__BODY_TASK_FRAMES]->to->node, ELSEWHERE);
    (void)there;
    finish();
}
END_TEST

/* One lease: few are staged ahead; one whose arguments are here overtakes those that would have to be brought. */
START_TEST(test_few_are_staged_ahead)
{
    struct mob_task_frame t;
    const void *body;

    start();
    for (int i = 0; i < 10; i++)
        submit_with(stored_at(9));
    uint64_t near = submit_with(stored_at(FAKE_NODE));

    fake_open(&f, 0);
    fake_grant(&f, shape, 1, 0);
    flush();
    ck_assert(fake_claim(&f, 0, &t, &body));
    ck_assert_uint_eq(t.task, near);
    ck_assert_uint_eq(f.sent[STAGE], 0);        /* node 9 may have leases for the others */
    f.now_ns += 500 * FAKE_MS;
    flush();
    ck_assert_uint_eq(f.sent[STAGE], 2);
    flush();
    ck_assert_uint_eq(f.sent[STAGE], 2);
    fake_reply_value(&f, 0, &t, 1, 1000);
    fake_drain(&f);
    staged(FAKE_NODE);                          /* the second came first */
    ck_assert_uint_eq(f.sent[STAGE], 3);
    ck_assert(fake_claim(&f, 0, &t, &body));
    finish();
}
END_TEST

static void want_is(uint32_t count, size_t nodes, uint32_t node, uint32_t at_node, uint32_t second, uint32_t at_second)
{
    const Mobula__Want *w = f.last[WANT]->want;

    ck_assert_uint_eq(w->count, count);
    ck_assert_uint_eq(w->n_near, nodes);
    if (nodes > 0)
        ck_assert(w->near[0]->node == node && w->near[0]->count == at_node);
    if (nodes > 1)
        ck_assert(w->near[1]->node == second && w->near[1]->count == at_second);
}

static uint64_t sized_at(uint32_t node, uint64_t size)
{
    struct mob_object_id id;
    uint64_t ref = mob_owner_put_begin(f.o, &id);

    mob_owner_put_stored(f.o, ref, node, size);
    return ref;
}

START_TEST(test_the_want_says_where)
{
    struct mob_arg two[2] = { { .ref = 0 }, { .ref = 0 } };
    uint64_t shared;

    start();
    submit_with(stored_at(9));
    submit_with(stored_at(9));
    two[0].ref = sized_at(9, 2 << 20);
    two[1].ref = sized_at(8, 3 << 20);
    fake_submit(&f, shape, 3, two, 2);          /* most bytes count, not most arguments or the first */
    shared = stored_at(8);
    mob_owner_copied(f.o, shared, FAKE_NODE);
    /* This node is one like the others, and first among equals. */
    fake_submit(&f, shape, 3, &(struct mob_arg){ .ref = shared }, 1);
    fake_submit(&f, shape, 3, NULL, 0);
    flush();
    ck_assert_uint_eq(f.last[WANT]->want->n_near, 3);
    want_is(5, 3, 9, 2, 8, 1);
    ck_assert_uint_eq(f.last[WANT]->want->near[2]->node, FAKE_NODE);
    fake_grant_on(&f, shape, 1, 0, 9);          /* it takes both: a second lease there is wanted all the same */
    flush();
    f.now_ns += FAKE_MS;
    submit_with(stored_at(8));
    flush();
    want_is(5, 3, 8, 2, FAKE_NODE, 1);
    ck_assert(f.last[WANT]->want->near[2]->node == 9 && f.last[WANT]->want->near[2]->count == 1);
    finish();
}
END_TEST

/* Only where the owner's raylet may choose. */
START_TEST(test_a_strategy_says_where)
{
    struct mob_shape spread = { .strategy = MOB_SPREAD };

    start();
    mob_resources_set(&spread.resources, "CPU", MOB_UNITS);
    shape = mob_owner_shape(f.o, &spread);
    submit_with(stored_at(9));
    flush();
    want_is(1, 0, 0, 0, 0, 0);
    finish();
}
END_TEST

/* A lease there is asked for: others do not bring what it will have. What it gets no lease for, they do. */
START_TEST(test_tasks_wait_for_a_lease_where_their_arguments_are)
{
    struct mob_task_frame t;
    const void *body;

    start();
    uint64_t plain = fake_submit(&f, shape, 3, NULL, 0);

    submit_with(stored_at(9));
    submit_with(stored_at(9));
    flush();
    want_is(3, 1, 9, 2, 0, 0);
    fake_open(&f, 0);
    fake_grant(&f, shape, 1, 0);
    flush();
    ck_assert(fake_claim(&f, 0, &t, &body));
    ck_assert_uint_eq(t.task, plain);
    ck_assert_uint_eq(f.sent[STAGE], 0);
    fake_open(&f, 1);
    fake_grant(&f, shape, 2, 1);                /* instead of one there */
    flush();
    ck_assert_uint_eq(f.sent[STAGE], 1);
    ck_assert_uint_eq(f.last[STAGE]->to->node, FAKE_NODE);
    fake_grant_on(&f, shape, 3, 2, 9);
    flush();
    ck_assert_uint_eq(f.sent[STAGE], 1);
    ck_assert_uint_eq(f.sent[MOBULA__ENVELOPE__BODY_TASK_FRAMES], 1);
    ck_assert_uint_eq(f.last[MOBULA__ENVELOPE__BODY_TASK_FRAMES]->to->node, 9);
    finish();
}
END_TEST

START_TEST(test_what_waits_at_a_lost_node_is_queued_again)
{
    struct mob_task_frame t;
    const void *body;

    start();
    fake_grant_on(&f, shape, 1, 0, ELSEWHERE);
    uint64_t result = submit_with(stored_at(9));

    flush();
    ck_assert_uint_eq(f.last[STAGE]->to->node, ELSEWHERE);
    fake_over(&f, 1, 0, ELSEWHERE, MOB_ERR_NODE_DIED, NULL);
    flush();
    ck_assert_uint_eq(f.sent[UNSTAGE], 1);
    ck_assert_uint_eq(mob_owner_counts(f.o).queued, 1);
    fake_open(&f, 1);
    fake_grant(&f, shape, 2, 1);
    flush();
    ck_assert_uint_eq(f.sent[STAGE], 2);
    staged(FAKE_NODE);
    ck_assert(fake_claim(&f, 1, &t, &body));
    ck_assert_uint_eq(t.attempt, 0);            /* nothing was charged */
    mob_owner_drop(f.o, result, NULL);
    finish();
}
END_TEST

START_TEST(test_a_recalled_lease_lets_its_staged_tasks_go)
{
    start();
    fake_open(&f, 0);
    fake_grant(&f, shape, 1, 0);
    submit_with(stored_at(9));
    flush();
    fake_recall(&f, 1, FAKE_NODE);
    flush();
    ck_assert_uint_eq(f.sent[UNSTAGE], 1);
    ck_assert_uint_eq(mob_owner_counts(f.o).leases, 0);
    ck_assert_uint_eq(mob_owner_counts(f.o).queued, 1);
    finish();
}
END_TEST

/* The last Stage is answered: there is no room; and the lease is asked back. */
static void refused_and_recalled(uint64_t lease)
{
    const Mobula__Stage *stage = f.last[STAGE]->stage;
    Mobula__Staged m = MOBULA__STAGED__INIT;
    Mobula__Error error = MOBULA__ERROR__INIT;

    error.code = MOB_ERR_NO_SPACE;
    error.text = (char *)"no room for it";
    m.task = stage->task;
    m.number = stage->number;
    m.no_room = &error;
    fake_tell(&f, FAKE_NODE, STAGED, &m);
    fake_recall(&f, lease, FAKE_NODE);
    flush();
}

/* Each node that it comes to has no room for its argument: so often, and then it is over. A task that may run but once did not run. */
START_TEST(test_a_full_node_is_left_but_so_often)
{
    start();
    uint64_t result = fake_submit(&f, shape, _i, &(struct mob_arg){ .ref = stored_at(9) }, 1);

    for (uint64_t lease = 1; lease <= 4; lease++) {
        ck_assert_uint_eq(f.sent[STAGE], lease - 1);
        fake_open(&f, 0);
        fake_grant(&f, shape, lease, 0);
        flush();
        refused_and_recalled(lease);
        ck_assert_uint_eq(f.sent[UNSTAGE], lease);
        ck_assert_uint_eq(mob_owner_counts(f.o).resting, lease < 4);
        ck_assert_uint_eq(mob_owner_counts(f.o).leases, 0);
        f.now_ns += 60000 * FAKE_MS;
        flush();
    }
    ck_assert_int_eq(fake_look(&f, result).error->code, MOB_ERR_NO_SPACE);
    ck_assert_str_eq(fake_look(&f, result).error->text, "an argument: no room for it");
    finish();
}
END_TEST

START_TEST(test_cancel_and_loss_while_they_come)
{
    struct mob_error lost = { .code = MOB_ERR_OBJECT_LOST, .text = "gone" };

    start();
    fake_open(&f, 0);
    fake_grant(&f, shape, 1, 0);
    uint64_t value = stored_at(9), a = fake_submit(&f, shape, 3, &(struct mob_arg){ .ref = value }, 1);
    uint64_t b = fake_submit(&f, shape, 3, &(struct mob_arg){ .ref = value }, 1);

    flush();
    f.now_ns += 500 * FAKE_MS;
    flush();
    ck_assert_uint_eq(f.sent[STAGE], 2);
    ck_assert_int_eq(mob_owner_cancel(f.o, a, false, NULL), 0);
    ck_assert_int_eq(fake_look(&f, a).error->code, MOB_ERR_CANCELLED);
    ck_assert_uint_eq(f.sent[UNSTAGE], 1);
    mob_owner_lost(f.o, value, fake_look(&f, value).since, &lost);
    staged(FAKE_NODE);
    ck_assert_int_eq(fake_look(&f, b).error->code, MOB_ERR_OBJECT_LOST);
    flush();
    ck_assert_uint_eq(f.sent[UNSTAGE], 2);
    finish();
}
END_TEST

START_TEST(test_lost_raylet_fails_what_is_staged)
{
    struct mob_error why = { .code = MOB_ERR_UNREACHABLE, .text = "end of file" };

    start();
    fake_open(&f, 0);
    fake_grant(&f, shape, 1, 0);
    uint64_t result = submit_with(stored_at(9));

    flush();
    mob_owner_raylet_lost(f.o, &why);
    ck_assert_int_eq(fake_look(&f, result).error->code, MOB_ERR_NODE_DIED);
    finish();
}
END_TEST

UNIT_CASE("owner_stage", tcase)
{
    UNIT_TESTS(tcase, test_arguments_come_before_their_task, test_a_task_goes_where_its_arguments_are, test_few_are_staged_ahead,
               test_the_want_says_where, test_a_strategy_says_where, test_tasks_wait_for_a_lease_where_their_arguments_are,
               test_what_waits_at_a_lost_node_is_queued_again, test_a_recalled_lease_lets_its_staged_tasks_go,
               test_cancel_and_loss_while_they_come, test_lost_raylet_fails_what_is_staged);
    tcase_add_loop_test(tcase, test_a_full_node_is_left_but_so_often, 0, 2);    /* may be repeated, or not */
}
