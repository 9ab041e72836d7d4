/* SPDX-License-Identifier: Apache-2.0 */
/* bulk_fetch.c -- the connections that we made: each serves one get after the other.
 *
 *   ASKING --> LISTENING --> READING --> IDLE        any --> OVER
 *      ^           '-----> EXCUSED ------^ |
 *      '-----------------------------------'
 *
 *   ASKING     waits until the connection stands and takes hello and ask
 *   LISTENING  waits for the answer
 *   READING    reads the bytes, straight into the arena, or piece by piece into a file
 *   EXCUSED    reads the sentence that says why there are none
 *   IDLE       waits for the next get to the same address; goes after 10 s, or when the peer says anything at all
 *   OVER       is closed and freed; its get has failed, or goes on with a new connection
 *
 * At most CALLERS_MAX connections go to one address; further gets wait for one of them, in order. A kept connection may be closed by
 * its peer just when we use it again: if it breaks before the answer, the get tries once more on a new one.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "objstore/bulk_private.h"

#define CALLERS_MAX 4
#define CONNECT_MS 3000

struct bulk_caller {
    struct mob_machine machine;
    struct bulk_stream stream;
    struct mob_bulk *bulk;
    struct mob_link link;               /* in bulk->callers */
    char ip[64];
    uint32_t port;
    struct bulk_fetch *fetch;           /* NULL: idle */
    bool fresh;                         /* no answer came yet: hello goes first, and connecting is under way */
    struct {
        struct bulk_hello hello;
        struct bulk_ask ask;
    } out;
    struct bulk_answer answer;
    char text[BULK_TEXT_MAX + 1];
    struct bulk_part part;
    char *buffer;                       /* of a file: BULK_PIECE bytes */
    uint64_t file_left;
    struct mob_hasher *hasher;
};

enum { ASKING, LISTENING, READING, EXCUSED, IDLE, OVER };
static enum mob_next caller_asking(struct mob_machine *m);
static enum mob_next caller_listening(struct mob_machine *m);
static enum mob_next caller_reading(struct mob_machine *m);
static enum mob_next caller_excused(struct mob_machine *m);
static enum mob_next caller_idle(struct mob_machine *m);

static const struct mob_state caller_states[] = {
    [ASKING]    = { "asking",    caller_asking,    MOB_TO(LISTENING) | MOB_TO(OVER) },
    [LISTENING] = { "listening", caller_listening, MOB_TO(READING) | MOB_TO(EXCUSED) | MOB_TO(OVER) },
    [READING]   = { "reading",   caller_reading,   MOB_TO(IDLE) | MOB_TO(OVER) },
    [EXCUSED]   = { "excused",   caller_excused,   MOB_TO(IDLE) | MOB_TO(OVER) },
    [IDLE]      = { "idle",      caller_idle,      MOB_TO(ASKING) | MOB_TO(OVER) },
    [OVER]      = { "over",      NULL,             0 },
};

static bool caller_holds(const struct mob_machine *m)
{
    const struct bulk_caller *c = MOB_CONTAINER(m, const struct bulk_caller, machine);

    return (c->fetch != NULL) == (m->now < IDLE);
}

/* -- life -------------------------------------------------------------------------------------------------------------- */

static void fail(struct bulk_fetch *f, const struct mob_error *why)
{
    f->failed = true;
    mob_error_set(&f->err, why->code, "%s from %s port %u: %s", f->ask.kind == BULK_OBJECT ? "an object" : "an executable", f->ip,
                  f->port, why->text);
    bulk_post_done(f);
}

static bool goes_to(const struct bulk_caller *c, const struct bulk_fetch *f)
{
    return c->port == f->port && strcmp(c->ip, f->ip) == 0;
}

/* The oldest waiting get for the address of `c`, taken off the list; NULL: none. */
static struct bulk_fetch *next_waiting(struct bulk_caller *c)
{
    struct bulk_fetch *f;

    mob_list_each(f, &c->bulk->waiting, struct bulk_fetch, link) {
        if (goes_to(c, f)) {
            mob_list_remove(&f->link);
            return f;
        }
    }
    return NULL;
}

static void assign(struct bulk_caller *c, struct bulk_fetch *f)
{
    size_t skip = c->fresh ? 0 : sizeof c->out.hello;

    c->fetch = f;
    c->out.ask = f->ask;
    c->part = (struct bulk_part){ (char *)&c->out + skip, sizeof c->out - skip };
}

static void on_closed(struct bulk_stream *stream)
{
    free(MOB_CONTAINER(stream, struct bulk_caller, stream));
}

