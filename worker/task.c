/* SPDX-License-Identifier: Apache-2.0 */
/* task.c -- a task of this owner, from submit to its end.
 *
 *                .--> STAGING --.
 *   WAITING --> QUEUED <--------> PUSHED --> DONE
 *      |           ^---- RESTING <---'        ^
 *      '-----------'--------'-----------------'    an argument failed, cancelled, infeasible, the raylet is gone
 *
 *      from QUEUED, STAGING, PUSHED: --> WAITING  an argument is pending again, as its value was lost
 *      STAGING --> RESTING                        its node had no room for an argument
 *      KEPT instead of DONE                       it left something in a store; from there WAITING to run again, or DONE: see lineage.c
 *
 *   WAITING   until each reference among its arguments is ready; their objects tell (it follows them). For ever: whoever makes
 *             them always ends.
 *   QUEUED    in its shape's backlog, until a lease has room (lease.c). For ever, as long as the shape may become placeable.
 *   STAGING   its stored arguments are brought to the node of a lease (stage.c); then PUSHED there. QUEUED again if the shape has no lease
 *             there any more
 *   PUSHED    with a lease, until its answer, a take-back, or the death of its worker; then QUEUED again while it has retries
 *   RESTING   after an attempt that must not be repeated at once, until its pause is over (backoff.c); then QUEUED
 *   KEPT      its returns are set, and it can make some of them again (lineage.c)
 *   DONE      its returns are set; the memory is free when no pending argument knows the task any more
 *
 * The task owns its body, pins its arguments until DONE or KEPT (an attempt may be repeated), and until then pins its returns: dropping
 * them stops nothing. One byte of state and a table of moves instead of a struct mob_machine: a million of these wait in a queue.
 */
#include "worker/task.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "worker/core.h"

static const uint32_t moves[TASK_STATES] = {
    [TASK_WAITING] = MOB_TO(TASK_QUEUED) | MOB_TO(TASK_KEPT) | MOB_TO(TASK_DONE),
    [TASK_QUEUED] = MOB_TO(TASK_WAITING) | MOB_TO(TASK_STAGING) | MOB_TO(TASK_PUSHED) | MOB_TO(TASK_KEPT) | MOB_TO(TASK_DONE),
    [TASK_STAGING] = MOB_TO(TASK_WAITING) | MOB_TO(TASK_QUEUED) | MOB_TO(TASK_PUSHED) | MOB_TO(TASK_RESTING) | MOB_TO(TASK_KEPT)
        | MOB_TO(TASK_DONE),
    [TASK_PUSHED] = MOB_TO(TASK_WAITING) | MOB_TO(TASK_QUEUED) | MOB_TO(TASK_RESTING) | MOB_TO(TASK_KEPT) | MOB_TO(TASK_DONE),
    [TASK_RESTING] = MOB_TO(TASK_QUEUED) | MOB_TO(TASK_KEPT) | MOB_TO(TASK_DONE),
    [TASK_KEPT] = MOB_TO(TASK_WAITING) | MOB_TO(TASK_DONE),
    [TASK_DONE] = 0,
};

static void task_goto(struct mob_owner *o, struct task *t, enum task_state to)
{
    assert((moves[t->state] & MOB_TO(to)) != 0);
    o->tasks.in_state[t->state]--;
    o->tasks.in_state[to]++;
    t->state = (uint8_t)to;
}

struct object *mob_owner_task_return(const struct mob_owner *o, const struct task *t, uint32_t index)
{
    struct object *first = mob_owner_object_at(o, t->number);

    assert(first != NULL && index < t->returns);
    return index == 0 ? first : mob_owner_object_of_slot(o, first->group->slots[index]);
}

struct object *mob_owner_task_pending(const struct mob_owner *o, const struct task *t, uint32_t index)
{
    struct object *b = mob_owner_task_return(o, t, index);

    return b != NULL && b->maker == t && object_is_unmade(b) ? b : NULL;
}

bool mob_owner_task_urgent(const struct mob_owner *o, const struct task *t)
{
    const struct object *first = mob_owner_object_of_slot(o, (uint32_t)t->number);

    return first->followers != NULL || (!first->streams && first->group != NULL && first->group->count > 1);
}

