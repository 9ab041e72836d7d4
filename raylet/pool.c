/* SPDX-License-Identifier: Apache-2.0 */
/* pool.c -- worker processes, by job.
 *
 *   STARTING --> IDLE <--> LENT <--> BLOCKED          each of them --> ENDING --> GONE, or GONE at once if it dies by itself
 *                 ^-------------------'
 *
 *   STARTING  spawned; waits for its Hello, START_NS at most
 *   IDLE      waits for a lease of its job; one beyond the CPU count is ended after idle_worker_ms, unless others hold what it made,
 *             or tasks of its own are not over
 *   LENT      serves a lease: waits for Return, or the lease's end
 *   BLOCKED   the same, asleep: its CPU is free for others
 *   ENDING    told to end (END_NS later killed), or killed: waits to be reaped
 *   GONE      reaped: freed
 *
 * A lease that finds no idle worker waits in its kind's line. At most one worker a CPU is starting at a time, and STARTING_MAX, so that a
 * burst of leases does not become a burst of execs: each is waited for, and meanwhile no beat leaves this node. Workers that nobody waits
 * for yet are started at a driver's Hello, or when the world is prepared for their start (world->prepare). A worker with GPUs is started
 * for one lease, with its indices, and ended after it.
 *
 * A program that cannot be started must not spin: after a failure its kind rests, longer each time, its waiting leases give their
 * resources back, and their owners are told why. One that this node can never run (`unfit`: built for another machine) is not tried
 * again: its wants count as infeasible here, so that they go to the head, which is told and leaves this node out.
 */
#include "raylet/pool.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "raylet/core.h"

#define WORKERS_MAX 4096
#define STARTING_MAX 32
#define BLOCKED_MAX 1024
#define START_NS (30000 * MS)
#define END_NS (1000 * MS)
#define RETRY_NS (100 * MS)             /* after the first failed start; doubles to RETRY_NS << 6 */

static const struct mob_state worker_states[] = {
    [WORKER_STARTING] = { "starting", NULL, MOB_TO(WORKER_IDLE) | MOB_TO(WORKER_ENDING) | MOB_TO(WORKER_GONE) },
    [WORKER_IDLE]     = { "idle",     NULL, MOB_TO(WORKER_LENT) | MOB_TO(WORKER_ENDING) | MOB_TO(WORKER_GONE) },
    [WORKER_LENT]     = { "lent",     NULL,
                          MOB_TO(WORKER_BLOCKED) | MOB_TO(WORKER_IDLE) | MOB_TO(WORKER_ENDING) | MOB_TO(WORKER_GONE) },
    [WORKER_BLOCKED]  = { "blocked",  NULL,
                          MOB_TO(WORKER_LENT) | MOB_TO(WORKER_IDLE) | MOB_TO(WORKER_ENDING) | MOB_TO(WORKER_GONE) },
    [WORKER_ENDING]   = { "ending",   NULL, MOB_TO(WORKER_GONE) },
    [WORKER_GONE]     = { "gone",     NULL, 0 },
};

static bool worker_holds(const struct mob_machine *m)
{
    const struct worker *w = MOB_CONTAINER(m, struct worker, machine);

    if (m->now == WORKER_IDLE || m->now == WORKER_GONE)
        return w->lease == NULL || w->for_one;
    return (m->now != WORKER_LENT && m->now != WORKER_BLOCKED) || w->lease != NULL;
}

void mob_pool_init(struct mob_raylet *r)
{
    mob_list_init(&r->pool.starting);
    mob_list_init(&r->pool.idle);
    mob_list_init(&r->pool.ending);
}

static void close_channel(struct worker *w)
{
    if (w->channel != NULL)
        mob_channel_close(w->channel);
}

void mob_pool_fini(struct mob_raylet *r)
{
    struct kind *k;
    struct worker *w;

    for (size_t at = 0; (k = mob_map_next(&r->pool.kinds, &at, NULL)) != NULL;) {
        mob_list_each(w, &k->workers, struct worker, of_kind) {
            close_channel(w);
            free(w);
        }
        free(k->unfit);
        free(k);
    }
    mob_map_fini(&r->pool.kinds);
}

/* -- kinds --------------------------------------------------------------------------------------------------------------- */

struct kind *mob_pool_kind(struct mob_raylet *r, struct mob_address job, const struct mob_hash *executable,
                           uint32_t executable_node)
{
    struct kind *k = mob_map_get(&r->pool.kinds, mob_address_key(job));

    if (k != NULL)
        return k;
    k = mob_new(struct kind);
    k->job = job;
    k->executable = *executable;
    k->executable_node = executable_node;
    mob_list_init(&k->workers);
    mob_list_init(&k->idle);
    mob_list_init(&k->waiting);
    mob_map_set(&r->pool.kinds, mob_address_key(job), k);
    return k;
}

