/* SPDX-License-Identifier: Apache-2.0 */
/* tasks.c -- the tasks that the system tests run. Each is small and does one thing; the scenes (scenes_*.c) put them together. */
#include "tasks.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int return_u64(struct mob_task *t, uint64_t word, struct mob_error *err)
{
    return mob_return(t, 0, MOB_BYTES(&word, sizeof word), err);
}

/* Our number as the host counts, not the raylet's PID namespace. */
static int outer_pid(void)
{
    char text[32] = "";

    return readlink("/proc/self", text, sizeof text - 1) > 0 ? atoi(text) : -1;
}

static double seconds_of(const struct timespec *at)
{
    return (double)at->tv_sec + (double)at->tv_nsec / 1e9;
}

/* -- values ------------------------------------------------------------------------------------------------------------------ */

static int echo(struct mob_task *t, struct mob_error *err)
{
    struct mob_view v;

    if (mob_arg(t, 0, &v, err) < 0)
        return -1;
    return mob_return(t, 0, MOB_BYTES(v.data, v.size), err);
}
MOB_TASK(echo)

static int sum(struct mob_task *t, struct mob_error *err)
{
    uint64_t total = 0, one;

    for (size_t i = 0; i < mob_arg_count(t); i++) {
        if (mob_arg_copy(t, i, &one, sizeof one, err) < 0)
            return -1;
        total += one;
    }
    return return_u64(t, total, err);
}
MOB_TASK(sum)

/* As many results as the argument says: result i is i * i. */
static int squares(struct mob_task *t, struct mob_error *err)
{
    uint64_t count;

    if (mob_arg_copy(t, 0, &count, sizeof count, err) < 0)
        return -1;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t square = i * i;
        if (mob_return(t, i, MOB_BYTES(&square, sizeof square), err) < 0)
            return -1;
    }
    return 0;
}
MOB_TASK(squares)

/* spread(count, size): so many results of so many bytes; each begins with its number. */
static int spread(struct mob_task *t, struct mob_error *err)
{
    static char bytes[4096];
    uint64_t count, size;

    if (mob_arg_copy(t, 0, &count, sizeof count, err) < 0 || mob_arg_copy(t, 1, &size, sizeof size, err) < 0)
        return -1;
    for (uint64_t i = 0; i < count; i++) {
        memcpy(bytes, &i, sizeof i);
        if (mob_return(t, i, MOB_BYTES(bytes, size), err) < 0)
            return -1;
    }
    return 0;
}
MOB_TASK(spread)

/* Two results that carry more names of objects than an answer ring can ever hold. */
static int overflow(struct mob_task *t, struct mob_error *err)
{
    enum { N = 16000 };
    static struct mob_ref *refs[N];

    for (int i = 0; i < N; i++)
        if ((refs[i] = mob_put("x", 1, err)) == NULL)
            return -1;
    for (size_t i = 0; i < 2; i++)
        if (mob_return(t, i, MOB_BYTES_REFS("y", 1, refs, N), err) < 0)
            return -1;
    for (int i = 0; i < N; i++)
        mob_ref_drop(refs[i]);
    return 0;
}
MOB_TASK(overflow)

static int sleep_ms(struct mob_task *t, struct mob_error *err)
{
    uint64_t ms;

    if (mob_arg_copy(t, 0, &ms, sizeof ms, err) < 0)
        return -1;
    pause_ms((unsigned)ms);
    return return_u64(t, ms, err);
}
MOB_TASK(sleep_ms)

static int blob_bytes(struct mob_task *t, struct mob_error *err)
{
    uint64_t size;
    void *data;
    int rc;

    if (mob_arg_copy(t, 0, &size, sizeof size, err) < 0)
        return -1;
    data = malloc(size);
    if (data == NULL)
        return mob_fail(err, ENOMEM, "no memory");
    fill_pattern(data, size, size);
    rc = mob_return(t, 0, MOB_BYTES(data, size), err);
    free(data);
    return rc;
}
MOB_TASK(blob_bytes)

