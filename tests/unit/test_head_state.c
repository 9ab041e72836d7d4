/* SPDX-License-Identifier: Apache-2.0 */
/* test_head_state.c -- a head is killed, and one that is started on what it kept goes on: numbers, nodes, the dead, jobs. And a disk that
 * is full. */
#include "unit.h"

#include "head_fake.h"

#define NODE_DOWN MOBULA__ENVELOPE__BODY_NODE_DOWN
#define JOB_OVER MOBULA__ENVELOPE__BODY_JOB_OVER

static struct fake f;
static struct fake_node a, b;

static void setup(void)
{
    a = b = (struct fake_node){ 0 };
    fake_init(&f);
    fake_join(&f, &a, "CPU=4");
    fake_join(&f, &b, "CPU=2");
}

/* The raylet of `n` dials again, and has its old number. */
static void come_back(struct fake_node *n)
{
    uint32_t number = n->number;

    fake_register(&f, n, fake_link(&f));
    ck_assert_uint_eq(n->number, number);
}

/* The same of one that was buried: that it is told. */
static const Mobula__Envelope *rise(struct fake_node *n)
{
    fake_register(&f, n, fake_link(&f));
    return fake_take(&f, n->link, NODE_DOWN);
}

START_TEST(test_nodes_come_back_under_their_numbers)
{
    const Mobula__Envelope *e;
    struct fake_node c = { .resources = "CPU=1", .incarnation = { 9 } };

    setup();
    fake_restart(&f);
    come_back(&a);
    fake_register(&f, &c, fake_link(&f));
    ck_assert(fake_was_hung_up(&f, c.link));            /* new ones wait until all of the state have come, or are dead */
    for (int i = 0; i < 26; i++) {                      /* the other one does not come */
        fake_pass(&f, 100);
        fake_report(&f, &a, 1, "CPU=4", 0);
    }
    e = fake_expect(&f, a.link, NODE_DOWN);
    ck_assert_uint_eq(e->node_down->node, 2);
    fake_register(&f, &c, fake_link(&f));
    ck_assert_uint_eq(c.number, 3);
    fake_fini(&f);
}
END_TEST

/* Nobody hears of its death before that is kept: a head that forgot it would take the node in again, where others had buried it. */
START_TEST(test_a_dead_node_stays_dead)
{
    const Mobula__Envelope *e;

    setup();
    size_t before = f.sent_count;

    mob_head_link_lost(f.head, b.link, true);
    ck_assert_uint_eq(f.kept_after, before);
    ck_assert_uint_gt(f.sent_count, before);
    fake_restart(&f);
    e = rise(&b);
    ck_assert_ptr_nonnull(e);
    ck_assert_uint_eq(e->node_down->node, 2);
    ck_assert_ptr_nonnull(strstr(e->node_down->reason, "refuses"));
    fake_fini(&f);
}
END_TEST

/* The old head came to tell of a death, and not to keep it. Who has heard of it says so: the others have done with that node. */
START_TEST(test_a_death_that_was_not_kept)
{
    const Mobula__Envelope *e;

    setup();
    f.full = true;
    mob_head_link_lost(f.head, b.link, true);
    f.full = false;
    fake_restart(&f);
    come_back(&b);
    come_back(&a);
    fake_node_down(&f, &a, b.number);
    e = fake_take(&f, b.link, NODE_DOWN);
    ck_assert_ptr_nonnull(e);
    ck_assert_uint_eq(e->node_down->node, b.number);
    ck_assert(fake_was_hung_up(&f, b.link));
    ck_assert(!fake_was_hung_up(&f, a.link));
    fake_node_down(&f, &a, b.number);           /* known */
    fake_node_down(&f, &a, 77);
    ck_assert(!fake_was_hung_up(&f, a.link));
    b = (struct fake_node){ 0 };
    fake_join(&f, &b, "CPU=4");
    fake_node_down(&f, &a, b.number);           /* no other head can have said so: a lie */
    ck_assert(fake_was_hung_up(&f, a.link));
    ck_assert(!fake_was_hung_up(&f, b.link));
    fake_fini(&f);
}
END_TEST

/* What the new head places at a node has numbers above all that the old one gave, whatever the node has seen of those. */
START_TEST(test_numbers_of_places_go_on)
{
    const Mobula__Envelope *e;
    uint64_t first;

    setup();
    fake_demand(&f, &a, &(struct fake_demand){ .process = 1, .count = 1, .resources = "CPU=4" });
    fake_tick(&f);
    e = fake_expect(&f, a.link, MOBULA__ENVELOPE__BODY_PLACE);
    first = e->place->seq;
    fake_restart(&f);
    come_back(&a);
    fake_report(&f, &a, 1, "CPU=4", first);
    ck_assert(!fake_was_hung_up(&f, a.link));
    fake_demand(&f, &a, &(struct fake_demand){ .process = 1, .count = 1, .resources = "CPU=4", .placed_seen = 1 });
    fake_tick(&f);
    e = fake_expect(&f, a.link, MOBULA__ENVELOPE__BODY_PLACE);
    ck_assert_uint_gt(e->place->seq, first);
    fake_fini(&f);
}
END_TEST

