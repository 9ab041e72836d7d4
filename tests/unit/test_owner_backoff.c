/* SPDX-License-Identifier: Apache-2.0 */
/* test_owner_backoff.c -- attempts that are not repeated at once: how long a task rests, what may come meanwhile, and how often. */
#include "tests/unit/owner_fake.h"
#include "tests/unit/unit.h"

static struct fake f;
static uint32_t shape;
static unsigned leases;

/* A worker that has the task, whatever came before. */
static struct mob_task_frame begin(void)
{
    struct mob_task_frame t;
    const void *body;
    unsigned i = leases++ % FAKE_WORKERS;

    fake_open(&f, i);
    fake_grant(&f, shape, leases, i);
    mob_owner_flush(f.o);
    ck_assert(fake_claim(&f, i, &t, &body));
    return t;
}

static void end(const struct mob_task_frame *t, enum mob_code code)
{
    fake_over(&f, leases, (leases - 1) % FAKE_WORKERS, FAKE_NODE, code, t);
    mob_owner_flush(f.o);
    mob_owner_check(f.o);
}

static void open_owner(void)
{
    leases = 0;
    fake_keep_memory();
    fake_init(&f);
    shape = fake_shape(&f);
}

/* The one task rests for so long, to the nanosecond. */
static void expect_rest(int64_t ns)
{
    ck_assert_uint_eq(mob_owner_counts(f.o).resting, 1);
    f.now_ns += ns - 1;
    mob_owner_flush(f.o);
    ck_assert_uint_eq(mob_owner_counts(f.o).resting, 1);
    f.now_ns += 1;
    mob_owner_flush(f.o);
    ck_assert_uint_eq(mob_owner_counts(f.o).resting, 0);
}

/* After each attempt that was ended for want of memory the pause is twice as long, up to a minute; chance makes it a quarter shorter or
 * longer; and however often, it costs no retry. */
START_TEST(test_starved)
{
    static const int64_t seconds[] = { 1, 2, 4, 8, 16, 32, 60, 60, 60 };
    uint64_t ref;

    open_owner();
    ref = fake_submit(&f, shape, 1, NULL, 0);
    struct mob_task_frame t = begin();
    end(&t, MOB_ERR_WORKER_CRASHED);                    /* takes its one retry, at once */
    for (size_t i = 0; i < MOB_COUNT(seconds); i++) {
        int64_t ns = seconds[i] * 1000 * FAKE_MS;

        t = begin();
        ck_assert_uint_eq(t.attempt, i + 1);
        f.chance = _i == 0 ? 0 : (uint64_t)(ns / 2);
        end(&t, MOB_ERR_OUT_OF_MEMORY);
        ns = _i == 0 ? ns * 3 / 4 : ns * 5 / 4;
        ck_assert_int_eq(mob_owner_flush(f.o) <= f.now_ns + ns, 1);
        expect_rest(ns);
        ck_assert_uint_eq(mob_owner_counts(f.o).queued, 1);
    }
    t = begin();
    end(&t, MOB_ERR_WORKER_CRASHED);
    ck_assert_int_eq(fake_look(&f, ref).error->code, MOB_ERR_WORKER_CRASHED);
    ck_assert_ptr_null(strstr(fake_look(&f, ref).error->text, "different workers"));
    fake_finish(&f);
}
END_TEST

/* Not even once more: what may run at most once; and what had more than it asked for has its retries, and no more. */
START_TEST(test_starved_for_good)
{
    uint64_t ref;

    open_owner();
    ref = fake_submit(&f, shape, _i, NULL, 0);
    f.beyond_ask = _i > 0;
    for (int i = 0; i <= _i; i++) {
        ck_assert_int_eq(fake_look(&f, ref).state, MOB_OBJECT_PENDING);
        struct mob_task_frame t = begin();
        end(&t, MOB_ERR_OUT_OF_MEMORY);
        ck_assert_uint_eq(mob_owner_counts(f.o).resting, 0);
    }
    ck_assert_int_eq(fake_look(&f, ref).error->code, MOB_ERR_OUT_OF_MEMORY);
    ck_assert_int_eq(fake_look(&f, ref).error->attempt, _i);
    fake_finish(&f);
}
END_TEST

