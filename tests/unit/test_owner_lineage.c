/* SPDX-License-Identifier: Apache-2.0 */
/* test_owner_lineage.c -- what was lost is made again: from which tasks, how often, what they hold for it, and when it is let go. */
#include "mobula.h"
#include "tests/unit/owner_fake.h"
#include "tests/unit/unit.h"

#define FREE MOBULA__ENVELOPE__BODY_FREE
#define WATCHED MOBULA__ENVELOPE__BODY_WATCHED

static struct fake f;
static uint32_t shape;

static void start(uint64_t lineage_bytes)
{
    fake_init_with(&f, lineage_bytes);
    shape = fake_shape(&f);
    fake_open(&f, 0);
    fake_grant(&f, shape, 1, 0);
}

static struct mob_stored_value stored(uint64_t task, uint32_t index, uint32_t node)
{
    return (struct mob_stored_value){ .object = { .cluster = 77, .node = FAKE_NODE, .process = FAKE_PROCESS, .task = task, .index = index },
                                      .size = 1000, .node = node };
}

/* The worker claims the next task: of this number, and this attempt. */
static struct mob_task_frame claim(uint64_t task, unsigned attempt)
{
    struct mob_task_frame t;
    const void *body;

    mob_owner_flush(f.o);
    ck_assert(fake_claim(&f, 0, &t, &body));
    ck_assert_uint_eq(t.task, task);
    ck_assert_uint_eq(t.attempt, attempt);
    return t;
}

static void nothing_runs(void)
{
    struct mob_task_frame t;
    const void *body;

    mob_owner_flush(f.o);
    ck_assert(!fake_claim(&f, 0, &t, &body));
    mob_owner_check(f.o);
}

/* It answers with values that lie in the store of `node`. */
static void answer_stored(const struct mob_task_frame *t, uint32_t node)
{
    struct { struct mob_arg_head head; struct mob_stored_value value; } body[2];

    for (uint32_t i = 0; i < t->returns; i++) {
        body[i].head = (struct mob_arg_head){ MOB_VALUE_STORED, sizeof body[i].value };
        body[i].value = stored(t->task, i, node);
    }
    fake_reply(&f, 0, t, MOB_OK, body, t->returns * sizeof body[0], 1000);
    fake_drain(&f);
    mob_owner_flush(f.o);
    mob_owner_check(f.o);
}

/* A task runs, and leaves its one result at node 9. */
static uint64_t made(int retries, uint64_t arg)
{
    struct mob_arg args[] = { { .ref = arg } };
    uint64_t ref = fake_submit(&f, shape, retries, args, arg != 0);
    struct mob_task_frame t;

    if (arg != 0)
        mob_owner_copied(f.o, arg, FAKE_NODE);  /* nothing is to be staged */
    t = claim(ref, 0);
    answer_stored(&t, 9);
    ck_assert_int_eq(fake_look(&f, ref).state, MOB_OBJECT_STORED);
    return ref;
}

/* The same of an argument that is in memory. */
static uint64_t made_of(int retries, uint64_t arg)
{
    uint64_t ref = fake_submit(&f, shape, retries, &(struct mob_arg){ .ref = arg }, 1);
    struct mob_task_frame t = claim(ref, 0);

    answer_stored(&t, 9);
    return ref;
}

static bool lose(uint64_t ref)
{
    return fake_lose(&f, ref);
}

static struct mob_waiter waiter;

static void told(struct mob_waiter *w)
{
    w->ready = NULL;
}

static bool wants(uint64_t ref)
{
    waiter = (struct mob_waiter){ .ready = told };
    mob_list_init(&waiter.link);
    return mob_owner_wait(f.o, ref, &waiter);
}

static bool is_told(void)
{
    return waiter.ready == NULL;
}

static enum mob_lost reason_of(uint64_t ref)
{
    struct mob_object_info info = fake_look(&f, ref);

    ck_assert_int_eq(info.state, MOB_OBJECT_ERROR);
    ck_assert_int_eq(info.error->code, MOB_ERR_OBJECT_LOST);
    return (enum mob_lost)info.error->user_code;
}

static void finish(void)
{
    mob_owner_flush(f.o);
    ck_assert_uint_eq(mob_owner_counts(f.o).objects, 0);
    ck_assert_uint_eq(mob_owner_counts(f.o).kept, 0);
    ck_assert_uint_eq(mob_owner_counts(f.o).kept_bytes, 0);
    fake_finish(&f);
}

