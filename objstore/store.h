/* SPDX-License-Identifier: Apache-2.0 */
/* store.h -- a node's object store, the server half, inside the raylet: arena, entries, who made what, pulls. Loop thread only.
 *
 * An entry's life: FREE -> CREATED (Create; or a pull that starts) -> SEALED -> EVICTING -> FREE. An unsealed entry whose maker dies is
 * freed. Every decision is here; bytes move in objstore/bulk (threads), which the shell plugs in through `pull`.
 */
#ifndef MOB_OBJSTORE_STORE_H
#define MOB_OBJSTORE_STORE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"
#include "common/id.h"
#include "common/wire.h"

struct mob_store;
struct mob_store_meta;                  /* objstore/layout.h */
struct mob_pin_page;

struct mob_store_config {
    uint64_t bytes;                     /* of the arena */
    uint32_t node;                      /* set later with mob_store_set_node() */
    /* Answer to a client of this node (Created, Fetched). The envelope is borrowed. */
    void (*answer)(void *arg, uint32_t process, const Mobula__Envelope *e);
    /* Start to bring `id` from `node` into [offset, offset + size) of the arena; mob_store_pulled() follows, once. */
    void (*pull)(void *arg, const struct mob_object_id *id, uint32_t node, uint64_t offset, uint64_t size);
    /* NULL, or: a client of this node sent what it must not (a seal of another's entry ...); end its connection. */
    void (*bad)(void *arg, uint32_t process, const struct mob_error *err);
    void *arg;
};

/* Memory is reserved, not touched. `in_memory`: no memfd, plain calloc (the simulator). */
struct mob_store *mob_store_create(const struct mob_store_config *config, bool in_memory, struct mob_error *err);
void mob_store_destroy(struct mob_store *s);
void mob_store_set_node(struct mob_store *s, uint32_t node);

/* Descriptors for a client's Welcome: arena and metadata (borrowed), a new pin page (the caller's to close after sending). */
int mob_store_client(struct mob_store *s, uint32_t process, int *ret_arena, int *ret_meta, int *ret_pins, struct mob_error *err);
/* Of a store made in memory, whose descriptors are -1: what its client `process` works on (mob_store_client_on_memory). */
const struct mob_store_meta *mob_store_metadata(const struct mob_store *s);
struct mob_pin_page *mob_store_pins(const struct mob_store *s, uint32_t process);
/* Whose job `process` works for: what it makes or brings here ends with the job. */
void mob_store_client_job(struct mob_store *s, uint32_t process, struct mob_address job);
/* After its socket was read to the end: unsealed space is freed, pins are dropped, what it owned is freed. A repeat does nothing. */
void mob_store_client_gone(struct mob_store *s, uint32_t process);

/* Create, Seal, Abandon, Fetch, Free from `process` (0: from another node or the raylet, which only Fetch and Free). */
void mob_store_receive(struct mob_store *s, uint32_t process, const Mobula__Envelope *e);
void mob_store_pulled(struct mob_store *s, const struct mob_object_id *id, const struct mob_error *err /* NULL: all there */);
void mob_store_node_died(struct mob_store *s, uint32_t node);
/* A process is gone, here or elsewhere: its objects are freed. (mob_store_client_gone and mob_store_node_died do it for theirs.) */
void mob_store_owner_gone(struct mob_store *s, struct mob_address owner);
/* A job is over: all that its processes made or brought here is freed. A repeat frees what came since. */
void mob_store_job_over(struct mob_store *s, struct mob_address job);
/* Now and then (100 ms): frees what was pinned when its owner freed it, and no message has come since the pin went. True: come
 * again, something is still pinned. */
bool mob_store_tick(struct mob_store *s);
/* Is there anything for mob_store_tick()? */
bool mob_store_waits(const struct mob_store *s);

/* For bulk: where a sealed object lies; keeps it from being freed until _done(). False: not here. */
bool mob_store_serve(struct mob_store *s, const struct mob_object_id *id, uint64_t *ret_offset, uint64_t *ret_size,
                     uint64_t *ret_ticket);
void mob_store_serve_done(struct mob_store *s, uint64_t ticket);
void *mob_store_arena(const struct mob_store *s);

struct mob_store_usage { uint64_t size, used, objects, pulls; };
struct mob_store_usage mob_store_usage(const struct mob_store *s);
/* Aborts unless bytes used = sum of what lives, extents do not overlap, free list coalesced. */
void mob_store_check(const struct mob_store *s);

#endif
