/* SPDX-License-Identifier: Apache-2.0 */
/* test_raylet_rules.c -- who may say what: strangers, liars and thieves are ignored or hung up, and nobody else is disturbed. And the
 * way of what is passed on. */
#include "raylet_fake.h"

static struct fake f;

/* Two drivers, each with a lease. */
static void open_two(uint32_t p[2], struct fake_grant g[2])
{
    fake_open(&f, "CPU=2");
    for (int i = 0; i < 2; i++) {
        p[i] = fake_driver(&f);
        for (int k = 0; k < 3; k++)
            fake_all_up(&f);
        fake_want(&f, p[i], (struct fake_ask){ .count = 1 });
        for (int k = 0; k < 3; k++)
            fake_all_up(&f);
        ck_assert(fake_grant(&f, f.process[p[i]].link, &g[i]));
    }
    fake_forget_sent(&f);
}

static void say(uint32_t p, struct mob_address to, Mobula__Envelope__BodyCase body, void *m)
{
    fake_say(&f, f.process[p].link, fake_at(FAKE_NODE, p), to, body, m);
}

START_TEST(test_return_of_anothers_lease)
{
    uint32_t p[2];
    struct fake_grant g[2];
    Mobula__Return m = MOBULA__RETURN__INIT;

    open_two(p, g);
    fake_return(&f, p[0], g[1].lease);
    fake_return(&f, p[0], 12345);
    m.lease = g[1].lease;
    fake_say(&f, f.process[p[0]].link, fake_at(FAKE_NODE, p[1]), fake_at(FAKE_NODE, 0), MOBULA__ENVELOPE__BODY_RETURN_LEASE, &m);
    ck_assert_int_le(fake_free(&f, "CPU"), 0); /* nothing came back */
    ck_assert_uint_eq(f.hang_ups, 0);
    fake_return(&f, p[1], g[1].lease);
    ck_assert_int_eq(fake_free(&f, "CPU"), MOB_UNITS);
    fake_fini(&f);
}
END_TEST

START_TEST(test_nobody_speaks_for_another)
{
    uint32_t p[2];
    struct fake_grant g[2];
    Mobula__Watch m = MOBULA__WATCH__INIT;
    Mobula__ObjectId id = MOBULA__OBJECT_ID__INIT;

    open_two(p, g);
    id.node = FAKE_NODE;
    id.process = p[1];
    m.object = &id;
    fake_say(&f, f.process[p[0]].link, fake_at(7, 7), fake_at(FAKE_NODE, p[1]), MOBULA__ENVELOPE__BODY_WATCH, &m);
    Mobula__Envelope *e = fake_expect(&f, f.process[p[1]].link, MOBULA__ENVELOPE__BODY_WATCH);
    ck_assert_uint_eq(e->from->node, FAKE_NODE);
    ck_assert_uint_eq(e->from->process, p[0]);
    fake_fini(&f);
}
END_TEST

/* What no process may say, to its raylet or to another process. */
static const struct { Mobula__Envelope__BodyCase body; bool to_other; } forbidden[] = {
    { MOBULA__ENVELOPE__BODY_GRANT, true }, { MOBULA__ENVELOPE__BODY_LEASE_OVER, true }, { MOBULA__ENVELOPE__BODY_RECALL, true },
    { MOBULA__ENVELOPE__BODY_LEASE_OVER, false }, { MOBULA__ENVELOPE__BODY_JOB_OVER, false },
    { MOBULA__ENVELOPE__BODY_PLACED, false }, { MOBULA__ENVELOPE__BODY_NODE_DOWN, false },
    { MOBULA__ENVELOPE__BODY_TASK_FRAMES, false }, { MOBULA__ENVELOPE__BODY_OUTPUT, true },
};

