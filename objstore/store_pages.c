/* SPDX-License-Identifier: Apache-2.0 */
/* store_pages.c -- which pages an object gets, as these are what writing costs: a page that nobody has had takes several times as long
 * as writing it again, one that another process had still a fault each.
 *
 *   own first     what a client made and lost again is kept for its next object of about that size, the newest first
 *   warm next     the allocator prefers small gaps, and grows upwards: what was never used is the largest gap, and comes last
 *   touched ahead once a client made a big object, the disk's thread touches as much never used memory as the next ones may take; not
 *                 for what is pulled, which gets new pages at half that price (bulk_incoming.c)
 *   given back    a minute after the last creation, free memory is the system's again, piece by piece; but no reserved huge pages, which
 *                 nobody else could use, and which might not be there when they are needed again
 *
 * Kept bytes count as free, and are given to whoever needs them.
 */
#include <string.h>

#include "objstore/store_private.h"

#define KEEP_MIN (UINT64_C(64) << 10)
#define BIG (UINT64_C(1) << 20)
#define AHEAD_MAX (UINT64_C(256) << 20)
#define PIECE (UINT64_C(8) << 20)       /* given back at once: so long it is nobody's */
#define IDLE_NS INT64_C(60000000000)

/* -- own first ----------------------------------------------------------------------------------------------------------- */

static void give(struct mob_store *s, struct client *c, unsigned i)
{
    s->pages.kept -= c->kept[i]->size;
    mob_alloc_give(s->alloc, c->kept[i]);
    memmove(&c->kept[i], &c->kept[i + 1], (--c->kept_count - i) * sizeof c->kept[0]);
}

void mob_pages_release(struct mob_store *s, struct client *c)
{
    while (c->kept_count > 0)
        give(s, c, c->kept_count - 1);
}

void mob_pages_release_all(struct mob_store *s)
{
    struct client *c;

    for (size_t at = 0; s->pages.kept > 0 && (c = mob_map_next(&s->clients, &at, NULL)) != NULL;)
        mob_pages_release(s, c);
}

void mob_pages_give(struct mob_store *s, uint32_t maker, struct mob_extent *extent)
{
    struct client *c = maker != 0 ? mob_map_get(&s->clients, maker) : NULL;

    if (mob_overflow_has(s, extent)) {
        mob_overflow_give(s, extent);
        return;
    }
    if (c == NULL || extent->size < KEEP_MIN || s->asks.count > 0) {
        mob_alloc_give(s->alloc, extent);
        return;
    }
    if (c->kept_count == MOB_COUNT(c->kept))
        give(s, c, 0);
    c->kept[c->kept_count++] = extent;
    s->pages.kept += extent->size;
}

static struct mob_extent *take_own(struct mob_store *s, struct client *c, uint64_t size)
{
    for (unsigned i = c->kept_count; i > 0; i--) {
        struct mob_extent *e = c->kept[i - 1];

        if (e->size < size || e->size - size > size / 8)
            continue;
        s->pages.kept -= e->size;
        memmove(&c->kept[i - 1], &c->kept[i], (c->kept_count-- - i) * sizeof c->kept[0]);
        return e;
    }
    return NULL;
}

/* -- touched ahead ------------------------------------------------------------------------------------------------------- */

/* Where the next object of this size would lie; what of it is new is touched. */
static void touch_for(struct mob_store *s, uint64_t size)
{
    struct mob_extent *e = mob_alloc_take(s->alloc, size);
    struct mob_disk_job *job;
    uint64_t from, to;

    if (e == NULL)
        return;
    from = e->offset > s->pages.used_to ? e->offset : s->pages.used_to;
    to = e->offset + e->size;
    mob_alloc_give(s->alloc, e);
    if (to <= from)
        return;
    job = mob_alloc(sizeof *job);
    *job = (struct mob_disk_job){ .verb = MOB_DISK_TOUCH, .at = from, .length = to - from };
    s->pages.used_to = to;
    s->pages.touching = true;
    s->config.disk(s->config.arg, job);
}

static void note_created(struct mob_store *s, uint32_t maker, const struct mob_extent *e)
{
    uint64_t end = e->offset + e->size;

    s->pages.created++;
    s->pages.warm = !s->huge;
    if (end > s->pages.used_to)
        s->pages.used_to = end;
    if (maker == 0 || s->config.disk == NULL || e->size < BIG || s->pages.touching || e->size > AHEAD_MAX / 2)
        return;
    touch_for(s, 2 * e->size);
}

struct mob_extent *mob_pages_take(struct mob_store *s, uint32_t maker, uint64_t size, bool evict)
{
    struct client *c = maker != 0 && s->pages.kept > 0 ? mob_map_get(&s->clients, maker) : NULL;
    struct mob_extent *e = NULL;

    if (c == NULL || (e = take_own(s, c, size)) == NULL)
        e = mob_alloc_take(s->alloc, size);
    if (e == NULL && s->pages.kept > 0) {
        mob_pages_release_all(s);
        e = mob_alloc_take(s->alloc, size);
    }
    if (e == NULL && evict)
        e = mob_room_take(s, size);
    if (e != NULL)
        note_created(s, maker, e);
    return e;
}

/* -- given back ---------------------------------------------------------------------------------------------------------- */

/* The next piece of free memory is nobody's until it is the system's. False: that was all. */
static bool give_back_next(struct mob_store *s)
{
    struct mob_disk_job *job;

    s->pages.held = mob_alloc_take_from(s->alloc, s->pages.cursor, BIG, PIECE);
    if (s->pages.held == NULL)
        return false;
    s->pages.cursor = s->pages.held->offset + s->pages.held->size;
    job = mob_alloc(sizeof *job);
    *job = (struct mob_disk_job){ .verb = MOB_DISK_GIVE_BACK, .at = s->pages.held->offset, .length = s->pages.held->size };
    s->config.disk(s->config.arg, job);
    return true;
}

void mob_pages_done(struct mob_store *s, const struct mob_disk_job *job)
{
    if (job->verb == MOB_DISK_TOUCH) {
        s->pages.touching = false;
        return;
    }
    mob_alloc_give(s->alloc, s->pages.held);
    s->pages.held = NULL;
    mob_room_came(s);
    if (s->pages.created == s->pages.created_seen && !give_back_next(s))
        s->pages.warm = false;
}

int64_t mob_pages_tick(struct mob_store *s, int64_t now_ns)
{
    if (s->config.disk == NULL || !s->pages.warm || s->pages.held != NULL)
        return INT64_MAX;
    if (s->pages.created != s->pages.created_seen || s->pages.idle_since == 0) {
        s->pages.created_seen = s->pages.created;
        s->pages.idle_since = now_ns;
    }
    if (now_ns - s->pages.idle_since < IDLE_NS)
        return s->pages.idle_since + IDLE_NS;
    mob_pages_release_all(s);
    s->pages.cursor = s->pages.used_to = 0;     /* what is touched again counts as new */
    if (!give_back_next(s))
        s->pages.warm = false;
    return INT64_MAX;
}
