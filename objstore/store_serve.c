/* SPDX-License-Identifier: Apache-2.0 */
/* store_serve.c -- giving an object to other nodes, so that each byte leaves this one about once however many ask.
 *
 * Whoever asks for a large object gets a place in its line, with a number that grows. The first is given the object directly, each next one
 * is referred to the one before it: a chain, in which each node passes on what it has, if need be while it still receives the rest.
 *
 *   this node --> place 1 --> place 2 --> place 3
 *
 * Who stands in the line of another node, and was referred here by it, is given what there is.
 *
 * A node that still receives it itself waits for a chunk only for those who stand behind it in the same line (the same root, a higher
 * place): so no two wait for each other. To others it gives what it has.
 *
 * A place whose predecessor failed comes back and names it: the failed one loses its place, and the next before it is named, or none: then
 * it is given the object directly. Nothing here needs a clock: a place that was given up is found out by those who are referred to it.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "objstore/store_private.h"

#define PLACES_MAX 64                   /* in a line; the oldest is forgotten for a new one */

struct place {
    uint32_t node, position;
    uint32_t before;                    /* whom it was referred to; 0: it is given the object directly */
};

struct line {
    struct place places[PLACES_MAX];    /* in the order of their positions */
    unsigned count;
    uint32_t last;                      /* the last position given */
};

void mob_line_free(struct object *o)
{
    free(o->line);
    o->line = NULL;
}

static struct place *place_of(struct line *l, uint32_t node)
{
    for (unsigned i = 0; i < l->count; i++)
        if (l->places[i].node == node)
            return &l->places[i];
    return NULL;
}

static void leave(struct line *l, uint32_t node)
{
    struct place *p = place_of(l, node);

    if (p == NULL)
        return;
    memmove(p, p + 1, (size_t)(&l->places[l->count] - (p + 1)) * sizeof *p);
    l->count--;
}

void mob_line_node_died(struct object *o, uint32_t node)
{
    if (o->line != NULL)
        leave(o->line, node);
}

static struct place *enter(struct line *l, const struct mob_asked *asked)
{
    uint32_t before = !asked->direct && l->count > 0 ? l->places[l->count - 1].node : 0;

    if (l->count == PLACES_MAX)
        leave(l, l->places[0].node);
    l->places[l->count] = (struct place){ .node = asked->asker, .position = ++l->last, .before = before };
    return &l->places[l->count++];
}

static struct place *place_in_line(struct object *o, const struct mob_asked *asked)
{
    struct line *l = o->line = o->line != NULL ? o->line : mob_new(struct line);
    struct place *p;

    if (asked->failed != 0)
        leave(l, asked->failed);
    if (asked->position == 0)
        leave(l, asked->asker);         /* a new pull of it: it stands behind all others */
    if ((p = place_of(l, asked->asker)) == NULL)
        return enter(l, asked);
    if (p->before != 0 && asked->direct)
        p->before = 0;
    else if (p->before != 0 && place_of(l, p->before) == NULL)
        p->before = p > l->places ? p[-1].node : 0;
    return p;
}

static enum mob_serve give_sealed(struct object *o, const struct mob_asked *asked, struct mob_served *ret, struct mob_error *err)
{
    struct place *p;

    if (o->size != asked->size)
        return mob_error_set(err, MOB_ERR_OBJECT_LOST, "it has %" PRIu64 " bytes here, not %" PRIu64, o->size, asked->size),
               MOB_SERVE_GONE;
    if (asked->asker != 0 && asked->root == o->store->config.node && o->size >= LINE_MIN) {
        p = place_in_line(o, asked);
        ret->position = p->position;
        if ((ret->refer = p->before) != 0)
            return MOB_SERVE_REFER;
    }
    o->serving++;
    ret->offset = o->extent != NULL ? o->extent->offset : 0;
    ret->ticket = o->entry;
    return MOB_SERVE_HERE;
}

/* Of an object that is on its way here itself. */
static enum mob_serve give_on(struct pull *p, const struct mob_asked *asked, struct mob_served *ret, struct mob_error *err)
{
    bool behind = asked->root == p->root && asked->root != 0 && asked->position > p->position;

    if (p->size != asked->size || p->incoming == NULL || !(behind || mob_pull_has(p, asked->offset, asked->length)))
        return mob_error_set(err, MOB_ERR_TIMEOUT, "it is still being brought there itself"), MOB_SERVE_GONE;
    p->object->serving++;
    ret->offset = p->object->extent->offset;
    ret->ticket = p->object->entry;
    ret->incoming = p->incoming;
    return MOB_SERVE_HERE;
}

enum mob_serve mob_store_serve(struct mob_store *s, const struct mob_asked *asked, struct mob_served *ret, struct mob_error *err)
{
    struct object *o = mob_object_find(s, &asked->id, OBJECT_SEALED, OBJECT_SEALED);
    char name[MOB_OBJECT_NAME_SIZE];
    struct pull *p;

    *ret = (struct mob_served){ 0 };
    if (o != NULL)
        return give_sealed(o, asked, ret, err);
    if ((o = mob_object_find(s, &asked->id, OBJECT_CREATED, OBJECT_CREATED)) != NULL) {
        mob_fetch_wait(&o->waiters, 0, true);           /* its Seal may still be in its maker's socket */
        return MOB_SERVE_LATER;
    }
    if ((o = mob_object_find(s, &asked->id, OBJECT_SPILLED, OBJECT_RESTORING)) != NULL) {
        mob_fetch_wait(&o->waiters, 0, true);
        mob_wait_restore(o);
        return MOB_SERVE_LATER;
    }
    if ((p = mob_pull_find(s, &asked->id)) != NULL && p->object != NULL)
        return give_on(p, asked, ret, err);
    mob_error_set(err, MOB_ERR_OBJECT_LOST, "it has no copy of %s", mob_object_id_name(&asked->id, name));
    return MOB_SERVE_GONE;
}

bool mob_store_keep(struct mob_store *s, const struct mob_object_id *id, uint64_t *ret_ticket)
{
    struct object *o = mob_object_find(s, id, OBJECT_SEALED, OBJECT_SEALED);

    if (o == NULL)
        return false;
    o->serving++;
    *ret_ticket = o->entry;
    return true;
}

void mob_store_serve_done(struct mob_store *s, uint64_t ticket)
{
    struct object *o = ticket < s->entries_used ? s->objects[ticket] : NULL;

    assert(o != NULL && o->serving > 0);
    o->serving--;
    if (o->m.now == OBJECT_DISCARDED && o->pull == NULL && o->serving == 0)
        mob_object_retire(o);
    mob_room_came(s);                   /* or it can go now */
    mob_room_retry(s, UINT64_MAX);
    mob_store_settle(s);
}
