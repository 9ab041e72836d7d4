/* SPDX-License-Identifier: Apache-2.0 */
/* kind.c -- kinds are kept until the owner ends, at most KINDS_MAX; names beyond are one. */
#include "worker/kind.h"

#include <stdlib.h>
#include <string.h>

#include "worker/core.h"

#define KINDS_MAX 16384u

static struct kind *find(const struct kinds *kinds, uint64_t hash, uint64_t function, const char *name)
{
    struct kind *k = mob_map_get(&kinds->by_hash, hash);

    while (k != NULL && (k->function != function || strcmp(k->text, name) != 0))
        k = k->next;
    return k;
}

static struct kind *create(struct mob_owner *o, uint64_t hash, uint64_t function, const char *name)
{
    struct kind *k = mob_new(struct kind);

    *k = (struct kind){ .function = function, .name = mob_name_hash(name), .next = mob_map_get(&o->kinds.by_hash, hash),
                        .text = mob_strdup(name) };
    mob_map_set(&o->kinds.by_hash, hash, k);
    mob_owner_event_name(o, k);
    return k;
}

struct kind *mob_owner_kind(struct mob_owner *o, uint64_t function, const char *name)
{
    struct kind **recent = &o->kinds.recent[function % KINDS_RECENT];

    if (name == NULL)
        name = "";
    if (*recent != NULL && (*recent)->function == function && strcmp((*recent)->text, name) == 0)
        return *recent;
    if (o->kinds.by_hash.count >= KINDS_MAX)
        name = "(one of many names)";
    uint64_t hash = function * 31 + mob_name_hash(name);
    struct kind *k = find(&o->kinds, hash, function, name);

    return *recent = k != NULL ? k : create(o, hash, function, name);
}

void mob_owner_kinds_name(struct mob_owner *o)
{
    const struct kind *k;

    for (size_t at = 0; (k = mob_map_next(&o->kinds.by_hash, &at, NULL)) != NULL;)
        for (; k != NULL; k = k->next)
            mob_owner_event_name(o, k);
}

void mob_owner_kinds_fini(struct mob_owner *o)
{
    struct kind *k, *next;
    size_t at = 0;

    while ((k = mob_map_next(&o->kinds.by_hash, &at, NULL)) != NULL)
        for (; k != NULL; k = next) {
            next = k->next;
            free(k->text);
            free(k);
        }
    mob_map_fini(&o->kinds.by_hash);
}
