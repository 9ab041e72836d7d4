/* SPDX-License-Identifier: Apache-2.0 */
/* test_raylet_proxy.c -- the raylet as producer for an owner elsewhere: frames into the ring, answers in batches, take-back, windows. */
#include <signal.h>

#include "raylet_fake.h"

struct scene {
    struct fake f;
    uint64_t link;                      /* to node 3, whose process 9 is the owner */
    struct fake_grant grant;
    void *memory;
    struct mob_doorbell to_worker, to_raylet;
    struct mob_page raylet_page;
    struct mob_channel *worker;         /* its end */
};

static void scene_open(struct scene *s)
{
    memset(s, 0, sizeof *s);
    fake_open(&s->f, "CPU=1");
    s->link = fake_peer(&s->f, 3);
    fake_place(&s->f, fake_at(3, 9), (struct fake_ask){ .count = 1 });
    fake_all_up(&s->f);
    ck_assert(fake_grant(&s->f, s->link, &s->grant));
    s->to_worker = (struct mob_doorbell){ &s->f.process[s->grant.worker].page, -1 };
    s->to_raylet = (struct mob_doorbell){ &s->raylet_page, -1 };
    s->memory = calloc(1, mob_channel_memory_size());
}

static void scene_connect(struct scene *s)
{
    struct mob_channel *owner = mob_channel_on_memory(s->memory, &s->to_worker, MOB_CHANNEL_OWNER, 1);

    s->worker = mob_channel_on_memory(s->memory, &s->to_raylet, MOB_CHANNEL_WORKER, 2);
    mob_raylet_channel(s->f.raylet, s->grant.worker, owner);
    s->f.process[s->grant.worker].page.epoch = s->grant.epoch;
}

static void scene_close(struct scene *s)
{
    fake_fini(&s->f);
    if (s->worker != NULL)
        mob_channel_close(s->worker);
    free(s->memory);
}

/* `count` tasks from number `first` on, each with `size` bytes. */
static void send_tasks(struct scene *s, uint64_t first, uint32_t count, uint32_t size)
{
    Mobula__TaskFrames m = MOBULA__TASK_FRAMES__INIT;
    size_t each = sizeof(struct mob_task_frame) + size;
    uint8_t *bytes = calloc(count, each);

    for (uint32_t i = 0; i < count; i++) {
        struct mob_task_frame frame = { .task = first + i, .attempt = 1, .body_size = size, .returns = 1 };

        memcpy(bytes + i * each, &frame, sizeof frame);
    }
    m.lease = s->grant.lease;
    m.count = count;
    m.frames.data = bytes;
    m.frames.len = count * each;
    fake_say(&s->f, s->link, fake_at(3, 9), fake_at(FAKE_NODE, 0), MOBULA__ENVELOPE__BODY_TASK_FRAMES, &m);
    free(bytes);
}

static bool claim(struct scene *s, struct mob_task_frame *frame)
{
    const void *body;

    return mob_channel_claim(s->worker, s->grant.epoch, frame, &body);
}

static void answer(struct scene *s, const struct mob_task_frame *frame)
{
    void *body;
    struct mob_answer_frame *a = mob_channel_reply(s->worker, 8, &body);

    ck_assert_ptr_nonnull(a);
    *a = (struct mob_answer_frame){ .task = frame->task, .attempt = frame->attempt, .body_size = 8, .returns = 1 };
    memset(body, 1, 8);
    mob_channel_reply_commit(s->worker);
}

static void drain(struct scene *s)
{
    mob_raylet_drain(s->f.raylet);
    mob_raylet_check(s->f.raylet);
}

static bool ended(struct scene *s)
{
    return s->f.process[s->grant.worker].killed == SIGKILL;
}

START_TEST(test_there_and_back)
{
    struct mob_task_frame frame;
    struct scene *s = malloc(sizeof *s);

    scene_open(s);
    send_tasks(s, 1, 300, 64);          /* before the channel is there */
    scene_connect(s);
    for (uint64_t i = 1; i <= 300; i++) {
        ck_assert(claim(s, &frame));
        ck_assert_uint_eq(frame.task, i);
        answer(s, &frame);
    }
    drain(s);
    Mobula__Envelope *e = fake_expect(&s->f, s->link, MOBULA__ENVELOPE__BODY_ANSWER_FRAMES);
    ck_assert_uint_eq(e->answer_frames->count, 256);
    ck_assert_uint_eq(e->answer_frames->frames.len, 256 * (sizeof(struct mob_answer_frame) + 8));
    ck_assert_uint_eq(e->to->process, 9);
    e = fake_take(&s->f, s->link, MOBULA__ENVELOPE__BODY_ANSWER_FRAMES);
    ck_assert_uint_eq(e->answer_frames->count, 44);
    ck_assert(!ended(s));
    scene_close(s);
    free(s);
}
END_TEST

