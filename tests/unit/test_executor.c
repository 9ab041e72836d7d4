/* SPDX-License-Identifier: Apache-2.0 */
/* test_executor.c -- the executor core on a channel in plain memory: the test is owner and raylet. */
#include "unit.h"

#include "common/wire.h"
#include "worker/executor.h"

struct bench {
    struct mob_world world;
    int64_t now_ns;
    uint32_t assigned, assigned_count;  /* what the executor told its raylet */
    struct mob_wire *wire;
    struct mob_page *owner_page, *worker_page;
    struct mob_doorbell owner_bell, worker_bell;
    void *memory;
    struct mob_channel *owner, *worker;
    struct mob_executor *executor;
};

static const struct mob_address raylet = { 2, 0 }, driver = { 2, 5 }, self = { 2, 7 };

static int64_t fake_now(struct mob_world *w)
{
    return MOB_CONTAINER(w, struct bench, world)->now_ns += 10;
}

static void fake_send(struct mob_world *w, uint64_t link, const void *frame, size_t size)
{
    struct bench *b = MOB_CONTAINER(w, struct bench, world);
    const Mobula__Envelope *e = mob_wire_unpack(b->wire, frame, size, NULL);

    ck_assert_uint_eq(link, 1);
    ck_assert_ptr_nonnull(e);
    ck_assert_int_eq(e->body_case, MOBULA__ENVELOPE__BODY_ASSIGNED);
    b->assigned = e->assigned->epoch;
    b->assigned_count++;
}

static struct mob_page *page_create(void)
{
    struct mob_page *page = aligned_alloc(64, MOB_PAGE_SIZE);

    memset(page, 0, MOB_PAGE_SIZE);
    page->magic = MOB_PAGE_MAGIC;
    page->version = MOB_PAGE_VERSION;
    return page;
}

static struct bench *bench_create(void)
{
    struct bench *b = mob_new(struct bench);
    struct mob_executor_config config = { .cluster = 9, .self = self, .raylet = 1 };

    b->world.now_ns = fake_now;
    b->world.send = fake_send;
    b->wire = mob_wire_create();
    b->owner_page = page_create();
    b->worker_page = config.page = page_create();
    b->owner_bell = (struct mob_doorbell){ b->owner_page, -1 };
    b->worker_bell = (struct mob_doorbell){ b->worker_page, -1 };
    b->memory = aligned_alloc(4096, (mob_channel_memory_size() + 4095) / 4096 * 4096);
    memset(b->memory, 0, mob_channel_memory_size());
    b->owner = mob_channel_on_memory(b->memory, &b->worker_bell, MOB_CHANNEL_OWNER, 3);
    b->worker = mob_channel_on_memory(b->memory, &b->owner_bell, MOB_CHANNEL_WORKER, 4);
    b->executor = mob_executor_create(&b->world, &config);
    return b;
}

static void bench_destroy(struct bench *b)
{
    mob_executor_destroy(b->executor);          /* closes the worker's end, if it was given */
    mob_channel_close(b->owner);
    mob_wire_destroy(b->wire);
    free(b->memory);
    free(b->owner_page);
    free(b->worker_page);
    free(b);
}

static void assign_to(struct bench *b, struct mob_address to, uint32_t epoch)
{
    Mobula__Assign m = MOBULA__ASSIGN__INIT;
    Mobula__Address owner;
    struct mob_envelope out;
    const void *bytes;
    size_t size;

    mob_wire_put_address(&owner, to);
    m.epoch = epoch;
    m.owner = &owner;
    m.lease = 70 + epoch;
    m.depth = 1;
    mob_envelope_init(&out, raylet, self, MOBULA__ENVELOPE__BODY_ASSIGN);
    out.e.assign = &m;
    bytes = mob_wire_pack(b->wire, &out.e, &size);
    mob_executor_receive(b->executor, bytes, size);
}

static void assign(struct bench *b, uint32_t epoch)
{
    assign_to(b, driver, epoch);
}

