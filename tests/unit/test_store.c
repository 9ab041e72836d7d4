/* SPDX-License-Identifier: Apache-2.0 */
/* test_store.c -- the store's answers: making, fetching, freeing, dying, lying. */
#include "store_fixture.h"

#define STORE (1u << 20)
#define ME 5u                   /* a process of this node */
#define OTHER 6u

START_TEST(test_made_here_and_read_by_another)
{
    struct fixture *f = fixture_create(STORE);
    struct mob_store_client *me = fixture_client(f, ME), *other = fixture_client(f, OTHER);
    struct mob_object_id id = object_of(HERE, ME, 1);
    struct answer made = make(f, me, ME, id, 5000, 'x');
    const char *bytes;
    uint64_t size;
    uint32_t slot;
    bool full;

    send_fetch(f, OTHER, id, 5000, HERE);
    ck_assert_uint_eq(f->last.process, OTHER);
    ck_assert_uint_eq(f->last.entry, made.entry);
    ck_assert_uint_eq(f->last.size, 5000);
    bytes = mob_store_client_pin(other, f->last.entry, f->last.generation, &id, &size, &slot, &full);
    ck_assert_ptr_nonnull(bytes);
    ck_assert_uint_eq(size, 5000);
    ck_assert(bytes[0] == 'x' && bytes[4999] == 'x');
    ck_assert_uint_eq(mob_store_usage(f->store).objects, 1);

    send_free(f, ME, id);               /* pinned: it stays, but nobody finds it any more */
    ck_assert_uint_eq(mob_store_usage(f->store).objects, 1);
    mob_store_check(f->store);
    send_fetch(f, OTHER, id, 5000, HERE);
    ck_assert_int_eq(f->last.err.code, MOB_ERR_OBJECT_LOST);
    ck_assert(bytes[0] == 'x');
    mob_store_client_unpin(other, slot);
    mob_store_tick(f->store, 0);
    ck_assert_uint_eq(mob_store_usage(f->store).used, 0);
    ck_assert_ptr_null(mob_store_client_pin(other, made.entry, made.generation, &id, &size, &slot, &full));
    ck_assert(!full);
    mob_store_client_close(me);
    mob_store_client_close(other);
    fixture_destroy(f);
}
END_TEST

START_TEST(test_no_room_names_what_fills_it)
{
    struct fixture *f = fixture_create(STORE);
    struct mob_store_client *me = fixture_client(f, ME);

    send_create(f, ME, object_of(HERE, ME, 1), STORE + 1);
    ck_assert_int_eq(f->last.err.code, MOB_ERR_NO_SPACE);
    ck_assert_ptr_nonnull(strstr(f->last.err.text, "o-1.5-1.0"));
    ck_assert_ptr_nonnull(strstr(f->last.err.text, "1048577"));
    ck_assert_ptr_nonnull(strstr(f->last.err.text, "1048576"));
    make(f, me, ME, object_of(HERE, ME, 2), STORE / 2, 'a');
    send_create(f, ME, object_of(HERE, ME, 3), STORE / 4);
    f->answers = 0;
    send_create(f, ME, object_of(HERE, ME, 4), STORE / 2);
    ck_assert_uint_eq(f->answers, 0);
    wait_in_vain(f);
    ck_assert_uint_eq(f->answers, 1);
    ck_assert_int_eq(f->last.err.code, MOB_ERR_NO_SPACE);
    ck_assert_ptr_nonnull(strstr(f->last.err.text, "524288 hold 1 sealed"));
    ck_assert_ptr_nonnull(strstr(f->last.err.text, "262144 are being written"));
    ck_assert_ptr_nonnull(strstr(f->last.err.text, "largest gap is 262144"));
    send_create(f, ME, object_of(HERE, ME, 5), UINT64_MAX);
    ck_assert_int_eq(f->last.err.code, MOB_ERR_NO_SPACE);
    mob_store_client_close(me);
    fixture_destroy(f);
}
END_TEST

