/* SPDX-License-Identifier: Apache-2.0 */
/* store_disk.h -- a store (store_fixture.h) on a disk of memory, which does its jobs when told to: spill files, and an overflow if there
 * is one. ME makes objects in it, OTHER reads them. */
#ifndef MOB_TESTS_STORE_DISK_H
#define MOB_TESTS_STORE_DISK_H

#include "store_fixture.h"

#include <sys/mman.h>

#include "objstore/bulk_wire.h"
#include "objstore/disk.h"

#define STORE (1u << 20)
#define AT (2u << 20)                   /* where the overflow begins */
#define OVERFLOW (2 * STORE)
#define ME 5u
#define OTHER 6u
#define THIRD 7u
#define SIZE (STORE / 16)
#define FILES 4096

static struct fixture *f;
static struct mob_store_client *me, *other;

static struct {
    struct mob_disk_job *jobs[4096];
    char *bytes[FILES];
    uint64_t size[FILES], punched;
    bool block[OVERFLOW / MOB_DISK_BLOCK];      /* is there */
    unsigned waiting, ended, writes, reads, reserves, releases;
    uint64_t written, touched, given_back;
    bool wrote[1000];                   /* objects, by their task */
    bool full, no_spilling;
} disk;

/* -- the disk ------------------------------------------------------------------------------------------------------------ */

static inline void take_job(void *arg, struct mob_disk_job *job)
{
    (void)arg;
    ck_assert_uint_lt(disk.waiting, MOB_COUNT(disk.jobs));
    ck_assert_uint_lt(job->file, FILES);
    disk.jobs[disk.waiting++] = job;
}

static inline unsigned char *bytes_at(uint64_t offset)
{
    return (unsigned char *)mob_store_arena(f->store) + offset;
}

static inline void do_write(struct mob_disk_job *job)
{
    if (disk.full || disk.no_spilling) {
        mob_error_set(&job->err, MOB_ERR_SYSTEM, "spilling objects stopped: the disk is full");
        return;
    }
    disk.writes++;
    disk.written += job->length;
    ck_assert_uint_eq(job->at, disk.size[job->file]);          /* sequential, nothing between, in whole blocks */
    ck_assert_uint_eq(job->length % MOB_DISK_BLOCK, 0);
    disk.size[job->file] += job->length;
    disk.bytes[job->file] = mob_realloc(disk.bytes[job->file], disk.size[job->file]);
    for (size_t i = 0; i < job->count; i++) {
        const struct mob_disk_piece *p = &job->pieces[i];
        struct mob_disk_record record = mob_disk_record_of(&p->id, p->size, bulk_sum(bytes_at(p->offset), p->size));
        char *to = disk.bytes[job->file] + p->at;

        ck_assert(p->at >= job->at && p->at + mob_disk_record_size(p->size) <= job->at + job->length);
        disk.wrote[p->id.task % 1000] = true;
        memcpy(to, bytes_at(p->offset), p->size);
        memcpy(to + p->size + mob_disk_record_gap(p->size), &record, sizeof record);
    }
}

static inline void do_read(struct mob_disk_job *job)
{
    const struct mob_disk_piece *p = job->pieces;
    const char *from = disk.bytes[job->file] + p->at;
    const struct mob_disk_record *record = (const void *)(from + p->size + mob_disk_record_gap(p->size));

    disk.reads++;
    memcpy(bytes_at(p->offset), from, p->size);
    if (!mob_disk_record_good(record, &p->id, p->size, bulk_sum(bytes_at(p->offset), p->size)))
        mob_error_set(&job->err, MOB_ERR_OBJECT_LOST, "file %u has been altered", job->file);
}

static inline void set_blocks(const struct mob_disk_job *job, bool there)
{
    ck_assert_uint_ge(job->at, AT);
    ck_assert_uint_eq(job->at % MOB_DISK_BLOCK + job->length % MOB_DISK_BLOCK, 0);
    ck_assert_uint_le(job->at + job->length, AT + OVERFLOW);
    for (uint64_t i = (job->at - AT) / MOB_DISK_BLOCK; i < (job->at - AT + job->length) / MOB_DISK_BLOCK; i++) {
        ck_assert(!there || !disk.block[i]);            /* a release that comes late would take them away */
        disk.block[i] = there;
    }
}

