/* SPDX-License-Identifier: Apache-2.0 */
/* bulk_listen.c -- who may connect.
 *
 * There are at most servings_max connections from others. When one more is there, an idle connection goes, the one that was idle longest
 * first: its caller makes another when it needs one. If none is idle, the next waits in the kernel's queue until one ends, and is
 * served then. Strangers, who have not said a good hello, are few: when more come, the oldest of them goes.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "objstore/bulk_private.h"

#define ACCEPT_PAUSE_MS 100             /* when the process is out of descriptors */

struct bulk_listener {
    struct mob_bulk *bulk;
    uv_poll_t poll;
    uv_timer_t pause;
    int fd;
    unsigned open_handles, servings;
};

static void on_connection(uv_poll_t *poll, int status, int events);

static void on_pause_over(uv_timer_t *timer)
{
    struct bulk_listener *l = MOB_CONTAINER(timer, struct bulk_listener, pause);

    uv_poll_start(&l->poll, UV_READABLE, on_connection);
}

static void on_connection(uv_poll_t *poll, int status, int events)
{
    struct bulk_listener *l = MOB_CONTAINER(poll, struct bulk_listener, poll);
    int fd;

    (void)status, (void)events;
    if (l->servings >= l->bulk->servings_max && !bulk_serving_drop_idle(l->bulk)) {
        uv_poll_stop(&l->poll);         /* bulk_listener_room() goes on */
        return;
    }
    fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
        l->servings++;
        bulk_serving_create(l->bulk, fd);
        bulk_serving_drop_stranger(l->bulk);
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        uv_poll_stop(&l->poll);
        uv_timer_start(&l->pause, on_pause_over, ACCEPT_PAUSE_MS, 0);
    }
}

void bulk_listener_room(struct bulk_listener *l)
{
    if (l == NULL)
        return;
    if (l->servings-- == l->bulk->servings_max && !uv_is_active((uv_handle_t *)&l->pause))
        uv_poll_start(&l->poll, UV_READABLE, on_connection);
}

struct bulk_listener *bulk_listener_create(struct mob_bulk *b, int fd)
{
    struct bulk_listener *l = mob_new(struct bulk_listener);

    *l = (struct bulk_listener){ .bulk = b, .fd = fd, .open_handles = 2 };
    uv_timer_init(mob_loop_uv(b->loop), &l->pause);
    uv_poll_init_socket(mob_loop_uv(b->loop), &l->poll, fd);
    uv_poll_start(&l->poll, UV_READABLE, on_connection);
    return l;
}

static void listener_handle_closed(struct bulk_listener *l)
{
    if (--l->open_handles > 0)
        return;
    close(l->fd);
    free(l);
}

static void on_poll_closed(uv_handle_t *h)
{
    listener_handle_closed(MOB_CONTAINER(h, struct bulk_listener, poll));
}

static void on_pause_closed(uv_handle_t *h)
{
    listener_handle_closed(MOB_CONTAINER(h, struct bulk_listener, pause));
}

void bulk_listener_close(struct bulk_listener *l)
{
    if (l == NULL)
        return;
    l->bulk->listener = NULL;
    uv_close((uv_handle_t *)&l->poll, on_poll_closed);
    uv_close((uv_handle_t *)&l->pause, on_pause_closed);
}
