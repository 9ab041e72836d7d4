/* SPDX-License-Identifier: Apache-2.0 */
/* ask.c -- a loop, a link, a Query, and the Replies until the last. */
#include "cli/ask.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/here.h"
#include "common/loop.h"
#include "common/mem.h"
#include "common/token.h"
#include "common/wire.h"
#include "rpc/rpc.h"

#define ASK_DIAL_MS 5000
#define ASK_QUERY_ID 1

struct question {
    struct mob_loop *loop;
    struct mob_rpc *rpc;
    struct mob_wire *wire;
    const char *verb, *argument;
    char *text;
    size_t size;
    int result;                         /* 0, -1 (error is filled), 1: not yet */
    struct mob_error error;
};

static void over(struct question *q, int result)
{
    if (q->result != 1)
        return;
    q->result = result;
    mob_loop_stop(q->loop);
}

static void on_up(void *arg, uint64_t link, const char *peer, int accepted)
{
    struct question *q = arg;
    struct mob_envelope e;
    Mobula__Query m = MOBULA__QUERY__INIT;
    struct mob_address none = { 0, 0 };
    size_t size;
    const void *bytes;

    (void)peer, (void)accepted;
    mob_envelope_init(&e, none, none, MOBULA__ENVELOPE__BODY_QUERY);
    m.id = ASK_QUERY_ID;
    m.verb = (char *)q->verb;
    m.argument = (char *)q->argument;
    e.e.query = &m;
    bytes = mob_wire_pack(q->wire, &e.e, &size);
    mob_rpc_send(q->rpc, link, bytes, size);
}

static void on_receive(void *arg, uint64_t link, const void *frame, size_t size)
{
    struct question *q = arg;
    Mobula__Envelope *e = mob_wire_unpack(q->wire, frame, size, &q->error);
    Mobula__Reply *reply;

    (void)link;
    if (e == NULL) {
        over(q, -1);
        return;
    }
    if (e->body_case != MOBULA__ENVELOPE__BODY_REPLY || e->reply->id != ASK_QUERY_ID)
        return;
    reply = e->reply;
    q->text = mob_realloc(q->text, q->size + reply->text.len + 1);
    if (reply->text.len > 0)
        memcpy(q->text + q->size, reply->text.data, reply->text.len);
    q->size += reply->text.len;
    q->text[q->size] = '\0';
    if (reply->error != NULL && reply->error->code != MOB_OK) {
        mob_wire_error(reply->error, &q->error);
        over(q, -1);
    } else if (reply->last) {
        over(q, 0);
    }
}

static void on_lost(void *arg, uint64_t link, const struct mob_error *why)
{
    struct question *q = arg;

    (void)link;
    if (q->result == 1) {
        q->error = *why;
        over(q, -1);
    }
}

static void on_time(uv_timer_t *timer)
{
    struct question *q = timer->data;

    if (q->result == 1)
        mob_error_set(&q->error, MOB_ERR_TIMEOUT, "the head did not answer \"%s\" in time", q->verb);
    over(q, -1);
}

static int converse(struct question *q, const char *token, const char *ip, uint32_t port, int64_t timeout_ms)
{
    static const struct mob_rpc_callbacks callbacks = { on_up, on_receive, on_lost };
    uv_timer_t timer;

    q->loop = mob_loop_create();
    q->wire = mob_wire_create();
    q->rpc = mob_rpc_create(q->loop, token, &callbacks, q);
    uv_timer_init(mob_loop_uv(q->loop), &timer);
    timer.data = q;
    if (timeout_ms >= 0)
        uv_timer_start(&timer, on_time, (uint64_t)timeout_ms, 0);
    mob_rpc_dial(q->rpc, ip, port, ASK_DIAL_MS);
    mob_loop_run(q->loop);
    uv_close((uv_handle_t *)&timer, NULL);
    mob_rpc_destroy(q->rpc);
    mob_wire_destroy(q->wire);
    mob_loop_destroy(q->loop);
    return q->result;
}

