/* SPDX-License-Identifier: Apache-2.0 */
/* move.c -- objects leave with their node for another one.
 *
 *   leaves                                  takes                          owner
 *     | Move ------------------------------->|                               |
 *     |             Fetch, by its own store  |                               |
 *     |                                      | Copies (last) --------------->|
 *     |<------------------------------ Moved |                               |
 *     | Copies (leaving, to) ----------------------------------------------->|
 *     |<------------------------------------------------------------- Free --|
 *
 *   NEW --> ASKED <--> THERE        NEW      waits a moment: its owner may not know yet that it exists; then for a node that takes it
 *             ^ v                   ASKED    waits for Moved; if none comes within ASKED_NS, it is asked again: a link may have been lost
 *           REFUSED                 THERE    waits for its owner's Free. An owner that has not heard of the other copy yet says nothing:
 *                                            so after THERE_NS the taker is asked again, tells the owner again, and then we do
 *                                   REFUSED  waits REFUSED_NS, and for a node that takes it
 *
 * A move is over when the object is not here any more, for whatever reason. Nothing is believed: the owner says Free when it knows another
 * place, and its word is the only one that ends a copy. At the taker the copy is as if it had been made there: it does not go for want of
 * room, but to the disk.
 */
#include "raylet/move.h"

#include <stdlib.h>

#include "raylet/core.h"

#define MOVES_MAX 1024                  /* under way */
#define COMING_MAX 4096                 /* taken at once */
#define BATCH_MAX 256                   /* objects in one message */
#define NEW_NS (100 * MS)
#define ASKED_NS (5000 * MS)
#define THERE_NS (200 * MS)
#define REFUSED_NS (500 * MS)

enum move_state { MOVE_NEW, MOVE_ASKED, MOVE_THERE, MOVE_REFUSED };

static const struct mob_state move_states[] = {
    [MOVE_NEW]     = { "new",     NULL, MOB_TO(MOVE_ASKED) },
    [MOVE_ASKED]   = { "asked",   NULL, MOB_TO(MOVE_THERE) | MOB_TO(MOVE_REFUSED) },
    [MOVE_THERE]   = { "there",   NULL, MOB_TO(MOVE_ASKED) },
    [MOVE_REFUSED] = { "refused", NULL, MOB_TO(MOVE_ASKED) },
};

struct move {
    struct mob_machine machine;
    struct mob_link link;               /* in moves.all */
    struct move *same_hash;
    struct mob_object_id id;
    struct mob_address job;
    uint64_t size;
    uint32_t to;                        /* who was asked last; 0: nobody */
    uint32_t refusals;                  /* one after the other */
    int64_t since;                      /* ns; in this state */
    bool here, to_ask;                  /* as of this look */
};

/* Asked of us by `from`. */
struct coming {
    struct mob_link link;               /* in moves.coming */
    struct mob_object_id id;
    struct mob_address job;
    uint64_t size;
    uint32_t from;
};

struct fact {
    struct mob_link link;
    struct mob_object_id id;
    uint64_t ticket;
    bool failed, kept;
};

static bool move_holds(const struct mob_machine *m)
{
    const struct move *move = MOB_CONTAINER(m, const struct move, machine);

    return m->now == MOVE_NEW || move->to != 0;
}

void mob_moves_init(struct mob_raylet *r)
{
    mob_list_init(&r->moves.all);
    mob_list_init(&r->moves.coming);
    mob_list_init(&r->moves.facts);
}

void mob_moves_fini(struct mob_raylet *r)
{
    struct coming *c;
    struct move *m;
    struct fact *f;

    mob_list_each(m, &r->moves.all, struct move, link)
        free(m);
    mob_list_each(c, &r->moves.coming, struct coming, link)
        free(c);
    mob_list_each(f, &r->moves.facts, struct fact, link)
        free(f);
    mob_map_fini(&r->moves.by_id);
}

/* -- which ----------------------------------------------------------------------------------------------------------------- */

static struct move *find(const struct mob_raylet *r, const struct mob_object_id *id)
{
    struct move *m = mob_map_get(&r->moves.by_id, mob_object_id_hash(id));

    while (m != NULL && !mob_object_id_eq(&m->id, id))
        m = m->same_hash;
    return m;
}

