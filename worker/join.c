/* SPDX-License-Identifier: Apache-2.0 */
/* join.c -- from an address to the socket of a raylet on this machine.
 *
 *   no address      a private cluster: head and raylet on 127.0.0.1, ended with this process or by mob_shutdown()
 *   "auto"          the raylet whose record is in this user's run folder
 *   "host:port"     a raylet of the cluster with that head on this machine; none: one that lends nothing, for as long as we live
 *
 * Daemons started here watch a pidfd of this process, or, where there are none, the end of a pipe that only it holds: however it dies,
 * they end. Their logs stand in the raylet's own folder, which ends with it. */
#include "worker/join.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "common/daemon_log.h"
#include "common/here.h"
#include "common/launch.h"
#include "common/mem.h"
#include "common/resources.h"
#include "common/token.h"
#include "worker/socket.h"

#define LAUNCH_MS 30000
#define END_MS 10000
#define REACH_MS 5000

struct mob_cluster {
    struct mob_identity daemons[2];
    size_t count;
};

/* Where the kernel has no pidfds: the end of a pipe that we hold, and none of our children. No part of the cluster, as a fork while
 * daemons start must find it. */
static int lifeline = -1;

/* -- starting ---------------------------------------------------------------------------------------------------------------- */

/* What daemons watch, to be passed on and closed: it is readable once we have ended. */
static int own_end(struct mob_error *err)
{
    int fd = (int)syscall(SYS_pidfd_open, getpid(), 0), ends[2];

    if (fd >= 0)
        return fd;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return mob_error_errno(err, "cannot make a pipe for the daemons of this process");
    lifeline = mob_socket_high_fd(ends[1]);
    if (lifeline >= 0)
        return ends[0];
    close(ends[0]);
    return mob_error_errno(err, "cannot keep a pipe for the daemons of this process");
}

void mob_cluster_let_go(void)
{
    if (lifeline >= 0)
        close(lifeline);
    lifeline = -1;
}

/* Its log stands in the run folder until the raylet has a folder. */
static int launch(const char *daemon, const char *const *options, int private_fd, char ret_log[MOB_PATH_SIZE],
                  struct mob_launched *ret, struct mob_error *err)
{
    struct mob_launch l = { .options = options, .log_file = ret_log, .private_fd = private_fd, .timeout_ms = LAUNCH_MS };

    if (mob_daemon_log_begin(daemon, ret_log, err) < 0)
        return -1;
    if (mob_launch(daemon, &l, ret, err) == 0)
        return 0;
    mob_daemon_log_drop(ret_log, err);
    return -1;
}

/* Beside <name>.sock the raylet has <name>.d. */
static void keep_log(const char *log, const char *daemon, const struct mob_launched *raylet)
{
    const char *end = strrchr(raylet->socket, '.');
    char *kept = mob_printf("%.*s.d/%s.log", (int)(end != NULL ? end - raylet->socket : 0), raylet->socket, daemon);

    rename(log, kept);
    free(kept);
}

/* Remember whom to end: the daemons whose record names this cluster, and this socket if it is a raylet. */
static struct mob_cluster *remember(const struct mob_launched *raylet, bool head_too)
{
    struct mob_here_daemon *all = mob_alloc(MOB_HERE_DAEMONS_MAX * sizeof *all);
    struct mob_cluster *c = mob_new(struct mob_cluster);
    size_t count = 0;

    if (mob_here_list(all, &count, NULL) < 0)
        count = 0;
    for (size_t i = 0; i < count && c->count < MOB_COUNT(c->daemons); i++) {
        const struct mob_daemon_record *d = &all[i].record;
        bool head = strcmp(d->role, "head") == 0;

        if (strcmp(d->cluster, raylet->cluster) == 0 && (head ? head_too : strcmp(d->socket, raylet->socket) == 0))
            c->daemons[c->count++] = d->process;
    }
    free(all);
    return c;
}

static int start_raylet(const struct mob_init_options *o, const char *head, const char *ip, const char *token_file,
                        int private_fd, bool driver_only, struct mob_launched *ret, struct mob_error *err)
{
    const char *list[16];
    char store[24], log[MOB_PATH_SIZE];
    size_t n = 0;

    list[n++] = "--head", list[n++] = head;
    if (ip != NULL)
        list[n++] = "--ip", list[n++] = ip;
    list[n++] = "--token-file", list[n++] = token_file;
    if (driver_only)
        list[n++] = "--driver-only";
    if (o->resources != NULL)
        list[n++] = "--resources", list[n++] = o->resources;
    if (o->object_store_bytes > 0) {
        snprintf(store, sizeof store, "%" PRId64, o->object_store_bytes);
        list[n++] = "--store-bytes", list[n++] = store;
    }
    list[n] = NULL;
    if (launch("mobula-raylet", list, private_fd, log, ret, err) < 0)
        return -1;
    keep_log(log, "mobula-raylet", ret);
    return 0;
}

