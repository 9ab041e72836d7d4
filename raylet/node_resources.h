/* SPDX-License-Identifier: Apache-2.0 */
/* node_resources.h -- what the node owns and what of it is free. GPUs are indices: whole ones have one holder, fractions share one. */
#ifndef MOB_RAYLET_NODE_RESOURCES_H
#define MOB_RAYLET_NODE_RESOURCES_H

#include "common/resources.h"
#include "common/sysinfo.h"

struct node_resources {
    struct mob_resources owned, free;
    uint32_t gpu_count;
    uint32_t gpu_index[MOB_GPUS_MAX];
    int64_t gpu_free[MOB_GPUS_MAX];     /* units of each, of MOB_UNITS */
    uint64_t version;                   /* rises with each change of `free` */
};

/* What one lease holds of the node. */
struct share {
    struct mob_resources held;
    uint32_t gpu_count;
    uint8_t gpu_at[MOB_GPUS_MAX];       /* places in gpu_index */
    int64_t gpu_units;                  /* of each of them */
};

void mob_node_resources_init(struct node_resources *n, const struct mob_resources *owned, const uint32_t gpus[MOB_GPUS_MAX]);
/* Whole CPUs, at least 1: what the bounds of queues and processes are made of. */
uint32_t mob_node_resources_cpus(const struct node_resources *n);
/* Could an idle node serve it? */
bool mob_node_resources_feasible(const struct node_resources *n, const struct mob_resources *ask);
/* Take what is asked, if all of it is free now. False: nothing was taken. */
bool mob_node_resources_take(struct node_resources *n, const struct mob_resources *ask, struct share *ret_share);
/* Give back what the share still holds, and empty it. */
void mob_node_resources_give(struct node_resources *n, struct share *share);

/* The holder sleeps: its CPU is free for others. It wakes: it has its CPU again at once, even if free falls below zero. */
void mob_node_resources_lend_cpu(struct node_resources *n, struct share *share);
void mob_node_resources_regain_cpu(struct node_resources *n, struct share *share, int64_t units);

/* The GPU indices of a share, for CUDA_VISIBLE_DEVICES; returns how many. */
size_t mob_node_resources_gpus(const struct node_resources *n, const struct share *share, uint32_t ret_gpus[MOB_GPUS_MAX]);

#endif
