/* SPDX-License-Identifier: Apache-2.0 */
/* test_paths.c -- run folders: whose they must be, and how they go away. */
#include "unit.h"

#include <sys/stat.h>
#include <unistd.h>

static void count(void *arg, const char *path)
{
    ck_assert_ptr_nonnull(strstr(path, "0123abcd@10.0.0."));
    ++*(int *)arg;
}

START_TEST(test_a_session_and_its_end)
{
    char *base = unit_folder(), run[MOB_PATH_SIZE], a[MOB_PATH_SIZE], b[MOB_PATH_SIZE];
    struct mob_error err;
    int sessions = 0;

    setenv("XDG_RUNTIME_DIR", base, 1);
    ck_assert_int_eq(mob_paths_run(run, &err), 0);
    ck_assert_int_eq(strncmp(run, base, strlen(base)), 0);
    ck_assert_int_eq(mob_paths_session(run, "0123abcdef", "10.0.0.1", a, &err), 0);
    ck_assert_int_eq(mob_paths_session(run, "0123abcdef", "10.0.0.2", b, &err), 0);
    ck_assert_int_eq(mob_paths_session(run, "0123abcdef", "10.0.0.2", b, &err), 0);
    ck_assert_int_eq(mob_paths_session(run, "../../etc", "10.0.0.2", b, &err), -1);
    ck_assert_int_eq(mob_paths_session(run, "0123abcdef", "../x", b, &err), -1);
    unit_write(run, "stray", "");
    ck_assert_int_eq(mob_paths_each_session(run, count, &sessions, &err), 0);
    ck_assert_int_eq(sessions, 2);
    ck_assert_int_eq(mob_paths_remove(a, &err), 0);
    ck_assert_int_eq(access(a, F_OK), -1);
    ck_assert_int_eq(mob_paths_remove(a, &err), 0);
    unit_folder_remove(base);
}
END_TEST

START_TEST(test_folders_open_to_others_are_refused)
{
    char *base = unit_folder(), *inner = mob_printf("%s/mobula", base), run[MOB_PATH_SIZE];
    struct mob_error err;

    setenv("XDG_RUNTIME_DIR", base, 1);
    ck_assert_int_eq(mkdir(inner, 0700), 0);
    chmod(inner, 0755);
    ck_assert_int_eq(mob_paths_run(run, &err), -1);
    ck_assert_int_eq(err.code, MOB_ERR_DENIED);
    ck_assert_ptr_nonnull(strstr(err.text, "chmod 700"));
    rmdir(inner);
    ck_assert_int_eq(symlink(base, inner), 0);          /* somebody prepared a link for us */
    ck_assert_int_eq(mob_paths_run(run, &err), -1);
    ck_assert_int_eq(err.code, MOB_ERR_DENIED);
    if (geteuid() == 0) {
        unlink(inner);
        ck_assert_int_eq(mkdir(inner, 0700), 0);
        ck_assert_int_eq(chown(inner, 12345, 12345), 0);
        ck_assert_int_eq(mob_paths_run(run, &err), -1);
        ck_assert_ptr_nonnull(strstr(err.text, "12345"));
    }
    free(inner);
    unit_folder_remove(base);
}
END_TEST

START_TEST(test_removal_follows_no_link)
{
    char *base = unit_folder(), *kept = mob_printf("%s/kept", base), *doomed = mob_printf("%s/doomed", base),
         *link_path = mob_printf("%s/doomed/in/link", base), *file = mob_printf("%s/kept/file", base);

    unit_write(base, "kept/file", "x");
    unit_write(base, "doomed/in/file", "x");
    ck_assert_int_eq(symlink(kept, link_path), 0);
    ck_assert_int_eq(mob_paths_remove(doomed, NULL), 0);
    ck_assert_int_eq(access(doomed, F_OK), -1);
    ck_assert_int_eq(access(file, F_OK), 0);
    ck_assert_int_eq(symlink(kept, doomed), 0);         /* the root itself is a link */
    ck_assert_int_eq(mob_paths_remove(doomed, NULL), -1);
    ck_assert_int_eq(access(file, F_OK), 0);
    free(kept);
    free(doomed);
    free(link_path);
    free(file);
    unit_folder_remove(base);
}
END_TEST

UNIT_MAIN("paths", test_a_session_and_its_end, test_folders_open_to_others_are_refused, test_removal_follows_no_link)
