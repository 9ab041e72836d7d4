/* SPDX-License-Identifier: Apache-2.0 */
/* demand.h -- leases that owners' raylets could not serve themselves: levels, placed as resources come free. */
#ifndef MOB_HEAD_DEMAND_H
#define MOB_HEAD_DEMAND_H

#include "common/list.h"
#include "common/map.h"
#include "common/wire.h"
#include "head/placement.h"

struct mob_head;
struct node;
struct kind;
struct shape;

/* What one owner wants of one shape. */
struct demand {
    struct node *origin;                /* the owner's */
    struct mob_address owner;
    uint32_t number;                    /* the owner's, of the shape */
    struct shape *shape;
    struct kind *kind;
    uint32_t count;                     /* not placed yet */
    struct mob_near near[MOB_NEAR_MAX]; /* of them: first at these nodes */
    uint32_t near_count;
    uint64_t placed;                    /* so far, as its raylet counts */
    int64_t since_ns;                   /* age and */
    uint32_t depth;                     /* depth decide who is first */
    uint64_t told;                      /* the generation of nodes whose lacks it was told; 0: none */
    struct node *claim;                 /* where it waits, too; NULL: nowhere */
    uint32_t claim_round;               /* the last one */
    int64_t claim_ns;                   /* when it had its last turn to claim; 0: never */
    struct mob_link by_kind;            /* in kind.waiting while count > 0 */
};

/* All demands that any node serves equally well or not: same resources, labels, strategy and program. */
struct kind {
    uint64_t key;
    unsigned refs;                      /* demands */
    struct mob_shape ask;               /* job left out */
    struct mob_link waiting;            /* demands with count > 0 */
    size_t feasible;                    /* serving nodes that could serve it if they were empty */
    bool exhausted;                     /* it fits on no node but, perhaps, those in view.changed */
    int64_t no_node_ns;                 /* when no node was left for it to claim */
    struct placement ranking;           /* while placing */
};

struct demand_table {
    struct mob_map kinds;
    uint32_t round;                     /* SPREAD: the last node, of all kinds: they come and go between one task and the next */
    uint64_t generation;                /* rises when a serving node joins or dies; starts at 1 */
    bool explain;                       /* somebody may have to be told why nothing fits ... */
    int64_t explain_ns;                 /* ... at once if it is new, else not before this */
    struct node **chosen;               /* scratch: the nodes of the demand under way */
    size_t chosen_count, chosen_room;
    int64_t claim_ns;                   /* claims are looked at not before this */
};

void mob_head_demand_init(struct mob_head *h);
void mob_head_demand_fini(struct mob_head *h);
/* A raylet states a level for one of its owners. */
int mob_head_demand_state(struct node *origin, const Mobula__Demand *m, struct mob_error *err);
/* Drop demands: of a node's owners, of a job. */
void mob_head_demand_drop_node(struct node *n);
void mob_head_demand_drop_job(struct mob_head *h, struct mob_address job);
/* A serving node joined; a node is dead. */
void mob_head_demand_node_joined(struct node *n);
void mob_head_demand_node_dead(struct node *n);
/* It serves no more, or (as that could not be kept) it does again. */
void mob_head_demand_drain(struct node *n, bool draining);
/* A node cannot run a program: what it alone could have served ends, and is told why. */
void mob_head_demand_unfit(struct node *n, const struct mob_hash *program, const char *why);
/* Place what can be placed, tell what cannot. Returns when to come again (INT64_MAX: when something changed). */
int64_t mob_head_demand_place(struct mob_head *h);
/* How many nodes that serve, or are cut off, could serve it if they were idle. */
size_t mob_head_demand_feasible(const struct mob_head *h, const struct mob_shape *ask);
/* What a demand of that owner asks for, while it waits; or NULL. */
const struct mob_shape *mob_head_demand_ask(const struct mob_head *h, struct mob_address owner, uint32_t number);
/* Whose turn it is: deeper first, then older. Of pointers to struct demand *, for qsort(). */
int mob_head_demand_first_come(const void *a, const void *b);
void mob_head_demand_check(const struct mob_head *h);

#endif
