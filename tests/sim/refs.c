/* SPDX-License-Identifier: Apache-2.0 */
/* refs.c -- what the processes of a job do where nodes have stores: small and large values that carry references, calls that take them,
 * gets. A driver and the function of a task (errands.c) do the same steps, one after the other:
 *
 *   put | call | get | cancel | drop     then the next step
 *
 * Or a driver puts a large one that goes from node to node, and calls for each node a task that takes it.
 *
 * What a process keeps from earlier tasks it gets, for a while, and drops, but gives on to nobody: else two tasks could wait for each
 * other, or two values keep each other alive, as in any such program.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "refs.h"

#define BROADCAST_MIN (UINT64_C(8) << 20)

static void step(struct user *u);

struct sim *user_sim(const struct user *u)
{
    return u->p->a.sim;
}

void user_after(struct user *u, int64_t delay, void (*run)(struct event *e))
{
    sim_after(user_sim(u), delay, &u->p->a, run, u->p);
}

struct user *user_of(const struct event *e)
{
    return ((struct process *)e->arg)->user;
}

/* What became of a reference, for who reads a trace. */
void user_note(const struct user *u, const char *what, uint64_t ref)
{
    char name[MOB_OBJECT_NAME_SIZE];
    struct mob_object_id id;

    if (user_sim(u)->config.trace && mob_owner_name(u->p->owner, ref, &id, NULL) == 0)
        sim_trace(user_sim(u), "process %u.%u %s %s", u->p->self.node, u->p->self.process, what, mob_object_id_name(&id, name));
}

/* -- refs ------------------------------------------------------------------------------------------------------------------ */

void user_keep(struct user *u, uint64_t ref)
{
    unsigned at;

    user_note(u, "has", ref);
    if (u->count < REFS_MAX) {
        u->refs[u->count++] = ref;
        return;
    }
    at = (unsigned)sim_below(user_sim(u), REFS_MAX);
    user_note(u, "drops", u->refs[at]);
    mob_owner_drop(u->p->owner, u->refs[at], NULL);
    u->refs[at] = ref;
    if (at < u->kept) {                 /* what is kept stands in front */
        u->refs[at] = u->refs[--u->kept];
        u->refs[u->kept] = ref;
    }
}

void user_drop(struct user *u, unsigned at)
{
    user_note(u, "drops", u->refs[at]);
    mob_owner_drop(u->p->owner, u->refs[at], NULL);
    if (at < u->kept) {
        u->refs[at] = u->refs[--u->kept];
        at = u->kept;
    }
    u->refs[at] = u->refs[--u->count];
}

void user_drop_all(struct user *u)
{
    while (u->count > 0)
        user_drop(u, u->count - 1);
}

static bool is_of_another(const struct user *u, uint64_t ref)
{
    struct mob_object_id id;

    return mob_owner_name(u->p->owner, ref, &id, NULL) == 0 && (id.node != u->p->self.node || id.process != u->p->self.process);
}

/* One that may go elsewhere; 0: there is none. Of two a relay takes the one that is another's. */
uint64_t user_usable(struct user *u)
{
    uint64_t ref = u->count > u->kept ? u->refs[u->kept + sim_below(user_sim(u), u->count - u->kept)] : 0;

    if (ref != 0 && user_sim(u)->config.relays && !is_of_another(u, ref))
        ref = u->refs[u->kept + sim_below(user_sim(u), u->count - u->kept)];
    return ref;
}

size_t user_carry(struct user *u, uint64_t refs[CARRIED_MAX])
{
    size_t count = 0;

    while (count < CARRIED_MAX && sim_chance(user_sim(u), user_sim(u)->config.relays ? 75 : 45) && (refs[count] = user_usable(u)) != 0)
        count++;
    for (size_t i = 0; i < count; i++) {
        user_note(u, "gives on", refs[i]);
        int named = mob_owner_name(u->p->owner, refs[i], &u->carried[i], NULL);
        assert(named == 0);
    }
    u->carried_count = count;
    return count;
}

