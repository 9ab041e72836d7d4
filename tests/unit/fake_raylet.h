/* SPDX-License-Identifier: Apache-2.0 */
/* fake_raylet.h -- a raylet on a thread of the test, for libmobula alone: it starts this test program as worker, lends it, and has a store
 * without room. One driver, FAKE_WORKERS_MAX workers. */
#ifndef MOB_TESTS_FAKE_RAYLET_H
#define MOB_TESTS_FAKE_RAYLET_H

#include <stdbool.h>

struct fake_raylet;

/* Serves at <folder>/run/...; sets XDG_RUNTIME_DIR and MOBULA_ADDRESS so that mob_init() finds it. */
struct fake_raylet *fake_raylet_create(const char *folder);
/* Ends it as if it had crashed: its sockets are closed, its workers die. Safe while the driver waits. */
void fake_raylet_destroy(struct fake_raylet *f);
/* Messages of the driver so far that say Blocked (from a worker), to see whether a nested get gave its CPU back. */
int fake_raylet_blocked(struct fake_raylet *f);
int fake_raylet_unblocked(struct fake_raylet *f);

/* It reads nothing from now on; it reads again. */
void fake_raylet_freeze(struct fake_raylet *f);
void fake_raylet_thaw(struct fake_raylet *f);
/* Task events it was told so far. */
int fake_raylet_events(struct fake_raylet *f);

#endif
