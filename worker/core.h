/* SPDX-License-Identifier: Apache-2.0 */
/* core.h -- the organs of an owner core, for the files that are it. Outside: owner.h. */
#ifndef MOB_WORKER_CORE_H
#define MOB_WORKER_CORE_H

#include "common/wire.h"
#include "worker/backoff.h"
#include "worker/borrow.h"
#include "worker/certificate.h"
#include "worker/event.h"
#include "worker/hold.h"
#include "worker/kind.h"
#include "worker/lease.h"
#include "worker/lineage.h"
#include "worker/local.h"
#include "worker/object.h"
#include "worker/owner.h"
#include "worker/shape.h"
#include "worker/slab.h"
#include "worker/near.h"
#include "worker/stage.h"
#include "worker/stream.h"
#include "worker/task.h"
#include "worker/watch.h"

struct mob_owner {
    struct mob_world *world;
    struct mob_owner_config config;
    struct mob_wire *wire;
    int64_t now_ns;                     /* read once a batch: flush, drain, poll, receive */
    bool lost;                          /* the raylet is gone, because: */
    struct mob_error lost_why;          /* before, with a code: why it says that it will be */
    struct deaths *lost_deaths;         /* its node's */

    struct bodies bodies;               /* of arguments and of values */
    struct objects objects;
    struct watches watches;             /* asked of other owners */
    struct holds holds;                 /* of ours, by others */
    struct borrows borrows;             /* of others, by us */
    struct kinds kinds;                 /* functions by name, how long they take */
    struct tasks tasks;
    struct backoffs backoffs;           /* those that wait until they are tried again */
    struct lineage lineage;             /* those that are done, and can make again what is lost */
    struct shapes shapes;               /* the backlog */
    struct stages stages;               /* tasks whose arguments are brought to their node */
    struct leases leases;
    struct channels channels;           /* to the workers of this node */
    struct event_log events;            /* for the head's record */
};

/* Send one message (of the type that `body` says) to a process, by the raylet. */
void mob_owner_send(struct mob_owner *o, struct mob_address to, Mobula__Envelope__BodyCase body, void *message);

#endif
