/* SPDX-License-Identifier: Apache-2.0 */
/* bad_reap.c -- to be preloaded: to reap a process that was killed takes until the file $BAD_REAP is there. Kernels let one wait so when
 * somebody else has the process's entries in /proc in hand, and gets no CPU. */
#include <poll.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

pid_t wait4(pid_t pid, int *ret_status, int options, struct rusage *ret_usage)
{
    const char *path = getenv("BAD_REAP");
    int status;
    pid_t reaped = (pid_t)syscall(SYS_wait4, pid, &status, options, ret_usage);

    while (reaped > 0 && WIFSIGNALED(status) && path != NULL && access(path, F_OK) != 0)
        poll(NULL, 0, 20);
    if (reaped > 0 && ret_status != NULL)
        *ret_status = status;
    return reaped;
}

pid_t waitpid(pid_t pid, int *ret_status, int options)
{
    return wait4(pid, ret_status, options, NULL);
}
