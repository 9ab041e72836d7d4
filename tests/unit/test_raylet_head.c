/* SPDX-License-Identifier: Apache-2.0 */
/* test_raylet_head.c -- the head was killed, and another one serves on its state: what the old one had placed is void, and what it may not
 * know is said. And which nodes there are, by its word, when that comes late. */
#include "raylet_fake.h"

#define DEMAND MOBULA__ENVELOPE__BODY_DEMAND
#define WITHDRAW MOBULA__ENVELOPE__BODY_WITHDRAW
#define MOURN MOBULA__ENVELOPE__BODY_MOURN
#define MOURNED MOBULA__ENVELOPE__BODY_MOURNED
#define EVENTS MOBULA__ENVELOPE__BODY_EVENTS
#define JOB_STARTED MOBULA__ENVELOPE__BODY_JOB_STARTED

static struct fake f;

static void another_head(void)
{
    fake_lose(&f, f.head);
    fake_pass(&f, 600);
    f.head = f.dialed_head;
    f.generation++;
    fake_join(&f);
}

static void say_withdraw(uint64_t link, struct mob_address owner, uint32_t count, uint64_t generation)
{
    Mobula__Withdraw w = MOBULA__WITHDRAW__INIT;
    Mobula__Address address;

    mob_wire_put_address(&address, owner);
    w.owner = &address;
    w.count = count;
    w.generation = generation;
    w.seq = UINT64_MAX;
    fake_say(&f, link, fake_at(owner.node, 0), fake_at(FAKE_NODE, 0), WITHDRAW, &w);
}

/* The Place of what was Placed elsewhere may have died with the head: all is asked for again, and nothing is withdrawn by a number that
 * the other node may never have heard of. */
START_TEST(test_what_was_placed_elsewhere_is_asked_for_again)
{
    Mobula__Envelope *e;

    fake_open(&f, "CPU=1");
    uint64_t peer = fake_peer(&f, 3);
    uint32_t p = fake_driver(&f);

    fake_want(&f, p, (struct fake_ask){ .count = 4, .resources = "CPU=1,gold=1" });
    fake_placed(&f, p, 0, 3, 3);
    fake_forget_sent(&f);
    another_head();
    e = fake_expect(&f, f.head, DEMAND);
    ck_assert_uint_eq(e->demand->count, 4);
    ck_assert_uint_eq(e->demand->placed_seen, 3);
    ck_assert_ptr_null(fake_take(&f, peer, WITHDRAW));
    fake_placed(&f, p, 0, 3, 4);
    fake_want(&f, p, (struct fake_ask){ .count = 1, .resources = "CPU=1,gold=1" });
    fake_tick(&f);
    e = fake_take(&f, peer, WITHDRAW);          /* of what this head has placed it can be */
    ck_assert_ptr_nonnull(e);
    ck_assert_uint_eq(e->withdraw->count, 3);
    ck_assert_uint_eq(e->withdraw->generation, 1);
    fake_fini(&f);
}
END_TEST

/* What was placed here and is not granted yet goes; a Withdraw of that, still on its way, takes nothing of what the new head places. */
START_TEST(test_what_was_placed_here_is_void)
{
    struct fake_grant g;

    fake_open(&f, "CPU=3");
    uint64_t peer = fake_peer(&f, 3);

    fake_place(&f, fake_at(3, 9), (struct fake_ask){ .count = 1 });
    another_head();
    fake_all_up(&f);
    ck_assert(!fake_grant(&f, peer, &g));
    fake_place(&f, fake_at(3, 9), (struct fake_ask){ .count = 3 });     /* one worker is there already */
    say_withdraw(peer, fake_at(3, 9), 1, 0);
    say_withdraw(peer, fake_at(3, 9), 1, 1);
    fake_all_up(&f);
    ck_assert(fake_grant(&f, peer, &g));
    ck_assert(fake_grant(&f, peer, &g));
    ck_assert(!fake_grant(&f, peer, &g));
    fake_fini(&f);
}
END_TEST

/* The same head after a broken link: it sends again what may be lost, and all stands. */
START_TEST(test_the_same_head_again)
{
    struct fake_grant g;

    fake_open(&f, "CPU=1");
    uint64_t peer = fake_peer(&f, 3);

    fake_place(&f, fake_at(3, 9), (struct fake_ask){ .count = 1 });
    f.generation--;
    another_head();
    fake_all_up(&f);
    ck_assert(fake_grant(&f, peer, &g));
    ck_assert_ptr_null(fake_take(&f, f.head, JOB_STARTED));
    fake_fini(&f);
}
END_TEST

