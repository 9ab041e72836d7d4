/* SPDX-License-Identifier: Apache-2.0 */
/* tasks.c -- what a task costs: one at a time, 1,000 in flight, and a private cluster from nothing to its first result. One
 * JSON line each. */
#include <mobula.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define IN_FLIGHT 1000

static int empty(struct mob_task *t, struct mob_error *err)
{
    (void)t;
    (void)err;
    return 0;
}
MOB_TASK(empty)

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static _Noreturn void fail(const char *what, const struct mob_error *err)
{
    fprintf(stderr, "tasks: %s: %s\n", what, err->text);
    exit(1);
}

static void call(struct mob_fn *fn, struct mob_ref **ret)
{
    struct mob_error err;

    if (mob_call(fn, NULL, 0, ret, &err) < 0)
        fail("call", &err);
}

static void get(struct mob_ref *ref)
{
    struct mob_error err;

    if (mob_get_copy(ref, 60000, NULL, 0, &err) < 0)
        fail("get", &err);
    mob_ref_drop(ref);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static void one_at_a_time(struct mob_fn *fn, int count)
{
    double *us = calloc((size_t)count, sizeof *us);
    struct mob_ref *ref;

    for (int i = 0; i < count; i++) {
        double start = now_s();

        call(fn, &ref);
        get(ref);
        us[i] = (now_s() - start) * 1e6;
    }
    qsort(us, (size_t)count, sizeof *us, compare);
    printf("{\"bench\": \"one_at_a_time\", \"unit\": \"us\", \"p50\": %.2f, \"p99\": %.2f, \"tasks\": %d}\n", us[count / 2],
           us[count * 99 / 100], count);
    free(us);
}

static void in_flight(struct mob_fn *fn, int count)
{
    struct mob_ref *refs[IN_FLIGHT];
    double start = now_s(), seconds;

    for (int i = 0; i < count + IN_FLIGHT; i++) {
        if (i >= IN_FLIGHT)
            get(refs[i % IN_FLIGHT]);
        if (i < count)
            call(fn, &refs[i % IN_FLIGHT]);
    }
    seconds = now_s() - start;
    printf("{\"bench\": \"in_flight\", \"unit\": \"1/s\", \"rate\": %.0f, \"in_flight\": %d, \"tasks\": %d}\n", count / seconds,
           IN_FLIGHT, count);
}

int main(int argc, char **argv)
{
    struct mob_init_options options = { .size = sizeof options, .resources = argc > 1 ? argv[1] : "CPU=1" };
    int count = argc > 2 ? atoi(argv[2]) : 2000000;
    double start = now_s();
    struct mob_error err;
    struct mob_ref *ref;
    struct mob_fn *fn;

    if (mob_init(argc, argv, &options, &err) < 0 || (fn = mob_fn("empty", NULL, &err)) == NULL)
        fail("init", &err);
    call(fn, &ref);
    get(ref);
    printf("{\"bench\": \"first_result\", \"unit\": \"ms\", \"value\": %.1f}\n", (now_s() - start) * 1e3);
    one_at_a_time(fn, 1000);            /* warm */
    one_at_a_time(fn, count / 100 + 1);
    in_flight(fn, count);
    mob_fn_destroy(fn);
    mob_shutdown();
    return 0;
}
