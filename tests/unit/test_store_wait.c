/* SPDX-License-Identifier: Apache-2.0 */
/* test_store_wait.c -- a full store: who waits for room, who gets it when it comes, and who is told that it will not. */
#include <inttypes.h>

#include "store_fixture.h"

#define STORE (1u << 20)
#define ME 5u
#define OTHER 6u
#define THIRD 7u

static struct fixture *f;
static struct mob_store_client *me, *other;

static void open_store(void)
{
    f = fixture_create(STORE);
    me = fixture_client(f, ME);
    other = fixture_client(f, OTHER);
}

static void close_store(void)
{
    mob_store_client_close(me);
    mob_store_client_close(other);
    fixture_destroy(f);
}

static struct mob_object_id mine(uint64_t task)
{
    return object_of(HERE, ME, task);
}

/* Asks that get no answer now. */
static void ask_in_vain(uint32_t process, uint64_t task, uint64_t size)
{
    f->answers = 0;
    send_create(f, process, object_of(HERE, process, task), size);
    ck_assert_uint_eq(f->answers, 0);
}

static void pin(struct mob_store_client *c, struct answer a, struct mob_object_id id, uint32_t *ret_slot)
{
    uint64_t size;
    bool full;

    ck_assert_ptr_nonnull(mob_store_client_pin(c, a.entry, a.generation, &id, &size, ret_slot, &full));
}

START_TEST(test_room_that_comes_goes_to_who_waits)
{
    open_store();
    make(f, me, ME, mine(1), STORE / 2, 'a');
    make(f, me, ME, mine(2), STORE / 2, 'b');
    ask_in_vain(OTHER, 1, STORE / 2);
    ck_assert_uint_eq(mob_store_usage(f->store).asks, 1);
    send_free(f, ME, mine(1));
    ck_assert_uint_eq(f->answers, 1);
    ck_assert_uint_eq(f->last.process, OTHER);
    ck_assert_int_eq(f->last.err.code, MOB_OK);
    ck_assert_uint_eq(mob_store_usage(f->store).asks, 0);
    close_store();
}
END_TEST

/* A view goes without a message; so does the wait for it. */
START_TEST(test_a_view_that_goes_gives_room)
{
    struct answer a;
    uint32_t slot;

    open_store();
    a = make(f, me, ME, mine(1), STORE, 'a');
    pin(other, a, mine(1), &slot);
    send_free(f, ME, mine(1));
    ask_in_vain(ME, 2, 100);
    wait_in_vain(f);                    /* OTHER may let it go: that is waited for */
    ck_assert_uint_eq(f->answers, 0);
    ck_assert(mob_store_waits(f->store));
    mob_store_client_unpin(other, slot);
    mob_store_tick(f->store, ++f->now);
    ck_assert_uint_eq(f->answers, 1);
    ck_assert_int_eq(f->last.err.code, MOB_OK);
    close_store();
}
END_TEST

START_TEST(test_not_for_ever)
{
    struct answer a;
    uint32_t slot;

    open_store();
    a = make(f, me, ME, mine(1), STORE, 'a');
    pin(other, a, mine(1), &slot);
    ask_in_vain(ME, 2, 100);
    wait_in_vain(f);
    ck_assert_uint_eq(f->answers, 0);
    mob_store_tick(f->store, f->now += INT64_C(60000000000));
    ck_assert_uint_eq(f->answers, 1);
    ck_assert_int_eq(f->last.err.code, MOB_ERR_NO_SPACE);
    ck_assert_msg(strstr(f->last.err.text, "in use by process 6: 1048576 bytes") != NULL, "%s", f->last.err.text);
    close_store();
}
END_TEST

static bool is_other(void *arg, uint32_t process)
{
    (void)arg;
    return process == OTHER;
}

/* Whoever could do elsewhere what he does is told so; and the store is full until there would be room, and some seconds have passed. */
START_TEST(test_full)
{
    f = fixture_create_elsewhere(STORE, is_other);
    me = fixture_client(f, ME);
    other = fixture_client(f, OTHER);
    make(f, me, ME, mine(1), STORE, 'a');
    ask_in_vain(OTHER, 2, STORE / 2);
    ck_assert(!mob_store_full(f->store));
    wait_in_vain(f);
    ck_assert_int_eq(f->last.err.code, MOB_ERR_NO_SPACE);
    ck_assert_int_eq(f->last.err.user_code, MOB_NO_SPACE_HERE);
    ck_assert(mob_store_full(f->store) && mob_store_waits(f->store));
    ask_in_vain(ME, 3, 100);
    wait_in_vain(f);
    ck_assert_int_eq(f->last.err.code, MOB_ERR_NO_SPACE);
    ck_assert_int_eq(f->last.err.user_code, 0);
    for (int i = 0; i < 2; i++)
        mob_store_tick(f->store, f->now += INT64_C(100000000000));
    ck_assert(mob_store_full(f->store));        /* there is none yet */
    send_free(f, ME, mine(1));
    mob_store_tick(f->store, ++f->now);
    ck_assert(!mob_store_full(f->store));
    make(f, me, ME, mine(1), STORE, 'a');
    ask_in_vain(OTHER, 2, STORE / 2);
    wait_in_vain(f);
    send_free(f, ME, mine(1));
    mob_store_tick(f->store, f->now += 1000000000);
    ck_assert(mob_store_full(f->store));        /* it was a moment ago */
    mob_store_tick(f->store, f->now += INT64_C(10000000000));
    ck_assert(!mob_store_full(f->store));
    close_store();
}
END_TEST