static int blob_buffer(struct mob_task *t, struct mob_error *err)
{
    struct mob_buffer *b;
    uint64_t size;

    if (mob_arg_copy(t, 0, &size, sizeof size, err) < 0 || (b = mob_create(size, err)) == NULL)
        return -1;
    fill_pattern(mob_buffer_data(b), size, size);
    return mob_return_buffer(t, 0, b, err);
}
MOB_TASK(blob_buffer)

static int blob_sealed(struct mob_task *t, struct mob_error *err)
{
    struct mob_buffer *b;
    struct mob_ref *ref;
    uint64_t size;
    int rc;

    if (mob_arg_copy(t, 0, &size, sizeof size, err) < 0 || (b = mob_create(size, err)) == NULL)
        return -1;
    fill_pattern(mob_buffer_data(b), size, size);
    if ((ref = mob_seal(b, err)) == NULL)
        return -1;
    rc = mob_return(t, 0, MOB_REF(ref), err);
    mob_ref_drop(ref);
    return rc;
}
MOB_TASK(blob_sealed)

static int checksum(struct mob_task *t, struct mob_error *err)
{
    struct mob_view v;

    if (mob_arg(t, 0, &v, err) < 0)
        return -1;
    return return_u64(t, checksum_of(v.data, v.size), err);
}
MOB_TASK(checksum)

static int checksums(struct mob_task *t, struct mob_error *err)
{
    uint64_t total = 0;
    struct mob_view v;

    for (size_t i = 0; i < mob_arg_count(t); i++) {
        if (mob_arg(t, i, &v, err) < 0)
            return -1;
        total += checksum_of(v.data, v.size);
    }
    return return_u64(t, total, err);
}
MOB_TASK(checksums)

/* As many bytes as the first argument has, each one more than there. */
static int lift(struct mob_task *t, struct mob_error *err)
{
    struct mob_buffer *b;
    struct mob_view v;

    if (mob_arg(t, 0, &v, err) < 0 || (b = mob_create(v.size, err)) == NULL)
        return -1;
    for (size_t i = 0; i < v.size; i++)
        ((unsigned char *)mob_buffer_data(b))[i] = (unsigned char)(((const unsigned char *)v.data)[i] + 1);
    return mob_return_buffer(t, 0, b, err);
}
MOB_TASK(lift)

/* -- tasks that call tasks --------------------------------------------------------------------------------------------------- */

static int chain(struct mob_task *t, struct mob_error *err)
{
    uint64_t depth;

    if (mob_arg_copy(t, 0, &depth, sizeof depth, err) < 0)
        return -1;
    return return_u64(t, depth == 0 ? 0 : 1 + take_u64(call_u64("chain", depth - 1)), err);
}
MOB_TASK(chain)

static int fibonacci(struct mob_task *t, struct mob_error *err)
{
    struct mob_ref *a, *b;
    uint64_t n;

    if (mob_arg_copy(t, 0, &n, sizeof n, err) < 0)
        return -1;
    if (n < 2)
        return return_u64(t, n, err);
    a = call_u64("fibonacci", n - 1);
    b = call_u64("fibonacci", n - 2);
    return return_u64(t, take_u64(a) + take_u64(b), err);
}
MOB_TASK(fibonacci)

/* A nested task so deep; nobody waits for it, its ref is the result. */
static int leave_behind(struct mob_task *t, struct mob_error *err)
{
    struct mob_ref *ref;
    uint64_t depth;
    int rc;

    if (mob_arg_copy(t, 0, &depth, sizeof depth, err) < 0)
        return -1;
    if (depth == 0)
        return return_u64(t, 77, err);
    ref = call_u64("leave_behind", depth - 1);
    rc = mob_return(t, 0, MOB_REF(ref), err);
    mob_ref_drop(ref);
    return rc;
}
MOB_TASK(leave_behind)

/* -- endings ----------------------------------------------------------------------------------------------------------------- */

static int refuse(struct mob_task *t, struct mob_error *err)
{
    uint64_t code;

    if (mob_arg_copy(t, 0, &code, sizeof code, err) < 0)
        return -1;
    return mob_fail(err, (int)code, "refused with %d", (int)code);
}
MOB_TASK(refuse)

