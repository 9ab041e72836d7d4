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
 * A dead worker is looked at (WNOWAIT), its process group is killed while its pid still names it, its pipes and its socket are read to
 * the end, and it is reaped with its usage of memory and CPU: the death certificate.
 */
#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "raylet/family.h"
#include "raylet/fork.h"
#include "raylet/resident.h"

#define STRANGERS_CALM 8
#define TURN_NS INT64_C(100000000)

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

static void bury(struct mob_resident *r)
{
    struct mob_exit exit = { .late = r->late };
    struct rusage use;
    char core[512];

    kill(-r->pid, SIGKILL);             /* what it started goes with it */
    exit.last_lines = mob_output_finish(r->output);
    pid_t reaped = wait4(r->pid, &exit.status, 0, &use);
    assert(reaped == r->pid);
    exit.peak_rss_bytes = (int64_t)use.ru_maxrss * 1024;
    exit.cpu_ns = cpu_ns(&use);
    look_closer(r, &exit, core, sizeof core);
    mob_debug("worker %u (pid %u) ended with status 0x%x", r->number, r->shown_pid, (unsigned)exit.status);
    mob_map_remove(&r->shell->residents_by_pid, (uint64_t)r->pid);
    r->pid = 0;
    mob_resident_over(r, &exit);
}

/* False: nobody has ended. */
static bool reap_one(struct mob_shell *s, int wait)
{
    siginfo_t info = { 0 };

    if (waitid(P_ALL, 0, &info, WEXITED | WNOWAIT | wait) < 0 || info.si_pid == 0)
        return false;
    if (mob_map_get(&s->residents_by_pid, (uint64_t)info.si_pid) == NULL)
        mob_forks_read(s->forks);       /* it may be new */
    struct mob_resident *r = mob_map_get(&s->residents_by_pid, (uint64_t)info.si_pid);
    struct mob_fork *f = mob_fork_find(s->forks, info.si_pid);
    if (r != NULL)
        bury(r);
    else if (f != NULL)
        mob_fork_bury(f);
    else
        waitpid(info.si_pid, NULL, WNOHANG);
    return true;
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

static void reap_again(struct mob_posted *posted);

/* A burial looks at each object of the store. When many die at once, the rest of the loop has its turns in between. */
static void reap_some(struct mob_shell *s)
{
    int64_t until = mob_now_ns() + TURN_NS;

    while (reap_one(s, WNOHANG)) {
        if (mob_now_ns() < until)
            continue;
        if (!s->reaping_posted)
            mob_loop_post(s->loop, &s->reaping);
        s->reaping_posted = true;
        return;
    }
    mob_reap_strangers(s);
}

static void reap_again(struct mob_posted *posted)
{
    struct mob_shell *s = MOB_CONTAINER(posted, struct mob_shell, reaping);

    s->reaping_posted = false;
    reap_some(s);
}

static void on_child(uv_signal_t *signal, int number)
{
    (void)number;
    reap_some(MOB_CONTAINER(signal, struct mob_shell, child_signal));
}

void mob_reap_start(struct mob_shell *s)
{
    mob_coroner_init(&s->coroner, "");
    prctl(PR_SET_CHILD_SUBREAPER, 1);   /* as process 1 it is one anyway */
    s->reaping.run = reap_again;
    mob_list_init(&s->reaping.link);
    uv_signal_init(mob_loop_uv(s->loop), &s->child_signal);
    uv_signal_start(&s->child_signal, on_child, SIGCHLD);
}

void mob_reap_all(struct mob_shell *s)
{
    struct mob_resident *r;
    size_t at = 0;

    while ((r = mob_map_next(&s->residents_by_pid, &at, NULL)) != NULL)
        kill(-r->pid, SIGKILL);
    mob_forks_kill_all(s->forks);
    while (s->residents_by_pid.count + mob_forks_count(s->forks) > 0 && reap_one(s, 0))
        ;
}
