/* SPDX-License-Identifier: Apache-2.0 */
/* output.c -- what tasks printed, printed again by the driver: "(name pid=12, ip=10.0.0.1) line".
 *
 * Output arrives with the lock held and is only queued: a driver whose own stdout is a full pipe must not stop its tasks. The service
 * thread prints, without the lock. What a worker may have queued is bounded, and the more so the more is queued in all: one that prints
 * without end takes no room from the others. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/runtime.h"

#define MANY (8u << 20)                 /* bytes queued in all, from which on a worker may queue less */
#define SHARE (1u << 20)
#define SHARE_OF_MANY (64u << 10)

struct output {
    struct mob_link link;               /* in r->output */
    bool error;
    unsigned source;                    /* in r->output_of; two workers of one place share its room */
    char head[192];
    size_t size;
    char text[];
};

static struct output *queue(struct mob_runtime *r, bool error, unsigned source, const void *text, size_t size)
{
    struct output *o;

    if (r->output_of[source] >= (r->output_bytes < MANY ? SHARE : SHARE_OF_MANY)) {
        r->output_dropped += size;
        return NULL;
    }
    o = mob_alloc(sizeof *o + size);
    o->error = error;
    o->source = source;
    o->size = size;
    memcpy(o->text, text, size);
    mob_list_append(&r->output, &o->link);
    r->output_bytes += o->size;
    r->output_of[source] += o->size;
    mob_service_poke(r);
    return o;
}

static unsigned source_of(const Mobula__Output *m)
{
    uint64_t sum = m->pid;

    for (const char *c = m->ip; *c != '\0'; c++)
        sum = sum * 31 + (unsigned char)*c;
    return (unsigned)(sum % MOB_OUTPUT_SOURCES);
}

void mob_output_receive(struct mob_runtime *r, const Mobula__Output *m)
{
    struct output *o;

    if (r->quiet)
        return;
    r->output_dropped += m->dropped;
    if (m->text.len > 0 && (o = queue(r, m->error, source_of(m), m->text.data, m->text.len)) != NULL)
        snprintf(o->head, sizeof o->head, "(%.64s%spid=%u, ip=%.64s) ", m->name, m->name[0] != '\0' ? " " : "", m->pid, m->ip);
}

void mob_output_warn(struct mob_runtime *r, const char *text)
{
    struct output *o = queue(r, true, MOB_OUTPUT_SOURCES, text, strlen(text));

    if (o != NULL)
        snprintf(o->head, sizeof o->head, "mobula: ");
}

static void print(const struct output *o)
{
    FILE *to = o->error ? stderr : stdout;
    const char *at = o->text, *end = o->text + o->size;

    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t length = newline != NULL ? (size_t)(newline - at) : (size_t)(end - at);

        flockfile(to);                  /* the program prints there, too: not into our line */
        fputs(o->head, to);
        fwrite(at, 1, length, to);
        fputc('\n', to);
        funlockfile(to);
        at += length + 1;
    }
    fflush(to);
}

void mob_output_print(struct mob_runtime *r)
{
    while (!mob_list_empty(&r->output)) {
        struct output *o = mob_list_first(&r->output, struct output, link);

        mob_list_remove(&o->link);
        r->output_bytes -= o->size;
        r->output_of[o->source] -= o->size;
        mob_runtime_unlock(r);
        print(o);
        free(o);
        pthread_mutex_lock(&r->lock);
    }
    if (r->output_dropped > 0) {
        size_t dropped = r->output_dropped;

        r->output_dropped = 0;
        mob_runtime_unlock(r);
        fprintf(stderr, "mobula: %zu bytes of output of tasks were dropped: they came faster than they could be printed\n",
                dropped);
        pthread_mutex_lock(&r->lock);
    }
}
