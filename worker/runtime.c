/* SPDX-License-Identifier: Apache-2.0 */
/* runtime.c -- the one struct of libmobula in a process, its lock, and a turn of the owner core.
 *
 *   DOWN --mob_init--> GREETING --Welcome--> UP --raylet gone--> LOST
 *     ^                    |                  |                   |
 *     '---- shutdown ------'---- ENDING <-----'-------------------'
 *
 * The struct is static and its lock is never destroyed, so that a call that races with mob_shutdown() finds a state to read and
 * not freed memory. Whoever holds the lock may feed the owner core, and on its way drains the rings a little: so a program that
 * submits without ever waiting still has its answers taken in. What waits is in pump.c, what arrives by the socket in inbox.c.
 */
#include "worker/runtime.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "common/identity.h"
#include "worker/join.h"
#include "worker/store_call.h"

#define LEAVE_ANSWERS_MAX 64            /* drained on the way out of a call */
#define SOCKET_RETRY_NS 1000000
#define SOCKET_QUEUE_MAX (1u << 20)     /* bytes; beyond it a call waits for the socket, without the lock */
#define SOON_LOOKS 1000                 /* a millisecond apart */

static struct mob_runtime the_runtime = { .lock = PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP };
static bool foreign;                    /* we are a forked child: nothing here is ours */

/* -- enter and leave --------------------------------------------------------------------------------------------------------- */

/* In a forked child. It may outlive its parent, and must not be taken for it by whoever watches our descriptors. A program that
 * forks before mob_init() may call it in the child. */
static void mark_foreign(void)
{
    if (foreign)
        return;
    mob_cluster_let_go();
    foreign = the_runtime.state != MOB_RUNTIME_DOWN;
    if (!foreign)
        the_runtime.lock = (pthread_mutex_t)PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP;      /* another thread may have held it */
    else if (the_runtime.state == MOB_RUNTIME_UP)
        close(mob_socket_fd(the_runtime.socket));
}

__attribute__((constructor)) static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, mark_foreign);
}

struct mob_runtime *mob_runtime_lock(void)
{
    if (foreign)
        return NULL;
    pthread_mutex_lock(&the_runtime.lock);
    return &the_runtime;
}

/* By looks, and not by pthread_mutex_clocklock(), of which ThreadSanitizer does not know. */
struct mob_runtime *mob_runtime_lock_soon(void)
{
    const struct timespec pause = { .tv_nsec = 1000000 };

    for (int looks = 0; !foreign && looks < SOON_LOOKS; looks++) {
        if (pthread_mutex_trylock(&the_runtime.lock) == 0)
            return &the_runtime;
        nanosleep(&pause, NULL);
    }
    return NULL;
}

void mob_runtime_unlock(struct mob_runtime *r)
{
    pthread_mutex_unlock(&r->lock);
}

static int refuse(const struct mob_runtime *r, struct mob_error *err)
{
    if (r->state == MOB_RUNTIME_LOST) {
        if (err != NULL)
            *err = r->why;
        return -1;
    }
    return mob_error_set(err, MOB_ERR_INVALID, "call mob_init() first");
}

struct mob_runtime *mob_enter(struct mob_error *err)
{
    struct mob_runtime *r = mob_runtime_lock();

    if (r == NULL) {
        mob_error_set(err, MOB_ERR_INVALID,
                      "this process was forked from one that uses Mobula; call Mobula in the parent, or exec first");
        return NULL;
    }
    if (r->state == MOB_RUNTIME_UP) {
        r->inside++;
        return r;
    }
    refuse(r, err);
    mob_runtime_unlock(r);
    return NULL;
}

struct mob_runtime *mob_enter_any(void)
{
    struct mob_runtime *r = mob_runtime_lock();

    if (r == NULL)
        return NULL;
    if (r->state == MOB_RUNTIME_UP || r->state == MOB_RUNTIME_LOST || r->state == MOB_RUNTIME_ENDING) {
        r->inside++;
        return r;
    }
    mob_runtime_unlock(r);
    return NULL;
}

