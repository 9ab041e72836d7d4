/* SPDX-License-Identifier: Apache-2.0 */
/* borrow.h -- objects of other owners that this process has references to, and what we tell these owners of who holds them. */
#ifndef MOB_WORKER_BORROW_H
#define MOB_WORKER_BORROW_H

#include "common/list.h"
#include "common/map.h"
#include "common/wire.h"
#include "worker/owner.h"

struct object;

struct borrows {
    struct mob_link orphans;            /* orphan.c: we were asked whether we have them */
    struct mob_map by_number;           /* of the object that stands for it here -> struct borrow */
    struct mob_link loose;              /* without a ticket: held by the arguments of the running task */
    struct mob_map outboxes;            /* address of an owner -> struct outbox */
    struct mob_link unsent;             /* outboxes with something to send */
    struct mob_link waiters;            /* struct mob_waiter: until nothing is unconfirmed */
    uint64_t last_ticket;
    size_t unconfirmed;                 /* holds that we said or have to say, and that their owner has not answered */
};

struct borrow {
    struct mob_link link;               /* borrows.loose; or in no list */
    struct object *object;
    struct mob_object_id id;
    struct mob_address issuer;
    uint64_t ticket;                    /* 0: loose */
    bool alias, watched;
};

struct change {
    struct mob_object_id id;
    struct mob_address issuer, holder;
    uint64_t ticket;
    uint64_t source;                    /* held: this object is pinned until it is confirmed; 0: none */
    bool held, cancel;
    int how;                            /* cancel: of mob_cancel() */
};

/* One message, until it is answered. */
struct sent {
    struct mob_link link;
    uint64_t seq;
    size_t count;
    struct change changes[];
};

struct outbox {
    struct mob_link link;               /* in borrows.unsent */
    struct mob_address owner;
    uint64_t seq;                       /* of the last message */
    struct change *changes;             /* to be sent */
    size_t count, room;
    struct mob_link sent;               /* oldest first */
    int64_t again_ns;                   /* not 0: a link was lost; until then nothing is sent, then all again */
};

void mob_owner_borrows_init(struct mob_owner *o);
void mob_owner_borrows_fini(struct mob_owner *o);

/* b, which is pending, stands for `id` under a ticket that is ours. `alias`: others know b by its own name (it is a task's return). */
void mob_owner_borrow_as(struct mob_owner *o, struct object *b, const struct mob_object_id *id, struct mob_address issuer,
                         uint64_t ticket, bool alias);
/* Its owner shall cancel the task that makes b; `how` is of mob_cancel(). No-op if it is no borrowed one, or its value is here. */
void mob_owner_borrow_cancel(struct mob_owner *o, struct object *b, int how);
/* Somebody waits for b: ask its owner, once. No-op if it is no borrowed one. */
void mob_owner_borrow_want(struct mob_owner *o, struct object *b);
/* The name it was borrowed under, or NULL: others know it by its own name. */
const struct mob_object_id *mob_owner_borrow_name(const struct mob_owner *o, const struct object *b);
/* What its owner calls it, alias or not; NULL: it is not borrowed. */
const struct mob_object_id *mob_owner_borrow_id(const struct mob_owner *o, const struct object *b);
/* b ends here: its owner is told. */
void mob_owner_borrow_end(struct mob_owner *o, struct object *b);
/* A ticket that came for us, and is of no use. */
void mob_owner_ticket_drop(struct mob_owner *o, const struct mob_object_id *id, struct mob_address issuer, uint64_t ticket);

void mob_owner_on_references_done(struct mob_owner *o, struct mob_address owner, const Mobula__ReferencesDone *m);
/* Send what is due. Returns when to come again. */
int64_t mob_owner_borrows_flush(struct mob_owner *o);
/* The raylet is gone: nobody will answer. */
void mob_owner_borrows_fail(struct mob_owner *o);
void mob_owner_borrows_check(const struct mob_owner *o);
/* The tickets of this issuer that we have: as keys. */
void mob_owner_borrows_of(const struct mob_owner *o, struct mob_address issuer, struct mob_map *ret_tickets);

/* -- orphan.c -------------------------------------------------------------------------------------------------------------- */

void mob_owner_on_orphans(struct mob_owner *o, struct mob_address from, const Mobula__Orphans *m);
void mob_owner_orphans_flush(struct mob_owner *o);
void mob_owner_orphans_fini(struct mob_owner *o);

#endif
