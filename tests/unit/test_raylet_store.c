/* SPDX-License-Identifier: Apache-2.0 */
/* test_raylet_store.c -- what is in the store of a node goes with whoever owned it: a process here or elsewhere, a job, a node. */
#include "objstore/client.h"
#include <signal.h>

#include "raylet_fake.h"

#define SIZE 100000

static struct fake f;
static struct mob_store *store;
static uint32_t bad_process, created_at;
static size_t said_to_have;             /* by the store, to owners */

static void answer(void *arg, uint32_t process, const Mobula__Envelope *e)
{
    (void)arg, (void)process;
    ck_assert_int_eq(e->body_case, MOBULA__ENVELOPE__BODY_CREATED);
    created_at = e->created->entry;
}

static void bad(void *arg, uint32_t process, const struct mob_error *err)
{
    (void)arg, (void)err;
    bad_process = process;
}

static void tell(void *arg, struct mob_address owner, const Mobula__Envelope *e)
{
    (void)arg;
    ck_assert(mob_address_eq(owner, fake_at(3, 9)));
    said_to_have += e->copies->n_have;
}

/* A joined node with a store, and a driver that has not started anything. */
static uint32_t open_with_driver(void)
{
    struct mob_store_config config = { .bytes = 1 << 20, .node = FAKE_NODE, .answer = answer, .bad = bad, .tell = tell };

    fake_init(&f, "CPU=2");
    bad_process = 0;
    said_to_have = 0;
    store = f.config.store = mob_store_create(&config, true, NULL);
    ck_assert_ptr_nonnull(store);
    fake_start(&f);
    fake_join(&f);
    uint32_t p = fake_driver(&f);
    fake_all_up(&f);
    return p;
}

static void close_all(void)
{
    ck_assert_uint_eq(bad_process, 0);
    ck_assert_uint_eq(mob_store_usage(store).used, 0);
    mob_store_check(store);
    fake_fini(&f);
    mob_store_destroy(store);
}

static void become_client(uint32_t process, struct mob_address job)
{
    int arena, meta, pins;

    ck_assert_int_eq(mob_store_client(store, process, &arena, &meta, &pins, NULL), 0);
    mob_store_client_job(store, process, job);
}

static void say_to_store(uint32_t process, Mobula__Envelope__BodyCase body, void *m)
{
    fake_say(&f, f.process[process].link, fake_at(FAKE_NODE, process), fake_at(FAKE_NODE, 0), body, m);
}

static Mobula__ObjectId id_of(struct mob_address owner, uint64_t task)
{
    Mobula__ObjectId id = MOBULA__OBJECT_ID__INIT;

    mob_wire_put_object(&id, &(struct mob_object_id){ .cluster = 9, .node = owner.node, .process = owner.process, .task = task });
    return id;
}

/* `maker` writes an object that `owner` owns. */
static void make(uint32_t maker, struct mob_address owner, uint64_t task)
{
    Mobula__Create create = MOBULA__CREATE__INIT;
    Mobula__Seal seal = MOBULA__SEAL__INIT;
    Mobula__ObjectId id = id_of(owner, task);

    create.object = seal.object = &id;
    create.size = SIZE;
    say_to_store(maker, MOBULA__ENVELOPE__BODY_CREATE, &create);
    seal.entry = created_at;
    say_to_store(maker, MOBULA__ENVELOPE__BODY_SEAL, &seal);
}

/* Grants to process 9 of node 3, whose worker is a client of the store. */
static uint64_t open_with_owner_elsewhere(struct fake_grant *g)
{
    open_with_driver();
    uint64_t link = fake_peer(&f, 3);
    fake_place(&f, fake_at(3, 9), (struct fake_ask){ .count = 1 });
    fake_all_up(&f);
    ck_assert(fake_grant(&f, link, g));
    become_client(g->worker, fake_at(3, 1));
    return link;
}

START_TEST(test_a_dead_driver_leaves_nothing)
{
    struct mob_address job = fake_at(FAKE_NODE, open_with_driver());
    struct fake_grant g;

    fake_want(&f, job.process, (struct fake_ask){ .count = 1 });
    ck_assert(fake_grant(&f, f.process[job.process].link, &g));
    become_client(job.process, job);
    become_client(g.worker, job);
    make(job.process, job, 1);
    make(g.worker, job, 2);
    make(g.worker, fake_at(FAKE_NODE, g.worker), 1);
    ck_assert_uint_eq(mob_store_usage(store).objects, 3);
    fake_exit(&f, job.process, 0);
    make(g.worker, job, 3);          /* it was in its socket when it was killed */
    fake_reap(&f);
    close_all();
}
END_TEST

