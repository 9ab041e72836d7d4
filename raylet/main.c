/* SPDX-License-Identifier: Apache-2.0 */
/* main.c -- mobula-raylet: flags, the guard, and below it the raylet, built in reading order.
 *
 * Nothing is destroyed at the end: workers are killed and waited for, what they printed is written, the rest is the kernel's, at
 * once and all of it. Files are the guard's to remove.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif

#include "common/log.h"
#include "common/token.h"
#include "raylet/fork.h"

static void raise_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int build(struct mob_shell *s, struct mob_raylet_options *o, struct mob_error *err)
{
    struct mob_store_config store;
    struct mob_sysinfo machine;
    char token_path[MOB_PATH_SIZE], token[MOB_TOKEN_SIZE];

    mob_sysinfo_read("", &machine);
    if (mob_options_complete(o, &machine, err) < 0 || mob_token_path(o->token_file, token_path, err) < 0
        || mob_token_load(token_path, token, err) < 0)
        return -1;
    mob_world_init(s);
    s->loop = mob_loop_create();
    s->wire = mob_wire_create();
    store = mob_world_store(s, o->store_bytes);
    store.huge = machine.huge;
    if ((s->store = mob_store_create(&store, false, err)) == NULL || mob_spill_init(s, store.overflow, err) < 0)
        return -1;
    mob_shell_configure(s, &machine);
    s->rpc = mob_rpc_create(s->loop, token, &mob_world_rpc, s);
    if (mob_rpc_listen(s->rpc, o->ip, o->port, &s->config.port, err) < 0)
        return -1;
    s->bulk = mob_bulk_create(s->loop, token, &mob_world_bulk, s);
    if (mob_bulk_listen(s->bulk, o->ip, 0, &s->config.bulk_port, err) < 0)
        return -1;
    s->local = mob_local_create(s->loop, &mob_hello_events, s);
    s->programs = mob_programs_create(s);
    s->forks = mob_forks_create(s);
    if (mob_channels_init(s, err) < 0)
        return -1;
    s->core = mob_raylet_create(&s->world, &s->config);
    s->ticker = mob_ticker_create(s->loop, mob_world_tick, s);
    mob_shell_watch(s);
    return 0;
}

static int raylet(void *arg, struct mob_guard_notes *notes, int first)
{
    struct mob_raylet_options *o = arg;
    struct mob_shell *s = mob_new(struct mob_shell);
    struct mob_error err;

    s->options = o;
    s->notes = notes;
    if (!first)
        o->ready_fd = -1;               /* it was told of the node before */
    if (build(s, o, &err) < 0) {
        mob_error_log("%s", err.text);
        mob_session_refused(s, &err);
        return 1;
    }
    mob_loop_run(s->loop);
    mob_local_flush(s->local);          /* why we end, to drivers */
    mob_reap_all(s);
    mob_logs_finish(s->logs);
#ifdef __SANITIZE_ADDRESS__
    __lsan_do_leak_check();             /* _exit() does not: what nobody can reach any more has leaked */
#endif
    return s->exit_code;
}

int main(int argc, char **argv)
{
    struct mob_raylet_options options;
    struct mob_error err;

    mob_log_init("raylet");
    signal(SIGPIPE, SIG_IGN);
    raise_descriptors();
    if (mob_options_parse(argc, argv, &options, &err) < 0) {
        mob_error_log("%s", err.text);
        mob_session_say_error(options.ready_fd, &err);
        return 2;
    }
    if (options.ready_fd >= 0)
        fcntl(options.ready_fd, F_SETFD, FD_CLOEXEC);
    if (options.private_fd >= 0)
        fcntl(options.private_fd, F_SETFD, FD_CLOEXEC);
    return mob_guard_run(raylet, &options, options.ready_fd, options.private_fd, MOB_GUARD_GRACE_MS);
}
