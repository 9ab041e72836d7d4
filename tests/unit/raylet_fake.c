/* SPDX-License-Identifier: Apache-2.0 */
/* raylet_fake.c -- the world of a raylet's core in memory, and what a head, peers and processes say to it. */
#include "raylet_fake.h"

#include <assert.h>
#include <signal.h>

static struct fake *fake_of(struct mob_world *w)
{
    return MOB_CONTAINER(w, struct fake, world);
}

static int64_t world_now(struct mob_world *w)
{
    return fake_of(w)->now_ns;
}

static uint64_t world_random(struct mob_world *w)
{
    return unit_random(&fake_of(w)->random);
}

static void world_send(struct mob_world *w, uint64_t link, const void *frame, size_t size)
{
    struct fake *f = fake_of(w);

    if (f->sent_count == f->sent_room) {
        f->sent_room = f->sent_room * 2 + 64;
        f->sent = mob_realloc(f->sent, f->sent_room * sizeof *f->sent);
    }
    f->sent[f->sent_count] = (struct fake_sent){ .link = link, .bytes = malloc(size), .size = size };
    memcpy(f->sent[f->sent_count++].bytes, frame, size);
}

static void world_hang_up(struct mob_world *w, uint64_t link)
{
    fake_of(w)->hung_up = link;
    fake_of(w)->hang_ups++;
}

static uint64_t world_dial(struct mob_world *w, const char *ip, uint32_t port)
{
    struct fake *f = fake_of(w);

    (void)ip;
    f->dials++;
    f->dialed = ++f->next_link;
    if (port == f->config.head_port)
        f->dialed_head = f->dialed;
    return f->dialed;
}

static void world_spawn(struct mob_world *w, const struct mob_spawn *ask)
{
    struct fake *f = fake_of(w);
    struct fake_process *p = &f->process[ask->process];

    assert(ask->process < FAKE_PROCESSES && !p->spawned);
    *p = (struct fake_process){ .spawned = true, .job = ask->job, .gpu_count = ask->gpu_count };
    for (size_t i = 0; i < ask->gpu_count; i++)
        p->gpus[i] = ask->gpus[i];
    if (ask->process >= f->spawned)
        f->spawned = ask->process + 1;
}

static bool world_prepare(struct mob_world *w, const struct mob_spawn *ask)
{
    assert(ask->process == 0);
    return fake_of(w)->prepares;
}

static void world_kill(struct mob_world *w, uint32_t process, int signal)
{
    fake_of(w)->process[process].killed = signal;
}

static void world_connect(struct mob_world *w, uint32_t owner, uint32_t worker)
{
    (void)owner, (void)worker;
    fake_of(w)->connected++;
}

static void world_mark(struct mob_world *w, uint32_t process, uint64_t task, uint32_t attempt)
{
    (void)process, (void)attempt;
    fake_of(w)->mark_task = task;
}

static size_t world_queued(struct mob_world *w, uint64_t link)
{
    return link == fake_of(w)->slow ? fake_of(w)->slow_queued : 0;
}

static bool world_memory(struct mob_world *w, struct mob_memory *ret)
{
    struct fake *f = fake_of(w);

    f->memory_looks++;
    *ret = f->memory;
    return f->memory.limit > 0;
}

static uint64_t world_resident(struct mob_world *w, uint32_t process)
{
    return fake_of(w)->process[process].resident;
}

void fake_watch_memory(struct fake *f)
{
    f->world.memory = world_memory;
    f->world.resident = world_resident;
    f->config.memory_reserve = MOB_MEMORY_RESERVE;
    f->memory.limit = UINT64_C(16) << 30;
    mob_copy(f->memory.of, sizeof f->memory.of, "the machine's");
}

static void on_over(void *arg, const struct mob_error *why)
{
    ((struct fake *)arg)->over = *why;
}

static void on_flush_output(void *arg, struct mob_address job)
{
    struct fake *f = arg;

    f->flushed = job;
    f->flushed_after = f->sent_count;
}

