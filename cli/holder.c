/* SPDX-License-Identifier: Apache-2.0 */
/* holder.c -- from a port to the inode of its listening socket (/proc/net/tcp), and from that to a process (/proc/<pid>/fd). */
#include "cli/holder.h"

#include <ctype.h>
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STATE_LISTEN 0x0a

bool holder_parse(const char *line, uint32_t port, uint64_t *ret_inode)
{
    unsigned local, state;
    uint64_t inode;

    if (sscanf(line, " %*[0-9]: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*s %*s %*s %*s %*s %" SCNu64, &local, &state, &inode) != 3
        || state != STATE_LISTEN || local != port)
        return false;
    *ret_inode = inode;
    return true;
}

static bool listening_inode(const char *table, uint32_t port, uint64_t *ret_inode)
{
    FILE *f = fopen(table, "re");
    char line[512];
    bool found = false;

    if (f == NULL)
        return false;
    while (!found && fgets(line, sizeof line, f) != NULL)
        found = holder_parse(line, port, ret_inode);
    fclose(f);
    return found;
}

static bool has_socket(const char *pid, uint64_t inode)
{
    char folder[64], path[400], wanted[48], link[64];
    struct dirent *entry;
    bool found = false;
    DIR *fds;

    snprintf(folder, sizeof folder, "/proc/%.16s/fd", pid);
    snprintf(wanted, sizeof wanted, "socket:[%" PRIu64 "]", inode);
    if ((fds = opendir(folder)) == NULL)
        return false;
    while (!found && (entry = readdir(fds)) != NULL) {
        ssize_t n;

        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        n = readlink(path, link, sizeof link - 1);
        link[n > 0 ? n : 0] = '\0';
        found = strcmp(link, wanted) == 0;
    }
    closedir(fds);
    return found;
}

static void describe(const char *pid, char *text, size_t size)
{
    char path[64], name[32] = "a process";
    FILE *f;

    snprintf(path, sizeof path, "/proc/%.16s/comm", pid);
    if ((f = fopen(path, "re")) != NULL) {
        if (fgets(name, sizeof name, f) != NULL)
            name[strcspn(name, "\n")] = '\0';
        fclose(f);
    }
    snprintf(text, size, "%s (pid %s)", name, pid);
}

bool holder_of_port(uint32_t port, char *text, size_t size)
{
    struct dirent *entry;
    bool found = false;
    uint64_t inode;
    DIR *all;

    if (!listening_inode("/proc/net/tcp", port, &inode) && !listening_inode("/proc/net/tcp6", port, &inode))
        return false;
    if ((all = opendir("/proc")) == NULL)
        return false;
    while (!found && (entry = readdir(all)) != NULL) {
        if (isdigit((unsigned char)entry->d_name[0]) && has_socket(entry->d_name, inode)) {
            describe(entry->d_name, text, size);
            found = true;
        }
    }
    closedir(all);
    return found;
}
