/* SPDX-License-Identifier: Apache-2.0 */
/* shell.c -- what the raylet process is told by its core, by signals and by who started it; and what it tells its core to be. */
#include "raylet/shell.h"

#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/identity.h"
#include "common/log.h"
#include "raylet/fork.h"
#include "raylet/resident.h"

#define HEADLESS_MS 60000
#define IDLE_WORKER_MS 1000
#define CANCEL_GRACE_MS 5000

void mob_shell_end(struct mob_shell *s, int code)
{
    s->exit_code = code;
    s->ending = true;
    mob_loop_stop(s->loop);
}

static void over(void *shell, const struct mob_error *why)
{
    struct mob_shell *s = shell;

    mob_session_refused(s, why);        /* the core has logged it */
    mob_shell_end(s, why->code == MOB_OK ? 0 : why->code == MOB_ERR_NODE_DIED ? MOB_GUARD_AGAIN : 1);
}

/* The driver is about to end: what its workers have printed must be on its way before our answer is. */
static void flush_output(void *shell, struct mob_address job)
{
    struct mob_shell *s = shell;
    size_t left = MOB_OUTPUT_FLUSH_MAX;
    struct mob_resident *r;

    for (size_t at = 0; (r = mob_map_next(&s->residents, &at, NULL)) != NULL;)
        if (r->output != NULL && mob_address_eq(r->job, job))
            mob_output_flush(r->output, &left);
}

static void job_over(void *shell, struct mob_address job)
{
    struct mob_shell *s = shell;

    mob_forks_job_over(s->forks, job);
}

static void on_signal(uv_signal_t *signal, int number)
{
    mob_info("ends by signal %d", number);
    mob_shell_end(signal->data, 0);
}

/* Workers link the libmobula of their node, which stands beside the raylet. */
static void find_library(struct mob_shell *s)
{
    const char *before = getenv("LD_LIBRARY_PATH");
    char self[PATH_MAX] = "";

    if (readlink("/proc/self/exe", self, sizeof self - 1) < 0)
        mob_warn("/proc/self/exe cannot be read: workers may not find libmobula.so");
    char *path = mob_printf("%s/../lib%s%s", dirname(self), before != NULL && before[0] != '\0' ? ":" : "", before != NULL ? before : "");
    mob_copy(s->library_path, sizeof s->library_path, path);
    free(path);
}

void mob_shell_configure(struct mob_shell *s, const struct mob_sysinfo *machine)
{
    const struct mob_raylet_options *o = s->options;
    struct mob_raylet_config *c = &s->config;

    find_library(s);
    c->resources = o->resources;
    c->labels = o->labels;
    memcpy(c->gpus, o->gpus, o->gpu_count * sizeof *o->gpus);
    mob_copy(c->ip, sizeof c->ip, o->ip);
    mob_copy(c->host, sizeof c->host, machine->host);
    c->pid = (uint32_t)mob_identity_own_pid();
    for (size_t i = 0; i < sizeof c->incarnation; i += sizeof(uint64_t))
        memcpy(c->incarnation + i, &(uint64_t){ mob_random() }, sizeof(uint64_t));
    mob_copy(c->head_ip, sizeof c->head_ip, o->head_ip);
    c->head_port = o->head_port;
    c->driver_only = o->driver_only;
    c->headless_ms = HEADLESS_MS;
    c->idle_worker_ms = IDLE_WORKER_MS;
    c->cancel_grace_ms = CANCEL_GRACE_MS;
    c->memory_limit = o->memory_limit;
    c->memory_reserve = o->memory_reserve;
    c->memory_strict = o->memory_strict;
    c->store = s->store;
    c->session_dir = s->session;
    c->registered = mob_session_registered;
    c->over = over;
    c->flush_output = flush_output;
    c->job_over = job_over;
    c->arg = s;
}

void mob_shell_watch(struct mob_shell *s)
{
    mob_reap_start(s);
    uv_signal_init(mob_loop_uv(s->loop), &s->term_signal);
    uv_signal_init(mob_loop_uv(s->loop), &s->int_signal);
    s->term_signal.data = s->int_signal.data = s;
    uv_signal_start(&s->term_signal, on_signal, SIGTERM);
    uv_signal_start(&s->int_signal, on_signal, SIGINT);
}
