/* SPDX-License-Identifier: Apache-2.0 */
/* slab.c -- chunks of 64 KiB, cut into items in order; what was given back is taken first, last in first out (it is warm). */
#include "worker/slab.h"

#include <assert.h>
#include <stdlib.h>

#include "common/mem.h"

#define CHUNK_BYTES (64u * 1024)

struct slab_chunk {
    struct slab_chunk *next;
    _Alignas(16) char bytes[];
};

void mob_owner_slab_init(struct slab *s, size_t item)
{
    assert(item >= sizeof(void *) && item <= CHUNK_BYTES);
    *s = (struct slab){ .item = (item + 7) & ~(size_t)7 };
}

void mob_owner_slab_fini(struct slab *s)
{
    struct slab_chunk *next;

    for (struct slab_chunk *c = s->chunks; c != NULL; c = next) {
        next = c->next;
        free(c);
    }
    *s = (struct slab){ .item = s->item };
}

void *mob_owner_slab_take_fresh(struct slab *s)
{
    if (s->fresh == s->end) {
        size_t room = CHUNK_BYTES / s->item * s->item;
        struct slab_chunk *c = mob_alloc(sizeof *c + room);

        c->next = s->chunks;
        s->chunks = c;
        s->fresh = c->bytes;
        s->end = c->bytes + room;
    }
    void *p = s->fresh;

    s->fresh += s->item;
    return p;
}

void mob_owner_bodies_init(struct bodies *b)
{
    for (unsigned i = 0; i < SLAB_CLASSES; i++)
        mob_owner_slab_init(&b->classes[i], SLAB_CLASS_MIN << i);
}

void mob_owner_bodies_fini(struct bodies *b)
{
    for (unsigned i = 0; i < SLAB_CLASSES; i++)
        mob_owner_slab_fini(&b->classes[i]);
}

static struct slab *class_of(struct bodies *b, size_t size)
{
    unsigned i = 0;

    while ((SLAB_CLASS_MIN << i) < size)
        i++;
    assert(i < SLAB_CLASSES);
    return &b->classes[i];
}

void *mob_owner_body_take(struct bodies *b, size_t size)
{
    return size <= SLAB_CLASS_MAX ? slab_take(class_of(b, size)) : malloc(size);
}

void mob_owner_body_give(struct bodies *b, void *p, size_t size)
{
    if (size <= SLAB_CLASS_MAX)
        slab_give(class_of(b, size), p);
    else
        free(p);
}
