/* SPDX-License-Identifier: Apache-2.0 */
/* query.c -- questions and their answers.
 *
 *   nodes    {"nodes": [{"node", "state", "ip", "port", "bulk_port", "host", "pid", "driver_only", "session_dir", "labels",
 *             "total": {resource: amount}, "available": {...}, "workers", "blocked", "queued", "store_used", "store_size",
 *             "store_spilled", "store_pulled", "store_warm", "store_overflow", "store_asks", "store_full", "store_trouble", "store_pages",
 *             "uptime_ms", "silent_ms", "most_silent_ms", of a dead one "reason"}]}
 *   status   {"cluster", "uptime_ms", "nodes": those not dead, as above, "serving", "dead": or left, "total", "available": of all that
 *             serve, "jobs", "state_trouble", "waiting", "demands": [{"resources", "labels", "strategy", "count", "oldest_ms", "state",
 *             "why"}]}
 *   jobs     {"jobs": [{"job", "name", "pid", "state", "age_ms"}]}
 *   health   {"ok": true, "nodes"}
 *   wait     argument {"nodes": N, "timeout_ms": T}: {"nodes"} when so many serve; MOB_ERR_TIMEOUT after T (absent: never)
 *   stop     {"ok": true}; then the head ends
 *   memory   argument {"limit": N}: is gathered from the raylets (head/gather.c)
 *   explain  argument {"task": NAME} or {"node": N}: the same, in rounds (head/explain.c)
 *   drain, draining   a node is to leave, and how far it is (head/drain.c)
 *   fits     argument {"resources", "labels", "strategy", "node"}: {"nodes": how many could serve it if they were idle, "why" none}
 *   tasks, timeline   go to the shell, which has the event file
 *
 * Of those that the head answers itself only `wait` waits: for a node to join, its own time-out, or the end of its link.
 */
#include "head/query.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "head/core.h"
#include "head/drain.h"
#include "head/explain.h"

#define REPLY_PART_MAX (256u << 10)
#define WAITING_MAX 10000
#define DEMANDS_SHOWN 100

/* -- replies ------------------------------------------------------------------------------------------------------------- */

static void send_reply(struct mob_head *h, uint64_t link, struct mob_address to, Mobula__Reply *m)
{
    struct mob_envelope env;

    mob_envelope_init(&env, (struct mob_address){ 0, 0 }, to, MOBULA__ENVELOPE__BODY_REPLY);
    env.e.reply = m;
    mob_head_send(h, link, &env.e);
}

static void send_text(struct mob_head *h, uint64_t link, Mobula__Reply *m, struct mob_address to, const char *text, size_t size)
{
    bool last = m->last;

    do {
        size_t part = size < REPLY_PART_MAX ? size : REPLY_PART_MAX;
        m->text = (ProtobufCBinaryData){ .len = part, .data = (uint8_t *)text };
        m->last = last && part == size;
        send_reply(h, link, to, m);
        text += part;
        size -= part;
    } while (size > 0);
}

void mob_head_reply_part(struct mob_head *h, uint64_t link, uint64_t query, struct mob_address to, const char *text, size_t size)
{
    Mobula__Reply m = MOBULA__REPLY__INIT;

    m.id = query;
    send_text(h, link, &m, to, text, size);
}

void mob_head_reply(struct mob_head *h, uint64_t link, uint64_t query, struct mob_address to, const char *text, size_t size,
                    const struct mob_error *err)
{
    Mobula__Reply m = MOBULA__REPLY__INIT;
    Mobula__Error error;

    m.id = query;
    m.last = true;
    if (err != NULL) {
        mob_wire_put_error(&error, err);
        m.error = &error;
    }
    send_text(h, link, &m, to, text, size);
}

/* -- answers ------------------------------------------------------------------------------------------------------------- */

static json_t *amount(int64_t units)
{
    if (units % MOB_UNITS == 0)
        return json_integer(units / MOB_UNITS);
    return json_real((double)units / (double)MOB_UNITS);
}

static json_t *resources_json(const struct mob_resources *r)
{
    json_t *object = json_object();

    for (uint32_t i = 0; i < r->count; i++)
        json_object_set_new(object, r->of[i].name, amount(r->of[i].units));
    return object;
}

static json_t *labels_json(const struct mob_labels *l)
{
    json_t *object = json_object();

    for (uint32_t i = 0; i < l->count; i++)
        json_object_set_new(object, l->of[i].key, json_string(l->of[i].value));
    return object;
}

static int64_t ms_since(const struct mob_head *h, int64_t ns)
{
    return (h->now_ns - ns) / MOB_NS_OF_MS;
}

