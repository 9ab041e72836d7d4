/* SPDX-License-Identifier: Apache-2.0 */
/* guard.c -- no process of ours is left, whatever is killed.
 *
 *   guard --> raylet --> workers --> what they start
 *
 * The guard has no state and does nothing but wait: for the raylet's end, for a signal, or for the end of the driver whose private
 * cluster this is (private_fd). On the last two it asks the raylet to end, and kills it after a grace: a raylet that hangs or was
 * stopped is no reason to stay. Whoever dies takes those below along:
 *   - a worker dies with the raylet, the raylet with the guard (PR_SET_PDEATHSIG);
 *   - with a PID namespace the raylet is its process 1: its end is the end of all in it, by the kernel;
 *   - without, orphans become the guard's (PR_SET_CHILD_SUBREAPER), and it kills them when the raylet has ended.
 * What is not promised: without namespaces, when guard and raylet are both killed, what workers have started lives on.
 *
 * The raylet's exit code is the guard's. It is started again only if it says so: it was declared dead, or its session folder was removed,
 * and it joins as a new node. Until it has a number, which may take as long as the head is away, the record of the node before stands for
 * it, without a socket: or `mobula stop` would not find it.
 * Files of the session are removed here, so that they are gone even when the raylet was killed.
 */
#include "raylet/guard.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "common/loop.h"
#include "common/mem.h"
#include "raylet/family.h"

#define ROUND_NS 5000000                /* between two looks for descendants that are still dying */

/* -- descendants ------------------------------------------------------------------------------------------------------------------ */

static bool descends(const struct mob_relative *list, size_t count, size_t i, pid_t from)
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

/* Kill every descendant of this process and wait for them (a subreaper). */
static void kill_descendants(void)
{
    struct timespec round = { 0, ROUND_NS };
    bool any_left = true;

    while (any_left) {
        size_t count;
        struct mob_relative *list = mob_family_list(&count);

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

/* -1: it runs. Orphans that are ours now are reaped on the way. */
static int exit_code(pid_t pid)
{
    int status;
    pid_t ended;

    while ((ended = waitpid(-1, &status, WNOHANG)) > 0) {
        if (ended == pid && WIFSIGNALED(status))
            mob_error_log("the raylet was ended by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
        if (ended == pid)
            return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    return -1;
}

/* Was it told to end, by a signal or by the end of whose private cluster this is? Waits for either, or for a child's end. */
static bool wait_for_word(int signal_fd, int private_fd, int patience_ms)
{
    struct pollfd p[] = { { .fd = signal_fd, .events = POLLIN }, { .fd = private_fd, .events = POLLIN } };
    struct signalfd_siginfo info;
    bool told = false;

    if (poll(p, MOB_COUNT(p), patience_ms) <= 0)
        return false;
    while (read(signal_fd, &info, sizeof info) == sizeof info)
        told |= info.ssi_signo != SIGCHLD;
    return told || p[1].revents != 0;
}

/* A raylet that hangs does not outlive its grace. */
static int wait_for_raylet(pid_t pid, int signal_fd, int private_fd, int grace_ms)
{
    bool told = false, killed = false;
    int64_t told_ns = 0;
    int code;

    while ((code = exit_code(pid)) < 0) {
        int64_t left_ms = !told || killed ? -1 : grace_ms - (mob_now_ns() - told_ns) / 1000000;

        if (told && !killed && left_ms <= 0) {
            mob_error_log("the raylet did not end within %d ms and is killed", grace_ms);
            kill(pid, SIGKILL);
            killed = true;
            left_ms = -1;
        }
        if (!wait_for_word(signal_fd, told ? -1 : private_fd, (int)left_ms))
            continue;
        kill(pid, SIGTERM);
        kill(pid, SIGCONT);             /* a stopped one hears it, too */
        if (!told)
            told_ns = mob_now_ns();     /* a repeat does not restart the grace */
        told = true;
    }
    return told && code == MOB_GUARD_AGAIN ? 0 : code;
}

/* lock: on the session of the node before, or -1. */
static void clear_away(const struct mob_guard_notes *notes, int lock)
{
    if (notes->session[0] != '\0') {
        unlink(notes->record);
        unlink(notes->socket);
        mob_paths_remove(notes->scratch, NULL);
        mob_paths_leave(notes->session, -1);    /* the raylet's lock ended with it */
    }
    if (lock >= 0) {
        unlink(notes->before);
        mob_paths_leave(notes->before_session, lock);
    }
}

/* The raylet has ended and joins again: all that is left of the node that it was is its record, which can be signalled and not used, in the
 * session where it was, made anew if somebody has removed that. Returns a lock on it, or -1. */
static int keep_record(struct mob_guard_notes *notes, int lock)
{
    struct mob_guard_notes next = { .guard_pid = notes->guard_pid };
    char run[MOB_PATH_SIZE];
    int next_lock = -1;

    if (notes->session[0] != '\0' && mob_paths_run(run, NULL) == 0 && mob_paths_enter(notes->session, &next_lock, NULL) == 0) {
        mob_copy(next.before, sizeof next.before, notes->record);
        mob_copy(next.before_session, sizeof next.before_session, notes->session);
        notes->said.socket[0] = notes->record[0] = '\0';
        if (mob_record_write(next.before, &notes->said, NULL) < 0)
            mob_warn("nobody will find this raylet until it has joined: cannot write %s", next.before);
    }
    clear_away(notes, lock);
    *notes = next;
    return next_lock;
}

int mob_guard_run(int (*raylet)(void *arg, struct mob_guard_notes *notes, int first), void *arg, int ready_fd, int private_fd,
                  int grace_ms)
{
    struct mob_guard_notes *notes = mmap(NULL, sizeof *notes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    sigset_t signals, before;
    int code, signal_fd, lock = -1;

    assert(notes != MAP_FAILED);
    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    sigprocmask(SIG_BLOCK, &signals, &before);
    signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    assert(signal_fd >= 0);
    notes->guard_pid = getpid();
    for (int first = 1;; first = 0) {
        pid_t pid = start_raylet(raylet, arg, notes, first, &before);
        if (pid < 0) {
            mob_error_log("cannot start the raylet: %s", strerror(errno));
            return 1;
        }
        if (first && ready_fd >= 0)
            close(ready_fd);            /* who waits for the raylet's word sees its end with the raylet */
        code = wait_for_raylet(pid, signal_fd, private_fd, grace_ms);
        kill_descendants();
        if (code != MOB_GUARD_AGAIN) {
            clear_away(notes, lock);
            return code;
        }
        lock = keep_record(notes, lock);
        mob_warn("the raylet joins again as a new node");
    }
}
