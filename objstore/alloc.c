/* SPDX-License-Identifier: Apache-2.0 */
/* alloc.c -- two-level segregated fit (Masmano et al., "TLSF", 2004), with its tags outside the memory it manages.
 *
 *   the arena:   [ extent | gap | extent | extent |      gap      ]      one `struct extent` each, linked by address
 *   gaps, too:   in the list of their class; a class is a power of two, cut in 16
 *
 * take: a gap of the own class that is large enough (the newest first), else the newest gap of the next class that has one; the rest
 * of it stays a gap. give: merges with the gaps at both sides at once. Both are bounded but for the last resort of take, which
 * looks at each gap of one class.
 */
#include "objstore/alloc.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/list.h"

#define CUTS_LOG2 4
#define CUTS (1u << CUTS_LOG2)
#define QUICK_LOOKS 16                  /* gaps of the own class tried before the next one */

struct extent {
    struct mob_extent is;               /* first: what the taker sees */
    struct mob_link by_address;
    struct mob_link in_class;           /* of a gap */
    bool gap;
};

struct mob_alloc {
    uint64_t from, size, used;
    struct mob_link by_address;
    struct mob_link classes[64][CUTS];
    uint64_t powers;                    /* bit p: some cut of power p has a gap */
    uint32_t cuts[64];                  /* bit c of cuts[p]: class (p, c) has a gap */
};

struct class {
    unsigned power, cut;
};

static struct class class_of(uint64_t size)
{
    unsigned power = 63 - (unsigned)__builtin_clzll(size);

    assert(size >= MOB_ALLOC_UNIT);
    return (struct class){ power, (unsigned)(size >> (power - CUTS_LOG2)) & (CUTS - 1) };
}

static void gap_add(struct mob_alloc *a, struct extent *e)
{
    struct class c = class_of(e->is.size);

    e->gap = true;
    mob_list_prepend(&a->classes[c.power][c.cut], &e->in_class);
    a->powers |= UINT64_C(1) << c.power;
    a->cuts[c.power] |= 1u << c.cut;
}

static void gap_remove(struct mob_alloc *a, struct extent *e)
{
    struct class c = class_of(e->is.size);

    assert(e->gap);
    e->gap = false;
    mob_list_remove(&e->in_class);
    if (!mob_list_empty(&a->classes[c.power][c.cut]))
        return;
    a->cuts[c.power] &= ~(1u << c.cut);
    if (a->cuts[c.power] == 0)
        a->powers &= ~(UINT64_C(1) << c.power);
}

struct mob_alloc *mob_alloc_create(uint64_t from, uint64_t size)
{
    struct mob_alloc *a = mob_new(struct mob_alloc);
    struct extent *all;

    a->from = from;
    a->size = size & ~(uint64_t)(MOB_ALLOC_UNIT - 1);
    mob_list_init(&a->by_address);
    for (unsigned p = 0; p < 64; p++)
        for (unsigned c = 0; c < CUTS; c++)
            mob_list_init(&a->classes[p][c]);
    if (a->size == 0)
        return a;
    all = mob_new(struct extent);
    all->is = (struct mob_extent){ .offset = from, .size = a->size };
    mob_list_append(&a->by_address, &all->by_address);
    gap_add(a, all);
    return a;
}

void mob_alloc_destroy(struct mob_alloc *a)
{
    struct extent *e;

    if (a == NULL)
        return;
    mob_list_each(e, &a->by_address, struct extent, by_address)
        free(e);
    free(a);
}

static struct extent *first_fit(struct mob_alloc *a, struct class c, uint64_t size, unsigned looks)
{
    struct extent *e;

    mob_list_each(e, &a->classes[c.power][c.cut], struct extent, in_class) {
        if (e->is.size >= size)
            return e;
        if (--looks == 0)
            return NULL;
    }
    return NULL;
}

/* The newest gap of the smallest class above c: any of them is large enough. */
static struct extent *above(struct mob_alloc *a, struct class c)
{
    uint32_t cuts = a->cuts[c.power] & ~((2u << c.cut) - 1);
    uint64_t powers;

    if (cuts == 0) {
        powers = c.power < 63 ? a->powers & ~((UINT64_C(2) << c.power) - 1) : 0;
        if (powers == 0)
            return NULL;
        c.power = (unsigned)__builtin_ctzll(powers);
        cuts = a->cuts[c.power];
    }
    return mob_list_first(&a->classes[c.power][__builtin_ctz(cuts)], struct extent, in_class);
}

/* Cut what is beyond `size` off e: a gap of its own. */
static void split(struct mob_alloc *a, struct extent *e, uint64_t size)
{
    struct extent *rest;

    if (e->is.size == size)
        return;
    rest = mob_new(struct extent);
    rest->is = (struct mob_extent){ .offset = e->is.offset + size, .size = e->is.size - size };
    e->is.size = size;
    mob_list_prepend(&e->by_address, &rest->by_address);        /* right behind e */
    gap_add(a, rest);
}

