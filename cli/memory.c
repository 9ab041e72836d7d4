/* SPDX-License-Identifier: Apache-2.0 */
/* memory.c -- mobula memory: what is in the nodes' object stores, from their raylets (head/gather.c, raylet/memory.c).
 *
 * A store knows who has an object pinned; why it is kept, its owner knows, often on another node. The two are put together here, in the
 * words of other such systems:
 *
 *   PINNED_IN_MEMORY       a process has a view of it
 *   LOCAL_REFERENCE        its owner has refs
 *   USED_BY_PENDING_TASK   tasks under way take it
 *   CAPTURED_IN_OBJECT     values carry it
 *   HELD_BY_OTHERS         refs of processes that are not its owner
 *   NEEDED_BY_LINEAGE      what was made of it could not be made again without it
 *
 * And what each owner keeps of finished tasks, so that their results can be made again when they are lost: "lineage" of its node.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/ask.h"
#include "cli/print.h"
#include "cli/verbs.h"

#define MEMORY_MS 15000

static const struct option options[] = {
    { "format", "table|json", "json: with all columns" },
    { "limit", "N", "at most so many objects of a node, the largest ones (20; at most 1000)" },
    ASK_OPTIONS,
    { 0 },
};

/* Object -> its owner's row. The rows stay the answer's. Those on owners themselves become "lineage" of their nodes. */
static json_t *rows_of_owners(json_t *nodes)
{
    json_t *by_name = json_object(), *node, *row, *lineage;
    size_t i, j;

    json_array_foreach(nodes, i, node) {
        lineage = json_array();
        json_array_foreach(json_object_get(node, "references"), j, row) {
            if (json_object_get(row, "object") != NULL)
                json_object_set(by_name, json_string_value(json_object_get(row, "object")), row);
            else if (json_array_append(lineage, row) == 0)
                json_object_set_new(row, "owner", json_sprintf("%d.%d", (int)json_number_value(json_object_get(node, "node")),
                                                               (int)json_integer_value(json_object_get(row, "process"))));
        }
        json_object_set_new(node, "lineage", lineage);
    }
    return by_name;
}

static void add_kind(json_t *kinds, const char *kind, const json_t *count)
{
    if (json_integer_value(count) > 0)
        json_object_set_new(kinds, kind, json_integer(json_integer_value(count)));
}

/* "kinds" of each object: {kind: how many}; none if its owner has said nothing. */
static void add_kinds(json_t *objects, const json_t *owners)
{
    json_t *object;
    size_t i;

    json_array_foreach(objects, i, object) {
        const json_t *row = json_object_get(owners, json_string_value(json_object_get(object, "object")));
        const char *reference = json_string_value(json_object_get(object, "reference"));
        json_t *kinds = json_object();

        if (reference != NULL && strstr(reference, "view of ") != NULL)
            json_object_set_new(kinds, "PINNED_IN_MEMORY", json_integer(1));
        add_kind(kinds, "LOCAL_REFERENCE", json_object_get(row, "local"));
        add_kind(kinds, "USED_BY_PENDING_TASK", json_object_get(row, "tasks"));
        add_kind(kinds, "CAPTURED_IN_OBJECT", json_object_get(row, "captured"));
        add_kind(kinds, "HELD_BY_OTHERS", json_object_get(row, "holders"));
        add_kind(kinds, "NEEDED_BY_LINEAGE", json_object_get(row, "lineage"));
        json_object_set_new(object, "kinds", kinds);
    }
}

/* "owner: LOCAL_REFERENCE 2, CAPTURED_IN_OBJECT 1" */
static void print_reference(json_t *object)
{
    char text[256];
    const char *kind, *reference = json_string_value(json_object_get(object, "reference"));
    size_t used = (size_t)snprintf(text, sizeof text, "%.64s", reference != NULL ? reference : "");
    bool first = true;
    json_t *count;

    json_object_foreach(json_object_get(object, "kinds"), kind, count) {
        used += (size_t)snprintf(text + used, sizeof text - used, "%s %s %" PRId64, first ? ":" : ",", kind,
                                 (int64_t)json_integer_value(count));
        first = false;
    }
    json_object_set_new(object, "reference", json_string(text));
}

