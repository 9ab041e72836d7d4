/* SPDX-License-Identifier: Apache-2.0 */
/* daemon_log.h -- where a daemon's stderr goes: until it serves, its session folder is not known. */
#ifndef MOB_COMMON_DAEMON_LOG_H
#define MOB_COMMON_DAEMON_LOG_H

#include "common/error.h"
#include "common/paths.h"

/* A file in the run folder, of this start alone. */
int mob_daemon_log_begin(const char *daemon, char ret_path[MOB_PATH_SIZE], struct mob_error *err);
/* It serves: move the file to logs/<daemon>.log of its session folder, which is there as long as it serves. */
void mob_daemon_log_keep(const char *path, const char *daemon, const char *cluster, const char *ip);
/* It does not: remove the file; its last line becomes part of *err, if the daemon ended without a word of its own. NULL is fine. */
void mob_daemon_log_drop(const char *path, struct mob_error *err);

#endif
