/* SPDX-License-Identifier: Apache-2.0 */
/* test_claim.c -- the head's part for those who wait long: who claims which node, when, and for how long. */
#include "unit.h"

#include "head_fake.h"

static struct fake f;
static struct fake_node a, b, c;
static uint64_t version;

/* a is a driver's own node; b and c serve 4 CPUs each, of which so many are free. */
static void setup(const char *b_free, const char *c_free)
{
    fake_init(&f);
    version = 1;
    a = (struct fake_node){ .driver_only = true };
    b = c = (struct fake_node){ 0 };
    fake_join(&f, &a, "CPU=8");
    fake_join(&f, &b, "CPU=4,gold=1");
    fake_join(&f, &c, "CPU=4");
    fake_report(&f, &b, ++version, b_free, 0);
    fake_report(&f, &c, ++version, c_free, 0);
}

static void pass(int64_t ms)
{
    for (; ms > 0; ms -= 10) {
        f.now_ns += 10 * FAKE_MS;
        fake_tick(&f);
    }
}

/* The newest Claim to a node: its count and process; -1: none since. */
static int claimed(const struct fake_node *n, uint32_t *ret_process, uint64_t *ret_number)
{
    const Mobula__Envelope *e;
    int count = -1;

    while ((e = fake_take(&f, n->link, MOBULA__ENVELOPE__BODY_CLAIM)) != NULL) {
        count = (int)e->claim->count;
        *ret_process = e->claim->owner->process;
        *ret_number = e->claim->number;
    }
    return count;
}

/* One demand of node a, or of b where it is at home; what b and c hear after so long. */
static const struct {
    const char *name;
    struct fake_demand demand;
    bool at_b;
    const char *b_free, *c_free;
    int64_t ms;
    int b_hears, c_hears;
} waits[] = {
    { "young", { .count = 9, .resources = "CPU=1" }, false, "CPU=0.1", "CPU=0.1", 40, -1, -1 },
    { "waits: one at a time", { .count = 9, .resources = "CPU=1" }, false, "CPU=0.1", "CPU=0.1", 80, 1, -1 },
    { "where it lacks least", { .count = 9, .resources = "CPU=3" }, false, "CPU=1", "CPU=2", 80, -1, 1 },
    { "where it can be served", { .count = 9, .resources = "CPU=1,gold=1" }, false, "CPU=0.1", "CPU=0.9", 80, 1, -1 },
    { "one node: all its CPUs", { .count = 9, .resources = "CPU=1", .strategy = MOB_NODE, .node = 3 }, false, "CPU=0.1", "CPU=0.1", 80, -1, 4 },
    { "one node: as many as are wanted", { .count = 2, .resources = "CPU=1", .strategy = MOB_NODE, .node = 3 }, false, "CPU=0.1", "CPU=0.1", 80, -1, 2 },
    { "spread", { .count = 2, .resources = "CPU=1", .strategy = MOB_SPREAD }, true, "CPU=0.1", "CPU=0.1", 80, 1, -1 },
    { "at home", { .count = 9, .resources = "CPU=1" }, true, "CPU=0.1", "CPU=0.1", 1900, -1, -1 },
    { "at home, for long: elsewhere", { .count = 9, .resources = "CPU=1" }, true, "CPU=0.1", "CPU=0.1", 2100, -1, 1 },
    { "never", { .count = 9, .resources = "CPU=5" }, false, "CPU=0.1", "CPU=0.1", 2100, -1, -1 },
};

START_TEST(test_waits)
{
    struct fake_demand d;
    uint32_t process;
    uint64_t number;

    for (size_t i = 0; i < MOB_COUNT(waits); i++) {
        setup(waits[i].b_free, waits[i].c_free);
        d = waits[i].demand;
        d.process = 1;
        fake_demand(&f, waits[i].at_b ? &b : &a, &d);
        pass(waits[i].ms);
        ck_assert_msg(claimed(&b, &process, &number) == waits[i].b_hears, "%s: b", waits[i].name);
        ck_assert_msg(claimed(&c, &process, &number) == waits[i].c_hears, "%s: c", waits[i].name);
        fake_fini(&f);
    }
}
END_TEST

/* b is idle, and its object store full: it is claimed by who can go nowhere else, and the Claim says so; c is full, too: the idlest. */
static const struct {
    const char *name;
    struct fake_demand demand;
    bool at_b, c_full;
    int b_hears, c_hears;               /* 2: one, though it is full */
} full[] = {
    { "elsewhere", { .count = 1, .resources = "CPU=1" }, false, false, -1, 1 },
    { "though it would be at home", { .count = 1, .resources = "CPU=1" }, true, false, -1, 1 },
    { "nobody else could", { .count = 1, .resources = "CPU=1,gold=1" }, false, false, 2, -1 },
    { "nor may", { .count = 1, .resources = "CPU=1" }, false, true, 2, -1 },
};

