/* SPDX-License-Identifier: Apache-2.0 */
/* contents.c -- references inside of values: an object whose value carries references keeps those objects alive as long as it lives.
 *
 * What ends with its container may be a container, too: they are put in a list that the outermost end empties, so a chain of any
 * length is walked without recursion.
 */
#include <assert.h>
#include <stdlib.h>

#include "worker/core.h"

struct contents {
    size_t count;
    uint64_t of[];                      /* numbers of objects, each pinned */
};

void mob_owner_contain(struct mob_owner *o, uint64_t ref, const uint64_t *refs, size_t count)
{
    struct contents *c = mob_alloc(sizeof *c + count * sizeof c->of[0]);
    struct object *b = mob_owner_object_at(o, ref);

    assert(b != NULL && !b->contains);
    c->count = count;
    for (size_t i = 0; i < count; i++) {
        c->of[i] = refs[i];
        mob_owner_object_at(o, refs[i])->pins++;
    }
    mob_map_set(&o->objects.contents, ref, c);
    b->contains = true;
}

uint64_t mob_owner_inner(struct mob_owner *o, uint64_t ref, size_t i, const struct mob_object_id *id)
{
    const struct object *b = mob_owner_object_at(o, ref);
    const struct contents *c = b != NULL && b->contains ? mob_map_get(&o->objects.contents, ref) : NULL;

    if (c == NULL || i >= c->count)
        return mob_owner_meet(o, id, ref);
    mob_owner_object_at(o, c->of[i])->refs++;
    return c->of[i];
}

static void unpin_later(struct objects *os, const struct contents *c)
{
    for (size_t i = 0; i < c->count; i++) {
        if (os->unpinned_count == os->unpinned_room)
            os->unpinned = mob_realloc(os->unpinned, (os->unpinned_room = 2 * os->unpinned_room + 16) * sizeof *os->unpinned);
        os->unpinned[os->unpinned_count++] = c->of[i];
    }
}

void mob_owner_contents_end(struct mob_owner *o, struct object *b)
{
    struct objects *os = &o->objects;
    struct contents *c = mob_map_remove(&os->contents, object_number(b));

    b->contains = false;
    unpin_later(os, c);
    free(c);
    if (os->unpinning)
        return;
    os->unpinning = true;
    while (os->unpinned_count > 0)
        object_unpin(o, mob_owner_object_at(o, os->unpinned[--os->unpinned_count]));
    os->unpinning = false;
}

void mob_owner_contents_each(const struct mob_owner *o, const struct object *b, mob_owner_note *note, void *arg)
{
    const struct contents *c = mob_map_get(&o->objects.contents, object_number(b));

    for (size_t i = 0; i < c->count; i++)
        note(arg, c->of[i]);
}

void mob_owner_contents_tally(const struct mob_owner *o, mob_owner_note *note, void *arg)
{
    const struct contents *c;

    for (size_t at = 0; (c = mob_map_next(&o->objects.contents, &at, NULL)) != NULL;)
        for (size_t i = 0; i < c->count; i++)
            note(arg, c->of[i]);
}

void mob_owner_contents_fini(struct mob_owner *o)
{
    struct contents *c;

    for (size_t at = 0; (c = mob_map_next(&o->objects.contents, &at, NULL)) != NULL;)
        free(c);
    mob_map_fini(&o->objects.contents);
}
