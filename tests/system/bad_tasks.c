/* SPDX-License-Identifier: Apache-2.0 */
/* bad_tasks.c [FOLDER] -- tasks that end, harm or flood their own process: that worker alone is lost, its caller is told how it ended, and
 * the next task finds a new one. Files in FOLDER tell tasks when to go on. */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "bad.h"

#define PATIENCE_MS 30000
#define LARGE (300 << 10)
#define FLOOD_BYTES (40 << 20)

static struct mob_error err;

/* -- tasks ------------------------------------------------------------------------------------------------------------------- */

static int calls_exit(struct mob_task *t, struct mob_error *e)
{
    (void)t, (void)e;
    exit(0);
}
MOB_TASK(calls_exit)

static int calls_exit_now(struct mob_task *t, struct mob_error *e)
{
    (void)t, (void)e;
    fprintf(stderr, "giving up\n");
    _exit(7);
}
MOB_TASK(calls_exit_now)

static int calls_abort(struct mob_task *t, struct mob_error *e)
{
    (void)t, (void)e;
    fprintf(stderr, "this cannot be\n");
    abort();
}
MOB_TASK(calls_abort)

static int writes_argument(struct mob_task *t, struct mob_error *e)
{
    struct mob_view view;

    if (mob_arg(t, 0, &view, e) < 0)
        return -1;
    signal(SIGSEGV, SIG_DFL);           /* a sanitizer would catch it */
    ((volatile char *)(uintptr_t)view.data)[0] = 1;     /* an object of the store: others read it */
    return 0;
}
MOB_TASK(writes_argument)

/* Even the library's own descriptors, if they are among them. */
static int closes_descriptors(struct mob_task *t, struct mob_error *e)
{
    int n = 3;

    for (int fd = 0; fd < 3; fd++)
        close(fd);
    printf("nobody hears this\n");
    return mob_return(t, 0, MOB_BYTES(&n, sizeof n), e);
}
MOB_TASK(closes_descriptors)

/* What opens files now gets 0, 1, 2: large values travel as well. */
static int large_after_close(struct mob_task *t, struct mob_error *e)
{
    static char bytes[LARGE];

    closes_descriptors(t, e);
    (void)open("/dev/null", O_RDWR);
    return mob_return(t, 1, MOB_BYTES(bytes, sizeof bytes), e);
}
MOB_TASK(large_after_close)

static int floods(struct mob_task *t, struct mob_error *e)
{
    static char line[4096];
    int n = FLOOD_BYTES;

    memset(line, 'x', sizeof line - 1);
    line[sizeof line - 1] = '\n';
    for (int left = n; left > 0; left -= (int)sizeof line)
        if (write(STDOUT_FILENO, line, sizeof line) < 0)
            return mob_fail(e, 1, "cannot write");
    return mob_return(t, 0, MOB_BYTES(&n, sizeof n), e);
}
MOB_TASK(floods)

/* -- a forwarded result whose owner ends ----------------------------------------------------------------------------------------- */

static int never_ends(struct mob_task *t, struct mob_error *e)
{
    (void)e;
    while (!mob_cancelled(t))
        poll(NULL, 0, 10);
    return 0;
}
MOB_TASK(never_ends)

static void *end_when_told(void *path)
{
    while (access(path, F_OK) != 0)
        poll(NULL, 0, 5);
    _exit(9);
}

/* Returns at once what another task will make, which this process owns, and the process ends later. */
static int forwards(struct mob_task *t, struct mob_error *e)
{
    static char path[4096];
    struct mob_fn *fn = mob_fn("never_ends", NULL, e);
    struct mob_ref *ref;
    struct mob_view view;
    pthread_t thread;

    if (fn == NULL || mob_call(fn, NULL, 0, &ref, e) < 0 || mob_arg(t, 0, &view, e) < 0)
        return -1;
    snprintf(path, sizeof path, "%.*s", (int)view.size, (const char *)view.data);
    pthread_create(&thread, NULL, end_when_told, path);
    return mob_return(t, 0, MOB_BYTES(NULL, 0), e) < 0 || mob_return(t, 1, MOB_REF(ref), e) < 0 ? -1 : 0;
}
MOB_TASK(forwards)

/* -- the driver ------------------------------------------------------------------------------------------------------------------ */

/* Call NAME without retries; its one argument is a large object. */
static struct mob_ref *call(const char *name, uint32_t returns, struct mob_ref **ret_second)
{
    static char bytes[LARGE];
    struct mob_options o = { .size = sizeof o, .returns = returns, .max_retries = MOB_NO_RETRY };
    struct mob_fn *fn = mob_fn(name, &o, &err);
    struct mob_ref *argument = mob_put(bytes, sizeof bytes, &err), *refs[2] = { NULL, NULL };

