/* SPDX-License-Identifier: Apache-2.0 */
/* lineage.c -- what was lost is made again (docs/protocol.md, Lineage): a task that left a value in a store is KEPT when it is done.
 *
 *   task     PUSHED --> KEPT --> WAITING --> ...          runs again: KEPT or DONE, as after its first run
 *                         '----> DONE                     no return of it is in a store any more; or it had to make room
 *
 *   value    STORED --> PENDING, its task KEPT            it was lost, or let go: for ever, until somebody wants it (lineage_want)
 *                          |--> PENDING, its task runs    until that ends: INLINE, STORED, ERROR
 *                          '--> ERROR                     its task may not run again, or is kept no more
 *
 * A KEPT task has its body as submitted, and holds its arguments, all of them: an object that nobody has but KEPT tasks *rests*. See
 * rest.c for what becomes of its value; lost.c for why something cannot be made again.
 *
 * What is counted, tasks and such values, is at most `limit` bytes; then the oldest tasks go. Each run takes one of max_retries. Returns of
 * the task that are not lost keep their value, whatever another run makes of them; a copy of what was lost that is still somewhere is
 * freed: Free says "before" this attempt, as it may come to a node after the new value.
 *
 * Items of a stream are returns as well. While its task is under way, those that have come are not the task's, as they may go before it is
 * over; but one of them that is lost is (stream.c).
 *
 * A task is found by its first return (its number), which so knows it as long as it is KEPT, whatever its own value is.
 *
 * Chains are walked by lists, not by recursion: `again` and `ended`, which the outermost call empties.
 */
#include "worker/lineage.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "worker/core.h"

static void work(struct mob_owner *o);

void mob_owner_lineage_fini(struct mob_owner *o)
{
    free(o->lineage.rested.of);
    free(o->lineage.woken.of);
}

void mob_owner_lineage_init(struct mob_owner *o)
{
    struct lineage *l = &o->lineage;

    mob_list_init(&l->kept);
    mob_list_init(&l->again);
    mob_list_init(&l->ended);
    l->limit = o->config.lineage_bytes == 0 ? MOB_OWNER_LINEAGE_BYTES : o->config.lineage_bytes == 1 ? 0 : o->config.lineage_bytes;
}

static void fail(struct mob_owner *o, struct object *b, const struct mob_error *why)
{
    struct fault *f = mob_owner_fault(o, why);

    mob_owner_object_set_fault(o, b, f);
    mob_owner_fault_drop(f);
}

/* -- kept ---------------------------------------------------------------------------------------------------------------------- */

/* What a KEPT task costs: itself, its arguments, and the returns that may be nothing but names. */
static uint64_t cost(const struct task *t)
{
    return sizeof *t + (t->body != t->small ? t->body_size : 0) + t->returns * sizeof(struct object);
}

bool mob_owner_lineage_counts(const struct mob_owner *o, const struct object *b)
{
    return b->maker != NULL && b->maker->state == TASK_KEPT && (object_is_unmade(b) || mob_owner_object_is_own(o, b));
}

void mob_owner_lineage_each(const struct mob_owner *o, const struct task *t, mob_owner_note *note, void *arg)
{
    for (uint32_t i = 0; i < t->returns; i++) {
        const struct object *b = mob_owner_task_return(o, t, i);

        if (b != NULL && b->maker == t)
            note(arg, object_number(b));
    }
    if (t->streams)
        mob_owner_stream_each(o, t, note, arg);
}

struct walk {
    struct mob_owner *o;
    struct task *t;
    const struct mob_error *why;
    bool all;
    uint32_t node;
};
struct tally {
    const struct mob_owner *o;
    const struct task *t;
    uint32_t found;
};

static bool is_worth_keeping(const struct mob_owner *o, const struct object *b)
{
    return object_is_unmade(b) || mob_owner_object_is_own(o, b);
}

