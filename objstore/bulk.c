/* SPDX-License-Identifier: Apache-2.0 */
/* bulk.c -- bulk transfer: its public calls, its thread, and what crosses between that and the loop of the raylet.
 *
 *   loop's thread                         bulk thread (a loop of its own, with all sockets)
 *   get ---------------- fetch --------->  asks a peer; bytes go into the arena
 *   done() <------------ fetch ----------
 *   serve() <----------- lookup ---------  a peer asks
 *   found, missing ----- lookup -------->  bytes go out of the arena
 *   served() <---------- served ---------
 *
 * The thread decides nothing about objects. mob_bulk_destroy() stops and joins it; posts that are still on their way to the loop's
 * thread then find the bulk `over`, call nobody, and the last of them frees it.
 */
#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "objstore/bulk_private.h"

/* -- to the loop's thread and back ------------------------------------------------------------------------------------------ */

static void post_to_owner(struct mob_bulk *b, struct mob_posted *p, void (*run)(struct mob_posted *p))
{
    p->run = run;
    atomic_fetch_add(&b->posts, 1);
    mob_loop_post(b->owner, p);
}

static void bulk_free(struct mob_bulk *b)
{
    free(b->token);
    free(b);
}

/* A post arrived and is dealt with. */
static void post_is_over(struct mob_bulk *b)
{
    if (atomic_fetch_sub(&b->posts, 1) == 1 && b->over)
        bulk_free(b);
}

static void found_on_thread(struct mob_posted *p)
{
    bulk_serving_found(MOB_CONTAINER(p, struct mob_bulk_lookup, posted));
}

/* Back to the thread, which frees it. */
static void lookup_over(struct mob_bulk_lookup *l)
{
    mob_list_remove(&l->link);
    l->posted.run = found_on_thread;
    mob_loop_post(l->bulk->loop, &l->posted);
}

void mob_bulk_found(struct mob_bulk_lookup *l, const struct mob_bulk_found *found)
{
    l->found = *found;
    lookup_over(l);
}

void mob_bulk_missing(struct mob_bulk_lookup *l, const struct mob_error *why)
{
    l->missing = true;
    l->err = *why;
    lookup_over(l);
}

static void look_up(struct mob_bulk_lookup *l)
{
    struct mob_bulk *b = l->bulk;
    const struct bulk_ask *ask = &l->ask;
    const struct mob_asked asked = { ask->what.object, ask->size, ask->offset, ask->length, l->asker, ask->root, ask->position,
                                     ask->failed, ask->direct != 0 };

    mob_list_append(&b->lookups, &l->link);
    if (ask->kind == BULK_OBJECT) {
        b->callbacks.serve(b->arg, &asked, l);
        return;
    }
    l->missing = (l->fd = b->callbacks.serve_file(b->arg, &ask->what.file, &l->err)) < 0;
    lookup_over(l);
}

static void on_lookup(struct mob_posted *p)
{
    struct mob_bulk_lookup *l = MOB_CONTAINER(p, struct mob_bulk_lookup, posted);
    struct mob_bulk *b = l->bulk;

    mob_list_init(&l->link);
    if (b->over)
        free(l);
    else
        look_up(l);
    post_is_over(b);
}

void bulk_post_lookup(struct mob_bulk_lookup *l)
{
    post_to_owner(l->bulk, &l->posted, on_lookup);
}

struct served {
    struct mob_posted posted;
    struct mob_bulk *bulk;
    uint64_t ticket;
};

static void on_served(struct mob_posted *p)
{
    struct served *s = MOB_CONTAINER(p, struct served, posted);
    struct mob_bulk *b = s->bulk;

    if (!b->over)
        b->callbacks.served(b->arg, s->ticket);
    free(s);
    post_is_over(b);
}

void bulk_post_served(struct mob_bulk *b, uint64_t ticket)
{
    struct served *s = mob_new(struct served);

    s->bulk = b;
    s->ticket = ticket;
    post_to_owner(b, &s->posted, on_served);
}

