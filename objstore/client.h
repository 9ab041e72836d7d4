/* SPDX-License-Identifier: Apache-2.0 */
/* client.h -- the client half of the store, in libmobula: maps arena and overflow (R and RW), pins. Messages are the caller's. */
#ifndef MOB_OBJSTORE_CLIENT_H
#define MOB_OBJSTORE_CLIENT_H

#include <stdbool.h>

#include "common/error.h"
#include "objstore/layout.h"

struct mob_store_client;

/* Takes over the descriptors; overflow -1: there is none. */
struct mob_store_fds {
    int arena, meta, pins, overflow;
};
struct mob_store_client *mob_store_client_open(const struct mob_store_fds *fds, struct mob_error *err);
/* The same on a store made in memory (the simulator; tests, as TSan knows bytes by one address only): borrows all, maps nothing. */
struct mob_store_client *mob_store_client_on_memory(void *arena, const struct mob_store_meta *meta, struct mob_pin_page *pins);
void mob_store_client_close(struct mob_store_client *c);
uint64_t mob_store_client_size(const struct mob_store_client *c);      /* bytes of the arena */

/* Where Created said the object lies, for writing. NULL: offset and size are not within the arena. Any thread. */
void *mob_store_client_write(struct mob_store_client *c, uint64_t offset, uint64_t size);
/* Will be written from front to end: have the page tables filled at once instead of by a fault a page. Nothing for small ones. */
void mob_store_client_prepare(struct mob_store_client *c, void *data, uint64_t size);
/* Pin a sealed entry: its read-only address, or NULL if it is not SEALED in that generation any more (ask Fetch), or all pin slots are
 * taken (*ret_full). ret_slot goes to unpin. Any thread. */
const void *mob_store_client_pin(struct mob_store_client *c, uint32_t entry, uint32_t generation, const struct mob_object_id *id,
                                 uint64_t *ret_size, uint32_t *ret_slot, bool *ret_full);
void mob_store_client_unpin(struct mob_store_client *c, uint32_t slot);
/* A Fetched was read, and what is wanted of it is pinned: until then the store keeps what it named. For each one; not two threads at
 * once. */
void mob_store_client_heard(struct mob_store_client *c);

#endif
