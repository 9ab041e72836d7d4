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
static int resolve_borrowed(struct mob_task *t, uint64_t ref, struct mob_view *ret_view, struct mob_packed *ret_packed,
                            struct mob_stored_value *ret_stored, struct mob_error *err)
{
    struct mob_object_info info;

    if (mob_owner_look(t->r->owner, ref, &info, err) < 0)
        return -1;
    if (info.state == MOB_OBJECT_ERROR) {
        *err = *info.error;
        return -1;
    }
    *ret_view = (struct mob_view){ .data = info.data, .size = info.size };
    *ret_packed = info.packed;
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

/* The view of argument i carries references. */
static void carries(struct mob_task *t, size_t i, const struct mob_packed *packed)
{
    if (packed->refs == 0)
        return;
    if (t->pins == NULL)
        t->pins = mob_alloc(t->run.arg_count * sizeof *t->pins);
    t->pins[i] = (struct mob_view_pin){ .era = t->r->era, .of_task = true, .packed = *packed };
    t->args[i].ref_count = packed->refs;
    t->args[i].pin = &t->pins[i];
}

/* Its value as far as the frame has it; 1: it must be fetched. */
static int resolve_arg(struct mob_task *t, size_t i, size_t *borrowed, struct mob_stored_value *ret_stored, struct mob_error *err)
{
    const struct mob_run_arg *a = &t->run.args[i];
    struct mob_packed packed = { .data_size = a->size };

    *ret_stored = a->stored;
    t->args[i] = (struct mob_view){ .data = a->data, .size = a->size };
    if (a->kind == MOB_VALUE_PACKED && !mob_packed_read(a->data, a->size, &packed))
        return mob_error_set(err, MOB_ERR_PROTOCOL, "argument %zu is malformed: are worker and driver of one version?", i);
    if (a->kind == MOB_VALUE_PACKED)
        t->args[i].size = packed.data_size;
    if (a->kind == MOB_VALUE_FORWARD
        && resolve_borrowed(t, t->borrowed[(*borrowed)++], &t->args[i], &packed, ret_stored, err) < 0)
        return -1;
    carries(t, i, &packed);
    return t->args[i].data == NULL || a->kind == MOB_VALUE_STORED;
}

int mob_task_resolve(struct mob_task *t, struct mob_error *err)
{
    struct mob_stored_value stored;
    struct mob_wait wait;
    size_t left = 1, borrowed = 0;

    borrow_args(t);
    mob_wait_init(&wait);
    wait.keeps_ns = MOB_KEEPS_CPU_NS;   /* stored arguments were brought here before the lease */
    for (size_t i = 0; i < t->run.arg_count; i++) {
        int rc = resolve_arg(t, i, &borrowed, &stored, err);

        if (rc < 0)
            return -1;
        if (rc > 0)
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
            if (mob_owner_is_loss(err))
                t->lost = t->run.args[i].kind == MOB_VALUE_FORWARD ? &t->run.args[i].forward : &t->run.args[i].stored.object;
            return -1;
        }
        t->args[i] = (struct mob_view){ .data = f->data, .size = f->packed.data_size };
        carries(t, i, &f->packed);
    }
    return 0;
}

struct settled {
    struct mob_waiter waiter;
    struct mob_runtime *r;
    struct mob_wait wait;
};

static void on_settled(struct mob_waiter *w)
{
    struct settled *s = MOB_CONTAINER(w, struct settled, waiter);

    mob_wait_done(s->r, &s->wait);
}

void mob_task_settle_lent(struct mob_task *t)
{
    struct settled s = { .waiter.ready = on_settled, .r = t->r };

    mob_wait_init(&s.wait);
    s.wait.keeps_ns = MOB_KEEPS_CPU_NS;
    mob_list_init(&s.waiter.link);
    if (mob_owner_unconfirmed(t->r->owner, &s.waiter))
        mob_wait_until(t->r, &s.wait, MOB_NEVER);
    mob_list_remove(&s.waiter.link);
}

void mob_task_settle(struct mob_task *t)
{
    if (t->renamed != NULL)
        mob_store_await_name(t->r, &t->renamed->object, t->renamed->size);
    if (mob_owner_keep(t->r->owner))
        mob_task_settle_lent(t);
}

