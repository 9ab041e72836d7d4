/* SPDX-License-Identifier: Apache-2.0 */
/* gather.c -- questions that each node answers for itself: they are sent to all raylets, and the answers put together.
 *
 *   {"nodes": [what each raylet says (raylet/memory.c, raylet/explain.c), or {"node", "error"}]}
 *
 * It is over when all have answered or their links are gone, or after SILENCE_NS for those that have not.
 */
#include "head/gather.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "head/core.h"

#define SILENCE_NS (5 * INT64_C(1000000000))
#define GATHERINGS_MAX 100
#define TEXT_MAX (16u << 20)            /* of one node */

struct part {
    uint32_t node;
    uint64_t link;                      /* that it was asked on */
    char *text;
    size_t size;
    bool over;
};

struct gathering {
    struct mob_link link;               /* in gatherings.all */
    uint64_t number;                    /* what raylets know it by */
    struct asker asker;
    gather_done *done;
    void *arg;
    int64_t end_ns;
    struct part *parts;
    size_t count, left;
};

static void add(struct part *p, const void *text, size_t size)
{
    p->text = mob_realloc(p->text, p->size + size + 1);
    memcpy(p->text + p->size, text, size);
    p->size += size;
    p->text[p->size] = '\0';
}

/* Out of the table first: `done` may gather again. */
static void gathering_end(struct mob_head *h, struct gathering *g, const char *text, size_t size)
{
    mob_list_remove(&g->link);
    h->gatherings.count--;
    g->done(h, &g->asker, g->arg, text, size);
    for (size_t i = 0; i < g->count; i++)
        free(g->parts[i].text);
    free(g->parts);
    free(g);
}

static void finish(struct mob_head *h, struct gathering *g)
{
    struct part all = { 0 };

    add(&all, "{\"nodes\":[", 10);
    for (size_t i = 0; i < g->count; i++) {
        struct part *p = &g->parts[i];

        if (!p->over || p->size == 0) {
            free(p->text);
            p->text = mob_printf("{\"node\":%" PRIu32 ",\"error\":\"it does not answer\"}", p->node);
            p->size = strlen(p->text);
        }
        if (i > 0)
            add(&all, ",", 1);
        add(&all, p->text, p->size);
    }
    add(&all, "]}", 2);
    gathering_end(h, g, all.text, all.size);
    free(all.text);
}

static int compare_parts(const void *a, const void *b)
{
    uint32_t x = ((const struct part *)a)->node, y = ((const struct part *)b)->node;

    return (x > y) - (x < y);
}

void mob_head_gather_reply(struct mob_head *h, const struct asker *asker, void *arg, const char *text, size_t size)
{
    (void)arg;
    if (text != NULL)
        mob_head_reply(h, asker->link, asker->query, asker->from, text, size, NULL);
}

int mob_head_gather(struct mob_head *h, const struct asker *asker, const char *verb, const char *argument, gather_done *done, void *arg,
                    struct mob_error *err)
{
    Mobula__Query out = MOBULA__QUERY__INIT;
    struct gathering *g;
    struct mob_envelope e;
    struct node *n;

    if (h->gatherings.count >= GATHERINGS_MAX)
        return mob_error_set(err, MOB_ERR_NO_SPACE, "%d such questions are under way already: ask again later", GATHERINGS_MAX);
    g = mob_new(struct gathering);
    *g = (struct gathering){ .number = ++h->gatherings.last, .asker = *asker, .done = done, .arg = arg,
                             .end_ns = h->now_ns + SILENCE_NS };
    g->parts = mob_alloc((h->nodes.by_number.count + 1) * sizeof *g->parts);
    mob_list_init(&g->link);
    mob_list_append(&h->gatherings.all, &g->link);
    h->gatherings.count++;
    out.id = g->number;
    out.verb = (char *)(uintptr_t)verb;
    out.argument = (char *)(uintptr_t)argument;
    for (size_t at = 0; (n = mob_map_next(&h->nodes.by_number, &at, NULL)) != NULL;) {
        if (n->link == 0)
            continue;
        g->parts[g->count++] = (struct part){ .node = n->place.number, .link = n->link };
        mob_envelope_init(&e, (struct mob_address){ 0, 0 }, (struct mob_address){ n->place.number, 0 }, MOBULA__ENVELOPE__BODY_QUERY);
        e.e.query = &out;
        mob_head_send(h, n->link, &e.e);
    }
    qsort(g->parts, g->count, sizeof *g->parts, compare_parts);
    if ((g->left = g->count) == 0)
        finish(h, g);
    return 0;
}

void mob_head_gathered(struct mob_head *h, uint32_t node, const Mobula__Reply *m)
{
    struct gathering *g;

    mob_list_each(g, &h->gatherings.all, struct gathering, link) {
        if (g->number != m->id)
            continue;
        for (size_t i = 0; i < g->count; i++) {
            struct part *p = &g->parts[i];

            if (p->node != node || p->over)
                continue;
            if (m->text.len <= TEXT_MAX - p->size)
                add(p, m->text.data, m->text.len);
            p->over = m->last;
            g->left -= m->last;
        }
        if (g->left == 0)
            finish(h, g);
        return;
    }
}

void mob_head_gather_link_lost(struct mob_head *h, uint64_t link)
{
    struct gathering *g;

    mob_list_each(g, &h->gatherings.all, struct gathering, link) {
        if (g->asker.link == link) {
            gathering_end(h, g, NULL, 0);
            continue;
        }
        for (size_t i = 0; i < g->count; i++)
            if (g->parts[i].link == link && !g->parts[i].over) {
                g->parts[i].over = true;
                g->parts[i].size = 0;   /* half an answer is none */
                g->left--;
            }
        if (g->left == 0)
            g->end_ns = h->now_ns;      /* by the tick: then what the loss means for the node is known, too */
    }
}

int64_t mob_head_gather_tick(struct mob_head *h)
{
    struct gathering *g;
    int64_t due_ns = INT64_MAX;

    mob_list_each(g, &h->gatherings.all, struct gathering, link) {
        if (g->end_ns <= h->now_ns)
            finish(h, g);
        else if (g->end_ns < due_ns)
            due_ns = g->end_ns;
    }
    return due_ns;
}

void mob_head_gather_init(struct mob_head *h)
{
    mob_list_init(&h->gatherings.all);
}

void mob_head_gather_fini(struct mob_head *h)
{
    struct gathering *g;

    mob_list_each(g, &h->gatherings.all, struct gathering, link)
        gathering_end(h, g, NULL, 0);
}
