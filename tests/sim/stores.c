/* SPDX-License-Identifier: Apache-2.0 */
/* stores.c -- what raylet/world.c and objstore/bulk do for a store: answers to clients and owners, and transfers between nodes.
 *
 *   asked --> served --> read --> landed         at the asking, the giving, the giving and the asking node
 *        '--> parked --'                         until it is made there, or back from the disk
 *
 * A transfer reads the giver's arena at the end of its time there, and writes the asker's when it lands: bytes that go meanwhile are
 * missed by who looks at the value. By seed it breaks half-way, with part of its bytes written; or it is silent; or the giver dies.
 * A transfer has one event under way: each step makes those before it void.
 */
#include "faults.h"
#include "stores.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BULK_BYTES_EACH_US 1000         /* 1 GB/s; of a broadcast a tenth, so that it is on its way everywhere at once */
#define SILENT_NS (10 * SIM_S)
#define CHUNK_NS (4 * SIM_S)            /* as objstore/bulk_serve.c */

/* An object on its way into an arena. */
struct incoming {
    uint64_t offset;
    uint64_t here;                      /* a bit for each chunk */
    bool over;
};

struct transfer {
    struct mob_link link, parked;       /* in sim->transfers; in from's shelf->parked */
    struct raylet *from, *to;
    struct mob_flight *flight;          /* NULL: over */
    struct mob_asked asked;
    uint64_t step;
    int64_t waits_since;                /* for a chunk that has not arrived at the giver; 0: it does not */
    bool serving;
    struct mob_served served;
    unsigned char *bytes;
    uint64_t length;                    /* of them, good or not */
    struct mob_range_result result;
    struct mob_error why;
};

static struct sim *sim_of(const struct transfer *t)
{
    return t->to->a.sim;
}

static void plan(struct transfer *t, int64_t delay, struct raylet *r, void (*run)(struct event *e))
{
    sim_after(sim_of(t), delay, &r->a, run, t)->n = ++t->step;
}

/* -- the end --------------------------------------------------------------------------------------------------------------- */

static void run_served(struct event *e)
{
    mob_store_serve_done(((struct raylet *)e->arg)->shelf->store, e->n);
}

static void let_go(struct transfer *t)
{
    if (t->serving)
        sim_after(sim_of(t), SIM_US, &t->from->a, run_served, t->from)->n = t->served.ticket;
    t->serving = false;
    mob_list_remove(&t->parked);
}

static void over(struct transfer *t)
{
    let_go(t);
    mob_list_remove(&t->link);
    free(t->bytes);
    t->bytes = NULL;
    t->flight = NULL;
    t->step++;
}

static void run_land(struct event *e)
{
    struct transfer *t = e->arg;
    struct mob_flight *f = t->flight;
    struct incoming *in;
    struct shelf *h;

    if (e->n != t->step)
        return;
    h = t->to->shelf;
    if ((in = f->incoming) != NULL && t->length > 0)
        memcpy((unsigned char *)mob_store_arena(h->store) + in->offset + t->asked.offset, t->bytes, t->length);
    for (uint64_t at = 0; in != NULL && at < t->result.got; at += MOB_CHUNK)
        in->here |= UINT64_C(1) << (t->asked.offset + at) / MOB_CHUNK;
    t->to->a.sim->landed += t->result.err == NULL;
    over(t);
    mob_store_pulled(h->store, f, &t->result);
}

static void fail(struct transfer *t, int code, const char *text, bool final, int64_t delay)
{
    let_go(t);
    mob_error_set(&t->why, code, "%s", text);
    t->result = (struct mob_range_result){ .err = &t->why, .final = final };
    plan(t, delay, t->to, run_land);
}

/* -- at the giver ------------------------------------------------------------------------------------------------------------ */

