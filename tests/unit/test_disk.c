/* SPDX-License-Identifier: Apache-2.0 */
/* test_disk.c -- the thread of spill files, on the disk of /tmp: what was written comes back, and what was harmed is found out. The same
 * where the system, or the file system, cannot do what the fast way needs: a seccomp filter takes it away. */
#include "unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "objstore/disk.h"
#include "tests/box.h"

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

static void open_disk_of(size_t size)
{
    struct mob_error err;

    folder = unit_folder();
    arena = mob_alloc(size);
    loop = mob_loop_create();
    disk = mob_disk_create(loop, folder, arena, on_done, NULL, &err);
    ck_assert_msg(disk != NULL, "%s", err.text);
    done = 0;
}

static void open_disk(void)
{
    open_disk_of(ARENA);
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

/* A write of pieces of these sizes that lie one after the other, in the arena and in the file. How long it is there. */
static uint64_t write_sizes(uint32_t file, uint64_t at, const uint64_t *sizes, size_t count, struct mob_disk_piece *ret)
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

/* The descriptor of the file that the thread has open. */
static int thread_fd(void)
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
static int spill_fd(int flags)
{
    char path[64];
    int fd;

    snprintf(path, sizeof path, "/proc/self/fd/%d", thread_fd());
    fd = open(path, flags | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    return fd;
}

static bool folder_knows_direct(void)
{
    int fd = open(folder, O_TMPFILE | O_RDWR | O_DIRECT | O_CLOEXEC, 0600);

    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static void fill_arena(uint64_t seed)
{
    for (size_t i = 0; i < ARENA / 8; i++)
        ((uint64_t *)arena)[i] = unit_random(&seed);
}

/* The pages of a file that are memory's, too. */
static unsigned cached_pages(void)
{
    static unsigned char in_core[4 * ARENA / 4096];
    unsigned count = 0;
    struct stat status;
    int fd = spill_fd(O_RDONLY);
    void *p;

    fstat(fd, &status);
    ck_assert_uint_le((uint64_t)status.st_size, 4 * ARENA);
    p = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_SHARED, fd, 0);
    ck_assert(p != MAP_FAILED && mincore(p, (size_t)status.st_size, in_core) == 0);
    for (long i = 0; i < status.st_size / 4096; i++)
        count += in_core[i] & 1;
    munmap(p, (size_t)status.st_size);
    close(fd);
    return count;
}

/* Of these sizes in batches, one behind the other, what is read is what was written: in order, backwards, and in order again. */
static void there_and_back(void)
{
    static const uint64_t sizes[] = { 1, 63, 64, 65, 4096, 100000, 3 << 20, 777, 4 << 20 };
    enum { COUNT = MOB_COUNT(sizes), BATCHES = 3 };
    struct mob_disk_piece pieces[BATCHES][COUNT];
    uint64_t at = 0;

    for (unsigned b = 0; b < BATCHES; b++) {
        fill_arena(5 + b);
        at += write_sizes(1, at, sizes, COUNT, pieces[b]);
        ck_assert_msg(last.code == MOB_OK, "%s", last.text);
    }
    char *before = mob_alloc(ARENA);
    for (unsigned i = 0; i < 3 * BATCHES * COUNT; i++) {
        unsigned turn = i / (BATCHES * COUNT), n = i % (BATCHES * COUNT), k = turn == 1 ? BATCHES * COUNT - 1 - n : n;
        const struct mob_disk_piece *p = &pieces[k / COUNT][k % COUNT];

        fill_arena(5 + k / COUNT);
        memcpy(before, arena, ARENA);
        memset(arena + p->offset, 0, p->size);
        run_job(MOB_DISK_READ, 1, p->at, mob_disk_record_size(p->size), p, 1);
        ck_assert_msg(last.code == MOB_OK, "%s", last.text);
        ck_assert(memcmp(arena, before, ARENA) == 0);           /* and nothing beside it was touched */
    }
    free(before);
}

START_TEST(test_there_and_back)
{
    static const uint64_t sizes[] = { 1 << 20, 100 };
    struct mob_disk_piece pieces[2];

    open_disk();
    there_and_back();
    write_sizes(2, 0, sizes, 2, pieces);
    run_job(MOB_DISK_READ, 2, 0, 0, &pieces[0], 1);
    ck_assert_int_eq(last.code, MOB_OK);
    run_job(MOB_DISK_END, 1, 0, 0, NULL, 0);
    run_job(MOB_DISK_END, 77, 0, 0, NULL, 0);
    run_job(MOB_DISK_READ, 2, pieces[1].at, 0, &pieces[1], 1);
    ck_assert_int_eq(last.code, MOB_OK);
    close_disk();
}
END_TEST

/* Larger than all that is under way at a time. */
START_TEST(test_a_large_one)
{
    static const uint64_t sizes[] = { (37 << 20) + 5, 3 << 20 };
    struct mob_disk_piece pieces[2];
    uint64_t state = 1;

    open_disk_of(41 << 20);
    for (size_t i = 0; i < (41 << 20) / 8; i++)
        ((uint64_t *)arena)[i] = unit_random(&state);
    char *before = mob_memdup(arena, 41 << 20);
    write_sizes(1, 0, sizes, 2, pieces);
    ck_assert_msg(last.code == MOB_OK, "%s", last.text);
    memset(arena, 0, sizes[0] + sizes[1]);
    for (unsigned i = 0; i < 2; i++) {
        run_job(MOB_DISK_READ, 1, pieces[i].at, 0, &pieces[i], 1);
        ck_assert_msg(last.code == MOB_OK, "%s", last.text);
    }
    ck_assert(memcmp(arena, before, 41 << 20) == 0);
    free(before);
    close_disk();
}
END_TEST

/* Bytes that this process had from disks. */
static uint64_t read_so_far(void)
{
    FILE *file = fopen("/proc/self/io", "r");
    uint64_t bytes = 0;
    char line[128];

    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, "read_bytes: ", 12) == 0)
            bytes = strtoull(line + 12, NULL, 10);
    if (file != NULL)
        fclose(file);
    return bytes;
}

