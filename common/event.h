/* SPDX-License-Identifier: Apache-2.0 */
/* event.h -- one record of what happened to a task (or a name), as owners report them and the head's event file keeps them. */
#ifndef MOB_COMMON_EVENT_H
#define MOB_COMMON_EVENT_H

#include <stddef.h>
#include <stdint.h>

/* A process records every task up to so many records a second; of what comes faster, one new task in MOB_EVENTS_SAMPLE. */
#define MOB_EVENTS_PER_SECOND 20000u
#define MOB_EVENTS_SAMPLE 256u

enum mob_event_kind {
    MOB_EVENT_NAME = 1,         /* `task` is mob_name_hash(), the text stands in the bytes from `node` on (MOB_EVENT_TEXT), 0-ended */
    MOB_EVENT_SUBMITTED,        /* the task is known; submitted_ns (wall clock); `waiting` arguments are not there yet */
    MOB_EVENT_RUNNING,          /* it runs (only if it is not over within the report period) */
    MOB_EVENT_ENDED,            /* status, all times */
    MOB_EVENT_FAILED_ATTEMPT,   /* this attempt is over, the task will be tried again; status says why */
    MOB_EVENT_QUEUED,           /* it waits for a worker: what it waited for is there, or it was taken back from one */
    MOB_EVENT_PUSHED,           /* it stands behind others at a worker (only if it still does after the report period) */
    MOB_EVENT_WHY,              /* right after ENDED or FAILED_ATTEMPT of the same task: the first words of the error, where a NAME
                                 * has its text */
    MOB_EVENT_OWNER_OVER,       /* from a raylet, or the head: this owner (process 0: all of its node) ended and says no more; ended_ns
                                 * is the head's */
};

struct mob_event {              /* 96 bytes */
    uint32_t kind;
    int32_t status;             /* enum mob_code */
    uint64_t task;              /* the owner's number */
    uint64_t name;              /* mob_name_hash() */
    uint32_t owner_node, owner_process;
    uint32_t node, process;     /* where it ran; 0: nowhere yet */
    uint32_t pid;
    uint32_t attempt;
    int64_t submitted_ns;       /* CLOCK_REALTIME of the owner's machine, as are the others (owner's clock) */
    int64_t pushed_ns;
    int64_t started_ns, ended_ns;
    uint32_t job_node, job_process;
    uint32_t waiting;
    uint32_t killed_by;         /* enum mob_killed_by: what ended the worker of an attempt that failed by that; else 0 */
};
_Static_assert(sizeof(struct mob_event) == 96, "event");

/* Of a NAME or a WHY. */
#define MOB_EVENT_TEXT offsetof(struct mob_event, node)
#define MOB_EVENT_TEXT_SIZE (sizeof(struct mob_event) - MOB_EVENT_TEXT)

#endif
