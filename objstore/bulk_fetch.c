/* SPDX-License-Identifier: Apache-2.0 */
/* bulk_fetch.c -- the connections that we made: each serves one get after the other.
 *
 *   ASKING --> LISTENING <--> READING --> IDLE        any --> OVER
 *      ^         |  |  '-------------------^ |  (referred)
 *      |         |  '----> EXCUSED ----------|
 *      |         '--> COLLECTING <--> WRITING'
 *      '-------------------------------------'
 *
 *   ASKING      waits until the connection stands and takes hello and ask
 *   LISTENING   waits for the answer: the next chunk, advice to ask elsewhere, or an error; longer, if the peer says that it is to come
 *   READING     reads a chunk, straight into the arena if its pages are there, and checks its hash
 *   COLLECTING  reads a piece of a file
 *   WRITING     waits for the thread of the pool that writes and hashes the piece; for ever, as that ends (the file is a local one)
 *   EXCUSED     reads the sentence that says why there are no bytes
 *   IDLE        waits for the next get to the same address; goes after 10 s, or when the peer says anything at all
 *   OVER        is closed and freed; its get has failed, or goes on with a new connection
 *
 * A kept connection may be closed by its peer just when we use it again: if it breaks before the answer, the get tries once more on
 * another one. One that is to end while WRITING ends after that: the file is its asker's to close from done() on.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/hash.h"
#include "objstore/bulk_private.h"

#define CONNECT_MS 3000
#define REFERRED_PART 2                 /* of the patience, for the first word of a node that we were referred to */
#define SUM_PIECE ((size_t)256 << 10)   /* read, then hashed */

struct bulk_caller {
    struct mob_machine machine;
    struct bulk_stream stream;
    struct bulk_peer *peer;
    struct mob_link link;               /* in peer->callers */
    struct bulk_fetch *fetch;           /* NULL: idle */
    bool fresh;                         /* no answer came yet: hello goes first, and connecting is under way */
    struct {
        struct bulk_hello hello;
        struct bulk_ask ask;
    } out;
    struct bulk_answer answer;
    char text[BULK_TEXT_MAX + 1];
    struct bulk_part part;
    struct bulk_summer *summer;         /* of the chunk that is read; NULL: none was yet */
    char *landing;                      /* SUM_PIECE bytes; NULL: were never needed */
    bool lands;                         /* this chunk is read there, and written to the arena's file */
    /* of a file */
    char *buffer;                       /* BULK_PIECE bytes */
    uint64_t file_left;
    struct mob_hasher *hasher;
    uv_work_t work;
    size_t piece;                       /* the bytes in the buffer that the thread writes */
    bool writing;                       /* fact: it does so now */
    int written;                        /* 0, or why[] says what went wrong */
    struct mob_error why;
    bool ends;                          /* it is to end as soon as the thread lets go, because of `end_why` */
    struct mob_error end_why;
};

enum { ASKING, LISTENING, READING, COLLECTING, WRITING, EXCUSED, IDLE, OVER };
static enum mob_next caller_asking(struct mob_machine *m);
static enum mob_next caller_listening(struct mob_machine *m);
static enum mob_next caller_reading(struct mob_machine *m);
static enum mob_next caller_collecting(struct mob_machine *m);
static enum mob_next caller_writing(struct mob_machine *m);
static enum mob_next caller_excused(struct mob_machine *m);
static enum mob_next caller_idle(struct mob_machine *m);

static const struct mob_state caller_states[] = {
    [ASKING]     = { "asking",     caller_asking,     MOB_TO(LISTENING) | MOB_TO(OVER) },
    [LISTENING]  = { "listening",  caller_listening,
                     MOB_TO(READING) | MOB_TO(COLLECTING) | MOB_TO(EXCUSED) | MOB_TO(IDLE) | MOB_TO(OVER) },
    [READING]    = { "reading",    caller_reading,    MOB_TO(LISTENING) | MOB_TO(IDLE) | MOB_TO(OVER) },
    [COLLECTING] = { "collecting", caller_collecting, MOB_TO(WRITING) | MOB_TO(OVER) },
    [WRITING]    = { "writing",    caller_writing,    MOB_TO(COLLECTING) | MOB_TO(IDLE) | MOB_TO(OVER) },
    [EXCUSED]    = { "excused",    caller_excused,    MOB_TO(IDLE) | MOB_TO(OVER) },
    [IDLE]       = { "idle",       caller_idle,       MOB_TO(ASKING) | MOB_TO(OVER) },
    [OVER]       = { "over",       NULL,              0 },
};

static bool caller_holds(const struct mob_machine *m)
{
    const struct bulk_caller *c = MOB_CONTAINER(m, const struct bulk_caller, machine);

    return (c->fetch != NULL) == (m->now < IDLE) && (m->now == WRITING || !c->writing);
}

