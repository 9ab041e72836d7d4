/* SPDX-License-Identifier: Apache-2.0 */
/* local.h -- channels to the workers of this node. */
#ifndef MOB_WORKER_LOCAL_H
#define MOB_WORKER_LOCAL_H

#include "common/channel.h"
#include "common/list.h"
#include "common/map.h"

struct lease;
struct mob_owner;
struct task;

struct channel {
    struct mob_link link;               /* channels.all, in the order of opening */
    struct mob_link pushed;             /* channels.pushed: to be rung by the next flush */
    struct channel *next_on_bit;
    struct mob_channel *ring;
    struct lease *lease;                /* NULL: kept for the next lease of this worker */
    uint32_t worker;
    unsigned bit;
    unsigned unrung;                    /* tasks since the last ring */
};

struct channels {
    struct mob_map by_worker;
    struct mob_link all, pushed;
    struct channel *on_bit[MOB_DIRTY_BITS];     /* channels may share a bit */
};

struct channel *mob_owner_channel_of(const struct mob_owner *o, uint32_t worker);
void mob_owner_channel_close(struct mob_owner *o, struct channel *c);
void mob_owner_channels_fini(struct mob_owner *o);

/* Write the task into the ring. False: no room. */
bool mob_owner_channel_push(struct mob_owner *o, struct lease *l, struct task *t);
/* Take at most `limit` answers. Returns how many. */
size_t mob_owner_channel_drain(struct mob_owner *o, struct channel *c, size_t limit);
/* Ring whom something was pushed to. */
/* The task of this sequence, a stream, may send more items: the worker is rung at the flush. */
void mob_owner_channel_allow(struct mob_owner *o, struct channel *c, uint64_t sequence, uint32_t items);
void mob_owner_channels_flush(struct mob_owner *o);

#endif
