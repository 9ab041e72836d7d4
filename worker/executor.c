/* SPDX-License-Identifier: Apache-2.0 */
/* executor.c -- claims tasks from the channel of the owner the worker is assigned to, and answers them.
 *
 *   IDLE --claim--> RUNNING --finish, fail--> IDLE
 *
 * IDLE waits for a frame of the current epoch (the doorbell wakes us) or for an Assign (the socket). In RUNNING a new Assign is
 * kept in `next` and begins when the task has ended: so an owner never sees its epoch end under a task of its own. The raylet
 * lends again only after the old owner's Return, hence no frame of an older epoch is left that somebody still counts on; the
 * channel skips them.
 *
 * The newest MOB_EXECUTOR_CHANNELS channels are kept, and the raylet's own: it knows of as many owners of ours, and opens a
 * channel when it lends us to another. The one in use goes when it is not any more. An owner whose ring holds what must not be
 * there has its channel broken by common/channel.c; nothing is claimed from it any more, and the raylet ends the lease when the
 * owner does.
 *
 * A RUNNING stream yields items: frames as answers are, in turn, as many as its owner allows; they leave the task claimed. Those that the
 * owner has of an earlier attempt are only counted.
 *
 * An answer's room: the ring keeps MOB_CHANNEL_REPLY_MIN bytes free for each claimed task, so an error and a few stored values always
 * fit.
 */
#include "worker/executor.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/list.h"
#include "common/mem.h"
#include "common/wire.h"

struct kept {
    struct mob_link link;               /* in executor->channels, oldest first */
    struct mob_address owner;           /* the producer */
    struct mob_channel *ring;
};

struct mob_executor {
    struct mob_world *world;
    struct mob_executor_config config;
    struct mob_wire *wire;
    struct mob_link channels;
    size_t channel_count;               /* but for the raylet's */
    struct mob_channel *channel;        /* of the current lease; NULL: none, or not opened yet */
    struct mob_executor_lease lease, next;
    bool running, has_next;
    int64_t started_ns, ended_ns;       /* of the running task, of the last one */
    uint32_t runs;                      /* so far, with the running one */
    uint32_t flags;                     /* of the running task's frame */
    uint32_t items, had;                /* yielded by it; of them, those that its owner had */
    struct mob_run_arg *args;           /* of the running task; room for args_room */
    size_t args_room;
};

struct mob_executor *mob_executor_create(struct mob_world *w, const struct mob_executor_config *config)
{
    struct mob_executor *e = mob_new(struct mob_executor);

    assert(config->page != NULL);
    e->world = w;
    e->config = *config;
    e->wire = mob_wire_create();
    mob_list_init(&e->channels);
    return e;
}

static void kept_drop(struct mob_executor *e, struct kept *k)
{
    e->channel_count -= k->owner.process != 0;
    mob_list_remove(&k->link);
    mob_channel_close(k->ring);
    free(k);
}

void mob_executor_destroy(struct mob_executor *e)
{
    struct kept *k;

    if (e == NULL)
        return;
    mob_list_each(k, &e->channels, struct kept, link)
        kept_drop(e, k);
    mob_wire_destroy(e->wire);
    free(e->args);
    free(e);
}

/* -- channels ---------------------------------------------------------------------------------------------------------------- */

static struct kept *kept_find(struct mob_executor *e, struct mob_address owner)
{
    struct kept *k;

    mob_list_each(k, &e->channels, struct kept, link)
        if (mob_address_eq(k->owner, owner))
            return k;
    return NULL;
}

static struct kept *kept_oldest(struct mob_executor *e)
{
    struct kept *k;

    mob_list_each(k, &e->channels, struct kept, link)
        if (k->owner.process != 0)
            return k;
    return NULL;
}

static void kept_add(struct mob_executor *e, struct mob_address owner, struct mob_channel *ring)
{
    struct kept *k = mob_new(struct kept), *oldest;

    k->owner = owner;
    k->ring = ring;
    mob_list_append(&e->channels, &k->link);
    e->channel_count += owner.process != 0;
    while (e->channel_count > MOB_EXECUTOR_CHANNELS && (oldest = kept_oldest(e))->ring != e->channel)
        kept_drop(e, oldest);
}

