/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_pins.c -- shared memory of the store that another process writes. The raylet reads a client's pin page of any bytes: an
 * object that is pinned as it should be stays as long as it is, whatever stands beside it, and all is free when the client has
 * gone. A client reads metadata of any bytes: what it hands out lies in the arena. */
#include <sys/mman.h>

#include "objstore/layout.h"
#include "unit/store_fixture.h"

#define STORE_BYTES (64 << 10)
#define CLIENT 1u
#define OBJECTS 4
#define USED 2                          /* slots that the client says it uses, at first */

struct pinned {
    uint32_t entry, generation;
    uint32_t slot;                      /* of a pin that is as it should be; MOB_PIN_SLOTS: none */
};

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* -- the raylet ---------------------------------------------------------------------------------------------------------------- */

static void check_pins(const struct fixture *f, const struct pinned *pinned)
{
    const struct mob_store_meta *meta = mob_store_metadata(f->store);

    mob_store_check(f->store);
    for (int i = 0; i < OBJECTS; i++)
        if (pinned[i].slot < MOB_PIN_SLOTS)
            assert(meta->entry[pinned[i].entry].word == mob_entry_word(pinned[i].generation, MOB_ENTRY_SEALED));
}

/* Pin it as a client does. */
static void pin(const struct fixture *f, struct mob_pin_page *page, struct pinned *p, uint32_t slot)
{
    if (mob_store_metadata(f->store)->entry[p->entry].word != mob_entry_word(p->generation, MOB_ENTRY_SEALED) || slot >= page->top)
        return;
    page->slot[slot] = mob_pin_value(p->entry, p->generation);
    p->slot = slot;
}

/* The client writes over slots from `from` on, or says that they are not used. */
static void forget(struct pinned *pinned, uint32_t from, uint32_t to)
{
    for (int i = 0; i < OBJECTS; i++)
        if (pinned[i].slot >= from && pinned[i].slot < to)
            pinned[i].slot = MOB_PIN_SLOTS;
}

/* A pull may start late, when what an earlier act freed gives it room. */
static void end_flights(struct fixture *f, bool lost)
{
    struct mob_error err = { .code = MOB_ERR_NODE_DIED };

    while (f->flights > 0)
        fly(f, 0, lost ? (struct mob_range_result){ .err = &err, .final = true }
                       : (struct mob_range_result){ .got = f->flight[0]->range.ask.length });
}

static void act(struct fixture *f, struct mob_pin_page *page, struct pinned *pinned, const uint8_t *b)
{
    struct pinned *p = &pinned[b[1] % OBJECTS];
    struct mob_object_id id = object_of(HERE, CLIENT, b[1] % OBJECTS);
    uint32_t slot = b[3] < 128 ? b[2] % USED : (b[2] | (uint32_t)b[3] << 8) % MOB_PIN_SLOTS;
    uint64_t value;

    memcpy(&value, b + 4, sizeof value);
    switch (b[0] % 8) {
    case 0:
        send_create(f, CLIENT, id, value % (STORE_BYTES / 2));
        if (f->last.err.code == MOB_OK)
            *p = (struct pinned){ f->last.entry, f->last.generation, MOB_PIN_SLOTS };
        break;
    case 1:
        send_seal(f, CLIENT, id, p->entry);
        break;
    case 2:
        send_free(f, CLIENT, id);
        break;
    case 3:
        forget(pinned, slot, slot + 1);
        page->slot[slot] = value;
        break;
    case 4:
        page->top = (uint32_t)value;
        forget(pinned, page->top, MOB_PIN_SLOTS);
        break;
    case 5:
        forget(pinned, slot, slot + 1);
        if (p->slot == MOB_PIN_SLOTS)
            pin(f, page, p, slot);
        break;
    case 6:
        send_fetch(f, CLIENT, id, value, b[3] % 2 ? ELSEWHERE : HERE);
        end_flights(f, b[2] % 2);
        break;
    default:
        mob_store_tick(f->store, 0);
        break;
    }
}

