/* SPDX-License-Identifier: Apache-2.0 */
/* lease.c -- a worker that a raylet lent to this owner, from Grant to Return or LeaseOver.
 *
 *   HELD --> RECALLED --> OVER
 *     '-------------------->^    returned after the linger, its worker died, its node or our raylet is gone
 *
 *   HELD      gets tasks (push.c). Without any it lingers LINGER_NS, so that call after call finds it warm (LINGER_SCARCE_NS
 *             while another shape of ours waits); a new one that nobody needs goes back at once.
 *   RECALLED  others wait for it: gets no more, its unstarted tasks are taken back, and it goes back after the running one. No
 *             deadline: a raylet that cannot wait ends the worker, and LeaseOver comes.
 *   OVER      it is forgotten (end())
 *
 * A lease owns the tasks in its list until they are answered, taken back or judged. A channel outlives its leases (local.c).
 */
#include "worker/lease.h"

#include <assert.h>
#include <stdlib.h>

#include "worker/core.h"

#define LINGER_NS INT64_C(100000000)
#define LINGER_SCARCE_NS INT64_C(1000000)       /* while another shape of ours waits for what this one has */

static enum mob_next lease_held(struct mob_machine *m);
static enum mob_next lease_recalled(struct mob_machine *m);

static const struct mob_state lease_states[] = {
    [LEASE_HELD] = { "held", lease_held, MOB_TO(LEASE_RECALLED) | MOB_TO(LEASE_OVER) },
    [LEASE_RECALLED] = { "recalled", lease_recalled, MOB_TO(LEASE_OVER) },
    [LEASE_OVER] = { "over", NULL, 0 },
};

static bool lease_holds(const struct mob_machine *m)
{
    const struct lease *l = MOB_CONTAINER(m, struct lease, m);

    if (m->now == LEASE_OVER)
        return l->over && l->count == 0;
    return l->recalled == (m->now == LEASE_RECALLED);
}

static enum mob_next lease_held(struct mob_machine *m)
{
    struct lease *l = MOB_CONTAINER(m, struct lease, m);

    if (l->recalled)
        return mob_machine_goto(m, LEASE_RECALLED);
    return l->over ? mob_machine_goto(m, LEASE_OVER) : MOB_WAIT;
}

static enum mob_next lease_recalled(struct mob_machine *m)
{
    return MOB_CONTAINER(m, struct lease, m)->over ? mob_machine_goto(m, LEASE_OVER) : MOB_WAIT;
}

static int64_t linger_ns(const struct mob_owner *o)
{
    int64_t ns = o->config.linger_ns != 0 ? o->config.linger_ns : LINGER_NS;

    return o->shapes.unserved > 0 && ns > LINGER_SCARCE_NS ? LINGER_SCARCE_NS : ns;
}

/* -- its life -------------------------------------------------------------------------------------------------------------- */

/* Lenders count from 1: node and number together do not repeat. If two keys should ever meet, the newer lease is refused. */
static uint64_t key(uint32_t node, uint64_t number)
{
    return ((uint64_t)node << 40) ^ number;
}

struct lease *mob_owner_lease_find(const struct mob_owner *o, uint32_t node, uint64_t number)
{
    struct lease *l = mob_map_get(&o->leases.by_number, key(node, number));

    return l != NULL && l->worker.node == node && l->number == number ? l : NULL;
}

static void send_return(struct mob_owner *o, uint32_t node, uint64_t number)
{
    Mobula__Return m = MOBULA__RETURN__INIT;

    m.lease = number;
    mob_owner_send(o, (struct mob_address){ node, 0 }, MOBULA__ENVELOPE__BODY_RETURN_LEASE, &m);
}