json_t *mob_head_query_node(const struct node *n)
{
    const struct node_facts *f = &n->facts;
    json_t *object = json_pack(
        "{s:I, s:s, s:s, s:I, s:I, s:s, s:I, s:b, s:s}", "node", (json_int_t)n->place.number, "state", mob_machine_state(&n->m),
        "ip", n->place.ip, "port", (json_int_t)f->port, "bulk_port", (json_int_t)f->bulk_port, "host", f->host,
        "pid", (json_int_t)f->pid, "driver_only", (int)f->driver_only, "session_dir", f->session_dir);

    if (object == NULL)                 /* its host name is no UTF-8 */
        object = json_pack("{s:I, s:s}", "node", (json_int_t)n->place.number, "state", mob_machine_state(&n->m));
    json_object_set_new(object, "total", resources_json(&n->place.total));
    json_object_set_new(object, "labels", labels_json(&n->place.labels));
    if (node_is_gone(n)) {
        json_object_set_new(object, "reason", json_string(n->reason));
        return object;
    }
    if (n->place.draining)
        json_object_set_new(object, "draining", mob_head_drain_left(n));
    json_object_set_new(object, "available", resources_json(&n->place.free));
    json_object_set_new(object, "workers", json_integer(n->load.workers));
    json_object_set_new(object, "blocked", json_integer(n->load.blocked));
    json_object_set_new(object, "queued", json_integer(n->load.queued));
    json_object_set_new(object, "store_used", json_integer((json_int_t)n->load.store_used));
    json_object_set_new(object, "store_size", json_integer((json_int_t)n->load.store_size));
    json_object_set_new(object, "store_spilled", json_integer((json_int_t)n->load.store_spilled));
    json_object_set_new(object, "store_pulled", json_integer((json_int_t)n->load.store_pulled));
    json_object_set_new(object, "store_warm", json_integer((json_int_t)n->load.store_warm));
    json_object_set_new(object, "store_overflow", json_integer((json_int_t)n->load.store_overflow));
    json_object_set_new(object, "store_asks", json_integer(n->load.store_asks));
    json_object_set_new(object, "store_full", json_boolean(n->place.full));
    json_object_set_new(object, "store_trouble", json_string(n->load.store_trouble));
    json_object_set_new(object, "store_pages", json_string(n->load.store_pages));
    json_object_set_new(object, "uptime_ms", json_integer((json_int_t)n->load.uptime_ms));
    json_object_set_new(object, "silent_ms", json_integer((mob_head_lived_ns(n->head) - n->heard_ns) / MOB_NS_OF_MS));
    json_object_set_new(object, "most_silent_ms", json_integer(n->most_silent_ns / MOB_NS_OF_MS));
    return object;
}

static int compare_nodes(const void *a, const void *b)
{
    const struct node *x = *(struct node *const *)a, *y = *(struct node *const *)b;

    return x->place.number < y->place.number ? -1 : x->place.number > y->place.number;
}

static json_t *rows_json(struct mob_head *h, bool dead_too)
{
    struct node **list = mob_alloc((h->nodes.by_number.count + 1) * sizeof *list);
    json_t *array = json_array();
    struct node *n;
    size_t count = 0, at = 0;

    while ((n = mob_map_next(&h->nodes.by_number, &at, NULL)) != NULL) {
        if (dead_too || !node_is_gone(n))
            list[count++] = n;
    }
    if (count > 1)
        qsort(list, count, sizeof *list, compare_nodes);
    for (size_t i = 0; i < count; i++)
        json_array_append_new(array, mob_head_query_node(list[i]));
    free(list);
    return array;
}

static json_t *nodes_json(struct mob_head *h)
{
    return json_pack("{s:o}", "nodes", rows_json(h, true));
}

static void add_amounts(json_t *sums, const struct mob_resources *r)
{
    for (uint32_t i = 0; i < r->count; i++) {
        double sum = json_number_value(json_object_get(sums, r->of[i].name)) + (double)r->of[i].units / (double)MOB_UNITS;
        json_object_set_new(sums, r->of[i].name, json_real(sum));
    }
}

/* Of all nodes that serve. */
static json_t *sums_json(const struct mob_head *h, bool available)
{
    json_t *sums = json_object();

    for (size_t i = 0; i < h->view.open_count; i++)
        if (!h->view.open[i]->draining)
            add_amounts(sums, available ? &h->view.open[i]->free : &h->view.open[i]->total);
    return sums;
}

static json_t *demand_json(struct mob_head *h, const struct kind *k, uint64_t count, int64_t oldest_ns)
{
    json_t *object = json_pack("{s:s, s:I, s:I, s:s}", "strategy", mob_strategy_name(k->ask.strategy), "count", (json_int_t)count,
                               "oldest_ms", (json_int_t)ms_since(h, oldest_ns), "state",
                               k->feasible > 0 ? "waiting" : "unplaceable");
    char *why = mob_placement_explain(&k->ask, h->view.open, h->view.open_count);

    json_object_set_new(object, "resources", resources_json(&k->ask.resources));
    json_object_set_new(object, "labels", labels_json(&k->ask.labels));
    json_object_set_new(object, "why", json_string(why));
    free(why);
    return object;
}