static void push(struct bench *b, uint64_t task, uint32_t epoch, const void *body, size_t size, uint32_t args)
{
    void *to;
    struct mob_task_frame *f = mob_channel_reserve(b->owner, size, &to);

    ck_assert_ptr_nonnull(f);
    memset(f, 0, sizeof *f);
    f->task = task;
    f->function = 11;
    f->epoch = epoch;
    f->args = args;
    f->body_size = (uint32_t)size;
    f->attempt = 1;
    f->returns = 1;
    if (size > 0)
        memcpy(to, body, size);
    mob_channel_commit(b->owner);
}

static struct bench *bench_ready(void)
{
    struct bench *b = bench_create();

    mob_executor_channel(b->executor, driver, b->worker);
    assign(b, 1);
    return b;
}

START_TEST(test_runs_in_order_and_answers)
{
    struct bench *b = bench_ready();
    struct { struct mob_arg_head head; char text[8]; } body = { { MOB_VALUE_INLINE, 5 }, "hello" };
    struct mob_result result = { .kind = MOB_VALUE_INLINE, .data = "ok", .size = 2 };
    struct mob_answer_frame answer;
    struct mob_run run;
    const void *bytes;

    ck_assert_uint_eq(b->assigned, 1);
    ck_assert_uint_eq(atomic_load(&b->worker_page->epoch), 1);
    ck_assert(!mob_executor_claim(b->executor, &run));
    push(b, 100, 1, &body, sizeof body, 1);
    push(b, 101, 1, NULL, 0, 0);
    ck_assert(mob_executor_pending(b->executor));
    ck_assert(mob_executor_claim(b->executor, &run));
    ck_assert_uint_eq(run.task, 100);
    ck_assert_uint_eq(run.arg_count, 1);
    ck_assert_mem_eq(run.args[0].data, "hello", 5);
    ck_assert_uint_eq(atomic_load(&b->worker_page->task), 100);
    ck_assert_int_ne(atomic_load(&b->worker_page->claimed_ns), 0);
    ck_assert_uint_eq(mob_executor_result_id(b->executor, &run, 0).process, driver.process);
    ck_assert(mob_executor_finish(b->executor, &run, &result));
    ck_assert_int_eq(atomic_load(&b->worker_page->claimed_ns), 0);
    ck_assert(mob_executor_claim(b->executor, &run));
    ck_assert_uint_eq(run.task, 101);
    ck_assert(mob_channel_answer(b->owner, &answer, &bytes));
    ck_assert_uint_eq(answer.task, 100);
    ck_assert_int_eq(answer.status, MOB_OK);
    ck_assert_mem_eq((const char *)bytes + sizeof(struct mob_arg_head), "ok", 2);
    ck_assert(atomic_load(&b->owner_page->dirty[0]) != 0);
    bench_destroy(b);
}
END_TEST

