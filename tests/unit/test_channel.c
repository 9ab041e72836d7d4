/* SPDX-License-Identifier: Apache-2.0 */
/* test_channel.c -- one thread plays both ends of a channel: order, room, epochs, take-back, and a peer that writes rubbish. */
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include "channel_pair.h"
#include "unit.h"

static uint64_t random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

START_TEST(test_tasks_and_answers_keep_their_order_over_many_laps)
{
    struct pair *p = pair_create();
    uint64_t pushed = 0, claimed = 0, answered = 0, state = 42, task;

    while (answered < 20 * MOB_CHANNEL_SLOTS) {
        switch (random_next(&state) % 3) {
        case 0:
            for (uint64_t n = random_next(&state) % 200; n > 0 && pair_push(p, pushed + 1, 1, random_next(&state) % 3000) != 0; n--)
                pushed++;
            break;
        case 1:
            for (uint64_t n = random_next(&state) % 200; n > 0 && (task = pair_claim(p, 1)) != 0; n--) {
                uint64_t size = random_next(&state) % 8 == 0 ? random_next(&state) % 100000 : random_next(&state) % 900;

                ck_assert_uint_eq(task, ++claimed);
                if (size > mob_channel_reply_room(p->worker))
                    size = mob_channel_reply_room(p->worker);
                ck_assert(pair_reply(p, claimed, size));
            }
            break;
        case 2:
            for (uint64_t n = random_next(&state) % 200; n > 0 && answered < claimed; n--)
                ck_assert_uint_eq(pair_answer(p, NULL), ++answered);
            break;
        }
        ck_assert_ptr_null(mob_channel_error(p->owner));
        ck_assert_ptr_null(mob_channel_error(p->worker));
    }
    pair_destroy(p);
}
END_TEST

START_TEST(test_full_ring_of_tasks_and_full_ring_of_small_answers)
{
    struct pair *p = pair_create();

    for (int lap = 0; lap < 5; lap++) {
        uint64_t n = 0;

        while (pair_push(p, n + 1, 1, 24) != 0)
            n++;
        ck_assert_uint_eq(n, MOB_CHANNEL_SLOTS);
        ck_assert(!mob_channel_has_room(p->owner, 0));
        for (uint64_t i = 1; i <= n; i++) {
            ck_assert_uint_eq(pair_claim(p, 1), i);
            ck_assert_uint_ge(mob_channel_reply_room(p->worker), MOB_CHANNEL_REPLY_MIN);
            ck_assert(pair_reply(p, i, MOB_CHANNEL_REPLY_MIN - (i * 7 + (uint64_t)lap) % 400));     /* never without room */
            ck_assert(i >= MOB_CHANNEL_SLOTS / 2 || !mob_channel_half_full(p->worker));
        }
        ck_assert(mob_channel_half_full(p->worker));
        ck_assert(!mob_channel_has_room(p->owner, 0));          /* all are over, but their answers take the room */
        for (uint64_t i = 1; i <= n; i++)
            ck_assert_uint_eq(pair_answer(p, NULL), i);
        ck_assert(!mob_channel_half_full(p->worker));
    }
    pair_destroy(p);
}
END_TEST

START_TEST(test_large_body_fits_an_empty_ring_wherever_it_stands)
{
    struct pair *p = pair_create();

    for (uint64_t i = 1; i < 50; i++) {
        ck_assert(mob_channel_has_room(p->owner, MOB_CHANNEL_BYTES));
        ck_assert(!mob_channel_has_room(p->owner, MOB_CHANNEL_BYTES + 1));
        ck_assert_uint_ne(pair_push(p, i, 1, i % 2 ? MOB_CHANNEL_BYTES : 5000 * i), 0);
        ck_assert(!mob_channel_has_room(p->owner, MOB_CHANNEL_BYTES));
        ck_assert_uint_eq(pair_claim(p, 1), i);
        ck_assert(pair_reply(p, i, 0));
        ck_assert_uint_eq(pair_answer(p, NULL), i);
    }
    pair_destroy(p);
}
END_TEST

