/* SPDX-License-Identifier: Apache-2.0 */
/* pi.c -- Monte Carlo on every CPU of the cluster.  cc pi.c tally.c $(pkg-config --cflags --libs mobula) -o pi && ./pi */
#include <stdio.h>
#include <stdlib.h>

#include "tally.h"

#define SAMPLES 10000000                /* a task */

struct inside {
    uint64_t count;
    char host[64];
};

/* How many of n seeded points of the unit square lie in the circle. */
static uint64_t throw(uint64_t n, uint64_t seed)
{
    unsigned short s[3] = { 0x330e, seed & 0xffff, seed >> 16 & 0xffff };
    uint64_t inside = 0;

    for (uint64_t i = 0; i < n; i++) {
        double x = erand48(s), y = erand48(s);
        inside += x * x + y * y <= 1;
    }
    return inside;
}

static int sample(struct mob_task *t, struct mob_error *err)
{
    uint64_t n, seed;
    struct inside result = { 0 };

    if (mob_arg_copy(t, 0, &n, sizeof n, err) < 0 || mob_arg_copy(t, 1, &seed, sizeof seed, err) < 0)
        return -1;
    result.count = throw(n, seed);
    tally_here(t, result.host);
    return mob_return(t, 0, MOB_BYTES(&result, sizeof result), err);
}
MOB_TASK(sample)

int main(int argc, char **argv)
{
    struct mob_error err;
    struct mob_init_options options;
    uint64_t n = (uint64_t)example_options(argc, argv, SAMPLES, SAMPLES / 100, &options), serial = 0, distributed = 0;
    struct mob_fn *fn;
    struct tally tally = { 0 };
    double start, serial_s, distributed_s;
    int tasks, cpus;

    if (mob_init(argc, argv, &options, &err) < 0 || (fn = mob_fn("sample", NULL, &err)) == NULL)
        fail("pi", &err);
    cpus = cluster_cpus();
    cluster_warm(cpus);
    tasks = cpus < 16 ? 16 : cpus;
    struct mob_ref **refs = calloc((size_t)tasks, sizeof *refs);

    start = seconds_now();
    for (int i = 0; i < tasks; i++)
        serial += throw(n, (uint64_t)i);
    serial_s = seconds_now() - start;

    start = seconds_now();
    for (uint64_t i = 0; i < (uint64_t)tasks; i++)
        if (mob_call(fn, (struct mob_value[]){ MOB_BYTES(&n, sizeof n), MOB_BYTES(&i, sizeof i) }, 2, &refs[i], &err) < 0)
            fail("pi", &err);
    for (int i = 0; i < tasks; i++) {
        struct inside got;
        if (mob_get_copy(refs[i], MOB_FOREVER, &got, sizeof got, &err) < 0)
            fail("pi", &err);
        distributed += got.count;
        tally_add(&tally, got.host);
        mob_ref_drop(refs[i]);
    }
    distributed_s = seconds_now() - start;

    printf("pi: %d tasks of %llu samples: %.6f, serial %.6f\n", tasks, (unsigned long long)n,
           4.0 * (double)distributed / ((double)n * tasks), 4.0 * (double)serial / ((double)n * tasks));
    tally_print(&tally, serial_s, distributed_s, cpus);
    mob_fn_destroy(fn);
    free(refs);
    mob_shutdown();
    if (serial != distributed)
        return fprintf(stderr, "pi: the results differ\n"), 1;
    return 0;
}
