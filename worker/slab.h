/* SPDX-License-Identifier: Apache-2.0 */
/* slab.h -- memory for many small things of one size, and for bodies of a few sizes: taken and given back without malloc. */
#ifndef MOB_WORKER_SLAB_H
#define MOB_WORKER_SLAB_H

#include <stddef.h>

struct slab_chunk;

/* Things of one size. Chunks are kept until the slab ends: what was once needed is needed again. */
struct slab {
    size_t item;
    void *free;                         /* given back: each points to the next */
    char *fresh, *end;                  /* of the newest chunk: never taken so far */
    struct slab_chunk *chunks;
};
void mob_owner_slab_init(struct slab *s, size_t item);
void mob_owner_slab_fini(struct slab *s);
void *mob_owner_slab_take_fresh(struct slab *s);

static inline void *slab_take(struct slab *s)           /* not zeroed */
{
    void *p = s->free;

    if (p == NULL)
        return mob_owner_slab_take_fresh(s);
    s->free = *(void **)p;
    return p;
}

static inline void slab_give(struct slab *s, void *p)
{
    *(void **)p = s->free;
    s->free = p;
}

#define SLAB_CLASSES 6                  /* 128, 256, ... 4096 bytes */
#define SLAB_CLASS_MIN 128u
#define SLAB_CLASS_MAX (SLAB_CLASS_MIN << (SLAB_CLASSES - 1))

/* Bodies: slabs up to SLAB_CLASS_MAX bytes, malloc() above. */
struct bodies {
    struct slab classes[SLAB_CLASSES];
};
void mob_owner_bodies_init(struct bodies *b);
void mob_owner_bodies_fini(struct bodies *b);
void *mob_owner_body_take(struct bodies *b, size_t size);       /* NULL: a large one, and there is no memory */
void mob_owner_body_give(struct bodies *b, void *p, size_t size);

#endif
