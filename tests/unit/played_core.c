/* SPDX-License-Identifier: Apache-2.0 */
/* played_core.c -- for tests of a raylet's shell with real processes: what a shell asks of its core, store and programs, where no test
 * wants more than that nothing happens. What it does want stands in the test. */
#include "common/list.h"
#include "objstore/store.h"
#include "raylet/program.h"
#include "raylet/raylet.h"
#include "raylet/stream.h"

void mob_stream_end(struct mob_stream *c, const struct mob_error *why)
{
    (void)c, (void)why;
}

struct mob_address mob_raylet_self(const struct mob_raylet *r)
{
    (void)r;
    return (struct mob_address){ 2, 0 };
}

size_t mob_raylet_queued(const struct mob_raylet *r, struct mob_address to)
{
    (void)r, (void)to;
    return 0;
}

void mob_store_client_gone(struct mob_store *s, uint32_t process)
{
    (void)s, (void)process;
}

void mob_program_cancel(struct mob_program_waiter *w)
{
    mob_list_remove(&w->link);
}

void mob_program_forget(struct mob_programs *p, const struct mob_hash *hash)
{
    (void)p, (void)hash;
}
