/* SPDX-License-Identifier: Apache-2.0 */
/* process.h -- the local drivers and workers: their numbers, sockets and pages. */
#ifndef MOB_RAYLET_PROCESS_H
#define MOB_RAYLET_PROCESS_H

#include "common/list.h"
#include "common/map.h"
#include "raylet/raylet.h"

struct process {
    struct mob_address address;         /* of this node; the number is never used twice */
    struct mob_address job;             /* the driver whose job it serves; itself, for a driver */
    struct mob_hash executable;
    uint32_t pid;
    char name[64];                      /* DRIVER: of its job */
    struct connection *connection;      /* NULL: not here yet, or broken */
    struct mob_page *page;              /* mapped by the shell; NULL: not here yet */
    struct worker *worker;              /* NULL: a driver */
    struct mob_link borrowed;           /* leases it holds on other nodes */
    struct mob_map lenders;             /* node -> struct peer: has lent to it once, or told it of copies: may hold what it owns */
    bool recorded;                      /* the head has records of tasks of it */
    uint64_t output_dropped;            /* DRIVER: bytes of Output for it that found its queue full: told with the next one */
    struct mob_link questions;          /* of anyone, to this one */
};

struct processes {
    struct mob_map by_number;
    uint32_t next;
    uint32_t drivers;
};

void mob_processes_fini(struct mob_raylet *r);

/* Number a new process. It is known from now on, and gone with mob_process_forget(). */
struct process *mob_process_add(struct mob_raylet *r, struct mob_address job, const struct mob_hash *executable);
struct process *mob_process_find(const struct mob_raylet *r, uint32_t number);          /* NULL: never was, or gone */
void mob_process_forget(struct mob_raylet *r, struct process *p);

/* Its socket broke: a worker is of no use without, and is ended; a driver's end is told by mob_raylet_process_exited(). */
void mob_process_disconnected(struct mob_raylet *r, struct process *p);

/* What it runs now, from its page: true, and the task; false if it runs none of `epoch`. */
bool mob_process_runs(const struct process *p, uint32_t epoch, uint64_t *ret_task, uint32_t *ret_attempt);

#endif
