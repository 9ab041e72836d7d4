/* SPDX-License-Identifier: Apache-2.0 */
/* test_bulk.c -- bulk transfer over loopback, and peers that lie: about sizes, tokens, hashes, or by saying nothing. */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "objstore/bulk_private.h"
#include "listen.h"

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
    struct mob_range_result last;
    struct mob_error why;
};

/* A get under way. */
struct getting {
    struct mob_link link;               /* in node->gettings */
    struct node *node;
    struct mob_bulk_incoming *in;
};

static void on_serve(void *arg, const struct mob_asked *asked, struct mob_bulk_lookup *lookup)
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

static void on_served(void *arg, uint64_t ticket)
{
    struct node *n = arg;

    (void)ticket;
    n->served++;
    mob_loop_stop(n->loop);
}

static int on_serve_file(void *arg, const struct mob_hash *hash, struct mob_error *err)
{
    struct node *n = arg;

    (void)hash, (void)err;
    return dup(n->file);
}

static void on_done(void *arg, const struct mob_error *err)
{
    struct node *n = arg;

    n->done++;
    n->failed += err != NULL;
    if (err != NULL)
        n->why = *err;
    mob_loop_stop(n->loop);
}

static void on_got(void *arg, const struct mob_range_result *result)
{
    struct getting *g = arg;

    mob_list_remove(&g->link);
    mob_bulk_incoming_end(g->in);
    g->node->last = *result;
    on_done(g->node, result->err);
    free(g);
}

static const struct mob_bulk_callbacks callbacks = { on_serve, on_served, on_serve_file };

static void node_init_with(struct node *n, const char *token, int64_t silence_ms, uint32_t places)
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

static void node_init(struct node *n)
{
    node_init_with(n, TOKEN, BULK_SILENCE_MS, BULK_SERVINGS_MAX);
}

static void node_fini(struct node *n)
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

static void until(struct node *n, const int *counter, int wanted)
{
    while (*counter < wanted)
        mob_loop_run(n->loop);
}

static struct getting *getting_create(struct node *n, struct mob_bulk_incoming *in)
{
    struct getting *g = mob_new(struct getting);

    g->node = n;
    g->in = in;
    mob_list_init(&g->link);
    mob_list_append(&n->gettings, &g->link);
    return g;
}

static void get_range(struct node *n, uint32_t port, void *memory, struct mob_range range)
{
    struct getting *g = getting_create(n, mob_bulk_incoming_create(n->client, memory, range.ask.size));

    mob_bulk_get(n->client, "127.0.0.1", port, &range, g->in, on_got, g);
}

static struct mob_range whole(uint64_t task, uint64_t size)
{
    return (struct mob_range){ .ask = { .id = { .cluster = 1, .node = 2, .process = 3, .task = task }, .size = size, .length = size } };
}

static void get(struct node *n, uint32_t port, void *memory, uint64_t size)
{
    get_range(n, port, memory, whole(size, size));
}

static void ck_why(const struct node *n, int code, const char *part)
{
    ck_assert_int_gt(n->failed, 0);
    ck_assert_msg(n->why.code == code && strstr(n->why.text, part) != NULL, "%d: %s", n->why.code, n->why.text);
}

/* -- good peers ---------------------------------------------------------------------------------------------------------- */

START_TEST(test_objects)
{
    static const uint64_t sizes[] = { 1, 100000, BULK_CHUNK, BIG, BULK_CHUNK + 1 };
    struct node n;
    char *memory = malloc(BIG + 1);

    node_init(&n);
    for (size_t i = 0; i < MOB_COUNT(sizes); i++) {
        memset(memory, 'x', BIG + 1);
        get(&n, n.port, memory, sizes[i]);
        until(&n, &n.done, (int)i + 1);
        ck_assert_msg(n.failed == 0, "%s", n.why.text);
        ck_assert_int_eq(memcmp(memory, n.store, sizes[i]), 0);
        ck_assert_int_eq(memory[sizes[i]], 'x');
    }
    until(&n, &n.served, MOB_COUNT(sizes));
    ck_assert_int_eq(n.serves, n.served);
    node_fini(&n);
    free(memory);
}
END_TEST

