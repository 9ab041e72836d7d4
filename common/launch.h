/* SPDX-License-Identifier: Apache-2.0 */
/* launch.h -- start a head or a raylet as a daemon and wait until it serves. For `mobula start` and for private clusters of libmobula.
 *
 * The daemon is no child of the caller (a double clone, so that nobody's waitpid(-1) meets it), in a session of its own, with
 * /dev/null at 0 and 1. It reports through a pipe with one line of JSON; see head/main.c and raylet/main.c. Any thread may call; no
 * signal handler of the caller runs in between, and a large caller is not copied.
 */
#ifndef MOB_COMMON_LAUNCH_H
#define MOB_COMMON_LAUNCH_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct mob_launch {
    const char *const *options;         /* "--ip", "127.0.0.1", ..., NULL: passed on as they are */
    const char *log_file;               /* its stderr goes there (appended); NULL: /dev/null */
    int private_fd;                     /* pidfd or pipe whose end ends the daemon; -1: none. Borrowed. */
    int64_t timeout_ms;
};

/* What a daemon says of itself. */
struct mob_launched {
    char ip[64], cluster[33], socket[256];
    uint32_t port, node;
};

/* Start "mobula-head" or "mobula-raylet": from $MOBULA_BIN, else the caller's own folder, else beside libmobula (../bin), else
 * PATH. Returns when it serves; else -1 and the daemon's own sentence, or that it ended or said nothing in time. */
int mob_launch(const char *daemon, const struct mob_launch *l, struct mob_launched *ret, struct mob_error *err);
/* "10.0.0.1:6200", "[::1]:6200": as the daemons' options take it. */
void mob_launch_address(char *ret, size_t size, const char *ip, uint32_t port);

#endif
