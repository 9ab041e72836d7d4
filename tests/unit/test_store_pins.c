/* SPDX-License-Identifier: Apache-2.0 */
/* test_store_pins.c -- pins against evictions, by threads (run it under TSan, too), and what the maps and seals forbid. */
#include "store_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "objstore/layout.h"

#define READERS 2
#define READER 10u              /* processes READER, READER + 1 ... */
#define MAKER 5u
#define ROUNDS 3000
#define SIZE 4096u

/* What the maker last sealed: entry and generation as one word, and the object's task number with it. */
struct race {
    struct fixture *f;
    _Atomic uint64_t hint, task;
    _Atomic bool over;
    _Atomic uint64_t hits, wrong;
};

struct reader {
    pthread_t thread;
    struct race *race;
    struct mob_store_client *client;
};

/* While it is pinned, an object is what its maker wrote: all bytes are its task number's low byte. */
static void *read_all(void *arg)
{
    struct reader *r = arg;

    while (!atomic_load(&r->race->over)) {
        uint64_t task = atomic_load(&r->race->task), hint = atomic_load(&r->race->hint), size;
        struct mob_object_id id = object_of(HERE, MAKER, task);
        const unsigned char *bytes;
        unsigned wrong = 0;
        uint32_t slot;
        bool full;

        bytes = mob_store_client_pin(r->client, (uint32_t)(hint >> 32), (uint32_t)hint, &id, &size, &slot, &full);
        if (bytes == NULL)
            continue;
        for (unsigned i = 0; i < SIZE; i++)
            wrong += bytes[i] != (unsigned char)task;
        atomic_fetch_add(&r->race->wrong, wrong + (size != SIZE));
        mob_store_client_unpin(r->client, slot);
        atomic_fetch_add(&r->race->hits, 1);
    }
    return NULL;
}

/* Room for three objects, each freed as soon as it is sealed: the readers are always about to pin bytes that are written anew. */
static void race_of_pins_and_evictions(struct fixture *f)
{
    struct mob_store_client *maker = fixture_client(f, MAKER);
    struct race race = { .f = f };
    struct reader readers[READERS];
    uint64_t task;

    for (unsigned i = 0; i < READERS; i++) {
        readers[i] = (struct reader){ .race = &race, .client = fixture_client(f, READER + i) };
        pthread_create(&readers[i].thread, NULL, read_all, &readers[i]);
    }
    for (task = 1; task <= ROUNDS || atomic_load(&race.hits) < ROUNDS / 10; task++) {
        struct mob_object_id id = object_of(HERE, MAKER, task);
        struct answer a = make(f, maker, MAKER, id, SIZE, (int)(task & 0xff));

        atomic_store(&race.hint, (uint64_t)a.entry << 32 | a.generation);
        atomic_store(&race.task, task);
        if (task % 2 == 0)
            sched_yield();
        send_free(f, MAKER, id);
        while (mob_store_usage(f->store).used == 3 * SIZE)      /* all are pinned: until a reader lets go */
            mob_store_tick(f->store, 0);
        if (task % 64 == 0)
            mob_store_check(f->store);
    }
    atomic_store(&race.over, true);
    for (unsigned i = 0; i < READERS; i++) {
        pthread_join(readers[i].thread, NULL);
        mob_store_client_close(readers[i].client);
    }
    mob_store_tick(f->store, 0);
    ck_assert_uint_eq(mob_store_usage(f->store).used, 0);
    ck_assert_uint_eq(race.wrong, 0);
    mob_store_client_close(maker);
    fixture_destroy(f);
}

START_TEST(test_no_pinned_byte_is_ever_written)
{
    race_of_pins_and_evictions(fixture_create_in(3 * SIZE, true));      /* one address for all: TSan sees each access */
    race_of_pins_and_evictions(fixture_create_in(3 * SIZE, false));     /* the mappings of real processes */
}
END_TEST

