/* SPDX-License-Identifier: Apache-2.0 */
/* test_store_overflow.c -- who is given a place in the overflow, and when; on a disk of memory that does its jobs when told to. */
#include "store_disk.h"

#define MS INT64_C(1000000)
#define OBJECTS 200

static bool waits_for(enum mob_disk_verb verb)
{
    for (unsigned i = 0; i < disk.waiting; i++)
        if (disk.jobs[i]->verb == verb)
            return true;
    return false;
}

static void tick(int64_t ms)
{
    mob_store_tick(f->store, f->now += ms * MS);
    mob_store_check(f->store);
}

/* Until nobody who can be helped waits. */
static void let_it_be(void)
{
    for (int i = 0; i < 8; i++) {
        run_disk();
        tick(100);
    }
    run_disk();
}

/* In any case it comes. */
static void wait_for_answer(void)
{
    for (int i = 0; f->answers == 0 && i < 60; i++) {
        run_disk();
        tick(i < 10 ? 100 : 5000);
    }
    ck_assert_uint_eq(f->answers, 1);
}

/* Objects 1 to 16, of which the even ones are read by OTHER and the odd ones are freed: half is free, in gaps of SIZE. */
static void fragment(uint32_t slots[16])
{
    for (uint64_t task = 1; task <= 16; task++) {
        struct answer a = make(f, me, ME, mine(task), SIZE, (int)task);

        if (task % 2 == 0)
            slots[task - 1] = pin(other, &a, SIZE, (int)task);
    }
    for (uint64_t task = 1; task <= 16; task += 2)
        send_free(f, ME, mine(task));
    disk.no_spilling = true;            /* no matter here */
    run_disk();
    ck_assert_uint_ge(mob_store_usage(f->store).used, STORE / 2);
}

static void unpin(const uint32_t slots[16])
{
    for (uint64_t task = 2; task <= 16; task += 2)
        mob_store_client_unpin(other, slots[task - 1]);
}

static void ask(uint64_t task, uint64_t size)
{
    f->answers = 0;
    send_create(f, ME, mine(task), size);
    ck_assert_uint_eq(f->answers, 0);
}

START_TEST(test_no_gap_is_large_enough)
{
    uint32_t slots[16], slot;
    struct answer a;

    open_store(STORE, OVERFLOW);
    fragment(slots);
    ask(20, STORE / 4 + 1);
    tick(10);
    tick(90);                           /* there may yet come some */
    ck_assert(!waits_for(MOB_DISK_RESERVE));
    ck_assert(mob_store_waits(f->store));
    tick(10);
    ck_assert(waits_for(MOB_DISK_RESERVE));
    ck_assert_uint_eq(f->answers, 0);
    run_disk();
    ck_assert_uint_eq(f->answers, 1);
    ck_assert_int_eq(f->last.err.code, MOB_OK);
    a = f->last;
    ck_assert_uint_ge(a.offset, AT);
    ck_assert_uint_eq(mob_store_usage(f->store).overflow, STORE / 4 + MOB_DISK_BLOCK);
    memset(mob_store_client_write(me, a.offset, STORE / 4 + 1), 'o', STORE / 4 + 1);
    mob_store_client_prepare(me, mob_store_client_write(me, a.offset, STORE / 4 + 1), STORE / 4 + 1);
    send_seal(f, ME, a.id, a.entry);
    slot = pin(other, &a, STORE / 4 + 1, 'o');
    send_free(f, ME, a.id);
    run_disk();
    ck_assert_uint_eq(disk.releases, 0);        /* it is read */
    mob_store_client_unpin(other, slot);
    tick(1);
    run_disk();
    ck_assert_uint_eq(disk.releases, 1);
    ck_assert_uint_eq(mob_store_usage(f->store).overflow, 0);
    unpin(slots);
    close_store();
}
END_TEST

START_TEST(test_room_in_the_arena_is_better)
{
    uint32_t slots[16];

    open_store(STORE, OVERFLOW);
    fragment(slots);
    ask(20, STORE / 4);
    tick(1);
    for (uint64_t task = 2; task <= 16; task += 2)
        send_free(f, ME, mine(task));
    unpin(slots);
    tick(99);
    ck_assert_uint_eq(f->answers, 1);
    ck_assert_uint_lt(f->last.offset, STORE);
    tick(100);
    run_disk();
    ck_assert_uint_eq(disk.reserves, 0);
    close_store();
}
END_TEST

