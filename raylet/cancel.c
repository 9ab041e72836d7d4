/* SPDX-License-Identifier: Apache-2.0 */
/* cancel.c -- a Cancel and its steps.
 *
 *   FLAGGED     the page names the task; the worker may stop by itself      -- grace -->
 *   TERMINATED  SIGTERM was sent                                            -- grace -->
 *   KILLED      SIGKILL was sent (at once, if forced)
 *
 * Its worker is told, too: it ends the task's waits, and cancels what the task called, unless the Cancel says that this runs on. If the
 * worker is killed, what the task called ends with it all the same, as its owner is gone.
 *
 * Before each signal the page is read again: only if it still says that this very attempt runs, the signal is sent; so a
 * cancel that comes late hits nobody else. The page may be a moment behind a task that is just being claimed: the flag
 * catches that one, and a forced cancel looks once more after LOOK_AGAIN_NS.
 */
#include "raylet/cancel.h"

#include <signal.h>

#include "raylet/core.h"

#define LOOK_AGAIN_NS (10 * MS)

static bool still_runs(const struct worker *w)
{
    uint64_t task;
    uint32_t attempt;

    return mob_process_runs(w->process, w->epoch, &task, &attempt) && task == w->cancel.task && attempt == w->cancel.attempt;
}

void mob_cancel_drop(struct worker *w)
{
    mob_list_remove(&w->cancel.link);
}

void mob_cancel_forget(struct mob_raylet *r, struct worker *w)
{
    if (w->cancel.marked)
        r->world->cancel_mark(r->world, w->process->address.process, 0, 0);
    w->cancel.marked = false;
    w->cancel.state = CANCEL_NONE;
}

bool mob_cancel_signalled(const struct worker *w, uint64_t task, uint32_t attempt)
{
    return (w->cancel.state == CANCEL_TERMINATED || w->cancel.state == CANCEL_KILLED)
        && w->cancel.task == task && w->cancel.attempt == attempt;
}

static void wait_until(struct mob_raylet *r, struct worker *w, int64_t due)
{
    w->cancel.due = due;
    mob_list_remove(&w->cancel.link);
    mob_list_append(&r->cancels, &w->cancel.link);
}

static void signal_worker(struct mob_raylet *r, struct worker *w, enum cancel_state state, int signal)
{
    w->cancel.state = state;
    r->world->kill(r->world, w->process->address.process, signal);
}

/* The next step, now. */
static void step(struct mob_raylet *r, struct worker *w)
{
    struct cancel *c = &w->cancel;

    mob_list_remove(&c->link);
    if (!still_runs(w)) {
        c->state = CANCEL_NONE;
    } else if (c->force || c->state == CANCEL_TERMINATED) {
        signal_worker(r, w, CANCEL_KILLED, SIGKILL);
    } else {
        signal_worker(r, w, CANCEL_TERMINATED, SIGTERM);
        wait_until(r, w, r->now + r->config.cancel_grace_ms * MS);
    }
}

/* After the mark: a task that starts without seeing it runs when this arrives. */
static void tell_worker(struct mob_raylet *r, const struct worker *w, const Mobula__Cancel *m)
{
    Mobula__Cancel copy = *m;
    struct mob_envelope e;

    mob_envelope_init(&e, r->self, w->process->address, MOBULA__ENVELOPE__BODY_CANCEL);
    e.e.cancel = &copy;
    mob_route_send(r, &e.e);
}

void mob_cancel_on_cancel(struct mob_raylet *r, const struct arrival *a)
{
    const Mobula__Cancel *m = a->e->cancel;
    struct lease *l = mob_lease_of(r, m->lease, a->from);
    struct worker *w = l == NULL ? NULL : l->worker;
    struct cancel *c = w == NULL ? NULL : &w->cancel;

    if (w == NULL || c->state == CANCEL_KILLED)
        return;
    if (c->state != CANCEL_NONE && c->task == m->task && c->attempt == m->attempt && !m->force) {
        if (!m->alone)                  /* a repeat does not restart the grace; the first may have meant the task alone */
            tell_worker(r, w, m);
        return;
    }
    if (c->state != CANCEL_NONE && c->task != m->task && still_runs(w))
        return;                         /* another one is being stopped: its successor is not claimed yet */
    c->state = CANCEL_FLAGGED;
    c->task = m->task;
    c->attempt = m->attempt;
    c->force = m->force;
    if (m->force && still_runs(w)) {
        step(r, w);                     /* without a word before, which it might answer by ending the task itself */
        return;
    }
    c->marked = true;
    r->world->cancel_mark(r->world, w->process->address.process, m->task, m->attempt);
    if (!m->force)
        tell_worker(r, w, m);
    wait_until(r, w, r->now + (m->force ? LOOK_AGAIN_NS : r->config.cancel_grace_ms * MS));
}

int64_t mob_cancel_tick(struct mob_raylet *r)
{
    int64_t next = INT64_MAX;
    struct worker *w;

    mob_list_each(w, &r->cancels, struct worker, cancel.link)
        if (r->now >= w->cancel.due)
            step(r, w);
    mob_list_each(w, &r->cancels, struct worker, cancel.link)
        if (w->cancel.due < next)
            next = w->cancel.due;
    return next;
}
