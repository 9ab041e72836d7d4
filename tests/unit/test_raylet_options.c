/* SPDX-License-Identifier: Apache-2.0 */
/* test_raylet_options.c -- flags, and what is found out where nothing was said. */
#include <string.h>

#include "raylet/options.h"
#include "unit.h"

static const struct mob_sysinfo machine = { .cpus = 8, .memory = UINT64_C(1003) << 20, .gpus = { 4, 6 }, .gpu_count = 2, .host = "h" };

static int parse(struct mob_raylet_options *o, struct mob_error *err, char *const *words)
{
    char *argv[16] = { "mobula-raylet" };
    int argc = 1;

    while (*words != NULL)
        argv[argc++] = *words++;
    return mob_options_parse(argc, argv, o, err);
}
#define WORDS(...) ((char *const[]){ __VA_ARGS__, NULL })

START_TEST(test_what_was_not_said_is_found_out)
{
    struct mob_raylet_options o;
    struct mob_error err;

    ck_assert_int_eq(parse(&o, &err, WORDS("--head", "127.0.0.1:6380", "--resources", "licence=3")), 0);
    ck_assert_int_eq(mob_options_complete(&o, &machine, &err), 0);
    ck_assert_str_eq(o.ip, "127.0.0.1");
    ck_assert_int_eq(mob_resources_get(&o.resources, "CPU"), 8 * MOB_UNITS);
    ck_assert_int_eq(mob_resources_get(&o.resources, "GPU"), 2 * MOB_UNITS);
    ck_assert_int_eq(mob_resources_get(&o.resources, "licence"), 3 * MOB_UNITS);
    ck_assert_int_eq(mob_resources_get(&o.resources, "node:127.0.0.1"), MOB_UNITS);
    ck_assert_uint_eq(o.gpus[0], 4);
    ck_assert_uint_eq(o.gpus[1], 6);
    ck_assert_uint_eq(o.store_bytes, UINT64_C(300) << 20);         /* whole huge pages */
    ck_assert_int_eq(mob_resources_get(&o.resources, "object_store_memory"), (int64_t)o.store_bytes * MOB_UNITS);
}
END_TEST

START_TEST(test_a_foreign_flag_is_named)
{
    struct mob_raylet_options o;
    struct mob_error err;

    ck_assert_int_eq(parse(&o, &err, WORDS("--head", "127.0.0.1:1", "--bogus", "--port", "1")), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "--bogus is no flag of mobula-raylet"));
    ck_assert_int_eq(parse(&o, &err, WORDS("--head", "127.0.0.1:1", "--port")), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "--port is no flag of mobula-raylet, or lacks its value"));
}
END_TEST

START_TEST(test_zero_is_said)
{
    struct mob_raylet_options o;
    struct mob_error err;

    ck_assert_int_eq(parse(&o, &err, WORDS("--head", "[::1]:1", "--ip", "::1", "--resources", "CPU=0, GPU=0")), 0);
    ck_assert_int_eq(mob_options_complete(&o, &machine, &err), 0);
    ck_assert_str_eq(o.head_ip, "::1");
    ck_assert_int_eq(mob_resources_get(&o.resources, "CPU"), 0);
    ck_assert_int_eq(mob_resources_get(&o.resources, "GPU"), 0);
    ck_assert_uint_eq(o.gpu_count, 0);
}
END_TEST

START_TEST(test_gpus_and_their_indices)
{
    struct mob_raylet_options o;
    struct mob_error err;

    ck_assert_int_eq(parse(&o, &err, WORDS("--head", "127.0.0.1:1", "--resources", "GPU=3")), 0);
    ck_assert_int_eq(mob_options_complete(&o, &machine, &err), 0);
    ck_assert_uint_eq(o.gpus[2], 2);
    ck_assert_int_eq(parse(&o, &err, WORDS("--head", "127.0.0.1:1", "--gpus", "5,7")), 0);
    ck_assert_int_eq(mob_options_complete(&o, &machine, &err), 0);
    ck_assert_uint_eq(o.gpus[1], 7);
    ck_assert_int_eq(mob_resources_get(&o.resources, "GPU"), 2 * MOB_UNITS);
    ck_assert_int_eq(parse(&o, &err, WORDS("--head", "127.0.0.1:1", "--gpus", "5,7", "--resources", "GPU=3")), 0);
    ck_assert_int_lt(mob_options_complete(&o, &machine, &err), 0);
}
END_TEST

START_TEST(test_refusals)
{
    struct mob_raylet_options o;
    struct mob_error err;
    static char *const words[][5] = {
        { "--ip", "127.0.0.1" },                                    /* no head */
        { "--head", "127.0.0.1" },          { "--head", "127.0.0.1:99999" }, { "--head", ":1" },
        { "--head", "127.0.0.1:1", "--port", "-1" },                { "--head", "127.0.0.1:1", "--store-bytes", "1x" },
        { "--head", "127.0.0.1:1", "--gpus", "1,1" },               { "--head", "127.0.0.1:1", "--gpus", "1,,2" },
        { "--head", "127.0.0.1:1", "--resources", "CPU=-1" },       { "--head", "127.0.0.1:1", "--labels", "a" },
        { "--head", "127.0.0.1:1", "--no-such" },                   { "--head", "127.0.0.1:1", "word" },
    };

    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        ck_assert_int_lt(parse(&o, &err, words[i]), 0);
        ck_assert_int_eq(err.code, MOB_ERR_INVALID);
    }
    ck_assert_int_lt(parse(&o, &err, WORDS("--no-such", "--ready-fd", "7")), 0);
    ck_assert_int_eq(o.ready_fd, 7);
}
END_TEST

UNIT_MAIN("raylet_options", test_what_was_not_said_is_found_out, test_a_foreign_flag_is_named, test_zero_is_said,
          test_gpus_and_their_indices, test_refusals)
