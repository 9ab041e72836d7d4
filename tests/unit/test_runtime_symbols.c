/* SPDX-License-Identifier: Apache-2.0 */
/* test_runtime_symbols.c -- what libmobula.so shows to the world, by the tools a user has: nm, objdump, c++. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mobula.h"
#include "unit.h"

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

START_TEST(test_soname_is_the_major_version)
{
    int status;
    char *text = output_of("objdump -p " MOB_LIBRARY " | grep SONAME", &status);

    ck_assert_int_eq(status, 0);
    ck_assert_ptr_nonnull(strstr(text, " libmobula.so.1\n"));
    free(text);
    text = output_of("readlink -f " MOB_LIBRARY, &status);
    ck_assert_msg(strstr(text, mob_version()) != NULL, "%s is not version %s", text, mob_version());
    free(text);
}
END_TEST

/* -- two functions of one name --------------------------------------------------------------------------------------------- */

static int twin(struct mob_task *t, struct mob_error *err)
{
    (void)t, (void)err;
    return 0;
}
MOB_TASK(twin) enum { TWIN_LINE = __LINE__ };

static int other(struct mob_task *t, struct mob_error *err)
{
    (void)t;
    return mob_fail(err, 1, "another");
}

/* What registering `fn` as "twin" prints; *ret_status as of waitpid(). */
static char *registers_twin(mob_task_fn *fn, const char *file, int line, int *ret_status)
{
    char *text = calloc(1, 4096);
    size_t used = 0;
    ssize_t n;
    int fds[2];

    ck_assert_int_eq(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(fds[1], STDERR_FILENO);
        if (file != NULL)
            mob_register_at("twin", fn, file, line);
        else
            mob_register("twin", fn);
        _exit(0);
    }
    close(fds[1]);
    while ((n = read(fds[0], text + used, 4095 - used)) > 0)
        used += (size_t)n;
    close(fds[0]);
    waitpid(pid, ret_status, 0);
    return text;
}

START_TEST(test_two_functions_of_one_name)
{
    char place[256];
    int status;
    char *text = registers_twin(other, "elsewhere.c", 7, &status);

    snprintf(place, sizeof place, "\"twin\" at %s:%d and \"twin\" at elsewhere.c:7; rename one", __FILE__, TWIN_LINE);
    ck_assert_msg(strstr(text, place) != NULL, "'%s', not '%s'", text, place);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 2);
    free(text);
    text = registers_twin(other, NULL, 0, &status);
    ck_assert_msg(strstr(text, "test_runtime_symbols(+0x") != NULL, "%s", text);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 2);
    free(text);
    text = registers_twin(twin, "elsewhere.c", 7, &status);     /* the same one again: no-op */
    ck_assert_str_eq(text, "");
    ck_assert_int_eq(status, 0);
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

UNIT_MAIN("runtime_symbols", test_exports_only_the_api, test_loads_no_daemon_library, test_soname_is_the_major_version,
          test_two_functions_of_one_name, test_each_declared_function_is_there, test_header_is_cxx)
