/* SPDX-License-Identifier: Apache-2.0 */
/* local.h -- the raylet's Unix socket: accepts the processes of this user and node, and numbers their connections as links. */
#ifndef MOB_RAYLET_LOCAL_H
#define MOB_RAYLET_LOCAL_H

#include "raylet/stream.h"

struct mob_local;

#define MOB_LOCAL_LINK (UINT64_C(1) << 63)      /* set in the links given here, never in those of mob_rpc */

struct mob_local *mob_local_create(struct mob_loop *loop, const struct mob_stream_events *events, void *arg);
/* Ends all connections; the loop must run after it until they are closed. NULL is fine. */
void mob_local_destroy(struct mob_local *l);

/* Listen on `path`, which may be longer than sun_path. The file is replaced. */
int mob_local_listen(struct mob_local *l, const char *path, struct mob_error *err);

/* NULL: no such link, or it has ended. */
struct mob_stream *mob_local_find(struct mob_local *l, uint64_t link);
/* Queue a frame; written by the next mob_local_flush(). Unknown links are ignored. */
void mob_local_send(struct mob_local *l, uint64_t link, const void *frame, size_t size, const int *fds, size_t fd_count);
/* Write what all connections have queued: once a turn of the loop. */
void mob_local_flush(struct mob_local *l);

#endif
