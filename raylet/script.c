/* SPDX-License-Identifier: Apache-2.0 */
/* script.c -- can this machine run that script? Asked once for one that came from another node, before it is a worker.
 *
 * What an interpreter of another version, or one that lacks a module, would say would come from a worker that dies at its start, again
 * and again. So the script is asked first, by itself: it knows what it needs. */
#include "raylet/script.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/loop.h"
#include "common/mem.h"
#include "common/paths.h"
#include "raylet/asked.h"

#define CHECK_NS INT64_C(10000000000)
#define SAID_MAX 1024
#define FIRST_LINES_MAX 512
#define FORKS "# mobula: forks workers\n"

bool mob_script_is(int fd)
{
    char start[2];

    return pread(fd, start, sizeof start, 0) == sizeof start && memcmp(start, "#!", sizeof start) == 0;
}

bool mob_script_forks(const char *path)
{
    int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    char start[FIRST_LINES_MAX + 1];
    ssize_t n = fd < 0 ? -1 : read(fd, start, FIRST_LINES_MAX);
    const char *second;

    if (fd >= 0)
        close(fd);
    start[n > 0 ? n : 0] = '\0';
    return strncmp(start, "#!", 2) == 0 && (second = strchr(start, '\n')) != NULL && strncmp(second + 1, FORKS, sizeof FORKS - 1) == 0;
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

static pid_t start_check(const char *path, const char *library_path, int *ret_out, struct mob_error *err)
{
    char *argv[] = { (char *)path, NULL }, *libraries = mob_printf("LD_LIBRARY_PATH=%s", library_path);
    char *home = mob_printf("HOME=%s", getenv("HOME") != NULL ? getenv("HOME") : "/"), *paths = mob_printf("PATH=%s", getenv("PATH"));
    char *environment[] = { libraries, "MOBULA_CHECK=1", home, paths, NULL };
    pid_t pid = mob_asked_start(argv, environment, ret_out, err);

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
    pid_t pid;
    int out;

    if (interpreter_of(path, interpreter, sizeof interpreter, err) < 0)
        return -1;
    if (access(interpreter, X_OK) < 0)
        return mob_error_set(err, MOB_ERR_INVALID, "node %s cannot run the program: its interpreter %s is not there; install it, or start "
                             "the driver with one that all nodes have", host, interpreter);
    if ((pid = start_check(path, library_path, &out, err)) < 0)
        return -1;
    read_line(out, said, sizeof said);
    close(out);
    kill(-pid, SIGKILL);                /* it has said what it had to */
    waitpid(pid, NULL, 0);              /* the loop may have reaped it already */
    if (strcmp(said, "fits") == 0)
        return 0;
    if (said[0] == '\0')
        return mob_error_set(err, MOB_ERR_INVALID, "node %s: %s did not say whether it can run the program", host, interpreter);
    return mob_error_set(err, MOB_ERR_INVALID, "node %s cannot run the program with %s: %s", host, interpreter, said);
}

void mob_script_remove(const char *path)
{
    char *folder = mob_printf("%s.files", path);

    unlink(path);
    mob_paths_remove(folder, NULL);
    free(folder);
}
