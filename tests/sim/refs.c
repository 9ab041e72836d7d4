/* SPDX-License-Identifier: Apache-2.0 */
/* refs.c -- what the processes of a job do where nodes have stores: small and large values that carry references, tasks that take them,
 * get them, keep them over tasks, hand them on. A driver and the function of a task do the same steps, one after the other:
 *
 *   put | call | get | drop     then the next step
 *
 * and a task has more around them, as worker/worker_main.c and task_api.c do it:
 *
 *   claim --> each argument is had --> meet what they carry --> steps --> result --> settle --> finish | fail
 *
 * What a process keeps from earlier tasks it gets, for a while, and drops, but gives on to nobody: else two tasks could wait for each other,
 * or two values keep each other alive, as in any such program. A driver gets all that it has at its end; when all drivers have dropped all, and so have their workers,
 * nothing may be left of any object.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stores.h"
#include "user.h"

#define REFS_MAX 12u
#define ARGS_MAX 4u
#define CARRIED_MAX 3u
#define WAIT_NS (300 * SIM_MS)          /* of a get within a task */
#define SMALL_MAX 2048u
#define PACKED_MAX (SMALL_MAX + 256u)

enum result { RESULT_PLAIN, RESULT_CARRIES, RESULT_STORED, RESULT_FORWARD, RESULT_FAIL };

/* First argument of each call. */
struct errand {
    uint64_t words[VALUE_MIN / 8];      /* a value */
    uint32_t levels, steps;
};

struct user {
    struct process *p;
    uint64_t refs[REFS_MAX];
    unsigned count, kept;               /* the first `kept` are of earlier tasks */
    unsigned steps;
    uint64_t wait;                      /* the number of the last wait: time-outs of others are void */
    struct mob_waiter waiter;
    void (*got)(struct user *u, const struct mob_error *err);
    uint64_t getting;
    bool of_earlier;                    /* it is one that was kept */
    struct fetch fetch;                 /* of a get */
    struct room room;
    uint64_t putting;
    struct mob_object_id carried[CARRIED_MAX];
    size_t carried_count;
    bool blocked, ending, ended;

    bool running;                       /* a task */
    struct mob_run run;
    struct errand errand;
    size_t arg;
    uint64_t borrowed[ARGS_MAX];
    struct fetch args[ARGS_MAX];
    struct mob_packed packed[ARGS_MAX];
    struct mob_result results[2];
    unsigned char bytes[2][PACKED_MAX];
    struct mob_object_id lent[CARRIED_MAX];
    struct mob_error why;               /* the task fails with it */
};

static void step(struct user *u);
static void next(struct user *u);
static void end_task(struct user *u);
static void next_argument(struct user *u);
static void end_program(struct user *u);

static struct sim *sim_of(const struct user *u)
{
    return u->p->a.sim;
}

static void after(struct user *u, int64_t delay, void (*run)(struct event *e))
{
    sim_after(sim_of(u), delay, &u->p->a, run, u->p);
}

static struct user *user_of(const struct event *e)
{
    return ((struct process *)e->arg)->user;
}

/* What became of a reference, for who reads a trace. */
static void note(const struct user *u, const char *what, uint64_t ref)
{
    char name[MOB_OBJECT_NAME_SIZE];
    struct mob_object_id id;

    if (sim_of(u)->config.trace && mob_owner_name(u->p->owner, ref, &id, NULL) == 0)
        sim_trace(sim_of(u), "process %u.%u %s %s", u->p->self.node, u->p->self.process, what, mob_object_id_name(&id, name));
}

/* -- refs ------------------------------------------------------------------------------------------------------------------ */

static void keep(struct user *u, uint64_t ref)
{
    unsigned at;

    note(u, "has", ref);
    if (u->count < REFS_MAX) {
        u->refs[u->count++] = ref;
        return;
    }
    at = (unsigned)sim_below(sim_of(u), REFS_MAX);
    note(u, "drops", u->refs[at]);
    mob_owner_drop(u->p->owner, u->refs[at], NULL);
    u->refs[at] = ref;
    if (at < u->kept) {                 /* what is kept stands in front */
        u->refs[at] = u->refs[--u->kept];
        u->refs[u->kept] = ref;
    }
}

