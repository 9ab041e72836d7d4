/* SPDX-License-Identifier: Apache-2.0 */
/* store_private.h -- the parts of a store, for its own files: store.c (whole), store_object.c (one object's life), store_room.c (who must
 * go, who is pinned), store_loan.c (what is kept for who was told of it), store_wait.c (who waits for room), store_pages.c (which pages),
 * store_spill.c (to the disk and back), store_overflow.c (a place on the disk for who waits), store_fetch.c (who waits for an object),
 * store_pull.c (bringing it here), store_source.c (from whom), store_giver.c (who asks a node next), store_serve.c (giving it to others),
 * store_copies.c (what owners are told), store_leave.c (what goes elsewhere with its node), store_receive.c (messages). */
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
    OBJECT_SPILLED,             /* on the disk alone */
    OBJECT_RESTORING,           /* the disk writes; fetches wait */
    OBJECT_DROPPED,             /* the disk still writes what nobody needs */
    OBJECT_DOOMED,              /* freed by its owner, or replaced; still pinned, served or written to the disk */
    OBJECT_GONE,
    OBJECT_STATES
};

struct client {
    uint32_t process;
    struct mob_address job;             /* {0, 0}: nobody said */
    struct mob_pin_page *pins;
    struct mob_extent *kept[16];        /* that it had, the newest last: store_pages.c */
    unsigned kept_count;
    uint64_t told;                      /* Fetched that were sent to it */
    struct mob_link loans;              /* struct loan, the oldest first */
    struct mob_link borrower;           /* in store->loans.borrowers, while it has any */
};

struct waiter {                 /* a Fetch without answer yet */
    struct mob_link link;       /* in object->waiters or pull->waiters */
    uint32_t process;
    bool bulk;                  /* not a Fetch: a peer wants it (mob_store_serve) */
};

struct ask {                    /* waits for room */
    struct mob_link link;       /* in store->asks, the oldest first */
    struct object *object;      /* to be restored; NULL: a Create, of the following */
    uint32_t process, attempt;
    struct mob_object_id id;
    uint64_t size;
    uint64_t overtaken;         /* bytes that younger asks got meanwhile */
    int64_t since;              /* ns, from the first tick on */
    struct berth *berth;        /* in the overflow, on its way; NULL: none */
};

struct spill_file {
    struct mob_link link;       /* in store->files */
    uint32_t number;
    uint64_t end;               /* where the next record goes */
    uint64_t live;              /* records that are needed */
    bool busy;                  /* a write is under way */
};

struct object {
    struct mob_machine m;
    struct mob_store *store;
    struct mob_object_id id;
    uint32_t entry, generation;         /* entry: ENTRY_NONE if SPILLED */
    struct mob_extent *extent;          /* NULL: no bytes, or they are SPILLED */
    uint64_t size;
    uint32_t maker;                     /* who writes a CREATED one; 0: pulled */
    uint32_t attempt;                   /* of the task that made it; 0: pulled, too */
    struct mob_address job;             /* of the maker, or of who asked first for a pulled one */
    bool copy;                          /* pulled: the object is elsewhere, too */
    struct spill_file *file;            /* has a good record of it, at file_at; NULL: none */
    uint64_t file_at;
    bool writing;                       /* to the disk */
    struct ask *ask;                    /* SPILLED: waits for room */
    unsigned serving;                   /* bulk reads it, so many times */
    unsigned lent;                      /* clients were told that it is here, and have not read it yet: so many times */
    struct object *next_same;           /* chain of store->by_id */
    struct mob_link all;                /* in store->all */
    struct mob_link link;               /* in `listed` */
    struct mob_link *listed;            /* SEALED: store->evictable, ->primaries or ->overflow.sealed, longest unused first;
                                           DOOMED: ->doomed; or NULL */
    struct mob_link waiters;
    struct pull *pull;                  /* PULLING, DISCARDED: who writes it; NULL: nobody any more */
    uint32_t source;                    /* of a copy: the node whose copy Fetch named */
    struct line *line;                  /* to whom it was given: store_serve.c; NULL: nobody */
    uint64_t pinned_at;                 /* the newest scan of pins (store->looks) that found it, 0: none ... */
    uint32_t pin_process, pin_slot;     /* ... here */
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
    bool rests;                         /* its connection has just broken: to be asked again, if it lives then */
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
    struct mob_link link;               /* BEHIND, WAITING, SEEKING: in the list of that name of pulls; MOVING: in a giver's queue */
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
    bool sought;                        /* its owner was asked who else has it, and will answer */
    bool all_said;                      /* it has, and named nobody new: it is not asked again */
    bool ends;                          /* fact: nobody wants it any more, or it cannot be had: `why` */
    struct mob_error why;
    struct berth *berth;                /* WAITING: in the overflow, on its way; NULL: none */
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
    struct mob_link all, waiting[PRIORITIES], behind, seeking;
    struct mob_map by_id;               /* hash of the id -> chain */
    struct mob_map givers;              /* node -> struct giver */
    uint64_t count, waiting_count;
    bool room_came;
};

