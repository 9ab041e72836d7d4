/* SPDX-License-Identifier: Apache-2.0 */
/* world.c -- the core's world: what it asks for, done; and the facts of links, store and bulk, brought to it.
 *
 * Each fact is fed and the ticker poked: before the loop sleeps again, the core ticks once and all local sockets are written once, so that
 * a burst of frames costs one system call a process and not one a frame.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "raylet/fork.h"
#include "raylet/resident.h"

#define DIAL_MS 2000

static struct mob_shell *shell_of(struct mob_world *w)
{
    return MOB_CONTAINER(w, struct mob_shell, world);
}

static int64_t now_ns(struct mob_world *w)
{
    (void)w;
    return mob_now_ns();
}

static uint64_t random_number(struct mob_world *w)
{
    (void)w;
    return mob_random();
}

/* -- links --------------------------------------------------------------------------------------------------------------------- */

static void send_frame(struct mob_world *w, uint64_t link, const void *frame, size_t size)
{
    struct mob_shell *s = shell_of(w);

    if ((link & MOB_LOCAL_LINK) == 0)
        mob_rpc_send(s->rpc, link, frame, size);
    else
        mob_local_send(s->local, link, frame, size, NULL, 0);
}

static size_t queued(struct mob_world *w, uint64_t link)
{
    struct mob_shell *s = shell_of(w);
    struct mob_stream *c = mob_local_find(s->local, link);

    if ((link & MOB_LOCAL_LINK) == 0)
        return mob_rpc_queued(s->rpc, link);
    return c != NULL ? mob_stream_queued(c) : 0;
}

static void hang_up(struct mob_world *w, uint64_t link)
{
    struct mob_shell *s = shell_of(w);
    struct mob_stream *c = mob_local_find(s->local, link);
    struct mob_error why;

    mob_error_set(&why, MOB_ERR_UNREACHABLE, "the raylet ended the connection");
    if ((link & MOB_LOCAL_LINK) == 0)
        mob_rpc_hang_up(s->rpc, link, NULL);
    else if (c != NULL)
        mob_stream_end(c, &why);
}

static uint64_t dial(struct mob_world *w, const char *ip, uint32_t port)
{
    struct mob_shell *s = shell_of(w);
    uint64_t link = mob_rpc_dial(s->rpc, ip, port, DIAL_MS);

    assert((link & MOB_LOCAL_LINK) == 0);
    if (port == s->config.head_port && strcmp(ip, s->config.head_ip) == 0)
        s->head_link = link;
    return link;
}

static void on_up(void *arg, uint64_t link, const char *peer, int accepted)
{
    struct mob_shell *s = arg;

    mob_debug("link %llu with %s is up", (unsigned long long)link, peer);
    mob_raylet_link_up(s->core, link, !accepted && link == s->head_link ? MOB_LINK_HEAD : MOB_LINK_PEER);
    mob_shell_poke(s);
}

static void on_receive(void *arg, uint64_t link, const void *frame, size_t size)
{
    struct mob_shell *s = arg;

    mob_raylet_receive(s->core, link, frame, size);
    mob_shell_poke(s);
}

static void on_lost(void *arg, uint64_t link, const struct mob_error *why)
{
    struct mob_shell *s = arg;

    mob_raylet_link_lost(s->core, link, why);
    mob_shell_poke(s);
}

const struct mob_rpc_callbacks mob_world_rpc = { on_up, on_receive, on_lost };

/* -- processes ----------------------------------------------------------------------------------------------------------------- */

static void spawn_worker(struct mob_world *w, const struct mob_spawn *ask)
{
    mob_spawn_worker(shell_of(w), ask);
}

static bool prepare_workers(struct mob_world *w, const struct mob_spawn *ask)
{
    return mob_spawn_prepare(shell_of(w), ask);
}

static void kill_process(struct mob_world *w, uint32_t process, int signal)
{
    struct mob_resident *r = mob_resident_find(shell_of(w), process);

    if (r == NULL)
        return;
    if (r->driver)                      /* not our child: its connection is all we may end */
        hang_up(w, r->stream != NULL ? mob_stream_tag(r->stream)->link : MOB_LOCAL_LINK);
    else
        mob_resident_kill(r, signal);
}

static void connect_processes(struct mob_world *w, uint32_t owner, uint32_t worker)
{
    mob_channels_connect(shell_of(w), owner, worker);
}

