/* SPDX-License-Identifier: Apache-2.0 */
/* world.c -- chance, memory, and actors with their turns.
 *
 * A frozen host's events wait until it thaws; those of the dead are dropped. After each event its actor gets a turn, a little later: so a
 * batch of facts is one turn, as in the daemons.
 */
#include "sim.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define LARGE 2048u                     /* memory that begins a page: the same place of each would be the same place of the cache */

/* -- chance ---------------------------------------------------------------------------------------------------------------- */

uint64_t sim_random(struct sim *s)
{
    uint64_t z = s->random += UINT64_C(0x9e3779b97f4a7c15);     /* splitmix64 */

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t sim_below(struct sim *s, uint64_t limit)
{
    return sim_random(s) % limit;
}

bool sim_chance(struct sim *s, unsigned percent)
{
    return sim_below(s, 100) < percent;
}

void sim_trace(struct sim *s, const char *format, ...)
{
    va_list args;

    if (!s->config.trace)
        return;
    printf("%10.6f  ", (double)s->now / 1e9);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

void *sim_memory(struct sim *s, size_t size)
{
    size_t offset = size >= LARGE ? 64 * (s->memory_count % 61) : 0;
    unsigned char *p = calloc(1, size + offset);

    assert(p != NULL);
    if (s->memory_count == s->memory_room)
        s->memory = mob_realloc(s->memory, (s->memory_room = 2 * s->memory_room + 64) * sizeof *s->memory);
    s->memory[s->memory_count++] = p;
    return p + offset;
}

struct mob_doorbell bell_new(struct sim *s)
{
    struct mob_page *page = sim_memory(s, sizeof *page);

    page->magic = MOB_PAGE_MAGIC;
    page->version = MOB_PAGE_VERSION;
    return (struct mob_doorbell){ .page = page, .fd = -1 };
}

bool bell_take(struct mob_doorbell *bell, uint64_t ret_dirty[MOB_DIRTY_BITS / 64])
{
    uint64_t any = 0;

    for (unsigned i = 0; i < MOB_DIRTY_BITS / 64; i++)
        any |= ret_dirty[i] = mob_doorbell_take(bell, i);
    return any != 0;
}

/* -- actors ---------------------------------------------------------------------------------------------------------------- */

void actor_poke(struct actor *a)
{
    int64_t at = a->sim->now + 1 + (int64_t)sim_below(a->sim, 20 * SIM_US);

    if (a->kind == ACTOR_PROCESS && sim_chance(a->sim, 5))
        a->busy_until = at + (int64_t)sim_below(a->sim, 5 * SIM_MS);    /* it computes, and looks at its rings later */
    if (a->alive)
        turn_plan(a, at > a->busy_until ? at : a->busy_until);
}

void actor_init(struct sim *s, struct actor *a, enum actor_kind kind, struct host *host)
{
    a->sim = s;
    a->host = host;
    a->kind = kind;
    a->alive = true;
    turn_init(a);
    mob_list_init(&a->ends);
    world_init(&a->world);
    mob_list_append(&s->actors, &a->link);
}

void actor_die(struct actor *a, bool silently)
{
    a->alive = false;
    turn_forget(a);
    links_end(a, silently);
}

static bool page_is_dirty(const struct mob_page *page)
{
    for (unsigned i = 0; i < MOB_DIRTY_BITS / 64; i++) {
        if (atomic_load_explicit(&page->dirty[i], memory_order_relaxed) != 0)
            return true;
    }
    return false;
}

/* Doorbells ring within a host only. */
static void hear_doorbells(struct host *h)
{
    if (h->raylet != NULL && page_is_dirty(h->raylet->a.page))
        actor_poke(&h->raylet->a);
    for (size_t i = 0; i < h->living_count; i++)
        if (page_is_dirty(h->living[i].page))
            actor_poke(&h->living[i].process->a);
}

void host_join(struct host *h, struct process *p)
{
    mob_list_append(&h->processes, &p->by_host);
    if (h->living_count == h->living_room)
        h->living = mob_realloc(h->living, (h->living_room = 2 * h->living_room + 8) * sizeof *h->living);
    h->living[h->living_count++] = (struct living){ p->a.page, p };
}

void host_leave(struct host *h, const struct process *p)
{
    size_t i = 0;

    while (h->living[i].process != p)
        i++;
    h->living[i] = h->living[--h->living_count];
}

static bool is_frozen(const struct actor *a)
{
    return a->alive && a->host->frozen_until > a->sim->now;
}

static void run_turn(struct actor *a)
{
    int64_t due;

    if (is_frozen(a)) {
        turn_delay(a, a->host->frozen_until);
        return;
    }
    turn_forget(a);
    due = a->turn(a);
    if (a->alive)
        turn_plan(a, due > a->sim->now + SIM_US ? due : a->sim->now + SIM_US);
    hear_doorbells(a->host);
}

static void run_event(struct sim *s, struct event *e)
{
    struct actor *a = e->actor;

    if (a != NULL && is_frozen(a)) {
        event_delay(s, e, a->host->frozen_until);
        return;
    }
    if (a == NULL || a->alive) {
        e->run(e);
        if (a != NULL) {
            actor_poke(a);
            hear_doorbells(a->host);
        }
    }
    event_over(s, e);
}

bool sim_step(struct sim *s)
{
    struct event *e;
    struct actor *a;

    if (!queue_next(s, &e, &a))
        return false;
    s->steps++;
    s->stepped = a;
    if (e == NULL)
        run_turn(a);
    else
        run_event(s, e);
    return true;
}