/* Many rest; they are cancelled in any order, and those that are left come back when it is their time. */
START_TEST(test_cancelled_while_they_rest)
{
    enum { N = 300 };
    uint64_t refs[N], random = 7;
    unsigned left = N;

    open_owner();
    for (int i = 0; i < N; i++) {
        refs[i] = fake_submit(&f, shape, 3, NULL, 0);
        struct mob_task_frame t = begin();
        f.chance = unit_random(&random);
        f.now_ns += FAKE_MS / 10;
        end(&t, MOB_ERR_OUT_OF_MEMORY);
    }
    ck_assert_uint_eq(mob_owner_counts(f.o).resting, N);
    ck_assert(mob_owner_is_needed(f.o));
    for (int i = 0; i < N; i += 1 + (int)(unit_random(&random) % 3), left--) {
        ck_assert_int_eq(mob_owner_cancel(f.o, refs[i], false, NULL), 0);
        ck_assert_int_eq(fake_look(&f, refs[i]).error->code, MOB_ERR_CANCELLED);
        mob_owner_check(f.o);
    }
    ck_assert_uint_eq(mob_owner_counts(f.o).resting, left);
    for (int ms = 0; ms < 1300; ms++) {
        f.now_ns += FAKE_MS;
        mob_owner_flush(f.o);
        mob_owner_check(f.o);
    }
    ck_assert_uint_eq(mob_owner_counts(f.o).queued, left);
    fake_finish(&f);
}
END_TEST

START_TEST(test_raylet_is_lost_while_they_rest)
{
    const struct mob_error why = { .code = MOB_ERR_UNREACHABLE, .text = "end of file" };
    uint64_t ref;

    open_owner();
    ref = fake_submit(&f, shape, 3, NULL, 0);
    struct mob_task_frame t = begin();
    end(&t, MOB_ERR_OUT_OF_MEMORY);
    mob_owner_raylet_lost(f.o, &why);
    ck_assert_int_eq(fake_look(&f, ref).error->code, MOB_ERR_NODE_DIED);
    ck_assert_uint_eq(mob_owner_counts(f.o).resting, 0);
    fake_finish(&f);
}
END_TEST

/* The worker answers with an error. */
static void answer_error(const struct mob_task_frame *t, enum mob_code code, int32_t user_code)
{
    struct mob_error why = { .code = code, .user_code = user_code, .text = "it did not work" };

    fake_reply(&f, (leases - 1) % FAKE_WORKERS, t, why.code, &why, sizeof why, 1000);
    fake_drain(&f);
    mob_owner_flush(f.o);
    mob_owner_check(f.o);
}

/* The task fails by itself, with this code. */
static void answer_failed(const struct mob_task_frame *t, int32_t code)
{
    answer_error(t, MOB_ERR_TASK, code);
}

/* After failures of its own a task is tried again if its rule names their codes, and as often as it has retries; in which deaths count,
 * too. */
