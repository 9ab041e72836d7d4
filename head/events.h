/* SPDX-License-Identifier: Apache-2.0 */
/* events.h -- the event record of the cluster: takes what owners report, keeps it on disk, answers "tasks" and "timeline". */
#ifndef MOB_HEAD_EVENTS_H
#define MOB_HEAD_EVENTS_H

#include "common/event.h"
#include "common/error.h"
#include "common/id.h"
#include "common/loop.h"

struct mob_events;

struct mob_events_config {
    const char *folder;
    uint64_t bytes_max;                 /* on disk; 0: 256 MiB */
    /* Send a part of an answer; `last` ends it (err: with an error). */
    void (*reply)(void *arg, uint64_t link, uint64_t query, struct mob_address to, const char *text, size_t size, bool last,
                  const struct mob_error *err);
    /* Bytes that wait to be written on the link: an answer pauses while they are many. */
    size_t (*queued)(void *arg, uint64_t link);
    void *arg;
};

struct mob_events *mob_events_create(struct mob_loop *loop, const struct mob_events_config *config, struct mob_error *err);
/* Waits for the job under way, then removes the files. */
void mob_events_destroy(struct mob_events *e);

/* `size` bytes of struct mob_event from outside: malformed ones are left out. `sampled`: tasks that the owner did not record. */
void mob_events_add(struct mob_events *e, const void *records, size_t size, uint64_t sampled);
/* The job ended at this time: so did those of its tasks of which no end is told. */
void mob_events_job_over(struct mob_events *e, struct mob_address job, int64_t wall_ns);
/* verb "tasks" or "timeline": see event_query.c. */
void mob_events_query(struct mob_events *e, uint64_t link, uint64_t query, struct mob_address from, const char *verb,
                      const char *argument);
/* Nobody reads what is being answered there. */
void mob_events_link_lost(struct mob_events *e, uint64_t link);

#endif
