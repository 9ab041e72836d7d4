/* SPDX-License-Identifier: Apache-2.0 */
/* kind.h -- what a task is of: its function and its name for people; and how long such tasks take. */
#ifndef MOB_WORKER_KIND_H
#define MOB_WORKER_KIND_H

#include <stdbool.h>
#include <stdint.h>

#include "common/map.h"

struct kind {
    uint64_t function, name;            /* mob_name_hash() */
    int64_t mean_ns;                    /* of the durations its answers told; recent ones weigh more */
    bool measured;
    struct kind *next;                  /* of the same hash */
    char *text;
};

#define KINDS_RECENT 64u
struct kinds {
    struct kind *recent[KINDS_RECENT];  /* by the low bits of the function: no hashing of names on the hot path */
    struct mob_map by_hash;
};

struct mob_owner;
void mob_owner_kinds_fini(struct mob_owner *o);
/* Tell the record all names. */
void mob_owner_kinds_name(struct mob_owner *o);
struct kind *mob_owner_kind(struct mob_owner *o, uint64_t function, const char *name);

#define KIND_UNKNOWN_NS INT64_C(10000000)       /* assumed until the first answer: so it is not pipelined deeply */

static inline int64_t kind_expected_ns(const struct kind *k)
{
    return k->measured ? k->mean_ns : KIND_UNKNOWN_NS;
}

static inline void mean_add(int64_t *mean_ns, bool *measured, int64_t took_ns)
{
    *mean_ns = *measured ? *mean_ns + (took_ns - *mean_ns) / 8 : took_ns;
    *measured = true;
}

#endif
