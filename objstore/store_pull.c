/* SPDX-License-Identifier: Apache-2.0 */
/* store_pull.c -- bringing one object here, from whoever has it.
 *
 *   BEHIND                                   BEHIND   waits for the end of another pull of the same object, of another size
 *      v                                     WAITING  waits for room in the arena, those that somebody gets first: it comes when others
 *   WAITING --> MOVING <--> SEEKING                   let go (mob_pulls_settle, mob_pulls_tick), or from the overflow. Refused are a
 *      |         |  |          |                      larger one than the store, and at last others (store_wait.c)
 *      |         |  '----------|--> OVER     MOVING   waits for its flights: ranges on their way here (mob_store_pulled)
 *      '---------'--> ENDING <-'     ^       SEEKING  waits for news of the node that it shall come from (mob_source_await)
 *                       |            |       ASKING   (to and from MOVING, as SEEKING) waits for its owner's word (mob_store_sought), which
 *                       '------------'                comes whatever becomes of the owner
 *                                            ENDING   those who waited have been told; waits for its flights, which still write
 *                                            OVER     all is here and sealed, or its bytes are free again
 *
 * A pull asks one node at a time, in ranges, a few at once. A node that fails is not asked again if it has nothing, lies or is silent,
 * else once more when the others have failed, too; what has come stays, the rest is asked elsewhere. One whose connection broke is left
 * alone for a moment first: if its raylet was killed, that is known then. When nobody is left, the owner is asked, as it may have been
 * moved meanwhile, and again while it names somebody new. In the end all who wait hear what each node said. A node may refer us to
 * another (store_serve.c); when that one fails, we ask the first again.
 *
 * The size is what whoever fetches says. If two differ, one speaks of an old value, or lies, and only a try shows which: so a pull ends no
 * other one, they take turns, and what is sealed goes only for what has come in its place.
 *
 * How many flights there are from one node is limited; store_giver.c says who asks next, and for what.
 */
#include <assert.h>
#include <stdlib.h>

#include "objstore/store_private.h"

#define CHUNK MOB_CHUNK
#define REFERRALS_MAX 4                 /* then the first node shall give it itself */
#define SAY_NS INT64_C(10000000000)     /* of waiting for room: then it is told */
#define LOOKS 256                       /* waiting pulls that are tried when room came */

static enum mob_next pull_behind(struct mob_machine *m);
static enum mob_next pull_waiting(struct mob_machine *m);
static enum mob_next pull_seeking(struct mob_machine *m);
static enum mob_next pull_asking(struct mob_machine *m);
static enum mob_next pull_moving(struct mob_machine *m);
static enum mob_next pull_ending(struct mob_machine *m);

enum { PULL_BEHIND, PULL_WAITING, PULL_SEEKING, PULL_ASKING, PULL_MOVING, PULL_ENDING, PULL_OVER };

static const struct mob_state pull_states[] = {
    [PULL_BEHIND]  = { "behind",  pull_behind,  MOB_TO(PULL_WAITING) },
    [PULL_WAITING] = { "waiting", pull_waiting, MOB_TO(PULL_MOVING) | MOB_TO(PULL_ENDING) },
    [PULL_SEEKING] = { "seeking", pull_seeking, MOB_TO(PULL_MOVING) | MOB_TO(PULL_ENDING) },
    [PULL_ASKING]  = { "asking",  pull_asking,  MOB_TO(PULL_MOVING) | MOB_TO(PULL_ENDING) },
    [PULL_MOVING]  = { "moving",  pull_moving,  MOB_TO(PULL_SEEKING) | MOB_TO(PULL_ASKING) | MOB_TO(PULL_ENDING) | MOB_TO(PULL_OVER) },
    [PULL_ENDING]  = { "ending",  pull_ending,  MOB_TO(PULL_OVER) },
    [PULL_OVER]    = { "over",    NULL,         0 },
};

static bool pull_holds(const struct mob_machine *m)
{
    const struct pull *p = MOB_CONTAINER(m, const struct pull, m);

    switch (m->now) {
    case PULL_BEHIND:
    case PULL_WAITING:
        return p->object == NULL && p->flights == 0;
    case PULL_SEEKING:
    case PULL_ASKING:
    case PULL_MOVING:
        return p->object != NULL && p->object->pull == p && p->got <= p->size;
    case PULL_ENDING:
        return p->ends && mob_list_empty(&p->waiters);
    default:
        return p->flights == 0 && mob_list_empty(&p->link);
    }
}

