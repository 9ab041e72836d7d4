/* SPDX-License-Identifier: Apache-2.0 */
/* stream.h -- the items of a task that yields them before its answer, on the owner's side (docs/protocol.md, Streams).
 *
 * A stream belongs to the first return of its task, its end. Item i is that task's return i + 1: an object like any other, which pins the
 * end, as it has its name. */
#ifndef MOB_WORKER_STREAM_H
#define MOB_WORKER_STREAM_H

#include "common/map.h"
#include "worker/object.h"

struct stream;
struct task;

#define MOB_STREAM_AHEAD 512u           /* items on their way to us, at most */

/* `end` becomes the end of a stream of a task that is being submitted. */
void mob_owner_stream_create(struct object *end, uint32_t unread_max);
void mob_owner_stream_free(struct stream *s);
/* The item that is return `index` of the task: NULL if it is gone, or has not come. */
struct object *mob_owner_stream_item(const struct object *end, uint32_t index);
/* Item `index` - 1 was let go by all. */
void mob_owner_stream_forget(struct object *end, uint32_t index);

/* -- facts of its task ------------------------------------------------------------------------------------------------------ */

/* It is about to be pushed: how many items we have, and how many more may be sent at first. */
void mob_owner_stream_push(const struct mob_owner *o, const struct task *t, uint32_t *ret_had, uint32_t *ret_first);
/* It was: what one number could not say is said. */
void mob_owner_stream_pushed(struct mob_owner *o, struct task *t);
/* Item `item` of the running attempt came. *ret: the object to be set, pending, pinned until came(); NULL: nobody needs it. False: out of
 * turn. */
bool mob_owner_stream_come(struct mob_owner *o, struct task *t, uint32_t item, struct object **ret);
/* After it was set. */
void mob_owner_stream_came(struct mob_owner *o, struct task *t, struct object *item);
/* It ended: its end is set, and now or before: `raised`, to an error that is a value. Lost items that were to come are errors now. */
void mob_owner_stream_raised(struct mob_owner *o, struct task *t);
void mob_owner_stream_end(struct mob_owner *o, struct task *t, struct object *end);
/* It was cancelled where it runs. */
void mob_owner_stream_stop(struct mob_owner *o, struct task *t);
/* Somebody waits for the end: where the reader set no bound, nothing holds back the task any more. */
void mob_owner_stream_want_end(struct mob_owner *o, struct object *end);
/* Items that came and were not read. */
uint32_t mob_owner_stream_unread(const struct object *end);
/* May a value by this name still be on its way to us? */
bool mob_owner_stream_may_come(const struct object *end, uint32_t index);
/* The items that a lost attempt may have stored and not told: returns *ret_first and `count` in all. */
uint32_t mob_owner_stream_untold(const struct mob_owner *o, const struct task *t, uint32_t *ret_first);

/* -- items that are lost: see stream.c, lineage.c ----------------------------------------------------------------------------- */

/* Each item that came and lives. */
void mob_owner_stream_each(const struct mob_owner *o, const struct task *t, mob_owner_note *note, void *arg);
/* Is `item` one that the attempt that runs now will not make any more? */
bool mob_owner_stream_passed(const struct mob_owner *o, const struct object *item);
/* t is under way, and is to make `item` again, which is unset then; and after that. */
void mob_owner_stream_lose(struct mob_owner *o, struct task *t, struct object *item);
void mob_owner_stream_lost(struct mob_owner *o, struct task *t);
/* PUSHED: somebody waits for one that this attempt has passed. It ends where it yields, and whatever it answers, the next one follows. */
void mob_owner_stream_restart(struct mob_owner *o, struct task *t);
bool mob_owner_stream_restarts(const struct mob_owner *o, const struct task *t);
/* It is over, and KEPT: those that it has not made are pinned for its sake no more. */
void mob_owner_stream_unpin(struct mob_owner *o, const struct task *t);
/* Those that are lost become this error. */
void mob_owner_stream_fail(struct mob_owner *o, const struct task *t, struct fault *f);

void mob_owner_stream_check(const struct object *end);

#endif
