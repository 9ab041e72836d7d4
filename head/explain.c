/* SPDX-License-Identifier: Apache-2.0 */
/* explain.c -- finding out what a task waits for.
 *
 * Its owner knows its state and arguments, the raylet of its worker what runs, and the worker what its calls wait for; so they are asked,
 * by the raylets (raylet/explain.c), and then the same of the tasks that were found to be waited for: round after round, until nothing new
 * comes up. The answer:
 *
 *   {"task": root, "tasks": {name: row}, "order": [names], "cycle": [names] or null, "nodes": [queue and lent], "text"}
 *
 * and of a node its row of "nodes" (query.c) with "lent" and "queue" as it says them itself, and "text".
 *
 * It is of several moments: what is under way moves on meanwhile. What stands still, and is asked about, does not.
 */
#include "head/explain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "head/core.h"

#define ROUNDS_MAX 64
#define TASKS_MAX 256u
#define ASKED_MAX 64u                   /* a round; raylets read no more */
#define NEEDS_MAX 8u                    /* that are followed, of one task */

/* -- the graph ------------------------------------------------------------------------------------------------------------- */

static void add_makers(json_t *ret, const json_t *objects)
{
    char name[MOB_OBJECT_NAME_SIZE];
    struct mob_address owner;
    const json_t *object;
    uint64_t task;
    size_t i;

    json_array_foreach(objects, i, object) {
        const char *text = json_string_value(object);

        if (json_array_size(ret) < NEEDS_MAX && text != NULL && mob_task_parse(text, &owner, &task))
            json_array_append_new(ret, json_string(mob_task_name(owner, task, name)));
    }
}

json_t *mob_explain_needs(const json_t *task)
{
    json_t *needs = json_array();

    add_makers(needs, json_object_get(task, "waits"));
    add_makers(needs, json_object_get(task, "blocked"));
    return needs;
}

/* Depth first, from `name`; `path` holds the names from the root to it. True: the path closes, and is the cycle. */
static bool closes(const struct explanation *x, const char *name, json_t *path, json_t *seen)
{
    json_t *needs, *need;
    bool found = false;
    size_t i;

    json_array_foreach(path, i, need)
        if (strcmp(json_string_value(need), name) == 0) {
            while (i-- > 0)
                json_array_remove(path, 0);
            json_array_append_new(path, json_string(name));
            return true;
        }
    if (json_object_get(seen, name) != NULL)
        return false;
    json_object_set_new(seen, name, json_true());
    json_array_append_new(path, json_string(name));
    needs = mob_explain_needs(json_object_get(x->tasks, name));
    json_array_foreach(needs, i, need)
        if (!found)
            found = closes(x, json_string_value(need), path, seen);
    if (!found)
        json_array_remove(path, json_array_size(path) - 1);
    json_decref(needs);
    return found;
}

json_t *mob_explain_cycle(const struct explanation *x)
{
    json_t *path = json_array(), *seen = json_object();
    bool found = closes(x, x->root, path, seen);

    json_decref(seen);
    if (found)
        return path;
    json_decref(path);
    return NULL;
}

/* -- a round --------------------------------------------------------------------------------------------------------------- */

static void explanation_free(struct explanation *x)
{
    json_decref(x->tasks);
    json_decref(x->order);
    json_decref(x->nodes);
    free(x);
}

static void want_task(struct explanation *x, const char *name)
{
    if (json_object_get(x->tasks, name) != NULL || json_array_size(x->order) >= TASKS_MAX)
        return;
    json_object_set_new(x->tasks, name, json_null());
    json_array_append_new(x->order, json_string(name));
}

/* What an owner says of its tasks; rows of tasks that nobody asked about are left out. */
static void hear_owners(struct explanation *x, const json_t *node)
{
    json_t *row;
    size_t i;

    json_array_foreach(json_object_get(node, "processes"), i, row) {
        const char *name = json_string_value(json_object_get(row, "task"));

        if (name != NULL && json_object_get(x->tasks, name) != NULL && strcmp(name, "") != 0)
            json_object_set(x->tasks, name, row);
    }
}

/* What calls of a process of that node wait for; NULL: it has not said. */
static json_t *waits_of(const json_t *node, const char *worker)
{
    json_int_t process = worker != NULL && strchr(worker, '.') != NULL ? atoll(strchr(worker, '.') + 1) : 0;
    json_t *row;
    size_t i;

    json_array_foreach(json_object_get(node, "processes"), i, row)
        if (json_object_get(row, "task") == NULL && json_integer_value(json_object_get(row, "process")) == process)
            return json_object_get(row, "waits");
    return NULL;
}

