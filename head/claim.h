/* SPDX-License-Identifier: Apache-2.0 */
/* claim.h -- demands that fit nowhere wait at a node, too. */
#ifndef MOB_HEAD_CLAIM_H
#define MOB_HEAD_CLAIM_H

#include <stdint.h>

struct demand;
struct mob_head;
struct node;

/* Claim nodes for those who wait long. Returns when to look again (INT64_MAX: when something changed). */
int64_t mob_head_claims_look(struct mob_head *h);
/* The demand waits no more: its node is told. No-op without a claim. */
void mob_head_claim_end(struct demand *d);
/* The node has used or given up its claims up to `number`, or is gone. */
void mob_head_claim_over(struct node *n, uint64_t number);

#endif
