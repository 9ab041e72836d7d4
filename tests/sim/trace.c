/* SPDX-License-Identifier: Apache-2.0 */
/* trace.c -- a run as a person reads it: when, at which host, who hears what from whom, and its numbers by their names. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "sim.h"

#define LINE_ROOM 600u
#define MANY_MAX 4                      /* of a list */

static void add(char *line, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(char *line, const char *format, ...)
{
    size_t used = strlen(line);
    va_list args;

    va_start(args, format);
    if (used < LINE_ROOM)
        vsnprintf(line + used, LINE_ROOM - used, format, args);
    va_end(args);
}

static void add_number(char *line, const ProtobufCFieldDescriptor *f, const void *at)
{
    uint64_t wide;
    uint32_t narrow;

    if (f->type == PROTOBUF_C_TYPE_UINT64 || f->type == PROTOBUF_C_TYPE_INT64 || f->type == PROTOBUF_C_TYPE_SINT64) {
        memcpy(&wide, at, sizeof wide);
        if (wide != 0)
            add(line, " %s=%" PRId64, f->name, (int64_t)wide);
        return;
    }
    memcpy(&narrow, at, sizeof narrow);
    if (narrow != 0)
        add(line, " %s=%" PRId32, f->name, (int32_t)narrow);
}

static void add_message(char *line, const ProtobufCMessage *m);

/* The first ones of a list; of plain ones, how many there are. */
static void add_many(char *line, const ProtobufCFieldDescriptor *f, const void *at, size_t count)
{
    ProtobufCMessage *const *list;

    if (count == 0)
        return;
    add(line, " %s=%zu", f->name, count);
    if (f->type != PROTOBUF_C_TYPE_MESSAGE)
        return;
    memcpy(&list, at, sizeof list);
    add(line, ":");
    for (size_t i = 0; i < count && i < MANY_MAX; i++) {
        add(line, "{");
        add_message(line, list[i]);
        add(line, " }");
    }
    add(line, count > MANY_MAX ? "..." : "");
}

static void add_field(char *line, const ProtobufCFieldDescriptor *f, const void *at, size_t count)
{
    const char *text = NULL;
    const ProtobufCMessage *inner = NULL;

    if (f->label == PROTOBUF_C_LABEL_REPEATED) {
        add_many(line, f, at, count);
        return;
    }
    switch (f->type) {
    case PROTOBUF_C_TYPE_STRING:
        memcpy(&text, at, sizeof text);
        if (text != NULL && *text != '\0')
            add(line, " %s=\"%.60s\"", f->name, text);
        break;
    case PROTOBUF_C_TYPE_MESSAGE:
        memcpy(&inner, at, sizeof inner);
        if (inner == NULL)
            break;
        add(line, " %s={", f->name);
        add_message(line, inner);
        add(line, " }");
        break;
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_DOUBLE:
        break;
    default:
        add_number(line, f, at);
    }
}

static void add_message(char *line, const ProtobufCMessage *m)
{
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        const char *base = (const char *)m;
        size_t count = 0;
        int chosen;

        if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
            memcpy(&chosen, base + f->quantifier_offset, sizeof chosen);
            if (chosen != (int)f->id)
                continue;
        } else if (f->label == PROTOBUF_C_LABEL_REPEATED) {
            memcpy(&count, base + f->quantifier_offset, sizeof count);
        }
        add_field(line, f, base + f->offset, count);
    }
}

static void add_address(char *line, const Mobula__Address *a)
{
    if (a == NULL || (a->node == 0 && a->process == 0))
        add(line, "the head");
    else if (a->process == 0)
        add(line, "raylet %u", a->node);
    else
        add(line, "process %u.%u", a->node, a->process);
}

void trace_frame(struct actor *a, const void *frame, size_t size)
{
    static const char *const kinds[] = { "head", "raylet", "process" };
    struct mob_wire *wire = a->sim->config.trace ? mob_wire_create() : NULL;
    const Mobula__Envelope *m = wire != NULL ? mob_wire_unpack(wire, frame, size, NULL) : NULL;
    const ProtobufCFieldDescriptor *body;
    const ProtobufCMessage *inner;
    char line[LINE_ROOM] = "";

    if (m != NULL && (body = protobuf_c_message_descriptor_get_field(&mobula__envelope__descriptor, m->body_case)) != NULL) {
        add(line, "%s from ", body->name);
        add_address(line, m->from);
        add(line, " to ");
        add_address(line, m->to);
        add(line, ":");
        memcpy(&inner, (const char *)m + body->offset, sizeof inner);
        add_message(line, inner);
        sim_trace(a->sim, "host %-3u %-7s <- %s", a->host->index, kinds[a->kind], line);
    }
    if (wire != NULL)
        mob_wire_destroy(wire);
}