/* Its driver is elsewhere: the head says that the job is over. */
START_TEST(test_a_job_of_elsewhere_ends)
{
    struct mob_address owner = fake_at(3, 9), job = fake_at(3, 1);
    Mobula__JobOver over = MOBULA__JOB_OVER__INIT;
    Mobula__Address address;
    struct fake_grant g;

    open_with_owner_elsewhere(&g);
    make(g.worker, owner, 1);        /* its owner is not the driver, and may have died long ago */
    mob_wire_put_address(&address, job);
    over.job = &address;
    fake_head_says(&f, MOBULA__ENVELOPE__BODY_JOB_OVER, &over);
    fake_reap(&f);
    close_all();
}
END_TEST

/* The owner was a worker elsewhere: its raylet tells those that have lent to it. The other owner's object stays. */
START_TEST(test_an_owner_elsewhere_ends)
{
    struct mob_address owner = fake_at(3, 9), other = fake_at(3, 10);
    Mobula__LeaseOver lease_over = MOBULA__LEASE_OVER__INIT;
    Mobula__OwnerOver owner_over = MOBULA__OWNER_OVER__INIT;
    Mobula__Error cause = MOBULA__ERROR__INIT;
    Mobula__Address worker;
    struct fake_grant g;
    uint64_t link = open_with_owner_elsewhere(&g);

    make(g.worker, owner, 1);
    make(g.worker, other, 1);
    owner_over.process = owner.process;
    fake_say(&f, link, fake_at(3, 0), fake_at(FAKE_NODE, 0), MOBULA__ENVELOPE__BODY_OWNER_OVER, &owner_over);
    ck_assert_uint_eq(mob_store_usage(store).objects, 1);
    make(g.worker, owner, 2);        /* it runs on until the lease's end is here */
    mob_wire_put_address(&worker, fake_at(FAKE_NODE, g.worker));
    lease_over.lease = g.lease;
    lease_over.worker = &worker;
    lease_over.cause = &cause;
    fake_say(&f, link, fake_at(3, 0), fake_at(FAKE_NODE, 0), MOBULA__ENVELOPE__BODY_LEASE_OVER, &lease_over);
    fake_reap(&f);
    ck_assert_uint_eq(mob_store_usage(store).objects, 1);
    owner_over.process = other.process;
    fake_say(&f, link, fake_at(3, 0), fake_at(FAKE_NODE, 0), MOBULA__ENVELOPE__BODY_OWNER_OVER, &owner_over);
    close_all();
}
END_TEST

START_TEST(test_lenders_of_long_ago_are_told)
{
    Mobula__Grant grant = MOBULA__GRANT__INIT;
    Mobula__Return give_back = MOBULA__RETURN__INIT;
    Mobula__Address worker;
    uint32_t p = open_with_driver();
    uint64_t link = fake_peer(&f, 3);

    mob_wire_put_address(&worker, fake_at(3, 50));
    grant.lease = give_back.lease = 4;
    grant.worker = &worker;
    fake_say(&f, link, fake_at(3, 0), fake_at(FAKE_NODE, p), MOBULA__ENVELOPE__BODY_GRANT, &grant);
    fake_say(&f, f.process[p].link, fake_at(FAKE_NODE, p), fake_at(3, 0), MOBULA__ENVELOPE__BODY_RETURN_LEASE, &give_back);
    fake_exit(&f, p, 0);
    Mobula__Envelope *e = fake_expect(&f, link, MOBULA__ENVELOPE__BODY_OWNER_OVER);
    ck_assert_uint_eq(e->owner_over->process, p);
    fake_reap(&f);
    close_all();
}
END_TEST

/* The owner's node dies; its worker here goes on sealing until it is killed. Its job's driver lives elsewhere. */
START_TEST(test_a_node_dies_before_its_worker_here)
{
    struct fake_grant g;

    open_with_owner_elsewhere(&g);
    make(g.worker, fake_at(3, 9), 1);
    fake_node_down(&f, 3, false, "no sign of life");
    ck_assert_uint_eq(mob_store_usage(store).objects, 0);
    make(g.worker, fake_at(3, 9), 2);
    fake_reap(&f);
    close_all();
}
END_TEST

