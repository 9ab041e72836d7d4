/* SPDX-License-Identifier: Apache-2.0 */
/* values.c -- a process's calls to its store, as worker/store_call.c makes them: Create, Seal, Fetch, and pins that are tried by a hint
 * first. And values: bytes that name their object and the attempt that made it, so that whoever sees one knows what it must be. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "faults.h"
#include "stores.h"

#define FETCH_TRIES_MAX 100u            /* as worker/store_call.c */
#define REFUSED_NS_MAX (30 * SIM_S)     /* the store's grace, not its patience */

/* -- bytes ----------------------------------------------------------------------------------------------------------------- */

static uint64_t word(uint64_t seed, size_t i)
{
    return (seed + i) * UINT64_C(0x9fb21c651e98df25);
}

/* Of a long value some of all pages will do: they are those of its chunks, too. */
static size_t after(size_t i)
{
    return i < 16384 ? i + 1 : i + 509;
}

void value_fill(void *data, size_t size, const struct mob_object_id *id, uint64_t attempt)
{
    uint64_t *words = data;

    assert(size >= VALUE_MIN && size % sizeof *words == 0);
    words[0] = id != NULL ? mob_object_id_hash(id) : 0;
    words[1] = attempt;
    for (size_t i = 2; i < size / sizeof *words; i = after(i))
        words[i] = word(words[0] ^ attempt, i);
}

void value_check(const void *data, size_t size, const struct mob_object_id *id)
{
    const uint64_t *words = data;
    bool right = size >= VALUE_MIN && size % sizeof *words == 0 && (id == NULL || words[0] == mob_object_id_hash(id));

    for (size_t i = 2; right && i < size / sizeof *words; i = after(i))
        right = words[i] == word(words[0] ^ words[1], i);
    if (right)
        return;
    fprintf(stderr, "a value of %zu bytes is not what was sealed\n", size);
    abort();
}

/* -- words ----------------------------------------------------------------------------------------------------------------- */

static void say(struct desk *d, Mobula__Envelope__BodyCase body, void *message)
{
    struct process *p = d->process;
    struct mob_wire *wire = mob_wire_create();
    struct mob_envelope e;
    const void *bytes;
    size_t size;

    mob_envelope_init(&e, p->self, (struct mob_address){ p->self.node, 0 }, body);
    e.e.create = message;               /* one of the union */
    bytes = mob_wire_pack(wire, &e.e, &size);
    link_send(&p->a.world, p->link, bytes, size);
    mob_wire_destroy(wire);
}

static void done(struct desk *d)
{
    sim_after(d->process->a.sim, SIM_US, &d->process->a, d->done, d->process);
}

void desk_create(struct desk *d, struct room *room, void (*then)(struct event *e))
{
    Mobula__Create m = MOBULA__CREATE__INIT;
    Mobula__ObjectId object;

    assert(d->room == NULL && d->fetch == NULL);
    room->data = NULL;
    room->asked = d->process->a.sim->now;
    d->room = room;
    d->done = then;
    mob_wire_put_object(&object, &room->id);
    m.object = &object;
    m.size = room->size;
    m.attempt = room->attempt;
    say(d, MOBULA__ENVELOPE__BODY_CREATE, &m);
}

/* Views of tasks leave gaps, and one that is larger than these gets no room while all who have a view wait for room, too. That is found out
 * soon: whoever else has one lets it go some time. */
static void judge_refused(const struct desk *d)
{
    struct sim *s = d->process->a.sim;
    int64_t waited = s->now - d->room->asked;

    s->refused++;
    if (waited <= REFUSED_NS_MAX || s->misfortunes > 0 || s->config.tight || s->config.drains)
        return;
    fprintf(stderr, "process %u of node %u waited %ld s for room: %s\n", d->process->number, d->process->self.node, (long)(waited / SIM_S),
            d->room->why.text);
    abort();
}

static void on_created(struct desk *d, const Mobula__Created *m)
{
    struct room *room = d->room;
    struct mob_object_id id = mob_wire_object(m->object);

    assert(room != NULL && mob_object_id_eq(&room->id, &id));
    if (m->error != NULL) {
        mob_wire_error(m->error, &room->why);
        judge_refused(d);
    } else {
        room->data = mob_store_client_write(d->client, m->offset, room->size);
    }
    d->room = NULL;
    assert(m->error != NULL || room->data != NULL);
    room->entry = m->entry;
    done(d);
}

