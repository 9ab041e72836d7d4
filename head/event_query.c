/* SPDX-License-Identifier: Apache-2.0 */
/* event_query.c -- what people ask of the event record.
 *
 *   tasks     argument {"limit": N, "filter": {column: value, ...}}: the newest N tasks (100) whose columns are all as asked:
 *             {"tasks": [{"task", "name", "state", "node", "pid", "attempt", "wait_ms", "run_ms", "submitted_ns", "started_ns",
 *              "ended_ns", "error", "error_text", "killed_by"}], "counts": {"submitted", "finished", "failed", "cancelled", "retried"},
 *              "dropped", "dropped_why": {"rate": tasks, "slow_disk": records, "disk": records, "disk_error"}}
 *             state, as Ray names them: PENDING_ARGS_AVAIL waits for arguments, PENDING_NODE_ASSIGNMENT for a worker (also for
 *             its next attempt; error says why the last one failed), SUBMITTED_TO_WORKER stands behind others, RUNNING, FINISHED,
 *             FAILED, CANCELLED. killed_by: what ended the worker, where that is the error. counts: since the head started; dropped: the
 *             sum.
 *   timeline  a Chrome trace: one complete event for each attempt that ran, pid = node, tid = worker's pid
 *
 * The record is read backwards for tasks (the newest word on a task is the first that is met, all others are skipped), forwards for
 * the timeline. Each step reads so much that its answer is about a reply's size. An owner that is killed does not say how its tasks
 * ended: those of a job, or an owner, that is over have FAILED with it.
 */
#include "head/event_query.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/id.h"
#include "common/mem.h"

#define STEP_RECORDS 4096
#define STEP_TEXT (192u << 10)
#define LIMIT_DEFAULT 100
#define NODES_NAMED_MAX 100000

struct event_query {
    bool timeline;
    struct event_reader reader;
    struct event_facts facts;
    struct mob_map by_hash;             /* hash -> struct event_name */
    struct mob_map over;                /* job or owner -> struct event_over */
    struct event_over **owners_over;    /* those that were met in the record; the others are of `facts` */
    size_t owners_over_count;
    uint64_t at;                        /* records before this (tasks) or from this on (timeline) are still to be read */
    uint64_t limit, rows;
    json_t *filter;
    struct mob_map seen;                /* tasks: those told; timeline: nodes */
    struct mob_event why;               /* the last WHY that was met: of the record met next */
    struct mob_event records[STEP_RECORDS];
    char *text;
    size_t size, room;
};

/* -- text ---------------------------------------------------------------------------------------------------------------- */

static void put(struct event_query *q, const char *text, size_t size)
{
    if (q->size + size > q->room) {
        q->room = (q->size + size) * 2;
        q->text = mob_realloc(q->text, q->room);
    }
    memcpy(q->text + q->size, text, size);
    q->size += size;
}

static void put_string(struct event_query *q, const char *text)
{
    put(q, text, strlen(text));
}

static void put_json(struct event_query *q, json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);

    if (text != NULL)
        put_string(q, text);
    free(text);
    json_decref(json);
}

/* -- records ------------------------------------------------------------------------------------------------------------- */

/* Text of others: cut where a character is cut, null if it is no UTF-8. */
static json_t *text_json(const char *text)
{
    size_t size = strlen(text);
    json_t *json = json_stringn(text, size);

    for (int i = 0; json == NULL && i < 3 && size > 0 && (unsigned char)text[size - 1] >= 0x80; i++)
        json = json_stringn(text, --size);
    return json != NULL ? json : json_null();
}

static json_t *name_json(const struct event_query *q, const struct mob_event *e)
{
    const struct event_name *name = mob_map_get(&q->by_hash, e->name);

    return name != NULL ? text_json(name->text) : json_sprintf("%016" PRIx64, e->name);
}

static const char *state_of(const struct mob_event *e)
{
    switch (e->kind) {
    case MOB_EVENT_SUBMITTED:
        return e->waiting > 0 ? "PENDING_ARGS_AVAIL" : "PENDING_NODE_ASSIGNMENT";
    case MOB_EVENT_PUSHED:
        return "SUBMITTED_TO_WORKER";
    case MOB_EVENT_RUNNING:
        return "RUNNING";
    case MOB_EVENT_ENDED:
        return e->status == MOB_OK ? "FINISHED" : e->status == MOB_ERR_CANCELLED ? "CANCELLED" : "FAILED";
    default:
        return "PENDING_NODE_ASSIGNMENT";
    }
}