START_TEST(test_many_at_once)
{
    enum { MANY = 40, SIZE = 300000 };
    struct node n;
    char *memory = calloc(MANY, SIZE);

    node_init(&n);
    for (int i = 0; i < MANY; i++)
        get(&n, n.port, memory + i * SIZE, SIZE);
    until(&n, &n.done, MANY);
    ck_assert_int_eq(n.failed, 0);
    for (int i = 0; i < MANY; i++)
        ck_assert_int_eq(memcmp(memory + i * SIZE, n.store, SIZE), 0);
    until(&n, &n.served, MANY);
    node_fini(&n);
    free(memory);
}
END_TEST

static int memory_file(const void *bytes, size_t size)
{
    int fd = memfd_create("file", MFD_CLOEXEC);

    ck_assert_int_eq(write(fd, bytes, size), (ssize_t)size);
    return fd;
}

START_TEST(test_file)
{
    struct node n;
    struct mob_hash hash, there;
    int fd = memfd_create("copy", MFD_CLOEXEC);

    node_init(&n);
    n.file = memory_file(n.store, BIG - 3);
    hash = mob_hash_bytes(n.store, BIG - 3);
    mob_bulk_get_file(n.client, "127.0.0.1", n.port, &hash, fd, on_done, &n);
    until(&n, &n.done, 1);
    ck_assert_msg(n.failed == 0, "%s", n.why.text);
    ck_assert_int_eq(mob_hash_fd(fd, &there, NULL), 0);
    ck_assert_int_eq(memcmp(&hash, &there, sizeof hash), 0);
    hash.bytes[5] ^= 1;
    mob_bulk_get_file(n.client, "127.0.0.1", n.port, &hash, fd, on_done, &n);
    until(&n, &n.done, 2);
    ck_why(&n, MOB_ERR_PROTOCOL, "hash");
    node_fini(&n);
    close(fd);
}
END_TEST

START_TEST(test_not_here)
{
    struct node n;
    char memory[1000];

    node_init(&n);
    get(&n, n.port, memory, 404);
    until(&n, &n.done, 1);
    ck_why(&n, MOB_ERR_OBJECT_LOST, "object 404 is not here");
    get(&n, n.port, memory, 1000);
    until(&n, &n.done, 2);
    ck_assert_int_eq(n.failed, 1);
    node_fini(&n);
}
END_TEST

/* Only what was asked for comes, and only that is written. */
START_TEST(test_ranges)
{
    struct node n;
    char *memory = malloc(BIG);
    struct mob_range range = whole(BIG, BIG);

    node_init(&n);
    mob_bulk_set_node(n.client, 9);
    memset(memory, 'x', BIG);
    range.ask.offset = BULK_CHUNK;
    range.ask.length = 2 * BULK_CHUNK;
    range.ask.root = 5, range.ask.position = 6, range.ask.failed = 7, range.ask.direct = true;
    get_range(&n, n.port, memory, range);
    until(&n, &n.done, 1);
    ck_assert_msg(n.failed == 0, "%s", n.why.text);
    ck_assert_uint_eq(n.last.got, 2 * BULK_CHUNK);
    ck_assert_int_eq(memcmp(memory + BULK_CHUNK, n.store + BULK_CHUNK, 2 * BULK_CHUNK), 0);
    ck_assert(memory[BULK_CHUNK - 1] == 'x' && memory[3 * BULK_CHUNK] == 'x');
    ck_assert(n.asked.asker == 9 && n.asked.offset == BULK_CHUNK && n.asked.length == 2 * BULK_CHUNK && n.asked.size == BIG);
    ck_assert(n.asked.root == 5 && n.asked.position == 6 && n.asked.failed == 7 && n.asked.direct);
    node_fini(&n);
    free(memory);
}
END_TEST

