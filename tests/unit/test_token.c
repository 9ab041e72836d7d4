/* SPDX-License-Identifier: Apache-2.0 */
/* test_token.c -- the cluster's secret: made once, read by its user alone. */
#include "unit.h"

#include <sys/stat.h>
#include <unistd.h>

#include "common/token.h"

START_TEST(test_made_once_and_read_again)
{
    char *home = unit_folder(), path[MOB_PATH_SIZE], a[MOB_TOKEN_SIZE], b[MOB_TOKEN_SIZE];
    struct mob_error err;
    struct stat st;

    setenv("HOME", home, 1);
    unsetenv("MOBULA_TOKEN_FILE");
    ck_assert_int_eq(mob_token_path(NULL, path, &err), 0);
    ck_assert_ptr_nonnull(strstr(path, "/.mobula/token"));
    ck_assert_int_eq(mob_token_load(path, a, &err), -1);
    ck_assert_int_eq(err.code, MOB_ERR_DENIED);
    ck_assert_int_eq(mob_token_create(path, a, &err), 0);
    ck_assert_int_eq(mob_token_create(path, b, &err), 0);
    ck_assert_str_eq(a, b);
    ck_assert_uint_eq(strlen(a), 64);
    ck_assert_int_eq(mob_token_load(path, b, &err), 0);
    ck_assert(mob_token_equal(a, b));
    b[63] = b[63] == '0' ? '1' : '0';
    ck_assert(!mob_token_equal(a, b));
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0600);

    chmod(path, 0640);
    ck_assert_int_eq(mob_token_load(path, a, &err), -1);
    ck_assert_int_eq(err.code, MOB_ERR_DENIED);
    ck_assert_ptr_nonnull(strstr(err.text, "chmod 600"));
    unit_folder_remove(home);
}
END_TEST

START_TEST(test_option_before_variable_before_home)
{
    char path[MOB_PATH_SIZE];

    setenv("MOBULA_TOKEN_FILE", "/b", 1);
    ck_assert_int_eq(mob_token_path("/a", path, NULL), 0);
    ck_assert_str_eq(path, "/a");
    ck_assert_int_eq(mob_token_path(NULL, path, NULL), 0);
    ck_assert_str_eq(path, "/b");
}
END_TEST

START_TEST(test_what_is_no_token)
{
    static const char *const bad[] = { "", "abc\n", "zz3456789012345678901234567890123456789012345678901234567890abcd\n",
                                       "0123456789012345678901234567890123456789012345678901234567890123 \n" };
    char *folder = unit_folder(), *path = mob_printf("%s/token", folder), token[MOB_TOKEN_SIZE] = "as it was";
    struct mob_error err;

    for (size_t i = 0; i < MOB_COUNT(bad); i++) {
        unit_write(folder, "token", bad[i]);
        chmod(path, 0600);
        ck_assert_msg(mob_token_load(path, token, &err) == -1, "'%s' was taken", bad[i]);
        ck_assert_int_eq(err.code, MOB_ERR_INVALID);
        ck_assert_str_eq(token, "as it was");
    }
    free(path);
    unit_folder_remove(folder);
}
END_TEST

START_TEST(test_equal_is_all_bytes)
{
    ck_assert(mob_token_equal("0123abcd", "0123abcd"));
    ck_assert(mob_token_equal("", ""));
    ck_assert(!mob_token_equal("0123abcd", "0123abce"));
    ck_assert(!mob_token_equal("1123abcd", "0123abcd"));
    ck_assert(!mob_token_equal("0123abcd", "0123abc"));
    ck_assert(!mob_token_equal("0123abc", "0123abcd"));
}
END_TEST

UNIT_MAIN("token", test_made_once_and_read_again, test_option_before_variable_before_home, test_what_is_no_token, test_equal_is_all_bytes)
