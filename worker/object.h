/* SPDX-License-Identifier: Apache-2.0 */
/* object.h -- the objects a process owns: numbers, counts, values, and who waits for them. */
#ifndef MOB_WORKER_OBJECT_H
#define MOB_WORKER_OBJECT_H

#include "common/list.h"
#include "common/map.h"
#include "common/wire.h"
#include "worker/owner.h"
#include "worker/slab.h"

struct deaths;
struct stream;
struct task;

/* An error that many objects may share. */
struct fault {
    uint32_t uses;
    struct deaths *deaths;              /* that it is of; or NULL */
    bool chained;                       /* says already whose argument failed */
    struct mob_error error;
};

struct stored {
    struct mob_object_id id;            /* another owner's, if a task returned a reference */
    uint32_t node;
    uint32_t more_count;
    uint32_t *more;                     /* nodes that fetched copies */
    uint32_t since;                     /* losses that there had been when it came to these places: see lineage.c */
    uint32_t making;                    /* its owner's word for the same, if the value is another owner's */
};

/* Who is told when the object is ready: a task of ours that takes it, or another process that sent Watch. */
struct follower {
    struct follower *next;
    struct task *task;                  /* NULL: asker */
    struct mob_address asker;
};

/* The returns of one task, if there are several. */
struct group {
    uint32_t count;
    uint32_t slots[];                   /* GROUP_GONE: freed */
};
#define GROUP_GONE UINT32_MAX

struct object {
    uint32_t generation, slot;          /* its number, as a ref and on the wire */
    uint32_t refs;                      /* the user's */
    uint32_t pins;                      /* ours: its task, tasks that take it, puts, Watches, the first's siblings or items, and: */
    uint32_t lineages;                  /* tasks that are KEPT and took it: see lineage.c */
    uint32_t index;                     /* return of its task */
    uint8_t state;                      /* enum mob_object_state */
    bool borrowed;                      /* stands for another owner's object: see borrow.c */
    bool told;                          /* in the list of those whose waiters are to be told */
    bool packed;                        /* INLINE: the bytes carry references (common/packed.h) */
    bool contains;                      /* keeps other objects alive: see contents.c */
    bool streams;                       /* the end of a stream: see stream.c */
    bool made : 1;                      /* by a task of ours; else put, or another owner's */
    bool raised : 1;                    /* and what it has is an exception */
    bool rests;                         /* nobody has it but tasks that are KEPT, and its value is counted as theirs */
    uint64_t task;                      /* number of its task: of its own number, if it is the first return */
    struct task *maker;                 /* that task, while it is pending, or can make it again; NULL: a put, another owner's ... */
    union {
        struct group *group;
        struct stream *stream;          /* if it `streams` */
    };
    struct mob_link waiters;            /* struct mob_waiter */
    struct follower *followers;         /* newest first */
    union {
        const void *data;               /* INLINE */
        struct stored *stored;          /* STORED */
        struct fault *fault;            /* ERROR */
        struct object *next_free;       /* a free slot */
    };
    uint64_t size;
    uint8_t small[8];                   /* the bytes of a tiny value */
};

#define OBJECT_CHUNK 1024u

struct free_copy {
    uint32_t node, before;
    struct mob_object_id id;
};

struct objects {
    struct object **chunks;             /* of OBJECT_CHUNK; slots never move */
    size_t chunk_count;
    uint32_t slots;                     /* given out so far */
    uint32_t generation;                /* a fresh slot's */
    struct object *free;
    uint64_t count;                     /* alive */
    struct slab stored, followers;
    struct fault *last_fault;           /* equal errors in a row share one */
    struct object **told;               /* became ready: their waiters are told, one after the other, without recursion */
    size_t told_count, told_room;
    bool telling;
    struct mob_map contents;            /* number of an object -> struct contents */
    uint64_t *unpinned;                 /* were kept by what has ended: to be let go, one after the other, without recursion */
    size_t unpinned_count, unpinned_room;
    bool unpinning;
    struct free_copy *copies;           /* to be freed, at the next flush */
    size_t copy_count, copy_room;
};

void mob_owner_objects_init(struct mob_owner *o);
void mob_owner_objects_fini(struct mob_owner *o);