START_TEST(test_answered_later)
{
    struct node n;
    char memory[100];

    node_init(&n);
    get_range(&n, n.port, memory, whole(405, 100));
    while (n.parked == NULL)
        mob_loop_run(n.loop);
    ck_assert_int_eq(n.done, 0);
    mob_bulk_found(n.parked, &(struct mob_bulk_found){ .data = n.store, .position = 12 });
    until(&n, &n.done, 1);
    ck_assert_int_eq(n.failed, 0);
    ck_assert_uint_eq(n.last.position, 12);
    ck_assert_int_eq(memcmp(memory, n.store, 100), 0);
    get_range(&n, n.port, memory, whole(405, 100));         /* and one that is never answered */
    for (n.parked = NULL; n.parked == NULL;)
        mob_loop_run(n.loop);
    node_fini(&n);
}
END_TEST

START_TEST(test_referred)
{
    struct node n;
    char memory[100];

    node_init(&n);
    get_range(&n, n.port, memory, whole(407, 100));
    until(&n, &n.done, 1);
    ck_assert_int_eq(n.failed, 0);
    ck_assert(n.last.got == 0 && n.last.refer == 77 && n.last.position == 3);
    node_fini(&n);
}
END_TEST

/* The server gives on what it has not got itself: two chunks are here at once, two come later from a third node, then no more does. */
START_TEST(test_given_on)
{
    struct node n, origin;
    char *there = calloc(1, BIG), *memory = calloc(1, BIG);
    struct mob_range range = whole(BIG, BIG);
    struct getting *g;

    node_init(&origin);
    node_init_with(&n, TOKEN, 1000, BULK_SERVINGS_MAX);
    n.gives = mob_bulk_incoming_create(n.server, there, BIG);
    get_range(&n, n.port, memory, whole(406, BIG));
    until(&n, &n.serves, 1);
    for (int i = 0; i < 2; i++) {
        g = getting_create(&origin, mob_bulk_incoming_create(origin.client, NULL, 1));
        range.ask.offset = 2 * BULK_CHUNK * (uint64_t)i;
        range.ask.length = 2 * BULK_CHUNK;
        mob_bulk_get(n.server, "127.0.0.1", origin.port, &range, n.gives, on_got, g);
        while (origin.done <= i)
            uv_run(mob_loop_uv(n.loop), UV_RUN_NOWAIT), uv_run(mob_loop_uv(origin.loop), UV_RUN_NOWAIT);
    }
    until(&n, &n.done, _i);             /* 1: the fifth chunk does not come in time; 0: it is given up at once */
    if (n.done == 0)
        mob_bulk_incoming_end(n.gives);
    until(&n, &n.done, 1);
    ck_why(&n, MOB_ERR_TIMEOUT, _i == 0 ? "will not have all" : "that part");
    ck_assert(!n.last.final);
    ck_assert_uint_eq(n.last.got, 4 * BULK_CHUNK);
    ck_assert_int_eq(memcmp(memory, origin.store, 4 * BULK_CHUNK), 0);
    until(&n, &n.served, 1);
    node_fini(&n);
    node_fini(&origin);
    free(there);
    free(memory);
}
END_TEST

START_TEST(test_wrong_token)
{
    struct node n;
    char memory[10];

    node_init_with(&n, OTHER, BULK_SILENCE_MS, BULK_SERVINGS_MAX);
    for (int i = 1; i <= 3; i++) {
        get(&n, n.port, memory, 10);
        until(&n, &n.done, i);
        ck_why(&n, MOB_ERR_DENIED, "token");
    }
    ck_assert_int_eq(n.serves, 0);
    node_fini(&n);
}
END_TEST

START_TEST(test_destroy_in_full_flight)
{
    struct node n;
    char *memory = malloc(20 * (size_t)BIG);

    node_init(&n);
    for (int i = 0; i < 20; i++)
        get(&n, n.port, memory + (size_t)i * BIG, BIG);
    until(&n, &n.done, _i);
    node_fini(&n);
    ck_assert_int_le(n.done, 20);
    free(memory);
}
END_TEST

/* -- nodes that lie ------------------------------------------------------------------------------------------------------ */