static void print_lineage(const json_t *node)
{
    json_t *row;
    size_t i;

    json_array_foreach(json_object_get(node, "lineage"), i, row) {
        char bytes[32], max[32];

        print_amount("memory", json_number_value(json_object_get(row, "kept_bytes")), bytes, sizeof bytes);
        print_amount("memory", json_number_value(json_object_get(row, "kept_max")), max, sizeof max);
        printf("  %s keeps %" PRId64 " finished tasks, to make their results again, in %s of %s; %" PRId64 " ran again so far, %" PRId64
               " had to make room%s\n", json_string_value(json_object_get(row, "owner")),
               (int64_t)json_integer_value(json_object_get(row, "kept")), bytes, max,
               (int64_t)json_integer_value(json_object_get(row, "again")), (int64_t)json_integer_value(json_object_get(row, "evicted")),
               json_integer_value(json_object_get(row, "evicted")) > 0 ? " (MOBULA_LINEAGE_BYTES)" : "");
    }
}

static void print_node(json_t *node, json_t *rows)
{
    char used[32], size[32], spilled[32], overflow[32];
    json_t *objects = json_object_get(node, "objects"), *object;
    const char *error = json_string_value(json_object_get(node, "error"));
    int64_t number = (int64_t)json_number_value(json_object_get(node, "node"));
    size_t i;

    if (error != NULL) {
        printf("Node %" PRId64 ": %s\n", number, error);
        return;
    }
    print_amount("memory", json_number_value(json_object_get(node, "used")), used, sizeof used);
    print_amount("memory", json_number_value(json_object_get(node, "size")), size, sizeof size);
    print_amount("memory", json_number_value(json_object_get(node, "spilled")), spilled, sizeof spilled);
    print_amount("memory", json_number_value(json_object_get(node, "overflow")), overflow, sizeof overflow);
    printf("Node %" PRId64 ": %" PRId64 " objects, %s of %s used, %s on the disk, %s in the overflow\n", number,
           (int64_t)json_number_value(json_object_get(node, "total")), used, size, spilled, overflow);
    print_lineage(node);
    json_array_foreach(objects, i, object) {
        print_amount("memory", json_number_value(json_object_get(object, "size")), used, sizeof used);
        json_object_set_new(object, "size", json_string(used));
        json_object_set_new(object, "node", json_integer(number));
        if (json_is_true(json_object_get(object, "overflow")))
            json_object_set_new(object, "state", json_sprintf("%s, overflow", json_string_value(json_object_get(object, "state")) ?: ""));
        print_reference(object);
        json_array_append(rows, object);
    }
}

static int run(const struct args *a)
{
    static const char *const columns[] = { "node", "object", "size", "owner", "state", "reference", NULL };
    const char *format = args_text(a, "format");
    json_t *answer, *node, *owners, *rows = json_array();
    int64_t limit = 20;
    struct mob_error err;
    char argument[64];
    size_t i;

    if (args_number(a, "limit", 0, 1000, &limit, &err) < 0)
        return args_failed(&err);
    snprintf(argument, sizeof argument, "{\"limit\":%" PRId64 "}", limit);
    if (ask_json(a, "memory", argument, MEMORY_MS, &answer, &err) < 0)
        return args_failed(&err);
    owners = rows_of_owners(json_object_get(answer, "nodes"));
    json_array_foreach(json_object_get(answer, "nodes"), i, node) {
        add_kinds(json_object_get(node, "objects"), owners);
        json_object_del(node, "references");
    }
    json_decref(owners);
    if (format != NULL && strcmp(format, "json") == 0) {
        json_dumpf(answer, stdout, JSON_INDENT(2));
        putchar('\n');
    } else {
        json_array_foreach(json_object_get(answer, "nodes"), i, node)
            print_node(node, rows);
        putchar('\n');
        print_table(rows, columns);
    }
    json_decref(rows);
    json_decref(answer);
    return 0;
}

const struct verb verb_memory = { "memory", NULL, "the objects in the nodes' stores: size, owner, state, what keeps them", options, run };
