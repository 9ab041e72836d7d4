/* SPDX-License-Identifier: Apache-2.0 */
/* test_owner_task.c -- a task in each of its states, and each event there. */
#include "tests/unit/owner_fake.h"
#include "tests/unit/unit.h"

START_TEST(test_value_comes_back)
{
    struct fake f;
    uint32_t shape = fake_start(&f);
    struct mob_arg args[] = { { .data = "hello", .size = 5 }, { .data = "", .size = 0 } };
    uint64_t ref = fake_submit(&f, shape, 3, args, 2);
    struct mob_task_frame t;
    const void *body;
    struct mob_arg_head head;

    mob_owner_flush(f.o);
    ck_assert(fake_claim(&f, 0, &t, &body));
    ck_assert_uint_eq(t.function, 42);
    ck_assert_uint_eq(t.args, 2);
    ck_assert_uint_eq(t.epoch, 1);
    ck_assert_uint_eq(t.body_size, 8 + 8 + 8);
    memcpy(&head, body, sizeof head);
    ck_assert_uint_eq(head.size, 5);
    ck_assert_mem_eq((const char *)body + 8, "hello\0\0\0", 8);
    ck_assert_int_eq(fake_look(&f, ref).state, MOB_OBJECT_PENDING);
    fake_reply_value(&f, 0, &t, 99, 1000);
    fake_drain(&f);
    ck_assert_int_eq(fake_look(&f, ref).state, MOB_OBJECT_INLINE);
    ck_assert_uint_eq(*(const uint64_t *)fake_look(&f, ref).data, 99);
    ck_assert_int_eq(mob_owner_drop(f.o, ref, NULL), 0);
    ck_assert_uint_eq(mob_owner_counts(f.o).objects, 0);
    ck_assert_uint_eq(mob_owner_counts(f.o).done, 1);
    fake_finish(&f);
}
END_TEST

START_TEST(test_waits_for_its_arguments)
{
    struct fake f;
    uint32_t shape = fake_start(&f);
    uint64_t first = fake_submit(&f, shape, 3, NULL, 0);
    struct mob_arg arg = { .ref = first };
    uint64_t second = fake_submit(&f, shape, 3, &arg, 1);
    struct mob_task_frame t;
    const void *body;
    struct { struct mob_arg_head head; uint64_t value; } got;

    ck_assert_uint_eq(mob_owner_counts(f.o).waiting, 1);
    ck_assert_int_eq(mob_owner_drop(f.o, first, NULL), 0);          /* the second holds it */
    ck_assert(fake_claim(&f, 0, &t, &body));
    fake_reply_value(&f, 0, &t, 7, 1000);
    fake_drain(&f);
    ck_assert_uint_eq(mob_owner_counts(f.o).waiting, 0);
    mob_owner_flush(f.o);
    ck_assert(fake_claim(&f, 0, &t, &body));
    ck_assert_uint_eq(t.body_size, sizeof got);
    memcpy(&got, body, sizeof got);
    ck_assert_uint_eq(got.head.kind, MOB_VALUE_INLINE);
    ck_assert_uint_eq(got.value, 7);
    fake_reply_value(&f, 0, &t, 8, 1000);
    fake_drain(&f);
    ck_assert_uint_eq(mob_owner_counts(f.o).objects, 1);            /* the first went when the second had ended */
    ck_assert_int_eq(mob_owner_drop(f.o, second, NULL), 0);
    fake_finish(&f);
}
END_TEST

START_TEST(test_failure_goes_down_a_chain_of_any_length)
{
    enum { N = 100000 };
    struct fake f;
    uint32_t shape = fake_start(&f);
    uint64_t *refs = malloc((N + 1) * sizeof *refs);
    struct mob_error told = { .code = MOB_ERR_TASK, .user_code = 5, .text = "no luck" };
    struct mob_task_frame t;
    const void *body;

    refs[0] = fake_submit(&f, shape, 3, NULL, 0);
    for (size_t i = 1; i <= N; i++)
        refs[i] = fake_submit(&f, shape, 3, &(struct mob_arg){ .ref = refs[i - 1] }, 1);
    ck_assert(fake_claim(&f, 0, &t, &body));
    fake_reply(&f, 0, &t, MOB_ERR_TASK, &told, sizeof told, 1000);
    fake_drain(&f);
    ck_assert_str_eq(fake_look(&f, refs[0]).error->text, "no luck");
    ck_assert_str_eq(fake_look(&f, refs[0]).error->function, "work");
    ck_assert_int_eq(fake_look(&f, refs[N]).error->code, MOB_ERR_TASK);
    ck_assert_int_eq(fake_look(&f, refs[N]).error->user_code, 5);
    ck_assert_str_eq(fake_look(&f, refs[N]).error->text, "an argument of 'work' failed: no luck");
    uint64_t late = fake_submit(&f, shape, 3, &(struct mob_arg){ .ref = refs[N] }, 1);

    ck_assert_int_eq(fake_look(&f, late).state, MOB_OBJECT_ERROR);
    for (size_t i = 0; i <= N; i++)
        ck_assert_int_eq(mob_owner_drop(f.o, refs[i], NULL), 0);
    ck_assert_uint_eq(mob_owner_counts(f.o).objects, 1);
    free(refs);
    fake_finish(&f);
}
END_TEST

