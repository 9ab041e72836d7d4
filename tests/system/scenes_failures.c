/* SPDX-License-Identifier: Apache-2.0 */
/* scenes_failures.c -- errors say what, which function, where, which process, which attempt, and reach everyone who waits. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tasks.h"

/* The error of a task that ran: who, where. */
static void check_origin(const struct mob_error *err, const char *function)
{
    if (strcmp(err->function, function) != 0 || err->node[0] == '\0' || err->pid <= 0)
        fail_at(__FILE__, __LINE__, "the error does not say where it comes from", err);
}

static int errors(char **words)
{
    struct mob_ref *ref = call_u64("refuse", 42), *child, *grandchild;
    struct mob_view views[2];
    struct mob_error err, again;

    (void)words;
    child = call("sum", &MOB_REF(ref), 1);
    grandchild = call("echo", &MOB_REF(child), 1);
    refused(ref, &err);
    CHECK(err.code == MOB_ERR_TASK && err.user_code == 42 && err.attempt == 0);
    CHECK(strstr(err.text, "refused with 42") != NULL);
    check_origin(&err, "refuse");
    refused(ref, &again);
    CHECK(again.code == err.code && again.pid == err.pid && strcmp(again.text, err.text) == 0);
    refused(child, &again);
    if (again.code != MOB_ERR_TASK || again.user_code != 42 || strstr(again.text, "refused with 42") == NULL)
        fail_at(__FILE__, __LINE__, "the dependent's error", &again);
    check_origin(&again, "refuse");
    refused(grandchild, &again);
    if (again.code != MOB_ERR_TASK || again.user_code != 42)
        fail_at(__FILE__, __LINE__, "the dependent's dependent's error", &again);
    CHECK(mob_get_many((struct mob_ref *[]){ call_u64("echo", 1), ref }, 2, MOB_FOREVER, views, &again) < 0);
    CHECK(again.user_code == 42);
    mob_ref_drop(grandchild);
    mob_ref_drop(child);
    mob_ref_drop(ref);

    ref = call("sum", &MOB_BYTES("abc", 3), 1);         /* an argument of another size */
    refused(ref, &err);
    CHECK(err.code == MOB_ERR_INVALID && strstr(err.text, "3") != NULL);
    mob_ref_drop(ref);
    CHECK(mob_fn("no_such_function", NULL, &err) == NULL && strstr(err.text, "no_such_function") != NULL);
    return 0;
}

static int leaves(char **words)
{
    struct mob_options once = { .size = sizeof once, .max_retries = MOB_NO_RETRY };
    uint64_t status = 3;
    struct mob_ref *ref = call_with("leave", &once, &MOB_BYTES(&status, sizeof status), 1), *child;
    struct mob_error err;

    (void)words;
    child = call("echo", &MOB_REF(ref), 1);
    refused(ref, &err);
    if (err.code != MOB_ERR_WORKER_CRASHED || strstr(err.text, "3") == NULL)
        fail_at(__FILE__, __LINE__, "exit(3)", &err);
    check_origin(&err, "leave");
    refused(child, &err);
    CHECK(err.code == MOB_ERR_WORKER_CRASHED);
    mob_ref_drop(child);
    mob_ref_drop(ref);
    CHECK(take_u64(call_u64("echo", 9)) == 9);
    return 0;
}

/* Argument: a code. Fails with it, but for its third attempt, whose number is its value. */
static int third_time(struct mob_task *t, struct mob_error *err)
{
    struct mob_task_self self = { .size = sizeof self };
    uint64_t code, attempt;

    if (mob_arg_copy(t, 0, &code, sizeof code, err) < 0 || mob_task_self(t, &self, err) < 0)
        return -1;
    if (self.attempt < 2)
        return mob_fail(err, (int)code, "attempt %d", self.attempt);
    attempt = (uint64_t)self.attempt;
    return mob_return(t, 0, MOB_BYTES(&attempt, sizeof attempt), err);
}
MOB_TASK(third_time)

