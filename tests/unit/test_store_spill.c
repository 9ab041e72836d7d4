/* SPDX-License-Identifier: Apache-2.0 */
/* test_store_spill.c -- what the store writes to the disk, and brings back, on a disk of memory that does its jobs when told to. */
#include "store_disk.h"

/* Made when there is room, which the disk may have to give. */
static void make_waiting(uint64_t task, uint64_t size)
{
    struct answer a;

    f->answers = 0;
    send_create(f, ME, mine(task), size);
    while (f->answers == 0) {
        ck_assert_uint_gt(disk.waiting, 0);
        run_disk();
    }
    a = f->last;
    ck_assert_msg(a.err.code == MOB_OK, "%s", a.err.text);
    ck_assert(mob_object_id_eq(&a.id, &(struct mob_object_id){ .cluster = 9, .node = HERE, .process = ME, .task = task }));
    memset(mob_store_client_write(me, a.offset, size), (int)(task & 0xff), size);
    send_seal(f, ME, mine(task), a.entry);
}

/* Fetched, and what was written. */
static void read_back(uint64_t task, uint64_t size)
{
    f->answers = 0;
    send_fetch(f, OTHER, mine(task), size, HERE);
    run_disk();
    ck_assert_uint_eq(f->answers, 1);
    ck_assert_msg(f->last.err.code == MOB_OK, "%s", f->last.err.text);
    mob_store_client_unpin(other, pin(other, &f->last, size, (unsigned char)task));
}

/* -- tests --------------------------------------------------------------------------------------------------------------- */

START_TEST(test_five_times_the_store)
{
    const uint64_t count = 5 * STORE / SIZE;

    open_store(STORE, 0);
    for (uint64_t task = 1; task <= count; task++)
        make_waiting(task, SIZE - task);
    run_disk();
    ck_assert_uint_ge(mob_store_usage(f->store).spilled, 4 * STORE - 2 * SIZE);
    ck_assert_uint_eq(mob_store_usage(f->store).objects, count);
    for (uint64_t task = 1; task <= count; task++)
        read_back(task, SIZE - task);
    for (uint64_t task = count; task >= 1; task--)
        read_back(task, SIZE - task);
    ck_assert_uint_le(disk.written, 5 * STORE + 64 * 64 * 5);   /* none was written twice */
    ck_assert_uint_lt(disk.writes, count);                      /* many at once */
    for (uint64_t task = 1; task <= count; task++)
        send_free(f, ME, mine(task));
    run_disk();
    ck_assert_uint_eq(mob_store_usage(f->store).objects, 0);
    ck_assert_uint_gt(disk.ended, 0);
    close_store();
}
END_TEST

/* Beyond 80 % without anybody waiting, and no more than needed. */
START_TEST(test_the_threshold)
{
    open_store(STORE, 0);
    for (uint64_t task = 1; task <= 12; task++)
        make_waiting(task, SIZE);
    ck_assert_uint_eq(disk.waiting, 0);
    make_waiting(13, SIZE);             /* 81 % */
    ck_assert_uint_eq(disk.waiting, 1);
    ck_assert_uint_eq(disk.jobs[0]->count, 2);          /* an eighth of the store */
    ck_assert_uint_eq(disk.jobs[0]->pieces[0].id.task, 1);
    run_disk();
    ck_assert_uint_eq(mob_store_usage(f->store).spilled, 0);    /* they stay until room is needed */
    for (uint64_t task = 14; task <= 16; task++)
        make_waiting(task, SIZE);
    f->answers = 0;
    send_create(f, ME, mine(17), SIZE);                 /* at once */
    ck_assert_uint_eq(f->answers, 1);
    ck_assert_uint_eq(mob_store_usage(f->store).spilled, SIZE);
    close_store();
}
END_TEST

