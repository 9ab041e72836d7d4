/* SPDX-License-Identifier: Apache-2.0 */
/* explain.c -- why tasks of ours are not over, and what this process waits for: rows for `mobula explain`, made when somebody asks.
 *
 *   of each task that is ours     {"task", "state", "name", "age_ms", "attempt", "retries", "returns", "shape", "resources", "labels",
 *                                  "strategy", and by its state:
 *       WAITING                    "waits": ["o-N.P-T.I", ...] arguments that are not there, "waits_more"
 *       QUEUED, STAGING            "before": tasks of its shape that stand before it, "queued", "leases": of its shape, "wanted",
 *                                  "warning": the last one of its shape, if there was one
 *       RESTING                    "rest_ms": until it is tried again
 *       PUSHED                     "worker": "N.P", "ip", "pid", "before": tasks before it there; of a stream "unread": items
 *       all                        "again": true if it runs again for what was lost; "error", "where", "how": code, node and words of what
 *                                  ended its last attempt, if that is known}
 *     that is over                 {"task", "state": "READY", "RAISED" if the value is an exception, "LOST", "FAILED", or "GONE" if no ref
 *                                  knows it any more; "name", if the error is of this task; "error";
 *                                  "put": true if no task made it; "on": the node of its only copy; of results that are or were in
 *                                  stores: "stored", "lost" how many, and if they are lost: "attempt", "retries" of the task that would
 *                                  run again, or "why_not" (lost.c)}
 *   of the process                 {"waits": ["o-..."], "waits_more"} objects that calls of it wait for
 */
#include <jansson.h>

#include "worker/core.h"

#define WAITS_MAX 64u

struct waits {
    const struct mob_owner *owner;
    json_t *names;
    size_t more;
};

static void note_wait(struct waits *w, const struct object *b)
{
    struct mob_object_id id = mob_owner_object_name(w->owner, b);
    char name[MOB_OBJECT_NAME_SIZE];

    if (json_array_size(w->names) >= WAITS_MAX)
        w->more++;
    else
        json_array_append_new(w->names, json_string(mob_object_id_name(&id, name)));
}

static void note_argument(void *waits, uint64_t number)
{
    struct waits *w = waits;
    const struct object *b = mob_owner_object_at(w->owner, number);

    if (b != NULL && b->state == MOB_OBJECT_PENDING)
        note_wait(w, b);
}

static void put_waits(json_t *row, struct waits *w)
{
    json_object_set_new(row, "waits", w->names);
    json_object_set_new(row, "waits_more", json_integer((json_int_t)w->more));
}

static json_int_t place_in(const struct mob_link *list, const struct task *task)
{
    const struct task *t;
    json_int_t before = 0;

    for (const struct mob_link *at = list->next; at != list && (t = MOB_CONTAINER(at, struct task, link)) != task; at = at->next)
        before++;
    return before;
}

static void put_state(const struct mob_owner *o, json_t *row, const struct task *t)
{
    static const char *const names[TASK_STATES] = { "WAITING", "QUEUED", "STAGING", "PUSHED", "RESTING", "KEPT", "DONE" };
    struct waits w = { .owner = o };

    json_object_set_new(row, "state", json_string(names[t->state]));
    if (t->state == TASK_WAITING) {
        w.names = json_array();
        mob_owner_body_tally(o, t, note_argument, &w);
        put_waits(row, &w);
    } else if (t->state == TASK_PUSHED) {
        json_object_set_new(row, "worker", json_sprintf("%u.%u", t->lease->worker.node, t->lease->worker.process));
        json_object_set_new(row, "ip", json_string(t->lease->ip));
        json_object_set_new(row, "pid", json_integer(t->lease->pid));
        json_object_set_new(row, "before", json_integer(place_in(&t->lease->tasks, t)));
        if (t->streams)
            json_object_set_new(row, "unread", json_integer(mob_owner_stream_unread(mob_owner_task_return(o, t, 0))));
    } else if (t->state == TASK_RESTING) {
        json_object_set_new(row, "rest_ms", json_integer((t->history->due_ns - o->world->now_ns(o->world)) / 1000000));
    } else {
        json_object_set_new(row, "before", json_integer(t->state == TASK_QUEUED ? place_in(&t->shape->queue, t) : 0));
        json_object_set_new(row, "queued", json_integer((json_int_t)t->shape->queued));
        json_object_set_new(row, "leases", json_integer((json_int_t)t->shape->lease_count));
        json_object_set_new(row, "wanted", json_integer(t->shape->said));
        if (t->shape->unplaceable != NULL)
            json_object_set_new(row, "warning", json_string(t->shape->unplaceable));
    }
}

