/* SPDX-License-Identifier: Apache-2.0 */
/* test_owner_task.c -- a task in each of its states, and each event there. */
#include "common/event.h"
#include "tests/unit/owner_fake.h"
#include "tests/unit/unit.h"

/* One owner with one worker that has a lease. */
static uint32_t start(struct fake *f)
{
    fake_init(f);
    uint32_t shape = fake_shape(f);

    fake_open(f, 0);
    fake_grant(f, shape, 1, 0);
    return shape;
}

static void finish(struct fake *f)
{
    mob_owner_check(f->o);
    fake_fini(f);
}

START_TEST(test_value_comes_back)
{
    struct fake f;
    uint32_t shape = start(&f);
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
    finish(&f);
}
END_TEST

START_TEST(test_waits_for_its_arguments)
{
    struct fake f;
    uint32_t shape = start(&f);
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
    finish(&f);
}
END_TEST

START_TEST(test_failure_goes_down_a_chain_of_any_length)
{
    enum { N = 100000 };
    struct fake f;
    uint32_t shape = start(&f);
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
    finish(&f);
}
END_TEST

START_TEST(test_cancel_in_each_state)
{
    struct fake f;
    uint32_t shape = start(&f);
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
    finish(&f);
}
END_TEST

START_TEST(test_worker_deaths_are_charged_and_told)
{
    struct fake f;
    uint32_t shape = start(&f);
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
    ck_assert_ptr_nonnull(strstr(e->text, "3 different workers"));
    finish(&f);
}
END_TEST

START_TEST(test_cancelled_is_never_retried)
{
    struct fake f;
    uint32_t shape = start(&f);
    uint64_t ref = fake_submit(&f, shape, -1, NULL, 0);
    struct mob_task_frame t;
    const void *body;

    mob_owner_flush(f.o);
    ck_assert(fake_claim(&f, 0, &t, &body));
    mob_owner_cancel(f.o, ref, true, NULL);
    fake_over(&f, 1, 0, FAKE_NODE, MOB_ERR_WORKER_CRASHED, &t);
    ck_assert_int_eq(fake_look(&f, ref).error->code, MOB_ERR_CANCELLED);
    ck_assert_uint_eq(mob_owner_counts(f.o).queued, 0);
    finish(&f);
}
END_TEST

START_TEST(test_ten_thousand_arguments)
{
    enum { N = 10000 };
    struct fake f;
    uint32_t shape = start(&f);
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
    finish(&f);
}
END_TEST

START_TEST(test_as_many_returns_as_may_be)
{
    enum { N = MOB_RETURNS_MAX };
    struct fake f;
    uint32_t shape = start(&f);
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
    finish(&f);
}
END_TEST

START_TEST(test_bad_submits_change_nothing)
{
    struct fake f;
    uint32_t shape = start(&f);
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
    finish(&f);
}
END_TEST

START_TEST(test_events_are_bounded_and_counted)
{
    struct fake f;
    uint32_t shape = start(&f);

    for (int i = 0; i < 100000; i++)
        mob_owner_drop(f.o, fake_submit(&f, shape, 3, NULL, 0), NULL);
    f.now_ns += 300 * FAKE_MS;
    mob_owner_flush(f.o);
    ck_assert_uint_le(f.sent[MOBULA__ENVELOPE__BODY_EVENTS], 6);
    ck_assert_uint_gt(f.last[MOBULA__ENVELOPE__BODY_EVENTS]->events->dropped, 70000);
    finish(&f);
}
END_TEST

