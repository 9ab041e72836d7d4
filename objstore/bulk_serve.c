/* SPDX-License-Identifier: Apache-2.0 */
/* bulk_serve.c -- the connections that others made to us: each asks for one thing after the other.
 *
 *                        REASSURING
 *                            ^
 *                            v
 *   GREETING --> WAITING --> LOOKING --> ANSWERING <--> SENDING        any but REASSURING --> OVER
 *       |         ^  |  '----------|--> HOLDING ^          |
 *       |         '--|-------------|------------'----------'
 *       '-----------'--> REFUSING --> LINGERING            (bad hello, bad ask)
 *
 *   GREETING   waits for the hello; such a stranger goes when many others come
 *   WAITING    waits for an ask, longer than a caller keeps an idle connection; the longest idle one goes when there are too many
 *   LOOKING    waits for the loop's thread to say where it lies: until the store knows (it may have to wait for a Seal, or for room to
 *              bring it from the disk to)
 *   REASSURING writes that the answer is still to come; that a peer has gone is found out by the answer
 *   HOLDING    waits for a chunk that this node does not have yet itself; not for as long as the peer would
 *   ANSWERING  writes the answer, and the sentence if there is nothing to send
 *   SENDING    writes the bytes of a chunk, straight from the arena, or the file
 *   REFUSING   writes the sentence
 *   LINGERING  reads what the peer still says: a close before that would destroy the sentence on its way
 *   OVER       is closed and freed
 *
 * From the end of LOOKING to the end of the last chunk a serving holds its object; letting it go posts served(), once.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "objstore/bulk_private.h"

#define STRANGERS_MAX 64                /* that have not said their hello: more, and the oldest goes */
#define HOLD_PART 2 / 5                 /* of the patience */

enum { GREETING, WAITING, LOOKING, REASSURING, HOLDING, ANSWERING, SENDING, REFUSING, LINGERING, OVER };
static enum mob_next serving_greeting(struct mob_machine *m);
static enum mob_next serving_waiting(struct mob_machine *m);
static enum mob_next serving_looking(struct mob_machine *m);
static enum mob_next serving_reassuring(struct mob_machine *m);
static enum mob_next serving_holding(struct mob_machine *m);
static enum mob_next serving_answering(struct mob_machine *m);
static enum mob_next serving_sending(struct mob_machine *m);
static enum mob_next serving_refusing(struct mob_machine *m);
static enum mob_next serving_lingering(struct mob_machine *m);

static const struct mob_state serving_states[] = {
    [GREETING]  = { "greeting",  serving_greeting,  MOB_TO(WAITING) | MOB_TO(REFUSING) | MOB_TO(OVER) },
    [WAITING]   = { "waiting",   serving_waiting,   MOB_TO(LOOKING) | MOB_TO(REFUSING) | MOB_TO(OVER) },
    [LOOKING]   = { "looking",   serving_looking,   MOB_TO(REASSURING) | MOB_TO(ANSWERING) | MOB_TO(HOLDING) | MOB_TO(OVER) },
    [REASSURING] = { "reassuring", serving_reassuring, MOB_TO(LOOKING) | MOB_TO(OVER) },
    [HOLDING]   = { "holding",   serving_holding,   MOB_TO(ANSWERING) | MOB_TO(OVER) },
    [ANSWERING] = { "answering", serving_answering, MOB_TO(SENDING) | MOB_TO(WAITING) | MOB_TO(OVER) },
    [SENDING]   = { "sending",   serving_sending,   MOB_TO(ANSWERING) | MOB_TO(HOLDING) | MOB_TO(WAITING) | MOB_TO(OVER) },
    [REFUSING]  = { "refusing",  serving_refusing,  MOB_TO(LINGERING) | MOB_TO(OVER) },
    [LINGERING] = { "lingering", serving_lingering, MOB_TO(OVER) },
    [OVER]      = { "over",      NULL,              0 },
};

static bool serving_holds(const struct mob_machine *m)
{
    const struct bulk_serving *s = MOB_CONTAINER(m, const struct bulk_serving, machine);
    bool has = s->holds || s->file >= 0, may_have = m->now == ANSWERING || m->now == SENDING || m->now == HOLDING;

    return (may_have || !has) && (m->now == LOOKING || m->now == REASSURING) == (s->lookup != NULL);
}

