/* SPDX-License-Identifier: Apache-2.0 */
/* body.c -- a task's arguments: written once when it is submitted, and turned into a frame's body when it is pushed.
 *
 * A body is a sequence of struct mob_arg_head and its bytes, padded to 8. As submitted, a reference is an ARG_REF and the
 * number of its object, and before a packed value there are, as an ARG_CARRIED, the numbers of those that it carries; without
 * either the body is the frame's as it stands. In a frame a reference is its value, if that
 * is small and the sum stays within MOB_ARGS_INLINE_MAX; else the place where it is stored; else, when even places would be too
 * many bytes for a ring, only its name (FORWARD: the worker asks us).
 */
#include <string.h>

#include "worker/core.h"

#define ARG_REF 0x100u                  /* these never leave this process */
#define ARG_CARRIED 0x101u

enum {
    HEAD = sizeof(struct mob_arg_head),
    REF_BYTES = HEAD + sizeof(uint64_t),
    FORWARD_BYTES = HEAD + sizeof(struct mob_object_id),
    STORED_BYTES = HEAD + sizeof(struct mob_stored_value),
};

int mob_owner_body_check(const struct mob_owner *o, const struct mob_submit *s, size_t *ret_size, struct mob_error *err)
{
    size_t bytes = 0, in_frame = 0, inlined = 0;

    for (size_t i = 0; i < s->arg_count; i++) {
        const struct mob_arg *a = &s->args[i];

        if (a->ref != 0) {
            if (mob_owner_object_ref(o, a->ref, err) == NULL)
                return -1;
            bytes += REF_BYTES;
            in_frame += FORWARD_BYTES;
            continue;
        }
        if (a->size > MOB_INLINE_MAX)
            return mob_error_set(err, MOB_ERR_INVALID,
                                 "argument %zu has %zu bytes; more than %d go through the store: put it first", i, a->size,
                                 MOB_INLINE_MAX);
        bytes += HEAD + mob_frame_pad(a->size) + (a->carried_count > 0 ? HEAD + a->carried_count * sizeof a->carried[0] : 0);
        in_frame += HEAD + mob_frame_pad(a->size);
        inlined += a->size;
    }
    if (inlined > MOB_ARGS_INLINE_MAX)
        return mob_error_set(err, MOB_ERR_INVALID,
                             "the arguments have %zu bytes; more than %d go through the store: put some first", inlined,
                             MOB_ARGS_INLINE_MAX);
    if (in_frame > MOB_CHANNEL_BODY_MAX)
        return mob_error_set(err, MOB_ERR_INVALID,
                             "%zu arguments are too many for one task: put some in one object", s->arg_count);
    *ret_size = bytes;
    return 0;
}

static uint8_t *put(uint8_t *at, uint32_t kind, const void *bytes, size_t size)
{
    struct mob_arg_head head = { kind, (uint32_t)size };
    size_t pad = mob_frame_pad(size) - size;

    memcpy(at, &head, sizeof head);
    if (size > 0)
        memcpy(at + HEAD, bytes, size);
    memset(at + HEAD + size, 0, pad);
    return at + HEAD + size + pad;
}

static uint8_t *put_carried(struct mob_owner *o, struct task *t, const struct mob_arg *a, uint8_t *at)
{
    for (size_t i = 0; i < a->carried_count; i++)
        mob_owner_object_at(o, a->carried[i])->pins++;
    t->carries = true;
    return put(at, ARG_CARRIED, a->carried, a->carried_count * sizeof a->carried[0]);
}

uint32_t mob_owner_body_fill(struct mob_owner *o, struct task *t, const struct mob_submit *s)
{
    uint32_t pending = 0;
    uint8_t *at = t->body;

    for (size_t i = 0; i < s->arg_count; i++) {
        const struct mob_arg *a = &s->args[i];

        if (a->carried_count > 0)
            at = put_carried(o, t, a, at);
        if (a->ref == 0) {
            at = put(at, a->carried_count > 0 ? MOB_VALUE_PACKED : MOB_VALUE_INLINE, a->data, a->size);
            continue;
        }
        struct object *b = mob_owner_object_at(o, a->ref);

        at = put(at, ARG_REF, &a->ref, sizeof a->ref);
        b->pins++;
        t->refs++;
        pending += b->state == MOB_OBJECT_PENDING;
    }
    return pending;
}

/* The next argument of a body as submitted: its head and bytes, the object if it is a reference, and the numbers it carries. */
struct arg {
    struct mob_arg_head head;
    const uint8_t *bytes, *carried;
    size_t carried_count;
    struct object *object;
};

static struct arg next_arg(const struct mob_owner *o, const uint8_t **at)
{
    struct arg a = { 0 };
    uint64_t number;

