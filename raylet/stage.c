/* SPDX-License-Identifier: Apache-2.0 */
/* stage.c -- the stored arguments of one task, from Stage to Unstage (docs/protocol.md, Staging).
 *
 *   WAITING --> COMING --> HERE          from each: OVER, by Unstage or the end of the owner
 *
 *   WAITING   for room: what is staged fills at most STAGED_SHARE of the store, all of a task's arguments or none; first come, first
 *             served. One that is larger than that waits until it is alone.
 *   COMING    the store fetches what is missing; each that came is kept from being evicted at once
 *   HERE      the owner was told Staged. Also if one could not be had: the worker then asks for it, and its owner learns the reason.
 *             Where one found no room, Staged says that, too: such a node asks its leases back (full.c)
 *
 * The store answers while it is being asked; so its answers are noted, and looked at by the next tick. What they name is kept at once:
 * else it could make room for the next one before that tick, and be brought here again and again.
 */
#include "raylet/stage.h"

#include <stdlib.h>

#include "raylet/core.h"

#define STAGED_SHARE(size) ((size) / 10 * 7)

enum stage_state { STAGE_WAITING, STAGE_COMING, STAGE_HERE, STAGE_OVER };

static const struct mob_state stage_states[] = {
    [STAGE_WAITING] = { "waiting", NULL, MOB_TO(STAGE_COMING) | MOB_TO(STAGE_OVER) },
    [STAGE_COMING]  = { "coming",  NULL, MOB_TO(STAGE_HERE) | MOB_TO(STAGE_OVER) },
    [STAGE_HERE]    = { "here",    NULL, MOB_TO(STAGE_OVER) },
    [STAGE_OVER]    = { "over",    NULL, 0 },
};

struct item {
    struct mob_object_id id;
    uint64_t size, ticket;              /* ticket: the store keeps it for us */
    uint32_t *nodes;                    /* have copies */
    size_t node_count;
    bool asked, kept;
};

struct stage {
    struct mob_machine machine;
    struct mob_link link;               /* in stages.waiting, coming or here */
    struct stage *same_key;
    struct mob_address owner, job;
    uint64_t task, bytes;
    uint32_t number;
    size_t count, missing;
    struct mob_error *no_room;          /* NULL, or why an argument was refused room */
    struct item items[];
};

struct fact {
    struct mob_link link;
    struct mob_object_id id;
    uint64_t ticket;                    /* ours, if `kept`: it must not go before it was looked at */
    bool kept;
    struct mob_error why;               /* MOB_OK: it is here */
};

static bool stage_holds(const struct mob_machine *m)
{
    const struct stage *st = MOB_CONTAINER(m, const struct stage, machine);

    return m->now == STAGE_COMING || m->now == STAGE_OVER || st->missing == (m->now == STAGE_HERE ? 0 : st->count);
}

static void stage_free(struct stage *st)
{
    for (size_t i = 0; i < st->count; i++)
        free(st->items[i].nodes);
    free(st->no_room);
    free(st);
}

void mob_stages_init(struct mob_raylet *r)
{
    mob_list_init(&r->stages.waiting);
    mob_list_init(&r->stages.coming);
    mob_list_init(&r->stages.here);
    mob_list_init(&r->stages.facts);
}

void mob_stages_fini(struct mob_raylet *r)
{
    struct stage *st, *next;
    struct fact *f;

    for (size_t at = 0; (st = mob_map_next(&r->stages.by_task, &at, NULL)) != NULL;)
        for (; st != NULL; st = next) {
            next = st->same_key;
            stage_free(st);
        }
    mob_map_fini(&r->stages.by_task);
    mob_list_each(f, &r->stages.facts, struct fact, link)
        free(f);
}

/* -- which ------------------------------------------------------------------------------------------------------------------- */

static uint64_t key_of(struct mob_address owner, uint64_t task)
{
    return mob_address_key(owner) * UINT64_C(0x9e3779b97f4a7c15) ^ task;
}

static struct stage *find(const struct mob_raylet *r, struct mob_address owner, uint64_t task)
{
    struct stage *st = mob_map_get(&r->stages.by_task, key_of(owner, task));

    while (st != NULL && !(st->task == task && mob_address_eq(st->owner, owner)))
        st = st->same_key;
    return st;
}

