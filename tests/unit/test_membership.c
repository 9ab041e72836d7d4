/* SPDX-License-Identifier: Apache-2.0 */
/* test_membership.c -- who is a node, and when it is dead. */
#include "unit.h"

#include "common/event.h"
#include "head_fake.h"

static struct fake f;
static struct fake_node a, b;

static void begin(void)
{
    a = b = (struct fake_node){ 0 };
    fake_init(&f);
}

static void setup(void)
{
    begin();
    fake_join(&f, &a, "CPU=4");
    fake_join(&f, &b, "CPU=4");
}

START_TEST(test_join_is_told_to_all)
{
    const Mobula__Envelope *e;

    setup();
    ck_assert_uint_eq(a.number, 1);
    ck_assert_uint_eq(b.number, 2);
    e = fake_expect(&f, a.link, MOBULA__ENVELOPE__BODY_NODE_UP);
    ck_assert_uint_eq(e->node_up->node->node, 2);
    ck_assert_str_eq(e->node_up->node->ip, "10.0.0.1");
    ck_assert_str_eq(e->node_up->node->host, "test");
    ck_assert_ptr_null(fake_take(&f, b.link, MOBULA__ENVELOPE__BODY_NODE_UP));
    fake_fini(&f);
}
END_TEST

START_TEST(test_silence_is_death)
{
    const Mobula__Envelope *e;

    setup();
    for (int i = 0; i < 24; i++) {
        fake_pass(&f, 100);
        fake_report(&f, &a, 1, "CPU=4", 0);
    }
    ck_assert_ptr_null(fake_take(&f, a.link, MOBULA__ENVELOPE__BODY_NODE_DOWN));
    fake_pass(&f, 100);
    e = fake_expect(&f, a.link, MOBULA__ENVELOPE__BODY_NODE_DOWN);
    ck_assert_uint_eq(e->node_down->node, b.number);
    ck_assert_uint_eq(e->to->node, a.number);   /* its receiver's: a raylet takes none that is for another */
    e = fake_take(&f, b.link, MOBULA__ENVELOPE__BODY_NODE_DOWN);                        /* in case it still hears */
    ck_assert_ptr_nonnull(e);
    ck_assert_uint_eq(e->to->node, b.number);
    ck_assert(fake_was_hung_up(&f, b.link));
    ck_assert(!fake_was_hung_up(&f, a.link));
    fake_fini(&f);
}
END_TEST

START_TEST(test_refusing_port_is_death_at_once)
{
    setup();
    mob_head_link_lost(f.head, b.link, false);
    fake_tick(&f);
    ck_assert_uint_eq(f.dialed_count, 1);
    ck_assert_ptr_null(fake_take(&f, a.link, MOBULA__ENVELOPE__BODY_NODE_DOWN));
    mob_head_link_lost(f.head, f.dialed[0], true);
    fake_tick(&f);
    ck_assert_ptr_nonnull(fake_take(&f, a.link, MOBULA__ENVELOPE__BODY_NODE_DOWN));
    fake_fini(&f);
}
END_TEST

START_TEST(test_broken_link_is_forgiven)
{
    uint64_t old;

    setup();
    mob_head_link_lost(f.head, b.link, false);
    fake_tick(&f);
    mob_head_link_up(f.head, f.dialed[0]);
    ck_assert(fake_was_hung_up(&f, f.dialed[0]));
    mob_head_link_lost(f.head, f.dialed[0], false);
    fake_pass(&f, 400);
    fake_register(&f, &b, fake_link(&f));
    ck_assert_uint_eq(b.number, 2);
    fake_pass(&f, 2300);
    ck_assert(!fake_was_hung_up(&f, b.link));
    /* It dials again before we saw the old link end. */
    old = b.link;
    fake_register(&f, &b, fake_link(&f));
    ck_assert_uint_eq(b.number, 2);
    ck_assert(fake_was_hung_up(&f, old));
    mob_head_link_lost(f.head, old, false);
    fake_tick(&f);
    ck_assert_uint_eq(f.dialed_count, 1);
    fake_fini(&f);
}
END_TEST

