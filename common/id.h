/* SPDX-License-Identifier: Apache-2.0 */
/* id.h -- who is who. Numbers are never used twice in the life of a cluster. */
#ifndef MOB_COMMON_ID_H
#define MOB_COMMON_ID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A process: process 0 is the node's raylet, node 0 the head. */
struct mob_address {
    uint32_t node, process;
};

/* An object is named by its owner's address, the owner's task that made it, and the index of the return. */
struct mob_object_id {
    uint64_t cluster;
    uint32_t node, process;
    uint64_t task;
    uint32_t index, zero;
};

#define MOB_HASH_SIZE 32        /* SHA-256 */
struct mob_hash {
    uint8_t bytes[MOB_HASH_SIZE];
};

static inline bool mob_address_eq(struct mob_address a, struct mob_address b)
{
    return a.node == b.node && a.process == b.process;
}

static inline uint64_t mob_address_key(struct mob_address a)
{
    return (uint64_t)a.node << 32 | a.process;
}

static inline bool mob_object_id_eq(const struct mob_object_id *a, const struct mob_object_id *b)
{
    return a->task == b->task && a->index == b->index && a->process == b->process && a->node == b->node
        && a->cluster == b->cluster;
}

uint64_t mob_object_id_hash(const struct mob_object_id *id);

#define MOB_OBJECT_NAME_SIZE 80
/* "o-2.5-117.0" (node.process-task.index) into text; returns it. */
const char *mob_object_id_name(const struct mob_object_id *id, char text[MOB_OBJECT_NAME_SIZE]);

/* "t-2.5-117" (node.process-task), a task as people know it, into text; returns it. */
const char *mob_task_name(struct mob_address owner, uint64_t task, char text[MOB_OBJECT_NAME_SIZE]);
/* The task of such a name, or of an object's: the one that makes it. False: it is no name. */
bool mob_task_parse(const char *text, struct mob_address *ret_owner, uint64_t *ret_task);

/* 64-bit FNV-1a: goes on with `hash`, which is at first MOB_FNV_START. */
#define MOB_FNV_START UINT64_C(0xcbf29ce484222325)
uint64_t mob_fnv(uint64_t hash, const void *bytes, size_t size);
/* Names of functions on the wire, by FNV-1a. Two registered names that collide end the program at start. */
uint64_t mob_name_hash(const char *name);

#endif
