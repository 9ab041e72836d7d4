/* SPDX-License-Identifier: Apache-2.0 */
/* resident.h -- a process of this node that the raylet looks after: a driver that said Hello, or a worker from its spawn to its burial. */
#ifndef MOB_RAYLET_RESIDENT_H
#define MOB_RAYLET_RESIDENT_H

#include "common/machine.h"
#include "common/sysinfo.h"
#include "raylet/output.h"
#include "raylet/shell.h"

enum mob_resident_state { MOB_RESIDENT_PREPARING, MOB_RESIDENT_ASKED, MOB_RESIDENT_STARTED, MOB_RESIDENT_UP, MOB_RESIDENT_OVER };

struct mob_resident {
    struct mob_machine machine;
    struct mob_shell *shell;
    uint32_t number;                    /* the core's */
    bool driver;
    uint32_t shown_pid;                 /* as people see it */
    struct mob_address job;
    struct mob_hash program;
    struct mob_stream *stream;          /* its connection; NULL: none yet, or lost */
    int page_fd;                        /* -1: no page yet */
    struct mob_doorbell bell;

    /* a worker's */
    pid_t pid;                          /* as we see it; 0: not started, or reaped */
    bool killed, late;                  /* by SIGKILL of ours; it was ending already when that was sent first */
    uint64_t nonce;
    bool forked;                        /* from its job's template */
    struct mob_weight weight;
    uint32_t gpus[MOB_GPUS_MAX];
    size_t gpu_count;
    uint32_t program_node;              /* serves its program, if it is not here */
    struct mob_program_waiter program_wait;
    struct mob_link asked;              /* ASKED: with its job's template (fork.c) */
    int out_fd, err_fd;                 /* ASKED: what it will print; else -1 */
    struct mob_output *output;
    struct mob_posted failing;          /* it cannot start: told from the loop */
    struct mob_error failure;

    /* a driver's */
    int pidfd;                          /* -1: its socket alone says when it ends */
    uv_poll_t pidfd_poll;
};

struct mob_resident *mob_resident_create(struct mob_shell *s, bool driver);
/* Known by its number from now on. */
void mob_resident_number(struct mob_resident *r, uint32_t number);
struct mob_resident *mob_resident_find(struct mob_shell *s, uint32_t number);

/* Make its page and doorbell, as it says Hello. */
int mob_resident_make_page(struct mob_resident *r, struct mob_error *err);
/* A driver's death shows on `pidfd`, too, which is taken over; -1, or a descriptor that cannot be polled: on its socket alone. */
void mob_resident_watch(struct mob_resident *r, int pidfd);

/* Signal a worker; one that has not started will not start any more. No-op in its burial. */
void mob_resident_kill(struct mob_resident *r, int signal);

/* It is gone: its socket is read to the end, its space in the store freed, the core told. Frees it. */
void mob_resident_over(struct mob_resident *r, const struct mob_exit *exit);
/* Free one that the core never heard of, or will not hear of any more. */
void mob_resident_free(struct mob_resident *r);

#endif
