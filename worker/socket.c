/* SPDX-License-Identifier: Apache-2.0 */
/* socket.c -- envelopes to and from the raylet over a Unix stream socket.
 *
 * Out: frames are appended to one buffer and leave in one write a flush. In: one buffer, read in large pieces, frames are
 * handed out where they lie. Descriptors come with the first byte of their message; the kernel hands out at most one set a
 * read, and never reads past the message part that carries a set, so sets are kept in a queue and taken in order by the
 * messages that have some.
 */
#include "worker/socket.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/mem.h"
#include "common/wire.h"

#define READ_MAX (256u << 10)           /* a turn; a flood must not keep the lock */
#define SETS_MAX 64

struct fd_set_of {
    int fds[MOB_SOCKET_FDS_MAX];
    size_t count;
};

struct buffer {
    char *bytes;
    size_t from, to, room;              /* what is in it: [from, to) */
};

struct mob_socket {
    int fd;
    struct buffer in, out;
    struct fd_set_of sets[SETS_MAX];
    size_t first_set, set_count;
};

/* -- buffers ----------------------------------------------------------------------------------------------------------------- */

static void buffer_need(struct buffer *b, size_t more)
{
    if (b->from > 0 && b->to + more > b->room) {
        memmove(b->bytes, b->bytes + b->from, b->to - b->from);
        b->to -= b->from;
        b->from = 0;
    }
    if (b->to + more > b->room) {
        b->room = (b->to + more) * 2;
        b->bytes = mob_realloc(b->bytes, b->room);
    }
}

static void buffer_take(struct buffer *b, size_t size)
{
    assert(size <= b->to - b->from);
    b->from += size;
    if (b->from == b->to)
        b->from = b->to = 0;
}

/* -- open and close ---------------------------------------------------------------------------------------------------------- */

int mob_socket_high_fd(int fd)
{
    int high = fcntl(fd, F_DUPFD_CLOEXEC, 64);

    if (high < 0)
        return -1;
    close(fd);
    return high;
}

/* A sun_path holds 107 bytes, a run folder may be deeper: then the folder is opened and named by its descriptor. */
static int connect_to(int fd, const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    const char *slash = strrchr(path, '/');
    char *folder;
    int folder_fd, rc, n;

    if (strlen(path) < sizeof address.sun_path || slash == NULL) {
        mob_copy(address.sun_path, sizeof address.sun_path, path);
        return connect(fd, (struct sockaddr *)&address, sizeof address);
    }
    folder = mob_printf("%.*s", (int)(slash - path), path);
    folder_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    free(folder);
    if (folder_fd < 0)
        return -1;
    n = snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d%s", folder_fd, slash);
    errno = ENAMETOOLONG;
    rc = n < (int)sizeof address.sun_path ? connect(fd, (struct sockaddr *)&address, sizeof address) : -1;
    close(folder_fd);
    return rc;
}

struct mob_socket *mob_socket_connect(const char *path, struct mob_error *err)
{
    struct mob_socket *s;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), high;

    if (fd < 0 || (high = mob_socket_high_fd(fd)) < 0) {
        mob_error_errno(err, "cannot make a socket");
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    if (connect_to(high, path) < 0) {
        mob_error_set(err, errno == EACCES ? MOB_ERR_DENIED : MOB_ERR_UNREACHABLE, "no raylet answers at %s: %s", path,
                      strerror(errno));
        close(high);
        return NULL;
    }
    s = mob_new(struct mob_socket);
    s->fd = high;
    return s;
}

void mob_socket_close(struct mob_socket *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->set_count; i++)
        for (size_t j = 0; j < s->sets[(s->first_set + i) % SETS_MAX].count; j++)
            close(s->sets[(s->first_set + i) % SETS_MAX].fds[j]);
    close(s->fd);
    free(s->in.bytes);
    free(s->out.bytes);
    free(s);
}

int mob_socket_fd(const struct mob_socket *s)
{
    return s->fd;
}

/* -- out --------------------------------------------------------------------------------------------------------------------- */

void mob_socket_send(struct mob_socket *s, const void *frame, size_t size)
{
    uint32_t head = (uint32_t)size;

    assert(size <= MOB_ENVELOPE_MAX);
    buffer_need(&s->out, sizeof head + size);
    memcpy(s->out.bytes + s->out.to, &head, sizeof head);
    memcpy(s->out.bytes + s->out.to + sizeof head, frame, size);
    s->out.to += sizeof head + size;
}

