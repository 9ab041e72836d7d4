/* SPDX-License-Identifier: Apache-2.0 */
/* template.h -- when a job's workers are forked from a warm process of its program, and when they are started anew. No process, socket or
 * clock is touched here: fork.c has those. */
#ifndef MOB_RAYLET_TEMPLATE_H
#define MOB_RAYLET_TEMPLATE_H

#include "common/machine.h"

enum mob_template_state { MOB_TEMPLATE_ABSENT, MOB_TEMPLATE_STARTING, MOB_TEMPLATE_BARE, MOB_TEMPLATE_LOADING, MOB_TEMPLATE_READY,
                          MOB_TEMPLATE_ENDING, MOB_TEMPLATE_FAILED };

struct mob_template {
    struct mob_machine machine;
    int64_t since;                      /* ns; in this state */
    unsigned asked;                     /* forks that it has not answered */
    int64_t heard;                      /* ns: since then it owes an answer */
    unsigned failures;                  /* ends in a row without a fork in between */
    bool wanted;                        /* somebody has asked for a fork */
};

void mob_template_init(struct mob_template *t, uint64_t id);

/* How the next worker is started. */
enum mob_template_way { MOB_TEMPLATE_PLAINLY, MOB_TEMPLATE_ASK, MOB_TEMPLATE_START };       /* START: it, then ask it */
enum mob_template_way mob_template_way(const struct mob_template *t);

void mob_template_started(struct mob_template *t, int64_t now);
void mob_template_asked(struct mob_template *t, int64_t now);
/* What it says. False: it may not say so now, and is to be ended. */
bool mob_template_begun(struct mob_template *t, int64_t now);
bool mob_template_ready(struct mob_template *t, int64_t now);
bool mob_template_cannot(struct mob_template *t, int64_t now);          /* it can never fork, and is ended */
bool mob_template_answered(struct mob_template *t, bool forked, int64_t now);

/* Shall it load now? True once: it is told to. */
bool mob_template_loads(struct mob_template *t, int64_t now);

/* It is killed, for whatever reason: nobody waits for its answers any more. No-op if it is already. */
void mob_template_ended(struct mob_template *t, int64_t now);
/* It was reaped, or could not be started. */
void mob_template_gone(struct mob_template *t, int64_t now);

/* When it has to have said something, else it is late and is ended; and when to look whether it shall load. INT64_MAX: never. */
int64_t mob_template_deadline(const struct mob_template *t);
int64_t mob_template_due(const struct mob_template *t);

#endif
