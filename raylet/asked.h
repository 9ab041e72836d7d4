/* SPDX-License-Identifier: Apache-2.0 */
/* asked.h -- a program that is started to say something, and is read by a thread of its own. */
#ifndef MOB_RAYLET_ASKED_H
#define MOB_RAYLET_ASKED_H

#include <sys/types.h>

#include "common/error.h"

/* Start argv[0], a path, in a process group of its own, with no input. *ret_out is the caller's to close: what it writes, errors, too. The
 * process is the caller's to wait for; the loop may have reaped it already. -1: it does not start, and *err. */
pid_t mob_asked_start(char *const argv[], char *const environment[], int *ret_out, struct mob_error *err);

#endif
