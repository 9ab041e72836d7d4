/* SPDX-License-Identifier: Apache-2.0 */
/* loop.c -- the one thread that owns a daemon's state.
 *
 * A turn of the loop: uv timers, `prepare` (tickers that are due or were poked), wait, i/o and posts. So whatever a turn changed
 * is ticked for in the next `prepare`, before the loop sleeps again.
 *
 * Posts: any thread appends under the lock and wakes the loop; the loop takes the whole list and runs it in order.
 */
#include "common/loop.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

struct mob_loop {
    /* loop thread only */
    uv_loop_t uv;
    uv_async_t wake;
    /* any thread, under `lock` */
    pthread_mutex_t lock;
    struct mob_link posted;
};

struct mob_ticker {
    struct mob_loop *loop;
    int64_t (*tick)(void *arg);
    void *arg;
    uv_timer_t timer;
    uv_prepare_t prepare;
    bool due;
    unsigned open_handles;
};

static void or_die(int result, const char *what)
{
    if (result < 0) {
        fprintf(stderr, "mobula: %s: %s; this process ends\n", what, uv_strerror(result));
        abort();
    }
}

static void run_posted(struct mob_loop *l)
{
    struct mob_link mine;

    mob_list_init(&mine);
    pthread_mutex_lock(&l->lock);
    while (!mob_list_empty(&l->posted)) {
        struct mob_link *first = l->posted.next;

        mob_list_remove(first);
        mob_list_append(&mine, first);
    }
    pthread_mutex_unlock(&l->lock);

    while (!mob_list_empty(&mine)) {
        struct mob_posted *p = mob_list_first(&mine, struct mob_posted, link);

        mob_list_remove(&p->link);
        p->run(p);                      /* it is the poster's again: do not touch it */
    }
}

static void on_wake(uv_async_t *wake)
{
    run_posted(MOB_CONTAINER(wake, struct mob_loop, wake));
}

struct mob_loop *mob_loop_create(void)
{
    struct mob_loop *l = mob_new(struct mob_loop);

    mob_list_init(&l->posted);
    pthread_mutex_init(&l->lock, NULL);
    or_die(uv_loop_init(&l->uv), "starting the event loop");
    or_die(uv_async_init(&l->uv, &l->wake, on_wake), "starting the event loop");
    return l;
}

void mob_loop_destroy(struct mob_loop *l)
{
    if (l == NULL)
        return;
    run_posted(l);                      /* each post is given back to its poster */
    uv_close((uv_handle_t *)&l->wake, NULL);
    uv_run(&l->uv, UV_RUN_DEFAULT);
    or_die(uv_loop_close(&l->uv), "ending the event loop");
    pthread_mutex_destroy(&l->lock);
    free(l);
}

uv_loop_t *mob_loop_uv(struct mob_loop *l)
{
    return &l->uv;
}

void mob_loop_run(struct mob_loop *l)
{
    uv_run(&l->uv, UV_RUN_DEFAULT);
}

void mob_loop_stop(struct mob_loop *l)
{
    uv_stop(&l->uv);
}

void mob_loop_post(struct mob_loop *l, struct mob_posted *p)
{
    pthread_mutex_lock(&l->lock);
    mob_list_append(&l->posted, &p->link);
    uv_async_send(&l->wake);            /* under the lock: mob_loop_destroy() may follow as soon as the post has run */
    pthread_mutex_unlock(&l->lock);
}

/* -- tickers ----------------------------------------------------------------------------------------------------------- */

static void on_timer(uv_timer_t *timer)
{
    MOB_CONTAINER(timer, struct mob_ticker, timer)->due = true;
}

/* Ask for the next tick at `at` (rounded up to what the loop's timers can do: early would be in vain). */
static void schedule(struct mob_ticker *t, int64_t at)
{
    int64_t wait = t->due ? 0 : at - mob_now_ns();

    if (at == INT64_MAX && !t->due) {
        uv_timer_stop(&t->timer);
        return;
    }
    uv_update_time(&t->loop->uv);
    uv_timer_start(&t->timer, on_timer, wait > 0 ? (uint64_t)(wait + 999999) / 1000000 : 0, 0);
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct mob_ticker *t = MOB_CONTAINER(prepare, struct mob_ticker, prepare);
    int64_t next;

    if (!t->due)
        return;
    t->due = false;
    next = t->tick(t->arg);
    schedule(t, next);                  /* a poke from inside the tick made it due again: at once */
}

struct mob_ticker *mob_ticker_create(struct mob_loop *l, int64_t (*tick)(void *arg), void *arg)
{
    struct mob_ticker *t = mob_new(struct mob_ticker);

    *t = (struct mob_ticker){ .loop = l, .tick = tick, .arg = arg, .due = true, .open_handles = 2 };
    uv_timer_init(&l->uv, &t->timer);
    uv_prepare_init(&l->uv, &t->prepare);
    uv_prepare_start(&t->prepare, on_prepare);
    uv_unref((uv_handle_t *)&t->prepare);
    return t;
}

void mob_ticker_poke(struct mob_ticker *t)
{
    t->due = true;
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct mob_ticker *t = handle->data;

    if (--t->open_handles == 0)
        free(t);
}

void mob_ticker_destroy(struct mob_ticker *t)
{
    if (t == NULL)
        return;
    t->timer.data = t->prepare.data = t;
    uv_close((uv_handle_t *)&t->timer, on_handle_closed);
    uv_close((uv_handle_t *)&t->prepare, on_handle_closed);
}

/* -- clocks and random numbers ----------------------------------------------------------------------------------------- */

static int64_t clock_ns(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

int64_t mob_now_ns(void)
{
    return clock_ns(CLOCK_BOOTTIME);
}

int64_t mob_wall_ns(void)
{
    return clock_ns(CLOCK_REALTIME);
}

uint64_t mob_random(void)
{
    uint64_t number;

    while (getrandom(&number, sizeof(number), 0) != sizeof(number))
        assert(errno == EINTR);
    return number;
}
