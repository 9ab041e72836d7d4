/* SPDX-License-Identifier: Apache-2.0 */
/* test_channel_threads.c -- an owner and a worker thread on one channel, while the owner takes back what it can: each task runs once
 * or comes back once. Meant for ThreadSanitizer as well: it sees each frame and body pass from one thread to the other. */
#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include "channel_pair.h"
#include "unit.h"

#define TASKS 60000u

struct storm {
    struct pair *p;
    struct mob_doorbell bells[2];       /* of the owner, of the worker: with eventfds */
    _Atomic bool over;
    unsigned char *runs;                /* by task; the worker's */
    unsigned char *answers, *taken;     /* the owner's */
};

static void sleep_on(struct mob_doorbell *bell)
{
    if (mob_doorbell_try_sleep(bell, MOB_ASLEEP))
        ck_assert_int_eq(poll(&(struct pollfd){ .fd = bell->fd, .events = POLLIN }, 1, 60000), 1);     /* else a wake-up was lost */
    mob_doorbell_wake_up(bell);
}

static void *work(void *arg)
{
    struct storm *s = arg;
    uint64_t task;

    while (!atomic_load(&s->over)) {
        for (unsigned i = 0; i < MOB_DIRTY_BITS / 64; i++)
            mob_doorbell_take(&s->bells[1], i);
        while ((task = pair_claim(s->p, 1)) != 0) {
            s->runs[task]++;
            if (!pair_reply(s->p, task, task % 7 == 0 ? task % 50000 : task % 900))
                assert(pair_reply(s->p, task, 10));
            if (task % 5 == 0)
                mob_channel_ring(s->p->worker, true);
        }
        mob_channel_ring(s->p->worker, true);
        sleep_on(&s->bells[1]);
    }
    return NULL;
}

static unsigned read_answers(struct storm *s)
{
    unsigned count = 0;
    uint64_t task;

    for (; (task = pair_answer(s->p, NULL)) != 0; count++)
        s->answers[task]++;
    return count;
}

/* Push all; every few tasks try to take a run of the newest back; sleep when there is no room. */
static void own(struct storm *s)
{
    uint64_t sequences[64];
    unsigned over = 0;

    for (uint64_t task = 1; task <= TASKS || over < TASKS;) {
        uint64_t sequence = task <= TASKS ? pair_push(s->p, task, 1, task % 11 == 0 ? task % 20000 : task % 200) : 0;

        if (sequence != 0) {
            sequences[task % 64] = sequence;
            if (task % 3 == 0)
                mob_channel_ring(s->p->owner, false);
            if (task % 64 == 0) {
                for (uint64_t back = task - 20; back <= task; back++) {
                    bool taken = mob_channel_take_back(s->p->owner, sequences[back % 64]);

                    s->taken[back] += taken;
                    over += taken;
                }
            }
            task++;
            continue;
        }
        mob_channel_ring(s->p->owner, false);
        for (unsigned i = 0; i < MOB_DIRTY_BITS / 64; i++)
            mob_doorbell_take(&s->bells[0], i);
        over += read_answers(s);
        if (over < TASKS && (task > TASKS || !mob_channel_has_room(s->p->owner, 20000)))
            sleep_on(&s->bells[0]);
    }
}

START_TEST(test_storm_of_take_backs)
{
    struct storm s = { .p = pair_create() };
    pthread_t thread;
    struct mob_error err;

    mob_channel_close(s.p->owner);
    mob_channel_close(s.p->worker);
    for (int i = 0; i < 2; i++) {
        int page_fd, event_fd;

        ck_assert_int_eq(mob_doorbell_create(&page_fd, &event_fd, &err), 0);
        ck_assert_int_eq(mob_doorbell_open(&s.bells[i], page_fd, event_fd, &err), 0);
    }
    s.p->owner = mob_channel_on_memory(s.p->memory, &s.bells[1], MOB_CHANNEL_OWNER, 5);
    s.p->worker = mob_channel_on_memory(s.p->memory, &s.bells[0], MOB_CHANNEL_WORKER, 77);
    s.runs = calloc(TASKS + 1, 1);
    s.answers = calloc(TASKS + 1, 1);
    s.taken = calloc(TASKS + 1, 1);

    pthread_create(&thread, NULL, work, &s);
    own(&s);
    atomic_store(&s.over, true);
    mob_doorbell_ring(&s.bells[1], 0, true);
    pthread_join(thread, NULL);

    for (unsigned task = 1; task <= TASKS; task++) {
        ck_assert_uint_eq(s.runs[task] + s.taken[task], 1);
        ck_assert_uint_eq(s.answers[task], s.runs[task]);
    }
    ck_assert_ptr_null(mob_channel_error(s.p->owner));
    ck_assert_ptr_null(mob_channel_error(s.p->worker));
    free(s.runs);
    free(s.answers);
    free(s.taken);
    mob_doorbell_close(&s.bells[0]);
    mob_doorbell_close(&s.bells[1]);
    pair_destroy(s.p);
}
END_TEST

UNIT_CASE("channel_threads", tcase)
{
    tcase_set_timeout(tcase, 110);
    tcase_add_loop_test(tcase, test_storm_of_take_backs, 0, 2);
}