/* -- submit ----------------------------------------------------------------------------------------------------------------- */

static int check(const struct mob_owner *o, const struct mob_submit *s, size_t *ret_body, struct mob_error *err)
{
    if (o->lost) {
        if (err != NULL)
            *err = o->lost_why;
        return -1;
    }
    if (s->run != 0 && s->run == o->tasks.cancelled_run)
        return mob_error_set(err, MOB_ERR_CANCELLED, "this task is cancelled, and can call no more");
    if (s->shape >= o->shapes.count)
        return mob_error_set(err, MOB_ERR_INVALID, "shape %u is not known to this process", s->shape);
    if (s->returns < 1 || s->returns > MOB_RETURNS_MAX)
        return mob_error_set(err, MOB_ERR_INVALID, "a task has 1 to %d returns, not %u: put several values in one", MOB_RETURNS_MAX,
                             s->returns);
    if (s->streams && s->returns != 1)
        return mob_error_set(err, MOB_ERR_INVALID, "a stream's task has 1 return, its end, and not %u", s->returns);
    if (s->max_retries < -1)
        return mob_error_set(err, MOB_ERR_INVALID, "max_retries is -1 (for ever) or more, not %d", s->max_retries);
    if (s->arg_count == 0) {
        *ret_body = 0;
        return 0;
    }
    return mob_owner_body_check(o, s, ret_body, err);
}

static struct task *create(struct mob_owner *o, const struct mob_submit *s, size_t body_size)
{
    struct task *t = slab_take(&o->tasks.slab);
    uint8_t *body = body_size <= sizeof t->small ? t->small : mob_owner_body_take(&o->bodies, body_size);

    if (body == NULL) {
        slab_give(&o->tasks.slab, t);
        return NULL;
    }
    mob_list_init(&t->link);
    t->kind = mob_owner_kind(o, s->function, s->name);
    t->shape = o->shapes.of[s->shape];
    t->lease = NULL;
    t->submitted_ns = o->now_ns;
    t->pushed_ns = 0;
    t->history = NULL;
    t->body = body;
    t->body_size = (uint32_t)body_size;
    t->args = (uint32_t)s->arg_count;
    t->refs = t->waiting = t->expected_ns = 0;
    t->retries = s->max_retries;
    t->run = s->run;
    t->attempt = 0;
    t->retry = s->retry;
    t->returns = (uint16_t)s->returns;
    t->state = TASK_WAITING;
    t->cancelled = t->carries = t->has_stored = t->staged = t->again = false;
    t->streams = s->streams;
    t->once = s->max_retries == 0;
    o->tasks.in_state[TASK_WAITING]++;
    return t;
}

static void create_returns(struct mob_owner *o, struct task *t, uint64_t *ret_refs)
{
    struct object *first = mob_owner_object_create(o, t);

    t->number = ret_refs[0] = object_number(first);
    if (t->returns == 1)
        return;
    first->group = mob_alloc(sizeof *first->group + t->returns * sizeof first->group->slots[0]);
    first->group->count = t->returns;
    first->group->slots[0] = first->slot;
    for (uint32_t i = 1; i < t->returns; i++) {
        struct object *b = mob_owner_object_create(o, t);

        b->index = i;
        b->task = t->number;
        first->group->slots[i] = b->slot;
        first->pins++;                          /* it has our names */
        ret_refs[i] = object_number(b);
    }
}

static struct mob_error error_of(const struct task *t, enum mob_code code)
{
    struct mob_error e = { .code = code, .attempt = t->attempt };

    mob_copy(e.function, sizeof e.function, t->kind->text);
    return e;
}

/* Its sentence; the other fields stay. */
__attribute__((format(printf, 2, 3)))
static void say(struct mob_error *e, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(e->text, sizeof e->text, format, args);
    va_end(args);
}

