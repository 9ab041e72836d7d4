/* SPDX-License-Identifier: Apache-2.0 */
/* test_demand.c -- demands as levels: repeats, disorder, order of service, what is unplaceable. */
#include "unit.h"

#include "head_fake.h"

static struct fake f;
static struct fake_node a, b;

/* a is a driver's own node, b serves 4 CPUs. */
static void setup(const char *resources)
{
    fake_init(&f);
    a = (struct fake_node){ .driver_only = true };
    b = (struct fake_node){ 0 };
    fake_join(&f, &a, "CPU=8");
    if (resources != NULL)
        fake_join(&f, &b, resources);
}

static void state(const struct fake_demand *d)
{
    fake_demand(&f, &a, d);
    fake_tick(&f);
}

/* Leases in the Places on b's link, and in Placed on a's, not counted yet. */
static uint32_t places_at(const struct fake_node *n, uint64_t *ret_seq)
{
    const Mobula__Envelope *e;
    uint32_t count = 0;

    while ((e = fake_take(&f, n->link, MOBULA__ENVELOPE__BODY_PLACE)) != NULL) {
        count += e->place->count;
        *ret_seq = e->place->seq;
    }
    return count;
}

static uint32_t placed(void)
{
    const Mobula__Envelope *e;
    uint32_t count = 0;

    while ((e = fake_take(&f, a.link, MOBULA__ENVELOPE__BODY_PLACED)) != NULL)
        count += e->placed->count;
    return count;
}

START_TEST(test_level_is_placed_once)
{
    uint64_t seq = 0;

    setup("CPU=4");
    state(&(struct fake_demand){ .process = 1, .count = 6, .resources = "CPU=1" });
    ck_assert_uint_eq(placed(), 4);
    ck_assert_uint_eq(places_at(&b, &seq), 4);
    /* Repeats, as said before the Placed were seen: nothing new fits, and when it does, two are left. */
    state(&(struct fake_demand){ .process = 1, .count = 6, .resources = "CPU=1" });
    state(&(struct fake_demand){ .process = 1, .count = 6, .resources = "CPU=1" });
    ck_assert_uint_eq(placed(), 0);
    fake_report(&f, &b, 2, "CPU=4", seq);
    ck_assert_uint_eq(placed(), 2);
    ck_assert_uint_eq(places_at(&b, &seq), 2);
    /* All seen: the level is what is wanted besides. */
    state(&(struct fake_demand){ .process = 1, .count = 0, .placed_seen = 6, .resources = "CPU=1" });
    fake_report(&f, &b, 3, "CPU=4", seq);
    ck_assert_uint_eq(placed(), 0);
    fake_fini(&f);
}
END_TEST

START_TEST(test_crossing_levels)
{
    uint64_t seq = 0;

    setup("CPU=4");
    state(&(struct fake_demand){ .process = 1, .count = 3, .resources = "CPU=1" });
    ck_assert_uint_eq(placed(), 3);
    /* Says 4 before it saw any of the 3: one more. */
    state(&(struct fake_demand){ .process = 1, .count = 4, .resources = "CPU=1" });
    ck_assert_uint_eq(placed(), 1);
    ck_assert_uint_eq(places_at(&b, &seq), 4);
    /* Ended and begun again while Placed are on their way: the head's counter starts with the raylet's. */
    state(&(struct fake_demand){ .process = 1, .count = 0, .placed_seen = 3, .resources = "CPU=1" });
    fake_report(&f, &b, 2, "CPU=4", seq);
    state(&(struct fake_demand){ .process = 1, .count = 2, .placed_seen = 3, .resources = "CPU=1" });
    ck_assert_uint_eq(placed(), 2);
    state(&(struct fake_demand){ .process = 1, .count = 1, .placed_seen = 6, .resources = "CPU=1" });
    ck_assert_uint_eq(placed(), 1);
    fake_fini(&f);
}
END_TEST

/* The counts of all Placed since the last call that name the node. */
static void placed_at(uint32_t at[8])
{
    const Mobula__Envelope *e;

    memset(at, 0, 8 * sizeof *at);
    while ((e = fake_take(&f, a.link, MOBULA__ENVELOPE__BODY_PLACED)) != NULL) {
        ck_assert_uint_lt(e->placed->node, 8);
        at[e->placed->node] += e->placed->count;
    }
}

