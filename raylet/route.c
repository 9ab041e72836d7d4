/* SPDX-License-Identifier: Apache-2.0 */
/* route.c -- who is reached how.
 *
 *   process of this node -> its socket    node 0 -> the head's stream    other node -> the pair's stream, dialed when needed
 *
 * A pair of raylets may have two streams, when both dialed at once. Each side goes on sending on the one it used first, so
 * order holds per direction. Frames for a peer wait in `queued` from the first one until a stream is up; a peer that came before
 * the head told us of it can be dialed only when it has. When any stream of a pair breaks, all of them are ended and the pair is
 * reset: nothing above this file handles a lost or repeated message. So it is when more frames wait than may, by the next tick. One
 * side may notice first and dial again at once: a stream that came before the other side's reset, and says only after it whose it
 * is, belongs to what was reset, and breaks, too.
 *
 * A peer that just failed is dialed again after a pause, which grows while that goes on: two raylets that cannot reach each other,
 * or refuse each other, are placed on each other again and again by a head that reaches both.
 *
 * A connection is freed when the transport says that it is lost, and not before; one that we hung up is marked `ended` till
 * then.
 */
#include "raylet/route.h"

#include <stdlib.h>

#include "raylet/core.h"

#define QUEUED_BYTES_MAX (64u << 20)    /* for one peer, while it is dialed */
#define EXPECTED_MAX 4096u              /* nodes beyond those that the head has told of: it will, unless somebody lies */
#define RETRY_MIN_NS (50 * MS)          /* from the loss of a stream to the next dial; doubles while none lasts ... */
#define RETRY_MAX_NS (1000 * MS)        /* ... as long as this */

struct queued_frame {
    struct mob_link link;
    size_t size;
    unsigned char bytes[];
};

static void drop_queued(struct peer *peer)
{
    while (!mob_list_empty(&peer->queued)) {
        struct queued_frame *f = mob_list_first(&peer->queued, struct queued_frame, link);

        mob_list_remove(&f->link);
        free(f);
    }
    peer->queued_bytes = 0;
}

void mob_routes_init(struct mob_raylet *r)
{
    mob_list_init(&r->routes.to_dial);
    mob_list_init(&r->routes.to_reset);
}

void mob_routes_fini(struct mob_raylet *r)
{
    struct connection *c;
    struct peer *peer;

    for (size_t at = 0; (c = mob_map_next(&r->routes.connections, &at, NULL)) != NULL;)
        free(c);
    for (size_t at = 0; (peer = mob_map_next(&r->routes.peers, &at, NULL)) != NULL;) {
        drop_queued(peer);
        mob_borrowed_fini(peer);
        free(peer->is.died);
        free(peer);
    }
    mob_map_fini(&r->routes.connections);
    mob_map_fini(&r->routes.peers);
}

/* -- connections --------------------------------------------------------------------------------------------------------- */

static struct connection *add_connection(struct mob_raylet *r, uint64_t number, enum mob_link_kind kind)
{
    struct connection *c = mob_new(struct connection);

    c->number = number;
    c->kind = kind;
    c->came = ++r->routes.happened;
    mob_list_init(&c->of_peer);
    mob_map_set(&r->routes.connections, number, c);
    return c;
}

struct connection *mob_route_dial(struct mob_raylet *r, enum mob_link_kind kind, const char *ip, uint32_t port)
{
    struct connection *c = add_connection(r, r->world->dial(r->world, ip, port), kind);

    c->dialed = true;
    return c;
}

struct connection *mob_route_connection(struct mob_raylet *r, uint64_t number)
{
    struct connection *c = mob_map_get(&r->routes.connections, number);

    return c != NULL && !c->ended ? c : NULL;
}

/* From now on `c` carries what we send to the peer, if nothing does yet. */
static void use_for_sending(struct mob_raylet *r, struct connection *c)
{
    struct peer *peer = c->peer;

    if (peer->out != NULL)
        return;
    peer->out = c;
    while (!mob_list_empty(&peer->queued)) {
        struct queued_frame *f = mob_list_first(&peer->queued, struct queued_frame, link);

        r->world->send(r->world, c->number, f->bytes, f->size);
        mob_list_remove(&f->link);
        free(f);
    }
    peer->queued_bytes = 0;
}

static void say_peer_hello(struct mob_raylet *r, struct connection *c)
{
    Mobula__PeerHello hello = MOBULA__PEER_HELLO__INIT;
    struct mob_envelope e;
    size_t size;
    const void *bytes;

    hello.protocol = MOB_PROTOCOL;
    hello.node = r->self.node;
    hello.cluster.data = r->membership.cluster;
    hello.cluster.len = sizeof r->membership.cluster;
    hello.known = c->peer != NULL;
    hello.forgot_seq = c->peer != NULL ? c->peer->forgotten_seq : 0;
    mob_envelope_init(&e, r->self, (struct mob_address){ 0, 0 }, MOBULA__ENVELOPE__BODY_PEER_HELLO);
    e.e.peer_hello = &hello;
    bytes = mob_wire_pack(r->wire, &e.e, &size);
    r->world->send(r->world, c->number, bytes, size);
}