START_TEST(test_large_answer_takes_only_what_is_not_kept_for_others)
{
    struct pair *p = pair_create();
    size_t size, room;

    for (uint64_t i = 1; i <= 600; i++)
        ck_assert_uint_ne(pair_push(p, i, 1, 0), 0);
    ck_assert_uint_eq(pair_claim(p, 1), 1);
    room = mob_channel_reply_room(p->worker);
    ck_assert_uint_gt(room, 300000);
    ck_assert(!pair_reply(p, 1, room + 64));
    ck_assert_ptr_null(mob_channel_error(p->worker));
    ck_assert(pair_reply(p, 1, room));
    for (uint64_t i = 2; i <= 600; i++) {
        ck_assert_uint_eq(pair_claim(p, 1), i);
        ck_assert(pair_reply(p, i, MOB_CHANNEL_REPLY_MIN));
    }
    ck_assert_uint_eq(pair_answer(p, &size), 1);
    ck_assert_uint_eq(size, room);
    for (uint64_t i = 2; i <= 600; i++)
        ck_assert_uint_eq(pair_answer(p, NULL), i);
    ck_assert_uint_ne(pair_push(p, 601, 1, 0), 0);              /* what was lent came back: an answer of 100 KiB finds room */
    ck_assert_uint_eq(pair_claim(p, 1), 601);
    ck_assert(pair_reply(p, 601, 100 * 1024));
    pair_destroy(p);
}
END_TEST

START_TEST(test_taken_back_task_never_runs_and_its_slot_is_used_again)
{
    struct pair *p = pair_create();
    uint64_t first = pair_push(p, 1, 1, 8), second = pair_push(p, 2, 1, 8), third = pair_push(p, 3, 1, 8);

    ck_assert_uint_eq(pair_claim(p, 1), 1);
    ck_assert(!mob_channel_take_back(p->owner, first));
    ck_assert(mob_channel_take_back(p->owner, second));
    ck_assert(!mob_channel_take_back(p->owner, second));
    ck_assert(!mob_channel_take_back(p->owner, third + 1));
    ck_assert(pair_reply(p, 1, 8));
    ck_assert(!mob_channel_take_back(p->owner, first));
    ck_assert(mob_channel_pending(p->worker, 1));
    ck_assert_uint_eq(pair_claim(p, 1), 3);
    ck_assert(pair_reply(p, 3, 8));
    ck_assert(!mob_channel_pending(p->worker, 1));

    for (uint64_t i = 10; i < 10 + 5 * MOB_CHANNEL_SLOTS / 2; i++)     /* the worker sleeps for 2.5 laps */
        ck_assert(mob_channel_take_back(p->owner, pair_push(p, i, 1, 500)));
    ck_assert(!mob_channel_pending(p->worker, 1));
    ck_assert_uint_ne(pair_push(p, 9, 1, 8), 0);
    ck_assert_uint_eq(pair_claim(p, 1), 9);
    ck_assert_ptr_null(mob_channel_error(p->worker));
    pair_destroy(p);
}
END_TEST

/* Whatever a stream sends, the answers of all tasks that are pushed find room. */
START_TEST(test_items_leave_the_room_of_answers)
{
    struct pair *p = pair_create();
    uint64_t state = 7;

    for (int lap = 0; lap < 6; lap++) {
        uint64_t tasks = 1 + random_next(&state) % MOB_CHANNEL_SLOTS, items = 0, size = lap % 2 ? 8 : 8 + random_next(&state) % 90000;

        for (uint64_t i = 1; i <= tasks; i++)
            ck_assert_uint_ne(pair_push(p, i, 1, 8), 0);
        ck_assert_uint_eq(pair_claim(p, 1), 1);
        while (mob_channel_item_fits(p->worker, size)) {
            ck_assert(pair_item(p, 1, size));
            items++;
        }
        ck_assert(!pair_item(p, 1, size));
        ck_assert_ptr_null(mob_channel_error(p->worker));
        for (uint64_t i = 1; i <= tasks; i++) {
            if (i > 1)
                ck_assert_uint_eq(pair_claim(p, 1), i);
            ck_assert(pair_reply(p, i, MOB_CHANNEL_REPLY_MIN));
        }
        for (uint64_t i = 0; i < items; i++)
            ck_assert_uint_eq(pair_answer(p, NULL), 1);
        for (uint64_t i = 1; i <= tasks; i++)
            ck_assert_uint_eq(pair_answer(p, NULL), i);
        ck_assert_uint_eq(pair_answer(p, NULL), 0);
        ck_assert_ptr_null(mob_channel_error(p->owner));
    }
    pair_destroy(p);
}
END_TEST

