/* SPDX-License-Identifier: Apache-2.0 */
/* test_disk.c -- spill files: what was written comes back, at no more cost than it must. The same where the system, or the file system,
 * cannot do what the fast way needs. */
#include "disk_fixture.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

static bool folder_knows_direct(void)
{
    int fd = open(folder, O_TMPFILE | O_RDWR | O_DIRECT | O_CLOEXEC, 0600);

    if (fd >= 0)
        close(fd);
    return fd >= 0;
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
    char *image[BATCHES];               /* of the arena */
    unsigned shown = BATCHES - 1;
    uint64_t at = 0;

    for (unsigned b = 0; b < BATCHES; b++) {
        fill_arena(5 + b);
        image[b] = mob_memdup(arena, ARENA);
        at += write_sizes(1, at, sizes, COUNT, pieces[b]);
        expect_done();
    }
    for (unsigned i = 0; i < 3 * BATCHES * COUNT; i++) {
        unsigned turn = i / (BATCHES * COUNT), n = i % (BATCHES * COUNT), k = turn == 1 ? BATCHES * COUNT - 1 - n : n;
        const struct mob_disk_piece *p = &pieces[k / COUNT][k % COUNT];

        if (shown != k / COUNT)
            memcpy(arena, image[shown = k / COUNT], ARENA);
        memset(arena + p->offset, 0, p->size);
        read_well(1, p);
        ck_assert(memcmp(arena, image[shown], ARENA) == 0);     /* and nothing beside it was touched */
    }
    for (unsigned b = 0; b < BATCHES; b++)
        free(image[b]);
}

START_TEST(test_there_and_back)
{
    static const uint64_t sizes[] = { 1 << 20, 100 };
    struct mob_disk_piece pieces[2];

    open_disk();
    there_and_back();
    write_sizes(2, 0, sizes, 2, pieces);
    read_well(2, &pieces[0]);
    run_job(MOB_DISK_END, 1, 0, 0, NULL, 0);
    run_job(MOB_DISK_END, 77, 0, 0, NULL, 0);
    read_well(2, &pieces[1]);
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
    expect_done();
    memset(arena, 0, sizes[0] + sizes[1]);
    for (unsigned i = 0; i < 2; i++)
        read_well(1, &pieces[i]);
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
        read_piece(1, &pieces[i]);
    ck_assert_uint_le(read_so_far() - before, (COUNT / 4) * 2 * SIZE);
    before = read_so_far();
    for (unsigned i = 0; i < COUNT; i++)
        read_piece(1, &pieces[i]);
    ck_assert_uint_le(read_so_far() - before, length);
    close_disk();
}
END_TEST

/* Slower, but the same; and memory is what is short: none of it is left in the cache. */
START_TEST(test_where_something_is_missing)
{
    struct mob_disk_piece first = piece(1, 0, 0, 1);
    struct statfs fs;

    take_away(lacks[_i]);
    open_disk();
    there_and_back();
    ck_assert_int_eq((fcntl(thread_fd(), F_GETFL) & O_DIRECT) != 0, folder_knows_direct() && !(lacks[_i] & NO_DIRECT));
    read_well(1, &first);
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
    expect_done();
    write_sizes(1, end, sizes, 2, pieces);
    expect_done();
    for (unsigned i = 0; i < 2; i++)
        read_well(1, &pieces[i]);
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

            read_well(file, p);
            ck_assert_mem_eq(arena + p->offset, before + p->offset, p->size);
        }
    }
    free(before);
    close_disk();
}
END_TEST

UNIT_CASE("disk", tcase)
{
    UNIT_TESTS(tcase, test_there_and_back, test_a_large_one, test_no_more_is_read_than_helps, test_what_the_direct_way_refuses,
               test_a_new_file_is_not_the_old_one);
    tcase_add_loop_test(tcase, test_where_something_is_missing, 0, MOB_COUNT(lacks));
}
