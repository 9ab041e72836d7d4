/* SPDX-License-Identifier: Apache-2.0 */
/* disks.c -- the disk behind a store, in memory: jobs are done one after the other, each takes its time. By seed it is full for a while,
 * or a record is not what it was when it is read again; so may be the overflow. Bytes are read from the arena when a write ends, and written into it when a read
 * ends: whoever moved them meanwhile is found out by who looks at the value.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "faults.h"
#include "stores.h"

#define DISK_BYTES_EACH_US 500          /* 500 MB/s */

struct pending {
    struct mob_link link;               /* in shelf->jobs */
    struct shelf *shelf;
    struct mob_disk_job *job;
};

struct record {
    struct mob_link link;               /* in shelf->records */
    uint32_t file;
    bool altered;
    struct mob_disk_piece piece;
    unsigned char bytes[];
};

static unsigned char *arena(const struct shelf *h)
{
    return mob_store_arena(h->store);
}

/* For a while, by seed; then job->err says so. */
static bool is_full(struct shelf *h, struct mob_disk_job *job)
{
    struct sim *s = h->raylet->a.sim;

    if (s->now >= h->full_until && faults_chance(s, FAULT_FULL_DISK, 5))
        h->full_until = s->now + (int64_t)sim_below(s, 3 * SIM_S);
    if (s->now >= h->full_until)
        return false;
    mob_error_set(&job->err, MOB_ERR_NO_SPACE, "the disk is full");
    s->misfortunes++;
    return true;
}

static void write_all(struct shelf *h, struct mob_disk_job *job)
{
    struct sim *s = h->raylet->a.sim;

    if (is_full(h, job))
        return;
    for (size_t i = 0; i < job->count; i++) {
        const struct mob_disk_piece *piece = &job->pieces[i];
        struct record *r = mob_alloc(sizeof *r + piece->size);

        r->file = job->file;
        r->piece = *piece;
        r->altered = faults_chance(s, FAULT_BAD_DISK, 2);
        memcpy(r->bytes, arena(h) + piece->offset, piece->size);
        mob_list_append(&h->records, &r->link);
        s->spilled++;
    }
}

static void read_one(struct shelf *h, struct mob_disk_job *job)
{
    const struct mob_disk_piece *piece = &job->pieces[0];
    struct record *r;

    mob_list_each(r, &h->records, struct record, link) {
        if (r->file != job->file || r->piece.at != piece->at)
            continue;
        assert(mob_object_id_eq(&r->piece.id, &piece->id) && r->piece.size == piece->size);
        memcpy(arena(h) + piece->offset, r->bytes, piece->size);
        h->raylet->a.sim->read_back++;
        if (r->altered) {
            mob_error_set(&job->err, MOB_ERR_OBJECT_LOST, "the record has been altered");
            h->raylet->a.sim->misfortunes++;
        }
        return;
    }
    assert(!"a record that was cut out, or never written, is read");
}

static void forget(struct shelf *h, const struct mob_disk_job *job)
{
    struct record *r;

    mob_list_each(r, &h->records, struct record, link) {
        if (r->file != job->file
            || (job->verb == MOB_DISK_PUNCH && (r->piece.at < job->at || r->piece.at >= job->at + job->length)))
            continue;
        mob_list_remove(&r->link);
        free(r);
    }
}

static void run_disk(struct event *e)
{
    struct pending *p = e->arg;
    struct mob_disk_job *job = p->job;
    struct shelf *h = p->shelf;

    mob_list_remove(&p->link);
    if (job->verb == MOB_DISK_WRITE)
        write_all(h, job);
    else if (job->verb == MOB_DISK_READ)
        read_one(h, job);
    else if (job->verb == MOB_DISK_GIVE_BACK)
        memset(arena(h) + job->at, 0, job->length);
    else if (job->verb == MOB_DISK_RESERVE)
        h->raylet->a.sim->overflowed += !is_full(h, job);
    else if (job->verb == MOB_DISK_RELEASE)
        memset(arena(h) + job->at, 0xdd, job->length);  /* whoever still looks at it sees that */
    else if (job->verb != MOB_DISK_TOUCH)
        forget(h, job);
    mob_store_disk_done(h->store, job);
}

void disk_do(struct shelf *h, struct mob_disk_job *job)
{
    struct sim *s = h->raylet->a.sim;
    struct pending *p = sim_memory(s, sizeof *p);

    p->shelf = h;
    p->job = job;
    mob_list_append(&h->jobs, &p->link);
    h->disk_at = (h->disk_at > s->now ? h->disk_at : s->now) + 10 * SIM_US + (int64_t)sim_below(s, 2 * SIM_MS);
    if (job->verb == MOB_DISK_WRITE || job->verb == MOB_DISK_READ)
        h->disk_at += (int64_t)(job->length / DISK_BYTES_EACH_US) * SIM_US;
    if (s->now < h->raylet->a.host->slow_disk_until)
        h->disk_at += (int64_t)sim_below(s, 100 * SIM_MS);
    sim_after(s, h->disk_at - s->now, &h->raylet->a, run_disk, p);
}

/* What was under way is never told; what was written goes with the raylet, as it has no name. */
void disk_die(struct shelf *h)
{
    struct pending *p;
    struct record *r;

    mob_list_each(p, &h->jobs, struct pending, link) {
        mob_list_remove(&p->link);
        free(p->job);
    }
    mob_list_each(r, &h->records, struct record, link) {
        mob_list_remove(&r->link);
        free(r);
    }
}
