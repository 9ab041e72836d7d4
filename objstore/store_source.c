/* SPDX-License-Identifier: Apache-2.0 */
/* store_source.c -- whom a pull may ask: the nodes that Fetch named, that its owner named, and that others referred it to. */
#include <stdio.h>

#include "objstore/store_private.h"

#define TRIES_MAX 2                     /* of one node */
#define SEEK_NS INT64_C(5000000000)
#define REST_NS INT64_C(300000000)      /* a raylet that was killed is known to be dead by then */

struct pull_source *mob_source_of(struct pull *p, uint32_t node)
{
    for (unsigned i = 0; i < p->source_count; i++)
        if (p->sources[i].node == node)
            return &p->sources[i];
    return NULL;
}

/* NULL: there are too many, or it is this node. */
struct pull_source *mob_source_add(struct pull *p, uint32_t node, bool referred)
{
    struct pull_source *known = mob_source_of(p, node);

    if (known != NULL || node == p->store->config.node || p->source_count == PULL_SOURCES_MAX)
        return known;
    known = &p->sources[p->source_count++];
    *known = (struct pull_source){ .node = node, .referred = referred };
    return known;
}

/* The node with the fewest failures; of those, the one named first. */
bool mob_source_choose(struct pull *p)
{
    p->round++;
    for (unsigned i = 0; i < p->source_count; i++) {
        struct pull_source *source = &p->sources[i];

        if (!source->out && (p->from == NULL || source->tries < p->from->tries))
            p->from = source;
    }
    if (p->from == NULL)
        return false;
    if (!p->from->referred && p->root != p->from->node) {
        p->root = p->from->node;
        p->position = 0;
        p->placed = p->direct = false;
        p->failed = p->referrals = 0;
    }
    return true;
}

void mob_source_fail(struct pull *p, struct pull_source *source, const struct mob_error *why, bool final)
{
    source->why = *why;
    source->tries++;
    source->out = final || source->referred || source->tries >= TRIES_MAX;
    source->rests = !source->out && why->code == MOB_ERR_UNREACHABLE;
    if (source != p->from)
        return;
    p->failed = source->referred ? source->node : 0;
    p->from = NULL;
    mob_list_remove(&p->link);
}

enum mob_reach mob_source_reach(const struct pull *p)
{
    const struct mob_store_config *c = &p->store->config;
    enum mob_reach reach = c->reach != NULL ? c->reach(c->arg, p->from->node) : MOB_REACH_UP;

    return reach == MOB_REACH_UP && p->from->rests ? MOB_REACH_NOT_YET : reach;
}

void mob_source_await(struct pull *p, int64_t now_ns)
{
    struct mob_error why;

    if (p->since == 0)
        p->since = now_ns;
    if (p->from == NULL)
        return;
    if (now_ns - p->since >= REST_NS)
        p->from->rests = false;
    if (now_ns - p->since >= SEEK_NS) {
        mob_error_set(&why, MOB_ERR_NODE_DIED, "it was not heard of in %d s", (int)(SEEK_NS / 1000000000));
        mob_source_fail(p, p->from, &why, true);
    }
}

/* What each node said. The code is that of the first, which the owner named. */
void mob_source_sum_up(struct pull *p)
{
    char name[MOB_OBJECT_NAME_SIZE], all[sizeof p->why.text - 120];
    size_t length = 0;

    all[0] = '\0';
    for (unsigned i = 0; i < p->source_count && length < sizeof all; i++)
        length += (size_t)snprintf(all + length, sizeof all - length, "%snode %u: %s", i > 0 ? "; " : "", p->sources[i].node,
                                   p->sources[i].why.text);
    mob_error_set(&p->why, p->source_count > 0 ? p->sources[0].why.code : MOB_ERR_OBJECT_LOST, "%s cannot be brought here: %s",
                  mob_object_id_name(&p->id, name), p->source_count > 0 ? all : "nobody is known to have it");
    if (p->source_count > 0)
        mob_copy(p->why.node, sizeof p->why.node, p->sources[0].why.node);
    p->ends = true;
}

bool mob_source_none_left(const struct pull *p)
{
    for (unsigned i = 0; i < p->source_count; i++)
        if (!p->sources[i].out)
            return false;
    return true;
}