/* -- life -------------------------------------------------------------------------------------------------------------- */

static void assign(struct bulk_caller *c, struct bulk_fetch *f)
{
    size_t skip = c->fresh ? 0 : sizeof c->out.hello;

    c->fetch = f;
    c->out.ask = f->ask;
    c->part = (struct bulk_part){ (char *)&c->out + skip, sizeof c->out - skip };
}

static void on_closed(struct bulk_stream *stream)
{
    struct bulk_caller *c = MOB_CONTAINER(stream, struct bulk_caller, stream);

    if (c->summer != NULL)
        bulk_summer_destroy(c->summer);
    free(c->landing);
    free(c);
}

static void drop_file(struct bulk_caller *c)
{
    if (c->hasher != NULL)
        mob_hasher_finish(c->hasher);
    c->hasher = NULL;
    free(c->buffer);
    c->buffer = NULL;
}

static enum mob_next end(struct bulk_caller *c, const struct mob_error *why, bool may_try_again)
{
    struct bulk_fetch *f = c->fetch;
    struct bulk_peer *p = c->peer;
    bool again = f != NULL && !c->fresh && !f->tried && !c->stream.silent && c->machine.now <= LISTENING && may_try_again
        && f->at == f->ask.offset;

    if (c->writing) {
        c->ends = true;
        c->end_why = *why;
        return MOB_WAIT;
    }
    c->fetch = NULL;
    drop_file(c);
    mob_list_remove(&c->link);
    p->count--;
    mob_machine_goto(&c->machine, OVER);
    bulk_stream_close(&c->stream);
    if (again) {
        f->tried = true;
        mob_list_prepend(&p->waiting, &f->link);
    } else if (f != NULL) {
        bulk_fetch_over(f, why);
    }
    if (c->fresh && p->count == 0)
        bulk_peer_fail(p, why);
    bulk_peer_pump(p);
    return MOB_WAIT;
}

static enum mob_next finish(struct bulk_caller *c, const struct mob_error *why)
{
    struct bulk_fetch *f = c->fetch;

    c->fetch = NULL;
    drop_file(c);
    bulk_fetch_over(f, why);
    return mob_machine_goto(&c->machine, IDLE);
}

int bulk_caller_create(struct bulk_peer *p, struct bulk_fetch *f, struct mob_error *err)
{
    int fd = bulk_socket_connect(p->ip, p->port, err);
    struct bulk_caller *c;

    if (fd < 0)
        return -1;
    c = mob_new(struct bulk_caller);
    c->peer = p;
    c->fresh = true;
    bulk_hello_fill(&c->out.hello, atomic_load(&p->bulk->node), p->bulk->token);
    mob_list_init(&c->link);
    mob_list_append(&p->callers, &c->link);
    p->count++;
    assign(c, f);
    bulk_stream_init(&c->stream, p->bulk->loop, fd, &c->machine, on_closed);
    mob_machine_init(&c->machine, "caller", (uint64_t)fd, caller_states, ASKING, caller_holds);
    mob_machine_run(&c->machine);
    return 0;
}

bool bulk_caller_take(struct bulk_peer *p)
{
    struct bulk_caller *c;

    mob_list_each(c, &p->callers, struct bulk_caller, link) {
        if (c->machine.now == IDLE && !c->machine.running) {
            mob_machine_run(&c->machine);       /* it takes the first that waits, or ends */
            return true;
        }
    }
    return false;
}

void bulk_callers_end(struct bulk_peer *p, const struct mob_error *why)
{
    struct bulk_caller *c;

    mob_list_each(c, &p->callers, struct bulk_caller, link)
        end(c, why, false);
}

/* -- the steps, in the order of life ------------------------------------------------------------------------------------- */

static int64_t silence(const struct bulk_caller *c)
{
    return c->peer->bulk->silence_ms;
}

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
    if (c->fetch != NULL)
        c->fetch->final = c->stream.silent;
    return end(c, &err, true);
}

/* What it says is wrong: the connection cannot be trusted any more. */
static enum mob_next wrong(struct bulk_caller *c, const struct mob_error *why, bool final)
{
    c->fetch->final = final;
    return end(c, why, false);
}

/* Read the part; MOB_AGAIN: it is all there. */
static enum mob_next take(struct bulk_caller *c, int64_t patience_ms)
{
    enum bulk_io how = c->stream.silent ? BULK_ENDED : bulk_read(&c->stream, &c->part);

    if (how == BULK_LATER)
        return bulk_stream_wait(&c->stream, UV_READABLE, patience_ms);
    return how == BULK_DONE ? MOB_AGAIN : broken(c);
}

