/* SPDX-License-Identifier: Apache-2.0 */
/* output.c -- what one worker prints.
 *
 *   pipe --> marks (print_mark.h) say who printed what --> log file (logs.c) --> tail (stderr's last lines, for a death certificate)
 *        '-> told: whole lines, the first at once, then each MOB_OUTPUT_TELL_MS, or when MOB_OUTPUT_TEXT_MAX bytes stand there;
 *                 at most MOB_OUTPUT_BURST_MAX in that time, the rest is counted
 *
 * A pipe is always read, so that a worker never waits for a disk, a driver or a network: what finds no room is dropped and counted, never
 * kept. What the way to the driver does not take now waits in the buffer, so that who prints little loses nothing to who prints much. Only
 * whole lines are told, so that lines of several workers do not mix; a line that alone fills the buffer is told in parts.
 */
#include "raylet/output.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/log.h"
#include "common/mem.h"
#include "common/print_mark.h"

#define READ_MAX (64 << 10)             /* all that a pipe holds, so that its marks are seen with what stands before them */
#define MESSAGE_COST 1024               /* bytes of MOB_OUTPUT_BURST_MAX that a message costs besides its text */

struct stream {
    struct mob_output *output;
    int fd;                             /* -1: at its end */
    uv_poll_t poll;
    bool error;
    struct mob_log *log;
    char begun[MOB_PRINT_MARK_MAX];     /* a mark that was not read to its end */
    size_t begun_size;
    char name[MOB_PAGE_NAME_SIZE];      /* `text` was printed as this */
    char *text;                         /* not told yet: MOB_OUTPUT_TEXT_MAX bytes, made with the first */
    size_t used, told;                  /* told: since the timer rang */
    uint64_t dropped;
    bool torn;                          /* the last byte dropped was none of a line's end */
};

struct mob_output {
    struct stream streams[2];
    uv_timer_t timer;                   /* runs for a while after something was told */
    unsigned handles;
    bool over;
    struct mob_output_listener listener;
    char tail[MOB_OUTPUT_TAIL_MAX + 1]; /* of stderr */
    size_t tail_used;
};

/* -- keeping ------------------------------------------------------------------------------------------------------------------- */

static void keep_in_tail(struct mob_output *o, const char *bytes, size_t size)
{
    if (size >= MOB_OUTPUT_TAIL_MAX) {
        bytes += size - MOB_OUTPUT_TAIL_MAX;
        size = MOB_OUTPUT_TAIL_MAX;
    }
    size_t gone = o->tail_used + size > MOB_OUTPUT_TAIL_MAX ? o->tail_used + size - MOB_OUTPUT_TAIL_MAX : 0;
    memmove(o->tail, o->tail + gone, o->tail_used - gone);
    o->tail_used -= gone;
    memcpy(o->tail + o->tail_used, bytes, size);
    o->tail_used += size;
}

static const char *last_lines(struct mob_output *o)
{
    size_t end = o->tail_used;
    unsigned lines = 0;

    while (end > 0 && o->tail[end - 1] == '\n')
        end--;
    o->tail[end] = '\0';
    for (size_t at = end; at > 0; at--)
        if (o->tail[at - 1] == '\n' && ++lines == MOB_OUTPUT_TAIL_LINES)
            return o->tail + at;
    return o->tail;
}

/* -- telling ------------------------------------------------------------------------------------------------------------------- */

/* Whole lines, or all if `whole` says so or if they fill the buffer; what the way does not take stays. False: there was nothing. */
static bool tell(struct stream *s, bool whole)
{
    Mobula__Output m = MOBULA__OUTPUT__INIT;
    size_t size = s->used;

    while (!whole && size > 0 && s->text[size - 1] != '\n')
        size--;
    if (size == 0 && s->used == MOB_OUTPUT_TEXT_MAX)
        size = s->used;
    if (size == 0 && s->dropped == 0)
        return false;
    m.name = s->name;
    m.error = s->error;
    m.text = (ProtobufCBinaryData){ size, (uint8_t *)s->text };
    m.dropped = s->dropped;
    if (!s->output->listener.tell(s->output->listener.arg, &m))
        return true;
    s->dropped = 0;
    s->used -= size;
    s->told += size + MESSAGE_COST;
    memmove(s->text, s->text + size, s->used);
    return true;
}

static void start_timer(struct mob_output *o);

static void on_timer(uv_timer_t *timer)
{
    struct mob_output *o = MOB_CONTAINER(timer, struct mob_output, timer);
    bool told = false;

    for (int i = 0; i < 2; i++) {
        o->streams[i].told = 0;
        told |= tell(&o->streams[i], false);
    }
    if (told)
        start_timer(o);
}

