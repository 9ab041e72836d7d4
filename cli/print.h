/* SPDX-License-Identifier: Apache-2.0 */
/* print.h -- JSON rows as a table for people. */
#ifndef MOB_CLI_PRINT_H
#define MOB_CLI_PRINT_H

#include <jansson.h>
#include <stddef.h>

/* "3", "0.5", and for memory "1.5GiB". */
void print_amount(const char *resource, double amount, char *ret, size_t size);

/* One line a row, a column for each name (NULL at the end), as wide as its widest value. A member that is absent is "-". */
void print_table(json_t *rows, const char *const *columns);

/* Tasks: times as this machine's clock shows them, the error as its code and first words. */
void print_task_table(json_t *tasks);

/* Nodes, with columns made of their resources: cpu and gpu as used/total, store as used/size. */
void print_node_table(json_t *nodes, const char *const *columns);

#endif
