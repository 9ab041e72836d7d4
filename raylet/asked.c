/* SPDX-License-Identifier: Apache-2.0 */
/* asked.c -- starting a program whose words we want: the loader of an executable (elf.c), or a script (script.c). */
#include "raylet/asked.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <unistd.h>

static pid_t start(char *const argv[], char *const environment[], int out)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    pid_t pid = -1;

    sigemptyset(&none);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out, STDERR_FILENO);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setsigmask(&attributes, &none);
    errno = posix_spawn(&pid, argv[0], &actions, &attributes, argv, environment);
    if (errno != 0)
        pid = -1;
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return pid;
}

pid_t mob_asked_start(char *const argv[], char *const environment[], int *ret_out, struct mob_error *err)
{
    int fds[2];
    pid_t pid;

    if (pipe2(fds, O_CLOEXEC) < 0)
        return mob_error_errno(err, "cannot make a pipe");
    if ((pid = start(argv, environment, fds[1])) < 0) {
        mob_error_errno(err, "cannot start %s", argv[0]);
        close(fds[0]);
    }
    close(fds[1]);
    *ret_out = fds[0];
    return pid;
}
