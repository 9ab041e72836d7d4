/* SPDX-License-Identifier: Apache-2.0 */
/* worker_main.c -- the life of a worker process: claim a task, run it on the main thread, answer, again.
 *
 *   idle: spin a little, then sleep on doorbell and socket --> claim --> arguments here? fetch --> run --> results --> answer
 *
 * The lock is held but while the user's function runs: what arrives meanwhile waits, or is handled by the service thread once
 * the task has submitted something itself. The end comes from outside: the raylet closes the socket or kills us. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "common/print_mark.h"
#include "worker/heap.h"
#include "worker/running.h"

#define READ_EACH_NS 1000000            /* a worker that is never idle looks at its socket this often */
#define ANSWER_ROOM_NS 100000
#define KEEPS_NS 1000000000             /* what is free of the heap, without a task */

/* -- cancel ------------------------------------------------------------------------------------------------------------------ */

static struct mob_page *own_page;       /* for the signal handler: set before it is installed */
static pid_t own_pid;                   /* a child that a task forks has the handler, and not the page */

/* The raylet names (task, attempt) in the page, then sends SIGTERM. If another task runs by now, it is not meant. A SIGTERM
 * that no cancel explains is somebody's wish to end us. Either way the death says its signal: raised again, it comes on return. */
static void on_sigterm(int number)
{
    uint64_t cancelled = getpid() != own_pid ? 0 : atomic_load(&own_page->cancel_task);

    if (cancelled == 0 || (atomic_load(&own_page->claimed_ns) != 0 && atomic_load(&own_page->task) == cancelled
                           && atomic_load(&own_page->attempt) == atomic_load(&own_page->cancel_attempt))) {
        signal(number, SIG_DFL);
        raise(number);
    }
}

static void install_sigterm(struct mob_runtime *r)
{
    struct sigaction action = { .sa_handler = on_sigterm, .sa_flags = SA_RESTART };

    own_page = r->bell.page;
    own_pid = getpid();
    sigaction(SIGTERM, &action, NULL);
}

/* -- what it prints ---------------------------------------------------------------------------------------------------------- */

/* The pipes to the raylet, as they were at the start: a task may put something else in the place of 1 and 2. */
static int pipes[2] = { -1, -1 };

static void keep_pipes(void)
{
    for (int i = 0; i < 2; i++)
        pipes[i] = fcntl(STDOUT_FILENO + i, F_DUPFD_CLOEXEC, 64);
}

/* It is told under the name in the page. What the raylet has not read yet was printed under the name till now. */
void mob_task_print_as(struct mob_runtime *r, const char *name)
{
    _Static_assert(MOB_PRINT_MARK_MAX - MOB_PRINT_MARK_START == MOB_PAGE_NAME_SIZE, "a mark has room for a name");
    char mark[MOB_PRINT_MARK_MAX] = MOB_PRINT_MARK;

    if (mob_page_has_name(r->bell.page, name))
        return;
    mob_page_name(r->bell.page, mark + MOB_PRINT_MARK_START);
    for (int i = 0; i < 2; i++) {
        size_t size = MOB_PRINT_MARK_START + strlen(mark + MOB_PRINT_MARK_START) + 1;
        int held = 0;

        if (pipes[i] >= 0 && ioctl(pipes[i], FIONREAD, &held) == 0 && held > 0 && write(pipes[i], mark, size) < 0)
            pipes[i] = -1;
    }
    mob_page_set_name(r->bell.page, name);
}

/* -- one task ---------------------------------------------------------------------------------------------------------------- */

static void task_init(struct mob_task *t, struct mob_runtime *r, const struct mob_run *run)
{
    const struct mob_function *function = mob_function_find(run->function);

    if (function != NULL && function != t->function)
        mob_task_print_as(r, function->name);
    t->r = r;
    t->run = *run;
    t->function = function;
    t->fetches = NULL;
    t->borrowed = NULL;
    t->pins = NULL;
    t->renamed = NULL;
    t->lost = NULL;
    r->attempt = run->attempt;
    t->args = run->arg_count > 0 ? mob_alloc(run->arg_count * sizeof *t->args) : NULL;
    t->one_result = (struct task_result){ .set = false };
    t->results = run->returns <= 1 ? &t->one_result : mob_alloc(run->returns * sizeof *t->results);
    t->few_used = 0;
}

/* Where and what failed: set for every error of a task. */
static void sign_error(const struct mob_task *t, struct mob_error *why)
{
    if (why->code == MOB_OK)
        mob_error_set(why, MOB_ERR_TASK, "the function returned -1 and no error; fill it with mob_fail()");
    if (t->function != NULL)
        mob_copy(why->function, sizeof why->function, t->function->name);
    mob_copy(why->node, sizeof why->node, t->r->ip);
    why->pid = t->r->pid;
    why->attempt = (int32_t)t->run.attempt;
}

/* The owner adds the function's name: the frame has its hash alone. */
static int refuse_unknown(struct mob_error *why)
{
    char program[512];
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);

    program[n > 0 ? n : 0] = '\0';
    return mob_error_set(why, MOB_ERR_INVALID, "the program %s has no such task function, as a worker it registered %zu others; have it in "
                         "MOB_TASK() of the program itself", program, mob_function_count());
}

