/* SPDX-License-Identifier: Apache-2.0 */
/* test_alloc.c -- extents never overlap, gaps always merge, warm bytes come first. */
#include "unit.h"

#include "objstore/alloc.h"

#define ARENA (1u << 20)

START_TEST(test_random_work_keeps_it_sound)
{
    struct mob_alloc *a = mob_alloc_create(0, ARENA);
    struct mob_extent *taken[200] = { 0 };
    uint64_t state = 11, used = 0;

    for (int i = 0; i < 20000; i++) {
        size_t n = unit_random(&state) % MOB_COUNT(taken);

        if (taken[n] == NULL) {
            uint64_t size = unit_random(&state) % (i % 10 == 0 ? 100000 : 3000) + 1;

            if ((taken[n] = mob_alloc_take(a, size)) == NULL) {
                ck_assert_uint_lt(mob_alloc_largest_gap(a), size);
                continue;
            }
            ck_assert_uint_ge(taken[n]->size, size);
            used += taken[n]->size;
        } else {
            used -= taken[n]->size;
            mob_alloc_give(a, taken[n]);
            taken[n] = NULL;
        }
        ck_assert_uint_eq(mob_alloc_used(a), used);
        if (i % 50 == 0)
            mob_alloc_check(a);
    }
    for (size_t n = 0; n < MOB_COUNT(taken); n++)
        if (taken[n] != NULL)
            mob_alloc_give(a, taken[n]);
    mob_alloc_check(a);
    ck_assert_uint_eq(mob_alloc_largest_gap(a), ARENA);
    mob_alloc_destroy(a);
}
END_TEST

START_TEST(test_the_last_byte_can_be_had)
{
    struct mob_alloc *a = mob_alloc_create(0, ARENA + 63);
    struct mob_extent *all = mob_alloc_take(a, ARENA), *one;

    ck_assert_ptr_nonnull(all);
    ck_assert_ptr_null(mob_alloc_take(a, 1));
    ck_assert_uint_eq(mob_alloc_largest_gap(a), 0);
    mob_alloc_give(a, all);
    ck_assert_ptr_null(mob_alloc_take(a, ARENA + 1));
    ck_assert_ptr_null(mob_alloc_take(a, UINT64_MAX));
    one = mob_alloc_take(a, 1);
    ck_assert_ptr_nonnull(mob_alloc_take(a, ARENA - MOB_ALLOC_UNIT));
    mob_alloc_give(a, one);
    mob_alloc_check(a);
    mob_alloc_destroy(a);
}
END_TEST

START_TEST(test_the_most_recently_freed_comes_first)
{
    struct mob_alloc *a = mob_alloc_create(0, ARENA);
    struct mob_extent *e[6];
    uint64_t warm;

    for (size_t i = 0; i < MOB_COUNT(e); i++)
        e[i] = mob_alloc_take(a, 4096);
    warm = e[2]->offset;
    mob_alloc_give(a, e[4]);
    mob_alloc_give(a, e[0]);
    mob_alloc_give(a, e[2]);
    ck_assert_uint_eq(mob_alloc_take(a, 4096)->offset, warm);
    mob_alloc_check(a);
    mob_alloc_destroy(a);
}
END_TEST

UNIT_MAIN("alloc", test_random_work_keeps_it_sound, test_the_last_byte_can_be_had, test_the_most_recently_freed_comes_first)
