/* SPDX-License-Identifier: Apache-2.0 */
/* rpc.c -- the links of one process: the completion-queue thread and the public calls.
 *
 *   loop thread                          completion-queue thread
 *   rpc_start: batch to gRPC  ------->   next() gives its tag
 *   on_wake: tag->back()      <-------   appends it to `returned`, posts the waker if it is not posted
 *
 * The thread touches nothing else. A batch that gRPC finishes inside rpc_start (most writes) is taken from gRPC's thread-local cache
 * and goes the same way without waking the thread. User callbacks run from on_wake and from timers only, so a public call never calls
 * back. A tag counts as under way from rpc_start until back(); mob_rpc_destroy() cancels everything and waits until none is.
 */
#include <assert.h>
#include <grpc/grpc_security.h>
#include <grpc/support/log.h>
#include <signal.h>
#include <stdlib.h>

#include "common/log.h"
#include "rpc/internal.h"

#define ROUNDS_MAX 16

/* -- tags -------------------------------------------------------------------------------------------------------------- */

void rpc_tag_init(struct rpc_tag *tag, void (*back)(struct rpc_tag *tag))
{
    *tag = (struct rpc_tag){ .magic = RPC_TAG_MAGIC, .back = back };
    mob_list_init(&tag->link);
}

void rpc_tag_start(struct mob_rpc *r, struct rpc_tag *tag)
{
    assert(!tag->busy);
    tag->busy = true;
    r->under_way++;
}

static void tag_returned(struct mob_rpc *r, struct rpc_tag *tag, bool ok)
{
    assert(tag->magic == RPC_TAG_MAGIC);
    tag->ok = ok;
    pthread_mutex_lock(&r->lock);
    mob_list_append(&r->returned, &tag->link);
    if (!r->waker_posted) {
        r->waker_posted = true;
        mob_loop_post(r->loop, &r->waker->posted);
    }
    pthread_cond_signal(&r->came);
    pthread_mutex_unlock(&r->lock);
}

void rpc_start(struct mob_rpc *r, grpc_call *call, const grpc_op *ops, size_t count, struct rpc_tag *tag)
{
    grpc_call_error failed;
    void *finished;
    int ok;

    rpc_tag_start(r, tag);
    grpc_completion_queue_thread_local_cache_init(r->queue);
    failed = grpc_call_start_batch(call, ops, count, tag, NULL);
    assert(failed == GRPC_CALL_OK);
    (void)failed;
    if (grpc_completion_queue_thread_local_cache_flush(r->queue, &finished, &ok))
        tag_returned(r, finished, ok);
}

static void *queue_thread(void *arg)
{
    struct mob_rpc *r = arg;

    for (;;) {
        grpc_event event = grpc_completion_queue_next(r->queue, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);

        if (event.type == GRPC_QUEUE_SHUTDOWN)
            return NULL;
        tag_returned(r, event.tag, event.success);
    }
}

static void bring_back(struct mob_rpc *r, struct mob_link *tags)
{
    while (!mob_list_empty(tags)) {
        struct rpc_tag *tag = mob_list_first(tags, struct rpc_tag, link);

        mob_list_remove(&tag->link);
        assert(tag->busy && r->under_way > 0);
        tag->busy = false;
        r->under_way--;
        tag->back(tag);
    }
}

/* Move what came to `ret_tags`, an empty list; the lock is held. */
static void take_returned(struct mob_rpc *r, struct mob_link *ret_tags)
{
    mob_list_init(ret_tags);
    if (!mob_list_empty(&r->returned)) {
        mob_list_append(&r->returned, ret_tags);
        mob_list_remove(&r->returned);
    }
}

/* The waker counts as posted until nothing is left, so what comes meanwhile, often caused by us, is free of a wake-up. After some
 * rounds the rest of the loop has its turn. */
static void on_wake(struct mob_posted *posted)
{
    struct rpc_waker *waker = MOB_CONTAINER(posted, struct rpc_waker, posted);
    struct mob_rpc *r = waker->rpc;
    struct mob_link tags;

    if (r == NULL) {
        free(waker);
        return;
    }
    for (int round = 0;; round++) {
        pthread_mutex_lock(&r->lock);
        take_returned(r, &tags);
        r->waker_posted = !mob_list_empty(&tags);
        pthread_mutex_unlock(&r->lock);
        if (mob_list_empty(&tags))
            return;
        bring_back(r, &tags);
        if (round == ROUNDS_MAX) {
            mob_loop_post(r->loop, posted);
            return;
        }
    }
}

