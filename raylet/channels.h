/* SPDX-License-Identifier: Apache-2.0 */
/* channels.h -- world->connect: channels between two processes of this node, or from the raylet itself to one of them. */
#ifndef MOB_RAYLET_CHANNELS_H
#define MOB_RAYLET_CHANNELS_H

#include "common/doorbell.h"
#include "common/loop.h"

struct mob_shell;

/* The raylet's own end: one page and doorbell for all channels on which it stands for owners elsewhere. */
struct mob_channels {
    int page_fd;
    struct mob_doorbell bell;
    uv_poll_t poll;
};

int mob_channels_init(struct mob_shell *s, struct mob_error *err);

/* owner 0: the raylet. A process that is gone meanwhile: no-op, as its end is told anyway. */
void mob_channels_connect(struct mob_shell *s, uint32_t owner, uint32_t worker);

#endif
