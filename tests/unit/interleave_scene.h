/* SPDX-License-Identifier: Apache-2.0 */
/* interleave_scene.h -- what a scene for the interleaver (interleave.c) is made of: actors, what they share, and how a run is judged. */
#ifndef MOB_TESTS_INTERLEAVE_SCENE_H
#define MOB_TESTS_INTERLEAVE_SCENE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ACTORS 3
#define EVENT_FD 1000                   /* stands for the eventfd of the worker's page */

/* What a test's actors share: how it is made before each run, what of it tells states apart, and how it is ended. */
struct ground {
    void *(*create)(void);
    uint64_t (*hash)(uint64_t h, const void *shared);
    void (*destroy)(void *shared);
};
uint64_t hash(uint64_t h, const void *data, size_t size);

/* What they share besides; part of the state of a run. */
struct scene {
    uint64_t news[2], seen[2];          /* published by ringers; found by the sleeper */
    uint32_t event;                     /* the eventfd of the worker's page */
    bool noticed[ACTORS];               /* the sleeper's socket told it of that death */
    unsigned runs[8], taken[8], answered[8];
    uint64_t sequences[8];
    bool killed;
};
struct scene *scene(void);

/* Take the strength from an operation, named by its function. LATE: a store is made after the actor's next load. LOW_BYTE: a load sees
 * the rest as zeros. */
enum sabotage { NOTHING, NO_FENCE, NO_FENCE_IN_CHANGE, NO_SWAP, NO_NOTICE, LATE, LOW_BYTE };

typedef void actor_run(void *shared, unsigned self);
/* All runs of these actors: NULL, or the first thing that went wrong. `mortal`: bits of actors of which one may be killed, or none.
 * `over` judges a run when nobody can move: NULL, or what is wrong. */
const char *search(const struct ground *ground, unsigned count, actor_run *const runs[], unsigned mortal,
                   const char *(*over)(void *shared), enum sabotage sabotage, const char *where);

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
