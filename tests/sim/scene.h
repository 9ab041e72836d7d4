/* SPDX-License-Identifier: Apache-2.0 */
/* scene.h -- what each driver of a scene does, instead of a random program. */
#ifndef MOB_TESTS_SIM_SCENE_H
#define MOB_TESTS_SIM_SCENE_H

#include "sim.h"

#define ROLES_MAX 64

struct call;

struct role {
    unsigned calls, burst;              /* all; at a time */
    int64_t start, pause;               /* after its node joined; between bursts */
    int64_t duration;                   /* half to one and a half of it */
    const char *resources;
    enum mob_strategy strategy;
    unsigned on_host;
    unsigned near_host;                 /* each call has an argument in the store there; 0: none */
    uint32_t function, children, levels;
    int64_t wait_max;                   /* from submit to value; 0: as long as it takes */
};

struct scene {
    const char *name;
    unsigned nodes;
    struct role roles[ROLES_MAX];       /* of the drivers */
};

const struct scene *scene_find(unsigned number);        /* NULL: there are no more */
/* Short calls on each of so many nodes, of drivers that submit `tasks` each: how far does it go, how fast? At most ROLES_MAX drivers. */
const struct scene *scene_of_scale(unsigned nodes, unsigned *drivers, unsigned tasks);
/* The next call of a role. */
void scene_call(struct sim *s, const struct role *role, struct call *call, struct mob_shape *shape);

#endif
