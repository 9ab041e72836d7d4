/* SPDX-License-Identifier: Apache-2.0 */
/* pressure.c -- when memory is short: who says so, and what is done.
 *
 *   CALM <--> RELIEF
 *
 *   CALM    memory is looked at: every 250 ms while something is lent, more often the less is left, every 2 s while nothing is, and never
 *           without workers
 *   RELIEF  a worker was killed: waits until it is reaped and GRACE_NS more, RELIEF_NS at most, as its memory comes back in its own time.
 *           Nothing new is lent meanwhile, or what comes free would be taken again
 *
 * Memory is short when the node has used all but its reserve (config.memory_reserve): of the machine, or of the cgroup that is
 * nearest its limit; twice the reserve, when for a fifth of the time all its processes stood still for want of memory (PSI). Or when
 * the workers and what they started have more than config.memory_limit together.
 *
 * Who is ended is victim.c's choice. With config.memory_strict a task that has more than it asked for is ended even if there is enough.
 */
#include "raylet/pressure.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/doorbell.h"
#include "raylet/core.h"
#include "raylet/victim.h"

#define LOOK_NS (250 * MS)
#define LOOK_SOON_NS (20 * MS)          /* at least between two looks */
#define LOOK_IDLE_NS (2000 * MS)
#define BYTES_PER_NS 16                 /* memory is not filled faster than that */
#define GRACE_NS (100 * MS)
#define RELIEF_NS (2000 * MS)
#define STALLED 200                     /* thousandths of the time */
#define TOLD_MAX 5                      /* who has most */

static const struct mob_state pressure_states[] = {
    [PRESSURE_CALM]   = { "calm",   NULL, MOB_TO(PRESSURE_RELIEF) },
    [PRESSURE_RELIEF] = { "relief", NULL, MOB_TO(PRESSURE_CALM) },
};

static bool pressure_holds(const struct mob_machine *m)
{
    const struct pressure *p = MOB_CONTAINER(m, struct pressure, machine);

    return (m->now == PRESSURE_RELIEF) == (p->victim != 0);
}

void mob_pressure_init(struct mob_raylet *r)
{
    mob_machine_init(&r->pressure.machine, "memory", 0, pressure_states, PRESSURE_CALM, pressure_holds);
}

bool mob_pressure_holds(const struct mob_raylet *r)
{
    return r->pressure.machine.now == PRESSURE_RELIEF;
}

void mob_pressure_granted(struct mob_raylet *r, struct lease *l)
{
    if (r->world->memory == NULL)
        return;
    if (r->pressure.machine.now == PRESSURE_CALM && r->pressure.look_at > r->now + LOOK_NS)
        r->pressure.look_at = r->now + LOOK_NS;
    if (mob_resources_get(&l->share.held, "memory") > 0)
        l->memory_before = r->world->resident(r->world, l->worker->process->address.process);
}

/* -- who has how much --------------------------------------------------------------------------------------------------------- */

/* A worker as it is looked at. */
struct seen {
    struct worker *worker;
    char name[MOB_PAGE_NAME_SIZE];      /* of the function that runs, or ran last */
};

struct looked {
    struct candidate *candidates;
    struct seen *seen;
    size_t count;
    uint64_t bytes;                     /* in all */
};

static bool runs_once(const struct worker *w)
{
    uint32_t attempt;
    uint64_t task;

    return mob_process_runs(w->process, w->epoch, &task, &attempt)
        && atomic_load_explicit(&w->process->page->once, memory_order_relaxed) != 0;
}

static struct candidate candidate_of(struct mob_raylet *r, const struct worker *w, const char *name)
{
    const struct process *p = w->process;
    uint64_t ask = w->lease != NULL ? (uint64_t)(mob_resources_get(&w->lease->share.held, "memory") / MOB_UNITS) : 0;
    struct candidate c = { .bytes = r->world->resident(r->world, p->address.process), .since = w->since };

    c.group = mob_address_key(p->job) * UINT64_C(0x9e3779b97f4a7c15) ^ mob_name_hash(name);
    if (w->lease == NULL) {
        c.class = mob_pool_is_needed(w) ? VICTIM_LAST : VICTIM_IDLE;
        return c;
    }
    c.since = w->lease->held_since;
    c.asked = ask + w->lease->memory_before;
    if (ask > 0 && c.bytes > c.asked)
        c.class = VICTIM_BEYOND;
    else
        c.class = runs_once(w) ? VICTIM_LAST : VICTIM_REPEATABLE;
    return c;
}

