/* SPDX-License-Identifier: Apache-2.0 */
/* guard.c -- no process of ours is left, whatever is killed.
 *
 *   guard --> raylet --> workers --> what they start
 *
 * The guard has no state and does nothing but wait for the raylet. Whoever dies takes those below along:
 *   - a worker dies with the raylet, the raylet with the guard (PR_SET_PDEATHSIG);
 *   - with a PID namespace the raylet is its process 1: its end is the end of all in it, by the kernel;
 *   - without, orphans become the guard's (PR_SET_CHILD_SUBREAPER), and it kills them when the raylet has ended.
 * What is not promised: without namespaces, when guard and raylet are both killed, what workers have started lives on.
 *
 * The raylet's exit code is the guard's. It is started again only if it says so: it was declared dead, and joins as a new node.
 * Files of the session are removed here, so that they are gone even when the raylet was killed.
 */
#include "raylet/guard.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "common/mem.h"

#define ROUND_NS 5000000                /* between two looks for descendants that are still dying */

/* -- descendants ------------------------------------------------------------------------------------------------------------------ */

struct family {
    pid_t pid, parent;
};

static pid_t parent_of(const char *pid_text)
{
    char path[64], text[512];
    int parent = 0;

    snprintf(path, sizeof path, "/proc/%.20s/stat", pid_text);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = '\0';
    const char *end = strrchr(text, ')');       /* the name before it may hold anything */
    return end != NULL && sscanf(end, ") %*c %d", &parent) == 1 ? parent : 0;
}

/* All processes and their parents; the caller frees it. */
static struct family *list_processes(size_t *ret_count)
{
    struct family *list = NULL;
    size_t count = 0;
    DIR *proc = opendir("/proc");
    struct dirent *entry;

    while (proc != NULL && (entry = readdir(proc)) != NULL) {
        int pid = atoi(entry->d_name);

        if (pid <= 0)
            continue;
        if (count % 256 == 0)
            list = mob_realloc(list, (count + 256) * sizeof *list);
        list[count].pid = pid;
        list[count++].parent = parent_of(entry->d_name);
    }
    if (proc != NULL)
        closedir(proc);
    *ret_count = count;
    return list;
}

static bool descends(const struct family *list, size_t count, size_t i, pid_t from)
{
    for (size_t depth = 0; depth < count; depth++) {
        pid_t parent = list[i].parent;

        if (parent == from)
            return true;
        for (i = 0; i < count && list[i].pid != parent; i++)
            ;
        if (i == count)
            return false;
    }
    return false;                       /* a list that changed while it was read */
}

void mob_guard_kill_descendants(void)
{
    struct timespec round = { 0, ROUND_NS };
    bool any_left = true;

    while (any_left) {
        size_t count;
        struct family *list = list_processes(&count);

        for (size_t i = 0; i < count; i++)
            if (descends(list, count, i, getpid()))
                kill(list[i].pid, SIGKILL);
        free(list);
        pid_t reaped;
        while ((reaped = waitpid(-1, NULL, WNOHANG)) > 0)
            ;
        /* As subreaper we become the parent of whatever outlives its own, so that no child is no descendant. */
        any_left = reaped == 0;
        if (any_left)
            nanosleep(&round, NULL);
    }
}

/* -- the raylet --------------------------------------------------------------------------------------------------------------------- */

/* The next child is process 1 of a new namespace. False: that is not allowed here. */
static bool enter_namespace(void)
{
    if (getenv("MOBULA_NO_PIDNS") != NULL)
        return false;
    int own = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
    if (own < 0)
        return false;
    /* Back to our own first: the one of a raylet before has ended with it. */
    bool entered = setns(own, CLONE_NEWPID) == 0 && unshare(CLONE_NEWPID) == 0;
    close(own);
    return entered;
}

/* In the child: end with the guard, even if it has ended before we asked for that. */
static void bind_to_guard(int alive_fd)
{
    char nothing;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (read(alive_fd, &nothing, 1) == 0)
        _exit(1);                       /* its end of the pipe is closed: it is gone */
    close(alive_fd);
}

static pid_t start_raylet(int (*raylet)(void *arg, struct mob_guard_notes *notes, int first), void *arg, struct mob_guard_notes *notes,
                          int first, const sigset_t *mask)
{
    int alive[2];

    if (pipe2(alive, O_CLOEXEC | O_NONBLOCK) < 0)
        return -1;
    if (!enter_namespace())
        prctl(PR_SET_CHILD_SUBREAPER, 1);
    pid_t pid = fork();
    if (pid == 0) {
        close(alive[1]);
        bind_to_guard(alive[0]);
        sigprocmask(SIG_SETMASK, mask, NULL);
        _exit(raylet(arg, notes, first));
    }
    close(alive[0]);                    /* alive[1] stays open as long as we live: it is what the child looks at */
    return pid;
}

static int wait_for_raylet(pid_t pid, const sigset_t *signals)
{
    int status, signal;

    for (;;) {
        pid_t ended;

        while ((ended = waitpid(-1, &status, WNOHANG)) > 0) {
            if (ended == pid && WIFSIGNALED(status))
                mob_error_log("the raylet was ended by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
            if (ended == pid)
                return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        }
        if (sigwait(signals, &signal) == 0 && signal != SIGCHLD)
            kill(pid, SIGTERM);
    }
}

static void clear_away(const struct mob_guard_notes *notes)
{
    char logs[MOB_PATH_SIZE + sizeof "/logs"];

    if (notes->session[0] == '\0')
        return;
    unlink(notes->record);
    unlink(notes->socket);
    mob_paths_remove(notes->scratch, NULL);
    snprintf(logs, sizeof logs, "%s/logs", notes->session);
    rmdir(logs);                        /* logs that are there stay, for people */
    rmdir(notes->session);
}

int mob_guard_run(int (*raylet)(void *arg, struct mob_guard_notes *notes, int first), void *arg, int ready_fd)
{
    struct mob_guard_notes *notes = mmap(NULL, sizeof *notes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    sigset_t signals, before;
    int code;

    assert(notes != MAP_FAILED);
    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    sigprocmask(SIG_BLOCK, &signals, &before);
    for (int first = 1;; first = 0) {
        memset(notes, 0, sizeof *notes);
        notes->guard_pid = getpid();
        pid_t pid = start_raylet(raylet, arg, notes, first, &before);
        if (pid < 0) {
            mob_error_log("cannot start the raylet: %s", strerror(errno));
            return 1;
        }
        if (first && ready_fd >= 0)
            close(ready_fd);            /* who waits for the raylet's word sees its end with the raylet */
        code = wait_for_raylet(pid, &signals);
        mob_guard_kill_descendants();
        clear_away(notes);
        if (code != MOB_GUARD_AGAIN)
            return code;
        mob_warn("the raylet was declared dead; it joins again as a new node");
    }
}
