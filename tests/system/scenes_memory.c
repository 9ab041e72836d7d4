/* SPDX-License-Identifier: Apache-2.0 */
/* scenes_memory.c -- nodes whose memory runs short: who is ended, what is said of it, and who is not touched. Its tasks are here, too. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tasks.h"

#define MIB ((size_t)1 << 20)
#define STEP (4 * MIB)
#define MOST (1024 * MIB)               /* the machine is not to be filled, whatever happens */

static void take(size_t bytes)
{
    char *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(at != MAP_FAILED);
    memset(at, 1, bytes);
}

static int begin(struct mob_task *t, struct gate *ret, int *ret_attempt, struct mob_error *err)
{
    struct mob_task_self self = { .size = sizeof self };

    if (mob_arg_copy(t, 0, ret, sizeof *ret, err) < 0 || mob_task_self(t, &self, err) < 0)
        return -1;
    append_line(ret->folder, ret->name, "start");
    *ret_attempt = self.attempt;
    return 0;
}

/* Takes more and more, until there is the file "enough". Its value: which attempt came through. */
static int leak(struct mob_task *t, struct mob_error *err)
{
    struct gate gate;
    size_t taken = 0;
    uint64_t value;
    int attempt;

    if (begin(t, &gate, &attempt, err) < 0)
        return -1;
    while (!file_there(gate.folder, "enough", "") && !mob_cancelled(t)) {
        if (taken < MOST)
            take(STEP);
        taken += STEP;
        pause_ms(2);
    }
    value = (uint64_t)attempt;
    return mob_return(t, 0, MOB_BYTES(&value, sizeof value), err);
}
MOB_TASK(leak)

/* Has 30 MiB until there is the file "open". Its value: which attempt came through. */
static int sturdy(struct mob_task *t, struct mob_error *err)
{
    struct gate gate;
    uint64_t value;
    int attempt;

    if (begin(t, &gate, &attempt, err) < 0)
        return -1;
    take(30 * MIB);
    make_file(gate.folder, gate.name, ".started");
    while (!file_there(gate.folder, "open", ""))
        pause_ms(5);
    value = (uint64_t)attempt;
    return mob_return(t, 0, MOB_BYTES(&value, sizeof value), err);
}
MOB_TASK(sturdy)

static int remove_file(const char *folder, const char *name)
{
    char path[192];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    return remove(path);
}

static void expect_words(const struct mob_error *err, const char *const *words)
{
    if (err->code != MOB_ERR_OUT_OF_MEMORY)
        fail_at(__FILE__, __LINE__, "ended otherwise", err);
    for (; *words != NULL; words++)
        if (strstr(err->text, *words) == NULL)
            fail_at(__FILE__, __LINE__, *words, err);
}
/* What it says that the worker of this function has. */
static unsigned long said_mib(const struct mob_error *err, const char *function)
{
    char text[64];
    const char *at;

    snprintf(text, sizeof text, "'%s' (pid ", function);
    at = strstr(err->text, text);
    CHECK(at != NULL && (at = strstr(at, ") ")) != NULL);
    return strtoul(at + 2, NULL, 10);
}

#define WORDS(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* Until `mobula explain` says so. */
static void await_rest(struct mob_ref *ref)
{
    char text[4096] = "";

    for (int i = 0; strstr(text, "before it is tried again") == NULL; i++) {
        struct mob_error err = { 0 };

        CHECK(i < 4000);
        CHECK_OK(mob_explain(ref, text, sizeof text, &err), &err);
        pause_ms(5);
    }
    CHECK(strstr(text, "\"leak\": waits ") != NULL && strstr(text, "ran short of memory") != NULL);
}

/* What may run but once is ended only where nothing else can be, and then its error says all. */
static void leak_once(const char *folder)
{
    struct mob_options once = { .size = sizeof once, .max_retries = MOB_NO_RETRY };
    struct mob_ref *sturdy = call_gate("sturdy", &once, folder, "first"), *ref;
    struct mob_error err;

    await_file(folder, "first", ".started");
    ref = call_gate("leak", &once, folder, "once");
    refused(ref, &err);
    expect_words(&err, WORDS("as memory ran short: ", " of the workers' 250 MiB are in use", "--memory-limit"));
    CHECK(said_mib(&err, "leak") > 150 && said_mib(&err, "sturdy") >= 30 && said_mib(&err, "sturdy") < 40);
    CHECK(err.pid > 0 && err.attempt == 0 && count_lines(folder, "once") == 1);
    mob_ref_drop(ref);
    make_file(folder, "open", "");
    CHECK(take_u64(sturdy) == 0);
    CHECK(remove_file(folder, "open") == 0);
}

/* leaks FOLDER: on one node two tasks stand while others leak up to its limit, again and again. */
static int leaks(char **words)
{
    struct mob_ref *sturdy[2], *ref;
    struct mob_error err;

    leak_once(words[0]);
    sturdy[0] = call_gate("sturdy", NULL, words[0], "s0");
    sturdy[1] = call_gate("sturdy", NULL, words[0], "s1");
    await_file(words[0], "s0", ".started");
    await_file(words[0], "s1", ".started");
    ref = call_gate("leak", NULL, words[0], "dropped");
    await_rest(ref);
    CHECK_OK(mob_cancel(ref, 0, &err), &err);
    refused(ref, &err);
    CHECK(err.code == MOB_ERR_CANCELLED);
    mob_ref_drop(ref);

    ref = call_gate("leak", NULL, words[0], "again");
    await_rest(ref);
    make_file(words[0], "enough", "");
    CHECK(take_u64(ref) >= 1);
    make_file(words[0], "open", "");
    for (int i = 0; i < 2; i++)
        CHECK(take_u64(sturdy[i]) == 0);
    CHECK(count_lines(words[0], "s0") == 1 && count_lines(words[0], "s1") == 1);
    return 0;
}

/* strict FOLDER NODE: there a task that has more than it asked for is ended, though there is memory enough, and charged for it. */
static int strict(char **words)
{
    char node[40], strategy[64];
    struct mob_options options = { .size = sizeof options, .resources = "CPU=1,memory=64MiB", .strategy = strategy, .max_retries = 1 };
    struct mob_ref *ref, *sturdy;
    struct mob_error err;

    node_at(words[1], node, sizeof node);
    snprintf(strategy, sizeof strategy, "node=%s", node);
    sturdy = call_gate("sturdy", &options, words[0], "kept");
    ref = call_gate("leak", &options, words[0], "broken");
    refused(ref, &err);
    expect_words(&err, WORDS("more than its task's memory=64 MiB", "Ask for as much memory="));
    CHECK(err.attempt == 1 && count_lines(words[0], "broken") == 2);
    mob_ref_drop(ref);
    make_file(words[0], "open", "");
    CHECK(take_u64(sturdy) == 0);
    return 0;
}

const struct scene scenes_memory[] = {
    { "leaks", "FOLDER", leaks },
    { "strict", "FOLDER NODE", strict },
    { 0 },
};
