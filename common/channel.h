/* SPDX-License-Identifier: Apache-2.0 */
/* channel.h -- a pair of shared-memory rings between an owner, who produces tasks, and a worker, who produces answers.
 *
 *   owner  -- push -->  [ task slots with claim words | bytes ]  -- claim -->  worker
 *   owner  <- answer -- [ answer slots                | bytes ]  <- reply --   worker
 *
 * Each task slot has a claim word {sequence, state}. The worker moves QUEUED -> CLAIMED, the owner QUEUED -> TAKEN, each by one
 * compare-and-swap: who wins is the truth. CLAIMED -> DONE once the answer is published; TAKEN and DONE slots are reused in order.
 * The worker claims only frames of its page's epoch; older ones it leaves for the owner to take back.
 *
 * One thread at a time on each side. Every field read from the ring is copied once and then checked; a bad one makes the channel
 * broken: all further calls fail, and mob_channel_error() says what the peer did. Nothing here allocates, blocks or enters the
 * kernel, but the doorbell. The same code runs in the simulator and under the interleaver (tests/unit/interleave.c).
 */
#ifndef MOB_COMMON_CHANNEL_H
#define MOB_COMMON_CHANNEL_H

#include <stdbool.h>

#include "common/doorbell.h"
#include "common/frame.h"

#ifndef MOB_CHANNEL_SLOTS               /* the interleaver and the fuzzer have small ones */
#define MOB_CHANNEL_SLOTS 1024          /* tasks, and answers; a power of two, as the bytes */
#define MOB_CHANNEL_BYTES (1u << 20)    /* of bodies, each way; a body is in one piece (wraps to the start when it does not fit) */
#define MOB_CHANNEL_BODY_MAX (MOB_CHANNEL_BYTES / 2)    /* of a task: so that it fits an empty ring in one piece, wherever it begins */
#endif

enum mob_channel_role { MOB_CHANNEL_OWNER, MOB_CHANNEL_WORKER };
struct mob_channel;

/* Memory for a channel: a memfd, size sealed. */
int mob_channel_create(int *ret_fd, struct mob_error *err);

/* Map it as one of its two ends. Takes over peer's page and eventfd (closes all on failure); `bit` is the dirty bit in my own page
 * that the peer shall set (written into the channel for it). MADV_DONTFORK. */
struct mob_channel *mob_channel_open(int fd, int peer_page_fd, int peer_event_fd, enum mob_channel_role role, unsigned bit,
                                     struct mob_error *err);
/* The same on plain memory of mob_channel_memory_size() zeroed bytes, for the simulator and tests; `peer` is borrowed. */
size_t mob_channel_memory_size(void);
struct mob_channel *mob_channel_on_memory(void *memory, const struct mob_doorbell *peer, enum mob_channel_role role, unsigned bit);
void mob_channel_close(struct mob_channel *c);

/* -- owner ------------------------------------------------------------------------------------------------------------- */

/* Room for one more task with a body of `size` bytes (and for 1 KiB of the answer ring that is kept for it)? */
bool mob_channel_has_room(struct mob_channel *c, size_t size);

/* Reserve a slot and body space: the frame and body may be written through the pointers until commit, which fills in body_size,
 * publishes it and gives its sequence number (for take-back; never 0). NULL: no room. One reservation at a time. */
struct mob_task_frame *mob_channel_reserve(struct mob_channel *c, size_t body_size, void **ret_body);
uint64_t mob_channel_commit(struct mob_channel *c);

/* Take an unstarted task back. True: it is ours again and will never run there. False: claimed, done, or not in the ring any more. */
bool mob_channel_take_back(struct mob_channel *c, uint64_t sequence);

/* Next answer: true, a checked copy of the frame and a pointer to its body, valid until answer_done(). */
bool mob_channel_answer(struct mob_channel *c, struct mob_answer_frame *ret_frame, const void **ret_body);
void mob_channel_answer_done(struct mob_channel *c);

/* The task of this sequence, a stream, may have sent so many items in all (or MOB_STREAM_...). No-op if it is over. Then ring. */
void mob_channel_allow(struct mob_channel *c, uint64_t sequence, uint32_t items);

/* -- worker ------------------------------------------------------------------------------------------------------------ */

/* Claim the oldest queued task of `epoch`: true, a checked copy of the frame, and its body, valid until the task is answered. Skips
 * slots that were taken back. */
bool mob_channel_claim(struct mob_channel *c, uint32_t epoch, struct mob_task_frame *ret_frame, const void **ret_body);

/* An answer of so many bytes finds room in any case, once the owner has read those before it and taken back what is not started: 128
 * rooms may still be kept then for what it pushes next, and a gap where the ring wraps is smaller than the body. */
#define MOB_CHANNEL_REPLY_MAX ((MOB_CHANNEL_BYTES - 128 * MOB_CHANNEL_REPLY_MIN) / 2)

/* Bytes an answer body may have now (at least MOB_CHANNEL_REPLY_MIN for the claimed task). A larger value is sealed in the store. */
#define MOB_CHANNEL_REPLY_MIN (1024 - 64)       /* 1 KiB with its frame, which has a slot of 64 bytes */
size_t mob_channel_reply_room(const struct mob_channel *c);

/* Reserve the answer of the claimed task; fill frame and body (body_size is filled in); commit publishes it and marks the task's slot
 * DONE. NULL: an answer above MOB_CHANNEL_REPLY_MIN found no room (the owner may have used what reply_room() saw): seal it in the
 * store; or the channel is broken. */
struct mob_answer_frame *mob_channel_reply(struct mob_channel *c, size_t body_size, void **ret_body);
void mob_channel_reply_commit(struct mob_channel *c);

/* The same for an item of the claimed task, which stays claimed: status MOB_ANSWER_ITEM is the caller's to set. NULL: there is no room now;
 * after each item that it reads the owner rings. */
bool mob_channel_item_fits(struct mob_channel *c, size_t body_size);
struct mob_answer_frame *mob_channel_item(struct mob_channel *c, size_t body_size, void **ret_body);
void mob_channel_item_commit(struct mob_channel *c);
/* How many the claimed task may have sent in all, or MOB_STREAM_... */
uint32_t mob_channel_allowed(const struct mob_channel *c);

/* Ring the owner's doorbell for answers, as mob_channel_ring() does; urgently, too, if no task of `epoch` is left in the ring, or the
 * answers fill half of it. */
void mob_channel_ring_answers(struct mob_channel *c, uint32_t epoch, bool urgent);

/* True if an unclaimed task of `epoch` is there (cheap: one load in the common case). */
bool mob_channel_pending(struct mob_channel *c, uint32_t epoch);

/* -- both -------------------------------------------------------------------------------------------------------------- */

/* Ring the peer's doorbell for what was committed since the last ring. urgent wakes a dozing owner, too. No-op if nothing new. */
void mob_channel_ring(struct mob_channel *c, bool urgent);
/* The worker: wake the owner, even a dozing one, and make it look at all its workers' pages (this one's says BLOCKED). */
void mob_channel_ring_all(const struct mob_channel *c);
bool mob_channel_half_full(struct mob_channel *c);              /* answers; the worker's */
/* NULL, or what the peer did wrong. */
const char *mob_channel_error(const struct mob_channel *c);
const struct mob_doorbell *mob_channel_peer(const struct mob_channel *c);

#endif
