/* SPDX-License-Identifier: Apache-2.0 */
/* node.h -- membership: which raylets there are, and when they are dead. */
#ifndef MOB_HEAD_NODE_H
#define MOB_HEAD_NODE_H

#include "common/list.h"
#include "common/machine.h"
#include "common/map.h"
#include "common/wire.h"
#include "head/drain.h"
#include "head/placement.h"

struct mob_head;
struct link;

enum node_state { NODE_ALIVE, NODE_DRAINING, NODE_CUT, NODE_DEAD, NODE_LEFT };

/* What a raylet said of itself when it registered. */
struct node_facts {
    uint8_t incarnation[16];
    char host[64], session_dir[256];
    uint32_t port, bulk_port, pid;
    bool driver_only;
};

/* Its newest report, besides the free resources. */
struct node_load {
    uint32_t workers, blocked, queued;
    uint64_t store_used, store_size, store_spilled, store_pulled, store_warm, store_overflow, uptime_ms;
    uint32_t store_asks;
    char store_trouble[256], store_pages[128];
};

struct node {
    struct mob_machine m;
    struct mob_head *head;
    struct placement_node place;        /* number, address, resources, labels */
    struct node_facts facts;
    struct node_load load;
    struct drain drain;
    char reason[256];                   /* why it is dead, or has left */

    uint64_t link;                      /* 0: none */
    uint64_t probe;                     /* the dial under way while CUT; 0: none */
    int64_t probe_ns;                   /* not before this (lived time) */
    bool refused;                       /* its port does */
    bool inherited;                     /* a head before this one had it ... */
    bool awaited;                       /* ... and it has not come yet */
    uint64_t events_heard;              /* by this head */
    uint64_t named_link;                /* on which it has named its jobs, and reported */
    int64_t heard_ns;                   /* lived time of its last message */
    int64_t most_silent_ns;             /* the longest that it was not heard of, and came back */
    struct mob_link by_heard;           /* in node_table.heard, or .dead */
    struct mob_link by_cut;             /* in node_table.cut */

    /* view.c */
    uint64_t report_version;
    struct mob_resources reported;      /* free, as it said */
    uint64_t place_seq;                 /* of the last Place to it */
    struct mob_link places;             /* sent and not in a report yet */
    size_t open;                        /* 1 + index in view.open; 0: nothing is placed there now */
    bool changed;                       /* in view.changed */

    /* demand.c */
    struct mob_map demands;             /* of owners on this node: (process, shape) -> struct demand */
    uint32_t batch;                     /* leases of the demand under way that go here */

    /* claim.c */
    struct demand *claim;               /* that waits there, too; NULL: none */
    uint64_t claim_number;              /* of the last Claim to it */
};

struct node_table {
    struct mob_map by_number;           /* the dead ones, too, while they are remembered */
    struct mob_map by_incarnation;
    struct mob_link heard;              /* alive and cut, longest silent first */
    struct mob_link cut;
    struct mob_link dead;               /* and those that have left; oldest first */
    uint32_t next;                      /* number of the next one */
    size_t alive, cut_count, dead_count;        /* alive: with a link */
    size_t serving;                     /* alive or cut, and not driver_only */
    size_t awaited;
};

static inline bool node_is_gone(const struct node *n)
{
    return n->m.now == NODE_DEAD || n->m.now == NODE_LEFT;
}

void mob_head_node_init(struct mob_head *h);
/* One that a head before this one has kept: CUT, DEAD or LEFT. -1: no such node can be. */
int mob_head_node_load(struct mob_head *h, const Mobula__NodeRow *row);
void mob_head_node_fini(struct mob_head *h);
struct node *mob_head_node_find(const struct mob_head *h, uint32_t number);     /* NULL: unknown, or dead and forgotten */

/* A raylet says who it is: a new node, one that comes back, or one that was declared dead (it is told so). */
void mob_head_node_register(struct mob_head *h, struct link *l, const Mobula__Register *m);

/* Facts; n->drain is one, too: mob_head_node_look() after it changed. */
void mob_head_node_look(struct node *n);
void mob_head_node_heard(struct node *n);
/* A raylet has heard of its death from a head before this one, whose state lacks it. No-op if it is known. -1: that one never had it. */
int mob_head_node_told_dead(struct mob_head *h, uint32_t number, struct mob_error *err);
void mob_head_node_link_lost(struct node *n, bool refused);
void mob_head_node_probe_up(struct node *n);
void mob_head_node_probe_lost(struct node *n, bool refused);

/* Bury who is silent for too long; returns when the next one would be (INT64_MAX: none). */
int64_t mob_head_node_tick(struct mob_head *h);
void mob_head_node_check(const struct mob_head *h);

#endif