static int heard(const struct fake_node *n)
{
    const Mobula__Envelope *e = fake_take(&f, n->link, MOBULA__ENVELOPE__BODY_CLAIM);

    ck_assert_ptr_null(fake_take(&f, n->link, MOBULA__ENVELOPE__BODY_PLACE));
    return e == NULL ? -1 : e->claim->full ? 2 : 1;
}

START_TEST(test_full)
{
    struct fake_demand d = full[_i].demand;

    setup("CPU=0.1,gold=1", "CPU=0.1");
    b.store_full = true;
    c.store_full = full[_i].c_full;
    fake_report(&f, &b, ++version, "CPU=4,gold=1", 0);
    fake_report(&f, &c, ++version, "CPU=0.1", 0);
    d.process = 1;
    fake_demand(&f, full[_i].at_b ? &b : &a, &d);
    pass(80);
    ck_assert_msg(heard(&b) == full[_i].b_hears, "%s: b", full[_i].name);
    ck_assert_msg(heard(&c) == full[_i].c_hears, "%s: c", full[_i].name);
    fake_fini(&f);
}
END_TEST

/* Three wait for b. Each has its turn; who never had one comes first. */
START_TEST(test_turns)
{
    static const uint32_t expected[] = { 1, 2, 3, 1, 4, 2 };
    uint32_t process = 0;
    uint64_t number = 0;

    setup("CPU=0.1", "CPU=0.1");
    for (uint32_t i = 1; i <= 3; i++)
        fake_demand(&f, &a, &(struct fake_demand){ .process = i, .count = 1, .resources = "CPU=1,gold=1", .age_ms = 100 - i });
    for (size_t i = 0; i < MOB_COUNT(expected); i++) {
        pass(60);
        ck_assert_int_eq(claimed(&b, &process, &number), 1);
        ck_assert_uint_eq(process, expected[i]);
        fake_report_claim(&f, &b, ++version, "CPU=0.1", number - 1);     /* of the one before */
        pass(200);
        ck_assert_int_eq(claimed(&b, &process, &number), -1);   /* one at a time */
        if (i == 3)
            fake_demand(&f, &a, &(struct fake_demand){ .process = 4, .count = 1, .resources = "CPU=1", .strategy = MOB_NODE,
                                                       .node = 2 });
        f.now_ns += 60 * FAKE_MS;
        fake_report_claim(&f, &b, ++version, "CPU=0.1", number);
        fake_report(&f, &a, 1, "CPU=8", 0);
        fake_report(&f, &c, ++version, "CPU=0.1", 0);
    }
    fake_fini(&f);
}
END_TEST

static void demand_ends(void)
{
    fake_demand(&f, &a, &(struct fake_demand){ .process = 1, .count = 0 });
}

static void is_placed_elsewhere(void)
{
    fake_report(&f, &c, ++version, "CPU=4", 0);
    ck_assert_ptr_nonnull(fake_take(&f, c.link, MOBULA__ENVELOPE__BODY_PLACE));
}

static void owner_is_cut(void)
{
    mob_head_link_lost(f.head, a.link, false);
}

static void owner_dies(void)
{
    mob_head_link_lost(f.head, a.link, true);
}

/* What ends a claim; b is told. */
START_TEST(test_ends)
{
    static void (*const ends[])(void) = { demand_ends, is_placed_elsewhere, owner_is_cut, owner_dies };
    uint32_t process;
    uint64_t number;

    setup("CPU=1", "CPU=0.1");
    fake_demand(&f, &a, &(struct fake_demand){ .process = 1, .count = 1, .resources = "CPU=2" });
    pass(60);
    ck_assert_int_eq(claimed(&b, &process, &number), 1);
    ends[_i]();
    fake_tick(&f);
    ck_assert_int_eq(claimed(&b, &process, &number), 0);
    ck_assert_uint_eq(number, 2);
    fake_fini(&f);
}
END_TEST

/* A node that comes back knows of no claim. */
START_TEST(test_claimed_node_is_cut)
{
    uint32_t process;
    uint64_t number;

    setup("CPU=1", "CPU=0.1");
    fake_demand(&f, &a, &(struct fake_demand){ .process = 1, .count = 1, .resources = "CPU=1,gold=1" });
    fake_report(&f, &b, ++version, "CPU=1", 0);
    pass(60);
    ck_assert_int_eq(claimed(&b, &process, &number), 1);
    mob_head_link_lost(f.head, b.link, false);
    fake_tick(&f);
    fake_register(&f, &b, fake_link(&f));
    pass(60);
    ck_assert_int_eq(claimed(&b, &process, &number), 1);
    ck_assert_uint_eq(number, 2);
    fake_fini(&f);
}
END_TEST

UNIT_CASE("claim", tcase)
{
    UNIT_TESTS(tcase, test_waits, test_turns, test_claimed_node_is_cut);
    tcase_add_loop_test(tcase, test_full, 0, (int)MOB_COUNT(full));
    tcase_add_loop_test(tcase, test_ends, 0, 4);
}