START_TEST(test_a_lost_result_is_made_again_when_it_is_wanted)
{
    struct mob_task_frame t;

    start(0);
    uint64_t ref = made(3, 0);

    ck_assert_uint_eq(mob_owner_counts(f.o).kept, 1);
    ck_assert(lose(ref));
    ck_assert_int_eq(fake_look(&f, ref).state, MOB_OBJECT_PENDING);
    nothing_runs();                             /* nobody needs it */
    ck_assert_uint_eq(f.sent[FREE], 1);         /* a node that lives may have it all the same */
    ck_assert_uint_eq(f.last[FREE]->free->before, 1);
    ck_assert(wants(ref));
    t = claim(ref, 1);
    answer_stored(&t, 4);
    ck_assert(is_told());
    ck_assert_uint_eq(fake_look(&f, ref).node, 4);
    mob_owner_drop(f.o, ref, NULL);
    mob_owner_flush(f.o);
    ck_assert_uint_eq(f.last[FREE]->free->before, 0);
    finish();
}
END_TEST

START_TEST(test_each_loss_takes_a_retry)
{
    struct mob_task_frame t;

    start(0);
    uint64_t ref = made(2, 0), once = made(0, 0), put;
    struct mob_object_id id;

    for (unsigned i = 1; i <= 2; i++) {
        ck_assert(lose(ref) && wants(ref));
        t = claim(ref, i);
        answer_stored(&t, 9);
    }
    ck_assert(!lose(ref));
    ck_assert_int_eq(reason_of(ref), MOB_LOST_MAX_ATTEMPTS);
    ck_assert(!lose(once));
    ck_assert_int_eq(reason_of(once), MOB_LOST_RETRIES_DISABLED);
    put = mob_owner_put_begin(f.o, &id);
    mob_owner_put_stored(f.o, put, 9, 1000);
    ck_assert(!lose(put));
    ck_assert_int_eq(reason_of(put), MOB_LOST_PUT);
    nothing_runs();
    mob_owner_drop(f.o, ref, NULL);
    mob_owner_drop(f.o, once, NULL);
    mob_owner_drop(f.o, put, NULL);
    finish();
}
END_TEST

/* Of a chain only the last result is in use: the others' values go at once, and come back when it is lost. */
START_TEST(test_a_chain_is_run_again_link_by_link)
{
    struct mob_task_frame t;

    start(0);
    uint64_t a = made(3, 0), b = made(3, a), c = made(3, b);

    mob_owner_drop(f.o, a, NULL);
    mob_owner_drop(f.o, b, NULL);
    mob_owner_flush(f.o);
    ck_assert_uint_eq(f.sent[FREE], 2);         /* to 9 and to us */
    ck_assert_uint_eq(f.last[FREE]->free->n_objects, 2);
    ck_assert_uint_eq(mob_owner_counts(f.o).kept, 3);
    ck_assert(lose(c) && wants(c));
    t = claim(a, 1);
    ck_assert_uint_eq(mob_owner_counts(f.o).waiting, 2);
    answer_stored(&t, FAKE_NODE);
    t = claim(b, 1);
    answer_stored(&t, FAKE_NODE);
    mob_owner_flush(f.o);
    ck_assert_uint_eq(f.last[FREE]->free->n_objects, 1);        /* a's, which b took */
    ck_assert_uint_eq(f.last[FREE]->free->before, 2);
    t = claim(c, 1);
    ck_assert(!is_told());
    answer_stored(&t, 4);
    ck_assert(is_told());
    mob_owner_drop(f.o, c, NULL);
    finish();
}
END_TEST

