/* SPDX-License-Identifier: Apache-2.0 */
/* event_query.h -- answers from the event record, made in steps on any thread. */
#ifndef MOB_HEAD_EVENT_QUERY_H
#define MOB_HEAD_EVENT_QUERY_H

#include <stdbool.h>

#include "common/map.h"
#include "head/event_file.h"

/* What was ever recorded, whether it is still on disk or not; and what was not. */
struct event_totals {
    uint64_t submitted, finished, failed, cancelled, retried;
    uint64_t sampled;                   /* tasks that came too fast for their owner to record them */
    uint64_t slow;                      /* records that came faster than the disk took them */
    uint64_t unwritten;                 /* records that the disk refused, */
    char disk_error[160];               /* the last time with these words */
};

struct event_name {
    uint64_t hash;
    char text[MOB_EVENT_TEXT_SIZE];
};

struct event_over {                     /* a job or an owner that has ended */
    uint64_t job;                       /* mob_address_key() */
    int64_t wall_ns;
};

/* What the head knows besides the records. */
struct event_facts {
    struct event_totals totals;
    struct event_name *names;
    size_t name_count;
    struct event_over *over;
    size_t over_count;
};

struct event_query;

/* Takes over `reader`; copies the facts. NULL: the argument is no good. */
struct event_query *mob_event_query_create(const char *verb, const char *argument, const struct event_reader *reader,
                                           const struct event_facts *facts, struct mob_error *err);
void mob_event_query_destroy(struct event_query *q);

/* Make the next part of the answer; *ret_text lives until the next call. True: it was the last. */
bool mob_event_query_step(struct event_query *q, const char **ret_text, size_t *ret_size);

#endif
