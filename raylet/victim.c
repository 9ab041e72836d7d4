/* SPDX-License-Identifier: Apache-2.0 */
/* victim.c -- who is ended when memory is short. The classes are gone through in this order; the first one with a worker that has at
 * least VICTIM_WORTH bytes loses one:
 *
 *   IDLE        the largest
 *   BEYOND      the one furthest beyond what it asked for
 *   REPEATABLE  the newest of one group: that of the function whose workers have most memory together
 *   LAST        the same
 *
 * The newest has done least work, and however many are ended, the oldest of a group come to their end. A worker with less than half of
 * what its group has on the average is passed over: its end would bring too little.
 */
#include "raylet/victim.h"

#include <stdbool.h>

static uint64_t weight(const struct candidate *c)
{
    return c->class == VICTIM_BEYOND ? c->bytes - c->asked : c->bytes;
}

static size_t heaviest(const struct candidate *all, size_t count, enum victim_class class)
{
    size_t best = count;

    for (size_t i = 0; i < count; i++)
        if (all[i].class == class && all[i].bytes >= VICTIM_WORTH && (best == count || weight(&all[i]) > weight(&all[best])))
            best = i;
    return best;
}

struct group {
    uint64_t bytes, members;
};

static struct group group_of(const struct candidate *all, size_t count, const struct candidate *one)
{
    struct group g = { 0 };

    for (size_t i = 0; i < count; i++)
        if (all[i].class == one->class && all[i].group == one->group) {
            g.bytes += all[i].bytes;
            g.members++;
        }
    return g;
}

/* Each with each: some ms for 4,000 workers, and only when memory is short. */
static size_t newest_of_largest_group(const struct candidate *all, size_t count, enum victim_class class)
{
    struct group largest = { 0 };
    size_t of = count, best = count;

    for (size_t i = 0; i < count; i++) {
        struct group g = all[i].class == class && all[i].bytes >= VICTIM_WORTH ? group_of(all, count, &all[i]) : (struct group){ 0 };

        if (g.bytes <= largest.bytes)
            continue;
        largest = g;
        of = i;
    }
    for (size_t i = 0; of < count && i < count; i++) {
        bool is_worth_it = all[i].bytes >= VICTIM_WORTH && all[i].bytes >= largest.bytes / largest.members / 2;

        if (all[i].class == class && all[i].group == all[of].group && is_worth_it && (best == count || all[i].since > all[best].since))
            best = i;
    }
    return best;
}

size_t mob_victim_choose(const struct candidate *all, size_t count)
{
    static size_t (*const rules[VICTIM_CLASSES])(const struct candidate *all, size_t count, enum victim_class class) = {
        [VICTIM_IDLE] = heaviest, [VICTIM_BEYOND] = heaviest,
        [VICTIM_REPEATABLE] = newest_of_largest_group, [VICTIM_LAST] = newest_of_largest_group,
    };
    size_t chosen = count;

    for (enum victim_class class = 0; class < VICTIM_CLASSES && chosen == count; class++)
        chosen = rules[class](all, count, class);
    return chosen;
}
