/* SPDX-License-Identifier: Apache-2.0 */
/* disk.c -- the thread of a node's spill files, and of what else takes time for the store: touching memory, and giving it back; and the
 * blocks of the overflow.
 *
 *   the loop: mob_disk_do(job) --> reads, or the rest, each in order --> the thread: does it --> the loop: done(job)
 *
 * Somebody waits for a read, and for blocks of the overflow, so these go first. Files have no name: O_TMPFILE, or, where a file system
 * does not know it, made and removed at once. So the kernel frees them when the raylet ends, however it ends.
 *
 * Writing: the space of a batch is asked for first, so that a full disk is found out before anything is written. At the end of a batch
 * all of it has been accepted by the disk, or the batch has failed. Reading: who fetches objects in the order they were written will
 * fetch the next ones, too, so the disk goes on with those. How bytes go: objstore/disk_flow.c.
 */
#include "objstore/disk.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/error.h"
#include "common/map.h"
#include "objstore/bulk_wire.h"
#include "objstore/disk_flow.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

struct work {
    struct mob_posted posted;           /* on its way back */
    struct mob_link link;               /* in disk->reads or ->rest */
    struct mob_disk *disk;
    struct mob_disk_job *job;
};

struct file {
    int fd;
    uint64_t written;                   /* what is before this never changes */
};

struct mob_disk {
    struct mob_loop *loop;
    void (*done)(void *arg, struct mob_disk_job *job);
    void *arg;
    char *folder, *arena;
    pthread_t thread;
    int folder_fd;
    int overflow_fd;                    /* -1: there is none */
    uint64_t overflow_at;               /* of the arena: there it begins */
    /* the thread */
    struct mob_map files;               /* number -> struct file */
    struct disk_flow *out, *in;
    struct bulk_summer *sum;
    /* both, under `lock` */
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct mob_link reads, rest;
    bool over;
};

/* -- files --------------------------------------------------------------------------------------------------------------- */

/* One without a name. -1: errno says why. */
static int nameless(const struct mob_disk *d, uint32_t number)
{
    char name[64];
    int fd = openat(d->folder_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd >= 0)
        return fd;
    snprintf(name, sizeof name, ".mobula-spill-%ld-%" PRIu32, (long)getpid(), number);
    fd = openat(d->folder_fd, name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0)
        unlinkat(d->folder_fd, name, 0);
    return fd;
}

static struct file *file_make(struct mob_disk *d, uint32_t number, struct mob_error *err)
{
    int fd = nameless(d, number);
    struct file *f;

    if (fd < 0) {
        mob_error_errno(err, "spilling objects stopped: no file can be made in %s", d->folder);
        return NULL;
    }
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_DIRECT);          /* fails where it is not known; then ... */
    posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);                 /* ... the kernel shall not read ahead, too */
    f = mob_new(struct file);
    f->fd = fd;
    mob_map_set(&d->files, number, f);
    return f;
}

static void file_end(struct mob_disk *d, uint32_t number)
{
    struct file *f = mob_map_remove(&d->files, number);

    if (f == NULL)
        return;
    disk_flow_drop(d->in, d->files.count == 0);
    disk_flow_drop(d->out, d->files.count == 0);
    close(f->fd);
    free(f);
}

/* -- writing ------------------------------------------------------------------------------------------------------------- */

static int write_piece(struct mob_disk *d, const struct mob_disk_piece *p)
{
    static const char zeros[64];
    struct mob_disk_record record;

    bulk_summer_begin(d->sum);
    if (disk_flow_put(d->out, d->arena + p->offset, p->size, d->sum) < 0)
        return -1;
    record = mob_disk_record_of(&p->id, p->size, bulk_summer_end(d->sum));
    if (disk_flow_put(d->out, zeros, mob_disk_record_gap(p->size), NULL) < 0)
        return -1;
    return disk_flow_put(d->out, &record, sizeof record, NULL);
}

static int write_pieces(struct mob_disk *d, struct file *f, const struct mob_disk_job *job)
{
    uint64_t at = job->at;

    if (fallocate(f->fd, 0, (off_t)job->at, (off_t)job->length) < 0 && errno != EOPNOTSUPP && errno != ENOSYS)
        return -1;
    disk_flow_begin(d->out, f->fd, job->at);
    for (size_t i = 0; i < job->count; i++) {
        assert(job->pieces[i].at == at);
        if (write_piece(d, &job->pieces[i]) < 0)
            return -1;
        at += mob_disk_record_size(job->pieces[i].size);
    }
    assert(mob_disk_blocks(at) == job->at + job->length);
    return disk_flow_end(d->out);
}

