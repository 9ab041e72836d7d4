/* SPDX-License-Identifier: Apache-2.0 */
/* launch.c -- one daemon, from the search for its program to its first word.
 *
 *   caller --clone(VM, VFORK)--> middle: setsid --clone(VM, VFORK)--> daemon: exec
 *      |                            ends as soon as the daemon has exec'ed or failed; reaped by the caller by its pid
 *      '-- reads the ready pipe until a line, its end, or the time-out
 *
 * Both clones share the caller's memory and stop it until exec: nothing is copied, however large the caller is. Between clone and
 * exec only system calls are made.
 */
#include "common/launch.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/identity.h"
#include "common/mem.h"

#define LAUNCH_STACK (32 * 1024)
#define LAUNCH_OPTIONS_MAX 64
#define LAUNCH_LINE_MAX 4096
#define READY_FD 3
#define PRIVATE_FD 4

/* -- where the program is ---------------------------------------------------------------------------------------------- */

static bool executable_in(const char *folder, size_t length, const char *daemon, char *path, unsigned size)
{
    if (length == 0 || (unsigned)snprintf(path, size, "%.*s/%s", (int)length, folder, daemon) >= size)
        return false;
    return access(path, X_OK) == 0;
}

static bool beside(const char *file, const char *from_there, const char *daemon, char *path, unsigned size)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(file, '/');

    if (slash == NULL || snprintf(folder, sizeof folder, "%.*s%s", (int)(slash - file), file, from_there) >= (int)sizeof folder)
        return false;
    return executable_in(folder, strlen(folder), daemon, path, size);
}

static bool on_path(const char *daemon, char *path, unsigned size)
{
    const char *at = getenv("PATH");

    while (at != NULL && *at != '\0') {
        size_t length = strcspn(at, ":");
        if (executable_in(at, length, daemon, path, size))
            return true;
        at += length + (at[length] == ':');
    }
    return false;
}

static int find_program(const char *daemon, char *path, unsigned size, struct mob_error *err)
{
    char self[PATH_MAX];
    const char *bin = getenv("MOBULA_BIN");
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    Dl_info here;

    if (bin != NULL && executable_in(bin, strlen(bin), daemon, path, size))
        return 0;
    self[n > 0 ? n : 0] = '\0';
    if (beside(self, "", daemon, path, size))
        return 0;
    if (dladdr((void *)find_program, &here) != 0 && here.dli_fname != NULL
        && (beside(here.dli_fname, "/../bin", daemon, path, size) || beside(here.dli_fname, "", daemon, path, size)))
        return 0;
    if (on_path(daemon, path, size))
        return 0;
    return mob_error_set(err, MOB_ERR_SYSTEM, "%s was found neither beside this program nor on PATH; set MOBULA_BIN to its folder",
                         daemon);
}

/* -- the two clones ---------------------------------------------------------------------------------------------------- */

struct start {
    const char *path;
    char *const *argv;
    int ready_fd, private_fd, log_fd, null_fd;
    volatile int error;                 /* of exec; shared memory with the caller */
    volatile pid_t pid;                 /* the daemon's */
    char *stack;                        /* of the daemon until exec */
};

/* Descriptors first go above all targets, so that no dup2 closes one that is still needed. A daemon keeps nothing else of its caller,
 * whose pipes would stay open as long as it lives. */
static void install(int fds[5])
{
    for (int i = 0; i < 5; i++)
        if (fds[i] >= 0)
            fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 16);
    for (int i = 0; i < 5; i++)
        if (fds[i] >= 0)
            dup2(fds[i], i);
        else
            close(i);
    syscall(SYS_close_range, 5, ~0u, 0);        /* an older kernel: all that is ours is CLOEXEC anyway */
}

static int daemon_main(void *arg)
{
    struct start *s = arg;
    int fds[5] = { s->null_fd, s->null_fd, s->log_fd, s->ready_fd, s->private_fd };
    sigset_t none;

    for (int signal_number = 1; signal_number < NSIG; signal_number++)
        signal(signal_number, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    install(fds);
    execv(s->path, s->argv);
    s->error = errno;
    return 127;
}

static int middle_main(void *arg)
{
    struct start *s = arg;

    setsid();
    s->pid = clone(daemon_main, s->stack + LAUNCH_STACK, CLONE_VM | CLONE_VFORK | SIGCHLD, s);
    if (s->pid < 0)
        s->error = errno;
    return 0;
}

/* Returns 0, or the errno of what failed. */
static int double_clone(struct start *s)
{
    char *stacks = malloc(2 * LAUNCH_STACK);
    sigset_t all, before;
    pid_t middle;
    int failed;

    if (stacks == NULL)
        return ENOMEM;
    s->stack = stacks + LAUNCH_STACK;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);        /* no handler of the caller may run on our stacks */
    middle = clone(middle_main, stacks + LAUNCH_STACK, CLONE_VM | CLONE_VFORK, s);     /* no signal at its end: __WCLONE */
    failed = middle < 0 ? errno : s->error;
    if (middle > 0)
        while (waitpid(middle, NULL, __WCLONE) < 0 && errno == EINTR)
            continue;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    free(stacks);
    return failed;
}