START_TEST(test_forbidden)
{
    uint32_t p[2];
    struct fake_grant g[2];
    Mobula__Address address = MOBULA__ADDRESS__INIT;
    Mobula__Error error = MOBULA__ERROR__INIT;
    Mobula__Grant grant = MOBULA__GRANT__INIT;
    Mobula__LeaseOver over = MOBULA__LEASE_OVER__INIT;
    Mobula__Recall recall = MOBULA__RECALL__INIT;
    Mobula__JobOver job = MOBULA__JOB_OVER__INIT;
    Mobula__Placed placed = MOBULA__PLACED__INIT;
    Mobula__NodeDown down = MOBULA__NODE_DOWN__INIT;
    Mobula__TaskFrames frames = MOBULA__TASK_FRAMES__INIT;
    Mobula__Output output = MOBULA__OUTPUT__INIT;
    void *messages[] = { &grant, &over, &recall, &over, &job, &placed, &down, &frames, &output };

    open_two(p, g);
    grant.worker = over.worker = job.job = placed.owner = &address;
    over.cause = &error;
    down.node = FAKE_NODE;
    say(p[0], fake_at(FAKE_NODE, forbidden[_i].to_other ? p[1] : 0), forbidden[_i].body, messages[_i]);
    ck_assert_uint_eq(f.hang_ups, 1);
    ck_assert_uint_eq(f.hung_up, f.process[p[0]].link);
    ck_assert_ptr_null(fake_take(&f, f.process[p[1]].link, forbidden[_i].body));
    ck_assert_int_eq(f.over.code, MOB_OK);
    fake_fini(&f);
}
END_TEST

START_TEST(test_garbage_and_strangers)
{
    uint32_t p[2];
    struct fake_grant g[2];
    Mobula__Blocked blocked = MOBULA__BLOCKED__INIT;
    Mobula__Want want = MOBULA__WANT__INIT;

    open_two(p, g);
    mob_raylet_receive(f.raylet, f.process[p[0]].link, "\xff\xff\xff", 3);
    ck_assert_uint_eq(f.hung_up, f.process[p[0]].link);
    uint64_t stranger = ++f.next_link;
    mob_raylet_link_up(f.raylet, stranger, MOB_LINK_LOCAL);
    fake_say(&f, stranger, fake_at(FAKE_NODE, p[1]), fake_at(FAKE_NODE, 0), MOBULA__ENVELOPE__BODY_BLOCKED, &blocked);
    ck_assert_uint_eq(f.hung_up, stranger);
    stranger = ++f.next_link;
    mob_raylet_link_up(f.raylet, stranger, MOB_LINK_PEER);
    fake_say(&f, stranger, fake_at(3, 0), fake_at(FAKE_NODE, 0), MOBULA__ENVELOPE__BODY_BLOCKED, &blocked);
    ck_assert_uint_eq(f.hung_up, stranger);     /* before its PeerHello */
    uint64_t peer = fake_peer(&f, 3);
    Mobula__Recall recall = MOBULA__RECALL__INIT;
    fake_say(&f, peer, fake_at(4, 0), fake_at(FAKE_NODE, p[1]), MOBULA__ENVELOPE__BODY_RECALL, &recall);
    ck_assert_uint_eq(f.hung_up, peer); /* node 3 does not speak for node 4 */
    Mobula__Shape shape = MOBULA__SHAPE__INIT;
    want.definition = &shape;           /* without a job */
    want.count = 1;
    want.shape = 9;
    say(p[1], fake_at(FAKE_NODE, 0), MOBULA__ENVELOPE__BODY_WANT, &want);
    ck_assert_uint_eq(f.hung_up, f.process[p[1]].link);
    fake_fini(&f);
}
END_TEST

START_TEST(test_blocked_by_who_is_not_lent)
{
    uint32_t p[2];
    struct fake_grant g[2];

    open_two(p, g);
    fake_blocked(&f, p[0], true);       /* a driver */
    fake_blocked(&f, g[0].worker, false);
    fake_pass(&f, 10);
    ck_assert_int_le(fake_free(&f, "CPU"), 0);
    fake_return(&f, p[0], g[0].lease);
    ck_assert_int_eq(fake_free(&f, "CPU"), MOB_UNITS);
    fake_blocked(&f, g[0].worker, true);        /* it is idle */
    ck_assert_int_eq(fake_free(&f, "CPU"), -1);
    fake_fini(&f);
}
END_TEST

START_TEST(test_unexpected_worker)
{
    struct mob_address self, job;
    struct mob_error err;
    uint32_t depth;
    uint64_t link = 900;

    fake_open(&f, "CPU=1");
    fake_driver(&f);
    mob_raylet_link_up(f.raylet, link, MOB_LINK_LOCAL);
    struct mob_hello hello = { .process = 77 };
    ck_assert_int_eq(mob_raylet_process_up(f.raylet, link, &hello, &self, &job, &depth, &err), -1);
    hello.process = f.spawned - 1;      /* the one that is expected, with another program */
    ck_assert_int_eq(mob_raylet_process_up(f.raylet, link, &hello, &self, &job, &depth, &err), -1);
    ck_assert_int_eq(err.code, MOB_ERR_DENIED);
    fake_fini(&f);
}
END_TEST