/* Two half-made objects, each maker waits for more: the younger ask fails, its maker gives up, the older one goes on. */
START_TEST(test_half_made_objects_wait_for_each_other)
{
    uint32_t entry;

    open_store();
    send_create(f, ME, mine(1), STORE / 2);
    send_create(f, OTHER, object_of(HERE, OTHER, 1), STORE / 2);
    entry = f->last.entry;
    ask_in_vain(ME, 2, STORE / 4);
    ask_in_vain(OTHER, 2, STORE / 4);
    mob_store_tick(f->store, f->now += 1);
    mob_store_tick(f->store, f->now += INT64_C(1500000000));
    ck_assert_uint_eq(f->answers, 0);
    mob_store_tick(f->store, f->now += INT64_C(1500000000));
    ck_assert_uint_eq(f->answers, 1);
    ck_assert_uint_eq(f->last.process, OTHER);
    ck_assert_int_eq(f->last.err.code, MOB_ERR_NO_SPACE);
    ck_assert_ptr_nonnull(strstr(f->last.err.text, "1048576 are being written"));
    mob_store_tick(f->store, f->now += INT64_C(1000000000));    /* the other one has its own time */
    ck_assert_uint_eq(f->answers, 1);
    send_abandon(f, OTHER, object_of(HERE, OTHER, 1), entry);
    ck_assert_uint_eq(f->answers, 2);
    ck_assert_uint_eq(f->last.process, ME);
    ck_assert_int_eq(f->last.err.code, MOB_OK);
    close_store();
}
END_TEST

/* Small ones pass a huge one, but not for ever. */
START_TEST(test_small_ones_pass_a_huge_one_for_a_while)
{
    unsigned passed = 0;

    open_store();
    make(f, me, ME, mine(1), STORE / 4, 'a');
    make(f, me, ME, mine(2), STORE / 4, 'b');
    ask_in_vain(OTHER, 1, STORE - 100);
    for (uint64_t task = 10; task < 100; task++) {
        struct answer a;

        f->answers = 0;
        send_create(f, ME, mine(task), STORE / 4);
        if (f->answers == 0)
            break;
        a = f->last;
        ck_assert_uint_eq(a.process, ME);
        passed++;
        send_seal(f, ME, mine(task), a.entry);
        send_free(f, ME, mine(task));
    }
    ck_assert_uint_ge(passed, 2);
    ck_assert_uint_le(passed, 5);
    f->answers = 0;
    send_free(f, ME, mine(1));          /* room enough for the small one that waits, but it is not its turn */
    ck_assert_uint_eq(f->answers, 0);
    send_free(f, ME, mine(2));
    ck_assert_uint_eq(f->answers, 1);
    ck_assert_uint_eq(f->last.process, OTHER);
    send_abandon(f, OTHER, object_of(HERE, OTHER, 1), f->last.entry);
    ck_assert_uint_eq(f->answers, 2);
    ck_assert_uint_eq(f->last.process, ME);
    close_store();
}
END_TEST

/* The huge one is refused at last; the small one that did not pass it any more finds room then. */
START_TEST(test_only_who_cannot_be_served_is_refused)
{
    struct answer a;
    uint32_t slot;

    open_store();
    a = make(f, me, ME, mine(1), STORE / 2, 'a');
    pin(other, a, mine(1), &slot);
    ask_in_vain(OTHER, 1, STORE - 100);
    for (uint64_t task = 10; f->answers == 0; task++) {
        send_create(f, ME, mine(task), STORE / 4);
        ck_assert_uint_lt(task, 100);
        if (f->answers == 0)
            break;
        send_seal(f, ME, mine(task), f->last.entry);
        send_free(f, ME, mine(task));
        f->answers = 0;
    }
    ck_assert_uint_eq(mob_store_usage(f->store).asks, 2);
    wait_in_vain(f);
    ck_assert_uint_eq(f->answers, 2);
    ck_assert_uint_eq(f->last.process, ME);
    ck_assert_int_eq(f->last.err.code, MOB_OK);
    ck_assert_uint_eq(mob_store_usage(f->store).asks, 0);
    close_store();
}
END_TEST

START_TEST(test_who_dies_waits_no_more)
{
    open_store();
    make(f, me, ME, mine(1), STORE, 'a');
    ask_in_vain(OTHER, 1, STORE / 2);
    mob_store_client_gone(f->store, OTHER);
    ck_assert_uint_eq(mob_store_usage(f->store).asks, 0);
    f->answers = 0;
    send_free(f, ME, mine(1));
    ck_assert_uint_eq(f->answers, 0);
    mob_store_client_close(me);
    mob_store_client_close(other);
    fixture_destroy(f);
}
END_TEST

