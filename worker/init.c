/* SPDX-License-Identifier: Apache-2.0 */
/* init.c -- mob_init() and mob_shutdown().
 *
 *   options --> the raylet's socket (join.c; a worker has it in its environment) --> Hello --> Welcome --> organs --> UP
 *
 * The lock is not held while daemons start: other threads find state GREETING and are told to call mob_init() first. In a worker
 * mob_init() goes on into worker_main.c and never returns. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "worker/join.h"
#include "worker/store_call.h"

#define WELCOME_MS 30000
#define EXPLAIN_SECONDS 30
#define WORKER_LINGER_NS 2000000        /* nested tasks wait in line for the CPU of a lease that idles */
#define RAYLET_LINK 1                   /* the cores know links by number; we have one */

struct place {                          /* where and as what this process comes in */
    char socket[MOB_PATH_SIZE];
    bool worker;
    uint32_t process;
    uint64_t nonce;
};

/* -- Hello ------------------------------------------------------------------------------------------------------------------- */

/* MOBULA_WORKER="<socket>:<process>:<nonce>": we were started by a raylet. The children of tasks must not believe it of
 * themselves. */
static int worker_place(const char *text, struct place *ret, struct mob_error *err)
{
    char *copy = mob_strdup(text), *nonce = strrchr(copy, ':'), *process;

    if (nonce != NULL)
        *nonce++ = '\0';
    process = nonce != NULL ? strrchr(copy, ':') : NULL;
    if (process == NULL) {
        free(copy);
        return mob_error_set(err, MOB_ERR_INVALID, "MOBULA_WORKER is set to \"%s\"; it is for raylets alone: unset it", text);
    }
    *process++ = '\0';
    mob_copy(ret->socket, sizeof ret->socket, copy);
    ret->worker = true;
    ret->process = (uint32_t)strtoul(process, NULL, 10);
    ret->nonce = strtoull(nonce, NULL, 10);
    free(copy);
    unsetenv("MOBULA_WORKER");
    return 0;
}

static void program_path(char *ret, size_t size)
{
    ssize_t n = readlink("/proc/self/exe", ret, size - 1);

    ret[n > 0 ? n : 0] = '\0';
}

/* What our workers run, as a descriptor: this program, whose file may be replaced while we run, or the script that stands for it. */
static int open_program(const struct mob_init_options *o, struct mob_error *err)
{
    const char *script = o->program;
    size_t written = 0;
    ssize_t n = 0;
    int fd;

    if (script == NULL) {
        fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
        return fd >= 0 ? fd : mob_error_errno(err, "cannot open this program (/proc/self/exe)");
    }
    if (o->program_size < 2 || memcmp(script, "#!", 2) != 0)
        return mob_error_set(err, MOB_ERR_INVALID, "struct mob_init_options: program must start with \"#!\" and its interpreter's path");
    fd = memfd_create("mobula-program", MFD_CLOEXEC);
    while (fd >= 0 && written < o->program_size && (n = write(fd, script + written, o->program_size - written)) > 0)
        written += (size_t)n;
    if (fd >= 0 && written == o->program_size)
        return fd;
    mob_error_errno(err, "cannot keep the script for the workers");
    if (fd >= 0)
        close(fd);
    return -1;
}