static int call_user(struct mob_task *t, struct mob_error *why)
{
    struct mob_runtime *r = t->r;
    int rc;

    memset(why, 0, offsetof(struct mob_error, text) + 1);
    if (t->function == NULL)
        return refuse_unknown(why);
    if (mob_task_resolve(t, why) < 0)
        return -1;
    r->running = true;
    r->depth = t->run.lease->depth + 1;
    r->run = t->run.number;
    r->cancelled = mob_executor_cancelled(r->executor, &t->run);        /* before its words reached us, or while its arguments came */
    mob_runtime_unlock(r);
    rc = t->function->run(t, why);
    fflush(stdout);                     /* its lines are out before its answer */
    fflush(stderr);
    pthread_mutex_lock(&r->lock);
    r->running = r->cancelled = false;
    r->run = 0;
    return rc < 0 ? -1 : 0;
}

/* What cannot be made smaller: each result small, or stored. */
_Static_assert(MOB_RETURNS_MAX * (sizeof(struct mob_arg_head) + sizeof(struct mob_stored_value)) <= MOB_CHANNEL_REPLY_MAX,
               "the most returns fit an answer, but for the references they carry");

/* The largest inline result goes to the store. False: none is left that would help. */
static bool shrink(struct mob_task *t, struct mob_result *list, struct mob_error *why)
{
    uint32_t largest = 0;

    for (uint32_t i = 1; i < t->run.returns; i++)
        if (!mob_result_is_bytes(&list[largest]) || (mob_result_is_bytes(&list[i]) && list[i].size > list[largest].size))
            largest = i;
    if (t->run.returns == 0 || !mob_result_is_bytes(&list[largest]) || list[largest].size <= sizeof(struct mob_stored_value)
        || mob_task_store_result(t, &t->results[largest], largest, why) < 0)
        return false;
    list[largest] = t->results[largest].value;
    return true;
}

/* Very many small results may have to wait for the owner to read earlier answers, and to take back tasks behind this one, for whose
 * answers it keeps room: it does both for a worker that is BLOCKED. */
static int answer_with(struct mob_task *t, struct mob_result *list, struct mob_error *why)
{
    size_t size;

    while (!mob_executor_finish(t->r->executor, &t->run, list)) {
        if (shrink(t, list, why))
            continue;
        if (why->code != MOB_OK)
            return -1;
        size = mob_executor_answer_size(&t->run, list);
        if (size > MOB_CHANNEL_REPLY_MAX)
            return mob_error_set(why, MOB_ERR_INVALID, "the results carry too many references: an answer holds %zu bytes of names, "
                                 "not %zu; put them into a few objects first", (size_t)MOB_CHANNEL_REPLY_MAX, size);
        mob_executor_block(t->r->executor);
        mob_runtime_unlock(t->r);
        nanosleep(&(struct timespec){ .tv_nsec = ANSWER_ROOM_NS }, NULL);
        pthread_mutex_lock(&t->r->lock);
        mob_runtime_read(t->r);         /* ends this process if the raylet has gone */
    }
    return 0;
}

/* A result that was not set is empty. */
static int answer(struct mob_task *t, struct mob_error *why)
{
    struct mob_result one, *list = t->run.returns <= 1 ? &one : mob_alloc(t->run.returns * sizeof *list);
    int rc;

    why->code = MOB_OK;
    for (uint32_t i = 0; i < t->run.returns; i++) {
        t->results[i].set = true;       /* zeroed: MOB_VALUE_INLINE of 0 bytes */
        list[i] = t->results[i].value;
    }
    rc = answer_with(t, list, why);
    if (list != &one)
        free(list);
    return rc;
}

static void run_task(struct mob_runtime *r, struct mob_task *t, const struct mob_run *run)
{
    struct mob_error why;
    bool failed;

    task_init(t, r, run);
    failed = call_user(t, &why) < 0;
    mob_task_settle(t);
    mob_owner_hurry(r->owner);          /* the answer may end the job, and us */
    mob_runtime_flush(r);
    failed = failed || answer(t, &why) < 0;
    if (failed) {
        sign_error(t, &why);
        if (t->lost != NULL)
            mob_executor_lost(r->executor, run, t->lost, &why);
        else
            mob_executor_fail(r->executor, run, &why);
    }
    mob_task_fini(t, failed);
}

/* -- for ever ---------------------------------------------------------------------------------------------------------------- */

/* Until there may be something to claim. What tasks have freed is given back if none comes for a while. */
static void wait_for_task(struct mob_runtime *r, bool *keeps)
{
    if (mob_wait_idle(r, *keeps ? mob_runtime_now() + KEEPS_NS : MOB_NEVER) || !*keeps)
        return;
    mob_runtime_unlock(r);
    mob_heap_give_back();
    pthread_mutex_lock(&r->lock);
    *keeps = false;
}

_Noreturn void mob_worker_main(struct mob_runtime *r)
{
    struct mob_task *t = mob_new(struct mob_task);
    int64_t read_ns = mob_runtime_now();
    bool may_keep = mob_heap_keep(mob_store_client_size(r->store)), keeps = false;
    struct mob_run run;

    install_sigterm(r);
    keep_pipes();
    r->inside++;                        /* this call of mob_init() */
    for (;;) {
        if (!mob_executor_claim(r->executor, &run)) {
            mob_runtime_turn(r, 64);
            if (!mob_executor_pending(r->executor))
                wait_for_task(r, &keeps);
            continue;
        }
        run_task(r, t, &run);
        keeps = may_keep;
        if (mob_executor_ended_ns(r->executor) - read_ns > READ_EACH_NS) {
            read_ns = mob_executor_ended_ns(r->executor);
            mob_runtime_read(r);
            mob_runtime_turn(r, 64);
        }
    }
}
