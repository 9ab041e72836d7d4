/* SPDX-License-Identifier: Apache-2.0 */
/* test_loop.c -- posts from threads, tickers, turns. */
#include "unit.h"

#include <pthread.h>
#include <stdatomic.h>

#include "common/loop.h"

#define POSTS 20000

struct counting {
    struct mob_loop *loop;
    int seen;
    struct mob_posted posts[POSTS];
};

struct numbered {
    struct mob_posted p;
    struct counting *c;
};

static struct counting *counting;       /* of the one test that posts */

static void on_post(struct mob_posted *p)
{
    ck_assert_ptr_eq(p, &counting->posts[counting->seen]);      /* in order */
    if (++counting->seen == POSTS)
        mob_loop_stop(counting->loop);
}

static void *post_all(void *arg)
{
    struct counting *c = arg;

    for (int i = 0; i < POSTS; i++) {
        c->posts[i].run = on_post;
        mob_loop_post(c->loop, &c->posts[i]);
    }
    return NULL;
}

START_TEST(test_posts_of_a_thread_run_in_order)
{
    pthread_t thread;

    counting = mob_new(struct counting);
    counting->loop = mob_loop_create();
    pthread_create(&thread, NULL, post_all, counting);
    mob_loop_run(counting->loop);
    pthread_join(thread, NULL);
    ck_assert_int_eq(counting->seen, POSTS);
    mob_loop_destroy(counting->loop);
    free(counting);
}
END_TEST

struct clockwork {
    struct mob_loop *loop;
    struct mob_ticker *ticker;
    int ticks;
    int64_t asked;
};

static int64_t tick(void *arg)
{
    struct clockwork *c = arg;

    switch (++c->ticks) {
    case 1:
        c->asked = mob_now_ns() + 3000000;
        return c->asked;
    case 2:
        ck_assert_int_ge(mob_now_ns(), c->asked);
        mob_ticker_poke(c->ticker);     /* from inside: once more, though it asks for no time */
        return INT64_MAX;
    default:
        mob_loop_stop(c->loop);
        return INT64_MAX;
    }
}

START_TEST(test_ticker_ticks_at_its_time_and_when_poked)
{
    struct clockwork c = { .loop = mob_loop_create() };

    c.ticker = mob_ticker_create(c.loop, tick, &c);
    mob_loop_run(c.loop);
    ck_assert_int_eq(c.ticks, 3);
    mob_ticker_destroy(c.ticker);
    mob_loop_destroy(c.loop);
}
END_TEST

UNIT_MAIN("loop", test_posts_of_a_thread_run_in_order, test_ticker_ticks_at_its_time_and_when_poked)
