/* SPDX-License-Identifier: Apache-2.0 */
/* store_giver.c -- who asks a node next, and for which range.
 *
 * Each node that gives us objects has queues of the pulls that have something to ask it, by priority; within one, each has its turn with a
 * range of some chunks. Large objects cannot take all of the flights: an object of one chunk goes before them, and finds a place soon.
 * A pull leaves the queue while it has its share of flights, or nothing left to ask.
 */
#include <assert.h>
#include <stdlib.h>

#include "objstore/store_private.h"

#define CHUNK MOB_CHUNK
#define RANGE_CHUNKS 4                  /* asked for at once */
#define PULL_FLIGHTS_MAX 2              /* of one pull */
#define GIVER_FLIGHTS_MAX 4             /* from one node ... */
#define GIVER_LARGE_MAX 3               /* ... and of those, of objects of more than a chunk */

bool mob_pull_has(const struct pull *p, uint64_t offset, uint64_t length)
{
    for (uint64_t at = offset; at < offset + length; at += CHUNK)
        if (p->chunks[at / CHUNK] != CHUNK_HERE)
            return false;
    return true;
}

static struct giver *giver_of(struct mob_store *s, uint32_t node)
{
    struct giver *g = mob_map_get(&s->pulls.givers, node);

    if (g != NULL)
        return g;
    g = mob_new(struct giver);
    g->node = node;
    for (unsigned i = 0; i < PRIORITIES; i++)
        for (unsigned j = 0; j < 2; j++)
            mob_list_init(&g->queues[i][j]);
    mob_map_set(&s->pulls.givers, node, g);
    return g;
}

static bool is_large(const struct pull *p)
{
    return p->size > CHUNK;
}

/* Until the root has given it a place in line, one chunk is asked for: more asks would be more places. */
static bool is_unplaced(const struct pull *p)
{
    return p->size >= LINE_MIN && !p->placed && !p->from->referred;
}

static void find_missing(struct pull *p)
{
    while (p->next < p->size && p->chunks[p->next / CHUNK] != CHUNK_MISSING)
        p->next += CHUNK;
}

/* It has something to ask, and may. */
static bool may_ask(struct pull *p)
{
    find_missing(p);
    return p->next < p->size && p->flights < (is_unplaced(p) ? 1u : PULL_FLIGHTS_MAX);
}

static void take_off(struct pull *p, struct giver *g)
{
    struct mob_flight *f = mob_new(struct mob_flight);
    uint64_t end = p->next, most = is_unplaced(p) ? 1 : RANGE_CHUNKS;

    for (uint64_t i = 0; i < most && end < p->size && p->chunks[end / CHUNK] == CHUNK_MISSING; i++) {
        p->chunks[end / CHUNK] = CHUNK_ASKED;
        end += CHUNK;
    }
    end = end < p->size ? end : p->size;
    f->range = (struct mob_range){
        .ask = { .id = p->id, .size = p->size, .offset = p->next, .length = end - p->next, .asker = p->store->config.node,
                 .root = p->root, .position = p->position, .failed = p->from->referred ? 0 : p->failed, .direct = p->direct },
        .node = g->node, .referred = p->from->referred,
    };
    f->incoming = p->incoming;
    f->pull = p;
    f->round = p->round;
    p->flights++;
    g->flights++;
    g->large += is_large(p);
    p->store->config.pull(p->store->config.arg, f);
}

static struct pull *next_of(struct giver *g)
{
    for (unsigned i = PRIORITIES; i-- > 0;) {
        if (!mob_list_empty(&g->queues[i][0]))
            return mob_list_first(&g->queues[i][0], struct pull, link);
        if (!mob_list_empty(&g->queues[i][1]) && g->large < GIVER_LARGE_MAX)
            return mob_list_first(&g->queues[i][1], struct pull, link);
    }
    return NULL;
}

static void put_in_queue(struct pull *p, struct giver *g)
{
    mob_list_remove(&p->link);
    if (may_ask(p))
        mob_list_append(&g->queues[p->priority][is_large(p)], &p->link);
}

static void pump(struct giver *g)
{
    struct pull *p;

    while (g->flights < GIVER_FLIGHTS_MAX && (p = next_of(g)) != NULL) {
        take_off(p, g);
        put_in_queue(p, g);             /* behind the others */
    }
}

void mob_giver_enqueue(struct pull *p)
{
    struct giver *g = giver_of(p->store, p->from->node);

    if (mob_list_empty(&p->link))
        put_in_queue(p, g);
    pump(g);
}

void mob_giver_pump(struct mob_store *s, uint32_t node)
{
    pump(giver_of(s, node));
}

void mob_giver_landed(struct mob_flight *f, uint64_t got)
{
    const struct mob_asked *ask = &f->range.ask;
    struct giver *g = giver_of(f->pull->store, f->range.node);
    struct pull *p = f->pull;
    uint64_t at = ask->offset;

    assert(p->flights > 0 && g->flights > 0 && got <= ask->length);
    p->flights--;
    g->flights--;
    g->large -= is_large(p);
    for (; at < ask->offset + got; at += CHUNK)
        p->chunks[at / CHUNK] = CHUNK_HERE;
    p->got += got;
    if (at < ask->offset + ask->length && at < p->next)
        p->next = at;
    for (; at < ask->offset + ask->length; at += CHUNK)
        p->chunks[at / CHUNK] = CHUNK_MISSING;
}

void mob_givers_fini(struct mob_store *s)
{
    struct giver *g;
    size_t at = 0;

    while ((g = mob_map_next(&s->pulls.givers, &at, NULL)) != NULL)
        free(g);
    mob_map_fini(&s->pulls.givers);
}