static struct move *begin(struct mob_raylet *r, const struct mob_object_id *id, uint64_t size, struct mob_address job)
{
    uint64_t hash = mob_object_id_hash(id);
    struct move *m = mob_new(struct move);

    m->id = *id;
    m->size = size;
    m->job = job;
    m->since = r->now;
    m->same_hash = mob_map_get(&r->moves.by_id, hash);
    mob_map_set(&r->moves.by_id, hash, m);
    mob_list_append(&r->moves.all, &m->link);
    mob_machine_init(&m->machine, "move", id->task, move_states, MOVE_NEW, move_holds);
    r->moves.count++;
    return m;
}

static void end(struct mob_raylet *r, struct move *m)
{
    uint64_t hash = mob_object_id_hash(&m->id);
    struct move *first = mob_map_get(&r->moves.by_id, hash), **at = &first;

    while (*at != m)
        at = &(*at)->same_hash;
    *at = m->same_hash;
    if (first != NULL)
        mob_map_set(&r->moves.by_id, hash, first);
    else
        mob_map_remove(&r->moves.by_id, hash);
    mob_list_remove(&m->link);
    r->moves.count--;
    free(m);
}

/* -- at the node that leaves ----------------------------------------------------------------------------------------------- */

void mob_moves_takers(struct mob_raylet *r, const Mobula__Drain *m)
{
    struct moves *ms = &r->moves;

    ms->taker_count = m->n_takers < MOVE_TAKERS_MAX ? m->n_takers : MOVE_TAKERS_MAX;
    for (size_t i = 0; i < ms->taker_count; i++)
        ms->takers[i] = (struct taker){ m->takers[i]->node, m->takers[i]->room };
}

/* Who was asked, unless it has refused: then the next one by number, so that each has its turn. Else the one with most room. NULL: there is
 * none. */
static struct taker *choose(struct mob_raylet *r, const struct move *m)
{
    bool refused = m->machine.now == MOVE_REFUSED;
    struct taker *best = NULL;

    for (size_t i = 0; i < r->moves.taker_count; i++) {
        struct taker *t = &r->moves.takers[i];
        const struct peer *peer = mob_route_peer(r, t->node);

        if (peer == NULL || !peer->is.alive)
            continue;
        if (t->node == m->to && !refused)
            return t;
        if (best == NULL || (refused ? t->node - m->to - 1 < best->node - m->to - 1 : t->room > best->room))
            best = t;
    }
    return best;
}

static bool is_due(const struct mob_raylet *r, const struct move *m)
{
    static const int64_t patience[] = {
        [MOVE_NEW] = NEW_NS, [MOVE_ASKED] = ASKED_NS, [MOVE_THERE] = THERE_NS, [MOVE_REFUSED] = REFUSED_NS,
    };

    return r->now - m->since >= patience[m->machine.now];
}

static void go(struct mob_raylet *r, struct move *m, enum move_state state)
{
    if (m->machine.now != state)
        mob_machine_goto(&m->machine, state);
    m->since = r->now;
}

static void ask(struct mob_raylet *r, struct move *m)
{
    struct taker *t = choose(r, m);

    if (t == NULL)
        return;
    if (t->node != m->to)
        t->room -= m->size < t->room ? m->size : t->room;
    m->to = t->node;
    m->to_ask = true;
    go(r, m, MOVE_ASKED);
}

static void say_move(struct mob_raylet *r, uint32_t node, struct move *const *list, size_t count)
{
    Mobula__Move m = MOBULA__MOVE__INIT;
    Mobula__Move__Item items[BATCH_MAX], *item_list[BATCH_MAX];
    Mobula__ObjectId ids[BATCH_MAX];
    Mobula__Address jobs[BATCH_MAX];
    struct mob_envelope e;

    for (size_t i = 0; i < count; i++) {
        mobula__move__item__init(item_list[i] = &items[i]);
        mob_wire_put_object(&ids[i], &list[i]->id);
        mob_wire_put_address(&jobs[i], list[i]->job);
        items[i].object = &ids[i];
        items[i].size = list[i]->size;
        items[i].job = &jobs[i];
    }
    m.items = item_list;
    m.n_items = count;
    mob_envelope_init(&e, r->self, (struct mob_address){ node, 0 }, MOBULA__ENVELOPE__BODY_MOVE);
    e.e.move = &m;
    mob_route_send(r, &e.e);            /* a link that is lost: it is asked again */
}

