/* SPDX-License-Identifier: Apache-2.0 */
/* remote.c -- tasks for, and answers of, workers on other nodes: the same frames as in a ring, in batches through the two
 * raylets.
 *
 * The lender puts the frames into the worker's ring and takes back by itself what stands behind a long or blocked task; it
 * holds at most the window of the grant. A batch leaves when it is full (BATCH_TASKS, BATCH_BYTES), else at the flush.
 */
#include <string.h>

#include "worker/core.h"

#define BATCH_TASKS 256u
#define BATCH_BYTES (256u * 1024)

static struct mob_address lender(const struct lease *l)
{
    return (struct mob_address){ l->worker.node, 0 };
}

static void send_batch(struct mob_owner *o, struct lease *l)
{
    struct batch *b = &l->batch;
    Mobula__TaskFrames m = MOBULA__TASK_FRAMES__INIT;

    if (b->count == 0)
        return;
    m.lease = l->number;
    m.count = b->count;
    m.frames = (ProtobufCBinaryData){ .len = b->size, .data = b->bytes };
    mob_owner_send(o, lender(l), MOBULA__ENVELOPE__BODY_TASK_FRAMES, &m);
    b->size = b->count = 0;
    mob_list_remove(&l->unsent);
}

bool mob_owner_remote_push(struct mob_owner *o, struct lease *l, struct task *t)
{
    size_t body_size = mob_owner_body_frame_size(o, t), size = sizeof(struct mob_task_frame) + body_size;
    struct batch *b = &l->batch;
    struct mob_task_frame frame;

    if (l->count > 0 && l->bytes + size > l->window_bytes)
        return false;
    if (b->size + size > BATCH_BYTES)
        send_batch(o, l);
    if (b->size + size > b->room) {
        b->room = 2 * b->room + size;
        b->bytes = mob_realloc(b->bytes, b->room);
    }
    mob_owner_frame_fill(o, t, l, body_size, &frame);
    memcpy(b->bytes + b->size, &frame, sizeof frame);
    mob_owner_body_frame(o, t, b->bytes + b->size + sizeof frame);
    b->size += size;
    if (b->count++ == 0)
        mob_list_append(&o->leases.unsent, &l->unsent);
    t->sequence = size;
    l->bytes += size;
    if (b->count == BATCH_TASKS)
        send_batch(o, l);
    return true;
}

void mob_owner_remote_flush(struct mob_owner *o)
{
    while (!mob_list_empty(&o->leases.unsent))
        send_batch(o, mob_list_first(&o->leases.unsent, struct lease, unsent));
}

void mob_owner_remote_allow(struct mob_owner *o, struct lease *l, const struct task *t, uint32_t items)
{
    Mobula__Allow m = MOBULA__ALLOW__INIT;

    send_batch(o, l);                           /* Allow shall find what it names */
    m.lease = l->number;
    m.task = t->number;
    m.attempt = t->attempt;
    m.items = items;
    mob_owner_send(o, lender(l), MOBULA__ENVELOPE__BODY_ALLOW, &m);
}

void mob_owner_remote_take_back(struct mob_owner *o, struct lease *l, const struct task *only)
{
    Mobula__TakeBack m = MOBULA__TAKE_BACK__INIT;
    uint64_t number = only != NULL ? only->number : 0;

    if (l->count == 0)
        return;
    send_batch(o, l);                           /* TakeBack shall find what it names */
    m.lease = l->number;
    m.n_tasks = only != NULL;
    m.tasks = &number;
    l->asked_back = true;
    mob_owner_send(o, lender(l), MOBULA__ENVELOPE__BODY_TAKE_BACK, &m);
}

/* The task that a number from outside means, if this lease has it. */
static struct task *task_of(const struct mob_owner *o, const struct lease *l, uint64_t number)
{
    const struct object *b = mob_owner_object_at(o, number);

    return b != NULL && b->maker != NULL && b->maker->number == number && b->maker->lease == l ? b->maker : NULL;
}

void mob_owner_on_taken(struct mob_owner *o, uint32_t node, const Mobula__Taken *m)
{
    struct lease *l = mob_owner_lease_find(o, node, m->lease);

    if (l == NULL || l->channel != NULL)
        return;
    bool unasked = !l->asked_back;

    l->asked_back = false;
    for (size_t i = m->n_tasks; i-- > 0;) {     /* the last first: they go to the front of the queue */
        struct task *t = task_of(o, l, m->tasks[i]);

        if (t == NULL)
            continue;
        mob_owner_lease_forget(o, l, t);
        mob_owner_task_unpushed(o, t);
    }
    if (unasked && l->count > 0)
        mob_owner_lease_stall(o, l, true);      /* the lender says: it is blocked, or runs long */
    shape_touch(&o->shapes, l->shape);
}

void mob_owner_on_answer_frames(struct mob_owner *o, uint32_t node, const Mobula__AnswerFrames *m)
{
    struct lease *l = mob_owner_lease_find(o, node, m->lease);
    size_t at = 0, size = m->frames.len;
    struct mob_answer_frame frame;

    if (l == NULL || l->channel != NULL)
        return;
    for (uint32_t i = 0; i < m->count; i++) {
        if (size - at < sizeof frame)
            goto malformed;
        memcpy(&frame, m->frames.data + at, sizeof frame);
        at += sizeof frame;
        if (frame.body_size > size - at || frame.body_size % 8 != 0)
            goto malformed;
        mob_owner_answer(o, l, &frame, m->frames.data + at);
        at += frame.body_size;
    }
    if (at == size)
        return;
malformed:
    mob_owner_lease_broken(o, l, "its answer frames are malformed");
}