START_TEST(test_a_stream_yields_what_is_allowed_and_not_had)
{
    struct bench *b = bench_ready();
    struct mob_result item = { .kind = MOB_VALUE_INLINE, .data = "ok", .size = 2 };
    struct mob_answer_frame answer;
    struct mob_task_frame *f;
    struct mob_run run;
    const void *bytes;
    uint64_t sequence;
    void *to;

    f = mob_channel_reserve(b->owner, 0, &to);
    *f = (struct mob_task_frame){ .task = 100, .function = 11, .epoch = 1, .attempt = 1, .returns = 1, .flags = MOB_TASK_STREAM, .had = 1,
                                  .first = 1 };
    sequence = mob_channel_commit(b->owner);
    ck_assert(mob_executor_claim(b->executor, &run));
    ck_assert(run.streams);
    ck_assert_int_eq(mob_executor_yield(b->executor, &run, &item), MOB_YIELD_SKIP);
    ck_assert_uint_eq(mob_executor_item_index(b->executor), 2);
    ck_assert_int_eq(mob_executor_yield(b->executor, &run, &item), MOB_YIELD_SEND);
    ck_assert_int_eq(mob_executor_yield(b->executor, &run, &item), MOB_YIELD_WAIT);
    ck_assert(mob_channel_answer(b->owner, &answer, &bytes));
    ck_assert_int_eq(answer.status, MOB_ANSWER_ITEM);
    ck_assert_uint_eq(answer.item, 1);
    ck_assert_mem_eq((const char *)bytes + sizeof(struct mob_arg_head), "ok", 2);
    mob_channel_answer_done(b->owner);
    ck_assert(!mob_channel_answer(b->owner, &answer, &bytes));
    mob_channel_allow(b->owner, sequence, MOB_STREAM_UNREAD);
    ck_assert_int_eq(mob_executor_yield(b->executor, &run, &item), MOB_YIELD_SKIP);
    mob_channel_allow(b->owner, sequence, MOB_STREAM_STOP);
    ck_assert_int_eq(mob_executor_yield(b->executor, &run, &item), MOB_YIELD_STOP);
    ck_assert(mob_executor_finish(b->executor, &run, &item));
    ck_assert(mob_channel_answer(b->owner, &answer, &bytes));
    ck_assert_int_eq(answer.status, MOB_OK);
    bench_destroy(b);
}
END_TEST

START_TEST(test_epoch_changes_between_tasks)
{
    struct bench *b = bench_ready();
    struct mob_result result = { .kind = MOB_VALUE_INLINE };
    struct mob_run run;

    push(b, 100, 1, NULL, 0, 0);
    push(b, 101, 1, NULL, 0, 0);
    ck_assert(mob_executor_claim(b->executor, &run));
    assign(b, 2);
    ck_assert_uint_eq(b->assigned, 1);
    ck_assert_uint_eq(atomic_load(&b->worker_page->epoch), 1);
    ck_assert(mob_executor_finish(b->executor, &run, &result));
    ck_assert_uint_eq(b->assigned, 2);
    ck_assert_uint_eq(atomic_load(&b->worker_page->epoch), 2);
    ck_assert(!mob_executor_claim(b->executor, &run));          /* 101 is of the old epoch */
    push(b, 102, 2, NULL, 0, 0);
    ck_assert(mob_executor_claim(b->executor, &run));
    ck_assert_uint_eq(run.task, 102);
    assign(b, 1);                                               /* late: ignored */
    ck_assert(mob_executor_finish(b->executor, &run, &result));
    ck_assert_uint_eq(atomic_load(&b->worker_page->epoch), 2);
    bench_destroy(b);
}
END_TEST

START_TEST(test_assigned_before_its_channel)
{
    struct bench *b = bench_create();
    struct mob_run run;

    assign(b, 1);
    push(b, 100, 1, NULL, 0, 0);
    ck_assert(!mob_executor_claim(b->executor, &run));
    mob_executor_channel(b->executor, driver, b->worker);
    ck_assert(mob_executor_claim(b->executor, &run));
    bench_destroy(b);
}
END_TEST

START_TEST(test_cancelled_before_it_starts)
{
    struct bench *b = bench_ready();
    struct mob_answer_frame answer;
    struct mob_run run;
    const void *bytes;

    push(b, 100, 1, NULL, 0, 0);
    atomic_store(&b->worker_page->cancel_task, 100);
    atomic_store(&b->worker_page->cancel_attempt, 1);
    ck_assert(!mob_executor_claim(b->executor, &run));
    ck_assert(mob_channel_answer(b->owner, &answer, &bytes));
    ck_assert_int_eq(answer.status, MOB_ERR_CANCELLED);
    bench_destroy(b);
}
END_TEST

