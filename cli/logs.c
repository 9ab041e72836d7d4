/* SPDX-License-Identifier: Apache-2.0 */
/* logs.c -- mobula logs [PATTERN]: the log files of this machine's nodes; with a pattern, what stands in the ones that match. */
#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/verbs.h"
#include "common/here.h"

static const struct option options[] = { { 0 } };

static int print_file(const char *path)
{
    char part[65536];
    FILE *f = fopen(path, "re");
    size_t n;

    if (f == NULL) {
        fprintf(stderr, "mobula: %s: %s\n", path, strerror(errno));
        return -1;
    }
    while ((n = fread(part, 1, sizeof part, f)) > 0)
        fwrite(part, 1, n, stdout);
    fclose(f);
    return 0;
}

/* Returns how many matched. */
static size_t folder_logs(const char *folder, const char *pattern)
{
    char path[MOB_PATH_SIZE + 512];
    struct dirent **names;
    size_t matched = 0;
    int n = scandir(folder, &names, NULL, alphasort);

    for (int i = 0; i < n; i++) {
        if (names[i]->d_name[0] != '.' && (pattern == NULL || fnmatch(pattern, names[i]->d_name, 0) == 0)) {
            snprintf(path, sizeof path, "%s/%s", folder, names[i]->d_name);
            matched++;
            if (pattern == NULL)
                puts(path);
            else
                print_file(path);
        }
        free(names[i]);
    }
    if (n >= 0)
        free(names);
    return matched;
}

/* Those of a raylet that lives for one driver are in a folder of its own, <name>.d beside <name>.sock. */
static size_t own_logs(const struct mob_daemon_record *d, const char *pattern)
{
    char folder[MOB_PATH_SIZE + 8];
    const char *end = strrchr(d->socket, '.');

    if (!d->is_private || strcmp(d->role, "raylet") != 0 || end == NULL)
        return 0;
    snprintf(folder, sizeof folder, "%.*s.d", (int)(end - d->socket), d->socket);
    return folder_logs(folder, pattern);
}

static size_t session_logs(const char *session, const char *pattern)
{
    char folder[MOB_PATH_SIZE + 8];

    snprintf(folder, sizeof folder, "%s/logs", session);
    return folder_logs(folder, pattern);
}

static int run(const struct args *a)
{
    static struct mob_here_daemon all[MOB_HERE_DAEMONS_MAX];
    struct mob_error err;
    size_t count, matched = 0;

    if (mob_here_list(all, &count, &err) < 0)
        return args_failed(&err);
    for (size_t i = 0; i < count; i++) {
        bool seen = false;
        for (size_t j = 0; j < i; j++)          /* head and raylet of one node share a session */
            seen |= strcmp(all[i].session, all[j].session) == 0;
        if (!seen)
            matched += session_logs(all[i].session, args_operand(a));
        matched += own_logs(&all[i].record, args_operand(a));
    }
    if (matched > 0)
        return 0;
    if (args_operand(a) != NULL)
        fprintf(stderr, "mobula: no log file of a running node of this machine matches %s\n", args_operand(a));
    else
        fprintf(stderr, "mobula: %s\n", count > 0 ? "the nodes of this machine have no log files yet"
                                                  : "no node of yours runs on this machine, so there are no log files");
    return 1;
}

static const char help[] =
    "list this machine's log files, or print those that match\n\n"
    "A pattern is of a file's whole name, as a shell's: 'worker-*.err' is what tasks printed on stderr, a file a worker\n"
    "process; '*.log' is what head and raylet said.";

const struct verb verb_logs = { "logs", "[PATTERN]", help, options, run };
