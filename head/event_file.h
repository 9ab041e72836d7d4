/* SPDX-License-Identifier: Apache-2.0 */
/* event_file.h -- the event record on disk: two halves that take turns, so that the newest half of the limit is always there. */
#ifndef MOB_HEAD_EVENT_FILE_H
#define MOB_HEAD_EVENT_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/event.h"

struct event_file;

/* Makes events.0 in `folder`. bytes_max: of both halves together. */
struct event_file *mob_event_file_create(const char *folder, uint64_t bytes_max, struct mob_error *err);
void mob_event_file_destroy(struct event_file *f);              /* and removes the files */

/* Would `n` more records be too many for this half? Then the next append must rotate. */
bool mob_event_file_is_full(const struct event_file *f, size_t n);
/* Append all records or none. `rotate`: begin the other half with them; what it held before is gone. Any thread, one at a time. */
int mob_event_file_append(struct event_file *f, const struct mob_event *records, size_t n, bool rotate, struct mob_error *err);

/* What is on disk now, older half first; unaffected by later appends and rotations. */
struct event_reader {
    int fd[2];                          /* -1: no such half */
    uint64_t count[2];                  /* records in it */
};
int mob_event_reader_open(struct event_reader *ret, const struct event_file *f, struct mob_error *err);
void mob_event_reader_close(struct event_reader *r);
uint64_t mob_event_reader_count(const struct event_reader *r);
/* Read up to `n` records from number `first` on; returns how many (0: the end, or the file cannot be read). */
size_t mob_event_reader_get(const struct event_reader *r, uint64_t first, struct mob_event *ret, size_t n);

#endif
