/* SPDX-License-Identifier: Apache-2.0 */
/* shell.h -- the raylet process as one struct that lists its organs. One thread, that of `loop`, owns all of it. */
#ifndef MOB_RAYLET_SHELL_H
#define MOB_RAYLET_SHELL_H

#include "common/loop.h"
#include "common/map.h"
#include "common/paths.h"
#include "objstore/bulk.h"
#include "objstore/store.h"
#include "raylet/channels.h"
#include "raylet/gauge.h"
#include "raylet/coroner.h"
#include "raylet/guard.h"
#include "raylet/lag.h"
#include "raylet/local.h"
#include "raylet/logs.h"
#include "raylet/options.h"
#include "raylet/program.h"
#include "raylet/raylet.h"
#include "raylet/weight.h"
#include "rpc/rpc.h"

struct mob_shell {
    struct mob_world world;             /* what the core acts through: world.c */
    const struct mob_raylet_options *options;
    struct mob_guard_notes *notes;      /* what the guard clears away when we have ended */

    struct mob_loop *loop;
    struct mob_wire *wire;              /* scratch of the shell's own messages */
    struct mob_rpc *rpc;                /* head and peers */
    struct mob_bulk *bulk;              /* objects and programs of other nodes */
    struct mob_link parked;             /* what other nodes ask the store for, and wait for: world.c */
    struct mob_store *store;
    struct mob_disk *disk;              /* what the store has no room for */
    struct mob_local *local;            /* processes of this node */
    struct mob_programs *programs;      /* what workers are made of */
    struct mob_logs *logs;              /* what workers print; NULL until registered */
    struct mob_map residents;           /* local processes by their number: resident.c */
    struct mob_map residents_by_pid;    /* workers by their pid, as we see it */
    struct mob_forks *forks;            /* the templates that workers are forked from: fork.c */
    struct mob_gauge gauge;             /* of the node's memory */
    struct mob_relatives relatives;     /* for the memory of workers */
    struct mob_channels channels;       /* our own doorbell */
    struct mob_raylet_config config;
    struct mob_raylet *core;
    struct mob_ticker *ticker;
    struct mob_lag lag;                 /* of the loop */
    struct mob_coroner coroner;         /* what else the kernel knows of the dead: reap.c */
    uv_signal_t child_signal, term_signal, int_signal;
    bool strangers_wait;                /* they were not looked for while somebody was forked */
    bool frozen;                        /* all that are no workers are stopped, until the last stranger is gone: reap.c */
    pid_t dead;                         /* buried, and not reaped yet; 0: none */
    uv_sem_t dead_there;
    struct mob_posted reaped;

    uint64_t head_link;                 /* the newest one dialed to the head */
    uint64_t cluster;                   /* the first 8 bytes of its id: in object ids and Welcome */
    char session[MOB_PATH_SIZE];        /* "" until registered */
    char socket_path[MOB_PATH_SIZE];
    char library_path[MOB_PATH_SIZE];   /* LD_LIBRARY_PATH of workers */
    bool ending;                        /* nothing is started any more */
    int exit_code;
};

/* A fact was fed to the core: tick and write before the loop sleeps. */
static inline void mob_shell_poke(struct mob_shell *s)
{
    mob_ticker_poke(s->ticker);
}

/* Leave the loop; the process exits with `code`. */
void mob_shell_end(struct mob_shell *s, int code);

/* shell.c: what the core shall be (store and options are there; the ports come later), and who may end us. */
void mob_shell_configure(struct mob_shell *s, const struct mob_sysinfo *machine);
void mob_shell_watch(struct mob_shell *s);

/* world.c: the world table, and the facts that links, store and bulk bring. */
void mob_world_init(struct mob_shell *s);
extern const struct mob_rpc_callbacks mob_world_rpc;
extern const struct mob_bulk_callbacks mob_world_bulk;
struct mob_store_config mob_world_store(struct mob_shell *s, uint64_t bytes);
int64_t mob_world_tick(void *shell);

/* spill.c: the disk behind the store, and an overflow of so many bytes if it can be. */
int mob_spill_init(struct mob_shell *s, uint64_t overflow, struct mob_error *err);
void mob_spill_do(void *shell, struct mob_disk_job *job);

/* hello.c: what comes over local connections, from Hello on. */
extern const struct mob_stream_events mob_hello_events;

/* spawn.c: world->spawn. */
struct mob_resident;
void mob_spawn_worker(struct mob_shell *s, const struct mob_spawn *ask);
/* world->prepare. */
bool mob_spawn_prepare(struct mob_shell *s, const struct mob_spawn *ask);
/* It did not start, and will not: the core is told from the loop. */
void mob_spawn_give_up(struct mob_resident *r, const struct mob_error *why);
/* Its template does not fork it: start it anew. */
void mob_spawn_plainly(struct mob_resident *r);
/* Its template has forked it, as `pid`. */
void mob_spawn_forked(struct mob_resident *r, pid_t pid);
/* Close what is read of it, before it runs; no-op if nothing is. */
void mob_spawn_close_output(struct mob_resident *r);
/* "NAME=value" of what a worker's environment has for itself, up to a NULL; and the raylet's own environment with such a list (taken over)
 * in it. Each is freed by mob_spawn_variables_free(). */
char **mob_spawn_own_variables(const struct mob_resident *r);
char **mob_spawn_environment(char **own);
void mob_spawn_variables_free(char **list);
/* The pid that people see: with a PID namespace of ours, /proc is still the outer one, and shows it for a pidfd. -1: our own pid for it. */
uint32_t mob_spawn_shown_pid(pid_t pid, int pidfd);
/* Tell the driver of a job what one of its processes printed; `ip` is filled in. False: the way to it is full. */
bool mob_spawn_tell(struct mob_shell *s, struct mob_address job, Mobula__Output *what);

/* reap.c: workers that died, and strangers that were left to us as process 1. */
void mob_reap_start(struct mob_shell *s);
void mob_reap_strangers(struct mob_shell *s);   /* kill what dead workers left behind */
void mob_reap_all(struct mob_shell *s);         /* kill every worker and wait for it */

/* session.c: what the node shows in its session folder, from registering on. */
void mob_session_registered(void *shell, uint32_t node, const uint8_t cluster[16]);
void mob_session_refused(struct mob_shell *s, const struct mob_error *why);     /* says why on the ready descriptor, if nothing was said */
void mob_session_say_error(int ready_fd, const struct mob_error *why);          /* closes it; -1: nobody listens */

#endif
