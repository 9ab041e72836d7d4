/* SPDX-License-Identifier: Apache-2.0 */
/* holder.h -- who has a port that we wanted. */
#ifndef MOB_COMMON_HOLDER_H
#define MOB_COMMON_HOLDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "mobula-head (pid 4711)" into text; where we may not look at the process: "a process of user nobody (65534)". False: nobody
 * listens there, neither at this address nor at all of them. */
bool mob_holder_of_port(const char *ip, uint32_t port, char *text, size_t size);

struct mob_holder {
    uint64_t inode;                     /* of its socket */
    uint32_t uid;
};

/* The part that reads a line of /proc/net/tcp or tcp6: true if it listens where listening on ip and port is in its way. */
bool mob_holder_parse(const char *line, const char *ip, uint32_t port, struct mob_holder *ret);

#endif
