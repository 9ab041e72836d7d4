/* SPDX-License-Identifier: Apache-2.0 */
/* pressure.h -- memory of the node: workers are ended before the kernel ends whom it likes. */
#ifndef MOB_RAYLET_PRESSURE_H
#define MOB_RAYLET_PRESSURE_H

#include "common/machine.h"
#include "raylet/raylet.h"

struct lease;

enum pressure_state { PRESSURE_CALM, PRESSURE_RELIEF };

struct pressure {
    struct mob_machine machine;
    int64_t look_at;                    /* ns; CALM: when memory is looked at again; RELIEF: when the state is over at the latest */
    uint32_t victim;                    /* RELIEF: the process that was ended */
    bool told;                          /* that memory is short and nobody is worth ending: once, till it is not short any more */
};

void mob_pressure_init(struct mob_raylet *r);
/* Look at memory if that is due, and end whom that needs. Returns when to come again. */
int64_t mob_pressure_tick(struct mob_raylet *r);
/* A worker was reaped: what it had may be free now. */
void mob_pressure_process_gone(struct mob_raylet *r, uint32_t process);
/* Somebody was ended just now: what comes free is not lent at once. */
bool mob_pressure_holds(const struct mob_raylet *r);
/* A lease begins: what its worker has by then is not its task's. */
void mob_pressure_granted(struct mob_raylet *r, struct lease *l);

#endif
