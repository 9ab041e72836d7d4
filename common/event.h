/* SPDX-License-Identifier: Apache-2.0 */
/* event.h -- one record a task attempt (or a name), as owners report them and the head's event file keeps them. */
#ifndef MOB_COMMON_EVENT_H
#define MOB_COMMON_EVENT_H

#include <stdint.h>

enum mob_event_kind {
    MOB_EVENT_NAME = 1,         /* `task` is mob_name_hash(), the text stands in the bytes from `node` on, 0-ended */
    MOB_EVENT_SUBMITTED,        /* the task is known; submitted_ns (wall clock) */
    MOB_EVENT_RUNNING,          /* pushed to a worker (only for tasks not ended within the report period) */
    MOB_EVENT_ENDED,            /* status, all times */
    MOB_EVENT_FAILED_ATTEMPT,   /* this attempt is over, the task will be tried again; status says why */
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
    uint64_t zero;
};
_Static_assert(sizeof(struct mob_event) == 96, "event");

#endif