/* What cannot be had twice stays, as long as what was made of it does. */
START_TEST(test_a_put_argument_is_held)
{
    struct mob_object_id id;
    struct mob_task_frame t;

    start(0);
    uint64_t put = mob_owner_put_begin(f.o, &id), before, ref;

    mob_owner_put_stored(f.o, put, 2, 5000);
    ref = made(3, put);
    before = mob_owner_counts(f.o).kept_bytes;
    mob_owner_drop(f.o, put, NULL);
    mob_owner_flush(f.o);
    ck_assert_uint_eq(f.sent[FREE], 0);
    ck_assert_uint_eq(mob_owner_counts(f.o).kept_bytes, before + 5000);
    ck_assert(lose(ref) && wants(ref));
    t = claim(ref, 1);
    ck_assert_uint_eq(mob_owner_counts(f.o).kept_bytes, 0);
    answer_stored(&t, 4);
    ck_assert_uint_eq(mob_owner_counts(f.o).kept_bytes, before + 5000);
    mob_owner_drop(f.o, ref, NULL);
    mob_owner_flush(f.o);
    ck_assert_uint_eq(f.sent[FREE], 3);         /* the lost one, and both */
    finish();
}
END_TEST

/* A value that carries others rests with them: a put that it carries is counted, a result is let go, and made again for who finds it. */
START_TEST(test_what_a_resting_value_carries_rests_as_well)
{
    struct mob_object_id id, ids[2];
    struct mob_task_frame t;
    char packed[256] = { 0 };

    start(0);
    uint64_t put = mob_owner_put_begin(f.o, &id), result = made(3, 0), before, ref, carrier, carrier2;

    mob_owner_put_stored(f.o, put, FAKE_NODE, 5000);
    ids[0] = id;
    ids[1] = stored(result, 0, 9).object;
    for (size_t i = 0; i < 2; i++)
        mob_packed_put_id(packed, 8, i, &ids[i]);
    mob_packed_finish(packed, 8, 2);
    carrier = mob_owner_put_packed(f.o, packed, mob_packed_size(8, 2), (uint64_t[]){ put, result }, 2, NULL);
    carrier2 = mob_owner_put_packed(f.o, packed, mob_packed_size(8, 2), (uint64_t[]){ carrier, carrier }, 2, NULL);
    ref = made_of(3, carrier2);
    before = mob_owner_counts(f.o).kept_bytes;
    mob_owner_drop(f.o, put, NULL);
    mob_owner_drop(f.o, result, NULL);
    mob_owner_drop(f.o, carrier, NULL);
    ck_assert_uint_eq(mob_owner_counts(f.o).kept_bytes, before);
    mob_owner_drop(f.o, carrier2, NULL);
    mob_owner_flush(f.o);
    ck_assert_uint_eq(mob_owner_counts(f.o).kept_bytes, before + 5000 + 2 * mob_packed_size(8, 2));
    ck_assert_uint_eq(f.last[FREE]->free->n_objects, 1);
    ck_assert_uint_eq(f.last[FREE]->free->objects[0]->task, result);
    mob_owner_check(f.o);
    ck_assert(lose(ref) && wants(ref));
    ck_assert_uint_eq(mob_owner_counts(f.o).kept_bytes, before / 2);    /* one of two tasks */
    t = claim(ref, 1);
    answer_stored(&t, 9);
    ck_assert(is_told());
    result = mob_owner_meet(f.o, &ids[1], 0);   /* whoever reads the value finds its name */
    ck_assert(wants(result));
    t = claim(ids[1].task, 1);
    answer_stored(&t, 9);
    mob_owner_drop(f.o, result, NULL);
    mob_owner_drop(f.o, ref, NULL);
    finish();
}
END_TEST

/* Both returns of a task, in the store of node 9. */
static void made_two(uint64_t refs[2])
{
    struct mob_submit s = { .shape = fake_start(&f), .function = 42, .name = "two", .returns = 2, .max_retries = -1 };
    struct mob_task_frame t;

    ck_assert_int_eq(mob_owner_submit(f.o, &s, refs, NULL), 0);
    t = claim(refs[0], 0);
    answer_stored(&t, 9);
}

START_TEST(test_returns_that_are_not_lost_stay)
{
    struct mob_task_frame t;
    uint64_t refs[2];

    made_two(refs);
    ck_assert(lose(refs[1]) && wants(refs[1]));
    t = claim(refs[0], 1);
    answer_stored(&t, 4);
    ck_assert_uint_eq(fake_look(&f, refs[0]).node, 9);
    ck_assert_uint_eq(fake_look(&f, refs[1]).node, 4);
    mob_owner_flush(f.o);
    ck_assert_uint_eq(f.last[FREE]->to->node, 4);       /* nobody needs the other one there */
    ck_assert_uint_eq(f.last[FREE]->free->objects[0]->index, 0);
    ck_assert_uint_eq(f.last[FREE]->free->before, 2);
    mob_owner_drop(f.o, refs[0], NULL);
    ck_assert(lose(refs[1]) && wants(refs[1]));
    t = claim(refs[0], 2);
    answer_stored(&t, 4);
    mob_owner_drop(f.o, refs[1], NULL);
    finish();
}
END_TEST

