/* SPDX-License-Identifier: Apache-2.0 */
/* bulk_node.h -- a node that serves objects and gets them over loopback, and a caller that is no node. */
#ifndef MOB_TESTS_BULK_NODE_H
#define MOB_TESTS_BULK_NODE_H

#include <arpa/inet.h>
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "objstore/bulk_private.h"

#define TOKEN "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define OTHER "10112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define BIG (5u << 20)

/* The node that serves: object `task` n has n bytes of `store`, but 404 is not here; one file. */
struct node {
    struct mob_loop *loop;
    struct mob_bulk *server, *client;
    uint32_t port;
    char *store;
    int serves, served, file;
    struct mob_asked asked;             /* the last one */
    struct mob_bulk_lookup *parked;     /* of object 405: answered later */
    struct mob_bulk_incoming *gives;    /* object 406: that has not all of it itself */
    /* of gets */
    struct mob_link gettings;
    int done, failed;
    struct mob_range_result last, failure;      /* the last one of all, and of those that failed */
    struct mob_error why;
};

/* A get under way. */
struct getting {
    struct mob_link link;               /* in node->gettings */
    struct node *node;
    struct mob_bulk_incoming *in;
};

static inline void on_serve(void *arg, const struct mob_asked *asked, struct mob_bulk_lookup *lookup)
{
    struct node *n = arg;
    struct mob_bulk_found found = { .data = n->store, .ticket = asked->id.task };
    struct mob_error err;

    n->asked = *asked;
    if (asked->id.task == 404) {
        mob_error_set(&err, MOB_ERR_OBJECT_LOST, "object 404 is not here");
        mob_bulk_missing(lookup, &err);
    } else if (asked->id.task == 405) {
        n->parked = lookup;
        mob_loop_stop(n->loop);
    } else if (asked->id.task == 407) {
        mob_bulk_found(lookup, &(struct mob_bulk_found){ .refer = 77, .position = 3 });
    } else {
        found.incoming = asked->id.task == 406 ? n->gives : NULL;
        n->serves++;
        mob_bulk_found(lookup, &found);
        mob_loop_stop(n->loop);
    }
}

static inline void on_served(void *arg, uint64_t ticket)
{
    struct node *n = arg;

    (void)ticket;
    n->served++;
    mob_loop_stop(n->loop);
}

static inline int on_serve_file(void *arg, const struct mob_hash *hash, struct mob_error *err)
{
    struct node *n = arg;

    (void)hash, (void)err;
    return dup(n->file);
}

static inline void on_done(void *arg, const struct mob_error *err)
{
    struct node *n = arg;

    n->done++;
    n->failed += err != NULL;
    if (err != NULL)
        n->why = *err;
    mob_loop_stop(n->loop);
}

static inline void on_got(void *arg, const struct mob_range_result *result)
{
    struct getting *g = arg;

    mob_list_remove(&g->link);
    mob_bulk_incoming_end(g->in);
    g->node->last = *result;
    if (result->err != NULL)
        g->node->failure = *result;
    on_done(g->node, result->err);
    free(g);
}

static const struct mob_bulk_callbacks callbacks = { on_serve, on_served, on_serve_file };

static inline void node_init_with(struct node *n, const char *token, int64_t silence_ms, uint32_t places)
{
    struct mob_error err;

    *n = (struct node){ .loop = mob_loop_create(), .store = malloc(BIG), .file = -1 };
    mob_list_init(&n->gettings);
    for (size_t i = 0; i < BIG; i++)
        n->store[i] = (char)(i * 7 + i / 251);
    n->server = mob_bulk_create(n->loop, TOKEN, &callbacks, n);
    n->client = mob_bulk_create(n->loop, token, &callbacks, n);
    n->server->silence_ms = n->client->silence_ms = silence_ms;
    n->server->servings_max = places;
    ck_assert_msg(mob_bulk_listen(n->server, "127.0.0.1", 0, &n->port, &err) == 0, "%s", err.text);
}

static inline void node_init(struct node *n)
{
    node_init_with(n, TOKEN, BULK_SILENCE_MS, BULK_SERVINGS_MAX);
}

static inline void node_fini(struct node *n)
{
    struct getting *g;

    mob_bulk_destroy(n->client);
    mob_bulk_destroy(n->server);
    mob_loop_destroy(n->loop);
    mob_list_each(g, &n->gettings, struct getting, link)
        free(g);
    if (n->file >= 0)
        close(n->file);
    free(n->store);
}

static inline void until(struct node *n, const int *counter, int wanted)
{
    while (*counter < wanted)
        mob_loop_run(n->loop);
}

static inline struct getting *getting_create(struct node *n, struct mob_bulk_incoming *in)
{
    struct getting *g = mob_new(struct getting);

    g->node = n;
    g->in = in;
    mob_list_init(&g->link);
    mob_list_append(&n->gettings, &g->link);
    return g;
}

static inline void get_range(struct node *n, uint32_t port, void *memory, struct mob_range range)
{
    struct getting *g = getting_create(n, mob_bulk_incoming_create(n->client, memory, range.ask.size, -1, 0));

    mob_bulk_get(n->client, "127.0.0.1", port, &range, g->in, on_got, g);
}

static inline struct mob_range whole(uint64_t task, uint64_t size)
{
    return (struct mob_range){ .ask = { .id = { .cluster = 1, .node = 2, .process = 3, .task = task }, .size = size, .length = size } };
}

static inline void get(struct node *n, uint32_t port, void *memory, uint64_t size)
{
    get_range(n, port, memory, whole(size, size));
}

static inline void ck_why(const struct node *n, int code, const char *part)
{
    ck_assert_int_gt(n->failed, 0);
    ck_assert_msg(n->why.code == code && strstr(n->why.text, part) != NULL, "%d: %s", n->why.code, n->why.text);
}

/* -- a caller that is no node ------------------------------------------------------------------------------------------ */

static inline int connect_to(uint32_t port)
{
    struct sockaddr_in there = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_eq(connect(fd, (struct sockaddr *)&there, sizeof there), 0);
    return fd;
}

struct words {
    struct bulk_hello hello;
    struct bulk_ask ask;
};

static inline struct words good_words(void)
{
    struct words w = { .ask = { .kind = BULK_OBJECT, .size = 10, .length = 10, .what.object = { .task = 10 } } };

    bulk_hello_fill(&w.hello, 2, TOKEN);
    return w;
}

#endif
