/* SPDX-License-Identifier: Apache-2.0 */
/* test_head_drain.c -- a node is to leave: who may be drained, what it is told, that nothing is placed there any more, and that it is gone
 * when its raylet says so and not before; also if another head serves by then. */
#include <stdlib.h>
#include <string.h>

#include "unit.h"

#include "head_fake.h"

#define DRAIN MOBULA__ENVELOPE__BODY_DRAIN
#define NODE_DOWN MOBULA__ENVELOPE__BODY_NODE_DOWN
#define PLACE MOBULA__ENVELOPE__BODY_PLACE

static struct fake f;
static struct fake_node a, b;
static uint64_t asker;

static void setup(void)
{
    a = b = (struct fake_node){ 0 };
    fake_init(&f);
    fake_join(&f, &a, "CPU=4");
    fake_join(&f, &b, "CPU=2");
    asker = fake_link(&f);
}

/* The answer, or the error's text. */
static const char *ask(const char *verb, const char *argument)
{
    static char text[2048];
    const Mobula__Envelope *e;

    fake_query(&f, asker, 7, verb, argument);
    e = fake_expect(&f, asker, MOBULA__ENVELOPE__BODY_REPLY);
    if (e->reply->error != NULL)
        snprintf(text, sizeof text, "%s", e->reply->error->text);
    else
        snprintf(text, sizeof text, "%.*s", (int)e->reply->text.len, (const char *)e->reply->text.data);
    return text;
}

static void says(const char *words, const char *verb, const char *argument)
{
    const char *text = ask(verb, argument);

    ck_assert_msg(strstr(text, words) != NULL, "\"%s\" is not in \"%s\"", words, text);
}

static void report(const struct fake_node *n, Mobula__Draining *draining)
{
    static uint64_t version = 100;
    Mobula__Report m = MOBULA__REPORT__INIT;
    struct mob_resources free_now;
    Mobula__Resource room[MOB_RESOURCES_MAX], *list[MOB_RESOURCES_MAX];
    struct mob_envelope e;

    ck_assert_int_eq(mob_resources_parse(n->resources, &free_now, NULL), 0);
    m.version = ++version;
    m.n_free = mob_wire_put_resources(room, list, &free_now);
    m.free = list;
    m.store_size = 1000;
    m.store_used = n->number * 100;
    m.draining = draining;
    mob_envelope_init(&e, (struct mob_address){ n->number, 0 }, (struct mob_address){ 0, 0 }, MOBULA__ENVELOPE__BODY_REPORT);
    e.e.report = &m;
    fake_receive(&f, n->link, &e.e);
    fake_tick(&f);
}

static void say_driver(const struct fake_node *n)
{
    Mobula__JobStarted started = MOBULA__JOB_STARTED__INIT;
    Mobula__Address job;
    struct mob_envelope e;

    mob_wire_put_address(&job, (struct mob_address){ n->number, 5 });
    started.job = &job;
    started.name = (char *)"train";
    mob_envelope_init(&e, (struct mob_address){ n->number, 0 }, (struct mob_address){ 0, 0 }, MOBULA__ENVELOPE__BODY_JOB_STARTED);
    e.e.job_started = &started;
    fake_receive(&f, n->link, &e.e);
}

