/* SPDX-License-Identifier: Apache-2.0 */
/* id.c -- names and hashes of ids. */
#include "common/id.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The finalizer of MurmurHash3: each bit of the input moves each bit of the output. */
static uint64_t mix(uint64_t x)
{
    x ^= x >> 33;
    x *= UINT64_C(0xff51afd7ed558ccd);
    x ^= x >> 33;
    x *= UINT64_C(0xc4ceb9fe1a85ec53);
    x ^= x >> 33;
    return x;
}

uint64_t mob_object_id_hash(const struct mob_object_id *id)
{
    uint64_t owner = (uint64_t)id->node << 32 | id->process;

    return mix(mix(mix(id->cluster ^ owner) + id->task) + id->index);
}

const char *mob_object_id_name(const struct mob_object_id *id, char text[MOB_OBJECT_NAME_SIZE])
{
    snprintf(text, MOB_OBJECT_NAME_SIZE, "o-%" PRIu32 ".%" PRIu32 "-%" PRIu64 ".%" PRIu32, id->node, id->process, id->task,
             id->index);
    return text;
}

const char *mob_task_name(struct mob_address owner, uint64_t task, char text[MOB_OBJECT_NAME_SIZE])
{
    snprintf(text, MOB_OBJECT_NAME_SIZE, "t-%" PRIu32 ".%" PRIu32 "-%" PRIu64, owner.node, owner.process, task);
    return text;
}

bool mob_task_parse(const char *text, struct mob_address *ret_owner, uint64_t *ret_task)
{
    struct mob_object_id id = { 0 };
    char name[MOB_OBJECT_NAME_SIZE];

    if (sscanf(text, "t-%" SCNu32 ".%" SCNu32 "-%" SCNu64, &id.node, &id.process, &id.task) == 3)
        mob_task_name((struct mob_address){ id.node, id.process }, id.task, name);
    else if (sscanf(text, "o-%" SCNu32 ".%" SCNu32 "-%" SCNu64 ".%" SCNu32, &id.node, &id.process, &id.task, &id.index) == 4)
        mob_object_id_name(&id, name);
    else
        return false;
    *ret_owner = (struct mob_address){ id.node, id.process };
    *ret_task = id.task;
    return strcmp(text, name) == 0;
}

uint64_t mob_fnv(uint64_t hash, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;

    for (size_t i = 0; i < size; i++)
        hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
    return hash;
}

uint64_t mob_name_hash(const char *name)
{
    return mob_fnv(MOB_FNV_START, name, strlen(name));
}