static inline void do_reserve(struct mob_disk_job *job)
{
    if (disk.full) {
        mob_error_set(&job->err, MOB_ERR_SYSTEM, "no object overflows to the disk: it is full");
        return;
    }
    disk.reserves++;
    set_blocks(job, true);
    memset(bytes_at(job->at), 0, job->length);
}

static inline void do_release(const struct mob_disk_job *job)
{
    disk.releases++;
    set_blocks(job, false);
    memset(bytes_at(job->at), 0xdd, job->length);
}

static inline void do_end(const struct mob_disk_job *job)
{
    disk.ended++;
    free(disk.bytes[job->file]);
    disk.bytes[job->file] = NULL;
    disk.size[job->file] = 0;
}

static inline void do_punch(const struct mob_disk_job *job)
{
    memset(disk.bytes[job->file] + job->at, 0, job->length);
    disk.punched += job->length;
}

static inline void run_one(void)
{
    struct mob_disk_job *job = disk.jobs[0];

    memmove(disk.jobs, disk.jobs + 1, --disk.waiting * sizeof disk.jobs[0]);
    switch (job->verb) {
    case MOB_DISK_WRITE: do_write(job); break;
    case MOB_DISK_READ: do_read(job); break;
    case MOB_DISK_PUNCH: do_punch(job); break;
    case MOB_DISK_END: do_end(job); break;
    case MOB_DISK_RESERVE: do_reserve(job); break;
    case MOB_DISK_RELEASE: do_release(job); break;
    case MOB_DISK_TOUCH: disk.touched += job->length; break;
    case MOB_DISK_GIVE_BACK: disk.given_back += job->length; break;
    }
    mob_store_disk_done(f->store, job);
    mob_store_check(f->store);
}

/* Do what waits, and what follows from it. */
static inline void run_disk(void)
{
    while (disk.waiting > 0)
        run_one();
}

/* -- the store ----------------------------------------------------------------------------------------------------------- */

/* `overflow`: so many bytes of it, or 0. */
static inline void open_store(uint64_t bytes, uint64_t overflow)
{
    memset(&disk, 0, sizeof disk);
    f = mob_new(struct fixture);
    struct mob_store_config config = { .bytes = bytes, .overflow = overflow, .node = HERE, .answer = fixture_answer, .pull = fixture_pull,
                                       .incoming = fixture_incoming, .incoming_end = fixture_incoming_end, .reach = fixture_reach,
                                       .bad = fixture_bad, .disk = take_job, .restored = fixture_restored, .arg = f };
    f->store = mob_store_create(&config, false, NULL);
    ck_assert_ptr_nonnull(f->store);
    if (overflow > 0) {
        int fd = memfd_create("overflow", MFD_CLOEXEC);

        ck_assert_int_eq(mob_store_overflow_fd(f->store), -1);
        ck_assert_int_eq(ftruncate(fd, (off_t)overflow), 0);
        ck_assert_int_eq(mob_store_overflow(f->store, fd, NULL), 0);
    }
    me = fixture_client(f, ME);
    other = fixture_client(f, OTHER);
}

static inline void close_store(void)
{
    run_disk();
    mob_store_client_gone(f->store, ME);
    mob_store_client_gone(f->store, OTHER);
    run_disk();
    ck_assert_uint_eq(mob_store_usage(f->store).used, 0);
    ck_assert_uint_eq(mob_store_usage(f->store).overflow, 0);
    ck_assert_uint_eq(mob_store_usage(f->store).objects, 0);
    ck_assert_ptr_null(memchr(disk.block, true, sizeof disk.block));
    for (unsigned i = 0; i < FILES; i++)
        ck_assert_ptr_null(disk.bytes[i]);
    mob_store_client_close(me);
    mob_store_client_close(other);
    fixture_destroy(f);
}

static inline struct mob_object_id mine(uint64_t task)
{
    return object_of(HERE, ME, task);
}

/* The object of an answer: it is of this size, and each byte is this one. */
static inline uint32_t pin(struct mob_store_client *c, const struct answer *a, uint64_t expected, int byte)
{
    uint64_t size, good = 0;
    uint32_t slot;
    bool full;
    const unsigned char *data = mob_store_client_pin(c, a->entry, a->generation, &a->id, &size, &slot, &full);

    ck_assert_ptr_nonnull(data);
    ck_assert_uint_eq(size, expected);
    while (good < size && data[good] == byte)
        good++;
    ck_assert_msg(good == size, "object %llu is wrong at %llu", (unsigned long long)a->id.task, (unsigned long long)good);
    return slot;
}

#endif
