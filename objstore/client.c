/* SPDX-License-Identifier: Apache-2.0 */
/* client.c -- a process's view of its node's store.
 *
 * The arena, and the overflow behind it, are mapped twice: writes go through one mapping, and whatever is handed out as a sealed object
 * lies in the other, which cannot be written. Pins are hazard pointers (objstore/layout.h): the pin is published, then the entry looked
 * at; the raylet marks the entry, then looks for pins. Both sides do the two in the one order of sequentially consistent atomics, so at
 * least one of them sees the other. Free slots are a stack, the lowest first, so that the raylet's scan of our page stays short.
 */
#include "objstore/client.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/mem.h"
#include "objstore/span.h"

#define PREPARE_MIN (UINT64_C(1) << 20)
#define FREE_ROOM_MIN 64
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

struct mob_store_client {
    bool borrowed;                      /* on memory of others */
    char *arena_read, *arena_write;
    uint64_t arena_size, overflow_at, overflow_size, span;
    const struct mob_store_meta *meta;
    uint64_t meta_size;
    uint64_t entries;
    struct mob_pin_page *pins;
    _Atomic bool *prepared;             /* by PREPARE_MIN of the arena: its page tables were filled once */
    /* any thread, under `lock` */
    pthread_mutex_t lock;
    uint32_t used_to;                   /* slots from here on were never used */
    uint32_t *free_slots, free_count, free_room;        /* of those before */
};

static int size_of(int fd, uint64_t *ret, struct mob_error *err)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return mob_error_errno(err, "looking at the store's memory");
    *ret = (uint64_t)st.st_size;
    return 0;
}

/* A mapping that fork() does not copy: a child may touch nothing of the store. */
static void *map(int fd, uint64_t size, int protection, struct mob_error *err)
{
    void *p = mob_span_reserve(size, err);

    if (p != NULL && mob_span_map(p, fd, size, protection, err) < 0) {
        mob_span_release(p, size);
        return NULL;
    }
    return p;
}

/* The arena, and the overflow behind it. */
static char *map_both(const struct mob_store_client *c, int arena_fd, int overflow_fd, int protection, struct mob_error *err)
{
    char *span = mob_span_reserve(c->span, err);

    if (span != NULL
        && (mob_span_map(span, arena_fd, c->arena_size, protection, err) < 0
            || (c->overflow_size > 0 && mob_span_map(span + c->overflow_at, overflow_fd, c->overflow_size, protection, err) < 0))) {
        mob_span_release(span, c->span);
        return NULL;
    }
    if (span != NULL)
        madvise(span, c->arena_size, MADV_HUGEPAGE);    /* who touches it first must ask for them; if there are none, it says no */
    return span;
}

static int check_meta(struct mob_store_client *c, struct mob_error *err)
{
    const struct mob_store_meta *meta = c->meta;

    if (meta->magic != MOB_STORE_MAGIC || meta->version != MOB_STORE_VERSION)
        return mob_error_set(err, MOB_ERR_VERSION, "the store's memory is of version %u, this library's %u; restart the node",
                             meta->version, MOB_STORE_VERSION);
    c->entries = meta->entries;
    if (c->entries > (c->meta_size - sizeof(*meta)) / sizeof(meta->entry[0]) || meta->arena_size != c->arena_size
        || meta->overflow_size != c->overflow_size)
        return mob_error_set(err, MOB_ERR_PROTOCOL, "the store's metadata does not fit its memory");
    if (c->pins->magic != MOB_STORE_MAGIC || c->pins->version != MOB_STORE_VERSION)
        return mob_error_set(err, MOB_ERR_VERSION, "the pin page is of another version");
    return 0;
}

static int map_all(struct mob_store_client *c, const struct mob_store_fds *fds, struct mob_error *err)
{
    uint64_t pins_size;

    if (size_of(fds->arena, &c->arena_size, err) < 0 || size_of(fds->meta, &c->meta_size, err) < 0
        || size_of(fds->pins, &pins_size, err) < 0
        || (fds->overflow >= 0 && size_of(fds->overflow, &c->overflow_size, err) < 0))
        return -1;
    if (c->meta_size < sizeof(struct mob_store_meta) || pins_size < sizeof(struct mob_pin_page) || c->arena_size == 0)
        return mob_error_set(err, MOB_ERR_PROTOCOL, "the store's memory is too short");
    c->overflow_at = mob_overflow_at(c->arena_size);
    c->span = c->overflow_at + c->overflow_size;
    if ((c->arena_read = map_both(c, fds->arena, fds->overflow, PROT_READ, err)) == NULL
        || (c->arena_write = map_both(c, fds->arena, fds->overflow, PROT_READ | PROT_WRITE, err)) == NULL
        || (c->meta = map(fds->meta, c->meta_size, PROT_READ, err)) == NULL
        || (c->pins = map(fds->pins, sizeof(*c->pins), PROT_READ | PROT_WRITE, err)) == NULL)
        return -1;
    c->prepared = mob_alloc(c->arena_size / PREPARE_MIN + 1);
    return check_meta(c, err);
}

static struct mob_store_client *client_create(void)
{
    struct mob_store_client *c = mob_new(struct mob_store_client);

    pthread_mutex_init(&c->lock, NULL);
    return c;
}

struct mob_store_client *mob_store_client_open(const struct mob_store_fds *fds, struct mob_error *err)
{
    struct mob_store_client *c = client_create();
    int mapped = map_all(c, fds, err);

