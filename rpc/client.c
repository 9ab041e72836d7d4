/* SPDX-License-Identifier: Apache-2.0 */
/* client.c -- dialing: each dial has a channel and a call of its own.
 *
 * Addresses are numbers, so nothing is resolved. A channel that failed is not used again: its memory of failures (backoff) would make
 * the next dial wait. `wait for ready` is off, so a port that refuses fails the call at once.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <grpc/grpc_security.h>
#include <stdio.h>
#include <string.h>

#include "rpc/internal.h"

/* gRPC's name of an address. What is no number becomes an address that cannot be reached, with gRPC's words for it. */
static void target_of(const char *ip, uint32_t port, char *ret, size_t size)
{
    struct in6_addr six;

    if (inet_pton(AF_INET6, ip, &six) == 1)
        snprintf(ret, size, "ipv6:%%5B%s%%5D:%u", ip, port);
    else
        snprintf(ret, size, "ipv4:%s:%u", ip, port);
}

struct rpc_link *rpc_client_dial(struct mob_rpc *r, const char *ip, uint32_t port, int64_t timeout_ms)
{
    char target[128];
    const grpc_channel_args *args = rpc_options_args(r->client_options, timeout_ms);
    grpc_channel *channel;
    grpc_call *call;
    struct rpc_link *l;

    assert(timeout_ms > 0);
    target_of(ip, port, target, sizeof target);
    channel = grpc_channel_create(target, r->credentials, args);
    call = grpc_channel_create_call(channel, NULL, GRPC_PROPAGATE_DEFAULTS, r->queue, grpc_slice_from_static_string(RPC_METHOD), NULL,
                                    gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
    l = rpc_link_create(r, call, channel, timeout_ms, NULL);
    rpc_peer_name(target, l->peer, sizeof l->peer);
    return l;
}
