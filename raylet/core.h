/* SPDX-License-Identifier: Apache-2.0 */
/* core.h -- the raylet's core as one struct that lists its organs. Each organ is a file and its header; all run on one thread. */
#ifndef MOB_RAYLET_CORE_H
#define MOB_RAYLET_CORE_H

#include <assert.h>
#include <string.h>

#include "common/list.h"
#include "common/log.h"
#include "common/machine.h"
#include "common/map.h"
#include "raylet/borrowed.h"
#include "raylet/cancel.h"
#include "raylet/claim.h"
#include "raylet/death.h"
#include "raylet/demand.h"
#include "raylet/drain.h"
#include "raylet/explain.h"
#include "raylet/full.h"
#include "raylet/lease.h"
#include "raylet/membership.h"
#include "raylet/memory.h"
#include "raylet/move.h"
#include "raylet/node_resources.h"
#include "raylet/outbox.h"
#include "raylet/poll.h"
#include "raylet/pool.h"
#include "raylet/pressure.h"
#include "raylet/process.h"
#include "raylet/proxy.h"
#include "raylet/question.h"
#include "raylet/raylet.h"
#include "raylet/recall.h"
#include "raylet/report.h"
#include "raylet/route.h"
#include "raylet/seek.h"
#include "raylet/stage.h"
#include "raylet/want.h"

#define MS INT64_C(1000000)

static inline int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

struct mob_raylet {
    struct mob_world *world;
    struct mob_raylet_config config;
    struct mob_wire *wire;
    int64_t now, started;               /* ns; `now` is read once for each fact */
    struct mob_address self;            /* node 0 until the head gave it a number */
    bool over;                          /* config.over() was called: nothing is done any more */

    struct membership membership;       /* the head: dialing, registering, who else lives */
    struct reporter reporter;           /* what the head knows of this node */
    struct outbox outbox;               /* what it is told of tasks */
    struct routes routes;               /* connections and peers */
    struct processes processes;         /* local drivers and workers */
    struct wants wants;                 /* who wants leases here, in the order of serving */
    struct node_resources resources;    /* what the node owns, and what of it is free */
    struct leases leases;               /* what is lent */
    struct pool pool;                   /* worker processes */
    struct pressure pressure;           /* memory of the node, and who is ended for it */
    struct recalls recalls;             /* leases asked back */
    struct claim claim;                 /* of a demand that waits at the head */
    struct drain drain;                 /* the node is to leave */
    struct full full;                   /* its store has no room */
    struct moves moves;                 /* objects that go to another node, as theirs leaves */
    struct mob_link sought;             /* answers of owners on their way to the store: seek.c */
    struct proxies proxies;             /* leases whose owner is elsewhere: frames come and go by message */
    struct stages stages;               /* arguments of tasks to come */
    struct mob_map questions;           /* to processes, on their way (question.c) */
    struct polls polls;                 /* questions of people, while processes are asked */
    struct mob_link cancels;            /* workers with a cancel under way */
    int64_t store_look_at;              /* ns: when what was freed and is still pinned is looked at again */
};

/* An envelope, and who sent it. Lives as long as its handler. */
struct arrival {
    struct connection *connection;
    const Mobula__Envelope *e;
    struct mob_address from, to;
};

/* Route an envelope that came over `connection`: handle it, pass it on, or hang up. */
void mob_dispatch(struct mob_raylet *r, struct connection *connection, const void *frame, size_t size);

/* The peer of a connection broke the protocol: say so and end the connection, and nothing else. */
void mob_raylet_blame(struct mob_raylet *r, struct connection *c, const char *what);

/* The core's last word: all workers are killed and the shell is told, once. */
void mob_raylet_end(struct mob_raylet *r, const struct mob_error *why);

#endif
