/* SPDX-License-Identifier: Apache-2.0 */
/* store.h -- a node's object store, the server half, inside the raylet: arena, entries, who made what, pulls, spilling. Loop thread only.
 *
 * An entry's life: FREE -> CREATED (Create; or a pull or restore that starts) -> SEALED -> EVICTING -> FREE. An unsealed entry whose maker
 * dies is freed. Every decision is here; bytes move in the threads of objstore/bulk and objstore/disk, which the shell plugs in through
 * `pull`, range by range, and `disk`.
 *
 * When the arena is full: copies that are elsewhere, too, and objects that have been written to the disk go; the others, longest unused
 * first, are written to the disk; whoever asks for room waits; who would wait in vain gets a place on the disk, in the overflow behind the
 * arena (store_overflow.c); at last it is told what fills the store (store_wait.c).
 */
#ifndef MOB_OBJSTORE_STORE_H
#define MOB_OBJSTORE_STORE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"
#include "common/id.h"
#include "common/wire.h"
#include "objstore/range.h"

struct mob_store;
struct mob_store_meta;                  /* objstore/layout.h */
struct mob_pin_page;

/* Can a node be asked? NOT_YET: it is not known; it may be the news of it that is late. */
enum mob_reach { MOB_REACH_UP, MOB_REACH_NOT_YET, MOB_REACH_DEAD };

/* A range on its way here. The shell's from pull() to mob_store_pulled(). */
struct mob_flight {
    struct mob_range range;
    void *incoming;                     /* as config.incoming() said */
    struct pull *pull;                  /* the store's */
    unsigned round;
};

/* Files are numbered by the store; the first write to a number makes it. A file holds records (disk.h), one after the other. */
enum mob_disk_verb {
    MOB_DISK_WRITE,                     /* the pieces, from the arena */
    MOB_DISK_READ,                      /* the one piece, into the arena; its sum is checked */
    MOB_DISK_PUNCH,                     /* bytes [at, at + length) are needed no more */
    MOB_DISK_END,                       /* nor is the file */
    MOB_DISK_TOUCH,                     /* no file: bytes [at, at + length) of the arena will be written soon ... */
    MOB_DISK_GIVE_BACK,                 /* ... or not soon */
    MOB_DISK_RESERVE,                   /* nor here: bytes [at, at + length) of the overflow, counted from the arena on, get blocks ... */
    MOB_DISK_RELEASE,                   /* ... and give them back */
};

struct mob_disk_piece {
    struct mob_object_id id;
    uint64_t at;                        /* of the record, in the file */
    uint64_t offset, size;              /* of the bytes, in the arena */
};

struct mob_disk_job {
    enum mob_disk_verb verb;
    uint32_t file;
    uint64_t at, length;                /* in the file: all that is written, read or punched */
    size_t count;
    struct mob_disk_piece *pieces;      /* behind the job, in one allocation */
    struct mob_error err;               /* code MOB_OK: done */
};