/* -- leases ------------------------------------------------------------------------------------------------------------------ */

static void send_assigned(struct mob_executor *e)
{
    struct mob_address raylet = { e->config.self.node, 0 };
    Mobula__Assigned m = MOBULA__ASSIGNED__INIT;
    struct mob_envelope out;
    const void *bytes;
    size_t size;

    mob_envelope_init(&out, e->config.self, raylet, MOBULA__ENVELOPE__BODY_ASSIGNED);
    m.epoch = e->lease.epoch;
    out.e.assigned = &m;
    bytes = mob_wire_pack(e->wire, &out.e, &size);
    e->world->send(e->world, e->config.raylet, bytes, size);
}

static void begin_lease(struct mob_executor *e, const struct mob_executor_lease *lease)
{
    struct kept *k = kept_find(e, lease->channel_owner);

    assert(!e->running);
    e->lease = *lease;
    e->channel = k != NULL ? k->ring : NULL;
    atomic_store(&e->config.page->epoch, lease->epoch);
    send_assigned(e);
}

static int lease_unpack(const Mobula__Assign *m, struct mob_executor_lease *ret, struct mob_error *err)
{
    memset(ret, 0, sizeof *ret);
    ret->lease = m->lease;
    ret->epoch = m->epoch;
    ret->depth = m->depth;
    ret->channel_owner = mob_wire_address(m->owner);
    ret->owner = m->real_owner != NULL ? mob_wire_address(m->real_owner) : ret->channel_owner;
    if (m->n_gpus > MOB_COUNT(ret->gpus))
        return mob_error_set(err, MOB_ERR_PROTOCOL, "Assign names %zu GPUs", m->n_gpus);
    ret->gpu_count = m->n_gpus;
    for (size_t i = 0; i < m->n_gpus; i++)
        ret->gpus[i] = m->gpus[i];
    return mob_wire_resources(m->resources, m->n_resources, &ret->resources, err);
}

void mob_executor_receive(struct mob_executor *e, const void *frame, size_t size)
{
    struct mob_executor_lease lease;
    const Mobula__Envelope *in = mob_wire_unpack(e->wire, frame, size, NULL);

    if (in == NULL || in->body_case != MOBULA__ENVELOPE__BODY_ASSIGN)
        return;
    if (lease_unpack(in->assign, &lease, NULL) < 0)
        return;
    if (lease.epoch < e->lease.epoch || (e->has_next && lease.epoch < e->next.epoch))
        return;                         /* overtaken by a newer one */
    if (!e->running) {
        begin_lease(e, &lease);
    } else {
        e->next = lease;
        e->has_next = true;
    }
}

void mob_executor_channel(struct mob_executor *e, struct mob_address owner, struct mob_channel *channel)
{
    struct kept *old = kept_find(e, owner);
    bool current = mob_address_eq(owner, e->lease.channel_owner) && e->lease.epoch != 0;

    if (e->running && current) {        /* a raylet opens a channel before it assigns us over it, never under a task */
        mob_channel_close(channel);
        return;
    }
    if (current)
        e->channel = channel;
    if (old != NULL)
        kept_drop(e, old);
    kept_add(e, owner, channel);
}

/* -- the page ---------------------------------------------------------------------------------------------------------------- */

static void page_begin(struct mob_executor *e, const struct mob_task_frame *frame)
{
    struct mob_page *page = e->config.page;

    atomic_store_explicit(&page->task, frame->task, memory_order_relaxed);
    atomic_store_explicit(&page->attempt, frame->attempt, memory_order_relaxed);
    atomic_store_explicit(&page->once, frame->flags & MOB_TASK_ONCE, memory_order_relaxed);
    atomic_store_explicit(&page->claimed_ns, e->started_ns, memory_order_release);
    atomic_store_explicit(&page->state, MOB_WORKER_RUNNING, memory_order_release);
}

static void page_end(struct mob_executor *e)
{
    atomic_store_explicit(&e->config.page->claimed_ns, 0, memory_order_release);
    atomic_store_explicit(&e->config.page->state, MOB_WORKER_IDLE, memory_order_release);
}

