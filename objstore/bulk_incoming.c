/* SPDX-License-Identifier: Apache-2.0 */
/* bulk_incoming.c -- an object on its way here, for those to whom it is given on meanwhile.
 *
 * All sockets of a node are on one thread, so what has come is known without locks: the caller that read a chunk notes it here, and the
 * servings that wait for it go on at once. The hash that came with a chunk was checked, and goes on with it: a chunk is hashed once on
 * each node, however many it passes it on to.
 *
 * A page that nobody has had yet costs eight times its copy when it is reached by a mapping: a fault, zeroes, a page table's entry.
 * Written by pwrite(), it costs half of that. So a chunk that comes into new pages is read into a buffer, and written from there to the
 * file that is mapped (bulk_fetch.c).
 *
 * Its memory is the store's, which keeps it until the last serving has let go (served()); the record itself lives as long as it comes or
 * is given on.
 */
#include <assert.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "objstore/bulk_private.h"

void bulk_incoming_arrived(struct mob_bulk_incoming *in, uint64_t at, uint64_t hash)
{
    struct bulk_serving *s;

    assert(at < in->size && at % BULK_CHUNK == 0 && !in->ended);
    in->hashes[at / BULK_CHUNK] = hash;
    in->here[at / BULK_CHUNK] = true;
    mob_list_each(s, &in->waiting, struct bulk_serving, holding)
        if (s->at == at)
            mob_machine_run(&s->machine);
}

bool bulk_incoming_has(const struct mob_bulk_incoming *in, uint64_t at)
{
    return in->here[at / BULK_CHUNK];
}

/* The last page of them stands for all. */
bool bulk_incoming_is_new(const struct mob_bulk_incoming *in, uint64_t at, uint64_t size)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), last = ((uintptr_t)in->memory + at + size - 1) / page * page;
    unsigned char there;

    return in->file >= 0 && mincore((void *)last, 1, &there) == 0 && (there & 1) == 0;
}

void bulk_incoming_free(struct mob_bulk_incoming *in)
{
    free(in->hashes);
    free(in->here);
    free(in);
}

void bulk_incoming_ref(struct mob_bulk_incoming *in)
{
    in->users++;
}

void bulk_incoming_unref(struct mob_bulk_incoming *in)
{
    assert(in->users > 0);
    if (--in->users == 0 && in->ended)
        bulk_incoming_free(in);
}

void bulk_incoming_ended(struct mob_bulk_incoming *in)
{
    struct bulk_serving *s;

    in->ended = true;
    in->users++;                        /* those that wait may be the last */
    mob_list_each(s, &in->waiting, struct bulk_serving, holding)
        mob_machine_run(&s->machine);
    bulk_incoming_unref(in);
}
