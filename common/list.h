/* SPDX-License-Identifier: Apache-2.0 */
/* list.h -- a ring of links inside their owners. An empty list and a link in no list point to themselves. */
#ifndef MOB_COMMON_LIST_H
#define MOB_COMMON_LIST_H

#include <stdbool.h>

#include "common/mem.h"

struct mob_link {
    struct mob_link *next, *prev;
};

static inline void mob_list_init(struct mob_link *l)
{
    l->next = l->prev = l;
}

static inline bool mob_list_empty(const struct mob_link *l)
{
    return l->next == l;
}

/* Take a link out of the list it is in, if any. */
static inline void mob_list_remove(struct mob_link *l)
{
    l->prev->next = l->next;
    l->next->prev = l->prev;
    mob_list_init(l);
}

static inline void mob_list_append(struct mob_link *list, struct mob_link *l)
{
    l->prev = list->prev;
    l->next = list;
    list->prev->next = l;
    list->prev = l;
}

static inline void mob_list_prepend(struct mob_link *list, struct mob_link *l)
{
    mob_list_append(list->next, l);
}

#define mob_list_first(list, type, member) MOB_CONTAINER((list)->next, type, member)
/* The body may remove (and free) `item`. */
#define mob_list_each(item, list, type, member)                                                      \
    for (struct mob_link *mob_l_ = (list)->next, *mob_n_ = mob_l_->next;                             \
         mob_l_ != (list) && ((item) = MOB_CONTAINER(mob_l_, type, member), 1);                      \
         mob_l_ = mob_n_, mob_n_ = mob_l_->next)

#endif