void fake_init(struct fake *f, const char *resources)
{
    memset(f, 0, sizeof *f);
    f->world = (struct mob_world){ world_now, world_random, world_send, world_hang_up, world_dial, world_spawn, world_prepare,
                                   world_kill, world_connect, world_mark, world_queued, NULL, NULL };
    f->wire = mob_wire_create();
    f->now_ns = 1000 * FAKE_MS;
    f->random = 88172645463325252ull;
    f->process = calloc(FAKE_PROCESSES, sizeof *f->process);
    memset(f->executable.bytes, 7, sizeof f->executable.bytes);
    f->config = (struct mob_raylet_config){ .ip = "127.0.0.1", .host = "here", .port = 9, .head_ip = "127.0.0.1", .head_port = 8,
        .headless_ms = 60000, .idle_worker_ms = 1000, .cancel_grace_ms = 5000, .over = on_over, .flush_output = on_flush_output,
        .arg = f };
    for (uint32_t i = 0; i < 64; i++)
        f->config.gpus[i] = 10 + i;
    ck_assert_int_eq(mob_resources_parse(resources, &f->config.resources, NULL), 0);
}

void fake_start(struct fake *f)
{
    f->raylet = mob_raylet_create(&f->world, &f->config);
    fake_tick(f);
    f->head = f->dialed_head;
}

void fake_fini(struct fake *f)
{
    mob_raylet_destroy(f->raylet);
    fake_forget_sent(f);
    mob_wire_destroy(f->wire);
    free(f->sent);
    free(f->process);
}

void fake_tick(struct fake *f)
{
    mob_raylet_tick(f->raylet);
    mob_raylet_check(f->raylet);
}

void fake_pass(struct fake *f, int64_t ms)
{
    for (int64_t end = f->now_ns + ms * FAKE_MS; f->now_ns < end;) {
        int64_t next = mob_raylet_tick(f->raylet);

        f->now_ns = next < end && next > f->now_ns ? next : end;
        mob_raylet_check(f->raylet);
    }
    fake_tick(f);
}

struct mob_address fake_at(uint32_t node, uint32_t process)
{
    return (struct mob_address){ node, process };
}

/* -- messages ------------------------------------------------------------------------------------------------------------ */

static Mobula__Envelope *unpack(struct fake *f, struct fake_sent *s, Mobula__Envelope__BodyCase body, uint64_t link)
{
    struct mob_error err;
    Mobula__Envelope *e;

    if (s->bytes == NULL || s->link != link)
        return NULL;
    e = mob_wire_unpack(f->wire, s->bytes, s->size, &err);
    ck_assert_msg(e != NULL, "%s", err.text);
    if (e->body_case != body)
        return NULL;
    free(s->bytes);
    s->bytes = NULL;
    return e;
}

Mobula__Envelope *fake_take(struct fake *f, uint64_t link, Mobula__Envelope__BodyCase body)
{
    Mobula__Envelope *e;

    for (size_t i = 0; i < f->sent_count; i++)
        if ((e = unpack(f, &f->sent[i], body, link)) != NULL)
            return e;
    return NULL;
}

size_t fake_count(struct fake *f, uint64_t link, Mobula__Envelope__BodyCase body)
{
    size_t n = 0;

    while (fake_take(f, link, body) != NULL)
        n++;
    return n;
}

void fake_forget_sent(struct fake *f)
{
    for (size_t i = 0; i < f->sent_count; i++)
        free(f->sent[i].bytes);
    f->sent_count = 0;
}

void fake_say(struct fake *f, uint64_t link, struct mob_address from, struct mob_address to, Mobula__Envelope__BodyCase body,
              void *message)
{
    struct mob_wire *wire = mob_wire_create();
    struct mob_envelope e;
    const void *bytes;
    size_t size;

    mob_envelope_init(&e, from, to, body);
    e.e.want = message;
    bytes = mob_wire_pack(wire, &e.e, &size);
    mob_raylet_receive(f->raylet, link, bytes, size);
    mob_raylet_check(f->raylet);
    mob_wire_destroy(wire);
}

/* -- the head ------------------------------------------------------------------------------------------------------------ */

void fake_head_says(struct fake *f, Mobula__Envelope__BodyCase body, void *message)
{
    fake_say(f, f->head, fake_at(0, 0), fake_at(FAKE_NODE, 0), body, message);
}

