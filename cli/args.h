/* SPDX-License-Identifier: Apache-2.0 */
/* args.h -- the words after a verb: "--name value", "--name=value", "-n value", flags, and operands. */
#ifndef MOB_CLI_ARGS_H
#define MOB_CLI_ARGS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

struct option {
    const char *name;                   /* without "--"; of one letter: without "-" */
    const char *value;                  /* what to call its value in the help; NULL: a flag */
    const char *help;
};

struct args;
struct verb {
    const char *name;
    const char *operand;                /* "[PATTERN]"; NULL: takes none */
    const char *help;                   /* one line; more lines are for its own --help alone */
    const struct option *options;       /* ends with a NULL name */
    int (*run)(const struct args *a);   /* exit code */
};

/* Parses for `verb`, or prints what is wrong (exit code 2) or the help (0): then -1 and *ret_exit. Values are borrowed from argv. */
int args_parse(struct args **ret, const struct verb *verb, int argc, char **argv, int *ret_exit);
void args_destroy(struct args *a);

bool args_flag(const struct args *a, const char *name);
const char *args_text(const struct args *a, const char *name);          /* NULL: not given */
int args_number(const struct args *a, const char *name, int64_t least, int64_t most, int64_t *ret /* kept if not given */,
                struct mob_error *err);
int args_bytes(const struct args *a, const char *name, int64_t least, int64_t most, int64_t *ret /* the same */, struct mob_error *err);
const char *args_operand(const struct args *a);                         /* NULL: none */

/* Print "mobula: <text>" and return 1, the exit code of what failed. */
int args_failed(const struct mob_error *err);

#endif
