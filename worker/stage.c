/* SPDX-License-Identifier: Apache-2.0 */
/* stage.c -- the time between the choice of a node for a task and its push (docs/protocol.md, Staging).
 *
 *   COMING --Staged--> HERE --push--> USED          from each: Unstage, and it is forgotten
 *
 *   COMING   the raylet of the node brings the arguments. Its Staged comes always, or the lease there ends
 *   HERE     waits for a lease of its shape at that node to have room. If an argument found no room there, its worker learns why; if the
 *            lease is asked back before, as it is where the node leaves work to others, that was one of the task's few moves
 *   USED     the task is PUSHED: its arguments are kept until it is answered, or leaves that lease
 *
 * A task that has its arguments at the node of its lease is pushed without all this. Few are staged ahead for a lease: enough that the
 * next one's arguments come while one runs, and not so many that a node brings what another could have run.
 */
#include "worker/stage.h"

#include <assert.h>
#include <stdlib.h>

#include "worker/core.h"

#define AHEAD 2u                        /* tasks that are COMING or HERE, for each lease at the node */

struct stage {
    struct task *task;
    uint32_t node, number;
    bool here;
    struct mob_error *no_room;          /* HERE: NULL, or an argument found none there */
};

static struct stage *stage_of(const struct mob_owner *o, const struct task *t)
{
    return t->staged ? mob_map_get(&o->stages.by_task, t->number) : NULL;
}

static void stage_free(struct stage *st)
{
    free(st->no_room);
    free(st);
}

void mob_owner_stages_fini(struct mob_owner *o)
{
    struct stage *st;

    for (size_t at = 0; (st = mob_map_next(&o->stages.by_task, &at, NULL)) != NULL;)
        stage_free(st);
    mob_map_fini(&o->stages.by_task);
}

bool mob_owner_stage_needed(const struct mob_owner *o, const struct task *t, const struct lease *l)
{
    return t->refs > 0 && mob_owner_body_away(o, t, l->worker.node, NULL) > 0;
}

static size_t leases_at(const struct shape *sh, uint32_t node)
{
    size_t count = 0;
    struct lease *l;

    mob_list_each(l, &sh->leases, struct lease, in_shape)
        count += l->worker.node == node && l->m.now == LEASE_HELD;
    return count;
}

static size_t waiting_at(const struct mob_owner *o, const struct shape *sh, uint32_t node)
{
    size_t count = 0;
    struct task *t;

    mob_list_each(t, &sh->staging, struct task, link)
        count += stage_of(o, t)->node == node;
    return count;
}

static void put_item(Mobula__Stage__Item *item, Mobula__ObjectId *id, uint32_t *nodes, const struct object *b)
{
    const struct stored *s = b->stored;

    mobula__stage__item__init(item);
    mob_wire_put_object(id, &s->id);
    item->object = id;
    item->size = b->size;
    item->nodes = nodes;
    nodes[item->n_nodes++] = s->node;
    for (uint32_t i = 0; i < s->more_count; i++)
        nodes[item->n_nodes++] = s->more[i];
}

static void send_stage(struct mob_owner *o, const struct task *t, const struct stage *st)
{
    size_t count = mob_owner_body_away(o, t, st->node, NULL);
    const struct object **away = mob_alloc(count * sizeof *away);
    struct { Mobula__Stage__Item item; Mobula__ObjectId id; } *each = mob_alloc(count * sizeof *each);
    Mobula__Stage__Item **list = mob_alloc(count * sizeof *list);
    Mobula__Stage m = MOBULA__STAGE__INIT;
    Mobula__Address job;

    mob_owner_body_away(o, t, st->node, away);
    for (size_t i = 0; i < count; i++) {
        put_item(&each[i].item, &each[i].id, mob_alloc((away[i]->stored->more_count + 1) * sizeof(uint32_t)), away[i]);
        list[i] = &each[i].item;
    }
    mob_wire_put_address(&job, o->config.job);
    m.task = t->number;
    m.number = st->number;
    m.job = &job;
    m.n_items = count;
    m.items = list;
    mob_owner_send(o, (struct mob_address){ st->node, 0 }, MOBULA__ENVELOPE__BODY_STAGE, &m);
    for (size_t i = 0; i < count; i++)
        free(each[i].item.nodes);
    free(away);
    free(each);
    free(list);
}