void mob_executor_block(struct mob_executor *e)
{
    assert(e->running);
    atomic_store(&e->config.page->state, MOB_WORKER_BLOCKED);
    if (mob_channel_pending(e->channel, e->lease.epoch))
        mob_channel_ring_all(e->channel);
}

void mob_executor_unblock(struct mob_executor *e)
{
    assert(e->running);
    atomic_store(&e->config.page->state, MOB_WORKER_RUNNING);
}

bool mob_executor_cancelled(const struct mob_executor *e, const struct mob_run *run)
{
    const struct mob_page *page = e->config.page;

    return atomic_load_explicit(&page->cancel_task, memory_order_acquire) == run->task
        && atomic_load_explicit(&page->cancel_attempt, memory_order_relaxed) == run->attempt;
}

uint32_t mob_executor_cancels(const struct mob_executor *e, const Mobula__Cancel *m)
{
    const struct mob_page *page = e->config.page;

    return e->running && m->lease == e->lease.lease && m->task == atomic_load(&page->task)
        && m->attempt == atomic_load(&page->attempt) ? e->runs : 0;
}

/* -- claim ------------------------------------------------------------------------------------------------------------------- */

static int parse_arg(const char *body, size_t size, size_t *at, struct mob_run_arg *ret)
{
    struct mob_arg_head head;

    if (size - *at < sizeof head)
        return -1;
    memcpy(&head, body + *at, sizeof head);
    *at += sizeof head;
    if (head.size > size - *at)
        return -1;
    ret->kind = head.kind;
    ret->data = body + *at;
    ret->size = head.size;
    if (head.kind == MOB_VALUE_STORED && head.size == sizeof ret->stored)
        memcpy(&ret->stored, body + *at, sizeof ret->stored);
    else if (head.kind == MOB_VALUE_FORWARD && head.size == sizeof ret->forward)
        memcpy(&ret->forward, body + *at, sizeof ret->forward);
    else if (head.kind != MOB_VALUE_INLINE && head.kind != MOB_VALUE_PACKED)
        return -1;
    *at += mob_frame_pad(head.size) <= size - *at ? mob_frame_pad(head.size) : size - *at;
    return 0;
}

static int parse_args(struct mob_executor *e, const struct mob_task_frame *frame, const char *body)
{
    size_t at = 0;

    if (frame->args > frame->body_size / sizeof(struct mob_arg_head))
        return -1;
    if (frame->args > e->args_room) {
        e->args = mob_realloc(e->args, frame->args * sizeof *e->args);
        e->args_room = frame->args;
    }
    for (uint32_t i = 0; i < frame->args; i++)
        if (parse_arg(body, frame->body_size, &at, &e->args[i]) < 0)
            return -1;
    return 0;
}

static bool run_begin(struct mob_executor *e, const struct mob_task_frame *frame, const void *body, struct mob_run *ret_run)
{
    struct mob_run run = {
        .task = frame->task, .function = frame->function, .attempt = frame->attempt, .returns = frame->returns,
        .number = ++e->runs, .lease = &e->lease, .arg_count = frame->args, .streams = (frame->flags & MOB_TASK_STREAM) != 0,
    };
    struct mob_error why;

    e->running = true;
    e->started_ns = e->world->now_ns(e->world);
    e->flags = frame->flags;
    e->items = 0;
    e->had = frame->had;
    page_begin(e, frame);
    if (parse_args(e, frame, body) < 0)
        mob_error_set(&why, MOB_ERR_PROTOCOL, "the arguments of task %llu are malformed", (unsigned long long)frame->task);
    else if (mob_executor_cancelled(e, &run))
        mob_error_set(&why, MOB_ERR_CANCELLED, "the task was cancelled before it started");
    else {
        run.args = e->args;
        *ret_run = run;
        return true;
    }
    mob_executor_fail(e, &run, &why);
    return false;
}

bool mob_executor_claim(struct mob_executor *e, struct mob_run *ret_run)
{
    struct mob_task_frame frame;
    const void *body;

    assert(!e->running);
    while (e->channel != NULL && mob_channel_claim(e->channel, e->lease.epoch, &frame, &body))
        if (run_begin(e, &frame, body, ret_run))
            return true;
    return false;
}

