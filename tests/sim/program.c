/* SPDX-License-Identifier: Apache-2.0 */
/* program.c -- a driver's program: it starts when its node has joined, submits calls in bursts, waits for all, looks at each value,
 * drops its refs and leaves. What it saw is judged here: a value must be right, an error must be one that the call could have.
 */
#include "faults.h"
#include "stores.h"
#include "user.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scene.h"

#define ARGS_MAX 3
#define NOWHERE UINT32_MAX               /* a node that never was */
#define GONE_NS (3 * SIM_S)             /* after a driver's crash nothing of its job is left, when all else goes well */

struct record {
    struct mob_waiter waiter;
    struct program *program;
    uint64_t ref;
    struct call call;
    struct record *args[ARGS_MAX];
    uint32_t arg_count;
    int32_t max_retries;
    enum mob_strategy strategy;
    bool ready, cancelled, failed, nowhere;
    int64_t submitted;
    uint64_t value;                     /* that it must have, if its arguments have theirs */
};

struct program {
    struct sim *sim;
    struct host *host;
    struct process *process;            /* NULL: not started, or over */
    const struct role *role;            /* in a scene; else NULL */
    struct mob_resources resources;     /* of its calls there */
    struct record *records;
    unsigned calls, count, ready;
    bool judged;                        /* and its refs dropped */
    bool forced;                        /* cancelled by force: the kill may hit the task behind, which is charged and runs again */
    struct mob_link link;
};

/* -- what it may see --------------------------------------------------------------------------------------------------------- */

static bool error_is_legal(const struct record *r, const struct mob_error *e)
{
    bool faults = faults_may_cost(r->program->sim) || r->program->forced;

    for (uint32_t i = 0; i < r->arg_count; i++) {
        if (r->args[i]->failed)
            return true;                /* its argument's error is its own */
    }
    if (r->nowhere)
        return e->code == MOB_ERR_INFEASIBLE || (r->cancelled && e->code == MOB_ERR_CANCELLED);
    if (r->call.function == FUNCTION_FAIL && e->code == MOB_ERR_TASK)
        return e->user_code == FAIL_CODE;
    if (r->call.function == FUNCTION_FORWARD && (e->code == MOB_ERR_OWNER_DIED || (faults && e->code == MOB_ERR_NODE_DIED)))
        return true;                    /* the worker that called the other was ended */
    if (r->cancelled && e->code == MOB_ERR_CANCELLED)
        return true;
    if (e->code == MOB_ERR_WORKER_CRASHED && strstr(e->text, "3 different workers") != NULL)
        return faults;
    if (e->code == MOB_ERR_OUT_OF_MEMORY)
        return r->program->sim->config.memory && r->max_retries == 0;      /* all others rest, and come through */
    if (r->max_retries < 0)
        return false;
    if (r->call.function == FUNCTION_CRASH && r->max_retries == 0)
        return e->code == MOB_ERR_WORKER_CRASHED || (faults && e->code == MOB_ERR_NODE_DIED);
    return faults && (e->code == MOB_ERR_WORKER_CRASHED || e->code == MOB_ERR_NODE_DIED);
}

/* Where nothing goes wrong, nothing runs twice: no take-back, recall or death of another's worker may repeat a call. And a call
 * without retries never does: it may have been charged for a run that it did not have, but not the other way round. */
static void judge_runs(const struct record *r)
{
    uint64_t runs = call_runs(r->program->sim, r->call.seed);

    if (r->max_retries == 0 && runs > 1) {
        fprintf(stderr, "call %ld ran %lu times without retries\n", (long)(r - r->program->records), (unsigned long)runs);
        abort();
    }
    if (faults_may_cost(r->program->sim) || r->program->forced)
        return;
    if (r->program->sim->config.memory && r->max_retries != 0)
        return;
    assert(runs <= (r->call.function == FUNCTION_CRASH ? 2 : 1));
    assert(runs >= 1 || r->failed);
}