START_TEST(test_error_travels_cut_or_whole)
{
    struct bench *b = bench_ready();
    struct mob_answer_frame answer;
    struct mob_error why = { .code = MOB_ERR_TASK, .user_code = 42 }, got = { 0 };
    struct mob_run run;
    const void *bytes;

    memset(why.text, 'x', sizeof why.text - 1);
    push(b, 100, 1, NULL, 0, 0);
    ck_assert(mob_executor_claim(b->executor, &run));
    mob_executor_fail(b->executor, &run, &why);
    ck_assert(mob_channel_answer(b->owner, &answer, &bytes));
    ck_assert_int_eq(answer.status, MOB_ERR_TASK);
    ck_assert_uint_ge(answer.body_size, 900);
    memcpy(&got, bytes, answer.body_size);
    ck_assert_int_eq(got.user_code, 42);
    ck_assert_uint_lt(strlen(got.text), sizeof got.text);
    bench_destroy(b);
}
END_TEST

START_TEST(test_malformed_arguments_are_an_answer)
{
    struct bench *b = bench_ready();
    struct mob_arg_head heads[] = { { MOB_VALUE_INLINE, 1000 }, { 77, 0 }, { MOB_VALUE_STORED, 4 }, { MOB_VALUE_FORWARD, 0 } };
    struct mob_answer_frame answer;
    struct mob_run run;
    const void *bytes;

    push(b, 100, 1, &heads[_i], sizeof heads[_i], 1);
    push(b, 101, 1, NULL, 0, 1000000);
    push(b, 102, 1, NULL, 0, 0);
    ck_assert(mob_executor_claim(b->executor, &run));
    ck_assert_uint_eq(run.task, 102);
    for (int i = 0; i < 2; i++) {
        ck_assert(mob_channel_answer(b->owner, &answer, &bytes));
        ck_assert_int_eq(answer.status, MOB_ERR_PROTOCOL);
        mob_channel_answer_done(b->owner);
    }
    bench_destroy(b);
}
END_TEST

START_TEST(test_answer_without_room_is_refused_unharmed)
{
    struct bench *b = bench_ready();
    struct mob_result large = { .kind = MOB_VALUE_INLINE, .data = calloc(1, 2 << 20), .size = 2 << 20 };
    struct mob_result stored = { .kind = MOB_VALUE_STORED, .stored = { .size = 2 << 20, .node = 2 } };
    struct mob_answer_frame answer;
    struct mob_run run;
    const void *bytes;

    push(b, 100, 1, NULL, 0, 0);
    ck_assert(mob_executor_claim(b->executor, &run));
    ck_assert(!mob_executor_finish(b->executor, &run, &large));
    ck_assert(!mob_channel_answer(b->owner, &answer, &bytes));
    ck_assert(mob_executor_finish(b->executor, &run, &stored));
    ck_assert(mob_channel_answer(b->owner, &answer, &bytes));
    ck_assert_int_eq(answer.status, MOB_OK);
    free((void *)(uintptr_t)large.data);
    bench_destroy(b);
}
END_TEST

/* Who blocks rings its owner, if others stand behind: urgently, with the bit that means "look at all". */
START_TEST(test_a_blocked_task_rings_for_those_behind_it)
{
    struct bench *b = bench_ready();
    struct mob_result result = { .kind = MOB_VALUE_INLINE };
    struct mob_run run;

    push(b, 1, 1, NULL, 0, 0);
    ck_assert(mob_executor_claim(b->executor, &run));
    mob_executor_block(b->executor);
    ck_assert_int_eq(atomic_load(&b->worker_page->state), MOB_WORKER_BLOCKED);
    ck_assert_uint_eq(atomic_load(&b->owner_page->dirty[MOB_DIRTY_BITS / 64 - 1]), 0);      /* nobody waits behind it */
    mob_executor_unblock(b->executor);
    ck_assert_int_eq(atomic_load(&b->worker_page->state), MOB_WORKER_RUNNING);
    push(b, 2, 1, NULL, 0, 0);
    atomic_store(&b->owner_page->asleep, MOB_DOZING);
    mob_executor_block(b->executor);
    ck_assert_uint_eq(atomic_load(&b->owner_page->dirty[MOB_DIRTY_BITS / 64 - 1]), UINT64_C(1) << 63);
    ck_assert_int_eq(atomic_load(&b->owner_page->asleep), MOB_AWAKE);
    ck_assert(mob_executor_finish(b->executor, &run, &result));
    ck_assert_int_eq(atomic_load(&b->worker_page->state), MOB_WORKER_IDLE);
    bench_destroy(b);
}
END_TEST

