/* SPDX-License-Identifier: Apache-2.0 */
/* lag.h -- a line in the log when the raylet's loop did not turn for so long that its node may be taken for dead. */
#ifndef MOB_RAYLET_LAG_H
#define MOB_RAYLET_LAG_H

#include <stdint.h>

struct mob_lag {
    int64_t due_ns;                     /* when the next tick shall be; 0: at once */
    int64_t looked_ns;
    uint64_t cpu_ns, waited_ns, faults; /* of the loop's thread, as of `looked_ns` */
};

/* Each tick begins with this. */
void mob_lag_look(struct mob_lag *lag, int64_t now_ns);

#endif