static void cancel_mark(struct mob_world *w, uint32_t process, uint64_t task, uint32_t attempt)
{
    struct mob_resident *r = mob_resident_find(shell_of(w), process);

    if (r == NULL || r->bell.page == NULL)
        return;
    atomic_store(&r->bell.page->cancel_attempt, attempt);
    atomic_store(&r->bell.page->cancel_task, task);
    if (task != 0 && atomic_load(&r->bell.page->interrupts) != 0)
        kill_process(w, process, SIGINT);
}

static bool memory(struct mob_world *w, struct mob_memory *ret)
{
    return mob_gauge_read(&shell_of(w)->gauge, mob_now_ns(), ret);
}

static uint64_t resident(struct mob_world *w, uint32_t process)
{
    struct mob_shell *s = shell_of(w);
    struct mob_resident *r = mob_resident_find(s, process);

    return r != NULL && r->pid != 0 ? mob_weight_read(&r->weight, &s->relatives, r->shown_pid, r->forked, mob_now_ns()) : 0;
}

void mob_world_init(struct mob_shell *s)
{
    s->gauge = (struct mob_gauge){ .root = "", .reserve = s->options->memory_reserve };
    s->world = (struct mob_world){
        .now_ns = now_ns, .random = random_number, .send = send_frame, .hang_up = hang_up, .dial = dial,
        .spawn = spawn_worker, .prepare = prepare_workers, .kill = kill_process, .connect = connect_processes,
        .cancel_mark = cancel_mark, .queued = queued, .memory = memory, .resident = resident,
    };
}

int64_t mob_world_tick(void *shell)
{
    struct mob_shell *s = shell;
    int64_t next, fork;

    mob_lag_look(&s->lag, mob_now_ns());
    next = mob_raylet_tick(s->core);
    fork = mob_forks_tick(s->forks);
    mob_local_flush(s->local);
    mob_coroner_look(&s->coroner, mob_now_ns());
    s->lag.due_ns = fork < next ? fork : next;
    return s->lag.due_ns;
}

/* -- the store ----------------------------------------------------------------------------------------------------------------- */

static void tell(void *arg, struct mob_address to, const Mobula__Envelope *e)
{
    struct mob_shell *s = arg;
    Mobula__Envelope addressed = *e;
    struct mob_envelope addresses;

    mob_envelope_init(&addresses, mob_raylet_self(s->core), to, e->body_case);
    addressed.from = &addresses.from;
    addressed.to = &addresses.to;
    mob_raylet_send(s->core, &addressed);
    mob_shell_poke(s);
}

static void answer_client(void *arg, uint32_t process, const Mobula__Envelope *e)
{
    struct mob_shell *s = arg;

    tell(s, (struct mob_address){ mob_raylet_self(s->core).node, process }, e);
}

/* A flight on its way here. */
struct pull {
    struct mob_posted posted;           /* it cannot even start: told from the loop */
    struct mob_shell *shell;
    struct mob_flight *flight;
};

static void pull_over(struct pull *p, const struct mob_range_result *result)
{
    mob_store_pulled(p->shell->store, p->flight, result);
    mob_shell_poke(p->shell);
    free(p);
}

static void pull_failed(struct mob_posted *posted)
{
    struct pull *p = MOB_CONTAINER(posted, struct pull, posted);
    struct mob_error why;

    mob_error_set(&why, MOB_ERR_NODE_DIED, "it has left");
    pull_over(p, &(struct mob_range_result){ .final = true, .err = &why });
}

static void pull_done(void *arg, const struct mob_range_result *result)
{
    pull_over(arg, result);
}

static void pull(void *arg, struct mob_flight *f)
{
    struct mob_shell *s = arg;
    const struct mob_peer *peer = mob_raylet_peer(s->core, f->range.node);
    struct pull *p = mob_new(struct pull);

    p->shell = s;
    p->flight = f;
    if (peer == NULL || !peer->alive) {
        p->posted.run = pull_failed;
        mob_list_init(&p->posted.link);
        mob_loop_post(s->loop, &p->posted);
        return;
    }
    mob_bulk_get(s->bulk, peer->ip, peer->bulk_port, &f->range, f->incoming, pull_done, p);
}

static void *incoming(void *arg, uint64_t offset, uint64_t size)
{
    struct mob_shell *s = arg;
    uint64_t at;
    int file = mob_store_file(s->store, offset, &at);

    return mob_bulk_incoming_create(s->bulk, (char *)mob_store_arena(s->store) + offset, size, file, at);
}

static void incoming_end(void *arg, void *in)
{
    (void)arg;
    mob_bulk_incoming_end(in);
}

