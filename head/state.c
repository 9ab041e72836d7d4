/* SPDX-License-Identifier: Apache-2.0 */
/* state.c -- what outlives a head: a row a node, a row a job, and the next node number.
 *
 *   a fact --> its row is kept (config.keep, which returns when it is safe) --> then others are told
 *
 * That is all: what is free, wanted and placed the raylets know, and say it again when they are back. What the old head had placed is void
 * (raylet/membership.c). So a head that is started on these rows has all its nodes CUT, and waits for them as for any that lost its link.
 *
 * Numbers go on: those of nodes by the counter, those of Places and Claims by the generation (node.c), so that none is ever meant twice.
 *
 * The state may be older than the cluster: its last rows were cut off, or somebody put back a copy. Raylets say what they have heard
 * of when they register, and all numbers go on beyond that. A node whose row is lost is told that it is dead, and comes as a new one;
 * one whose death is lost is buried again at the word of those that heard of it; jobs their drivers' nodes name, or not, as to each head.
 *
 * A new node that cannot be kept is refused. Deaths and jobs happen all the same: if the disk has no room for them, their rows are kept
 * when it has, and `mobula status` says why they are behind.
 */
#include "head/state.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "head/core.h"

#define AGAIN_NS INT64_C(1000000000)

/* -- rows ------------------------------------------------------------------------------------------------------------------ */

static int keep(struct mob_head *h, enum mob_head_row kind, uint64_t key, const ProtobufCMessage *row, struct mob_error *err)
{
    size_t size = protobuf_c_message_get_packed_size(row);
    uint8_t *bytes = mob_alloc(size + 1);
    int result;

    protobuf_c_message_pack(row, bytes);
    result = h->config.keep(h->config.arg, kind, key, bytes, size, err);
    free(bytes);
    return result;
}

static int keep_counters(struct mob_head *h, struct mob_error *err)
{
    Mobula__CountersRow row = MOBULA__COUNTERS_ROW__INIT;

    row.next_node = h->nodes.next;
    row.generation = h->config.generation;
    return keep(h, MOB_HEAD_COUNTERS, 0, &row.base, err);
}

static int keep_node(struct node *n, struct mob_error *err)
{
    Mobula__NodeRow row = MOBULA__NODE_ROW__INIT;
    Mobula__Register r = MOBULA__REGISTER__INIT;
    Mobula__Drain drain;
    Mobula__Resource resources[MOB_RESOURCES_MAX], *resource_list[MOB_RESOURCES_MAX];
    Mobula__Label labels[MOB_LABELS_MAX], *label_list[MOB_LABELS_MAX];

    r.protocol = MOB_PROTOCOL;
    r.incarnation = (ProtobufCBinaryData){ sizeof n->facts.incarnation, n->facts.incarnation };
    r.ip = n->place.ip;
    r.port = n->facts.port;
    r.bulk_port = n->facts.bulk_port;
    r.host = n->facts.host;
    r.session_dir = n->facts.session_dir;
    r.pid = n->facts.pid;
    r.driver_only = n->facts.driver_only;
    r.n_resources = mob_wire_put_resources(resources, resource_list, &n->place.total);
    r.resources = resource_list;
    r.n_labels = mob_wire_put_labels(labels, label_list, &n->place.labels);
    r.labels = label_list;
    row.node = n->place.number;
    row.registration = &r;
    row.dead = node_is_gone(n);
    row.left = n->m.now == NODE_LEFT;
    if (n->place.draining) {
        mob_head_drain_put(n, &drain);
        row.drain = &drain;
    }
    row.reason = n->reason;
    return keep(n->head, MOB_HEAD_NODE, n->place.number, &row.base, err);
}

static int keep_job(struct mob_head *h, const struct job *j, struct mob_error *err)
{
    Mobula__JobRow row = MOBULA__JOB_ROW__INIT;
    Mobula__JobStarted started = MOBULA__JOB_STARTED__INIT;
    Mobula__Address driver;

    mob_wire_put_address(&driver, j->driver);
    started.job = &driver;
    started.name = (char *)(uintptr_t)j->name;
    started.pid = j->pid;
    row.started = &started;
    row.over = j->over_ns != 0;
    return keep(h, MOB_HEAD_JOB, mob_address_key(j->driver), &row.base, err);
}

/* -- keeping --------------------------------------------------------------------------------------------------------------- */

int mob_head_state_keep(struct mob_head *h, enum mob_head_row kind, uint64_t key, struct mob_error *err)
{
    struct node *n;
    struct job *j;

    if (h->config.keep == NULL)
        return 0;
    if (kind == MOB_HEAD_COUNTERS)
        return keep_counters(h, err);
    if (kind == MOB_HEAD_NODE && (n = mob_head_node_find(h, (uint32_t)key)) != NULL)
        return keep_node(n, err);
    if (kind == MOB_HEAD_JOB && (j = mob_map_get(&h->jobs.by_driver, key)) != NULL)
        return keep_job(h, j, err);
    return h->config.keep(h->config.arg, kind, key, NULL, 0, err);
}