struct connection *mob_route_up(struct mob_raylet *r, uint64_t number, enum mob_link_kind kind)
{
    struct connection *c = mob_map_get(&r->routes.connections, number);

    if (c == NULL)
        c = add_connection(r, number, kind);
    if (c->ended)
        return c;
    c->up = true;
    if (c->kind == MOB_LINK_PEER)
        say_peer_hello(r, c);
    if (c->peer != NULL)
        use_for_sending(r, c);
    return c;
}

void mob_route_peer_hello(struct mob_raylet *r, struct connection *c, const Mobula__PeerHello *hello)
{
    struct peer *peer = mob_route_peer(r, hello->node);
    bool news;

    if (hello->protocol != MOB_PROTOCOL || hello->cluster.len != sizeof r->membership.cluster
        || memcmp(hello->cluster.data, r->membership.cluster, hello->cluster.len) != 0
        || hello->node == 0 || hello->node == r->self.node) {
        mob_raylet_blame(r, c, "is a raylet of another cluster or version");
        return;
    }
    if (peer == NULL && (peer = mob_route_expect(r, hello->node)) == NULL) {
        mob_raylet_blame(r, c, "was gone before this one heard of it");
        return;
    }
    if (!peer->is.alive || (c->peer != NULL && c->peer != peer)) {
        mob_raylet_blame(r, c, peer->is.alive ? "is not the node that was dialed" : "was declared dead");
        return;
    }
    if (c->peer == NULL) {
        c->peer = peer;
        peer->dialed_at = r->now;
        mob_list_append(&peer->connections, &c->of_peer);
        say_peer_hello(r, c);           /* now that it is known whom it is for */
    }
    if (c->came < peer->reset) {
        mob_route_reset(r, peer, "its stream came before we knew that the last one had broken");
        return;
    }
    use_for_sending(r, c);
    if (!hello->known)
        return;
    news = hello->forgot_seq > peer->forgot_seq;        /* without a reset here, if it dialed us in vain */
    peer->forgot_seq = hello->forgot_seq;
    if (peer->was_reset || news)
        mob_demand_forgotten(r, peer);
    peer->was_reset = false;
}

static void note_failure(struct mob_raylet *r, struct peer *peer)
{
    bool lasted = r->now - peer->dialed_at >= RETRY_MAX_NS;
    int64_t longer = peer->retry_ns * 2 < RETRY_MAX_NS ? peer->retry_ns * 2 : RETRY_MAX_NS;

    peer->retry_ns = lasted || peer->retry_ns == 0 ? RETRY_MIN_NS : longer;
    peer->dial_at = r->now + peer->retry_ns;
}

/* What the loss of a connection means depends on who was behind it. */
static void tell_lost(struct mob_raylet *r, struct connection *c, const struct mob_error *why)
{
    struct peer *peer = c->peer;
    struct process *process = c->process;

    c->peer = NULL;
    c->process = NULL;
    mob_list_remove(&c->of_peer);
    if (peer != NULL) {
        note_failure(r, peer);
        mob_route_reset(r, peer, why->text);
    }
    if (process != NULL)
        mob_process_disconnected(r, process);
    if (c->kind == MOB_LINK_HEAD)
        mob_membership_lost(r, c, why);
}

void mob_route_hang_up(struct mob_raylet *r, struct connection *c)
{
    struct mob_error why;

    if (c->ended)
        return;
    c->ended = true;
    r->world->hang_up(r->world, c->number);
    mob_error_set(&why, MOB_ERR_PROTOCOL, "the connection was ended");
    tell_lost(r, c, &why);
}

void mob_route_lost(struct mob_raylet *r, uint64_t number, const struct mob_error *why)
{
    struct connection *c = mob_map_remove(&r->routes.connections, number);

    if (c == NULL)
        return;
    if (!c->ended) {
        c->ended = true;
        tell_lost(r, c, why);
    }
    free(c);
}

/* -- peers --------------------------------------------------------------------------------------------------------------- */

struct peer *mob_route_peer(const struct mob_raylet *r, uint32_t node)
{
    return mob_map_get(&r->routes.peers, node);
}

void mob_route_know(struct mob_raylet *r, const Mobula__Peer *said)
{
    struct peer *peer = mob_route_peer(r, said->node);

    if (said->node == 0 || said->node == r->self.node)
        return;
    if (peer == NULL) {
        peer = mob_new(struct peer);
        peer->is.node = said->node;
        peer->is.alive = true;
        mob_list_init(&peer->connections);
        mob_list_init(&peer->queued);
        mob_list_init(&peer->questions);
        mob_list_init(&peer->to_dial);
        mob_list_init(&peer->to_reset);
        mob_map_set(&r->routes.peers, said->node, peer);
    }
    if (said->port != 0) {
        mob_copy(peer->is.ip, sizeof peer->is.ip, said->ip);
        mob_copy(peer->is.host, sizeof peer->is.host, said->host);
        peer->is.port = said->port;
        peer->is.bulk_port = said->bulk_port;
    }
    if (!mob_list_empty(&peer->queued))
        mob_route_open(r, said->node);
}

