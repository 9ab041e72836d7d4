/* SPDX-License-Identifier: Apache-2.0 */
/* explain_text.c -- what explain.c found, in words: a paragraph for each task, what it waits for below it.
 *
 *   t-1.1-7 "merge": waits for 2 arguments, 12.3 s old
 *     o-1.1-5.0 o-1.1-6.0
 *   t-1.1-5 "count": waits for a worker with {GPU=1}, 12.3 s old; 3 tasks like it stand before it
 *     what the only node lacks ...
 *     node 1, its queue: place 2 of 4
 *     node 1, GPU is held by: t-1.1-2 (pid 77, runs for 12.2 s)
 *   t-1.1-6 ...
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "head/core.h"
#include "head/explain.h"

#define TASKS_SHOWN 16u
#define NAMES_SHOWN 8u
#define HOLDERS_SHOWN 6u

static const char *text_of(const json_t *row, const char *key)
{
    const char *text = json_string_value(json_object_get(row, key));

    return text != NULL ? text : "";
}

static json_int_t number_of(const json_t *row, const char *key)
{
    return json_integer_value(json_object_get(row, key));
}

static double seconds_of(const json_t *row, const char *key)
{
    return (double)number_of(row, key) / 1e3;
}

static void print_names(FILE *out, const json_t *names, size_t more)
{
    const json_t *name;
    size_t i;

    json_array_foreach(names, i, name)
        if (i < NAMES_SHOWN)
            fprintf(out, "%s%s", i == 0 ? "\n  " : " ", json_string_value(name));
    more += json_array_size(names) > NAMES_SHOWN ? json_array_size(names) - NAMES_SHOWN : 0;
    if (more > 0)
        fprintf(out, " and %zu more", more);
}

/* -- who holds what -------------------------------------------------------------------------------------------------------- */

json_t *mob_explain_answer_of(const json_t *nodes, uint32_t number)
{
    json_t *node;
    size_t i;

    json_array_foreach(nodes, i, node)
        if (number_of(node, "node") == number)
            return node;
    return NULL;
}

/* Units of a resource that a lease has now: of a blocked one the CPU is lent on. */
static int64_t held(const json_t *lease, const char *resource)
{
    struct mob_resources r;

    if (strcmp(text_of(lease, "state"), "blocked") == 0 && strcmp(resource, "CPU") == 0)
        return 0;
    return mob_resources_parse(text_of(lease, "resources"), &r, NULL) == 0 ? mob_resources_get(&r, resource) : 0;
}

static void print_holder(FILE *out, const json_t *lease)
{
    const char *task = text_of(lease, "task"), *state = text_of(lease, "state");

    if (task[0] != '\0')
        fprintf(out, "%s (pid %lld, %s for %.1f s)", task, (long long)number_of(lease, "pid"),
                strcmp(state, "blocked") == 0 ? "waits in a call, runs" : "runs", seconds_of(lease, "run_ms"));
    else
        fprintf(out, "a worker of %s (%s for %.1f s)", text_of(lease, "owner"), state, seconds_of(lease, "held_ms"));
}

static void print_holders(FILE *out, const json_t *node, const char *resource)
{
    const json_t *lease;
    size_t shown = 0, i;

    json_array_foreach(json_object_get(node, "lent"), i, lease) {
        if (held(lease, resource) == 0)
            continue;
        if (shown == 0)
            fprintf(out, "\n  node %lld, %s is held by: ", (long long)number_of(node, "node"), resource);
        if (shown++ < HOLDERS_SHOWN) {
            fprintf(out, "%s", shown > 1 ? ", " : "");
            print_holder(out, lease);
        }
    }
    shown += (size_t)(shown > 0 ? number_of(node, "lent_more") : 0);
    if (shown > HOLDERS_SHOWN)
        fprintf(out, " and %zu more", shown - HOLDERS_SHOWN);
}

static void print_place(FILE *out, const json_t *node, const char *owner, json_int_t shape)
{
    json_t *queue = json_object_get(node, "queue"), *want;
    size_t i;

    json_array_foreach(queue, i, want)
        if (strcmp(text_of(want, "owner"), owner) == 0 && number_of(want, "shape") == shape) {
            fprintf(out, "\n  node %lld, its queue: place %zu of %zu, for %.1f s%s", (long long)number_of(node, "node"), i + 1,
                    json_array_size(queue) + (size_t)number_of(node, "queue_more"), seconds_of(want, "waited_ms"),
                    json_is_true(json_object_get(want, "first")) ? "; what comes free is kept for it" : "");
            return;
        }
}