static void leave_and_unlock(struct mob_runtime *r)
{
    assert(r->inside > 0);
    r->calls++;
    if (--r->inside == 0 && r->state == MOB_RUNTIME_ENDING)
        pthread_cond_signal(&r->all_left);
    mob_runtime_unlock(r);
}

void mob_leave(struct mob_runtime *r)
{
    struct pollfd socket = { .fd = -1, .events = POLLOUT };

    mob_runtime_turn(r, LEAVE_ANSWERS_MAX);
    mob_pump_arm(r);
    if (r->state == MOB_RUNTIME_UP && mob_socket_queued(r->socket) > SOCKET_QUEUE_MAX)
        socket.fd = mob_socket_fd(r->socket);
    leave_and_unlock(r);
    if (socket.fd >= 0)                 /* others may enter meanwhile; who comes next writes the rest */
        poll(&socket, 1, 100);
}

void mob_leave_lazily(struct mob_runtime *r)
{
    if (r->ticking)
        leave_and_unlock(r);
    else
        mob_leave(r);
}

/* -- organs ------------------------------------------------------------------------------------------------------------------ */

static int high_eventfd(void)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    return fd < 0 ? -1 : mob_socket_high_fd(fd);
}

static int high_epoll(int wake_fd)
{
    struct epoll_event event = { .events = EPOLLIN, .data.fd = wake_fd };
    int fd = epoll_create1(EPOLL_CLOEXEC);

    if (fd < 0 || (fd = mob_socket_high_fd(fd)) < 0)
        return -1;
    if (epoll_ctl(fd, EPOLL_CTL_ADD, wake_fd, &event) == 0)
        return fd;
    close(fd);
    return -1;
}

static bool more_than_one_cpu(void)
{
    cpu_set_t cpus;

    return sched_getaffinity(0, sizeof cpus, &cpus) == 0 && CPU_COUNT(&cpus) > 1;
}

int mob_runtime_open(struct mob_runtime *r, struct mob_error *err)
{
    assert(r->state == MOB_RUNTIME_DOWN);
    r->era++;
    r->pid = mob_identity_own_pid();
    r->main_thread = pthread_self();
    r->can_spin = more_than_one_cpu();
    r->due_ns = r->pump_due_ns = r->service_due_ns = MOB_NEVER;
    r->bell.fd = -1;
    pthread_cond_init(&r->all_left, NULL);
    mob_list_init(&r->waits);
    mob_list_init(&r->store_calls);
    mob_list_init(&r->fetches);
    mob_list_init(&r->queries);
    mob_list_init(&r->output);
    mob_runtime_world(&r->world);
    r->wire = mob_wire_create();
    r->kick_fd = high_eventfd();
    r->poke_fd = high_eventfd();
    r->pump_epoll = r->kick_fd >= 0 ? high_epoll(r->kick_fd) : -1;      /* first in line: see pump.c */
    r->service_epoll = r->poke_fd >= 0 ? high_epoll(r->poke_fd) : -1;
    if (r->pump_epoll >= 0 && r->service_epoll >= 0)
        return 0;
    return mob_error_errno(err, "cannot open descriptors; raise the limit of open files (ulimit -n)");
}

/* Back to the state before mob_runtime_open(); copes with what was never made. No thread is inside any more. */
void mob_runtime_close(struct mob_runtime *r)
{
    uint64_t era = r->era;
    uint32_t generation = r->owner != NULL ? mob_owner_next_generation(r->owner) : r->generation;

    assert(!r->has_service && (r->waits.next == NULL || mob_list_empty(&r->waits)));
    mob_buffers_fini(r);
    mob_owner_destroy(r->owner);        /* sends what it still has to tell */
    if (r->socket != NULL)
        mob_socket_flush(r->socket);
    mob_executor_destroy(r->executor);
    mob_store_client_close(r->store);
    if (r->bell.page != NULL)
        mob_doorbell_close(&r->bell);
    mob_socket_close(r->socket);
    mob_wire_destroy(r->wire);
    mob_map_fini(&r->printers);
    for (size_t i = 0; i < 4; i++) {
        int fd = (int[]){ r->kick_fd, r->poke_fd, r->pump_epoll, r->service_epoll }[i];

        if (fd >= 0)
            close(fd);
    }
    memset((char *)r + offsetof(struct mob_runtime, era), 0, sizeof *r - offsetof(struct mob_runtime, era));
    r->era = era;
    r->generation = generation;
}

