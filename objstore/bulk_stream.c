/* SPDX-License-Identifier: Apache-2.0 */
/* bulk_stream.c -- one socket on the bulk thread.
 *
 * Bytes go straight between the socket and the arena. Sockets do not block; a connection moves one piece and then waits to be ready
 * again, so that all have their turn. Buffer sizes are left to the kernel, which grows them with the path; a size set by hand would
 * end that, and is cut to net.core.*mem_max. Signals are blocked on this thread, so sendfile() to a closed socket raises none.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include "objstore/bulk_private.h"

static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct bulk_stream *s = MOB_CONTAINER(poll, struct bulk_stream, poll);

    (void)events;
    if (status < 0)                     /* libuv has stopped to look; it shows in a read or write, perhaps behind bytes that came before */
        s->events = 0;
    mob_machine_run(s->machine);
}

static void on_silence(uv_timer_t *timer)
{
    struct bulk_stream *s = MOB_CONTAINER(timer, struct bulk_stream, patience);

    s->silent = true;
    mob_machine_run(s->machine);
}

void bulk_stream_init(struct bulk_stream *s, struct mob_loop *loop, int fd, struct mob_machine *machine,
                      void (*closed)(struct bulk_stream *s))
{
    *s = (struct bulk_stream){ .fd = fd, .open_handles = 2, .machine = machine, .closed = closed };
    uv_poll_init_socket(mob_loop_uv(loop), &s->poll, fd);
    uv_timer_init(mob_loop_uv(loop), &s->patience);
}

enum mob_next bulk_stream_wait(struct bulk_stream *s, int events, int64_t patience_ms)
{
    if (events != s->events && events != 0)
        uv_poll_start(&s->poll, events, on_ready);
    else if (events != s->events)
        uv_poll_stop(&s->poll);
    s->events = events;
    if (patience_ms > 0)
        uv_timer_start(&s->patience, on_silence, (uint64_t)patience_ms, 0);
    else
        uv_timer_stop(&s->patience);
    return MOB_WAIT;
}

static void handle_closed(struct bulk_stream *s)
{
    if (--s->open_handles > 0)
        return;
    close(s->fd);
    s->closed(s);
}

static void on_poll_closed(uv_handle_t *h)
{
    handle_closed(MOB_CONTAINER(h, struct bulk_stream, poll));
}

static void on_patience_closed(uv_handle_t *h)
{
    handle_closed(MOB_CONTAINER(h, struct bulk_stream, patience));
}

void bulk_stream_close(struct bulk_stream *s)
{
    uv_close((uv_handle_t *)&s->poll, on_poll_closed);
    uv_close((uv_handle_t *)&s->patience, on_patience_closed);
}

static enum bulk_io moved(struct bulk_part *part, ssize_t n)
{
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return BULK_LATER;
    if (n <= 0) {
        if (n == 0)
            errno = 0;
        return BULK_ENDED;
    }
    if (part->at != NULL)
        part->at += n;
    part->left -= (uint64_t)n;
    return part->left == 0 ? BULK_DONE : BULK_LATER;
}

static size_t piece(const struct bulk_part *part)
{
    return part->left < BULK_PIECE ? (size_t)part->left : BULK_PIECE;
}

enum bulk_io bulk_read(struct bulk_stream *s, struct bulk_part *part)
{
    return part->left == 0 ? BULK_DONE : moved(part, recv(s->fd, part->at, piece(part), 0));
}

enum bulk_io bulk_read_some(struct bulk_stream *s, struct bulk_part *part, size_t most)
{
    return part->left == 0 ? BULK_DONE : moved(part, recv(s->fd, part->at, piece(part) < most ? piece(part) : most, 0));
}

enum bulk_io bulk_write(struct bulk_stream *s, struct bulk_part *part, bool more_follows)
{
    int flags = MSG_NOSIGNAL | (more_follows ? MSG_MORE : 0);

    return part->left == 0 ? BULK_DONE : moved(part, send(s->fd, part->at, piece(part), flags));
}

/* A file that became shorter ends the connection: its size was already told. */
enum bulk_io bulk_send_file(struct bulk_stream *s, int file, uint64_t size, uint64_t *sent)
{
    struct bulk_part part = { .left = size - *sent };
    off_t offset = (off_t)*sent;
    enum bulk_io how;

    if (part.left == 0)
        return BULK_DONE;
    how = moved(&part, sendfile(s->fd, file, &offset, piece(&part)));
    *sent = size - part.left;
    return how;
}

/* -- sockets ----------------------------------------------------------------------------------------------------------- */

union address {
    struct sockaddr any;
    struct sockaddr_in four;
    struct sockaddr_in6 six;
};

static int parse_address(const char *ip, uint32_t port, union address *ret, socklen_t *ret_size, struct mob_error *err)
{
    memset(ret, 0, sizeof *ret);
    if (inet_pton(AF_INET6, ip, &ret->six.sin6_addr) == 1) {
        ret->six.sin6_family = AF_INET6;
        ret->six.sin6_port = htons((uint16_t)port);
        *ret_size = sizeof ret->six;
        return 0;
    }
    if (inet_pton(AF_INET, ip, &ret->four.sin_addr) != 1 || port > 65535)
        return mob_error_set(err, MOB_ERR_INVALID, "%s port %u is not an address", ip, port);
    ret->four.sin_family = AF_INET;
    ret->four.sin_port = htons((uint16_t)port);
    *ret_size = sizeof ret->four;
    return 0;
}

void bulk_socket_tune(int fd)
{
    int on = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

int bulk_socket_connect(const char *ip, uint32_t port, struct mob_error *err)
{
    union address there;
    socklen_t size;
    int fd;

    if (parse_address(ip, port, &there, &size, err) < 0)
        return -1;
    if ((fd = socket(there.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) < 0)
        return mob_error_errno(err, "connecting to %s port %u", ip, port);
    bulk_socket_tune(fd);
    if (connect(fd, &there.any, size) < 0 && errno != EINPROGRESS) {
        mob_error_errno(err, "connecting to %s port %u", ip, port);
        close(fd);
        return -1;
    }
    return fd;
}

int bulk_socket_listen(const char *ip, uint32_t port, uint32_t *ret_port, struct mob_error *err)
{
    union address here;
    socklen_t size;
    int fd, on = 1;

    if (parse_address(ip, port, &here, &size, err) < 0)
        return -1;
    if ((fd = socket(here.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) < 0)
        return mob_error_errno(err, "cannot listen on %s port %u", ip, port);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, &here.any, size) < 0 || listen(fd, 128) < 0 || getsockname(fd, &here.any, &size) < 0) {
        mob_error_errno(err, "cannot listen on %s port %u", ip, port);
        close(fd);
        return -1;
    }
    *ret_port = ntohs(here.any.sa_family == AF_INET6 ? here.six.sin6_port : here.four.sin_port);
    return fd;
}
