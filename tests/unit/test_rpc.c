/* SPDX-License-Identifier: Apache-2.0 */
/* test_rpc.c -- links over loopback: order, limits, and every way to end. A peer that must be killed is this same executable, started with
 * --peer. Who is let in: test_rpc_entry.c. */
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>

#include "rpc_fixture.h"

extern char **environ;

#define MANY 10000

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

/* What was queued before it still arrives; the link ends at both. */
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

/* -- peers that are killed ------------------------------------------------------------------------------------------------- */

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

static Suite *suite(void)
{
    Suite *s = suite_create("rpc");
    TCase *frames = tcase_create("frames"), *ends = tcase_create("ends");

    tcase_add_test(frames, test_echo);
    tcase_add_test(frames, test_order_of_many);
    tcase_add_test(frames, test_big_frame);
    tcase_add_test(frames, test_reader_that_does_not_read);
    tcase_add_test(frames, test_too_big_frame);
    tcase_add_loop_test(frames, test_too_big_for_the_receiver, 0, 2);
    tcase_add_test(ends, test_server_hangs_up);
    tcase_add_test(ends, test_client_hangs_up);
    tcase_add_test(ends, test_hang_up_while_dialing);
    tcase_add_test(ends, test_destroy_in_full_flight);
    tcase_add_test(ends, test_killed_peer);
    tcase_add_test(ends, test_frozen_peer);
    suite_add_tcase(s, frames);
    suite_add_tcase(s, ends);
    return s;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--peer") == 0)
        return peer_main();
    return fixture_run(suite());
}
