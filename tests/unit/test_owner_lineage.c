/* SPDX-License-Identifier: Apache-2.0 */
/* test_owner_lineage.c -- what was lost is made again: from which tasks, how often, and what becomes of values that were not lost. */
#include "tests/unit/owner_lineage.h"

START_TEST(test_a_lost_result_is_made_again_when_it_is_wanted)
{
    struct mob_task_frame t;

    start(0);
    uint64_t ref = made(3, 0);

    ck_assert_uint_eq(mob_owner_counts(f.o).kept, 1);
    ck_assert(lose(ref));
    ck_assert_int_eq(fake_look(&f, ref).state, MOB_OBJECT_PENDING);
    nothing_runs();                             /* nobody needs it */
    ck_assert_uint_eq(f.sent[FREE], 1);         /* a node that lives may have it all the same */
    ck_assert_uint_eq(f.last[FREE]->free->before, 1);
    ck_assert(wants(ref));
    t = claim(ref, 1);
    answer_stored(&t, 4);
    ck_assert(is_told());
    ck_assert_uint_eq(fake_look(&f, ref).node, 4);
    mob_owner_drop(f.o, ref, NULL);
    mob_owner_flush(f.o);
    ck_assert_uint_eq(f.last[FREE]->free->before, 0);
    finish();
}
END_TEST

START_TEST(test_each_loss_takes_a_retry)
{
    struct mob_task_frame t;

    start(0);
    uint64_t ref = made(2, 0), once = made(0, 0), put;
    struct mob_object_id id;

    for (unsigned i = 1; i <= 2; i++) {
        ck_assert(lose(ref) && wants(ref));
        t = claim(ref, i);
        answer_stored(&t, 9);
    }
    ck_assert(!lose(ref));
    ck_assert_int_eq(reason_of(ref), MOB_LOST_MAX_ATTEMPTS);
    ck_assert(!lose(once));
    ck_assert_int_eq(reason_of(once), MOB_LOST_RETRIES_DISABLED);
    put = mob_owner_put_begin(f.o, &id);
    mob_owner_put_stored(f.o, put, 9, 1000);
    ck_assert(!lose(put));
    ck_assert_int_eq(reason_of(put), MOB_LOST_PUT);
    nothing_runs();
    mob_owner_drop(f.o, ref, NULL);
    mob_owner_drop(f.o, once, NULL);
    mob_owner_drop(f.o, put, NULL);
    finish();
}
END_TEST

/* Of a chain only the last result is in use: the others' values go at once, and come back when it is lost. */
START_TEST(test_a_chain_is_run_again_link_by_link)
{
    struct mob_task_frame t;

    start(0);
    uint64_t a = made(3, 0), b = made(3, a), c = made(3, b);

    mob_owner_drop(f.o, a, NULL);
    mob_owner_drop(f.o, b, NULL);
    mob_owner_flush(f.o);
    ck_assert_uint_eq(f.sent[FREE], 2);         /* to 9 and to us */
    ck_assert_uint_eq(f.last[FREE]->free->n_objects, 2);
    ck_assert_uint_eq(mob_owner_counts(f.o).kept, 3);
    ck_assert(lose(c) && wants(c));
    t = claim(a, 1);
    ck_assert_uint_eq(mob_owner_counts(f.o).waiting, 2);
    answer_stored(&t, FAKE_NODE);
    t = claim(b, 1);
    answer_stored(&t, FAKE_NODE);
    mob_owner_flush(f.o);
    ck_assert_uint_eq(f.last[FREE]->free->n_objects, 1);        /* a's, which b took */
    ck_assert_uint_eq(f.last[FREE]->free->before, 2);
    t = claim(c, 1);
    ck_assert(!is_told());
    answer_stored(&t, 4);
    ck_assert(is_told());
    mob_owner_drop(f.o, c, NULL);
    finish();
}
END_TEST

