/* SPDX-License-Identifier: Apache-2.0 */
/* core.h -- the head's core is one struct that lists its organs. For head/ alone. */
#ifndef MOB_HEAD_CORE_H
#define MOB_HEAD_CORE_H

#include "common/map.h"
#include "common/wire.h"
#include "head/claim.h"
#include "head/demand.h"
#include "head/drain.h"
#include "head/head.h"
#include "head/job.h"
#include "head/node.h"
#include "head/query.h"
#include "head/state.h"
#include "head/gather.h"
#include "head/view.h"

#define MOB_NS_OF_MS INT64_C(1000000)

/* Who is at the other end. */
enum link_kind {
    LINK_NEW,               /* has said nothing yet */
    LINK_RAYLET,            /* `node` is registered on it */
    LINK_ASKER,             /* `mobula`: queries only */
    LINK_PROBE,             /* ours: does the port of `node` still answer? */
    LINK_OVER,              /* hung up: what still arrives is not read */
};

struct link {
    uint64_t number;
    enum link_kind kind;
    struct node *node;
};

struct mob_head {
    struct mob_world *world;
    struct mob_head_config config;
    struct mob_wire *wire;
    struct mob_map links;
    struct node_table nodes;
    struct view view;
    struct demand_table demands;
    struct job_table jobs;
    struct query_table queries;
    struct gathering_table gatherings;
    struct state state;

    int64_t now_ns;             /* of this call */
    int64_t started_ns;
    int64_t ticked_ns, due_ns;  /* the last tick, and when it asked to be called again */
    int64_t lived_ns;           /* until the last tick: the time in which this process listened ... */
    int64_t unticked_ns;        /* ... and since */
};

/* Time as this process lived it: what nobody could hear is no silence. */
static inline int64_t mob_head_lived_ns(const struct mob_head *h)
{
    return h->lived_ns + h->unticked_ns;
}

/* When it will have lived until `lived_ns`, if nothing comes between. */
static inline int64_t mob_head_lives_until(const struct mob_head *h, int64_t lived_ns)
{
    return h->now_ns + lived_ns - mob_head_lived_ns(h);
}

/* The numbers of what this head places at a node follow this: all that a head before it has given are lower. */
static inline uint64_t mob_head_first_seq(const struct mob_head *h)
{
    return h->config.generation << 32;
}

void mob_head_send(struct mob_head *h, uint64_t link, const Mobula__Envelope *e);
/* To every live node with a link but `except` (may be NULL). `e` has room for the receiver's address. */
void mob_head_broadcast(struct mob_head *h, const Mobula__Envelope *e, const struct node *except);
/* End the link: nothing more is read from it. */
void mob_head_hang_up(struct mob_head *h, struct link *l);
/* The same of one that a node may stand on: it is cut. */
void mob_head_end_link(struct mob_head *h, struct link *l);
struct link *mob_head_link(const struct mob_head *h, uint64_t number);      /* NULL: none */
struct link *mob_head_link_add(struct mob_head *h, uint64_t number);        /* the one there is, or a new one */

#endif