/* What can be written to the disk goes there, and gives room, as slow as it may be. */
START_TEST(test_spilling_is_better)
{
    open_store(STORE, OVERFLOW);
    for (uint64_t task = 1; task <= 16; task++)
        make(f, me, ME, mine(task), SIZE, (int)task);
    ask(20, STORE / 2);
    for (int i = 0; i < 30; i++)
        tick(100);
    ck_assert(waits_for(MOB_DISK_WRITE) && !waits_for(MOB_DISK_RESERVE));
    run_disk();
    ck_assert_uint_eq(f->answers, 1);
    ck_assert_uint_lt(f->last.offset, STORE);
    ck_assert_uint_eq(disk.reserves, 0);
    close_store();
}
END_TEST

/* The store is full of what is read: objects 1 to 16, behind those of 30 to 45, which are on the disk. */
static void fill_and_read(uint32_t slots[16])
{
    for (uint64_t task = 30; task <= 45; task++)
        make(f, me, ME, mine(task), SIZE, (int)task);
    let_it_be();
    for (uint64_t task = 1; task <= 16; task++) {
        struct answer a;

        f->answers = 0;
        send_create(f, ME, mine(task), SIZE);
        while (f->answers == 0)
            let_it_be();
        a = f->last;
        ck_assert_uint_lt(a.offset, STORE);
        memset(mob_store_client_write(me, a.offset, SIZE), (int)task, SIZE);
        send_seal(f, ME, a.id, a.entry);
        slots[task - 1] = pin(other, &a, SIZE, (int)task);
        if (task == 15)
            return;                     /* the last place is kept for what comes back */
    }
}

START_TEST(test_who_reads_gets_what_is_on_the_disk)
{
    struct mob_asked asked = { .id = mine(32), .size = SIZE, .length = SIZE };
    struct mob_served served;
    uint32_t slots[16], slot[3];
    struct mob_error err;

    open_store(STORE, OVERFLOW);
    fill_and_read(slots);
    for (uint64_t task = 30; task <= 31; task++) {      /* all of them must be there for it to end */
        f->answers = 0;
        send_fetch(f, ME, mine(task), SIZE, HERE);
        let_it_be();
        ck_assert_uint_eq(f->answers, 1);
        ck_assert_int_eq(f->last.err.code, MOB_OK);
        slot[task - 30] = pin(me, &f->last, SIZE, (int)task);
    }
    ck_assert_uint_ge(f->last.offset, AT);
    ck_assert_int_eq(mob_store_serve(f->store, &asked, &served, &err), MOB_SERVE_LATER);
    let_it_be();
    ck_assert_uint_eq(f->restored, 1);
    ck_assert_int_eq(mob_store_serve(f->store, &asked, &served, &err), MOB_SERVE_HERE);
    ck_assert_uint_ge(served.offset, AT);
    ck_assert_int_eq(*bytes_at(served.offset + SIZE - 1), 32);
    mob_store_serve_done(f->store, served.ticket);
    mob_store_client_unpin(me, slot[0]);
    mob_store_client_unpin(me, slot[1]);
    for (unsigned i = 0; i < 15; i++)
        mob_store_client_unpin(other, slots[i]);
    close_store();
}
END_TEST

