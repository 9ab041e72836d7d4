/* SPDX-License-Identifier: Apache-2.0 */
/* scene.c -- programs that are made to meet: one that would take all there is, and one that wants its turn. What waits longer than
 * its role says has starved.
 *
 * Hosts have 3, 4, 2, 3 ... CPUs, and every second one gold=2 (cluster.c). A driver of role k runs on host 1 + k.
 */
#include "scene.h"

#include <stddef.h>
#include <string.h>

#include "user.h"

static const struct scene scenes[] = {
    { "big", 3, {
        { .calls = 1000, .burst = 10, .pause = 100 * SIM_MS, .duration = 80 * SIM_MS, .resources = "CPU=1" },
        { .calls = 1000, .burst = 10, .pause = 100 * SIM_MS, .duration = 80 * SIM_MS, .resources = "CPU=1" },
        { .calls = 2, .burst = 1, .start = SIM_S, .pause = 3 * SIM_S, .duration = 10 * SIM_MS, .resources = "CPU=4", .wait_max = 4 * SIM_S },
    } },
    { "big at home", 3, {
        { .calls = 1000, .burst = 10, .pause = 100 * SIM_MS, .duration = 80 * SIM_MS, .resources = "CPU=1" },
        { .calls = 2, .burst = 1, .start = SIM_S, .pause = 3 * SIM_S, .duration = 10 * SIM_MS, .resources = "CPU=4", .wait_max = 4 * SIM_S },
        { .calls = 1000, .burst = 10, .pause = 100 * SIM_MS, .duration = 80 * SIM_MS, .resources = "CPU=1" },
    } },
    /* Parents hold gold while they wait for children, which need a CPU of those that the big one waits for. */
    { "big and nested", 2, {
        { .calls = 150, .burst = 4, .pause = 200 * SIM_MS, .duration = 40 * SIM_MS, .resources = "CPU=1,gold=1",
          .function = FUNCTION_NEST, .children = 3, .levels = 2 },
        { .calls = 1, .burst = 1, .start = SIM_S, .duration = 10 * SIM_MS, .resources = "CPU=4,gold=2", .wait_max = 6 * SIM_S },
    } },
    { "one node", 2, {
        { .calls = 8, .burst = 1, .start = SIM_S, .pause = 300 * SIM_MS, .duration = 2 * SIM_MS, .resources = "CPU=1",
          .strategy = MOB_NODE, .on_host = 2, .wait_max = 600 * SIM_MS },
        { .calls = 2400, .burst = 2400, .duration = 20 * SIM_MS, .resources = "CPU=1" },
    } },
    { "one node, from elsewhere", 3, {
        { .calls = 1600, .burst = 1600, .duration = 20 * SIM_MS, .resources = "CPU=1", .strategy = MOB_NODE, .on_host = 2 },
        { .calls = 0 },
        { .calls = 8, .burst = 1, .start = SIM_S, .pause = 300 * SIM_MS, .duration = 2 * SIM_MS, .resources = "CPU=1",
          .strategy = MOB_NODE, .on_host = 2, .wait_max = 600 * SIM_MS },
    } },
    /* All would run where their arguments are, and cannot, as it is full: nothing keeps them from the nodes that are free. */
    { "near", 3, {
        { .calls = 100, .burst = 10, .start = SIM_S, .pause = 200 * SIM_MS, .duration = 40 * SIM_MS, .resources = "CPU=1",
          .near_host = 3, .wait_max = 300 * SIM_MS },
        { .calls = 0 },
        { .calls = 600, .burst = 600, .duration = 20 * SIM_MS, .resources = "CPU=1", .strategy = MOB_NODE, .on_host = 3 },
    } },
    /* And one node that has nothing but its own: a parent there waits for its child. */
    { "near a full one", 2, {
        { .calls = 40, .burst = 4, .pause = 100 * SIM_MS, .duration = 10 * SIM_MS, .resources = "CPU=1", .near_host = 2,
          .function = FUNCTION_NEST, .children = 2, .levels = 2 },
        { .calls = 100, .burst = 100, .duration = 20 * SIM_MS, .resources = "CPU=1", .near_host = 1 },
    } },
    { "spread at home", 1, {
        { .calls = 1200, .burst = 1200, .duration = 20 * SIM_MS, .resources = "CPU=1" },
        { .calls = 8, .burst = 1, .start = SIM_S, .pause = 300 * SIM_MS, .duration = 2 * SIM_MS, .resources = "CPU=1",
          .strategy = MOB_SPREAD, .wait_max = 600 * SIM_MS },
    } },
};

const struct scene *scene_find(unsigned number)
{
    return number < MOB_COUNT(scenes) ? &scenes[number] : NULL;
}

const struct scene *scene_of_scale(unsigned nodes, unsigned *drivers, unsigned tasks)
{
    static struct scene scale = { .name = "scale" };

    if (*drivers > ROLES_MAX)
        *drivers = ROLES_MAX;
    scale.nodes = nodes;
    for (unsigned i = 0; i < *drivers; i++)
        scale.roles[i] = (struct role){ .calls = tasks, .burst = tasks, .start = SIM_S, .duration = 100 * SIM_MS, .resources = "CPU=1" };
    return &scale;
}

void scene_call(struct sim *s, const struct role *role, struct call *call, struct mob_shape *shape)
{
    *call = (struct call){ .seed = sim_random(s), .function = role->function != 0 ? role->function : FUNCTION_LEAF,
                           .children = role->children, .levels = role->levels, .result_size = 8 };
    call->duration_ns = role->duration / 2 + (int64_t)sim_below(s, (uint64_t)role->duration);
    shape->strategy = role->strategy;
    if (role->on_host != 0)
        shape->node = s->hosts[role->on_host].raylet->node;
}