/* -- attempts -------------------------------------------------------------------------------------------------------------- */

/* "2 of 4": of attempts, if those end. */
static void print_attempt(FILE *out, const json_t *task, long long attempt)
{
    fprintf(out, "attempt %lld", attempt);
    if (number_of(task, "retries") >= 0)
        fprintf(out, " of %lld", (long long)(number_of(task, "attempt") + 1 + number_of(task, "retries")));
}

static void print_last_end(FILE *out, const json_t *task)
{
    const char *error = text_of(task, "error"), *where = text_of(task, "where"), *how = text_of(task, "how");

    if (strcmp(error, "MOB_ERR_OUT_OF_MEMORY") == 0)
        fprintf(out, "was ended when node %s ran short of memory", where);
    else if (strcmp(error, "MOB_ERR_NO_SPACE") == 0)
        fprintf(out, "found no room in the object store of node %s", where);
    else if (strcmp(error, "MOB_ERR_TASK") == 0)
        fprintf(out, "failed by itself on node %s", where);
    else
        fprintf(out, "ended with %s on node %s%s%s", error, where, how[0] != '\0' ? ": " : "", how);
}

/* Of one that is not over. What is made again says so before. */
static void print_tries(FILE *out, const json_t *task)
{
    if (number_of(task, "attempt") == 0 || json_is_true(json_object_get(task, "again")))
        return;
    fprintf(out, "; ");
    print_attempt(out, task, (long long)number_of(task, "attempt") + 1);
    if (text_of(task, "error")[0] == '\0')
        return;
    fprintf(out, ", as its last one ");
    print_last_end(out, task);
}

/* -- a task that waits for a worker ---------------------------------------------------------------------------------------- */

/* What it asks for: as its demand says, or as its owner tells it. */
static void shape_of(const struct mob_head *h, const json_t *task, struct mob_address owner, struct mob_shape *ret)
{
    const struct mob_shape *asked = mob_head_demand_ask(h, owner, (uint32_t)number_of(task, "shape"));

    if (asked != NULL)
        *ret = *asked;
    else
        mob_explain_shape(task, ret);
}

/* Does `from` wait for `name`, by others or at once? */
static bool reaches(const struct explanation *x, const char *from, const char *name, json_t *seen)
{
    json_t *needs, *need;
    bool found = strcmp(from, name) == 0;
    size_t i;

    if (found || json_object_get(seen, from) != NULL)
        return found;
    json_object_set_new(seen, from, json_true());
    needs = mob_explain_needs(json_object_get(x->tasks, from));
    json_array_foreach(needs, i, need)
        found = found || reaches(x, json_string_value(need), name, seen);
    json_decref(needs);
    return found;
}

struct holders {
    size_t all, waiting;                /* leases that have the resource; those of tasks that wait for this one */
};

static void count_holders(const struct explanation *x, const json_t *node, const char *resource, const char *name, struct holders *c)
{
    const json_t *lease;
    size_t i;

    c->all += (size_t)number_of(node, "lent_more");
    json_array_foreach(json_object_get(node, "lent"), i, lease) {
        json_t *seen = json_object();

        if (held(lease, resource) > 0) {
            c->all++;
            c->waiting += strcmp(text_of(lease, "task"), "") != 0 && reaches(x, text_of(lease, "task"), name, seen);
        }
        json_decref(seen);
    }
}

/* Each node that could serve it: its place in the queue, and who has what it lacks. If all of those wait for it, nobody will ever go on. */
static void print_lacks(FILE *out, const struct mob_head *h, const struct explanation *x, const char *name, const json_t *task,
                        const struct mob_shape *ask, const char *owner)
{
    struct holders c = { 0 };
    const char *lacks = NULL;
    bool feasible = false;
    char *advice;

    for (size_t i = 0; i < h->view.open_count; i++) {
        const struct placement_node *n = h->view.open[i];
        const json_t *node = mob_explain_answer_of(x->nodes, n->number);

        feasible |= mob_placement_feasible(n, ask);
        if (node == NULL || !mob_placement_feasible(n, ask))
            continue;
        print_place(out, node, owner, number_of(task, "shape"));
        for (uint32_t k = 0; k < ask->resources.count; k++) {
            const struct mob_resource *r = &ask->resources.of[k];

            if (mob_resources_get(&n->free, r->name) >= r->units)
                continue;
            print_holders(out, node, r->name);
            count_holders(x, node, r->name, name, &c);
            lacks = r->name;
        }
    }
    if (!feasible && h->view.open_count > 0) {
        advice = mob_placement_advice(ask, h->view.open, h->view.open_count);
        fprintf(out, "\n  No node could serve it, not even an idle one: %s.", advice);
        free(advice);
    }
    if (c.all > 0 && c.all == c.waiting)
        fprintf(out, "\n  All that has %s waits for this task: it can never run. Cancel one of them, or add a node.", lacks);
}

