/* SPDX-License-Identifier: Apache-2.0 */
/* processes.c -- drivers and workers as their shells make them: they say Hello, have a core or two and a turn, and die.
 *
 * The ends of a process are told in the shells' order: its socket is read to the end, then it is reaped (raylet_link_lost in cluster.c).
 */
#include "faults.h"
#include "stores.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct process *process_of(struct actor *a)
{
    assert(a->kind == ACTOR_PROCESS);
    return MOB_CONTAINER(a, struct process, a);
}

static void process_cancel(struct process *p, const Mobula__Cancel *m)
{
    uint32_t run = mob_executor_cancels(p->executor, m);

    if (run != 0 && !m->alone)
        mob_owner_cancel_run(p->owner, run);
}

static void process_receive(struct actor *a, uint64_t link, const void *frame, size_t size)
{
    struct process *p = process_of(a);
    Mobula__Envelope *e;

    (void)link;
    if (a->sim->wire == NULL)
        a->sim->wire = mob_wire_create();
    e = mob_wire_unpack(a->sim->wire, frame, size, NULL);       /* until the next: nothing is delivered meanwhile */
    assert(e != NULL);
    if (e->body_case == MOBULA__ENVELOPE__BODY_CREATED || e->body_case == MOBULA__ENVELOPE__BODY_FETCHED) {
        desk_receive(p->desk, e);
    } else if (e->body_case == MOBULA__ENVELOPE__BODY_ASSIGN) {
        mob_executor_receive(p->executor, frame, size);
    } else if (e->body_case == MOBULA__ENVELOPE__BODY_CANCEL) {
        process_cancel(p, e->cancel);
    } else {
        kept_hears(p, e);
        mob_owner_receive(p->owner, frame, size);
        kept_heard(p, e);
    }
}

static void process_link_lost(struct actor *a, uint64_t link, const struct mob_error *why, bool refused)
{
    struct process *p = process_of(a);

    (void)link;
    (void)refused;
    p->link = 0;
    if (!p->driver) {
        process_die(p, 0, false);
        return;
    }
    mob_owner_raylet_lost(p->owner, why);
    program_raylet_lost(p->program);
}

static int64_t process_turn(struct actor *a)
{
    struct process *p = process_of(a);
    uint64_t dirty[MOB_DIRTY_BITS / 64] = { 0 };
    int64_t due;

    if (bell_take(&p->bell, dirty)) {
        while (mob_owner_drain(p->owner, dirty, 8))
            continue;
    }
    if (!p->driver)
        work_turn(p);
    if (!p->a.alive)
        return INT64_MAX;
    due = mob_owner_flush(p->owner);
    atomic_store(&p->bell.page->held, mob_owner_is_needed(p->owner));
    return due;
}

/* Nobody here sends what it must not. */
static void on_warn(void *arg, const char *text)
{
    const struct process *p = arg;

    if (strstr(text, "is ended: ") == NULL)
        return;                         /* a shape that fits no node, and the like */
    fprintf(stderr, "process %u of node %u: %s\n", p->self.process, p->self.node, text);
    abort();
}

static int come_in(struct process *p)
{
    struct raylet *r = p->raylet;
    struct mob_hello hello = { .driver = p->driver, .process = p->number, .pid = p->pid, .executable = p->executable };
    struct mob_owner_config owner = { .cluster = 1, .executable = p->executable };
    int64_t year_ns = 365 * 86400 * SIM_S;
    uint32_t depth;

    p->a.world.send = kept_send;
    p->a.receive = process_receive;
    p->a.link_lost = process_link_lost;
    p->a.turn = process_turn;
    link_pair(&r->a, END_LOCAL, &p->raylet_link, &p->a, END_LOCAL, &p->link);
    mob_raylet_link_up(r->core, p->raylet_link, MOB_LINK_LOCAL);
    if (mob_raylet_process_up(r->core, p->raylet_link, &hello, &p->self, &p->job, &depth, NULL) < 0)
        return -1;
    p->state = PROCESS_UP;
    p->number = p->self.process;
    mob_raylet_page(r->core, p->number, p->bell.page);
    if (p->a.sim->config.stores) {
        user_create(p);
        shelf_welcome(p);
    }
    owner.self = p->self;
    owner.job = p->job;
    owner.raylet = p->link;
    owner.wall_offset_ns = 30 * year_ns;
    if (p->a.sim->config.faults & FAULT_CLOCK_STEP)
        owner.wall_offset_ns += ((int64_t)(p->pid % 5) - 2) * year_ns;
    owner.warn = on_warn;
    owner.arg = p;
    p->owner = mob_owner_create(&p->a.world, &owner);
    if (!p->driver) {
        struct mob_executor_config executor = { .cluster = 1, .self = p->self, .raylet = p->link, .page = p->bell.page };
        p->executor = mob_executor_create(&p->a.world, &executor);
    }
    return 0;
}