/* Calls one after the other: between them nothing is wanted. */
START_TEST(test_spread_goes_on_where_it_was)
{
    struct fake_node others[2] = { { 0 }, { 0 } };
    uint32_t at[8];

    setup("CPU=4");
    fake_join(&f, &others[0], "CPU=4");
    fake_join(&f, &others[1], "CPU=4");
    for (uint64_t i = 0; i < 6; i++) {
        const struct fake_node *next = i % 3 == 0 ? &b : &others[i % 3 - 1];

        state(&(struct fake_demand){ .process = 1, .count = 1, .placed_seen = i, .resources = "CPU=1", .strategy = MOB_SPREAD });
        placed_at(at);
        ck_assert_uint_eq(at[next->number], 1);
        state(&(struct fake_demand){ .process = 1, .count = 0, .placed_seen = i + 1, .resources = "CPU=1", .strategy = MOB_SPREAD });
    }
    fake_fini(&f);
}
END_TEST

/* What is near a node goes there, though it is used more; what does not fit there goes on at once; what fits nowhere waits for
 * both. */
START_TEST(test_near_first)
{
    struct fake_node c = { 0 };
    uint64_t at_b = 0, at_c = 0;
    uint32_t at[8];

    setup("CPU=4");
    fake_join(&f, &c, "CPU=4");
    fake_report(&f, &c, 2, "CPU=2", 0);
    state(&(struct fake_demand){ .process = 1, .count = 2, .resources = "CPU=1", .near = { { c.number, 1 }, { 99, 7 } } });
    placed_at(at);
    ck_assert(at[c.number] == 1 && at[b.number] == 1);
    state(&(struct fake_demand){ .process = 1, .count = 6, .placed_seen = 2, .resources = "CPU=1", .near = { { c.number, 3 } } });
    placed_at(at);
    ck_assert(at[c.number] == 1 && at[b.number] == 3);
    places_at(&b, &at_b);
    places_at(&c, &at_c);
    fake_report(&f, &b, 2, "CPU=1", at_b);
    placed_at(at);
    ck_assert(at[b.number] == 1 && at[c.number] == 0);
    fake_report(&f, &c, 3, "CPU=1", at_c);
    placed_at(at);
    ck_assert(at[c.number] == 1 && at[b.number] == 0);
    state(&(struct fake_demand){ .process = 2, .count = 3, .resources = "CPU=1", .near = { { c.number, 1 } } });
    fake_tick(&f);
    places_at(&b, &at_b);
    fake_report(&f, &b, 3, "CPU=4", at_b);
    placed_at(at);
    ck_assert_uint_eq(at[b.number], 3);         /* nothing waits for c while b has room */
    fake_fini(&f);
}
END_TEST

/* Reports that do not know of a Place yet do not free what it took. */
START_TEST(test_unseen_places_count)
{
    uint64_t seq = 0;

    setup("CPU=4");
    state(&(struct fake_demand){ .process = 1, .count = 8, .resources = "CPU=1" });
    ck_assert_uint_eq(places_at(&b, &seq), 4);
    fake_report(&f, &b, 2, "CPU=4", 0);
    fake_report(&f, &b, 3, "CPU=4", seq - 1);
    ck_assert_uint_eq(places_at(&b, &seq), 0);
    fake_report(&f, &b, 4, "CPU=1", seq);
    ck_assert_uint_eq(places_at(&b, &seq), 1);
    fake_fini(&f);
}
END_TEST

START_TEST(test_places_are_sent_again_over_a_new_link)
{
    uint64_t seq = 0;

    setup("CPU=4");
    state(&(struct fake_demand){ .process = 1, .count = 1, .resources = "CPU=1" });
    fake_report(&f, &b, 2, "CPU=4", 1);
    state(&(struct fake_demand){ .process = 1, .count = 2, .resources = "CPU=1" });
    ck_assert_uint_eq(places_at(&b, &seq), 2);
    mob_head_link_lost(f.head, b.link, false);
    fake_tick(&f);
    fake_register(&f, &b, fake_link(&f));
    fake_tick(&f);
    ck_assert_uint_eq(places_at(&b, &seq), 1);
    ck_assert_uint_eq(seq, 2);
    fake_fini(&f);
}
END_TEST

