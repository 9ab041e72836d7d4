/* SPDX-License-Identifier: Apache-2.0 */
/* weight.h -- how much memory a worker, and all that it started, have for themselves. */
#ifndef MOB_RAYLET_WEIGHT_H
#define MOB_RAYLET_WEIGHT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of one worker: what was found out before. */
struct mob_weight {
    uint64_t shared;                    /* bytes that were counted more than once, or are others', too */
    int64_t shared_ns;                  /* when that was looked at; 0: never */
};

/* All processes with their parents, for a moment: on a kernel that does not say who is whose child. Zeroed at first. */
struct mob_relatives {
    struct mob_relative *list;
    size_t count;
    int64_t read_ns;
};

/* In bytes; 0: it is gone. `pid` as /proc has it; `forked`: from a process that shares pages with it. */
uint64_t mob_weight_read(struct mob_weight *w, struct mob_relatives *all, uint32_t pid, bool forked, int64_t now_ns);

/* Should the kernel have to kill, it kills this one before us. */
void mob_weight_offer(uint32_t pid);

#endif
