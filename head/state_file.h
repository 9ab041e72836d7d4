/* SPDX-License-Identifier: Apache-2.0 */
/* state_file.h -- the rows that a head keeps (head/state.c), in one SQLite file. One thread. */
#ifndef MOB_HEAD_STATE_FILE_H
#define MOB_HEAD_STATE_FILE_H

#include <stdbool.h>

#include "head/head.h"

struct state_file;

/* Open it, or begin one for a new cluster; then this start is noted. What heads before this one have kept goes to `h` by
 * mob_state_file_load(). MOB_ERR_INVALID: it is damaged, altered or of another version, and is left as it is; MOB_ERR_DENIED: another
 * head uses it. */
struct state_file *mob_state_file_open(const char *path, struct mob_error *err);
void mob_state_file_close(struct state_file *f);
/* The same, and the cluster is over: nothing is left of it. */
void mob_state_file_remove(struct state_file *f);

const uint8_t *mob_state_file_cluster(const struct state_file *f);      /* 16 bytes */
uint64_t mob_state_file_generation(const struct state_file *f);         /* 1: the cluster's first head */
int mob_state_file_load(const struct state_file *f, struct mob_head *h, struct mob_error *err);

/* mob_head_config.keep. A file that was removed meanwhile is written anew. */
int mob_state_file_keep(struct state_file *f, enum mob_head_row kind, uint64_t key, const void *bytes, size_t size, struct mob_error *err);

#endif