static void print_queued(FILE *out, struct mob_head *h, const struct explanation *x, const char *name, const json_t *task)
{
    struct mob_address owner;
    struct mob_shape ask;
    char *table, process[32];
    uint64_t number;

    fprintf(out, "waits for a worker with {%s}, %.1f s old", text_of(task, "resources"), seconds_of(task, "age_ms"));
    if (number_of(task, "before") > 0)
        fprintf(out, "; before it: %lld like it", (long long)number_of(task, "before"));
    if (number_of(task, "leases") > 0)
        fprintf(out, "; workers that serve such tasks: %lld", (long long)number_of(task, "leases"));
    print_tries(out, task);
    if (!mob_task_parse(name, &owner, &number))
        return;
    snprintf(process, sizeof process, "%u.%u", owner.node, owner.process);
    shape_of(h, task, owner, &ask);
    table = mob_placement_explain(&ask, h->view.open, h->view.open_count);
    fprintf(out, "\n  %s", table);
    free(table);
    print_lacks(out, h, x, name, task, &ask, process);
}

/* -- a task ---------------------------------------------------------------------------------------------------------------- */

/* Of where it was sent, if that says nothing: it may run, or be about to be tried again. */
static void print_silence(FILE *out, const struct mob_head *h, const struct explanation *x, uint32_t number)
{
    const json_t *answer = mob_explain_answer_of(x->nodes, number);
    const struct node *n = mob_head_node_find(h, number);

    if (n != NULL && node_is_gone(n))
        fprintf(out, "; but node %u %s: %s", number, n->m.now == NODE_DEAD ? "is dead" : "has left", n->reason);
    else if (n != NULL && (answer == NULL || json_object_get(answer, "error") != NULL))
        fprintf(out, "; but node %u does not answer, and was heard of %.1f s ago", number,
                (double)(mob_head_lived_ns(h) - n->heard_ns) / 1e9);
}

/* What a call of it waits for: objects, or its reader. */
static void print_blocked(FILE *out, const json_t *task)
{
    const json_t *waits = json_object_get(task, "blocked"), *unread = json_object_get(task, "unread");

    if (json_array_size(waits) > 0) {
        fprintf(out, "; a call of it waits for");
        print_names(out, waits, 0);
    } else if (unread != NULL && strcmp(text_of(json_object_get(task, "run"), "state"), "blocked") == 0) {
        fprintf(out, "; it waits until somebody reads what it has yielded: items that nobody has read: %lld",
                (long long)json_integer_value(unread));
    }
}

static void print_pushed(FILE *out, const struct mob_head *h, const struct explanation *x, const json_t *task)
{
    const json_t *run = json_object_get(task, "run");

    if (run == NULL) {
        fprintf(out, "is sent to worker %s (pid %lld on %s), %.1f s old; before it there: %lld", text_of(task, "worker"),
                (long long)number_of(task, "pid"), text_of(task, "ip"), seconds_of(task, "age_ms"), (long long)number_of(task, "before"));
        print_tries(out, task);
        print_silence(out, h, x, (uint32_t)strtoul(text_of(task, "worker"), NULL, 10));
        return;
    }
    fprintf(out, "runs on node %lld (%s), pid %lld, for %.1f s", (long long)number_of(task, "on"), text_of(task, "ip"),
            (long long)number_of(task, "pid"), seconds_of(run, "run_ms"));
    print_tries(out, task);
    print_blocked(out, task);
}

static void print_resting(FILE *out, const json_t *task)
{
    fprintf(out, "waits %.1f s before it is tried again, as attempt %lld, because its last one ", seconds_of(task, "rest_ms"),
            (long long)number_of(task, "attempt") + 1);
    print_last_end(out, task);
    fprintf(out, "; %.1f s old", seconds_of(task, "age_ms"));
}

