/* SPDX-License-Identifier: Apache-2.0 */
/* links.c -- links between actors, and the table by which a core reaches them (struct mob_world).
 *
 * A link has two ends, each with a number of its own. What an end sends arrives in order, after a delay that varies, or when the way is
 * free again (cuts.c); its end (hang up, death) arrives after that. Some of it is delivered once more (faults.c). A broken link loses what
 * is under way.
 */
#include "faults.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define DIAL_NS (2 * SIM_S)
#define SILENCE_NS (10 * SIM_S)         /* until a link to a dead machine is given up */

/* Ends lie side by side, in pieces that do not move, and are used again: a number says which end it was of those at its place. */
#define PLACE_BITS 24
#define PIECE 1024u

struct end {
    uint64_t number;                    /* 0: it is over, and `peer` is the next such */
    uint32_t place;
    struct mob_link of_actor;
    struct actor *actor;
    struct end *peer;                   /* NULL: not up, or the other end is gone */
    enum end_kind kind;
    bool deaf;                          /* hung up: hears nothing but its loss */
    bool up;                            /* of who dialed: it was told */
    int64_t last_at;                    /* when what it sent last arrives */
    uint64_t coming;                    /* frames that are under way to it */
};

static int64_t delay_between(struct sim *s, const struct actor *a, const struct actor *b)
{
    int64_t delay = a->host == b->host ? 5 * SIM_US + (int64_t)sim_below(s, 40 * SIM_US)
                                       : 30 * SIM_US + (int64_t)sim_below(s, 300 * SIM_US);

    if (faults_chance(s, FAULT_DELAY, 2))
        delay += (int64_t)sim_below(s, 5 * SIM_MS);
    if (a->host->slow_until > s->now || b->host->slow_until > s->now)
        delay *= 30;
    return delay;
}

/* When the next thing sent from `e` arrives: never before what was sent earlier, or while the way is cut. */
static int64_t arrival(struct sim *s, struct end *e, const struct actor *to)
{
    int64_t at = s->now + delay_between(s, e->actor, to), cut = cut_until(s, e->actor->host, to->host);

    if (cut != 0 && at < cut)
        at = cut + (int64_t)sim_below(s, 200 * SIM_MS);         /* when it is sent again */

    e->last_at = at > e->last_at ? at : e->last_at + 1;
    return e->last_at - s->now;
}

static struct end *end_at(const struct sim *s, size_t place)
{
    return place < s->end_count ? &s->ends[place / PIECE][place % PIECE] : NULL;
}

static struct end *end_create(struct sim *s, struct actor *a, enum end_kind kind)
{
    struct end *e = s->spare_end;
    uint32_t place = e != NULL ? e->place : (uint32_t)s->end_count;

    if (e != NULL) {
        s->spare_end = e->peer;
    } else {
        assert(place < 1u << PLACE_BITS);
        if (place % PIECE == 0) {
            s->ends = mob_realloc(s->ends, (place / PIECE + 1) * sizeof *s->ends);
            s->ends[place / PIECE] = mob_alloc(PIECE * sizeof *e);
        }
        s->end_count++;
        e = end_at(s, place);
    }
    *e = (struct end){ .number = ++s->next_link << PLACE_BITS | place, .place = place, .actor = a, .kind = kind };
    mob_list_init(&e->of_actor);
    mob_list_append(&a->ends, &e->of_actor);
    return e;
}

static struct end *end_find(const struct sim *s, uint64_t number)
{
    struct end *e = end_at(s, number % (1u << PLACE_BITS));

    return e != NULL && e->number == number ? e : NULL;
}

uint64_t link_next(const struct sim *s, size_t *at)
{
    while (*at < s->end_count) {
        const struct end *e = end_at(s, (*at)++);

        if (e->number != 0)
            return e->number;
    }
    return 0;
}

void links_fini(struct sim *s)
{
    for (size_t i = 0; i < s->end_count; i += PIECE)
        free(s->ends[i / PIECE]);
    free(s->ends);
}

static void end_destroy(struct sim *s, struct end *e)
{
    if (e->peer != NULL)
        e->peer->peer = NULL;
    mob_list_remove(&e->of_actor);
    e->number = 0;
    e->peer = s->spare_end;
    s->spare_end = e;
}

