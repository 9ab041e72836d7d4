/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_bulk.c -- whatever the bytes of a bulk connection are. What passes the checks is within the limits that the code relies
 * on; a server answers each whole ask with whole answers and nothing else; a get succeeds only with all bytes of an answer
 * that fits, and writes nowhere else. An input: which of the three, then the bytes: of a conversation; of asks, or of answers,
 * each good or as they are. */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/mem.h"
#include "objstore/bulk.h"
#include "objstore/bulk_wire.h"

#define TOKEN "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define HERE "127.0.0.1"
#define OBJECT_SIZE 1000u
#define FILE_SIZE 3000u

static struct mob_loop *loop;
static struct mob_bulk *bulk;
static uint32_t port, our_port;
static int listener, file;
static uint8_t object[OBJECT_SIZE], program[FILE_SIZE];

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_conversation(const struct bulk_hello *hello, const struct bulk_ask *ask, const struct bulk_answer *answer)
{
    struct mob_error err;
    uint64_t at = 0;

    if (bulk_hello_check(hello, TOKEN, &err) == 0)
        assert(memcmp(hello->token, TOKEN, BULK_TOKEN_MAX) == 0);
    else
        assert(err.code == MOB_ERR_PROTOCOL || err.code == MOB_ERR_DENIED || err.code == MOB_ERR_VERSION);
    if (bulk_ask_check(ask, &err) < 0)
        return;
    if (ask->kind == BULK_OBJECT) {
        assert(ask->size <= BULK_OBJECT_MAX && ask->length > 0 && ask->length <= ask->size && ask->offset <= ask->size - ask->length);
        at += ask->offset + (ask->length - 1) / BULK_CHUNK * BULK_CHUNK;       /* the last chunk */
    }
    if (bulk_answer_check(answer, ask, at, &err) < 0)
        return;
    if (answer->status != MOB_OK)
        assert(answer->text_size <= BULK_TEXT_MAX && answer->size == 0);
    else if (ask->kind == BULK_OBJECT)
        assert(answer->size > 0 && answer->size <= BULK_CHUNK && at + answer->size <= ask->size);
    else
        assert(answer->size > 0 && answer->size <= BULK_FILE_MAX);
}

static void read_conversation(const uint8_t *data, size_t size, bool past_token)
{
    struct {
        struct bulk_hello hello;
        struct bulk_ask ask;
        struct bulk_answer answer;
    } said = { 0 };
    uint8_t *to = past_token ? (uint8_t *)&said.ask : (uint8_t *)&said.hello;
    size_t room = sizeof said - (past_token ? sizeof said.hello : 0);

    bulk_hello_fill(&said.hello, 2, TOKEN);
    memcpy(to, data, size < room ? size : room);
    check_conversation(&said.hello, &said.ask, &said.answer);
}

/* -- a bulk and its peer ------------------------------------------------------------------------------------------------------- */

static void serve(void *arg, const struct mob_asked *asked, struct mob_bulk_lookup *lookup)
{
    struct mob_bulk_found found = { .data = object, .refer = asked->id.task % 4 == 2 ? 9 : 0, .position = 1 };
    struct mob_error err;

    (void)arg;
    if (asked->id.task % 4 == 3 || asked->size != OBJECT_SIZE) {
        mob_error_set(&err, MOB_ERR_OBJECT_LOST, "it is gone");
        mob_bulk_missing(lookup, &err);
    } else {
        mob_bulk_found(lookup, &found);
    }
}

static void served(void *arg, uint64_t ticket)
{
    (void)arg, (void)ticket;
}

static int serve_file(void *arg, const struct mob_hash *hash, struct mob_error *err)
{
    (void)arg;
    return hash->bytes[0] % 4 == 3 ? mob_error_set(err, MOB_ERR_OBJECT_LOST, "it is gone") : dup(file);
}