/* What it left in stores, and whether that can be made again. */
static void print_lineage(FILE *out, const json_t *task)
{
    long long lost = (long long)number_of(task, "lost"), stored = (long long)number_of(task, "stored");
    const char *why_not = text_of(task, "why_not");

    if (lost + stored == 0)
        return;
    if (lost > 0)
        fprintf(out, "; %lld of its %lld results in stores are lost, or were let go, and ", lost, lost + stored);
    else
        fprintf(out, "; if what lies in a store is lost, it ");
    if (why_not[0] != '\0')
        fprintf(out, "cannot be made again: %s", why_not);
    else if (lost > 0)
        fprintf(out, "it runs again when somebody wants them: ");
    else
        fprintf(out, "runs again: ");
    if (why_not[0] == '\0')
        print_attempt(out, task, (long long)number_of(task, "attempt") + 2);
}

static void print_ready(FILE *out, const struct mob_head *h, const json_t *task)
{
    const struct node *n = mob_head_node_find(h, (uint32_t)number_of(task, "on"));
    bool put = json_is_true(json_object_get(task, "put"));

    if (n != NULL && node_is_gone(n))
        fprintf(out, "%s on node %u alone, which is %s", put ? "was put, and lay" : "is over, and its result lay", n->place.number,
                n->m.now == NODE_DEAD ? "dead" : "gone");
    else
        fprintf(out, put ? "was put, and is there" : "is over, and its results are there");
}

static void print_over(FILE *out, const struct mob_head *h, const json_t *task)
{
    const char *state = text_of(task, "state");

    if (strcmp(state, "FAILED") == 0)
        fprintf(out, "failed: %s", text_of(task, "error"));
    else if (strcmp(state, "RAISED") == 0)
        fprintf(out, "failed: it raised an exception, which a get of its result tells");
    else if (strcmp(state, "READY") == 0)
        print_ready(out, h, task);
    else if (strcmp(state, "PUT") == 0)
        fprintf(out, "is no task: a value that is being written");
    else if (strcmp(state, "LOST") == 0)
        fprintf(out, "is over");
    else
        fprintf(out, "is over, and nobody has its results any more; `mobula list tasks` may know how it ended");
    print_lineage(out, task);
}

/* Its owner has said nothing of it. */
static void print_unknown(FILE *out, const struct mob_head *h, const char *name)
{
    struct mob_address owner;
    uint64_t number;
    const struct job *j = mob_task_parse(name, &owner, &number) ? mob_map_get(&h->jobs.by_driver, mob_address_key(owner)) : NULL;
    const struct node *n = mob_head_node_find(h, owner.node);

    if (j != NULL && j->over_ns != 0)
        fprintf(out, "its driver (%s, pid %u) has ended, and all its tasks with it; `mobula list tasks` may know how it ended", j->name,
                j->pid);
    else if (n != NULL && node_is_gone(n))
        fprintf(out, "the process that owns it is gone: node %u (%s) %s: %s", n->place.number, n->place.ip,
                n->m.now == NODE_DEAD ? "is dead" : "has left", n->reason);
    else
        fprintf(out, "the process that owns it is gone, or did not answer");
}

static void print_task(FILE *out, struct mob_head *h, const struct explanation *x, const char *name)
{
    const json_t *task = json_object_get(x->tasks, name);
    const char *state = text_of(task, "state");

    fprintf(out, "%s", name);
    if (text_of(task, "name")[0] != '\0')
        fprintf(out, " \"%s\"", text_of(task, "name"));
    fprintf(out, ": ");
    if (json_is_true(json_object_get(task, "again"))) {
        print_attempt(out, task, (long long)number_of(task, "attempt") + 1);
        fprintf(out, ", as what it had left in a store was lost; ");
    }
    if (!json_is_object(task)) {
        print_unknown(out, h, name);
    } else if (strcmp(state, "WAITING") == 0) {
        fprintf(out, "waits for arguments that are not there, %.1f s old", seconds_of(task, "age_ms"));
        print_names(out, json_object_get(task, "waits"), (size_t)number_of(task, "waits_more"));
    } else if (strcmp(state, "QUEUED") == 0) {
        print_queued(out, h, x, name, task);
    } else if (strcmp(state, "STAGING") == 0) {
        fprintf(out, "has a worker, and its arguments are being brought to that node, %.1f s old", seconds_of(task, "age_ms"));
    } else if (strcmp(state, "RESTING") == 0) {
        print_resting(out, task);
    } else if (strcmp(state, "PUSHED") == 0) {
        print_pushed(out, h, x, task);
    } else {
        print_over(out, h, task);
    }
    fputc('\n', out);
}

