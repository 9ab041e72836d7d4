/* SPDX-License-Identifier: Apache-2.0 */
/* box.h -- what a strict container, or an old kernel, does not have: pidfds (5.3), clone3, and new user and PID namespaces. mob_box_close()
 * takes them from this process and all that it starts, by a seccomp filter; nothing opens the box again. */
#ifndef MOB_TESTS_BOX_H
#define MOB_TESTS_BOX_H

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define BOX_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define BOX_ARCH AUDIT_ARCH_AARCH64
#else
#error "name this machine's AUDIT_ARCH"
#endif

#define BOX_LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define BOX_RETURN(value) BPF_STMT(BPF_RET | BPF_K, (value))
#define BOX_REFUSE(error) BOX_RETURN(SECCOMP_RET_ERRNO | (error))
/* If it is this call: go on with the next line; else skip `lines`. */
#define BOX_CALL(number, lines) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, (lines))
#define BOX_FLAGS(flags, lines) BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, (flags), 0, (lines))

static inline int mob_box_close(void)
{
    struct sock_filter lines[] = {
        BOX_LOAD(arch), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, BOX_ARCH, 1, 0), BOX_RETURN(SECCOMP_RET_ALLOW),
        BOX_LOAD(nr),
        BOX_CALL(SYS_pidfd_open, 1), BOX_REFUSE(ENOSYS),
        BOX_CALL(SYS_pidfd_send_signal, 1), BOX_REFUSE(ENOSYS),
        BOX_CALL(SYS_pidfd_getfd, 1), BOX_REFUSE(ENOSYS),
        BOX_CALL(SYS_clone3, 1), BOX_REFUSE(ENOSYS),
        BOX_CALL(SYS_unshare, 4),
        BOX_LOAD(args[0]), BOX_FLAGS(CLONE_NEWUSER | CLONE_NEWPID, 1), BOX_REFUSE(EPERM), BOX_RETURN(SECCOMP_RET_ALLOW),
        BOX_CALL(SYS_clone, 5),
        BOX_LOAD(args[0]), BOX_FLAGS(CLONE_NEWUSER | CLONE_NEWPID, 1), BOX_REFUSE(EPERM),
        BOX_FLAGS(CLONE_PIDFD, 1), BOX_REFUSE(EINVAL),
        BOX_RETURN(SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = { .len = sizeof lines / sizeof *lines, .filter = lines };

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -1;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter);
}

#endif
