/* SPDX-License-Identifier: Apache-2.0 */
/* function.h -- the task functions of this program by name, as the wire knows them. */
#ifndef MOB_WORKER_FUNCTION_H
#define MOB_WORKER_FUNCTION_H

#include "common/id.h"
#include "mobula.h"

struct mob_function {
    const char *name;
    uint64_t hash;
    mob_task_fn *run;
    const char *file;                   /* where MOB_TASK() stands; NULL: registered without it */
    int line;
};

/* NULL: none of that name. */
const struct mob_function *mob_function_find(uint64_t hash);
/* How many are registered, for the error text. */
size_t mob_function_count(void);

#endif
