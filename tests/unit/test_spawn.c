/* SPDX-License-Identifier: Apache-2.0 */
/* test_spawn.c -- starting processes: descriptors, errors of exec, signals, and the parent's handlers left alone. */
#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/spawn.h"

static char *const no_environment[] = { NULL };

/* Run /bin/sh -c script with a pipe as its stdout; answers what it wrote. */
static char *shell(const char *script, struct mob_spawn_plan plan, int extra_from)
{
    char *const argv[] = { "sh", "-c", (char *)script, NULL }, *output = mob_alloc(4096);
    struct mob_spawn_fd fds[3];
    int pipe_ends[2], null = open("/dev/null", O_RDWR | O_CLOEXEC), pidfd, status;
    struct mob_error err;
    ssize_t got;
    size_t used = 0;
    pid_t pid;

    ck_assert_int_eq(pipe2(pipe_ends, O_CLOEXEC), 0);
    fds[0] = (struct mob_spawn_fd){ null, 0 };
    fds[1] = (struct mob_spawn_fd){ pipe_ends[1], 1 };
    fds[2] = (struct mob_spawn_fd){ extra_from, 7 };
    plan.argv = argv;
    plan.envp = no_environment;
    plan.fds = fds;
    plan.fd_count = 3;
    ck_assert_msg(mob_spawn(&plan, &pid, &pidfd, &err) == 0, "%s", err.text);
    close(pipe_ends[1]);
    while ((got = read(pipe_ends[0], output + used, 4095 - used)) > 0)
        used += (size_t)got;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    if (pidfd >= 0)
        close(pidfd);
    close(pipe_ends[0]);
    close(null);
    return output;
}

START_TEST(test_only_the_named_descriptors_are_there)
{
    struct mob_spawn_plan plan = { .path = "/bin/sh", .folder = "/" };
    int leak = open("/dev/null", O_RDONLY);             /* not CLOEXEC: a guest's, or a careless library's */
    char *output = shell("cd /proc/self/fd && for f in 0 1 2 3 4 5 6 7 8 9; do [ -e $f ] && printf '%s ' $f; done; pwd >&7; true",
                         plan, leak);

    /* 2 was not named; the shell opens none before it globs nothing */
    ck_assert_str_eq(output, "0 1 7 ");
    free(output);
    close(leak);
}
END_TEST

START_TEST(test_by_descriptor)
{
    int program = open("/bin/sh", O_RDONLY | O_CLOEXEC);
    struct mob_spawn_plan plan = { .fd = program, .new_group = true };
    char *output = shell("read -r pid name state parent group rest </proc/self/stat; [ $group = $$ ] && echo leads", plan, program);

    ck_assert_str_eq(output, "leads\n");
    free(output);
    close(program);
}
END_TEST

START_TEST(test_a_failed_exec_is_an_error_and_leaves_nobody)
{
    char *const argv[] = { "nothing", NULL };
    struct mob_spawn_plan plan = { .path = "/nonexistent/program", .argv = argv, .envp = no_environment };
    struct mob_error err;
    int pidfd = 42;
    pid_t pid = 42;

    ck_assert_int_eq(mob_spawn(&plan, &pid, &pidfd, &err), -1);
    ck_assert_int_eq(err.code, MOB_ERR_SYSTEM);
    ck_assert_ptr_nonnull(strstr(err.text, "/nonexistent/program"));
    ck_assert_ptr_nonnull(strstr(err.text, "No such file"));
    ck_assert_int_eq(pid, 42);
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
    plan.path = "/etc/hostname";        /* there, but not executable */
    ck_assert_int_eq(mob_spawn(&plan, &pid, &pidfd, &err), -1);
    plan.path = "/bin/sh";
    plan.folder = "/nonexistent";
    ck_assert_int_eq(mob_spawn(&plan, &pid, &pidfd, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "folder"));
}
END_TEST

static void handler(int signal)
{
    (void)signal;
}

START_TEST(test_signals_there_are_fresh_and_here_as_they_were)
{
    struct mob_spawn_plan plan = { .path = "/bin/sh" };
    struct sigaction action = { .sa_handler = handler }, now;
    sigset_t blocked, mask;
    char *output;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    sigaction(SIGUSR1, &action, NULL);
    signal(SIGPIPE, SIG_IGN);           /* would be inherited through exec */
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigprocmask(SIG_SETMASK, &blocked, NULL);
    output = shell("while read -r name value; do case $name in SigBlk:|SigIgn:) printf '%s ' $value;; esac; done </proc/self/status",
                   plan, null);
    ck_assert_str_eq(output, "0000000000000000 0000000000000000 ");
    sigprocmask(SIG_SETMASK, NULL, &mask);
    ck_assert(sigismember(&mask, SIGTERM) && !sigismember(&mask, SIGINT));
    sigaction(SIGUSR1, NULL, &now);
    ck_assert_ptr_eq((void *)now.sa_handler, (void *)handler);
    sigaction(SIGPIPE, NULL, &now);
    ck_assert_ptr_eq((void *)now.sa_handler, (void *)SIG_IGN);
    free(output);
    close(null);
}
END_TEST

START_TEST(test_the_child_dies_with_its_parent)
{
    int ends[2];
    char byte;
    pid_t parent;

    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    if ((parent = fork()) == 0) {
        char *const argv[] = { "sleep", "1000", NULL };
        struct mob_spawn_fd fds[] = { { ends[1], 1 } };
        struct mob_spawn_plan plan = { .path = "/bin/sleep", .argv = argv, .envp = no_environment, .fds = fds, .fd_count = 1,
                                       .death_signal = SIGKILL };
        pid_t pid;
        int pidfd;

        _exit(mob_spawn(&plan, &pid, &pidfd, NULL) == 0 ? 0 : 1);
    }
    close(ends[1]);
    ck_assert_int_eq(waitpid(parent, NULL, 0), parent);
    ck_assert_int_eq(read(ends[0], &byte, 1), 0);       /* the end of the pipe comes only when the sleeper is gone */
}
END_TEST

UNIT_MAIN("spawn", test_only_the_named_descriptors_are_there, test_by_descriptor, test_a_failed_exec_is_an_error_and_leaves_nobody,
          test_signals_there_are_fresh_and_here_as_they_were, test_the_child_dies_with_its_parent)
