/* SPDX-License-Identifier: Apache-2.0 */
/* chaos.h -- what a tree of the chaos run (chaos.c) is made of, all of which follows from its seed (chaos_seed.c). */
#ifndef MOB_TESTS_CHAOS_H
#define MOB_TESTS_CHAOS_H

#include <stddef.h>
#include <stdint.h>

#include <mobula.h>

#define CHILDREN 5
#define READERS 3
#define GREEDY_ONES 2                   /* at once on a node they are too many for it (chaos.sh) */

enum kind { GROW, LEAF, LARGE, PUT, STREAM, CARRIED, IDLE, FLAKY, SHARED, GREEDY, NEST, KINDS };

struct order {
    uint64_t seed;
    uint32_t depth;
};

struct crop {
    uint64_t value;
    uint32_t tasks, again;              /* in the whole tree: its tasks; what had to be asked for anew */
};

struct child {
    enum kind kind;
    struct order order;
    struct mob_ref *ref, *some[READERS];
    struct mob_items *items;
    unsigned again;
};

uint64_t mix(uint64_t seed, uint64_t n);                        /* the n-th number that follows from it */
size_t large_size(uint64_t seed);
size_t huge_size(uint64_t seed);
uint64_t item_count(uint64_t seed);
unsigned child_count(const struct order *o);                    /* CHILDREN at most */
void plan(const struct order *parent, unsigned i, struct child *ret);   /* its i-th child, not begun */
struct crop expected(const struct order *o);                    /* of the whole tree */

void fill(uint64_t *words, size_t size, uint64_t seed);         /* a large value */
uint64_t digest_of(const uint64_t *words, size_t size);

#endif