static json_t *demands_json(struct mob_head *h, uint64_t *ret_waiting)
{
    json_t *array = json_array();
    struct kind *k;
    size_t at = 0;

    *ret_waiting = 0;
    while ((k = mob_map_next(&h->demands.kinds, &at, NULL)) != NULL) {
        int64_t oldest_ns = INT64_MAX;
        uint64_t count = 0;
        struct demand *d;

        mob_list_each(d, &k->waiting, struct demand, by_kind) {
            count += d->count;
            oldest_ns = d->since_ns < oldest_ns ? d->since_ns : oldest_ns;
        }
        *ret_waiting += count;
        if (count > 0 && json_array_size(array) < DEMANDS_SHOWN)
            json_array_append_new(array, demand_json(h, k, count, oldest_ns));
    }
    return array;
}

/* Nodes that are remembered, and did not leave of their own accord. */
static size_t count_died(const struct mob_head *h)
{
    const struct node *n;
    size_t count = 0;

    mob_list_each(n, &h->nodes.dead, struct node, by_heard)
        count += n->m.now == NODE_DEAD && !n->facts.driver_only;
    return count;
}

static json_t *status_json(struct mob_head *h)
{
    char cluster[33];
    uint64_t waiting;
    json_t *demands = demands_json(h, &waiting);

    for (int i = 0; i < 16; i++)
        snprintf(cluster + 2 * i, 3, "%02x", h->config.cluster[i]);
    return json_pack("{s:s, s:s, s:I, s:o, s:I, s:I, s:I, s:o, s:o, s:I, s:I, s:o}", "cluster", cluster, "state_trouble", h->state.trouble,
                     "uptime_ms", (json_int_t)ms_since(h, h->started_ns), "nodes", rows_json(h, false),
                     "serving", (json_int_t)mob_head_view_serving(h), "dead", (json_int_t)h->nodes.dead_count,
                     "died", (json_int_t)count_died(h),
                     "total", sums_json(h, false), "available", sums_json(h, true),
                     "jobs", (json_int_t)h->jobs.running_count, "waiting", (json_int_t)waiting, "demands", demands);
}

static json_t *health_json(struct mob_head *h)
{
    return json_pack("{s:b, s:I}", "ok", 1, "nodes", (json_int_t)mob_head_view_serving(h));
}

static json_t *job_json(const struct mob_head *h, const struct job *j)
{
    char name[32];
    json_t *object;

    snprintf(name, sizeof name, "%u.%u", j->driver.node, j->driver.process);
    object = json_pack("{s:s, s:I, s:s, s:I}", "job", name, "pid", (json_int_t)j->pid, "state", j->over_ns ? "over" : "running",
                       "age_ms", (json_int_t)ms_since(h, j->started_ns));
    json_object_set_new(object, "name", json_string(j->name));
    return object;
}

static json_t *jobs_json(struct mob_head *h)
{
    json_t *array = json_array();
    struct job *j;

    mob_list_each(j, &h->jobs.over, struct job, in_list)
        json_array_append_new(array, job_json(h, j));
    mob_list_each(j, &h->jobs.running, struct job, in_list)
        json_array_append_new(array, job_json(h, j));
    return json_pack("{s:o}", "jobs", array);
}

static json_t *stop_json(struct mob_head *h)
{
    (void)h;
    return json_pack("{s:b}", "ok", 1);
}

/* -- wait ---------------------------------------------------------------------------------------------------------------- */

struct waiter {
    struct asker asker;
    size_t nodes;
    int64_t end_ns;                     /* INT64_MAX: none */
    struct mob_link link;
};

static void waiter_end(struct mob_head *h, struct waiter *w)
{
    mob_list_remove(&w->link);
    h->queries.waiting_count--;
    free(w);
}

static int wait_begin(struct mob_head *h, const struct asker *asker, const char *argument, struct mob_error *err)
{
    json_t *object = json_loads(argument, 0, NULL);
    json_t *asked = json_object_get(object, "nodes");
    json_int_t nodes = json_is_integer(asked) ? json_integer_value(asked) : -1;
    json_t *timeout = json_object_get(object, "timeout_ms");
    json_int_t timeout_ms = json_is_integer(timeout) ? json_integer_value(timeout) : -1;
    struct waiter *w;

    json_decref(object);
    if (nodes < 0)
        return mob_error_set(err, MOB_ERR_INVALID, "wait needs {\"nodes\": N}");
    if (h->queries.waiting_count >= WAITING_MAX)
        return mob_error_set(err, MOB_ERR_NO_SPACE, "%d waits are under way already: try again later", WAITING_MAX);
    w = mob_new(struct waiter);
    w->asker = *asker;
    w->nodes = (size_t)nodes;
    w->end_ns = timeout_ms < 0 || timeout_ms > INT64_MAX / MOB_NS_OF_MS - h->now_ns / MOB_NS_OF_MS - 1
        ? INT64_MAX : h->now_ns + timeout_ms * MOB_NS_OF_MS;
    mob_list_append(&h->queries.waiting, &w->link);
    h->queries.waiting_count++;
    return 0;
}

