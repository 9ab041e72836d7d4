/* SPDX-License-Identifier: Apache-2.0 */
/* chaos_seed.c -- what follows from a seed: a tree's children, what is in its large values, and the value that it must have. */
#include "chaos.h"

#include <stdlib.h>

#define LARGE_MIN (128 << 10)
#define LARGE_MAX (2 << 20)
#define HUGE_MIN (8 << 20)              /* from here on an object goes to many by a chain of them */

uint64_t mix(uint64_t seed, uint64_t n)
{
    uint64_t x = seed + (n + 1) * UINT64_C(0x9E3779B97F4A7C15);

    x = (x ^ x >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ x >> 27) * UINT64_C(0x94D049BB133111EB);
    return x ^ x >> 31;
}

size_t large_size(uint64_t seed)
{
    return LARGE_MIN + mix(seed, 1) % (LARGE_MAX - LARGE_MIN) / 8 * 8;
}

size_t huge_size(uint64_t seed)
{
    return HUGE_MIN + large_size(seed);
}

uint64_t item_count(uint64_t seed)
{
    return 1 + mix(seed, 2) % 20;
}

unsigned child_count(const struct order *o)
{
    return 2 + (unsigned)(mix(o->seed, 3) % (CHILDREN - 1));
}

void fill(uint64_t *words, size_t size, uint64_t seed)
{
    for (size_t i = 0; i < size / 8; i++)
        words[i] = seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
}

uint64_t digest_of(const uint64_t *words, size_t size)
{
    uint64_t hash = size;

    for (size_t i = 0; i < size / 8; i++)
        hash = (hash ^ words[i]) * UINT64_C(1099511628211);
    return hash;
}

void plan(const struct order *parent, unsigned i, struct child *ret)
{
    uint64_t seed = mix(parent->seed, 100 + i);
    enum kind kind = (enum kind)(mix(seed, 4) % (KINDS + 4));

    if (kind >= KINDS)                  /* trees are of more use than all else */
        kind = GROW;
    if (kind == GROW && parent->depth == 0)
        kind = LEAF;
    if (kind == GREEDY && mix(seed, 10) % 4 != 0)      /* seldom: each time that one is ended for the other it rests for longer */
        kind = LEAF;
    *ret = (struct child){ .kind = kind, .order = { seed, parent->depth - (kind == GROW) } };
}

static uint64_t value_of(size_t size, uint64_t seed)
{
    uint64_t *words = malloc(size), hash;

    fill(words, size, seed);
    hash = digest_of(words, size);
    free(words);
    return hash;
}

struct crop expected(const struct order *o)
{
    struct crop crop = { .value = o->seed, .tasks = 1 };

    for (unsigned i = 0; i < child_count(o); i++) {
        struct crop got = { .value = 0, .tasks = 1 };
        struct child c;
        plan(o, i, &c);
        if (c.kind == GROW)
            got = expected(&c.order);
        else if (c.kind == LEAF || c.kind == FLAKY)
            got.value = mix(c.order.seed, 5);
        else if (c.kind == GREEDY)
            for (uint64_t n = 0; n < GREEDY_ONES; n++)
                got.value += mix(mix(c.order.seed, 20 + n), 5);
        else if (c.kind == STREAM)
            for (uint64_t n = 0; n < item_count(c.order.seed); n++)
                got.value += mix(c.order.seed, n);
        else if (c.kind == SHARED)
            got.value = READERS * value_of(huge_size(c.order.seed), c.order.seed);
        else if (c.kind != IDLE && c.kind != NEST)
            got.value = value_of(large_size(c.order.seed), c.order.seed);
        crop.value = mix(crop.value, got.value);
        crop.tasks += got.tasks;
    }
    return crop;
}
