/* SPDX-License-Identifier: Apache-2.0 */
/* test_raylet_drain.c -- this node is to leave: nothing is lent any more, what is lent comes back after its task, and when nothing keeps
 * it, it says so and ends with the head's word. Its objects go to others; and those of others come. */
#include <string.h>

#include "raylet_fake.h"

#define DRAIN MOBULA__ENVELOPE__BODY_DRAIN
#define DEMAND MOBULA__ENVELOPE__BODY_DEMAND
#define DECLINED MOBULA__ENVELOPE__BODY_DECLINED
#define RECALL MOBULA__ENVELOPE__BODY_RECALL
#define REPORT MOBULA__ENVELOPE__BODY_REPORT

static struct fake f;
static uint64_t peer;

static void say_drain(uint64_t number, int64_t deadline_ms)
{
    Mobula__Drain m = MOBULA__DRAIN__INIT;

    m.number = number;
    m.limited = deadline_ms >= 0;
    m.deadline_ms = m.limited ? (uint64_t)deadline_ms : 0;
    fake_head_says(&f, DRAIN, &m);
    fake_tick(&f);
}

/* What the last Report said, after a beat. */
static Mobula__Draining left(void)
{
    Mobula__Draining last = MOBULA__DRAINING__INIT;
    Mobula__Envelope *e;
    bool heard = false;

    fake_pass(&f, 600);
    while ((e = fake_take(&f, f.head, REPORT)) != NULL) {
        heard = e->report->draining != NULL;
        if (heard)
            last = *e->report->draining;
    }
    ck_assert(heard);
    return last;
}

static struct fake_grant lend_to_peer(void)
{
    struct fake_grant g;

    fake_open(&f, "CPU=2");
    peer = fake_peer(&f, 3);
    fake_place(&f, fake_at(3, 9), (struct fake_ask){ .count = 1 });
    fake_all_up(&f);
    ck_assert(fake_grant(&f, peer, &g));
    return g;
}

static void return_from_peer(uint64_t lease)
{
    Mobula__Return m = MOBULA__RETURN__INIT;

    m.lease = lease;
    fake_say(&f, peer, fake_at(3, 9), fake_at(FAKE_NODE, 0), MOBULA__ENVELOPE__BODY_RETURN_LEASE, &m);
}

START_TEST(test_what_is_lent_comes_back_and_it_leaves)
{
    struct fake_grant g = lend_to_peer();
    Mobula__Envelope *e;

    fake_forget_sent(&f);
    say_drain(1, -1);
    e = fake_take(&f, peer, RECALL);
    ck_assert(e != NULL && e->recall->lease == g.lease);
    ck_assert_uint_eq(left().tasks, 1);
    ck_assert(!left().over);
    return_from_peer(g.lease);
    Mobula__Draining now = left();
    ck_assert(now.over && !now.late && now.tasks == 0);
    ck_assert_int_eq(f.process[g.worker].killed, 0);
    f.over.code = MOB_ERR_INVALID;
    fake_node_down(&f, FAKE_NODE, true, "drained");
    ck_assert_int_eq(f.over.code, MOB_OK);
    ck_assert_int_ne(f.process[g.worker].killed, 0);
    fake_fini(&f);
}
END_TEST

/* What was placed here and is not granted goes back; what comes after is declined. */
START_TEST(test_nothing_is_lent_any_more)
{
    struct fake_grant g;
    Mobula__Envelope *e;

    fake_open(&f, "CPU=2");
    peer = fake_peer(&f, 3);
    fake_place(&f, fake_at(3, 9), (struct fake_ask){ .count = 2 });
    say_drain(1, -1);
    e = fake_take(&f, peer, DECLINED);
    ck_assert(e != NULL && e->declined->count == 2);
    fake_all_up(&f);
    ck_assert(!fake_grant(&f, peer, &g));
    fake_place(&f, fake_at(3, 9), (struct fake_ask){ .count = 1 });
    e = fake_take(&f, peer, DECLINED);
    ck_assert(e != NULL && e->declined->count == 1);
    fake_claim(&f, fake_at(3, 9), (struct fake_ask){ .count = 1 });
    fake_all_up(&f);
    ck_assert(!fake_grant(&f, peer, &g));
    ck_assert(left().over);
    fake_fini(&f);
}
END_TEST

