/* SPDX-License-Identifier: Apache-2.0 */
/* head.h -- the head's core: membership, the cluster's resource view, demands and their placement, jobs, queries. Pure: world.h. */
#ifndef MOB_HEAD_HEAD_H
#define MOB_HEAD_HEAD_H

#include <stdbool.h>

#include "common/world.h"

struct mob_head;

/* What a head keeps, so that one that is started after it knows what was answered (head/state.c). */
enum mob_head_row { MOB_HEAD_COUNTERS, MOB_HEAD_NODE, MOB_HEAD_JOB };

struct mob_head_config {
    uint8_t cluster[16];
    uint64_t generation;                /* of this head: rises with each start on the same state */
    int64_t beat_ms;                    /* 500 */
    int64_t dead_ms;                    /* 2500 of silence */
    /* Keep this row, instead of the one of that key (NULL: keep none). Kept when it returns; -1: it cannot be, see *err. NULL: nowhere. */
    int (*keep)(void *arg, enum mob_head_row kind, uint64_t key, const void *bytes, size_t size, struct mob_error *err);
    /* What the head records: `n` bytes of struct mob_event. May drop. NULL: nowhere. */
    void (*record)(void *arg, const void *events, size_t n, uint64_t dropped);
    /* This job is over now, for the record. NULL: nowhere. */
    void (*record_job_over)(void *arg, struct mob_address job);
    /* A query that needs the event file ("tasks", "timeline"): the shell answers it with mob_head_reply(). */
    void (*query_events)(void *arg, uint64_t link, uint64_t query, struct mob_address from, const char *verb, const char *argument);
    void (*stop)(void *arg);            /* a "stop" query came and was answered; end when its link is lost */
    void *arg;
};

struct mob_head *mob_head_create(struct mob_world *w, const struct mob_head_config *config);
void mob_head_destroy(struct mob_head *h);

/* A row that a head before this one has kept: before the first link, those of nodes before those of jobs. Its nodes have dead_ms to come
 * back. -1: it is no such row. */
int mob_head_load(struct mob_head *h, enum mob_head_row kind, const void *bytes, size_t size, struct mob_error *err);

void mob_head_link_up(struct mob_head *h, uint64_t link);
void mob_head_receive(struct mob_head *h, uint64_t link, const void *frame, size_t size);
/* `refused`: the peer's port refuses, so it is dead at once; else it has dead_ms to come back. */
void mob_head_link_lost(struct mob_head *h, uint64_t link, bool refused);
/* Do what time makes due; returns when to come again (ns; INT64_MAX: not by itself). Call after each batch of facts. */
int64_t mob_head_tick(struct mob_head *h);

/* Send text as Reply messages of at most 256 KiB. */
void mob_head_reply(struct mob_head *h, uint64_t link, uint64_t query, struct mob_address to, const char *text, size_t size,
                    const struct mob_error *err);
/* The same of an answer made in parts: more follows. The last part goes by mob_head_reply(). */
void mob_head_reply_part(struct mob_head *h, uint64_t link, uint64_t query, struct mob_address to, const char *text, size_t size);

/* For tests and the simulator: aborts if an invariant is broken (placed <= free as seen; one entry a node; sums). */
void mob_head_check(const struct mob_head *h);

#endif