static void over(struct mob_raylet *r, struct stage *st)
{
    uint64_t key = key_of(st->owner, st->task);
    struct stage *first = mob_map_get(&r->stages.by_task, key), **at = &first;

    if (st->machine.now != STAGE_WAITING)
        r->stages.bytes -= st->bytes;
    for (size_t i = 0; i < st->count; i++)
        if (st->items[i].kept)
            mob_store_serve_done(r->config.store, st->items[i].ticket);
    mob_machine_goto(&st->machine, STAGE_OVER);
    while (*at != st)
        at = &(*at)->same_key;
    *at = st->same_key;
    if (first != NULL)
        mob_map_set(&r->stages.by_task, key, first);
    else
        mob_map_remove(&r->stages.by_task, key);
    mob_list_remove(&st->link);
    stage_free(st);
}

/* -- the steps, in the order of life ------------------------------------------------------------------------------------- */

static void say_staged(struct mob_raylet *r, struct mob_address owner, uint64_t task, uint32_t number, const struct mob_error *no_room)
{
    Mobula__Staged m = MOBULA__STAGED__INIT;
    Mobula__Error error;
    struct mob_envelope e;

    m.task = task;
    m.number = number;
    if (no_room != NULL) {
        mob_wire_put_error(&error, no_room);
        m.no_room = &error;
    }
    mob_envelope_init(&e, r->self, owner, MOBULA__ENVELOPE__BODY_STAGED);
    e.e.staged = &m;
    mob_route_send(r, &e.e);
}

static struct stage *stage_create(struct mob_address owner, const Mobula__Stage *m)
{
    struct stage *st = mob_alloc(sizeof *st + m->n_items * sizeof st->items[0]);

    st->owner = owner;
    st->job = mob_wire_address(m->job);
    st->task = m->task;
    st->number = m->number;
    st->no_room = NULL;
    st->count = st->missing = m->n_items;
    for (size_t i = 0; i < m->n_items; i++) {
        const Mobula__Stage__Item *from = m->items[i];
        struct item *item = &st->items[i];

        item->id = mob_wire_object(from->object);
        item->size = from->size;
        item->node_count = from->n_nodes;
        item->nodes = mob_alloc((from->n_nodes + 1) * sizeof item->nodes[0]);
        for (size_t j = 0; j < from->n_nodes; j++)
            item->nodes[j] = from->nodes[j];
        st->bytes += item->size < MOB_OBJECT_MAX ? item->size : MOB_OBJECT_MAX;
    }
    mob_machine_init(&st->machine, "stage", st->task, stage_states, STAGE_WAITING, stage_holds);
    return st;
}

void mob_stage_on_stage(struct mob_raylet *r, const struct arrival *a)
{
    const Mobula__Stage *m = a->e->stage;
    struct stage *st = find(r, a->from, m->task);
    uint64_t key = key_of(a->from, m->task);

    if (st != NULL)
        over(r, st);                    /* its Unstage was lost with a link */
    if (r->config.store == NULL || m->n_items == 0) {
        say_staged(r, a->from, m->task, m->number, NULL);
        return;
    }
    st = stage_create(a->from, m);
    st->same_key = mob_map_get(&r->stages.by_task, key);
    mob_map_set(&r->stages.by_task, key, st);
    mob_list_append(&r->stages.waiting, &st->link);
}

void mob_stage_on_unstage(struct mob_raylet *r, const struct arrival *a)
{
    struct stage *st = find(r, a->from, a->e->unstage->task);

    if (st != NULL)
        over(r, st);
}

void mob_stage_fetch(struct mob_raylet *r, const struct mob_object_id *id, struct mob_address job, Mobula__Fetch *m)
{
    Mobula__ObjectId object;
    Mobula__Address address;
    struct mob_envelope e;

    mob_wire_put_object(&object, id);
    mob_wire_put_address(&address, job);
    m->object = &object;
    m->job = &address;
    mob_envelope_init(&e, r->self, r->self, MOBULA__ENVELOPE__BODY_FETCH);
    e.e.fetch = m;
    mob_store_receive(r->config.store, 0, &e.e);
}

static void fetch(struct mob_raylet *r, const struct stage *st, struct item *item)
{
    Mobula__Fetch m = MOBULA__FETCH__INIT;

    m.size = item->size;
    m.node = item->node_count > 0 ? item->nodes[0] : 0;
    m.copies = item->nodes;
    m.n_copies = item->node_count;
    item->asked = true;
    mob_stage_fetch(r, &item->id, st->job, &m);
}