/* One of many owners, with a channel of its own. */
struct one_of_many {
    void *memory;
    struct mob_channel *end;
};

static struct one_of_many channel_from(struct bench *b, uint32_t process)
{
    struct one_of_many o;

    o.memory = aligned_alloc(4096, (mob_channel_memory_size() + 4095) / 4096 * 4096);
    memset(o.memory, 0, mob_channel_memory_size());
    o.end = mob_channel_on_memory(o.memory, &b->worker_bell, MOB_CHANNEL_OWNER, 3);
    mob_executor_channel(b->executor, (struct mob_address){ 2, process },
                         mob_channel_on_memory(o.memory, &b->owner_bell, MOB_CHANNEL_WORKER, 4));
    return o;
}

/* Can it be lent to this owner without a new channel? */
static bool has_channel(struct bench *b, struct one_of_many *o, uint32_t process, uint32_t epoch)
{
    struct mob_result result = { .kind = MOB_VALUE_INLINE };
    struct mob_channel *end = b->owner;
    struct mob_run run;
    bool claimed;

    assign_to(b, (struct mob_address){ 2, process }, epoch);
    b->owner = o->end;
    push(b, 77, epoch, NULL, 0, 0);
    b->owner = end;
    claimed = mob_executor_claim(b->executor, &run);
    if (claimed)
        ck_assert(mob_executor_finish(b->executor, &run, &result));
    return claimed;
}

/* Owners come and go; the raylet counts on the newest 16, and on its own. What is in use stays. */
START_TEST(test_channels_of_old_owners_go)
{
    enum { N = 40 };
    struct bench *b = bench_ready();
    struct one_of_many all[N + 2];
    uint32_t epoch = 1;

    all[N] = channel_from(b, 0);        /* the raylet's */
    for (uint32_t i = 0; i < N; i++) {
        all[i] = channel_from(b, 100 + i);
        if (i < 2)
            ck_assert(has_channel(b, &all[i], 100 + i, ++epoch));
    }
    ck_assert(has_channel(b, &all[1], 101, epoch));             /* in use all the time */
    for (uint32_t i = N - MOB_EXECUTOR_CHANNELS; i < N; i++)
        ck_assert(has_channel(b, &all[i], 100 + i, ++epoch));
    ck_assert(has_channel(b, &all[N], 0, ++epoch));
    all[N + 1] = channel_from(b, 500);  /* 101 is not in use any more: it goes, too */
    ck_assert(!has_channel(b, &all[0], 100, ++epoch));
    ck_assert(!has_channel(b, &all[1], 101, ++epoch));
    ck_assert(!has_channel(b, &all[10], 110, ++epoch));
    for (uint32_t i = 0; i < MOB_COUNT(all); i++) {
        mob_channel_close(all[i].end);
        free(all[i].memory);
    }
    bench_destroy(b);
}
END_TEST

UNIT_CASE("executor", tcase)
{
    UNIT_TESTS(tcase, test_runs_in_order_and_answers, test_a_stream_yields_what_is_allowed_and_not_had,
               test_epoch_changes_between_tasks, test_assigned_before_its_channel, test_cancelled_before_it_starts,
               test_error_travels_cut_or_whole, test_answer_without_room_is_refused_unharmed, test_channels_of_old_owners_go,
               test_a_blocked_task_rings_for_those_behind_it);
    tcase_add_loop_test(tcase, test_malformed_arguments_are_an_answer, 0, 4);
}