static void tell_done(struct bulk_fetch *f)
{
    const struct mob_error *err = f->failed ? &f->err : NULL;
    const struct mob_range_result result = { f->at - f->ask.offset, f->refer, f->position, f->final, err };

    if (f->done != NULL)
        f->done(f->arg, &result);
    else
        f->file_done(f->arg, err);
}

static void on_done(struct mob_posted *p)
{
    struct bulk_fetch *f = MOB_CONTAINER(p, struct bulk_fetch, posted);
    struct mob_bulk *b = f->bulk;

    if (!b->over)
        tell_done(f);
    free(f);
    post_is_over(b);
}

void bulk_post_done(struct bulk_fetch *f)
{
    post_to_owner(f->bulk, &f->posted, on_done);
}

/* -- life -------------------------------------------------------------------------------------------------------------- */

static void *bulk_thread(void *arg)
{
    struct mob_bulk *b = arg;

    mob_loop_run(b->loop);
    return NULL;
}

struct mob_bulk *mob_bulk_create(struct mob_loop *loop, const char *token, const struct mob_bulk_callbacks *cb, void *arg)
{
    struct mob_bulk *b = mob_new(struct mob_bulk);
    sigset_t all, before;
    int failed;

    *b = (struct mob_bulk){ .owner = loop, .callbacks = *cb, .arg = arg, .loop = mob_loop_create(), .token = mob_strdup(token),
                            .silence_ms = BULK_SILENCE_MS, .servings_max = BULK_SERVINGS_MAX };
    mob_list_init(&b->lookups);
    mob_list_init(&b->incomings);
    mob_list_init(&b->servings);
    mob_list_init(&b->peers);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    failed = pthread_create(&b->thread, NULL, bulk_thread, b);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    assert(failed == 0);
    (void)failed;
    return b;
}

struct listen_post {
    struct mob_posted posted;
    struct mob_bulk *bulk;
    int fd;
};

static void listen_on_thread(struct mob_posted *p)
{
    struct listen_post *l = MOB_CONTAINER(p, struct listen_post, posted);

    l->bulk->listener = bulk_listener_create(l->bulk, l->fd);
    free(l);
}

int mob_bulk_listen(struct mob_bulk *b, const char *ip, uint32_t port, uint32_t *ret_port, struct mob_error *err)
{
    int fd = bulk_socket_listen(ip, port, ret_port, err);
    struct listen_post *l;

    if (fd < 0)
        return -1;
    l = mob_new(struct listen_post);
    *l = (struct listen_post){ .posted.run = listen_on_thread, .bulk = b, .fd = fd };
    mob_loop_post(b->loop, &l->posted);
    return 0;
}

struct stop_post {
    struct mob_posted posted;
    struct mob_bulk *bulk;
};

/* Close everything; fetches end with an error that nobody will hear. mob_loop_destroy() lets the handles end. */
static void stop_on_thread(struct mob_posted *p)
{
    struct mob_bulk *b = MOB_CONTAINER(p, struct stop_post, posted)->bulk;
    struct mob_error why;

    mob_error_set(&why, MOB_ERR_CANCELLED, "this node ends");
    b->stopping = true;
    bulk_listener_close(b->listener);
    bulk_peers_end(b, NULL, 0, &why);
    bulk_servings_close(b);
    mob_loop_stop(b->loop);
}

void mob_bulk_set_node(struct mob_bulk *b, uint32_t node)
{
    atomic_store(&b->node, node);
}

void mob_bulk_destroy(struct mob_bulk *b)
{
    struct stop_post stop = { .posted.run = stop_on_thread, .bulk = b };
    struct mob_bulk_incoming *in;
    struct mob_bulk_lookup *l;

    if (b == NULL)
        return;
    mob_list_init(&stop.posted.link);
    atomic_fetch_add(&b->posts, 1);     /* ours, so that nothing is freed before the end */
    mob_loop_post(b->loop, &stop.posted);
    pthread_join(b->thread, NULL);
    mob_loop_destroy(b->loop);
    mob_list_each(l, &b->lookups, struct mob_bulk_lookup, link)
        free(l);
    mob_list_each(in, &b->incomings, struct mob_bulk_incoming, link)
        bulk_incoming_free(in);
    b->over = true;
    post_is_over(b);
}

