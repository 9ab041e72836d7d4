/* SPDX-License-Identifier: Apache-2.0 */
/* server.c -- listening and accepting.
 *
 * One request for a call is with gRPC at any time; further callers wait inside gRPC for the next one. A caller is checked before it
 * becomes a link that anyone hears of: method, token, protocol. A refused one is a link all the same, that says why and ends.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <grpc/grpc_security.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/holder.h"
#include "rpc/internal.h"

struct rpc_server {
    struct mob_rpc *rpc;
    grpc_server *server;
    struct channel_options *options;
    struct rpc_tag accepting, shutting_down;
    bool over;
    /* filled by gRPC while `accepting` is busy */
    grpc_call *call;
    grpc_call_details details;
    grpc_metadata_array metadata;
};

static void accept_next(struct rpc_server *s)
{
    grpc_call_error failed;

    grpc_call_details_init(&s->details);
    grpc_metadata_array_init(&s->metadata);
    rpc_tag_start(s->rpc, &s->accepting);
    failed = grpc_server_request_call(s->server, &s->call, &s->details, &s->metadata, s->rpc->queue, s->rpc->queue, &s->accepting);
    assert(failed == GRPC_CALL_OK);
    (void)failed;
}

static int check(struct rpc_server *s, struct mob_error *err)
{
    size_t length = strlen(RPC_METHOD);

    if (GRPC_SLICE_LENGTH(s->details.method) != length || memcmp(GRPC_SLICE_START_PTR(s->details.method), RPC_METHOD, length) != 0)
        return mob_error_set(err, MOB_ERR_PROTOCOL, "this is a daemon of Mobula and answers only " RPC_METHOD);
    return rpc_check_caller(s->rpc, &s->metadata, err);
}

static void on_accepted(struct rpc_tag *tag)
{
    struct rpc_server *s = MOB_CONTAINER(tag, struct rpc_server, accepting);
    struct mob_error why;

    if (tag->ok && s->over)
        grpc_call_unref(s->call);
    else if (tag->ok)
        rpc_link_create(s->rpc, s->call, NULL, 0, check(s, &why) < 0 ? &why : NULL);
    grpc_call_details_destroy(&s->details);
    grpc_metadata_array_destroy(&s->metadata);
    if (tag->ok && !s->over)
        accept_next(s);
}

static void on_shut_down(struct rpc_tag *tag)
{
    (void)tag;                          /* under_way counted it */
}

/* gRPC says only that it could not listen; the kernel says why, when asked the same. */
static int explain(const char *ip, uint32_t port, struct mob_error *err)
{
    struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
    struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    bool is_six = inet_pton(AF_INET6, ip, &six.sin6_addr) == 1;
    char holder[128];
    int fd, on = 1, failed;
    bool taken;

    if (!is_six && inet_pton(AF_INET, ip, &four.sin_addr) != 1)
        return mob_error_set(err, MOB_ERR_INVALID, "%s is not an IP address", ip);
    if ((fd = socket(is_six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) < 0)
        return mob_error_errno(err, "cannot listen on %s port %u", ip, port);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    failed = is_six ? bind(fd, (struct sockaddr *)&six, sizeof six) : bind(fd, (struct sockaddr *)&four, sizeof four);
    if (failed == 0)
        failed = listen(fd, 1);
    taken = failed < 0 && errno == EADDRINUSE;
    if (failed == 0)
        mob_error_set(err, MOB_ERR_SYSTEM, "cannot listen on %s port %u: try again", ip, port);
    else
        mob_error_errno(err, "cannot listen on %s port %u", ip, port);
    if (taken && mob_holder_of_port(ip, port, holder, sizeof holder))
        mob_error_set(err, MOB_ERR_SYSTEM, "port %u is in use by %s; end that, or choose another with --port", port, holder);
    close(fd);
    return -1;
}

static int bind_port(struct rpc_server *s, const char *ip, uint32_t port)
{
    grpc_server_credentials *credentials = grpc_insecure_server_credentials_create();
    char address[128];
    int bound;

    snprintf(address, sizeof address, strchr(ip, ':') != NULL ? "[%s]:%u" : "%s:%u", ip, port);
    bound = grpc_server_add_http2_port(s->server, address, credentials);
    grpc_server_credentials_release(credentials);
    return bound;
}

int mob_rpc_listen(struct mob_rpc *r, const char *ip, uint32_t port, uint32_t *ret_port, struct mob_error *err)
{
    struct rpc_server *s = mob_new(struct rpc_server);
    int bound;

    assert(r->server == NULL);
    s->rpc = r;
    rpc_tag_init(&s->accepting, on_accepted);
    rpc_tag_init(&s->shutting_down, on_shut_down);
    s->options = rpc_options_create();
    s->server = grpc_server_create(rpc_options_args(s->options, 0), NULL);
    grpc_server_register_completion_queue(s->server, r->queue, NULL);
    if ((bound = bind_port(s, ip, port)) == 0) {
        rpc_server_destroy(s);
        return explain(ip, port, err);
    }
    grpc_server_start(s->server);
    r->server = s;
    accept_next(s);
    *ret_port = (uint32_t)bound;
    return 0;
}

void rpc_server_shut_down(struct rpc_server *s)
{
    s->over = true;
    rpc_tag_start(s->rpc, &s->shutting_down);
    grpc_server_shutdown_and_notify(s->server, s->rpc->queue, &s->shutting_down);
    grpc_server_cancel_all_calls(s->server);
}

void rpc_server_destroy(struct rpc_server *s)
{
    if (s == NULL)
        return;
    assert(!s->accepting.busy && !s->shutting_down.busy);
    grpc_server_destroy(s->server);
    rpc_options_destroy(s->options);
    free(s);
}