/* What an owner is to be told. */
struct copy_news {
    struct mob_object_id id;
    enum { COPY_ADDED, COPY_GONE, COPY_LAST, COPY_HAVE } what;
};

struct mob_store {
    struct mob_store_config config;
    bool in_memory;
    int arena_fd, meta_fd;
    char *arena;
    uint64_t span;                      /* addresses from there on */
    struct mob_alloc *alloc;
    struct mob_store_meta *meta;
    uint64_t meta_size;
    struct object **objects;            /* by entry; NULL: free */
    uint32_t entries, entries_used;     /* how many there are; those from entries_used on never had an object */
    uint32_t *free_entries, free_count; /* a stack */
    struct mob_map by_id;               /* hash of the id -> chain */
    struct mob_map clients;             /* process -> struct client */
    struct mob_link all;
    struct mob_link evictable;          /* SEALED: may go at once, as they are elsewhere or on the disk, too */
    struct mob_link primaries;          /* SEALED: must be written to the disk before */
    struct mob_link doomed;
    struct pulls pulls;
    struct copy_news *news;
    size_t news_count, news_room;
    uint64_t bytes[OBJECT_STATES], count[OBJECT_STATES];
    uint64_t evictable_bytes, primary_bytes;
    uint64_t pulled;                    /* bytes so far */
    bool huge;                          /* the arena lies in huge pages, which are ours for good */
    char page_text[128];
    uint64_t looks;                     /* at all pins, so far */
    struct {                            /* store_loan.c */
        struct mob_link borrowers;      /* struct client */
        uint64_t count;
    } loans;
    struct {                            /* store_wait.c */
        struct mob_link list;           /* struct ask, the oldest first */
        uint64_t count;
        bool room_came;                 /* since they were looked at */
        uint64_t gifts, gifts_seen;     /* times that room came; at the last tick */
        int64_t stuck_since;            /* no room has come since; 0: it has */
    } asks;
    struct {                            /* store_wait.c */
        uint64_t needs;                 /* so much somebody was refused, and there is no room for it yet; 0: not so */
        int64_t look_at;                /* 0: it was refused since the last tick */
    } full;
    struct {                            /* store_pages.c */
        uint64_t kept;                  /* bytes that clients keep, and nobody uses */
        uint64_t used_to;               /* from here on the arena was never touched */
        bool touching;                  /* a job is under way */
        bool warm;                      /* something was created since all was given back */
        uint64_t created, created_seen; /* extents so far; at the last tick */
        int64_t idle_since;
        uint64_t cursor;                /* given back up to here ... */
        struct mob_extent *held;        /* ... and this now */
    } pages;
    struct {                            /* store_spill.c */
        struct mob_link files;          /* the last one is written to, while there is a place in it */
        uint32_t last_number;
        struct mob_disk_job *write;     /* under way; NULL: none */
        struct object **chosen;         /* what it writes, piece by piece */
        unsigned reads;                 /* under way */
        uint64_t bytes;                 /* of those that are SPILLED */
        uint64_t largest;               /* of those, or of some that were since there were none */
        bool fruitless;                 /* all that could be written is pinned: not looked at again before a tick */
        int64_t retry_at;               /* 0: as trouble came, until a tick */
        struct mob_error trouble;       /* code MOB_OK: the last write was good */
        bool stopped;                   /* by trouble, until retry_at */
    } spill;
    struct {                            /* store_overflow.c */
        int fd;                         /* -1: in memory, or none */
        struct mob_alloc *alloc;        /* NULL: there is none */
        struct mob_link sealed;         /* SEALED objects there */
        uint64_t moving;                /* bytes that the disk is giving blocks, or taking them from: nobody's */
        struct mob_extent *ready;       /* has blocks, while it is handed to who waits for it */
        struct mob_error trouble;       /* code MOB_OK: the last reservation was good, or is long ago */
        uint64_t refused;               /* so much the disk did not have; 0: not lately */
        int64_t retry_at;               /* 0: as trouble came, until a tick */
    } overflow;
};