START_TEST(test_it_leaves_when_it_says_so)
{
    Mobula__Draining left = MOBULA__DRAINING__INIT;
    const Mobula__Envelope *e;

    setup();
    says("\"again\":false", "drain", "{\"node\":\"2\"}");
    e = fake_expect(&f, b.link, DRAIN);
    ck_assert(e->drain->number == 1 && !e->drain->limited && !e->drain->force);
    ck_assert_ptr_null(fake_take(&f, a.link, DRAIN));
    says("\"again\":true", "drain", "{\"node\":\"2\"}");
    fake_demand(&f, &a, &(struct fake_demand){ .process = 1, .count = 8, .resources = "CPU=1" });
    fake_tick(&f);
    ck_assert_ptr_nonnull(fake_take(&f, a.link, PLACE));
    ck_assert_ptr_null(fake_take(&f, b.link, PLACE));
    left.tasks = 3;
    report(&b, &left);
    ck_assert_ptr_null(fake_take(&f, b.link, PLACE));
    says("\"state\":\"draining\",\"reason\":\"\",\"heard\":true,\"takers\":1,\"tasks\":3", "draining", "{\"node\":2}");
    says("\"serving\":1", "status", "");
    ck_assert_ptr_null(fake_take(&f, a.link, NODE_DOWN));
    left.tasks = 0;
    left.over = true;
    report(&b, &left);
    e = fake_take(&f, b.link, NODE_DOWN);
    ck_assert(e != NULL && e->node_down->node == 2 && e->node_down->left);
    e = fake_take(&f, a.link, NODE_DOWN);
    ck_assert(e != NULL && e->node_down->left);
    ck_assert_str_eq(e->node_down->reason, "drained");
    says("\"state\":\"drained\"", "nodes", "");
    says("has left already", "drain", "{\"node\":\"2\"}");
    fake_fini(&f);
}
END_TEST

/* Of one that nobody drains it means nothing. */
START_TEST(test_over_alone_is_no_end)
{
    Mobula__Draining left = MOBULA__DRAINING__INIT;

    setup();
    left.over = true;
    report(&b, &left);
    ck_assert_ptr_null(fake_take(&f, a.link, NODE_DOWN));
    fake_fini(&f);
}
END_TEST

START_TEST(test_another_head_goes_on_with_it)
{
    Mobula__Draining left = MOBULA__DRAINING__INIT;
    const Mobula__Envelope *e;

    setup();
    says("\"node\":2", "drain", "{\"node\":\"2\",\"deadline_ms\":5000}");
    fake_restart(&f);
    asker = fake_link(&f);
    fake_register(&f, &a, fake_link(&f));
    fake_register(&f, &b, fake_link(&f));
    e = fake_take(&f, b.link, DRAIN);
    ck_assert(e != NULL && e->drain->number == 1 && e->drain->limited && e->drain->deadline_ms == 5000);
    says("\"state\":\"draining\"", "draining", "{\"node\":2}");
    left.over = left.late = true;
    report(&b, &left);
    e = fake_take(&f, a.link, NODE_DOWN);
    ck_assert(e != NULL && e->node_down->left && strstr(e->node_down->reason, "time") != NULL);
    fake_restart(&f);
    fake_register(&f, &b, fake_link(&f));               /* it did not hear it */
    e = fake_take(&f, b.link, NODE_DOWN);
    ck_assert(e != NULL && e->node_down->left);
    fake_fini(&f);
}
END_TEST

/* The state is older than the word: the node says what it was told, and that stands. */
START_TEST(test_a_word_that_the_state_has_lost)
{
    Mobula__Draining left = MOBULA__DRAINING__INIT;
    const Mobula__Envelope *e;

    setup();
    left.number = 2;
    left.force = true;
    left.tasks = 1;
    report(&b, &left);
    says("\"state\":\"draining\"", "draining", "{\"node\":2}");
    fake_demand(&f, &a, &(struct fake_demand){ .process = 1, .count = 8, .resources = "CPU=1" });
    fake_tick(&f);
    ck_assert_ptr_null(fake_take(&f, b.link, PLACE));
    fake_restart(&f);
    asker = fake_link(&f);
    fake_register(&f, &b, fake_link(&f));
    e = fake_take(&f, b.link, DRAIN);
    ck_assert(e != NULL && e->drain->number == 2 && e->drain->force && !e->drain->limited);
    says("\"again\":true", "drain", "{\"node\":\"2\",\"deadline_ms\":5000}");
    e = fake_take(&f, b.link, DRAIN);
    ck_assert(e != NULL && e->drain->number == 3 && e->drain->limited);
    left.over = true;
    report(&b, &left);
    e = fake_take(&f, b.link, NODE_DOWN);
    ck_assert(e != NULL && e->node_down->left);
    fake_fini(&f);
}
END_TEST

