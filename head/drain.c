/* SPDX-License-Identifier: Apache-2.0 */
/* drain.c -- a node leaves in good order.
 *
 *   Query "drain" --> it is DRAINING (node.c): nothing is placed there any more, and its raylet is told
 *   Report        --> what still keeps it (raylet/drain.c); while that is objects, it is told where there is room for them
 *   Report, over  --> LEFT: everybody is told
 *
 * The head says whether a node may leave, and nobody else does: its raylet works until it hears NodeDown. That it is to leave is kept
 * (state.c) before it is told, so a head that is started after this one goes on with it; if its state is older than that, it learns it of
 * the raylet, which would decline for ever what is placed there. The deadline is the raylet's to watch: it
 * counts from the first time that it hears of it, whatever head says it again.
 *
 * What cannot end well by itself is refused at first: the last node that serves has nobody to give its objects to, and a driver does not
 * outlive its node. With a deadline, or `force`, it is somebody's will.
 */
#include "head/drain.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "head/core.h"

#define TAKERS_MAX 16u

/* -- which node ------------------------------------------------------------------------------------------------------------ */

static bool is_called(const struct node *n, const char *name)
{
    return strcmp(n->place.ip, name) == 0 || strcmp(n->facts.host, name) == 0;
}

/* The one with that address or host name which lives and serves, else which lives, else the last that died. NULL: none, or `*ret_other`
 * has it as well. */
static struct node *named(const struct mob_head *h, const char *name, const struct node **ret_other)
{
    struct node *found = NULL, *n;

    *ret_other = NULL;
    mob_list_each(n, &h->nodes.dead, struct node, by_heard)
        if (is_called(n, name))
            found = n;
    mob_list_each(n, &h->nodes.heard, struct node, by_heard) {
        if (!is_called(n, name) || (found != NULL && !node_is_gone(found) && n->facts.driver_only))
            continue;
        if (found != NULL && !node_is_gone(found) && !found->facts.driver_only)
            *ret_other = found;
        found = n;
    }
    return *ret_other == NULL ? found : NULL;
}

struct node *mob_head_node_called(const struct mob_head *h, const char *text, struct mob_error *err)
{
    const struct node *other = NULL;
    char *end;
    unsigned long number = strtoul(text, &end, 10);
    struct node *n;

    if (text[0] != '\0' && *end == '\0')
        n = number <= UINT32_MAX ? mob_head_node_find(h, (uint32_t)number) : NULL;
    else
        n = named(h, text, &other);
    if (n == NULL && other != NULL)
        mob_error_set(err, MOB_ERR_INVALID, "several nodes are called \"%.64s\": say which by its number; mobula list nodes shows them",
                      text);
    else if (n == NULL)
        mob_error_set(err, MOB_ERR_INVALID, "there is no node \"%.64s\"; mobula list nodes shows which there are", text);
    return n;
}

/* -- may it? --------------------------------------------------------------------------------------------------------------- */

static size_t others_serving(const struct node *n)
{
    return mob_head_view_serving(n->head) - (n->open != 0 && !n->place.draining);
}

static int refuse_driver(const struct node *n, struct mob_error *err)
{
    struct job *j;

    mob_list_each(j, &n->head->jobs.running, struct job, in_list)
        if (j->driver.node == n->place.number)
            return mob_error_set(err, MOB_ERR_INVALID, "the driver of job %u.%u (%.64s, pid %u) runs on node %u (%s), and would end with "
                                 "it: stop it first; or --force waits until it has ended, --deadline ends it then", j->driver.node,
                                 j->driver.process, j->name, j->pid, n->place.number, n->place.ip);
    return 0;
}

static int may_leave(const struct node *n, bool willing, struct mob_error *err)
{
    if (n->m.now == NODE_LEFT)
        return mob_error_set(err, MOB_ERR_INVALID, "node %u (%s) has left already: %s", n->place.number, n->place.ip, n->reason);
    if (n->m.now == NODE_DEAD)
        return mob_error_set(err, MOB_ERR_INVALID, "node %u (%s) is dead: %s", n->place.number, n->place.ip, n->reason);
    if (n->facts.driver_only)
        return mob_error_set(err, MOB_ERR_INVALID, "node %u (%s) lends nothing: a driver started it for itself, and it ends with that",
                             n->place.number, n->place.ip);
    if (willing || n->place.draining)
        return 0;
    if (refuse_driver(n, err) < 0)
        return -1;
    if (others_serving(n) > 0)
        return 0;
    return mob_error_set(err, MOB_ERR_INVALID, "no other node serves: what is queued would wait, and the objects on node %u (%s; %.1f MiB "
                         "in its store, %.1f MiB on its disk) would have nowhere to go; start another node, or lose them with --force "
                         "or --deadline", n->place.number, n->place.ip, (double)n->load.store_used / (1 << 20),
                         (double)n->load.store_spilled / (1 << 20));
}

