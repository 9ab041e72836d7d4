/* SPDX-License-Identifier: Apache-2.0 */
/* test_map.c -- the map against an array that cannot be wrong. */
#include "unit.h"

#include "common/map.h"

#define KEYS 500

START_TEST(test_random_work_agrees_with_an_array)
{
    struct mob_map m = { 0 };
    void *model[KEYS] = { 0 };
    uint64_t state = 7;
    size_t count = 0;

    for (int i = 0; i < 200000; i++) {
        uint64_t key = unit_random(&state) % KEYS;

        if (unit_random(&state) % 2 == 0) {
            count += model[key] == NULL;
            model[key] = &model[unit_random(&state) % KEYS];
            mob_map_set(&m, key * 4096, model[key]);            /* keys that differ in few bits */
        } else {
            ck_assert_ptr_eq(mob_map_remove(&m, key * 4096), model[key]);
            count -= model[key] != NULL;
            model[key] = NULL;
        }
        ck_assert_ptr_eq(mob_map_get(&m, key * 4096), model[key]);
        ck_assert_uint_eq(m.count, count);
    }
    for (uint64_t key = 0; key < KEYS; key++)
        ck_assert_ptr_eq(mob_map_get(&m, key * 4096), model[key]);
    ck_assert_uint_lt(m.capacity, 4 * KEYS);
    mob_map_fini(&m);
}
END_TEST

START_TEST(test_walk_sees_each_once_while_the_current_is_removed)
{
    struct mob_map m = { 0 };
    unsigned seen[KEYS] = { 0 };
    size_t at = 0;
    uint64_t key;

    for (uint64_t i = 0; i < KEYS; i++)
        mob_map_set(&m, i, &seen[i]);
    for (unsigned *value; (value = mob_map_next(&m, &at, &key)) != NULL;) {
        ++*value;
        if (key % 3 != 0)
            ck_assert_ptr_eq(mob_map_remove(&m, key), value);
    }
    for (uint64_t i = 0; i < KEYS; i++) {
        ck_assert_uint_eq(seen[i], 1);
        ck_assert_ptr_eq(mob_map_get(&m, i), i % 3 == 0 ? &seen[i] : NULL);
    }
    mob_map_fini(&m);
}
END_TEST

START_TEST(test_empty_map)
{
    struct mob_map m = { 0 };
    size_t at = 0;

    ck_assert_ptr_null(mob_map_get(&m, 0));
    ck_assert_ptr_null(mob_map_remove(&m, 0));
    ck_assert_ptr_null(mob_map_next(&m, &at, NULL));
    mob_map_fini(&m);
}
END_TEST

UNIT_MAIN("map", test_random_work_agrees_with_an_array, test_walk_sees_each_once_while_the_current_is_removed, test_empty_map)
