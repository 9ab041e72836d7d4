/* SPDX-License-Identifier: Apache-2.0 */
/* proxy.h -- this raylet as the producer of a worker's ring, for an owner on another node: frames come and answers go by message. */
#ifndef MOB_RAYLET_PROXY_H
#define MOB_RAYLET_PROXY_H

#include "common/list.h"
#include "common/map.h"
#include "raylet/raylet.h"

struct arrival;
struct lease;

struct proxy {
    struct lease *lease;
    struct mob_map flights;             /* task -> struct flight: neither answered nor taken back */
    struct mob_link pending;            /* flights that wait for the channel, or for room in it; oldest first */
    struct mob_link in_ring;
    uint64_t bytes;                     /* of the bodies of all flights */
    int64_t expected_ns;                /* how long its tasks take, so far; 0: not known */
    int64_t look_at;                    /* ns; is the running one long? */
    struct mob_link link;               /* in proxies.all */
};

struct proxies {
    struct mob_link all;
    uint8_t *batch;                     /* answers on their way out, of one lease at a time */
    size_t batch_size, batch_room;
    uint32_t batch_count;
};

void mob_proxies_init(struct mob_raylet *r);
void mob_proxies_fini(struct mob_raylet *r);

struct proxy *mob_proxy_create(struct mob_raylet *r, struct lease *l);
void mob_proxy_destroy(struct mob_raylet *r, struct proxy *p);

/* The channel to the worker is there. */
void mob_proxy_pump(struct mob_raylet *r, struct proxy *p);
/* Send the answers that are there. */
void mob_proxy_drain(struct mob_raylet *r, struct proxy *p);
/* The worker blocks or runs long: what has not started goes back to the owner. */
void mob_proxy_take_all(struct mob_raylet *r, struct proxy *p);
/* Look whether workers run long. Returns when to come again. */
int64_t mob_proxies_tick(struct mob_raylet *r);

void mob_proxy_on_task_frames(struct mob_raylet *r, const struct arrival *a);
void mob_proxy_on_take_back(struct mob_raylet *r, const struct arrival *a);
void mob_proxy_on_allow(struct mob_raylet *r, const struct arrival *a);

#endif
