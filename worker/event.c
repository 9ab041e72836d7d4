/* SPDX-License-Identifier: Apache-2.0 */
/* event.c -- a record when a task is submitted, and when an attempt ends; a third, RUNNING, for what still runs then.
 *
 * A batch leaves 200 ms after its first record, or when it is full. The second's rate bounds what a process of millions of tasks
 * costs the head: beyond it a task is recorded whole if its number is in the sample, else if it fails; `dropped` counts.
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
    if (log->count == 0)
        log->due_ns = o->now_ns + EVENTS_PERIOD_NS;
    log->in_second++;
    return &log->records[log->count++];
}

bool mob_owner_events_full(struct mob_owner *o, const struct task *t)
{
    struct event_log *log = &o->events;

    if (o->now_ns - log->second_ns >= INT64_C(1000000000)) {
        log->second_ns = o->now_ns;
        log->in_second = 0;
        return false;
    }
    if (((t->number >> 32) * UINT64_C(0x9e3779b1) + (uint32_t)t->number) % EVENTS_SAMPLE == 0)
        return false;
    log->dropped++;
    return true;
}

void mob_owner_event_name(struct mob_owner *o, const struct kind *k)
{
    struct mob_event *e = next_record(o);
    size_t room = sizeof *e - offsetof(struct mob_event, node);

    *e = (struct mob_event){ .kind = MOB_EVENT_NAME, .task = k->name, .name = k->name, .owner_node = o->config.self.node,
                             .owner_process = o->config.self.process };
    mob_copy((char *)e + offsetof(struct mob_event, node), room, k->text);
}

static int64_t wall(const struct mob_owner *o, int64_t boot_ns)
{
    return boot_ns == 0 ? 0 : boot_ns + o->config.wall_offset_ns;
}

void mob_owner_event_add(struct mob_owner *o, enum mob_event_kind kind, const struct task *t, int status, int64_t started_ns,
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
}

/* The task each lease runs, if it was pushed before this period and nobody was told. True if one may be due later. */
static bool add_running(struct mob_owner *o)
{
    struct lease *l;
    bool later = false;

    mob_list_each(l, &o->leases.all, struct lease, link) {
        if (mob_list_empty(&l->tasks))
            continue;
        struct task *t = mob_list_first(&l->tasks, struct task, link);

        if (t->told_running)
            continue;
        if (o->now_ns - t->pushed_ns < EVENTS_PERIOD_NS) {
            later = true;
            continue;
        }
        t->told_running = true;
        mob_owner_event_add(o, MOB_EVENT_RUNNING, t, MOB_OK, t->pushed_ns > l->answered_ns ? t->pushed_ns : l->answered_ns, 0);
    }
    return later;
}

int64_t mob_owner_events_flush(struct mob_owner *o)
{
    struct event_log *log = &o->events;

    if (o->now_ns >= log->due_ns) {
        bool later = add_running(o);

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

void mob_owner_events_fini(struct mob_owner *o)
{
    if (o->events.count > 0)
        send_batch(o);
    free(o->events.records);
}