/* The loss of a link, told to its end. n: 1 refused. */
static void run_lost(struct event *e)
{
    struct sim *s = e->actor->sim;
    struct end *end = end_find(s, (uint64_t)(uintptr_t)e->arg);
    struct mob_error why;
    uint64_t number;

    if (end == NULL)
        return;
    number = end->number;
    end_destroy(s, end);
    mob_error_set(&why, MOB_ERR_UNREACHABLE, e->n ? "the port refuses" : "the connection ended");
    e->actor->link_lost(e->actor, number, &why, e->n != 0);
}

static void lose(struct sim *s, struct end *e, int64_t delay, bool refused)
{
    e->deaf = true;
    sim_after(s, delay, e->actor, run_lost, (void *)(uintptr_t)e->number)->n = refused;
}

/* The other end hears of it after all that was sent; it can hear that much. */
static void lose_peer(struct sim *s, struct end *e, int64_t at_least)
{
    struct end *peer = e->peer;
    int64_t delay;

    if (peer == NULL)
        return;
    delay = arrival(s, e, peer->actor);
    sim_after(s, delay > at_least ? delay : at_least, peer->actor, run_lost, (void *)(uintptr_t)peer->number);
}

static void run_repeat(struct event *e)
{
    struct end *end = end_find(e->actor->sim, (uint64_t)(uintptr_t)e->arg);

    if (end != NULL && !end->deaf)
        e->actor->receive(e->actor, end->number, e->bytes, e->size);
}

static void repeat(struct event *e)
{
    struct sim *s = e->actor->sim;
    const struct end *end = end_find(s, (uint64_t)(uintptr_t)e->arg);
    enum repeat when = end == NULL || end->deaf ? REPEAT_NOT : faults_repeat(s, end->kind, e->bytes, e->size);

    if (when == REPEAT_AT_ONCE)
        run_repeat(e);
    else if (when == REPEAT_LATER)
        sim_after_with(s, (int64_t)sim_below(s, 30 * SIM_MS), e->actor, run_repeat, e->arg, e->bytes, e->size);
}

static void run_deliver(struct event *e)
{
    struct end *end = end_find(e->actor->sim, (uint64_t)(uintptr_t)e->arg);

    if (end == NULL)
        return;
    end->coming--;
    if (end->deaf)
        return;
    trace_frame(e->actor, e->bytes, e->size);
    e->actor->receive(e->actor, end->number, e->bytes, e->size);
    repeat(e);
}

bool link_event(struct sim *s, uint64_t link, void (*run)(struct event *e), void *arg, uint64_t n)
{
    struct end *e = end_find(s, link);

    if (e == NULL || e->peer == NULL || e->deaf)
        return false;
    sim_after(s, arrival(s, e, e->peer->actor), e->peer->actor, run, arg)->n = n;
    return true;
}

void link_pair(struct actor *a, enum end_kind a_kind, uint64_t *ret_a, struct actor *b, enum end_kind b_kind, uint64_t *ret_b)
{
    struct end *x = end_create(a->sim, a, a_kind), *y = end_create(a->sim, b, b_kind);

    x->peer = y;
    y->peer = x;
    *ret_a = x->number;
    *ret_b = y->number;
}

bool link_is_between_daemons(const struct sim *s, uint64_t link)
{
    const struct end *e = end_find(s, link);

    return e != NULL && e->kind != END_LOCAL && e->peer != NULL && !e->deaf;
}

/* The other end is gone, and it has not heard; or there is none yet. Whose that is cannot be seen any more. */
static bool has_end_alone(const struct actor *a)
{
    struct end *e;

    mob_list_each(e, &a->ends, struct end, of_actor)
        if (e->kind != END_LOCAL && e->peer == NULL)
            return true;
    return false;
}

bool links_are_quiet(const struct actor *a, const struct actor *b)
{
    struct end *e;
    bool any = false;

    if (has_end_alone(a) || has_end_alone(b))
        return false;
    mob_list_each(e, &a->ends, struct end, of_actor) {
        if (e->kind == END_LOCAL || e->peer->actor != b)
            continue;
        if (e->deaf || e->peer->deaf || !(e->up || e->peer->up) || e->coming + e->peer->coming > 0)
            return false;
        any = true;
    }
    return any;
}

