/* SPDX-License-Identifier: Apache-2.0 */
/* object_api.c -- put, create and seal, refs. Reading is in get_api.c.
 *
 * A value of up to MOB_INLINE_MAX bytes lives in the owner core. A larger one is announced to the core first (put_begin gives its
 * name), then gets room in the store, is written there without the lock, and is sealed; the core learns where it is. */
#include <stdlib.h>
#include <string.h>

#include "worker/value.h"

/* -- put --------------------------------------------------------------------------------------------------------------------- */

static uint64_t put_failed(struct mob_runtime *r, uint64_t ref, const struct mob_error *why, struct mob_error *err)
{
    if (err != NULL)
        *err = *why;
    mob_owner_put_failed(r->owner, ref, why);
    mob_owner_drop(r->owner, ref, NULL);
    return 0;
}

uint64_t mob_put_stored(struct mob_runtime *r, const void *data, size_t size, struct mob_error *err)
{
    struct mob_object_id id;
    struct mob_error why;
    uint64_t ref = mob_owner_put_begin(r->owner, &id);

    if (mob_store_write(r, &id, data, size, &why) < 0)
        return put_failed(r, ref, &why, err);
    mob_owner_put_stored(r->owner, ref, r->self.node, size);
    return ref;
}

struct mob_ref *mob_put(const void *data, size_t size, struct mob_error *err)
{
    struct mob_runtime *r;
    uint64_t ref;

    if (data == NULL && size > 0) {
        mob_error_set(err, MOB_ERR_INVALID, "mob_put() of %zu bytes at NULL", size);
        return NULL;
    }
    if ((r = mob_enter(err)) == NULL)
        return NULL;
    if (r->worker && mob_service_start(r, err) < 0)
        ref = 0;
    else if (size > MOB_INLINE_MAX)
        ref = mob_put_stored(r, data, size, err);
    else
        ref = mob_owner_put(r->owner, data, size, err);
    mob_leave(r);
    return mob_ref_of(ref);
}

/* -- buffers ----------------------------------------------------------------------------------------------------------------- */

static int buffer_room(struct mob_runtime *r, struct mob_buffer *b, struct mob_error *err)
{
    struct mob_object_id id;
    struct mob_error why;

    if (r->worker && mob_service_start(r, err) < 0)
        return -1;
    b->ref = mob_owner_put_begin(r->owner, &id);
    if (mob_store_room(r, &id, b->size, &b->room, &why) == 0)
        return 0;
    b->ref = put_failed(r, b->ref, &why, err);
    return -1;
}

struct mob_buffer *mob_create(size_t size, struct mob_error *err)
{
    struct mob_runtime *r = mob_enter(err);
    struct mob_buffer *b;
    int rc = 0;

    if (r == NULL)
        return NULL;
    b = mob_new(struct mob_buffer);
    b->era = r->era;
    b->size = size;
    if (size <= MOB_INLINE_MAX)
        b->small = mob_alloc(size > 0 ? size : 1);
    else
        rc = buffer_room(r, b, err);
    mob_leave(r);
    if (rc == 0)
        return b;
    free(b);
    return NULL;
}

void *mob_buffer_data(struct mob_buffer *b)
{
    if (b == NULL)
        return NULL;
    return b->small != NULL ? b->small : b->room.data;
}

static uint64_t buffer_seal(struct mob_runtime *r, struct mob_buffer *b, struct mob_error *err)
{
    if (b->era != r->era) {
        mob_error_set(err, MOB_ERR_INVALID, "the buffer is of before mob_shutdown()");
        return 0;
    }
    if (b->small != NULL)
        return mob_owner_put(r->owner, b->small, b->size, err);
    mob_store_seal(r, &b->room);
    mob_owner_put_stored(r->owner, b->ref, r->self.node, b->size);
    return b->ref;
}

struct mob_ref *mob_seal(struct mob_buffer *b, struct mob_error *err)
{
    struct mob_runtime *r;
    uint64_t ref = 0;

    if (b == NULL) {
        mob_error_set(err, MOB_ERR_INVALID, "mob_seal() of NULL");
        return NULL;
    }
    if ((r = mob_enter(err)) != NULL) {
        ref = buffer_seal(r, b, err);
        mob_leave(r);
    }
    free(b->small);
    free(b);
    return mob_ref_of(ref);
}

void mob_abandon(struct mob_buffer *b)
{
    struct mob_runtime *r;

    if (b == NULL)
        return;
    if (b->ref != 0 && (r = mob_enter(NULL)) != NULL) {
        struct mob_error why;

        mob_error_set(&why, MOB_ERR_OBJECT_LOST, "the buffer was abandoned");
        if (b->era == r->era) {
            mob_store_abandon(r, &b->room);
            put_failed(r, b->ref, &why, NULL);
        }
        mob_leave(r);
    }
    free(b->small);
    free(b);
}

/* -- refs -------------------------------------------------------------------------------------------------------------------- */

struct mob_ref *mob_ref_clone(const struct mob_ref *ref)
{
    struct mob_runtime *r = mob_enter(NULL);
    int rc;

    if (r == NULL)
        return NULL;
    rc = mob_owner_clone(r->owner, mob_ref_number(ref), NULL);
    mob_leave(r);
    return rc < 0 ? NULL : (struct mob_ref *)(uintptr_t)ref;
}

void mob_ref_drop(struct mob_ref *ref)
{
    struct mob_runtime *r;

    if (ref == NULL || (r = mob_enter_any()) == NULL)
        return;
    mob_owner_drop(r->owner, mob_ref_number(ref), NULL);
    mob_leave_lazily(r);
}
