/* SPDX-License-Identifier: Apache-2.0 */
/* layout.h -- where what is in a value's bytes. Knows nothing of Python, so that any bytes can be tried on it. */
#ifndef MOBULA_PYTHON_LAYOUT_H
#define MOBULA_PYTHON_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum value_kind { VALUE_OBJECT, VALUE_ERROR, VALUE_CALL };

struct value_head {
    uint8_t kind, zero;
    uint16_t returns;                   /* of a VALUE_CALL */
    uint32_t buffers;
    uint64_t pickle_size;               /* 0: the object is None */
    uint64_t function[2];               /* which: the hash of its pickle */
};

/* A value that is read. */
struct value_layout {
    struct value_head head;
    size_t size, at;                    /* at: where the buffers that were not told yet begin, but for the alignment */
    uint32_t told;
};

/* What somebody else wrote: false if it is no value. It need not be aligned. */
bool value_layout_read(struct value_layout *l, const void *data, size_t size);
/* Where the pickle begins; its size is in the head. */
size_t value_layout_pickle(const struct value_layout *l);
/* The next buffer: head.buffers times. False: it is not within the value. */
bool value_layout_next(struct value_layout *l, const void *data, size_t *ret_at, size_t *ret_size);

#define VALUE_ALIGN 64                  /* each buffer begins at a multiple */

static inline size_t value_aligned(size_t size)
{
    return (size + VALUE_ALIGN - 1) & ~(size_t)(VALUE_ALIGN - 1);
}

#endif
