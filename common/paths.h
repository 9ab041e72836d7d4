/* SPDX-License-Identifier: Apache-2.0 */
/* paths.h -- the run folder of a user, and in it one session folder for each node of a cluster that runs on this machine.
 *
 *     $XDG_RUNTIME_DIR/mobula or /tmp/mobula-<uid>     0700, ours, or we refuse it
 *         <cluster>@<ip>@<boot>-<host>/        8 hex digits each of the cluster's id, the boot id, and a hash of the host's name
 *             sockets, daemon records
 *             logs/
 *
 * A session folder belongs to the processes that hold it, by a shared lock (flock) that ends with the last of them however it ends.
 * Only who gets the lock for itself alone may remove the folder. A run folder on a shared file system has those of other machines, too:
 * their locks may not be seen here, so the name says whose a folder is. Ours are those of this boot (whatever the host is called, in a
 * container or by now), and those of this host before it booted again.
 */
#ifndef MOB_COMMON_PATHS_H
#define MOB_COMMON_PATHS_H

#include <stdbool.h>

#include "common/error.h"

#define MOB_PATH_SIZE 512

/* The user's home folder. */
int mob_paths_home(char *ret, size_t size, struct mob_error *err);

/* The run folder, made if it is not there. MOB_ERR_DENIED: another user's, or open to others; the text says what to do. */
int mob_paths_run(char ret[MOB_PATH_SIZE], struct mob_error *err);

/* The same for any folder: make it (one level) or check it. */
int mob_paths_private(const char *path, struct mob_error *err);

/* The path of a node's session folder on this machine. `cluster`: hex, at least 8 digits. */
int mob_paths_session(const char *run, const char *cluster, const char *ip, char ret[MOB_PATH_SIZE], struct mob_error *err);

/* The file in which a head at that address keeps its state: ~/.mobula/heads/<ip>-<port>.db; its folders may not be there. */
int mob_paths_state(const char *ip, unsigned port, char ret[MOB_PATH_SIZE], struct mob_error *err);

/* Hold a session folder, with logs/ in it, made if it is not there. *ret_lock: kept open as long as anything in it is ours. */
int mob_paths_enter(const char *session, int *ret_lock, struct mob_error *err);

/* Let go of it (lock -1: in place of a process that is gone). Nobody else's: logs/ and the folder are removed if empty. */
void mob_paths_leave(const char *session, int lock);

/* Remove a session folder and all in it that nobody holds. False: it is still there. */
bool mob_paths_sweep(const char *session);

/* Call visit(arg, path) for each session folder of this machine, in no order. */
int mob_paths_each_session(const char *run, void (*visit)(void *arg, const char *path), void *arg, struct mob_error *err);

/* Remove a folder and all in it; symbolic links are removed, never followed. Not there: 0. */
int mob_paths_remove(const char *path, struct mob_error *err);

#endif
