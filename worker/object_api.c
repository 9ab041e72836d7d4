/* SPDX-License-Identifier: Apache-2.0 */
/* object_api.c -- put, create and seal, refs. Reading is in get_api.c.
 *
 * A value of up to MOB_INLINE_MAX bytes lives in the owner core. A larger one is announced to the core first (put_begin gives its
 * name), then gets room in the store, is written there without the lock, and is sealed; the core learns where it is. */
#include <stdlib.h>
#include <string.h>

#include "worker/certificate.h"
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

uint64_t mob_put_stored(struct mob_runtime *r, const void *data, size_t size, const struct mob_carried *c, struct mob_error *err)
{
    struct mob_object_id id;
    struct mob_error why;
    uint64_t ref = mob_owner_put_begin(r->owner, &id), stored;

    if (c->count > 0)
        mob_owner_contain(r->owner, ref, c->numbers, c->count);
    if (mob_store_write(r, &id, data, size, c->ids, c->count, &stored, &why) < 0)
        return put_failed(r, ref, &why, err);
    mob_owner_put_stored(r->owner, ref, r->self.node, stored);
    return ref;
}

/* A small value with what it carries. */
static uint64_t put_packed(struct mob_runtime *r, const void *data, size_t size, const struct mob_carried *c, struct mob_error *err)
{
    size_t packed_size;
    void *packed = mob_carried_pack(c, data, size, &packed_size);
    uint64_t ref = mob_owner_put_packed(r->owner, packed, packed_size, c->numbers, c->count, err);

    free(packed);
    return ref;
}

static uint64_t put(struct mob_runtime *r, const void *data, size_t size, struct mob_ref *const *refs, size_t count,
                    struct mob_error *err)
{
    struct mob_carried c;
    uint64_t ref;

    if ((r->worker && mob_service_start(r, err) < 0) || mob_carried_init(r, &c, refs, count, err) < 0)
        return 0;
    if (size > MOB_INLINE_MAX || (count > 0 && mob_packed_size(size, count) > MOB_INLINE_MAX))
        ref = mob_put_stored(r, data, size, &c, err);
    else if (count > 0)
        ref = put_packed(r, data, size, &c, err);
    else
        ref = mob_owner_put(r->owner, data, size, err);
    mob_carried_fini(&c);
    return ref;
}

struct mob_ref *mob_put_refs(const void *data, size_t size, struct mob_ref *const *refs, size_t count, struct mob_error *err)
{
    struct mob_runtime *r;
    uint64_t ref;

    if (data == NULL && size > 0) {
        mob_error_set(err, MOB_ERR_INVALID, "mob_put() of %zu bytes at NULL", size);
        return NULL;
    }
    if (mob_size_check(size, err) < 0 || (r = mob_enter(err)) == NULL)
        return NULL;
    ref = put(r, data, size, refs, count, err);
    mob_leave(r);
    return mob_ref_of(ref);
}

struct mob_ref *mob_put(const void *data, size_t size, struct mob_error *err)
{
    return mob_put_refs(data, size, NULL, 0, err);
}

/* -- buffers ----------------------------------------------------------------------------------------------------------------- */

static uint64_t last_buffer;            /* under the lock; of all times: none of before mob_shutdown() is taken for a new one */

struct buffer *mob_buffer_take(struct mob_runtime *r, const struct mob_buffer *b, struct mob_error *err)
{
    struct buffer *taken = mob_map_remove(&r->buffers, (uintptr_t)b);

    if (taken == NULL)
        mob_error_set(err, MOB_ERR_INVALID, "the buffer was sealed, returned or abandoned before, or is of before mob_shutdown()");
    return taken;
}

static int buffer_room(struct mob_runtime *r, struct buffer *b, struct mob_error *err)
{
    struct mob_object_id id;
    struct mob_error why;

    if (r->worker && mob_service_start(r, err) < 0)
        return -1;
    b->ref = mob_owner_put_begin(r->owner, &id);
    if (mob_store_room(r, &id, b->size, b->carried.count, &b->room, &why) == 0)
        return 0;
    b->ref = put_failed(r, b->ref, &why, err);
    return -1;
}

/* What it carries is held by clones till it is sealed or given up. */
static int buffer_init(struct mob_runtime *r, struct buffer *b, struct mob_ref *const *refs, size_t count,
                       struct mob_error *err)
{
    if (mob_carried_init(r, &b->carried, refs, count, err) < 0)
        return -1;
    if (b->size <= MOB_INLINE_MAX && (count == 0 || mob_packed_size(b->size, count) <= MOB_INLINE_MAX)) {
        b->small = mob_alloc(b->size > 0 ? b->size : 1);
    } else if (buffer_room(r, b, err) < 0) {
        mob_carried_fini(&b->carried);
        return -1;
    }
    for (size_t i = 0; i < count; i++)
        mob_owner_clone(r->owner, b->carried.numbers[i], NULL);
    return 0;
}

void mob_buffer_free(struct mob_runtime *r, struct buffer *b)
{
    for (size_t i = 0; i < b->carried.count; i++)
        mob_owner_drop(r->owner, b->carried.numbers[i], NULL);
    mob_carried_fini(&b->carried);
    free(b->small);
    free(b);
}

struct mob_buffer *mob_create_refs(size_t size, struct mob_ref *const *refs, size_t count, struct mob_error *err)
{
    struct mob_runtime *r = mob_enter(err);
    struct buffer *b;
    uint64_t number = 0;
    void *in_store = NULL;