bool mob_executor_pending(struct mob_executor *e)
{
    return e->channel != NULL && mob_channel_pending(e->channel, e->lease.epoch);
}

/* -- answer ------------------------------------------------------------------------------------------------------------------ */

static void run_end(struct mob_executor *e)
{
    e->running = false;
    page_end(e);
    mob_channel_ring_answers(e->channel, e->lease.epoch, (e->flags & MOB_TASK_URGENT) != 0);
    if (e->has_next) {
        e->has_next = false;
        begin_lease(e, &e->next);
    }
}

static struct mob_answer_frame *answer_begin(struct mob_executor *e, const struct mob_run *run, size_t size, void **ret_body)
{
    struct mob_answer_frame *a = mob_channel_reply(e->channel, size, ret_body);

    if (a == NULL)                      /* the ring broke: the owner is told by the end of the lease */
        return NULL;
    memset(a, 0, sizeof *a);
    a->task = run->task;
    a->attempt = (uint16_t)run->attempt;
    a->started_ns = e->started_ns;
    a->ended_ns = e->ended_ns = e->world->now_ns(e->world);
    a->body_size = (uint32_t)size;
    return a;
}

static size_t result_size(const struct mob_result *r)
{
    if (mob_result_is_bytes(r))
        return r->size;
    return r->kind == MOB_VALUE_STORED ? sizeof r->stored : sizeof r->forward;
}

static const void *result_bytes(const struct mob_result *r)
{
    if (mob_result_is_bytes(r))
        return r->data;
    return r->kind == MOB_VALUE_STORED ? (const void *)&r->stored : (const void *)&r->forward;
}

static size_t answer_size(const struct mob_result *r)
{
    size_t tickets = r->lent_count > 0 ? sizeof(struct mob_arg_head) + sizeof r->ticket + r->lent_count * sizeof r->lent[0] : 0;

    return tickets + sizeof(struct mob_arg_head) + mob_frame_pad(result_size(r));
}

static char *put_head(char *at, uint32_t kind, size_t size)
{
    struct mob_arg_head head = { kind, (uint32_t)size };

    memcpy(at, &head, sizeof head);
    return at + sizeof head;
}

static char *put_result(char *at, const struct mob_result *r)
{
    size_t size = result_size(r);

    if (r->lent_count > 0) {
        at = put_head(at, MOB_VALUE_TICKETS, sizeof r->ticket + r->lent_count * sizeof r->lent[0]);
        memcpy(at, &r->ticket, sizeof r->ticket);
        memcpy(at + sizeof r->ticket, r->lent, r->lent_count * sizeof r->lent[0]);
        at += sizeof r->ticket + r->lent_count * sizeof r->lent[0];
    }
    at = put_head(at, r->kind, size);
    if (size > 0)
        memcpy(at, result_bytes(r), size);
    return at + mob_frame_pad(size);
}

size_t mob_executor_answer_size(const struct mob_run *run, const struct mob_result *results)
{
    size_t size = 0;

    for (uint32_t i = 0; i < run->returns; i++)
        size += answer_size(&results[i]);
    return size;
}

bool mob_executor_finish(struct mob_executor *e, const struct mob_run *run, const struct mob_result *results)
{
    struct mob_answer_frame *a;
    size_t size = mob_executor_answer_size(run, results);
    void *body;

    assert(e->running && e->channel != NULL);
    if (size > mob_channel_reply_room(e->channel) && mob_channel_error(e->channel) == NULL)
        return false;
    if ((a = answer_begin(e, run, size, &body)) == NULL && mob_channel_error(e->channel) == NULL)
        return false;
    if (a != NULL) {
        a->status = run->raised ? MOB_ANSWER_RAISED : MOB_OK;
        a->returns = (uint16_t)run->returns;
        for (uint32_t i = 0; i < run->returns; i++)
            body = put_result(body, &results[i]);
        mob_channel_reply_commit(e->channel);
    }
    run_end(e);
    return true;
}

