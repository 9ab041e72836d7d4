/* SPDX-License-Identifier: Apache-2.0 */
/* world.c -- between the head's core and the real world: each function passes one fact or one act on, and decides nothing. */
#include "head/shell.h"

#include <string.h>
#include <uuid/uuid.h>

#define DIAL_MS 10000                   /* longer than a silent node lives */
#define REFUSED_NS INT64_C(2000000000)  /* a dial that fails sooner was refused; later, it was silence, or this process was stopped */

static struct shell *shell_of(struct mob_world *w)
{
    return MOB_CONTAINER(w, struct shell, world);
}

static int64_t world_now(struct mob_world *w)
{
    (void)w;
    return mob_now_ns();
}

static uint64_t world_random(struct mob_world *w)
{
    (void)w;
    return mob_random();
}

static void world_send(struct mob_world *w, uint64_t link, const void *frame, size_t size)
{
    mob_rpc_send(shell_of(w)->rpc, link, frame, size);
}

static void world_hang_up(struct mob_world *w, uint64_t link)
{
    mob_rpc_hang_up(shell_of(w)->rpc, link, NULL);
}

static uint64_t world_dial(struct mob_world *w, const char *ip, uint32_t port)
{
    struct shell *s = shell_of(w);
    uint64_t link = mob_rpc_dial(s->rpc, ip, port, DIAL_MS);

    mob_map_set(&s->dialing, link, (void *)(intptr_t)mob_now_ns());     /* a number, kept as a pointer */
    return link;
}

void shell_world_init(struct shell *s)
{
    s->world = (struct mob_world){
        .now_ns = world_now, .random = world_random, .send = world_send, .hang_up = world_hang_up, .dial = world_dial,
    };
}

/* -- links --------------------------------------------------------------------------------------------------------------- */

static void on_up(void *arg, uint64_t link, const char *peer, int accepted)
{
    struct shell *s = arg;

    (void)peer;
    (void)accepted;
    mob_map_remove(&s->dialing, link);
    mob_head_link_up(s->head, link);
    mob_ticker_poke(s->ticker);
}

static void on_receive(void *arg, uint64_t link, const void *frame, size_t size)
{
    struct shell *s = arg;

    mob_head_receive(s->head, link, frame, size);
    mob_ticker_poke(s->ticker);
}

static void on_lost(void *arg, uint64_t link, const struct mob_error *why)
{
    struct shell *s = arg;
    int64_t dialed_ns = (intptr_t)mob_map_remove(&s->dialing, link);    /* 0: it was up */
    bool refused = dialed_ns != 0 && why->code == MOB_ERR_UNREACHABLE && mob_now_ns() - dialed_ns < REFUSED_NS;

    mob_events_link_lost(s->events, link);
    mob_head_link_lost(s->head, link, refused);
    mob_ticker_poke(s->ticker);
    if (s->stopping)
        mob_loop_stop(s->loop);
}

const struct mob_rpc_callbacks shell_links = { .up = on_up, .receive = on_receive, .lost = on_lost };

/* -- what the core asks of its shell --------------------------------------------------------------------------------------- */

static void on_record(void *arg, const void *events, size_t n, uint64_t dropped)
{
    mob_events_add(((struct shell *)arg)->events, events, n, dropped);
}

static void on_job_over(void *arg, struct mob_address job)
{
    mob_events_job_over(((struct shell *)arg)->events, job, mob_wall_ns());
}

static void on_query_events(void *arg, uint64_t link, uint64_t query, struct mob_address from, const char *verb,
                            const char *argument)
{
    mob_events_query(((struct shell *)arg)->events, link, query, from, verb, argument);
}

static int on_keep(void *arg, enum mob_head_row kind, uint64_t key, const void *bytes, size_t size, struct mob_error *err)
{
    return mob_state_file_keep(((struct shell *)arg)->state, kind, key, bytes, size, err);
}

static void on_stop(void *arg)
{
    ((struct shell *)arg)->stopping = true;
}

void shell_head_config(struct shell *s, struct mob_head_config *ret)
{
    *ret = (struct mob_head_config){
        .beat_ms = 500, .dead_ms = 2500,
        .record = on_record, .record_job_over = on_job_over, .query_events = on_query_events, .stop = on_stop, .arg = s,
    };
    if (s->state == NULL) {
        uuid_generate_random(ret->cluster);
        return;
    }
    memcpy(ret->cluster, mob_state_file_cluster(s->state), sizeof ret->cluster);
    ret->keep = on_keep;
    ret->generation = mob_state_file_generation(s->state);
}

void shell_reply(void *arg, uint64_t link, uint64_t query, struct mob_address to, const char *text, size_t size, bool last,
                 const struct mob_error *err)
{
    struct shell *s = arg;

    if (last)
        mob_head_reply(s->head, link, query, to, text, size, err);
    else
        mob_head_reply_part(s->head, link, query, to, text, size);
}

size_t shell_queued(void *arg, uint64_t link)
{
    return mob_rpc_queued(((struct shell *)arg)->rpc, link);
}
