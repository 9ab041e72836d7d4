/* SPDX-License-Identifier: Apache-2.0 */
/* test_store_leave.c -- which objects others would lose with a node; at another one, a copy that is none any more; and a pull that asks the
 * owner where its object is by now. */
#include "store_fixture.h"

#define SIZE 1000u
#define ME 5u
#define GET MOBULA__FETCH__PRIORITY__GET

static unsigned asked;

static void seek(void *arg, const struct mob_object_id *id)
{
    (void)arg, (void)id;
    asked++;
}

static struct fixture *create(uint64_t bytes)
{
    struct fixture *f = mob_new(struct fixture);
    struct mob_store_config config = { .bytes = bytes, .node = HERE, .answer = fixture_answer, .pull = fixture_pull,
                                       .incoming = fixture_incoming, .incoming_end = fixture_incoming_end, .reach = fixture_reach,
                                       .tell = fixture_tell, .bad = fixture_bad, .seek = seek, .arg = f };

    asked = 0;
    f->store = mob_store_create(&config, true, NULL);
    ck_assert_ptr_nonnull(f->store);
    mob_store_client_close(fixture_client(f, ME));
    return f;
}

static struct mob_object_id far(uint64_t task)
{
    return object_of(ELSEWHERE, 3, task);
}

static void make_one(struct fixture *f, struct mob_object_id id, uint64_t size)
{
    send_create(f, ME, id, size);
    ck_assert_int_eq(f->last.err.code, MOB_OK);
    send_seal(f, ME, id, f->last.entry);
}

static void count(void *arg, const struct mob_object_id *id, uint64_t size, struct mob_address job)
{
    (void)id, (void)job;
    *(uint64_t *)arg += size;
}

static uint64_t primaries(const struct fixture *f)
{
    uint64_t bytes = 0;

    mob_store_each_primary(f->store, count, &bytes);
    return bytes;
}

START_TEST(test_what_others_would_lose)
{
    struct fixture *f = create(1 << 20);

    send_create(f, ME, far(1), SIZE);
    ck_assert_uint_eq(primaries(f), 0);                 /* it is no value yet */
    send_seal(f, ME, far(1), f->last.entry);
    make_one(f, object_of(HERE, ME, 2), SIZE);          /* its owner ends with this node */
    send_fetch(f, ME, far(3), SIZE, ELSEWHERE);
    land(f);                                            /* a copy */
    ck_assert_uint_eq(primaries(f), SIZE);
    send_free(f, 0, far(1));
    ck_assert_uint_eq(primaries(f), 0);
    fixture_destroy(f);
}
END_TEST

/* A copy goes for want of room; one that was adopted does not. */
START_TEST(test_adopted)
{
    struct fixture *f = create(1 << 20);

    ck_assert(!mob_store_adopt(f->store, &(struct mob_object_id){ .task = 9 }));
    send_fetch(f, 0, far(1), 600000, ELSEWHERE);
    land(f);
    ck_assert(mob_store_adopt(f->store, &(struct mob_object_id){ .cluster = 9, .node = ELSEWHERE, .process = 3, .task = 1 }));
    mob_store_flush(f->store);
    ck_assert(f->added == 1 && f->last_copies == 1 && f->told.node == ELSEWHERE);
    ck_assert_uint_eq(primaries(f), 600000);
    send_create(f, ME, far(2), 600000);
    mob_store_flush(f->store);
    ck_assert_uint_eq(f->gone, 0);
    send_free(f, 0, far(1));
    ck_assert_uint_eq(f->last.size, 0);
    ck_assert(f->last.process == ME && f->last.err.code == MOB_OK);     /* now there is room */
    fixture_destroy(f);
}
END_TEST

