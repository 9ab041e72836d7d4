/* SPDX-License-Identifier: Apache-2.0 */
/* test_sim.c -- run the simulated cluster from one or many seeds: test_sim [--seed N] [--seeds N] [--nodes N] [--drivers N]
 * [--tasks N] [--faults] [--crash] [--scenes] [--trace]
 * [--stores [--store-bytes N] [--large N] [--tight] [--overflow] [--broadcast] [--cancels] [--streams]] [--heads] [--drains] [--memory].
 * The seed is printed before it runs, so that a run that aborts names it.
 *
 * It can fail. Broken on purpose, one at a time, and what said so within 60 seeds:
 *   an owner ignores that it lost the compare-and-swap of a take-back        judge_runs(): a call ran twice
 *   an owner judges a death before it drained the answer ring                judge_runs(): a call ran twice
 *   an owner charges the unclaimed tasks of a dead worker, too               judge(): WORKER_CRASHED of a call that never ran
 *   an owner charges nobody                                                  the program does not end
 *   a raylet keeps for ever what its owner wants first elsewhere             the program does not end
 *   a raylet does not take the GPU indices it lends                          mob_raylet_check()
 * and with --faults, from seed 1, in how many seeds:
 *   a raylet does not regain the CPU on Unblocked               1   check_running(): the lease holds no CPU
 *   a worker does not raise its page's epoch at Assign          1   check_page()
 *   a raylet does not skip a Place that is sent again           1   places.c: it granted or declined more than was placed
 *   a worker claims frames of any epoch                         1   check_running(): on a lease that is not lent
 *   a raylet does not end the workers of a job that is over    10   check_end(): a worker outlives its job (--crash: 1)
 *   a raylet does not answer Watch for an owner that died       1   an assert of the raylet: its questions are not empty
 *   a raylet keeps the wants of a job that is over            233   check_end(): the raylet still wants
 *   a raylet takes a Grant that it knows for a new one          1   check_pushed(): it was not told (the Grant is repeated)
 *   a raylet tells of six in seven leases that are over         3   check_pushed()
 *   a raylet takes a Claim again under the number it knows      8   places.c: it granted more than was claimed (it is repeated)
 *   a raylet does not tell owners that a lender is lost        21   check_pushed()
 *   what a peer forgot at a reset is not asked for again        -   the program does not end (--faults --crash --drivers 3: one in 5,000)
 * and with --scenes, in how many seeds:
 *   nothing reserves                                            1   "big" starved
 *   what is set aside is lent to who is behind                  1   check_reserve(): overtaken
 *   the head claims nothing                                     1   "big" starved: no node sets anything aside for it
 *   a claim is never given up                                   1   "one node, from elsewhere" starved
 * and with --stores --store-bytes 700000 --large 60000, in how many seeds:
 *   a borrower does not release its last ticket                 1   check_no_objects(): objects and holds
 *   a worker answers before its holds are confirmed             1   shelf_check_empty(): the store has a value
 *   a container does not pin what it carries                    1   SIGSEGV in the owner
 *   an owner forgets copies that it is told of                  1   shelf_check_empty(): a copy
 *   a store evicts what is pinned                              18   value_check(): not what was sealed
 *   a store evicts what is served                              10   an invariant of the object
 *   an owner does not end the holds of a dead process (--faults) 1  check_no_objects(): objects and holds
 *   a result of index > 0 is not freed (--cancels, of 100)     99   shelf_check_empty(): the store has a value
 *   the answer of a cancelled task is not freed (the same)     57   shelf_check_empty(): the store has a value
 *   no owner hears what a store has when a link broke (--faults) -  shelf_check_empty(): the store has a value (4 in 2,300)
 * and with --stores --store-bytes 400000 --tight, in how many of 200 seeds:
 *   a store forgets whom it told that an object is here       102   what a process was told is in its store is not there
 *   a pull waits for room for ever                              9   the program does not end
 *   an idle worker is ended while workers are lent to it        1   an illegal error, OBJECT_LOST
 *   what came back to its owner ends with who returned it       -   an illegal error, OBJECT_LOST (4 in 400)
 * and with --stores --broadcast --nodes 6 --tasks 20 --store-bytes 100000000 --cancels --faults, in how many of 60 seeds:
 *   chunks are passed on before they have come                 34   value_check(): not what was sealed
 *   a pull that was given up is freed while it is passed on     3   an invariant of the object
 * and with --stores --streams --store-bytes 700000 --large 60000, in how many seeds of how many:
 *   a worker is not rung when it may send more           15 of 30   the program does not end
 *   a lender does not heed Allow                         20 of 20   the program does not end
 *   Allow leaves before the frame that it speaks of      36 of 60   the program does not end
 *   a stream that is closed keeps what is unread         20 of 20   check_no_objects(): objects and holds
 *   an item is sent before its holds are confirmed       43 of 60   check_no_objects(): objects and holds
 *   items of a cancelled task are not freed (--cancels)   4 of 60   shelf_check_empty(): the store has a value
 *   their tickets are not given back (--cancels)          3 of 60   check_no_objects(): objects and holds
 *   a retry sends all its items again (--faults)          6 of 60   on_warn(): an item out of turn
 * and with --stores --drains --nodes 5 --tasks 300 --store-bytes 700000 --large 60000, in how many seeds of how many:
 *   a draining node keeps its objects                    10 of 30   an illegal error, NODE_DIED
 *   nobody asks the owner where an object is now         1 of 150   an illegal error, OBJECT_LOST
 *   what was adopted is a copy, and goes                  2 of 60   an illegal error, NODE_DIED
 *   a draining node lends on                             10 of 36   check_drain()
 *   leases are not waited for                            10 of 39   user_turn(): a second attempt
 *   owners are not waited for                            10 of 57   an illegal error, OWNER_DIED
 *   ... but at once after their tasks                    10 of 94   an illegal error, OBJECT_LOST
 * and with --memory, in how many of 60 seeds:
 *   want of memory is charged as a death is                     1   an illegal error, OUT_OF_MEMORY
 *   what may run but once is repeated after it                  4   judge_runs(): a call ran twice
 *   who rests is never queued again                          most   the program does not end
 * Not to be seen from here: claiming frames of older epochs only. No owner returns a lease before it took back what it pushed. Reserving
 * what a blocked worker holds: its children are deeper, and its siblings do not wait for each other here (test_raylet_claim.c).
 * What it found that nobody had put there is in the tests marked "found by the simulator". */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/log.h"
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

