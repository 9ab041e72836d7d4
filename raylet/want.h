/* SPDX-License-Identifier: Apache-2.0 */
/* want.h -- who wants leases of this node, how many, and in what order they are served. */
#ifndef MOB_RAYLET_WANT_H
#define MOB_RAYLET_WANT_H

#include "common/list.h"
#include "common/map.h"
#include "raylet/demand.h"
#include "raylet/near.h"
#include "raylet/raylet.h"

struct arrival;
struct process;

/* The leases one owner wants of one shape: for a process of this node all of them, for another what the head placed here. */
struct want {
    struct wanter *wanter;
    uint32_t number;                    /* the owner's, of the shape */
    struct mob_shape shape;
    int64_t cpu;                        /* what the shape asks of it */
    bool feasible;                      /* an idle node of this size could serve it */
    bool here_first;                    /* this raylet may serve it without asking the head */
    bool avoided;                       /* the store is full: only what is claimed is served (full.c) */
    struct near near;                   /* LOCAL: where its owner would have them first */
    uint32_t depth;
    int64_t since;                      /* ns; waits since then: asked, or last served */
    uint64_t passed;                    /* LOCAL: grants seen passing, from here and elsewhere */
    uint32_t outstanding;               /* leases wanted and not granted, wherever they will come from */
    uint32_t making;                    /* of them: resources are held here, the worker is not there yet */
    uint32_t held;                      /* leases granted by this node and not over */
    uint32_t recalled;                  /* of the held ones: asked back */
    uint64_t place_seq;                 /* of another node's owner: of the last Place for it */
    struct placing { uint64_t seq; uint32_t count; } *placings;     /* ... those that what is outstanding is of, and perhaps some before */
    size_t placing_count;
    uint32_t claimed;                   /* the head lets this node lend so many more in their turn (claim.c) */
    struct mob_link leases;             /* of this node, in the making and held */
    struct demand demand;               /* LOCAL: what was asked of the head and placed elsewhere */
    struct kind *kind;                  /* of workers that serve it */
    uint32_t counted;                   /* what this node should lend more of it, as counted in the queue */
    struct mob_link queued;             /* in a level, while that is not 0 */
    struct mob_link all;
};

/* An owner with wants. */
struct wanter {
    struct mob_address address;
    struct process *process;            /* LOCAL; NULL: of another node */
    struct mob_map wants;               /* shape number -> struct want */
};

/* All queued wants of one depth, longest waiting first. */
struct level {
    uint32_t depth;
    struct mob_link wants;
    struct mob_link link;
};

struct wants {
    struct mob_map wanters;             /* address -> struct wanter */
    struct mob_link all;
    struct mob_link demands;            /* wants whose demand changed */
    struct mob_link levels;             /* deepest first */
    struct mob_link near_held;          /* wants of which some are kept for other nodes, longest first */
    uint32_t queued;                    /* leases wanted of this node and not in the making */
    uint32_t placed_queued;             /* of them: placed here by the head */
    struct want *reserver;              /* nothing behind it takes what it needs; NULL: none */
    struct mob_resources aside;         /* that much, while there is one */
};

void mob_wants_init(struct mob_raylet *r);
void mob_wants_fini(struct mob_raylet *r);

/* Is what one lease of it asks free here and not set aside for another, on a node that could serve it? */
bool mob_want_fits_now(const struct mob_raylet *r, const struct want *w);
/* How many more leases of it this node should lend now. */
uint32_t mob_want_servable(const struct want *w);
/* After any of its numbers changed: in or out of the queue, and demand looks at it again. */
void mob_want_changed(struct mob_raylet *r, struct want *w);
/* This node can never run its program: infeasible, what the head placed here goes back. May free a want of an owner elsewhere. */
void mob_want_unfit(struct mob_raylet *r, struct want *w);
/* The store is full, and other nodes may serve it: what is in the making ends, what the head placed here goes back. Or it is not any more.
 * May free a want of an owner elsewhere. */
void mob_want_avoid(struct mob_raylet *r, struct want *w, bool avoided);
/* One of its leases was granted: the level goes down. */
void mob_want_granted(struct mob_raylet *r, struct want *w);
/* The want of (owner, shape), or NULL. */
struct want *mob_want_find(const struct mob_raylet *r, struct mob_address owner, uint32_t number);
/* The owner is gone: its wants end, and the leases in the making. Leases it holds must be over or ending. */
void mob_wants_forget(struct mob_raylet *r, struct mob_address owner);
/* A want of an owner elsewhere goes away when nothing of it is left. */
void mob_want_release(struct mob_raylet *r, struct want *w);

/* It has got a lease, here or elsewhere: it waits anew, behind its equals. */
void mob_want_served(struct mob_raylet *r, struct want *w);
void mob_want_set_outstanding(struct mob_raylet *r, struct want *w, uint32_t outstanding);
/* What the head says of a want of an owner elsewhere. */
struct mob_want_said {
    struct mob_address owner;
    uint32_t number, depth;
    uint64_t age_ms;
    const Mobula__Shape *definition;
    const Mobula__Peer *owner_node;
};
/* It: known, or made from its definition. NULL: its node is not there. */
struct want *mob_want_elsewhere(struct mob_raylet *r, const struct mob_want_said *said);

/* Another head serves: what the one before had placed here is void. */
void mob_want_forget_placed(struct mob_raylet *r);

/* Lend what can be lent, in order. Call after anything became free or wanted. */
void mob_wants_serve(struct mob_raylet *r);

void mob_want_on_want(struct mob_raylet *r, const struct arrival *a);
void mob_want_on_place(struct mob_raylet *r, const struct arrival *a);
void mob_want_on_withdraw(struct mob_raylet *r, const struct arrival *a);

#endif
