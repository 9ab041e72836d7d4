/* SPDX-License-Identifier: Apache-2.0 */
/* gather.h -- questions that each node answers for itself. */
#ifndef MOB_HEAD_GATHER_H
#define MOB_HEAD_GATHER_H

#include "common/error.h"
#include "common/list.h"
#include "common/wire.h"

struct mob_head;

struct gathering_table {
    struct mob_link all;
    size_t count;
    uint64_t last;                      /* number */
};

void mob_head_gather_init(struct mob_head *h);
void mob_head_gather_fini(struct mob_head *h);
/* Ask all raylets; the Reply to `asker` follows. */
int mob_head_gather(struct mob_head *h, uint64_t asker, struct mob_address from, const Mobula__Query *m, struct mob_error *err);
/* What a raylet answered. Unknown: ignored, it was waited for no longer. */
void mob_head_gathered(struct mob_head *h, uint32_t node, const Mobula__Reply *m);
void mob_head_gather_link_lost(struct mob_head *h, uint64_t link);
/* Returns when to come again. */
int64_t mob_head_gather_tick(struct mob_head *h);

#endif