/* Where the head is: --address, $MOBULA_ADDRESS, or the record of a running daemon in the run folder of this user. */
static int address_of(const struct args *a, char ip[64], uint32_t *ret_port, struct mob_error *err)
{
    const char *address = args_text(a, "address");
    struct mob_here_daemon found;

    if (address == NULL)
        address = getenv("MOBULA_ADDRESS");
    if (address != NULL && *address != '\0' && strcmp(address, "auto") != 0)
        return ask_resolve(address, ip, ret_port, err);
    if (mob_here_find(&found, err) < 0)
        return -1;
    return ask_resolve(found.record.head, ip, ret_port, err);
}

int ask_head(const struct args *a, const char *verb, const char *argument, int64_t timeout_ms, char **ret_text, size_t *ret_size,
             struct mob_error *err)
{
    char ip[64], path[MOB_PATH_SIZE], token[MOB_TOKEN_SIZE];
    uint32_t port;
    struct question q = { .verb = verb, .argument = argument, .result = 1 };

    if (address_of(a, ip, &port, err) < 0 || mob_token_path(args_text(a, "token-file"), path, err) < 0
        || mob_token_load(path, token, err) < 0)
        return -1;
    if (converse(&q, token, ip, port, timeout_ms) < 0) {
        free(q.text);
        if (q.error.code == MOB_ERR_UNREACHABLE)
            return mob_error_set(err, q.error.code, "%s. If the head there was killed, start it again by the same words: "
                                 "mobula start --head --port=%u goes on with what it left, and the nodes do their own work until then",
                                 q.error.text, port);
        return mob_error_set(err, q.error.code, "%s (head %s:%u)", q.error.text, ip, port);
    }
    *ret_text = q.text;
    *ret_size = q.size;
    return 0;
}

int ask_json(const struct args *a, const char *verb, const char *argument, int64_t timeout_ms, json_t **ret, struct mob_error *err)
{
    char *text;
    size_t size;
    json_t *json;

    if (ask_head(a, verb, argument, timeout_ms, &text, &size, err) < 0)
        return -1;
    json = json_loadb(text, size, 0, NULL);
    free(text);
    if (json == NULL)
        return mob_error_set(err, MOB_ERR_PROTOCOL, "the head's answer to \"%s\" is no JSON: is it of another version?", verb);
    *ret = json;
    return 0;
}

/* -- where it is --------------------------------------------------------------------------------------------------------- */

int ask_resolve(const char *address, char ip[64], uint32_t *ret_port, struct mob_error *err)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found;
    const char *colon = strrchr(address, ':');
    char host[256], *end;
    size_t length = colon != NULL ? (size_t)(colon - address) : 0;
    unsigned long port = colon != NULL ? strtoul(colon + 1, &end, 10) : 0;
    int failed;

    if (length == 0 || length >= sizeof host || port == 0 || port > 65535 || *end != '\0')
        return mob_error_set(err, MOB_ERR_INVALID, "\"%s\" is no address; write HOST:PORT, for IPv6 [ADDRESS]:PORT", address);
    if (address[0] == '[' && address[length - 1] == ']')
        snprintf(host, sizeof host, "%.*s", (int)length - 2, address + 1);
    else
        snprintf(host, sizeof host, "%.*s", (int)length, address);
    if ((failed = getaddrinfo(host, NULL, &hints, &found)) != 0)
        return mob_error_set(err, MOB_ERR_UNREACHABLE, "the host of \"%s\" is not known: %s", address, gai_strerror(failed));
    failed = getnameinfo(found->ai_addr, found->ai_addrlen, ip, 64, NULL, 0, NI_NUMERICHOST);
    freeaddrinfo(found);
    if (failed != 0)
        return mob_error_set(err, MOB_ERR_UNREACHABLE, "the host of \"%s\" has no usable address", address);
    *ret_port = (uint32_t)port;
    return 0;
}