/* -- store_memory.c ------------------------------------------------------------------------------------------------------ */

/* Arena and metadata, as s->in_memory says. */
int mob_memory_make(struct mob_store *s, uint64_t size, struct mob_error *err);
/* The overflow, behind the arena. The descriptor is the store's from then on. */
int mob_memory_overflow(struct mob_store *s, int fd, struct mob_error *err);
void mob_memory_end(struct mob_store *s);
uint64_t mob_memory_warm(const struct mob_store *s);    /* bytes of the arena that have pages */
void *mob_memory_shared(const char *name, uint64_t size, int more_seals, int *ret_fd, struct mob_error *err);
void *mob_memory_plain(uint64_t size, struct mob_error *err);
void mob_memory_let_go(const struct mob_store *s, void *p, uint64_t size);

/* -- store_object.c ------------------------------------------------------------------------------------------------------ */

#define ENTRY_NONE UINT32_MAX

/* An object with an entry and bytes (makes room if it must, but waits for none). NULL: MOB_ERR_NO_SPACE. */
struct object *mob_object_create(struct mob_store *s, const struct mob_object_id *id, uint64_t size, enum object_state first,
                                 struct mob_error *err);
/* The same for `maker` (0: none); NULL: no room. `evict`: make some. */
struct object *mob_object_try(struct mob_store *s, const struct mob_object_id *id, uint64_t size, enum object_state first,
                              uint32_t maker, bool evict);
/* A SPILLED one gets an entry and bytes. False: no room. */
bool mob_object_place(struct object *o, bool evict);
/* A SEALED one with a good record on the disk gives them up. */
void mob_object_leave(struct object *o);
/* Of this id in one of two states. */
struct object *mob_object_find(const struct mob_store *s, const struct mob_object_id *id, enum object_state a, enum object_state b);
void mob_object_goto(struct object *o, enum object_state state);
/* It was used just now, or what decides whether it may go has changed: to the end of its list. */
void mob_object_relist(struct object *o);
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
const char *mob_object_state(const struct object *o);
struct mob_store_entry *mob_object_entry(const struct object *o);

static inline void mob_room_came(struct mob_store *s)
{
    s->asks.room_came = s->pulls.room_came = true;
}

/* -- store_room.c -------------------------------------------------------------------------------------------------------- */

/* Retire those of `list` that nobody pins or serves; the others stay as they are. One scan of all pin pages. */
void mob_room_evict(struct mob_store *s, struct object **list, size_t count);
/* Try again with the first `looks` of the doomed ones, if the pin that was seen last is gone. */
void mob_room_retry(struct mob_store *s, uint64_t looks);
/* An extent of `size` > 0 bytes, after evicting what may go. NULL: no. */
struct mob_extent *mob_room_take(struct mob_store *s, uint64_t size);
/* There is a free entry, after evicting what may go. */
bool mob_room_entry(struct mob_store *s);
/* Notes in every object that is pinned who pins it. What is true now may not be so when this returns: for estimates. */
void mob_room_look(struct mob_store *s);
static inline bool mob_room_seen_pinned(const struct object *o)
{
    return o->pinned_at != 0 && o->pinned_at == o->store->looks;
}
/* No store of this size could ever hold it. `behind`: as of Create, or 0. */
int mob_room_check(const struct mob_store *s, const struct mob_object_id *id, uint64_t size, uint64_t behind, struct mob_error *err);
/* `who`: it names the process that holds most, for which it looks at each object. */
int mob_room_refuse(struct mob_store *s, const struct mob_object_id *id, uint64_t size, bool who, struct mob_error *err);

static inline bool mob_id_is_of(const struct mob_object_id *id, struct mob_address owner)
{
    return id->node == owner.node && id->process == owner.process;
}

/* As `process` is told: HERE only if it can do elsewhere what it does. */
struct mob_error mob_room_error_for(const struct mob_store *s, uint32_t process, const struct mob_error *why);