/* All that it is to set. */
static void set_faults(struct mob_owner *o, const struct task *t, struct fault *f)
{
    for (uint32_t i = 0; i < t->returns; i++) {
        struct object *b = mob_owner_task_pending(o, t, i);

        if (b != NULL)
            mob_owner_object_set_fault(o, b, f);
    }
    if (t->streams)
        mob_owner_stream_fail(o, t, f);
}

/* The error of an argument, said once more with whose argument it was. */
static void fail_by_argument(struct mob_owner *o, struct task *t, const struct object *arg)
{
    struct mob_error e = arg->fault->error;
    struct fault *f = arg->fault;

    if (f->chained) {                           /* one sentence of this is enough, in a chain of any length */
        f->uses++;
    } else {
        memset(e.text, 0, sizeof e.text);       /* equal errors are compared as bytes */
        say(&e, "an argument of '%s' failed: %s", t->kind->text, f->error.text);
        f = mob_owner_fault_of(o, &e, f->deaths);
        f->chained = true;
    }
    set_faults(o, t, f);
    if (t->told != EVENT_UNTOLD)
        mob_owner_event_failed(o, MOB_EVENT_ENDED, t, &f->error, NULL, 0);
    mob_owner_fault_drop(f);
    mob_owner_task_end(o, t);
}

/* One wait less. True: it is over, and perhaps free. */
static bool waited(struct mob_owner *o, struct task *t)
{
    assert(t->waiting > 0);
    t->waiting--;
    if (t->state == TASK_DONE && t->waiting == 0)
        slab_give(&o->tasks.slab, t);
    return t->state == TASK_DONE || t->state == TASK_KEPT;
}

/* One that is followed may fail at once, and others with it, this one included: so it waits for us, too. */
bool mob_owner_task_lost_argument(struct mob_owner *o, struct task *t)
{
    const struct object *b;

    while ((b = t->refs > 0 ? mob_owner_body_unready(o, t) : NULL) != NULL) {
        if (b->state == MOB_OBJECT_ERROR) {
            fail_by_argument(o, t, b);
            return true;
        }
        if (t->state != TASK_WAITING) {
            mob_owner_stage_end(o, t);
            task_goto(o, t, TASK_WAITING);
        }
        t->waiting++;
        mob_owner_body_follow(o, t);
        if (waited(o, t) || t->waiting > 0)
            return true;
    }
    return false;
}

static void arguments_are_ready(struct mob_owner *o, struct task *t)
{
    task_goto(o, t, TASK_QUEUED);
    mob_owner_shape_add(o, t);
}

int mob_owner_submit(struct mob_owner *o, const struct mob_submit *s, uint64_t *ret_refs, struct mob_error *err)
{
    uint32_t pending = 0;
    size_t body_size;
    struct task *t;

    if (check(o, s, &body_size, err) < 0)
        return -1;
    if ((t = create(o, s, body_size)) == NULL)
        return mob_error_set(err, MOB_ERR_NO_SPACE, "no memory for %zu bytes of arguments", body_size);
    create_returns(o, t, ret_refs);
    if (s->streams)
        mob_owner_stream_create(mob_owner_object_at(o, ret_refs[0]), s->unread_max);
    t->shape->depth = s->depth;
    if (s->arg_count > 0)
        pending = mob_owner_body_fill(o, t, s);
    mob_owner_event_submitted(o, t, pending);
    if (!mob_owner_task_lost_argument(o, t) && t->waiting == 0)
        arguments_are_ready(o, t);
    return 0;
}

void mob_owner_task_arg_ready(struct mob_owner *o, struct task *t, struct object *arg)
{
    assert(t->state == TASK_WAITING || t->state == TASK_KEPT || t->state == TASK_DONE);
    if (waited(o, t)) {
        return;
    } else if (arg->state == MOB_OBJECT_ERROR) {
        fail_by_argument(o, t, arg);
    } else if (t->waiting == 0 && !mob_owner_task_lost_argument(o, t)) {
        mob_owner_event_queued(o, t);
        arguments_are_ready(o, t);
    }
}

/* -- with a lease ----------------------------------------------------------------------------------------------------------- */

void mob_owner_task_staging(struct mob_owner *o, struct task *t)
{
    task_goto(o, t, TASK_STAGING);
}

