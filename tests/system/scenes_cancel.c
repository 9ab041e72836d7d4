/* SPDX-License-Identifier: Apache-2.0 */
/* scenes_cancel.c -- a task is stopped in each state it can be in, and nobody else is. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tasks.h"

static void check_cancelled_with(struct mob_ref *ref, const char *words, int line)
{
    struct mob_error err;
    struct mob_view view;

    if (mob_get(ref, MOB_FOREVER, &view, &err) == 0)
        fail_at(__FILE__, line, "a value instead of a cancelled task", NULL);
    if (err.code != MOB_ERR_CANCELLED)
        fail_at(__FILE__, line, "not cancelled", &err);
    if (strstr(err.text, words) == NULL)
        fail_at(__FILE__, line, words, &err);
    if (strstr(err.text, "while it ran") != NULL && (err.pid <= 0 || err.node[0] == '\0'))
        fail_at(__FILE__, line, "it ran, and where is not told", &err);
    mob_ref_drop(ref);
}

static void check_cancelled(struct mob_ref *ref, int line)
{
    check_cancelled_with(ref, "", line);
}

static void cancel(struct mob_ref *ref, int how)
{
    struct mob_error err;

    CHECK_OK(mob_cancel(ref, how, &err), &err);
}

/* A task that waits for an argument, one that waits for a resource, and one that stands behind others never run. */
static int cancels_unstarted(char **words)
{
    struct mob_options nowhere = { .size = sizeof nowhere, .resources = "unobtainable=1" };
    struct gate trace = { .name = "unstarted" };
    struct mob_ref *gates[32] = { NULL }, *waiting, *starved, *queued;
    char total[512];
    struct mob_error err;
    int cpus;

    snprintf(trace.folder, sizeof trace.folder, "%s", words[0]);
    CHECK_OK(mob_resources(total, NULL, sizeof total, &err), &err);
    CHECK(strstr(total, "CPU=") != NULL);
    cpus = atoi(strstr(total, "CPU=") + 4);
    CHECK(cpus > 0 && cpus <= 32);
    for (int i = 0; i < cpus; i++) {
        char name[32];
        snprintf(name, sizeof name, "busy%d", i);
        gates[i] = call_gate("gate", NULL, words[0], name);
    }
    waiting = call("touch", (struct mob_value[]){ MOB_BYTES(&trace, sizeof trace), MOB_REF(gates[0]) }, 2);
    starved = call_with("touch", &nowhere, &MOB_BYTES(&trace, sizeof trace), 1);
    for (int i = 0; i < cpus; i++) {
        char name[32];
        snprintf(name, sizeof name, "busy%d", i);
        await_file(words[0], name, ".started");
    }
    queued = call("touch", &MOB_BYTES(&trace, sizeof trace), 1);
    cancel(waiting, 0);
    cancel(starved, 0);
    cancel(queued, 0);
    check_cancelled(waiting, __LINE__);
    check_cancelled(starved, __LINE__);
    check_cancelled(queued, __LINE__);
    make_file(words[0], "open", "");
    for (int i = 0; i < cpus; i++)
        CHECK(take_u64(gates[i]) == 1);
    CHECK(take_u64(call_u64("echo", 1)) == 1);
    CHECK(count_lines(words[0], "unstarted") == 0);
    return 0;
}

/* The flag reaches a running task, and its dependents fail as it does; an ended one keeps its value. */
static int cancels_running(char **words)
{
    struct mob_ref *ref = call_gate("gate", NULL, words[0], "heeds"), *child = call("echo", &MOB_REF(ref), 1);
    struct mob_ref *ended = call_u64("echo", 4);
    uint64_t value;
    struct mob_error err;

    await_file(words[0], "heeds", ".started");
    cancel(ref, 0);
    check_cancelled_with(ref, "while it ran", __LINE__);
    check_cancelled_with(child, "while it ran", __LINE__);
    await_file(words[0], "heeds", ".cancelled");
    CHECK_OK(mob_get_copy(ended, MOB_FOREVER, &value, sizeof value, &err), &err);
    cancel(ended, 1);
    CHECK(take_u64(ended) == 4);
    return 0;
}

/* A task that looks for no cancel is ended by a signal, its error says which; those that stood behind it on its worker run. */
static void ends_by(const char *function, const char *folder, bool force, const char *signal)
{
    struct mob_ref *behind[64], *ref = call_gate(function, NULL, folder, function);

    for (uint64_t i = 0; i < 64; i++)
        behind[i] = call_u64("echo", i);
    await_file(folder, function, ".started");
    cancel(ref, force);
    check_cancelled_with(ref, signal, __LINE__);
    for (uint64_t i = 0; i < 64; i++)
        CHECK(take_u64(behind[i]) == i);
    CHECK(count_lines(folder, function) == 1);
}

/* cancels-stubborn FOLDER FORCE: it ignores SIGTERM, too. */
static int cancels_stubborn(char **words)
{
    ends_by("stubborn", words[0], atoi(words[1]) != 0, "was ended by signal SIGKILL");
    return 0;
}

/* SIGTERM is enough. */
static int cancels_deaf(char **words)
{
    ends_by("deaf", words[0], false, "was ended by signal SIGTERM");
    return 0;
}

static struct mob_ref *call_reach(const char *folder, const char *name, uint64_t depth)
{
    struct gate gate = { 0 };

    snprintf(gate.folder, sizeof gate.folder, "%s", folder);
    snprintf(gate.name, sizeof gate.name, "%s", name);
    return call("reach", (struct mob_value[]){ MOB_BYTES(&gate, sizeof gate), MOB_BYTES(&depth, sizeof depth) }, 2);
}

/* A task is cancelled, or killed: what it called, and what that called, stops. Alone: its wait ends, and what it called runs on. */
static int cancels_called(char **words)
{
    struct mob_ref *caller = call_reach(words[0], "deep", 2), *killed;
    struct mob_error err;
    struct mob_view view;

    await_file(words[0], "deep", ".started");
    cancel(caller, 0);
    await_file(words[0], "deep", ".cancelled");
    check_cancelled_with(caller, "while it ran", __LINE__);
    killed = call_reach(words[0], "of-killed", 2);
    await_file(words[0], "of-killed", ".started");
    cancel(killed, MOB_CANCEL_FORCE);
    check_cancelled_with(killed, "SIGKILL", __LINE__);
    caller = call_reach(words[0], "alone", 2);
    await_file(words[0], "alone", ".started");
    cancel(caller, MOB_CANCEL_ALONE);
    CHECK(mob_get(caller, MOB_FOREVER, &view, &err) < 0 && err.code == MOB_ERR_CANCELLED);
    CHECK(strstr(err.text, "signal") == NULL);
    mob_ref_drop(caller);
    make_file(words[0], "open", "");
    await_file(words[0], "alone", ".passed");
    return 0;
}

const struct scene scenes_cancel[] = {
    { "cancels-unstarted", "FOLDER", cancels_unstarted },
    { "cancels-running", "FOLDER", cancels_running },
    { "cancels-called", "FOLDER", cancels_called },
    { "cancels-stubborn", "FOLDER FORCE", cancels_stubborn },
    { "cancels-deaf", "FOLDER", cancels_deaf },
    { 0 },
};
