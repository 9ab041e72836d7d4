/* SPDX-License-Identifier: Apache-2.0 */
/* bulk.h -- objects and executables between nodes, on TCP connections of their own, from arena to arena.
 *
 * Frames are fixed little-endian structs: the caller says {magic, version, token}, then asks {kind, id, size}; the answer is {status,
 * size} and the bytes, or a sentence. One connection serves one ask after the other; at most 4 go to one address, idle ones are kept
 * 10 s. The thread decides nothing about objects: every fact is posted to the loop. A peer that sends too much, too little or nothing for 10 s ends its connection with an error.
 */
#ifndef MOB_OBJSTORE_BULK_H
#define MOB_OBJSTORE_BULK_H

#include "common/error.h"
#include "common/id.h"
#include "common/loop.h"

struct mob_bulk;

struct mob_bulk_callbacks {             /* all on the loop thread */
    /* A peer asks for an object: 0 and where it lies, valid until served(); or -1 and why. */
    int (*serve)(void *arg, const struct mob_object_id *id, const void **ret_data, uint64_t *ret_size, struct mob_error *err);
    void (*served)(void *arg, const struct mob_object_id *id);
    /* A peer asks for an executable: an open descriptor (bulk's to close), or -1. */
    int (*serve_file)(void *arg, const struct mob_hash *hash, struct mob_error *err);
};

struct mob_bulk *mob_bulk_create(struct mob_loop *loop, const char *token, const struct mob_bulk_callbacks *cb, void *arg);
int mob_bulk_listen(struct mob_bulk *b, const char *ip, uint32_t port, uint32_t *ret_port, struct mob_error *err);
/* Ends all connections, joins the thread; calls nobody any more, not even the done() of gets under way. */
void mob_bulk_destroy(struct mob_bulk *b);

/* Bring an object of exactly `size` bytes into `memory`. done() follows once, err NULL when all is there. */
void mob_bulk_get(struct mob_bulk *b, const char *ip, uint32_t port, const struct mob_object_id *id, void *memory, uint64_t size,
                  void (*done)(void *arg, const struct mob_error *err), void *arg);
/* Bring an executable into `fd` (writable, empty). The bytes are hashed on the way: another hash is an error. */
void mob_bulk_get_file(struct mob_bulk *b, const char *ip, uint32_t port, const struct mob_hash *hash, int fd,
                       void (*done)(void *arg, const struct mob_error *err), void *arg);

#endif
