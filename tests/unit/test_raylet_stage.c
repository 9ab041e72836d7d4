/* SPDX-License-Identifier: Apache-2.0 */
/* test_raylet_stage.c -- arguments of tasks to come: brought, kept while they are staged, let go with Unstage or their owner. */
#include "raylet_fake.h"

#define SIZE 100000u
#define STORE (10u * SIZE)
#define STAGE MOBULA__ENVELOPE__BODY_STAGE
#define STAGED MOBULA__ENVELOPE__BODY_STAGED

static struct fake f;
static struct mob_store *store;
static struct mob_flight *flights[64];
static unsigned flight_count;
static uint64_t link_to_3;

static void answer(void *arg, uint32_t process, const Mobula__Envelope *e)
{
    Mobula__Envelope addressed = *e;
    struct mob_envelope addresses;

    (void)arg;
    mob_envelope_init(&addresses, fake_at(FAKE_NODE, 0), fake_at(FAKE_NODE, process), e->body_case);
    addressed.from = &addresses.from;
    addressed.to = &addresses.to;
    mob_raylet_send(f.raylet, &addressed);
}

static void pull(void *arg, struct mob_flight *flight)
{
    (void)arg;
    ck_assert_uint_lt(flight_count, MOB_COUNT(flights));
    flights[flight_count++] = flight;
}

static void start(void)
{
    struct mob_store_config config = { .bytes = STORE, .node = FAKE_NODE, .answer = answer, .pull = pull };

    fake_init(&f, "CPU=2");
    flight_count = 0;
    store = f.config.store = mob_store_create(&config, true, NULL);
    ck_assert_ptr_nonnull(store);
    fake_start(&f);
    fake_join(&f);
    link_to_3 = fake_peer(&f, 3);
}

static void finish(void)
{
    fake_fini(&f);
    mob_store_destroy(store);
}

static struct mob_object_id id_of(uint64_t n)
{
    return (struct mob_object_id){ .cluster = 77, .node = 3, .process = 50, .task = n };
}

/* An owner on node 3: bring objects first .. first + count - 1, which are there. */
static void say_stage_sized(uint32_t process, uint64_t task, uint32_t number, uint64_t first, size_t count, uint64_t size)
{
    Mobula__Stage m = MOBULA__STAGE__INIT;
    Mobula__Stage__Item items[8], *list[8];
    Mobula__ObjectId ids[8];
    Mobula__Address job;
    uint32_t node = 3;

    mob_wire_put_address(&job, fake_at(3, 50));
    for (size_t i = 0; i < count; i++) {
        struct mob_object_id id = id_of(first + i);

        mobula__stage__item__init(&items[i]);
        mob_wire_put_object(&ids[i], &id);
        items[i].object = &ids[i];
        items[i].size = size;
        items[i].n_nodes = 1;
        items[i].nodes = &node;
        list[i] = &items[i];
    }
    m.task = task;
    m.number = number;
    m.job = &job;
    m.n_items = count;
    m.items = list;
    fake_say(&f, link_to_3, fake_at(3, process), fake_at(FAKE_NODE, 0), STAGE, &m);
    fake_tick(&f);
}

static void say_stage(uint32_t process, uint64_t task, uint32_t number, uint64_t first, size_t count)
{
    say_stage_sized(process, task, number, first, count, SIZE);
}

static void say_unstage(uint32_t process, uint64_t task)
{
    Mobula__Unstage m = MOBULA__UNSTAGE__INIT;

    m.task = task;
    fake_say(&f, link_to_3, fake_at(3, process), fake_at(FAKE_NODE, 0), MOBULA__ENVELOPE__BODY_UNSTAGE, &m);
    fake_tick(&f);
}

/* All that is on its way arrives, or does not. */
static void land(const struct mob_error *err)
{
    fake_tick(&f);
    while (flight_count > 0) {
        struct mob_flight *flight = flights[--flight_count];
        struct mob_range_result result = { .got = err == NULL ? flight->range.ask.length : 0, .final = err != NULL, .err = err };

        mob_store_pulled(store, flight, &result);
    }
    fake_tick(&f);
}

static bool staged(uint64_t task, uint32_t number)
{
    Mobula__Envelope *e = fake_take(&f, link_to_3, STAGED);

    return e != NULL && e->staged->task == task && e->staged->number == number;
}

START_TEST(test_they_are_brought_and_kept)
{
    start();
    say_stage(50, 1, 7, 100, 3);
    ck_assert_uint_eq(fake_count(&f, link_to_3, STAGED), 0);
    land(NULL);
    ck_assert(staged(1, 7));
    say_stage(50, 2, 8, 102, 1);                /* it is here already */
    ck_assert(staged(2, 8));
    for (uint64_t i = 0; i < 3; i++)            /* what is evicted for others' sake is not these */
        say_stage(51, 10 + i, 1, 200 + 3 * i, 3);
    land(NULL);
    ck_assert_uint_eq(mob_store_usage(store).objects, 3 + 3);           /* the rest would be more than its share */
    ck_assert(staged(10, 1));
    ck_assert_uint_eq(fake_count(&f, link_to_3, STAGED), 0);
    say_unstage(50, 1);
    land(NULL);
    ck_assert(staged(11, 1));
    ck_assert_uint_eq(fake_count(&f, link_to_3, STAGED), 0);
    say_unstage(50, 2);
    say_unstage(51, 10);
    land(NULL);
    ck_assert(staged(12, 1));
    finish();
}
END_TEST

