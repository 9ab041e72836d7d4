/* SPDX-License-Identifier: Apache-2.0 */
/* family.h -- who is whose child, as /proc says. A raylet that is process 1 of a namespace sees other pids in /proc than it may signal. */
#ifndef MOB_RAYLET_FAMILY_H
#define MOB_RAYLET_FAMILY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A process by the pids of /proc. */
struct mob_relative {
    pid_t pid, parent;
};

/* All that /proc shows; the caller frees it. */
struct mob_relative *mob_family_list(size_t *ret_count);

/* Is it in its exit, or dead? By the pid that /proc shows. */
bool mob_family_is_ending(uint32_t shown_pid);

/* The children of this process, dead ones that were not reaped included, by the pids that it may signal; the caller frees them. None are
 * listed if there are no more than `known`: so much costs one file. */
pid_t *mob_family_children(size_t known, size_t *ret_count);

#endif
