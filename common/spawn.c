/* SPDX-License-Identifier: Apache-2.0 */
/* spawn.c -- starting a process by clone(CLONE_VM | CLONE_VFORK).
 *
 *   parent: block all signals -> clone -> (sleeps until the child has execed or ended) -> unblock -> look at child.error
 *   child:  on a stack of its own, in the parent's memory: handlers to default -> group, death signal -> descriptors ->
 *           unblock -> exec; a failure is noted in child.error, which is the parent's memory
 *
 * The child uses system calls alone, by their numbers where a libc or a sanitizer keeps books on them: what it would note there
 * would be noted for the parent. All other threads of the parent go on meanwhile.
 */
#include "common/spawn.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>


#define STACK_SIZE (64u << 10)
#define FD_HIGH 256                     /* descriptors wait above it until each `to` is free */
#define KERNEL_SIGNALS 64
#define CHILD_CODE __attribute__((no_sanitize("address"), no_sanitize("thread"), no_sanitize("undefined")))

struct child {
    const struct mob_spawn_plan *plan;
    pid_t parent;
    int fds[MOB_SPAWN_FDS_MAX];
    int program;                        /* the executable's descriptor, or -1 */
    const char *volatile failed;        /* what failed, or NULL */
    volatile int error;
};

CHILD_CODE static int give_up(struct child *c, const char *what)
{
    c->error = errno;
    c->failed = what;
    _exit(127);
}

CHILD_CODE static void reset_handlers(void)
{
    static const uint64_t defaults[8];  /* a struct sigaction of the kernel: SIG_DFL, no flags, empty mask */

    for (int s = 1; s <= KERNEL_SIGNALS; s++)
        syscall(SYS_rt_sigaction, s, defaults, NULL, sizeof(uint64_t));
}

CHILD_CODE static void bind_to_parent(struct child *c)
{
    const struct mob_spawn_plan *plan = c->plan;

    if (plan->new_session && syscall(SYS_setsid) < 0)
        give_up(c, "starting a session");
    if (plan->new_group && !plan->new_session && syscall(SYS_setpgid, 0, 0) < 0)
        give_up(c, "starting a process group");
    if (plan->adopts && syscall(SYS_prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
        give_up(c, "becoming the parent of orphans");
    if (plan->death_signal == 0)
        return;
    if (syscall(SYS_prctl, PR_SET_PDEATHSIG, plan->death_signal, 0, 0, 0) < 0)
        give_up(c, "asking for the death signal");
    if (!plan->new_pid_namespace && syscall(SYS_getppid) != c->parent)
        _exit(127);                     /* it died before we asked: nobody reads why */
}

/* First out of the way of each other, then to their places; whatever else is open is closed by exec. */
CHILD_CODE static void place_descriptors(struct child *c)
{
    const struct mob_spawn_plan *plan = c->plan;

    c->program = -1;
    if (plan->path == NULL && (c->program = (int)syscall(SYS_fcntl, plan->fd, F_DUPFD_CLOEXEC, FD_HIGH)) < 0)
        give_up(c, "passing on the executable");
    for (size_t i = 0; i < plan->fd_count; i++)
        if ((c->fds[i] = (int)syscall(SYS_fcntl, plan->fds[i].from, F_DUPFD_CLOEXEC, FD_HIGH)) < 0)
            give_up(c, "passing on a descriptor");
    syscall(SYS_close_range, 0, ~0u, CLOSE_RANGE_CLOEXEC);      /* an older kernel: the others are CLOEXEC by our own rule */
    for (size_t i = 0; i < plan->fd_count; i++)
        if (syscall(SYS_dup3, c->fds[i], plan->fds[i].to, 0) < 0)
            give_up(c, "passing on a descriptor");
}

CHILD_CODE static int run_child(void *arg)
{
    struct child *c = arg;
    const struct mob_spawn_plan *plan = c->plan;
    uint64_t no_signals = 0;

    reset_handlers();
    bind_to_parent(c);
    if (plan->folder != NULL && syscall(SYS_chdir, plan->folder) < 0)
        give_up(c, "entering the folder");
    place_descriptors(c);
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &no_signals, NULL, sizeof(no_signals));
    if (plan->path != NULL)
        syscall(SYS_execve, plan->path, plan->argv, plan->envp);
    else
        syscall(SYS_execveat, c->program, "", plan->argv, plan->envp, AT_EMPTY_PATH);
    return give_up(c, "executing");
}

static int start(struct child *c, void *stack, int *ret_pidfd)
{
    int flags = CLONE_VM | CLONE_VFORK | SIGCHLD | (c->plan->new_pid_namespace ? CLONE_NEWPID : 0);
    int pidfd = -1, pid;

    pid = clone(run_child, (char *)stack + STACK_SIZE, flags | CLONE_PIDFD, c, &pidfd);
    if (pid < 0 && errno == EINVAL) {   /* a kernel before 5.2 */
        pidfd = -1;
        pid = clone(run_child, (char *)stack + STACK_SIZE, flags, c);
    }
    *ret_pidfd = pidfd;
    return pid;
}

static int judge(const struct child *c, pid_t pid, int pidfd, struct mob_error *err)
{
    const struct mob_spawn_plan *plan = c->plan;

    if (pid < 0 && errno == EPERM && plan->new_pid_namespace)
        return mob_error_set(err, MOB_ERR_DENIED, "this user may not make a process namespace");
    if (pid < 0)
        return mob_error_errno(err, "starting a process");
    if (c->failed == NULL)
        return 0;
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    if (pidfd >= 0)
        close(pidfd);
    errno = c->error;
    return mob_error_errno(err, "starting %s: %s", plan->path != NULL ? plan->path : plan->argv[0], c->failed);
}

int mob_spawn(const struct mob_spawn_plan *plan, pid_t *ret_pid, int *ret_pidfd, struct mob_error *err)
{
    struct child c = { .plan = plan, .parent = getpid() };
    sigset_t all, before;
    int pid, pidfd, saved;
    void *stack;

    assert(plan->fd_count <= MOB_SPAWN_FDS_MAX);
    stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (stack == MAP_FAILED)
        return mob_error_errno(err, "memory to start a process");
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid = start(&c, stack, &pidfd);
    saved = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    munmap(stack, STACK_SIZE);
    errno = saved;
    if (judge(&c, pid, pidfd, err) < 0)
        return -1;
    *ret_pid = pid;
    *ret_pidfd = pidfd;
    return 0;
}