/* -- life ---------------------------------------------------------------------------------------------------------------- */

struct pull *mob_pull_find(const struct mob_store *s, const struct mob_object_id *id)
{
    struct pull *p = mob_map_get(&s->pulls.by_id, mob_object_id_hash(id));

    while (p != NULL && !mob_object_id_eq(&p->id, id))
        p = p->next_same;
    return p;
}

struct pull *mob_pull_find_sized(const struct mob_store *s, const struct mob_object_id *id, uint64_t size)
{
    struct pull *p = mob_pull_find(s, id);

    while (p != NULL && !(p->size == size && mob_object_id_eq(&p->id, id)))
        p = p->next_same;
    return p;
}

/* The oldest first. */
static void chain_add(struct pull *p)
{
    struct mob_map *by_id = &p->store->pulls.by_id;
    uint64_t hash = mob_object_id_hash(&p->id);
    struct pull *first = mob_map_get(by_id, hash), **at = &first;

    while (*at != NULL)
        at = &(*at)->next_same;
    *at = p;
    mob_map_set(by_id, hash, first);
}

/* From now on a Fetch of this id starts anew. */
static void chain_remove(struct pull *p)
{
    struct mob_map *by_id = &p->store->pulls.by_id;
    uint64_t hash = mob_object_id_hash(&p->id);
    struct pull *first = mob_map_get(by_id, hash), **at = &first;

    while (*at != NULL && *at != p)
        at = &(*at)->next_same;
    if (*at == NULL)
        return;
    *at = p->next_same;
    if (first != NULL)
        mob_map_set(by_id, hash, first);
    else
        mob_map_remove(by_id, hash);
}

static void pull_free(struct pull *p)
{
    p->store->pulls.count--;
    mob_list_remove(&p->all);
    free(p->chunks);
    free(p);
}

/* It may be gone after this. */
static void pull_run(struct pull *p)
{
    mob_machine_run(&p->m);
    if (p->m.now == PULL_OVER && !p->m.running)
        pull_free(p);
}

void mob_pull_start(struct mob_store *s, uint32_t process, struct mob_address job, const struct mob_object_id *id, uint64_t size,
                    const uint32_t *nodes, size_t count, enum priority priority)
{
    struct pull *p = mob_new(struct pull);
    uint64_t chunks = (size + CHUNK - 1) / CHUNK;

    *p = (struct pull){ .store = s, .id = *id, .size = size, .job = job, .priority = priority };
    if (size <= mob_alloc_size(s->alloc))
        p->chunks = mob_alloc(chunks + 1);
    mob_list_init(&p->waiters);
    mob_list_init(&p->all);
    mob_list_init(&p->link);
    mob_list_append(&s->pulls.all, &p->all);
    s->pulls.count++;
    chain_add(p);
    mob_machine_init(&p->m, "pull", id->task, pull_states, PULL_BEHIND, pull_holds);
    mob_pull_join(p, process, nodes, count, priority);
}

void mob_pull_join(struct pull *p, uint32_t process, const uint32_t *nodes, size_t count, enum priority priority)
{
    mob_fetch_wait(&p->waiters, process, false);
    for (size_t i = 0; i < count; i++)
        mob_source_add(p, nodes[i], false);
    if (priority > p->priority) {
        p->priority = priority;
        if (!mob_list_empty(&p->link) && p->m.now == PULL_WAITING) {
            mob_list_remove(&p->link);
            mob_list_append(&p->store->pulls.waiting[p->priority], &p->link);
        } else if (p->m.now == PULL_MOVING) {
            mob_list_remove(&p->link);  /* the step puts it in its new place */
        }
    }
    if (p->m.now != PULL_WAITING || mob_list_empty(&p->link))
        pull_run(p);
}

/* -- the steps, in the order of life ------------------------------------------------------------------------------------- */

static enum mob_next give_up(struct pull *p)
{
    assert(p->ends);
    chain_remove(p);
    mob_list_remove(&p->link);
    mob_overflow_forget(&p->berth);
    mob_fetch_answer_list(p->store, &p->waiters, &p->id, NULL, &p->why);
    return mob_machine_goto(&p->m, PULL_ENDING);
}

/* Its owner may know of more nodes. It is asked only when there is room for the object: in MOVING. */
static bool may_ask(const struct pull *p)
{
    return !p->all_said && p->store->config.seek != NULL;
}

