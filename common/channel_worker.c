/* SPDX-License-Identifier: Apache-2.0 */
/* channel_worker.c -- the worker's end of a channel: claim tasks in order, answer each.
 *
 * The worker looks at one slot, the next. Its claim word says all: of an older lap - nothing is there yet; QUEUED - ours, if the
 * epoch is ours and the compare-and-swap wins; TAKEN - go on; of a younger lap - the owner took this task back and used the slot
 * again, so all tasks up to one lap before that are over. A task of an older epoch stays for the owner to take back.
 */
#include <assert.h>

#include "common/channel_layout.h"

/* Move to the first slot that may hold an unclaimed task of `epoch`. Ends: each turn moves forward or returns, and the owner can only
 * keep ahead by taking back and pushing for ever. */
static bool find_task(struct mob_channel *c, uint32_t epoch)
{
    struct worker_end *w = &c->worker;

    for (;;) {
        struct task_slot *slot = &c->shared->tasks[w->next % SLOTS];
        uint64_t word = atomic_load_explicit(&slot->claim, memory_order_acquire);      /* epoch and frame are there */
        uint64_t sequence = word >> CLAIM_BITS;
        int32_t ahead;

        if (sequence < w->next)
            return false;
        if (sequence % SLOTS != w->next % SLOTS)
            return channel_break(c, "a claim word is not of its slot");
        if (sequence > w->next) {
            w->next = sequence - SLOTS + 1;
            continue;
        }
        if (word == claim_word(sequence, CLAIM_QUEUED)) {
            /* Acquire: the word is looked at again after it. */
            ahead = (int32_t)(atomic_load_explicit(&slot->epoch, memory_order_acquire) - epoch);
            if (ahead == 0)
                return true;
            if (ahead > 0) {            /* waits for us to reach its epoch; unless it is the slot's next task that we saw */
                if (atomic_load_explicit(&slot->claim, memory_order_relaxed) == word)
                    return false;
                continue;
            }
        } else if (word != claim_word(sequence, CLAIM_TAKEN)) {
            return channel_break(c, "a claim word has an impossible state");
        }
        w->next++;
    }
}

bool mob_channel_pending(struct mob_channel *c, uint32_t epoch)
{
    assert(c->role == MOB_CHANNEL_WORKER);
    return c->error == NULL && find_task(c, epoch);
}

/* A checked copy of the claimed task. */
static bool read_task(struct mob_channel *c, uint32_t epoch, struct mob_task_frame *ret_frame, const void **ret_body)
{
    const struct task_slot *slot = &c->shared->tasks[c->worker.claimed % SLOTS];
    uint64_t offset = slot->offset;

    *ret_frame = slot->frame;
    atomic_signal_fence(memory_order_seq_cst);          /* what is checked is the copy */
    if (ret_frame->epoch != epoch)
        return channel_break(c, "a task's epoch is not its slot's");
    if (offset > BYTES || offset % 8 != 0 || ret_frame->body_size > BYTES - offset)
        return channel_break(c, "a task's body is outside of the ring");
    *ret_body = c->shared->task_bytes + offset;
    return true;
}

bool mob_channel_claim(struct mob_channel *c, uint32_t epoch, struct mob_task_frame *ret_frame, const void **ret_body)
{
    struct worker_end *w = &c->worker;

    assert(c->role == MOB_CHANNEL_WORKER && (w->claimed == 0 || c->error != NULL));
    while (c->error == NULL && find_task(c, epoch)) {
        uint64_t word = claim_word(w->next, CLAIM_QUEUED);

        /* Acquire with the winning swap: frame, offset and body are this sequence's. Lost: the owner took it back; look again. */
        if (atomic_compare_exchange_strong_explicit(&c->shared->tasks[w->next % SLOTS].claim, &word,
                                                    claim_word(w->next, CLAIM_CLAIMED), memory_order_acquire, memory_order_relaxed)) {
            w->claimed = w->next++;
            return read_task(c, epoch, ret_frame, ret_body);
        }
    }
    return false;
}

/* See how far the owner has come with our answers. */
static void see_answers_done(struct mob_channel *c)
{
    struct worker_end *w = &c->worker;
    /* Acquire: its reads of these frames and bodies come before our next writes. */
    uint64_t done = atomic_load_explicit(&c->shared->answers_done, memory_order_acquire);

    if (done < w->answers_done || done >= w->answer) {
        channel_break(c, "the count of answers that were read is impossible");
        return;
    }
    if (done > w->answers_done)
        w->bytes_done = w->ends[done % ANSWERS];
    w->answers_done = done;
}

static bool answer_fits(const struct worker_end *w, uint64_t end)
{
    return w->answer - w->answers_done <= ANSWERS && end - w->bytes_done <= BYTES;
}

size_t mob_channel_reply_room(const struct mob_channel *c)
{
    uint64_t lent = atomic_load_explicit(&c->shared->bytes_lent, memory_order_relaxed);
    uint64_t left = BYTES - (c->worker.bytes_next & (BYTES - 1)), room;

    assert(c->role == MOB_CHANNEL_WORKER && c->worker.claimed != 0);
    if (lent >= LENDABLE)
        return REPLY_MIN;
    room = (LENDABLE - lent + REPLY_MIN) & ~(uint64_t)63;
    if (room > left) {                  /* up to the end of the ring, or with a gap there and then from its start */
        room = room - left > left ? room - left : left;
        if (room < REPLY_MIN)
            room = REPLY_MIN;
    }
    return room;
}

