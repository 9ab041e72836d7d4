/* SPDX-License-Identifier: Apache-2.0 */
/* scenes_places.c -- tasks run where they were asked to, and hold no more than there is. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tasks.h"

#define HOLDERS 12
#define NODES_MAX 16

static struct mob_ref *call_hold(const struct mob_options *options, uint64_t ms)
{
    return call_with("hold", options, &MOB_BYTES(&ms, sizeof ms), 1);
}

static int by_start(const void *a, const void *b)
{
    const struct witness *x = a, *y = b;

    return (x->from > y->from) - (x->from < y->from);
}

static void hold_all(const struct mob_options *options, uint64_t ms, struct witness *ret, size_t count)
{
    struct mob_ref *refs[64];

    for (size_t i = 0; i < count; i++)
        refs[i] = call_hold(options, ms);
    for (size_t i = 0; i < count; i++)
        take_witness(refs[i], &ret[i]);
    qsort(ret, count, sizeof *ret, by_start);
}

/* Where the task NAME of a meeting has started. */
static void started_at(const char *folder, const char *name, char ret_ip[64])
{
    char path[256];
    FILE *f;

    await_file(folder, name, ".started");
    snprintf(path, sizeof path, "%s/%s", folder, name);
    f = fopen(path, "r");
    CHECK(f != NULL);
    CHECK(fscanf(f, "%*d %63s", ret_ip) == 1);
    fclose(f);
}

/* spreads FOLDER HOSTS: of as many tasks as there are hosts, each host gets one, though two would fit. */
static int spreads(char **words)
{
    struct mob_options options = { .size = sizeof options, .strategy = "spread" };
    int hosts = atoi(words[1]);
    char name[32], ips[NODES_MAX][64];
    struct mob_ref *refs[NODES_MAX];

    CHECK(hosts <= NODES_MAX);
    for (int i = 0; i < hosts; i++) {
        snprintf(name, sizeof name, "spread%d", i);
        refs[i] = call_gate("gate", &options, words[0], name);
    }
    for (int i = 0; i < hosts; i++) {
        snprintf(name, sizeof name, "spread%d", i);
        started_at(words[0], name, ips[i]);
        for (int k = 0; k < i; k++)
            CHECK(strcmp(ips[k], ips[i]) != 0);
    }
    make_file(words[0], "open", "");
    for (int i = 0; i < hosts; i++)
        CHECK(take_u64(refs[i]) == 1);
    return 0;
}

/* pinned IP: asked for by its number; softly as long as it has room, so that comes first. */
static int pinned(char **words)
{
    static const char *const forms[] = { "node~=%s", "node=%s" };
    char node[40], strategy[64];
    struct mob_options options = { .size = sizeof options, .strategy = strategy };
    struct witness all[6];

    node_at(words[0], node, sizeof node);
    for (size_t f = 0; f < 2; f++) {
        size_t count = f == 0 ? 1 : 6;
        snprintf(strategy, sizeof strategy, forms[f], node);
        hold_all(&options, 0, all, count);
        for (size_t i = 0; i < count; i++)
            if (strcmp(all[i].ip, words[0]) != 0 || strcmp(all[i].node, node) != 0) {
                fprintf(stderr, "%s ran on %s (node %s)\n", strategy, all[i].ip, all[i].node);
                CHECK(false);
            }
    }
    return 0;
}

/* overflows IP: softly pinned tasks that do not fit there go elsewhere, without waiting. */
static int overflows(char **words)
{
    char node[40], strategy[64];
    struct mob_options options = { .size = sizeof options, .strategy = strategy };
    struct witness all[8];
    int elsewhere = 0;

    node_at(words[0], node, sizeof node);
    snprintf(strategy, sizeof strategy, "node~=%s", node);
    hold_all(&options, 300, all, 8);
    for (int i = 0; i < 8; i++)
        elsewhere += strcmp(all[i].ip, words[0]) != 0;
    CHECK(elsewhere > 0 && elsewhere < 8);
    return 0;
}

/* labelled LABELS IP: only where the labels are. */
static int labelled(char **words)
{
    struct mob_options options = { .size = sizeof options, .labels = words[0] };
    struct witness all[6];

    hold_all(&options, 0, all, 6);
    for (int i = 0; i < 6; i++)
        CHECK(strcmp(all[i].ip, words[1]) == 0);
    return 0;
}

/* How many of twelve held it at once, each for `ms`; a whole GPU never has two holders, and CUDA_VISIBLE_DEVICES says the same as
 * mob_task_self(). */
static int most_at_once(const struct mob_options *options, uint64_t ms)
{
    bool whole_gpus = strstr(options->resources, "GPU=") != NULL && strstr(options->resources, "GPU=0") == NULL;
    bool gpus = strstr(options->resources, "GPU=") != NULL;
    struct witness all[HOLDERS];
    int most = 0;

    hold_all(options, ms, all, HOLDERS);
    for (int i = 0; i < HOLDERS; i++) {
        int now = 0;
        for (int k = 0; k < HOLDERS; k++) {
            bool overlaps = all[k].from <= all[i].from && all[i].from < all[k].to;
            bool same = strcmp(all[k].ip, all[i].ip) == 0 && strcmp(all[k].gpus, all[i].gpus) == 0;
            now += overlaps;
            CHECK(!(whole_gpus && overlaps && same && k != i));
        }
        most = now > most ? now : most;
        CHECK(strcmp(all[i].gpus, gpus ? all[i].visible : "") == 0);
        CHECK(!gpus || all[i].gpus[0] != '\0');
    }
    return most;
}

