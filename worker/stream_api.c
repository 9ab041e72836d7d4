/* SPDX-License-Identifier: Apache-2.0 */
/* stream_api.c -- streams: how a task yields items, and how whoever called it reads them.
 *
 *   mob_yield:  wait until one may be sent --> a value as a result's --> its names are known --> wait for room --> send --> wait, again
 *
 * A task that waits is BLOCKED, as in a get: its CPU may serve whoever is to read what it has sent. The owner rings when it allows more,
 * and when it has read; a turn of the runtime then looks (mob_runtime_turn).
 */
#include <string.h>

#include "worker/running.h"

/* -- in the task ------------------------------------------------------------------------------------------------------------- */

bool mob_yield_is_due(const struct mob_runtime *r)
{
    enum mob_yield may = mob_executor_may_yield(r->executor);

    return may != MOB_YIELD_WAIT && (may != MOB_YIELD_SEND || mob_executor_has_room(r->executor, r->yield_size));
}

/* Until an item of `size` bytes may be sent, or skipped. -1: the task is to end. */
static int wait_due(struct mob_task *t, size_t size, struct mob_error *err)
{
    struct mob_runtime *r = t->r;
    struct mob_wait w;

    r->yield_size = size;
    if (!mob_yield_is_due(r)) {
        mob_wait_init(&w);
        r->yielding = &w;
        mob_wait_until(r, &w, MOB_NEVER);
        r->yielding = NULL;
    }
    if (mob_executor_may_yield(r->executor) != MOB_YIELD_STOP)
        return 0;
    return mob_error_set(err, MOB_ERR_CANCELLED, "the task was cancelled");
}

/* t->item is what it is to be; `rc` says whether that worked. Lock held. */
static int send_item(struct mob_task *t, int rc, struct mob_error *err)
{
    size_t size = rc == 0 ? mob_executor_item_size(&t->item.value) : 0;
    bool sent = false;

    if (rc == 0 && size > MOB_CHANNEL_REPLY_MAX)
        rc = mob_error_set(err, MOB_ERR_INVALID, "the item carries too many references: %zu bytes of names, not %zu, fit; put them into a "
                           "few objects first", size, (size_t)MOB_CHANNEL_REPLY_MAX);
    if (rc == 0 && t->item.value.lent_count > 0)
        mob_task_settle_lent(t);
    while (rc == 0 && !sent && (rc = wait_due(t, size, err)) == 0) {
        enum mob_yield did = mob_executor_yield(t->r->executor, &t->run, &t->item.value);

        if (did == MOB_YIELD_SKIP)
            break;
        sent = did == MOB_YIELD_SEND;
    }
    mob_task_result_fini(t, &t->item, !sent);
    return rc == 0 ? wait_due(t, 0, err) : rc;
}

/* Lock held. 1: nobody needs the item, whatever it is; it counts as sent. */
static int begin(struct mob_task *t, struct mob_error *err)
{
    if (!t->run.streams)
        return mob_error_set(err, MOB_ERR_INVALID, "%s yields, but was not called by mob_call_items()", t->function->name);
    t->item = (struct task_result){ 0 };
    if (wait_due(t, 0, err) < 0)
        return -1;
    if (mob_executor_may_yield(t->r->executor) != MOB_YIELD_SKIP)
        return 0;
    mob_executor_yield(t->r->executor, &t->run, &t->item.value);
    return 1;
}

int mob_yield(struct mob_task *t, struct mob_value value, struct mob_error *err)
{
    struct mob_runtime *r = t->r;
    int rc;

    pthread_mutex_lock(&r->lock);
    rc = begin(t, err);
    if (rc == 0) {
        mob_runtime_unlock(r);
        rc = mob_task_set_result(t, &t->item, mob_executor_item_index(r->executor), &value, false, err);
        pthread_mutex_lock(&r->lock);
        rc = send_item(t, rc, err);
    }
    mob_runtime_unlock(r);
    return rc < 0 ? -1 : 0;
}

int mob_yield_buffer(struct mob_task *t, struct mob_buffer *b, struct mob_error *err)
{
    const struct mob_stored_value *before = t->renamed;
    struct mob_runtime *r = t->r;
    int rc;

    if (b == NULL)
        return mob_error_set(err, MOB_ERR_INVALID, "mob_yield_buffer() of NULL");
    pthread_mutex_lock(&r->lock);
    rc = begin(t, err);
    mob_runtime_unlock(r);
    if (rc != 0) {
        mob_abandon(b);
        return rc < 0 ? -1 : 0;
    }
    rc = mob_task_set_buffer(t, &t->item, mob_executor_item_index(r->executor), b, err);
    pthread_mutex_lock(&r->lock);
    if (t->renamed != before)
        mob_store_await_name(r, &t->renamed->object, t->renamed->size);
    t->renamed = before;
    rc = send_item(t, rc, err);
    mob_runtime_unlock(r);
    return rc;
}

/* -- who reads --------------------------------------------------------------------------------------------------------------- */

static uint64_t number_of(const struct mob_items *s)
{
    return (uint64_t)(uintptr_t)s;
}

/* 1: *ret_ref; 0: there is none; -1. Others may read as well: then it looks again. */
static int next_locked(struct mob_runtime *r, uint64_t stream, int64_t deadline_ns, uint64_t *ret_ref, struct mob_error *err)
{
    uint64_t ahead;
    bool came;
    int rc;

    while ((rc = mob_owner_stream_take(r->owner, stream, ret_ref, err)) > 0 && *ret_ref == 0) {
        if ((ahead = mob_owner_stream_peek(r->owner, stream, err)) == 0)
            return -1;
        came = mob_wait_refs(r, &ahead, 1, 1, deadline_ns);
        mob_owner_drop(r->owner, ahead, NULL);
        if (!came)
            return mob_wait_ended(r, "no further item came in time", err);
    }
    return rc;
}

int mob_items_next(struct mob_items *s, int64_t timeout_ms, struct mob_ref **ret_ref, struct mob_error *err)
{
    struct mob_runtime *r = mob_enter(err);
    uint64_t ref;
    int rc;

    if (r == NULL)
        return -1;
    rc = next_locked(r, number_of(s), mob_runtime_deadline(timeout_ms), &ref, err);
    if (rc > 0)
        *ret_ref = mob_ref_of(ref);
    mob_leave(r);
    return rc;
}

int mob_items_over(struct mob_items *s, struct mob_error *err)
{
    struct mob_runtime *r = mob_enter(err);
    int rc;

    if (r == NULL)
        return -1;
    rc = mob_owner_stream_is_over(r->owner, number_of(s), err);
    mob_leave(r);
    return rc;
}

static struct mob_ref *ref_by(struct mob_items *s, uint64_t (*ask)(struct mob_owner *o, uint64_t stream, struct mob_error *err),
                              struct mob_error *err)
{
    struct mob_runtime *r = mob_enter(err);
    uint64_t ref;

    if (r == NULL)
        return NULL;
    ref = ask(r->owner, number_of(s), err);
    mob_leave(r);
    return mob_ref_of(ref);
}

struct mob_ref *mob_items_peek(struct mob_items *s, struct mob_error *err)
{
    return ref_by(s, mob_owner_stream_peek, err);
}

struct mob_ref *mob_items_end(struct mob_items *s, struct mob_error *err)
{
    return ref_by(s, mob_owner_stream_end_ref, err);
}

void mob_items_close(struct mob_items *s)
{
    struct mob_runtime *r = s != NULL ? mob_enter_any() : NULL;

    if (r == NULL)
        return;
    mob_owner_stream_close(r->owner, number_of(s), NULL);
    mob_leave(r);
}