static int tcp_socket(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert(fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 }, sizeof(struct linger)) == 0);
    return fd;                          /* its port is free at once when it is closed */
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static const struct mob_bulk_callbacks callbacks = { serve, served, serve_file };
    struct sockaddr_in here = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t size = sizeof here;

    (void)argc, (void)argv;
    for (size_t i = 0; i < sizeof program; i++)
        object[i % sizeof object] = program[i] = (uint8_t)(i % 251);
    file = memfd_create("program", MFD_CLOEXEC);
    assert(write(file, program, sizeof program) == sizeof program);
    loop = mob_loop_create();
    bulk = mob_bulk_create(loop, TOKEN, &callbacks, NULL);
    assert(bulk != NULL && mob_bulk_listen(bulk, HERE, 0, &port, NULL) == 0);
    listener = tcp_socket();
    assert(bind(listener, (struct sockaddr *)&here, sizeof here) == 0 && listen(listener, 16) == 0);
    getsockname(listener, (struct sockaddr *)&here, &size);
    our_port = ntohs(here.sin_port);
    return 0;
}

static void turn(int fd)
{
    struct pollfd p[2] = { { .fd = fd, .events = POLLIN }, { .fd = uv_backend_fd(mob_loop_uv(loop)), .events = POLLIN } };

    poll(p, 2, 10);
    uv_run(mob_loop_uv(loop), UV_RUN_NOWAIT);
}

/* -- it serves ----------------------------------------------------------------------------------------------------------------- */

/* One more ask: as the bytes are, or what can be had. */
static size_t put_ask(uint8_t *to, const uint8_t *bytes, size_t size, unsigned how)
{
    struct bulk_ask ask = { .kind = how % 2 ? BULK_OBJECT : BULK_FILE, .size = how % 2 ? OBJECT_SIZE : 0,
                            .length = how % 2 ? OBJECT_SIZE : 0 };
    size_t from = how % 4 < 2 ? 0 : offsetof(struct bulk_ask, what), room = sizeof ask - from;

    memcpy((uint8_t *)&ask + from, bytes, size < room ? size : room);
    memcpy(to, &ask, sizeof ask);
    return sizeof ask;
}

static size_t put_asks(uint8_t *to, size_t room, const uint8_t *bytes, size_t size)
{
    struct bulk_hello hello;
    size_t said = 0;

    bulk_hello_fill(&hello, 2, TOKEN);
    if (size > 0 && bytes[0] % 8 != 7) {
        memcpy(to, &hello, sizeof hello);
        said = sizeof hello;
    }
    while (size > 2 && said + sizeof(struct bulk_ask) <= room) {
        size_t part = bytes[1] % 64u < size - 2 ? bytes[1] % 64u : size - 2;

        if (bytes[0] % 16 == 15) {      /* a part of one */
            memcpy(to + said, bytes + 2, part < sizeof(struct bulk_ask) ? part : sizeof(struct bulk_ask));
            said += part < sizeof(struct bulk_ask) ? part : sizeof(struct bulk_ask);
        } else {
            said += put_ask(to + said, bytes + 2, part, bytes[0]);
        }
        bytes += 2 + part;
        size -= 2 + part;
    }
    return said;
}

static void check_answers(const uint8_t *at, size_t size)
{
    while (size > 0) {
        struct bulk_answer a;
        size_t bytes;

        assert(size >= sizeof a);
        memcpy(&a, at, sizeof a);
        at += sizeof a;
        size -= sizeof a;
        bytes = a.status == MOB_OK ? (size_t)a.size : a.text_size;
        assert(bytes <= size && (a.status == MOB_OK || bytes <= BULK_TEXT_MAX));
        assert(a.status != MOB_OK || (bytes == OBJECT_SIZE && memcmp(at, object, bytes) == 0 && a.hash == bulk_sum(at, bytes))
               || (bytes == FILE_SIZE && memcmp(at, program, bytes) == 0));
        at += bytes;
        size -= bytes;
    }
}

