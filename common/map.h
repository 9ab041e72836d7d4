/* SPDX-License-Identifier: Apache-2.0 */
/* map.h -- uint64_t keys to pointers, open addressing. For keys of more bytes, hash them and chain the values by a link. */
#ifndef MOB_COMMON_MAP_H
#define MOB_COMMON_MAP_H

#include <stddef.h>
#include <stdint.h>

struct mob_map {
    struct mob_map_slot { uint64_t key; void *value; } *slots;  /* value NULL: free */
    size_t capacity, count;
    size_t used;                                        /* count, and marks of removed ones */
};

void mob_map_fini(struct mob_map *m);                   /* a zeroed map is a map; values are the caller's */
void *mob_map_get(const struct mob_map *m, uint64_t key);
void mob_map_set(struct mob_map *m, uint64_t key, void *value);         /* value not NULL; replaces */
void *mob_map_remove(struct mob_map *m, uint64_t key);  /* the value, or NULL */
/* Walk: start with *at = 0; the value or NULL at the end. Removing the current key during a walk is allowed, adding is not. */
void *mob_map_next(const struct mob_map *m, size_t *at, uint64_t *ret_key);

#endif
