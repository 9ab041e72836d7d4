/* SPDX-License-Identifier: Apache-2.0 */
/* disk_record.c -- what stands behind an object's bytes on the disk, and the sum that shows whether they are still what they were. */
#include <string.h>

#include "objstore/bulk_wire.h"
#include "objstore/disk.h"

#define VERSION 2

struct mob_disk_record mob_disk_record_of(const struct mob_object_id *id, uint64_t size, uint64_t sum)
{
    struct mob_disk_record record = { .magic = MOB_DISK_MAGIC, .version = VERSION, .sum = sum, .id = *id, .size = size };

    record.sum = bulk_sum(&record, sizeof record);
    return record;
}

bool mob_disk_record_good(const struct mob_disk_record *record, const struct mob_object_id *id, uint64_t size, uint64_t sum)
{
    struct mob_disk_record good = mob_disk_record_of(id, size, sum);

    return memcmp(record, &good, sizeof good) == 0;
}
