/* SPDX-License-Identifier: Apache-2.0 */
/* recall.c -- fairness among owners that have more tasks than the node has room.
 *
 * The want with the most leases (held HELD_NS at least) gives one up for the first waiting one that would still have fewer
 * than it: so two equal wants do not take leases from each other in turns. One that has no lease at all may get another's
 * last one: then they take turns of HELD_NS, and neither starves. At most as many are asked back as are wanted.
 *
 * Who gives one up waits anew, behind the others: else what comes back would be its own again.
 */
#include "raylet/recall.h"

#include "raylet/core.h"

#define HELD_NS (50 * MS)
#define PACE_NS (10 * MS)
#define AT_ONCE 8                       /* in one pass; the next pass sees what came of it */

/* Would anything that `w` asks for come back with it? (The CPU of a blocked worker is back already.) */
static bool helps(const struct lease *l, const struct want *w)
{
    for (uint32_t i = 0; i < w->shape.resources.count; i++)
        if (mob_resources_get(&l->share.held, w->shape.resources.of[i].name) > 0)
            return true;
    return false;
}

static bool may_be_recalled(const struct mob_raylet *r, const struct lease *l)
{
    return l->machine.now == LEASE_HELD && r->now - l->held_since >= HELD_NS;
}

/* One of the leases of `rich` that may be recalled, and helps `waiting` (NULL: whomever). */
static struct lease *recallable(const struct mob_raylet *r, const struct want *rich, const struct want *waiting)
{
    struct lease *l;

    mob_list_each(l, &rich->leases, struct lease, of_want)
        if (may_be_recalled(r, l) && (waiting == NULL || helps(l, waiting)))
            return l;
    return NULL;
}

/* The want with the most leases, of which one at least may be recalled; or NULL. */
static struct want *richest(const struct mob_raylet *r)
{
    struct want *rich = NULL, *w;

    mob_list_each(w, &r->wants.all, struct want, all)
        if (w->held > w->recalled && (rich == NULL || w->held - w->recalled > rich->held - rich->recalled)
            && recallable(r, w, NULL) != NULL)
            rich = w;
    return rich;
}

/* A lease of `rich` for the first want of the level that may have one. What was recalled before and is not back yet counts
 * (*under_way) for those who come first. */
static struct lease *choose(const struct mob_raylet *r, const struct level *level, struct want *rich, uint32_t *under_way)
{
    struct lease *l;
    struct want *w;

    mob_list_each(w, &level->wants, struct want, queued) {
        uint32_t wanted = w == rich ? 0 : mob_want_servable(w), coming = *under_way < wanted ? *under_way : wanted;
        uint32_t has = w->held + w->making + coming;

        *under_way -= coming;
        if (coming < wanted && rich->held - rich->recalled > (has == 0 ? 0 : has + 1) && (l = recallable(r, rich, w)) != NULL)
            return l;
    }
    return NULL;
}

static bool recall_one(struct mob_raylet *r)
{
    struct want *rich = richest(r);
    uint32_t under_way = r->leases.recalled;
    struct lease *l = NULL;
    struct level *level;

    if (rich == NULL)
        return false;
    mob_list_each(level, &r->wants.levels, struct level, link)
        if ((l = choose(r, level, rich, &under_way)) != NULL)
            break;
    if (l == NULL)
        return false;
    mob_lease_recall(r, l);
    mob_list_remove(&rich->queued);
    rich->since = r->now;
    mob_want_changed(r, rich);
    return true;
}

int64_t mob_recall_tick(struct mob_raylet *r)
{
    struct lease *l;

    if (r->wants.queued == 0 || mob_list_empty(&r->leases.held))
        return INT64_MAX;
    if (r->now < r->recalls.look_at)
        return r->recalls.look_at;
    l = mob_list_first(&r->leases.held, struct lease, in_line);
    if (r->now - l->held_since < HELD_NS)
        return l->held_since + HELD_NS;
    for (int i = 0; i < AT_ONCE && recall_one(r); i++)
        ;
    r->recalls.look_at = r->now + PACE_NS;
    return r->recalls.look_at;
}
