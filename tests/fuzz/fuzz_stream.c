/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_stream.c -- any bytes and descriptors, in any pieces, on the Unix socket between a process and its raylet, heard by
 * either end: every whole frame is handed out, as it was sent and in order; a size that is impossible ends the connection; no
 * descriptor stays open. An input: which end, then pieces {kind, size, descriptors, bytes}: bytes as they are, or a frame
 * around them, cut in two. */
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/wire.h"
#include "descriptors.h"
#include "raylet/stream.h"
#include "worker/socket.h"

#define SENT_MAX (64u << 10)

struct peer {
    int fd;
    uint8_t sent[SENT_MAX];
    size_t size, heard;                 /* bytes sent; those of them that were handed out, with their sizes */
    size_t fds;
    bool lost;
    struct mob_socket *socket;          /* a process's end; NULL: the raylet's */
};

static struct mob_loop *loop;
static uint8_t scratch[MOB_STREAM_READ];
static int listener;
static struct sockaddr_un address = { .sun_family = AF_UNIX };

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void remove_address(void)
{
    unlink(address.sun_path);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    loop = mob_loop_create();
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "/tmp/fuzz_stream.%d", (int)getpid());
    remove_address();
    assert(bind(listener, (struct sockaddr *)&address, sizeof address) == 0 && listen(listener, 8) == 0);
    atexit(remove_address);
    return 0;
}

/* What stands at the front of what was not heard: 0: no whole frame yet; -1: an impossible size; else its bytes. */
static int64_t next_frame(const struct peer *p)
{
    uint32_t size;

    if (p->size - p->heard < sizeof size)
        return 0;
    memcpy(&size, p->sent + p->heard, sizeof size);
    if (size == 0 || size > MOB_ENVELOPE_MAX)
        return -1;
    return p->size - p->heard - sizeof size >= size ? size : 0;
}

static void hear(struct peer *p, const void *frame, size_t size)
{
    assert(next_frame(p) == (int64_t)size && memcmp(p->sent + p->heard + sizeof(uint32_t), frame, size) == 0);
    p->heard += sizeof(uint32_t) + size;
}

static void send_piece(struct peer *p, const void *bytes, size_t size, size_t fds)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(16 * sizeof(int))] = { 0 };
    struct iovec part = { (void *)(uintptr_t)bytes, size };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };

    if (size == 0 || p->size + size > SENT_MAX)
        return;
    if (fds > 0) {
        message.msg_control = control;
        message.msg_controllen = CMSG_SPACE(fds * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&message);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(fds * sizeof(int));
        for (size_t i = 0; i < fds; i++)
            memcpy(CMSG_DATA(c) + i * sizeof(int), &listener, sizeof(int));
    }
    if (sendmsg(p->fd, &message, MSG_NOSIGNAL) != (ssize_t)size)
        return;
    memcpy(p->sent + p->size, bytes, size);
    p->size += size;
    p->fds += fds;
}

/* After all that was sent has been read. Descriptors that nobody takes may end it, too. */
static void check(const struct peer *p, bool ended)
{
    assert(ended ? next_frame(p) < 0 || p->fds > 0 : next_frame(p) == 0);
}

/* -- the raylet's end -------------------------------------------------------------------------------------------------------- */

static void on_frame(void *arg, struct mob_stream *c, const void *frame, size_t size)
{
    int fd;

    hear(arg, frame, size);
    for (unsigned i = *(const uint8_t *)frame % 4u; i > 0 && (fd = mob_stream_take_fd(c)) >= 0; i--)
        close(fd);
}

static void on_lost(void *arg, struct mob_stream *c, const struct mob_error *why)
{
    (void)c;
    assert(why->code != MOB_OK);
    ((struct peer *)arg)->lost = true;
}

/* -- a process's end --------------------------------------------------------------------------------------------------------- */

static void on_message(void *arg, const void *frame, size_t size)
{
    struct peer *p = arg;
    size_t count = *(const uint8_t *)frame % 4u;
    int fds[4];

    hear(p, frame, size);
    if (count > 0 && mob_socket_take_fds(p->socket, fds, count, NULL) == 0)
        while (count > 0)
            close(fds[--count]);
}

/* -- both -------------------------------------------------------------------------------------------------------------------- */

static bool read_all(struct peer *p, struct mob_stream *c)
{
    struct mob_error err;
    int got;

    if (c != NULL) {
        mob_stream_drain(c);
        return mob_stream_fd(c) < 0;
    }
    while ((got = mob_socket_read(p->socket, on_message, p, &err)) > 0)
        ;
    return got < 0;
}

static void play(struct peer *p, struct mob_stream *c, const uint8_t *bytes, size_t size)
{
    bool ended = false;

    while (size >= 3 && !ended) {
        size_t part = bytes[1] < size - 3 ? bytes[1] : size - 3, fds = bytes[2] % 16u;
        uint32_t head = (uint32_t)part;
        uint8_t whole[sizeof head + 256];

        memcpy(whole, &head, sizeof head);
        memcpy(whole + sizeof head, bytes + 3, part);
        size_t cut = bytes[0] / 4u < part ? bytes[0] / 4u : part;

        if (bytes[0] % 4 == 0) {
            send_piece(p, bytes + 3, part, fds < 10 ? fds : 0);
        } else if (part > 0) {
            send_piece(p, whole, sizeof head + cut, fds < 10 ? fds : 0);
            if (cut < part && !(ended = read_all(p, c)))
                send_piece(p, whole + sizeof head + cut, part - cut, 0);
        }
        bytes += 3 + part;
        size -= 3 + part;
        ended = ended || read_all(p, c);
        check(p, ended);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const struct mob_stream_events events = { on_frame, on_lost };
    static struct peer p;
    int before = open_descriptors(), ends[2];

    p = (struct peer){ .fd = -1 };
    if (size == 0)
        return 0;
    if (bytes[0] % 2 == 0) {
        assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
        p.fd = ends[1];
        struct mob_stream *c = mob_stream_create(loop, ends[0], scratch, &events, &p);
        play(&p, c, bytes + 1, size - 1);
        close(p.fd);
        if (mob_stream_fd(c) >= 0)
            mob_stream_drain(c);
        while (!p.lost)
            uv_run(mob_loop_uv(loop), UV_RUN_ONCE);
    } else {
        p.socket = mob_socket_connect(address.sun_path, NULL);
        p.fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        assert(p.socket != NULL && p.fd >= 0);
        play(&p, NULL, bytes + 1, size - 1);
        close(p.fd);
        mob_socket_close(p.socket);
    }
    assert(open_descriptors() == before);
    return 0;
}
