/* SPDX-License-Identifier: Apache-2.0 */
/* cluster.c -- what a raylet's shell does: raylets that start, end and start again, and what they ask of their world (workers, their ends,
 * channels); and the cluster as a whole.
 *
 * A raylet that ends takes its workers with it (the guard's work); a driver goes on and finds its raylet lost.
 */
#include "faults.h"
#include "stores.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_RAYLET_PORT 7000u
#define RESTART_NS (300 * SIM_MS)

/* -- raylets --------------------------------------------------------------------------------------------------------------- */

static struct raylet *raylet_of(struct actor *a)
{
    assert(a->kind == ACTOR_RAYLET);
    return MOB_CONTAINER(a, struct raylet, a);
}

static struct raylet *raylet_of_world(struct mob_world *w)
{
    return raylet_of(MOB_CONTAINER(w, struct actor, world));
}

static struct process *find_process(struct raylet *r, uint32_t number)
{
    const struct host *h = r->a.host;

    for (size_t i = 0; i < h->living_count; i++)
        if (h->living[i].process->raylet == r && h->living[i].process->number == number)
            return h->living[i].process;
    return NULL;
}

static void raylet_link_up(struct actor *a, uint64_t link, enum end_kind kind)
{
    mob_raylet_link_up(raylet_of(a)->core, link, kind == END_HEAD ? MOB_LINK_HEAD : MOB_LINK_PEER);
}

static void raylet_receive(struct actor *a, uint64_t link, const void *frame, size_t size)
{
    struct raylet *r = raylet_of(a);
    bool placed = places_hear(r, frame, size);

    mob_raylet_receive(r->core, link, frame, size);
    places_heard(r);
    if (placed && faults_chance(a->sim, FAULT_DROP, 10) && link_is_between_daemons(a->sim, link))
        link_break(a->sim, link);       /* before its Report: the Place is sent again */
}

static void run_exited(struct event *e)
{
    struct process *p = e->arg;
    struct mob_exit exit = { .status = (int)e->n, .last_lines = "", .why = "it could not be started" };

    mob_raylet_process_exited(raylet_of(e->actor)->core, p->number, &exit);
}

void raylet_reaps(struct process *p, int64_t delay, int status)
{
    sim_after(p->a.sim, delay, &p->raylet->a, run_exited, p)->n = (uint64_t)status;
}

static void raylet_link_lost(struct actor *a, uint64_t link, const struct mob_error *why, bool refused)
{
    struct raylet *r = raylet_of(a);
    struct process *p;

    (void)refused;
    mob_raylet_link_lost(r->core, link, why);
    mob_list_each(p, &a->host->processes, struct process, by_host) {
        if (p->raylet != r || p->raylet_link != link)
            continue;
        p->raylet_link = 0;
        shelf_gone(p);
        if (!p->a.alive || p->driver)
            raylet_reaps(p, (int64_t)sim_below(a->sim, 2 * SIM_MS), p->driver ? 0 : SIGKILL);
    }
}

static int64_t raylet_turn(struct actor *a)
{
    struct raylet *r = raylet_of(a);
    uint64_t dirty[MOB_DIRTY_BITS / 64] = { 0 };

    if (bell_take(&r->bell, dirty))
        mob_raylet_drain(r->core);
    return mob_raylet_tick(r->core);
}

static void raylet_registered(void *arg, uint32_t node, const uint8_t cluster[16])
{
    struct raylet *r = arg;

    (void)cluster;
    check_number(r, node);
    r->node = node;
    if (r->shelf != NULL)
        mob_store_set_node(r->shelf->store, node);
    sim_trace(r->a.sim, "host %u is node %u", r->a.host->index, node);
}

static void run_restart(struct event *e)
{
    struct host *h = e->arg;

    h->off = false;
    raylet_start(h);
}

static void run_end(struct event *e)
{
    struct raylet *r = e->arg;

    if (r->a.alive)
        raylet_kill(r->a.host, false);
}

