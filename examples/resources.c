/* SPDX-License-Identifier: Apache-2.0 */
/* resources.c -- tasks that need a GPU each, and tasks that need one of three licences: where each ran, with which GPUs, and how many
 * held the resource at once. For a cluster with 2 GPUs and licence=3 in all; without one it starts a private cluster that declares them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tally.h"

#define TASKS 12

struct held {
    double from, to;                    /* seconds of the wall clock */
    char node[40], host[64], gpus[64], visible[64];
};

static double wall_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Hold what the lease gave for some milliseconds. */
static int hold(struct mob_task *t, struct mob_error *err)
{
    struct mob_task_self self = { .size = sizeof self };
    struct timespec pause;
    struct held h = { 0 };
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    uint32_t ms;

    if (mob_arg_copy(t, 0, &ms, sizeof ms, err) < 0 || mob_task_self(t, &self, err) < 0)
        return -1;
    h.from = wall_now();
    pause = (struct timespec){ .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000 };
    nanosleep(&pause, NULL);
    h.to = wall_now();
    snprintf(h.node, sizeof h.node, "%s", self.node);
    snprintf(h.host, sizeof h.host, "%s", self.ip);
    snprintf(h.visible, sizeof h.visible, "%s", visible != NULL ? visible : "-");
    for (unsigned i = 0; i < self.gpu_count && strlen(h.gpus) < 48; i++)
        snprintf(h.gpus + strlen(h.gpus), 16, "%s%u", i > 0 ? "," : "", self.gpus[i]);
    return mob_return(t, 0, MOB_BYTES(&h, sizeof h), err);
}
MOB_TASK(hold)

static int most_at_once(const struct held *all, int n)
{
    int most = 0;

    for (int i = 0; i < n; i++) {
        int now = 0;
        for (int j = 0; j < n; j++)
            now += all[j].from <= all[i].from && all[i].from < all[j].to;
        most = now > most ? now : most;
    }
    return most;
}

/* Run TASKS holders that ask for `resources`; returns how many held it at once, or ends the program. */
static int run(const char *resources, uint32_t ms, struct tally *tally)
{
    struct mob_options options = { .size = sizeof options, .resources = resources };
    struct mob_error err;
    struct mob_fn *fn = mob_fn("hold", &options, &err);
    struct mob_ref *refs[TASKS];
    struct held all[TASKS];
    int most;

    if (fn == NULL)
        fail("resources", &err);
    for (int i = 0; i < TASKS; i++)
        if (mob_call(fn, (struct mob_value[]){ MOB_BYTES(&ms, sizeof ms) }, 1, &refs[i], &err) < 0)
            fail("resources", &err);
    for (int i = 0; i < TASKS; i++) {
        if (mob_get_copy(refs[i], MOB_FOREVER, &all[i], sizeof all[i], &err) < 0)
            fail("resources", &err);
        mob_ref_drop(refs[i]);
        tally_add(tally, all[i].host);
        printf("  %-12s task %2d  node %s (%s)  GPU %s  CUDA_VISIBLE_DEVICES=%s\n", resources, i, all[i].node, all[i].host,
               all[i].gpus[0] != '\0' ? all[i].gpus : "-", all[i].visible);
    }
    mob_fn_destroy(fn);
    most = most_at_once(all, TASKS);
    printf("  %s: at most %d at once\n", resources, most);
    return most;
}

int main(int argc, char **argv)
{
    struct mob_error err;
    struct mob_init_options options;
    uint32_t ms = (uint32_t)example_options(argc, argv, 100, 30, &options);
    struct tally tally = { 0 };
    int gpus, licences;

    options.resources = options.address == NULL && getenv("MOBULA_ADDRESS") == NULL ? "CPU=8,GPU=2,licence=3" : NULL;
    if (mob_init(argc, argv, &options, &err) < 0)
        fail("resources", &err);
    printf("resources: %d tasks each, of %u ms\n", TASKS, ms);
    gpus = run("GPU=1", ms, &tally);
    licences = run("licence=1", ms, &tally);
    tally_print_hosts(&tally);
    mob_shutdown();
    if (gpus > 2 || licences > 3)
        return fprintf(stderr, "resources: more was held at once than there is\n"), 1;
    return 0;
}