/* A driver keeps it; what that wants is asked of the head. No other driver comes in. */
START_TEST(test_a_driver_is_waited_for)
{
    struct fake_grant g;
    struct mob_error err;
    struct mob_address self, job;
    uint32_t depth;

    fake_open(&f, "CPU=2");
    uint32_t p = fake_driver(&f);

    fake_want(&f, p, (struct fake_ask){ .count = 2 });
    fake_all_up(&f);
    while (fake_grant(&f, f.process[p].link, &g))
        fake_return(&f, p, g.lease);
    say_drain(1, -1);
    fake_forget_sent(&f);
    fake_want(&f, p, (struct fake_ask){ .count = 3, .seen = 2 });
    fake_all_up(&f);
    ck_assert(!fake_grant(&f, f.process[p].link, &g));
    ck_assert_int_eq(fake_demand(&f), 3);
    Mobula__Draining now = left();
    ck_assert(now.drivers == 1 && !now.over);
    uint64_t link = ++f.next_link;
    mob_raylet_link_up(f.raylet, link, MOB_LINK_LOCAL);
    ck_assert_int_lt(mob_raylet_process_up(f.raylet, link, &(struct mob_hello){ .driver = true }, &self, &job, &depth, &err), 0);
    ck_assert_ptr_nonnull(strstr(err.text, "is draining"));
    fake_exit(&f, p, 0);
    fake_reap(&f);
    ck_assert(left().over);
    fake_fini(&f);
}
END_TEST

/* A worker whose page says that others need it. */
START_TEST(test_an_owner_is_waited_for)
{
    struct fake_grant g = lend_to_peer();

    f.process[g.worker].page.held = 1;
    return_from_peer(g.lease);
    say_drain(1, -1);
    Mobula__Draining now = left();
    ck_assert(now.owners == 1 && now.tasks == 0 && !now.over);
    f.process[g.worker].page.held = 0;
    ck_assert(left().over);
    fake_fini(&f);
}
END_TEST

/* The deadline counts from the word that set it, and is not begun anew by a repeat. */
START_TEST(test_the_deadline)
{
    lend_to_peer();
    say_drain(1, -1);
    ck_assert(!left().over);
    say_drain(2, 1000);
    fake_pass(&f, 300);
    say_drain(2, 1000);
    ck_assert(!left().over);
    Mobula__Draining now = left();
    ck_assert(now.over && now.late && now.tasks == 1 && now.number == 2);
    fake_fini(&f);
}
END_TEST

/* -- objects --------------------------------------------------------------------------------------------------------------- */

static struct mob_store *store;
static struct mob_flight *flight;
static Mobula__Envelope__BodyCase told;
static uint32_t created_at;

static void answer(void *arg, uint32_t process, const Mobula__Envelope *e)
{
    struct mob_envelope to;
    Mobula__Envelope addressed = *e;

    (void)arg;
    if (e->body_case == MOBULA__ENVELOPE__BODY_CREATED)
        created_at = e->created->entry;
    mob_envelope_init(&to, fake_at(FAKE_NODE, 0), fake_at(FAKE_NODE, process), e->body_case);
    addressed.from = &to.from;
    addressed.to = &to.to;
    if (process == 0)
        mob_raylet_send(f.raylet, &addressed);
}

static void pull(void *arg, struct mob_flight *one)
{
    (void)arg;
    flight = one;
}

static void tell(void *arg, struct mob_address owner, const Mobula__Envelope *e)
{
    (void)arg, (void)owner;
    told = e->body_case;
}

static void seek(void *arg, const struct mob_object_id *id)
{
    (void)arg;
    mob_raylet_seek(f.raylet, id);
}

static void open_with_store(void)
{
    struct mob_store_config config = { .bytes = 1 << 20, .node = FAKE_NODE, .answer = answer, .pull = pull, .tell = tell, .seek = seek };

    fake_init(&f, "CPU=2");
    store = f.config.store = mob_store_create(&config, true, NULL);
    ck_assert_ptr_nonnull(store);
    fake_start(&f);
    fake_join(&f);
    peer = fake_peer(&f, 3);
    flight = NULL;
    told = 0;
}

