/* SPDX-License-Identifier: Apache-2.0 */
/* shell.h -- the head's process around its core: the loop, the links, the event record. For head/ alone. */
#ifndef MOB_HEAD_SHELL_H
#define MOB_HEAD_SHELL_H

#include "common/loop.h"
#include "common/map.h"
#include "common/paths.h"
#include "common/record.h"
#include "common/world.h"
#include "head/events.h"
#include "head/head.h"
#include "head/state_file.h"
#include "rpc/rpc.h"

struct shell_options {
    const char *ip, *token_file;
    const char *state;                  /* file; NULL: this head keeps nothing */
    uint32_t port;                      /* 0: any free one */
    int ready_fd, private_fd;           /* -1: none */
    bool in_front;                      /* private_fd is that of no driver */
};

struct shell {
    struct shell_options options;
    struct mob_daemon_record record;
    char session[MOB_PATH_SIZE];        /* "": not entered yet */
    int session_lock;
    struct mob_loop *loop;
    struct mob_rpc *rpc;
    struct mob_events *events;
    struct state_file *state;           /* NULL: none */
    struct mob_world world;
    struct mob_map dialing;             /* links of ours that are not up: their loss is a refusal */
    bool stopping;                      /* by question: ends when the answer's link does */
    struct mob_head *head;
    bool served;                        /* it came up; so what ends now is the cluster */
    struct mob_ticker *ticker, *looker;
};

/* world.c: what the core is given, and what it is told. */
void shell_world_init(struct shell *s);
extern const struct mob_rpc_callbacks shell_links;
void shell_head_config(struct shell *s, struct mob_head_config *ret);
void shell_reply(void *arg, uint64_t link, uint64_t query, struct mob_address to, const char *text, size_t size, bool last,
                 const struct mob_error *err);
size_t shell_queued(void *arg, uint64_t link);

#endif
