/* SPDX-License-Identifier: Apache-2.0 */
/* errands.c -- a task of such a job: around the steps of its function it does what worker/worker_main.c and task_api.c do.
 *
 *   claim --> each argument is had --> meet what they carry --> steps --> result --> settle --> finish | fail
 *
 * What it still has at its end it drops, or keeps over tasks.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "faults.h"
#include "refs.h"

static void next_argument(struct user *u);

/* -- a task: its arguments --------------------------------------------------------------------------------------------------- */

static void run_task_end(struct event *e);

void user_task_fail(struct user *u, const struct mob_error *why)
{
    u->why = *why;
    user_after(u, SIM_US, run_task_end);
}

static void run_argument_fetched(struct event *e)
{
    struct user *u = user_of(e);
    struct fetch *f = &u->args[u->arg];

    user_unblock(u);
    if (f->data == NULL) {
        u->lost = mob_owner_is_loss(&f->why);
        if (!u->lost)
            user_judge(u, &f->why);
        user_task_fail(u, &f->why);
        return;
    }
    u->packed[u->arg++] = f->packed;
    next_argument(u);
}

static void fetch_argument(struct user *u, const struct fetch *f)
{
    u->args[u->arg] = *f;
    user_block(u);
    desk_fetch(u->p->desk, &u->args[u->arg], run_argument_fetched);
}

static void run_argument_ready(struct event *e)
{
    struct user *u = user_of(e);
    struct mob_object_info info;
    struct fetch f;
    int looked = mob_owner_look(u->p->owner, u->borrowed[u->arg], &info, NULL);

    assert(looked == 0 && info.state != MOB_OBJECT_PENDING);
    user_unblock(u);
    if (info.state == MOB_OBJECT_ERROR) {
        struct mob_error why = *info.error;
        user_judge(u, &why);
        user_task_fail(u, &why);
    } else if (info.state == MOB_OBJECT_STORED) {
        f = user_fetch_of(&info);
        fetch_argument(u, &f);
    } else {
        value_check(info.data, info.packed.refs > 0 ? info.packed.data_size : info.size, NULL);
        u->packed[u->arg++] = info.packed;
        next_argument(u);
    }
}

static void on_argument_ready(struct mob_waiter *w)
{
    user_after(MOB_CONTAINER(w, struct user, waiter), SIM_US, run_argument_ready);
}

static void borrow_argument(struct user *u, const struct mob_object_id *id)
{
    uint64_t ref = u->borrowed[u->arg] = mob_owner_borrow(u->p->owner, id);

    u->waiter.ready = on_argument_ready;
    mob_list_init(&u->waiter.link);
    if (mob_owner_wait(u->p->owner, ref, &u->waiter))
        user_block(u);
    else
        user_after(u, SIM_US, run_argument_ready);
}

static void meet_all(struct user *u)
{
    for (size_t i = 0; i < u->run.arg_count; i++)
        for (size_t j = 0; j < u->packed[i].refs; j++) {
            struct mob_object_id id = mob_packed_id(&u->packed[i], j);

            if (sim_chance(user_sim(u), 75))
                user_keep(u, mob_owner_meet(u->p->owner, &id, 0));
        }
    u->steps = u->errand.steps;
    user_next(u);
}

