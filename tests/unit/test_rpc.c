/* SPDX-License-Identifier: Apache-2.0 */
/* test_rpc.c -- links over loopback: order, limits, who is let in, and every way to end. Runs without forks of Check (CK_FORK=no);
 * a peer that must be killed is this same executable, started with --peer. */
#include <arpa/inet.h>
#include <check.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rpc/internal.h"

extern char **environ;

/* gRPC frees some of a closed connection in threads of its own, after grpc_shutdown() has returned: what only it allocated is no leak of
 * ours. */
const char *__lsan_default_suppressions(void);
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void)
{
    return "leak:grpc_create_chttp2_transport\nleak:grpc_tcp_create\nleak:libgrpc.so\nleak:libgpr.so\n";
}

#define TOKEN "0123456789abcdef"
#define PATIENCE_MS 20000
#define MANY 10000

/* One end: what it was told. */
struct end {
    struct mob_rpc *rpc;
    struct mob_loop *loop;
    uint64_t link;                      /* the last that came up */
    int ups, receives, losses;
    int accepted;
    char peer[64];
    bool echoes, in_order;
    size_t last_size;
    unsigned char last_byte;
    struct mob_error why;               /* of the last loss */
};

struct fixture {
    struct mob_loop *loop;
    struct end server, client;
    uint32_t port;
};

static void on_up(void *arg, uint64_t link, const char *peer, int accepted)
{
    struct end *e = arg;

    e->accepted = accepted;
    mob_copy(e->peer, sizeof e->peer, peer);
    e->link = link;
    e->ups++;
    mob_loop_stop(e->loop);
}

static void on_receive(void *arg, uint64_t link, const void *frame, size_t size)
{
    struct end *e = arg;
    uint32_t n;

    if (e->in_order && size >= sizeof n) {
        memcpy(&n, frame, sizeof n);
        ck_assert_uint_eq(n, (uint32_t)e->receives);
    }
    if (e->echoes)
        mob_rpc_send(e->rpc, link, frame, size);
    e->receives++;
    e->last_size = size;
    e->last_byte = size > 0 ? ((const unsigned char *)frame)[size - 1] : 0;
    mob_loop_stop(e->loop);
}

static void on_lost(void *arg, uint64_t link, const struct mob_error *why)
{
    struct end *e = arg;

    (void)link;
    e->losses++;
    e->why = *why;
    mob_loop_stop(e->loop);
}

static const struct mob_rpc_callbacks callbacks = { on_up, on_receive, on_lost };

static void end_init(struct end *e, struct mob_loop *loop, const char *token)
{
    *e = (struct end){ .loop = loop };
    e->rpc = mob_rpc_create(loop, token, &callbacks, e);
}

static void fixture_init_at(struct fixture *f, const char *ip, const char *token)
{
    struct mob_error err;

    f->loop = mob_loop_create();
    end_init(&f->server, f->loop, TOKEN);
    end_init(&f->client, f->loop, token);
    ck_assert_msg(mob_rpc_listen(f->server.rpc, ip, 0, &f->port, &err) == 0, "%s", err.text);
    ck_assert_uint_gt(f->port, 0);
}

static void fixture_init(struct fixture *f)
{
    fixture_init_at(f, "127.0.0.1", TOKEN);
}

static void fixture_fini(struct fixture *f)
{
    mob_rpc_destroy(f->client.rpc);
    mob_rpc_destroy(f->server.rpc);
    mob_loop_destroy(f->loop);
}

/* Turn the loop until *counter reaches n; the test's time-out ends a wait in vain. */
static void until(struct mob_loop *loop, const int *counter, int n)
{
    while (*counter < n)
        mob_loop_run(loop);
}

static void connect_both(struct fixture *f)
{
    mob_rpc_dial(f->client.rpc, "127.0.0.1", f->port, PATIENCE_MS);
    until(f->loop, &f->client.ups, 1);
    until(f->loop, &f->server.ups, 1);
}

static void ck_text(const struct mob_error *err, int code, const char *part)
{
    ck_assert_msg(err->code == code && strstr(err->text, part) != NULL, "code %d: %s", err->code, err->text);
}

/* -- frames ------------------------------------------------------------------------------------------------------------ */