/* The bytes from begin to end for what the worker sends next; NULL: the owner has broken the channel, or that does. */
static struct mob_answer_frame *reserve(struct mob_channel *c, uint64_t begin, uint64_t end, size_t body_size, const char *no_room,
                                        void **ret_body)
{
    struct worker_end *w = &c->worker;

    if (!answer_fits(w, end)) {
        see_answers_done(c);
        if (c->error == NULL && !answer_fits(w, end))
            channel_break(c, no_room);
    }
    if (c->error != NULL)
        return NULL;
    w->replying = true;
    w->reserved_size = (uint32_t)body_size;
    w->reserved_end = end;
    *ret_body = c->shared->answer_bytes + (begin & (BYTES - 1));
    return &c->shared->answers[w->answer % ANSWERS].frame;
}

struct mob_answer_frame *mob_channel_reply(struct mob_channel *c, size_t body_size, void **ret_body)
{
    struct worker_end *w = &c->worker;
    uint64_t begin, end, padded = body_pad(body_size);

    assert(w->claimed != 0 && !w->replying);
    if (c->error != NULL || padded > BYTES)
        return NULL;
    begin = body_place(w->bytes_next, padded);
    end = begin + padded;
    if (padded > REPLY_MIN && !answer_bytes_lend(c, end - w->bytes_next - REPLY_MIN))
        return NULL;
    return reserve(c, begin, end, body_size, "the owner kept no room for an answer", ret_body);
}

/* The one publishing store, of what was reserved. */
static void publish(struct mob_channel *c)
{
    struct worker_end *w = &c->worker;
    struct answer_slot *slot = &c->shared->answers[w->answer % ANSWERS];

    assert(w->replying);
    slot->frame.body_size = w->reserved_size;
    /* Release: frame and body come before. */
    atomic_store_explicit(&slot->sequence, w->answer, memory_order_release);
    w->ends[w->answer % ANSWERS] = w->bytes_next = w->reserved_end;
    w->answer++;
    w->replying = false;
    c->news = true;
}

void mob_channel_reply_commit(struct mob_channel *c)
{
    struct worker_end *w = &c->worker;

    publish(c);
    /* Release: the answer comes before, so that DONE without an answer does not exist; and so do our reads of the task's frame and
     * body, which the owner may now overwrite. No swap: the owner changes a CLAIMED word never. */
    atomic_store_explicit(&c->shared->tasks[w->claimed % SLOTS].claim, claim_word(w->claimed, CLAIM_DONE), memory_order_release);
    w->claimed = 0;
}

/* -- items of a stream ------------------------------------------------------------------------------------------------------- */

uint32_t mob_channel_allowed(const struct mob_channel *c)
{
    assert(c->role == MOB_CHANNEL_WORKER && c->worker.claimed != 0);
    return atomic_load_explicit(&c->shared->tasks[c->worker.claimed % SLOTS].allowed, memory_order_relaxed);
}

/* A slot is left that is not kept for an answer. */
static bool item_slot_is_free(struct mob_channel *c)
{
    const struct worker_end *w = &c->worker;

    if (c->error == NULL && w->answer - 1 - w->answers_done >= SLOTS)
        see_answers_done(c);
    return c->error == NULL && w->answer - 1 - w->answers_done < SLOTS;
}

bool mob_channel_item_fits(struct mob_channel *c, size_t body_size)
{
    uint64_t padded = body_pad(body_size), end = body_place(c->worker.bytes_next, padded) + padded;
    uint64_t lent = atomic_load_explicit(&c->shared->bytes_lent, memory_order_relaxed);

    return item_slot_is_free(c) && lent <= LENDABLE && LENDABLE - lent >= end - c->worker.bytes_next;
}

struct mob_answer_frame *mob_channel_item(struct mob_channel *c, size_t body_size, void **ret_body)
{
    struct worker_end *w = &c->worker;
    uint64_t begin, end, padded = body_pad(body_size);

    assert(w->claimed != 0 && !w->replying);
    if (padded > BYTES || !item_slot_is_free(c))
        return NULL;
    begin = body_place(w->bytes_next, padded);
    end = begin + padded;
    if (!answer_bytes_lend(c, end - w->bytes_next))
        return NULL;
    return reserve(c, begin, end, body_size, "the owner kept no room for an item", ret_body);
}

void mob_channel_item_commit(struct mob_channel *c)
{
    publish(c);
}

bool mob_channel_half_full(struct mob_channel *c)
{
    struct worker_end *w = &c->worker;

    assert(c->role == MOB_CHANNEL_WORKER);
    for (int look = 0; look < 2 && c->error == NULL; look++) {
        if (w->answer - 1 - w->answers_done <= SLOTS / 2 && w->bytes_next - w->bytes_done < BYTES / 2)
            return false;
        if (look == 0)
            see_answers_done(c);
    }
    return true;
}

void mob_channel_ring_answers(struct mob_channel *c, uint32_t epoch, bool urgent)
{
    assert(c->role == MOB_CHANNEL_WORKER);
    if (!urgent)
        urgent = mob_channel_half_full(c) || !mob_channel_pending(c, epoch);
    mob_channel_ring(c, urgent);
    /* The owner may have taken the rest back since we looked, and doze: it did not see our bit, and this was the last answer. */
    if (!urgent && !mob_channel_pending(c, epoch)) {
        c->news = true;
        mob_channel_ring(c, true);
    }
}
