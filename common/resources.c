/* SPDX-License-Identifier: Apache-2.0 */
/* resources.c -- sums and comparisons of resource vectors. Vectors are short and sorted: each operation is a merge or a scan. */
#include "common/resources.h"

#include <assert.h>
#include <string.h>

#include "common/mem.h"

/* Index of `name`, or where it would stand. */
static size_t position(const struct mob_resources *r, const char *name, bool *ret_there)
{
    size_t i = 0;
    int order = 1;

    while (i < r->count && (order = strcmp(r->of[i].name, name)) < 0)
        i++;
    *ret_there = i < r->count && order == 0;
    return i;
}

/* The amount of `name` in r to be changed, made 0 if it was absent; NULL if the vector is full. */
static int64_t *units_of(struct mob_resources *r, const char *name)
{
    bool there;
    size_t i = position(r, name, &there);

    if (there)
        return &r->of[i].units;
    if (r->count == MOB_RESOURCES_MAX)
        return NULL;
    memmove(&r->of[i + 1], &r->of[i], (r->count - i) * sizeof(r->of[0]));
    r->count++;
    memset(&r->of[i], 0, sizeof(r->of[i]));
    mob_copy(r->of[i].name, sizeof(r->of[i].name), name);
    return &r->of[i].units;
}

int64_t mob_resources_get(const struct mob_resources *r, const char *name)
{
    bool there;
    size_t i = position(r, name, &there);

    return there ? r->of[i].units : 0;
}

int mob_resources_set(struct mob_resources *r, const char *name, int64_t units)
{
    int64_t *place;
    bool there;
    size_t i;

    assert(strlen(name) < MOB_RESOURCE_NAME_SIZE);
    if (units != 0) {
        if ((place = units_of(r, name)) == NULL)
            return -1;
        *place = units;
        return 0;
    }
    i = position(r, name, &there);
    if (there) {
        r->count--;
        memmove(&r->of[i], &r->of[i + 1], (r->count - i) * sizeof(r->of[0]));
    }
    return 0;
}

bool mob_resources_fit(const struct mob_resources *free, const struct mob_resources *ask)
{
    for (size_t i = 0; i < ask->count; i++)
        if (ask->of[i].units > 0 && mob_resources_get(free, ask->of[i].name) < ask->of[i].units)
            return false;
    return true;
}

static void change(struct mob_resources *r, const struct mob_resources *by, int64_t sign)
{
    for (size_t i = 0; i < by->count; i++) {
        int64_t *units = units_of(r, by->of[i].name);

        if (units != NULL && __builtin_add_overflow(*units, sign * by->of[i].units, units))
            *units = sign > 0 ? INT64_MAX : INT64_MIN;          /* the sum of a great cluster's memory: as good as all */
    }
}

void mob_resources_add(struct mob_resources *r, const struct mob_resources *more)
{
    change(r, more, 1);
}

void mob_resources_subtract(struct mob_resources *r, const struct mob_resources *less)
{
    change(r, less, -1);
}

static bool has_all_of(const struct mob_resources *a, const struct mob_resources *b)
{
    for (size_t i = 0; i < b->count; i++)
        if (mob_resources_get(a, b->of[i].name) != b->of[i].units)
            return false;
    return true;
}

bool mob_resources_eq(const struct mob_resources *a, const struct mob_resources *b)
{
    return has_all_of(a, b) && has_all_of(b, a);
}

const char *mob_labels_get(const struct mob_labels *node, const char *key)
{
    for (size_t i = 0; i < node->count; i++)
        if (strcmp(node->of[i].key, key) == 0)
            return node->of[i].value;
    return NULL;
}

/* "a,b,c)" */
static bool is_listed(const char *list, const char *value)
{
    size_t length = strlen(value), item;

    for (;; list += item + 1) {
        item = strcspn(list, ",)");
        if (item == length && memcmp(list, value, length) == 0)
            return true;
        if (list[item] != ',')
            return false;
    }
}

bool mob_label_met(const struct mob_labels *node, const struct mob_label *asked)
{
    const char *has = mob_labels_get(node, asked->key), *wanted = asked->value;
    bool negated = wanted[0] == '!', met;

    wanted += negated;
    if (has == NULL)
        return negated;
    met = strncmp(wanted, "in(", 3) == 0 ? is_listed(wanted + 3, has) : strcmp(wanted, has) == 0;
    return met != negated;
}

bool mob_labels_match(const struct mob_labels *node, const struct mob_labels *asked)
{
    for (size_t i = 0; i < asked->count; i++)
        if (!mob_label_met(node, &asked->of[i]))
            return false;
    return true;
}

/* By its words. */
static bool has_label(const struct mob_labels *a, const struct mob_label *l)
{
    for (size_t i = 0; i < a->count; i++)
        if (strcmp(a->of[i].key, l->key) == 0 && strcmp(a->of[i].value, l->value) == 0)
            return true;
    return false;
}

static bool labels_eq(const struct mob_labels *a, const struct mob_labels *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (!has_label(a, &b->of[i]) || !has_label(b, &a->of[i]))
            return false;
    return true;
}

bool mob_shape_eq(const struct mob_shape *a, const struct mob_shape *b)
{
    return a->strategy == b->strategy && a->node == b->node && a->executable_node == b->executable_node
        && mob_address_eq(a->job, b->job) && memcmp(&a->executable, &b->executable, sizeof(a->executable)) == 0
        && mob_resources_eq(&a->resources, &b->resources)
        && labels_eq(&a->labels, &b->labels);
}

static const char *const strategies[] = {
    [MOB_HYBRID] = "hybrid", [MOB_SPREAD] = "spread", [MOB_NODE] = "node", [MOB_NODE_SOFT] = "node~",
};

const char *mob_strategy_name(enum mob_strategy strategy)
{
    return strategies[strategy];
}

enum mob_strategy mob_strategy_named(const char *name)
{
    for (size_t i = 0; name != NULL && i < MOB_COUNT(strategies); i++)
        if (strcmp(name, strategies[i]) == 0)
            return (enum mob_strategy)i;
    return MOB_HYBRID;
}
