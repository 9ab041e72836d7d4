/* SPDX-License-Identifier: Apache-2.0 */
/* event.c -- a record when a task is submitted, when what it waited for is there, and when an attempt ends; others, PUSHED and RUNNING,
 * for what is at a worker for longer than a report period.
 *
 * A batch leaves 200 ms after its first record, or when it is full; a worker's before the answer that may be the last of its job, and
 * before it sleeps without a task, as it is killed when the job ends, and says no more. The second's rate bounds what a process of
 * millions of tasks costs the head: beyond it a new task is recorded only if its number is in the sample; `dropped` counts the others.
 * A task is recorded whole or not at all, so that none seems to run for ever; one that was left out comes in when it fails or runs long.
 */
#include "worker/event.h"

#include <stdlib.h>
#include <string.h>

#include "worker/core.h"

static void send_batch(struct mob_owner *o)
{
    struct event_log *log = &o->events;
    Mobula__Events m = MOBULA__EVENTS__INIT;

    m.records = (ProtobufCBinaryData){ .len = log->count * sizeof *log->records, .data = (uint8_t *)log->records };
    m.dropped = log->dropped;
    if (!o->lost)
        mob_owner_send(o, (struct mob_address){ 0, 0 }, MOBULA__ENVELOPE__BODY_EVENTS, &m);
    log->count = 0;
    log->dropped = 0;
    log->due_ns = INT64_MAX;
}

static struct mob_event *next_record(struct mob_owner *o)
{
    struct event_log *log = &o->events;

    if (log->records == NULL)
        log->records = mob_alloc(EVENTS_MAX * sizeof *log->records);
    if (log->count == EVENTS_MAX)
        send_batch(o);
    if (log->due_ns == INT64_MAX)
        log->due_ns = o->now_ns + EVENTS_PERIOD_NS;
    log->in_second++;
    return &log->records[log->count++];
}

void mob_owner_event_name(struct mob_owner *o, const struct kind *k)
{
    struct mob_event *e = next_record(o);

    *e = (struct mob_event){ .kind = MOB_EVENT_NAME, .task = k->name, .name = k->name, .owner_node = o->config.self.node,
                             .owner_process = o->config.self.process };
    mob_copy((char *)e + MOB_EVENT_TEXT, MOB_EVENT_TEXT_SIZE, k->text);
}

static int64_t wall(const struct mob_owner *o, int64_t boot_ns)
{
    return boot_ns == 0 ? 0 : boot_ns + o->config.wall_offset_ns;
}

static struct mob_event *add(struct mob_owner *o, enum mob_event_kind kind, const struct task *t, int status, int64_t started_ns,
                             int64_t ended_ns)
{
    struct mob_event *e = next_record(o);

    *e = (struct mob_event){
        .kind = kind, .status = status, .task = t->number, .name = t->kind->name, .attempt = t->attempt,
        .owner_node = o->config.self.node, .owner_process = o->config.self.process,
        .job_node = o->config.job.node, .job_process = o->config.job.process,
        .submitted_ns = wall(o, t->submitted_ns), .pushed_ns = wall(o, t->pushed_ns),
        .started_ns = wall(o, started_ns), .ended_ns = wall(o, ended_ns),
    };
    if (t->lease != NULL) {
        e->node = t->lease->worker.node;
        e->process = t->lease->worker.process;
        e->pid = t->lease->pid;
    }
    return e;
}

/* Is there still room in this second, or is it of the sample? */
static bool is_wanted(struct mob_owner *o, const struct task *t)
{
    struct event_log *log = &o->events;

    if (log->in_second < MOB_EVENTS_PER_SECOND)
        return true;
    if (o->now_ns - log->second_ns >= INT64_C(1000000000)) {
        log->second_ns = o->now_ns;
        log->in_second = 0;
        return true;
    }
    return ((t->number >> 32) * UINT64_C(0x9e3779b1) + (uint32_t)t->number) % MOB_EVENTS_SAMPLE == 0;
}

void mob_owner_event_submitted(struct mob_owner *o, struct task *t, uint32_t waiting)
{
    if (is_wanted(o, t)) {
        t->told = EVENT_TOLD;
        add(o, MOB_EVENT_SUBMITTED, t, MOB_OK, 0, 0)->waiting = waiting;
    } else {
        t->told = EVENT_UNTOLD;
        o->events.dropped++;
    }
}

void mob_owner_event_queued(struct mob_owner *o, struct task *t)
{
    if (t->told == EVENT_UNTOLD)
        return;
    t->told = EVENT_TOLD;
    add(o, MOB_EVENT_QUEUED, t, MOB_OK, 0, 0)->pushed_ns = 0;
}

void mob_owner_event_pushed(struct mob_owner *o)
{
    if (o->events.due_ns == INT64_MAX)
        o->events.due_ns = o->now_ns + EVENTS_PERIOD_NS;
}