static void print_cycle(FILE *out, const struct explanation *x)
{
    json_t *cycle = mob_explain_cycle(x), *name;
    size_t i;

    if (cycle == NULL)
        return;
    fprintf(out, "These tasks wait for each other, and none can go on: ");
    json_array_foreach(cycle, i, name)
        fprintf(out, "%s%s", i > 0 ? " -> " : "", json_string_value(name));
    fprintf(out, ". Cancel one of them.\n");
    json_decref(cycle);
}

char *mob_explain_text(struct mob_head *h, const struct explanation *x)
{
    char *text = NULL;
    size_t size, i;
    FILE *out = open_memstream(&text, &size);
    json_t *name;

    assert(out != NULL);
    print_cycle(out, x);
    json_array_foreach(x->order, i, name)
        if (i < TASKS_SHOWN)
            print_task(out, h, x, json_string_value(name));
    if (json_array_size(x->order) > TASKS_SHOWN)
        fprintf(out, "... and %zu more tasks that it waits for\n", json_array_size(x->order) - TASKS_SHOWN);
    fclose(out);
    return text;
}

/* -- a node ---------------------------------------------------------------------------------------------------------------- */

/* What keeps one that is to leave, as `mobula drain` says it. */
static void print_left(FILE *out, const struct node *n)
{
    const struct drain_left *left = &n->drain.left;

    if (!n->drain.heard)
        fprintf(out, "; it has not answered that yet");
    if (left->tasks > 0)
        fprintf(out, "; workers that still have tasks: %u", left->tasks);
    if (left->objects > 0)
        fprintf(out, "; objects still to move: %llu (%.1f MiB)", (unsigned long long)left->objects, (double)left->bytes / (1 << 20));
    if (left->owners > 0)
        fprintf(out, "; idle workers that own what others hold: %u", left->owners);
    if (left->drivers > 0)
        fprintf(out, "; drivers that run there: %u", left->drivers);
}

static void print_serving(FILE *out, const struct mob_head *h, const struct node *n)
{
    char total[1200], left[1200];

    fprintf(out, "%s%s", n->m.now == NODE_CUT ? "is cut off from the head" : n->m.now == NODE_DRAINING ? "is draining" : "serves",
            n->place.full ? ", but only what no other node could, as its object store is full" : "");
    if (n->place.draining)
        print_left(out, n);
    fprintf(out, "; free {%s} of {%s}, heard of %.1f s ago\n", mob_resources_print(&n->place.free, left, sizeof left),
            mob_resources_print(&n->place.total, total, sizeof total), (double)(mob_head_lived_ns(h) - n->heard_ns) / 1e9);
}

static void print_node_state(FILE *out, const struct mob_head *h, const struct node *n)
{
    fprintf(out, "node %u (%s, %s) ", n->place.number, n->place.ip, n->facts.host);
    if (node_is_gone(n))
        fprintf(out, n->m.now == NODE_DEAD ? "is dead: %s\n" : "has left: %s\n", n->reason);
    else if (n->facts.driver_only)
        fprintf(out, "lends nothing: a driver started it for itself\n");
    else
        print_serving(out, h, n);
}

char *mob_explain_node_text(struct mob_head *h, uint32_t number, json_t *answers)
{
    const struct node *n = mob_head_node_find(h, number);
    const json_t *node = mob_explain_answer_of(answers, number), *row;
    char *text = NULL;
    size_t size, i;
    FILE *out = open_memstream(&text, &size);

    assert(out != NULL);
    if (n != NULL)
        print_node_state(out, h, n);
    json_array_foreach(json_object_get(node, "lent"), i, row) {
        fprintf(out, "  {%s} to %s: ", text_of(row, "resources"), text_of(row, "owner"));
        print_holder(out, row);
        fputc('\n', out);
    }
    json_array_foreach(json_object_get(node, "queue"), i, row)
        fprintf(out, "  place %zu in its queue: %s, {%s} x %lld, for %.1f s%s\n", i + 1, text_of(row, "owner"), text_of(row, "resources"),
                (long long)number_of(row, "leases"), seconds_of(row, "waited_ms"),
                json_is_true(json_object_get(row, "first")) ? "; what comes free is kept for it" : "");
    if (n != NULL && !node_is_gone(n) && (node == NULL || json_object_get(node, "error") != NULL))
        fprintf(out, "  it does not answer\n");
    fclose(out);
    return text;
}
