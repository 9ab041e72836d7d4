/* SPDX-License-Identifier: Apache-2.0 */
/* wire_values.c -- small conversions between messages and plain structs. What comes from a message is checked here, once. */
#include <string.h>

#include "common/mem.h"
#include "common/wire.h"

struct mob_address mob_wire_address(const Mobula__Address *a)
{
    return a != NULL ? (struct mob_address){ a->node, a->process } : (struct mob_address){ 0, 0 };
}

void mob_wire_put_address(Mobula__Address *ret, struct mob_address a)
{
    mobula__address__init(ret);
    ret->node = a.node;
    ret->process = a.process;
}

struct mob_object_id mob_wire_object(const Mobula__ObjectId *o)
{
    return (struct mob_object_id){
        .cluster = o->cluster, .node = o->node, .process = o->process, .task = o->task, .index = o->index,
    };
}

void mob_wire_put_object(Mobula__ObjectId *ret, const struct mob_object_id *o)
{
    mobula__object_id__init(ret);
    ret->cluster = o->cluster;
    ret->node = o->node;
    ret->process = o->process;
    ret->task = o->task;
    ret->index = o->index;
}

void mob_wire_error(const Mobula__Error *e, struct mob_error *ret)
{
    memset(ret, 0, sizeof(*ret));
    ret->code = e->code;
    ret->user_code = e->user_code;
    ret->pid = e->pid;
    ret->attempt = e->attempt;
    mob_copy(ret->function, sizeof(ret->function), e->function);
    mob_copy(ret->node, sizeof(ret->node), e->node);
    mob_copy(ret->text, sizeof(ret->text), e->text);
}

void mob_wire_put_error(Mobula__Error *ret, const struct mob_error *e)
{
    mobula__error__init(ret);
    ret->code = e->code;
    ret->user_code = e->user_code;
    ret->pid = e->pid;
    ret->attempt = e->attempt;
    ret->function = (char *)e->function;
    ret->node = (char *)e->node;
    ret->text = (char *)e->text;
}

void mob_wire_death(const Mobula__Death *m, struct mob_death *ret)
{
    memset(ret, 0, sizeof(*ret));
    ret->size = sizeof(*ret);
    ret->killed_by = m->killed_by;
    ret->attempt = m->attempt;
    ret->pid = m->pid;
    ret->signal = m->signal;
    ret->exit_code = m->exit_code;
    mob_copy(ret->worker, sizeof(ret->worker), m->worker);
    mob_copy(ret->node, sizeof(ret->node), m->node);
    mob_copy(ret->ip, sizeof(ret->ip), m->ip);
    mob_copy(ret->host, sizeof(ret->host), m->host);
    ret->peak_memory = m->peak_memory;
    ret->cpu_ns = m->cpu_ns;
    ret->lived_ns = m->lived_ns;
    mob_copy(ret->core, sizeof(ret->core), m->core);
    mob_copy(ret->last_lines, sizeof(ret->last_lines), m->last_lines);
}

void mob_wire_put_death(Mobula__Death *ret, const struct mob_death *d)
{
    mobula__death__init(ret);
    ret->killed_by = d->killed_by;
    ret->attempt = d->attempt;
    ret->pid = d->pid;
    ret->signal = d->signal;
    ret->exit_code = d->exit_code;
    ret->worker = (char *)d->worker;
    ret->node = (char *)d->node;
    ret->ip = (char *)d->ip;
    ret->host = (char *)d->host;
    ret->peak_memory = d->peak_memory;
    ret->cpu_ns = d->cpu_ns;
    ret->lived_ns = d->lived_ns;
    ret->core = (char *)d->core;
    ret->last_lines = (char *)d->last_lines;
}

int mob_wire_resources(Mobula__Resource *const *list, size_t n, struct mob_resources *ret, struct mob_error *err)
{
    struct mob_resources r = { 0 };

    if (n > MOB_RESOURCES_MAX)
        return mob_error_set(err, MOB_ERR_PROTOCOL, "%zu resources; the limit is %d", n, MOB_RESOURCES_MAX);
    for (size_t i = 0; i < n; i++) {
        size_t length = strlen(list[i]->name);

        if (length == 0 || length >= MOB_RESOURCE_NAME_SIZE)
            return mob_error_set(err, MOB_ERR_PROTOCOL, "a resource name of %zu bytes", length);
        if (list[i]->units < 0 || list[i]->units > MOB_AMOUNT_MAX * MOB_UNITS)
            return mob_error_set(err, MOB_ERR_PROTOCOL, "resource %s: an amount below 0 or above 1e14", list[i]->name);
        for (size_t j = 0; j < i; j++)
            if (strcmp(list[i]->name, list[j]->name) == 0)
                return mob_error_set(err, MOB_ERR_PROTOCOL, "resource %s comes twice", list[i]->name);
        mob_resources_set(&r, list[i]->name, list[i]->units);
    }
    *ret = r;
    return 0;
}