static void put_shape(json_t *row, const struct shape *sh)
{
    const struct mob_shape *ask = &sh->definition;
    json_t *labels = json_object();
    char resources[1200];

    for (uint32_t i = 0; i < ask->labels.count; i++)
        json_object_set_new(labels, ask->labels.of[i].key, json_string(ask->labels.of[i].value));
    json_object_set_new(row, "shape", json_integer(sh->number));
    json_object_set_new(row, "resources", json_string(mob_resources_print(&ask->resources, resources, sizeof resources)));
    json_object_set_new(row, "labels", labels);
    json_object_set_new(row, "strategy", json_string(mob_strategy_name(ask->strategy)));
    json_object_set_new(row, "node", json_integer(ask->node));
}

/* An earlier attempt's death says nothing of the last one. */
static void put_how(json_t *row, const struct task *t)
{
    struct mob_death death;
    char words[128];

    if (!mob_owner_deaths_at(t->history->deaths, 0, &death) || death.attempt + 1 != t->attempt)
        return;
    mob_owner_deaths_words(t->history->deaths, words, sizeof words);
    if (words[0] != '\0')
        json_object_set_new(row, "how", json_string(words));
}

static json_t *task_row(const struct mob_owner *o, const struct task *t)
{
    char name[MOB_OBJECT_NAME_SIZE];
    json_t *row = json_pack("{s:s, s:s*, s:I, s:i, s:i, s:i}", "task", mob_task_name(o->config.self, t->number, name), "name",
                            t->kind->text, "age_ms", (json_int_t)((o->world->now_ns(o->world) - t->submitted_ns) / 1000000), "attempt",
                            t->attempt, "retries", t->retries, "returns", t->returns);

    if (t->again)
        json_object_set_new(row, "again", json_true());
    if (t->history != NULL && t->history->why != MOB_OK) {
        json_object_set_new(row, "error", json_string(mob_code_name(t->history->why)));
        json_object_set_new(row, "where", json_string(t->history->node));
        put_how(row, t);
    }
    put_shape(row, t->shape);
    put_state(o, row, t);
    return row;
}

static const char *state_of(const struct object *b)
{
    if (b == NULL)
        return "GONE";
    if (b->state == MOB_OBJECT_PENDING)
        return b->made ? "LOST" : "PUT";
    return b->state == MOB_OBJECT_ERROR ? "FAILED" : b->raised ? "RAISED" : "READY";
}

static json_t *over_row(const struct mob_owner *o, const struct object *b, uint64_t number)
{
    char name[MOB_OBJECT_NAME_SIZE];
    json_t *row = json_pack("{s:s, s:s}", "task", mob_task_name(o->config.self, number, name), "state",
                            state_of(b));

    if (b != NULL && b->state == MOB_OBJECT_ERROR) {
        if (!b->fault->chained)         /* else that is the task whose result was its argument */
            json_object_set_new(row, "name", json_string(b->fault->error.function));
        json_object_set_new(row, "error", json_string(b->fault->error.text));
    }
    if (b != NULL && b->state != MOB_OBJECT_ERROR && !b->made)
        json_object_set_new(row, "put", json_true());
    if (b != NULL && b->state == MOB_OBJECT_STORED && b->stored->more_count == 0)
        json_object_set_new(row, "on", json_integer(b->stored->node));
    if (b != NULL)
        mob_owner_lineage_explain(o, b, row);
    return row;
}

static json_t *waits_row(const struct mob_owner *o)
{
    struct waits w = { .owner = o, .names = json_array() };
    json_t *row = json_object();

    for (uint32_t i = 0; i < o->objects.slots; i++) {
        const struct object *b = mob_owner_object_of_slot(o, i);

        if (b->refs + b->pins > 0 && b->state == MOB_OBJECT_PENDING && !mob_list_empty(&b->waiters))
            note_wait(&w, b);
    }
    put_waits(row, &w);
    return row;
}

char *mob_owner_explain(const struct mob_owner *o, const char *argument)
{
    json_t *asked = json_loads(argument, 0, NULL), *rows = json_array(), *name;
    struct mob_address owner;
    uint64_t number;
    char *text;
    size_t i;

    json_array_foreach(json_object_get(asked, "tasks"), i, name) {
        const struct object *b;

        if (!json_is_string(name) || !mob_task_parse(json_string_value(name), &owner, &number)
            || !mob_address_eq(owner, o->config.self))
            continue;
        b = mob_owner_object_at(o, number);
        json_array_append_new(rows, b != NULL && b->maker != NULL && b->maker->state != TASK_KEPT ? task_row(o, b->maker)
                                                                                                  : over_row(o, b, number));
    }
    json_array_append_new(rows, waits_row(o));
    text = json_dumps(rows, JSON_COMPACT);
    json_decref(rows);
    json_decref(asked);
    return text;
}
