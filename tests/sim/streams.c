/* SPDX-License-Identifier: Apache-2.0 */
/* streams.c -- tasks that yield items, and who reads them, in such programs (refs.c). As worker/stream_api.c does it: a task waits until an
 * item may be sent, makes it, waits until what goes with it is known, sends it; and is woken by a ring alone.
 *
 * What comes is a value like others. Besides: the items come in turn, each under its own name, and as many as the task was told to yield.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "refs.h"

/* -- the task ---------------------------------------------------------------------------------------------------------------- */

static void run_item(struct event *e);
static void run_send(struct event *e);

static void undo(struct user *u)
{
    for (size_t i = 0; i < u->item.lent_count; i++)
        mob_owner_lend_undo(u->p->owner, &u->item_lent[i], u->item.ticket + i);
    if (u->item.kind == MOB_VALUE_STORED)
        desk_free(u->p->desk, &u->item.stored.object);
}

static void stop(struct user *u)
{
    struct mob_error why;

    mob_error_set(&why, MOB_ERR_CANCELLED, "the stream's task was cancelled");
    user_task_fail(u, &why);
}

/* Until the owner rings: user_turn() looks then. */
static void sleep_until(struct user *u, void (*run)(struct event *e))
{
    u->yield = run;
    user_block(u);
}

void streams_turn(struct user *u)
{
    enum mob_yield may;

    if (u->yield == NULL)
        return;
    may = mob_executor_may_yield(u->p->executor);
    if (may == MOB_YIELD_WAIT || (may == MOB_YIELD_SEND && u->yield == run_send
                                  && !mob_executor_has_room(u->p->executor, mob_executor_item_size(&u->item))))
        return;
    user_unblock(u);
    user_after(u, SIM_US, u->yield);
    u->yield = NULL;
}

static void item_over(struct user *u)
{
    u->yielded++;
    user_after(u, SIM_US + (int64_t)sim_below(user_sim(u), sim_chance(user_sim(u), 10) ? 50 * SIM_MS : 100 * SIM_US), run_item);
}

static void run_send(struct event *e)
{
    struct user *u = user_of(e);

    user_unblock(u);
    switch (mob_executor_yield(u->p->executor, &u->run, &u->item)) {
    case MOB_YIELD_SEND:
        user_sim(u)->items_sent++;
        item_over(u);
        break;
    case MOB_YIELD_WAIT:
        sleep_until(u, run_send);
        break;
    case MOB_YIELD_SKIP:
        undo(u);
        item_over(u);
        break;
    case MOB_YIELD_STOP:
        undo(u);
        stop(u);
        break;
    }
}

static void on_known(struct mob_waiter *w)
{
    user_after(MOB_CONTAINER(w, struct user, waiter), SIM_US, run_send);
}

/* The owners of what it carries know that the reader holds it, before it is sent. */
static void settle(struct user *u)
{
    u->waiter.ready = on_known;
    mob_list_init(&u->waiter.link);
    if (u->item.lent_count > 0 && mob_owner_unconfirmed(u->p->owner, &u->waiter))
        user_block(u);
    else
        user_after(u, SIM_US, run_send);
}

static void run_item_room(struct event *e)
{
    struct user *u = user_of(e);
    size_t size = u->room.size - mob_packed_size(0, u->carried_count);

    if (u->room.data == NULL) {
        user_judge(u, &u->room.why);
        undo(u);
        user_task_fail(u, &u->room.why);
        return;
    }
    value_fill(u->room.data, size, &u->room.id, u->run.attempt + 1);
    user_pack(u, u->room.data, size);
    desk_seal(u->p->desk, &u->room, false);
    u->item.kind = MOB_VALUE_STORED;
    u->item.stored = (struct mob_stored_value){ .object = u->room.id, .size = u->room.size, .node = u->p->self.node };
    settle(u);
}

static void lend_with(struct user *u, const uint64_t *refs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t ticket = mob_owner_lend(u->p->owner, refs[i], u->run.lease->owner, &u->item_lent[i]);

        if (i == 0)
            u->item.ticket = ticket;
    }
    u->item.lent = u->item_lent;
    u->item.lent_count = count;
}

