/* SPDX-License-Identifier: Apache-2.0 */
/* task_api.c -- what a task sees of itself: arguments, results, cancellation.
 *
 * A result is copied when it is set: small ones into the task's own room, larger ones to the heap, beyond MOB_INLINE_MAX
 * straight into the store under the result's own name, sealed, so that the answer only tells where it is. */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/running.h"

/* -- life -------------------------------------------------------------------------------------------------------------------- */

/* Ask the owner for each argument that is too much for a frame, and wait for all. */
static void borrow_args(struct mob_task *t)
{
    size_t count = 0;

    for (size_t i = 0; i < t->run.arg_count; i++) {
        if (t->run.args[i].kind != MOB_VALUE_FORWARD)
            continue;
        if (t->borrowed == NULL)
            t->borrowed = mob_alloc(t->run.arg_count * sizeof *t->borrowed);
        t->borrowed[count++] = mob_owner_borrow(t->r->owner, &t->run.args[i].forward);
    }
    if (count > 0)
        mob_wait_refs(t->r, t->borrowed, count, count, MOB_NEVER);
}

/* Its value is ready: in memory as long as the ref; or stored, then the view is at NULL. */
static int resolve_borrowed(struct mob_task *t, uint64_t ref, struct mob_view *ret_view, struct mob_stored_value *ret_stored,
                            struct mob_error *err)
{
    struct mob_object_info info;

    if (mob_owner_look(t->r->owner, ref, &info, err) < 0)
        return -1;
    if (info.state == MOB_OBJECT_ERROR) {
        *err = *info.error;
        return -1;
    }
    *ret_view = (struct mob_view){ info.data, info.size, NULL };
    *ret_stored = (struct mob_stored_value){ .object = info.id, .size = info.size, .node = info.node };
    return 0;
}

static void fetch_arg(struct mob_task *t, size_t i, const struct mob_stored_value *stored, struct mob_wait *wait, size_t *left)
{
    if (t->fetches == NULL)
        t->fetches = mob_alloc(t->run.arg_count * sizeof *t->fetches);
    t->fetches[i].id = stored->object;
    t->fetches[i].size = stored->size;
    t->fetches[i].node = stored->node;
    mob_fetch_start(t->r, &t->fetches[i], wait, left);
}

int mob_task_resolve(struct mob_task *t, struct mob_error *err)
{
    struct mob_wait wait;
    size_t left = 1, borrowed = 0;

    borrow_args(t);
    mob_wait_init(&wait);
    for (size_t i = 0; i < t->run.arg_count; i++) {
        const struct mob_run_arg *a = &t->run.args[i];
        struct mob_stored_value stored = a->stored;

        t->args[i] = (struct mob_view){ a->data, a->size, NULL };
        if (a->kind == MOB_VALUE_FORWARD
            && resolve_borrowed(t, t->borrowed[borrowed++], &t->args[i], &stored, err) < 0)
            return -1;
        if (t->args[i].data == NULL || a->kind == MOB_VALUE_STORED)
            fetch_arg(t, i, &stored, &wait, &left);
    }
    if (--left > 0)
        mob_wait_until(t->r, &wait, MOB_NEVER);
    for (size_t i = 0; t->fetches != NULL && i < t->run.arg_count; i++) {
        const struct mob_fetch *f = &t->fetches[i];

        if (f->link.next == NULL)       /* it is no stored one */
            continue;
        if (f->data == NULL) {
            *err = f->why;
            return -1;
        }
        t->args[i] = (struct mob_view){ f->data, f->size, NULL };
    }
    return 0;
}

int mob_task_store_result(struct mob_task *t, uint32_t i, struct mob_error *err)
{
    struct task_result *result = &t->results[i];
    struct mob_object_id id = mob_executor_result_id(t->r->executor, &t->run, i);

    assert(result->set && result->value.kind == MOB_VALUE_INLINE);
    if (mob_store_write(t->r, &id, result->value.data, result->value.size, err) < 0)
        return -1;
    result->value.kind = MOB_VALUE_STORED;
    result->value.stored = (struct mob_stored_value){ .object = id, .size = result->value.size, .node = t->r->self.node };
    return 0;
}

void mob_task_fini(struct mob_task *t, bool failed)
{
    for (size_t i = 0; t->fetches != NULL && i < t->run.arg_count; i++)
        if (t->fetches[i].link.next != NULL)
            mob_fetch_cancel(t->r, &t->fetches[i]);
    for (uint32_t i = 0; i < t->run.returns; i++) {
        struct task_result *result = &t->results[i];

        free(result->copy);
        if (failed && result->set && result->value.kind == MOB_VALUE_STORED)
            mob_store_free(t->r, &result->value.stored.object);
    }
    if (t->results != &t->one_result)
        free(t->results);
    for (size_t i = 0; t->borrowed != NULL && i < t->run.arg_count && t->borrowed[i] != 0; i++)
        mob_owner_drop(t->r->owner, t->borrowed[i], NULL);
    free(t->borrowed);
    free(t->fetches);
    free(t->args);
}

/* -- arguments --------------------------------------------------------------------------------------------------------------- */

size_t mob_arg_count(const struct mob_task *t)
{
    return t->run.arg_count;
}

int mob_arg(const struct mob_task *t, size_t i, struct mob_view *ret_view, struct mob_error *err)
{
    if (i >= t->run.arg_count)
        return mob_error_set(err, MOB_ERR_INVALID, "argument %zu of %s: it was called with %zu", i, t->function->name,
                             t->run.arg_count);
    *ret_view = t->args[i];
    return 0;
}