START_TEST(test_queries)
{
    uint32_t p[2];
    struct fake_grant g[2];
    Mobula__Query q = MOBULA__QUERY__INIT;
    Mobula__Reply reply = MOBULA__REPLY__INIT;

    open_two(p, g);
    q.id = 6;
    q.verb = "nodes";
    say(p[0], fake_at(0, 0), MOBULA__ENVELOPE__BODY_QUERY, &q);
    Mobula__Envelope *e = fake_expect(&f, f.head, MOBULA__ENVELOPE__BODY_QUERY);
    ck_assert_uint_eq(e->from->process, p[0]);
    reply.id = 6;
    reply.last = true;
    fake_say(&f, f.head, fake_at(0, 0), fake_at(FAKE_NODE, p[0]), MOBULA__ENVELOPE__BODY_REPLY, &reply);
    ck_assert_ptr_nonnull(fake_take(&f, f.process[p[0]].link, MOBULA__ENVELOPE__BODY_REPLY));
    q.id = reply.id = 8;
    reply.last = false;                 /* the rest is lost with the link */
    say(p[0], fake_at(0, 0), MOBULA__ENVELOPE__BODY_QUERY, &q);
    fake_say(&f, f.head, fake_at(0, 0), fake_at(FAKE_NODE, p[0]), MOBULA__ENVELOPE__BODY_REPLY, &reply);
    ck_assert_ptr_nonnull(fake_take(&f, f.process[p[0]].link, MOBULA__ENVELOPE__BODY_REPLY));
    fake_lose(&f, f.head);
    e = fake_take(&f, f.process[p[0]].link, MOBULA__ENVELOPE__BODY_REPLY);
    ck_assert(e != NULL && e->reply->id == 8 && e->reply->last);
    ck_assert_int_eq(e->reply->error->code, MOB_ERR_UNREACHABLE);
    say(p[0], fake_at(0, 0), MOBULA__ENVELOPE__BODY_QUERY, &q);
    e = fake_expect(&f, f.process[p[0]].link, MOBULA__ENVELOPE__BODY_REPLY);
    ck_assert_int_eq(e->reply->error->code, MOB_ERR_UNREACHABLE);
    fake_fini(&f);
}
END_TEST

/* A driver of this node and one of another ask for their output; and one asks a node that is not there. */
START_TEST(test_output_is_flushed_before_the_answer)
{
    uint32_t p[2];
    struct fake_grant g[2];
    Mobula__Query q = MOBULA__QUERY__INIT;

    open_two(p, g);
    q.id = 7;
    q.verb = "output";
    say(p[0], fake_at(FAKE_NODE, 0), MOBULA__ENVELOPE__BODY_QUERY, &q);
    ck_assert(mob_address_eq(f.flushed, fake_at(FAKE_NODE, p[0])));
    ck_assert_uint_eq(f.flushed_after, 0);
    Mobula__Envelope *e = fake_take(&f, f.process[p[0]].link, MOBULA__ENVELOPE__BODY_REPLY);
    ck_assert(e != NULL && e->reply->id == 7 && e->reply->last && e->reply->error == NULL);
    uint64_t peer = fake_peer(&f, 3);
    fake_say(&f, peer, fake_at(3, 8), fake_at(FAKE_NODE, 0), MOBULA__ENVELOPE__BODY_QUERY, &q);
    ck_assert(mob_address_eq(f.flushed, fake_at(3, 8)));
    e = fake_take(&f, peer, MOBULA__ENVELOPE__BODY_REPLY);
    ck_assert(e != NULL && e->to->process == 8);
    say(p[0], fake_at(3, 0), MOBULA__ENVELOPE__BODY_QUERY, &q);
    ck_assert_ptr_nonnull(fake_take(&f, peer, MOBULA__ENVELOPE__BODY_QUERY));
    fake_lose(&f, peer);
    e = fake_take(&f, f.process[p[0]].link, MOBULA__ENVELOPE__BODY_REPLY);
    ck_assert(e != NULL && e->reply->error->code == MOB_ERR_UNREACHABLE);
    say(p[0], fake_at(77, 0), MOBULA__ENVELOPE__BODY_QUERY, &q);
    e = fake_take(&f, f.process[p[0]].link, MOBULA__ENVELOPE__BODY_REPLY);
    ck_assert(e != NULL && e->reply->error->code == MOB_ERR_UNREACHABLE);
    q.verb = "nonsense";
    say(p[0], fake_at(FAKE_NODE, 0), MOBULA__ENVELOPE__BODY_QUERY, &q);
    e = fake_take(&f, f.process[p[0]].link, MOBULA__ENVELOPE__BODY_REPLY);
    ck_assert(e != NULL && e->reply->error->code == MOB_ERR_INVALID);
    ck_assert_uint_eq(f.hang_ups, 0);
    fake_fini(&f);
}
END_TEST

