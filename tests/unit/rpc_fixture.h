/* SPDX-License-Identifier: Apache-2.0 */
/* rpc_fixture.h -- two ends of links over loopback, in one loop, that note what they are told. For suites that run without forks of Check
 * (CK_FORK=no): gRPC's threads do not survive one. */
#ifndef MOB_TESTS_RPC_FIXTURE_H
#define MOB_TESTS_RPC_FIXTURE_H

#include <check.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rpc/internal.h"

#define TOKEN "0123456789abcdef"
#define PATIENCE_MS 20000

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

static inline void on_up(void *arg, uint64_t link, const char *peer, int accepted)
{
    struct end *e = arg;

    e->accepted = accepted;
    mob_copy(e->peer, sizeof e->peer, peer);
    e->link = link;
    e->ups++;
    mob_loop_stop(e->loop);
}

static inline void on_receive(void *arg, uint64_t link, const void *frame, size_t size)
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

static inline void on_lost(void *arg, uint64_t link, const struct mob_error *why)
{
    struct end *e = arg;

    (void)link;
    e->losses++;
    e->why = *why;
    mob_loop_stop(e->loop);
}

static const struct mob_rpc_callbacks callbacks = { on_up, on_receive, on_lost };

static inline void end_init(struct end *e, struct mob_loop *loop, const char *token)
{
    *e = (struct end){ .loop = loop };
    e->rpc = mob_rpc_create(loop, token, &callbacks, e);
}

static inline void fixture_init_at(struct fixture *f, const char *ip, const char *token)
{
    struct mob_error err;

    f->loop = mob_loop_create();
    end_init(&f->server, f->loop, TOKEN);
    end_init(&f->client, f->loop, token);
    ck_assert_msg(mob_rpc_listen(f->server.rpc, ip, 0, &f->port, &err) == 0, "%s", err.text);
    ck_assert_uint_gt(f->port, 0);
}

static inline void fixture_init(struct fixture *f)
{
    fixture_init_at(f, "127.0.0.1", TOKEN);
}

static inline void fixture_fini(struct fixture *f)
{
    mob_rpc_destroy(f->client.rpc);
    mob_rpc_destroy(f->server.rpc);
    mob_loop_destroy(f->loop);
}

/* Turn the loop until *counter reaches n; the test's time-out ends a wait in vain. */
static inline void until(struct mob_loop *loop, const int *counter, int n)
{
    while (*counter < n)
        mob_loop_run(loop);
}

static inline void connect_both(struct fixture *f)
{
    mob_rpc_dial(f->client.rpc, "127.0.0.1", f->port, PATIENCE_MS);
    until(f->loop, &f->client.ups, 1);
    until(f->loop, &f->server.ups, 1);
}

static inline void ck_text(const struct mob_error *err, int code, const char *part)
{
    ck_assert_msg(err->code == code && strstr(err->text, part) != NULL, "code %d: %s", err->code, err->text);
}

static inline int fixture_run(Suite *s)
{
    SRunner *runner = srunner_create(s);
    int failed;

    alarm(100);                         /* without forks Check has no time-outs */
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}

#endif