START_TEST(test_echo)
{
    struct fixture f;

    fixture_init(&f);
    f.server.echoes = true;
    connect_both(&f);
    ck_assert(f.server.accepted && !f.client.accepted);
    ck_assert(strncmp(f.server.peer, "127.0.0.1:", 10) == 0 && strncmp(f.client.peer, "127.0.0.1:", 10) == 0);
    mob_rpc_send(f.client.rpc, f.client.link, "hello", 5);
    until(f.loop, &f.client.receives, 1);
    ck_assert_uint_eq(f.client.last_size, 5);
    ck_assert_uint_eq(f.client.last_byte, 'o');
    mob_rpc_send(f.client.rpc, f.client.link, "", 0);
    until(f.loop, &f.client.receives, 2);
    ck_assert_uint_eq(f.client.last_size, 0);
    mob_rpc_send(f.client.rpc, 4711, "nobody", 6);
    ck_assert_uint_eq(mob_rpc_queued(f.client.rpc, 4711), 0);
    fixture_fini(&f);
}
END_TEST

START_TEST(test_order_of_many)
{
    struct fixture f;
    char body[400] = { 0 };

    fixture_init(&f);
    f.server.echoes = f.server.in_order = f.client.in_order = true;
    connect_both(&f);
    for (uint32_t i = 0; i < MANY; i++) {
        memcpy(body, &i, sizeof i);
        mob_rpc_send(f.client.rpc, f.client.link, body, 4 + i % (sizeof body - 4));
    }
    ck_assert_uint_gt(mob_rpc_queued(f.client.rpc, f.client.link), 0);
    until(f.loop, &f.client.receives, MANY);
    ck_assert_int_eq(f.server.receives, MANY);
    until(f.loop, &f.client.receives, MANY);
    ck_assert_uint_eq(mob_rpc_queued(f.client.rpc, f.client.link), 0);
    fixture_fini(&f);
}
END_TEST

START_TEST(test_big_frame)
{
    struct fixture f;
    size_t size = MOB_ENVELOPE_MAX;
    char *body = malloc(size);

    memset(body, 'x', size);
    body[size - 1] = 'y';
    body[(3 << 20) - 1] = 'z';
    fixture_init(&f);
    f.server.echoes = true;
    connect_both(&f);
    mob_rpc_send(f.client.rpc, f.client.link, body, 3 << 20);
    mob_rpc_send(f.client.rpc, f.client.link, body, size);
    until(f.loop, &f.client.receives, 1);
    ck_assert_uint_eq(f.client.last_size, 3 << 20);
    ck_assert_uint_eq(f.client.last_byte, 'z');
    until(f.loop, &f.client.receives, 2);
    ck_assert_uint_eq(f.client.last_size, size);
    ck_assert_uint_eq(f.client.last_byte, 'y');
    fixture_fini(&f);
    free(body);
}
END_TEST

/* What was queued before it still arrives; the link ends at both. */
/* Nothing is read while the loop does not turn: what is queued is bounded, and the loss is told from the loop, not from the call. */
START_TEST(test_reader_that_does_not_read)
{
    struct fixture f;
    size_t size = 3 << 20;
    char *body = calloc(1, size);

    fixture_init(&f);
    connect_both(&f);
    for (int i = 0; i < 40; i++)
        mob_rpc_send(f.client.rpc, f.client.link, body, size);
    ck_assert_uint_le(mob_rpc_queued(f.client.rpc, f.client.link), 64u << 20);
    ck_assert_int_eq(f.client.losses, 0);
    until(f.loop, &f.client.losses, 1);
    ck_text(&f.client.why, MOB_ERR_UNREACHABLE, "unread");
    fixture_fini(&f);
    free(body);
}
END_TEST

START_TEST(test_too_big_frame)
{
    struct fixture f;
    size_t size = MOB_ENVELOPE_MAX + 1;
    char *body = calloc(1, size);

    fixture_init(&f);
    connect_both(&f);
    mob_rpc_send(f.client.rpc, f.client.link, "before", 6);
    mob_rpc_send(f.client.rpc, f.client.link, body, size);
    mob_rpc_send(f.client.rpc, f.client.link, "after", 5);
    until(f.loop, &f.client.losses, 1);
    until(f.loop, &f.server.losses, 1);
    ck_text(&f.client.why, MOB_ERR_PROTOCOL, "the most is 4194304");
    ck_assert_int_eq(f.server.receives, 1);
    fixture_fini(&f);
    free(body);
}
END_TEST