struct mob_store_config {
    uint64_t bytes;                     /* how large people see it, and a value may be */
    uint64_t behind;                    /* more of the arena, for what stands behind a value as large as that (Create.behind) */
    uint64_t huge;                      /* bytes of huge pages that are reserved and free; the arena lies in them if that is enough */
    uint64_t overflow;                  /* behind it, once there is a file: mob_store_overflow(). 0: never */
    uint32_t node;                      /* set later with mob_store_set_node() */
    /* Answer to a client of this node (Created, Fetched). The envelope is borrowed. */
    void (*answer)(void *arg, uint32_t process, const Mobula__Envelope *e);
    /* Ask for a range; mob_store_pulled() follows, once, from the loop. */
    void (*pull)(void *arg, struct mob_flight *f);
    /* NULL, or: an object starts to come into [offset, offset + size) of the arena: what its flights and those who serve it work on; and
     * no more flights of it follow. */
    void *(*incoming)(void *arg, uint64_t offset, uint64_t size);
    void (*incoming_end)(void *arg, void *incoming);
    /* NULL: every node is UP; or, of another node: */
    enum mob_reach (*reach)(void *arg, uint32_t node);
    /* NULL, or: what is known of one that is DEAD, as an error NODE_DIED. */
    void (*mourn)(void *arg, uint32_t node, struct mob_error *ret_why);
    /* NULL, or: that node is dead; flights from there shall end now. */
    void (*forget)(void *arg, uint32_t node, const struct mob_error *why);
    /* NULL, or: nobody who is known has it. Ask its owner where it is; mob_store_sought() follows, once, from the loop. */
    void (*seek)(void *arg, const struct mob_object_id *id);
    /* NULL, or: after MOB_SERVE_LATER. err NULL: ask again now. */
    void (*restored)(void *arg, const struct mob_object_id *id, const struct mob_error *err);
    /* NULL, or: a message to an owner, here or elsewhere (Copies). `from` is to be filled in. */
    void (*tell)(void *arg, struct mob_address owner, const Mobula__Envelope *e);
    /* NULL, or: a pull has waited long for room; for a line in the log. */
    void (*waits)(void *arg, const struct mob_error *why);
    /* NULL, or: a client of this node sent what it must not (a seal of another's entry ...); end its connection. */
    void (*bad)(void *arg, uint32_t process, const struct mob_error *err);
    /* NULL: for nobody; or: could what this client does be done on another node? Then an error for want of room says MOB_NO_SPACE_HERE. */
    bool (*elsewhere)(void *arg, uint32_t process);
    /* NULL: nothing is spilled; or begin this job. It is the disk's until mob_store_disk_done(), which follows, once, from the loop. */
    void (*disk)(void *arg, struct mob_disk_job *job);
    int64_t grace_ns, patience_ns;      /* 0: the usual ones (store_wait.c) */
    void *arg;
};

/* Memory is reserved, not touched. `in_memory`: no memfd, memory of this process alone (the simulator). */
struct mob_store *mob_store_create(const struct mob_store_config *config, bool in_memory, struct mob_error *err);
void mob_store_destroy(struct mob_store *s);
/* From now on there is an overflow: a sparse file of config.overflow bytes, to be taken over (in memory: -1). Before the first client, and
 * with config.disk, which gives it blocks. */
int mob_store_overflow(struct mob_store *s, int fd, struct mob_error *err);
/* Where it begins, as offsets count: behind the arena, which is larger than `bytes`. */
uint64_t mob_store_overflow_at(const struct mob_store *s);
void mob_store_set_node(struct mob_store *s, uint32_t node);

/* Descriptors for a client's Welcome: arena and metadata (borrowed), a new pin page (the caller's to close after sending). */
int mob_store_client(struct mob_store *s, uint32_t process, int *ret_arena, int *ret_meta, int *ret_pins, struct mob_error *err);
/* The overflow's, for the same Welcome (borrowed); -1: there is none. */
int mob_store_overflow_fd(const struct mob_store *s);
/* Of a store made in memory, whose descriptors are -1: what its client `process` works on (mob_store_client_on_memory). No client: NULL. */
const struct mob_store_meta *mob_store_metadata(const struct mob_store *s);
struct mob_pin_page *mob_store_pins(const struct mob_store *s, uint32_t process);
/* Whose job `process` works for: what it makes or brings here ends with the job. */
void mob_store_client_job(struct mob_store *s, uint32_t process, struct mob_address job);
/* After its socket was read to the end: unsealed space is freed, pins are dropped, what it owned is freed. Again when it is buried: what
 * was sealed for it meanwhile is freed, too. */
void mob_store_client_gone(struct mob_store *s, uint32_t process);