/* Both returns of a task, in the store of a node. */
static void made_two_at(uint64_t refs[2], uint32_t node)
{
    struct mob_submit s = { .function = 42, .name = "two", .returns = 2, .max_retries = -1 };
    struct mob_task_frame t;

    s.shape = shape = fake_start(&f);
    ck_assert_int_eq(mob_owner_submit(f.o, &s, refs, NULL), 0);
    t = claim(refs[0], 0);
    answer_stored(&t, node);
}

static void made_two(uint64_t refs[2])
{
    made_two_at(refs, 9);
}

START_TEST(test_returns_that_are_not_lost_stay)
{
    struct mob_task_frame t;
    uint64_t refs[2];

    made_two(refs);
    ck_assert(lose(refs[1]) && wants(refs[1]));
    t = claim(refs[0], 1);
    answer_stored(&t, 4);
    ck_assert_uint_eq(fake_look(&f, refs[0]).node, 9);
    ck_assert_uint_eq(fake_look(&f, refs[1]).node, 4);
    mob_owner_flush(f.o);
    ck_assert_uint_eq(f.last[FREE]->to->node, 4);       /* nobody needs the other one there */
    ck_assert_uint_eq(f.last[FREE]->free->objects[0]->index, 0);
    ck_assert_uint_eq(f.last[FREE]->free->before, 2);
    mob_owner_drop(f.o, refs[0], NULL);
    ck_assert(lose(refs[1]) && wants(refs[1]));
    t = claim(refs[0], 2);
    answer_stored(&t, 4);
    mob_owner_drop(f.o, refs[1], NULL);
    finish();
}
END_TEST

/* Return 0 of a task stands for what another owner has, who knows where; return 1, if it has one, is at node 9. */
static void made_forward(uint64_t refs[], uint32_t returns, const struct mob_object_id *theirs)
{
    struct {
        struct mob_arg_head tickets;
        uint64_t ticket;
        struct mob_object_id lent;
        struct mob_arg_head forward;
        struct mob_object_id id;
        struct mob_arg_head stored;
        struct mob_stored_value value;
    } body = { { MOB_VALUE_TICKETS, 8 + sizeof body.lent }, 41, *theirs, { MOB_VALUE_FORWARD, sizeof body.id }, *theirs,
               { MOB_VALUE_STORED, sizeof body.value }, { .size = 0 } };
    struct mob_submit s = { .shape = fake_start(&f), .function = 42, .name = "forward", .returns = returns, .max_retries = -1 };
    struct mob_task_frame t;

    ck_assert_int_eq(mob_owner_submit(f.o, &s, refs, NULL), 0);
    t = claim(refs[0], 0);
    body.value = stored(refs[0], 1, 9);
    fake_reply(&f, 0, &t, MOB_OK, &body, returns > 1 ? sizeof body : offsetof(typeof(body), stored), 1000);
    fake_drain(&f);
}

/* Its owner says: at node 9, too. */
static void found(uint64_t ref, const struct mob_object_id *theirs)
{
    fake_found(&f, theirs->node, theirs, 9, 0);
    ck_assert_uint_eq(fake_look(&f, ref).node, 9);
}

/* What an earlier attempt left somewhere of a return that stands for another object by now. Found by the simulator. */
START_TEST(test_what_was_left_of_a_forwarded_return_is_freed)
{
    const struct mob_object_id theirs = { .cluster = 77, .node = 4, .process = 6, .task = 1 };
    struct mob_object_id left;
    uint64_t ref;

    made_forward(&ref, 1, &theirs);
    left = stored(ref, 0, 6).object;
    fake_copies(&f, 6, (struct fake_copies){ .have = &left });
    ck_assert_uint_eq(f.sent[FREE], 1);
    ck_assert_uint_eq(f.last[FREE]->to->node, 6);
    ck_assert_uint_eq(f.last[FREE]->free->n_objects, 1);
    found(ref, &theirs);
    mob_owner_drop(f.o, ref, NULL);
    finish();
}
END_TEST

