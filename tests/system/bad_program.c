/* SPDX-License-Identifier: Apache-2.0 */
/* bad_program.c FILE STRATEGY COUNT -- a driver that says in its Hello that FILE is its program. Calls COUNT tasks, and prints where each
 * ran, or the error of the first that did not. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <mobula.h>

#define CALLS_MAX 64
#define PATIENCE_MS 20000

static const char *program;             /* NULL: a worker, which is what it is */

#define INSTEAD __attribute__((visibility("default")))
/* libmobula calls these instead of libc's. */
INSTEAD int open(const char *path, int flags, ...)
{
    int (*real)(const char *path, int flags, ...);
    *(void **)&real = dlsym(RTLD_NEXT, "open");

    return real(program != NULL && strcmp(path, "/proc/self/exe") == 0 ? program : path, flags, 0600);
}

INSTEAD ssize_t readlink(const char *restrict path, char *restrict text, size_t size)
{
    ssize_t (*real)(const char *path, char *text, size_t size);
    *(void **)&real = dlsym(RTLD_NEXT, "readlink");

    if (program == NULL || strcmp(path, "/proc/self/exe") != 0)
        return real(path, text, size);
    strncpy(text, program, size);
    return (ssize_t)strnlen(program, size);
}

static int where(struct mob_task *t, struct mob_error *err)
{
    struct mob_task_self self = { .size = sizeof self };

    return mob_task_self(t, &self, err) < 0 ? -1 : mob_return(t, 0, MOB_BYTES(self.ip, sizeof self.ip), err);
}
MOB_TASK(where)

int main(int argc, char **argv)
{
    struct mob_init_options init = { .size = sizeof init };
    struct mob_options o = { .size = sizeof o };
    struct mob_ref *refs[CALLS_MAX];
    struct mob_error err;
    char ip[64];

    program = getenv("MOBULA_WORKER") == NULL && argc > 1 ? argv[1] : NULL;
    if (mob_init(argc, argv, &init, &err) < 0 || argc < 4) {
        printf("error %d: %s\n", err.code, err.text);
        return 2;
    }
    o.strategy = argv[2];
    int count = atoi(argv[3]) < CALLS_MAX ? atoi(argv[3]) : CALLS_MAX;
    struct mob_fn *fn = mob_fn("where", &o, &err);
    for (int i = 0; i < count; i++)
        if (fn == NULL || mob_call(fn, NULL, 0, &refs[i], &err) < 0)
            return 2;
    int failed = 0;
    for (int i = 0; i < count; i++) {
        if (!failed && mob_get_copy(refs[i], PATIENCE_MS, ip, sizeof ip, &err) == 0)
            printf("ran on %s\n", ip);
        else if (!failed++)
            printf("error %d: %s\n", err.code, err.text);
        mob_ref_drop(refs[i]);
    }
    mob_fn_destroy(fn);
    mob_shutdown();
    return failed;
}