/* Its record of tasks is empty: the processes here tell of theirs again. */
START_TEST(test_owners_are_asked_for_their_tasks)
{
    fake_open(&f, "CPU=1");
    uint32_t p = fake_driver(&f);

    f.generation--;
    another_head();                     /* the same one */
    ck_assert_uint_eq(fake_count(&f, f.process[p].link, MOBULA__ENVELOPE__BODY_EVENTS_AGAIN), 0);
    another_head();
    ck_assert_uint_eq(fake_count(&f, f.process[p].link, MOBULA__ENVELOPE__BODY_EVENTS_AGAIN), 1);
    fake_fini(&f);
}
END_TEST

static void say_events(uint32_t process, size_t size, uint8_t mark)
{
    static uint8_t records[400000];
    Mobula__Events m = MOBULA__EVENTS__INIT;

    records[0] = mark;
    m.records.data = records;
    m.records.len = size;
    fake_say(&f, f.process[process].link, fake_at(0, 0), fake_at(0, 0), EVENTS, &m);
}

static void same_head(uint64_t events_heard)
{
    f.generation--;
    f.events_heard = events_heard;
    another_head();
}

/* The marks of the Events that the head got, as digits, and which process they are of. */
static uint64_t events_got(uint32_t process)
{
    Mobula__Envelope *e;
    uint64_t got = 0;

    while ((e = fake_take(&f, f.head, EVENTS)) != NULL) {
        ck_assert_uint_eq(e->from->process, process);
        got = got * 10 + e->events->records.data[0];
    }
    return got;
}

/* What a broken link had under way is sent again, once, in its order; and before it what came while the head was away. */
START_TEST(test_events_are_sent_until_they_are_heard)
{
    fake_open(&f, "CPU=1");
    uint32_t p = fake_driver(&f);

    say_events(p, 96, 1);
    say_events(p, 96, 2);
    ck_assert_uint_eq(events_got(p), 12);
    fake_lose(&f, f.head);
    say_events(p, 96, 3);
    same_head(1);
    ck_assert_uint_eq(events_got(p), 23);
    say_events(p, 96, 4);
    ck_assert_uint_eq(events_got(p), 4);
    same_head(3);
    ck_assert_uint_eq(events_got(p), 4);
    same_head(4);
    ck_assert_uint_eq(events_got(p), 0);
    say_events(p, 96, 5);
    f.events_heard = 0;
    another_head();                     /* whose record is empty: it gets what is not over, and nothing of this */
    ck_assert_uint_eq(events_got(p), 0);
    ck_assert_uint_eq(fake_count(&f, f.process[p].link, MOBULA__ENVELOPE__BODY_EVENTS_AGAIN), 1);
    say_events(p, 96, 6);
    same_head(0);
    ck_assert_uint_eq(events_got(p), 6);
    fake_fini(&f);
}
END_TEST

/* Of more than is kept the oldest go; what is left counts on from what the head has. */
START_TEST(test_events_of_a_long_while_without_the_head)
{
    size_t sent;

    fake_open(&f, "CPU=1");
    uint32_t p = fake_driver(&f);

    say_events(p, 96, 1);
    fake_lose(&f, f.head);
    for (int i = 0; i < 25; i++)
        say_events(p, 400000, i < 24 ? 2 : 3);
    fake_forget_sent(&f);
    same_head(1);
    sent = fake_count(&f, f.head, EVENTS);
    ck_assert_uint_eq(sent, 20);                /* 8 MiB */
    same_head(1 + sent - 1);
    ck_assert_uint_eq(events_got(p), 3);
    same_head(1 + sent);
    ck_assert_uint_eq(events_got(p), 0);
    fake_fini(&f);
}
END_TEST

/* Jobs of other nodes that have work here are named to a new head: their ends may be lost. */
START_TEST(test_jobs_that_are_served_are_named)
{
    Mobula__Envelope *e;
    struct fake_grant g;

    fake_open(&f, "CPU=1");
    uint64_t peer = fake_peer(&f, 3);

    fake_place(&f, fake_at(3, 9), (struct fake_ask){ .count = 1 });
    fake_all_up(&f);
    ck_assert(fake_grant(&f, peer, &g));
    another_head();
    e = fake_expect(&f, f.head, JOB_STARTED);
    ck_assert_uint_eq(e->job_started->job->node, 3);
    ck_assert_uint_eq(e->job_started->job->process, 1);
    ck_assert_ptr_null(fake_take(&f, f.head, JOB_STARTED));
    fake_fini(&f);
}
END_TEST

/* -- which nodes there are ----------------------------------------------------------------------------------------------------- */

static void say_mourn(uint32_t p, uint32_t node)
{
    Mobula__Mourn m = MOBULA__MOURN__INIT;

    m.process = 50;
    fake_say(&f, f.process[p].link, fake_at(0, 0), fake_at(node, 0), MOURN, &m);
}

/* What the head said when we came back was said before the node joined, and comes after the node's own word; the next time the head says that
 * it is gone. */
