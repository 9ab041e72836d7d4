/* SPDX-License-Identifier: Apache-2.0 */
/* record.c -- daemon records as JSON. */
#include "common/record.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/mem.h"

#define RECORD_BYTES_MAX 16384

static int write_all(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t wrote = write(fd, bytes, size);

        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return -1;
        bytes += wrote;
        size -= (size_t)wrote;
    }
    return 0;
}

/* Replace a file's content at once and durably against a crash of ours (not of the machine). */
static int write_atomically(const char *path, const void *bytes, size_t size, unsigned mode, struct mob_error *err)
{
    char *temporary = mob_printf("%s.%d.tmp", path, (int)getpid());
    int fd, result = -1;

    unlink(temporary);                  /* of an earlier process with our pid */
    if ((fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode)) < 0) {
        mob_error_errno(err, "writing %s", temporary);
        free(temporary);
        return -1;
    }
    if (write_all(fd, bytes, size) == 0 && close(fd) == 0) {
        result = rename(temporary, path);
        fd = -1;
    }
    if (result < 0) {
        mob_error_errno(err, "writing %s", path);
        if (fd >= 0)
            close(fd);
        unlink(temporary);
    }
    free(temporary);
    return result;
}

int mob_record_write(const char *path, const struct mob_daemon_record *r, struct mob_error *err)
{
    json_t *json = json_pack("{s:s, s:i, s:I, s:s, s:I, s:s, s:s, s:i, s:s, s:s, s:b}", "role", r->role, "pid", (int)r->process.pid,
                             "start_ticks", (json_int_t)r->process.start_ticks, "boot", r->process.boot, "pid_space",
                             (json_int_t)r->process.space, "cluster", r->cluster, "ip", r->ip, "port", (int)r->port, "head",
                             r->head, "socket", r->socket, "private", (int)r->is_private);
    char *text = json != NULL ? json_dumps(json, JSON_INDENT(2)) : NULL;
    int result;

    json_decref(json);
    if (text == NULL)
        return mob_error_set(err, MOB_ERR_INVALID, "the daemon's record is no valid text");
    result = write_atomically(path, text, strlen(text), 0600, err);
    free(text);
    return result;
}

static bool copy_text(char *ret, size_t size, const char *text)
{
    mob_copy(ret, size, text);
    return strlen(text) < size;
}

static bool unpack(json_t *json, struct mob_daemon_record *r)
{
    const char *role, *boot, *cluster, *ip, *head, *socket;
    json_int_t ticks, space;
    int pid, port, is_private;

    if (json_unpack(json, "{s:s, s:i, s:I, s:s, s:I, s:s, s:s, s:i, s:s, s:s, s:b}", "role", &role, "pid", &pid, "start_ticks",
                    &ticks, "boot", &boot, "pid_space", &space, "cluster", &cluster, "ip", &ip, "port", &port, "head", &head,
                    "socket", &socket, "private", &is_private) < 0)
        return false;
    *r = (struct mob_daemon_record){ .is_private = is_private != 0, .port = (uint32_t)port };
    r->process.pid = pid;
    r->process.start_ticks = (uint64_t)ticks;
    r->process.space = (uint64_t)space;
    return pid > 0 && port >= 0 && port <= 65535
        && copy_text(r->role, sizeof(r->role), role)
        && copy_text(r->process.boot, sizeof(r->process.boot), boot)
        && copy_text(r->cluster, sizeof(r->cluster), cluster)
        && copy_text(r->ip, sizeof(r->ip), ip)
        && copy_text(r->head, sizeof(r->head), head)
        && copy_text(r->socket, sizeof(r->socket), socket);
}

int mob_record_read(const char *path, struct mob_daemon_record *ret, struct mob_error *err)
{
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    char text[RECORD_BYTES_MAX];
    struct mob_daemon_record record;
    json_t *json;
    ssize_t got;
    bool valid;

    if (fd < 0)
        return mob_error_set(err, errno == ENOENT ? MOB_ERR_UNREACHABLE : MOB_ERR_SYSTEM, "%s: %s", path, strerror(errno));
    got = read(fd, text, sizeof(text));
    close(fd);
    json = got > 0 ? json_loadb(text, (size_t)got, 0, NULL) : NULL;
    valid = json != NULL && unpack(json, &record);
    json_decref(json);
    if (!valid)
        return mob_error_set(err, MOB_ERR_INVALID, "%s is not the record of a daemon; remove it", path);
    *ret = record;
    return 0;
}
