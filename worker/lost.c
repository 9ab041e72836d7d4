/* SPDX-License-Identifier: Apache-2.0 */
/* lost.c -- whether what lies in stores could be made again (lineage.c), and why not: in an error, and for `mobula explain`. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#include "worker/core.h"

bool mob_owner_is_loss(const struct mob_error *why)
{
    return why->code == MOB_ERR_OBJECT_LOST || why->code == MOB_ERR_NODE_DIED || why->code == MOB_ERR_OWNER_DIED
        || why->code == MOB_ERR_UNREACHABLE || why->code == MOB_ERR_TIMEOUT;
}

/* Whose run can make b. */
struct task *mob_owner_lineage_maker(const struct mob_owner *o, const struct object *b)
{
    const struct object *end = b->maker == NULL && b->index > 0 ? mob_owner_object_at(o, b->task) : NULL;
    bool under_way = end != NULL && end->streams && end->maker != NULL && end->maker->state != TASK_KEPT;

    return under_way ? end->maker : b->maker;
}

/* Why b, whose own value is or was in a store, cannot be made again; MOB_LOST_UNKNOWN: it can. */
enum mob_lost mob_owner_lineage_why_not(const struct mob_owner *o, const struct object *b)
{
    const struct task *t = mob_owner_lineage_maker(o, b);

    if (t == NULL || o->lineage.limit == 0)
        return !b->made ? MOB_LOST_PUT : o->lineage.limit == 0 ? MOB_LOST_LINEAGE_DISABLED : MOB_LOST_LINEAGE_EVICTED;
    if (t->state != TASK_KEPT && !mob_owner_stream_passed(o, b))
        return MOB_LOST_UNKNOWN;        /* it runs, for another return that was lost */
    if (t->cancelled || (t->run != 0 && t->run == o->tasks.cancelled_run))
        return MOB_LOST_TASK_CANCELLED;
    return t->retries != 0 ? MOB_LOST_UNKNOWN : t->once ? MOB_LOST_RETRIES_DISABLED : MOB_LOST_MAX_ATTEMPTS;
}

static const char *const reasons[] = {
    [MOB_LOST_UNKNOWN] = "",
    [MOB_LOST_PUT] = "no task made it, it was put: what put it would have to do so again",
    [MOB_LOST_MAX_ATTEMPTS] = "its task has run as often as its max_retries allows",
    [MOB_LOST_RETRIES_DISABLED] = "its task may not run again, as its max_retries is 0",
    [MOB_LOST_LINEAGE_EVICTED] = "what this process kept of finished tasks had to make room: raise MOBULA_LINEAGE_BYTES",
    [MOB_LOST_LINEAGE_DISABLED] = "this process keeps nothing of finished tasks, as MOBULA_LINEAGE_BYTES is 0",
    [MOB_LOST_TASK_CANCELLED] = "its task was cancelled",
    [MOB_LOST_REF_NOT_FOUND] = "its owner knows it no more",
    [MOB_LOST_STREAM] = "its task did not yield it when it ran again",
};

/* With what the user would have to know. */
static void put_reason(const struct mob_owner *o, enum mob_lost reason, char *to, size_t size)
{
    if (reason == MOB_LOST_LINEAGE_EVICTED)
        snprintf(to, size, "%s (it is %" PRIu64 ")", reasons[reason], o->lineage.limit);
    else
        snprintf(to, size, "%s", reasons[reason]);
}

struct mob_error mob_owner_lineage_say(const struct mob_owner *o, const struct object *b, enum mob_lost reason, const char *what)
{
    struct mob_object_id id = mob_owner_object_name(o, b);
    struct mob_error e = { 0 };
    char name[MOB_OBJECT_NAME_SIZE], text[160];

    put_reason(o, reason, text, sizeof text);
    mob_error_set(&e, MOB_ERR_OBJECT_LOST, "%s is lost, and cannot be made again: %s (%s)", mob_object_id_name(&id, name),
                  text, what);
    e.user_code = (int32_t)reason;
    return e;
}

bool mob_owner_lineage_can(const struct mob_owner *o, const struct object *b)
{
    return b->maker != NULL && mob_owner_object_is_own(o, b) && mob_owner_lineage_why_not(o, b) == MOB_LOST_UNKNOWN;
}

struct mob_error mob_owner_lineage_say_evicted(const struct mob_owner *o)
{
    struct mob_error e = { 0 };
    char text[160];

    put_reason(o, MOB_LOST_LINEAGE_EVICTED, text, sizeof text);
    mob_error_set(&e, MOB_ERR_OBJECT_LOST, "a value that was let go is wanted, and cannot be made again: %s", text);
    e.user_code = MOB_LOST_LINEAGE_EVICTED;
    return e;
}

/* -- for people --------------------------------------------------------------------------------------------------------------- */

struct counted {
    const struct mob_owner *o;
    const struct object *any;           /* one of these */
    uint32_t stored, lost;
};

static void count(void *counted, uint64_t number)
{
    struct counted *c = counted;
    const struct object *b = mob_owner_object_at(c->o, number);

    if (!object_is_unmade(b) && !mob_owner_object_is_own(c->o, b))
        return;
    c->any = b;
    c->lost += object_is_unmade(b);
    c->stored += !object_is_unmade(b);
}

void mob_owner_lineage_explain(const struct mob_owner *o, const struct object *first, json_t *row)
{
    const struct task *t = first->maker;
    struct counted c = { .o = o };
    enum mob_lost reason;
    char text[160];

    if (t != NULL && t->state == TASK_KEPT)
        mob_owner_lineage_each(o, t, count, &c);
    else
        count(&c, object_number(first));
    if (c.any == NULL)
        return;
    json_object_set_new(row, "stored", json_integer(c.stored));
    json_object_set_new(row, "lost", json_integer(c.lost));
    if ((reason = mob_owner_lineage_why_not(o, c.any)) != MOB_LOST_UNKNOWN) {
        put_reason(o, reason, text, sizeof text);
        json_object_set_new(row, "why_not", json_string(text));
    } else if (t != NULL) {
        json_object_set_new(row, "attempt", json_integer(t->attempt));
        json_object_set_new(row, "retries", json_integer(t->retries));
    }
}

void mob_owner_lineage_print(const struct mob_owner *o, char *to, size_t size)
{
    const struct lineage *l = &o->lineage;

    to[0] = '\0';
    if (l->count + l->again_count + l->evicted > 0)
        snprintf(to, size, "{\"kept\":%" PRIu64 ",\"kept_bytes\":%" PRIu64 ",\"kept_max\":%" PRIu64 ",\"again\":%" PRIu64
                 ",\"evicted\":%" PRIu64 "}", l->count, l->bytes, l->limit, l->again_count, l->evicted);
}