static void start_timer(struct mob_output *o)
{
    if (!uv_is_active((uv_handle_t *)&o->timer))
        uv_timer_start(&o->timer, on_timer, MOB_OUTPUT_TELL_MS, 0);
}

/* All that is left of a line of which some was dropped is, too: no line is told that was never printed. */
static void drop(struct stream *s, const char *bytes, size_t size)
{
    size_t whole = s->used;

    while (whole > 0 && s->text[whole - 1] != '\n')
        whole--;
    s->dropped += s->used - whole + size;
    s->used = whole;
    s->torn = bytes[size - 1] != '\n';
}

static size_t rest_of_torn(struct stream *s, const char *bytes, size_t size)
{
    const char *end = memchr(bytes, '\n', size);
    size_t rest = !s->torn ? 0 : end == NULL ? size : (size_t)(end + 1 - bytes);

    s->torn = s->torn && end == NULL;
    s->dropped += rest;
    return rest;
}

static void keep_to_tell(struct stream *s, const char *bytes, size_t size)
{
    size_t at = rest_of_torn(s, bytes, size), told_before = s->told;

    if (s->text == NULL)
        s->text = mob_alloc(MOB_OUTPUT_TEXT_MAX);
    while (at < size) {
        size_t room = MOB_OUTPUT_TEXT_MAX - s->used, part = size - at < room ? size - at : room;

        memcpy(s->text + s->used, bytes + at, part);
        s->used += part;
        at += part;
        if (s->used < MOB_OUTPUT_TEXT_MAX)
            break;
        if (s->told < MOB_OUTPUT_BURST_MAX)
            tell(s, false);
        if (s->used == MOB_OUTPUT_TEXT_MAX && at < size)
            drop(s, bytes + at, size - at), at = size;
    }
    bool waits = uv_is_active((uv_handle_t *)&s->output->timer);
    if ((!waits && tell(s, false)) || s->told > told_before)
        start_timer(s->output);
}

/* -- reading ------------------------------------------------------------------------------------------------------------------- */

static void take(struct stream *s, const char *bytes, size_t size, const char *name);

static void let_go(struct mob_output *o)
{
    if (--o->handles == 0 && o->over) {
        free(o->streams[0].text);
        free(o->streams[1].text);
        free(o);
    }
}

static void on_poll_closed(uv_handle_t *handle)
{
    let_go(MOB_CONTAINER((uv_poll_t *)handle, struct stream, poll)->output);
}

static void on_timer_closed(uv_handle_t *handle)
{
    let_go(MOB_CONTAINER((uv_timer_t *)handle, struct mob_output, timer));
}

static void stream_close(struct stream *s)
{
    if (s->fd < 0)
        return;
    if (!s->output->over)
        take(s, s->begun, s->begun_size, s->name);
    s->begun_size = 0;
    uv_close((uv_handle_t *)&s->poll, on_poll_closed);
    close(s->fd);
    s->fd = -1;
    mob_log_close(s->log);
    s->log = NULL;
}

static void take(struct stream *s, const char *bytes, size_t size, const char *name)
{
    if (size == 0)
        return;
    mob_log_write(s->log, bytes, size);
    if (s->error)
        keep_in_tail(s->output, bytes, size);
    if (strcmp(s->name, name) != 0) {
        if (s->used > 0 && s->told < MOB_OUTPUT_BURST_MAX)
            tell(s, true);
        s->dropped += s->used;
        s->used = 0;
        mob_copy(s->name, sizeof s->name, name);
    }
    keep_to_tell(s, bytes, size);
}

/* The first place where a mark stands, or may begin; `size`: nowhere. */
static size_t find_mark(const char *bytes, size_t size)
{
    const char *at = bytes, *end = bytes + size;

    for (; (at = memchr(at, MOB_PRINT_MARK[0], (size_t)(end - at))) != NULL; at++) {
        size_t left = (size_t)(end - at);
        if (memcmp(at, MOB_PRINT_MARK, left < MOB_PRINT_MARK_START ? left : MOB_PRINT_MARK_START) == 0)
            return (size_t)(at - bytes);
    }
    return size;
}

/* The mark at `mark`: where its name ends, or NULL: it is not there to its end, or is none. */
static const char *mark_end(const char *bytes, size_t size, size_t mark)
{
    size_t room = size - mark < MOB_PRINT_MARK_MAX ? size - mark : MOB_PRINT_MARK_MAX;

    return room <= MOB_PRINT_MARK_START ? NULL : memchr(bytes + mark + MOB_PRINT_MARK_START, '\0', room - MOB_PRINT_MARK_START);
}

