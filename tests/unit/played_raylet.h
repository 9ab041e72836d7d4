/* SPDX-License-Identifier: Apache-2.0 */
/* played_raylet.h -- a raylet on a thread of the test, for libmobula alone: it starts this test program as worker, lends it, and has a store
 * without room. One driver, PLAYED_WORKERS_MAX workers. */
#ifndef MOB_TESTS_PLAYED_RAYLET_H
#define MOB_TESTS_PLAYED_RAYLET_H

#include <stdbool.h>

struct played_raylet;

/* Serves at <folder>/run/...; sets XDG_RUNTIME_DIR and MOBULA_ADDRESS so that mob_init() finds it. */
struct played_raylet *played_raylet_create(const char *folder);
/* Ends it as if it had crashed: its sockets are closed, its workers die. Safe while the driver waits. */
void played_raylet_destroy(struct played_raylet *f);
/* Messages of the driver so far that say Blocked (from a worker), to see whether a nested get gave its CPU back. */
int played_raylet_blocked(struct played_raylet *f);
int played_raylet_unblocked(struct played_raylet *f);

/* It reads nothing from now on; it reads again. */
void played_raylet_freeze(struct played_raylet *f);
void played_raylet_thaw(struct played_raylet *f);
/* Task events it was told so far. */
int played_raylet_events(struct played_raylet *f);

#endif
