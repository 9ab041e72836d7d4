/* SPDX-License-Identifier: Apache-2.0 */
/* value.h -- refs, buffers and pins of the API, as the other API files need them. */
#ifndef MOB_WORKER_VALUE_H
#define MOB_WORKER_VALUE_H

#include "worker/runtime.h"
#include "worker/store_call.h"

/* A ref is the owner core's number: never dereferenced. */
static inline uint64_t mob_ref_number(const struct mob_ref *ref)
{
    return (uint64_t)(uintptr_t)ref;
}

static inline struct mob_ref *mob_ref_of(uint64_t number)
{
    return (struct mob_ref *)(uintptr_t)number;
}

/* Bytes being written: small ones here, large ones in the store under a name that the owner core has given out. */
struct mob_buffer {
    uint64_t era;
    size_t size;
    uint64_t ref;                       /* not 0: a pending object, `room` is its place */
    struct mob_room room;
    char *small;
};

/* Wait for `wanted` of the refs; the caller has checked that each is one. False: the time is over, or everything ends. */
bool mob_wait_refs(struct mob_runtime *r, const uint64_t *refs, size_t count, size_t wanted, int64_t deadline_ns);

/* Put a copy into the store whatever its size: a ref to it, or 0. */
uint64_t mob_put_stored(struct mob_runtime *r, const void *data, size_t size, struct mob_error *err);

#endif