/* A large one is overtaken by small ones that fit; but not by more bytes than it wants itself, so that it has its turn. */
static bool lets_pass(const struct pull *p)
{
    return p->berth != NULL || p->overtaken < (p->size > CHUNK ? p->size : CHUNK);
}

/* Somebody of its priority or above waits, and has been overtaken enough. */
static bool is_behind(const struct pull *p)
{
    const struct pull *other;

    for (unsigned i = p->priority; i < PRIORITIES; i++)
        mob_list_each(other, &p->store->pulls.waiting[i], const struct pull, link)
            if (!lets_pass(other))
                return true;
    return false;
}

static void note_overtaken(const struct pull *by)
{
    struct pull *p;

    for (unsigned i = by->priority; i < PRIORITIES; i++)
        mob_list_each(p, &by->store->pulls.waiting[i], struct pull, link)
            p->overtaken += by->size;
}

static enum mob_next wait_for_room(struct pull *p)
{
    if (mob_list_empty(&p->link)) {
        mob_list_append(&p->store->pulls.waiting[p->priority], &p->link);
        p->store->pulls.waiting_count++;
    }
    return MOB_WAIT;
}

static enum mob_next pull_behind(struct mob_machine *m)
{
    struct pull *p = MOB_CONTAINER(m, struct pull, m);
    struct object *made;

    if (!p->ends && mob_pull_find(p->store, &p->id) != p) {
        if (mob_list_empty(&p->link))
            mob_list_append(&p->store->pulls.behind, &p->link);
        return MOB_WAIT;
    }
    mob_list_remove(&p->link);
    made = mob_object_find(p->store, &p->id, OBJECT_SEALED, OBJECT_SEALED);
    if (made != NULL && made->size == p->size) {        /* here, meanwhile */
        mob_fetch_answer_list(p->store, &p->waiters, &p->id, made, NULL);
        p->ends = true;
    }
    return mob_machine_goto(m, PULL_WAITING);
}

static enum mob_next pull_waiting(struct mob_machine *m)
{
    struct pull *p = MOB_CONTAINER(m, struct pull, m);
    struct mob_store *s = p->store;

    if (!p->ends && mob_source_none_left(p) && !may_ask(p))
        mob_source_sum_up(p);
    if (p->ends) {
        s->pulls.waiting_count -= !mob_list_empty(&p->link);
        return give_up(p);
    }
    if (p->berth != NULL || (mob_list_empty(&p->link) && is_behind(p)))
        return wait_for_room(p);
    p->object = mob_object_create(s, &p->id, p->size, OBJECT_PULLING, &p->why);
    if (p->object == NULL && p->size > mob_alloc_size(s->alloc)) {
        p->ends = true;
        return give_up(p);
    }
    if (p->object == NULL)
        return wait_for_room(p);
    s->pulls.waiting_count -= !mob_list_empty(&p->link);
    mob_list_remove(&p->link);
    note_overtaken(p);
    p->object->pull = p;
    p->object->copy = true;
    p->object->job = p->job;
    p->since = 0;
    if (s->config.incoming != NULL && p->size > 0)
        p->incoming = s->config.incoming(s->config.arg, p->object->extent->offset, p->size);
    return mob_machine_goto(m, PULL_MOVING);
}

static void incoming_end(struct pull *p)
{
    if (p->incoming != NULL)
        p->store->config.incoming_end(p->store->config.arg, p->incoming);
    p->incoming = NULL;
}

static enum mob_next seal(struct pull *p)
{
    struct object *o = p->object;

    assert(p->flights == 0);
    chain_remove(p);
    mob_list_remove(&p->link);
    incoming_end(p);
    p->store->pulled += p->size;
    o->pull = NULL;
    o->source = p->root != 0 ? p->root : p->sources[0].node;
    p->object = NULL;
    mob_object_seal(o);
    mob_fetch_answer_list(p->store, &p->waiters, &p->id, o, NULL);
    mob_copies_note(o, COPY_ADDED);
    return mob_machine_goto(&p->m, PULL_OVER);
}

static void fail_dead(struct pull *p, struct pull_source *source)
{
    const struct mob_store_config *c = &p->store->config;
    struct mob_error why;

    mob_error_set(&why, MOB_ERR_NODE_DIED, "it has died");
    if (c->mourn != NULL)
        c->mourn(c->arg, source->node, &why);
    mob_source_fail(p, source, &why, true);
}

