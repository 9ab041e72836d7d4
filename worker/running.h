/* SPDX-License-Identifier: Apache-2.0 */
/* running.h -- struct mob_task of the API: the task that this worker runs. Its thread owns it. */
#ifndef MOB_WORKER_RUNNING_H
#define MOB_WORKER_RUNNING_H

#include "worker/function.h"
#include "worker/store_call.h"
#include "worker/value.h"

struct mob_task {
    struct mob_runtime *r;
    struct mob_run run;
    const struct mob_function *function;        /* NULL: not in this program */
    struct mob_view *args;              /* resolved; run.arg_count */
    struct mob_view_pin *pins;          /* of arguments that carry references; NULL: none does */
    struct mob_fetch *fetches;          /* of stored arguments; NULL: there are none */
    uint64_t *borrowed;                 /* refs, of arguments that their owner has; NULL: there are none */
    struct task_result {
        bool set;
        void *copy;                     /* INLINE, PACKED: ours to free; NULL: in `few` */
        struct mob_object_id *lent;     /* value.lent, ours to free */
        struct mob_result value;
    } *results;                         /* run.returns */
    struct task_result one_result;
    char few[256];                      /* small results stand here, no allocation */
    size_t few_used;
    struct task_result item;            /* what is being yielded */
    const struct mob_object_id *lost;   /* an argument that could not be had: what the frame calls it; NULL: none */
    const struct mob_stored_value *renamed;     /* the last result that got its name by its Seal; NULL: none did */
};

/* Ask owners for what the frame only names, pin or fetch the stored arguments. Lock held. */
int mob_task_resolve(struct mob_task *t, struct mob_error *err);
/* What its answer names is known: what it still has of its arguments' references is held, and what it gave away, too, as their owners have
 * said; and the store has the results under their names. Lock held. */
void mob_task_settle(struct mob_task *t);
/* Seal a result, which is inline, in the store: return `index` of the task. Lock held. */
int mob_task_store_result(struct mob_task *t, struct task_result *result, uint32_t index, struct mob_error *err);
/* Make a value, or a buffer, which it consumes, return `index` of the task. `keep`: small bytes are copied; else they are the caller's. */
int mob_task_set_result(struct mob_task *t, struct task_result *result, uint32_t index, const struct mob_value *value, bool keep,
                        struct mob_error *err);
int mob_task_set_buffer(struct mob_task *t, struct task_result *result, uint32_t index, struct mob_buffer *b, struct mob_error *err);
/* Free what it has; `failed`: nobody will see it, also what it left in the store. Lock held. */
void mob_task_result_fini(struct mob_task *t, struct task_result *result, bool failed);
/* Wait until owners have confirmed what was given away. Lock held. */
void mob_task_settle_lent(struct mob_task *t);
/* What is printed from here on is told under this name. */
void mob_task_print_as(struct mob_runtime *r, const char *name);
/* Unpin and free; `failed`: what the results left in the store, too. Lock held. */
void mob_task_fini(struct mob_task *t, bool failed);

#endif
