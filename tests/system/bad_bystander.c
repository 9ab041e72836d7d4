/* SPDX-License-Identifier: Apache-2.0 */
/* bad_bystander.c FILE [forks] -- the driver next door: runs tasks, small and large values by turns, until FILE is there; makes
 * FILE.up when the first ones are done. It must never see an error. With `forks` it leaves a child that neither execs nor ends:
 * FILE.child names it. */
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "bad.h"

#define BATCH 8
#define LARGE (300 << 10)
#define PATIENCE_MS 60000

static int add_up(struct mob_task *t, struct mob_error *err)
{
    struct mob_view view;
    unsigned sum = 0;

    if (mob_arg(t, 0, &view, err) < 0)
        return -1;
    for (size_t i = 0; i < view.size; i++)
        sum += ((const unsigned char *)view.data)[i];
    return mob_return(t, 0, MOB_BYTES(&sum, sizeof sum), err);
}
MOB_TASK(add_up)

static int batch(struct mob_fn *fn, unsigned round, struct mob_error *err)
{
    static unsigned char bytes[LARGE];
    struct mob_ref *refs[BATCH];
    size_t size = round % 4 == 0 ? LARGE : 100;
    unsigned sum;
    int rc = 0;

    memset(bytes, (int)(round % 200), sizeof bytes);
    for (int i = 0; i < BATCH; i++)
        if (mob_call(fn, &MOB_BYTES(bytes, size), 1, &refs[i], err) < 0)
            return -1;
    for (int i = 0; i < BATCH; i++) {
        if (rc == 0 && (rc = mob_get_copy(refs[i], PATIENCE_MS, &sum, sizeof sum, err)) == 0 && sum != size * (round % 200)) {
            snprintf(err->text, sizeof err->text, "the sum is %u, not %zu", sum, size * (round % 200));
            rc = -1;
        }
        mob_ref_drop(refs[i]);
    }
    return rc;
}

static void leave_child(const char *file)
{
    char path[4096];
    pid_t child = fork();

    if (child == 0)
        for (;;)
            pause();
    snprintf(path, sizeof path, "%s.child", file);
    FILE *f = fopen(path, "w");
    fprintf(f, "%d\n", (int)child);
    fclose(f);
}

int main(int argc, char **argv)
{
    struct mob_error err = { 0 };
    unsigned round = 0;
    char up[4096];

    if (mob_init(argc, argv, NULL, &err) < 0) {
        fprintf(stderr, "bystander: cannot start: %s\n", err.text);
        return 1;
    }
    struct mob_fn *fn = mob_fn("add_up", NULL, &err);

    if (argc > 2)
        leave_child(argv[1]);
    snprintf(up, sizeof up, "%s.up", argv[1]);
    while (access(argv[1], F_OK) != 0) {
        if (fn == NULL || batch(fn, round++, &err) < 0) {
            fprintf(stderr, "bystander: round %u: code %d: %s\n", round, (int)err.code, err.text);
            return 1;
        }
        if (round == 1)
            fclose(fopen(up, "w"));
        poll(NULL, 0, 20);              /* leave room for those who are tested */
    }
    mob_fn_destroy(fn);
    mob_shutdown();
    return 0;
}