START_TEST(test_slots_run_out_and_come_back)
{
    struct fixture *f = fixture_create(1 << 20);
    struct mob_store_client *c = fixture_client(f, MAKER);
    struct mob_object_id id = object_of(HERE, MAKER, 1);
    struct answer a = make(f, c, MAKER, id, 10, 'x');
    static uint32_t slots[MOB_PIN_SLOTS];
    uint32_t one_more;
    uint64_t size;
    bool full;

    for (unsigned i = 0; i < MOB_PIN_SLOTS; i++)
        ck_assert_ptr_nonnull(mob_store_client_pin(c, a.entry, a.generation, &id, &size, &slots[i], &full));
    ck_assert_ptr_null(mob_store_client_pin(c, a.entry, a.generation, &id, &size, &one_more, &full));
    ck_assert(full);
    send_free(f, MAKER, id);
    for (unsigned i = 0; i < MOB_PIN_SLOTS; i++) {
        ck_assert_uint_eq(mob_store_usage(f->store).objects, 1);
        mob_store_client_unpin(c, slots[i]);
        mob_store_tick(f->store, 0);
    }
    ck_assert_uint_eq(mob_store_usage(f->store).objects, 0);
    mob_store_client_close(c);
    fixture_destroy(f);
}
END_TEST

/* A client can write its own pin page as it likes: it can hold what there is to hold, and nothing else. */
START_TEST(test_a_page_of_garbage_does_no_harm)
{
    struct fixture *f = fixture_create(1 << 20);
    struct mob_store_client *c = fixture_client(f, MAKER);
    int arena, meta, pins;
    struct mob_pin_page *page;
    uint64_t state = 5;

    ck_assert_int_eq(mob_store_client(f->store, READER, &arena, &meta, &pins, NULL), 0);
    page = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, pins, 0);
    ck_assert_ptr_ne(page, MAP_FAILED);
    atomic_store(&page->top, UINT32_MAX);
    for (unsigned i = 0; i < MOB_PIN_SLOTS; i++)
        atomic_store(&page->slot[i], unit_random(&state));
    for (uint64_t task = 1; task < 50; task++) {
        make(f, c, MAKER, object_of(HERE, MAKER, task), 100, 'x');
        send_free(f, MAKER, object_of(HERE, MAKER, task));
    }
    ck_assert_uint_eq(mob_store_usage(f->store).objects, 0);
    munmap(page, sizeof(*page));
    close(pins);
    mob_store_client_close(c);
    fixture_destroy(f);
}
END_TEST

START_TEST(test_what_clients_cannot_do)
{
    struct fixture *f = fixture_create(1 << 20);
    struct mob_store_client *c = fixture_client(f, MAKER);
    int arena, meta, pins;

    ck_assert_int_eq(mob_store_client(f->store, READER, &arena, &meta, &pins, NULL), 0);
    ck_assert_ptr_eq(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, meta, 0), MAP_FAILED);
    ck_assert_int_lt(pwrite(meta, "x", 1, 0), 0);
    ck_assert_int_lt(ftruncate(arena, 0), 0);
    ck_assert_int_lt(ftruncate(meta, 0), 0);
    ck_assert_int_lt(ftruncate(pins, 0), 0);
    ck_assert_ptr_null(mob_store_client_write(c, (1 << 20) - 10, 11));
    ck_assert_ptr_null(mob_store_client_write(c, UINT64_MAX, 2));
    ck_assert_ptr_nonnull(mob_store_client_write(c, (1 << 20) - 10, 10));
    ck_assert_int_eq(mob_store_client(f->store, READER, &arena, &meta, &pins, NULL), -1);
    close(pins);
    mob_store_client_close(c);
    fixture_destroy(f);
}
END_TEST

START_TEST(test_memory_of_something_else_is_refused)
{
    struct mob_error err;
    int fd[3];

    for (unsigned i = 0; i < 3; i++) {
        fd[i] = memfd_create("zeros", MFD_CLOEXEC);
        ck_assert_int_eq(ftruncate(fd[i], sizeof(struct mob_pin_page)), 0);     /* of all three the longest that is needed */
    }
    ck_assert_ptr_null(mob_store_client_open(&(struct mob_store_fds){ fd[0], fd[1], fd[2], -1 }, &err));
    ck_assert_int_eq(err.code, MOB_ERR_VERSION);
    ck_assert_int_eq(fcntl(fd[0], F_GETFD), -1);        /* taken over in any case */
}
END_TEST

UNIT_MAIN("store_pins", test_no_pinned_byte_is_ever_written, test_slots_run_out_and_come_back, test_a_page_of_garbage_does_no_harm,
          test_what_clients_cannot_do, test_memory_of_something_else_is_refused)