/* A caller that does not keep the limit itself is ended by the receiver: `raw` skips the check of rpc_link_frame(). */
static void send_raw(struct end *e, size_t size)
{
    struct rpc_link *l = mob_map_get(&e->rpc->links, e->link);
    struct rpc_frame *raw = mob_new(struct rpc_frame);
    char *body = calloc(1, size);
    grpc_slice slice = grpc_slice_from_copied_buffer(body, size);

    mob_rpc_send(e->rpc, e->link, "before", 6);
    raw->bytes = grpc_raw_byte_buffer_create(&slice, 1);
    raw->size = size;
    mob_list_init(&raw->link);
    mob_list_append(&l->frames, &raw->link);
    l->queued += size;
    grpc_slice_unref(slice);
    free(body);
}

START_TEST(test_too_big_for_the_receiver)
{
    struct fixture f;

    fixture_init(&f);
    connect_both(&f);
    send_raw(&f.client, MOB_ENVELOPE_MAX + 1 + (_i == 0 ? 0 : 1 << 20));
    until(f.loop, &f.client.losses, 1);
    until(f.loop, &f.server.losses, 1);
    if (_i == 0) {
        ck_text(&f.server.why, MOB_ERR_PROTOCOL, "the most is 4194304");
        ck_text(&f.client.why, MOB_ERR_PROTOCOL, "the most is 4194304");
    }
    ck_assert_int_eq(f.server.receives, 1);
    fixture_fini(&f);
}
END_TEST

/* -- who is let in ------------------------------------------------------------------------------------------------------- */

START_TEST(test_wrong_token)
{
    static const char *const wrong[] = { "0123456789abcdeF", "0123456789abcde", "0123456789abcdef0", "" };
    struct fixture f;

    fixture_init_at(&f, "127.0.0.1", wrong[_i]);
    mob_rpc_dial(f.client.rpc, "127.0.0.1", f.port, PATIENCE_MS);
    until(f.loop, &f.client.losses, 1);
    ck_text(&f.client.why, MOB_ERR_DENIED, "token");
    ck_assert_int_eq(f.client.ups, 0);
    ck_assert_int_eq(f.server.ups + f.server.losses, 0);
    fixture_fini(&f);
}
END_TEST

START_TEST(test_wrong_version)
{
    struct fixture f;

    fixture_init(&f);
    f.client.rpc->protocol = 77;
    mob_rpc_dial(f.client.rpc, "127.0.0.1", f.port, PATIENCE_MS);
    until(f.loop, &f.client.losses, 1);
    ck_text(&f.client.why, MOB_ERR_VERSION, "protocol 77, this daemon speaks 1");
    ck_assert_int_eq(f.client.ups + f.server.ups + f.server.losses, 0);
    fixture_fini(&f);
}
END_TEST

/* A server that would accept anybody: the caller looks, too. */
START_TEST(test_wrong_version_of_server)
{
    struct fixture f;

    fixture_init(&f);
    f.client.rpc->protocol = 77;
    mob_rpc_dial(f.client.rpc, "127.0.0.1", f.port, PATIENCE_MS);
    f.client.rpc->protocol = 1;         /* said 77 ... */
    f.server.rpc->protocol = 77;        /* ... so it is let in, and told 77 */
    until(f.loop, &f.client.losses, 1);
    ck_text(&f.client.why, MOB_ERR_VERSION, "speaks protocol 77, this process speaks 1");
    ck_assert_int_eq(f.client.ups, 0);
    until(f.loop, &f.server.losses, 1);
    fixture_fini(&f);
}
END_TEST

/* -- nobody there -------------------------------------------------------------------------------------------------------- */

static int listen_silently(uint32_t *ret_port)
{
    struct sockaddr_in here = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof here;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_eq(bind(fd, (struct sockaddr *)&here, sizeof here), 0);
    ck_assert_int_eq(listen(fd, 8), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&here, &size), 0);
    *ret_port = ntohs(here.sin_port);
    return fd;
}