bool mob_raylet_uses(const struct mob_raylet *r, const struct mob_hash *executable)
{
    const struct kind *k;

    for (size_t at = 0; (k = mob_map_next(&r->pool.kinds, &at, NULL)) != NULL;)
        if (memcmp(&k->executable, executable, sizeof *executable) == 0)
            return true;
    return false;
}

void mob_pool_kind_release(struct mob_raylet *r, struct kind *k)
{
    if (k->wants > 0 || !mob_list_empty(&k->workers))
        return;
    assert(mob_list_empty(&k->waiting));
    if (k->over && r->config.store != NULL)
        mob_store_job_over(r->config.store, k->job);    /* what its workers sealed on their way out */
    mob_map_remove(&r->pool.kinds, mob_address_key(k->job));
    r->pool.failing -= k->failures > 0;
    free(k->unfit);
    free(k);
}

void mob_pool_prestart(struct mob_raylet *r, struct kind *k, uint32_t count)
{
    if (r->config.driver_only) {
        mob_pool_kind_release(r, k);
        return;
    }
    k->warm = count;
    k->preparing = r->world->prepare(r->world, &(struct mob_spawn){ .job = k->job, .executable = k->executable,
                                                                    .executable_node = k->executable_node });
    mob_pool_start_next(r);
}

void mob_raylet_prepared(struct mob_raylet *r, struct mob_address job)
{
    struct kind *k = mob_map_get(&r->pool.kinds, mob_address_key(job));

    r->now = r->world->now_ns(r->world);
    if (k == NULL)
        return;
    k->preparing = false;
    mob_pool_start_next(r);
}

bool mob_pool_may_lend(const struct mob_raylet *r, const struct kind *k)
{
    return !k->over && (!mob_list_empty(&k->idle) || (r->now >= k->retry_at && r->pool.alive + k->waiting_count < WORKERS_MAX));
}

/* -- the worker's life --------------------------------------------------------------------------------------------------- */

/* Move, and take the place in line that the new state has. */
static void move(struct mob_raylet *r, struct worker *w, enum worker_state state)
{
    struct pool *pool = &r->pool;

    pool->starting_count -= w->machine.now == WORKER_STARTING;
    pool->idle_count -= w->machine.now == WORKER_IDLE;
    pool->blocked -= w->machine.now == WORKER_BLOCKED;
    w->kind->starting -= w->machine.now == WORKER_STARTING && !w->for_one;
    mob_list_remove(&w->in_state);
    mob_list_remove(&w->idle);
    mob_machine_goto(&w->machine, state);
    w->since = r->now;
    pool->blocked += state == WORKER_BLOCKED;
    if (state == WORKER_IDLE) {
        pool->idle_count++;
        mob_list_append(&pool->idle, &w->in_state);
        mob_list_prepend(&w->kind->idle, &w->idle);
    }
}

static void start(struct mob_raylet *r, struct kind *k, struct lease *for_one)
{
    struct worker *w = mob_new(struct worker);
    struct process *p = mob_process_add(r, k->job, &k->executable);
    uint32_t gpus[MOB_GPUS_MAX];
    struct mob_spawn ask = {
        .process = p->address.process, .nonce = r->world->random(r->world), .job = k->job,
        .executable = k->executable, .executable_node = k->executable_node, .gpus = gpus,
    };

    p->worker = w;
    w->process = p;
    w->kind = k;
    w->lease = for_one;
    w->for_one = for_one != NULL;
    w->since = w->started_at = r->now;
    if (for_one != NULL)
        ask.gpu_count = mob_node_resources_gpus(&r->resources, &for_one->share, gpus);
    mob_machine_init(&w->machine, "worker", p->address.process, worker_states, WORKER_STARTING, worker_holds);
    mob_list_init(&w->idle);
    mob_list_init(&w->cancel.link);
    mob_list_append(&r->pool.starting, &w->in_state);
    mob_list_append(&k->workers, &w->of_kind);
    r->pool.starting_count++;
    r->pool.alive++;
    k->starting += !w->for_one;
    k->general += !w->for_one;
    r->world->spawn(r->world, &ask);
}

/* The oldest waiting lease whose worker must be started for it alone, or NULL. */
static struct lease *waiting_for_one(const struct kind *k)
{
    struct lease *l;

