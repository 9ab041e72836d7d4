/* SPDX-License-Identifier: Apache-2.0 */
/* test_raylet_full.c -- the store is full, and there are other nodes: who may go elsewhere is told so and asked back, and only what the head
 * can place nowhere else is served, until there is room. */
#include "raylet_fake.h"

#define BYTES (1u << 20)
#define CREATED MOBULA__ENVELOPE__BODY_CREATED
#define DECLINED MOBULA__ENVELOPE__BODY_DECLINED
#define RECALL MOBULA__ENVELOPE__BODY_RECALL
#define REPORT MOBULA__ENVELOPE__BODY_REPORT

static struct fake f;
static struct mob_store *store;
static struct mob_address driver;
static uint64_t driver_link, peer;
static uint32_t entry, answers;
static struct mob_error told;

static void answer(void *arg, uint32_t process, const Mobula__Envelope *e)
{
    (void)arg, (void)process;
    ck_assert_int_eq(e->body_case, CREATED);
    answers++;
    entry = e->created->entry;
    told = (struct mob_error){ 0 };
    if (e->created->error != NULL)
        mob_wire_error(e->created->error, &told);
}

static bool elsewhere(void *arg, uint32_t process)
{
    (void)arg;
    return mob_raylet_may_run_elsewhere(f.raylet, process);
}

static void say_to_store(uint32_t process, Mobula__Envelope__BodyCase body, void *m)
{
    fake_say(&f, f.process[process].link, fake_at(FAKE_NODE, process), fake_at(FAKE_NODE, 0), body, m);
}

static Mobula__ObjectId id_of(uint64_t task)
{
    Mobula__ObjectId id = MOBULA__OBJECT_ID__INIT;

    mob_wire_put_object(&id, &(struct mob_object_id){ .cluster = 9, .node = FAKE_NODE, .process = driver.process, .task = task });
    return id;
}

static void ask(uint32_t process, uint64_t task, uint64_t size)
{
    Mobula__Create m = MOBULA__CREATE__INIT;
    Mobula__ObjectId id = id_of(task);

    answers = 0;
    m.object = &id;
    m.size = size;
    say_to_store(process, MOBULA__ENVELOPE__BODY_CREATE, &m);
}

/* The driver has the whole store. */
static void fill(void)
{
    Mobula__Seal m = MOBULA__SEAL__INIT;
    Mobula__ObjectId id = id_of(1);

    ask(driver.process, 1, BYTES);
    ck_assert_int_eq(told.code, MOB_OK);
    m.object = &id;
    m.entry = entry;
    say_to_store(driver.process, MOBULA__ENVELOPE__BODY_SEAL, &m);
}

static void free_all(void)
{
    Mobula__ObjectId id = id_of(1), *ids[] = { &id };
    Mobula__Free m = MOBULA__FREE__INIT;

    m.n_objects = 1;
    m.objects = ids;
    say_to_store(driver.process, MOBULA__ENVELOPE__BODY_FREE, &m);
}

/* What the one that asks is told when no room comes. */
static int32_t refused(uint32_t process)
{
    ask(process, 2, 1000);
    for (int i = 0; i < 40 && answers == 0; i++)
        fake_pass(&f, 100);
    ck_assert_uint_eq(answers, 1);
    ck_assert_int_eq(told.code, MOB_ERR_NO_SPACE);
    ck_assert_ptr_nonnull(strstr(told.text, "no room for"));
    return told.user_code;
}

static bool says_full(void)
{
    Mobula__Envelope *e;
    bool full = false;

    fake_pass(&f, 600);
    while ((e = fake_take(&f, f.head, REPORT)) != NULL)
        full = e->report->store_full;
    return full;
}

static void become_client(uint32_t process)
{
    int arena, meta, pins;

    ck_assert_int_eq(mob_store_client(store, process, &arena, &meta, &pins, NULL), 0);
    mob_store_client_job(store, process, driver);
}

/* A node with a full store, alone. */
static void open_full(void)
{
    struct mob_store_config config = { .bytes = BYTES, .node = FAKE_NODE, .answer = answer, .elsewhere = elsewhere };

    fake_init(&f, "CPU=4");
    store = f.config.store = mob_store_create(&config, true, NULL);
    ck_assert_ptr_nonnull(store);
    fake_start(&f);
    fake_join(&f);
    driver = fake_at(FAKE_NODE, fake_driver(&f));
    driver_link = f.process[driver.process].link;
    fake_all_up(&f);
    become_client(driver.process);
    fill();
}