/* -- store_loan.c -------------------------------------------------------------------------------------------------------- */

/* `process` is told that `o` is here, or (NULL) that it is not to be had: what it hears of. */
void mob_loan_note(struct mob_store *s, uint32_t process, struct object *o);
/* End the loans of those who have read what they were told. */
void mob_loans_look(struct mob_store *s);
void mob_loans_forget(struct mob_store *s, struct client *c);
void mob_loans_tick(struct mob_store *s, int64_t now_ns);

/* -- store_wait.c -------------------------------------------------------------------------------------------------------- */

/* Room for a Create, now or later: Created follows. */
void mob_wait_create(struct mob_store *s, uint32_t process, const struct mob_object_id *id, const Mobula__Create *m);
/* The same for a SPILLED object somebody waits for. */
void mob_wait_restore(struct object *o);
void mob_wait_cancel(struct object *o);
void mob_wait_forget(struct mob_store *s, uint32_t process);
/* Bytes that the one whose turn it is needs; 0: nobody waits. */
uint64_t mob_wait_needs(const struct mob_store *s);
void mob_wait_tick(struct mob_store *s, int64_t now_ns);
/* No room comes from the disk: those who have waited long enough get berths. */
void mob_wait_overflow(struct mob_store *s, int64_t now_ns);
/* Its berth is ready, or there is none. */
void mob_wait_berthed(struct mob_store *s, struct ask *a);
/* The end of every fact: who waited for room gets what came, and the disk is told what to do. */
void mob_store_settle(struct mob_store *s);

/* -- store_pages.c ------------------------------------------------------------------------------------------------------- */

/* An extent for an object that `maker` will write (0: not a client). NULL: no. */
struct mob_extent *mob_pages_take(struct mob_store *s, uint32_t maker, uint64_t size, bool evict);
void mob_pages_give(struct mob_store *s, uint32_t maker, struct mob_extent *extent);
/* What clients, or this one, keep is everybody's. */
void mob_pages_release_all(struct mob_store *s);
void mob_pages_release(struct mob_store *s, struct client *c);
void mob_pages_done(struct mob_store *s, const struct mob_disk_job *job);
/* When to come again. */
int64_t mob_pages_tick(struct mob_store *s, int64_t now_ns);

/* -- store_spill.c ------------------------------------------------------------------------------------------------------- */

/* Write what should be written. */
void mob_spill_pump(struct mob_store *s);
void mob_spill_tick(struct mob_store *s, int64_t now_ns);
/* Bring a RESTORING one, which has a record, from there. */
void mob_spill_read(struct object *o);
/* It is on the disk alone from now on. */
void mob_spill_note(struct object *o);
/* May a creator have `size` bytes? What is on the disk alone must have a place to come back to, even if the disk becomes full. */
bool mob_spill_leaves_room(const struct mob_store *s, uint64_t size);
/* Its record is needed no more. */
void mob_spill_forget(struct object *o);
/* Something is on its way to the disk, or could be. */
bool mob_spill_helps(const struct mob_store *s);
void mob_spill_fini(struct mob_store *s);

/* -- store_overflow.c ---------------------------------------------------------------------------------------------------- */

#define BERTH_NS INT64_C(100000000)     /* so long who waits for room hopes for some in the arena */
#define BERTHS_AT_ONCE 64               /* a tick, of asks as of pulls; and unless it is one ... */
#define BERTHED_SHARE 8                 /* ... no more than this part of the arena */

/* A place in the overflow for one who waits for room; then that of nobody. Of `ask` or `pull`; neither: who waited does so no more. */
struct berth {
    struct mob_disk_job job;            /* first: the disk, and who frees the job, know it alone */
    struct mob_extent *extent;
    uint64_t size;                      /* that is wanted of it */
    struct ask *ask;
    struct pull *pull;
};

static inline bool mob_overflow_has(const struct mob_store *s, const struct mob_extent *e)
{
    return e != NULL && e->offset >= mob_alloc_size(s->alloc);
}

/* An object of this size needs no berth, or the disk had no blocks for one. */
static inline bool mob_overflow_refuses(const struct mob_store *s, uint64_t size)
{
    return size == 0 || (s->overflow.refused > 0 && size >= s->overflow.refused);
}