void mob_owner_task_unstaged(struct mob_owner *o, struct task *t)
{
    task_goto(o, t, TASK_QUEUED);
    mob_owner_shape_add_front(o, t);
}

void mob_owner_task_pushed(struct mob_owner *o, struct task *t, struct lease *l)
{
    task_goto(o, t, TASK_PUSHED);
    t->lease = l;
    t->pushed_ns = o->now_ns;
    mob_owner_event_pushed(o);
    t->pushed_losses = o->lineage.losses;
    if (t->streams)
        mob_owner_stream_pushed(o, t);
}

static void fail(struct mob_owner *o, struct task *t, const struct mob_error *why, struct deaths *deaths, int64_t started_ns)
{
    struct fault *f = mob_owner_fault_of(o, why, deaths);

    if (why->code != MOB_ERR_CANCELLED || t->told != EVENT_UNTOLD)
        mob_owner_event_failed(o, MOB_EVENT_ENDED, t, why, deaths, started_ns);
    set_faults(o, t, f);
    mob_owner_fault_drop(f);
    mob_owner_task_end(o, t);
}

void mob_owner_task_fail(struct mob_owner *o, struct task *t, const struct mob_error *why, int64_t started_ns)
{
    fail(o, t, why, NULL, started_ns);
}

void mob_owner_task_fail_cancelled(struct mob_owner *o, struct task *t, const struct mob_error *cause, struct deaths *deaths,
                                   int64_t started_ns)
{
    struct mob_error e = error_of(t, MOB_ERR_CANCELLED);

    if (cause == NULL) {
        e.attempt = 0;                          /* equal for all of a kind: they share it */
        say(&e, "the task '%s' was cancelled", t->kind->text);
    } else {
        e.pid = cause->pid;
        mob_copy(e.node, sizeof e.node, cause->node);
        say(&e, "the task '%s' was cancelled while it ran%s%s", t->kind->text, cause->text[0] != '\0' ? ": " : "", cause->text);
    }
    fail(o, t, &e, deaths, started_ns);
}

void mob_owner_task_unpushed(struct mob_owner *o, struct task *t)
{
    assert(t->state == TASK_PUSHED);
    if (t->cancelled) {
        mob_owner_task_fail_cancelled(o, t, NULL, NULL, 0);
        return;
    }
    t->lease = NULL;
    mob_owner_stage_end(o, t);
    if (t->told > EVENT_TOLD)           /* else it was not told to be anywhere else */
        mob_owner_event_queued(o, t);
    task_goto(o, t, TASK_QUEUED);
    mob_owner_shape_add_front(o, t);
}

void mob_owner_task_unfed(struct mob_owner *o, struct task *t)
{
    t->attempt++;
    if (t->history != NULL)
        t->history->why = MOB_OK;       /* that one did not run */
    if (t->cancelled) {
        mob_owner_task_unpushed(o, t);
        return;
    }
    t->lease = NULL;
    mob_owner_stage_end(o, t);
    if (mob_owner_task_lost_argument(o, t))
        return;
    task_goto(o, t, TASK_QUEUED);
    mob_owner_shape_add_front(o, t);
}

/* Of its last attempt, for who asks. */
static void note_end(struct task *t, const struct mob_error *why)
{
    if (t->history == NULL)
        return;
    t->history->why = why->code;
    mob_copy(t->history->node, sizeof t->history->node, why->node);
}

/* It is tried again, now or after a pause. */
static void repeat(struct mob_owner *o, struct task *t, const struct mob_error *why, const struct deaths *deaths, bool starved,
                   int64_t started_ns)
{
    mob_owner_event_failed(o, MOB_EVENT_FAILED_ATTEMPT, t, why, deaths, started_ns);
    if (!starved)
        t->retries -= t->retries > 0;
    t->attempt++;
    note_end(t, why);
    if (!mob_owner_backoff_begin(o, t, why, starved)) {
        mob_owner_task_unpushed(o, t);
        return;
    }
    t->lease = NULL;
    mob_owner_stage_end(o, t);
    task_goto(o, t, TASK_RESTING);
}

