/* SPDX-License-Identifier: Apache-2.0 */
/* map.c -- open addressing with linear probing, at most 3/4 used. A removed entry leaves a mark (`gone`) where others probe past it,
 * so that nothing moves during a walk; marks at the end of a run are swept at once, the rest when the table is rehashed. */
#include "common/map.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>

#include "common/mem.h"

#define MAP_CAPACITY_MIN 16

static const char gone_mark;

static bool live(const struct mob_map_slot *slot)
{
    return slot->value != NULL && slot->value != &gone_mark;
}

static size_t home(const struct mob_map *m, uint64_t key)
{
    return (size_t)((key * UINT64_C(0x9e3779b97f4a7c15)) >> 20) & (m->capacity - 1);
}

/* The slot that holds `key`, or NULL. */
static struct mob_map_slot *find(const struct mob_map *m, uint64_t key)
{
    if (m->count == 0)
        return NULL;
    for (size_t i = home(m, key); m->slots[i].value != NULL; i = (i + 1) & (m->capacity - 1))
        if (m->slots[i].key == key && live(&m->slots[i]))
            return &m->slots[i];
    return NULL;
}

/* Put a key that is not there into a table with room. */
static void add(struct mob_map *m, uint64_t key, void *value)
{
    size_t i = home(m, key);

    while (live(&m->slots[i]))
        i = (i + 1) & (m->capacity - 1);
    m->used += m->slots[i].value == NULL;
    m->slots[i] = (struct mob_map_slot){ .key = key, .value = value };
    m->count++;
}

/* Twice as big if it is half full of live entries, else as big and without marks. */
static void rehash(struct mob_map *m)
{
    struct mob_map fresh = { .capacity = m->capacity };

    if (m->count >= m->capacity / 2)
        fresh.capacity = m->capacity > 0 ? m->capacity * 2 : MAP_CAPACITY_MIN;
    fresh.slots = mob_alloc(fresh.capacity * sizeof(*fresh.slots));
    for (size_t i = 0; i < m->capacity; i++)
        if (live(&m->slots[i]))
            add(&fresh, m->slots[i].key, m->slots[i].value);
    free(m->slots);
    *m = fresh;
}

void mob_map_fini(struct mob_map *m)
{
    free(m->slots);
    *m = (struct mob_map){ 0 };
}

void *mob_map_get(const struct mob_map *m, uint64_t key)
{
    struct mob_map_slot *slot = find(m, key);

    return slot != NULL ? slot->value : NULL;
}

void mob_map_set(struct mob_map *m, uint64_t key, void *value)
{
    struct mob_map_slot *slot = find(m, key);

    assert(value != NULL);
    if (slot != NULL) {
        slot->value = value;
        return;
    }
    if (m->used >= m->capacity / 4 * 3)
        rehash(m);
    add(m, key, value);
}

void *mob_map_remove(struct mob_map *m, uint64_t key)
{
    struct mob_map_slot *slot = find(m, key);
    size_t mask = m->capacity - 1, i;
    void *value;

    if (slot == NULL)
        return NULL;
    value = slot->value;
    slot->value = (void *)&gone_mark;
    m->count--;
    i = (size_t)(slot - m->slots);
    if (m->slots[(i + 1) & mask].value != NULL)
        return value;
    for (; m->slots[i].value == &gone_mark; i = (i - 1) & mask) {      /* nobody probes past the end of a run */
        m->slots[i].value = NULL;
        m->used--;
    }
    return value;
}

void *mob_map_next(const struct mob_map *m, size_t *at, uint64_t *ret_key)
{
    while (*at < m->capacity) {
        const struct mob_map_slot *slot = &m->slots[(*at)++];

        if (live(slot)) {
            if (ret_key != NULL)
                *ret_key = slot->key;
            return slot->value;
        }
    }
    return NULL;
}
