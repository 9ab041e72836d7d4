/* SPDX-License-Identifier: Apache-2.0 */
/* template.c -- the life of a job's template: a process of its program that has loaded what the job needs, runs nothing, and forks workers.
 *
 *   ABSENT --> STARTING --> BARE --> LOADING --> READY        each of the four --> ENDING --> ABSENT, FAILED
 *
 *   ABSENT    the next worker starts it
 *   STARTING  waits for "begun", START_NS at most. Workers wait for it: it is not slower than the start of one of them
 *   BARE      forks workers that import themselves what they need: who was waited for at its start should not share the CPUs with its
 *             imports. Loads after CALM_NS, or at once if nobody has asked yet
 *   LOADING   imports the driver's modules, which may take long or never end: waits for "ready", LOAD_NS at most. Workers are started
 *             anew meanwhile, but for those that asked before: it forks them first
 *   READY     forks whoever asks
 *   ENDING    killed: waits to be reaped
 *   FAILED    it said that it cannot fork, or ended while it loaded, or FAILURES_MAX times in a row without a fork in between: all
 *             workers of the job are started anew. For ever
 *
 * An answer takes ANSWER_NS at most: a template that was stopped, or hangs, is killed, and who waited for it is started anew. So nothing
 * that becomes of a template costs a worker, but time.
 */
#include "raylet/template.h"

#include <assert.h>
#include <stddef.h>

#include "common/mem.h"

#define MS INT64_C(1000000)
#define START_NS (10000 * MS)
#define CALM_NS (1000 * MS)
#define LOAD_NS (120000 * MS)
#define ANSWER_NS (5000 * MS)
#define FAILURES_MAX 3

static const struct mob_state template_states[] = {
    [MOB_TEMPLATE_ABSENT]   = { "absent",   NULL, MOB_TO(MOB_TEMPLATE_STARTING) },
    [MOB_TEMPLATE_STARTING] = { "starting", NULL, MOB_TO(MOB_TEMPLATE_BARE) | MOB_TO(MOB_TEMPLATE_ENDING) },
    [MOB_TEMPLATE_BARE]     = { "bare",     NULL, MOB_TO(MOB_TEMPLATE_LOADING) | MOB_TO(MOB_TEMPLATE_ENDING) },
    [MOB_TEMPLATE_LOADING]  = { "loading",  NULL, MOB_TO(MOB_TEMPLATE_READY) | MOB_TO(MOB_TEMPLATE_ENDING) },
    [MOB_TEMPLATE_READY]    = { "ready",    NULL, MOB_TO(MOB_TEMPLATE_ENDING) },
    [MOB_TEMPLATE_ENDING]   = { "ending",   NULL, MOB_TO(MOB_TEMPLATE_ABSENT) | MOB_TO(MOB_TEMPLATE_FAILED) },
    [MOB_TEMPLATE_FAILED]   = { "failed",   NULL, 0 },
};

static bool template_holds(const struct mob_machine *m)
{
    const struct mob_template *t = MOB_CONTAINER(m, const struct mob_template, machine);

    switch (m->now) {
    case MOB_TEMPLATE_ABSENT:
        return t->asked == 0 && t->failures < FAILURES_MAX;
    case MOB_TEMPLATE_ENDING:
        return t->asked == 0;
    case MOB_TEMPLATE_FAILED:
        return t->asked == 0 && t->failures >= FAILURES_MAX;
    default:
        return t->failures < FAILURES_MAX;
    }
}

static void move(struct mob_template *t, enum mob_template_state state, int64_t now)
{
    t->since = now;
    mob_machine_goto(&t->machine, state);
}

void mob_template_init(struct mob_template *t, uint64_t id)
{
    *t = (struct mob_template){ .since = 0 };
    mob_machine_init(&t->machine, "template", id, template_states, MOB_TEMPLATE_ABSENT, template_holds);
}

enum mob_template_way mob_template_way(const struct mob_template *t)
{
    switch (t->machine.now) {
    case MOB_TEMPLATE_ABSENT:
        return MOB_TEMPLATE_START;
    case MOB_TEMPLATE_STARTING:
    case MOB_TEMPLATE_BARE:
    case MOB_TEMPLATE_READY:
        return MOB_TEMPLATE_ASK;
    default:
        return MOB_TEMPLATE_PLAINLY;
    }
}

/* -- its life ------------------------------------------------------------------------------------------------------------------ */

void mob_template_started(struct mob_template *t, int64_t now)
{
    t->wanted = false;
    move(t, MOB_TEMPLATE_STARTING, now);
}

void mob_template_asked(struct mob_template *t, int64_t now)
{
    assert(mob_template_way(t) == MOB_TEMPLATE_ASK);
    t->wanted = true;
    if (t->asked++ == 0)
        t->heard = now;
}

bool mob_template_begun(struct mob_template *t, int64_t now)
{
    if (t->machine.now != MOB_TEMPLATE_STARTING)
        return false;
    move(t, MOB_TEMPLATE_BARE, now);
    t->heard = now;
    return true;
}

int64_t mob_template_due(const struct mob_template *t)
{
    if (t->machine.now != MOB_TEMPLATE_BARE)
        return INT64_MAX;
    return t->wanted ? t->since + CALM_NS : t->since;
}

bool mob_template_loads(struct mob_template *t, int64_t now)
{
    if (now < mob_template_due(t))
        return false;
    move(t, MOB_TEMPLATE_LOADING, now);
    return true;
}

bool mob_template_ready(struct mob_template *t, int64_t now)
{
    if (t->machine.now != MOB_TEMPLATE_LOADING || t->asked > 0)
        return false;
    move(t, MOB_TEMPLATE_READY, now);
    return true;
}

bool mob_template_cannot(struct mob_template *t, int64_t now)
{
    if (t->machine.now != MOB_TEMPLATE_LOADING)
        return false;
    mob_template_ended(t, now);
    return true;
}

bool mob_template_answered(struct mob_template *t, bool forked, int64_t now)
{
    if (t->asked == 0)
        return false;
    t->asked--;
    t->heard = now;
    if (forked)
        t->failures = 0;
    return true;
}

void mob_template_ended(struct mob_template *t, int64_t now)
{
    if (t->machine.now == MOB_TEMPLATE_ENDING)
        return;
    t->failures = t->machine.now == MOB_TEMPLATE_LOADING ? FAILURES_MAX : t->failures + 1;
    t->asked = 0;
    move(t, MOB_TEMPLATE_ENDING, now);
}

void mob_template_gone(struct mob_template *t, int64_t now)
{
    mob_template_ended(t, now);         /* by itself, or by somebody else */
    move(t, t->failures < FAILURES_MAX ? MOB_TEMPLATE_ABSENT : MOB_TEMPLATE_FAILED, now);
}

int64_t mob_template_deadline(const struct mob_template *t)
{
    int64_t answer = t->asked > 0 ? t->heard + ANSWER_NS : INT64_MAX, load = t->since + LOAD_NS;

    switch (t->machine.now) {
    case MOB_TEMPLATE_STARTING:
        return t->since + START_NS;
    case MOB_TEMPLATE_LOADING:
        return answer < load ? answer : load;
    case MOB_TEMPLATE_BARE:
    case MOB_TEMPLATE_READY:
        return answer;
    default:
        return INT64_MAX;
    }
}
