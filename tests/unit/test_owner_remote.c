/* SPDX-License-Identifier: Apache-2.0 */
/* test_owner_remote.c -- leases on another node: batches out, answers in; and answers that are not what they should be. */
#include "tests/unit/owner_fake.h"
#include "tests/unit/unit.h"

#define ELSEWHERE 6u

static uint32_t start(struct fake *f)
{
    fake_init(f);
    uint32_t shape = fake_shape(f);

    fake_grant_on(f, shape, 1, 0, ELSEWHERE);
    return shape;
}

static void answer_frames(struct fake *f, uint32_t count, const void *frames, size_t size)
{
    Mobula__AnswerFrames m = MOBULA__ANSWER_FRAMES__INIT;

    m.lease = 1;
    m.count = count;
    m.frames = (ProtobufCBinaryData){ .len = size, .data = (uint8_t *)frames };
    fake_tell(f, ELSEWHERE, MOBULA__ENVELOPE__BODY_ANSWER_FRAMES, &m);
}

struct answer {
    struct mob_answer_frame frame;
    struct mob_arg_head head;
    uint64_t value;
};

static struct answer good_answer(uint64_t task)
{
    return (struct answer){ { .task = task, .started_ns = 10, .ended_ns = 1010, .body_size = 16, .returns = 1 },
                            { MOB_VALUE_INLINE, 8 }, 31 };
}

static void taken(struct fake *f, uint64_t *tasks, size_t n)
{
    Mobula__Taken m = MOBULA__TAKEN__INIT;

    m.lease = 1;
    m.n_tasks = n;
    m.tasks = tasks;
    fake_tell(f, ELSEWHERE, MOBULA__ENVELOPE__BODY_TAKEN, &m);
}

START_TEST(test_tasks_go_in_batches_and_answers_come)
{
    struct fake f;
    uint32_t shape = start(&f);
    uint64_t first = fake_submit(&f, shape, 3, NULL, 0);
    struct answer a = good_answer(first);
    struct mob_task_frame frame;

    mob_owner_flush(f.o);
    const Mobula__TaskFrames *m = f.last[MOBULA__ENVELOPE__BODY_TASK_FRAMES]->task_frames;

    ck_assert_uint_eq(f.last[MOBULA__ENVELOPE__BODY_TASK_FRAMES]->to->node, ELSEWHERE);
    ck_assert_uint_eq(m->count, 1);
    ck_assert_uint_eq(m->frames.len, sizeof frame);
    memcpy(&frame, m->frames.data, sizeof frame);
    ck_assert_uint_eq(frame.task, first);
    answer_frames(&f, 1, &a, sizeof a);
    ck_assert_uint_eq(*(const uint64_t *)fake_look(&f, first).data, 31);
    for (int i = 0; i < 600; i++)
        fake_submit(&f, shape, 3, NULL, 0);
    mob_owner_flush(f.o);
    ck_assert_uint_eq(f.sent[MOBULA__ENVELOPE__BODY_TASK_FRAMES], 4);       /* 256, 256, 88 */
    ck_assert_uint_eq(f.last[MOBULA__ENVELOPE__BODY_TASK_FRAMES]->task_frames->count, 88);
    answer_frames(&f, 1, &a, sizeof a);             /* a repeat: of a task that is over */
    ck_assert_uint_eq(mob_owner_counts(f.o).done, 1);
    mob_owner_check(f.o);
    fake_fini(&f);
}
END_TEST

START_TEST(test_taken_comes_unasked_and_asked)
{
    struct fake f;
    uint32_t shape = start(&f);
    uint64_t a = fake_submit(&f, shape, 3, NULL, 0), b = fake_submit(&f, shape, 3, NULL, 0);
    uint64_t tasks[] = { b, 12345, b };
    struct answer answer = good_answer(a);

    mob_owner_flush(f.o);
    ck_assert_uint_eq(mob_owner_counts(f.o).pushed, 2);
    taken(&f, tasks, 3);
    mob_owner_flush(f.o);
    ck_assert_uint_eq(mob_owner_counts(f.o).queued, 1);     /* the lease is stalled: not sent there again */
    answer_frames(&f, 1, &answer, sizeof answer);
    mob_owner_flush(f.o);
    ck_assert_uint_eq(mob_owner_counts(f.o).pushed, 1);
    fake_recall(&f, 1, ELSEWHERE);
    ck_assert_uint_eq(f.sent[MOBULA__ENVELOPE__BODY_TAKE_BACK], 1);
    taken(&f, tasks, 1);
    mob_owner_flush(f.o);
    ck_assert_uint_eq(mob_owner_counts(f.o).leases, 0);
    ck_assert_uint_eq(mob_owner_counts(f.o).queued, 1);
    mob_owner_check(f.o);
    fake_fini(&f);
}
END_TEST

