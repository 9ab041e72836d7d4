/* SPDX-License-Identifier: Apache-2.0 */
/* test_owner_items.c -- items of a stream that are lost, and made again: by which attempt, what else that sends, and that it waits for no
 * reader. */
#include "tests/unit/owner_stream.h"

#include "tests/unit/owner_lineage.h"           /* after it: its own `f` */

static uint64_t stream;

/* The next item, whose ref is ours. */
static uint64_t next(void)
{
    uint64_t ref = 0;

    ck_assert_int_eq(mob_owner_stream_take(f.o, stream, &ref, NULL), 1);
    ck_assert_uint_ne(ref, 0);
    return ref;
}

static bool lose_node(uint64_t ref)
{
    struct mob_error why = { .code = MOB_ERR_NODE_DIED, .text = "node 9 has died" };

    return mob_owner_lost(f.o, ref, fake_look(&f, ref).since, &why);
}

static bool claims(struct mob_task_frame *ret)
{
    const void *body;

    mob_owner_flush(f.o);
    mob_owner_check(f.o);
    return fake_claim(&f, 0, ret, &body);
}

static void ends(const struct mob_task_frame *t, uint64_t value)
{
    fake_reply_value(&f, 0, t, value, 1000);
    fake_drain(&f);
    mob_owner_flush(f.o);
    mob_owner_check(f.o);
}

static uint32_t allowed(void)
{
    return mob_channel_allowed(f.workers[0].end);
}

/* It yields five items, of which those at odd places lie in the store of node 9, and ends. */
static void five(int retries)
{
    struct mob_task_frame t;

    stream = running(&f, shape, retries, 0, &t);
    for (uint32_t i = 0; i < 5; i++) {
        if (i % 2 == 1)
            stored_item_at(&f, &t, i, 9);
        else
            item(&f, &t, i, 70 + i);
    }
    ends(&t, 7);
}

/* The same, of which the first `count` have been read. */
static void five_read(int retries, uint64_t *ret_refs, size_t count)
{
    start(0);
    five(retries);
    for (size_t i = 0; i < count; i++)
        ret_refs[i] = next();
}

static void drop_all(uint64_t *refs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        mob_owner_drop(f.o, refs[i], NULL);
    mob_owner_stream_close(f.o, stream, NULL);
    mob_owner_flush(f.o);
    ck_assert_uint_eq(mob_owner_counts(f.o).kept, 0);
    ck_assert_uint_eq(mob_owner_counts(f.o).kept_bytes, 0);
    all_gone(&f);
}

START_TEST(test_a_lost_item_is_made_again_and_no_other_is_sent)
{
    struct mob_task_frame t;
    uint64_t refs[2];

    five_read(3, refs, 2);
    ck_assert_uint_eq(mob_owner_counts(f.o).kept, 1);
    ck_assert(lose(refs[1]));
    ck_assert(!claims(&t));                     /* nobody needs it */
    ck_assert_uint_eq(f.last[FREE]->free->before, 1);
    ck_assert(wants(refs[1]));
    ck_assert(claims(&t));
    ck_assert_uint_eq(t.attempt, 1);
    ck_assert_uint_eq(t.had, 1);
    ck_assert_uint_eq(allowed(), 2);
    stored_item_at(&f, &t, 1, 4);
    ck_assert(is_told());
    ck_assert_uint_eq(fake_look(&f, refs[1]).node, 4);
    ck_assert_uint_eq(allowed(), MOB_STREAM_UNREAD);
    ends(&t, 8);
    ck_assert_uint_eq(take(&f, stream), 72);    /* the reader reads on */
    mob_owner_drop(f.o, next(), NULL);
    ck_assert_uint_eq(take(&f, stream), 74);
    mob_owner_drop(f.o, refs[0], NULL);
    ck_assert_int_eq(mob_owner_stream_take(f.o, stream, &refs[0], NULL), 0);
    refs[0] = mob_owner_stream_end_ref(f.o, stream, NULL);
    ck_assert_uint_eq(*(const uint64_t *)fake_look(&f, refs[0]).data, 7);       /* its end is what it was */
    drop_all(refs, 2);
}
END_TEST