static void do_write(struct mob_disk *d, struct mob_disk_job *job)
{
    struct file *f = mob_map_get(&d->files, job->file);

    if (f == NULL && (f = file_make(d, job->file, &job->err)) == NULL)
        return;
    if (write_pieces(d, f, job) == 0) {
        f->written = job->at + job->length;
        return;
    }
    mob_error_errno(&job->err, "spilling objects stopped: %" PRIu64 " bytes cannot be written to %s", job->length, d->folder);
    disk_flow_drop(d->out, false);
    if (ftruncate(f->fd, (off_t)job->at) < 0)
        return;                         /* what was written of it is written over, or ends with its file */
}

/* -- reading ------------------------------------------------------------------------------------------------------------- */

static int read_piece(struct mob_disk *d, struct file *f, const struct mob_disk_piece *p, struct mob_disk_record *ret_record)
{
    disk_flow_seek(d->in, f->fd, p->at, p->at + mob_disk_record_size(p->size), f->written);
    bulk_summer_begin(d->sum);
    if (disk_flow_get(d->in, d->arena + p->offset, p->size, d->sum) < 0
        || disk_flow_get(d->in, NULL, mob_disk_record_gap(p->size), NULL) < 0)
        return -1;
    return disk_flow_get(d->in, ret_record, sizeof *ret_record, NULL);
}

static void do_read(struct mob_disk *d, struct mob_disk_job *job)
{
    const struct mob_disk_piece *p = job->pieces;
    struct mob_disk_record record;
    char name[MOB_OBJECT_NAME_SIZE];

    if (read_piece(d, mob_map_get(&d->files, job->file), p, &record) == 0) {
        if (!mob_disk_record_good(&record, &p->id, p->size, bulk_summer_end(d->sum)))
            mob_error_set(&job->err, MOB_ERR_OBJECT_LOST, "%s was spilled to file %" PRIu32 " in %s, which has been altered at byte %"
                          PRIu64, mob_object_id_name(&p->id, name), job->file, d->folder, p->at);
        return;
    }
    if (errno != 0)
        mob_error_set(&job->err, MOB_ERR_OBJECT_LOST, "%s was spilled to file %" PRIu32 " in %s, which cannot be read at byte %" PRIu64
                      ": %s", mob_object_id_name(&p->id, name), job->file, d->folder, p->at, strerror(errno));
    else
        mob_error_set(&job->err, MOB_ERR_OBJECT_LOST, "%s was spilled to file %" PRIu32 " in %s, which has been cut off before byte "
                      "%" PRIu64, mob_object_id_name(&p->id, name), job->file, d->folder, p->at + mob_disk_record_size(p->size));
    disk_flow_drop(d->in, false);
}

/* Where it cannot be done, the space comes back with the file. */
static void punch(struct mob_disk *d, const struct mob_disk_job *job)
{
    const struct file *f = mob_map_get(&d->files, job->file);

    if (f != NULL)
        fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)job->at, (off_t)job->length);
}

/* -- memory -------------------------------------------------------------------------------------------------------------- */

/* Of the whole pages within. */
static void madvise_inside(const struct mob_disk *d, const struct mob_disk_job *job, int advice)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), from = (job->at + page - 1) & ~(page - 1), to = (job->at + job->length) & ~(page - 1);

    if (to > from)
        madvise(d->arena + from, to - from, advice);
}

/* -- the overflow -------------------------------------------------------------------------------------------------------- */

static int take_blocks(const struct mob_disk *d, uint64_t at, uint64_t length)
{
    int rc;

    while ((rc = fallocate(d->overflow_fd, 0, (off_t)at, (off_t)length)) < 0 && errno == EINTR)
        ;
    return rc;
}

static void give_blocks(const struct mob_disk *d, uint64_t at, uint64_t length)
{
    fallocate(d->overflow_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)at, (off_t)length);
}

static void do_reserve(const struct mob_disk *d, struct mob_disk_job *job)
{
    if (take_blocks(d, job->at - d->overflow_at, job->length) < 0)
        mob_error_errno(&job->err, "no object overflows to the disk: %s has no %" PRIu64 " bytes for it", d->folder, job->length);
}

int mob_disk_overflow(struct mob_disk *d, uint64_t at, uint64_t size, struct mob_error *err)
{
    int mine;

    d->overflow_at = at;
    d->overflow_fd = nameless(d, 0);
    if (d->overflow_fd < 0 || ftruncate(d->overflow_fd, (off_t)size) < 0 || (take_blocks(d, 0, 4096) < 0 && errno != ENOSPC)
        || (mine = fcntl(d->overflow_fd, F_DUPFD_CLOEXEC, 0)) < 0) {
        mob_error_errno(err, "there is no overflow file, as none can be made in %s", d->folder);
        if (d->overflow_fd >= 0)
            close(d->overflow_fd);
        return d->overflow_fd = -1;
    }
    give_blocks(d, 0, 4096);
    return mine;
}

/* -- the thread ---------------------------------------------------------------------------------------------------------- */

