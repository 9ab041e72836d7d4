/* SPDX-License-Identifier: Apache-2.0 */
/* bad_link.c IP PORT TOKEN [PROTOCOL] -- dial a daemon as one of another version, or with another token; print why the link ended.
 * Exit status: the error's code; 0 if it stands after all.
 *
 * bad_link.c -l IP PORT TOKEN PROTOCOL FILE -- be a head of another version, until killed; makes FILE when it listens. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/wire.h"
#include "rpc/internal.h"

struct caller {
    struct mob_loop *loop;
    int status;
};

static void on_up(void *arg, uint64_t link, const char *peer, int accepted)
{
    struct caller *c = arg;

    (void)link, (void)accepted;
    printf("%s took the link\n", peer);
    c->status = 0;
    mob_loop_stop(c->loop);
}

static void on_receive(void *arg, uint64_t link, const void *frame, size_t size)
{
    (void)arg, (void)link, (void)frame, (void)size;
}

static void on_lost(void *arg, uint64_t link, const struct mob_error *why)
{
    struct caller *c = arg;

    (void)link;
    printf("%s\n", why->text);
    c->status = why->code;
    mob_loop_stop(c->loop);
}

static void ignore_up(void *arg, uint64_t link, const char *peer, int accepted)
{
    (void)arg, (void)link, (void)peer, (void)accepted;
}

static void ignore_lost(void *arg, uint64_t link, const struct mob_error *why)
{
    (void)arg, (void)link, (void)why;
}

static int listen_as_other(char **argv)
{
    struct mob_rpc_callbacks callbacks = { ignore_up, on_receive, ignore_lost };
    struct mob_loop *loop = mob_loop_create();
    struct mob_rpc *rpc = mob_rpc_create(loop, argv[4], &callbacks, NULL);
    struct mob_error err;
    uint32_t port;
    FILE *ready;

    rpc->protocol = (uint32_t)atoi(argv[5]);
    if (mob_rpc_listen(rpc, argv[2], (uint32_t)atoi(argv[3]), &port, &err) < 0) {
        fprintf(stderr, "bad_link: %s\n", err.text);
        return 1;
    }
    if ((ready = fopen(argv[6], "we")) != NULL)
        fclose(ready);
    mob_loop_run(loop);
    return 0;
}

int main(int argc, char **argv)
{
    struct mob_rpc_callbacks callbacks = { on_up, on_receive, on_lost };
    struct caller c = { .loop = mob_loop_create() };

    if (argc == 7 && strcmp(argv[1], "-l") == 0)
        return listen_as_other(argv);
    if (argc < 4)
        return 2;
    struct mob_rpc *rpc = mob_rpc_create(c.loop, argv[3], &callbacks, &c);
    if (argc > 4)
        rpc->protocol = (uint32_t)atoi(argv[4]);
    mob_rpc_dial(rpc, argv[1], (uint32_t)atoi(argv[2]), 5000);
    mob_loop_run(c.loop);
    mob_rpc_destroy(rpc);
    mob_loop_destroy(c.loop);
    return c.status;
}