/* Tasks that fail by themselves are tried again after the codes that their options name, and no others. */
static int retries(char **words)
{
    static const int32_t codes[] = { 7, 8 };
    struct mob_options named = { .size = sizeof named, .retry_codes = codes, .retry_code_count = 2, .retry_delay_ms = 1 };
    struct mob_options any = { .size = sizeof any, .retry_code_count = 1 };
    struct mob_options few = { .size = sizeof few, .retry_code_count = 1, .max_retries = 1 };
    struct mob_options bad = { .size = sizeof bad, .retry_delay_ms = 60001 };
    uint64_t good = 8, other = 9;
    struct mob_error err;
    struct mob_ref *ref;

    (void)words;
    CHECK(take_u64(call_with("third_time", &named, &MOB_BYTES(&good, sizeof good), 1)) == 2);
    CHECK(take_u64(call_with("third_time", &any, &MOB_BYTES(&other, sizeof other), 1)) == 2);
    refused(ref = call_with("third_time", &named, &MOB_BYTES(&other, sizeof other), 1), &err);
    CHECK(err.code == MOB_ERR_TASK && err.user_code == 9 && err.attempt == 0 && strcmp(err.text, "attempt 0") == 0);
    mob_ref_drop(ref);
    refused(ref = call_with("third_time", &few, &MOB_BYTES(&good, sizeof good), 1), &err);
    CHECK(err.user_code == 8 && err.attempt == 1);
    mob_ref_drop(ref);
    refused(ref = call_with("third_time", NULL, &MOB_BYTES(&good, sizeof good), 1), &err);
    CHECK(err.attempt == 0);
    mob_ref_drop(ref);
    CHECK(mob_fn("third_time", &bad, &err) == NULL && strstr(err.text, "retry_delay_ms 60001") != NULL);
    return 0;
}

/* crashes FOLDER: killed by a signal at each of 1 + max_retries starts, and not one more. */
static int crashes(char **words)
{
    static const struct { int sig; int32_t retries; int starts; const char *name; } cases[] = {
        { SIGSEGV, 2, 3, "SIGSEGV" },
        { SIGKILL, MOB_NO_RETRY, 1, "SIGKILL" },
        { SIGABRT, 0, 4, "SIGABRT" },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mob_options options = { .size = sizeof options, .max_retries = cases[i].retries };
        struct gate gate = { 0 };
        uint64_t sig = (uint64_t)cases[i].sig;
        struct mob_error err;
        struct mob_ref *ref;
        snprintf(gate.folder, sizeof gate.folder, "%s", words[0]);
        snprintf(gate.name, sizeof gate.name, "%s", cases[i].name);
        ref = call_with("crash", &options, (struct mob_value[]){ MOB_BYTES(&gate, sizeof gate), MOB_BYTES(&sig, sizeof sig) }, 2);
        refused(ref, &err);
        if (err.code != MOB_ERR_WORKER_CRASHED || strstr(err.text, cases[i].name) == NULL || err.attempt != cases[i].starts - 1)
            fail_at(__FILE__, __LINE__, cases[i].name, &err);
        check_origin(&err, "crash");
        CHECK(count_lines(words[0], cases[i].name) == cases[i].starts);
        mob_ref_drop(ref);
    }
    return 0;
}

/* speaks FOLDER LINES STRATEGY: prints the pid of the speaker; its lines come through the driver's own output. Ends when "seen" is
 * there. */
static int speaks(char **words)
{
    struct mob_options named = { .size = sizeof named, .name = "orator", .strategy = words[2] };
    uint64_t lines = strtoull(words[1], NULL, 10);

    printf("speaker %d\n", (int)take_u64(call_with("speak", &named, &MOB_BYTES(&lines, sizeof lines), 1)));
    fflush(stdout);
    await_file(words[0], "seen", "");
    return 0;
}

const struct scene scenes_failures[] = {
    { "errors", "", errors },
    { "leaves", "", leaves },
    { "retries", "", retries },
    { "crashes", "FOLDER", crashes },
    { "speaks", "FOLDER LINES STRATEGY", speaks },
    { 0 },
};
