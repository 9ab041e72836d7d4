/* SPDX-License-Identifier: Apache-2.0 */
/* output.h -- what one worker prints: kept in a log file (logs.h), its last lines in memory, and told to the driver of its job. */
#ifndef MOB_RAYLET_OUTPUT_H
#define MOB_RAYLET_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/doorbell.h"
#include "common/wire.h"
#include "raylet/logs.h"

#define MOB_OUTPUT_TEXT_MAX (64u << 10)         /* bytes told in one message */
#define MOB_OUTPUT_TELL_MS 50                   /* between two messages of one stream that are not full */
#define MOB_OUTPUT_BURST_MAX (1u << 20)         /* bytes told of one stream in that time: what comes faster is counted */
#define MOB_OUTPUT_FLUSH_MAX (4u << 20)         /* bytes read from pipes, of all workers of a job, when their driver ends */
#define MOB_OUTPUT_TAIL_LINES 20
#define MOB_OUTPUT_TAIL_MAX 4096                /* bytes of them */

struct mob_output;

struct mob_output_listener {
    /* Tell the driver what was printed, by the process that the listener knows: whole lines, or a part of a very long one. False: the way
     * to the driver is full, nothing was told. */
    bool (*tell)(void *arg, Mobula__Output *what);
    /* What is printed now is printed as this. What stands in a pipe may be older: print_mark.h. */
    void (*name)(void *arg, char ret_name[MOB_PAGE_NAME_SIZE]);
    void *arg;
};

/* Takes over the read ends of a worker's pipes. `name`: of its log files, without ".out" and ".err". */
struct mob_output *mob_output_create(struct mob_loop *loop, int out_fd, int err_fd, struct mob_logs *logs, const char *name,
                                     const struct mob_output_listener *listener);
/* Read what is in the pipes now, at most *left bytes (which are taken off), and tell all of it. */
void mob_output_flush(struct mob_output *o, size_t *left);
/* The same at the worker's end: the last lines of stderr (live as long as the output). */
const char *mob_output_finish(struct mob_output *o);
void mob_output_destroy(struct mob_output *o);          /* tells nothing more; freed by the loop. NULL is fine */

#endif