    memcpy(&a.head, *at, HEAD);
    if (a.head.kind == ARG_CARRIED) {
        a.carried = *at + HEAD;
        a.carried_count = a.head.size / sizeof number;
        *at += HEAD + mob_frame_pad(a.head.size);
        memcpy(&a.head, *at, HEAD);
    }
    a.bytes = *at + HEAD;
    if (a.head.kind == ARG_REF) {
        memcpy(&number, a.bytes, sizeof number);
        a.object = mob_owner_object_at(o, number);
    }
    *at += HEAD + mob_frame_pad(a.head.size);
    return a;
}

/* How a reference goes into the frame, within what is left of the frame (beyond FORWARD for all) and of the inline bytes. */
static enum mob_value_kind choose(const struct object *b, size_t *left, size_t *inline_left)
{
    size_t size = b->state == MOB_OBJECT_INLINE ? HEAD + mob_frame_pad(b->size) : STORED_BYTES;
    size_t more = size > FORWARD_BYTES ? size - FORWARD_BYTES : 0;

    if (more > *left)
        return MOB_VALUE_FORWARD;
    if (b->state == MOB_OBJECT_STORED) {
        *left -= more;
        return MOB_VALUE_STORED;
    }
    if (b->size > *inline_left)
        return MOB_VALUE_FORWARD;
    *left -= more;
    *inline_left -= b->size;
    return MOB_VALUE_INLINE;
}

static uint8_t *put_ref(const struct mob_owner *o, const struct object *b, enum mob_value_kind kind, uint8_t *at)
{
    struct mob_object_id id = mob_owner_object_id(o, b);

    if (kind == MOB_VALUE_INLINE)
        return put(at, b->packed ? MOB_VALUE_PACKED : MOB_VALUE_INLINE, b->data, b->size);
    if (kind == MOB_VALUE_FORWARD) {
        id = mob_owner_object_name(o, b);
        return put(at, kind, &id, sizeof id);
    }
    struct mob_stored_value v = { .object = id, .size = b->size, .node = b->stored->node };

    return put(at, kind, &v, sizeof v);
}

static size_t ref_size(const struct object *b, enum mob_value_kind kind)
{
    return kind == MOB_VALUE_INLINE ? HEAD + mob_frame_pad(b->size) : kind == MOB_VALUE_STORED ? STORED_BYTES : FORWARD_BYTES;
}

/* Size of the frame's body; its bytes too, if `to` is not NULL. */
static size_t expand(const struct mob_owner *o, const struct task *t, uint8_t *to)
{
    const uint8_t *at = t->body;
    size_t size = t->body_size + (size_t)t->refs * (FORWARD_BYTES - REF_BYTES), left = MOB_CHANNEL_BODY_MAX - size, total = 0;
    size_t inline_left = MOB_ARGS_INLINE_MAX;

    for (uint32_t i = 0; i < t->args; i++) {
        struct arg a = next_arg(o, &at);

        if (a.object == NULL) {
            total += HEAD + mob_frame_pad(a.head.size);
            if (to != NULL)
                to = put(to, a.head.kind, a.bytes, a.head.size);
            continue;
        }
        enum mob_value_kind kind = choose(a.object, &left, &inline_left);

        total += ref_size(a.object, kind);
        if (to != NULL)
            to = put_ref(o, a.object, kind, to);
    }
    return total;
}

size_t mob_owner_body_frame_size(const struct mob_owner *o, const struct task *t)
{
    return t->refs == 0 && !t->carries ? t->body_size : expand(o, t, NULL);
}

void mob_owner_body_frame(const struct mob_owner *o, const struct task *t, void *ret_bytes)
{
    if (t->refs > 0 || t->carries)
        expand(o, t, ret_bytes);
    else if (t->body_size > 0)
        memcpy(ret_bytes, t->body, t->body_size);
}

void mob_owner_frame_fill(const struct mob_owner *o, const struct task *t, const struct lease *l, size_t body_size,
                          struct mob_task_frame *ret)
{
    uint32_t had = 0, first = 0;

    if (t->streams)
        mob_owner_stream_push(o, t, &had, &first);
    ret->task = t->number;              /* one by one: into the ring, and not by a copy */
    ret->function = t->kind->function;
    ret->epoch = l->epoch;
    ret->args = t->args;
    ret->body_size = (uint32_t)body_size;
    ret->attempt = t->attempt;
    ret->returns = t->returns;
    ret->flags = (uint16_t)((mob_owner_task_urgent(o, t) ? MOB_TASK_URGENT : 0) | (t->streams ? MOB_TASK_STREAM : 0)
                            | (t->once ? MOB_TASK_ONCE : 0));
    ret->first = (uint16_t)first;
    ret->had = had;
}

