/* SPDX-License-Identifier: Apache-2.0 */
/* bulk_private.h -- what the files of bulk transfer share.
 *
 *   bulk.c           the public calls, the thread, what crosses between it and the loop
 *   bulk_stream.c    one socket on the thread: readiness, patience, reading and writing a part
 *   bulk_listen.c    who may connect, and when     bulk_serve.c  the connections that others made to us
 *   bulk_fetch.c     those that we made            bulk_peer.c   who waits for one of them
 *   bulk_incoming.c  what has come of an object, for those to whom it is given on
 *   bulk_wire.c      the frames                    bulk_sum.c    the hash of a chunk
 */
#ifndef MOB_OBJSTORE_BULK_PRIVATE_H
#define MOB_OBJSTORE_BULK_PRIVATE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "common/loop.h"
#include "common/machine.h"
#include "objstore/bulk.h"
#include "objstore/bulk_wire.h"

#define BULK_SILENCE_MS 10000           /* a peer that should speak or listen and does not */
#define BULK_PIECE (1u << 20)           /* moved for one connection before the next has its turn */
#define BULK_SERVINGS_MAX 512           /* connections from others */

struct mob_bulk {
    /* the loop's thread */
    struct mob_loop *owner;
    struct mob_bulk_callbacks callbacks;
    void *arg;
    pthread_t thread;
    bool over;                          /* nobody is called back any more */
    struct mob_link lookups;            /* that serve() has and has not answered */
    struct mob_link incomings;          /* that have not ended */
    /* the bulk thread */
    struct mob_loop *loop;
    struct mob_link servings, peers;
    struct bulk_listener *listener;
    bool stopping;
    /* never changed */
    char *token;
    int64_t silence_ms;                 /* BULK_SILENCE_MS; tests set less before the first call */
    unsigned servings_max;              /* BULK_SERVINGS_MAX; the same */
    /* both */
    _Atomic uint32_t node;
    _Atomic unsigned posts;             /* on their way to the loop's thread: the last one frees a bulk that is over */
};

/* One get, from its call to its done(). */
struct bulk_fetch {
    struct mob_posted posted;
    struct mob_bulk *bulk;
    struct mob_link link;               /* in peer->waiting */
    char ip[64];
    uint32_t port;
    struct bulk_ask ask;
    struct mob_bulk_incoming *in;       /* of an object */
    uint64_t at;                        /* its bytes before that are here, and good */
    bool referred;
    int fd;                             /* of a file */
    bool tried;                         /* a kept connection broke before its answer: once more on a new one */
    unsigned patience;                  /* how often the peer asked for it */
    bool failed, final;
    uint32_t refer, position;           /* as the peer answered */
    struct mob_error err;
    void (*done)(void *arg, const struct mob_range_result *result);
    void (*file_done)(void *arg, const struct mob_error *err);
    void *arg;
};

/* What a peer asked for, on its way to the loop's thread and back. */
struct mob_bulk_lookup {
    struct mob_posted posted;
    struct mob_bulk *bulk;
    struct bulk_serving *serving;
    struct mob_link link;               /* in bulk->lookups */
    uint32_t asker;
    struct bulk_ask ask;
    bool missing;
    struct mob_bulk_found found;
    int fd;
    struct mob_error err;
};

/* -- bulk.c: from the bulk thread to the loop's ---------------------------------------------------------------------------- */

void bulk_post_lookup(struct mob_bulk_lookup *l);               /* comes back to bulk_serving_found() */
void bulk_post_served(struct mob_bulk *b, uint64_t ticket);
void bulk_post_done(struct bulk_fetch *f);                      /* frees it */

/* -- bulk_stream.c --------------------------------------------------------------------------------------------------------- */

struct bulk_stream {
    uv_poll_t poll;
    uv_timer_t patience;
    int fd;
    unsigned open_handles;
    int events;                         /* polled for */
    bool silent;                        /* fact: patience ran out */
    struct mob_machine *machine;        /* run when something is ready or patience is out */
    void (*closed)(struct bulk_stream *s);      /* after bulk_stream_close(): free what it stands in */
};

struct bulk_part {                      /* what is being read or written */
    char *at;
    uint64_t left;
};

enum bulk_io { BULK_DONE, BULK_LATER, BULK_ENDED };     /* ENDED: errno says why, 0: the peer closed */

/* Takes over fd, which does not block. */
void bulk_stream_init(struct bulk_stream *s, struct mob_loop *loop, int fd, struct mob_machine *machine,
                      void (*closed)(struct bulk_stream *s));
/* Wait for UV_READABLE, UV_WRITABLE or nothing (0), at most so long (0: for ever). */
enum mob_next bulk_stream_wait(struct bulk_stream *s, int events, int64_t patience_ms);
void bulk_stream_close(struct bulk_stream *s);
/* Move at most BULK_PIECE bytes; bulk_read_some: at most `most`. */
enum bulk_io bulk_read(struct bulk_stream *s, struct bulk_part *part);
enum bulk_io bulk_read_some(struct bulk_stream *s, struct bulk_part *part, size_t most);
enum bulk_io bulk_write(struct bulk_stream *s, struct bulk_part *part, bool more_follows);
enum bulk_io bulk_send_file(struct bulk_stream *s, int file, uint64_t size, uint64_t *sent);
int bulk_socket_connect(const char *ip, uint32_t port, struct mob_error *err);
int bulk_socket_listen(const char *ip, uint32_t port, uint32_t *ret_port, struct mob_error *err);
void bulk_socket_tune(int fd);

