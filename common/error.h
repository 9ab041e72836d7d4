/* SPDX-License-Identifier: Apache-2.0 */
/* error.h -- the one error form of Mobula (struct mob_error of mobula.h) inside the project. */
#ifndef MOB_COMMON_ERROR_H
#define MOB_COMMON_ERROR_H

#include "mobula.h"

/* Fill *err (may be NULL) and return -1. The text is one sentence that says what to do. */
int mob_error_set(struct mob_error *err, enum mob_code code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The same for a failed system call: appends ": strerror(errno)". Code MOB_ERR_SYSTEM. */
int mob_error_errno(struct mob_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define MOB_CODE_LAST MOB_ERR_OUT_OF_MEMORY     /* of enum mob_code: what a peer may say */

/* "MOB_ERR_TIMEOUT" ... for logs and JSON. */
const char *mob_code_name(int code);
/* "crash", "kernel memory" ... */
const char *mob_killed_by_word(int killed_by);

#endif