/* A later word changes the deadline, or forces it, which begins no deadline anew; what cannot be kept is refused, and changes nothing. */
START_TEST(test_words)
{
    const Mobula__Envelope *e;

    setup();
    f.full = true;
    says("disk", "drain", "{\"node\":\"2\"}");
    f.full = false;
    says("\"state\":\"alive\"", "draining", "{\"node\":2}");
    ck_assert_ptr_null(fake_take(&f, b.link, DRAIN));
    ask("drain", "{\"node\":\"2\"}");
    ask("drain", "{\"node\":\"2\",\"deadline_ms\":9}");
    e = fake_take(&f, b.link, DRAIN);
    ck_assert(e != NULL && e->drain->number == 1);
    e = fake_take(&f, b.link, DRAIN);
    ck_assert(e != NULL && e->drain->number == 2 && e->drain->limited && e->drain->deadline_ms == 9);
    ask("drain", "{\"node\":\"2\",\"force\":true}");
    e = fake_take(&f, b.link, DRAIN);
    ck_assert(e != NULL && e->drain->number == 2 && e->drain->force && e->drain->deadline_ms == 9);
    ask("drain", "{\"node\":\"2\"}");
    e = fake_take(&f, b.link, DRAIN);
    ck_assert(e != NULL && e->drain->number == 2 && e->drain->force);
    fake_fini(&f);
}
END_TEST

START_TEST(test_who_may_not_leave)
{
    struct fake_node own = { .driver_only = true };

    setup();
    fake_join(&f, &own, "CPU=1");
    says("there is no node \"9\"", "drain", "{\"node\":\"9\"}");
    says("there is no node \"\"", "drain", "{\"node\":\"\"}");
    says("drain needs", "drain", "{\"node\":2}");
    says("drain needs", "drain", "{\"node\":\"2\",\"deadline_ms\":-1}");
    says("drain needs", "drain", "nonsense");
    says("draining needs", "draining", "{}");
    says("a driver started it for itself", "drain", "{\"node\":\"3\"}");
    say_driver(&b);
    says("the driver of job 2.5 (train, pid 0) runs on node 2", "drain", "{\"node\":\"2\"}");
    says("\"again\":false", "drain", "{\"node\":\"2\",\"force\":true}");
    fake_fini(&f);
}
END_TEST

START_TEST(test_the_last_one_needs_a_will)
{
    setup();
    says("\"node\":1", "drain", "{\"node\":\"1\"}");
    says("no other node serves", "drain", "{\"node\":\"2\"}");
    says("\"node\":2", "drain", "{\"node\":\"2\",\"force\":true}");
    ck_assert(fake_take(&f, b.link, DRAIN)->drain->force);
    fake_fini(&f);
}
END_TEST

/* It is told where there is room, that with most first, as long as it has objects. */
START_TEST(test_takers)
{
    Mobula__Draining left = MOBULA__DRAINING__INIT;
    struct fake_node c = { 0 };
    const Mobula__Envelope *e;

    setup();
    fake_join(&f, &c, "CPU=1");
    report(&a, NULL);
    report(&b, NULL);
    report(&c, NULL);
    ask("drain", "{\"node\":\"2\"}");
    ck_assert_ptr_nonnull(fake_take(&f, b.link, DRAIN));
    left.objects = 1;
    report(&b, &left);
    e = fake_take(&f, b.link, DRAIN);
    ck_assert(e != NULL && e->drain->number == 1 && e->drain->n_takers == 2);
    ck_assert(e->drain->takers[0]->node == 1 && e->drain->takers[0]->room == 900);
    ck_assert(e->drain->takers[1]->node == 3 && e->drain->takers[1]->room == 700);
    left.objects = 0;
    report(&b, &left);
    ck_assert_ptr_null(fake_take(&f, b.link, DRAIN));
    fake_fini(&f);
}
END_TEST