/* Found by the simulator: such a Place was neither sent nor forgotten, and its resources were gone for ever. */
START_TEST(test_places_of_a_dead_owner_are_forgotten)
{
    struct fake_node c = { .driver_only = true };
    uint64_t seq = 0;

    setup("CPU=4");
    fake_join(&f, &c, "CPU=1");
    state(&(struct fake_demand){ .process = 1, .count = 4, .resources = "CPU=1" });
    ck_assert_uint_eq(places_at(&b, &seq), 4);
    mob_head_link_lost(f.head, b.link, false);
    mob_head_link_lost(f.head, a.link, true);
    fake_register(&f, &b, fake_link(&f));
    fake_tick(&f);
    ck_assert_uint_eq(places_at(&b, &seq), 0);
    fake_demand(&f, &c, &(struct fake_demand){ .process = 1, .count = 4, .resources = "CPU=1" });
    fake_tick(&f);
    ck_assert_uint_eq(places_at(&b, &seq), 4);
    fake_fini(&f);
}
END_TEST

START_TEST(test_deeper_then_older_first)
{
    static const uint32_t expected[] = { 3, 2, 4, 1 };
    const Mobula__Envelope *e;

    setup("CPU=4");
    fake_report(&f, &b, 2, "CPU=0.1", 0);
    fake_demand(&f, &a, &(struct fake_demand){ .process = 1, .count = 1, .resources = "CPU=1", .age_ms = 5 });
    fake_demand(&f, &a, &(struct fake_demand){ .process = 2, .count = 1, .resources = "CPU=2", .age_ms = 500 });
    fake_demand(&f, &a, &(struct fake_demand){ .process = 3, .count = 1, .resources = "CPU=1", .depth = 1 });
    fake_demand(&f, &a, &(struct fake_demand){ .process = 4, .count = 1, .resources = "CPU=1", .age_ms = 50 });
    fake_tick(&f);
    fake_report(&f, &b, 3, "CPU=4", 0);
    for (size_t i = 0; i < 3; i++) {
        ck_assert_ptr_nonnull(e = fake_take(&f, b.link, MOBULA__ENVELOPE__BODY_PLACE));
        ck_assert_uint_eq(e->place->owner->process, expected[i]);
    }
    ck_assert_ptr_null(fake_take(&f, b.link, MOBULA__ENVELOPE__BODY_PLACE));
    fake_fini(&f);
}
END_TEST

START_TEST(test_unplaceable_is_told_once_and_again_when_nodes_change)
{
    const Mobula__Envelope *e;
    struct fake_node c = { 0 };
    uint64_t seq = 0;

    setup("CPU=4");
    state(&(struct fake_demand){ .process = 1, .shape = 3, .count = 1, .resources = "CPU=16" });
    e = fake_expect(&f, a.link, MOBULA__ENVELOPE__BODY_UNPLACEABLE);
    ck_assert_uint_eq(e->unplaceable->shape, 3);
    ck_assert(!e->unplaceable->final);
    ck_assert_uint_eq(e->to->process, 1);
    ck_assert_ptr_nonnull(strstr(e->unplaceable->text, "CPU                  16         4          4"));
    for (int i = 0; i < 3; i++) {
        fake_report(&f, &b, (uint64_t)i + 2, "CPU=3", 0);
        state(&(struct fake_demand){ .process = 1, .shape = 3, .count = 1, .resources = "CPU=16" });
    }
    ck_assert_ptr_null(fake_take(&f, a.link, MOBULA__ENVELOPE__BODY_UNPLACEABLE));
    fake_join(&f, &c, "CPU=8");
    for (int i = 0; i < 11; i++) {
        fake_pass(&f, 100);
        fake_report(&f, &a, 1, "CPU=8", 0);
        fake_report(&f, &b, 9, "CPU=3", 0);
    }
    ck_assert_ptr_nonnull(fake_take(&f, a.link, MOBULA__ENVELOPE__BODY_UNPLACEABLE));
    ck_assert_ptr_null(fake_take(&f, a.link, MOBULA__ENVELOPE__BODY_UNPLACEABLE));
    c = (struct fake_node){ 0 };
    fake_join(&f, &c, "CPU=16");
    ck_assert_uint_eq(places_at(&c, &seq), 1);
    fake_fini(&f);
}
END_TEST

