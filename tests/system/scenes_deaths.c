/* SPDX-License-Identifier: Apache-2.0 */
/* scenes_deaths.c -- drivers for scripts that kill: they say by files how far they are, and check what they get. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tasks.h"

/* "node=10.0.0.1" becomes the node's number; all else stays. */
static void resolve(const char *strategy, char *ret, size_t size)
{
    const char *ip = strchr(strategy, '=');
    char node[40];

    if (ip == NULL) {
        snprintf(ret, size, "%s", strategy);
        return;
    }
    node_at(ip + 1, node, sizeof node);
    snprintf(ret, size, "%.*s=%s", (int)(ip - strategy), strategy, node);
}

/* What its certificates say, the last one first. */
static void print_deaths(const struct mob_ref *ref)
{
    struct mob_death d = { .size = sizeof d };
    struct mob_error err;
    int rc;

    for (size_t back = 0; (rc = mob_death(ref, back, &d, &err)) == 1; back++)
        printf("death of attempt %d: %s, signal %d, code %d, worker %s on %s, pid %d, %lld bytes, %s\n", d.attempt,
               mob_killed_by_name(d.killed_by), d.signal, d.exit_code, d.worker, d.ip, d.pid, (long long)d.peak_memory,
               d.core[0] != '\0' ? d.core : "no core");
    if (rc < 0)
        fail_at(__FILE__, __LINE__, "mob_death", &err);
}

/* stands FOLDER FUNCTION COUNT STRATEGY RETRIES CODE: tasks g0, g1 ... stand at the gate; "ready" says that all have started. Each
 * must end with CODE (0: passed); what an error says is printed. */
static int stands(char **words)
{
    char strategy[64], name[32];
    struct mob_options options = { .size = sizeof options, .strategy = strategy, .max_retries = atoi(words[4]) };
    int count = atoi(words[2]), code = atoi(words[5]);
    struct mob_ref *refs[64];

    CHECK(count <= 64);
    if (options.max_retries < 0)
        options.max_retries = MOB_NO_RETRY;
    resolve(words[3], strategy, sizeof strategy);
    for (int i = 0; i < count; i++) {
        snprintf(name, sizeof name, "g%d", i);
        refs[i] = call_gate(words[1], &options, words[0], name);
    }
    for (int i = 0; i < count; i++) {
        snprintf(name, sizeof name, "g%d", i);
        await_file(words[0], name, ".started");
    }
    make_file(words[0], "ready", "");
    for (int i = 0; i < count; i++) {
        struct mob_view view;
        struct mob_error err = { 0 };
        int rc = mob_get(refs[i], MOB_FOREVER, &view, &err);
        if (rc < 0)
            printf("error %d of %s on %s, pid %d, attempt %d: %s\n", err.code, err.function, err.node, err.pid, err.attempt,
                   err.text);
        print_deaths(refs[i]);
        if (err.code != code)
            fail_at(__FILE__, __LINE__, "ended otherwise", &err);
        if (rc == 0)
            mob_view_release(&view);
        mob_ref_drop(refs[i]);
    }
    return 0;
}

/* keeps FOLDER IP: a big value is made there, once, and stays there; after "dead" its get fails by name, now and later; all else works. */
static int keeps(char **words)
{
    char pin[64], strategy[64];
    struct mob_options options = { .size = sizeof options, .strategy = strategy, .max_retries = MOB_NO_RETRY };
    uint64_t size = 3000000;
    struct mob_error err;
    struct mob_ref *ref;
    unsigned char ready;

    snprintf(pin, sizeof pin, "node=%s", words[1]);
    resolve(pin, strategy, sizeof strategy);
    ref = call_with("blob_buffer", &options, &MOB_BYTES(&size, sizeof size), 1);
    CHECK(mob_wait(&ref, 1, 1, MOB_FOREVER, &ready, &err) == 1);
    make_file(words[0], "ready", "");
    await_file(words[0], "dead", "");
    for (int i = 0; i < 2; i++) {
        refused(ref, &err);
        printf("error %d: %s\n", err.code, err.text);
        CHECK(err.code == MOB_ERR_OBJECT_LOST && err.user_code == MOB_LOST_RETRIES_DISABLED);
    }
    mob_ref_drop(ref);
    CHECK(take_u64(call_u64("echo", 8)) == 8);
    return 0;
}

/* What is made of a value that is not used otherwise. */
static struct mob_ref *lifted(struct mob_ref *ref, const struct mob_options *options)
{
    struct mob_ref *next = call_with("lift", options, &MOB_REF(ref), 1);

    mob_ref_drop(ref);
    return next;
}

/* remakes FOLDER IP: a chain of tasks leaves big values there, of which only the last is in use; after "dead" it is right all the same,
 * here and as an argument. */
