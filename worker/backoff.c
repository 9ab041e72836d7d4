/* SPDX-License-Identifier: Apache-2.0 */
/* backoff.c -- the pause of a task before it is tried again.
 *
 * A task whose attempt was ended because the node ran short of memory would find it as short at once: it rests 1 s, twice as long each
 * time it happens again, 60 s at most. That costs it none of its retries, as it need not be the one that took too much.
 *
 * Each pause is up to a quarter shorter or longer, by chance: tasks that were ended together do not come back together.
 *
 * A heap by the time that is due: cancel takes a task out of its middle, so its place stands in the task's history.
 */
#include "worker/backoff.h"

#include <stdlib.h>

#include "worker/core.h"

#define STARVED_NS INT64_C(1000000000)
#define REST_MAX_NS INT64_C(60000000000)

struct history *mob_owner_task_history(struct task *t)
{
    return t->history != NULL ? t->history : (t->history = mob_new(struct history));
}

/* -- the heap -------------------------------------------------------------------------------------------------------------- */

static void put(struct backoffs *b, size_t i, struct task *t)
{
    b->heap[i] = t;
    t->history->place = i;
}

static bool sooner(const struct task *a, const struct task *b)
{
    return a->history->due_ns < b->history->due_ns;
}

/* t belongs at i, or above. */
static void rise(struct backoffs *b, size_t i, struct task *t)
{
    for (; i > 0 && sooner(t, b->heap[(i - 1) / 2]); i = (i - 1) / 2)
        put(b, i, b->heap[(i - 1) / 2]);
    put(b, i, t);
}

/* t belongs at i, or below. */
static void sink(struct backoffs *b, size_t i, struct task *t)
{
    size_t child;

    while ((child = 2 * i + 1) < b->count) {
        if (child + 1 < b->count && sooner(b->heap[child + 1], b->heap[child]))
            child++;
        if (!sooner(b->heap[child], t))
            break;
        put(b, i, b->heap[child]);
        i = child;
    }
    put(b, i, t);
}

static void add(struct backoffs *b, struct task *t)
{
    if (b->count == b->room) {
        b->room = b->room * 2 + 16;
        b->heap = mob_realloc(b->heap, b->room * sizeof(struct task *));
    }
    rise(b, b->count++, t);
}

void mob_owner_backoff_leave(struct mob_owner *o, struct task *t)
{
    struct backoffs *b = &o->backoffs;
    size_t i = t->history->place;
    struct task *last = b->heap[b->count - 1];

    assert(t->state == TASK_RESTING && b->heap[i] == t);
    b->count--;
    if (last == t)
        return;
    if (i > 0 && sooner(last, b->heap[(i - 1) / 2]))
        rise(b, i, last);
    else
        sink(b, i, last);
}

/* -- a pause --------------------------------------------------------------------------------------------------------------- */

/* The n-th of its kind, from 0. */
static int64_t pause_ns(struct mob_owner *o, int64_t first_ns, uint32_t n)
{
    int64_t ns = n < 16 && first_ns << n < REST_MAX_NS ? first_ns << n : REST_MAX_NS;

    return ns - ns / 4 + (int64_t)(o->world->random(o->world) % (uint64_t)(ns / 2 + 1));
}

bool mob_owner_backoff_begin(struct mob_owner *o, struct task *t, const struct mob_error *why, bool starved)
{
    struct history *h;

    if (!starved)
        return false;
    h = mob_owner_task_history(t);
    h->due_ns = o->now_ns + pause_ns(o, STARVED_NS, h->starved++);
    h->why = why->code;
    mob_copy(h->node, sizeof h->node, why->node);
    add(&o->backoffs, t);
    return true;
}

int64_t mob_owner_backoffs_flush(struct mob_owner *o)
{
    struct backoffs *b = &o->backoffs;

    while (b->count > 0 && b->heap[0]->history->due_ns <= o->now_ns) {
        struct task *t = b->heap[0];

        mob_owner_backoff_leave(o, t);
        mob_owner_task_rested(o, t);
    }
    return b->count > 0 ? b->heap[0]->history->due_ns : INT64_MAX;
}

void mob_owner_backoffs_fail(struct mob_owner *o, const struct mob_error *why)
{
    while (o->backoffs.count > 0) {
        struct task *t = o->backoffs.heap[o->backoffs.count - 1];

        mob_owner_backoff_leave(o, t);
        mob_owner_task_fail(o, t, why, 0);
    }
}

void mob_owner_backoffs_fini(struct mob_owner *o)
{
    free(o->backoffs.heap);
}

void mob_owner_backoffs_check(const struct mob_owner *o)
{
    const struct backoffs *b = &o->backoffs;

    assert(b->count == o->tasks.in_state[TASK_RESTING]);
    for (size_t i = 0; i < b->count; i++) {
        assert(b->heap[i]->state == TASK_RESTING && b->heap[i]->history->place == i && b->heap[i]->lease == NULL);
        assert(i == 0 || !sooner(b->heap[i], b->heap[(i - 1) / 2]));
    }
}