static void be_asked(const uint8_t *bytes, size_t size)
{
    struct sockaddr_in there = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) }, .sin_port = htons((uint16_t)port) };
    static uint8_t asks[2048], answers[64 << 10];
    size_t said = put_asks(asks, sizeof asks, bytes, size), heard = 0;
    int fd = tcp_socket();
    ssize_t n = -1;

    assert(connect(fd, (struct sockaddr *)&there, sizeof there) == 0);
    (void)!send(fd, asks, said, MSG_NOSIGNAL);
    shutdown(fd, SHUT_WR);
    while (heard < sizeof answers && (n = recv(fd, answers + heard, sizeof answers - heard, MSG_DONTWAIT)) != 0) {
        if (n < 0 && errno != EAGAIN)
            break;
        if (n < 0)
            turn(fd);
        else
            heard += (size_t)n;
    }
    close(fd);
    if (n == 0)                         /* not broken by what it did not read */
        check_answers(answers, heard);
}

/* -- it gets ------------------------------------------------------------------------------------------------------------------- */

struct outcome {
    bool over, good;
};

static void on_range_done(void *arg, const struct mob_range_result *result)
{
    *(struct outcome *)arg = (struct outcome){ true, result->err == NULL && result->refer == 0 };
}

static void on_done(void *arg, const struct mob_error *err)
{
    *(struct outcome *)arg = (struct outcome){ true, err == NULL };
}

/* Let the bytes follow the ask, perhaps after an answer that fits. */
static void answer(const uint8_t *bytes, size_t size, const struct bulk_answer *good)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    uint8_t heard[sizeof(struct bulk_hello) + sizeof(struct bulk_ask)];

    if (fd < 0)
        return;
    if (recv(fd, heard, sizeof heard, MSG_WAITALL) == sizeof heard) {
        if (good != NULL)
            (void)!send(fd, good, sizeof *good, MSG_NOSIGNAL);
        (void)!send(fd, bytes, size, MSG_NOSIGNAL);
    }
    shutdown(fd, SHUT_WR);
    while (recv(fd, heard, sizeof heard, 0) > 0)
        ;
    close(fd);
}

static void get(const uint8_t *bytes, size_t size, unsigned how)
{
    struct bulk_answer good = { .status = MOB_OK, .size = how % 2 ? OBJECT_SIZE : size % 64 + 1 };
    struct pollfd p = { .fd = listener, .events = POLLIN };
    struct mob_range range = { .ask = { .id = { .task = 1 }, .size = OBJECT_SIZE, .length = OBJECT_SIZE } };
    struct mob_hash hash = { { 1 } };
    struct outcome outcome = { false, false };
    int arena = memfd_create("arena", MFD_CLOEXEC);
    uint8_t *memory = ftruncate(arena, OBJECT_SIZE) == 0 ? mmap(NULL, OBJECT_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, arena, 0) : NULL;
    struct mob_bulk_incoming *in = mob_bulk_incoming_create(bulk, memory, OBJECT_SIZE, how % 8 < 4 ? arena : -1, 0);
    int to = memfd_create("got", MFD_CLOEXEC);

    if (how % 4 == 1 && size >= OBJECT_SIZE)
        good.hash = bulk_sum(bytes, OBJECT_SIZE);
    if (how % 2)
        mob_bulk_get(bulk, HERE, our_port, &range, in, on_range_done, &outcome);
    else
        mob_bulk_get_file(bulk, HERE, our_port, &hash, to, on_done, &outcome);
    while (!outcome.over) {
        turn(listener);
        if (poll(&p, 1, 0) > 0)
            answer(bytes, size, how % 8 < 6 ? &good : NULL);
    }
    if (outcome.good)
        assert(how % 2 && (how % 8 < 6 ? size >= OBJECT_SIZE && memcmp(memory, bytes, OBJECT_SIZE) == 0 : size > OBJECT_SIZE));
    mob_bulk_incoming_end(in);
    close(to);
    munmap(memory, OBJECT_SIZE);
    close(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (data[0] % 4 < 2)
        read_conversation(data + 1, size - 1, data[0] % 4 == 0);
    else if (data[0] % 4 == 2)
        be_asked(data + 1, size - 1);
    else
        get(data + 1, size - 1, data[0] / 4u);
    return 0;
}
