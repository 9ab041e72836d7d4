/* SPDX-License-Identifier: Apache-2.0 */
/* logs.c -- the log files of workers.
 *
 *   mob_log_write() --> steps that wait (bounded) --> one job in the thread pool at a time: open, write, close, remove
 *
 * A disk may stall for seconds. Then one thread of the pool waits for it, and lines of the files are dropped and counted; the
 * loop, and what drivers are told, wait for nothing. Steps are done in the order in which they were queued, so a file is in
 * order, and its removal comes after its last write.
 *
 * Room is reckoned on the loop, as bytes are taken in: a file has its own limit, and all files of the folder one together. When that is
 * reached, the file whose worker died first is removed; when all workers live, what they print is dropped. A file that cannot be
 * written is said once.
 *
 * Loop thread: all but `fd`, `error` and the steps in `work`, which are the job's from start to end.
 */
#include "raylet/logs.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "common/mem.h"

#define WAITING_MAX (8u << 20)          /* bytes in memory, of all logs ... */
#define LOG_WAITING_MAX (1u << 20)      /* ... and of one */

struct mob_log {
    struct mob_logs *logs;
    struct mob_link link;               /* in logs->dead, from close() until it is removed */
    char *path;
    uint64_t size, dropped;             /* taken in, and not lost since */
    size_t waiting;
    bool begun;                         /* it counts as a file */
    bool said;                          /* that it cannot be written */
    int fd;                             /* -1: nothing was written yet, or it cannot be opened */
    int error;                          /* of the last step that failed */
};

enum step_kind { STEP_WRITE, STEP_CLOSE, STEP_REMOVE };

struct step {
    struct mob_link link;
    struct mob_log *log;
    enum step_kind kind;
    size_t size, lost;
    char bytes[];
};

struct mob_logs {
    struct mob_loop *loop;
    char *folder;
    uint64_t bytes, bytes_max;          /* of all files */
    size_t count, count_max;
    struct mob_link dead;               /* whose workers have ended, the first one first */
    struct mob_link steps;              /* wait for the next job */
    size_t waiting;
    bool queued;                        /* `job` is the pool's, or its end is still to be told by the loop */
    bool writing;                       /* and `work` is its */
    uv_work_t job;
    uv_sem_t job_over;
    struct mob_link work;               /* of the job under way */
};

/* -- the job ------------------------------------------------------------------------------------------------------------------- */

