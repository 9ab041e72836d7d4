/* SPDX-License-Identifier: Apache-2.0 */
/* backoff.c -- the pause of a task before it is tried again.
 *
 * A task whose attempt was ended because the node ran short of memory would find it as short at once: it rests 1 s, twice as long each
 * time it happens again, 60 s at most. That costs it none of its retries, as it need not be the one that took too much. One that found
 * no room in a node's object store rests in the same way: by then the head knows that it is full, and work goes elsewhere. But only so
 * often, as it may need more than any node has.
 *
 * Other attempts are repeated at once, unless the rule of its function has a delay; the same rule says after which failures of its own a
 * task is tried again at all. Those take from its retries.
 *
 * Each pause is up to a quarter shorter or longer, by chance: tasks that were ended together do not come back together.
 *
 * A heap by the time that is due: cancel takes a task out of its middle, so its place stands in the task's history.
 */
#include "worker/backoff.h"

#include <stdlib.h>
#include <string.h>

#include "worker/core.h"

#define STARVED_NS INT64_C(1000000000)
#define REST_MAX_NS INT64_C(60000000000)
#define MOVES_MAX 3u

/* -- rules ------------------------------------------------------------------------------------------------------------------ */

static bool is_same(const struct retry_rule *a, const struct mob_retry *b)
{
    if (a->delay_ns != b->delay_ns || a->any != (b->codes == NULL && b->code_count > 0))
        return false;
    if (a->any || b->codes == NULL)
        return a->any || a->code_count == 0;
    return a->code_count == b->code_count && memcmp(a->codes, b->codes, a->code_count * sizeof a->codes[0]) == 0;
}

int mob_owner_retry(struct mob_owner *o, const struct mob_retry *retry, uint16_t *ret_number, struct mob_error *err)
{
    struct backoffs *b = &o->backoffs;
    size_t codes = retry->codes != NULL ? retry->code_count : 0, i = 0;

    while (i < b->rule_count && !is_same(b->rules[i], retry))
        i++;
    if (i == UINT16_MAX)
        return mob_error_set(err, MOB_ERR_NO_SPACE, "functions with %zu different rules for retries: let some have the same", i);
    if (i == b->rule_count) {
        struct retry_rule *rule = mob_alloc(sizeof *rule + codes * sizeof rule->codes[0]);

        *rule = (struct retry_rule){ .delay_ns = retry->delay_ns, .any = codes == 0 && retry->code_count > 0, .code_count = codes };
        for (size_t k = 0; k < codes; k++)
            rule->codes[k] = retry->codes[k];
        b->rules = mob_realloc(b->rules, (b->rule_count + 1) * sizeof(struct retry_rule *));
        b->rules[b->rule_count++] = rule;
    }
    *ret_number = (uint16_t)(i + 1);
    return 0;
}

static const struct retry_rule *rule_of(const struct mob_owner *o, const struct task *t)
{
    static const struct retry_rule none = { 0 };

    return t->retry > 0 ? o->backoffs.rules[t->retry - 1] : &none;
}

bool mob_owner_retry_names(const struct mob_owner *o, const struct task *t, int32_t user_code)
{
    const struct retry_rule *rule = rule_of(o, t);
    bool named = rule->any;

    for (size_t i = 0; !named && i < rule->code_count; i++)
        named = rule->codes[i] == user_code;
    return named;
}

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

/* Who reads the error may run where there is room. */
bool mob_owner_backoff_moves(struct task *t, struct mob_error *why, bool ran)
{
    if (why->code != MOB_ERR_NO_SPACE || why->user_code != MOB_NO_SPACE_HERE)
        return false;
    why->user_code = 0;
    return !(ran && t->once) && mob_owner_task_history(t)->refused++ < MOVES_MAX;
}

bool mob_owner_backoff_begin(struct mob_owner *o, struct task *t, const struct mob_error *why, bool starved)
{
    int64_t delay_ns = starved ? STARVED_NS : rule_of(o, t)->delay_ns;
    struct history *h;

    if (delay_ns == 0)
        return false;
    h = mob_owner_task_history(t);
    h->due_ns = o->now_ns + pause_ns(o, delay_ns, starved ? h->starved++ : h->rested++);
    h->why = why->code;                 /* if this is the first that is known of it */
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
    for (size_t i = 0; i < o->backoffs.rule_count; i++)
        free(o->backoffs.rules[i]);
    free(o->backoffs.rules);
    free(o->backoffs.heap);
}

void mob_owner_backoffs_check(const struct mob_owner *o)
{
    const struct backoffs *b = &o->backoffs;

    assert(b->count == o->tasks.in_state[TASK_RESTING]);
    for (size_t i = 0; i < b->count; i++) {
        assert(b->heap[i]->state == TASK_RESTING && b->heap[i]->history->place == i);
        assert(b->heap[i]->lease == NULL && !b->heap[i]->cancelled);
        assert(i == 0 || !sooner(b->heap[i], b->heap[(i - 1) / 2]));
    }
}
