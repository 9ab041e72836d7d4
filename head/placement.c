/* SPDX-License-Identifier: Apache-2.0 */
/* placement.c -- the policies.
 *
 * HYBRID packs: a node whose most used resource is below 50 % counts as empty, so the first such node by number is filled to the
 * half before the next is begun; beyond the half the least used come first. The choice is random among the best k = 20 % of the
 * cluster (at least 1). A task without GPU keeps away from GPU nodes while others fit. An ask for nothing goes anywhere.
 * SPREAD goes round by number. NODE takes its node or none; NODE_SOFT its node while it fits there, else hybrid.
 * A node whose object store is full serves none of these but who asks for it alone; as a last resort it is claimed.
 * A node that has the arguments comes before all this, if the ask fits there. What fits nowhere waits where it lacks least
 * (claim.c).
 *
 * A ranking is made once for many asks of one shape, because sorting 10,000 nodes for each lease would be the scheduler's whole
 * time. Taking changes a node's free resources, also through other shapes' rankings; so an entry is looked at again when it is
 * chosen: it leaves if the ask does not fit any more, and moves back if its score has grown.
 */
#include "head/placement.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

#define SPREAD_THRESHOLD 5000           /* of 10,000 */
#define TOP_FRACTION 5                  /* one in so many nodes */
#define UNSEEN_MAX 1024                 /* leases placed at a node before it reports */
#define EXPLAIN_NODES_MAX 32
#define REFUSALS_MAX 3
#define UNFIT_MAX 256

/* Why the node cannot run the program; NULL: nothing is known against it. */
static const char *unfit(const struct placement_node *node, const struct mob_hash *program)
{
    for (size_t i = 0; i < node->unfit_count; i++)
        if (memcmp(&node->unfit[i].program, program, sizeof *program) == 0)
            return node->unfit[i].why;
    return NULL;
}

/* If it were empty, and whatever the program. */
static bool is_large_enough(const struct placement_node *node, const struct mob_shape *ask)
{
    if (ask->strategy == MOB_NODE && node->number != ask->node)
        return false;
    return mob_labels_match(&node->labels, &ask->labels) && mob_resources_fit(&node->total, &ask->resources);
}

bool mob_placement_feasible(const struct placement_node *node, const struct mob_shape *ask)
{
    return !node->draining && is_large_enough(node, ask) && unfit(node, &ask->executable) == NULL;
}

bool mob_placement_note_unfit(struct placement_node *node, const struct mob_hash *program, const char *why)
{
    if (unfit(node, program) != NULL)
        return false;
    if (node->unfit_count == UNFIT_MAX)
        memmove(node->unfit, node->unfit + 1, --node->unfit_count * sizeof *node->unfit);
    node->unfit = mob_realloc(node->unfit, (node->unfit_count + 1) * sizeof *node->unfit);
    node->unfit[node->unfit_count].program = *program;
    mob_copy(node->unfit[node->unfit_count].why, sizeof node->unfit->why, why);
    node->unfit_count++;
    return true;
}

bool mob_placement_avoids(const struct placement_node *node, const struct mob_shape *ask)
{
    return node->full && ask->strategy != MOB_NODE;
}

bool mob_placement_has_other(const struct mob_shape *ask, struct placement_node *const *nodes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!mob_placement_avoids(nodes[i], ask) && mob_placement_feasible(nodes[i], ask))
            return true;
    return false;
}

/* An ask for nothing fits everywhere for ever, one for a crumb nearly so: bound what a node has not reported yet, or one demand
 * would fill it with leases. */
static bool has_window(const struct placement_node *node, const struct mob_shape *ask)
{
    int64_t cpus = mob_resources_get(&node->total, "CPU") / MOB_UNITS;

    if (ask->resources.count > 0)
        return node->unseen < UNSEEN_MAX;
    return node->unseen < (cpus > 1 ? cpus : 1);
}