/* A value of `size` bytes, with what it carries. Returns its size then. */
size_t user_pack(const struct user *u, void *to, size_t size)
{
    for (size_t i = 0; i < u->carried_count; i++)
        mob_packed_put_id(to, size, i, &u->carried[i]);
    mob_packed_finish(to, size, u->carried_count);
    return mob_packed_size(size, u->carried_count);
}

size_t user_small(struct sim *s)
{
    return VALUE_MIN + 8 * sim_below(s, (SMALL_MAX - VALUE_MIN) / 8);
}

size_t user_large(struct sim *s)
{
    uint64_t most = sim_chance(s, 10) ? 4 * s->config.large : s->config.large;

    return VALUE_MIN + 8 * sim_below(s, most / 8);
}

/* What was lost is made again, unless that could not be done: then the error says why. */
static bool is_legal_loss(const struct sim *s, const struct mob_error *e)
{
    switch (e->user_code) {
    case MOB_LOST_PUT:
    case MOB_LOST_MAX_ATTEMPTS:
    case MOB_LOST_RETRIES_DISABLED:
    case MOB_LOST_REF_NOT_FOUND:
        return true;
    case MOB_LOST_TASK_CANCELLED:
        return s->config.cancels;
    default:
        return false;
    }
}

/* What a get may fail with: by design; or because something went wrong before. */
void user_judge(const struct user *u, const struct mob_error *e)
{
    struct sim *s = user_sim(u);

    s->tasks_failed++;
    if (e->code == MOB_ERR_TASK && e->user_code == FAIL_CODE)
        return;
    if (e->code == MOB_ERR_NO_SPACE && (s->config.tight || s->config.drains || s->refused > 0))
        return;                         /* what leaves a node fills the stores of the others */
    if (e->code == MOB_ERR_INVALID && s->config.streams && strstr(e->text, "the one after") != NULL)
        return;
    if (e->code == MOB_ERR_OUT_OF_MEMORY && s->config.memory)
        return;
    if (s->misfortunes > 0 && (e->code == MOB_ERR_WORKER_CRASHED || e->code == MOB_ERR_NODE_DIED || e->code == MOB_ERR_OWNER_DIED
                               || (e->code == MOB_ERR_OBJECT_LOST && is_legal_loss(s, e)) || e->code == MOB_ERR_UNREACHABLE
                               || e->code == MOB_ERR_TIMEOUT
                               || e->code == MOB_ERR_NO_SPACE || e->code == MOB_ERR_CANCELLED))
        return;
    fprintf(stderr, "process %u of node %u: illegal error %s (%d): %s\n", u->p->number, u->p->self.node, mob_code_name(e->code), e->user_code,
            e->text);
    abort();
}

/* -- waiting ----------------------------------------------------------------------------------------------------------------- */

void user_block(struct user *u)
{
    if (!u->running || u->blocked)
        return;
    u->blocked = true;
    mob_executor_block(u->p->executor);
    work_say(u->p, MOBULA__ENVELOPE__BODY_BLOCKED);
}

void user_unblock(struct user *u)
{
    if (!u->blocked)
        return;
    u->blocked = false;
    mob_executor_unblock(u->p->executor);
    work_say(u->p, MOBULA__ENVELOPE__BODY_UNBLOCKED);
}

/* Get `getting`: wait until it is ready, bring it here, look at it for a while. */
static void get_over(struct user *u, const struct mob_error *err)
{
    user_unblock(u);
    if (err != NULL)
        user_judge(u, err);
    else
        user_sim(u)->tasks_right++;
    u->got(u, err);
}

static void get_inner(struct user *u, const struct mob_packed *packed)
{
    for (size_t i = 0; i < packed->refs && !u->of_earlier; i++) {
        struct mob_object_id id = mob_packed_id(packed, i);

        if (sim_chance(user_sim(u), 50))
            user_keep(u, mob_owner_inner(u->p->owner, u->getting, i, &id));
    }
}

static void run_looked_at(struct event *e)
{
    struct user *u = user_of(e);

    get_inner(u, &u->fetch.packed);
    desk_unpin(u->p->desk, &u->fetch);
    get_over(u, NULL);
}