bool mob_owner_stage_begin(struct mob_owner *o, struct task *t, const struct lease *l)
{
    struct shape *sh = t->shape;
    uint32_t node = l->worker.node;
    struct stage *st;

    if (waiting_at(o, sh, node) >= AHEAD * leases_at(sh, node))
        return false;
    st = mob_new(struct stage);
    *st = (struct stage){ .task = t, .node = node, .number = ++o->stages.next };
    mob_map_set(&o->stages.by_task, t->number, st);
    t->staged = true;
    mob_owner_task_staging(o, t);
    mob_list_append(&sh->staging, &t->link);
    sh->staging_count++;
    send_stage(o, t, st);
    return true;
}

void mob_owner_on_staged(struct mob_owner *o, uint32_t node, const Mobula__Staged *m)
{
    struct stage *st = mob_map_get(&o->stages.by_task, m->task);

    if (st == NULL || st->node != node || st->number != m->number || st->here)
        return;
    st->here = true;
    if (m->no_room != NULL) {
        st->no_room = mob_new(struct mob_error);
        mob_wire_error(m->no_room, st->no_room);
    }
    shape_touch(&o->shapes, st->task->shape);
}

static struct lease *lease_with_room(const struct shape *sh, uint32_t node)
{
    struct lease *best = NULL, *l;

    mob_list_each(l, &sh->leases, struct lease, in_shape)
        if (l->worker.node == node && mob_owner_lease_has_room(l) && (best == NULL || l->load_ns < best->load_ns))
            best = l;
    return best;
}

void mob_owner_stages_push(struct mob_owner *o, struct shape *sh)
{
    struct task *t;

    mob_list_each(t, &sh->staging, struct task, link) {
        const struct stage *st = stage_of(o, t);
        struct lease *l = st->here ? lease_with_room(sh, st->node) : NULL;

        if (l == NULL)
            continue;
        mob_owner_stage_leave(t);
        if (mob_owner_task_lost_argument(o, t) || mob_owner_lease_push(o, l, t))
            continue;
        mob_list_prepend(&sh->staging, &t->link);
        sh->staging_count++;
    }
}

bool mob_owner_stage_waits(const struct mob_owner *o, const struct lease *l)
{
    return l->m.now == LEASE_HELD && l->shape->staging_count > 0 && waiting_at(o, l->shape, l->worker.node) > 0;
}

void mob_owner_stage_lease_left(struct mob_owner *o, struct shape *sh, uint32_t node)
{
    struct task *t;

    if (sh->staging_count == 0 || leases_at(sh, node) > 0)
        return;
    mob_list_each(t, &sh->staging, struct task, link) {
        struct stage *st = stage_of(o, t);
        struct mob_error *no_room = st->no_room;

        if (st->node != node)
            continue;
        st->no_room = NULL;
        mob_owner_stage_leave(t);
        mob_owner_stage_end(o, t);
        if (no_room != NULL)
            mob_owner_task_refused(o, t, no_room);
        else
            mob_owner_task_unstaged(o, t);
        free(no_room);
    }
}

void mob_owner_stage_leave(struct task *t)
{
    assert(t->state == TASK_STAGING && t->shape->staging_count > 0);
    mob_list_remove(&t->link);
    t->shape->staging_count--;
}

void mob_owner_stage_end(struct mob_owner *o, struct task *t)
{
    struct stage *st = stage_of(o, t);
    Mobula__Unstage m = MOBULA__UNSTAGE__INIT;

    if (st == NULL)
        return;
    m.task = t->number;
    mob_owner_send(o, (struct mob_address){ st->node, 0 }, MOBULA__ENVELOPE__BODY_UNSTAGE, &m);
    mob_map_remove(&o->stages.by_task, t->number);
    t->staged = false;
    stage_free(st);
}

void mob_owner_stages_check(const struct mob_owner *o)
{
    const struct stage *st;
    uint64_t number;

    for (size_t at = 0; (st = mob_map_next(&o->stages.by_task, &at, &number)) != NULL;) {
        assert(st->task->staged && st->task->number == number);
        assert(st->task->state == TASK_STAGING || st->task->state == TASK_PUSHED);
    }
}