int mob_task_store_result(struct mob_task *t, struct task_result *result, uint32_t index, struct mob_error *err)
{
    struct mob_object_id id = mob_executor_result_id(t->r->executor, &t->run, index);
    struct mob_result *v = &result->value;
    struct mob_packed packed = { .data_size = v->size };
    uint64_t stored;

    assert(result->set && (v->kind == MOB_VALUE_INLINE || v->kind == MOB_VALUE_PACKED));
    if (v->kind == MOB_VALUE_PACKED && !mob_packed_read(v->data, v->size, &packed))
        return mob_error_set(err, MOB_ERR_INVALID, "result %u is malformed", index);
    if (mob_store_write(t->r, &id, v->data, packed.data_size, result->lent, v->lent_count, &stored, err) < 0)
        return -1;
    v->kind = MOB_VALUE_STORED;
    v->stored = (struct mob_stored_value){ .object = id, .size = stored, .node = t->r->self.node };
    return 0;
}

/* What went with results that nobody will see. */
static void lend_undo(struct mob_task *t, struct task_result *result)
{
    for (size_t i = 0; i < result->value.lent_count; i++)
        mob_owner_lend_undo(t->r->owner, &result->lent[i], result->value.ticket + i);
    result->value.lent_count = 0;
}

void mob_task_result_fini(struct mob_task *t, struct task_result *result, bool failed)
{
    free(result->copy);
    if (failed && result->set)
        lend_undo(t, result);
    free(result->lent);
    if (failed && result->set && result->value.kind == MOB_VALUE_STORED)
        mob_store_free(t->r, &result->value.stored.object);
}

