/* SPDX-License-Identifier: Apache-2.0 */
/* pump.c -- how calls wait, and who turns the owner core meanwhile.
 *
 *   a call that must wait:   follower --(role is free)--> pump: drain, spin a little, sleep --done--> hands the role on
 *   nobody waits:            the service thread dozes, woken for urgent news and for what the core is due to do
 *
 * The first thread that waits is the pump; the others sleep on condition variables of their own. The lock is free while the pump
 * spins or sleeps, so any other call may drain the rings in its place, and then kicks it if that completed its wait.
 *
 * The word `asleep` in our page tells peers how to ring: ASLEEP while the pump sleeps, DOZING when only the service thread is
 * there, else AWAKE. settle() is what sets it, and whoever finds that peers rang in between turns the core again.
 *
 * Pump and service thread wait by an epoll each on the same doorbell and socket, exclusively, the pump's added first: the
 * kernel then wakes the pump if it sleeps, else the service thread, and nobody has to tell either that the other came or went.
 *
 * A program in the middle of calls drains by itself, and a ring for each answer would wake the service thread for nothing: so
 * while calls keep coming, it *ticks*: `asleep` stays AWAKE, and it looks once a millisecond, until a millisecond without calls
 * has gone by.
 *
 * A task's thread that sleeps tells the raylet (Blocked), so that its CPU can be lent: once a wait, and only when it really
 * sleeps. At once, if it waits for a task of its own; after 20 ms, if it asked another process for what is most often there, as
 * its arguments and its function are: who got the CPU would keep it for a whole task. Not at all, if it waits for room in the store;
 * such a call comes back before its time if the program wants it, which is asked now and then.
 */
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "worker/runtime.h"

#define TURN_ANSWERS 256                /* drained with the lock held */
#define SPIN_NS 25000
#define SPIN_SOON_NS 20000              /* spin only for answers expected within this */
#define PREEMPTED_NS 30000              /* a gap in a spin: another thread had the core */
#define REST_MIN_NS 1000000
#define REST_MAX_NS 100000000
#define SETTLE_TURNS 8
#define STOP_LOOK_NS 100000000          /* how often the program is asked whether it wants a call back that waits */
#define TICK_MS 1

/* -- small ------------------------------------------------------------------------------------------------------------------- */

