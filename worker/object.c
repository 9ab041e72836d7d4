/* SPDX-License-Identifier: Apache-2.0 */
/* object.c -- an owned object, from its number to its last count.
 *
 *   PENDING --> INLINE | STORED | ERROR          (STORED --> PENDING | ERROR: its last copy was lost, or let go; see lineage.c)
 *
 *   PENDING   waits for its task's answer, for the put that writes it, or for another owner's Watched; whoever makes it pins it
 *   ready     until refs (the user's) and pins (ours) are both 0: then the slot's generation rises, and its number is gone for
 *             ever
 *
 * The table is chunks of slots that never move. Becoming ready may end other tasks, whose objects become ready in turn: they are
 * put in a list that the outermost call empties, so a chain of any length is walked without recursion.
 */
#include "worker/object.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "worker/core.h"

void mob_owner_objects_init(struct mob_owner *o)
{
    o->objects.generation = o->config.generation > 0 ? o->config.generation : 1;
    mob_owner_slab_init(&o->objects.stored, sizeof(struct stored));
    mob_owner_slab_init(&o->objects.followers, sizeof(struct follower));
}

struct object *mob_owner_object_of_slot(const struct mob_owner *o, uint32_t slot)
{
    const struct objects *os = &o->objects;

    return slot < os->slots ? &os->chunks[slot / OBJECT_CHUNK][slot % OBJECT_CHUNK] : NULL;
}

static struct object *fresh_slot(struct objects *os)
{
    if (os->slots == os->chunk_count * OBJECT_CHUNK) {
        assert(os->slots < UINT32_MAX - OBJECT_CHUNK);
        if ((os->chunk_count & (os->chunk_count - 1)) == 0)
            os->chunks = mob_realloc(os->chunks, (os->chunk_count == 0 ? 1 : 2 * os->chunk_count) * sizeof(struct object *));
        os->chunks[os->chunk_count++] = mob_alloc(OBJECT_CHUNK * sizeof(struct object));
    }
    uint32_t slot = os->slots++;
    struct object *b = &os->chunks[slot / OBJECT_CHUNK][slot % OBJECT_CHUNK];

    b->slot = slot;
    b->generation = os->generation;
    return b;
}

uint32_t mob_owner_next_generation(const struct mob_owner *o)
{
    uint32_t last = o->objects.generation;

    for (uint32_t i = 0; i < o->objects.slots; i++) {
        const struct object *b = mob_owner_object_of_slot(o, i);

        last = b->generation > last ? b->generation : last;
    }
    return last + 1;
}

struct object *mob_owner_object_create(struct mob_owner *o, struct task *maker)
{
    struct objects *os = &o->objects;
    struct object *b = os->free;

    if (b != NULL)
        os->free = b->next_free;
    else
        b = fresh_slot(os);
    b->refs = 1;
    b->pins = maker != NULL;
    b->index = 0;
    b->state = MOB_OBJECT_PENDING;
    b->borrowed = b->told = b->packed = b->contains = b->streams = b->rests = b->raised = false;
    b->made = maker != NULL;
    b->lineages = 0;
    b->task = object_number(b);
    b->maker = maker;
    b->group = NULL;
    mob_list_init(&b->waiters);
    b->followers = NULL;
    b->data = NULL;
    b->size = 0;
    os->count++;
    return b;
}

struct object *mob_owner_object_at(const struct mob_owner *o, uint64_t number)
{
    struct object *b = mob_owner_object_of_slot(o, (uint32_t)number);

    return b != NULL && b->generation == number >> 32 && (b->refs | b->pins) != 0 ? b : NULL;
}

struct object *mob_owner_object_find(const struct mob_owner *o, const struct mob_object_id *id)
{
    struct mob_address owner = { id->node, id->process };
    struct object *b;

    if (id->cluster != o->config.cluster || !mob_address_eq(owner, o->config.self)
        || (b = mob_owner_object_at(o, id->task)) == NULL || b->index != 0)
        return NULL;
    if (id->index == 0)
        return b;
    if (b->streams)
        return mob_owner_stream_item(b, id->index);
    if (b->group == NULL || id->index >= b->group->count || b->group->slots[id->index] == GROUP_GONE)
        return NULL;
    return mob_owner_object_of_slot(o, b->group->slots[id->index]);
}

