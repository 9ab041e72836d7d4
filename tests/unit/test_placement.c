/* SPDX-License-Identifier: Apache-2.0 */
/* test_placement.c -- the policies, by tables: FEATURES C11-C16. */
#include "unit.h"

#include "head/placement.h"

#define NODES_MAX 12

struct cluster {
    struct placement_node node[NODES_MAX];
    struct placement_node *list[NODES_MAX];
    size_t count;
};

static void add(struct cluster *c, const char *total, const char *free_now, const char *labels)
{
    struct placement_node *n = &c->node[c->count];

    n->number = (uint32_t)c->count + 1;
    snprintf(n->ip, sizeof n->ip, "10.0.0.%zu", c->count + 1);
    ck_assert_int_eq(mob_resources_parse(total, &n->total, NULL), 0);
    ck_assert_int_eq(mob_resources_parse(free_now, &n->free, NULL), 0);
    if (labels != NULL)
        ck_assert_int_eq(mob_labels_parse(labels, &n->labels, NULL), 0);
    c->list[c->count++] = n;
}

static struct mob_shape ask_of(const char *resources, enum mob_strategy strategy, uint32_t node, const char *labels)
{
    struct mob_shape s = { .strategy = strategy, .node = node };

    ck_assert_int_eq(mob_resources_parse(resources, &s.resources, NULL), 0);
    if (labels != NULL)
        ck_assert_int_eq(mob_conditions_parse(labels, &s.labels, NULL), 0);
    return s;
}

/* Place one ask; 0: nowhere. */
static uint32_t choose(struct cluster *c, const struct mob_shape *ask, uint32_t preferred, uint64_t random)
{
    struct placement p;
    struct placement_node *got;
    uint32_t round = 0;

    mob_placement_init(&p, ask, c->list, c->count, c->count);
    got = mob_placement_take(&p, preferred > 0 ? c->list[preferred - 1] : NULL, &round, random);
    mob_placement_fini(&p);
    return got != NULL ? got->number : 0;
}