void desk_seal(struct desk *d, const struct room *room, bool abandon)
{
    Mobula__Seal seal = MOBULA__SEAL__INIT;
    Mobula__Abandon give_up = MOBULA__ABANDON__INIT;
    Mobula__ObjectId object;

    mob_wire_put_object(&object, &room->id);
    seal.object = give_up.object = &object;
    seal.entry = give_up.entry = room->entry;
    if (abandon)
        say(d, MOBULA__ENVELOPE__BODY_ABANDON, &give_up);
    else
        say(d, MOBULA__ENVELOPE__BODY_SEAL, &seal);
}

void desk_free(struct desk *d, const struct mob_object_id *id)
{
    Mobula__ObjectId object, *list[1] = { &object };
    Mobula__Free m = MOBULA__FREE__INIT;

    mob_wire_put_object(&object, id);
    m.objects = list;
    m.n_objects = 1;
    say(d, MOBULA__ENVELOPE__BODY_FREE, &m);
}

static void ask(struct desk *d)
{
    struct fetch *f = d->fetch;
    Mobula__Fetch m = MOBULA__FETCH__INIT;
    Mobula__ObjectId object;

    mob_wire_put_object(&object, &f->id);
    m.object = &object;
    m.size = f->size;
    m.node = f->node;
    m.copies = f->copies;
    m.n_copies = f->copy_count;
    m.priority = MOBULA__FETCH__PRIORITY__GET;
    f->tries++;
    say(d, MOBULA__ENVELOPE__BODY_FETCH, &m);
}

static bool pin(struct desk *d, uint32_t entry, uint32_t generation)
{
    struct fetch *f = d->fetch;
    uint64_t size;
    bool full;

    f->data = mob_store_client_pin(d->client, entry, generation, &f->id, &size, &f->slot, &full);
    if (f->data == NULL)
        return false;
    if (!mob_packed_read(f->data, size, &f->packed)) {
        fprintf(stderr, "a pinned value is malformed\n");
        abort();
    }
    value_check(f->data, f->packed.data_size, &f->id);
    d->fetch = NULL;
    done(d);
    return true;
}

void desk_fetch(struct desk *d, struct fetch *f, void (*then)(struct event *e))
{
    size_t at = mob_object_id_hash(&f->id) % MOB_COUNT(d->hints);

    assert(d->room == NULL && d->fetch == NULL);
    f->data = NULL;
    d->fetch = f;
    d->done = then;
    if (mob_object_id_eq(&d->hints[at].id, &f->id) && pin(d, d->hints[at].entry, d->hints[at].generation))
        return;
    ask(d);
}

static void hear_fetched(struct desk *d, const Mobula__Fetched *m)
{
    struct mob_object_id id = mob_wire_object(m->object);
    size_t at = mob_object_id_hash(&id) % MOB_COUNT(d->hints);
    struct fetch *f = d->fetch;

    assert(f != NULL && mob_object_id_eq(&f->id, &id));
    if (m->error != NULL) {
        mob_wire_error(m->error, &f->why);
        d->fetch = NULL;
        done(d);
        return;
    }
    d->hints[at].id = id;
    d->hints[at].entry = m->entry;
    d->hints[at].generation = m->generation;
    if (pin(d, m->entry, m->generation))
        return;
    if (!faults_may_cost(d->process->a.sim)) {        /* else it may have been told a freeze ago */
        fprintf(stderr, "what process %u was told is in its store is not there\n", d->process->number);
        abort();
    }
    if (f->tries == FETCH_TRIES_MAX) {
        mob_error_set(&f->why, MOB_ERR_NO_SPACE, "it was evicted %u times before it could be read", FETCH_TRIES_MAX);
        d->fetch = NULL;
        done(d);
        return;
    }
    ask(d);
}

static void on_fetched(struct desk *d, const Mobula__Fetched *m)
{
    hear_fetched(d, m);
    mob_store_client_heard(d->client);
}

void desk_unpin(struct desk *d, const struct fetch *f)
{
    value_check(f->data, f->packed.data_size, &f->id);
    mob_store_client_unpin(d->client, f->slot);
}

void desk_receive(struct desk *d, const Mobula__Envelope *e)
{
    if (e->body_case == MOBULA__ENVELOPE__BODY_CREATED)
        on_created(d, e->created);
    else
        on_fetched(d, e->fetched);
}