START_TEST(test_affinity_to_a_gone_node_is_final)
{
    const Mobula__Envelope *e;

    setup("CPU=4");
    state(&(struct fake_demand){ .process = 1, .count = 6, .resources = "CPU=1", .strategy = MOB_NODE, .node = b.number });
    ck_assert_uint_eq(placed(), 4);
    mob_head_link_lost(f.head, b.link, true);
    fake_tick(&f);
    e = fake_expect(&f, a.link, MOBULA__ENVELOPE__BODY_UNPLACEABLE);
    ck_assert(e->unplaceable->final);
    state(&(struct fake_demand){ .process = 1, .shape = 1, .count = 6, .resources = "CPU=1", .strategy = MOB_NODE, .node = 99 });
    e = fake_expect(&f, a.link, MOBULA__ENVELOPE__BODY_UNPLACEABLE);
    ck_assert(e->unplaceable->final);
    ck_assert_uint_eq(e->unplaceable->shape, 1);
    fake_fini(&f);
}
END_TEST

static void say_unfit(const struct fake_node *n, const char *why)
{
    static uint8_t none[MOB_HASH_SIZE]; /* what fake_demand() asks with */
    Mobula__Unfit m = MOBULA__UNFIT__INIT;
    struct mob_envelope env;

    m.executable = (ProtobufCBinaryData){ sizeof none, none };
    m.why = (char *)why;
    mob_envelope_init(&env, (struct mob_address){ n->number, 0 }, (struct mob_address){ 0, 0 }, MOBULA__ENVELOPE__BODY_UNFIT);
    env.e.unfit = &m;
    fake_receive(&f, n->link, &env.e);
    fake_tick(&f);
}

/* It goes elsewhere while there is an elsewhere; then the tasks fail with what each node said. */
START_TEST(test_node_that_cannot_run_the_program)
{
    const Mobula__Envelope *e;
    struct fake_node c = { 0 };
    uint64_t seq = 0;

    setup("CPU=4");
    fake_join(&f, &c, "CPU=2");
    say_unfit(&b, "node b is a toaster");
    state(&(struct fake_demand){ .process = 1, .count = 3, .resources = "CPU=1" });
    ck_assert_uint_eq(places_at(&b, &seq), 0);
    ck_assert_uint_eq(places_at(&c, &seq), 2);
    state(&(struct fake_demand){ .process = 1, .shape = 7, .count = 1, .resources = "CPU=1", .strategy = MOB_NODE, .node = b.number });
    e = fake_expect(&f, a.link, MOBULA__ENVELOPE__BODY_UNPLACEABLE);
    ck_assert(e->unplaceable->final && e->unplaceable->shape == 7);
    ck_assert_str_eq(e->unplaceable->text, "node b is a toaster");
    state(&(struct fake_demand){ .process = 1, .shape = 8, .count = 1, .resources = "GPU=1" });
    e = fake_take(&f, a.link, MOBULA__ENVELOPE__BODY_UNPLACEABLE);
    ck_assert(e != NULL && !e->unplaceable->final);     /* a node with a GPU may come, and run it */
    say_unfit(&c, "node c is another");
    say_unfit(&c, "node c is another");
    e = fake_take(&f, a.link, MOBULA__ENVELOPE__BODY_UNPLACEABLE);
    ck_assert(e != NULL && e->unplaceable->final && e->unplaceable->shape == 0);
    ck_assert_str_eq(e->unplaceable->text, "node b is a toaster; node c is another");
    state(&(struct fake_demand){ .process = 1, .count = 1, .placed_seen = 2, .resources = "CPU=1" });
    ck_assert_ptr_nonnull(fake_take(&f, a.link, MOBULA__ENVELOPE__BODY_UNPLACEABLE));   /* whoever asks again is told again */
    fake_fini(&f);
}
END_TEST

/* The node forgets the oldest of too many such programs: that one may be placed there again. */
START_TEST(test_unfit_programs_are_bounded)
{
    uint64_t seq = 0;

    setup("CPU=4");
    say_unfit(&b, "node b is a toaster");
    state(&(struct fake_demand){ .process = 1, .count = 1, .resources = "CPU=1" });
    ck_assert_uint_eq(places_at(&b, &seq), 0);
    for (int i = 1; i <= 256; i++) {
        struct mob_hash other = { { (uint8_t)i, (uint8_t)(i >> 8) } };
        Mobula__Unfit m = MOBULA__UNFIT__INIT;
        struct mob_envelope env;

        m.executable = (ProtobufCBinaryData){ sizeof other, other.bytes };
        mob_envelope_init(&env, (struct mob_address){ b.number, 0 }, (struct mob_address){ 0, 0 }, MOBULA__ENVELOPE__BODY_UNFIT);
        env.e.unfit = &m;
        fake_receive(&f, b.link, &env.e);
    }
    state(&(struct fake_demand){ .process = 1, .count = 1, .resources = "CPU=1" });
    ck_assert_uint_eq(places_at(&b, &seq), 1);
    fake_fini(&f);
}
END_TEST

