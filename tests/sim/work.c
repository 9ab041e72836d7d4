/* SPDX-License-Identifier: Apache-2.0 */
/* work.c -- a worker's user function, in virtual time: what worker_main.c and pump.c do around one, and what it computes.
 *
 *   claim --> (thinks: duration) --> finish, fail, or die
 *         |-> NEST: submit children --> Blocked --(all ready)--> Unblocked --> (thinks again) --> finish
 *         '-> FORWARD: submit one child --> finish with its name, and keep its ref as long as the worker lives
 */
#include "stores.h"
#include "user.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

struct child {
    struct mob_waiter waiter;
    struct work *work;
    uint64_t ref;
};

struct work {
    struct process *process;
    struct mob_run run;
    struct call call;
    uint64_t value;
    struct child children[CHILDREN_MAX];
    uint32_t waiting;
    bool blocked, forwards;
    struct mob_object_id forward;
};

static uint64_t mix(uint64_t a, uint64_t b)
{
    a = (a ^ b) * UINT64_C(0x9fb21c651e98df25);
    return a ^ a >> 29;
}

struct call call_child(const struct call *c, uint32_t i)
{
    return (struct call){
        .seed = mix(c->seed, i + 1), .function = c->levels > 1 ? c->function : FUNCTION_LEAF, .children = c->children,
        .levels = c->levels - 1, .result_size = 8, .duration_ns = c->duration_ns / 2,
    };
}

uint64_t call_value(const struct call *c, const uint64_t *args, size_t arg_count)
{
    uint64_t value = mix(c->seed, 1);

    if (c->function == FUNCTION_FORWARD) {
        struct call child = call_child(c, 0);
        return call_value(&child, NULL, 0);
    }
    for (size_t i = 0; i < arg_count; i++)
        value = mix(value, args[i]);
    for (uint32_t i = 0; c->function == FUNCTION_NEST && i < c->children; i++) {
        struct call child = call_child(c, i);
        value += call_value(&child, NULL, 0);
    }
    return value;
}

int call_submit(struct process *p, const struct call *c, const struct mob_shape *shape, const uint64_t *refs, size_t ref_count,
                const struct mob_run *run, int32_t max_retries, uint64_t *ret_ref)
{
    struct mob_arg args[8] = { { .data = c, .size = sizeof *c } };
    struct mob_submit submit = {
        .shape = mob_owner_shape(p->owner, shape), .depth = run != NULL ? run->lease->depth + 1 : 0,
        .run = run != NULL ? run->number : 0, .function = c->function, .name = "call", .returns = 1,
        .max_retries = max_retries, .args = args, .arg_count = 1 + ref_count,
    };

    assert(ref_count < MOB_COUNT(args));
    for (size_t i = 0; i < ref_count; i++)
        args[1 + i].ref = refs[i];
    return mob_owner_submit(p->owner, &submit, ret_ref, NULL);
}

/* -- ends ------------------------------------------------------------------------------------------------------------------ */

static void work_over(struct work *w)
{
    w->process->work = NULL;
    free(w);
    /* The next claim is made by the next turn, which follows each event. */
}

void work_abandon(struct process *p)
{
    free(p->work);                      /* its waiters and refs go with the owner core */
    p->work = NULL;
}

static void fail(struct work *w, const struct mob_error *why)
{
    mob_executor_fail(w->process->executor, &w->run, why);
    work_over(w);
}

static void fail_cancelled(struct work *w)
{
    struct mob_error why;

    assert(mob_executor_cancelled(w->process->executor, &w->run));
    mob_error_set(&why, MOB_ERR_CANCELLED, "cancelled");
    fail(w, &why);
}

static void run_finish(struct event *e)
{
    struct process *p = e->arg;
    struct work *w = p->work;
    unsigned char bytes[4096];
    struct mob_result result = { .kind = MOB_VALUE_INLINE, .data = bytes, .size = w->call.result_size };

    assert(result.size >= sizeof w->value && result.size <= sizeof bytes);
    if (mob_executor_cancelled(p->executor, &w->run)) {
        fail_cancelled(w);
        return;
    }
    memset(bytes, 0, result.size);
    memcpy(bytes, &w->value, sizeof w->value);
    if (w->forwards)
        result = (struct mob_result){ .kind = MOB_VALUE_FORWARD, .forward = w->forward };
    if (!mob_executor_finish(p->executor, &w->run, &result)) {
        sim_after(p->a.sim, 100 * SIM_US, &p->a, run_finish, p);        /* no room for the answer yet */
        return;
    }
    work_over(w);
}

