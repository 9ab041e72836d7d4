/* SPDX-License-Identifier: Apache-2.0 */
/* played_raylet.c -- the thread that plays the raylet: one poll over its socket, its peers and their ends. */
#include "played_raylet.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/channel.h"
#include "common/event.h"
#include "common/mem.h"
#include "common/paths.h"
#include "common/record.h"
#include "common/wire.h"
#include "objstore/layout.h"

#define PLAYED_WORKERS_MAX 3
#define PEERS (1 + PLAYED_WORKERS_MAX)
#define NODE 2
#define CLUSTER 77

struct peer {
    int fd;                             /* -1: not here */
    uint32_t process;                   /* 0: has not said Hello */
    bool worker, lent;
    uint32_t epoch, shape, depth;
    struct mob_address owner;           /* worker: of its lease */
    uint64_t channels;                  /* worker: bit p: a channel from peer p exists */
    int page_fd, event_fd;
    char *in;
    size_t have;
};

struct played_raylet {
    pthread_t thread;
    int listen_fd, stop_fd;
    char socket_path[108];
    struct mob_wire *wire;
    struct peer peers[PEERS];
    pid_t pids[PLAYED_WORKERS_MAX];
    int started;
    struct { struct mob_address owner; uint32_t shape, depth; unsigned count; } wants[8];
    uint64_t lease;
    _Atomic int blocked, unblocked, events;
    pthread_mutex_t reading;
};

extern char **environ;

/* -- sending ----------------------------------------------------------------------------------------------------------------- */

static void send_fds(struct played_raylet *f, struct peer *to, const Mobula__Envelope *e, const int *fds, size_t count)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * 8)] = { 0 };
    size_t size;
    const void *bytes = mob_wire_pack(f->wire, e, &size);
    uint32_t head = (uint32_t)size;
    struct iovec parts[2] = { { &head, sizeof head }, { (void *)(uintptr_t)bytes, size } };
    struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };

    if (count > 0) {
        struct cmsghdr *c = (struct cmsghdr *)control;

        message.msg_control = control;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * count);
        memcpy(CMSG_DATA(c), fds, sizeof(int) * count);
    }
    if (sendmsg(to->fd, &message, MSG_NOSIGNAL) < 0)
        to->lent = true;                /* it is going: nothing more for it */
}

static struct mob_address address_of(const struct peer *p)
{
    return (struct mob_address){ NODE, p->process };
}

static void envelope(struct mob_envelope *out, const struct peer *to, Mobula__Envelope__BodyCase body)
{
    mob_envelope_init(out, (struct mob_address){ NODE, 0 }, address_of(to), body);
}

/* -- leases ------------------------------------------------------------------------------------------------------------------ */

static void open_channel(struct played_raylet *f, struct peer *owner, struct peer *worker)
{
    Mobula__ChannelOpen m = MOBULA__CHANNEL_OPEN__INIT;
    Mobula__Address a, b;
    struct mob_envelope out;
    int fd, fds[3];

    if (worker->channels & 1u << (owner - f->peers))
        return;
    worker->channels |= 1u << (owner - f->peers);
    ck_assert_int_eq(mob_channel_create(&fd, NULL), 0);
    mob_wire_put_address(&a, address_of(owner));
    mob_wire_put_address(&b, address_of(worker));
    m.owner = &a;
    m.worker = &b;
    envelope(&out, owner, MOBULA__ENVELOPE__BODY_CHANNEL_OPEN);
    out.e.channel_open = &m;
    memcpy(fds, (int[]){ fd, worker->page_fd, worker->event_fd }, sizeof fds);
    send_fds(f, owner, &out.e, fds, 3);
    envelope(&out, worker, MOBULA__ENVELOPE__BODY_CHANNEL_OPEN);
    out.e.channel_open = &m;
    memcpy(fds, (int[]){ fd, owner->page_fd, owner->event_fd }, sizeof fds);
    send_fds(f, worker, &out.e, fds, 3);
    close(fd);
}

static void lend(struct played_raylet *f, struct peer *owner, struct peer *worker, uint32_t shape, uint32_t depth)
{
    Mobula__Assign assign = MOBULA__ASSIGN__INIT;
    Mobula__Grant grant = MOBULA__GRANT__INIT;
    Mobula__Address a, b;
    struct mob_envelope out;

    open_channel(f, owner, worker);
    mob_wire_put_address(&a, address_of(owner));
    mob_wire_put_address(&b, address_of(worker));
    worker->lent = true;
    worker->owner = address_of(owner);
    assign.epoch = grant.epoch = ++worker->epoch;
    assign.lease = grant.lease = ++f->lease << 8 | worker->process;
    assign.owner = assign.real_owner = &a;
    assign.depth = depth;
    envelope(&out, worker, MOBULA__ENVELOPE__BODY_ASSIGN);
    out.e.assign = &assign;
    send_fds(f, worker, &out.e, NULL, 0);
    grant.shape = shape;
    grant.worker = &b;
    grant.window_tasks = 1000;
    grant.window_bytes = 512 << 10;
    grant.ip = (char *)"127.0.0.1";
    envelope(&out, owner, MOBULA__ENVELOPE__BODY_GRANT);
    out.e.grant = &grant;
    send_fds(f, owner, &out.e, NULL, 0);
}