/* A pending object with one user ref. The first return of a task names it; a further one (`index` > 0) is its sibling. */
struct object *mob_owner_object_create(struct mob_owner *o, struct task *maker);
/* NULL unless the number is that of a living object. */
struct object *mob_owner_object_at(const struct mob_owner *o, uint64_t number);
struct object *mob_owner_object_of_slot(const struct mob_owner *o, uint32_t slot);
/* By its name on the wire; NULL: not ours, or gone. */
struct object *mob_owner_object_find(const struct mob_owner *o, const struct mob_object_id *id);
/* The object a user's ref means, or NULL and *err. */
struct object *mob_owner_object_ref(const struct mob_owner *o, uint64_t ref, struct mob_error *err);
/* What it is called on the wire; of a borrowed one, what its owner calls it. */
struct mob_object_id mob_owner_object_name(const struct mob_owner *o, const struct object *b);
/* What the bytes of a STORED one are called: another name, if a task returned a reference. */
struct mob_object_id mob_owner_object_id(const struct mob_owner *o, const struct object *b);

static inline uint64_t object_number(const struct object *b)
{
    return (uint64_t)b->generation << 32 | b->slot;
}

/* Is it its task that b waits for, and not another owner, whose object it stands for? */
static inline bool object_is_unmade(const struct object *b)
{
    return b->state == MOB_OBJECT_PENDING && b->maker != NULL && !b->borrowed;
}

/* Free it if nobody has it any more. */
void mob_owner_object_release(struct mob_owner *o, struct object *b);
static inline void object_unpin(struct mob_owner *o, struct object *b)
{
    b->pins--;
    mob_owner_object_release(o, b);
}

/* Make a pending object ready; those who wait are told before the outermost call returns. Big inline values: -1 if there is no
 * memory (nothing changed). `packed` ones were checked with mob_packed_read(). */
int mob_owner_object_set_inline(struct mob_owner *o, struct object *b, const void *data, size_t size, bool packed);
void mob_owner_object_set_stored(struct mob_owner *o, struct object *b, const struct mob_object_id *id, uint32_t node,
                                 uint64_t size);
void mob_owner_object_set_fault(struct mob_owner *o, struct object *b, struct fault *fault);
/* Is b STORED under its own name? */
bool mob_owner_object_is_own(const struct mob_owner *o, const struct object *b);
/* A stored one is PENDING again, or an error; what is left of its copies is freed, of those of its own name what attempts before `before`
 * made (0: all). */
void mob_owner_object_unset(struct mob_owner *o, struct object *b, uint32_t before);
void mob_owner_object_set_error(struct mob_owner *o, struct object *b, const struct mob_error *why, struct deaths *deaths);
/* It is not at its first `count` places, but has others. */
void mob_owner_object_forget_places(struct mob_owner *o, struct object *b, size_t count, uint32_t before);
/* Is it (NULL: no) known to lie at this node, by its own name? There what another run of its task makes takes its place. */
bool mob_owner_object_stays_at(const struct mob_owner *o, const struct object *b, uint32_t node);
/* A node has a copy, too. */
void mob_owner_object_copied(struct object *b, uint32_t node);
/* A node says what copies of our objects it has, or has no more. Those of objects that are gone are freed. */
void mob_owner_on_copies(struct mob_owner *o, uint32_t node, const Mobula__Copies *m);
/* Tell whoever waits for the objects that became ready since. No-op inside itself. */
void mob_owner_objects_tell(struct mob_owner *o);

/* Somebody waits for b, which is pending. False: it is no more, as it cannot be made again. */
bool mob_owner_object_wanted(struct mob_owner *o, struct object *b);
bool mob_owner_object_follow(struct mob_owner *o, struct object *b, struct task *task, struct mob_address asker);
/* Say Free to the nodes with copies of what was freed. */
void mob_owner_objects_flush(struct mob_owner *o);
/* `before`: 0, or only what attempts before this one made. */
void mob_owner_copy_free(struct mob_owner *o, uint32_t node, const struct mob_object_id *id, uint32_t before);

/* contents.c: b ends, and what it kept alive may end with it. */
void mob_owner_contents_end(struct mob_owner *o, struct object *b);
void mob_owner_contents_fini(struct mob_owner *o);
typedef void mob_owner_note(void *arg, uint64_t number);
/* Each that b's value carries. */
void mob_owner_contents_each(const struct mob_owner *o, const struct object *b, mob_owner_note *note, void *arg);
/* Each object that is kept by another's value, once a value. */
void mob_owner_contents_tally(const struct mob_owner *o, mob_owner_note *note, void *arg);

struct fault *mob_owner_fault(struct mob_owner *o, const struct mob_error *error);      /* one use is the caller's */
struct fault *mob_owner_fault_of(struct mob_owner *o, const struct mob_error *error, struct deaths *deaths);    /* keeps them; or NULL */
void mob_owner_fault_drop(struct fault *f);

/* Aborts if an invariant of the objects is broken. */
void mob_owner_objects_check(const struct mob_owner *o);

#endif