/* Fails at once, and as fast the second time: no memory of failures makes a dial wait. */
START_TEST(test_refused_port)
{
    struct fixture f;
    uint32_t port;
    int64_t started;

    fixture_init(&f);
    close(listen_silently(&port));
    started = mob_now_ns();
    for (int i = 1; i <= 5; i++) {
        mob_rpc_dial(f.client.rpc, "127.0.0.1", port, PATIENCE_MS);
        until(f.loop, &f.client.losses, i);
        ck_text(&f.client.why, MOB_ERR_UNREACHABLE, "refused");
    }
    ck_assert_int_lt(mob_now_ns() - started, INT64_C(2000000000));
    fixture_fini(&f);
}
END_TEST

START_TEST(test_black_hole)
{
    struct fixture f;
    uint32_t port;
    int fd = listen_silently(&port);
    int64_t started = mob_now_ns();

    fixture_init(&f);
    mob_rpc_dial(f.client.rpc, "127.0.0.1", port, 300);
    until(f.loop, &f.client.losses, 1);
    ck_assert_int_eq(f.client.why.code, MOB_ERR_UNREACHABLE);
    ck_assert_int_ge(mob_now_ns() - started, INT64_C(200000000));
    ck_assert_int_lt(mob_now_ns() - started, INT64_C(5000000000));
    fixture_fini(&f);
    close(fd);
}
END_TEST

START_TEST(test_no_address)
{
    struct fixture f;
    struct mob_error err;
    uint32_t port;

    fixture_init(&f);
    mob_rpc_dial(f.client.rpc, "no-number", 1, PATIENCE_MS);
    until(f.loop, &f.client.losses, 1);
    ck_assert_int_eq(f.client.why.code, MOB_ERR_UNREACHABLE);
    ck_assert_int_eq(mob_rpc_listen(f.client.rpc, "no-number", 1, &port, &err), -1);
    ck_text(&err, MOB_ERR_INVALID, "no-number is not an IP address");
    ck_assert_int_eq(mob_rpc_listen(f.client.rpc, "192.0.2.77", 1, &port, &err), -1);
    ck_assert_int_eq(err.code, MOB_ERR_SYSTEM);
    fixture_fini(&f);
}
END_TEST

START_TEST(test_port_in_use)
{
    struct fixture f;
    struct mob_error err;
    uint32_t port, ours = 4711;
    int fd = listen_silently(&port);

    fixture_init(&f);
    ck_assert_int_eq(mob_rpc_listen(f.client.rpc, "127.0.0.1", port, &ours, &err), -1);
    ck_text(&err, MOB_ERR_SYSTEM, "is in use by test_rpc (pid ");
    ck_assert_int_eq(mob_rpc_listen(f.client.rpc, "127.0.0.1", f.port, &ours, &err), -1);
    ck_text(&err, MOB_ERR_SYSTEM, "is in use by test_rpc (pid ");
    ck_assert_uint_eq(ours, 4711);
    fixture_fini(&f);
    close(fd);
}
END_TEST

/* -- ends -------------------------------------------------------------------------------------------------------------- */

START_TEST(test_server_hangs_up)
{
    struct fixture f;
    struct mob_error why;

    fixture_init(&f);
    connect_both(&f);
    mob_error_set(&why, MOB_ERR_NODE_DIED, "node 3 was declared dead");
    for (int i = 0; i < 100; i++)
        mob_rpc_send(f.server.rpc, f.server.link, "last words", 10);
    mob_rpc_hang_up(f.server.rpc, f.server.link, &why);
    mob_rpc_send(f.server.rpc, f.server.link, "too late", 8);
    until(f.loop, &f.client.losses, 1);
    until(f.loop, &f.server.losses, 1);
    ck_assert_int_eq(f.client.receives, 100);
    ck_text(&f.client.why, MOB_ERR_NODE_DIED, "node 3 was declared dead");
    ck_text(&f.server.why, MOB_ERR_NODE_DIED, "node 3 was declared dead");
    fixture_fini(&f);
}
END_TEST