static void raylet_over(void *arg, const struct mob_error *why)
{
    struct raylet *r = arg;

    sim_trace(r->a.sim, "node %u ends: %s", r->node, why->text);
    r->a.sim->left += why->code == MOB_OK;
    if (why->code == MOB_ERR_NODE_DIED)
        faults_judge_death(r);
    sim_after(r->a.sim, SIM_MS, NULL, run_end, r);
}

void raylet_kill(struct host *h, bool silently)
{
    struct raylet *r = h->raylet;
    struct process *p;
    int64_t again;

    sim_trace(h->sim, "node %u on host %u dies%s", r->node, h->index, silently ? " with its machine" : "");
    h->raylet = NULL;
    h->off = silently;
    actor_die(&r->a, silently);
    if (r->shelf != NULL)
        shelf_die(r->shelf);
    mob_list_each(p, &h->processes, struct process, by_host) {
        if (p->raylet != r || p->state == PROCESS_GONE || (p->driver && !silently))
            continue;
        if (p->driver)
            program_gone(p->program);
        process_die(p, SIGKILL, silently);
    }
    mob_raylet_destroy(r->core);
    r->core = NULL;
    again = silently ? 5 * SIM_S + (int64_t)sim_below(h->sim, 10 * SIM_S) : RESTART_NS;
    faults_trouble(h->sim, h->sim->now + again);
    sim_after(h->sim, again, NULL, run_restart, h);
}

/* -- what a raylet asks of its world ------------------------------------------------------------------------------------------ */

static void raylet_send(struct mob_world *w, uint64_t link, const void *frame, size_t size)
{
    places_say(raylet_of_world(w), frame, size);
    link_send(w, link, frame, size);
    faults_said(raylet_of_world(w), link, frame, size);
}

static void world_spawn(struct mob_world *w, const struct mob_spawn *ask)
{
    worker_start(raylet_of_world(w), ask);
}

static void run_prepared(struct event *e)
{
    mob_raylet_prepared(raylet_of(e->actor)->core, (struct mob_address){ (uint32_t)(e->n >> 32), (uint32_t)e->n });
}

static bool world_prepare(struct mob_world *w, const struct mob_spawn *ask)
{
    struct raylet *r = raylet_of_world(w);
    bool prepares = sim_chance(r->a.sim, 50);

    if (prepares)
        sim_after(r->a.sim, (int64_t)sim_below(r->a.sim, 200 * SIM_MS), &r->a, run_prepared, NULL)->n
            = (uint64_t)ask->job.node << 32 | ask->job.process;
    return prepares;
}

static void run_kill(struct event *e)
{
    process_die(e->arg, (int)e->n, false);
}

/* As worker_main.c's handler: a SIGTERM is for the task that the page names, if one is named. */
static bool survives_sigterm(const struct process *p)
{
    const struct mob_page *page = p->bell.page;
    uint64_t cancelled = atomic_load(&page->cancel_task);

    return cancelled != 0 && !(atomic_load(&page->claimed_ns) != 0 && atomic_load(&page->task) == cancelled
                               && atomic_load(&page->attempt) == atomic_load(&page->cancel_attempt));
}

static void world_kill(struct mob_world *w, uint32_t number, int signal)
{
    struct raylet *r = raylet_of_world(w);
    struct sim *s = r->a.sim;
    struct process *p = find_process(r, number);

    if (p != NULL)
        check_signal(p);
    if (p == NULL || (signal == SIGTERM && survives_sigterm(p)))
        return;
    s->ended_for_memory += signal == SIGKILL && r->a.host->short_until > s->now;
    sim_trace(s, "node %u sends signal %d to process %u", r->node, signal, number);
    if (p->driver)
        r->a.world.hang_up(w, p->raylet_link);
    else
        sim_after(s, 10 * SIM_US, NULL, run_kill, p)->n = (uint64_t)signal;
}

/* A ChannelOpen on its way. */
struct opening {
    void *memory;
    uint32_t owner, worker;
    struct mob_doorbell peer;
};

