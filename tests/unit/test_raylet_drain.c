/* SPDX-License-Identifier: Apache-2.0 */
/* test_raylet_drain.c -- this node is to leave: nothing is lent any more, what is lent comes back after its task, and when nothing keeps
 * it, it says so and ends with the head's word. */
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
    fake_say(&f, f.head, fake_at(0, 0), fake_at(FAKE_NODE, 0), DRAIN, &m);
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
    Mobula__NodeDown down = MOBULA__NODE_DOWN__INIT;
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
    down.node = FAKE_NODE;
    down.left = true;
    down.reason = (char *)"drained";
    ck_assert_int_eq(f.process[g.worker].killed, 0);
    f.over.code = MOB_ERR_INVALID;
    fake_say(&f, f.head, fake_at(0, 0), fake_at(FAKE_NODE, 0), MOBULA__ENVELOPE__BODY_NODE_DOWN, &down);
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
    ck_assert(now.over && now.late && now.tasks == 1);
    fake_fini(&f);
}
END_TEST

UNIT_MAIN("raylet_drain", test_what_is_lent_comes_back_and_it_leaves, test_nothing_is_lent_any_more, test_a_driver_is_waited_for,
          test_an_owner_is_waited_for, test_the_deadline)