void fake_join(struct fake *f)
{
    Mobula__Registered m = MOBULA__REGISTERED__INIT;
    Mobula__Peer peer[2] = { MOBULA__PEER__INIT, MOBULA__PEER__INIT }, *peers[2] = { &peer[0], &peer[1] };
    uint8_t cluster[16] = { 1 };

    mob_raylet_link_up(f->raylet, f->head, MOB_LINK_HEAD);
    ck_assert_ptr_nonnull(fake_take(f, f->head, MOBULA__ENVELOPE__BODY_REGISTER_NODE));
    m.node = FAKE_NODE;
    m.cluster.data = cluster;
    m.cluster.len = sizeof cluster;
    m.beat_ms = 500;
    m.generation = f->generation;
    m.last = f->last > 4 ? f->last : 4;
    m.events_heard = f->events_heard;
    for (uint32_t i = 0; i < 2; i++) {
        peer[i].node = 3 + i;
        peer[i].ip = "127.0.0.1";
        peer[i].host = "there";
        peer[i].port = 100 + i;
    }
    m.n_nodes = 2;
    m.nodes = peers;
    fake_head_says(f, MOBULA__ENVELOPE__BODY_REGISTERED, &m);
    fake_tick(f);
}

void fake_open(struct fake *f, const char *resources)
{
    fake_init(f, resources);
    fake_start(f);
    fake_join(f);
}

static void fill_definition(struct fake *f, struct mob_address job, struct fake_ask ask, Mobula__Shape *ret,
                            struct mob_shape_room *room, struct mob_shape *shape)
{
    *shape = (struct mob_shape){ .strategy = ask.strategy, .node = ask.node, .executable = f->executable, .job = job,
                                 .executable_node = job.node };
    ck_assert_int_eq(mob_resources_parse(ask.resources != NULL ? ask.resources : "CPU=1", &shape->resources, NULL), 0);
    mobula__shape__init(ret);
    mob_wire_put_shape(ret, room, shape);
}

static void fill_peer(Mobula__Peer *ret, uint32_t node)
{
    mobula__peer__init(ret);
    ret->node = node;
    ret->ip = "127.0.0.1";
    ret->host = "there";
    ret->port = 100;
}

void fake_node_up(struct fake *f, uint32_t node)
{
    Mobula__NodeUp m = MOBULA__NODE_UP__INIT;
    Mobula__Peer peer;

    fill_peer(&peer, node);
    m.node = &peer;
    fake_head_says(f, MOBULA__ENVELOPE__BODY_NODE_UP, &m);
}

void fake_node_down(struct fake *f, uint32_t node, bool left, const char *reason)
{
    Mobula__NodeDown m = MOBULA__NODE_DOWN__INIT;

    m.node = node;
    m.left = left;
    m.reason = (char *)reason;
    fake_head_says(f, MOBULA__ENVELOPE__BODY_NODE_DOWN, &m);
}

void fake_place(struct fake *f, struct mob_address owner, struct fake_ask ask)
{
    static uint64_t seq;
    Mobula__Place m = MOBULA__PLACE__INIT;
    Mobula__Address address;
    Mobula__Shape definition;
    Mobula__Peer peer;
    struct mob_shape_room room;
    struct mob_shape shape;

    fill_definition(f, fake_at(owner.node, 1), ask, &definition, &room, &shape);
    mob_wire_put_address(&address, owner);
    fill_peer(&peer, owner.node);
    m.seq = ++seq;
    m.owner = &address;
    m.shape = ask.shape;
    m.definition = &definition;
    m.count = ask.count;
    m.owner_node = &peer;
    m.depth = ask.depth;
    m.age_ms = ask.age_ms;
    fake_head_says(f, MOBULA__ENVELOPE__BODY_PLACE, &m);
}

void fake_claim(struct fake *f, struct mob_address owner, struct fake_ask ask)
{
    Mobula__Claim m = MOBULA__CLAIM__INIT;
    Mobula__Address address;
    Mobula__Shape definition;
    Mobula__Peer peer;
    struct mob_shape_room room;
    struct mob_shape shape;

    fill_definition(f, fake_at(owner.node, 1), ask, &definition, &room, &shape);
    mob_wire_put_address(&address, owner);
    fill_peer(&peer, owner.node);
    m.number = ++f->claims;
    m.owner = &address;
    m.shape = ask.shape;
    m.definition = ask.count > 0 ? &definition : NULL;
    m.count = ask.count;
    m.owner_node = &peer;
    m.depth = ask.depth;
    m.age_ms = ask.age_ms;
    m.full = ask.full;
    fake_head_says(f, MOBULA__ENVELOPE__BODY_CLAIM, &m);
}