static const struct {
    const char *name;
    const char *nodes[4][2];            /* total, free */
    const char *labels[4];
    const char *ask;
    enum mob_strategy strategy;
    uint32_t node;
    const char *asked_labels;
    uint32_t preferred, expected;
} table[] = {
    { "first of the empty ones", { { "CPU=4", "CPU=4" }, { "CPU=4", "CPU=4" } }, { 0 }, "CPU=1", MOB_HYBRID, 0, NULL, 0, 1 },
    { "packs below half", { { "CPU=4", "CPU=3" }, { "CPU=4", "CPU=4" } }, { 0 }, "CPU=1", MOB_HYBRID, 0, NULL, 0, 1 },
    { "beyond half: the least used", { { "CPU=4", "CPU=1" }, { "CPU=4", "CPU=2" } }, { 0 }, "CPU=1", MOB_HYBRID, 0, NULL, 0, 2 },
    { "at half it does not pack", { { "CPU=4", "CPU=2" }, { "CPU=4", "CPU=3" } }, { 0 }, "CPU=1", MOB_HYBRID, 0, NULL, 0, 2 },
    { "memory is critical, too", { { "CPU=4,memory=4GiB", "CPU=4,memory=1GiB" }, { "CPU=4", "CPU=2" } }, { 0 }, "CPU=1", MOB_HYBRID, 0,
      NULL, 0, 2 },
    { "preferred if as good", { { "CPU=4", "CPU=4" }, { "CPU=4", "CPU=3" } }, { 0 }, "CPU=1", MOB_HYBRID, 0, NULL, 2, 2 },
    { "not if worse", { { "CPU=4", "CPU=4" }, { "CPU=4", "CPU=1" } }, { 0 }, "CPU=1", MOB_HYBRID, 0, NULL, 2, 1 },
    { "only where it fits", { { "CPU=4", "CPU=0.5" }, { "CPU=1", "CPU=1" } }, { 0 }, "CPU=1", MOB_HYBRID, 0, NULL, 0, 2 },
    { "nowhere", { { "CPU=4", "CPU=0.5" }, { "CPU=1", "CPU=0.9" } }, { 0 }, "CPU=1", MOB_HYBRID, 0, NULL, 0, 0 },
    { "custom", { { "CPU=4", "CPU=4" }, { "CPU=1,licence=1", "CPU=1,licence=1" } }, { 0 }, "CPU=1,licence=1", MOB_HYBRID, 0, NULL, 0, 2 },
    { "keeps off GPUs", { { "CPU=4,GPU=1", "CPU=4,GPU=1" }, { "CPU=4", "CPU=1" } }, { 0 }, "CPU=1", MOB_HYBRID, 0, NULL, 0, 2 },
    { "preferred GPU node, too", { { "CPU=4,GPU=1", "CPU=4,GPU=1" }, { "CPU=4", "CPU=1" } }, { 0 }, "CPU=1", MOB_HYBRID, 0, NULL, 1, 2 },
    { "a GPU node if it must be", { { "CPU=4,GPU=1", "CPU=4,GPU=1" }, { "CPU=4", "CPU=0.5" } }, { 0 }, "CPU=1", MOB_HYBRID, 0, NULL, 0, 1 },
    { "GPU asked", { { "CPU=4", "CPU=4" }, { "CPU=4,GPU=2", "CPU=4,GPU=2" } }, { 0 }, "CPU=1,GPU=2", MOB_HYBRID, 0, NULL, 0, 2 },
    { "hard affinity", { { "CPU=4", "CPU=4" }, { "CPU=4", "CPU=1" } }, { 0 }, "CPU=1", MOB_NODE, 2, NULL, 1, 2 },
    { "hard and full", { { "CPU=4", "CPU=4" }, { "CPU=4", "CPU=0.5" } }, { 0 }, "CPU=1", MOB_NODE, 2, NULL, 1, 0 },
    { "soft affinity", { { "CPU=4", "CPU=4" }, { "CPU=4", "CPU=1" } }, { 0 }, "CPU=1", MOB_NODE_SOFT, 2, NULL, 1, 2 },
    { "soft and full", { { "CPU=4", "CPU=4" }, { "CPU=4", "CPU=0.5" } }, { 0 }, "CPU=1", MOB_NODE_SOFT, 2, NULL, 0, 1 },
    { "soft and gone", { { "CPU=4", "CPU=4" } }, { 0 }, "CPU=1", MOB_NODE_SOFT, 9, NULL, 0, 1 },
    { "labels", { { "CPU=4", "CPU=4" }, { "CPU=4", "CPU=1" } }, { "disk=hdd", "disk=ssd,zone=a" }, "CPU=1", MOB_HYBRID, 0, "disk=ssd", 1, 2 },
    { "all labels", { { "CPU=4", "CPU=4" }, { "CPU=4", "CPU=1" } }, { "disk=hdd", "disk=ssd" }, "CPU=1", MOB_HYBRID, 0, "disk=ssd,zone=a", 0, 0 },
    { "not this label", { { "CPU=4", "CPU=4" }, { "CPU=4", "CPU=4" } }, { "disk=hdd", "zone=a" }, "CPU=1", MOB_HYBRID, 0, "disk=!hdd", 1, 2 },
    { "one of labels", { { "CPU=4", "CPU=4" }, { "CPU=4", "CPU=4" } }, { "disk=hdd", "disk=nvme" }, "CPU=1", MOB_HYBRID, 0,
      "disk=in(ssd,nvme)", 1, 2 },
    { "labels and hard affinity", { { "CPU=4", "CPU=4" }, { "CPU=4", "CPU=4" } }, { "a=b", "a=c" }, "CPU=1", MOB_NODE, 1, "a=c", 0, 0 },
    { "node resource", { { "CPU=4,node:10.0.0.1=1", "CPU=4,node:10.0.0.1=1" }, { "CPU=4,node:10.0.0.2=1", "CPU=4,node:10.0.0.2=1" } },
      { 0 }, "CPU=1,node:10.0.0.2=0.001", MOB_HYBRID, 0, NULL, 1, 2 },
};