START_TEST(test_a_node_that_is_newer_than_the_list)
{
    Mobula__Envelope *e;
    uint64_t peer;

    fake_open(&f, "CPU=1");
    uint32_t p = fake_driver(&f);

    fake_lose(&f, f.head);
    peer = fake_peer(&f, 9);
    another_head();
    say_mourn(p, 9);
    ck_assert_ptr_nonnull(fake_take(&f, peer, MOURN));
    f.last = 9;
    another_head();
    e = fake_take(&f, f.process[p].link, MOURNED);
    ck_assert(e != NULL && !e->mourned->unreachable);
    fake_fini(&f);
}
END_TEST

/* It died while we were without a head, and does not know; or its NodeDown came before its own word. */
START_TEST(test_a_node_that_the_head_would_have_told_of)
{
    fake_open(&f, "CPU=1");
    fake_node_up(&f, 9);
    fake_peer(&f, 9);
    ck_assert_uint_eq(f.hang_ups, 0);
    fake_peer(&f, 8);
    ck_assert_uint_eq(f.hang_ups, 1);
    fake_fini(&f);
}
END_TEST

/* Somebody may name a process of a node that we have not heard of yet: it is asked when we have. */
START_TEST(test_a_node_that_is_still_to_be_told_of)
{
    Mobula__Envelope *e;

    fake_open(&f, "CPU=1");
    uint32_t p = fake_driver(&f);

    say_mourn(p, 1);
    e = fake_take(&f, f.process[p].link, MOURNED);
    ck_assert(e != NULL && !e->mourned->unreachable);
    say_mourn(p, UINT32_MAX);                   /* nobody's */
    ck_assert_ptr_nonnull(fake_take(&f, f.process[p].link, MOURNED));
    say_mourn(p, 9);
    ck_assert_ptr_null(fake_take(&f, f.process[p].link, MOURNED));
    fake_node_up(&f, 9);
    mob_raylet_link_up(f.raylet, f.dialed, MOB_LINK_PEER);
    ck_assert_ptr_nonnull(fake_take(&f, f.dialed, MOURN));
    fake_fini(&f);
}
END_TEST

/* By that a head whose state is older than the cluster learns it. A node that is new has nothing to say. */
START_TEST(test_what_was_heard_of_is_said)
{
    const Mobula__Register *m;

    fake_init(&f, "CPU=1");
    fake_start(&f);
    mob_raylet_link_up(f.raylet, f.head, MOB_LINK_HEAD);
    m = fake_take(&f, f.head, MOBULA__ENVELOPE__BODY_REGISTER_NODE)->register_node;
    ck_assert_uint_eq(m->cluster.len + m->generation + m->highest_node, 0);
    fake_fini(&f);
    fake_open(&f, "CPU=1");
    another_head();
    fake_lose(&f, f.head);
    fake_pass(&f, 600);
    mob_raylet_link_up(f.raylet, f.dialed_head, MOB_LINK_HEAD);
    m = fake_take(&f, f.dialed_head, MOBULA__ENVELOPE__BODY_REGISTER_NODE)->register_node;
    ck_assert_uint_eq(m->node, FAKE_NODE);
    ck_assert_uint_eq(m->cluster.len, 16);
    ck_assert_uint_eq(m->cluster.data[0], 1);
    ck_assert_uint_eq(m->generation, 1);
    ck_assert_uint_eq(m->highest_node, 4);
    fake_fini(&f);
}
END_TEST

/* The head that buried a node did not come to keep that: the next one is told, by whoever has heard it. */
START_TEST(test_a_death_that_the_head_has_lost)
{
    Mobula__Envelope *e;

    fake_open(&f, "CPU=1");
    fake_node_down(&f, 3, false, "silent");
    another_head();                     /* it names the nodes 3 and 4 */
    e = fake_take(&f, f.head, MOBULA__ENVELOPE__BODY_NODE_DOWN);
    ck_assert_ptr_nonnull(e);
    ck_assert_uint_eq(e->node_down->node, 3);
    ck_assert_ptr_null(fake_take(&f, f.head, MOBULA__ENVELOPE__BODY_NODE_DOWN));
    fake_fini(&f);
}
END_TEST

UNIT_MAIN("raylet_head", test_what_was_placed_elsewhere_is_asked_for_again, test_what_was_placed_here_is_void, test_the_same_head_again, test_owners_are_asked_for_their_tasks,
          test_events_are_sent_until_they_are_heard, test_events_of_a_long_while_without_the_head,
          test_jobs_that_are_served_are_named, test_a_node_that_is_newer_than_the_list, test_a_node_that_the_head_would_have_told_of,
          test_a_node_that_is_still_to_be_told_of, test_what_was_heard_of_is_said,
          test_a_death_that_the_head_has_lost)
