/* SPDX-License-Identifier: Apache-2.0 */
/* near.h -- the part of a local want that its owner would have served where the arguments are. */
#ifndef MOB_RAYLET_NEAR_H
#define MOB_RAYLET_NEAR_H

#include "common/list.h"
#include "common/wire.h"
#include "raylet/raylet.h"

struct want;

struct near {
    struct mob_near of[MOB_NEAR_MAX];   /* as the owner said, less the grants since */
    uint32_t count;
    uint32_t kept;                      /* not served here: the head has not said yet where they go ... */
    int64_t until_ns;                   /* ... but no longer than until then */
    struct mob_link held;               /* in wants.near_held while kept > 0 */
};

/* The owner's Want says where. Before its level changes; mob_want_changed() must follow. */
void mob_near_wanted(struct mob_raylet *r, struct want *w, const Mobula__Want *m);
/* The head has placed `count` of it somewhere; a Grant from `node` has passed. mob_want_changed() must follow. */
void mob_near_placed(struct want *w, uint32_t count);
void mob_near_granted(struct want *w, uint32_t node);
/* Nothing is known of where. mob_want_changed() must follow. */
void mob_near_drop(struct want *w);

/* Of a want's leases, how many its owner would have first at `node`. */
uint32_t mob_near_at(const struct want *w, uint32_t node);
/* Of `open` leases, how many this node does not serve for now. */
uint32_t mob_near_elsewhere(const struct want *w, uint32_t open);
/* Of the `level` that is asked of the head: how many at which other nodes, besides those placed there. Returns how many nodes. */
uint32_t mob_near_open(const struct want *w, uint32_t level, struct mob_near ret[MOB_NEAR_MAX]);

/* What was kept long enough is served here. Returns when to come again. */
int64_t mob_near_tick(struct mob_raylet *r);

#endif