START_TEST(test_cut_and_silent_is_death)
{
    begin();
    fake_join(&f, &b, "CPU=4");
    fake_pass(&f, 1000);
    fake_join(&f, &a, "CPU=4");
    mob_head_link_lost(f.head, b.link, false);
    fake_pass(&f, 1400);
    ck_assert_ptr_null(fake_take(&f, a.link, MOBULA__ENVELOPE__BODY_NODE_DOWN));
    fake_pass(&f, 100);
    ck_assert_ptr_nonnull(fake_take(&f, a.link, MOBULA__ENVELOPE__BODY_NODE_DOWN));
    fake_fini(&f);
}
END_TEST

/* A head that was stopped for a minute hears its nodes again before it judges them. */
START_TEST(test_own_stall_is_no_silence)
{
    begin();
    fake_join(&f, &a, "CPU=4");
    fake_pass(&f, 2000);
    f.now_ns += 60000 * FAKE_MS;
    fake_tick(&f);
    ck_assert(!fake_was_hung_up(&f, a.link));
    fake_report(&f, &a, 1, "CPU=4", 0);
    fake_pass(&f, 2400);
    ck_assert(!fake_was_hung_up(&f, a.link));
    fake_pass(&f, 200);
    ck_assert(fake_was_hung_up(&f, a.link));
    fake_fini(&f);
}
END_TEST

/* A head that reads for seconds before it comes to its tick has not read the beats that wait behind that; nor has one that is
 * stopped again and again, as soon as it runs. */
START_TEST(test_what_waits_unread_is_no_silence)
{
    setup();
    fake_pass(&f, 500);
    for (int i = 0; i < 100; i++) {
        f.now_ns += 40 * FAKE_MS;
        mob_head_link_up(f.head, 1000 + (uint64_t)i);
    }
    fake_tick(&f);
    ck_assert(!fake_was_hung_up(&f, a.link));
    fake_report(&f, &a, 1, "CPU=4", 0);
    for (int i = 0; i < 7; i++) {
        f.now_ns += 1900 * FAKE_MS;
        fake_tick(&f);
        fake_pass(&f, 20);
    }
    ck_assert(!fake_was_hung_up(&f, a.link));
    fake_pass(&f, 2500);
    ck_assert(fake_was_hung_up(&f, a.link));
    fake_fini(&f);
}
END_TEST

START_TEST(test_dead_node_learns_it)
{
    const Mobula__Envelope *e;

    begin();
    fake_join(&f, &a, "CPU=4");
    fake_pass(&f, 3000);
    ck_assert(fake_was_hung_up(&f, a.link));
    fake_register(&f, &a, fake_link(&f));
    e = fake_expect(&f, a.link, MOBULA__ENVELOPE__BODY_NODE_DOWN);
    ck_assert_uint_eq(e->node_down->node, 1);
    ck_assert(fake_was_hung_up(&f, a.link));
    /* A head that never knew its number says the same. */
    a.incarnation[0] ^= 1;
    a.number = 77;
    a.stranger = true;
    fake_register(&f, &a, fake_link(&f));
    e = fake_expect(&f, a.link, MOBULA__ENVELOPE__BODY_NODE_DOWN);
    ck_assert_uint_eq(e->node_down->node, 77);
    ck_assert_uint_eq(e->to->node, 77);
    a.number = 0;
    a.stranger = false;
    fake_register(&f, &a, fake_link(&f));
    ck_assert_uint_eq(a.number, 2);
    /* It died before it heard its number, and comes as what it was. */
    fake_pass(&f, 3000);
    a.number = 0;
    fake_register(&f, &a, fake_link(&f));
    ck_assert_uint_eq(a.number, 3);
    fake_fini(&f);
}
END_TEST

START_TEST(test_nonsense_ends_the_link)
{
    uint64_t link;

    setup();
    link = fake_link(&f);
    mob_head_receive(f.head, link, "\xff\xff\xff", 3);
    ck_assert(fake_was_hung_up(&f, link));
    b.number = 1;                       /* b speaks for a */
    fake_report(&f, &b, 1, "CPU=4", 0);
    ck_assert(fake_was_hung_up(&f, b.link));
    fake_report(&f, &a, 1, "CPU=4", UINT64_MAX); /* of a Place that was never sent */
    ck_assert(fake_was_hung_up(&f, a.link));
    fake_fini(&f);
}
END_TEST

