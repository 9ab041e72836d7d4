/* SPDX-License-Identifier: Apache-2.0 */
/* route.h -- connections, the peers behind them, and the way of an envelope to any process of the cluster. */
#ifndef MOB_RAYLET_ROUTE_H
#define MOB_RAYLET_ROUTE_H

#include "common/list.h"
#include "common/map.h"
#include "raylet/raylet.h"

struct connection {
    uint64_t number;                    /* the transport's */
    enum mob_link_kind kind;
    bool dialed;                        /* by us */
    bool up;                            /* the transport said so */
    bool ended;                         /* we hung up: nothing it still says counts */
    struct peer *peer;                  /* PEER: whom we dialed, or who said a good PeerHello; else NULL */
    uint64_t came;                      /* when, in the order of `routes.happened` */
    struct process *process;            /* LOCAL: after its Hello; else NULL */
    struct mob_link of_peer;
};

/* Another raylet, once heard of and never forgotten. */
struct peer {
    struct mob_peer is;
    struct mob_link connections;        /* of the pair; we receive on all of them */
    struct connection *out;             /* and send on the one we used first; NULL: none is up */
    struct mob_link queued;             /* frames that wait for `out` */
    size_t queued_bytes;
    uint64_t reset;                     /* when last, in the order of `routes.happened` */
    int64_t dialed_at, dial_at;         /* ns; the last dial, theirs or ours; none of ours before */
    int64_t retry_ns;                   /* from a loss to the next dial */
    bool was_reset;                     /* since its last PeerHello */
    uint64_t forgot_seq;                /* of what the head placed there, it has forgotten all up to this Place */
    uint64_t forgotten_seq;             /* of what was placed here for its processes, the same */
    struct mob_link to_reset;           /* in routes.to_reset, when more was to be sent than may wait: nothing is sent any more */
    struct mob_link to_dial;            /* in routes.to_dial, when dial_at is still to come */
    struct mob_map borrowed;            /* lease number -> struct borrowed: what our processes hold there */
    struct mob_link questions;          /* of our processes, to processes there */
};

struct routes {
    struct mob_map connections;         /* number -> struct connection */
    struct mob_map peers;               /* node -> struct peer */
    uint64_t happened;                  /* connections that came and resets, counted */
    struct mob_link to_reset;
    struct mob_link to_dial;            /* peers that are wanted and failed a moment ago */
};

void mob_routes_init(struct mob_raylet *r);
void mob_routes_fini(struct mob_raylet *r);
/* Dial again whom it is time for. Returns when to come again. */
int64_t mob_routes_tick(struct mob_raylet *r);

/* Facts. */
struct connection *mob_route_up(struct mob_raylet *r, uint64_t number, enum mob_link_kind kind);
struct connection *mob_route_connection(struct mob_raylet *r, uint64_t number);         /* NULL: unknown, or we hung up */
void mob_route_lost(struct mob_raylet *r, uint64_t number, const struct mob_error *why);
void mob_route_peer_hello(struct mob_raylet *r, struct connection *c, const Mobula__PeerHello *hello);
/* End a connection ourselves. Its process or peer learns it as if it had been lost. */
void mob_route_hang_up(struct mob_raylet *r, struct connection *c);

/* Dial ip:port as `kind`. */
struct connection *mob_route_dial(struct mob_raylet *r, enum mob_link_kind kind, const char *ip, uint32_t port);

struct peer *mob_route_peer(const struct mob_raylet *r, uint32_t node);                 /* NULL: never heard of */
/* The same; one that the head has not told of yet is known from now on, by its number alone. NULL: it is gone, or there is no such node. */
struct peer *mob_route_expect(struct mob_raylet *r, uint32_t node);
/* Where a node is, as the head says. */
void mob_route_know(struct mob_raylet *r, const Mobula__Peer *peer);
/* Make sure that a connection to it is there or on its way: so both ends learn when the pair is cut. */
void mob_route_open(struct mob_raylet *r, uint32_t node);
/* End all connections of the pair; what was under way between the two nodes is lost, and all who used it are told. */
void mob_route_reset(struct mob_raylet *r, struct peer *peer, const char *why);
/* The head says it is dead: the same, and nothing is sent there any more. */
void mob_route_node_down(struct mob_raylet *r, struct peer *peer, const char *why);

/* Send to e->to. False: nobody is there, the envelope is dropped. */
bool mob_route_send(struct mob_raylet *r, const Mobula__Envelope *e);
size_t mob_route_queued(const struct mob_raylet *r, struct mob_address to);              /* bytes on the way to it, not yet written */
bool mob_route_bytes(struct mob_raylet *r, struct mob_address to, const void *bytes, size_t size);

#endif