static void judge(struct record *r)
{
    struct program *p = r->program;
    struct mob_object_info info;
    int looked = mob_owner_look(p->process->owner, r->ref, &info, NULL);
    uint64_t value;

    assert(looked == 0 && info.state != MOB_OBJECT_PENDING);
    if (info.state == MOB_OBJECT_ERROR) {
        r->failed = true;
        p->sim->tasks_failed++;
        if (!error_is_legal(r, info.error)) {
            fprintf(stderr, "task %ld (function %u, retries %d): illegal error %s: %s\n", (long)(r - p->records), r->call.function,
                    r->max_retries, mob_code_name(info.error->code), info.error->text);
            abort();
        }
        return;
    }
    assert(info.state == MOB_OBJECT_INLINE && info.size == r->call.result_size);
    memcpy(&value, info.data, sizeof value);
    assert(value == r->value);
    assert(r->call.function != FUNCTION_FAIL);
    p->sim->tasks_right++;
}

void program_leave(struct program *p)
{
    struct process *process = p->process;

    p->process = NULL;
    p->sim->programs_running--;
    process_leave(process);
}

static void run_leave(struct event *e)
{
    program_leave(e->arg);
}

static void run_judge(struct event *e)
{
    struct program *p = e->arg;

    assert(!p->judged);
    for (unsigned i = 0; i < p->count; i++) {
        judge(&p->records[i]);
        judge_runs(&p->records[i]);
    }
    for (unsigned i = 0; i < p->count; i++)
        mob_owner_drop(p->process->owner, p->records[i].ref, NULL);
    p->judged = true;
    sim_trace(p->sim, "program on host %u: all %u calls ended", p->host->index, p->count);
    sim_after(p->sim, (int64_t)sim_below(p->sim, SIM_S), &p->process->a, run_leave, p);
}

static void run_another(struct event *e);

static void on_ready(struct mob_waiter *w)
{
    struct record *r = MOB_CONTAINER(w, struct record, waiter);
    struct program *p = r->program;

    assert(!r->ready);
    r->ready = true;
    if (p->role != NULL && p->role->wait_max > 0 && p->sim->now - r->submitted > p->role->wait_max) {
        fprintf(stderr, "call %ld on host %u starved: it took %ld ms\n", (long)(r - p->records), p->host->index,
                (long)((p->sim->now - r->submitted) / SIM_MS));
        abort();
    }
    if (++p->ready == p->calls && p->process->link != 0)
        sim_after(p->sim, SIM_US, &p->process->a, run_judge, p);
    else if (r->nowhere && sim_chance(p->sim, 50))
        sim_after(p->sim, (int64_t)sim_below(p->sim, 20 * SIM_US), &p->process->a, run_another, p);
}

/* Everything that was pending must have failed within the call that told the core. */
void program_raylet_lost(struct program *p)
{
    for (unsigned i = 0; i < p->count && !p->judged; i++) {
        struct mob_object_info info;
        int looked = mob_owner_look(p->process->owner, p->records[i].ref, &info, NULL);

        assert(looked == 0 && info.state != MOB_OBJECT_PENDING && p->records[i].ready);
    }
    sim_trace(p->sim, "program on host %u lost its raylet", p->host->index);
    program_leave(p);
}

/* -- what it does -------------------------------------------------------------------------------------------------------------- */

/* 0: it has not joined, so no program has heard of it. */
static uint32_t choose_node(struct sim *s)
{
    const struct raylet *r = s->hosts[1 + sim_below(s, s->config.nodes)].raylet;

    return r != NULL ? r->node : 0;
}

static struct mob_shape choose_shape(struct program *p, enum mob_strategy *ret_strategy)
{
    struct sim *s = p->sim;
    struct mob_shape shape = { .strategy = MOB_HYBRID };
    unsigned dice = (unsigned)sim_below(s, 100);
    const char *resources = "CPU=1";

