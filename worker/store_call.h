/* SPDX-License-Identifier: Apache-2.0 */
/* store_call.h -- what a process asks of its node's store: room for an object, and objects to read. All with the lock held. */
#ifndef MOB_WORKER_STORE_CALL_H
#define MOB_WORKER_STORE_CALL_H

#include "worker/runtime.h"

/* Room for `id`: its address, to be written until mob_store_seal() or mob_store_abandon(). Waits for the raylet's answer. */
struct mob_room {
    struct mob_object_id id;
    uint32_t entry;
    uint64_t size;
    void *data;
};
/* For a value of `size` bytes that carries `count` references. */
int mob_store_room(struct mob_runtime *r, const struct mob_object_id *id, uint64_t size, size_t count, struct mob_room *ret,
                   struct mob_error *err);
void mob_store_seal(struct mob_runtime *r, const struct mob_room *room);
void mob_store_abandon(struct mob_runtime *r, const struct mob_room *room);
/* Nobody will ever name this sealed object. */
void mob_store_free(struct mob_runtime *r, const struct mob_object_id *id);
/* The same under another name, which was not known when the room was made. */
void mob_store_seal_as(struct mob_runtime *r, const struct mob_room *room, const struct mob_object_id *id);
/* Wait until the store has read that Seal, and so all before it: till then a Fetch by this name finds nothing, not even an object to wait
 * for. By a Fetch of our own; an error is an answer as well (its owner has freed it). */
void mob_store_await_name(struct mob_runtime *r, const struct mob_object_id *id, uint64_t size);
/* room, a copy of the bytes with the names of what they carry (common/packed.h), seal: *ret_size bytes in all. Lets go of the lock
 * while it copies. */
int mob_store_write(struct mob_runtime *r, const struct mob_object_id *id, const void *data, uint64_t size,
                    const struct mob_object_id *carried, size_t count, uint64_t *ret_size, struct mob_error *err);

/* An object on its way to be pinned. The caller's, from start to `over`. */
struct mob_fetch {
    struct mob_link link;               /* in r->fetches while the raylet is asked */
    struct mob_object_id id;
    uint64_t size;
    uint32_t node, since;               /* holds it; of the owner core, for get */
    uint32_t copies[MOB_COPIES_SAID];   /* hold copies */
    uint32_t copy_count;
    bool get;                           /* somebody waits for the bytes: before arguments of tasks */
    int tries;
    bool over;
    struct mob_wait *wait;              /* done when *left falls to 0 */
    size_t *left;
    const void *data;                   /* over: pinned at `slot`, or NULL and *why */
    struct mob_packed packed;           /* what of it is the value */
    uint32_t slot;
    struct mob_error why;
};
/* Pin it where it is, or ask the raylet for it. An object that is in this node's store and was read before costs no message. */
void mob_fetch_start(struct mob_runtime *r, struct mob_fetch *f, struct mob_wait *wait, size_t *left);
/* Leave it, whatever its state: unpins. */
void mob_fetch_cancel(struct mob_runtime *r, struct mob_fetch *f);

/* -- answers ------------------------------------------------------------------------------------------------------------- */

void mob_store_call_created(struct mob_runtime *r, const Mobula__Created *m);
void mob_store_call_fetched(struct mob_runtime *r, const Mobula__Fetched *m);
void mob_store_call_fail_all(struct mob_runtime *r, const struct mob_error *why);

#endif
