/* SPDX-License-Identifier: Apache-2.0 */
/* layout.h -- what of a store is shared memory: the arena, the metadata file and the pin pages; and the overflow, a file on the disk.
 *
 * The raylet makes the first three as memfds. The arena is mapped R and RW by clients, the overflow right behind it
 * (mob_overflow_at()), so that an offset names a byte of either; metadata is sealed against every writer but the raylet's own mapping
 * (F_SEAL_FUTURE_WRITE); each client has a pin page of its own, which it writes and the raylet reads.
 *
 * Pin (hazard pointer, Michael 2004): write {entry, generation} into a free slot of the own pin page, full fence, read the entry:
 * it must still be SEALED in that generation; else clear the slot and Fetch by message. Free: the raylet sets EVICTING, full fence,
 * scans the pin pages; pinned: back to SEALED, tried again when a pin may be gone; else frees the extent and raises the generation.
 */
#ifndef MOB_OBJSTORE_LAYOUT_H
#define MOB_OBJSTORE_LAYOUT_H

#include <stdatomic.h>
#include <stddef.h>

#include "common/id.h"

#define MOB_STORE_MAGIC 0x4d4f4253u
#define MOB_STORE_VERSION 3u
#define MOB_STORE_ENTRIES (1u << 20)            /* objects in a store */
#ifndef MOB_PIN_SLOTS
#define MOB_PIN_SLOTS MOB_STORE_ENTRIES         /* of one client; beyond it a get answers MOB_ERR_NO_SPACE */
#endif

enum mob_entry_state { MOB_ENTRY_FREE, MOB_ENTRY_CREATED, MOB_ENTRY_SEALED, MOB_ENTRY_EVICTING };

struct mob_store_entry {                        /* 64 bytes; only the raylet writes */
    _Atomic uint64_t word;                      /* generation << 8 | state */
    uint64_t offset, size;                      /* in the arena, or the overflow; valid while not FREE */
    struct mob_object_id object;
    uint32_t zero[2];
};
_Static_assert(sizeof(struct mob_store_entry) == 64, "entry");

struct mob_store_meta {
    uint32_t magic, version;
    uint64_t arena_size, entries;
    uint64_t overflow_size;                     /* 0: there is none */
    uint64_t zero[4];
    struct mob_store_entry entry[];
};

struct mob_pin_page {                           /* slot: entry << 32 | generation, +1 in the entry so that 0 is free */
    uint32_t magic, version;
    _Atomic uint32_t top;                       /* slots from here on were never used: the scan ends there. Raised before such a slot is */
    uint32_t zero32;
    _Atomic uint64_t heard;                     /* Fetched that were read, and what is wanted of them pinned (store_loan.c) */
    uint64_t zero[5];
    _Atomic uint64_t slot[MOB_PIN_SLOTS];
};

_Static_assert(offsetof(struct mob_pin_page, slot) == 64, "pin page");

/* The offset at which the overflow of an arena of this size begins: a page's, of whatever size pages are. */
static inline uint64_t mob_overflow_at(uint64_t arena_size)
{
    return (arena_size + (UINT64_C(2) << 20) - 1) & ~((UINT64_C(2) << 20) - 1);
}

static inline uint64_t mob_entry_word(uint32_t generation, enum mob_entry_state state)
{
    return (uint64_t)generation << 8 | state;
}

static inline uint64_t mob_pin_value(uint32_t entry, uint32_t generation)
{
    return ((uint64_t)entry + 1) << 32 | generation;
}

#endif
