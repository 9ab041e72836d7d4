/* SPDX-License-Identifier: Apache-2.0 */
/* disk_flow.c -- a ring of slots between the arena and a spill file, so that the disk never waits for the processor, nor it for the disk.
 *
 *   writing   put(): copied, hashed --> | filled | under way | under way | under way | --> the disk
 *   reading   the disk --> | under way | under way | under way | here | --> get(): copied, hashed
 *
 * The file is read and written directly (O_DIRECT): no page of the cache for it, and a third of the processor's time. That wants whole
 * blocks, and extents begin at any 64 bytes: hence the copy. Slots are huge pages where the system has them: a disk takes so many pieces
 * of memory in one request, and with pieces of 4 KiB a fast one stays at half its rate. The kernel's own asynchronous I/O, io_submit(2),
 * keeps them under way without a thread for each. There are many, as a virtual disk may say nothing of what it has done before it has done
 * all that it was told: then it stands still once a round, until this thread has its turn again on a processor that others want, too.
 *
 * A file system may know no O_DIRECT, a system no io_submit. So when it is a slot's turn and its bytes have not been moved, or not all of
 * them, they are moved then by a plain read or write; if the file refuses O_DIRECT, through the page cache, which is emptied of them again.
 */
#include "objstore/disk_flow.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/mem.h"
#include "objstore/bulk_wire.h"
#include "objstore/disk.h"

#define SLOT (UINT64_C(2) << 20)        /* a huge page */
#define SLOTS 18u                       /* batches are of some 32 or 64 MiB, and a little more: that shall not wait for a slot */
#define CACHED (UINT64_C(128) << 10)    /* copied, and hashed while it is in the processor's cache */

struct slot {
    char *bytes;
    uint64_t at, size;                  /* in the file */
    uint64_t done;                      /* of them, by the disk */
    bool under_way;
};

struct disk_flow {
    bool writing;
    aio_context_t aio;                  /* 0: there is none */
    char *memory;
    int fd;                             /* -1: none */
    uint64_t from, position;            /* in the file: where it began, and is */
    uint64_t next, end, limit;          /* reading: the next slot; what is asked for; what is read ahead */
    struct slot slots[SLOTS];
    unsigned first, count;              /* those that were sent, the oldest first; writing: the one behind them is being filled */
};

/* -- the disk ------------------------------------------------------------------------------------------------------------ */

static struct slot *slot_at(struct disk_flow *f, unsigned i)
{
    return &f->slots[(f->first + i) % SLOTS];
}

/* The oldest is not needed any more. */
static void leave_first(struct disk_flow *f)
{
    assert(f->count > 0 && !slot_at(f, 0)->under_way);
    f->first = (f->first + 1) % SLOTS;
    f->count--;
}

static void slot_send(struct disk_flow *f, struct slot *s)
{
    struct iocb io = { .aio_data = (uintptr_t)s, .aio_lio_opcode = f->writing ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD,
                       .aio_fildes = (uint32_t)f->fd, .aio_buf = (uintptr_t)s->bytes, .aio_nbytes = s->size, .aio_offset = (int64_t)s->at };
    struct iocb *list = &io;

    assert(!s->under_way && s->size > 0);
    s->done = 0;
    s->under_way = f->aio != 0 && syscall(SYS_io_submit, f->aio, 1L, &list) == 1;
}

/* Until the disk has done with it, well or not. */
static void slot_await(struct disk_flow *f, const struct slot *s)
{
    struct io_event events[SLOTS];

    while (s->under_way) {
        long n = syscall(SYS_io_getevents, f->aio, 1L, (long)SLOTS, events, NULL);

        assert(n > 0 || errno == EINTR);
        for (long i = 0; i < n; i++) {
            struct slot *landed = (struct slot *)(uintptr_t)events[i].data;

            landed->under_way = false;
            landed->done = events[i].res > 0 ? (uint64_t)events[i].res : 0;
        }
    }
}

static bool goes_through_cache(const struct disk_flow *f)
{
    return (fcntl(f->fd, F_GETFL) & O_DIRECT) == 0;
}

/* Until so much of it is done. -1: errno says why; 0 there: the file has no more. */
static int slot_finish(struct disk_flow *f, struct slot *s, uint64_t needed)
{
    slot_await(f, s);
    while (s->done < needed) {
        char *bytes = s->bytes + s->done;
        uint64_t left = s->size - s->done, at = s->at + s->done;
        ssize_t n = f->writing ? pwrite(f->fd, bytes, left, (off_t)at) : pread(f->fd, bytes, left, (off_t)at);

        if (n > 0) {
            s->done += (uint64_t)n;
        } else if (n == 0) {
            errno = 0;
            return -1;
        } else if (errno == EINVAL && !goes_through_cache(f)) {
            fcntl(f->fd, F_SETFL, fcntl(f->fd, F_GETFL) & ~O_DIRECT);
        } else if (errno != EINTR) {
            return -1;
        }
    }
    return 0;
}

static void leave_no_cache(const struct disk_flow *f, uint64_t at, uint64_t size)
{
    if (goes_through_cache(f))
        posix_fadvise(f->fd, (off_t)at, (off_t)size, POSIX_FADV_DONTNEED);
}

static void carry(void *to, const void *from, uint64_t size, struct bulk_summer *sum)
{
    for (uint64_t at = 0; at < size; at += CACHED) {
        uint64_t n = size - at < CACHED ? size - at : CACHED;

        memcpy((char *)to + at, (const char *)from + at, n);
        if (sum != NULL)
            bulk_summer_add(sum, (const char *)from + at, n);
    }
}

