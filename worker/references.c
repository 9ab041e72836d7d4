/* SPDX-License-Identifier: Apache-2.0 */
/* references.c -- why objects of ours are kept, for `mobula memory`: counted when somebody asks, by one walk over tasks, values and holds,
 * so that nothing is counted on the way of a task. And what is kept of finished tasks. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "worker/core.h"

#define ROW_MAX 224

struct tally { uint32_t tasks, captured, holders; };

struct tallies {
    struct mob_map by_number;           /* of an object -> struct tally */
};

static struct tally *tally_of(void *tallies, uint64_t number)
{
    struct tallies *ts = tallies;
    struct tally *t = mob_map_get(&ts->by_number, number);

    if (t == NULL)
        mob_map_set(&ts->by_number, number, t = mob_new(struct tally));
    return t;
}

static void note_task(void *tallies, uint64_t number)
{
    tally_of(tallies, number)->tasks++;
}

static void note_captured(void *tallies, uint64_t number)
{
    tally_of(tallies, number)->captured++;
}

static void note_holder(void *tallies, uint64_t number)
{
    tally_of(tallies, number)->holders++;
}

static int larger_first(const void *a, const void *b)
{
    const struct object *x = *(const struct object *const *)a, *y = *(const struct object *const *)b;

    return (x->size < y->size) - (x->size > y->size);
}

/* Ours that are in a store, the largest first; and the tasks under way, which are known by their first return, are counted. */
static size_t walk(const struct mob_owner *o, struct tallies *ts, const struct object **ret)
{
    size_t count = 0;

    for (uint32_t i = 0; i < o->objects.slots; i++) {
        const struct object *b = mob_owner_object_of_slot(o, i);

        if (b->refs + b->pins == 0)
            continue;                   /* a free slot */
        if (b->state == MOB_OBJECT_PENDING && b->maker != NULL && b->maker->state != TASK_KEPT && b->index == 0)
            mob_owner_body_tally(o, b->maker, note_task, ts);
        else if (b->state == MOB_OBJECT_STORED && !b->borrowed)
            ret[count++] = b;
    }
    qsort(ret, count, sizeof(struct object *), larger_first);
    return count;
}

char *mob_owner_references(const struct mob_owner *o, size_t limit)
{
    const struct object **list = mob_alloc((o->objects.slots + 1) * sizeof(struct object *));
    struct tallies ts = { 0 };
    struct tally *t;
    size_t count = walk(o, &ts, list), used;
    char *text, name[MOB_OBJECT_NAME_SIZE], lineage[ROW_MAX - 2];

    mob_owner_contents_tally(o, note_captured, &ts);
    mob_owner_holds_tally(o, note_holder, &ts);
    if (count > limit)
        count = limit;
    text = mob_alloc((count + 1) * ROW_MAX + 3);
    used = (size_t)sprintf(text, "[");
    for (size_t i = 0; i < count; i++) {
        const struct mob_object_id id = mob_owner_object_id(o, list[i]);
        const struct tally none = { 0 }, *n = mob_map_get(&ts.by_number, object_number(list[i]));

        n = n != NULL ? n : &none;
        used += (size_t)snprintf(text + used, ROW_MAX, "%s{\"object\":\"%s\",\"local\":%" PRIu32 ",\"tasks\":%" PRIu32
                                 ",\"captured\":%" PRIu32 ",\"holders\":%" PRIu32 ",\"lineage\":%" PRIu32 "}", i > 0 ? "," : "",
                                 mob_object_id_name(&id, name), list[i]->refs, n->tasks, n->captured, n->holders, list[i]->lineages);
    }
    mob_owner_lineage_print(o, lineage, sizeof lineage);
    snprintf(text + used, ROW_MAX, "%s%s]", count > 0 && lineage[0] != '\0' ? "," : "", lineage);
    for (size_t at = 0; (t = mob_map_next(&ts.by_number, &at, NULL)) != NULL;)
        free(t);
    mob_map_fini(&ts.by_number);
    free(list);
    return text;
}
