/* SPDX-License-Identifier: Apache-2.0 */
/* options.h -- what a raylet was told to be, and what it finds out about its machine. */
#ifndef MOB_RAYLET_OPTIONS_H
#define MOB_RAYLET_OPTIONS_H

#include <stdbool.h>

#include "common/resources.h"
#include "common/sysinfo.h"

struct mob_raylet_options {
    char head_ip[64], ip[64];
    uint32_t head_port, port;
    const char *token_file;             /* NULL: the usual one */
    const char *resources_text;         /* of --resources; NULL: nothing was said */
    struct mob_resources resources;     /* complete after mob_options_complete() */
    struct mob_labels labels;
    uint32_t gpus[MOB_GPUS_MAX];        /* the indices behind GPU */
    size_t gpu_count;
    bool gpus_given;
    uint64_t store_bytes;
    uint64_t memory_limit;              /* of all workers; 0: none */
    uint64_t memory_reserve;            /* kept free: as mob_memory_reserve() takes it; 0: not watched */
    bool memory_strict;
    const char *spill_folder;           /* NULL: nothing was said */
    bool driver_only;
    int ready_fd, private_fd;           /* whose end ends the raylet; -1: none */
    bool in_front, is_private;          /* in front: private_fd is a `mobula start --block`, no driver */
};

/* MOB_ERR_INVALID: a sentence that names the flag. ready_fd is set even then, if it was given. */
int mob_options_parse(int argc, char **argv, struct mob_raylet_options *ret, struct mob_error *err);
/* Fill in what was not said: the address, CPU, GPU, memory, the size of the store, node:<ip>. */
int mob_options_complete(struct mob_raylet_options *o, const struct mob_sysinfo *machine, struct mob_error *err);

#endif