    if (dice < 15)
        shape.strategy = MOB_SPREAD;
    else if (dice < 30)
        resources = "CPU=0.5";
    else if (dice < 38 && s->config.nodes >= 2)
        resources = "CPU=1,gold=1";
    else if (dice < 43)
        resources = dice % 2 ? "CPU=1,GPU=1" : "CPU=0.5,GPU=0.5";
    else if (dice < 48)
        shape.strategy = MOB_NODE_SOFT;
    else if (dice < 52 && !faults_may_cost(s))
        shape.strategy = MOB_NODE;
    if (shape.strategy == MOB_NODE || shape.strategy == MOB_NODE_SOFT)
        shape.node = choose_node(s);
    if (shape.node == 0 && shape.strategy != MOB_SPREAD)
        shape.strategy = MOB_HYBRID;
    mob_resources_parse(resources, &shape.resources, NULL);
    *ret_strategy = shape.strategy;
    return shape;
}

static void choose_call(struct program *p, struct record *r)
{
    static const int32_t retries[] = { -1, -1, 3, 3, 3, 1, 0 };
    struct sim *s = p->sim;
    unsigned dice = (unsigned)sim_below(s, 100);

    r->call = (struct call){ .seed = sim_random(s), .function = FUNCTION_LEAF, .result_size = 8 };
    r->call.duration_ns = 10 * SIM_US + (int64_t)sim_below(s, sim_chance(s, 10) ? 300 * SIM_MS : 3 * SIM_MS);
    r->max_retries = retries[sim_below(s, MOB_COUNT(retries))];
    if (dice < 15) {
        r->call.function = FUNCTION_NEST;
        r->call.children = 1 + (uint32_t)sim_below(s, CHILDREN_MAX);
        r->call.levels = 1 + (uint32_t)sim_below(s, 2);
    } else if (dice < 20) {
        r->call.function = FUNCTION_CRASH;
    } else if (dice < 24) {
        r->call.function = FUNCTION_FAIL;
    } else if (dice < 30) {
        r->call.function = FUNCTION_FORWARD;
        r->call.levels = 1 + (uint32_t)sim_below(s, 3);
    } else if (dice < 40) {
        r->call.result_size = 8 + (uint32_t)sim_below(s, 4088);
    }
    for (r->arg_count = 0; r->arg_count < ARGS_MAX && p->count > 0 && sim_chance(s, 25); r->arg_count++)
        r->args[r->arg_count] = &p->records[sim_below(s, p->count)];
}

static void run_cancel(struct event *e)
{
    struct record *r = e->arg;

    if (r->program->process == NULL || r->ready)
        return;
    r->program->forced |= e->n == MOB_CANCEL_FORCE;
    mob_owner_cancel(r->program->process->owner, r->ref, (int)e->n, NULL);
}

/* A value that is said to be in the store of a node: of any one that lives, or the one that the role names. 0: there is none. */
static uint64_t put_far(struct program *p, uint64_t *ret_value)
{
    struct sim *s = p->sim;
    unsigned on = p->role != NULL ? p->role->near_host : 1 + (unsigned)sim_below(s, s->config.nodes);
    struct raylet *r = s->hosts[on].raylet;
    struct mob_object_id id;
    uint64_t ref;

    if (on == 0 || r == NULL || r->node == 0 || (p->role == NULL && sim_chance(s, 70)))
        return 0;
    ref = mob_owner_put_begin(p->process->owner, &id);
    mob_owner_put_stored(p->process->owner, ref, r->node, 1 << 20);
    *ret_value = id.task;
    return ref;
}

