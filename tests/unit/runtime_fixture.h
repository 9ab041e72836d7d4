/* SPDX-License-Identifier: Apache-2.0 */
/* runtime_fixture.h -- libmobula against a pretended raylet: the test's program is driver and, started again by it, worker. */
#ifndef MOB_TESTS_RUNTIME_FIXTURE_H
#define MOB_TESTS_RUNTIME_FIXTURE_H

#include "unit.h"

#include <sys/stat.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif

#include "played_raylet.h"
#include "mobula.h"

static char *folder;
static struct played_raylet *raylet;

/* -- tasks ------------------------------------------------------------------------------------------------------------------- */

static int task_add(struct mob_task *t, struct mob_error *err)
{
    int64_t a, b;

    if (mob_arg_copy(t, 0, &a, sizeof a, err) < 0 || mob_arg_copy(t, 1, &b, sizeof b, err) < 0)
        return -1;
    a += b;
    return mob_return(t, 0, MOB_BYTES(&a, sizeof a), err);
}
MOB_TASK(task_add)

static int task_fail(struct mob_task *t, struct mob_error *err)
{
    (void)t;
    return mob_fail(err, 7, "no luck with %s", "this");
}
MOB_TASK(task_fail)

static int task_echo(struct mob_task *t, struct mob_error *err)
{
    struct mob_view view;

    for (size_t i = 0; i < mob_arg_count(t); i++)
        if (mob_arg(t, i, &view, err) < 0 || mob_return(t, i, MOB_BYTES(view.data, view.size), err) < 0)
            return -1;
    return 0;
}
MOB_TASK(task_echo)

/* A pipe's read end is inherited by workers: they sleep until the test closes its end. */
static int task_gate(struct mob_task *t, struct mob_error *err)
{
    const char *path = getenv("TEST_GATE");
    FILE *gate = fopen(path, "re");

    (void)t;
    (void)err;
    fgetc(gate);
    fclose(gate);
    return 0;
}
MOB_TASK(task_gate)

static int task_nest(struct mob_task *t, struct mob_error *err)
{
    struct mob_fn *fn = mob_fn("task_add", NULL, err);
    int64_t n, one = 1;
    struct mob_ref *ref;

    if (fn == NULL || mob_arg_copy(t, 0, &n, sizeof n, err) < 0)
        return -1;
    if (mob_call(fn, (struct mob_value[]){ MOB_BYTES(&n, sizeof n), MOB_BYTES(&one, sizeof one) }, 2, &ref, err) < 0)
        return -1;
    if (mob_get_copy(ref, 10000, &n, sizeof n, err) < 0)
        return -1;
    mob_ref_drop(ref);
    mob_fn_destroy(fn);
    return mob_return(t, 0, MOB_BYTES(&n, sizeof n), err);
}
MOB_TASK(task_nest)

/* Workers are killed, not ended, so a sanitizer would not look at them: it is asked in between. */
static int task_leaks(struct mob_task *t, struct mob_error *err)
{
    int64_t leaks = 0;

#ifdef __SANITIZE_ADDRESS__
    leaks = __lsan_do_recoverable_leak_check();
#endif
    return mob_return(t, 0, MOB_BYTES(&leaks, sizeof leaks), err);
}
MOB_TASK(task_leaks)

/* -- around each test -------------------------------------------------------------------------------------------------------- */

static inline void set_up(void)
{
    struct mob_error err;

    folder = unit_folder();
    raylet = played_raylet_create(folder);
    ck_assert_msg(mob_init(0, NULL, NULL, &err) == 0, "%s", err.text);
}

static inline void tear_down(void)
{
    mob_shutdown();
    played_raylet_destroy(raylet);
    unit_folder_remove(folder);
}

static inline struct mob_fn *fn_of(const char *name, const struct mob_options *options)
{
    struct mob_error err;
    struct mob_fn *fn = mob_fn(name, options, &err);

    ck_assert_msg(fn != NULL, "%s", err.text);
    return fn;
}

static inline struct mob_ref *add(struct mob_fn *fn, int64_t a, int64_t b)
{
    struct mob_value args[2] = { MOB_BYTES(&a, sizeof a), MOB_BYTES(&b, sizeof b) };
    struct mob_error err;
    struct mob_ref *ref;

    ck_assert_msg(mob_call(fn, args, 2, &ref, &err) == 0, "%s", err.text);
    return ref;
}

static inline int64_t value_of(struct mob_ref *ref)
{
    struct mob_error err;
    int64_t n = 0;

    ck_assert_msg(mob_get_copy(ref, 20000, &n, sizeof n, &err) == 0, "%s", err.text);
    mob_ref_drop(ref);
    return n;
}

static inline void no_leaks_in_worker(void)
{
    struct mob_fn *fn = fn_of("task_leaks", NULL);
    struct mob_error err;
    struct mob_ref *ref;

    ck_assert_msg(mob_call(fn, NULL, 0, &ref, &err) == 0, "%s", err.text);
    ck_assert_int_eq(value_of(ref), 0);
    mob_fn_destroy(fn);
}

/* Where tasks of task_gate sleep until somebody opens it for writing. Freed by the caller. */
static inline char *make_gate(void)
{
    char *gate = mob_printf("%s/gate", folder);

    ck_assert_int_eq(mkfifo(gate, 0600), 0);
    setenv("TEST_GATE", gate, 1);
    return gate;
}

/* main() of a suite. */
static inline int runtime_run(const char *name, void (*fill)(TCase *tcase), int argc, char **argv)
{
    if (getenv("MOBULA_WORKER") != NULL)
        mob_init(argc, argv, NULL, NULL);       /* does not return */
    return unit_run(name, fill);
}

#endif
