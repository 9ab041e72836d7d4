/* SPDX-License-Identifier: Apache-2.0 */
/* answer.c -- the end of an attempt, as a worker told it: foreign bytes that become values or an error.
 *
 * (task, attempt) decides: an answer of an attempt that the lease does not have any more is ignored, so an answer that crosses a
 * take-back or a death is neither lost nor counted twice. All values are checked before the first is used.
 */
#include <stdlib.h>
#include <string.h>

#include "common/packed.h"
#include "worker/core.h"

#define DAY_NS INT64_C(86400000000000)

/* The values of an answer, one after the other. */
struct values {
    const uint8_t *at, *end;
};

struct value {
    const uint8_t *lent;                /* the references that go with it: lent_count names */
    size_t lent_count;
    uint64_t ticket;                    /* of the first */
    uint32_t kind, size;
    const uint8_t *bytes;
    struct mob_stored_value stored;
    struct mob_object_id forward;
};

/* Its head and what follows. */
static int next_part(struct values *v, struct mob_arg_head *ret_head, const uint8_t **ret_bytes)
{
    if ((size_t)(v->end - v->at) < sizeof *ret_head)
        return -1;
    memcpy(ret_head, v->at, sizeof *ret_head);
    if (ret_head->size > (size_t)(v->end - v->at) - sizeof *ret_head
        || mob_frame_pad(ret_head->size) > (size_t)(v->end - v->at) - sizeof *ret_head)
        return -1;
    *ret_bytes = v->at + sizeof *ret_head;
    v->at += sizeof *ret_head + mob_frame_pad(ret_head->size);
    return 0;
}

static struct mob_object_id lent_id(const struct value *v, size_t i)
{
    struct mob_object_id id;

    memcpy(&id, v->lent + i * sizeof id, sizeof id);
    return id;
}

static int read_tickets(const uint8_t *bytes, size_t size, struct value *ret)
{
    if (size < sizeof ret->ticket + sizeof(struct mob_object_id) || (size - sizeof ret->ticket) % sizeof(struct mob_object_id) != 0)
        return -1;
    memcpy(&ret->ticket, bytes, sizeof ret->ticket);
    ret->lent = bytes + sizeof ret->ticket;
    ret->lent_count = (size - sizeof ret->ticket) / sizeof(struct mob_object_id);
    for (size_t i = 0; i < ret->lent_count; i++)
        if (lent_id(ret, i).node == 0)
            return -1;
    return 0;
}

/* 0, or -1 if what comes is not a value of `expected`'s task and index. */
static int next_value(struct values *v, const struct mob_object_id *expected, struct value *ret)
{
    struct mob_arg_head head;
    struct mob_packed packed;

    ret->lent_count = 0;
    if (next_part(v, &head, &ret->bytes) < 0)
        return -1;
    if (head.kind == MOB_VALUE_TICKETS
        && (read_tickets(ret->bytes, head.size, ret) < 0 || next_part(v, &head, &ret->bytes) < 0))
        return -1;
    ret->kind = head.kind;
    ret->size = head.size;
    if (head.kind == MOB_VALUE_INLINE)
        return 0;
    if (head.kind == MOB_VALUE_PACKED)
        return mob_packed_read(ret->bytes, ret->size, &packed) ? 0 : -1;
    if (head.kind == MOB_VALUE_STORED && head.size == sizeof ret->stored) {
        memcpy(&ret->stored, ret->bytes, sizeof ret->stored);
        return mob_object_id_eq(&ret->stored.object, expected) && ret->stored.node != 0 ? 0 : -1;
    }
    if (head.kind == MOB_VALUE_FORWARD && head.size == sizeof ret->forward) {
        memcpy(&ret->forward, ret->bytes, sizeof ret->forward);
        return mob_object_id_eq(&ret->forward, expected) || ret->forward.node == 0 ? -1 : 0;
    }
    return -1;
}

static struct mob_object_id id_of(const struct mob_owner *o, const struct task *t, uint32_t index)
{
    return (struct mob_object_id){ .cluster = o->config.cluster, .node = o->config.self.node, .process = o->config.self.process,
                                   .task = t->number, .index = index };
}