START_TEST(test_nothing_takes_no_bytes)
{
    struct fixture *f = fixture_create(STORE);
    struct mob_store_client *me = fixture_client(f, ME);
    struct mob_object_id id = object_of(HERE, ME, 1), far = object_of(ELSEWHERE, 3, 1);
    struct answer made = make(f, NULL, ME, id, 0, 0);
    uint64_t size = 1;
    uint32_t slot;
    bool full;

    ck_assert_uint_eq(mob_store_usage(f->store).used, 0);
    ck_assert_ptr_nonnull(mob_store_client_pin(me, made.entry, made.generation, &id, &size, &slot, &full));
    ck_assert_uint_eq(size, 0);
    send_fetch(f, ME, far, 0, ELSEWHERE);
    ck_assert_uint_eq(f->pulls, 0);
    ck_assert_int_eq(f->last.err.code, MOB_OK);
    mob_store_client_close(me);
    fixture_destroy(f);
}
END_TEST

START_TEST(test_equal_fetches_are_one_pull)
{
    struct fixture *f = fixture_create(STORE);
    struct mob_object_id id = object_of(ELSEWHERE, 3, 1);

    send_fetch(f, ME, id, 1000, ELSEWHERE);
    send_fetch(f, OTHER, id, 1000, ELSEWHERE);
    send_fetch(f, 0, id, 1000, 3);
    ck_assert_uint_eq(f->pulls, 1);
    ck_assert_uint_eq(f->pull_size, 1000);
    ck_assert_uint_eq(mob_store_usage(f->store).pulls, 1);
    ck_assert_uint_eq(f->answers, 0);
    memset((char *)mob_store_arena(f->store) + f->pull_offset, 'p', 1000);
    land(f);
    ck_assert_uint_eq(f->answers, 3);
    ck_assert_uint_eq(f->last.offset, f->pull_offset);
    ck_assert_uint_eq(mob_store_usage(f->store).pulls, 0);
    send_fetch(f, ME, id, 1000, ELSEWHERE);
    ck_assert_uint_eq(f->pulls, 1);
    ck_assert_uint_eq(f->answers, 4);
    fixture_destroy(f);
}
END_TEST

START_TEST(test_a_failed_pull_answers_all_and_leaves_nothing)
{
    struct fixture *f = fixture_create(STORE);
    struct mob_object_id id = object_of(ELSEWHERE, 3, 1);

    send_fetch(f, ME, id, 1000, ELSEWHERE);
    send_fetch(f, OTHER, id, 1000, ELSEWHERE);
    crash(f, MOB_ERR_OBJECT_LOST, "not there", true);
    ck_assert_uint_eq(f->answers, 2);
    ck_assert_str_eq(f->last.err.text, "o-2.3-1.0 cannot be brought here: node 2: not there");
    ck_assert_uint_eq(mob_store_usage(f->store).used, 0);
    fixture_destroy(f);
}
END_TEST

START_TEST(test_a_dead_node_fails_its_pulls_and_the_bytes_stay_bulks)
{
    struct fixture *f = fixture_create(STORE);
    struct mob_object_id id = object_of(3, 3, 1);

    send_fetch(f, ME, id, 1000, ELSEWHERE);
    mob_store_node_died(f->store, ELSEWHERE);
    ck_assert_uint_eq(f->answers, 1);
    ck_assert_int_eq(f->last.err.code, MOB_ERR_NODE_DIED);
    ck_assert_ptr_nonnull(strstr(f->last.err.text, "node 2"));
    ck_assert_uint_eq(mob_store_usage(f->store).used, 1024);    /* bulk may still write there */

    send_fetch(f, ME, id, 2000, 4);             /* from elsewhere: other bytes */
    ck_assert_uint_eq(f->pulls, 2);
    ck_assert_uint_eq(f->pull_node, 4);
    ck_assert_uint_eq(f->pull_size, 2000);
    crash(f, MOB_ERR_UNREACHABLE, "cut", false);
    ck_assert_uint_eq(f->answers, 1);
    ck_assert_uint_eq(mob_store_usage(f->store).used, 2048);
    land(f);
    ck_assert_uint_eq(f->answers, 2);
    ck_assert_uint_eq(f->last.size, 2000);

    mob_store_node_died(f->store, 3);           /* its owner's node */
    ck_assert_uint_eq(mob_store_usage(f->store).used, 0);
    ck_assert_uint_eq(f->incomings, 0);
    fixture_destroy(f);
}
END_TEST