START_TEST(test_who_reads_gets_what_is_elsewhere)
{
    struct mob_object_id id = object_of(ELSEWHERE, 9, 1);
    uint32_t slots[16], slot;
    uint64_t at;
    char there;

    open_store(STORE, OVERFLOW);
    fragment(slots);
    f->answers = 0;
    send_fetch(f, ME, id, STORE / 4, ELSEWHERE);
    ck_assert_uint_eq(mob_store_usage(f->store).waiting, 1);
    let_it_be();
    ck_assert_uint_eq(f->flights, 1);
    ck_assert_uint_ge(f->pull_offset, AT);
    memset(bytes_at(f->pull_offset), 'p', STORE / 4);
    ck_assert_int_eq(mob_store_file(f->store, f->pull_offset, &at), mob_store_overflow_fd(f->store));
    ck_assert_int_eq(pread(mob_store_overflow_fd(f->store), &there, 1, (off_t)at + STORE / 4 - 1), 1);
    ck_assert_int_eq(there, 'p');
    land(f);
    ck_assert_uint_eq(f->answers, 1);
    slot = pin(me, &f->last, STORE / 4, 'p');
    f->answers = 0;
    send_fetch(f, ME, object_of(ELSEWHERE, 9, 2), STORE / 4, ELSEWHERE);
    tick(1);
    tick(100);
    ck_assert(waits_for(MOB_DISK_RESERVE));
    send_free(f, 0, object_of(ELSEWHERE, 9, 2));        /* while its blocks are on their way */
    ck_assert_int_eq(f->last.err.code, MOB_ERR_OBJECT_LOST);
    run_disk();
    ck_assert_uint_eq(mob_store_usage(f->store).overflow, STORE / 4);
    mob_store_client_unpin(me, slot);
    unpin(slots);
    send_free(f, 0, id);
    close_store();
}
END_TEST

/* What is elsewhere, too, goes when the overflow itself has no room; what is read, or nowhere else, stays. */
START_TEST(test_the_overflow_is_full)
{
    struct answer a[8];
    uint32_t slots[16], slot;

    open_store(STORE, OVERFLOW);
    fragment(slots);
    for (uint64_t i = 0; i < 8; i++) {                  /* a quarter of the store each: the overflow is full */
        if (i < 6) {
            send_fetch(f, ME, object_of(ELSEWHERE, 9, i + 1), STORE / 4, ELSEWHERE);
            let_it_be();
            land(f);
        } else {
            send_create(f, ME, mine(20 + i), STORE / 4);
            let_it_be();
            send_seal(f, ME, f->last.id, f->last.entry);
        }
        a[i] = f->last;
    }
    ck_assert_uint_eq(mob_store_usage(f->store).overflow, OVERFLOW);
    slot = pin(me, &a[0], STORE / 4, 0);
    ask(40, STORE / 4);
    let_it_be();
    ck_assert_uint_eq(f->answers, 1);
    ck_assert_uint_eq(f->last.offset, a[1].offset);     /* the longest unused that is not read */
    send_abandon(f, ME, f->last.id, f->last.entry);
    for (uint64_t i = 6; i < 8; i++) {
        send_fetch(f, OTHER, mine(20 + i), STORE / 4, HERE);
        ck_assert_uint_eq(f->last.offset, a[i].offset);
    }
    mob_store_client_unpin(me, slot);
    unpin(slots);
    for (uint64_t i = 0; i < 6; i++)
        send_free(f, 0, object_of(ELSEWHERE, 9, i + 1));
    close_store();
}
END_TEST

START_TEST(test_a_full_disk)
{
    struct mob_store_client *third;
    uint32_t slots[16];
    struct answer a;

    open_store(STORE, OVERFLOW);
    third = fixture_client(f, THIRD);
    fragment(slots);
    disk.full = true;
    ask(20, STORE / 4);
    let_it_be();
    ck_assert_uint_eq(f->answers, 0);
    ck_assert_ptr_nonnull(strstr(mob_store_usage(f->store).trouble, "the disk"));
    ck_assert_uint_eq(mob_store_usage(f->store).overflow, 0);
    disk.full = false;
    tick(9000);
    ck_assert(!waits_for(MOB_DISK_RESERVE));            /* not yet */
    send_create(f, THIRD, object_of(HERE, THIRD, 1), STORE / 8);
    tick(1);
    tick(100);
    run_disk();                         /* there may be less than was wanted */
    ck_assert_uint_eq(f->answers, 1);
    a = f->last;
    ck_assert_int_eq(a.err.code, MOB_OK);
    ck_assert_uint_ge(a.offset, AT);
    send_seal(f, THIRD, a.id, a.entry);
    tick(2000);
    tick(1);
    run_disk();
    ck_assert_uint_eq(f->answers, 2);
    ck_assert_int_eq(f->last.err.code, MOB_OK);
    send_seal(f, ME, f->last.id, f->last.entry);

    disk.full = true;
    ask(21, STORE / 4);
    tick(1);
    tick(100);
    run_disk();
    tick(61000);
    ck_assert_uint_eq(f->answers, 1);
    ck_assert_int_eq(f->last.err.code, MOB_ERR_NO_SPACE);
    ck_assert_msg(strstr(f->last.err.text, "no object overflows to the disk: it is full") != NULL, "%s", f->last.err.text);
    unpin(slots);
    mob_store_client_gone(f->store, THIRD);
    mob_store_client_close(third);
    close_store();
}
END_TEST

