/* SPDX-License-Identifier: Apache-2.0 */
/* memory.c -- the question "memory": what is in this node's store, the largest objects first.
 *
 *   {"node", "ip", "used", "size", "spilled", "total", "objects": [{"object", "owner", "size", "state", "reference"}]}
 *
 * reference: what keeps it: "view of N.P" (a process reads it), "being made by N.P", "copy" (it is elsewhere, too), "owner" (refs to it),
 * "none" (freed, and on its way out).
 */
#include "raylet/memory.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "raylet/core.h"

#define LIMIT 1000                      /* objects, unless {"limit": N} says less */
#define PART_MAX (256u << 10)

struct text {
    char *at;
    size_t size, room;
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
    add(t, "%s{\"object\":\"%s\",\"owner\":\"%u.%u\",\"size\":%" PRIu64 ",\"state\":\"%s\",\"reference\":\"%s\"}", first ? "" : ",",
        mob_object_id_name(&row->id, name), row->id.node, row->id.process, row->size, row->state, reference);
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

void mob_memory_answer(struct mob_raylet *r, struct mob_address to, const Mobula__Query *m)
{
    const char *said = strstr(m->argument, "\"limit\":");
    size_t limit = said != NULL ? strtoull(said + 8, NULL, 10) : LIMIT, count = 0;
    struct mob_store_row *rows = mob_alloc(LIMIT * sizeof *rows);
    struct mob_store_usage usage = { 0 };
    struct text t = { 0 };

    if (r->config.store != NULL) {
        usage = mob_store_usage(r->config.store);
        count = mob_store_largest(r->config.store, rows, limit < LIMIT ? limit : LIMIT);
    }
    add(&t, "{\"node\":%u,\"ip\":\"%s\",\"used\":%" PRIu64 ",\"size\":%" PRIu64 ",\"spilled\":%" PRIu64 ",\"total\":%" PRIu64 ",\"objects\":[",
        r->self.node, r->config.ip, usage.used, usage.size, usage.spilled, usage.objects);
    for (size_t i = 0; i < count; i++)
        add_object(&t, r, &rows[i], i == 0);
    add(&t, "]}");
    send_parts(r, to, m->id, &t);
    free(t.at);
    free(rows);
}
