/* SPDX-License-Identifier: Apache-2.0 */
/* stream.c -- one Unix stream socket: frames and descriptors, both ways, in batches.
 *
 * In: one recvmsg a readable event, into memory that all connections share. Whole frames are delivered where they lie; a frame cut by
 * the end of the read is put together in `partial`. Descriptors arrive with, or before, the first byte of their frame.
 *
 * Out: one buffer of bytes and, for the few frames that carry descriptors, an attachment that says at which byte they go. A flush is
 * one sendmsg up to the next attachment. What the socket does not take waits for it to be writable.
 *
 * End: mob_stream_end() closes the socket at once; lost() comes from the loop when libuv has let go of the handle, so nobody is
 * called back from inside a call of his own.
 */
#include "raylet/stream.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/wire.h"

#define STREAM_MAGIC 0x4d4f4258u

struct attachment {
    struct mob_link link;
    size_t at;                          /* the byte of `out` it goes with */
    size_t count;
    int fds[MOB_STREAM_FDS];
};

struct mob_stream {
    uint32_t magic;
    int fd;                             /* -1: ending */
    uv_poll_t poll;
    bool blocked;                       /* waits to be writable */
    struct mob_stream_events events;
    void *arg;
    struct mob_error why;
    struct mob_stream_tag tag;

    uint8_t *scratch;                   /* borrowed */
    uint32_t size;                      /* of the frame that is coming in; its bytes so far: */
    unsigned size_have;
    uint8_t *partial;
    size_t partial_have;
    int in_fds[MOB_STREAM_FDS];
    size_t in_fd_count;

    uint8_t *out;
    size_t out_used, out_sent, out_capacity;
    struct mob_link attachments;        /* by rising `at` */
};

static void on_ready(uv_poll_t *poll, int status, int events);
static void drop_unwritten(struct mob_stream *c);

struct mob_stream *mob_stream_create(struct mob_loop *loop, int fd, void *scratch,
                                             const struct mob_stream_events *events, void *arg)
{
    struct mob_stream *c = mob_new(struct mob_stream);

    c->magic = STREAM_MAGIC;
    c->fd = fd;
    c->scratch = scratch;
    c->events = *events;
    c->arg = arg;
    mob_list_init(&c->attachments);
    mob_list_init(&c->tag.unwritten);
    int failed = uv_poll_init(mob_loop_uv(loop), &c->poll, fd);
    assert(failed == 0);                /* a socket can always be polled */
    uv_poll_start(&c->poll, UV_READABLE, on_ready);
    return c;
}

static void attachment_free(struct attachment *a)
{
    for (size_t i = 0; i < a->count; i++)
        close(a->fds[i]);
    mob_list_remove(&a->link);
    free(a);
}

static void close_in_fds(struct mob_stream *c)
{
    while (c->in_fd_count > 0)
        close(c->in_fds[--c->in_fd_count]);
}

static void on_closed(uv_handle_t *handle)
{
    struct mob_stream *c = MOB_CONTAINER((uv_poll_t *)handle, struct mob_stream, poll);

    assert(c->magic == STREAM_MAGIC);
    c->events.lost(c->arg, c, &c->why);
    mob_list_remove(&c->tag.unwritten);
    drop_unwritten(c);
    close_in_fds(c);
    free(c->partial);
    free(c->out);
    c->magic = 0;
    free(c);
}

void mob_stream_end(struct mob_stream *c, const struct mob_error *why)
{
    if (c->fd < 0)
        return;
    c->why = *why;
    mob_stream_flush(c);
    uv_close((uv_handle_t *)&c->poll, on_closed);
    close(c->fd);
    c->fd = -1;
}

/* -- in -------------------------------------------------------------------------------------------------------------------- */

static int end_badly(struct mob_stream *c, enum mob_code code, const char *what)
{
    struct mob_error why;

    mob_error_set(&why, code, "%s", what);
    mob_stream_end(c, &why);
    return -1;
}

static void deliver(struct mob_stream *c, const void *frame, size_t size)
{
    c->size_have = 0;
    c->events.frame(c->arg, c, frame, size);
    close_in_fds(c);
}

