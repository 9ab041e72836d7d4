/* SPDX-License-Identifier: Apache-2.0 */
/* store_private.h -- the parts of a store, for its own files: store.c (whole), store_object.c (one object's life), store_room.c (who must
 * go, who is pinned), store_fetch.c (waiting and pulling), store_receive.c (messages). */
#ifndef MOB_OBJSTORE_STORE_PRIVATE_H
#define MOB_OBJSTORE_STORE_PRIVATE_H

#include "common/list.h"
#include "common/machine.h"
#include "common/map.h"
#include "objstore/alloc.h"
#include "objstore/layout.h"
#include "objstore/store.h"

enum object_state {
    OBJECT_CREATED,             /* its maker writes */
    OBJECT_UNWANTED,            /* its maker writes, but its owner has freed it */
    OBJECT_PULLING,             /* bulk writes; fetches wait */
    OBJECT_DISCARDED,           /* bulk still writes what nobody needs (or must be brought from elsewhere) */
    OBJECT_SEALED,
    OBJECT_DOOMED,              /* freed by its owner, or replaced; still pinned or served */
    OBJECT_GONE,
    OBJECT_STATES
};

struct client {
    uint32_t process;
    struct mob_address job;             /* {0, 0}: nobody said */
    struct mob_pin_page *pins;
};

struct waiter {                 /* a Fetch without answer yet */
    struct mob_link link;       /* in object->waiters */
    uint32_t process;
};

struct object {
    struct mob_machine m;
    struct mob_store *store;
    struct mob_object_id id;
    uint32_t entry, generation;
    struct mob_extent *extent;          /* NULL: no bytes */
    uint64_t size;
    uint32_t maker;                     /* who writes a CREATED one; 0: pulled */
    struct mob_address job;             /* of the maker, or of who asked first for a pulled one */
    bool copy;                          /* pulled: the object is elsewhere, too */
    unsigned serving;                   /* bulk reads it, so many times */
    struct object *next_same;           /* chain of store->by_id */
    struct mob_link link;               /* copies SEALED: store->copies, longest unused first; DOOMED: store->doomed */
    struct mob_link waiters;
    uint32_t source;                    /* PULLING: the node; DISCARDED with waiters: where to pull it from next ... */
    uint64_t next_size;                 /* ... and how large it is there */
    bool pinned;                        /* within one scan */
    uint32_t pin_process, pin_slot;     /* DOOMED: a pin that the last scan found */
};

struct mob_store {
    struct mob_store_config config;
    bool in_memory;
    int arena_fd, meta_fd;
    char *arena;
    struct mob_alloc *alloc;
    struct mob_store_meta *meta;
    uint64_t meta_size;
    struct object **objects;            /* by entry; NULL: free */
    uint32_t entries, entries_used;     /* how many there are; those from entries_used on never had an object */
    uint32_t *free_entries, free_count; /* a stack */
    struct mob_map by_id;               /* hash of the id -> chain */
    struct mob_map clients;             /* process -> struct client */
    struct mob_link copies, doomed;
    uint64_t bytes[OBJECT_STATES], count[OBJECT_STATES];
};

/* -- store_object.c ------------------------------------------------------------------------------------------------------ */

/* Give an object an entry and bytes (makes room if it must). NULL: MOB_ERR_NO_SPACE. */
struct object *mob_object_create(struct mob_store *s, const struct mob_object_id *id, uint64_t size, enum object_state first,
                                 struct mob_error *err);
/* Of this id in one of two states. */
struct object *mob_object_find(const struct mob_store *s, const struct mob_object_id *id, enum object_state a, enum object_state b);
void mob_object_goto(struct object *o, enum object_state state);
/* {0, 0}: not a client, or nobody said. */
struct mob_address mob_client_job(const struct mob_store *s, uint32_t process);
/* Before it is sealed. */
void mob_object_rename(struct object *o, const struct mob_object_id *id);
/* Clients may pin it from here on. An older sealed one of the same id is doomed; a pull of it is discarded; all who wait are told. */
void mob_object_seal(struct object *o);
/* Its owner needs it no more. If it is sealed, it is doomed now, the first of the list: mob_room_retry() must follow. */
void mob_object_free(struct object *o);
/* The end: its entry and bytes are free again. Nobody waits for it. */
void mob_object_retire(struct object *o);
struct mob_store_entry *mob_object_entry(const struct object *o);

/* -- store_room.c -------------------------------------------------------------------------------------------------------- */

/* Retire those of `list` that nobody pins or serves; the others stay as they are. One scan of all pin pages. */
void mob_room_evict(struct mob_store *s, struct object **list, size_t count);
/* Try again with the first `looks` of the doomed ones, if the pin that was seen last is gone. */
void mob_room_retry(struct mob_store *s, uint64_t looks);
/* An extent of `size` > 0 bytes, after evicting what may go. NULL: no. */
struct mob_extent *mob_room_take(struct mob_store *s, uint64_t size);
int mob_room_refuse(const struct mob_store *s, const struct mob_object_id *id, uint64_t size, struct mob_error *err);

/* -- store_fetch.c ------------------------------------------------------------------------------------------------------- */

void mob_fetch(struct mob_store *s, uint32_t process, const struct mob_object_id *id, uint64_t size, uint32_t node);
/* Answer all who wait for o: with `sealed` (an object of the same id), or with the error. */
void mob_fetch_answer_all(struct object *o, const struct object *sealed, const struct mob_error *err);
void mob_fetch_forget(struct mob_store *s, uint32_t process);

#endif