START_TEST(test_events_tell_what_ran_when)
{
    struct fake f;
    uint32_t shape = start(&f);
    int64_t begin_ns = f.now_ns;
    struct mob_task_frame t;
    struct mob_event e[3];
    const void *body;

    fake_submit(&f, shape, 3, NULL, 0);
    mob_owner_flush(f.o);
    ck_assert(fake_claim(&f, 0, &t, &body));
    f.now_ns += 200 * FAKE_MS;
    ck_assert_int_gt(mob_owner_flush(f.o), f.now_ns);
    const Mobula__Events *m = f.last[MOBULA__ENVELOPE__BODY_EVENTS]->events;

    ck_assert_uint_eq(m->records.len, sizeof e);
    memcpy(e, m->records.data, sizeof e);
    ck_assert_uint_eq(e[0].kind, MOB_EVENT_NAME);
    ck_assert_str_eq((const char *)&e[0] + offsetof(struct mob_event, node), "work");
    ck_assert_uint_eq(e[1].kind, MOB_EVENT_SUBMITTED);
    ck_assert_int_eq(e[1].submitted_ns, begin_ns);
    ck_assert_uint_eq(e[2].kind, MOB_EVENT_RUNNING);
    ck_assert_uint_eq(e[2].process, 100);
    fake_reply_value(&f, 0, &t, 1, 150 * FAKE_MS);
    fake_drain(&f);
    f.now_ns += 300 * FAKE_MS;
    mob_owner_flush(f.o);
    m = f.last[MOBULA__ENVELOPE__BODY_EVENTS]->events;
    ck_assert_uint_eq(m->records.len, sizeof e[0]);
    memcpy(e, m->records.data, sizeof e[0]);
    ck_assert_uint_eq(e[0].kind, MOB_EVENT_ENDED);
    ck_assert_uint_eq(e[0].task, t.task);
    ck_assert_uint_eq(e[0].name, mob_name_hash("work"));
    ck_assert_int_eq(e[0].started_ns, begin_ns + 50 * FAKE_MS);
    ck_assert_int_eq(e[0].ended_ns, begin_ns + 200 * FAKE_MS);
    ck_assert_uint_eq(e[0].pid, 4711);
    f.now_ns += 300 * FAKE_MS;
    mob_owner_flush(f.o);
    ck_assert_uint_eq(f.sent[MOBULA__ENVELOPE__BODY_EVENTS], 2);
    finish(&f);
}
END_TEST

/* A task that stood behind another runs since that one's answer, not since it was pushed. */
/* Who may be ended soon does not wait for 200 ms, but not for ever so often; and what runs long is told all the same. */
START_TEST(test_events_in_a_hurry)
{
    struct fake f;
    uint32_t shape = start(&f);
    struct mob_task_frame t;
    struct mob_event e;
    const void *body;

    fake_submit(&f, shape, 3, NULL, 0);
    mob_owner_flush(f.o);
    ck_assert(fake_claim(&f, 0, &t, &body));
    mob_owner_hurry(f.o);
    mob_owner_hurry(f.o);
    ck_assert_uint_eq(f.sent[MOBULA__ENVELOPE__BODY_EVENTS], 1);
    ck_assert_uint_eq(f.last[MOBULA__ENVELOPE__BODY_EVENTS]->events->records.len, 2 * sizeof e);         /* the name, and SUBMITTED */
    f.now_ns += 200 * FAKE_MS;
    mob_owner_flush(f.o);
    ck_assert_uint_eq(f.sent[MOBULA__ENVELOPE__BODY_EVENTS], 2);
    memcpy(&e, f.last[MOBULA__ENVELOPE__BODY_EVENTS]->events->records.data, sizeof e);
    ck_assert_uint_eq(e.kind, MOB_EVENT_RUNNING);
    fake_reply_value(&f, 0, &t, 1, 150 * FAKE_MS);
    fake_drain(&f);
    mob_owner_hurry(f.o);
    memcpy(&e, f.last[MOBULA__ENVELOPE__BODY_EVENTS]->events->records.data, sizeof e);
    ck_assert_uint_eq(e.kind, MOB_EVENT_ENDED);
    for (unsigned i = 0; i < 200; i++) {
        fake_submit(&f, shape, 3, NULL, 0);
        mob_owner_hurry(f.o);
    }
    ck_assert_uint_eq(f.sent[MOBULA__ENVELOPE__BODY_EVENTS], 101);
    finish(&f);
}
END_TEST

