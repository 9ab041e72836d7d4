/* SPDX-License-Identifier: Apache-2.0 */
/* test_owner_random.c -- random calls and facts by seed; after each, every invariant of the core must hold. At the end all
 * workers are good again: then every task ends, and when every ref is dropped nothing is left. MOBULA_SEED=n runs one seed. */
#include "tests/unit/owner_fake.h"
#include "tests/unit/unit.h"

#define SEEDS 60
#define STEPS 1500
#define REFS 64
#define TEXT "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

struct chaos {
    struct fake f;
    uint64_t random;
    uint32_t shape;
    uint64_t refs[REFS];                /* 0: none */
    uint64_t leases;                    /* numbers given out */
    uint64_t lease_of[FAKE_WORKERS];    /* 0: none */
    bool running[FAKE_WORKERS];
    struct mob_task_frame task[FAKE_WORKERS];
};

static uint32_t pick(struct chaos *c, uint32_t n)
{
    c->random ^= c->random << 13;
    c->random ^= c->random >> 7;
    c->random ^= c->random << 17;
    return (uint32_t)(c->random >> 20) % n;
}

static void submit(struct chaos *c)
{
    struct mob_arg args[3] = { { .data = TEXT, .size = pick(c, 64) } };
    size_t count = pick(c, 4), at = pick(c, REFS);
    uint64_t refs[3];
    struct mob_submit s = { .shape = c->shape, .function = pick(c, 3), .name = "f", .returns = 1 + pick(c, 3),
                            .max_retries = (int32_t)pick(c, 4) - 1, .args = args, .arg_count = count };

    for (size_t i = 1; i < count; i++)
        args[i].ref = c->refs[pick(c, REFS)];
    if (mob_owner_submit(c->f.o, &s, refs, NULL) < 0)
        return;
    for (uint32_t i = 0; i < s.returns; i++, at = (at + 1) % REFS) {
        if (c->refs[at] != 0)
            ck_assert_int_eq(mob_owner_drop(c->f.o, c->refs[at], NULL), 0);
        c->refs[at] = refs[i];
    }
}

static void answer(struct chaos *c, unsigned i)
{
    struct mob_task_frame *t = &c->task[i];
    struct mob_arg_head heads[4] = { { 0 } };
    struct mob_error failed = { .code = MOB_ERR_TASK, .text = "bad luck" };
    const void *body;

    if (!c->running[i]) {
        c->running[i] = c->f.workers[i].end != NULL && fake_claim(&c->f, i, t, &body);
        return;
    }
    c->running[i] = false;
    if (pick(c, 8) == 0)
        fake_reply(&c->f, i, t, MOB_ERR_TASK, &failed, sizeof failed, 1000);
    else if (pick(c, 20) == 0)
        fake_reply(&c->f, i, t, MOB_OK, heads, 4 * sizeof *heads, 1000);     /* too many values */
    else
        fake_reply(&c->f, i, t, MOB_OK, heads, t->returns * sizeof *heads, pick(c, 2) ? 1000 : 20 * FAKE_MS);
}

/* A lease for a worker without one: with a new channel or the old one. */
static void grant(struct chaos *c, unsigned i)
{
    if (c->lease_of[i] != 0 && c->f.sent[MOBULA__ENVELOPE__BODY_RETURN_LEASE] > 0
        && c->f.last[MOBULA__ENVELOPE__BODY_RETURN_LEASE]->return_lease->lease == c->lease_of[i])
        c->lease_of[i] = 0;                         /* it was given back */
    if (c->lease_of[i] != 0 || c->running[i])
        return;
    if (c->f.workers[i].end == NULL)
        fake_open(&c->f, i);
    c->lease_of[i] = ++c->leases;
    fake_grant(&c->f, c->shape, c->lease_of[i], i);
}

static void kill_worker(struct chaos *c, unsigned i)
{
    if (c->lease_of[i] == 0)
        return;
    fake_over(&c->f, c->lease_of[i], i, FAKE_NODE, pick(c, 5) ? MOB_ERR_WORKER_CRASHED : MOB_ERR_CANCELLED,
              c->running[i] ? &c->task[i] : NULL);
    c->lease_of[i] = 0;
    c->running[i] = false;
    fake_open(&c->f, i);
}

static void step(struct chaos *c)
{
    unsigned i = pick(c, 4);
    uint64_t ref = c->refs[pick(c, REFS)];

    switch (pick(c, 16)) {
    case 0: case 1: case 2: case 3:
        submit(c);
        break;
    case 4: case 5: case 6: case 7: case 8:
        answer(c, i);
        break;
    case 9:
        fake_drain(&c->f);
        break;
    case 10: case 11:
        c->f.now_ns += pick(c, 4) * FAKE_MS;
        mob_owner_flush(c->f.o);
        break;
    case 12:
        grant(c, i);
        break;
    case 13:
        if (pick(c, 4) == 0)
            kill_worker(c, i);
        else if (c->lease_of[i] != 0)
            fake_recall(&c->f, c->lease_of[i], FAKE_NODE);
        break;
    case 14:
        if (ref != 0)
            ck_assert_int_eq(mob_owner_cancel(c->f.o, ref, pick(c, 2), NULL), 0);
        break;
    default:
        atomic_store(&c->f.workers[i].page.state, pick(c, 3));
        break;
    }
    mob_owner_check(c->f.o);
}

static uint64_t pending(const struct chaos *c)
{
    struct mob_owner_counts n = mob_owner_counts(c->f.o);

    return n.waiting + n.queued + n.pushed;
}

/* Everybody works: all tasks must end. */
static void calm_down(struct chaos *c)
{
    for (int turn = 0; pending(c) > 0; turn++) {
        ck_assert_int_lt(turn, 20000);
        for (unsigned i = 0; i < 4; i++) {
            if (turn == 0)
                kill_worker(c, i);
            grant(c, i);
            answer(c, i);
        }
        fake_drain(&c->f);
        c->f.now_ns += FAKE_MS;
        mob_owner_flush(c->f.o);
        mob_owner_check(c->f.o);
    }
}

static void run_seed(uint64_t seed)
{
    struct chaos *c = calloc(1, sizeof *c + 64);

    c->random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    fake_init(&c->f);
    c->shape = fake_shape(&c->f);
    for (int i = 0; i < STEPS; i++)
        step(c);
    calm_down(c);
    for (size_t i = 0; i < REFS; i++)
        if (c->refs[i] != 0)
            ck_assert_int_eq(mob_owner_drop(c->f.o, c->refs[i], NULL), 0);
    ck_assert_uint_eq(mob_owner_counts(c->f.o).objects, 0);
    mob_owner_check(c->f.o);
    fake_fini(&c->f);
    free(c);
}

START_TEST(test_any_order_of_events)
{
    const char *one = getenv("MOBULA_SEED");

    fake_keep_memory();
    for (uint64_t seed = 0; seed < SEEDS && one == NULL; seed++) {
        printf("\rseed %lu", (unsigned long)seed);
        fflush(stdout);
        run_seed(seed);
    }
    if (one != NULL)
        run_seed(strtoul(one, NULL, 10));
}
END_TEST

UNIT_MAIN("owner_random", test_any_order_of_events)