/* Without the loopback device nobody here reaches anybody, and each would try for a while. */
static int check_loopback(struct mob_error *err)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(1), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int rc = fd >= 0 ? connect(fd, (struct sockaddr *)&to, sizeof to) : -1, why = errno;

    if (fd >= 0)
        close(fd);
    if (rc == 0)
        return 0;
    return mob_error_set(err, MOB_ERR_UNREACHABLE, "a private cluster is on 127.0.0.1, which this machine cannot reach: %s; bring its "
                         "loopback device up, as by `ip link set lo up`", strerror(why));
}

static int start_private(const struct mob_init_options *o, const char *token_file, int end_fd, struct mob_launched *ret,
                         struct mob_error *err)
{
    const char *options[] = { "--ip", "127.0.0.1", "--port", "0", "--token-file", token_file, NULL };
    struct mob_launched head;
    char address[80], log[MOB_PATH_SIZE];

    if (check_loopback(err) < 0 || launch("mobula-head", options, end_fd, log, &head, err) < 0)
        return -1;
    mob_launch_address(address, sizeof address, head.ip, head.port);
    if (start_raylet(o, address, "127.0.0.1", token_file, end_fd, false, ret, err) == 0) {
        keep_log(log, "mobula-head", ret);
        return 0;
    }
    mob_daemon_log_drop(log, NULL);
    mob_copy(ret->cluster, sizeof ret->cluster, head.cluster);
    ret->socket[0] = '\0';
    mob_cluster_end(remember(ret, true));       /* the head alone is of no use */
    return -1;
}

/* head NULL: a private cluster. */
static int start(const struct mob_init_options *o, const char *head, char ret_socket[MOB_PATH_SIZE],
                 struct mob_cluster **ret_cluster, struct mob_error *err)
{
    char token_file[MOB_PATH_SIZE], token[MOB_TOKEN_SIZE];
    struct mob_launched raylet;
    struct mob_resources resources;
    int end_fd, rc;

    if (o->resources != NULL && mob_resources_parse(o->resources, &resources, err) < 0)
        return -1;
    if (mob_token_path(o->token_file, token_file, err) < 0)
        return -1;
    if ((head == NULL ? mob_token_create(token_file, token, err) : mob_token_load(token_file, token, err)) < 0)
        return -1;
    if ((end_fd = own_end(err)) < 0)
        return -1;
    if (head == NULL)
        rc = start_private(o, token_file, end_fd, &raylet, err);
    else
        rc = start_raylet(o, head, NULL, token_file, end_fd, true, &raylet, err);
    close(end_fd);
    if (rc < 0) {
        mob_cluster_let_go();
        return -1;
    }
    mob_copy(ret_socket, MOB_PATH_SIZE, raylet.socket);
    *ret_cluster = remember(&raylet, head == NULL);
    return 0;
}

/* -- finding ----------------------------------------------------------------------------------------------------------------- */

/* Does somebody listen there? Said at once, and not by a raylet that dials in vain. */
static int reach(const struct addrinfo *to, const char *address, struct mob_error *err)
{
    int fd = socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), failed = 0;
    struct pollfd p = { .fd = fd, .events = POLLOUT };
    socklen_t size = sizeof failed;

    if (fd < 0)
        return mob_error_errno(err, "cannot make a socket");
    if (connect(fd, to->ai_addr, to->ai_addrlen) < 0 && errno != EINPROGRESS)
        failed = errno;
    else if (poll(&p, 1, REACH_MS) <= 0)
        failed = ETIMEDOUT;
    else
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &size);
    close(fd);
    if (failed == 0)
        return 0;
    return mob_error_set(err, MOB_ERR_UNREACHABLE, "no head answers at %s: %s; start one there with `mobula start --head`",
                         address, strerror(failed));
}

