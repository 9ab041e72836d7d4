/* SPDX-License-Identifier: Apache-2.0 */
/* user.h -- the functions of the simulated job, and the value that each call of them must have. */
#ifndef MOB_TESTS_SIM_USER_H
#define MOB_TESTS_SIM_USER_H

#include "sim.h"

enum function {
    FUNCTION_LEAF = 1,                  /* thinks, and returns */
    FUNCTION_NEST,                      /* calls others and waits for them */
    FUNCTION_CRASH,                     /* its first attempt kills the worker */
    FUNCTION_FAIL,                      /* returns an error of its own */
    FUNCTION_FORWARD,                   /* calls another and returns its reference, unseen */
};
#define FAIL_CODE 7
#define CHILDREN_MAX 4

/* First argument of each call; the others are values of earlier calls. */
struct call {
    uint64_t seed;
    uint32_t function, children, levels, result_size;
    int64_t duration_ns;
};

/* Blocked, or Unblocked. */
void work_say(struct process *p, Mobula__Envelope__BodyCase body);
/* What the function returns for these arguments. */
uint64_t call_value(const struct call *c, const uint64_t *args, size_t arg_count);
struct call call_child(const struct call *c, uint32_t i);
/* `run`: of the task that calls, or NULL. -1: it is cancelled. */
int call_submit(struct process *p, const struct call *c, const struct mob_shape *shape, const uint64_t *refs, size_t ref_count,
                const struct mob_run *run, int32_t max_retries, uint64_t *ret_ref);

#endif
