/* SPDX-License-Identifier: Apache-2.0 */
/* room.h -- a shape's leases that have room for a task, the one with the least expected work first: a push costs O(log leases). */
#ifndef MOB_WORKER_ROOM_H
#define MOB_WORKER_ROOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/list.h"

struct lease;
struct shape;

/* A heap of four children each. What is compared stands in it, as it was when the lease was looked at last. */
struct room {
    struct room_slot { int64_t load_ns; uint64_t order; struct lease *lease; } *of;     /* order: fewer tasks, then the older lease */
    size_t count, size;
    struct mob_link changed;            /* struct lease: to be looked at before the heap is */
};

void mob_owner_room_init(struct room *r);
void mob_owner_room_fini(struct room *r);
/* To be said of each change of what the lease has, or of what mob_owner_lease_has_room() looks at. */
void mob_owner_room_note(struct lease *l);
/* It is over. */
void mob_owner_room_leave(struct lease *l);
/* NULL: none has room. */
struct lease *mob_owner_room_first(struct shape *sh);
/* Has another one room? */
bool mob_owner_room_beside(const struct lease *l);
void mob_owner_room_check(const struct shape *sh);

#endif
