/* SPDX-License-Identifier: Apache-2.0 */
/* bulk_serve.c -- the connections that others made to us: each asks for one thing after the other.
 *
 *   GREETING --> WAITING --> LOOKING --> ANSWERING --> SENDING        any but LOOKING --> OVER
 *       |         ^  |  '--------------- | --------- | --'
 *       |         '--|-------------------'           |
 *       '-----------'--> REFUSING --> LINGERING            (bad hello, bad ask)
 *
 *   GREETING   waits for the hello
 *   WAITING    waits for an ask, longer than a caller keeps an idle connection
 *   LOOKING    waits for the loop's thread to say where it lies; for ever, because that thread always answers
 *   ANSWERING  writes the answer, and the sentence if there is nothing to send
 *   SENDING    writes the bytes, straight from the arena or the file
 *   REFUSING   writes the sentence
 *   LINGERING  reads what the peer still says: a close before that would destroy the sentence on its way
 *   OVER       is closed and freed
 *
 * From the end of LOOKING to the end of SENDING a serving holds its object; letting it go posts served(), once.
 */
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "objstore/bulk_private.h"

#define SERVINGS_MAX 512                /* connections; more are closed at once */
#define ACCEPT_PAUSE_MS 100             /* when the process is out of descriptors */

struct bulk_listener {
    struct mob_bulk *bulk;
    uv_poll_t poll;
    uv_timer_t pause;
    int fd;
    unsigned open_handles, servings;
};

struct bulk_serving {
    struct mob_machine machine;
    struct bulk_stream stream;
    struct mob_bulk *bulk;
    struct mob_link link;               /* in bulk->servings */
    struct bulk_hello hello;
    struct bulk_ask ask;
    struct {
        struct bulk_answer answer;
        char text[BULK_TEXT_MAX];
    } out;
    struct bulk_part part;              /* what is read or written now */
    struct bulk_lookup *lookup;         /* with the loop's thread, or back from it */
    bool looked;                        /* fact: it came back */
    bool holds;                         /* data is the store's, until served() */
    const void *data;
    int file;                           /* or -1 */
    uint64_t size, sent;                /* of the file */
};

enum { GREETING, WAITING, LOOKING, ANSWERING, SENDING, REFUSING, LINGERING, OVER };
static enum mob_next serving_greeting(struct mob_machine *m);
static enum mob_next serving_waiting(struct mob_machine *m);
static enum mob_next serving_looking(struct mob_machine *m);
static enum mob_next serving_answering(struct mob_machine *m);
static enum mob_next serving_sending(struct mob_machine *m);
static enum mob_next serving_refusing(struct mob_machine *m);
static enum mob_next serving_lingering(struct mob_machine *m);

static const struct mob_state serving_states[] = {
    [GREETING]  = { "greeting",  serving_greeting,  MOB_TO(WAITING) | MOB_TO(REFUSING) | MOB_TO(OVER) },
    [WAITING]   = { "waiting",   serving_waiting,   MOB_TO(LOOKING) | MOB_TO(REFUSING) | MOB_TO(OVER) },
    [LOOKING]   = { "looking",   serving_looking,   MOB_TO(ANSWERING) | MOB_TO(OVER) },
    [ANSWERING] = { "answering", serving_answering, MOB_TO(SENDING) | MOB_TO(WAITING) | MOB_TO(OVER) },
    [SENDING]   = { "sending",   serving_sending,   MOB_TO(WAITING) | MOB_TO(OVER) },
    [REFUSING]  = { "refusing",  serving_refusing,  MOB_TO(LINGERING) | MOB_TO(OVER) },
    [LINGERING] = { "lingering", serving_lingering, MOB_TO(OVER) },
    [OVER]      = { "over",      NULL,              0 },
};

static bool serving_holds(const struct mob_machine *m)
{
    const struct bulk_serving *s = MOB_CONTAINER(m, const struct bulk_serving, machine);
    bool has = s->holds || s->file >= 0;

    return (m->now == ANSWERING || m->now == SENDING || !has) && (m->now == LOOKING) == (s->lookup != NULL);
}

/* -- life -------------------------------------------------------------------------------------------------------------- */

static void let_go(struct bulk_serving *s)
{
    if (s->holds)
        bulk_post_served(s->bulk, &s->ask.what.object);
    if (s->file >= 0)
        close(s->file);
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
    if (s->bulk->listener != NULL)
        s->bulk->listener->servings--;
    mob_list_remove(&s->link);
    mob_machine_goto(&s->machine, OVER);
    bulk_stream_close(&s->stream);
    return MOB_WAIT;
}

