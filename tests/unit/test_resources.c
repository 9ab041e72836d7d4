/* SPDX-License-Identifier: Apache-2.0 */
/* test_resources.c -- amounts as people write them, and sums of them. */
#include "unit.h"

#include "common/resources.h"

static const struct {
    const char *text;
    const char *printed;                /* NULL: refused ... */
    const char *because;                /* ... by an error with these words */
} cases[] = {
    { "", "", NULL },
    { "CPU=0.5,GPU=1", "CPU=0.5,GPU=1", NULL },
    { "GPU=1, CPU=2", "CPU=2,GPU=1", NULL },
    { "CPU=0", "", NULL },
    { "CPU=0.0001", "CPU=0.0001", NULL },
    { "CPU=00.10000000", "CPU=0.1", NULL },
    { "CPU=.5", "CPU=0.5", NULL },
    { "memory=2GiB", "memory=2GiB", NULL },
    { "memory=0.5GiB", "memory=512MiB", NULL },
    { "memory=1500M", "memory=1500000000", NULL },
    { "memory=2048", "memory=2KiB", NULL },
    { "object_store_memory=1TiB", "object_store_memory=1TiB", NULL },
    { "licence=100000000000000", "licence=100000000000000", NULL },
    { "licence=100000000000000.0001", NULL, "over 1e14" },
    { "licence=99999999999999999999", NULL, "over 1e14" },
    { "licence=999999999999999999999999999", NULL, "digits" },
    { "memory=99999TiB", NULL, "over 1e14" },
    { "CPU=-1", NULL, "negative" },
    { "CPU=nan", NULL, "finite" },
    { "CPU=Infinity", NULL, "finite" },
    { "CPU=0.00001", NULL, "finer" },
    { "CPU=1e3", NULL, "suffix" },
    { "CPU=1GiB", NULL, "only memory" },
    { "memory=1XB", NULL, "unknown suffix 'XB'" },
    { "CPU=", NULL, "number" },
    { "CPU=two", NULL, "number" },
    { "CPU=1.2.3", NULL, "suffix" },
    { "CPU", NULL, "'='" },
    { "=1", NULL, "without a name" },
    { "CPU=1,CPU=2", NULL, "twice" },
    { "GPU=1.5", NULL, "whole" },
    { "GPU=0.5", "GPU=0.5", NULL },
    { "a_name_that_is_far_too_long_to_be_a_resource_of_ours=1", NULL, "longer" },
};

START_TEST(test_amounts_as_people_write_them)
{
    for (size_t i = 0; i < MOB_COUNT(cases); i++) {
        struct mob_resources r = { .count = 77 };
        struct mob_error err = { 0 };
        char text[256];

        if (cases[i].printed != NULL) {
            ck_assert_msg(mob_resources_parse(cases[i].text, &r, &err) == 0, "%s: %s", cases[i].text, err.text);
            ck_assert_str_eq(mob_resources_print(&r, text, sizeof(text)), cases[i].printed);
            continue;
        }
        ck_assert_msg(mob_resources_parse(cases[i].text, &r, &err) == -1, "%s was taken", cases[i].text);
        ck_assert_int_eq(err.code, MOB_ERR_INVALID);
        ck_assert_msg(strstr(err.text, cases[i].because) != NULL, "%s: %s", cases[i].text, err.text);
        ck_assert_uint_eq(r.count, 77);
    }
}
END_TEST

START_TEST(test_json)
{
    static const char *const bad[] = { "", "3", "[]", "{\"a\": \"1\"}", "{\"a\": -1}", "{\"CPU\": 1}", "{\"a\": 1, \"a\": 2}",
                                       "{\"a\": 1e-7}", "{\"a,b\": 1}", "{\"a\": true}" };
    struct mob_resources r;
    struct mob_error err;

    ck_assert_int_eq(mob_resources_parse_json("{\"licence\": 3, \"disk\": 0.5, \"whole\": 2.0}", &r, &err), 0);
    ck_assert_int_eq(mob_resources_get(&r, "licence"), 3 * MOB_UNITS);
    ck_assert_int_eq(mob_resources_get(&r, "disk"), MOB_UNITS / 2);
    ck_assert_int_eq(mob_resources_get(&r, "whole"), 2 * MOB_UNITS);
    for (size_t i = 0; i < MOB_COUNT(bad); i++)
        ck_assert_msg(mob_resources_parse_json(bad[i], &r, &err) == -1, "%s was taken", bad[i]);
    mob_resources_parse_json("{\"GPU\": 1}", &r, &err);
    ck_assert_ptr_nonnull(strstr(err.text, "--num-cpus and --num-gpus"));
}
END_TEST