START_TEST(test_what_a_stream_may_send_stands_beside_it)
{
    struct pair *p = pair_create();
    void *body;
    struct mob_task_frame *frame = mob_channel_reserve(p->owner, 0, &body);
    uint64_t sequence;

    *frame = (struct mob_task_frame){ .task = 1, .epoch = 1, .flags = MOB_TASK_STREAM, .had = 5, .first = 2 };
    sequence = mob_channel_commit(p->owner);
    ck_assert_uint_eq(pair_claim(p, 1), 1);
    ck_assert_uint_eq(mob_channel_allowed(p->worker), 7);
    mob_channel_allow(p->owner, sequence, 100);
    ck_assert_uint_eq(mob_channel_allowed(p->worker), 100);
    mob_channel_allow(p->owner, sequence + 1, 3);
    ck_assert(pair_item(p, 1, 8));
    ck_assert_uint_eq(pair_answer(p, NULL), 1);
    ck_assert(!mob_channel_take_back(p->owner, sequence));
    ck_assert(pair_reply(p, 1, 8));
    mob_channel_allow(p->owner, sequence, MOB_STREAM_STOP);     /* too late, and no harm */
    ck_assert_uint_eq(pair_answer(p, NULL), 1);
    pair_destroy(p);
}
END_TEST

START_TEST(test_frames_of_another_epoch_are_not_claimed)
{
    struct pair *p = pair_create();
    uint64_t old = pair_push(p, 1, 4, 0);

    ck_assert_uint_ne(pair_push(p, 2, 5, 0), 0);
    ck_assert_uint_ne(pair_push(p, 3, 6, 0), 0);
    ck_assert_uint_eq(pair_claim(p, 5), 2);                     /* 1 is left behind for the owner; 3 waits for the worker */
    ck_assert(pair_reply(p, 2, 0));
    ck_assert(!mob_channel_pending(p->worker, 5));
    ck_assert(mob_channel_take_back(p->owner, old));
    ck_assert_uint_eq(pair_claim(p, 6), 3);
    ck_assert(pair_reply(p, 3, 0));
    ck_assert_uint_eq(pair_answer(p, NULL), 2);
    ck_assert_uint_eq(pair_answer(p, NULL), 3);
    pair_destroy(p);
}
END_TEST

START_TEST(test_ring_sets_the_bit_the_peer_chose_and_wakes_it_once)
{
    struct pair *p = pair_create();
    struct mob_doorbell own = { &p->pages[1], -1 };

    ck_assert(mob_doorbell_try_sleep(&own, MOB_ASLEEP));
    mob_channel_ring(p->owner, true);                           /* nothing new */
    ck_assert_uint_eq(p->pages[1].asleep, MOB_ASLEEP);
    pair_push(p, 1, 1, 0);
    mob_channel_ring(p->owner, false);
    ck_assert_uint_eq(p->pages[1].asleep, MOB_AWAKE);
    ck_assert(!mob_doorbell_try_sleep(&own, MOB_ASLEEP));
    ck_assert_uint_eq(mob_doorbell_take(&own, 0), 1u << 9);
    ck_assert_uint_eq(mob_doorbell_take(&own, 0), 0);
    ck_assert(mob_doorbell_try_sleep(&own, MOB_DOZING));
    ck_assert(!mob_doorbell_ring(&own, 200, false));            /* dozing: only urgent news wake */
    ck_assert(mob_doorbell_ring(&own, 200, true));
    ck_assert(!mob_doorbell_ring(&own, 200, true));
    ck_assert_uint_eq(mob_doorbell_take(&own, 200 / 64), (uint64_t)1 << 200 % 64);
    pair_destroy(p);
}
END_TEST