static int say_hello(struct mob_runtime *r, const struct place *at, const struct mob_init_options *o, struct mob_error *err)
{
    const char *name = o->name;
    Mobula__Hello m = MOBULA__HELLO__INIT;
    struct mob_address nobody = { 0, 0 };
    struct mob_envelope out;
    char program[4096];
    int fds[2] = { -1, -1 }, rc;
    size_t count = 0, size;
    const void *bytes;

    program_path(program, sizeof program);
    m.protocol = MOB_PROTOCOL;
    m.kind = at->worker ? MOBULA__HELLO__KIND__WORKER : MOBULA__HELLO__KIND__DRIVER;
    m.process = at->process;
    m.nonce = at->nonce;
    m.pid = (uint32_t)r->pid;
    m.program = program;
    m.name = (char *)(uintptr_t)(name != NULL ? name : strrchr(program, '/') != NULL ? strrchr(program, '/') + 1 : program);
    mob_envelope_init(&out, nobody, nobody, MOBULA__ENVELOPE__BODY_HELLO);
    out.e.hello = &m;
    if (!at->worker) {
        if ((fds[count] = open_program(o, err)) < 0)
            return -1;
        count++;
        if ((fds[count] = (int)syscall(SYS_pidfd_open, getpid(), 0)) >= 0)
            count++;
    }
    bytes = mob_wire_pack(r->wire, &out.e, &size);
    rc = mob_socket_say_hello(r->socket, bytes, size, fds, count, err);
    while (count > 0)
        close(fds[--count]);
    return rc;
}

/* -- Welcome ----------------------------------------------------------------------------------------------------------------- */