/* -- its first word ---------------------------------------------------------------------------------------------------- */

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int read_line(int fd, const char *daemon, int64_t timeout_ms, char *line, struct mob_error *err)
{
    int64_t end = now_ms() + timeout_ms;
    size_t have = 0;

    for (;;) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        int64_t left = end - now_ms();
        ssize_t n;

        if (left <= 0)
            return mob_error_set(err, MOB_ERR_TIMEOUT, "%s did not serve within %.1f s; its log says more", daemon,
                                 (double)timeout_ms / 1000);
        if (poll(&p, 1, (int)left) <= 0)
            continue;
        n = read(fd, line + have, LAUNCH_LINE_MAX - 1 - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return mob_error_set(err, MOB_ERR_SYSTEM, "%s ended before it served; its log says why", daemon);
        have += (size_t)n;
        line[have] = '\0';
        if (memchr(line, '\n', have) != NULL)
            return 0;
        if (have == LAUNCH_LINE_MAX - 1)
            return mob_error_set(err, MOB_ERR_PROTOCOL, "%s said too much at its start", daemon);
    }
}

static int understand(const char *daemon, const char *line, struct mob_launched *ret, struct mob_error *err)
{
    json_t *said = json_loads(line, 0, NULL);
    const char *ip = "", *cluster = "", *socket = "", *why = "no reason given";
    int ok = 0, port = 0, node = 0, code = MOB_ERR_SYSTEM;

    if (said == NULL || json_unpack(said, "{s:b, s?s, s?s, s?s, s?i, s?i, s?s, s?i}", "ok", &ok, "ip", &ip, "cluster", &cluster,
                                    "socket", &socket, "port", &port, "node", &node, "error", &why, "code", &code) < 0) {
        json_decref(said);
        return mob_error_set(err, MOB_ERR_PROTOCOL, "%s answered what is not understood: is it of another version?", daemon);
    }
    if (ok) {
        memset(ret, 0, sizeof *ret);
        mob_copy(ret->ip, sizeof ret->ip, ip);
        mob_copy(ret->cluster, sizeof ret->cluster, cluster);
        mob_copy(ret->socket, sizeof ret->socket, socket);
        ret->port = (uint32_t)port;
        ret->node = (uint32_t)node;
    } else {
        mob_error_set(err, code, "%s", why);
    }
    json_decref(said);
    return ok ? 0 : -1;
}

/* -- all of it --------------------------------------------------------------------------------------------------------- */

static void arguments(const char *argv[LAUNCH_OPTIONS_MAX], const char *daemon, const struct mob_launch *l)
{
    size_t n = 0;

    argv[n++] = daemon;
    for (const char *const *option = l->options; option != NULL && *option != NULL && n < LAUNCH_OPTIONS_MAX - 5; option++)
        argv[n++] = *option;
    argv[n++] = "--ready-fd";
    argv[n++] = "3";
    if (l->private_fd >= 0) {
        argv[n++] = "--private-fd";
        argv[n++] = "4";
    }
    argv[n] = NULL;
}
_Static_assert(READY_FD == 3 && PRIVATE_FD == 4, "as in arguments() and install()");

/* Its first word; a daemon that does not give it must not stay. */
static int hear(const char *daemon, int fd, pid_t pid, const struct mob_launch *l, struct mob_launched *ret, struct mob_error *err)
{
    struct mob_identity identity;
    bool known = mob_identity_of(pid, &identity, NULL) == 0;
    char line[LAUNCH_LINE_MAX];

    if (read_line(fd, daemon, l->timeout_ms, line, err) == 0 && understand(daemon, line, ret, err) == 0)
        return 0;
    if (known)
        mob_identity_signal(&identity, SIGTERM, NULL);
    return -1;
}

int mob_launch(const char *daemon, const struct mob_launch *l, struct mob_launched *ret, struct mob_error *err)
{
    const char *argv[LAUNCH_OPTIONS_MAX];
    char path[PATH_MAX];
    int ready[2], failed, result = -1;
    struct start s = { .path = path, .argv = (char *const *)argv, .private_fd = l->private_fd, .log_fd = -1 };

    if (find_program(daemon, path, sizeof path, err) < 0)
        return -1;
    if (pipe2(ready, O_CLOEXEC) < 0)
        return mob_error_errno(err, "no pipe to start %s", daemon);
    arguments(argv, daemon, l);
    s.ready_fd = ready[1];
    s.null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (l->log_file != NULL)
        s.log_fd = open(l->log_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (s.log_fd < 0)
        s.log_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    failed = double_clone(&s);
    close(ready[1]);
    close(s.null_fd);
    close(s.log_fd);
    if (failed != 0)
        mob_error_set(err, MOB_ERR_SYSTEM, "cannot start %s: %s", path, strerror(failed));
    else
        result = hear(daemon, ready[0], s.pid, l, ret, err);
    close(ready[0]);
    return result;
}

void mob_launch_address(char *ret, size_t size, const char *ip, uint32_t port)
{
    snprintf(ret, size, strchr(ip, ':') != NULL ? "[%s]:%u" : "%s:%u", ip, port);
}
