/* SPDX-License-Identifier: Apache-2.0 */
/* gauge.c -- reads /proc/meminfo, and the limits of our cgroup and of each above it, of v2 and v1 alike (as common/sysinfo.c does).
 *
 * Used is what the kernel could not give to somebody else: of the machine all but MemAvailable; of a cgroup all but the pages of files,
 * which the kernel drops or writes back before it kills anyone, and slab that can be reclaimed. Shared memory counts, so the store does,
 * where its pages were touched first. Reserved huge pages are nobody's to take: they are no part of the machine's memory here.
 *
 * A node that thrashes has memory left by these figures, and none in truth: so the pressure file beside them says for how much of the time
 * since the last look all processes stood still.
 */
#include "raylet/gauge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "common/sysinfo.h"

#define TEXT_SIZE 8192
#define FOLDER_SIZE 512

/* What the files of a cgroup are called. */
struct names {
    const char *controller, *mount;     /* of sysinfo's cgroup paths; "": v2 */
    const char *limit, *usage, *reclaimable[3];
};

static const struct names versions[] = {
    { "", "/sys/fs/cgroup", "memory.max", "memory.current", { "inactive_file ", "active_file ", "slab_reclaimable " } },
    { "", "/sys/fs/cgroup/unified", "memory.max", "memory.current", { "inactive_file ", "active_file ", "slab_reclaimable " } },
    { "memory", "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
      { "total_inactive_file ", "total_active_file ", NULL } },
};

static bool read_text(const char *root, const char *folder, const char *name, char text[TEXT_SIZE])
{
    char path[FOLDER_SIZE * 2];

    return (size_t)snprintf(path, sizeof path, "%s%s/%s", root, folder, name) < sizeof path && mob_sysinfo_text(path, text, TEXT_SIZE) > 0;
}

/* The number behind a word that begins a line; 0: it is not there. */
static uint64_t number_of(const char *text, const char *word)
{
    size_t n = strlen(word);

    for (const char *line = text; line != NULL && *line != '\0'; line = strchr(line, '\n'), line += line != NULL)
        if (strncmp(line, word, n) == 0)
            return strtoull(line + n, NULL, 10);
    return 0;
}

/* Above what must be kept free; below: negative. */
static int64_t margin(const struct mob_gauge *g, const struct mob_memory *m)
{
    return (int64_t)m->limit - (int64_t)m->used - (int64_t)mob_memory_reserve(g->reserve, m->limit);
}

static bool read_machine(const struct mob_gauge *g, struct mob_memory *ret)
{
    char text[TEXT_SIZE];
    uint64_t total, available;

    if (!read_text(g->root, "/proc", "meminfo", text) || strstr(text, "\nMemAvailable:") == NULL)
        return false;
    total = mob_sysinfo_meminfo(text) - number_of(text, "Hugetlb:") * 1024;
    available = number_of(text, "MemAvailable:") * 1024;
    *ret = (struct mob_memory){ .limit = total, .used = available < total ? total - available : 0, .of = "the machine's" };
    return total > 0;
}

/* One level; what is worse than *ret becomes it. */
static void read_level(const struct mob_gauge *g, const struct names *n, const char *folder, struct mob_memory *ret, char *ret_folder)
{
    struct mob_memory m = { 0 };
    char text[TEXT_SIZE];
    uint64_t reclaimable = 0;

    if (!read_text(g->root, folder, n->limit, text) || (m.limit = mob_sysinfo_memory_limit(text)) == UINT64_MAX
        || !read_text(g->root, folder, n->usage, text))
        return;
    m.used = strtoull(text, NULL, 10);
    if (margin(g, &m) < margin(g, ret) && read_text(g->root, folder, "memory.stat", text))
        for (size_t i = 0; i < MOB_COUNT(n->reclaimable) && n->reclaimable[i] != NULL; i++)
            reclaimable += number_of(text, n->reclaimable[i]);
    m.used -= reclaimable < m.used ? reclaimable : m.used;
    if (margin(g, &m) >= margin(g, ret))
        return;
    snprintf(m.of, sizeof m.of, "the cgroup %.90s's", folder);
    *ret = m;
    snprintf(ret_folder, FOLDER_SIZE, "%s", folder);
}

/* Each level from mount/path up to the mount. In a container the path may be the host's, and not exist here: then the mount's own level is
 * the container's. */
static void read_hierarchy(const struct mob_gauge *g, const char *cgroups, const struct names *n, struct mob_memory *ret, char *ret_folder)
{
    char path[FOLDER_SIZE / 2], folder[FOLDER_SIZE], *slash;

    if (!mob_sysinfo_cgroup_path(cgroups, n->controller, path, sizeof path))
        return;
    for (;;) {
        snprintf(folder, sizeof folder, "%s%s", n->mount, strcmp(path, "/") == 0 ? "" : path);
        read_level(g, n, folder, ret, ret_folder);
        if ((slash = strrchr(path, '/')) == NULL || strcmp(path, "/") == 0 || path[0] == '\0')
            return;
        *slash = '\0';
    }
}

/* "full avg10=0.00 avg60=0.00 avg300=0.00 total=1234": microseconds, since the kernel's start. */
static unsigned read_stalled(struct mob_gauge *g, const char *folder, const char *name, int64_t now_ns)
{
    char path[sizeof g->stalled_path], text[TEXT_SIZE];
    const char *full, *total;
    uint64_t us, before_us = g->stalled_us;
    int64_t passed_us = (now_ns - g->stalled_ns) / 1000;
    bool same;

    if (!read_text(g->root, folder, name, text) || (full = strstr(text, "full ")) == NULL || (total = strstr(full, "total=")) == NULL)
        return 0;
    us = strtoull(total + strlen("total="), NULL, 10);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    same = strcmp(path, g->stalled_path) == 0;
    memcpy(g->stalled_path, path, sizeof path);
    g->stalled_us = us;
    g->stalled_ns = now_ns;
    return same && passed_us > 0 && us > before_us ? (unsigned)((us - before_us) * 1000 / (uint64_t)passed_us) : 0;
}

bool mob_gauge_read(struct mob_gauge *g, int64_t now_ns, struct mob_memory *ret)
{
    char text[TEXT_SIZE], folder[FOLDER_SIZE] = "";

    if (!read_machine(g, ret))
        return false;
    if (read_text(g->root, "/proc/self", "cgroup", text))
        for (size_t i = 0; i < MOB_COUNT(versions); i++)
            read_hierarchy(g, text, &versions[i], ret, folder);
    if (folder[0] == '\0')
        ret->stalled = read_stalled(g, "/proc/pressure", "memory", now_ns);
    else
        ret->stalled = read_stalled(g, folder, "memory.pressure", now_ns);
    return true;
}
