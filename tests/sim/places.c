/* SPDX-License-Identifier: Apache-2.0 */
/* places.c -- a ledger of what the head placed at each node for owners elsewhere: no node grants more than that.
 *
 * For each owner and shape: the counts of the Places that a raylet heard, each number once, less the Grants and Declined it said.
 * Grants for a Claim are counted against those that it heard; used or not, a Claim counts no more than once.
 */
#include "sim.h"

#include <assert.h>

static uint64_t key_of(struct mob_address owner, uint32_t shape)
{
    return mob_address_key(owner) * UINT64_C(0x9e3779b97f4a7c15) ^ shape;
}

static void add(struct mob_map *ledger, uint64_t key, int64_t count)
{
    int64_t open = (intptr_t)mob_map_get(ledger, key) + count;  /* a number, kept as a pointer */

    assert(open >= 0);                  /* it was granted or declined once */
    if (open > 0)
        mob_map_set(ledger, key, (void *)(uintptr_t)open);
    else
        mob_map_remove(ledger, key);
}

bool places_hear(struct raylet *r, const void *frame, size_t size)
{
    struct mob_wire *wire;
    const Mobula__Envelope *e;
    bool fresh;

    if (r->a.sim->config.unchecked)
        return false;
    wire = mob_wire_create();
    e = mob_wire_unpack(wire, frame, size, NULL);
    fresh = e != NULL && e->body_case == MOBULA__ENVELOPE__BODY_PLACE && e->place->seq > r->placed_seq;

    if (e != NULL && e->body_case == MOBULA__ENVELOPE__BODY_REGISTERED) {
        r->claim_number = 0;
    } else if (e != NULL && e->body_case == MOBULA__ENVELOPE__BODY_CLAIM && e->claim->number > r->claim_number) {
        r->claim_number = e->claim->number;
        add(&r->claimed, key_of(mob_wire_address(e->claim->owner), e->claim->shape), e->claim->count);
    }
    if (fresh) {
        r->placed_seq = e->place->seq;
        add(&r->placed, key_of(mob_wire_address(e->place->owner), e->place->shape), e->place->count);
    }
    mob_wire_destroy(wire);
    return fresh;
}

void places_say(struct raylet *r, const void *frame, size_t size)
{
    struct mob_wire *wire;
    const Mobula__Envelope *e;
    bool own;

    if (r->a.sim->config.unchecked)
        return;
    wire = mob_wire_create();
    e = mob_wire_unpack(wire, frame, size, NULL);
    own = e != NULL && e->from != NULL && e->from->node == r->node && e->to != NULL && e->to->node != r->node;

    if (own && e->body_case == MOBULA__ENVELOPE__BODY_GRANT && e->grant->claimed) {
        add(&r->claimed, key_of(mob_wire_address(e->to), e->grant->shape), -1);
    } else if (own && e->body_case == MOBULA__ENVELOPE__BODY_GRANT) {
        add(&r->placed, key_of(mob_wire_address(e->to), e->grant->shape), -1);
    } else if (own && e->body_case == MOBULA__ENVELOPE__BODY_DECLINED) {
        add(&r->placed, key_of(mob_wire_address(e->declined->owner), e->declined->shape), -(int64_t)e->declined->count);
    }
    mob_wire_destroy(wire);
}

void places_fini(struct raylet *r)
{
    mob_map_fini(&r->placed);
    mob_map_fini(&r->claimed);
}