START_TEST(test_copies_make_room_the_longest_unused_first)
{
    struct fixture *f = fixture_create(STORE);
    struct mob_store_client *me = fixture_client(f, ME);
    struct mob_object_id id[4];
    struct answer first = { 0 };
    uint64_t size;
    uint32_t slot;
    bool full;

    for (uint64_t i = 0; i < 4; i++) {
        id[i] = object_of(ELSEWHERE, 3, i + 1);
        send_fetch(f, ME, id[i], STORE / 4, i < 3 ? ELSEWHERE : 4);
        land(f);
        if (i == 0)
            first = f->last;
    }
    ck_assert_ptr_nonnull(mob_store_client_pin(me, first.entry, first.generation, &id[0], &size, &slot, &full));
    send_fetch(f, ME, id[1], STORE / 4, ELSEWHERE);     /* used again: id[2] is the oldest that may go */
    make(f, me, ME, object_of(HERE, ME, 1), STORE / 4, 'n');
    f->pulls = 0;
    for (uint64_t i = 0; i < 4; i++)
        if (i != 2)
            send_fetch(f, ME, id[i], STORE / 4, ELSEWHERE);
    ck_assert_uint_eq(f->pulls, 0);

    mob_store_node_died(f->store, 4);           /* id[3] came from there: its copy may be the last one, and stays */
    make(f, me, ME, object_of(HERE, ME, 2), STORE / 4, 'n');
    f->answers = 0;
    send_create(f, ME, object_of(HERE, ME, 3), STORE / 4);
    ck_assert_uint_eq(f->answers, 0);
    send_fetch(f, ME, id[3], STORE / 4, ELSEWHERE);
    ck_assert_uint_eq(f->pulls, 0);
    mob_store_client_unpin(me, slot);
    mob_store_tick(f->store, ++f->now);
    ck_assert_uint_eq(f->answers, 2);
    ck_assert_int_eq(f->last.err.code, MOB_OK);
    mob_store_client_close(me);
    fixture_destroy(f);
}
END_TEST

START_TEST(test_a_fetch_waits_for_the_seal_or_the_makers_death)
{
    struct fixture *f = fixture_create(STORE);
    struct mob_store_client *me = fixture_client(f, ME);
    struct mob_object_id a = object_of(HERE, OTHER, 1), b = object_of(HERE, OTHER, 2);
    uint32_t entry;

    send_create(f, ME, a, 100);
    entry = f->last.entry;
    send_create(f, ME, b, 100);
    f->answers = 0;
    send_fetch(f, OTHER, a, 100, HERE);
    send_fetch(f, OTHER, b, 100, HERE);
    ck_assert_uint_eq(f->answers, 0);
    send_seal(f, ME, a, entry);
    ck_assert_uint_eq(f->answers, 1);
    ck_assert_int_eq(f->last.err.code, MOB_OK);
    mob_store_client_gone(f->store, ME);
    ck_assert_uint_eq(f->answers, 2);
    ck_assert_int_eq(f->last.err.code, MOB_ERR_OBJECT_LOST);
    ck_assert_uint_eq(mob_store_usage(f->store).objects, 1);    /* the sealed one is its owner's */
    mob_store_client_gone(f->store, ME);
    mob_store_client_close(me);
    fixture_destroy(f);
}
END_TEST