/* The refusal has both sizes, and what to do. */
static void ck_too_large(uint64_t size, const char *with, uint64_t store)
{
    char words[192];

    snprintf(words, sizeof words, "has %" PRIu64 " bytes%s, the whole store of node %u %" PRIu64
             "; start the node with a larger object store", size, with, HERE, store);
    ck_assert_int_eq(f->last.err.code, MOB_ERR_NO_SPACE);
    ck_assert_msg(strstr(f->last.err.text, words) != NULL, "%s", f->last.err.text);
}

/* Sizes that can never be. */
START_TEST(test_impossible_sizes)
{
    static const uint64_t sizes[] = { STORE + 1, UINT64_C(1) << 63, UINT64_MAX, UINT64_MAX - 63 };

    open_store();
    for (unsigned i = 0; i < MOB_COUNT(sizes); i++) {
        f->answers = 0;
        send_create(f, ME, mine(1), sizes[i]);
        ck_assert_uint_eq(f->answers, 1);
        ck_too_large(sizes[i], "", STORE);
        send_fetch(f, ME, object_of(ELSEWHERE, 1, 1), sizes[i], ELSEWHERE);
        ck_too_large(sizes[i], "", STORE);
    }
    send_create(f, ME, mine(2), STORE);
    ck_assert_int_eq(f->last.err.code, MOB_OK);
    close_store();
}
END_TEST

static void open_store_with(uint64_t bytes, uint64_t behind)
{
    f = fixture_create_with(bytes, behind, false);
    me = fixture_client(f, ME);
    other = fixture_client(f, OTHER);
}

/* What stands behind a value takes nothing of the store that people see, nor does it count as used. */
START_TEST(test_a_value_as_large_as_the_store)
{
    const uint64_t bytes = STORE + 1, behind = 4096;
    struct mob_object_id far = object_of(ELSEWHERE, 1, 1);

    open_store_with(bytes, behind);
    send_create_with(f, ME, mine(1), bytes + 1 + 23, 23);
    ck_too_large(bytes + 1, "", bytes);
    send_create_with(f, ME, mine(1), bytes + behind + 1, behind + 1);
    ck_too_large(bytes + behind + 1, " with the names of what it carries", bytes);
    send_create_with(f, ME, mine(1), bytes + 23, 23);
    ck_assert_int_eq(f->last.err.code, MOB_OK);
    send_seal(f, ME, mine(1), f->last.entry);
    ck_assert_uint_eq(mob_store_usage(f->store).size, bytes);
    ck_assert_uint_eq(mob_store_usage(f->store).used, bytes);
    send_free(f, ME, mine(1));
    send_fetch(f, ME, far, bytes + 23, ELSEWHERE);      /* of a store as large as this one */
    for (f->answers = 0; f->answers == 0;)
        land(f);
    ck_assert_int_eq(f->last.err.code, MOB_OK);
    ck_assert_uint_eq(f->bads, 0);
    send_create_with(f, ME, mine(2), 22, 23);
    ck_assert_uint_eq(f->bads, 1);
    close_store();
}
END_TEST

/* As many small objects as a store can hold; then copies make room for an entry, too, and who asks for one more waits. */
START_TEST(test_a_million_objects)
{
    struct mob_object_id far = object_of(ELSEWHERE, 1, 1);
    uint64_t count = 0;

    f = fixture_create(UINT64_C(256) << 20);
    me = fixture_client(f, ME);
    other = fixture_client(f, OTHER);
    send_fetch(f, OTHER, far, 64, ELSEWHERE);
    land(f);
    for (; count < 1000000; count++)
        make(f, count % 1000 == 0 ? me : NULL, ME, mine(count + 1), count % 130, 'm');
    for (; count < MOB_STORE_ENTRIES; count++) {                /* the last one takes the copy's place */
        make(f, NULL, ME, mine(count + 1), 1, 'm');
    }
    ck_assert_uint_eq(mob_store_usage(f->store).objects, MOB_STORE_ENTRIES);
    mob_store_check(f->store);
    ask_in_vain(ME, count + 1, 1);
    wait_in_vain(f);
    ck_assert_int_eq(f->last.err.code, MOB_ERR_NO_SPACE);
    ck_assert_ptr_nonnull(strstr(f->last.err.text, "holds 1048576 objects"));
    ask_in_vain(ME, count + 1, 1);
    send_free(f, ME, mine(77));
    ck_assert_uint_eq(f->answers, 1);
    ck_assert_int_eq(f->last.err.code, MOB_OK);
    mob_store_client_gone(f->store, ME);
    ck_assert_uint_eq(mob_store_usage(f->store).objects, 0);
    close_store();
}
END_TEST

UNIT_MAIN("store_wait", test_room_that_comes_goes_to_who_waits, test_a_view_that_goes_gives_room, test_not_for_ever,
          test_full, test_half_made_objects_wait_for_each_other, test_small_ones_pass_a_huge_one_for_a_while, test_who_dies_waits_no_more,
          test_only_who_cannot_be_served_is_refused,
          test_impossible_sizes, test_a_value_as_large_as_the_store, test_a_million_objects)
