/* SPDX-License-Identifier: Apache-2.0 */
/* health.c -- mobula health: exit code 0 if the head answers. */
#include <stdio.h>

#include "cli/ask.h"
#include "cli/verbs.h"

#define HEALTH_MS 5000

static const struct option options[] = { ASK_OPTIONS, { 0 } };

static int run(const struct args *a)
{
    struct mob_error err;
    json_t *answer;

    if (ask_json(a, "health", "", HEALTH_MS, &answer, &err) < 0)
        return args_failed(&err);
    json_decref(answer);
    printf("healthy\n");
    return 0;
}

const struct verb verb_health = { "health", NULL, "exit code 0 if the cluster's head answers", options, run };