/* Another run, for the other one, may leave there a value of its own. Found by the simulator. */
START_TEST(test_what_another_run_makes_of_a_forwarded_return_is_freed)
{
    const struct mob_object_id theirs = { .cluster = 77, .node = 4, .process = 6, .task = 1 };
    struct mob_task_frame t;
    uint64_t refs[2];

    made_forward(refs, 2, &theirs);
    found(refs[0], &theirs);
    ck_assert(lose(refs[1]) && wants(refs[1]));
    t = claim(refs[0], 1);
    answer_stored(&t, 9);
    ck_assert_uint_eq(f.last[FREE]->to->node, 9);
    ck_assert_uint_eq(f.last[FREE]->free->objects[0]->index, 0);
    ck_assert_uint_eq(f.last[FREE]->free->before, 2);
    mob_owner_drop(f.o, refs[0], NULL);
    mob_owner_drop(f.o, refs[1], NULL);
    finish();
}
END_TEST

/* A node that died had more than the one that somebody found missing: one run makes both. */
START_TEST(test_all_that_a_dead_node_had_of_a_task_is_lost)
{
    struct mob_error why = { .code = MOB_ERR_NODE_DIED, .text = "node 9 has died" };
    struct mob_task_frame t;
    uint64_t refs[2];

    made_two(refs);
    ck_assert(mob_owner_lost(f.o, refs[1], fake_look(&f, refs[1]).since, &why) && wants(refs[1]));
    t = claim(refs[0], 1);
    ck_assert_int_eq(fake_look(&f, refs[0]).state, MOB_OBJECT_PENDING);
    answer_stored(&t, 4);
    ck_assert_uint_eq(fake_look(&f, refs[0]).node, 4);
    ck_assert_uint_eq(fake_look(&f, refs[1]).node, 4);
    mob_owner_drop(f.o, refs[0], NULL);
    mob_owner_drop(f.o, refs[1], NULL);
    finish();
}
END_TEST

START_TEST(test_cancelled_ones_are_not_made_again)
{
    uint64_t refs[2];

    made_two(refs);
    fake_recall(&f, 1, FAKE_NODE);
    ck_assert_int_eq(mob_owner_cancel(f.o, refs[0], false, NULL), 0);   /* it is over */
    ck_assert(lose(refs[0]));
    ck_assert_int_eq(mob_owner_cancel(f.o, refs[0], false, NULL), 0);   /* so it is now */
    ck_assert(wants(refs[0]));
    ck_assert_int_eq(mob_owner_cancel(f.o, refs[0], false, NULL), 0);
    ck_assert_int_eq(fake_look(&f, refs[0]).error->code, MOB_ERR_CANCELLED);
    ck_assert(!lose(refs[1]));
    ck_assert_int_eq(reason_of(refs[1]), MOB_LOST_TASK_CANCELLED);
    mob_owner_drop(f.o, refs[0], NULL);
    mob_owner_drop(f.o, refs[1], NULL);
    finish();
}
END_TEST

/* A run for the other return is cancelled, and answers all the same; or its worker dies. What it made is freed, and not what lies in that
 * store and was not lost: there the new one took its place. */
static void run_in_vain(uint32_t first_at, bool crashes)
{
    struct mob_task_frame t;
    uint64_t refs[2];
    Mobula__Free *m;

    made_two_at(refs, first_at);
    ck_assert(lose(refs[1]) && wants(refs[1]));
    t = claim(refs[0], 1);
    if (crashes) {
        fake_over(&f, 1, 0, FAKE_NODE, MOB_ERR_WORKER_CRASHED, &t);
    } else {
        ck_assert_int_eq(mob_owner_cancel(f.o, refs[1], false, NULL), 0);
        answer_stored(&t, FAKE_NODE);
    }
    m = f.last[FREE]->free;
    ck_assert_uint_eq(f.last[FREE]->to->node, FAKE_NODE);
    ck_assert_uint_eq(m->maker, crashes ? 100 : 0);
    ck_assert_uint_eq(m->before, crashes ? 0 : 2);
    ck_assert_uint_eq(m->n_objects, first_at == FAKE_NODE ? 1 : 2);
    ck_assert_uint_eq(m->objects[m->n_objects - 1]->index, 1);
    ck_assert_uint_eq(fake_look(&f, refs[0]).node, first_at);
    mob_owner_check(f.o);
    fake_fini(&f);
}