START_TEST(test_a_dead_client_leaves_no_pin_no_room_no_object)
{
    struct fixture *f = fixture_create(STORE);
    struct mob_store_client *me = fixture_client(f, ME), *other = fixture_client(f, OTHER);
    struct mob_object_id mine = object_of(HERE, ME, 1), theirs = object_of(HERE, OTHER, 1);
    struct answer made = make(f, other, OTHER, theirs, 1000, 't');
    uint64_t size;
    uint32_t slot;
    bool full;

    make(f, me, ME, mine, 1000, 'm');
    send_create(f, ME, object_of(HERE, ME, 2), 1000);
    send_fetch(f, ME, object_of(ELSEWHERE, 1, 1), 1000, ELSEWHERE);
    ck_assert_ptr_nonnull(mob_store_client_pin(me, made.entry, made.generation, &theirs, &size, &slot, &full));
    send_free(f, OTHER, theirs);
    ck_assert_uint_eq(mob_store_usage(f->store).objects, 4);
    mob_store_client_gone(f->store, ME);        /* killed: it never unpinned */
    ck_assert_uint_eq(mob_store_usage(f->store).objects, 1);    /* the pull, which nobody waits for any more: its flight */
    f->answers = 0;
    land(f);
    ck_assert_uint_eq(f->answers, 0);
    ck_assert_uint_eq(mob_store_usage(f->store).used, 0);
    mob_store_client_close(me);
    mob_store_client_close(other);
    fixture_destroy(f);
}
END_TEST

START_TEST(test_freed_before_it_is_sealed)
{
    struct fixture *f = fixture_create(STORE);
    struct mob_store_client *me = fixture_client(f, ME);
    struct mob_object_id id = object_of(HERE, OTHER, 1);
    uint32_t entry;

    send_create(f, ME, id, 1000);
    entry = f->last.entry;
    send_free(f, OTHER, id);            /* its owner heard of it by a faster way, and was done with it */
    ck_assert_uint_eq(mob_store_usage(f->store).used, 1024);    /* the maker's pen is still on it */
    send_seal(f, ME, id, entry);
    ck_assert_uint_eq(mob_store_usage(f->store).used, 0);
    ck_assert_uint_eq(f->bads, 0);
    send_create(f, ME, id, 1000);
    send_abandon(f, ME, id, f->last.entry);
    ck_assert_uint_eq(mob_store_usage(f->store).used, 0);
    mob_store_client_close(me);
    fixture_destroy(f);
}
END_TEST

START_TEST(test_made_again_the_newer_one_counts)
{
    struct fixture *f = fixture_create(STORE);
    struct mob_store_client *me = fixture_client(f, ME), *other = fixture_client(f, OTHER);
    struct mob_object_id id = object_of(HERE, OTHER, 1);
    struct answer first = make(f, me, ME, id, 1000, '1'), second;
    const char *old;
    uint64_t size;
    uint32_t slot;
    bool full;

    old = mob_store_client_pin(other, first.entry, first.generation, &id, &size, &slot, &full);
    second = make(f, me, ME, id, 2000, '2');
    send_fetch(f, OTHER, id, 2000, HERE);
    ck_assert_uint_eq(f->last.entry, second.entry);
    ck_assert(old[999] == '1');
    mob_store_client_unpin(other, slot);
    mob_store_tick(f->store, 0);
    ck_assert_uint_eq(mob_store_usage(f->store).objects, 1);

    send_fetch(f, OTHER, object_of(ELSEWHERE, 1, 1), 10, ELSEWHERE);    /* made here while it is on its way here */
    f->answers = 0;
    make(f, me, ME, object_of(ELSEWHERE, 1, 1), 10, '3');
    ck_assert_uint_eq(f->answers, 2);           /* Created, and the one who waited */
    land(f);
    ck_assert_uint_eq(mob_store_usage(f->store).objects, 2);
    mob_store_client_close(me);
    mob_store_client_close(other);
    fixture_destroy(f);
}
END_TEST

