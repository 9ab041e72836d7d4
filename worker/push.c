/* SPDX-License-Identifier: Apache-2.0 */
/* push.c -- how many tasks a lease gets, which lease is next, and taking unstarted tasks back.
 *
 * The window is time: a lease gets tasks while what it has is expected to take less than WINDOW_NS, at most WINDOW_TASKS, and
 * in any case one beyond the one that runs. So tasks of 10 us are pipelined 1,000 deep, and of 5 ms or more one deep. The next
 * task goes to the lease with the least expected work; a lease keeps its turn for TURN_NS of tasks, so that few doorbells ring.
 *
 * Expectations are wrong at times, so nothing unstarted is left behind a long task (docs/protocol.md, Frames): a check looks at
 * the page of a worker of this node when its running task is over 4 times its expected time, or when a worker rings because its
 * task blocks, and takes back what stands behind it; a lender elsewhere does that by itself. Such a lease is `stalled` until its
 * next answer: it gets nothing, and is not counted among those that work, so another is asked for. A lease that becomes idle
 * takes over a task that stands behind a long one at once.
 */
#include <assert.h>

#include "worker/core.h"

#define WINDOW_NS INT64_C(10000000)
#define WINDOW_TASKS 1000u
#define TURN_NS INT64_C(20000)
#define TURN_TASKS 64
#define LONG_NS INT64_C(5000000)        /* expected work worth taking from another lease */
#define STALL_NS_MIN INT64_C(2000000)
#define STALL_TIMES 4
#define LOOK_AGAIN_NS INT64_C(50000000)         /* a long task may block at any time */

bool mob_owner_lease_has_room(const struct lease *l)
{
    if (l->m.now != LEASE_HELD || l->full || l->stalled)
        return false;
    if (l->channel == NULL && l->count > 0 && l->count >= l->window_tasks)
        return false;
    return l->count < 2 || (l->load_ns < WINDOW_NS && l->count < WINDOW_TASKS);
}

static bool is_better(const struct lease *a, const struct lease *b)
{
    return b == NULL || a->load_ns < b->load_ns || (a->load_ns == b->load_ns && a->count < b->count);
}

/* Among those at a node that has all its arguments. */
static struct lease *pick_near(const struct mob_owner *o, struct shape *sh, const struct task *t)
{
    struct lease *best = mob_owner_room_first(sh), *l;

    if (best == NULL || !mob_owner_stage_needed(o, t, best))
        return best;
    best = NULL;
    mob_list_each(l, &sh->leases, struct lease, in_shape)
        if (mob_owner_lease_has_room(l) && is_better(l, best) && !mob_owner_stage_needed(o, t, l))
            best = l;
    return best;
}

struct lease *mob_owner_lease_pick(struct mob_owner *o, struct shape *sh, const struct task *t)
{
    struct lease *best = t->refs > 0 ? pick_near(o, sh, t) : NULL;

    if (best != NULL)
        return best;
    if (sh->run > 0 && sh->cursor != NULL && mob_owner_lease_has_room(sh->cursor)) {
        sh->run--;
        return sh->cursor;
    }
    best = mob_owner_room_first(sh);
    int64_t turn = TURN_NS / (kind_expected_ns(t->kind) + 1);

    sh->cursor = best;
    sh->run = turn > TURN_TASKS ? TURN_TASKS : (uint32_t)turn;
    return best;
}

static bool is_blocked(const struct lease *l)
{
    return atomic_load_explicit(&mob_channel_peer(l->channel->ring)->page->state, memory_order_relaxed) == MOB_WORKER_BLOCKED;
}

/* Look at the lease's worker when its first task is due, or at once if it sleeps; from then on, as its page says. */
static void expect(struct mob_owner *o, struct lease *l)
{
    int64_t wait_ns = STALL_TIMES * (int64_t)mob_list_first(&l->tasks, struct task, link)->expected_ns;

    l->check_ns = o->now_ns + (wait_ns > STALL_NS_MIN ? wait_ns : STALL_NS_MIN);
    if (l->check_ns > o->now_ns + LOOK_AGAIN_NS)
        l->check_ns = o->now_ns + LOOK_AGAIN_NS;
    if (is_blocked(l))
        l->check_ns = o->now_ns;
    if (l->check_ns < o->leases.check_ns)
        o->leases.check_ns = l->check_ns;
}