    mob_list_each(l, &k->waiting, struct lease, in_line)
        if (l->share.gpu_count > 0)
            return l;
    return NULL;
}

static void start_for_kind(struct mob_raylet *r, struct kind *k, uint32_t at_once)
{
    struct lease *l;

    if (k->over || r->now < k->retry_at)
        return;
    while (r->pool.starting_count < at_once && (l = waiting_for_one(k)) != NULL) {
        mob_list_remove(&l->in_line);
        start(r, k, l);
    }
    while (r->pool.starting_count < at_once && r->pool.alive < WORKERS_MAX
           && (k->starting < k->waiting_count || (!k->preparing && k->general < k->warm)))
        start(r, k, NULL);
    if (k->general >= k->warm)
        k->warm = 0;                    /* reached once; what is reaped later is not started again */
}

void mob_pool_start_next(struct mob_raylet *r)
{
    uint32_t cpus = mob_node_resources_cpus(&r->resources), at_once = cpus < STARTING_MAX ? cpus : STARTING_MAX;
    struct kind *k;

    if (r->over)
        return;
    for (size_t at = 0; r->pool.starting_count < at_once && (k = mob_map_next(&r->pool.kinds, &at, NULL)) != NULL;)
        start_for_kind(r, k, at_once);
}

void mob_pool_worker_up(struct mob_raylet *r, struct worker *w)
{
    struct lease *for_one = w->lease;
    bool rested = w->kind->failures > 0;

    r->pool.failing -= rested;
    w->kind->failures = 0;
    w->kind->retry_at = 0;              /* its program starts: nobody would end the rest later */
    move(r, w, WORKER_IDLE);
    if (w->for_one) {
        assert(for_one != NULL);        /* when its lease ended before, it was killed */
        mob_lease_grant(r, for_one, w);
    } else {
        mob_pool_take_back(r, w);
    }
    mob_pool_start_next(r);
    if (rested)
        mob_wants_serve(r);
}

/* -- lending ------------------------------------------------------------------------------------------------------------- */

void mob_pool_match(struct mob_raylet *r, struct lease *l)
{
    struct kind *k = l->want->kind;

    if (l->share.gpu_count == 0 && !mob_list_empty(&k->idle)) {
        mob_lease_grant(r, l, mob_list_first(&k->idle, struct worker, idle));
        return;
    }
    mob_list_append(&k->waiting, &l->in_line);
    k->waiting_count += l->share.gpu_count == 0;
    mob_pool_start_next(r);
}

void mob_pool_unmatch(struct mob_raylet *r, struct lease *l)
{
    struct kind *k = l->want->kind;
    struct worker *w;

    if (!mob_list_empty(&l->in_line)) {
        mob_list_remove(&l->in_line);
        k->waiting_count -= l->share.gpu_count == 0;
        return;
    }
    mob_list_each(w, &k->workers, struct worker, of_kind)
        if (w->lease == l) {
            w->lease = NULL;
            mob_pool_kill(r, w);
            return;
        }
}

uint32_t mob_pool_lend(struct mob_raylet *r, struct worker *w, struct lease *l)
{
    w->lease = l;
    mob_cancel_forget(r, w);
    move(r, w, WORKER_LENT);
    return ++w->epoch;
}

void mob_pool_connect(struct mob_raylet *r, struct worker *w, uint32_t owner)
{
    bool known = owner == 0 && w->channel_asked;

    for (size_t i = 0; owner != 0 && i < CHANNELS_OF_WORKER; i++)
        known |= w->owners[i] == owner;
    if (known)
        return;
    if (owner == 0)
        w->channel_asked = true;
    else
        w->owners[w->owners_next++ % CHANNELS_OF_WORKER] = owner;
    r->world->connect(r->world, owner, w->process->address.process);
}

void mob_pool_disconnect(struct worker *w, uint32_t owner)
{
    for (size_t i = 0; i < CHANNELS_OF_WORKER; i++)
        if (w->owners[i] == owner)
            w->owners[i] = 0;
}

void mob_pool_take_back(struct mob_raylet *r, struct worker *w)
{
    struct kind *k = w->kind;
    struct lease *l;

    w->lease = NULL;
    mob_cancel_drop(w);
    if (w->machine.now != WORKER_IDLE)
        move(r, w, WORKER_IDLE);
    mob_list_each(l, &k->waiting, struct lease, in_line)
        if (l->share.gpu_count == 0) {
            mob_list_remove(&l->in_line);
            k->waiting_count--;
            mob_lease_grant(r, l, w);
            return;
        }
}

