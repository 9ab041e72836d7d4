/* SPDX-License-Identifier: Apache-2.0 */
/* store_copies.c -- what owners are told of copies of their objects here, so that Free finds every one of them:
 *
 *   ADDED  one came
 *   GONE   one went, because room was needed
 *   LAST   one may be the last, and so stays: the node that it came from died, or leaves
 *   HAVE   the link to the owner's node broke, and its Free may have been lost with it: all that is here of its objects, not only copies
 *
 * Said once a batch of facts, in one message to each owner. An owner that does not know the object any more answers Free; for one that is
 * gone its raylet answers OwnerOver.
 */

#include "common/wire.h"
#include "objstore/store_private.h"

#define COPIES_MAX 1000                 /* objects in one message */

void mob_copies_note(struct object *o, int what)
{
    struct mob_store *s = o->store;

    if (s->config.tell == NULL)
        return;
    if (s->news_count == s->news_room)
        s->news = mob_realloc(s->news, (s->news_room = 2 * s->news_room + 16) * sizeof *s->news);
    s->news[s->news_count].id = o->id;
    s->news[s->news_count++].what = what;
}

static bool same_owner(const struct copy_news *a, const struct copy_news *b)
{
    return a->id.node == b->id.node && a->id.process == b->id.process;
}

/* All that is to be said to the owner of `first`, out of [first, end). Those stay behind, packed. Returns their new end. */
static struct copy_news *tell_owner(struct mob_store *s, struct copy_news *first, struct copy_news *end)
{
    struct mob_address owner = { first->id.node, first->id.process };
    Mobula__ObjectId ids[COPIES_MAX], *lists[4][COPIES_MAX];
    Mobula__Copies m = MOBULA__COPIES__INIT;
    struct copy_news *rest = first, start = *first;
    struct mob_envelope e;
    size_t n[4] = { 0 }, count = 0;

    for (struct copy_news *news = first; news < end; news++) {
        if (count == COPIES_MAX || !same_owner(news, &start)) {
            *rest++ = *news;
            continue;
        }
        mob_wire_put_object(&ids[count], &news->id);
        lists[news->what][n[news->what]++] = &ids[count++];
    }
    m.added = lists[COPY_ADDED], m.n_added = n[COPY_ADDED];
    m.gone = lists[COPY_GONE], m.n_gone = n[COPY_GONE];
    m.last = lists[COPY_LAST], m.n_last = n[COPY_LAST];
    m.have = lists[COPY_HAVE], m.n_have = n[COPY_HAVE];
    mob_envelope_init(&e, (struct mob_address){ s->config.node, 0 }, owner, MOBULA__ENVELOPE__BODY_COPIES);
    e.e.copies = &m;
    s->config.tell(s->config.arg, owner, &e.e);
    return rest;
}

/* Is the copy here, after all that happened? Of several news of one object the last counts, and it is told what is true now. */
static bool is_stale(const struct mob_store *s, const struct copy_news *news)
{
    const struct object *o = mob_object_find(s, &news->id, OBJECT_SEALED, OBJECT_SEALED);

    if ((news->what == COPY_HAVE || news->what == COPY_LAST) && o == NULL)
        o = mob_object_find(s, &news->id, OBJECT_SPILLED, OBJECT_RESTORING);
    return news->what == COPY_GONE ? o != NULL : o == NULL;
}

static bool is_whole(const struct object *o)
{
    return o->m.now == OBJECT_SEALED || o->m.now == OBJECT_SPILLED || o->m.now == OBJECT_RESTORING;
}

void mob_store_link_lost(struct mob_store *s, uint32_t node)
{
    struct object *o;

    mob_list_each(o, &s->all, struct object, all)
        if (o->id.node == node && is_whole(o))
            mob_copies_note(o, COPY_HAVE);
}

void mob_store_maker_lost(struct mob_store *s, uint32_t maker, struct mob_address owner)
{
    struct object *o;

    mob_list_each(o, &s->all, struct object, all)
        if (o->maker == maker && mob_id_is_of(&o->id, owner) && is_whole(o))
            mob_copies_note(o, COPY_HAVE);
}

void mob_store_flush(struct mob_store *s)
{
    struct copy_news *end = s->news, *all = s->news;

    for (size_t i = 0; i < s->news_count; i++)
        if (!is_stale(s, &all[i]))
            *end++ = all[i];
    s->news_count = 0;
    while (end > all)
        end = tell_owner(s, all, end);
}
