/* SPDX-License-Identifier: Apache-2.0 */
/* stop.c -- mobula stop: ends the daemons of a cluster that run on this machine, by recorded identity, never by name. */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/ask.h"
#include "cli/verbs.h"
#include "common/here.h"

#define STOP_GRACE_MS 10000
#define STOP_KILL_MS 5000

static const struct option options[] = {
    { "all", NULL, "every cluster of this user on this machine, private ones too" },
    { "force", NULL, "SIGKILL at once" },
    { "address", "HOST:PORT", "the cluster with this head; needed only where several run here" },
    { 0 },
};

static size_t alive(const struct mob_here_daemon *all, size_t count, const char *role)
{
    size_t n = 0;

    for (size_t i = 0; i < count; i++)
        n += strcmp(all[i].record.role, role) == 0 && mob_identity_alive(&all[i].record.process);
    return n;
}

static void signal_all(const struct mob_here_daemon *all, size_t count, const char *role, int signal_number)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(all[i].record.role, role) == 0)
            mob_identity_signal(&all[i].record.process, signal_number, NULL);
}

/* Poll: these are no children of ours, and a pidfd is not everywhere. */
static size_t wait_gone(const struct mob_here_daemon *all, size_t count, const char *role, int64_t ms)
{
    struct timespec pause = { .tv_nsec = 5000000 };
    size_t left;

    for (int64_t waited = 0; (left = alive(all, count, role)) > 0 && waited < ms; waited += 5)
        nanosleep(&pause, NULL);
    return left;
}

static size_t stop_role(const struct mob_here_daemon *all, size_t count, const char *role, bool force)
{
    size_t left;

    signal_all(all, count, role, force ? SIGKILL : SIGTERM);
    left = wait_gone(all, count, role, STOP_GRACE_MS);
    if (left == 0)
        return 0;
    signal_all(all, count, role, SIGKILL);
    return wait_gone(all, count, role, STOP_KILL_MS);
}

/* Folders that nobody holds any more. A killed guard is gone before its raylet is: that holds its folder a moment longer. */
static void clear_away(const struct mob_here_daemon *stopped, size_t count)
{
    static struct mob_here_daemon living[MOB_HERE_DAEMONS_MAX];
    struct timespec pause = { .tv_nsec = 5000000 };
    size_t left = count, living_count;

    for (int64_t waited = 0; left > 0 && waited < STOP_KILL_MS; waited += 5) {
        if (mob_here_list(living, &living_count, NULL) < 0)     /* sweeps */
            return;
        left = 0;
        for (size_t i = 0; i < count; i++) {
            bool lived_in = false;
            for (size_t j = 0; j < living_count; j++)
                lived_in |= strcmp(living[j].session, stopped[i].session) == 0;
            left += !lived_in && access(stopped[i].session, F_OK) == 0;
        }
        if (left > 0)
            nanosleep(&pause, NULL);
    }
}

static void remove_state_at(const char *ip, unsigned port)
{
    char path[MOB_PATH_SIZE], log[MOB_PATH_SIZE + 8];

    if (!mob_here_is_ours(ip) || mob_paths_state(ip, port, path, NULL) < 0)
        return;                         /* the head is on another machine */
    snprintf(log, sizeof log, "%s-wal", path);
    unlink(path);
    unlink(log);
}

/* What a head that was killed has left for one after it: there will be none, as this is the cluster's end. */
static void remove_state(const struct mob_daemon_record *r)
{
    const char *colon = strrchr(r->head, ':');
    size_t n = colon != NULL ? (size_t)(colon - r->head) : 0;
    char ip[64];

    if (n < 2 || n >= sizeof ip)
        return;
    if (r->head[0] == '[')
        snprintf(ip, sizeof ip, "%.*s", (int)n - 2, r->head + 1);
    else
        snprintf(ip, sizeof ip, "%.*s", (int)n, r->head);
    remove_state_at(ip, (unsigned)strtoul(colon + 1, NULL, 10));
}

/* The same of all heads of this machine, where nothing runs any more. */
static void remove_states(void)
{
    char path[MOB_PATH_SIZE], *name;
    struct dirent *entry;
    DIR *folder;

    if (mob_paths_state("0", 0, path, NULL) < 0)
        return;
    *strrchr(path, '/') = '\0';
    if ((folder = opendir(path)) == NULL)
        return;
    while ((entry = readdir(folder)) != NULL) {
        char *end = strrchr(name = entry->d_name, '-');

        if (end == NULL)
            continue;                   /* "<ip>-<port>.db" */
        *end = '\0';
        remove_state_at(name, (unsigned)strtoul(end + 1, NULL, 10));
    }
    closedir(folder);
}

/* Keep those of one cluster: the one asked for, or the only one. */
static int choose(const struct args *a, struct mob_here_daemon *all, size_t *count, struct mob_error *err)
{
    const char *address = args_text(a, "address");
    char wanted[80] = "", ip[64];
    uint32_t port;
    size_t kept = 0;

    if (address != NULL) {
        if (ask_resolve(address, ip, &port, err) < 0)
            return -1;
        snprintf(wanted, sizeof wanted, strchr(ip, ':') != NULL ? "[%s]:%u" : "%s:%u", ip, port);
    }
    for (size_t i = 0; i < *count; i++) {
        if (address != NULL ? strcmp(all[i].record.head, wanted) != 0 : all[i].record.is_private)
            continue;
        if (kept > 0 && strcmp(all[0].record.cluster, all[i].record.cluster) != 0)
            return mob_error_set(err, MOB_ERR_INVALID, "several clusters run here (heads %s and %s); say --address=HOST:PORT or --all",
                                 all[0].record.head, all[i].record.head);
        all[kept++] = all[i];
    }
    *count = kept;
    return 0;
}

static int run(const struct args *a)
{
    static struct mob_here_daemon all[MOB_HERE_DAEMONS_MAX];
    struct mob_error err;
    size_t count, left;

    if (mob_here_list(all, &count, &err) < 0 || (!args_flag(a, "all") && choose(a, all, &count, &err) < 0))
        return args_failed(&err);
    if (count == 0) {
        printf("Nothing of yours runs here.\n");
        if (args_text(a, "address") == NULL)
            remove_states();
        return 0;
    }
    left = stop_role(all, count, "raylet", args_flag(a, "force"));
    left += stop_role(all, count, "head", args_flag(a, "force"));
    clear_away(all, count);
    for (size_t i = 0; i < count; i++)
        remove_state(&all[i].record);
    printf("Stopped %zu of %zu.\n", count - left, count);
    return left == 0 ? 0 : 1;
}

const struct verb verb_stop = { "stop", NULL, "end the cluster's head and raylet on this machine", options, run };
