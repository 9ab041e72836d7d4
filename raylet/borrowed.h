/* SPDX-License-Identifier: Apache-2.0 */
/* borrowed.h -- the leases that processes of this node hold at other nodes. This raylet passes their messages on, and keeps the list
 * so that it can speak for a lender that cannot be reached, and for an owner that has died. */
#ifndef MOB_RAYLET_BORROWED_H
#define MOB_RAYLET_BORROWED_H

#include "common/list.h"
#include "raylet/raylet.h"

struct arrival;
struct peer;
struct process;

struct borrowed {
    struct peer *lender;
    uint64_t lease;                     /* the lender's number */
    struct mob_address worker;
    struct process *owner;
    struct mob_link of_owner;
};

/* Free the table of a peer, and nothing more. */
void mob_borrowed_fini(struct peer *lender);

/* On their way between owner and lender. True: pass it on. */
bool mob_borrowed_granted(struct mob_raylet *r, const struct arrival *a);       /* Grant */
bool mob_borrowed_returned(struct mob_raylet *r, const struct arrival *a);      /* Return */
bool mob_borrowed_over(struct mob_raylet *r, const struct arrival *a);          /* LeaseOver */
bool mob_borrowed_used(struct mob_raylet *r, const struct arrival *a);          /* TaskFrames and what is said of them: the sender's? */
bool mob_borrowed_from_lender(struct mob_raylet *r, const struct arrival *a);   /* Recall, AnswerFrames, Taken ...: from a raylet */

/* The lender cannot be reached: all owners learn that their leases there are over. */
void mob_borrowed_lender_lost(struct mob_raylet *r, struct peer *lender, const char *why);
/* The owner is gone: all its lenders learn it. */
void mob_borrowed_owner_gone(struct mob_raylet *r, struct process *owner);

#endif