/* Return 0 of a task of two stands for what another owner has at node 9, and return 1 is there, too. */
static void made_forward(uint64_t refs[2], const struct mob_object_id *theirs)
{
    struct {
        struct mob_arg_head tickets;
        uint64_t ticket;
        struct mob_object_id lent;
        struct mob_arg_head forward;
        struct mob_object_id id;
        struct mob_arg_head stored;
        struct mob_stored_value value;
    } body = { { MOB_VALUE_TICKETS, 8 + sizeof body.lent }, 41, *theirs, { MOB_VALUE_FORWARD, sizeof body.id }, *theirs,
               { MOB_VALUE_STORED, sizeof body.value }, { .size = 0 } };
    struct mob_submit s = { .shape = fake_start(&f), .function = 42, .name = "two", .returns = 2, .max_retries = -1 };
    Mobula__Watched__Place place = MOBULA__WATCHED__PLACE__INIT;
    Mobula__Watched m;
    Mobula__ObjectId object;
    struct mob_task_frame t;

    mobula__watched__init(&m);
    ck_assert_int_eq(mob_owner_submit(f.o, &s, refs, NULL), 0);
    t = claim(refs[0], 0);
    body.value = stored(refs[0], 1, 9);
    fake_reply(&f, 0, &t, MOB_OK, &body, sizeof body, 1000);
    fake_drain(&f);
    mob_wire_put_object(&object, theirs);
    place.object = m.object = &object;
    place.node = 9;
    place.size = 1000;
    m.state_case = MOBULA__WATCHED__STATE_PLACE;
    m.place = &place;
    fake_tell(&f, theirs->node, WATCHED, &m);
    ck_assert_uint_eq(fake_look(&f, refs[0]).node, 9);
}

/* Another run, for the other one, may leave there a value of its own. Found by the simulator. */
START_TEST(test_what_another_run_makes_of_a_forwarded_return_is_freed)
{
    const struct mob_object_id theirs = { .cluster = 77, .node = 4, .process = 6, .task = 1 };
    struct mob_task_frame t;
    uint64_t refs[2];

    made_forward(refs, &theirs);
    ck_assert(lose(refs[1]) && wants(refs[1]));
    t = claim(refs[0], 1);
    answer_stored(&t, 9);
    ck_assert_uint_eq(f.last[FREE]->to->node, 9);
    ck_assert_uint_eq(f.last[FREE]->free->objects[0]->index, 0);
    ck_assert_uint_eq(f.last[FREE]->free->before, 2);
    mob_owner_drop(f.o, refs[0], NULL);
    mob_owner_drop(f.o, refs[1], NULL);
    finish();
}
END_TEST

/* A node that died had more than the one that somebody found missing: one run makes both. */
START_TEST(test_all_that_a_dead_node_had_of_a_task_is_lost)
{
    struct mob_error why = { .code = MOB_ERR_NODE_DIED, .text = "node 9 has died" };
    struct mob_task_frame t;
    uint64_t refs[2];

    made_two(refs);
    ck_assert(mob_owner_lost(f.o, refs[1], fake_look(&f, refs[1]).since, &why) && wants(refs[1]));
    t = claim(refs[0], 1);
    ck_assert_int_eq(fake_look(&f, refs[0]).state, MOB_OBJECT_PENDING);
    answer_stored(&t, 4);
    ck_assert_uint_eq(fake_look(&f, refs[0]).node, 4);
    ck_assert_uint_eq(fake_look(&f, refs[1]).node, 4);
    mob_owner_drop(f.o, refs[0], NULL);
    mob_owner_drop(f.o, refs[1], NULL);
    finish();
}
END_TEST