START_TEST(test_the_owner_knows_where_it_is_now)
{
    struct fixture *f = create(1 << 20);

    send_fetch(f, ME, far(1), SIZE, 4);
    crash(f, MOB_ERR_OBJECT_LOST, "it has no copy", true);
    ck_assert(asked == 1 && f->answers == 0 && f->flights == 0);
    mob_store_sought(f->store, &(struct mob_object_id){ .cluster = 9, .node = ELSEWHERE, .process = 3, .task = 1 }, 6);
    ck_assert_uint_eq(f->pull_node, 6);
    land(f);
    ck_assert(f->answers == 1 && f->last.err.code == MOB_OK);
    fixture_destroy(f);
}
END_TEST

/* It knows nothing, or what we know: then that is the end. */
START_TEST(test_the_owner_knows_no_more)
{
    static const uint32_t words[] = { 0, 4, 6 };
    struct mob_object_id id = far(1);

    for (size_t i = 0; i < MOB_COUNT(words); i++) {
        struct fixture *f = create(1 << 20);

        f->reach[4] = MOB_REACH_DEAD;
        send_fetch(f, ME, id, SIZE, 4);
        ck_assert(asked == 1 && f->answers == 0);
        mob_store_sought(f->store, &id, words[i]);
        if (words[i] == 6) {
            crash(f, MOB_ERR_OBJECT_LOST, "nor here", true);
            ck_assert(asked == 2 && f->answers == 0);
            mob_store_sought(f->store, &id, 6);
        }
        ck_assert(f->answers == 1 && f->last.err.code == MOB_ERR_NODE_DIED);
        mob_store_sought(f->store, &id, 7);             /* too late */
        ck_assert_uint_eq(mob_store_usage(f->store).pulls, 0);
        fixture_destroy(f);
    }
}
END_TEST

/* While the owner is asked: another Fetch names a place; or nobody wants it any more. */
START_TEST(test_what_happens_meanwhile)
{
    struct mob_object_id id = far(1);
    struct fixture *f = create(1 << 20);

    send_fetch(f, ME, id, SIZE, 4);
    crash(f, MOB_ERR_OBJECT_LOST, "it has no copy", true);
    send_fetch(f, ME + 1, id, SIZE, 6);
    ck_assert_uint_eq(f->pull_node, 6);
    mob_store_sought(f->store, &id, 6);
    land(f);
    ck_assert_uint_eq(f->answers, 2);
    id = far(2);
    send_fetch(f, ME, id, SIZE, 4);
    crash(f, MOB_ERR_OBJECT_LOST, "it has no copy", true);
    send_free(f, 0, id);
    ck_assert(f->answers == 3 && f->last.err.code == MOB_ERR_OBJECT_LOST);
    mob_store_sought(f->store, &id, 6);
    ck_assert_uint_eq(mob_store_usage(f->store).pulls, 0);
    fixture_destroy(f);
}
END_TEST

/* That place is named in vain: the owner's word is waited for. And where it says has nothing either, as it was moved on: it is asked again. */
START_TEST(test_moved_again_and_again)
{
    struct mob_object_id id = far(1);
    struct fixture *f = create(1 << 20);

    send_fetch(f, ME, id, SIZE, 4);
    crash(f, MOB_ERR_OBJECT_LOST, "it has no copy", true);
    send_fetch(f, ME + 1, id, SIZE, 6);
    crash(f, MOB_ERR_OBJECT_LOST, "nor here", true);
    ck_assert(f->answers == 0 && asked == 1);
    mob_store_sought(f->store, &id, 7);
    ck_assert_uint_eq(f->pull_node, 7);
    crash(f, MOB_ERR_OBJECT_LOST, "not any more", true);
    ck_assert(f->answers == 0 && asked == 2);
    mob_store_sought(f->store, &id, 8);
    ck_assert_uint_eq(f->pull_node, 8);
    land(f);
    ck_assert(f->answers == 2 && f->last.err.code == MOB_OK);
    fixture_destroy(f);
}
END_TEST

UNIT_MAIN("store_leave", test_what_others_would_lose, test_adopted, test_the_owner_knows_where_it_is_now, test_the_owner_knows_no_more,
          test_what_happens_meanwhile, test_moved_again_and_again)