static enum mob_next pull_moving(struct mob_machine *m)
{
    struct pull *p = MOB_CONTAINER(m, struct pull, m);

    if (p->ends)
        return give_up(p);
    if (p->got == p->size)
        return seal(p);
    if (p->from == NULL && !mob_source_choose(p) && may_ask(p)) {
        if (!p->sought)
            p->store->config.seek(p->store->config.arg, &p->id);
        p->sought = true;
        return mob_machine_goto(m, PULL_ASKING);
    }
    if (p->from == NULL) {
        mob_source_sum_up(p);
        return give_up(p);
    }
    switch (mob_source_reach(p)) {
    case MOB_REACH_DEAD:
        fail_dead(p, p->from);
        return MOB_AGAIN;
    case MOB_REACH_NOT_YET:
        mob_list_remove(&p->link);
        mob_list_append(&p->store->pulls.seeking, &p->link);
        p->since = 0;
        return mob_machine_goto(m, PULL_SEEKING);
    case MOB_REACH_UP:
        break;
    }
    mob_giver_enqueue(p);
    return MOB_WAIT;
}

/* Run by each tick: the news may have come. */
static enum mob_next pull_seeking(struct mob_machine *m)
{
    struct pull *p = MOB_CONTAINER(m, struct pull, m);

    if (!p->ends && p->from != NULL && mob_source_reach(p) == MOB_REACH_NOT_YET)
        return MOB_WAIT;
    mob_list_remove(&p->link);
    return mob_machine_goto(m, PULL_MOVING);
}

static enum mob_next pull_asking(struct mob_machine *m)
{
    struct pull *p = MOB_CONTAINER(m, struct pull, m);

    if (p->ends)
        return give_up(p);
    if (p->sought && mob_source_none_left(p))
        return MOB_WAIT;
    return mob_machine_goto(m, PULL_MOVING);
}

static enum mob_next pull_ending(struct mob_machine *m)
{
    struct pull *p = MOB_CONTAINER(m, struct pull, m);
    struct object *o = p->object;

    if (o != NULL && o->m.now == OBJECT_PULLING)
        mob_object_goto(o, OBJECT_DISCARDED);
    if (p->flights > 0)
        return MOB_WAIT;
    incoming_end(p);
    if (o != NULL) {
        o->pull = NULL;
        p->object = NULL;
        if (o->serving == 0)
            mob_object_retire(o);       /* else mob_store_serve_done() does */
    }
    return mob_machine_goto(m, PULL_OVER);
}

/* -- facts ----------------------------------------------------------------------------------------------------------------- */

static void note_refer(struct pull *p, uint32_t node)
{
    struct pull_source *to = mob_source_add(p, node, true);

    if (++p->referrals > REFERRALS_MAX || to == NULL || to->out || to == p->from) {
        p->direct = true;
        p->round++;
        return;
    }
    p->failed = 0;
    to->referred = true;                /* whatever it was: its own line is not ours */
    p->from = to;
    p->round++;
}

/* Of the node that is still the one we ask. */
static void note_answer(struct pull *p, const struct mob_range_result *result)
{
    static const struct mob_error refers_on = { .code = MOB_ERR_PROTOCOL, .text = "it referred us on, though we were referred to it" };

    if (!p->from->referred) {
        p->placed = true;
        p->failed = 0;
        if (result->position != 0)
            p->position = result->position;
    }
    mob_list_remove(&p->link);
    if (result->got > 0)
        p->from->tries = 0;             /* it is worth asking again */
    if (result->err != NULL)
        mob_source_fail(p, p->from, result->err, result->final);
    else if (result->refer != 0 && !p->from->referred)
        note_refer(p, result->refer);
    else if (result->refer != 0)
        mob_source_fail(p, p->from, &refers_on, true);
}

void mob_store_pulled(struct mob_store *s, struct mob_flight *f, const struct mob_range_result *result)
{
    uint32_t node = f->range.node;
    struct pull *p = f->pull;

    mob_giver_landed(f, result->got);
    if (f->round == p->round && p->from != NULL && p->m.now == PULL_MOVING)
        note_answer(p, result);
    free(f);
    pull_run(p);
    mob_giver_pump(s, node);
    mob_store_settle(s);
}

void mob_store_sought(struct mob_store *s, const struct mob_object_id *id, uint32_t node)
{
    struct pull *p = mob_pull_find(s, id);
    unsigned before;

    if (p == NULL || !p->sought)
        return;
    p->sought = false;
    before = p->source_count;
    if (node != 0)
        mob_source_add(p, node, false);
    p->all_said = p->source_count == before;
    pull_run(p);
    mob_store_settle(s);
}