bool mob_placement_fits(const struct placement_node *node, const struct mob_shape *ask)
{
    return mob_placement_feasible(node, ask) && !mob_placement_avoids(node, ask) && mob_resources_fit(&node->free, &ask->resources)
        && has_window(node, ask);
}

static int64_t use_of(const struct placement_node *node, const char *name)
{
    int64_t total = mob_resources_get(&node->total, name);

    if (total <= 0)
        return 0;
    return (int64_t)((double)(total - mob_resources_get(&node->free, name)) / (double)total * 10000);
}

static int64_t score_of(const struct placement_node *node)
{
    static const char *const critical[] = { "CPU", "memory", "object_store_memory" };
    int64_t worst = 0;

    for (size_t i = 0; i < MOB_COUNT(critical); i++) {
        int64_t use = use_of(node, critical[i]);
        worst = use > worst ? use : worst;
    }
    return worst < SPREAD_THRESHOLD ? 0 : worst;
}

static bool wastes_gpu(const struct placement_node *node, const struct mob_shape *ask)
{
    return mob_resources_get(&ask->resources, "GPU") == 0 && mob_resources_get(&node->total, "GPU") > 0;
}

static int compare(const struct placement_rank *a, const struct placement_rank *b)
{
    if (a->gpu != b->gpu)
        return a->gpu ? 1 : -1;
    if (a->score != b->score)
        return a->score < b->score ? -1 : 1;
    return a->node->number < b->node->number ? -1 : a->node->number > b->node->number;
}

static int compare_for_sort(const void *a, const void *b)
{
    return compare(a, b);
}

void mob_placement_init(struct placement *p, const struct mob_shape *ask, struct placement_node *const *nodes, size_t n,
                        size_t cluster)
{
    bool round = ask->strategy == MOB_SPREAD;

    *p = (struct placement){ .ask = ask, .top = cluster / TOP_FRACTION };
    if (p->top == 0)
        p->top = 1;
    if (ask->resources.count == 0)
        p->top = SIZE_MAX;
    if (n > 0)
        p->of = mob_alloc(n * sizeof *p->of);
    for (size_t i = 0; i < n; i++) {
        if (mob_placement_fits(nodes[i], ask))
            p->of[p->count++] = (struct placement_rank){
                .node = nodes[i],
                .score = round ? 0 : score_of(nodes[i]),
                .gpu = !round && wastes_gpu(nodes[i], ask),
            };
    }
    if (p->count > 1)
        qsort(p->of, p->count, sizeof *p->of, compare_for_sort);
}

void mob_placement_fini(struct placement *p)
{
    free(p->of);
    *p = (struct placement){ 0 };
}

static void leave(struct placement *p, size_t i)
{
    memmove(&p->of[i], &p->of[i + 1], (p->count - i - 1) * sizeof *p->of);
    p->count--;
}

/* Entry i has a new score: put it where it belongs. */
static void move(struct placement *p, size_t i)
{
    struct placement_rank entry = p->of[i];

    for (; i + 1 < p->count && compare(&p->of[i + 1], &entry) < 0; i++)
        p->of[i] = p->of[i + 1];
    for (; i > 0 && compare(&entry, &p->of[i - 1]) < 0; i--)
        p->of[i] = p->of[i - 1];
    p->of[i] = entry;
}

/* The first entry after `round` by number, or the first of all. */
static size_t next_round(const struct placement *p, uint32_t round)
{
    size_t low = 0, high = p->count;

    while (low < high) {
        size_t middle = (low + high) / 2;
        if (p->of[middle].node->number > round)
            high = middle;
        else
            low = middle + 1;
    }
    return low == p->count ? 0 : low;
}

/* One of the best k, never a GPU node while another fits. */
static size_t one_of_best(const struct placement *p, uint64_t random)
{
    size_t k = p->top < p->count ? p->top : p->count;

    while (k > 1 && p->of[k - 1].gpu && !p->of[0].gpu)
        k--;
    return random % k;
}