static void submit(struct program *p, bool nowhere)
{
    struct record *r = &p->records[p->count];
    struct mob_shape shape = { .resources = p->resources };
    uint64_t refs[ARGS_MAX + 1], values[ARGS_MAX + 1];
    size_t count;
    int submitted;

    r->program = p;
    r->submitted = p->sim->now;
    if (p->role != NULL) {
        scene_call(p->sim, p->role, &r->call, &shape);
        r->strategy = shape.strategy;
    } else {
        shape = choose_shape(p, &r->strategy);
        choose_call(p, r);
        r->nowhere = nowhere || sim_chance(p->sim, 3);
        if (r->nowhere) {
            r->strategy = shape.strategy = MOB_NODE;
            shape.node = NOWHERE;
        }
    }
    for (uint32_t i = 0; i < r->arg_count; i++) {
        refs[i] = r->args[i]->ref;
        values[i] = r->args[i]->value;
    }
    count = r->arg_count;
    if ((refs[count] = put_far(p, &values[count])) != 0)
        count++;
    r->value = call_value(&r->call, values, count);
    submitted = call_submit(p->process, &r->call, &shape, refs, count, NULL, r->max_retries, &r->ref);
    assert(submitted == 0);
    if (count > r->arg_count)
        mob_owner_drop(p->process->owner, refs[r->arg_count], NULL);
    p->count++;
    r->waiter.ready = on_ready;
    mob_list_init(&r->waiter.link);
    if (!mob_owner_wait(p->process->owner, r->ref, &r->waiter))
        on_ready(&r->waiter);           /* its argument had failed already */
    if (p->role == NULL && sim_chance(p->sim, 3)) {
        r->cancelled = true;
        sim_after(p->sim, (int64_t)sim_below(p->sim, 50 * SIM_MS), &p->process->a, run_cancel, r)->n =
            sim_chance(p->sim, 20) ? MOB_CANCEL_FORCE : sim_chance(p->sim, 20) ? MOB_CANCEL_ALONE : 0;
    }
}

/* As one that could never run, by who has just heard that: it hears the same. */
static void run_another(struct event *e)
{
    struct program *p = e->arg;

    if (p->process != NULL && p->process->link != 0 && p->count < p->calls)
        submit(p, true);
}

static void run_burst(struct event *e)
{
    struct program *p = e->arg;
    unsigned burst = p->role != NULL ? p->role->burst : 1 + (unsigned)sim_below(p->sim, 12);
    int64_t pause;

    while (burst-- > 0 && p->count < p->calls)
        submit(p, false);
    if (p->count == p->calls)
        return;
    pause = p->role != NULL ? p->role->pause : (int64_t)sim_below(p->sim, sim_chance(p->sim, 20) ? 2 * SIM_S : 20 * SIM_MS);
    sim_after(p->sim, pause, &p->process->a, run_burst, p);
}

static void run_start(struct event *e)
{
    struct program *p = e->arg;

    p->process = driver_start(p->host, p);
    if (p->process == NULL)
        sim_after(p->sim, 50 * SIM_MS, NULL, run_start, p);
    else if (p->sim->config.stores)
        user_begin(p->process);
    else
        sim_after(p->sim, p->role != NULL ? p->role->start + SIM_MS : SIM_MS, &p->process->a, run_burst, p);
}

void program_create(struct sim *s, struct host *h, unsigned number)
{
    const struct role *role = s->config.scene != NULL ? &s->config.scene->roles[number] : NULL;
    struct program *p;

    if (role != NULL && role->calls == 0)
        return;
    p = mob_new(struct program);
    p->sim = s;
    p->host = h;
    p->role = role;
    if (role != NULL)
        mob_resources_parse(role->resources, &p->resources, NULL);
    p->calls = role != NULL ? role->calls : s->config.tasks;
    p->records = mob_alloc(p->calls * sizeof *p->records);
    mob_list_append(&s->programs, &p->link);
    s->programs_running++;
    sim_after(s, (int64_t)sim_below(s, 500 * SIM_MS), NULL, run_start, p);
}

void program_gone(struct program *p)
{
    p->process = NULL;
    p->sim->programs_running--;
}

static void run_check_gone(struct event *e)
{
    struct process *p = e->arg;

    check_job_gone(p->a.sim, p->job);
}

bool program_crash(struct sim *s)
{
    struct program *p, *chosen = NULL;
    struct process *process;
    unsigned seen = 0;

    mob_list_each(p, &s->programs, struct program, link) {
        if (p->process != NULL && sim_below(s, ++seen) == 0)
            chosen = p;
    }
    if (chosen == NULL || s->programs_running < 2)
        return false;
    sim_trace(s, "the program on host %u crashes", chosen->host->index);
    process = chosen->process;
    program_gone(chosen);
    process_die(process, SIGKILL, false);
    if (s->config.faults == 0)
        sim_after(s, GONE_NS, NULL, run_check_gone, process);
    return true;
}

void programs_destroy(struct sim *s)
{
    struct program *p;

    mob_list_each(p, &s->programs, struct program, link) {
        free(p->records);
        free(p);
    }
}