struct liar {
    int fd;
    uint32_t port;
    pthread_t thread;
    int connections;
    bool closes;                        /* at the end of its lie; else it waits until the caller goes */
    bool honest;                        /* about the hash */
    struct bulk_answer answer;
    size_t answer_size, tail;
};

static void *liar_thread(void *arg)
{
    struct liar *l = arg;
    char in[sizeof(struct bulk_hello) + sizeof(struct bulk_ask)], tail[64];

    memset(tail, '!', sizeof tail);
    if (l->honest)
        l->answer.hash = bulk_sum(tail, l->answer.size);
    for (int i = 0; i < l->connections; i++) {
        int fd = accept(l->fd, NULL, NULL);

        if (fd < 0)
            break;
        if (recv(fd, in, sizeof in, MSG_WAITALL) == sizeof in) {
            send(fd, &l->answer, l->answer_size, MSG_NOSIGNAL);
            send(fd, tail, l->tail, MSG_NOSIGNAL);
            while (!l->closes && recv(fd, in, sizeof in, 0) > 0)
                ;
        }
        close(fd);
    }
    return NULL;
}

static void liar_start(struct liar *l)
{
    l->fd = unit_listen(&l->port);
    ck_assert_int_eq(pthread_create(&l->thread, NULL, liar_thread, l), 0);
}

/* It may wait for a caller that never came. */
static void liar_stop(struct liar *l)
{
    shutdown(l->fd, SHUT_RDWR);
    pthread_join(l->thread, NULL);
    close(l->fd);
}

static void liar_end(struct liar *l)
{
    pthread_join(l->thread, NULL);
    close(l->fd);
}

#define ANSWER sizeof(struct bulk_answer)
static const struct {
    struct liar liar;
    int code;
    const char *part;
    bool final;
} lies[] = {
    { { .closes = true, .answer_size = 0 }, MOB_ERR_UNREACHABLE, "closed", false },
    { { .closes = false, .answer_size = 0 }, MOB_ERR_UNREACHABLE, "silent", true },
    { { .closes = true, .answer_size = 7 }, MOB_ERR_UNREACHABLE, "", false },
    { { .answer_size = ANSWER, .answer = { .status = MOB_OK, .size = 21 }, .tail = 21 }, MOB_ERR_PROTOCOL, "21 bytes for a chunk of 20", true },
    { { .answer_size = ANSWER, .answer = { .status = MOB_OK, .size = 19 }, .tail = 19 }, MOB_ERR_PROTOCOL, "19 bytes for a chunk of 20", true },
    { { .answer_size = ANSWER, .answer = { .status = MOB_OK, .size = UINT64_MAX } }, MOB_ERR_PROTOCOL, "for a chunk of 20", true },
    { { .answer_size = ANSWER, .answer = { .status = MOB_OK, .size = 20 }, .tail = 10 }, MOB_ERR_UNREACHABLE, "silent", true },
    { { .answer_size = ANSWER, .answer = { .status = MOB_OK, .size = 20 }, .tail = 10, .closes = true }, MOB_ERR_UNREACHABLE, "closed", false },
    { { .answer_size = ANSWER, .answer = { .status = MOB_OK, .size = 20, .hash = 7 }, .tail = 20 }, MOB_ERR_PROTOCOL, "altered on the way", false },
    { { .answer_size = ANSWER, .answer = { .status = MOB_OK, .size = 20, .text_size = 1 } }, MOB_ERR_PROTOCOL, "at once", true },
    { { .answer_size = ANSWER, .answer = { .status = 99 } }, MOB_ERR_PROTOCOL, "status 99", true },
    { { .answer_size = ANSWER, .answer = { .status = -1 } }, MOB_ERR_PROTOCOL, "status -1", true },
    { { .answer_size = ANSWER, .answer = { .status = BULK_REFER } }, MOB_ERR_PROTOCOL, "referred to node 0", true },
    { { .answer_size = ANSWER, .answer = { .status = MOB_ERR_DENIED, .text_size = 1u << 31 } }, MOB_ERR_PROTOCOL, "error of", true },
    { { .answer_size = ANSWER, .answer = { .status = MOB_ERR_DENIED, .text_size = 50 }, .tail = 20 }, MOB_ERR_UNREACHABLE, "silent", true },
};

