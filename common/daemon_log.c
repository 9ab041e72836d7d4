/* SPDX-License-Identifier: Apache-2.0 */
/* daemon_log.c -- the log of a daemon moves into its session folder by a rename: the daemon goes on writing to the same file. */
#include "common/daemon_log.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int mob_daemon_log_begin(const char *daemon, char ret_path[MOB_PATH_SIZE], struct mob_error *err)
{
    char run[MOB_PATH_SIZE];
    int fd;

    if (mob_paths_run(run, err) < 0)
        return -1;
    if (snprintf(ret_path, MOB_PATH_SIZE, "%s/%s-XXXXXX.log", run, daemon) >= MOB_PATH_SIZE)
        return mob_error_set(err, MOB_ERR_INVALID, "the path of the run folder %s is too long", run);
    /* No pid in its name: that may be another's, too, in another container or on another host. */
    if ((fd = mkostemps(ret_path, sizeof ".log" - 1, O_CLOEXEC)) < 0)
        return mob_error_errno(err, "making the log %s", ret_path);
    close(fd);
    return 0;
}

void mob_daemon_log_keep(const char *path, const char *daemon, const char *cluster, const char *ip)
{
    char run[MOB_PATH_SIZE], session[MOB_PATH_SIZE], kept[2 * MOB_PATH_SIZE];

    if (mob_paths_run(run, NULL) < 0 || mob_paths_session(run, cluster, ip, session, NULL) < 0)
        return;
    snprintf(kept, sizeof kept, "%s/logs/%s.log", session, daemon);
    if (rename(path, kept) < 0)
        unlink(path);                   /* it has ended meanwhile, and its session with it */
}

void mob_daemon_log_drop(const char *path, struct mob_error *err)
{
    FILE *f = fopen(path, "re");
    char line[400], last[400] = "", said[sizeof err->text] = "";

    if (f == NULL)
        return;
    while (fgets(line, sizeof line, f) != NULL)
        if (line[0] != '\n')
            memcpy(last, line, sizeof last);
    fclose(f);
    unlink(path);
    last[strcspn(last, "\n")] = '\0';
    if (err != NULL)
        memcpy(said, err->text, sizeof said);
    if (strstr(said, "its log says") != NULL && last[0] != '\0')
        mob_error_set(err, err->code, "%.*s: %s", (int)strcspn(said, ";"), said, last);
}
