/* SPDX-License-Identifier: Apache-2.0 */
/* store.h -- a node's object store, the server half, inside the raylet: arena, entries, who made what, pulls. Loop thread only.
 *
 * An entry's life: FREE -> CREATED (Create; or a pull that starts) -> SEALED -> EVICTING -> FREE. An unsealed entry whose maker dies is
 * freed. Every decision is here; bytes move in objstore/bulk (threads), which the shell plugs in through `pull`, range by range.
 */
#ifndef MOB_OBJSTORE_STORE_H
#define MOB_OBJSTORE_STORE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"
#include "common/id.h"
#include "common/wire.h"
#include "objstore/range.h"

struct mob_store;
struct mob_store_meta;                  /* objstore/layout.h */
struct mob_pin_page;

/* Can a node be asked? NOT_YET: it is not known; it may be the news of it that is late. */
enum mob_reach { MOB_REACH_UP, MOB_REACH_NOT_YET, MOB_REACH_DEAD };

/* A range on its way here. The shell's from pull() to mob_store_pulled(). */
struct mob_flight {
    struct mob_range range;
    void *incoming;                     /* as config.incoming() said */
    struct pull *pull;                  /* the store's */
    unsigned round;
};

struct mob_store_config {
    uint64_t bytes;                     /* of the arena */
    uint32_t node;                      /* set later with mob_store_set_node() */
    /* Answer to a client of this node (Created, Fetched). The envelope is borrowed. */
    void (*answer)(void *arg, uint32_t process, const Mobula__Envelope *e);
    /* Ask for a range; mob_store_pulled() follows, once, from the loop. */
    void (*pull)(void *arg, struct mob_flight *f);
    /* NULL, or: an object starts to come into [offset, offset + size) of the arena: what its flights and those who serve it work on; and
     * no more flights of it follow. */
    void *(*incoming)(void *arg, uint64_t offset, uint64_t size);
    void (*incoming_end)(void *arg, void *incoming);
    /* NULL: every node is UP; or, of another node: */
    enum mob_reach (*reach)(void *arg, uint32_t node);
    /* NULL, or: that node is dead; flights from there shall end now. */
    void (*forget)(void *arg, uint32_t node, const struct mob_error *why);
    /* NULL, or: after MOB_SERVE_LATER. err NULL: ask again now. */
    void (*restored)(void *arg, const struct mob_object_id *id, const struct mob_error *err);
    /* NULL, or: a message to an owner, here or elsewhere (Copies). `from` is to be filled in. */
    void (*tell)(void *arg, struct mob_address owner, const Mobula__Envelope *e);
    /* NULL, or: a pull has waited long for room; for a line in the log. */
    void (*waits)(void *arg, const struct mob_error *why);
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
void mob_store_pulled(struct mob_store *s, struct mob_flight *f, const struct mob_range_result *result);
void mob_store_node_died(struct mob_store *s, uint32_t node);
/* A process is gone, here or elsewhere: its objects are freed. (mob_store_client_gone and mob_store_node_died do it for theirs.) */
void mob_store_owner_gone(struct mob_store *s, struct mob_address owner);
/* A job is over: all that its processes made or brought here is freed. A repeat frees what came since. */
void mob_store_job_over(struct mob_store *s, struct mob_address job);
/* Now and then (100 ms): frees what was pinned when its owner freed it, and no message has come since the pin went; goes on with pulls
 * that wait for room, or for news of a node. True: come again, something still waits. */
bool mob_store_tick(struct mob_store *s, int64_t now_ns);
/* Is there anything for mob_store_tick()? */
bool mob_store_waits(const struct mob_store *s);
/* Tell owners of copies that came or went (Copies). Before the loop sleeps. */
void mob_store_flush(struct mob_store *s);

/* For bulk: what to answer to another node that asks. HERE: where it lies; it stays until _done(). LATER: config.restored() follows,
 * once; then ask again. REFER: it shall ask ret->refer. GONE: *err. */
enum mob_serve { MOB_SERVE_HERE, MOB_SERVE_LATER, MOB_SERVE_REFER, MOB_SERVE_GONE };
struct mob_served {
    uint64_t offset, ticket;
    void *incoming;                     /* not NULL: it is still on its way here itself */
    uint32_t refer, position;           /* the asker's place in line; 0: as it was */
};
enum mob_serve mob_store_serve(struct mob_store *s, const struct mob_asked *asked, struct mob_served *ret, struct mob_error *err);
void mob_store_serve_done(struct mob_store *s, uint64_t ticket);
/* Keep a sealed object from going, for the raylet itself: a ticket for _done(). False: it is not here. */
bool mob_store_keep(struct mob_store *s, const struct mob_object_id *id, uint64_t *ret_ticket);
void *mob_store_arena(const struct mob_store *s);

struct mob_store_usage {
    uint64_t size, used, objects, pulls;
    uint64_t waiting;                   /* pulls that wait for room */
};
struct mob_store_usage mob_store_usage(const struct mob_store *s);
/* Aborts unless bytes used = sum of what lives, extents do not overlap, free list coalesced. */
void mob_store_check(const struct mob_store *s);

#endif
