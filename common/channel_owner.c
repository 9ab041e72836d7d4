/* SPDX-License-Identifier: Apache-2.0 */
/* channel_owner.c -- the owner's end of a channel: push tasks, take them back, read answers.
 *
 * A slot and its body are the owner's until commit; then the claim word says whose (channel.h); they are the owner's again once it
 * says TAKEN or DONE. Slots are reused in order: the owner reads claim words again only when it runs out of room, in batches, so
 * that in a full pipeline the line of a slot travels once each way a lap.
 */
#include <assert.h>
#include <string.h>

#include "common/channel_layout.h"

#define RECLAIM_BATCH 64        /* slots looked at when room is short: bounds the pause, and pays for the cache misses together */
#define CREDIT_BATCH 64         /* answers' rooms taken from, and given back to, the shared count at once: half of MOB_CHANNEL_REPLY_MAX */

static bool tasks_fit(const struct owner_end *o, uint64_t padded)
{
    return o->next - o->oldest < SLOTS && body_place(o->bytes_next, padded) + padded - o->bytes_oldest <= BYTES;
}

/* Take slots back into use that are over, oldest first, until a body of `padded` bytes fits. */
static void reclaim(struct mob_channel *c, uint64_t padded)
{
    struct owner_end *o = &c->owner;

    for (unsigned n = 0; o->oldest < o->next && (n < RECLAIM_BATCH || !tasks_fit(o, padded)); n++) {
        /* Acquire: the worker's last reads of this frame and body come before our next writes. */
        uint64_t word = atomic_load_explicit(&c->shared->tasks[o->oldest % SLOTS].claim, memory_order_acquire);

        if (word == claim_word(o->oldest, CLAIM_QUEUED) || word == claim_word(o->oldest, CLAIM_CLAIMED))
            break;
        if (word != claim_word(o->oldest, CLAIM_DONE) && word != claim_word(o->oldest, CLAIM_TAKEN)) {
            channel_break(c, "a claim word is not of its slot");
            return;
        }
        o->bytes_oldest = o->ends[o->oldest % SLOTS];
        o->oldest++;
    }
    if (o->oldest == o->next)           /* empty: no gap at the wrap, so that even the largest body fits */
        o->bytes_oldest = o->bytes_next = (o->bytes_next + BYTES - 1) & ~(BYTES - 1);
}

bool mob_channel_has_room(struct mob_channel *c, size_t size)
{
    struct owner_end *o = &c->owner;
    uint64_t padded;

    assert(c->role == MOB_CHANNEL_OWNER);
    if (size > BYTES || o->unanswered >= SLOTS || c->error != NULL)
        return false;
    padded = body_pad(size);
    if (!tasks_fit(o, padded)) {
        reclaim(c, padded);
        if (c->error != NULL || !tasks_fit(o, padded))
            return false;
    }
    if (o->credit == 0) {
        if (answer_bytes_lend(c, CREDIT_BATCH * REPLY_MIN))
            o->credit = CREDIT_BATCH;
        else if (answer_bytes_lend(c, REPLY_MIN))
            o->credit = 1;
    }
    return o->credit > 0;
}

struct mob_task_frame *mob_channel_reserve(struct mob_channel *c, size_t body_size, void **ret_body)
{
    struct owner_end *o = &c->owner;
    struct task_slot *slot;
    uint64_t begin;

    assert(!o->reserving);
    if (!mob_channel_has_room(c, body_size))
        return NULL;
    begin = body_place(o->bytes_next, body_pad(body_size));
    slot = &c->shared->tasks[o->next % SLOTS];
    slot->offset = (uint32_t)(begin & (BYTES - 1));
    *ret_body = c->shared->task_bytes + (begin & (BYTES - 1));
    o->reserving = true;
    o->reserved_size = (uint32_t)body_size;
    o->reserved_end = begin + body_pad(body_size);
    return &slot->frame;
}

uint64_t mob_channel_commit(struct mob_channel *c)
{
    struct owner_end *o = &c->owner;
    struct task_slot *slot = &c->shared->tasks[o->next % SLOTS];

    assert(o->reserving && o->credit > 0);
    slot->frame.body_size = o->reserved_size;
    /* A worker that still looks at this slot's last task may read the new epoch: its compare-and-swap then fails. */
    atomic_store_explicit(&slot->epoch, slot->frame.epoch, memory_order_relaxed);
    atomic_store_explicit(&slot->allowed, slot->frame.had + slot->frame.first, memory_order_relaxed);
    /* Release: frame, body, offset and epoch come before. The one publishing store. */
    atomic_store_explicit(&slot->claim, claim_word(o->next, CLAIM_QUEUED), memory_order_release);
    o->ends[o->next % SLOTS] = o->bytes_next = o->reserved_end;
    o->reserving = false;
    o->credit--;
    o->unanswered++;
    c->news = true;
    return o->next++;
}