START_TEST(test_a_run_in_vain_leaves_what_was_not_lost)
{
    for (int crashes = 0; crashes < 2; crashes++) {
        run_in_vain(FAKE_NODE, crashes);
        run_in_vain(9, crashes);
    }
}
END_TEST

/* The old value may come to light while the new one is made. */
START_TEST(test_copies_of_what_was_lost_are_freed)
{
    struct mob_task_frame t;

    start(0);
    uint64_t ref = made(3, 0);
    struct mob_object_id id = stored(ref, 0, 9).object;

    ck_assert(lose(ref) && wants(ref));
    t = claim(ref, 1);
    fake_copies(&f, 6, (struct fake_copies){ .added = &id, .have = &id });
    ck_assert_uint_eq(f.last[FREE]->to->node, 6);
    ck_assert_uint_eq(f.last[FREE]->free->n_objects, 2);
    ck_assert_uint_eq(f.last[FREE]->free->before, 1);   /* this attempt's value may be there */
    answer_stored(&t, 6);
    mob_owner_drop(f.o, ref, NULL);
    finish();
}
END_TEST

/* A chain of any length is walked without recursion: when its links are let go, when they run again, and when it ends. */
START_TEST(test_long_chains)
{
    struct mob_task_frame t;

    start(0);
    uint64_t first = made(3, 0), last = first;

    for (int i = 0; i < 200000; i++) {
        uint64_t next = fake_submit(&f, shape, 3, &(struct mob_arg){ .ref = last }, 1);
        const void *body;

        mob_owner_copied(f.o, last, FAKE_NODE);
        mob_owner_flush(f.o);
        ck_assert(fake_claim(&f, 0, &t, &body));
        struct { struct mob_arg_head head; struct mob_stored_value value; } answer = { { MOB_VALUE_STORED, sizeof answer.value },
                                                                                       stored(next, 0, FAKE_NODE) };

        fake_reply(&f, 0, &t, MOB_OK, &answer, sizeof answer, 1000);
        fake_drain(&f);
        mob_owner_drop(f.o, last, NULL);
        last = next;
    }
    ck_assert_uint_eq(mob_owner_counts(f.o).kept, 200001);
    ck_assert(lose(last) && wants(last));
    ck_assert_uint_eq(mob_owner_counts(f.o).waiting, 200000);
    t = claim(first, 1);
    mob_owner_cancel(f.o, last, false, NULL);
    mob_owner_drop(f.o, last, NULL);
    mob_owner_check(f.o);
    fake_fini(&f);
}
END_TEST

START_TEST(test_a_lost_raylet_ends_it)
{
    struct mob_error why = { .code = MOB_ERR_UNREACHABLE, .text = "end of file" };

    start(0);
    uint64_t a = made(3, 0), b = made(3, a), c = made(3, 0);

    mob_owner_drop(f.o, a, NULL);
    ck_assert(lose(c) && wants(c));
    mob_owner_raylet_lost(f.o, &why);
    ck_assert_int_eq(fake_look(&f, c).error->code, MOB_ERR_NODE_DIED);
    mob_owner_drop(f.o, b, NULL);
    mob_owner_drop(f.o, c, NULL);
    finish();
}
END_TEST

UNIT_MAIN("owner_lineage", test_a_lost_result_is_made_again_when_it_is_wanted, test_each_loss_takes_a_retry,
          test_a_chain_is_run_again_link_by_link, test_returns_that_are_not_lost_stay,
          test_what_was_left_of_a_forwarded_return_is_freed, test_what_another_run_makes_of_a_forwarded_return_is_freed,
          test_all_that_a_dead_node_had_of_a_task_is_lost,
          test_cancelled_ones_are_not_made_again, test_a_run_in_vain_leaves_what_was_not_lost, test_copies_of_what_was_lost_are_freed,
          test_long_chains, test_a_lost_raylet_ends_it)