/* Cut `n` bytes into frames and deliver those that are whole. -1: the connection is ending. */
static int take_bytes(struct mob_stream *c, const uint8_t *bytes, size_t n)
{
    while (n > 0 && c->fd >= 0) {
        if (c->size_have < sizeof c->size) {
            memcpy((uint8_t *)&c->size + c->size_have++, bytes++, 1);
            n--;
            if (c->size_have == sizeof c->size && (c->size == 0 || c->size > MOB_ENVELOPE_MAX))
                return end_badly(c, MOB_ERR_PROTOCOL, "it sent a frame of an impossible size");
            continue;
        }
        if (c->partial == NULL && n >= c->size) {
            uint32_t size = c->size;    /* deliver() makes room for the next */

            deliver(c, bytes, size);
            bytes += size;
            n -= size;
            continue;
        }
        if (c->partial == NULL && (c->partial = malloc(c->size)) == NULL)
            return end_badly(c, MOB_ERR_NO_SPACE, "no memory for the frame it sends");
        size_t part = c->size - c->partial_have < n ? c->size - c->partial_have : n;
        memcpy(c->partial + c->partial_have, bytes, part);
        c->partial_have += part;
        bytes += part;
        n -= part;
        if (c->partial_have == c->size) {
            uint8_t *whole = c->partial;

            c->partial = NULL;
            c->partial_have = 0;
            deliver(c, whole, c->size);
            free(whole);
        }
    }
    return c->fd >= 0 ? 0 : -1;
}

/* Keep the descriptors of a message. -1: there were too many, or no room for them in our table. */
static int take_fds(struct mob_stream *c, struct msghdr *m)
{
    int failed = m->msg_flags & MSG_CTRUNC ? -1 : 0;

    for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h != NULL; h = CMSG_NXTHDR(m, h)) {
        if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(h) + i * sizeof fd, sizeof fd);
            if (c->in_fd_count < MOB_STREAM_FDS) {
                c->in_fds[c->in_fd_count++] = fd;
            } else {
                close(fd);
                failed = -1;
            }
        }
    }
    return failed;
}

/* One read. 1: there may be more; 0: nothing more now; -1: the connection is ending. */
static int read_once(struct mob_stream *c)
{
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(MOB_STREAM_FDS * sizeof(int))];
    } control;
    struct iovec bytes = { c->scratch, MOB_STREAM_READ };
    struct msghdr m = { .msg_iov = &bytes, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
    ssize_t n = recvmsg(c->fd, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

    if (n < 0)
        return errno == EINTR ? 1 : errno == EAGAIN ? 0 : end_badly(c, MOB_ERR_UNREACHABLE, strerror(errno));
    if (n == 0)
        return end_badly(c, MOB_ERR_UNREACHABLE, "it closed its socket");
    if (take_fds(c, &m) < 0)
        return end_badly(c, MOB_ERR_PROTOCOL, "it sent more descriptors than a frame may have, or than fit here");
    return take_bytes(c, c->scratch, (size_t)n) < 0 ? -1 : 1;
}

void mob_stream_drain(struct mob_stream *c)
{
    while (c->fd >= 0 && read_once(c) > 0)
        ;
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct mob_stream *c = MOB_CONTAINER(poll, struct mob_stream, poll);

    assert(c->magic == STREAM_MAGIC);
    if (status < 0) {                   /* it left with something unread; libuv looks at the socket no more */
        mob_stream_drain(c);
        end_badly(c, MOB_ERR_UNREACHABLE, "it closed its socket");
        return;
    }
    if (events & UV_WRITABLE)
        mob_stream_flush(c);
    if (c->fd >= 0 && events & UV_READABLE)
        read_once(c);
}

int mob_stream_take_fd(struct mob_stream *c)
{
    if (c->in_fd_count == 0)
        return -1;
    int fd = c->in_fds[0];
    memmove(c->in_fds, c->in_fds + 1, --c->in_fd_count * sizeof fd);
    return fd;
}

/* -- out ------------------------------------------------------------------------------------------------------------------- */

static void make_room(struct mob_stream *c, size_t more)
{
    struct attachment *a;

    if (c->out_sent > 0 && (c->out_sent == c->out_used || c->out_used + more > c->out_capacity)) {
        memmove(c->out, c->out + c->out_sent, c->out_used - c->out_sent);
        mob_list_each(a, &c->attachments, struct attachment, link)
            a->at -= c->out_sent;
        c->out_used -= c->out_sent;
        c->out_sent = 0;
    }
    if (c->out_used + more <= c->out_capacity)
        return;
    while (c->out_used + more > c->out_capacity)
        c->out_capacity = c->out_capacity == 0 ? 4096 : c->out_capacity * 2;
    c->out = mob_realloc(c->out, c->out_capacity);
}

static struct attachment *attachment_create(const int *fds, size_t count)
{
    struct attachment *a = mob_new(struct attachment);

    assert(count <= MOB_STREAM_FDS);
    for (size_t i = 0; i < count; i++) {
        int fd = fcntl(fds[i], F_DUPFD_CLOEXEC, 3);

        if (fd >= 0)
            a->fds[a->count++] = fd;
    }
    mob_list_init(&a->link);
    return a;
}

static bool put(struct mob_stream *c, const void *frame, uint32_t size, const int *fds, size_t fd_count, bool first)
{
    size_t whole = sizeof size + size;
    struct attachment *a;

    if (c->fd < 0)
        return true;
    if (mob_stream_queued(c) + whole > MOB_STREAM_QUEUE)
        return end_badly(c, MOB_ERR_UNREACHABLE, "it left 64 MiB of messages unread") == 0;
    make_room(c, whole);
    size_t at = first ? 0 : c->out_used;
    if (first) {
        memmove(c->out + whole, c->out, c->out_used);
        mob_list_each(a, &c->attachments, struct attachment, link)
            a->at += whole;
    }
    memcpy(c->out + at, &size, sizeof size);
    memcpy(c->out + at + sizeof size, frame, size);
    c->out_used += whole;
    if (fd_count == 0)
        return true;
    a = attachment_create(fds, fd_count);
    a->at = at;
    (first ? mob_list_prepend : mob_list_append)(&c->attachments, &a->link);
    if (a->count < fd_count)
        return end_badly(c, MOB_ERR_SYSTEM, "no descriptors are left to pass; raise RLIMIT_NOFILE") == 0;
    return true;
}

bool mob_stream_send(struct mob_stream *c, const void *frame, size_t size, const int *fds, size_t fd_count)
{
    assert(size > 0 && size <= MOB_ENVELOPE_MAX);
    return put(c, frame, (uint32_t)size, fds, fd_count, false);
}

bool mob_stream_send_first(struct mob_stream *c, const void *frame, size_t size, const int *fds, size_t fd_count)
{
    assert(c->out_sent == 0);
    return put(c, frame, (uint32_t)size, fds, fd_count, true);
}

/* One sendmsg: up to the next attachment, with the one that stands here. -1: the socket is full or broken (errno). */
static int write_once(struct mob_stream *c)
{
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(MOB_STREAM_FDS * sizeof(int))];
    } control;
    struct attachment *here = NULL;
    size_t end = c->out_used;

    if (!mob_list_empty(&c->attachments)) {
        struct attachment *a = mob_list_first(&c->attachments, struct attachment, link);

        here = a->at == c->out_sent ? a : NULL;
        if (here == NULL)
            end = a->at;
        else if (a->link.next != &c->attachments)
            end = MOB_CONTAINER(a->link.next, struct attachment, link)->at;
    }
    struct iovec bytes = { c->out + c->out_sent, end - c->out_sent };
    struct msghdr m = { .msg_iov = &bytes, .msg_iovlen = 1 };
    if (here != NULL) {
        m.msg_control = &control;
        m.msg_controllen = CMSG_SPACE(here->count * sizeof(int));
        memset(&control, 0, sizeof control);
        struct cmsghdr *h = CMSG_FIRSTHDR(&m);
        h->cmsg_level = SOL_SOCKET;
        h->cmsg_type = SCM_RIGHTS;
        h->cmsg_len = CMSG_LEN(here->count * sizeof(int));
        memcpy(CMSG_DATA(h), here->fds, here->count * sizeof(int));
    }
    ssize_t n = sendmsg(c->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0)
        return -1;
    c->out_sent += (size_t)n;
    if (here != NULL)
        attachment_free(here);
    return 0;
}

