/* SPDX-License-Identifier: Apache-2.0 */
/* queue.c -- the virtual clock, and what comes next: events, and the turns of actors.
 *
 * Both are heaps of four children each; what is compared stands in them, so that no event or actor is looked at before its time. An actor
 * has one turn at most, which is often moved to be sooner: so the place of each in its heap is known. Of two that are due at the same
 * time the one that was planned first is first.
 */
#include "sim.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define CHILDREN 4u
#define EVENT_ROOM 192u                 /* for the bytes of most */
#define NO_TURN SIZE_MAX

static bool sooner(const struct sim_slot *a, const struct sim_slot *b)
{
    return a->at != b->at ? a->at < b->at : a->number < b->number;
}

static void make_room(struct sim_heap *h)
{
    if (h->count < h->room)
        return;
    h->room = h->room * 2 + 256;
    h->of = mob_realloc(h->of, h->room * sizeof *h->of);
}

static size_t first_child(const struct sim_heap *h, size_t i)
{
    size_t child = CHILDREN * i + 1, end = child + CHILDREN < h->count ? child + CHILDREN : h->count;

    for (size_t other = child + 1; other < end; other++)
        if (sooner(&h->of[other], &h->of[child]))
            child = other;
    return child;
}

/* -- events ---------------------------------------------------------------------------------------------------------------- */

static void event_put(struct sim *s, struct event *e, int64_t at)
{
    struct sim_heap *h = &s->events;
    struct sim_slot slot = { .at = at, .number = e->number, .event = e };
    size_t i = h->count;

    make_room(h);
    h->count++;
    for (; i > 0 && sooner(&slot, &h->of[(i - 1) / CHILDREN]); i = (i - 1) / CHILDREN)
        h->of[i] = h->of[(i - 1) / CHILDREN];
    h->of[i] = slot;
}

static struct event *event_take(struct sim *s)
{
    struct sim_heap *h = &s->events;
    struct event *first = h->of[0].event;
    struct sim_slot last = h->of[--h->count];
    size_t i = 0;

    while (CHILDREN * i + 1 < h->count) {
        size_t child = first_child(h, i);

        if (!sooner(&h->of[child], &last))
            break;
        h->of[i] = h->of[child];
        i = child;
    }
    h->of[i] = last;
    return first;
}

struct event *sim_after_with(struct sim *s, int64_t delay, struct actor *a, void (*run)(struct event *e), void *arg,
                             const void *bytes, size_t size)
{
    struct event *e = s->spare;

    if (e != NULL && size <= EVENT_ROOM)
        s->spare = e->arg;
    else
        e = mob_alloc(sizeof *e + (size > EVENT_ROOM ? size : EVENT_ROOM));
    e->n = 0;
    e->number = s->next_number++;
    e->actor = a;
    e->run = run;
    e->arg = arg;
    e->size = size;
    if (size > 0)
        memcpy(e->bytes, bytes, size);
    event_put(s, e, s->now + delay);
    return e;
}

struct event *sim_after(struct sim *s, int64_t delay, struct actor *a, void (*run)(struct event *e), void *arg)
{
    return sim_after_with(s, delay, a, run, arg, NULL, 0);
}

void event_delay(struct sim *s, struct event *e, int64_t at)
{
    event_put(s, e, at);                /* its number keeps the order */
}

void event_over(struct sim *s, struct event *e)
{
    if (e->size > EVENT_ROOM) {
        free(e);
        return;
    }
    e->arg = s->spare;
    s->spare = e;
}

/* -- turns ------------------------------------------------------------------------------------------------------------------ */

static void put(struct sim *s, size_t i, struct sim_slot slot)
{
    s->turns.of[i] = slot;
    s->turn_places[slot.actor_number] = i;
}

/* The turn goes to i, or where it belongs above or below. */
static void settle(struct sim *s, size_t i, struct sim_slot slot)
{
    struct sim_heap *h = &s->turns;
    size_t child;

    for (; i > 0 && sooner(&slot, &h->of[(i - 1) / CHILDREN]); i = (i - 1) / CHILDREN)
        put(s, i, h->of[(i - 1) / CHILDREN]);
    for (; CHILDREN * i + 1 < h->count && sooner(&h->of[child = first_child(h, i)], &slot); i = child)
        put(s, i, h->of[child]);
    put(s, i, slot);
}

void turn_init(struct actor *a)
{
    struct sim *s = a->sim;

    if (s->turn_count == s->turn_room)
        s->turn_places = mob_realloc(s->turn_places, (s->turn_room = 2 * s->turn_room + 64) * sizeof *s->turn_places);
    a->number = s->turn_count++;
    s->turn_places[a->number] = NO_TURN;
}

void turn_plan(struct actor *a, int64_t at)
{
    struct sim *s = a->sim;
    size_t place = s->turn_places[a->number];

    if (place == NO_TURN) {
        make_room(&s->turns);
        place = s->turns.count++;
    } else if (s->turns.of[place].at <= at) {
        return;
    }
    settle(s, place, (struct sim_slot){ .at = at, .number = s->next_number++, .actor = a, .actor_number = a->number });
}

void turn_delay(struct actor *a, int64_t at)
{
    struct sim *s = a->sim;
    size_t place = s->turn_places[a->number];
    struct sim_slot slot = s->turns.of[place];

    slot.at = at;
    settle(s, place, slot);
}

void turn_forget(struct actor *a)
{
    struct sim *s = a->sim;
    size_t place = s->turn_places[a->number];
    struct sim_slot last;

    if (place == NO_TURN)
        return;
    s->turn_places[a->number] = NO_TURN;
    last = s->turns.of[--s->turns.count];
    if (last.actor != a)
        settle(s, place, last);
}

/* -- what comes next -------------------------------------------------------------------------------------------------------- */

bool queue_next(struct sim *s, struct event **ret_event, struct actor **ret_actor)
{
    const struct sim_slot *event = s->events.count > 0 ? s->events.of : NULL, *turn = s->turns.count > 0 ? s->turns.of : NULL;

    if (event == NULL && turn == NULL)
        return false;
    if (turn != NULL && (event == NULL || sooner(turn, event))) {
        assert(turn->at >= s->now);
        s->now = turn->at;
        *ret_event = NULL;
        *ret_actor = turn->actor;
        return true;
    }
    assert(event->at >= s->now);
    s->now = event->at;
    *ret_event = event_take(s);
    *ret_actor = (*ret_event)->actor;
    return true;
}

void queue_fini(struct sim *s)
{
    for (size_t i = 0; i < s->events.count; i++)
        free(s->events.of[i].event);
    for (struct event *e = s->spare, *next; e != NULL; e = next) {
        next = e->arg;
        free(e);
    }
    free(s->events.of);
    free(s->turns.of);
    free(s->turn_places);
}