/* Frames beyond the window, by count or bytes; the same task twice; cut off. */
static const struct { uint32_t tasks, size; bool twice, ends; } windows[] = {
    { 512, 0, false, false }, { 514, 0, false, true }, { 2, 500 << 10, false, false }, { 4, 300 << 10, false, true },
    { 1, 8, true, true }, { 1, 600 << 10, false, true },
};

START_TEST(test_window)
{
    struct scene *s = malloc(sizeof *s);

    scene_open(s);
    scene_connect(s);
    send_tasks(s, 1, windows[_i].tasks, windows[_i].size);
    if (windows[_i].twice)
        send_tasks(s, 1, 1, 8);
    ck_assert_int_eq(ended(s), windows[_i].ends);
    if (windows[_i].ends) {
        fake_reap(&s->f);
        Mobula__Envelope *e = fake_expect(&s->f, s->link, MOBULA__ENVELOPE__BODY_LEASE_OVER);
        ck_assert_int_eq(e->lease_over->cause->code, MOB_ERR_PROTOCOL);
    }
    scene_close(s);
    free(s);
}
END_TEST

START_TEST(test_take_back_and_long_tasks)
{
    struct mob_task_frame frame;
    struct scene *s = malloc(sizeof *s);
    Mobula__TakeBack m = MOBULA__TAKE_BACK__INIT;
    uint64_t tasks[] = { 1, 3, 77 };
    Mobula__Envelope *e;

    scene_open(s);
    scene_connect(s);
    send_tasks(s, 1, 5, 8);
    ck_assert(claim(s, &frame));
    m.lease = s->grant.lease;
    m.tasks = tasks;
    m.n_tasks = 3;
    fake_say(&s->f, s->link, fake_at(3, 9), fake_at(FAKE_NODE, 0), MOBULA__ENVELOPE__BODY_TAKE_BACK, &m);
    e = fake_take(&s->f, s->link, MOBULA__ENVELOPE__BODY_TAKEN);
    ck_assert_uint_eq(e->taken->n_tasks, 1);    /* 1 runs, 77 never was */
    ck_assert_uint_eq(e->taken->tasks[0], 3);
    fake_runs(&s->f, &s->grant, 1, 1);
    fake_pass(&s->f, 1);
    ck_assert_ptr_null(fake_take(&s->f, s->link, MOBULA__ENVELOPE__BODY_TAKEN));
    fake_pass(&s->f, 5);                /* it runs long */
    e = fake_expect(&s->f, s->link, MOBULA__ENVELOPE__BODY_TAKEN);
    ck_assert_uint_eq(e->taken->n_tasks, 3);
    ck_assert_uint_eq(e->taken->tasks[0], 2);
    fake_blocked(&s->f, s->grant.worker, true);
    send_tasks(s, 10, 2, 8);            /* to a blocked worker: back at once */
    e = fake_expect(&s->f, s->link, MOBULA__ENVELOPE__BODY_TAKEN);
    ck_assert_uint_eq(e->taken->n_tasks, 2);
    answer(s, &frame);
    drain(s);
    ck_assert_ptr_nonnull(fake_take(&s->f, s->link, MOBULA__ENVELOPE__BODY_ANSWER_FRAMES));
    scene_close(s);
    free(s);
}
END_TEST

static void allow(struct scene *s, uint64_t task, uint32_t attempt, uint32_t items)
{
    Mobula__Allow m = MOBULA__ALLOW__INIT;

    m.lease = s->grant.lease;
    m.task = task;
    m.attempt = attempt;
    m.items = items;
    fake_say(&s->f, s->link, fake_at(3, 9), fake_at(FAKE_NODE, 0), MOBULA__ENVELOPE__BODY_ALLOW, &m);
}

