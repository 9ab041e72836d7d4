/* SPDX-License-Identifier: Apache-2.0 */
/* membership.h -- this node as a member of the cluster: the stream to the head, and what the head says of other nodes and jobs. */
#ifndef MOB_RAYLET_MEMBERSHIP_H
#define MOB_RAYLET_MEMBERSHIP_H

#include "common/list.h"
#include "raylet/raylet.h"

struct arrival;
struct connection;
struct process;

struct membership {
    struct connection *head;            /* NULL: not even dialed */
    bool registered;                    /* on `head` */
    uint8_t cluster[16];
    uint64_t generation;                /* of the head */
    uint32_t told;                      /* of each node up to this number we know from the head, or it was gone before */
    int64_t dial_at;                    /* ns; not before */
    int64_t alone_since;                /* ns; without a registered stream since then */
    int64_t beat_ns;
    struct mob_link questions;          /* of our processes, to the head: question.c */
};

void mob_membership_init(struct mob_raylet *r);

bool mob_membership_joined(const struct mob_raylet *r);
/* The head has told of it, or would have if it lived: one of which nothing is known is gone. Of others its word is still to come. */
bool mob_membership_was_told(const struct mob_raylet *r, uint32_t node);
/* The stream to the head is up: register. */
void mob_membership_up(struct mob_raylet *r, struct connection *c);
void mob_membership_lost(struct mob_raylet *r, struct connection *c, const struct mob_error *why);

/* Tell the head of jobs of this node. While it is away it is not told: when it is back all that there are are named. */
void mob_membership_job_started(struct mob_raylet *r, const struct process *driver);
void mob_membership_job_over(struct mob_raylet *r, struct mob_address job);

/* Dial when it is due, give up when it is time. Returns when to come again. */
int64_t mob_membership_tick(struct mob_raylet *r);

/* From the head. */
void mob_membership_on_registered(struct mob_raylet *r, const struct arrival *a);
void mob_membership_on_refused(struct mob_raylet *r, const struct arrival *a);
void mob_membership_on_node_up(struct mob_raylet *r, const struct arrival *a);
void mob_membership_on_node_down(struct mob_raylet *r, const struct arrival *a);
void mob_membership_on_job_over(struct mob_raylet *r, const struct arrival *a);

#endif