void mob_owner_task_rested(struct mob_owner *o, struct task *t)
{
    task_goto(o, t, TASK_QUEUED);
    mob_owner_shape_add_front(o, t);
}

void mob_owner_task_killed(struct mob_owner *o, struct task *t, const struct lease *l, const struct mob_error *cause,
                           struct mob_death *death, bool charged)
{
    bool passed_on = cause->code == MOB_ERR_NODE_DIED || cause->code == MOB_ERR_CANCELLED || cause->code == MOB_ERR_OUT_OF_MEMORY;
    enum mob_code code = passed_on ? cause->code : MOB_ERR_WORKER_CRASHED;
    int64_t started_ns = mob_owner_event_claimed_ns(t);
    bool starved = code == MOB_ERR_OUT_OF_MEMORY && !charged;
    struct deaths *deaths = mob_owner_task_note_death(t, l, death);
    char attempt[192];

    assert(t->state == TASK_PUSHED);
    if (t->cancelled) {
        mob_owner_task_fail_cancelled(o, t, cause, deaths, started_ns);
        return;
    }
    struct mob_error e = error_of(t, code);

    e.pid = cause->pid != 0 ? cause->pid : (int32_t)l->pid;
    mob_copy(e.node, sizeof e.node, cause->node[0] != '\0' ? cause->node : l->ip);
    mob_owner_task_say_attempt(t, code == MOB_ERR_WORKER_CRASHED ? &l->worker : NULL, attempt, sizeof attempt);
    say(&e, "%s: %s", attempt, cause->text);
    if ((starved ? !t->once : t->retries != 0) && code != MOB_ERR_CANCELLED)
        repeat(o, t, &e, deaths, starved, started_ns);
    else
        fail(o, t, &e, deaths, started_ns);
}

void mob_owner_task_restarted(struct mob_owner *o, struct task *t, int64_t started_ns)
{
    struct mob_error why = error_of(t, MOB_ERR_OBJECT_LOST);

    say(&why, "an item that '%s' had yielded was lost, and is waited for: it starts again", t->kind->text);
    t->again = true;
    repeat(o, t, &why, NULL, false, started_ns);
}

void mob_owner_task_failed(struct mob_owner *o, struct task *t, struct mob_error *why, int64_t started_ns)
{
    bool elsewhere = mob_owner_backoff_moves(t, why, true);

    if (elsewhere || (t->retries != 0 && why->code == MOB_ERR_TASK && mob_owner_retry_names(o, t, why->user_code)))
        repeat(o, t, why, NULL, elsewhere, started_ns);
    else
        mob_owner_task_fail(o, t, why, started_ns);
}

void mob_owner_task_refused(struct mob_owner *o, struct task *t, const struct mob_error *no_room)
{
    struct mob_error why = error_of(t, MOB_ERR_NO_SPACE);

    why.user_code = MOB_NO_SPACE_HERE;
    mob_copy(why.node, sizeof why.node, no_room->node);
    say(&why, "an argument: %s", no_room->text);
    if (mob_owner_backoff_moves(t, &why, false))
        repeat(o, t, &why, NULL, true, 0);
    else
        mob_owner_task_fail(o, t, &why, 0);
}

/* -- the end ---------------------------------------------------------------------------------------------------------------- */

static void give_body(struct mob_owner *o, struct task *t)
{
    if (t->body != t->small)
        mob_owner_body_give(&o->bodies, t->body, t->body_size);
    if (t->waiting == 0)
        slab_give(&o->tasks.slab, t);
}

/* What it can make again stays its own. */
static void let_returns_go(struct mob_owner *o, const struct task *t)
{
    if (t->streams)
        mob_owner_stream_unpin(o, t);
    for (uint32_t i = t->returns; i-- > 0;) {   /* the first last: it has the names of the others */
        struct object *b = mob_owner_task_return(o, t, i);

        if (b == NULL || b->maker != t)
            continue;
        if (t->state != TASK_KEPT || (i > 0 && !mob_owner_object_is_own(o, b)))
            b->maker = NULL;
        object_unpin(o, b);
    }
}