/* -- life -------------------------------------------------------------------------------------------------------------- */

static void let_go(struct bulk_serving *s)
{
    mob_list_remove(&s->holding);
    if (s->in != NULL)
        bulk_incoming_unref(s->in);
    if (s->holds)
        bulk_post_served(s->bulk, s->ticket);
    if (s->file >= 0)
        close(s->file);
    s->in = NULL;
    s->holds = false;
    s->file = -1;
}

static void on_closed(struct bulk_stream *stream)
{
    free(MOB_CONTAINER(stream, struct bulk_serving, stream));
}

static enum mob_next end(struct bulk_serving *s)
{
    let_go(s);
    mob_list_remove(&s->link);
    mob_machine_goto(&s->machine, OVER);
    bulk_stream_close(&s->stream);
    bulk_listener_room(s->bulk->listener);
    return MOB_WAIT;
}

void bulk_serving_create(struct mob_bulk *b, int fd)
{
    struct bulk_serving *s = mob_new(struct bulk_serving);

    s->bulk = b;
    s->file = -1;
    s->part = (struct bulk_part){ (char *)&s->hello, sizeof s->hello };
    mob_list_init(&s->holding);
    mob_list_init(&s->link);
    mob_list_append(&b->servings, &s->link);
    bulk_socket_tune(fd);
    bulk_stream_init(&s->stream, b->loop, fd, &s->machine, on_closed);
    mob_machine_init(&s->machine, "serving", (uint64_t)fd, serving_states, GREETING, serving_holds);
    mob_machine_run(&s->machine);
}

static bool drop_first(struct mob_bulk *b, unsigned state, unsigned more_than)
{
    struct bulk_serving *s, *first = NULL;
    unsigned count = 0;

    mob_list_each(s, &b->servings, struct bulk_serving, link) {
        if (s->machine.now != state)
            continue;
        count++;
        if (first == NULL)
            first = s;
    }
    if (count <= more_than)
        return false;
    end(first);
    return true;
}

bool bulk_serving_drop_stranger(struct mob_bulk *b)
{
    return drop_first(b, GREETING, STRANGERS_MAX) || drop_first(b, LINGERING, STRANGERS_MAX);
}

bool bulk_serving_drop_idle(struct mob_bulk *b)
{
    return drop_first(b, WAITING, 0);
}

/* At the end of the process; a lookup on its way finds the bulk over and is freed there. */
void bulk_servings_close(struct mob_bulk *b)
{
    struct bulk_serving *s;

    mob_list_each(s, &b->servings, struct bulk_serving, link) {
        s->lookup = NULL;
        end(s);
    }
}

/* -- the steps, in the order of life ------------------------------------------------------------------------------------- */

/* Read the part; MOB_AGAIN: it is all there. Otherwise the step returns what this returns. */
static enum mob_next take(struct bulk_serving *s, int64_t patience_ms)
{
    enum bulk_io how = s->stream.silent ? BULK_ENDED : bulk_read(&s->stream, &s->part);

    if (how == BULK_LATER)
        return bulk_stream_wait(&s->stream, UV_READABLE, patience_ms);
    return how == BULK_DONE ? MOB_AGAIN : end(s);
}

static void prepare_answer(struct bulk_serving *s, struct bulk_answer answer)
{
    s->out.answer = answer;
    s->part = (struct bulk_part){ (char *)&s->out, sizeof s->out.answer + s->out.answer.text_size };
}

static void prepare_error(struct bulk_serving *s, const struct mob_error *why)
{
    size_t length = strnlen(why->text, BULK_TEXT_MAX);

    memcpy(s->out.text, why->text, length);
    prepare_answer(s, (struct bulk_answer){ .status = why->code, .text_size = (uint32_t)length });
}

static enum mob_next refuse(struct bulk_serving *s, const struct mob_error *why)
{
    prepare_error(s, why);
    return mob_machine_goto(&s->machine, REFUSING);
}

static enum mob_next await_ask(struct bulk_serving *s)
{
    let_go(s);
    mob_list_remove(&s->link);
    mob_list_append(&s->bulk->servings, &s->link);
    s->part = (struct bulk_part){ (char *)&s->ask, sizeof s->ask };
    return mob_machine_goto(&s->machine, WAITING);
}

