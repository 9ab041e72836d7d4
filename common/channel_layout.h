/* SPDX-License-Identifier: Apache-2.0 */
/* channel_layout.h -- the memory of a channel and the two ends' private books; for common/channel*.c alone.
 *
 * Nothing private is ever read back from shared memory: where bodies begin and end, who has to answer what. What is shared:
 *
 *   word                  written by          read by     order
 *   tasks[].claim         owner: QUEUED       worker      release / acquire: frame, offset, epoch and body are there
 *                         worker: CLAIMED     owner       compare-and-swap against TAKEN: one wins; acquire for the winner
 *                         owner: TAKEN        worker
 *                         worker: DONE        owner       release / acquire: the worker has read frame and body, they may be reused
 *   tasks[].allowed       owner               worker      relaxed: a number that only says how far to go
 *   answers[].sequence    worker              owner       release / acquire: frame and body are there
 *   answers_done          owner               worker      release / acquire: the owner has read these answers' frames and bodies
 *   bytes_lent           both, RMW           both        how much of the answer bytes is promised to somebody (below)
 *
 * Sequence numbers start at 1, never wrap, and sequence s lives in slot s % SLOTS: zeroed memory is an empty channel. There are twice
 * as many slots for answers: one half is kept for the tasks, an item of a stream takes one while fewer than half are full.
 *
 * Room for answers. The answer bytes are lent out in pieces: REPLY_MIN for each task that is pushed and not answered (the owner
 * takes them in batches, so that pushing costs no RMW), what an answer is larger than REPLY_MIN and all of an item (the worker takes
 * these), and one REPLY_MIN for the gap that small answers may leave where the ring wraps. bytes_lent is the sum of what was lent; it
 * is a promise between honest ends only: each end checks its own writes against what the other has truly consumed.
 */
#ifndef MOB_COMMON_CHANNEL_LAYOUT_H
#define MOB_COMMON_CHANNEL_LAYOUT_H

#include "common/channel.h"

#define SLOTS ((uint64_t)MOB_CHANNEL_SLOTS)
#define ANSWERS (2 * SLOTS)
#define BYTES ((uint64_t)MOB_CHANNEL_BYTES)
#define REPLY_MIN ((uint64_t)MOB_CHANNEL_REPLY_MIN)
#define LENDABLE (BYTES - REPLY_MIN)
_Static_assert((SLOTS & (SLOTS - 1)) == 0 && (BYTES & (BYTES - 1)) == 0, "powers of two");
_Static_assert(SLOTS * REPLY_MIN <= LENDABLE && REPLY_MIN % 64 == 0, "a full ring of small answers fits");

enum claim { CLAIM_NONE, CLAIM_QUEUED, CLAIM_CLAIMED, CLAIM_TAKEN, CLAIM_DONE };
#define CLAIM_BITS 3

struct task_slot {
    _Alignas(64) _Atomic uint64_t claim;        /* sequence << CLAIM_BITS | enum claim */
    _Atomic uint32_t epoch;                     /* the frame's; the worker looks at it before it claims */
    uint32_t offset;                            /* of the body */
    _Atomic uint32_t allowed;                   /* STREAM: how many items may be sent in all, or MOB_STREAM_... */
    struct mob_task_frame frame;
};
_Static_assert(sizeof(struct task_slot) == 64, "one cache line a task");

struct answer_slot {
    _Alignas(64) _Atomic uint64_t sequence;
    struct mob_answer_frame frame;
};
_Static_assert(sizeof(struct answer_slot) == 64, "one cache line an answer");

#define CHANNEL_MAGIC 0x4d4f4243u
#define CHANNEL_VERSION 2u

struct memory {
    uint32_t magic, version, slots, bytes;      /* written by who made it */
    _Atomic uint32_t bits[2];                   /* by role: the dirty bit in that end's page, + 1; 0: it has not mapped this yet */
    _Alignas(64) _Atomic uint64_t answers_done;
    _Alignas(64) _Atomic uint64_t bytes_lent;
    struct task_slot tasks[SLOTS];
    struct answer_slot answers[ANSWERS];
    unsigned char task_bytes[BYTES], answer_bytes[BYTES];
};

/* Positions in a byte ring only grow; the offset is position % BYTES. "end" is the position after a body. */
struct owner_end {
    uint64_t oldest, next;              /* sequences: slots [oldest, next) are in use */
    uint64_t bytes_oldest, bytes_next;  /* positions in the task bytes */
    uint64_t reserved_end;
    uint32_t reserved_size;
    bool reserving, answering;
    uint32_t unanswered;                /* pushed, neither taken back nor answered */
    uint32_t credit;                    /* more tasks that may be pushed: REPLY_MIN was lent to us for each */
    uint64_t answer;                    /* sequence of the answer that comes next */
    uint64_t answer_bytes, answer_end;  /* positions in the answer bytes: of that one's begin (or the gap before it), and end */
    uint64_t answer_extra;              /* what the worker borrowed for it */
    bool answer_is_item;
    uint64_t ends[SLOTS];               /* of the bodies of tasks, by slot */
};

struct worker_end {
    uint64_t next;                      /* sequence: no older task is to be claimed */
    uint64_t claimed;                   /* sequence; 0: none */
    uint64_t answer;                    /* sequence of the answer that is written next */
    uint64_t answers_done;              /* last seen */
    uint64_t bytes_done, bytes_next;    /* positions in the answer bytes */
    uint64_t reserved_end;
    uint32_t reserved_size;
    bool replying;
    uint64_t ends[ANSWERS];             /* of the bodies of answers, by slot */
};

struct mob_channel {
    struct memory *shared;
    struct mob_doorbell peer;
    enum mob_channel_role role;
    bool mapped;                        /* ours to unmap and close */
    bool news;                          /* committed since the last ring */
    const char *error;
    union {
        struct owner_end owner;
        struct worker_end worker;
    };
};

static inline uint64_t claim_word(uint64_t sequence, enum claim state)
{
    return sequence << CLAIM_BITS | state;
}

static inline uint64_t body_pad(uint64_t size)          /* a body has its cache lines for itself */
{
    return (size + 63) & ~(uint64_t)63;
}

/* Where a body goes: at `position`, or after a gap at the start of the ring if it is not in one piece there. */
static inline uint64_t body_place(uint64_t position, uint64_t padded)
{
    uint64_t left = BYTES - (position & (BYTES - 1));

    return padded <= left ? position : position + left;
}

static inline bool channel_break(struct mob_channel *c, const char *what)
{
    if (c->error == NULL)
        c->error = what;
    return false;
}

/* Lend `size` of the answer bytes, if there are as many. */
static inline bool answer_bytes_lend(struct mob_channel *c, uint64_t size)
{
    uint64_t taken = atomic_load_explicit(&c->shared->bytes_lent, memory_order_relaxed);

    for (int tries = 0; tries < 16; tries++) {          /* bounded: a hostile peer may change it for ever */
        if (taken > LENDABLE)
            return channel_break(c, "the count of lent answer bytes is beyond the ring");
        if (LENDABLE - taken < size)
            return false;
        if (atomic_compare_exchange_strong_explicit(&c->shared->bytes_lent, &taken, taken + size, memory_order_acquire,
                                                    memory_order_relaxed))
            return true;
    }
    return false;
}

#endif
