/* SPDX-License-Identifier: Apache-2.0 */
/* fold.h -- lines that several workers print are printed once, and counted: what a driver on a terminal shows of them. */
#ifndef MOB_WORKER_FOLD_H
#define MOB_WORKER_FOLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#define MOB_FOLD_REPEATS_MAX 4096       /* different lines that are looked out for */

struct mob_fold;

struct mob_fold_config {
    int64_t window_ns;                  /* the first of equal lines waits for none; those after it are told at most so much later */
    const char *keep, *skip;            /* extended regular expressions of lines that are never folded, or never printed; may be NULL */
    /* repeated: 0: the line itself; else it stands for so many */
    void (*print)(void *arg, bool error, const char *head, const char *line, size_t size, unsigned repeated);
    void *arg;
};

/* NULL: *err names the bad expression. */
struct mob_fold *mob_fold_create(const struct mob_fold_config *config, struct mob_error *err);
void mob_fold_destroy(struct mob_fold *f);              /* prints nothing more. NULL is fine */
/* source: the worker. head: at most 191 bytes. */
void mob_fold_line(struct mob_fold *f, int64_t now_ns, uint64_t source, bool error, const char *head, const char *line, size_t size);
/* Print what is due; at INT64_MAX all. */
void mob_fold_turn(struct mob_fold *f, int64_t now_ns);
/* When that is; INT64_MAX: nothing waits. */
int64_t mob_fold_due_ns(const struct mob_fold *f);

#endif
