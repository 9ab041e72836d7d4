/* SPDX-License-Identifier: Apache-2.0 */
/* store_private.h -- the parts of a store, for its own files: store.c (whole), store_object.c (one object's life), store_room.c (who must
 * go, who is pinned), store_fetch.c (who waits for an object), store_pull.c (bringing it here),
 * store_giver.c (who asks a node next), store_serve.c (giving it to others),
 * store_copies.c (what owners are told), store_receive.c (messages). */
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
    OBJECT_PULLING,             /* bulk writes; its pull knows who waits */
    OBJECT_DISCARDED,           /* bulk still writes or serves what nobody needs */
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
    struct mob_link link;       /* in object->waiters or pull->waiters */
    uint32_t process;
    bool bulk;                  /* not a Fetch: a peer wants it (mob_store_serve) */
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
    struct pull *pull;                  /* PULLING, DISCARDED: who writes it; NULL: nobody any more */
    uint32_t source;                    /* of a copy: the node whose copy Fetch named */
    struct line *line;                  /* to whom it was given: store_serve.c; NULL: nobody */
    bool pinned;                        /* within one scan */
    uint32_t pin_process, pin_slot;     /* DOOMED: a pin that the last scan found */
};

/* -- pulls (store_pull.c) ------------------------------------------------------------------------------------------------ */

enum priority { PRIORITY_ARGUMENT, PRIORITY_WAIT, PRIORITY_GET, PRIORITIES };    /* as in Fetch */
enum { CHUNK_MISSING, CHUNK_ASKED, CHUNK_HERE };
#define PULL_SOURCES_MAX 16
#define LINE_MIN (UINT64_C(8) << 20)    /* bytes; smaller objects have no line, each node is given them directly */

/* A node that may have it. */
struct pull_source {
    uint32_t node;
    bool referred;                      /* another source named it */
    bool out;                           /* not asked again */
    unsigned tries;                     /* that failed */
    struct mob_error why;
};

struct pull {
    struct mob_machine m;
    struct mob_store *store;
    struct mob_object_id id;
    uint64_t size;
    struct mob_address job;             /* of who asked first */
    enum priority priority;
    struct mob_link waiters;
    struct mob_link all;                /* in pulls->all */
    struct mob_link link;               /* WAITING: in pulls->waiting; SEEKING: in pulls->seeking; MOVING: in a giver's queue */
    struct pull *next_same;             /* chain of pulls->by_id; those that ENDING are not there any more */
    struct object *object;              /* from the end of WAITING on */
    void *incoming;

    struct pull_source sources[PULL_SOURCES_MAX];
    unsigned source_count;
    struct pull_source *from;           /* the one being asked; NULL: to be chosen */
    unsigned round;                     /* raised when `from` changes: older flights are no news of it */
    uint32_t root, position;            /* who gave us a place in line, and which */
    uint32_t failed;                    /* whom it referred us to in vain */
    bool direct;                        /* we were referred too often */
    bool placed;                        /* the root has answered */
    unsigned referrals;

    unsigned char *chunks;              /* CHUNK_x of each */
    uint64_t next, got;                 /* no chunk before `next` is missing; bytes that are here */
    unsigned flights;
    bool ends;                          /* fact: nobody wants it any more, or it cannot be had: `why` */
    struct mob_error why;
    int64_t since;                      /* ns, from the first tick on: WAITING, SEEKING */
    bool said;                          /* that it waits */
    uint64_t overtaken;                 /* WAITING: bytes of younger ones that found room meanwhile */
};

/* A node that gives us objects. */
struct giver {
    uint32_t node;
    unsigned flights, large;            /* of them, of objects of more than a chunk */
    struct mob_link queues[PRIORITIES][2];      /* pulls that have something to ask: those of one chunk first */
};

struct pulls {
    struct mob_link all, waiting[PRIORITIES], seeking;
    struct mob_map by_id;               /* hash of the id -> chain */
    struct mob_map givers;              /* node -> struct giver */
    uint64_t count, waiting_count;
    bool room_came;
};

/* What an owner is to be told. */
struct copy_news {
    struct mob_object_id id;
    enum { COPY_ADDED, COPY_GONE, COPY_LAST } what;
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
    struct pulls pulls;
    struct copy_news *news;
    size_t news_count, news_room;
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

void mob_fetch(struct mob_store *s, uint32_t process, const Mobula__Fetch *m);
void mob_fetch_wait(struct mob_link *waiters, uint32_t process, bool bulk);
/* Answer all who wait for o: with `sealed` (an object of the same id), or with the error. */
void mob_fetch_answer_all(struct object *o, const struct object *sealed, const struct mob_error *err);
void mob_fetch_answer_list(struct mob_store *s, struct mob_link *waiters, const struct mob_object_id *id, const struct object *sealed,
                           const struct mob_error *err);
void mob_fetch_forget(struct mob_store *s, uint32_t process);

/* -- store_pull.c -------------------------------------------------------------------------------------------------------- */

void mob_pulls_init(struct mob_store *s);
void mob_pulls_fini(struct mob_store *s);
struct pull *mob_pull_find(const struct mob_store *s, const struct mob_object_id *id);
/* Bring it here, for `process` and whoever asks meanwhile. `nodes`: who has it, the best first. */
void mob_pull_start(struct mob_store *s, uint32_t process, struct mob_address job, const struct mob_object_id *id, uint64_t size,
                    const uint32_t *nodes, size_t count, enum priority priority);
/* Another one waits for it, and may know more nodes that have it. */
void mob_pull_join(struct pull *p, uint32_t process, const uint32_t *nodes, size_t count, enum priority priority);
/* It is not needed any more: those who wait get `sealed`, or `why`. */
void mob_pull_end(struct pull *p, const struct object *sealed, const struct mob_error *why);
void mob_pulls_node_died(struct mob_store *s, uint32_t node);
/* End those that `is_its` picks. */
void mob_pulls_end(struct mob_store *s, bool (*is_its)(const struct pull *p, struct mob_address whose), struct mob_address whose,
                   const struct mob_error *why);
/* The end of each fact: those that wait for room get what came. */
void mob_pulls_settle(struct mob_store *s);
void mob_pulls_tick(struct mob_store *s, int64_t now_ns);
bool mob_pulls_wait(const struct mob_store *s);

/* -- store_giver.c ------------------------------------------------------------------------------------------------------- */

/* These bytes are here already. */
bool mob_pull_has(const struct pull *p, uint64_t offset, uint64_t length);
/* It may ask p->from, in its turn. */
void mob_giver_enqueue(struct pull *p);
/* A flight ended: the next one starts. */
void mob_giver_pump(struct mob_store *s, uint32_t node);
/* The same, noted in the books of its pull and its node. */
void mob_giver_landed(struct mob_flight *f, uint64_t got);
void mob_givers_fini(struct mob_store *s);

/* -- store_serve.c, store_copies.c --------------------------------------------------------------------------------------- */

void mob_line_free(struct object *o);
/* A node is dead: nobody is referred to it. */
void mob_line_node_died(struct object *o, uint32_t node);
void mob_copies_note(struct object *o, int what);

#endif
