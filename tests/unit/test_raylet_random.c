/* SPDX-License-Identifier: Apache-2.0 */
/* test_raylet_random.c -- random events by seed: drivers, workers that own tasks themselves, peers and a head that place, withdraw, die and
 * come back. After each step the core checks itself; in the end everyone goes, and nothing may be left. */
#include <signal.h>

#include "raylet_fake.h"

#define STEPS 400
#define GRANTS_MAX 4096

struct held {
    struct fake_grant grant;
    uint32_t owner;                     /* a process here; 0: at `link` */
    uint64_t link;
};

struct chaos {
    struct fake f;
    uint64_t seed;
    uint64_t seen[FAKE_PROCESSES][3];
    uint64_t peer[2];                   /* links of nodes 3 and 4; 0: none */
    struct held held[GRANTS_MAX];
    size_t held_count;
    bool headless;
};

static uint32_t pick(struct chaos *c, uint32_t n)
{
    return (uint32_t)(unit_random(&c->seed) >> 16) % n;
}

static uint32_t pick_process(struct chaos *c, bool driver)
{
    uint32_t top = c->f.spawned + 32 < FAKE_PROCESSES ? c->f.spawned + 32 : FAKE_PROCESSES;

    for (int i = 0; i < 50; i++) {
        uint32_t p = pick(c, top);

        if (c->f.process[p].up && !c->f.process[p].gone && c->f.process[p].killed == 0 && c->f.process[p].driver == driver)
            return p;
    }
    return 0;
}

static void collect(struct chaos *c)
{
    struct held h;

    for (uint32_t p = 1; p < FAKE_PROCESSES; p++) {
        if (!c->f.process[p].up && p > c->f.spawned + 32)
            break;
        while (c->f.process[p].up && fake_grant(&c->f, c->f.process[p].link, &h.grant)) {
            c->seen[p][h.grant.shape]++;
            h.owner = p;
            if (c->held_count < GRANTS_MAX)
                c->held[c->held_count++] = h;
        }
    }
    for (int i = 0; i < 2; i++)
        while (c->peer[i] != 0 && fake_grant(&c->f, c->peer[i], &h.grant)) {
            h.owner = 0;
            h.link = c->peer[i];
            if (c->held_count < GRANTS_MAX)
                c->held[c->held_count++] = h;
        }
    fake_forget_sent(&c->f);
}

static const char *const asks[] = { "CPU=1", "CPU=0.5,GPU=0.5", "CPU=2,licence=1" };

static void want(struct chaos *c)
{
    uint32_t p = pick_process(c, pick(c, 2) == 0), shape = pick(c, 3);

    if (p != 0)
        fake_want(&c->f, p, (struct fake_ask){ .shape = shape, .count = pick(c, 6), .seen = c->seen[p][shape],
            .depth = pick(c, 3), .resources = asks[shape], .strategy = shape == 2 ? MOB_SPREAD : MOB_HYBRID,
            .near = { { 2 + pick(c, 4), pick(c, 4) }, { 2 + pick(c, 3), pick(c, 2) } } });
}

static void give_back(struct chaos *c)
{
    Mobula__Return m = MOBULA__RETURN__INIT;
    struct held h;

    if (c->held_count == 0)
        return;
    uint32_t i = pick(c, (uint32_t)c->held_count);
    h = c->held[i];
    c->held[i] = c->held[--c->held_count];
    m.lease = h.grant.lease;
    if (h.owner == 0)
        fake_say(&c->f, h.link, fake_at(h.link == c->peer[0] ? 3 : 4, 9), fake_at(FAKE_NODE, 0),
                 MOBULA__ENVELOPE__BODY_RETURN_LEASE, &m);
    else if (!c->f.process[h.owner].gone)
        fake_return(&c->f, h.owner, h.grant.lease);
}

static void die(struct chaos *c)
{
    uint32_t p = pick_process(c, pick(c, 4) == 0);

    if (p != 0)
        fake_exit(&c->f, p, pick(c, 2) == 0 ? SIGSEGV : 3 << 8);
}

static void fail_to_start(struct chaos *c)
{
    for (uint32_t p = 1; p < c->f.spawned; p++)
        if (c->f.process[p].spawned && !c->f.process[p].up && !c->f.process[p].gone) {
            fake_exit(&c->f, p, -1);
            return;
        }
}

static void peers(struct chaos *c)
{
    int i = (int)pick(c, 2);

    if (c->peer[i] == 0) {
        c->peer[i] = fake_peer(&c->f, 3 + (uint32_t)i);
        return;
    }
    if (pick(c, 4) == 0) {
        fake_lose(&c->f, c->peer[i]);
        c->peer[i] = 0;
    }
}