struct object *mob_owner_object_ref(const struct mob_owner *o, uint64_t ref, struct mob_error *err)
{
    struct object *b = mob_owner_object_at(o, ref);

    if (b != NULL && b->refs > 0)
        return b;
    mob_error_set(err, MOB_ERR_INVALID, "ref %u.%u was dropped before, or never given out by this process", (uint32_t)ref,
                  (uint32_t)(ref >> 32));
    return NULL;
}

static struct mob_object_id own_name(const struct mob_owner *o, const struct object *b)
{
    return (struct mob_object_id){ .cluster = o->config.cluster, .node = o->config.self.node, .process = o->config.self.process,
                                   .task = b->task, .index = b->index };
}

struct mob_object_id mob_owner_object_name(const struct mob_owner *o, const struct object *b)
{
    const struct mob_object_id *borrowed = mob_owner_borrow_name(o, b);

    return borrowed != NULL ? *borrowed : own_name(o, b);
}

struct mob_object_id mob_owner_object_id(const struct mob_owner *o, const struct object *b)
{
    return b->state == MOB_OBJECT_STORED ? b->stored->id : mob_owner_object_name(o, b);
}

/* -- values -------------------------------------------------------------------------------------------------------------- */

struct fault *mob_owner_fault_of(struct mob_owner *o, const struct mob_error *error, struct deaths *deaths)
{
    struct fault *last = o->objects.last_fault;

    if (error == &o->lost_why)
        deaths = o->lost_deaths;
    if (last == NULL || last->deaths != deaths || memcmp(&last->error, error, sizeof *error) != 0) {
        if (last != NULL)
            mob_owner_fault_drop(last);
        o->objects.last_fault = last = mob_new(struct fault);
        last->uses = 1;
        last->error = *error;
        last->deaths = deaths;
        if (deaths != NULL)
            deaths->uses++;
    }
    last->uses++;
    return last;
}

struct fault *mob_owner_fault(struct mob_owner *o, const struct mob_error *error)
{
    return mob_owner_fault_of(o, error, NULL);
}

void mob_owner_fault_drop(struct fault *f)
{
    assert(f->uses > 0);
    if (--f->uses > 0)
        return;
    mob_owner_deaths_drop(f->deaths);
    free(f);
}

bool mob_owner_object_is_own(const struct mob_owner *o, const struct object *b)
{
    struct mob_object_id own = own_name(o, b);

    return b->state == MOB_OBJECT_STORED && mob_object_id_eq(&b->stored->id, &own);
}

/* The copies are ours to free if the bytes bear our name; else their owner does it. */
static void free_stored(struct mob_owner *o, struct object *b, uint32_t before)
{
    struct stored *s = b->stored;

    if (mob_owner_object_is_own(o, b)) {
        mob_owner_copy_free(o, s->node, &s->id, before);
        for (uint32_t i = 0; i < s->more_count; i++)
            mob_owner_copy_free(o, s->more[i], &s->id, before);
    }
    free(s->more);
    slab_give(&o->objects.stored, s);
}

static void free_value(struct mob_owner *o, struct object *b)
{
    if (b->state == MOB_OBJECT_INLINE && b->size > sizeof b->small)
        mob_owner_body_give(&o->bodies, (void *)b->data, b->size);
    else if (b->state == MOB_OBJECT_STORED)
        free_stored(o, b, 0);
    else if (b->state == MOB_OBJECT_ERROR)
        mob_owner_fault_drop(b->fault);
}

static void free_names(struct object *first)
{
    if (first->streams)
        mob_owner_stream_free(first->stream);
    else
        free(first->group);
}

