/* SPDX-License-Identifier: Apache-2.0 */
/* bad_bomb.c FOLDER -- a task forks, and so does each child, each in a session of its own, until the node's bound on processes is reached;
 * it goes on trying. The driver cancels it by force once that many are there, then wants values from the same node. */
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "bad.h"

#define PATIENCE_MS 30000

static struct mob_error err;

static void make(const char *folder, const char *name)
{
    char path[4200];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    if ((f = fopen(path, "we")) != NULL)
        fclose(f);
}

/* The script has put the node into a group of this name, which bounds it: else not one is forked. */
static int is_bounded(void)
{
    char text[4096] = "";
    FILE *f = fopen("/proc/self/cgroup", "re");
    size_t n = f != NULL ? fread(text, 1, sizeof text - 1, f) : 0;

    if (f != NULL)
        fclose(f);
    text[n] = '\0';
    return strstr(text, "mobula-bomb") != NULL;
}

static int bomb(struct mob_task *t, struct mob_error *e)
{
    char folder[4096];
    struct mob_view view;

    if (!is_bounded())
        return mob_fail(e, 1, "nothing bounds the processes here");
    if (mob_arg(t, 0, &view, e) < 0)
        return -1;
    snprintf(folder, sizeof folder, "%.*s", (int)view.size, (const char *)view.data);
    for (;;) {
        pid_t child = fork();
        if (child == 0)
            setsid();
        if (child < 0) {
            make(folder, "full");
            poll(NULL, 0, 10);
        }
    }
}
MOB_TASK(bomb)

static int number(struct mob_task *t, struct mob_error *e)
{
    return mob_return(t, 0, MOB_BYTES(&(int){ 7 }, sizeof(int)), e);
}
MOB_TASK(number)

int main(int argc, char **argv)
{
    struct mob_options there = { .size = sizeof there, .strategy = "node=2", .max_retries = MOB_NO_RETRY };
    struct mob_ref *ref = NULL;
    struct mob_view view;
    char full[4200];
    int value = 0;

    WORKS(mob_init(argc, argv, NULL, &err));
    snprintf(full, sizeof full, "%s/full", argv[1]);
    struct mob_fn *fn = mob_fn("bomb", &there, &err), *again = mob_fn("number", &there, &err);
    WORKS(mob_call(fn, &MOB_BYTES(argv[1], strlen(argv[1])), 1, &ref, &err));
    while (access(full, F_OK) != 0) {
        if (mob_get(ref, 10, &view, &err) < 0 && err.code != MOB_ERR_TIMEOUT)
            bad_works(__LINE__, "bomb", 0, &err);
        if (bad_failures > 0)
            return 1;
    }
    WORKS(mob_cancel(ref, MOB_CANCEL_FORCE, &err));
    REFUSED(mob_get(ref, PATIENCE_MS, &view, &err), MOB_ERR_CANCELLED, "SIGKILL");
    mob_ref_drop(ref);
    for (int i = 0; i < 20 && bad_failures == 0; i++) {
        WORKS(mob_call(again, NULL, 0, &ref, &err));
        WORKS(mob_get_copy(ref, PATIENCE_MS, &value, sizeof value, &err));
        bad_works(__LINE__, "number", value == 7, &err);
        mob_ref_drop(ref);
    }
    mob_fn_destroy(fn);
    mob_fn_destroy(again);
    mob_shutdown();
    return bad_failures > 0;
}
