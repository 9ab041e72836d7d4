/* SPDX-License-Identifier: Apache-2.0 */
/* move.h -- objects that go from a node that leaves to others: at both ends. */
#ifndef MOB_RAYLET_MOVE_H
#define MOB_RAYLET_MOVE_H

#include "common/list.h"
#include "common/map.h"
#include "raylet/raylet.h"

#define MOVE_TAKERS_MAX 16u

struct arrival;
struct drain_left;

/* A node that may take some, and what room is thought to be left there. */
struct taker {
    uint32_t node;
    uint64_t room;
};

struct moves {
    /* This node leaves. */
    struct mob_map by_id;               /* hash of the id -> chain of struct move */
    struct mob_link all;
    size_t count;
    struct taker takers[MOVE_TAKERS_MAX];
    size_t taker_count;
    /* Others do. */
    struct mob_link coming, facts;
    size_t coming_count;
};

void mob_moves_init(struct mob_raylet *r);
void mob_moves_fini(struct mob_raylet *r);

/* Where there is room, as the head says. */
void mob_moves_takers(struct mob_raylet *r, const Mobula__Drain *m);
/* Count the objects that others would lose, and ask other nodes to take them. */
void mob_moves_look(struct mob_raylet *r, struct drain_left *ret);
void mob_move_on_moved(struct mob_raylet *r, const struct arrival *a);

/* Another node leaves. */
void mob_move_on_move(struct mob_raylet *r, const struct arrival *a);
/* The store's answer, while it may still be asked. */
void mob_move_fetched(struct mob_raylet *r, const Mobula__Fetched *m);
void mob_moves_tick(struct mob_raylet *r);

#endif