/* Two neighbours are no proof that all behind them will be asked for. Whoever reads all of it in order reads nothing twice. */
START_TEST(test_no_more_is_read_than_helps)
{
    enum { COUNT = 64, SIZE = 100 << 10 };
    uint64_t sizes[COUNT], before, length;
    struct mob_disk_piece pieces[COUNT];

    open_disk();
    for (unsigned i = 0; i < COUNT; i++)
        sizes[i] = SIZE;
    length = write_sizes(1, 0, sizes, COUNT, pieces);
    before = read_so_far();
    for (unsigned i = 0; i < COUNT; i += i % 8 == 0 ? 1 : 7)
        run_job(MOB_DISK_READ, 1, 0, 0, &pieces[i], 1);
    ck_assert_uint_le(read_so_far() - before, (COUNT / 4) * 2 * SIZE);
    before = read_so_far();
    for (unsigned i = 0; i < COUNT; i++)
        run_job(MOB_DISK_READ, 1, 0, 0, &pieces[i], 1);
    ck_assert_uint_le(read_so_far() - before, length);
    close_disk();
}
END_TEST

/* The system refuses ... */
enum { NO_ROOM_AHEAD = 1, NO_AIO = 2, NO_DIRECT = 4 };

static void take_away(unsigned what)
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

/* Slower, but the same; and memory is what is short: none of it is left in the cache. */
START_TEST(test_where_something_is_missing)
{
    struct mob_disk_piece first = piece(1, 0, 0, 1);
    struct statfs fs;

    take_away(lacks[_i]);
    open_disk();
    there_and_back();
    ck_assert_int_eq((fcntl(thread_fd(), F_GETFL) & O_DIRECT) != 0, folder_knows_direct() && !(lacks[_i] & NO_DIRECT));
    run_job(MOB_DISK_READ, 1, 0, 0, &first, 1);
    ck_assert_msg(last.code == MOB_OK, "%s", last.text);
    statfs(folder, &fs);
    if (fs.f_type != 0x01021994)        /* a tmpfs is nothing but cache */
        ck_assert_uint_le(cached_pages(), 8);
    close_disk();
}
END_TEST