static void start_worker(struct played_raylet *f)
{
    char *argv[] = { (char *)"worker", NULL }, **env, *mine;
    size_t n = 0;

    while (environ[n] != NULL)
        n++;
    env = mob_alloc((n + 2) * sizeof *env);
    memcpy(env, environ, n * sizeof *env);
    env[n] = mine = mob_printf("MOBULA_WORKER=%s:%d:%d", f->socket_path, 100 + f->started, 4242);
    ck_assert_int_eq(posix_spawn(&f->pids[f->started], "/proc/self/exe", NULL, NULL, argv, env), 0);
    f->started++;
    free(mine);
    free(env);
}

static struct peer *peer_of(struct played_raylet *f, struct mob_address a)
{
    for (int i = 0; i < PEERS; i++)
        if (f->peers[i].fd >= 0 && f->peers[i].process == a.process)
            return &f->peers[i];
    return NULL;
}

/* Serve what is wanted from idle workers; start one more while there may be. A blocked worker's children need another. */
static void serve(struct played_raylet *f)
{
    bool short_of_workers = false;

    for (size_t w = 0; w < MOB_COUNT(f->wants); w++) {
        struct peer *owner = f->wants[w].count > 0 ? peer_of(f, f->wants[w].owner) : NULL;

        for (int i = 0; owner != NULL && i < PEERS && f->wants[w].count > 0; i++) {
            struct peer *p = &f->peers[i];

            if (p->fd < 0 || p == owner || !p->worker || p->lent)
                continue;
            f->wants[w].count--;
            lend(f, owner, p, f->wants[w].shape, f->wants[w].depth);
        }
        short_of_workers |= owner != NULL && f->wants[w].count > 0;
    }
    if (short_of_workers && f->started < PLAYED_WORKERS_MAX)
        start_worker(f);
}

static void on_want(struct played_raylet *f, struct peer *from, const Mobula__Want *m)
{
    size_t free_one = MOB_COUNT(f->wants);

    for (size_t i = 0; i < MOB_COUNT(f->wants); i++) {
        if (f->wants[i].owner.process == from->process && f->wants[i].shape == m->shape)
            free_one = i;
        else if (f->wants[i].owner.process == 0 && free_one == MOB_COUNT(f->wants))
            free_one = i;
    }
    ck_assert_uint_lt(free_one, MOB_COUNT(f->wants));
    f->wants[free_one].owner = address_of(from);
    f->wants[free_one].shape = m->shape;
    f->wants[free_one].depth = m->depth;
    f->wants[free_one].count = m->count;
}

/* -- Hello ------------------------------------------------------------------------------------------------------------------- */

static int memory_of(const char *name, size_t size)
{
    int fd = memfd_create(name, MFD_CLOEXEC);

    ck_assert_int_eq(ftruncate(fd, (off_t)size), 0);
    return fd;
}

static void make_store(int fds[3])
{
    struct mob_store_meta meta = { .magic = MOB_STORE_MAGIC, .version = MOB_STORE_VERSION, .arena_size = 4096 };
    uint32_t pins[2] = { MOB_STORE_MAGIC, MOB_STORE_VERSION };

    fds[0] = memory_of("arena", 4096);
    fds[1] = memory_of("meta", 4096);
    fds[2] = memory_of("pins", sizeof(struct mob_pin_page));
    ck_assert_int_eq(pwrite(fds[1], &meta, sizeof meta, 0), sizeof meta);
    ck_assert_int_eq(pwrite(fds[2], pins, sizeof pins, 0), sizeof pins);
}

static void on_hello(struct played_raylet *f, struct peer *p, const Mobula__Hello *m)
{
    Mobula__Welcome w = MOBULA__WELCOME__INIT;
    Mobula__Address self, job;
    struct mob_envelope out;
    uint8_t hash[32] = { 1 };
    int fds[5];

    p->worker = m->kind == MOBULA__HELLO__KIND__WORKER;
    p->process = p->worker ? m->process : 5;
    ck_assert(!p->worker || m->nonce == 4242);
    ck_assert_int_eq(mob_doorbell_create(&p->page_fd, &p->event_fd, NULL), 0);
    fds[0] = p->page_fd;
    fds[1] = p->event_fd;
    make_store(fds + 2);
    mob_wire_put_address(&self, address_of(p));
    mob_wire_put_address(&job, (struct mob_address){ NODE, 5 });
    w.cluster = CLUSTER;
    w.self = &self;
    w.job = &job;
    w.ip = (char *)"127.0.0.1";
    w.head = (char *)"127.0.0.1:7";
    w.executable = (ProtobufCBinaryData){ sizeof hash, hash };
    envelope(&out, p, MOBULA__ENVELOPE__BODY_WELCOME);
    out.e.welcome = &w;
    send_fds(f, p, &out.e, fds, 5);
    for (int i = 2; i < 5; i++)
        close(fds[i]);
}