/* -- gets -------------------------------------------------------------------------------------------------------------- */

static void fetch_on_thread(struct mob_posted *p)
{
    bulk_fetch_start(MOB_CONTAINER(p, struct bulk_fetch, posted));
}

static struct bulk_fetch *fetch_create(struct mob_bulk *b, const char *ip, uint32_t port, void *arg)
{
    struct bulk_fetch *f = mob_new(struct bulk_fetch);

    *f = (struct bulk_fetch){ .posted.run = fetch_on_thread, .bulk = b, .port = port, .fd = -1, .arg = arg };
    mob_list_init(&f->link);
    mob_copy(f->ip, sizeof f->ip, ip);
    return f;
}

void mob_bulk_get(struct mob_bulk *b, const char *ip, uint32_t port, const struct mob_range *range, struct mob_bulk_incoming *in,
                  void (*done)(void *arg, const struct mob_range_result *result), void *arg)
{
    const struct mob_asked *ask = &range->ask;
    struct bulk_fetch *f = fetch_create(b, ip, port, arg);

    f->ask = (struct bulk_ask){ .kind = BULK_OBJECT, .what.object = ask->id, .size = ask->size, .offset = ask->offset,
                                .length = ask->length, .root = ask->root, .position = ask->position, .failed = ask->failed,
                                .direct = ask->direct };
    f->at = ask->offset;
    f->in = in;
    f->referred = range->referred;
    f->done = done;
    mob_loop_post(b->loop, &f->posted);
}

void mob_bulk_get_file(struct mob_bulk *b, const char *ip, uint32_t port, const struct mob_hash *hash, int fd,
                       void (*done)(void *arg, const struct mob_error *err), void *arg)
{
    struct bulk_fetch *f = fetch_create(b, ip, port, arg);

    f->ask = (struct bulk_ask){ .kind = BULK_FILE, .what.file = *hash };
    f->fd = fd;
    f->file_done = done;
    mob_loop_post(b->loop, &f->posted);
}

struct forget_post {
    struct mob_posted posted;
    struct mob_bulk *bulk;
    char ip[64];
    uint32_t port;
    struct mob_error why;
};

static void forget_on_thread(struct mob_posted *p)
{
    struct forget_post *f = MOB_CONTAINER(p, struct forget_post, posted);

    bulk_peers_end(f->bulk, f->ip, f->port, &f->why);
    free(f);
}

void mob_bulk_forget(struct mob_bulk *b, const char *ip, uint32_t port, const struct mob_error *why)
{
    struct forget_post *f = mob_new(struct forget_post);

    *f = (struct forget_post){ .posted.run = forget_on_thread, .bulk = b, .port = port, .why = *why };
    mob_copy(f->ip, sizeof f->ip, ip);
    mob_loop_post(b->loop, &f->posted);
}

/* -- what comes ---------------------------------------------------------------------------------------------------------- */

struct mob_bulk_incoming *mob_bulk_incoming_create(struct mob_bulk *b, void *memory, uint64_t size, int file, uint64_t file_at)
{
    struct mob_bulk_incoming *in = mob_new(struct mob_bulk_incoming);
    uint64_t chunks = (size + BULK_CHUNK - 1) / BULK_CHUNK;

    *in = (struct mob_bulk_incoming){ .bulk = b, .memory = memory, .size = size, .file = file, .file_at = file_at,
                                      .hashes = mob_alloc(chunks * sizeof *in->hashes), .here = mob_alloc(chunks * sizeof *in->here) };
    mob_list_init(&in->waiting);
    mob_list_init(&in->link);
    mob_list_append(&b->incomings, &in->link);
    return in;
}

static void incoming_ended(struct mob_posted *p)
{
    bulk_incoming_ended(MOB_CONTAINER(p, struct mob_bulk_incoming, posted));
}

void mob_bulk_incoming_end(struct mob_bulk_incoming *in)
{
    mob_list_remove(&in->link);
    in->posted.run = incoming_ended;
    mob_loop_post(in->bulk->loop, &in->posted);
}