void mob_task_fini(struct mob_task *t, bool failed)
{
    for (size_t i = 0; t->fetches != NULL && i < t->run.arg_count; i++)
        if (t->fetches[i].link.next != NULL)
            mob_fetch_cancel(t->r, &t->fetches[i]);
    for (uint32_t i = 0; i < t->run.returns; i++)
        mob_task_result_fini(t, &t->results[i], failed);
    if (t->results != &t->one_result)
        free(t->results);
    for (size_t i = 0; t->borrowed != NULL && i < t->run.arg_count && t->borrowed[i] != 0; i++)
        mob_owner_drop(t->r->owner, t->borrowed[i], NULL);
    free(t->borrowed);
    free(t->fetches);
    free(t->pins);
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

/* The pin of a stored one changes hands; others stand in memory of the frame, or of their owner's. */
int mob_arg_take(struct mob_task *t, size_t i, struct mob_view *ret_view, struct mob_error *err)
{
    struct mob_view_pin *p;
    struct mob_fetch *f;

    if (mob_arg(t, i, ret_view, err) < 0)
        return -1;
    f = t->fetches != NULL && t->fetches[i].link.next != NULL ? &t->fetches[i] : NULL;
    if (f != NULL && f->data == NULL)
        return mob_error_set(err, MOB_ERR_INVALID, "argument %zu of %s was taken before", i, t->function->name);
    p = mob_new(struct mob_view_pin);
    *p = (struct mob_view_pin){ .era = t->r->era, .stored = f != NULL };
    if (f != NULL) {
        p->slot = f->slot;
        f->data = NULL;
    } else if (ret_view->size > 0) {
        ret_view->data = p->copy = memcpy(mob_alloc(ret_view->size), ret_view->data, ret_view->size);
    }
    ret_view->pin = p;
    ret_view->ref_count = 0;
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

/* Each reference is held for whoever submitted this task: their names, and the first one's ticket. */
static void lend(struct mob_task *t, struct task_result *result, const uint64_t *numbers, size_t count)
{
    struct mob_address to = t->run.lease->owner;

    result->lent = mob_alloc((count + 1) * sizeof result->lent[0]);
    for (size_t i = 0; i < count; i++) {
        uint64_t ticket = mob_owner_lend(t->r->owner, numbers[i], to, &result->lent[i]);

        if (i == 0)
            result->value.ticket = ticket;
    }
    result->value.lent = result->lent;
    result->value.lent_count = count;
}

static int return_ref(struct mob_task *t, struct task_result *result, const struct mob_ref *ref, struct mob_error *err)
{
    uint64_t number = mob_ref_number(ref);
    struct mob_object_id name;
    int rc;

    pthread_mutex_lock(&t->r->lock);
    if ((rc = mob_owner_name(t->r->owner, number, &name, err)) == 0) {
        result->value = (struct mob_result){ .kind = MOB_VALUE_FORWARD, .forward = name };
        lend(t, result, &number, 1);
        result->set = true;
    }
    mob_runtime_unlock(t->r);
    return rc;
}

/* Bytes, and references that they carry; in the store if that is too much for a ring. */
static int return_carried(struct mob_task *t, struct task_result *result, uint32_t index, const struct mob_value *value,
                          struct mob_error *err)
{
    struct mob_carried c;
    size_t size;
    int rc;

    pthread_mutex_lock(&t->r->lock);
    if ((rc = mob_carried_init(t->r, &c, value->refs, value->ref_count, err)) == 0) {
        result->copy = mob_carried_pack(&c, value->data, value->size, &size);
        result->value = (struct mob_result){ .kind = MOB_VALUE_PACKED, .data = result->copy, .size = size };
        result->set = true;
        lend(t, result, c.numbers, c.count);
        mob_carried_fini(&c);
        if (size > MOB_INLINE_MAX && (rc = mob_task_store_result(t, result, index, err)) < 0) {
            lend_undo(t, result);
            result->set = false;
        }
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

static int return_stored(struct mob_task *t, struct task_result *result, uint32_t index, const struct mob_value *value,
                         struct mob_error *err)
{
    int rc;

    result->value = (struct mob_result){ .kind = MOB_VALUE_INLINE, .data = value->data, .size = value->size };
    result->set = true;
    pthread_mutex_lock(&t->r->lock);
    rc = mob_task_store_result(t, result, index, err);
    mob_runtime_unlock(t->r);
    result->set = rc == 0;
    return rc;
}

int mob_task_set_result(struct mob_task *t, struct task_result *result, uint32_t index, const struct mob_value *value, bool keep,
                        struct mob_error *err)
{
    if (value->ref != NULL)
        return return_ref(t, result, value->ref, err);
    if (value->data == NULL && value->size > 0)
        return mob_error_set(err, MOB_ERR_INVALID, "result %u of %s: %zu bytes at NULL", index, t->function->name, value->size);
    if (mob_size_check(value->size, err) < 0)
        return -1;
    if (value->ref_count > 0)
        return return_carried(t, result, index, value, err);
    if (value->size > MOB_INLINE_MAX)
        return return_stored(t, result, index, value, err);
    if (keep)
        return_copy(t, result, value->data, value->size);
    else
        *result = (struct task_result){ .set = true, .value = { .kind = MOB_VALUE_INLINE, .data = value->data, .size = value->size } };
    return 0;
}

int mob_return(struct mob_task *t, size_t i, struct mob_value value, struct mob_error *err)
{
    struct task_result *result = result_slot(t, i, err);

    return result == NULL ? -1 : mob_task_set_result(t, result, (uint32_t)i, &value, true, err);
}

/* A small one becomes the result's copy; a large one is sealed where it lies, under the result's name. */
static void return_buffer(struct mob_task *t, struct task_result *result, uint32_t index, struct buffer *b)
{
    size_t size = b->size;

    if (b->small != NULL && b->carried.count == 0) {
        result->copy = b->small;
        b->small = NULL;
        result->value = (struct mob_result){ .kind = MOB_VALUE_INLINE, .data = result->copy, .size = size };
    } else if (b->small != NULL) {
        result->copy = mob_carried_pack(&b->carried, b->small, b->size, &size);
        result->value = (struct mob_result){ .kind = MOB_VALUE_PACKED, .data = result->copy, .size = size };
    } else {
        struct mob_object_id id = mob_executor_result_id(t->r->executor, &t->run, index);

        mob_buffer_finish(b);
        mob_store_seal_as(t->r, &b->room, &id);
        mob_buffer_forget(t->r, b);
        result->value = (struct mob_result){ .kind = MOB_VALUE_STORED,
                                             .stored = { .object = id, .size = b->room.size, .node = t->r->self.node } };
        t->renamed = &result->value.stored;
    }
    if (b->carried.count > 0)
        lend(t, result, b->carried.numbers, b->carried.count);
    result->set = true;
}

int mob_task_set_buffer(struct mob_task *t, struct task_result *result, uint32_t index, struct mob_buffer *b, struct mob_error *err)
{
    struct buffer *taken;

    pthread_mutex_lock(&t->r->lock);
    if ((taken = mob_buffer_take(t->r, b, err)) != NULL) {
        return_buffer(t, result, index, taken);
        mob_buffer_free(t->r, taken);
    }
    mob_runtime_unlock(t->r);
    return taken != NULL ? 0 : -1;
}

int mob_return_buffer(struct mob_task *t, size_t i, struct mob_buffer *b, struct mob_error *err)
{
    struct task_result *result = result_slot(t, i, err);

    if (b == NULL)
        return mob_error_set(err, MOB_ERR_INVALID, "mob_return_buffer() of NULL");
    if (result == NULL) {
        mob_abandon(b);
        return -1;
    }
    return mob_task_set_buffer(t, result, (uint32_t)i, b, err);
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

void mob_raised(struct mob_task *t)
{
    t->run.raised = true;
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

void mob_task_set_name(struct mob_task *t, const char *name)
{
    mob_task_print_as(t->r, name);
}