static void get_again(struct user *u);

/* It may be made again, or be elsewhere, too. */
static void lost(struct user *u)
{
    struct mob_error why = u->fetch.why;
    struct mob_object_info info;
    int looked;

    user_unblock(u);
    if (mob_owner_lost(u->p->owner, u->getting, u->fetch.since, &why)) {
        get_again(u);
        return;
    }
    looked = mob_owner_look(u->p->owner, u->getting, &info, NULL);
    assert(looked == 0);
    if (info.state == MOB_OBJECT_ERROR)
        why = *info.error;
    get_over(u, &why);
}

static void run_get_fetched(struct event *e)
{
    struct user *u = user_of(e);
    const struct fetch *f = &u->fetch;

    if (f->data != NULL) {
        if (f->node != u->p->self.node)
            mob_owner_copied(u->p->owner, u->getting, u->p->self.node);
        user_unblock(u);
        user_after(u, SIM_US + (int64_t)sim_below(user_sim(u), 20 * SIM_MS), run_looked_at);
        return;
    }
    lost(u);
}

struct fetch user_fetch_of(const struct mob_object_info *info)
{
    struct fetch f = { .id = info->id, .size = info->size, .node = info->node, .since = info->since, .copy_count = info->copy_count };

    memcpy(f.copies, info->copies, sizeof f.copies);
    return f;
}

static void run_get_ready(struct event *e)
{
    struct user *u = user_of(e);
    struct mob_object_info info;
    int looked = mob_owner_look(u->p->owner, u->getting, &info, NULL);

    assert(looked == 0);
    if (info.state == MOB_OBJECT_PENDING) {     /* lost since */
        get_again(u);
    } else if (info.state == MOB_OBJECT_ERROR) {
        struct mob_error why = *info.error;
        get_over(u, &why);
    } else if (info.state == MOB_OBJECT_STORED) {
        u->fetch = user_fetch_of(&info);
        user_block(u);
        desk_fetch(u->p->desk, &u->fetch, run_get_fetched);
    } else {
        value_check(info.data, info.packed.refs > 0 ? info.packed.data_size : info.size, NULL);
        get_inner(u, &info.packed);
        get_over(u, NULL);
    }
}

static void on_ready(struct mob_waiter *w)
{
    struct user *u = MOB_CONTAINER(w, struct user, waiter);

    u->wait++;
    user_after(u, SIM_US, run_get_ready);
}

static void run_time_out(struct event *e)
{
    struct user *u = user_of(e);

    if (e->n != u->wait)
        return;
    u->wait++;
    mob_owner_wait_cancel(u->p->owner, &u->waiter);
    user_unblock(u);
    u->got(u, NULL);
}

void user_get(struct user *u, uint64_t ref, int64_t timeout, void (*got)(struct user *u, const struct mob_error *err))
{
    user_note(u, "gets", ref);
    u->getting = ref;
    u->got = got;
    u->timeout = timeout;
    u->waiter.ready = on_ready;
    get_again(u);
}

static void get_again(struct user *u)
{
    mob_list_init(&u->waiter.link);
    if (!mob_owner_wait(u->p->owner, u->getting, &u->waiter)) {
        user_after(u, SIM_US, run_get_ready);
        return;
    }
    user_block(u);
    if (u->timeout > 0)
        sim_after(user_sim(u), u->timeout, &u->p->a, run_time_out, u->p)->n = ++u->wait;
}

/* -- steps ------------------------------------------------------------------------------------------------------------------- */

static void run_step(struct event *e)
{
    step(user_of(e));
}

void user_next(struct user *u)
{
    user_after(u, SIM_US + (int64_t)sim_below(user_sim(u), sim_chance(user_sim(u), 10) ? 100 * SIM_MS : 3 * SIM_MS), run_step);
}

static void step_got(struct user *u, const struct mob_error *err)
{
    (void)err;
    mob_owner_drop(u->p->owner, u->getting, NULL);
    user_next(u);
}

