/* SPDX-License-Identifier: Apache-2.0 */
/* sysinfo.c -- what this machine has to lend.
 *
 * cgroup limits hold for the group and all above it, so every level from the process's group up to the mount is asked, of v2 and
 * v1 alike. In a container the path in /proc/self/cgroup may be that of the host and not exist here: those levels are skipped, and
 * the mount's own level is the container's.
 */
#include "common/sysinfo.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>


#define TEXT_SIZE 16384
#define PATH_SIZE 1024

ssize_t mob_sysinfo_text(const char *path, char *ret_text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t used = 0;
    ssize_t got = -1;

    while (fd >= 0 && used < size - 1 && (got = read(fd, ret_text + used, size - 1 - used)) > 0)
        used += (size_t)got;            /* a page at most comes at once */
    if (fd >= 0)
        close(fd);
    ret_text[got < 0 ? 0 : used] = '\0';
    return got < 0 ? -1 : (ssize_t)used;
}

static bool read_text(const char *root, const char *path, char text[TEXT_SIZE])
{
    char full[PATH_SIZE];

    return (size_t)snprintf(full, sizeof(full), "%s%s", root, path) < sizeof(full) && mob_sysinfo_text(full, text, TEXT_SIZE) >= 0;
}

bool mob_sysinfo_cgroup_path(const char *text, const char *controller, char *ret_path, size_t size)
{
    for (const char *line = text; *line != '\0'; line += strcspn(line, "\n"), line += *line == '\n') {
        const char *names = strchr(line, ':'), *path, *at;
        size_t length = strlen(controller);

        if (names == NULL || (path = strchr(++names, ':')) == NULL)
            return false;
        for (at = names; at < path; at += strcspn(at, ",:") + 1)
            if (strncmp(at, controller, length) == 0 && (at[length] == ',' || at[length] == ':'))
                break;
        if (at < path || (length == 0 && names == path)) {
            path++;
            snprintf(ret_path, size, "%.*s", (int)strcspn(path, "\n"), path);
            return true;
        }
    }
    return false;
}

int64_t mob_sysinfo_cpu_quota(const char *quota, const char *period)
{
    long long used = atoll(quota), of = atoll(period);

    if (used <= 0 || of <= 0 || used > LLONG_MAX / 1000)
        return INT64_MAX;
    return used * 1000 / of;
}

int64_t mob_sysinfo_cpu_max(const char *text)
{
    const char *period = strchr(text, ' ');

    if (strncmp(text, "max", 3) == 0 || period == NULL)
        return INT64_MAX;
    return mob_sysinfo_cpu_quota(text, period + 1);
}

uint64_t mob_sysinfo_memory_limit(const char *text)
{
    unsigned long long limit;

    if (!isdigit((unsigned char)text[0]))
        return UINT64_MAX;
    limit = strtoull(text, NULL, 10);
    return limit == 0 || limit >= (UINT64_C(1) << 60) ? UINT64_MAX : limit;     /* v1 says "none" by nearly 2^63 */
}

uint64_t mob_sysinfo_meminfo(const char *text)
{
    const char *line = strstr(text, "MemTotal:");

    return line != NULL ? strtoull(line + strlen("MemTotal:"), NULL, 10) * 1024 : 0;
}

size_t mob_sysinfo_visible(const char *visible, const uint32_t *gpus, size_t count, uint32_t ret[MOB_GPUS_MAX])
{
    size_t found = 0;

    while (found < MOB_GPUS_MAX) {
        char *end;
        unsigned long index;
        size_t i = 0;

        visible += strspn(visible, " ");
        if (!isdigit((unsigned char)*visible))
            break;
        index = strtoul(visible, &end, 10);
        while (i < count && gpus[i] != index)
            i++;
        if (i == count)
            break;
        ret[found++] = gpus[i];
        end += strspn(end, " ");
        if (*end != ',')
            break;
        visible = end + 1;
    }
    return found;
}

/* -- reading the machine ------------------------------------------------------------------------------------------------ */

struct limits {
    int64_t cpu_thousandths;
    uint64_t memory, huge;
};

static uint64_t limit_of(const char *root, const char *folder, const char *name)
{
    char path[PATH_SIZE], text[TEXT_SIZE];

    snprintf(path, sizeof(path), "%.900s/%s", folder, name);
    return read_text(root, path, text) ? mob_sysinfo_memory_limit(text) : UINT64_MAX;
}

