/* SPDX-License-Identifier: Apache-2.0 */
/* options.c -- how our channels differ from gRPC's defaults, and why. */
#include <limits.h>
#include <stdlib.h>

#include "rpc/internal.h"

#define PING_EVERY_MS 5000
#define PING_PATIENCE_MS 5000
#define BACKOFF_FIRST_MS 50
#define BACKOFF_MAX_MS 1000
#define HANDSHAKE_MS 5000
#define STREAMS_MAX 16                  /* of one connection; a daemon opens one */
#define WINDOW (1 << 20)                /* bytes on their way that nobody has read yet */
#define MEMORY_MAX (512u << 20)         /* of all buffers of a process */
/* Beyond the largest envelope, so that one byte too many is refused by us, with a sentence. */
#define MESSAGE_MAX ((int)MOB_ENVELOPE_MAX + (64 << 10))
#define OPTIONS_MAX 32

struct channel_options {
    grpc_resource_quota *quota;
    grpc_arg list[OPTIONS_MAX];
    grpc_channel_args args;
};

static void add(struct channel_options *o, const char *key, int value)
{
    o->list[o->args.num_args++] = (grpc_arg){ .type = GRPC_ARG_INTEGER, .key = (char *)key, .value.integer = value };
}

struct channel_options *rpc_options_create(void)
{
    struct channel_options *o = mob_new(struct channel_options);

    o->quota = grpc_resource_quota_create("mobula");
    grpc_resource_quota_resize(o->quota, MEMORY_MAX);
    return o;
}

void rpc_options_destroy(struct channel_options *o)
{
    if (o == NULL)
        return;
    grpc_resource_quota_unref(o->quota);
    free(o);
}

static void add_limits(struct channel_options *o)
{
    add(o, GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, MESSAGE_MAX);
    add(o, GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, MESSAGE_MAX);
    add(o, GRPC_ARG_MAX_CONCURRENT_STREAMS, STREAMS_MAX);
    add(o, GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, HANDSHAKE_MS);
    o->list[o->args.num_args++] = (grpc_arg){ .type = GRPC_ARG_POINTER, .key = GRPC_ARG_RESOURCE_QUOTA,
        .value.pointer = { .p = o->quota, .vtable = grpc_resource_quota_arg_vtable() } };
    /* A compressed message would be unpacked by its own word for its size; we send none and take none. */
    add(o, GRPC_ARG_ENABLE_PER_MESSAGE_COMPRESSION, 0);
    add(o, GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0);
}

/* Both ends ping, also when nothing is said, and neither takes it for an attack. */
static void add_life_signs(struct channel_options *o)
{
    add(o, GRPC_ARG_KEEPALIVE_TIME_MS, PING_EVERY_MS);
    add(o, GRPC_ARG_KEEPALIVE_TIMEOUT_MS, PING_PATIENCE_MS);
    add(o, GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
    add(o, GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
    add(o, GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 500);
    add(o, GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);
}

/* A channel is made for one dial, and fails with it; who wants another try dials again. */
static void add_dialing(struct channel_options *o, int64_t connect_ms)
{
    int patience = connect_ms < INT_MAX ? (int)connect_ms : INT_MAX;

    add(o, GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    add(o, GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    add(o, GRPC_ARG_ENABLE_RETRIES, 0);
    add(o, GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
    add(o, GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, BACKOFF_FIRST_MS);
    add(o, GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, BACKOFF_MAX_MS);
    add(o, GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, patience);       /* gRPC's name for the time a connect may take */
    add(o, GRPC_ARG_CLIENT_IDLE_TIMEOUT_MS, INT_MAX);
}

/* Links carry few, small messages for a long time: windows are wide from the start instead of being probed for. */
static void add_thrift(struct channel_options *o)
{
    add(o, GRPC_ARG_HTTP2_BDP_PROBE, 0);
    add(o, GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, WINDOW);
    add(o, GRPC_ARG_ENABLE_CHANNELZ, 0);
    add(o, GRPC_ARG_MAX_CHANNEL_TRACE_EVENT_MEMORY_PER_NODE, 0);
    add(o, GRPC_ARG_ENABLE_DEADLINE_CHECKS, 0);
}

const grpc_channel_args *rpc_options_args(struct channel_options *o, int64_t connect_ms)
{
    o->args = (grpc_channel_args){ .num_args = 0, .args = o->list };
    add_limits(o);
    add_life_signs(o);
    add_thrift(o);
    if (connect_ms > 0)
        add_dialing(o, connect_ms);
    else
        add(o, GRPC_ARG_ALLOW_REUSEPORT, 0);    /* a port that is in use must be an error */
    return &o->args;
}
