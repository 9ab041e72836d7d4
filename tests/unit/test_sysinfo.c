/* SPDX-License-Identifier: Apache-2.0 */
/* test_sysinfo.c -- machines made of files: cgroups of both kinds, containers, GPUs. */
#include "unit.h"

#include <sched.h>

#include "common/sysinfo.h"

START_TEST(test_words_of_the_kernel)
{
    static const char v1[] = "4:memory:/a/b\n2:cpu,cpuacct:/c\n1:name=systemd:/\n", both[] = "4:memory:/x\n0::/unified\n";
    char path[64];

    ck_assert(mob_sysinfo_cgroup_path(v1, "memory", path, sizeof(path)));
    ck_assert_str_eq(path, "/a/b");
    ck_assert(mob_sysinfo_cgroup_path(v1, "cpuacct", path, sizeof(path)));
    ck_assert_str_eq(path, "/c");
    ck_assert(mob_sysinfo_cgroup_path(v1, "cpu", path, sizeof(path)));
    ck_assert(!mob_sysinfo_cgroup_path(v1, "mem", path, sizeof(path)));
    ck_assert(!mob_sysinfo_cgroup_path(v1, "", path, sizeof(path)));
    ck_assert(mob_sysinfo_cgroup_path(both, "", path, sizeof(path)));
    ck_assert_str_eq(path, "/unified");

    ck_assert_int_eq(mob_sysinfo_cpu_max("150000 100000\n"), 1500);
    ck_assert_int_eq(mob_sysinfo_cpu_max("max 100000\n"), INT64_MAX);
    ck_assert_int_eq(mob_sysinfo_cpu_max(""), INT64_MAX);
    ck_assert_int_eq(mob_sysinfo_cpu_quota("-1\n", "100000\n"), INT64_MAX);
    ck_assert_uint_eq(mob_sysinfo_memory_limit("max\n"), UINT64_MAX);
    ck_assert_uint_eq(mob_sysinfo_memory_limit("9223372036854771712\n"), UINT64_MAX);
    ck_assert_uint_eq(mob_sysinfo_memory_limit("4096\n"), 4096);
    ck_assert_uint_eq(mob_sysinfo_meminfo("MemTotal:   16 kB\nMemFree: 3 kB\n"), 16384);
}
END_TEST

START_TEST(test_visible_gpus)
{
    const uint32_t four[] = { 0, 1, 2, 3 };
    uint32_t out[MOB_GPUS_MAX];

    ck_assert_uint_eq(mob_sysinfo_visible("2, 3", four, 4, out), 2);
    ck_assert_uint_eq(out[0], 2);
    ck_assert_uint_eq(mob_sysinfo_visible("", four, 4, out), 0);
    ck_assert_uint_eq(mob_sysinfo_visible("-1", four, 4, out), 0);
    ck_assert_uint_eq(mob_sysinfo_visible("0,7,1", four, 4, out), 1);
    ck_assert_uint_eq(mob_sysinfo_visible("GPU-1234", four, 4, out), 0);
}
END_TEST

