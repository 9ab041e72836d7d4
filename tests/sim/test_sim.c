/* SPDX-License-Identifier: Apache-2.0 */
/* test_sim.c -- run the simulated cluster from one or many seeds: ./run sim [--seed N] [--seeds N] [--nodes N] [--drivers N]
 * [--tasks N] [--faults [LIST]] [--crash] [--scenes] [--trace] [--unchecked] [--scale [--restart]]
 * [--stores [--store-bytes N] [--large N] [--tight] [--overflow] [--broadcast] [--cancels] [--streams] [--losses] [--relays]] [--heads]
 * [--drains] [--memory]. The seed is printed before it runs, and the command that runs it alone when it fails.
 *
 * It can fail: docs/mutants.md records what was broken on purpose, and the seeds that it took.
 * What it found that nobody had put there is in the tests marked "found by the simulator". */
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "faults.h"
#include "scene.h"
#include "stores.h"

#define TIME_MAX (600 * SIM_S)          /* virtual; everything ends long before */
#define SETTLE_NS (20 * SIM_S)          /* for the dead to be noticed, machines to come back, workers to be ended */

static void run_until(struct sim *s, int64_t end, bool until_programs_end)
{
    while (s->now < end && (!until_programs_end || s->programs_running > 0)) {
        if (!sim_step(s))
            return;
        check_step(s);
    }
}

/* What each process still has to do: who waits for whom when a program does not end. */
static void say_stuck(struct sim *s)
{
    for (unsigned i = 0; i <= s->config.nodes; i++) {
        struct process *p;
        mob_list_each(p, &s->hosts[i].processes, struct process, by_host) {
            struct mob_owner_counts c;
            if (!p->a.alive || p->owner == NULL)
                continue;
            c = mob_owner_counts(p->owner);
            fprintf(stderr, "  %u.%u on host %u%s: %lu tasks wait, %lu are queued, %lu staged, %lu pushed, %lu rest; %lu leases, %lu objects; %s\n",
                    p->self.node, p->self.process, i, p->driver ? ", a driver" : "", (unsigned long)c.waiting,
                    (unsigned long)c.queued, (unsigned long)c.staging, (unsigned long)c.pushed, (unsigned long)c.resting, (unsigned long)c.leases, (unsigned long)c.objects,
                    p->work != NULL ? "runs a function" : "idle");
            if (p->user != NULL)
                user_say(p);
        }
        if (s->hosts[i].raylet != NULL && s->hosts[i].raylet->shelf != NULL)
            shelf_say(s->hosts[i].raylet);
    }
}

/* -- how to see it again ------------------------------------------------------------------------------------------------------ */

static char again[1024];                /* said by whoever ends badly */

static void say_again(void)
{
    if (write(STDERR_FILENO, again, strlen(again)) < 0)
        return;                         /* nobody listens */
}

static void on_crash(int signal_number)
{
    say_again();
    raise(signal_number);               /* as by default, now: SA_RESETHAND */
}

