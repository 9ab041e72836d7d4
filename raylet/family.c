/* SPDX-License-Identifier: Apache-2.0 */
/* family.c -- children by /proc/self/task/<thread>/children, or, on a kernel that has no such files, by the parent in each stat. Both
 * give the pids of the /proc that is mounted; with a PID namespace of ours that is the outer one, and the line NSpid of a status has
 * ours, too, at the same place as in our own status. */
#include "raylet/family.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/mem.h"

#define NAMESPACES_MAX 32               /* the kernel's bound */
#define EXITING 4u                      /* PF_EXITING among the flags of a stat */

struct pids {
    pid_t *list;
    size_t count;
};

static void add(struct pids *p, pid_t pid)
{
    if ((p->count & (p->count - 1)) == 0)       /* full: room doubles */
        p->list = mob_realloc(p->list, (p->count > 0 ? p->count * 2 : 1) * sizeof *p->list);
    p->list[p->count++] = pid;
}

/* -- all processes --------------------------------------------------------------------------------------------------------------- */

/* What its stat says after its name, which may hold anything; NULL: it is gone. */
static const char *read_stat(const char *pid_text, char text[512])
{
    char path[64];

    snprintf(path, sizeof path, "/proc/%.20s/stat", pid_text);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, 511);
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = '\0';
    return strrchr(text, ')');
}

static pid_t parent_of(const char *pid_text)
{
    char text[512];
    const char *end = read_stat(pid_text, text);
    int parent = 0;

    return end != NULL && sscanf(end, ") %*c %d", &parent) == 1 ? parent : 0;
}

bool mob_family_is_ending(uint32_t shown_pid)
{
    char text[512], pid_text[16];
    unsigned flags = 0;

    snprintf(pid_text, sizeof pid_text, "%u", shown_pid);
    const char *end = read_stat(pid_text, text);
    return end == NULL || (sscanf(end, ") %*c %*d %*d %*d %*d %*d %u", &flags) == 1 && (flags & EXITING) != 0);
}

struct mob_relative *mob_family_list(size_t *ret_count)
{
    struct mob_relative *list = NULL;
    size_t count = 0;
    DIR *proc = opendir("/proc");
    struct dirent *entry;

    while (proc != NULL && (entry = readdir(proc)) != NULL) {
        int pid = atoi(entry->d_name);

        if (pid <= 0)
            continue;
        if (count % 256 == 0)
            list = mob_realloc(list, (count + 256) * sizeof *list);
        list[count].pid = pid;
        list[count++].parent = parent_of(entry->d_name);
    }
    if (proc != NULL)
        closedir(proc);
    *ret_count = count;
    return list;
}

/* -- children as /proc names them -------------------------------------------------------------------------------------------------- */

/* Each thread has those that it started; orphans are given to any. False: there are no such files. */
static bool read_children(struct pids *ret)
{
    DIR *threads = opendir("/proc/self/task");
    struct dirent *entry;
    bool any = false;

    while (threads != NULL && (entry = readdir(threads)) != NULL) {
        char path[300];
        int pid;

        snprintf(path, sizeof path, "/proc/self/task/%s/children", entry->d_name);
        FILE *f = entry->d_name[0] == '.' ? NULL : fopen(path, "re");
        if (f == NULL)
            continue;
        any = true;
        while (fscanf(f, "%d", &pid) == 1)
            add(ret, pid);
        fclose(f);
    }
    if (threads != NULL)
        closedir(threads);
    return any;
}

static void search_children(struct pids *ret)
{
    char self[32] = "";
    size_t count;
    struct mob_relative *list = mob_family_list(&count);
    pid_t parent = readlink("/proc/self", self, sizeof self - 1) > 0 ? atoi(self) : 0;

    for (size_t i = 0; i < count; i++)
        if (parent > 0 && list[i].parent == parent)
            add(ret, list[i].pid);
    free(list);
}

/* -- by our own pids ----------------------------------------------------------------------------------------------------------------- */

/* Its pids, from the namespace of /proc down to its own. 0: there is no such process, or the kernel does not say. */
static size_t read_pids(const char *who, pid_t ret[NAMESPACES_MAX])
{
    char path[64], line[512];
    size_t count = 0;

    snprintf(path, sizeof path, "/proc/%s/status", who);
    FILE *f = fopen(path, "re");
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        if (strncmp(line, "NSpid:", 6) != 0)
            continue;
        for (char *at = line + 6, *end; count < NAMESPACES_MAX && (ret[count] = (pid_t)strtol(at, &end, 10)) > 0; at = end)
            count++;
        break;
    }
    if (f != NULL)
        fclose(f);
    return count;
}

pid_t *mob_family_children(size_t known, size_t *ret_count)
{
    pid_t pids[NAMESPACES_MAX];
    struct pids all = { 0 };
    size_t count = 0, depth;

    if (!read_children(&all))
        search_children(&all);
    if (all.count > known && (depth = read_pids("self", pids)) > 0) {
        for (size_t i = 0; i < all.count; i++) {
            char who[16];

            snprintf(who, sizeof who, "%d", all.list[i]);
            if (read_pids(who, pids) >= depth)
                all.list[count++] = pids[depth - 1];
        }
    }
    *ret_count = count;
    return all.list;
}