struct mob_extent *mob_alloc_take(struct mob_alloc *a, uint64_t size)
{
    struct extent *e;
    struct class c;

    assert(size > 0);
    if (size > a->size)
        return NULL;
    size = (size + MOB_ALLOC_UNIT - 1) & ~(uint64_t)(MOB_ALLOC_UNIT - 1);
    c = class_of(size);
    if ((e = first_fit(a, c, size, QUICK_LOOKS)) == NULL && (e = above(a, c)) == NULL
        && (e = first_fit(a, c, size, UINT32_MAX)) == NULL)
        return NULL;
    gap_remove(a, e);
    split(a, e, size);
    a->used += size;
    return &e->is;
}

/* The gap e becomes two, of which the second begins at `offset`. */
static struct extent *cut_front(struct mob_alloc *a, struct extent *e, uint64_t offset)
{
    struct extent *back = mob_new(struct extent);

    gap_remove(a, e);
    back->is = (struct mob_extent){ .offset = offset, .size = e->is.offset + e->is.size - offset };
    e->is.size = offset - e->is.offset;
    mob_list_prepend(&e->by_address, &back->by_address);
    gap_add(a, e);
    gap_add(a, back);
    return back;
}

struct mob_extent *mob_alloc_take_from(struct mob_alloc *a, uint64_t offset, uint64_t size, uint64_t size_max)
{
    struct extent *e;

    mob_list_each(e, &a->by_address, struct extent, by_address) {
        uint64_t end = e->is.offset + e->is.size, from = e->is.offset > offset ? e->is.offset : offset;

        if (!e->gap || end <= from || end - from < size)
            continue;
        if (from > e->is.offset)
            e = cut_front(a, e, from);
        gap_remove(a, e);
        split(a, e, e->is.size < size_max ? e->is.size : size_max);
        a->used += e->is.size;
        return &e->is;
    }
    return NULL;
}

/* The neighbour behind e joins it. */
static void swallow(struct extent *e, struct extent *next)
{
    assert(e->is.offset + e->is.size == next->is.offset);
    e->is.size += next->is.size;
    mob_list_remove(&next->by_address);
    free(next);
}

void mob_alloc_give(struct mob_alloc *a, struct mob_extent *given)
{
    struct extent *e = MOB_CONTAINER(given, struct extent, is);
    struct extent *next = MOB_CONTAINER(e->by_address.next, struct extent, by_address);
    struct extent *previous = MOB_CONTAINER(e->by_address.prev, struct extent, by_address);

    assert(!e->gap);
    a->used -= e->is.size;
    if (&next->by_address != &a->by_address && next->gap) {
        gap_remove(a, next);
        swallow(e, next);
    }
    if (&previous->by_address != &a->by_address && previous->gap) {
        gap_remove(a, previous);
        swallow(previous, e);
        e = previous;
    }
    gap_add(a, e);
}

uint64_t mob_alloc_size(const struct mob_alloc *a)
{
    return a->size;
}

uint64_t mob_alloc_used(const struct mob_alloc *a)
{
    return a->used;
}

uint64_t mob_alloc_largest_gap(const struct mob_alloc *a)
{
    const struct mob_link *list;
    const struct extent *e;
    uint64_t largest = 0;
    unsigned power;

    if (a->powers == 0)
        return 0;
    power = 63 - (unsigned)__builtin_clzll(a->powers);
    list = &a->classes[power][31 - __builtin_clz(a->cuts[power])];
    mob_list_each(e, list, const struct extent, in_class)
        largest = e->is.size > largest ? e->is.size : largest;
    return largest;
}

static void check(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "mobula: arena: %s\n", what);
    abort();
}

void mob_alloc_check(const struct mob_alloc *a)
{
    uint64_t at = a->from, used = 0;
    size_t gaps = 0, listed = 0;
    bool after_gap = false;
    const struct extent *e;

    mob_list_each(e, &a->by_address, const struct extent, by_address) {
        check(e->is.offset == at && e->is.size > 0 && e->is.size % MOB_ALLOC_UNIT == 0, "extents overlap or leave a hole");
        check(!(after_gap && e->gap), "two gaps touch");
        at += e->is.size;
        used += e->gap ? 0 : e->is.size;
        gaps += e->gap;
        after_gap = e->gap;
    }
    check(at == a->from + a->size, "extents do not fill it");
    check(used == a->used, "bytes in use are miscounted");
    for (unsigned p = 0; p < 64; p++)
        for (unsigned c = 0; c < CUTS; c++) {
            check(mob_list_empty(&a->classes[p][c]) == !(a->cuts[p] >> c & 1), "a class is marked wrongly");
            mob_list_each(e, &a->classes[p][c], const struct extent, in_class) {
                check(e->gap && class_of(e->is.size).power == p && class_of(e->is.size).cut == c, "a gap is in the wrong class");
                listed++;
            }
        }
    check(gaps == listed, "the lists do not hold exactly the gaps");
}