static int leave(struct mob_task *t, struct mob_error *err)
{
    uint64_t status;

    if (mob_arg_copy(t, 0, &status, sizeof status, err) < 0)
        return -1;
    exit((int)status);
}
MOB_TASK(leave)

/* Arguments: a gate, and a signal. Leaves a line for each start, then dies by the signal. */
static int crash(struct mob_task *t, struct mob_error *err)
{
    struct gate gate;
    uint64_t sig;

    if (mob_arg_copy(t, 0, &gate, sizeof gate, err) < 0 || mob_arg_copy(t, 1, &sig, sizeof sig, err) < 0)
        return -1;
    append_line(gate.folder, gate.name, "start");
    signal((int)sig, SIG_DFL);          /* a sanitizer would catch some */
    raise((int)sig);
    return mob_fail(err, 1, "signal %d did not kill", (int)sig);
}
MOB_TASK(crash)

/* -- tasks that meet the driver at a gate ------------------------------------------------------------------------------------ */

static int pass_gate(struct mob_task *t, bool heed_cancel, struct mob_error *err)
{
    struct mob_task_self self = { .size = sizeof self };
    struct gate gate;
    char line[160];

    if (mob_arg_copy(t, 0, &gate, sizeof gate, err) < 0 || mob_task_self(t, &self, err) < 0)
        return -1;
    snprintf(line, sizeof line, "%d %s %d", outer_pid(), self.ip, self.attempt);
    append_line(gate.folder, gate.name, line);
    make_file(gate.folder, gate.name, ".started");
    while (!file_there(gate.folder, "open", "")) {
        if (heed_cancel && mob_cancelled(t)) {
            make_file(gate.folder, gate.name, ".cancelled");
            return mob_fail(err, ECANCELED, "told to stop");
        }
        pause_ms(5);
    }
    return return_u64(t, 1, err);
}

static int gate(struct mob_task *t, struct mob_error *err)
{
    return pass_gate(t, true, err);
}
MOB_TASK(gate)

/* Calls itself, depth by depth, then the gate; leaves a file if that lets it pass. */
static int reach(struct mob_task *t, struct mob_error *err)
{
    struct gate gate;
    uint64_t depth, passed;
    struct mob_ref *next;
    int rc;

    if (mob_arg_copy(t, 0, &gate, sizeof gate, err) < 0 || mob_arg_copy(t, 1, &depth, sizeof depth, err) < 0)
        return -1;
    depth--;
    next = depth == 0 ? call_gate("gate", NULL, gate.folder, gate.name)
        : call("reach", (struct mob_value[]){ MOB_BYTES(&gate, sizeof gate), MOB_BYTES(&depth, sizeof depth) }, 2);
    rc = mob_get_copy(next, MOB_FOREVER, &passed, sizeof passed, err);
    mob_ref_drop(next);
    if (rc < 0)
        return -1;
    make_file(gate.folder, gate.name, ".passed");
    return return_u64(t, passed, err);
}
MOB_TASK(reach)

static int stubborn(struct mob_task *t, struct mob_error *err)
{
    signal(SIGTERM, SIG_IGN);
    return pass_gate(t, false, err);
}
MOB_TASK(stubborn)

static int deaf(struct mob_task *t, struct mob_error *err)
{
    return pass_gate(t, false, err);
}
MOB_TASK(deaf)

/* Leaves a grandchild in a session of its own, adopted by nobody of ours, then waits at the gate. */
static int grandparent(struct mob_task *t, struct mob_error *err)
{
    pid_t child = fork();

    if (child < 0)
        return mob_fail(err, errno, "no fork");
    if (child == 0) {
        setsid();
        if (fork() == 0)
            for (;;)
                pause();
        _exit(0);
    }
    waitpid(child, NULL, 0);
    return pass_gate(t, true, err);
}
MOB_TASK(grandparent)

/* One of very many: it looks seldom. */
static int crowd(struct mob_task *t, struct mob_error *err)
{
    struct gate gate;

    if (mob_arg_copy(t, 0, &gate, sizeof gate, err) < 0)
        return -1;
    append_line(gate.folder, gate.name, "start");
    while (!file_there(gate.folder, "open", ""))
        pause_ms(500);
    return return_u64(t, 1, err);
}
MOB_TASK(crowd)

