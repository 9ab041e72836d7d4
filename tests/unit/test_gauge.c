/* SPDX-License-Identifier: Apache-2.0 */
/* test_gauge.c -- how much memory is left, on machines made of files; and what processes have for themselves, of real ones. */
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "raylet/gauge.h"
#include "raylet/weight.h"
#include "unit.h"

#define MIB UINT64_C(1048576)
#define GIB (MIB << 10)
#define S INT64_C(1000000000)

static char *root;
static struct mob_gauge gauge;
static struct mob_memory memory;

static void machine(const char *available_kb)
{
    char *text = mob_printf("MemTotal: 16777216 kB\nMemFree: 1 kB\nMemAvailable: %s kB\nHugePages_Free: 0\nHugetlb: 1048576 kB\n",
                            available_kb);

    unit_write(root, "proc/meminfo", text);
    free(text);
}

static void begin(const char *cgroups)
{
    root = unit_folder();
    gauge = (struct mob_gauge){ .root = root, .reserve = MOB_MEMORY_RESERVE };
    unit_write(root, "proc/self/cgroup", cgroups);
    machine("8388608");
}

/* Reserved huge pages are no part of it. Without a file, or the figure that counts, there is no answer. */
START_TEST(test_machine)
{
    begin("0::/a/b\n");
    ck_assert(mob_gauge_read(&gauge, S, &memory));
    ck_assert_uint_eq(memory.limit, 15 * GIB);
    ck_assert_uint_eq(memory.used, 7 * GIB);
    ck_assert_str_eq(memory.of, "the machine's");
    unit_write(root, "proc/meminfo", "MemTotal: 16777216 kB\nMemFree: 1 kB\n");
    ck_assert(!mob_gauge_read(&gauge, S, &memory));
    unit_folder_remove(root);
    gauge.root = "/nowhere";
    ck_assert(!mob_gauge_read(&gauge, S, &memory));
}
END_TEST

/* Of all levels the one that has least above its reserve; files do not count, as the kernel drops them; groups without a limit neither. */
START_TEST(test_cgroups)
{
    static const struct { const char *cgroups, *folder, *limit, *usage, *stat; } versions[] = {
        { "0::/a/b\n", "sys/fs/cgroup/a", "memory.max", "memory.current", "anon 1\ninactive_file 104857600\nactive_file 104857600\n" },
        { "0::/a/b\n", "sys/fs/cgroup/unified/a", "memory.max", "memory.current", "inactive_file 209715200\n" },
        { "4:memory:/a/b\n", "sys/fs/cgroup/memory/a", "memory.limit_in_bytes", "memory.usage_in_bytes",
          "cache 9\ninactive_file 7\ntotal_inactive_file 209715200\n" },
    };
    char *name[3];

    begin(versions[_i].cgroups);
    name[0] = mob_printf("%s/%s", versions[_i].folder, versions[_i].limit);
    name[1] = mob_printf("%s/%s", versions[_i].folder, versions[_i].usage);
    name[2] = mob_printf("%s/memory.stat", versions[_i].folder);
    unit_write(root, name[0], "2147483648\n");
    unit_write(root, name[1], "2147483648\n");
    unit_write(root, name[2], versions[_i].stat);
    ck_assert(mob_gauge_read(&gauge, S, &memory));
    ck_assert_uint_eq(memory.limit, 2 * GIB);
    ck_assert_uint_eq(memory.used, 2 * GIB - 200 * MIB);
    ck_assert_ptr_nonnull(strstr(memory.of, "the cgroup /sys/fs/cgroup"));
    ck_assert_ptr_nonnull(strstr(memory.of, "/a's"));
    machine("1048576");                                 /* 256 MiB above its reserve; the cgroup has 97 */
    ck_assert(mob_gauge_read(&gauge, S, &memory));
    ck_assert_uint_eq(memory.limit, 2 * GIB);
    machine("819200");                                  /* 32 */
    ck_assert(mob_gauge_read(&gauge, S, &memory));
    ck_assert_uint_eq(memory.limit, 15 * GIB);
    unit_write(root, name[0], _i < 2 ? "max\n" : "9223372036854771712\n");
    machine("8388608");
    ck_assert(mob_gauge_read(&gauge, S, &memory));
    ck_assert_uint_eq(memory.limit, 15 * GIB);
    for (int i = 0; i < 3; i++)
        free(name[i]);
    unit_folder_remove(root);
}
END_TEST