/* They leave the task in the air; what Allow says is there when the worker looks, also if it came before the ring did. */
START_TEST(test_items_pass_and_allow_reaches_the_worker)
{
    struct mob_task_frame frame;
    struct scene *s = malloc(sizeof *s);
    struct mob_answer_frame *a;
    Mobula__Envelope *e;
    void *body;

    scene_open(s);
    send_tasks(s, 1, 1, 8);
    allow(s, 1, 1, 5);
    scene_connect(s);
    ck_assert(claim(s, &frame));
    ck_assert_uint_eq(mob_channel_allowed(s->worker), 5);
    allow(s, 1, 0, 9);                  /* of an attempt that is over */
    allow(s, 2, 1, 9);
    ck_assert_uint_eq(mob_channel_allowed(s->worker), 5);
    allow(s, 1, 1, 6);
    ck_assert_uint_eq(mob_channel_allowed(s->worker), 6);
    a = mob_channel_item(s->worker, 8, &body);
    *a = (struct mob_answer_frame){ .task = 1, .attempt = 1, .returns = 1, .status = MOB_ANSWER_ITEM };
    memset(body, 1, 8);
    mob_channel_item_commit(s->worker);
    drain(s);
    e = fake_expect(&s->f, s->link, MOBULA__ENVELOPE__BODY_ANSWER_FRAMES);
    ck_assert_uint_eq(e->answer_frames->count, 1);
    answer(s, &frame);
    drain(s);
    ck_assert_ptr_nonnull(fake_take(&s->f, s->link, MOBULA__ENVELOPE__BODY_ANSWER_FRAMES));
    ck_assert(!ended(s));
    allow(s, 1, 1, 7);                  /* it is answered */
    scene_close(s);
    free(s);
}
END_TEST

START_TEST(test_answers_before_lease_over)
{
    struct mob_task_frame frame;
    struct scene *s = malloc(sizeof *s);
    size_t answers = 0, over = 0;

    scene_open(s);
    scene_connect(s);
    send_tasks(s, 1, 2, 8);
    ck_assert(claim(s, &frame));
    answer(s, &frame);
    fake_exit(&s->f, s->grant.worker, SIGSEGV);
    for (size_t i = 0; i < s->f.sent_count; i++) {
        struct fake_sent *sent = &s->f.sent[i];
        Mobula__Envelope *e = sent->bytes == NULL ? NULL : mob_wire_unpack(s->f.wire, sent->bytes, sent->size, NULL);

        if (e != NULL && e->body_case == MOBULA__ENVELOPE__BODY_ANSWER_FRAMES)
            answers = i + 1;
        if (e != NULL && e->body_case == MOBULA__ENVELOPE__BODY_LEASE_OVER)
            over = i + 1;
    }
    ck_assert_uint_gt(answers, 0);
    ck_assert_uint_gt(over, answers);
    scene_close(s);
    free(s);
}
END_TEST

START_TEST(test_worker_that_answers_what_it_was_not_given)
{
    struct mob_task_frame frame;
    struct scene *s = malloc(sizeof *s);

    scene_open(s);
    scene_connect(s);
    send_tasks(s, 1, 1, 8);
    ck_assert(claim(s, &frame));
    frame.task = 99;
    answer(s, &frame);
    drain(s);
    ck_assert(ended(s));
    fake_reap(&s->f);
    ck_assert(mob_raylet_quiet(s->f.raylet));
    scene_close(s);
    free(s);
}
END_TEST

START_TEST(test_owner_is_gone)
{
    struct scene *s = malloc(sizeof *s);
    Mobula__LeaseOver m = MOBULA__LEASE_OVER__INIT;
    Mobula__Address worker = MOBULA__ADDRESS__INIT;
    Mobula__Error cause = MOBULA__ERROR__INIT;

    scene_open(s);
    m.lease = s->grant.lease;
    m.worker = &worker;
    m.cause = &cause;
    fake_say(&s->f, s->link, fake_at(3, 0), fake_at(FAKE_NODE, 0), MOBULA__ENVELOPE__BODY_LEASE_OVER, &m);
    ck_assert(ended(s));
    fake_reap(&s->f);
    ck_assert(mob_raylet_quiet(s->f.raylet));
    scene_close(s);
    free(s);
}
END_TEST

UNIT_CASE("raylet_proxy", tcase)
{
    UNIT_TESTS(tcase, test_there_and_back, test_take_back_and_long_tasks, test_items_pass_and_allow_reaches_the_worker,
               test_answers_before_lease_over, test_worker_that_answers_what_it_was_not_given, test_owner_is_gone);
    tcase_add_loop_test(tcase, test_window, 0, (int)MOB_COUNT(windows));
}
