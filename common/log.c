/* SPDX-License-Identifier: Apache-2.0 */
/* log.c -- one write() a line, so that lines of several processes on one stderr do not mix. The name and the level are the only
 * state of the process here; they are set before threads start, and again only to a longer name. */
#include "common/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/mem.h"

#define LINE_SIZE 2048

static struct {
    char who[48];
    int level;
} settings = { "mobula", MOB_LOG_INFO };

void mob_log_init(const char *who)
{
    static const char *const names[] = { "error", "warn", "info", "debug" };
    const char *level = getenv("MOBULA_LOG");

    mob_copy(settings.who, sizeof(settings.who), who);
    for (size_t i = 0; level != NULL && i < MOB_COUNT(names); i++)
        if (strcmp(level, names[i]) == 0)
            settings.level = (int)i;
}

int mob_log_enabled(enum mob_log_level level)
{
    return (int)level <= settings.level;
}

static size_t put_head(char *line, size_t size, enum mob_log_level level)
{
    struct timespec now;
    struct tm parts;
    size_t used;

    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &parts);
    used = strftime(line, size, "%Y-%m-%d %H:%M:%S", &parts);
    used += (size_t)snprintf(line + used, size - used, ".%03ld %s %c: ", now.tv_nsec / 1000000, settings.who, "EWID"[level]);
    return used;
}

void mob_log(enum mob_log_level level, const char *format, ...)
{
    char line[LINE_SIZE];
    size_t used;
    va_list args;
    int text;

    if (!mob_log_enabled(level))
        return;
    used = put_head(line, sizeof(line), level);
    va_start(args, format);
    text = vsnprintf(line + used, sizeof(line) - used, format, args);
    va_end(args);
    if (text < 0)
        return;
    used = used + (size_t)text < sizeof(line) - 1 ? used + (size_t)text : sizeof(line) - 2;
    line[used++] = '\n';
    if (write(STDERR_FILENO, line, used) < 0)
        return;                         /* nobody can be told */
}