static void run_hello(struct event *e)
{
    struct process *p = e->arg;

    if (p->state == PROCESS_STARTING && come_in(p) < 0)
        process_die(p, 1, false);
}

void worker_start(struct raylet *r, const struct mob_spawn *ask)
{
    struct sim *s = r->a.sim;
    struct process *p = mob_new(struct process);
    int64_t hello;

    actor_init(s, &p->a, ACTOR_PROCESS, r->a.host);
    p->raylet = r;
    p->number = ask->process;
    p->nonce = ask->nonce;
    p->job = ask->job;
    p->executable = ask->executable;
    p->pid = ++s->next_pid;
    p->bell = bell_new(s);
    p->a.page = p->bell.page;
    host_join(r->a.host, p);
    if (faults_chance(s, FAULT_KILL, 2)) {
        p->state = PROCESS_GONE;
        p->a.alive = false;
        host_leave(p->a.host, p);
        raylet_reaps(p, SIM_MS, -1);
        return;
    }
    hello = SIM_MS + (int64_t)sim_below(s, 9 * SIM_MS);
    if (faults_chance(s, FAULT_DELAY, 10))
        hello += (int64_t)sim_below(s, 2 * SIM_S);              /* its program has a long way */
    sim_after(s, hello, &r->a, run_hello, p);
}

struct process *driver_start(struct host *h, struct program *program)
{
    struct sim *s = h->sim;
    struct raylet *r = h->raylet;
    struct process *p;

    if (r == NULL || r->node == 0)
        return NULL;
    p = mob_new(struct process);
    actor_init(s, &p->a, ACTOR_PROCESS, h);
    p->driver = true;
    p->raylet = r;
    p->program = program;
    p->pid = ++s->next_pid;
    p->bell = bell_new(s);
    p->a.page = p->bell.page;
    p->executable.bytes[0] = (uint8_t)p->pid;
    host_join(h, p);
    if (come_in(p) == 0)
        return p;
    process_die(p, 1, false);
    return NULL;
}

/* The raylet hears the end of its socket, then of its death (raylet_link_lost). */
void process_die(struct process *p, int status, bool silently)
{
    bool had_socket = p->raylet_link != 0;

    if (p->state == PROCESS_GONE)
        return;
    sim_trace(p->a.sim, "process %u of node %u dies", p->number, p->raylet->node);
    p->state = PROCESS_GONE;
    host_leave(p->a.host, p);
    actor_die(&p->a, silently);
    if (p->work != NULL)
        work_abandon(p);
    if (p->owner != NULL)
        p->a.sim->made_again += mob_owner_counts(p->owner).again;
    mob_owner_destroy(p->owner);
    mob_executor_destroy(p->executor);
    p->owner = NULL;
    p->executor = NULL;
    if (!had_socket && p->raylet->a.alive)
        raylet_reaps(p, SIM_MS, status);
}

void process_leave(struct process *p)
{
    process_die(p, 0, false);
}

void process_free(struct process *p)
{
    if (p->work != NULL)
        work_abandon(p);
    if (p->owner != NULL)
        p->a.sim->made_again += mob_owner_counts(p->owner).again;
    mob_owner_destroy(p->owner);
    mob_executor_destroy(p->executor);
    user_free(p);
    kept_fini(p);
}
