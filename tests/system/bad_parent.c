/* SPDX-License-Identifier: Apache-2.0 */
/* bad_parent.c FILE -- a driver that will be killed: its tasks leave big values on nodes 1 and 2, and each a grandchild (`sleep 86399`)
 * in a session of its own. Makes FILE when all values are there. */
#include <stdlib.h>
#include <unistd.h>

#include "bad.h"

#define TASKS 8
#define LARGE (2 << 20)
#define PATIENCE_MS 60000

static int leave(struct mob_task *t, struct mob_error *err)
{
    struct mob_buffer *b = mob_create(LARGE, err);

    if (fork() == 0) {
        setsid();
        if (fork() == 0)
            execlp("sleep", "sleep", "86399", (char *)NULL);
        _exit(0);
    }
    return b == NULL ? -1 : mob_return_buffer(t, 0, b, err);
}
MOB_TASK(leave)

int main(int argc, char **argv)
{
    struct mob_options on[2] = { { .size = sizeof on[0], .strategy = "node=1" }, { .size = sizeof on[0], .strategy = "node=2" } };
    struct mob_ref *refs[TASKS];
    unsigned char ready[TASKS];
    struct mob_error err = { 0 };

    if (mob_init(argc, argv, NULL, &err) < 0 || argc != 2) {
        fprintf(stderr, "parent: cannot start: %s\n", err.text);
        return 1;
    }
    struct mob_fn *fn[2] = { mob_fn("leave", &on[0], &err), mob_fn("leave", &on[1], &err) };
    for (int i = 0; i < TASKS; i++)
        if (fn[i % 2] == NULL || mob_call(fn[i % 2], NULL, 0, &refs[i], &err) < 0)
            return 1;
    if (mob_wait(refs, TASKS, TASKS, PATIENCE_MS, ready, &err) != TASKS)
        return 1;
    fclose(fopen(argv[1], "w"));
    for (;;)
        pause();
}