/* The owner was told that an attempt died; the next one may have sealed its value before that word arrived. */
START_TEST(test_freed_of_one_maker)
{
    struct fixture *f = fixture_create(STORE);
    struct mob_store_client *me = fixture_client(f, ME), *other = fixture_client(f, OTHER);
    struct mob_object_id id = object_of(HERE, 9, 1);
    struct answer second;

    make(f, me, ME, id, 1000, '1');
    second = make(f, other, OTHER, id, 1000, '2');
    send_free_of(f, 0, id, ME);
    send_fetch(f, OTHER, id, 1000, HERE);
    ck_assert_int_eq(f->last.err.code, MOB_OK);
    ck_assert_uint_eq(f->last.entry, second.entry);
    send_free_of(f, 0, id, OTHER);
    ck_assert_uint_eq(mob_store_usage(f->store).objects, 0);
    mob_store_client_close(me);
    mob_store_client_close(other);
    fixture_destroy(f);
}
END_TEST

/* Of an object of `size` bytes; the ticket. */
static uint64_t serve(struct fixture *f, const struct mob_object_id *id, uint64_t size, enum mob_serve expected)
{
    struct mob_asked asked = { .id = *id, .size = size, .length = size };
    struct mob_served served;
    struct mob_error err;

    ck_assert_int_eq(mob_store_serve(f->store, &asked, &served, &err), expected);
    return served.ticket;
}

START_TEST(test_served_objects_stay)
{
    struct fixture *f = fixture_create(STORE);
    struct mob_store_client *me = fixture_client(f, ME);
    struct mob_object_id id = object_of(HERE, ME, 1);
    uint64_t ticket;

    serve(f, &id, 1000, MOB_SERVE_GONE);
    make(f, me, ME, id, 1000, 's');
    serve(f, &id, 999, MOB_SERVE_GONE);
    ticket = serve(f, &id, 1000, MOB_SERVE_HERE);
    ck_assert_uint_eq(serve(f, &id, 1000, MOB_SERVE_HERE), ticket);
    send_free(f, ME, id);
    make(f, me, ME, id, 500, 't');      /* and made again meanwhile */
    mob_store_serve_done(f->store, ticket);
    ck_assert_uint_eq(mob_store_usage(f->store).objects, 2);
    mob_store_serve_done(f->store, ticket);
    ck_assert_uint_eq(mob_store_usage(f->store).objects, 1);
    mob_store_client_close(me);
    fixture_destroy(f);
}
END_TEST

START_TEST(test_a_served_copy_is_not_evicted)
{
    struct fixture *f = fixture_create(STORE);
    struct mob_store_client *me = fixture_client(f, ME);
    struct mob_object_id id = object_of(ELSEWHERE, 3, 1);
    uint64_t ticket;

    send_fetch(f, ME, id, STORE, ELSEWHERE);
    land(f);
    ticket = serve(f, &id, STORE, MOB_SERVE_HERE);
    f->answers = 0;
    send_create(f, ME, object_of(HERE, ME, 1), 10);
    wait_in_vain(f);                    /* a peer reads it: that will end */
    ck_assert_uint_eq(f->answers, 0);
    mob_store_serve_done(f->store, ticket);
    ck_assert_uint_eq(f->answers, 1);
    ck_assert_int_eq(f->last.err.code, MOB_OK);
    mob_store_client_close(me);
    fixture_destroy(f);
}
END_TEST

/* Another node may hear of it by a faster way than its Seal takes. */
START_TEST(test_another_node_waits_for_the_seal)
{
    struct fixture *f = fixture_create(STORE);
    struct mob_store_client *me = fixture_client(f, ME);
    struct mob_object_id a = object_of(ELSEWHERE, 3, 1), b = object_of(ELSEWHERE, 3, 2), c = object_of(ELSEWHERE, 3, 3);
    uint32_t entry;

    send_create(f, ME, a, 1000);
    entry = f->last.entry;
    serve(f, &a, 1000, MOB_SERVE_LATER);
    serve(f, &a, 1000, MOB_SERVE_LATER);
    send_seal(f, ME, a, entry);
    ck_assert_uint_eq(f->restored, 2);
    ck_assert_int_eq(f->restored_code, MOB_OK);
    mob_store_serve_done(f->store, serve(f, &a, 1000, MOB_SERVE_HERE));
    send_create(f, ME, b, 1000);
    serve(f, &b, 1000, MOB_SERVE_LATER);
    send_abandon(f, ME, b, f->last.entry);
    ck_assert_uint_eq(f->restored, 3);
    ck_assert_int_eq(f->restored_code, MOB_ERR_OBJECT_LOST);
    send_create(f, ME, c, 1000);
    serve(f, &c, 1000, MOB_SERVE_LATER);
    mob_store_client_gone(f->store, ME);
    ck_assert_uint_eq(f->restored, 4);
    ck_assert_int_eq(f->restored_code, MOB_ERR_OBJECT_LOST);
    mob_store_client_close(me);
    fixture_destroy(f);
}
END_TEST

