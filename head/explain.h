/* SPDX-License-Identifier: Apache-2.0 */
/* explain.h -- the question "explain": why a task, object or node waits. */
#ifndef MOB_HEAD_EXPLAIN_H
#define MOB_HEAD_EXPLAIN_H

#include <jansson.h>

#include "common/error.h"
#include "common/resources.h"
#include "head/gather.h"

struct mob_head;

/* {"task": "t-N.P-T" or "o-N.P-T.I"}, or {"node": N}: the Reply follows. */
int mob_head_explain(struct mob_head *h, const struct asker *asker, const char *argument, struct mob_error *err);

/* {"resources", "labels", "strategy", "node"}: how many nodes could serve such a task if they were idle; if none, why. At once. */
int mob_head_fits(struct mob_head *h, const struct asker *asker, const char *argument, struct mob_error *err);

/* What was found out: of explain.c, for explain_text.c. */
struct explanation {
    struct asker asker;
    char root[80];
    json_t *tasks;                      /* name -> what its owner says, "run": its lease, "blocked": what its calls wait for; null: asked */
    json_t *order;                      /* their names, as found */
    json_t *nodes;                      /* the last answers of the raylets */
    size_t asked;                       /* of `order`, so far */
    int rounds;
};

/* The names of the tasks that `task` (a value of .tasks) waits for: an array, the caller's. */
json_t *mob_explain_needs(const json_t *task);
/* Tasks that wait for each other, from the root on: an array of names, the caller's; NULL: none do. */
json_t *mob_explain_cycle(const struct explanation *x);
/* What a task asks for, of an object as above. */
void mob_explain_shape(const json_t *said, struct mob_shape *ret);
/* What that node said, of what all did; NULL: nothing. */
json_t *mob_explain_answer_of(const json_t *nodes, uint32_t number);
/* All of it in words, for a terminal. free() it. */
char *mob_explain_text(struct mob_head *h, const struct explanation *x);
char *mob_explain_node_text(struct mob_head *h, uint32_t number, json_t *answers);

#endif