static bool has_arrived(const struct transfer *t)
{
    const struct incoming *in = t->served.incoming;

    for (uint64_t at = t->asked.offset; in != NULL && at < t->asked.offset + t->asked.length; at += MOB_CHUNK)
        if ((in->here & UINT64_C(1) << at / MOB_CHUNK) == 0)
            return false;
    return true;
}

static void run_read(struct event *e)
{
    struct transfer *t = e->arg;
    struct sim *s = sim_of(t);
    const struct incoming *in = t->served.incoming;

    if (e->n != t->step)
        return;
    if (!has_arrived(t) && in->over) {
        fail(t, MOB_ERR_OBJECT_LOST, "it did not arrive there itself", false, SIM_MS);
        return;
    }
    if (!has_arrived(t)) {
        t->waits_since = t->waits_since != 0 ? t->waits_since : s->now;
        if (s->now - t->waits_since > CHUNK_NS)
            fail(t, MOB_ERR_TIMEOUT, "it does not come there itself", false, SIM_MS);
        else
            plan(t, SIM_MS, t->from, run_read);
        return;
    }
    t->bytes = mob_alloc(t->asked.length + 1);
    t->length = t->asked.length;
    memcpy(t->bytes, (unsigned char *)mob_store_arena(t->from->shelf->store) + t->served.offset + t->asked.offset, t->length);
    if (faults_chance(s, FAULT_DROP, 5)) {
        t->length = sim_below(s, t->length + 1);
        s->misfortunes++;
        fail(t, MOB_ERR_UNREACHABLE, "the connection broke", false, SIM_MS);
        return;
    }
    let_go(t);
    t->result = (struct mob_range_result){ .got = t->asked.length, .position = t->served.position };
    plan(t, 50 * SIM_US + (int64_t)sim_below(s, SIM_MS), t->to, run_land);
}

static int64_t takes(struct sim *s, const struct transfer *t)
{
    uint64_t each_us = s->config.broadcast ? BULK_BYTES_EACH_US / 10 : BULK_BYTES_EACH_US;
    int64_t span = (int64_t)(t->asked.length / each_us) * SIM_US + (int64_t)sim_below(s, SIM_MS);

    return sim_chance(s, 10) ? span + (int64_t)sim_below(s, 50 * SIM_MS) : span;
}

static void serve(struct transfer *t)
{
    struct shelf *h = t->from->shelf;
    struct mob_error why;

    switch (mob_store_serve(h->store, &t->asked, &t->served, &why)) {
    case MOB_SERVE_LATER:
        mob_list_append(&h->parked, &t->parked);
        t->step++;
        break;
    case MOB_SERVE_GONE:
        fail(t, why.code, why.text, why.code != MOB_ERR_TIMEOUT, 50 * SIM_US);
        break;
    case MOB_SERVE_REFER:
        t->result = (struct mob_range_result){ .refer = t->served.refer, .position = t->served.position };
        plan(t, 50 * SIM_US, t->to, run_land);
        break;
    case MOB_SERVE_HERE:
        t->serving = true;
        plan(t, takes(sim_of(t), t), t->from, run_read);
        if (t->served.incoming == NULL)
            break;
        sim_of(t)->passed_on++;
        faults_middle(t->from->a.host);
    }
}

static void run_asked(struct event *e)
{
    struct transfer *t = e->arg;
    struct sim *s = sim_of(t);

    if (e->n != t->step)
        return;
    if (faults_chance(s, FAULT_DROP, 1)) {
        s->misfortunes++;
        fail(t, MOB_ERR_TIMEOUT, "it is silent", true, SILENT_NS);
    } else {
        serve(t);
    }
}

static void restored(void *arg, const struct mob_object_id *id, const struct mob_error *err)
{
    struct shelf *h = arg;
    struct transfer *t;

    mob_list_each(t, &h->parked, struct transfer, parked) {
        if (!mob_object_id_eq(&t->asked.id, id))
            continue;
        mob_list_remove(&t->parked);
        if (err != NULL)
            fail(t, err->code, err->text, err->code != MOB_ERR_TIMEOUT, 50 * SIM_US);
        else
            serve(t);
        return;
    }
}