void mob_owner_event_done(struct mob_owner *o, const struct task *t, int64_t started_ns, int64_t ended_ns)
{
    if (t->told != EVENT_UNTOLD)
        add(o, MOB_EVENT_ENDED, t, MOB_OK, started_ns, ended_ns);
}

void mob_owner_event_failed(struct mob_owner *o, enum mob_event_kind kind, struct task *t, const struct mob_error *why,
                            const struct deaths *deaths, int64_t started_ns)
{
    char words[MOB_EVENT_TEXT_SIZE];
    struct mob_event *e;

    if (o->events.count + 2 > EVENTS_MAX)       /* the two records stay together */
        send_batch(o);
    add(o, kind, t, why->code, started_ns, o->now_ns)->killed_by = deaths != NULL ? (uint32_t)deaths->killed_by : 0;
    if (kind == MOB_EVENT_FAILED_ATTEMPT)
        t->told = EVENT_TOLD;
    if (why->text[0] == '\0')
        return;
    e = next_record(o);
    *e = (struct mob_event){ .kind = MOB_EVENT_WHY, .status = why->code, .task = t->number, .name = t->kind->name,
                             .owner_node = o->config.self.node, .owner_process = o->config.self.process };
    mob_owner_deaths_words(deaths, words, sizeof words);        /* whom and where the row says, and there is room for a few words */
    mob_copy((char *)e + MOB_EVENT_TEXT, MOB_EVENT_TEXT_SIZE, words[0] != '\0' ? words : why->text);
}

/* As if it had been submitted just now. What is at a worker follows within a report period. */
void mob_owner_events_again(struct mob_owner *o)
{
    mob_owner_kinds_name(o);
    for (uint32_t i = 0; i < o->objects.slots; i++) {
        const struct object *b = mob_owner_object_of_slot(o, i);

        if (b->refs + b->pins > 0 && b->index == 0 && b->maker != NULL && b->maker->state != TASK_KEPT)
            mob_owner_event_submitted(o, b->maker, b->maker->waiting);
    }
}

/* -- what is at a worker --------------------------------------------------------------------------------------------------- */

int64_t mob_owner_event_claimed_ns(const struct task *t)
{
    return t->pushed_ns > t->lease->answered_ns ? t->pushed_ns : t->lease->answered_ns;
}

/* The tasks at a worker since before this period, if nobody was told: the first runs, the others stand behind it, in the order they
 * were pushed. True if one may be due later. */
static bool tell_of_lease(struct mob_owner *o, struct lease *l)
{
    struct task *t;

    mob_list_each(t, &l->tasks, struct task, link) {
        bool first = t->link.prev == &l->tasks;

        if (o->now_ns - t->pushed_ns < EVENTS_PERIOD_NS)
            return true;
        if (first && t->told != EVENT_TOLD_RUNNING) {
            t->told = EVENT_TOLD_RUNNING;
            add(o, MOB_EVENT_RUNNING, t, MOB_OK, mob_owner_event_claimed_ns(t), 0);
        } else if (!first && t->told == EVENT_TOLD) {
            t->told = EVENT_TOLD_PUSHED;
            add(o, MOB_EVENT_PUSHED, t, MOB_OK, 0, 0);
        }
    }
    return l->count > 1;                /* those behind will run */
}

static bool tell_of_leases(struct mob_owner *o)
{
    struct lease *l;
    bool later = false;

    mob_list_each(l, &o->leases.all, struct lease, link)
        later |= tell_of_lease(o, l);
    return later;
}

int64_t mob_owner_events_flush(struct mob_owner *o)
{
    struct event_log *log = &o->events;

    if (o->now_ns >= log->due_ns) {
        bool later = tell_of_leases(o);

        log->due_ns = INT64_MAX;
        if (log->count > 0 || log->dropped > 0)
            send_batch(o);
        if (later)
            log->due_ns = o->now_ns + EVENTS_PERIOD_NS;
    }
    if (log->dropped > 0 && log->due_ns == INT64_MAX)
        log->due_ns = o->now_ns + EVENTS_PERIOD_NS;
    return log->due_ns;
}

void mob_owner_hurry(struct mob_owner *o)
{
    struct event_log *log = &o->events;
    int64_t due_ns = log->due_ns;       /* what is at a worker is looked at then, all the same */

    if (log->count == 0)
        return;
    o->now_ns = o->world->now_ns(o->world);
    if (o->now_ns - log->hurries_ns >= INT64_C(1000000000)) {
        log->hurries_ns = o->now_ns;
        log->hurries = 0;
    }
    if (log->hurries == EVENTS_HURRIES)
        return;
    log->hurries++;
    send_batch(o);
    log->due_ns = due_ns;
}

void mob_owner_events_fini(struct mob_owner *o)
{
    if (o->events.count > 0)
        send_batch(o);
    free(o->events.records);
}
