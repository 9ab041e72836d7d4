/* SPDX-License-Identifier: Apache-2.0 */
/* disk_record.c -- what stands before an object's bytes on the disk, and the sum that shows whether they are still what they were. */
#include "objstore/bulk_wire.h"
#include "objstore/disk.h"

#define VERSION 1

static uint64_t sum_of(const struct mob_disk_record *record, const void *data)
{
    struct mob_disk_record head = *record;

    head.sum = bulk_sum(data, record->size);
    return bulk_sum(&head, sizeof head);
}

void mob_disk_record_seal(struct mob_disk_record *record, const struct mob_object_id *id, const void *data, uint64_t size)
{
    *record = (struct mob_disk_record){ .magic = MOB_DISK_MAGIC, .version = VERSION, .id = *id, .size = size };
    record->sum = sum_of(record, data);
}

bool mob_disk_record_good(const struct mob_disk_record *record, const struct mob_object_id *id, const void *data, uint64_t size)
{
    return record->magic == MOB_DISK_MAGIC && record->version == VERSION && mob_object_id_eq(&record->id, id) && record->size == size
        && record->sum == sum_of(record, data);
}