static void look_for(void *tally, uint64_t number)
{
    struct tally *n = tally;

    n->found += is_worth_keeping(n->o, mob_owner_object_at(n->o, number));
}

bool mob_owner_lineage_is_due(const struct mob_owner *o, const struct task *t)
{
    struct tally n = { .o = o };

    if (o->lineage.limit == 0 || o->lost)
        return false;
    if (object_is_unmade(mob_owner_task_return(o, t, 0)))
        return false;                   /* it gets another object's value, and does not say so: then it must not be known as ours */
    mob_owner_lineage_each(o, t, look_for, &n);
    return n.found > 0;
}

static void take(void *walk, uint64_t number)
{
    struct walk *w = walk;
    struct object *b = mob_owner_object_at(w->o, number);

    if (!is_worth_keeping(w->o, b))
        return;
    b->maker = w->t;
    w->t->stored++;
}

/* An argument's pin, or that of what it carries, becomes a hold. */
static void hold(void *owner, uint64_t number)
{
    struct object *b = mob_owner_object_at(owner, number);

    b->lineages++;
    mob_owner_object_release(owner, b);         /* nobody else may have it: it rests */
}

void mob_owner_lineage_keep(struct mob_owner *o, struct task *t)
{
    struct walk w = { .o = o, .t = t };

    assert(t->state == TASK_KEPT);
    t->stored = 1;                      /* until settle() */
    mob_owner_lineage_each(o, t, take, &w);
    mob_owner_body_tally(o, t, hold, o);
    o->lineage.bytes += cost(t);
    o->lineage.count++;
    mob_list_append(&o->lineage.kept, &t->link);
}

/* It is KEPT no more, but for the name of its state. */
static void leave(struct mob_owner *o, struct task *t)
{
    mob_list_remove(&t->link);
    o->lineage.bytes -= cost(t);
    o->lineage.count--;
}

static void end(struct mob_owner *o, struct task *t)
{
    struct object *first = mob_owner_object_at(o, t->number);

    if (first != NULL && first->maker == t)
        first->maker = NULL;
    leave(o, t);
    mob_list_append(&o->lineage.ended, &t->link);
    work(o);
}

void mob_owner_lineage_forget(struct mob_owner *o, struct task *t)
{
    assert(t->state == TASK_KEPT && t->stored > 0);
    if (--t->stored == 0)
        end(o, t);
}

void mob_owner_lineage_settle(struct mob_owner *o, struct task *t)
{
    mob_owner_lineage_forget(o, t);
    mob_owner_lineage_trim(o);
}

/* It lives no more as somebody's memory; what it holds may end with it. */
static void unhold(void *owner, uint64_t number)
{
    struct object *b = mob_owner_object_at(owner, number);

    if (--b->lineages == 0)             /* others may have found it by its name in a value, and have it now */
        mob_owner_lineage_unrest(owner, b);
    object_unpin(owner, b);
}

uint32_t mob_owner_lineage_next(const struct mob_owner *o, const struct object *b)
{
    const struct task *t = mob_owner_lineage_maker(o, b);

    return t == NULL ? 0 : t->state == TASK_KEPT || mob_owner_stream_passed(o, b) ? t->attempt + 1u : t->attempt;
}

void mob_owner_lineage_let_go(struct mob_owner *o, struct object *b)
{
    struct task *t = mob_owner_lineage_maker(o, b);
    uint32_t before = mob_owner_lineage_next(o, b);
    bool of_stream = b->maker == NULL;

    o->lineage.losses++;
    if (of_stream)
        mob_owner_stream_lose(o, t, b);
    mob_owner_object_unset(o, b, before);
    if (of_stream)
        mob_owner_stream_lost(o, t);
}

/* -- again --------------------------------------------------------------------------------------------------------------------- */

/* What it held is an argument again. */
static void unhold_for_run(void *owner, uint64_t number)
{
    struct object *b = mob_owner_object_at(owner, number);

    mob_owner_lineage_unrest(owner, b);
    b->lineages--;
}

