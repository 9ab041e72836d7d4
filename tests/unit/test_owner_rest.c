/* SPDX-License-Identifier: Apache-2.0 */
/* test_owner_rest.c -- what is held so that values can be made again: arguments, and what these carry; and when it is let go. */
#include "tests/unit/owner_lineage.h"

/* What cannot be had twice stays, as long as what was made of it does. */
START_TEST(test_a_put_argument_is_held)
{
    struct mob_object_id id;
    struct mob_task_frame t;

    start(0);
    uint64_t put = mob_owner_put_begin(f.o, &id), before, ref;

    mob_owner_put_stored(f.o, put, 2, 5000);
    ref = made(3, put);
    before = mob_owner_counts(f.o).kept_bytes;
    mob_owner_drop(f.o, put, NULL);
    mob_owner_flush(f.o);
    ck_assert_uint_eq(f.sent[FREE], 0);
    ck_assert_uint_eq(mob_owner_counts(f.o).kept_bytes, before + 5000);
    ck_assert(lose(ref) && wants(ref));
    t = claim(ref, 1);
    ck_assert_uint_eq(mob_owner_counts(f.o).kept_bytes, 0);
    answer_stored(&t, 4);
    ck_assert_uint_eq(mob_owner_counts(f.o).kept_bytes, before + 5000);
    mob_owner_drop(f.o, ref, NULL);
    mob_owner_flush(f.o);
    ck_assert_uint_eq(f.sent[FREE], 3);         /* the lost one, and both */
    finish();
}
END_TEST

/* A value that carries others rests with them: a put that it carries is counted, a result is let go, and made again for who finds it. */
START_TEST(test_what_a_resting_value_carries_rests_as_well)
{
    struct mob_object_id id, ids[2];
    struct mob_task_frame t;
    char packed[256] = { 0 };

    start(0);
    uint64_t put = mob_owner_put_begin(f.o, &id), result = made(3, 0), before, ref, carrier, carrier2;

    mob_owner_put_stored(f.o, put, FAKE_NODE, 5000);
    ids[0] = id;
    ids[1] = stored(result, 0, 9).object;
    for (size_t i = 0; i < 2; i++)
        mob_packed_put_id(packed, 8, i, &ids[i]);
    mob_packed_finish(packed, 8, 2);
    carrier = mob_owner_put_packed(f.o, packed, mob_packed_size(8, 2), (uint64_t[]){ put, result }, 2, NULL);
    carrier2 = mob_owner_put_packed(f.o, packed, mob_packed_size(8, 2), (uint64_t[]){ carrier, carrier }, 2, NULL);
    ref = made_of(3, carrier2);
    before = mob_owner_counts(f.o).kept_bytes;
    mob_owner_drop(f.o, put, NULL);
    mob_owner_drop(f.o, result, NULL);
    mob_owner_drop(f.o, carrier, NULL);
    ck_assert_uint_eq(mob_owner_counts(f.o).kept_bytes, before);
    mob_owner_drop(f.o, carrier2, NULL);
    mob_owner_flush(f.o);
    ck_assert_uint_eq(mob_owner_counts(f.o).kept_bytes, before + 5000 + 2 * mob_packed_size(8, 2));
    ck_assert_uint_eq(f.last[FREE]->free->n_objects, 1);
    ck_assert_uint_eq(f.last[FREE]->free->objects[0]->task, result);
    mob_owner_check(f.o);
    ck_assert(lose(ref) && wants(ref));
    ck_assert_uint_eq(mob_owner_counts(f.o).kept_bytes, before / 2);    /* one of two tasks */
    t = claim(ref, 1);
    answer_stored(&t, 9);
    ck_assert(is_told());
    result = mob_owner_meet(f.o, &ids[1], 0);   /* whoever reads the value finds its name */
    ck_assert(wants(result));
    t = claim(ids[1].task, 1);
    answer_stored(&t, 9);
    mob_owner_drop(f.o, result, NULL);
    mob_owner_drop(f.o, ref, NULL);
    finish();
}
END_TEST

/* What a finished task held is let go while its owner is still to hear that we have it: it rests no more then. */
START_TEST(test_what_is_told_of_outlives_its_rest)
{
    const struct mob_object_id theirs = { .cluster = 77, .node = 4, .process = 6, .task = 1 };
    Mobula__ReferencesDone done = MOBULA__REFERENCES_DONE__INIT;
    Mobula__Watched m;
    Mobula__ObjectId object;
    struct mob_envelope e;
    const void *bytes;
    size_t size;

    start(0);
    uint64_t met = mob_owner_meet(f.o, &theirs, 0), ref;

    ck_assert(wants(met));
    mob_wire_put_object(&object, &theirs);
    mobula__watched__init(&m);
    m.object = &object;
    m.state_case = MOBULA__WATCHED__STATE_VALUE;
    m.value = (ProtobufCBinaryData){ 5, (uint8_t *)"value" };
    fake_tell(&f, 4, WATCHED, &m);
    ref = made_of(3, met);
    mob_owner_drop(f.o, met, NULL);
    ck_assert(mob_owner_keep(f.o));
    mob_owner_drop(f.o, ref, NULL);
    mob_owner_check(f.o);
    ck_assert_uint_eq(mob_owner_counts(f.o).kept_bytes, 0);
    mob_owner_flush(f.o);
    done.seq = f.last[MOBULA__ENVELOPE__BODY_REFERENCES]->references->seq;
    mob_envelope_init(&e, (struct mob_address){ theirs.node, theirs.process }, (struct mob_address){ FAKE_NODE, FAKE_PROCESS },
                      MOBULA__ENVELOPE__BODY_REFERENCES_DONE);
    e.e.references_done = &done;
    bytes = mob_wire_pack(f.wire, &e.e, &size);
    mob_owner_receive(f.o, bytes, size);
    finish();
}
END_TEST

/* The oldest goes when there is no room; what it alone could have made is an error for who wants it. */
START_TEST(test_the_oldest_makes_room)
{
    start(2500);
    uint64_t a = made(3, 0), b = made(3, a), others[20];
    int count = 0;

    mob_owner_drop(f.o, a, NULL);
    ck_assert_uint_eq(mob_owner_counts(f.o).evicted, 0);
    while (mob_owner_counts(f.o).evicted == 0)
        others[count++] = made(3, 0);
    ck_assert_uint_eq(f.warnings, 1);
    ck_assert(mob_owner_counts(f.o).kept_bytes <= 2500);
    ck_assert(lose(b));                         /* itself it can be made again, what it took cannot */
    ck_assert(!wants(b));
    ck_assert_int_eq(reason_of(b), MOB_LOST_LINEAGE_EVICTED);
    while (count > 0)
        mob_owner_drop(f.o, others[--count], NULL);
    mob_owner_drop(f.o, b, NULL);
    finish();
}
END_TEST

START_TEST(test_nothing_is_kept_if_nothing_may_be)
{
    start(1);
    uint64_t ref = made(3, 0);

    ck_assert_uint_eq(mob_owner_counts(f.o).kept, 0);
    ck_assert(!lose(ref));
    ck_assert_int_eq(reason_of(ref), MOB_LOST_LINEAGE_DISABLED);
    mob_owner_drop(f.o, ref, NULL);
    finish();
}
END_TEST

UNIT_MAIN("owner_rest", test_a_put_argument_is_held, test_what_a_resting_value_carries_rests_as_well,
          test_what_is_told_of_outlives_its_rest, test_the_oldest_makes_room, test_nothing_is_kept_if_nothing_may_be)
