/* SPDX-License-Identifier: Apache-2.0 */
/* paths.c -- the run folder. /tmp is open to all: a folder there is trusted only after lstat() says it is a folder of ours, closed to
 * others, so that nobody can prepare one for us.
 *
 * Who enters a session folder and who sweeps it may meet at any point: between mkdir() and flock() the folder may go, and what is
 * locked then has no name any more. So a lock counts only if the path still leads to what was locked. */
#include "common/paths.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/identity.h"
#include "common/mem.h"

#define DEPTH_MAX 64                    /* of a tree that is removed */
#define CLUSTER_DIGITS 8
#define MACHINE_DIGITS 8                 /* of the boot, and of the host */
#define ENTER_MS_MAX 5000               /* a sweep that we wait for is over long before */

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

int mob_paths_home(char *ret, size_t size, struct mob_error *err)
{
    const char *home = getenv("HOME");
    struct passwd entry, *found = NULL;
    char room[1024];

    if (home != NULL && home[0] == '/') {
        mob_copy(ret, size, home);
        return 0;
    }
    if (getpwuid_r(geteuid(), &entry, room, sizeof(room), &found) != 0 || found == NULL)
        return mob_error_set(err, MOB_ERR_INVALID, "HOME is not set; set it, or name the token's file by MOBULA_TOKEN_FILE");
    mob_copy(ret, size, found->pw_dir);
    return 0;
}

int mob_paths_state(const char *ip, unsigned port, char ret[MOB_PATH_SIZE], struct mob_error *err)
{
    char home[MOB_PATH_SIZE / 2];

    if (mob_paths_home(home, sizeof home, err) < 0)
        return -1;
    snprintf(ret, MOB_PATH_SIZE, "%s/.mobula/heads/%.64s-%u.db", home, ip, port);
    return 0;
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

/* -- session folders --------------------------------------------------------------------------------------------------------- */

struct machine {
    char boot[MOB_BOOT_ID_SIZE];        /* begins with 8 hex digits */
    char host[MACHINE_DIGITS + 1];
};

/* Images are copied with their machine-id, and hosts of different sites may have one name; hardly both at once. */
static int this_machine(struct machine *ret, struct mob_error *err)
{
    char name[65] = "", id[33] = "";    /* HOST_NAME_MAX; a machine-id is 32 hex digits */
    FILE *f = fopen("/etc/machine-id", "re");
    uint32_t hash = 2166136261u;        /* FNV-1a */

    gethostname(name, sizeof name - 1);
    if (f != NULL) {
        id[fread(id, 1, sizeof id - 1, f)] = '\0';
        fclose(f);
    }
    for (const char *at = name; *at != '\0'; at++)
        hash = (hash ^ (uint8_t)*at) * 16777619u;
    for (const char *at = id; *at != '\0'; at++)
        hash = (hash ^ (uint8_t)*at) * 16777619u;
    snprintf(ret->host, sizeof ret->host, "%08x", hash);
    return mob_identity_boot(ret->boot, err);
}

int mob_paths_session(const char *run, const char *cluster, const char *ip, char ret[MOB_PATH_SIZE], struct mob_error *err)
{
    char path[MOB_PATH_SIZE];
    struct machine here;

    if (strspn(cluster, "0123456789abcdef") < CLUSTER_DIGITS || ip[0] == '\0' || strpbrk(ip, "/@") != NULL)
        return mob_error_set(err, MOB_ERR_INVALID, "no session folder is named after cluster '%.40s' and address '%.60s'", cluster, ip);
    if (this_machine(&here, err) < 0)
        return -1;
    if ((size_t)snprintf(path, sizeof(path), "%s/%.*s@%s@%.*s-%s", run, CLUSTER_DIGITS, cluster, ip, MACHINE_DIGITS, here.boot,
                         here.host) >= sizeof(path))
        return mob_error_set(err, MOB_ERR_INVALID, "the path of the run folder is too long: %.200s", run);
    mob_copy(ret, MOB_PATH_SIZE, path);
    return 0;
}

static bool is_still_named(const char *path, int fd)
{
    struct stat locked, named;

    return fstat(fd, &locked) == 0 && lstat(path, &named) == 0 && locked.st_dev == named.st_dev && locked.st_ino == named.st_ino;
}

/* The locked folder, still of this name. -1 with errno: EWOULDBLOCK if another's lock is in the way, ENOENT if it is gone. */
static int lock_folder(const char *path, int how)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), failed;

    if (fd < 0)
        return -1;
    if (flock(fd, how | LOCK_NB) < 0)
        failed = errno;
    else if (!is_still_named(path, fd))
        failed = ENOENT;
    else
        return fd;
    close(fd);
    errno = failed;
    return -1;
}

