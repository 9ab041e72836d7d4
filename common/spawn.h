/* SPDX-License-Identifier: Apache-2.0 */
/* spawn.h -- start a process from a program that may have threads, handlers and much memory (a library is a guest): no page is copied,
 * no handler runs in between, no descriptor but the named ones is passed on. */
#ifndef MOB_COMMON_SPAWN_H
#define MOB_COMMON_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/error.h"

struct mob_spawn_fd {
    int from, to;                       /* `from` of ours becomes `to` there; each `to` once, below 256 */
};

struct mob_spawn_plan {
    const char *path;                   /* of the executable; NULL: it is the file behind `fd` */
    int fd;
    char *const *argv, *const *envp;
    const char *folder;                 /* to work in; NULL: ours */
    const struct mob_spawn_fd *fds;     /* all others are closed; name 0, 1 and 2, too */
    size_t fd_count;
    int death_signal;                   /* sent when the *thread* that spawned ends; 0: none */
    bool new_group;                     /* leads a process group of its own */
    bool new_session;                   /* ... and a session: no terminal's signals */
    bool adopts;                        /* becomes the parent of descendants that outlive their own (PR_SET_CHILD_SUBREAPER) */
    bool new_pid_namespace;             /* is process 1 of one; MOB_ERR_DENIED where that is not allowed */
};

#define MOB_SPAWN_FDS_MAX 32

/* Start it: *ret_pidfd is -1 where the kernel has none. The caller waits for the pid. A failed exec is an error here, with its reason,
 * and no process is left. */
int mob_spawn(const struct mob_spawn_plan *plan, pid_t *ret_pid, int *ret_pidfd, struct mob_error *err);

#endif
