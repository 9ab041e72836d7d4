/* SPDX-License-Identifier: Apache-2.0 */
/* loop.h -- a thin owner of one uv_loop: the one thread that owns a daemon's state. Other threads only post. */
#ifndef MOB_COMMON_LOOP_H
#define MOB_COMMON_LOOP_H

#include <stdint.h>
#include <uv.h>

#include "common/list.h"

/* A request: the loop's from post to run. Embedded in whatever is posted. */
struct mob_posted {
    struct mob_link link;
    void (*run)(struct mob_posted *p);
};

struct mob_loop;
struct mob_loop *mob_loop_create(void);
void mob_loop_destroy(struct mob_loop *l);              /* all handles must be closed; runs the loop until they are */
uv_loop_t *mob_loop_uv(struct mob_loop *l);
void mob_loop_run(struct mob_loop *l);                  /* until mob_loop_stop */
void mob_loop_stop(struct mob_loop *l);                 /* loop thread */
void mob_loop_post(struct mob_loop *l, struct mob_posted *p);   /* any thread */

/* Call `tick` now and then again at the time it returns (CLOCK_BOOTTIME ns; INT64_MAX: not by itself), and after mob_ticker_poke(). */
struct mob_ticker;
struct mob_ticker *mob_ticker_create(struct mob_loop *l, int64_t (*tick)(void *arg), void *arg);
void mob_ticker_poke(struct mob_ticker *t);             /* loop thread: something changed, tick before the next sleep */
void mob_ticker_destroy(struct mob_ticker *t);

int64_t mob_now_ns(void);                               /* CLOCK_BOOTTIME */
int64_t mob_wall_ns(void);                              /* CLOCK_REALTIME */
uint64_t mob_random(void);                              /* getrandom() */

#endif