START_TEST(test_events_of_a_task_behind_another)
{
    struct fake f;
    uint32_t shape = start(&f);
    struct mob_task_frame t[2];
    struct mob_event e;
    const void *body;

    fake_submit(&f, shape, 3, NULL, 0);
    fake_submit(&f, shape, 3, NULL, 0);
    mob_owner_flush(f.o);
    ck_assert(fake_claim(&f, 0, &t[0], &body));
    f.now_ns += 50 * FAKE_MS;
    fake_reply_value(&f, 0, &t[0], 1, 50 * FAKE_MS);
    fake_drain(&f);
    int64_t answered_ns = f.now_ns;
    ck_assert(fake_claim(&f, 0, &t[1], &body));
    f.now_ns += 150 * FAKE_MS;
    mob_owner_flush(f.o);
    const Mobula__Events *m = f.last[MOBULA__ENVELOPE__BODY_EVENTS]->events;
    memcpy(&e, m->records.data + m->records.len - sizeof e, sizeof e);
    ck_assert_uint_eq(e.kind, MOB_EVENT_RUNNING);
    ck_assert_uint_eq(e.task, t[1].task);
    ck_assert_int_eq(e.started_ns, answered_ns);
    finish(&f);
}
END_TEST

/* All records sent since the last call, of tasks. */
static size_t take_records(struct fake *f, struct mob_event *ret, size_t room)
{
    uint32_t sent = f->sent[MOBULA__ENVELOPE__BODY_EVENTS];
    size_t count = 0;

    f->now_ns += 300 * FAKE_MS;
    mob_owner_flush(f->o);
    ck_assert_uint_eq(f->sent[MOBULA__ENVELOPE__BODY_EVENTS], sent + 1);
    const Mobula__Events *m = f->last[MOBULA__ENVELOPE__BODY_EVENTS]->events;

    for (size_t at = 0; at < m->records.len; at += sizeof *ret) {
        struct mob_event e;

        memcpy(&e, m->records.data + at, sizeof e);
        if (e.kind == MOB_EVENT_NAME)
            continue;
        ck_assert_uint_lt(count, room);
        ret[count++] = e;
    }
    return count;
}

/* Two tasks at a worker, one behind the other, and one that waits for the first's result. */
START_TEST(test_events_of_each_state)
{
    struct fake f;
    uint32_t shape = start(&f);
    struct mob_error why = { .code = MOB_ERR_TASK, .text = "no such thing" };
    struct mob_event e[8];
    struct mob_task_frame t;
    const void *body;
    uint64_t first = fake_submit(&f, shape, 3, NULL, 0);

    fake_submit(&f, shape, 3, NULL, 0);
    fake_submit(&f, shape, 3, &(struct mob_arg){ .ref = first }, 1);
    mob_owner_flush(f.o);
    ck_assert(fake_claim(&f, 0, &t, &body));
    ck_assert_uint_eq(take_records(&f, e, 8), 5);
    ck_assert_uint_eq(e[0].waiting, 0);
    ck_assert_uint_eq(e[2].kind, MOB_EVENT_SUBMITTED);
    ck_assert_uint_eq(e[2].waiting, 1);
    ck_assert_uint_eq(e[3].kind, MOB_EVENT_RUNNING);
    ck_assert_uint_eq(e[3].task, first);
    ck_assert_uint_eq(e[4].kind, MOB_EVENT_PUSHED);
    ck_assert_uint_eq(e[4].process, 100);

    fake_reply_value(&f, 0, &t, 1, 100 * FAKE_MS);
    fake_drain(&f);
    ck_assert(fake_claim(&f, 0, &t, &body));
    fake_reply(&f, 0, &t, why.code, &why, sizeof why, 5 * FAKE_MS);
    fake_drain(&f);
    ck_assert_uint_eq(take_records(&f, e, 8), 5);       /* and what is at the worker now */
    ck_assert_uint_eq(e[0].kind, MOB_EVENT_ENDED);
    ck_assert_uint_eq(e[1].kind, MOB_EVENT_QUEUED);
    ck_assert_uint_eq(e[1].node, 0);
    ck_assert_uint_eq(e[2].kind, MOB_EVENT_ENDED);
    ck_assert_int_eq(e[2].status, MOB_ERR_TASK);
    ck_assert_int_eq(e[2].ended_ns - e[2].started_ns, 5 * FAKE_MS);
    ck_assert_uint_eq(e[3].kind, MOB_EVENT_WHY);
    ck_assert_uint_eq(e[3].task, e[2].task);
    ck_assert_str_eq((const char *)&e[3] + MOB_EVENT_TEXT, "no such thing");
    ck_assert_uint_eq(e[4].kind, MOB_EVENT_RUNNING);
    finish(&f);
}
END_TEST