/* The worker says that it could not have an argument. */
static void answer_lost(const struct mob_task_frame *t, uint64_t arg)
{
    struct { struct mob_object_id id; struct mob_error why; } body = { stored(arg, 0, 9).object, { .code = MOB_ERR_NODE_DIED } };

    fake_reply(&f, 0, t, MOB_ANSWER_LOST, &body, sizeof body, 1000);
    fake_drain(&f);
    mob_owner_flush(f.o);
    mob_owner_check(f.o);
}

START_TEST(test_a_task_waits_for_its_lost_argument)
{
    struct mob_task_frame t;

    start(0);
    uint64_t arg = made(1, 0), one, other;

    mob_owner_copied(f.o, arg, FAKE_NODE);      /* nothing is staged */
    one = fake_submit(&f, shape, 0, &(struct mob_arg){ .ref = arg }, 1);
    other = fake_submit(&f, shape, 0, &(struct mob_arg){ .ref = arg }, 1);
    t = claim(one, 0);
    answer_lost(&t, arg);                       /* it was told of one place; there is another */
    ck_assert_uint_eq(fake_look(&f, arg).node, FAKE_NODE);
    t = claim(other, 0);
    answer_lost(&t, arg);                       /* told of the same, before that: no news */
    ck_assert_uint_eq(fake_look(&f, arg).node, FAKE_NODE);
    t = claim(one, 1);
    answer_lost(&t, arg);
    ck_assert_int_eq(fake_look(&f, arg).state, MOB_OBJECT_PENDING);
    t = claim(other, 1);
    answer_lost(&t, arg);
    ck_assert_uint_eq(mob_owner_counts(f.o).waiting, 2);
    t = claim(arg, 1);
    answer_stored(&t, FAKE_NODE);
    for (int i = 0; i < 2; i++) {
        t = claim(i == 0 ? one : other, 2);
        fake_reply_value(&f, 0, &t, 7, 1000);
        fake_drain(&f);
    }
    mob_owner_drop(f.o, arg, NULL);
    mob_owner_drop(f.o, one, NULL);
    mob_owner_drop(f.o, other, NULL);
    finish();
}
END_TEST

/* One that cannot be made again fails the task, by its reason. */
START_TEST(test_an_argument_that_is_lost_for_good_fails_its_task)
{
    struct mob_task_frame t;

    start(0);
    uint64_t arg = made(0, 0), put, one, other;
    struct mob_object_id id;

    put = mob_owner_put_begin(f.o, &id);
    mob_owner_put_stored(f.o, put, FAKE_NODE, 1000);
    one = fake_submit(&f, shape, 3, &(struct mob_arg){ .ref = put }, 1);
    t = claim(one, 0);
    answer_lost(&t, put);
    ck_assert_int_eq(reason_of(one), MOB_LOST_PUT);
    ck_assert(!lose(arg));
    other = fake_submit(&f, shape, 3, &(struct mob_arg){ .ref = arg }, 1);
    ck_assert_int_eq(reason_of(other), MOB_LOST_RETRIES_DISABLED);
    mob_owner_drop(f.o, arg, NULL);
    mob_owner_drop(f.o, put, NULL);
    mob_owner_drop(f.o, one, NULL);
    mob_owner_drop(f.o, other, NULL);
    finish();
}
END_TEST

/* A borrower says that it could not have it. */
static void watch(uint64_t ref, uint32_t node, uint32_t making, enum mob_code code)
{
    Mobula__Watch m = MOBULA__WATCH__INIT;
    Mobula__Watch__Lost lost = MOBULA__WATCH__LOST__INIT;
    Mobula__Error error = MOBULA__ERROR__INIT;
    struct mob_object_id id = stored(ref, 0, 9).object;
    Mobula__ObjectId object;

    mob_wire_put_object(&object, &id);
    error.code = (int32_t)code;
    error.text = (char *)"not there";
    lost.node = node;
    lost.making = making;
    lost.error = &error;
    m.object = &object;
    m.lost = &lost;
    fake_tell(&f, 7, MOBULA__ENVELOPE__BODY_WATCH, &m);
    mob_owner_check(f.o);
}