static void run_deaf(struct event *e)
{
    struct end *end = end_find(e->actor->sim, (uint64_t)(uintptr_t)e->arg);

    if (end != NULL)
        end->deaf = true;
}

/* What is under way is lost; in one direction some of it still arrives, as if the stream had ended at some byte. */
void link_break(struct sim *s, uint64_t link)
{
    struct end *e = end_find(s, link), *peer = e->peer;
    int64_t until = sim_chance(s, 50) ? 0 : (int64_t)sim_below(s, 500 * SIM_US);

    sim_trace(s, "link %lu breaks, between hosts %u and %u", (unsigned long)link, e->actor->host->index, peer->actor->host->index);
    if (until > 0)
        sim_after(s, until, peer->actor, run_deaf, (void *)(uintptr_t)peer->number);
    else
        peer->deaf = true;
    sim_after(s, until + (int64_t)sim_below(s, 50 * SIM_MS), peer->actor, run_lost, (void *)(uintptr_t)peer->number);
    lose(s, e, (int64_t)sim_below(s, 50 * SIM_MS), false);
}

void links_break_across(struct sim *s)
{
    uint64_t link;

    for (size_t at = 0; (link = link_next(s, &at)) != 0;) {
        const struct end *e = end_find(s, link);

        if (link_is_between_daemons(s, link) && cut_either(s, e->actor->host, e->peer->actor->host) != 0)
            link_break(s, link);
    }
}

void link_break_all(struct actor *a)
{
    struct end *e;

    mob_list_each(e, &a->ends, struct end, of_actor)
        if (link_is_between_daemons(a->sim, e->number))
            link_break(a->sim, e->number);
}

void links_lose_some(struct actor *a)
{
    struct sim *s = a->sim;
    struct end *e;

    mob_list_each(e, &a->ends, struct end, of_actor) {
        if (e->peer == NULL || sim_chance(s, 50))
            continue;
        if (sim_chance(s, 50))
            e->peer->deaf = true;
        else
            sim_after(s, (int64_t)sim_below(s, 500 * SIM_US), e->peer->actor, run_deaf, (void *)(uintptr_t)e->peer->number);
    }
}

void links_hold_up_some(struct actor *a, int64_t span)
{
    struct sim *s = a->sim;
    struct end *e;

    mob_list_each(e, &a->ends, struct end, of_actor) {
        if (e->kind == END_HEAD || sim_chance(s, 50))
            continue;
        e->last_at = (e->last_at > s->now ? e->last_at : s->now) + (int64_t)sim_below(s, (uint64_t)span);
        faults_trouble(s, e->last_at);
    }
}

void links_hold_up(struct sim *s, int64_t least, int64_t span)
{
    uint64_t number;

    for (size_t at = 0; (number = link_next(s, &at)) != 0;) {
        struct end *e = end_find(s, number);

        if (e->kind != END_PEER || !link_is_between_daemons(s, number) || !sim_chance(s, 50))
            continue;
        e->last_at = (e->last_at > s->now ? e->last_at : s->now) + least + (int64_t)sim_below(s, (uint64_t)span);
        faults_trouble(s, e->last_at);
    }
}

void links_end(struct actor *a, bool silently)
{
    struct end *e;

    mob_list_each(e, &a->ends, struct end, of_actor) {
        lose_peer(a->sim, e, silently ? SILENCE_NS : 0);
        end_destroy(a->sim, e);
    }
}

/* -- dialing --------------------------------------------------------------------------------------------------------------- */

static struct host *host_of(struct sim *s, const char *ip)
{
    unsigned high, low;
    int read = sscanf(ip, "10.0.%u.%u", &high, &low);

    assert(read == 2 && high * 256 + low - 1 <= s->config.nodes);
    return &s->hosts[high * 256 + low - 1];
}

