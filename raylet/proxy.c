/* SPDX-License-Identifier: Apache-2.0 */
/* proxy.c -- TaskFrames -> ring -> worker -> ring -> AnswerFrames.
 *
 * A flight is a task from its arrival to its answer, or until it is taken back. It goes into the ring at once; while
 * the channel is not mapped yet, or slots behind a long task are not reusable yet, it waits in `pending`. Window
 * and pending together bound what an owner can make this node hold; an owner that sends more loses the lease.
 *
 * The owner cannot see the worker's page. So this file does what an owner on the same node does by itself: when the worker
 * blocks, or its task has run 4 times as long as expected (2 ms at least), it takes back what has not started, and says
 * Taken unasked.
 *
 * Items of a stream pass as answers do, and leave the flight in the air; how many more may come is Allow's to say, and is written where the
 * worker looks.
 */
#include "raylet/proxy.h"

#include <stdlib.h>

#include "raylet/core.h"

#define LONG_NS (2 * MS)
#define BATCH_TASKS 256
#define BATCH_BYTES (256u << 10)

struct flight {
    struct mob_link link;               /* in pending, or in_ring */
    uint64_t task;
    uint32_t attempt;
    uint64_t sequence;                  /* in the ring */
    uint32_t size;                      /* of the body */
    uint32_t allowed;                   /* by Allow, while pending; 0: nothing */
    bool pending;
    struct mob_task_frame frame;        /* with what follows: while pending */
    uint8_t body[];
};

void mob_proxies_init(struct mob_raylet *r)
{
    mob_list_init(&r->proxies.all);
}

void mob_proxies_fini(struct mob_raylet *r)
{
    free(r->proxies.batch);
}

struct proxy *mob_proxy_create(struct mob_raylet *r, struct lease *l)
{
    struct proxy *p = mob_new(struct proxy);

    p->lease = l;
    mob_list_init(&p->pending);
    mob_list_init(&p->in_ring);
    mob_list_append(&r->proxies.all, &p->link);
    return p;
}

static void land(struct proxy *p, struct flight *f)
{
    mob_map_remove(&p->flights, f->task);
    mob_list_remove(&f->link);
    p->bytes -= f->size;
    free(f);
}

void mob_proxy_destroy(struct mob_raylet *r, struct proxy *p)
{
    struct flight *f;

    (void)r;
    for (size_t at = 0; (f = mob_map_next(&p->flights, &at, NULL)) != NULL;)
        free(f);
    mob_map_fini(&p->flights);
    mob_list_remove(&p->link);
    free(p);
}

/* One of the two ends broke the rules: the lease ends, and nothing else. */
static void end_lease(struct mob_raylet *r, struct proxy *p, const char *what)
{
    struct mob_error why;

    mob_error_set(&why, MOB_ERR_PROTOCOL, "lease %llu was ended: %s", (unsigned long long)p->lease->number, what);
    mob_warn("%s", why.text);
    mob_lease_end(r, p->lease, true, &why);
}

/* -- tasks in ------------------------------------------------------------------------------------------------------------ */

static bool push(struct mob_channel *channel, const struct mob_task_frame *frame, const void *bytes, uint64_t *ret_sequence)
{
    struct mob_task_frame *slot;
    void *body;

    if (channel == NULL || !mob_channel_has_room(channel, frame->body_size)
        || (slot = mob_channel_reserve(channel, frame->body_size, &body)) == NULL)
        return false;
    *slot = *frame;
    memcpy(body, bytes, frame->body_size);
    *ret_sequence = mob_channel_commit(channel);
    return true;
}

void mob_proxy_pump(struct mob_raylet *r, struct proxy *p)
{
    struct mob_channel *channel = p->lease->worker->channel;
    struct flight *f;

    mob_list_each(f, &p->pending, struct flight, link) {
        if (!push(channel, &f->frame, f->body, &f->sequence))
            break;
        if (f->allowed != 0)
            mob_channel_allow(channel, f->sequence, f->allowed);
        f->pending = false;
        mob_list_remove(&f->link);
        mob_list_append(&p->in_ring, &f->link);
    }
    if (channel == NULL)
        return;
    mob_channel_ring(channel, true);
    if (p->look_at == 0)
        p->look_at = r->now + LONG_NS;
}

/* NULL: beyond the window, or named twice. */
static struct flight *take_off(struct proxy *p, const struct mob_task_frame *frame, const uint8_t *body)
{
    struct flight *f;