/* All that are neither starting nor ending. */
static void look_at_workers(struct mob_raylet *r, struct looked *ret)
{
    struct kind *k;
    struct worker *w;

    *ret = (struct looked){ .candidates = mob_alloc((r->pool.alive + 1) * sizeof *ret->candidates),
                            .seen = mob_alloc((r->pool.alive + 1) * sizeof *ret->seen) };
    for (size_t at = 0; (k = mob_map_next(&r->pool.kinds, &at, NULL)) != NULL;)
        mob_list_each(w, &k->workers, struct worker, of_kind) {
            struct seen *s = &ret->seen[ret->count];

            if (w->machine.now != WORKER_IDLE && w->machine.now != WORKER_LENT && w->machine.now != WORKER_BLOCKED)
                continue;
            *s = (struct seen){ .worker = w };
            if (w->process->page != NULL)
                mob_page_name(w->process->page, s->name);
            ret->candidates[ret->count] = candidate_of(r, w, s->name);
            ret->bytes += ret->candidates[ret->count++].bytes;
        }
}

static void forget(struct looked *l)
{
    free(l->candidates);
    free(l->seen);
}

/* -- words -------------------------------------------------------------------------------------------------------------------- */

struct words {
    char *at, *end;
};

__attribute__((format(printf, 2, 3)))
static void add(struct words *w, const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(w->at, (size_t)(w->end - w->at), format, args);
    va_end(args);
    w->at += n < w->end - w->at ? n : w->end - w->at - 1;
}

static void add_bytes(struct words *w, uint64_t bytes)
{
    if (bytes < UINT64_C(1) << 30)
        add(w, "%" PRIu64 " MiB", bytes >> 20);
    else
        add(w, "%.2f GiB", (double)bytes / (1 << 30));
}

static void add_users(struct words *w, const struct looked *all)
{
    bool *told = mob_alloc((all->count + 1) * sizeof *told);

    memset(told, 0, (all->count + 1) * sizeof *told);
    for (size_t n = 0; n < TOLD_MAX && n < all->count; n++) {
        size_t most = all->count;

        for (size_t i = 0; i < all->count; i++)
            if (!told[i] && (most == all->count || all->candidates[i].bytes > all->candidates[most].bytes))
                most = i;
        if (n > 0 && all->candidates[most].bytes >> 20 == 0)
            break;
        told[most] = true;
        add(w, "%s", n == 0 ? "; most have " : ", ");
        if (all->seen[most].worker->lease != NULL)
            add(w, "'%.40s'", all->seen[most].name);
        else
            add(w, "an idle worker");
        add(w, " (pid %u) ", all->seen[most].worker->process->pid);
        add_bytes(w, all->candidates[most].bytes);
    }
    free(told);
}

/* -- what is short ------------------------------------------------------------------------------------------------------------ */

/* A bound, and what is used of it. */
struct gauge {
    uint64_t used, limit, reserve;
    const char *of;
    const char *option;                 /* what changes it */
};

static bool is_short(const struct gauge *g)
{
    return g->used > g->limit - g->reserve;
}

static uint64_t room(const struct gauge *g)
{
    return is_short(g) ? 0 : g->limit - g->reserve - g->used;
}

static bool read_node(struct mob_raylet *r, struct mob_memory *memory, struct gauge *ret)
{
    if (r->config.memory_reserve == 0 || !r->world->memory(r->world, memory))
        return false;
    *ret = (struct gauge){ .used = memory->used, .limit = memory->limit, .of = memory->of, .option = "--memory-reserve",
                           .reserve = mob_memory_reserve(r->config.memory_reserve, memory->limit) };
    if (memory->stalled >= STALLED)
        ret->reserve *= 2;
    if (ret->reserve > ret->limit)
        ret->reserve = ret->limit;
    return true;
}

/* -- the end of a worker ------------------------------------------------------------------------------------------------------ */

static void write_why(struct mob_raylet *r, const struct looked *all, size_t victim, const struct gauge *g, struct mob_error *ret)
{
    const struct worker *w = all->seen[victim].worker;
    const struct candidate *c = &all->candidates[victim];
    struct words words = { ret->text, ret->text + sizeof ret->text };

    *ret = (struct mob_error){ .code = MOB_ERR_OUT_OF_MEMORY, .pid = (int32_t)w->process->pid };
    mob_copy(ret->node, sizeof ret->node, r->config.ip);
    add(&words, "worker %u.%u (pid %u on %s, %s) was ended with ", w->process->address.node, w->process->address.process, w->process->pid,
        r->config.host, r->config.ip);
    add_bytes(&words, c->bytes);
    if (c->class == VICTIM_BEYOND) {
        add(&words, ", more than its task's memory=");
        add_bytes(&words, c->asked - w->lease->memory_before);
        if (w->lease->memory_before >= VICTIM_WORTH) {
            add(&words, " beside ");
            add_bytes(&words, w->lease->memory_before);
            add(&words, " that it had before");
        }
    }
    if (g != NULL) {
        add(&words, ", as memory ran short: ");
        add_bytes(&words, g->used);
        add(&words, " of %s ", g->of);
        add_bytes(&words, g->limit);
        add(&words, " are in use");
        add_users(&words, all);
    }
    if (c->class == VICTIM_BEYOND)
        add(&words, ". Ask for as much memory= as the task takes");
    else if (c->bytes >= (g->limit - g->reserve) / 4 * 3)
        add(&words, ". That is nearly all that there is, so that fewer at once would hardly help: let it take less, or run it where there "
            "is more, as by memory=, which keeps it off smaller nodes; or start the node with another %s", g->option);
    else
        add(&words, ". Ask for memory=, or for more CPUs a task, so that fewer run at once; add nodes; or start the node with another %s",
            g->option);
}

