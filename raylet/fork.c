/* SPDX-License-Identifier: Apache-2.0 */
/* fork.c -- a job's template: a process like a worker of it, whose life is template.c's, and which forks workers when asked.
 *
 *   raylet  --"fork <number>" + variables, and the ends of two pipes-->  template
 *           <--"forked <number> <pid>"---------------------------------    '-> a child that ends at once -> worker --> Hello
 *
 * The worker's parent has ended, so it is ours: we are the subreaper, or process 1. It is known from its template's answer on; until then
 * it is a stranger among our children, and strangers are not killed while anybody is asked (reap.c). It goes on to its Hello only after
 * the answer was sent, and ends by itself if its template died before that. docs/protocol.md has the words.
 *
 * What a template says is checked as every other's word: it has run the driver's modules.
 */
#include "raylet/fork.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "common/spawn.h"
#include "raylet/resident.h"
#include "raylet/template.h"

#define CONTROL_FD 3                    /* there */
#define WORD_MAX 1024
#define VARIABLES_MAX 8192

/* Our end of a template's socket. Freed when the loop has closed it. */
struct control {
    struct mob_fork *fork;
    int fd;
    uv_poll_t poll;
};

struct mob_fork {
    struct mob_link link;               /* in forks->all */
    struct mob_forks *forks;
    struct mob_address job;
    struct mob_template template;
    bool over;                          /* the job is: gone when it is reaped */
    bool loaded;                        /* it has been ready */
    bool prepares;                      /* the core waits for that, or for its end */
    char why[WORD_MAX + 32];             /* why it was ended, for the user; "": by what its status says */
    pid_t pid;                          /* 0: none runs */
    char *path;                         /* of what it runs, or ran last */
    uint32_t shown_pid;
    struct control *control;            /* NULL: none runs, or it is ended */
    struct mob_output *output;
    struct mob_link asked;              /* residents that wait for it */
};

struct mob_forks {
    struct mob_shell *shell;
    struct mob_link all;
};

struct mob_forks *mob_forks_create(struct mob_shell *s)
{
    struct mob_forks *forks = mob_new(struct mob_forks);

    forks->shell = s;
    mob_list_init(&forks->all);
    return forks;
}

static struct mob_fork *fork_of(struct mob_forks *forks, struct mob_address job)
{
    struct mob_fork *f;

    mob_list_each(f, &forks->all, struct mob_fork, link)
        if (mob_address_eq(f->job, job) && !f->over)
            return f;
    f = mob_new(struct mob_fork);
    f->forks = forks;
    f->job = job;
    mob_list_init(&f->asked);
    mob_list_append(&forks->all, &f->link);
    mob_template_init(&f->template, job.process);
    return f;
}

/* -- what it prints, and what is said of it ----------------------------------------------------------------------------------------- */

static bool tell_driver(void *arg, Mobula__Output *what)
{
    struct mob_fork *f = arg;

    what->pid = f->shown_pid;
    return mob_spawn_tell(f->forks->shell, f->job, what);
}

static void no_name(void *arg, char ret_name[MOB_PAGE_NAME_SIZE])
{
    (void)arg;
    ret_name[0] = '\0';
}

static void describe_end(const struct mob_fork *f, int status, char *ret, size_t size)
{
    const char *when = f->loaded ? "again and again" : "before it had imported the driver's modules";

    if (f->why[0] != '\0')
        snprintf(ret, size, "it %s", f->why);
    else if (WIFSIGNALED(status))
        snprintf(ret, size, "it was ended by signal %d (%s) %s", WTERMSIG(status), strsignal(WTERMSIG(status)), when);
    else
        snprintf(ret, size, "it ended, with code %d, %s", WEXITSTATUS(status), when);
}

/* The job gets no template any more: its user learns it, once. */
static void say_failed(struct mob_fork *f, int status)
{
    Mobula__Output m = MOBULA__OUTPUT__INIT;
    char why[2 * WORD_MAX];

    describe_end(f, status, why, sizeof why);
    char *text = mob_printf("mobula: each worker starts its interpreter anew, none can be forked from a template of this job: %s\n", why);
    mob_warn("job %u.%u: %.*s", f->job.node, f->job.process, (int)strcspn(text, "\n"), text);
    m.error = true;
    m.text = (ProtobufCBinaryData){ strlen(text), (uint8_t *)text };
    tell_driver(f, &m);
    free(text);
}

/* -- ending --------------------------------------------------------------------------------------------------------------------- */

static void on_control_closed(uv_handle_t *handle)
{
    free(MOB_CONTAINER((uv_poll_t *)handle, struct control, poll));
}

static void close_control(struct mob_fork *f)
{
    if (f->control == NULL)
        return;
    uv_close((uv_handle_t *)&f->control->poll, on_control_closed);
    close(f->control->fd);
    f->control = NULL;
}

