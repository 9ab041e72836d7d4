/* SPDX-License-Identifier: Apache-2.0 */
/* value.h -- refs, buffers and pins of the API, as the other API files need them. */
#ifndef MOB_WORKER_VALUE_H
#define MOB_WORKER_VALUE_H

#include "common/frame.h"
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

/* Sizes beyond any store are refused before anything is added to them. */
static inline int mob_size_check(size_t size, struct mob_error *err)
{
    if (size <= MOB_OBJECT_MAX)
        return 0;
    return mob_error_set(err, MOB_ERR_NO_SPACE, "an object of %zu bytes is larger than any store", size);
}

/* References that a value carries: as numbers of the owner core, and by their names. */
struct mob_carried {
    size_t count;
    uint64_t *numbers;
    struct mob_object_id *ids;
};
int mob_carried_init(struct mob_runtime *r, struct mob_carried *c, struct mob_ref *const *refs, size_t count,
                     struct mob_error *err);
void mob_carried_fini(struct mob_carried *c);
/* The packed form of bytes and what they carry, in memory of its own. */
void *mob_carried_pack(const struct mob_carried *c, const void *data, size_t size, size_t *ret_size);

/* Bytes being written: small ones here, large ones in the store under a name that the owner core has given out. The program has its
 * number in r->buffers for a pointer: one that has ended is refused by name. */
struct buffer {
    size_t size;
    uint64_t ref;                       /* not 0: a pending object, `room` is its place */
    struct mob_room room;
    char *small;
    struct mob_carried carried;         /* a clone of each */
};

/* It ends: the caller's from now on. NULL: it has ended before. */
struct buffer *mob_buffer_take(struct mob_runtime *r, const struct mob_buffer *b, struct mob_error *err);
/* Write the end of one that is in the store. */
void mob_buffer_finish(struct buffer *b);
/* Its object will never be. */
void mob_buffer_forget(struct mob_runtime *r, struct buffer *b);
void mob_buffer_free(struct mob_runtime *r, struct buffer *b);

/* What keeps a view's bytes alive, and where the references stand that they carry. */
struct mob_view_pin {
    uint64_t era;
    uint64_t ref;                       /* a clone; 0: a stored value that carries nothing */
    bool stored;
    uint32_t slot;                      /* stored: of the store's pins */
    void *copy;                         /* of an argument that was taken; or NULL */
    bool of_task;                       /* an argument, which ends with its task */
    struct mob_packed packed;
};

/* Wait for `wanted` of the refs; the caller has checked that each is one. False: the time is over, or everything ends. */
bool mob_wait_refs(struct mob_runtime *r, const uint64_t *refs, size_t count, size_t wanted, int64_t deadline_ns);
/* Why such a wait ended in vain: -1, and MOB_ERR_TIMEOUT with these words, or what ended the runtime. */
int mob_wait_ended(const struct mob_runtime *r, const char *what, struct mob_error *err);

/* Put a copy into the store whatever its size: a ref to it, or 0. */
uint64_t mob_put_stored(struct mob_runtime *r, const void *data, size_t size, const struct mob_carried *c, struct mob_error *err);

#endif