static void hear_workers(struct explanation *x, const json_t *node)
{
    json_t *lease;
    size_t i;

    json_array_foreach(json_object_get(node, "lent"), i, lease) {
        const char *name = json_string_value(json_object_get(lease, "task"));
        json_t *task = name != NULL ? json_object_get(x->tasks, name) : NULL, *waits;

        if (!json_is_object(task))
            continue;
        json_object_set(task, "run", lease);
        json_object_set(task, "on", json_object_get(node, "node"));
        if ((waits = waits_of(node, json_string_value(json_object_get(lease, "worker")))) != NULL)
            json_object_set(task, "blocked", waits);
    }
}

/* The names that were asked about in the last round. */
static void follow(struct explanation *x, size_t from)
{
    for (size_t i = from; i < x->asked; i++) {
        json_t *needs = mob_explain_needs(json_object_get(x->tasks, json_string_value(json_array_get(x->order, i)))), *need;
        size_t j;

        json_array_foreach(needs, j, need)
            want_task(x, json_string_value(need));
        json_decref(needs);
    }
}

static int ask(struct mob_head *h, struct explanation *x, struct mob_error *err);

static void answer(struct mob_head *h, struct explanation *x)
{
    char *text = mob_explain_text(h, x);
    json_t *cycle = mob_explain_cycle(x);
    json_t *all = json_pack("{s:s, s:O, s:O, s:o?, s:O, s:s}", "task", x->root, "tasks", x->tasks, "order", x->order, "cycle", cycle,
                            "nodes", x->nodes, "text", text);
    char *packed = json_dumps(all, JSON_COMPACT);

    if (packed != NULL)
        mob_head_reply(h, x->asker.link, x->asker.query, x->asker.from, packed, strlen(packed), NULL);
    free(packed);
    json_decref(all);
    free(text);
}

/* One round was answered. */
static void heard(struct mob_head *h, const struct asker *asker, void *arg, const char *text, size_t size)
{
    json_t *answers = text != NULL ? json_loadb(text, size, 0, NULL) : NULL, *node;
    struct explanation *x = arg;
    size_t from = x->asked, i;

    (void)asker;
    if (text == NULL) {
        explanation_free(x);
        return;
    }
    x->asked = from + ASKED_MAX < json_array_size(x->order) ? from + ASKED_MAX : json_array_size(x->order);
    json_decref(x->nodes);
    x->nodes = json_incref(json_object_get(answers, "nodes"));
    if (x->nodes == NULL)
        x->nodes = json_array();
    json_decref(answers);
    json_array_foreach(x->nodes, i, node)
        hear_owners(x, node);
    json_array_foreach(x->nodes, i, node)
        hear_workers(x, node);
    follow(x, from);
    if (x->asked < json_array_size(x->order) && ++x->rounds < ROUNDS_MAX && ask(h, x, NULL) == 0)
        return;
    json_array_foreach(x->nodes, i, node)
        json_object_del(node, "processes");
    answer(h, x);
    explanation_free(x);
}

static int ask(struct mob_head *h, struct explanation *x, struct mob_error *err)
{
    json_t *names = json_array(), *argument;
    char *text;
    int result;

    for (size_t i = x->asked; i < json_array_size(x->order) && i < x->asked + ASKED_MAX; i++)
        json_array_append(names, json_array_get(x->order, i));
    argument = json_pack("{s:o}", "tasks", names);
    text = json_dumps(argument, JSON_COMPACT);
    result = mob_head_gather(h, &x->asker, "explain", text, heard, x, err);
    free(text);
    json_decref(argument);
    return result;
}

/* -- a node ---------------------------------------------------------------------------------------------------------------- */

/* What it said itself: whom it serves, and who waits there; "error" if nothing. */
static void add_answer(json_t *all, const json_t *answer)
{
    static const char *const keys[] = { "lent", "lent_more", "queue", "queue_more", "error" };

    for (size_t i = 0; i < MOB_COUNT(keys); i++)
        if (json_object_get(answer, keys[i]) != NULL)
            json_object_set(all, keys[i], json_object_get(answer, keys[i]));
}