    if (p->flights.count > WINDOW_TASKS || p->bytes + frame->body_size > WINDOW_BYTES + MOB_CHANNEL_BODY_MAX
        || mob_map_get(&p->flights, frame->task) != NULL)
        return NULL;
    f = mob_alloc(sizeof *f + frame->body_size);
    f->task = frame->task;
    f->attempt = frame->attempt;
    f->size = frame->body_size;
    f->allowed = 0;
    f->pending = true;
    f->frame = *frame;
    memcpy(f->body, body, frame->body_size);
    mob_map_set(&p->flights, f->task, f);
    mob_list_append(&p->pending, &f->link);
    p->bytes += f->size;
    return f;
}

/* Cut the next frame off. False: it is malformed. */
static bool next_frame(const uint8_t **at, size_t *left, struct mob_task_frame *ret_frame, const uint8_t **ret_body)
{
    size_t size;

    if (*left < sizeof *ret_frame)
        return false;
    memcpy(ret_frame, *at, sizeof *ret_frame);
    size = sizeof *ret_frame + mob_frame_pad(ret_frame->body_size);
    if (ret_frame->body_size > MOB_CHANNEL_BODY_MAX || size > *left)
        return false;
    *ret_body = *at + sizeof *ret_frame;
    *at += size;
    *left -= size;
    return true;
}

void mob_proxy_on_task_frames(struct mob_raylet *r, const struct arrival *a)
{
    const Mobula__TaskFrames *m = a->e->task_frames;
    struct lease *l = mob_lease_of(r, m->lease, a->from);
    const uint8_t *at = m->frames.data, *body;
    size_t left = m->frames.len;
    struct mob_task_frame frame;

    if (l == NULL || l->proxy == NULL)
        return;                         /* it is over: LeaseOver says it all */
    while (left > 0) {
        if (!next_frame(&at, &left, &frame, &body)) {
            end_lease(r, l->proxy, "its owner sent a malformed frame");
            return;
        }
        frame.epoch = l->epoch;
        if (take_off(l->proxy, &frame, body) == NULL) {
            end_lease(r, l->proxy, "its owner sent more than its window");
            return;
        }
    }
    if (l->worker->machine.now == WORKER_BLOCKED)
        mob_proxy_take_all(r, l->proxy);
    else
        mob_proxy_pump(r, l->proxy);
}

/* -- answers out --------------------------------------------------------------------------------------------------------- */

static void send_batch(struct mob_raylet *r, const struct proxy *p)
{
    struct proxies *out = &r->proxies;
    Mobula__AnswerFrames m = MOBULA__ANSWER_FRAMES__INIT;
    struct mob_envelope e;

    if (out->batch_count == 0)
        return;
    m.lease = p->lease->number;
    m.count = out->batch_count;
    m.frames.data = out->batch;
    m.frames.len = out->batch_size;
    mob_envelope_init(&e, r->self, mob_lease_owner(p->lease), MOBULA__ENVELOPE__BODY_ANSWER_FRAMES);
    e.e.answer_frames = &m;
    mob_route_send(r, &e.e);
    out->batch_count = 0;
    out->batch_size = 0;
}

static void add_to_batch(struct mob_raylet *r, const struct proxy *p, const struct mob_answer_frame *frame, const void *body)
{
    struct proxies *out = &r->proxies;
    size_t padded = mob_frame_pad(frame->body_size), size = sizeof *frame + padded;

    if (out->batch_count == BATCH_TASKS || out->batch_size + size > BATCH_BYTES)
        send_batch(r, p);
    if (out->batch_size + size > out->batch_room) {
        out->batch_room = out->batch_size + size;
        out->batch = mob_realloc(out->batch, out->batch_room);
    }
    memcpy(out->batch + out->batch_size, frame, sizeof *frame);
    memcpy(out->batch + out->batch_size + sizeof *frame, body, frame->body_size);
    memset(out->batch + out->batch_size + sizeof *frame + frame->body_size, 0, padded - frame->body_size);
    out->batch_size += size;
    out->batch_count++;
}

static void learn(struct proxy *p, const struct mob_answer_frame *frame)
{
    int64_t took = frame->ended_ns - frame->started_ns;

    if (took < 0)
        return;
    p->expected_ns = p->expected_ns == 0 ? took : (p->expected_ns * 7 + took) / 8;
}

void mob_proxy_drain(struct mob_raylet *r, struct proxy *p)
{
    struct mob_channel *channel = p->lease->worker->channel;
    struct mob_answer_frame frame;
    const void *body;
    bool any = false;

    if (channel == NULL)
        return;
    while (mob_channel_answer(channel, &frame, &body)) {
        struct flight *f = mob_map_get(&p->flights, frame.task);

        if (f == NULL || f->pending || f->attempt != frame.attempt) {
            mob_channel_answer_done(channel);
            send_batch(r, p);
            end_lease(r, p, "its worker answered a task that it was not given");
            return;
        }
        add_to_batch(r, p, &frame, body);
        mob_channel_answer_done(channel);
        if (frame.status == MOB_ANSWER_ITEM)
            continue;
        learn(p, &frame);
        land(p, f);
        any = true;
    }
    send_batch(r, p);
    mob_channel_ring(channel, true);    /* the worker may wait for the room of its items */
    if (mob_channel_error(channel) != NULL) {
        end_lease(r, p, mob_channel_error(channel));
    } else if (any) {
        p->look_at = r->now + LONG_NS;
        if (!mob_list_empty(&p->pending))
            mob_proxy_pump(r, p);
    }
}

