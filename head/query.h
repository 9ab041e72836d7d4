/* SPDX-License-Identifier: Apache-2.0 */
/* query.h -- questions of people and programs, answered in JSON. */
#ifndef MOB_HEAD_QUERY_H
#define MOB_HEAD_QUERY_H

#include <jansson.h>

#include "common/list.h"
#include "common/wire.h"

struct mob_head;
struct link;
struct node;

struct query_table {
    struct mob_link waiting;            /* "wait": until enough nodes serve */
    size_t waiting_count;
};

void mob_head_query_init(struct mob_head *h);
void mob_head_query_fini(struct mob_head *h);
void mob_head_query_ask(struct mob_head *h, struct link *l, struct mob_address from, const Mobula__Query *m);
void mob_head_query_link_lost(struct mob_head *h, uint64_t link);
/* A row of "nodes": the caller's. */
json_t *mob_head_query_node(const struct node *n);
/* Answer the waits that are satisfied or out of time; returns when the next one is (INT64_MAX: none). */
int64_t mob_head_query_tick(struct mob_head *h);

#endif
