/* SPDX-License-Identifier: Apache-2.0 */
/* audit_owner.c -- looks into an owner's books. */
#include "audit.h"

#include "worker/core.h"

size_t audit_pushed(const struct mob_owner *o, struct audit_pushed *ret, size_t room)
{
    struct lease *l;
    size_t count = 0;

    mob_list_each(l, &o->leases.all, struct lease, link)
        if (l->count > 0 && count < room)
            ret[count++] = (struct audit_pushed){ .lease = l->number, .node = l->worker.node };
    return count;
}
