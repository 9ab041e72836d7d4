/* SPDX-License-Identifier: Apache-2.0 */
/* test_interleave_pins.c -- pins and loans against evictions (objstore/layout.h, store_loan.c) through every order of their atomic steps
 * (interleave.c), with a kill of a reader at each: nobody reads a byte of an object whose place was given to another, who was told that
 * an object is here finds it, and what a dead reader had pinned or had been told of keeps nothing.
 *
 * The store is the real one, with one entry and an arena of one object, so that the next object must have the place of the last:
 *
 *   raylet    frees object 1, waits until nobody pins it, makes object 2 in its place, frees that, too
 *   readers   pin by what they know of object 1, and later of object 2; who has a pin reads
 *             or were told of object 1 by an answer that they have not read yet: they pin it, count the answer, and read
 *
 * The bytes of an object are its number. The raylet's plain stores (an entry's id, offset, size) are in memory at once here: each stands
 * before a store with a fence, so a buffer could only keep them for longer while the word forbids to look at them.
 *
 * `sabotage` takes the strength from one operation: the tests that do so show that the search finds the bug that this makes.
 * Found so, as a byte of another object under a pin, unless something else is said:
 *   fence of mob_store_client_pin (publish / look at the entry):     test_without_fence_in_pin
 *   ... or the look before the publication:                          test_with_pin_after_look
 *   fence of mob_room_evict (mark / look at pins):                   test_without_fence_in_evict
 *   ... or the look before the mark:                                 test_with_mark_after_look
 *   `top` raised after the look at the entry:                        test_with_top_raised_late
 *   generation not looked at, and the same id made again:            test_without_generation
 *   no word of a reader's death:             waits for ever          test_without_death_notice
 *   ... of one who was told of an object:     the same             test_loans_without_death_notice
 *   an answer counted before its pin:        it is not there       test_with_answer_counted_first
 *   a store that evicts what is lent:        it is not there       (test_who_was_told_finds_it, if store_room.c looks at no `lent`)
 * The fence after raising `top` costs nothing here, where stores keep their order and the pin's own fence follows.
 */
#include "interleave_store.h"

#include "interleave_scene.h"
#include "store_fixture.h"

#define READER 10u                      /* processes READER, READER + 1 */
#define MAKER 5u
#define SIZE 64u                        /* of the arena, and of each object */
#define RAYLET 2                        /* the actor */

/* -- the ground ------------------------------------------------------------------------------------------------------------- */

struct shared {
    struct fixture fixture;
    struct mob_store_client *readers[2];
    struct mob_pin_page *pages[2];
    bool wrong, done;                   /* facts: a byte of another object was seen; the raylet came to its end */
    bool missed;                        /* what a reader had been told of was not there */
};

static struct shared ground;
static bool same_id;                    /* of the scene that is searched */
static unsigned told;                   /* the same; bits of readers */
static _Alignas(64) char memory[1u << 16];
static size_t memory_used;
static struct {                         /* the ground of this scene before anybody moved; made once, as it costs more than a run */
    bool made;
    struct shared ground;
    size_t used;
    _Alignas(64) char memory[sizeof memory];
} beginning;

void *ground_alloc(size_t count, size_t size)
{
    size_t *block = (size_t *)(memory + memory_used);

    size = (count * size + 15) & ~(size_t)15;
    memory_used += 16 + size;
    assert(memory_used <= sizeof memory);
    block[0] = size;
    return memset(block + 2, 0, size);
}

void *ground_realloc(void *p, size_t size)
{
    void *grown = ground_alloc(1, size);

    if (p != NULL)
        memcpy(grown, p, ((size_t *)p)[-2] < size ? ((size_t *)p)[-2] : size);
    return grown;
}

static struct mob_object_id object_at(uint32_t generation)
{
    return object_of(HERE, MAKER, same_id ? 1 : generation + 1);
}

/* The raylet works for the maker, as a message from it would make it. */
static void make_next(struct shared *s, uint32_t generation)
{
    struct mob_object_id id = object_at(generation);

    send_create(&s->fixture, MAKER, id, SIZE);
    assert(s->fixture.last.err.code == MOB_OK && s->fixture.last.generation == generation);     /* each ck_assert() writes to a file */
    step_store((uint64_t *)mob_store_arena(s->fixture.store), 8, generation + 1, __func__);
    send_seal(&s->fixture, MAKER, id, s->fixture.last.entry);
}