/* The link to it breaks, and its worker here seals one more value until it is killed: it, or its node if it is gone, says what is to go. */
START_TEST(test_a_link_breaks_before_its_worker_dies)
{
    Mobula__OwnerOver over = MOBULA__OWNER_OVER__INIT;
    struct fake_grant g;
    uint64_t link = open_with_owner_elsewhere(&g);

    make(g.worker, fake_at(3, 9), 1);
    fake_lose(&f, link);
    fake_tick(&f);
    ck_assert_uint_eq(said_to_have, 1);
    make(g.worker, fake_at(3, 9), 2);
    fake_reap(&f);
    fake_tick(&f);
    ck_assert_uint_eq(said_to_have, 1 + 2);
    ck_assert_uint_eq(mob_store_usage(store).objects, 2);
    link = fake_peer(&f, 3);
    over.process = 9;
    fake_say(&f, link, fake_at(3, 0), fake_at(FAKE_NODE, 0), MOBULA__ENVELOPE__BODY_OWNER_OVER, &over);
    close_all();
}
END_TEST

/* The same with an owner on this node, whose job goes on. */
START_TEST(test_an_owner_dies_before_its_worker_here)
{
    struct mob_address job = fake_at(FAKE_NODE, open_with_driver());
    struct fake_grant owner, g;

    fake_want(&f, job.process, (struct fake_ask){ .count = 1 });
    ck_assert(fake_grant(&f, f.process[job.process].link, &owner));
    fake_want(&f, owner.worker, (struct fake_ask){ .count = 1 });
    fake_all_up(&f);
    ck_assert(fake_grant(&f, f.process[owner.worker].link, &g));
    become_client(owner.worker, job);
    become_client(g.worker, job);
    fake_exit(&f, owner.worker, SIGKILL);
    make(g.worker, fake_at(FAKE_NODE, owner.worker), 1);        /* before it is killed */
    fake_reap(&f);
    close_all();
}
END_TEST

/* A worker of a driver here borrows at node 3, gives back and ends, when no stream to node 3 is up. Returns its number. */
static uint32_t borrower_ends(uint32_t driver, uint64_t link)
{
    Mobula__Grant grant = MOBULA__GRANT__INIT;
    Mobula__Return give_back = MOBULA__RETURN__INIT;
    Mobula__Address at;
    struct fake_grant g;

    fake_want(&f, driver, (struct fake_ask){ .count = 1 });
    fake_all_up(&f);
    ck_assert(fake_grant(&f, f.process[driver].link, &g));
    mob_wire_put_address(&at, fake_at(3, 50));
    grant.lease = give_back.lease = 4;
    grant.worker = &at;
    fake_say(&f, link, fake_at(3, 0), fake_at(FAKE_NODE, g.worker), MOBULA__ENVELOPE__BODY_GRANT, &grant);
    fake_say(&f, f.process[g.worker].link, fake_at(FAKE_NODE, g.worker), fake_at(3, 0), MOBULA__ENVELOPE__BODY_RETURN_LEASE, &give_back);
    fake_lose(&f, link);
    fake_forget_sent(&f);
    fake_exit(&f, g.worker, 0);
    return g.worker;
}

START_TEST(test_an_owners_end_dials)
{
    uint32_t driver = open_with_driver();
    uint64_t link = fake_peer(&f, 3);

    fake_node_up(&f, 3);
    uint32_t dials = f.dials, worker = borrower_ends(driver, link);
    fake_pass(&f, 100);                 /* the rest after a loss */
    ck_assert_uint_eq(f.dials, dials + 1);
    mob_raylet_link_up(f.raylet, f.dialed, MOB_LINK_PEER);
    Mobula__Envelope *e = fake_expect(&f, f.dialed, MOBULA__ENVELOPE__BODY_OWNER_OVER);
    ck_assert_uint_eq(e->owner_over->process, worker);
    fake_exit(&f, driver, 0);
    fake_reap(&f);
    close_all();
}
END_TEST

