/* SPDX-License-Identifier: Apache-2.0 */
/* test_guard.c -- whatever is killed, nothing is left: with a PID namespace where that is allowed, and without. */
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/mem.h"
#include "raylet/guard.h"
#include "tests/box.h"
#include "unit.h"

/* Each process of a family holds `alive[1]`; its end is seen as the end of file on alive[0], when all of them are gone. */
static int alive[2], said[2];
static int grace_ms = MOB_GUARD_GRACE_MS;
static int word[2] = { -1, -1 };         /* the guard's private_fd, and what ends it */

static void start_family(void)
{
    if (fork() == 0) {
        setsid();                       /* out of every group and session ... */
        if (fork() == 0)                /* ... and an orphan */
            for (;;)
                pause();
        _exit(0);
    }
    ck_assert_int_eq(write(said[1], &(pid_t){ getpid() }, sizeof(pid_t)), sizeof(pid_t));
}

static int raylet_that_is_killed(void *arg, struct mob_guard_notes *notes, int first)
{
    (void)arg, (void)notes, (void)first;
    start_family();
    while (pause() < 0)
        ;
    return 0;
}

static int raylet_that_ends(void *arg, struct mob_guard_notes *notes, int first)
{
    (void)arg, (void)notes;
    start_family();
    return first ? MOB_GUARD_AGAIN : 42;
}

static int raylet_with_files(void *arg, struct mob_guard_notes *notes, int first)
{
    char path[300];

    (void)first;
    snprintf(notes->session, sizeof notes->session, "%s", (char *)arg);
    snprintf(path, sizeof path, "%s/raylet.json", (char *)arg);
    mob_copy(notes->record, sizeof notes->record, path);
    fclose(fopen(path, "w"));
    kill(getpid(), SIGKILL);            /* not of a namespace's process 1 */
    abort();
}

/* It is told that its node is dead, after somebody has removed its folder; and then cannot join, as the head is away. */
static int raylet_without_a_head(void *arg, struct mob_guard_notes *notes, int first)
{
    struct mob_daemon_record r = { 0 };

    if (!first)
        return mob_record_read(notes->before, &r, NULL) == 0 && r.socket[0] == '\0' && mob_identity_alive(&r.process) ? 42 : 1;
    mob_copy(r.role, sizeof r.role, "raylet");
    mob_copy(r.socket, sizeof r.socket, "/nowhere.sock");
    if (mob_identity_of(notes->guard_pid, &r.process, NULL) < 0)
        return 2;
    notes->said = r;
    snprintf(notes->record, sizeof notes->record, "%s/raylet-1.json", (char *)arg);
    mob_copy(notes->session, sizeof notes->session, arg);
    return rmdir(arg) == 0 ? MOB_GUARD_AGAIN : 3;
}

static pid_t start_guard(int (*raylet)(void *, struct mob_guard_notes *, int), void *arg)
{
    ck_assert_int_eq(pipe(alive), 0);
    ck_assert_int_eq(pipe(said), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(alive[0]);
        close(said[0]);
        signal(SIGTERM, SIG_DFL);       /* Check's handler would end the test */
        close(word[1]);
        _exit(mob_guard_run(raylet, arg, -1, word[0], grace_ms));
    }
    close(alive[1]);
    close(said[1]);
    return pid;
}