/* -- a turn ------------------------------------------------------------------------------------------------------------------ */

static bool take_dirty(struct mob_runtime *r)
{
    bool any = false;

    for (unsigned i = 0; i < MOB_COUNT(r->dirty); i++) {
        if (atomic_load_explicit(&r->bell.page->dirty[i], memory_order_relaxed) != 0)
            r->dirty[i] |= mob_doorbell_take(&r->bell, i);
        any |= r->dirty[i] != 0;
    }
    return any;
}

bool mob_runtime_turn(struct mob_runtime *r, size_t limit)
{
    bool any;

    if (r->state != MOB_RUNTIME_UP)
        return false;
    any = take_dirty(r);
    if (any && !mob_owner_drain(r->owner, r->dirty, limit))
        memset(r->dirty, 0, sizeof r->dirty);
    r->due_ns = mob_owner_flush(r->owner);
    atomic_store_explicit(&r->bell.page->held, mob_owner_is_needed(r->owner), memory_order_relaxed);
    mob_runtime_flush(r);
    if (r->idle != NULL && mob_executor_pending(r->executor))
        mob_wait_done(r, r->idle);
    if (r->yielding != NULL && mob_yield_is_due(r))
        mob_wait_done(r, r->yielding);
    return any;
}

static void receive(void *arg, const void *bytes, size_t size)
{
    mob_inbox_receive(arg, bytes, size);
}

void mob_runtime_flush(struct mob_runtime *r)
{
    int64_t again_ns;

    if (mob_socket_flush(r->socket))
        return;
    again_ns = mob_runtime_now() + SOCKET_RETRY_NS;
    if (again_ns < r->due_ns)
        r->due_ns = again_ns;
}

void mob_runtime_read(struct mob_runtime *r)
{
    struct mob_error why;

    if (r->state != MOB_RUNTIME_UP && r->state != MOB_RUNTIME_GREETING)
        return;
    if (mob_socket_read(r->socket, receive, r, &why) < 0)
        mob_runtime_lost(r, &why);
}

void mob_runtime_lost(struct mob_runtime *r, const struct mob_error *why)
{
    int fd = mob_socket_fd(r->socket);

    if (r->worker)
        _exit(0);                       /* a worker without its raylet has nobody to answer to */
    if (r->state == MOB_RUNTIME_LOST || r->state == MOB_RUNTIME_ENDING)
        return;
    r->state = MOB_RUNTIME_LOST;
    r->why = *why;
    mob_copy(r->why.node, sizeof r->why.node, r->ip);
    epoll_ctl(r->pump_epoll, EPOLL_CTL_DEL, fd, NULL);
    epoll_ctl(r->service_epoll, EPOLL_CTL_DEL, fd, NULL);
    if (r->owner != NULL) {
        mob_owner_raylet_lost(r->owner, &r->why);
        r->why = *mob_owner_lost_why(r->owner);
    }
    mob_store_call_fail_all(r, &r->why);
    mob_query_fail_all(r, &r->why);
    r->due_ns = MOB_NEVER;
    mob_wait_wake_all(r);
}

/* -- small ------------------------------------------------------------------------------------------------------------------- */

struct mob_address mob_runtime_raylet(const struct mob_runtime *r)
{
    return (struct mob_address){ r->self.node, 0 };
}

void mob_runtime_send(struct mob_runtime *r, const Mobula__Envelope *e)
{
    size_t size;
    const void *bytes = mob_wire_pack(r->wire, e, &size);

    mob_socket_send(r->socket, bytes, size);
}

int64_t mob_runtime_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_BOOTTIME, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t mob_runtime_deadline(int64_t timeout_ms)
{
    int64_t now = mob_runtime_now();

    if (timeout_ms < 0 || timeout_ms > (MOB_NEVER - now) / 1000000)
        return MOB_NEVER;
    return now + timeout_ms * 1000000;
}
