/* SPDX-License-Identifier: Apache-2.0 */
/* script.c -- can this machine run that script? Asked once for one that came from another node, before it is a worker.
 *
 * What an interpreter of another version, or one that lacks a module, would say would come from a worker that dies at its start, again
 * and again. So the script is asked first, by itself: it knows what it needs. */
#include "raylet/script.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/loop.h"
#include "common/mem.h"

#define CHECK_NS INT64_C(10000000000)
#define SAID_MAX 1024

bool mob_script_is(int fd)
{
    char start[2];

    return pread(fd, start, sizeof start, 0) == sizeof start && memcmp(start, "#!", sizeof start) == 0;
}

/* "#!/usr/bin/python3 -E": the path. The kernel reads no more than 255 bytes of the line. */
static int interpreter_of(const char *path, char *ret, size_t size, struct mob_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, ret, size - 1);
    char *name = ret + 2;

    if (fd >= 0)
        close(fd);
    ret[n > 0 ? n : 0] = '\0';
    if (n < 3 || memcmp(ret, "#!", 2) != 0)
        return mob_error_set(err, MOB_ERR_INVALID, "the script %s names no interpreter", path);
    name += strspn(name, " \t");
    name[strcspn(name, " \t\n")] = '\0';
    memmove(ret, name, strlen(name) + 1);
    return 0;
}

static pid_t start_check(const char *path, const char *library_path, int out)
{
    char *argv[] = { (char *)path, NULL }, *libraries = mob_printf("LD_LIBRARY_PATH=%s", library_path);
    char *home = mob_printf("HOME=%s", getenv("HOME") != NULL ? getenv("HOME") : "/"), *paths = mob_printf("PATH=%s", getenv("PATH"));
    char *environment[] = { libraries, "MOBULA_CHECK=1", home, paths, NULL };
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
    errno = posix_spawn(&pid, path, &actions, &attributes, argv, environment);
    if (errno != 0)
        pid = -1;
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    free(libraries);
    free(home);
    free(paths);
    return pid;
}

/* Its first line, or all that it said until its end or the deadline. */
static void read_line(int fd, char *text, size_t size)
{
    int64_t deadline = mob_now_ns() + CHECK_NS;
    size_t have = 0;

    for (;;) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        int64_t left_ms = (deadline - mob_now_ns()) / 1000000;
        ssize_t n = -1;

        if (left_ms > 0 && have < size - 1 && poll(&p, 1, (int)left_ms) > 0)
            n = read(fd, text + have, size - 1 - have);
        if (n <= 0)
            break;
        have += (size_t)n;
        if (memchr(text, '\n', have) != NULL)
            break;
    }
    text[have] = '\0';
    text[strcspn(text, "\n")] = '\0';
}

int mob_script_check(const char *path, const char *library_path, const char *host, struct mob_error *err)
{
    char interpreter[PATH_MAX], said[SAID_MAX];
    int fds[2];

    if (interpreter_of(path, interpreter, sizeof interpreter, err) < 0)
        return -1;
    if (access(interpreter, X_OK) < 0)
        return mob_error_set(err, MOB_ERR_INVALID, "node %s cannot run the program: its interpreter %s is not there; install it, or start "
                             "the driver with one that all nodes have", host, interpreter);
    if (pipe2(fds, O_CLOEXEC) < 0)
        return mob_error_errno(err, "cannot make a pipe");
    pid_t pid = start_check(path, library_path, fds[1]);
    close(fds[1]);
    if (pid < 0) {
        close(fds[0]);
        return mob_error_errno(err, "cannot start %s", path);
    }
    read_line(fds[0], said, sizeof said);
    close(fds[0]);
    kill(-pid, SIGKILL);                /* it has said what it had to */
    waitpid(pid, NULL, 0);              /* the loop may have reaped it already */
    if (strcmp(said, "fits") == 0)
        return 0;
    if (said[0] == '\0')
        return mob_error_set(err, MOB_ERR_INVALID, "node %s: %s did not say whether it can run the program", host, interpreter);
    return mob_error_set(err, MOB_ERR_INVALID, "node %s cannot run the program with %s: %s", host, interpreter, said);
}
