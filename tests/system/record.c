/* SPDX-License-Identifier: Apache-2.0 */
/* record.c FOLDER [nested] -- a driver with a task in each state, for 180-record.sh: first those that end, then those that run and
 * wait. Each task that runs writes FOLDER/<its name>: "<pid> <node> <attempt>". Makes FOLDER/up when all is as it shall be,
 * and stays until it is killed. Nested: tasks of tasks, and the end of the driver as soon as it has their results. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mobula.h"

#define PATIENCE_MS 60000
#define OUTER 8
#define INNER 4

static int fail(const char *what, const struct mob_error *err)
{
    fprintf(stderr, "record: %s: %s\n", what, err->text);
    return 1;
}

static int has(const char *folder, const char *name)
{
    char path[4096];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    return access(path, F_OK) == 0;
}

/* The file appears whole. */
static void note(const char *folder, const char *name, const char *words)
{
    char path[4096], part[4096 + 8];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    snprintf(part, sizeof part, "%s.part", path);
    if ((f = fopen(part, "w")) == NULL)
        return;
    fputs(words, f);
    if (fclose(f) == 0)
        rename(part, path);
}

/* -- tasks ------------------------------------------------------------------------------------------------------------------- */

/* Arguments: what to do, and the folder. */
static int act(struct mob_task *t, struct mob_error *err)
{
    struct mob_task_self self = { .size = sizeof self };
    char what[32], folder[2048], words[128], pid[16] = "";

    if (mob_arg_copy(t, 0, what, sizeof what, err) < 0 || mob_arg_copy(t, 1, folder, sizeof folder, err) < 0
        || mob_task_self(t, &self, err) < 0)
        return -1;
    if (readlink("/proc/self", pid, sizeof pid - 1) < 0)        /* getpid() is another one in a namespace of the worker's own */
        return mob_fail(err, 8, "no /proc");
    snprintf(words, sizeof words, "%s %s %d\n", pid, self.node, self.attempt);
    note(folder, what, words);
    if (strcmp(what, "fails") == 0)
        return mob_fail(err, 7, "no such thing\nas this");
    if (strcmp(what, "retried") == 0 && self.attempt == 0)
        raise(SIGKILL);
    while (strcmp(what, "done") != 0 && strcmp(what, "retried") != 0 && !mob_cancelled(t))
        poll(NULL, 0, 5);
    return mob_return(t, 0, MOB_BYTES("", 0), err);
}
MOB_TASK(act)

/* Calls tasks, waits for them, and ends at once. */
static int outer(struct mob_task *t, struct mob_error *err)
{
    struct mob_ref *refs[INNER];
    struct mob_view view = { 0 };
    struct mob_fn *fn = mob_fn("inner", &(struct mob_options){ .size = sizeof(struct mob_options) }, err);

    if (fn == NULL)
        return -1;
    for (unsigned i = 0; i < INNER; i++)
        if (mob_call(fn, NULL, 0, &refs[i], err) < 0)
            return -1;
    for (unsigned i = 0; i < INNER; i++) {
        if (mob_get(refs[i], PATIENCE_MS, &view, err) < 0)
            return -1;
        mob_view_release(&view);
        mob_ref_drop(refs[i]);
    }
    mob_fn_destroy(fn);
    return mob_return(t, 0, MOB_BYTES("", 0), err);
}
MOB_TASK(outer)

static int inner(struct mob_task *t, struct mob_error *err)
{
    return mob_return(t, 0, MOB_BYTES("", 0), err);
}
MOB_TASK(inner)

/* -- driver ------------------------------------------------------------------------------------------------------------------ */

static struct mob_ref *call(const char *what, const char *folder, const char *resources, const struct mob_ref *after)
{
    struct mob_options options = { .size = sizeof options, .name = what, .resources = resources };
    char name[32] = "", place[2048] = "";
    struct mob_value args[3] = { MOB_BYTES(name, sizeof name), MOB_BYTES(place, sizeof place) };
    struct mob_error err = { 0 };
    struct mob_ref *ref = NULL;
    struct mob_fn *fn;

    snprintf(name, sizeof name, "%s", what);
    snprintf(place, sizeof place, "%s", folder);
    if (after != NULL)
        args[2] = MOB_REF(after);
    if ((fn = mob_fn("act", &options, &err)) == NULL || mob_call(fn, args, after != NULL ? 3 : 2, &ref, &err) < 0)
        exit(fail(what, &err));
    mob_fn_destroy(fn);
    return ref;
}

static void wait_for(const char *folder, const char *name)
{
    while (!has(folder, name))
        poll(NULL, 0, 5);
}

static void expect_end(struct mob_ref *ref, const char *what, int code)
{
    struct mob_error err = { 0 };
    struct mob_view view = { 0 };
    int got = mob_get(ref, PATIENCE_MS, &view, &err) < 0 ? (int)err.code : MOB_OK;

    if (got != code)
        exit(fail(what, &err));
    mob_view_release(&view);
    mob_ref_drop(ref);
}

static int run_nested(void)
{
    struct mob_error err = { 0 };
    struct mob_fn *fn = mob_fn("outer", &(struct mob_options){ .size = sizeof(struct mob_options) }, &err);
    struct mob_ref *refs[OUTER];

    if (fn == NULL)
        return fail("outer", &err);
    for (unsigned i = 0; i < OUTER; i++)
        if (mob_call(fn, NULL, 0, &refs[i], &err) < 0)
            return fail("outer", &err);
    for (unsigned i = 0; i < OUTER; i++)
        expect_end(refs[i], "outer", MOB_OK);
    return 0;
}

int main(int argc, char **argv)
{
    struct mob_error err = { 0 };
    struct mob_ref *cancelled, *running;

    if (mob_init(argc, argv, NULL, &err) < 0 || argc < 2)
        return fail("cannot start", &err);
    if (argc == 3)
        return run_nested();
    const char *folder = argv[1];

    expect_end(call("done", folder, NULL, NULL), "done", MOB_OK);
    expect_end(call("fails", folder, NULL, NULL), "fails", MOB_ERR_TASK);
    expect_end(call("retried", folder, NULL, NULL), "retried", MOB_OK);
    cancelled = call("cancelled", folder, NULL, NULL);
    wait_for(folder, "cancelled");
    if (mob_cancel(cancelled, 0, &err) < 0)
        return fail("cancel", &err);
    expect_end(cancelled, "cancelled", MOB_ERR_CANCELLED);
    running = call("running", folder, "licence=1", NULL);
    wait_for(folder, "running");
    mob_ref_drop(call("pending", folder, "licence=1,CPU=1", NULL));     /* the licence is taken */
    mob_ref_drop(call("waiting", folder, NULL, running));
    note(folder, "up", "");
    for (;;)
        pause();
}
