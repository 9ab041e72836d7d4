/* SPDX-License-Identifier: Apache-2.0 */
/* heads.c -- the head, and who takes its place when it is killed: one that is started on what it has kept, or had kept a while ago. */
#include "faults.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "head/core.h"

static void head_link_up(struct actor *a, uint64_t link, enum end_kind kind)
{
    (void)kind;
    mob_head_link_up(a->sim->head, link);
}

static void head_receive(struct actor *a, uint64_t link, const void *frame, size_t size)
{
    mob_head_receive(a->sim->head, link, frame, size);
}

static void head_link_lost(struct actor *a, uint64_t link, const struct mob_error *why, bool refused)
{
    (void)why;
    mob_head_link_lost(a->sim->head, link, refused);
}

static int64_t head_turn(struct actor *a)
{
    return mob_head_tick(a->sim->head);
}

static void head_send(struct mob_world *w, uint64_t link, const void *frame, size_t size)
{
    link_send(w, link, frame, size);
    faults_head_said(MOB_CONTAINER(w, struct actor, world)->sim, frame, size);
}

struct kept {
    size_t size;
    uint8_t bytes[];
};

/* Of a row, or of a head's start, which raises its generation. */
struct commit {
    bool start;
    enum mob_head_row kind;
    uint64_t key;
    struct kept *before;                /* NULL: no such row was there */
};

static void note_commit(struct sim *s, struct commit c)
{
    s->commits = mob_realloc(s->commits, (s->commit_count + 1) * sizeof *s->commits);
    s->commits[s->commit_count++] = c;
}

static void take_back(struct sim *s, const struct commit *c)
{
    s->head_generation -= c->start;
    if (c->start)
        return;
    free(mob_map_remove(&s->kept[c->kind], c->key));
    if (c->before != NULL)
        mob_map_set(&s->kept[c->kind], c->key, c->before);
}

/* The last commits of the state are lost, but for the first head's start: else it would be that of another cluster. */
static void grow_older(struct sim *s)
{
    size_t lost = 1 + sim_below(s, sim_chance(s, 50) ? 4 : s->commit_count);

    sim_trace(s, "the last %zu commits of the head's state are lost", lost);
    s->head_forgot = true;
    for (; lost > 0 && s->commit_count > 1; lost--)
        take_back(s, &s->commits[--s->commit_count]);
    for (unsigned i = 1; i <= s->config.nodes; i++)     /* who has joined since must come anew; and who died since may be heard of again */
        if (s->hosts[i].excused_until < s->now + 10 * SIM_S)
            s->hosts[i].excused_until = s->now + 10 * SIM_S;
}

/* The disk of the head may be full, now and then. */
static int head_keep(void *arg, enum mob_head_row kind, uint64_t key, const void *bytes, size_t size, struct mob_error *err)
{
    struct sim *s = arg;
    struct kept *k;

    if (kind == MOB_HEAD_JOB && faults_chance(s, FAULT_FULL_DISK, 5))
        return mob_error_set(err, MOB_ERR_NO_SPACE, "the disk is full");
    note_commit(s, (struct commit){ .kind = kind, .key = key, .before = mob_map_remove(&s->kept[kind], key) });
    if (bytes == NULL)
        return 0;
    k = mob_alloc(sizeof *k + size);
    k->size = size;
    memcpy(k->bytes, bytes, size);
    mob_map_set(&s->kept[kind], key, k);
    return 0;
}

static void head_load(struct sim *s)
{
    struct kept *k;

    for (int kind = 0; kind < 3; kind++)
        for (size_t at = 0; (k = mob_map_next(&s->kept[kind], &at, NULL)) != NULL;) {
            int loaded = mob_head_load(s->head, (enum mob_head_row)kind, k->bytes, k->size, NULL);

            assert(loaded == 0);
        }
}

void head_start(struct sim *s)
{
    struct mob_head_config config = { .cluster = "the sim", .beat_ms = 500, .dead_ms = 2500, .generation = ++s->head_generation,
                                      .keep = head_keep, .arg = s };
    struct actor *a = mob_new(struct actor);

    note_commit(s, (struct commit){ .start = true });
    actor_init(s, a, ACTOR_HEAD, &s->hosts[0]);
    a->port = SIM_HEAD_PORT;
    a->link_up = head_link_up;
    a->receive = head_receive;
    a->link_lost = head_link_lost;
    a->turn = head_turn;
    a->world.send = head_send;
    s->head_actor = a;
    s->head = mob_head_create(&a->world, &config);
    head_load(s);
    actor_poke(a);
}

static void run_head_start(struct event *e)
{
    struct sim *s = e->arg;

    if (faults_chance(s, FAULT_OLD_STATE, 50))
        grow_older(s);
    head_start(s);
}

void head_kill(struct sim *s)
{
    if (s->head != NULL)
        links_lose_some(s->head_actor);
    head_kill_for(s, (int64_t)sim_below(s, sim_chance(s, 50) ? 50 * SIM_MS : 4 * SIM_S));
}

void head_kill_for(struct sim *s, int64_t span)
{
    if (s->head == NULL)
        return;
    s->head_forgot |= s->head->state.trouble[0] != '\0';
    sim_trace(s, "the head dies%s", s->head->state.trouble[0] != '\0' ? ", and its state was behind" : "");
    actor_die(s->head_actor, false);
    mob_head_destroy(s->head);
    s->head = NULL;
    faults_trouble(s, s->now + span);
    sim_after(s, span, NULL, run_head_start, s);
}

void head_fini(struct sim *s)
{
    struct kept *k;

    mob_head_destroy(s->head);
    for (size_t i = 0; i < s->commit_count; i++)
        free(s->commits[i].before);
    free(s->commits);
    for (int kind = 0; kind < 3; kind++) {
        for (size_t at = 0; (k = mob_map_next(&s->kept[kind], &at, NULL)) != NULL;)
            free(k);
        mob_map_fini(&s->kept[kind]);
    }
}