/* Create, Seal, Abandon, Fetch, Free from `process` (0: from another node or the raylet, which only Fetch and Free). */
void mob_store_receive(struct mob_store *s, uint32_t process, const Mobula__Envelope *e);
void mob_store_pulled(struct mob_store *s, struct mob_flight *f, const struct mob_range_result *result);
/* Its owner says that `node` has it; 0: that nobody has. Nobody may wait for it any more. */
void mob_store_sought(struct mob_store *s, const struct mob_object_id *id, uint32_t node);
void mob_store_node_died(struct mob_store *s, uint32_t node);
/* A link to it broke, and what its processes said may be lost: they are told what is here of theirs. */
void mob_store_link_lost(struct mob_store *s, uint32_t node);
/* A worker has died whose owner was out of reach: the same, of what it may have sealed since. */
void mob_store_maker_lost(struct mob_store *s, uint32_t maker, struct mob_address owner);
/* A process is gone, here or elsewhere: its objects are freed. (mob_store_client_gone and mob_store_node_died do it for theirs.) */
void mob_store_owner_gone(struct mob_store *s, struct mob_address owner);
/* A job is over: all that its processes made or brought here is freed. A repeat frees what came since. */
void mob_store_job_over(struct mob_store *s, struct mob_address job);
/* Objects whose bytes others would lose with this node: no copies, and of owners on other nodes. */
typedef void mob_store_note(void *arg, const struct mob_object_id *id, uint64_t size, struct mob_address job);
void mob_store_each_primary(const struct mob_store *s, mob_store_note *note, void *arg);
/* It is here for good: a copy is no copy any more, as its node leaves; the owner is told that it is here. False: it is not. */
bool mob_store_adopt(struct mob_store *s, const struct mob_object_id *id);
void mob_store_disk_done(struct mob_store *s, struct mob_disk_job *job);        /* frees it */
/* Now and then: frees what was pinned when its owner freed it, and no message has come since the pin went; serves, or at last
 * refuses, those who wait for room; gives memory back that was long not used. Returns when to come again; INT64_MAX: not by itself. */
int64_t mob_store_tick(struct mob_store *s, int64_t now_ns);
/* Is there anything for mob_store_tick(), soon (100 ms), or in a minute? */
bool mob_store_waits(const struct mob_store *s);
bool mob_store_idles(const struct mob_store *s);
/* Some have waited for room in vain, and there is none yet. */
bool mob_store_full(const struct mob_store *s);
/* Tell owners of copies that came or went (Copies). Before the loop sleeps. */
void mob_store_flush(struct mob_store *s);

/* For bulk: what to answer to another node that asks. HERE: where it lies; it stays until _done(). LATER: it is being made, or comes back
 * from the disk: config.restored() follows, once; then ask again. REFER: it shall ask ret->refer. GONE: *err. */
enum mob_serve { MOB_SERVE_HERE, MOB_SERVE_LATER, MOB_SERVE_REFER, MOB_SERVE_GONE };
struct mob_served {
    uint64_t offset, ticket;            /* in the arena, or the overflow */
    void *incoming;                     /* not NULL: it is still on its way here itself */
    uint32_t refer, position;           /* the asker's place in line; 0: as it was */
};
enum mob_serve mob_store_serve(struct mob_store *s, const struct mob_asked *asked, struct mob_served *ret, struct mob_error *err);
void mob_store_serve_done(struct mob_store *s, uint64_t ticket);
/* Keep a sealed object from going, for the raylet itself: a ticket for _done(). False: it is not here. */
bool mob_store_keep(struct mob_store *s, const struct mob_object_id *id, uint64_t *ret_ticket);
void *mob_store_arena(const struct mob_store *s);
/* The file that is mapped at this offset, and which byte of it; -1: none, or of huge pages, which cannot be written to as files. */
int mob_store_file(const struct mob_store *s, uint64_t offset, uint64_t *ret_at);

struct mob_store_usage {
    uint64_t size, used, objects, pulls;        /* used: never more than size */
    uint64_t waiting;                   /* pulls that wait for room */
    uint64_t spilled, spilled_objects;  /* on the disk alone */
    uint64_t asks;                      /* who wait for room */
    uint64_t pulled;                    /* from other nodes, so far */
    uint64_t warm;                      /* bytes of the arena that have pages */
    uint64_t overflow, overflow_size;   /* bytes of the overflow that are taken; that there are */
    const char *trouble;                /* why nothing is spilled, or goes to the overflow, just now; or "" */
    const char *pages;                  /* how large those of the arena are, and why */
};
/* For people. */
struct mob_store_row {
    struct mob_object_id id;
    uint64_t size;
    const char *state;
    uint32_t maker, reader;             /* reader: a process that has it pinned; 0: none seen */
    bool making, copy, freed, overflow;
};
/* The largest objects, the largest first. Returns how many. */
size_t mob_store_largest(struct mob_store *s, struct mob_store_row *ret_rows, size_t max);
struct mob_store_usage mob_store_usage(const struct mob_store *s);
/* Aborts unless bytes used = sum of what lives, in the arena and in the overflow, extents do not overlap, free list coalesced. */
void mob_store_check(const struct mob_store *s);

#endif