START_TEST(test_own_failures)
{
    static const int32_t codes[] = { 11, 4 };
    struct mob_retry rule = { .codes = codes, .code_count = 2 }, any = { .code_count = 1 }, slow = { .delay_ns = 1 }, same = rule;
    uint16_t number, other;
    uint64_t ref;

    open_owner();
    ck_assert_int_eq(mob_owner_retry(f.o, &rule, &f.retry, NULL), 0);
    ck_assert_int_eq(mob_owner_retry(f.o, &any, &number, NULL), 0);
    ck_assert_int_eq(mob_owner_retry(f.o, &slow, &other, NULL), 0);
    ck_assert(f.retry != 0 && number != 0 && other != 0 && f.retry != number && number != other && other != f.retry);
    ck_assert_int_eq(mob_owner_retry(f.o, &same, &other, NULL), 0);
    ck_assert_uint_eq(other, f.retry);
    ref = fake_submit(&f, shape, 2, NULL, 0);
    struct mob_task_frame t = begin();
    answer_failed(&t, 4);
    ck_assert_int_eq(fake_look(&f, ref).state, MOB_OBJECT_PENDING);
    const void *body;
    ck_assert(fake_claim(&f, 0, &t, &body));            /* at once, where it was */
    ck_assert_uint_eq(t.attempt, 1);
    end(&t, MOB_ERR_WORKER_CRASHED);
    t = begin();
    answer_failed(&t, 11);
    ck_assert_int_eq(fake_look(&f, ref).error->code, MOB_ERR_TASK);
    ck_assert_int_eq(fake_look(&f, ref).error->user_code, 11);
    ck_assert_int_eq(fake_look(&f, ref).error->attempt, 2);
    ref = fake_submit(&f, shape, 2, NULL, 0);
    mob_owner_flush(f.o);
    ck_assert(fake_claim(&f, leases - 1, &t, &body));
    answer_failed(&t, 5);                                        /* another one */
    ck_assert_int_eq(fake_look(&f, ref).error->user_code, 5);
    f.retry = number;
    ref = fake_submit(&f, shape, 1, NULL, 0);
    mob_owner_flush(f.o);
    ck_assert(fake_claim(&f, leases - 1, &t, &body));
    answer_failed(&t, 5);
    ck_assert_int_eq(fake_look(&f, ref).state, MOB_OBJECT_PENDING);
    fake_finish(&f);
}
END_TEST

/* There was no room where it ran: it rests, and is tried again three times, free of charge. Not if it may run but once, nor if no other node
 * could have more; and nobody takes the error for one of where he runs himself. */
START_TEST(test_no_room)
{
    static const struct { int retries; unsigned rests; int32_t last; } cases[] = {
        { 0, 0, MOB_NO_SPACE_HERE }, { 1, 3, MOB_NO_SPACE_HERE }, { 1, 1, 0 }, { -1, 3, MOB_NO_SPACE_HERE },
    };
    struct mob_task_frame t;
    uint64_t ref;

    open_owner();
    ref = fake_submit(&f, shape, cases[_i].retries, NULL, 0);
    for (unsigned i = 0; i < cases[_i].rests; i++) {
        t = begin();
        ck_assert_uint_eq(t.attempt, i);
        answer_error(&t, MOB_ERR_NO_SPACE, MOB_NO_SPACE_HERE);
        ck_assert_uint_eq(mob_owner_counts(f.o).resting, 1);
        f.now_ns += INT64_C(75000000000);
        mob_owner_flush(f.o);
        ck_assert_uint_eq(mob_owner_counts(f.o).resting, 0);
        fake_over(&f, leases, (leases - 1) % FAKE_WORKERS, FAKE_NODE, MOB_OK, NULL);
    }
    t = begin();
    answer_error(&t, MOB_ERR_NO_SPACE, cases[_i].last);
    ck_assert_int_eq(fake_look(&f, ref).error->code, MOB_ERR_NO_SPACE);
    ck_assert_int_eq(fake_look(&f, ref).error->user_code, 0);
    fake_finish(&f);
}
END_TEST

