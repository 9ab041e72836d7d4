/* SPDX-License-Identifier: Apache-2.0 */
/* test_coroner.c -- evidence of an end, in folders that look like /proc and /sys. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/mem.h"
#include "raylet/coroner.h"
#include "tests/unit/unit.h"

#define SECOND INT64_C(1000000000)

/* The file that counts, and what else is there. */
static const struct { const char *groups, *counter, *other; } counters[] = {
    { "0::/a/b\n", "sys/fs/cgroup/a/b/memory.events", "proc/vmstat" },
    { "0::/not/shown\n", "sys/fs/cgroup/memory.events", "proc/vmstat" },
    { "0::/\n4:memory:/c\n", "sys/fs/cgroup/memory/c/memory.oom_control", "sys/fs/cgroup/memory/memory.oom_control" },
    { "0::/\n", "proc/vmstat", "sys/fs/cgroup/cpu.max" },
};

static void count_kills(size_t i)
{
    char *root = unit_folder();
    struct mob_coroner c;

    unit_write(root, "proc/self/cgroup", counters[i].groups);
    unit_write(root, counters[i].counter, "low 0\noom 9\noom_kill 3\noom_group_kill 0\n");
    unit_write(root, counters[i].other, "oom_kill 1\n");
    mob_coroner_init(&c, root);
    ck_assert(!mob_coroner_out_of_memory(&c));
    unit_write(root, counters[i].other, "oom_kill 10\n");
    ck_assert(!mob_coroner_out_of_memory(&c));
    unit_write(root, counters[i].counter, "low 0\noom 9\noom_kill 5\noom_group_kill 0\n");
    ck_assert(mob_coroner_out_of_memory(&c));
    ck_assert(mob_coroner_out_of_memory(&c));           /* two died at once */
    ck_assert(!mob_coroner_out_of_memory(&c));
    unit_write(root, counters[i].counter, "oom_kill 7\n");
    mob_coroner_look(&c, SECOND);
    ck_assert(mob_coroner_out_of_memory(&c));           /* killed just before the look */
    mob_coroner_look(&c, SECOND + SECOND / 2);          /* too early: nothing is forgotten */
    ck_assert(mob_coroner_out_of_memory(&c));
    unit_write(root, counters[i].counter, "oom_kill 8\n");
    mob_coroner_look(&c, 2 * SECOND);
    mob_coroner_look(&c, 3 * SECOND);
    ck_assert(!mob_coroner_out_of_memory(&c));          /* too long ago */
    mob_coroner_fini(&c);
    unit_folder_remove(root);
}

START_TEST(test_kills_are_counted)
{
    for (size_t i = 0; i < MOB_COUNT(counters); i++)
        count_kills(i);
}
END_TEST

START_TEST(test_nobody_counts)
{
    char *root = unit_folder();
    struct mob_coroner c;

    unit_write(root, "sys/fs/cgroup/memory.events", "oom 1\nno_oom_kill 3\n");
    mob_coroner_init(&c, root);
    mob_coroner_look(&c, SECOND);
    ck_assert(!mob_coroner_out_of_memory(&c));
    mob_coroner_fini(&c);
    unit_folder_remove(root);
}
END_TEST

static void look_for(const char *root, const char *pattern, const char *uses_pid, const char *expected)
{
    char core[512];

    unit_write(root, "proc/sys/kernel/core_pattern", pattern);
    unit_write(root, "proc/sys/kernel/core_uses_pid", uses_pid);
    mob_coroner_core(root, 77, SIGSEGV, core, sizeof core);
    ck_assert_str_eq(core, expected);
}

START_TEST(test_where_the_core_is)
{
    char *root = unit_folder(), *pattern = mob_printf("%s/dumps/%%e-%%p.%%t\n", root), *place = mob_printf("%s/dumps/task-77.1234", root);
    char *other = mob_printf("%s/dumps/%%h.%%s.%%u\n", root), host[65] = "";

    gethostname(host, sizeof host - 1);
    unit_write(root, "dumps/task-77.1234", "");
    unit_write(root, "dumps/task-78.1235", "");
    look_for(root, pattern, "1\n", place);
    char *missing = mob_printf("%s/dumps/%s.11.%u", root, host, (unsigned)getuid());
    look_for(root, other, "0\n", missing);
    look_for(root, "core\n", "0\n", "core");
    look_for(root, "core\n", "1\n", "core.77");
    look_for(root, "core.%p\n", "1\n", "core.77");
    look_for(root, "%%p%", "1\n", "%p.77");
    look_for(root, "|/usr/lib/systemd/systemd-coredump %P %u\n", "0\n", "|/usr/lib/systemd/systemd-coredump");
    free(pattern);
    free(place);
    free(other);
    free(missing);
    unit_folder_remove(root);
}
END_TEST

START_TEST(test_the_newest_core)
{
    char *root = unit_folder(), *pattern = mob_printf("%s/core.*", root), *older = mob_printf("%s/core.1", root);
    char *newer = mob_printf("%s/core.2", root);
    struct timespec times[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };
    char *said = mob_printf("%s/core.%%t", root);

    unit_write(root, "core.1", "");
    unit_write(root, "core.2", "");
    ck_assert_int_eq(utimensat(AT_FDCWD, older, times, 0), 0);
    look_for(root, said, "0", newer);
    times[1].tv_sec = 999;
    ck_assert_int_eq(utimensat(AT_FDCWD, newer, times, 0), 0);
    look_for(root, said, "0", older);
    free(pattern);
    free(older);
    free(newer);
    free(said);
    unit_folder_remove(root);
}
END_TEST

UNIT_MAIN("coroner", test_kills_are_counted, test_nobody_counts, test_where_the_core_is, test_the_newest_core)