START_TEST(test_limits_of_the_groups_above_hold_too)
{
    char *root = unit_folder();
    struct mob_sysinfo info;

    unsetenv("CUDA_VISIBLE_DEVICES");
    unit_write(root, "proc/meminfo", "MemTotal: 1000000 kB\n");
    unit_write(root, "proc/self/cgroup", "0::/a/b\n");
    unit_write(root, "sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    unit_write(root, "sys/fs/cgroup/a/cpu.max", "150000 100000\n");
    unit_write(root, "sys/fs/cgroup/a/memory.max", "65536\n");
    unit_write(root, "dev/nvidia1", "");
    unit_write(root, "dev/nvidia0", "");
    unit_write(root, "dev/nvidiactl", "");
    mob_sysinfo_read(root, &info);
    ck_assert_uint_eq(info.cpus, 1);
    ck_assert_uint_eq(info.memory, 65536);
    ck_assert_uint_eq(info.gpu_count, 2);
    ck_assert_uint_eq(info.gpus[1], 1);
    ck_assert_str_ne(info.host, "");

    setenv("CUDA_VISIBLE_DEVICES", "1", 1);
    mob_sysinfo_read(root, &info);
    ck_assert_uint_eq(info.gpu_count, 1);
    ck_assert_uint_eq(info.gpus[0], 1);
    unit_folder_remove(root);
}
END_TEST

START_TEST(test_a_container_that_sees_the_path_of_its_host)
{
    char *root = unit_folder();
    struct mob_sysinfo info;

    unit_write(root, "proc/meminfo", "MemTotal: 1000000 kB\n");
    unit_write(root, "proc/self/cgroup", "4:memory:/docker/0123\n2:cpu,cpuacct:/docker/0123\n");
    unit_write(root, "sys/fs/cgroup/memory/memory.limit_in_bytes", "131072\n");
    unit_write(root, "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "20000\n");
    unit_write(root, "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    mob_sysinfo_read(root, &info);
    ck_assert_uint_eq(info.cpus, 1);            /* a fifth of one, but never none */
    ck_assert_uint_eq(info.memory, 131072);
    unit_folder_remove(root);
}
END_TEST

/* Huge pages that are free, less those that are promised, and no more than the groups may have: none, if they say 0. */
START_TEST(test_huge_pages)
{
    static const char *const limits[] = { "max\n", "8388608\n", "0\n" };
    static const uint64_t wanted[] = { 20 * MOB_HUGE_PAGE, 4 * MOB_HUGE_PAGE, 0 };
    char *root = unit_folder();
    struct mob_sysinfo info;

    mob_sysinfo_read(root, &info);
    ck_assert_uint_eq(info.huge, 0);
    unit_write(root, "proc/self/cgroup", "0::/a/b\n");
    unit_write(root, "sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "50\n");
    unit_write(root, "sys/kernel/mm/hugepages/hugepages-2048kB/resv_hugepages", "30\n");
    for (int i = 0; i < 3; i++) {
        unit_write(root, "sys/fs/cgroup/a/hugetlb.2MB.max", limits[i]);
        mob_sysinfo_read(root, &info);
        ck_assert_uint_eq(info.huge, wanted[i]);
    }
    unit_write(root, "proc/self/cgroup", "7:hugetlb:/c\n");
    unit_write(root, "sys/fs/cgroup/hugetlb/c/hugetlb.2MB.limit_in_bytes", "2097152\n");
    mob_sysinfo_read(root, &info);
    ck_assert_uint_eq(info.huge, MOB_HUGE_PAGE);
    unit_folder_remove(root);
}
END_TEST

/* `taskset` and a cpuset leave fewer CPUs than the machine has. */
START_TEST(test_only_the_cpus_that_we_may_use_count)
{
    char *root = unit_folder();
    struct mob_sysinfo info;
    cpu_set_t may, one;
    int cpu = 0;

    unit_write(root, "proc/meminfo", "MemTotal: 1000000 kB\n");
    ck_assert_int_eq(sched_getaffinity(0, sizeof may, &may), 0);
    mob_sysinfo_read(root, &info);
    ck_assert_uint_eq(info.cpus, (unsigned)CPU_COUNT(&may));
    while (!CPU_ISSET(cpu, &may))
        cpu++;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    ck_assert_int_eq(sched_setaffinity(0, sizeof one, &one), 0);
    mob_sysinfo_read(root, &info);
    ck_assert_int_eq(sched_setaffinity(0, sizeof may, &may), 0);
    ck_assert_uint_eq(info.cpus, 1);
    unit_folder_remove(root);
}
END_TEST

UNIT_MAIN("sysinfo", test_words_of_the_kernel, test_visible_gpus, test_limits_of_the_groups_above_hold_too,
          test_a_container_that_sees_the_path_of_its_host, test_huge_pages,
          test_only_the_cpus_that_we_may_use_count)