void mob_owner_on_grant(struct mob_owner *o, const Mobula__Grant *m)
{
    struct mob_address worker = mob_wire_address(m->worker);
    struct channel *channel = worker.node == o->config.self.node ? mob_owner_channel_of(o, worker.process) : NULL;
    struct shape *sh = m->shape < o->shapes.count ? o->shapes.of[m->shape] : NULL;

    if (sh != NULL) {
        sh->grants++;
        shape_said(&o->shapes, sh, sh->said - (sh->said > 0));
        shape_touch(&o->shapes, sh);                        /* if it is of no use, as many are wanted as before */
        mob_owner_near_granted(sh, worker.node);
    }
    if (sh == NULL || mob_map_get(&o->leases.by_number, key(worker.node, m->lease)) != NULL
        || (worker.node == o->config.self.node && (channel == NULL || channel->lease != NULL))) {
        send_return(o, worker.node, m->lease);              /* of no use here */
        return;
    }
    struct lease *l = mob_new(struct lease);

    *l = (struct lease){ .number = m->lease, .worker = worker, .epoch = m->epoch, .window_tasks = m->window_tasks,
                         .window_bytes = m->window_bytes, .pid = m->pid, .shape = sh, .grant = sh->grants,
                         .channel = channel, .idle_since_ns = o->now_ns };
    mob_machine_init(&l->m, "lease", l->number, lease_states, LEASE_HELD, lease_holds);
    mob_copy(l->ip, sizeof l->ip, m->ip);
    mob_list_init(&l->tasks);
    mob_list_init(&l->unsent);
    mob_list_init(&l->changed);
    mob_list_append(&o->leases.all, &l->link);
    mob_list_append(&o->leases.idle, &l->idle);
    mob_list_append(&sh->leases, &l->in_shape);
    sh->lease_count++;
    sh->hungry = true;
    mob_map_set(&o->leases.by_number, key(worker.node, m->lease), l);
    if (channel != NULL)
        channel->lease = l;
    mob_owner_room_note(l);
}

static void end(struct mob_owner *o, struct lease *l)
{
    struct shape *sh = l->shape;

    l->over = true;
    mob_machine_run(&l->m);
    assert(l->m.now == LEASE_OVER);
    mob_owner_lease_stall(o, l, false);
    mob_owner_room_leave(l);
    mob_list_remove(&l->link);
    mob_list_remove(&l->in_shape);
    mob_list_remove(&l->idle);
    mob_list_remove(&l->unsent);
    sh->lease_count--;
    if (sh->cursor == l)
        sh->cursor = NULL;
    shape_touch(&o->shapes, sh);
    mob_map_remove(&o->leases.by_number, key(l->worker.node, l->number));
    if (l->channel != NULL)
        l->channel->lease = NULL;
    mob_owner_stage_lease_left(o, sh, l->worker.node);
    free(l->batch.bytes);
    free(l);
}

static void recall(struct mob_owner *o, struct lease *l)
{
    l->recalled = true;
    mob_machine_run(&l->m);
    mob_owner_room_note(l);
    mob_owner_lease_stall(o, l, l->count > 0);  /* what is queued needs another */
    if (l->count == 0) {                        /* to the front: given back by this flush */
        mob_list_remove(&l->idle);
        mob_list_prepend(&o->leases.idle, &l->idle);
    }
    mob_owner_stage_lease_left(o, l->shape, l->worker.node);
}

void mob_owner_on_recall(struct mob_owner *o, uint32_t node, const Mobula__Recall *m)
{
    struct lease *l = mob_owner_lease_find(o, node, m->lease);

    if (l == NULL || l->recalled)
        return;
    recall(o, l);
    mob_owner_lease_take_back(o, l);
}

/* Nobody needs a lease that came when its tasks were done by others. */
static bool is_surplus(const struct mob_owner *o, const struct lease *l)
{
    const struct shape *sh = l->shape;

    return !l->used && sh->queued == 0 && !mob_owner_stage_waits(o, l) && mob_owner_shape_useful(sh) < sh->lease_count - sh->stalled;
}