/* Both kinds of memory as the raylet makes them, and what is refused. */
struct wild {
    struct mob_doorbell bell;
    unsigned looks, until;
};

/* A peer rings again while we look, `until` times. */
static void look(void *arg, const uint64_t dirty[MOB_DIRTY_BITS / 64])
{
    struct wild *w = arg;

    ck_assert(w->looks == 0 || dirty[0] == 1u << 5);
    if (++w->looks < w->until)
        mob_doorbell_ring(&w->bell, 5, true);
}

START_TEST(test_a_peer_that_rings_without_end_does_not_keep_us)
{
    struct wild w = { .until = 2 };
    struct mob_error err;
    int page_fd, event_fd;

    ck_assert_int_eq(mob_doorbell_create(&page_fd, &event_fd, &err), 0);
    ck_assert_int_eq(mob_doorbell_open(&w.bell, page_fd, event_fd, &err), 0);
    struct pollfd p = { w.bell.fd, POLLIN, 0 };
    mob_doorbell_drain(&w.bell, look, &w);
    ck_assert_uint_eq(w.looks, 2);
    ck_assert_uint_eq(w.bell.page->asleep, MOB_ASLEEP);
    ck_assert_int_eq(poll(&p, 1, 0), 0);
    w = (struct wild){ .bell = w.bell, .until = 1000000 };
    mob_doorbell_drain(&w.bell, look, &w);
    ck_assert_uint_eq(w.looks, MOB_DRAIN_PASSES);
    ck_assert_int_eq(poll(&p, 1, 0), 1);        /* the loop comes again */
    w.until = 0;
    mob_doorbell_drain(&w.bell, look, &w);
    ck_assert_uint_eq(w.bell.page->asleep, MOB_ASLEEP);
    ck_assert_int_eq(poll(&p, 1, 0), 0);
    mob_doorbell_close(&w.bell);
}
END_TEST

START_TEST(test_open_maps_sealed_memory_and_refuses_all_else)
{
    struct mob_doorbell bell;
    struct mob_error err;
    struct mob_channel *c;
    int page_fd, event_fd, fd, rubbish = memfd_create("rubbish", MFD_CLOEXEC);

    ck_assert_int_eq(mob_doorbell_create(&page_fd, &event_fd, &err), 0);
    ck_assert_int_eq(mob_doorbell_open(&bell, dup(page_fd), dup(event_fd), &err), 0);
    ck_assert(mob_doorbell_try_sleep(&bell, MOB_ASLEEP));
    ck_assert(mob_doorbell_ring(&bell, 3, false));
    ck_assert_int_eq(poll(&(struct pollfd){ .fd = bell.fd, .events = POLLIN }, 1, 0), 1);
    mob_doorbell_wake_up(&bell);
    ck_assert_int_eq(poll(&(struct pollfd){ .fd = bell.fd, .events = POLLIN }, 1, 0), 0);
    mob_doorbell_close(&bell);
    ck_assert_int_eq(mob_doorbell_open(&bell, dup(rubbish), dup(event_fd), &err), -1);

    ck_assert_int_eq(mob_channel_create(&fd, &err), 0);
    ck_assert_int_lt(ftruncate(fd, 0), 0);
    c = mob_channel_open(dup(fd), dup(page_fd), dup(event_fd), MOB_CHANNEL_OWNER, 0, &err);
    ck_assert_ptr_nonnull(c);
    mob_channel_close(c);
    ck_assert_ptr_null(mob_channel_open(dup(rubbish), dup(page_fd), dup(event_fd), MOB_CHANNEL_OWNER, 0, &err));
    ck_assert_int_eq(err.code, MOB_ERR_PROTOCOL);
    ck_assert_ptr_null(mob_channel_open(dup(fd), dup(rubbish), dup(event_fd), MOB_CHANNEL_OWNER, 0, &err));
    ck_assert_int_eq(pwrite(fd, "xxxx", 4, 4), 4);
    ck_assert_ptr_null(mob_channel_open(dup(fd), dup(page_fd), dup(event_fd), MOB_CHANNEL_OWNER, 0, &err));
    ck_assert_int_eq(err.code, MOB_ERR_VERSION);
    close(fd);
    close(page_fd);
    close(event_fd);
    close(rubbish);
}
END_TEST