/* -- bulk_incoming.c --------------------------------------------------------------------------------------------------------- */

struct mob_bulk_incoming {
    struct mob_posted posted;
    struct mob_bulk *bulk;
    struct mob_link link;               /* in bulk->incomings */
    /* the bulk thread */
    char *memory;
    uint64_t size;
    int file;                           /* that is mapped there, or -1 ... */
    uint64_t file_at;                   /* ... from here on */
    uint64_t *hashes;                   /* of its chunks */
    bool *here;
    bool ended;                         /* nothing more comes */
    unsigned users;                     /* servings that give it on: the last one frees it after its end */
    struct mob_link waiting;            /* servings whose next chunk is not here */
};

/* A chunk is here, and good: servings that wait for it go on. */
void bulk_incoming_arrived(struct mob_bulk_incoming *in, uint64_t at, uint64_t hash);
bool bulk_incoming_has(const struct mob_bulk_incoming *in, uint64_t at);
/* Are its pages from `at` on new, so that writing them to the file costs half of reading into the mapping? */
bool bulk_incoming_is_new(const struct mob_bulk_incoming *in, uint64_t at, uint64_t size);
void bulk_incoming_ref(struct mob_bulk_incoming *in);
void bulk_incoming_unref(struct mob_bulk_incoming *in);
void bulk_incoming_ended(struct mob_bulk_incoming *in);
void bulk_incoming_free(struct mob_bulk_incoming *in);

/* -- bulk_listen.c, bulk_serve.c ------------------------------------------------------------------------------------------- */

struct bulk_listener *bulk_listener_create(struct mob_bulk *b, int fd);         /* takes over fd */
void bulk_listener_close(struct bulk_listener *l);
/* A serving ended: there is room for another. */
void bulk_listener_room(struct bulk_listener *l);

struct bulk_serving {
    struct mob_machine machine;
    struct bulk_stream stream;
    struct mob_bulk *bulk;
    struct mob_link link;               /* in bulk->servings: the one that was idle longest first */
    struct bulk_hello hello;
    struct bulk_ask ask;
    struct {
        struct bulk_answer answer;
        char text[BULK_TEXT_MAX];
    } out;
    struct bulk_part part;              /* what is read or written now */
    struct mob_bulk_lookup *lookup;     /* with the loop's thread, or back from it */
    bool looked;                        /* fact: it came back */
    bool holds;                         /* data is the store's, until served() */
    uint64_t ticket;
    const char *data;
    struct mob_bulk_incoming *in;       /* or NULL: all of it is there */
    struct mob_link holding;            /* in in->waiting */
    uint64_t at;                        /* the chunk that is next */
    uint32_t position;                  /* to tell with it */
    int file;                           /* or -1 */
    uint64_t size, sent;                /* of the file */
};

void bulk_serving_create(struct mob_bulk *b, int fd);
void bulk_serving_found(struct mob_bulk_lookup *l);
/* End one that nobody would miss: a stranger that has not said its hello (when there are many), else the longest idle one. False: none. */
bool bulk_serving_drop_stranger(struct mob_bulk *b);
bool bulk_serving_drop_idle(struct mob_bulk *b);
void bulk_servings_close(struct mob_bulk *b);

/* -- bulk_peer.c, bulk_fetch.c ------------------------------------------------------------------------------------------------- */

/* An address that we have connections to, or gets that wait for one. */
struct bulk_peer {
    struct mob_bulk *bulk;
    struct mob_link link;               /* in bulk->peers */
    char ip[64];
    uint32_t port;
    struct mob_link callers, waiting;
    unsigned count;                     /* of callers */
    bool pumping;
};

void bulk_fetch_start(struct bulk_fetch *f);
/* It is over: `why` NULL: well. Posts its done(). */
void bulk_fetch_over(struct bulk_fetch *f, const struct mob_error *why);
/* Give those that wait to connections, idle or new. May free the peer. */
void bulk_peer_pump(struct bulk_peer *p);
/* Fail all that wait. */
void bulk_peer_fail(struct bulk_peer *p, const struct mob_error *why);
/* Of an address, or of all (ip NULL): everything fails. */
void bulk_peers_end(struct mob_bulk *b, const char *ip, uint32_t port, const struct mob_error *why);

/* A connection for `f`. -1: it cannot even start. */
int bulk_caller_create(struct bulk_peer *p, struct bulk_fetch *f, struct mob_error *err);
/* An idle one takes the first that waits. False: none is idle. */
bool bulk_caller_take(struct bulk_peer *p);
/* End all connections of the peer, and what is under way on them. */
void bulk_callers_end(struct bulk_peer *p, const struct mob_error *why);

#endif
