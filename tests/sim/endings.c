/* SPDX-License-Identifier: Apache-2.0 */
/* endings.c -- the beginning and the end of such a program. A driver gets all that it has at its end; when all drivers have dropped all,
 * and so have their workers, nothing may be left of any object.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "faults.h"
#include "refs.h"

/* -- the end of a program ------------------------------------------------------------------------------------------------------ */

static void run_let_go(struct event *e)
{
    struct user *u = user_of(e);

    u->ending = true;
    if (!u->running)
        user_drop_all(u);
}

void user_let_go(struct process *p)
{
    sim_after(p->a.sim, (int64_t)sim_below(p->a.sim, 100 * SIM_MS), &p->a, run_let_go, p);
}

/* All that its workers kept. */
static void end_workers(struct user *u)
{
    struct sim *s = user_sim(u);
    struct process *p;

    for (unsigned i = 1; i <= s->config.nodes; i++)
        mob_list_each(p, &s->hosts[i].processes, struct process, by_host)
            if (p->state == PROCESS_UP && !p->driver && mob_address_eq(p->job, u->p->job))
                user_let_go(p);
}

static void run_end_program(struct event *e)
{
    user_end_program(user_of(e));
}

static void run_leave(struct event *e)
{
    program_leave(user_of(e)->p->program);
}

/* A program that goes on, or a task: of those that nobody waits for, too. */
static bool is_busy(const struct process *p)
{
    struct mob_owner_counts c;

    if (p->state != PROCESS_UP || !p->a.alive)
        return false;
    c = mob_owner_counts(p->owner);
    return (p->driver && !p->user->ended) || p->user->running || c.waiting + c.queued + c.staging + c.pushed + c.resting > 0;
}

static bool all_have_ended(const struct sim *s)
{
    struct process *p;
    unsigned drivers = 0;               /* some may not have started yet */

    for (unsigned i = 1; i <= s->config.nodes; i++)
        mob_list_each(p, &s->hosts[i].processes, struct process, by_host) {
            if (is_busy(p))
                return false;
            drivers += p->driver && p->state == PROCESS_UP;
        }
    return drivers == s->programs_running && s->now >= faults_over(s);
}

/* All programs have ended: what is left of their objects? */
static void run_nothing_left(struct event *e)
{
    struct user *u = user_of(e);

    check_no_objects(user_sim(u));
    user_after(u, (int64_t)sim_below(user_sim(u), SIM_S), run_leave);
}

static void run_all_ended(struct event *e)
{
    struct user *u = user_of(e);
    struct sim *s = user_sim(u);

    if (!all_have_ended(s)) {
        user_after(u, 200 * SIM_MS, run_all_ended);
        return;
    }
    end_workers(u);
    user_after(u, s->config.faults || s->config.memory || s->config.losses ? 20 * SIM_S : 3 * SIM_S, run_nothing_left);
}

static void end_got(struct user *u, const struct mob_error *err)
{
    bool dropped = false;

    (void)err;
    for (unsigned i = 0; i < u->count && !dropped; i++)
        if ((dropped = u->refs[i] == u->getting))
            user_drop(u, i);
    mob_owner_drop(u->p->owner, u->getting, NULL);
    user_after(u, SIM_US, run_end_program);
}

void user_end_program(struct user *u)
{
    streams_close(u);
    if (u->count > 0) {
        u->of_earlier = false;
        mob_owner_clone(u->p->owner, u->refs[u->count - 1], NULL);
        user_get(u, u->refs[u->count - 1], 0, end_got);
        return;
    }
    u->ended = true;
    user_after(u, SIM_US, run_all_ended);
}

/* -- life ---------------------------------------------------------------------------------------------------------------------- */

void user_begin(struct process *p)
{
    p->user->steps = p->a.sim->config.tasks;
    user_next(p->user);
}

void user_create(struct process *p)
{
    p->user = mob_new(struct user);
    p->user->p = p;
    p->desk = mob_new(struct desk);
}

void user_free(struct process *p)
{
    if (p->desk != NULL)
        mob_store_client_close(p->desk->client);
    free(p->desk);
    free(p->user);
}
