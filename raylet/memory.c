/* SPDX-License-Identifier: Apache-2.0 */
/* memory.c -- the question "memory": what is in this node's store, the largest objects first.
 *
 *   {"node", "ip", "used", "size", "spilled", "overflow", "total", "objects": [{"object", "owner", "size", "state", "overflow",
 *    "reference"}], "references": [{"object", "local", "tasks", "captured", "holders"}]}
 *
 * reference: what keeps it: "view of N.P" (a process reads it), "being made by N.P", "copy" (it is elsewhere, too), "owner" (refs to it),
 * "none" (freed, and on its way out).
 *
 * references: why an owner of this node keeps objects, wherever they lie (worker/references.c). A process that may own some, as its page
 * says, is asked, and a thread of it answers whatever its code does; one that has been stopped is waited for PATIENCE_NS, and its objects
 * have no row.
 */
#include "raylet/memory.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "raylet/core.h"

#define LIMIT 1000                      /* objects, unless {"limit": N} says less */
#define PART_MAX (256u << 10)
#define TEXT_MAX (8u << 20)             /* what more processes say is left out */
#define PATIENCE_NS (1000 * MS)
#define QUESTIONS_MAX 100               /* for which processes are asked, at a time */
#define NAME_LETTERS "0123456789abcdefghijklmnopqrstuvwxyz.-"

struct text {
    char *at;
    size_t size, room;
};

struct memory_question {
    struct mob_link link;
    uint64_t number;                    /* what processes know it by */
    struct mob_address to;
    uint64_t query;
    size_t left;                        /* processes that have not said anything */
    bool any;                           /* one has */
    int64_t end_ns;
    struct text text;
};

static void add(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct text *t, const char *format, ...)
{
    char piece[512];
    va_list args;
    size_t n;

    va_start(args, format);
    vsnprintf(piece, sizeof piece, format, args);
    va_end(args);
    n = strlen(piece);
    if (t->size + n > t->room)
        t->at = mob_realloc(t->at, t->room = 2 * t->room + n + 4096);
    memcpy(t->at + t->size, piece, n);
    t->size += n;
}

static void add_object(struct text *t, const struct mob_raylet *r, const struct mob_store_row *row, bool first)
{
    char name[MOB_OBJECT_NAME_SIZE], reference[64];

    if (row->freed)
        snprintf(reference, sizeof reference, row->reader != 0 ? "none, view of %u.%u" : "none", r->self.node, row->reader);
    else if (row->reader != 0)
        snprintf(reference, sizeof reference, "view of %u.%u", r->self.node, row->reader);
    else if (row->making)
        snprintf(reference, sizeof reference, "being made by %u.%u", r->self.node, row->maker);
    else
        snprintf(reference, sizeof reference, "%s", row->copy ? "copy" : "owner");
    add(t, "%s{\"object\":\"%s\",\"owner\":\"%u.%u\",\"size\":%" PRIu64 ",\"state\":\"%s\",\"overflow\":%s,\"reference\":\"%s\"}",
        first ? "" : ",", mob_object_id_name(&row->id, name), row->id.node, row->id.process, row->size, row->state,
        row->overflow ? "true" : "false", reference);
}

static void send_parts(struct mob_raylet *r, struct mob_address to, uint64_t query, const struct text *t)
{
    for (size_t at = 0, n; at < t->size; at += n) {
        Mobula__Reply m = MOBULA__REPLY__INIT;
        struct mob_envelope e;

        n = t->size - at < PART_MAX ? t->size - at : PART_MAX;
        m.id = query;
        m.text = (ProtobufCBinaryData){ n, (uint8_t *)t->at + at };
        m.last = at + n == t->size;
        mob_envelope_init(&e, r->self, to, MOBULA__ENVELOPE__BODY_REPLY);
        e.e.reply = &m;
        mob_route_send(r, &e.e);
    }
}

static void finish(struct mob_raylet *r, struct memory_question *q)
{
    add(&q->text, "]}");
    send_parts(r, q->to, q->query, &q->text);
    mob_list_remove(&q->link);
    r->memory.count--;
    free(q->text.at);
    free(q);
}

/* Before that it has nothing to tell; and a worker that is busy in a task would not read its socket. */
static bool may_own(const struct process *p)
{
    return p->connection != NULL && p->page != NULL && atomic_load_explicit(&p->page->owns, memory_order_relaxed) != 0;
}

