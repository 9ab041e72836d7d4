/* SPDX-License-Identifier: Apache-2.0 */
/* cluster_api.c -- questions to the head, through the raylet: Query, and its Reply in parts. Answers are JSON (head/query.c). And one
 * question to raylets: mob_query_output(). */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/runtime.h"

#define ANSWER_MS 10000                 /* the head answers at once, or is away */
#define OUTPUT_MS 2000                  /* a raylet that is slower loses its workers' last lines to us */
#define ANSWER_BYTES_MAX (256u << 20)
#define UNITS_MAX 1e18                  /* no node has so much of anything */

struct query {
    struct mob_link link;               /* in r->queries */
    uint64_t id;
    struct mob_wait wait;
    struct mob_error why;
    char *text;
    size_t size;
};

/* -- asking ------------------------------------------------------------------------------------------------------------------ */

static void query_begin(struct mob_runtime *r, struct query *q, struct mob_address to, const char *verb, const char *argument)
{
    Mobula__Query m = MOBULA__QUERY__INIT;
    struct mob_envelope out;

    *q = (struct query){ .id = ++r->last_query };
    mob_wait_init(&q->wait);
    mob_list_append(&r->queries, &q->link);
    m.id = q->id;
    m.verb = (char *)(uintptr_t)verb;
    m.argument = (char *)(uintptr_t)argument;
    mob_envelope_init(&out, r->self, to, MOBULA__ENVELOPE__BODY_QUERY);
    out.e.query = &m;
    mob_runtime_send(r, &out.e);
    mob_runtime_flush(r);
}

void mob_query_receive(struct mob_runtime *r, const Mobula__Reply *m)
{
    struct query *q;

    mob_list_each(q, &r->queries, struct query, link) {
        if (q->id != m->id)
            continue;
        if (m->error != NULL)
            mob_wire_error(m->error, &q->why);
        if (m->text.len > 0 && q->size + m->text.len <= ANSWER_BYTES_MAX) {
            q->text = mob_realloc(q->text, q->size + m->text.len);
            memcpy(q->text + q->size, m->text.data, m->text.len);
            q->size += m->text.len;
        }
        if (m->last || m->error != NULL) {
            mob_list_remove(&q->link);
            mob_wait_done(r, &q->wait);
        }
        return;
    }
}

void mob_query_fail_all(struct mob_runtime *r, const struct mob_error *why)
{
    struct query *q;

    mob_list_each(q, &r->queries, struct query, link) {
        q->why = *why;
        mob_list_remove(&q->link);
        mob_wait_done(r, &q->wait);
    }
}

char *mob_query_ask(struct mob_runtime *r, const char *verb, const char *argument, int64_t timeout_ms, struct mob_error *err)
{
    struct query q;

    query_begin(r, &q, (struct mob_address){ 0, 0 }, verb, argument);
    if (!mob_wait_until(r, &q.wait, mob_runtime_deadline(timeout_ms)))
        mob_error_set(&q.why, MOB_ERR_TIMEOUT,
                      "the head of the cluster did not answer in time; `mobula status` says whether it runs");
    mob_list_remove(&q.link);
    if (q.why.code == MOB_OK) {
        q.text = mob_realloc(q.text, q.size + 1);
        q.text[q.size] = '\0';
        return q.text;
    }
    if (err != NULL)
        *err = q.why;
    free(q.text);
    return NULL;
}

char *mob_ask(const char *verb, const char *argument, int64_t timeout_ms, struct mob_error *err)
{
    struct mob_runtime *r;
    char *text;

    if (verb == NULL || argument == NULL) {
        mob_error_set(err, MOB_ERR_INVALID, "mob_ask() of NULL");
        return NULL;
    }
    if ((r = mob_enter(err)) == NULL)
        return NULL;
    text = mob_query_ask(r, verb, argument, timeout_ms, err);
    mob_leave(r);
    return text;
}

/* The answer, parsed; NULL: *err. */
static json_t *ask(const char *verb, const char *argument, int64_t timeout_ms, struct mob_error *err)
{
    char *text = mob_ask(verb, argument, timeout_ms, err);
    json_t *answer;

    if (text == NULL)
        return NULL;
    if ((answer = json_loads(text, 0, NULL)) == NULL)
        mob_error_set(err, MOB_ERR_PROTOCOL, "the head's answer to \"%s\" is not understood", verb);
    free(text);
    return answer;
}

void mob_query_output(struct mob_runtime *r)
{
    int64_t deadline = mob_runtime_deadline(OUTPUT_MS);
    size_t count = r->printers.count, i = 0;
    struct query *all = mob_alloc((count + 1) * sizeof *all);
    uint64_t node;

    for (size_t at = 0; mob_map_next(&r->printers, &at, &node) != NULL;)
        query_begin(r, &all[i++], (struct mob_address){ (uint32_t)node, 0 }, "output", "");
    for (i = 0; i < count; i++) {
        mob_wait_until(r, &all[i].wait, deadline);
        mob_list_remove(&all[i].link);
        free(all[i].text);
    }
    free(all);
}

