/* SPDX-License-Identifier: Apache-2.0 */
/* reap.c -- the ends of workers, of their templates, and of strangers.
 *
 * SIGCHLD, not a pidfd a worker: the raylet is the parent of all its workers, so a pid stays theirs until it is reaped here; it works on
 * every kernel; and as process 1 of its namespace the raylet must reap orphans that it never started, which only SIGCHLD announces.
 *
 * Each worker adopts what its tasks leave behind (PR_SET_CHILD_SUBREAPER), so a child of ours that is no worker is the orphan of a worker
 * that died: it is killed, and so are its children, which come to us then. No descendant of a task outlives its job.
 *
 * A worker that was just forked (fork.c) is a stranger until its template's word of it is read: while one is asked, none is killed.
 *
 * A dead worker is looked at (WNOWAIT) with its usage of memory and CPU, its process group is killed while its pid still names it, and
 * its pipes and its socket are read to the end: the death certificate. Then a thread reaps it, and the next one is looked at. A thread,
 * because reaping may take seconds, in which this loop would send no beat: the kernel removes the process from each mounted /proc, and
 * if another process is just reading one of these entries and gets no CPU (it is nice, and the machine is busy), the kernel spins until
 * that one goes on.
 */
#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "raylet/family.h"
#include "raylet/fork.h"
#include "raylet/resident.h"

#define STRANGERS_CALM 8

static int64_t cpu_ns(const struct rusage *use)
{
    return (use->ru_utime.tv_sec + use->ru_stime.tv_sec) * INT64_C(1000000000)
         + (use->ru_utime.tv_usec + use->ru_stime.tv_usec) * INT64_C(1000);
}

/* What its status does not say. */
static void look_closer(struct mob_resident *r, struct mob_exit *exit, char *core, size_t size)
{
    if (!WIFSIGNALED(exit->status))
        return;
    if (WTERMSIG(exit->status) == SIGKILL && (!r->killed || r->late))
        exit->out_of_memory = mob_coroner_out_of_memory(&r->shell->coroner);
    if (WCOREDUMP(exit->status)) {
        mob_coroner_core("", r->pid, WTERMSIG(exit->status), core, size);
        exit->core = core;
    }
}

static void bury(struct mob_resident *r, int status, const struct rusage *use)
{
    struct mob_exit exit = { .status = status, .late = r->late };
    char core[512];

    kill(-r->pid, SIGKILL);             /* what it started goes with it */
    exit.last_lines = mob_output_finish(r->output);
    exit.peak_rss_bytes = (int64_t)use->ru_maxrss * 1024;
    exit.cpu_ns = cpu_ns(use);
    look_closer(r, &exit, core, sizeof core);
    mob_debug("worker %u (pid %u) ended with status 0x%x", r->number, r->shown_pid, (unsigned)exit.status);
    mob_map_remove(&r->shell->residents_by_pid, (uint64_t)r->pid);
    r->pid = 0;
    mob_resident_over(r, &exit);
}

/* As of waitpid(). */
static int status_of(const siginfo_t *info)
{
    if (info->si_code == CLD_EXITED)
        return W_EXITCODE(info->si_status, 0);
    return W_EXITCODE(0, info->si_status) | (info->si_code == CLD_DUMPED ? WCOREFLAG : 0);
}

/* Buries one that has ended, and leaves it to be reaped. 0: nobody has ended. */
static pid_t bury_one(struct mob_shell *s, int wait)
{
    siginfo_t info = { 0 };
    struct rusage use;

    /* The system call, as that of the C library has no usage. */
    if (syscall(SYS_waitid, P_ALL, 0, &info, WEXITED | WNOWAIT | wait, &use) < 0 || info.si_pid == 0)
        return 0;
    if (mob_map_get(&s->residents_by_pid, (uint64_t)info.si_pid) == NULL)
        mob_forks_read(s->forks);       /* it may be new */
    struct mob_resident *r = mob_map_get(&s->residents_by_pid, (uint64_t)info.si_pid);
    struct mob_fork *f = mob_fork_find(s->forks, info.si_pid);
    if (r != NULL)
        bury(r, status_of(&info), &use);
    else if (f != NULL)
        mob_fork_bury(f, status_of(&info));
    return info.si_pid;
}