START_TEST(test_cancel_in_each_state)
{
    struct fake f;
    uint32_t shape = fake_start(&f);
    uint64_t running = fake_submit(&f, shape, 3, NULL, 0), behind = fake_submit(&f, shape, 3, NULL, 0);
    uint64_t queued = fake_submit(&f, shape, 3, NULL, 0);
    uint64_t waiting = fake_submit(&f, shape, 3, &(struct mob_arg){ .ref = running }, 1);
    struct mob_task_frame t;
    const void *body;

    mob_owner_flush(f.o);
    ck_assert(fake_claim(&f, 0, &t, &body));
    ck_assert_uint_eq(mob_owner_counts(f.o).queued, 1);
    for (int twice = 0; twice < 2; twice++) {
        ck_assert_int_eq(mob_owner_cancel(f.o, queued, false, NULL), 0);
        ck_assert_int_eq(mob_owner_cancel(f.o, waiting, false, NULL), 0);
        ck_assert_int_eq(mob_owner_cancel(f.o, behind, false, NULL), 0);
        mob_owner_check(f.o);
    }
    ck_assert_int_eq(fake_look(&f, queued).error->code, MOB_ERR_CANCELLED);
    ck_assert_int_eq(fake_look(&f, waiting).error->code, MOB_ERR_CANCELLED);
    ck_assert_int_eq(fake_look(&f, behind).error->code, MOB_ERR_CANCELLED);
    ck_assert_uint_eq(f.sent[MOBULA__ENVELOPE__BODY_CANCEL], 0);
    ck_assert_int_eq(mob_owner_cancel(f.o, running, true, NULL), 0);
    ck_assert_uint_eq(f.sent[MOBULA__ENVELOPE__BODY_CANCEL], 1);
    ck_assert(f.last[MOBULA__ENVELOPE__BODY_CANCEL]->cancel->force);
    ck_assert_int_eq(fake_look(&f, running).state, MOB_OBJECT_PENDING);
    fake_reply_value(&f, 0, &t, 1, 1000);               /* it did not notice: cancelled all the same */
    fake_drain(&f);
    ck_assert_int_eq(fake_look(&f, running).error->code, MOB_ERR_CANCELLED);
    ck_assert_int_eq(mob_owner_cancel(f.o, running, false, NULL), 0);
    ck_assert_uint_eq(mob_owner_counts(f.o).done, 4);
    ck_assert(!fake_claim(&f, 0, &t, &body));
    fake_finish(&f);
}
END_TEST

START_TEST(test_worker_deaths_are_charged_and_told)
{
    struct fake f;
    uint32_t shape = fake_start(&f);
    uint64_t ref = fake_submit(&f, shape, 2, NULL, 0);
    struct mob_task_frame t;
    const void *body;

    for (unsigned i = 0; i < 3; i++) {
        if (i > 0) {
            fake_open(&f, i);
            fake_grant(&f, shape, 1 + i, i);
        }
        mob_owner_flush(f.o);
        ck_assert(fake_claim(&f, i, &t, &body));
        ck_assert_uint_eq(t.attempt, i);
        ck_assert_int_eq(fake_look(&f, ref).state, MOB_OBJECT_PENDING);
        fake_over(&f, 1 + i, i, FAKE_NODE, MOB_ERR_WORKER_CRASHED, &t);
        mob_owner_check(f.o);
    }
    const struct mob_error *e = fake_look(&f, ref).error;

    ck_assert_int_eq(e->code, MOB_ERR_WORKER_CRASHED);
    ck_assert_int_eq(e->pid, 4711);
    ck_assert_int_eq(e->attempt, 2);
    ck_assert_str_eq(e->function, "work");
    ck_assert_str_eq(e->node, "host-b");
    ck_assert_ptr_nonnull(strstr(e->text, "signal 9"));
    ck_assert_ptr_nonnull(strstr(e->text, "three different workers"));
    fake_finish(&f);
}
END_TEST

