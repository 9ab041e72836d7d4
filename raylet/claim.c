/* SPDX-License-Identifier: Apache-2.0 */
/* claim.c -- a demand that fits nowhere waits at the head; a Claim lets it wait in this node's queue, too.
 *
 * The head sees what is free, and nothing is while everybody's leases are kept busy. Only the node knows whose turn it is: in its
 * queue the claim is one want among the others. Leases are recalled for it (recall.c), it is served in its turn, and once it is old
 * nothing overtakes it here (want.c). Its owner's demand stays with the head, which may place it elsewhere meanwhile and end the
 * claim: a Grant that crosses this is one too many, and is returned.
 *
 * Of an owner elsewhere the claim is part of `outstanding`, and is used up last: what was placed here is promised already. Of a local
 * owner it adds to what this node may serve of the want.
 *
 * While the store is full (full.c), all that is served is claims of which the head says that no other node could serve them.
 *
 * There is one claim at a time. So that others have their turn, it is given up after STAY_NS unless leases are on their way back
 * or resources are set aside for it.
 */
#include "raylet/claim.h"

#include "raylet/core.h"

#define STAY_NS (100 * MS)

static bool is_local(const struct want *w)
{
    return w->wanter->process != NULL;
}

static void over(struct mob_raylet *r)
{
    r->claim.want = NULL;
    r->claim.over = r->claim.number;
}

/* Take what is left of it out of the queue. */
static void end(struct mob_raylet *r)
{
    struct want *w = r->claim.want;
    uint32_t left;

    if (w == NULL)
        return;
    left = w->claimed;
    w->claimed = 0;
    over(r);
    if (is_local(w))
        mob_want_changed(r, w);
    else
        mob_want_set_outstanding(r, w, w->outstanding - left);
}

static void end_and_release(struct mob_raylet *r)
{
    struct want *w = r->claim.want;

    end(r);
    if (w != NULL)
        mob_want_release(r, w);
}

static void use_one(struct mob_raylet *r, struct want *w)
{
    if (--w->claimed == 0)
        over(r);
}

bool mob_claim_granted(struct mob_raylet *r, struct want *w)
{
    if (is_local(w) || w->claimed == 0 || w->claimed < w->outstanding)
        return false;
    use_one(r, w);
    return true;
}

bool mob_claim_made(struct mob_raylet *r, struct want *w)
{
    if (w->claimed == 0 || mob_demand_placed_at(w, r->self.node) > 0)
        return false;
    use_one(r, w);
    return true;
}

void mob_claim_drop(struct mob_raylet *r, struct want *w)
{
    if (w == r->claim.want)
        end(r);
}

void mob_claim_forget(struct mob_raylet *r)
{
    end_and_release(r);
    r->claim.number = r->claim.over = 0;
}

/* The want that is claimed for; NULL: it is gone, or served without the head. */
static struct want *wanted(struct mob_raylet *r, const Mobula__Claim *m)
{
    struct mob_address owner = mob_wire_address(m->owner);
    struct want *w;

    if (owner.node != r->self.node)
        return mob_want_elsewhere(r, &(struct mob_want_said){ owner, m->shape, m->depth, m->age_ms, m->definition, m->owner_node });
    w = mob_want_find(r, owner, m->shape);
    return w != NULL && is_local(w) && (!w->here_first || w->avoided) ? w : NULL;
}

static void begin(struct mob_raylet *r, struct want *w, uint32_t count)
{
    uint32_t cpus = mob_node_resources_cpus(&r->resources);

    r->claim.want = w;
    r->claim.since = r->now;
    w->claimed = count < cpus ? count : cpus;
    if (is_local(w))
        mob_want_changed(r, w);
    else
        mob_want_set_outstanding(r, w, w->outstanding + w->claimed);
}

void mob_claim_on_claim(struct mob_raylet *r, const struct arrival *a)
{
    const Mobula__Claim *m = a->e->claim;
    struct want *w = NULL;

    if (m->number <= r->claim.number)
        return;
    end_and_release(r);
    r->claim.number = m->number;
    if (m->count > 0)
        w = wanted(r, m);
    if (w != NULL && w->kind->unfit != NULL)
        mob_death_tell_unfit(r, w->kind);       /* the head does not know it, or not any more */
    if (w != NULL && w->feasible && (!w->avoided || m->full)) {
        begin(r, w, m->count);
    } else {
        r->claim.over = m->number;
        if (w != NULL)
            mob_want_release(r, w);
    }
    mob_wants_serve(r);
}

int64_t mob_claim_tick(struct mob_raylet *r)
{
    struct want *w = r->claim.want;

    if (w == NULL)
        return INT64_MAX;
    if (r->now - r->claim.since < STAY_NS)
        return r->claim.since + STAY_NS;
    if (r->leases.recalled > 0 || w->making > 0 || w == r->wants.reserver)
        return INT64_MAX;               /* what comes of these is a fact of its own */
    end_and_release(r);
    mob_wants_serve(r);
    return INT64_MAX;
}