static json_t *ms_between(int64_t from_ns, int64_t to_ns)
{
    if (from_ns <= 0 || to_ns <= 0)
        return json_null();
    return json_real((double)(to_ns - from_ns) / 1e6);
}

static int64_t later_ns(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* The task is queued for its next attempt, with the last one's error. */
static void begin_next_attempt(struct mob_event *e)
{
    e->attempt++;
    e->node = e->process = e->pid = 0;
    e->pushed_ns = e->started_ns = e->ended_ns = 0;
}

/* Who was to say how the task ends, and is gone. Being read backwards, the record has told of it before. */
static const struct event_over *over_of(const struct event_query *q, const struct mob_event *e, const char **ret_text)
{
    const struct { uint32_t node, process; const char *text; } those[] = {
        { e->job_node, e->job_process, "its job has ended" },
        { e->owner_node, e->owner_process, "its owner has ended" },
        { e->owner_node, 0, "the node of its owner died" },
    };

    for (size_t i = 0; i < MOB_COUNT(those); i++) {
        const struct event_over *over = mob_map_get(&q->over, mob_address_key((struct mob_address){ those[i].node, those[i].process }));

        if (over != NULL) {
            *ret_text = those[i].text;
            return over;
        }
    }
    return NULL;
}

static void owner_is_over(struct event_query *q, const struct mob_event *e)
{
    struct mob_address owner = { e->owner_node, e->owner_process };
    struct event_over *over;

    if (mob_map_get(&q->over, mob_address_key(owner)) != NULL)
        return;
    over = mob_new(struct event_over);
    *over = (struct event_over){ mob_address_key(owner), e->ended_ns };
    q->owners_over = mob_realloc(q->owners_over, (q->owners_over_count + 1) * sizeof *q->owners_over);
    q->owners_over[q->owners_over_count++] = over;
    mob_map_set(&q->over, over->job, over);
}

/* The newest word on a task, and what follows from it. */
static json_t *row_of(const struct event_query *q, struct mob_event e, const char *text)
{
    const struct event_over *over;
    char task[MOB_OBJECT_NAME_SIZE];

    if (e.kind == MOB_EVENT_FAILED_ATTEMPT)
        begin_next_attempt(&e);
    if (e.kind != MOB_EVENT_ENDED && (over = over_of(q, &e, &text)) != NULL) {
        e.kind = MOB_EVENT_ENDED;
        e.status = MOB_ERR_OWNER_DIED;
        e.ended_ns = later_ns(over->wall_ns, later_ns(e.submitted_ns, e.started_ns));   /* clocks of two machines */
    }
    mob_task_name((struct mob_address){ e.owner_node, e.owner_process }, e.task, task);
    return json_pack("{s:s, s:o, s:s, s:I, s:I, s:I, s:o, s:o, s:I, s:I, s:I, s:s, s:o, s:s}", "task", task, "name", name_json(q, &e),
                     "state", state_of(&e), "node", (json_int_t)e.node, "pid", (json_int_t)e.pid,
                     "attempt", (json_int_t)e.attempt,
                     "wait_ms", ms_between(e.submitted_ns, e.started_ns > 0 ? e.started_ns : e.pushed_ns),
                     "run_ms", ms_between(e.started_ns, e.ended_ns), "submitted_ns", (json_int_t)e.submitted_ns,
                     "started_ns", (json_int_t)e.started_ns, "ended_ns", (json_int_t)e.ended_ns,
                     "error", e.status == MOB_OK ? "" : mob_code_name(e.status), "error_text", text_json(text),
                     "killed_by", e.killed_by != 0 ? mob_killed_by_word((int)e.killed_by) : "");
}

/* -- tasks --------------------------------------------------------------------------------------------------------------- */

static bool row_is_asked(json_t *row, json_t *filter)
{
    const char *column;
    json_t *value;

    json_object_foreach(filter, column, value) {
        if (!json_equal(json_object_get(row, column), value))
            return false;
    }
    return true;
}

static bool first_word_on(struct event_query *q, const struct mob_event *e)
{
    struct mob_address owner = { e->owner_node, e->owner_process };
    uint64_t key = mob_address_key(owner) * UINT64_C(0x9e3779b97f4a7c15) ^ e->task;

    if (mob_map_get(&q->seen, key) != NULL)
        return false;
    mob_map_set(&q->seen, key, q);
    return true;
}

/* The error of this attempt, if it is the one that the last WHY is of. */
static const char *why_of(const struct event_query *q, const struct mob_event *e)
{
    bool same = q->why.task == e->task && q->why.owner_node == e->owner_node && q->why.owner_process == e->owner_process;

    return same && (e->kind == MOB_EVENT_ENDED || e->kind == MOB_EVENT_FAILED_ATTEMPT) ? (const char *)&q->why + MOB_EVENT_TEXT : "";
}

static void tell_task(struct event_query *q, const struct mob_event *e)
{
    json_t *row;

    if (e->kind == MOB_EVENT_WHY)
        q->why = *e;
    if (e->kind == MOB_EVENT_OWNER_OVER)
        owner_is_over(q, e);
    if (e->kind == MOB_EVENT_OWNER_OVER || e->kind == MOB_EVENT_NAME || e->kind == MOB_EVENT_WHY || !first_word_on(q, e))
        return;
    row = row_of(q, *e, why_of(q, e));
    if (!row_is_asked(row, q->filter)) {
        json_decref(row);
        return;
    }
    put_string(q, q->rows++ == 0 ? "" : ",");
    put_json(q, row);
}

static void tell_totals(struct event_query *q)
{
    const struct event_totals *t = &q->facts.totals;
    uint64_t dropped = t->sampled + t->slow + t->unwritten;

    put_string(q, "],\"counts\":");
    put_json(q, json_pack("{s:I, s:I, s:I, s:I, s:I}", "submitted", (json_int_t)t->submitted, "finished", (json_int_t)t->finished,
                          "failed", (json_int_t)t->failed, "cancelled", (json_int_t)t->cancelled, "retried",
                          (json_int_t)t->retried));
    put_string(q, ",\"dropped\":");
    put_json(q, json_integer((json_int_t)dropped));
    put_string(q, ",\"dropped_why\":");
    put_json(q, json_pack("{s:I, s:I, s:I, s:o}", "rate", (json_int_t)t->sampled, "slow_disk", (json_int_t)t->slow,
                          "disk", (json_int_t)t->unwritten, "disk_error", text_json(t->disk_error)));
    put_string(q, "}");
}

static bool step_tasks(struct event_query *q)
{
    uint64_t first = q->at > STEP_RECORDS ? q->at - STEP_RECORDS : 0;
    size_t n = 0, got;

    if (q->text == NULL)
        put_string(q, "{\"tasks\":[");
    /* The range may lie in both halves: two reads. */
    while ((got = mob_event_reader_get(&q->reader, first + n, q->records + n, (size_t)(q->at - first) - n)) > 0)
        n += got;
    while (n > 0 && q->rows < q->limit)
        tell_task(q, &q->records[--n]);
    q->at = first;
    if (q->at > 0 && q->rows < q->limit)
        return false;
    tell_totals(q);
    return true;
}

/* -- timeline ------------------------------------------------------------------------------------------------------------ */

static void tell_attempt(struct event_query *q, const struct mob_event *e)
{
    char task[MOB_OBJECT_NAME_SIZE];

    if ((e->kind != MOB_EVENT_ENDED && e->kind != MOB_EVENT_FAILED_ATTEMPT) || e->started_ns <= 0 || e->ended_ns < e->started_ns)
        return;
    mob_task_name((struct mob_address){ e->owner_node, e->owner_process }, e->task, task);
    put_string(q, q->rows++ == 0 ? "" : ",\n");
    put_json(q, json_pack("{s:o, s:s, s:s, s:f, s:f, s:I, s:I, s:{s:s, s:I, s:s}}", "name", name_json(q, e),
                          "cat", "task", "ph", "X", "ts", (double)e->started_ns / 1e3, "dur",
                          (double)(e->ended_ns - e->started_ns) / 1e3, "pid", (json_int_t)e->node, "tid", (json_int_t)e->pid,
                          "args", "task", task, "attempt", (json_int_t)e->attempt, "status", mob_code_name(e->status)));
    if (q->seen.count < NODES_NAMED_MAX)
        mob_map_set(&q->seen, e->node, q);
}

static void tell_nodes(struct event_query *q)
{
    uint64_t node;
    size_t at = 0;

    while (mob_map_next(&q->seen, &at, &node) != NULL) {
        json_t *name = json_sprintf("node %" PRIu64, node);
        put_string(q, q->rows++ == 0 ? "" : ",\n");
        put_json(q, json_pack("{s:s, s:s, s:I, s:{s:o}}", "name", "process_name", "ph", "M", "pid", (json_int_t)node,
                              "args", "name", name));
    }
}

static bool step_timeline(struct event_query *q)
{
    size_t n;

    if (q->text == NULL)
        put_string(q, "[");
    while (q->size < STEP_TEXT && (n = mob_event_reader_get(&q->reader, q->at, q->records, STEP_RECORDS / 4)) > 0) {
        for (size_t i = 0; i < n; i++)
            tell_attempt(q, &q->records[i]);
        q->at += n;
    }
    if (q->size >= STEP_TEXT)
        return false;
    tell_nodes(q);
    put_string(q, "]\n");
    return true;
}

/* -- life ---------------------------------------------------------------------------------------------------------------- */

static int read_argument(struct event_query *q, const char *argument, struct mob_error *err)
{
    json_t *object = argument[0] == '\0' ? json_object() : json_loads(argument, 0, NULL);
    json_t *limit = json_object_get(object, "limit"), *filter = json_object_get(object, "filter");
    bool good = json_is_object(object) && (limit == NULL || (json_is_integer(limit) && json_integer_value(limit) > 0))
        && (filter == NULL || json_is_object(filter));

    q->limit = limit != NULL ? (uint64_t)json_integer_value(limit) : LIMIT_DEFAULT;
    q->filter = good ? json_incref(filter) : NULL;
    json_decref(object);
    if (!good)
        return mob_error_set(err, MOB_ERR_INVALID, "the argument is {\"limit\": N, \"filter\": {column: value}}, both may be left out");
    return 0;
}

struct event_query *mob_event_query_create(const char *verb, const char *argument, const struct event_reader *reader,
                                           const struct event_facts *facts, struct mob_error *err)
{
    struct event_query *q = mob_new(struct event_query);

    q->timeline = strcmp(verb, "timeline") == 0;
    q->reader = *reader;
    q->facts = *facts;
    q->facts.names = mob_memdup(facts->names, facts->name_count * sizeof *facts->names);
    q->facts.over = mob_memdup(facts->over, facts->over_count * sizeof *facts->over);
    for (size_t i = 0; i < facts->name_count; i++)
        mob_map_set(&q->by_hash, q->facts.names[i].hash, &q->facts.names[i]);
    for (size_t i = 0; i < facts->over_count; i++)
        mob_map_set(&q->over, q->facts.over[i].job, &q->facts.over[i]);
    q->at = q->timeline ? 0 : mob_event_reader_count(reader);
    if (!q->timeline && read_argument(q, argument, err) < 0) {
        mob_event_query_destroy(q);
        return NULL;
    }
    return q;
}

void mob_event_query_destroy(struct event_query *q)
{
    if (q == NULL)
        return;
    mob_event_reader_close(&q->reader);
    mob_map_fini(&q->by_hash);
    mob_map_fini(&q->over);
    mob_map_fini(&q->seen);
    for (size_t i = 0; i < q->owners_over_count; i++)
        free(q->owners_over[i]);
    free(q->owners_over);
    json_decref(q->filter);
    free(q->facts.names);
    free(q->facts.over);
    free(q->text);
    free(q);
}

bool mob_event_query_step(struct event_query *q, const char **ret_text, size_t *ret_size)
{
    bool last;

    q->size = 0;
    last = q->timeline ? step_timeline(q) : step_tasks(q);
    *ret_text = q->text;
    *ret_size = q->size;
    return last;
}
