/* SPDX-License-Identifier: Apache-2.0 */
/* owner.c -- what a task costs in the owner core: submit, push, answer, value, drop. One thread, which is its worker, too: the
 * ring is plain memory. The worker's share (claim, reply) is measured apart and taken off.   bench_owner [tasks a round] [rounds] */
#include <stdio.h>
#include <time.h>

#include "tests/unit/owner_fake.h"

static int64_t clock_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static int64_t clock_now(struct mob_world *w)
{
    return ((struct fake *)w)->now_ns = clock_ns();
}

/* Runs what is in the ring. Returns how long the worker took. */
static int64_t work(struct fake *f)
{
    int64_t begin_ns = clock_ns();
    struct mob_task_frame t;
    const void *body;

    while (mob_channel_claim(f->workers[0].end, f->workers[0].epoch, &t, &body))
        fake_reply(f, 0, &t, MOB_OK, &(struct mob_arg_head){ MOB_VALUE_INLINE, 0 }, sizeof(struct mob_arg_head), 1000);
    return clock_ns() - begin_ns;
}

static double round_ns(struct fake *f, uint32_t shape, uint64_t *refs, size_t n, const struct mob_arg *args, size_t arg_count)
{
    struct mob_submit s = { .shape = shape, .function = 42, .name = "empty", .returns = 1, .max_retries = 3, .args = args,
                            .arg_count = arg_count };
    int64_t begin_ns = clock_ns(), worker_ns = 0;

    for (size_t i = 0; i < n; i++)
        mob_owner_submit(f->o, &s, &refs[i], NULL);
    while (mob_owner_flush(f->o), mob_owner_counts(f->o).pushed > 0) {
        worker_ns += work(f);
        fake_drain(f);
    }
    for (size_t i = 0; i < n; i++) {
        struct mob_object_info info;

        mob_owner_look(f->o, refs[i], &info, NULL);
        assert(info.state == MOB_OBJECT_INLINE);
        mob_owner_drop(f->o, refs[i], NULL);
    }
    return (double)(clock_ns() - begin_ns - worker_ns) / (double)n;
}

static void report(struct fake *f, uint32_t shape, const char *what, size_t n, size_t rounds,
                   const struct mob_arg *args, size_t count)
{
    uint64_t *refs = malloc(n * sizeof *refs);
    double best = 1e9, sum = 0;

    for (size_t i = 0; i < rounds; i++) {
        double ns = round_ns(f, shape, refs, n, args, count);

        sum += ns;
        best = ns < best ? ns : best;
    }
    printf("%-28s %7zu a round: %6.0f ns a task (best %.0f)\n", what, n, sum / (double)rounds, best);
    free(refs);
}

int main(int argc, char **argv)
{
    size_t n = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000, rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : 2000;
    char bytes[100] = { 0 };
    struct mob_arg small = { .data = bytes, .size = 8 }, medium = { .data = bytes, .size = sizeof bytes };
    struct fake *f = malloc(sizeof *f);

    fake_init(f);
    f->world.now_ns = clock_now;
    uint32_t shape = fake_shape(f);

    f->forget = true;
    fake_open(f, 0);
    fake_grant(f, shape, 1, 0);
    report(f, shape, "empty", n, rounds, NULL, 0);
    report(f, shape, "one argument of 8 bytes", n, rounds, &small, 1);
    report(f, shape, "one argument of 100 bytes", n, rounds, &medium, 1);
    report(f, shape, "empty, one at a time", 1, rounds * 100, NULL, 0);
    report(f, shape, "empty, a backlog", 200000, 3, NULL, 0);
    fake_fini(f);
    free(f);
    return 0;
}