/* The first Place that the head sends to `n`, for a demand of its own that it alone can serve. */
static uint64_t place_at(const struct fake_node *n, uint32_t process)
{
    const Mobula__Envelope *e;

    fake_demand(&f, n, &(struct fake_demand){ .process = process, .count = 1, .resources = "CPU=1", .strategy = MOB_NODE,
                                              .node = n->number });
    fake_tick(&f);
    e = fake_take(&f, n->link, MOBULA__ENVELOPE__BODY_PLACE);
    ck_assert_ptr_nonnull(e);
    return e->place->seq;
}

/* Node 3 has joined since the state was copied. It must come as a new one; its number nobody gets, though only others say it in time. */
START_TEST(test_a_node_that_the_state_has_lost)
{
    struct fake_node c = { 0 }, d = { .resources = "CPU=1", .incarnation = { 9 } };

    setup();
    fake_save(&f);
    fake_join(&f, &c, "CPU=1");
    a.highest = c.number;
    fake_restart_on_saved(&f);
    fake_register(&f, &d, fake_link(&f));
    ck_assert(fake_was_hung_up(&f, d.link));
    come_back(&b);
    come_back(&a);
    fake_register(&f, &d, fake_link(&f));
    ck_assert_uint_eq(d.number, 4);
    ck_assert_ptr_nonnull(rise(&c));
    fake_restart(&f);
    come_back(&a);
    come_back(&b);
    come_back(&d);
    c.number = 0;
    fake_register(&f, &c, fake_link(&f));
    ck_assert_uint_eq(c.number, 5);
    fake_fini(&f);
}
END_TEST

/* All that the state has are dead: those that it does not have say what they were called. A number of another cluster is nobody's here. */
START_TEST(test_numbers_of_nodes_that_are_told_dead)
{
    struct fake_node c = { 0 }, d = { .number = 70, .resources = "CPU=1", .incarnation = { 9 }, .stranger = true };

    setup();
    mob_head_link_lost(f.head, a.link, true);
    mob_head_link_lost(f.head, b.link, true);
    fake_save(&f);
    fake_join(&f, &c, "CPU=1");
    c.highest = 6;
    fake_restart_on_saved(&f);
    ck_assert_ptr_nonnull(rise(&d));
    ck_assert_ptr_nonnull(rise(&c));
    c.number = 0;
    fake_register(&f, &c, fake_link(&f));
    ck_assert_uint_eq(c.number, 7);
    fake_fini(&f);
}
END_TEST

/* A whole head has been lost with the state, and the next one begins with its generation. b has not heard of that one, and comes first. */
START_TEST(test_a_head_that_the_state_has_lost)
{
    uint64_t lost, early, now;

    setup();
    fake_save(&f);
    fake_restart(&f);
    come_back(&a);
    ck_assert_uint_eq(a.generation, 1);
    lost = place_at(&a, 1);
    fake_restart_on_saved(&f);
    come_back(&b);
    ck_assert_uint_eq(b.generation, 1);         /* the number of a head that it has not heard of */
    early = place_at(&b, 1);
    come_back(&a);
    ck_assert_uint_eq(a.generation, 2);
    ck_assert(fake_was_hung_up(&f, b.link));
    fake_report(&f, &a, 9, "CPU=4", lost);
    ck_assert(!fake_was_hung_up(&f, a.link));
    come_back(&b);
    ck_assert_uint_eq(b.generation, 2);
    ck_assert_ptr_null(fake_take(&f, b.link, MOBULA__ENVELOPE__BODY_PLACE));     /* that is void, and not sent again */
    now = place_at(&a, 2);
    ck_assert_uint_gt(now, lost);
    ck_assert_uint_gt(place_at(&b, 2), early);
    mob_head_link_lost(f.head, a.link, false);  /* of this head it has heard: no reason to begin anew */
    come_back(&a);
    ck_assert_uint_eq(a.generation, 2);
    fake_restart(&f);
    come_back(&a);
    ck_assert_uint_eq(a.generation, 3);         /* the generation was kept */
    fake_fini(&f);
}
END_TEST

START_TEST(test_numbers_that_no_head_gives)
{
    setup();
    fake_restart(&f);
    a.highest = UINT32_MAX;
    fake_register(&f, &a, fake_link(&f));
    ck_assert_ptr_nonnull(fake_take(&f, a.link, MOBULA__ENVELOPE__BODY_REFUSED));
    b.generation = UINT32_MAX;
    fake_register(&f, &b, fake_link(&f));
    ck_assert_ptr_nonnull(fake_take(&f, b.link, MOBULA__ENVELOPE__BODY_REFUSED));
    fake_fini(&f);
}
END_TEST