void mob_owner_object_release(struct mob_owner *o, struct object *b)
{
    struct objects *os = &o->objects;
    struct task *maker;

    if ((b->refs | b->pins) != 0) {
        if (b->lineages != 0 && b->refs == 0 && b->pins == b->lineages)
            mob_owner_lineage_rest(o, b);
        return;
    }
    maker = b->maker != NULL && mob_owner_lineage_counts(o, b) ? b->maker : NULL;
    assert(b->state != MOB_OBJECT_PENDING || b->borrowed || maker != NULL);
    assert(b->followers == NULL);
    if (b->rests)
        mob_owner_lineage_unrest(o, b);
    free_value(o, b);
    if (b->borrowed)
        mob_owner_borrow_end(o, b);
    if (b->contains)
        mob_owner_contents_end(o, b);
    struct object *first = b->index > 0 ? mob_owner_object_at(o, b->task) : NULL;

    if (first != NULL && first->streams)
        mob_owner_stream_forget(first, b->index);
    else if (first != NULL)
        first->group->slots[b->index] = GROUP_GONE;
    else
        free_names(b);
    b->group = NULL;
    b->maker = NULL;
    os->count--;
    if (++b->generation != 0) {                 /* 0: all numbers of this slot were used; it rests for ever */
        b->next_free = os->free;
        os->free = b;
    }
    if (maker != NULL)
        mob_owner_lineage_forget(o, maker);
    if (first != NULL)
        object_unpin(o, first);
}

/* -- becoming ready ------------------------------------------------------------------------------------------------------ */

static void became_ready(struct mob_owner *o, struct object *b, enum mob_object_state state)
{
    struct objects *os = &o->objects;

    assert(b->state == MOB_OBJECT_PENDING);
    b->state = (uint8_t)state;
    if (b->followers == NULL && mob_list_empty(&b->waiters))
        return;
    if (os->told_count == os->told_room)
        os->told = mob_realloc(os->told, (os->told_room = 2 * os->told_room + 16) * sizeof *os->told);
    os->told[os->told_count++] = b;
    b->told = true;
    b->pins++;                                  /* until it is told */
}

int mob_owner_object_set_inline(struct mob_owner *o, struct object *b, const void *data, size_t size, bool packed)
{
    void *to = b->small;

    if (size > sizeof b->small && (to = mob_owner_body_take(&o->bodies, size)) == NULL)
        return -1;
    if (size > 0)
        memcpy(to, data, size);
    b->data = to;
    b->size = size;
    b->packed = packed;
    became_ready(o, b, MOB_OBJECT_INLINE);
    return 0;
}

void mob_owner_object_set_stored(struct mob_owner *o, struct object *b, const struct mob_object_id *id, uint32_t node,
                                 uint64_t size)
{
    struct stored *s = slab_take(&o->objects.stored);

    *s = (struct stored){ .id = *id, .node = node, .since = o->lineage.losses, .making = o->lineage.losses };
    b->stored = s;
    b->size = size;
    became_ready(o, b, MOB_OBJECT_STORED);
}

void mob_owner_object_set_fault(struct mob_owner *o, struct object *b, struct fault *fault)
{
    fault->uses++;
    b->fault = fault;
    became_ready(o, b, MOB_OBJECT_ERROR);
}

static void free_lost(struct mob_owner *o, struct object *b, uint32_t before)
{
    assert(b->state != MOB_OBJECT_PENDING && b->state != MOB_OBJECT_ERROR);
    mob_owner_lineage_unrest(o, b);
    if (b->state == MOB_OBJECT_STORED)
        free_stored(o, b, before);
    else
        free_value(o, b);
    b->size = 0;
    b->packed = false;
}

void mob_owner_object_unset(struct mob_owner *o, struct object *b, uint32_t before)
{
    free_lost(o, b, before);
    b->state = MOB_OBJECT_PENDING;
    b->data = NULL;
    if (b->contains)
        mob_owner_contents_end(o, b);
}

void mob_owner_object_set_error(struct mob_owner *o, struct object *b, const struct mob_error *why, struct deaths *deaths)
{
    struct task *maker = b->maker != NULL && mob_owner_lineage_counts(o, b) ? b->maker : NULL;

    free_lost(o, b, 0);
    b->fault = mob_owner_fault_of(o, why, deaths);
    b->state = MOB_OBJECT_ERROR;
    if (b->index > 0)
        b->maker = NULL;
    if (b->contains)
        mob_owner_contents_end(o, b);
    if (maker != NULL)
        mob_owner_lineage_forget(o, maker);
}

