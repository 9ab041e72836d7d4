/* SPDX-License-Identifier: Apache-2.0 */
/* played_core.h -- for tests of a raylet's shell with real processes: the core, the store and the programs that it has to do with. */
#ifndef MOB_TESTS_PLAYED_CORE_H
#define MOB_TESTS_PLAYED_CORE_H

#include "raylet/fork.h"
#include "raylet/resident.h"
#include "raylet/stream.h"

struct played_core {
    const char *program;                /* the only one; NULL: it does not come */
    void (*drain)(void);                /* a dead worker's last frames are read; NULL: there are none */
    struct mob_stream_tag tag;          /* of each stream */
    unsigned exits, prepared;
    uint32_t exited;                    /* the last process */
    char told[4096];                    /* what drivers were told */
};
extern struct played_core played;

/* Its loop, ticker, logs and templates. */
void played_shell_open(struct mob_shell *shell, int64_t (*tick)(void *arg), const char *folder);

#endif