/* A job that ended while no head was there: its driver's node says so, or does not name it any more. */
START_TEST(test_jobs_that_ended_meanwhile)
{
    const Mobula__Envelope *e;

    setup();
    fake_job(&f, &a, MOBULA__ENVELOPE__BODY_JOB_STARTED, 1, 5);
    fake_job(&f, &a, MOBULA__ENVELOPE__BODY_JOB_STARTED, 1, 6);
    fake_job(&f, &a, MOBULA__ENVELOPE__BODY_JOB_STARTED, 1, 7);
    fake_restart(&f);
    come_back(&b);
    come_back(&a);
    fake_job(&f, &a, JOB_OVER, 1, 5);
    e = fake_expect(&f, b.link, JOB_OVER);
    ck_assert_uint_eq(e->job_over->job->process, 5);
    fake_job(&f, &a, MOBULA__ENVELOPE__BODY_JOB_STARTED, 1, 6);
    fake_report(&f, &a, 1, "CPU=4", 0);
    e = fake_expect(&f, b.link, JOB_OVER);
    ck_assert_uint_eq(e->job_over->job->process, 7);
    ck_assert_ptr_null(fake_take(&f, b.link, JOB_OVER));
    fake_fini(&f);
}
END_TEST

/* A node has work of a job that the old head could not keep: it ends, unless its driver's node names it, before or after. */
START_TEST(test_a_job_that_was_not_kept)
{
    const Mobula__Envelope *e;

    setup();
    f.full = true;
    fake_job(&f, &a, MOBULA__ENVELOPE__BODY_JOB_STARTED, 1, 5);
    fake_job(&f, &a, MOBULA__ENVELOPE__BODY_JOB_STARTED, 1, 6);
    f.full = false;
    fake_restart(&f);
    come_back(&b);
    fake_job(&f, &b, MOBULA__ENVELOPE__BODY_JOB_STARTED, 1, 5);
    fake_job(&f, &b, MOBULA__ENVELOPE__BODY_JOB_STARTED, 1, 6);
    ck_assert_ptr_null(fake_take(&f, b.link, JOB_OVER));
    come_back(&a);
    fake_job(&f, &a, MOBULA__ENVELOPE__BODY_JOB_STARTED, 1, 6);
    fake_report(&f, &a, 1, "CPU=4", 0);
    e = fake_expect(&f, b.link, JOB_OVER);
    ck_assert_uint_eq(e->job_over->job->process, 5);
    fake_job(&f, &b, MOBULA__ENVELOPE__BODY_JOB_STARTED, 1, 8);
    e = fake_expect(&f, b.link, JOB_OVER);
    ck_assert_uint_eq(e->job_over->job->process, 8);
    fake_job(&f, &b, MOBULA__ENVELOPE__BODY_JOB_STARTED, 1, 8);
    ck_assert_ptr_nonnull(fake_take(&f, b.link, JOB_OVER));             /* told again */
    ck_assert_ptr_null(fake_take(&f, b.link, JOB_OVER));
    fake_fini(&f);
}
END_TEST

/* A new node is refused; what happens all the same is kept as soon as there is room. */
START_TEST(test_a_full_disk)
{
    const Mobula__Envelope *e;
    struct fake_node c = { .resources = "CPU=1", .incarnation = { 9 } };

    setup();
    f.full = true;
    c.link = fake_link(&f);
    fake_register(&f, &c, c.link);
    e = fake_expect(&f, c.link, MOBULA__ENVELOPE__BODY_REFUSED);
    ck_assert_int_eq(e->refused->error->code, MOB_ERR_NO_SPACE);
    fake_tick(&f);
    mob_head_link_lost(f.head, b.link, true);
    fake_job(&f, &a, MOBULA__ENVELOPE__BODY_JOB_STARTED, 1, 5);
    fake_pass(&f, 1500);
    ck_assert_uint_eq(f.kept[MOB_HEAD_JOB].count, 0);
    f.full = false;
    fake_report(&f, &a, 1, "CPU=4", 0);
    fake_pass(&f, 1500);
    ck_assert_uint_eq(f.kept[MOB_HEAD_JOB].count, 1);
    fake_restart(&f);
    ck_assert_ptr_nonnull(rise(&b));
    fake_fini(&f);
}
END_TEST

START_TEST(test_rows_that_are_none)
{
    struct mob_error err;

    fake_init(&f);
    for (int kind = 0; kind < 4; kind++)
        ck_assert_int_eq(mob_head_load(f.head, (enum mob_head_row)kind, "\377\377\377", 3, &err), -1);
    ck_assert_int_eq(mob_head_load(f.head, MOB_HEAD_NODE, "", 0, &err), -1);
    ck_assert_int_eq(mob_head_load(f.head, MOB_HEAD_JOB, "", 0, &err), -1);
    ck_assert_int_eq(err.code, MOB_ERR_INVALID);
    fake_fini(&f);
}
END_TEST

UNIT_MAIN("head_state", test_nodes_come_back_under_their_numbers, test_a_dead_node_stays_dead, test_a_death_that_was_not_kept, test_numbers_of_places_go_on, test_a_node_that_the_state_has_lost,
          test_numbers_of_nodes_that_are_told_dead, test_a_head_that_the_state_has_lost, test_numbers_that_no_head_gives,
          test_jobs_that_ended_meanwhile, test_a_job_that_was_not_kept, test_a_full_disk, test_rows_that_are_none)