/* The disk is asked for blocks; mob_wait_berthed() or mob_pull_berthed() follows. NULL: there is no place. */
struct berth *mob_overflow_reserve(struct mob_store *s, uint64_t size);
/* Nobody waits for it any more. NULL is fine. */
void mob_overflow_forget(struct berth **b);
/* What is ready, for the object of who is served now. */
struct mob_extent *mob_overflow_take(struct mob_store *s);
void mob_overflow_give(struct mob_store *s, struct mob_extent *e);
void mob_overflow_done(struct mob_store *s, struct mob_disk_job *job);
void mob_overflow_tick(struct mob_store *s, int64_t now_ns);

/* -- store_receive.c ----------------------------------------------------------------------------------------------------- */

void mob_answer_created(struct mob_store *s, uint32_t process, const struct mob_object_id *id, const struct object *o,
                        const struct mob_error *err);

/* -- store_fetch.c ------------------------------------------------------------------------------------------------------- */

void mob_fetch(struct mob_store *s, uint32_t process, const Mobula__Fetch *m);
void mob_fetch_wait(struct mob_link *waiters, uint32_t process, bool bulk);
/* It becomes SEALED, and all who wait for it are told. */
void mob_fetch_seal(struct object *o);
/* Answer all who wait for o: with `sealed` (an object of the same id), or with the error. */
void mob_fetch_answer_all(struct object *o, struct object *sealed, const struct mob_error *err);
void mob_fetch_answer_list(struct mob_store *s, struct mob_link *waiters, const struct mob_object_id *id, struct object *sealed,
                           const struct mob_error *err);
void mob_fetch_forget(struct mob_store *s, uint32_t process);

/* -- store_pull.c -------------------------------------------------------------------------------------------------------- */

void mob_pulls_init(struct mob_store *s);
void mob_pulls_fini(struct mob_store *s);
struct pull *mob_pull_find(const struct mob_store *s, const struct mob_object_id *id);     /* the one that is not BEHIND */
struct pull *mob_pull_find_sized(const struct mob_store *s, const struct mob_object_id *id, uint64_t size);
/* Bring it here, for `process` and whoever asks meanwhile. `nodes`: who has it, the best first. */
void mob_pull_start(struct mob_store *s, uint32_t process, struct mob_address job, const struct mob_object_id *id, uint64_t size,
                    const uint32_t *nodes, size_t count, enum priority priority);
/* Another one waits for it, and may know more nodes that have it. */
void mob_pull_join(struct pull *p, uint32_t process, const uint32_t *nodes, size_t count, enum priority priority);
/* It is not needed any more: those who wait get `sealed`, or `why`. */
void mob_pull_end(struct pull *p, struct object *sealed, const struct mob_error *why);
void mob_pulls_node_died(struct mob_store *s, uint32_t node);
/* End those that `is_its` picks. */
void mob_pulls_end(struct mob_store *s, bool (*is_its)(const struct pull *p, struct mob_address whose), struct mob_address whose,
                   const struct mob_error *why);
/* The end of each fact: those that wait for room get what came. */
void mob_pulls_settle(struct mob_store *s);
void mob_pulls_tick(struct mob_store *s, int64_t now_ns);
/* As mob_wait_berthed(). */
void mob_pull_berthed(struct pull *p);
/* Bytes that the first of those that wait for room needs; 0: none waits. */
uint64_t mob_pulls_need(const struct mob_store *s);
static inline bool mob_pulls_wait(const struct mob_store *s)
{
    return s->pulls.waiting_count > 0 || !mob_list_empty(&s->pulls.seeking);
}

/* -- store_source.c ------------------------------------------------------------------------------------------------------ */

struct pull_source *mob_source_of(struct pull *p, uint32_t node);
/* NULL: there are too many, or it is this node. */
struct pull_source *mob_source_add(struct pull *p, uint32_t node, bool referred);
/* Sets p->from. False: nobody is left. */
bool mob_source_choose(struct pull *p);
void mob_source_fail(struct pull *p, struct pull_source *source, const struct mob_error *why, bool final);
/* Of the one that is asked. */
enum mob_reach mob_source_reach(const struct pull *p);
/* A tick of SEEKING: it has rested, or was waited for long enough. */
void mob_source_await(struct pull *p, int64_t now_ns);
bool mob_source_none_left(const struct pull *p);
/* p ends: `why` is what each said. */
void mob_source_sum_up(struct pull *p);

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
