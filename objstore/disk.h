/* SPDX-License-Identifier: Apache-2.0 */
/* disk.h -- spilled objects on a disk: a thread that does the store's jobs (store.h) on files without a name.
 *
 * A file is a sequence of batches, each in whole blocks: its records, and zeros. A record is the object's bytes, zeros up to the next 64,
 * and {magic, sum, id, size}, behind the bytes as they are hashed on their way. The sum (XXH3) is of all but the zeros, so that a
 * record that was changed, cut off or written for another object is found out.
 */
#ifndef MOB_OBJSTORE_DISK_H
#define MOB_OBJSTORE_DISK_H

#include "common/loop.h"
#include "objstore/store.h"

#define MOB_DISK_MAGIC 0x4d4f4253u

struct mob_disk_record {                /* the last 64 bytes of one */
    uint32_t magic, version;
    uint64_t sum;
    struct mob_object_id id;
    uint64_t size, zero;
};
_Static_assert(sizeof(struct mob_disk_record) == 64, "record");

/* The zeros in front of it. */
static inline uint64_t mob_disk_record_gap(uint64_t size)
{
    return -size & 63;
}

/* Bytes that the record of an object of `size` takes in a file. */
static inline uint64_t mob_disk_record_size(uint64_t size)
{
    return size + mob_disk_record_gap(size) + sizeof(struct mob_disk_record);
}

#define MOB_DISK_BLOCK UINT64_C(4096)   /* what disks write and read at least */

static inline uint64_t mob_disk_blocks(uint64_t size)
{
    return (size + MOB_DISK_BLOCK - 1) & ~(MOB_DISK_BLOCK - 1);
}

/* For an object of `size` bytes; `sum`: their hash (bulk_sum.c). */
struct mob_disk_record mob_disk_record_of(const struct mob_object_id *id, uint64_t size, uint64_t sum);
bool mob_disk_record_good(const struct mob_disk_record *record, const struct mob_object_id *id, uint64_t size, uint64_t sum);

struct mob_disk;

/* A thread for the folder, which is opened here; NULL: it cannot be used. `done` is called on the loop's thread. */
struct mob_disk *mob_disk_create(struct mob_loop *loop, const char *folder, void *arena,
                                 void (*done)(void *arg, struct mob_disk_job *job), void *arg, struct mob_error *err);
/* A sparse file of `size` bytes for the overflow, which begins at offset `at` of the arena: its descriptor, the caller's. -1: none can
 * be made there, or the file system cannot give blocks ahead. Before the first job. */
int mob_disk_overflow(struct mob_disk *d, uint64_t at, uint64_t size, struct mob_error *err);
/* Ends the thread and all files; no job is answered any more. */
void mob_disk_destroy(struct mob_disk *d);
void mob_disk_do(struct mob_disk *d, struct mob_disk_job *job);

#endif