int mob_paths_enter(const char *session, int *ret_lock, struct mob_error *err)
{
    const struct timespec round = { .tv_nsec = 1000000 };
    char logs[MOB_PATH_SIZE + sizeof("/logs")];
    int lock = -1;

    for (int ms = 0; lock < 0; ms++) {
        if (mkdir(session, 0700) < 0 && errno != EEXIST)
            return mob_error_errno(err, "making the folder %s", session);
        if ((lock = lock_folder(session, LOCK_SH)) >= 0)
            break;
        if (ms >= ENTER_MS_MAX || (errno != ENOENT && errno != EWOULDBLOCK)) {
            int failed = errno;

            if (check_private(session, err) < 0)
                return -1;
            errno = failed;
            return mob_error_errno(err, "locking the folder %s", session);
        }
        nanosleep(&round, NULL);        /* it is being swept: then it is ours to make */
    }
    snprintf(logs, sizeof(logs), "%s/logs", session);
    if (check_private(session, err) < 0 || mob_paths_private(logs, err) < 0) {
        close(lock);
        return -1;
    }
    *ret_lock = lock;
    return 0;
}

/* Hold it with the others, after who has it to himself now. -1: it is gone. */
static int share_folder(const char *session)
{
    const struct timespec round = { .tv_nsec = 1000000 };
    int lock = lock_folder(session, LOCK_SH);

    for (int ms = 0; lock < 0 && errno == EWOULDBLOCK && ms < ENTER_MS_MAX; ms++) {
        nanosleep(&round, NULL);
        lock = lock_folder(session, LOCK_SH);
    }
    return lock;
}

/* Several may leave at once, each after its own files are gone. Who has the folder to himself may still find files of another in it, and
 * that one must not take him for somebody who stays: so it waits until it shares the folder, and then asks for all of it. Of those who
 * share it, the last one gets it. */
void mob_paths_leave(const char *session, int lock)
{
    char logs[MOB_PATH_SIZE + sizeof("/logs")];

    if (lock < 0 && (lock = share_folder(session)) < 0)
        return;
    if (flock(lock, LOCK_EX | LOCK_NB) == 0 && is_still_named(session, lock)) {
        snprintf(logs, sizeof(logs), "%s/logs", session);
        rmdir(logs);                    /* logs that are there stay, for people */
        rmdir(session);
    }
    close(lock);
}

bool mob_paths_sweep(const char *session)
{
    int lock = lock_folder(session, LOCK_EX), result;

    if (lock < 0)
        return errno == ENOENT;
    result = mob_paths_remove(session, NULL);
    close(lock);
    return result == 0;
}

static bool is_session_of(const struct machine *here, const char *name)
{
    const char *last = strrchr(name, '@');

    if (strspn(name, "0123456789abcdef") != CLUSTER_DIGITS || name[CLUSTER_DIGITS] != '@' || last == name + CLUSTER_DIGITS
        || strlen(++last) != 2 * MACHINE_DIGITS + 1 || last[MACHINE_DIGITS] != '-')
        return false;
    return strncmp(last, here->boot, MACHINE_DIGITS) == 0 || strcmp(last + MACHINE_DIGITS + 1, here->host) == 0;
}

int mob_paths_each_session(const char *run, void (*visit)(void *arg, const char *path), void *arg, struct mob_error *err)
{
    char path[MOB_PATH_SIZE];
    struct machine here;
    struct dirent *entry;
    DIR *folder;

    if (this_machine(&here, err) < 0)
        return -1;
    if ((folder = opendir(run)) == NULL)
        return mob_error_errno(err, "listing %s", run);
    while ((entry = readdir(folder)) != NULL)
        if (is_session_of(&here, entry->d_name)
            && (size_t)snprintf(path, sizeof(path), "%s/%s", run, entry->d_name) < sizeof(path))
            visit(arg, path);
    closedir(folder);
    return 0;
}

/* -- removal ----------------------------------------------------------------------------------------------------------------- */

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
