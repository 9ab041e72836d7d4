/* SPDX-License-Identifier: Apache-2.0 */
/* guard.h -- the small process above the raylet that ends what the raylet leaves behind. */
#ifndef MOB_RAYLET_GUARD_H
#define MOB_RAYLET_GUARD_H

#include "common/paths.h"
#include "common/record.h"

#define MOB_GUARD_AGAIN 77              /* exit code of a raylet that joins again, as a new node */
#define MOB_GUARD_GRACE_MS 5000         /* from the word to end to SIGKILL */

/* What the raylet has made and the guard clears away, in memory that both see. "": nothing (yet). */
struct mob_guard_notes {
    int guard_pid;
    char session[MOB_PATH_SIZE];        /* removed if it is empty in the end: others may live in it, mob_paths_leave() */
    char socket[MOB_PATH_SIZE], record[MOB_PATH_SIZE];
    char scratch[MOB_PATH_SIZE];        /* a folder, with all in it */
    struct mob_daemon_record said;      /* what the record says */
    char before[MOB_PATH_SIZE], before_session[MOB_PATH_SIZE];  /* the record of the node before, which this raylet removes when it has its
                                         * own; where that is */
};

/* Become the guard, and run raylet() in a child: as process 1 of a PID namespace where that is allowed, else with this process as
 * subreaper. Returns the exit code when the raylet has ended and everything below it is gone. first: 0 in a raylet that joins again.
 * ready_fd is the raylet's alone: closed here. When private_fd (-1: none) becomes readable, or SIGTERM, SIGINT or SIGHUP comes, the
 * raylet is asked to end, and killed if it has not within `grace_ms`. */
int mob_guard_run(int (*raylet)(void *arg, struct mob_guard_notes *notes, int first), void *arg, int ready_fd, int private_fd,
                  int grace_ms);

#endif