/* Its exit code. */
static int end_of(pid_t guard)
{
    int status;

    ck_assert_int_eq(waitpid(guard, &status, 0), guard);
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* In a folder that is gone afterwards. */
static int run_in_folder(int (*raylet)(void *, struct mob_guard_notes *, int))
{
    char folder[] = "/tmp/mobula-test-XXXXXX";

    ck_assert_ptr_nonnull(mkdtemp(folder));
    int code = end_of(start_guard(raylet, folder));
    ck_assert_int_lt(access(folder, F_OK), 0);
    return code;
}

static void wait_until_gone(void)
{
    struct pollfd p = { .fd = alive[0], .events = POLLIN };

    ck_assert_int_eq(poll(&p, 1, 20000), 1);
    ck_assert_int_ne(p.revents & POLLHUP, 0);
}

/* Check forks each test: the box is closed for this one alone. */
static void mode(int i)
{
    if (i == 1)
        ck_assert_int_eq(mob_box_close(), 0);
}

START_TEST(test_exit_code_and_joining_again)
{
    mode(_i);
    ck_assert_int_eq(end_of(start_guard(raylet_that_ends, NULL)), 42);
    wait_until_gone();
    pid_t pids[2];
    ck_assert_int_eq(read(said[0], pids, sizeof pids), sizeof pids);    /* it was started twice */
}
END_TEST

START_TEST(test_guard_is_killed)
{
    pid_t pid;

    mode(_i);
    if (_i == 1)
        return;                         /* not promised: an orphan of its own session lives on */
    pid_t guard = start_guard(raylet_that_is_killed, NULL);
    ck_assert_int_eq(read(said[0], &pid, sizeof pid), sizeof pid);
    kill(guard, SIGKILL);
    if (pid == 1)                       /* a namespace was allowed */
        wait_until_gone();
    waitpid(guard, NULL, 0);
}
END_TEST

static void on_term(int signal)
{
    (void)signal;
    _exit(5);
}

static int raylet_that_obeys(void *arg, struct mob_guard_notes *notes, int first)
{
    signal(SIGTERM, on_term);
    return raylet_that_is_killed(arg, notes, first);
}

/* A namespace's process 1 cannot stop itself. */
static int raylet_that_is_stopped(void *arg, struct mob_guard_notes *notes, int first)
{
    (void)arg, (void)notes, (void)first;
    signal(SIGTERM, on_term);
    start_family();
    if (getpid() != 1)
        raise(SIGSTOP);
    while (pause() < 0)
        ;
    return 0;
}

/* Hears nothing; and would join again if it did. */
static int raylet_that_hangs(void *arg, struct mob_guard_notes *notes, int first)
{
    (void)arg, (void)notes, (void)first;
    signal(SIGTERM, SIG_IGN);
    start_family();
    while (pause() < 0)
        ;
    return MOB_GUARD_AGAIN;
}

/* Told by a signal, or by the end of the one whose private cluster it is: its exit code. */
static int tell_to_end(bool by_signal, int (*raylet)(void *, struct mob_guard_notes *, int))
{
    int code;
    pid_t pid;

    ck_assert_int_eq(pipe(word), 0);
    pid_t guard = start_guard(raylet, NULL);
    ck_assert_int_eq(read(said[0], &pid, sizeof pid), sizeof pid);
    if (by_signal)
        kill(guard, SIGTERM);
    else
        close(word[1]);
    code = end_of(guard);
    wait_until_gone();
    return code;
}

START_TEST(test_told_to_end)
{
    mode(_i % 2);
    ck_assert_int_eq(tell_to_end(_i / 2 % 2 == 0, _i < 4 ? raylet_that_obeys : raylet_that_is_stopped), 5);
}
END_TEST

START_TEST(test_one_that_hangs_is_killed)
{
    mode(_i % 2);
    grace_ms = 100;
    ck_assert_int_eq(tell_to_end(_i / 2 == 0, raylet_that_hangs), 128 + SIGKILL);
}
END_TEST

START_TEST(test_files_go_when_the_raylet_was_killed)
{
    mode(_i);
    ck_assert_int_ne(run_in_folder(raylet_with_files), 0);
}
END_TEST

START_TEST(test_one_that_joins_again_is_found)
{
    mode(_i);
    ck_assert_int_eq(run_in_folder(raylet_without_a_head), 42);
}
END_TEST

UNIT_CASE("guard", tcase)
{
    tcase_add_loop_test(tcase, test_exit_code_and_joining_again, 0, 2);
    tcase_add_loop_test(tcase, test_guard_is_killed, 0, 2);
    tcase_add_loop_test(tcase, test_told_to_end, 0, 8);
    tcase_add_loop_test(tcase, test_one_that_hangs_is_killed, 0, 4);
    tcase_add_loop_test(tcase, test_files_go_when_the_raylet_was_killed, 0, 2);
    tcase_add_loop_test(tcase, test_one_that_joins_again_is_found, 0, 2);
}
