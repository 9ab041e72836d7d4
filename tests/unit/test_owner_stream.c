/* SPDX-License-Identifier: Apache-2.0 */
/* test_owner_stream.c -- items of a stream on the owner's side: their order, how many may come, retries, cancel, a reader that leaves, and
 * workers that do it wrong. */
#include "tests/unit/owner_stream.h"

START_TEST(test_items_come_before_the_end_and_are_read_in_turn)
{
    struct fake f;
    struct mob_task_frame t;
    struct mob_object_id name;
    uint64_t stream = running(&f, fake_start(&f), 3, 0, &t), ref, end;

    ck_assert_uint_eq(t.had, 0);
    ck_assert_uint_eq(t.first, 512);
    ck_assert(nothing_yet(&f, stream));
    item(&f, &t, 0, 70);
    item(&f, &t, 1, 71);
    ck_assert_uint_eq(take(&f, stream), 70);
    ck_assert_int_eq(mob_owner_stream_take(f.o, stream, &ref, NULL), 1);
    ck_assert_int_eq(mob_owner_name(f.o, ref, &name, NULL), 0);
    ck_assert_uint_eq(name.task, stream);
    ck_assert_uint_eq(name.index, 2);
    ck_assert(nothing_yet(&f, stream));
    item(&f, &t, 2, 72);
    fake_reply_value(&f, 0, &t, 9, 1000);
    fake_drain(&f);
    ck_assert_uint_eq(take(&f, stream), 72);
    ck_assert_int_eq(mob_owner_stream_is_over(f.o, stream, NULL), 1);
    ck_assert_int_eq(mob_owner_stream_take(f.o, stream, &end, NULL), 0);
    end = mob_owner_stream_end_ref(f.o, stream, NULL);
    ck_assert_uint_eq(*(const uint64_t *)fake_look(&f, end).data, 9);
    mob_owner_drop(f.o, end, NULL);
    ck_assert_int_eq(mob_owner_stream_close(f.o, stream, NULL), 0);
    ck_assert_int_lt(mob_owner_stream_close(f.o, stream, NULL), 0);
    mob_owner_check(f.o);
    ck_assert_uint_eq(*(const uint64_t *)fake_look(&f, ref).data, 71);      /* it lives on without its stream */
    mob_owner_drop(f.o, ref, NULL);
    all_gone(&f);
}
END_TEST

static void note_ready(struct mob_waiter *w)
{
    (void)w;
}

START_TEST(test_a_peeked_item_becomes_ready_or_an_error_at_the_end)
{
    struct fake f;
    struct mob_task_frame t;
    struct mob_waiter w = { .ready = note_ready };
    uint64_t stream = running(&f, fake_start(&f), 3, 0, &t), first = mob_owner_stream_peek(f.o, stream, NULL), second;

    ck_assert_uint_eq(first, mob_owner_stream_peek(f.o, stream, NULL));
    mob_owner_drop(f.o, first, NULL);
    mob_owner_check(f.o);
    ck_assert_int_eq(fake_look(&f, first).state, MOB_OBJECT_PENDING);
    mob_list_init(&w.link);
    ck_assert(mob_owner_wait(f.o, first, &w));
    item(&f, &t, 0, 70);
    ck_assert(mob_list_empty(&w.link));
    ck_assert_int_eq(fake_look(&f, first).state, MOB_OBJECT_INLINE);
    ck_assert_uint_eq(take(&f, stream), 70);
    mob_owner_drop(f.o, first, NULL);
    second = mob_owner_stream_peek(f.o, stream, NULL);
    fake_reply_value(&f, 0, &t, 0, 1000);
    fake_drain(&f);
    ck_assert_int_eq(fake_look(&f, second).state, MOB_OBJECT_ERROR);
    mob_owner_drop(f.o, second, NULL);
    second = mob_owner_stream_peek(f.o, stream, NULL);          /* the end: ready */
    ck_assert_int_eq(fake_look(&f, second).state, MOB_OBJECT_INLINE);
    mob_owner_drop(f.o, second, NULL);
    mob_owner_stream_close(f.o, stream, NULL);
    all_gone(&f);
}
END_TEST

