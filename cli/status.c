/* SPDX-License-Identifier: Apache-2.0 */
/* status.c -- mobula status: the cluster in one screen, from the head's answer to "status" (head/query.c). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/ask.h"
#include "cli/print.h"
#include "cli/verbs.h"

#define STATUS_MS 10000

static const struct option options[] = {
    { "format", "table|json", "json: the head's answer as it is" },
    ASK_OPTIONS,
    { 0 },
};

static double stored_bytes(json_t *nodes)
{
    double sum = 0;
    json_t *node;
    size_t i;

    json_array_foreach(nodes, i, node)
        if (strcmp(json_string_value(json_object_get(node, "state")) ?: "", "alive") == 0)
            sum += json_number_value(json_object_get(node, "store_used"));
    return sum;
}

/* "CPU 3/16" for each resource that is worth a line of people's time. Objects fill the stores, whatever tasks have asked for. */
static void print_totals(json_t *total, json_t *available, json_t *nodes)
{
    const char *name;
    json_t *amount;

    json_object_foreach(total, name, amount) {
        double all = json_number_value(amount), used = all - json_number_value(json_object_get(available, name));
        char used_text[32], all_text[32];
        if (strncmp(name, "node:", 5) == 0)
            continue;
        if (strcmp(name, "object_store_memory") == 0)
            used = stored_bytes(nodes);
        print_amount(name, used, used_text, sizeof used_text);
        print_amount(name, all, all_text, sizeof all_text);
        printf("  %-20s %s/%s\n", name, used_text, all_text);
    }
}

/* What waits, and why it runs nowhere: the head's own reasons. */
static void print_demands(json_t *demands)
{
    json_t *demand;
    size_t i;

    json_array_foreach(demands, i, demand) {
        char *resources = json_dumps(json_object_get(demand, "resources"), JSON_COMPACT);
        const char *state = json_string_value(json_object_get(demand, "state"));
        printf("\n%s: %" PRId64 " x %s, the oldest for %.1f s\n", strcmp(state ?: "", "waiting") == 0 ? "Waits" : "Fits no node",
               (int64_t)json_number_value(json_object_get(demand, "count")), resources,
               json_number_value(json_object_get(demand, "oldest_ms")) / 1000);
        printf("%s\n", json_string_value(json_object_get(demand, "why")) ?: "");
        free(resources);
    }
}

/* What is wrong with a node's store, and what its memory is made of. */
static void print_stores(json_t *nodes)
{
    char amount[32];
    json_t *node;
    size_t i;

    json_array_foreach(nodes, i, node) {
        int64_t number = (int64_t)json_number_value(json_object_get(node, "node"));
        int64_t asks = (int64_t)json_number_value(json_object_get(node, "store_asks"));
        double overflow = json_number_value(json_object_get(node, "store_overflow"));
        const char *trouble = json_string_value(json_object_get(node, "store_trouble")) ?: "";
        const char *pages = json_string_value(json_object_get(node, "store_pages")) ?: "";

        if (i == 0 && pages[0] != '\0')
            printf("\nStore of node %" PRId64 ": %s\n", number, pages);
        if (json_is_true(json_object_get(node, "store_full")))
            printf("Store of node %" PRId64 ": full; the node gets no work that others could do, until there is room\n", number);
        if (trouble[0] != '\0')
            printf("Store of node %" PRId64 ": %s\n", number, trouble);
        if (overflow > 0) {
            print_amount("memory", overflow, amount, sizeof amount);
            printf("Store of node %" PRId64 ": %s in the overflow, for which there was no room\n", number, amount);
        }
        if (asks > 0)
            printf("Store of node %" PRId64 ": %" PRId64 " wait for room\n", number, asks);
    }
}

/* The first lines: who there is, what waits, and that some have died. */
static void print_head(json_t *answer)
{
    const char *trouble = json_string_value(json_object_get(answer, "state_trouble"));
    int64_t died = json_integer_value(json_object_get(answer, "died"));

    if (trouble != NULL && trouble[0] != '\0')
        printf("The head cannot keep its state: %s\n\n", trouble);
    printf("Cluster %s\n  nodes %zu   waiting for a worker: %" PRId64, json_string_value(json_object_get(answer, "cluster")) ?: "?",
           json_array_size(json_object_get(answer, "nodes")), (int64_t)json_number_value(json_object_get(answer, "waiting")));
    if (died > 0)
        printf("   nodes that died: %" PRId64 " (mobula list nodes says why)", died);
    printf("\n\nUsed\n");
}

static int run(const struct args *a)
{
    static const char *const columns[] = { "node", "ip", "host", "state", "cpu", "gpu", "workers", "blocked", "queued", "store", "spilled",
                                           "pulled", "warm", NULL };
    const char *format = args_text(a, "format");
    struct mob_error err;
    json_t *answer, *nodes;

    if (ask_json(a, "status", "", STATUS_MS, &answer, &err) < 0)
        return args_failed(&err);
    if (format != NULL && strcmp(format, "json") == 0) {
        json_dumpf(answer, stdout, JSON_INDENT(2));
        putchar('\n');
    } else {
        nodes = json_object_get(answer, "nodes");
        print_head(answer);
        print_totals(json_object_get(answer, "total"), json_object_get(answer, "available"), nodes);
        putchar('\n');
        print_node_table(nodes, columns);
        print_stores(nodes);
        print_demands(json_object_get(answer, "demands"));
    }
    json_decref(answer);
    return 0;
}

const struct verb verb_status = { "status", NULL, "nodes, resources in use, what waits", options, run };