START_TEST(test_table)
{
    for (size_t i = 0; i < MOB_COUNT(table); i++) {
        struct cluster *c = mob_new(struct cluster);
        struct mob_shape ask = ask_of(table[i].ask, table[i].strategy, table[i].node, table[i].asked_labels);

        for (size_t n = 0; n < 4 && table[i].nodes[n][0] != NULL; n++)
            add(c, table[i].nodes[n][0], table[i].nodes[n][1], table[i].labels[n]);
        ck_assert_msg(choose(c, &ask, table[i].preferred, 7) == table[i].expected, "%s", table[i].name);
        free(c);
    }
}
END_TEST

/* Where the arguments are, if it fits there, however used it is. */
static const struct { const char *there, *ask; enum mob_strategy strategy; bool taken; } near_table[] = {
    { "CPU=4", "CPU=1", MOB_HYBRID, true },
    { "CPU=1", "CPU=1", MOB_HYBRID, true },     /* others are less used */
    { "CPU=0.5", "CPU=1", MOB_HYBRID, false },
    { "CPU=4", "CPU=5", MOB_HYBRID, false },
    { "CPU=4", "CPU=1,licence=1", MOB_HYBRID, false },
    { "CPU=4", "CPU=1", MOB_NODE, false },      /* not the node of the strategy */
};

START_TEST(test_near)
{
    for (size_t i = 0; i < MOB_COUNT(near_table); i++) {
        struct cluster *c = mob_new(struct cluster);
        struct mob_shape ask = ask_of(near_table[i].ask, near_table[i].strategy, 1, NULL);
        struct placement p;
        int64_t before;

        add(c, "CPU=4", "CPU=4", NULL);
        add(c, "CPU=4", near_table[i].there, NULL);
        before = mob_resources_get(&c->node[1].free, "CPU");
        mob_placement_init(&p, &ask, c->list, c->count, c->count);
        ck_assert(mob_placement_take_at(&p, &c->node[1]) == near_table[i].taken);
        ck_assert_int_eq(mob_resources_get(&c->node[1].free, "CPU"), before - (near_table[i].taken ? MOB_UNITS : 0));
        ck_assert_uint_eq(c->node[1].unseen, near_table[i].taken ? 1 : 0);
        mob_placement_fini(&p);
        free(c);
    }
}
END_TEST

/* 8 leases on 3 nodes of 4: half of each first, then evenly. */
START_TEST(test_pack_then_spread)
{
    static const uint32_t expected[] = { 1, 1, 2, 2, 3, 3, 1, 2 };
    struct cluster *c = mob_new(struct cluster);
    struct mob_shape ask = ask_of("CPU=1", MOB_HYBRID, 0, NULL);
    struct placement p;
    uint32_t round = 0;

    for (int i = 0; i < 3; i++)
        add(c, "CPU=4", "CPU=4", NULL);
    mob_placement_init(&p, &ask, c->list, c->count, c->count);
    for (size_t i = 0; i < MOB_COUNT(expected); i++)
        ck_assert_uint_eq(mob_placement_take(&p, NULL, &round, i)->number, expected[i]);
    for (int i = 0; i < 4; i++)
        ck_assert_ptr_nonnull(mob_placement_take(&p, NULL, &round, 0));
    ck_assert_ptr_null(mob_placement_take(&p, NULL, &round, 0));
    ck_assert_uint_eq(p.count, 0);
    mob_placement_fini(&p);
    free(c);
}
END_TEST

START_TEST(test_spread_goes_round)
{
    static const uint32_t expected[] = { 1, 2, 3, 1, 3, 0 };
    struct cluster *c = mob_new(struct cluster);
    struct mob_shape ask = ask_of("CPU=1", MOB_SPREAD, 0, NULL);
    struct placement p;
    uint32_t round = 0;

    add(c, "CPU=2", "CPU=2", NULL);
    add(c, "CPU=1", "CPU=1", NULL);
    add(c, "CPU=2,GPU=1", "CPU=2,GPU=1", NULL);
    mob_placement_init(&p, &ask, c->list, c->count, c->count);
    for (size_t i = 0; i < MOB_COUNT(expected); i++) {
        struct placement_node *got = mob_placement_take(&p, c->list[0], &round, 5);
        ck_assert_uint_eq(got != NULL ? got->number : 0, expected[i]);
    }
    mob_placement_fini(&p);
    free(c);
}
END_TEST

