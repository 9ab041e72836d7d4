/* SPDX-License-Identifier: Apache-2.0 */
/* seek.c -- where the store asks next (objstore/store_pull.c).
 *
 * Who names a place of an object, in a frame, a Fetch or a Stage, may do so long before it is read: the object may have been moved from
 * there meanwhile (raylet/move.c). Its owner knows; so it is asked, by Watch, as a process does that has no place yet. question.c sees to
 * it that an answer comes, whatever becomes of the owner. Answers may come while the store is asking; so the tick brings them to it.
 */
#include "raylet/seek.h"

#include <stdlib.h>

#include "raylet/core.h"

struct sought {
    struct mob_link link;
    struct mob_object_id id;
    uint32_t node;
};

void mob_seek_answered(struct mob_raylet *r, const struct mob_object_id *id, uint32_t node)
{
    struct sought *s = mob_new(struct sought);

    s->id = *id;
    s->node = node;
    mob_list_append(&r->sought, &s->link);
}

void mob_raylet_seek(struct mob_raylet *r, const struct mob_object_id *id)
{
    Mobula__Watch m = MOBULA__WATCH__INIT;
    Mobula__ObjectId object;
    struct mob_envelope e;

    if (!mob_question_seek(r, id))
        return;                         /* answered */
    mob_wire_put_object(&object, id);
    m.object = &object;
    mob_envelope_init(&e, r->self, (struct mob_address){ id->node, id->process }, MOBULA__ENVELOPE__BODY_WATCH);
    e.e.watch = &m;
    mob_route_send(r, &e.e);
}

void mob_seek_on_watched(struct mob_raylet *r, const struct arrival *a)
{
    const Mobula__Watched *m = a->e->watched;
    struct mob_object_id id = mob_wire_object(m->object), stored = id;
    bool placed = m->state_case == MOBULA__WATCHED__STATE_PLACE;

    if (!mob_question_watched(r, a))
        return;
    if (placed && m->place->object != NULL)
        stored = mob_wire_object(m->place->object);
    mob_seek_answered(r, &id, placed && mob_object_id_eq(&id, &stored) ? m->place->node : 0);
}

void mob_seeks_tick(struct mob_raylet *r)
{
    while (!mob_list_empty(&r->sought)) {
        struct sought *s = mob_list_first(&r->sought, struct sought, link);

        mob_list_remove(&s->link);
        if (r->config.store != NULL)
            mob_store_sought(r->config.store, &s->id, s->node);
        free(s);
    }
}

void mob_seeks_fini(struct mob_raylet *r)
{
    struct sought *s;

    mob_list_each(s, &r->sought, struct sought, link)
        free(s);
}
