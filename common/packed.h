/* SPDX-License-Identifier: Apache-2.0 */
/* packed.h -- a value that carries references: its bytes, the names of the objects, and a footer.
 *
 *   [ data, padded to 8 | struct mob_object_id x refs | struct mob_packed_footer ]
 *
 * Values in the store are always packed, inline ones only if they carry references (MOB_VALUE_PACKED). Who reads one has foreign bytes
 * before it: mob_packed_read() looks at each field once.
 */
#ifndef MOB_COMMON_PACKED_H
#define MOB_COMMON_PACKED_H

#include <stdbool.h>
#include <stddef.h>

#include "common/id.h"

#define MOB_PACKED_REFS_MAX 16384u      /* of one value; more go into objects of their own */
#define MOB_PACKED_MAGIC 0x4d4f4256u

struct mob_packed_footer {
    uint64_t data_size;
    uint32_t refs, magic;
};

struct mob_packed {
    size_t data_size;                   /* the data stands at the start */
    size_t refs;
    const unsigned char *ids;           /* refs times a struct mob_object_id; read with mob_packed_id() */
};

static inline size_t mob_packed_size(size_t data_size, size_t refs)
{
    return ((data_size + 7) & ~(size_t)7) + refs * sizeof(struct mob_object_id) + sizeof(struct mob_packed_footer);
}

/* Write all but the data, which stands at `value` or will, and the names, which mob_packed_put_id() writes. */
void mob_packed_finish(void *value, size_t data_size, size_t refs);
void mob_packed_put_id(void *value, size_t data_size, size_t i, const struct mob_object_id *id);

/* False: these bytes are no packed value. */
bool mob_packed_read(const void *value, size_t size, struct mob_packed *ret);
struct mob_object_id mob_packed_id(const struct mob_packed *p, size_t i);

#endif
