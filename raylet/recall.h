/* SPDX-License-Identifier: Apache-2.0 */
/* recall.h -- which leases are asked back because others wait. */
#ifndef MOB_RAYLET_RECALL_H
#define MOB_RAYLET_RECALL_H

#include <stdint.h>

struct mob_raylet;

struct recalls {
    int64_t look_at;                    /* ns; not before */
};

/* Recall what is due. Returns when to come again. */
int64_t mob_recall_tick(struct mob_raylet *r);

#endif
