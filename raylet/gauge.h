/* SPDX-License-Identifier: Apache-2.0 */
/* gauge.h -- how much memory this node has left: of the machine, or of the cgroup of ours that is nearest its limit. */
#ifndef MOB_RAYLET_GAUGE_H
#define MOB_RAYLET_GAUGE_H

#include "common/world.h"

struct mob_gauge {
    const char *root;                   /* put before /proc and /sys: "" but in tests */
    uint64_t reserve;                   /* as mob_memory_reserve() takes it */
    char stalled_path[600];             /* where the figures below are from; "": there are none yet */
    uint64_t stalled_us;
    int64_t stalled_ns;
};

/* False: /proc/meminfo cannot be read, or does not say what is available. */
bool mob_gauge_read(struct mob_gauge *g, int64_t now_ns, struct mob_memory *ret);

#endif