START_TEST(test_a_borrower_is_answered_when_it_is_there_again)
{
    struct mob_task_frame t;

    start(0);
    uint64_t ref = made(1, 0);
    uint32_t making = fake_look(&f, ref).since;

    watch(ref, 8, making, MOB_ERR_NODE_DIED);   /* of another place */
    ck_assert_uint_eq(f.sent[WATCHED], 1);
    watch(ref, 9, making + 1, MOB_ERR_NODE_DIED);       /* of another making */
    ck_assert_uint_eq(f.sent[WATCHED], 2);
    ck_assert_uint_eq(f.last[WATCHED]->watched->place->node, 9);
    watch(ref, 9, making, MOB_ERR_UNREACHABLE);
    ck_assert_uint_eq(f.sent[WATCHED], 2);
    t = claim(ref, 1);
    answer_stored(&t, 4);
    ck_assert_uint_eq(f.sent[WATCHED], 3);
    ck_assert_uint_eq(f.last[WATCHED]->watched->place->node, 4);
    making = f.last[WATCHED]->watched->place->making;
    watch(ref, 4, making, MOB_ERR_UNREACHABLE); /* it is still there for others, and cannot be made again */
    ck_assert_int_eq(f.last[WATCHED]->watched->error->code, MOB_ERR_UNREACHABLE);
    ck_assert_int_eq(fake_look(&f, ref).state, MOB_OBJECT_STORED);
    watch(ref, 4, making, MOB_ERR_OBJECT_LOST);
    ck_assert_int_eq(f.last[WATCHED]->watched->error->code, MOB_ERR_OBJECT_LOST);
    ck_assert_int_eq(f.last[WATCHED]->watched->error->user_code, MOB_LOST_MAX_ATTEMPTS);
    mob_owner_drop(f.o, ref, NULL);
    finish();
}
END_TEST

/* Ours stands for another owner's: that one is asked, and told what we could not have. */
START_TEST(test_an_owner_is_asked_for_what_was_lost)
{
    const struct mob_object_id theirs = { .cluster = 77, .node = 4, .process = 6, .task = 1 };
    Mobula__Watched m;
    Mobula__Watched__Place place = MOBULA__WATCHED__PLACE__INIT;
    const Mobula__Watch *asked;
    Mobula__ObjectId object;

    start(0);
    mobula__watched__init(&m);
    uint64_t ref = mob_owner_borrow(f.o, &theirs);

    mob_wire_put_object(&object, &theirs);
    m.object = place.object = &object;
    m.state_case = MOBULA__WATCHED__STATE_PLACE;
    m.place = &place;
    place.node = 9;
    place.size = 1000;
    place.making = 5;
    fake_tell(&f, 4, WATCHED, &m);
    ck_assert_int_eq(fake_look(&f, ref).state, MOB_OBJECT_STORED);
    ck_assert(lose(ref));
    asked = f.last[MOBULA__ENVELOPE__BODY_WATCH]->watch;
    ck_assert(asked->lost != NULL && asked->lost->node == 9 && asked->lost->making == 5);
    ck_assert_int_eq(asked->lost->error->code, MOB_ERR_OBJECT_LOST);
    ck_assert(wants(ref));
    place.node = 3;
    fake_tell(&f, 4, WATCHED, &m);
    ck_assert(is_told());
    mob_owner_drop(f.o, ref, NULL);
    finish();
}
END_TEST

/* A raylet that seeks a place, as that of a node which leaves, does not want the value. */
START_TEST(test_a_place_that_is_sought_is_no_want)
{
    Mobula__Watch m = MOBULA__WATCH__INIT;
    struct mob_task_frame t;

    start(0);
    uint64_t ref = made(3, 0);
    struct mob_object_id id = stored(ref, 0, 9).object;
    Mobula__ObjectId object;

    mob_wire_put_object(&object, &id);
    m.object = &object;
    ck_assert(lose(ref));
    fake_tell(&f, 7, MOBULA__ENVELOPE__BODY_WATCH, &m);
    ck_assert_int_eq(f.last[WATCHED]->watched->error->code, MOB_ERR_OBJECT_LOST);
    nothing_runs();
    ck_assert(wants(ref));
    fake_tell(&f, 7, MOBULA__ENVELOPE__BODY_WATCH, &m);
    ck_assert_uint_eq(f.sent[WATCHED], 1);
    t = claim(ref, 1);
    answer_stored(&t, 4);
    ck_assert_uint_eq(f.last[WATCHED]->watched->place->node, 4);
    mob_owner_drop(f.o, ref, NULL);
    finish();
}
END_TEST

