/* SPDX-License-Identifier: Apache-2.0 */
/* recall.c -- fairness among owners that have more tasks than the node has room.
 *
 * For the first waiting want that may have one, the want with the most leases that would help it (one held HELD_NS at least) gives
 * one up: so long as the waiting one would still have fewer, so that two equal wants do not take leases from each other in turns.
 * One that has no lease at all may get another's last one: then they take turns of HELD_NS, and neither starves. At most as many
 * are asked back as are wanted; for one that reserves (want.c) as many as it takes, for it needs more than one gives.
 *
 * A want that gives one up goes to the end of the queue, or it would be first to get that lease back. Among wants of other depths that is
 * of no help: the deeper one is served first all the same. So a want that itself waits in the queue gives nothing to one less deep.
 */
#include "raylet/recall.h"

#include "raylet/core.h"

#define HELD_NS (50 * MS)
#define PACE_NS (10 * MS)
#define AT_ONCE 8                       /* in one pass; the next pass sees what came of it */

/* Would anything come back with it that `w` lacks, if `have` is what it can have? (The CPU of a blocked worker is back already.) */
static bool helps(const struct lease *l, const struct want *w, const struct mob_resources *have)
{
    for (uint32_t i = 0; i < w->shape.resources.count; i++) {
        const struct mob_resource *ask = &w->shape.resources.of[i];

        if (mob_resources_get(have, ask->name) < ask->units && mob_resources_get(&l->share.held, ask->name) > 0)
            return true;
    }
    return false;
}

/* One of the leases of `rich` that may be recalled, and helps `waiting`. */
static struct lease *recallable(const struct mob_raylet *r, const struct want *rich, const struct want *waiting,
                                const struct mob_resources *have)
{
    struct lease *l;

    mob_list_each(l, &rich->leases, struct lease, of_want)
        if (l->machine.now == LEASE_HELD && r->now - l->held_since >= HELD_NS && helps(l, waiting, have))
            return l;
    return NULL;
}

/* A lease of the want that has the most of those that help, and more than `least`. */
static struct lease *of_richest(const struct mob_raylet *r, const struct want *waiting, uint32_t least,
                                const struct mob_resources *have)
{
    struct lease *chosen = NULL, *l;
    struct want *w;

    mob_list_each(w, &r->wants.all, struct want, all) {
        if (w == waiting || w->held - w->recalled <= least || (w->depth > waiting->depth && w->counted > 0))
            continue;
        if ((l = recallable(r, w, waiting, have)) != NULL) {
            least = w->held - w->recalled;
            chosen = l;
        }
    }
    return chosen;
}

/* A lease for `w`, if it may have one. What was recalled before and is not back yet counts (*under_way) for those who come first. */
static struct lease *choose(const struct mob_raylet *r, const struct want *w, const struct mob_resources *coming,
                            uint32_t *under_way)
{
    uint32_t wanted = mob_want_servable(w), on_its_way = *under_way < wanted ? *under_way : wanted;
    uint32_t has = w->held + w->making + on_its_way;

    if (w == r->wants.reserver)
        return of_richest(r, w, 0, coming);
    if (w->recalled > 0)
        return NULL;                    /* it gives, for now */
    *under_way -= on_its_way;
    return on_its_way < wanted ? of_richest(r, w, has == 0 ? 0 : has + 1, &r->resources.free) : NULL;
}

/* What is free, and what will be when the recalled leases are back. */
static struct mob_resources coming_of(const struct mob_raylet *r)
{
    struct mob_resources coming = r->resources.free;
    struct lease *l;

    mob_list_each(l, &r->leases.held, struct lease, in_line)
        if (l->machine.now == LEASE_RECALLED)
            mob_resources_add(&coming, &l->share.held);
    return coming;
}

static struct lease *choose_in(const struct mob_raylet *r, const struct level *level, const struct mob_resources *coming,
                               uint32_t *under_way)
{
    struct lease *l = NULL;
    struct want *w;

    mob_list_each(w, &level->wants, struct want, queued)
        if ((l = choose(r, w, coming, under_way)) != NULL)
            break;
    return l;
}

static bool recall_one(struct mob_raylet *r)
{
    struct mob_resources coming = coming_of(r);
    uint32_t under_way = r->leases.recalled;
    struct lease *l = NULL;
    struct level *level;
    struct want *w;

    mob_list_each(level, &r->wants.levels, struct level, link)
        if ((l = choose_in(r, level, &coming, &under_way)) != NULL)
            break;
    if (l == NULL)
        return false;
    w = l->want;
    mob_lease_recall(r, l);
    mob_list_remove(&w->queued);
    w->since = r->now;
    mob_want_changed(r, w);
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
    mob_wants_serve(r);                 /* somebody may have grown old enough to reserve */
    for (int i = 0; i < AT_ONCE && recall_one(r); i++)
        ;
    r->recalls.look_at = r->now + PACE_NS;
    return r->recalls.look_at;
}