/* Ten nodes: top k is 2, never a GPU node while another fits. */
START_TEST(test_top_k)
{
    struct cluster *c = mob_new(struct cluster);
    struct mob_shape ask = ask_of("CPU=1", MOB_HYBRID, 0, NULL);
    unsigned seen[NODES_MAX] = { 0 };

    for (int i = 0; i < 10; i++)
        add(c, i == 1 ? "CPU=100,GPU=1" : "CPU=100", i == 1 ? "CPU=100,GPU=1" : "CPU=100", NULL);
    for (uint64_t random = 0; random < 40; random++)
        seen[choose(c, &ask, 0, random)]++;
    ck_assert_uint_eq(seen[1], 20);
    ck_assert_uint_eq(seen[3], 20);
    free(c);
}
END_TEST

/* An ask for nothing goes anywhere, and no node gets more of them than CPUs before it reports. */
START_TEST(test_nothing_asked)
{
    struct cluster *c = mob_new(struct cluster);
    struct mob_shape ask = ask_of("", MOB_HYBRID, 0, NULL);
    uint32_t nodes = 0;

    for (int i = 0; i < 3; i++)
        add(c, "CPU=2", "CPU=1", NULL);
    for (uint64_t i = 0; i < 6; i++)
        nodes |= 1u << choose(c, &ask, 1, i);
    ck_assert_uint_eq(nodes, 2 | 4 | 8);
    ck_assert_uint_eq(choose(c, &ask, 1, 0), 0);
    free(c);
}
END_TEST

/* Where an ask waits that fits nowhere; `last`: where it waited before; `except`: its owner's own node. */
static const struct {
    const char *name;
    const char *nodes[4][2];            /* total, free */
    const char *ask;
    enum mob_strategy strategy;
    uint32_t node, last, except, expected;
} waits[] = {
    { "it lacks least", { { "CPU=4", "CPU=1" }, { "CPU=4", "CPU=2" } }, "CPU=4", MOB_HYBRID, 0, 0, 0, 2 },
    { "of each resource", { { "CPU=4,gold=2", "CPU=3" }, { "CPU=4,gold=2", "CPU=1,gold=1" } }, "CPU=4,gold=2", MOB_HYBRID, 0, 0, 0, 2 },
    { "never where it is too large", { { "CPU=4", "CPU=3" }, { "CPU=8", "CPU=0.1" } }, "CPU=5", MOB_HYBRID, 0, 0, 0, 2 },
    { "equals go round", { { "CPU=4", "CPU=1" }, { "CPU=4", "CPU=1" }, { "CPU=4", "CPU=1" } }, "CPU=4", MOB_HYBRID, 0, 1, 0, 2 },
    { "and begin again", { { "CPU=4", "CPU=1" }, { "CPU=4", "CPU=1" }, { "CPU=4", "CPU=1" } }, "CPU=4", MOB_HYBRID, 0, 3, 0, 1 },
    { "not at home", { { "CPU=4", "CPU=3" }, { "CPU=4", "CPU=1" } }, "CPU=4", MOB_HYBRID, 0, 0, 1, 2 },
    { "off GPUs", { { "CPU=4,GPU=1", "CPU=3,GPU=1" }, { "CPU=4", "CPU=1" } }, "CPU=4", MOB_HYBRID, 0, 0, 0, 2 },
    { "unless they are wanted", { { "CPU=4,GPU=1", "CPU=3" }, { "CPU=4", "CPU=4" } }, "CPU=1,GPU=1", MOB_HYBRID, 0, 0, 0, 1 },
    { "hard affinity", { { "CPU=4", "CPU=3" }, { "CPU=4", "CPU=1" } }, "CPU=4", MOB_NODE, 2, 0, 0, 2 },
    { "overdrawn is not less than none", { { "CPU=4", "" }, { "CPU=4", "" } }, "CPU=4", MOB_HYBRID, 0, 1, 0, 2 },
    { "nowhere", { { "CPU=4", "CPU=1" } }, "CPU=8", MOB_HYBRID, 0, 0, 0, 0 },
};

