/* SPDX-License-Identifier: Apache-2.0 */
/* explain.h -- the question "explain": what this node knows of why tasks wait. */
#ifndef MOB_RAYLET_EXPLAIN_H
#define MOB_RAYLET_EXPLAIN_H

#include "raylet/raylet.h"

/* The Reply follows when the processes of this node have said what they know, or have had the time. */
void mob_explain_answer(struct mob_raylet *r, struct mob_address to, const Mobula__Query *m);

#endif
