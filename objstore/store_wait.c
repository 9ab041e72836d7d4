/* SPDX-License-Identifier: Apache-2.0 */
/* store_wait.c -- who waits for room, in what order they get it, and when they are told that they will not.
 *
 * An ask is a Create, or the restoring of an object that somebody fetches. What fits is served at once. Else it waits, the oldest
 * first; a younger one that fits may overtake, until as many bytes have overtaken an ask as it wants itself: then nothing passes it
 * any more. So a huge one does not hold up small ones, and is not starved by them.
 *
 * Room comes when objects are freed or unpinned, when transfers end, and from the disk (store_spill.c), which is asked for as much as
 * the oldest ask needs. mob_store_settle() ends each fact; a look each tick finds the pins that went without a message. Whom the disk
 * does not help either gets a berth in the overflow (store_overflow.c), the oldest first; who has one on its way holds nobody up.
 *
 * An ask larger than the store is refused at once. When no room has come for a while the others are, the oldest first, until those behind
 * it find room:
 *   grace      if nobody is left who could give some: all that fills the store is pinned or being made by processes that wait here
 *              themselves, or can be written nowhere
 *   patience   in any case, as we cannot see whether a process that holds a view will ever let it go. So are pulls that wait for room: the
 *              one whose turn is last, then after each grace without room the next
 * Processes that hold half-made objects and wait for more may wait for each other. So of these the youngest alone is refused first:
 * its failure gives room to the rest.
 *
 * Whoever was refused leaves the store *full*: until there would be room for as much as it wanted, and a fifth of all, and FULL_NS have
 * passed. The raylet keeps work away that may be done elsewhere meanwhile (raylet/full.c).
 */
#include <stdlib.h>

#include "common/error.h"
#include "objstore/store_private.h"

#define GRACE_NS INT64_C(2000000000)
#define PATIENCE_NS INT64_C(60000000000)
#define FULL_NS INT64_C(5000000000)
#define FULL_SHARE 5                    /* one in so many bytes is to be free at its end */
#define OVERTAKEN_MIN (UINT64_C(1) << 20)
#define LOOKS 256                       /* asks behind the oldest that are tried when room came */

static uint64_t size_of(const struct ask *a)
{
    return a->object != NULL ? a->object->size : a->size;
}

static const struct mob_object_id *id_of(const struct ask *a)
{
    return a->object != NULL ? &a->object->id : &a->id;
}

static void remove_ask(struct mob_store *s, struct ask *a)
{
    mob_overflow_forget(&a->berth);
    mob_list_remove(&a->link);
    s->asks.count--;
    if (a->object != NULL)
        a->object->ask = NULL;
    free(a);
}

/* True: served, or nobody waits for it any more. */
static bool try(struct mob_store *s, const struct ask *a, bool evict)
{
    struct object *o = a->object;

    if (o != NULL) {
        if (mob_list_empty(&o->waiters))
            return true;
        o->ask = NULL;                  /* a RESTORING object has none: back again if it finds no room */
        if (mob_object_place(o, evict)) {
            mob_spill_read(o);
            return true;
        }
        o->ask = (struct ask *)a;
        return false;
    }
    if ((s->overflow.ready == NULL && !mob_spill_leaves_room(s, a->size))
        || (o = mob_object_try(s, &a->id, a->size, OBJECT_CREATED, a->process, evict)) == NULL)
        return false;
    o->job = mob_client_job(s, a->process);
    o->attempt = a->attempt;
    mob_answer_created(s, a->process, &a->id, o, NULL);
    return true;
}

/* No room has come for so much: the error is that of this node, and others may have room. */
static void note_full(struct mob_store *s, uint64_t size, struct mob_error *err)
{
    uint64_t needs = size > 0 ? size : 1;

    err->user_code = MOB_NO_SPACE_HERE;
    s->full.needs = needs > s->full.needs ? needs : s->full.needs;
    s->full.look_at = 0;
}

static void refuse(struct mob_store *s, struct ask *a)
{
    struct object *o = a->object;
    struct mob_error err;

    mob_room_refuse(s, id_of(a), size_of(a), true, &err);
    note_full(s, size_of(a), &err);
    if (o != NULL)
        mob_fetch_answer_all(o, NULL, &err);
    else
        mob_answer_created(s, a->process, &a->id, NULL, &err);
    remove_ask(s, a);
}

/* May `a` go past those that are older? A process's asks for one id keep their order: it tells the answers apart by the id. */
static bool may_overtake(const struct mob_store *s, const struct ask *a)
{
    const struct ask *older;
    unsigned looks = 0;

    mob_list_each(older, &s->asks.list, const struct ask, link) {
        uint64_t limit = size_of(older) > OVERTAKEN_MIN ? size_of(older) : OVERTAKEN_MIN;

        if (older == a)
            return true;
        if (++looks > LOOKS || (older->overtaken >= limit && older->berth == NULL)
            || (older->process == a->process && mob_object_id_eq(id_of(older), id_of(a))))
            return false;
    }
    return true;
}