    if (r == NULL)
        return NULL;
    b = mob_new(struct buffer);
    b->size = size;
    if (mob_size_check(size, err) < 0 || buffer_init(r, b, refs, count, err) < 0) {
        free(b);
    } else {
        mob_map_set(&r->buffers, number = ++last_buffer, b);
        in_store = b->small == NULL ? b->room.data : NULL;
    }
    mob_leave(r);
    if (in_store != NULL)
        mob_store_client_prepare(r->store, in_store, size);
    return (struct mob_buffer *)(uintptr_t)number;
}

struct mob_buffer *mob_create(size_t size, struct mob_error *err)
{
    return mob_create_refs(size, NULL, 0, err);
}

void *mob_buffer_data(struct mob_buffer *b)
{
    struct mob_runtime *r = b != NULL ? mob_runtime_lock() : NULL;
    struct buffer *known;
    void *data = NULL;

    if (r == NULL)
        return NULL;
    if ((known = mob_map_get(&r->buffers, (uintptr_t)b)) != NULL)
        data = known->small != NULL ? known->small : known->room.data;
    mob_runtime_unlock(r);
    return data;
}

void mob_buffer_forget(struct mob_runtime *r, struct buffer *b)
{
    struct mob_error why;

    mob_error_set(&why, MOB_ERR_OBJECT_LOST, "the buffer was abandoned");
    b->ref = put_failed(r, b->ref, &why, NULL);
}

void mob_buffer_finish(struct buffer *b)
{
    for (size_t i = 0; i < b->carried.count; i++)
        mob_packed_put_id(b->room.data, b->size, i, &b->carried.ids[i]);
    mob_packed_finish(b->room.data, b->size, b->carried.count);
}

static uint64_t buffer_seal(struct mob_runtime *r, struct buffer *b, struct mob_error *err)
{
    if (b->small != NULL && b->carried.count > 0)
        return put_packed(r, b->small, b->size, &b->carried, err);
    if (b->small != NULL)
        return mob_owner_put(r->owner, b->small, b->size, err);
    if (b->carried.count > 0)
        mob_owner_contain(r->owner, b->ref, b->carried.numbers, b->carried.count);
    mob_buffer_finish(b);
    mob_store_seal(r, &b->room);
    mob_owner_put_stored(r->owner, b->ref, r->self.node, b->room.size);
    return b->ref;
}

struct mob_ref *mob_seal(struct mob_buffer *b, struct mob_error *err)
{
    struct mob_runtime *r;
    struct buffer *taken;
    uint64_t ref = 0;

    if (b == NULL) {
        mob_error_set(err, MOB_ERR_INVALID, "mob_seal() of NULL");
        return NULL;
    }
    if ((r = mob_enter(err)) == NULL)
        return NULL;                    /* mob_shutdown() frees it */
    if ((taken = mob_buffer_take(r, b, err)) != NULL) {
        ref = buffer_seal(r, taken, err);
        mob_buffer_free(r, taken);
    }
    mob_leave(r);
    return mob_ref_of(ref);
}

void mob_abandon(struct mob_buffer *b)
{
    struct mob_runtime *r = b != NULL ? mob_enter_any() : NULL;
    struct buffer *taken;

    if (r == NULL)
        return;
    taken = mob_buffer_take(r, b, NULL);
    if (taken != NULL && taken->ref != 0 && r->state == MOB_RUNTIME_UP) {
        mob_store_abandon(r, &taken->room);
        mob_buffer_forget(r, taken);
    }
    if (taken != NULL)
        mob_buffer_free(r, taken);
    mob_leave(r);
}

void mob_buffers_fini(struct mob_runtime *r)
{
    struct buffer *b;

    for (size_t at = 0; (b = mob_map_next(&r->buffers, &at, NULL)) != NULL;)
        mob_buffer_free(r, b);
    mob_map_fini(&r->buffers);
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

int mob_ref_id(const struct mob_ref *ref, char *ret_id, size_t size, struct mob_error *err)
{
    char text[MOB_OBJECT_NAME_SIZE];
    struct mob_object_id id;
    struct mob_runtime *r = mob_enter(err);
    int rc;

    if (r == NULL)
        return -1;
    rc = mob_owner_name(r->owner, mob_ref_number(ref), &id, err);
    mob_leave(r);
    if (rc == 0)
        mob_copy(ret_id, size, mob_object_id_name(&id, text));
    return rc;
}

int mob_death(const struct mob_ref *ref, size_t back, struct mob_death *ret_death, struct mob_error *err)
{
    struct mob_object_info info;
    struct mob_death death;
    struct mob_runtime *r;
    int rc;

    if (ret_death == NULL || ret_death->size < sizeof ret_death->size)
        return mob_error_set(err, MOB_ERR_INVALID, "struct mob_death: set .size = sizeof(struct mob_death)");
    if ((r = mob_enter_any()) == NULL && (r = mob_enter(err)) == NULL)
        return -1;                      /* of a driver whose raylet is gone, too */
    rc = mob_owner_look(r->owner, mob_ref_number(ref), &info, err);
    if (rc == 0 && info.state == MOB_OBJECT_ERROR)
        rc = mob_owner_deaths_at(info.deaths, back, &death);
    mob_leave(r);
    if (rc == 1) {
        death.size = ret_death->size;
        memcpy(ret_death, &death, death.size < sizeof death ? death.size : sizeof death);
    }
    return rc;
}

const char *mob_killed_by_name(int killed_by)
{
    return mob_killed_by_word(killed_by);
}
