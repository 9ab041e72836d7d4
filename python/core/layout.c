/* SPDX-License-Identifier: Apache-2.0 */
/* layout.c -- reading a value's bytes, whoever wrote them: nothing that is told lies outside of them. */
#include "layout.h"

#include <string.h>

bool value_layout_read(struct value_layout *l, const void *data, size_t size)
{
    size_t left = size;

    if (left < sizeof l->head)
        return false;
    memcpy(&l->head, data, sizeof l->head);
    left -= sizeof l->head;
    if (l->head.kind > VALUE_CALL || l->head.buffers > left / sizeof(uint64_t))
        return false;
    left -= l->head.buffers * sizeof(uint64_t);
    if (l->head.pickle_size > left)
        return false;
    l->size = size;
    l->told = 0;
    l->at = value_layout_pickle(l) + l->head.pickle_size;
    return true;
}

size_t value_layout_pickle(const struct value_layout *l)
{
    return sizeof l->head + l->head.buffers * sizeof(uint64_t);
}

bool value_layout_next(struct value_layout *l, const void *data, size_t *ret_at, size_t *ret_size)
{
    size_t at = value_aligned(l->at);
    uint64_t size;

    if (l->told == l->head.buffers)
        return false;
    memcpy(&size, (const char *)data + sizeof l->head + l->told * sizeof size, sizeof size);
    if (at < l->at || at > l->size || size > l->size - at)
        return false;
    l->told++;
    l->at = at + size;
    *ret_at = at;
    *ret_size = size;
    return true;
}
