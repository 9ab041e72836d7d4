/* SPDX-License-Identifier: Apache-2.0 */
/* explain.c -- the question "explain", argument {"tasks": ["t-N.P-T", ...]}: who waits for what here, and who has it.
 *
 *   {"node", "ip", "queue": [{"owner", "shape", "leases", "resources", "waited_ms", "depth", "first"}], in the order of serving;
 *    "lent": [{"owner", "worker", "pid", "resources", "state", "held_ms", of a running one "task", "run_ms"}],
 *    "processes": [what owners and workers of the asked tasks say (worker/explain.c), with "process": "N.P"]}
 *
 * first: what it needs is set aside for it as it comes free. A lease that still waits for its worker is lent in state "starting".
 * Rows of queue and lent are at most ROWS_MAX each; "queue_more" and "lent_more" count the rest.
 */
#include "raylet/explain.h"

#include <stdio.h>
#include <string.h>

#include "raylet/core.h"

#define ROWS_MAX 256
#define TASKS_MAX 64

struct asked {
    struct mob_address owner;
    uint64_t task;
};

/* -- what the raylet knows ------------------------------------------------------------------------------------------------- */

static json_t *resources_text(const struct mob_resources *r)
{
    char text[1200];

    return json_string(mob_resources_print(r, text, sizeof text));
}

static json_t *address_text(struct mob_address a)
{
    return json_sprintf("%u.%u", a.node, a.process);
}

static json_int_t ms_since(const struct mob_raylet *r, int64_t ns)
{
    return (r->now - ns) / MS;
}

static json_t *want_row(const struct mob_raylet *r, const struct want *w)
{
    return json_pack("{s:o, s:I, s:I, s:o, s:I, s:I, s:b}", "owner", address_text(w->wanter->address), "shape",
                     (json_int_t)w->number, "leases", (json_int_t)w->counted, "resources", resources_text(&w->shape.resources),
                     "waited_ms", ms_since(r, w->since), "depth", (json_int_t)w->depth, "first", w == r->wants.reserver);
}

static size_t add_level(const struct mob_raylet *r, struct poll *p, const struct level *level, size_t rows)
{
    const struct want *w;

    mob_list_each(w, &level->wants, struct want, queued)
        if (rows++ < ROWS_MAX)
            mob_poll_add_row(p, want_row(r, w));
    return rows;
}

static void add_queue(const struct mob_raylet *r, struct poll *p)
{
    struct level *level;
    size_t rows = 0;

    mob_list_each(level, &r->wants.levels, struct level, link)
        rows = add_level(r, p, level, rows);
    mob_poll_add(p, "],\"queue_more\":%zu", rows > ROWS_MAX ? rows - ROWS_MAX : 0);
}

static const char *state_of(const struct lease *l)
{
    if (l->machine.now == LEASE_MATCHING)
        return "starting";
    if (l->machine.now == LEASE_ENDING)
        return "ending";
    return l->worker->machine.now == WORKER_BLOCKED ? "blocked" : l->machine.now == LEASE_RECALLED ? "recalled" : "lent";
}

static json_t *lease_row(const struct mob_raylet *r, const struct lease *l)
{
    json_t *row = json_pack("{s:o, s:o, s:s, s:I}", "owner", address_text(mob_lease_owner(l)), "resources",
                            resources_text(&l->want->shape.resources), "state", state_of(l), "held_ms",
                            ms_since(r, l->machine.now == LEASE_MATCHING ? l->asked_since : l->held_since));
    const struct process *p = l->worker != NULL ? l->worker->process : NULL;
    char name[MOB_OBJECT_NAME_SIZE];
    uint32_t attempt;
    uint64_t task;

    if (p == NULL)
        return row;
    json_object_set_new(row, "worker", address_text(p->address));
    json_object_set_new(row, "pid", json_integer(p->pid));
    if (l->machine.now != LEASE_MATCHING && mob_process_runs(p, l->epoch, &task, &attempt)) {
        json_object_set_new(row, "task", json_string(mob_task_name(mob_lease_owner(l), task, name)));
        json_object_set_new(row, "run_ms", json_integer(ms_since(r, atomic_load(&p->page->claimed_ns))));
    }
    return row;
}

static void add_lent(const struct mob_raylet *r, struct poll *p)
{
    size_t rows = 0;
    struct lease *l;

    for (size_t at = 0; (l = mob_map_next(&r->leases.by_number, &at, NULL)) != NULL;)
        if (rows++ < ROWS_MAX)
            mob_poll_add_row(p, lease_row(r, l));
    mob_poll_add(p, "],\"lent_more\":%zu", rows > ROWS_MAX ? rows - ROWS_MAX : 0);
}

/* -- what its processes know ------------------------------------------------------------------------------------------------- */

/* What it says is passed on as it is, with its name. */
static void add_process_row(struct poll *p, uint32_t process, json_t *row)
{
    if (!json_is_object(row))
        return;
    json_object_set_new(row, "process", json_integer(process));
    mob_poll_add_row(p, json_incref(row));
}

static size_t tasks_of(const Mobula__Query *m, struct asked *ret)
{
    json_t *argument = json_loads(m->argument, 0, NULL), *name;
    size_t count = 0, i;

    json_array_foreach(json_object_get(argument, "tasks"), i, name)
        if (count < TASKS_MAX && json_is_string(name)
            && mob_task_parse(json_string_value(name), &ret[count].owner, &ret[count].task))
            count++;
    json_decref(argument);
    return count;
}

/* Does it own one of them, or run one? Only a process whose page says so has a thread that answers while its code runs. */
static bool is_about(const struct process *p, const struct asked *tasks, size_t count)
{
    const struct lease *l = p->worker != NULL ? p->worker->lease : NULL;
    uint32_t attempt;
    uint64_t task = 0;
    bool runs = l != NULL && l->worker == p->worker && mob_process_runs(p, l->epoch, &task, &attempt);

    if (p->connection == NULL || p->page == NULL || atomic_load_explicit(&p->page->owns, memory_order_relaxed) == 0)
        return false;
    for (size_t i = 0; i < count; i++)
        if (mob_address_eq(tasks[i].owner, p->address)
            || (runs && task == tasks[i].task && mob_address_eq(tasks[i].owner, mob_lease_owner(l))))
            return true;
    return false;
}

void mob_explain_answer(struct mob_raylet *r, struct mob_address to, const Mobula__Query *m)
{
    struct poll *poll = mob_poll_begin(r, to, m, add_process_row);
    struct asked tasks[TASKS_MAX];
    size_t count = tasks_of(m, tasks);
    struct process *p;

    mob_poll_add(poll, "{\"node\":%u,\"ip\":\"%s\",\"queue\":[", r->self.node, r->config.ip);
    add_queue(r, poll);
    mob_poll_add(poll, ",\"lent\":[");
    add_lent(r, poll);
    mob_poll_add(poll, ",\"processes\":[");
    for (size_t at = 0; (p = mob_map_next(&r->processes.by_number, &at, NULL)) != NULL;)
        if (is_about(p, tasks, count))
            mob_poll_ask(r, poll, p, "explain", m->argument);
    mob_poll_asked(r, poll);
}