START_TEST(test_cancel_asks_back_and_then_cancels)
{
    struct fake f;
    uint32_t shape = start(&f);
    uint64_t a = fake_submit(&f, shape, 3, NULL, 0);

    mob_owner_cancel(f.o, a, false, NULL);
    ck_assert_uint_eq(f.sent[MOBULA__ENVELOPE__BODY_TASK_FRAMES], 1);       /* before what names it */
    ck_assert_uint_eq(f.sent[MOBULA__ENVELOPE__BODY_TAKE_BACK], 1);
    ck_assert_uint_eq(f.sent[MOBULA__ENVELOPE__BODY_CANCEL], 1);
    taken(&f, &a, 1);
    ck_assert_int_eq(fake_look(&f, a).error->code, MOB_ERR_CANCELLED);
    mob_owner_check(f.o);
    fake_fini(&f);
}
END_TEST

/* Its node sends all answers before it says so: what it has made for this task nobody was told of. */
START_TEST(test_a_dead_workers_results_are_freed)
{
    struct fake f;
    uint32_t shape = start(&f);
    uint64_t a = fake_submit(&f, shape, 3, NULL, 0), b = fake_submit(&f, shape, 3, NULL, 0);
    struct mob_task_frame claimed = { .task = b };
    struct answer answer = good_answer(a);
    const Mobula__Envelope *e;

    mob_owner_flush(f.o);
    answer_frames(&f, 1, &answer, sizeof answer);
    fake_over(&f, 1, 0, ELSEWHERE, MOB_ERR_WORKER_CRASHED, &claimed);
    ck_assert_uint_eq(f.sent[MOBULA__ENVELOPE__BODY_FREE], 1);
    e = f.last[MOBULA__ENVELOPE__BODY_FREE];
    ck_assert_uint_eq(e->to->node, ELSEWHERE);
    ck_assert_uint_eq(e->free->maker, 100);
    ck_assert_uint_eq(e->free->n_objects, 1);
    ck_assert_uint_eq(e->free->objects[0]->task, b);
    mob_owner_check(f.o);
    fake_fini(&f);
}
END_TEST

START_TEST(test_lost_node_charges_what_may_have_started)
{
    struct fake f;
    uint32_t shape = start(&f);
    uint64_t a = fake_submit(&f, shape, 1, NULL, 0), b = fake_submit(&f, shape, 0, NULL, 0);

    mob_owner_flush(f.o);
    fake_over(&f, 1, 0, ELSEWHERE, MOB_ERR_NODE_DIED, NULL);
    ck_assert_int_eq(fake_look(&f, a).state, MOB_OBJECT_PENDING);
    ck_assert_uint_eq(f.sent[MOBULA__ENVELOPE__BODY_FREE], 2);              /* either may have been answered, and that was lost */
    ck_assert_uint_ne(f.last[MOBULA__ENVELOPE__BODY_FREE]->free->maker, 0);
    ck_assert_int_eq(fake_look(&f, b).error->code, MOB_ERR_NODE_DIED);      /* it may have run, and may not run again */
    mob_owner_check(f.o);
    fake_fini(&f);
}
END_TEST

/* What was not sent there yet has not run there: neither it alone, nor what stands behind one that was. */
START_TEST(test_lost_node_charges_nothing_that_was_not_sent)
{
    struct fake f;
    uint32_t shape = start(&f);
    uint64_t a = fake_submit(&f, shape, 0, NULL, 0), b;

    ck_assert_uint_eq(mob_owner_counts(f.o).pushed, 1);
    fake_over(&f, 1, 0, ELSEWHERE, MOB_ERR_NODE_DIED, NULL);
    ck_assert_int_eq(fake_look(&f, a).state, MOB_OBJECT_PENDING);
    fake_grant_on(&f, shape, 1, 0, ELSEWHERE + 1);
    mob_owner_flush(f.o);
    b = fake_submit(&f, shape, 0, NULL, 0);
    ck_assert_uint_eq(mob_owner_counts(f.o).pushed, 2);
    fake_over(&f, 1, 0, ELSEWHERE + 1, MOB_ERR_NODE_DIED, NULL);
    ck_assert_int_eq(fake_look(&f, a).error->code, MOB_ERR_NODE_DIED);
    ck_assert_int_eq(fake_look(&f, b).state, MOB_OBJECT_PENDING);
    mob_owner_check(f.o);
    fake_fini(&f);
}
END_TEST

START_TEST(test_stale_answers_are_ignored)
{
    struct fake f;
    uint32_t shape = start(&f);
    uint64_t ref = fake_submit(&f, shape, 3, NULL, 0);
    struct answer a = good_answer(ref);

    mob_owner_flush(f.o);
    fake_over(&f, 1, 0, ELSEWHERE, MOB_ERR_NODE_DIED, NULL);
    fake_grant_on(&f, shape, 2, 1, ELSEWHERE);
    mob_owner_flush(f.o);
    ck_assert_uint_eq(mob_owner_counts(f.o).pushed, 1);
    fake_grant_on(&f, shape, 1, 0, ELSEWHERE);      /* what answer_frames() speaks for: another lease */
    a.frame.attempt = 1;
    answer_frames(&f, 1, &a, sizeof a);
    ck_assert_int_eq(fake_look(&f, ref).state, MOB_OBJECT_PENDING);
    fake_over(&f, 2, 1, ELSEWHERE, MOB_ERR_NODE_DIED, NULL);
    mob_owner_flush(f.o);
    ck_assert_uint_eq(mob_owner_counts(f.o).pushed, 1);
    answer_frames(&f, 1, &a, sizeof a);             /* the attempt before */
    ck_assert_int_eq(fake_look(&f, ref).state, MOB_OBJECT_PENDING);
    a.frame.attempt = 2;
    answer_frames(&f, 1, &a, sizeof a);
    ck_assert_int_eq(fake_look(&f, ref).state, MOB_OBJECT_INLINE);
    mob_owner_check(f.o);
    fake_fini(&f);
}
END_TEST