/* Rubbish anywhere in the memory: a broken channel at worst, and then all fails quietly. */
START_TEST(test_rubbish_from_a_peer_breaks_the_channel_and_nothing_else)
{
    uint64_t state = 0x9e3779b97f4a7c15u + (uint64_t)_i, broken = 0;

    for (int round = 0; round < 60; round++) {
        struct pair *p = pair_create();
        unsigned char *memory = p->memory;
        struct mob_task_frame frame;
        struct mob_answer_frame answer;
        const void *body;

        for (int i = 0; i < 300; i++) {
            uint64_t r = random_next(&state);
            size_t at = r % 4 == 0 ? r / 8 % 256 : r / 8 % (256 + 64 * 16 + (r & 4 ? 64 * MOB_CHANNEL_SLOTS : 0));

            if (random_next(&state) % 8 == 0)
                memory[at & ~(size_t)63] = (unsigned char)random_next(&state);
            if (random_next(&state) % 8 == 0)
                memory[at] = (unsigned char)random_next(&state);
            pair_push(p, r, 1, r % 70);
            mob_channel_take_back(p->owner, r % 400);
            if (mob_channel_claim(p->worker, 1, &frame, &body)) {
                ck_assert(frame.body_size == 0 || ((const volatile unsigned char *)body)[frame.body_size - 1] < 256);
                mob_channel_reply_room(p->worker);
                if (!pair_reply(p, 1, r % 2000) && mob_channel_error(p->worker) == NULL)
                    ck_assert(pair_reply(p, 1, 10) || mob_channel_error(p->worker) != NULL);
            }
            mob_channel_half_full(p->worker);
            if (mob_channel_answer(p->owner, &answer, &body)) {
                ck_assert(answer.body_size == 0 || ((const volatile unsigned char *)body)[answer.body_size - 1] < 256);
                mob_channel_answer_done(p->owner);
            }
            mob_channel_ring(p->owner, true);
            mob_channel_ring(p->worker, false);
        }
        broken += mob_channel_error(p->owner) != NULL;
        broken += mob_channel_error(p->worker) != NULL;
        pair_destroy(p);
    }
    ck_assert_uint_gt(broken, 10);
}
END_TEST

START_TEST(test_name_on_a_page_ends_and_is_printable)
{
    struct mob_page *page = aligned_alloc(64, sizeof *page);
    char name[MOB_PAGE_NAME_SIZE];

    mob_page_set_name(page, "square");
    mob_page_name(page, name);
    ck_assert_str_eq(name, "square");
    memset(page->name, 'x', sizeof page->name);
    page->name[3] = '\n';
    page->name[4] = '\x1b';
    mob_page_name(page, name);
    ck_assert_uint_eq(strlen(name), sizeof name - 1);
    ck_assert_int_eq(strncmp(name, "xxx??xx", 7), 0);
    free(page);
}
END_TEST

UNIT_CASE("channel", tcase)
{
    UNIT_TESTS(tcase, test_tasks_and_answers_keep_their_order_over_many_laps,
               test_full_ring_of_tasks_and_full_ring_of_small_answers, test_large_body_fits_an_empty_ring_wherever_it_stands,
               test_large_answer_takes_only_what_is_not_kept_for_others,
               test_taken_back_task_never_runs_and_its_slot_is_used_again, test_items_leave_the_room_of_answers,
               test_what_a_stream_may_send_stands_beside_it, test_frames_of_another_epoch_are_not_claimed,
               test_ring_sets_the_bit_the_peer_chose_and_wakes_it_once, test_a_peer_that_rings_without_end_does_not_keep_us,
               test_open_maps_sealed_memory_and_refuses_all_else, test_name_on_a_page_ends_and_is_printable);
    tcase_add_loop_test(tcase, test_rubbish_from_a_peer_breaks_the_channel_and_nothing_else, 0, 10);
}