/* A return is pinned while its task runs; an item only if it is to be made. */
static void hand_over(void *walk, uint64_t number)
{
    struct walk *w = walk;
    struct object *b = mob_owner_object_at(w->o, number);

    if (b->maker != w->t)
        return;
    if (b->index > 0 && w->t->streams && !object_is_unmade(b))
        b->maker = NULL;
    else
        b->pins++;
}

static void run_again(struct mob_owner *o, struct task *t)
{
    struct walk w = { .o = o, .t = t };
    struct mob_error why = { 0 };

    leave(o, t);
    mob_error_set(&why, MOB_ERR_OBJECT_LOST, "what it left in a store was lost: it runs again");
    mob_owner_event_failed(o, MOB_EVENT_FAILED_ATTEMPT, t, &why, NULL, 0);
    t->retries -= t->retries > 0;
    t->attempt++;
    mob_owner_task_again(o, t);
    t->again = true;
    mob_owner_lineage_each(o, t, hand_over, &w);
    mob_owner_body_tally(o, t, unhold_for_run, o);
    o->lineage.again_count++;
    mob_list_append(&o->lineage.again, &t->link);
}

static void fail_return(void *walk, uint64_t number)
{
    struct walk *w = walk;
    struct object *b = mob_owner_object_at(w->o, number);
    bool unmade = object_is_unmade(b);

    if (b->maker != w->t || (!w->all && !unmade))
        return;
    w->t->stored -= mob_owner_lineage_counts(w->o, b);
    if (b->index > 0)
        b->maker = NULL;
    if (unmade)
        fail(w->o, b, w->why);
}

/* Its returns that have no value: they become this error, and are its no more. */
static void fail_returns(struct mob_owner *o, struct task *t, const struct mob_error *why, bool all)
{
    struct walk w = { .o = o, .t = t, .why = why, .all = all };

    t->stored++;
    mob_owner_lineage_each(o, t, fail_return, &w);
    mob_owner_lineage_forget(o, t);
}

/* An item that its running task has passed, and may not come to again. */
static void fail_passed(struct mob_owner *o, struct object *b, const struct mob_error *why)
{
    b->maker = NULL;
    fail(o, b, why);
    object_unpin(o, b);
}

bool mob_owner_lineage_is_idle(const struct mob_owner *o, const struct object *b)
{
    return object_is_unmade(b) && (b->maker->state == TASK_KEPT || mob_owner_stream_passed(o, b));
}

void mob_owner_lineage_want(struct mob_owner *o, struct object *b)
{
    enum mob_lost reason;
    struct mob_error why;

    if (!mob_owner_lineage_is_idle(o, b))
        return;
    if ((reason = mob_owner_lineage_why_not(o, b)) != MOB_LOST_UNKNOWN)
        why = mob_owner_lineage_say(o, b, reason, "its last copy is gone");
    if (b->maker->state != TASK_KEPT && reason == MOB_LOST_UNKNOWN) {
        mob_owner_stream_restart(o, b->maker);
    } else if (b->maker->state != TASK_KEPT) {
        fail_passed(o, b, &why);
    } else if (reason == MOB_LOST_UNKNOWN) {
        run_again(o, b->maker);
        work(o);
    } else {
        fail_returns(o, b->maker, &why, false);
    }
    mob_owner_objects_tell(o);
}

static void look_at_arguments(struct mob_owner *o, struct task *t)
{
    mob_list_remove(&t->link);
    mob_owner_task_looked(o, t);
}

static void let_arguments_go(struct mob_owner *o, struct task *t)
{
    mob_list_remove(&t->link);
    mob_owner_body_tally(o, t, unhold, o);
    mob_owner_task_unkept(o, t);
}

static void work(struct mob_owner *o)
{
    struct lineage *l = &o->lineage;

    if (l->working)
        return;
    l->working = true;
    for (;;) {
        if (!mob_list_empty(&l->ended))
            let_arguments_go(o, mob_list_first(&l->ended, struct task, link));
        else if (!mob_list_empty(&l->again))
            look_at_arguments(o, mob_list_first(&l->again, struct task, link));
        else
            break;
    }
    l->working = false;
}