/* Leaves a line for each start. */
static int touch(struct mob_task *t, struct mob_error *err)
{
    struct gate gate;

    if (mob_arg_copy(t, 0, &gate, sizeof gate, err) < 0)
        return -1;
    append_line(gate.folder, gate.name, "start");
    return return_u64(t, 1, err);
}
MOB_TASK(touch)

/* -- telling ----------------------------------------------------------------------------------------------------------------- */

static int speak(struct mob_task *t, struct mob_error *err)
{
    uint64_t lines;

    if (mob_arg_copy(t, 0, &lines, sizeof lines, err) < 0)
        return -1;
    for (uint64_t i = 0; i < lines; i++) {
        printf("out %d of %d\n", (int)i, (int)lines);
        fprintf(stderr, "err %d of %d\n", (int)i, (int)lines);
    }
    fflush(stdout);
    return return_u64(t, (uint64_t)outer_pid(), err);
}
MOB_TASK(speak)

/* Argument: how many ms of a core it takes. Returns how often it was tried before. */
static int toil(struct mob_task *t, struct mob_error *err)
{
    struct mob_task_self self = { .size = sizeof self };
    struct timespec used;
    uint64_t ms;

    if (mob_arg_copy(t, 0, &ms, sizeof ms, err) < 0 || mob_task_self(t, &self, err) < 0)
        return -1;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    for (double end = seconds_of(&used) + (double)ms / 1e3; seconds_of(&used) < end;)
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return return_u64(t, (uint64_t)self.attempt, err);
}
MOB_TASK(toil)

/* Argument: for how many ms to hold what the lease gave. */
static int testify(struct mob_task *t, struct mob_error *err)
{
    struct mob_task_self self = { .size = sizeof self };
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    struct witness w = { .pid = outer_pid() };
    uint64_t ms;

    if (mob_arg_copy(t, 0, &ms, sizeof ms, err) < 0 || mob_task_self(t, &self, err) < 0)
        return -1;
    w.from = wall_now();
    pause_ms((unsigned)ms);
    w.to = wall_now();
    w.attempt = self.attempt;
    snprintf(w.id, sizeof w.id, "%s", self.id);
    snprintf(w.node, sizeof w.node, "%s", self.node);
    snprintf(w.ip, sizeof w.ip, "%s", self.ip);
    snprintf(w.name, sizeof w.name, "%s", self.name);
    snprintf(w.resources, sizeof w.resources, "%s", self.resources);
    snprintf(w.visible, sizeof w.visible, "%s", visible != NULL ? visible : "-");
    if (readlink("/proc/self/exe", w.program, sizeof w.program - 1) < 0)
        return mob_fail(err, errno, "no /proc/self/exe");
    for (unsigned i = 0; i < self.gpu_count && strlen(w.gpus) < 48; i++)
        snprintf(w.gpus + strlen(w.gpus), 16, "%s%u", i > 0 ? "," : "", self.gpus[i]);
    return mob_return(t, 0, MOB_BYTES(&w, sizeof w), err);
}

static int hold(struct mob_task *t, struct mob_error *err)
{
    return testify(t, err);
}
MOB_TASK(hold)

static int crash_once(struct mob_task *t, struct mob_error *err)
{
    struct mob_task_self self = { .size = sizeof self };

    if (mob_task_self(t, &self, err) < 0)
        return -1;
    if (self.attempt == 0)
        raise(SIGKILL);
    return testify(t, err);
}
MOB_TASK(crash_once)

/* A child of a task may call nothing of the library; it is told so, and the task goes on. */
static int forked(struct mob_task *t, struct mob_error *err)
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        struct mob_error why;
        struct mob_ref *ref = mob_put("x", 1, &why);
        _exit(ref == NULL && why.code == MOB_ERR_INVALID && strstr(why.text, "fork") != NULL ? 0 : 1);
    }
    if (child < 0 || waitpid(child, &status, 0) < 0)
        return mob_fail(err, errno, "no child");
    return return_u64(t, (uint64_t)status, err);
}
MOB_TASK(forked)
