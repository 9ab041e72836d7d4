/* SPDX-License-Identifier: Apache-2.0 */
/* identity.c -- is it still the same process? */
#include "common/identity.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/sysinfo.h"

pid_t mob_identity_own_pid(void)
{
    char self[16] = "";

    return readlink("/proc/self", self, sizeof self - 1) > 0 && atoi(self) > 0 ? atoi(self) : getpid();
}

bool mob_identity_parse_stat(const char *text, char *ret_state, uint64_t *ret_start_ticks)
{
    const char *at = strrchr(text, ')');        /* the name may hold brackets and blanks; nothing after it does */

    if (at == NULL || at[1] != ' ' || at[2] == '\0')
        return false;
    *ret_state = at[2];
    at += 2;
    for (unsigned field = 3; field < 22; field++) {
        if ((at = strchr(at, ' ')) == NULL)
            return false;
        at++;
    }
    *ret_start_ticks = strtoull(at, NULL, 10);
    return true;
}

int mob_identity_boot(char ret[MOB_BOOT_ID_SIZE], struct mob_error *err)
{
    if (mob_sysinfo_text("/proc/sys/kernel/random/boot_id", ret, MOB_BOOT_ID_SIZE) <= 0)
        return mob_error_set(err, MOB_ERR_SYSTEM, "/proc/sys/kernel/random/boot_id cannot be read");
    ret[strcspn(ret, "\n")] = '\0';
    return 0;
}

static uint64_t pid_space(pid_t pid)
{
    char path[64];
    struct stat st;

    snprintf(path, sizeof path, "/proc/%d/ns/pid", (int)pid);
    return stat(path, &st) == 0 ? (uint64_t)st.st_ino : 0;
}

int mob_identity_of(pid_t pid, struct mob_identity *ret, struct mob_error *err)
{
    struct mob_identity identity = { .pid = pid };
    char path[64], text[1024], state;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    if (mob_sysinfo_text(path, text, sizeof(text)) <= 0 || !mob_identity_parse_stat(text, &state, &identity.start_ticks)
        || state == 'Z' || state == 'X')
        return mob_error_set(err, MOB_ERR_UNREACHABLE, "there is no process %d", (int)pid);
    if (mob_identity_boot(identity.boot, err) < 0)
        return -1;
    identity.space = pid_space(pid);
    *ret = identity;
    return 0;
}

bool mob_identity_alive(const struct mob_identity *identity)
{
    struct mob_identity now;

    return mob_identity_of(identity->pid, &now, NULL) == 0 && now.start_ticks == identity->start_ticks
        && strcmp(now.boot, identity->boot) == 0 && (now.space == identity->space || now.space == 0 || identity->space == 0);
}

static int send_signal(int pidfd, pid_t pid, int signal)
{
    return pidfd >= 0 ? (int)syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) : kill(pid, signal);
}

int mob_identity_signal(const struct mob_identity *identity, int signal, struct mob_error *err)
{
    int pidfd = identity->pid > 0 ? (int)syscall(SYS_pidfd_open, identity->pid, 0) : -1, sent;

    /* The pidfd is taken first: if the process behind it is ours after that, the signal can reach no other. */
    if (identity->pid <= 0 || !mob_identity_alive(identity)) {
        if (pidfd >= 0)
            close(pidfd);
        return mob_error_set(err, MOB_ERR_UNREACHABLE, "process %d is gone", (int)identity->pid);
    }
    sent = send_signal(pidfd, identity->pid, signal);
    if (sent < 0)
        sent = errno == ESRCH ? mob_error_set(err, MOB_ERR_UNREACHABLE, "process %d is gone", (int)identity->pid)
            : mob_error_errno(err, "sending signal %d to process %d", signal, (int)identity->pid);
    else if (signal == SIGTERM)
        send_signal(pidfd, identity->pid, SIGCONT);
    if (pidfd >= 0)
        close(pidfd);
    return sent;
}
