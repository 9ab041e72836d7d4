/* SPDX-License-Identifier: Apache-2.0 */
/* test_disk.c -- the thread of spill files, on the disk of /tmp: what was written comes back, and what was harmed is found out. */
#include "unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "objstore/disk.h"

#define ARENA (8u << 20)

static struct mob_loop *loop;
static struct mob_disk *disk;
static char *arena, *folder;
static struct mob_error last;
static unsigned done;

static void on_done(void *arg, struct mob_disk_job *job)
{
    (void)arg;
    last = job->err;
    done++;
    free(job);
    mob_loop_stop(loop);
}

static void open_disk(void)
{
    struct mob_error err;

    folder = unit_folder();
    arena = mob_alloc(ARENA);
    loop = mob_loop_create();
    disk = mob_disk_create(loop, folder, arena, on_done, NULL, &err);
    ck_assert_msg(disk != NULL, "%s", err.text);
    done = 0;
}

static void close_disk(void)
{
    mob_disk_destroy(disk);
    mob_loop_destroy(loop);
    free(arena);
    ck_assert_int_eq(rmdir(folder), 0);         /* nothing is in it, and never was */
    free(folder);
}

/* Do a job and wait for it. */
static void run_job(enum mob_disk_verb verb, uint32_t file, uint64_t at, uint64_t length, const struct mob_disk_piece *pieces, size_t count)
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

static struct mob_disk_piece piece(uint64_t task, uint64_t at, uint64_t offset, uint64_t size)
{
    return (struct mob_disk_piece){ .id = { .cluster = 9, .node = 1, .process = 2, .task = task }, .at = at, .offset = offset,
                                    .size = size };
}

/* A write of pieces of these sizes that lie one after the other, in the arena and in the file. */
static size_t write_sizes(uint32_t file, uint64_t at, const uint64_t *sizes, size_t count, struct mob_disk_piece *ret)
{
    uint64_t offset = 0, where = at;

    for (size_t i = 0; i < count; i++) {
        ret[i] = piece(i + 1, where, offset, sizes[i]);
        offset += sizes[i];
        where += mob_disk_record_size(sizes[i]);
    }
    run_job(MOB_DISK_WRITE, file, at, where - at, ret, count);
    return where - at;
}

/* The descriptor of the file that the thread has open. */
static int spill_fd(int flags)
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
            found = open(path, flags | O_CLOEXEC);
    }
    closedir(all);
    ck_assert_int_ge(found, 0);
    return found;
}

START_TEST(test_there_and_back)
{
    static const uint64_t sizes[] = { 1, 63, 64, 65, 4096, 100000, 3 << 20, 777 };
    struct mob_disk_piece pieces[MOB_COUNT(sizes)];
    uint64_t state = 5, length;

    open_disk();
    for (unsigned i = 0; i < ARENA; i++)
        arena[i] = (char)unit_random(&state);
    char *before = mob_alloc(ARENA);
    memcpy(before, arena, ARENA);
    length = write_sizes(1, 0, sizes, MOB_COUNT(sizes), pieces);
    ck_assert_msg(last.code == MOB_OK, "%s", last.text);
    write_sizes(1, length, sizes, MOB_COUNT(sizes), pieces);
    write_sizes(2, 0, sizes, 3, pieces);
    write_sizes(1, 2 * length, sizes, MOB_COUNT(sizes), pieces);
    memset(arena, 0, ARENA);
    for (size_t i = 0; i < MOB_COUNT(sizes); i++) {
        run_job(MOB_DISK_READ, 1, pieces[i].at, mob_disk_record_size(sizes[i]), &pieces[i], 1);
        ck_assert_msg(last.code == MOB_OK, "%s", last.text);
    }
    ck_assert_mem_eq(arena, before, pieces[7].offset + 777);
    run_job(MOB_DISK_END, 1, 0, 0, NULL, 0);
    run_job(MOB_DISK_END, 77, 0, 0, NULL, 0);
    free(before);
    close_disk();
}
END_TEST