START_TEST(test_client_hangs_up)
{
    struct fixture f;

    fixture_init(&f);
    connect_both(&f);
    for (int i = 0; i < 100; i++)
        mob_rpc_send(f.client.rpc, f.client.link, "last words", 10);
    mob_rpc_hang_up(f.client.rpc, f.client.link, NULL);
    until(f.loop, &f.client.losses, 1);
    until(f.loop, &f.server.losses, 1);
    ck_assert_int_eq(f.server.receives, 100);
    ck_text(&f.server.why, MOB_ERR_UNREACHABLE, "hung up");
    ck_text(&f.client.why, MOB_ERR_CANCELLED, "hung up");
    fixture_fini(&f);
}
END_TEST

START_TEST(test_hang_up_while_dialing)
{
    struct fixture f;

    fixture_init(&f);
    mob_rpc_hang_up(f.client.rpc, mob_rpc_dial(f.client.rpc, "127.0.0.1", f.port, PATIENCE_MS), NULL);
    until(f.loop, &f.client.losses, 1);
    ck_assert_int_eq(f.client.ups, 0);
    fixture_fini(&f);
}
END_TEST

/* Destroyed with everything under way: nothing is told, nothing leaks (the sanitizer looks). */
START_TEST(test_destroy_in_full_flight)
{
    struct fixture f;

    fixture_init(&f);
    f.server.echoes = true;
    connect_both(&f);
    for (int i = 0; i < 1000; i++)
        mob_rpc_send(f.client.rpc, f.client.link, "flight", 6);
    mob_rpc_dial(f.client.rpc, "127.0.0.1", f.port, PATIENCE_MS);
    until(f.loop, &f.client.receives, 1);
    fixture_fini(&f);
    ck_assert_int_eq(f.client.losses + f.server.losses, 0);
}
END_TEST

/* -- peers that are killed, or no peers at all ----------------------------------------------------------------------------- */

static int peer_main(void)
{
    struct mob_loop *loop = mob_loop_create();
    struct end e;
    uint32_t port;

    end_init(&e, loop, TOKEN);
    e.echoes = true;
    if (mob_rpc_listen(e.rpc, "127.0.0.1", 0, &port, NULL) < 0)
        return 1;
    printf("%u\n", port);
    fflush(stdout);
    for (;;)
        mob_loop_run(loop);
}