static void close_with_store(void)
{
    mob_store_check(store);
    fake_fini(&f);
    mob_store_destroy(store);
}

static Mobula__ObjectId *the_id(void)
{
    static Mobula__ObjectId id;

    mob_wire_put_object(&id, &(struct mob_object_id){ .cluster = 9, .node = 4, .process = 7, .task = 1 });
    return &id;
}

/* Some process here makes an object that is owned by 4.7. */
static void make_object(void)
{
    Mobula__Create create = MOBULA__CREATE__INIT;
    Mobula__Seal seal = MOBULA__SEAL__INIT;
    int arena, meta, pins;
    struct mob_envelope e;

    ck_assert_int_eq(mob_store_client(store, 99, &arena, &meta, &pins, NULL), 0);
    create.object = seal.object = the_id();
    create.size = 5000;
    mob_envelope_init(&e, fake_at(FAKE_NODE, 99), fake_at(FAKE_NODE, 0), MOBULA__ENVELOPE__BODY_CREATE);
    e.e.create = &create;
    mob_store_receive(store, 99, &e.e);
    seal.entry = created_at;
    mob_envelope_init(&e, fake_at(FAKE_NODE, 99), fake_at(FAKE_NODE, 0), MOBULA__ENVELOPE__BODY_SEAL);
    e.e.seal = &seal;
    mob_store_receive(store, 99, &e.e);
    mob_store_client_gone(store, 99);
}

/* 0: none. */
static void say_two_takers(bool force, uint32_t first, uint32_t second)
{
    Mobula__Drain m = MOBULA__DRAIN__INIT;
    Mobula__Drain__Taker takers[] = { MOBULA__DRAIN__TAKER__INIT, MOBULA__DRAIN__TAKER__INIT }, *list[] = { &takers[0], &takers[1] };

    takers[0].node = first;
    takers[1].node = second;
    takers[0].room = takers[1].room = 1 << 20;
    m.number = 1;
    m.force = force;
    m.takers = list;
    m.n_takers = (first != 0) + (second != 0);
    fake_head_says(&f, DRAIN, &m);
}

static void say_takers(bool force, uint32_t node)
{
    say_two_takers(force, node, 0);
}

static void say_moved_by(uint64_t link, uint32_t node, bool here)
{
    Mobula__Moved m = MOBULA__MOVED__INIT;
    Mobula__ObjectId *list[] = { the_id() };

    m.here = m.failed = list;
    m.n_here = here;
    m.n_failed = !here;
    fake_say(&f, link, fake_at(node, 0), fake_at(FAKE_NODE, 0), MOBULA__ENVELOPE__BODY_MOVED, &m);
}

static void say_moved(bool here)
{
    say_moved_by(peer, 3, here);
}

/* It is offered until it was taken, then its owner is told, until that frees it. */
START_TEST(test_objects_go_to_another_node)
{
    uint64_t owner;
    Mobula__Envelope *e;
    Mobula__Free m = MOBULA__FREE__INIT;
    Mobula__ObjectId *list[] = { the_id() };

    open_with_store();
    owner = fake_peer(&f, 4);
    make_object();
    say_takers(false, 3);
    Mobula__Draining now = left();
    ck_assert(now.objects == 1 && now.bytes == 5000 && !now.over);
    e = fake_take(&f, peer, MOBULA__ENVELOPE__BODY_MOVE);
    ck_assert(e != NULL && e->move->n_items == 1 && e->move->items[0]->object->node == 4 && e->move->items[0]->size == 5000);
    say_moved(false);
    fake_pass(&f, 600);
    ck_assert_ptr_nonnull(fake_take(&f, peer, MOBULA__ENVELOPE__BODY_MOVE));
    say_moved(true);
    e = fake_take(&f, owner, MOBULA__ENVELOPE__BODY_COPIES);
    ck_assert(e != NULL && e->copies->n_leaving == 1 && e->copies->to == 3);
    fake_pass(&f, 300);                         /* it had not heard of the other copy */
    ck_assert_ptr_nonnull(fake_take(&f, peer, MOBULA__ENVELOPE__BODY_MOVE));
    say_moved(true);
    ck_assert_ptr_nonnull(fake_take(&f, owner, MOBULA__ENVELOPE__BODY_COPIES));
    m.objects = list;
    m.n_objects = 1;
    fake_say(&f, owner, fake_at(4, 7), fake_at(FAKE_NODE, 0), MOBULA__ENVELOPE__BODY_FREE, &m);
    ck_assert(left().over);
    ck_assert_uint_eq(mob_store_usage(store).objects, 0);
    close_with_store();
}
END_TEST