START_TEST(test_lies_change_nothing)
{
    struct fixture *f = fixture_create(STORE);
    struct mob_store_client *me = fixture_client(f, ME), *other = fixture_client(f, OTHER);
    struct mob_object_id id = object_of(HERE, ME, 1);
    struct mob_store_usage before, after;
    uint32_t entry;

    send_create(f, ME, id, 1000);
    entry = f->last.entry;
    before = mob_store_usage(f->store);
    send_seal(f, OTHER, id, entry);             /* not its maker */
    ck_assert_uint_eq(f->bads, 1);
    ck_assert_int_eq(f->bad.code, MOB_ERR_PROTOCOL);
    send_seal(f, ME, id, entry + 1);            /* an entry nobody has */
    send_seal(f, ME, id, UINT32_MAX);
    send_seal(f, ME, object_of(HERE, ME, 2), entry);    /* another object's name */
    send_abandon(f, OTHER, id, entry);
    send_free(f, OTHER, id);                    /* neither owner nor maker */
    send_create(f, 77, object_of(HERE, 77, 1), 10);     /* never a client */
    send_create(f, 0, object_of(ELSEWHERE, 1, 1), 10);
    send_seal(f, 0, id, entry);
    ck_assert_uint_eq(f->bads, 9);
    after = mob_store_usage(f->store);
    ck_assert_mem_eq(&before, &after, sizeof(before));
    send_seal(f, ME, id, entry);
    ck_assert_uint_eq(f->bads, 9);
    send_seal(f, ME, id, entry);                /* twice */
    ck_assert_uint_eq(f->bads, 10);
    ck_assert_int_eq(f->bad.code, MOB_ERR_PROTOCOL);
    ck_assert_msg(strstr(f->bad.text, "o-1.5-1.0") != NULL && strstr(f->bad.text, "sealed already") != NULL, "%s", f->bad.text);
    send_abandon(f, ME, id, entry);
    ck_assert_uint_eq(f->bads, 11);
    send_fetch(f, OTHER, id, 1000, HERE);       /* it is there all the same */
    ck_assert(f->last.err.code == MOB_OK && f->last.entry == entry && f->last.size == 1000);
    send_free(f, ME, object_of(HERE, OTHER, 99));       /* unknown: ignored */
    ck_assert_uint_eq(f->bads, 11);
    ck_assert_uint_eq(mob_store_usage(f->store).objects, 1);
    mob_store_client_close(me);
    mob_store_client_close(other);
    fixture_destroy(f);
}
END_TEST

/* After a cut, an attempt here and one elsewhere both sealed a result of process 9 of node 4, and each node takes its own for the one. The
 * owner's word counts: what it names is read, here and by third nodes; what it frees goes; and nothing else does. */
