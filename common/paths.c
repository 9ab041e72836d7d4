/* SPDX-License-Identifier: Apache-2.0 */
/* paths.c -- the run folder. /tmp is open to all: a folder there is trusted only after lstat() says it is a folder of ours, closed to
 * others, so that nobody can prepare one for us. */
#include "common/paths.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/mem.h"

#define DEPTH_MAX 64                    /* of a tree that is removed */
#define CLUSTER_DIGITS 8

static int check_private(const char *path, struct mob_error *err)
{
    struct stat st;

    if (lstat(path, &st) < 0)
        return mob_error_errno(err, "looking at %s", path);
    if (!S_ISDIR(st.st_mode))
        return mob_error_set(err, MOB_ERR_DENIED, "%s is not a folder; remove it", path);
    if (st.st_uid != geteuid())
        return mob_error_set(err, MOB_ERR_DENIED, "%s belongs to user %u; ask them to remove it, or set XDG_RUNTIME_DIR", path,
                             (unsigned)st.st_uid);
    if ((st.st_mode & 077) != 0)
        return mob_error_set(err, MOB_ERR_DENIED, "%s is open to other users; run chmod 700 %s", path, path);
    return 0;
}

int mob_paths_private(const char *path, struct mob_error *err)
{
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return mob_error_errno(err, "making the folder %s", path);
    return check_private(path, err);
}

static bool is_folder(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

int mob_paths_run(char ret[MOB_PATH_SIZE], struct mob_error *err)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    char path[MOB_PATH_SIZE];

    if (runtime != NULL && runtime[0] == '/' && strlen(runtime) < MOB_PATH_SIZE / 2 && is_folder(runtime))
        snprintf(path, sizeof(path), "%s/mobula", runtime);
    else
        snprintf(path, sizeof(path), "/tmp/mobula-%u", (unsigned)geteuid());
    if (mob_paths_private(path, err) < 0)
        return -1;
    mob_copy(ret, MOB_PATH_SIZE, path);
    return 0;
}

int mob_paths_session(const char *run, const char *cluster, const char *ip, char ret[MOB_PATH_SIZE], struct mob_error *err)
{
    char path[MOB_PATH_SIZE], logs[MOB_PATH_SIZE + sizeof("/logs")];

    if (strspn(cluster, "0123456789abcdef") < CLUSTER_DIGITS || ip[0] == '\0' || strchr(ip, '/') != NULL)
        return mob_error_set(err, MOB_ERR_INVALID, "no session folder is named after cluster '%.40s' and address '%.60s'", cluster, ip);
    if ((size_t)snprintf(path, sizeof(path), "%s/%.*s@%s", run, CLUSTER_DIGITS, cluster, ip) >= sizeof(path))
        return mob_error_set(err, MOB_ERR_INVALID, "the path of the run folder is too long: %.200s", run);
    snprintf(logs, sizeof(logs), "%s/logs", path);
    if (mob_paths_private(path, err) < 0 || mob_paths_private(logs, err) < 0)
        return -1;
    mob_copy(ret, MOB_PATH_SIZE, path);
    return 0;
}

static bool is_session(const char *name)
{
    return strspn(name, "0123456789abcdef") == CLUSTER_DIGITS && name[CLUSTER_DIGITS] == '@';
}

int mob_paths_each_session(const char *run, void (*visit)(void *arg, const char *path), void *arg, struct mob_error *err)
{
    char path[MOB_PATH_SIZE];
    struct dirent *entry;
    DIR *folder = opendir(run);

    if (folder == NULL)
        return mob_error_errno(err, "listing %s", run);
    while ((entry = readdir(folder)) != NULL)
        if (is_session(entry->d_name)
            && (size_t)snprintf(path, sizeof(path), "%s/%s", run, entry->d_name) < sizeof(path))
            visit(arg, path);
    closedir(folder);
    return 0;
}

/* Empty the folder behind `fd`, which is taken over. */
static int empty_folder(int fd, unsigned depth, struct mob_error *err)
{
    DIR *folder = fdopendir(fd);
    struct dirent *entry;
    int result = 0;

    if (folder == NULL || depth > DEPTH_MAX) {
        mob_error_set(err, MOB_ERR_SYSTEM, "a folder tree could not be listed, or is deeper than %d levels", DEPTH_MAX);
        folder != NULL ? closedir(folder) : close(fd);
        return -1;
    }
    while (result == 0 && (entry = readdir(folder)) != NULL) {
        int inner;

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (unlinkat(fd, entry->d_name, 0) == 0 || errno == ENOENT)
            continue;
        inner = openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (inner >= 0)
            result = empty_folder(inner, depth + 1, err);
        if (result == 0 && unlinkat(fd, entry->d_name, AT_REMOVEDIR) < 0 && errno != ENOENT)
            result = mob_error_errno(err, "removing %s", entry->d_name);
    }
    closedir(folder);
    return result;
}

int mob_paths_remove(const char *path, struct mob_error *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0)
        return mob_error_errno(err, "removing the folder %s", path);
    if (empty_folder(fd, 0, err) < 0)
        return -1;
    if (rmdir(path) < 0 && errno != ENOENT)
        return mob_error_errno(err, "removing the folder %s", path);
    return 0;
}
