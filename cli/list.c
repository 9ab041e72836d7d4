/* SPDX-License-Identifier: Apache-2.0 */
/* list.c -- mobula list nodes|tasks: rows of the head's answers (head/query.c, head/event_query.c). */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/ask.h"
#include "cli/print.h"
#include "cli/verbs.h"
#include "common/event.h"

#define LIST_MS 30000

static const struct option options[] = {
    { "format", "table|json", "json: the rows as the head gave them" },
    { "limit", "N", "at most so many tasks (100)" },
    ASK_OPTIONS,
    { 0 },
};

static void print_rows(const char *kind, json_t *rows)
{
    static const char *const of_nodes[] = { "node", "ip", "host", "state", "cpu", "gpu", "workers", "store", "reason", NULL };

    if (strcmp(kind, "nodes") == 0)
        print_node_table(rows, of_nodes);
    else
        print_task_table(rows);
}

static int64_t count_of(json_t *why, const char *key)
{
    return (int64_t)json_integer_value(json_object_get(why, key));
}

/* What the head does not have, and the reason for each. */
static void print_dropped(json_t *why)
{
    int64_t rate = count_of(why, "rate"), slow = count_of(why, "slow_disk"), disk = count_of(why, "disk");
    const char *refusal = json_string_value(json_object_get(why, "disk_error"));

    if (rate > 0)
        printf("(%" PRId64 " tasks came faster than they are recorded: see mobula list --help)\n", rate);
    if (slow > 0)
        printf("(%" PRId64 " records came faster than the head's disk takes them, and were not kept)\n", slow);
    if (disk > 0)
        printf("(%" PRId64 " records were not kept: %s)\n", disk,
               refusal != NULL ? refusal : "the disk refused them");
}

static int run(const struct args *a)
{
    const char *kind = args_operand(a), *format = args_text(a, "format");
    struct mob_error err;
    int64_t limit = 100;
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
        print_dropped(json_object_get(answer, "dropped_why"));
    }
    json_decref(answer);
    return 0;
}

/* The figures: common/event.h. */
_Static_assert(MOB_EVENTS_PER_SECOND == 20000 && MOB_EVENTS_SAMPLE == 256, "the help says so");

static const char help[] =
    "list what the head knows\n\n"
    "Tasks: the newest first. State: PENDING_ARGS_AVAIL waits for arguments, PENDING_NODE_ASSIGNMENT for a worker,\n"
    "SUBMITTED_TO_WORKER stands behind others there, RUNNING, FINISHED, FAILED, CANCELLED. A task whose job ended\n"
    "before it has FAILED. Times are by the clock of the task's owner. What a process reports beyond 20000 records a\n"
    "second is sampled: then 1 new task in 256 is listed, besides those that fail or run long.";

const struct verb verb_list = { "list", "nodes|tasks", help, options, run };