static void serving_create(struct mob_bulk *b, int fd)
{
    struct bulk_serving *s = mob_new(struct bulk_serving);

    s->bulk = b;
    s->file = -1;
    s->part = (struct bulk_part){ (char *)&s->hello, sizeof s->hello };
    mob_list_init(&s->link);
    mob_list_append(&b->servings, &s->link);
    b->listener->servings++;
    bulk_socket_tune(fd);
    bulk_stream_init(&s->stream, b->loop, fd, &s->machine, on_closed);
    mob_machine_init(&s->machine, "serving", (uint64_t)fd, serving_states, GREETING, serving_holds);
    mob_machine_run(&s->machine);
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

/* Read or write the part; MOB_AGAIN: it is all there. Otherwise the step returns what this returns. */
static enum mob_next take(struct bulk_serving *s, int64_t patience_ms)
{
    enum bulk_io how = s->stream.silent ? BULK_ENDED : bulk_read(&s->stream, &s->part);

    if (how == BULK_LATER)
        return bulk_stream_wait(&s->stream, UV_READABLE, patience_ms);
    return how == BULK_DONE ? MOB_AGAIN : end(s);
}

static void prepare_answer(struct bulk_serving *s, const struct mob_error *why)
{
    s->out.answer = (struct bulk_answer){ .status = MOB_OK, .size = s->size };
    if (why != NULL) {
        size_t length = strnlen(why->text, BULK_TEXT_MAX);

        s->out.answer = (struct bulk_answer){ .status = why->code, .text_size = (uint32_t)length };
        memcpy(s->out.text, why->text, length);
    }
    s->part = (struct bulk_part){ (char *)&s->out, sizeof s->out.answer + s->out.answer.text_size };
}

static enum mob_next refuse(struct bulk_serving *s, const struct mob_error *why)
{
    prepare_answer(s, why);
    return mob_machine_goto(&s->machine, REFUSING);
}

static enum mob_next await_ask(struct bulk_serving *s)
{
    let_go(s);
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
    s->lookup = mob_new(struct bulk_lookup);
    *s->lookup = (struct bulk_lookup){ .bulk = s->bulk, .serving = s, .ask = s->ask, .fd = -1 };
    s->looked = false;
    bulk_post_lookup(s->lookup);
    return mob_machine_goto(m, LOOKING);
}

void bulk_serving_found(struct bulk_lookup *l)
{
    struct bulk_serving *s = l->serving;

    assert(s->lookup == l);
    s->looked = true;
    mob_machine_run(&s->machine);
}

/* What the loop's thread found must be what was asked for. */
static int accept_found(struct bulk_serving *s, struct bulk_lookup *l, struct mob_error *err)
{
    struct stat st;

    if (!l->found) {
        *err = l->err;
        return -1;
    }
    s->holds = l->ask.kind == BULK_OBJECT;
    s->data = l->data;
    s->file = l->fd;
    s->size = l->size;
    s->sent = 0;
    if (s->holds && s->size != s->ask.size)
        return mob_error_set(err, MOB_ERR_OBJECT_LOST, "it has %llu bytes here, not %llu", (unsigned long long)s->size,
                             (unsigned long long)s->ask.size);
    if (s->file >= 0 && (fstat(s->file, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size <= 0))
        return mob_error_set(err, MOB_ERR_SYSTEM, "its file cannot be read there");
    if (s->file >= 0)
        s->size = (uint64_t)st.st_size;
    return 0;
}

static enum mob_next serving_looking(struct mob_machine *m)
{
    struct bulk_serving *s = MOB_CONTAINER(m, struct bulk_serving, machine);
    struct bulk_lookup *l = s->lookup;
    struct mob_error err;

    if (!s->looked)
        return bulk_stream_wait(&s->stream, 0, 0);
    if (accept_found(s, l, &err) < 0) {
        let_go(s);
        prepare_answer(s, &err);
    } else {
        prepare_answer(s, NULL);
    }
    s->lookup = NULL;
    free(l);
    return mob_machine_goto(m, ANSWERING);
}

static enum mob_next serving_answering(struct mob_machine *m)
{
    struct bulk_serving *s = MOB_CONTAINER(m, struct bulk_serving, machine);
    bool has = s->out.answer.status == MOB_OK;
    enum bulk_io how = s->stream.silent ? BULK_ENDED : bulk_write(&s->stream, &s->part, has && s->size > 0);

    if (how == BULK_LATER)
        return bulk_stream_wait(&s->stream, UV_WRITABLE, s->bulk->silence_ms);
    if (how == BULK_ENDED)
        return end(s);
    if (!has)
        return await_ask(s);
    s->part = (struct bulk_part){ (char *)s->data, s->size };
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
    return how == BULK_DONE ? await_ask(s) : end(s);
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

/* -- accepting --------------------------------------------------------------------------------------------------------- */

static void on_connection(uv_poll_t *poll, int status, int events);

static void on_pause_over(uv_timer_t *timer)
{
    struct bulk_listener *l = MOB_CONTAINER(timer, struct bulk_listener, pause);

    uv_poll_start(&l->poll, UV_READABLE, on_connection);
}

static void on_connection(uv_poll_t *poll, int status, int events)
{
    struct bulk_listener *l = MOB_CONTAINER(poll, struct bulk_listener, poll);
    int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    (void)status, (void)events;
    if (fd >= 0 && l->servings < SERVINGS_MAX) {
        serving_create(l->bulk, fd);
    } else if (fd >= 0) {
        close(fd);
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        uv_poll_stop(&l->poll);
        uv_timer_start(&l->pause, on_pause_over, ACCEPT_PAUSE_MS, 0);
    }
}

struct bulk_listener *bulk_listener_create(struct mob_bulk *b, int fd)
{
    struct bulk_listener *l = mob_new(struct bulk_listener);

    *l = (struct bulk_listener){ .bulk = b, .fd = fd, .open_handles = 2 };
    uv_timer_init(mob_loop_uv(b->loop), &l->pause);
    uv_poll_init_socket(mob_loop_uv(b->loop), &l->poll, fd);
    uv_poll_start(&l->poll, UV_READABLE, on_connection);
    return l;
}

static void listener_handle_closed(struct bulk_listener *l)
{
    if (--l->open_handles > 0)
        return;
    close(l->fd);
    free(l);
}

static void on_poll_closed(uv_handle_t *h)
{
    listener_handle_closed(MOB_CONTAINER(h, struct bulk_listener, poll));
}

static void on_pause_closed(uv_handle_t *h)
{
    listener_handle_closed(MOB_CONTAINER(h, struct bulk_listener, pause));
}

void bulk_listener_close(struct bulk_listener *l)
{
    if (l == NULL)
        return;
    l->bulk->listener = NULL;
    uv_close((uv_handle_t *)&l->poll, on_poll_closed);
    uv_close((uv_handle_t *)&l->pause, on_pause_closed);
}