void mob_pull_end(struct pull *p, struct object *sealed, const struct mob_error *why)
{
    if (p->m.now == PULL_ENDING || p->m.now == PULL_OVER)
        return;
    mob_fetch_answer_list(p->store, &p->waiters, &p->id, sealed, why);
    p->ends = true;
    pull_run(p);
}

void mob_pulls_end(struct mob_store *s, bool (*is_its)(const struct pull *p, struct mob_address whose), struct mob_address whose,
                   const struct mob_error *why)
{
    struct pull *p;

    mob_list_each(p, &s->pulls.all, struct pull, all)
        if (is_its(p, whose))
            mob_pull_end(p, NULL, why);
}

void mob_pulls_node_died(struct mob_store *s, uint32_t node)
{
    struct mob_error why;
    struct pull *p;

    mob_list_each(p, &s->pulls.all, struct pull, all) {
        struct pull_source *source = mob_source_of(p, node);

        if (source == NULL || source->out)
            continue;
        fail_dead(p, source);
        pull_run(p);
    }
    mob_error_set(&why, MOB_ERR_NODE_DIED, "node %u has died", node);
    if (s->config.forget != NULL)
        s->config.forget(s->config.arg, node, &why);
}

/* -- room ------------------------------------------------------------------------------------------------------------------ */

void mob_pulls_settle(struct mob_store *s)
{
    struct pull *p, *before = NULL;
    unsigned looks = 0;

    mob_list_each(p, &s->pulls.behind, struct pull, link)
        pull_run(p);
    if (!s->pulls.room_came || s->pulls.waiting_count == 0)
        return;
    s->pulls.room_came = false;
    for (unsigned i = PRIORITIES; i-- > 0;) {
        mob_list_each(p, &s->pulls.waiting[i], struct pull, link) {
            uint64_t waiting = s->pulls.waiting_count;

            if (++looks > LOOKS || (before != NULL && !lets_pass(before)))
                return;
            pull_run(p);
            if (s->pulls.waiting_count == waiting)
                before = p;             /* it still waits */
        }
    }
}

void mob_pull_berthed(struct pull *p)
{
    mob_overflow_forget(&p->berth);
    pull_run(p);
}

uint64_t mob_pulls_need(const struct mob_store *s)
{
    const struct pull *p;

    for (unsigned i = PRIORITIES; i-- > 0;)
        mob_list_each(p, &s->pulls.waiting[i], const struct pull, link)
            if (p->berth == NULL)
                return p->size;
    return 0;
}

static void tell_waiting(struct mob_store *s, struct pull *p, int64_t now_ns)
{
    if (p->since == 0)
        p->since = now_ns;
    if (p->said || now_ns - p->since < SAY_NS)
        return;
    p->said = true;
    if (s->config.waits != NULL)
        s->config.waits(s->config.arg, &p->why);
}

void mob_pulls_tick(struct mob_store *s, int64_t now_ns)
{
    struct pull *p;

    s->pulls.room_came = true;          /* pins go without a message */
    mob_pulls_settle(s);
    for (unsigned i = 0; i < PRIORITIES; i++)
        mob_list_each(p, &s->pulls.waiting[i], struct pull, link)
            tell_waiting(s, p, now_ns);
    mob_list_each(p, &s->pulls.seeking, struct pull, link) {
        mob_source_await(p, now_ns);
        pull_run(p);
    }
}

/* -- the table ------------------------------------------------------------------------------------------------------------- */

void mob_pulls_init(struct mob_store *s)
{
    mob_list_init(&s->pulls.all);
    mob_list_init(&s->pulls.behind);
    mob_list_init(&s->pulls.seeking);
    for (unsigned i = 0; i < PRIORITIES; i++)
        mob_list_init(&s->pulls.waiting[i]);
}

void mob_pulls_fini(struct mob_store *s)
{
    struct pull *p;

    mob_list_each(p, &s->pulls.all, struct pull, all) {
        while (!mob_list_empty(&p->waiters)) {
            struct waiter *w = mob_list_first(&p->waiters, struct waiter, link);

            mob_list_remove(&w->link);
            free(w);
        }
        pull_free(p);
    }
    mob_givers_fini(s);
    mob_map_fini(&s->pulls.by_id);
}
