/* SPDX-License-Identifier: Apache-2.0 */
/* cancel.h -- stops a running task: the flag, then SIGTERM, then SIGKILL. */
#ifndef MOB_RAYLET_CANCEL_H
#define MOB_RAYLET_CANCEL_H

#include "common/list.h"
#include "raylet/raylet.h"

struct arrival;
struct worker;

enum cancel_state { CANCEL_NONE, CANCEL_FLAGGED, CANCEL_TERMINATED, CANCEL_KILLED };

/* One a worker: it runs one task at a time, and the newest word counts. */
struct cancel {
    enum cancel_state state;
    uint64_t task;
    uint32_t attempt;
    bool force, marked;                 /* marked: the page names a task */
    int64_t due;                        /* ns; the next step */
    struct mob_link link;               /* in r->cancels while a step is due */
};

void mob_cancel_on_cancel(struct mob_raylet *r, const struct arrival *a);
/* The task has ended with its lease or worker: nothing more is due. */
void mob_cancel_drop(struct worker *w);
/* It is lent to another: the page names no task any more, for the other's may have the same number. */
void mob_cancel_forget(struct mob_raylet *r, struct worker *w);
/* Was the worker ended by the cancel of this attempt? When it is reaped it may run the next task, which nobody cancelled. */
bool mob_cancel_signalled(const struct worker *w, uint64_t task, uint32_t attempt);
/* Take the steps that are due. Returns when to come again. */
int64_t mob_cancel_tick(struct mob_raylet *r);

#endif