/* Who asked for this node alone is told that it is draining, and that it is gone when it is; other asks do not find it. */
START_TEST(test_what_waits_for_it_is_told)
{
    Mobula__Draining left = MOBULA__DRAINING__INIT;
    const Mobula__Envelope *e;

    setup();
    ask("drain", "{\"node\":\"2\"}");
    fake_demand(&f, &a, &(struct fake_demand){ .process = 1, .count = 1, .resources = "CPU=1", .strategy = MOB_NODE, .node = 2 });
    fake_tick(&f);
    e = fake_take(&f, a.link, MOBULA__ENVELOPE__BODY_UNPLACEABLE);
    ck_assert(e != NULL && !e->unplaceable->final);
    ck_assert_ptr_nonnull(strstr(e->unplaceable->text, "is draining"));
    left.over = true;
    report(&b, &left);
    e = fake_take(&f, a.link, MOBULA__ENVELOPE__BODY_UNPLACEABLE);
    ck_assert(e != NULL && e->unplaceable->final);
    ck_assert_ptr_nonnull(strstr(e->unplaceable->text, "drained"));
    fake_fini(&f);
}
END_TEST

/* It is cut off, and comes back; it dies before it has left. */
START_TEST(test_cut_and_dead)
{
    const Mobula__Envelope *e;

    setup();
    ask("drain", "{\"node\":\"2\"}");
    fake_register(&f, &b, fake_link(&f));
    e = fake_take(&f, b.link, DRAIN);
    ck_assert(e != NULL && e->drain->number == 1);
    mob_head_link_lost(f.head, b.link, true);
    fake_tick(&f);
    e = fake_take(&f, a.link, NODE_DOWN);
    ck_assert(e != NULL && !e->node_down->left);
    says("is dead", "drain", "{\"node\":\"2\"}");
    fake_fini(&f);
}
END_TEST

/* A node that was cut off meanwhile missed what was placed there for an owner on the one that has left: nobody waits for that any more. */
START_TEST(test_places_for_one_that_has_left)
{
    Mobula__Draining left = MOBULA__DRAINING__INIT;

    setup();
    fake_demand(&f, &b, &(struct fake_demand){ .process = 1, .count = 1, .resources = "CPU=3" });
    fake_tick(&f);
    ck_assert_ptr_nonnull(fake_take(&f, a.link, PLACE));
    mob_head_link_lost(f.head, a.link, false);
    ask("drain", "{\"node\":\"2\",\"deadline_ms\":0}");
    left.over = left.late = true;
    report(&b, &left);
    fake_register(&f, &a, fake_link(&f));
    fake_tick(&f);
    ck_assert_ptr_null(fake_take(&f, a.link, PLACE));
    fake_fini(&f);
}
END_TEST

/* Answers are JSON, and say the address of a node. */
START_TEST(test_an_address_that_is_no_text)
{
    struct fake_node c = { .ip = "\xff\xfe", .resources = "CPU=1", .incarnation = { 7 } };

    setup();
    fake_register(&f, &c, fake_link(&f));
    if (c.number != 0)
        ask("drain", "{\"node\":\"3\"}");
    ck_assert_uint_eq(c.number, 0);
    fake_fini(&f);
}
END_TEST

UNIT_MAIN("head_drain", test_it_leaves_when_it_says_so, test_over_alone_is_no_end, test_another_head_goes_on_with_it, test_a_word_that_the_state_has_lost, test_words,
          test_who_may_not_leave, test_the_last_one_needs_a_will, test_takers, test_what_waits_for_it_is_told, test_cut_and_dead,
          test_places_for_one_that_has_left, test_an_address_that_is_no_text)
