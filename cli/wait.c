/* SPDX-License-Identifier: Apache-2.0 */
/* wait.c -- mobula wait --nodes N: returns when so many nodes serve. The head answers when it is so: nothing is polled. */
#include <inttypes.h>
#include <stdio.h>

#include "cli/ask.h"
#include "cli/verbs.h"

static const struct option options[] = {
    { "nodes", "N", "how many nodes must serve (1)" },
    { "timeout", "SECONDS", "give up after this; else wait for ever" },
    ASK_OPTIONS,
    { 0 },
};

static int run(const struct args *a)
{
    struct mob_error err;
    int64_t nodes = 1, seconds = -1;
    char argument[64];
    json_t *answer;

    if (args_number(a, "nodes", 0, 1000000, &nodes, &err) < 0 || args_number(a, "timeout", 0, 31536000, &seconds, &err) < 0)
        return args_failed(&err);
    snprintf(argument, sizeof argument, "{\"nodes\":%" PRId64 "}", nodes);
    if (ask_json(a, "wait", argument, seconds < 0 ? -1 : seconds * 1000, &answer, &err) < 0) {
        if (err.code == MOB_ERR_TIMEOUT)
            mob_error_set(&err, MOB_ERR_TIMEOUT, "after %" PRId64 " s fewer than %" PRId64 " nodes serve; mobula status lists them",
                          seconds, nodes);
        return args_failed(&err);
    }
    json_decref(answer);
    return 0;
}

const struct verb verb_wait = { "wait", NULL, "wait until so many nodes serve", options, run };
