/* SPDX-License-Identifier: Apache-2.0 */
/* death.h -- what follows from the end of a worker, driver, job, link or node, in the order that others rely on. */
#ifndef MOB_RAYLET_DEATH_H
#define MOB_RAYLET_DEATH_H

#include "raylet/raylet.h"

struct kind;
struct peer;
struct want;

/* A stream between this node and the peer broke: all that was under way between them is lost. */
void mob_death_of_pair(struct mob_raylet *r, struct peer *peer, const char *why);
void mob_death_of_node(struct mob_raylet *r, struct peer *peer, const char *why);
/* Its workers are killed, what its processes want is forgotten. */
void mob_death_of_job(struct mob_raylet *r, struct mob_address job);

/* Tell an owner that no worker can be started for it at the moment, and why. */
void mob_death_tell_no_start(struct mob_raylet *r, const struct want *w, const char *why);
/* Tell the head that this node can never run the program of a kind. */
void mob_death_tell_unfit(struct mob_raylet *r, const struct kind *k);

#endif