static void run_channel(struct event *e)
{
    struct opening *o = e->arg;
    struct process *p = process_of(e->actor);
    unsigned bit = p->next_bit++ % (MOB_DIRTY_BITS - 1);

    if (e->n == MOB_CHANNEL_OWNER)
        mob_owner_channel(p->owner, o->worker, mob_channel_on_memory(o->memory, &o->peer, MOB_CHANNEL_OWNER, bit), bit);
    else
        mob_executor_channel(p->executor, (struct mob_address){ p->self.node, o->owner },
                             mob_channel_on_memory(o->memory, &o->peer, MOB_CHANNEL_WORKER, bit));
}

static void run_own_channel(struct event *e)
{
    struct opening *o = e->arg;
    struct raylet *r = raylet_of(e->actor);

    if (find_process(r, o->worker) != NULL)
        mob_raylet_channel(r->core, o->worker, mob_channel_on_memory(o->memory, &o->peer, MOB_CHANNEL_OWNER,
                                                                     o->worker % (MOB_DIRTY_BITS - 1)));
}

static void world_connect(struct mob_world *w, uint32_t owner, uint32_t worker)
{
    struct raylet *r = raylet_of_world(w);
    struct sim *s = r->a.sim;
    struct process *from = owner != 0 ? find_process(r, owner) : NULL, *to = find_process(r, worker);
    struct opening *for_owner, *for_worker;

    if (to == NULL || to->raylet_link == 0 || (owner != 0 && (from == NULL || from->raylet_link == 0)))
        return;
    for_owner = sim_memory(s, sizeof *for_owner);
    for_worker = sim_memory(s, sizeof *for_worker);
    *for_owner = (struct opening){ .memory = sim_memory(s, mob_channel_memory_size()), .owner = owner, .worker = worker, .peer = to->bell };
    *for_worker = *for_owner;
    for_worker->peer = from != NULL ? from->bell : r->bell;
    link_event(s, to->raylet_link, run_channel, for_worker, MOB_CHANNEL_WORKER);
    if (from != NULL)
        link_event(s, from->raylet_link, run_channel, for_owner, MOB_CHANNEL_OWNER);
    else
        sim_after(s, SIM_US, &r->a, run_own_channel, for_owner);
}

static size_t world_queued(struct mob_world *w, uint64_t link)
{
    (void)w, (void)link;
    return 0;
}

static void world_cancel_mark(struct mob_world *w, uint32_t number, uint64_t task, uint32_t attempt)
{
    struct process *p = find_process(raylet_of_world(w), number);

    if (p == NULL)
        return;
    atomic_store(&p->bell.page->cancel_attempt, attempt);
    atomic_store(&p->bell.page->cancel_task, task);
}

static void raylet_resources(struct raylet *r)
{
    char text[128];
    struct mob_resources *own = &r->config.resources;
    unsigned i = r->a.host->index;
    int parsed;

    snprintf(text, sizeof text, "CPU=%u,node:%s=1%s", 2 + i % 3, r->a.host->ip, i % 2 == 0 ? ",gold=2" : "");
    parsed = mob_resources_parse(text, own, NULL);
    assert(parsed == 0);
    mob_resources_set(own, "GPU", i % 3 == 1 ? SIM_GPUS * MOB_UNITS : 0);
    for (uint32_t g = 0; g < SIM_GPUS; g++)
        r->config.gpus[g] = g;
}

