/* SPDX-License-Identifier: Apache-2.0 */
/* wait.c -- mobula wait --nodes N: returns when so many nodes serve. The head answers when it is so: only a head that is not there yet is
 * tried again, within the time that was given. */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "cli/ask.h"
#include "common/loop.h"
#include "cli/verbs.h"

static const struct option options[] = {
    { "nodes", "N", "how many nodes must serve (1)" },
    { "timeout", "SECONDS", "give up after this; else wait for ever" },
    ASK_OPTIONS,
    { 0 },
};

#define AGAIN_MS 100

static int ask_until(const struct args *a, const char *argument, int64_t seconds, json_t **ret_answer, struct mob_error *err)
{
    const struct timespec pause = { .tv_nsec = AGAIN_MS * 1000000L };
    int64_t end_ns = mob_now_ns() + seconds * 1000000000, left_ms = seconds * 1000;

    if (seconds < 0)
        return ask_json(a, "wait", argument, -1, ret_answer, err);
    for (;;) {
        if (ask_json(a, "wait", argument, left_ms, ret_answer, err) == 0)
            return 0;
        left_ms = (end_ns - mob_now_ns()) / 1000000 - AGAIN_MS;
        if (err->code != MOB_ERR_UNREACHABLE || left_ms <= 0)
            return -1;
        nanosleep(&pause, NULL);
    }
}

static int run(const struct args *a)
{
    struct mob_error err;
    int64_t nodes = 1, seconds = -1;
    char argument[64];
    json_t *answer;

    if (args_number(a, "nodes", 0, 1000000, &nodes, &err) < 0 || args_number(a, "timeout", 0, 31536000, &seconds, &err) < 0)
        return args_failed(&err);
    snprintf(argument, sizeof argument, "{\"nodes\":%" PRId64 "}", nodes);
    if (ask_until(a, argument, seconds, &answer, &err) < 0) {
        if (err.code == MOB_ERR_TIMEOUT)
            mob_error_set(&err, MOB_ERR_TIMEOUT, "after %" PRId64 " s fewer than %" PRId64 " nodes serve; mobula status lists them",
                          seconds, nodes);
        return args_failed(&err);
    }
    json_decref(answer);
    return 0;
}

const struct verb verb_wait = { "wait", NULL, "wait until so many nodes serve", options, run };
