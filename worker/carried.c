/* SPDX-License-Identifier: Apache-2.0 */
/* carried.c -- references that go with the bytes of a value: from the caller's refs to names, and back to refs of a reader's own. */
#include <stdlib.h>
#include <string.h>

#include "worker/value.h"

int mob_carried_init(struct mob_runtime *r, struct mob_carried *c, struct mob_ref *const *refs, size_t count,
                     struct mob_error *err)
{
    *c = (struct mob_carried){ .count = count };
    if (count == 0)
        return 0;
    if (count > MOB_PACKED_REFS_MAX)
        return mob_error_set(err, MOB_ERR_INVALID, "a value carries at most %u refs, not %zu: put some into objects of their own",
                             MOB_PACKED_REFS_MAX, count);
    if (refs == NULL)
        return mob_error_set(err, MOB_ERR_INVALID, "a value carries %zu refs at NULL", count);
    c->numbers = mob_alloc(count * sizeof c->numbers[0]);
    c->ids = mob_alloc(count * sizeof c->ids[0]);
    for (size_t i = 0; i < count; i++) {
        c->numbers[i] = mob_ref_number(refs[i]);
        if (mob_owner_name(r->owner, c->numbers[i], &c->ids[i], err) < 0) {
            mob_carried_fini(c);
            return -1;
        }
    }
    return 0;
}

void mob_carried_fini(struct mob_carried *c)
{
    free(c->numbers);
    free(c->ids);
    *c = (struct mob_carried){ 0 };
}

void *mob_carried_pack(const struct mob_carried *c, const void *data, size_t size, size_t *ret_size)
{
    void *packed = mob_alloc(*ret_size = mob_packed_size(size, c->count));

    if (size > 0)
        memcpy(packed, data, size);
    for (size_t i = 0; i < c->count; i++)
        mob_packed_put_id(packed, size, i, &c->ids[i]);
    mob_packed_finish(packed, size, c->count);
    return packed;
}

static uint64_t view_ref(struct mob_runtime *r, const struct mob_view_pin *p, size_t i, struct mob_error *err)
{
    struct mob_object_id id = mob_packed_id(&p->packed, i);

    if (id.node == 0 || id.cluster != r->cluster) {
        mob_error_set(err, MOB_ERR_PROTOCOL, "the value carries a reference that is none of this cluster");
        return 0;
    }
    if (r->worker && mob_service_start(r, err) < 0)
        return 0;
    return p->of_task ? mob_owner_meet(r->owner, &id, 0) : mob_owner_inner(r->owner, p->ref, i, &id);
}

struct mob_ref *mob_view_ref(const struct mob_view *view, size_t i, struct mob_error *err)
{
    const struct mob_view_pin *p = view->pin;
    struct mob_runtime *r;
    uint64_t ref = 0;

    if (p == NULL || i >= p->packed.refs) {
        mob_error_set(err, MOB_ERR_INVALID, "mob_view_ref() of reference %zu: the value carries %zu", i, p == NULL ? 0 : p->packed.refs);
        return NULL;
    }
    if ((r = mob_enter(err)) == NULL)
        return NULL;
    if (p->era != r->era)
        mob_error_set(err, MOB_ERR_INVALID, "the view is of before mob_shutdown()");
    else
        ref = view_ref(r, p, i, err);
    mob_leave(r);
    return mob_ref_of(ref);
}