static void run_crash(struct event *e)
{
    struct process *p = e->arg;

    if (p->work->run.attempt == 0)
        process_die(p, SIGSEGV, false);
    else
        run_finish(e);
}

static void run_fail(struct event *e)
{
    struct process *p = e->arg;
    struct mob_error why;

    mob_error_set(&why, MOB_ERR_TASK, "it fails by design");
    why.user_code = FAIL_CODE;
    fail(p->work, &why);
}

/* -- nested calls ------------------------------------------------------------------------------------------------------------ */

static void run_heard(struct event *e)
{
    struct process *p = e->arg;

    p->unheard--;
}

void work_say(struct process *p, Mobula__Envelope__BodyCase body)
{
    Mobula__Blocked blocked = MOBULA__BLOCKED__INIT;
    Mobula__Unblocked unblocked = MOBULA__UNBLOCKED__INIT;
    struct mob_wire *wire = mob_wire_create();
    struct mob_envelope e;
    const void *bytes;
    size_t size;

    mob_envelope_init(&e, p->self, (struct mob_address){ p->self.node, 0 }, body);
    if (body == MOBULA__ENVELOPE__BODY_BLOCKED)
        e.e.blocked = &blocked;
    else
        e.e.unblocked = &unblocked;
    bytes = mob_wire_pack(wire, &e.e, &size);
    p->a.world.send(&p->a.world, p->link, bytes, size);
    p->unheard += link_event(p->a.sim, p->link, run_heard, p, 0);
    mob_wire_destroy(wire);
}

/* All children are ready: awake again, take their values. */
static void run_awake(struct event *e)
{
    struct process *p = e->arg;
    struct work *w = p->work;
    struct mob_error why = { .code = MOB_OK };

    assert(w->waiting == 0);
    if (w->blocked) {
        atomic_store(&p->bell.page->state, MOB_WORKER_RUNNING);
        work_say(p, MOBULA__ENVELOPE__BODY_UNBLOCKED);
        w->blocked = false;
    }
    for (uint32_t i = 0; i < w->call.children; i++) {
        struct mob_object_info info;
        int looked = mob_owner_look(p->owner, w->children[i].ref, &info, NULL);

        assert(looked == 0 && info.state != MOB_OBJECT_PENDING);
        if (info.state == MOB_OBJECT_ERROR) {
            why = *info.error;
        } else {
            uint64_t value;
            assert(info.state == MOB_OBJECT_INLINE && info.size == sizeof value);
            memcpy(&value, info.data, sizeof value);
            w->value += value;
        }
        mob_owner_drop(p->owner, w->children[i].ref, NULL);
    }
    if (why.code != MOB_OK)
        fail(w, &why);
    else
        sim_after(p->a.sim, w->call.duration_ns, &p->a, run_finish, p);
}

static void child_ready(struct mob_waiter *waiter)
{
    struct child *c = MOB_CONTAINER(waiter, struct child, waiter);
    struct process *p = c->work->process;

    assert(c->work->waiting > 0);
    if (--c->work->waiting == 0)
        sim_after(p->a.sim, SIM_US, &p->a, run_awake, p);
}

static void run_nest(struct event *e)
{
    struct process *p = e->arg;
    struct work *w = p->work;
    struct mob_shape shape = { .strategy = MOB_HYBRID };

    mob_resources_set(&shape.resources, "CPU", MOB_UNITS);
    for (uint32_t i = 0; i < w->call.children; i++) {
        struct call call = call_child(&w->call, i);
        struct child *c = &w->children[i];

        if (call_submit(p, &call, &shape, NULL, 0, &w->run, -1, &c->ref) < 0) {
            fail_cancelled(w);
            return;
        }
        c->work = w;
        c->waiter.ready = child_ready;
        mob_list_init(&c->waiter.link);
    }
    for (uint32_t i = 0; i < w->call.children; i++)
        w->waiting += mob_owner_wait(p->owner, w->children[i].ref, &w->children[i].waiter);
    assert(w->waiting == w->call.children);     /* nothing is ready before the next turn */
    w->blocked = true;
    mob_executor_block(p->executor);
    work_say(p, MOBULA__ENVELOPE__BODY_BLOCKED);
}