static void make_beginning(void)
{
    struct shared *s = &ground;
    struct mob_store_config config = { .bytes = SIZE, .node = HERE, .answer = fixture_answer, .arg = &s->fixture };
    int fds[3];

    memset(memory, 0, memory_used);
    memory_used = 0;
    *s = (struct shared){ 0 };
    s->fixture.store = mob_store_create(&config, true, NULL);
    mob_store_client(s->fixture.store, MAKER, &fds[0], &fds[1], &fds[2], NULL);
    for (unsigned i = 0; i < 2; i++) {
        s->readers[i] = fixture_client(&s->fixture, READER + i);
        s->pages[i] = mob_store_pins(s->fixture.store, READER + i);
    }
    make_next(s, 0);
    s->fixture.deaf = true;
    for (unsigned i = 0; i < 2; i++)
        if (told >> i & 1)
            send_fetch(&s->fixture, READER + i, object_at(0), SIZE, HERE);
    beginning.made = true;
    beginning.ground = ground;
    beginning.used = memory_used;
    memcpy(beginning.memory, memory, sizeof memory);
}

static void *store_create(void)
{
    if (!beginning.made)
        make_beginning();
    ground = beginning.ground;
    memcpy(memory, beginning.memory, memory_used);
    memory_used = beginning.used;
    return &ground;
}

/* All that is not as it was: what the actors share, and what they keep between two calls. */
static uint64_t store_hash(uint64_t h, const void *shared)
{
    const struct shared *s = shared;

    for (size_t at = 0; at < memory_used; at += 64)
        if (memcmp(memory + at, beginning.memory + at, 64) != 0)
            h = hash(hash(h, &(uint64_t){ at }, 8), memory + at, 64);
    return hash(h, &(uint64_t){ s->missed * 4u + s->wrong * 2u + s->done }, 8);
}

static void store_destroy(void *shared)
{
    (void)shared;
}

static const struct ground store_ground = { store_create, store_hash, store_destroy };

/* -- the actors ------------------------------------------------------------------------------------------------------------- */

static void pin_and_read(struct shared *s, unsigned self, uint32_t generation)
{
    struct mob_object_id id = object_at(generation);
    const uint64_t *bytes;
    uint64_t size;
    uint32_t slot;
    bool full;

    bytes = mob_store_client_pin(s->readers[self], 0, generation, &id, &size, &slot, &full);
    assert(!full);
    if (bytes == NULL)
        return;
    s->wrong |= step_load(bytes, 8, "a look at the bytes") != generation + 1;           /* at any moment of the pin */
    mob_store_client_unpin(s->readers[self], slot);
}

/* What it knows of object 1 may be old when it comes to it. The one that may be killed. */
static void reads_twice(void *shared, unsigned self)
{
    uint64_t newest;

    pin_and_read(shared, self, 0);
    forget(0);
    newest = step_load(&scene()->news[0], sizeof(scene()->news[0]), __func__);
    pin_and_read(shared, self, (uint32_t)newest);
}

static void reads_once(void *shared, unsigned self)
{
    pin_and_read(shared, self, 0);
}

/* The answer is in its socket. */
static void hears(void *shared, unsigned self)
{
    struct shared *s = shared;
    struct mob_object_id id = object_at(0);
    const uint64_t *bytes;
    uint64_t size;
    uint32_t slot;
    bool full;

    bytes = mob_store_client_pin(s->readers[self], 0, 0, &id, &size, &slot, &full);
    s->missed |= bytes == NULL;
    mob_store_client_heard(s->readers[self]);
    if (bytes == NULL)
        return;
    s->wrong |= step_load(bytes, 8, "a look at the bytes") != 1;
    mob_store_client_unpin(s->readers[self], slot);
}

/* It does not want it any more. */
static void hears_only(void *shared, unsigned self)
{
    mob_store_client_heard(((struct shared *)shared)->readers[self]);
}

static void counts_first(void *shared, unsigned self)
{
    struct shared *s = shared;
    struct mob_object_id id = object_at(0);
    uint64_t size;
    uint32_t slot;
    bool full;

    mob_store_client_heard(s->readers[self]);
    if (mob_store_client_pin(s->readers[self], 0, 0, &id, &size, &slot, &full) == NULL)
        s->missed = true;
    else
        mob_store_client_unpin(s->readers[self], slot);
}

static bool keeps_something(unsigned reader)
{
    const volatile uint64_t *heard = (const volatile uint64_t *)&ground.pages[reader]->heard;

    for (unsigned slot = 0; slot < MOB_PIN_SLOTS; slot++)
        if (*(volatile uint64_t *)&ground.pages[reader]->slot[slot] != 0)
            return true;
    return (told >> reader & 1) != 0 && *heard == 0;
}

/* A pin may be gone, an answer read, or a death told: what the raylet's tick and its sockets are for. */
static bool look_again(unsigned self)
{
    (void)self;
    for (unsigned i = 0; i < 2; i++)
        if (!scene()->noticed[i] && keeps_something(i))
            return death_untold();
    return true;
}

static void bury(struct shared *s)
{
    if (scene()->noticed[0])
        mob_store_client_gone(s->fixture.store, READER);        /* a repeat does nothing */
}

static void free_and_wait(struct shared *s, uint32_t generation)
{
    send_free(&s->fixture, MAKER, object_at(generation));
    while (mob_store_usage(s->fixture.store).used > 0) {
        forget(generation);
        step_wait(look_again);
        saw(death_untold());
        deaths_told();
        bury(s);
        mob_store_tick(s->fixture.store, 0);
    }
}