/* -- lost ---------------------------------------------------------------------------------------------------------------------- */

/* It may be there, after all. */
static bool is_doubtful(const struct mob_error *why)
{
    return why->code == MOB_ERR_UNREACHABLE || why->code == MOB_ERR_TIMEOUT;
}

/* Another owner's: it is asked what became of it. */
static bool ask_its_owner(struct mob_owner *o, struct object *b, const struct mob_error *why)
{
    const struct mob_object_id *borrowed = mob_owner_borrow_id(o, b), id = borrowed != NULL ? *borrowed : b->stored->id;
    struct lost lost = { .node = b->stored->node, .making = b->stored->making, .why = *why };

    o->lineage.losses++;
    mob_owner_object_unset(o, b, 0);
    mob_owner_watch_again(o, b, &id, &lost);
    return true;
}

static void lose_at(void *walk, uint64_t number)
{
    struct walk *w = walk;
    struct object *b = mob_owner_object_at(w->o, number);

    if (mob_owner_object_is_own(w->o, b) && b->stored->node == w->node && b->stored->more_count == 0
        && mob_owner_lineage_maker(w->o, b) == w->t && mob_owner_lineage_why_not(w->o, b) == MOB_LOST_UNKNOWN)
        mob_owner_lineage_let_go(w->o, b);
}

/* b is lost: if with its node, so is what that had alone of the same task's. One run makes it all, and not one for each. */
static void lose(struct mob_owner *o, struct object *b, bool with_node)
{
    struct walk w = { .o = o, .t = mob_owner_lineage_maker(o, b), .node = b->stored->node };

    mob_owner_lineage_let_go(o, b);
    if (with_node)
        mob_owner_lineage_each(o, w.t, lose_at, &w);
}

bool mob_owner_object_lost(struct mob_owner *o, struct object *b, size_t count, const struct mob_error *why)
{
    struct deaths *deaths = NULL;
    enum mob_lost reason;
    struct mob_error e;

    if (b->state != MOB_OBJECT_STORED || o->lost || !mob_owner_is_loss(why))
        return b->state == MOB_OBJECT_PENDING;
    if (!mob_owner_object_is_own(o, b))
        return ask_its_owner(o, b, why);
    reason = mob_owner_lineage_why_not(o, b);
    if (is_doubtful(why) && reason != MOB_LOST_UNKNOWN)
        return false;
    if (b->stored->more_count >= count) {
        const struct task *t = mob_owner_lineage_maker(o, b);

        mob_owner_object_forget_places(o, b, count, t != NULL ? t->attempt + 1u : 0);
        return true;
    }
    if (reason == MOB_LOST_UNKNOWN) {
        lose(o, b, why->code == MOB_ERR_NODE_DIED || is_doubtful(why));
        return true;
    }
    e = mob_owner_lineage_say(o, b, reason, why->text);
    if (why->code == MOB_ERR_NODE_DIED)
        deaths = mob_owner_deaths_of_node(b->stored->node, why->node);
    mob_owner_object_set_error(o, b, &e, deaths);
    mob_owner_deaths_drop(deaths);
    return false;
}

bool mob_owner_lost(struct mob_owner *o, uint64_t ref, uint32_t since, const struct mob_error *why)
{
    struct object *b = mob_owner_object_at(o, ref);

    if (b != NULL && (b->state != MOB_OBJECT_STORED || b->stored->since != since))
        return true;                    /* it is elsewhere by now, or was made again */
    return b != NULL && mob_owner_object_lost(o, b, MOB_COPIES_SAID + 1, why);
}