START_TEST(test_job_ends_with_its_node)
{
    const Mobula__Envelope *e;

    setup();
    fake_job(&f, &b, MOBULA__ENVELOPE__BODY_JOB_STARTED, b.number, 1);
    mob_head_link_lost(f.head, b.link, true);
    e = fake_expect(&f, a.link, MOBULA__ENVELOPE__BODY_JOB_OVER);
    ck_assert_uint_eq(e->job_over->job->node, b.number);
    ck_assert_uint_eq(f.recorded, sizeof(struct mob_event));    /* its owners are over */
    fake_fini(&f);
}
END_TEST

/* Found by the simulator: a JobOver that was under way when the link broke was lost for ever. */
START_TEST(test_job_that_is_not_named_again_is_over)
{
    const Mobula__Envelope *e;

    setup();
    fake_job(&f, &b, MOBULA__ENVELOPE__BODY_JOB_STARTED, b.number, 1);
    fake_job(&f, &b, MOBULA__ENVELOPE__BODY_JOB_STARTED, b.number, 2);
    fake_report(&f, &b, 1, "CPU=4", 0);
    mob_head_link_lost(f.head, b.link, false);
    fake_register(&f, &b, fake_link(&f));
    fake_job(&f, &b, MOBULA__ENVELOPE__BODY_JOB_STARTED, b.number, 2);
    ck_assert_ptr_null(fake_take(&f, a.link, MOBULA__ENVELOPE__BODY_JOB_OVER));
    fake_report(&f, &b, 1, "CPU=4", 0);
    e = fake_expect(&f, a.link, MOBULA__ENVELOPE__BODY_JOB_OVER);
    ck_assert_uint_eq(e->job_over->job->process, 1);
    ck_assert_ptr_null(fake_take(&f, a.link, MOBULA__ENVELOPE__BODY_JOB_OVER));
    fake_fini(&f);
}
END_TEST

/* Found by the simulator: what the head heard last from a node says nothing of what the node heard from it. */
START_TEST(test_node_that_comes_back_hears_of_ended_jobs)
{
    setup();
    fake_job(&f, &b, MOBULA__ENVELOPE__BODY_JOB_STARTED, b.number, 1);
    mob_head_link_lost(f.head, b.link, true);
    fake_pass(&f, 100);
    fake_report(&f, &a, 1, "CPU=4", 0);
    mob_head_link_lost(f.head, a.link, false);
    fake_register(&f, &a, fake_link(&f));
    ck_assert_ptr_nonnull(fake_take(&f, a.link, MOBULA__ENVELOPE__BODY_JOB_OVER));
    fake_fini(&f);
}
END_TEST

/* So a raylet knows which of its Events were lost with a link. */
START_TEST(test_events_are_counted)
{
    setup();
    fake_events(&f, &a, 1);
    fake_events(&f, &a, 0);
    fake_events(&f, &b, 1);
    mob_head_link_lost(f.head, a.link, false);
    fake_register(&f, &a, fake_link(&f));
    ck_assert_uint_eq(a.events_heard, 2);
    fake_register(&f, &b, fake_link(&f));
    ck_assert_uint_eq(b.events_heard, 1);
    fake_restart(&f);
    fake_register(&f, &a, fake_link(&f));
    ck_assert_uint_eq(a.events_heard, 0);
    fake_fini(&f);
}
END_TEST

UNIT_MAIN("membership", test_join_is_told_to_all, test_silence_is_death, test_refusing_port_is_death_at_once,
          test_broken_link_is_forgiven, test_cut_and_silent_is_death, test_own_stall_is_no_silence,
          test_what_waits_unread_is_no_silence, test_dead_node_learns_it, test_nonsense_ends_the_link, test_job_ends_with_its_node,
          test_job_that_is_not_named_again_is_over, test_node_that_comes_back_hears_of_ended_jobs, test_events_are_counted)