/* -- what is said ---------------------------------------------------------------------------------------------------------- */

void mob_head_drain_put(const struct node *n, Mobula__Drain *ret)
{
    mobula__drain__init(ret);
    ret->number = n->drain.number;
    ret->limited = n->drain.limited;
    ret->deadline_ms = n->drain.deadline_ms;
    ret->force = n->drain.force;
}

void mob_head_drain_load(struct node *n, const Mobula__Drain *m)
{
    n->drain = (struct drain){ .number = m->number, .limited = m->limited, .deadline_ms = m->deadline_ms, .force = m->force };
    n->place.draining = true;
}

static uint64_t room_of(const struct node *n)
{
    return n->load.store_size > n->load.store_used ? n->load.store_size - n->load.store_used : 0;
}

/* Those with most room, the first with the most. */
static size_t choose_takers(const struct node *leaves, const struct node *ret[TAKERS_MAX])
{
    const struct view *v = &leaves->head->view;
    size_t count = 0;

    for (size_t i = 0; i < v->open_count; i++) {
        const struct node *n = MOB_CONTAINER(v->open[i], struct node, place);
        size_t at;

        if (n->place.draining || (count == TAKERS_MAX && room_of(n) <= room_of(ret[count - 1])))
            continue;
        for (at = count < TAKERS_MAX ? count++ : count - 1; at > 0 && room_of(ret[at - 1]) < room_of(n); at--)
            ret[at] = ret[at - 1];
        ret[at] = n;
    }
    return count;
}

void mob_head_drain_tell(struct node *n)
{
    const struct node *takers[TAKERS_MAX];
    Mobula__Drain__Taker rooms[TAKERS_MAX], *list[TAKERS_MAX];
    Mobula__Drain m;
    struct mob_envelope env;

    if (!n->place.draining || n->link == 0)
        return;
    mob_head_drain_put(n, &m);
    m.n_takers = choose_takers(n, takers);
    m.takers = list;
    for (size_t i = 0; i < m.n_takers; i++) {
        mobula__drain__taker__init(list[i] = &rooms[i]);
        rooms[i].node = takers[i]->place.number;
        rooms[i].room = room_of(takers[i]);
    }
    mob_envelope_init(&env, (struct mob_address){ 0, 0 }, (struct mob_address){ n->place.number, 0 }, MOBULA__ENVELOPE__BODY_DRAIN);
    env.e.drain = &m;
    mob_head_send(n->head, n->link, &env.e);
}

/* A head before this one has said more than this one's state has. How much time it gave is the raylet's to know. */
static void learn(struct node *n, const Mobula__Draining *m)
{
    n->drain.number = m->number;
    n->drain.force = m->force;
    if (!n->place.draining)
        mob_head_demand_drain(n, true);
    mob_head_state_changed(n->head, MOB_HEAD_NODE, n->place.number);
    mob_warn("node %u (%s) was told to leave by a head before this one", n->place.number, n->place.ip);
}

void mob_head_drain_report(struct node *n, const Mobula__Draining *m)
{
    if (m != NULL && m->number > n->drain.number)
        learn(n, m);
    if (m == NULL || !n->place.draining)
        return;
    n->drain.heard = true;
    n->drain.left = (struct drain_left){
        .tasks = m->tasks, .owners = m->owners, .drivers = m->drivers, .objects = m->objects, .bytes = m->bytes,
        .over = m->over, .late = m->late,
    };
    if (m->objects > 0 && !m->over)
        mob_head_drain_tell(n);
}

/* -- questions ------------------------------------------------------------------------------------------------------------- */

struct order {
    char node[128];
    bool limited, force;
    uint64_t deadline_ms;
};

