/* SPDX-License-Identifier: Apache-2.0 */
/* store_pull.h -- a store (store_fixture.h) whose objects come from other nodes: what is under way, and how it ends. */
#ifndef MOB_TESTS_STORE_PULL_H
#define MOB_TESTS_STORE_PULL_H

#include "store_fixture.h"

#define MIB (UINT64_C(1) << 20)
#define STORE (64 * MIB)
#define ME 5u
#define OTHER 6u
#define ARGUMENT MOBULA__FETCH__PRIORITY__ARGUMENT
#define GET MOBULA__FETCH__PRIORITY__GET

static inline struct mob_object_id far(uint64_t task)
{
    return object_of(ELSEWHERE, 3, task);
}

static inline const struct mob_range *flight(const struct fixture *f, unsigned i)
{
    ck_assert_uint_lt(i, f->flights);
    return &f->flight[i]->range;
}

static inline void ck_range(const struct fixture *f, unsigned i, uint32_t node, uint64_t offset, uint64_t length)
{
    const struct mob_range *range = flight(f, i);

    ck_assert_msg(range->node == node && range->ask.offset == offset && range->ask.length == length, "node %u, %llu MiB at %llu",
                  range->node, (unsigned long long)(range->ask.length / MIB), (unsigned long long)(range->ask.offset / MIB));
}

static inline void land_all(struct fixture *f)
{
    while (f->flights > 0)
        land(f);
}

/* A process that the store knows, and that pins nothing. */
static inline void introduce(struct fixture *f, uint32_t process)
{
    mob_store_client_close(fixture_client(f, process));
}

#endif