static void drop(struct user *u, unsigned at)
{
    note(u, "drops", u->refs[at]);
    mob_owner_drop(u->p->owner, u->refs[at], NULL);
    if (at < u->kept) {
        u->refs[at] = u->refs[--u->kept];
        at = u->kept;
    }
    u->refs[at] = u->refs[--u->count];
}

static void drop_all(struct user *u)
{
    while (u->count > 0)
        drop(u, u->count - 1);
}

/* One that may go elsewhere; 0: there is none. */
static uint64_t usable(struct user *u)
{
    return u->count > u->kept ? u->refs[u->kept + sim_below(sim_of(u), u->count - u->kept)] : 0;
}

static size_t choose_carried(struct user *u, uint64_t refs[CARRIED_MAX])
{
    size_t count = 0;

    while (count < CARRIED_MAX && sim_chance(sim_of(u), 45) && (refs[count] = usable(u)) != 0)
        count++;
    for (size_t i = 0; i < count; i++) {
        note(u, "gives on", refs[i]);
        int named = mob_owner_name(u->p->owner, refs[i], &u->carried[i], NULL);
        assert(named == 0);
    }
    u->carried_count = count;
    return count;
}

/* A value of `size` bytes, with what it carries. Returns its size then. */
static size_t pack(const struct user *u, void *to, size_t size)
{
    for (size_t i = 0; i < u->carried_count; i++)
        mob_packed_put_id(to, size, i, &u->carried[i]);
    mob_packed_finish(to, size, u->carried_count);
    return mob_packed_size(size, u->carried_count);
}

static size_t small_size(struct sim *s)
{
    return VALUE_MIN + 8 * sim_below(s, (SMALL_MAX - VALUE_MIN) / 8);
}

static size_t large_size(struct sim *s)
{
    uint64_t most = sim_chance(s, 10) ? 4 * s->config.large : s->config.large;

    return VALUE_MIN + 8 * sim_below(s, most / 8);
}

/* What a get may fail with: by design; or because something went wrong before. */
static void judge(const struct user *u, const struct mob_error *e)
{
    struct sim *s = sim_of(u);

    s->tasks_failed++;
    if (e->code == MOB_ERR_TASK && e->user_code == FAIL_CODE)
        return;
    if (e->code == MOB_ERR_NO_SPACE && s->config.tight)
        return;
    if (s->misfortunes > 0 && (e->code == MOB_ERR_WORKER_CRASHED || e->code == MOB_ERR_NODE_DIED || e->code == MOB_ERR_OWNER_DIED
                               || e->code == MOB_ERR_OBJECT_LOST || e->code == MOB_ERR_UNREACHABLE || e->code == MOB_ERR_TIMEOUT
                               || e->code == MOB_ERR_NO_SPACE))
        return;
    fprintf(stderr, "process %u of node %u: illegal error %s: %s\n", u->p->number, u->p->self.node, mob_code_name(e->code), e->text);
    abort();
}

/* -- waiting ----------------------------------------------------------------------------------------------------------------- */

static void block(struct user *u)
{
    if (!u->running || u->blocked)
        return;
    u->blocked = true;
    mob_executor_block(u->p->executor);
    work_say(u->p, MOBULA__ENVELOPE__BODY_BLOCKED);
}

static void unblock(struct user *u)
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
    unblock(u);
    if (err != NULL)
        judge(u, err);
    else
        sim_of(u)->tasks_right++;
    u->got(u, err);
}

static void get_inner(struct user *u, const struct mob_packed *packed)
{
    for (size_t i = 0; i < packed->refs && !u->of_earlier; i++) {
        struct mob_object_id id = mob_packed_id(packed, i);

        if (sim_chance(sim_of(u), 50))
            keep(u, mob_owner_inner(u->p->owner, u->getting, i, &id));
    }
}

static void run_looked_at(struct event *e)
{
    struct user *u = user_of(e);

    get_inner(u, &u->fetch.packed);
    desk_unpin(u->p->desk, &u->fetch);
    get_over(u, NULL);
}

