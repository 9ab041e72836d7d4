/* SPDX-License-Identifier: Apache-2.0 */
/* disk_fixture.h -- the thread of spill files on the disk of /tmp, an arena, and jobs that are waited for. A seccomp filter takes away what
 * the system, or the file system, may not have. */
#ifndef MOB_TESTS_DISK_FIXTURE_H
#define MOB_TESTS_DISK_FIXTURE_H

#include "unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "objstore/disk.h"
#include "tests/box.h"

#define ARENA (8u << 20)

static struct mob_loop *loop;
static struct mob_disk *disk;
static char *arena, *folder;
static struct mob_error last;
static unsigned done;

static inline void on_done(void *arg, struct mob_disk_job *job)
{
    (void)arg;
    last = job->err;
    done++;
    free(job);
    mob_loop_stop(loop);
}

static inline void open_disk_of(size_t size)
{
    struct mob_error err;

    folder = unit_folder();
    arena = mob_alloc(size);
    loop = mob_loop_create();
    disk = mob_disk_create(loop, folder, arena, on_done, NULL, &err);
    ck_assert_msg(disk != NULL, "%s", err.text);
    done = 0;
}

static inline void open_disk(void)
{
    open_disk_of(ARENA);
}

static inline void close_disk(void)
{
    mob_disk_destroy(disk);
    mob_loop_destroy(loop);
    free(arena);
    ck_assert_int_eq(rmdir(folder), 0);         /* nothing is in it, and never was */
    free(folder);
}

/* Do a job and wait for it. */
static inline void run_job(enum mob_disk_verb verb, uint32_t file, uint64_t at, uint64_t length, const struct mob_disk_piece *pieces, size_t count)
{
    struct mob_disk_job *job = mob_alloc(sizeof *job + count * sizeof *pieces);
    unsigned before = done;

    *job = (struct mob_disk_job){ .verb = verb, .file = file, .at = at, .length = length, .count = count,
                                  .pieces = (struct mob_disk_piece *)(job + 1) };
    for (size_t i = 0; i < count; i++)
        job->pieces[i] = pieces[i];
    mob_disk_do(disk, job);
    while (done == before)
        mob_loop_run(loop);
}

static inline struct mob_disk_piece piece(uint64_t task, uint64_t at, uint64_t offset, uint64_t size)
{
    return (struct mob_disk_piece){ .id = { .cluster = 9, .node = 1, .process = 2, .task = task }, .at = at, .offset = offset,
                                    .size = size };
}

/* A write of pieces of these sizes that lie one after the other, in the arena and in the file. How long it is there. */
static inline uint64_t write_sizes(uint32_t file, uint64_t at, const uint64_t *sizes, size_t count, struct mob_disk_piece *ret)
{
    uint64_t offset = 0, where = at;

    for (size_t i = 0; i < count; i++) {
        ret[i] = piece(i + 1, where, offset, sizes[i]);
        offset += sizes[i];
        where += mob_disk_record_size(sizes[i]);
    }
    run_job(MOB_DISK_WRITE, file, at, mob_disk_blocks(where) - at, ret, count);
    return mob_disk_blocks(where) - at;
}

static inline void read_piece(uint32_t file, const struct mob_disk_piece *p)
{
    run_job(MOB_DISK_READ, file, p->at, mob_disk_record_size(p->size), p, 1);
}

static inline void expect_done(void)
{
    ck_assert_msg(last.code == MOB_OK, "%s", last.text);
}

/* It is read as it was written. */
static inline void read_well(uint32_t file, const struct mob_disk_piece *p)
{
    read_piece(file, p);
    expect_done();
}

/* The descriptor of the file that the thread has open. */
static inline int thread_fd(void)
{
    DIR *all = opendir("/proc/self/fd");
    struct dirent *e;
    char path[64], target[512];
    int found = -1;

    while ((e = readdir(all)) != NULL) {
        ssize_t n;

        snprintf(path, sizeof path, "/proc/self/fd/%.20s", e->d_name);
        n = readlink(path, target, sizeof target - 1);
        target[n > 0 ? n : 0] = '\0';
        if (n > 0 && strncmp(target, folder, strlen(folder)) == 0 && strstr(target, "deleted") != NULL)
            found = atoi(e->d_name);
    }
    closedir(all);
    ck_assert_int_ge(found, 0);
    return found;
}

/* The same file, opened once more. */
static inline int spill_fd(int flags)
{
    char path[64];
    int fd;

    snprintf(path, sizeof path, "/proc/self/fd/%d", thread_fd());
    fd = open(path, flags | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    return fd;
}

static inline void fill_arena(uint64_t seed)
{
    for (size_t i = 0; i < ARENA / 8; i++)
        ((uint64_t *)arena)[i] = unit_random(&seed);
}

/* The system refuses ... */
enum { NO_ROOM_AHEAD = 1, NO_AIO = 2, NO_DIRECT = 4 };

static inline void take_away(unsigned what)
{
    struct sock_filter lines[] = {
        BOX_LOAD(nr),
        BOX_CALL(what & NO_ROOM_AHEAD ? SYS_fallocate : -1, 1), BOX_REFUSE(EOPNOTSUPP),
        BOX_CALL(what & NO_AIO ? SYS_io_setup : -1, 1), BOX_REFUSE(ENOSYS),
        BOX_CALL(what & NO_DIRECT ? SYS_fcntl : -1, 3),
        BOX_LOAD(args[1]), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, F_SETFL, 0, 1), BOX_REFUSE(EINVAL),
        BOX_RETURN(SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = { .len = MOB_COUNT(lines), .filter = lines };

    ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    ck_assert_int_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter), 0);
}

static const unsigned lacks[] = { 0, NO_ROOM_AHEAD, NO_AIO, NO_DIRECT, NO_ROOM_AHEAD | NO_AIO | NO_DIRECT };

#endif