static void tell(struct mob_owner *o, struct object *b)
{
    struct follower *oldest = NULL, *next;

    while (!mob_list_empty(&b->waiters)) {
        struct mob_waiter *w = mob_list_first(&b->waiters, struct mob_waiter, link);

        mob_list_remove(&w->link);
        w->ready(w);
    }
    for (struct follower *f = b->followers; f != NULL; f = next) {
        next = f->next;
        f->next = oldest;
        oldest = f;
    }
    b->followers = NULL;
    for (struct follower *f = oldest; f != NULL; f = next) {
        next = f->next;
        if (f->task != NULL)
            mob_owner_task_arg_ready(o, f->task, b);
        else
            mob_owner_watched_tell(o, b, f->asker);
        slab_give(&o->objects.followers, f);
    }
}

void mob_owner_objects_tell(struct mob_owner *o)
{
    struct objects *os = &o->objects;

    if (os->telling || os->told_count == 0)
        return;
    os->telling = true;
    for (size_t i = 0; i < os->told_count; i++) {           /* grows while we walk */
        struct object *b = os->told[i];

        b->told = false;
        tell(o, b);
        object_unpin(o, b);
    }
    os->told_count = 0;
    os->telling = false;
}

bool mob_owner_object_wanted(struct mob_owner *o, struct object *b)
{
    if (b->streams)
        mob_owner_stream_want_end(o, b);
    mob_owner_borrow_want(o, b);
    mob_owner_lineage_want(o, b);
    return b->state == MOB_OBJECT_PENDING;
}

bool mob_owner_object_follow(struct mob_owner *o, struct object *b, struct task *task, struct mob_address asker)
{
    struct follower *f;

    assert(b->state == MOB_OBJECT_PENDING);
    if (!mob_owner_object_wanted(o, b))
        return false;
    f = slab_take(&o->objects.followers);
    *f = (struct follower){ .next = b->followers, .task = task, .asker = asker };
    b->followers = f;
    return true;
}

/* -- the end, and the check ----------------------------------------------------------------------------------------------- */

void mob_owner_objects_fini(struct mob_owner *o)
{
    struct objects *os = &o->objects;

    for (uint32_t i = 0; i < os->slots; i++) {
        struct object *b = mob_owner_object_of_slot(o, i);

        if ((b->refs | b->pins) == 0)
            continue;
        free_value(o, b);
        if (b->index == 0)
            free_names(b);
    }
    if (os->last_fault != NULL)
        mob_owner_fault_drop(os->last_fault);
    for (size_t i = 0; i < os->chunk_count; i++)
        free(os->chunks[i]);
    free(os->chunks);
    free(os->told);
    free(os->copies);
    free(os->unpinned);
    mob_owner_contents_fini(o);
    mob_owner_slab_fini(&os->stored);
    mob_owner_slab_fini(&os->followers);
}

void mob_owner_objects_check(const struct mob_owner *o)
{
    uint64_t alive = 0;

    for (uint32_t i = 0; i < o->objects.slots; i++) {
        const struct object *b = mob_owner_object_of_slot(o, i);

        if ((b->refs | b->pins) == 0)
            continue;
        alive++;
        assert(b->state == MOB_OBJECT_PENDING || b->maker == NULL || b->maker->state == TASK_KEPT || b->pins > 0);
        assert(b->state != MOB_OBJECT_PENDING || b->pins > 0 || b->borrowed || (b->maker != NULL && b->maker->state == TASK_KEPT));
        assert(b->lineages <= b->pins && (!b->rests || (b->lineages > 0 && b->state != MOB_OBJECT_PENDING)));
        assert(b->state == MOB_OBJECT_PENDING || b->followers == NULL || b->told);
        if (b->streams)
            mob_owner_stream_check(b);
        else if (b->index == 0 && b->group != NULL)
            for (uint32_t j = 1; j < b->group->count; j++)
                assert(b->group->slots[j] == GROUP_GONE || mob_owner_object_of_slot(o, b->group->slots[j])->index == j);
    }
    assert(alive == o->objects.count);
}