static void poke(int fd)
{
    const uint64_t one = 1;

    while (write(fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

static void unpoke(int fd)
{
    uint64_t count;

    while (read(fd, &count, sizeof count) < 0 && errno == EINTR)
        ;
}

static int milliseconds_until(int64_t when_ns)
{
    int64_t left;

    if (when_ns == MOB_NEVER)
        return -1;
    left = when_ns - mob_runtime_now();
    return left <= 0 ? 0 : left > INT64_C(3600000000000) ? 3600000 : (int)((left + 999999) / 1000000);
}

static void stay_awake(struct mob_runtime *r)
{
    /* Without emptying the eventfd: who rang just now costs one wake-up in vain. */
    atomic_store_explicit(&r->bell.page->asleep, MOB_AWAKE, memory_order_relaxed);
}

/* Set `asleep` to what is true now. The core is turned while peers ring in between; when that does not end, somebody is sent to
 * look. */
static void settle(struct mob_runtime *r)
{
    for (int i = 0; i < SETTLE_TURNS; i++) {
        if (r->state != MOB_RUNTIME_UP || (r->pump != NULL && !r->pump_sleeps) || (r->pump == NULL && !r->has_service))
            return;                     /* somebody is awake, and looks before it sleeps */
        if (mob_doorbell_try_sleep(&r->bell, r->pump_sleeps ? MOB_ASLEEP : MOB_DOZING))
            return;
        mob_runtime_turn(r, TURN_ANSWERS);
    }
    poke(r->pump_sleeps ? r->kick_fd : r->poke_fd);
}

/* -- a blocked task ---------------------------------------------------------------------------------------------------------- */

static void say(struct mob_runtime *r, Mobula__Envelope__BodyCase body)
{
    Mobula__Blocked blocked = MOBULA__BLOCKED__INIT;
    Mobula__Unblocked unblocked = MOBULA__UNBLOCKED__INIT;
    struct mob_envelope out;

    mob_envelope_init(&out, r->self, mob_runtime_raylet(r), body);
    if (body == MOBULA__ENVELOPE__BODY_BLOCKED)
        out.e.blocked = &blocked;
    else
        out.e.unblocked = &unblocked;
    mob_runtime_send(r, &out.e);
    mob_runtime_flush(r);
}

/* Before `w` sleeps: tell the raylet, if it is time to. Returns when it will be; MOB_NEVER: it was, or will never be. */
static int64_t block(struct mob_runtime *r, struct mob_wait *w)
{
    int64_t now;

    if (w->blocked || w->keeps_ns == MOB_NEVER || !r->worker || !r->running || !pthread_equal(pthread_self(), r->main_thread))
        return MOB_NEVER;
    now = mob_runtime_now();
    if (w->since_ns == 0)
        w->since_ns = now;
    if (now < w->since_ns + w->keeps_ns)
        return w->since_ns + w->keeps_ns;
    w->blocked = true;
    mob_executor_block(r->executor);
    say(r, MOBULA__ENVELOPE__BODY_BLOCKED);
    return MOB_NEVER;
}

static void unblock(struct mob_runtime *r, struct mob_wait *w)
{
    if (!w->blocked)
        return;
    w->blocked = false;
    mob_executor_unblock(r->executor);
    say(r, MOBULA__ENVELOPE__BODY_UNBLOCKED);
}

/* -- the pump ---------------------------------------------------------------------------------------------------------------- */

static bool page_dirty(const struct mob_page *page)
{
    uint64_t any = 0;

    for (unsigned i = 0; i < MOB_DIRTY_BITS / 64; i++)
        any |= atomic_load_explicit(&page->dirty[i], memory_order_relaxed);
    return any != 0;
}

static void pause_a_little(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* There is nothing to wait for any more. */
static bool is_over(const struct mob_runtime *r, const struct mob_wait *w)
{
    return w->done || w->stopped || r->state != MOB_RUNTIME_UP || (w->heeds && r->cancelled);
}

/* Look at the page for 25 µs at most, without the lock. True if something came. A spin that lost its core to another thread is
 * followed by a rest, which doubles: there is no core to spare. */
static bool spin(struct mob_runtime *r, struct mob_wait *w)
{
    int64_t start = mob_runtime_now(), last = start, now = start;
    bool hit = false, preempted = false;

    if (!r->can_spin || start < r->spin_rest_until)
        return false;
    mob_runtime_unlock(r);
    while (!hit && !preempted && now - start < SPIN_NS) {
        for (int i = 0; i < 16 && !hit; i++) {
            hit = page_dirty(r->bell.page) || atomic_load_explicit(&w->done, memory_order_relaxed);
            pause_a_little();
        }
        now = mob_runtime_now();
        preempted = now - last > PREEMPTED_NS;
        last = now;
    }
    pthread_mutex_lock(&r->lock);
    if (preempted) {
        r->spin_rest_ns = r->spin_rest_ns == 0 ? REST_MIN_NS : r->spin_rest_ns * 2;
        if (r->spin_rest_ns > REST_MAX_NS)
            r->spin_rest_ns = REST_MAX_NS;
        r->spin_rest_until = now + r->spin_rest_ns;
    } else if (hit) {
        r->spin_rest_ns = 0;
    }
    return hit;
}

/* Sleep until the doorbell, the socket, a kick, or `until_ns`. */
static void pump_sleep(struct mob_runtime *r, struct mob_wait *w, int64_t until_ns)
{
    struct epoll_event events[4];
    int64_t block_ns = block(r, w);
    int count;

    if (block_ns < until_ns)
        until_ns = block_ns;
    r->pump_sleeps = true;
    settle(r);
    if (!is_over(r, w)) {
        r->pump_due_ns = until_ns < r->due_ns ? until_ns : r->due_ns;
        mob_runtime_unlock(r);
        count = epoll_wait(r->pump_epoll, events, MOB_COUNT(events), milliseconds_until(r->pump_due_ns));
        pthread_mutex_lock(&r->lock);
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == r->kick_fd)
                unpoke(r->kick_fd);
            else if (events[i].data.fd == r->bell.fd)
                mob_doorbell_wake_up(&r->bell);
            else
                mob_runtime_read(r);
        }
    }
    r->pump_sleeps = false;
    stay_awake(r);
}

static void pump(struct mob_runtime *r, struct mob_wait *w, int64_t deadline_ns)
{
    bool spun = false;

    r->pump = w;
    stay_awake(r);
    while (!is_over(r, w)) {
        bool any = mob_runtime_turn(r, TURN_ANSWERS);

        if (is_over(r, w) || (any && mob_runtime_now() < deadline_ns))
            continue;
        if (!spun && (w == r->idle || mob_owner_soon(r->owner, SPIN_SOON_NS))) {
            spun = !spin(r, w);         /* again after each answer, but only one fruitless spin before each sleep */
            continue;
        }
        if (mob_runtime_now() >= deadline_ns)
            break;
        if (w == r->idle) {
            mob_owner_hurry(r->owner);
            mob_runtime_flush(r);
        }
        pump_sleep(r, w, deadline_ns);
        spun = false;
    }
    r->pump = NULL;
}

/* -- waiting ----------------------------------------------------------------------------------------------------------------- */

void mob_wait_init(struct mob_wait *w)
{
    *w = (struct mob_wait){ .turn = PTHREAD_COND_INITIALIZER };
    mob_list_init(&w->link);
}

void mob_wait_done(struct mob_runtime *r, struct mob_wait *w)
{
    w->done = true;
    if (w != r->pump)
        pthread_cond_signal(&w->turn);
    else if (r->pump_sleeps)
        poke(r->kick_fd);
}

void mob_wait_wake_all(struct mob_runtime *r)
{
    struct mob_wait *w;

    mob_list_each(w, &r->waits, struct mob_wait, link)
        pthread_cond_signal(&w->turn);
    if (r->pump_sleeps)
        poke(r->kick_fd);
}

static void follow(struct mob_runtime *r, struct mob_wait *w, int64_t deadline_ns)
{
    struct timespec until;
    int64_t at, block_ns = block(r, w);

    if (block_ns < deadline_ns)
        deadline_ns = block_ns;
    mob_runtime_flush(r);               /* what it waits for was asked for just now, and the pump may sleep already */
    mob_pump_arm(r);
    if (deadline_ns == MOB_NEVER) {
        pthread_cond_wait(&w->turn, &r->lock);
        return;
    }
    clock_gettime(CLOCK_MONOTONIC, &until);
    at = (int64_t)until.tv_sec * 1000000000 + until.tv_nsec + (deadline_ns - mob_runtime_now());
    until = (struct timespec){ .tv_sec = at / 1000000000, .tv_nsec = at % 1000000000 };
    pthread_cond_clockwait(&w->turn, &r->lock, CLOCK_MONOTONIC, &until);
}

static void hand_over(struct mob_runtime *r)
{
    if (r->pump != NULL)
        return;
    if (!mob_list_empty(&r->waits))
        pthread_cond_signal(&mob_list_first(&r->waits, struct mob_wait, link)->turn);
    else if (!r->ticking) {
        settle(r);
        mob_pump_arm(r);                /* it wakes for what the pump would have woken for */
    }
}

/* The program may take locks of its own to answer, and others hold those while they call us: so without our lock, and without the role. */
static void ask_to_stop(struct mob_runtime *r, struct mob_wait *w)
{
    bool stop;

    mob_list_remove(&w->link);
    hand_over(r);
    mob_runtime_unlock(r);
    stop = r->stop() != 0;
    pthread_mutex_lock(&r->lock);
    w->stopped = stop;
    mob_list_append(&r->waits, &w->link);
}

bool mob_wait_until(struct mob_runtime *r, struct mob_wait *w, int64_t deadline_ns)
{
    bool asks = w->may_stop && r->stop != NULL;

    if (w->done)
        return true;
    mob_list_append(&r->waits, &w->link);
    while (!is_over(r, w)) {
        int64_t look_ns = asks ? mob_runtime_now() + STOP_LOOK_NS : MOB_NEVER;
        int64_t until_ns = look_ns < deadline_ns ? look_ns : deadline_ns;

        if (r->pump == NULL)
            pump(r, w, until_ns);
        else
            follow(r, w, until_ns);
        if (deadline_ns != MOB_NEVER && mob_runtime_now() >= deadline_ns)
            break;
        if (asks && !is_over(r, w) && mob_runtime_now() >= look_ns)
            ask_to_stop(r, w);
    }
    mob_list_remove(&w->link);
    unblock(r, w);
    hand_over(r);
    return w->done;
}

bool mob_wait_idle(struct mob_runtime *r, int64_t deadline_ns)
{
    struct mob_wait w;
    bool in_time;

    assert(r->worker && !r->running);
    mob_wait_init(&w);
    r->idle = &w;
    in_time = mob_wait_until(r, &w, deadline_ns);
    r->idle = NULL;
    return in_time;
}

/* -- the service thread ------------------------------------------------------------------------------------------------------ */

void mob_pump_arm(struct mob_runtime *r)
{
    if (r->pump_sleeps) {
        if (r->due_ns < r->pump_due_ns)
            poke(r->kick_fd);
    } else if (r->pump == NULL && r->has_service && r->due_ns < r->service_due_ns) {
        r->service_due_ns = r->due_ns;
        poke(r->poke_fd);
    }
}

static void service_turn(struct mob_runtime *r)
{
    struct epoll_event events[4];
    int64_t output_ns = mob_output_due_ns(r);
    int count, ms = r->ticking ? TICK_MS : milliseconds_until(r->due_ns < output_ns ? r->due_ns : output_ns);

    r->service_due_ns = r->ticking ? 0 : r->due_ns;
    mob_runtime_unlock(r);
    count = epoll_wait(r->service_epoll, events, MOB_COUNT(events), ms);
    pthread_mutex_lock(&r->lock);
    for (int i = 0; i < count; i++) {
        if (events[i].data.fd == r->poke_fd)
            unpoke(r->poke_fd);
        else if (events[i].data.fd == r->bell.fd)
            mob_doorbell_wake_up(&r->bell);
        else
            mob_runtime_read(r);
    }
    mob_runtime_turn(r, TURN_ANSWERS);
    r->ticking = r->calls != r->calls_seen && r->state == MOB_RUNTIME_UP;
    r->calls_seen = r->calls;
    if (!r->ticking || r->pump_sleeps)
        settle(r);
    mob_output_print(r);
}

static void *service_main(void *arg)
{
    struct mob_runtime *r = arg;

    pthread_mutex_lock(&r->lock);
    if (r->state == MOB_RUNTIME_UP)
        settle(r);
    while (r->state == MOB_RUNTIME_UP || r->state == MOB_RUNTIME_LOST)
        service_turn(r);
    mob_runtime_unlock(r);
    return NULL;
}

int mob_service_start(struct mob_runtime *r, struct mob_error *err)
{
    pthread_attr_t attr;
    sigset_t all, old;
    int rc;

    if (r->has_service)
        return 0;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 256 << 10);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);   /* the user's signals go to the user's threads */
    rc = pthread_create(&r->service, &attr, service_main, r);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    if (rc != 0) {
        errno = rc;
        return mob_error_errno(err, "cannot start the service thread");
    }
    r->has_service = true;
    atomic_store(&r->bell.page->owns, 1);       /* before the call that starts us has made anything of its own */
    return 0;
}

void mob_service_poke(struct mob_runtime *r)
{
    if (r->has_service && !pthread_equal(pthread_self(), r->service))
        poke(r->poke_fd);
}

void mob_service_stop(struct mob_runtime *r)
{
    assert(r->state == MOB_RUNTIME_ENDING);
    if (!r->has_service)
        return;
    poke(r->poke_fd);
    mob_runtime_unlock(r);
    pthread_join(r->service, NULL);
    pthread_mutex_lock(&r->lock);
    r->has_service = false;
}
