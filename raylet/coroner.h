/* SPDX-License-Identifier: Apache-2.0 */
/* coroner.h -- what the kernel knows of a process's end besides its status: a core dump, and whether it was killed for want of memory. */
#ifndef MOB_RAYLET_CORONER_H
#define MOB_RAYLET_CORONER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct mob_coroner {
    char *counter;                      /* the file that counts the kernel's kills; NULL: there is none */
    uint64_t kills;                     /* of that: accounted for, or too long ago */
    uint64_t seen;                      /* at the last look */
    int64_t looked_ns;
};

/* Processes of our own control group are looked after. `root` is put before /proc and /sys: "" but in tests. */
void mob_coroner_init(struct mob_coroner *c, const char *root);
void mob_coroner_fini(struct mob_coroner *c);
/* What was killed before the last look, a second ago or more, was none of ours. Call it often. */
void mob_coroner_look(struct mob_coroner *c, int64_t now_ns);
/* A process of ours died of a SIGKILL that we did not send: has the kernel killed one more than it was asked for? */
bool mob_coroner_out_of_memory(struct mob_coroner *c);

/* A process of ours dumped its core: the newest file that can be it; or "|program" that got it; or the name alone, where it was written
 * to a working directory that nobody knows. What cannot be known stands as "*" there. */
void mob_coroner_core(const char *root, pid_t pid, int signal, char *ret, size_t size);

#endif
