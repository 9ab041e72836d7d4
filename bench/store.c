/* SPDX-License-Identifier: Apache-2.0 */
/* store.c -- what objects cost, in a private cluster: each line is a name and a number. Limits (memcpy, the disk) are measured in the same
 * run, as machines are shared.
 *
 *     bench_store          memcpy, put_first, put_again (MB/s, of 100 MiB), put_small, get_again (/s)
 *     bench_store spill    disk_write, disk_read, spill, restore, disk_write, disk_read (MB/s): puts into a store of 256 MiB that is full,
 *                          gets of what is on the disk, both in order; the disk is $TMPDIR's
 *     bench_store many     many_refs: a value that carries 10,000 references is read, and each of them; many_args: a task with 10,000
 *                          arguments of 128 KiB, to its answer (s)
 */
#include <mobula.h>

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)
#define BIG (100 * MIB)
#define ROUNDS 15
#define SMALL_COUNT 2000000
#define GET_COUNT 2000000
#define SPILL_STORE (256 * MIB)
#define SPILL_BLOCK (8 * MIB)
#define SPILL_BLOCKS 128
#define SPILL_FULL (SPILL_STORE / SPILL_BLOCK)
#define DISK_BLOCK (32 * MIB)
#define DISK_BYTES ((SPILL_BLOCKS - SPILL_FULL) * SPILL_BLOCK)
#define MANY 10000
#define MANY_SIZE (128 * 1024)

static struct mob_error err;

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void must(int good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "bench_store: %s: %s\n", what, err.text);
    exit(1);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static double median(double *v, int n)
{
    qsort(v, (size_t)n, sizeof *v, compare);
    return v[n / 2];
}

/* Memcpy and put in turns, so that both see the same neighbours on the machine. */
static void put_big(void)
{
    char *from = malloc(BIG), *to = malloc(BIG);
    double copies[ROUNDS], puts[ROUNDS], first = 0;

    memset(from, 1, BIG);
    memset(to, 2, BIG);
    for (int i = -2; i < ROUNDS; i++) {
        struct mob_ref *ref;
        double start = now_s();

        memcpy(to, from, BIG);
        double copied = now_s();
        must((ref = mob_put(from, BIG, &err)) != NULL, "put");
        double put = now_s();
        mob_ref_drop(ref);
        if (i == -2)
            first = (double)BIG / 1e6 / (put - copied);
        if (i < 0)
            continue;
        copies[i] = (double)BIG / 1e6 / (copied - start);
        puts[i] = (double)BIG / 1e6 / (put - copied);
    }
    printf("memcpy %.0f\nput_first %.0f\nput_again %.0f\n", median(copies, ROUNDS), first, median(puts, ROUNDS));
    free(from);
    free(to);
}

static void put_small(void)
{
    double start = now_s();

    for (uint64_t i = 0; i < SMALL_COUNT; i++) {
        struct mob_ref *ref = mob_put(&i, sizeof i, &err);

        must(ref != NULL, "put");
        mob_ref_drop(ref);
    }
    printf("put_small %.0f\n", SMALL_COUNT / (now_s() - start));
}

static void get_again(void)
{
    struct mob_buffer *b = mob_create(MIB, &err);
    struct mob_ref *ref;
    struct mob_view view;

    must(b != NULL, "create");
    memset(mob_buffer_data(b), 3, MIB);
    must((ref = mob_seal(b, &err)) != NULL, "seal");
    double start = now_s();
    for (int i = 0; i < GET_COUNT; i++) {
        must(mob_get(ref, -1, &view, &err) == 0, "get");
        mob_view_release(&view);
    }
    printf("get_again %.0f\n", GET_COUNT / (now_s() - start));
    mob_ref_drop(ref);
}

/* The disk's own rate, at its best: in order, of space that was asked for before, directly, from and to huge pages (small ones are so many
 * pieces for a disk that it may reach half of its rate). */
static void disk(void)
{
    const char *folder = getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp";
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    char *block = aligned_alloc(DISK_BLOCK, DISK_BLOCK);
    double start;

    if (fd < 0 || block == NULL || fallocate(fd, 0, 0, DISK_BYTES) < 0) {
        fprintf(stderr, "bench_store: no file in %s\n", folder);
        exit(1);
    }
    madvise(block, DISK_BLOCK, MADV_HUGEPAGE);
    memset(block, 5, DISK_BLOCK);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_DIRECT);
    start = now_s();
    for (size_t at = 0; at < DISK_BYTES; at += DISK_BLOCK)
        must(pwrite(fd, block, DISK_BLOCK, (off_t)at) == (ssize_t)DISK_BLOCK, "write");
    printf("disk_write %.0f\n", (double)DISK_BYTES / 1e6 / (now_s() - start));
    start = now_s();
    for (size_t at = 0; at < DISK_BYTES; at += DISK_BLOCK)
        must(pread(fd, block, DISK_BLOCK, (off_t)at) == (ssize_t)DISK_BLOCK, "read");
    printf("disk_read %.0f\n", (double)DISK_BYTES / 1e6 / (now_s() - start));
    close(fd);
    free(block);
}