static void step_get(struct user *u)
{
    unsigned at = u->count > 0 ? (unsigned)sim_below(user_sim(u), u->count) : 0;

    if (u->count == 0) {
        user_next(u);
        return;
    }
    u->of_earlier = at < u->kept;
    mob_owner_clone(u->p->owner, u->refs[at], NULL);
    user_get(u, u->refs[at], WAIT_NS, step_got);
}

static void call(struct user *u, uint64_t given);

static void run_written(struct event *e)
{
    struct user *u = user_of(e);

    desk_seal(u->p->desk, &u->room, false);
    mob_owner_put_stored(u->p->owner, u->putting, u->p->self.node, u->room.size);
    mob_owner_clone(u->p->owner, u->putting, NULL);     /* whatever has to go for the new ones */
    user_keep(u, u->putting);
    for (unsigned i = 0; u->broadcasts && i < user_sim(u)->config.nodes + 2; i++)
        call(u, u->putting);
    mob_owner_drop(u->p->owner, u->putting, NULL);
    user_next(u);
}

static void run_put_room(struct event *e)
{
    struct user *u = user_of(e);
    bool abandon = sim_chance(user_sim(u), 10);

    if (u->room.data != NULL && !abandon) {
        size_t size = u->room.size - mob_packed_size(0, u->carried_count);

        value_fill(u->room.data, size, &u->room.id, 0);
        user_pack(u, u->room.data, size);
        user_after(u, (int64_t)sim_below(user_sim(u), 3 * SIM_MS), run_written);
        return;
    }
    if (u->room.data != NULL) {
        desk_seal(u->p->desk, &u->room, true);
        mob_error_set(&u->room.why, MOB_ERR_OBJECT_LOST, "abandoned");
    } else {
        user_judge(u, &u->room.why);
    }
    mob_owner_put_failed(u->p->owner, u->putting, &u->room.why);
    mob_owner_drop(u->p->owner, u->putting, NULL);
    user_next(u);
}

static void step_put_large(struct user *u)
{
    uint64_t refs[CARRIED_MAX];
    size_t count = user_carry(u, refs);

    u->putting = mob_owner_put_begin(u->p->owner, &u->room.id);
    if (count > 0)
        mob_owner_contain(u->p->owner, u->putting, refs, count);
    u->broadcasts = user_sim(u)->config.broadcast && !u->running && sim_chance(user_sim(u), 80);
    u->room.size = mob_packed_size(u->broadcasts ? BROADCAST_MIN + 8 * sim_below(user_sim(u), 5 * MOB_CHUNK / 8) : user_large(user_sim(u)), count);
    u->room.attempt = 0;
    desk_create(u->p->desk, &u->room, run_put_room);
}

static void step_put_small(struct user *u)
{
    unsigned char bytes[PACKED_MAX];
    uint64_t refs[CARRIED_MAX], ref;
    size_t count = user_carry(u, refs), size = user_small(user_sim(u));

    value_fill(bytes, size, NULL, sim_random(user_sim(u)));
    if (count > 0)
        ref = mob_owner_put_packed(u->p->owner, bytes, user_pack(u, bytes, size), refs, count, NULL);
    else
        ref = mob_owner_put(u->p->owner, bytes, size, NULL);
    assert(ref != 0);
    user_keep(u, ref);
    user_next(u);
}

static void cancel(struct user *u, uint64_t ref)
{
    struct sim *s = user_sim(u);
    uint64_t staging = mob_owner_counts(u->p->owner).staging;

    if (mob_owner_cancel(u->p->owner, ref, sim_chance(s, 30) ? MOB_CANCEL_FORCE : 0, NULL) < 0)
        return;                         /* it is dropped, or no task's */
    user_note(u, "cancels", ref);
    s->misfortunes++;                   /* a worker that is ended takes with it what it owns */
    s->cancelled++;
    s->cancelled_staging += mob_owner_counts(u->p->owner).staging < staging;
}

static void run_cancel(struct event *e)
{
    cancel(user_of(e), e->n);
}

