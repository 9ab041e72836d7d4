/* SPDX-License-Identifier: Apache-2.0 */
/* report.h -- tells the head what is free here: each beat, and soon after a change. */
#ifndef MOB_RAYLET_REPORT_H
#define MOB_RAYLET_REPORT_H

#include "raylet/raylet.h"

struct reporter {
    int64_t said_at;                    /* ns; of the last Report */
    uint64_t said_version;              /* of resources, then */
    uint32_t said_queued;
    uint64_t version;                   /* of what was reported */
    uint64_t placed_seq, said_placed_seq;       /* last Place seen */
    uint64_t said_claim_over;
    bool again;                         /* say it at once */
};

void mob_report_again(struct mob_raylet *r);
/* Report if it is due. Returns when to come again. */
int64_t mob_report_tick(struct mob_raylet *r);

#endif