bool mob_owner_lease_push(struct mob_owner *o, struct lease *l, struct task *t)
{
    bool pushed = l->channel != NULL ? mob_owner_channel_push(o, l, t) : mob_owner_remote_push(o, l, t);

    if (!pushed) {
        l->full = true;
        mob_owner_room_note(l);
        if (l->count == 0)                      /* no answer will make room */
            mob_owner_lease_broken(o, l, l->channel != NULL && mob_channel_error(l->channel->ring) != NULL
                                       ? mob_channel_error(l->channel->ring) : "its empty ring has no room for a task");
        return false;
    }
    int64_t expected_ns = kind_expected_ns(t->kind);

    t->expected_ns = expected_ns < UINT32_MAX ? (uint32_t)expected_ns : UINT32_MAX;
    mob_list_append(&l->tasks, &t->link);
    l->load_ns += t->expected_ns;
    l->shape->pushed++;
    if (++l->count == 1) {
        mob_list_remove(&l->idle);
        l->used = true;
    } else if (l->count == 2 && l->channel != NULL) {
        expect(o, l);
    }
    mob_owner_room_note(l);
    mob_owner_task_pushed(o, t, l);
    return true;
}

void mob_owner_lease_stall(struct mob_owner *o, struct lease *l, bool stalled)
{
    if (l->stalled == stalled)
        return;
    l->stalled = stalled;
    mob_owner_room_note(l);
    l->shape->stalled += stalled ? 1 : (size_t)-1;
    shape_touch(&o->shapes, l->shape);
}

void mob_owner_lease_forget(struct mob_owner *o, struct lease *l, struct task *t)
{
    assert(t->lease == l && l->count > 0);
    mob_list_remove(&t->link);
    l->load_ns -= t->expected_ns;
    l->shape->pushed--;
    if (l->channel == NULL)
        l->bytes -= t->sequence;
    l->count--;
    mob_owner_room_note(l);
    if (l->count > 0)
        return;
    assert(l->load_ns == 0);
    mob_owner_lease_answered(o, l);
    l->idle_since_ns = o->now_ns;
    l->shape->hungry = true;
    if (l->recalled)
        mob_list_prepend(&o->leases.idle, &l->idle);
    else
        mob_list_append(&o->leases.idle, &l->idle);
}

void mob_owner_lease_answered(struct mob_owner *o, struct lease *l)
{
    l->full = false;
    mob_owner_room_note(l);
    mob_owner_lease_stall(o, l, l->recalled && l->count > 0);
    shape_touch(&o->shapes, l->shape);
}

/* -- taking back ------------------------------------------------------------------------------------------------------------- */

static bool take_back_one(struct mob_owner *o, struct lease *l, struct task *t)
{
    if (!mob_channel_take_back(l->channel->ring, t->sequence))
        return false;
    mob_owner_lease_forget(o, l, t);
    mob_owner_task_unpushed(o, t);
    return true;
}

bool mob_owner_lease_take_back(struct mob_owner *o, struct lease *l)
{
    bool any = false;

    if (l->channel == NULL) {
        mob_owner_remote_take_back(o, l, NULL);
        return false;
    }
    /* The newest first, until one has started: all before it have, too. */
    while (l->count > 0 && take_back_one(o, l, MOB_CONTAINER(l->tasks.prev, struct task, link)))
        any = true;
    return any;
}

/* What its tasks are expected to take by what is known now; they may have been pushed when it was less. */
static int64_t work_ns(const struct lease *l)
{
    int64_t now_ns = l->count * kind_expected_ns(mob_list_first(&l->tasks, struct task, link)->kind);

    return now_ns > l->load_ns ? now_ns : l->load_ns;
}