static bool values_are_good(const struct mob_owner *o, const struct task *t, const struct mob_answer_frame *f,
                            const uint8_t *body)
{
    struct values values = { body, body + f->body_size };
    struct value v;

    if (f->returns != t->returns)
        return false;
    for (uint32_t i = 0; i < t->returns; i++) {
        struct mob_object_id id = id_of(o, t, i);

        if (next_value(&values, &id, &v) < 0)
            return false;
    }
    return values.at == values.end;
}

/* The references in a value are ours now; they live as long as b does. */
static void take_lent(struct mob_owner *o, struct object *b, const struct value *v, struct mob_address worker)
{
    uint64_t *numbers = mob_alloc(v->lent_count * sizeof *numbers);

    for (size_t i = 0; i < v->lent_count; i++) {
        struct mob_object_id id = lent_id(v, i);

        numbers[i] = mob_owner_accept(o, &id, worker, v->ticket + i);
    }
    mob_owner_contain(o, object_number(b), numbers, v->lent_count);
    for (size_t i = 0; i < v->lent_count; i++)
        mob_owner_drop(o, numbers[i], NULL);
    free(numbers);
}

static void drop_lent(struct mob_owner *o, const struct value *v, struct mob_address worker)
{
    for (size_t i = 0; i < v->lent_count; i++) {
        struct mob_object_id id = lent_id(v, i);

        mob_owner_ticket_drop(o, &id, worker, v->ticket + i);
    }
}

/* b has the value of another object, which it holds by the ticket. */
static void set_forward(struct mob_owner *o, struct object *b, const struct value *v, struct mob_address worker)
{
    if (v->lent_count == 1) {
        mob_owner_borrow_as(o, b, &v->forward, worker, v->ticket, true);
        mob_owner_borrow_want(o, b);
    } else {
        mob_owner_watch(o, b, &v->forward);
    }
}

static void set_value(struct mob_owner *o, struct object *b, const struct value *v, struct mob_address worker)
{
    if (v->kind == MOB_VALUE_FORWARD) {
        set_forward(o, b, v, worker);
        return;
    }
    if (v->lent_count > 0)
        take_lent(o, b, v, worker);
    if (v->kind == MOB_VALUE_STORED) {
        mob_owner_object_set_stored(o, b, &v->stored.object, v->stored.node, v->stored.size);
    } else if (mob_owner_object_set_inline(o, b, v->bytes, v->size, v->kind == MOB_VALUE_PACKED) < 0) {
        struct mob_error e = { 0 };

        mob_error_set(&e, MOB_ERR_NO_SPACE, "no memory for a result of %u bytes", v->size);
        struct fault *f = mob_owner_fault(o, &e);

        mob_owner_object_set_fault(o, b, f);
        mob_owner_fault_drop(f);
    }
}

/* Of a task that ran again, for another return: this one, b or NULL, has its value, or nobody needs it. */
static void discard_value(struct mob_owner *o, const struct task *t, const struct object *b, const struct value *v,
                          struct mob_address worker)
{
    if (v->kind == MOB_VALUE_STORED && !mob_owner_object_stays_at(o, b, v->stored.node))
        mob_owner_copy_free(o, v->stored.node, &v->stored.object, t->attempt + 1u);
    drop_lent(o, v, worker);
}

/* `used`: else nobody is to see them, as another attempt follows. */
static void take_values(struct mob_owner *o, struct task *t, const struct lease *l, const struct mob_answer_frame *f,
                        const uint8_t *body, bool used)
{
    struct values values = { body, body + f->body_size };
    struct value v;

    for (uint32_t i = 0; i < t->returns; i++) {
        struct mob_object_id id = id_of(o, t, i);

        next_value(&values, &id, &v);
        struct object *b = used ? mob_owner_task_pending(o, t, i) : NULL;

        if (b != NULL) {
            b->raised = f->status == MOB_ANSWER_RAISED;
            set_value(o, b, &v, l->worker);
        } else {
            discard_value(o, t, mob_owner_task_return(o, t, i), &v, l->worker);
        }
    }
}

/* Nobody will see these: a cancelled task was done before it noticed, or another attempt follows. */
static void discard_values(struct mob_owner *o, struct task *t, const struct lease *l, const struct mob_answer_frame *f,
                           const uint8_t *body)
{
    if (mob_answer_has_values(f) && values_are_good(o, t, f, body))
        take_values(o, t, l, f, body, false);
}

