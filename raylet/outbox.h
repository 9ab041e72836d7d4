/* SPDX-License-Identifier: Apache-2.0 */
/* outbox.h -- Events of this node on their way to the head's record. */
#ifndef MOB_RAYLET_OUTBOX_H
#define MOB_RAYLET_OUTBOX_H

#include "common/list.h"
#include "raylet/raylet.h"

struct outbox {
    struct mob_link kept;               /* the last ones, oldest first */
    size_t bytes;
    uint64_t last;                      /* number of the newest: so many the head has heard of this node, when it has that */
};

void mob_outbox_init(struct mob_raylet *r);
void mob_outbox_fini(struct mob_raylet *r);
/* Send it when the head is there, and again if its link breaks before the head has heard it. */
void mob_outbox_send(struct mob_raylet *r, const Mobula__Envelope *events);
/* The head has heard so many. Another head than before: what was said to that one is not for it. */
void mob_outbox_registered(struct mob_raylet *r, uint64_t heard, bool other_head);

#endif