static enum mob_next listen_on(struct bulk_caller *c)
{
    c->part = (struct bulk_part){ (char *)&c->answer, sizeof c->answer };
    return mob_machine_goto(&c->machine, LISTENING);
}

static enum mob_next caller_asking(struct mob_machine *m)
{
    struct bulk_caller *c = MOB_CONTAINER(m, struct bulk_caller, machine);
    enum bulk_io how = c->stream.silent ? BULK_ENDED : bulk_write(&c->stream, &c->part, false);

    if (how == BULK_LATER)
        return bulk_stream_wait(&c->stream, UV_WRITABLE, c->fresh ? CONNECT_MS : silence(c));
    return how == BULK_DONE ? listen_on(c) : broken(c);
}

static enum mob_next begin_piece(struct bulk_caller *c)
{
    c->part = (struct bulk_part){ c->buffer, c->file_left < BULK_PIECE ? c->file_left : BULK_PIECE };
    return mob_machine_goto(&c->machine, COLLECTING);
}

static enum mob_next begin_chunk(struct bulk_caller *c)
{
    struct bulk_fetch *f = c->fetch;

    c->summer = c->summer != NULL ? c->summer : bulk_summer_create();
    bulk_summer_begin(c->summer);
    c->lands = bulk_incoming_is_new(f->in, f->at, c->answer.size);
    if (c->lands && c->landing == NULL)
        c->landing = mob_alloc(SUM_PIECE);
    c->part = (struct bulk_part){ c->lands ? c->landing : f->in->memory + f->at, c->answer.size };
    return mob_machine_goto(&c->machine, READING);
}

static enum mob_next begin_bytes(struct bulk_caller *c)
{
    if (c->fetch->ask.kind == BULK_OBJECT)
        return begin_chunk(c);
    c->buffer = mob_alloc(BULK_PIECE);
    c->hasher = mob_hasher_create();
    c->file_left = c->answer.size;
    return begin_piece(c);
}

/* The peer is alive, and has not got it yet. */
static enum mob_next be_patient(struct bulk_caller *c)
{
    struct mob_error err;

    c->fetch->tried = true;             /* this connection was no stale one */
    if (++c->fetch->patience <= BULK_PATIENCE_MAX) {
        c->part = (struct bulk_part){ (char *)&c->answer, sizeof c->answer };
        return MOB_AGAIN;
    }
    mob_error_set(&err, MOB_ERR_TIMEOUT, "the node said %u times that it will come, and it did not", BULK_PATIENCE_MAX);
    return wrong(c, &err, true);
}

static enum mob_next caller_listening(struct mob_machine *m)
{
    struct bulk_caller *c = MOB_CONTAINER(m, struct bulk_caller, machine);
    struct bulk_fetch *f = c->fetch;
    bool first_word = f->referred && f->at == f->ask.offset;
    struct mob_error err;

    if (take(c, first_word ? silence(c) / REFERRED_PART : silence(c)) == MOB_WAIT)
        return MOB_WAIT;
    c->fresh = false;
    if (bulk_answer_check(&c->answer, &c->out.ask, f->at, &err) < 0)
        return wrong(c, &err, true);
    if (c->answer.status == BULK_PATIENCE)
        return be_patient(c);
    if (c->answer.position != 0)
        f->position = c->answer.position;
    if (c->answer.status == MOB_OK)
        return begin_bytes(c);
    if (c->answer.status == BULK_REFER) {
        f->refer = c->answer.node;
        return finish(c, NULL);
    }
    memset(c->text, 0, sizeof c->text);
    c->part = (struct bulk_part){ c->text, c->answer.text_size };
    return mob_machine_goto(m, EXCUSED);
}

static int write_to(int fd, uint64_t to, const char *at, size_t size, const char *what, struct mob_error *err)
{
    while (size > 0) {
        ssize_t n = pwrite(fd, at, size, (off_t)to);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return mob_error_errno(err, "writing %s", what);
        at += n;
        to += (uint64_t)n;
        size -= (size_t)n;
    }
    return 0;
}

/* So many bytes were read: they are the next ones of the chunk. */
static int land(struct bulk_caller *c, size_t size, struct mob_error *err)
{
    const struct bulk_fetch *f = c->fetch;
    uint64_t to = f->in->file_at + f->at + c->answer.size - c->part.left - size;

    c->part.at = c->landing;
    return write_to(f->in->file, to, c->landing, size, "the object", err);
}

/* Read on, and hash what came; MOB_AGAIN: the chunk is all there. */
static enum mob_next take_chunk(struct bulk_caller *c)
{
    const char *at = c->part.at;
    enum bulk_io how = c->stream.silent ? BULK_ENDED : bulk_read_some(&c->stream, &c->part, SUM_PIECE);
    size_t size = (size_t)(c->part.at - at);
    struct mob_error err;

