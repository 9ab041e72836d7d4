/* SPDX-License-Identifier: Apache-2.0 */
/* near.c -- leases are asked first of the nodes that have the arguments (docs/protocol.md, Leases).
 *
 * Of a want that this node serves first, its owner says how many leases it would have at which nodes. What it would have at
 * another one is not served here, but asked of the head with that name:
 *
 *   kept     until the head has placed as many, anywhere: it places at once what fits somewhere, at the named nodes first
 *   placed   at a named node: until that grants or declines it
 *
 * Both are part of the demand like everything that is open, so the levels of the protocol are not changed by this. The head does not
 * answer for what it cannot place, when nothing is free: so KEEP_NS after keeping began, what is left is served here as if nothing had
 * been said. When an owner raises a preference, the difference is kept as well, but only until the end of the time that runs already: else
 * an owner that says a new one again and again would hold its first leases back for ever.
 */
#include "raylet/near.h"

#include "raylet/core.h"

#define KEEP_NS (20 * MS)

static uint64_t others(const struct near *n, uint32_t self)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < n->count; i++)
        if (n->of[i].node != self)
            sum += n->of[i].count;
    return sum;
}

static bool is_same(const struct near *n, const struct mob_near *of, uint32_t count)
{
    if (n->count != count)
        return false;
    for (uint32_t i = 0; i < count; i++)
        if (n->of[i].node != of[i].node || n->of[i].count != of[i].count)
            return false;
    return true;
}

/* Nodes that are not there are left out; and all, where the strategy says where, or the head cannot be asked. */
static uint32_t unpack(const struct mob_raylet *r, const struct want *w, const Mobula__Want *m, struct mob_near ret[MOB_NEAR_MAX])
{
    uint32_t n, count = 0;

    if (w->shape.strategy != MOB_HYBRID || !mob_membership_joined(r))
        return 0;
    n = mob_wire_near(ret, m->near, m->n_near);
    for (uint32_t i = 0; i < n; i++) {
        const struct peer *peer = mob_route_peer(r, ret[i].node);

        if (ret[i].node == r->self.node || (peer != NULL && peer->is.alive))
            ret[count++] = ret[i];
    }
    return count;
}

static void keep(struct mob_raylet *r, struct want *w, uint64_t kept)
{
    if (w->near.kept == 0)
        w->near.until_ns = r->now + KEEP_NS;
    w->near.kept = kept < UINT32_MAX ? (uint32_t)kept : UINT32_MAX;
    if (kept == 0)
        mob_list_remove(&w->near.held);
    else if (mob_list_empty(&w->near.held))
        mob_list_append(&r->wants.near_held, &w->near.held);
}

void mob_near_wanted(struct mob_raylet *r, struct want *w, const Mobula__Want *m)
{
    struct mob_near of[MOB_NEAR_MAX];
    uint32_t count = unpack(r, w, m, of);
    uint64_t before = others(&w->near, r->self.node), now, kept = w->near.kept;

    if (is_same(&w->near, of, count))
        return;
    for (uint32_t i = 0; i < count; i++)
        w->near.of[i] = of[i];
    w->near.count = count;
    w->demand.near_changed = true;
    now = others(&w->near, r->self.node);
    if (now > before)
        kept += now - before;
    keep(r, w, kept < now ? kept : now);
}

void mob_near_placed(struct want *w, uint32_t count)
{
    w->near.kept -= count < w->near.kept ? count : w->near.kept;
    if (w->near.kept == 0)
        mob_list_remove(&w->near.held);
}

void mob_near_granted(struct want *w, uint32_t node)
{
    for (uint32_t i = 0; i < w->near.count; i++)
        if (w->near.of[i].node == node && w->near.of[i].count > 0)
            w->near.of[i].count--;
}

void mob_near_drop(struct want *w)
{
    w->near.count = 0;
    mob_near_placed(w, UINT32_MAX);
}

uint32_t mob_near_at(const struct want *w, uint32_t node)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < w->near.count; i++)
        if (w->near.of[i].node == node && w->near.of[i].count > count)
            count = w->near.of[i].count;
    return count;
}

uint32_t mob_near_elsewhere(const struct want *w, uint32_t open)
{
    uint64_t sum = w->near.kept;

    for (size_t i = 0; i < w->demand.placed_count && w->near.count > 0; i++) {
        const struct placed *p = &w->demand.placed[i];
        uint32_t near = p->node != w->wanter->address.node ? mob_near_at(w, p->node) : 0;

        sum += p->count < near ? p->count : near;
    }
    return sum < open ? (uint32_t)sum : open;
}

uint32_t mob_near_open(const struct want *w, uint32_t level, struct mob_near ret[MOB_NEAR_MAX])
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < w->near.count && level > 0; i++) {
        struct mob_near n = w->near.of[i];
        uint32_t placed = mob_demand_placed_at(w, n.node), open = n.count > placed ? n.count - placed : 0;

        if (n.node == w->wanter->address.node || open == 0)
            continue;
        ret[count] = (struct mob_near){ n.node, open < level ? open : level };
        level -= ret[count++].count;
    }
    return count;
}

int64_t mob_near_tick(struct mob_raylet *r)
{
    int64_t next = INT64_MAX;
    bool served = false;
    struct want *w;

    mob_list_each(w, &r->wants.near_held, struct want, near.held) {
        if (r->now < w->near.until_ns && mob_membership_joined(r)) {
            next = w->near.until_ns;
            break;
        }
        mob_near_placed(w, UINT32_MAX);
        mob_want_changed(r, w);
        served = true;
    }
    if (served)
        mob_wants_serve(r);
    return next;
}
