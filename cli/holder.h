/* SPDX-License-Identifier: Apache-2.0 */
/* holder.h -- which process has a port that we wanted. */
#ifndef MOB_CLI_HOLDER_H
#define MOB_CLI_HOLDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "mobula-head (pid 4711)" into text. False: nobody listens there, or it is another user's process that we may not look at. */
bool holder_of_port(uint32_t port, char *text, size_t size);

/* The part that reads a line of /proc/net/tcp or tcp6: true if it listens on `port`. */
bool holder_parse(const char *line, uint32_t port, uint64_t *ret_inode);

#endif