static void do_job(struct mob_disk *d, struct mob_disk_job *job)
{
    switch (job->verb) {
    case MOB_DISK_WRITE:
        do_write(d, job);
        break;
    case MOB_DISK_READ:
        do_read(d, job);
        break;
    case MOB_DISK_PUNCH:
        punch(d, job);
        break;
    case MOB_DISK_END:
        file_end(d, job->file);
        break;
    case MOB_DISK_TOUCH:                /* a kernel without it: they are touched when they are written */
        madvise_inside(d, job, MADV_POPULATE_WRITE);
        break;
    case MOB_DISK_GIVE_BACK:
        madvise_inside(d, job, MADV_REMOVE);
        break;
    case MOB_DISK_RESERVE:
        do_reserve(d, job);
        break;
    case MOB_DISK_RELEASE:
        give_blocks(d, job->at - d->overflow_at, job->length);
        break;
    }
}

static void on_done(struct mob_posted *p)
{
    struct work *w = MOB_CONTAINER(p, struct work, posted);
    struct mob_disk *d = w->disk;
    struct mob_disk_job *job = w->job;

    free(w);
    d->done(d->arg, job);
}

static struct work *next_work(struct mob_disk *d)
{
    struct work *w = NULL;

    pthread_mutex_lock(&d->lock);
    while (!d->over && mob_list_empty(&d->reads) && mob_list_empty(&d->rest))
        pthread_cond_wait(&d->more, &d->lock);
    if (!d->over) {
        w = mob_list_first(mob_list_empty(&d->reads) ? &d->rest : &d->reads, struct work, link);
        mob_list_remove(&w->link);
    }
    pthread_mutex_unlock(&d->lock);
    return w;
}

static void *disk_thread(void *arg)
{
    struct mob_disk *d = arg;
    struct work *w;

    while ((w = next_work(d)) != NULL) {
        do_job(d, w->job);
        w->posted.run = on_done;
        mob_loop_post(d->loop, &w->posted);
    }
    return NULL;
}

/* -- life ---------------------------------------------------------------------------------------------------------------- */

struct mob_disk *mob_disk_create(struct mob_loop *loop, const char *folder, void *arena,
                                 void (*done)(void *arg, struct mob_disk_job *job), void *arg, struct mob_error *err)
{
    int folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), failed;
    struct mob_disk *d;
    sigset_t all, before;

    if (folder_fd < 0 || faccessat(folder_fd, ".", W_OK | X_OK, 0) < 0) {
        mob_error_errno(err, "objects cannot be spilled to %s", folder);
        if (folder_fd >= 0)
            close(folder_fd);
        return NULL;
    }
    d = mob_new(struct mob_disk);
    *d = (struct mob_disk){ .loop = loop, .done = done, .arg = arg, .folder = mob_strdup(folder), .arena = arena, .folder_fd = folder_fd,
                            .overflow_fd = -1, .out = disk_flow_create(true), .in = disk_flow_create(false), .sum = bulk_summer_create(),
                            .lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER };
    mob_list_init(&d->reads);
    mob_list_init(&d->rest);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    failed = pthread_create(&d->thread, NULL, disk_thread, d);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    assert(failed == 0);
    (void)failed;
    return d;
}

void mob_disk_do(struct mob_disk *d, struct mob_disk_job *job)
{
    struct work *w = mob_new(struct work);

    *w = (struct work){ .disk = d, .job = job };
    mob_list_init(&w->link);
    mob_list_init(&w->posted.link);
    pthread_mutex_lock(&d->lock);
    mob_list_append(job->verb == MOB_DISK_READ || job->verb == MOB_DISK_RESERVE ? &d->reads : &d->rest, &w->link);
    pthread_cond_signal(&d->more);
    pthread_mutex_unlock(&d->lock);
}

static void free_list(struct mob_link *list)
{
    struct work *w;

    mob_list_each(w, list, struct work, link) {
        free(w->job);
        free(w);
    }
}

void mob_disk_destroy(struct mob_disk *d)
{
    struct file *f;
    size_t at = 0;

    if (d == NULL)
        return;
    pthread_mutex_lock(&d->lock);
    d->over = true;
    pthread_cond_signal(&d->more);
    pthread_mutex_unlock(&d->lock);
    pthread_join(d->thread, NULL);
    free_list(&d->reads);
    free_list(&d->rest);
    disk_flow_destroy(d->out);
    disk_flow_destroy(d->in);
    bulk_summer_destroy(d->sum);
    while ((f = mob_map_next(&d->files, &at, NULL)) != NULL) {
        close(f->fd);
        free(f);
    }
    mob_map_fini(&d->files);
    if (d->overflow_fd >= 0)
        close(d->overflow_fd);
    close(d->folder_fd);
    free(d->folder);
    free(d);
}