static uint32_t lent(struct fake_ask want)
{
    struct fake_grant g;

    fake_want(&f, driver.process, want);
    fake_all_up(&f);
    ck_assert(fake_grant(&f, driver_link, &g));
    become_client(g.worker);
    return g.worker;
}

static void close_all(void)
{
    mob_store_check(store);
    fake_fini(&f);
    mob_store_destroy(store);
}

/* From now on it is full, and says so. */
static void open_refused(void)
{
    open_full();
    peer = fake_peer(&f, 3);
    uint32_t worker = lent((struct fake_ask){ .count = 1 });

    ck_assert_int_eq(refused(worker), MOB_NO_SPACE_HERE);
    ck_assert_uint_eq(fake_count(&f, driver_link, RECALL), 1);
    ck_assert(says_full());
}

START_TEST(test_work_goes_elsewhere)
{
    struct fake_grant g;

    open_refused();
    fake_want(&f, driver.process, (struct fake_ask){ .shape = 1, .count = 2 });
    fake_tick(&f);
    ck_assert_int_eq(fake_demand(&f), 2);
    fake_pass(&f, 1000);
    ck_assert(!fake_grant(&f, driver_link, &g));
    fake_placed(&f, driver.process, 1, FAKE_NODE, 1);           /* the head did not know it yet */
    fake_tick(&f);
    ck_assert(!fake_grant(&f, driver_link, &g));
    fake_place(&f, fake_at(3, 9), (struct fake_ask){ .count = 1 });
    fake_tick(&f);
    ck_assert_uint_eq(fake_count(&f, peer, DECLINED), 1);
    close_all();
}
END_TEST

/* With a claim of which the head says that it knows; who finds no room then, nobody can help. */
START_TEST(test_the_last_resort)
{
    struct fake_grant g;

    open_refused();
    fake_want(&f, driver.process, (struct fake_ask){ .shape = 1, .count = 1 });
    fake_claim(&f, driver, (struct fake_ask){ .shape = 1, .count = 1 });
    fake_tick(&f);
    ck_assert(!fake_grant(&f, driver_link, &g));
    fake_claim(&f, driver, (struct fake_ask){ .shape = 1, .count = 1, .full = true });
    fake_tick(&f);
    fake_all_up(&f);
    ck_assert(fake_grant(&f, driver_link, &g));
    become_client(g.worker);
    ck_assert_int_eq(refused(g.worker), 0);
    ck_assert(says_full());
    ck_assert_uint_eq(fake_count(&f, driver_link, RECALL), 0);
    close_all();
}
END_TEST

START_TEST(test_who_asks_for_this_node_alone)
{
    uint32_t worker;

    open_refused();
    worker = lent((struct fake_ask){ .shape = 1, .count = 1, .strategy = MOB_NODE, .node = FAKE_NODE });
    ck_assert_int_eq(refused(worker), 0);
    ck_assert_int_eq(refused(driver.process), 0);
    close_all();
}
END_TEST

START_TEST(test_nobody_else_is_there)
{
    open_full();
    fake_node_down(&f, 3, false, "silent");
    fake_node_down(&f, 4, false, "silent");
    ck_assert_int_eq(refused(lent((struct fake_ask){ .count = 1 })), 0);
    ck_assert(!says_full());
    lent((struct fake_ask){ .shape = 1, .count = 1 });
    close_all();
}
END_TEST

START_TEST(test_room_again)
{
    struct fake_grant g;

    open_refused();
    fake_want(&f, driver.process, (struct fake_ask){ .shape = 1, .count = 1 });
    free_all();
    fake_pass(&f, 1000);
    ck_assert(says_full());                     /* for some seconds, that who rests does not come back at once */
    for (int i = 0; i < 50; i++)
        fake_pass(&f, 100);
    ck_assert(!says_full());
    fake_all_up(&f);
    ck_assert(fake_grant(&f, driver_link, &g));
    close_all();
}
END_TEST

UNIT_MAIN("raylet_full", test_work_goes_elsewhere, test_the_last_resort, test_who_asks_for_this_node_alone, test_nobody_else_is_there,
          test_room_again)