static struct placement_node *lend(struct placement_node *node, const struct mob_shape *ask)
{
    assert(mob_resources_fit(&node->free, &ask->resources));
    mob_resources_subtract(&node->free, &ask->resources);
    node->unseen++;
    return node;
}

/* The node that wins without looking at the others: the soft affinity's, or the owner's own while it is as good as the best. */
static struct placement_node *favourite(const struct placement *p, struct placement_node *preferred)
{
    const struct mob_shape *ask = p->ask;

    if (ask->strategy == MOB_NODE_SOFT) {
        for (size_t i = 0; i < p->count; i++) {
            if (p->of[i].node->number == ask->node && mob_placement_fits(p->of[i].node, ask))
                return p->of[i].node;
        }
    }
    if (ask->strategy == MOB_SPREAD || preferred == NULL || ask->resources.count == 0 || !mob_placement_fits(preferred, ask))
        return NULL;
    if (wastes_gpu(preferred, ask) && !p->of[0].gpu)
        return NULL;
    return score_of(preferred) <= p->of[0].score ? preferred : NULL;
}

struct placement_node *mob_placement_take(struct placement *p, struct placement_node *preferred, uint32_t *round, uint64_t random)
{
    struct placement_node *node;
    bool spread = p->ask->strategy == MOB_SPREAD;

    if (p->count > 0 && (node = favourite(p, preferred)) != NULL)
        return lend(node, p->ask);
    while (p->count > 0) {
        size_t i = spread ? next_round(p, *round) : one_of_best(p, random);
        node = p->of[i].node;
        if (!mob_placement_fits(node, p->ask)) {
            leave(p, i);
            continue;
        }
        int64_t score = spread ? 0 : score_of(node);
        if (score != p->of[i].score) {
            p->of[i].score = score;
            move(p, i);
            continue;
        }
        if (spread)
            *round = node->number;
        return lend(node, p->ask);
    }
    return NULL;
}

bool mob_placement_take_at(const struct placement *p, struct placement_node *node)
{
    return mob_placement_fits(node, p->ask) && lend(node, p->ask) != NULL;
}

/* -- waiting ------------------------------------------------------------------------------------------------------------- */

/* The share of the ask, in 1/10,000, that is not free there: of the resource that lacks most. */
static int64_t lack_of(const struct placement_node *node, const struct mob_shape *ask)
{
    int64_t most = 0;

    for (uint32_t i = 0; i < ask->resources.count; i++) {
        const struct mob_resource *r = &ask->resources.of[i];
        int64_t free_now = mob_resources_get(&node->free, r->name);
        int64_t lack = (int64_t)((double)(r->units - (free_now > 0 ? free_now : 0)) / (double)r->units * 10000);

        most = lack > most ? lack : most;
    }
    return most;
}

struct placement_node *mob_placement_wait(const struct mob_shape *ask, struct placement_node *const *nodes, size_t n,
                                          const struct placement_node *except, bool last_resort, uint32_t *round)
{
    struct placement_node *best = NULL;
    struct placement_rank least = { 0 };

    for (size_t i = 0; i < n; i++) {
        struct placement_rank rank = { .node = nodes[i] };

        if (nodes[i] == except || !mob_placement_feasible(nodes[i], ask) || (!last_resort && mob_placement_avoids(nodes[i], ask)))
            continue;
        rank.score = lack_of(nodes[i], ask);
        rank.gpu = wastes_gpu(nodes[i], ask);
        if (best != NULL && rank.gpu == least.gpu && rank.score == least.score) {
            uint32_t distance = nodes[i]->number - *round - 1, least_distance = best->number - *round - 1;
            if (distance >= least_distance)
                continue;               /* unsigned: those behind the last one come first */
        } else if (best != NULL && compare(&rank, &least) > 0) {
            continue;
        }
        best = nodes[i];
        least = rank;
    }
    if (best != NULL)
        *round = best->number;
    return best;
}

/* -- explaining ---------------------------------------------------------------------------------------------------------- */