void mob_pool_on_blocked(struct mob_raylet *r, const struct arrival *a)
{
    struct worker *w = a->connection->process->worker;

    if (w == NULL || w->machine.now != WORKER_LENT)
        return;
    if (w->lease->proxy != NULL)
        mob_proxy_take_all(r, w->lease->proxy);
    if (r->pool.blocked >= BLOCKED_MAX)
        return;
    w->cpu_lent = mob_resources_get(&w->lease->share.held, "CPU");
    mob_node_resources_lend_cpu(&r->resources, &w->lease->share);
    move(r, w, WORKER_BLOCKED);
    mob_wants_serve(r);
}

void mob_pool_on_unblocked(struct mob_raylet *r, const struct arrival *a)
{
    struct worker *w = a->connection->process->worker;

    if (w == NULL || w->machine.now != WORKER_BLOCKED)
        return;
    mob_node_resources_regain_cpu(&r->resources, &w->lease->share, w->cpu_lent);
    move(r, w, WORKER_LENT);
}

/* -- ending -------------------------------------------------------------------------------------------------------------- */

/* To ENDING, with its lease; a lease that only waited for it is the caller's. */
static void to_ending(struct mob_raylet *r, struct worker *w)
{
    bool serves = w->machine.now == WORKER_LENT || w->machine.now == WORKER_BLOCKED;

    mob_cancel_drop(w);
    move(r, w, WORKER_ENDING);
    if (serves)
        mob_lease_worker_ends(r, w->lease);
}

void mob_pool_retire(struct mob_raylet *r, struct worker *w)
{
    if (w->machine.now == WORKER_ENDING)
        return;
    to_ending(r, w);
    mob_list_append(&r->pool.ending, &w->in_state);
    r->world->kill(r->world, w->process->address.process, SIGTERM);
}

void mob_pool_kill(struct mob_raylet *r, struct worker *w)
{
    if (w->machine.now != WORKER_ENDING)
        to_ending(r, w);
    mob_list_remove(&w->in_state);
    r->world->kill(r->world, w->process->address.process, SIGKILL);
}

void mob_pool_doom(struct worker *w, enum mob_killed_by why)
{
    if (w->doom == MOB_KILLED_BY_UNKNOWN)
        w->doom = why;
}

void mob_pool_broken(struct mob_raylet *r, struct worker *w)
{
    mob_pool_doom(w, MOB_KILLED_BY_RAYLET);
    if (w->machine.now == WORKER_LENT || w->machine.now == WORKER_BLOCKED)
        mob_lease_end(r, w->lease, true, NULL);
    else if (w->machine.now != WORKER_ENDING)
        mob_pool_kill(r, w);
}

/* No worker of it will ever be: the head is told before it hears of the wants. */
static void never_starts(struct mob_raylet *r, struct kind *k, const char *why)
{
    struct want *w;

    k->unfit = mob_strdup(why);
    k->warm = 0;
    mob_warn("job %u.%u gets no workers here: %s", k->job.node, k->job.process, why);
    mob_death_tell_unfit(r, k);
    while (!mob_list_empty(&k->waiting))
        mob_lease_unmake(r, mob_list_first(&k->waiting, struct lease, in_line));
    k->wants++;                         /* it outlasts its wants here */
    mob_list_each(w, &r->wants.all, struct want, all)
        if (w->kind == k)
            mob_want_unfit(r, w);
    k->wants--;
}

/* The program does not start: tell the owners of the leases that wait for it, and let them give back what they hold. */
static void start_failed(struct mob_raylet *r, struct kind *k, const char *why)
{
    struct want *told = NULL;

    k->retry_at = r->now + (RETRY_NS << (k->failures < 6 ? k->failures : 6));
    r->pool.failing += k->failures == 0;
    k->failures++;
    k->warm = 0;
    mob_warn("no worker of job %u.%u could be started (%u times in a row): %s", k->job.node, k->job.process, k->failures, why);
    while (!mob_list_empty(&k->waiting)) {
        struct lease *l = mob_list_first(&k->waiting, struct lease, in_line);

        if (l->want != told)
            mob_death_tell_no_start(r, l->want, why);
        told = l->want;
        mob_lease_unmake(r, l);
    }
}