START_TEST(test_lies)
{
    struct node n;
    struct liar liar = lies[_i].liar;
    char memory[32];

    memset(memory, 'x', sizeof memory);
    liar.connections = 1;
    liar_start(&liar);
    node_init_with(&n, TOKEN, 200, BULK_SERVINGS_MAX);
    get(&n, liar.port, memory, 20);
    until(&n, &n.done, 1);
    ck_why(&n, lies[_i].code, lies[_i].part);
    ck_assert(n.last.final == lies[_i].final && n.last.got == 0);
    ck_assert_int_eq(memory[20], 'x');
    liar_end(&liar);
    node_fini(&n);
}
END_TEST

/* The promised bytes are the object; what comes after them ends the connection, and the next get makes another. */
START_TEST(test_too_much)
{
    struct node n;
    struct liar liar = { .connections = 2, .honest = true, .answer_size = ANSWER, .answer = { .size = 20 }, .tail = 25 };
    char memory[32];

    liar_start(&liar);
    node_init_with(&n, TOKEN, 1000, BULK_SERVINGS_MAX);
    for (int i = 1; i <= 2; i++) {
        memset(memory, 'x', sizeof memory);
        get(&n, liar.port, memory, 20);
        until(&n, &n.done, i);
        ck_assert_msg(n.failed == 0, "%s", n.why.text);
        ck_assert_int_eq(memory[19], '!');
        ck_assert_int_eq(memory[20], 'x');
    }
    liar_end(&liar);
    node_fini(&n);
}
END_TEST

/* A kept connection that the peer closed is no error: the get goes on with a new one. */
START_TEST(test_kept_connection_closed)
{
    struct node n;
    struct liar liar = { .connections = 3, .honest = true, .closes = true, .answer_size = ANSWER, .answer = { .size = 20 }, .tail = 20 };
    char memory[20];

    liar_start(&liar);
    node_init(&n);
    for (int i = 1; i <= 3; i++) {
        get(&n, liar.port, memory, 20);
        until(&n, &n.done, i);
        ck_assert_msg(n.failed == 0, "%s", n.why.text);
    }
    liar_end(&liar);
    node_fini(&n);
}
END_TEST

START_TEST(test_nobody_there)
{
    struct node n;
    uint32_t port;
    char memory[20];

    close(unit_listen(&port));
    node_init(&n);
    get(&n, port, memory, 20);
    until(&n, &n.done, 1);
    ck_why(&n, MOB_ERR_UNREACHABLE, strerror(ECONNREFUSED));
    mob_bulk_get_file(n.client, "no-number", 1, &(struct mob_hash){ { 0 } }, -1, on_done, &n);
    until(&n, &n.done, 2);
    ck_why(&n, MOB_ERR_INVALID, "not an address");
    node_fini(&n);
}
END_TEST

/* However many wait for a node that is gone: each hears it, and none by way of another's stack. */
START_TEST(test_thousands_wait_for_nobody)
{
    enum { MANY = 20000 };
    struct node n;
    struct liar liar = { .connections = 4, .closes = true };
    char memory[20];

    liar_start(&liar);
    node_init(&n);
    for (int i = 0; i < MANY; i++)
        get(&n, liar.port, memory, 20);
    liar_end(&liar);
    until(&n, &n.done, MANY);
    ck_assert_int_eq(n.failed, MANY);
    node_fini(&n);
}
END_TEST

/* Four connections are busy for ever and others wait: when the node is known to be dead, all fail at once. */
START_TEST(test_forgotten)
{
    enum { MANY = 50 };
    struct node n;
    struct liar liar = { .connections = 4 };
    struct mob_error why;
    char memory[20];

    liar_start(&liar);
    node_init(&n);
    for (int i = 0; i < MANY; i++)
        get(&n, liar.port, memory, 20);
    mob_error_set(&why, MOB_ERR_NODE_DIED, "node 7 is dead");
    mob_bulk_forget(n.client, "127.0.0.2", liar.port, &why);
    mob_bulk_forget(n.client, "127.0.0.1", liar.port, &why);
    until(&n, &n.done, MANY);
    ck_why(&n, MOB_ERR_NODE_DIED, "node 7 is dead");
    ck_assert_int_eq(n.failed, MANY);
    liar_stop(&liar);
    node_fini(&n);
}
END_TEST

