/* SPDX-License-Identifier: Apache-2.0 */
/* fork.h -- workers that are forked from a warm process of their job's program, its template, instead of being started anew. */
#ifndef MOB_RAYLET_FORK_H
#define MOB_RAYLET_FORK_H

#include "raylet/program.h"
#include "raylet/shell.h"

struct mob_forks;
struct mob_fork;

struct mob_forks *mob_forks_create(struct mob_shell *s);

/* Have `r` forked by the template of its job, which is started if need be from `file`; output: the write ends of its pipes. True: r waits
 * with the template, and mob_spawn_forked() or mob_spawn_plainly() follows from the loop. False: it is to be started anew, now. */
bool mob_fork_ask(struct mob_forks *forks, struct mob_resident *r, const struct mob_program_file *file, const int output[2]);
/* Start the template of a job, of `file`, before anybody asks. True: mob_raylet_prepared() follows from the loop, when it has loaded all or
 * is no more. */
bool mob_fork_prepare(struct mob_forks *forks, struct mob_address job, const struct mob_program_file *file);
/* `r` does not wait any more; no-op if it does not. What is forked for it is killed. */
void mob_fork_forget(struct mob_resident *r);

/* Read what templates have said: before judging a process that they may just have told of. */
void mob_forks_read(struct mob_forks *forks);
/* Somebody may be forked whom we do not know yet. */
bool mob_forks_busy(const struct mob_forks *forks);
size_t mob_forks_count(const struct mob_forks *forks);                  /* templates that were not reaped */
struct mob_fork *mob_fork_find(struct mob_forks *forks, pid_t pid);     /* NULL: no template */
/* It has ended, with this status as of waitpid(), and is reaped after this. */
void mob_fork_bury(struct mob_fork *f, int status);

/* Does a template run this program? What lies beside it is in use, then, though no worker may be. */
bool mob_forks_use(const struct mob_forks *forks, const char *path);

/* A job is over (process 0: all of that node): so is its template. */
void mob_forks_job_over(struct mob_forks *forks, struct mob_address job);
void mob_forks_kill_all(struct mob_forks *forks);
/* End what is late; returns when to come again. */
int64_t mob_forks_tick(struct mob_forks *forks);

#endif