START_TEST(test_harm_is_found_out)
{
    static const uint64_t sizes[] = { 100000, 100000, 100000, 100000 };
    struct mob_disk_piece pieces[4];
    int fd;

    open_disk();
    memset(arena, 'x', ARENA);
    write_sizes(1, 0, sizes, 4, pieces);
    fd = spill_fd(O_RDWR);
    ck_assert_int_eq(pwrite(fd, "y", 1, (off_t)(pieces[1].at + 50000)), 1);
    ck_assert_int_eq(ftruncate(fd, (off_t)(pieces[3].at + 99999)), 0);
    run_job(MOB_DISK_READ, 1, pieces[0].at, 0, &pieces[0], 1);
    ck_assert_int_eq(last.code, MOB_OK);
    run_job(MOB_DISK_READ, 1, pieces[1].at, 0, &pieces[1], 1);
    ck_assert_int_eq(last.code, MOB_ERR_OBJECT_LOST);
    ck_assert_ptr_nonnull(strstr(last.text, "altered"));
    ck_assert_ptr_nonnull(strstr(last.text, folder));
    ck_assert_ptr_nonnull(strstr(last.text, "o-1.2-2.0"));
    run_job(MOB_DISK_READ, 1, pieces[2].at, 0, &pieces[2], 1);
    ck_assert_int_eq(last.code, MOB_OK);
    run_job(MOB_DISK_READ, 1, pieces[3].at, 0, &pieces[3], 1);
    ck_assert_int_eq(last.code, MOB_ERR_OBJECT_LOST);
    ck_assert_ptr_nonnull(strstr(last.text, "cut off"));
    struct mob_disk_piece other = piece(99, pieces[0].at, 0, sizes[0]);         /* another object's bytes */
    run_job(MOB_DISK_READ, 1, other.at, 0, &other, 1);
    ck_assert_int_eq(last.code, MOB_ERR_OBJECT_LOST);
    close(fd);
    close_disk();
}
END_TEST

START_TEST(test_space_comes_back)
{
    static const uint64_t sizes[] = { 1 << 20, 1 << 20, 1 << 20 };
    struct mob_disk_piece pieces[3];
    struct stat before, after;
    int fd;

    open_disk();
    memset(arena, 'x', ARENA);
    write_sizes(1, 0, sizes, 3, pieces);
    fd = spill_fd(O_RDONLY);
    fstat(fd, &before);
    run_job(MOB_DISK_PUNCH, 1, pieces[1].at, mob_disk_record_size(sizes[1]), NULL, 0);
    fstat(fd, &after);
    ck_assert_int_eq(before.st_size, after.st_size);
    ck_assert_int_ge(before.st_blocks - after.st_blocks, ((1 << 20) - 8192) / 512);
    run_job(MOB_DISK_READ, 1, pieces[0].at, 0, &pieces[0], 1);
    ck_assert_int_eq(last.code, MOB_OK);
    run_job(MOB_DISK_READ, 1, pieces[2].at, 0, &pieces[2], 1);
    ck_assert_int_eq(last.code, MOB_OK);
    close(fd);
    close_disk();
}
END_TEST

/* More than the disk has, and more than a file may have. Then it goes on as if nothing had been. */
START_TEST(test_a_write_that_does_not_fit)
{
    static const uint64_t sizes[] = { 1 << 20, 1 << 20 };
    struct mob_disk_piece pieces[2];
    uint64_t length;

    open_disk();
    memset(arena, 'x', ARENA);
    length = write_sizes(1, 0, sizes, 2, pieces);
    run_job(MOB_DISK_WRITE, 1, length, UINT64_C(1) << 50, pieces, 1);
    ck_assert_int_eq(last.code, MOB_ERR_SYSTEM);
    ck_assert_ptr_nonnull(strstr(last.text, "spilling objects stopped"));
    ck_assert_ptr_nonnull(strstr(last.text, folder));
    write_sizes(1, length, sizes, 2, pieces);
    ck_assert_int_eq(last.code, MOB_OK);
    run_job(MOB_DISK_READ, 1, pieces[1].at, 0, &pieces[1], 1);
    ck_assert_int_eq(last.code, MOB_OK);
    run_job(MOB_DISK_WRITE, 2, 0, UINT64_C(1) << 50, pieces, 1);         /* its first: there is no file then */
    ck_assert_int_eq(last.code, MOB_ERR_SYSTEM);
    write_sizes(2, 0, sizes, 2, pieces);
    ck_assert_int_eq(last.code, MOB_OK);
    close_disk();
}
END_TEST

START_TEST(test_folders_that_cannot_be)
{
    struct mob_error err;

    open_disk();
    ck_assert_ptr_null(mob_disk_create(loop, "/nowhere/at/all", arena, on_done, NULL, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "/nowhere/at/all"));
    ck_assert_ptr_null(mob_disk_create(loop, "/proc/self/exe", arena, on_done, NULL, &err));
    close_disk();
}
END_TEST

UNIT_MAIN("disk", test_there_and_back, test_harm_is_found_out, test_space_comes_back, test_a_write_that_does_not_fit,
          test_folders_that_cannot_be)