/* -- callers that lie ------------------------------------------------------------------------------------------------------ */

static int connect_to(uint32_t port)
{
    struct sockaddr_in there = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_eq(connect(fd, (struct sockaddr *)&there, sizeof there), 0);
    return fd;
}

/* Say `size` bytes and read until the node ends it: the status of its answer, or -1 if it gave none. */
static int say(struct node *n, const void *words, size_t size, char *ret_text, size_t text_size)
{
    int fd = connect_to(n->port);
    struct bulk_answer answer;
    int status = -1;

    memset(ret_text, 0, text_size);
    ck_assert_int_eq(send(fd, words, size, MSG_NOSIGNAL), (ssize_t)size);
    if (recv(fd, &answer, sizeof answer, MSG_WAITALL) == sizeof answer) {
        status = answer.status;
        ck_assert_uint_lt(answer.text_size, text_size);
        ck_assert_int_eq(recv(fd, ret_text, answer.text_size, MSG_WAITALL), answer.text_size);
        ck_assert_int_eq(recv(fd, &answer, 1, 0), 0);
    }
    close(fd);
    return status;
}

struct words {
    struct bulk_hello hello;
    struct bulk_ask ask;
};

static struct words good_words(void)
{
    struct words w = { .ask = { .kind = BULK_OBJECT, .size = 10, .length = 10, .what.object = { .task = 10 } } };

    bulk_hello_fill(&w.hello, 2, TOKEN);
    return w;
}

START_TEST(test_lying_callers)
{
    struct node n;
    struct words w;
    char text[BULK_TEXT_MAX + 1], garbage[5000], memory[100];

    node_init_with(&n, TOKEN, 300, BULK_SERVINGS_MAX);
    memset(garbage, 0x5a, sizeof garbage);
    ck_assert_int_eq(say(&n, garbage, sizeof garbage, text, sizeof text), MOB_ERR_PROTOCOL);
    ck_assert(strstr(text, "objects of Mobula") != NULL);
    w = good_words(), bulk_hello_fill(&w.hello, 2, OTHER);
    ck_assert_int_eq(say(&n, &w, sizeof w, text, sizeof text), MOB_ERR_DENIED);
    w = good_words(), w.hello.token[63] = 0;
    ck_assert_int_eq(say(&n, &w, sizeof w, text, sizeof text), MOB_ERR_DENIED);
    w = good_words(), w.hello.version = 9;
    ck_assert_int_eq(say(&n, &w, sizeof w, text, sizeof text), MOB_ERR_VERSION);
    w = good_words(), w.ask.kind = 3;
    ck_assert_int_eq(say(&n, &w, sizeof w, text, sizeof text), MOB_ERR_PROTOCOL);
    w = good_words(), w.ask.size = UINT64_MAX;
    ck_assert_int_eq(say(&n, &w, sizeof w, text, sizeof text), MOB_ERR_PROTOCOL);
    w = good_words(), w.ask.kind = BULK_FILE;
    ck_assert_int_eq(say(&n, &w, sizeof w, text, sizeof text), MOB_ERR_PROTOCOL);
    w = good_words();
    ck_assert_int_eq(say(&n, &w, 30, text, sizeof text), -1);                   /* and then nothing: silence ends it */
    ck_assert_int_eq(say(&n, &w, sizeof w - 1, text, sizeof text), -1);
    ck_assert_int_eq(n.serves, 0);
    get(&n, n.port, memory, 100);
    until(&n, &n.done, 1);
    ck_assert_msg(n.failed == 0, "%s", n.why.text);
    node_fini(&n);
}
END_TEST

