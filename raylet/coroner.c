/* SPDX-License-Identifier: Apache-2.0 */
/* coroner.c -- evidence of a worker's end.
 *
 * The kernel's OOM killer sends SIGKILL like anybody else, but it counts what it kills: oom_kill in memory.events (cgroup v2) or
 * memory.oom_control (v1) of the group that we share with our workers, or of the machine in /proc/vmstat. The count is read once a
 * second. A SIGKILL that this raylet did not send is put down to the OOM killer if the count is higher now than it was two readings
 * ago, and each kill explains one death. If the kernel killed a child of a task instead, and somebody else's SIGKILL hits a worker in the
 * same moment, that one is blamed on it wrongly: rare, and memory is short then in any case.
 *
 * A core dump is where core_pattern (core(5)) says. Parts of the pattern that are not known after the process has gone (its thread, the
 * time) match any text; of several files that match the newest is taken.
 */
#include "raylet/coroner.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/mem.h"
#include "common/sysinfo.h"

#define PATTERN_MAX 512
#define LOOK_NS INT64_C(1000000000)

/* -- out of memory ------------------------------------------------------------------------------------------------------------ */

static bool read_kills(const char *path, uint64_t *ret)
{
    char text[32768], *line = text;

    if (mob_sysinfo_text(path, text, sizeof text) <= 0)
        return false;
    while (strncmp(line, "oom_kill ", 9) != 0)
        if ((line = strchr(line, '\n')) == NULL || *++line == '\0')
            return false;
    *ret = strtoull(line + 9, NULL, 10);
    return true;
}

/* The first that counts: of our group, of the group that is the root here (in a container ours may not be shown), of the machine. */
void mob_coroner_init(struct mob_coroner *c, const char *root)
{
    char groups[8192], v2[2048] = "", v1[2048] = "";
    char *path = mob_printf("%s/proc/self/cgroup", root);

    *c = (struct mob_coroner){ 0 };
    if (mob_sysinfo_text(path, groups, sizeof groups) > 0) {
        mob_sysinfo_cgroup_path(groups, "", v2, sizeof v2);
        mob_sysinfo_cgroup_path(groups, "memory", v1, sizeof v1);
    }
    free(path);
    char *paths[] = {
        mob_printf("%s/sys/fs/cgroup%s/memory.events", root, v2), mob_printf("%s/sys/fs/cgroup/memory.events", root),
        mob_printf("%s/sys/fs/cgroup/memory%s/memory.oom_control", root, v1),
        mob_printf("%s/sys/fs/cgroup/memory/memory.oom_control", root), mob_printf("%s/proc/vmstat", root),
    };
    for (size_t i = 0; i < MOB_COUNT(paths); i++) {
        if (c->counter == NULL && read_kills(paths[i], &c->kills))
            c->counter = paths[i], c->seen = c->kills;
        else
            free(paths[i]);
    }
}

void mob_coroner_fini(struct mob_coroner *c)
{
    free(c->counter);
}

void mob_coroner_look(struct mob_coroner *c, int64_t now_ns)
{
    if (c->counter == NULL || now_ns - c->looked_ns < LOOK_NS)
        return;
    c->looked_ns = now_ns;
    if (c->kills < c->seen)
        c->kills = c->seen;
    read_kills(c->counter, &c->seen);
}

bool mob_coroner_out_of_memory(struct mob_coroner *c)
{
    uint64_t kills;

    if (c->counter == NULL || !read_kills(c->counter, &kills) || kills <= c->kills)
        return false;
    c->kills++;                         /* the others are of those that we bury next */
    return true;
}

/* -- core dumps ---------------------------------------------------------------------------------------------------------------- */

struct pattern {
    char text[PATTERN_MAX];
    size_t used;
};

static void put(struct pattern *p, const char *text)
{
    for (; *text != '\0' && p->used < sizeof p->text - 1; text++)
        p->text[p->used++] = *text;
    p->text[p->used] = '\0';
}

static void put_number(struct pattern *p, long number)
{
    char text[24];

    snprintf(text, sizeof text, "%ld", number);
    put(p, text);
}

/* core(5). "%P" is a pid outside of our namespace, if we have one. */
static void expand(const char *from, pid_t pid, int signal, struct pattern *ret)
{
    char host[65] = "", one[3] = "";

    gethostname(host, sizeof host - 1);
    for (; *from != '\0'; from++) {
        one[0] = *from;
        one[1] = '\0';
        if (*from != '%') {
            put(ret, strchr("*?[]\\", *from) != NULL ? "?" : one);
            continue;
        }
        if (*++from == '\0')
            return;
        if (*from == 'p')
            put_number(ret, pid);
        else if (*from == 's')
            put_number(ret, signal);
        else if (*from == 'u')
            put_number(ret, getuid());
        else if (*from == 'g')
            put_number(ret, getgid());
        else
            put(ret, *from == '%' ? "%" : *from == 'h' ? host : "*");
    }
}

static bool newest(const char *pattern, char *ret, size_t size)
{
    int64_t newest_ns = -1;
    struct stat st;
    glob_t found;

    if (glob(pattern, GLOB_NOSORT, NULL, &found) != 0)
        return false;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        int64_t ns = stat(found.gl_pathv[i], &st) == 0 && S_ISREG(st.st_mode)
            ? st.st_mtim.tv_sec * INT64_C(1000000000) + st.st_mtim.tv_nsec : -1;

        if (ns <= newest_ns)
            continue;
        newest_ns = ns;
        mob_copy(ret, size, found.gl_pathv[i]);
    }
    globfree(&found);
    return newest_ns >= 0;
}

/* Does "%p" stand there? Else the kernel may be told to append the pid. */
static bool names_pid(const char *pattern)
{
    for (; (pattern = strchr(pattern, '%')) != NULL && pattern[1] != '\0'; pattern += 2)
        if (pattern[1] == 'p')
            return true;
    return false;
}

void mob_coroner_core(const char *root, pid_t pid, int signal, char *ret, size_t size)
{
    char *path = mob_printf("%s/proc/sys/kernel/core_pattern", root), *uses = mob_printf("%s/proc/sys/kernel/core_uses_pid", root);
    char said[256], uses_pid[8];
    struct pattern p = { .used = 0 };

    ret[0] = '\0';
    mob_sysinfo_text(uses, uses_pid, sizeof uses_pid);
    if (mob_sysinfo_text(path, said, sizeof said) > 0) {
        said[strcspn(said, "\n")] = '\0';
        if (said[0] == '|') {
            said[strcspn(said, " ")] = '\0';
            mob_copy(ret, size, said);
        } else {
            expand(said, pid, signal, &p);
            if (uses_pid[0] == '1' && !names_pid(said))
                put(&p, "."), put_number(&p, pid);
            if (p.text[0] != '/' || !newest(p.text, ret, size))
                mob_copy(ret, size, p.text);
        }
    }
    free(path);
    free(uses);
}