/* "16.48GiB": of bytes, for people. */
static const char *bytes(int64_t units, char *text, size_t size)
{
    static const char *const suffixes[] = { "B", "KiB", "MiB", "GiB", "TiB" };
    double count = (double)units / MOB_UNITS;
    size_t i = 0;

    for (; count >= 1024 && i + 1 < MOB_COUNT(suffixes); i++)
        count /= 1024;
    snprintf(text, size, "%.4g%s", count, suffixes[i]);
    return text;
}

/* "2", "0.5", "2GiB" */
static const char *amount(const char *name, int64_t units, bool exact, char *text, size_t size)
{
    struct mob_resources one = { 0 };
    const char *equals;

    if (!exact && units > 0 && (strcmp(name, "memory") == 0 || strcmp(name, "object_store_memory") == 0))
        return bytes(units, text, size);
    if (units <= 0 || mob_resources_set(&one, name, units) < 0) {
        snprintf(text, size, "%s%lld", units < 0 ? "-" : "", (long long)(units < 0 ? -units : units) / (long long)MOB_UNITS);
        return text;
    }
    mob_resources_print(&one, text, size);
    equals = strchr(text, '=');
    return equals != NULL ? equals + 1 : text;
}

static void row(FILE *out, const struct placement_node *node, const char *what, const char *needed, const char *free_now,
                const char *total)
{
    fprintf(out, "\n  %-6u %-15s %-20s %-10s %-10s %s", node->number, node->ip, what, needed, free_now, total);
}

static void explain_labels(FILE *out, const struct placement_node *node, const struct mob_labels *asked)
{
    for (uint32_t i = 0; i < asked->count; i++) {
        const char *has = mob_labels_get(&node->labels, asked->of[i].key);
        char what[MOB_LABEL_SIZE + 8];

        snprintf(what, sizeof what, "label %s", asked->of[i].key);
        if (!mob_label_met(&node->labels, &asked->of[i]))
            row(out, node, what, asked->of[i].value, "-", has != NULL ? has : "-");
    }
}

static void explain_node(FILE *out, const struct placement_node *node, const struct mob_shape *ask)
{
    char number[16];

    if (mob_placement_fits(node, ask)) {
        row(out, node, "fits", "-", "-", "-");
        return;
    }
    if (ask->strategy == MOB_NODE && node->number != ask->node) {
        snprintf(number, sizeof number, "%u", ask->node);
        row(out, node, "another node", number, "-", "-");
        return;
    }
    if (node->draining) {
        row(out, node, "is draining", "-", "-", "-");
        return;
    }
    if (mob_placement_avoids(node, ask))
        row(out, node, "its store is full", "-", "-", "-");
    if (unfit(node, &ask->executable) != NULL)
        row(out, node, "the program", "-", "-", unfit(node, &ask->executable));
    explain_labels(out, node, &ask->labels);
    for (uint32_t i = 0; i < ask->resources.count; i++) {
        const struct mob_resource *r = &ask->resources.of[i];
        int64_t free_now = mob_resources_get(&node->free, r->name);
        int64_t total = mob_resources_get(&node->total, r->name);
        char a[64], b[64], c[64];
        bool exact = strcmp(amount(r->name, r->units, false, a, sizeof a), amount(r->name, free_now, false, b, sizeof b)) == 0;

        if (free_now < r->units)
            row(out, node, r->name, amount(r->name, r->units, exact, a, sizeof a), amount(r->name, free_now, exact, b, sizeof b),
                amount(r->name, total, exact, c, sizeof c));
    }
}