/* What lies between two that are lost comes once more, and goes. */
START_TEST(test_what_is_not_lost_stays)
{
    struct mob_task_frame t;
    uint64_t refs[5];

    five_read(3, refs, 5);
    ck_assert(lose(refs[1]) && lose(refs[3]) && wants(refs[3]));
    ck_assert(claims(&t));
    ck_assert_uint_eq(t.had, 1);
    ck_assert_uint_eq(allowed(), 4);
    stored_item_at(&f, &t, 1, 4);
    stored_item_at(&f, &t, 2, 4);
    ck_assert(!is_told());
    ck_assert_uint_eq(*(const uint64_t *)fake_look(&f, refs[2]).data, 72);
    mob_owner_flush(f.o);
    ck_assert_uint_eq(f.last[FREE]->to->node, 4);
    ck_assert_uint_eq(f.last[FREE]->free->objects[0]->index, 3);
    mob_owner_wait_cancel(f.o, &waiter);
    mob_owner_drop(f.o, refs[3], NULL);         /* it is under way, and goes when it has come */
    refs[3] = refs[0];
    stored_item_at(&f, &t, 3, 4);
    mob_owner_flush(f.o);
    ck_assert_uint_eq(f.last[FREE]->free->objects[0]->index, 4);
    ends(&t, 7);
    ck_assert(lose(refs[1]) && wants(refs[1]) && claims(&t));
    ck_assert_uint_eq(allowed(), 2);
    item(&f, &t, 1, 99);
    ck_assert(is_told());
    ck_assert_uint_eq(*(const uint64_t *)fake_look(&f, refs[1]).data, 99);
    ends(&t, 7);
    ck_assert_uint_eq(mob_owner_counts(f.o).kept, 0);   /* nothing of it is in a store */
    mob_owner_clone(f.o, refs[0], NULL);
    drop_all(refs, 5);
}
END_TEST

START_TEST(test_one_more_is_lost_while_it_runs_again)
{
    struct mob_task_frame t;
    uint64_t refs[5];

    five_read(1, refs, 5);
    ck_assert(lose(refs[1]) && wants(refs[1]) && claims(&t));
    ck_assert_uint_eq(allowed(), 2);
    mob_owner_wait_cancel(f.o, &waiter);
    ck_assert(lose(refs[3]) && wants(refs[3]));
    ck_assert_uint_eq(allowed(), 4);
    for (uint32_t i = 1; i < 4; i++)
        item(&f, &t, i, 80 + i);
    ck_assert(is_told());
    ends(&t, 7);
    drop_all(refs, 5);
}
END_TEST

/* A node that died had more than the one that somebody found missing: one run makes all. */
START_TEST(test_what_a_dead_node_had_is_made_by_one_run)
{
    struct mob_task_frame t;
    uint64_t refs[5];

    five_read(1, refs, 5);
    ck_assert(lose_node(refs[1]) && wants(refs[1]) && claims(&t));
    ck_assert_int_eq(fake_look(&f, refs[3]).state, MOB_OBJECT_PENDING);
    ck_assert_uint_eq(allowed(), 4);
    for (uint32_t i = 1; i < 4; i++)
        stored_item_at(&f, &t, i, 4);
    ends(&t, 7);
    ck_assert_uint_eq(fake_look(&f, refs[1]).node, 4);
    ck_assert_uint_eq(fake_look(&f, refs[3]).node, 4);
    drop_all(refs, 5);
}
END_TEST

/* A reader that may have two unread waits for one that it has read: the task, which waits for the reader, begins anew. */
START_TEST(test_a_stream_under_way_starts_again_when_a_passed_item_is_wanted)
{
    struct mob_task_frame t, again;
    uint64_t refs[1];

    start(0);
    stream = running(&f, shape, 3, 2, &t);
    stored_item_at(&f, &t, 0, 9);
    item(&f, &t, 1, 71);
    refs[0] = next();
    item(&f, &t, 2, 72);
    ck_assert_uint_eq(allowed(), 3);
    ck_assert(lose(refs[0]));
    ck_assert_uint_eq(allowed(), 3);
    ck_assert(wants(refs[0]));
    ck_assert_uint_eq(allowed(), MOB_STREAM_STOP);
    ends(&t, 9);                                /* what it says then is no end: it may have taken the stop for one */
    ck_assert(claims(&again));
    ck_assert_uint_eq(again.attempt, 1);
    ck_assert_uint_eq(again.had, 0);
    ck_assert_uint_eq(allowed(), 3);            /* those three, though two are unread */
    stored_item_at(&f, &again, 0, 4);
    ck_assert(is_told());
    item(&f, &again, 1, 81);
    item(&f, &again, 2, 82);
    ck_assert_uint_eq(take(&f, stream), 71);
    ck_assert_uint_eq(allowed(), 4);
    item(&f, &again, 3, 83);
    ends(&again, 7);
    ck_assert_uint_eq(take(&f, stream), 72);
    ck_assert_uint_eq(take(&f, stream), 83);
    drop_all(refs, 1);
}
END_TEST