static void read_pins(const uint8_t *bytes, size_t size)
{
    static struct fixture *f;           /* one for all: its tables are large */
    struct pinned pinned[OBJECTS];
    int arena, meta, fd;

    if (f == NULL)
        f = fixture_create_in(STORE_BYTES, true);
    for (int i = 0; i < OBJECTS; i++)
        pinned[i] = (struct pinned){ 0, 0, MOB_PIN_SLOTS };
    ck_assert_msg(mob_store_client(f->store, CLIENT, &arena, &meta, &fd, NULL) == 0, "no client");
    struct mob_pin_page *page = mob_store_pins(f->store, CLIENT);

    page->top = USED;
    for (; size >= 12; bytes += 12, size -= 12) {
        act(f, page, pinned, bytes);
        check_pins(f, pinned);
    }
    mob_store_client_gone(f->store, CLIENT);
    end_flights(f, true);
    mob_store_tick(f->store, 0);
    mob_store_check(f->store);
    assert(mob_store_usage(f->store).used == 0 && mob_store_usage(f->store).objects == 0);
}

/* -- the client ---------------------------------------------------------------------------------------------------------------- */

static int memory_of(const void *bytes, size_t size, size_t room)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);

    assert(fd >= 0 && ftruncate(fd, (off_t)room) == 0 && (size == 0 || write(fd, bytes, size) == (ssize_t)size));
    return fd;
}

/* Half of them sealed, and not far from the arena's end. */
static void make_likely(struct mob_store_entry *e)
{
    if (e->word % 2 == 0)
        e->word = mob_entry_word((uint32_t)(e->word >> 8), MOB_ENTRY_SEALED);
    if (e->zero[0] % 2 == 0) {
        e->offset %= 2 * STORE_BYTES;
        e->size %= 2 * STORE_BYTES;
    }
}

/* The bytes as metadata; one bit says whether its head is good. Each of its entries is pinned as it says it is. */
static void read_metadata(const uint8_t *bytes, size_t size, bool good)
{
    const uint32_t pins[] = { MOB_STORE_MAGIC, MOB_STORE_VERSION };         /* the rest of the page is zeros */
    struct mob_store_meta head = { .magic = MOB_STORE_MAGIC, .version = MOB_STORE_VERSION, .arena_size = STORE_BYTES };
    _Alignas(struct mob_store_entry) uint8_t meta[4096] = { 0 };
    struct mob_store_client *c;
    struct mob_store_fds fds;
    size_t entries;

    size = size < sizeof meta - sizeof head ? size : sizeof meta - sizeof head;
    entries = head.entries = size / sizeof(struct mob_store_entry);
    memcpy(meta, &head, sizeof head);
    memcpy(meta + (good ? sizeof head : 0), bytes, size);
    for (size_t i = 0; good && i < entries; i++)
        make_likely((struct mob_store_entry *)(meta + sizeof head) + i);
    fds = (struct mob_store_fds){ memory_of(NULL, 0, STORE_BYTES), memory_of(meta, sizeof head + size, sizeof head + size),
                                  memory_of(pins, sizeof pins, sizeof(struct mob_pin_page)), -1 };
    c = mob_store_client_open(&fds, NULL);
    if (c == NULL)
        return;
    for (uint32_t i = 0; i < entries + 2; i++) {
        struct mob_store_entry e = { 0 };
        uint64_t length = 0, sum = 0;
        uint32_t slot;
        bool full;

        if (i < entries)
            memcpy(&e, meta + sizeof head + i * sizeof e, sizeof e);
        const uint8_t *data = mob_store_client_pin(c, i, (uint32_t)(e.word >> 8), &e.object, &length, &slot, &full);
        if (data == NULL)
            continue;
        assert(length == e.size && length <= STORE_BYTES && e.offset <= STORE_BYTES - length);
        for (uint64_t at = 0; at < length; at++)
            sum += data[at];
        assert(sum == 0);
        mob_store_client_unpin(c, slot);
    }
    mob_store_client_close(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size == 0)
        return 0;
    if (bytes[0] % 4 < 2)
        read_pins(bytes + 1, size - 1);
    else
        read_metadata(bytes + 1, size - 1, bytes[0] % 4 == 2);
    return 0;
}