/* A task that is done before it notices its cancel has one end. */
START_TEST(test_events_of_a_cancelled_task)
{
    struct fake f;
    uint32_t shape = start(&f);
    struct mob_event e[8];
    struct mob_task_frame t;
    const void *body;
    uint64_t ref = fake_submit(&f, shape, 3, NULL, 0);

    mob_owner_flush(f.o);
    ck_assert(fake_claim(&f, 0, &t, &body));
    ck_assert_int_eq(mob_owner_cancel(f.o, ref, false, NULL), 0);
    fake_reply_value(&f, 0, &t, 1, 2 * FAKE_MS);
    fake_drain(&f);
    ck_assert_uint_eq(take_records(&f, e, 8), 3);
    ck_assert_uint_eq(e[1].kind, MOB_EVENT_ENDED);
    ck_assert_int_eq(e[1].status, MOB_ERR_CANCELLED);
    ck_assert_uint_eq(e[1].pid, 4711);
    ck_assert_int_ne(e[1].started_ns, 0);
    ck_assert_uint_eq(e[2].kind, MOB_EVENT_WHY);
    finish(&f);
}
END_TEST

static unsigned kinds[MOB_EVENT_WHY + 1];       /* records seen */

static void count_records(struct mob_world *w, uint64_t link, const void *frame, size_t size)
{
    struct fake *f = (struct fake *)w;
    unsigned batches = f->sent[MOBULA__ENVELOPE__BODY_EVENTS];

    fake_send(w, link, frame, size);
    if (f->sent[MOBULA__ENVELOPE__BODY_EVENTS] == batches)
        return;
    const Mobula__Events *m = f->last[MOBULA__ENVELOPE__BODY_EVENTS]->events;

    for (size_t at = 0; at < m->records.len; at += sizeof(struct mob_event)) {
        uint32_t kind;

        memcpy(&kind, m->records.data + at, sizeof kind);
        ck_assert_uint_le(kind, MOB_EVENT_WHY);
        kinds[kind]++;
    }
}

/* Of a flood each task is recorded whole or not at all. */
START_TEST(test_events_are_whole)
{
    struct fake f;
    uint32_t shape = start(&f);

    memset(kinds, 0, sizeof kinds);
    f.world.send = count_records;
    for (int i = 0; i < 30000; i++)
        mob_owner_drop(f.o, fake_submit(&f, shape, 3, NULL, 0), NULL);
    mob_owner_flush(f.o);
    for (struct mob_task_frame t;;) {
        const void *body;

        if (!fake_claim(&f, 0, &t, &body))
            break;
        fake_reply_value(&f, 0, &t, 1, 1000);
        fake_drain(&f);
        mob_owner_flush(f.o);
    }
    f.now_ns += 300 * FAKE_MS;
    mob_owner_flush(f.o);
    ck_assert_uint_ge(kinds[MOB_EVENT_SUBMITTED], MOB_EVENTS_PER_SECOND - 1);
    ck_assert_uint_lt(kinds[MOB_EVENT_SUBMITTED], MOB_EVENTS_PER_SECOND + 30000 / MOB_EVENTS_SAMPLE);
    ck_assert_uint_eq(kinds[MOB_EVENT_ENDED], kinds[MOB_EVENT_SUBMITTED]);
    finish(&f);
}
END_TEST

START_TEST(test_cut_error_is_told)
{
    struct fake f;
    uint32_t shape = start(&f);
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
    finish(&f);
}
END_TEST

UNIT_MAIN("owner_task", test_value_comes_back, test_waits_for_its_arguments, test_failure_goes_down_a_chain_of_any_length,
          test_cancel_in_each_state, test_worker_deaths_are_charged_and_told, test_cancelled_is_never_retried,
          test_ten_thousand_arguments, test_as_many_returns_as_may_be, test_bad_submits_change_nothing,
          test_events_are_bounded_and_counted, test_events_tell_what_ran_when, test_events_in_a_hurry,
          test_events_of_a_task_behind_another,
          test_events_of_each_state, test_events_of_a_cancelled_task, test_events_are_whole, test_cut_error_is_told)