/* What a finished task held is let go while its owner is still to hear that we have it: it rests no more then. */
START_TEST(test_what_is_told_of_outlives_its_rest)
{
    const struct mob_object_id theirs = { .cluster = 77, .node = 4, .process = 6, .task = 1 };
    Mobula__ReferencesDone done = MOBULA__REFERENCES_DONE__INIT;
    Mobula__Watched m;
    Mobula__ObjectId object;
    struct mob_envelope e;
    const void *bytes;
    size_t size;

    start(0);
    uint64_t met = mob_owner_meet(f.o, &theirs, 0), ref;

    ck_assert(wants(met));
    mob_wire_put_object(&object, &theirs);
    mobula__watched__init(&m);
    m.object = &object;
    m.state_case = MOBULA__WATCHED__STATE_VALUE;
    m.value = (ProtobufCBinaryData){ 5, (uint8_t *)"value" };
    fake_tell(&f, 4, WATCHED, &m);
    ref = made_of(3, met);
    mob_owner_drop(f.o, met, NULL);
    ck_assert(mob_owner_keep(f.o));
    mob_owner_drop(f.o, ref, NULL);
    mob_owner_check(f.o);
    ck_assert_uint_eq(mob_owner_counts(f.o).kept_bytes, 0);
    mob_owner_flush(f.o);
    done.seq = f.last[MOBULA__ENVELOPE__BODY_REFERENCES]->references->seq;
    mob_envelope_init(&e, (struct mob_address){ theirs.node, theirs.process }, (struct mob_address){ FAKE_NODE, FAKE_PROCESS },
                      MOBULA__ENVELOPE__BODY_REFERENCES_DONE);
    e.e.references_done = &done;
    bytes = mob_wire_pack(f.wire, &e.e, &size);
    mob_owner_receive(f.o, bytes, size);
    finish();
}
END_TEST

/* The oldest goes when there is no room; what it alone could have made is an error for who wants it. */
START_TEST(test_the_oldest_makes_room)
{
    start(2500);
    uint64_t a = made(3, 0), b = made(3, a), others[20];
    int count = 0;

    mob_owner_drop(f.o, a, NULL);
    ck_assert_uint_eq(mob_owner_counts(f.o).evicted, 0);
    while (mob_owner_counts(f.o).evicted == 0)
        others[count++] = made(3, 0);
    ck_assert_uint_eq(f.warnings, 1);
    ck_assert(mob_owner_counts(f.o).kept_bytes <= 2500);
    ck_assert(lose(b));                         /* itself it can be made again, what it took cannot */
    ck_assert(!wants(b));
    ck_assert_int_eq(reason_of(b), MOB_LOST_LINEAGE_EVICTED);
    while (count > 0)
        mob_owner_drop(f.o, others[--count], NULL);
    mob_owner_drop(f.o, b, NULL);
    finish();
}
END_TEST

START_TEST(test_nothing_is_kept_if_nothing_may_be)
{
    start(1);
    uint64_t ref = made(3, 0);

    ck_assert_uint_eq(mob_owner_counts(f.o).kept, 0);
    ck_assert(!lose(ref));
    ck_assert_int_eq(reason_of(ref), MOB_LOST_LINEAGE_DISABLED);
    mob_owner_drop(f.o, ref, NULL);
    finish();
}
END_TEST

START_TEST(test_cancelled_ones_are_not_made_again)
{
    uint64_t refs[2];

    made_two(refs);
    fake_recall(&f, 1, FAKE_NODE);
    ck_assert_int_eq(mob_owner_cancel(f.o, refs[0], false, NULL), 0);   /* it is over */
    ck_assert(lose(refs[0]));
    ck_assert_int_eq(mob_owner_cancel(f.o, refs[0], false, NULL), 0);   /* so it is now */
    ck_assert(wants(refs[0]));
    ck_assert_int_eq(mob_owner_cancel(f.o, refs[0], false, NULL), 0);
    ck_assert_int_eq(fake_look(&f, refs[0]).error->code, MOB_ERR_CANCELLED);
    ck_assert(!lose(refs[1]));
    ck_assert_int_eq(reason_of(refs[1]), MOB_LOST_TASK_CANCELLED);
    mob_owner_drop(f.o, refs[0], NULL);
    mob_owner_drop(f.o, refs[1], NULL);
    finish();
}
END_TEST

