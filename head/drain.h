/* SPDX-License-Identifier: Apache-2.0 */
/* drain.h -- a node that somebody wants to leave: may it, what keeps it, and where its objects may go. */
#ifndef MOB_HEAD_DRAIN_H
#define MOB_HEAD_DRAIN_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/wire.h"

struct asker;
struct mob_head;
struct node;

/* What keeps it, as it last said. */
struct drain_left {
    uint32_t tasks, owners, drivers;
    uint64_t objects, bytes;
    bool over, late;                    /* over: nothing does; late: as its time is over */
};

/* Of a node whose place is `draining`. */
struct drain {
    uint64_t number;                    /* of the last word of a person that set the deadline; 0: there was none */
    bool limited, force;
    uint64_t deadline_ms;
    bool heard;                         /* its raylet has: `left` is true */
    struct drain_left left;
};

/* By number, address or host name, as people call it: of several the one that serves, else which lives, else that died last. */
struct node *mob_head_node_called(const struct mob_head *h, const char *text, struct mob_error *err);

/* Query "drain": {"node": number, address or host, "deadline_ms": N or absent, "force": bool} -> {"node", "ip", "state", "again"} */
int mob_head_drain(struct mob_head *h, const struct asker *asker, const char *argument, struct mob_error *err);
/* Query "draining": {"node": number} -> {"node", "ip", "state", "reason", and what mob_head_drain_left() has} */
int mob_head_draining(struct mob_head *h, const struct asker *asker, const char *argument, struct mob_error *err);

/* {"heard", "takers", "tasks", "objects", "bytes", "owners", "drivers"}: what keeps it. The caller's. */
json_t *mob_head_drain_left(const struct node *n);

/* Its raylet is there: it is told, if it is to leave. */
void mob_head_drain_tell(struct node *n);
/* What a report says of it; NULL: nothing. */
void mob_head_drain_report(struct node *n, const Mobula__Draining *m);

/* For the next head, and from the one before. */
void mob_head_drain_put(const struct node *n, Mobula__Drain *ret);
void mob_head_drain_load(struct node *n, const Mobula__Drain *m);

#endif
