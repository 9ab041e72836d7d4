/* SPDX-License-Identifier: Apache-2.0 */
/* channel_pair.h -- two ends of a channel on plain memory, and their pages. */
#ifndef MOB_TESTS_CHANNEL_PAIR_H
#define MOB_TESTS_CHANNEL_PAIR_H

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/channel.h"

struct pair {
    void *memory;
    struct mob_page pages[2];           /* of the owner, of the worker */
    struct mob_channel *owner, *worker;
};

static inline struct pair *pair_create_with(int owner_event_fd, int worker_event_fd)
{
    struct pair *p = aligned_alloc(64, (sizeof(*p) + 63) & ~(size_t)63);

    memset(p, 0, sizeof(*p));
    p->memory = aligned_alloc(64, (mob_channel_memory_size() + 63) & ~(size_t)63);
    memset(p->memory, 0, mob_channel_memory_size());
    p->owner = mob_channel_on_memory(p->memory, &(struct mob_doorbell){ &p->pages[1], worker_event_fd }, MOB_CHANNEL_OWNER, 7);
    p->worker = mob_channel_on_memory(p->memory, &(struct mob_doorbell){ &p->pages[0], owner_event_fd }, MOB_CHANNEL_WORKER, 9);
    return p;
}

static inline struct pair *pair_create(void)
{
    return pair_create_with(-1, -1);
}

static inline void pair_destroy(struct pair *p)
{
    mob_channel_close(p->owner);
    mob_channel_close(p->worker);
    free(p->memory);
    free(p);
}

/* Push task number `task` with a body of `size` bytes that tells the number: its sequence, or 0 if there is no room. */
static inline uint64_t pair_push(struct pair *p, uint64_t task, uint32_t epoch, size_t size)
{
    void *body;
    struct mob_task_frame *frame = mob_channel_reserve(p->owner, size, &body);

    if (frame == NULL)
        return 0;
    *frame = (struct mob_task_frame){ .task = task, .epoch = epoch };
    memset(body, (int)(task & 0xff), size);
    return mob_channel_commit(p->owner);
}

/* Claim the next task of `epoch`: its number, or 0. Its body is checked. */
static inline uint64_t pair_claim(struct pair *p, uint32_t epoch)
{
    struct mob_task_frame frame;
    const void *body;

    if (!mob_channel_claim(p->worker, epoch, &frame, &body))
        return 0;
    for (size_t i = 0; i < frame.body_size; i++)
        assert(((const unsigned char *)body)[i] == (frame.task & 0xff));
    return frame.task;
}

/* Answer the claimed task with `size` bytes; false: no room. */
static inline bool pair_reply(struct pair *p, uint64_t task, size_t size)
{
    void *body;
    struct mob_answer_frame *frame = mob_channel_reply(p->worker, size, &body);

    if (frame == NULL)
        return false;
    *frame = (struct mob_answer_frame){ .task = task };
    memset(body, (int)(task & 0xff), size);
    mob_channel_reply_commit(p->worker);
    return true;
}

/* The claimed task sends an item; false: no room. */
static inline bool pair_item(struct pair *p, uint64_t task, size_t size)
{
    void *body;
    struct mob_answer_frame *frame = mob_channel_item(p->worker, size, &body);

    if (frame == NULL)
        return false;
    *frame = (struct mob_answer_frame){ .task = task, .status = MOB_ANSWER_ITEM };
    memset(body, (int)(task & 0xff), size);
    mob_channel_item_commit(p->worker);
    return true;
}

/* Read one answer: the task's number, or 0. Its body is checked. */
static inline uint64_t pair_answer(struct pair *p, size_t *ret_size)
{
    struct mob_answer_frame frame;
    const void *body;

    if (!mob_channel_answer(p->owner, &frame, &body))
        return 0;
    for (size_t i = 0; i < frame.body_size; i++)
        assert(((const unsigned char *)body)[i] == (frame.task & 0xff));
    if (ret_size != NULL)
        *ret_size = frame.body_size;
    mob_channel_answer_done(p->owner);
    return frame.task;
}

#endif
