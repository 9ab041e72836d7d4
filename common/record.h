/* SPDX-License-Identifier: Apache-2.0 */
/* record.h -- a running daemon, as a small JSON file in its session folder: who it is and where it can be reached. */
#ifndef MOB_COMMON_RECORD_H
#define MOB_COMMON_RECORD_H

#include "common/error.h"
#include "common/identity.h"

struct mob_daemon_record {
    char role[16];                      /* "head", "raylet" */
    struct mob_identity process;
    char cluster[33];                   /* hex */
    char ip[64];
    uint32_t port;
    char head[80];                      /* "ip:port" of the cluster's head */
    char socket[256];                   /* of a raylet, for local processes; "": of a head, or of one that joins again */
    bool is_private;                    /* a driver's own cluster */
};

/* Written beside and renamed: a reader sees all of it or the one before. Mode 0600. */
int mob_record_write(const char *path, const struct mob_daemon_record *record, struct mob_error *err);
/* MOB_ERR_UNREACHABLE: not there; MOB_ERR_INVALID: not a record. Says nothing of whether it still runs: mob_identity_alive(). */
int mob_record_read(const char *path, struct mob_daemon_record *ret, struct mob_error *err);

#endif
