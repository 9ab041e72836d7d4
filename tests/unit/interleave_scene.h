/* SPDX-License-Identifier: Apache-2.0 */
/* interleave_scene.h -- what a scene for the interleaver (interleave.c) is made of: actors, what they share, and how a run is judged. */
#ifndef MOB_TESTS_INTERLEAVE_SCENE_H
#define MOB_TESTS_INTERLEAVE_SCENE_H

#include "channel_pair.h"

#define ACTORS 3
#define EVENT_FD 1000                   /* stands for the eventfd of the worker's page */

/* What the actors of a scene share besides the pair; part of the state of a run. */
struct scene {
    uint64_t news[2], seen[2];          /* published by ringers; found by the sleeper */
    uint32_t event;                     /* the eventfd of the worker's page */
    bool noticed[ACTORS];               /* the sleeper's socket told it of that death */
    unsigned runs[8], taken[8], answered[8];
    uint64_t sequences[8];
    bool killed;
};
struct scene *scene(void);

/* Take the strength from an operation, named by its function. */
enum sabotage { NOTHING, NO_FENCE, NO_FENCE_IN_CHANGE, NO_SWAP, NO_NOTICE };

/* All runs of these actors: NULL, or the first thing that went wrong. `mortal`: bits of actors of which one may be killed, or none.
 * `over` judges a run when nobody can move: NULL, or what is wrong. */
const char *search(unsigned count, void (*const runs[])(struct pair *, unsigned), unsigned mortal,
                   const char *(*over)(struct pair *), enum sabotage sabotage, const char *where);

bool actor_died(unsigned i);

/* -- for actors, besides the operations of interleave.h --------------------------------------------------------------------- */

/* All that this actor will still use of what it saw is `value`: states that differ only in the past are one. */
void forget(uint64_t value);
/* It learned this outside of an operation. */
void saw(uint64_t value);
/* Wait until this is true. */
void step_wait(bool (*ready)(unsigned self));

/* The raylet's word of a death, which comes when all that the dead one stored is in memory. */
bool death_untold(void);
void deaths_told(void);

#endif