static enum mob_next serving_greeting(struct mob_machine *m)
{
    struct bulk_serving *s = MOB_CONTAINER(m, struct bulk_serving, machine);
    struct mob_error err;

    if (take(s, s->bulk->silence_ms) == MOB_WAIT)
        return MOB_WAIT;
    if (bulk_hello_check(&s->hello, s->bulk->token, &err) < 0)
        return refuse(s, &err);
    return await_ask(s);
}

static enum mob_next serving_waiting(struct mob_machine *m)
{
    struct bulk_serving *s = MOB_CONTAINER(m, struct bulk_serving, machine);
    struct mob_error err;

    if (take(s, 2 * s->bulk->silence_ms) == MOB_WAIT)
        return MOB_WAIT;
    if (bulk_ask_check(&s->ask, &err) < 0)
        return refuse(s, &err);
    s->lookup = mob_new(struct mob_bulk_lookup);
    *s->lookup = (struct mob_bulk_lookup){ .bulk = s->bulk, .serving = s, .asker = s->hello.node, .ask = s->ask, .fd = -1 };
    s->looked = false;
    bulk_post_lookup(s->lookup);
    return mob_machine_goto(m, LOOKING);
}

void bulk_serving_found(struct mob_bulk_lookup *l)
{
    struct bulk_serving *s = l->serving;

    assert(s->lookup == l);
    s->looked = true;
    mob_machine_run(&s->machine);
}

/* The chunk at s->at is to go, or all has gone. */
static enum mob_next next_chunk(struct bulk_serving *s)
{
    uint64_t size = bulk_chunk_size(&s->ask, s->at);
    struct bulk_answer answer = { .status = MOB_OK, .size = size, .position = s->position };

    if (size == 0)
        return await_ask(s);
    if (s->in != NULL && !bulk_incoming_has(s->in, s->at)) {
        mob_list_append(&s->in->waiting, &s->holding);
        bulk_stream_wait(&s->stream, UV_READABLE, s->bulk->silence_ms * HOLD_PART);
        return mob_machine_goto(&s->machine, HOLDING);
    }
    answer.hash = s->in != NULL ? s->in->hashes[s->at / BULK_CHUNK] : bulk_sum(s->data + s->at, size);
    prepare_answer(s, answer);
    return mob_machine_goto(&s->machine, ANSWERING);
}

static enum mob_next excuse(struct bulk_serving *s, const struct mob_error *why)
{
    let_go(s);
    prepare_error(s, why);
    return mob_machine_goto(&s->machine, ANSWERING);
}

static enum mob_next begin_file(struct bulk_serving *s, int file)
{
    struct mob_error err;
    struct stat st;

    s->file = file;
    s->sent = 0;
    if (fstat(s->file, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size <= 0) {
        mob_error_set(&err, MOB_ERR_SYSTEM, "its file cannot be read there");
        return excuse(s, &err);
    }
    s->size = (uint64_t)st.st_size;
    prepare_answer(s, (struct bulk_answer){ .status = MOB_OK, .size = s->size });
    return mob_machine_goto(&s->machine, ANSWERING);
}

static enum mob_next serving_looking(struct mob_machine *m)
{
    struct bulk_serving *s = MOB_CONTAINER(m, struct bulk_serving, machine);
    struct mob_bulk_lookup l;

    if (!s->looked && s->stream.silent) {
        s->stream.silent = false;
        prepare_answer(s, (struct bulk_answer){ .status = BULK_PATIENCE });
        return mob_machine_goto(m, REASSURING);
    }
    if (!s->looked)
        return bulk_stream_wait(&s->stream, 0, s->bulk->silence_ms / BULK_PATIENCE_PART);
    l = *s->lookup;
    free(s->lookup);
    s->lookup = NULL;
    if (l.missing)
        return excuse(s, &l.err);
    if (l.ask.kind == BULK_FILE)
        return begin_file(s, l.fd);
    s->position = l.found.position;
    if (l.found.refer != 0) {
        prepare_answer(s, (struct bulk_answer){ .status = BULK_REFER, .node = l.found.refer, .position = s->position });
        return mob_machine_goto(m, ANSWERING);
    }
    s->holds = true;
    s->ticket = l.found.ticket;
    s->data = l.found.data;
    s->in = l.found.incoming;
    if (s->in != NULL)
        bulk_incoming_ref(s->in);
    s->at = s->ask.offset;
    return next_chunk(s);
}

/* Run when the peer takes it, by the end of patience, or because what was asked for has been found. */
static enum mob_next serving_reassuring(struct mob_machine *m)
{
    struct bulk_serving *s = MOB_CONTAINER(m, struct bulk_serving, machine);

