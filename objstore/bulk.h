/* SPDX-License-Identifier: Apache-2.0 */
/* bulk.h -- objects and executables between nodes, on TCP connections of their own, from arena to arena.
 *
 * Frames are fixed little-endian structs (objstore/bulk_wire.h): the caller says {magic, version, node, token}, then asks for ranges of
 * objects, and for files. A connection serves one ask after the other; at most 4 go to one address, idle ones are kept 10 s. Each chunk
 * of an object comes with its hash and is checked. A peer that sends too much, too little, what is altered, or nothing for 10 s ends
 * its connection with an error; one that has yet to find what is asked for says so each 2.5 s, and is waited for, 5 minutes at most.
 *
 * The thread of bulk decides nothing about objects: whom to ask for what, and what to give to whom, is the store's business
 * (objstore/store_pull.c, store_serve.c); every fact is posted to the loop.
 */
#ifndef MOB_OBJSTORE_BULK_H
#define MOB_OBJSTORE_BULK_H

#include "common/error.h"
#include "common/id.h"
#include "common/loop.h"
#include "objstore/range.h"

struct mob_bulk;
struct mob_bulk_lookup;                 /* a peer's ask that waits for its answer */

/* An object on its way here: what has come of it can be given on. */
struct mob_bulk_incoming;

/* Where an object lies; valid until served(ticket). */
struct mob_bulk_found {
    const void *data;
    uint64_t ticket;
    struct mob_bulk_incoming *incoming; /* NULL: all of it is there; else a chunk that has not come is waited for */
    uint32_t position;                  /* the asker's place in line from now on; 0: as it was */
    uint32_t refer;                     /* not 0: nothing of the above; it shall ask this node */
};

struct mob_bulk_callbacks {             /* all on the loop thread */
    /* A peer asks for a range of an object: mob_bulk_found() or mob_bulk_missing() must follow once, now or later. */
    void (*serve)(void *arg, const struct mob_asked *asked, struct mob_bulk_lookup *lookup);
    void (*served)(void *arg, uint64_t ticket);
    /* A peer asks for an executable: an open descriptor (bulk's to close), or -1. */
    int (*serve_file)(void *arg, const struct mob_hash *hash, struct mob_error *err);
};

struct mob_bulk *mob_bulk_create(struct mob_loop *loop, const char *token, const struct mob_bulk_callbacks *cb, void *arg);
int mob_bulk_listen(struct mob_bulk *b, const char *ip, uint32_t port, uint32_t *ret_port, struct mob_error *err);
/* The number of this node, for those that are asked from now on. */
void mob_bulk_set_node(struct mob_bulk *b, uint32_t node);
/* Ends all connections, joins the thread; calls nobody any more, not even the done() of gets under way. Lookups are over. */
void mob_bulk_destroy(struct mob_bulk *b);

/* The answer to serve(). */
void mob_bulk_found(struct mob_bulk_lookup *l, const struct mob_bulk_found *found);
void mob_bulk_missing(struct mob_bulk_lookup *l, const struct mob_error *why);

/* An object of `size` bytes starts to come into `memory`, a mapping of `file` from `file_at` on (-1: of no file); ended when no get for it
 * is under way any more. Those whom it is given meanwhile are then told that there is no more to come, unless all has come. */
struct mob_bulk_incoming *mob_bulk_incoming_create(struct mob_bulk *b, void *memory, uint64_t size, int file, uint64_t file_at);
void mob_bulk_incoming_end(struct mob_bulk_incoming *in);

/* Bring a range of an object. done() follows once. */
void mob_bulk_get(struct mob_bulk *b, const char *ip, uint32_t port, const struct mob_range *range, struct mob_bulk_incoming *in,
                  void (*done)(void *arg, const struct mob_range_result *result), void *arg);
/* Bring an executable into `fd` (writable, empty). The bytes are hashed on the way: another hash is an error. */
void mob_bulk_get_file(struct mob_bulk *b, const char *ip, uint32_t port, const struct mob_hash *hash, int fd,
                       void (*done)(void *arg, const struct mob_error *err), void *arg);
/* The node there is dead: all that is under way from it fails now. */
void mob_bulk_forget(struct mob_bulk *b, const char *ip, uint32_t port, const struct mob_error *why);

#endif