/* Between the arrival of an argument and the next tick somebody takes all the room there is. */
START_TEST(test_what_came_is_kept_at_once)
{
    struct mob_object_id id = id_of(900);
    struct mob_range_result result = { .final = false };
    Mobula__Fetch m = MOBULA__FETCH__INIT;
    Mobula__ObjectId object;
    struct mob_envelope e;

    start();
    say_stage(50, 1, 1, 100, 1);
    fake_tick(&f);
    ck_assert_uint_eq(flight_count, 1);
    result.got = flights[0]->range.ask.length;
    flight_count = 0;
    mob_store_pulled(store, flights[0], &result);
    mob_wire_put_object(&object, &id);
    m.object = &object;
    m.size = STORE;
    m.node = 3;
    mob_envelope_init(&e, fake_at(FAKE_NODE, 0), fake_at(FAKE_NODE, 0), MOBULA__ENVELOPE__BODY_FETCH);
    e.e.fetch = &m;
    mob_store_receive(store, 0, &e.e);
    fake_tick(&f);
    ck_assert(staged(1, 1));
    ck_assert_uint_eq(flight_count, 0);         /* the other one waits */
    finish();
}
END_TEST

START_TEST(test_what_waits_for_room_comes_in_its_turn)
{
    start();
    say_stage(50, 1, 1, 100, 6);
    say_stage(50, 2, 2, 200, 6);
    say_stage(50, 3, 3, 300, 1);                /* would fit: but nobody is overtaken */
    land(NULL);
    ck_assert(staged(1, 1));
    ck_assert_uint_eq(flight_count, 0);
    say_unstage(50, 1);
    land(NULL);
    ck_assert(staged(2, 2));
    ck_assert(staged(3, 3));
    finish();
}
END_TEST

START_TEST(test_one_larger_than_its_share_comes_alone)
{
    start();
    say_stage(50, 1, 1, 100, 8);
    land(NULL);
    ck_assert(staged(1, 1));
    say_stage(50, 2, 2, 200, 1);
    land(NULL);
    ck_assert_uint_eq(fake_count(&f, link_to_3, STAGED), 0);
    say_unstage(50, 1);
    land(NULL);
    ck_assert(staged(2, 2));
    finish();
}
END_TEST

START_TEST(test_what_cannot_be_had_does_not_hold_the_task)
{
    struct mob_error lost;

    start();
    mob_error_set(&lost, MOB_ERR_OBJECT_LOST, "not here");
    say_stage(50, 1, 1, 100, 2);
    land(&lost);
    land(&lost);
    ck_assert(staged(1, 1));
    finish();
}
END_TEST

START_TEST(test_what_finds_no_room_is_said)
{
    Mobula__Envelope *e;

    start();
    say_stage_sized(50, 1, 1, 100, 1, STORE + 1);
    land(NULL);
    e = fake_expect(&f, link_to_3, STAGED);
    ck_assert_ptr_nonnull(e->staged->no_room);
    ck_assert_int_eq((int)e->staged->no_room->code, MOB_ERR_NO_SPACE);
    say_unstage(50, 1);
    say_stage(50, 2, 1, 100, 1);
    land(NULL);
    e = fake_expect(&f, link_to_3, STAGED);
    ck_assert_ptr_null(e->staged->no_room);
    finish();
}
END_TEST

START_TEST(test_the_newest_stage_of_a_task_counts)
{
    start();
    say_stage(50, 1, 1, 100, 1);
    say_stage(50, 1, 2, 101, 1);
    land(NULL);
    ck_assert(staged(1, 2));
    ck_assert_uint_eq(fake_count(&f, link_to_3, STAGED), 0);
    finish();
}
END_TEST

START_TEST(test_they_end_with_their_owner)
{
    Mobula__OwnerOver over = MOBULA__OWNER_OVER__INIT;

    start();
    say_stage(50, 1, 1, 100, 5);
    say_stage(60, 1, 1, 200, 5);
    land(NULL);
    ck_assert(staged(1, 1));
    over.process = 50;
    fake_say(&f, link_to_3, fake_at(3, 0), fake_at(FAKE_NODE, 0), MOBULA__ENVELOPE__BODY_OWNER_OVER, &over);
    land(NULL);
    ck_assert(staged(1, 1));                    /* the other one's, which had waited */
    fake_lose(&f, link_to_3);
    link_to_3 = fake_peer(&f, 3);
    say_stage(61, 1, 9, 300, 5);                /* nothing is in its way */
    land(NULL);
    ck_assert(staged(1, 9));
    finish();
}
END_TEST

UNIT_MAIN("raylet_stage", test_they_are_brought_and_kept, test_what_came_is_kept_at_once,
          test_what_waits_for_room_comes_in_its_turn,
          test_one_larger_than_its_share_comes_alone, test_what_cannot_be_had_does_not_hold_the_task, test_what_finds_no_room_is_said,
          test_the_newest_stage_of_a_task_counts, test_they_end_with_their_owner)
