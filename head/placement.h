/* SPDX-License-Identifier: Apache-2.0 */
/* placement.h -- which node serves an ask: a pure function of (ask, view, random), and why a node does not. */
#ifndef MOB_HEAD_PLACEMENT_H
#define MOB_HEAD_PLACEMENT_H

#include "common/resources.h"

/* A program that a node can never run, and why. */
struct placement_unfit {
    struct mob_hash program;
    char why[256];
};

/* What placement knows of a node. */
struct placement_node {
    uint32_t number;
    char ip[64];
    struct mob_resources total;
    struct mob_resources free;          /* reported, less what was placed since */
    struct mob_labels labels;
    bool draining;                      /* it is to leave: serves nothing any more */
    bool full;                          /* its object store is: serves what no other node could (claim.c), or who asks for it alone */
    uint32_t unseen;                    /* leases placed there that its reports do not show yet */
    struct placement_unfit *unfit;      /* oldest first */
    size_t unfit_count;
};

/* The nodes that fit an ask now, best first. Good for any number of asks of that shape while the nodes stay. */
struct placement_rank {
    struct placement_node *node;
    int64_t score;                      /* use of its most used resource, in 1/10,000; below the threshold: 0 */
    bool gpu;                           /* has GPUs that the ask does not need */
};
struct placement {
    const struct mob_shape *ask;        /* borrowed */
    struct placement_rank *of;
    size_t count;
    size_t top;                         /* choose among so many of the best */
};

/* Rank `nodes`. `cluster` is the number of nodes of the whole cluster (top k is a fraction of it). */
void mob_placement_init(struct placement *p, const struct mob_shape *ask, struct placement_node *const *nodes, size_t n,
                        size_t cluster);
void mob_placement_fini(struct placement *p);

/* Choose a node and take the ask's resources from its `free`. NULL: nothing fits any more. `preferred` (may be NULL) wins where it
 * is as good as the best; *round is the node SPREAD chose last. */
struct placement_node *mob_placement_take(struct placement *p, struct placement_node *preferred, uint32_t *round, uint64_t random);

/* Take it from `node` if it fits there, however it ranks: the arguments are there. */
bool mob_placement_take_at(const struct placement *p, struct placement_node *node);

/* Where an ask that fits nowhere waits best: the node that lacks least of it, without GPUs if it needs none; equals go round by
 * number, from *round on. Never at `except` (may be NULL), nor, but as a last resort, at one that leaves it to others as its store is full.
 * NULL: none of the others could serve it if it were empty. */
struct placement_node *mob_placement_wait(const struct mob_shape *ask, struct placement_node *const *nodes, size_t n,
                                          const struct placement_node *except, bool last_resort, uint32_t *round);
/* Its object store is full, and the ask may be served elsewhere as far as that goes. */
bool mob_placement_avoids(const struct placement_node *node, const struct mob_shape *ask);
/* Could one of these serve the ask if it were empty, that does not avoid it? */
bool mob_placement_has_other(const struct mob_shape *ask, struct placement_node *const *nodes, size_t n);

bool mob_placement_fits(const struct placement_node *node, const struct mob_shape *ask);       /* now */
bool mob_placement_feasible(const struct placement_node *node, const struct mob_shape *ask);   /* if it were empty */

/* The node cannot run that program: known from now on, instead of the oldest such one if there are too many. False: it was known. */
bool mob_placement_note_unfit(struct placement_node *node, const struct mob_hash *program, const char *why);
/* The nodes that would serve the ask but for its program, and what each says of that; free() it. NULL: there is none. */
char *mob_placement_refusal(const struct mob_shape *ask, struct placement_node *const *nodes, size_t n);

/* The explaining mode: a table of what each node lacks for the ask, one row a reason. free() it. */
char *mob_placement_explain(const struct mob_shape *ask, struct placement_node *const *nodes, size_t n);
/* What would help an ask that none of these could ever serve: the end of a sentence. free() it. */
char *mob_placement_advice(const struct mob_shape *ask, struct placement_node *const *nodes, size_t n);
/* The table of such an ask, after a sentence that says so. */
char *mob_placement_infeasible(const struct mob_shape *ask, struct placement_node *const *nodes, size_t n);

#endif