    if (!s->stream.silent && bulk_write(&s->stream, &s->part, false) == BULK_LATER)
        return bulk_stream_wait(&s->stream, UV_WRITABLE, s->bulk->silence_ms);
    s->stream.silent = false;
    return mob_machine_goto(m, LOOKING);
}

/* Run by the chunk that arrives, by the end of the object's coming, by the end of patience, or because the peer has gone. */
static enum mob_next serving_holding(struct mob_machine *m)
{
    struct bulk_serving *s = MOB_CONTAINER(m, struct bulk_serving, machine);
    struct mob_error err;
    char byte;

    if (bulk_incoming_has(s->in, s->at)) {
        mob_list_remove(&s->holding);
        return next_chunk(s);
    }
    if (s->in->ended || s->stream.silent) {
        s->stream.silent = false;
        mob_error_set(&err, MOB_ERR_TIMEOUT, s->in->ended ? "it will not have all of the object itself"
                                                          : "it does not have that part of the object itself yet");
        return excuse(s, &err);
    }
    if (recv(s->stream.fd, &byte, 1, MSG_PEEK) >= 0 || (errno != EAGAIN && errno != EINTR))
        return end(s);
    return MOB_WAIT;
}

static enum mob_next serving_answering(struct mob_machine *m)
{
    struct bulk_serving *s = MOB_CONTAINER(m, struct bulk_serving, machine);
    bool has = s->out.answer.status == MOB_OK;
    enum bulk_io how = s->stream.silent ? BULK_ENDED : bulk_write(&s->stream, &s->part, has);

    if (how == BULK_LATER)
        return bulk_stream_wait(&s->stream, UV_WRITABLE, s->bulk->silence_ms);
    if (how == BULK_ENDED)
        return end(s);
    if (!has)
        return await_ask(s);
    if (s->file < 0)
        s->part = (struct bulk_part){ (char *)s->data + s->at, s->out.answer.size };
    return mob_machine_goto(m, SENDING);
}

static enum mob_next serving_sending(struct mob_machine *m)
{
    struct bulk_serving *s = MOB_CONTAINER(m, struct bulk_serving, machine);
    enum bulk_io how = BULK_ENDED;

    if (!s->stream.silent && s->file >= 0)
        how = bulk_send_file(&s->stream, s->file, s->size, &s->sent);
    else if (!s->stream.silent)
        how = bulk_write(&s->stream, &s->part, false);
    if (how == BULK_LATER)
        return bulk_stream_wait(&s->stream, UV_WRITABLE, s->bulk->silence_ms);
    if (how == BULK_ENDED)
        return end(s);
    if (s->file >= 0)
        return await_ask(s);
    s->at += s->out.answer.size;
    next_chunk(s);
    return s->machine.now == ANSWERING ? bulk_stream_wait(&s->stream, UV_WRITABLE, s->bulk->silence_ms) : MOB_AGAIN;   /* others' turn */
}

static enum mob_next serving_refusing(struct mob_machine *m)
{
    struct bulk_serving *s = MOB_CONTAINER(m, struct bulk_serving, machine);

    if (s->stream.silent)
        return end(s);
    switch (bulk_write(&s->stream, &s->part, false)) {
    case BULK_LATER:
        return bulk_stream_wait(&s->stream, UV_WRITABLE, s->bulk->silence_ms);
    case BULK_ENDED:
        return end(s);
    case BULK_DONE:
        shutdown(s->stream.fd, SHUT_WR);
    }
    bulk_stream_wait(&s->stream, UV_READABLE, s->bulk->silence_ms / 10);        /* in all: it is not started again */
    return mob_machine_goto(m, LINGERING);
}

static enum mob_next serving_lingering(struct mob_machine *m)
{
    struct bulk_serving *s = MOB_CONTAINER(m, struct bulk_serving, machine);
    char rest[4096];
    ssize_t n = recv(s->stream.fd, rest, sizeof rest, 0);

    return s->stream.silent || n == 0 || (n < 0 && errno != EAGAIN) ? end(s) : MOB_WAIT;
}