size_t mob_wire_put_resources(Mobula__Resource room[MOB_RESOURCES_MAX], Mobula__Resource *list[MOB_RESOURCES_MAX],
                              const struct mob_resources *r)
{
    for (size_t i = 0; i < r->count; i++) {
        mobula__resource__init(&room[i]);
        room[i].name = (char *)r->of[i].name;
        room[i].units = r->of[i].units;
        list[i] = &room[i];
    }
    return r->count;
}

static int read_labels(Mobula__Label *const *list, size_t n, struct mob_labels *ret, struct mob_error *err)
{
    if (n > MOB_LABELS_MAX)
        return mob_error_set(err, MOB_ERR_PROTOCOL, "%zu labels; the limit is %d", n, MOB_LABELS_MAX);
    for (size_t i = 0; i < n; i++) {
        if (strlen(list[i]->key) == 0 || strlen(list[i]->key) >= MOB_LABEL_SIZE || strlen(list[i]->value) >= MOB_CONDITION_SIZE)
            return mob_error_set(err, MOB_ERR_PROTOCOL, "a label whose key or value is empty or too long");
        mob_copy(ret->of[i].key, MOB_LABEL_SIZE, list[i]->key);
        mob_copy(ret->of[i].value, MOB_CONDITION_SIZE, list[i]->value);
    }
    ret->count = (uint32_t)n;
    return 0;
}

int mob_wire_labels(Mobula__Label *const *list, size_t n, struct mob_labels *ret, struct mob_error *err)
{
    struct mob_labels labels = { 0 };

    if (read_labels(list, n, &labels, err) < 0)
        return -1;
    *ret = labels;
    return 0;
}

size_t mob_wire_put_labels(Mobula__Label room[MOB_LABELS_MAX], Mobula__Label *list[MOB_LABELS_MAX], const struct mob_labels *l)
{
    for (size_t i = 0; i < l->count; i++) {
        mobula__label__init(&room[i]);
        room[i].key = (char *)l->of[i].key;
        room[i].value = (char *)l->of[i].value;
        list[i] = &room[i];
    }
    return l->count;
}

int mob_wire_shape(const Mobula__Shape *s, struct mob_shape *ret, struct mob_error *err)
{
    struct mob_shape shape = { 0 };

    if (s == NULL)
        return mob_error_set(err, MOB_ERR_PROTOCOL, "a shape is missing");
    if ((unsigned)s->strategy > MOB_NODE_SOFT)
        return mob_error_set(err, MOB_ERR_PROTOCOL, "strategy %d is unknown", (int)s->strategy);
    if (s->executable.len != 0 && s->executable.len != MOB_HASH_SIZE)
        return mob_error_set(err, MOB_ERR_PROTOCOL, "an executable's hash of %zu bytes", s->executable.len);
    if (mob_wire_resources(s->resources, s->n_resources, &shape.resources, err) < 0
        || read_labels(s->labels, s->n_labels, &shape.labels, err) < 0)
        return -1;
    shape.strategy = (enum mob_strategy)s->strategy;
    shape.node = s->node;
    if (s->executable.len > 0)
        memcpy(shape.executable.bytes, s->executable.data, MOB_HASH_SIZE);
    shape.job = mob_wire_address(s->job);
    shape.executable_node = s->executable_node;
    *ret = shape;
    return 0;
}

void mob_wire_put_shape(Mobula__Shape *ret, struct mob_shape_room *room, const struct mob_shape *s)
{
    mobula__shape__init(ret);
    ret->n_resources = mob_wire_put_resources(room->resources, room->resource_list, &s->resources);
    ret->resources = room->resource_list;
    ret->n_labels = mob_wire_put_labels(room->labels, room->label_list, &s->labels);
    ret->labels = room->label_list;
    ret->strategy = (Mobula__Shape__Strategy)s->strategy;
    ret->node = s->node;
    ret->executable.data = (uint8_t *)s->executable.bytes;
    ret->executable.len = MOB_HASH_SIZE;
    mob_wire_put_address(&room->job, s->job);
    ret->job = &room->job;
    ret->executable_node = s->executable_node;
}

uint32_t mob_wire_near(struct mob_near ret[MOB_NEAR_MAX], Mobula__Near *const *list, size_t n)
{
    uint32_t count = 0;

    for (size_t i = 0; i < n && count < MOB_NEAR_MAX; i++)
        if (list[i]->node != 0 && list[i]->count > 0)
            ret[count++] = (struct mob_near){ list[i]->node, list[i]->count };
    return count;
}

size_t mob_wire_put_near(struct mob_near_room *room, const struct mob_near *near, uint32_t count)
{
    size_t n = 0;

    for (uint32_t i = 0; i < count; i++) {
        if (near[i].count == 0)
            continue;
        mobula__near__init(&room->of[n]);
        room->of[n].node = near[i].node;
        room->of[n].count = near[i].count;
        room->list[n] = &room->of[n];
        n++;
    }
    return n;
}
