/* SPDX-License-Identifier: Apache-2.0 */
/* test_heap.c -- when a worker keeps what its tasks free, and that it gives it back. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/unit.h"
#include "worker/heap.h"

#define GIB (UINT64_C(1) << 30)
#define BLOCK (40u << 20)               /* by itself malloc would map it */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OWN_MALLOC 0                    /* they keep what is freed for a while, whatever is asked */
#else
#define OWN_MALLOC 1
#endif

static size_t pages_held(void)
{
    size_t all, held = 0;
    FILE *f = fopen("/proc/self/statm", "r");

    ck_assert_int_eq(fscanf(f, "%zu %zu", &all, &held), 2);
    fclose(f);
    return held;
}

static void use(void)
{
    volatile char *block = malloc(BLOCK);

    for (size_t i = 0; i < BLOCK; i += 4096)
        block[i] = 1;
    free((void *)(uintptr_t)block);
}

START_TEST(test_who_keeps_nothing)
{
    ck_assert(!mob_heap_keep(0));
    ck_assert(!mob_heap_keep(100 << 20));                   /* as a test's store */
    setenv("MALLOC_TRIM_THRESHOLD_", "131072", 1);
    ck_assert(!mob_heap_keep(UINT64_MAX));
    unsetenv("MALLOC_TRIM_THRESHOLD_");
    setenv("GLIBC_TUNABLES", "glibc.malloc.mmap_max=0", 1);
    ck_assert(!mob_heap_keep(UINT64_MAX));
}
END_TEST

START_TEST(test_kept_and_given_back)
{
    const size_t block = BLOCK / 4096, before = pages_held();

    use();
    if (OWN_MALLOC)
        ck_assert_uint_lt(pages_held(), before + block / 2);
    ck_assert_int_eq(mob_heap_keep(2048 * GIB), OWN_MALLOC);
    use();
    if (OWN_MALLOC)
        ck_assert_uint_gt(pages_held(), before + block / 2);
    mob_heap_give_back();
    if (OWN_MALLOC)
        ck_assert_uint_lt(pages_held(), before + block / 2);
}
END_TEST

UNIT_MAIN("heap", test_who_keeps_nothing, test_kept_and_given_back)