/* Of an attempt that was given up: a newer one may have stored values under the same names, so only what they carry is let go. */
static void discard_stale(struct mob_owner *o, const struct lease *l, const struct mob_answer_frame *f, const uint8_t *body)
{
    struct values values = { body, body + f->body_size };
    struct mob_object_id id = { .cluster = o->config.cluster, .node = o->config.self.node, .process = o->config.self.process,
                                .task = f->task };
    struct value v;

    if (f->status == MOB_ANSWER_ITEM)
        id.index = f->item + 1;
    for (uint32_t n = 0; n < f->returns && mob_answer_has_values(f) && next_value(&values, &id, &v) == 0; n++, id.index++)
        drop_lent(o, &v, l->worker);
}

/* An error as a worker told it: the end of its text may be cut off. */
static bool read_error(const struct mob_answer_frame *f, const uint8_t *body, struct mob_error *ret)
{
    size_t before = f->status == MOB_ANSWER_LOST ? sizeof(struct mob_object_id) : 0, size = f->body_size - before;

    if (mob_answer_has_values(f) || f->body_size <= before + offsetof(struct mob_error, text) || size > sizeof *ret)
        return false;
    memset(ret, 0, sizeof *ret);
    memcpy(ret, body + before, size);
    ret->function[sizeof ret->function - 1] = ret->node[sizeof ret->node - 1] = ret->text[sizeof ret->text - 1] = '\0';
    return true;
}

static void take_error(struct mob_owner *o, struct task *t, const struct lease *l, const struct mob_answer_frame *f,
                       const uint8_t *body, int64_t started_ns)
{
    struct mob_error told, e = { .pid = (int32_t)l->pid, .attempt = t->attempt };
    size_t used = 0;

    if (read_error(f, body, &told)) {
        e.code = told.code != MOB_OK ? told.code : f->status > 0 ? f->status : MOB_ERR_PROTOCOL;
        e.user_code = told.user_code;
        if (told.pid != 0)
            e.pid = told.pid;
        mob_copy(e.function, sizeof e.function, told.function[0] != '\0' ? told.function : t->kind->text);
        mob_copy(e.node, sizeof e.node, told.node[0] != '\0' ? told.node : l->ip);
        if (told.function[0] == '\0' && e.code == MOB_ERR_INVALID) {    /* the worker knows none of that hash: which one it is */
            used = strlen(e.function);
            memcpy(e.text, e.function, used);
            memcpy(e.text + used, ": ", 2);
            used += 2;
        }
        mob_copy(e.text + used, sizeof e.text - used, told.text);
    } else {
        e.code = MOB_ERR_PROTOCOL;
        mob_copy(e.function, sizeof e.function, t->kind->text);
        mob_copy(e.node, sizeof e.node, l->ip);
        mob_copy(e.text, sizeof e.text, "the answer of the worker is malformed: are worker and driver of one version?");
    }
    mob_owner_task_failed(o, t, &e, started_ns);
}

struct ran {
    int64_t started_ns, ended_ns;
};

/* When it ran, by this machine's clock: on this node the worker's is the same; elsewhere it ended about now. */
static struct ran measure(struct mob_owner *o, struct task *t, const struct lease *l, const struct mob_answer_frame *f)
{
    int64_t took_ns = 0, ended_ns = l->channel != NULL ? f->ended_ns : o->now_ns;

    if (f->started_ns > 0 && f->ended_ns > f->started_ns)
        took_ns = f->ended_ns - f->started_ns < DAY_NS ? f->ended_ns - f->started_ns : DAY_NS;
    mean_add(&t->kind->mean_ns, &t->kind->measured, took_ns);
    mean_add(&t->shape->mean_ns, &t->shape->measured, took_ns);
    return (struct ran){ ended_ns - took_ns, ended_ns };
}

/* For the record. */
static void note_end(struct mob_owner *o, struct task *t, const struct mob_answer_frame *f, struct ran ran)
{
    struct mob_error why;

    if (f->status == MOB_OK) {
        mob_owner_event_done(o, t, ran.started_ns, ran.ended_ns);
        return;
    }
    mob_error_set(&why, MOB_ERR_TASK, "it raised an exception, which a get of its result tells");
    mob_owner_event_failed(o, MOB_EVENT_ENDED, t, &why, NULL, ran.started_ns);
}