void fake_placed(struct fake *f, uint32_t process, uint32_t shape, uint32_t node, uint32_t count)
{
    Mobula__Placed m = MOBULA__PLACED__INIT;
    Mobula__Address owner;

    mob_wire_put_address(&owner, fake_at(FAKE_NODE, process));
    m.owner = &owner;
    m.shape = shape;
    m.node = node;
    m.count = count;
    m.seq = ++f->places;
    fake_head_says(f, MOBULA__ENVELOPE__BODY_PLACED, &m);
    fake_tick(f);
}

int64_t fake_demand(struct fake *f)
{
    Mobula__Envelope *e;
    int64_t level = -1;

    fake_tick(f);
    while ((e = fake_take(f, f->head, MOBULA__ENVELOPE__BODY_DEMAND)) != NULL)
        level = e->demand->count;
    return level;
}

int64_t fake_free(struct fake *f, const char *name)
{
    Mobula__Envelope *e;
    int64_t units = -1;

    fake_pass(f, 10);
    while ((e = fake_take(f, f->head, MOBULA__ENVELOPE__BODY_REPORT)) != NULL) {
        struct mob_resources all;

        ck_assert_int_eq(mob_wire_resources(e->report->free, e->report->n_free, &all, NULL), 0);
        units = 0;
        for (size_t i = 0; i < e->report->n_free; i++)
            if (strcmp(e->report->free[i]->name, name) == 0)
                units = e->report->free[i]->units;
    }
    return units;
}

/* -- processes ----------------------------------------------------------------------------------------------------------- */

static uint32_t hello(struct fake *f, const struct mob_hello *h)
{
    struct mob_address self, job;
    struct mob_error err;
    uint64_t link = ++f->next_link;
    uint32_t depth;

    mob_raylet_link_up(f->raylet, link, MOB_LINK_LOCAL);
    ck_assert_msg(mob_raylet_process_up(f->raylet, link, h, &self, &job, &depth, &err) == 0, "%s", err.text);
    f->process[self.process].link = link;
    f->process[self.process].up = true;
    mob_raylet_page(f->raylet, self.process, &f->process[self.process].page);
    mob_raylet_check(f->raylet);
    return self.process;
}

uint32_t fake_driver(struct fake *f)
{
    uint32_t process = hello(f, &(struct mob_hello){ .driver = true, .pid = 77, .executable = f->executable, .name = "job" });

    f->process[process].driver = true;
    return process;
}

void fake_worker_up(struct fake *f, uint32_t process)
{
    hello(f, &(struct mob_hello){ .process = process, .pid = 1000 + process, .executable = f->executable });
}

void fake_all_up(struct fake *f)
{
    for (uint32_t i = 0; i < f->spawned; i++)   /* more may be spawned meanwhile */
        if (f->process[i].spawned && !f->process[i].up && !f->process[i].gone && f->process[i].killed == 0)
            fake_worker_up(f, i);
}

void fake_exit(struct fake *f, uint32_t process, int status)
{
    bool late = f->process[process].killed == 0;

    f->process[process].gone = true;
    if (f->process[process].link != 0)
        mob_raylet_link_lost(f->raylet, f->process[process].link, NULL);
    mob_raylet_process_exited(f->raylet, process, &(struct mob_exit){ .status = status, .late = late, .out_of_memory = f->out_of_memory,
        .core = f->core, .peak_rss_bytes = 3 << 20,
        .cpu_ns = 20 * FAKE_MS, .why = "no reason", .last_lines = "one line\nlast words" });
    mob_raylet_check(f->raylet);
}

void fake_unfit(struct fake *f, uint32_t process)
{
    f->process[process].gone = true;
    mob_raylet_process_exited(f->raylet, process, &(struct mob_exit){ .status = -1, .unfit = true, .why = "node here is a toaster",
                                                                     .last_lines = "" });
    mob_raylet_check(f->raylet);
}