bool mob_owner_lease_rebalance(struct mob_owner *o, struct shape *sh)
{
    struct lease *victim = NULL, *l = mob_owner_room_first(sh);
    bool any = false;

    if (l == NULL || l->count > 0)              /* none is idle */
        return false;
    mob_list_each(l, &sh->leases, struct lease, in_shape) {
        if (l->count < 2 || l->asked_back)
            continue;
        if (l->stalled)
            any |= mob_owner_lease_take_back(o, l);
        else if (work_ns(l) >= LONG_NS && (victim == NULL || work_ns(l) > work_ns(victim)))
            victim = l;
    }
    if (any || victim == NULL)
        return any;
    struct task *last = MOB_CONTAINER(victim->tasks.prev, struct task, link);

    if (victim->channel != NULL)
        return take_back_one(o, victim, last);
    mob_owner_remote_take_back(o, victim, last);
    return false;
}

/* What the page says is a hint from another process: a wrong one costs time, never a task. Returns when to look again. */
static int64_t check_stalled(struct mob_owner *o, struct lease *l)
{
    const struct mob_page *page = mob_channel_peer(l->channel->ring)->page;
    bool blocked = is_blocked(l);
    int64_t claimed_ns = atomic_load_explicit(&page->claimed_ns, memory_order_relaxed);
    const struct object *b = mob_owner_object_at(o, atomic_load_explicit(&page->task, memory_order_relaxed));
    int64_t limit_ns = STALL_TIMES * (b != NULL && b->maker != NULL ? kind_expected_ns(b->maker->kind) : 0);

    if (limit_ns < STALL_NS_MIN)
        limit_ns = STALL_NS_MIN;
    if (!blocked && (claimed_ns == 0 || o->now_ns - claimed_ns <= limit_ns))
        return o->now_ns + (limit_ns < LOOK_AGAIN_NS ? limit_ns : LOOK_AGAIN_NS);
    mob_owner_lease_stall(o, l, true);
    if (blocked || mob_owner_room_beside(l))
        mob_owner_lease_take_back(o, l);
    return o->now_ns + LOOK_AGAIN_NS;
}

void mob_owner_leases_look(struct mob_owner *o)
{
    struct lease *l;

    mob_list_each(l, &o->leases.all, struct lease, link)
        if (l->channel != NULL && l->count >= 2 && is_blocked(l))
            l->check_ns = o->leases.check_ns = o->now_ns;
}

int64_t mob_owner_leases_check_stalled(struct mob_owner *o)
{
    struct lease *l;

    if (o->now_ns < o->leases.check_ns)
        return o->leases.check_ns;
    o->leases.check_ns = INT64_MAX;
    mob_list_each(l, &o->leases.all, struct lease, link) {
        if (l->channel == NULL || l->count < 2)
            continue;
        if (o->now_ns >= l->check_ns)
            l->check_ns = check_stalled(o, l);
        if (l->count >= 2 && l->check_ns < o->leases.check_ns)
            o->leases.check_ns = l->check_ns;
    }
    return o->leases.check_ns;
}

/* -- cancel ------------------------------------------------------------------------------------------------------------------ */

void mob_owner_lease_cancel(struct mob_owner *o, struct task *t, int how)
{
    struct lease *l = t->lease;
    Mobula__Cancel m = MOBULA__CANCEL__INIT;

    if (l->channel != NULL && take_back_one(o, l, t))
        return;
    if (l->channel == NULL)
        mob_owner_remote_take_back(o, l, t);    /* before Cancel: what has not started comes back instead */
    m.lease = l->number;
    m.task = t->number;
    m.attempt = t->attempt;
    m.force = (how & MOB_CANCEL_FORCE) != 0;
    m.alone = (how & MOB_CANCEL_ALONE) != 0;
    mob_owner_send(o, (struct mob_address){ l->worker.node, 0 }, MOBULA__ENVELOPE__BODY_CANCEL, &m);
}
