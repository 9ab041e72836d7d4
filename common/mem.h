/* SPDX-License-Identifier: Apache-2.0 */
/* mem.h -- small memory never fails: it ends the process with one line. What a user sizes uses malloc() and MOB_ERR_NO_SPACE. */
#ifndef MOB_COMMON_MEM_H
#define MOB_COMMON_MEM_H

#include <stddef.h>

void *mob_alloc(size_t size);                           /* zeroed */
void *mob_realloc(void *p, size_t size);
void *mob_memdup(const void *p, size_t size);
char *mob_strdup(const char *s);
char *mob_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));        /* free() it */
/* Copy a string into a fixed array, cut at its end. */
void mob_copy(char *ret, size_t size, const char *text);

#define mob_new(type) ((type *)mob_alloc(sizeof(type)))
#define MOB_CONTAINER(p, type, member) ((type *)((char *)(p) - offsetof(type, member)))
#define MOB_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
