/* SPDX-License-Identifier: Apache-2.0 */
/* packed.c -- the names behind a value's bytes, written by who makes it, and checked by who reads it. */
#include "common/packed.h"

#include <string.h>

static size_t ids_at(size_t data_size)
{
    return (data_size + 7) & ~(size_t)7;
}

void mob_packed_finish(void *value, size_t data_size, size_t refs)
{
    struct mob_packed_footer footer = { .data_size = data_size, .refs = (uint32_t)refs, .magic = MOB_PACKED_MAGIC };
    size_t at = ids_at(data_size);

    memset((char *)value + data_size, 0, at - data_size);
    memcpy((char *)value + at + refs * sizeof(struct mob_object_id), &footer, sizeof footer);
}

void mob_packed_put_id(void *value, size_t data_size, size_t i, const struct mob_object_id *id)
{
    memcpy((char *)value + ids_at(data_size) + i * sizeof *id, id, sizeof *id);
}

bool mob_packed_read(const void *value, size_t size, struct mob_packed *ret)
{
    struct mob_packed_footer footer;

    if (size < sizeof footer)
        return false;
    memcpy(&footer, (const char *)value + size - sizeof footer, sizeof footer);
    if (footer.magic != MOB_PACKED_MAGIC || footer.refs > MOB_PACKED_REFS_MAX || footer.data_size > size
        || mob_packed_size(footer.data_size, footer.refs) != size)
        return false;
    *ret = (struct mob_packed){ .data_size = footer.data_size, .refs = footer.refs,
                                .ids = (const unsigned char *)value + ids_at(footer.data_size) };
    return true;
}

struct mob_object_id mob_packed_id(const struct mob_packed *p, size_t i)
{
    struct mob_object_id id;

    memcpy(&id, p->ids + i * sizeof id, sizeof id);
    return id;
}
