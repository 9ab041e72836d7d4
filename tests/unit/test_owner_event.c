/* SPDX-License-Identifier: Apache-2.0 */
/* test_owner_event.c -- what an owner tells of its tasks, for the record: when, how much of it, and in whole lives. */
#include "common/event.h"
#include "tests/unit/owner_fake.h"
#include "tests/unit/unit.h"

START_TEST(test_events_are_bounded_and_counted)
{
    struct fake f;
    uint32_t shape = fake_start(&f);

    for (int i = 0; i < 100000; i++)
        mob_owner_drop(f.o, fake_submit(&f, shape, 3, NULL, 0), NULL);
    f.now_ns += 300 * FAKE_MS;
    mob_owner_flush(f.o);
    ck_assert_uint_le(f.sent[MOBULA__ENVELOPE__BODY_EVENTS], 6);
    ck_assert_uint_gt(f.last[MOBULA__ENVELOPE__BODY_EVENTS]->events->dropped, 70000);
    fake_finish(&f);
}
END_TEST

START_TEST(test_events_tell_what_ran_when)
{
    struct fake f;
    uint32_t shape = fake_start(&f);
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
    fake_finish(&f);
}
END_TEST

/* A task that stood behind another runs since that one's answer, not since it was pushed. */
/* Its worker took longer to start than a report period: nothing is to be told when it starts to run, but later. */
START_TEST(test_events_of_one_that_started_late)
{
    struct fake f;
    struct mob_task_frame t;
    struct mob_event e;
    const void *body;

    fake_init(&f);
    uint32_t shape = fake_shape(&f);

    fake_submit(&f, shape, 3, NULL, 0);
    mob_owner_flush(f.o);
    f.now_ns += 300 * FAKE_MS;
    mob_owner_flush(f.o);
    uint32_t sent = f.sent[MOBULA__ENVELOPE__BODY_EVENTS];

    fake_open(&f, 0);
    fake_grant(&f, shape, 1, 0);
    mob_owner_flush(f.o);
    ck_assert(fake_claim(&f, 0, &t, &body));
    f.now_ns += 300 * FAKE_MS;
    mob_owner_flush(f.o);
    ck_assert_uint_eq(f.sent[MOBULA__ENVELOPE__BODY_EVENTS], sent + 1);
    const Mobula__Events *m = f.last[MOBULA__ENVELOPE__BODY_EVENTS]->events;

    ck_assert_uint_eq(m->records.len, sizeof e);
    memcpy(&e, m->records.data, sizeof e);
    ck_assert_uint_eq(e.kind, MOB_EVENT_RUNNING);
    fake_finish(&f);
}
END_TEST

/* The head is another one, its record empty: it hears names, and what is not over, in the states that these are in. */
START_TEST(test_events_again_for_another_head)
{
    const struct { enum mob_event_kind kind; unsigned task; } expected[] = {
        { MOB_EVENT_NAME, 0 }, { MOB_EVENT_SUBMITTED, 1 }, { MOB_EVENT_SUBMITTED, 2 }, { MOB_EVENT_SUBMITTED, 3 },
        { MOB_EVENT_RUNNING, 1 }, { MOB_EVENT_PUSHED, 2 },
    };
    Mobula__EventsAgain again = MOBULA__EVENTS_AGAIN__INIT;
    struct fake f;
    uint32_t shape = fake_start(&f);
    uint64_t tasks[4] = { 0 };
    struct mob_task_frame t;
    const void *body;

    fake_submit(&f, shape, 3, NULL, 0);
    mob_owner_flush(f.o);
    ck_assert(fake_claim(&f, 0, &t, &body));
    fake_reply_value(&f, 0, &t, 1, FAKE_MS);            /* this one is over */
    fake_drain(&f);
    tasks[1] = fake_submit(&f, shape, 3, NULL, 0);
    tasks[2] = fake_submit(&f, shape, 3, NULL, 0);
    tasks[3] = fake_submit(&f, shape, 3, &(struct mob_arg){ .ref = tasks[2] }, 1);
    mob_owner_flush(f.o);
    for (int i = 0; i < 2; i++) {
        f.now_ns += 300 * FAKE_MS;
        mob_owner_flush(f.o);
    }
    fake_tell(&f, FAKE_NODE, MOBULA__ENVELOPE__BODY_EVENTS_AGAIN, &again);
    f.now_ns += 300 * FAKE_MS;
    mob_owner_flush(f.o);
    const Mobula__Events *m = f.last[MOBULA__ENVELOPE__BODY_EVENTS]->events;
    struct mob_event e[MOB_COUNT(expected)];

    ck_assert_uint_eq(m->records.len, sizeof e);
    memcpy(e, m->records.data, sizeof e);
    for (size_t i = 0; i < MOB_COUNT(expected); i++) {
        ck_assert_uint_eq(e[i].kind, expected[i].kind);
        ck_assert(expected[i].task == 0 || e[i].task == tasks[expected[i].task]);
        ck_assert_uint_eq(e[i].waiting, i == 3);
    }
    fake_finish(&f);
}
END_TEST

/* Who may be ended soon does not wait for 200 ms, but not for ever so often; and what runs long is told all the same. */
START_TEST(test_events_in_a_hurry)
{
    struct fake f;
    uint32_t shape = fake_start(&f);
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
    fake_finish(&f);
}
END_TEST

START_TEST(test_events_of_a_task_behind_another)
{
    struct fake f;
    uint32_t shape = fake_start(&f);
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
    fake_finish(&f);
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
    uint32_t shape = fake_start(&f);
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
    fake_finish(&f);
}
END_TEST

/* A task that is done before it notices its cancel has one end. */
START_TEST(test_events_of_a_cancelled_task)
{
    struct fake f;
    uint32_t shape = fake_start(&f);
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
    fake_finish(&f);
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
    uint32_t shape = fake_start(&f);

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
    fake_finish(&f);
}
END_TEST

UNIT_MAIN("owner_event", test_events_are_bounded_and_counted, test_events_tell_what_ran_when, test_events_in_a_hurry,
          test_events_of_a_task_behind_another, test_events_of_each_state, test_events_of_a_cancelled_task, test_events_are_whole,
          test_events_of_one_that_started_late, test_events_again_for_another_head)
