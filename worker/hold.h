/* SPDX-License-Identifier: Apache-2.0 */
/* hold.h -- who else holds objects of ours: each hold is a ticket {issuer, number} in the name of its holder, and pins the object. */
#ifndef MOB_WORKER_HOLD_H
#define MOB_WORKER_HOLD_H

#include "common/list.h"
#include "common/map.h"
#include "common/wire.h"
#include "worker/object.h"
#include "worker/owner.h"

struct object;

struct holds {
    struct mob_map by_ticket;           /* struct hold, chained where hashes are equal */
    struct mob_map holders;             /* address -> struct holder */
    struct mob_link unsure;             /* holders whose raylet could not be reached: asked again */
    struct mob_link gone;               /* those that are known for the tickets that they gave to others alone */
    int64_t again_ns;                   /* when; INT64_MAX: there are none */
    uint64_t count;
};

struct hold {
    struct hold *same_key;
    struct mob_link of_holder, of_issuer;
    struct mob_address issuer;
    uint64_t ticket;
    struct object *object;              /* pinned: its slot is its own till the hold ends */
    struct holder *holder;
};

/* A process that holds, or that told us who does. Its death was asked for; after that it is known as long as others hold by its tickets. */
struct holder {
    struct mob_link link;               /* in holds.unsure, in holds.gone, or in no list */
    struct mob_address address;
    struct mob_link holds;
    struct mob_link given;              /* of others, by tickets of its */
    uint64_t heard;                     /* the number of its last References */
    bool gone;
};

void mob_owner_holds_init(struct mob_owner *o);
void mob_owner_holds_fini(struct mob_owner *o);

/* `holder` holds b from now on, under a ticket that is new. */
void mob_owner_hold(struct mob_owner *o, struct object *b, struct mob_address issuer, uint64_t ticket, struct mob_address holder);
/* It does no more. Unknown tickets are ignored (the holder died meanwhile). */
void mob_owner_unhold(struct mob_owner *o, struct mob_address issuer, uint64_t ticket);
/* What a worker held in our name until its answer came is held by ourselves from now on, whatever becomes of the worker. */
void mob_owner_hold_take(struct mob_owner *o, struct mob_address issuer, uint64_t ticket);

void mob_owner_on_references(struct mob_owner *o, struct mob_address from, const Mobula__References *m);
void mob_owner_on_mourned(struct mob_owner *o, const Mobula__Mourned *m);
/* Ask again for those that could not be reached. Returns when to come again. */
int64_t mob_owner_holds_flush(struct mob_owner *o);
/* Each object that is held, once a hold. */
void mob_owner_holds_tally(const struct mob_owner *o, mob_owner_note *note, void *arg);
void mob_owner_holds_check(const struct mob_owner *o);

#endif