/* holds RESOURCES MOST: at most MOST hold so much at once, and more than one if MOST allows: then they hold it longer if the first was done
 * before a second worker was there. */
static int holds(char **words)
{
    struct mob_options options = { .size = sizeof options, .resources = words[0] };
    int most = 0, limit = atoi(words[1]);

    for (uint64_t ms = 60; most <= (limit > 1 ? 1 : 0) && ms < 4000; ms *= 4)
        most = most_at_once(&options, ms);
    printf("holds %s: at most %d of %d at once\n", words[0], most, limit);
    CHECK(most <= limit && (limit == 1 || most > 1));
    return 0;
}

/* waits-for RESOURCES FOLDER IP: nobody has it: the task waits; the file "asked" says so; then it runs on the node that came. */
static int waits_for(char **words)
{
    struct mob_options options = { .size = sizeof options, .resources = words[0] };
    struct mob_ref *ref = call_hold(&options, 0);
    struct mob_error err;
    struct mob_view view;
    struct witness w;

    CHECK(mob_get(ref, 300, &view, &err) < 0 && err.code == MOB_ERR_TIMEOUT);
    make_file(words[1], "asked", "");
    take_witness(ref, &w);
    CHECK(strcmp(w.ip, words[2]) == 0);
    return 0;
}

/* gone NODE: a node that is not there any more cannot be waited for; softly asked for it does not matter. */
static int gone(char **words)
{
    char strategy[64];
    struct mob_options options = { .size = sizeof options, .strategy = strategy };
    struct mob_error err;
    struct mob_ref *ref;
    struct witness w;

    snprintf(strategy, sizeof strategy, "node=%s", words[0]);
    ref = call_hold(&options, 0);
    refused(ref, &err);
    if ((err.code != MOB_ERR_INFEASIBLE && err.code != MOB_ERR_NODE_DIED) || strstr(err.text, words[0]) == NULL)
        fail_at(__FILE__, __LINE__, "a node that is gone", &err);
    mob_ref_drop(ref);
    snprintf(strategy, sizeof strategy, "node~=%s", words[0]);
    take_witness(call_hold(&options, 0), &w);
    return 0;
}

static int hosts_of(const struct witness *all, int count)
{
    int hosts = 0, k;

    for (int i = 0; i < count; i++) {
        for (k = 0; strcmp(all[k].ip, all[i].ip) != 0; k++)
            ;
        hosts += k == i;
    }
    return hosts;
}

/* where COUNT HOSTS: prints where COUNT tasks ran, and by which program; they take longer until each of so many hosts had one in time. */
static int where(char **words)
{
    struct mob_options options = { .size = sizeof options, .strategy = "spread" };
    int count = atoi(words[0]), hosts = 0;
    struct witness all[64];

    CHECK(count <= 64);
    for (uint64_t ms = 100; hosts < atoi(words[1]) && ms < 4000; ms *= 3) {
        hold_all(&options, ms, all, (size_t)count);
        hosts = hosts_of(all, count);
    }
    for (int i = 0; i < count; i++)
        printf("ran on %s by %s\n", all[i].ip, all[i].program);
    return 0;
}

/* What a task is told of itself: its own id, its function, its lease's resources, which attempt it is. */
static int knows_itself(char **words)
{
    struct mob_options half = { .size = sizeof half, .resources = "CPU=0.5" };
    struct witness a, b, again;
    uint64_t none = 0;

    (void)words;
    take_witness(call_hold(&half, 0), &a);
    take_witness(call_hold(NULL, 0), &b);
    take_witness(call_with("crash_once", NULL, &MOB_BYTES(&none, sizeof none), 1), &again);
    CHECK(strncmp(a.id, "t-", 2) == 0 && strncmp(b.id, "t-", 2) == 0 && strcmp(a.id, b.id) != 0);
    CHECK(strcmp(a.name, "hold") == 0 && strcmp(again.name, "crash_once") == 0);
    CHECK(strcmp(a.resources, "CPU=0.5") == 0 && strcmp(b.resources, "CPU=1") == 0);
    CHECK(a.attempt == 0 && b.attempt == 0 && again.attempt == 1);
    CHECK(atoi(a.node) > 0 && a.ip[0] != '\0');
    return 0;
}

/* awaits-nodes FOLDER COUNT: so many are there; one more comes when the file "asked" is seen. */
static int awaits_nodes(char **words)
{
    size_t count = (size_t)atoi(words[1]);
    struct mob_error err;

    CHECK_OK(mob_wait_nodes(count, MOB_FOREVER, &err), &err);
    CHECK(mob_wait_nodes(count + 1, 50, &err) < 0 && err.code == MOB_ERR_TIMEOUT);
    make_file(words[0], "asked", "");
    CHECK_OK(mob_wait_nodes(count + 1, MOB_FOREVER, &err), &err);
    return 0;
}

const struct scene scenes_places[] = {
    { "spreads", "FOLDER HOSTS", spreads },
    { "pinned", "IP", pinned },
    { "overflows", "IP", overflows },
    { "labelled", "LABELS IP", labelled },
    { "holds", "RESOURCES MOST", holds },
    { "waits-for", "RESOURCES FOLDER IP", waits_for },
    { "gone", "NODE", gone },
    { "where", "COUNT HOSTS", where },
    { "knows-itself", "", knows_itself }, { "awaits-nodes", "FOLDER COUNT", awaits_nodes },
    { 0 },
};
