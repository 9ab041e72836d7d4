/* SPDX-License-Identifier: Apache-2.0 */
/* refs.h -- a process that uses values and references: refs.c its steps, errands.c its tasks, streams.c items of tasks, endings.c the end of
 * its program. */
#ifndef MOB_TESTS_SIM_REFS_H
#define MOB_TESTS_SIM_REFS_H

#include "stores.h"
#include "user.h"

#define REFS_MAX 12u
#define ARGS_MAX 4u
#define CARRIED_MAX 3u
#define WAIT_NS (300 * SIM_MS)          /* of a get within a task */
#define SMALL_MAX 2048u
#define PACKED_MAX (SMALL_MAX + 256u)

/* First argument of each call. */
struct errand {
    uint64_t words[VALUE_MIN / 8];      /* a value */
    uint32_t levels, steps;
    uint32_t items;                     /* of a stream: so many will come */
};

#define STREAMS_MAX 3u
/* A stream that is read. */
struct reading {
    uint64_t stream;
    uint32_t items, read;
    bool failed;                        /* its end was an error */
};

struct user {
    struct process *p;
    uint64_t refs[REFS_MAX];
    unsigned count, kept;               /* the first `kept` are of earlier tasks */
    unsigned steps;
    uint64_t wait;                      /* the number of the last wait: time-outs of others are void */
    struct mob_waiter waiter;
    void (*got)(struct user *u, const struct mob_error *err);
    uint64_t getting;
    int64_t timeout;                    /* of that, for each wait; 0: none */
    bool of_earlier;                    /* it is one that was kept */
    struct fetch fetch;                 /* of a get */
    struct room room;
    uint64_t putting;
    bool broadcasts;                    /* what it puts now */
    struct mob_object_id carried[CARRIED_MAX];
    size_t carried_count;
    bool blocked, ending, ended;

    bool running;                       /* a task */
    struct mob_run run;
    struct errand errand;
    size_t arg;
    uint64_t borrowed[ARGS_MAX];
    struct fetch args[ARGS_MAX];
    struct mob_packed packed[ARGS_MAX];
    struct mob_result results[2];
    uint32_t index;                     /* of the one that is stored now */
    _Alignas(8) unsigned char bytes[2][PACKED_MAX];
    struct mob_object_id lent[CARRIED_MAX];
    struct mob_error why;               /* the task fails with it ... */
    bool lost;                          /* ... as an argument, the one of args[arg], could not be had */

    struct reading streams[STREAMS_MAX];
    unsigned stream_count;
    uint64_t reading;                   /* the stream whose next item is being got */
    uint32_t yielded;                   /* items, by the task */
    void (*yield)(struct event *e);     /* when one may be sent; NULL: it does not wait for that */
    struct mob_result item;             /* the one that is made */
    struct mob_object_id item_lent[CARRIED_MAX];
    _Alignas(8) unsigned char item_bytes[PACKED_MAX];
};

struct sim *user_sim(const struct user *u);
struct user *user_of(const struct event *e);
void user_after(struct user *u, int64_t delay, void (*run)(struct event *e));
/* For who reads a trace. */
void user_note(const struct user *u, const char *what, uint64_t ref);
/* The ref is its from now on; another may have to go for it. */
void user_keep(struct user *u, uint64_t ref);
void user_drop(struct user *u, unsigned at);
void user_drop_all(struct user *u);
/* One that may go elsewhere; 0: there is none. */
uint64_t user_usable(struct user *u);
/* Choose what the next value carries: refs[], and their names in u->carried. */
size_t user_carry(struct user *u, uint64_t refs[CARRIED_MAX]);
/* Write what the value of `size` bytes at `to` carries. Returns its size then. */
size_t user_pack(const struct user *u, void *to, size_t size);
size_t user_small(struct sim *s);
size_t user_large(struct sim *s);
/* May it see this error? Else the test ends. */
void user_judge(const struct user *u, const struct mob_error *e);
/* Within a task: it sleeps, and others may have its CPU. */
void user_block(struct user *u);
void user_unblock(struct user *u);
struct fetch user_fetch_of(const struct mob_object_info *info);
/* Wait for a ref, bring its value here, look at it; timeout 0: for ever. */
void user_get(struct user *u, uint64_t ref, int64_t timeout, void (*got)(struct user *u, const struct mob_error *err));
/* The next step, soon. */
void user_next(struct user *u);
/* errands.c: its steps are done. */
void user_end_task(struct user *u);
/* errands.c: the task will fail with this. */
void user_task_fail(struct user *u, const struct mob_error *why);
/* streams.c: yield what is left to be; then the task's steps are done. False: nothing is. */
bool streams_yield(struct user *u);
/* Was it rung for, so that it may go on? */
void streams_turn(struct user *u);
/* One that was called: it will be read, or closed. */
void streams_add(struct user *u, uint64_t stream, uint32_t items);
/* Get the next item of one, or close it. False: there is none to read. */
bool streams_read(struct user *u);
void streams_close(struct user *u);
/* endings.c: the same of a driver. */
void user_end_program(struct user *u);

#endif