/* Cancelled while a worker had it: it may have heeded the flag, or failed, or ended just then. */
static void cancelled_there(struct mob_owner *o, struct task *t, const struct lease *l, int64_t started_ns)
{
    struct mob_error where = { .pid = (int32_t)l->pid };

    mob_copy(where.node, sizeof where.node, l->ip);
    mob_owner_task_fail_cancelled(o, t, &where, NULL, started_ns);
}

/* An item of a stream. A worker that sends rubbish, or out of turn, gets no more tasks. */
static void take_item(struct mob_owner *o, struct task *t, struct lease *l, const struct mob_answer_frame *f, const uint8_t *body)
{
    struct values values = { body, body + f->body_size };
    struct mob_object_id id = id_of(o, t, f->item + 1);
    struct object *b;
    struct value v;

    if (!t->streams || f->item > MOB_STREAM_ITEMS_MAX || next_value(&values, &id, &v) < 0 || values.at != values.end) {
        mob_owner_lease_broken(o, l, "an item that it sent is malformed");
        return;
    }
    if (!t->cancelled && !mob_owner_stream_come(o, t, f->item, &b)) {
        mob_owner_lease_broken(o, l, "it sent an item out of turn");
        return;
    }
    if (t->cancelled || b == NULL) {            /* nobody will read it */
        discard_value(o, t, mob_owner_stream_item(mob_owner_task_return(o, t, 0), f->item + 1), &v, l->worker);
        return;
    }
    set_value(o, b, &v, l->worker);
    mob_owner_stream_came(o, t, b);
    mob_owner_objects_tell(o);
}

/* An argument could not be had: unless that is an end of it, the task waits for it, and runs then. False: it is an end. */
static bool take_lost(struct mob_owner *o, struct task *t, const struct mob_answer_frame *f, const uint8_t *body)
{
    struct mob_object_id id;
    struct mob_error why;
    struct object *b;

    if (!read_error(f, body, &why))
        return false;
    memcpy(&id, body, sizeof id);
    b = mob_owner_body_named(o, t, &id);
    if (b == NULL && o->lineage.losses == t->pushed_losses)
        return false;                           /* else it may stand for something else by now */
    if (b != NULL && b->state == MOB_OBJECT_STORED && b->stored->since <= t->pushed_losses && !mob_owner_object_lost(o, b, 1, &why)
        && b->state == MOB_OBJECT_STORED)
        return false;
    mob_owner_task_unfed(o, t);
    mob_owner_objects_tell(o);
    return true;
}

/* The attempt was ended for an item that it had passed: whatever it answers, the next one follows. */
static void restart(struct mob_owner *o, struct task *t, const struct lease *l, const struct mob_answer_frame *f, const uint8_t *body,
                    int64_t started_ns)
{
    discard_values(o, t, l, f, body);
    mob_owner_task_restarted(o, t, started_ns);
}

void mob_owner_answer(struct mob_owner *o, struct lease *l, const struct mob_answer_frame *f, const void *body)
{
    const struct object *b = mob_owner_object_at(o, f->task);
    struct task *t = b != NULL ? b->maker : NULL;
    struct ran ran;

    if (t == NULL || t->number != f->task || t->lease != l || t->attempt != f->attempt) {
        discard_stale(o, l, f, body);
        return;
    }
    if (f->status == MOB_ANSWER_ITEM) {
        take_item(o, t, l, f, body);
        return;
    }
    ran = f->status == MOB_ANSWER_LOST ? (struct ran){ 0 } : measure(o, t, l, f);
    l->answered_ns = o->now_ns;
    mob_owner_lease_forget(o, l, t);
    mob_owner_lease_answered(o, l);
    if (t->cancelled) {
        discard_values(o, t, l, f, body);
        cancelled_there(o, t, l, ran.started_ns);
    } else if (t->streams && mob_owner_stream_restarts(o, t)) {
        restart(o, t, l, f, body, ran.started_ns);
    } else if (mob_answer_has_values(f) && values_are_good(o, t, f, body)) {
        note_end(o, t, f, ran);
        if (t->streams && f->status == MOB_ANSWER_RAISED)
            mob_owner_stream_raised(o, t);
        take_values(o, t, l, f, body, true);
        mob_owner_task_end(o, t);
    } else if (f->status != MOB_ANSWER_LOST || !take_lost(o, t, f, body)) {
        take_error(o, t, l, f, body, ran.started_ns);
    }
}