void mob_head_state_changed(struct mob_head *h, enum mob_head_row kind, uint64_t key)
{
    struct mob_error err;

    if (h->state.trouble[0] == '\0' && mob_head_state_keep(h, kind, key, &err) == 0)
        return;
    mob_map_set(&h->state.behind[kind], key, h);
    if (h->state.trouble[0] != '\0')
        return;
    mob_warn("the state cannot be kept; a head after this one would not know all: %s", err.text);
    mob_copy(h->state.trouble, sizeof h->state.trouble, err.text);
    h->state.again_ns = h->now_ns + AGAIN_NS;
}

/* All that is behind; false: some of it still is. */
static bool catch_up(struct mob_head *h, struct mob_error *err)
{
    for (int kind = 0; kind < HEAD_ROWS; kind++) {
        uint64_t key;

        for (size_t at = 0; mob_map_next(&h->state.behind[kind], &at, &key) != NULL; at = 0) {
            if (mob_head_state_keep(h, (enum mob_head_row)kind, key, err) < 0)
                return false;
            mob_map_remove(&h->state.behind[kind], key);
        }
    }
    return true;
}

int64_t mob_head_state_tick(struct mob_head *h)
{
    struct mob_error err;

    if (h->state.trouble[0] == '\0')
        return INT64_MAX;
    if (h->now_ns < h->state.again_ns)
        return h->state.again_ns;
    if (!catch_up(h, &err)) {
        mob_copy(h->state.trouble, sizeof h->state.trouble, err.text);
        return h->state.again_ns = h->now_ns + AGAIN_NS;
    }
    h->state.trouble[0] = '\0';
    mob_info("the state is kept again");
    return INT64_MAX;
}

void mob_head_state_fini(struct mob_head *h)
{
    for (int kind = 0; kind < HEAD_ROWS; kind++)
        mob_map_fini(&h->state.behind[kind]);
}

/* -- when it is older than the cluster --------------------------------------------------------------------------------------- */

void mob_head_state_heard_node(struct mob_head *h, const Mobula__Register *m)
{
    bool of_this_cluster = m->node != 0 && m->cluster.len == sizeof h->config.cluster
        && memcmp(m->cluster.data, h->config.cluster, m->cluster.len) == 0;

    if (!of_this_cluster || m->highest_node < h->nodes.next)
        return;
    mob_warn("the state is older than the cluster: it has no node %u, and the next one is node %u", m->highest_node, m->highest_node + 1);
    h->nodes.next = m->highest_node + 1;
    mob_head_state_changed(h, MOB_HEAD_COUNTERS, 0);
}

/* What this head has said so far may bear numbers of the one that was heard of: so it is another one from here on, and all register
 * again. */
void mob_head_state_heard_head(struct mob_head *h, uint64_t generation)
{
    struct node *n;

    if (generation < h->config.generation)
        return;
    mob_warn("the state is older than the cluster: it does not know of the last head; all that that one placed is void");
    h->config.generation = generation + 1;
    mob_head_state_changed(h, MOB_HEAD_COUNTERS, 0);
    mob_list_each(n, &h->nodes.heard, struct node, by_heard) {
        if (n->link != 0)
            mob_head_end_link(h, mob_head_link(h, n->link));
        mob_head_view_forget(n);
        n->place.free = n->reported;
        n->place_seq = n->claim_number = mob_head_first_seq(h);
    }
}

/* -- loading --------------------------------------------------------------------------------------------------------------- */

static int load_counters(struct mob_head *h, const void *bytes, size_t size)
{
    Mobula__CountersRow *row = mobula__counters_row__unpack(NULL, size, bytes);

    if (row == NULL)
        return -1;
    if (row->next_node > h->nodes.next)
        h->nodes.next = row->next_node;
    if (row->generation >= h->config.generation)
        h->config.generation = row->generation + 1;
    mobula__counters_row__free_unpacked(row, NULL);
    return 0;
}

static int load_node(struct mob_head *h, const void *bytes, size_t size)
{
    Mobula__NodeRow *row = mobula__node_row__unpack(NULL, size, bytes);
    int result = row != NULL && row->registration != NULL ? mob_head_node_load(h, row) : -1;

    mobula__node_row__free_unpacked(row, NULL);
    return result;
}

static int load_job(struct mob_head *h, const void *bytes, size_t size)
{
    Mobula__JobRow *row = mobula__job_row__unpack(NULL, size, bytes);
    int result = row != NULL && row->started != NULL && row->started->job != NULL ? mob_head_job_load(h, row) : -1;

    mobula__job_row__free_unpacked(row, NULL);
    return result;
}

int mob_head_load(struct mob_head *h, enum mob_head_row kind, const void *bytes, size_t size, struct mob_error *err)
{
    static int (*const loads[HEAD_ROWS])(struct mob_head *h, const void *bytes, size_t size) = {
        [MOB_HEAD_COUNTERS] = load_counters, [MOB_HEAD_NODE] = load_node, [MOB_HEAD_JOB] = load_job,
    };

    if ((unsigned)kind < HEAD_ROWS && loads[kind](h, bytes, size) == 0)
        return 0;
    return mob_error_set(err, MOB_ERR_INVALID, "a row of kind %d is not one of a head of this version", (int)kind);
}