void fake_reap(struct fake *f)
{
    for (uint32_t i = 0; i < f->spawned; i++)
        if (f->process[i].spawned && f->process[i].killed != 0 && !f->process[i].gone)
            fake_exit(f, i, f->process[i].killed);
}

void fake_want(struct fake *f, uint32_t process, struct fake_ask ask)
{
    Mobula__Want m = MOBULA__WANT__INIT;
    struct fake_process *p = &f->process[process];
    struct mob_address self = fake_at(FAKE_NODE, process);
    Mobula__Shape definition;
    struct mob_shape_room room;
    struct mob_near_room near;
    struct mob_shape shape;

    fill_definition(f, p->driver ? self : p->job, ask, &definition, &room, &shape);
    m.shape = ask.shape;
    m.definition = &definition;
    m.count = ask.count;
    m.grants_seen = ask.seen;
    m.depth = ask.depth;
    m.n_near = mob_wire_put_near(&near, ask.near, MOB_COUNT(ask.near));
    m.near = near.list;
    fake_say(f, p->link, self, fake_at(FAKE_NODE, 0), MOBULA__ENVELOPE__BODY_WANT, &m);
}

bool fake_grant(struct fake *f, uint64_t link, struct fake_grant *ret)
{
    Mobula__Envelope *e = fake_take(f, link, MOBULA__ENVELOPE__BODY_GRANT);

    if (e == NULL)
        return false;
    *ret = (struct fake_grant){ .lease = e->grant->lease, .worker = e->grant->worker->process, .epoch = e->grant->epoch,
                                .shape = e->grant->shape, .place_seq = e->grant->place_seq, .gpu_count = e->grant->n_gpus };
    for (size_t i = 0; i < e->grant->n_gpus; i++)
        ret->gpus[i] = e->grant->gpus[i];
    return true;
}

void fake_return(struct fake *f, uint32_t process, uint64_t lease)
{
    Mobula__Return m = MOBULA__RETURN__INIT;

    m.lease = lease;
    fake_say(f, f->process[process].link, fake_at(FAKE_NODE, process), fake_at(FAKE_NODE, 0),
             MOBULA__ENVELOPE__BODY_RETURN_LEASE, &m);
}

void fake_blocked(struct fake *f, uint32_t process, bool blocked)
{
    Mobula__Blocked b = MOBULA__BLOCKED__INIT;
    Mobula__Unblocked u = MOBULA__UNBLOCKED__INIT;

    fake_say(f, f->process[process].link, fake_at(FAKE_NODE, process), fake_at(FAKE_NODE, 0),
             blocked ? MOBULA__ENVELOPE__BODY_BLOCKED : MOBULA__ENVELOPE__BODY_UNBLOCKED, blocked ? (void *)&b : (void *)&u);
}

void fake_runs(struct fake *f, const struct fake_grant *g, uint64_t task, uint32_t attempt)
{
    struct mob_page *page = &f->process[g->worker].page;

    page->epoch = g->epoch;
    page->task = task;
    page->attempt = attempt;
    page->claimed_ns = task != 0 ? f->now_ns : 0;
    page->state = task != 0 ? MOB_WORKER_RUNNING : MOB_WORKER_IDLE;
}

/* -- peers --------------------------------------------------------------------------------------------------------------- */

uint64_t fake_peer(struct fake *f, uint32_t node)
{
    Mobula__PeerHello m = MOBULA__PEER_HELLO__INIT;
    uint8_t cluster[16] = { 1 };
    uint64_t link = ++f->next_link;

    mob_raylet_link_up(f->raylet, link, MOB_LINK_PEER);
    m.protocol = MOB_PROTOCOL;
    m.node = node;
    m.cluster.data = cluster;
    m.cluster.len = sizeof cluster;
    m.known = true;
    m.forgot_seq = f->forgot_seq;
    fake_say(f, link, fake_at(node, 0), fake_at(0, 0), MOBULA__ENVELOPE__BODY_PEER_HELLO, &m);
    return link;
}

void fake_lose(struct fake *f, uint64_t link)
{
    struct mob_error why;

    mob_error_set(&why, MOB_ERR_UNREACHABLE, "cut");
    mob_raylet_link_lost(f->raylet, link, &why);
    mob_raylet_check(f->raylet);
    fake_tick(f);
}
