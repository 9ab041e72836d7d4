/* SPDX-License-Identifier: Apache-2.0 */
/* test_rpc_entry.c -- who is let in to a server, and what a caller hears who finds no server there. */
#include <arpa/inet.h>
#include <sys/socket.h>

#include "listen.h"
#include "rpc_fixture.h"

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

/* Fails at once, and as fast the second time: no memory of failures makes a dial wait. */
START_TEST(test_refused_port)
{
    struct fixture f;
    uint32_t port;
    int64_t started;

    fixture_init(&f);
    close(unit_listen(&port));
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
    int fd = unit_listen(&port);
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
    int fd = unit_listen(&port);

    fixture_init(&f);
    ck_assert_int_eq(mob_rpc_listen(f.client.rpc, "127.0.0.1", port, &ours, &err), -1);
    ck_text(&err, MOB_ERR_SYSTEM, "is in use by test_rpc_entry (pid ");
    ck_assert_int_eq(mob_rpc_listen(f.client.rpc, "127.0.0.1", f.port, &ours, &err), -1);
    ck_text(&err, MOB_ERR_SYSTEM, "is in use by test_rpc_entry (pid ");
    ck_assert_uint_eq(ours, 4711);
    fixture_fini(&f);
    close(fd);
}
END_TEST

/* -- strangers --------------------------------------------------------------------------------------------------------------- */

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

int main(void)
{
    Suite *s = suite_create("rpc_entry");
    TCase *entry = tcase_create("entry");

    tcase_add_loop_test(entry, test_wrong_token, 0, 4);
    tcase_add_test(entry, test_wrong_version);
    tcase_add_test(entry, test_wrong_version_of_server);
    tcase_add_test(entry, test_refused_port);
    tcase_add_test(entry, test_black_hole);
    tcase_add_test(entry, test_no_address);
    tcase_add_test(entry, test_port_in_use);
    tcase_add_test(entry, test_strangers);
    tcase_add_test(entry, test_ipv6);
    suite_add_tcase(s, entry);
    return fixture_run(s);
}
