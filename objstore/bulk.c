/* SPDX-License-Identifier: Apache-2.0 */
/* bulk.c -- bulk transfer: its public calls, its thread, and what crosses between that and the loop of the raylet.
 *
 *   loop's thread                         bulk thread (a loop of its own, with all sockets)
 *   get ---------------- fetch --------->  asks a peer; bytes go into the arena
 *   done() <------------ fetch ----------
 *   serve() <----------- lookup ---------  a peer asks
 *           ------------ lookup -------->  bytes go out of the arena
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
    bulk_serving_found(MOB_CONTAINER(p, struct bulk_lookup, posted));
}

static void look_up(struct bulk_lookup *l)
{
    struct mob_bulk *b = l->bulk;

    mob_error_set(&l->err, MOB_ERR_OBJECT_LOST, "it is not here");
    if (l->ask.kind == BULK_OBJECT)
        l->found = b->callbacks.serve(b->arg, &l->ask.what.object, &l->data, &l->size, &l->err) == 0;
    else
        l->found = (l->fd = b->callbacks.serve_file(b->arg, &l->ask.what.file, &l->err)) >= 0;
}

static void on_lookup(struct mob_posted *p)
{
    struct bulk_lookup *l = MOB_CONTAINER(p, struct bulk_lookup, posted);
    struct mob_bulk *b = l->bulk;

    if (b->over) {
        free(l);
    } else {
        look_up(l);
        p->run = found_on_thread;
        mob_loop_post(b->loop, p);
    }
    post_is_over(b);
}

void bulk_post_lookup(struct bulk_lookup *l)
{
    post_to_owner(l->bulk, &l->posted, on_lookup);
}

struct served {
    struct mob_posted posted;
    struct mob_bulk *bulk;
    struct mob_object_id object;
};

static void on_served(struct mob_posted *p)
{
    struct served *s = MOB_CONTAINER(p, struct served, posted);
    struct mob_bulk *b = s->bulk;

    if (!b->over)
        b->callbacks.served(b->arg, &s->object);
    free(s);
    post_is_over(b);
}

void bulk_post_served(struct mob_bulk *b, const struct mob_object_id *id)
{
    struct served *s = mob_new(struct served);

    s->bulk = b;
    s->object = *id;
    post_to_owner(b, &s->posted, on_served);
}

static void on_done(struct mob_posted *p)
{
    struct bulk_fetch *f = MOB_CONTAINER(p, struct bulk_fetch, posted);
    struct mob_bulk *b = f->bulk;

    if (!b->over)
        f->done(f->arg, f->failed ? &f->err : NULL);
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
                            .silence_ms = BULK_SILENCE_MS };
    mob_list_init(&b->servings);
    mob_list_init(&b->callers);
    mob_list_init(&b->waiting);
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

    b->stopping = true;
    bulk_listener_close(b->listener);
    bulk_fetches_close(b);
    bulk_servings_close(b);
    mob_loop_stop(b->loop);
}

void mob_bulk_destroy(struct mob_bulk *b)
{
    struct stop_post stop = { .posted.run = stop_on_thread, .bulk = b };

    if (b == NULL)
        return;
    mob_list_init(&stop.posted.link);
    atomic_fetch_add(&b->posts, 1);     /* ours, so that nothing is freed before the end */
    mob_loop_post(b->loop, &stop.posted);
    pthread_join(b->thread, NULL);
    mob_loop_destroy(b->loop);
    b->over = true;
    post_is_over(b);
}

/* -- gets -------------------------------------------------------------------------------------------------------------- */

static void fetch_on_thread(struct mob_posted *p)
{
    bulk_fetch_start(MOB_CONTAINER(p, struct bulk_fetch, posted));
}

static struct bulk_fetch *fetch_create(struct mob_bulk *b, const char *ip, uint32_t port,
                                       void (*done)(void *arg, const struct mob_error *err), void *arg)
{
    struct bulk_fetch *f = mob_new(struct bulk_fetch);

    *f = (struct bulk_fetch){ .posted.run = fetch_on_thread, .bulk = b, .port = port, .fd = -1, .done = done, .arg = arg };
    mob_list_init(&f->link);
    mob_copy(f->ip, sizeof f->ip, ip);
    return f;
}

void mob_bulk_get(struct mob_bulk *b, const char *ip, uint32_t port, const struct mob_object_id *id, void *memory, uint64_t size,
                  void (*done)(void *arg, const struct mob_error *err), void *arg)
{
    struct bulk_fetch *f = fetch_create(b, ip, port, done, arg);

    f->ask = (struct bulk_ask){ .kind = BULK_OBJECT, .size = size, .what.object = *id };
    f->memory = memory;
    mob_loop_post(b->loop, &f->posted);
}

void mob_bulk_get_file(struct mob_bulk *b, const char *ip, uint32_t port, const struct mob_hash *hash, int fd,
                       void (*done)(void *arg, const struct mob_error *err), void *arg)
{
    struct bulk_fetch *f = fetch_create(b, ip, port, done, arg);

    f->ask = (struct bulk_ask){ .kind = BULK_FILE, .what.file = *hash };
    f->fd = fd;
    mob_loop_post(b->loop, &f->posted);
}