/* Each of these fails the task, or ends the worker; none does more. */
START_TEST(test_malformed_values_fail_the_task)
{
    struct { uint32_t kind, size, body_size; uint16_t returns; } bad[] = {
        { MOB_VALUE_INLINE, 9, 16, 1 }, { MOB_VALUE_INLINE, UINT32_MAX, 16, 1 }, { MOB_VALUE_INLINE, 8, 16, 2 },
        { MOB_VALUE_INLINE, 0, 16, 1 }, { MOB_VALUE_STORED, 8, 16, 1 }, { MOB_VALUE_FORWARD, 8, 16, 1 },
        { 0x100, 8, 16, 1 }, { 77, 0, 16, 1 }, { MOB_VALUE_INLINE, 8, 8, 1 }, { MOB_VALUE_INLINE, 0, 0, 1 },
    };
    struct fake f;
    uint32_t shape = start(&f);

    for (size_t i = 0; i < MOB_COUNT(bad); i++) {
        uint64_t ref = fake_submit(&f, shape, 3, NULL, 0);
        struct answer a = good_answer(ref);

        mob_owner_flush(f.o);
        a.head = (struct mob_arg_head){ bad[i].kind, bad[i].size };
        a.frame.body_size = bad[i].body_size;
        a.frame.returns = bad[i].returns;
        answer_frames(&f, 1, &a, sizeof a.frame + bad[i].body_size);
        ck_assert_int_eq(fake_look(&f, ref).error->code, MOB_ERR_PROTOCOL);
        mob_owner_check(f.o);
    }
    ck_assert_uint_eq(f.warnings, 0);
    fake_fini(&f);
}
END_TEST

START_TEST(test_foreign_names_in_values_fail_the_task)
{
    struct { struct mob_answer_frame frame; struct mob_arg_head head; struct mob_stored_value v; } a;
    struct mob_object_id other = { .cluster = 77, .node = FAKE_NODE, .process = FAKE_PROCESS, .task = 1 };
    struct fake f;
    uint32_t shape = start(&f);

    for (int good = 0; good < 2; good++) {
        uint64_t ref = fake_submit(&f, shape, 3, NULL, 0);

        mob_owner_flush(f.o);
        memset(&a, 0, sizeof a);
        a.frame = (struct mob_answer_frame){ .task = ref, .body_size = sizeof a.head + sizeof a.v, .returns = 1 };
        a.head = (struct mob_arg_head){ MOB_VALUE_STORED, sizeof a.v };
        a.v = (struct mob_stored_value){ .object = other, .size = 5, .node = 6 };
        if (good)
            a.v.object.task = ref;
        answer_frames(&f, 1, &a, sizeof a);
        ck_assert_int_eq(fake_look(&f, ref).state, good ? MOB_OBJECT_STORED : MOB_OBJECT_ERROR);
    }
    fake_fini(&f);
}
END_TEST

START_TEST(test_malformed_frames_end_the_worker)
{
    struct fake f;
    uint32_t shape = start(&f);
    uint64_t ref = fake_submit(&f, shape, 3, NULL, 0);
    struct answer a = good_answer(ref);

    mob_owner_flush(f.o);
    a.frame.body_size = 17;
    answer_frames(&f, 1, &a, sizeof a);
    answer_frames(&f, 1, &a, 3);
    answer_frames(&f, 0, &a, sizeof a);
    ck_assert_uint_eq(f.warnings, 1);
    ck_assert_uint_eq(f.sent[MOBULA__ENVELOPE__BODY_CANCEL], 1);
    ck_assert(f.last[MOBULA__ENVELOPE__BODY_CANCEL]->cancel->force);
    fake_over(&f, 1, 0, ELSEWHERE, MOB_ERR_WORKER_CRASHED, NULL);
    ck_assert_uint_eq(mob_owner_counts(f.o).queued, 1);
    mob_owner_receive(f.o, "\xff\xff", 2);          /* not an envelope at all */
    ck_assert(f.hung_up);
    mob_owner_check(f.o);
    fake_fini(&f);
}
END_TEST

UNIT_MAIN("owner_remote", test_tasks_go_in_batches_and_answers_come, test_taken_comes_unasked_and_asked,
          test_cancel_asks_back_and_then_cancels, test_lost_node_charges_what_may_have_started,
          test_lost_node_charges_nothing_that_was_not_sent, test_a_dead_workers_results_are_freed,
          test_stale_answers_are_ignored, test_malformed_values_fail_the_task,
          test_foreign_names_in_values_fail_the_task, test_malformed_frames_end_the_worker)
