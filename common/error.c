/* SPDX-License-Identifier: Apache-2.0 */
/* error.c -- filling struct mob_error. A new error forgets all that stood there before: no field of an older one shines through. */
#include "common/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/mem.h"

int mob_error_set(struct mob_error *err, enum mob_code code, const char *format, ...)
{
    va_list args;

    if (err == NULL)
        return -1;
    memset(err, 0, sizeof(*err));
    err->code = code;
    va_start(args, format);
    vsnprintf(err->text, sizeof(err->text), format, args);
    va_end(args);
    return -1;
}

int mob_error_errno(struct mob_error *err, const char *format, ...)
{
    const char *reason = strerror(errno);
    va_list args;
    int used;

    if (err == NULL)
        return -1;
    memset(err, 0, sizeof(*err));
    err->code = MOB_ERR_SYSTEM;
    va_start(args, format);
    used = vsnprintf(err->text, sizeof(err->text), format, args);
    va_end(args);
    if (used >= 0 && (size_t)used < sizeof(err->text))
        snprintf(err->text + used, sizeof(err->text) - (size_t)used, ": %s", reason);
    return -1;
}

const char *mob_code_name(int code)
{
    static const char *const names[] = {
        [MOB_OK] = "MOB_OK",
        [MOB_ERR_INVALID] = "MOB_ERR_INVALID",
        [MOB_ERR_TIMEOUT] = "MOB_ERR_TIMEOUT",
        [MOB_ERR_TASK] = "MOB_ERR_TASK",
        [MOB_ERR_CANCELLED] = "MOB_ERR_CANCELLED",
        [MOB_ERR_WORKER_CRASHED] = "MOB_ERR_WORKER_CRASHED",
        [MOB_ERR_NODE_DIED] = "MOB_ERR_NODE_DIED",
        [MOB_ERR_OBJECT_LOST] = "MOB_ERR_OBJECT_LOST",
        [MOB_ERR_OWNER_DIED] = "MOB_ERR_OWNER_DIED",
        [MOB_ERR_NO_SPACE] = "MOB_ERR_NO_SPACE",
        [MOB_ERR_INFEASIBLE] = "MOB_ERR_INFEASIBLE",
        [MOB_ERR_DENIED] = "MOB_ERR_DENIED",
        [MOB_ERR_VERSION] = "MOB_ERR_VERSION",
        [MOB_ERR_UNREACHABLE] = "MOB_ERR_UNREACHABLE",
        [MOB_ERR_PROTOCOL] = "MOB_ERR_PROTOCOL",
        [MOB_ERR_SYSTEM] = "MOB_ERR_SYSTEM",
        [MOB_ERR_OUT_OF_MEMORY] = "MOB_ERR_OUT_OF_MEMORY",
    };

    if (code < 0 || (size_t)code >= MOB_COUNT(names))
        return "unknown code";
    return names[code];
}

const char *mob_killed_by_word(int killed_by)
{
    static const char *const words[] = {
        [MOB_KILLED_BY_UNKNOWN] = "unknown",
        [MOB_KILLED_BY_EXIT] = "exit",
        [MOB_KILLED_BY_CRASH] = "crash",
        [MOB_KILLED_BY_SIGNAL] = "signal",
        [MOB_KILLED_BY_CANCEL] = "cancel",
        [MOB_KILLED_BY_MEMORY] = "memory monitor",
        [MOB_KILLED_BY_KERNEL_MEMORY] = "kernel memory",
        [MOB_KILLED_BY_NODE] = "node lost",
        [MOB_KILLED_BY_START] = "start",
        [MOB_KILLED_BY_JOB] = "job over",
        [MOB_KILLED_BY_RAYLET] = "raylet",
    };

    return killed_by < 0 || (size_t)killed_by >= MOB_COUNT(words) ? words[0] : words[killed_by];
}