/* A caller that asks and does not read lets the object go after the silence. */
START_TEST(test_caller_that_does_not_read)
{
    struct node n;
    struct words w = good_words();
    int fd, small = 4096;

    node_init_with(&n, TOKEN, 300, BULK_SERVINGS_MAX);
    w.ask.size = w.ask.length = w.ask.what.object.task = BIG;
    fd = connect_to(n.port);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    ck_assert_int_eq(send(fd, &w, sizeof w, MSG_NOSIGNAL), sizeof w);
    until(&n, &n.served, 1);
    close(fd);
    node_fini(&n);
}
END_TEST

/* One place for callers. The first is served and idles: it goes for the next. While one is being served, the next waits its turn. */
START_TEST(test_more_callers_than_places)
{
    struct node n;
    struct words w = good_words();
    struct bulk_answer answer;
    char byte;
    int first, second;

    node_init_with(&n, TOKEN, BULK_SILENCE_MS, 1);
    first = connect_to(n.port);
    ck_assert_int_eq(send(first, &w, sizeof w, MSG_NOSIGNAL), sizeof w);
    until(&n, &n.served, 1);
    second = connect_to(n.port);
    w.ask.what.object.task = 405;
    ck_assert_int_eq(send(second, &w, sizeof w, MSG_NOSIGNAL), sizeof w);
    while (n.parked == NULL)
        mob_loop_run(n.loop);
    ck_assert_int_eq(recv(first, &answer, sizeof answer, MSG_WAITALL), sizeof answer);
    ck_assert_int_eq(recv(first, n.store, 10, MSG_WAITALL), 10);
    ck_assert_int_eq(recv(first, &byte, 1, 0), 0);              /* it went */
    get(&n, n.port, n.store + BIG / 2, 20);                     /* waits: the second is busy */
    mob_bulk_found(n.parked, &(struct mob_bulk_found){ .data = n.store });
    until(&n, &n.done, 1);
    ck_assert_msg(n.failed == 0, "%s", n.why.text);
    close(first);
    close(second);
    node_fini(&n);
}
END_TEST

/* Whoever says nothing has no place for long when others come. */
START_TEST(test_strangers_hold_no_places)
{
    enum { MANY = 100 };
    struct node n;
    int fds[MANY];
    char memory[20], byte;

    node_init_with(&n, TOKEN, BULK_SILENCE_MS, MANY);
    for (int i = 0; i < MANY; i++)
        fds[i] = connect_to(n.port);
    get(&n, n.port, memory, 20);
    until(&n, &n.done, 1);
    ck_assert_msg(n.failed == 0, "%s", n.why.text);
    ck_assert_int_eq(recv(fds[0], &byte, 1, 0), 0);
    for (int i = 0; i < MANY; i++)
        close(fds[i]);
    node_fini(&n);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("bulk");
    TCase *good = tcase_create("good"), *lying = tcase_create("lying");
    SRunner *runner = srunner_create(s);
    int failed;

    tcase_add_test(good, test_objects);
    tcase_add_test(good, test_many_at_once);
    tcase_add_test(good, test_file);
    tcase_add_test(good, test_not_here);
    tcase_add_test(good, test_ranges);
    tcase_add_test(good, test_answered_later);
    tcase_add_test(good, test_referred);
    tcase_add_loop_test(good, test_given_on, 0, 2);
    tcase_add_test(good, test_wrong_token);
    tcase_add_loop_test(good, test_destroy_in_full_flight, 0, 4);
    tcase_add_loop_test(lying, test_lies, 0, MOB_COUNT(lies));
    tcase_add_test(lying, test_too_much);
    tcase_add_test(lying, test_kept_connection_closed);
    tcase_add_test(lying, test_nobody_there);
    tcase_add_test(lying, test_thousands_wait_for_nobody);
    tcase_add_test(lying, test_forgotten);
    tcase_add_test(lying, test_more_callers_than_places);
    tcase_add_test(lying, test_strangers_hold_no_places);
    tcase_add_test(lying, test_lying_callers);
    tcase_add_test(lying, test_caller_that_does_not_read);
    tcase_set_timeout(good, 20);
    tcase_set_timeout(lying, 20);
    suite_add_tcase(s, good);
    suite_add_tcase(s, lying);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
