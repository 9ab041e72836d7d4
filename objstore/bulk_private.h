/* SPDX-License-Identifier: Apache-2.0 */
/* bulk_private.h -- what the files of bulk transfer share.
 *
 *   bulk.c         the public calls, the thread, what crosses between it and the loop
 *   bulk_stream.c  one socket on the thread: readiness, patience, reading and writing a part
 *   bulk_serve.c   the connections that others made to us       bulk_fetch.c   those that we made
 *   bulk_wire.c    the frames
 */
#ifndef MOB_OBJSTORE_BULK_PRIVATE_H
#define MOB_OBJSTORE_BULK_PRIVATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "common/hash.h"
#include "common/loop.h"
#include "common/machine.h"
#include "objstore/bulk.h"
#include "objstore/bulk_wire.h"

#define BULK_SILENCE_MS 10000           /* a peer that should speak or listen and does not */
#define BULK_PIECE (1u << 20)           /* moved for one connection before the next has its turn */

struct mob_bulk {
    /* the loop's thread */
    struct mob_loop *owner;
    struct mob_bulk_callbacks callbacks;
    void *arg;
    pthread_t thread;
    bool over;                          /* nobody is called back any more */
    /* the bulk thread */
    struct mob_loop *loop;
    struct mob_link servings, callers, waiting;
    struct bulk_listener *listener;
    bool stopping;
    /* never changed */
    char *token;
    int64_t silence_ms;                 /* BULK_SILENCE_MS; tests set less before the first call */
    /* both */
    _Atomic unsigned posts;             /* on their way to the loop's thread: the last one frees a bulk that is over */
};

/* One get, from its call to its done(). */
struct bulk_fetch {
    struct mob_posted posted;
    struct mob_bulk *bulk;
    struct mob_link link;               /* in bulk->waiting */
    char ip[64];
    uint32_t port;
    struct bulk_ask ask;
    void *memory;                       /* of an object */
    int fd;                             /* of a file */
    bool tried;                         /* a kept connection broke before its answer: once more on a new one */
    bool failed;
    struct mob_error err;
    void (*done)(void *arg, const struct mob_error *err);
    void *arg;
};

/* What a peer asked for, on its way to the loop's thread and back. */
struct bulk_lookup {
    struct mob_posted posted;
    struct mob_bulk *bulk;
    struct bulk_serving *serving;
    struct bulk_ask ask;
    bool found;
    const void *data;
    uint64_t size;
    int fd;
    struct mob_error err;
};

/* -- bulk.c: from the bulk thread to the loop's ---------------------------------------------------------------------------- */

void bulk_post_lookup(struct bulk_lookup *l);                   /* comes back to bulk_serving_found() */
void bulk_post_served(struct mob_bulk *b, const struct mob_object_id *id);
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
/* Move at most BULK_PIECE bytes. */
enum bulk_io bulk_read(struct bulk_stream *s, struct bulk_part *part);
enum bulk_io bulk_write(struct bulk_stream *s, struct bulk_part *part, bool more_follows);
enum bulk_io bulk_send_file(struct bulk_stream *s, int file, uint64_t size, uint64_t *sent);
int bulk_socket_connect(const char *ip, uint32_t port, struct mob_error *err);
int bulk_socket_listen(const char *ip, uint32_t port, uint32_t *ret_port, struct mob_error *err);
void bulk_socket_tune(int fd);

/* -- bulk_serve.c, bulk_fetch.c -------------------------------------------------------------------------------------------- */

struct bulk_listener *bulk_listener_create(struct mob_bulk *b, int fd);         /* takes over fd */
void bulk_listener_close(struct bulk_listener *l);
void bulk_serving_found(struct bulk_lookup *l);
void bulk_servings_close(struct mob_bulk *b);

void bulk_fetch_start(struct bulk_fetch *f);
void bulk_fetches_close(struct mob_bulk *b);

#endif
