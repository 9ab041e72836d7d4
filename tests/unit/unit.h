/* SPDX-License-Identifier: Apache-2.0 */
/* unit.h -- what the unit tests share: a main() of one line, a folder of their own, numbers from a seed. */
#ifndef MOB_TESTS_UNIT_H
#define MOB_TESTS_UNIT_H

#include <check.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "common/paths.h"

/* Run what `fill` adds to the case, each in a process of its own that has 60 s; the exit code. */
static inline int unit_run(const char *name, void (*fill)(TCase *tcase))
{
    Suite *suite = suite_create(name);
    TCase *tcase = tcase_create(name);
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 60);
    fill(tcase);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* A main() that runs tests: UNIT_MAIN("map", test_a, test_b) */
#define UNIT_MAIN(name, ...)                                                     \
    UNIT_CASE(name, tcase)                                                       \
    {                                                                            \
        UNIT_TESTS(tcase, __VA_ARGS__);                                          \
    }

/* The same where some have loops or a fixture: UNIT_CASE("claim", tcase) { UNIT_TESTS(tcase, test_a); tcase_add_loop_test(tcase, ...); } */
#define UNIT_CASE(name, tcase)                                                   \
    static void unit_case(TCase *tcase);                                         \
    int main(void)                                                               \
    {                                                                            \
        return unit_run(name, unit_case);                                        \
    }                                                                            \
    static void unit_case(TCase *tcase)

#define UNIT_TESTS(tcase, ...)                                                   \
    do {                                                                         \
        const TTest *const these[] = { __VA_ARGS__ };                            \
        for (size_t i = 0; i < MOB_COUNT(these); i++)                            \
            tcase_add_test(tcase, these[i]);                                     \
    } while (0)

static inline char *unit_folder(void)
{
    char *path = mob_strdup("/tmp/mobula-test-XXXXXX");

    ck_assert_ptr_nonnull(mkdtemp(path));
    return path;
}

static inline void unit_folder_remove(char *path)
{
    ck_assert_int_eq(mob_paths_remove(path, NULL), 0);
    free(path);
}

static inline void unit_write(const char *folder, const char *name, const char *text)
{
    char *path = mob_printf("%s/%s", folder, name), *slash;
    FILE *file;

    for (slash = strchr(path + strlen(folder) + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        char *parent = mob_printf("%.*s", (int)(slash - path), path);

        mob_paths_private(parent, NULL);
        free(parent);
    }
    file = fopen(path, "we");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
    free(path);
}

static inline uint64_t unit_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

#endif
