/* SPDX-License-Identifier: Apache-2.0 */
/* spawn.c -- world->spawn: a worker from the ask to its first instruction.
 *
 * ask -> its program is here (program.c: at once, or after a fetch) -> pipes, environment -> mob_spawn() -----------------> STARTED
 *                                                                        '-> its job's template forks it (fork.c) --^
 *
 * A worker that cannot start is told to the core from the loop, as a process that ended without ever running: the core is never
 * called back from inside its own call. The worker dies with the raylet (PDEATHSIG) and leads a process group, which dies with it.
 */
#include "common/spawn.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/log.h"
#include "raylet/elf.h"
#include "raylet/fork.h"
#include "raylet/resident.h"
#include "raylet/script.h"

/* -- failing ------------------------------------------------------------------------------------------------------------------- */

static void tell_failure(struct mob_posted *posted)
{
    struct mob_resident *r = MOB_CONTAINER(posted, struct mob_resident, failing);
    struct mob_exit exit = { .status = -1, .unfit = r->failure.code == MOB_ERR_INFEASIBLE, .why = r->failure.text, .last_lines = "" };

    mob_resident_over(r, &exit);
}

void mob_spawn_give_up(struct mob_resident *r, const struct mob_error *why)
{
    if (r->failure.code != MOB_OK)
        return;                         /* it was told to give up already */
    r->failure = *why;
    mob_program_cancel(&r->program_wait);
    mob_fork_forget(r);
    r->failing.run = tell_failure;
    mob_loop_post(r->shell->loop, &r->failing);
}

/* -- the environment ------------------------------------------------------------------------------------------------------------- */

static bool is_variable(const char *entry, const char *name, size_t n)
{
    return strncmp(entry, name, n) == 0 && entry[n] == '=';
}

