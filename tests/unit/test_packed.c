/* SPDX-License-Identifier: Apache-2.0 */
/* test_packed.c -- values that carry references, as bytes: what was written is read, and nothing else is. */
#include "common/packed.h"
#include "tests/unit/unit.h"

static struct mob_object_id id_of(uint64_t n)
{
    return (struct mob_object_id){ .cluster = 1, .node = 2, .process = 3, .task = n };
}

START_TEST(test_what_is_written_is_read)
{
    static const size_t sizes[] = { 0, 1, 7, 8, 9, 4096 };

    for (size_t i = 0; i < MOB_COUNT(sizes); i++)
        for (size_t refs = 0; refs < 4; refs++) {
            size_t size = mob_packed_size(sizes[i], refs);
            unsigned char *value = malloc(size);
            struct mob_packed p;

            memset(value, 0xa5, sizes[i]);
            for (size_t j = 0; j < refs; j++) {
                struct mob_object_id id = id_of(j);
                mob_packed_put_id(value, sizes[i], j, &id);
            }
            mob_packed_finish(value, sizes[i], refs);
            ck_assert(mob_packed_read(value, size, &p));
            ck_assert_uint_eq(p.data_size, sizes[i]);
            ck_assert_uint_eq(p.refs, refs);
            for (size_t j = 0; j < refs; j++)
                ck_assert_uint_eq(mob_packed_id(&p, j).task, j);
            for (size_t j = 0; j < sizes[i]; j++)
                ck_assert_uint_eq(value[j], 0xa5);
            ck_assert(!mob_packed_read(value, size - 1, &p));
            free(value);
        }
}
END_TEST

/* Each field of the footer, and sizes that would wrap. */
START_TEST(test_nothing_else_is_read)
{
    static const struct mob_packed_footer bad[] = {
        { 64, 1, MOB_PACKED_MAGIC + 1 }, { 64, UINT32_MAX, MOB_PACKED_MAGIC }, { 64, 2, MOB_PACKED_MAGIC },
        { UINT64_MAX - 3, 1, MOB_PACKED_MAGIC }, { 72, 1, MOB_PACKED_MAGIC },
    };
    unsigned char value[64 + sizeof(struct mob_object_id) + sizeof(struct mob_packed_footer)];
    struct mob_object_id id = id_of(1);
    struct mob_packed p;

    mob_packed_put_id(value, 64, 0, &id);
    mob_packed_finish(value, 64, 1);
    ck_assert(mob_packed_read(value, sizeof value, &p));
    ck_assert(!mob_packed_read(value, 0, &p));
    ck_assert(!mob_packed_read(value, 15, &p));
    for (size_t i = 0; i < MOB_COUNT(bad); i++) {
        memcpy(value + sizeof value - sizeof bad[i], &bad[i], sizeof bad[i]);
        ck_assert(!mob_packed_read(value, sizeof value, &p));
    }
}
END_TEST

UNIT_MAIN("packed", test_what_is_written_is_read, test_nothing_else_is_read)
