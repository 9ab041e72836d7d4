/* SPDX-License-Identifier: Apache-2.0 */
/* memory.c -- mobula memory: what is in the nodes' object stores, from their raylets (head/gather.c, raylet/memory.c). */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/ask.h"
#include "cli/print.h"
#include "cli/verbs.h"

#define MEMORY_MS 15000

static const struct option options[] = {
    { "format", "table|json", "json: as the raylets gave it" },
    { "limit", "N", "at most so many objects of a node, the largest ones (20; at most 1000)" },
    ASK_OPTIONS,
    { 0 },
};

static void print_node(json_t *node, json_t *rows)
{
    char used[32], size[32], spilled[32];
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
    printf("Node %" PRId64 ": %" PRId64 " objects, %s of %s used, %s on the disk\n", number,
           (int64_t)json_number_value(json_object_get(node, "total")), used, size, spilled);
    json_array_foreach(objects, i, object) {
        print_amount("memory", json_number_value(json_object_get(object, "size")), used, sizeof used);
        json_object_set_new(object, "size", json_string(used));
        json_object_set_new(object, "node", json_integer(number));
        json_array_append(rows, object);
    }
}

static int run(const struct args *a)
{
    static const char *const columns[] = { "node", "object", "size", "owner", "state", "reference", NULL };
    const char *format = args_text(a, "format");
    json_t *answer, *node, *rows = json_array();
    int64_t limit = 20;
    struct mob_error err;
    char argument[64];
    size_t i;

    if (args_number(a, "limit", 0, 1000, &limit, &err) < 0)
        return args_failed(&err);
    snprintf(argument, sizeof argument, "{\"limit\":%" PRId64 "}", limit);
    if (ask_json(a, "memory", argument, MEMORY_MS, &answer, &err) < 0)
        return args_failed(&err);
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
