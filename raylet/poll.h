/* SPDX-License-Identifier: Apache-2.0 */
/* poll.h -- a question that this raylet answers with what its processes know: some of them are asked, what they say is put behind what
 * the raylet says itself, and the whole goes back when all have answered, or had the time. For questions of people: memory.c, explain.c. */
#ifndef MOB_RAYLET_POLL_H
#define MOB_RAYLET_POLL_H

#include <jansson.h>

#include "common/list.h"
#include "raylet/raylet.h"

struct arrival;
struct process;

struct poll {
    struct mob_link link;
    uint64_t number;                    /* what processes know it by */
    struct mob_address to;
    uint64_t query;
    void (*row)(struct poll *p, uint32_t process, json_t *row);     /* of a process's answer: may be anything */
    size_t left;                        /* processes that have not said anything */
    bool any;                           /* the array that is being written has a row */
    int64_t end_ns;
    char *text;                         /* JSON so far; "]}" ends it */
    size_t size, room;
};

struct polls {
    struct mob_link all;                /* the oldest first */
    uint64_t last;                      /* number */
    size_t count;
};

void mob_polls_init(struct mob_raylet *r);
void mob_polls_fini(struct mob_raylet *r);

/* The Reply to `m` goes to `to`. It lives until mob_poll_asked() ends it. */
struct poll *mob_poll_begin(struct mob_raylet *r, struct mob_address to, const Mobula__Query *m,
                            void (*row)(struct poll *p, uint32_t process, json_t *row));
/* More text, of at most 1000 bytes. After it stands no row. */
void mob_poll_add(struct poll *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A row of an array: taken over. */
void mob_poll_add_row(struct poll *p, json_t *row);
/* Ask one. No-op if too many questions are under way. */
void mob_poll_ask(struct mob_raylet *r, struct poll *p, const struct process *process, const char *verb, const char *argument);
/* All were asked. */
void mob_poll_asked(struct mob_raylet *r, struct poll *p);

void mob_poll_on_reply(struct mob_raylet *r, const struct arrival *a);
/* Returns when to come again; INT64_MAX: not by itself. */
int64_t mob_polls_tick(struct mob_raylet *r);

#endif