void mob_proxy_on_allow(struct mob_raylet *r, const struct arrival *a)
{
    const Mobula__Allow *m = a->e->allow;
    struct lease *l = mob_lease_of(r, m->lease, a->from);
    struct flight *f = l != NULL && l->proxy != NULL ? mob_map_get(&l->proxy->flights, m->task) : NULL;

    if (f == NULL || f->attempt != m->attempt)
        return;
    if (f->pending) {
        f->allowed = m->items;
        return;
    }
    mob_channel_allow(l->worker->channel, f->sequence, m->items);
    mob_channel_ring(l->worker->channel, true);
}

/* -- taking back --------------------------------------------------------------------------------------------------------- */

/* The flight goes back, if it has not started. */
static bool take(struct proxy *p, struct flight *f, uint64_t *ret_task)
{
    if (!f->pending && !mob_channel_take_back(p->lease->worker->channel, f->sequence))
        return false;
    *ret_task = f->task;
    land(p, f);
    return true;
}

static void say_taken(struct mob_raylet *r, const struct proxy *p, uint64_t *tasks, size_t count)
{
    Mobula__Taken m = MOBULA__TAKEN__INIT;
    struct mob_envelope e;

    m.lease = p->lease->number;
    m.n_tasks = count;
    m.tasks = tasks;
    mob_envelope_init(&e, r->self, mob_lease_owner(p->lease), MOBULA__ENVELOPE__BODY_TAKEN);
    e.e.taken = &m;
    mob_route_send(r, &e.e);
}

static size_t take_list(struct proxy *p, struct mob_link *list, uint64_t *ret_tasks, size_t count)
{
    struct flight *f;

    mob_list_each(f, list, struct flight, link)
        count += take(p, f, &ret_tasks[count]);
    return count;
}

void mob_proxy_take_all(struct mob_raylet *r, struct proxy *p)
{
    uint64_t tasks[WINDOW_TASKS + 1];
    size_t count = take_list(p, &p->in_ring, tasks, 0);

    count = take_list(p, &p->pending, tasks, count);
    if (count > 0)
        say_taken(r, p, tasks, count);
}

void mob_proxy_on_take_back(struct mob_raylet *r, const struct arrival *a)
{
    const Mobula__TakeBack *m = a->e->take_back;
    struct lease *l = mob_lease_of(r, m->lease, a->from);
    uint64_t tasks[WINDOW_TASKS + 1];
    size_t count = 0;

    if (l == NULL || l->proxy == NULL)
        return;
    if (m->n_tasks == 0) {
        count = take_list(l->proxy, &l->proxy->in_ring, tasks, 0);
        count = take_list(l->proxy, &l->proxy->pending, tasks, count);
    }
    for (size_t i = 0; i < m->n_tasks; i++) {
        struct flight *f = mob_map_get(&l->proxy->flights, m->tasks[i]);

        if (f != NULL)
            count += take(l->proxy, f, &tasks[count]);
    }
    say_taken(r, l->proxy, tasks, count);
}

/* Does the worker run one task for long, with others behind it? If not, it is looked at again when that may be. */
static bool runs_long(const struct mob_raylet *r, struct proxy *p)
{
    const struct mob_page *page = p->lease->worker->process->page;
    int64_t limit = 4 * p->expected_ns > LONG_NS ? 4 * p->expected_ns : LONG_NS, since = r->now, claimed;

    p->look_at = r->now + LONG_NS;
    if (page == NULL || atomic_load(&page->epoch) != p->lease->epoch)
        return false;
    if ((claimed = atomic_load(&page->claimed_ns)) != 0)
        since = claimed;
    if (r->now - since >= limit)
        return true;
    p->look_at = since + limit;
    return false;
}

int64_t mob_proxies_tick(struct mob_raylet *r)
{
    int64_t next = INT64_MAX;
    struct proxy *p;

    mob_list_each(p, &r->proxies.all, struct proxy, link) {
        if (p->flights.count < 2)
            continue;
        if (r->now >= p->look_at) {             /* not before: each tick would look at each lease and worker */
            if (p->lease->machine.now == LEASE_ENDING)
                continue;
            if (runs_long(r, p))
                mob_proxy_take_all(r, p);
        }
        if (p->flights.count > 1 && p->look_at < next)
            next = p->look_at;
    }
    return next;
}