START_TEST(test_wait)
{
    for (size_t i = 0; i < MOB_COUNT(waits); i++) {
        struct cluster *c = mob_new(struct cluster);
        struct mob_shape ask = ask_of(waits[i].ask, waits[i].strategy, waits[i].node, NULL);
        uint32_t round = waits[i].last;
        const struct placement_node *got;

        for (size_t n = 0; n < 4 && waits[i].nodes[n][0] != NULL; n++)
            add(c, waits[i].nodes[n][0], waits[i].nodes[n][1], NULL);
        if (waits[i].nodes[0][1][0] == '\0')
            mob_resources_set(&c->node[0].free, "CPU", -MOB_UNITS);
        got = mob_placement_wait(&ask, c->list, c->count, waits[i].except > 0 ? c->list[waits[i].except - 1] : NULL, false, &round);
        ck_assert_msg((got != NULL ? got->number : 0) == waits[i].expected, "%s", waits[i].name);
        ck_assert(got == NULL || round == got->number);
        free(c);
    }
}
END_TEST

/* A node whose object store is full, of two that ask for 4 CPUs; whom it would be given now, and where it would wait. */
static const struct {
    const char *name;
    bool full[2];
    const char *total[2], *free[2];
    enum mob_strategy strategy;
    uint32_t node, taken, waits;
} full_table[] = {
    { "not the first", { true, false }, { "CPU=4", "CPU=4" }, { "CPU=4", "CPU=4" }, MOB_HYBRID, 0, 2, 2 },
    { "though the other is busy", { true, false }, { "CPU=4", "CPU=4" }, { "CPU=4", "CPU=1" }, MOB_HYBRID, 0, 0, 2 },
    { "nor in a round", { false, true }, { "CPU=4", "CPU=4" }, { "CPU=1", "CPU=4" }, MOB_SPREAD, 0, 0, 1 },
    { "nor by soft affinity", { true, false }, { "CPU=4", "CPU=4" }, { "CPU=4", "CPU=4" }, MOB_NODE_SOFT, 1, 2, 2 },
    { "but alone", { true, false }, { "CPU=4", "CPU=4" }, { "CPU=4", "CPU=4" }, MOB_NODE, 1, 1, 1 },
    { "waits there if the other is too small", { true, false }, { "CPU=4", "CPU=2" }, { "CPU=4", "CPU=2" }, MOB_HYBRID, 0, 0, 1 },
    { "or as full", { true, true }, { "CPU=4", "CPU=4" }, { "CPU=1", "CPU=3" }, MOB_HYBRID, 0, 0, 2 },
};

START_TEST(test_full)
{
    for (size_t i = 0; i < MOB_COUNT(full_table); i++) {
        struct mob_shape ask = ask_of("CPU=4", full_table[i].strategy, full_table[i].node, NULL);
        struct cluster *c = mob_new(struct cluster);
        struct placement_node *wait;
        uint32_t round = 0;
        bool last_resort;

        for (size_t n = 0; n < 2; n++) {
            add(c, full_table[i].total[n], full_table[i].free[n], NULL);
            c->node[n].full = full_table[i].full[n];
        }
        last_resort = !mob_placement_has_other(&ask, c->list, c->count);
        wait = mob_placement_wait(&ask, c->list, c->count, NULL, last_resort, &round);
        ck_assert_msg(wait != NULL && wait->number == full_table[i].waits, "%s", full_table[i].name);
        ck_assert_msg(choose(c, &ask, 1, 7) == full_table[i].taken, "%s", full_table[i].name);
        free(c);
    }
}
END_TEST