struct peer *mob_route_expect(struct mob_raylet *r, uint32_t node)
{
    Mobula__Peer unknown = MOBULA__PEER__INIT;

    if (mob_route_peer(r, node) == NULL && !mob_membership_was_told(r, node) && node - r->membership.told <= EXPECTED_MAX) {
        unknown.node = node;
        mob_route_know(r, &unknown);
    }
    return mob_route_peer(r, node);
}

void mob_route_open(struct mob_raylet *r, uint32_t node)
{
    struct peer *peer = mob_route_peer(r, node);
    struct connection *c;

    if (peer == NULL || !peer->is.alive || peer->is.port == 0 || !mob_list_empty(&peer->connections))
        return;
    mob_list_remove(&peer->to_dial);
    if (r->now < peer->dial_at) {
        mob_list_append(&r->routes.to_dial, &peer->to_dial);
        return;
    }
    peer->dialed_at = r->now;
    c = mob_route_dial(r, MOB_LINK_PEER, peer->is.ip, peer->is.port);
    c->peer = peer;
    mob_list_append(&peer->connections, &c->of_peer);
}

int64_t mob_routes_tick(struct mob_raylet *r)
{
    int64_t next = INT64_MAX;
    struct peer *peer;

    while (!mob_list_empty(&r->routes.to_reset))
        mob_route_reset(r, mob_list_first(&r->routes.to_reset, struct peer, to_reset), "too much waits for its connection");
    mob_list_each(peer, &r->routes.to_dial, struct peer, to_dial) {
        if (!mob_list_empty(&peer->connections))
            mob_list_remove(&peer->to_dial);    /* it dialed us */
        else if (r->now >= peer->dial_at)
            mob_route_open(r, peer->is.node);
        else if (peer->dial_at < next)
            next = peer->dial_at;
    }
    return next;
}

void mob_route_reset(struct mob_raylet *r, struct peer *peer, const char *why)
{
    struct connection *c;

    peer->out = NULL;
    peer->reset = ++r->routes.happened;
    peer->was_reset = true;
    peer->forgotten_seq = r->reporter.placed_seq;
    drop_queued(peer);
    mob_list_remove(&peer->to_reset);
    mob_list_remove(&peer->to_dial);    /* who still needs it asks again */
    mob_list_each(c, &peer->connections, struct connection, of_peer) {
        c->peer = NULL;
        mob_list_remove(&c->of_peer);
        mob_route_hang_up(r, c);
    }
    mob_death_of_pair(r, peer, why);
}

void mob_route_node_down(struct mob_raylet *r, struct peer *peer, const char *why)
{
    peer->is.alive = false;
    free(peer->is.died);
    peer->is.died = mob_strdup(why);
    mob_route_reset(r, peer, why);
}

static bool send_to_peer(struct mob_raylet *r, struct peer *peer, const void *bytes, size_t size)
{
    struct queued_frame *f;

    if (!peer->is.alive || !mob_list_empty(&peer->to_reset))
        return false;
    if (peer->out != NULL) {
        r->world->send(r->world, peer->out->number, bytes, size);
        return true;
    }
    if (peer->queued_bytes + size > QUEUED_BYTES_MAX) {
        mob_list_append(&r->routes.to_reset, &peer->to_reset);  /* later: who sends this is in the middle of something */
        return false;
    }
    f = mob_alloc(sizeof *f + size);
    f->size = size;
    memcpy(f->bytes, bytes, size);
    mob_list_append(&peer->queued, &f->link);
    peer->queued_bytes += size;
    mob_route_open(r, peer->is.node);
    return true;
}

/* -- sending ------------------------------------------------------------------------------------------------------------- */

bool mob_route_bytes(struct mob_raylet *r, struct mob_address to, const void *bytes, size_t size)
{
    struct process *process;
    struct peer *peer;

    if (to.node == 0) {
        if (!mob_membership_joined(r))
            return false;
        r->world->send(r->world, r->membership.head->number, bytes, size);
        return true;
    }
    if (to.node != r->self.node)
        return (peer = mob_route_peer(r, to.node)) != NULL && send_to_peer(r, peer, bytes, size);
    process = mob_process_find(r, to.process);
    if (process == NULL || process->connection == NULL)
        return false;
    r->world->send(r->world, process->connection->number, bytes, size);
    return true;
}

size_t mob_route_queued(const struct mob_raylet *r, struct mob_address to)
{
    const struct process *process;
    const struct peer *peer;

    if (to.node != r->self.node) {
        peer = mob_route_peer(r, to.node);
        return peer == NULL ? 0 : peer->out != NULL ? r->world->queued(r->world, peer->out->number) : peer->queued_bytes;
    }
    process = mob_process_find(r, to.process);
    return process == NULL || process->connection == NULL ? 0 : r->world->queued(r->world, process->connection->number);
}

bool mob_route_send(struct mob_raylet *r, const Mobula__Envelope *e)
{
    size_t size;
    const void *bytes = mob_wire_pack(r->wire, e, &size);

    return mob_route_bytes(r, mob_wire_address(e->to), bytes, size);
}
