/* SPDX-License-Identifier: Apache-2.0 */
/* list.c -- mobula list nodes|tasks: rows of the head's answers (head/query.c, head/events.c). */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/ask.h"
#include "cli/print.h"
#include "cli/verbs.h"

#define LIST_MS 30000

static const struct option options[] = {
    { "format", "table|json", "json: the rows as the head gave them" },
    { "limit", "N", "at most so many tasks (100)" },
    ASK_OPTIONS,
    { 0 },
};

static void print_rows(const char *kind, json_t *rows)
{
    static const char *const of_nodes[] = { "node", "ip", "host", "state", "cpu", "gpu", "workers", "store", NULL };
    static const char *const of_tasks[] = { "task", "name", "state", "node", "pid", "attempt", "run_ms", "wait_ms", NULL };

    if (strcmp(kind, "nodes") == 0)
        print_node_table(rows, of_nodes);
    else
        print_table(rows, of_tasks);
}

static int run(const struct args *a)
{
    const char *kind = args_operand(a), *format = args_text(a, "format");
    struct mob_error err;
    int64_t limit = 100, dropped;
    char argument[64];
    json_t *answer;

    if (kind == NULL || (strcmp(kind, "nodes") != 0 && strcmp(kind, "tasks") != 0)) {
        fprintf(stderr, "mobula list: say nodes or tasks\n");
        return 2;
    }
    if (args_number(a, "limit", 1, INT64_MAX, &limit, &err) < 0)
        return args_failed(&err);
    snprintf(argument, sizeof argument, "{\"limit\":%" PRId64 "}", limit);
    if (ask_json(a, kind, argument, LIST_MS, &answer, &err) < 0)
        return args_failed(&err);
    if (format != NULL && strcmp(format, "json") == 0) {
        json_dumpf(json_object_get(answer, kind), stdout, JSON_INDENT(2));
        putchar('\n');
    } else {
        print_rows(kind, json_object_get(answer, kind));
        dropped = (int64_t)json_number_value(json_object_get(answer, "dropped"));
        if (dropped > 0)
            printf("(%" PRId64 " records of very short tasks were not kept)\n", dropped);
    }
    json_decref(answer);
    return 0;
}

const struct verb verb_list = { "list", "nodes|tasks", "list what the head knows", options, run };