static void make_item(struct user *u)
{
    struct sim *s = user_sim(u);
    size_t size = user_small(s), count;
    uint64_t refs[CARRIED_MAX], ref;
    struct mob_object_id name;

    value_fill(u->item_bytes, size, NULL, sim_random(s));
    u->item = (struct mob_result){ .kind = MOB_VALUE_INLINE, .data = u->item_bytes, .size = size };
    if (u->errand.items > 100) {        /* many small ones */
        settle(u);
        return;
    }
    if (sim_chance(s, 10) && (ref = user_usable(u)) != 0 && mob_owner_name(u->p->owner, ref, &name, NULL) == 0
        && !(name.node == u->run.lease->owner.node && name.process == u->run.lease->owner.process && name.task == u->run.task)) {
        u->item = (struct mob_result){ .kind = MOB_VALUE_FORWARD, .forward = name };
        lend_with(u, &ref, 1);
        settle(u);
        return;
    }
    count = user_carry(u, refs);
    lend_with(u, refs, count);
    if (sim_chance(s, 40)) {
        u->room.id = mob_executor_result_id(u->p->executor, &u->run, mob_executor_item_index(u->p->executor));
        u->room.size = mob_packed_size(user_large(s), count);
        u->room.attempt = u->run.attempt;
        desk_create(u->p->desk, &u->room, run_item_room);
        return;
    }
    if (count > 0) {
        u->item.kind = MOB_VALUE_PACKED;
        u->item.size = user_pack(u, u->item_bytes, size);
    }
    settle(u);
}

static void run_item(struct event *e)
{
    struct user *u = user_of(e);

    user_unblock(u);
    if (u->yielded >= u->errand.items) {
        user_end_task(u);
        return;
    }
    switch (mob_executor_may_yield(u->p->executor)) {
    case MOB_YIELD_SEND:
        make_item(u);
        break;
    case MOB_YIELD_WAIT:
        sleep_until(u, run_item);
        break;
    case MOB_YIELD_SKIP:
        u->item = (struct mob_result){ .kind = MOB_VALUE_INLINE };
        mob_executor_yield(u->p->executor, &u->run, &u->item);
        item_over(u);
        break;
    case MOB_YIELD_STOP:
        stop(u);
        break;
    }
}

bool streams_yield(struct user *u)
{
    if (!u->run.streams || u->yielded >= u->errand.items)
        return false;
    user_after(u, SIM_US, run_item);
    return true;
}

/* -- the reader -------------------------------------------------------------------------------------------------------------- */

void streams_add(struct user *u, uint64_t stream, uint32_t items)
{
    if (u->stream_count == STREAMS_MAX) {
        mob_owner_stream_close(u->p->owner, stream, NULL);
        return;
    }
    u->streams[u->stream_count++] = (struct reading){ .stream = stream, .items = items };
}

static void close_one(struct user *u, unsigned at)
{
    int closed = mob_owner_stream_close(u->p->owner, u->streams[at].stream, NULL);

    assert(closed == 0);
    u->streams[at] = u->streams[--u->stream_count];
}

void streams_close(struct user *u)
{
    while (u->stream_count > 0)
        close_one(u, u->stream_count - 1);
}

static void wrong(const struct user *u, const struct reading *r, const char *what)
{
    fprintf(stderr, "process %u of node %u read %u of %u items: %s\n", u->p->number, u->p->self.node, r->read, r->items, what);
    abort();
}

/* An item, or an error as the last one. */
static void take_item(struct user *u, struct reading *r, uint64_t ref)
{
    struct mob_object_id name;
    struct mob_object_info info;
    int looked = mob_owner_look(u->p->owner, ref, &info, NULL), named = mob_owner_name(u->p->owner, ref, &name, NULL);

    assert(looked == 0 && named == 0);
    if (ref == r->stream) {
        if (info.state != MOB_OBJECT_ERROR)
            wrong(u, r, "its end came as an item, and is no error");
        user_judge(u, info.error);
        r->failed = true;
        mob_owner_drop(u->p->owner, ref, NULL);
        return;
    }
    r->read++;
    user_sim(u)->items_read++;
    if (name.task == r->stream && name.index != r->read)
        wrong(u, r, "one came out of turn");
    user_keep(u, ref);
}

static void read_got(struct user *u, const struct mob_error *err)
{
    struct reading *r = &u->streams[0];
    uint64_t ref;
    int rc;

    (void)err;
    mob_owner_drop(u->p->owner, u->getting, NULL);
    while (r->stream != u->reading)
        r++;
    rc = mob_owner_stream_take(u->p->owner, r->stream, &ref, NULL);
    assert(rc >= 0);
    if (rc > 0 && ref != 0)
        take_item(u, r, ref);
    if (rc == 0 && !r->failed && r->read != r->items)
        wrong(u, r, "the stream ended well");
    if (rc == 0)
        close_one(u, (unsigned)(r - u->streams));
    user_next(u);
}

bool streams_read(struct user *u)
{
    unsigned at = u->stream_count > 0 ? (unsigned)sim_below(user_sim(u), u->stream_count) : 0;
    uint64_t ahead;

    if (u->stream_count == 0)
        return false;
    if (sim_chance(user_sim(u), 5)) {
        close_one(u, at);
        return false;
    }
    u->reading = u->streams[at].stream;
    ahead = mob_owner_stream_peek(u->p->owner, u->reading, NULL);
    assert(ahead != 0);
    u->of_earlier = false;
    user_get(u, ahead, WAIT_NS, read_got);
    return true;
}