bool mob_socket_flush(struct mob_socket *s)
{
    while (s->out.from < s->out.to) {
        ssize_t n = send(s->fd, s->out.bytes + s->out.from, s->out.to - s->out.from, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return false;
        if (n < 0) {                    /* the raylet is gone: reading says so, after what it sent last */
            buffer_take(&s->out, s->out.to - s->out.from);
            return true;
        }
        buffer_take(&s->out, (size_t)n);
    }
    return true;
}

size_t mob_socket_queued(const struct mob_socket *s)
{
    return s->out.to - s->out.from;
}

int mob_socket_say_hello(struct mob_socket *s, const void *frame, size_t size, const int *fds, size_t fd_count,
                         struct mob_error *err)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * MOB_SOCKET_FDS_MAX)] = { 0 };
    uint32_t head = (uint32_t)size;
    struct iovec parts[2] = { { &head, sizeof head }, { (void *)(uintptr_t)frame, size } };
    struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
    struct cmsghdr *c;
    ssize_t n;

    assert(fd_count <= MOB_SOCKET_FDS_MAX);
    if (fd_count > 0) {
        message.msg_control = control;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
        c = CMSG_FIRSTHDR(&message);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
        memcpy(CMSG_DATA(c), fds, sizeof(int) * fd_count);
    }
    while ((n = sendmsg(s->fd, &message, MSG_NOSIGNAL)) < 0 && errno == EINTR)
        ;
    if (n < 0)
        return mob_error_errno(err, "cannot greet the raylet");
    if ((size_t)n != sizeof head + size)        /* a hello is far smaller than a socket's buffer */
        return mob_error_set(err, MOB_ERR_SYSTEM, "the raylet took only %zd bytes of a greeting", n);
    return 0;
}

/* -- in ---------------------------------------------------------------------------------------------------------------------- */

static int keep_fds(struct mob_socket *s, struct msghdr *message, struct mob_error *err)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
        struct fd_set_of *set;
        int fds[MOB_SOCKET_FDS_MAX];
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        assert(count <= MOB_SOCKET_FDS_MAX);            /* our control buffer has no more room */
        memcpy(fds, CMSG_DATA(c), count * sizeof(int));
        if (s->set_count == SETS_MAX) {
            for (size_t i = 0; i < count; i++)
                close(fds[i]);
            return mob_error_set(err, MOB_ERR_PROTOCOL, "the raylet sent descriptors that belong to no message");
        }
        set = &s->sets[(s->first_set + s->set_count++) % SETS_MAX];
        set->count = count;
        for (size_t i = 0; i < count; i++) {
            int high = mob_socket_high_fd(fds[i]);

            set->fds[i] = high >= 0 ? high : fds[i];
        }
    }
    if (message->msg_flags & MSG_CTRUNC)
        return mob_error_set(err, MOB_ERR_SYSTEM,
                             "no room for the raylet's descriptors; raise the limit of open files (ulimit -n)");
    return 0;
}

int mob_socket_take_fds(struct mob_socket *s, int *ret_fds, size_t count, struct mob_error *err)
{
    struct fd_set_of *set = &s->sets[s->first_set];

    if (s->set_count == 0 || set->count != count)
        return mob_error_set(err, MOB_ERR_PROTOCOL, "the raylet sent %zu descriptors instead of %zu",
                             s->set_count ? set->count : 0, count);
    memcpy(ret_fds, set->fds, count * sizeof(int));
    s->first_set = (s->first_set + 1) % SETS_MAX;
    s->set_count--;
    return 0;
}

/* One read. Returns bytes, 0 when nothing is there now, -1 at the end. */
static ssize_t read_once(struct mob_socket *s, struct mob_error *err)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * MOB_SOCKET_FDS_MAX)];
    struct iovec part;
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
    ssize_t n;

    buffer_need(&s->in, 64u << 10);
    part.iov_base = s->in.bytes + s->in.to;
    part.iov_len = s->in.room - s->in.to;
    while ((n = recvmsg(s->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR)
        ;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return 0;
    if (n <= 0)
        return mob_error_set(err, MOB_ERR_NODE_DIED, "the raylet ended the connection");
    s->in.to += (size_t)n;
    return keep_fds(s, &message, err) < 0 ? -1 : n;
}

static int hand_out(struct mob_socket *s, void (*frame)(void *arg, const void *bytes, size_t size), void *arg,
                    struct mob_error *err)
{
    uint32_t size;
    int count = 0;

    while (s->in.to - s->in.from >= sizeof size) {
        memcpy(&size, s->in.bytes + s->in.from, sizeof size);
        if (size == 0 || size > MOB_ENVELOPE_MAX)
            return mob_error_set(err, MOB_ERR_PROTOCOL, "the raylet sent a message of %u bytes", size);
        if (s->in.to - s->in.from < sizeof size + size)
            break;
        frame(arg, s->in.bytes + s->in.from + sizeof size, size);
        buffer_take(&s->in, sizeof size + size);
        count++;
    }
    return count;
}

int mob_socket_read(struct mob_socket *s, void (*frame)(void *arg, const void *bytes, size_t size), void *arg,
                    struct mob_error *err)
{
    size_t total = 0;
    int frames = 0;

    while (total < READ_MAX) {
        ssize_t n = read_once(s, err);
        int got = hand_out(s, frame, arg, err);

        if (n < 0 || got < 0)
            return -1;
        frames += got;
        total += (size_t)n;
        if (n < (64 << 10))             /* less than was asked for: nothing more now (an EOF is seen by the next read) */
            break;
    }
    return frames;
}