int mob_arg_copy(const struct mob_task *t, size_t i, void *ret_value, size_t size, struct mob_error *err)
{
    struct mob_view view = { 0 };

    if (mob_arg(t, i, &view, err) < 0)
        return -1;
    if (view.size != size)
        return mob_error_set(err, MOB_ERR_INVALID, "argument %zu of %s has %zu bytes, not %zu", i, t->function->name, view.size,
                             size);
    if (size > 0)
        memcpy(ret_value, view.data, size);
    return 0;
}

/* -- results ----------------------------------------------------------------------------------------------------------------- */

/* NULL: there is no such result, or it is set. */
static struct task_result *result_slot(struct mob_task *t, size_t i, struct mob_error *err)
{
    if (i < t->run.returns && !t->results[i].set)
        return &t->results[i];
    if (i < t->run.returns)
        mob_error_set(err, MOB_ERR_INVALID, "result %zu of %s is set already", i, t->function->name);
    else
        mob_error_set(err, MOB_ERR_INVALID, "result %zu of %s: it was called with returns = %u", i, t->function->name,
                      t->run.returns);
    return NULL;
}

static int return_ref(struct mob_task *t, struct task_result *result, const struct mob_ref *ref, struct mob_error *err)
{
    struct mob_object_info info;
    int rc;

    pthread_mutex_lock(&t->r->lock);
    /* The clone is kept for the life of this worker: the value's new owner asks us for it when it likes. */
    rc = mob_owner_clone(t->r->owner, mob_ref_number(ref), err);
    if (rc == 0 && (rc = mob_owner_look(t->r->owner, mob_ref_number(ref), &info, err)) == 0) {
        result->value.kind = MOB_VALUE_FORWARD;
        result->value.forward = info.id;
        result->set = true;
    }
    mob_runtime_unlock(t->r);
    return rc;
}

static void return_copy(struct mob_task *t, struct task_result *result, const void *data, size_t size)
{
    char *to = t->few + t->few_used;

    if (size > sizeof t->few - t->few_used)
        to = result->copy = mob_alloc(size);
    else
        t->few_used += size;
    if (size > 0)
        memcpy(to, data, size);
    result->value = (struct mob_result){ .kind = MOB_VALUE_INLINE, .data = to, .size = size };
    result->set = true;
}

static int return_stored(struct mob_task *t, size_t i, const void *data, size_t size, struct mob_error *err)
{
    struct task_result *result = &t->results[i];
    int rc;

    result->value = (struct mob_result){ .kind = MOB_VALUE_INLINE, .data = data, .size = size };
    result->set = true;
    pthread_mutex_lock(&t->r->lock);
    rc = mob_task_store_result(t, (uint32_t)i, err);
    mob_runtime_unlock(t->r);
    result->set = rc == 0;
    return rc;
}

int mob_return(struct mob_task *t, size_t i, struct mob_value value, struct mob_error *err)
{
    struct task_result *result = result_slot(t, i, err);

    if (result == NULL)
        return -1;
    if (value.ref != NULL)
        return return_ref(t, result, value.ref, err);
    if (value.data == NULL && value.size > 0)
        return mob_error_set(err, MOB_ERR_INVALID, "result %zu of %s: %zu bytes at NULL", i, t->function->name, value.size);
    if (value.size > MOB_INLINE_MAX)
        return return_stored(t, i, value.data, value.size, err);
    return_copy(t, result, value.data, value.size);
    return 0;
}

int mob_return_buffer(struct mob_task *t, size_t i, struct mob_buffer *b, struct mob_error *err)
{
    struct task_result *result = result_slot(t, i, err);
    int rc = result == NULL ? -1 : 0;

    if (rc == 0 && b->small != NULL) {
        result->copy = b->small;
        result->value = (struct mob_result){ .kind = MOB_VALUE_INLINE, .data = b->small, .size = b->size };
        result->set = true;
        b->small = NULL;
    } else if (rc == 0) {
        rc = mob_return(t, i, MOB_BYTES(b->room.data, b->size), err);
    }
    mob_abandon(b);
    return rc;
}

int mob_fail(struct mob_error *err, int user_code, const char *format, ...)
{
    va_list args;

    if (err == NULL)
        return -1;
    memset(err, 0, sizeof *err);
    err->code = MOB_ERR_TASK;
    err->user_code = user_code;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    return -1;
}

/* -- itself ------------------------------------------------------------------------------------------------------------------ */

int mob_cancelled(const struct mob_task *t)
{
    return mob_executor_cancelled(t->r->executor, &t->run);
}

int mob_task_self(const struct mob_task *t, struct mob_task_self *ret_self, struct mob_error *err)
{
    struct mob_task_self self = { .size = ret_self->size };
    const struct mob_executor_lease *lease = t->run.lease;

    if (ret_self->size < sizeof ret_self->size)
        return mob_error_set(err, MOB_ERR_INVALID, "struct mob_task_self: set .size = sizeof(struct mob_task_self)");
    snprintf(self.id, sizeof self.id, "t-%u.%u-%llu", lease->owner.node, lease->owner.process, (unsigned long long)t->run.task);
    mob_copy(self.name, sizeof self.name, t->function->name);
    snprintf(self.node, sizeof self.node, "%u", t->r->self.node);
    mob_copy(self.ip, sizeof self.ip, t->r->ip);
    self.attempt = (int)t->run.attempt;
    self.gpu_count = (unsigned)lease->gpu_count;
    memcpy(self.gpus, lease->gpus, lease->gpu_count * sizeof self.gpus[0]);
    mob_resources_print(&lease->resources, self.resources, sizeof self.resources);
    memcpy(ret_self, &self, self.size < sizeof self ? self.size : sizeof self);
    return 0;
}
