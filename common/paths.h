/* SPDX-License-Identifier: Apache-2.0 */
/* paths.h -- the run folder of a user, and in it one session folder for each node of a cluster that runs on this machine.
 *
 *     $XDG_RUNTIME_DIR/mobula or /tmp/mobula-<uid>     0700, ours, or we refuse it
 *         <first 8 hex digits of the cluster>@<ip>/    sockets, daemon records
 *             logs/
 */
#ifndef MOB_COMMON_PATHS_H
#define MOB_COMMON_PATHS_H

#include "common/error.h"

#define MOB_PATH_SIZE 512

/* The run folder, made if it is not there. MOB_ERR_DENIED: another user's, or open to others; the text says what to do. */
int mob_paths_run(char ret[MOB_PATH_SIZE], struct mob_error *err);

/* The same for any folder: make it (one level) or check it. */
int mob_paths_private(const char *path, struct mob_error *err);

/* The session folder of a node, with logs/ in it, made if it is not there. `cluster`: hex, at least 8 digits. */
int mob_paths_session(const char *run, const char *cluster, const char *ip, char ret[MOB_PATH_SIZE], struct mob_error *err);

/* Call visit(arg, path) for each session folder, in no order. */
int mob_paths_each_session(const char *run, void (*visit)(void *arg, const char *path), void *arg, struct mob_error *err);

/* Remove a folder and all in it; symbolic links are removed, never followed. Not there: 0. */
int mob_paths_remove(const char *path, struct mob_error *err);

#endif
