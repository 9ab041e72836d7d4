/* SPDX-License-Identifier: Apache-2.0 */
/* watch.h -- objects of other owners that ours stand for (a task returned a reference), and ours that others ask for. */
#ifndef MOB_WORKER_WATCH_H
#define MOB_WORKER_WATCH_H

#include "common/map.h"
#include "common/wire.h"
#include "worker/object.h"

struct watches {
    struct mob_map by_hash;             /* struct watch, chained where hashes are equal */
};

void mob_owner_watches_fini(struct mob_owner *o);
/* `b` gets the value of `id` when its owner has told it. Pins b until then. Equal ids are asked once. */
void mob_owner_watch(struct mob_owner *o, struct object *b, const struct mob_object_id *id);
/* The same of one whose value could not be had there: its owner shall know. */
struct lost {
    uint32_t node, making;
    struct mob_error why;
};
void mob_owner_watch_again(struct mob_owner *o, struct object *b, const struct mob_object_id *id, const struct lost *lost);
void mob_owner_watched(struct mob_owner *o, const Mobula__Watched *m);
/* All that wait for others fail. */
void mob_owner_watches_fail(struct mob_owner *o, const struct mob_error *why);

/* Another process asks for one of ours: answered at once, or when it is ready. */
void mob_owner_on_watch(struct mob_owner *o, struct mob_address asker, const Mobula__Watch *m);
void mob_owner_watched_tell(struct mob_owner *o, struct object *b, struct mob_address asker);

#endif