static void end_worker(struct mob_raylet *r, const struct looked *all, size_t victim, const struct gauge *g)
{
    struct pressure *p = &r->pressure;
    struct worker *w = all->seen[victim].worker;
    struct mob_error why;

    write_why(r, all, victim, g, &why);
    mob_warn("%s", why.text);
    p->victim = w->process->address.process;
    p->look_at = r->now + RELIEF_NS;
    p->told = false;
    if (p->machine.now == PRESSURE_CALM)
        mob_machine_goto(&p->machine, PRESSURE_RELIEF);
    if (w->lease == NULL) {
        mob_pool_kill(r, w);
        return;
    }
    w->lease->beyond_ask = all->candidates[victim].class == VICTIM_BEYOND;
    mob_pool_doom(w, MOB_KILLED_BY_MEMORY);
    mob_lease_end(r, w->lease, true, &why);
}

/* One that is at work; of those that idle, as many as are of use. */
static void relieve(struct mob_raylet *r, struct looked *all, const struct gauge *g)
{
    uint64_t lacking = g->used - (g->limit - g->reserve), freed = 0;
    enum victim_class class;
    size_t victim;

    do {
        if ((victim = mob_victim_choose(all->candidates, all->count)) == all->count)
            break;
        class = all->candidates[victim].class;
        freed += all->candidates[victim].bytes;
        end_worker(r, all, victim, g);
        all->candidates[victim].bytes = 0;
    } while (class == VICTIM_IDLE && freed < lacking);
    if (freed > 0 || r->pressure.told)
        return;
    r->pressure.told = true;
    mob_warn("memory is short, and no worker has any that is worth its end: %" PRIu64 " MiB of %s %" PRIu64 " MiB are in use",
             g->used >> 20, g->of, g->limit >> 20);
}

/* Those that break their word do so alone. */
static void end_beyond(struct mob_raylet *r, const struct looked *all)
{
    for (size_t i = 0; i < all->count; i++)
        if (all->candidates[i].class == VICTIM_BEYOND)
            end_worker(r, all, i, NULL);
}

/* -- time --------------------------------------------------------------------------------------------------------------------- */

/* Look, and answer when to do so again. */
static int64_t look(struct mob_raylet *r)
{
    bool lent = !mob_list_empty(&r->leases.held);
    struct mob_memory memory;
    struct gauge node, workers = { .limit = r->config.memory_limit, .of = "the workers'", .option = "--memory-limit" };
    bool node_known = read_node(r, &memory, &node), node_short = node_known && is_short(&node);
    struct looked all = { 0 };
    uint64_t least = node_known ? room(&node) : UINT64_MAX;
    int64_t wait;

    if (node_short || workers.limit > 0 || (r->config.memory_strict && lent))
        look_at_workers(r, &all);
    workers.used = all.bytes;
    if (r->config.memory_strict)
        end_beyond(r, &all);
    if (workers.limit > 0 && room(&workers) < least)
        least = room(&workers);
    if (r->pressure.machine.now == PRESSURE_CALM && workers.limit > 0 && is_short(&workers))
        relieve(r, &all, &workers);
    else if (r->pressure.machine.now == PRESSURE_CALM && node_short)
        relieve(r, &all, &node);
    else
        r->pressure.told = false;
    forget(&all);
    if (r->pressure.machine.now == PRESSURE_RELIEF)
        return r->pressure.look_at;
    wait = least / BYTES_PER_NS < LOOK_NS ? (int64_t)(least / BYTES_PER_NS) : lent ? LOOK_NS : LOOK_IDLE_NS;
    if (r->pressure.told)
        wait = LOOK_NS;
    return r->pressure.look_at = r->now + (wait > LOOK_SOON_NS ? wait : LOOK_SOON_NS);
}

void mob_pressure_process_gone(struct mob_raylet *r, uint32_t process)
{
    if (r->pressure.machine.now == PRESSURE_RELIEF && process == r->pressure.victim)
        r->pressure.look_at = r->now + GRACE_NS;
}

int64_t mob_pressure_tick(struct mob_raylet *r)
{
    struct pressure *p = &r->pressure;

    if (r->world->memory == NULL || (r->pool.alive == 0 && p->machine.now == PRESSURE_CALM))
        return INT64_MAX;
    if (r->now < p->look_at)
        return p->look_at;
    if (p->machine.now == PRESSURE_RELIEF) {
        p->victim = 0;
        mob_machine_goto(&p->machine, PRESSURE_CALM);
        look(r);
        if (p->machine.now == PRESSURE_CALM)
            mob_wants_serve(r);
        return p->look_at;
    }
    return look(r);
}