START_TEST(test_what_is_read_stays)
{
    struct mob_object_id id = mine(1);
    const char *bytes;
    uint64_t size;
    uint32_t slot;
    bool full;

    open_store(STORE, 0);
    make_waiting(1, STORE / 2);
    send_fetch(f, OTHER, id, STORE / 2, HERE);
    bytes = mob_store_client_pin(other, f->last.entry, f->last.generation, &id, &size, &slot, &full);
    make_waiting(2, STORE / 2);
    make_waiting(3, STORE / 2);
    ck_assert_int_eq(bytes[0], 1);
    f->answers = 0;
    send_create(f, ME, mine(4), STORE);
    run_disk();
    wait_in_vain(f);
    ck_assert_uint_eq(f->answers, 0);   /* OTHER may let go */
    ck_assert(disk.wrote[2] && disk.wrote[3] && !disk.wrote[1]);
    mob_store_client_unpin(other, slot);
    mob_store_tick(f->store, ++f->now);
    run_disk();
    ck_assert_uint_eq(f->answers, 1);
    ck_assert_int_eq(f->last.err.code, MOB_OK);
    send_abandon(f, ME, mine(4), f->last.entry);
    read_back(1, STORE / 2);
    read_back(2, STORE / 2);
    read_back(3, STORE / 2);
    close_store();
}
END_TEST

/* What fills the store may be written, but for the view of who waits for room itself: that is a wait without end, disk or not, and
 * though the argument was staged for its task, too. */
START_TEST(test_who_waits_and_holds_is_refused_soon)
{
    struct mob_object_id id = mine(1);
    uint64_t size, ticket;
    uint32_t slot;
    bool full;

    open_store(STORE, 0);
    make_waiting(1, STORE / 2);
    ck_assert(mob_store_keep(f->store, &id, &ticket));
    send_fetch(f, OTHER, id, STORE / 2, HERE);
    ck_assert_ptr_nonnull(mob_store_client_pin(other, f->last.entry, f->last.generation, &id, &size, &slot, &full));
    f->answers = 0;
    send_create(f, OTHER, object_of(HERE, OTHER, 1), STORE);
    wait_in_vain(f);
    ck_assert_uint_eq(f->answers, 1);
    ck_assert_uint_eq(f->last.process, OTHER);
    ck_assert_int_eq(f->last.err.code, MOB_ERR_NO_SPACE);
    ck_assert_uint_eq(disk.waiting, 0);
    mob_store_serve_done(f->store, ticket);
    mob_store_client_unpin(other, slot);
    close_store();
}
END_TEST

/* So is who waits for what is on the disk. */
START_TEST(test_who_fetches_and_holds_is_refused_soon)
{
    struct mob_object_id id = mine(2);
    uint64_t size;
    uint32_t slot;
    bool full;

    open_store(STORE, 0);
    make_waiting(1, STORE / 4 * 3);
    make_waiting(2, STORE / 2);
    send_fetch(f, OTHER, id, STORE / 2, HERE);
    ck_assert_ptr_nonnull(mob_store_client_pin(other, f->last.entry, f->last.generation, &id, &size, &slot, &full));
    f->answers = 0;
    send_fetch(f, OTHER, mine(1), STORE / 4 * 3, HERE);
    wait_in_vain(f);
    ck_assert_uint_eq(f->answers, 1);
    ck_assert_uint_eq(f->last.process, OTHER);
    ck_assert_int_eq(f->last.err.code, MOB_ERR_NO_SPACE);
    mob_store_client_unpin(other, slot);
    mob_store_tick(f->store, ++f->now);         /* looks for pins anew */
    read_back(1, STORE / 4 * 3);
    close_store();
}
END_TEST

START_TEST(test_a_full_disk_loses_nothing)
{
    struct mob_store_client *third;

    open_store(STORE, 0);
    third = fixture_client(f, THIRD);
    for (uint64_t task = 1; task <= 16; task++)
        make_waiting(task, SIZE);
    run_disk();
    for (uint64_t task = 17; task <= 18; task++)
        make_waiting(task, SIZE);
    disk.full = true;
    f->answers = 0;
    for (uint64_t task = 1; task <= 7; task++)          /* two get the place of what is on the disk already */
        send_create(f, THIRD, object_of(HERE, THIRD, task), SIZE);
    for (int i = 0; i < 8; i++) {
        run_disk();
        wait_in_vain(f);
    }
    ck_assert_uint_eq(f->answers, 7);
    ck_assert_int_eq(f->last.err.code, MOB_ERR_NO_SPACE);
    ck_assert_msg(strstr(f->last.err.text, "the disk is full") != NULL, "%s", f->last.err.text);
    ck_assert_ptr_nonnull(strstr(mob_store_usage(f->store).trouble, "the disk is full"));
    for (uint64_t task = 1; task <= 18; task++)         /* there is a place left for those that come back */
        read_back(task, SIZE);
    disk.full = false;
    f->answers = 0;
    mob_store_client_gone(f->store, THIRD);
    mob_store_client_close(third);
    send_create(f, ME, mine(30), STORE);
    ck_assert_uint_eq(disk.waiting, 0);
    mob_store_tick(f->store, f->now += INT64_C(11000000000));
    mob_store_tick(f->store, f->now += INT64_C(11000000000));   /* tried again */
    run_disk();
    ck_assert_uint_eq(f->answers, 1);
    ck_assert_int_eq(f->last.err.code, MOB_OK);
    ck_assert_str_eq(mob_store_usage(f->store).trouble, "");
    close_store();
}
END_TEST