static void run_forward(struct event *e)
{
    struct process *p = e->arg;
    struct work *w = p->work;
    struct mob_shape shape = { .strategy = sim_chance(p->a.sim, 50) ? MOB_SPREAD : MOB_HYBRID };
    struct call call = call_child(&w->call, 0);
    struct mob_object_info info;
    uint64_t ref;
    int done;

    mob_resources_set(&shape.resources, "CPU", MOB_UNITS);
    if (call_submit(p, &call, &shape, NULL, 0, &w->run, -1, &ref) < 0) {
        fail_cancelled(w);
        return;
    }
    done = mob_owner_look(p->owner, ref, &info, NULL);
    assert(done == 0 && info.state == MOB_OBJECT_PENDING);
    w->forward = info.id;
    w->forwards = true;
    run_finish(e);
}

/* -- claiming ---------------------------------------------------------------------------------------------------------------- */

static void read_arguments(struct work *w)
{
    const struct mob_run *run = &w->run;
    uint64_t values[8];

    assert(run->arg_count >= 1 && run->arg_count <= MOB_COUNT(values) && run->args[0].size == sizeof w->call);
    memcpy(&w->call, run->args[0].data, sizeof w->call);
    assert(w->call.function == run->function && run->returns == 1);
    for (size_t i = 1; i < run->arg_count; i++) {
        const struct mob_run_arg *a = &run->args[i];

        if (a->kind == MOB_VALUE_STORED) {      /* nobody has its bytes: its name counts */
            values[i - 1] = a->stored.object.task;
            continue;
        }
        assert(a->kind == MOB_VALUE_INLINE && a->size >= sizeof(uint64_t));
        memcpy(&values[i - 1], a->data, sizeof(uint64_t));
    }
    w->value = mix(w->call.seed, 1);
    for (size_t i = 1; i < run->arg_count; i++)
        w->value = mix(w->value, values[i - 1]);
}

uint64_t call_runs(const struct sim *s, uint64_t seed)
{
    return (uintptr_t)mob_map_get(&s->runs, seed);
}

const struct mob_executor_lease *work_running(const struct process *p)
{
    if (p->user != NULL)
        return user_running(p);
    return p->work == NULL || p->work->blocked || p->unheard > 0 ? NULL : p->work->run.lease;
}

bool work_gpus(const struct process *p, const uint32_t **ret_gpus, size_t *ret_count, int64_t *ret_units)
{
    const struct mob_executor_lease *l = p->work != NULL ? p->work->run.lease : NULL;

    if (l == NULL || l->gpu_count == 0)
        return false;
    *ret_gpus = l->gpus;
    *ret_count = l->gpu_count;
    *ret_units = mob_resources_get(&l->resources, "GPU") / (int64_t)l->gpu_count;
    return true;
}

/* A page names what runs: who buries the worker charges that, who cancels it signals that. */
static void check_page(const struct process *p, const struct mob_run *run)
{
    const struct mob_page *page = p->bell.page;

    assert(atomic_load(&page->epoch) == run->lease->epoch && atomic_load(&page->task) == run->task);
    assert(atomic_load(&page->attempt) == run->attempt && atomic_load(&page->claimed_ns) != 0);
}

void work_turn(struct process *p)
{
    static void (*const begin[])(struct event *e) = {
        [FUNCTION_LEAF] = run_finish, [FUNCTION_NEST] = run_nest, [FUNCTION_CRASH] = run_crash, [FUNCTION_FAIL] = run_fail,
        [FUNCTION_FORWARD] = run_forward,
    };
    struct mob_run run;
    struct work *w;

    if (user_turn(p) || p->work != NULL || !mob_executor_claim(p->executor, &run))
        return;
    w = p->work = mob_new(struct work);
    w->process = p;
    w->run = run;
    read_arguments(w);
    p->a.sim->functions_run++;
    mob_map_set(&p->a.sim->runs, w->call.seed, (void *)(uintptr_t)(call_runs(p->a.sim, w->call.seed) + 1));
    if (run.lease->gpu_count > 0)
        check_gpus(p->a.host);
    check_page(p, &run);
    sim_after(p->a.sim, w->call.duration_ns, &p->a, begin[w->call.function], p);
}
