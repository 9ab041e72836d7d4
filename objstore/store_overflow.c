/* SPDX-License-Identifier: Apache-2.0 */
/* store_overflow.c -- the last resort for those who wait for room: a file on the disk, mapped behind the arena, so that whoever reads,
 * writes or sends an object there does what he does in the arena.
 *
 *   wait for room --(BERTH_NS, and nothing is on its way to the disk)--> a berth: RESERVE --> served in it --> the object's end: RELEASE
 *                                                                           '--> the disk is full: waits on, and RETRY_NS nobody who
 *                                                                                wants as much is given a berth
 *
 * Why: objects are never moved. Those that processes read, and the disk cannot take from them, may leave no gap for a large one though much
 * is free; and tasks of several nodes, each of which fills its store with what it has got so far, may wait for each other's objects in a
 * circle. A place on the disk ends both for sure. It costs more than waiting: it is for those whom neither evicting nor spilling helps.
 *
 * A berth has blocks before anybody writes into it: so a full disk is an error here, and no signal there. Its bytes are nobody's while the
 * disk gives it blocks or takes them back. Berths begin and end with blocks of the file system.
 *
 * What is sealed there is neither written to the spill files, as it is on the disk, nor evicted before the overflow itself has no room:
 * then what is elsewhere or in a spill file, too, goes, longest unused first.
 */
#include <assert.h>

#include "common/error.h"
#include "objstore/store_private.h"

#define UNIT UINT64_C(4096)
#define RETRY_NS INT64_C(10000000000)
#define SHED_AT_ONCE 64

uint64_t mob_store_overflow_at(const struct mob_store *s)
{
    return mob_overflow_at(mob_alloc_size(s->alloc));
}

int mob_store_overflow(struct mob_store *s, int fd, struct mob_error *err)
{
    assert(s->config.disk != NULL && s->config.overflow > 0 && s->overflow.alloc == NULL);
    if (mob_memory_overflow(s, fd, err) < 0)
        return -1;
    s->overflow.alloc = mob_alloc_create(mob_store_overflow_at(s), s->config.overflow & ~(UNIT - 1));
    return 0;
}

int mob_store_overflow_fd(const struct mob_store *s)
{
    return s->overflow.alloc != NULL ? s->overflow.fd : -1;
}

static struct berth *berth_create(struct mob_store *s, enum mob_disk_verb verb, struct mob_extent *extent)
{
    struct berth *b = mob_new(struct berth);

    b->job = (struct mob_disk_job){ .verb = verb, .at = extent->offset, .length = extent->size };
    b->extent = extent;
    s->overflow.moving += extent->size;
    return b;
}

/* Evict of what lies there and is elsewhere, too, about `size` bytes, longest unused first. */
static void shed(struct mob_store *s, uint64_t size)
{
    const struct mob_link *last = s->overflow.sealed.prev;
    bool more = last != &s->overflow.sealed;
    struct object *list[SHED_AT_ONCE];
    uint64_t gain = 0;
    size_t found = 0;

    while (more && gain < size && found < SHED_AT_ONCE) {
        struct object *o = mob_list_first(&s->overflow.sealed, struct object, link);

        more = &o->link != last;        /* each goes to the end, and is looked at once */
        mob_object_relist(o);
        if (!o->copy && o->file == NULL)
            continue;
        gain += o->extent->size;
        list[found++] = o;
    }
    if (found > 0)
        mob_room_evict(s, list, found);
}

struct berth *mob_overflow_reserve(struct mob_store *s, uint64_t size)
{
    uint64_t whole = (size + UNIT - 1) & ~(UNIT - 1);
    struct mob_extent *extent;
    struct berth *b;

    assert(!mob_overflow_refuses(s, size));
    if ((extent = mob_alloc_take(s->overflow.alloc, whole)) == NULL) {
        shed(s, whole);                 /* its room comes when the disk has taken it back */
        return NULL;
    }
    b = berth_create(s, MOB_DISK_RESERVE, extent);
    b->size = size;
    s->config.disk(s->config.arg, &b->job);
    return b;
}

void mob_overflow_forget(struct berth **b)
{
    if (*b != NULL)
        (*b)->ask = NULL, (*b)->pull = NULL;
    *b = NULL;
}

struct mob_extent *mob_overflow_take(struct mob_store *s)
{
    struct mob_extent *e = s->overflow.ready;

    s->overflow.ready = NULL;
    return e;
}

void mob_overflow_give(struct mob_store *s, struct mob_extent *e)
{
    struct berth *b = berth_create(s, MOB_DISK_RELEASE, e);

    s->config.disk(s->config.arg, &b->job);
}

static void reserved(struct mob_store *s, struct berth *b)
{
    if (b->job.err.code == MOB_OK) {
        s->overflow.ready = b->extent;
        s->overflow.trouble = (struct mob_error){ 0 };
    } else {
        s->overflow.trouble = b->job.err;
        s->overflow.refused = b->size;
        s->overflow.retry_at = 0;
        mob_overflow_give(s, b->extent);        /* it may have got some */
        shed(s, b->extent->size);
    }
    if (b->ask != NULL)
        mob_wait_berthed(s, b->ask);
    else if (b->pull != NULL)
        mob_pull_berthed(b->pull);
    if (s->overflow.ready != NULL)              /* nobody needed it */
        mob_overflow_give(s, mob_overflow_take(s));
}

void mob_overflow_done(struct mob_store *s, struct mob_disk_job *job)
{
    struct berth *b = MOB_CONTAINER(job, struct berth, job);

    s->overflow.moving -= b->extent->size;
    if (job->verb == MOB_DISK_RESERVE)
        reserved(s, b);
    else
        mob_alloc_give(s->overflow.alloc, b->extent);
}

/* Pulls that have waited long enough, those that somebody gets first. */
static void berth_pulls(struct mob_store *s, int64_t now_ns)
{
    uint64_t left = mob_alloc_size(s->alloc) / BERTHED_SHARE;
    unsigned berths = 0;
    struct pull *p;

    for (unsigned i = PRIORITIES; i-- > 0;) {
        mob_list_each(p, &s->pulls.waiting[i], struct pull, link) {
            if (p->berth != NULL || mob_overflow_refuses(s, p->size))
                continue;
            if (p->since == 0 || now_ns - p->since < BERTH_NS || berths == BERTHS_AT_ONCE || (berths > 0 && p->size > left)
                || (p->berth = mob_overflow_reserve(s, p->size)) == NULL)
                return;
            p->berth->pull = p;
            left -= p->size < left ? p->size : left;
            berths++;
        }
    }
}

void mob_overflow_tick(struct mob_store *s, int64_t now_ns)
{
    if (s->overflow.refused > 0) {
        if (s->overflow.retry_at == 0)
            s->overflow.retry_at = now_ns + RETRY_NS;
        if (now_ns >= s->overflow.retry_at) {
            s->overflow.refused = 0;
            s->overflow.trouble = (struct mob_error){ 0 };
        }
    }
    if (s->overflow.alloc == NULL || s->spill.write != NULL)
        return;
    mob_wait_overflow(s, now_ns);
    berth_pulls(s, now_ns);
}