/* The old value may come to light while the new one is made. */
START_TEST(test_copies_of_what_was_lost_are_freed)
{
    Mobula__Copies m = MOBULA__COPIES__INIT;
    Mobula__ObjectId object, *list[] = { &object };
    struct mob_task_frame t;

    start(0);
    uint64_t ref = made(3, 0);
    struct mob_object_id id = stored(ref, 0, 9).object;

    mob_wire_put_object(&object, &id);
    m.n_added = m.n_have = 1;
    m.added = m.have = list;
    ck_assert(lose(ref) && wants(ref));
    t = claim(ref, 1);
    fake_tell(&f, 6, MOBULA__ENVELOPE__BODY_COPIES, &m);
    mob_owner_flush(f.o);
    ck_assert_uint_eq(f.last[FREE]->to->node, 6);
    ck_assert_uint_eq(f.last[FREE]->free->n_objects, 2);
    ck_assert_uint_eq(f.last[FREE]->free->before, 1);   /* this attempt's value may be there */
    answer_stored(&t, 6);
    mob_owner_drop(f.o, ref, NULL);
    finish();
}
END_TEST

/* A chain of any length is walked without recursion: when its links are let go, when they run again, and when it ends. */
START_TEST(test_long_chains)
{
    struct mob_task_frame t;

    start(0);
    uint64_t first = made(3, 0), last = first;

    for (int i = 0; i < 200000; i++) {
        uint64_t next = fake_submit(&f, shape, 3, &(struct mob_arg){ .ref = last }, 1);
        const void *body;

        mob_owner_copied(f.o, last, FAKE_NODE);
        mob_owner_flush(f.o);
        ck_assert(fake_claim(&f, 0, &t, &body));
        struct { struct mob_arg_head head; struct mob_stored_value value; } answer = { { MOB_VALUE_STORED, sizeof answer.value },
                                                                                       stored(next, 0, FAKE_NODE) };

        fake_reply(&f, 0, &t, MOB_OK, &answer, sizeof answer, 1000);
        fake_drain(&f);
        mob_owner_drop(f.o, last, NULL);
        last = next;
    }
    ck_assert_uint_eq(mob_owner_counts(f.o).kept, 200001);
    ck_assert(lose(last) && wants(last));
    ck_assert_uint_eq(mob_owner_counts(f.o).waiting, 200000);
    t = claim(first, 1);
    mob_owner_cancel(f.o, last, false, NULL);
    mob_owner_drop(f.o, last, NULL);
    mob_owner_check(f.o);
    fake_fini(&f);
}
END_TEST

START_TEST(test_a_lost_raylet_ends_it)
{
    struct mob_error why = { .code = MOB_ERR_UNREACHABLE, .text = "end of file" };

    start(0);
    uint64_t a = made(3, 0), b = made(3, a), c = made(3, 0);

    mob_owner_drop(f.o, a, NULL);
    ck_assert(lose(c) && wants(c));
    mob_owner_raylet_lost(f.o, &why);
    ck_assert_int_eq(fake_look(&f, c).error->code, MOB_ERR_NODE_DIED);
    mob_owner_drop(f.o, b, NULL);
    mob_owner_drop(f.o, c, NULL);
    finish();
}
END_TEST

UNIT_MAIN("owner_lineage", test_a_lost_result_is_made_again_when_it_is_wanted, test_each_loss_takes_a_retry,
          test_a_chain_is_run_again_link_by_link, test_a_put_argument_is_held,
          test_what_a_resting_value_carries_rests_as_well, test_returns_that_are_not_lost_stay,
          test_what_another_run_makes_of_a_forwarded_return_is_freed,
          test_all_that_a_dead_node_had_of_a_task_is_lost,
          test_a_task_waits_for_its_lost_argument, test_an_argument_that_is_lost_for_good_fails_its_task,
          test_a_borrower_is_answered_when_it_is_there_again, test_an_owner_is_asked_for_what_was_lost, test_the_oldest_makes_room,
          test_nothing_is_kept_if_nothing_may_be, test_cancelled_ones_are_not_made_again, test_copies_of_what_was_lost_are_freed,
          test_long_chains, test_a_lost_raylet_ends_it, test_a_place_that_is_sought_is_no_want, test_what_is_told_of_outlives_its_rest)