/* -- writing ------------------------------------------------------------------------------------------------------------- */

void disk_flow_begin(struct disk_flow *f, int fd, uint64_t at)
{
    disk_flow_drop(f, false);
    f->fd = fd;
    f->from = f->position = at;
    slot_at(f, 0)->size = 0;
}

/* The slot that was filled goes, and the next one can be. */
static int send_filled(struct disk_flow *f)
{
    struct slot *s = slot_at(f, f->count);

    s->at = f->position - s->size;
    slot_send(f, s);
    if (++f->count == SLOTS) {
        if (slot_finish(f, slot_at(f, 0), slot_at(f, 0)->size) < 0)
            return -1;
        leave_first(f);
    }
    slot_at(f, f->count)->size = 0;
    return 0;
}

int disk_flow_put(struct disk_flow *f, const void *bytes, uint64_t size, struct bulk_summer *sum)
{
    while (size > 0) {
        struct slot *s = slot_at(f, f->count);
        uint64_t n = SLOT - s->size < size ? SLOT - s->size : size;

        carry(s->bytes + s->size, bytes, n, sum);
        s->size += n;
        f->position += n;
        if (s->size == SLOT && send_filled(f) < 0)
            return -1;
        bytes = (const char *)bytes + n;
        size -= n;
    }
    return 0;
}

int disk_flow_end(struct disk_flow *f)
{
    static const char zeros[MOB_DISK_BLOCK];
    uint64_t beyond = f->position % MOB_DISK_BLOCK;

    if (beyond > 0 && disk_flow_put(f, zeros, MOB_DISK_BLOCK - beyond, NULL) < 0)
        return -1;
    if (slot_at(f, f->count)->size > 0 && send_filled(f) < 0)
        return -1;
    for (unsigned i = 0; i < f->count; i++)
        if (slot_finish(f, slot_at(f, i), slot_at(f, i)->size) < 0)
            return -1;
    if (goes_through_cache(f) && fdatasync(f->fd) < 0)
        return -1;
    leave_no_cache(f, f->from, f->position - f->from);
    return 0;
}

/* -- reading ------------------------------------------------------------------------------------------------------------- */

/* What is before `to` is not needed any more; the disk gets what has room instead. */
static void go_on(struct disk_flow *f, uint64_t to)
{
    f->position = to;
    while (f->count > 0 && slot_at(f, 0)->at + slot_at(f, 0)->size <= to) {
        slot_await(f, slot_at(f, 0));
        leave_no_cache(f, slot_at(f, 0)->at, slot_at(f, 0)->size);
        leave_first(f);
    }
    while (f->count < SLOTS && (f->next < f->end || f->next + SLOT <= f->limit)) {
        struct slot *s = slot_at(f, f->count++);

        s->at = f->next;
        s->size = f->limit - f->next < SLOT ? f->limit - f->next : SLOT;
        f->next += s->size;
        slot_send(f, s);
    }
}

void disk_flow_seek(struct disk_flow *f, int fd, uint64_t at, uint64_t end, uint64_t limit)
{
    if (f->fd != fd || at < f->position || at - f->position >= MOB_DISK_BLOCK) {
        disk_flow_drop(f, false);
        f->fd = fd;
        f->from = at;
        f->next = at - at % MOB_DISK_BLOCK;
    }
    f->end = mob_disk_blocks(end);
    f->limit = mob_disk_blocks(end + (at - f->from));
    if (f->limit > limit)
        f->limit = limit;
    go_on(f, at);
}

int disk_flow_get(struct disk_flow *f, void *bytes, uint64_t size, struct bulk_summer *sum)
{
    while (size > 0) {
        struct slot *s = slot_at(f, 0);
        uint64_t from = f->position - s->at, n = s->size - from < size ? s->size - from : size;

        assert(f->count > 0);
        if (slot_finish(f, s, from + n) < 0)
            return -1;
        if (bytes != NULL) {
            carry(bytes, s->bytes + from, n, sum);
            bytes = (char *)bytes + n;
        }
        size -= n;
        go_on(f, f->position + n);
    }
    return 0;
}

/* -- life ---------------------------------------------------------------------------------------------------------------- */

struct disk_flow *disk_flow_create(bool writing)
{
    struct disk_flow *f = mob_new(struct disk_flow);

    f->writing = writing;
    f->fd = -1;
    if (syscall(SYS_io_setup, SLOTS, &f->aio) < 0)
        f->aio = 0;
    f->memory = aligned_alloc(SLOT, SLOTS * SLOT);
    assert(f->memory != NULL);
    madvise(f->memory, SLOTS * SLOT, MADV_HUGEPAGE);
    for (unsigned i = 0; i < SLOTS; i++)
        f->slots[i].bytes = f->memory + i * SLOT;
    return f;
}

void disk_flow_drop(struct disk_flow *f, bool rest)
{
    for (unsigned i = 0; i < f->count; i++) {
        slot_await(f, slot_at(f, i));
        leave_no_cache(f, slot_at(f, i)->at, slot_at(f, i)->size);
    }
    f->first = f->count = 0;
    f->fd = -1;
    if (rest)
        madvise(f->memory, SLOTS * SLOT, MADV_DONTNEED);
}

void disk_flow_destroy(struct disk_flow *f)
{
    if (f == NULL)
        return;
    disk_flow_drop(f, false);
    if (f->aio != 0)
        syscall(SYS_io_destroy, f->aio);
    free(f->memory);
    free(f);
}
