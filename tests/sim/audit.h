/* SPDX-License-Identifier: Apache-2.0 */
/* audit.h -- what a raylet's core counts, as plain numbers: its structs and the simulator's have the same names. */
#ifndef MOB_TESTS_SIM_AUDIT_H
#define MOB_TESTS_SIM_AUDIT_H

#include "raylet/raylet.h"

struct audit_lent {
    uint64_t lease;
    int64_t cpu;                        /* that the lease holds now */
};

/* What worker `process` is lent for. False: it is on its way out, or unknown. */
bool audit_lent(const struct mob_raylet *r, uint32_t process, struct audit_lent *ret);
/* Nobody of this job has, wants or runs anything here. */
bool audit_job_gone(const struct mob_raylet *r, struct mob_address job);

#endif
