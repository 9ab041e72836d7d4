/* SPDX-License-Identifier: Apache-2.0 */
/* resources.h -- amounts of named resources in units of 1/10,000, labels, and the shape of a lease. Plain values, copied by '='.
 * Source of the fixed point and its limits: Ray's (FixedPoint, 1/10,000). */
#ifndef MOB_COMMON_RESOURCES_H
#define MOB_COMMON_RESOURCES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/id.h"

#define MOB_UNITS INT64_C(10000)        /* 1.0 */
#define MOB_AMOUNT_MAX INT64_C(100000000000000)         /* 1e14, not in units: of one name */
#define MOB_RESOURCES_MAX 24            /* names in one vector */
#define MOB_RESOURCE_NAME_SIZE 48
#define MOB_LABELS_MAX 16
#define MOB_LABEL_SIZE 64               /* of a key, and of a node's value */
#define MOB_CONDITION_SIZE 192

struct mob_resource {
    char name[MOB_RESOURCE_NAME_SIZE];
    int64_t units;
};

/* Sorted by name; a name that is absent is 0. */
struct mob_resources {
    uint32_t count;
    struct mob_resource of[MOB_RESOURCES_MAX];
};

/* Of a node: its value. Of an ask the condition that the node's must meet: "ssd", "!ssd", "in(ssd,nvme)" or "!in(ssd,nvme)". */
struct mob_label {
    char key[MOB_LABEL_SIZE], value[MOB_CONDITION_SIZE];
};

struct mob_labels {
    uint32_t count;
    struct mob_label of[MOB_LABELS_MAX];
};

enum mob_strategy { MOB_HYBRID, MOB_SPREAD, MOB_NODE, MOB_NODE_SOFT };  /* as in common.proto */
/* "hybrid", "spread", "node", "node~", as answers in JSON call them; and back: HYBRID for what is none of them, or NULL. */
const char *mob_strategy_name(enum mob_strategy strategy);
enum mob_strategy mob_strategy_named(const char *name);

struct mob_shape {
    struct mob_resources resources;
    struct mob_labels labels;
    enum mob_strategy strategy;
    uint32_t node;                      /* of MOB_NODE, MOB_NODE_SOFT */
    struct mob_hash executable;
    struct mob_address job;
    uint32_t executable_node;
};

int64_t mob_resources_get(const struct mob_resources *r, const char *name);
/* Set (0 removes). -1 if the vector is full. */
int mob_resources_set(struct mob_resources *r, const char *name, int64_t units);
bool mob_resources_fit(const struct mob_resources *free, const struct mob_resources *ask);      /* free >= ask in each */
void mob_resources_add(struct mob_resources *r, const struct mob_resources *more);              /* keeps names at 0; drops a 25th */
void mob_resources_subtract(struct mob_resources *r, const struct mob_resources *less);         /* may go below 0 */
bool mob_resources_eq(const struct mob_resources *a, const struct mob_resources *b);
bool mob_shape_eq(const struct mob_shape *a, const struct mob_shape *b);
/* The node's value of that key; NULL: it has none. */
const char *mob_labels_get(const struct mob_labels *node, const char *key);
/* Does the node meet this one? Who has no such label meets a "!" alone. Any text is a condition: one that is none of the forms a value. */
bool mob_label_met(const struct mob_labels *node, const struct mob_label *asked);
bool mob_labels_match(const struct mob_labels *node, const struct mob_labels *asked);           /* all of them? */

/* "CPU=0.5,GPU=1,memory=2GiB,licence=3". Refuses by name: negative, NaN, infinite, finer than 0.0001, over 1e14, unknown suffix,
 * names that repeat or are too long, GPU above 1 that is not whole. Suffixes KiB MiB GiB TiB K M G T only for memory and
 * object_store_memory. Errors MOB_ERR_INVALID. */
int mob_resources_parse(const char *text, struct mob_resources *ret, struct mob_error *err);
/* The same from a JSON object {"licence": 3}; CPU and GPU in it are refused with Ray's sentence ("use --num-cpus and --num-gpus"). */
int mob_resources_parse_json(const char *text, struct mob_resources *ret, struct mob_error *err);
int mob_labels_parse(const char *text, struct mob_labels *ret, struct mob_error *err);          /* "a=b,c=d", of a node */
int mob_conditions_parse(const char *text, struct mob_labels *ret, struct mob_error *err);      /* "a=b,c=!d,e=in(f,g)", of an ask */
/* "64MiB", "2G" or "65536" as whole bytes, from least to most. `name` is what errors call it. */
int mob_bytes_parse(const char *name, const char *text, int64_t least, int64_t most, int64_t *ret, struct mob_error *err);
/* "CPU=0.5,GPU=1"; memory in bytes with a binary suffix. Returns text. */
const char *mob_resources_print(const struct mob_resources *r, char *text, size_t size);

#endif