/* -- at the asker ------------------------------------------------------------------------------------------------------------ */

static struct raylet *raylet_of_node(struct sim *s, uint32_t node)
{
    for (unsigned i = 1; i <= s->config.nodes; i++)
        if (s->hosts[i].raylet != NULL && s->hosts[i].raylet->node == node)
            return s->hosts[i].raylet;
    return NULL;
}

static void pull(void *arg, struct mob_flight *f)
{
    struct shelf *h = arg;
    struct sim *s = h->raylet->a.sim;
    const struct mob_peer *peer = mob_raylet_peer(h->raylet->core, f->range.node);
    struct transfer *t = sim_memory(s, sizeof *t);

    t->to = h->raylet;
    t->from = raylet_of_node(s, f->range.node);
    t->flight = f;
    t->asked = f->range.ask;
    mob_list_init(&t->parked);
    mob_list_append(&s->transfers, &t->link);
    if (peer == NULL || !peer->alive)
        fail(t, MOB_ERR_NODE_DIED, "it has left", true, SIM_US);
    else if (t->from != NULL && cut_either(s, t->from->a.host, t->to->a.host) != 0)
        fail(t, MOB_ERR_TIMEOUT, "it is cut off", false, cut_either(s, t->from->a.host, t->to->a.host) - s->now < SILENT_NS
             ? cut_either(s, t->from->a.host, t->to->a.host) - s->now : SILENT_NS);
    else if (t->from == NULL)
        fail(t, MOB_ERR_UNREACHABLE, "nobody is there", false, sim_chance(s, 50) ? SIM_MS : 2 * SIM_S);
    else
        plan(t, 50 * SIM_US + (int64_t)sim_below(s, SIM_MS), t->from, run_asked);
}

static void *incoming(void *arg, uint64_t offset, uint64_t size)
{
    struct shelf *h = arg;
    struct incoming *in = sim_memory(h->raylet->a.sim, sizeof *in);

    assert(size <= 64 * MOB_CHUNK);
    in->offset = offset;
    return in;
}

static void incoming_end(void *arg, void *in)
{
    (void)arg;
    ((struct incoming *)in)->over = true;
}

static enum mob_reach reach(void *arg, uint32_t node)
{
    const struct shelf *h = arg;

    return mob_raylet_reach(h->raylet->core, node);
}

static bool elsewhere(void *arg, uint32_t process)
{
    return mob_raylet_may_run_elsewhere(((struct shelf *)arg)->raylet->core, process);
}

static void seek(void *arg, const struct mob_object_id *id)
{
    struct shelf *h = arg;

    mob_raylet_seek(h->raylet->core, id);
    actor_poke(&h->raylet->a);
}

static void forget(void *arg, uint32_t node, const struct mob_error *why)
{
    struct shelf *h = arg;
    struct transfer *t;

    mob_list_each(t, &h->raylet->a.sim->transfers, struct transfer, link)
        if (t->to == h->raylet && t->flight->range.node == node)
            fail(t, why->code, why->text, false, SIM_US);
}

/* -- words ------------------------------------------------------------------------------------------------------------------- */

static void tell(void *arg, struct mob_address to, const Mobula__Envelope *e)
{
    struct shelf *h = arg;
    Mobula__Envelope addressed = *e;
    struct mob_envelope addresses;

    mob_envelope_init(&addresses, mob_raylet_self(h->raylet->core), to, e->body_case);
    addressed.from = &addresses.from;
    addressed.to = &addresses.to;
    mob_raylet_send(h->raylet->core, &addressed);
    actor_poke(&h->raylet->a);
}

static void answer(void *arg, uint32_t process, const Mobula__Envelope *e)
{
    struct shelf *h = arg;

    tell(h, (struct mob_address){ h->raylet->node, process }, e);
}

