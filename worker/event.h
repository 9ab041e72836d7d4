/* SPDX-License-Identifier: Apache-2.0 */
/* event.h -- what happened to this process's tasks, for the head's record: bounded, sampled, in batches. */
#ifndef MOB_WORKER_EVENT_H
#define MOB_WORKER_EVENT_H

#include <stdbool.h>

#include "common/event.h"

struct mob_owner;
struct task;
struct kind;

#define EVENTS_MAX 4096u                /* records in a batch */
#define EVENTS_PERIOD_NS INT64_C(200000000)
#define EVENTS_PER_SECOND 20000u        /* beyond it only failures, and one task in EVENTS_SAMPLE */
#define EVENTS_SAMPLE 256u

struct event_log {
    struct mob_event *records;
    uint32_t count;
    uint32_t in_second;
    int64_t second_ns;                  /* when the second began */
    int64_t due_ns;                     /* INT64_MAX: nothing to send */
    uint64_t dropped;
};

void mob_owner_events_fini(struct mob_owner *o);
void mob_owner_event_name(struct mob_owner *o, const struct kind *k);
void mob_owner_event_add(struct mob_owner *o, enum mob_event_kind kind, const struct task *t, int status, int64_t started_ns,
                         int64_t ended_ns);     /* CLOCK_BOOTTIME of this machine; 0: unknown */
bool mob_owner_events_full(struct mob_owner *o, const struct task *t);
/* Send what is due. Returns when to come again. */
int64_t mob_owner_events_flush(struct mob_owner *o);

/* Over the rate, and this task is not of the sample? Counts it as dropped then. */
static inline bool event_skipped(struct mob_owner *o, const struct event_log *log, const struct task *t)
{
    return log->in_second >= EVENTS_PER_SECOND && mob_owner_events_full(o, t);
}

#endif
