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

/* Common options: --quick (a small size, for tests), --size=N (samples, terms, MiB), --address=A. Returns the size to use; others are
 * refused by name (exit 2). */
int example_options(int argc, char **argv, int usual, int quick, struct mob_init_options *ret);

/* Where the running task is: into a result. */
void tally_here(const struct mob_task *t, char host[64]);
void tally_add(struct tally *y, const char *host);
void tally_merge(struct tally *y, const struct tally *more);

int cluster_cpus(void);
/* Have a worker started for each CPU, so that what is timed next is the work. Prints how long that took. */
void cluster_warm(int cpus);

/* Both times, their ratio beside what is possible (the CPUs of the cluster, but no more than this machine has cores), tasks by
 * host. A serial run of 0 seconds was left out. */
void tally_print(const struct tally *y, double serial, double distributed, int cpus);
void tally_print_hosts(const struct tally *y);

/* Print and end with 1. */
void fail(const char *who, const struct mob_error *err) __attribute__((noreturn));

#endif
