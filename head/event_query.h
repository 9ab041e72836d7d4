/* SPDX-License-Identifier: Apache-2.0 */
/* event_query.h -- answers from the event record, made in steps on any thread. */
#ifndef MOB_HEAD_EVENT_QUERY_H
#define MOB_HEAD_EVENT_QUERY_H

#include <stdbool.h>

#include "common/map.h"
#include "head/event_file.h"

/* What was ever recorded, whether it is still on disk or not. */
struct event_totals {
    uint64_t submitted, finished, failed, retried, dropped;
};

struct event_name {
    uint64_t hash;
    char text[64];
};

struct event_query;

/* Takes over `reader`; copies the names. NULL: the argument is no good. */
struct event_query *mob_event_query_create(const char *verb, const char *argument, const struct event_reader *reader,
                                           const struct event_totals *totals, const struct event_name *names, size_t name_count,
                                           struct mob_error *err);
void mob_event_query_destroy(struct event_query *q);

/* Make the next part of the answer; *ret_text lives until the next call. True: it was the last. */
bool mob_event_query_step(struct event_query *q, const char **ret_text, size_t *ret_size);

#endif
