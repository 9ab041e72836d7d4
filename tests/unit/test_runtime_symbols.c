/* SPDX-License-Identifier: Apache-2.0 */
/* What libmobula.so shows to the world, by the tools a user has: nm, ldd, c++. */
#include <check.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mobula.h"

/* The output of a command, at most 64 KiB. */
static char *output_of(const char *command, int *ret_status)
{
    FILE *pipe = popen(command, "r");
    char *text = calloc(1, 65536);
    size_t n = fread(text, 1, 65535, pipe);

    text[n] = '\0';
    *ret_status = pclose(pipe);
    return text;
}

START_TEST(test_exports_only_the_api)
{
    int status;
    char *text = output_of("nm -D --defined-only " MOB_LIBRARY " | awk '$2 != \"A\" { sub(/@.*/, \"\", $3); print $3 }'",
                           &status);
    char *header = output_of("cat " MOB_HEADER, &status);
    size_t count = 0;

    for (char *name = strtok(text, "\n"); name != NULL; name = strtok(NULL, "\n"), count++) {
        char call[80];

        snprintf(call, sizeof call, "%s(", name);
        ck_assert_msg(strncmp(name, "mob_", 4) == 0, "%s is exported", name);
        ck_assert_msg(strstr(header, call) != NULL, "%s is exported, and not in mobula.h", name);
    }
    ck_assert_uint_ge(count, 36);
    free(header);
    free(text);
}
END_TEST

START_TEST(test_loads_no_daemon_library)
{
    int status;
    char *text = output_of("objdump -p " MOB_LIBRARY " | grep NEEDED", &status);

    ck_assert_int_eq(status, 0);
    ck_assert_ptr_null(strstr(text, "grpc"));
    ck_assert_ptr_null(strstr(text, "libuv"));
    free(text);
}
END_TEST

START_TEST(test_each_declared_function_is_there)
{
    static const char *const some[] = { "mob_init", "mob_call", "mob_get_many", "mob_waitset_next", "mob_task_self", "mob_fail" };

    for (size_t i = 0; i < sizeof some / sizeof some[0]; i++)
        ck_assert_msg(dlsym(RTLD_DEFAULT, some[i]) != NULL, "%s", some[i]);
    ck_assert_uint_eq(sizeof(struct mob_error), 1024);
    ck_assert_ptr_nonnull(mob_version());
}
END_TEST

START_TEST(test_header_is_cxx)
{
    FILE *source = fopen(MOB_SCRATCH "/header.cc", "we");
    int status;

    fputs("#include MOB_HEADER_NAME\nstatic int f(mob_task *t, mob_error *e) { int n = 1; return mob_return(t, 0, MOB_BYTES(&n, "
          "sizeof n), e); }\n"
          "MOB_TASK(f)\nint main() { mob_value v = MOB_REF(0); return v.size != 0; }\n", source);
    fclose(source);
    free(output_of("c++ -std=c++11 -Wall -Wextra -Werror -fsyntax-only '-DMOB_HEADER_NAME=\"" MOB_HEADER "\"' "
                   "" MOB_SCRATCH "/header.cc 2>&1", &status));
    ck_assert_int_eq(status, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("runtime_symbols");
    TCase *c = tcase_create("runtime_symbols");
    SRunner *runner = srunner_create(s);
    int failed;

    tcase_set_timeout(c, 60);
    tcase_add_test(c, test_exports_only_the_api);
    tcase_add_test(c, test_loads_no_daemon_library);
    tcase_add_test(c, test_each_declared_function_is_there);
    tcase_add_test(c, test_header_is_cxx);
    suite_add_tcase(s, c);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
