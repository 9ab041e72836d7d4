/* SPDX-License-Identifier: Apache-2.0 */
/* stores.h -- nodes with object stores, and programs that use them.
 *
 *   stores.c   what the shell does for a store: answers, transfers between nodes
 *   disks.c    its disk, in memory
 *   values.c   a process's calls to its store, and what the bytes of a value must be
 *   refs.c     what a process of the job does (refs.h): it puts, calls, gets, cancels, keeps references, hands them on
 */
#ifndef MOB_TESTS_SIM_STORES_H
#define MOB_TESTS_SIM_STORES_H

#include "objstore/client.h"
#include "sim.h"

/* -- stores.c, disks.c ----------------------------------------------------------------------------------------------------- */

/* A raylet's store and what is under way for it. Memory of the store stays until the sim ends, as mapped files do. */
struct shelf {
    struct raylet *raylet;
    struct mob_store *store;
    struct mob_link parked;             /* struct transfer: asked for, but not there yet */
    struct mob_link jobs, records;      /* disks.c */
    int64_t disk_at, full_until;
};

struct shelf *shelf_create(struct raylet *r, uint64_t bytes);
void shelf_cut(struct shelf *h);        /* all that is under way to and from it breaks */
void shelves_cut_across(struct sim *s, int64_t delay);   /* what crosses a cut ends after that */
bool shelf_lose(struct shelf *h);       /* an object, if it has any */
void shelf_die(struct shelf *h);        /* its raylet is gone, and what was under way with it */
void shelf_free(struct shelf *h);
void shelf_welcome(struct process *p);  /* said Hello: it becomes a client */
void shelf_gone(struct process *p);     /* its socket was read to the end */
/* Nothing is left in it; but, while its job runs, copies of what an owner had that is dead, or that it never
 * heard of because a link broke: they go when room is needed. */
void shelf_check_empty(const struct raylet *r, bool of_jobs_that_run);
void shelf_say(const struct raylet *r); /* what is in it, for who looks for what does not end */

void disk_do(struct shelf *h, struct mob_disk_job *job);
void disk_die(struct shelf *h);

/* -- values.c -------------------------------------------------------------------------------------------------------------- */

struct room {
    struct mob_object_id id;
    uint64_t size;
    uint32_t attempt;
    uint32_t entry;
    int64_t asked;                      /* when */
    unsigned char *data;                /* NULL: refused, why */
    struct mob_error why;
};

struct fetch {
    struct mob_object_id id;
    uint64_t size;
    uint32_t node, since, copies[MOB_COPIES_SAID], copy_count, slot;
    const unsigned char *data;          /* NULL: failed, why */
    struct mob_packed packed;
    struct mob_error why;
    unsigned tries;
};

/* A process's side of its store: one Create and one Fetch at a time. */
struct desk {
    struct process *process;
    struct mob_store_client *client;
    struct room *room;                  /* asked for */
    struct fetch *fetch;
    void (*done)(struct event *e);      /* then this event comes, with the process as its argument */
    struct { struct mob_object_id id; uint32_t entry, generation; } hints[32];
};

void desk_create(struct desk *d, struct room *room, void (*done)(struct event *e));
void desk_seal(struct desk *d, const struct room *room, bool abandon);
void desk_free(struct desk *d, const struct mob_object_id *id);
void desk_fetch(struct desk *d, struct fetch *f, void (*done)(struct event *e));
void desk_unpin(struct desk *d, const struct fetch *f);
void desk_receive(struct desk *d, const Mobula__Envelope *e);

/* The bytes of a value: of object `id` made by this attempt; or of no object that is known yet (NULL), by a seed. */
#define VALUE_MIN 24
void value_fill(void *data, size_t size, const struct mob_object_id *id, uint64_t attempt);
void value_check(const void *data, size_t size, const struct mob_object_id *id);

/* -- refs.h ---------------------------------------------------------------------------------------------------------------- */

void user_create(struct process *p);
void user_free(struct process *p);
void user_begin(struct process *p);     /* a driver's program */
/* It drops all that it keeps from task to task, soon and from now on. */
void user_let_go(struct process *p);
bool user_turn(struct process *p);      /* a worker's: claim and run. False: this process has none */
const struct mob_executor_lease *user_running(const struct process *p);
void user_say(const struct process *p); /* what it waits for */

#endif