int64_t mob_head_query_tick(struct mob_head *h)
{
    size_t serving = mob_list_empty(&h->queries.waiting) ? 0 : mob_head_view_serving(h);
    int64_t due_ns = INT64_MAX;
    struct waiter *w;

    mob_list_each(w, &h->queries.waiting, struct waiter, link) {
        char text[64];
        struct mob_error err;

        if (w->nodes <= serving) {
            snprintf(text, sizeof text, "{\"nodes\":%zu}", serving);
            mob_head_reply(h, w->asker.link, w->asker.query, w->asker.from, text, strlen(text), NULL);
            waiter_end(h, w);
        } else if (w->end_ns <= h->now_ns) {
            mob_error_set(&err, MOB_ERR_TIMEOUT, "%zu nodes serve, %zu were waited for", serving, w->nodes);
            mob_head_reply(h, w->asker.link, w->asker.query, w->asker.from, "", 0, &err);
            waiter_end(h, w);
        } else if (w->end_ns < due_ns) {
            due_ns = w->end_ns;
        }
    }
    return due_ns;
}

void mob_head_query_link_lost(struct mob_head *h, uint64_t link)
{
    struct waiter *w;

    mob_list_each(w, &h->queries.waiting, struct waiter, link) {
        if (w->asker.link == link)
            waiter_end(h, w);
    }
}

/* -- asking -------------------------------------------------------------------------------------------------------------- */

static int memory_begin(struct mob_head *h, const struct asker *asker, const char *argument, struct mob_error *err)
{
    return mob_head_gather(h, asker, "memory", argument, mob_head_gather_reply, NULL, err);
}

/* Answered at once ... */
static const struct {
    const char *verb;
    json_t *(*answer)(struct mob_head *h);
} verbs[] = {
    { "status", status_json }, { "nodes", nodes_json }, { "jobs", jobs_json }, { "health", health_json }, { "stop", stop_json },
};

/* ... and those with an argument, which may be refused (-1), and which reply by themselves, now or later. */
static const struct {
    const char *verb;
    int (*begin)(struct mob_head *h, const struct asker *asker, const char *argument, struct mob_error *err);
} errands[] = {
    { "memory", memory_begin }, { "explain", mob_head_explain }, { "fits", mob_head_fits }, { "drain", mob_head_drain },
    { "draining", mob_head_draining }, { "wait", wait_begin },
};

static void answer_json(struct mob_head *h, uint64_t link, uint64_t query, struct mob_address from, json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(12));

    mob_head_reply(h, link, query, from, text, strlen(text), NULL);
    free(text);
    json_decref(json);
}

void mob_head_query_ask(struct mob_head *h, struct link *l, struct mob_address from, const Mobula__Query *m)
{
    const struct asker asker = { .link = l->number, .query = m->id, .from = from };
    struct mob_error err;

    for (size_t i = 0; i < MOB_COUNT(verbs); i++) {
        if (strcmp(m->verb, verbs[i].verb) != 0)
            continue;
        answer_json(h, l->number, m->id, from, verbs[i].answer(h));
        if (verbs[i].answer == stop_json && h->config.stop != NULL) {
            h->config.stop(h->config.arg);
            mob_head_end_link(h, l);    /* its loss says that the answer is out */
        }
        return;
    }
    if (h->config.query_events != NULL && (strcmp(m->verb, "tasks") == 0 || strcmp(m->verb, "timeline") == 0)) {
        h->config.query_events(h->config.arg, l->number, m->id, from, m->verb, m->argument);
        return;
    }
    mob_error_set(&err, MOB_ERR_INVALID, "the head knows no question \"%.32s\"", m->verb);
    for (size_t i = 0; i < MOB_COUNT(errands); i++)
        if (strcmp(m->verb, errands[i].verb) == 0 && errands[i].begin(h, &asker, m->argument, &err) == 0)
            return;
    mob_head_reply(h, l->number, m->id, from, "", 0, &err);
}

void mob_head_query_init(struct mob_head *h)
{
    mob_list_init(&h->queries.waiting);
}

void mob_head_query_fini(struct mob_head *h)
{
    struct waiter *w;

    mob_list_each(w, &h->queries.waiting, struct waiter, link)
        waiter_end(h, w);
}
