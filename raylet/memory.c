/* SPDX-License-Identifier: Apache-2.0 */
/* memory.c -- the question "memory": what is in this node's store, the largest objects first.
 *
 *   {"node", "ip", "used", "size", "spilled", "overflow", "total", "objects": [{"object", "owner", "size", "state", "overflow",
 *    "reference"}], "references": [{"object", "local", "tasks", "captured", "holders", "lineage"}]}
 *
 * reference: what keeps it: "view of N.P" (a process reads it), "being made by N.P", "copy" (it is elsewhere, too), "owner" (refs to it),
 * "none" (freed, and on its way out).
 *
 * references: why an owner of this node keeps objects, wherever they lie (worker/references.c). A process that may own some, as its page
 * says, is asked. A row without "object" is what one keeps of finished tasks, so that lost results can be made again: {"process": P,
 * "kept", "kept_bytes", "kept_max", "again", "evicted"}.
 */
#include "raylet/memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "raylet/core.h"

#define LIMIT 1000                      /* objects, unless {"limit": N} says less */
#define NAME_LETTERS "0123456789abcdefghijklmnopqrstuvwxyz.-"

static json_t *object_row(const struct mob_raylet *r, const struct mob_store_row *row)
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
    return json_pack("{s:s, s:o, s:I, s:s, s:b, s:s}", "object", mob_object_id_name(&row->id, name), "owner",
                     json_sprintf("%u.%u", row->id.node, row->id.process), "size", (json_int_t)row->size, "state", row->state,
                     "overflow", row->overflow, "reference", reference);
}

static void add_store(struct mob_raylet *r, struct poll *p, size_t limit)
{
    struct mob_store_row *rows = mob_alloc(LIMIT * sizeof *rows);
    struct mob_store_usage usage = { 0 };
    size_t count = 0;

    if (r->config.store != NULL) {
        usage = mob_store_usage(r->config.store);
        count = mob_store_largest(r->config.store, rows, limit);
    }
    mob_poll_add(p, "{\"node\":%u,\"ip\":\"%s\",\"used\":%" PRIu64 ",\"size\":%" PRIu64 ",\"spilled\":%" PRIu64, r->self.node,
                 r->config.ip, usage.used, usage.size, usage.spilled);
    mob_poll_add(p, ",\"overflow\":%" PRIu64 ",\"total\":%" PRIu64 ",\"objects\":[", usage.overflow, usage.objects);
    for (size_t i = 0; i < count; i++)
        mob_poll_add_row(p, object_row(r, &rows[i]));
    mob_poll_add(p, "],\"references\":[");
    free(rows);
}

static const char *const of_object[] = { "local", "tasks", "captured", "holders", "lineage", NULL };
static const char *const of_owner[] = { "kept", "kept_bytes", "kept_max", "again", "evicted", NULL };

/* A row as it shall be. */
static void add_row(struct poll *p, uint32_t process, json_t *row)
{
    const char *object = json_string_value(json_object_get(row, "object"));
    json_t *out;

    if (object != NULL && (strlen(object) >= MOB_OBJECT_NAME_SIZE || strspn(object, NAME_LETTERS) != strlen(object)))
        return;
    if (object == NULL && !json_is_integer(json_object_get(row, "kept")))
        return;
    out = object != NULL ? json_pack("{s:s}", "object", object) : json_pack("{s:i}", "process", (int)process);
    for (const char *const *name = object != NULL ? of_object : of_owner; *name != NULL; name++)
        json_object_set_new(out, *name, json_integer(json_integer_value(json_object_get(row, *name))));
    mob_poll_add_row(p, out);
}

/* Before that it has nothing to tell; and a worker that is busy in a task would not read its socket. */
static bool may_own(const struct process *p)
{
    return p->connection != NULL && p->page != NULL && atomic_load_explicit(&p->page->owns, memory_order_relaxed) != 0;
}

void mob_memory_answer(struct mob_raylet *r, struct mob_address to, const Mobula__Query *m)
{
    const char *said = strstr(m->argument, "\"limit\":");
    size_t limit = said != NULL ? strtoull(said + 8, NULL, 10) : LIMIT;
    struct poll *poll = mob_poll_begin(r, to, m, add_row);
    struct process *p;
    char argument[48];

    add_store(r, poll, limit < LIMIT ? limit : LIMIT);
    snprintf(argument, sizeof argument, "{\"limit\":%d}", limit > 0 ? LIMIT : 0);     /* these lie on any node */
    for (size_t at = 0; (p = mob_map_next(&r->processes.by_number, &at, NULL)) != NULL;)
        if (may_own(p))
            mob_poll_ask(r, poll, p, "references", argument);
    mob_poll_asked(r, poll);
}
