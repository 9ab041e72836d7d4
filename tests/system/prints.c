/* SPDX-License-Identifier: Apache-2.0 */
/* prints.c -- a driver whose tasks print, in turn on each node, and that ends at once when it has their results:
 * prints TASKS shutdown | exit [turns]; "turns": two functions in turn, each prints its name. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mobula.h"

#define LINES 50                        /* a task, to each of stdout and stderr */
#define NODES_MAX 8

static int fail(const struct mob_error *err)
{
    fprintf(stderr, "prints: %s\n", err->text);
    return 1;
}

static int chatter(struct mob_task *t, struct mob_error *err)
{
    int number;

    if (mob_arg_copy(t, 0, &number, sizeof number, err) < 0)
        return -1;
    for (int i = 0; i < LINES; i++) {
        printf("said %d %d\n", number, i);
        fprintf(stderr, "complained %d %d\n", number, i);
    }
    return 0;
}
MOB_TASK(chatter)

static int ping(struct mob_task *t, struct mob_error *err)
{
    (void)t, (void)err;
    return puts("ping") < 0 ? -1 : 0;   /* written when the task ends: its successor is there by the time it is read */
}
MOB_TASK(ping)

static int pong(struct mob_task *t, struct mob_error *err)
{
    (void)t, (void)err;
    return puts("pong") < 0 ? -1 : 0;
}
MOB_TASK(pong)

static int make_turns(struct mob_fn **ret, struct mob_error *err)
{
    ret[0] = mob_fn("ping", NULL, err);
    ret[1] = mob_fn("pong", NULL, err);
    return ret[0] != NULL && ret[1] != NULL ? 2 : -1;
}

/* One function a node: how many there are, or -1. */
static int make_functions(struct mob_fn **ret, struct mob_error *err)
{
    struct mob_node nodes[NODES_MAX] = { { .size = sizeof nodes[0] } };
    struct mob_options options = { .size = sizeof options };
    char strategy[64];
    size_t count = NODES_MAX;

    if (mob_nodes(nodes, &count, err) < 0)
        return -1;
    for (size_t i = 0; i < count && i < NODES_MAX; i++) {
        snprintf(strategy, sizeof strategy, "node=%s", nodes[i].id);
        options.strategy = strategy;
        if ((ret[i] = mob_fn("chatter", &options, err)) == NULL)
            return -1;
    }
    return count < NODES_MAX ? (int)count : NODES_MAX;
}

int main(int argc, char **argv)
{
    int tasks = argc > 1 ? atoi(argv[1]) : 1, nodes;
    struct mob_ref **refs = calloc((size_t)tasks, sizeof *refs);
    struct mob_fn *fn[NODES_MAX];
    struct mob_view view;
    struct mob_error err;

    if (mob_init(argc, argv, NULL, &err) < 0 || (nodes = argc > 3 ? make_turns(fn, &err) : make_functions(fn, &err)) <= 0)
        return fail(&err);
    for (int i = 0; i < tasks; i++)
        if (mob_call(fn[i % nodes], &MOB_BYTES(&i, sizeof i), 1, &refs[i], &err) < 0)
            return fail(&err);
    for (int i = 0; i < tasks; i++) {
        if (mob_get(refs[i], 30000, &view, &err) < 0)
            return fail(&err);
        mob_view_release(&view);
        mob_ref_drop(refs[i]);
    }
    free(refs);
    for (int i = 0; i < nodes; i++)
        mob_fn_destroy(fn[i]);
    if (argc > 2 && strcmp(argv[2], "shutdown") == 0)
        mob_shutdown();
    return 0;
}