static void next_argument(struct user *u)
{
    const struct mob_run_arg *a;
    struct mob_packed packed;

    if (u->arg == u->run.arg_count) {
        meet_all(u);
        return;
    }
    a = &u->run.args[u->arg];
    packed = (struct mob_packed){ .data_size = a->size };
    if (a->kind == MOB_VALUE_STORED) {
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
    user_after(MOB_CONTAINER(w, struct user, waiter), SIM_US, run_settled);
}

/* The answer waits until each owner knows what this process holds, or gave away. */
static void run_task_end(struct event *e)
{
    struct user *u = user_of(e);

    streams_close(u);
    if (sim_chance(user_sim(u), 60))
        user_drop_all(u);
    u->waiter.ready = on_settled;
    mob_list_init(&u->waiter.link);
    if (mob_owner_keep(u->p->owner) && mob_owner_unconfirmed(u->p->owner, &u->waiter))
        user_block(u);
    else
        user_after(u, SIM_US, run_settled);
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
    for (uint32_t i = 0; failed && i < u->run.returns; i++)
        if (u->results[i].kind == MOB_VALUE_STORED)
            desk_free(u->p->desk, &u->results[i].stored.object);
    u->running = false;
    u->kept = u->count;
    if (u->ending)
        user_drop_all(u);
}

static void run_settled(struct event *e)
{
    struct user *u = user_of(e);
    bool failed = u->why.code != MOB_OK;

    user_unblock(u);
    if (failed && u->lost) {
        const struct mob_run_arg *a = &u->run.args[u->arg];
        mob_executor_lost(u->p->executor, &u->run, a->kind == MOB_VALUE_FORWARD ? &a->forward : &a->stored.object, &u->why);
    } else if (failed) {
        mob_executor_fail(u->p->executor, &u->run, &u->why);
    } else if (!mob_executor_finish(u->p->executor, &u->run, u->results)) {
        user_after(u, 100 * SIM_US, run_settled);
        return;
    }
    if (!failed && u->results[0].lent_count > 0)
        faults_answered(u->p);
    task_over(u, failed);
}

static void lend(struct user *u, const uint64_t *refs, size_t count)
{
    struct mob_result *r = &u->results[0];

    for (size_t i = 0; i < count; i++) {
        uint64_t ticket = mob_owner_lend(u->p->owner, refs[i], u->run.lease->owner, &u->lent[i]);

        user_note(u, "returns", refs[i]);
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
    user_task_fail(u, &why);
}

static void run_result_room(struct event *e);

static void store_result(struct user *u, uint32_t index)
{
    u->index = index;
    u->room.id = mob_executor_result_id(u->p->executor, &u->run, index);
    u->room.size = mob_packed_size(user_large(user_sim(u)), u->carried_count);
    u->room.attempt = u->run.attempt;
    desk_create(u->p->desk, &u->room, run_result_room);
}

/* The first one is made; the second, if there is any, carries nothing. */
static void result_over(struct user *u)
{
    if (u->run.returns > 1 && u->index == 0 && sim_chance(user_sim(u), 50)) {
        u->carried_count = 0;
        store_result(u, 1);
        return;
    }
    if (sim_chance(user_sim(u), 5))
        fail_by_design(u);
    else
        user_after(u, SIM_US, run_task_end);
}

static void run_result_room(struct event *e)
{
    struct user *u = user_of(e);
    struct mob_result *r = &u->results[u->index];
    size_t size = u->room.size - mob_packed_size(0, u->carried_count);

    if (u->room.data == NULL) {
        user_judge(u, &u->room.why);
        for (size_t i = 0; i < u->results[0].lent_count; i++)
            mob_owner_lend_undo(u->p->owner, &u->lent[i], u->results[0].ticket + i);
        u->results[0].lent_count = 0;
        user_task_fail(u, &u->room.why);
        return;
    }
    value_fill(u->room.data, size, &u->room.id, u->run.attempt + 1);
    user_pack(u, u->room.data, size);
    desk_seal(u->p->desk, &u->room, false);
    r->kind = MOB_VALUE_STORED;
    r->stored = (struct mob_stored_value){ .object = u->room.id, .size = u->room.size, .node = u->p->self.node };
    result_over(u);
}

static bool forward(struct user *u)
{
    uint64_t ref = user_usable(u);
    struct mob_object_id name, own = mob_executor_result_id(u->p->executor, &u->run, 0);
    int named = ref != 0 ? mob_owner_name(u->p->owner, ref, &name, NULL) : -1;

    if (named < 0 || mob_object_id_eq(&name, &own))
        return false;
    u->results[0] = (struct mob_result){ .kind = MOB_VALUE_FORWARD, .forward = name };
    lend(u, &ref, 1);
    return true;
}

void user_end_task(struct user *u)
{
    struct sim *s = user_sim(u);
    uint64_t refs[CARRIED_MAX];
    unsigned dice = (unsigned)sim_below(s, 100);
    size_t count, size = user_small(s);

    if (streams_yield(u))
        return;
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
    count = user_carry(u, refs);
    lend(u, refs, count);
    if (dice < 60 && !s->config.relays) {
        store_result(u, 0);
        return;
    }
    if (count > 0) {
        u->results[0].kind = MOB_VALUE_PACKED;
        u->results[0].size = user_pack(u, u->bytes[0], size);
    }
    result_over(u);
}

bool user_turn(struct process *p)
{
    struct user *u = p->user;
    struct mob_run run;

    if (u == NULL)
        return false;
    streams_turn(u);
    if (u->running || !mob_executor_claim(p->executor, &run))
        return true;
    u->running = true;
    /* Nothing runs again that nothing befell. */
    assert(run.attempt == 0 || p->a.sim->misfortunes + p->a.sim->refused > 0 || p->a.sim->config.tight);
    u->run = run;
    u->why = (struct mob_error){ 0 };
    u->lost = false;
    u->arg = 0;
    u->index = 0;
    u->yielded = 0;
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

void user_say(const struct process *p)
{
    const struct user *u = p->user;
    const struct desk *d = p->desk;
    char name[MOB_OBJECT_NAME_SIZE];

    if (u->running)
        fprintf(stderr, "    it runs task %lu of %u.%u, %u steps left, argument %zu of %zu\n", (unsigned long)u->run.task,
                u->run.lease->owner.node, u->run.lease->owner.process, u->steps, u->arg, u->run.arg_count);
    if (d->room != NULL)
        fprintf(stderr, "    it wants room for %s of %lu bytes\n", mob_object_id_name(&d->room->id, name), (unsigned long)d->room->size);
    if (d->fetch != NULL)
        fprintf(stderr, "    it fetches %s of %lu bytes from node %u\n", mob_object_id_name(&d->fetch->id, name),
                (unsigned long)d->fetch->size, d->fetch->node);
}