static void run_get_fetched(struct event *e)
{
    struct user *u = user_of(e);
    const struct fetch *f = &u->fetch;

    if (f->data != NULL) {
        if (f->node != u->p->self.node)
            mob_owner_copied(u->p->owner, u->getting, u->p->self.node);
        unblock(u);
        after(u, SIM_US + (int64_t)sim_below(sim_of(u), 20 * SIM_MS), run_looked_at);
        return;
    }
    if (f->why.code == MOB_ERR_OBJECT_LOST || f->why.code == MOB_ERR_NODE_DIED || f->why.code == MOB_ERR_OWNER_DIED)
        mob_owner_lost(u->p->owner, u->getting, &f->why);
    get_over(u, &f->why);
}

static struct fetch fetch_of(const struct mob_object_info *info)
{
    struct fetch f = { .id = info->id, .size = info->size, .node = info->node, .copy_count = info->copy_count };

    memcpy(f.copies, info->copies, sizeof f.copies);
    return f;
}

static void run_get_ready(struct event *e)
{
    struct user *u = user_of(e);
    struct mob_object_info info;
    int looked = mob_owner_look(u->p->owner, u->getting, &info, NULL);

    assert(looked == 0 && info.state != MOB_OBJECT_PENDING);
    if (info.state == MOB_OBJECT_ERROR) {
        struct mob_error why = *info.error;
        get_over(u, &why);
    } else if (info.state == MOB_OBJECT_STORED) {
        u->fetch = fetch_of(&info);
        block(u);
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
    after(u, SIM_US, run_get_ready);
}

static void run_time_out(struct event *e)
{
    struct user *u = user_of(e);

    if (e->n != u->wait)
        return;
    u->wait++;
    mob_owner_wait_cancel(u->p->owner, &u->waiter);
    unblock(u);
    u->got(u, NULL);
}

static void get(struct user *u, uint64_t ref, int64_t timeout, void (*got)(struct user *u, const struct mob_error *err))
{
    note(u, "gets", ref);
    u->getting = ref;
    u->got = got;
    u->waiter.ready = on_ready;
    mob_list_init(&u->waiter.link);
    if (!mob_owner_wait(u->p->owner, ref, &u->waiter)) {
        after(u, SIM_US, run_get_ready);
        return;
    }
    block(u);
    if (timeout > 0)
        sim_after(sim_of(u), timeout, &u->p->a, run_time_out, u->p)->n = ++u->wait;
}

/* -- steps ------------------------------------------------------------------------------------------------------------------- */

static void run_step(struct event *e)
{
    step(user_of(e));
}

static void next(struct user *u)
{
    after(u, SIM_US + (int64_t)sim_below(sim_of(u), sim_chance(sim_of(u), 10) ? 100 * SIM_MS : 3 * SIM_MS), run_step);
}

static void step_got(struct user *u, const struct mob_error *err)
{
    (void)err;
    mob_owner_drop(u->p->owner, u->getting, NULL);
    next(u);
}

static void step_get(struct user *u)
{
    unsigned at = u->count > 0 ? (unsigned)sim_below(sim_of(u), u->count) : 0;

    if (u->count == 0) {
        next(u);
        return;
    }
    u->of_earlier = at < u->kept;
    mob_owner_clone(u->p->owner, u->refs[at], NULL);
    get(u, u->refs[at], WAIT_NS, step_got);
}

static void run_written(struct event *e)
{
    struct user *u = user_of(e);

    desk_seal(u->p->desk, &u->room, false);
    mob_owner_put_stored(u->p->owner, u->putting, u->p->self.node, u->room.size);
    keep(u, u->putting);
    next(u);
}

static void run_put_room(struct event *e)
{
    struct user *u = user_of(e);
    bool abandon = sim_chance(sim_of(u), 10);

    if (u->room.data != NULL && !abandon) {
        size_t size = u->room.size - mob_packed_size(0, u->carried_count);

        value_fill(u->room.data, size, &u->room.id, 0);
        pack(u, u->room.data, size);
        after(u, (int64_t)sim_below(sim_of(u), 3 * SIM_MS), run_written);
        return;
    }
    if (u->room.data != NULL) {
        desk_seal(u->p->desk, &u->room, true);
        mob_error_set(&u->room.why, MOB_ERR_OBJECT_LOST, "abandoned");
    } else {
        judge(u, &u->room.why);
    }
    mob_owner_put_failed(u->p->owner, u->putting, &u->room.why);
    mob_owner_drop(u->p->owner, u->putting, NULL);
    next(u);
}

static void step_put_large(struct user *u)
{
    uint64_t refs[CARRIED_MAX];
    size_t count = choose_carried(u, refs);

    u->putting = mob_owner_put_begin(u->p->owner, &u->room.id);
    if (count > 0)
        mob_owner_contain(u->p->owner, u->putting, refs, count);
    u->room.size = mob_packed_size(large_size(sim_of(u)), count);
    desk_create(u->p->desk, &u->room, run_put_room);
}

static void step_put_small(struct user *u)
{
    unsigned char bytes[PACKED_MAX];
    uint64_t refs[CARRIED_MAX], ref;
    size_t count = choose_carried(u, refs), size = small_size(sim_of(u));

    value_fill(bytes, size, NULL, sim_random(sim_of(u)));
    if (count > 0)
        ref = mob_owner_put_packed(u->p->owner, bytes, pack(u, bytes, size), refs, count, NULL);
    else
        ref = mob_owner_put(u->p->owner, bytes, size, NULL);
    assert(ref != 0);
    keep(u, ref);
    next(u);
}

static void step_call(struct user *u)
{
    static const int32_t retries[] = { -1, -1, 3, 0 };
    struct sim *s = sim_of(u);
    struct errand errand = { .levels = u->running ? u->errand.levels - 1 : 2, .steps = (uint32_t)sim_below(s, 5) };
    unsigned char bytes[sizeof errand + 256];
    uint64_t carried[CARRIED_MAX], returns[2];
    struct mob_arg args[ARGS_MAX] = { { .data = bytes, .size = sizeof errand, .carried = carried } };
    struct mob_shape shape = { .strategy = sim_chance(s, 40) ? MOB_SPREAD : MOB_HYBRID };
    struct mob_submit submit = { .function = 1, .name = "errand", .args = args, .arg_count = 1 };
    int submitted;

    value_fill(errand.words, sizeof errand.words, NULL, sim_random(s));
    memcpy(bytes, &errand, sizeof errand);
    args[0].carried_count = choose_carried(u, carried);
    if (args[0].carried_count > 0)
        args[0].size = pack(u, bytes, sizeof errand);
    while (submit.arg_count < ARGS_MAX && sim_chance(s, 45) && (args[submit.arg_count].ref = usable(u)) != 0)
        submit.arg_count++;
    mob_resources_set(&shape.resources, "CPU", MOB_UNITS);
    submit.shape = mob_owner_shape(u->p->owner, &shape);
    submit.depth = u->running ? u->run.lease->depth + 1 : 0;
    submit.returns = sim_chance(s, 25) ? 2 : 1;
    submit.max_retries = retries[sim_below(s, MOB_COUNT(retries))];
    submitted = mob_owner_submit(u->p->owner, &submit, returns, NULL);
    assert(submitted == 0);
    for (uint32_t i = 0; i < submit.returns; i++)
        keep(u, returns[i]);
    next(u);
}

static void step(struct user *u)
{
    unsigned dice = (unsigned)sim_below(sim_of(u), 100);

    if (u->steps == 0) {
        if (u->running)
            end_task(u);
        else
            end_program(u);
        return;
    }
    u->steps--;
    if (dice < 20) {
        step_put_large(u);
    } else if (dice < 30) {
        step_put_small(u);
    } else if (dice < 60 && (!u->running || u->errand.levels > 0)) {
        step_call(u);
    } else if (dice < 80) {
        step_get(u);
    } else {
        if (u->count > 0)
            drop(u, (unsigned)sim_below(sim_of(u), u->count));
        next(u);
    }
}

/* -- a task: its arguments --------------------------------------------------------------------------------------------------- */

static void run_task_end(struct event *e);

static void task_fail(struct user *u, const struct mob_error *why)
{
    u->why = *why;
    after(u, SIM_US, run_task_end);
}

static void run_argument_fetched(struct event *e)
{
    struct user *u = user_of(e);
    struct fetch *f = &u->args[u->arg];

    unblock(u);
    if (f->data == NULL) {
        judge(u, &f->why);
        task_fail(u, &f->why);
        return;
    }
    u->packed[u->arg++] = f->packed;
    next_argument(u);
}

static void fetch_argument(struct user *u, const struct fetch *f)
{
    u->args[u->arg] = *f;
    block(u);
    desk_fetch(u->p->desk, &u->args[u->arg], run_argument_fetched);
}

static void run_argument_ready(struct event *e)
{
    struct user *u = user_of(e);
    struct mob_object_info info;
    struct fetch f;
    int looked = mob_owner_look(u->p->owner, u->borrowed[u->arg], &info, NULL);

    assert(looked == 0 && info.state != MOB_OBJECT_PENDING);
    unblock(u);
    if (info.state == MOB_OBJECT_ERROR) {
        struct mob_error why = *info.error;
        judge(u, &why);
        task_fail(u, &why);
    } else if (info.state == MOB_OBJECT_STORED) {
        f = fetch_of(&info);
        fetch_argument(u, &f);
    } else {
        value_check(info.data, info.packed.refs > 0 ? info.packed.data_size : info.size, NULL);
        u->packed[u->arg++] = info.packed;
        next_argument(u);
    }
}

static void on_argument_ready(struct mob_waiter *w)
{
    after(MOB_CONTAINER(w, struct user, waiter), SIM_US, run_argument_ready);
}

static void borrow_argument(struct user *u, const struct mob_object_id *id)
{
    uint64_t ref = u->borrowed[u->arg] = mob_owner_borrow(u->p->owner, id);

    u->waiter.ready = on_argument_ready;
    mob_list_init(&u->waiter.link);
    if (mob_owner_wait(u->p->owner, ref, &u->waiter))
        block(u);
    else
        after(u, SIM_US, run_argument_ready);
}

static void meet_all(struct user *u)
{
    for (size_t i = 0; i < u->run.arg_count; i++)
        for (size_t j = 0; j < u->packed[i].refs; j++) {
            struct mob_object_id id = mob_packed_id(&u->packed[i], j);

            if (sim_chance(sim_of(u), 75))
                keep(u, mob_owner_meet(u->p->owner, &id, 0));
        }
    u->steps = u->errand.steps;
    next(u);
}

static void next_argument(struct user *u)
{
    const struct mob_run_arg *a = &u->run.args[u->arg];
    struct mob_packed packed = { .data_size = a->size };

    if (u->arg == u->run.arg_count) {
        meet_all(u);
    } else if (a->kind == MOB_VALUE_STORED) {
        struct fetch f = { .id = a->stored.object, .size = a->stored.size, .node = a->stored.node };
        fetch_argument(u, &f);
    } else if (a->kind == MOB_VALUE_FORWARD) {
        borrow_argument(u, &a->forward);
    } else {
        bool good = a->kind == MOB_VALUE_INLINE || mob_packed_read(a->data, a->size, &packed);
        assert(good);
        if (u->arg == 0)
            memcpy(&u->errand, a->data, sizeof u->errand);
        value_check(a->data, u->arg == 0 ? sizeof u->errand.words : packed.data_size, NULL);
        u->packed[u->arg++] = packed;
        next_argument(u);
    }
}

/* -- a task: its results ------------------------------------------------------------------------------------------------------- */

static void run_settled(struct event *e);

static void on_settled(struct mob_waiter *w)
{
    after(MOB_CONTAINER(w, struct user, waiter), SIM_US, run_settled);
}

/* The answer waits until each owner knows what this process holds, or gave away. */
static void run_task_end(struct event *e)
{
    struct user *u = user_of(e);

    if (sim_chance(sim_of(u), 60))
        drop_all(u);
    u->waiter.ready = on_settled;
    mob_list_init(&u->waiter.link);
    if (mob_owner_keep(u->p->owner) && mob_owner_unconfirmed(u->p->owner, &u->waiter))
        block(u);
    else
        after(u, SIM_US, run_settled);
}

static void task_over(struct user *u, bool failed)
{
    struct mob_result *first = &u->results[0];

    for (size_t i = 0; i < ARGS_MAX; i++) {
        if (u->args[i].data != NULL)
            desk_unpin(u->p->desk, &u->args[i]);
        if (u->borrowed[i] != 0)
            mob_owner_drop(u->p->owner, u->borrowed[i], NULL);
    }
    for (size_t i = 0; failed && i < first->lent_count; i++)
        mob_owner_lend_undo(u->p->owner, &u->lent[i], first->ticket + i);
    if (failed && first->kind == MOB_VALUE_STORED)
        desk_free(u->p->desk, &first->stored.object);
    u->running = false;
    u->kept = u->count;
    if (u->ending)
        drop_all(u);
}

static void run_settled(struct event *e)
{
    struct user *u = user_of(e);
    bool failed = u->why.code != MOB_OK;

    unblock(u);
    if (failed) {
        mob_executor_fail(u->p->executor, &u->run, &u->why);
    } else if (!mob_executor_finish(u->p->executor, &u->run, u->results)) {
        after(u, 100 * SIM_US, run_settled);
        return;
    }
    task_over(u, failed);
}

static void lend(struct user *u, const uint64_t *refs, size_t count)
{
    struct mob_result *r = &u->results[0];

    for (size_t i = 0; i < count; i++) {
        uint64_t ticket = mob_owner_lend(u->p->owner, refs[i], u->run.lease->owner, &u->lent[i]);

        note(u, "returns", refs[i]);
        if (i == 0)
            r->ticket = ticket;
    }
    r->lent = u->lent;
    r->lent_count = count;
}

static void fail_by_design(struct user *u)
{
    struct mob_error why;

    mob_error_set(&why, MOB_ERR_TASK, "it fails by design");
    why.user_code = FAIL_CODE;
    task_fail(u, &why);
}

static void result_over(struct user *u)
{
    if (sim_chance(sim_of(u), 5))
        fail_by_design(u);
    else
        after(u, SIM_US, run_task_end);
}

static void run_result_room(struct event *e)
{
    struct user *u = user_of(e);
    size_t size = u->room.size - mob_packed_size(0, u->carried_count);

    if (u->room.data == NULL) {
        judge(u, &u->room.why);
        for (size_t i = 0; i < u->results[0].lent_count; i++)
            mob_owner_lend_undo(u->p->owner, &u->lent[i], u->results[0].ticket + i);
        u->results[0].lent_count = 0;
        task_fail(u, &u->room.why);
        return;
    }
    value_fill(u->room.data, size, &u->room.id, u->run.attempt + 1);
    pack(u, u->room.data, size);
    desk_seal(u->p->desk, &u->room, false);
    u->results[0].kind = MOB_VALUE_STORED;
    u->results[0].stored = (struct mob_stored_value){ .object = u->room.id, .size = u->room.size, .node = u->p->self.node };
    result_over(u);
}

static bool forward(struct user *u)
{
    uint64_t ref = usable(u);
    struct mob_object_id name, own = mob_executor_result_id(u->p->executor, &u->run, 0);
    int named = ref != 0 ? mob_owner_name(u->p->owner, ref, &name, NULL) : -1;

    if (named < 0 || mob_object_id_eq(&name, &own))
        return false;
    u->results[0] = (struct mob_result){ .kind = MOB_VALUE_FORWARD, .forward = name };
    lend(u, &ref, 1);
    return true;
}

static void end_task(struct user *u)
{
    struct sim *s = sim_of(u);
    uint64_t refs[CARRIED_MAX];
    unsigned dice = (unsigned)sim_below(s, 100);
    size_t count, size = small_size(s);

    for (unsigned i = 0; i < 2; i++) {
        value_fill(u->bytes[i], size, NULL, sim_random(s));
        u->results[i] = (struct mob_result){ .kind = MOB_VALUE_INLINE, .data = u->bytes[i], .size = size };
    }
    if (dice < 4) {
        fail_by_design(u);
        return;
    }
    if (dice < 20 && forward(u)) {
        result_over(u);
        return;
    }
    count = choose_carried(u, refs);
    lend(u, refs, count);
    if (dice < 60) {
        u->room.id = mob_executor_result_id(u->p->executor, &u->run, 0);
        u->room.size = mob_packed_size(large_size(s), count);
        desk_create(u->p->desk, &u->room, run_result_room);
        return;
    }
    if (count > 0) {
        u->results[0].kind = MOB_VALUE_PACKED;
        u->results[0].size = pack(u, u->bytes[0], size);
    }
    result_over(u);
}

bool user_turn(struct process *p)
{
    struct user *u = p->user;
    struct mob_run run;

    if (u == NULL)
        return false;
    if (u->running || !mob_executor_claim(p->executor, &run))
        return true;
    u->running = true;
    u->run = run;
    u->why = (struct mob_error){ 0 };
    u->arg = 0;
    assert(run.arg_count >= 1 && run.arg_count <= ARGS_MAX && run.returns <= 2);
    memset(u->args, 0, sizeof u->args);
    memset(u->packed, 0, sizeof u->packed);
    memset(u->borrowed, 0, sizeof u->borrowed);
    memset(u->results, 0, sizeof u->results);
    p->a.sim->functions_run++;
    next_argument(u);
    return true;
}

const struct mob_executor_lease *user_running(const struct process *p)
{
    const struct user *u = p->user;

    return !u->running || u->blocked || p->unheard > 0 ? NULL : u->run.lease;
}

/* -- the end of a program ------------------------------------------------------------------------------------------------------ */

static void run_let_go(struct event *e)
{
    struct user *u = user_of(e);

    u->ending = true;
    if (!u->running)
        drop_all(u);
}

/* All that its workers kept. */
static void end_workers(struct user *u)
{
    struct sim *s = sim_of(u);
    struct process *p;

    for (unsigned i = 1; i <= s->config.nodes; i++)
        mob_list_each(p, &s->hosts[i].processes, struct process, by_host)
            if (p->state == PROCESS_UP && !p->driver && mob_address_eq(p->job, u->p->job))
                sim_after(s, (int64_t)sim_below(s, 100 * SIM_MS), &p->a, run_let_go, p);
}

static void run_end_program(struct event *e)
{
    end_program(user_of(e));
}

static void run_leave(struct event *e)
{
    program_leave(user_of(e)->p->program);
}

/* A program that goes on, or a task: of those that nobody waits for, too. */
static bool is_busy(const struct process *p)
{
    struct mob_owner_counts c;

    if (p->state != PROCESS_UP || !p->a.alive)
        return false;
    c = mob_owner_counts(p->owner);
    return (p->driver && !p->user->ended) || p->user->running || c.waiting + c.queued + c.pushed > 0;
}

static bool all_have_ended(const struct sim *s)
{
    struct process *p;

    for (unsigned i = 1; i <= s->config.nodes; i++)
        mob_list_each(p, &s->hosts[i].processes, struct process, by_host)
            if (is_busy(p))
                return false;
    return s->now >= s->faults_until;
}

/* All programs have ended: what is left of their objects? */
static void run_nothing_left(struct event *e)
{
    struct user *u = user_of(e);

    check_no_objects(sim_of(u));
    after(u, (int64_t)sim_below(sim_of(u), SIM_S), run_leave);
}

static void run_all_ended(struct event *e)
{
    struct user *u = user_of(e);
    struct sim *s = sim_of(u);

    if (!all_have_ended(s)) {
        after(u, 200 * SIM_MS, run_all_ended);
        return;
    }
    end_workers(u);
    after(u, s->config.faults ? 20 * SIM_S : 3 * SIM_S, run_nothing_left);
}

static void end_got(struct user *u, const struct mob_error *err)
{
    bool dropped = false;

    (void)err;
    for (unsigned i = 0; i < u->count && !dropped; i++)
        if ((dropped = u->refs[i] == u->getting))
            drop(u, i);
    mob_owner_drop(u->p->owner, u->getting, NULL);
    after(u, SIM_US, run_end_program);
}

static void end_program(struct user *u)
{
    if (u->count > 0) {
        u->of_earlier = false;
        mob_owner_clone(u->p->owner, u->refs[u->count - 1], NULL);
        get(u, u->refs[u->count - 1], 0, end_got);
        return;
    }
    u->ended = true;
    after(u, SIM_US, run_all_ended);
}

/* -- life ---------------------------------------------------------------------------------------------------------------------- */

void user_begin(struct process *p)
{
    p->user->steps = p->a.sim->config.tasks;
    next(p->user);
}

void user_create(struct process *p)
{
    p->user = mob_new(struct user);
    p->user->p = p;
    p->desk = mob_new(struct desk);
}

void user_free(struct process *p)
{
    if (p->desk != NULL)
        mob_store_client_close(p->desk->client);
    free(p->desk);
    free(p->user);
}