START_TEST(test_sums)
{
    struct mob_resources free, ask, sum;

    mob_resources_parse("CPU=2,GPU=1,memory=1GiB", &free, NULL);
    mob_resources_parse("CPU=1.5,memory=1GiB", &ask, NULL);
    ck_assert(mob_resources_fit(&free, &ask));
    sum = free;
    mob_resources_subtract(&sum, &ask);
    ck_assert(!mob_resources_fit(&sum, &ask));
    ck_assert_int_eq(mob_resources_get(&sum, "CPU"), MOB_UNITS / 2);
    ck_assert_uint_eq(sum.count, 3);
    mob_resources_subtract(&sum, &ask);
    ck_assert_int_eq(mob_resources_get(&sum, "CPU"), -MOB_UNITS);
    mob_resources_add(&sum, &ask);
    mob_resources_add(&sum, &ask);
    ck_assert(mob_resources_eq(&sum, &free));

    mob_resources_set(&sum, "zero", 1);         /* a name at 0 is as good as none */
    sum.of[3].units = 0;
    ck_assert(mob_resources_eq(&sum, &free) && mob_resources_eq(&free, &sum));
    mob_resources_set(&sum, "zero", 1);
    ck_assert(!mob_resources_eq(&sum, &free) && !mob_resources_eq(&free, &sum));
}
END_TEST

START_TEST(test_a_vector_has_an_end)
{
    struct mob_resources r = { 0 };
    char name[8];

    for (int i = 0; i < MOB_RESOURCES_MAX; i++) {
        snprintf(name, sizeof(name), "r%d", MOB_RESOURCES_MAX - i);
        ck_assert_int_eq(mob_resources_set(&r, name, i + 1), 0);
    }
    ck_assert_int_eq(mob_resources_set(&r, "one more", 1), -1);
    ck_assert_int_eq(mob_resources_set(&r, "r1", 9), 0);
    for (uint32_t i = 1; i < r.count; i++)
        ck_assert_int_lt(strcmp(r.of[i - 1].name, r.of[i].name), 0);
    ck_assert_int_eq(mob_resources_set(&r, "r1", 0), 0);
    ck_assert_int_eq(mob_resources_set(&r, "one more", 1), 0);
}
END_TEST

/* By a node "zone=a,disk=ssd". */
START_TEST(test_conditions)
{
    static const struct { const char *text; bool met; } table[] = {
        { "", true }, { "zone=a", true }, { "zone=b", false }, { "zone=!a", false }, { "zone=!b", true }, { "zone=!", true },
        { "zone=in(a)", true }, { "zone=in(b,a,c)", true }, { "zone=in(b,aa)", false }, { "zone=in(aa,)", false }, { "zone=!in(b,c)", true },
        { "zone=!in(b,a)", false }, { "rack=1", false }, { "rack=!1", true }, { "rack=in(1,2)", false }, { "rack=!in(1,2)", true },
        { "disk=ssd,zone=in(a,b),rack=!1", true }, { "zone=in(a,b),disk=!ssd", false }, { "zone=inn", false },
    };
    static const char *const wrong[] = { "zone", "zone=in(", "zone=in()", "zone=in(a", "zone=in(a, b)", "zone=in(a))", "zone=in(a)b", "zone=(a)",
                                         "zone=!!in(a)", "zone=a,zone=!b", "zone=!in(a,b", "zone=in(in(a))" };
    struct mob_labels node, asked;
    struct mob_error err;

    ck_assert_int_eq(mob_labels_parse("zone=a,disk=ssd", &node, NULL), 0);
    for (size_t i = 0; i < MOB_COUNT(table); i++) {
        ck_assert_msg(mob_conditions_parse(table[i].text, &asked, &err) == 0, "%s: %s", table[i].text, err.text);
        ck_assert_msg(mob_labels_match(&node, &asked) == table[i].met, "%s", table[i].text);
    }
    for (size_t i = 0; i < MOB_COUNT(wrong); i++)
        ck_assert_msg(mob_conditions_parse(wrong[i], &asked, &err) < 0, "%s", wrong[i]);
    ck_assert_int_eq(mob_labels_parse("zone=!a", &node, NULL), -1);
    ck_assert_int_eq(mob_labels_parse("zone=in(a)", &node, NULL), -1);
}
END_TEST

START_TEST(test_labels_and_shapes)
{
    struct mob_shape a = { 0 }, b = { 0 };

    ck_assert_int_eq(mob_labels_parse("zone=a,disk=ssd", &a.labels, NULL), 0);
    ck_assert_int_eq(mob_labels_parse("disk=ssd,zone=a", &b.labels, NULL), 0);
    ck_assert(mob_shape_eq(&a, &b));
    ck_assert(mob_labels_match(&a.labels, &b.labels));
    ck_assert_int_eq(mob_labels_parse("disk=hdd,zone=a", &b.labels, NULL), 0);
    ck_assert(!mob_shape_eq(&a, &b));
    ck_assert(!mob_labels_match(&a.labels, &b.labels));
    ck_assert_int_eq(mob_conditions_parse("zone=!b,disk=in(hdd,ssd)", &b.labels, NULL), 0);
    ck_assert(!mob_shape_eq(&a, &b) && !mob_shape_eq(&b, &a));
    ck_assert_int_eq(mob_labels_parse("disk", &b.labels, NULL), -1);
    ck_assert_int_eq(mob_labels_parse("disk=a,disk=b", &b.labels, NULL), -1);
    b = a;
    b.executable.bytes[31] = 1;
    ck_assert(!mob_shape_eq(&a, &b));
}
END_TEST

UNIT_MAIN("resources", test_amounts_as_people_write_them, test_json, test_sums, test_a_vector_has_an_end, test_conditions,
          test_labels_and_shapes)
