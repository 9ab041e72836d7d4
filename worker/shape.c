/* SPDX-License-Identifier: Apache-2.0 */
/* shape.c -- one backlog a shape: first in, first out; what comes back from a lease goes to the front.
 *
 * A flush pushes what the leases have room for, lets an idle lease take an unstarted task from one that is busy for long, and
 * says how many more leases could be used, and where (Want: docs/protocol.md, Leases; near.c). Long tasks want a lease each; of
 * short ones, each lease should get WORTH_NS of work. Want is a level, so it may lag: up at once from nothing or by double, else every
 * WANT_PERIOD_NS.
 */
#include "worker/shape.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/core.h"

#define WORTH_NS INT64_C(1000000)
#define WANT_MAX 10000u
#define LOOKS 16                        /* tasks looked at for one that has its arguments where a lease is */
#define WANT_PERIOD_NS INT64_C(1000000)

static uint32_t intern(struct mob_owner *o, const struct mob_shape *definition, bool fails)
{
    struct mob_shape d = *definition;
    struct shapes *all = &o->shapes;

    d.job = o->config.job;
    d.executable = o->config.executable;
    d.executable_node = o->config.job.node;
    for (uint32_t i = 0; i < all->count; i++)
        if (all->of[i]->fails == fails && mob_shape_eq(&all->of[i]->definition, &d))
            return i;
    struct shape *sh = mob_new(struct shape);

    sh->number = all->count;
    sh->definition = d;
    sh->fails = fails;
    mob_list_init(&sh->queue);
    mob_list_init(&sh->staging);
    mob_list_init(&sh->leases);
    mob_owner_room_init(&sh->room);
    mob_list_init(&sh->dirty);
    all->of = mob_realloc(all->of, (all->count + 1) * sizeof *all->of);
    all->of[all->count] = sh;
    return all->count++;
}

uint32_t mob_owner_shape(struct mob_owner *o, const struct mob_shape *definition)
{
    return intern(o, definition, false);
}

uint32_t mob_owner_shape_failing(struct mob_owner *o, const struct mob_shape *definition)
{
    return intern(o, definition, true);
}

void mob_owner_shapes_fini(struct mob_owner *o)
{
    for (uint32_t i = 0; i < o->shapes.count; i++) {
        mob_owner_room_fini(&o->shapes.of[i]->room);
        free(o->shapes.of[i]->unplaceable);
        free(o->shapes.of[i]);
    }
    free(o->shapes.of);
}

/* -- how many leases --------------------------------------------------------------------------------------------------------- */

/* A task of the shape: what its tasks took, but at least what the newest is expected to take. So the first task of an unknown
 * kind is not taken for one more of a million short ones. */
static int64_t expected_ns(const struct shape *sh)
{
    int64_t newest_ns = sh->newest != NULL ? kind_expected_ns(sh->newest) : 0;

    return newest_ns > sh->mean_ns ? newest_ns : sh->mean_ns;
}

size_t mob_owner_shape_useful(const struct shape *sh)
{
    size_t total = sh->queued + sh->staging_count + sh->pushed - sh->stalled;   /* what a stalled lease runs needs no other */

    if (sh->measured && total > 0) {
        double worth = (double)total * (double)expected_ns(sh) / (double)WORTH_NS + 1;

        if (worth < (double)total)
            total = (size_t)worth;
    }
    return total < WANT_MAX ? total : WANT_MAX;
}

static uint32_t wanted(const struct shape *sh)
{
    size_t useful = mob_owner_shape_useful(sh), active = sh->lease_count - sh->stalled;

    return useful > active ? (uint32_t)(useful - active) : 0;
}

/* -- the queue -------------------------------------------------------------------------------------------------------------- */

/* t, which is in no queue, to l; or its arguments to l's node first. False: not now. */
static bool give(struct mob_owner *o, struct lease *l, struct task *t)
{
    return mob_owner_stage_needed(o, t, l) ? mob_owner_stage_begin(o, t, l) : mob_owner_lease_push(o, l, t);
}

/* The first task, or one soon after it that has its arguments at the node of l, if the first has not. Else the first of these that does
 * not wait for a lease at another node: NULL if all do. */
static struct task *next_for(const struct mob_owner *o, const struct shape *sh, const struct lease *l, struct task *first)
{
    struct task *t, *away = NULL;
    int looks = LOOKS;

    if (!mob_owner_stage_needed(o, first, l))
        return first;
    mob_list_each(t, &sh->queue, struct task, link) {
        if (looks-- == 0)
            break;
        if (!mob_owner_stage_needed(o, t, l))
            return t;
        if (away == NULL && !mob_owner_near_waits(o, t, l))
            away = t;
    }
    return away;
}

