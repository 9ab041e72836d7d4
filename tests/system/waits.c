/* SPDX-License-Identifier: Apache-2.0 */
/* waits.c -- a driver whose tasks wait, for 425-explain.sh: `waits FOLDER`.
 *
 *   merge(hold, wide)   hold runs until FOLDER/go is there; wide waits for more CPUs than one node has, until another node joins
 *   outer               has the only GPU, and a get of it waits for inner, which wants it, too
 *
 * It writes the names of their objects into FOLDER, FOLDER/up at last, prints what mob_explain() says of merge, and gets merge. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mobula.h"

static void die(const char *what, const struct mob_error *err)
{
    fprintf(stderr, "waits: %s: %s\n", what, err->text);
    exit(1);
}

static int hold(struct mob_task *t, struct mob_error *err)
{
    struct mob_view path;

    if (mob_arg(t, 0, &path, err) < 0)
        return -1;
    while (access(path.data, F_OK) != 0 && !mob_cancelled(t))
        usleep(10000);
    return mob_return(t, 0, MOB_BYTES("x", 1), err);
}
MOB_TASK(hold)

static int wide(struct mob_task *t, struct mob_error *err)
{
    return mob_return(t, 0, MOB_BYTES("y", 1), err);
}
MOB_TASK(wide)

static int merge(struct mob_task *t, struct mob_error *err)
{
    return mob_return(t, 0, MOB_BYTES("z", 1), err);
}
MOB_TASK(merge)

static struct mob_ref *call(const char *function, const char *resources, const struct mob_value *args, size_t count)
{
    struct mob_options options = { .size = sizeof options, .resources = resources };
    struct mob_error err;
    struct mob_fn *fn = mob_fn(function, &options, &err);
    struct mob_ref *ref;

    if (fn == NULL || mob_call(fn, args, count, &ref, &err) < 0)
        die(function, &err);
    mob_fn_destroy(fn);
    return ref;
}

static int inner(struct mob_task *t, struct mob_error *err)
{
    return mob_return(t, 0, MOB_BYTES("i", 1), err);
}
MOB_TASK(inner)

static int outer(struct mob_task *t, struct mob_error *err)
{
    struct mob_ref *ref = call("inner", "GPU=1", NULL, 0);
    struct mob_view view;
    int rc = mob_get(ref, MOB_FOREVER, &view, err);

    mob_view_release(&view);
    mob_ref_drop(ref);
    return rc < 0 ? -1 : mob_return(t, 0, MOB_BYTES("o", 1), err);
}
MOB_TASK(outer)

static void tell(const char *folder, const char *name, struct mob_ref *ref)
{
    char path[4096], id[80] = "";
    struct mob_error err;
    FILE *file;

    if (ref != NULL && mob_ref_id(ref, id, sizeof id, &err) < 0)
        die(name, &err);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if ((file = fopen(path, "w")) == NULL || fputs(id, file) < 0 || fclose(file) != 0)
        exit(1);
}

int main(int argc, char **argv)
{
    struct mob_init_options options = { .size = sizeof options };
    struct mob_ref *held, *wider, *merged, *outside;
    char go[4096], text[4096];
    struct mob_error err;
    struct mob_view view;

    if (mob_init(argc, argv, &options, &err) < 0)
        die("mob_init", &err);
    snprintf(go, sizeof go, "%s/go", argv[1]);
    held = call("hold", "CPU=1", &MOB_BYTES(go, strlen(go) + 1), 1);
    wider = call("wide", "CPU=3", NULL, 0);
    merged = call("merge", "CPU=1", (const struct mob_value[]){ MOB_REF(held), MOB_REF(wider) }, 2);
    outside = call("outer", "GPU=1", NULL, 0);
    tell(argv[1], "merge", merged);
    tell(argv[1], "outer", outside);
    tell(argv[1], "up", NULL);
    if (mob_explain(merged, text, sizeof text, &err) < 0)
        die("mob_explain", &err);
    printf("%s", text);
    fflush(stdout);
    if (mob_get(merged, MOB_FOREVER, &view, &err) < 0)
        die("merge", &err);
    mob_view_release(&view);
    if (mob_cancel(outside, 1, &err) < 0)
        die("mob_cancel", &err);
    mob_shutdown();
    return 0;
}
