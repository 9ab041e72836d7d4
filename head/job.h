/* SPDX-License-Identifier: Apache-2.0 */
/* job.h -- the drivers that came and went. */
#ifndef MOB_HEAD_JOB_H
#define MOB_HEAD_JOB_H

#include "common/list.h"
#include "common/map.h"
#include "common/wire.h"

struct mob_head;
struct node;

struct job {
    struct mob_address driver;          /* its name */
    char name[64];
    uint32_t pid;
    uint64_t link;                      /* of its raylet, that it was last named on */
    int64_t started_ns;
    int64_t over_ns;                    /* 0: runs */
    struct mob_link in_list;            /* in job_table.running or .over */
};

struct job_table {
    struct mob_map by_driver;
    struct mob_link running, over;      /* oldest first */
    size_t running_count, over_count;
};

void mob_head_job_init(struct mob_head *h);
/* One that a head before this one has kept. -1: no such job can be. */
int mob_head_job_load(struct mob_head *h, const Mobula__JobRow *row);
void mob_head_job_fini(struct mob_head *h);
void mob_head_job_started(struct node *n, struct mob_address driver, const char *name, uint32_t pid);
/* Another node than its driver's has work of it, a raylet says that was there before this head. Its end may have been lost. */
void mob_head_job_served(struct mob_head *h, struct mob_address driver);
/* A raylet that came back has named all its jobs: others of its node ended while it was away. */
void mob_head_job_all_named(struct node *n);
/* Its demands end, every raylet is told. Unknown or over already: no-op. */
void mob_head_job_over(struct mob_head *h, struct mob_address driver);
void mob_head_job_node_dead(struct node *n);
/* It has ended, or its driver's node has. */
bool mob_head_job_is_over(const struct mob_head *h, struct mob_address driver);
/* A node came back: tell it of the jobs that ended lately; it may have missed it. */
void mob_head_job_tell(struct node *n);

#endif
