/* SPDX-License-Identifier: Apache-2.0 */
/* store_spill.c -- what goes to the disk, where it lies there, and how it comes back. The disk itself is objstore/disk.c's.
 *
 *   primaries --(a batch of them is written)--> evictable --(room is needed: store_room.c)--> SPILLED --(fetched)--> RESTORING
 *             --> evictable
 *
 * Written are sealed objects that are nowhere else, longest unused first, unless somebody reads them: as soon as they fill more than
 * 80 % of the store, so that room can be made without waiting for the disk; and at once when somebody waits for room. One batch is
 * under way at a time. An object that was written stays in memory until room is needed, and keeps its record when it comes back: it
 * is immutable, and never written twice.
 *
 * Files are written from front to end: record after record, batch after batch (in whole blocks), until FILE_MAX. A record that is needed
 * no more is cut out of its file (the file system has its blocks again); a file without any needed record ends. Files have no name
 * that could be left behind.
 *
 * As long as there is something on the disk alone, creators leave so much memory free, or evictable, as the largest of it needs: with
 * memory full of what is nowhere else and a full disk, nothing could ever come back.
 *
 * When a write fails (the disk is full), its objects are what they were; nothing is written for RETRY_NS, and creators that wait are
 * told why at last.
 */
#include <assert.h>
#include <stdlib.h>

#include "common/error.h"
#include "common/mem.h"
#include "objstore/disk.h"
#include "objstore/store_private.h"

#define THRESHOLD_PERCENT 80
#define BATCH_BYTES (UINT64_C(64) << 20)
#define BATCH_OBJECTS 4096
#define FILE_MAX (UINT64_C(1) << 30)
#define PUNCH_MIN (UINT64_C(64) << 10)  /* smaller records give their space back with their file */
#define RETRY_NS INT64_C(10000000000)

/* -- files --------------------------------------------------------------------------------------------------------------- */

static struct mob_disk_job *job_create(enum mob_disk_verb verb, const struct spill_file *f, size_t count)
{
    struct mob_disk_job *job = mob_alloc(sizeof *job + count * sizeof *job->pieces);

    *job = (struct mob_disk_job){ .verb = verb, .file = f->number, .count = count, .pieces = (struct mob_disk_piece *)(job + 1) };
    return job;
}

/* Where the next batch goes. */
static struct spill_file *file_to_write(struct mob_store *s)
{
    struct spill_file *f = MOB_CONTAINER(s->spill.files.prev, struct spill_file, link);

    if (!mob_list_empty(&s->spill.files) && f->end < FILE_MAX)
        return f;
    f = mob_new(struct spill_file);
    f->number = ++s->spill.last_number;
    mob_list_init(&f->link);
    mob_list_append(&s->spill.files, &f->link);
    return f;
}

static void end_if_empty(struct mob_store *s, struct spill_file *f)
{
    if (f->live > 0 || f->busy)
        return;
    s->config.disk(s->config.arg, job_create(MOB_DISK_END, f, 0));
    mob_list_remove(&f->link);
    free(f);
}

void mob_spill_forget(struct object *o)
{
    struct mob_store *s = o->store;
    struct spill_file *f = o->file;
    struct mob_disk_job *punch;

    assert(f->live > 0);
    o->file = NULL;
    f->live--;
    if (f->live > 0 && o->size >= PUNCH_MIN) {
        punch = job_create(MOB_DISK_PUNCH, f, 0);
        punch->at = o->file_at;
        punch->length = mob_disk_record_size(o->size);
        s->config.disk(s->config.arg, punch);
    }
    end_if_empty(s, f);
}

void mob_spill_note(struct object *o)
{
    struct mob_store *s = o->store;

    if (s->spill.bytes == 0 || o->size > s->spill.largest)
        s->spill.largest = o->size;
    s->spill.bytes += o->size;
}

bool mob_spill_leaves_room(const struct mob_store *s, uint64_t size)
{
    uint64_t all = mob_alloc_size(s->alloc), stays = mob_alloc_used(s->alloc) - s->pages.kept - s->evictable_bytes;
    uint64_t reserve = s->spill.bytes > 0 ? s->spill.largest : 0;

    if (reserve == 0 || size > all - reserve)
        return true;                    /* one that needs all there is must come first once */
    return stays <= all - reserve - size;
}

void mob_spill_fini(struct mob_store *s)
{
    struct spill_file *f;

    mob_list_each(f, &s->spill.files, struct spill_file, link)
        free(f);
    free(s->spill.chosen);
}

/* -- writing ------------------------------------------------------------------------------------------------------------- */

/* Bytes that should be made evictable now. */
static uint64_t wanted(const struct mob_store *s)
{
    uint64_t limit = mob_alloc_size(s->alloc) / 100 * THRESHOLD_PERCENT, needs = mob_wait_needs(s);
    uint64_t pulls = mob_pulls_need(s);
    uint64_t beyond = s->primary_bytes > limit ? s->primary_bytes - limit : 0;

    needs = pulls > needs ? pulls : needs;
    return needs > beyond ? needs : beyond;
}

/* The longest unused primaries that nobody reads, at least `bytes` if there are so many. */
static size_t choose(struct mob_store *s, uint64_t bytes, struct object *chosen[BATCH_OBJECTS])
{
    uint64_t sum = 0;
    struct object *o;
    size_t count = 0;

    mob_room_look(s);
    mob_list_each(o, &s->primaries, struct object, link) {
        if (sum >= bytes || count == BATCH_OBJECTS)
            break;
        if (mob_room_seen_pinned(o))
            continue;
        chosen[count++] = o;
        sum += o->extent->size;
    }
    return count;
}

