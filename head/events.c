/* SPDX-License-Identifier: Apache-2.0 */
/* events.c -- the event record: what comes in is collected, and written by a job in the thread pool, one batch at a time.
 *
 *   mob_events_add() --> batch -- (no write under way) --> write job --> on disk
 *                          '-- more than BATCH_MAX: dropped and counted
 *
 * A query starts between two writes (it must see whole batches), after that of the batch which stood when it came, and then makes
 * its answer in steps of its own jobs, beside writes. It pauses while its link has much to write. Loop thread: all but what
 * stands in `job` and `work` of a query, which is the job's from start to end. A disk that is full costs records, with a count
 * and one warning; nothing else notices.
 *
 * Names come once from each process and are kept once: new ones go into the batch, and each half of the file begins with all of
 * them, so a half can be understood alone.
 */
#include "head/events.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/map.h"
#include "head/event_file.h"
#include "head/event_query.h"

#define BYTES_MAX (UINT64_C(256) << 20)
#define BATCH_MAX ((16u << 20) / sizeof(struct mob_event))      /* records that wait for a slow disk */
#define WRITE_RECORDS 4096              /* records that start a write at once; fewer wait for BATCH_MS */
#define BATCH_MS 200
#define NAMES_MAX 10000                 /* more are shown by their hash */
#define OVER_MAX 65536                  /* ended jobs that are remembered */
#define QUERIES_MAX 16
#define QUEUED_MAX (4u << 20)           /* bytes waiting on a link */
#define PAUSE_MS 5

struct batch {
    struct mob_event *of;
    size_t count, room;
};

struct answer {
    struct mob_events *events;
    uint64_t link, query;
    struct mob_address to;
    char *verb, *argument;
    struct event_query *work;           /* NULL: waits for the write `after` */
    uint64_t after;
    const char *text;
    size_t size;
    bool last, stepping, over;          /* over: nobody reads it any more */
    uv_work_t job;
    uv_timer_t *pause;                  /* NULL, or under way; frees itself */
    struct mob_link in_list;
};

struct mob_events {
    struct mob_loop *loop;
    struct mob_events_config config;
    struct event_file *file;
    struct event_facts facts;
    size_t jobs_over;                   /* in all: the next one's place in facts.over is after the newest */
    struct mob_map by_hash;             /* of facts.names */
    struct batch batch;                 /* collected */
    struct mob_link answers;
    size_t answer_count;
    uv_timer_t *timer;
    bool full;                          /* the last write failed */
    /* the write job's while `writing` */
    bool writing;
    uint64_t begun;                     /* writes so far */
    uv_work_t job;
    struct batch written;
    bool rotate, failed;
    struct mob_error err;
};

static void batch_add(struct batch *b, const struct mob_event *e)
{
    if (b->count == b->room) {
        b->room = b->room * 2 + 256;
        b->of = mob_realloc(b->of, b->room * sizeof *b->of);
    }
    b->of[b->count++] = *e;
}

/* -- taking -------------------------------------------------------------------------------------------------------------- */

/* Of a NAME or a WHY. NULL: it has no end. */
static const char *text_of(const struct mob_event *record)
{
    const char *text = (const char *)record + MOB_EVENT_TEXT;

    return memchr(text, '\0', MOB_EVENT_TEXT_SIZE) != NULL ? text : NULL;
}

/* A name record: true if it is new. */
static bool note_name(struct mob_events *e, const struct mob_event *record)
{
    const char *text = text_of(record);
    struct event_name *name;

    if (text == NULL || mob_map_get(&e->by_hash, record->task) != NULL || e->facts.name_count == NAMES_MAX)
        return false;
    name = &e->facts.names[e->facts.name_count++];
    name->hash = record->task;
    mob_copy(name->text, sizeof name->text, text);
    mob_map_set(&e->by_hash, name->hash, name);
    return true;
}

static void note_end(struct event_totals *t, int status)
{
    t->finished += status == MOB_OK;
    t->cancelled += status == MOB_ERR_CANCELLED;
    t->failed += status != MOB_OK && status != MOB_ERR_CANCELLED;
}

/* Count a record; false: not worth keeping. */
static bool note_record(struct mob_events *e, struct mob_event *record)
{
    switch (record->kind) {
    case MOB_EVENT_NAME:
        return note_name(e, record);
    case MOB_EVENT_SUBMITTED:
        e->facts.totals.submitted++;
        return true;
    case MOB_EVENT_QUEUED:
    case MOB_EVENT_PUSHED:
    case MOB_EVENT_RUNNING:
        return true;
    case MOB_EVENT_ENDED:
        note_end(&e->facts.totals, record->status);
        return true;
    case MOB_EVENT_FAILED_ATTEMPT:
        e->facts.totals.retried++;
        return true;
    case MOB_EVENT_WHY:
        return text_of(record) != NULL;
    case MOB_EVENT_OWNER_OVER:
        record->ended_ns = mob_wall_ns();
        return true;
    default:
        return false;
    }
}