static char *gpus_variable(const struct mob_resident *r)
{
    char text[MOB_GPUS_MAX * 11 + 1] = "";
    size_t n = 0;

    for (size_t i = 0; i < r->gpu_count; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%" PRIu32, i == 0 ? "" : ",", r->gpus[i]);
    return mob_printf("CUDA_VISIBLE_DEVICES=%s", text);
}

char **mob_spawn_own_variables(const struct mob_resident *r)
{
    char **own = mob_alloc(4 * sizeof *own);
    size_t n = 0;

    own[n++] = mob_printf("MOBULA_WORKER=%s:%" PRIu32 ":%" PRIu64, r->shell->socket_path, r->number, r->nonce);
    own[n++] = mob_printf("LD_LIBRARY_PATH=%s", r->shell->library_path);
    if (r->gpu_count > 0)
        own[n++] = gpus_variable(r);
    own[n] = NULL;
    return own;
}

static bool is_replaced(const char *entry, char *const *own)
{
    static const char *const never[] = { "MOBULA_WORKER", "MOBULA_TEMPLATE" };

    for (size_t i = 0; i < MOB_COUNT(never); i++)
        if (is_variable(entry, never[i], strlen(never[i])))
            return true;
    for (; *own != NULL; own++)
        if (is_variable(entry, *own, strcspn(*own, "=")))
            return true;
    return false;
}

char **mob_spawn_environment(char **own)
{
    size_t count = 0, own_count = 0, n = 0;

    while (environ[count] != NULL)
        count++;
    while (own[own_count] != NULL)
        own_count++;
    char **list = mob_alloc((count + own_count + 1) * sizeof *list);
    for (size_t i = 0; i < count; i++)
        if (!is_replaced(environ[i], own))
            list[n++] = mob_strdup(environ[i]);
    memcpy(list + n, own, (own_count + 1) * sizeof *list);
    free(own);
    return list;
}

void mob_spawn_variables_free(char **list)
{
    for (size_t i = 0; list[i] != NULL; i++)
        free(list[i]);
    free(list);
}

/* -- starting ------------------------------------------------------------------------------------------------------------------- */

uint32_t mob_spawn_shown_pid(pid_t pid, int pidfd)
{
    char path[64], line[256];
    unsigned shown = (unsigned)pid;

    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", pidfd);
    FILE *f = pidfd < 0 ? NULL : fopen(path, "re");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (sscanf(line, "Pid: %u", &shown) == 1)
            break;
    if (f != NULL)
        fclose(f);
    return shown;
}

static void page_name(void *arg, char ret_name[MOB_PAGE_NAME_SIZE])
{
    struct mob_resident *r = arg;

    ret_name[0] = '\0';
    if (r->bell.page != NULL)
        mob_page_name(r->bell.page, ret_name);
}

bool mob_spawn_tell(struct mob_shell *s, struct mob_address job, Mobula__Output *what)
{
    struct mob_envelope e;

    if (mob_raylet_queued(s->core, job) > MOB_OUTPUT_ROOM(what->text.len))
        return false;
    what->ip = s->config.ip;
    mob_envelope_init(&e, mob_raylet_self(s->core), job, MOBULA__ENVELOPE__BODY_OUTPUT);
    e.e.output = what;
    mob_raylet_send(s->core, &e.e);
    mob_shell_poke(s);
    return true;
}

static bool tell_driver(void *arg, Mobula__Output *what)
{
    struct mob_resident *r = arg;

    what->pid = r->shown_pid;
    return mob_spawn_tell(r->shell, r->job, what);
}

void mob_spawn_close_output(struct mob_resident *r)
{
    if (r->out_fd >= 0)
        close(r->out_fd);
    if (r->err_fd >= 0)
        close(r->err_fd);
    r->out_fd = r->err_fd = -1;
}

/* It runs: its pid is ours until we reap it; SIGCHLD tells of its end (reap.c). pidfd: closed here, or -1. */
static void started(struct mob_resident *r, pid_t pid, int pidfd)
{
    struct mob_output_listener driver = { tell_driver, page_name, r };

    r->pid = pid;
    r->shown_pid = mob_spawn_shown_pid(pid, pidfd);
    if (pidfd >= 0)
        close(pidfd);
    mob_weight_offer(r->shown_pid);
    char *name = mob_printf("worker-%u-%u", r->number, r->shown_pid);
    r->output = mob_output_create(r->shell->loop, r->out_fd, r->err_fd, r->shell->logs, name, &driver);
    r->out_fd = r->err_fd = -1;
    free(name);
    mob_map_set(&r->shell->residents_by_pid, (uint64_t)pid, r);
    mob_machine_goto(&r->machine, MOB_RESIDENT_STARTED);
}

static int start(struct mob_resident *r, const struct mob_program_file *file, int null_fd, const int output[2], struct mob_error *err)
{
    struct mob_spawn_fd fds[] = { { null_fd, 0 }, { output[0], 1 }, { output[1], 2 } };
    char *argv[] = { (char *)file->name, NULL };
    char **environment = mob_spawn_environment(mob_spawn_own_variables(r));
    struct mob_spawn_plan plan = { .path = file->path, .fd = file->fd, .argv = argv, .envp = environment, .fds = fds,
                                   .fd_count = MOB_COUNT(fds), .death_signal = SIGKILL, .new_group = true, .adopts = true };
    int pidfd;
    pid_t pid;
    int result = mob_spawn(&plan, &pid, &pidfd, err);

    mob_spawn_variables_free(environment);
    if (result == 0)
        started(r, pid, pidfd);
    return result;
}

/* The kernel does not execute it. A program of another machine will never start: that is the better reason. */
static void judge_program(const struct mob_resident *r, const struct mob_program_file *file, struct mob_error *err)
{
    char loader[PATH_MAX];
    int fd = file->path != NULL ? open(file->path, O_RDONLY | O_CLOEXEC) : file->fd;
    struct mob_error better;

    if (fd >= 0 && mob_elf_check(fd, r->shell->config.host, loader, sizeof loader, &better) < 0
        && better.code == MOB_ERR_INFEASIBLE)
        *err = better;
    if (fd >= 0 && fd != file->fd)
        close(fd);
}

/* The read ends are the worker's to keep. */
static int make_pipes(struct mob_resident *r, int ret_output[2], struct mob_error *err)
{
    int out[2], error[2];

    if (pipe2(out, O_CLOEXEC) < 0)
        return mob_error_errno(err, "cannot make a pipe for a worker's output");
    r->out_fd = out[0];
    ret_output[0] = out[1];
    if (pipe2(error, O_CLOEXEC) < 0) {
        mob_error_errno(err, "cannot make a pipe for a worker's output");
        close(out[1]);
        return -1;
    }
    r->err_fd = error[0];
    ret_output[1] = error[1];
    return 0;
}

static void begin(struct mob_resident *r, const struct mob_program_file *file, bool may_fork)
{
    struct mob_error err;
    int output[2], null_fd = -1;
    int result = make_pipes(r, output, &err);

    assert(r->machine.now == MOB_RESIDENT_PREPARING);
    if (result == 0) {
        if (may_fork && mob_script_forks(file->path) && mob_fork_ask(r->shell->forks, r, file, output))
            mob_machine_goto(&r->machine, MOB_RESIDENT_ASKED);
        else if ((null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) < 0)
            result = mob_error_errno(&err, "cannot open /dev/null for a worker");
        else
            result = start(r, file, null_fd, output, &err);
        close(output[0]);
        close(output[1]);
    }
    if (null_fd >= 0)
        close(null_fd);
    if (result < 0) {
        mob_spawn_close_output(r);
        judge_program(r, file, &err);
        mob_warn("worker %u cannot start: %s", r->number, err.text);
        mob_spawn_give_up(r, &err);
    }
}

static void program_ready(struct mob_program_waiter *w, const struct mob_program_file *file, const struct mob_error *why)
{
    struct mob_resident *r = MOB_CONTAINER(w, struct mob_resident, program_wait);

    if (file == NULL)
        mob_spawn_give_up(r, why);
    else
        begin(r, file, true);
}

/* -- when its template is asked ------------------------------------------------------------------------------------------------------ */

static void program_ready_again(struct mob_program_waiter *w, const struct mob_program_file *file, const struct mob_error *why)
{
    struct mob_resident *r = MOB_CONTAINER(w, struct mob_resident, program_wait);

    if (file == NULL)
        mob_spawn_give_up(r, why);
    else
        begin(r, file, false);
}

void mob_spawn_plainly(struct mob_resident *r)
{
    assert(r->machine.now == MOB_RESIDENT_ASKED && r->failure.code == MOB_OK);
    mob_spawn_close_output(r);
    mob_machine_goto(&r->machine, MOB_RESIDENT_PREPARING);
    r->nonce = mob_random();            /* one that is forked all the same does not pass for it */
    r->program_wait.ready = program_ready_again;
    mob_program_need(r->shell->programs, &r->program, r->program_node, &r->program_wait);
}

void mob_spawn_forked(struct mob_resident *r, pid_t pid)
{
    assert(r->machine.now == MOB_RESIDENT_ASKED);
    r->forked = true;
    started(r, pid, (int)syscall(SYS_pidfd_open, pid, 0));
}

/* -- world->spawn ------------------------------------------------------------------------------------------------------------------- */

void mob_spawn_worker(struct mob_shell *s, const struct mob_spawn *ask)
{
    if (s->ending)
        return;
    struct mob_resident *r = mob_resident_create(s, false);
    mob_resident_number(r, ask->process);
    r->nonce = ask->nonce;
    r->job = ask->job;
    r->program = ask->executable;
    r->program_node = ask->executable_node;
    r->gpu_count = ask->gpu_count < MOB_GPUS_MAX ? ask->gpu_count : MOB_GPUS_MAX;
    if (r->gpu_count > 0)
        memcpy(r->gpus, ask->gpus, r->gpu_count * sizeof *r->gpus);
    r->program_wait.ready = program_ready;
    mob_program_need(s->programs, &ask->executable, ask->executable_node, &r->program_wait);
}

/* -- world->prepare ------------------------------------------------------------------------------------------------------------------ */

struct preparing {
    struct mob_program_waiter program_wait;
    struct mob_shell *shell;
    struct mob_address job;
    bool begun;
};

static void program_prepares(struct mob_program_waiter *w, const struct mob_program_file *file, const struct mob_error *why)
{
    struct preparing *p = MOB_CONTAINER(w, struct preparing, program_wait);

    (void)why;                          /* the start of a worker says it */
    p->begun = file != NULL && mob_script_forks(file->path) && mob_fork_prepare(p->shell->forks, p->job, file);
}

bool mob_spawn_prepare(struct mob_shell *s, const struct mob_spawn *ask)
{
    struct preparing p = { .program_wait.ready = program_prepares, .shell = s, .job = ask->job };

    mob_list_init(&p.program_wait.link);
    mob_program_need(s->programs, &ask->executable, ask->executable_node, &p.program_wait);
    mob_program_cancel(&p.program_wait);        /* one that must be fetched first prepares nothing */
    return p.begun;
}
