/* SPDX-License-Identifier: Apache-2.0 */
/* explain.c -- mobula explain: why a task, or the task that makes an object, is not over; what a node lends and to whom. The head finds
 * out and says it in words (head/explain.c). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/ask.h"
#include "cli/verbs.h"
#include "common/mem.h"

#define EXPLAIN_MS 60000                /* a round of questions may wait some seconds for a node that is silent */

static const struct option options[] = {
    { "format", "text|json", "json: all that was found out, and the text" },
    ASK_OPTIONS,
    { 0 },
};

/* The operand is a node's number, or a name: of a task, an object, also as Python prints its reference, or a node. */
static char *argument_of(const char *what)
{
    static const char printed[] = "ObjectRef(";
    json_t *argument = json_object();
    char *end, *text, name[80];
    unsigned long number = strtoul(what, &end, 10);

    if (strncmp(what, printed, strlen(printed)) == 0) {
        mob_copy(name, sizeof name, what + strlen(printed));
        name[strcspn(name, ")")] = '\0';
        what = name;
    }

    if (what[0] != '\0' && *end == '\0')
        json_object_set_new(argument, "node", json_integer((json_int_t)number));
    else
        json_object_set_new(argument, "task", json_string(what));
    text = json_dumps(argument, JSON_COMPACT);
    json_decref(argument);
    return text;
}

static int run(const struct args *a)
{
    const char *what = args_operand(a), *format = args_text(a, "format");
    struct mob_error err;
    json_t *answer;
    char *argument;
    int result;

    if (what == NULL) {
        fprintf(stderr, "mobula explain: say which task (t-2.5-117), object (o-2.5-117.0) or node (2, its address or host name)\n");
        return 2;
    }
    argument = argument_of(what);
    result = ask_json(a, "explain", argument, EXPLAIN_MS, &answer, &err);
    free(argument);
    if (result < 0)
        return args_failed(&err);
    if (format != NULL && strcmp(format, "json") == 0) {
        json_dumpf(answer, stdout, JSON_INDENT(2));
        putchar('\n');
    } else {
        fputs(json_string_value(json_object_get(answer, "text")), stdout);
    }
    json_decref(answer);
    return 0;
}

static const char help[] =
    "why a task or object waits, or what a node has lent\n\n"
    "Of a task: its state; the arguments that are not there, and the tasks that make them, as far as the chain goes; what each\n"
    "node lacks for it, its place in their queues, and who holds what it needs. Tasks that wait for each other are named.\n"
    "`mobula list tasks` shows names of tasks. A node is named by its number, address or host name.";

const struct verb verb_explain = { "explain", "TASK|OBJECT|NODE", help, options, run };
