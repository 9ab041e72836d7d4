/* SPDX-License-Identifier: Apache-2.0 */
/* test_bulk_liars.c -- nodes and callers that lie: about sizes, tokens, hashes, or by saying nothing. */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>

#include "bulk_node.h"
#include "listen.h"
#include "unit.h"

/* -- nodes that lie ------------------------------------------------------------------------------------------------------ */

struct liar {
    int fd;
    uint32_t port;
    pthread_t thread;
    int connections;
    bool closes;                        /* at the end of its lie; else it waits until the caller goes */
    bool honest;                        /* about the hash */
    unsigned patience;                  /* it asks for some so often before */
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
            for (unsigned j = 0; j < l->patience; j++)
                send(fd, &(struct bulk_answer){ .status = BULK_PATIENCE }, sizeof l->answer, MSG_NOSIGNAL);
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
    { { .answer_size = ANSWER, .answer = { .status = BULK_PATIENCE, .text_size = 1 } }, MOB_ERR_PROTOCOL, "in the middle", true },
    { { .patience = BULK_PATIENCE_MAX + 1 }, MOB_ERR_TIMEOUT, "120 times", true },
    { { .patience = 1, .closes = true }, MOB_ERR_UNREACHABLE, "closed", false },
    { { .answer_size = ANSWER, .answer = { .status = MOB_ERR_DENIED, .text_size = 1u << 31 } }, MOB_ERR_PROTOCOL, "error of", true },
    { { .answer_size = ANSWER, .answer = { .status = MOB_ERR_DENIED, .text_size = 50 }, .tail = 20 }, MOB_ERR_UNREACHABLE, "silent", true },
};

/* Each costs its own get, and not the one beside it. */
START_TEST(test_lies)
{
    struct node n;
    struct liar liar = lies[_i].liar;
    char memory[32], beside[1000];

    memset(memory, 'x', sizeof memory);
    liar.connections = 1;
    liar_start(&liar);
    node_init_with(&n, TOKEN, 200, BULK_SERVINGS_MAX);
    get(&n, liar.port, memory, 20);
    get(&n, n.port, beside, sizeof beside);
    until(&n, &n.failed, 1);
    ck_why(&n, lies[_i].code, lies[_i].part);
    ck_assert(n.failure.final == lies[_i].final && n.failure.got == 0);
    ck_assert_int_eq(memory[20], 'x');
    until(&n, &n.done, 2);
    ck_assert_int_eq(n.failed, 1);
    ck_assert_mem_eq(beside, n.store, sizeof beside);
    liar_end(&liar);
    node_fini(&n);
}
END_TEST

/* As much patience as there is, and then the object. */
START_TEST(test_patience)
{
    struct node n;
    struct liar liar = { .connections = 1, .honest = true, .closes = true, .patience = BULK_PATIENCE_MAX, .answer_size = ANSWER, .answer = { .size = 20 },
                         .tail = 20 };
    char memory[20];

    liar_start(&liar);
    node_init(&n);
    get(&n, liar.port, memory, 20);
    until(&n, &n.done, 1);
    ck_assert_msg(n.failed == 0, "%s", n.why.text);
    ck_assert_int_eq(memory[19], '!');
    liar_stop(&liar);
    node_fini(&n);
}
END_TEST

/* The thread of a bulk, held up. */
struct pause {
    struct mob_posted posted;
    sem_t here, on;
};

static void pause_on_thread(struct mob_posted *p)
{
    struct pause *pause = MOB_CONTAINER(p, struct pause, posted);

    sem_post(&pause->here);
    sem_wait(&pause->on);
}

/* A reset that comes while bytes wait to be read is noticed behind them, as what it is. */
START_TEST(test_reset_behind_bytes)
{
    struct node n;
    struct words heard;
    struct bulk_answer answer = { .size = BULK_CHUNK };
    struct pause pause = { .posted.run = pause_on_thread };
    char *memory = mob_alloc(BULK_CHUNK);
    uint32_t port;
    int listener = unit_listen(&port), fd;

    node_init(&n);
    sem_init(&pause.here, 0, 0);
    sem_init(&pause.on, 0, 0);
    get(&n, port, memory, BULK_CHUNK);
    fd = accept(listener, NULL, NULL);
    ck_assert_int_eq(recv(fd, &heard, sizeof heard, MSG_WAITALL), sizeof heard);
    mob_loop_post(n.client->loop, &pause.posted);
    sem_wait(&pause.here);
    ck_assert_int_eq(send(fd, &answer, sizeof answer, 0), sizeof answer);
    ck_assert_int_eq(send(fd, memory, 10000, 0), 10000);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 }, sizeof(struct linger));
    close(fd);
    sem_post(&pause.on);
    until(&n, &n.done, 1);
    ck_why(&n, MOB_ERR_UNREACHABLE, strerror(ECONNRESET));
    ck_assert(!n.last.final);
    close(listener);
    node_fini(&n);
    free(memory);
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

UNIT_CASE("bulk_liars", tcase)
{
    tcase_set_timeout(tcase, 20);
    UNIT_TESTS(tcase, test_patience, test_reset_behind_bytes, test_too_much, test_kept_connection_closed, test_nobody_there,
               test_thousands_wait_for_nobody, test_forgotten, test_more_callers_than_places, test_strangers_hold_no_places,
               test_lying_callers, test_caller_that_does_not_read);
    tcase_add_loop_test(tcase, test_lies, 0, MOB_COUNT(lies));
}
