/* SPDX-License-Identifier: Apache-2.0 */
/* tally.h -- what the examples share: the clock, who ran how many tasks, and the table at the end. */
#ifndef TALLY_H
#define TALLY_H

#include <mobula.h>

struct tally {
    char hosts[64][64];
    int tasks[64], count;
};

double seconds_now(void);

/* Common options: --quick (a small size, for tests), --size=N (samples, terms, MiB), --address=A. Returns the size to use; others are refused by name (exit 2). */
int example_options(int argc, char **argv, int usual, int quick, struct mob_init_options *ret);

/* Where the running task is: into a result. */
void tally_here(const struct mob_task *t, char host[64]);
void tally_add(struct tally *y, const char *host);
void tally_merge(struct tally *y, const struct tally *more);

/* CPUs of the cluster, and cores of this machine. */
int cluster_cpus(void);

/* "serial 2.00 s, distributed 1.02 s: 1.96 times (2 cores here, 16 CPUs asked)", and the tasks by host. */
void tally_print(const struct tally *y, double serial, double distributed, int cpus);

/* Print and end with 1. */
void fail(const char *who, const struct mob_error *err) __attribute__((noreturn));

#endif
