/* SPDX-License-Identifier: Apache-2.0 */
/* test_disk_full.c -- spill files and the overflow where something is wrong with the disk: what was harmed is found out, what does not fit
 * is said, and space that is needed no more comes back. */
#include "disk_fixture.h"

#include <sys/resource.h>
#include <sys/stat.h>

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
    read_well(1, &pieces[0]);
    read_piece(1, &pieces[1]);
    ck_assert_int_eq(last.code, MOB_ERR_OBJECT_LOST);
    ck_assert_ptr_nonnull(strstr(last.text, "altered"));
    ck_assert_ptr_nonnull(strstr(last.text, folder));
    ck_assert_ptr_nonnull(strstr(last.text, "o-1.2-2.0"));
    read_well(1, &pieces[2]);
    read_piece(1, &pieces[3]);
    ck_assert_int_eq(last.code, MOB_ERR_OBJECT_LOST);
    ck_assert_ptr_nonnull(strstr(last.text, "cut off"));
    struct mob_disk_piece other = piece(99, pieces[0].at, 0, sizes[0]);         /* another object's bytes */
    read_piece(1, &other);
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
    read_well(1, &pieces[0]);
    read_well(1, &pieces[2]);
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
    expect_done();
    read_well(1, &pieces[1]);
    run_job(MOB_DISK_WRITE, 2, 0, UINT64_C(1) << 50, pieces, 1);         /* its first: there is no file then */
    ck_assert_int_eq(last.code, MOB_ERR_SYSTEM);
    write_sizes(2, 0, sizes, 2, pieces);
    expect_done();
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
    expect_done();
    getrlimit(RLIMIT_FSIZE, &before);
    small = (struct rlimit){ length + (5 << 20) + 100, before.rlim_max };
    setrlimit(RLIMIT_FSIZE, &small);
    write_sizes(1, length, sizes, 3, pieces);
    ck_assert_int_eq(last.code, MOB_ERR_SYSTEM);
    ck_assert_ptr_nonnull(strstr(last.text, "spilling objects stopped"));
    ck_assert_ptr_nonnull(strstr(last.text, folder));
    setrlimit(RLIMIT_FSIZE, &before);
    struct mob_disk_piece first = piece(1, 0, 0, sizes[0]);
    read_well(1, &first);
    write_sizes(1, length, sizes, 3, pieces);
    expect_done();
    for (unsigned i = 0; i < 3; i++)
        read_well(1, &pieces[i]);
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
    ck_assert_int_eq(mob_disk_overflow(disk, at, UINT64_C(1) << 63, &err), -1);         /* no file can be so large, wherever */
    ck_assert_ptr_nonnull(strstr(err.text, folder));
    fd = mob_disk_overflow(disk, at, 64 * mib, &err);
    ck_assert_msg(fd >= 0, "%s", err.text);
    ck_assert_uint_eq(blocks_of(fd), 0);
    ck_assert_int_eq(lseek(fd, 0, SEEK_END), 64 * mib);
    run_job(MOB_DISK_RESERVE, 0, at + 3 * mib, 2 * mib, NULL, 0);
    expect_done();
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

UNIT_CASE("disk_full", tcase)
{
    UNIT_TESTS(tcase, test_space_comes_back, test_a_write_that_does_not_fit, test_overflow, test_no_overflow_without_blocks_ahead,
               test_folders_that_cannot_be);
    tcase_add_loop_test(tcase, test_harm_is_found_out, 0, 2);
    tcase_add_loop_test(tcase, test_a_write_that_ends_in_the_middle, 0, MOB_COUNT(lacks));
}
