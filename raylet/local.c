/* SPDX-License-Identifier: Apache-2.0 */
/* local.c -- the raylet's Unix socket.
 *
 * A connection is accepted, its user is checked (SO_PEERCRED), and from then on it is a link: its frames go to the raylet's
 * frame(), which lets it say Hello first (raylet/hello.c). A sun_path holds 107 bytes and a run folder may be deeper: the socket is
 * bound through /proc/self/fd/<folder>/<name>.
 *
 * When the table of descriptors is full, accept() would fail for ever and spin the loop: one descriptor is kept in reserve to take the
 * caller in and turn it away.
 */
#include "raylet/local.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/log.h"
#include "common/map.h"

#define BACKLOG 1024

struct mob_local {
    struct mob_loop *loop;
    struct mob_stream_events events;
    void *arg;
    uint8_t *scratch;                   /* what connections read into */
    struct mob_map links;               /* link -> connection */
    uint64_t last_link;
    struct mob_link unwritten;
    int fd, reserve_fd;                 /* -1: not listening */
    uv_poll_t poll;
    bool over;                          /* destroy was called: freed with the last handle */
    unsigned handles;
};

static void frame_came(void *arg, struct mob_stream *c, const void *frame, size_t size)
{
    struct mob_local *l = arg;

    l->events.frame(l->arg, c, frame, size);
}

static void let_go(struct mob_local *l)
{
    assert(l->handles > 0);
    if (--l->handles > 0 || !l->over)
        return;
    mob_map_fini(&l->links);
    free(l->scratch);
    free(l);
}

static void stream_lost(void *arg, struct mob_stream *c, const struct mob_error *why)
{
    struct mob_local *l = arg;

    mob_map_remove(&l->links, mob_stream_tag(c)->link);
    l->events.lost(l->arg, c, why);
    mob_list_remove(&mob_stream_tag(c)->unwritten);
    let_go(l);
}

struct mob_local *mob_local_create(struct mob_loop *loop, const struct mob_stream_events *events, void *arg)
{
    struct mob_local *l = mob_new(struct mob_local);

    l->loop = loop;
    l->events = *events;
    l->arg = arg;
    l->scratch = mob_alloc(MOB_STREAM_READ);
    l->fd = l->reserve_fd = -1;
    l->handles = 1;                     /* ours, until destroy */
    mob_list_init(&l->unwritten);
    return l;
}

static void on_poll_closed(uv_handle_t *handle)
{
    let_go(MOB_CONTAINER((uv_poll_t *)handle, struct mob_local, poll));
}

void mob_local_destroy(struct mob_local *l)
{
    struct mob_error why;
    struct mob_stream *c;
    size_t at = 0;

    if (l == NULL)
        return;
    mob_error_set(&why, MOB_ERR_NODE_DIED, "the raylet ends");
    while ((c = mob_map_next(&l->links, &at, NULL)) != NULL)
        mob_stream_end(c, &why);
    if (l->fd >= 0) {
        uv_close((uv_handle_t *)&l->poll, on_poll_closed);
        close(l->fd);
        close(l->reserve_fd);
    }
    l->over = true;
    let_go(l);
}

/* -- listening ---------------------------------------------------------------------------------------------------------------- */

static void turn_away(struct mob_local *l)
{
    mob_warn("no descriptors are left: a process of this node is turned away; raise RLIMIT_NOFILE");
    close(l->reserve_fd);
    int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0)
        close(fd);
    l->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void welcome_in(struct mob_local *l, int fd)
{
    struct mob_stream_events events = { frame_came, stream_lost };
    struct ucred peer = { .uid = (uid_t)-1 };
    socklen_t size = sizeof peer;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || peer.uid != geteuid()) {
        mob_warn("a process of user %u is turned away: only user %u may use this raylet", (unsigned)peer.uid, (unsigned)geteuid());
        close(fd);
        return;
    }
    struct mob_stream *c = mob_stream_create(l->loop, fd, l->scratch, &events, l);
    mob_stream_tag(c)->link = MOB_LOCAL_LINK | ++l->last_link;
    mob_map_set(&l->links, mob_stream_tag(c)->link, c);
    l->handles++;
}

static void on_listening(uv_poll_t *poll, int status, int events)
{
    struct mob_local *l = MOB_CONTAINER(poll, struct mob_local, poll);

    (void)status, (void)events;
    for (int i = 0; i < 64; i++) {      /* then the others get their turn */
        int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd >= 0)
            welcome_in(l, fd);
        else if (errno == EMFILE || errno == ENFILE)
            turn_away(l);
        else if (errno != EINTR && errno != ECONNABORTED)
            return;
    }
}

/* Bind `fd` to a path of any length. */
static int bind_path(int fd, const char *path, struct mob_error *err)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    const char *name = strrchr(path, '/');
    char *folder = name == NULL ? mob_strdup(".") : mob_printf("%.*s", (int)(name - path), path);
    int folder_fd = open(folder[0] == '\0' ? "/" : folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int failed = -1;

    name = name == NULL ? path : name + 1;
    int n = snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", folder_fd, name);
    if (folder_fd < 0) {
        mob_error_errno(err, "cannot open the folder %s for the socket", folder);
    } else if (n >= (int)sizeof address.sun_path) {
        mob_error_set(err, MOB_ERR_INVALID, "the name of the socket %s is too long", name);
    } else {
        unlinkat(folder_fd, name, 0);
        failed = bind(fd, (struct sockaddr *)&address, sizeof address);
        if (failed < 0)
            mob_error_errno(err, "cannot make the socket %s", path);
        else
            fchmodat(folder_fd, name, 0600, 0);
    }
    if (folder_fd >= 0)
        close(folder_fd);
    free(folder);
    return failed;
}

int mob_local_listen(struct mob_local *l, const char *path, struct mob_error *err)
{
    assert(l->fd < 0);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return mob_error_errno(err, "cannot make a Unix socket");
    if (bind_path(fd, path, err) < 0) {
        close(fd);
        return -1;
    }
    if (listen(fd, BACKLOG) < 0) {
        mob_error_errno(err, "cannot listen on %s", path);
        close(fd);
        return -1;
    }
    l->fd = fd;
    l->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int failed = uv_poll_init(mob_loop_uv(l->loop), &l->poll, fd);
    assert(failed == 0);
    uv_poll_start(&l->poll, UV_READABLE, on_listening);
    l->handles++;
    return 0;
}

/* -- links --------------------------------------------------------------------------------------------------------------------- */

struct mob_stream *mob_local_find(struct mob_local *l, uint64_t link)
{
    struct mob_stream *c = mob_map_get(&l->links, link);

    return c != NULL && mob_stream_fd(c) >= 0 ? c : NULL;
}

void mob_local_send(struct mob_local *l, uint64_t link, const void *frame, size_t size, const int *fds, size_t fd_count)
{
    struct mob_stream *c = mob_local_find(l, link);

    if (c == NULL || !mob_stream_send(c, frame, size, fds, fd_count))
        return;
    mob_list_remove(&mob_stream_tag(c)->unwritten);
    mob_list_append(&l->unwritten, &mob_stream_tag(c)->unwritten);
}

void mob_local_flush(struct mob_local *l)
{
    struct mob_stream_tag *tag;

    mob_list_each(tag, &l->unwritten, struct mob_stream_tag, unwritten)
        mob_stream_flush(mob_local_find(l, tag->link));
}