static bool is_at(const struct stored *s, uint32_t node)
{
    bool there = s->node == node;

    for (uint32_t i = 0; !there && i < s->more_count; i++)
        there = s->more[i] == node;
    return there;
}

size_t mob_owner_body_away(const struct mob_owner *o, const struct task *t, uint32_t node, const struct object **ret)
{
    const uint8_t *at = t->body;
    size_t count = 0;

    for (uint32_t i = 0; i < t->args; i++) {
        struct arg a = next_arg(o, &at);

        if (a.object == NULL || a.object->state != MOB_OBJECT_STORED || is_at(a.object->stored, node))
            continue;
        if (ret != NULL)
            ret[count] = a.object;
        count++;
    }
    return count;
}

struct weight { uint32_t node; uint64_t bytes; };
#define WEIGHTS_MAX 16                  /* nodes that are compared */

static void weigh(struct weight *all, uint32_t *count, uint32_t node, uint64_t bytes)
{
    uint32_t i = 0;

    while (i < *count && all[i].node != node)
        i++;
    if (i == WEIGHTS_MAX)
        return;
    if (i == *count)
        all[(*count)++] = (struct weight){ .node = node };
    all[i].bytes += bytes;
}

uint32_t mob_owner_body_near(const struct mob_owner *o, const struct task *t)
{
    struct weight all[WEIGHTS_MAX], best = { 0 };
    const uint8_t *at = t->body;
    uint32_t count = 0;

    for (uint32_t i = 0; i < t->args; i++) {
        struct arg a = next_arg(o, &at);

        if (a.object == NULL || a.object->state != MOB_OBJECT_STORED)
            continue;
        weigh(all, &count, a.object->stored->node, a.object->size);
        for (uint32_t k = 0; k < a.object->stored->more_count; k++)
            weigh(all, &count, a.object->stored->more[k], a.object->size);
    }
    for (uint32_t i = 0; i < count; i++)
        if (best.node == 0 || all[i].bytes > best.bytes || (all[i].bytes == best.bytes && all[i].node == o->config.self.node))
            best = all[i];
    return best.node;
}

const struct object *mob_owner_body_unready(const struct mob_owner *o, const struct task *t)
{
    const struct object *pending = NULL;
    const uint8_t *at = t->body;

    for (uint32_t i = 0; i < t->args; i++) {
        struct arg a = next_arg(o, &at);

        if (a.object != NULL && a.object->state == MOB_OBJECT_ERROR)
            return a.object;
        if (a.object != NULL && a.object->state == MOB_OBJECT_PENDING)
            pending = a.object;
    }
    return pending;
}

void mob_owner_body_follow(struct mob_owner *o, struct task *t)
{
    const uint8_t *at = t->body;

    for (uint32_t i = 0; i < t->args; i++) {
        struct arg a = next_arg(o, &at);

        if (a.object != NULL && a.object->state == MOB_OBJECT_PENDING)
            t->waiting += mob_owner_object_follow(o, a.object, t, (struct mob_address){ 0, 0 });
    }
}

struct object *mob_owner_body_named(const struct mob_owner *o, const struct task *t, const struct mob_object_id *id)
{
    const uint8_t *at = t->body;
    struct object *named = NULL;

    for (uint32_t i = 0; i < t->args; i++) {
        struct arg a = next_arg(o, &at);
        struct mob_object_id stored, name;

        if (a.object == NULL)
            continue;
        stored = mob_owner_object_id(o, a.object);
        name = mob_owner_object_name(o, a.object);
        if (!mob_object_id_eq(&stored, id) && !mob_object_id_eq(&name, id))
            continue;
        named = a.object;
        if (named->state == MOB_OBJECT_STORED)
            break;                      /* another object of ours for the same may know by now that it is lost */
    }
    return named;
}

void mob_owner_body_tally(const struct mob_owner *o, const struct task *t, mob_owner_note *note, void *arg)
{
    const uint8_t *at = t->body;

    for (uint32_t i = 0; i < t->args; i++) {
        struct arg a = next_arg(o, &at);
        uint64_t number;

        for (size_t j = 0; j < a.carried_count; j++) {
            memcpy(&number, a.carried + j * sizeof number, sizeof number);
            note(arg, number);
        }
        if (a.object != NULL)
            note(arg, object_number(a.object));
    }
}

void mob_owner_body_unpin(struct mob_owner *o, struct task *t)
{
    const uint8_t *at = t->body;

    for (uint32_t i = 0; i < t->args; i++) {
        struct arg a = next_arg(o, &at);
        uint64_t number;

        for (size_t j = 0; j < a.carried_count; j++) {
            memcpy(&number, a.carried + j * sizeof number, sizeof number);
            object_unpin(o, mob_owner_object_at(o, number));
        }
        if (a.object == NULL)
            continue;
        t->refs--;
        object_unpin(o, a.object);
    }
}
