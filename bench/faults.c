/* SPDX-License-Identifier: Apache-2.0 */
/* faults.c -- how long it takes from a death to the next attempt of the task that ran there.
 *
 *     bench_faults worker FOLDER RESOURCES  a task kills its worker, ten times: ms from the call of kill() to the next attempt's first line
 *     bench_faults stand FOLDER RESOURCES    when FOLDER/go is there a task is called; each attempt adds a line "ns ip" to FOLDER/starts,
 *                                            ns of CLOCK_BOOTTIME; it ends when FOLDER/open is there
 * All hosts see FOLDER. Cluster: $MOBULA_ADDRESS, else a private one */
#include <fcntl.h>
#include <inttypes.h>
#include <mobula.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 10

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_BOOTTIME, &t);  /* the same in all hosts of a lab */
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static _Noreturn void fail(const char *what, const struct mob_error *err)
{
    fprintf(stderr, "bench_faults: %s: %s\n", what, err != NULL ? err->text : "");
    exit(1);
}

static void await(const char *folder, const char *name)
{
    char path[4200];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    while (access(path, F_OK) != 0)
        poll(NULL, 0, 5);
}

static int append(const char *folder, const char *name, const char *line)
{
    char path[4200];
    int fd, rc;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    if ((fd = open(path, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0666)) < 0)
        return -1;
    rc = dprintf(fd, "%s\n", line) < 0 ? -1 : 0;
    close(fd);
    return rc;
}

static int stand(struct mob_task *t, struct mob_error *err)
{
    struct mob_task_self self = { .size = sizeof self };
    char folder[4096] = "", line[128];
    uint64_t at = now_ns();
    struct mob_view view;

    if (mob_task_self(t, &self, err) < 0 || mob_arg(t, 0, &view, err) < 0)
        return -1;
    snprintf(folder, sizeof folder, "%.*s", (int)view.size, (const char *)view.data);
    snprintf(line, sizeof line, "%" PRIu64 " %s", at, self.ip);
    if (append(folder, "starts", line) < 0)
        return mob_fail(err, 1, "cannot write in %s", folder);
    await(folder, "open");
    return 0;
}
MOB_TASK(stand)

/* The first attempt kills its own process; the next one says how long ago that was. */
static int fall(struct mob_task *t, struct mob_error *err)
{
    struct mob_task_self self = { .size = sizeof self };
    uint64_t at = now_ns(), died;
    struct mob_view view;
    char path[4096], text[32] = "";
    int fd;

    if (mob_task_self(t, &self, err) < 0 || mob_arg(t, 0, &view, err) < 0)
        return -1;
    snprintf(path, sizeof path, "%.*s", (int)view.size, (const char *)view.data);
    if ((fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0666)) < 0)
        return mob_fail(err, 1, "cannot open %s", path);
    if (self.attempt == 0) {
        dprintf(fd, "%" PRIu64, now_ns());
        kill(getpid(), SIGKILL);
    }
    if (read(fd, text, sizeof text - 1) < 0)
        return mob_fail(err, 1, "cannot read %s", path);
    close(fd);
    died = strtoull(text, NULL, 10);
    return mob_return(t, 0, MOB_BYTES(&(uint64_t){ at - died }, sizeof(uint64_t)), err);
}
MOB_TASK(fall)

static void worker(const char *folder, const char *resources)
{
    struct mob_options options = { .size = sizeof options, .resources = resources };
    char path[4200];
    struct mob_error err;
    struct mob_fn *fn = mob_fn("fall", &options, &err);
    struct mob_ref *ref;
    uint64_t ns;

    if (fn == NULL)
        fail("fall", &err);
    snprintf(path, sizeof path, "%s/fallen", folder);
    for (int i = 0; i < ROUNDS; i++) {
        if (mob_call(fn, &MOB_BYTES(path, strlen(path)), 1, &ref, &err) < 0 || mob_get_copy(ref, MOB_FOREVER, &ns, sizeof ns, &err) < 0)
            fail("the task", &err);
        mob_ref_drop(ref);
        unlink(path);
        printf("%.3f\n", (double)ns / 1e6);
    }
    mob_fn_destroy(fn);
}

static void stand_there(const char *folder, const char *resources)
{
    struct mob_options options = { .size = sizeof options, .resources = resources };
    struct mob_error err;
    struct mob_fn *fn = mob_fn("stand", &options, &err);
    struct mob_view view;
    struct mob_ref *ref;

    await(folder, "go");
    if (fn == NULL || mob_call(fn, &MOB_BYTES(folder, strlen(folder)), 1, &ref, &err) < 0
        || mob_get(ref, MOB_FOREVER, &view, &err) < 0)
        fail("the task", &err);
    mob_view_release(&view);
    mob_ref_drop(ref);
    mob_fn_destroy(fn);
}

int main(int argc, char **argv)
{
    struct mob_error err;

    if (mob_init(argc, argv, NULL, &err) < 0)
        fail("cannot start", &err);
    if (argc == 4 && strcmp(argv[1], "worker") == 0)
        worker(argv[2], argv[3]);
    else if (argc == 4 && strcmp(argv[1], "stand") == 0)
        stand_there(argv[2], argv[3]);
    else
        fail("usage: bench_faults worker|stand FOLDER RESOURCES", NULL);
    mob_shutdown();
    return 0;
}