static int order_read(struct order *ret, const char *argument, struct mob_error *err)
{
    json_t *object = json_loads(argument, 0, NULL), *deadline = json_object_get(object, "deadline_ms");
    const char *node = json_string_value(json_object_get(object, "node"));
    json_int_t ms = json_integer_value(deadline);
    bool good = node != NULL && (deadline == NULL || (json_is_integer(deadline) && ms >= 0 && ms <= INT64_MAX / MOB_NS_OF_MS / 2));

    *ret = (struct order){ .limited = deadline != NULL, .force = json_is_true(json_object_get(object, "force")) };
    if (good) {
        mob_copy(ret->node, sizeof ret->node, node);
        ret->deadline_ms = (uint64_t)ms;
    }
    json_decref(object);
    return good ? 0 : mob_error_set(err, MOB_ERR_INVALID, "drain needs {\"node\": NAME} and knows \"deadline_ms\" and \"force\"");
}

/* Kept, or as before. A word that says nothing new of a node that is draining changes nothing. */
static int begin(struct node *n, const struct order *o, struct mob_error *err)
{
    struct drain before = n->drain;
    bool was_draining = n->place.draining;

    if (was_draining && !o->limited && (!o->force || before.force))
        return 0;
    n->drain.number += !was_draining || o->limited;
    n->drain.force = o->force || before.force;
    n->drain.limited = o->limited || before.limited;
    n->drain.deadline_ms = o->limited ? o->deadline_ms : before.deadline_ms;
    if (!was_draining)
        mob_head_demand_drain(n, true);
    if (mob_head_state_keep(n->head, MOB_HEAD_NODE, n->place.number, err) == 0)
        return 0;
    n->drain = before;
    if (!was_draining)
        mob_head_demand_drain(n, false);
    return -1;
}

static void answer(struct mob_head *h, const struct asker *asker, json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT);

    mob_head_reply(h, asker->link, asker->query, asker->from, text, strlen(text), NULL);
    free(text);
    json_decref(json);
}

int mob_head_drain(struct mob_head *h, const struct asker *asker, const char *argument, struct mob_error *err)
{
    struct order o;
    struct node *n;
    bool again;

    if (order_read(&o, argument, err) < 0 || (n = mob_head_node_called(h, o.node, err)) == NULL
        || may_leave(n, o.limited || o.force, err) < 0)
        return -1;
    again = n->place.draining;
    if (begin(n, &o, err) < 0)
        return -1;
    if (!again)
        mob_info("node %u (%s) is to leave", n->place.number, n->place.ip);
    mob_head_node_look(n);
    mob_head_drain_tell(n);
    answer(h, asker, json_pack("{s:I, s:s, s:s, s:b}", "node", (json_int_t)n->place.number, "ip", n->place.ip, "state",
                               mob_machine_state(&n->m), "again", (int)again));
    return 0;
}

json_t *mob_head_drain_left(const struct node *n)
{
    const struct drain_left *left = &n->drain.left;

    return json_pack("{s:b, s:I, s:I, s:I, s:I, s:I, s:I}", "heard", (int)n->drain.heard, "takers", (json_int_t)others_serving(n),
                     "tasks", (json_int_t)left->tasks, "objects", (json_int_t)left->objects, "bytes", (json_int_t)left->bytes,
                     "owners", (json_int_t)left->owners, "drivers", (json_int_t)left->drivers);
}

int mob_head_draining(struct mob_head *h, const struct asker *asker, const char *argument, struct mob_error *err)
{
    json_t *object = json_loads(argument, 0, NULL);
    json_int_t number = json_integer_value(json_object_get(object, "node"));
    struct node *n = number > 0 && number <= UINT32_MAX ? mob_head_node_find(h, (uint32_t)number) : NULL;
    json_t *all, *left;

    json_decref(object);
    if (n == NULL)
        return mob_error_set(err, MOB_ERR_INVALID, "draining needs {\"node\": N} of a node that is known");
    all = json_pack("{s:I, s:s, s:s, s:s}", "node", (json_int_t)number, "ip", n->place.ip, "state", mob_machine_state(&n->m), "reason",
                    n->reason);
    json_object_update(all, left = mob_head_drain_left(n));
    json_decref(left);
    answer(h, asker, all);
    return 0;
}
