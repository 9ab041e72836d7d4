/* SPDX-License-Identifier: Apache-2.0 */
/* poll.c -- asking the processes of this node.
 *
 * A thread of each process answers whatever its code does; one that has been stopped is waited for PATIENCE_NS, and what it knows is
 * left out.
 */
#include "raylet/poll.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "raylet/core.h"

#define PIECE_MAX 1001
#define PART_MAX (256u << 10)
#define TEXT_MAX (8u << 20)             /* what more processes say is left out */
#define PATIENCE_NS (1000 * MS)
#define QUESTIONS_MAX 100               /* for which processes are asked, at a time */

struct poll *mob_poll_begin(struct mob_raylet *r, struct mob_address to, const Mobula__Query *m,
                            void (*row)(struct poll *p, uint32_t process, json_t *row))
{
    struct poll *p = mob_new(struct poll);

    *p = (struct poll){ .number = ++r->polls.last, .to = to, .query = m->id, .row = row, .end_ns = r->now + PATIENCE_NS };
    mob_list_append(&r->polls.all, &p->link);
    r->polls.count++;
    return p;
}

static void put(struct poll *p, const char *text, size_t n)
{
    if (p->size + n > p->room)
        p->text = mob_realloc(p->text, p->room = 2 * p->room + n + 4096);
    memcpy(p->text + p->size, text, n);
    p->size += n;
}

void mob_poll_add(struct poll *p, const char *format, ...)
{
    char piece[PIECE_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(piece, sizeof piece, format, args);
    va_end(args);
    put(p, piece, strlen(piece));
    p->any = false;
}

void mob_poll_add_row(struct poll *p, json_t *row)
{
    char *text = json_dumps(row, JSON_COMPACT | JSON_ENCODE_ANY);

    if (text != NULL && p->any)
        put(p, ",", 1);
    if (text != NULL)
        put(p, text, strlen(text));
    p->any |= text != NULL;
    free(text);
    json_decref(row);
}

static void finish(struct mob_raylet *r, struct poll *p)
{
    mob_poll_add(p, "]}");
    for (size_t at = 0, n; at < p->size; at += n) {
        Mobula__Reply m = MOBULA__REPLY__INIT;
        struct mob_envelope e;

        n = p->size - at < PART_MAX ? p->size - at : PART_MAX;
        m.id = p->query;
        m.text = (ProtobufCBinaryData){ n, (uint8_t *)p->text + at };
        m.last = at + n == p->size;
        mob_envelope_init(&e, r->self, p->to, MOBULA__ENVELOPE__BODY_REPLY);
        e.e.reply = &m;
        mob_route_send(r, &e.e);
    }
    mob_list_remove(&p->link);
    r->polls.count--;
    free(p->text);
    free(p);
}

void mob_poll_ask(struct mob_raylet *r, struct poll *p, const struct process *process, const char *verb, const char *argument)
{
    Mobula__Query m = MOBULA__QUERY__INIT;
    struct mob_envelope e;

    if (r->polls.count > QUESTIONS_MAX)
        return;
    m.id = p->number;
    m.verb = (char *)(uintptr_t)verb;
    m.argument = (char *)(uintptr_t)argument;
    mob_envelope_init(&e, r->self, process->address, MOBULA__ENVELOPE__BODY_QUERY);
    e.e.query = &m;
    p->left += mob_route_send(r, &e.e);
}

void mob_poll_asked(struct mob_raylet *r, struct poll *p)
{
    if (p->left == 0)
        finish(r, p);
}

void mob_poll_on_reply(struct mob_raylet *r, const struct arrival *a)
{
    const Mobula__Reply *m = a->e->reply;
    struct poll *p;
    json_t *rows, *row;
    size_t i;

    mob_list_each(p, &r->polls.all, struct poll, link) {
        if (p->number != m->id)
            continue;
        rows = json_loadb((const char *)m->text.data, m->text.len, 0, NULL);
        json_array_foreach(rows, i, row)
            if (p->size <= TEXT_MAX)
                p->row(p, a->from.process, row);
        json_decref(rows);
        if (--p->left == 0)
            finish(r, p);
        return;
    }
}

int64_t mob_polls_tick(struct mob_raylet *r)
{
    struct poll *p;

    mob_list_each(p, &r->polls.all, struct poll, link) {
        if (r->now < p->end_ns)
            return p->end_ns;           /* those behind it end later */
        finish(r, p);
    }
    return INT64_MAX;
}

void mob_polls_init(struct mob_raylet *r)
{
    mob_list_init(&r->polls.all);
}

void mob_polls_fini(struct mob_raylet *r)
{
    struct poll *p;

    mob_list_each(p, &r->polls.all, struct poll, link) {
        free(p->text);
        free(p);
    }
}