void raylet_start(struct host *h)
{
    struct sim *s = h->sim;
    struct raylet *r = mob_new(struct raylet);
    struct mob_raylet_config *c = &r->config;
    uint64_t half = sim_random(s);

    actor_init(s, &r->a, ACTOR_RAYLET, h);
    r->a.world.send = raylet_send;
    r->a.world.spawn = world_spawn;
    r->a.world.memory = s->config.memory ? faults_memory : NULL;
    r->a.world.resident = faults_resident;
    r->a.world.prepare = world_prepare;
    r->a.world.kill = world_kill;
    r->a.world.connect = world_connect;
    r->a.world.cancel_mark = world_cancel_mark;
    r->a.world.queued = world_queued;
    r->a.link_up = raylet_link_up;
    r->a.receive = raylet_receive;
    r->a.link_lost = raylet_link_lost;
    r->a.turn = raylet_turn;
    r->a.port = FIRST_RAYLET_PORT + h->starts++;
    r->bell = bell_new(s);
    r->a.page = r->bell.page;
    raylet_resources(r);
    mob_copy(c->ip, sizeof c->ip, h->ip);
    mob_copy(c->host, sizeof c->host, h->ip);
    mob_copy(c->head_ip, sizeof c->head_ip, s->hosts[0].ip);
    memcpy(c->incarnation, &half, sizeof half);
    c->port = r->a.port;
    c->pid = ++s->next_pid;
    c->head_port = SIM_HEAD_PORT;
    c->headless_ms = 60000;
    /* Where heads are restarted, half the runs start a worker for nearly each lease: what is placed then waits for a while. */
    c->idle_worker_ms = (s->config.faults & FAULT_RESTART_HEAD) && s->config.seed % 2 == 0 ? 100 : 1000;
    c->cancel_grace_ms = 500;
    c->memory_reserve = MOB_MEMORY_RESERVE;
    c->session_dir = "";
    c->registered = raylet_registered;
    c->over = raylet_over;
    c->arg = r;
    if (s->config.stores) {
        r->shelf = shelf_create(r, s->config.store_bytes);
        c->store = r->shelf->store;
        c->bulk_port = 1;
    }
    r->core = mob_raylet_create(&r->a.world, c);
    h->raylet = r;
    actor_poke(&r->a);
}

/* -- the whole --------------------------------------------------------------------------------------------------------------- */

struct sim *sim_create(const struct sim_config *config)
{
    struct sim *s = mob_new(struct sim);

    assert(config->nodes >= 1 && config->nodes <= SIM_HOSTS_MAX);
    s->config = *config;
    s->random = config->seed * UINT64_C(0x5851f42d4c957f2d) + 1;
    s->now = 100 * SIM_S;
    mob_list_init(&s->actors);
    mob_list_init(&s->programs);
    mob_list_init(&s->transfers);
    for (unsigned i = 0; i <= config->nodes; i++) {
        struct host *h = &s->hosts[i];
        h->sim = s;
        h->index = i;
        snprintf(h->ip, sizeof h->ip, "10.0.%u.%u", (i + 1) / 256, (i + 1) % 256);
        mob_list_init(&h->processes);
    }
    head_start(s);
    for (unsigned i = 1; i <= config->nodes; i++)
        raylet_start(&s->hosts[i]);
    for (unsigned i = 0; i < config->drivers; i++)
        program_create(s, &s->hosts[1 + i % config->nodes], i);
    faults_plan(s);
    drains_plan(s);
    return s;
}

static void raylet_free(struct raylet *r)
{
    mob_raylet_destroy(r->core);
    shelf_free(r->shelf);
    places_fini(r);
}

void sim_destroy(struct sim *s)
{
    struct actor *a;

    programs_destroy(s);
    mob_list_each(a, &s->actors, struct actor, link) {
        if (a->kind == ACTOR_PROCESS)
            process_free(process_of(a));
        else if (a->kind == ACTOR_RAYLET)
            raylet_free(raylet_of(a));
    }
    head_fini(s);
    mob_list_each(a, &s->actors, struct actor, link)
        free(a);                        /* the first member of what it is */
    queue_fini(s);
    links_fini(s);
    for (unsigned i = 0; i <= s->config.nodes; i++)
        free(s->hosts[i].living);
    mob_wire_destroy(s->wire);
    mob_map_fini(&s->runs);
    mob_map_fini(&s->unknown);
    for (size_t i = 0; i < s->memory_count; i++)
        free(s->memory[i]);
    free(s->memory);
    free(s);
}
