/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h -- what the files of rpc/ share; tests may look, nobody else.
 *
 *   rpc.c      a process's links: the completion-queue thread, the public calls
 *   link.c     one link: its state machine
 *   batch.c    the gRPC operations of one link, each a batch under way with a tag of its own
 *   client.c   dialing          server.c   listening and accepting
 *   words.c    what is said in metadata and status: token, protocol version, errors
 *   options.c  the channel arguments
 */
#ifndef MOB_RPC_INTERNAL_H
#define MOB_RPC_INTERNAL_H

#include <grpc/grpc.h>
#include <grpc/support/alloc.h>
#include <pthread.h>
#include <stdbool.h>

#include "common/machine.h"
#include "common/map.h"
#include "common/wire.h"
#include "rpc/rpc.h"

#define RPC_TAG_MAGIC 0x52544147u
#define RPC_METHOD "/mobula.Link/Open"
#define RPC_TOKEN_KEY "mobula-token"
#define RPC_PROTOCOL_KEY "mobula-protocol"
#define RPC_CODE_KEY "mobula-code"

struct channel_options;

/* A batch that gRPC works on. Its owner lives until back() has run, on the loop thread. */
struct rpc_tag {
    uint32_t magic;
    bool busy;                          /* with gRPC, or on its way back */
    bool ok;                            /* set by whoever brings it back */
    void (*back)(struct rpc_tag *tag);
    struct mob_link link;               /* in rpc->returned */
};

/* What is posted to the loop when tags came back. On its own because a post cannot be called back: it may outlive the mob_rpc. */
struct rpc_waker {
    struct mob_posted posted;
    struct mob_rpc *rpc;                /* NULL: the rpc is gone, the waker frees itself */
};

struct mob_rpc {
    /* loop thread only */
    struct mob_loop *loop;
    struct mob_rpc_callbacks callbacks;
    void *arg;
    char *token;
    uint32_t protocol;                  /* MOB_PROTOCOL; tests set another */
    struct mob_map links;               /* by number: those the user knows */
    struct mob_link all;                /* every link, until its last tag came */
    uint64_t last_link;
    struct rpc_server *server;          /* NULL: does not listen */
    struct channel_options *client_options;
    grpc_channel_credentials *credentials;
    bool ending;                        /* tell nobody anything any more */
    size_t under_way;                   /* tags with gRPC */
    /* the completion-queue thread's */
    grpc_completion_queue *queue;
    pthread_t thread;
    /* both threads, under `lock` */
    pthread_mutex_t lock;
    pthread_cond_t came;
    struct mob_link returned;
    struct rpc_waker *waker;
    bool waker_posted;
};

struct rpc_frame {
    struct mob_link link;
    grpc_byte_buffer *bytes;
    size_t size;
};

struct rpc_link {
    struct mob_machine machine;
    struct mob_rpc *rpc;
    struct mob_link link;               /* in rpc->all */
    uint64_t number;
    bool accepted;                      /* they called us */
    bool known;                         /* the user has its number: lost() must follow */
    char peer[64];
    grpc_channel *channel;              /* ours, if we dialed */
    grpc_call *call;
    uv_timer_t timer;                   /* patience in OPENING and CLOSING */

    struct rpc_tag opening, receiving, sending, ending;
    /* facts, as the tags bring them */
    bool opened, refused;               /* initial metadata is through; accepted and not good enough */
    bool receive_over;                  /* no more frames from there */
    bool send_broken, said_end;         /* a write failed; half-close or status is on its way */
    bool ended;                         /* gRPC's last word on this call */
    bool hang_up_asked;
    bool cut;                           /* end it now: nobody waits for the peer */
    bool has_why;
    struct mob_error why;               /* for lost() */

    struct mob_link frames;             /* to be written */
    size_t queued;                      /* their bytes, and those of the write under way */
    size_t writing;
    /* room for what gRPC fills or reads while a batch is under way */
    grpc_metadata_array initial, trailing;
    grpc_metadata said[2], said_code;
    size_t said_count;                  /* of `said`; said_code and said_details are there if said_end */
    grpc_slice said_details;
    grpc_byte_buffer *received, *written;
    grpc_status_code status;
    grpc_slice details;
    int cancelled;
};

/* rpc.c */
void rpc_tag_init(struct rpc_tag *tag, void (*back)(struct rpc_tag *tag));
/* Count and mark a tag that is handed to gRPC next. */
void rpc_tag_start(struct mob_rpc *r, struct rpc_tag *tag);
/* Start operations; their completion comes back through `tag`, never before this returns. */
void rpc_start(struct mob_rpc *r, grpc_call *call, const grpc_op *ops, size_t count, struct rpc_tag *tag);

/* link.c: takes over call and channel (NULL if accepted). `refuse`: NULL, or why an accepted call is not wanted. */
struct rpc_link *rpc_link_create(struct mob_rpc *r, grpc_call *call, grpc_channel *channel, int64_t timeout_ms,
                                 const struct mob_error *refuse);
void rpc_link_frame(struct rpc_link *l, const void *frame, size_t size);
void rpc_link_hang_up(struct rpc_link *l, const struct mob_error *why);
/* The process ends its part: no word to anyone, only the tags must come back. */
void rpc_link_abandon(struct rpc_link *l);

/* batch.c: each starts one batch; the tag named like it comes back. */
void rpc_batches_init(struct rpc_link *l);
void rpc_batches_fini(struct rpc_link *l);
void rpc_batch_open(struct rpc_link *l);        /* opening, and ending: gRPC's last word */
void rpc_batch_receive(struct rpc_link *l);     /* receiving: l->received */
void rpc_batch_send(struct rpc_link *l);        /* sending: the oldest of l->frames */
void rpc_batch_end(struct rpc_link *l);         /* sending: half-close, or the status that tells l->why */

/* client.c, server.c */
struct rpc_link *rpc_client_dial(struct mob_rpc *r, const char *ip, uint32_t port, int64_t timeout_ms);
void rpc_server_shut_down(struct rpc_server *s);        /* its tags come back soon */
void rpc_server_destroy(struct rpc_server *s);          /* after they came; NULL is fine */

/* words.c */
bool rpc_metadata_get(const grpc_metadata_array *m, const char *key, char *ret_value, size_t size);
size_t rpc_say_who(struct mob_rpc *r, bool with_token, grpc_metadata said[2]);
int rpc_check_caller(struct mob_rpc *r, const grpc_metadata_array *m, struct mob_error *err);
int rpc_check_callee(struct mob_rpc *r, const char *peer, const grpc_metadata_array *m, struct mob_error *err);
grpc_status_code rpc_status_of(int code);
void rpc_error_of_status(const struct rpc_link *l, struct mob_error *ret);
void rpc_peer_name(const char *uri, char *ret, size_t size);

/* options.c */
struct channel_options *rpc_options_create(void);
void rpc_options_destroy(struct channel_options *o);
/* The arguments, with the time a connection may take to come up (0: a server's). Valid until the next call. */
const grpc_channel_args *rpc_options_args(struct channel_options *o, int64_t connect_ms);

#endif