START_TEST(test_explain)
{
    struct cluster *c = mob_new(struct cluster);
    struct mob_shape ask = ask_of("CPU=8,GPU=1", MOB_HYBRID, 0, "disk=ssd");
    char *text;

    add(c, "CPU=4", "CPU=2", "disk=hdd");
    add(c, "CPU=8,GPU=1,memory=2GiB", "CPU=8,GPU=0.5,memory=2GiB", "disk=ssd");
    text = mob_placement_explain(&ask, c->list, c->count);
    ck_assert_ptr_nonnull(strstr(text, "1      10.0.0.1        label disk           ssd        -          hdd\n"));
    ck_assert_ptr_null(strstr(text, "2      10.0.0.2        label"));
    ck_assert_ptr_nonnull(strstr(text, "1      10.0.0.1        CPU                  8          2          4\n"));
    ck_assert_ptr_nonnull(strstr(text, "1      10.0.0.1        GPU                  1          0          0\n"));
    ck_assert_ptr_nonnull(strstr(text, "2      10.0.0.2        GPU                  1          0.5        1"));
    ck_assert_ptr_null(strstr(text, "2      10.0.0.2        CPU"));
    free(text);
    ask = ask_of("memory=4GiB", MOB_NODE, 2, NULL);
    text = mob_placement_explain(&ask, c->list, c->count);
    ck_assert_ptr_nonnull(strstr(text, "1      10.0.0.1        another node         2"));
    ck_assert_ptr_nonnull(strstr(text, "2      10.0.0.2        memory               4GiB       2GiB       2GiB"));
    free(text);
    ask = ask_of("memory=97656250000KiB", MOB_HYBRID, 0, NULL);
    mob_resources_set(&c->node[1].free, "memory", INT64_C(17693557140) * MOB_UNITS);
    text = mob_placement_infeasible(&ask, c->list, c->count);
    ck_assert_ptr_nonnull(strstr(text, "2      10.0.0.2        memory               90.95TiB   16.48GiB   2GiB"));
    ck_assert_ptr_nonnull(strstr(text, "no node could serve it, not even an idle one: "));
    ck_assert_ptr_nonnull(strstr(text, "; what each of the 2 nodes lacks for {"));
    free(text);
    mob_resources_set(&c->node[1].free, "memory", INT64_C(99999999999999) * MOB_UNITS);
    text = mob_placement_explain(&ask, c->list, c->count);      /* the difference must be seen */
    ck_assert_ptr_nonnull(strstr(text, " 97656250000KiB 99999999999999 2GiB"));
    free(text);
    free(c);
}
END_TEST

/* What helps depends on what is missing. */
START_TEST(test_advice)
{
    static const struct { const char *ask, *labels; enum mob_strategy strategy; uint32_t node; const char *wanted; } advised[] = {
        { "CPU=99", NULL, MOB_HYBRID, 0, "ask for less, or add a node that has as much" },
        { "CPU=99", "disk=ssd", MOB_HYBRID, 0, "ask for less, or add a node that has as much" },
        { "CPU=1", "disk=nvme,zone=!a", MOB_HYBRID, 0, "none has the labels that it asks for (disk=nvme,zone=!a): ask for others, or start one" },
        { "CPU=8", NULL, MOB_SPREAD, 0, "those that have as much are leaving, or cannot run its program: add a node" },
        { "CPU=1", NULL, MOB_NODE, 9, "node 9, which it asks for alone, is not there: let it run elsewhere, too (\"node~=9\"; in Python soft=True)" },
        { "CPU=1", NULL, MOB_NODE, 2, "node 2, which it asks for alone, is leaving: " },
        { "CPU=5", NULL, MOB_NODE, 1, "node 1, which it asks for alone, has less than it asks for: " },
        { "CPU=1", "disk=ssd", MOB_NODE, 1, "node 1, which it asks for alone, has other labels: " },
    };
    struct cluster *c = mob_new(struct cluster);

    add(c, "CPU=4", "CPU=2", "disk=hdd");
    add(c, "CPU=8", "CPU=8", "disk=ssd");
    c->node[1].draining = true;
    for (size_t i = 0; i < MOB_COUNT(advised); i++) {
        struct mob_shape ask = ask_of(advised[i].ask, advised[i].strategy, advised[i].node, advised[i].labels);
        char *text = mob_placement_advice(&ask, c->list, c->count);

        ck_assert_msg(strncmp(text, advised[i].wanted, strlen(advised[i].wanted)) == 0, "%s", text);
        free(text);
    }
    free(c);
}
END_TEST

UNIT_MAIN("placement", test_table, test_pack_then_spread, test_spread_goes_round, test_top_k, test_nothing_asked, test_wait, test_full,
          test_near, test_explain, test_advice)