/* Half of the store is SPILLED: objects 1 and 2. */
static void spill_two(void)
{
    open_store(STORE, 0);
    for (uint64_t task = 1; task <= 4; task++)
        make_waiting(task, STORE / 4);
    run_disk();
    make_waiting(5, STORE / 4);
    make_waiting(6, STORE / 4);
    run_disk();
    ck_assert_uint_eq(mob_store_usage(f->store).spilled, STORE / 2);
}

START_TEST(test_a_bad_record_is_one_object_lost)
{
    spill_two();
    disk.bytes[1][mob_disk_record_size(0) + 1000] ^= 1;
    f->answers = 0;
    send_fetch(f, OTHER, mine(1), STORE / 4, HERE);
    send_fetch(f, ME, mine(1), STORE / 4, HERE);
    run_disk();
    ck_assert_uint_eq(f->answers, 2);
    ck_assert_int_eq(f->last.err.code, MOB_ERR_OBJECT_LOST);
    ck_assert_ptr_nonnull(strstr(f->last.err.text, "altered"));
    for (uint64_t task = 2; task <= 6; task++)
        read_back(task, STORE / 4);
    close_store();
}
END_TEST

/* Freed in each state that the disk knows. */
START_TEST(test_freed_on_its_way)
{
    spill_two();
    send_free(f, ME, mine(1));                          /* SPILLED */
    ck_assert_uint_eq(mob_store_usage(f->store).spilled, STORE / 4);
    f->answers = 0;
    send_fetch(f, OTHER, mine(2), STORE / 4, HERE);
    send_free(f, ME, mine(2));                          /* RESTORING */
    ck_assert_uint_eq(f->answers, 1);
    ck_assert_int_eq(f->last.err.code, MOB_ERR_OBJECT_LOST);
    run_disk();
    for (uint64_t task = 3; task <= 6; task++)
        send_free(f, ME, mine(task));
    run_disk();
    for (uint64_t task = 7; task <= 13; task++)
        make_waiting(task, STORE / 8);
    ck_assert_int_eq(disk.jobs[disk.waiting - 1]->verb, MOB_DISK_WRITE);
    for (uint64_t task = 7; task <= 13; task++)
        send_free(f, ME, mine(task));                   /* some are being written */
    mob_store_check(f->store);
    run_disk();
    ck_assert_uint_eq(mob_store_usage(f->store).used, 0);
    close_store();
}
END_TEST

START_TEST(test_waits_for_room_to_come_back)
{
    struct answer a;

    spill_two();
    for (uint64_t task = 3; task <= 6; task++)
        send_free(f, ME, mine(task));
    send_create(f, OTHER, object_of(HERE, OTHER, 1), STORE);    /* one so large may take what is kept for those that come back */
    a = f->last;
    ck_assert_int_eq(a.err.code, MOB_OK);
    f->answers = 0;
    send_fetch(f, ME, mine(1), STORE / 4, HERE);
    send_fetch(f, OTHER, mine(1), STORE / 4, HERE);
    ck_assert_uint_eq(mob_store_usage(f->store).asks, 1);
    run_disk();
    ck_assert_uint_eq(f->answers, 0);
    send_abandon(f, OTHER, a.id, a.entry);
    run_disk();
    ck_assert_uint_eq(f->answers, 2);
    ck_assert_int_eq(f->last.err.code, MOB_OK);
    ck_assert_uint_eq(disk.reads, 1);

    f->answers = 0;                     /* and in vain; the object is not lost by that */
    send_create(f, OTHER, object_of(HERE, OTHER, 3), STORE / 4);
    send_fetch(f, ME, mine(2), STORE / 4, HERE);
    send_free(f, ME, mine(1));
    run_disk();
    close_store();
}
END_TEST

