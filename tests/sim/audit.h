/* SPDX-License-Identifier: Apache-2.0 */
/* audit.h -- what a raylet's core counts, as plain numbers: its structs and the simulator's have the same names. */
#ifndef MOB_TESTS_SIM_AUDIT_H
#define MOB_TESTS_SIM_AUDIT_H

#include "raylet/raylet.h"
#include "worker/owner.h"

struct audit_lent {
    uint64_t lease;
    int64_t cpu;                        /* that the lease holds now */
    struct mob_address owner;
};

/* What worker `process` is lent for. False: it is on its way out, or unknown. */
bool audit_lent(const struct mob_raylet *r, uint32_t process, struct audit_lent *ret);
/* Does it sleep, as its raylet knows, on a lease whose tasks that raylet gives it? */
bool audit_sleeps(const struct mob_raylet *r, uint32_t process);
/* Does the raylet have this lease of this owner, in whatever state? */
bool audit_knows(const struct mob_raylet *r, uint64_t lease, struct mob_address owner);

/* The number of the last lease that was made. */
uint64_t audit_next_lease(const struct mob_raylet *r);
/* How many it is to lend, or is about to, to owners of other nodes. */
uint64_t audit_owed_elsewhere(const struct mob_raylet *r);

/* Does it follow the head of this generation, and know another node by that number? */
bool audit_mistakes(const struct mob_raylet *r, uint64_t generation, uint32_t node, const char *ip, uint32_t port);
/* Of what the head of this generation placed: does `r` wait for more than `lender` (of that node) will lend or decline? False, too, when the two
 * do not know of each other or of that head, or keep something to be sent. */
bool audit_waits_in_vain(const struct mob_raylet *r, const struct mob_raylet *lender, uint64_t generation);

/* Is something lent to a process of `r` that `r` knows nothing of? False, too, when the two do not know of each other, or keep something to be
 * sent. */
bool audit_lends_in_vain(const struct mob_raylet *lender, const struct mob_raylet *r);

/* Leases that an owner has tasks in. audit_owner.c: the owner's core has a struct lease of its own. */
struct audit_pushed {
    uint64_t lease;
    uint32_t node;
};
size_t audit_pushed(const struct mob_owner *o, struct audit_pushed *ret, size_t room);

/* What it lends, and to whom. */
struct audit_lease {
    uint64_t number;
    struct mob_address owner;
};
size_t audit_leases(const struct mob_raylet *r, struct audit_lease *ret, size_t room);

/* Does the owner know of it? */
bool audit_leased(const struct mob_owner *o, uint32_t node, uint64_t lease);
/* What it still has there; some of that may wait to be sent. */
enum audit_rest { AUDIT_NOTHING, AUDIT_SENT, AUDIT_UNSENT };
enum audit_rest audit_rest(const struct mob_owner *o, uint32_t node, uint64_t lease);
/* Is this task of the owner on that lease, and nobody has cancelled it? */
bool audit_counts_on(const struct mob_owner *o, uint32_t node, uint64_t lease, uint64_t task);
/* Has it cancelled a task that waits in the ring of a worker of its node? */
bool audit_leaves_cancelled(const struct mob_owner *o);

/* A ticket of somebody else's object that a process has, and its owner knows of: it confirmed it. */
struct audit_ticket {
    struct mob_object_id id;
    struct mob_address issuer, holder;
    uint64_t ticket;
};
size_t audit_tickets(const struct mob_owner *o, struct audit_ticket *ret, size_t room);
/* Does the owner of that object pin it for this holder? Or does it know no such object? */
enum audit_hold { AUDIT_HELD, AUDIT_WRONG, AUDIT_UNKNOWN };
enum audit_hold audit_hold(const struct mob_owner *o, const struct audit_ticket *t);
/* Was the raylet told that the other node is dead? */
bool audit_buried(const struct mob_raylet *r, uint32_t node);

/* Who reserves. */
struct audit_reserve {
    uint64_t key;                       /* of its want; 0: nobody */
    uint32_t depth;
    int64_t since;
    uint64_t leases;                    /* made so far */
};
void audit_reserve(const struct mob_raylet *r, struct audit_reserve *ret);
/* Has a lease been made since `then` that takes what the one who reserved then, and still does, waits for? */
bool audit_overtaken(const struct mob_raylet *r, const struct audit_reserve *then);

/* Nobody of this job has, wants or runs anything here. */
bool audit_job_gone(const struct mob_raylet *r, struct mob_address job);

#endif