/* Here 0 is a limit: container managers give it to those that did not ask. Beyond it a page is not to be had, whoever reserved it. */
static uint64_t huge_limit_of(const char *root, const char *folder, const char *name)
{
    char path[PATH_SIZE], text[TEXT_SIZE];

    snprintf(path, sizeof(path), "%.900s/%s", folder, name);
    if (!read_text(root, path, text))
        return UINT64_MAX;
    return text[0] == '0' ? 0 : mob_sysinfo_memory_limit(text);
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void note_level(const char *root, const char *folder, struct limits *l)
{
    char path[PATH_SIZE], text[TEXT_SIZE], period[TEXT_SIZE];
    int64_t cpu = INT64_MAX;

    snprintf(path, sizeof(path), "%.900s/cpu.max", folder);
    if (read_text(root, path, text))
        cpu = mob_sysinfo_cpu_max(text);
    snprintf(path, sizeof(path), "%.900s/cpu.cfs_quota_us", folder);
    if (read_text(root, path, text)) {
        snprintf(path, sizeof(path), "%.900s/cpu.cfs_period_us", folder);
        if (read_text(root, path, period))
            cpu = mob_sysinfo_cpu_quota(text, period);
    }
    l->cpu_thousandths = cpu < l->cpu_thousandths ? cpu : l->cpu_thousandths;
    l->memory = least(l->memory, least(limit_of(root, folder, "memory.max"), limit_of(root, folder, "memory.limit_in_bytes")));
    l->huge = least(l->huge, huge_limit_of(root, folder, "hugetlb.2MB.max"));
    l->huge = least(l->huge, huge_limit_of(root, folder, "hugetlb.2MB.limit_in_bytes"));
}

/* Each level from mount/path up to the mount. */
static void note_hierarchy(const char *root, const char *cgroups, const char *controller, const char *mount, struct limits *l)
{
    char path[PATH_SIZE / 2], folder[PATH_SIZE];

    if (!mob_sysinfo_cgroup_path(cgroups, controller, path, sizeof(path)))
        return;
    for (;;) {
        char *slash;

        snprintf(folder, sizeof(folder), "%s%s", mount, strcmp(path, "/") == 0 ? "" : path);
        note_level(root, folder, l);
        if ((slash = strrchr(path, '/')) == NULL || strcmp(path, "/") == 0 || path[0] == '\0')
            return;
        *slash = '\0';
    }
}

static unsigned affinity_cpus(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof(set), &set) == 0)
        return (unsigned)CPU_COUNT(&set);
    return (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
}

static int by_index(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* /dev/nvidia0, /dev/nvidia1 ... but not /dev/nvidiactl. */
static size_t find_gpus(const char *root, uint32_t ret[MOB_GPUS_MAX])
{
    static const char prefix[] = "nvidia";
    char path[PATH_SIZE];
    size_t count = 0;
    struct dirent *entry;
    DIR *dev;

    snprintf(path, sizeof(path), "%.900s/dev", root);
    if ((dev = opendir(path)) == NULL)
        return 0;
    while ((entry = readdir(dev)) != NULL && count < MOB_GPUS_MAX) {
        const char *digits = entry->d_name + strlen(prefix);

        if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0 && *digits != '\0' && strlen(digits) <= 4
            && strspn(digits, "0123456789") == strlen(digits))
            ret[count++] = (uint32_t)strtoul(digits, NULL, 10);
    }
    closedir(dev);
    qsort(ret, count, sizeof(ret[0]), by_index);
    return count;
}

static void read_gpus(const char *root, struct mob_sysinfo *ret)
{
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    uint32_t all[MOB_GPUS_MAX];
    size_t count = find_gpus(root, all);

    if (visible != NULL) {
        ret->gpu_count = mob_sysinfo_visible(visible, all, count, ret->gpus);
        return;
    }
    memcpy(ret->gpus, all, count * sizeof(all[0]));
    ret->gpu_count = count;
}

/* Those that somebody has reserved for himself are counted among the free ones. */
static uint64_t free_huge_pages(const char *root)
{
    static const char folder[] = "/sys/kernel/mm/hugepages/hugepages-2048kB";
    char path[PATH_SIZE], text[TEXT_SIZE];
    uint64_t count[2] = { 0, 0 };

    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof(path), "%s/%s_hugepages", folder, i == 0 ? "free" : "resv");
        if (read_text(root, path, text))
            count[i] = strtoull(text, NULL, 10);
    }
    return count[0] > count[1] ? count[0] - count[1] : 0;
}

void mob_sysinfo_read(const char *root, struct mob_sysinfo *ret)
{
    struct limits l = { .cpu_thousandths = INT64_MAX, .memory = UINT64_MAX, .huge = UINT64_MAX };
    char text[TEXT_SIZE];
    uint64_t total = 0;

    *ret = (struct mob_sysinfo){ .cpus = affinity_cpus() };
    if (read_text(root, "/proc/self/cgroup", text)) {
        note_hierarchy(root, text, "", "/sys/fs/cgroup", &l);
        note_hierarchy(root, text, "", "/sys/fs/cgroup/unified", &l);
        note_hierarchy(root, text, "cpu", "/sys/fs/cgroup/cpu", &l);
        note_hierarchy(root, text, "memory", "/sys/fs/cgroup/memory", &l);
        note_hierarchy(root, text, "hugetlb", "/sys/fs/cgroup/hugetlb", &l);
    }
    if (l.cpu_thousandths / 1000 < ret->cpus)
        ret->cpus = (unsigned)(l.cpu_thousandths / 1000);
    if (ret->cpus == 0)
        ret->cpus = 1;

    if (read_text(root, "/proc/meminfo", text))
        total = mob_sysinfo_meminfo(text);
    ret->memory = least(l.memory, total);
    ret->huge = least(l.huge, free_huge_pages(root) * MOB_HUGE_PAGE);
    read_gpus(root, ret);
    gethostname(ret->host, sizeof(ret->host) - 1);
}