static int listen_on(struct mob_runtime *r, int fd, struct mob_error *err)
{
    struct epoll_event event = { .events = EPOLLIN | EPOLLEXCLUSIVE, .data.fd = fd };

    if (epoll_ctl(r->pump_epoll, EPOLL_CTL_ADD, fd, &event) < 0 || epoll_ctl(r->service_epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        return mob_error_errno(err, "cannot wait for the doorbell and the socket");
    return 0;
}

static int take_descriptors(struct mob_runtime *r, bool overflow, struct mob_error *err)
{
    int fds[6] = { [5] = -1 }, count = overflow ? 6 : 5;

    if (mob_socket_take_fds(r->socket, fds, (size_t)count, err) < 0)
        return -1;
    if (mob_doorbell_open(&r->bell, fds[0], fds[1], err) < 0) {
        for (int i = 2; i < count; i++)
            close(fds[i]);
        return -1;
    }
    r->store = mob_store_client_open(&(struct mob_store_fds){ fds[2], fds[3], fds[4], fds[5] }, err);
    if (r->store == NULL)
        return -1;
    return listen_on(r, r->bell.fd, err) < 0 || listen_on(r, mob_socket_fd(r->socket), err) < 0 ? -1 : 0;
}

static void warn_user(void *arg, const char *text)
{
    mob_output_warn(arg, text);
}

/* What to add to our clock for the wall clock's time. */
static int64_t wall_offset_ns(void)
{
    struct timespec wall;

    clock_gettime(CLOCK_REALTIME, &wall);
    return (int64_t)wall.tv_sec * 1000000000 + wall.tv_nsec - mob_runtime_now();
}

/* For owner.lineage_bytes. What is kept may be values in the store, which has other things to do. */
static uint64_t lineage_bytes(const struct mob_runtime *r)
{
    const char *said = getenv("MOBULA_LINEAGE_BYTES");
    uint64_t half = mob_store_client_size(r->store) / 2, bytes = said != NULL ? strtoull(said, NULL, 10) : MOB_OWNER_LINEAGE_BYTES;

    if (said != NULL)
        return bytes > 0 ? bytes : 1;
    return half < bytes ? half : bytes;
}

static void make_cores(struct mob_runtime *r)
{
    struct mob_owner_config owner = {
        .cluster = r->cluster, .self = r->self, .job = r->job, .executable = r->executable, .raylet = RAYLET_LINK,
        .wall_offset_ns = wall_offset_ns(), .generation = r->generation,
        .lineage_bytes = lineage_bytes(r), .linger_ns = r->worker ? WORKER_LINGER_NS : 0, .warn = warn_user, .arg = r,
    };
    struct mob_executor_config executor = { .cluster = r->cluster, .self = r->self, .raylet = RAYLET_LINK, .page = r->bell.page };

    r->owner = mob_owner_create(&r->world, &owner);
    if (r->worker)
        r->executor = mob_executor_create(&r->world, &executor);
}

static int on_welcome(struct mob_runtime *r, const Mobula__Welcome *m, struct mob_error *err)
{
    if (m->executable.len != sizeof r->executable.bytes)
        return mob_error_set(err, MOB_ERR_PROTOCOL, "Welcome has no program's hash");
    r->cluster = m->cluster;
    r->self = mob_wire_address(m->self);
    r->job = mob_wire_address(m->job);
    mob_copy(r->ip, sizeof r->ip, m->ip);
    mob_copy(r->head, sizeof r->head, m->head);
    memcpy(r->executable.bytes, m->executable.data, sizeof r->executable.bytes);
    if (take_descriptors(r, m->overflow_size > 0, err) < 0)
        return -1;
    make_cores(r);
    r->state = MOB_RUNTIME_UP;
    return 0;
}

void mob_init_welcome(struct mob_runtime *r, const Mobula__Envelope *e)
{
    assert(r->state == MOB_RUNTIME_GREETING);
    if (e->body_case == MOBULA__ENVELOPE__BODY_REFUSED)
        mob_wire_error(e->refused->error, &r->why);
    else if (e->body_case != MOBULA__ENVELOPE__BODY_WELCOME)
        mob_error_set(&r->why, MOB_ERR_PROTOCOL, "the raylet did not answer with Welcome");
    else
        on_welcome(r, e->welcome, &r->why);
}

static int greet(struct mob_runtime *r, const struct place *at, const struct mob_init_options *o, struct mob_error *err)
{
    struct pollfd p = { .events = POLLIN };

    if ((r->socket = mob_socket_connect(at->socket, err)) == NULL || say_hello(r, at, o, err) < 0)
        return -1;
    p.fd = mob_socket_fd(r->socket);
    while (r->state == MOB_RUNTIME_GREETING && r->why.code == MOB_OK) {
        int n = poll(&p, 1, WELCOME_MS);

        if (n == 0)
            mob_error_set(&r->why, MOB_ERR_UNREACHABLE, "the raylet at %s did not answer within %d s; its log says why",
                          at->socket, WELCOME_MS / 1000);
        else if (n < 0 && errno != EINTR)
            mob_error_errno(&r->why, "cannot wait for the raylet");
        else if (n > 0)
            mob_runtime_read(r);
    }
    if (r->state == MOB_RUNTIME_UP)
        return 0;
    if (err != NULL)
        *err = r->why;
    return -1;
}

/* -- mob_init() -------------------------------------------------------------------------------------------------------------- */

static int read_options(const struct mob_init_options *opt, struct mob_init_options *ret, struct mob_error *err)
{
    *ret = (struct mob_init_options){ .size = sizeof *ret };
    if (opt == NULL)
        return 0;
    if (opt->size < sizeof opt->size)
        return mob_error_set(err, MOB_ERR_INVALID, "struct mob_init_options: set .size = sizeof(struct mob_init_options)");
    for (size_t i = sizeof *ret; i < opt->size; i++)
        if (((const char *)opt)[i] != 0)
            return mob_error_set(err, MOB_ERR_INVALID,
                                 "struct mob_init_options is of a newer libmobula than this one, " MOB_VERSION);
    memcpy(ret, opt, opt->size < sizeof *ret ? opt->size : sizeof *ret);
    return 0;
}

/* Back to DOWN, and what was started ends. The lock is held before, not after. */
static void undo(struct mob_runtime *r)
{
    struct mob_cluster *started = r->cluster_of_ours;

    mob_output_close(r);
    mob_runtime_close(r);
    mob_runtime_unlock(r);
    mob_cluster_end(started);
}

/* After how long a get says why it waits; 0: never. */
static int64_t explain_after_ns(void)
{
    const char *said = getenv("MOBULA_EXPLAIN_SECONDS");
    double seconds = said != NULL ? strtod(said, NULL) : EXPLAIN_SECONDS;

    return isatty(STDERR_FILENO) && seconds > 0 && seconds < 1e9 ? (int64_t)(seconds * 1e9) : 0;
}

/* The lock is held; it is not while daemons start. */
static int come_in(struct mob_runtime *r, const struct mob_init_options *o, struct mob_error *err)
{
    const char *told = getenv("MOBULA_WORKER");
    struct place at = { .worker = false };
    struct mob_cluster *started = NULL;
    int rc;

    if (told != NULL) {
        rc = worker_place(told, &at, err);
        r->worker = rc == 0;
    } else {
        mob_runtime_unlock(r);
        rc = mob_join(o, at.socket, &started, err);
        pthread_mutex_lock(&r->lock);
        r->cluster_of_ours = started;
    }
    r->quiet = o->quiet != 0;
    r->stop = o->stop;
    r->explain_ns = r->worker || r->quiet ? 0 : explain_after_ns();
    if (rc < 0 || greet(r, &at, o, err) < 0)
        return -1;
    return r->worker ? 0 : mob_service_start(r, err);
}

int mob_init(int argc, char **argv, const struct mob_init_options *opt, struct mob_error *err)
{
    struct mob_init_options o;
    struct mob_runtime *r;
    struct mob_error why = { 0 };

    (void)argc;
    (void)argv;
    if (read_options(opt, &o, err) < 0)
        return -1;
    if ((r = mob_runtime_lock()) == NULL)
        return mob_error_set(err, MOB_ERR_INVALID, "this process was forked from one that uses Mobula; exec first");
    if (r->state != MOB_RUNTIME_DOWN) {
        mob_runtime_unlock(r);
        return mob_error_set(err, MOB_ERR_INVALID, "mob_init() was called before; call mob_shutdown() in between");
    }
    if (mob_output_open(r, &o, &why) == 0 && mob_runtime_open(r, &why) == 0) {
        r->state = MOB_RUNTIME_GREETING;
        if (come_in(r, &o, &why) == 0) {
            atomic_store(&r->bell.page->interrupts, o.interrupts != 0);
            if (r->worker)
                mob_worker_main(r);
            mob_runtime_unlock(r);
            return 0;
        }
    }
    if (r->worker) {                    /* there is no program to return to: main() of a worker is the library's */
        fprintf(stderr, "mobula: the worker cannot start: %s\n", why.text);
        _exit(1);
    }
    if (r->state == MOB_RUNTIME_UP)
        r->state = MOB_RUNTIME_ENDING;
    undo(r);
    if (err != NULL)
        *err = why;
    return -1;
}

/* What the tasks printed before their answers came is printed by us before we end. */
static void collect_output(void)
{
    struct mob_runtime *r = mob_enter(NULL);

    if (r == NULL)
        return;
    if (!r->worker && !r->quiet)
        mob_query_output(r);
    mob_leave(r);
}

void mob_shutdown(void)
{
    struct mob_runtime *r;

    collect_output();
    if ((r = mob_runtime_lock()) == NULL)
        return;
    if (r->worker || (r->state != MOB_RUNTIME_UP && r->state != MOB_RUNTIME_LOST)) {
        mob_runtime_unlock(r);
        return;
    }
    r->state = MOB_RUNTIME_ENDING;
    mob_wait_wake_all(r);
    while (r->inside > 0)
        pthread_cond_wait(&r->all_left, &r->lock);
    mob_service_stop(r);
    mob_output_print(r);
    undo(r);
}

/* A program that simply ends shuts down, too. Not from inside a call of ours, though: exit() in a signal handler must not wait for
 * the call that it interrupted. */
__attribute__((destructor)) static void at_exit(void)
{
    struct mob_runtime *r = mob_runtime_lock_soon();
    bool idle;

    if (r == NULL)
        return;
    idle = r->inside == 0;
    mob_runtime_unlock(r);
    if (idle)
        mob_shutdown();
}