/* A task is over: what was lent for its answer may serve another; above two batches it goes back, for the worker's large answers. */
static void task_over(struct mob_channel *c)
{
    struct owner_end *o = &c->owner;

    o->unanswered--;
    o->credit++;
    if (o->credit >= 2 * CREDIT_BATCH) {
        o->credit -= CREDIT_BATCH;
        atomic_fetch_sub_explicit(&c->shared->bytes_lent, CREDIT_BATCH * REPLY_MIN, memory_order_release);
    }
}

bool mob_channel_take_back(struct mob_channel *c, uint64_t sequence)
{
    struct owner_end *o = &c->owner;
    uint64_t word = claim_word(sequence, CLAIM_QUEUED);

    assert(c->role == MOB_CHANNEL_OWNER);
    if (sequence < o->oldest || sequence >= o->next || c->error != NULL)
        return false;
    /* Relaxed: nothing of the worker's is read after winning, and TAKEN publishes nothing. The swap alone decides. */
    if (!atomic_compare_exchange_strong_explicit(&c->shared->tasks[sequence % SLOTS].claim, &word, claim_word(sequence, CLAIM_TAKEN),
                                                 memory_order_relaxed, memory_order_relaxed))
        return false;
    if (o->unanswered == 0)
        return channel_break(c, "a task was answered before it was claimed");
    task_over(c);
    return true;
}

bool mob_channel_answer(struct mob_channel *c, struct mob_answer_frame *ret_frame, const void **ret_body)
{
    struct owner_end *o = &c->owner;
    struct answer_slot *slot = &c->shared->answers[o->answer % ANSWERS];
    uint64_t sequence, begin, padded;

    assert(c->role == MOB_CHANNEL_OWNER && !o->answering);
    /* Acquire: the frame and body are there. */
    sequence = atomic_load_explicit(&slot->sequence, memory_order_acquire);
    if (sequence != o->answer) {
        if (sequence != (o->answer > ANSWERS ? o->answer - ANSWERS : 0))
            return channel_break(c, "an answer's sequence is not of its slot");
        return false;
    }
    if (c->error != NULL)
        return false;
    if (o->unanswered == 0)
        return channel_break(c, "an answer to no task");
    *ret_frame = slot->frame;
    atomic_signal_fence(memory_order_seq_cst);          /* what is checked is the copy */
    if (ret_frame->body_size > BYTES)
        return channel_break(c, "an answer is larger than the ring");
    /* Where it stands is not told, but follows from all sizes so far: the worker's reply does the same sum. */
    padded = body_pad(ret_frame->body_size);
    begin = body_place(o->answer_bytes, padded);
    o->answer_end = begin + padded;
    o->answer_is_item = ret_frame->status == MOB_ANSWER_ITEM;
    if (o->answer_is_item)
        o->answer_extra = o->answer_end - o->answer_bytes;
    else
        o->answer_extra = padded > REPLY_MIN ? o->answer_end - o->answer_bytes - REPLY_MIN : 0;
    o->answering = true;
    *ret_body = c->shared->answer_bytes + (begin & (BYTES - 1));
    return true;
}

void mob_channel_answer_done(struct mob_channel *c)
{
    struct owner_end *o = &c->owner;

    assert(o->answering);
    /* Release: our reads of the frame and body come before the worker's next writes there. */
    atomic_store_explicit(&c->shared->answers_done, o->answer, memory_order_release);
    if (o->answer_extra > 0)            /* release: who borrows these bytes sees answers_done */
        atomic_fetch_sub_explicit(&c->shared->bytes_lent, o->answer_extra, memory_order_release);
    o->answer_bytes = o->answer_end;
    o->answering = false;
    o->answer++;
    if (o->answer_is_item)
        c->news = true;                 /* the worker may wait for the room */
    else
        task_over(c);
}

void mob_channel_allow(struct mob_channel *c, uint64_t sequence, uint32_t items)
{
    assert(c->role == MOB_CHANNEL_OWNER);
    if (sequence < c->owner.oldest || sequence >= c->owner.next)
        return;
    atomic_store_explicit(&c->shared->tasks[sequence % SLOTS].allowed, items, memory_order_relaxed);
    c->news = true;
}
