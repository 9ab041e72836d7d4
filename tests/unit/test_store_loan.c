/* SPDX-License-Identifier: Apache-2.0 */
/* test_store_loan.c -- what a client was told is here stays until it has read that; not for ever. */
#include "store_fixture.h"

#define STORE (UINT64_C(1) << 20)
#define ME 5u
#define OTHER 6u
#define SECOND INT64_C(1000000000)

static struct fixture *f;
static struct mob_store_client *me;

static struct mob_object_id far(uint64_t task)
{
    return object_of(ELSEWHERE, 7, task);
}

/* A copy of half the store came for ME, which has not read it yet; then OTHER wants more than the other half. */
static struct answer lend_one_and_want_another(void)
{
    struct answer a;

    f = fixture_create_in(STORE, true);
    me = fixture_client(f, ME);
    mob_store_client_close(fixture_client(f, OTHER));
    f->deaf = true;
    send_fetch(f, ME, far(1), STORE / 2, ELSEWHERE);
    land(f);
    a = f->last;
    ck_assert_uint_eq(a.process, ME);
    f->deaf = false;
    send_fetch(f, OTHER, far(2), STORE / 4 * 3, ELSEWHERE);
    return a;
}

static bool comes(void)
{
    mob_store_tick(f->store, f->now += SECOND / 10);
    mob_store_check(f->store);
    return f->flights > 0;
}

static void finish(void)
{
    ck_assert_uint_eq(f->flights, 1);
    land(f);
    ck_assert_uint_eq(f->last.process, OTHER);
    mob_store_client_close(me);
    fixture_destroy(f);
}

START_TEST(test_it_stays_until_it_is_read)
{
    lend_one_and_want_another();
    ck_assert(mob_store_waits(f->store));
    ck_assert(!comes());
    mob_store_client_heard(me);         /* and it does not want it any more */
    ck_assert(comes());
    finish();
}
END_TEST

START_TEST(test_then_its_pin_keeps_it)
{
    struct answer a = lend_one_and_want_another();
    uint64_t size;
    uint32_t slot;
    bool full;

    ck_assert(!comes());
    ck_assert_ptr_nonnull(mob_store_client_pin(me, a.entry, a.generation, &a.id, &size, &slot, &full));
    mob_store_client_heard(me);
    for (unsigned i = 0; i < 30; i++)
        ck_assert(!comes());
    mob_store_client_unpin(me, slot);
    ck_assert(comes());
    finish();
}
END_TEST

START_TEST(test_a_client_that_is_gone_keeps_nothing)
{
    lend_one_and_want_another();
    mob_store_client_gone(f->store, ME);
    ck_assert_uint_eq(f->flights, 1);
    finish();
}
END_TEST

/* It is stopped, say. */
START_TEST(test_one_that_reads_nothing_keeps_it_for_a_second)
{
    struct answer a = lend_one_and_want_another();
    uint64_t size;
    uint32_t slot;
    bool full;

    for (unsigned i = 0; i < 10; i++)
        ck_assert(!comes());
    ck_assert(comes());
    ck_assert_ptr_null(mob_store_client_pin(me, a.entry, a.generation, &a.id, &size, &slot, &full));
    mob_store_client_heard(me);         /* late: it counts nothing twice */
    finish();
}
END_TEST

/* Its reader still finds it; its bytes are free when that has read. */
START_TEST(test_what_is_freed_while_lent)
{
    struct answer a = lend_one_and_want_another();
    uint64_t size;
    uint32_t slot;
    bool full;

    send_free(f, 0, far(1));
    ck_assert(!comes());
    ck_assert_ptr_nonnull(mob_store_client_pin(me, a.entry, a.generation, &a.id, &size, &slot, &full));
    mob_store_client_heard(me);
    ck_assert(!comes());
    mob_store_client_unpin(me, slot);
    ck_assert(comes());
    finish();
}
END_TEST

UNIT_MAIN("store_loan", test_it_stays_until_it_is_read, test_then_its_pin_keeps_it, test_a_client_that_is_gone_keeps_nothing,
          test_one_that_reads_nothing_keeps_it_for_a_second, test_what_is_freed_while_lent)