START_TEST(test_stalled)
{
    begin("0::/a\n");
    unit_write(root, "proc/pressure/memory", "some avg10=0.00 avg60=0.00 avg300=0.00 total=900000\nfull avg10=0.00 total=500000\n");
    ck_assert(mob_gauge_read(&gauge, 10 * S, &memory));
    ck_assert_uint_eq(memory.stalled, 0);               /* since when? */
    unit_write(root, "proc/pressure/memory", "some avg10=0.00 avg60=0.00 avg300=0.00 total=2900000\nfull avg10=0.00 total=1100000\n");
    ck_assert(mob_gauge_read(&gauge, 12 * S, &memory));
    ck_assert_uint_eq(memory.stalled, 300);
    ck_assert(mob_gauge_read(&gauge, 13 * S, &memory));
    ck_assert_uint_eq(memory.stalled, 0);
    unit_write(root, "sys/fs/cgroup/a/memory.max", "1073741824\n");
    unit_write(root, "sys/fs/cgroup/a/memory.current", "1073741824\n");
    unit_write(root, "sys/fs/cgroup/a/memory.pressure", "some total=1\nfull avg10=0.00 total=9000000\n");
    ck_assert(mob_gauge_read(&gauge, 14 * S, &memory)); /* another file's total says nothing yet */
    ck_assert_uint_eq(memory.stalled, 0);
    unit_write(root, "sys/fs/cgroup/a/memory.pressure", "some total=1\nfull avg10=0.00 total=9500000\n");
    ck_assert(mob_gauge_read(&gauge, 15 * S, &memory));
    ck_assert_uint_eq(memory.stalled, 500);
    unit_folder_remove(root);
}
END_TEST

/* -- of processes ---------------------------------------------------------------------------------------------------------- */

static char *touched(uint64_t bytes, int how)
{
    char *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, how | MAP_ANONYMOUS, -1, 0);

    ck_assert_ptr_ne(at, MAP_FAILED);
    memset(at, 7, bytes);
    return at;
}

static void expect_about(uint64_t got, uint64_t expected)
{
    ck_assert_msg(got + 6 * MIB > expected && got < expected + 6 * MIB, "%.1f MiB, not %.1f", (double)got / MIB, (double)expected / MIB);
}

/* A child that waits for `end`, with so many bytes of its own, and a child of its own that has them, too. */
static pid_t child(uint64_t bytes, int depth, int ready, const int end[2])
{
    pid_t pid = fork();
    char byte = 0;

    ck_assert_int_ge(pid, 0);
    if (pid > 0)
        return pid;
    close(end[1]);
    touched(bytes, MAP_PRIVATE);
    if (depth > 0)
        child(bytes, depth - 1, ready, end);
    if (write(ready, &byte, 1) != 1 || read(end[0], &byte, 1) != 0)
        _exit(1);
    _exit(0);
}

#ifdef __SANITIZE_ADDRESS__
#define MANY 8                          /* to fork, and to look at its pages, takes 50 ms each then */
#else
#define MANY 1000
#endif

/* More than one read of /proc tells at once. */
START_TEST(test_weight_of_many)
{
    struct mob_relatives all = { 0 };
    struct mob_weight w = { 0 };
    int ready[2], end[2];
    char bytes[MANY];

    ck_assert_int_eq(pipe(ready) | pipe(end), 0);
    for (int i = 0; i < MANY; i++)
        child(128 << 10, 0, ready[1], end);
    for (ssize_t got = 0; got < MANY; got += read(ready[0], bytes, sizeof bytes))
        ;
    ck_assert_uint_gt(mob_weight_read(&w, &all, (uint32_t)getpid(), false, 2 * S), MANY * UINT64_C(128 << 10));
    close(end[1]);
    while (wait(NULL) > 0)
        ;
    free(all.list);
}
END_TEST

/* What is shared memory is nobody's own; children count, and theirs; pages that a fork shares count once. */
START_TEST(test_weight)
{
    struct mob_relatives all = { 0 };
    struct mob_weight w = { 0 };
    uint64_t before = mob_weight_read(&w, &all, (uint32_t)getpid(), false, S), own;
    int ready[2], end[2];
    char byte;

    touched(64 * MIB, MAP_SHARED);
    expect_about(mob_weight_read(&w, &all, (uint32_t)getpid(), false, S), before);
    touched(48 * MIB, MAP_PRIVATE);
    own = mob_weight_read(&w, &all, (uint32_t)getpid(), false, S);
    expect_about(own, before + 48 * MIB);
    ck_assert_int_eq(pipe(ready) | pipe(end), 0);
    pid_t pid = child(20 * MIB, 1, ready[1], end);
    for (ssize_t got = 0; got < 2; got += read(ready[0], &byte, 1))
        ;
    expect_about(mob_weight_read(&w, &all, (uint32_t)getpid(), false, 2 * S), own + 40 * MIB);    /* RssAnon says twice `own` and 60 MiB more */
    close(end[1]);
    waitpid(pid, NULL, 0);
    ck_assert_uint_eq(mob_weight_read(&w, &all, (uint32_t)pid, false, 3 * S), 0);
    free(all.list);
}
END_TEST

UNIT_CASE("gauge", tcase)
{
    UNIT_TESTS(tcase, test_machine, test_stalled, test_weight, test_weight_of_many);
    tcase_add_loop_test(tcase, test_cgroups, 0, 3);
}