START_TEST(test_who_asked_is_gone)
{
    uint32_t slots[16];

    open_store(STORE, OVERFLOW);
    fragment(slots);
    send_create(f, OTHER, object_of(HERE, OTHER, 1), STORE / 4);
    ask(20, STORE);
    tick(1);
    tick(100);
    ck_assert(waits_for(MOB_DISK_RESERVE));
    mob_store_client_gone(f->store, OTHER);             /* and with it its views */
    f->answers = 0;
    run_disk();
    tick(1);
    ck_assert_uint_eq(f->answers, 0);   /* the primaries are nowhere else */
    send_create(f, ME, mine(21), STORE + 1);
    ck_assert_uint_eq(f->answers, 1);
    ck_assert_int_eq(f->last.err.code, MOB_ERR_NO_SPACE);
    ck_assert_ptr_nonnull(strstr(f->last.err.text, "the whole store"));
    let_it_be();
    ck_assert_uint_eq(mob_store_usage(f->store).asks, 0);
    close_store();
}
END_TEST

/* Anything, in any order: what is read has its bytes, and nothing is left. */
static void anything(uint64_t state)
{
    struct { uint64_t size; bool sealed, pinned; uint32_t slot; } o[OBJECTS] = { 0 };

    open_store(STORE, OVERFLOW);
    for (unsigned step = 0; step < 1500; step++) {
        uint64_t task = 1 + unit_random(&state) % (OBJECTS - 1);

        disk.full = unit_random(&state) % 16 == 0;
        if (o[task].size == 0) {
            uint64_t size = 1 + unit_random(&state) % (unit_random(&state) % 4 == 0 ? STORE / 3 : STORE / 32);

            f->answers = 0;
            send_create(f, ME, mine(task), size);
            wait_for_answer();
            if (f->last.err.code != MOB_OK)
                continue;
            memset(mob_store_client_write(me, f->last.offset, size), (int)task, size);
            send_seal(f, ME, f->last.id, f->last.entry);
            o[task].size = size;
        } else if (o[task].pinned) {
            mob_store_client_unpin(other, o[task].slot);
            o[task].pinned = false;
        } else if (unit_random(&state) % 3 == 0) {
            send_free(f, ME, mine(task));
            o[task].size = 0;
        } else {
            f->answers = 0;
            send_fetch(f, OTHER, mine(task), o[task].size, HERE);
            wait_for_answer();
            if (f->last.err.code == MOB_OK) {
                o[task].slot = pin(other, &f->last, o[task].size, (int)(unsigned char)task);
                o[task].pinned = true;
            }
        }
        if (unit_random(&state) % 4 == 0 && disk.waiting > 0)
            run_one();
    }
    ck_assert_uint_gt(disk.reserves, 0);
    disk.full = false;
    for (uint64_t task = 1; task < OBJECTS; task++)
        if (o[task].pinned)
            mob_store_client_unpin(other, o[task].slot);
    close_store();
}

START_TEST(test_random)
{
    for (uint64_t seed = 1; seed <= 10; seed++)
        anything(seed * UINT64_C(0x9e3779b97f4a7c15));
}
END_TEST

UNIT_MAIN("store_overflow", test_no_gap_is_large_enough, test_room_in_the_arena_is_better, test_spilling_is_better,
          test_who_reads_gets_what_is_on_the_disk, test_who_reads_gets_what_is_elsewhere, test_the_overflow_is_full, test_a_full_disk,
          test_who_asked_is_gone, test_random)