static void write_batch(struct mob_store *s, struct object *const *chosen, size_t count)
{
    struct spill_file *f = file_to_write(s);
    struct mob_disk_job *job = job_create(MOB_DISK_WRITE, f, count);

    job->at = f->end;
    for (size_t i = 0; i < count; i++) {
        struct object *o = chosen[i];

        job->pieces[i] = (struct mob_disk_piece){ .id = o->id, .at = job->at + job->length, .offset = o->extent->offset, .size = o->size };
        job->length += mob_disk_record_size(o->size);
        o->writing = true;
        o->file_at = job->pieces[i].at;
        mob_object_relist(o);
        s->spill.chosen[i] = o;
    }
    job->length = mob_disk_blocks(job->length);
    f->busy = true;
    f->end += job->length;
    s->spill.write = job;
    s->config.disk(s->config.arg, job);
}

void mob_spill_pump(struct mob_store *s)
{
    uint64_t bytes;
    size_t count;

    if (s->config.disk == NULL || s->spill.write != NULL || s->spill.stopped || s->spill.fruitless || (bytes = wanted(s)) == 0)
        return;
    if (bytes < BATCH_BYTES)
        bytes = BATCH_BYTES < mob_alloc_size(s->alloc) / 8 ? BATCH_BYTES : mob_alloc_size(s->alloc) / 8;
    if (bytes > BATCH_BYTES)
        bytes = BATCH_BYTES;
    if (s->spill.chosen == NULL)
        s->spill.chosen = mob_alloc(BATCH_OBJECTS * sizeof(s->spill.chosen[0]));
    count = choose(s, bytes, s->spill.chosen);
    s->spill.fruitless = count == 0;
    if (count > 0)
        write_batch(s, s->spill.chosen, count);
}

static void note_trouble(struct mob_store *s, const struct mob_error *why)
{
    s->spill.trouble = *why;
    s->spill.stopped = true;
    s->spill.retry_at = 0;
}

static void written(struct mob_store *s, struct mob_disk_job *job)
{
    struct spill_file *f = MOB_CONTAINER(s->spill.files.prev, struct spill_file, link);
    bool good = job->err.code == MOB_OK;

    assert(s->spill.write == job && f->number == job->file && f->busy);
    s->spill.write = NULL;
    f->busy = false;
    if (good) {
        f->live += job->count;
        s->spill.trouble = (struct mob_error){ 0 };
    } else {
        f->end = job->at;
        note_trouble(s, &job->err);
    }
    for (size_t i = 0; i < job->count; i++) {
        struct object *o = s->spill.chosen[i];

        o->writing = false;
        o->file = good ? f : NULL;
        mob_object_relist(o);
    }
    end_if_empty(s, f);
    mob_room_came(s);
    mob_room_retry(s, UINT64_MAX);      /* those that were freed meanwhile */
}

bool mob_spill_helps(const struct mob_store *s)
{
    if (s->spill.write != NULL || s->spill.reads > 0)
        return true;
    return s->config.disk != NULL && !s->spill.stopped && !s->spill.fruitless && s->primary_bytes > 0;
}

void mob_spill_tick(struct mob_store *s, int64_t now_ns)
{
    s->spill.fruitless = false;
    if (!s->spill.stopped)
        return;
    if (s->spill.retry_at == 0)
        s->spill.retry_at = now_ns + RETRY_NS;
    s->spill.stopped = now_ns < s->spill.retry_at;
}

/* -- reading ------------------------------------------------------------------------------------------------------------- */

void mob_spill_read(struct object *o)
{
    struct mob_store *s = o->store;
    struct mob_disk_job *job = job_create(MOB_DISK_READ, o->file, 1);

    assert(o->m.now == OBJECT_RESTORING);
    job->at = o->file_at;
    job->length = mob_disk_record_size(o->size);
    job->pieces[0] = (struct mob_disk_piece){ .id = o->id, .at = o->file_at, .offset = o->extent->offset, .size = o->size };
    s->spill.reads++;
    s->config.disk(s->config.arg, job);
}

static void read_over(struct mob_store *s, const struct mob_disk_job *job)
{
    struct object *o = mob_map_get(&s->by_id, mob_object_id_hash(&job->pieces[0].id));

    while (o->extent == NULL || o->extent->offset != job->pieces[0].offset
           || (o->m.now != OBJECT_RESTORING && o->m.now != OBJECT_DROPPED))
        o = o->next_same;
    s->spill.reads--;
    if (o->m.now == OBJECT_DROPPED) {
        mob_object_retire(o);
    } else if (job->err.code == MOB_OK) {
        mob_object_seal(o);
    } else {
        mob_fetch_answer_all(o, NULL, &job->err);
        mob_object_retire(o);
    }
}

void mob_store_disk_done(struct mob_store *s, struct mob_disk_job *job)
{
    if (job->verb == MOB_DISK_WRITE)
        written(s, job);
    else if (job->verb == MOB_DISK_READ)
        read_over(s, job);
    else if (job->verb == MOB_DISK_TOUCH || job->verb == MOB_DISK_GIVE_BACK)
        mob_pages_done(s, job);
    else if (job->verb == MOB_DISK_RESERVE || job->verb == MOB_DISK_RELEASE)
        mob_overflow_done(s, job);
    free(job);
    mob_store_settle(s);
}
