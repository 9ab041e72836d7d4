/* SPDX-License-Identifier: Apache-2.0 */
/* test_logs.c -- log files of workers: written off the loop, in order, bounded each and in sum; the longest dead go first. */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "raylet/logs.h"
#include "unit.h"

static struct mob_loop *loop;
static struct mob_logs *logs;
static char *folder;

static void begin(uint64_t bytes_max, size_t count_max)
{
    loop = mob_loop_create();
    folder = unit_folder();
    logs = mob_logs_create(loop, folder, bytes_max, count_max);
}

static void end(void)
{
    mob_logs_destroy(logs);
    mob_loop_destroy(loop);
    unit_folder_remove(folder);
}

static void settle(void)
{
    while (mob_logs_busy(logs))
        uv_run(mob_loop_uv(loop), UV_RUN_ONCE);
}

/* -1: no such file. */
static long size_of(const char *name)
{
    char *path = mob_printf("%s/%s", folder, name);
    struct stat about;
    long size = stat(path, &about) < 0 ? -1 : (long)about.st_size;

    free(path);
    return size;
}

static struct mob_log *filled(const char *name, size_t size)
{
    struct mob_log *g = mob_logs_open(logs, name, ".out");
    char *bytes = mob_alloc(size);

    memset(bytes, 'z', size);
    mob_log_write(g, bytes, size);
    free(bytes);
    return g;
}

START_TEST(test_in_order_and_off_the_loop)
{
    char line[16], wanted[16], *path;
    FILE *f;

    begin(MOB_LOGS_BYTES_MAX, MOB_LOGS_COUNT_MAX);
    struct mob_log *g = mob_logs_open(logs, "worker-1-1", ".out"), *silent = mob_logs_open(logs, "worker-2-2", ".out");
    for (int i = 0; i < 1000; i++) {
        int n = snprintf(line, sizeof line, "line %d\n", i);
        mob_log_write(g, line, (size_t)n);
    }
    mob_log_close(g);
    mob_log_close(silent);
    settle();
    path = mob_printf("%s/worker-1-1.out", folder);
    ck_assert_ptr_nonnull(f = fopen(path, "re"));
    for (int i = 0; i < 1000; i++) {
        snprintf(wanted, sizeof wanted, "line %d\n", i);
        ck_assert_ptr_nonnull(fgets(line, sizeof line, f));
        ck_assert_str_eq(line, wanted);
    }
    fclose(f);
    free(path);
    ck_assert_int_eq(size_of("worker-2-2.out"), -1);
    end();
}
END_TEST

/* A disk that does not take anything: a FIFO that nobody reads. */
START_TEST(test_a_disk_that_stalls_costs_lines_only)
{
    char *path, bytes[16 << 10] = "", all[1 << 16];

    begin(MOB_LOGS_BYTES_MAX, MOB_LOGS_COUNT_MAX);
    path = mob_printf("%s/worker-1-1.out", folder);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    int reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    struct mob_log *g = mob_logs_open(logs, "worker-1-1", ".out");
    for (int i = 0; i < 1000; i++)      /* returns, though the FIFO holds 64 KiB */
        mob_log_write(g, bytes, sizeof bytes);
    ck_assert(mob_logs_busy(logs));
    mob_log_close(g);
    size_t got = 0;
    while (mob_logs_busy(logs)) {
        ssize_t n = read(reader, all, sizeof all);

        got += n > 0 ? (size_t)n : 0;
        uv_run(mob_loop_uv(loop), UV_RUN_NOWAIT);
    }
    for (ssize_t n; (n = read(reader, all, sizeof all)) > 0;)
        got += (size_t)n;
    ck_assert_uint_gt(got, 64 << 10);
    ck_assert_uint_le(got, 1 << 20);
    close(reader);
    free(path);
    end();
}
END_TEST

START_TEST(test_the_longest_dead_goes_first)
{
    begin(1000, 100);
    struct mob_log *a = filled("a", 400), *b = filled("b", 400);
    mob_log_close(b);
    mob_log_close(a);
    struct mob_log *c = filled("c", 400);
    settle();
    ck_assert_int_eq(size_of("b.out"), -1);
    ck_assert_int_eq(size_of("a.out"), 400);
    ck_assert_int_eq(size_of("c.out"), 400);
    struct mob_log *d = filled("d", 500), *e = filled("e", 500);        /* a makes room for d; e's bytes find none: c and d live */
    settle();
    ck_assert_int_eq(size_of("a.out"), -1);
    ck_assert_int_eq(size_of("d.out"), 500);
    ck_assert_int_eq(size_of("e.out"), -1);
    mob_log_close(c);
    mob_log_close(d);
    mob_log_close(e);
    end();
}
END_TEST

START_TEST(test_count_is_bounded)
{
    char name[16];

    begin(MOB_LOGS_BYTES_MAX, 3);
    for (int i = 0; i < 10; i++) {
        snprintf(name, sizeof name, "w%d", i);
        mob_log_close(filled(name, 10));
    }
    settle();
    ck_assert_int_eq(size_of("w6.out"), -1);
    ck_assert_int_eq(size_of("w7.out"), 10);
    ck_assert_int_eq(size_of("w9.out"), 10);
    end();
}
END_TEST

/* What an earlier raylet of the session left counts, and goes first. */
START_TEST(test_old_files_count)
{
    begin(1000, 100);
    mob_log_close(filled("worker-1-1", 600));
    mob_log_close(filled("head", 100));
    settle();
    mob_logs_destroy(logs);
    logs = mob_logs_create(loop, folder, 1000, 100);
    mob_log_close(filled("worker-2-2", 600));
    settle();
    ck_assert_int_eq(size_of("worker-1-1.out"), -1);
    ck_assert_int_eq(size_of("worker-2-2.out"), 600);
    ck_assert_int_eq(size_of("head.out"), 100);
    end();
}
END_TEST

START_TEST(test_the_end_writes_what_waits)
{
    begin(MOB_LOGS_BYTES_MAX, 100);
    for (int i = 0; i < 50; i++)
        mob_log_close(filled("worker-1-1", 10000));
    mob_logs_finish(logs);              /* without a turn of the loop */
    ck_assert_int_eq(size_of("worker-1-1.out"), 500000);
    end();
}
END_TEST

UNIT_MAIN("logs", test_in_order_and_off_the_loop, test_a_disk_that_stalls_costs_lines_only, test_the_longest_dead_goes_first,
          test_count_is_bounded, test_old_files_count, test_the_end_writes_what_waits)