/* -- writing ------------------------------------------------------------------------------------------------------------- */

static void answers_start(struct mob_events *e);

static void write_job(uv_work_t *job)
{
    struct mob_events *e = MOB_CONTAINER(job, struct mob_events, job);

    e->failed = mob_event_file_append(e->file, e->written.of, e->written.count, e->rotate, &e->err) < 0;
}

static void write_done(uv_work_t *job, int status);

static void write_start(struct mob_events *e)
{
    struct batch spare = e->written;

    assert(!e->writing && e->batch.count > 0);
    e->written = e->batch;
    e->batch = spare;
    e->batch.count = 0;
    e->rotate = mob_event_file_is_full(e->file, e->written.count);
    for (size_t i = 0; e->rotate && i < e->facts.name_count; i++) {
        const struct event_name *of = &e->facts.names[i];
        struct mob_event name = { .kind = MOB_EVENT_NAME, .task = of->hash, .name = of->hash };
        mob_copy((char *)&name + MOB_EVENT_TEXT, MOB_EVENT_TEXT_SIZE, of->text);
        batch_add(&e->written, &name);
    }
    e->writing = true;
    e->begun++;
    uv_queue_work(mob_loop_uv(e->loop), &e->job, write_job, write_done);
}

static void write_done(uv_work_t *job, int status)
{
    struct mob_events *e = MOB_CONTAINER(job, struct mob_events, job);

    (void)status;
    e->writing = false;
    if (e->failed) {
        e->facts.totals.unwritten += e->written.count;
        mob_copy(e->facts.totals.disk_error, sizeof e->facts.totals.disk_error, e->err.text);
        if (!e->full)
            mob_warn("task events are lost until there is room again: %s", e->err.text);
    }
    e->full = e->failed;
    answers_start(e);
    if (e->batch.count >= WRITE_RECORDS)
        write_start(e);
}

static void on_timer(uv_timer_t *timer)
{
    struct mob_events *e = timer->data;

    if (!e->writing && e->batch.count > 0)
        write_start(e);
}

void mob_events_add(struct mob_events *e, const void *records, size_t size, uint64_t sampled)
{
    struct mob_event record;

    e->facts.totals.sampled += sampled;
    for (size_t at = 0; at + sizeof record <= size; at += sizeof record) {
        memcpy(&record, (const char *)records + at, sizeof record);
        if (!note_record(e, &record))
            continue;
        if (e->batch.count < BATCH_MAX)
            batch_add(&e->batch, &record);
        else
            e->facts.totals.slow++;
    }
    if (e->batch.count >= WRITE_RECORDS && !e->writing)
        write_start(e);
    else if (e->batch.count > 0 && !uv_is_active((uv_handle_t *)e->timer))
        uv_timer_start(e->timer, on_timer, BATCH_MS, 0);
}

void mob_events_job_over(struct mob_events *e, struct mob_address job, int64_t wall_ns)
{
    e->facts.over[e->jobs_over++ % OVER_MAX] = (struct event_over){ mob_address_key(job), wall_ns };
    e->facts.over_count = e->jobs_over < OVER_MAX ? e->jobs_over : OVER_MAX;
}

/* -- answering ----------------------------------------------------------------------------------------------------------- */

static void close_and_free(uv_handle_t *handle)
{
    free(handle);
}

static void answer_end(struct answer *a)
{
    if (a->pause != NULL)
        uv_close((uv_handle_t *)a->pause, close_and_free);
    mob_list_remove(&a->in_list);
    a->events->answer_count--;
    mob_event_query_destroy(a->work);
    free(a->verb);
    free(a->argument);
    free(a);
}

static void refuse(struct mob_events *e, uint64_t link, uint64_t query, struct mob_address to, const struct mob_error *err)
{
    e->config.reply(e->config.arg, link, query, to, "", 0, true, err);
}

static void step_job(uv_work_t *job)
{
    struct answer *a = MOB_CONTAINER(job, struct answer, job);

    a->last = mob_event_query_step(a->work, &a->text, &a->size);
}

static void step_start(struct answer *a);

static void on_pause_over(uv_timer_t *pause)
{
    step_start(pause->data);
}

