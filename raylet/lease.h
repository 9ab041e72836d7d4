/* SPDX-License-Identifier: Apache-2.0 */
/* lease.h -- one worker lent to one owner. */
#ifndef MOB_RAYLET_LEASE_H
#define MOB_RAYLET_LEASE_H

#include "common/list.h"
#include "common/machine.h"
#include "common/map.h"
#include "raylet/node_resources.h"
#include "raylet/raylet.h"

#define WINDOW_TASKS 512                /* of an owner elsewhere: unanswered tasks besides the running one */
#define WINDOW_BYTES (512u << 10)

struct arrival;
struct want;
struct worker;

enum lease_state { LEASE_MATCHING, LEASE_HELD, LEASE_RECALLED, LEASE_ENDING, LEASE_OVER };

struct lease {
    struct mob_machine machine;
    uint64_t number;
    struct want *want;                  /* lasts longer than its leases */
    struct share share;
    struct worker *worker;              /* NULL while MATCHING; a worker for it alone may be starting */
    uint32_t epoch;
    int64_t asked_since, held_since;    /* ns; when its want had begun to wait for it */
    struct proxy *proxy;                /* the owner is on another node; else NULL */
    bool tell_owner;                    /* ENDING: LeaseOver is due when the worker is reaped */
    bool owner_gone;                    /* ... and not only out of reach: what it owns here goes with the lease */
    bool last_resort;                   /* the store was full, and the head had no other node for it */
    uint64_t memory_before;             /* asked for memory: what its worker had when it began */
    bool beyond_ask;                    /* ENDING: it had more than that and what it asked for */
    struct mob_error why;               /* ENDING: code not MOB_OK: instead of the death certificate */
    struct mob_link of_want;
    struct mob_link in_line;            /* MATCHING: waits in its kind; HELD: in leases.held */
};

struct leases {
    struct mob_map by_number;
    uint64_t next;
    struct mob_link held;               /* longest first */
    uint32_t recalled;                  /* in state RECALLED */
};

void mob_leases_init(struct mob_raylet *r);
void mob_leases_fini(struct mob_raylet *r);

/* -- in the order of life ------------------------------------------------------------------------------------------------ */

/* Take the resources for one lease of `w`, and wait for a worker. False: they are not free, or no worker can be had. */
bool mob_lease_make(struct mob_raylet *r, struct want *w);
/* Not wanted any more, or no worker could be started: MATCHING -> OVER. */
void mob_lease_unmake(struct mob_raylet *r, struct lease *l);
/* Its worker is there: tell the worker, then the owner. */
void mob_lease_grant(struct mob_raylet *r, struct lease *l, struct worker *worker);
/* Ask it back. No-op unless HELD. */
void mob_lease_recall(struct mob_raylet *r, struct lease *l);
/* End it without its owner: the worker is killed, and the lease is over when that is reaped. The owner is told then, with `why` or
 * (NULL) the worker's death certificate, unless it is gone itself. */
void mob_lease_end(struct mob_raylet *r, struct lease *l, bool tell_owner, const struct mob_error *why);
/* The worker ends for whatever reason: HELD | RECALLED -> ENDING. No-op if it is ENDING. */
void mob_lease_worker_ends(struct mob_raylet *r, struct lease *l);
/* The worker was reaped, and the owner was told. */
void mob_lease_worker_gone(struct mob_raylet *r, struct lease *l);

/* All leases of an owner that is gone, or cannot be reached, end. */
void mob_leases_end_of(struct mob_raylet *r, struct mob_address owner);

/* The lease that `owner` names: granted and not ending. NULL: unknown, over, or another's. */
struct lease *mob_lease_of(const struct mob_raylet *r, uint64_t number, struct mob_address owner);
struct mob_address mob_lease_owner(const struct lease *l);

void mob_lease_on_return(struct mob_raylet *r, const struct arrival *a);
/* From the raylet of an owner elsewhere: its process is gone. */
void mob_lease_on_owner_gone(struct mob_raylet *r, const struct arrival *a);

#endif