START_TEST(test_a_failed_end_is_the_last_item)
{
    struct fake f;
    struct mob_task_frame t;
    struct mob_error why = { .code = MOB_ERR_TASK, .user_code = 4 };
    uint64_t stream = running(&f, fake_start(&f), 3, 0, &t), ref;

    item(&f, &t, 0, 70);
    fake_reply(&f, 0, &t, MOB_ERR_TASK, &why, sizeof why, 1000);
    fake_drain(&f);
    ck_assert_uint_eq(take(&f, stream), 70);
    ck_assert_int_eq(mob_owner_stream_is_over(f.o, stream, NULL), 0);
    ck_assert_int_eq(mob_owner_stream_take(f.o, stream, &ref, NULL), 1);
    ck_assert_int_eq(mob_owner_stream_is_over(f.o, stream, NULL), 1);
    ck_assert_int_eq(fake_look(&f, ref).error->user_code, 4);
    mob_owner_drop(f.o, ref, NULL);
    ck_assert_int_eq(mob_owner_stream_take(f.o, stream, &ref, NULL), 0);
    mob_owner_stream_close(f.o, stream, NULL);
    all_gone(&f);
}
END_TEST

START_TEST(test_a_bound_is_kept_and_rises_with_what_is_read)
{
    struct fake f;
    struct mob_task_frame t;
    uint64_t stream = running(&f, fake_start(&f), 3, 2, &t), end;

    ck_assert_uint_eq(t.first, 2);
    ck_assert_uint_eq(mob_channel_allowed(f.workers[0].end), 2);
    item(&f, &t, 0, 70);
    item(&f, &t, 1, 71);
    ck_assert_uint_eq(mob_channel_allowed(f.workers[0].end), 2);
    end = mob_owner_stream_end_ref(f.o, stream, NULL);
    struct mob_waiter w = { .ready = note_ready };
    mob_list_init(&w.link);
    ck_assert(mob_owner_wait(f.o, end, &w));
    ck_assert_uint_eq(mob_channel_allowed(f.workers[0].end), 2);        /* the reader's own bound */
    mob_owner_wait_cancel(f.o, &w);
    take(&f, stream);
    ck_assert_uint_eq(mob_channel_allowed(f.workers[0].end), 3);
    mob_owner_drop(f.o, end, NULL);
    mob_owner_stream_close(f.o, stream, NULL);
    ck_assert_uint_eq(mob_channel_allowed(f.workers[0].end), MOB_STREAM_UNREAD);
    item(&f, &t, 2, 72);                        /* on its way before that */
    fake_reply_value(&f, 0, &t, 0, 1000);
    fake_drain(&f);
    all_gone(&f);
}
END_TEST

/* Without a bound of the reader's, 64 MiB are; who waits for the end wants all. */
START_TEST(test_unread_bytes_are_bounded_until_somebody_waits_for_the_end)
{
    static struct { struct mob_arg_head head; char bytes[90000]; } large = { .head = { MOB_VALUE_INLINE, 90000 } };
    struct mob_waiter w = { .ready = note_ready };
    struct fake f;
    struct mob_task_frame t;
    uint64_t stream = running(&f, fake_start(&f), 3, 0, &t), end;
    uint32_t n = 0, allowed;

    while (n < (allowed = mob_channel_allowed(f.workers[0].end))) {
        ck_assert(send_item(&f, 0, &t, n++, &large, sizeof large));
        fake_drain(&f);
        ck_assert_uint_lt(n, 2000);
    }
    ck_assert_uint_gt(n, 700);
    end = mob_owner_stream_end_ref(f.o, stream, NULL);
    mob_list_init(&w.link);
    ck_assert(mob_owner_wait(f.o, end, &w));
    ck_assert_uint_eq(mob_channel_allowed(f.workers[0].end), n + 512);
    mob_owner_wait_cancel(f.o, &w);
    mob_owner_drop(f.o, end, NULL);
    mob_owner_stream_close(f.o, stream, NULL);
    mob_owner_check(f.o);
    fake_reply_value(&f, 0, &t, 0, 1000);
    fake_drain(&f);
    all_gone(&f);
}
END_TEST

