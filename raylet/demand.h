/* SPDX-License-Identifier: Apache-2.0 */
/* demand.h -- the part of local wants that this node does not serve: asked of the head, placed at other nodes. */
#ifndef MOB_RAYLET_DEMAND_H
#define MOB_RAYLET_DEMAND_H

#include "common/list.h"
#include "raylet/raylet.h"

struct arrival;
struct peer;
struct want;

struct placed {
    uint32_t node;
    uint32_t count;                     /* granted not yet */
    uint32_t early;                     /* answered before its Placed came: the head's word was overtaken */
    uint64_t early_seq;                 /* of the last Place that `early` may be of */
    uint64_t seq;                       /* of the oldest Place that `count` is of, or one before it */
    uint64_t last;                      /* of the newest */
};

/* outstanding = making + sum of placed + at_head, once mob_demand_flush() has said what changed. */
struct demand {
    uint32_t at_head;                   /* the level the head has */
    uint64_t placed_seen;               /* Placed counted so far */
    int64_t said_since;                 /* since when the want waits, as the head knows */
    bool near_changed;                  /* the owner would have them elsewhere than the head knows */
    struct placed *placed;
    size_t placed_count;
    uint32_t placed_sum;
    struct mob_link changed;            /* in demands.changed, while the head or a node must hear */
};

/* Look at it at the next flush. */
void mob_demand_changed(struct mob_raylet *r, struct want *w);
/* Say all new levels: called once after each batch of facts, so that a burst is one message. */
void mob_demand_flush(struct mob_raylet *r);
/* Another head serves: what the one before had placed for owners here is void, and is asked for anew by mob_demand_say_again(). */
void mob_demand_forget(struct mob_raylet *r);
/* The head has forgotten all levels, or may have: take back what was placed and say everything. */
void mob_demand_say_again(struct mob_raylet *r);

/* Of a want's leases, how many are placed at `node`. */
uint32_t mob_demand_placed_at(const struct want *w, uint32_t node);
/* `count` of those placed at `node` are not expected from there any more: served here, or asked of the head again. */
void mob_demand_unplace(struct mob_raylet *r, struct want *w, uint32_t node, uint32_t count);
/* `node` granted or declined `count`, having heard Places up to `place_seq`; the Placed for them may come later. */
void mob_demand_answered(struct mob_raylet *r, struct want *w, uint32_t node, uint32_t count, uint64_t place_seq);
void mob_demand_node_lost(struct mob_raylet *r, uint32_t node);
/* Its PeerHello says what it has forgotten of what was placed there: that is asked of the head again. */
void mob_demand_forgotten(struct mob_raylet *r, const struct peer *peer);
/* The want ends: the head and the nodes are told that nothing is wanted. */
void mob_demand_end(struct mob_raylet *r, struct want *w);

void mob_demand_on_placed(struct mob_raylet *r, const struct arrival *a);
void mob_demand_on_declined(struct mob_raylet *r, const struct arrival *a);

#endif