/* -- messages ---------------------------------------------------------------------------------------------------------------- */

static void no_room(struct played_raylet *f, struct peer *p, const Mobula__Create *c)
{
    Mobula__Created m = MOBULA__CREATED__INIT;
    Mobula__Error error = MOBULA__ERROR__INIT;
    struct mob_envelope out;

    error.code = MOB_ERR_NO_SPACE;
    error.text = (char *)"the store is full";
    m.object = c->object;
    m.error = &error;
    envelope(&out, p, MOBULA__ENVELOPE__BODY_CREATED);
    out.e.created = &m;
    send_fds(f, p, &out.e, NULL, 0);
}

static void answer_query(struct played_raylet *f, struct peer *p, const Mobula__Query *q)
{
    Mobula__Reply m = MOBULA__REPLY__INIT;
    struct mob_envelope out;
    const char *text = "{\"nodes\": [{\"node\": 2, \"state\": \"alive\", \"ip\": \"127.0.0.1\", \"port\": 9, \"host\": \"h\","
                       " \"total\": {\"CPU\": 4}, \"available\": {\"CPU\": 3.5}}], \"total\": {\"CPU\": 4}, \"available\": "
                           "{\"CPU\": 3.5}}";

    m.id = q->id;
    for (int part = 0; part < 2; part++) {      /* cut anywhere */
        m.text = (ProtobufCBinaryData){ part == 0 ? 10 : strlen(text) - 10, (uint8_t *)(uintptr_t)(text + (part == 0 ? 0 : 10)) };
        m.last = part == 1;
        envelope(&out, p, MOBULA__ENVELOPE__BODY_REPLY);
        out.e.reply = &m;
        send_fds(f, p, &out.e, NULL, 0);
    }
}

static void on_message(struct played_raylet *f, struct peer *p, const void *bytes, size_t size)
{
    const Mobula__Envelope *e = mob_wire_unpack(f->wire, bytes, size, NULL);
    struct peer *returned;

    ck_assert_ptr_nonnull(e);
    if (e->to != NULL && e->to->process != 0) {         /* from one process to another */
        struct peer *to = peer_of(f, mob_wire_address(e->to));

        if (to != NULL)
            send_fds(f, to, e, NULL, 0);
        return;
    }
    if (e->body_case == MOBULA__ENVELOPE__BODY_HELLO)
        on_hello(f, p, e->hello);
    else if (e->body_case == MOBULA__ENVELOPE__BODY_WANT)
        on_want(f, p, e->want);
    else if (e->body_case == MOBULA__ENVELOPE__BODY_CREATE)
        no_room(f, p, e->create);
    else if (e->body_case == MOBULA__ENVELOPE__BODY_QUERY)
        answer_query(f, p, e->query);
    else if (e->body_case == MOBULA__ENVELOPE__BODY_EVENTS)
        f->events += (int)(e->events->records.len / sizeof(struct mob_event));
    else if (e->body_case == MOBULA__ENVELOPE__BODY_BLOCKED)
        f->blocked++;
    else if (e->body_case == MOBULA__ENVELOPE__BODY_UNBLOCKED)
        f->unblocked++;
    else if (e->body_case == MOBULA__ENVELOPE__BODY_RETURN_LEASE
             && (returned = peer_of(f, (struct mob_address){ NODE, (uint32_t)(e->return_lease->lease & 0xff) })) != NULL)
        returned->lent = false;
    serve(f);
}

static void read_peer(struct played_raylet *f, struct peer *p)
{
    char control[CMSG_SPACE(sizeof(int) * 8)];
    struct iovec part = { p->in + p->have, (1 << 20) - p->have };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
    ssize_t n = recvmsg(p->fd, &message, MSG_CMSG_CLOEXEC);
    size_t at = 0;
    uint32_t size;

    if (n <= 0) {
        close(p->fd);
        p->fd = -1;
        return;
    }
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c != NULL; c = CMSG_NXTHDR(&message, c))
        for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++)
            close(((int *)CMSG_DATA(c))[i]);    /* the program and the pidfd */
    for (p->have += (size_t)n; p->have - at >= 4; at += 4 + size) {
        memcpy(&size, p->in + at, 4);
        if (p->have - at < 4 + size)
            break;
        on_message(f, p, p->in + at + 4, size);
    }
    memmove(p->in, p->in + at, p->have - at);
    p->have -= at;
}