START_TEST(test_a_retry_goes_on_after_what_came)
{
    struct fake f;
    struct mob_task_frame t, again;
    uint32_t shape = fake_start(&f);
    uint64_t stream = running(&f, shape, 3, 0, &t);
    const void *body;

    item(&f, &t, 0, 70);
    stored_item(&f, &t, 1);
    fake_over(&f, 1, 0, FAKE_NODE, MOB_ERR_WORKER_CRASHED, &t);
    mob_owner_flush(f.o);
    ck_assert_uint_eq(f.last[MOBULA__ENVELOPE__BODY_FREE]->free->maker, 100);
    for (size_t i = 0; i < f.last[MOBULA__ENVELOPE__BODY_FREE]->free->n_objects; i++)
        ck_assert_uint_ne(f.last[MOBULA__ENVELOPE__BODY_FREE]->free->objects[i]->index, 2);     /* that item is ours */
    ck_assert_uint_eq(f.last[MOBULA__ENVELOPE__BODY_FREE]->free->objects[1]->index, 3);
    ck_assert_uint_eq(take(&f, stream), 70);
    fake_open(&f, 0);
    fake_grant(&f, shape, 2, 0);
    mob_owner_flush(f.o);
    ck_assert(fake_claim(&f, 0, &again, &body));
    ck_assert_uint_eq(again.attempt, 1);
    ck_assert_uint_eq(again.had, 2);
    ck_assert_uint_eq(mob_channel_allowed(f.workers[0].end), 2 + 512);
    item(&f, &again, 2, 72);
    fake_reply_value(&f, 0, &again, 0, 1000);
    fake_drain(&f);
    mob_owner_stream_close(f.o, stream, NULL);
    mob_owner_flush(f.o);
    ck_assert_uint_eq(f.last[MOBULA__ENVELOPE__BODY_FREE]->free->objects[0]->index, 2);
    all_gone(&f);
}
END_TEST

START_TEST(test_cancel_stops_the_worker_and_keeps_what_came)
{
    struct fake f;
    struct mob_task_frame t;
    struct mob_error why = { .code = MOB_ERR_CANCELLED };
    uint64_t stream = running(&f, fake_start(&f), 3, 0, &t), end = mob_owner_stream_end_ref(f.o, stream, NULL), ref;

    item(&f, &t, 0, 70);
    ck_assert_int_eq(mob_owner_cancel(f.o, end, false, NULL), 0);
    ck_assert_uint_eq(mob_channel_allowed(f.workers[0].end), MOB_STREAM_STOP);
    stored_item(&f, &t, 1);                     /* it was on its way: freed */
    mob_owner_flush(f.o);
    ck_assert_uint_eq(f.last[MOBULA__ENVELOPE__BODY_FREE]->free->objects[0]->index, 2);
    fake_reply(&f, 0, &t, MOB_ERR_CANCELLED, &why, sizeof why, 1000);
    fake_drain(&f);
    ck_assert_uint_eq(take(&f, stream), 70);
    ck_assert_int_eq(mob_owner_stream_take(f.o, stream, &ref, NULL), 1);
    ck_assert_int_eq(fake_look(&f, ref).error->code, MOB_ERR_CANCELLED);
    mob_owner_drop(f.o, ref, NULL);
    mob_owner_drop(f.o, end, NULL);
    mob_owner_stream_close(f.o, stream, NULL);
    all_gone(&f);
}
END_TEST

START_TEST(test_closed_before_it_starts_it_runs_and_sends_nothing)
{
    struct fake f;
    uint32_t shape;
    struct mob_task_frame t;
    const void *body;

    fake_init(&f);
    shape = fake_shape(&f);
    uint64_t stream = submit(&f, shape, 3, 0), peeked = mob_owner_stream_peek(f.o, stream, NULL);

    mob_owner_stream_close(f.o, stream, NULL);
    mob_owner_check(f.o);
    ck_assert_int_eq(fake_look(&f, peeked).state, MOB_OBJECT_ERROR);
    mob_owner_drop(f.o, peeked, NULL);
    fake_open(&f, 0);
    fake_grant(&f, shape, 1, 0);
    mob_owner_flush(f.o);
    ck_assert(fake_claim(&f, 0, &t, &body));
    ck_assert_uint_eq(mob_channel_allowed(f.workers[0].end), MOB_STREAM_UNREAD);
    fake_reply_value(&f, 0, &t, 0, 1000);
    fake_drain(&f);
    all_gone(&f);
}
END_TEST

/* What a worker sends is foreign bytes. */
static void send_wrong_item(uint32_t number, size_t size)
{
    struct { struct mob_arg_head head; uint64_t value; } body = { { MOB_VALUE_INLINE, 8 }, 1 };
    struct fake f;
    struct mob_task_frame t;
    uint64_t stream = running(&f, fake_start(&f), 0, 0, &t);

    ck_assert(send_item(&f, 0, &t, number, &body, size));
    fake_drain(&f);
    mob_owner_flush(f.o);
    ck_assert_uint_eq(f.warnings, 1);
    ck_assert_uint_eq(f.sent[MOBULA__ENVELOPE__BODY_CANCEL], 1);
    ck_assert(nothing_yet(&f, stream));
    fake_over(&f, 1, 0, FAKE_NODE, MOB_ERR_WORKER_CRASHED, &t);
    mob_owner_stream_close(f.o, stream, NULL);
    all_gone(&f);
}