static int run(const struct sim_config *config)
{
    struct sim *s = sim_create(config);
    int result = 0;

    run_until(s, s->now + TIME_MAX, true);
    if (s->programs_running > 0) {
        fprintf(stderr, "seed %lu: %u programs did not end\n", (unsigned long)config->seed, s->programs_running);
        say_stuck(s);
        result = 1;
    } else {
        int64_t quiet = s->now > s->faults_until ? s->now : s->faults_until;
        quiet = quiet > s->memory_until ? quiet : s->memory_until;
        run_until(s, quiet + SETTLE_NS, false);
        check_end(s);
        drains_check(s);
        printf("seed %lu: %lu steps, %lu functions, %lu right, %lu failed, %.1f s\n", (unsigned long)config->seed,
               (unsigned long)s->steps, (unsigned long)s->functions_run, (unsigned long)s->tasks_right,
               (unsigned long)s->tasks_failed, (double)(s->now - 100 * SIM_S) / 1e9);
        if (config->drains)
            printf("  %u nodes were asked to leave, %u did\n", s->drained_count, s->left);
        if (config->memory)
            printf("  %lu workers ended for memory\n", (unsigned long)s->ended_for_memory);
        if (config->streams)
            printf("  %lu items sent, %lu read\n", (unsigned long)s->items_sent, (unsigned long)s->items_read);
        if (config->stores)
            printf("  %lu ranges pulled, %lu of nodes that received them, %lu objects spilled, %lu read back, %lu places in the overflow, %lu"
                   " tasks cancelled, %lu of them staged, %lu made again what was lost\n", (unsigned long)s->landed, (unsigned long)s->passed_on, (unsigned long)s->spilled,
                   (unsigned long)s->read_back, (unsigned long)s->overflowed, (unsigned long)s->cancelled, (unsigned long)s->cancelled_staging,
                   (unsigned long)s->made_again);
    }
    sim_destroy(s);
    return result;
}