static void ask_taker(struct mob_raylet *r, uint32_t node)
{
    struct move *batch[BATCH_MAX], *m;
    size_t count = 0;

    mob_list_each(m, &r->moves.all, struct move, link) {
        if (!m->to_ask || m->to != node)
            continue;
        m->to_ask = false;
        batch[count++] = m;
        if (count == BATCH_MAX) {
            say_move(r, node, batch, count);
            count = 0;
        }
    }
    if (count > 0)
        say_move(r, node, batch, count);
}

struct look {
    struct mob_raylet *r;
    struct drain_left *left;
};

static void see(void *arg, const struct mob_object_id *id, uint64_t size, struct mob_address job)
{
    struct look *look = arg;
    struct move *m = find(look->r, id);

    look->left->objects++;
    look->left->bytes += size;
    if (m == NULL && look->r->moves.count < MOVES_MAX)
        m = begin(look->r, id, size, job);
    if (m != NULL)
        m->here = true;
}

void mob_moves_look(struct mob_raylet *r, struct drain_left *ret)
{
    struct look look = { r, ret };
    struct move *m;

    mob_list_each(m, &r->moves.all, struct move, link)
        m->here = false;
    mob_store_each_primary(r->config.store, see, &look);
    mob_list_each(m, &r->moves.all, struct move, link) {
        if (!m->here)
            end(r, m);
        else if (is_due(r, m))
            ask(r, m);
    }
    mob_list_each(m, &r->moves.all, struct move, link)
        ret->refused += m->refusals >= r->moves.taker_count;
    for (size_t i = 0; i < r->moves.taker_count; i++)
        ask_taker(r, r->moves.takers[i].node);
}

/* Those of `list` that are one owner's, from the first on that was not told yet. Returns how many were. */
static size_t tell_owner(struct mob_raylet *r, struct move **list, size_t count, uint32_t to)
{
    Mobula__Copies m = MOBULA__COPIES__INIT;
    Mobula__ObjectId ids[BATCH_MAX], *id_list[BATCH_MAX];
    struct mob_address owner = { list[0]->id.node, list[0]->id.process };
    struct mob_envelope e;
    size_t told = 0;

    for (size_t i = 0; i < count; i++) {
        struct move *one = list[i];

        if (one->id.node != owner.node || one->id.process != owner.process)
            continue;
        mob_wire_put_object(id_list[told] = &ids[told], &one->id);
        list[i] = list[told];
        list[told++] = one;
    }
    m.leaving = id_list;
    m.n_leaving = told;
    m.to = to;
    mob_envelope_init(&e, r->self, owner, MOBULA__ENVELOPE__BODY_COPIES);
    e.e.copies = &m;
    mob_route_send(r, &e.e);
    return told;
}

static void note_moved(struct mob_raylet *r, uint32_t from, Mobula__ObjectId *const *ids, size_t count)
{
    struct move *there[BATCH_MAX];
    size_t n = 0;

    for (size_t i = 0; i < count && n < BATCH_MAX; i++) {
        struct mob_object_id id = mob_wire_object(ids[i]);
        struct move *m = find(r, &id);

        if (m == NULL || m->to != from || m->machine.now != MOVE_ASKED)
            continue;
        m->refusals = 0;
        go(r, m, MOVE_THERE);
        there[n++] = m;
    }
    for (size_t at = 0; at < n;)
        at += tell_owner(r, there + at, n - at, from);
}

void mob_move_on_moved(struct mob_raylet *r, const struct arrival *a)
{
    const Mobula__Moved *m = a->e->moved;

    note_moved(r, a->from.node, m->here, m->n_here);
    for (size_t i = 0; i < m->n_failed; i++) {
        struct mob_object_id id = mob_wire_object(m->failed[i]);
        struct move *move = find(r, &id);

        if (move == NULL || move->to != a->from.node || move->machine.now != MOVE_ASKED)
            continue;
        move->refusals++;
        go(r, move, MOVE_REFUSED);
    }
}

/* -- at the node that takes ------------------------------------------------------------------------------------------------ */