int64_t mob_owner_leases_flush(struct mob_owner *o)
{
    struct lease *l;

    while (!mob_list_empty(&o->leases.idle)) {  /* oldest first, recalled ones before */
        l = mob_list_first(&o->leases.idle, struct lease, idle);
        if (!l->recalled && o->now_ns - l->idle_since_ns < linger_ns(o))
            break;
        if (mob_owner_stage_waits(o, l)) {
            l->idle_since_ns = o->now_ns;
            mob_list_remove(&l->idle);
            mob_list_append(&o->leases.idle, &l->idle);
            continue;
        }
        send_return(o, l->worker.node, l->number);
        end(o, l);
    }
    while (!mob_list_empty(&o->leases.idle)) {  /* newest first */
        l = MOB_CONTAINER(o->leases.idle.prev, struct lease, idle);
        if (!is_surplus(o, l))
            break;
        send_return(o, l->worker.node, l->number);
        end(o, l);
    }
    if (mob_list_empty(&o->leases.idle))
        return INT64_MAX;
    return mob_list_first(&o->leases.idle, struct lease, idle)->idle_since_ns + linger_ns(o);
}

/* -- its death --------------------------------------------------------------------------------------------------------------- */

/* The task that is charged. What a lost node ran is unknown: the oldest, unless nothing was sent there yet. */
static struct task *claimed_task(const struct lease *l, const Mobula__LeaseOver *m)
{
    struct task *t;

    if (mob_list_empty(&l->tasks))
        return NULL;
    if (m->claimed && m->task != 0) {
        mob_list_each(t, &l->tasks, struct task, link)
            if (t->number == m->task)
                return t->attempt == m->attempt ? t : NULL;
        return NULL;                            /* its answer came before */
    }
    bool started = m->claimed || (m->cause->code == MOB_ERR_NODE_DIED && l->batch.count < l->count);

    return started ? mob_list_first(&l->tasks, struct task, link) : NULL;
}

/* Is it nothing that we have there, if the worker has sealed it? */
static bool is_in_vain(const struct mob_owner *o, const struct lease *l, const struct task *t, uint32_t index)
{
    const struct object *b = t->streams && index > 0 ? mob_owner_stream_item(mob_owner_task_return(o, t, 0), index)
                                                     : mob_owner_task_return(o, t, index);

    return !mob_owner_object_stays_at(o, b, l->worker.node);
}

/* Results that the worker may have sealed, of which we never heard, or with a link that broke never will. */
static void free_made(struct mob_owner *o, const struct lease *l, const struct task *t)
{
    uint32_t first = 0, untold = t->streams ? mob_owner_stream_untold(o, t, &first) : 0, count = t->returns + untold;
    Mobula__ObjectId *ids = mob_alloc(count * sizeof *ids), **list = mob_alloc(count * sizeof *list);
    Mobula__Free m = MOBULA__FREE__INIT;

    for (uint32_t i = 0; i < count; i++) {
        struct mob_object_id id = { .cluster = o->config.cluster, .node = o->config.self.node, .process = o->config.self.process,
                                    .task = t->number, .index = i < t->returns ? i : first + i - t->returns };

        if (!is_in_vain(o, l, t, id.index))
            continue;
        mob_wire_put_object(list[m.n_objects] = &ids[i], &id);
        m.n_objects++;
    }
    m.objects = list;
    m.maker = l->worker.process;
    mob_owner_send(o, (struct mob_address){ l->worker.node, 0 }, MOBULA__ENVELOPE__BODY_FREE, &m);
    free(ids);
    free(list);
}

