/* SPDX-License-Identifier: Apache-2.0 */
/* stream.h -- one Unix stream socket: frames (uint32_t size, then an envelope) and descriptors, both ways, in batches. */
#ifndef MOB_RAYLET_STREAM_H
#define MOB_RAYLET_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/list.h"
#include "common/loop.h"

#define MOB_STREAM_READ (256u << 10)        /* bytes of one recvmsg */
#define MOB_STREAM_QUEUE (64u << 20)        /* a peer that leaves so much unread is ended */
#define MOB_STREAM_FDS 8                    /* of one frame */

struct mob_stream;

/* Called from the loop. A frame's bytes live during the call. The connection may be ended inside frame(). */
struct mob_stream_events {
    void (*frame)(void *arg, struct mob_stream *c, const void *frame, size_t size);
    void (*lost)(void *arg, struct mob_stream *c, const struct mob_error *why);     /* the last call; c is freed after it */
};

/* Takes over the non-blocking socket `fd`. `scratch`: MOB_STREAM_READ bytes that all connections of the loop share. */
struct mob_stream *mob_stream_create(struct mob_loop *loop, int fd, void *scratch,
                                             const struct mob_stream_events *events, void *arg);

/* Queue a frame (copied) with its descriptors (duplicated, so they stay the caller's). False if the peer left too much unread:
 * then the connection is ending. No-op on an ending connection. Nothing is written before mob_stream_flush(). */
bool mob_stream_send(struct mob_stream *c, const void *frame, size_t size, const int *fds, size_t fd_count);
/* The same, ahead of everything that is queued: for the first frame of all, before anything was written. */
bool mob_stream_send_first(struct mob_stream *c, const void *frame, size_t size, const int *fds, size_t fd_count);
void mob_stream_flush(struct mob_stream *c);
size_t mob_stream_queued(const struct mob_stream *c);

/* Deliver what the peer wrote until there is no more of it, now: for the socket of a process that has died. */
void mob_stream_drain(struct mob_stream *c);

/* Descriptors that came with the frame being delivered, or before it. -1: there is none. The caller's to close; what is not taken
 * when the frame was delivered is closed. */
int mob_stream_take_fd(struct mob_stream *c);

/* Write what can be written now and close; lost() follows from the loop. No-op if it is ending already. */
void mob_stream_end(struct mob_stream *c, const struct mob_error *why);

/* The connection's number as a link, its place in the list of those with unwritten frames, and whose it is: the server's fields. */
struct mob_stream_tag {
    uint64_t link;
    struct mob_link unwritten;
    void *process, *hello;
};
struct mob_stream_tag *mob_stream_tag(struct mob_stream *c);
int mob_stream_fd(const struct mob_stream *c);

#endif