/* The leases of a node that died are asked for again by the owner's raylet; the head keeps what was not placed. */
START_TEST(test_owner_node_gone_ends_its_demands)
{
    struct fake_node c = { 0 };
    uint64_t seq = 0;

    setup("CPU=4");
    state(&(struct fake_demand){ .process = 1, .count = 6, .resources = "CPU=1" });
    ck_assert_uint_eq(places_at(&b, &seq), 4);
    mob_head_link_lost(f.head, a.link, true);
    fake_tick(&f);
    fake_join(&f, &c, "CPU=4");
    ck_assert_uint_eq(places_at(&c, &seq), 0);
    fake_fini(&f);
}
END_TEST

/* Found by the simulator: a node that had not heard of the end of a job asked for its workers, and one that joined since got some, for
 * ever. */
START_TEST(test_a_job_that_is_over_wants_nothing)
{
    struct fake_node c = { 0 };
    uint64_t seq = 0;

    setup("CPU=4");
    fake_join(&f, &c, "CPU=4");
    mob_head_link_lost(f.head, a.link, true);
    fake_tick(&f);
    fake_demand(&f, &b, &(struct fake_demand){ .process = 7, .count = 1, .resources = "CPU=1", .job_node = a.number });
    fake_tick(&f);
    ck_assert_uint_eq(places_at(&b, &seq) + places_at(&c, &seq), 0);
    fake_fini(&f);
}
END_TEST

/* 2,000 owners with different shapes and random moves: mob_head_check() after each says that nothing is lent twice, that sums agree,
 * and that nothing waits which fits. */
START_TEST(test_random_moves)
{
    struct fake_node nodes[8] = { 0 };
    uint64_t state_of = 11, seen[8] = { 0 }, version = 1;

    setup(NULL);
    for (int i = 0; i < 8; i++)
        fake_join(&f, &nodes[i], i % 2 ? "CPU=4,GPU=1" : "CPU=8,licence=2");
    for (int i = 0; i < 3000; i++) {
        static const char *const shapes[] = { "CPU=1", "CPU=0.5,GPU=0.5", "licence=1", "CPU=3", "CPU=20", "" };
        uint64_t r = unit_random(&state_of);
        size_t n = r % 8;
        static const char *const reports[] = { "CPU=4", "CPU=1", "CPU=4,GPU=1", "CPU=2,licence=1" };

        places_at(&nodes[n], &seen[n]);
        if (r >> 8 & 1)
            fake_report(&f, &nodes[n], ++version, reports[r >> 16 & 3], seen[n]);
        else
            state(&(struct fake_demand){ .process = 1 + (r >> 20 & 63), .shape = (uint32_t)(r >> 30) % 6,
                                         .resources = shapes[(r >> 30) % 6], .count = (uint32_t)(r >> 40) % 5,
                                         .strategy = (r >> 30) % 6 == 0 ? MOB_SPREAD : MOB_HYBRID, .depth = (uint32_t)(r >> 50) % 3 });
        if (i % 50 == 0)
            f.now_ns += 10 * FAKE_MS;
    }
    fake_fini(&f);
}
END_TEST

UNIT_MAIN("demand", test_level_is_placed_once, test_crossing_levels, test_spread_goes_on_where_it_was, test_near_first, test_unseen_places_count,
          test_places_are_sent_again_over_a_new_link, test_places_of_a_dead_owner_are_forgotten, test_deeper_then_older_first,
          test_unplaceable_is_told_once_and_again_when_nodes_change, test_affinity_to_a_gone_node_is_final,
          test_node_that_cannot_run_the_program, test_unfit_programs_are_bounded, test_owner_node_gone_ends_its_demands,
          test_a_job_that_is_over_wants_nothing, test_random_moves)
