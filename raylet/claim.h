/* SPDX-License-Identifier: Apache-2.0 */
/* claim.h -- the one demand that waits at the head and, besides, in this node's queue. */
#ifndef MOB_RAYLET_CLAIM_H
#define MOB_RAYLET_CLAIM_H

#include <stdbool.h>
#include <stdint.h>

struct arrival;
struct mob_raylet;
struct want;

struct claim {
    struct want *want;                  /* NULL: none; its `claimed` is what is left */
    uint64_t number;                    /* the newest on this link of the head */
    uint64_t over;                      /* the last that is used up or given up */
    int64_t since;                      /* ns; here */
};

void mob_claim_on_claim(struct mob_raylet *r, const struct arrival *a);
/* A lease is granted to an owner elsewhere. True: for the claim, and not for what was placed here. */
bool mob_claim_granted(struct mob_raylet *r, struct want *w);
/* A lease is made for a local owner. True: for the claim. */
bool mob_claim_made(struct mob_raylet *r, struct want *w);
/* The want ends. */
void mob_claim_drop(struct mob_raylet *r, struct want *w);
/* The head is a new one, or has forgotten. */
void mob_claim_forget(struct mob_raylet *r);
/* Give up what cannot be served for now. Returns when to come again. */
int64_t mob_claim_tick(struct mob_raylet *r);

#endif