/* Free is the owner's word; a peer's process frees nothing of another's, and hurts nobody by trying. */
START_TEST(test_only_owners_free)
{
    struct mob_address job = fake_at(FAKE_NODE, open_with_driver()), owner = fake_at(3, 9);
    Mobula__ObjectId id = id_of(owner, 1), *ids[] = { &id };
    Mobula__Free m = MOBULA__FREE__INIT;
    uint64_t link = fake_peer(&f, 3);

    become_client(job.process, job);
    make(job.process, owner, 1);
    m.n_objects = 1;
    m.objects = ids;
    fake_say(&f, link, fake_at(3, 10), fake_at(FAKE_NODE, 0), MOBULA__ENVELOPE__BODY_FREE, &m);
    ck_assert_uint_eq(mob_store_usage(store).objects, 1);
    ck_assert_uint_eq(f.hang_ups, 0);
    fake_say(&f, link, owner, fake_at(FAKE_NODE, 0), MOBULA__ENVELOPE__BODY_FREE, &m);
    ck_assert_uint_eq(mob_store_usage(store).objects, 0);
    /* Nor may it be sent on for another. */
    fake_say(&f, f.process[job.process].link, job, fake_at(3, 0), MOBULA__ENVELOPE__BODY_FREE, &m);
    ck_assert_uint_eq(fake_count(&f, link, MOBULA__ENVELOPE__BODY_FREE), 0);
    close_all();
}
END_TEST

/* A reader lets its view go without a message: the tick finds out. */
START_TEST(test_the_last_view_goes_silently)
{
    struct mob_address job = fake_at(FAKE_NODE, open_with_driver());
    Mobula__ObjectId id = id_of(job, 1), *ids[] = { &id };
    Mobula__Free m = MOBULA__FREE__INIT;
    struct mob_object_id plain = mob_wire_object(&id);
    uint64_t size;
    uint32_t slot;
    bool full;

    become_client(job.process, job);
    make(job.process, job, 1);
    struct mob_store_client *c = mob_store_client_on_memory(mob_store_arena(store), mob_store_metadata(store),
                                                            mob_store_pins(store, job.process));
    ck_assert_ptr_nonnull(mob_store_client_pin(c, 0, 0, &plain, &size, &slot, &full));
    m.n_objects = 1;
    m.objects = ids;
    say_to_store(job.process, MOBULA__ENVELOPE__BODY_FREE, &m);
    fake_pass(&f, 300);
    ck_assert_uint_eq(mob_store_usage(store).objects, 1);
    mob_store_client_unpin(c, slot);
    fake_pass(&f, 100);
    mob_store_client_close(c);
    close_all();
}
END_TEST

/* Of a node above the numbers that the head has told of the news may be late; of others we were told, or they were gone. */
START_TEST(test_who_was_gone_before_us_is_dead_at_once)
{
    struct mob_error why = { 0 };

    fake_open(&f, "CPU=1");
    ck_assert_int_eq(mob_raylet_reach(f.raylet, FAKE_NODE + 1), MOB_REACH_NOT_YET);
    ck_assert_int_eq(mob_raylet_reach(f.raylet, FAKE_NODE - 1), MOB_REACH_DEAD);
    mob_raylet_mourn(f.raylet, FAKE_NODE - 1, &why);
    ck_assert_int_eq(why.code, MOB_ERR_NODE_DIED);
    ck_assert_str_eq(why.text, "it was gone before node 2, which asks for it, heard of it");
    ck_assert_int_eq(mob_raylet_reach(f.raylet, 5), MOB_REACH_NOT_YET);
    fake_peer(&f, FAKE_NODE - 1);       /* it does not know yet that it was declared dead */
    ck_assert_uint_eq(f.hang_ups, 1);
    ck_assert_int_eq(mob_raylet_reach(f.raylet, FAKE_NODE - 1), MOB_REACH_DEAD);
    fake_fini(&f);
}
END_TEST

UNIT_MAIN("raylet_store", test_a_dead_driver_leaves_nothing, test_a_job_of_elsewhere_ends, test_an_owner_elsewhere_ends,
          test_a_node_dies_before_its_worker_here, test_a_link_breaks_before_its_worker_dies, test_an_owner_dies_before_its_worker_here,
          test_lenders_of_long_ago_are_told, test_an_owners_end_dials, test_only_owners_free, test_the_last_view_goes_silently,
          test_who_was_gone_before_us_is_dead_at_once)
