/* SPDX-License-Identifier: Apache-2.0 */
/* test_paths.c -- run folders: whose they must be, and how they go away. */
#include "unit.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/here.h"

static void count(void *arg, const char *path)
{
    ck_assert_ptr_nonnull(strstr(path, "0123abcd@10.0.0."));
    ++*(int *)arg;
}

START_TEST(test_a_session_and_its_end)
{
    char *base = unit_folder(), run[MOB_PATH_SIZE], a[MOB_PATH_SIZE], b[MOB_PATH_SIZE];
    struct mob_error err;
    int sessions = 0, lock;

    setenv("XDG_RUNTIME_DIR", base, 1);
    ck_assert_int_eq(mob_paths_run(run, &err), 0);
    ck_assert_int_eq(strncmp(run, base, strlen(base)), 0);
    ck_assert_int_eq(mob_paths_session(run, "0123abcdef", "10.0.0.1", a, &err), 0);
    ck_assert_int_eq(mob_paths_session(run, "0123abcdef", "10.0.0.2", b, &err), 0);
    ck_assert_int_eq(mob_paths_enter(a, &lock, &err), 0);
    ck_assert_int_eq(mob_paths_enter(b, &lock, &err), 0);
    ck_assert_int_eq(mob_paths_enter(b, &lock, &err), 0);
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

/* A folder lives while anybody holds it, with a record in it or not; then who looks removes it, with all in it. */
START_TEST(test_a_held_session_is_not_swept)
{
    char *base = unit_folder(), run[MOB_PATH_SIZE], a[MOB_PATH_SIZE];
    struct mob_here_daemon *all = mob_alloc(MOB_HERE_DAEMONS_MAX * sizeof *all);
    struct mob_error err;
    size_t count = 7;
    int locks[2];

    setenv("XDG_RUNTIME_DIR", base, 1);
    ck_assert_int_eq(mob_paths_run(run, &err), 0);
    ck_assert_int_eq(mob_paths_session(run, "0123abcdef", "127.0.0.1", a, &err), 0);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(mob_paths_enter(a, &locks[i], &err), 0);
    ck_assert_int_eq(mob_here_list(all, &count, &err), 0);
    ck_assert_uint_eq(count, 0);
    ck_assert_int_eq(access(a, F_OK), 0);
    mob_paths_leave(a, locks[0]);
    ck_assert_int_eq(access(a, F_OK), 0);
    unit_write(a, "logs/x.log", "x");
    mob_paths_leave(a, locks[1]);       /* logs stay, until somebody looks */
    ck_assert_int_eq(access(a, F_OK), 0);
    ck_assert_int_eq(mob_here_list(all, &count, &err), 0);
    ck_assert_int_eq(access(a, F_OK), -1);

    ck_assert_int_eq(mob_paths_enter(a, &locks[0], &err), 0);
    mob_paths_leave(a, locks[0]);
    ck_assert_int_eq(access(a, F_OK), -1);
    free(all);
    unit_folder_remove(base);
}
END_TEST

/* A run folder may be on a file system of other machines, too, whose locks are not seen. The same boot or the same host: ours. */
START_TEST(test_a_session_of_another_machine_is_left_alone)
{
    static const int changed[] = { 0, 1 << 0, 1 << 9, 1 << 0 | 1 << 9 };   /* digits, from the end: of the host, of the boot */
    struct mob_here_daemon *all = mob_alloc(MOB_HERE_DAEMONS_MAX * sizeof *all);
    char *base = unit_folder(), run[MOB_PATH_SIZE], ours[MOB_PATH_SIZE];
    struct mob_error err;
    size_t count;

    setenv("XDG_RUNTIME_DIR", base, 1);
    ck_assert_int_eq(mob_paths_run(run, &err), 0);
    ck_assert_int_eq(mob_paths_session(run, "0123abcdef", "127.0.0.1", ours, &err), 0);
    for (size_t i = 0; i < MOB_COUNT(changed); i++) {
        char *name = mob_strdup(ours);

        for (int digit = 0; digit < 10; digit++)
            if ((changed[i] & 1 << digit) != 0)
                name[strlen(name) - 1 - (size_t)digit] ^= 1;
        ck_assert_int_eq(mob_paths_private(name, &err), 0);
        unit_write(name, "head.json", "");
        ck_assert_int_eq(mob_here_list(all, &count, &err), 0);
        ck_assert_msg((access(name, F_OK) == 0) == (i == 3), "%s", name);
        free(name);
    }
    free(all);
    unit_folder_remove(base);
}
END_TEST

/* In a session that lives on, what a killed raylet left goes; a record of who counts pids otherwise is nothing to judge. */
START_TEST(test_what_a_killed_raylet_left)
{
    static const char *const files[] = { "raylet-4.json", "raylet-4.sock", "raylet-4.d/program", "raylet-5.json", "head.json" };
    char *base = unit_folder(), run[MOB_PATH_SIZE], a[MOB_PATH_SIZE];
    struct mob_here_daemon *all = mob_alloc(MOB_HERE_DAEMONS_MAX * sizeof *all);
    struct mob_daemon_record r = { .role = "raylet", .cluster = "0123abcdef" };
    struct mob_error err;
    size_t count;
    int lock;

    setenv("XDG_RUNTIME_DIR", base, 1);
    ck_assert_int_eq(mob_paths_run(run, &err), 0);
    ck_assert_int_eq(mob_paths_session(run, "0123abcdef", "127.0.0.1", a, &err), 0);
    ck_assert_int_eq(mob_paths_enter(a, &lock, &err), 0);
    ck_assert_int_eq(mob_identity_of(getpid(), &r.process, &err), 0);
    for (size_t i = 0; i < MOB_COUNT(files); i++) {
        char *path = mob_printf("%s/%s", a, files[i]);

        unit_write(a, files[i], "");
        if (i == 3)
            r.process.space++;          /* the same pid and time, in another container */
        if (i == 0 || i == 3)
            r.process.start_ticks++;
        else
            ck_assert_int_eq(mob_identity_of(getpid(), &r.process, &err), 0);
        if (strstr(path, ".json") != NULL)
            ck_assert_int_eq(mob_record_write(path, &r, &err), 0);
        free(path);
    }
    ck_assert_int_eq(mob_here_list(all, &count, &err), 0);
    ck_assert_uint_eq(count, 1);
    for (size_t i = 0; i < MOB_COUNT(files); i++) {
        char *path = mob_printf("%s/%.*s", a, (int)strcspn(files[i], "/"), files[i]);

        ck_assert_msg((access(path, F_OK) == 0) == (i >= 3), "%s", path);
        free(path);
    }
    free(all);
    unit_folder_remove(base);
}
END_TEST

#define ENTERING 3
#define ROUNDS 300

static int enter_and_leave(const char *session, int number)
{
    char name[16];
    int lock;

    snprintf(name, sizeof name, "file-%d", number);
    for (int i = 0; i < ROUNDS; i++) {
        char *path = mob_printf("%s/%s", session, name);

        if (mob_paths_enter(session, &lock, NULL) < 0)
            return 1;
        unit_write(session, name, "x");
        sched_yield();
        if (unlink(path) < 0)
            return 2;
        mob_paths_leave(session, lock);
        free(path);
    }
    return 0;
}

/* Whatever the turns of those who come, go and sweep: nothing goes from under one who is in. */
START_TEST(test_entering_leaving_and_sweeping)
{
    char *base = unit_folder(), run[MOB_PATH_SIZE], a[MOB_PATH_SIZE];
    int status, left = ENTERING;

    setenv("XDG_RUNTIME_DIR", base, 1);
    ck_assert_int_eq(mob_paths_run(run, NULL), 0);
    ck_assert_int_eq(mob_paths_session(run, "0123abcdef", "127.0.0.1", a, NULL), 0);
    for (int i = 0; i < ENTERING; i++)
        if (fork() == 0)
            _exit(enter_and_leave(a, i));
    while (left > 0) {
        mob_paths_sweep(a);
        if (waitpid(-1, &status, WNOHANG) > 0) {
            ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%x", (unsigned)status);
            left--;
        }
    }
    ck_assert(mob_paths_sweep(a));
    ck_assert_int_eq(access(a, F_OK), -1);
    unit_folder_remove(base);
}
END_TEST

/* One that shares the folder: a daemon that lets go of it itself, or one whose guard does. When all have begun, each removes its file. */
static int stay_and_leave(const char *session, int number, int begun, int go)
{
    char name[16], *file, byte = 'x';
    int lock;

    snprintf(name, sizeof name, "file-%d", number);
    file = mob_printf("%s/%s", session, name);
    if (mob_paths_enter(session, &lock, NULL) < 0)
        return 1;
    unit_write(session, name, "");
    if (write(begun, &byte, 1) != 1 || read(go, &byte, 1) != 0)
        return 1;
    if (number > 0) {
        close(lock);
        lock = -1;
    }
    unlink(file);
    mob_paths_leave(session, lock);
    free(file);
    return 0;
}

START_TEST(test_the_last_of_those_who_leave_at_once_removes_it)
{
    enum { TIMES = 100, LEAVERS = 3 };
    char *base = unit_folder(), run[MOB_PATH_SIZE], a[MOB_PATH_SIZE];
    struct mob_error err;

    setenv("XDG_RUNTIME_DIR", base, 1);
    ck_assert_int_eq(mob_paths_run(run, &err), 0);
    ck_assert_int_eq(mob_paths_session(run, "0123abcdef", "10.0.0.1", a, &err), 0);
    for (int round = 0; round < TIMES; round++) {
        int begun[2], go[2], status;
        char bytes[LEAVERS];

        ck_assert(pipe(begun) == 0 && pipe(go) == 0);
        for (int i = 0; i < LEAVERS; i++)
            if (fork() == 0) {
                close(go[1]);
                _exit(stay_and_leave(a, i, begun[1], go[0]));
            }
        close(go[0]);
        for (int got = 0; got < LEAVERS; got++)
            ck_assert_int_eq(read(begun[0], &bytes[got], 1), 1);
        close(go[1]);
        for (int i = 0; i < LEAVERS; i++) {
            ck_assert_int_gt(wait(&status), 0);
            ck_assert_int_eq(status, 0);
        }
        close(begun[0]);
        close(begun[1]);
        ck_assert_msg(access(a, F_OK) < 0, "after round %d it is still there", round);
    }
    unit_folder_remove(base);
}
END_TEST

/* One found our file, and so could not remove it; we come when he has not let go yet. */
START_TEST(test_who_leaves_waits_for_who_has_it_to_himself)
{
    char *base = unit_folder(), run[MOB_PATH_SIZE], a[MOB_PATH_SIZE];
    int lock, other, alive[2], status;

    setenv("XDG_RUNTIME_DIR", base, 1);
    ck_assert_int_eq(mob_paths_run(run, NULL), 0);
    ck_assert_int_eq(mob_paths_session(run, "0123abcdef", "10.0.0.1", a, NULL), 0);
    ck_assert_int_eq(mob_paths_enter(a, &lock, NULL), 0);
    close(lock);
    ck_assert_int_ge(other = open(a, O_RDONLY | O_DIRECTORY | O_CLOEXEC), 0);
    ck_assert_int_eq(flock(other, LOCK_EX), 0);
    ck_assert_int_eq(pipe(alive), 0);
    if (fork() == 0) {
        close(other);                   /* a lock ends with the last descriptor */
        mob_paths_leave(a, -1);
        _exit(0);
    }
    close(alive[1]);
    poll(&(struct pollfd){ .fd = alive[0] }, 1, 100);          /* it tries, or even gives up */
    close(other);
    ck_assert_int_gt(wait(&status), 0);
    ck_assert_int_eq(access(a, F_OK), -1);
    close(alive[0]);
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

UNIT_MAIN("paths", test_a_session_and_its_end, test_a_held_session_is_not_swept, test_a_session_of_another_machine_is_left_alone,
          test_what_a_killed_raylet_left, test_entering_leaving_and_sweeping, test_the_last_of_those_who_leave_at_once_removes_it,
          test_who_leaves_waits_for_who_has_it_to_himself, test_folders_open_to_others_are_refused, test_removal_follows_no_link)