START_TEST(test_two_nodes_made_it)
{
    struct fixture *f = fixture_create(STORE);
    struct mob_store_client *me = fixture_client(f, ME);
    struct mob_object_id id = object_of(4, 9, 1), next_door = object_of(HERE, ME, 1);
    struct mob_asked asked = { .id = id, .size = 1000, .length = 1000 };
    struct answer ours = make(f, me, ME, id, 500, 'o'), beside = make(f, me, ME, next_door, 500, 'b');
    struct mob_served served;
    struct mob_error err;

    send_fetch(f, ME, id, 500, HERE);           /* it chose ours */
    ck_assert(f->last.entry == ours.entry && f->pulls == 0);
    send_fetch(f, OTHER, id, 1000, ELSEWHERE);  /* it chose the other */
    ck_assert_uint_eq(f->pulls, 1);
    ck_assert_int_eq(mob_store_serve(f->store, &asked, &served, &err), MOB_SERVE_GONE);
    ck_assert_msg(err.code == MOB_ERR_OBJECT_LOST && strstr(err.text, "has 500 bytes here, not 1000") != NULL, "%s", err.text);
    land(f);
    ck_assert(f->last.process == OTHER && f->last.err.code == MOB_OK && f->last.size == 1000);
    ck_assert_uint_eq(mob_store_usage(f->store).objects, 2);            /* ours went */
    mob_store_serve_done(f->store, serve(f, &id, 1000, MOB_SERVE_HERE));
    send_free(f, 0, id);
    send_fetch(f, ME, id, 1000, HERE);
    ck_assert_int_eq(f->last.err.code, MOB_ERR_OBJECT_LOST);
    send_fetch(f, ME, next_door, 500, HERE);
    ck_assert(f->last.err.code == MOB_OK && f->last.entry == beside.entry);
    ck_assert_uint_eq(mob_store_usage(f->store).objects, 1);
    mob_store_client_close(me);
    fixture_destroy(f);
}
END_TEST

/* By a process of this node, by one that heard of a node that never had it, and by another node. */
START_TEST(test_never_made)
{
    struct fixture *f = fixture_create(STORE);
    struct mob_asked asked = { .id = object_of(HERE, ME, 7), .size = 1000, .length = 1000 };
    struct mob_served served;
    struct mob_error err;

    mob_store_client_close(fixture_client(f, ME));
    send_fetch(f, ME, asked.id, 1000, HERE);
    ck_assert_int_eq(f->last.err.code, MOB_ERR_OBJECT_LOST);
    ck_assert_str_eq(f->last.err.text, "o-1.5-7.0 is not in the store of node 1 any more");
    send_fetch(f, ME, object_of(HERE, ME, 8), 1000, ELSEWHERE);
    crash(f, MOB_ERR_OBJECT_LOST, "it has no copy of o-1.5-8.0", true);
    ck_assert_int_eq(f->last.err.code, MOB_ERR_OBJECT_LOST);
    ck_assert_str_eq(f->last.err.text, "o-1.5-8.0 cannot be brought here: node 2: it has no copy of o-1.5-8.0");
    ck_assert_int_eq(mob_store_serve(f->store, &asked, &served, &err), MOB_SERVE_GONE);
    ck_assert_int_eq(err.code, MOB_ERR_OBJECT_LOST);
    ck_assert_str_eq(err.text, "it has no copy of o-1.5-7.0");
    ck_assert_uint_eq(f->bads, 0);              /* no crime: an owner may have dropped it meanwhile */
    ck_assert_uint_eq(mob_store_usage(f->store).used, 0);
    fixture_destroy(f);
}
END_TEST

UNIT_MAIN("store", test_made_here_and_read_by_another, test_no_room_names_what_fills_it, test_nothing_takes_no_bytes,
          test_equal_fetches_are_one_pull, test_a_failed_pull_answers_all_and_leaves_nothing,
          test_a_dead_node_fails_its_pulls_and_the_bytes_stay_bulks, test_copies_make_room_the_longest_unused_first,
          test_a_fetch_waits_for_the_seal_or_the_makers_death, test_a_dead_client_leaves_no_pin_no_room_no_object,
          test_freed_before_it_is_sealed, test_made_again_the_newer_one_counts, test_freed_of_one_maker, test_served_objects_stay,
          test_a_served_copy_is_not_evicted, test_another_node_waits_for_the_seal, test_lies_change_nothing, test_two_nodes_made_it,
          test_never_made)