START_TEST(test_an_item_out_of_turn_or_malformed_ends_the_lease)
{
    send_wrong_item(1, 16);
    send_wrong_item(0, 8);
    send_wrong_item(UINT32_MAX, 16);
}
END_TEST

START_TEST(test_a_plain_task_has_no_items)
{
    struct { struct mob_arg_head head; uint64_t value; } body = { { MOB_VALUE_INLINE, 8 }, 1 };
    struct fake f;
    struct mob_task_frame t;
    uint64_t ref = fake_submit(&f, fake_start(&f), 3, NULL, 0);
    const void *args;

    mob_owner_flush(f.o);
    ck_assert(fake_claim(&f, 0, &t, &args));
    ck_assert(send_item(&f, 0, &t, 0, &body, sizeof body));
    fake_drain(&f);
    ck_assert_uint_eq(f.warnings, 1);
    ck_assert_uint_eq(mob_owner_stream_peek(f.o, ref, NULL), 0);
    ck_assert_int_lt(mob_owner_stream_close(f.o, ref, NULL), 0);
    fake_finish(&f);
}
END_TEST

/* Elsewhere: what one may send goes as Allow, after the frame that it speaks of. */
START_TEST(test_a_lender_elsewhere_is_told_how_many_may_come)
{
    struct { struct mob_answer_frame frame; struct mob_arg_head head; uint64_t value; } one = {
        { .body_size = 16, .returns = 1, .status = MOB_ANSWER_ITEM }, { MOB_VALUE_INLINE, 8 }, 31 };
    Mobula__AnswerFrames m = MOBULA__ANSWER_FRAMES__INIT;
    struct fake f;

    fake_init(&f);
    uint32_t shape = fake_shape(&f);

    fake_grant_on(&f, shape, 1, 0, 6);
    uint64_t stream = submit(&f, shape, 3, 1);

    mob_owner_flush(f.o);
    one.frame.task = stream;
    m.lease = m.count = 1;
    m.frames = (ProtobufCBinaryData){ .len = sizeof one, .data = (uint8_t *)&one };
    fake_tell(&f, 6, MOBULA__ENVELOPE__BODY_ANSWER_FRAMES, &m);
    ck_assert_uint_eq(f.sent[MOBULA__ENVELOPE__BODY_ALLOW], 0);
    ck_assert_uint_eq(take(&f, stream), 31);
    ck_assert_uint_eq(f.sent[MOBULA__ENVELOPE__BODY_ALLOW], 1);
    ck_assert_uint_eq(f.last[MOBULA__ENVELOPE__BODY_ALLOW]->allow->task, stream);
    ck_assert_uint_eq(f.last[MOBULA__ENVELOPE__BODY_ALLOW]->allow->items, 2);
    ck_assert_uint_eq(f.last[MOBULA__ENVELOPE__BODY_ALLOW]->to->node, 6);
    mob_owner_stream_close(f.o, stream, NULL);
    ck_assert_uint_eq(f.last[MOBULA__ENVELOPE__BODY_ALLOW]->allow->items, MOB_STREAM_UNREAD);
    fake_over(&f, 1, 0, 6, MOB_ERR_NODE_DIED, NULL);
    mob_owner_check(f.o);
    fake_fini(&f);
}
END_TEST

UNIT_MAIN("owner_stream", test_items_come_before_the_end_and_are_read_in_turn, test_a_peeked_item_becomes_ready_or_an_error_at_the_end,
          test_a_failed_end_is_the_last_item, test_a_bound_is_kept_and_rises_with_what_is_read,
          test_unread_bytes_are_bounded_until_somebody_waits_for_the_end, test_a_retry_goes_on_after_what_came,
          test_cancel_stops_the_worker_and_keeps_what_came, test_closed_before_it_starts_it_runs_and_sends_nothing,
          test_an_item_out_of_turn_or_malformed_ends_the_lease, test_a_plain_task_has_no_items,
          test_a_lender_elsewhere_is_told_how_many_may_come)