static void write_bytes(struct mob_log *g, struct step *s)
{
    size_t done = 0;

    if (g->fd < 0 && g->error == 0)
        g->fd = open(g->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    while (g->fd >= 0 && done < s->size) {
        ssize_t n = write(g->fd, s->bytes + done, s->size - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    s->lost = s->size - done;
    if (s->lost > 0 && g->error == 0)
        g->error = errno;
}

static void do_steps(uv_work_t *job)
{
    struct mob_logs *l = MOB_CONTAINER(job, struct mob_logs, job);
    struct step *s;

    mob_list_each(s, &l->work, struct step, link) {
        switch (s->kind) {
        case STEP_WRITE:
            write_bytes(s->log, s);
            break;
        case STEP_CLOSE:
            if (s->log->fd >= 0)
                close(s->log->fd);
            s->log->fd = -1;
            break;
        case STEP_REMOVE:
            unlink(s->log->path);
            break;
        }
    }
    uv_sem_post(&l->job_over);
}

/* -- before and after it ------------------------------------------------------------------------------------------------------- */

static void log_free(struct mob_log *g)
{
    free(g->path);
    free(g);
}

static void note_step(struct mob_logs *l, struct step *s)
{
    struct mob_log *g = s->log;

    switch (s->kind) {
    case STEP_WRITE:
        l->waiting -= s->size;
        g->waiting -= s->size;
        l->bytes -= s->lost;
        g->size -= s->lost;
        g->dropped += s->lost;
        if (s->lost > 0 && !g->said)
            mob_warn("cannot write %s: %s; this worker's output is not kept from here on", g->path, strerror(g->error));
        g->said |= s->lost > 0;
        break;
    case STEP_CLOSE:
        if (g->dropped > 0)
            mob_warn("%s: %llu bytes were not kept", g->path, (unsigned long long)g->dropped);
        break;
    case STEP_REMOVE:
        log_free(g);
        break;
    }
}

static void take_steps(struct mob_logs *l)
{
    assert(mob_list_empty(&l->work));
    while (!mob_list_empty(&l->steps)) {
        struct step *s = mob_list_first(&l->steps, struct step, link);

        mob_list_remove(&s->link);
        mob_list_append(&l->work, &s->link);
    }
}

static void note_steps(struct mob_logs *l)
{
    while (!mob_list_empty(&l->work)) {
        struct step *s = mob_list_first(&l->work, struct step, link);

        mob_list_remove(&s->link);
        note_step(l, s);
        free(s);
    }
}

static void steps_done(uv_work_t *job, int status);

static void start(struct mob_logs *l)
{
    if (l->queued || mob_list_empty(&l->steps))
        return;
    take_steps(l);
    l->queued = l->writing = true;
    uv_queue_work(mob_loop_uv(l->loop), &l->job, do_steps, steps_done);
}

static void steps_done(uv_work_t *job, int status)
{
    struct mob_logs *l = MOB_CONTAINER(job, struct mob_logs, job);

    (void)status;
    l->queued = false;
    if (l->writing) {                   /* else finish() was first */
        uv_sem_wait(&l->job_over);
        l->writing = false;
        note_steps(l);
    }
    start(l);
}

static void add_step(struct mob_log *g, enum step_kind kind, const char *bytes, size_t size)
{
    struct step *s = mob_alloc(sizeof *s + size);

    *s = (struct step){ .log = g, .kind = kind, .size = size };
    if (size > 0)
        memcpy(s->bytes, bytes, size);
    mob_list_append(&g->logs->steps, &s->link);
    g->logs->waiting += size;
    g->waiting += size;
    start(g->logs);
}

/* -- room ---------------------------------------------------------------------------------------------------------------------- */

/* Remove the files of the longest dead until there is room for `size` more bytes (and one more file, if it is `new`). */
static bool make_room(struct mob_logs *l, size_t size, bool new)
{
    while (l->bytes + size > l->bytes_max || l->count + new > l->count_max) {
        if (mob_list_empty(&l->dead))
            return false;
        struct mob_log *g = mob_list_first(&l->dead, struct mob_log, link);

        mob_list_remove(&g->link);
        l->bytes -= g->size;
        l->count--;
        g->size = 0;
        add_step(g, STEP_REMOVE, NULL, 0);
    }
    return true;
}

struct mob_log *mob_logs_open(struct mob_logs *l, const char *name, const char *suffix)
{
    struct mob_log *g = mob_new(struct mob_log);

    g->logs = l;
    g->fd = -1;
    g->path = mob_printf("%s/%s%s", l->folder, name, suffix);
    mob_list_init(&g->link);
    return g;
}

void mob_log_write(struct mob_log *g, const char *bytes, size_t size)
{
    struct mob_logs *l = g->logs;
    size_t room = g->size < MOB_LOG_MAX ? MOB_LOG_MAX - g->size : 0;
    size_t part = size < room ? size : room;

    if (l->waiting + part > WAITING_MAX || g->waiting + part > LOG_WAITING_MAX || (part > 0 && !make_room(l, part, !g->begun)))
        part = 0;
    g->dropped += size - part;
    if (part == 0)
        return;
    l->count += !g->begun;
    g->begun = true;
    l->bytes += part;
    g->size += part;
    add_step(g, STEP_WRITE, bytes, part);
}

void mob_log_close(struct mob_log *g)
{
    if (!g->begun) {
        log_free(g);
        return;
    }
    mob_list_append(&g->logs->dead, &g->link);
    add_step(g, STEP_CLOSE, NULL, 0);
}

/* -- life ---------------------------------------------------------------------------------------------------------------------- */

struct old_file {
    char *name;
    struct stat about;
};

static int by_age(const void *a, const void *b)
{
    const struct timespec *x = &((const struct old_file *)a)->about.st_mtim, *y = &((const struct old_file *)b)->about.st_mtim;

    if (x->tv_sec != y->tv_sec)
        return x->tv_sec < y->tv_sec ? -1 : 1;
    return (x->tv_nsec > y->tv_nsec) - (x->tv_nsec < y->tv_nsec);
}

/* Files of an earlier raylet of this session: they count, and their workers are dead. */
static void find_old(struct mob_logs *l)
{
    DIR *folder = opendir(l->folder);
    struct old_file *list = NULL;
    size_t n = 0, room = 0;
    struct dirent *entry;

    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        struct stat about;

        if (strncmp(entry->d_name, "worker-", 7) != 0 || fstatat(dirfd(folder), entry->d_name, &about, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        if (n == room) {
            room = room * 2 + 64;
            list = mob_realloc(list, room * sizeof *list);
        }
        list[n++] = (struct old_file){ mob_strdup(entry->d_name), about };
    }
    if (folder != NULL)
        closedir(folder);
    if (n > 0)
        qsort(list, n, sizeof *list, by_age);
    for (size_t i = 0; i < n; i++) {
        struct mob_log *g = mob_logs_open(l, list[i].name, "");

        g->begun = true;
        g->size = (uint64_t)list[i].about.st_size;
        l->bytes += g->size;
        l->count++;
        mob_list_append(&l->dead, &g->link);
        free(list[i].name);
    }
    free(list);
}

struct mob_logs *mob_logs_create(struct mob_loop *loop, const char *folder, uint64_t bytes_max, size_t count_max)
{
    struct mob_logs *l = mob_new(struct mob_logs);

    l->loop = loop;
    l->folder = mob_strdup(folder);
    l->bytes_max = bytes_max;
    l->count_max = count_max;
    mob_list_init(&l->dead);
    mob_list_init(&l->steps);
    mob_list_init(&l->work);
    uv_sem_init(&l->job_over, 0);
    find_old(l);
    make_room(l, 0, false);
    return l;
}

bool mob_logs_busy(const struct mob_logs *l)
{
    return l->queued || !mob_list_empty(&l->steps);
}

void mob_logs_finish(struct mob_logs *l)
{
    if (l == NULL)
        return;
    if (l->writing) {
        uv_sem_wait(&l->job_over);
        l->writing = false;
        note_steps(l);
    }
    if (mob_list_empty(&l->steps))
        return;
    take_steps(l);
    do_steps(&l->job);
    uv_sem_wait(&l->job_over);
    note_steps(l);
}

void mob_logs_destroy(struct mob_logs *l)
{
    if (l == NULL)
        return;
    while (l->queued)
        uv_run(mob_loop_uv(l->loop), UV_RUN_ONCE);
    mob_logs_finish(l);
    while (!mob_list_empty(&l->dead)) {
        struct mob_log *g = mob_list_first(&l->dead, struct mob_log, link);

        mob_list_remove(&g->link);
        log_free(g);
    }
    uv_sem_destroy(&l->job_over);
    free(l->folder);
    free(l);
}