static void drop_file(struct bulk_caller *c)
{
    if (c->hasher != NULL)
        mob_hasher_finish(c->hasher);
    c->hasher = NULL;
    free(c->buffer);
    c->buffer = NULL;
}

static enum mob_next end(struct bulk_caller *c, const struct mob_error *why)
{
    struct bulk_fetch *f = c->fetch, *next = next_waiting(c);
    bool again = f != NULL && !c->fresh && !f->tried && !c->stream.silent && c->machine.now <= LISTENING && !c->bulk->stopping;

    c->fetch = NULL;
    drop_file(c);
    mob_list_remove(&c->link);
    mob_machine_goto(&c->machine, OVER);
    bulk_stream_close(&c->stream);
    if (again) {
        f->tried = true;
        bulk_fetch_start(f);
    } else if (f != NULL) {
        fail(f, why);
    }
    if (next != NULL)
        bulk_fetch_start(next);
    return MOB_WAIT;
}

static enum mob_next finish(struct bulk_caller *c, const struct mob_error *why)
{
    struct bulk_fetch *f = c->fetch;

    c->fetch = NULL;
    drop_file(c);
    if (why != NULL)
        fail(f, why);
    else
        bulk_post_done(f);
    return mob_machine_goto(&c->machine, IDLE);
}

static int caller_create(struct mob_bulk *b, struct bulk_fetch *f, struct mob_error *err)
{
    int fd = bulk_socket_connect(f->ip, f->port, err);
    struct bulk_caller *c;

    if (fd < 0)
        return -1;
    c = mob_new(struct bulk_caller);
    c->bulk = b;
    c->port = f->port;
    c->fresh = true;
    mob_copy(c->ip, sizeof c->ip, f->ip);
    bulk_hello_fill(&c->out.hello, b->token);
    mob_list_init(&c->link);
    mob_list_append(&b->callers, &c->link);
    assign(c, f);
    bulk_stream_init(&c->stream, b->loop, fd, &c->machine, on_closed);
    mob_machine_init(&c->machine, "caller", (uint64_t)fd, caller_states, ASKING, caller_holds);
    mob_machine_run(&c->machine);
    return 0;
}

void bulk_fetch_start(struct bulk_fetch *f)
{
    struct mob_bulk *b = f->bulk;
    struct bulk_caller *c;
    struct mob_error err;
    unsigned callers = 0;

    mob_list_each(c, &b->callers, struct bulk_caller, link) {
        if (!goes_to(c, f))
            continue;
        callers++;
        if (c->machine.now == IDLE && !f->tried) {
            mob_list_append(&b->waiting, &f->link);     /* it takes the first that waits, and that is this one */
            mob_machine_run(&c->machine);
            return;
        }
    }
    if (callers >= CALLERS_MAX)
        mob_list_append(&b->waiting, &f->link);
    else if (caller_create(b, f, &err) < 0)
        fail(f, &err);
}

void bulk_fetches_close(struct mob_bulk *b)
{
    struct bulk_fetch *f;
    struct bulk_caller *c;
    struct mob_error err;

    mob_error_set(&err, MOB_ERR_CANCELLED, "this node ends");
    mob_list_each(f, &b->waiting, struct bulk_fetch, link) {
        mob_list_remove(&f->link);
        fail(f, &err);
    }
    mob_list_each(c, &b->callers, struct bulk_caller, link)
        end(c, &err);
}

/* -- the steps, in the order of life ------------------------------------------------------------------------------------- */

/* The peer closed, broke, or said nothing for too long. */
static enum mob_next broken(struct bulk_caller *c)
{
    struct mob_error err;
    int number = errno;

    if (c->stream.silent)
        mob_error_set(&err, MOB_ERR_UNREACHABLE, "the node was silent for too long");
    else if (number == 0)
        mob_error_set(&err, MOB_ERR_UNREACHABLE, "the node closed the connection too early");
    else
        mob_error_set(&err, MOB_ERR_UNREACHABLE, "%s", strerror(number));
    return end(c, &err);
}

/* Read the part; MOB_AGAIN: it is all there. */
static enum mob_next take(struct bulk_caller *c)
{
    enum bulk_io how = c->stream.silent ? BULK_ENDED : bulk_read(&c->stream, &c->part);

    if (how == BULK_LATER)
        return bulk_stream_wait(&c->stream, UV_READABLE, c->bulk->silence_ms);
    return how == BULK_DONE ? MOB_AGAIN : broken(c);
}

static enum mob_next caller_asking(struct mob_machine *m)
{
    struct bulk_caller *c = MOB_CONTAINER(m, struct bulk_caller, machine);
    enum bulk_io how = c->stream.silent ? BULK_ENDED : bulk_write(&c->stream, &c->part, false);