/* A delay of its own, after failures and deaths alike; it doubles by itself, whatever memory did. */
START_TEST(test_delay)
{
    static const struct { int how; int64_t ms; } steps[] = {
        { MOB_ERR_TASK, 200 }, { MOB_ERR_WORKER_CRASHED, 400 }, { MOB_ERR_OUT_OF_MEMORY, 1000 }, { MOB_ERR_NODE_DIED, 800 },
    };
    struct mob_retry rule = { .delay_ns = 200 * FAKE_MS, .code_count = 1 };

    open_owner();
    ck_assert_int_eq(mob_owner_retry(f.o, &rule, &f.retry, NULL), 0);
    fake_submit(&f, shape, -1, NULL, 0);
    for (size_t i = 0; i < MOB_COUNT(steps); i++) {
        struct mob_task_frame t = begin();
        f.chance = (uint64_t)(steps[i].ms * FAKE_MS / 4);
        if (steps[i].how == MOB_ERR_TASK)
            answer_failed(&t, 1);
        else
            end(&t, steps[i].how);
        expect_rest(steps[i].ms * FAKE_MS);
        if (steps[i].how == MOB_ERR_TASK)
            fake_over(&f, leases, (leases - 1) % FAKE_WORKERS, FAKE_NODE, MOB_ERR_WORKER_CRASHED, NULL);
    }
    fake_finish(&f);
}
END_TEST

/* A node had many tasks when it died: one message asks for what they need; and of a rule with a delay the one that ran alone rests. */
START_TEST(test_many_at_once)
{
    enum { N = 2000 };
    struct mob_retry rule = { .delay_ns = 100 * FAKE_MS };
    uint64_t random = 3;
    struct mob_task_frame t;
    const void *body;
    unsigned wants;

    open_owner();
    if (_i == 1)
        mob_owner_retry(f.o, &rule, &f.retry, NULL);
    fake_open(&f, 0);
    for (int i = 0; i < N; i++)
        fake_submit(&f, shape, 3, NULL, 0);
    fake_grant(&f, shape, 1, 0);
    mob_owner_flush(f.o);
    ck_assert(fake_claim(&f, 0, &t, &body));
    wants = f.sent[MOBULA__ENVELOPE__BODY_WANT];
    f.chance = unit_random(&random);
    fake_over(&f, 1, 0, FAKE_NODE, MOB_ERR_NODE_DIED, &t);
    mob_owner_flush(f.o);
    ck_assert_uint_eq(mob_owner_counts(f.o).queued, N - (unsigned)_i);
    ck_assert_uint_le(f.sent[MOBULA__ENVELOPE__BODY_WANT] - wants, 1);
    fake_finish(&f);
}
END_TEST

START_TEST(test_explained)
{
    char name[MOB_OBJECT_NAME_SIZE];
    uint64_t ref;

    open_owner();
    ref = fake_submit(&f, shape, 3, NULL, 0);
    struct mob_task_frame t = begin();
    end(&t, MOB_ERR_OUT_OF_MEMORY);
    mob_task_name((struct mob_address){ FAKE_NODE, FAKE_PROCESS }, ref, name);
    char *asked = mob_printf("{\"tasks\":[\"%s\"]}", name), *text = mob_owner_explain(f.o, asked);
    ck_assert_ptr_nonnull(strstr(text, "\"state\":\"RESTING\",\"rest_ms\":750"));
    ck_assert_ptr_nonnull(strstr(text, "\"error\":\"MOB_ERR_OUT_OF_MEMORY\",\"where\":\"host-b\""));
    free(text);
    f.now_ns += 800 * FAKE_MS;                                  /* and another end: that is the last one then, though it rests not */
    t = begin();
    end(&t, MOB_ERR_WORKER_CRASHED);
    text = mob_owner_explain(f.o, asked);
    ck_assert_ptr_nonnull(strstr(text, "\"error\":\"MOB_ERR_WORKER_CRASHED\""));
    free(asked);
    free(text);
    fake_finish(&f);
}
END_TEST

UNIT_CASE("owner_backoff", tcase)
{
    UNIT_TESTS(tcase, test_cancelled_while_they_rest, test_raylet_is_lost_while_they_rest, test_own_failures, test_delay,
               test_explained);
    tcase_add_loop_test(tcase, test_starved, 0, 2);
    tcase_add_loop_test(tcase, test_starved_for_good, 0, 3);
    tcase_add_loop_test(tcase, test_no_room, 0, 4);
    tcase_add_loop_test(tcase, test_many_at_once, 0, 2);
}
