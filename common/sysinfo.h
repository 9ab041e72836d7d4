/* SPDX-License-Identifier: Apache-2.0 */
/* sysinfo.h -- what this machine (or container) has to lend: CPUs, memory, GPUs, its name. */
#ifndef MOB_COMMON_SYSINFO_H
#define MOB_COMMON_SYSINFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define MOB_GPUS_MAX 64                 /* of one node */
#define MOB_HUGE_PAGE (UINT64_C(2) << 20)

struct mob_sysinfo {
    unsigned cpus;                      /* affinity mask, and whole CPUs of the cgroup's quota; at least 1 */
    uint64_t memory;                    /* bytes: the least of MemTotal and the cgroup's limits */
    uint64_t huge;                      /* bytes: reserved pages of MOB_HUGE_PAGE that are free and that the cgroup allows */
    uint32_t gpus[MOB_GPUS_MAX];        /* device indices */
    size_t gpu_count;
    char host[64];
};

/* Look. `root` is put before /proc, /sys and /dev: "" but in tests. What cannot be read is left out. */
void mob_sysinfo_read(const char *root, struct mob_sysinfo *ret);

/* A file of the kernel's as text, up to size - 1 bytes and a NUL. Returns how many; -1: not there, or it cannot be read; the text is "". */
ssize_t mob_sysinfo_text(const char *path, char *ret_text, size_t size);

/* -- the parts that read text ------------------------------------------------------------------------------------------- */

/* Path of a controller in the text of /proc/self/cgroup; controller "": the unified hierarchy (v2). False: not listed. */
bool mob_sysinfo_cgroup_path(const char *text, const char *controller, char *ret_path, size_t size);
/* cpu.max, "200000 100000" or "max 100000", in thousandths of a CPU; INT64_MAX: no limit. */
int64_t mob_sysinfo_cpu_max(const char *text);
/* cfs_quota_us and cfs_period_us of v1, in the same unit. */
int64_t mob_sysinfo_cpu_quota(const char *quota, const char *period);
/* memory.max or memory.limit_in_bytes; UINT64_MAX: no limit. */
uint64_t mob_sysinfo_memory_limit(const char *text);
/* MemTotal of /proc/meminfo in bytes; 0: not there. */
uint64_t mob_sysinfo_meminfo(const char *text);
/* The devices that CUDA_VISIBLE_DEVICES leaves of `gpus`: by CUDA's rule the list ends at the first word that is no device (so "-1"
 * and "" leave none). UUIDs are no indices, and end it too. */
size_t mob_sysinfo_visible(const char *visible, const uint32_t *gpus, size_t count, uint32_t ret[MOB_GPUS_MAX]);

#endif
