/* SPDX-License-Identifier: Apache-2.0 */
/* mem.c -- small memory that never fails. */
#include "common/mem.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *or_die(void *p, size_t size)
{
    if (p == NULL) {
        fprintf(stderr, "mobula: no memory for %zu bytes; this process ends\n", size);
        abort();
    }
    return p;
}

void *mob_alloc(size_t size)
{
    return or_die(calloc(1, size > 0 ? size : 1), size);
}

void *mob_realloc(void *p, size_t size)
{
    return or_die(realloc(p, size > 0 ? size : 1), size);
}

void *mob_memdup(const void *p, size_t size)
{
    void *copy = mob_alloc(size);

    if (size > 0)
        memcpy(copy, p, size);
    return copy;
}

char *mob_strdup(const char *s)
{
    return mob_memdup(s, strlen(s) + 1);
}

char *mob_printf(const char *format, ...)
{
    va_list args;
    char *text = NULL;
    int size;

    va_start(args, format);
    size = vasprintf(&text, format, args);
    va_end(args);
    return or_die(size < 0 ? NULL : text, 0);
}

void mob_copy(char *ret, size_t size, const char *text)
{
    size_t length;

    assert(size > 0);
    length = strnlen(text, size - 1);
    memcpy(ret, text, length);
    ret[length] = '\0';
}