static struct actor *listener(struct sim *s, struct host *h, uint32_t port, bool *ret_off)
{
    *ret_off = h->off;
    if (h->index == 0)
        return s->head != NULL && port == SIM_HEAD_PORT ? s->head_actor : NULL;
    return h->raylet != NULL && h->raylet->a.port == port ? &h->raylet->a : NULL;
}

static void run_up(struct event *e)
{
    struct end *end = end_find(e->actor->sim, (uint64_t)(uintptr_t)e->arg);

    if (end == NULL || end->deaf)
        return;
    end->up = true;
    e->actor->link_up(e->actor, end->number, end->kind);
}

/* At the listener: the dialer may have given up meanwhile. */
static void run_accept(struct event *e)
{
    struct sim *s = e->actor->sim;
    struct end *dialer = end_find(s, (uint64_t)(uintptr_t)e->arg), *mine;

    if (dialer == NULL || dialer->deaf)
        return;
    mine = end_create(s, e->actor, END_PEER);
    mine->peer = dialer;
    dialer->peer = mine;
    sim_after(s, arrival(s, mine, dialer->actor), dialer->actor, run_up, e->arg);
    e->actor->link_up(e->actor, mine->number, END_PEER);
}

static void run_give_up(struct event *e)
{
    struct end *end = end_find(e->actor->sim, (uint64_t)(uintptr_t)e->arg);

    if (end == NULL || end->up)
        return;
    lose_peer(e->actor->sim, end, 0);   /* its answer is under way */
    run_lost(e);
}

/* -- the table --------------------------------------------------------------------------------------------------------------- */

static struct actor *actor_of(struct mob_world *w)
{
    return MOB_CONTAINER(w, struct actor, world);
}

static int64_t world_now(struct mob_world *w)
{
    return actor_of(w)->sim->now;
}

static uint64_t world_random(struct mob_world *w)
{
    return sim_random(actor_of(w)->sim);
}

void link_send(struct mob_world *w, uint64_t link, const void *frame, size_t size)
{
    struct sim *s = actor_of(w)->sim;
    struct end *e = end_find(s, link);

    if (e == NULL || e->peer == NULL || e->deaf)
        return;
    assert(e->actor == actor_of(w));
    if (s->now < s->faults_until && sim_random(s) % 512 == 0) {
        if (faults_now(s, FAULT_REORDER))
            e->last_at = (e->last_at > s->now ? e->last_at : s->now) + (int64_t)sim_below(s, 300 * SIM_MS);
        if (e->kind != END_LOCAL)
            faults_sent(s, link);
    }
    e->peer->coming++;
    sim_after_with(s, arrival(s, e, e->peer->actor), e->peer->actor, run_deliver, (void *)(uintptr_t)e->peer->number, frame, size);
    aim_said(e->actor, link, frame, size);
}

static void world_hang_up(struct mob_world *w, uint64_t link)
{
    struct sim *s = actor_of(w)->sim;
    struct end *e = end_find(s, link);

    if (e == NULL || e->deaf)
        return;
    assert(e->actor == actor_of(w));
    lose_peer(s, e, 0);
    lose(s, e, SIM_US, false);
}

static uint64_t world_dial(struct mob_world *w, const char *ip, uint32_t port)
{
    struct actor *a = actor_of(w);
    struct sim *s = a->sim;
    struct end *e = end_create(s, a, port == SIM_HEAD_PORT ? END_HEAD : END_PEER);
    void *number = (void *)(uintptr_t)e->number;
    bool off;
    struct host *host = host_of(s, ip);
    struct actor *to = listener(s, host, port, &off);

    off |= to == NULL && cut_either(s, a->host, host) != 0;     /* nobody hears the refusal */
    if (to != NULL && !off) {
        sim_after(s, arrival(s, e, to), to, run_accept, number);
        sim_after(s, DIAL_NS, a, run_give_up, number);
    } else {
        sim_after(s, off ? DIAL_NS : 100 * SIM_US, a, run_lost, number)->n = !off;
    }
    return e->number;
}

void world_init(struct mob_world *w)
{
    *w = (struct mob_world){
        .now_ns = world_now, .random = world_random, .send = link_send, .hang_up = world_hang_up, .dial = world_dial,
    };
}
