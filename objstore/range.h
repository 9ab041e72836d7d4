/* SPDX-License-Identifier: Apache-2.0 */
/* range.h -- the words between the store, which decides what comes from where, and bulk, which moves it. */
#ifndef MOB_OBJSTORE_RANGE_H
#define MOB_OBJSTORE_RANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "common/id.h"

#define MOB_CHUNK (UINT64_C(1) << 20)   /* all chunks of an object but its last one */

/* What a node asks of another: bytes [offset, offset + length) of an object. */
struct mob_asked {
    struct mob_object_id id;
    uint64_t size, offset, length;      /* size: of the whole object */
    uint32_t asker;                     /* the node; 0: unknown */
    uint32_t root, position;            /* its place in the line of that node (objstore/store_serve.c); 0: none yet */
    uint32_t failed;                    /* a node that it was referred to in vain; 0: none */
    bool direct;                        /* do not refer it */
};

/* The same on the asking side. */
struct mob_range {
    struct mob_asked ask;
    uint32_t node;                      /* whom it is asked */
    bool referred;                      /* by another: it must answer sooner */
};

struct mob_range_result {
    uint64_t got;                       /* so many bytes of it are here, and good */
    uint32_t refer;                     /* not 0: ask that node */
    uint32_t position;                  /* the place in line that was given; 0: none */
    bool final;                         /* it would say the same again */
    const struct mob_error *err;        /* NULL: all is here, or it referred us */
};

#endif