/* -- the API ----------------------------------------------------------------------------------------------------------------- */

static void print_resources(json_t *object, char *text, size_t size)
{
    struct mob_resources r = { 0 };
    const char *name;
    json_t *amount;

    if (text == NULL)
        return;
    json_object_foreach(object, name, amount) {
        double units = json_number_value(amount) * (double)MOB_UNITS + 0.5;

        if (strlen(name) < MOB_RESOURCE_NAME_SIZE && units > -UNITS_MAX && units < UNITS_MAX)
            mob_resources_set(&r, name, (int64_t)units);
    }
    mob_resources_print(&r, text, size);
}

static const char *text_of(json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text != NULL ? text : "";
}

static void fill_node(json_t *row, struct mob_node *ret)
{
    struct mob_node n = { .size = ret->size };
    const char *ip = text_of(row, "ip"), *state = text_of(row, "state");

    snprintf(n.id, sizeof n.id, "%" JSON_INTEGER_FORMAT, json_integer_value(json_object_get(row, "node")));
    mob_copy(n.host, sizeof n.host, text_of(row, "host"));
    snprintf(n.address, sizeof n.address, strchr(ip, ':') != NULL ? "[%s]:%d" : "%s:%d", ip,
             (int)json_integer_value(json_object_get(row, "port")));
    n.alive = strcmp(state, "dead") != 0 && strcmp(state, "drained") != 0;
    print_resources(json_object_get(row, "total"), n.resources, sizeof n.resources);
    print_resources(json_object_get(row, "available"), n.available, sizeof n.available);
    memcpy(ret, &n, n.size < sizeof n ? n.size : sizeof n);
}

int mob_nodes(struct mob_node *ret_nodes, size_t *count, struct mob_error *err)
{
    size_t room = count != NULL ? *count : 0, found = 0, i, size;
    json_t *answer, *row;

    if (count == NULL || (ret_nodes == NULL && room > 0))
        return mob_error_set(err, MOB_ERR_INVALID, "mob_nodes(): %s", count == NULL ? "count is NULL" : "room for nodes at NULL");
    if (room > 0 && ret_nodes[0].size < sizeof ret_nodes[0].size)
        return mob_error_set(err, MOB_ERR_INVALID, "struct mob_node: set .size = sizeof(struct mob_node) in the first element");
    if ((answer = ask("nodes", "", ANSWER_MS, err)) == NULL)
        return -1;
    size = room > 0 ? ret_nodes[0].size : 0;
    json_array_foreach(json_object_get(answer, "nodes"), i, row) {
        if (json_is_true(json_object_get(row, "driver_only")))
            continue;
        if (found < room) {
            struct mob_node *to = (struct mob_node *)((char *)ret_nodes + found * size);

            to->size = size;
            fill_node(row, to);
        }
        found++;
    }
    json_decref(answer);
    *count = found;
    return 0;
}

int mob_wait_nodes(size_t count, int64_t timeout_ms, struct mob_error *err)
{
    char argument[80];
    json_t *answer;

    if (timeout_ms < 0)
        snprintf(argument, sizeof argument, "{\"nodes\": %zu}", count);
    else
        snprintf(argument, sizeof argument, "{\"nodes\": %zu, \"timeout_ms\": %" PRId64 "}", count, timeout_ms);
    answer = ask("wait", argument, timeout_ms < 0 ? -1 : timeout_ms + ANSWER_MS, err);
    if (answer == NULL)
        return -1;
    json_decref(answer);
    return 0;
}

int mob_resources(char *ret_total, char *ret_available, size_t size, struct mob_error *err)
{
    json_t *answer = ask("status", "", ANSWER_MS, err);

    if (answer == NULL)
        return -1;
    print_resources(json_object_get(answer, "total"), ret_total, size);
    print_resources(json_object_get(answer, "available"), ret_available, size);
    json_decref(answer);
    return 0;
}

int mob_self(struct mob_self *ret_self, struct mob_error *err)
{
    struct mob_self self = { 0 };
    struct mob_runtime *r;

    if (ret_self == NULL || ret_self->size < sizeof ret_self->size)
        return mob_error_set(err, MOB_ERR_INVALID, "struct mob_self: set .size = sizeof(struct mob_self)");
    if ((r = mob_enter(err)) == NULL)
        return -1;
    self.size = ret_self->size;
    snprintf(self.process, sizeof self.process, "%u.%u", r->self.node, r->self.process);
    snprintf(self.node, sizeof self.node, "%u", r->self.node);
    snprintf(self.job, sizeof self.job, "%u.%u", r->job.node, r->job.process);
    mob_copy(self.ip, sizeof self.ip, r->ip);
    mob_copy(self.head, sizeof self.head, r->head);
    self.explain_ms = r->explain_ns / 1000000;
    mob_leave(r);
    memcpy(ret_self, &self, self.size < sizeof self ? self.size : sizeof self);
    return 0;
}

const char *mob_version(void)
{
    return MOB_VERSION;
}
