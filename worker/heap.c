/* SPDX-License-Identifier: Apache-2.0 */
/* heap.c -- what tasks free is kept while there are tasks.
 *
 * A task on arrays or images allocates and frees tens of MiB again and again. By malloc's own rule each block above 32 MiB is a mapping of
 * its own, which the kernel fills with zeroed pages anew each time: 8 % of the time of the tutorial's image transforms. So a worker takes
 * blocks from the heap up to half of what it keeps of it, which is its CPU's part of half the store's size, and 256 MiB at most. Larger
 * blocks are mappings as before. A worker that has been idle for a second keeps nothing (worker_main.c). */
#include "heap.h"

#include <malloc.h>
#include <sched.h>
#include <stdlib.h>

#include "common/mem.h"

#define KEPT_MAX (UINT64_C(256) << 20)
#define KEPT_MIN (UINT64_C(64) << 20)   /* malloc itself comes to as much, after the first large block */

static bool environment_decides(void)
{
    static const char *const names[] = { "GLIBC_TUNABLES", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_" };

    for (size_t i = 0; i < MOB_COUNT(names); i++)
        if (getenv(names[i]) != NULL)
            return true;
    return false;
}

bool mob_heap_keep(uint64_t store)
{
    cpu_set_t cpus;
    uint64_t kept = store / 2 / (sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? (unsigned)CPU_COUNT(&cpus) : CPU_SETSIZE);

    if (kept < KEPT_MIN || environment_decides())
        return false;
    if (kept > KEPT_MAX)
        kept = KEPT_MAX;
    return mallopt(M_MMAP_THRESHOLD, (int)(kept / 2)) != 0 && mallopt(M_TRIM_THRESHOLD, (int)kept) != 0;
}

void mob_heap_give_back(void)
{
    malloc_trim(0);
}