/* Each scene with each seed. */
static int run_scenes(struct sim_config config, unsigned long seeds)
{
    const struct scene *scene;
    int failed = 0;

    for (unsigned long i = 0; i < seeds; i++, config.seed++) {
        for (unsigned n = 0; (scene = scene_find(n)) != NULL; n++) {
            printf("seed %lu, %s ...\n", (unsigned long)config.seed, scene->name);
            config.scene = scene;
            config.nodes = scene->nodes;
            config.drivers = ROLES_MAX;
            failed |= run(&config);
        }
    }
    return failed;
}

int main(int argc, char **argv)
{
    static const struct option known[] = {
        { "seed", required_argument, NULL, 's' }, { "seeds", required_argument, NULL, 'S' }, { "nodes", required_argument, NULL, 'n' },
        { "drivers", required_argument, NULL, 'd' }, { "tasks", required_argument, NULL, 't' }, { "faults", no_argument, NULL, 'f' },
        { "crash", no_argument, NULL, 'c' }, { "scenes", no_argument, NULL, 'm' }, { "stores", no_argument, NULL, 'o' },
        { "store-bytes", required_argument, NULL, 'b' }, { "large", required_argument, NULL, 'l' }, { "tight", no_argument, NULL, 'i' },
        { "broadcast", no_argument, NULL, 'r' }, { "cancels", no_argument, NULL, 'x' }, { "overflow", no_argument, NULL, 'v' },
        { "heads", no_argument, NULL, 'h' }, { "drains", no_argument, NULL, 'D' },
        { "memory", no_argument, NULL, 'e' },
        { "streams", no_argument, NULL, 'y' },
        { "trace", no_argument, NULL, 'T' }, { 0 },
    };
    struct sim_config config = { .seed = 1, .nodes = 3, .drivers = 2, .tasks = 60, .store_bytes = 2 << 20, .large = 100000 };
    unsigned long seeds = 1;
    bool scenes = false;
    int c, failed = 0;

    while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
        unsigned long n = optarg != NULL ? strtoul(optarg, NULL, 10) : 0;
        switch (c) {
        case 's': config.seed = n; break;
        case 'S': seeds = n; break;
        case 'n': config.nodes = (unsigned)n; break;
        case 'd': config.drivers = (unsigned)n; break;
        case 't': config.tasks = (unsigned)n; break;
        case 'f': config.faults = true; break;
        case 'c': config.crash = true; break;
        case 'm': scenes = true; break;
        case 'o': config.stores = true; break;
        case 'b': config.store_bytes = n; break;
        case 'l': config.large = n; break;
        case 'i': config.tight = true; break;
        case 'r': config.broadcast = true; break;
        case 'x': config.cancels = true; break;
        case 'y': config.streams = true; break;
        case 'v': config.overflow = true; break;
        case 'h': config.heads = true; break;
        case 'D': config.drains = true; break;
        case 'e': config.memory = true; break;
        case 'T': config.trace = true; break;
        default: return 2;
        }
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    setenv("MOBULA_LOG", "error", 0);
    mob_log_init("sim");
    if (scenes)
        return run_scenes(config, seeds);
    for (unsigned long i = 0; i < seeds; i++, config.seed++) {
        printf("seed %lu ...\n", (unsigned long)config.seed);
        failed |= run(&config);
    }
    return failed;
}
