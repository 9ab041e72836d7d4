/* SPDX-License-Identifier: Apache-2.0 */
/* gather.h -- questions that each node answers for itself. */
#ifndef MOB_HEAD_GATHER_H
#define MOB_HEAD_GATHER_H

#include "common/error.h"
#include "common/list.h"
#include "common/wire.h"

struct mob_head;

struct gathering_table {
    struct mob_link all;
    size_t count;
    uint64_t last;                      /* number */
};

/* Who asked: a link, its own number for the question, and the address behind it. */
struct asker {
    uint64_t link, query;
    struct mob_address from;
};

void mob_head_gather_init(struct mob_head *h);
void mob_head_gather_fini(struct mob_head *h);
/* Ask all raylets. `done` is called once: with {"nodes": [their answers]}, 0-ended, or NULL if `asker` is gone or the head ends. -1: it
 * is not called. */
typedef void gather_done(struct mob_head *h, const struct asker *asker, void *arg, const char *text, size_t size);
int mob_head_gather(struct mob_head *h, const struct asker *asker, const char *verb, const char *argument, gather_done *done, void *arg,
                    struct mob_error *err);
/* A `done` that sends the text. */
void mob_head_gather_reply(struct mob_head *h, const struct asker *asker, void *arg, const char *text, size_t size);
/* What a raylet answered. Unknown: ignored, it was waited for no longer. */
void mob_head_gathered(struct mob_head *h, uint32_t node, const Mobula__Reply *m);
void mob_head_gather_link_lost(struct mob_head *h, uint64_t link);
/* Returns when to come again. */
int64_t mob_head_gather_tick(struct mob_head *h);

#endif