static void step_done(uv_work_t *job, int status)
{
    struct answer *a = MOB_CONTAINER(job, struct answer, job);
    struct mob_events *e = a->events;

    (void)status;
    a->stepping = false;
    if (!a->over)
        e->config.reply(e->config.arg, a->link, a->query, a->to, a->text, a->size, a->last, NULL);
    if (a->over || a->last)
        answer_end(a);
    else
        step_start(a);
}

/* Make the next part, or wait until the last ones were taken. */
static void step_start(struct answer *a)
{
    struct mob_events *e = a->events;

    assert(!a->stepping);
    if (e->config.queued(e->config.arg, a->link) > QUEUED_MAX) {
        if (a->pause == NULL) {
            a->pause = mob_new(uv_timer_t);
            uv_timer_init(mob_loop_uv(e->loop), a->pause);
            a->pause->data = a;
        }
        uv_timer_start(a->pause, on_pause_over, PAUSE_MS, 0);
        return;
    }
    a->stepping = true;
    uv_queue_work(mob_loop_uv(e->loop), &a->job, step_job, step_done);
}

/* Between writes: what was asked meanwhile sees all that came before it. */
static void answers_start(struct mob_events *e)
{
    struct answer *a;

    assert(!e->writing);
    mob_list_each(a, &e->answers, struct answer, in_list) {
        struct event_reader reader;
        struct mob_error err;

        if (a->work != NULL)
            continue;
        if (e->begun < a->after) {
            write_start(e);
            return;
        }
        if (mob_event_reader_open(&reader, e->file, &err) == 0)
            a->work = mob_event_query_create(a->verb, a->argument, &reader, &e->facts, &err);
        if (a->work != NULL) {
            step_start(a);
        } else {
            refuse(e, a->link, a->query, a->to, &err);
            answer_end(a);
        }
    }
}

void mob_events_query(struct mob_events *e, uint64_t link, uint64_t query, struct mob_address from, const char *verb,
                      const char *argument)
{
    struct mob_error err;
    struct answer *a;

    if (e->answer_count == QUERIES_MAX) {
        mob_error_set(&err, MOB_ERR_NO_SPACE, "%d questions of the event record are being answered: try again later", QUERIES_MAX);
        refuse(e, link, query, from, &err);
        return;
    }
    a = mob_new(struct answer);
    a->events = e;
    a->link = link;
    a->query = query;
    a->to = from;
    a->verb = mob_strdup(verb);
    a->argument = mob_strdup(argument);
    a->after = e->begun + (e->batch.count > 0);
    mob_list_append(&e->answers, &a->in_list);
    e->answer_count++;
    if (!e->writing)
        answers_start(e);
}

void mob_events_link_lost(struct mob_events *e, uint64_t link)
{
    struct answer *a;

    mob_list_each(a, &e->answers, struct answer, in_list) {
        if (a->link != link)
            continue;
        a->over = true;
        if (!a->stepping)
            answer_end(a);
    }
}

/* -- life ---------------------------------------------------------------------------------------------------------------- */

struct mob_events *mob_events_create(struct mob_loop *loop, const struct mob_events_config *config, struct mob_error *err)
{
    struct mob_events *e = mob_new(struct mob_events);

    e->loop = loop;
    e->config = *config;
    mob_list_init(&e->answers);
    e->file = mob_event_file_create(config->folder, config->bytes_max > 0 ? config->bytes_max : BYTES_MAX, err);
    if (e->file == NULL) {
        free(e);
        return NULL;
    }
    e->facts.names = mob_alloc(NAMES_MAX * sizeof *e->facts.names);
    e->facts.over = mob_alloc(OVER_MAX * sizeof *e->facts.over);
    e->timer = mob_new(uv_timer_t);
    uv_timer_init(mob_loop_uv(loop), e->timer);
    e->timer->data = e;
    return e;
}

void mob_events_destroy(struct mob_events *e)
{
    struct answer *a;

    if (e == NULL)
        return;
    uv_timer_stop(e->timer);
    e->batch.count = 0;
    mob_list_each(a, &e->answers, struct answer, in_list) {
        a->over = true;
        if (!a->stepping)
            answer_end(a);
    }
    while (e->writing || !mob_list_empty(&e->answers))
        uv_run(mob_loop_uv(e->loop), UV_RUN_ONCE);
    uv_close((uv_handle_t *)e->timer, close_and_free);
    mob_event_file_destroy(e->file);
    mob_map_fini(&e->by_hash);
    free(e->facts.names);
    free(e->facts.over);
    free(e->batch.of);
    free(e->written.of);
    free(e);
}