static void raylet(void *shared, unsigned self)
{
    struct shared *s = shared;

    (void)self;
    free_and_wait(s, 0);
    make_next(s, 1);
    step_store(&scene()->news[0], sizeof(scene()->news[0]), 1, __func__);
    free_and_wait(s, 1);
    s->done = true;
}

/* -- the verdict ------------------------------------------------------------------------------------------------------------ */

static const char *store_is_sound(void *shared)
{
    struct shared *s = shared;

    if (s->wrong)
        return "a reader saw a byte of another object";
    if (s->missed)
        return "what a reader was told of was not there";
    if (!s->done)
        return "the raylet waits for ever";
    if (actor_died(0))
        mob_store_client_gone(s->fixture.store, READER);
    mob_store_check(s->fixture.store);
    if (mob_store_usage(s->fixture.store).objects != 0)
        return "an object was left";
    return NULL;
}

static actor_run *const scene_of_pins[] = { reads_twice, reads_once, raylet };
static actor_run *const scene_of_loans[] = { hears, hears, raylet };
static actor_run *const scene_of_loan_and_pins[] = { hears, reads_once, raylet };
static actor_run *const scene_of_unwanted[] = { hears_only, hears, raylet };
static actor_run *const scene_of_hasty[] = { counts_first, reads_once, raylet };

static const char *search_loans(actor_run *const actors[], unsigned who_was_told, unsigned mortal, enum sabotage how)
{
    same_id = beginning.made = false;
    told = who_was_told;
    return search(&store_ground, 3, actors, mortal, store_is_sound, how, "");
}

static const char *search_pins(bool same, unsigned mortal, enum sabotage how, const char *where)
{
    beginning.made = false;
    same_id = same;
    told = 0;
    return search(&store_ground, 3, scene_of_pins, mortal, store_is_sound, how, where);
}

START_TEST(test_no_pin_is_on_a_place_given_away)
{
    ck_assert_ptr_null(search_pins(false, 1, NOTHING, ""));
}
END_TEST

START_TEST(test_no_pin_is_on_an_older_one_of_its_id)
{
    ck_assert_ptr_null(search_pins(true, 1, NOTHING, ""));
}
END_TEST

START_TEST(test_without_fence_in_pin)
{
    ck_assert_ptr_nonnull(search_pins(false, 0, NO_FENCE, "mob_store_client_pin"));
}
END_TEST

START_TEST(test_with_pin_after_look)
{
    ck_assert_ptr_nonnull(search_pins(false, 0, LATE, "mob_store_client_pin"));
}
END_TEST

START_TEST(test_without_fence_in_evict)
{
    ck_assert_ptr_nonnull(search_pins(false, 0, NO_FENCE, "mob_room_evict"));
}
END_TEST

START_TEST(test_with_mark_after_look)
{
    ck_assert_ptr_nonnull(search_pins(false, 0, LATE, "mob_room_evict"));
}
END_TEST

START_TEST(test_with_top_raised_late)
{
    ck_assert_ptr_nonnull(search_pins(false, 0, LATE, "slot_take"));
}
END_TEST

START_TEST(test_without_generation)
{
    ck_assert_ptr_nonnull(search_pins(true, 0, LOW_BYTE, "mob_store_client_pin"));
}
END_TEST

START_TEST(test_without_death_notice)
{
    ck_assert_str_eq(search_pins(false, 1, NO_NOTICE, ""), "the raylet waits for ever");
}
END_TEST

START_TEST(test_who_was_told_finds_it)
{
    ck_assert_ptr_null(search_loans(scene_of_loans, 3, 1, NOTHING));
    ck_assert_ptr_null(search_loans(scene_of_loan_and_pins, 1, 1, NOTHING));
    ck_assert_ptr_null(search_loans(scene_of_unwanted, 3, 1, NOTHING));
}
END_TEST

START_TEST(test_with_answer_counted_first)
{
    ck_assert_str_eq(search_loans(scene_of_hasty, 1, 0, NOTHING), "what a reader was told of was not there");
}
END_TEST

START_TEST(test_loans_without_death_notice)
{
    ck_assert_str_eq(search_loans(scene_of_loans, 3, 1, NO_NOTICE), "the raylet waits for ever");
}
END_TEST

UNIT_CASE("interleave_pins", tcase)
{
    tcase_set_timeout(tcase, 110);
    UNIT_TESTS(tcase, test_no_pin_is_on_a_place_given_away, test_no_pin_is_on_an_older_one_of_its_id, test_without_fence_in_pin,
               test_with_pin_after_look, test_without_fence_in_evict, test_with_mark_after_look, test_with_top_raised_late,
               test_without_generation, test_without_death_notice, test_who_was_told_finds_it, test_with_answer_counted_first,
               test_loans_without_death_notice);
}
