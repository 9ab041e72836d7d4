/* SPDX-License-Identifier: Apache-2.0 */
/* rest.c -- objects that nobody has any more but tasks that are KEPT (lineage.c), which took them: they *rest*.
 *
 * Of one that could be made again itself the value goes: a chain of tasks of which only the last result is in use costs what was submitted,
 * and is run again link by link. All else (put values, small results, other owners' objects) is what cannot be had twice: its value stays,
 * and is counted. What that carries is held for its sake, and may rest in turn.
 *
 * Chains are walked by lists, not by recursion: `rested` and `woken`, which the outermost call empties.
 */
#include <assert.h>

#include "worker/core.h"

static void push(struct numbers *ns, uint64_t number)
{
    if (ns->count == ns->room)
        ns->of = mob_realloc(ns->of, (ns->room = 2 * ns->room + 16) * sizeof ns->of[0]);
    ns->of[ns->count++] = number;
}

/* Carried by one that rests. */
static void hold_carried(void *owner, uint64_t number)
{
    struct mob_owner *o = owner;

    mob_owner_object_at(o, number)->lineages++;
    push(&o->lineage.rested, number);
}

static void let_rest(struct mob_owner *o, struct object *b)
{
    struct lineage *l = &o->lineage;
    struct object *carried;

    b->rests = true;
    l->bytes += b->size;
    if (b->contains)
        mob_owner_contents_each(o, b, hold_carried, o);
    if (l->resting)
        return;
    l->resting = true;
    while (l->rested.count > 0)
        if ((carried = mob_owner_object_at(o, l->rested.of[--l->rested.count])) != NULL)
            mob_owner_object_release(o, carried);       /* nobody else may have it */
    l->resting = false;
}

void mob_owner_lineage_rest(struct mob_owner *o, struct object *b)
{
    assert(b->refs == 0 && b->pins == b->lineages);
    if (b->rests || b->state == MOB_OBJECT_PENDING || b->state == MOB_OBJECT_ERROR)
        return;
    if (mob_owner_lineage_can(o, b))
        mob_owner_lineage_let_go(o, b);
    else
        let_rest(o, b);
}

static void unhold_carried(void *owner, uint64_t number)
{
    struct mob_owner *o = owner;
    struct object *b = mob_owner_object_at(o, number);

    b->lineages--;
    if (b->rests)
        push(&o->lineage.woken, number);
}

static void wake(struct mob_owner *o, struct object *b)
{
    b->rests = false;
    o->lineage.bytes -= b->size;
    if (b->contains)
        mob_owner_contents_each(o, b, unhold_carried, o);
}

void mob_owner_lineage_unrest(struct mob_owner *o, struct object *b)
{
    struct lineage *l = &o->lineage;

    if (!b->rests)
        return;
    assert(l->woken.count == 0);
    wake(o, b);
    while (l->woken.count > 0)
        if ((b = mob_owner_object_at(o, l->woken.of[--l->woken.count]))->rests)
            wake(o, b);
}
