/* SPDX-License-Identifier: Apache-2.0 */
/* holder.c -- from a port to the inode and the user of its listening socket (/proc/net/tcp), and from that to a process
 * (/proc/<pid>/fd), which only its user and root may see. */
#include "common/holder.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define STATE_LISTEN 0x0a

/* The kernel prints an address as one or four words of memory, each in the machine's order. All of them (0) and v4 in v6
 * (::ffff:a.b.c.d) count as what they stand for. */
static bool in_the_way(const char *address, const char *ip)
{
    struct in6_addr wanted = { 0 }, taken = { 0 };
    size_t words = strlen(address) / 8;
    struct in_addr four;
    uint32_t word;
    bool all = true;

    for (size_t i = 0; i < words && i < 4; i++) {
        if (sscanf(address + 8 * i, "%8" SCNx32, &word) != 1)
            return false;
        memcpy(&taken.s6_addr[4 * (words == 1 ? 3 : i)], &word, sizeof word);
    }
    for (size_t i = 0; i < sizeof taken; i++)
        all &= taken.s6_addr[i] == 0;
    if (words == 1 && !all)
        taken.s6_addr[10] = taken.s6_addr[11] = 0xff;
    if (inet_pton(AF_INET, ip, &four) == 1) {
        wanted.s6_addr[10] = wanted.s6_addr[11] = 0xff;
        memcpy(&wanted.s6_addr[12], &four, sizeof four);
    } else if (inet_pton(AF_INET6, ip, &wanted) != 1) {
        return false;
    }
    return all || memcmp(&wanted, &taken, sizeof wanted) == 0;
}

bool mob_holder_parse(const char *line, const char *ip, uint32_t port, struct mob_holder *ret)
{
    struct mob_holder h;
    char address[33];
    unsigned local, state;

    if (sscanf(line, " %*[0-9]: %32[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*s %*s %*s %" SCNu32 " %*s %" SCNu64, address, &local,
               &state, &h.uid, &h.inode) != 5
        || state != STATE_LISTEN || local != port || !in_the_way(address, ip))
        return false;
    *ret = h;
    return true;
}

static bool listens(const char *table, const char *ip, uint32_t port, struct mob_holder *ret)
{
    FILE *f = fopen(table, "re");
    char line[512];
    bool found = false;

    if (f == NULL)
        return false;
    while (!found && fgets(line, sizeof line, f) != NULL)
        found = mob_holder_parse(line, ip, port, ret);
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

static void describe_user(uint32_t uid, char *text, size_t size)
{
    char buffer[1024];
    struct passwd entry, *user = NULL;

    if (getpwuid_r(uid, &entry, buffer, sizeof buffer, &user) == 0 && user != NULL)
        snprintf(text, size, "a process of user %s (%u)", user->pw_name, uid);
    else
        snprintf(text, size, "a process of user %u", uid);
}

bool mob_holder_of_port(const char *ip, uint32_t port, char *text, size_t size)
{
    struct mob_holder holder;
    struct dirent *entry;
    bool found = false;
    DIR *all;

    if (!listens("/proc/net/tcp", ip, port, &holder) && !listens("/proc/net/tcp6", ip, port, &holder))
        return false;
    all = opendir("/proc");
    while (!found && all != NULL && (entry = readdir(all)) != NULL) {
        if (isdigit((unsigned char)entry->d_name[0]) && has_socket(entry->d_name, holder.inode)) {
            describe(entry->d_name, text, size);
            found = true;
        }
    }
    if (all != NULL)
        closedir(all);
    if (!found)
        describe_user(holder.uid, text, size);
    return true;
}