    close(fds->arena);
    close(fds->meta);
    close(fds->pins);
    if (fds->overflow >= 0)
        close(fds->overflow);
    if (mapped < 0) {
        mob_store_client_close(c);
        return NULL;
    }
    return c;
}

struct mob_store_client *mob_store_client_on_memory(void *arena, const struct mob_store_meta *meta, struct mob_pin_page *pins)
{
    struct mob_store_client *c = client_create();

    c->borrowed = true;
    c->arena_read = c->arena_write = arena;
    c->arena_size = meta->arena_size;
    c->overflow_at = mob_overflow_at(meta->arena_size);
    c->overflow_size = meta->overflow_size;
    c->meta = meta;
    c->entries = meta->entries;
    c->pins = pins;
    return c;
}

/* What somebody still looks at stays mapped for ever: to read what is no object any more is wrong, to end by SIGSEGV is worse. */
void mob_store_client_close(struct mob_store_client *c)
{
    if (c == NULL)
        return;
    if (!c->borrowed) {
        if (c->used_to == c->free_count)
            mob_span_release(c->arena_read, c->span);
        mob_span_release(c->arena_write, c->span);
        mob_span_release((void *)(uintptr_t)c->meta, c->meta_size);
        mob_span_release(c->pins, sizeof(*c->pins));
    }
    pthread_mutex_destroy(&c->lock);
    free((void *)c->prepared);
    free(c->free_slots);
    free(c);
}

/* In the arena, or else in the overflow. */
uint64_t mob_store_client_size(const struct mob_store_client *c)
{
    return c->arena_size;
}

static bool within(const struct mob_store_client *c, uint64_t offset, uint64_t size)
{
    uint64_t behind = offset - c->overflow_at;

    if (offset <= c->arena_size && size <= c->arena_size - offset)
        return true;                    /* the end of the arena may be the beginning of the overflow */
    return offset >= c->overflow_at && behind <= c->overflow_size && size <= c->overflow_size - behind;
}

void *mob_store_client_write(struct mob_store_client *c, uint64_t offset, uint64_t size)
{
    return within(c, offset, size) ? c->arena_write + offset : NULL;
}

void mob_store_client_prepare(struct mob_store_client *c, void *data, uint64_t size)
{
    uint64_t offset = (uint64_t)((char *)data - c->arena_write);

    if (c->borrowed || size < PREPARE_MIN)
        return;
    if (offset >= c->overflow_at) {     /* begins with a page, and its pages are new each time */
        madvise(data, size, MADV_POPULATE_WRITE);
        return;
    }
    for (uint64_t i = offset / PREPARE_MIN; i < (offset + size) / PREPARE_MIN; i++)
        if (!atomic_exchange_explicit(&c->prepared[i], true, memory_order_relaxed))      /* an old kernel does not know it: no harm */
            madvise(c->arena_write + i * PREPARE_MIN, PREPARE_MIN, MADV_POPULATE_WRITE);
}

static bool slot_take(struct mob_store_client *c, uint32_t *ret_slot)
{
    bool there;

    pthread_mutex_lock(&c->lock);
    there = c->free_count > 0 || c->used_to < MOB_PIN_SLOTS;
    if (c->free_count > 0) {
        *ret_slot = c->free_slots[--c->free_count];
    } else if (there) {
        *ret_slot = c->used_to++;
        atomic_store(&c->pins->top, c->used_to);        /* before anything stands in the slot */
    }
    pthread_mutex_unlock(&c->lock);
    return there;
}

const void *mob_store_client_pin(struct mob_store_client *c, uint32_t entry, uint32_t generation, const struct mob_object_id *id,
                                 uint64_t *ret_size, uint32_t *ret_slot, bool *ret_full)
{
    const struct mob_store_entry *e;
    uint32_t slot;

    *ret_full = false;
    if (entry >= c->entries)
        return NULL;
    if (!slot_take(c, &slot)) {
        *ret_full = true;
        return NULL;
    }
    e = &c->meta->entry[entry];
    atomic_store(&c->pins->slot[slot], mob_pin_value(entry, generation));
    if (atomic_load(&e->word) != mob_entry_word(generation, MOB_ENTRY_SEALED)
        || !mob_object_id_eq(&e->object, id) || !within(c, e->offset, e->size)) {
        mob_store_client_unpin(c, slot);
        return NULL;
    }
    *ret_size = e->size;
    *ret_slot = slot;
    return c->arena_read + e->offset;
}

void mob_store_client_unpin(struct mob_store_client *c, uint32_t slot)
{
    assert(slot < c->used_to);
    atomic_store_explicit(&c->pins->slot[slot], 0, memory_order_release);       /* all reads of the object are before it */
    pthread_mutex_lock(&c->lock);
    assert(c->free_count < c->used_to);
    if (c->free_count == c->free_room) {
        c->free_room += c->free_room + FREE_ROOM_MIN;
        c->free_slots = mob_realloc(c->free_slots, c->free_room * sizeof *c->free_slots);
    }
    c->free_slots[c->free_count++] = slot;
    pthread_mutex_unlock(&c->lock);
}

void mob_store_client_heard(struct mob_store_client *c)
{
    atomic_store(&c->pins->heard, atomic_load_explicit(&c->pins->heard, memory_order_relaxed) + 1);      /* the pins are before it */
}