static Mobula__Envelope *printed(uint64_t link, uint32_t driver, char *text)
{
    Mobula__Output m = MOBULA__OUTPUT__INIT;

    m.text.data = (uint8_t *)text;
    m.text.len = strlen(text);
    fake_say(&f, link, fake_at(3, 0), fake_at(FAKE_NODE, driver), MOBULA__ENVELOPE__BODY_OUTPUT, &m);
    return fake_take(&f, f.process[driver].link, MOBULA__ENVELOPE__BODY_OUTPUT);
}

static void peer_hello(uint64_t link)
{
    Mobula__PeerHello m = MOBULA__PEER_HELLO__INIT;
    uint8_t cluster[16] = { 1 };

    m.protocol = MOB_PROTOCOL;
    m.node = 3;
    m.cluster.data = cluster;
    m.cluster.len = sizeof cluster;
    fake_say(&f, link, fake_at(3, 0), fake_at(0, 0), MOBULA__ENVELOPE__BODY_PEER_HELLO, &m);
}

/* The peer knows that the old stream is broken, and dials again before we know: what we forget then, it must forget, too. */
START_TEST(test_a_stream_that_came_before_the_reset)
{
    fake_open(&f, "CPU=1");
    uint64_t old = fake_peer(&f, 3), young = ++f.next_link;

    mob_raylet_link_up(f.raylet, young, MOB_LINK_PEER);
    fake_lose(&f, old);
    peer_hello(young);
    ck_assert_uint_eq(f.hung_up, young);
    uint32_t hang_ups = f.hang_ups;
    fake_peer(&f, 3);
    ck_assert_uint_eq(f.hang_ups, hang_ups);
    fake_fini(&f);
}
END_TEST

/* What a slow driver's queue has no room for is counted, and the count told with what follows. */
START_TEST(test_output_for_a_slow_driver)
{
    char much[20000];

    memset(much, 'x', sizeof much);
    much[sizeof much - 1] = '\0';
    fake_open(&f, "CPU=1");
    uint32_t driver = fake_driver(&f);
    uint64_t link = fake_peer(&f, 3);
    Mobula__Envelope *e = printed(link, driver, "one\n");
    ck_assert_ptr_nonnull(e);
    ck_assert_uint_eq(e->output->dropped, 0);
    f.slow = f.process[driver].link;
    f.slow_queued = MOB_OUTPUT_QUEUE_MAX + 1;
    ck_assert_ptr_nonnull(printed(link, driver, "little\n"));
    ck_assert_ptr_null(printed(link, driver, much));
    f.slow_queued = 2 * MOB_OUTPUT_QUEUE_MAX + 1;
    ck_assert_uint_eq(mob_raylet_queued(f.raylet, fake_at(FAKE_NODE, driver)), 2 * MOB_OUTPUT_QUEUE_MAX + 1);
    ck_assert_ptr_null(printed(link, driver, "two\n"));
    ck_assert_ptr_null(printed(link, driver, "three\n"));
    f.slow_queued = 0;
    e = printed(link, driver, "four\n");
    ck_assert_ptr_nonnull(e);
    ck_assert_uint_eq(e->output->dropped, sizeof much - 1 + 10);
    ck_assert_uint_eq(printed(link, driver, "five\n")->output->dropped, 0);
    fake_fini(&f);
}
END_TEST