static enum mob_reach reach(void *arg, uint32_t node)
{
    const struct mob_shell *s = arg;

    return mob_raylet_reach(s->core, node);
}

static void mourn(void *arg, uint32_t node, struct mob_error *ret_why)
{
    const struct mob_shell *s = arg;

    mob_raylet_mourn(s->core, node, ret_why);
}

static void seek(void *arg, const struct mob_object_id *id)
{
    struct mob_shell *s = arg;

    mob_raylet_seek(s->core, id);
    mob_shell_poke(s);
}

static void forget(void *arg, uint32_t node, const struct mob_error *why)
{
    struct mob_shell *s = arg;
    const struct mob_peer *peer = mob_raylet_peer(s->core, node);

    if (peer != NULL)
        mob_bulk_forget(s->bulk, peer->ip, peer->bulk_port, why);
}

static void say_waits(void *arg, const struct mob_error *why)
{
    (void)arg;
    mob_warn("an object of another node waits for room here: %s", why->text);
}

/* What another node asks for, and waits for here. */
struct parked {
    struct mob_link link;               /* in shell->parked */
    struct mob_asked asked;
    struct mob_bulk_lookup *lookup;
};

static void park(struct mob_shell *s, const struct mob_asked *asked, struct mob_bulk_lookup *lookup)
{
    struct parked *p = mob_new(struct parked);

    p->asked = *asked;
    p->lookup = lookup;
    mob_list_init(&p->link);
    mob_list_append(&s->parked, &p->link);
}

static void serve(void *arg, const struct mob_asked *asked, struct mob_bulk_lookup *lookup)
{
    struct mob_shell *s = arg;
    struct mob_served served;
    struct mob_error why;

    switch (mob_store_serve(s->store, asked, &served, &why)) {
    case MOB_SERVE_LATER:
        park(s, asked, lookup);
        break;
    case MOB_SERVE_GONE:
        mob_bulk_missing(lookup, &why);
        break;
    case MOB_SERVE_REFER:
    case MOB_SERVE_HERE:
        mob_bulk_found(lookup, &(struct mob_bulk_found){ (const char *)mob_store_arena(s->store) + served.offset, served.ticket,
                                                         served.incoming, served.position, served.refer });
    }
}

/* One of those that wait for it; each of them is told. */
static void restored(void *arg, const struct mob_object_id *id, const struct mob_error *err)
{
    struct mob_shell *s = arg;
    struct parked *p;

    mob_list_each(p, &s->parked, struct parked, link) {
        if (!mob_object_id_eq(&p->asked.id, id))
            continue;
        mob_list_remove(&p->link);
        if (err != NULL)
            mob_bulk_missing(p->lookup, err);
        else
            serve(s, &p->asked, p->lookup);
        free(p);
        return;
    }
}

static void end_liar(void *arg, uint32_t process, const struct mob_error *err)
{
    struct mob_resident *r = mob_resident_find(arg, process);

    if (r != NULL && r->stream != NULL)
        mob_stream_end(r->stream, err); /* hello.c says who, and why */
}

static bool may_run_elsewhere(void *arg, uint32_t process)
{
    return mob_raylet_may_run_elsewhere(((struct mob_shell *)arg)->core, process);
}

#define BEHIND 4096                     /* the footer of a value that fills the store, and 127 names */
#define OVERFLOWS 4                     /* times the arena: addresses, and blocks only as needed */

struct mob_store_config mob_world_store(struct mob_shell *s, uint64_t bytes)
{
    mob_list_init(&s->parked);
    return (struct mob_store_config){ .bytes = bytes, .behind = BEHIND, .overflow = OVERFLOWS * bytes, .answer = answer_client,
                                      .pull = pull, .incoming = incoming, .incoming_end = incoming_end, .reach = reach, .mourn = mourn,
                                      .forget = forget, .seek = seek, .restored = restored, .tell = tell, .waits = say_waits,
                                      .bad = end_liar, .elsewhere = may_run_elsewhere, .disk = mob_spill_do, .arg = s };
}

/* -- bulk ---------------------------------------------------------------------------------------------------------------------- */

static void served(void *arg, uint64_t ticket)
{
    struct mob_shell *s = arg;

    mob_store_serve_done(s->store, ticket);
    mob_shell_poke(s);
}

static int serve_file(void *arg, const struct mob_hash *hash, struct mob_error *err)
{
    struct mob_shell *s = arg;

    return mob_program_open(s->programs, hash, err);
}

const struct mob_bulk_callbacks mob_world_bulk = { serve, served, serve_file };