static void drop_unwritten(struct mob_stream *c)
{
    struct attachment *a;

    mob_list_each(a, &c->attachments, struct attachment, link)
        attachment_free(a);
    c->out_sent = c->out_used;
}

void mob_stream_flush(struct mob_stream *c)
{
    mob_list_remove(&c->tag.unwritten);
    while (c->fd >= 0 && c->out_sent < c->out_used) {
        if (write_once(c) == 0 || errno == EINTR)
            continue;
        if (errno == EAGAIN) {
            if (!c->blocked)
                uv_poll_start(&c->poll, UV_READABLE | UV_WRITABLE, on_ready);
            c->blocked = true;
            return;
        }
        /* The peer is gone. What it wrote before is still to be read: the end of file says when that is done. */
        drop_unwritten(c);
    }
    if (c->fd >= 0 && c->blocked) {
        uv_poll_start(&c->poll, UV_READABLE, on_ready);
        c->blocked = false;
    }
    if (c->out_sent == c->out_used && c->out_capacity > MOB_STREAM_READ) {
        free(c->out);                   /* a burst is over: a thousand connections do not keep their largest each */
        c->out = NULL;
        c->out_used = c->out_sent = c->out_capacity = 0;
    }
}

size_t mob_stream_queued(const struct mob_stream *c)
{
    return c->out_used - c->out_sent;
}

struct mob_stream_tag *mob_stream_tag(struct mob_stream *c)
{
    assert(c->magic == STREAM_MAGIC);
    return &c->tag;
}

int mob_stream_fd(const struct mob_stream *c)
{
    return c->fd;
}