/* One that nobody has come to yet is made by the attempt that runs, or by the next. */
START_TEST(test_one_that_is_still_to_come_needs_no_other_run)
{
    struct mob_task_frame t, again;
    uint64_t refs[2];

    start(0);
    stream = running(&f, shape, 2, 0, &t);
    stored_item_at(&f, &t, 0, 9);
    stored_item_at(&f, &t, 1, 9);
    refs[0] = next();
    refs[1] = next();
    ck_assert(lose(refs[0]));
    fake_over(&f, 1, 0, FAKE_NODE, MOB_ERR_WORKER_CRASHED, &t);
    fake_open(&f, 0);
    fake_grant(&f, shape, 2, 0);
    ck_assert(claims(&again));
    ck_assert_uint_eq(again.had, 0);
    ck_assert(lose(refs[1]) && wants(refs[1]));
    ck_assert_uint_eq(allowed(), 512);
    stored_item_at(&f, &again, 0, 4);
    stored_item_at(&f, &again, 1, 4);
    ck_assert(is_told());
    ends(&again, 7);
    ck_assert_uint_eq(mob_owner_counts(f.o).again, 0);
    drop_all(refs, 2);
}
END_TEST

START_TEST(test_a_run_that_does_not_come_to_it)
{
    struct mob_task_frame t;
    uint64_t refs[4];

    five_read(1, refs, 4);
    ck_assert(lose(refs[1]) && lose(refs[3]) && wants(refs[3]) && claims(&t));
    stored_item_at(&f, &t, 1, 4);
    ends(&t, 7);
    ck_assert(is_told());
    ck_assert_int_eq(reason_of(refs[3]), MOB_LOST_STREAM);
    ck_assert(!lose(refs[1]));
    ck_assert_int_eq(reason_of(refs[1]), MOB_LOST_MAX_ATTEMPTS);
    drop_all(refs, 4);
}
END_TEST

START_TEST(test_why_an_item_is_lost_for_good)
{
    struct mob_task_frame t;
    uint64_t ref;

    start(0);
    five(0);
    mob_owner_drop(f.o, next(), NULL);
    ref = next();
    ck_assert(!lose(ref));
    ck_assert_int_eq(reason_of(ref), MOB_LOST_RETRIES_DISABLED);
    drop_all(&ref, 1);
    start(0);
    stream = running(&f, shape, 0, 0, &t);
    stored_item_at(&f, &t, 0, 9);
    ref = next();
    ck_assert(!lose(ref));                      /* while it runs */
    ck_assert_int_eq(reason_of(ref), MOB_LOST_RETRIES_DISABLED);
    ends(&t, 7);
    drop_all(&ref, 1);
    start(1);
    stream = running(&f, shape, 3, 0, &t);
    stored_item_at(&f, &t, 0, 9);
    ref = next();
    ck_assert(!lose(ref));
    ck_assert_int_eq(reason_of(ref), MOB_LOST_LINEAGE_DISABLED);
    ends(&t, 7);
    drop_all(&ref, 1);
}
END_TEST

START_TEST(test_its_task_makes_room_for_others)
{
    uint64_t refs[5], others = 0, kept[64];

    start(2500);
    five(3);
    for (size_t i = 0; i < 5; i++)
        refs[i] = next();
    mob_owner_stream_close(f.o, stream, NULL);
    ck_assert(lose(refs[1]));
    while (mob_owner_counts(f.o).evicted == 0) {
        five(3);
        kept[others++] = stream;
    }
    ck_assert_int_eq(reason_of(refs[1]), MOB_LOST_LINEAGE_EVICTED);
    ck_assert(!lose(refs[3]));
    ck_assert_int_eq(reason_of(refs[3]), MOB_LOST_LINEAGE_EVICTED);
    while (others > 1)
        mob_owner_stream_close(f.o, kept[--others], NULL);
    stream = kept[0];
    drop_all(refs, 5);
}
END_TEST

UNIT_MAIN("owner_items", test_a_lost_item_is_made_again_and_no_other_is_sent, test_what_is_not_lost_stays,
          test_one_more_is_lost_while_it_runs_again, test_what_a_dead_node_had_is_made_by_one_run,
          test_a_stream_under_way_starts_again_when_a_passed_item_is_wanted, test_one_that_is_still_to_come_needs_no_other_run,
          test_a_run_that_does_not_come_to_it, test_why_an_item_is_lost_for_good, test_its_task_makes_room_for_others)
