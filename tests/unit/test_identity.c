/* SPDX-License-Identifier: Apache-2.0 */
/* test_identity.c -- is it still the same process; records of daemons. */
#include "unit.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/record.h"

START_TEST(test_stat_of_a_process_with_an_odd_name)
{
    char state;
    uint64_t ticks;

    ck_assert(mob_identity_parse_stat("7 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20 21", &state, &ticks));
    ck_assert_int_eq(state, 'S');
    ck_assert_uint_eq(ticks, 4711);
    ck_assert(!mob_identity_parse_stat("7 (a", &state, &ticks));
    ck_assert(!mob_identity_parse_stat("7 (a) S 1 2", &state, &ticks));
}
END_TEST

START_TEST(test_a_process_lives_and_dies_and_is_another)
{
    pid_t pid = fork();
    struct mob_identity child, other;
    struct mob_error err;
    int status;

    if (pid == 0)
        for (;;)
            pause();
    ck_assert_int_eq(mob_identity_of(pid, &child, &err), 0);
    ck_assert(mob_identity_alive(&child));
    other = child;
    other.start_ticks++;                /* same pid, started at another time */
    ck_assert(!mob_identity_alive(&other));
    ck_assert_int_eq(mob_identity_signal(&other, SIGKILL, &err), -1);
    ck_assert_int_eq(err.code, MOB_ERR_UNREACHABLE);
    other = child;
    other.boot[0] ^= 1;
    ck_assert(!mob_identity_alive(&other));

    ck_assert_int_eq(mob_identity_signal(&child, SIGUSR1, &err), 0);
    while (mob_identity_alive(&child))  /* it becomes a zombie, which is as good as gone */
        ;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR1);
    ck_assert_int_eq(mob_identity_signal(&child, SIGUSR1, &err), -1);
}
END_TEST

START_TEST(test_a_stopped_process_hears_that_it_shall_end)
{
    struct mob_identity child;
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        signal(SIGTERM, SIG_DFL);       /* Check's handler would end us all */
        for (;;)
            raise(SIGSTOP);
    }
    ck_assert_int_eq(waitpid(pid, &status, WUNTRACED), pid);
    ck_assert(WIFSTOPPED(status));
    ck_assert_int_eq(mob_identity_of(pid, &child, NULL), 0);
    ck_assert_int_eq(mob_identity_signal(&child, SIGTERM, NULL), 0);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}
END_TEST

START_TEST(test_record_there_and_back)
{
    struct mob_daemon_record r = { .role = "raylet", .cluster = "0123456789abcdef0123456789abcdef", .ip = "127.0.0.1", .port = 6380,
                                   .head = "127.0.0.1:6200", .socket = "/run/x/raylet-1.sock", .is_private = true }, back;
    char *folder = unit_folder(), *path = mob_printf("%s/raylet.json", folder);
    struct mob_error err;
    struct stat st;

    ck_assert_int_eq(mob_identity_of(getpid(), &r.process, &err), 0);
    ck_assert_int_eq(mob_record_read(path, &back, &err), -1);
    ck_assert_int_eq(err.code, MOB_ERR_UNREACHABLE);
    ck_assert_int_eq(mob_record_write(path, &r, &err), 0);
    ck_assert_int_eq(mob_record_write(path, &r, &err), 0);
    ck_assert_int_eq(mob_record_read(path, &back, &err), 0);
    ck_assert_mem_eq(&r, &back, sizeof(r));
    ck_assert(mob_identity_alive(&back.process));
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0600);
    unit_write(folder, "raylet.json", "{\"role\": 3}");
    ck_assert_int_eq(mob_record_read(path, &back, &err), -1);
    ck_assert_int_eq(err.code, MOB_ERR_INVALID);
    free(path);
    unit_folder_remove(folder);
}
END_TEST

UNIT_MAIN("identity", test_stat_of_a_process_with_an_odd_name, test_a_process_lives_and_dies_and_is_another,
          test_a_stopped_process_hears_that_it_shall_end, test_record_there_and_back)
