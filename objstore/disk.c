/* SPDX-License-Identifier: Apache-2.0 */
/* disk.c -- the thread of a node's spill files, and of what else takes time for the store: touching memory, and giving it back.
 *
 *   the loop: mob_disk_do(job) --> reads, or the rest, each in order --> the thread: does it --> the loop: done(job)
 *
 * Somebody waits for a read, so reads go first. Files have no name: O_TMPFILE, or, where a file system does not know it, made and
 * removed at once. So the kernel frees them when the raylet ends, however it ends.
 *
 * Writing: the space of a batch is asked for first, so that a full disk is found out before anything is written. Then piece after piece,
 * through the page cache, as extents begin at any 64 bytes; but each STRETCH is sent to the disk as soon as it is written, waited for
 * one stretch later, and dropped from the cache: memory is what we are short of. At the end of a batch all of it has been accepted
 * by the disk, or the batch has failed.
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
#include <sys/uio.h>
#include <unistd.h>

#include "common/error.h"
#include "common/map.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#define STRETCH (UINT64_C(8) << 20)
#define READ_AHEAD (UINT64_C(16) << 20)

struct work {
    struct mob_posted posted;           /* on its way back */
    struct mob_link link;               /* in disk->reads or ->rest */
    struct mob_disk *disk;
    struct mob_disk_job *job;
};

struct mob_disk {
    struct mob_loop *loop;
    void (*done)(void *arg, struct mob_disk_job *job);
    void *arg;
    char *folder, *arena;
    pthread_t thread;
    int folder_fd;
    /* the thread */
    struct mob_map files;               /* number -> descriptor + 1 */
    uint32_t read_file;                 /* the last read: of this file, up to here */
    uint64_t read_to;
    /* both, under `lock` */
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct mob_link reads, rest;
    bool over;
};

/* -- files --------------------------------------------------------------------------------------------------------------- */

