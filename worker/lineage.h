/* SPDX-License-Identifier: Apache-2.0 */
/* lineage.h -- what is kept of finished tasks, so that what they left in stores can be made again when it is lost. */
#ifndef MOB_WORKER_LINEAGE_H
#define MOB_WORKER_LINEAGE_H

#include "common/list.h"
#include "common/wire.h"
#include "mobula.h"
#include "worker/object.h"
#include "worker/owner.h"

struct json_t;
struct task;

struct numbers {
    uint64_t *of;
    size_t count, room;
};

struct lineage {
    struct mob_link kept;               /* tasks that are KEPT, the oldest first */
    struct mob_link again;              /* tasks that run again: what they wait for is to be seen */
    struct mob_link ended;              /* tasks that are kept no more: what they hold is to be let go */
    bool working;                       /* on these two */
    struct numbers rested, woken;       /* objects that are carried by one that rests from now on, or no more */
    bool resting;                       /* working on `rested` */
    uint64_t limit;                     /* 0: nothing is kept */
    uint64_t bytes;                     /* of tasks that are KEPT, and of values that nobody has but they */
    uint64_t count, evicted, again_count;       /* KEPT; ended to make room; runs for the sake of what was lost: so far */
    uint32_t losses;                    /* so far: tells what was made before one from what was made after it */
};

void mob_owner_lineage_init(struct mob_owner *o);
void mob_owner_lineage_fini(struct mob_owner *o);

/* t has ended, all its returns are set: are some of them in stores, and may it run again? */
bool mob_owner_lineage_is_due(const struct mob_owner *o, const struct task *t);
/* It is KEPT from now on. What its arguments are is held; the caller's pins of its returns are still there. */
void mob_owner_lineage_keep(struct mob_owner *o, struct task *t);
/* They are gone, too: now it may end. */
void mob_owner_lineage_settle(struct mob_owner *o, struct task *t);
/* Is b one of the returns for whose sake its task is KEPT? */
bool mob_owner_lineage_counts(const struct mob_owner *o, const struct object *b);
/* One of these is gone, or an error. */
void mob_owner_lineage_forget(struct mob_owner *o, struct task *t);

/* Each object that t has made, or can make: its returns, and the items of a stream that came. */
void mob_owner_lineage_each(const struct mob_owner *o, const struct task *t, mob_owner_note *note, void *arg);

/* lost.c. Whose run can make b; NULL: nobody's. */
struct task *mob_owner_lineage_maker(const struct mob_owner *o, const struct object *b);
/* Why b, whose own value is or was in a store, cannot be made again; MOB_LOST_UNKNOWN: it can. In words: the error of one that is lost, of
 * what went to make room; and what is to be said of the results of a task that is over. */
enum mob_lost mob_owner_lineage_why_not(const struct mob_owner *o, const struct object *b);
struct mob_error mob_owner_lineage_say(const struct mob_owner *o, const struct object *b, enum mob_lost reason, const char *what);
struct mob_error mob_owner_lineage_say_evicted(const struct mob_owner *o);
void mob_owner_lineage_explain(const struct mob_owner *o, const struct object *first, struct json_t *row);
/* What is kept, as a JSON object; "": nothing is, nor ever was. */
void mob_owner_lineage_print(const struct mob_owner *o, char *to, size_t size);
/* Has b a value of its own in a store, and can its task make that again? */
bool mob_owner_lineage_can(const struct mob_owner *o, const struct object *b);
/* Then its value may go, here and in all stores; if anybody wants it, its task runs again. */
void mob_owner_lineage_let_go(struct mob_owner *o, struct object *b);

/* rest.c: nobody has b any more but tasks that are KEPT: its value goes, if it can be made again. */
void mob_owner_lineage_rest(struct mob_owner *o, struct object *b);
void mob_owner_lineage_unrest(struct mob_owner *o, struct object *b);
/* Somebody waits for b, which is PENDING: its task runs again, or it becomes an error. */
void mob_owner_lineage_want(struct mob_owner *o, struct object *b);

/* Is b PENDING, and nothing will make it unless somebody wants it? */
bool mob_owner_lineage_is_idle(const struct mob_owner *o, const struct object *b);
/* The attempt of its task that is the next to make b; 0: none is. */
uint32_t mob_owner_lineage_next(const struct mob_owner *o, const struct object *b);

/* b, STORED, cannot be had at its first `count` places. The same answer as mob_owner_lost(). */
bool mob_owner_object_lost(struct mob_owner *o, struct object *b, size_t count, const struct mob_error *why);
/* Another process says that it could not have b there. False: nor can it be made again; *why is what to answer. */
bool mob_owner_lineage_said_lost(struct mob_owner *o, struct object *b, const Mobula__Watch__Lost *m, struct mob_error *why);

/* Let the oldest go, down to the limit. */
void mob_owner_lineage_trim(struct mob_owner *o);
/* Our raylet is gone. */
void mob_owner_lineage_fail(struct mob_owner *o, const struct mob_error *why);
void mob_owner_lineage_check(const struct mob_owner *o);

#endif
