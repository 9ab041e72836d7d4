/* SPDX-License-Identifier: Apache-2.0 */
/* program.h -- the worker programs of this node, by content: those of its drivers, and those fetched from other nodes. */
#ifndef MOB_RAYLET_PROGRAM_H
#define MOB_RAYLET_PROGRAM_H

#include "common/error.h"
#include "common/id.h"
#include "common/list.h"

struct mob_bundle;
struct mob_shell;
struct mob_programs;

struct mob_programs *mob_programs_create(struct mob_shell *shell);

/* Find what lies beside the program that `fd` (taken over) has open, and hash it all, in the thread pool; a file seen before (device,
 * inode, size, times) is not read again. done() comes later, once: the bundle is its own; NULL: it failed. */
void mob_program_hash(struct mob_programs *p, int fd, void (*done)(void *arg, struct mob_bundle *bundle, const struct mob_error *err),
                      void *arg);

/* A driver has this program open: takes over the bundle. Counted: each is taken back by one mob_program_forget(). */
void mob_program_keep(struct mob_programs *p, struct mob_bundle *bundle, const char *path);
void mob_program_forget(struct mob_programs *p, const struct mob_hash *hash);

/* Wait until the program can be started here. ready() is called once, perhaps before need() returns: with what to exec, and the name to
 * show; or with an error. The waiter is the caller's again from then on, or after mob_program_cancel(). */
struct mob_program_file {
    const char *path;                   /* NULL: execute `fd` */
    int fd;
    const char *name;
};
struct mob_program_waiter {
    struct mob_link link;
    void (*ready)(struct mob_program_waiter *w, const struct mob_program_file *file, const struct mob_error *err);
};
void mob_program_need(struct mob_programs *p, const struct mob_hash *hash, uint32_t node, struct mob_program_waiter *w);
void mob_program_cancel(struct mob_program_waiter *w);

/* Fetched ones that are being examined just now, each by a child process of a thread's. */
unsigned mob_programs_checking(const struct mob_programs *p);

/* For another node, a driver's program, its manifest, or a library beside it: an open descriptor (the caller's), or -1. */
int mob_program_open(struct mob_programs *p, const struct mob_hash *hash, struct mob_error *err);

#endif