/* Without a node that takes it: it is waited for, or (forced) left behind. */
START_TEST(test_objects_that_nobody_takes)
{
    open_with_store();
    make_object();
    say_takers(false, 0);
    ck_assert(!left().over);
    say_takers(true, 0);                     /* a word of its own, but no new deadline */
    ck_assert(left().over);
    close_with_store();
}
END_TEST

/* One that brings it, however long that takes, is the only one that does; if it is no more to be reached, another one is. */
START_TEST(test_objects_that_come_slowly)
{
    open_with_store();
    uint64_t other = fake_peer(&f, 5);

    make_object();
    say_two_takers(false, 3, 5);
    ck_assert(!left().over);
    ck_assert_ptr_nonnull(fake_take(&f, peer, MOBULA__ENVELOPE__BODY_MOVE));
    fake_pass(&f, 5500);
    ck_assert_ptr_nonnull(fake_take(&f, peer, MOBULA__ENVELOPE__BODY_MOVE));    /* the first may have been lost */
    ck_assert_ptr_null(fake_take(&f, other, MOBULA__ENVELOPE__BODY_MOVE));
    say_takers(false, 5);
    fake_pass(&f, 5500);
    ck_assert_ptr_nonnull(fake_take(&f, other, MOBULA__ENVELOPE__BODY_MOVE));
    close_with_store();
}
END_TEST

/* What each of the others has refused is waited for, but not if the node is forced to leave. */
START_TEST(test_objects_that_all_refuse)
{
    open_with_store();
    uint64_t other = fake_peer(&f, 5);

    make_object();
    say_two_takers(true, 3, 5);
    ck_assert(!left().over);
    ck_assert_ptr_nonnull(fake_take(&f, peer, MOBULA__ENVELOPE__BODY_MOVE));
    say_moved(false);
    ck_assert(!left().over);
    ck_assert_ptr_nonnull(fake_take(&f, other, MOBULA__ENVELOPE__BODY_MOVE));
    say_two_takers(false, 3, 5);
    say_moved_by(other, 5, false);
    ck_assert(!left().over);
    say_two_takers(true, 3, 5);
    ck_assert(left().over);
    close_with_store();
}
END_TEST

static void say_move(void)
{
    Mobula__Move m = MOBULA__MOVE__INIT;
    Mobula__Move__Item item = MOBULA__MOVE__ITEM__INIT, *list[] = { &item };

    item.object = the_id();
    item.size = 5000;
    m.items = list;
    m.n_items = 1;
    fake_say(&f, peer, fake_at(3, 0), fake_at(FAKE_NODE, 0), MOBULA__ENVELOPE__BODY_MOVE, &m);
    fake_tick(&f);
}

/* Another node leaves: what it offers is brought, kept, told and answered; and is answered again at once when it is here. */
START_TEST(test_objects_that_another_node_has)
{
    Mobula__Envelope *e;

    open_with_store();
    say_move();
    say_move();
    ck_assert(flight != NULL && flight->range.node == 3);
    ck_assert_ptr_null(fake_take(&f, peer, MOBULA__ENVELOPE__BODY_MOVED));
    mob_store_pulled(store, flight, &(struct mob_range_result){ .got = 5000 });
    fake_tick(&f);
    e = fake_take(&f, peer, MOBULA__ENVELOPE__BODY_MOVED);
    ck_assert(e != NULL && e->moved->n_here == 1 && told == MOBULA__ENVELOPE__BODY_COPIES);
    ck_assert_ptr_null(fake_take(&f, peer, MOBULA__ENVELOPE__BODY_MOVED));
    say_move();
    ck_assert_ptr_nonnull(fake_take(&f, peer, MOBULA__ENVELOPE__BODY_MOVED));
    say_takers(false, 0);
    ck_assert_uint_eq(left().objects, 1);       /* and is as good as made here */
    close_with_store();
}
END_TEST