/* What is not in whole blocks cannot go directly: this file goes through the cache from there on, and is as good. */
START_TEST(test_what_the_direct_way_refuses)
{
    static const uint64_t sizes[] = { 100000, 3 << 20 };
    struct mob_disk_piece pieces[2];
    uint64_t end;

    open_disk();
    fill_arena(3);
    end = 64 + write_sizes(1, 64, sizes, 2, pieces);
    ck_assert_msg(last.code == MOB_OK, "%s", last.text);
    write_sizes(1, end, sizes, 2, pieces);
    ck_assert_msg(last.code == MOB_OK, "%s", last.text);
    for (unsigned i = 0; i < 2; i++) {
        run_job(MOB_DISK_READ, 1, pieces[i].at, 0, &pieces[i], 1);
        ck_assert_msg(last.code == MOB_OK, "%s", last.text);
    }
    close_disk();
}
END_TEST

/* It may get the descriptor of one that has ended, of which more was read than anybody asked for. */
START_TEST(test_a_new_file_is_not_the_old_one)
{
    static const uint64_t sizes[] = { 64, 64, 64, 1 << 20 };
    struct mob_disk_piece pieces[4];
    char *before = mob_alloc(ARENA);

    open_disk();
    for (uint32_t file = 1; file <= 3; file++) {
        run_job(MOB_DISK_END, file - 1, 0, 0, NULL, 0);
        fill_arena(file);
        memcpy(before, arena, ARENA);
        write_sizes(file, 0, sizes, 4, pieces);
        memset(arena, 0, ARENA / 2);
        for (unsigned i = 0; i < 4; i++) {
            const struct mob_disk_piece *p = &pieces[(i + 2) % 4];      /* the first is where the file before was left */

            run_job(MOB_DISK_READ, file, p->at, 0, p, 1);
            ck_assert_msg(last.code == MOB_OK, "%s", last.text);
            ck_assert_mem_eq(arena + p->offset, before + p->offset, p->size);
        }
    }
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
    ck_assert_int_eq(ftruncate(fd, (off_t)(pieces[3].at + 99999 + _i * 40)), 0);       /* the bytes, or what stands behind them */
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

/* The disk becomes full while a batch is on its way, which the file system could not tell before. */
START_TEST(test_a_write_that_ends_in_the_middle)
{
    static const uint64_t sizes[] = { 1 << 20, 3 << 20, 3 << 20 };
    struct mob_disk_piece pieces[3];
    struct rlimit before, small;
    uint64_t length;

    take_away(lacks[_i] | NO_ROOM_AHEAD);
    open_disk();
    fill_arena(9);
    length = write_sizes(1, 0, sizes, 1, pieces);
    ck_assert_int_eq(last.code, MOB_OK);
    getrlimit(RLIMIT_FSIZE, &before);
    small = (struct rlimit){ length + (5 << 20) + 100, before.rlim_max };
    setrlimit(RLIMIT_FSIZE, &small);
    write_sizes(1, length, sizes, 3, pieces);
    ck_assert_int_eq(last.code, MOB_ERR_SYSTEM);
    ck_assert_ptr_nonnull(strstr(last.text, "spilling objects stopped"));
    ck_assert_ptr_nonnull(strstr(last.text, folder));
    setrlimit(RLIMIT_FSIZE, &before);
    struct mob_disk_piece first = piece(1, 0, 0, sizes[0]);
    run_job(MOB_DISK_READ, 1, 0, 0, &first, 1);
    ck_assert_msg(last.code == MOB_OK, "%s", last.text);
    write_sizes(1, length, sizes, 3, pieces);
    ck_assert_msg(last.code == MOB_OK, "%s", last.text);
    for (unsigned i = 0; i < 3; i++) {
        run_job(MOB_DISK_READ, 1, pieces[i].at, 0, &pieces[i], 1);
        ck_assert_msg(last.code == MOB_OK, "%s", last.text);
    }
    close_disk();
}
END_TEST

static uint64_t blocks_of(int fd)
{
    struct stat st;

    ck_assert_int_eq(fstat(fd, &st), 0);
    return (uint64_t)st.st_blocks * 512;
}

/* The overflow has blocks where they were asked for, and nothing else; what is beside a released place stays. */
START_TEST(test_overflow)
{
    const uint64_t at = UINT64_C(1) << 21, mib = 1 << 20;
    struct mob_error err;
    char byte = 'o';
    int fd;

    open_disk();
    ck_assert_int_eq(mob_disk_overflow(disk, at, UINT64_C(1) << 62, &err), -1);         /* no file can be so large */
    ck_assert_ptr_nonnull(strstr(err.text, folder));
    fd = mob_disk_overflow(disk, at, 64 * mib, &err);
    ck_assert_msg(fd >= 0, "%s", err.text);
    ck_assert_uint_eq(blocks_of(fd), 0);
    ck_assert_int_eq(lseek(fd, 0, SEEK_END), 64 * mib);
    run_job(MOB_DISK_RESERVE, 0, at + 3 * mib, 2 * mib, NULL, 0);
    ck_assert_int_eq(last.code, MOB_OK);
    ck_assert_uint_ge(blocks_of(fd), 2 * mib);
    ck_assert_int_eq(pwrite(fd, &byte, 1, 3 * (off_t)mib), 1);
    ck_assert_int_eq(pwrite(fd, &byte, 1, 4 * (off_t)mib), 1);
    run_job(MOB_DISK_RELEASE, 0, at + 3 * mib, mib, NULL, 0);
    ck_assert_uint_lt(blocks_of(fd), 2 * mib);
    ck_assert_int_eq(pread(fd, &byte, 1, 3 * (off_t)mib), 1);
    ck_assert_int_eq(byte, 0);
    ck_assert_int_eq(pread(fd, &byte, 1, 4 * (off_t)mib), 1);
    ck_assert_int_eq(byte, 'o');
    run_job(MOB_DISK_RESERVE, 0, at + 8 * mib, UINT64_C(1) << 50, NULL, 0);
    ck_assert_int_eq(last.code, MOB_ERR_SYSTEM);
    ck_assert_ptr_nonnull(strstr(last.text, "no object overflows to the disk"));
    ck_assert_ptr_nonnull(strstr(last.text, folder));
    run_job(MOB_DISK_RELEASE, 0, at + 4 * mib, mib, NULL, 0);
    ck_assert_uint_eq(blocks_of(fd), 0);
    close(fd);
    close_disk();
}
END_TEST

START_TEST(test_no_overflow_without_blocks_ahead)
{
    struct mob_error err;

    take_away(NO_ROOM_AHEAD);
    open_disk();
    ck_assert_int_eq(mob_disk_overflow(disk, 0, 1 << 20, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "there is no overflow"));
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

UNIT_CASE("disk", tcase)
{
    UNIT_TESTS(tcase, test_there_and_back, test_a_large_one, test_no_more_is_read_than_helps, test_what_the_direct_way_refuses,
               test_a_new_file_is_not_the_old_one, test_space_comes_back, test_a_write_that_does_not_fit, test_overflow,
               test_no_overflow_without_blocks_ahead, test_folders_that_cannot_be);
    tcase_add_loop_test(tcase, test_where_something_is_missing, 0, MOB_COUNT(lacks));
    tcase_add_loop_test(tcase, test_harm_is_found_out, 0, 2);
    tcase_add_loop_test(tcase, test_a_write_that_ends_in_the_middle, 0, MOB_COUNT(lacks));
}