    WORKS(mob_call(fn, &MOB_REF(argument), 1, refs, &err));
    mob_ref_drop(argument);
    mob_fn_destroy(fn);
    if (ret_second != NULL)
        *ret_second = refs[1];
    return refs[0];
}

static void crashes(const char *name, const char *words)
{
    struct mob_ref *ref = call(name, 1, NULL);
    struct mob_view view;

    REFUSED(mob_get(ref, PATIENCE_MS, &view, &err), MOB_ERR_WORKER_CRASHED, words);
    bad_works(__LINE__, name, strcmp(err.function, name) == 0 && err.pid > 0 && err.node[0] != '\0', &err);
    mob_ref_drop(ref);
}

static void answers(const char *name, int wanted)
{
    struct mob_ref *ref = call(name, 1, NULL);
    int n = 0;

    WORKS(mob_get_copy(ref, PATIENCE_MS, &n, sizeof n, &err));
    bad_works(__LINE__, name, n == wanted, &err);
    mob_ref_drop(ref);
}

static void large_answer(void)
{
    struct mob_ref *second, *ref = call("large_after_close", 2, &second);
    struct mob_view view;

    WORKS(mob_get(second, PATIENCE_MS, &view, &err));
    mob_view_release(&view);
    mob_ref_drop(second);
    mob_ref_drop(ref);
}

/* Retries: the task is started again as often as it was asked, then the error says how the last one ended. */
static void crashes_again(void)
{
    struct mob_options o = { .size = sizeof o, .max_retries = 2 };
    struct mob_fn *fn = mob_fn("calls_exit_now", &o, &err);
    struct mob_ref *ref;
    struct mob_view view;

    WORKS(mob_call(fn, NULL, 0, &ref, &err));
    REFUSED(mob_get(ref, PATIENCE_MS, &view, &err), MOB_ERR_WORKER_CRASHED, "exited with code 7");
    bad_works(__LINE__, "the third attempt, counted from 0, was the last", err.attempt == 2, &err);
    mob_ref_drop(ref);
    mob_fn_destroy(fn);
}

static int only_of_driver(struct mob_task *t, struct mob_error *e)
{
    (void)t, (void)e;
    return 0;
}

/* Its worker does not know it: the error says which function is missing in which program. */
static void unknown_function(void)
{
    struct mob_ref *ref = call("only_of_driver", 1, NULL);
    struct mob_view view;

    REFUSED(mob_get(ref, PATIENCE_MS, &view, &err), MOB_ERR_INVALID, "only_of_driver: the program /");
    REFUSED(mob_get(ref, PATIENCE_MS, &view, &err), MOB_ERR_INVALID, "has no such task function");
    bad_works(__LINE__, "the function", strcmp(err.function, "only_of_driver") == 0, &err);
    mob_ref_drop(ref);
}

static void owner_dies(const char *folder)
{
    struct mob_options o = { .size = sizeof o, .returns = 2, .max_retries = MOB_NO_RETRY };
    struct mob_fn *fn = mob_fn("forwards", &o, &err);
    struct mob_ref *refs[2];
    struct mob_view view;
    char path[4096];

    snprintf(path, sizeof path, "%s/forwards.end", folder);
    WORKS(mob_call(fn, &MOB_BYTES(path, strlen(path)), 1, refs, &err));
    WORKS(mob_get(refs[0], PATIENCE_MS, &view, &err));
    mob_view_release(&view);
    REFUSED(mob_get(refs[1], 200, &view, &err), MOB_ERR_TIMEOUT, "not ready");
    fclose(fopen(path, "w"));
    REFUSED(mob_get(refs[1], PATIENCE_MS, &view, &err), MOB_ERR_OWNER_DIED, "exited with code 9");
    mob_ref_drop(refs[0]);
    mob_ref_drop(refs[1]);
    mob_fn_destroy(fn);
}

int main(int argc, char **argv)
{
    struct mob_init_options o = { .size = sizeof o, .quiet = 1 };

    if (getenv("MOBULA_WORKER") == NULL)
        mob_register("only_of_driver", only_of_driver);
    WORKS(mob_init(argc, argv, &o, &err));
    unknown_function();
    crashes("calls_exit", "exited with code 0 in the middle of its work");
    crashes("calls_exit_now", "giving up");
    crashes("calls_abort", "was ended by signal SIGABRT");
    crashes("calls_abort", "this cannot be");
    crashes("writes_argument", "was ended by signal SIGSEGV");
    crashes_again();
    answers("floods", FLOOD_BYTES);
    answers("closes_descriptors", 3);
    large_answer();
    owner_dies(argv[1]);
    mob_shutdown();
    return bad_failures > 0;
}