static void ask_processes(struct mob_raylet *r, struct memory_question *q, size_t limit)
{
    Mobula__Query m = MOBULA__QUERY__INIT;
    struct mob_envelope e;
    struct process *p;
    char argument[48];

    snprintf(argument, sizeof argument, "{\"limit\":%zu}", limit);
    m.id = q->number;
    m.verb = (char *)(uintptr_t)"references";
    m.argument = argument;
    for (size_t at = 0; r->memory.count <= QUESTIONS_MAX && (p = mob_map_next(&r->processes.by_number, &at, NULL)) != NULL;) {
        if (!may_own(p))
            continue;
        mob_envelope_init(&e, r->self, p->address, MOBULA__ENVELOPE__BODY_QUERY);
        e.e.query = &m;
        q->left += mob_route_send(r, &e.e);
    }
    if (q->left == 0)
        finish(r, q);
}

static void add_store(struct mob_raylet *r, struct text *t, size_t limit)
{
    struct mob_store_row *rows = mob_alloc(LIMIT * sizeof *rows);
    struct mob_store_usage usage = { 0 };
    size_t count = 0;

    if (r->config.store != NULL) {
        usage = mob_store_usage(r->config.store);
        count = mob_store_largest(r->config.store, rows, limit);
    }
    add(t, "{\"node\":%u,\"ip\":\"%s\",\"used\":%" PRIu64 ",\"size\":%" PRIu64 ",\"spilled\":%" PRIu64, r->self.node, r->config.ip,
        usage.used, usage.size, usage.spilled);
    add(t, ",\"overflow\":%" PRIu64 ",\"total\":%" PRIu64 ",\"objects\":[", usage.overflow, usage.objects);
    for (size_t i = 0; i < count; i++)
        add_object(t, r, &rows[i], i == 0);
    add(t, "],\"references\":[");
    free(rows);
}

void mob_memory_answer(struct mob_raylet *r, struct mob_address to, const Mobula__Query *m)
{
    const char *said = strstr(m->argument, "\"limit\":");
    size_t limit = said != NULL ? strtoull(said + 8, NULL, 10) : LIMIT;
    struct memory_question *q = mob_new(struct memory_question);

    limit = limit < LIMIT ? limit : LIMIT;
    *q = (struct memory_question){ .number = ++r->memory.last, .to = to, .query = m->id, .end_ns = r->now + PATIENCE_NS };
    mob_list_append(&r->memory.all, &q->link);
    r->memory.count++;
    add_store(r, &q->text, limit);
    ask_processes(r, q, limit);
}

/* A row as it shall be: what a process says is not believed to be JSON. */
static void add_row(struct memory_question *q, json_t *row)
{
    const char *object = json_string_value(json_object_get(row, "object"));

    if (object == NULL || strlen(object) >= MOB_OBJECT_NAME_SIZE || strspn(object, NAME_LETTERS) != strlen(object)
        || q->text.size > TEXT_MAX)
        return;
    add(&q->text, "%s{\"object\":\"%s\"", q->any ? "," : "", object);
    for (const char *const *name = (const char *const[]){ "local", "tasks", "captured", "holders", NULL }; *name != NULL; name++)
        add(&q->text, ",\"%s\":%" PRId64, *name, (int64_t)json_integer_value(json_object_get(row, *name)));
    add(&q->text, "}");
    q->any = true;
}

void mob_memory_on_reply(struct mob_raylet *r, const struct arrival *a)
{
    const Mobula__Reply *m = a->e->reply;
    struct memory_question *q;
    json_t *rows, *row;
    size_t i;

    mob_list_each(q, &r->memory.all, struct memory_question, link) {
        if (q->number != m->id)
            continue;
        rows = json_loadb((const char *)m->text.data, m->text.len, 0, NULL);
        json_array_foreach(rows, i, row)
            add_row(q, row);
        json_decref(rows);
        if (--q->left == 0)
            finish(r, q);
        return;
    }
}

int64_t mob_memory_tick(struct mob_raylet *r)
{
    struct memory_question *q;

    mob_list_each(q, &r->memory.all, struct memory_question, link) {
        if (r->now < q->end_ns)
            return q->end_ns;           /* those behind it end later */
        finish(r, q);
    }
    return INT64_MAX;
}

void mob_memory_init(struct mob_raylet *r)
{
    mob_list_init(&r->memory.all);
}

void mob_memory_fini(struct mob_raylet *r)
{
    struct memory_question *q;

    mob_list_each(q, &r->memory.all, struct memory_question, link) {
        free(q->text.at);
        free(q);
    }
}