/* "HOST:PORT" or "[v6]:PORT" as "ip:port", the way records have it. The port must answer. */
static int resolve(const char *address, char *ret, size_t size, struct mob_error *err)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found;
    const char *colon = strrchr(address, ':');
    size_t length = colon != NULL ? (size_t)(colon - address) : 0;
    char host[256], ip[64], service[8], *end = NULL;
    unsigned long port = colon != NULL ? strtoul(colon + 1, &end, 10) : 0;
    bool brackets = length > 2 && address[0] == '[' && address[length - 1] == ']';
    int rc;

    if (length == 0 || length >= sizeof host || port == 0 || port > 65535 || *end != '\0')
        return mob_error_set(err, MOB_ERR_INVALID, "\"%s\" is no address: give \"auto\", HOST:PORT or [IPv6]:PORT", address);
    snprintf(host, sizeof host, "%.*s", (int)(brackets ? length - 2 : length), brackets ? address + 1 : address);
    snprintf(service, sizeof service, "%lu", port);
    if ((rc = getaddrinfo(host, service, &hints, &found)) != 0)
        return mob_error_set(err, MOB_ERR_UNREACHABLE, "host \"%s\" is not known: %s", host, gai_strerror(rc));
    if ((rc = reach(found, address, err)) == 0
        && getnameinfo(found->ai_addr, found->ai_addrlen, ip, sizeof ip, NULL, 0, NI_NUMERICHOST) != 0)
        rc = mob_error_set(err, MOB_ERR_UNREACHABLE, "host \"%s\" has no usable address", host);
    freeaddrinfo(found);
    if (rc != 0)
        return -1;
    mob_launch_address(ret, size, ip, (uint32_t)port);
    return 0;
}

/* A raylet of this user here: of the cluster with head `head`, or (NULL) of the only one. Never another driver's own: that ends with
 * it; nor one that has no socket, as it is joining again. 1: found. */
static int find(const char *head, char ret_socket[MOB_PATH_SIZE], struct mob_error *err)
{
    struct mob_here_daemon *all = mob_alloc(MOB_HERE_DAEMONS_MAX * sizeof *all);
    const struct mob_daemon_record *found = NULL;
    size_t count = 0;
    int rc = mob_here_list(all, &count, err);

    for (size_t i = 0; rc == 0 && i < count; i++) {
        const struct mob_daemon_record *d = &all[i].record;

        if (strcmp(d->role, "raylet") != 0 || d->is_private || d->socket[0] == '\0' || (head != NULL && strcmp(d->head, head) != 0))
            continue;
        if (found != NULL && strcmp(found->cluster, d->cluster) != 0)
            rc = mob_error_set(err, MOB_ERR_INVALID, "more than one cluster runs here; give the address of one: %s or %s",
                               found->head, d->head);
        found = d;
    }
    if (rc == 0 && found != NULL) {
        mob_copy(ret_socket, MOB_PATH_SIZE, found->socket);
        rc = 1;
    }
    free(all);
    return rc;
}

int mob_join(const struct mob_init_options *o, char ret_socket[MOB_PATH_SIZE], struct mob_cluster **ret_cluster,
             struct mob_error *err)
{
    const char *address = o->address != NULL ? o->address : getenv("MOBULA_ADDRESS");
    char head[80];
    int rc;

    *ret_cluster = NULL;
    if (address == NULL || address[0] == '\0')
        return start(o, NULL, ret_socket, ret_cluster, err);
    if (o->resources != NULL || o->object_store_bytes > 0)
        return mob_error_set(err, MOB_ERR_INVALID, "resources and object_store_bytes are for a private cluster; the one at \"%s\" has "
                             "its own: leave them out%s", address, o->address != NULL ? "" : ", or unset MOBULA_ADDRESS");
    if (strcmp(address, "auto") == 0) {
        if ((rc = find(NULL, ret_socket, err)) == 0)
            return mob_error_set(err, MOB_ERR_UNREACHABLE,
                                 "no cluster runs on this machine; start one with `mobula start --head`, or give no address");
        return rc < 0 ? -1 : 0;
    }
    if (resolve(address, head, sizeof head, err) < 0 || (rc = find(head, ret_socket, err)) < 0)
        return -1;
    return rc == 1 ? 0 : start(o, head, ret_socket, ret_cluster, err);
}

/* -- ending ------------------------------------------------------------------------------------------------------------------ */

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void mob_cluster_end(struct mob_cluster *c)
{
    int64_t deadline = now_ms() + END_MS;

    if (c == NULL)
        return;
    for (size_t i = 0; i < c->count; i++)
        mob_identity_signal(&c->daemons[i], SIGTERM, NULL);
    for (size_t i = 0; i < c->count; i++) {     /* they are nobody's children of ours: looking is the only way to wait */
        while (mob_identity_alive(&c->daemons[i]) && now_ms() < deadline)
            nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
        if (mob_identity_alive(&c->daemons[i]))
            mob_identity_signal(&c->daemons[i], SIGKILL, NULL);
    }
    mob_cluster_let_go();
    free(c);
}