static void fork_free(struct mob_fork *f)
{
    assert(f->pid == 0 && f->control == NULL && mob_list_empty(&f->asked));
    mob_list_remove(&f->link);
    free(f->path);
    free(f);
}

/* Nobody waits for it any more. Whom it may have forked all the same is a stranger. */
static void start_the_others(struct mob_fork *f)
{
    while (!mob_list_empty(&f->asked)) {
        struct mob_resident *r = mob_list_first(&f->asked, struct mob_resident, asked);

        mob_list_remove(&r->asked);
        mob_spawn_plainly(r);
    }
}

static void end_template(struct mob_fork *f)
{
    mob_template_ended(&f->template, mob_now_ns());
    close_control(f);
    kill(-f->pid, SIGKILL);             /* what its imports have started, too */
    kill(f->pid, SIGKILL);
    start_the_others(f);
}

static void blame(struct mob_fork *f, const char *what)
{
    mob_warn("the template of job %u.%u (pid %u) %s: it is ended", f->job.node, f->job.process, f->shown_pid, what);
    mob_copy(f->why, sizeof f->why, what);
    end_template(f);
}

/* -- what it says --------------------------------------------------------------------------------------------------------------- */

static struct mob_resident *who_asked(struct mob_fork *f, uint32_t number)
{
    struct mob_resident *r;

    mob_list_each(r, &f->asked, struct mob_resident, asked)
        if (r->number == number)
            return r;
    return NULL;
}