void mob_pool_worker_gone(struct mob_raylet *r, struct worker *w, const char *why, bool unfit)
{
    struct kind *k = w->kind;
    bool never_up = w->machine.now == WORKER_STARTING;
    struct lease *waiting = never_up ? w->lease : NULL;

    assert(never_up || w->lease == NULL);
    w->lease = NULL;
    mob_cancel_drop(w);
    move(r, w, WORKER_GONE);
    r->pool.alive--;
    k->general -= !w->for_one;
    mob_list_remove(&w->of_kind);
    close_channel(w);
    free(w);
    if (waiting != NULL)
        mob_list_prepend(&k->waiting, &waiting->in_line);
    if (never_up && unfit && !k->over && k->unfit == NULL)
        never_starts(r, k, why);
    else if (never_up && !k->over && k->unfit == NULL)
        start_failed(r, k, why);
    mob_pool_kind_release(r, k);
}

void mob_pool_end_job(struct mob_raylet *r, struct mob_address job)
{
    struct kind *k = mob_map_get(&r->pool.kinds, mob_address_key(job));
    struct worker *w;

    if (k == NULL)
        return;
    k->over = true;
    while (!mob_list_empty(&k->waiting))
        mob_lease_unmake(r, mob_list_first(&k->waiting, struct lease, in_line));
    mob_list_each(w, &k->workers, struct worker, of_kind) {
        mob_pool_doom(w, MOB_KILLED_BY_JOB);
        if (w->machine.now == WORKER_STARTING && w->lease != NULL)
            mob_lease_unmake(r, w->lease);
        else if (w->machine.now == WORKER_LENT || w->machine.now == WORKER_BLOCKED)
            mob_lease_end(r, w->lease, true, NULL);
        else
            mob_pool_kill(r, w);
    }
    mob_pool_kind_release(r, k);        /* none was ever started */
}

void mob_pool_kill_all(struct mob_raylet *r)
{
    struct kind *k;
    struct worker *w;

    for (size_t at = 0; (k = mob_map_next(&r->pool.kinds, &at, NULL)) != NULL;)
        mob_list_each(w, &k->workers, struct worker, of_kind)
            r->world->kill(r->world, w->process->address.process, SIGKILL);
}

/* -- time ---------------------------------------------------------------------------------------------------------------- */

/* The first of a list that is oldest first, or NULL. */
static struct worker *oldest(const struct mob_link *list)
{
    return mob_list_empty(list) ? NULL : mob_list_first(list, struct worker, in_state);
}

/* Kinds that rest after a failure and are wanted again. */
static int64_t retry(struct mob_raylet *r)
{
    int64_t next = INT64_MAX;
    bool due = false;
    struct kind *k;

    for (size_t at = 0; r->pool.failing > 0 && (k = mob_map_next(&r->pool.kinds, &at, NULL)) != NULL;) {
        if (k->failures == 0 || k->wants == 0)
            continue;
        if (r->now < k->retry_at)
            next = earlier(next, k->retry_at);
        else
            due = true;
    }
    if (due) {
        mob_pool_start_next(r);
        mob_wants_serve(r);
    }
    return next;
}

bool mob_pool_is_needed(const struct worker *w)
{
    return w->process->page != NULL && atomic_load_explicit(&w->process->page->held, memory_order_relaxed) != 0;
}

/* Retire what is idle for long, at most `surplus`, the longest idle first. Returns when to look again. */
static int64_t retire_surplus(struct mob_raylet *r, uint32_t surplus, int64_t idle_ns)
{
    struct worker *w;

    mob_list_each(w, &r->pool.idle, struct worker, in_state) {
        if (surplus == 0)
            return INT64_MAX;
        if (r->now - w->since < idle_ns)
            return w->since + idle_ns;
        if (mob_pool_is_needed(w))
            continue;
        mob_pool_retire(r, w);
        surplus--;
    }
    return surplus > 0 ? r->now + idle_ns : INT64_MAX;
}

int64_t mob_pool_tick(struct mob_raylet *r)
{
    uint32_t warm = mob_node_resources_cpus(&r->resources);
    int64_t idle_ns = r->config.idle_worker_ms * MS, next = retry(r);
    struct worker *w;

    while ((w = oldest(&r->pool.starting)) != NULL && r->now - w->since >= START_NS) {
        mob_list_remove(&w->in_state);  /* it counts as starting till it is reaped */
        r->world->kill(r->world, w->process->address.process, SIGKILL);
    }
    if (w != NULL)
        next = earlier(next, w->since + START_NS);
    if (r->pool.idle_count > warm)
        next = earlier(next, retire_surplus(r, r->pool.idle_count - warm, idle_ns));
    while ((w = oldest(&r->pool.ending)) != NULL && r->now - w->since >= END_NS)
        mob_pool_kill(r, w);
    return w != NULL ? earlier(next, w->since + END_NS) : next;
}