static void note_overtaken(struct mob_store *s, const struct ask *by)
{
    uint64_t size = size_of(by);
    struct ask *older;

    mob_list_each(older, &s->asks.list, struct ask, link) {
        if (older == by)
            return;
        older->overtaken += size > 0 ? size : 1;
    }
}

static void serve(struct mob_store *s)
{
    struct ask *a;
    unsigned looks = 0;
    bool oldest = true;

    mob_list_each(a, &s->asks.list, struct ask, link) {
        if (a->berth != NULL)
            continue;
        if (!oldest && (++looks > LOOKS || !may_overtake(s, a)))
            return;
        if (try(s, a, oldest)) {
            note_overtaken(s, a);
            remove_ask(s, a);
        } else {
            oldest = false;
        }
    }
}

static void ask(struct mob_store *s, struct ask *a)
{
    bool first = s->asks.count == 0;

    if (may_overtake(s, a) && try(s, a, first)) {
        note_overtaken(s, a);
        if (a->object != NULL)
            a->object->ask = NULL;
        free(a);
        return;
    }
    mob_list_append(&s->asks.list, &a->link);
    s->asks.count++;
}

void mob_wait_create(struct mob_store *s, uint32_t process, const struct mob_object_id *id, const Mobula__Create *m)
{
    struct mob_error err;
    struct ask *a;

    if (mob_room_check(s, id, m->size, m->behind, &err) < 0) {
        mob_answer_created(s, process, id, NULL, &err);
        return;
    }
    a = mob_new(struct ask);
    *a = (struct ask){ .process = process, .attempt = m->attempt, .id = *id, .size = m->size };
    mob_list_init(&a->link);
    ask(s, a);
}

void mob_wait_restore(struct object *o)
{
    struct ask *a;

    if (o->m.now != OBJECT_SPILLED || o->ask != NULL)
        return;
    a = mob_new(struct ask);
    *a = (struct ask){ .object = o };
    mob_list_init(&a->link);
    o->ask = a;
    ask(o->store, a);
}

void mob_wait_cancel(struct object *o)
{
    remove_ask(o->store, o->ask);
}

void mob_wait_forget(struct mob_store *s, uint32_t process)
{
    struct ask *a;

    mob_list_each(a, &s->asks.list, struct ask, link)
        if (a->object == NULL && a->process == process)
            remove_ask(s, a);
}

uint64_t mob_wait_needs(const struct mob_store *s)
{
    const struct ask *a;

    mob_list_each(a, &s->asks.list, const struct ask, link)
        if (a->berth == NULL)
            return size_of(a) > 0 ? size_of(a) : 1;
    return 0;
}

void mob_store_settle(struct mob_store *s)
{
    if (s->asks.room_came && s->asks.count > 0) {
        s->asks.room_came = false;
        serve(s);
    }
    mob_pulls_settle(s);
    mob_spill_pump(s);
}

/* -- a place in the overflow --------------------------------------------------------------------------------------------- */

void mob_wait_overflow(struct mob_store *s, int64_t now_ns)
{
    uint64_t left = mob_alloc_size(s->alloc) / BERTHED_SHARE;
    unsigned berths = 0;
    struct ask *a;

    mob_list_each(a, &s->asks.list, struct ask, link) {
        if (a->since == 0)
            a->since = now_ns;
        if (a->berth != NULL)
            continue;
        if (now_ns - a->since < BERTH_NS || berths == BERTHS_AT_ONCE || (berths > 0 && size_of(a) > left) || !may_overtake(s, a))
            return;
        if (try(s, a, true)) {          /* it is the oldest of those without one */
            note_overtaken(s, a);
            remove_ask(s, a);
            continue;
        }
        if (mob_overflow_refuses(s, size_of(a)))
            continue;
        if ((a->berth = mob_overflow_reserve(s, size_of(a))) == NULL)
            return;
        a->berth->ask = a;
        left -= size_of(a) < left ? size_of(a) : left;
        berths++;
    }
}

void mob_wait_berthed(struct mob_store *s, struct ask *a)
{
    mob_overflow_forget(&a->berth);
    if (s->overflow.ready != NULL && try(s, a, false)) {
        note_overtaken(s, a);
        remove_ask(s, a);
    }
}

/* -- when no room comes -------------------------------------------------------------------------------------------------- */

static bool is_among(const struct mob_link *waiters, uint32_t process)
{
    const struct waiter *w;

    mob_list_each(w, waiters, const struct waiter, link)
        if (w->process == process)
            return true;
    return false;
}

