/* SPDX-License-Identifier: Apache-2.0 */
/* outbox.c -- what processes of this node tell of their tasks is kept here after it was sent: a link that breaks loses what is under
 * way, and a task whose end was lost would run for ever in the head's record.
 *
 *   Events --> kept, and sent if the head is there --> Registered says how many the head has heard --> those after that are sent again
 *
 * No word of the head says that it has heard one before that: so the last BYTES_MAX stay, of which a broken link loses the end. While the
 * head is away they are all that waits; of more, the oldest go, and their tasks stand in the record as they stood. Another head has an
 * empty record: it is told anew (EventsAgain, membership.c), and nothing of this.
 */
#include "raylet/outbox.h"

#include <stdlib.h>

#include "raylet/core.h"

#define BYTES_MAX (8u << 20)            /* some 87,000 records: four seconds of a process that records all it may */

struct kept {
    struct mob_link link;
    uint64_t number;
    size_t size;
    uint8_t bytes[];
};

static void drop(struct outbox *o, struct kept *k)
{
    o->bytes -= k->size;
    mob_list_remove(&k->link);
    free(k);
}

void mob_outbox_init(struct mob_raylet *r)
{
    mob_list_init(&r->outbox.kept);
}

void mob_outbox_fini(struct mob_raylet *r)
{
    struct kept *k;

    mob_list_each(k, &r->outbox.kept, struct kept, link)
        drop(&r->outbox, k);
}

static void send_one(struct mob_raylet *r, const struct kept *k)
{
    mob_route_bytes(r, (struct mob_address){ 0, 0 }, k->bytes, k->size);        /* the head away: when it is back */
}

void mob_outbox_send(struct mob_raylet *r, const Mobula__Envelope *events)
{
    struct outbox *o = &r->outbox;
    size_t size;
    const void *bytes = mob_wire_pack(r->wire, events, &size);
    struct kept *k = mob_alloc(sizeof *k + size);

    mob_list_init(&k->link);
    k->number = ++o->last;
    k->size = size;
    memcpy(k->bytes, bytes, size);
    mob_list_append(&o->kept, &k->link);
    o->bytes += size;
    send_one(r, k);
    while (o->bytes > BYTES_MAX)
        drop(o, mob_list_first(&o->kept, struct kept, link));
}

/* Numbers go on from what the head has heard: some that it has not may be gone. */
void mob_outbox_registered(struct mob_raylet *r, uint64_t heard, bool other_head)
{
    struct outbox *o = &r->outbox;
    struct kept *k;

    o->last = heard;
    mob_list_each(k, &o->kept, struct kept, link) {
        if (other_head || k->number <= heard) {
            drop(o, k);
            continue;
        }
        k->number = ++o->last;
        send_one(r, k);
    }
}
