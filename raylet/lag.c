/* SPDX-License-Identifier: Apache-2.0 */
/* lag.c -- when the loop did not come to its tick in time: for how long, and what its thread did meanwhile, as the kernel counts it.
 *
 * Beats are sent by that loop, so a node whose loop stands still for 2.5 s is dead for its cluster, and whoever looks for the reason finds
 * nothing in its log but the end. It waited for a CPU that others had (schedstat), for pages from a disk, or in a call of the kernel; or it
 * had so much to do.
 */
#include "raylet/lag.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/resource.h>

#include "common/log.h"
#include "common/sysinfo.h"

#define LATE_NS INT64_C(1000000000)
#define LOOK_NS INT64_C(200000000)

static double seconds(int64_t ns)
{
    return (double)ns / 1e9;
}

static void read_thread(struct mob_lag *ret)
{
    struct rusage usage;
    char text[128];

    if (mob_sysinfo_text("/proc/thread-self/schedstat", text, sizeof text) > 0)
        sscanf(text, "%" SCNu64 " %" SCNu64, &ret->cpu_ns, &ret->waited_ns);
    if (getrusage(RUSAGE_THREAD, &usage) == 0)
        ret->faults = (uint64_t)usage.ru_majflt;
}

void mob_lag_look(struct mob_lag *lag, int64_t now_ns)
{
    struct mob_lag before = *lag;
    bool late = lag->due_ns > 0 && now_ns - lag->due_ns >= LATE_NS;

    if (!late && now_ns - lag->looked_ns < LOOK_NS)
        return;
    read_thread(lag);
    lag->looked_ns = now_ns;
    if (late)
        mob_warn("this raylet came %.1f s too late to its work: in the last %.1f s it had a CPU for %.1f s, waited for one for %.1f s, "
                 "and read %" PRIu64 " pages from a disk; after 2.5 s the head takes a node for dead",
                 seconds(now_ns - lag->due_ns), seconds(now_ns - before.looked_ns), seconds((int64_t)(lag->cpu_ns - before.cpu_ns)),
                 seconds((int64_t)(lag->waited_ns - before.waited_ns)), lag->faults - before.faults);
}