/* It cannot be had, as its owner says, too; or this node leaves itself. */
START_TEST(test_objects_that_cannot_be_taken)
{
    struct mob_error err;
    Mobula__Watched watched;
    Mobula__Error none = MOBULA__ERROR__INIT;
    uint64_t owner;
    Mobula__Envelope *e;

    open_with_store();
    owner = fake_peer(&f, 4);
    say_move();
    mob_error_set(&err, MOB_ERR_OBJECT_LOST, "gone");
    mob_store_pulled(store, flight, &(struct mob_range_result){ .err = &err, .final = true });
    fake_tick(&f);
    ck_assert_ptr_nonnull(fake_take(&f, owner, MOBULA__ENVELOPE__BODY_WATCH));
    ck_assert_ptr_null(fake_take(&f, peer, MOBULA__ENVELOPE__BODY_MOVED));
    mobula__watched__init(&watched);
    watched.object = the_id();
    watched.state_case = MOBULA__WATCHED__STATE_ERROR;
    none.code = MOB_ERR_OBJECT_LOST;
    watched.error = &none;
    fake_say(&f, owner, fake_at(4, 7), fake_at(FAKE_NODE, 0), MOBULA__ENVELOPE__BODY_WATCHED, &watched);
    fake_tick(&f);
    e = fake_take(&f, peer, MOBULA__ENVELOPE__BODY_MOVED);
    ck_assert(e != NULL && e->moved->n_failed == 1);
    say_takers(false, 3);
    say_move();
    e = fake_take(&f, peer, MOBULA__ENVELOPE__BODY_MOVED);
    ck_assert(e != NULL && e->moved->n_failed == 1);
    close_with_store();
}
END_TEST

/* The owner that was asked where an object is dies; one that is unknown is known to be gone at once. */
START_TEST(test_owners_that_cannot_say)
{
    struct mob_error err;

    open_with_store();
    uint64_t owner = fake_peer(&f, 4);
    say_move();
    mob_error_set(&err, MOB_ERR_OBJECT_LOST, "gone");
    mob_store_pulled(store, flight, &(struct mob_range_result){ .err = &err, .final = true });
    fake_tick(&f);
    fake_lose(&f, owner);
    fake_tick(&f);
    ck_assert_ptr_nonnull(fake_take(&f, peer, MOBULA__ENVELOPE__BODY_MOVED));
    ck_assert_uint_eq(mob_store_usage(store).pulls, 0);
    close_with_store();
}
END_TEST

/* Who offers it has not heard yet that the owner's node died. Nobody would ever free it here: its job's end, too, was before. */
START_TEST(test_objects_of_an_owner_that_died)
{
    Mobula__Envelope *e;

    open_with_store();
    fake_node_down(&f, 4, false, "silent");
    say_move();
    ck_assert_ptr_null(flight);
    e = fake_take(&f, peer, MOBULA__ENVELOPE__BODY_MOVED);
    ck_assert(e != NULL && e->moved->n_here == 1);
    ck_assert_uint_eq(mob_store_usage(store).objects, 0);
    close_with_store();
}
END_TEST

UNIT_MAIN("raylet_drain", test_what_is_lent_comes_back_and_it_leaves, test_nothing_is_lent_any_more, test_a_driver_is_waited_for,
          test_an_owner_is_waited_for, test_the_deadline, test_objects_go_to_another_node, test_objects_that_nobody_takes,
          test_objects_that_come_slowly, test_objects_that_all_refuse, test_objects_that_another_node_has,
          test_objects_that_cannot_be_taken, test_owners_that_cannot_say, test_objects_of_an_owner_that_died)