static bool is_stranger(struct mob_shell *s, pid_t child)
{
    return mob_map_get(&s->residents_by_pid, (uint64_t)child) == NULL && mob_fork_find(s->forks, child) == NULL;
}

/* Many may fork faster than they are killed one by one. As process 1 we can stop all of the namespace by one call, and let those go on that
 * are ours. Then the strangers are killed, whose children become ours and are strangers, until none is left; then all others go on. */
void mob_reap_strangers(struct mob_shell *s)
{
    size_t count, strangers = 0;
    bool now_frozen = false;

    if (mob_programs_checking(s->programs) > 0)
        return;                         /* a child of its own, in another thread: comes again when that is done */
    s->strangers_wait = mob_forks_busy(s->forks);
    if (s->strangers_wait)
        return;                         /* comes again with the last answer, or when the template ends */
    pid_t *children = mob_family_children(s->residents_by_pid.count + mob_forks_count(s->forks), &count);
    for (size_t i = 0; i < count; i++)
        strangers += is_stranger(s, children[i]);
    if (!s->frozen && strangers > STRANGERS_CALM)
        now_frozen = s->frozen = getpid() == 1 && kill(-1, SIGSTOP) == 0;
    for (size_t i = 0; i < count; i++) {
        if (is_stranger(s, children[i]))
            kill(children[i], SIGKILL);
        else if (now_frozen)
            kill(children[i], SIGCONT);
    }
    free(children);
    if (s->frozen && strangers == 0) {
        s->frozen = false;
        kill(-1, SIGCONT);
    }
}

/* One at a time: the rest of the loop has its turns in between. */
static void reap_next(struct mob_shell *s)
{
    if (s->dead != 0)
        return;                         /* comes again when it is reaped */
    if ((s->dead = bury_one(s, WNOHANG)) != 0)
        uv_sem_post(&s->dead_there);
    else
        mob_reap_strangers(s);
}

static void on_reaped(struct mob_posted *posted)
{
    struct mob_shell *s = MOB_CONTAINER(posted, struct mob_shell, reaped);

    s->dead = 0;
    reap_next(s);
}

/* The loop's is all but `dead`, which is this thread's from one post to the other. */
static void *reaper(void *shell)
{
    struct mob_shell *s = shell;

    for (;;) {
        uv_sem_wait(&s->dead_there);
        waitpid(s->dead, NULL, 0);
        mob_loop_post(s->loop, &s->reaped);
    }
    return NULL;
}

static void start_reaper(struct mob_shell *s)
{
    pthread_t thread;
    sigset_t all, before;
    int failed;

    s->reaped.run = on_reaped;
    mob_list_init(&s->reaped.link);
    failed = uv_sem_init(&s->dead_there, 0);
    assert(failed == 0);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    failed = pthread_create(&thread, NULL, reaper, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    assert(failed == 0);
    pthread_detach(thread);
}

static void on_child(uv_signal_t *signal, int number)
{
    (void)number;
    reap_next(MOB_CONTAINER(signal, struct mob_shell, child_signal));
}

void mob_reap_start(struct mob_shell *s)
{
    mob_coroner_init(&s->coroner, "");
    prctl(PR_SET_CHILD_SUBREAPER, 1);   /* as process 1 it is one anyway */
    start_reaper(s);
    uv_signal_init(mob_loop_uv(s->loop), &s->child_signal);
    uv_signal_start(&s->child_signal, on_child, SIGCHLD);
}

void mob_reap_all(struct mob_shell *s)
{
    struct mob_resident *r;
    size_t at = 0;
    pid_t dead;

    while ((r = mob_map_next(&s->residents_by_pid, &at, NULL)) != NULL)
        kill(-r->pid, SIGKILL);
    mob_forks_kill_all(s->forks);
    while (s->residents_by_pid.count + mob_forks_count(s->forks) > 0 && (dead = bury_one(s, 0)) != 0)
        waitpid(dead, NULL, 0);
}
