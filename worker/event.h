/* SPDX-License-Identifier: Apache-2.0 */
/* event.h -- what happened to this process's tasks, for the head's record: bounded, sampled, in batches. */
#ifndef MOB_WORKER_EVENT_H
#define MOB_WORKER_EVENT_H


#include "common/event.h"

struct mob_error;
struct mob_owner;
struct task;
struct deaths;
struct kind;

#define EVENTS_MAX 4096u                /* records in a batch */
#define EVENTS_PERIOD_NS INT64_C(200000000)
#define EVENTS_HURRIES 100u             /* batches that leave early, a second */

/* What the record has of a task that is not over. */
enum event_told { EVENT_UNTOLD, EVENT_TOLD, EVENT_TOLD_PUSHED, EVENT_TOLD_RUNNING };

struct event_log {
    struct mob_event *records;
    uint32_t count;
    uint32_t in_second;
    int64_t second_ns;                  /* when the second began */
    int64_t due_ns;                     /* INT64_MAX: nothing to send */
    uint64_t dropped;                   /* tasks that were not recorded */
    unsigned hurries;                   /* in the second that began at: */
    int64_t hurries_ns;
};

void mob_owner_events_fini(struct mob_owner *o);
void mob_owner_event_name(struct mob_owner *o, const struct kind *k);
/* These record nothing of a task that is not in the record; times are CLOCK_BOOTTIME of this machine, 0: unknown. */
/* Decides whether it is recorded. `waiting`: for so many arguments. */
void mob_owner_event_submitted(struct mob_owner *o, struct task *t, uint32_t waiting);
void mob_owner_event_queued(struct mob_owner *o, struct task *t);
/* A task went to a worker: it is told of if it is there still when a report period has passed. */
void mob_owner_event_pushed(struct mob_owner *o);
void mob_owner_event_done(struct mob_owner *o, const struct task *t, int64_t started_ns, int64_t ended_ns);
/* A failure (ENDED or FAILED_ATTEMPT), now: always recorded, but for cancelled tasks and those that an argument failed. deaths: if the
 * last of them is it. */
void mob_owner_event_failed(struct mob_owner *o, enum mob_event_kind kind, struct task *t, const struct mob_error *why,
                            const struct deaths *deaths, int64_t started_ns);
/* PUSHED, the first of its lease: since when it runs. */
int64_t mob_owner_event_claimed_ns(const struct task *t);
/* The head's record is a new one: tell it of all that is not over. */
void mob_owner_events_again(struct mob_owner *o);
/* Send what is due. Returns when to come again. */
int64_t mob_owner_events_flush(struct mob_owner *o);

#endif
