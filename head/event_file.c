/* SPDX-License-Identifier: Apache-2.0 */
/* event_file.c -- events.0 and events.1: a header of the size of a record, then records.
 *
 * Appends go to the current half. When it is full the other one is begun: a new file in its place, not the old one cut, so that
 * whoever reads the old one goes on reading it. A failed append leaves the size as it was, and the next one overwrites its traces.
 */
#include "head/event_file.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/mem.h"

#define EVENT_FILE_MAGIC "mobevent"
#define EVENT_FILE_VERSION 1u

struct event_header {
    char magic[8];
    uint32_t version, record_size;
    uint64_t number;                    /* rises with each half begun */
    char zero[72];
};
_Static_assert(sizeof(struct event_header) == sizeof(struct mob_event), "the header counts as one record");

struct event_file {
    char *path[2];
    int fd[2];
    uint64_t count[2];                  /* records, besides the header */
    uint64_t count_max;                 /* of a half */
    uint64_t number;
    unsigned now;                       /* the half that grows */
};

static int write_all(int fd, const void *bytes, size_t size, uint64_t offset)
{
    const char *at = bytes;

    while (size > 0) {
        ssize_t n = pwrite(fd, at, size, (off_t)offset);
        if (n < 0)
            return -1;
        at += n;
        offset += (uint64_t)n;
        size -= (size_t)n;
    }
    return 0;
}

static size_t read_all(int fd, void *bytes, size_t size, uint64_t offset)
{
    size_t done = 0;

    while (done < size) {
        ssize_t n = pread(fd, (char *)bytes + done, size - done, (off_t)(offset + done));
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    return done;
}

static int begin_half(struct event_file *f, unsigned half, struct mob_error *err)
{
    struct event_header header = { .magic = EVENT_FILE_MAGIC, .version = EVENT_FILE_VERSION,
                                   .record_size = sizeof(struct mob_event), .number = f->number + 1 };
    int fd;

    if (unlink(f->path[half]) < 0 && access(f->path[half], F_OK) == 0)
        return mob_error_errno(err, "cannot replace %s", f->path[half]);
    fd = open(f->path[half], O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return mob_error_errno(err, "cannot create %s", f->path[half]);
    if (write_all(fd, &header, sizeof header, 0) < 0) {
        mob_error_errno(err, "cannot write %s", f->path[half]);
        close(fd);
        unlink(f->path[half]);
        return -1;
    }
    if (f->fd[half] >= 0)
        close(f->fd[half]);
    f->fd[half] = fd;
    f->count[half] = 0;
    f->number++;
    f->now = half;
    return 0;
}

struct event_file *mob_event_file_create(const char *folder, uint64_t bytes_max, struct mob_error *err)
{
    struct event_file *f = mob_new(struct event_file);

    f->fd[0] = f->fd[1] = -1;
    f->path[0] = mob_printf("%s/events.0", folder);
    f->path[1] = mob_printf("%s/events.1", folder);
    f->count_max = bytes_max / 2 / sizeof(struct mob_event);
    assert(f->count_max > 1);
    if (begin_half(f, 0, err) < 0) {
        mob_event_file_destroy(f);
        return NULL;
    }
    return f;
}

void mob_event_file_destroy(struct event_file *f)
{
    if (f == NULL)
        return;
    for (int i = 0; i < 2; i++) {
        if (f->fd[i] >= 0) {
            close(f->fd[i]);
            unlink(f->path[i]);
        }
        free(f->path[i]);
    }
    free(f);
}

bool mob_event_file_is_full(const struct event_file *f, size_t n)
{
    return f->count[f->now] + 1 + n > f->count_max;
}

int mob_event_file_append(struct event_file *f, const struct mob_event *records, size_t n, bool rotate, struct mob_error *err)
{
    if (rotate && begin_half(f, !f->now, err) < 0)
        return -1;
    if (write_all(f->fd[f->now], records, n * sizeof *records, (f->count[f->now] + 1) * sizeof *records) < 0)
        return mob_error_errno(err, "cannot write %s", f->path[f->now]);
    f->count[f->now] += n;
    return 0;
}

/* -- reading ------------------------------------------------------------------------------------------------------------- */

static bool header_is_good(int fd)
{
    struct event_header h;

    return read_all(fd, &h, sizeof h, 0) == sizeof h && memcmp(h.magic, EVENT_FILE_MAGIC, sizeof h.magic) == 0
        && h.version == EVENT_FILE_VERSION && h.record_size == sizeof(struct mob_event);
}

static int open_half(struct event_reader *r, unsigned i, const struct event_file *f, unsigned half, struct mob_error *err)
{
    if (f->fd[half] < 0)
        return 0;
    r->fd[i] = fcntl(f->fd[half], F_DUPFD_CLOEXEC, 0);
    if (r->fd[i] < 0)
        return mob_error_errno(err, "cannot open %s", f->path[half]);
    if (!header_is_good(r->fd[i]))
        return mob_error_set(err, MOB_ERR_SYSTEM, "%s cannot be read, or is not the event record any more", f->path[half]);
    r->count[i] = f->count[half];
    return 0;
}

int mob_event_reader_open(struct event_reader *ret, const struct event_file *f, struct mob_error *err)
{
    struct event_reader r = { .fd = { -1, -1 } };

    if (open_half(&r, 0, f, !f->now, err) < 0 || open_half(&r, 1, f, f->now, err) < 0) {
        mob_event_reader_close(&r);
        return -1;
    }
    *ret = r;
    return 0;
}

void mob_event_reader_close(struct event_reader *r)
{
    for (int i = 0; i < 2; i++) {
        if (r->fd[i] >= 0)
            close(r->fd[i]);
        r->fd[i] = -1;
    }
}

uint64_t mob_event_reader_count(const struct event_reader *r)
{
    return r->count[0] + r->count[1];
}

size_t mob_event_reader_get(const struct event_reader *r, uint64_t first, struct mob_event *ret, size_t n)
{
    unsigned i = first >= r->count[0];
    uint64_t at = i == 0 ? first : first - r->count[0];

    if (at >= r->count[i])
        return 0;
    if (n > r->count[i] - at)
        n = (size_t)(r->count[i] - at);
    return read_all(r->fd[i], ret, n * sizeof *ret, (at + 1) * sizeof *ret) / sizeof *ret;
}
