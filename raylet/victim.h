/* SPDX-License-Identifier: Apache-2.0 */
/* victim.h -- whose end costs least when memory is short. */
#ifndef MOB_RAYLET_VICTIM_H
#define MOB_RAYLET_VICTIM_H

#include <stddef.h>
#include <stdint.h>

/* In this order. */
enum victim_class {
    VICTIM_IDLE,                        /* it runs nothing, and nobody needs what it has: its end costs a start */
    VICTIM_BEYOND,                      /* it has more than its task asked for: who keeps his word does not pay for it */
    VICTIM_REPEATABLE,                  /* its task is tried again */
    VICTIM_LAST,                        /* something would be lost for good */
    VICTIM_CLASSES
};

struct candidate {
    enum victim_class class;
    uint64_t bytes;                     /* its own, and of what it started */
    uint64_t asked;                     /* BEYOND: by its task */
    uint64_t group;                     /* equal for those that run the same function of the same job */
    int64_t since;                      /* of its lease */
};

/* Less than this is not worth a process. */
#define VICTIM_WORTH (UINT64_C(16) << 20)

/* The index of the one to end, or `count`: none is worth it. */
size_t mob_victim_choose(const struct candidate *all, size_t count);

#endif
