/* SPDX-License-Identifier: Apache-2.0 */
/* frame.h -- what an owner sends to a worker, and back: in the rings of a channel (common/channel.h) and, one after the other,
 * in TaskFrames and AnswerFrames. Fixed structs in the machine's order (a cluster has one byte order: little). */
#ifndef MOB_COMMON_FRAME_H
#define MOB_COMMON_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "common/id.h"

#define MOB_INLINE_MAX (100 * 1024)     /* bytes; a larger value lives in the store (Ray: max_direct_call_object_size) */
#define MOB_OBJECT_MAX (UINT64_C(1) << 46)       /* bytes */
#define MOB_ARGS_INLINE_MAX (192 * 1024)        /* bytes, the sum of a task's inline arguments; beyond it, they are put in the store */

/* A task. The body follows: `args` times a struct mob_arg_head and its bytes, each padded to 8. */
struct mob_task_frame {
    uint64_t task;              /* the owner's number of it: (task, attempt) never repeats */
    uint64_t function;          /* mob_name_hash() */
    uint32_t epoch;
    uint32_t args;
    uint32_t body_size;
    uint16_t attempt;
    uint16_t returns;
    uint16_t flags;             /* MOB_TASK_... */
    uint16_t first;             /* STREAM: so many items may be sent until more are allowed */
    uint32_t had;               /* STREAM: the owner has so many, of earlier attempts: they are not sent again */
};
#define MOB_TASK_URGENT 1u      /* others depend on the answer: wake the owner at once */
#define MOB_TASK_STREAM 2u      /* it yields items before its answer (docs/protocol.md, Streams) */
#define MOB_TASK_ONCE 4u        /* it is never repeated: not to be ended if another can be */

/* In the place of how many items may be sent. */
#define MOB_STREAM_UNREAD UINT32_MAX            /* nobody reads them any more: none need be sent */
#define MOB_STREAM_STOP (UINT32_MAX - 1)        /* the task is cancelled */
#define MOB_STREAM_ITEMS_MAX (UINT32_MAX - 2)

enum mob_value_kind {
    MOB_VALUE_INLINE,           /* bytes follow */
    MOB_VALUE_STORED,           /* struct mob_stored_value follows: in the store of `node` */
    MOB_VALUE_FORWARD,          /* struct mob_object_id follows: another object's value; ask its owner (Watch) */
    MOB_VALUE_PACKED,           /* bytes follow, and they carry references (common/packed.h) */
    /* In an answer, before the value that they belong to: a uint64_t and names of objects. The worker held each for the owner, under a
     * ticket with this number, the next with the next; before a FORWARD, of that object (docs/protocol.md, References). */
    MOB_VALUE_TICKETS,
};

struct mob_arg_head {           /* also before each value of an answer */
    uint32_t kind;
    uint32_t size;              /* of what follows, without padding */
};

struct mob_stored_value {
    struct mob_object_id object;
    uint64_t size;
    uint32_t node;
    uint32_t zero;
};

/* Returns of a task: so many that an answer in which each is small, or stored, fits a ring (worker/worker_main.c). */
#define MOB_RETURNS_MAX 8192

/* The end of an attempt. Body: `returns` values (status MOB_OK), or one struct mob_error, whose text may be cut: body_size is then
 * smaller than the struct (but holds all before the text, and a zero at its end). */
struct mob_answer_frame {
    uint64_t task;
    int64_t started_ns, ended_ns;       /* the worker's CLOCK_BOOTTIME */
    uint32_t body_size;
    uint16_t attempt;
    uint16_t returns;
    int32_t status;             /* MOB_OK or MOB_ANSWER_RAISED: values follow; MOB_ANSWER_ITEM; or the error's code */
    uint32_t item;              /* ITEM: which, from 0 */
};

#define MOB_ANSWER_RAISED INT32_MIN     /* the values are there, and say themselves that the task failed */
#define MOB_ANSWER_ITEM (INT32_MIN + 1) /* no end of the attempt: an item of a stream, one value, the return `item` + 1 of its task */
#define MOB_ANSWER_LOST (INT32_MIN + 2) /* it did not run: an argument could not be had. Body: its name as in the task frame; the error */
static inline bool mob_answer_has_values(const struct mob_answer_frame *f)
{
    return f->status == 0 || f->status == MOB_ANSWER_RAISED || f->status == MOB_ANSWER_ITEM;
}

static inline size_t mob_frame_pad(size_t size)
{
    return (size + 7) & ~(size_t)7;
}

#endif