static uint64_t submit_in(struct fake *f, uint32_t shape, uint32_t run, struct mob_error *err)
{
    struct mob_submit s = { .shape = shape, .run = run, .name = "called", .returns = 1, .max_retries = 3 };
    uint64_t ref;

    return mob_owner_submit(f->o, &s, &ref, err) < 0 ? 0 : ref;
}

START_TEST(test_what_a_cancelled_task_called)
{
    struct fake f;
    uint32_t shape = fake_start(&f);
    uint64_t running = submit_in(&f, shape, 7, NULL), behind = submit_in(&f, shape, 7, NULL);
    uint64_t others = submit_in(&f, shape, 6, NULL), queued = submit_in(&f, shape, 7, NULL);
    struct mob_task_frame t;
    struct mob_error err;
    const void *body;

    mob_owner_flush(f.o);
    ck_assert(fake_claim(&f, 0, &t, &body));
    mob_owner_cancel_run(f.o, 7);
    mob_owner_check(f.o);
    ck_assert_int_eq(fake_look(&f, behind).error->code, MOB_ERR_CANCELLED);
    ck_assert_int_eq(fake_look(&f, queued).error->code, MOB_ERR_CANCELLED);
    ck_assert_int_eq(fake_look(&f, others).state, MOB_OBJECT_PENDING);
    ck_assert_uint_eq(f.sent[MOBULA__ENVELOPE__BODY_CANCEL], 1);
    ck_assert(!f.last[MOBULA__ENVELOPE__BODY_CANCEL]->cancel->force && !f.last[MOBULA__ENVELOPE__BODY_CANCEL]->cancel->alone);
    ck_assert_uint_eq(submit_in(&f, shape, 7, &err), 0);
    ck_assert_int_eq(err.code, MOB_ERR_CANCELLED);
    ck_assert_uint_ne(submit_in(&f, shape, 8, &err), 0);        /* the worker's next task, and its driver, may */
    ck_assert_uint_ne(submit_in(&f, shape, 0, &err), 0);
    fake_reply_value(&f, 0, &t, 1, 1000);
    fake_drain(&f);
    ck_assert_int_eq(fake_look(&f, running).error->code, MOB_ERR_CANCELLED);
    fake_finish(&f);
}
END_TEST

START_TEST(test_cancelled_is_never_retried)
{
    struct fake f;
    uint32_t shape = fake_start(&f);
    uint64_t ref = fake_submit(&f, shape, -1, NULL, 0);
    struct mob_task_frame t;
    const void *body;

    mob_owner_flush(f.o);
    ck_assert(fake_claim(&f, 0, &t, &body));
    mob_owner_cancel(f.o, ref, true, NULL);
    fake_over(&f, 1, 0, FAKE_NODE, MOB_ERR_WORKER_CRASHED, &t);
    ck_assert_int_eq(fake_look(&f, ref).error->code, MOB_ERR_CANCELLED);
    ck_assert_uint_eq(mob_owner_counts(f.o).queued, 0);
    fake_finish(&f);
}
END_TEST

START_TEST(test_ten_thousand_arguments)
{
    enum { N = 10000 };
    struct fake f;
    uint32_t shape = fake_start(&f);
    struct mob_arg *args = calloc(N, sizeof *args);
    struct mob_object_id id;
    struct mob_task_frame t;
    const void *body;
    size_t forwards = 0, at = 0;

    for (size_t i = 0; i < N; i++) {
        args[i].ref = mob_owner_put_begin(f.o, &id);
        mob_owner_put_stored(f.o, args[i].ref, FAKE_NODE, 1 << 20);
    }
    ck_assert_uint_ne(fake_submit(&f, shape, 3, args, N), 0);
    mob_owner_flush(f.o);
    ck_assert(fake_claim(&f, 0, &t, &body));
    ck_assert_uint_eq(t.args, N);
    ck_assert_uint_le(t.body_size, MOB_CHANNEL_BYTES / 2);
    for (size_t i = 0; i < N; i++) {
        struct mob_arg_head head;

        memcpy(&head, (const char *)body + at, sizeof head);
        forwards += head.kind == MOB_VALUE_FORWARD;
        at += sizeof head + mob_frame_pad(head.size);
    }
    ck_assert_uint_eq(at, t.body_size);
    ck_assert_uint_gt(forwards, 0);
    ck_assert_uint_lt(forwards, N);
    fake_reply_value(&f, 0, &t, 1, 1000);
    fake_drain(&f);
    for (size_t i = 0; i < N; i++)
        ck_assert_int_eq(mob_owner_drop(f.o, args[i].ref, NULL), 0);
    mob_owner_flush(f.o);
    ck_assert_uint_gt(f.sent[MOBULA__ENVELOPE__BODY_FREE], 1);
    free(args);
    fake_finish(&f);
}
END_TEST

