/* SPDX-License-Identifier: Apache-2.0 */
/* certificate.c -- death certificates: from the LeaseOver of a lender into the task (task.c), from there into the error of its returns
 * (struct fault), and with that into errors of tasks whose argument it was, to who asks by Watch, and to who asks by mob_death(). Where no
 * process has ended, but a node was lost that had an object, or the one of the driver itself, it is that node's.
 */
#include "worker/certificate.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/core.h"

struct deaths *mob_owner_deaths_add(struct deaths *d, const struct mob_death *death)
{
    Mobula__Death m;

    if (d == NULL) {
        d = mob_new(struct deaths);
        d->uses = 1;
    }
    assert(d->uses == 1);
    if (d->count == MOB_DEATHS_MAX) {
        free(d->of[0].bytes);
        memmove(&d->of[0], &d->of[1], --d->count * sizeof d->of[0]);
    }
    d->killed_by = death->killed_by;
    mob_wire_put_death(&m, death);
    d->of[d->count].size = mobula__death__get_packed_size(&m);
    d->of[d->count].bytes = mob_alloc(d->of[d->count].size + 1);
    mobula__death__pack(&m, d->of[d->count].bytes);
    d->count++;
    return d;
}

struct deaths *mob_owner_deaths_of_node(uint32_t node, const char *ip)
{
    struct mob_death d = { .size = sizeof d, .killed_by = MOB_KILLED_BY_NODE, .exit_code = -1 };

    snprintf(d.node, sizeof d.node, "%u", node);
    mob_copy(d.ip, sizeof d.ip, ip);
    return mob_owner_deaths_add(NULL, &d);
}

void mob_owner_deaths_drop(struct deaths *d)
{
    if (d == NULL || --d->uses > 0)
        return;
    for (uint32_t i = 0; i < d->count; i++)
        free(d->of[i].bytes);
    free(d);
}

/* We packed it ourselves. */
static Mobula__Death *unpack(const struct deaths *d, uint32_t i)
{
    Mobula__Death *m = mobula__death__unpack(NULL, d->of[i].size, d->of[i].bytes);

    assert(m != NULL);
    return m;
}

bool mob_owner_deaths_at(const struct deaths *d, size_t back, struct mob_death *ret)
{
    if (d == NULL || back >= d->count)
        return false;
    Mobula__Death *m = unpack(d, d->count - 1 - (uint32_t)back);

    mob_wire_death(m, ret);
    mobula__death__free_unpacked(m, NULL);
    return true;
}

/* Who ended it, where the signal does not say it. */
static const char *words_of(int32_t killed_by)
{
    switch (killed_by) {
    case MOB_KILLED_BY_SIGNAL: return ", which Mobula did not send";
    case MOB_KILLED_BY_CANCEL: return ", to cancel it";
    case MOB_KILLED_BY_MEMORY: return ": its node ran short of memory";
    case MOB_KILLED_BY_KERNEL_MEMORY: return ": the kernel ran short of memory";
    case MOB_KILLED_BY_JOB: return ": its job is over";
    case MOB_KILLED_BY_RAYLET: return ": its socket was closed";
    default: return "";
    }
}

void mob_owner_deaths_words(const struct deaths *d, char *ret, size_t size)
{
    struct mob_death last;
    const char *signal;

    ret[0] = '\0';
    if (!mob_owner_deaths_at(d, 0, &last))
        return;
    signal = last.signal > 0 ? sigabbrev_np(last.signal) : NULL;
    if (last.killed_by == MOB_KILLED_BY_NODE)
        mob_copy(ret, size, "its node was lost");
    else if (last.killed_by == MOB_KILLED_BY_START)
        mob_copy(ret, size, "its worker could not be started");
    else if (last.signal > 0)
        snprintf(ret, size, "its worker was ended by %s%s%s", signal != NULL ? "SIG" : "a signal", signal != NULL ? signal : "",
                 words_of(last.killed_by));
    else if (last.exit_code >= 0)
        snprintf(ret, size, "its worker exited with code %d%s", last.exit_code, words_of(last.killed_by));
}

struct deaths *mob_owner_deaths_of(const Mobula__Error *e)
{
    struct deaths *d = NULL;
    struct mob_death death;

    for (size_t i = e->n_deaths > MOB_DEATHS_MAX ? e->n_deaths - MOB_DEATHS_MAX : 0; i < e->n_deaths; i++) {
        mob_wire_death(e->deaths[i], &death);
        d = mob_owner_deaths_add(d, &death);
    }
    return d;
}

void mob_owner_deaths_put(const struct deaths *d, Mobula__Error *ret)
{
    if (d == NULL)
        return;
    ret->deaths = mob_alloc(d->count * sizeof *ret->deaths);
    ret->n_deaths = d->count;
    for (uint32_t i = 0; i < d->count; i++)
        ret->deaths[i] = unpack(d, i);
}

void mob_owner_deaths_sent(Mobula__Error *e)
{
    for (size_t i = 0; i < e->n_deaths; i++)
        mobula__death__free_unpacked(e->deaths[i], NULL);
    free(e->deaths);
    e->deaths = NULL;
    e->n_deaths = 0;
}

/* -- a task's ------------------------------------------------------------------------------------------------------------------ */

struct deaths *mob_owner_task_note_death(struct task *t, const struct lease *l, struct mob_death *death)
{
    struct history *h;

    if (death == NULL)
        return NULL;
    h = mob_owner_task_history(t);
    death->attempt = t->attempt;
    if (death->pid == 0)
        death->pid = (int32_t)l->pid;
    if (death->ip[0] == '\0')
        mob_copy(death->ip, sizeof death->ip, l->ip);
    return h->deaths = mob_owner_deaths_add(h->deaths, death);
}

/* Remember whom it killed. True when these are three different workers: then it is the task, not the machine. */
static bool is_poison(struct task *t, struct mob_address worker)
{
    struct history *h = mob_owner_task_history(t);

    for (uint32_t i = 0; i < h->killed_count; i++)
        if (mob_address_eq(h->killed[i], worker))
            return h->killed_count == TASK_KILLS_TOLD;
    if (h->killed_count < TASK_KILLS_TOLD)
        h->killed[h->killed_count++] = worker;
    return h->killed_count == TASK_KILLS_TOLD;
}

/* Before what its worker printed last, or it would be read as a part of that. */
void mob_owner_task_say_attempt(struct task *t, const struct mob_address *killed, char *ret, size_t size)
{
    char of[32] = "";

    if (t->retries >= 0)
        snprintf(of, sizeof of, " of %lld", (long long)t->attempt + 1 + t->retries);
    snprintf(ret, size, "'%.64s', attempt %lld%s%s", t->kind->text, (long long)t->attempt + 1, of,
             killed != NULL && is_poison(t, *killed) ? ", has killed three different workers by now, so look at the task" : "");
}

void mob_owner_task_history_free(struct task *t)
{
    if (t->history != NULL)
        mob_owner_deaths_drop(t->history->deaths);
    free(t->history);
    t->history = NULL;
}