static int file_make(struct mob_disk *d, uint32_t number, struct mob_error *err)
{
    char name[64];
    int fd = openat(d->folder_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd < 0) {
        snprintf(name, sizeof name, ".mobula-spill-%ld-%" PRIu32, (long)getpid(), number);
        fd = openat(d->folder_fd, name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
        if (fd >= 0)
            unlinkat(d->folder_fd, name, 0);
    }
    if (fd < 0)
        return mob_error_errno(err, "spilling objects stopped: no file can be made in %s", d->folder);
    mob_map_set(&d->files, number, (void *)((intptr_t)fd + 1));
    return fd;
}

static int file_of(const struct mob_disk *d, uint32_t number)
{
    return (int)(intptr_t)mob_map_get(&d->files, number) - 1;
}

static void file_end(struct mob_disk *d, uint32_t number)
{
    int fd = file_of(d, number);

    if (fd < 0)
        return;
    mob_map_remove(&d->files, number);
    close(fd);
}

/* -- moving -------------------------------------------------------------------------------------------------------------- */

typedef ssize_t move_call(int fd, const struct iovec *v, int count, off_t at);      /* pwritev, preadv */

/* All of it, however often it takes. -1: errno says why; 0 there: the file has no more. */
static int move_all(move_call *move, int fd, struct iovec *v, int count, uint64_t at)
{
    while (count > 0) {
        ssize_t n = move(fd, v, count, (off_t)at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0)
            errno = 0;
        if (n <= 0)
            return -1;
        at += (uint64_t)n;
        for (; count > 0 && (size_t)n >= v->iov_len; v++, count--)
            n -= (ssize_t)v->iov_len;
        if (count > 0) {
            v->iov_base = (char *)v->iov_base + n;
            v->iov_len -= (size_t)n;
        }
    }
    return 0;
}

/* -- writing ------------------------------------------------------------------------------------------------------------- */

/* Of what was written so far, [from, to) is on its way; wait for it and forget it. A file system that cannot do so keeps it. */
static int wait_for(int fd, uint64_t from, uint64_t to)
{
    const unsigned how = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;

    if (from == to)
        return 0;
    if (sync_file_range(fd, (off_t)from, (off_t)(to - from), how) < 0 && errno != ENOSYS && errno != ESPIPE && errno != EINVAL)
        return -1;
    posix_fadvise(fd, (off_t)from, (off_t)(to - from), POSIX_FADV_DONTNEED);
    return 0;
}

/* [waited, sent) is on its way to the disk. */
struct flow {
    uint64_t waited, sent;
};

static int flow_on(int fd, struct flow *f, uint64_t written)
{
    uint64_t sent = f->sent;

    if (written - f->sent < STRETCH)
        return 0;
    sync_file_range(fd, (off_t)f->sent, (off_t)(written - f->sent), SYNC_FILE_RANGE_WRITE);     /* fails again when waited for */
    f->sent = written;
    if (wait_for(fd, f->waited, sent) < 0)
        return -1;
    f->waited = sent;
    return 0;
}

static int write_piece(const struct mob_disk *d, int fd, const struct mob_disk_piece *p, struct flow *f)
{
    struct mob_disk_record record;
    char *data = d->arena + p->offset;
    uint64_t at = p->at + sizeof record;

    mob_disk_record_seal(&record, &p->id, data, p->size);
    for (uint64_t left = p->size, first = 1; left > 0 || first; first = 0) {
        uint64_t part = left < STRETCH ? left : STRETCH;
        struct iovec v[2] = { { &record, sizeof record }, { data, part } };

        if (move_all(pwritev, fd, first ? v : v + 1, first ? 2 : 1, first ? p->at : at) < 0 || flow_on(fd, f, at + part) < 0)
            return -1;
        data += part;
        at += part;
        left -= part;
    }
    return 0;
}

static int write_pieces(const struct mob_disk *d, int fd, const struct mob_disk_job *job)
{
    struct flow flow = { job->at, job->at };

    if (fallocate(fd, 0, (off_t)job->at, (off_t)job->length) < 0 && errno != EOPNOTSUPP && errno != ENOSYS)
        return -1;
    for (size_t i = 0; i < job->count; i++)
        if (write_piece(d, fd, &job->pieces[i], &flow) < 0)
            return -1;
    return wait_for(fd, flow.waited, job->at + job->length);
}

static void do_write(struct mob_disk *d, struct mob_disk_job *job)
{
    int fd = file_of(d, job->file);

    if (fd < 0 && (fd = file_make(d, job->file, &job->err)) < 0)
        return;
    if (write_pieces(d, fd, job) == 0)
        return;
    mob_error_errno(&job->err, "spilling objects stopped: %" PRIu64 " bytes cannot be written to %s", job->length, d->folder);
    if (ftruncate(fd, (off_t)job->at) < 0)
        return;                         /* what was written of it is written over, or ends with its file */
}

/* -- reading ------------------------------------------------------------------------------------------------------------- */

/* Who fetches objects in the order they were written will fetch the next ones, too: the disk need not wait for that. */
static void read_ahead(struct mob_disk *d, int fd, const struct mob_disk_job *job)
{
    bool in_order = d->read_file == job->file && d->read_to == job->at;

    posix_fadvise(fd, (off_t)job->at, (off_t)(in_order ? job->length + READ_AHEAD : job->length), POSIX_FADV_WILLNEED);
    d->read_file = job->file;
    d->read_to = job->at + job->length;
}

static void do_read(struct mob_disk *d, struct mob_disk_job *job)
{
    const struct mob_disk_piece *p = job->pieces;
    struct mob_disk_record record;
    struct iovec v[2] = { { &record, sizeof record }, { d->arena + p->offset, p->size } };
    char name[MOB_OBJECT_NAME_SIZE];
    int fd = file_of(d, job->file);

    read_ahead(d, fd, job);
    if (move_all(preadv, fd, v, 2, job->at) < 0 && errno != 0)
        mob_error_set(&job->err, MOB_ERR_OBJECT_LOST, "%s was spilled to file %" PRIu32 " in %s, which cannot be read at byte %" PRIu64
                      ": %s", mob_object_id_name(&p->id, name), job->file, d->folder, job->at, strerror(errno));
    else if (lseek(fd, 0, SEEK_END) < (off_t)(job->at + sizeof record + p->size))
        mob_error_set(&job->err, MOB_ERR_OBJECT_LOST, "%s was spilled to file %" PRIu32 " in %s, which has been cut off before byte "
                      "%" PRIu64, mob_object_id_name(&p->id, name), job->file, d->folder, job->at + sizeof record + p->size);
    else if (!mob_disk_record_good(&record, &p->id, d->arena + p->offset, p->size))
        mob_error_set(&job->err, MOB_ERR_OBJECT_LOST, "%s was spilled to file %" PRIu32 " in %s, which has been altered at byte %" PRIu64,
                      mob_object_id_name(&p->id, name), job->file, d->folder, job->at);
    posix_fadvise(fd, (off_t)job->at, (off_t)job->length, POSIX_FADV_DONTNEED);
}

/* -- memory -------------------------------------------------------------------------------------------------------------- */

/* Of the whole pages within. */
static void madvise_inside(const struct mob_disk *d, const struct mob_disk_job *job, int advice)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), from = (job->at + page - 1) & ~(page - 1), to = (job->at + job->length) & ~(page - 1);

    if (to > from)
        madvise(d->arena + from, to - from, advice);
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
    case MOB_DISK_PUNCH:                /* where it cannot be done, the space comes back with the file */
        fallocate(file_of(d, job->file), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)job->at, (off_t)job->length);
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
    mob_list_append(job->verb == MOB_DISK_READ ? &d->reads : &d->rest, &w->link);
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
    uint64_t number;
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
    while (mob_map_next(&d->files, &at, &number) != NULL)
        close(file_of(d, (uint32_t)number));
    mob_map_fini(&d->files);
    close(d->folder_fd);
    free(d->folder);
    free(d);
}
