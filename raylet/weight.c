/* SPDX-License-Identifier: Apache-2.0 */
/* weight.c -- memory of a process and its descendants: anonymous pages, in memory and swapped out. What lies in the store or in files is
 * no part of it: it is shared, and does not come back with the end of one who looks at it.
 *
 * RssAnon in /proc/<pid>/status costs some microseconds to read, but counts pages that processes share after a fork (with their template,
 * or a task's own children) in each of them. The proportional sizes in smaps_rollup count such a page once, at the price of a walk over
 * all pages. So smaps_rollup is read only for a worker that was forked or has children and weighs LARGE or more, once in LOOK_NS; between
 * two such looks what is shared is taken to be what it was.
 */
#include "raylet/weight.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/sysinfo.h"
#include "raylet/family.h"

#define LARGE (UINT64_C(16) << 20)
#define LOOK_NS INT64_C(2000000000)
#define RELATIVES_NS INT64_C(10000000)          /* one look at all workers */
#define FAMILY_MAX 1024u

struct family {
    uint32_t pids[FAMILY_MAX];
    size_t count;
};

/* "RssAnon:	    1234 kB" */
static uint64_t bytes_of(const char *text, const char *word)
{
    const char *line = strstr(text, word);

    return line != NULL ? strtoull(line + strlen(word), NULL, 10) * 1024 : 0;
}

/* False: the kernel has no such files. */
static bool read_children(struct family *f, uint32_t pid)
{
    char path[300], text[FAMILY_MAX * sizeof "4194304"];
    struct dirent *entry;
    bool any = false;

    snprintf(path, sizeof path, "/proc/%u/task", pid);
    DIR *threads = opendir(path);
    while (threads != NULL && (entry = readdir(threads)) != NULL) {
        snprintf(path, sizeof path, "/proc/%u/task/%s/children", pid, entry->d_name);
        if (entry->d_name[0] == '.' || mob_sysinfo_text(path, text, sizeof text) < 0)
            continue;
        any = true;
        for (char *at = text, *end; f->count < FAMILY_MAX; at = end) {
            unsigned long child = strtoul(at, &end, 10);

            if (end == at || *end != ' ')       /* the end; or a number is cut off, which would be somebody else's */
                break;
            f->pids[f->count++] = (uint32_t)child;
        }
    }
    if (threads != NULL)
        closedir(threads);
    return any;
}

static void add_children(struct family *f, struct mob_relatives *all, uint32_t pid, int64_t now_ns)
{
    if (read_children(f, pid))
        return;
    if (all->list == NULL || now_ns - all->read_ns > RELATIVES_NS) {
        free(all->list);
        all->list = mob_family_list(&all->count);
        all->read_ns = now_ns;
    }
    for (size_t i = 0; i < all->count && f->count < FAMILY_MAX; i++)
        if (all->list[i].parent == (pid_t)pid)
            f->pids[f->count++] = (uint32_t)all->list[i].pid;
}

static uint64_t sum(const struct family *f, const char *file, const char *first, const char *second)
{
    char path[64], text[4096];
    uint64_t bytes = 0;

    for (size_t i = 0; i < f->count; i++) {
        snprintf(path, sizeof path, "/proc/%u/%s", f->pids[i], file);
        if (mob_sysinfo_text(path, text, sizeof text) >= 0)
            bytes += bytes_of(text, first) + bytes_of(text, second);
    }
    return bytes;
}

uint64_t mob_weight_read(struct mob_weight *w, struct mob_relatives *all, uint32_t pid, bool forked, int64_t now_ns)
{
    struct family f = { .pids = { pid }, .count = 1 };
    uint64_t bytes, once;

    if (pid == 0)
        return 0;
    for (size_t i = 0; i < f.count; i++)
        add_children(&f, all, f.pids[i], now_ns);
    bytes = sum(&f, "status", "RssAnon:", "VmSwap:");
    if (bytes < LARGE || (!forked && f.count == 1))
        return bytes;
    if (w->shared_ns == 0 || now_ns - w->shared_ns >= LOOK_NS) {
        once = sum(&f, "smaps_rollup", "Pss_Anon:", "SwapPss:");
        w->shared = once > 0 && once < bytes ? bytes - once : 0;
        w->shared_ns = now_ns;
    }
    return bytes - (w->shared < bytes ? w->shared : bytes);
}

void mob_weight_offer(uint32_t pid)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/%u/oom_score_adj", pid);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    if (write(fd, "500", 3) < 0) {
        /* a user who has made it higher still meant it */
    }
    close(fd);
}