/* First the store is filled; from then on as much has to be written as is put, whatever was written before: at the end just as much more
 * has been. Then those that are on the disk alone are read. */
static void spill(void)
{
    static struct mob_ref *refs[SPILL_BLOCKS];
    char *block = malloc(SPILL_BLOCK);
    double start = 0;

    memset(block, 5, SPILL_BLOCK);
    for (size_t i = 0; i < SPILL_BLOCKS; i++) {
        if (i == SPILL_FULL)
            start = now_s();
        must((refs[i] = mob_put(block, SPILL_BLOCK, &err)) != NULL, "put");
    }
    printf("spill %.0f\n", (double)DISK_BYTES / 1e6 / (now_s() - start));
    start = now_s();
    for (size_t i = 0; i < SPILL_BLOCKS - SPILL_FULL; i++) {
        struct mob_view view;

        must(mob_get(refs[i], -1, &view, &err) == 0, "get");
        mob_view_release(&view);
    }
    printf("restore %.0f\n", (double)DISK_BYTES / 1e6 / (now_s() - start));
    free(block);
}

static int add_up(struct mob_task *t, struct mob_error *e)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < mob_arg_count(t); i++) {
        struct mob_view view;

        if (mob_arg(t, i, &view, e) < 0)
            return -1;
        sum += *(const unsigned char *)view.data;
    }
    return mob_return(t, 0, MOB_BYTES(&sum, sizeof sum), e);
}
MOB_TASK(add_up)

static void many_refs(void)
{
    static struct mob_ref *refs[MANY], *read[MANY];
    static struct mob_view views[MANY];
    struct mob_ref *all;
    struct mob_view view;
    double start;

    for (uint64_t i = 0; i < MANY; i++)
        must((refs[i] = mob_put(&i, sizeof i, &err)) != NULL, "put");
    must((all = mob_put_refs("all", 3, refs, MANY, &err)) != NULL, "put of references");
    start = now_s();
    must(mob_get(all, -1, &view, &err) == 0, "get");
    for (size_t i = 0; i < MANY; i++)
        must((read[i] = mob_view_ref(&view, i, &err)) != NULL, "reference");
    must(mob_get_many(read, MANY, -1, views, &err) == 0, "get of all");
    printf("many_refs %.4f\n", now_s() - start);
    for (size_t i = 0; i < MANY; i++) {
        mob_view_release(&views[i]);
        mob_ref_drop(read[i]);
        mob_ref_drop(refs[i]);
    }
    mob_view_release(&view);
    mob_ref_drop(all);
}

static void many_args(void)
{
    static struct mob_value args[MANY];
    static struct mob_ref *refs[MANY];
    static char block[MANY_SIZE];
    struct mob_fn *fn = mob_fn("add_up", NULL, &err);
    struct mob_ref *result;
    uint64_t sum;
    double start;

    memset(block, 1, sizeof block);
    must(fn != NULL, "function");
    for (size_t i = 0; i < MANY; i++) {
        must((refs[i] = mob_put(block, sizeof block, &err)) != NULL, "put");
        args[i] = MOB_REF(refs[i]);
    }
    must(mob_call(fn, NULL, 0, &result, &err) == 0 && mob_get_copy(result, -1, &sum, sizeof sum, &err) == 0, "call");  /* a warm worker */
    mob_ref_drop(result);
    start = now_s();
    must(mob_call(fn, args, MANY, &result, &err) == 0 && mob_get_copy(result, -1, &sum, sizeof sum, &err) == 0, "call of many");
    printf("many_args %.4f\n", now_s() - start);
    must(sum == MANY, "sum");
    mob_ref_drop(result);
    for (size_t i = 0; i < MANY; i++)
        mob_ref_drop(refs[i]);
    mob_fn_destroy(fn);
}

int main(int argc, char **argv)
{
    int spilling = argc > 1 && strcmp(argv[1], "spill") == 0, many = argc > 1 && strcmp(argv[1], "many") == 0;
    struct mob_init_options options = { .size = sizeof options, .resources = "CPU=1",
                                        .object_store_bytes = spilling ? (int64_t)SPILL_STORE : INT64_C(1) << (many ? 31 : 30) };

    must(mob_init(argc, argv, &options, &err) == 0, "init");
    if (spilling) {
        disk();
        spill();
        disk();
    } else if (many) {
        many_refs();
        many_args();
    } else {
        put_big();
        put_small();
        get_again();
    }
    mob_shutdown();
    return 0;
}
