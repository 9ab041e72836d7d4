/* SPDX-License-Identifier: Apache-2.0 */
/* alloc.h -- who has which bytes of an arena. Knows no addresses: its own memory is elsewhere, so that no client can damage it. */
#ifndef MOB_OBJSTORE_ALLOC_H
#define MOB_OBJSTORE_ALLOC_H

#include <stdint.h>

#define MOB_ALLOC_UNIT 64               /* sizes are rounded up to it: a cache line is never shared */

struct mob_alloc;

struct mob_extent {                     /* read only, for the taker */
    uint64_t offset, size;              /* size: as rounded */
};

/* Of the bytes from offset `from` on; `size` is rounded down to the unit. */
struct mob_alloc *mob_alloc_create(uint64_t from, uint64_t size);
void mob_alloc_destroy(struct mob_alloc *a);            /* NULL is fine; extents go with it */

/* The most recently freed extent of the best fitting class (its pages are warm). NULL: no gap is large enough. size > 0. */
struct mob_extent *mob_alloc_take(struct mob_alloc *a, uint64_t size);
/* The first gap, or part of one, that begins at or behind `offset`: at least `size`, at most `size_max` bytes. NULL: there is none.
 * Looks at each extent before it. */
struct mob_extent *mob_alloc_take_from(struct mob_alloc *a, uint64_t offset, uint64_t size, uint64_t size_max);
void mob_alloc_give(struct mob_alloc *a, struct mob_extent *e);

uint64_t mob_alloc_size(const struct mob_alloc *a);
uint64_t mob_alloc_used(const struct mob_alloc *a);
uint64_t mob_alloc_largest_gap(const struct mob_alloc *a);
/* Ends the process unless extents tile the arena, no two gaps touch, and the free lists hold exactly the gaps. */
void mob_alloc_check(const struct mob_alloc *a);

#endif