/* A task with what arguments it gets; or with one, wherever there is place. */
static void call(struct user *u, uint64_t given)
{
    static const int32_t retries[] = { -1, -1, 3, 0 };
    static const uint32_t unread[] = { 0, 0, 1, 3 };
    struct sim *s = user_sim(u);
    struct errand errand = { .levels = given != 0 ? 0 : u->running ? u->errand.levels - 1 : 2, .steps = (uint32_t)sim_below(s, 5) };
    _Alignas(8) unsigned char bytes[sizeof errand + 256];
    uint64_t carried[CARRIED_MAX], returns[2];
    struct mob_arg args[ARGS_MAX] = { { .data = bytes, .size = sizeof errand, .carried = carried } };
    struct mob_shape shape = { .strategy = given != 0 || sim_chance(s, s->config.relays ? 100 : 40) ? MOB_SPREAD : MOB_HYBRID };
    struct mob_submit submit = { .function = 1, .name = "errand", .args = args, .arg_count = 1 };

    value_fill(errand.words, sizeof errand.words, NULL, sim_random(s));
    memcpy(bytes, &errand, sizeof errand);
    args[0].carried_count = user_carry(u, carried);
    if (args[0].carried_count > 0)
        args[0].size = user_pack(u, bytes, sizeof errand);
    if (given != 0)
        args[submit.arg_count++].ref = given;
    while (given == 0 && submit.arg_count < ARGS_MAX && sim_chance(s, 45) && (args[submit.arg_count].ref = user_usable(u)) != 0)
        submit.arg_count++;
    mob_resources_set(&shape.resources, "CPU", MOB_UNITS);
    submit.shape = mob_owner_shape(u->p->owner, &shape);
    submit.depth = u->running ? u->run.lease->depth + 1 : 0;
    submit.returns = sim_chance(s, 25) ? 2 : 1;
    submit.max_retries = retries[sim_below(s, MOB_COUNT(retries))];
    if (s->config.streams && given == 0 && sim_chance(s, 40)) {
        submit.streams = true;
        submit.returns = 1;
        submit.unread_max = unread[sim_below(s, MOB_COUNT(unread))];
        ((struct errand *)bytes)->items = (uint32_t)sim_below(s, sim_chance(s, 5) ? 1500 : 8);
    }
    submit.run = u->running ? u->run.number : 0;
    if (mob_owner_submit(u->p->owner, &submit, returns, NULL) < 0) {
        assert(u->running && mob_executor_cancelled(u->p->executor, &u->run));
        return;
    }
    if (submit.streams && sim_chance(s, 20))
        user_keep(u, mob_owner_stream_end_ref(u->p->owner, returns[0], NULL));
    if (submit.streams)
        streams_add(u, returns[0], ((struct errand *)bytes)->items);
    for (uint32_t i = 0; !submit.streams && i < submit.returns; i++)
        user_keep(u, returns[i]);
    if (s->config.cancels && sim_chance(s, 15))
        sim_after(s, (int64_t)sim_below(s, 10 * SIM_MS), &u->p->a, run_cancel, u->p)->n = returns[0];
}

static void step(struct user *u)
{
    unsigned dice = (unsigned)sim_below(user_sim(u), 100);

    if (user_sim(u)->config.relays && dice < 20)
        dice = 20;                      /* a small one */

    if (u->steps == 0) {
        if (u->running)
            user_end_task(u);
        else
            user_end_program(u);
        return;
    }
    u->steps--;
    if (user_sim(u)->config.streams && u->stream_count > 0 && sim_chance(user_sim(u), 70) && streams_read(u))
        return;
    if (dice < 20) {
        step_put_large(u);
    } else if (dice < 30) {
        step_put_small(u);
    } else if (dice < 60 && (!u->running || u->errand.levels > 0)) {
        call(u, 0);
        user_next(u);
    } else if (dice < 80) {
        step_get(u);
    } else if (dice < 85 && user_sim(u)->config.cancels && u->count > 0) {
        cancel(u, u->refs[sim_below(user_sim(u), u->count)]);
        user_next(u);
    } else {
        if (u->count > 0)
            user_drop(u, (unsigned)sim_below(user_sim(u), u->count));
        user_next(u);
    }
}