static void start_those_that_fit(struct mob_raylet *r)
{
    uint64_t share = STAGED_SHARE(mob_store_usage(r->config.store).size);

    while (!mob_list_empty(&r->stages.waiting)) {
        struct stage *st = mob_list_first(&r->stages.waiting, struct stage, link);

        if (r->stages.bytes > 0 && (st->bytes > share || r->stages.bytes > share - st->bytes))
            return;
        r->stages.bytes += st->bytes;
        mob_list_remove(&st->link);
        mob_list_append(&r->stages.coming, &st->link);
        mob_machine_goto(&st->machine, STAGE_COMING);
        for (size_t i = 0; i < st->count; i++)
            fetch(r, st, &st->items[i]);
    }
}

void mob_stage_fetched(struct mob_raylet *r, const Mobula__Fetched *m)
{
    struct fact *f = mob_new(struct fact);

    f->id = mob_wire_object(m->object);
    if (m->error != NULL)
        mob_wire_error(m->error, &f->why);
    f->kept = m->error == NULL && mob_store_keep(r->config.store, &f->id, &f->ticket);
    mob_list_append(&r->stages.facts, &f->link);
}

/* It is here, or cannot be had. One that was evicted again before we could keep it is asked for once more. */
static void note(struct mob_raylet *r, struct stage *st, struct item *item, const struct mob_error *why)
{
    bool failed = why->code != MOB_OK;

    item->asked = false;
    if (why->code == MOB_ERR_NO_SPACE && st->no_room == NULL) {
        st->no_room = mob_new(struct mob_error);
        *st->no_room = *why;
    }
    if (!failed)
        item->kept = mob_store_keep(r->config.store, &item->id, &item->ticket);
    if (!failed && !item->kept)
        fetch(r, st, item);
    else
        st->missing--;
}

/* All who asked for it: the store answers each, and the first answer serves all. */
static void look_at(struct mob_raylet *r, const struct fact *f)
{
    struct stage *st;

    mob_list_each(st, &r->stages.coming, struct stage, link)
        for (size_t i = 0; i < st->count; i++)
            if (st->items[i].asked && mob_object_id_eq(&st->items[i].id, &f->id))
                note(r, st, &st->items[i], &f->why);
}

static void tell_those_that_are_here(struct mob_raylet *r)
{
    struct stage *st;

    mob_list_each(st, &r->stages.coming, struct stage, link) {
        if (st->missing > 0)
            continue;
        mob_list_remove(&st->link);
        mob_list_append(&r->stages.here, &st->link);
        mob_machine_goto(&st->machine, STAGE_HERE);
        say_staged(r, st->owner, st->task, st->number, st->no_room);
    }
}

void mob_stages_tick(struct mob_raylet *r)
{
    if (r->config.store == NULL)
        return;
    start_those_that_fit(r);
    while (!mob_list_empty(&r->stages.facts)) {
        struct fact *f = mob_list_first(&r->stages.facts, struct fact, link);

        mob_list_remove(&f->link);
        look_at(r, f);
        if (f->kept)
            mob_store_serve_done(r->config.store, f->ticket);
        free(f);
    }
    tell_those_that_are_here(r);
}

/* -- the end ----------------------------------------------------------------------------------------------------------------- */

static void end_of(struct mob_raylet *r, struct mob_link *list, struct mob_address owner)
{
    struct stage *st;

    mob_list_each(st, list, struct stage, link)
        if (st->owner.node == owner.node && (owner.process == 0 || st->owner.process == owner.process))
            over(r, st);
}

void mob_stages_owner_gone(struct mob_raylet *r, struct mob_address owner)
{
    end_of(r, &r->stages.waiting, owner);
    end_of(r, &r->stages.coming, owner);
    end_of(r, &r->stages.here, owner);
}

void mob_stages_check(const struct mob_raylet *r)
{
    const struct stage *st;
    uint64_t bytes = 0;

    mob_list_each(st, &r->stages.coming, const struct stage, link)
        bytes += st->bytes;
    mob_list_each(st, &r->stages.here, const struct stage, link)
        bytes += st->bytes;
    assert(bytes == r->stages.bytes);
}