    bulk_summer_add(c->summer, at, size);
    if (c->lands && size > 0 && land(c, size, &err) < 0)
        return wrong(c, &err, true);
    if (how == BULK_LATER)
        return bulk_stream_wait(&c->stream, UV_READABLE, silence(c));
    return how == BULK_DONE ? MOB_AGAIN : broken(c);
}

static enum mob_next caller_reading(struct mob_machine *m)
{
    struct bulk_caller *c = MOB_CONTAINER(m, struct bulk_caller, machine);
    struct bulk_fetch *f = c->fetch;
    struct mob_error err;

    if (take_chunk(c) == MOB_WAIT)
        return MOB_WAIT;
    if (bulk_summer_end(c->summer) != c->answer.hash) {
        mob_error_set(&err, MOB_ERR_PROTOCOL, "its bytes from %" PRIu64 " on were altered on the way: they do not have their hash", f->at);
        return wrong(c, &err, false);
    }
    bulk_incoming_arrived(f->in, f->at, c->answer.hash);
    f->at += c->answer.size;
    if (f->at == f->ask.offset + f->ask.length)
        return finish(c, NULL);
    listen_on(c);
    return bulk_stream_wait(&c->stream, UV_READABLE, silence(c));       /* others' turn */
}

static enum mob_next caller_excused(struct mob_machine *m)
{
    struct bulk_caller *c = MOB_CONTAINER(m, struct bulk_caller, machine);
    struct mob_error err;

    if (take(c, silence(c)) == MOB_WAIT)
        return MOB_WAIT;
    mob_error_set(&err, c->answer.status, "%s", c->text);
    c->fetch->final = err.code != MOB_ERR_TIMEOUT;
    return finish(c, &err);
}

/* Nothing may be said to an idle connection: what is readable is its end, or more than was promised. */
static enum mob_next caller_idle(struct mob_machine *m)
{
    struct bulk_caller *c = MOB_CONTAINER(m, struct bulk_caller, machine);
    struct bulk_part probe;
    struct bulk_fetch *f;
    char byte;

    probe = (struct bulk_part){ &byte, 1 };
    if (c->stream.silent || bulk_read(&c->stream, &probe) != BULK_LATER)
        return end(c, NULL, true);
    if (mob_list_empty(&c->peer->waiting))
        return bulk_stream_wait(&c->stream, UV_READABLE, silence(c));
    f = mob_list_first(&c->peer->waiting, struct bulk_fetch, link);
    mob_list_remove(&f->link);
    assign(c, f);
    return mob_machine_goto(m, ASKING);
}

/* -- files ------------------------------------------------------------------------------------------------------------- */

static void write_in_thread(uv_work_t *work)
{
    struct bulk_caller *c = MOB_CONTAINER(work, struct bulk_caller, work);

    c->written = write_to(c->fetch->fd, c->answer.size - c->file_left, c->buffer, c->piece, "the file", &c->why);
    mob_hasher_add(c->hasher, c->buffer, c->piece);
}

static void written(uv_work_t *work, int status)
{
    struct bulk_caller *c = MOB_CONTAINER(work, struct bulk_caller, work);

    (void)status;
    c->writing = false;
    mob_machine_run(&c->machine);
}

static enum mob_next caller_collecting(struct mob_machine *m)
{
    struct bulk_caller *c = MOB_CONTAINER(m, struct bulk_caller, machine);

    if (take(c, silence(c)) == MOB_WAIT)
        return MOB_WAIT;
    c->piece = (size_t)(c->part.at - c->buffer);
    mob_machine_goto(m, WRITING);
    c->writing = true;
    uv_queue_work(mob_loop_uv(c->peer->bulk->loop), &c->work, write_in_thread, written);
    return MOB_AGAIN;
}

/* All of it was written: is it what was asked for? */
static int check_file(struct bulk_caller *c, struct mob_error *err)
{
    struct mob_hash hash = mob_hasher_finish(c->hasher);

    c->hasher = NULL;
    if (memcmp(&hash, &c->fetch->ask.what.file, sizeof hash) != 0)
        return mob_error_set(err, MOB_ERR_PROTOCOL, "its bytes do not have the hash that was asked for");
    return 0;
}

static enum mob_next caller_writing(struct mob_machine *m)
{
    struct bulk_caller *c = MOB_CONTAINER(m, struct bulk_caller, machine);
    struct mob_error err;

    if (c->writing)
        return bulk_stream_wait(&c->stream, 0, 0);
    if (c->ends)
        return end(c, &c->end_why, false);
    if (c->written < 0)
        return wrong(c, &c->why, true);
    c->file_left -= c->piece;
    if (c->file_left > 0)
        return begin_piece(c);
    return check_file(c, &err) < 0 ? wrong(c, &err, true) : finish(c, NULL);
}