/* -- life -------------------------------------------------------------------------------------------------------------- */

static void log_of_grpc(gpr_log_func_args *args)
{
    mob_debug("gRPC: %s", args->message);
}

/* gRPC's threads and ours inherit the mask: signals are the loop thread's. */
static void start_grpc(struct mob_rpc *r)
{
    sigset_t all, before;
    int failed;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    gpr_set_log_function(log_of_grpc);
    grpc_init();
    r->queue = grpc_completion_queue_create_for_next(NULL);
    failed = pthread_create(&r->thread, NULL, queue_thread, r);
    assert(failed == 0);
    (void)failed;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

struct mob_rpc *mob_rpc_create(struct mob_loop *loop, const char *token, const struct mob_rpc_callbacks *cb, void *arg)
{
    struct mob_rpc *r = mob_new(struct mob_rpc);

    *r = (struct mob_rpc){ .loop = loop, .callbacks = *cb, .arg = arg, .token = mob_strdup(token), .protocol = MOB_PROTOCOL };
    mob_list_init(&r->all);
    mob_list_init(&r->returned);
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->came, NULL);
    r->waker = mob_new(struct rpc_waker);
    *r->waker = (struct rpc_waker){ .posted.run = on_wake, .rpc = r };
    start_grpc(r);
    r->client_options = rpc_options_create();
    r->credentials = grpc_insecure_credentials_create();
    return r;
}

/* End every link and the server without a word, and wait for the last tag. gRPC answers a cancelled batch at once. */
static void wind_up(struct mob_rpc *r)
{
    struct rpc_link *l;
    struct mob_link tags;

    r->ending = true;
    mob_list_each(l, &r->all, struct rpc_link, link)
        rpc_link_abandon(l);
    if (r->server != NULL)
        rpc_server_shut_down(r->server);
    while (r->under_way > 0) {
        pthread_mutex_lock(&r->lock);
        while (mob_list_empty(&r->returned))
            pthread_cond_wait(&r->came, &r->lock);
        take_returned(r, &tags);
        pthread_mutex_unlock(&r->lock);
        bring_back(r, &tags);
    }
    assert(mob_list_empty(&r->all));
}

static void drop_waker(struct mob_rpc *r)
{
    r->waker->rpc = NULL;
    if (!r->waker_posted)
        free(r->waker);
}

void mob_rpc_destroy(struct mob_rpc *r)
{
    if (r == NULL)
        return;
    wind_up(r);
    rpc_server_destroy(r->server);
    rpc_options_destroy(r->client_options);
    grpc_channel_credentials_release(r->credentials);
    grpc_completion_queue_shutdown(r->queue);
    pthread_join(r->thread, NULL);
    grpc_completion_queue_destroy(r->queue);
    grpc_shutdown_blocking();
    drop_waker(r);
    pthread_cond_destroy(&r->came);
    pthread_mutex_destroy(&r->lock);
    mob_map_fini(&r->links);
    free(r->token);
    free(r);
}

/* -- calls ------------------------------------------------------------------------------------------------------------- */

uint64_t mob_rpc_dial(struct mob_rpc *r, const char *ip, uint32_t port, int64_t timeout_ms)
{
    return rpc_client_dial(r, ip, port, timeout_ms)->number;
}

void mob_rpc_send(struct mob_rpc *r, uint64_t link, const void *frame, size_t size)
{
    struct rpc_link *l = mob_map_get(&r->links, link);

    if (l != NULL)
        rpc_link_frame(l, frame, size);
}

size_t mob_rpc_queued(struct mob_rpc *r, uint64_t link)
{
    struct rpc_link *l = mob_map_get(&r->links, link);

    return l != NULL ? l->queued : 0;
}

void mob_rpc_hang_up(struct mob_rpc *r, uint64_t link, const struct mob_error *why)
{
    struct rpc_link *l = mob_map_get(&r->links, link);

    if (l != NULL)
        rpc_link_hang_up(l, why);
}
