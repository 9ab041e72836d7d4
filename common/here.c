/* SPDX-License-Identifier: Apache-2.0 */
/* here.c -- reads the run folder; sweeps what dead daemons left. */
#include "common/here.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/mem.h"

struct listing {
    struct mob_here_daemon *list;
    size_t count;
    struct mob_identity self;
};

static socklen_t numeric(const char *ip, uint16_t port, struct sockaddr_storage *ret)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)ret;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret;

    memset(ret, 0, sizeof *ret);
    if (inet_pton(AF_INET, ip, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        return sizeof *v4;
    }
    if (inet_pton(AF_INET6, ip, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        return sizeof *v6;
    }
    return 0;
}

/* One may bind to all addresses at once, and to a group's, but nobody reaches a machine by them. */
static bool is_of_one_machine(const struct sockaddr_storage *address)
{
    const struct in6_addr *six = &((const struct sockaddr_in6 *)address)->sin6_addr;
    in_addr_t four = ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr);

    if (address->ss_family == AF_INET6)
        return !IN6_IS_ADDR_UNSPECIFIED(six) && !IN6_IS_ADDR_MULTICAST(six);
    return four != INADDR_ANY && !IN_MULTICAST(four);
}

bool mob_here_is_ours(const char *ip)
{
    struct sockaddr_storage address;
    socklen_t size = numeric(ip, 0, &address);
    bool ours;
    int fd;

    if (size == 0 || !is_of_one_machine(&address) || (fd = socket(address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0)) < 0)
        return false;
    ours = bind(fd, (struct sockaddr *)&address, size) == 0;
    close(fd);
    return ours;
}

/* Connecting a datagram socket sends nothing: it only asks the kernel for the route. */
void mob_here_address(const char *towards, char ip[64])
{
    struct sockaddr_storage address;
    socklen_t size = numeric(towards != NULL ? towards : "192.0.2.1", 9, &address);
    int fd = size == 0 ? -1 : socket(address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    snprintf(ip, 64, "127.0.0.1");
    if (fd < 0)
        return;
    if (connect(fd, (struct sockaddr *)&address, size) == 0) {
        size = sizeof address;
        if (getsockname(fd, (struct sockaddr *)&address, &size) == 0)
            getnameinfo((struct sockaddr *)&address, size, ip, 64, NULL, 0, NI_NUMERICHOST);
    }
    close(fd);
}

/* "raylet-3.json" is `role` "raylet". */
static bool is_record(const char *name, const char *role)
{
    size_t length = strlen(name);

    return strncmp(name, role, strlen(role)) == 0 && length > sizeof ".json" - 1
        && strcmp(name + length - (sizeof ".json" - 1), ".json") == 0;
}

/* A record whose process counts as we do, and is gone, with what stands beside it (raylet/session.c). */
static void bury(const char *session, const char *name)
{
    static const char *const files[] = { ".json", ".sock" };
    char path[MOB_PATH_SIZE + 300];
    int length = (int)(strlen(name) - (sizeof ".json" - 1));

    snprintf(path, sizeof path, "%s/%.*s.d", session, length, name);
    mob_paths_remove(path, NULL);
    for (size_t i = MOB_COUNT(files); i-- > 0;) {
        snprintf(path, sizeof path, "%s/%.*s%s", session, length, name, files[i]);
        unlink(path);                   /* the record goes last */
    }
}

static void visit_record(struct listing *l, const char *session, const char *name)
{
    struct mob_here_daemon d;
    char file[MOB_PATH_SIZE + 300];

    snprintf(file, sizeof file, "%s/%s", session, name);
    if (mob_record_read(file, &d.record, NULL) < 0)
        return;
    if (!mob_identity_alive(&d.record.process)) {
        if (d.record.process.space == l->self.space && strcmp(d.record.process.boot, l->self.boot) == 0)
            bury(session, name);
        return;
    }
    snprintf(d.session, sizeof d.session, "%s", session);
    if (l->count < MOB_HERE_DAEMONS_MAX)
        l->list[l->count++] = d;
}

static void visit(void *arg, const char *session)
{
    static const char *const roles[] = { "raylet", "head" };
    struct listing *l = arg;
    struct dirent *entry;
    DIR *folder;

    if (mob_paths_sweep(session) || (folder = opendir(session)) == NULL)
        return;
    for (size_t i = 0; i < MOB_COUNT(roles); i++) {
        rewinddir(folder);
        while ((entry = readdir(folder)) != NULL)
            if (is_record(entry->d_name, roles[i]))
                visit_record(l, session, entry->d_name);
    }
    closedir(folder);
}

int mob_here_list(struct mob_here_daemon *ret, size_t *ret_count, struct mob_error *err)
{
    char run[MOB_PATH_SIZE];
    struct listing l = { .list = ret };

    if (mob_identity_of(mob_identity_own_pid(), &l.self, err) < 0 || mob_paths_run(run, err) < 0
        || mob_paths_each_session(run, visit, &l, err) < 0)
        return -1;
    *ret_count = l.count;
    return 0;
}

int mob_here_find(struct mob_here_daemon *ret, struct mob_error *err)
{
    struct mob_here_daemon *all = mob_alloc(MOB_HERE_DAEMONS_MAX * sizeof *all);
    const struct mob_here_daemon *found = NULL;
    size_t count = 0;
    int rc = mob_here_list(all, &count, err);

    for (size_t i = 0; rc == 0 && i < count; i++) {
        if (all[i].record.is_private)
            continue;
        if (found != NULL && strcmp(found->record.cluster, all[i].record.cluster) != 0)
            rc = mob_error_set(err, MOB_ERR_INVALID, "more than one cluster runs here (%s and %s); say which with --address",
                               found->record.head, all[i].record.head);
        found = &all[i];
    }
    if (rc == 0 && found == NULL)
        rc = mob_error_set(err, MOB_ERR_UNREACHABLE, "no cluster of yours runs on this machine; start one with mobula start --head, "
                           "or name one with --address=HOST:PORT");
    if (rc == 0)
        *ret = *found;
    free(all);
    return rc;
}
