/* SPDX-License-Identifier: Apache-2.0 */
/* identity.h -- a process that is still the same one: a pid alone may be another's tomorrow, or after a boot. */
#ifndef MOB_COMMON_IDENTITY_H
#define MOB_COMMON_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"

#define MOB_BOOT_ID_SIZE 40

struct mob_identity {
    int32_t pid;
    uint64_t start_ticks;               /* field 22 of /proc/<pid>/stat */
    char boot[MOB_BOOT_ID_SIZE];        /* /proc/sys/kernel/random/boot_id */
    uint64_t space;                     /* inode of its PID namespace: containers of one kernel count alike. 0: not known */
};

/* What tells this machine, since it was booted, from all others. */
int mob_identity_boot(char ret[MOB_BOOT_ID_SIZE], struct mob_error *err);

/* The own pid as people see it: a process in a PID namespace of its own may have the /proc of the outer one. */
pid_t mob_identity_own_pid(void);

/* -1: no such process (or a zombie). */
int mob_identity_of(pid_t pid, struct mob_identity *ret, struct mob_error *err);
bool mob_identity_alive(const struct mob_identity *identity);
/* Send a signal if it is still this process, by a pidfd where the kernel has them; a stopped one goes on, to hear a SIGTERM. Gone: -1,
 * MOB_ERR_UNREACHABLE. */
int mob_identity_signal(const struct mob_identity *identity, int signal, struct mob_error *err);

/* The part that reads text: state and start time of /proc/<pid>/stat, whatever the name between the brackets is. */
bool mob_identity_parse_stat(const char *text, char *ret_state, uint64_t *ret_start_ticks);

#endif
