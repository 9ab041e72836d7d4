/* SPDX-License-Identifier: Apache-2.0 */
/* full.h -- the node's store has no room, nor its disk: work that may be done elsewhere keeps away. */
#ifndef MOB_RAYLET_FULL_H
#define MOB_RAYLET_FULL_H

#include "raylet/raylet.h"

struct full {
    bool on;                            /* said so to the head */
};

/* After the store's tick, and what changes who else serves. */
void mob_full_look(struct mob_raylet *r);
/* Is a want of the shape left to other nodes now? */
bool mob_full_avoids(const struct mob_raylet *r, const struct mob_shape *shape);

#endif