static void place(struct chaos *c)
{
    uint32_t shape = pick(c, 3), p;

    if (c->headless)
        return;
    if (pick(c, 2) == 0 && c->peer[0] != 0)
        fake_place(&c->f, fake_at(3, 9), (struct fake_ask){ .shape = shape, .count = pick(c, 5), .resources = asks[shape] });
    else if ((p = pick_process(c, true)) != 0)
        fake_placed(&c->f, p, shape, 2 + pick(c, 3), 1 + pick(c, 3));
}

static void claim(struct chaos *c)
{
    uint32_t shape = pick(c, 3), p = pick_process(c, true);
    struct mob_address owner = pick(c, 2) == 0 && p != 0 ? fake_at(FAKE_NODE, p) : fake_at(3, 9);

    if (!c->headless && c->peer[0] != 0)
        fake_claim(&c->f, owner, (struct fake_ask){ .shape = shape, .count = pick(c, 3), .resources = asks[shape], .age_ms = pick(c, 5000) });
}

static void withdraw(struct chaos *c)
{
    Mobula__Withdraw m = MOBULA__WITHDRAW__INIT;
    Mobula__Address owner;

    mob_wire_put_address(&owner, fake_at(3, 9));
    m.owner = &owner;
    m.shape = pick(c, 3);
    m.count = pick(c, 2);
    m.seq = pick(c, 64);
    if (c->peer[0] != 0)
        fake_say(&c->f, c->peer[0], fake_at(3, 0), fake_at(FAKE_NODE, 0), MOBULA__ENVELOPE__BODY_WITHDRAW, &m);
}

static void head(struct chaos *c)
{
    if (!c->headless && pick(c, 8) == 0) {
        c->headless = true;
        fake_lose(&c->f, c->f.head);
        fake_pass(&c->f, 600);
        c->f.head = c->f.dialed_head;
    } else if (c->headless) {
        c->headless = false;
        fake_join(&c->f);
    }
}

static void block(struct chaos *c)
{
    uint32_t p = pick_process(c, false);

    if (p != 0)
        fake_blocked(&c->f, p, pick(c, 2) == 0);
}

static void pass(struct chaos *c)
{
    fake_pass(&c->f, (int64_t)pick(c, 200));
}

static void up(struct chaos *c)
{
    fake_all_up(&c->f);
}

static void reap(struct chaos *c)
{
    fake_reap(&c->f);
}

static void step(struct chaos *c)
{
    static void (*const events[])(struct chaos *c) = {
        want, want, want, give_back, give_back, die, fail_to_start, peers, place, withdraw, claim, head, block, block, pass, pass,
        up, up, reap,
    };

    if (pick(c, 40) == 0)
        fake_driver(&c->f);
    events[pick(c, MOB_COUNT(events))](c);
    collect(c);
}

/* Everyone goes: nothing is lent, wanted or kept, no worker lives, and all resources are back. */
static void end(struct chaos *c)
{
    if (c->headless)
        fake_join(&c->f);
    fake_node_down(&c->f, 3, false, "gone");
    fake_node_down(&c->f, 4, false, "gone");
    for (uint32_t p = 1; p < FAKE_PROCESSES; p++)
        if (c->f.process[p].driver && !c->f.process[p].gone)
            fake_exit(&c->f, p, 0);
    for (int i = 0; i < 3; i++)
        fake_reap(&c->f);
    ck_assert_msg(mob_raylet_quiet(c->f.raylet), "something is left");
    for (uint32_t p = 1; p < c->f.spawned; p++)
        ck_assert_msg(!c->f.process[p].spawned || c->f.process[p].gone, "worker %u lives", p);
    fake_pass(&c->f, 600);
    ck_assert_int_eq(fake_free(&c->f, "CPU"), 3 * MOB_UNITS);
}

START_TEST(test_random_events)
{
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct chaos *c = calloc(1, sizeof *c);

        c->seed = seed * UINT64_C(0x9e3779b97f4a7c15);
        fprintf(stderr, seed % 100 == 0 ? "seed %llu\n" : "", (unsigned long long)seed);
        fake_open(&c->f, "CPU=3,GPU=2,licence=2");
        for (int i = 0; i < STEPS; i++)
            step(c);
        end(c);
        fake_fini(&c->f);
        free(c);
    }
}
END_TEST

UNIT_MAIN("raylet_random", test_random_events)
