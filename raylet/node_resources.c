/* SPDX-License-Identifier: Apache-2.0 */
/* node_resources.c -- one vector of what is free, and beside it the GPUs one by one.
 *
 * Rule: at each take, lent + asked <= owned. Only mob_node_resources_regain_cpu() may break it, for CPU alone: a worker that
 * wakes up runs at once. While CPU is below zero nothing that asks for CPU fits, so the debt is paid first.
 *
 * A whole GPU is taken only where all of it is free; a fraction goes to the fullest GPU that has room, so that whole ones
 * stay whole.
 */
#include "raylet/node_resources.h"

#include <assert.h>
#include <string.h>

void mob_node_resources_init(struct node_resources *n, const struct mob_resources *owned, const uint32_t gpus[MOB_GPUS_MAX])
{
    int64_t count = mob_resources_get(owned, "GPU") / MOB_UNITS;

    memset(n, 0, sizeof *n);
    n->owned = n->free = *owned;
    n->gpu_count = count > MOB_GPUS_MAX ? MOB_GPUS_MAX : (uint32_t)count;
    for (uint32_t i = 0; i < n->gpu_count; i++) {
        n->gpu_index[i] = gpus[i];
        n->gpu_free[i] = MOB_UNITS;
    }
}

uint32_t mob_node_resources_cpus(const struct node_resources *n)
{
    int64_t cpus = mob_resources_get(&n->owned, "CPU") / MOB_UNITS;

    return cpus < 1 ? 1 : (uint32_t)cpus;
}

static bool gpu_ask_is_sound(int64_t units)
{
    return units <= MOB_UNITS || units % MOB_UNITS == 0;
}

bool mob_node_resources_feasible(const struct node_resources *n, const struct mob_resources *ask)
{
    int64_t gpu = mob_resources_get(ask, "GPU");

    return mob_resources_fit(&n->owned, ask) && gpu_ask_is_sound(gpu) && gpu <= n->gpu_count * MOB_UNITS;
}

/* Choose GPUs for `units`: a fraction of one, or whole ones. False: not enough. */
static bool choose_gpus(const struct node_resources *n, int64_t units, struct share *share)
{
    uint32_t wanted = units < MOB_UNITS ? 1 : (uint32_t)(units / MOB_UNITS);
    int64_t each = units < MOB_UNITS ? units : MOB_UNITS;

    share->gpu_count = 0;
    share->gpu_units = each;
    for (uint32_t i = 0; i < n->gpu_count && share->gpu_count < wanted; i++)
        if (n->gpu_free[i] >= each)
            share->gpu_at[share->gpu_count++] = (uint8_t)i;
    if (share->gpu_count < wanted)
        return false;
    for (uint32_t i = 0; each < MOB_UNITS && i < n->gpu_count; i++)
        if (n->gpu_free[i] >= each && n->gpu_free[i] < n->gpu_free[share->gpu_at[0]])
            share->gpu_at[0] = (uint8_t)i;
    return true;
}

bool mob_node_resources_take(struct node_resources *n, const struct mob_resources *ask, struct share *ret_share)
{
    int64_t gpu = mob_resources_get(ask, "GPU");

    if (!mob_resources_fit(&n->free, ask) || !gpu_ask_is_sound(gpu))
        return false;
    ret_share->gpu_count = 0;
    if (gpu > 0 && !choose_gpus(n, gpu, ret_share))
        return false;
    ret_share->held = *ask;
    mob_resources_subtract(&n->free, ask);
    for (uint32_t i = 0; i < ret_share->gpu_count; i++)
        n->gpu_free[ret_share->gpu_at[i]] -= ret_share->gpu_units;
    n->version++;
    return true;
}

void mob_node_resources_give(struct node_resources *n, struct share *share)
{
    mob_resources_add(&n->free, &share->held);
    for (uint32_t i = 0; i < share->gpu_count; i++) {
        n->gpu_free[share->gpu_at[i]] += share->gpu_units;
        assert(n->gpu_free[share->gpu_at[i]] <= MOB_UNITS);
    }
    share->held.count = 0;
    share->gpu_count = 0;
    n->version++;
}

void mob_node_resources_lend_cpu(struct node_resources *n, struct share *share)
{
    struct mob_resources cpu = { 0 };

    mob_resources_set(&cpu, "CPU", mob_resources_get(&share->held, "CPU"));
    mob_resources_add(&n->free, &cpu);
    mob_resources_set(&share->held, "CPU", 0);
    n->version++;
}

void mob_node_resources_regain_cpu(struct node_resources *n, struct share *share, int64_t units)
{
    struct mob_resources cpu = { 0 };

    assert(mob_resources_get(&share->held, "CPU") == 0);
    mob_resources_set(&cpu, "CPU", units);
    mob_resources_subtract(&n->free, &cpu);
    mob_resources_set(&share->held, "CPU", units);
    n->version++;
}

size_t mob_node_resources_gpus(const struct node_resources *n, const struct share *share, uint32_t ret_gpus[MOB_GPUS_MAX])
{
    for (uint32_t i = 0; i < share->gpu_count; i++)
        ret_gpus[i] = n->gpu_index[share->gpu_at[i]];
    return share->gpu_count;
}
