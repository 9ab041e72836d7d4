/* SPDX-License-Identifier: Apache-2.0 */
/* drain.c -- mobula drain NODE: the head is told that the node shall leave, and then asked how far it is until it has left. A line is
 * printed whenever something has changed. A head that is away or stopped meanwhile is waited for: the node goes on with it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/ask.h"
#include "cli/verbs.h"
#include "common/loop.h"

#define ASK_MS 10000
#define AGAIN_MS 200
#define HEADLESS_NS INT64_C(60000000000)        /* then the nodes give up, too */
#define LINE_SIZE 512
#define DEADLINE_S_MAX 31536000.0

static const struct option options[] = {
    { "deadline", "TIME", "leave after this (30, 30s, 10m, 2h) whatever still runs: that is retried elsewhere" },
    { "force", NULL, "even if no node can take its objects, or a driver runs there (which is waited for)" },
    { "no-wait", NULL, "return at once; mobula status shows when it has left" },
    ASK_OPTIONS,
    { 0 },
};

/* -- the order ------------------------------------------------------------------------------------------------------------- */

static int read_deadline(const char *text, int64_t *ret_ms, struct mob_error *err)
{
    static const struct { const char *name; double seconds; } units[] = {
        { "", 1 }, { "s", 1 }, { "ms", 0.001 }, { "m", 60 }, { "h", 3600 },
    };
    char *end;
    double value = strtod(text, &end);

    for (size_t i = 0; end != text && i < sizeof units / sizeof units[0]; i++)
        if (strcmp(end, units[i].name) == 0 && value >= 0 && value * units[i].seconds <= DEADLINE_S_MAX) {
            *ret_ms = (int64_t)(value * units[i].seconds * 1000);
            return 0;
        }
    return mob_error_set(err, MOB_ERR_INVALID, "--deadline \"%.64s\" is no time; write 30, 30s, 10m or 2h", text);
}

static char *order_of(const struct args *a, struct mob_error *err)
{
    const char *deadline = args_text(a, "deadline");
    json_t *order = json_pack("{s:s, s:b}", "node", args_operand(a), "force", (int)args_flag(a, "force"));
    int64_t ms = 0;
    char *text;

    if (order == NULL) {
        mob_error_set(err, MOB_ERR_INVALID, "the name of a node is UTF-8");
        return NULL;
    }
    if (deadline != NULL && read_deadline(deadline, &ms, err) < 0) {
        json_decref(order);
        return NULL;
    }
    if (deadline != NULL)
        json_object_set_new(order, "deadline_ms", json_integer(ms));
    text = json_dumps(order, JSON_COMPACT);
    json_decref(order);
    return text;
}

/* -- how far it is --------------------------------------------------------------------------------------------------------- */

static int64_t number(const json_t *row, const char *name)
{
    return json_integer_value(json_object_get(row, name));
}

static const char *text(const json_t *row, const char *name)
{
    const char *value = json_string_value(json_object_get(row, name));

    return value != NULL ? value : "";
}

/* "; 3 tasks still run", or nothing for none. */
static void add(FILE *out, int64_t count, const char *one, const char *many)
{
    if (count > 0)
        fprintf(out, "; %" PRId64 " %s", count, count == 1 ? one : many);
}

static void describe(const json_t *row, char line[LINE_SIZE])
{
    FILE *out = fmemopen(line, LINE_SIZE, "w");
    int64_t objects = number(row, "objects");

    fprintf(out, "node %" PRId64 " (%s) %s", number(row, "node"), text(row, "ip"),
            strcmp(text(row, "state"), "cut") == 0 ? "is cut off from the head" : "is draining");
    if (!json_is_true(json_object_get(row, "heard")))
        fprintf(out, "; it has not answered yet");
    add(out, number(row, "tasks"), "worker still has tasks", "workers still have tasks");
    add(out, objects, "object", "objects");
    if (objects > 0)
        fprintf(out, " (%.1f MiB) still to move%s", (double)number(row, "bytes") / (1 << 20),
                number(row, "takers") == 0 ? ", but no other node serves" : "");
    add(out, number(row, "owners"), "idle worker is needed, as others hold what it owns",
        "idle workers are needed, as others hold what they own");
    add(out, number(row, "drivers"), "driver runs there", "drivers run there");
    fclose(out);
    line[LINE_SIZE - 1] = '\0';
}

/* 1: not yet, 0: it has left, -1: it has died instead. */
static int look(const json_t *row, char line[LINE_SIZE], struct mob_error *err)
{
    const char *state = text(row, "state");

    if (strcmp(state, "dead") == 0)
        return mob_error_set(err, MOB_ERR_NODE_DIED, "node %" PRId64 " (%s) died before it had left: %s", number(row, "node"),
                             text(row, "ip"), text(row, "reason"));
    if (strcmp(state, "drained") == 0) {
        snprintf(line, LINE_SIZE, "node %" PRId64 " (%s) has left: %s", number(row, "node"), text(row, "ip"), text(row, "reason"));
        return 0;
    }
    describe(row, line);
    return 1;
}

static void say(const char *line, char said[LINE_SIZE])
{
    if (strcmp(line, said) == 0)
        return;
    puts(line);
    fflush(stdout);
    memcpy(said, line, LINE_SIZE);
}

static int follow(const struct args *a, int64_t node, struct mob_error *err)
{
    const struct timespec pause = { .tv_nsec = AGAIN_MS * 1000000L };
    char line[LINE_SIZE] = "", said[LINE_SIZE] = "", argument[64];
    int64_t heard_ns = mob_now_ns();
    int result = 1;
    json_t *row;

    snprintf(argument, sizeof argument, "{\"node\":%" PRId64 "}", node);
    while (result == 1) {
        if (ask_json(a, "draining", argument, ASK_MS, &row, err) == 0) {
            heard_ns = mob_now_ns();
            result = look(row, line, err);
            json_decref(row);
            if (result >= 0)
                say(line, said);
        } else if ((err->code != MOB_ERR_UNREACHABLE && err->code != MOB_ERR_TIMEOUT) || mob_now_ns() - heard_ns > HEADLESS_NS) {
            result = -1;
        }
        if (result == 1)
            nanosleep(&pause, NULL);
    }
    return result;
}

static int run(const struct args *a)
{
    struct mob_error err;
    json_t *answer;
    char *order;
    int64_t node;
    int result;

    if (args_operand(a) == NULL) {
        fprintf(stderr, "mobula drain: say which node, by its number, address or host name; mobula list nodes shows them\n");
        return 2;
    }
    if ((order = order_of(a, &err)) == NULL)
        return args_failed(&err);
    result = ask_json(a, "drain", order, ASK_MS, &answer, &err);
    free(order);
    if (result < 0)
        return args_failed(&err);
    node = number(answer, "node");
    printf("node %" PRId64 " (%s) %s\n", node, text(answer, "ip"),
           json_is_true(json_object_get(answer, "again")) ? "was draining already" : "gets no new work from now on");
    fflush(stdout);
    json_decref(answer);
    if (!args_flag(a, "no-wait") && follow(a, node, &err) < 0)
        return args_failed(&err);
    return 0;
}

static const char help[] =
    "let a node finish its work and leave; nothing is lost or rerun\n\n"
    "It gets no new work. Its running tasks end, objects that only it has go to other nodes, and when no worker on it is needed any\n"
    "more it leaves the cluster and its daemon ends. Without --deadline that takes as long as its tasks run; after a deadline it\n"
    "leaves all the same, and what still ran there is retried on other nodes, as after a node's death.";

const struct verb verb_drain = { "drain", "NODE", help, options, run };