static void watch_crashes(void)
{
    static const int numbers[] = { SIGABRT, SIGSEGV, SIGBUS, SIGFPE };
    struct sigaction action = { .sa_handler = on_crash, .sa_flags = (int)SA_RESETHAND }, old;

    for (size_t i = 0; i < MOB_COUNT(numbers); i++)
        if (sigaction(numbers[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL)        /* a sanitizer has more to say */
            sigaction(numbers[i], &action, NULL);
}

/* The command that runs this seed alone, from the words of this one. */
static void note_command(int argc, char **argv, unsigned long seed)
{
    size_t used = (size_t)snprintf(again, sizeof again, "to see it again: ./run sim --seed %lu", seed);

    for (int i = 1; i < argc && used < sizeof again; i++) {
        bool of_seeds = strncmp(argv[i], "--seed", 6) == 0;

        i += of_seeds && strchr(argv[i], '=') == NULL;
        if (!of_seeds && strcmp(argv[i], "--trace") != 0)
            used += (size_t)snprintf(again + used, sizeof again - used, " %s", argv[i]);
    }
    if (used < sizeof again)
        snprintf(again + used, sizeof again - used, " --trace\n");
}

static int64_t last_fault(const struct sim *s, int64_t began_at)
{
    return faults_over(s) > began_at ? faults_over(s) : began_at;
}

#define PATIENCE_NS (60 * SIM_S)        /* of a store (objstore/store_wait.c) */

/* So long after the last fault all programs have ended: the dead are noticed, wants are said again, and what is left is done. Where stores
 * may be full of what is in use, it waits for room, and gives up, one by one; elsewhere a large value may, once. */
static int64_t ends_ns(const struct sim_config *config)
{
    int64_t ns = 60 * SIM_S + (int64_t)config->tasks * config->drivers * 50 * SIM_MS;

    return config->tight ? TIME_MAX : config->stores ? ns + PATIENCE_NS : ns;
}

static void say_counts(const struct sim *s)
{
    printf("seed %lu: %lu steps, %lu functions, %lu right, %lu failed, %.1f s\n", (unsigned long)s->config.seed,
           (unsigned long)s->steps, (unsigned long)s->functions_run, (unsigned long)s->tasks_right,
           (unsigned long)s->tasks_failed, (double)(s->now - 100 * SIM_S) / 1e9);
    if (s->config.drains)
        printf("  %u nodes were asked to leave, %u did\n", s->drained_count, s->left);
    if (s->config.memory)
        printf("  %lu workers ended for memory\n", (unsigned long)s->ended_for_memory);
    if (s->config.streams)
        printf("  %lu items sent, %lu read\n", (unsigned long)s->items_sent, (unsigned long)s->items_read);
    if (s->config.stores)
        printf("  %lu ranges pulled, %lu of nodes that received them, %lu objects spilled, %lu read back, %lu places in the overflow, %lu"
               " tasks cancelled, %lu of them staged, %lu made again what was lost\n", (unsigned long)s->landed, (unsigned long)s->passed_on, (unsigned long)s->spilled,
               (unsigned long)s->read_back, (unsigned long)s->overflowed, (unsigned long)s->cancelled, (unsigned long)s->cancelled_staging,
               (unsigned long)s->made_again);
}

static void say_speed(const struct sim *s, double cpu_s)
{
    printf("  %.2f s of CPU, %.0f events/s, %.0f functions/s\n", cpu_s, (double)s->steps / cpu_s, (double)s->functions_run / cpu_s);
}

static int run(const struct sim_config *config)
{
    struct sim *s = sim_create(config);
    clock_t began = clock();
    int64_t began_at = s->now;
    int result = 0;

    if (config->restart) {
        result = restart_measure(s) ? 0 : 1;
        sim_destroy(s);
        return result;
    }

    run_until(s, s->now + TIME_MAX, true);
    if (s->config.scene == NULL && s->now - last_fault(s, began_at) > ends_ns(config)) {
        fprintf(stderr, "seed %lu: it ended, or not, %.1f s after the last fault\n", (unsigned long)config->seed,
                (double)(s->now - last_fault(s, began_at)) / 1e9);
        result = 1;
    }
    if (s->programs_running > 0) {
        fprintf(stderr, "seed %lu: %u programs did not end\n", (unsigned long)config->seed, s->programs_running);
        say_stuck(s);
        result = 1;
    } else {
        int64_t quiet = faults_over(s);
        run_until(s, (s->now > quiet ? s->now : quiet) + SETTLE_NS, false);
        check_end(s);
        drains_check(s);
        say_counts(s);
        if (config->unchecked)
            say_speed(s, (double)(clock() - began) / CLOCKS_PER_SEC);
    }
    sim_destroy(s);
    return result;
}

static int run_and_say(const struct sim_config *config)
{
    int failed = run(config);

    if (failed)
        say_again();
    return failed;
}

/* Each scene with each seed. */
static int run_scenes(struct sim_config config, unsigned long seeds, int argc, char **argv)
{
    const struct scene *scene;
    int failed = 0;

    if (config.faults != 0 || config.crash || config.drains || config.memory || config.stores) {
        fprintf(stderr, "--scenes says who starves by how long calls wait: they wait longer with --faults, --heads, --crash, --drains or "
                        "--memory, and --stores has other programs; leave these out\n");
        return 2;
    }
    for (unsigned long i = 0; i < seeds; i++, config.seed++) {
        for (unsigned n = 0; (scene = scene_find(n)) != NULL; n++) {
            printf("seed %lu, %s ...\n", (unsigned long)config.seed, scene->name);
            note_command(argc, argv, config.seed);
            config.scene = scene;
            config.nodes = scene->nodes;
            config.drivers = ROLES_MAX;
            failed |= run_and_say(&config);
        }
    }
    return failed;
}

/* What the words ask for. */
struct runs {
    struct sim_config config;
    unsigned long seeds;
    bool scenes, scale;
};

static int parse(int argc, char **argv, struct runs *r)
{
    static const struct option known[] = {
        { "seed", required_argument, NULL, 's' }, { "seeds", required_argument, NULL, 'S' }, { "nodes", required_argument, NULL, 'n' },
        { "drivers", required_argument, NULL, 'd' }, { "tasks", required_argument, NULL, 't' }, { "faults", optional_argument, NULL, 'f' },
        { "crash", no_argument, NULL, 'c' }, { "scenes", no_argument, NULL, 'm' }, { "stores", no_argument, NULL, 'o' },
        { "store-bytes", required_argument, NULL, 'b' }, { "large", required_argument, NULL, 'l' }, { "tight", no_argument, NULL, 'i' },
        { "broadcast", no_argument, NULL, 'r' }, { "cancels", no_argument, NULL, 'x' }, { "overflow", no_argument, NULL, 'v' },
        { "heads", no_argument, NULL, 'h' }, { "drains", no_argument, NULL, 'D' },
        { "memory", no_argument, NULL, 'e' }, { "streams", no_argument, NULL, 'y' }, { "unchecked", no_argument, NULL, 'u' },
        { "losses", no_argument, NULL, 'L' }, { "relays", no_argument, NULL, 'E' }, { "scale", no_argument, NULL, 'a' }, { "restart", no_argument, NULL, 'R' },
        { "trace", no_argument, NULL, 'T' }, { 0 },
    };
    struct sim_config *config = &r->config;
    int c;

    while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
        unsigned long n = optarg != NULL ? strtoul(optarg, NULL, 10) : 0;
        switch (c) {
        case 's': config->seed = n; break;
        case 'S': r->seeds = n; break;
        case 'n': config->nodes = (unsigned)n; break;
        case 'd': config->drivers = (unsigned)n; break;
        case 't': config->tasks = (unsigned)n; break;
        case 'f':
            if (optarg == NULL && optind < argc && argv[optind][0] != '-')
                optarg = argv[optind++];
            config->faults |= FAULTS_USUAL;
            if (optarg != NULL && !faults_parse(optarg, &config->faults)) {
                fprintf(stderr, "--faults takes \"all\", or some of these, with commas between:\n");
                faults_list();
                return -1;
            }
            break;
        case 'c': config->crash = true; break;
        case 'm': r->scenes = true; break;
        case 'o': config->stores = true; break;
        case 'b': config->store_bytes = n; break;
        case 'l': config->large = n; break;
        case 'i': config->tight = true; break;
        case 'r': config->broadcast = true; break;
        case 'x': config->cancels = true; break;
        case 'y': config->streams = true; break;
        case 'L': config->losses = true; break;
        case 'E': config->relays = true; break;
        case 'v': config->overflow = true; break;
        case 'h': config->faults |= FAULT_RESTART_HEAD; break;
        case 'D': config->drains = true; break;
        case 'e': config->memory = true; break;
        case 'u': config->unchecked = true; break;
        case 'a': r->scale = config->unchecked = true; break;
        case 'R': config->restart = true; break;
        case 'T': config->trace = true; break;
        default: return -1;
        }
    }
    if (config->drains && config->nodes <= config->drivers) {
        fprintf(stderr, "--drains asks hosts without a driver to leave, and there is none: --nodes %u, or fewer --drivers\n", config->drivers + 1);
        return -1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct runs r = { .config = { .seed = 1, .nodes = 3, .drivers = 2, .tasks = 60, .store_bytes = 2 << 20, .large = 100000 }, .seeds = 1 };
    int failed = 0;

    if (parse(argc, argv, &r) < 0)
        return 2;
    /* Where it is said, it stays: most of a channel is never used, and only pages that come from the kernel need not be cleared. */
    mallopt(M_MMAP_THRESHOLD, 128 << 10);
    setvbuf(stdout, NULL, _IOLBF, 0);
    setenv("MOBULA_LOG", "error", 0);
    mob_log_init("sim");
    watch_crashes();
    if (r.scale)
        r.config.scene = scene_of_scale(r.config.nodes, &r.config.drivers, r.config.tasks);
    if (r.scenes)
        return run_scenes(r.config, r.seeds, argc, argv);
    for (unsigned long i = 0; i < r.seeds; i++, r.config.seed++) {
        printf("seed %lu ...\n", (unsigned long)r.config.seed);
        note_command(argc, argv, r.config.seed);
        failed |= run_and_say(&r.config);
    }
    return failed;
}