/* What stands before a mark was printed as the mark says, what stands before none as `now`. */
static void take_marked(struct stream *s, const char *bytes, size_t size, const char *now)
{
    s->begun_size = 0;
    while (size > 0) {
        size_t mark = find_mark(bytes, size), next;
        const char *end = mark_end(bytes, size, mark), *name = end != NULL ? bytes + mark + MOB_PRINT_MARK_START : now;
        bool begun = end == NULL && mark < size && size - mark < MOB_PRINT_MARK_MAX;

        if (end == NULL && mark < size && !begun)
            mark++;                     /* it only looks like one */
        next = end != NULL ? (size_t)(end + 1 - bytes) : mark;
        take(s, bytes, mark, name);
        if (begun) {
            memcpy(s->begun, bytes + mark, s->begun_size = size - mark);
            return;
        }
        bytes += next;
        size -= next;
    }
}

/* At most `max` bytes. True if there may be more. */
static bool stream_read(struct stream *s, size_t max)
{
    char bytes[MOB_PRINT_MARK_MAX + READ_MAX], now[MOB_PAGE_NAME_SIZE];
    ssize_t n;

    s->output->listener.name(s->output->listener.arg, now);     /* before: what is printed as the next one comes later */
    memcpy(bytes, s->begun, s->begun_size);
    n = read(s->fd, bytes + s->begun_size, max < READ_MAX ? max : READ_MAX);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (n <= 0) {
        stream_close(s);
        return false;
    }
    take_marked(s, bytes, s->begun_size + (size_t)n, now);
    return true;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct stream *s = MOB_CONTAINER(poll, struct stream, poll);

    (void)status, (void)events;
    stream_read(s, READ_MAX);           /* then the others get their turn */
}

static void stream_open(struct stream *s, struct mob_output *o, struct mob_loop *loop, int fd, bool error, struct mob_log *log)
{
    s->output = o;
    s->fd = fd;
    s->error = error;
    s->log = log;
    int failed = uv_poll_init(mob_loop_uv(loop), &s->poll, fd);
    assert(failed == 0);
    uv_poll_start(&s->poll, UV_READABLE, on_readable);
    o->handles++;
}

struct mob_output *mob_output_create(struct mob_loop *loop, int out_fd, int err_fd, struct mob_logs *logs, const char *name,
                                     const struct mob_output_listener *listener)
{
    struct mob_output *o = mob_new(struct mob_output);

    o->listener = *listener;
    uv_timer_init(mob_loop_uv(loop), &o->timer);
    o->handles = 1;
    stream_open(&o->streams[0], o, loop, out_fd, false, mob_logs_open(logs, name, ".out"));
    stream_open(&o->streams[1], o, loop, err_fd, true, mob_logs_open(logs, name, ".err"));
    return o;
}

/* What stands in the pipe now, and no more: the worker, or a child of it that escaped its group, may go on printing. */
static void stream_flush(struct stream *s, size_t *left)
{
    int held = 0;

    if (s->fd < 0 || ioctl(s->fd, FIONREAD, &held) < 0)
        held = 0;
    for (size_t part; s->fd >= 0 && held > 0 && *left > 0; held -= (int)part, *left -= part) {
        part = (size_t)held < READ_MAX ? (size_t)held : READ_MAX;
        part = part < *left ? part : *left;
        s->told = 0;                    /* `left` is the bound here */
        if (!stream_read(s, part))
            break;
    }
    tell(s, true);
}

void mob_output_flush(struct mob_output *o, size_t *left)
{
    stream_flush(&o->streams[0], left);
    stream_flush(&o->streams[1], left);
}

const char *mob_output_finish(struct mob_output *o)
{
    size_t left = MOB_OUTPUT_FLUSH_MAX;

    mob_output_flush(o, &left);
    return last_lines(o);
}

void mob_output_destroy(struct mob_output *o)
{
    if (o == NULL)
        return;
    uint64_t lost = o->streams[0].dropped + o->streams[0].used + o->streams[1].dropped + o->streams[1].used;

    if (lost > 0)
        mob_info("%llu bytes of what a worker printed last were not told to its driver", (unsigned long long)lost);
    o->over = true;
    stream_close(&o->streams[0]);
    stream_close(&o->streams[1]);
    uv_close((uv_handle_t *)&o->timer, on_timer_closed);
}