/* `object`: of an argument that was lost, or NULL. */
static void fail_with(struct mob_executor *e, const struct mob_run *run, const struct mob_object_id *object, const struct mob_error *why)
{
    struct mob_error cut = *why;
    struct mob_answer_frame *a;
    size_t before = object != NULL ? sizeof *object : 0, size = sizeof cut;
    void *body;

    assert(e->running && e->channel != NULL);
    _Static_assert(sizeof *object + offsetof(struct mob_error, text) < MOB_CHANNEL_REPLY_MIN, "an error fits");
    if (mob_channel_reply_room(e->channel) < before + size || (a = answer_begin(e, run, before + size, &body)) == NULL) {
        size = MOB_CHANNEL_REPLY_MIN - before;
        a = answer_begin(e, run, before + size, &body);
    }
    cut.text[size - offsetof(struct mob_error, text) - 1] = '\0';
    if (a != NULL) {
        a->status = object != NULL ? MOB_ANSWER_LOST : cut.code;
        if (object != NULL)
            memcpy(body, object, sizeof *object);
        memcpy((char *)body + before, &cut, size);
        mob_channel_reply_commit(e->channel);
    }
    run_end(e);
}

void mob_executor_fail(struct mob_executor *e, const struct mob_run *run, const struct mob_error *why)
{
    fail_with(e, run, NULL, why);
}

void mob_executor_lost(struct mob_executor *e, const struct mob_run *run, const struct mob_object_id *object, const struct mob_error *why)
{
    fail_with(e, run, object, why);
}

/* -- items ------------------------------------------------------------------------------------------------------------------- */

uint32_t mob_executor_item_index(const struct mob_executor *e)
{
    return e->items + 1;
}

size_t mob_executor_item_size(const struct mob_result *item)
{
    return answer_size(item);
}

enum mob_yield mob_executor_may_yield(const struct mob_executor *e)
{
    uint32_t allowed;

    assert(e->running && e->channel != NULL);
    allowed = mob_channel_allowed(e->channel);
    if (allowed == MOB_STREAM_STOP || mob_channel_error(e->channel) != NULL || e->items >= MOB_STREAM_ITEMS_MAX)
        return MOB_YIELD_STOP;
    if (allowed == MOB_STREAM_UNREAD || e->items < e->had)
        return MOB_YIELD_SKIP;
    return e->items < allowed ? MOB_YIELD_SEND : MOB_YIELD_WAIT;
}

bool mob_executor_has_room(struct mob_executor *e, size_t size)
{
    return mob_channel_error(e->channel) != NULL || mob_channel_item_fits(e->channel, size);
}

enum mob_yield mob_executor_yield(struct mob_executor *e, const struct mob_run *run, const struct mob_result *item)
{
    enum mob_yield may = mob_executor_may_yield(e);
    size_t size = answer_size(item);
    struct mob_answer_frame *a;
    void *body;

    if (may == MOB_YIELD_SKIP)
        e->items++;
    if (may != MOB_YIELD_SEND)
        return may;
    if ((a = mob_channel_item(e->channel, size, &body)) == NULL)
        return mob_channel_error(e->channel) != NULL ? MOB_YIELD_STOP : MOB_YIELD_WAIT;
    *a = (struct mob_answer_frame){ .task = run->task, .attempt = (uint16_t)run->attempt, .returns = 1, .status = MOB_ANSWER_ITEM,
                                    .item = e->items++, .started_ns = e->started_ns };
    put_result(body, item);
    mob_channel_item_commit(e->channel);
    mob_channel_ring(e->channel, true);
    return MOB_YIELD_SEND;
}

/* -- asked ------------------------------------------------------------------------------------------------------------------- */

struct mob_object_id mob_executor_result_id(const struct mob_executor *e, const struct mob_run *run, uint32_t index)
{
    return (struct mob_object_id){
        .cluster = e->config.cluster, .node = e->lease.owner.node, .process = e->lease.owner.process,
        .task = run->task, .index = index,
    };
}

int64_t mob_executor_ended_ns(const struct mob_executor *e)
{
    return e->ended_ns;
}

const struct mob_executor_lease *mob_executor_lease(const struct mob_executor *e)
{
    return &e->lease;
}