char *mob_placement_refusal(const struct mob_shape *ask, struct placement_node *const *nodes, size_t n)
{
    char *text = NULL;
    size_t size, count = 0;
    FILE *out = open_memstream(&text, &size);

    assert(out != NULL);
    for (size_t i = 0; i < n; i++) {
        const char *why = unfit(nodes[i], &ask->executable);

        if (why != NULL && !nodes[i]->draining && is_large_enough(nodes[i], ask) && count++ < REFUSALS_MAX)
            fprintf(out, "%s%s", count == 1 ? "" : "; ", why);
    }
    if (count > REFUSALS_MAX)
        fprintf(out, "; and so with %zu more nodes", count - REFUSALS_MAX);
    fclose(out);
    if (count > 0)
        return text;
    free(text);
    return NULL;
}

char *mob_placement_explain(const struct mob_shape *ask, struct placement_node *const *nodes, size_t n)
{
    char *text = NULL;
    char asked[512];
    size_t size;
    FILE *out = open_memstream(&text, &size);

    assert(out != NULL);
    mob_resources_print(&ask->resources, asked, sizeof asked);
    if (n == 0) {
        fprintf(out, "no node serves tasks yet: {%s} waits for the first one", asked);
    } else {
        if (n == 1)
            fprintf(out, "what the only node lacks for {%s}:", asked);
        else
            fprintf(out, "what each of the %zu nodes lacks for {%s}:", n, asked);
        fprintf(out, "\n  %-6s %-15s %-20s %-10s %-10s %s", "node", "address", "what", "needed", "free", "total");
    }
    for (size_t i = 0; i < n && i < EXPLAIN_NODES_MAX; i++)
        explain_node(out, nodes[i], ask);
    if (n > EXPLAIN_NODES_MAX)
        fprintf(out, "\n  ... and %zu more nodes", n - EXPLAIN_NODES_MAX);
    fclose(out);
    return text;
}

static char *labels_text(const struct mob_labels *asked)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    assert(out != NULL);
    for (uint32_t i = 0; i < asked->count; i++)
        fprintf(out, "%s%s=%s", i > 0 ? "," : "", asked->of[i].key, asked->of[i].value);
    fclose(out);
    return text;
}

static char *advise_of_labels(const struct mob_shape *ask)
{
    char *labels = labels_text(&ask->labels), *text;

    text = mob_printf("none has the labels that it asks for (%s): ask for others, or start one that has (mobula start --labels)", labels);
    free(labels);
    return text;
}

/* It asks for one node alone, which is among them, or not. */
static char *advise_of_node(const struct mob_shape *ask, const struct placement_node *node)
{
    const char *why = node == NULL ? "is not there" : node->draining ? "is leaving" : is_large_enough(node, ask) ? "cannot run its program"
                    : !mob_labels_match(&node->labels, &ask->labels) ? "has other labels" : "has less than it asks for";

    return mob_printf("node %u, which it asks for alone, %s: let it run elsewhere, too (\"node~=%u\"; in Python soft=True), or ask for %s",
                      ask->node, why, ask->node, node == NULL || node->draining ? "another node" : "less or another node");
}

char *mob_placement_advice(const struct mob_shape *ask, struct placement_node *const *nodes, size_t n)
{
    const struct placement_node *alone = NULL;
    bool labelled = false, large = false;

    for (size_t i = 0; i < n; i++) {
        labelled |= mob_labels_match(&nodes[i]->labels, &ask->labels);
        large |= is_large_enough(nodes[i], ask);
        if (nodes[i]->number == ask->node)
            alone = nodes[i];
    }
    if (ask->strategy == MOB_NODE)
        return advise_of_node(ask, alone);
    if (!labelled)
        return advise_of_labels(ask);
    if (large)
        return mob_strdup("those that have as much are leaving, or cannot run its program: add a node");
    return mob_strdup("ask for less, or add a node that has as much");
}

char *mob_placement_infeasible(const struct mob_shape *ask, struct placement_node *const *nodes, size_t n)
{
    char *table = mob_placement_explain(ask, nodes, n), *advice, *text;

    if (n == 0)
        return table;
    advice = mob_placement_advice(ask, nodes, n);
    text = mob_printf("no node could serve it, not even an idle one: %s; %s", advice, table);
    free(advice);
    free(table);
    return text;
}