/* How much waits on the way to a process of another node: on the pair's stream, or for it. */
START_TEST(test_queued_for_a_peer)
{
    Mobula__Output m = MOBULA__OUTPUT__INIT;
    struct mob_envelope e;

    fake_open(&f, "CPU=1");
    fake_node_up(&f, 3);
    mob_envelope_init(&e, fake_at(FAKE_NODE, 0), fake_at(3, 1), MOBULA__ENVELOPE__BODY_OUTPUT);
    e.e.output = &m;
    ck_assert_uint_eq(mob_raylet_queued(f.raylet, fake_at(3, 1)), 0);
    mob_raylet_send(f.raylet, &e.e);
    ck_assert_uint_gt(mob_raylet_queued(f.raylet, fake_at(3, 1)), 0);
    f.slow = fake_peer(&f, 3);
    f.slow_queued = 12345;
    ck_assert_uint_eq(mob_raylet_queued(f.raylet, fake_at(3, 1)), 12345);
    fake_fini(&f);
}
END_TEST

START_TEST(test_watches)
{
    uint32_t p[2];
    struct fake_grant g[2];
    Mobula__Watch watch = MOBULA__WATCH__INIT;
    Mobula__Watched watched;
    Mobula__ObjectId id = MOBULA__OBJECT_ID__INIT;

    open_two(p, g);
    mobula__watched__init(&watched);
    id.node = FAKE_NODE;
    id.process = p[1];
    id.task = 5;
    watch.object = watched.object = &id;
    watched.state_case = MOBULA__WATCHED__STATE_VALUE;
    say(p[0], fake_at(FAKE_NODE, p[1]), MOBULA__ENVELOPE__BODY_WATCH, &watch);
    say(p[1], fake_at(FAKE_NODE, p[0]), MOBULA__ENVELOPE__BODY_WATCHED, &watched);
    ck_assert_uint_eq(fake_count(&f, f.process[p[0]].link, MOBULA__ENVELOPE__BODY_WATCHED), 1);
    say(p[1], fake_at(FAKE_NODE, p[0]), MOBULA__ENVELOPE__BODY_WATCHED, &watched);
    ck_assert_uint_eq(fake_count(&f, f.process[p[0]].link, MOBULA__ENVELOPE__BODY_WATCHED), 0); /* nobody asked again */
    say(p[0], fake_at(FAKE_NODE, p[1]), MOBULA__ENVELOPE__BODY_WATCH, &watch);
    say(p[0], fake_at(FAKE_NODE, p[1]), MOBULA__ENVELOPE__BODY_WATCH, &watch);
    fake_exit(&f, p[1], 0);             /* both are answered, and so is the next one */
    say(p[0], fake_at(FAKE_NODE, p[1]), MOBULA__ENVELOPE__BODY_WATCH, &watch);
    ck_assert_uint_eq(fake_count(&f, f.process[p[0]].link, MOBULA__ENVELOPE__BODY_WATCHED), 3);
    id.node = 1;                        /* it was gone before */
    say(p[0], fake_at(1, p[1]), MOBULA__ENVELOPE__BODY_WATCH, &watch);
    ck_assert_uint_eq(fake_count(&f, f.process[p[0]].link, MOBULA__ENVELOPE__BODY_WATCHED), 1);
    fake_fini(&f);
}
END_TEST

/* What waits for a link leaves in order once it is up; of two links the first one is used on. */
START_TEST(test_dialing)
{
    uint32_t p[2];
    struct fake_grant g[2];
    Mobula__Free m = MOBULA__FREE__INIT;

    open_two(p, g);
    uint32_t dials = f.dials;
    say(p[0], fake_at(3, 0), MOBULA__ENVELOPE__BODY_FREE, &m);
    say(p[0], fake_at(3, 0), MOBULA__ENVELOPE__BODY_FREE, &m);
    ck_assert_uint_eq(f.dials, dials + 1);
    uint64_t link = f.dialed;
    ck_assert_uint_eq(fake_count(&f, link, MOBULA__ENVELOPE__BODY_FREE), 0);
    mob_raylet_link_up(f.raylet, link, MOB_LINK_PEER);
    ck_assert_uint_eq(fake_count(&f, link, MOBULA__ENVELOPE__BODY_PEER_HELLO), 1);
    ck_assert_uint_eq(fake_count(&f, link, MOBULA__ENVELOPE__BODY_FREE), 2);
    uint64_t second = fake_peer(&f, 3);
    say(p[0], fake_at(3, 0), MOBULA__ENVELOPE__BODY_FREE, &m);
    ck_assert_uint_eq(fake_count(&f, second, MOBULA__ENVELOPE__BODY_FREE), 0);
    ck_assert_uint_eq(fake_count(&f, link, MOBULA__ENVELOPE__BODY_FREE), 1);
    fake_fini(&f);
}
END_TEST