static void accept_peer(struct played_raylet *f)
{
    for (int i = 0; i < PEERS; i++) {
        if (f->peers[i].fd >= 0 || f->peers[i].process != 0)
            continue;
        f->peers[i].fd = accept4(f->listen_fd, NULL, NULL, SOCK_CLOEXEC);
        f->peers[i].in = mob_alloc(1 << 20);
        return;
    }
    ck_abort_msg("one process too many");
}

static void *run(void *arg)
{
    struct played_raylet *f = arg;

    for (;;) {
        struct pollfd p[2 + PEERS] = { { .fd = f->stop_fd, .events = POLLIN }, { .fd = f->listen_fd, .events = POLLIN } };

        for (int i = 0; i < PEERS; i++)
            p[2 + i] = (struct pollfd){ .fd = f->peers[i].fd, .events = POLLIN };
        if (poll(p, 2 + PEERS, -1) < 0)
            continue;
        if (p[0].revents != 0)
            return NULL;
        if (p[1].revents != 0)
            accept_peer(f);
        pthread_mutex_lock(&f->reading);
        for (int i = 0; i < PEERS; i++)
            if (p[2 + i].revents != 0)
                read_peer(f, &f->peers[i]);
        pthread_mutex_unlock(&f->reading);
    }
}

/* -- life -------------------------------------------------------------------------------------------------------------------- */

static void write_record(struct played_raylet *f, const char *folder)
{
    struct mob_daemon_record record = { .role = "raylet", .cluster = "00112233445566778899aabbccddeeff", .ip = "127.0.0.1",
                                       .head = "127.0.0.1:1" };
    char run_folder[MOB_PATH_SIZE], session[MOB_PATH_SIZE], *path;
    int lock;                           /* ends with the test */

    setenv("XDG_RUNTIME_DIR", folder, 1);
    setenv("MOBULA_ADDRESS", "auto", 1);
    ck_assert_int_eq(mob_paths_run(run_folder, NULL), 0);
    ck_assert_int_eq(mob_paths_session(run_folder, record.cluster, record.ip, session, NULL), 0);
    ck_assert_int_eq(mob_paths_enter(session, &lock, NULL), 0);
    ck_assert_int_eq(mob_identity_of(getpid(), &record.process, NULL), 0);
    snprintf(f->socket_path, sizeof f->socket_path, "%.80s/raylet", session);
    mob_copy(record.socket, sizeof record.socket, f->socket_path);
    path = mob_printf("%s/raylet-1.json", session);
    ck_assert_int_eq(mob_record_write(path, &record, NULL), 0);
    free(path);
}

struct played_raylet *played_raylet_create(const char *folder)
{
    struct played_raylet *f = mob_new(struct played_raylet);
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    for (int i = 0; i < PEERS; i++)
        f->peers[i].fd = f->peers[i].page_fd = f->peers[i].event_fd = -1;
    f->wire = mob_wire_create();
    pthread_mutex_init(&f->reading, NULL);
    write_record(f, folder);
    mob_copy(address.sun_path, sizeof address.sun_path, f->socket_path);
    f->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    unlink(f->socket_path);             /* of one that crashed here before */
    ck_assert_int_eq(bind(f->listen_fd, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(listen(f->listen_fd, 8), 0);
    f->stop_fd = eventfd(0, EFD_CLOEXEC);
    ck_assert_int_eq(pthread_create(&f->thread, NULL, run, f), 0);
    return f;
}

void played_raylet_destroy(struct played_raylet *f)
{
    const uint64_t one = 1;

    ck_assert_int_eq(write(f->stop_fd, &one, sizeof one), sizeof one);
    pthread_join(f->thread, NULL);
    for (int i = 0; i < PEERS; i++) {
        for (int j = 0; j < 3; j++) {
            int fd = (int[]){ f->peers[i].fd, f->peers[i].page_fd, f->peers[i].event_fd }[j];

            if (fd >= 0)
                close(fd);
        }
        free(f->peers[i].in);
    }
    close(f->listen_fd);
    close(f->stop_fd);
    for (int i = 0; i < f->started; i++) {
        kill(f->pids[i], SIGKILL);
        waitpid(f->pids[i], NULL, 0);
    }
    mob_wire_destroy(f->wire);
    free(f);
}

int played_raylet_blocked(struct played_raylet *f)
{
    return f->blocked;
}

int played_raylet_unblocked(struct played_raylet *f)
{
    return f->unblocked;
}

void played_raylet_freeze(struct played_raylet *f)
{
    pthread_mutex_lock(&f->reading);
}

void played_raylet_thaw(struct played_raylet *f)
{
    pthread_mutex_unlock(&f->reading);
}

int played_raylet_events(struct played_raylet *f)
{
    return f->events;
}