/* The lease that would be next has nothing to do, as what it could be given waits for leases elsewhere: is there another? */
static struct task *next_for_any(const struct mob_owner *o, const struct shape *sh, struct task *first, struct lease **ret_lease)
{
    struct task *t = NULL;
    struct lease *l;

    mob_list_each(l, &sh->leases, struct lease, in_shape) {
        if (!mob_owner_lease_has_room(l) || (t = next_for(o, sh, l, first)) == NULL)
            continue;
        *ret_lease = l;
        return t;
    }
    return NULL;
}

static void push(struct mob_owner *o, struct shape *sh)
{
    mob_owner_near_look(o, sh, wanted(sh));
    if (sh->staging_count > 0)
        mob_owner_stages_push(o, sh);
    while (sh->queued > 0) {
        struct task *first = mob_list_first(&sh->queue, struct task, link), *t;
        struct lease *l = mob_owner_lease_pick(o, sh, first);

        if (l == NULL || ((t = next_for(o, sh, l, first)) == NULL && (t = next_for_any(o, sh, first, &l)) == NULL))
            return;
        mob_owner_shape_remove(o, t);
        if (mob_owner_task_lost_argument(o, t) || give(o, l, t))
            continue;
        mob_owner_shape_add_front(o, t);
        if (!l->full)                           /* as many arguments are on their way as may be */
            return;                             /* else that ring is full: the lease knows, and is not picked again */
    }
}

void mob_owner_shape_add(struct mob_owner *o, struct task *t)
{
    struct shape *sh = t->shape;

    shape_touch(&o->shapes, sh);
    sh->newest = t->kind;
    mob_owner_near_see(o, t);
    if (sh->queued == 0) {
        struct lease *l = mob_owner_lease_pick(o, sh, t);

        if (l != NULL && !mob_owner_stage_needed(o, t, l) && mob_owner_lease_push(o, l, t))
            return;
    }
    mob_list_append(&sh->queue, &t->link);
    sh->queued++;
    sh->near.queued += t->has_stored;
}

void mob_owner_shape_add_front(struct mob_owner *o, struct task *t)
{
    shape_touch(&o->shapes, t->shape);
    mob_list_prepend(&t->shape->queue, &t->link);
    t->shape->queued++;
    mob_owner_near_add(o, t);
}

void mob_owner_shape_remove(struct mob_owner *o, struct task *t)
{
    assert(t->shape->queued > 0);
    mob_list_remove(&t->link);
    t->shape->queued--;
    mob_owner_near_remove(o, t);
    shape_touch(&o->shapes, t->shape);
}

/* -- Want ----------------------------------------------------------------------------------------------------------------- */

static void send_want(struct mob_owner *o, struct shape *sh, uint32_t count)
{
    Mobula__Want m = MOBULA__WANT__INIT;
    Mobula__Shape definition = MOBULA__SHAPE__INIT;
    struct mob_shape_room room;
    struct mob_near_room near_room;

    mob_wire_put_shape(&definition, &room, &sh->definition);
    mob_owner_near_say(sh, &m, &near_room);
    m.shape = sh->number;
    m.definition = &definition;
    m.count = count;
    m.grants_seen = sh->grants;
    m.depth = sh->depth;
    mob_owner_send(o, (struct mob_address){ o->config.self.node, 0 }, MOBULA__ENVELOPE__BODY_WANT, &m);
    shape_said(&o->shapes, sh, count);
    sh->said_ns = o->now_ns;
}

/* Returns when to look again at a level that may lag for now. */
static int64_t say_want(struct mob_owner *o, struct shape *sh)
{
    uint32_t count = wanted(sh);
    int64_t due_ns = sh->said_ns + WANT_PERIOD_NS;
    bool at_once = count == 0 || sh->said == 0 || count >= 2 * sh->said;

    mob_owner_near_look(o, sh, count);
    if (count == sh->said && mob_owner_near_is_said(sh))
        return mob_owner_near_due_ns(o, sh);
    if (!at_once && o->now_ns < due_ns)
        return due_ns;
    send_want(o, sh, count);
    return mob_owner_near_due_ns(o, sh);
}

