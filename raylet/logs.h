/* SPDX-License-Identifier: Apache-2.0 */
/* logs.h -- the log files of one node's workers: written off the loop, bounded each and in sum. */
#ifndef MOB_RAYLET_LOGS_H
#define MOB_RAYLET_LOGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/loop.h"

#define MOB_LOG_MAX (16u << 20)                 /* bytes of one file; beyond it they are counted */
#define MOB_LOGS_BYTES_MAX (UINT64_C(1) << 30)  /* of all files of a folder */
#define MOB_LOGS_COUNT_MAX 10000

struct mob_logs;
struct mob_log;

/* The files of `folder`. Those that earlier workers left there are the first to go. */
struct mob_logs *mob_logs_create(struct mob_loop *loop, const char *folder, uint64_t bytes_max, size_t count_max);
/* Write what waits, now, and wait for it: the end of the process. NULL is fine. */
void mob_logs_finish(struct mob_logs *l);
bool mob_logs_busy(const struct mob_logs *l);           /* something waits, or is being written */
/* All logs are closed. Finishes first. NULL is fine. */
void mob_logs_destroy(struct mob_logs *l);

/* A file in the folder, made with its first byte. */
struct mob_log *mob_logs_open(struct mob_logs *l, const char *name, const char *suffix);
/* Append. Copied; never waits: what finds no room, in memory or on disk, is dropped and counted. */
void mob_log_write(struct mob_log *g, const char *bytes, size_t size);
/* Its worker has ended: the file may be removed to make room. */
void mob_log_close(struct mob_log *g);

#endif
