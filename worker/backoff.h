/* SPDX-License-Identifier: Apache-2.0 */
/* backoff.h -- tasks that rest before they are tried again. */
#ifndef MOB_WORKER_BACKOFF_H
#define MOB_WORKER_BACKOFF_H

#include "worker/owner.h"

struct history;
struct task;

/* A struct mob_retry, kept. */
struct retry_rule {
    int64_t delay_ns;
    bool any;
    size_t code_count;
    int32_t codes[];
};

struct backoffs {
    struct retry_rule **rules;          /* number i at i - 1 */
    size_t rule_count;
    struct task **heap;                 /* RESTING, the one that is due first before all */
    size_t count, room;
};

struct history *mob_owner_task_history(struct task *t);

/* Is it tried again after a failure of its own with that code? */
bool mob_owner_retry_names(const struct mob_owner *o, const struct task *t, int32_t user_code);
/* It failed, or (not `ran`) could not begin, as the object store of its node had no room, and may look for some elsewhere: then it is to
 * rest as one that is starved. The error is no more that of a node afterwards. */
bool mob_owner_backoff_moves(struct task *t, struct mob_error *why, bool ran);
/* Its attempt was ended by `why`; `starved`: for want of memory or room, which is nobody's fault. True: it is in the heap until its pause
 * is over, and the caller moves it to RESTING. False: there is none. */
bool mob_owner_backoff_begin(struct mob_owner *o, struct task *t, const struct mob_error *why, bool starved);
/* It rests no more, before its time: the caller says what becomes of it. */
void mob_owner_backoff_leave(struct mob_owner *o, struct task *t);
/* Queue what is due. Returns when to come again. */
int64_t mob_owner_backoffs_flush(struct mob_owner *o);
/* All that rest fail. */
void mob_owner_backoffs_fail(struct mob_owner *o, const struct mob_error *why);
void mob_owner_backoffs_fini(struct mob_owner *o);
void mob_owner_backoffs_check(const struct mob_owner *o);

#endif