    if (how == BULK_LATER)
        return bulk_stream_wait(&c->stream, UV_WRITABLE, c->fresh ? CONNECT_MS : c->bulk->silence_ms);
    if (how == BULK_ENDED)
        return broken(c);
    c->part = (struct bulk_part){ (char *)&c->answer, sizeof c->answer };
    return mob_machine_goto(m, LISTENING);
}

static void next_piece(struct bulk_caller *c)
{
    c->part = (struct bulk_part){ c->buffer, c->file_left < BULK_PIECE ? c->file_left : BULK_PIECE };
}

static enum mob_next caller_listening(struct mob_machine *m)
{
    struct bulk_caller *c = MOB_CONTAINER(m, struct bulk_caller, machine);
    struct mob_error err;

    if (take(c) == MOB_WAIT)
        return MOB_WAIT;
    c->fresh = false;
    if (bulk_answer_check(&c->answer, &c->out.ask, &err) < 0) {
        c->fetch->tried = true;         /* the peer is wrong, not the connection */
        return end(c, &err);
    }
    if (c->answer.status != MOB_OK) {
        memset(c->text, 0, sizeof c->text);
        c->part = (struct bulk_part){ c->text, c->answer.text_size };
        return mob_machine_goto(m, EXCUSED);
    }
    if (c->fetch->ask.kind == BULK_OBJECT) {
        c->part = (struct bulk_part){ c->fetch->memory, c->answer.size };
    } else {
        c->buffer = mob_alloc(BULK_PIECE);
        c->hasher = mob_hasher_create();
        c->file_left = c->answer.size;
        next_piece(c);
    }
    return mob_machine_goto(m, READING);
}

static int write_out(int fd, const char *at, size_t size, struct mob_error *err)
{
    while (size > 0) {
        ssize_t n = write(fd, at, size);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return mob_error_errno(err, "writing the file");
        at += n;
        size -= (size_t)n;
    }
    return 0;
}

/* A piece of a file is here: 1 more are to come, 0 that was all, -1 it cannot be written or is not what was asked for. */
static int take_piece(struct bulk_caller *c, struct mob_error *err)
{
    size_t size = (size_t)(c->part.at - c->buffer);
    struct mob_hash hash;

    if (write_out(c->fetch->fd, c->buffer, size, err) < 0)
        return -1;
    mob_hasher_add(c->hasher, c->buffer, size);
    c->file_left -= size;
    if (c->file_left > 0)
        return 1;
    hash = mob_hasher_finish(c->hasher);
    c->hasher = NULL;
    if (memcmp(&hash, &c->fetch->ask.what.file, sizeof hash) != 0)
        return mob_error_set(err, MOB_ERR_PROTOCOL, "its bytes do not have the hash that was asked for");
    return 0;
}

static enum mob_next caller_reading(struct mob_machine *m)
{
    struct bulk_caller *c = MOB_CONTAINER(m, struct bulk_caller, machine);
    struct mob_error err;
    int more;

    if (take(c) == MOB_WAIT)
        return MOB_WAIT;
    if (c->buffer == NULL)
        return finish(c, NULL);
    if ((more = take_piece(c, &err)) < 0)
        return end(c, &err);
    if (more == 0)
        return finish(c, NULL);
    next_piece(c);
    return bulk_stream_wait(&c->stream, UV_READABLE, c->bulk->silence_ms);      /* others' turn */
}

static enum mob_next caller_excused(struct mob_machine *m)
{
    struct bulk_caller *c = MOB_CONTAINER(m, struct bulk_caller, machine);
    struct mob_error err;

    if (take(c) == MOB_WAIT)
        return MOB_WAIT;
    mob_error_set(&err, c->answer.status, "%s", c->text);
    return finish(c, &err);
}

/* Nothing may be said to an idle connection: what is readable is its end, or more than was promised. */
static enum mob_next caller_idle(struct mob_machine *m)
{
    struct bulk_caller *c = MOB_CONTAINER(m, struct bulk_caller, machine);
    struct bulk_fetch *f;
    struct bulk_part probe;
    char byte;

    probe = (struct bulk_part){ &byte, 1 };
    if (c->stream.silent || bulk_read(&c->stream, &probe) != BULK_LATER)
        return end(c, NULL);
    if ((f = next_waiting(c)) == NULL)
        return bulk_stream_wait(&c->stream, UV_READABLE, c->bulk->silence_ms);
    assign(c, f);
    return mob_machine_goto(m, ASKING);
}
