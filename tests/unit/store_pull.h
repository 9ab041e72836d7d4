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

static struct fixture *f;

/* Before and after each test. */
static inline void open_store(void)
{
    f = fixture_create_in(STORE, true);
}

static inline void close_store(void)
{
    fixture_destroy(f);
}

static inline struct mob_object_id far(uint64_t task)
{
    return object_of(ELSEWHERE, 3, task);
}

static inline const struct mob_range *flight(unsigned i)
{
    ck_assert_uint_lt(i, f->flights);
    return &f->flight[i]->range;
}

static inline void ck_range(unsigned i, uint32_t node, uint64_t offset, uint64_t length)
{
    const struct mob_range *range = flight(i);

    ck_assert_msg(range->node == node && range->ask.offset == offset && range->ask.length == length, "node %u, %llu MiB at %llu",
                  range->node, (unsigned long long)(range->ask.length / MIB), (unsigned long long)(range->ask.offset / MIB));
}

static inline void land_all(void)
{
    while (f->flights > 0)
        land(f);
}

/* A process that the store knows, and that pins nothing. */
static inline void introduce(uint32_t process)
{
    mob_store_client_close(fixture_client(f, process));
}

/* What leaves room for no more than 24 MiB, and cannot go. */
static inline struct mob_object_id fill(void)
{
    struct mob_object_id mine = object_of(HERE, ME, 1);

    introduce(ME);
    make(f, NULL, ME, mine, 40 * MIB, 0);
    f->answers = 0;
    return mine;
}

#endif