static void node_heard(struct mob_head *h, const struct asker *asker, void *arg, const char *text, size_t size)
{
    uint32_t number = (uint32_t)(uintptr_t)arg;
    const struct node *n = mob_head_node_find(h, number);
    json_t *answers, *all;
    char *words, *packed;

    if (text == NULL)
        return;
    answers = json_loadb(text, size, 0, NULL);
    words = mob_explain_node_text(h, number, json_object_get(answers, "nodes"));
    all = n != NULL ? mob_head_query_node(n) : json_pack("{s:I}", "node", (json_int_t)number);
    add_answer(all, mob_explain_answer_of(json_object_get(answers, "nodes"), number));
    json_object_set_new(all, "text", json_string(words));
    packed = json_dumps(all, JSON_COMPACT);
    mob_head_reply(h, asker->link, asker->query, asker->from, packed, strlen(packed), NULL);
    free(packed);
    free(words);
    json_decref(all);
    json_decref(answers);
}

/* -- could it ever run? ------------------------------------------------------------------------------------------------------ */

void mob_explain_shape(const json_t *said, struct mob_shape *ret)
{
    const char *resources = json_string_value(json_object_get(said, "resources"));
    json_t *labels = json_object_get(said, "labels"), *value;
    const char *key;

    *ret = (struct mob_shape){ .node = (uint32_t)json_integer_value(json_object_get(said, "node")) };
    if (resources == NULL || mob_resources_parse(resources, &ret->resources, NULL) < 0)
        ret->resources.count = 0;
    ret->strategy = mob_strategy_named(json_string_value(json_object_get(said, "strategy")));
    json_object_foreach(labels, key, value)
        if (ret->labels.count < MOB_LABELS_MAX && json_is_string(value)) {
            struct mob_label *l = &ret->labels.of[ret->labels.count++];

            mob_copy(l->key, sizeof l->key, key);
            mob_copy(l->value, sizeof l->value, json_string_value(value));
        }
}

int mob_head_fits(struct mob_head *h, const struct asker *asker, const char *argument, struct mob_error *err)
{
    json_t *said = json_loads(argument, 0, NULL), *answer;
    char *why = NULL, *text;
    struct mob_shape ask;
    size_t count;

    if (!json_is_object(said)) {
        json_decref(said);
        return mob_error_set(err, MOB_ERR_INVALID, "fits needs {\"resources\": \"CPU=1\", ...}");
    }
    mob_explain_shape(said, &ask);
    json_decref(said);
    if ((count = mob_head_demand_feasible(h, &ask)) == 0)
        why = mob_placement_infeasible(&ask, h->view.open, h->view.open_count);
    answer = json_pack("{s:I, s:s?}", "nodes", (json_int_t)count, "why", why);
    text = json_dumps(answer, JSON_COMPACT);
    mob_head_reply(h, asker->link, asker->query, asker->from, text, strlen(text), NULL);
    free(text);
    free(why);
    json_decref(answer);
    return 0;
}

/* -- the question ---------------------------------------------------------------------------------------------------------- */

static int explain_task(struct mob_head *h, const struct asker *asker, struct mob_address owner, uint64_t task, struct mob_error *err)
{
    struct explanation *x = mob_new(struct explanation);

    x->asker = *asker;
    mob_task_name(owner, task, x->root);
    x->tasks = json_object();
    x->order = json_array();
    x->nodes = json_array();
    want_task(x, x->root);
    if (ask(h, x, err) == 0)
        return 0;
    explanation_free(x);
    return -1;
}

int mob_head_explain(struct mob_head *h, const struct asker *asker, const char *argument, struct mob_error *err)
{
    json_t *object = json_loads(argument, 0, NULL);
    const char *name = json_string_value(json_object_get(object, "task"));
    json_t *number = json_object_get(object, "node");
    const struct node *n = json_is_integer(number) ? mob_head_node_find(h, (uint32_t)json_integer_value(number)) : NULL;
    struct mob_address owner;
    struct mob_error why;
    uint64_t task;
    int result;

    if (name != NULL && mob_task_parse(name, &owner, &task))
        result = explain_task(h, asker, owner, task, err);
    else if (n != NULL || (name != NULL && (n = mob_head_node_called(h, name, &why)) != NULL))
        result = mob_head_gather(h, asker, "explain", "{}", node_heard, (void *)(uintptr_t)n->place.number, err);
    else if (name != NULL)
        result = mob_error_set(err, MOB_ERR_INVALID, "\"%.64s\" is no task (t-2.5-117) and no object (o-2.5-117.0); %s", name, why.text);
    else if (json_is_integer(number))
        result = mob_error_set(err, MOB_ERR_INVALID, "there is no node %lld; `mobula list nodes` shows them",
                               (long long)json_integer_value(number));
    else
        result = mob_error_set(err, MOB_ERR_INVALID, "explain needs {\"task\": NAME} or {\"node\": N}");
    json_decref(object);
    return result;
}
