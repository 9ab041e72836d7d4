/* SPDX-License-Identifier: Apache-2.0 */
/* spawn.c -- world->spawn: a worker from the ask to its first instruction.
 *
 * ask -> its program is here (program.c: at once, or after a fetch) -> pipes, environment, mob_spawn() -> STARTED
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
#include <unistd.h>

#include "common/log.h"
#include "raylet/elf.h"
#include "raylet/resident.h"

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
    r->failing.run = tell_failure;
    mob_loop_post(r->shell->loop, &r->failing);
}

/* -- the environment ------------------------------------------------------------------------------------------------------------- */

static bool is_variable(const char *entry, const char *name)
{
    size_t n = strlen(name);

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

/* The raylet's own environment, but for what makes the worker find its raylet, its library and its GPUs. */
static char **environment_create(const struct mob_resident *r)
{
    size_t count = 0, n = 0;

    while (environ[count] != NULL)
        count++;
    char **list = mob_alloc((count + 4) * sizeof *list);
    for (size_t i = 0; i < count; i++)
        if (!is_variable(environ[i], "MOBULA_WORKER") && !is_variable(environ[i], "LD_LIBRARY_PATH")
            && !(r->gpu_count > 0 && is_variable(environ[i], "CUDA_VISIBLE_DEVICES")))
            list[n++] = mob_strdup(environ[i]);
    list[n++] = mob_printf("MOBULA_WORKER=%s:%" PRIu32 ":%" PRIu64, r->shell->socket_path, r->number, r->nonce);
    list[n++] = mob_printf("LD_LIBRARY_PATH=%s", r->shell->library_path);
    if (r->gpu_count > 0)
        list[n++] = gpus_variable(r);
    return list;
}

static void environment_destroy(char **list)
{
    for (size_t i = 0; list[i] != NULL; i++)
        free(list[i]);
    free(list);
}

/* -- starting ------------------------------------------------------------------------------------------------------------------- */

/* The pid that people see: with a PID namespace of ours, /proc is still the outer one, and shows it for a pidfd. */
static uint32_t shown_pid(pid_t pid, int pidfd)
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

static bool tell_driver(void *arg, bool error, const char *name, const char *text, size_t size, uint64_t dropped)
{
    struct mob_resident *r = arg;
    Mobula__Output m = MOBULA__OUTPUT__INIT;
    struct mob_envelope e;

    if (mob_raylet_queued(r->shell->core, r->job) > MOB_OUTPUT_QUEUE_MAX)
        return false;
    m.name = (char *)(uintptr_t)name;
    m.pid = r->shown_pid;
    m.ip = r->shell->config.ip;
    m.error = error;
    m.text.data = (uint8_t *)text;
    m.text.len = size;
    m.dropped = dropped;
    mob_envelope_init(&e, mob_raylet_self(r->shell->core), r->job, MOBULA__ENVELOPE__BODY_OUTPUT);
    e.e.output = &m;
    mob_raylet_send(r->shell->core, &e.e);
    mob_shell_poke(r->shell);
    return true;
}

static int start(struct mob_resident *r, const struct mob_program_file *file, int null_fd, int out_fd, int err_fd, struct mob_error *err)
{
    struct mob_spawn_fd fds[] = { { null_fd, 0 }, { out_fd, 1 }, { err_fd, 2 } };
    char *argv[] = { (char *)file->name, NULL };
    char **environment = environment_create(r);
    struct mob_spawn_plan plan = { .path = file->path, .fd = file->fd, .argv = argv, .envp = environment, .fds = fds,
                                   .fd_count = MOB_COUNT(fds), .death_signal = SIGKILL, .new_group = true, .adopts = true };
    int pidfd;
    int result = mob_spawn(&plan, &r->pid, &pidfd, err);

    environment_destroy(environment);
    if (result < 0)
        return -1;
    r->shown_pid = shown_pid(r->pid, pidfd);
    if (pidfd >= 0)
        close(pidfd);                   /* its pid is ours until we reap it; SIGCHLD tells of its end (reap.c) */
    return 0;
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

static void program_ready(struct mob_program_waiter *w, const struct mob_program_file *file, const struct mob_error *why)
{
    struct mob_resident *r = MOB_CONTAINER(w, struct mob_resident, program_wait);
    int out[2] = { -1, -1 }, error[2] = { -1, -1 }, null_fd = -1;
    struct mob_error err;
    int result = -1;

    assert(r->machine.now == MOB_RESIDENT_PREPARING);
    if (file == NULL) {
        mob_spawn_give_up(r, why);
        return;
    }
    if (pipe2(out, O_CLOEXEC) < 0 || pipe2(error, O_CLOEXEC) < 0 || (null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) < 0)
        mob_error_errno(&err, "cannot make a pipe for a worker's output");
    else
        result = start(r, file, null_fd, out[1], error[1], &err);
    int ours[] = { out[1], error[1], null_fd, result < 0 ? out[0] : -1, result < 0 ? error[0] : -1 };
    for (size_t i = 0; i < MOB_COUNT(ours); i++)
        if (ours[i] >= 0)
            close(ours[i]);
    if (result < 0) {
        judge_program(r, file, &err);
        mob_warn("worker %u cannot start: %s", r->number, err.text);
        mob_spawn_give_up(r, &err);
        return;
    }
    char *name = mob_printf("worker-%u-%u", r->number, r->shown_pid);
    struct mob_output_listener driver = { tell_driver, page_name, r };
    r->output = mob_output_create(r->shell->loop, out[0], error[0], r->shell->logs, name, &driver);
    free(name);
    mob_map_set(&r->shell->residents_by_pid, (uint64_t)r->pid, r);
    mob_machine_goto(&r->machine, MOB_RESIDENT_STARTED);
}

void mob_spawn_worker(struct mob_shell *s, const struct mob_spawn *ask)
{
    if (s->ending)
        return;
    struct mob_resident *r = mob_resident_create(s, false);
    mob_resident_number(r, ask->process);
    r->nonce = ask->nonce;
    r->job = ask->job;
    r->program = ask->executable;
    r->gpu_count = ask->gpu_count < MOB_GPUS_MAX ? ask->gpu_count : MOB_GPUS_MAX;
    if (r->gpu_count > 0)
        memcpy(r->gpus, ask->gpus, r->gpu_count * sizeof *r->gpus);
    r->program_wait.ready = program_ready;
    mob_program_need(s->programs, &ask->executable, ask->executable_node, &r->program_wait);
}