/* A head that reaches both places leases on a peer that refuses us: it is dialed after 50, 100 ... 1000 ms, not in a circle. */
START_TEST(test_redialing_rests)
{
    uint32_t p[2], dials;
    struct fake_grant g[2];

    open_two(p, g);
    dials = f.dials;
    fake_want(&f, p[0], (struct fake_ask){ .shape = 7, .count = 1, .strategy = MOB_SPREAD });
    for (int ms = 0; ms < 10000; ms += 10) {
        uint64_t last = f.dialed;

        if (fake_demand(&f) > 0)
            fake_placed(&f, p[0], 7, 3, 1);
        fake_pass(&f, 10);
        if (f.dialed != last)
            fake_lose(&f, f.dialed);
    }
    ck_assert_uint_ge(f.dials - dials, 10);
    ck_assert_uint_le(f.dials - dials, 16);
    /* One that lasted a while ends the pauses. */
    uint64_t link = fake_peer(&f, 3);
    fake_pass(&f, 1000);
    fake_lose(&f, link);
    dials = f.dials;
    fake_placed(&f, p[0], 7, 3, 1);
    fake_pass(&f, 60);
    ck_assert_uint_eq(f.dials, dials + 1);
    fake_fini(&f);
}
END_TEST

/* What a node says of copies is passed to their owner; for one that is gone we answer that all of its are needed no more. */
START_TEST(test_news_of_copies_for_owners)
{
    uint32_t p[2];
    struct fake_grant g[2];
    Mobula__Copies m = MOBULA__COPIES__INIT;
    Mobula__Envelope *e;

    open_two(p, g);
    uint64_t peer = fake_peer(&f, 3);
    fake_say(&f, peer, fake_at(3, 0), fake_at(FAKE_NODE, p[1]), MOBULA__ENVELOPE__BODY_COPIES, &m);
    e = fake_expect(&f, f.process[p[1]].link, MOBULA__ENVELOPE__BODY_COPIES);
    ck_assert_uint_eq(e->from->node, 3);
    fake_say(&f, peer, fake_at(3, 0), fake_at(FAKE_NODE, 4711), MOBULA__ENVELOPE__BODY_COPIES, &m);
    e = fake_expect(&f, peer, MOBULA__ENVELOPE__BODY_OWNER_OVER);
    ck_assert_uint_eq(e->owner_over->process, 4711);
    fake_say(&f, peer, fake_at(3, 9), fake_at(FAKE_NODE, p[1]), MOBULA__ENVELOPE__BODY_COPIES, &m);
    ck_assert_ptr_null(fake_take(&f, f.process[p[1]].link, MOBULA__ENVELOPE__BODY_COPIES));      /* a process of it has none */
    ck_assert_uint_eq(f.hang_ups, 0);
    say(p[0], fake_at(FAKE_NODE, p[1]), MOBULA__ENVELOPE__BODY_COPIES, &m);
    ck_assert_uint_eq(f.hang_ups, 1);
    fake_exit(&f, p[1], 0);             /* who told of copies hears of the owner's end */
    e = fake_expect(&f, peer, MOBULA__ENVELOPE__BODY_OWNER_OVER);
    ck_assert_uint_eq(e->owner_over->process, p[1]);
    fake_fini(&f);
}
END_TEST

UNIT_CASE("raylet_rules", tcase)
{
    UNIT_TESTS(tcase, test_return_of_anothers_lease, test_nobody_speaks_for_another, test_garbage_and_strangers,
               test_blocked_by_who_is_not_lent, test_unexpected_worker, test_queries, test_output_is_flushed_before_the_answer,
               test_a_stream_that_came_before_the_reset, test_output_for_a_slow_driver, test_queued_for_a_peer, test_watches,
               test_dialing, test_redialing_rests, test_news_of_copies_for_owners);
    tcase_add_loop_test(tcase, test_forbidden, 0, (int)MOB_COUNT(forbidden));
}