void mob_owner_on_lease_over(struct mob_owner *o, const Mobula__LeaseOver *m)
{
    struct lease *l = mob_owner_lease_find(o, m->worker->node, m->lease);
    struct mob_error cause;
    struct mob_death death;

    if (l == NULL)
        return;
    mob_wire_error(m->cause, &cause);
    if (m->cause->n_deaths > 0)
        mob_wire_death(m->cause->deaths[m->cause->n_deaths - 1], &death);
    if (l->channel != NULL)
        mob_owner_channel_drain(o, l->channel, SIZE_MAX);   /* what it answered before it died, counts */
    struct task *claimed = claimed_task(l, m);
    struct channel *channel = l->channel;
    bool unknown = channel == NULL && cause.code == MOB_ERR_NODE_DIED;
    uint32_t unsent = l->batch.count;
    struct task *t;

    mob_list_each(t, &l->tasks, struct task, link)
        if (unknown || t == claimed)
            free_made(o, l, t);
    recall(o, l);                               /* what is queued again shall not come here */
    while (!mob_list_empty(&l->tasks)) {        /* the last first: they go to the front of the queue */
        bool may_have_run = unknown && unsent == 0;

        t = MOB_CONTAINER(l->tasks.prev, struct task, link);
        unsent -= unsent > 0;
        mob_owner_lease_forget(o, l, t);
        if (t == claimed || (may_have_run && t->retries == 0))  /* it must not run again */
            mob_owner_task_killed(o, t, l, &cause, m->cause->n_deaths > 0 ? &death : NULL, m->beyond_ask);
        else
            mob_owner_task_unpushed(o, t);
    }
    end(o, l);
    if (channel != NULL)
        mob_owner_channel_close(o, channel);
}

void mob_owner_lease_broken(struct mob_owner *o, struct lease *l, const char *why)
{
    if (l->recalled)
        return;
    if (o->config.warn != NULL) {
        char *text = mob_printf("worker %u on node %u (pid %u) is ended: %s", l->worker.process, l->worker.node, l->pid, why);

        o->config.warn(o->config.arg, text);
        free(text);
    }
    recall(o, l);
    if (l->count > 0)
        mob_owner_lease_cancel(o, mob_list_first(&l->tasks, struct task, link), MOB_CANCEL_FORCE);
}

void mob_owner_leases_fail(struct mob_owner *o, const struct mob_error *why)
{
    struct lease *l;

    mob_list_each(l, &o->leases.all, struct lease, link)    /* nothing that fails below may be pushed again */
        if (!l->recalled)
            recall(o, l);
    while (!mob_list_empty(&o->leases.all)) {
        l = mob_list_first(&o->leases.all, struct lease, link);
        while (!mob_list_empty(&l->tasks)) {
            struct task *t = mob_list_first(&l->tasks, struct task, link);

            mob_owner_lease_forget(o, l, t);
            mob_owner_task_fail(o, t, why, 0);
        }
        end(o, l);
    }
}

void mob_owner_leases_fini(struct mob_owner *o)
{
    struct lease *l;

    mob_list_each(l, &o->leases.all, struct lease, link) {
        free(l->batch.bytes);
        free(l);
    }
    mob_map_fini(&o->leases.by_number);
}

static void check_lease(const struct lease *l)
{
    uint32_t count = 0;
    int64_t load_ns = 0;
    uint64_t bytes = 0;
    struct task *t;

    mob_list_each(t, &l->tasks, struct task, link) {
        assert(t->state == TASK_PUSHED && t->lease == l && t->shape == l->shape);
        count++;
        load_ns += t->expected_ns;
        bytes += l->channel == NULL ? t->sequence : 0;
    }
    assert(count == l->count && load_ns == l->load_ns && bytes == l->bytes);
    assert(mob_list_empty(&l->idle) == (count > 0));
    assert(!l->stalled || count > 0);
    assert(l->channel == NULL || l->channel->lease == l);
    assert(l->m.now != LEASE_OVER && lease_holds(&l->m));
}

void mob_owner_leases_check(const struct mob_owner *o)
{
    struct lease *l;

    mob_list_each(l, &o->leases.all, struct lease, link)
        check_lease(l);
}
