/* SPDX-License-Identifier: Apache-2.0 */
/* disk.h -- spilled objects on a disk: a thread that does the store's jobs (store.h) on files without a name.
 *
 * A file is a sequence of records: {magic, sum, id, size}, the bytes, and zeros up to the next record. The sum (XXH3) is of all before
 * and behind it in the record but the zeros, so that a record that was changed, cut off or written for another object is found out.
 */
#ifndef MOB_OBJSTORE_DISK_H
#define MOB_OBJSTORE_DISK_H

#include "common/loop.h"
#include "objstore/store.h"

#define MOB_DISK_MAGIC 0x4d4f4253u

struct mob_disk_record {                /* 64 bytes in front of the object's */
    uint32_t magic, version;
    uint64_t sum;
    struct mob_object_id id;
    uint64_t size, zero;
};
_Static_assert(sizeof(struct mob_disk_record) == 64, "record");

/* Bytes that the record of an object of `size` takes in a file. */
static inline uint64_t mob_disk_record_size(uint64_t size)
{
    return sizeof(struct mob_disk_record) + ((size + 63) & ~UINT64_C(63));
}

/* `record` with its sum, for these bytes. */
void mob_disk_record_seal(struct mob_disk_record *record, const struct mob_object_id *id, const void *data, uint64_t size);
bool mob_disk_record_good(const struct mob_disk_record *record, const struct mob_object_id *id, const void *data, uint64_t size);

struct mob_disk;

/* A thread for the folder, which is opened here; NULL: it cannot be used. `done` is called on the loop's thread. */
struct mob_disk *mob_disk_create(struct mob_loop *loop, const char *folder, void *arena,
                                 void (*done)(void *arg, struct mob_disk_job *job), void *arg, struct mob_error *err);
/* Ends the thread and all files; no job is answered any more. */
void mob_disk_destroy(struct mob_disk *d);
void mob_disk_do(struct mob_disk *d, struct mob_disk_job *job);

#endif