START_TEST(test_as_many_returns_as_may_be)
{
    enum { N = MOB_RETURNS_MAX };
    struct fake f;
    uint32_t shape = fake_start(&f);
    uint64_t *refs = malloc(N * sizeof *refs);
    struct mob_arg_head *heads = calloc(N, sizeof *heads);
    struct mob_submit s = { .shape = shape, .name = "many", .returns = N };
    struct mob_task_frame t;
    const void *body;

    struct mob_error err;

    s.returns = N + 1;
    ck_assert_int_eq(mob_owner_submit(f.o, &s, refs, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "1 to 8192 returns, not 8193"));
    s.returns = N;
    ck_assert_int_eq(mob_owner_submit(f.o, &s, refs, NULL), 0);
    mob_owner_flush(f.o);
    ck_assert(fake_claim(&f, 0, &t, &body));
    ck_assert_uint_eq(t.returns, N);
    ck_assert_int_eq(mob_owner_drop(f.o, refs[0], NULL), 0);
    fake_reply(&f, 0, &t, MOB_OK, heads, N * sizeof *heads, 1000);
    fake_drain(&f);
    mob_owner_check(f.o);
    ck_assert_int_eq(fake_look(&f, refs[N - 1]).state, MOB_OBJECT_INLINE);
    for (size_t i = 1; i < N; i++)
        ck_assert_int_eq(mob_owner_drop(f.o, refs[i], NULL), 0);
    ck_assert_uint_eq(mob_owner_counts(f.o).objects, 0);
    free(heads);
    free(refs);
    fake_finish(&f);
}
END_TEST

START_TEST(test_bad_submits_change_nothing)
{
    struct fake f;
    uint32_t shape = fake_start(&f);
    struct mob_arg dropped = { .ref = mob_owner_put(f.o, "x", 1, NULL) }, large = { .data = "", .size = MOB_INLINE_MAX + 1 };
    struct mob_submit good = { .shape = shape, .name = "f", .returns = 1 };
    uint64_t ref = 12345;
    struct mob_error err;

    mob_owner_drop(f.o, dropped.ref, NULL);
    struct mob_submit bad[6] = { good, good, good, good, good, good };

    bad[0].shape = 9;
    bad[1].returns = 0;
    bad[2].returns = 65536;
    bad[3].max_retries = -2;
    bad[4].args = &dropped;
    bad[4].arg_count = 1;
    bad[5].args = &large;
    bad[5].arg_count = 1;
    for (size_t i = 0; i < MOB_COUNT(bad); i++) {
        ck_assert_int_eq(mob_owner_submit(f.o, &bad[i], &ref, &err), -1);
        ck_assert_int_eq(err.code, MOB_ERR_INVALID);
        ck_assert_uint_eq(ref, 12345);
        ck_assert_uint_eq(mob_owner_counts(f.o).objects, 0);
    }
    fake_finish(&f);
}
END_TEST

START_TEST(test_cut_error_is_told)
{
    struct fake f;
    uint32_t shape = fake_start(&f);
    struct mob_error why = { .code = MOB_ERR_TASK, .user_code = 42, .text = "a sentence" };
    uint64_t cut = fake_submit(&f, shape, 3, NULL, 0), short_of = fake_submit(&f, shape, 3, NULL, 0);
    struct mob_task_frame t;
    const void *body;

    mob_owner_flush(f.o);
    ck_assert(fake_claim(&f, 0, &t, &body));
    fake_reply(&f, 0, &t, why.code, &why, MOB_CHANNEL_REPLY_MIN, 1000);
    ck_assert(fake_claim(&f, 0, &t, &body));
    fake_reply(&f, 0, &t, why.code, &why, offsetof(struct mob_error, text), 1000);
    fake_drain(&f);
    ck_assert_int_eq(fake_look(&f, cut).error->code, MOB_ERR_TASK);
    ck_assert_int_eq(fake_look(&f, cut).error->user_code, 42);
    ck_assert_str_eq(fake_look(&f, cut).error->text, "a sentence");
    ck_assert_int_eq(fake_look(&f, short_of).error->code, MOB_ERR_PROTOCOL);
    fake_finish(&f);
}
END_TEST

UNIT_MAIN("owner_task", test_value_comes_back, test_waits_for_its_arguments, test_failure_goes_down_a_chain_of_any_length,
          test_cancel_in_each_state, test_worker_deaths_are_charged_and_told, test_cancelled_is_never_retried,
          test_what_a_cancelled_task_called,
          test_ten_thousand_arguments, test_as_many_returns_as_may_be, test_bad_submits_change_nothing, test_cut_error_is_told)