static pid_t start_peer(uint32_t *ret_port)
{
    char *const argv[] = { "test_rpc", "--peer", NULL };
    posix_spawn_file_actions_t actions;
    char line[16] = "";
    int out[2];
    pid_t pid;

    ck_assert_int_eq(pipe(out), 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    posix_spawn_file_actions_addclose(&actions, out[0]);
    ck_assert_int_eq(posix_spawn(&pid, "/proc/self/exe", &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(out[1]);
    ck_assert_int_gt(read(out[0], line, sizeof line - 1), 0);
    close(out[0]);
    *ret_port = (uint32_t)atoi(line);
    return pid;
}

START_TEST(test_killed_peer)
{
    struct fixture f;
    uint32_t port;
    pid_t pid = start_peer(&port);
    int64_t killed;

    fixture_init(&f);
    mob_rpc_dial(f.client.rpc, "127.0.0.1", port, PATIENCE_MS);
    until(f.loop, &f.client.ups, 1);
    mob_rpc_send(f.client.rpc, f.client.link, "?", 1);
    until(f.loop, &f.client.receives, 1);
    killed = mob_now_ns();
    kill(pid, SIGKILL);
    until(f.loop, &f.client.losses, 1);
    ck_text(&f.client.why, MOB_ERR_UNREACHABLE, "broke");
    ck_assert_int_lt(mob_now_ns() - killed, INT64_C(2000000000));
    waitpid(pid, NULL, 0);
    fixture_fini(&f);
}
END_TEST

/* A frozen peer answers no ping: the link ends after some 10 s. A long test for a long wait. */
START_TEST(test_frozen_peer)
{
    struct fixture f;
    uint32_t port;
    pid_t pid = start_peer(&port);
    int64_t frozen;

    fixture_init(&f);
    mob_rpc_dial(f.client.rpc, "127.0.0.1", port, PATIENCE_MS);
    until(f.loop, &f.client.ups, 1);
    frozen = mob_now_ns();
    kill(pid, SIGSTOP);
    until(f.loop, &f.client.losses, 1);
    ck_assert_int_eq(f.client.why.code, MOB_ERR_UNREACHABLE);
    ck_assert_int_lt(mob_now_ns() - frozen, INT64_C(14000000000));
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    fixture_fini(&f);
}
END_TEST

static int connect_raw(uint32_t port)
{
    struct sockaddr_in there = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_eq(connect(fd, (struct sockaddr *)&there, sizeof there), 0);
    return fd;
}

START_TEST(test_strangers)
{
    static const char http[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    struct fixture f;
    char garbage[4096];
    int fds[4];

    fixture_init(&f);
    f.server.echoes = true;
    connect_both(&f);
    for (size_t i = 0; i < sizeof garbage; i++)
        garbage[i] = (char)(i * 31 + i / 7);
    for (size_t i = 0; i < MOB_COUNT(fds); i++)
        fds[i] = connect_raw(f.port);
    ck_assert_int_gt(write(fds[0], garbage, sizeof garbage), 0);
    ck_assert_int_gt(write(fds[1], http, sizeof http - 1), 0);
    ck_assert_int_gt(write(fds[2], "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff", 33), 0);
    for (int i = 1; i <= 50; i++) {
        mob_rpc_send(f.client.rpc, f.client.link, "still here", 10);
        until(f.loop, &f.client.receives, i);
    }
    ck_assert_int_eq(f.server.ups, 1);
    ck_assert_int_eq(f.server.losses + f.client.losses, 0);
    for (size_t i = 0; i < MOB_COUNT(fds); i++)
        close(fds[i]);
    fixture_fini(&f);
}
END_TEST

static bool have_ipv6(void)
{
    struct sockaddr_in6 here = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool have = fd >= 0 && bind(fd, (struct sockaddr *)&here, sizeof here) == 0;

    if (fd >= 0)
        close(fd);
    return have;
}

START_TEST(test_ipv6)
{
    struct fixture f;

    if (!have_ipv6())
        return;
    fixture_init_at(&f, "::1", TOKEN);
    f.server.echoes = true;
    mob_rpc_dial(f.client.rpc, "::1", f.port, PATIENCE_MS);
    until(f.loop, &f.client.ups, 1);
    mob_rpc_send(f.client.rpc, f.client.link, "six", 3);
    until(f.loop, &f.client.receives, 1);
    fixture_fini(&f);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("rpc");
    TCase *frames = tcase_create("frames"), *entry = tcase_create("entry"), *ends = tcase_create("ends");

    tcase_add_test(frames, test_echo);
    tcase_add_test(frames, test_order_of_many);
    tcase_add_test(frames, test_big_frame);
    tcase_add_test(frames, test_reader_that_does_not_read);
    tcase_add_test(frames, test_too_big_frame);
    tcase_add_loop_test(frames, test_too_big_for_the_receiver, 0, 2);
    tcase_add_loop_test(entry, test_wrong_token, 0, 4);
    tcase_add_test(entry, test_wrong_version);
    tcase_add_test(entry, test_wrong_version_of_server);
    tcase_add_test(entry, test_refused_port);
    tcase_add_test(entry, test_black_hole);
    tcase_add_test(entry, test_no_address);
    tcase_add_test(entry, test_port_in_use);
    tcase_add_test(entry, test_strangers);
    tcase_add_test(entry, test_ipv6);
    tcase_add_test(ends, test_server_hangs_up);
    tcase_add_test(ends, test_client_hangs_up);
    tcase_add_test(ends, test_hang_up_while_dialing);
    tcase_add_test(ends, test_destroy_in_full_flight);
    tcase_add_test(ends, test_killed_peer);
    tcase_add_test(ends, test_frozen_peer);
    suite_add_tcase(s, frames);
    suite_add_tcase(s, entry);
    suite_add_tcase(s, ends);
    return s;
}

int main(int argc, char **argv)
{
    SRunner *runner;
    int failed;

    if (argc > 1 && strcmp(argv[1], "--peer") == 0)
        return peer_main();
    runner = srunner_create(suite());
    alarm(100);                         /* without forks Check has no time-outs */
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
