/* SPDX-License-Identifier: Apache-2.0 */
/* store_leave.c -- a node leaves. In its store: which objects others would lose with it. In the store that takes them: the copy that was
 * fetched becomes the object itself, and is kept like one that was made there. */
#include "objstore/store_private.h"

/* Neither a copy nor freed; and its owner does not end with this node. */
static bool is_primary(const struct object *o)
{
    return !o->copy && o->id.node != o->store->config.node
        && (o->m.now == OBJECT_SEALED || o->m.now == OBJECT_SPILLED || o->m.now == OBJECT_RESTORING);
}

void mob_store_each_primary(const struct mob_store *s, mob_store_note *note, void *arg)
{
    const struct object *o;

    mob_list_each(o, &s->all, const struct object, all)
        if (is_primary(o))
            note(arg, &o->id, o->size, o->job);
}

bool mob_store_adopt(struct mob_store *s, const struct mob_object_id *id)
{
    struct object *o = mob_object_find(s, id, OBJECT_SEALED, OBJECT_SEALED);

    if (o != NULL && o->copy) {
        o->copy = false;
        mob_object_relist(o);
    }
    if (o == NULL && (o = mob_object_find(s, id, OBJECT_SPILLED, OBJECT_RESTORING)) == NULL)
        return false;
    mob_copies_note(o, COPY_LAST);
    mob_store_settle(s);
    return true;
}