/* For room to write, or for something to come back. */
static bool asks_here(const struct mob_store *s, uint32_t process)
{
    const struct ask *a;

    mob_list_each(a, &s->asks.list, const struct ask, link)
        if (a->object != NULL ? is_among(&a->object->waiters, process) : a->process == process)
            return true;
    return false;
}

/* Does somebody hold room that he may give back without getting any before? */
static bool may_come(struct mob_store *s)
{
    struct object *o;

    if (mob_spill_helps(s) || s->overflow.moving > 0 || s->count[OBJECT_PULLING] + s->count[OBJECT_DISCARDED] > 0)
        return true;
    mob_room_look(s);
    mob_list_each(o, &s->all, struct object, all) {
        bool written = o->m.now == OBJECT_CREATED || o->m.now == OBJECT_UNWANTED;
        uint32_t holder = written ? o->maker : mob_room_seen_pinned(o) ? o->pin_process : 0;

        if (holder != 0 ? !asks_here(s, holder) : o->serving + o->lent > 0)
            return true;                /* who asks holds it, whoever else does, as who staged it for its task */
    }
    return false;
}

static bool holds_half_made(const struct mob_store *s, uint32_t process)
{
    const struct object *o;

    mob_list_each(o, &s->all, const struct object, all)
        if (o->m.now == OBJECT_CREATED && o->maker == process)
            return true;
    return false;
}

/* Of the pulls that wait for room the one whose turn is last. NULL: there is none, or room may come as others move. */
static struct pull *last_pull(const struct mob_store *s)
{
    if (s->pulls.waiting_count == 0 || s->loans.count > 0 || s->spill.reads > 0
        || s->count[OBJECT_PULLING] + s->count[OBJECT_DISCARDED] > 0)
        return NULL;
    for (unsigned i = 0; i < PRIORITIES; i++)
        if (!mob_list_empty(&s->pulls.waiting[i]))
            return MOB_CONTAINER(s->pulls.waiting[i].prev, struct pull, link);
    return NULL;
}

static void refuse_pull(struct mob_store *s, struct pull *p)
{
    struct mob_error err;

    mob_room_refuse(s, &p->id, p->size, true, &err);
    note_full(s, p->size, &err);
    mob_pull_end(p, NULL, &err);
}

/* The youngest of those that hold what others may wait for; or, if there is none, the oldest, until those behind it find room. */
static void give_up(struct mob_store *s)
{
    struct ask *a;

    for (struct mob_link *at = s->asks.list.prev; at != &s->asks.list; at = at->prev) {
        a = MOB_CONTAINER(at, struct ask, link);
        if (a->object == NULL && holds_half_made(s, a->process)) {
            refuse(s, a);
            return;
        }
    }
    while (s->asks.count > 0) {
        refuse(s, mob_list_first(&s->asks.list, struct ask, link));
        serve(s);
    }
}

/* Is there room again for who was refused, and some more? */
static void look_at_full(struct mob_store *s, int64_t now_ns)
{
    uint64_t all = mob_alloc_size(s->alloc), stays = mob_alloc_used(s->alloc) - s->pages.kept - s->evictable_bytes;
    uint64_t room = s->full.needs > all / FULL_SHARE ? s->full.needs : all / FULL_SHARE;

    if (s->full.needs == 0)
        return;
    if (s->full.look_at == 0)
        s->full.look_at = now_ns + FULL_NS;
    if (now_ns >= s->full.look_at && stays <= all - room && mob_spill_leaves_room(s, s->full.needs))
        s->full.needs = 0;
}

void mob_wait_tick(struct mob_store *s, int64_t now_ns)
{
    int64_t grace = s->config.grace_ns > 0 ? s->config.grace_ns : GRACE_NS;
    int64_t patience = s->config.patience_ns > 0 ? s->config.patience_ns : PATIENCE_NS;
    struct pull *pull;
    int64_t waited;

    look_at_full(s, now_ns);
    if (s->asks.count > 0)
        serve(s);
    mob_spill_pump(s);                  /* what it finds to write is what may help */
    pull = last_pull(s);
    if ((s->asks.count == 0 && pull == NULL) || s->asks.gifts != s->asks.gifts_seen || s->asks.stuck_since == 0) {
        s->asks.gifts_seen = s->asks.gifts;
        s->asks.stuck_since = now_ns;
        return;
    }
    waited = now_ns - s->asks.stuck_since;
    if (waited < grace || (waited < patience && (s->asks.count == 0 || may_come(s))))
        return;
    give_up(s);
    s->asks.stuck_since = now_ns;
    if (pull == NULL || waited < patience)
        return;
    refuse_pull(s, pull);
    s->asks.stuck_since -= patience - grace;        /* what its end gives up may be enough for the next */
}
