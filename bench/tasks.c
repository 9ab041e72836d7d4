/* SPDX-License-Identifier: Apache-2.0 */
/* tasks.c -- one figure a run, printed as a number: what an empty task costs one at a time (us, median) and with 1,000 in flight (/s),
 * how well sleeping tasks fill the cluster's CPUs (% of ideal), how long a private cluster takes to its first result (ms), and the items
 * of a stream, 8 bytes each, read in turn (/s).
 *
 *     bench_tasks first | one [STRATEGY] | flight [STRATEGY] | once | items [STRATEGY] | sleep MS
 * once: as flight, but no task is tried twice, and nothing of it is kept.
 * cluster: $MOBULA_ADDRESS, else a private one of 1 CPU */
#include <mobula.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define IN_FLIGHT 1000
#define ONE_COUNT 20000
#define FLIGHT_SECONDS 2.0
#define ITEMS UINT64_C(1000000)
#define SLEEP_ROUNDS 20                 /* tasks a CPU */

static int empty(struct mob_task *t, struct mob_error *err)
{
    (void)t, (void)err;
    return 0;
}
MOB_TASK(empty)

static int pause_ms(struct mob_task *t, struct mob_error *err)
{
    struct timespec pause = { 0 };
    uint32_t ms;

    if (mob_arg_copy(t, 0, &ms, sizeof ms, err) < 0)
        return -1;
    pause.tv_sec = ms / 1000;
    pause.tv_nsec = (long)(ms % 1000) * 1000000;
    nanosleep(&pause, NULL);
    return 0;
}
MOB_TASK(pause_ms)

static int yield_all(struct mob_task *t, struct mob_error *err)
{
    for (uint64_t i = 0; i < ITEMS; i++)
        if (mob_yield(t, MOB_BYTES(&i, sizeof i), err) < 0)
            return -1;
    return 0;
}
MOB_TASK(yield_all)

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static _Noreturn void fail(const char *what, const struct mob_error *err)
{
    fprintf(stderr, "bench_tasks: %s: %s\n", what, err->text);
    exit(1);
}

static struct mob_ref *call(struct mob_fn *fn, const struct mob_value *args, size_t count)
{
    struct mob_error err;
    struct mob_ref *ref;

    if (mob_call(fn, args, count, &ref, &err) < 0)
        fail("call", &err);
    return ref;
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

static double one_at_a_time(struct mob_fn *fn)
{
    static double us[ONE_COUNT];

    for (int i = 0; i < ONE_COUNT; i++) {
        double start = now_s();
        get(call(fn, NULL, 0));
        us[i] = (now_s() - start) * 1e6;
    }
    qsort(us, ONE_COUNT, sizeof *us, compare);
    return us[ONE_COUNT / 2];
}

static double in_flight(struct mob_fn *fn)
{
    struct mob_ref *refs[IN_FLIGHT];
    double start = now_s(), seconds = 0;
    long done = 0;

    for (int i = 0; i < IN_FLIGHT; i++)
        refs[i] = call(fn, NULL, 0);
    while (seconds < FLIGHT_SECONDS) {
        for (int i = 0; i < IN_FLIGHT; i++, done++) {
            get(refs[i]);
            refs[i] = call(fn, NULL, 0);
        }
        seconds = now_s() - start;
    }
    for (int i = 0; i < IN_FLIGHT; i++)
        get(refs[i]);
    return (double)done / seconds;
}

static double stream(const struct mob_options *options)
{
    struct mob_error err;
    struct mob_fn *fn = mob_fn("yield_all", options, &err);
    struct mob_items *items;
    struct mob_ref *ref;
    uint64_t item, count = 0;
    double start = now_s();
    int rc;

    if (fn == NULL || (items = mob_call_items(fn, NULL, 0, &err)) == NULL)
        fail("stream", &err);
    while ((rc = mob_items_next(items, 60000, &ref, &err)) == 1) {
        if (mob_get_copy(ref, 60000, &item, sizeof item, &err) < 0)
            fail("item", &err);
        count += item == count;
        mob_ref_drop(ref);
    }
    if (rc < 0 || count != ITEMS)
        fail("items", &err);
    mob_items_close(items);
    mob_fn_destroy(fn);
    return (double)ITEMS / (now_s() - start);
}

static int cluster_cpus(void)
{
    char total[1024];
    struct mob_error err;

    if (mob_resources(total, NULL, sizeof total, &err) < 0)
        fail("resources", &err);
    return strstr(total, "CPU=") != NULL ? atoi(strstr(total, "CPU=") + 4) : 1;
}

static double sleeping(uint32_t ms)
{
    struct mob_error err;
    struct mob_fn *fn = mob_fn("pause_ms", NULL, &err);
    int cpus = cluster_cpus(), count = cpus * SLEEP_ROUNDS;
    struct mob_ref **refs = calloc((size_t)count, sizeof *refs);
    double start, seconds;

    if (fn == NULL)
        fail("function", &err);
    for (int i = 0; i < cpus; i++)      /* warm workers */
        refs[i] = call(fn, &MOB_BYTES(&ms, sizeof ms), 1);
    for (int i = 0; i < cpus; i++)
        get(refs[i]);
    start = now_s();
    for (int i = 0; i < count; i++)
        refs[i] = call(fn, &MOB_BYTES(&ms, sizeof ms), 1);
    for (int i = 0; i < count; i++)
        get(refs[i]);
    seconds = now_s() - start;
    free(refs);
    mob_fn_destroy(fn);
    return 100.0 * SLEEP_ROUNDS * ms / 1000.0 / seconds;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    struct mob_init_options options = { .size = sizeof options };
    struct mob_options task_options = { .size = sizeof task_options, .strategy = argc > 2 ? argv[2] : NULL };
    double start = now_s(), figure;
    struct mob_error err;
    struct mob_fn *fn;

    if (getenv("MOBULA_ADDRESS") == NULL)
        options.resources = "CPU=1";
    if (strcmp(what, "once") == 0) {
        task_options.max_retries = MOB_NO_RETRY;
        setenv("MOBULA_LINEAGE_BYTES", "0", 1);
    }
    if (mob_init(argc, argv, &options, &err) < 0)
        fail("init", &err);
    if (strcmp(what, "items") == 0) {
        figure = stream(&task_options);
    } else if (strcmp(what, "sleep") == 0) {
        figure = sleeping(argc > 2 ? (uint32_t)atoi(argv[2]) : 100);
    } else {
        if ((fn = mob_fn("empty", &task_options, &err)) == NULL)
            fail("function", &err);
        get(call(fn, NULL, 0));
        figure = (now_s() - start) * 1e3;
        if (strcmp(what, "first") != 0)
            figure = strcmp(what, "one") == 0 ? one_at_a_time(fn) : in_flight(fn);
        mob_fn_destroy(fn);
    }
    printf("%.2f\n", figure);
    mob_shutdown();
    return 0;
}