START_TEST(test_a_peer_wants_it)
{
    struct mob_asked asked = { .id = mine(1), .size = STORE / 4, .length = STORE / 4 };
    struct mob_served served;
    struct mob_error err;

    spill_two();
    ck_assert_int_eq(mob_store_serve(f->store, &asked, &served, &err), MOB_SERVE_LATER);
    ck_assert_uint_eq(f->restored, 0);
    run_disk();
    ck_assert_uint_eq(f->restored, 1);
    ck_assert_int_eq(mob_store_serve(f->store, &asked, &served, &err), MOB_SERVE_HERE);
    ck_assert_int_eq(((char *)mob_store_arena(f->store))[served.offset + STORE / 4 - 1], 1);
    mob_store_serve_done(f->store, served.ticket);
    asked.id = mine(2);
    ck_assert_int_eq(mob_store_serve(f->store, &asked, &served, &err), MOB_SERVE_LATER);
    send_free(f, ME, asked.id);
    ck_assert_uint_eq(f->restored, 2);
    ck_assert_int_eq(mob_store_serve(f->store, &asked, &served, &err), MOB_SERVE_GONE);
    close_store();
}
END_TEST

/* Made again, by another attempt of its task, while the old one is on the disk, and on its way back. */
START_TEST(test_made_again)
{
    spill_two();
    send_fetch(f, OTHER, mine(1), STORE / 4, HERE);
    send_free(f, ME, mine(5));
    send_free(f, ME, mine(6));
    make_waiting(1, 1000);
    read_back(1, 1000);
    make_waiting(2, 1000);
    read_back(2, 1000);
    close_store();
}
END_TEST

/* The space of a dead object comes back before that of its file. */
START_TEST(test_holes)
{
    open_store(UINT64_C(16) << 20, 0);
    for (uint64_t task = 1; task <= 32; task++)
        make_waiting(task, 1 << 20);
    run_disk();
    for (uint64_t task = 1; task <= 8; task++)
        send_free(f, ME, mine(task));
    run_disk();
    ck_assert_uint_ge(disk.punched, 8 << 20);
    for (uint64_t task = 9; task <= 32; task++)
        read_back(task, 1 << 20);
    close_store();
}
END_TEST

/* Anything, in any order: nothing is lost, and nothing is left. */
static void anything(uint64_t state)
{
    uint64_t size[200] = { 0 };

    open_store(STORE, 0);
    for (unsigned step = 0; step < 1000; step++) {
        uint64_t task = 1 + unit_random(&state) % 199;

        if (size[task] == 0) {
            uint64_t n = unit_random(&state) % (unit_random(&state) % 8 == 0 ? STORE / 3 : STORE / 32);

            make_waiting(task, n);
            size[task] = n + 1;
        } else if (unit_random(&state) % 3 == 0) {
            send_free(f, ME, mine(task));
            size[task] = 0;
        } else {
            read_back(task, size[task] - 1);
        }
        if (unit_random(&state) % 4 == 0)
            run_disk();
        if (unit_random(&state) % 16 == 0)
            mob_store_tick(f->store, ++f->now);
    }
    close_store();
}

START_TEST(test_random)
{
    for (uint64_t seed = 1; seed <= 20; seed++)
        anything(seed * UINT64_C(0x9e3779b97f4a7c15));
}
END_TEST

UNIT_MAIN("store_spill", test_five_times_the_store, test_the_threshold, test_what_is_read_stays, test_who_waits_and_holds_is_refused_soon,
          test_who_fetches_and_holds_is_refused_soon, test_a_full_disk_loses_nothing, test_a_bad_record_is_one_object_lost,
          test_freed_on_its_way, test_waits_for_room_to_come_back, test_a_peer_wants_it, test_made_again, test_holes, test_random)