/* A child of ours that nobody knows: alive, or dead and not reaped. */
static bool is_new_child(struct mob_fork *f, pid_t pid)
{
    siginfo_t info;

    return pid > 0 && mob_map_get(&f->forks->shell->residents_by_pid, (uint64_t)pid) == NULL && mob_fork_find(f->forks, pid) == NULL
        && waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

static void on_answer(struct mob_fork *f, uint32_t number, pid_t pid, const char *why)
{
    struct mob_resident *r = who_asked(f, number);
    bool forked = is_new_child(f, pid);

    if (!mob_template_answered(&f->template, forked, mob_now_ns())) {
        blame(f, "answers what it was not asked");
        return;
    }
    if (r != NULL)
        mob_list_remove(&r->asked);
    if (r == NULL && forked)
        kill(pid, SIGKILL);             /* nobody needs it any more */
    else if (r != NULL && forked)
        mob_spawn_forked(r, pid);
    else if (r != NULL)
        mob_spawn_plainly(r);
    if (!forked)
        mob_warn("the template of job %u.%u (pid %u) has not forked worker %u: %s", f->job.node, f->job.process, f->shown_pid, number,
                 why != NULL ? why : "it names no child of ours");
    if (f->forks->shell->strangers_wait && !mob_forks_busy(f->forks))
        mob_reap_strangers(f->forks->shell);
}

/* Workers that nobody waits for yet may come now. */
static void say_prepared(struct mob_fork *f)
{
    if (f->prepares && !f->over)
        mob_raylet_prepared(f->forks->shell->core, f->job);
    f->prepares = false;
}

static void on_word(struct mob_fork *f, const char *word)
{
    int number, pid, why = -1;

    if (sscanf(word, "forked %d %d", &number, &pid) == 2) {
        on_answer(f, (uint32_t)number, pid, NULL);
    } else if (sscanf(word, "failed %d %n", &number, &why) == 1 && why > 0) {
        on_answer(f, (uint32_t)number, 0, word + why);
    } else if (strcmp(word, "begun") == 0 && mob_template_begun(&f->template, mob_now_ns())) {
        ;                               /* our next tick comes soon */
    } else if (strcmp(word, "ready") == 0 && mob_template_ready(&f->template, mob_now_ns())) {
        f->loaded = true;
        say_prepared(f);
    } else if (strncmp(word, "cannot ", 7) == 0 && mob_template_cannot(&f->template, mob_now_ns())) {
        snprintf(f->why, sizeof f->why, "cannot be forked: %s", word + strlen("cannot "));
        end_template(f);
    } else {
        blame(f, "says what it may not");
    }
}

static void read_words(struct mob_fork *f)
{
    char word[WORD_MAX];
    ssize_t n = 1;

    while (f->control != NULL && (n = recv(f->control->fd, word, sizeof word - 1, MSG_DONTWAIT)) > 0) {
        word[n] = '\0';
        on_word(f, word);
    }
    if (f->control != NULL && (n == 0 || (errno != EAGAIN && errno != EINTR)))
        end_template(f);                /* it has ended, as a rule */
    mob_shell_poke(f->forks->shell);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    (void)status, (void)events;
    read_words(MOB_CONTAINER(poll, struct control, poll)->fork);
}

void mob_forks_read(struct mob_forks *forks)
{
    struct mob_fork *f;

    mob_list_each(f, &forks->all, struct mob_fork, link)
        read_words(f);
}

/* -- starting it ------------------------------------------------------------------------------------------------------------------ */

static void open_control(struct mob_fork *f, int fd)
{
    struct control *c = mob_new(struct control);

    c->fork = f;
    c->fd = fd;
    f->control = c;
    int failed = uv_poll_init(mob_loop_uv(f->forks->shell->loop), &c->poll, fd);
    assert(failed == 0);
    uv_poll_start(&c->poll, UV_READABLE, on_readable);
}

static int spawn(struct mob_fork *f, const struct mob_program_file *file, const int fds[4], struct mob_error *err)
{
    struct mob_spawn_fd places[] = { { fds[0], 0 }, { fds[1], 1 }, { fds[2], 2 }, { fds[3], CONTROL_FD } };
    char *argv[] = { (char *)file->name, NULL };
    char **own = mob_alloc(3 * sizeof *own);
    int pidfd;

    own[0] = mob_printf("MOBULA_TEMPLATE=%d", CONTROL_FD);
    own[1] = mob_printf("LD_LIBRARY_PATH=%s", f->forks->shell->library_path);
    own[2] = NULL;
    char **environment = mob_spawn_environment(own);
    /* Who adopts orphans would adopt the workers that it forks. */
    struct mob_spawn_plan plan = { .path = file->path, .fd = file->fd, .argv = argv, .envp = environment, .fds = places,
                                   .fd_count = MOB_COUNT(places), .death_signal = SIGKILL, .new_group = true };
    int result = mob_spawn(&plan, &f->pid, &pidfd, err);
    mob_spawn_variables_free(environment);
    if (result < 0)
        return -1;
    f->shown_pid = mob_spawn_shown_pid(f->pid, pidfd);
    free(f->path);
    f->path = mob_strdup(file->name);
    if (pidfd >= 0)
        close(pidfd);
    return 0;
}

/* Takes over the read ends of its pipes and our end of its socket. */
static void started(struct mob_fork *f, int out_fd, int err_fd, int control_fd)
{
    struct mob_output_listener driver = { tell_driver, no_name, f };
    char *name = mob_printf("worker-template-%u", f->shown_pid);

    f->output = mob_output_create(f->forks->shell->loop, out_fd, err_fd, f->forks->shell->logs, name, &driver);
    free(name);
    open_control(f, control_fd);
    mob_debug("job %u.%u has a template, pid %u", f->job.node, f->job.process, f->shown_pid);
}

static void start(struct mob_fork *f, const struct mob_program_file *file)
{
    int out[2] = { -1, -1 }, error[2] = { -1, -1 }, pair[2] = { -1, -1 }, null_fd = -1;
    struct mob_error err;
    int result = -1;

    f->loaded = false;
    f->why[0] = '\0';
    mob_template_started(&f->template, mob_now_ns());
    if (pipe2(out, O_CLOEXEC) < 0 || pipe2(error, O_CLOEXEC) < 0 || (null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) < 0
        || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        mob_error_errno(&err, "cannot make its pipes");
    else
        result = spawn(f, file, (int[]){ null_fd, out[1], error[1], pair[1] }, &err);
    if (result == 0) {
        started(f, out[0], error[0], pair[0]);
    } else {
        mob_warn("job %u.%u gets no template now: %s", f->job.node, f->job.process, err.text);
        mob_template_gone(&f->template, mob_now_ns());
    }
    int ours[] = { out[1], error[1], null_fd, pair[1], result < 0 ? out[0] : -1, result < 0 ? error[0] : -1, result < 0 ? pair[0] : -1 };
    for (size_t i = 0; i < MOB_COUNT(ours); i++)
        if (ours[i] >= 0)
            close(ours[i]);
}

/* -- asking ------------------------------------------------------------------------------------------------------------------------ */

/* "fork <number>" and the variables, each ended by a NUL. 0: they are too long. */
static size_t write_request(const struct mob_resident *r, char *text, size_t room)
{
    char **own = mob_spawn_own_variables(r);
    size_t size = (size_t)snprintf(text, room, "fork %" PRIu32, r->number) + 1;
    bool fits = true;

    for (size_t i = 0; own[i] != NULL && fits; i++) {
        size_t n = strlen(own[i]) + 1;

        if ((fits = size + n <= room))
            memcpy(text + size, own[i], n);
        size += n;
    }
    mob_spawn_variables_free(own);
    return fits ? size : 0;
}

static bool send_request(const struct mob_fork *f, const struct mob_resident *r, const int output[2])
{
    char text[VARIABLES_MAX], space[CMSG_SPACE(2 * sizeof(int))] = { 0 };
    struct iovec bytes = { text, write_request(r, text, sizeof text) };
    struct msghdr m = { .msg_iov = &bytes, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space };
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);

    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(2 * sizeof(int));
    memcpy(CMSG_DATA(c), output, 2 * sizeof(int));
    return bytes.iov_len > 0 && sendmsg(f->control->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)bytes.iov_len;
}

bool mob_fork_ask(struct mob_forks *forks, struct mob_resident *r, const struct mob_program_file *file, const int output[2])
{
    struct mob_fork *f = fork_of(forks, r->job);

    if (mob_template_way(&f->template) == MOB_TEMPLATE_START)
        start(f, file);
    if (mob_template_way(&f->template) != MOB_TEMPLATE_ASK || !send_request(f, r, output))
        return false;
    mob_template_asked(&f->template, mob_now_ns());
    mob_list_append(&f->asked, &r->asked);
    mob_shell_poke(forks->shell);       /* it has a deadline now */
    return true;
}

bool mob_fork_prepare(struct mob_forks *forks, struct mob_address job, const struct mob_program_file *file)
{
    struct mob_fork *f = fork_of(forks, job);

    if (mob_template_way(&f->template) == MOB_TEMPLATE_START)
        start(f, file);
    f->prepares = f->pid != 0 && !f->loaded;
    return f->prepares;
}

void mob_fork_forget(struct mob_resident *r)
{
    mob_list_remove(&r->asked);         /* the template owes its answer all the same */
}

/* -- the shell's questions ------------------------------------------------------------------------------------------------------------ */

bool mob_forks_busy(const struct mob_forks *forks)
{
    const struct mob_fork *f;

    mob_list_each(f, &forks->all, struct mob_fork, link)
        if (f->template.asked > 0)
            return true;
    return false;
}

size_t mob_forks_count(const struct mob_forks *forks)
{
    const struct mob_fork *f;
    size_t count = 0;

    mob_list_each(f, &forks->all, struct mob_fork, link)
        count += f->pid != 0;
    return count;
}

struct mob_fork *mob_fork_find(struct mob_forks *forks, pid_t pid)
{
    struct mob_fork *f;

    mob_list_each(f, &forks->all, struct mob_fork, link)
        if (f->pid == pid)
            return f;
    return NULL;
}

void mob_fork_bury(struct mob_fork *f, int status)
{
    assert(f->pid != 0);
    read_words(f);                      /* its last answers */
    kill(-f->pid, SIGKILL);
    mob_output_finish(f->output);
    mob_info("the template of job %u.%u (pid %u) ended with status 0x%x", f->job.node, f->job.process, f->shown_pid, (unsigned)status);
    f->pid = 0;
    close_control(f);
    mob_template_gone(&f->template, mob_now_ns());
    if (f->template.machine.now == MOB_TEMPLATE_FAILED && !f->over)
        say_failed(f, status);
    mob_output_destroy(f->output);
    f->output = NULL;
    start_the_others(f);
    say_prepared(f);
    if (f->over)
        fork_free(f);
}

bool mob_forks_use(const struct mob_forks *forks, const char *path)
{
    const struct mob_fork *f;

    mob_list_each(f, &forks->all, const struct mob_fork, link)
        if (f->pid != 0 && strcmp(f->path, path) == 0)
            return true;
    return false;
}

void mob_forks_job_over(struct mob_forks *forks, struct mob_address job)
{
    struct mob_fork *f;

    mob_list_each(f, &forks->all, struct mob_fork, link) {
        if (f->over || f->job.node != job.node || (job.process != 0 && f->job.process != job.process))
            continue;
        f->over = true;
        if (f->pid != 0)
            end_template(f);
        else
            fork_free(f);
    }
}

void mob_forks_kill_all(struct mob_forks *forks)
{
    struct mob_fork *f;

    mob_list_each(f, &forks->all, struct mob_fork, link)
        if (f->pid != 0) {
            kill(-f->pid, SIGKILL);
            kill(f->pid, SIGKILL);
        }
}

int64_t mob_forks_tick(struct mob_forks *forks)
{
    int64_t now = mob_now_ns(), next = INT64_MAX;
    struct mob_fork *f;

    mob_list_each(f, &forks->all, struct mob_fork, link) {
        /* What was asked before is in its socket, too: it forks that first. */
        if (mob_template_loads(&f->template, now) && send(f->control->fd, "load", 4, MSG_DONTWAIT | MSG_NOSIGNAL) != 4)
            blame(f, "cannot be told to load");
        if (mob_template_deadline(&f->template) <= now)
            blame(f, f->template.machine.now == MOB_TEMPLATE_LOADING && f->template.asked == 0 ? "has not loaded its modules in time"
                                                                                                 : "does not answer");
        if (mob_template_deadline(&f->template) < next)
            next = mob_template_deadline(&f->template);
        if (mob_template_due(&f->template) < next)
            next = mob_template_due(&f->template);
    }
    return next;
}
