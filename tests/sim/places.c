/* SPDX-License-Identifier: Apache-2.0 */
/* places.c -- a ledger of what the head placed at each node for owners elsewhere: no node grants more than that.
 *
 * For each owner and shape: the counts of the Places that a raylet heard, each number once, less the Grants and Declined it said.
 * Grants for a Claim are counted against the newest that it heard: the next one, and each Registered, ends it.
 *
 * A head of another generation voids what the one before it had placed: right after that nothing of it is left in the raylet's books, and
 * what is lent from then on was placed by the new one; nor is more taken back in its name than it has promised. A Grant or a Declined may leave
 * long after it was said (the peer is dialed first): those of leases that were made before are not counted, nor those of Places of before.
 */
#include "sim.h"

#include <assert.h>

#include "audit.h"

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

static void end_claim(struct raylet *r)
{
    mob_map_fini(&r->claimed);
    r->leases_before_claim = audit_next_lease(r->core);
}

static uint64_t key_at(struct mob_address owner, uint32_t shape, uint32_t node)
{
    return key_of(owner, shape) ^ (uint64_t)node << 40;
}

static void void_all(struct raylet *r)
{
    mob_map_fini(&r->placed);
    mob_map_fini(&r->promised);
    r->leases_before_head = audit_next_lease(r->core);
    r->is_void = true;
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
        end_claim(r);
        r->claim_number = 0;
        if (r->generation != 0 && e->registered->generation != r->generation)
            void_all(r);
        r->generation = e->registered->generation;
    } else if (e != NULL && e->body_case == MOBULA__ENVELOPE__BODY_CLAIM && e->claim->number > r->claim_number) {
        r->claim_number = e->claim->number;
        end_claim(r);
        add(&r->claimed, key_of(mob_wire_address(e->claim->owner), e->claim->shape), e->claim->count);
    }
    if (e != NULL && e->body_case == MOBULA__ENVELOPE__BODY_PLACED)
        add(&r->promised, key_at(mob_wire_address(e->placed->owner), e->placed->shape, e->placed->node), e->placed->count);
    if (fresh) {
        r->placed_seq = e->place->seq;
        add(&r->placed, key_of(mob_wire_address(e->place->owner), e->place->shape), e->place->count);
    }
    mob_wire_destroy(wire);
    return fresh;
}

void places_heard(struct raylet *r)
{
    if (r->is_void)
        assert(audit_owed_elsewhere(r->core) == 0);
    r->is_void = false;
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
        if (e->grant->lease > r->leases_before_claim)
            add(&r->claimed, key_of(mob_wire_address(e->to), e->grant->shape), -1);
    } else if (own && e->body_case == MOBULA__ENVELOPE__BODY_GRANT) {
        if (e->grant->lease > r->leases_before_head)
            add(&r->placed, key_of(mob_wire_address(e->to), e->grant->shape), -1);
    } else if (own && e->body_case == MOBULA__ENVELOPE__BODY_DECLINED && e->declined->place_seq >> 32 == r->generation) {
        add(&r->placed, key_of(mob_wire_address(e->declined->owner), e->declined->shape), -(int64_t)e->declined->count);
    }
    if (own && e->body_case == MOBULA__ENVELOPE__BODY_WITHDRAW && e->withdraw->generation == r->generation)
        add(&r->promised, key_at(mob_wire_address(e->withdraw->owner), e->withdraw->shape, e->to->node), -(int64_t)e->withdraw->count);
    mob_wire_destroy(wire);
}

void places_fini(struct raylet *r)
{
    mob_map_fini(&r->placed);
    mob_map_fini(&r->claimed);
    mob_map_fini(&r->promised);
}
