/* SPDX-License-Identifier: Apache-2.0 */
/* spill.c -- the disk behind the store: which folder, and the jobs between the store and the disk's thread.
 *
 * A folder in memory is no help against memory that is full. So of the run folder, $TMPDIR, /tmp and /var/tmp the first is taken
 * that lies on a disk; if none does, one in memory, with a warning. What is spilled has no name there (objstore/disk.c). The same folder
 * has the store's overflow; where it cannot be, the store does without.
 */
#include <errno.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/log.h"
#include "objstore/disk.h"
#include "raylet/shell.h"

/* True: files can be made there. */
static bool usable(const char *folder, bool *ret_in_memory)
{
    struct statfs fs;

    if (folder == NULL || folder[0] != '/' || access(folder, W_OK | X_OK) < 0 || statfs(folder, &fs) < 0)
        return false;
    *ret_in_memory = fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC;
    return true;
}

static const char *choose(const char *run)
{
    const char *const candidates[] = { run, getenv("TMPDIR"), "/tmp", "/var/tmp" };
    const char *second = NULL;
    bool in_memory;

    for (size_t i = 0; i < MOB_COUNT(candidates); i++) {
        if (!usable(candidates[i], &in_memory))
            continue;
        if (!in_memory)
            return candidates[i];
        second = second == NULL ? candidates[i] : second;
    }
    return second;
}

static int find_folder(const struct mob_raylet_options *o, char ret[PATH_MAX], struct mob_error *err)
{
    char run[MOB_PATH_SIZE];
    const char *folder = o->spill_folder;
    bool in_memory = false;

    if (folder == NULL) {
        if (mob_paths_run(run, err) < 0)
            return -1;
        folder = choose(run);
    }
    if (folder == NULL)
        return mob_error_set(err, MOB_ERR_INVALID, "there is no folder to spill objects to; name one with --object-spilling-directory");
    if (!usable(folder, &in_memory))
        return mob_error_set(err, MOB_ERR_INVALID, "--object-spilling-directory %s: %s", folder,
                             folder[0] != '/' ? "the whole path is needed" : strerror(errno));
    if (in_memory)
        mob_warn("objects are spilled to %s, which is memory, too; name a folder on a disk with --object-spilling-directory", folder);
    mob_copy(ret, PATH_MAX, folder);
    return 0;
}

static void job_done(void *arg, struct mob_disk_job *job)
{
    struct mob_shell *s = arg;

    if (job->err.code != MOB_OK)
        mob_error_log("%s", job->err.text);
    mob_store_disk_done(s->store, job);
    mob_shell_poke(s);
}

void mob_spill_do(void *shell, struct mob_disk_job *job)
{
    struct mob_shell *s = shell;

    mob_disk_do(s->disk, job);
}

static void open_overflow(struct mob_shell *s, uint64_t size)
{
    struct mob_error err;
    int fd = mob_disk_overflow(s->disk, mob_store_overflow_at(s->store), size, &err);

    if (fd < 0 || mob_store_overflow(s->store, fd, &err) < 0)
        mob_warn("%s", err.text);
}

int mob_spill_init(struct mob_shell *s, uint64_t overflow, struct mob_error *err)
{
    char folder[PATH_MAX];

    if (find_folder(s->options, folder, err) < 0)
        return -1;
    s->disk = mob_disk_create(s->loop, folder, mob_store_arena(s->store), job_done, s, err);
    if (s->disk == NULL)
        return -1;
    open_overflow(s, overflow);
    return 0;
}