void mob_owner_task_end(struct mob_owner *o, struct task *t)
{
    const struct object *first = mob_owner_object_of_slot(o, (uint32_t)t->number);
    bool kept;

    if (t->streams)
        mob_owner_stream_end(o, t, mob_owner_task_return(o, t, 0));
    kept = (t->returns > 1 || t->streams || first->state == MOB_OBJECT_STORED) && mob_owner_lineage_is_due(o, t);
    mob_owner_task_history_free(t);
    mob_owner_stage_end(o, t);
    t->lease = NULL;
    task_goto(o, t, kept ? TASK_KEPT : TASK_DONE);
    if (kept)
        mob_owner_lineage_keep(o, t);
    let_returns_go(o, t);
    if (kept) {
        mob_owner_lineage_settle(o, t);
    } else {
        if (t->refs > 0 || t->carries)
            mob_owner_body_unpin(o, t);
        give_body(o, t);
    }
    mob_owner_objects_tell(o);
}

void mob_owner_task_again(struct mob_owner *o, struct task *t)
{
    task_goto(o, t, TASK_WAITING);
    t->expected_ns = 0;
    t->waiting++;                       /* for task_looked() */
}

void mob_owner_task_looked(struct mob_owner *o, struct task *t)
{
    if (!waited(o, t) && !mob_owner_task_lost_argument(o, t) && t->waiting == 0)
        arguments_are_ready(o, t);
}

void mob_owner_task_unkept(struct mob_owner *o, struct task *t)
{
    task_goto(o, t, TASK_DONE);
    give_body(o, t);
}

/* -- cancel ------------------------------------------------------------------------------------------------------------------ */

/* PUSHED: taken back if it has not started, else it ends by its worker's answer or death. */
static void cancel(struct mob_owner *o, struct task *t, int how)
{
    t->cancelled = true;
    if (t->state == TASK_PUSHED) {
        if (t->streams)
            mob_owner_stream_stop(o, t);
        mob_owner_lease_cancel(o, t, how);
        return;
    }
    if (t->state == TASK_QUEUED)
        mob_owner_shape_remove(o, t);
    if (t->state == TASK_STAGING)
        mob_owner_stage_leave(t);
    if (t->state == TASK_RESTING)
        mob_owner_backoff_leave(o, t);
    mob_owner_task_fail_cancelled(o, t, NULL, NULL, 0);
}

void mob_owner_cancel_object(struct mob_owner *o, struct object *b, int how)
{
    if (!object_is_unmade(b))
        mob_owner_borrow_cancel(o, b, how);
    else if (b->maker->state != TASK_KEPT)      /* that is over, though its value was lost */
        cancel(o, b->maker, how);
}

int mob_owner_cancel(struct mob_owner *o, uint64_t ref, int how, struct mob_error *err)
{
    struct object *b = mob_owner_object_ref(o, ref, err);

    if (b == NULL)
        return -1;
    mob_owner_cancel_object(o, b, how);
    return 0;
}

/* The task whose first return this slot is, if it is under way and was called by that run. */
static struct task *called_by(const struct mob_owner *o, uint32_t slot, uint32_t run)
{
    const struct object *b = mob_owner_object_of_slot(o, slot);

    return b->refs + b->pins > 0 && b->index == 0 && b->maker != NULL && b->maker->state != TASK_KEPT && b->maker->run == run
        ? b->maker : NULL;
}

/* What these called in their turn is cancelled by their workers. */
void mob_owner_cancel_run(struct mob_owner *o, uint32_t run)
{
    struct task *t;

    o->tasks.cancelled_run = run;
    for (uint32_t i = 0; i < o->objects.slots; i++)
        if ((t = called_by(o, i, run)) != NULL)
            cancel(o, t, 0);
}

void mob_owner_tasks_check(const struct mob_owner *o)
{
    const struct task *t;

    for (uint32_t i = 0; o->tasks.cancelled_run != 0 && i < o->objects.slots; i++)
        if ((t = called_by(o, i, o->tasks.cancelled_run)) != NULL)
            assert(t->state == TASK_PUSHED && t->cancelled);
}