static int remakes(char **words)
{
    static unsigned char bytes[3000000];
    char pin[64], strategy[64];
    struct mob_options options = { .size = sizeof options, .strategy = strategy };
    struct mob_view view;
    struct mob_error err;
    struct mob_ref *refs[2];
    unsigned char ready[2];

    snprintf(pin, sizeof pin, "node~=%s", words[1]);
    resolve(pin, strategy, sizeof strategy);
    fill_pattern(bytes, sizeof bytes, 5);
    for (int i = 0; i < 2; i++) {
        refs[i] = mob_put(bytes, sizeof bytes, &err);
        CHECK(refs[i] != NULL);
        for (int j = 0; j < 3; j++)
            refs[i] = lifted(refs[i], &options);
    }
    CHECK(mob_wait(refs, 2, 2, MOB_FOREVER, ready, &err) == 2);
    make_file(words[0], "ready", "");
    await_file(words[0], "dead", "");
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(bytes[i] + 3);
    CHECK(take_u64(call("checksum", &MOB_REF(refs[1]), 1)) == checksum_of(bytes, sizeof bytes));
    CHECK_OK(mob_get(refs[0], 20000, &view, &err), &err);
    CHECK(view.size == sizeof bytes && memcmp(view.data, bytes, sizeof bytes) == 0);
    mob_view_release(&view);
    mob_ref_drop(refs[0]);
    mob_ref_drop(refs[1]);
    return 0;
}

/* floods FOLDER COUNT: gates that run here and there, large values, and COUNT tasks queued behind them; never ends by itself. */
static int floods(char **words)
{
    struct mob_options spread = { .size = sizeof spread, .strategy = "spread" };
    uint64_t count = strtoull(words[1], NULL, 10), word = 1;
    static char bytes[4 << 20];
    struct mob_error err;
    struct mob_fn *echo = mob_fn("echo", NULL, &err);
    struct mob_ref *ref;

    CHECK(echo != NULL);
    for (int i = 0; i < 8; i++) {
        char name[32];
        snprintf(name, sizeof name, "flood%d", i);
        call_gate("grandparent", &spread, words[0], name);
        CHECK(mob_put(bytes, sizeof bytes, &err) != NULL);
    }
    await_file(words[0], "flood0", ".started");
    for (uint64_t i = 0; i < count; i++)
        CHECK_OK(mob_call(echo, (struct mob_value[]){ MOB_BYTES(&word, sizeof word) }, 1, &ref, &err), &err);
    make_file(words[0], "ready", "");
    for (;;)
        pause_ms(1000);
}

/* crowds FOLDER COUNT: so many tasks on as many workers; a line of the file "crowd" for each start; all must pass. */
static int crowds(char **words)
{
    int count = atoi(words[1]);
    struct mob_ref **refs = calloc((size_t)count, sizeof *refs);

    for (int i = 0; i < count; i++)
        refs[i] = call_gate("crowd", NULL, words[0], "crowd");
    for (int i = 0; i < count; i++)
        CHECK(take_u64(refs[i]) == 1);
    free(refs);
    return 0;
}

/* works FOLDER: task after task, each right, until "stop" is there. */
static int works(char **words)
{
    uint64_t done = 0;

    while (!file_there(words[0], "stop", "")) {
        CHECK(take_u64(call_u64("echo", done)) == done);
        done++;
        make_file(words[0], "working", "");
        pause_ms(2);
    }
    printf("done %d\n", (int)done);
    return 0;
}

/* toils FOLDER COUNT MS: so many tasks at a time, each of so many ms of a core, until "stop" is there; none may be tried twice. */
static int toils(char **words)
{
    struct mob_ref *refs[256];
    size_t count = strtoul(words[1], NULL, 10);
    uint64_t done = 0, ms = strtoul(words[2], NULL, 10);

    CHECK(count > 0 && count <= sizeof refs / sizeof refs[0]);
    for (size_t i = 0; i < count; i++)
        refs[i] = call_u64("toil", ms);
    make_file(words[0], "working", "");
    for (; !file_there(words[0], "stop", ""); done++) {
        CHECK(take_u64(refs[done % count]) == 0);
        refs[done % count] = call_u64("toil", ms);
    }
    for (size_t i = 0; i < count; i++, done++)
        CHECK(take_u64(refs[i]) == 0);
    printf("%llu tasks, each tried once\n", (unsigned long long)done);
    return 0;
}

const struct scene scenes_deaths[] = {
    { "stands", "FOLDER FUNCTION COUNT STRATEGY RETRIES CODE", stands },
    { "keeps", "FOLDER IP", keeps },
    { "remakes", "FOLDER IP", remakes },
    { "floods", "FOLDER COUNT", floods },
    { "crowds", "FOLDER COUNT", crowds },
    { "works", "FOLDER", works },
    { "toils", "FOLDER COUNT MS", toils },
    { 0 },
};