bool mob_owner_lineage_said_lost(struct mob_owner *o, struct object *b, const Mobula__Watch__Lost *m, struct mob_error *why)
{
    if (b->state != MOB_OBJECT_STORED || b->stored->making != m->making || b->stored->node != m->node || m->error == NULL)
        return true;                    /* it is elsewhere by now */
    mob_wire_error(m->error, why);
    return mob_owner_object_lost(o, b, 1, why) || b->state != MOB_OBJECT_STORED;
}

/* -- room ---------------------------------------------------------------------------------------------------------------------- */

static void evict(struct mob_owner *o, struct task *t, const struct mob_error *why)
{
    fail_returns(o, t, why, true);
    mob_owner_objects_tell(o);
}

static void warn(struct mob_owner *o)
{
    char *text;

    if (o->lineage.evicted++ > 0 || o->config.warn == NULL)
        return;
    text = mob_printf("what this process keeps of finished tasks, to make their results again if they are lost, has reached %" PRIu64
                      " MiB: the oldest goes, and what it made cannot be made again any more; MOBULA_LINEAGE_BYTES sets how much is kept",
                      o->lineage.limit >> 20);
    o->config.warn(o->config.arg, text);
    free(text);
}

static void make_room(struct mob_owner *o)
{
    struct mob_error why = mob_owner_lineage_say_evicted(o);

    warn(o);
    evict(o, mob_list_first(&o->lineage.kept, struct task, link), &why);
}

void mob_owner_lineage_trim(struct mob_owner *o)
{
    while (o->lineage.bytes > o->lineage.limit && !mob_list_empty(&o->lineage.kept))
        make_room(o);
}

void mob_owner_lineage_fail(struct mob_owner *o, const struct mob_error *why)
{
    while (!mob_list_empty(&o->lineage.kept))
        evict(o, mob_list_first(&o->lineage.kept, struct task, link), why);
}

/* -- the check ----------------------------------------------------------------------------------------------------------------- */

struct recount {
    const struct mob_owner *o;
    uint32_t *of_slot;
    uint64_t bytes, count;
};

static void count_hold(void *recount, uint64_t number)
{
    ((struct recount *)recount)->of_slot[(uint32_t)number]++;
}

static void count_made(void *tally, uint64_t number)
{
    struct tally *n = tally;
    const struct object *b = mob_owner_object_at(n->o, number);

    n->found += b->maker == n->t && mob_owner_lineage_counts(n->o, b);
}

static void check_task(struct recount *r, const struct task *t)
{
    struct tally made = { .o = r->o, .t = t };

    mob_owner_lineage_each(r->o, t, count_made, &made);
    assert(t->state == TASK_KEPT && t->lease == NULL && !t->staged && t->stored > 0 && t->stored == made.found);
    mob_owner_body_tally(r->o, t, count_hold, r);
    r->bytes += cost(t);
    r->count++;
}

void mob_owner_lineage_check(const struct mob_owner *o)
{
    struct recount r = { .o = o, .of_slot = mob_alloc((o->objects.slots + 1) * sizeof(uint32_t)) };
    const struct lineage *l = &o->lineage;
    const struct task *t;

    mob_list_each(t, &l->kept, const struct task, link)
        check_task(&r, t);
    for (uint32_t i = 0; i < o->objects.slots; i++) {
        const struct object *b = mob_owner_object_of_slot(o, i);

        if ((b->refs | b->pins) == 0 || !b->rests)
            continue;
        r.bytes += b->size;
        if (b->contains)
            mob_owner_contents_each(o, b, count_hold, &r);
    }
    for (uint32_t i = 0; i < o->objects.slots; i++) {
        const struct object *b = mob_owner_object_of_slot(o, i);

        assert((b->refs | b->pins) == 0 || b->lineages == r.of_slot[i]);
    }
    assert(r.count == l->count && r.count == o->tasks.in_state[TASK_KEPT] && r.bytes == l->bytes);
    assert(mob_list_empty(&l->again) && mob_list_empty(&l->ended) && !l->working && l->rested.count == 0 && l->woken.count == 0);
    free(r.of_slot);
}