int64_t mob_owner_shapes_flush(struct mob_owner *o)
{
    struct mob_link later;
    int64_t next_ns = INT64_MAX;

    mob_list_init(&later);
    while (!mob_list_empty(&o->shapes.dirty)) {
        struct shape *sh = mob_list_first(&o->shapes.dirty, struct shape, dirty);

        mob_list_remove(&sh->dirty);
        push(o, sh);
        if (sh->hungry && (sh->queued == 0 || sh->near.queued > 0) && mob_owner_lease_rebalance(o, sh))
            push(o, sh);
        sh->hungry = false;
        mob_list_remove(&sh->dirty);            /* touched by its own pushes */
        int64_t due_ns = say_want(o, sh);

        if (due_ns == INT64_MAX)
            continue;
        mob_list_append(&later, &sh->dirty);
        next_ns = due_ns < next_ns ? due_ns : next_ns;
    }
    while (!mob_list_empty(&later)) {
        struct mob_link *l = later.next;

        mob_list_remove(l);
        mob_list_append(&o->shapes.dirty, l);
    }
    return next_ns;
}

/* -- no node fits ------------------------------------------------------------------------------------------------------------ */

void mob_owner_shape_fail(struct mob_owner *o, struct shape *sh, const struct mob_error *why)
{
    struct mob_error e = *why;

    while (sh->queued > 0) {
        struct task *t = mob_list_first(&sh->queue, struct task, link);

        mob_owner_shape_remove(o, t);
        memset(e.function, 0, sizeof e.function);
        mob_copy(e.function, sizeof e.function, t->kind->text);
        mob_owner_task_fail(o, t, &e, 0);
    }
}

/* If something waits: what was cancelled meanwhile is in nobody's way. */
static void warn(struct mob_owner *o, const struct shape *sh)
{
    char more[48] = "", *text;

    if (o->config.warn == NULL || sh->queued == 0)
        return;
    if (sh->queued > 1)
        snprintf(more, sizeof more, " and %zu more tasks like it", (size_t)sh->queued - 1);
    text = mob_printf("'%s'%s cannot run: %s", MOB_CONTAINER(sh->queue.next, struct task, link)->kind->text, more, sh->unplaceable);
    o->config.warn(o->config.arg, text);
    free(text);
}

void mob_owner_on_unplaceable(struct mob_owner *o, const Mobula__Unplaceable *m)
{
    if (m->shape >= o->shapes.count)
        return;
    struct shape *sh = o->shapes.of[m->shape];

    if (m->final || sh->fails) {
        struct mob_error why = { 0 };

        mob_error_set(&why, MOB_ERR_INFEASIBLE, "%s", m->text);
        mob_owner_shape_fail(o, sh, &why);
        if (sh->said > 0)
            send_want(o, sh, 0);        /* now: who wants as many anew before the flush shall be answered, too */
        return;
    }
    if (sh->unplaceable != NULL && strcmp(sh->unplaceable, m->text) == 0)
        return;
    free(sh->unplaceable);
    sh->unplaceable = mob_strdup(m->text);
    warn(o, sh);
}

static void check_shape(const struct shape *sh)
{
    size_t queued = 0, stored = 0, staging = 0, pushed = 0, stalled = 0, leases = 0;
    struct task *t;
    struct lease *l;

    for (const struct mob_link *at = sh->queue.next; at != &sh->queue; at = at->next, queued++) {
        t = MOB_CONTAINER(at, struct task, link);
        assert(t->state == TASK_QUEUED && t->shape == sh && t->lease == NULL && t->waiting == 0 && !t->cancelled);
        stored += t->has_stored;
    }
    mob_list_each(t, &sh->staging, struct task, link) {
        assert(t->state == TASK_STAGING && t->shape == sh && t->staged && !t->cancelled);
        staging++;
    }
    assert(staging == sh->staging_count);
    mob_list_each(l, &sh->leases, struct lease, in_shape) {
        pushed += l->count;
        stalled += l->stalled;
        leases++;
    }
    assert(queued == sh->queued && stored == sh->near.queued && pushed == sh->pushed);
    assert(leases == sh->lease_count && stalled == sh->stalled);
    mob_owner_room_check(sh);
}

void mob_owner_shapes_check(const struct mob_owner *o)
{
    uint64_t queued = 0, pushed = 0, leases = 0;

    for (uint32_t i = 0; i < o->shapes.count; i++) {
        check_shape(o->shapes.of[i]);
        queued += o->shapes.of[i]->queued;
        pushed += o->shapes.of[i]->pushed;
        leases += o->shapes.of[i]->lease_count;
    }
    assert(queued == o->tasks.in_state[TASK_QUEUED]);
    assert(pushed == o->tasks.in_state[TASK_PUSHED]);
    assert(leases == o->leases.by_number.count);
}
