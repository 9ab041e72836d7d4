/* SPDX-License-Identifier: Apache-2.0 */
/* socket.h -- the Unix socket to the raylet: envelopes with a size before them, descriptors with the first byte of a message.
 * No lock of its own: the runtime's. Nothing here waits, but mob_socket_say_hello(). */
#ifndef MOB_WORKER_SOCKET_H
#define MOB_WORKER_SOCKET_H

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"

#define MOB_SOCKET_FDS_MAX 8            /* in one message */

struct mob_socket;

/* Connect to the raylet that listens at `path`. MOB_ERR_UNREACHABLE: nobody does. */
struct mob_socket *mob_socket_connect(const char *path, struct mob_error *err);
void mob_socket_close(struct mob_socket *s);            /* NULL is fine */
int mob_socket_fd(const struct mob_socket *s);          /* to poll */

/* The first message, with descriptors (borrowed). */
int mob_socket_say_hello(struct mob_socket *s, const void *frame, size_t size, const int *fds, size_t fd_count,
                         struct mob_error *err);

/* Queue a frame (copied); it leaves with the next flush. */
void mob_socket_send(struct mob_socket *s, const void *frame, size_t size);
/* Write what the kernel takes. False: some is left (poll for POLLOUT, outside the lock). */
bool mob_socket_flush(struct mob_socket *s);
size_t mob_socket_queued(const struct mob_socket *s);

/* Read what there is, at most about 256 KiB, and hand out the whole frames. Returns how many; -1 when the raylet is gone or
 * sent what it must not (then *err says it, and the frames before were handed out). */
int mob_socket_read(struct mob_socket *s, void (*frame)(void *arg, const void *bytes, size_t size), void *arg,
                    struct mob_error *err);

/* The descriptors of the message being handed out: exactly `count`, close-on-exec and above 64, the caller's. -1: others came. */
int mob_socket_take_fds(struct mob_socket *s, int *ret_fds, size_t count, struct mob_error *err);

/* Move a descriptor to 64 or above, where it is in nobody's way (select(), shells); close-on-exec. -1 as fcntl(). */
int mob_socket_high_fd(int fd);

#endif
