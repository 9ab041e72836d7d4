/* SPDX-License-Identifier: Apache-2.0 */
/* output.c -- what tasks printed, printed again by the driver: "(name pid=12, ip=10.0.0.1) line".
 *
 * Output arrives with the lock held and is only queued: a driver whose own stdout is a full pipe must not stop its tasks. The service
 * thread prints, without the lock. What a worker may have queued is bounded, and the more so the more is queued in all: one that prints
 * without end takes no room from the others. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/fold.h"
#include "worker/runtime.h"

#define MANY (8u << 20)                 /* bytes queued in all, from which on a worker may queue less */
#define SHARE (1u << 20)
#define SHARE_OF_MANY (64u << 10)
#define FOLDED " (Lines that several workers print within 5 s are folded. Set MOBULA_DEDUP_LOGS=0 to have them all.)"

struct output {
    struct mob_link link;               /* in r->output */
    bool error;
    unsigned source;                    /* in r->output_of; two workers of one place share its room */
    uint64_t worker;
    char head[192];
    size_t size;
    char text[];
};

/* worker: 0: it is a word of ours. */
static struct output *queue(struct mob_runtime *r, bool error, uint64_t worker, const void *text, size_t size)
{
    unsigned source = worker == 0 ? MOB_OUTPUT_SOURCES : (unsigned)(worker % MOB_OUTPUT_SOURCES);
    struct output *o;

    if (r->output_of[source] >= (r->output_bytes < MANY ? SHARE : SHARE_OF_MANY)) {
        r->output_dropped += size;
        return NULL;
    }
    o = mob_alloc(sizeof *o + size);
    o->error = error;
    o->source = source;
    o->worker = worker;
    o->size = size;
    memcpy(o->text, text, size);
    mob_list_append(&r->output, &o->link);
    r->output_bytes += o->size;
    r->output_of[source] += o->size;
    mob_service_poke(r);
    return o;
}

static uint64_t worker_of(const Mobula__Output *m)
{
    uint64_t sum = 0;

    for (const char *c = m->ip; *c != '\0'; c++)
        sum = sum * 31 + (unsigned char)*c;
    return sum << 32 ^ sum ^ m->pid ^ UINT64_C(1) << 63;
}

void mob_output_receive(struct mob_runtime *r, const Mobula__Output *m)
{
    struct output *o;

    if (r->quiet)
        return;
    r->output_dropped += m->dropped;
    if (m->text.len > 0 && (o = queue(r, m->error, worker_of(m), m->text.data, m->text.len)) != NULL)
        snprintf(o->head, sizeof o->head, "(%.64s%spid=%u, ip=%.64s) ", m->name, m->name[0] != '\0' ? " " : "", m->pid, m->ip);
}

void mob_output_warn(struct mob_runtime *r, const char *text)
{
    struct output *o = queue(r, true, 0, text, strlen(text));

    if (o != NULL)
        snprintf(o->head, sizeof o->head, "mobula: ");
}

static void print_line(void *arg, bool error, const char *head, const char *line, size_t size, unsigned repeated)
{
    struct mob_runtime *r = arg;
    FILE *to = error ? stderr : stdout;

    flockfile(to);                      /* the program prints there, too: not into our line */
    fputs(head, to);
    fwrite(line, 1, size, to);
    if (repeated > 0)
        fprintf(to, " [repeated %ux across cluster]%s", repeated, r->fold_said ? "" : FOLDED);
    r->fold_said |= repeated > 0;
    fputc('\n', to);
    funlockfile(to);
}

static void print(struct mob_runtime *r, const struct output *o)
{
    const char *at = o->text, *end = o->text + o->size;
    int64_t now_ns = mob_runtime_now();

    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t length = newline != NULL ? (size_t)(newline - at) : (size_t)(end - at);

        if (r->fold != NULL && o->source != MOB_OUTPUT_SOURCES)
            mob_fold_line(r->fold, now_ns, o->worker, o->error, o->head, at, length);
        else
            print_line(r, o->error, o->head, at, length, 0);
        at += length + 1;
    }
    fflush(o->error ? stderr : stdout);
}

int mob_output_open(struct mob_runtime *r, const struct mob_init_options *o, struct mob_error *err)
{
    struct mob_fold_config config = { .window_ns = (int64_t)o->fold_ms * 1000000, .keep = o->fold_not, .skip = o->fold_away,
                                      .print = print_line, .arg = r };

    if (o->fold_ms <= 0)
        return 0;
    r->fold_said = false;
    return (r->fold = mob_fold_create(&config, err)) != NULL ? 0 : -1;
}

void mob_output_close(struct mob_runtime *r)
{
    if (r->fold == NULL)
        return;
    mob_fold_turn(r->fold, INT64_MAX);
    fflush(stdout);
    fflush(stderr);
    mob_fold_destroy(r->fold);
    r->fold = NULL;
}

int64_t mob_output_due_ns(const struct mob_runtime *r)
{
    return r->fold != NULL ? mob_fold_due_ns(r->fold) : MOB_NEVER;
}

void mob_output_print(struct mob_runtime *r)
{
    while (!mob_list_empty(&r->output)) {
        struct output *o = mob_list_first(&r->output, struct output, link);

        mob_list_remove(&o->link);
        r->output_bytes -= o->size;
        r->output_of[o->source] -= o->size;
        mob_runtime_unlock(r);
        print(r, o);
        free(o);
        pthread_mutex_lock(&r->lock);
    }
    if (mob_output_due_ns(r) <= mob_runtime_now()) {
        mob_runtime_unlock(r);
        mob_fold_turn(r->fold, mob_runtime_now());
        fflush(stdout);
        fflush(stderr);
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