static void say_moved(struct mob_raylet *r, uint32_t node, const struct mob_object_id *id, bool here)
{
    Mobula__Moved m = MOBULA__MOVED__INIT;
    Mobula__ObjectId object, *list[] = { &object };
    struct mob_envelope e;

    mob_wire_put_object(&object, id);
    m.here = m.failed = list;
    m.n_here = here;
    m.n_failed = !here;
    mob_envelope_init(&e, r->self, (struct mob_address){ node, 0 }, MOBULA__ENVELOPE__BODY_MOVED);
    e.e.moved = &m;
    mob_route_send(r, &e.e);
}

static bool is_owner_gone(const struct mob_raylet *r, const struct mob_object_id *id)
{
    if (id->node == r->self.node)
        return mob_process_find(r, id->process) == NULL;
    return mob_raylet_reach(r, id->node) == MOB_REACH_DEAD;
}

/* It is here. Its owner is told first, for it is to know of this copy when it hears that the other one goes. An owner that is known to be
 * gone needs it no more; who gives it learns the same from the head, or when it tells that owner. */
static bool adopt(struct mob_raylet *r, const struct mob_object_id *id, uint32_t from)
{
    if (is_owner_gone(r, id))
        mob_store_owner_gone(r->config.store, (struct mob_address){ id->node, id->process });
    else if (mob_store_adopt(r->config.store, id))
        mob_store_flush(r->config.store);
    else
        return false;
    say_moved(r, from, id, true);
    return true;
}

static void fetch(struct mob_raylet *r, const struct coming *c)
{
    Mobula__Fetch m = MOBULA__FETCH__INIT;

    m.size = c->size;
    m.node = c->from;
    m.priority = MOBULA__FETCH__PRIORITY__WAIT;
    mob_stage_fetch(r, &c->id, c->job, &m);
}

static bool is_coming(const struct mob_raylet *r, const struct mob_object_id *id, uint32_t from)
{
    const struct coming *c;

    mob_list_each(c, &r->moves.coming, const struct coming, link)
        if ((from == 0 || c->from == from) && mob_object_id_eq(&c->id, id))
            return true;
    return false;
}

static void take(struct mob_raylet *r, uint32_t from, const Mobula__Move__Item *item)
{
    struct mob_object_id id = mob_wire_object(item->object);
    struct coming *c;

    if (r->config.store == NULL || r->drain.on || r->moves.coming_count == COMING_MAX) {
        say_moved(r, from, &id, false);
        return;
    }
    if (is_coming(r, &id, from) || adopt(r, &id, from))
        return;
    c = mob_new(struct coming);
    c->id = id;
    c->size = item->size;
    c->job = mob_wire_address(item->job);
    c->from = from;
    mob_list_append(&r->moves.coming, &c->link);
    r->moves.coming_count++;
    fetch(r, c);
}

void mob_move_on_move(struct mob_raylet *r, const struct arrival *a)
{
    for (size_t i = 0; a->from.process == 0 && i < a->e->move->n_items; i++)
        take(r, a->from.node, a->e->move->items[i]);
}

void mob_move_fetched(struct mob_raylet *r, const Mobula__Fetched *m)
{
    struct mob_object_id id = mob_wire_object(m->object);
    struct fact *f;

    if (!is_coming(r, &id, 0))
        return;
    f = mob_new(struct fact);
    f->id = id;
    f->failed = m->error != NULL;
    f->kept = !f->failed && mob_store_keep(r->config.store, &id, &f->ticket);
    mob_list_append(&r->moves.facts, &f->link);
}

/* All who asked for it. One that was evicted again before we could keep it is fetched once more. */
static void look_at(struct mob_raylet *r, const struct fact *f)
{
    struct coming *c;

    mob_list_each(c, &r->moves.coming, struct coming, link) {
        if (!mob_object_id_eq(&c->id, &f->id))
            continue;
        if (f->failed) {
            say_moved(r, c->from, &c->id, false);
        } else if (!adopt(r, &c->id, c->from)) {
            fetch(r, c);
            continue;
        }
        mob_list_remove(&c->link);
        r->moves.coming_count--;
        free(c);
    }
}

void mob_moves_tick(struct mob_raylet *r)
{
    while (!mob_list_empty(&r->moves.facts)) {
        struct fact *f = mob_list_first(&r->moves.facts, struct fact, link);

        mob_list_remove(&f->link);
        look_at(r, f);
        if (f->kept)
            mob_store_serve_done(r->config.store, f->ticket);
        free(f);
    }
}