static void bad(void *arg, uint32_t process, const struct mob_error *err)
{
    (void)arg, (void)process;
    fprintf(stderr, "%s\n", err->text);
    abort();                            /* the processes here say nothing that they must not */
}

static void disk(void *arg, struct mob_disk_job *job)
{
    disk_do(arg, job);
}

/* -- the shell --------------------------------------------------------------------------------------------------------------- */

struct shelf *shelf_create(struct raylet *r, uint64_t bytes)
{
    struct shelf *h = mob_new(struct shelf);
    struct mob_store_config config = { .bytes = bytes, .answer = answer, .pull = pull, .incoming = incoming, .incoming_end = incoming_end,
                                       .reach = reach, .forget = forget, .seek = seek, .restored = restored, .tell = tell, .bad = bad,
                                       .elsewhere = elsewhere, .disk = disk, .arg = h };

    h->raylet = r;
    mob_list_init(&h->parked);
    mob_list_init(&h->jobs);
    mob_list_init(&h->records);
    if (r->a.sim->config.overflow)
        config.overflow = 4 * bytes;
    h->store = mob_store_create(&config, true, NULL);
    assert(h->store != NULL);
    if (config.overflow > 0)
        mob_store_overflow(h->store, -1, NULL);
    return h;
}

void shelf_cut(struct shelf *h)
{
    struct sim *s = h->raylet->a.sim;
    struct transfer *t;

    mob_list_each(t, &s->transfers, struct transfer, link) {
        if ((t->to != h->raylet && t->from != h->raylet) || t->why.code != MOB_OK)
            continue;
        t->length = sim_below(s, t->length + 1);
        fail(t, MOB_ERR_UNREACHABLE, "the connection broke", false, (int64_t)sim_below(s, 50 * SIM_MS));
    }
}

void shelves_cut_across(struct sim *s, int64_t delay)
{
    struct transfer *t;

    mob_list_each(t, &s->transfers, struct transfer, link)
        if (t->from != NULL && t->why.code == MOB_OK && cut_either(s, t->from->a.host, t->to->a.host) != 0)
            fail(t, MOB_ERR_UNREACHABLE, "the connection was cut", false, delay);
}

bool shelf_lose(struct shelf *h)
{
    struct mob_store_row rows[64], *row;
    size_t count = mob_store_largest(h->store, rows, MOB_COUNT(rows));
    Mobula__ObjectId object, *list[] = { &object };
    Mobula__Free m = MOBULA__FREE__INIT;
    char name[MOB_OBJECT_NAME_SIZE];
    struct mob_envelope e;

    row = count > 0 ? &rows[sim_below(h->raylet->a.sim, count)] : NULL;
    if (row == NULL || row->making || row->freed)
        return false;
    sim_trace(h->raylet->a.sim, "the store of node %u loses %s", h->raylet->node, mob_object_id_name(&row->id, name));
    mob_wire_put_object(&object, &row->id);
    m.objects = list;
    m.n_objects = 1;
    mob_envelope_init(&e, (struct mob_address){ 0, 0 }, (struct mob_address){ 0, 0 }, MOBULA__ENVELOPE__BODY_FREE);
    e.e.free = &m;
    mob_store_receive(h->store, 0, &e.e);
    actor_poke(&h->raylet->a);
    return true;
}

void shelf_die(struct shelf *h)
{
    struct sim *s = h->raylet->a.sim;
    struct transfer *t;

    mob_list_each(t, &s->transfers, struct transfer, link) {
        if (t->to == h->raylet) {
            free(t->flight);
            over(t);
        } else if (t->from == h->raylet && t->bytes == NULL && t->why.code == MOB_OK) {
            t->serving = false;         /* nobody counts any more */
            fail(t, MOB_ERR_UNREACHABLE, "the connection ended", false, h->raylet->a.host->off ? SILENT_NS : SIM_MS);
        }
    }
    disk_die(h);
}

