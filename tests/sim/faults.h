/* SPDX-License-Identifier: Apache-2.0 */
/* faults.h -- the kinds of misfortune, each of which can be had alone (--faults drop,kill), and the moments at which they are asked for. */
#ifndef MOB_TESTS_SIM_FAULTS_H
#define MOB_TESTS_SIM_FAULTS_H

#include "sim.h"

enum fault {
    FAULT_DROP = 1 << 0,                /* a connection breaks, and loses what was under way */
    FAULT_DELAY = 1 << 1,               /* single messages, or all of a host, are slow */
    FAULT_REPEAT = 1 << 2,              /* what may be said again after a reconnect is */
    FAULT_REORDER = 1 << 3,             /* one connection is held up while others go on */
    FAULT_PARTITION = 1 << 4,           /* two sets of hosts do not reach each other */
    FAULT_PARTITION_ONE_WAY = 1 << 5,   /* or one of them does not reach the other */
    FAULT_KILL = 1 << 6,                /* workers and drivers; some workers do not start */
    FAULT_FREEZE = 1 << 7,              /* a host that has a raylet */
    FAULT_FREEZE_HEAD = 1 << 8,         /* the head's */
    FAULT_RESTART_HEAD = 1 << 9,
    FAULT_RESTART_NODE = 1 << 10,       /* a raylet, or its machine, dies, and another comes */
    FAULT_SLOW_DISK = 1 << 11,
    FAULT_FULL_DISK = 1 << 12,          /* for spilling, and for the head */
    FAULT_BAD_DISK = 1 << 13,           /* what is read back is not what was written */
    FAULT_CLOCK_STEP = 1 << 14,         /* wall clocks differ by years */
    FAULT_AIM = 1 << 15,                /* messages of some kinds are met, and who says and hears them (aim.c) */
    FAULT_LOSE_ANSWER = 1 << 16,        /* one answer of a worker elsewhere that left something in a store; then all goes well, so that no
                                           other fault mends what comes of it: not one of all */
    FAULT_OLD_STATE = 1 << 17,          /* with RESTART_HEAD: the head is started on what it had kept a while ago; nor is that one of all */
};
#define FAULTS_ALL 0xffffu
#define FAULTS_USUAL (FAULTS_ALL & ~(unsigned)(FAULT_RESTART_HEAD | FAULT_AIM))     /* --faults without a list */
/* These cost no task an attempt, and no object a copy. */
#define FAULTS_HARMLESS (FAULT_DELAY | FAULT_REPEAT | FAULT_REORDER | FAULT_FREEZE_HEAD | FAULT_RESTART_HEAD | FAULT_SLOW_DISK | FAULT_CLOCK_STEP)

/* A list of names, or "all". False: there is no such kind. */
bool faults_parse(const char *list, unsigned *ret);
/* The names, one a line, for who asks. */
void faults_list(void);

void faults_plan(struct sim *s);
/* Do faults of this kind happen now? */
bool faults_now(const struct sim *s, unsigned kinds);
/* The same, in so many of a hundred cases. */
bool faults_chance(struct sim *s, unsigned kinds, unsigned percent);
/* May a task lose its worker, or an object its copy, in this run? */
bool faults_may_cost(const struct sim *s);
/* What has begun by now is over then: after that all must come to its end. */
int64_t faults_over(const struct sim *s);
/* Something that has begun lasts until then. */
void faults_trouble(struct sim *s, int64_t until);
/* What a raylet sees of its host's memory, and of a process's. */
bool faults_memory(struct mob_world *w, struct mob_memory *ret);
uint64_t faults_resident(struct mob_world *w, uint32_t process);
/* A node passes on what it still receives: the best moment to lose it. */
void faults_middle(struct host *h);
/* A raylet has just said that. */
void faults_said(struct raylet *r, uint64_t link, const void *frame, size_t size);
/* A worker has just answered, and gave references away with that. */
void faults_answered(struct process *p);
/* And the head. */
void faults_head_said(struct sim *s, const void *frame, size_t size);
/* A daemon has just sent something to another. */
void faults_sent(struct sim *s, uint64_t link);
/* A raylet says that it was declared dead: was there a reason? */
void faults_judge_death(struct raylet *r);
/* What was delivered over such an end comes once more: at once, or later. */
enum repeat { REPEAT_NOT, REPEAT_AT_ONCE, REPEAT_LATER };
enum repeat faults_repeat(struct sim *s, enum end_kind kind, const void *frame, size_t size);

/* -- aim.c ----------------------------------------------------------------------------------------------------------------- */

/* Choose what this run strikes at, and how often. */
void aim_plan(struct sim *s);
/* `a` has just said that on its link. */
void aim_said(struct actor *a, uint64_t link, const void *frame, size_t size);
/* A worker has just answered, and gave references away with that. */
void aim_answered(struct process *p);

/* -- cuts.c ---------------------------------------------------------------------------------------------------------------- */

/* Hosts on two sides, and for a while nothing crosses, or nothing in one direction. */
void cut_begin(struct sim *s, bool one_way);
/* Nothing from `a` reaches `b` before; 0: the way is free. */
int64_t cut_until(const struct sim *s, const struct host *a, const struct host *b);
/* The same of a conversation, which needs both ways. */
int64_t cut_either(const struct sim *s, const struct host *a, const struct host *b);

#endif