void shelf_free(struct shelf *h)
{
    if (h == NULL)
        return;
    if (h->raylet->a.alive)
        shelf_die(h);
    mob_store_check(h->store);
    mob_store_destroy(h->store);
    free(h);
}

void shelf_welcome(struct process *p)
{
    struct shelf *h = p->raylet->shelf;
    int arena, meta, pins;
    int rc;

    if (h == NULL)
        return;
    rc = mob_store_client(h->store, p->number, &arena, &meta, &pins, NULL);
    assert(rc == 0);
    mob_store_client_job(h->store, p->number, p->job);
    p->desk->process = p;
    p->desk->client = mob_store_client_on_memory(mob_store_arena(h->store), mob_store_metadata(h->store),
                                                 mob_store_pins(h->store, p->number));
}

void shelf_gone(struct process *p)
{
    if (p->raylet->shelf != NULL && p->raylet->a.alive)
        mob_store_client_gone(p->raylet->shelf->store, p->number);
}

static bool lives(const struct sim *s, struct mob_address a)
{
    struct process *p;

    for (unsigned i = 1; i <= s->config.nodes; i++)
        mob_list_each(p, &s->hosts[i].processes, struct process, by_host)
            if (p->state == PROCESS_UP && mob_address_eq(p->self, a))
                return true;
    return false;
}

void shelf_check_empty(const struct raylet *r, bool of_jobs_that_run)
{
    struct mob_store_usage usage = mob_store_usage(r->shelf->store);
    char name[MOB_OBJECT_NAME_SIZE];
    struct mob_store_row rows[64];
    const struct sim *s = r->a.sim;
    size_t count = mob_store_largest(r->shelf->store, rows, MOB_COUNT(rows)), wrong = 0;
    uint64_t spilled = usage.spilled;

    for (size_t i = 0; i < count; i++) {
        struct mob_address owner = { rows[i].id.node, rows[i].id.process };

        if (of_jobs_that_run && rows[i].copy && faults_may_cost(s))
            continue;
        if (of_jobs_that_run && rows[i].maker == 0 && !lives(s, owner)) {       /* brought after its owner's end, perhaps the last one since */
            spilled -= strcmp(rows[i].state, "spilled") == 0 ? rows[i].size : 0;
            continue;
        }
        wrong++;
        fprintf(stderr, "the store of node %u has %s, made by %u, %s%s, though nobody has a reference\n", r->node,
                mob_object_id_name(&rows[i].id, name), rows[i].maker, rows[i].state, rows[i].copy ? ", a copy" : "");
    }
    assert(wrong == 0 && spilled == 0 && usage.pulls == 0 && usage.asks == 0);
    assert(count > 0 || (usage.used == 0 && usage.objects == 0 && usage.overflow == 0));
}

void shelf_say(const struct raylet *r)
{
    struct mob_store_usage u = mob_store_usage(r->shelf->store);
    char name[MOB_OBJECT_NAME_SIZE];
    struct mob_store_row rows[64];
    size_t count = mob_store_largest(r->shelf->store, rows, MOB_COUNT(rows));

    fprintf(stderr, "  the store of node %u: %lu of %lu bytes are used, %lu pulls, %lu of them wait for room, as do %lu others; %s\n", r->node,
            (unsigned long)u.used, (unsigned long)u.size, (unsigned long)u.pulls, (unsigned long)u.waiting, (unsigned long)u.asks,
            u.trouble);
    for (size_t i = 0; i < count; i++)
        fprintf(stderr, "    %s: %lu bytes, %s%s, made by %u, read by %u\n", mob_object_id_name(&rows[i].id, name),
                (unsigned long)rows[i].size, rows[i].state, rows[i].copy ? ", a copy" : "", rows[i].maker, rows[i].reader);
}
